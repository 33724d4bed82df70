"""Determinants, inverses, powers and distances."""

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.graph import Value
from msnoah.export.ops.arithmetic import cast
from msnoah.export.ops.linear import transpose_last
from msnoah.export.ops.reduction import reduce
from msnoah.export.ops.table import Const, handles

LARGEST_INVERSE = 8
"""Largest matrix that is inverted at run time: ONNX has determinants only, so that the work grows with the fifth
power."""


@handles("MatrixDeterminant")
def determinant(g, x):
    return g.op("Det", x)


@handles("LogMatrixDeterminant")
def log_determinant(g, x):
    """(sign, log |det x|). MindSpore adds up logarithms, so a large matrix has one where its determinant overflows."""
    if x.shape[-1] > LARGEST_INVERSE:
        raise ConversionError(
            f"{g.place}: the logarithm of the determinant of a {x.shape[-1]} x {x.shape[-1]} matrix; up to "
            f"{LARGEST_INVERSE} x {LARGEST_INVERSE} has an ONNX form here")
    det = g.op("Det", x)
    return g.op("Sign", det), g.op("Log", g.op("Abs", det))


@handles("MatrixInverse")
def inverse_or_adjoint(g, x, *, adjoint: Const = False):
    return transpose_last(g, inverse(g, x)) if adjoint else inverse(g, x)


@handles("MatrixInverseExt")
def inverse(g, x):
    """x^-1 = cofactors^T / det; a known matrix is inverted at conversion."""
    if not isinstance(x, Value):
        return np.linalg.inv(x)
    size = x.shape[-1]
    if size > LARGEST_INVERSE:
        raise ConversionError(
            f"{g.place}: the inverse of a {size} x {size} matrix; up to {LARGEST_INVERSE} x {LARGEST_INVERSE} has an "
            "ONNX form here")
    if size == 1:
        return g.op("Reciprocal", x)
    determinants = g.op("Unsqueeze", g.op("Det", x), g.ints(-2, -1))
    return g.op("Div", transpose_last(g, _cofactors(g, x, size)), determinants)


def _cofactors(g, x, size: int):
    """(..., N, N): the determinant without row i and column j, with the sign of (-1)^(i + j)."""
    others = np.array([[k for k in range(size) if k != i] for i in range(size)])
    rank = len(x.shape)
    minors = g.op("Gather", g.op("Gather", x, others, axis=rank - 1), others, axis=rank - 2)   # (..., i, r, j, c)
    minors = g.op("Transpose", minors, perm=[*range(rank - 2), rank - 2, rank, rank - 1, rank + 1])
    signs = (-1.0) ** np.add.outer(np.arange(size), np.arange(size))
    return g.op("Mul", g.op("Det", minors), signs.astype(x.dtype))


@handles("MatrixSolve")
def solve(g, x, right, *, adjoint: Const = False):
    """y with x y = right, or x^T y = right."""
    return g.op("MatMul", inverse_or_adjoint(g, x, adjoint=adjoint), right)


@handles("MatrixPower")
def power(g, x, *, n: Const):
    if n == 0:
        return np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape).copy()
    return _power(g, x if n > 0 else inverse(g, x), abs(n))


def _power(g, x, n: int):
    # Squares: log2(n) products.
    if n == 1:
        return x
    half = _power(g, x, n // 2)
    square = g.op("MatMul", half, half)
    return g.op("MatMul", square, x) if n % 2 else square


@handles("Cdist")
def pairwise_distances(g, x, y, p: Const = 2.0):
    """x (..., P, M), y (..., R, M) -> (..., P, R). By differences: squares and products would cancel."""
    rank = len(x.shape)
    difference = g.op("Sub", g.op("Unsqueeze", x, g.ints(rank - 1)), g.op("Unsqueeze", y, g.ints(rank - 2)))
    return _norm(g, difference, float(p))


@handles("Pdist")
def distances_within(g, x, *, p: Const = 2.0):
    """(..., N, M) -> (..., N (N - 1) / 2): the distances between rows, first row with the later ones, and so on."""
    first, second = np.triu_indices(x.shape[-2], 1)
    axis = len(x.shape) - 2
    return _norm(g, g.op("Sub", g.op("Gather", x, first, axis=axis), g.op("Gather", x, second, axis=axis)), float(p))


def _norm(g, x, p: float):
    """The p-norm over the last axis."""
    if p in (1, 2):
        return reduce(g, f"ReduceL{int(p)}", x, -1, False)
    size = g.op("Abs", x)
    if p == np.inf:
        return reduce(g, "ReduceMax", size, -1, False)
    if p == 0:
        return reduce(g, "ReduceSum", cast(g, g.op("Greater", size, g.like(0, x)), x.dtype), -1, False)
    return g.op("Pow", reduce(g, "ReduceSum", g.op("Pow", size, g.like(p, x)), -1, False), g.like(1 / p, x))
