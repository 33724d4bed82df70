"""LiteRT, TensorFlow Lite's successor, on the CPU: .tflite files, and .onnx files that onnx2tf has converted."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from msnoah.deploy.artifact import Artifact, TensorSpec
from msnoah.deploy.environments.table import ONNX2TF
from msnoah.deploy.runtimes.base import OperatorTime
from msnoah.deploy.runtimes.conversion import Converter, read_interface
from msnoah.deploy.runtimes.requirement import EnvironmentRequirement, Requirement
from msnoah.errors import ProfileError

LITERT = Requirement("ai-edge-litert", "ai_edge_litert.interpreter", "pip install ai-edge-litert")
ONNX2TF_HERE = EnvironmentRequirement(ONNX2TF, imported=False)   # its import takes as long as TensorFlow's
MODEL_FILE = "model.tflite"
LAYOUT_FILE = "layout.json"
INPUT, OUTPUT = "input_{}", "output_{}"
"""Names of inputs and outputs in converted files, by their number in the artifact."""
CONVERSION_LIMIT_S = 1700.0  # onnx2tf runs both graphs at many operators, to find out which axis is which


class LiteRtRuntime:
    """Runs .tflite files as they are, and .onnx files that onnx2tf has converted in its side environment."""

    name = "litert"
    kinds = ("tflite", "onnx")
    thread_control = "threads of the interpreter"
    requirements = (LITERT, ONNX2TF_HERE)
    purpose = "Android; .tflite files as they are, ONNX by onnx2tf"
    operator_times = False

    def prepare(self, threads: int) -> None:
        """Nothing: the interpreter takes the number of threads."""

    def version(self) -> str:
        """The installed version of LiteRT."""
        return LITERT.version()

    def convert(self, artifact: Artifact, batch: int) -> Artifact:
        """A .tflite file itself, at the batch size that it will be prepared for; an .onnx file as .tflite.

        ProfileError says what became of a converter that failed.
        """
        if artifact.kind == "tflite":
            return replace(artifact, batch=batch)
        if artifact.precision != "float32":
            raise ProfileError(f"onnx2tf is driven in float32 only; {artifact.path.name} is of {artifact.precision}")
        LITERT.version()   # minutes before it would be missed
        module, version = "msnoah.deploy.runtimes.litert_conversion", ONNX2TF_HERE.installed_version()
        files = (MODEL_FILE, LAYOUT_FILE)
        return Converter(self.name, module, version, files, CONVERSION_LIMIT_S).convert(artifact, batch)

    def load(self, artifact: Artifact, threads: int) -> "LiteRtSession":
        """Reads the graph and fixes a free batch; ProfileError says what LiteRT refuses."""
        if artifact.path.is_dir():
            return ConvertedSession(artifact.path, threads)
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


class ConvertedSession(LiteRtSession):
    """What onnx2tf made of an .onnx file; inputs and outputs as the artifact has them."""

    def __init__(self, folder: Path, threads: int):
        super().__init__(folder / MODEL_FILE, None, threads)
        self.inputs = read_interface(folder).inputs
        self.shapes = json.loads((folder / LAYOUT_FILE).read_text(encoding="utf-8"))["outputs"]
        self.places = tensor_places(self.interpreter, "input", INPUT, len(self.inputs))
        self.outputs = [place["index"] for place in tensor_places(self.interpreter, "output", OUTPUT, len(self.shapes))]

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Runs once; the outputs get their shapes back."""
        return [output.reshape(shape) for output, shape in zip(super().run(feeds), self.shapes, strict=True)]


def tensor_places(interpreter, role: str, name: str, count: int) -> list[dict]:
    """The tensors of a role in the artifact's order, by the names of the file's signature.

    TensorFlow leaves the signature out where a layer of onnx2tf's keeps its weights to itself, as grouped convolutions
    do. A single tensor needs no name.
    """
    if not interpreter.get_signature_list():
        alone = getattr(interpreter, f"get_{role}_details")()
        if count == len(alone) == 1:
            return alone
        raise ProfileError(f"litert cannot tell {len(alone)} {role}s apart: the converted file has no signature")
    found = getattr(interpreter.get_signature_runner(), f"get_{role}_details")()
    wanted = [name.format(index) for index in range(count)]
    known = {re.sub(r"(_\d+)_\d+$", r"\1", one): place for one, place in found.items()}   # Keras may number them again
    if sorted(known) != sorted(wanted):
        raise ProfileError(f"litert has {role}s {sorted(found)} after conversion, expected {wanted}")
    return [known[one] for one in wanted]


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
