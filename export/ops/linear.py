"""Matrix products. Constant matrices are transposed at export, so that none is left to transpose at run time."""

from msnoah.export.ops.arithmetic import cast, promote
from msnoah.export.ops.table import Const, handles


def transpose_last(g, x):
    """(..., M, N) -> (..., N, M)"""
    rank = len(x.shape)
    return g.op("Transpose", x, perm=[*range(rank - 2), rank - 1, rank - 2])


@handles("MatMul", "BatchMatMul")
def matmul(g, x, y, transpose_x: Const = False, transpose_y: Const = False):
    x = transpose_last(g, x) if transpose_x else x
    y = transpose_last(g, y) if transpose_y else y
    return g.op("MatMul", x, y)


@handles("MatMulExt", "BatchMatMulExt", "Mm")
def matmul_broadcast(g, x, y):
    return g.op("MatMul", x, y)


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


@handles("Addmm", "Baddbmm")
def add_matmul(g, x, left, right, beta: Const = 1, alpha: Const = 1):
    """beta x + alpha (left right)"""
    product = g.op("MatMul", left, right)
    product = product if alpha == 1 else g.op("Mul", product, cast(g, alpha, product.dtype))
    scaled = x if beta == 1 else g.op("Mul", *promote(g, x, beta))
    return g.op("Add", scaled, product)
