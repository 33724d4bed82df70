"""MindSpore Lite on the CPU: float32, in as many threads as are asked for, in an environment of its own."""

import sys
from collections.abc import Sequence
from pathlib import Path

from msnoah.deploy import environments
from msnoah.deploy.artifact import Artifact
from msnoah.deploy.environments.table import MINDSPORE_LITE
from msnoah.deploy.runtimes.base import Session
from msnoah.deploy.runtimes.conversion import Converter
from msnoah.deploy.runtimes.requirement import EnvironmentRequirement
from msnoah.errors import ProfileError, RuntimeUnavailableError

MODEL_FILE = "model.ms"
WORKER = Path(environments.__file__).with_name("mindspore_lite_worker.py")
LITE = EnvironmentRequirement(MINDSPORE_LITE)


class MindSporeLiteRuntime:
    """Runs .onnx files that its own converter has made .ms files of."""

    name = "mindspore-lite"
    kinds = ("onnx",)
    thread_control = "threads of the context, not bound to cores"
    requirements = (LITE,)
    purpose = "phones and Ascend boards; converts ONNX by its own tool"
    operator_times = False

    def prepare(self, threads: int) -> None:
        """Nothing: the context takes the number of threads."""

    def version(self) -> str:
        """The installed version of MindSpore Lite."""
        return LITE.installed_version()

    def worker_command(self) -> Sequence[str]:
        """Isolated, since PYTHONPATH holds packages of another Python."""
        MINDSPORE_LITE.find()
        return (str(MINDSPORE_LITE.interpreter), "-I", str(WORKER))

    def convert(self, artifact: Artifact, batch: int) -> Artifact:
        """The artifact as .ms; ProfileError says what became of a converter that failed."""
        if artifact.precision != "float32":
            found = f"{artifact.path.name} is of {artifact.precision}"
            raise ProfileError(f"{self.name} is driven in float32 only; {found}")
        module = "msnoah.deploy.runtimes.mindspore_lite_conversion"
        return Converter(self.name, module, self.version(), (MODEL_FILE,)).convert(artifact, batch)

    def load(self, artifact: Artifact, threads: int) -> Session:
        """Refused here: the worker in the environment loads."""
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise RuntimeUnavailableError(f"{self.name} runs in its own environment, not in this Python {here}")
