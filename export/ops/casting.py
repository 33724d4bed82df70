"""Casts, and MindSpore's numbers of element types."""

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.ops.arithmetic import cast
from msnoah.export.ops.table import Const, handles

TYPE_IDS = {
    30: np.bool_, 32: np.int8, 33: np.int16, 34: np.int32, 35: np.int64, 37: np.uint8, 38: np.uint16,
    39: np.uint32, 40: np.uint64, 42: np.float16, 43: np.float32, 44: np.float64,
    45: np.float32,   # bfloat16, as the reader takes it
}
"""Element type by MindSpore's TypeId, which `dtype` arguments carry."""


def element_type(g, type_id: int) -> np.dtype:
    """The element type that a `dtype` argument names; ConversionError for complex and others."""
    if type_id not in TYPE_IDS:
        raise ConversionError(f"{g.place}: MindSpore's type {type_id} has no ONNX form here; use float32 or float16")
    return np.dtype(TYPE_IDS[type_id])


@handles("Cast")
def cast_to(g, x, dtype: Const):
    return cast(g, x, element_type(g, dtype))


@handles("TypeAs")
def cast_like(g, x, other):
    return cast(g, x, other.dtype)
