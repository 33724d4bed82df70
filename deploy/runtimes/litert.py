"""LiteRT, TensorFlow Lite's successor, on the CPU: .tflite files as they are, in as many threads as are asked for."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from msnoah.deploy.artifact import Artifact, TensorSpec
from msnoah.deploy.runtimes.base import OperatorTime
from msnoah.deploy.runtimes.requirement import Requirement
from msnoah.errors import ProfileError

LITERT = Requirement("ai-edge-litert", "ai_edge_litert.interpreter", "pip install ai-edge-litert")


class LiteRtRuntime:
    """Runs .tflite files; msnoah does not write them."""

    name = "litert"
    kind = "tflite"
    thread_control = "threads of the interpreter"
    requirements = (LITERT,)
    purpose = ".tflite files for Android, which other tools make of ONNX"
    operator_times = False

    def prepare(self, threads: int) -> None:
        """Nothing: the interpreter takes the number of threads."""

    def version(self) -> str:
        """The installed version of LiteRT."""
        return LITERT.version()

    def convert(self, artifact: Artifact, batch: int) -> Artifact:
        """The artifact itself, and the batch size that it will be prepared for."""
        return replace(artifact, batch=batch)

    def load(self, artifact: Artifact, threads: int) -> "LiteRtSession":
        """Reads the graph and fixes a free batch; ProfileError says what LiteRT refuses."""
        return LiteRtSession(artifact.path, artifact.batch, threads)


class LiteRtSession:
    """An interpreter with its tensors allocated; inputs and outputs in the file's order."""

    def __init__(self, path: Path, batch: int | None, threads: int):
        with _refusals(f"load {path.name}"):
            self.interpreter = LITERT.load().Interpreter(model_path=str(path), num_threads=threads)
            for place in self.interpreter.get_input_details():
                shape = _at_batch(place, batch)
                if None not in shape and shape != tuple(place["shape"]):
                    self.interpreter.resize_tensor_input(place["index"], shape)
            self.interpreter.allocate_tensors()
        self.places = self.interpreter.get_input_details()
        self.inputs = [_spec(place, batch) for place in self.places]
        self.outputs = [place["index"] for place in self.interpreter.get_output_details()]

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Runs once; `invoke` returns when the outputs are computed."""
        with _refusals("run"):
            for place, feed in zip(self.places, feeds, strict=True):
                self.interpreter.set_tensor(place["index"], feed)
            self.interpreter.invoke()
        return [self.interpreter.get_tensor(index) for index in self.outputs]

    def operators(self, feeds: Sequence[np.ndarray], runs: int) -> list[OperatorTime]:
        """None: LiteRT's interpreter has no profiler in Python."""
        return []


def _at_batch(place: dict, batch: int | None) -> tuple[int | None, ...]:
    """The shape of an input, with the batch where the first axis is free and None where another one is."""
    shape = tuple(None if axis < 0 else int(axis) for axis in place["shape_signature"])
    return (batch, *shape[1:]) if shape and shape[0] is None else shape


def _spec(place: dict, batch: int | None) -> TensorSpec:
    return TensorSpec(name=place["name"], shape=_at_batch(place, batch), dtype=np.dtype(place["dtype"]).name)


@contextmanager
def _refusals(action: str) -> Iterator[None]:
    """LiteRT's errors begin with advice and end with the operator that is at fault: of long ones the middle goes."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        words = " ".join(str(error).split())
        told = words if len(words) <= 300 else f"{words[:150]} ... {words[-100:]}"
        raise ProfileError(f"litert cannot {action}: {told}") from error
