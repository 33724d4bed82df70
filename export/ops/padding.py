"""Primitives that put elements around a tensor."""

import numpy as np

from msnoah.export.ops.creation import scalar
from msnoah.export.ops.table import Const, as_tuple, handles

ONNX_MODES = {"constant": "constant", "reflect": "reflect", "edge": "edge"}
"""ONNX's name by MindSpore's, where opset 17 has the mode."""

NUMPY_MODES = {"circular": "wrap", "symmetric": "symmetric"}
"""numpy's name of the modes that ONNX lacks: their elements are gathered, axis by axis."""


def pad_axes(g, x, pairs, mode: str, value=0):
    """Pads by pairs (before, after), one for each axis; negative ones cut."""
    pairs = [tuple(int(number) for number in pair) for pair in pairs]
    if not any(any(pair) for pair in pairs):
        return x
    if mode in NUMPY_MODES:
        return _gather_axes(g, x, pairs, NUMPY_MODES[mode])
    befores, afters = zip(*pairs, strict=True)
    number = scalar(g, value, x.dtype) if mode == "constant" else None
    return g.op("Pad", x, g.ints(*befores, *afters), number, mode=ONNX_MODES[mode])


def _gather_axes(g, x, pairs, mode: str):
    for axis, pair in enumerate(pairs):
        if any(pair):
            index = np.pad(np.arange(x.shape[axis]), [max(number, 0) for number in pair], mode)
            index = index[max(-pair[0], 0):len(index) - max(-pair[1], 0)]
            x = g.op("Gather", x, index.astype(np.int64), axis=axis)
    return x


def pairs_from_last(rank: int, numbers) -> np.ndarray:
    """(before, after, before, after, ...) from the last axis to the first -> pairs for all axes."""
    pairs = np.array(as_tuple(numbers), np.int64).reshape(-1, 2)
    return np.concatenate([np.zeros((rank - len(pairs), 2), np.int64), pairs[::-1]])


@handles("Pad")
def pad(g, x, *, paddings: Const):
    """Zeros around x; paddings ((before, after), ...) by axis."""
    return pad_axes(g, x, paddings, "constant")


@handles("PadV3")
def pad_v3(g, x, paddings: Const, value=None, *, mode: Const = "constant", paddings_contiguous: Const = True):
    """paddings run from the last axis to the first: (before, after, before, after, ...), or all before, then all
    after."""
    numbers = np.array(as_tuple(paddings))
    numbers = numbers if paddings_contiguous else numbers.reshape(2, -1).T
    return pad_axes(g, x, pairs_from_last(len(x.shape), numbers.reshape(-1)), mode, 0 if value is None else value)


@handles("ConstantPadND")
def constant_pad(g, x, paddings: Const, value=0.0):
    return pad_v3(g, x, paddings, value)


@handles("MirrorPad")
def mirror_pad(g, x, paddings: Const, *, mode: Const):
    """REFLECT leaves out the border itself, SYMMETRIC repeats it."""
    return pad_axes(g, x, np.array(paddings).reshape(-1, 2), mode.lower())


@handles("ReflectionPad1D", "ReflectionPad2D", "ReflectionPad3D")
def reflection_pad(g, x, paddings: Const):
    return pad_axes(g, x, pairs_from_last(len(x.shape), paddings), "reflect")


@handles("ReplicationPad1D", "ReplicationPad2D", "ReplicationPad3D")
def replication_pad(g, x, paddings: Const):
    return pad_axes(g, x, pairs_from_last(len(x.shape), paddings), "edge")


@handles("Padding")
def pad_last(g, x, *, pad_dim_size: Const = 8):
    """(..., 1) -> (..., pad_dim_size), zeros after the element."""
    return pad_axes(g, x, [*[(0, 0)] * (len(x.shape) - 1), (0, pad_dim_size - 1)], "constant")
