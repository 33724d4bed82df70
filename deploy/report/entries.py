"""What a comparison is made of: every profile of every run, with the accuracy of what was profiled beside it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msnoah.deploy.profile import Profile, load_profile
from msnoah.deploy.report.formats import number
from msnoah.errors import ProfileError
from msnoah.run_folder import RunFolder, read_json

SCORES = {"top1": "top-1", "miou": "mIoU"}
"""Measures of an evaluation that a comparison shows, by key: how they are called."""


@dataclass(frozen=True)
class Score:
    """A share (0-1) on held-out data, and what it measures."""

    measure: str
    value: float


@dataclass(frozen=True)
class Entry:
    """One measured row of a run; `score` is None where no accuracy was taken of what the row measured."""

    run: str
    profile: Profile
    score: Score | None

    @property
    def label(self) -> str:
        """The run and the row."""
        return f"{self.run}: {self.profile.label}"


def gather_entries(runs: Sequence[RunFolder]) -> list[Entry]:
    """All rows of the runs, in their order.

    Raises:
        ProfileError: a run that was not profiled, or a profile that is damaged.
    """
    names = run_names(runs)
    return [Entry(name, profile, find_score(run, profile))
            for name, run in zip(names, runs, strict=True) for profile in _profiles(run)]


def run_names(runs: Sequence[RunFolder]) -> list[str]:
    """The folders' names, or their paths where two have one name."""
    counts = Counter(run.name for run in runs)
    return [run.name if counts[run.name] == 1 else str(run.path) for run in runs]


def find_score(run: RunFolder, profile: Profile) -> Score | None:
    """The accuracy of what a profile measured: of its own file if that was evaluated, else of the run's evaluation.

    Raises:
        RunFolderError: a record is damaged.
    """
    own = _artifact_entry(run, profile).get("accuracy")
    if isinstance(own, dict):
        return _score(own)
    if profile.precision != "float32":
        return None
    paths = (run.onnx_evaluation_path, run.evaluation_path)
    return next((score for path in paths if path.is_file() and (score := _score(read_json(path)))), None)


def _profiles(run: RunFolder) -> list[Profile]:
    if not run.profile_paths():
        raise ProfileError(f"{run.path}: no profiles yet; `msnoah profile {run.path}` takes them")
    return [load_profile(path) for path in run.profile_paths()]


def _artifact_entry(run: RunFolder, profile: Profile) -> dict[str, Any]:
    artifacts = read_json(run.export_path).get("artifacts", {}) if run.export_path.is_file() else {}
    return next((entry for entry in artifacts.values() if entry.get("sha256") == profile.sha256), {})


def _score(record: dict[str, Any]) -> Score | None:
    known = ((name, number(record.get(key))) for key, name in SCORES.items())
    return next((Score(name, value) for name, value in known if value is not None), None)
