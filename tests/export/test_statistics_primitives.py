"""Spread, norms and order statistics: every handler against MindSpore."""

import math
from functools import partial

import mindspore
import numpy as np
import pytest
from mindspore import Tensor, ops
from mindspore.ops import auto_generate as primitives
from mindspore.ops.operations.math_ops import Quantile
from primitive_case import Case, case, check_case
from primitive_cells import FirstOutput, normal

x34 = normal(3, 4)
gaps = np.array([[1, np.nan, 2, 0], [np.nan, 4, np.nan, 5]], np.float32)
image = normal(2, 4, 7, 6)
with_zeros = np.array([[1, 0, -2], [0, 0, 3]], np.float32)


def prim(name: str):
    return getattr(primitives, name)()


def p_norm(order, axis=None, keep=False):
    return lambda x: (np.abs(x) ** order).sum(axis, keepdims=keep) ** np.float32(1 / order)


def middle(x):
    order = np.argsort(x, 1)[:, 1:2]
    return np.take_along_axis(x, order, 1), order


def second(x):
    return np.sort(x, 1)[:, 1], np.argsort(x, 1)[:, 1]


def quantile(x, q, **keywords):
    return np.quantile(x, np.asarray(q), **keywords).astype(np.float32)


CASES = [
    *[
        case("ReduceStd", primitives.ReduceStd(axis, unbiased, keep), image)
        for axis, unbiased, keep in ((1, True, True), ((2, 3), False, False))
    ],
    case("ReduceStd", prim("ReduceStd"), x34),
    *[
        case("Std", prim("Std"), image, constants=((2, 3), correction, keep), reference=reference)
        for correction, keep, reference in (
            (0, False, lambda x: x.std((2, 3))),
            (1, True, lambda x: x.std((2, 3), ddof=1, keepdims=True)),
        )
    ],
    case("Var", prim("Var"), x34, constants=(1, 1), reference=lambda x: x.var(1, ddof=1)),
    case("Var", prim("Var"), x34 + 1000, reference=lambda x: np.array(x.var(ddof=1))),
    case("VarMean", prim("VarMean"), x34, constants=(1, 0), reference=lambda x: (x.var(1), x.mean(1))),
    case("StdMean", prim("StdMean"), x34, constants=(1, 0), reference=lambda x: (x.std(1), x.mean(1))),
    *[
        case("LpNorm", ops.LpNorm(axis, p, keep), image)
        for axis, p, keep in (((1,), 2, True), ((0, 2), 1, False), ((1,), 3, False))
    ],
    case("LpNorm", ops.LpNorm((1,), 0), with_zeros),
    case("LpNormV2", prim("LpNormV2"), x34, constants=(3.0, (0, 1)), reference=p_norm(3)),
    case("Norm", prim("Norm"), x34, constants=(2.0, 1, True), reference=p_norm(2, 1, True)),
    case("LinalgVectorNorm", prim("LinalgVectorNorm"), x34, constants=(1.0, 0), reference=p_norm(1, 0)),
    *[
        case("LinalgVectorNorm", prim("LinalgVectorNorm"), x34, constants=(order, 1), reference=reference)
        for order, reference in ((math.inf, lambda x: np.abs(x).max(1)), (-math.inf, lambda x: np.abs(x).min(1)))
    ],
    case("EuclideanNorm", ops.EuclideanNorm(), x34, constants=(Tensor([1]),), reference=p_norm(2, 1)),
    case("SquareSumAll", ops.SquareSumAll(), x34, normal(3, 4)),
    case("L2Loss", ops.L2Loss(), x34),
    case("Kthvalue", prim("Kthvalue"), x34, constants=(2, 1), reference=second),
    case("MedianDim", prim("MedianDim"), x34, constants=(1, True), reference=middle),
    *[case("Median", ops.Median(False, axis, keep), image) for axis, keep in ((1, True), (-1, False))],
    case("Median", ops.Median(True), x34, cell=FirstOutput, reference=lambda x: np.sort(x.reshape(-1))[5]),
    case("Median", ops.Median(False, 1, False, True), gaps),
    *[
        case("Quantile", function, image, constants=(q,), reference=partial(quantile, q=q, **keywords))
        for function, q, keywords in (
            (Quantile(), 0.3, {}),
            (Quantile(1, True), 0.5, {"axis": 1, "keepdims": True}),
            (Quantile(-1), 0.25, {"axis": -1}),
            (Quantile(1), Tensor([0.2, 0.5], mindspore.float32), {"axis": 1}),
        )
    ],
    case("MedianExt", prim("MedianExt"), x34, reference=lambda x: np.sort(x.reshape(-1))[5]),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
