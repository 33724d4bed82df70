"""The errors that msnoah raises on purpose: one line that says what was found, where, and what would be right.

The command line prints such an error without a traceback and exits with its `exit_code`:
2 = wrong use or unusable input, 1 = the command ran and its answer is bad.
"""


class MsnoahError(Exception):
    """Base of every error that a user can cause and mend."""

    exit_code = 2


class ConfigError(MsnoahError):
    """A YAML file, or a --set override, that does not describe a run."""


class ModelError(MsnoahError):
    """An unknown model name, or arguments that the model does not take."""


class CheckpointError(MsnoahError):
    """A checkpoint that cannot be read, or does not fit the model."""


class DataError(MsnoahError):
    """Data that is missing, damaged or laid out in another way than expected."""


class DeviceError(MsnoahError):
    """A device that is not on this machine, that MindSpore cannot use, or that is not reached or lost."""


class RunFolderError(MsnoahError):
    """A run folder, or a file in it, that is missing, damaged or cannot be written."""


class ConversionError(MsnoahError):
    """A graph that cannot be written in the target format."""


class RuntimeUnavailableError(MsnoahError):
    """An inference runtime that is not installed or cannot load the artifact."""


class ArtifactError(MsnoahError):
    """An artifact that cannot be read, or does not say what a command needs to know of it."""


class ProfileError(MsnoahError):
    """A profile that cannot be read, or two that cannot be compared."""


class TrainingError(MsnoahError):
    """Training that cannot go on: a loss that is not finite, a resume that does not fit."""

    exit_code = 1


class VerificationError(MsnoahError):
    """An artifact whose outputs differ from the model's by more than the tolerance."""

    exit_code = 1


class RegressionError(MsnoahError):
    """A profile that is slower than its baseline by more than was allowed."""

    exit_code = 1


class CompatibilityError(MsnoahError):
    """A graph that a target's public documents say it does not run."""

    exit_code = 1


class ToolError(MsnoahError):
    """A vendor's tool that ran and failed, hung or crashed."""

    exit_code = 1


class BudgetError(MsnoahError):
    """A budget of latency, or of accuracy that may be lost, that no artifact meets."""

    exit_code = 1


def describe_failure(error: BaseException) -> str:
    """What another library says of its failure, on one line: its first two lines that are no ruled ones."""
    lines = [line.strip(" -") for line in str(error).splitlines()]
    return " ".join([line for line in lines if line][:2])[:300] or type(error).__name__
