"""Exponentials and logarithms: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import Swapped, normal, positive

x34, y34, p34 = normal(3, 4), normal(3, 4), positive(3, 4)
tiny = x34 * 1e-6
with_zeros = np.array([[0, 2, 0, -1]] * 3, np.float32)


def log1p(x):
    return np.log1p(x.astype(np.float64)).astype(np.float32)


def expm1(x):
    return np.expm1(x.astype(np.float64)).astype(np.float32)


def logit(x):
    x = np.clip(x, 0.2, 0.8)
    return np.log(x / (1 - x))


def float_exp(x):
    return np.exp(x.astype(np.float32))


CASES = [
    *[case(name, getattr(ops, name)(), x34) for name in ("Exp", "Erf", "Erfc", "Expm1")],
    *[case(name, getattr(ops, name)(), p34) for name in ("Log", "Log1p")],
    case("Exp", ops.Exp(), np.array([-2, 0, 3]), reference=float_exp),
    # MindSpore's own lose digits near 0.
    case("Expm1", ops.Expm1(), tiny, reference=expm1),
    case("Log1p", ops.Log1p(), tiny, reference=log1p),
    case("Log1p", ops.Log1p(), np.array([-0.999, -0.5, 1e4, 1e12], np.float32), reference=log1p),
    case("Exp2", primitives.Exp2(), x34, reference=np.exp2),
    case("Log2", primitives.Log2(), p34, reference=np.log2),
    case("Log10", primitives.Log10(), p34, reference=np.log10),
    case("LogAddExp", primitives.LogAddExp(), x34 * 100, y34 * 100, reference=np.logaddexp),
    case("LogAddExp2", primitives.LogAddExp2(), x34, y34, reference=np.logaddexp2),
    case("Xlogy", ops.Xlogy(), with_zeros, p34),
    # MindSpore's own gives no number where both are 0; its documentation says 0.
    case("Xlogy", ops.Xlogy(), np.zeros(2, np.float32), np.array([1, 0], np.float32), reference=lambda x, y: x),
    case("XLogYScalarSelf", Swapped(primitives.XLogYScalarSelf(), 1.5), p34, reference=lambda x: 1.5 * np.log(x)),
    case(
        "XLogYScalarOther",
        primitives.XLogYScalarOther(),
        x34,
        constants=(1.5,),
        reference=lambda x: x * np.float32(np.log(1.5)),
    ),
    case("Logit", primitives.Logit(0.2), p34 / 3, reference=logit),
    case("Logit", primitives.Logit(), p34 / 3, reference=lambda x: np.log(x / (1 - x))),
    case("InplaceExp", primitives.InplaceExp(), x34, reference=np.exp),
    case("InplaceLog", primitives.InplaceLog(), p34, reference=np.log),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
