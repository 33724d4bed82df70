"""An ONNX model of one matrix product, written without the onnx package, which boards do not have."""

import numpy as np

from msnoah.export.wire_format import encode_prefix

_FLOAT, _IR_VERSION, _OPSET = 1, 8, 17


def write_product(size: int) -> bytes:
    """y = x @ w for float32 matrices of `size` rows and columns, w of ones stored in the model.

    Numbers are those of the fields in onnx.proto3.
    """
    weights = np.ones(size * size, np.float32).tobytes()
    tensor = _number(1, size) + _number(1, size) + _number(2, _FLOAT) + _text(8, "w") + _message(9, weights)
    node = _text(1, "x") + _text(1, "w") + _text(2, "y") + _text(4, "MatMul")
    graph = (_message(1, node) + _text(2, "product") + _message(5, tensor) + _message(11, _value("x", size))
             + _message(12, _value("y", size)))
    return _number(1, _IR_VERSION) + _message(8, _text(1, "") + _number(2, _OPSET)) + _message(7, graph)


def _value(name: str, size: int) -> bytes:
    axis = _message(1, _number(1, size))
    return _text(1, name) + _message(2, _message(1, _number(1, _FLOAT) + _message(2, axis + axis)))


def _message(field: int, contents: bytes) -> bytes:
    return encode_prefix(field, len(contents)) + contents


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())


def _number(field: int, value: int) -> bytes:
    encoded = b""
    while value >= 0x80:
        encoded, value = encoded + bytes([value & 0x7F | 0x80]), value >> 7
    return bytes([field << 3]) + encoded + bytes([value])
