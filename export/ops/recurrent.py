"""Recurrent layers that MindIR holds as one primitive; the others come as their steps."""

import math

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.ops.shape import reshape
from msnoah.export.ops.table import Const, handles

GATES = np.array([0, 3, 1, 2])
"""MindSpore's gates input, forget, cell, output in ONNX's order input, output, forget, cell."""


@handles("LSTM")
def lstm(
    g, x, hidden, cell, weights,
    *, hidden_size: Const, num_layers: Const = 1, has_bias: Const = True, bidirectional: Const = False,
    proj_size: Const = 0,
):
    """x (T, B, I), hidden and cell (D, B, H) -> (T, B, D H), and both states at the end. `weights` holds, one after
    the other and by direction, W (D, 4 H, I), R (D, 4 H, H) and the sum of both biases (D, 4 H)."""
    if num_layers != 1 or proj_size:
        raise ConversionError(
            f"{g.place}: LSTM of {num_layers} layers with projection to {proj_size}; only one layer without projection "
            "has an ONNX form here (nn.LSTM gives one LSTM for each layer)")
    directions, size, flat = 1 + bool(bidirectional), hidden_size, reshape(g, weights, (-1,))
    shapes = [(directions, 4, size, x.shape[-1]), (directions, 4, size, size), (directions, 4, size)]
    input_weight, recurrent_weight, *bias = _cut(g, flat, shapes[: 2 + bool(has_bias)])
    if has_bias:
        zeros = np.zeros((directions, 4 * size), x.dtype)
        bias = g.op("Concat", bias[0], zeros, axis=1)
    y, last_hidden, last_cell = g.op(
        "LSTM", x, input_weight, recurrent_weight, bias if has_bias else None, None, hidden, cell, outputs=3,
        hidden_size=size, direction="bidirectional" if bidirectional else "forward")
    y = g.op("Transpose", y, perm=[0, 2, 1, 3])   # (T, D, B, H) -> (T, B, D, H)
    return reshape(g, y, (*x.shape[:2], -1)), last_hidden, last_cell, None, None


def _cut(g, flat, shapes):
    """Consecutive parts, each with its gates in ONNX's order and merged with the axis after them."""
    parts = g.op("Split", flat, g.ints(*map(math.prod, shapes)), outputs=len(shapes), axis=0)
    for part, shape in zip(parts, shapes, strict=True):
        ordered = g.op("Gather", reshape(g, part, shape), GATES, axis=1)
        yield reshape(g, ordered, (shape[0], shape[1] * shape[2], *shape[3:]))
