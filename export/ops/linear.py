"""Matrix products. Constant matrices are transposed at export, so that none is left to transpose at run time."""

import math

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.ops.arithmetic import cast, promote
from msnoah.export.ops.shape import reshape
from msnoah.export.ops.table import Const, handles


def transpose_last(g, x):
    """(..., M, N) -> (..., N, M)"""
    rank = len(x.shape)
    return g.op("Transpose", x, perm=[*range(rank - 2), rank - 1, rank - 2])


def multiply_axis(g, x, axis: int, matrix: np.ndarray):
    """x (..., size, ...) -> (..., out, ...) with a known matrix (out, size)."""
    if axis == len(x.shape) - 1:
        return g.op("MatMul", x, np.ascontiguousarray(matrix.T))
    lead, rest = x.shape[:axis], x.shape[axis + 1:]
    columns = x if len(rest) == 1 else reshape(g, x, (*lead, x.shape[axis], math.prod(rest)))
    product = g.op("MatMul", matrix, columns)
    return product if len(rest) == 1 else reshape(g, product, (*lead, len(matrix), *rest))


@handles("MatMul", "BatchMatMul")
def matmul(g, x, y, transpose_x: Const = False, transpose_y: Const = False):
    x = transpose_last(g, x) if transpose_x else x
    y = transpose_last(g, y) if transpose_y else y
    return g.op("MatMul", x, y)


@handles("MatMulExt", "BatchMatMulExt", "Mm", "Mv", "Dot")
def matmul_broadcast(g, x, y):
    return g.op("MatMul", x, y)


@handles("Ger", "Outer")
def outer(g, x, y):
    """x (M,), y (N,) -> (M, N)"""
    return g.op("Mul", *promote(g, reshape(g, x, (-1, 1)), y))


@handles("Einsum")
def einsum(g, tensors, *, equation: Const):
    """A sum over everything has shape (1,) in MindSpore."""
    return reshape(g, g.op("Einsum", *tensors, equation=equation), g.type.shape)


@handles("Dense")
def dense(g, x, weight, bias=None):
    """x W^T + b, weight (out, in)"""
    product = g.op("MatMul", x, transpose_last(g, weight))
    return product if bias is None else g.op("Add", product, bias)


@handles("BiasAdd")
def bias_add(g, x, bias, data_format: Const = 0):
    """Adds bias (C,) along axis 1, or along the last axis for format NHWC (1)."""
    axes_after = 0 if data_format == 1 else len(x.shape) - 2
    return g.op("Add", x, expand_last(g, bias, axes_after))


def expand_last(g, x, count: int):
    """(..., C) -> (..., C, 1, ..., 1)"""
    return g.op("Reshape", x, g.ints(*x.shape, *[1] * count)) if count else x


@handles("Addmm", "Baddbmm", "Addmv")
def add_matmul(g, x, left, right, beta: Const = 1, alpha: Const = 1):
    """beta x + alpha (left right)"""
    return _add_scaled(g, x, g.op("MatMul", left, right), beta, alpha)


@handles("Addbmm")
def add_sum_of_matmuls(g, x, left, right, beta: Const = 1, alpha: Const = 1):
    """beta x + alpha sum_b (left_b right_b), as one product of (M, B K) and (B K, N)."""
    batch, rows, inner = left.shape
    left = reshape(g, g.op("Transpose", left, perm=[1, 0, 2]), (rows, batch * inner))
    right = reshape(g, right, (batch * inner, right.shape[2]))
    return _add_scaled(g, x, g.op("MatMul", left, right), beta, alpha)


def _add_scaled(g, x, product, beta, alpha):
    product = product if alpha == 1 else g.op("Mul", product, cast(g, alpha, product.dtype))
    scaled = x if beta == 1 else g.op("Mul", *promote(g, x, beta))
    return g.op("Add", scaled, product)


@handles("TransposeBatchMatmulTranspose")
def transposed_matmul(
    g, x, y, perm_in: Const, perm_out: Const, transpose_a: Const = False, transpose_b: Const = False,
):
    """The product of a transposed x, transposed again."""
    product = matmul(g, g.op("Transpose", x, perm=list(perm_in)), y, transpose_a, transpose_b)
    return g.op("Transpose", product, perm=list(perm_out))


@handles("WeightQuantBatchMatmul")
def matmul_of_integer_weights(
    g, x, weight, antiquant_scale, antiquant_offset=None, quant_scale: Const = None, quant_offset: Const = None,
    bias=None, transpose_x: Const = False, transpose_weight: Const = False, antiquant_group_size: Const = 0,
):
    """x ((weight + offset) scale) + bias, weight (K, N) of integers, scale and offset (N,)"""
    if antiquant_group_size or quant_scale is not None or quant_offset is not None:
        raise ConversionError(f"{g.place}: integer weights scaled by groups, or a quantised result; scale by column")
    weight = cast(g, transpose_last(g, weight) if transpose_weight else weight, x.dtype)
    weight = weight if antiquant_offset is None else g.op("Add", weight, antiquant_offset)
    product = matmul(g, x, g.op("Mul", weight, antiquant_scale), transpose_x)
    return product if bias is None else g.op("Add", product, bias)
