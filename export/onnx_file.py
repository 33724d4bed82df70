"""ONNX models, checked and written without a second copy of their weights; above 2 GB weights lie beside the file."""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import TensorProto, helper

from msnoah.atomic_file import replacing
from msnoah.errors import ConversionError
from msnoah.export.wire_format import encode_prefix

SINGLE_FILE_LIMIT = 2**31 - 2**20
"""Bytes of weights that one file holds: protobuf's limit is 2 GB, and the rest is for the graph."""

INLINE_LIMIT = 1024
"""Bytes up to which a tensor always stays in the graph: ONNX wants shapes, axes and the like there."""

ALIGNMENT = 4096
"""Weights in a data file begin at multiples of this, a page of memory, so that runtimes can map them."""


def save_onnx(model: onnx.ModelProto, path: str | Path, *, single_file_limit: int = SINGLE_FILE_LIMIT) -> None:
    """Writes a model; one with larger weights than `single_file_limit` bytes as `path` and `<path>.data` beside it.

    Each file is whole or not there. The earlier model stays as it was unless both new files are complete.

    Raises:
        RunFolderError: the system refused to write, with its reason.
    """
    path = Path(path)
    if sum(_size(tensor) for tensor in model.graph.initializer) <= single_file_limit:
        with replacing(path) as temporary, temporary.open("wb") as file:
            file.writelines(_encode_model(model, model.graph.initializer))
        return
    data_path = path.with_name(f"{path.name}.data")
    with replacing(path) as temporary, replacing(data_path) as temporary_data:
        with temporary_data.open("wb") as data, temporary.open("wb") as file:
            WeightsFile(data, data_path.name).write_model(model, file)
        if data_path.exists():  # A kill between the two renames must not leave the old graph with the new weights.
            path.unlink(missing_ok=True)


class WeightsFile:
    """Weights of one or several models in a file of their own, each aligned, those with equal bytes once.

    Attributes:
        location: its name as the models have it, in their own folder.
    """

    def __init__(self, file: BinaryIO, location: str):
        self.location = location
        self._file = file
        self._offsets: dict[bytes, int] = {}

    def write_model(self, model: onnx.ModelProto, file: BinaryIO) -> None:
        """Writes a model to `file` with its large weights here; small ones stay with it. Writing it again adds none."""
        tensors = [self._move(tensor) if _is_large(tensor) else tensor for tensor in model.graph.initializer]
        file.writelines(_encode_model(model, tensors))

    def _move(self, tensor: TensorProto) -> TensorProto:
        """The tensor that refers to its bytes in the weights file."""
        contents = tensor.raw_data
        moved = _select(tensor, lambda f: f.name != "raw_data")
        moved.data_location = TensorProto.EXTERNAL
        for key, value in {"location": self.location, "offset": self._place(contents), "length": len(contents)}.items():
            moved.external_data.add(key=key, value=str(value))
        return moved

    def _place(self, contents: bytes) -> int:
        key = hashlib.sha256(contents).digest()
        if key not in self._offsets:
            self._file.write(bytes(-self._file.tell() % ALIGNMENT))
            self._offsets[key] = self._file.tell()
            self._file.write(contents)
        return self._offsets[key]


def weights_size(model: onnx.ModelProto) -> int:
    """Bytes of a model's weights that a weights file holds, without what aligns them."""
    return sum(_size(tensor) for tensor in model.graph.initializer if _is_large(tensor))


def _is_large(tensor: TensorProto) -> bool:
    return tensor.HasField("raw_data") and _size(tensor) > INLINE_LIMIT


def check_onnx(model: onnx.ModelProto) -> None:
    """Runs ONNX's full check, shapes included, on a model of any size.

    The check does not look at the contents of weights, so it runs on a copy in which the large ones are inputs.

    Raises:
        ConversionError: ONNX refuses the model, or a tensor's bytes do not fill its shape.
    """
    try:
        onnx.checker.check_model(without_weights(model), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise ConversionError(f"the converted graph is not valid ONNX: {' '.join(str(error).split())}") from None


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which weights above INLINE_LIMIT are inputs of their shape, for what does not look at their contents.

    Raises:
        ConversionError: a weight's bytes do not fill its shape.
    """
    light = _select(model, lambda f: f.name != "graph")
    light.graph.CopyFrom(_select(model.graph, lambda f: f.name != "initializer"))
    inputs = {info.name for info in model.graph.input}
    for tensor in model.graph.initializer:
        if _size(tensor) <= INLINE_LIMIT:
            light.graph.initializer.add().CopyFrom(tensor)
            continue
        _check_size(tensor)
        if tensor.name not in inputs:
            info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            light.graph.input.add().CopyFrom(info)
    return light


def _check_size(tensor: TensorProto) -> None:
    stored = len(tensor.raw_data)
    if tensor.HasField("raw_data") and stored != _size(tensor):
        raise ConversionError(
            f"the converted graph is not valid ONNX: '{tensor.name}' has {stored} bytes, its shape {list(tensor.dims)} "
            f"needs {_size(tensor)}")


def _size(tensor: TensorProto) -> int:
    """Bytes that the tensor's shape needs; reading raw_data itself would copy it."""
    return math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def _select(message: Message, keep: Callable[[FieldDescriptor], bool]) -> Message:
    """A copy of a message with some of its fields; the others are not read."""
    copy = type(message)()
    for field, value in message.ListFields():
        if not keep(field):
            continue
        if isinstance(value, Message):
            getattr(copy, field.name).CopyFrom(value)
        elif hasattr(value, "MergeFrom"):
            getattr(copy, field.name).MergeFrom(value)
        else:
            setattr(copy, field.name, value)
    return copy


# --- protobuf's wire format, with the fields in the order of their numbers as protobuf itself writes them


def _encode_model(model: onnx.ModelProto, tensors: Sequence[TensorProto]) -> Iterator[bytes]:
    """The bytes of the model with these tensors as its initializers, one tensor at a time."""
    sizes = [tensor.ByteSize() for tensor in tensors]
    prefixes = [_prefix(model.graph, "initializer", size) for size in sizes]
    before_tensors, after_tensors = _encode_around(model.graph, "initializer")
    length = len(before_tensors) + sum(sizes) + sum(map(len, prefixes)) + len(after_tensors)
    before_graph, after_graph = _encode_around(model, "graph")
    yield before_graph + _prefix(model, "graph", length) + before_tensors
    for prefix, tensor in zip(prefixes, tensors, strict=True):
        yield prefix
        yield tensor.SerializeToString()
    yield after_tensors + after_graph


def _encode_around(message: Message, name: str) -> tuple[bytes, bytes]:
    """The bytes of the fields with smaller numbers than the named one, and of those with larger numbers."""
    number = message.DESCRIPTOR.fields_by_name[name].number
    before, after = _select(message, lambda f: f.number < number), _select(message, lambda f: f.number > number)
    return before.SerializeToString(), after.SerializeToString()


def _prefix(message: Message, name: str, length: int) -> bytes:
    return encode_prefix(message.DESCRIPTOR.fields_by_name[name].number, length)

