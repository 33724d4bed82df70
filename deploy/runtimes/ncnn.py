"""ncnn on the CPU: float32 in memory and in arithmetic, in as many threads as are asked for, at a fixed batch."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from msnoah.deploy.artifact import Artifact
from msnoah.deploy.runtimes.base import OperatorTime
from msnoah.deploy.runtimes.conversion import Converter, read_interface
from msnoah.deploy.runtimes.requirement import Requirement
from msnoah.errors import ProfileError

NCNN = Requirement("ncnn", "ncnn", "pip install ncnn")
PNNX = Requirement(
    "pnnx", None, "pip install --no-deps pnnx",
    "it converts for ncnn; with its dependencies it would bring torch, which only its Python interface needs")
PARAM_FILE, WEIGHTS_FILE = "model.ncnn.param", "model.ncnn.bin"
AXES_FILE = "batch_axes.json"  # {"inputs": [axis of the batch or null, ...], "outputs": [...]}
NO_BATCH = 233  # ncnn's word for it
HALF_PRECISION = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage")


class NcnnRuntime:
    """Runs .onnx files that pnnx has converted."""

    name = "ncnn"
    kinds = ("onnx",)
    thread_control = "threads of the net's options"
    requirements = (NCNN, PNNX)
    purpose = "phones and boards; converts ONNX by pnnx"
    operator_times = False

    def prepare(self, threads: int) -> None:
        """Nothing: the net takes the number of threads."""

    def version(self) -> str:
        """The installed version of ncnn."""
        return NCNN.version()

    def convert(self, artifact: Artifact, batch: int) -> Artifact:
        """The artifact as .param and .bin; ProfileError says what became of a converter that failed."""
        module, files = "msnoah.deploy.runtimes.ncnn_conversion", (PARAM_FILE, WEIGHTS_FILE, AXES_FILE)
        return Converter(self.name, module, PNNX.installed_version(), files).convert(artifact, batch)

    def load(self, artifact: Artifact, threads: int) -> "NcnnSession":
        """Loads what `convert` made; ProfileError lists layers that ncnn does not have."""
        return NcnnSession(artifact.path, threads)


class NcnnSession:
    """A net and the places of the batch in its inputs and outputs."""

    def __init__(self, folder: Path, threads: int):
        self.ncnn, self.inputs = NCNN.load(), read_interface(folder).inputs
        self.input_axes, self.output_axes = _read_axes(folder / AXES_FILE)
        _check_layers(self.ncnn, folder / PARAM_FILE)
        self.net = self.ncnn.Net()
        self.net.opt.num_threads = threads
        for option in HALF_PRECISION:
            setattr(self.net.opt, option, False)
        for load, name in ((self.net.load_param, PARAM_FILE), (self.net.load_model, WEIGHTS_FILE)):
            if load(str(folder / name)):
                raise ProfileError(f"ncnn cannot load {folder / name}")

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Runs once; each output is computed when it is extracted."""
        with self.net.create_extractor() as extractor:
            for index, (feed, axis) in enumerate(zip(feeds, self.input_axes, strict=True)):
                extractor.input(f"in{index}", self.ncnn.Mat(feed, batch_index=axis).clone())
            return [self._extract(extractor, f"out{index}", axis) for index, axis in enumerate(self.output_axes)]

    def _extract(self, extractor, name: str, batch_axis: int) -> np.ndarray:
        code, output = extractor.extract(name)
        if code:
            raise ProfileError(f"ncnn cannot compute '{name}': it gives code {code}")
        return output.numpy(batch_index=batch_axis).copy()

    def operators(self, feeds: Sequence[np.ndarray], runs: int) -> list[OperatorTime]:
        """None: ncnn's Python package is built without its profiler."""
        return []


def _read_axes(path: Path) -> tuple[list[int], list[int]]:
    """The batch_index of each input and each output."""
    record = json.loads(path.read_text(encoding="utf-8"))
    inputs, outputs = ([NO_BATCH if axis is None else axis for axis in record[side]] for side in ("inputs", "outputs"))
    return inputs, outputs


def _check_layers(ncnn, path: Path) -> None:
    """pnnx writes what it could not translate under names that ncnn does not know."""
    kinds = Counter(line.split()[0] for line in path.read_text(encoding="utf-8").splitlines()[2:])
    missing = [f"{kind} ({count})" for kind, count in kinds.items() if ncnn.layer_to_index(kind) < 0]
    if missing:
        raise ProfileError(f"ncnn has no layers {', '.join(missing)}")
