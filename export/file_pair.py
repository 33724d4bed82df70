"""A MindIR file and the ONNX file made from it: what both take, and how the ONNX file runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from msnoah.errors import ConversionError, RuntimeUnavailableError
from msnoah.export.graph import TensorType
from msnoah.export.reader import read_mindir
from msnoah.export.verification import Arrays, Predict, run_session

DYNAMIC_BATCHES = 1, 2, 5
"""Batches that are compared where the ONNX graph takes any."""

INTEGERS = 0, 2
"""Random integers are drawn from here, the end left out: valid for the smallest of tables."""

LARGEST_FILE = 2**31 - 1
"""Bytes of one file that protobuf, and so MindSpore, can load."""

_NAMES = "int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool float16".split()
_TYPES = {"float": np.dtype("float32"), "double": np.dtype("float64"), **{name: np.dtype(name) for name in _NAMES}}


class FilePair:
    """Both files.

    Attributes:
        batch: rows for which the MindIR was exported, if the ONNX graph takes any number and gives one row for each
            in all of its outputs; else None, and only the MindIR's own shapes can be compared.
        whole: places of the inputs that have no batch axis.
        outputs: shape of each ONNX output by name; a free axis is its name.
        run_onnx: how the ONNX file runs.

    Raises:
        ConversionError: the MindIR cannot be read, or the files do not take the same inputs.
        RuntimeUnavailableError: ONNX Runtime refuses the ONNX file, or the MindIR is too large for MindSpore.
    """

    def __init__(self, mindir: Path, onnx: Path):
        self.mindir_types = read_mindir(mindir).input_types
        if mindir.stat().st_size > LARGEST_FILE:
            raise RuntimeUnavailableError(f"{mindir} is over 2 GB, which MindSpore cannot load; verify a smaller model")
        session = _open_session(onnx)
        inputs = session.get_inputs()
        self.run_onnx: Predict = run_session(session)
        self.outputs: dict[str, list[int | str]] = {value.name: list(value.shape) for value in session.get_outputs()}
        self.names = [value.name for value in inputs]
        self.types = [_TYPES[value.type.removeprefix("tensor(").removesuffix(")")] for value in inputs]
        _check_same(inputs, self.types, self.mindir_types, f"{mindir} and {onnx}")
        self.whole = [index for index, value in enumerate(inputs) if not value.shape or isinstance(value.shape[0], int)]
        self.batch = self._find_batch([value.shape for value in inputs])

    def _find_batch(self, shapes: list[list[int | str]]) -> int | None:
        by_rows = [index for index in range(len(shapes)) if index not in self.whole]
        names = {shapes[index][0] for index in by_rows}
        sizes = {self.mindir_types[index].shape[0] for index in by_rows}
        rows_out = all(shape and shape[0] in names for shape in self.outputs.values())
        return sizes.pop() if len(names) == len(sizes) == 1 and rows_out else None

    def choose_batches(self, batches: Sequence[int] | None) -> Sequence[int | None]:
        """The batches to compare: those wanted, or the usual ones; None stands for the MindIR's own shapes.

        Raises:
            ConversionError: other batches than the MindIR's are wanted, and the ONNX graph cannot be cut by rows.
        """
        if self.batch is not None:
            return batches or DYNAMIC_BATCHES
        own = {type_.shape[0] for type_ in self.mindir_types if type_.shape}
        if batches and set(batches) != own:
            raise ConversionError(
                f"batch {', '.join(map(str, batches))} cannot be compared: not every output has one row for each row "
                f"of the inputs, so only the shapes of the MindIR ({', '.join(map(str, self.mindir_types))}) can")
        return [None]

    def draw(self, batch: int | None, rng: np.random.Generator, integers: tuple[int, int]) -> Arrays:
        """Random inputs: normal floats, integers within the range, booleans of both values."""
        return [_draw(self.shape(index, batch), dtype, rng, integers) for index, dtype in enumerate(self.types)]

    def shape(self, index: int, batch: int | None) -> tuple[int, ...]:
        """The shape of an input at a batch."""
        shape = self.mindir_types[index].shape
        return shape if batch is None or index in self.whole else (batch, *shape[1:])

    def order(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Given arrays, by name, in the order of the graph's inputs.

        Raises:
            ConversionError: names, types or shapes that the files do not have.
        """
        if set(inputs) != set(self.names):
            given = ", ".join(inputs) or "none"
            raise ConversionError(f"the ONNX graph has the inputs {', '.join(self.names)}; given: {given}")
        arrays = [np.asarray(inputs[name]) for name in self.names]
        rows = next((len(a) for index, a in enumerate(arrays) if index not in self.whole and a.ndim), 1)
        for index, (name, array) in enumerate(zip(self.names, arrays, strict=True)):
            given = TensorType(array.dtype, array.shape)
            wanted = TensorType(self.types[index], self.shape(index, max(rows, 1) if self.batch else None))
            if given != wanted:
                raise ConversionError(f"input '{name}' is {given}; the files take {wanted}")
        return arrays

    def adapt(self, run_mindir: Predict) -> Predict:
        """The MindIR on inputs of the ONNX graph's types, which may be float16 for its float32."""
        types = [type_.dtype for type_ in self.mindir_types]
        return lambda arrays: run_mindir([array.astype(dtype) for array, dtype in zip(arrays, types, strict=True)])


def _open_session(path: Path) -> onnxruntime.InferenceSession:
    if not path.is_file():
        raise ConversionError(f"{path}: no such file; expected an ONNX file")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common base but this.
        raise RuntimeUnavailableError(f"{path}: ONNX Runtime cannot load it: {' '.join(str(error).split())}") from None


def _check_same(inputs, types: list[np.dtype], mindir_types: list[TensorType], where: str) -> None:
    if len(inputs) != len(mindir_types):
        raise ConversionError(f"{where} do not belong together: {len(mindir_types)} and {len(inputs)} inputs")
    for value, dtype, mindir_type in zip(inputs, types, mindir_types, strict=True):
        sizes = zip(value.shape, mindir_type.shape, strict=False)
        fits = len(value.shape) == len(mindir_type.shape) and all(a == b or not isinstance(a, int) for a, b in sizes)
        if not fits or (dtype != mindir_type.dtype and {dtype.kind, mindir_type.dtype.kind} != {"f"}):
            found = f"{dtype}{value.shape}".replace("'", "")
            raise ConversionError(f"{where} do not belong together: input '{value.name}' is {mindir_type} and {found}")


def _draw(shape: tuple[int, ...], dtype: np.dtype, rng: np.random.Generator, integers: tuple[int, int]) -> np.ndarray:
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(*((0, 2) if dtype.kind == "b" else integers), shape).astype(dtype)
