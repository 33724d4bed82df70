"""Activations: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import nn, ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import gelu, log_softmax, normal, positive

x34 = normal(3, 4)
image = normal(2, 4, 7, 6)
tokens = normal(2, 5, 8)

CASES = [
    *[
        case(name, getattr(ops, name)(), x34 * 4)
        for name in ("ReLU", "ReLU6", "Sigmoid", "HSwish", "HSigmoid", "GeLU", "Elu", "Softplus")
    ],
    case("SiLU", primitives.SiLU(), x34),
    case("Tanh", ops.Tanh(), x34, reference=np.tanh),  # MindSpore's own is off by 8e-5 on the CPU.
    case(
        "LeakyReLUExt",
        primitives.LeakyReLUExt(),
        x34,
        constants=(0.1,),
        reference=lambda x: np.where(x > 0, x, np.float32(0.1) * x),
    ),
    case("EluExt", primitives.EluExt(0.5), x34, reference=lambda x: np.where(x > 0, x, np.float32(0.5) * np.expm1(x))),
    case("SoftplusExt", primitives.SoftplusExt(), x34),
    case("PReLU", ops.PReLU(), image, positive(4)),
    case("PReLU", ops.PReLU(), image, positive(1)),
    case("GeluExt", primitives.GeluExt(), x34, constants=("none",), reference=lambda x: gelu(x, "none")),
    case("GeluExt", primitives.GeluExt(), x34, constants=("tanh",), reference=lambda x: gelu(x, "tanh")),
    case("Erf Div Mul Add", nn.GELU(approximate=False), x34),
    case("Softmax", ops.Softmax(-1), tokens),
    case("Softmax", ops.Softmax(1), tokens),
    case("LogSoftmax", ops.LogSoftmax(-1), x34),
    case("LogSoftmaxExt", primitives.LogSoftmaxExt(), x34, constants=(-1,), reference=log_softmax),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
