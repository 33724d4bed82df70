"""Activations: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import nn, ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import FirstOutput, gelu, log_softmax, normal, positive

x34 = normal(3, 4)
image = normal(2, 4, 7, 6)
tokens = normal(2, 5, 8)


def prim(name: str):
    return getattr(primitives, name)()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def swiglu(x):
    a, b = np.split(x, 2, 1)
    return silu(a) * b


def mish(x):
    return x * np.tanh(np.logaddexp(0, x))


def elu(x, alpha=1.0):
    return np.where(x > 0, x, np.float32(alpha) * np.expm1(x))


def selu(x):
    return np.float32(1.0507009873554805) * elu(x, 1.6732632423543772)


def threshold(x):
    return np.where(x > np.float32(0.1), x, np.float32(2))


def clip(x):
    return x.clip(-1, 1)


CASES = [
    *[
        case(name, getattr(ops, name)(), x34 * 4)
        for name in ("ReLU", "ReLU6", "Sigmoid", "HSwish", "HSigmoid", "GeLU", "Elu", "Softplus", "Softsign", "SeLU")
    ],
    *[case(name, prim(name), x34 * 4) for name in ("SiLU", "FastGeLU", "HShrink", "SoftShrink")],
    *[case("ReLU", ops.ReLU(), np.array([-2, 0, 3], dtype)) for dtype in (np.int32, np.int64)],
    *[case("Mish", ops.Mish(), x34 * 4, opset=opset) for opset in (17, 18)],
    case("HShrink", primitives.HShrink(1.5), x34 * 4),
    case("SoftShrink", primitives.SoftShrink(1.5), x34 * 4),
    *[case("CeLU", primitives.CeLU(alpha), x34 * 4) for alpha in (1.0, 0.5)],
    case("Tanh", ops.Tanh(), x34, reference=np.tanh),  # MindSpore's own is off by 8e-5 on the CPU.
    case(
        "LeakyReLUExt",
        prim("LeakyReLUExt"),
        x34,
        constants=(0.1,),
        reference=lambda x: np.where(x > 0, x, np.float32(0.1) * x),
    ),
    case("EluExt", primitives.EluExt(0.5), x34, reference=lambda x: elu(x, 0.5)),
    *[case("SoftplusExt", prim("SoftplusExt"), x34 * 9, constants=constants) for constants in ((), (2.0, 20.0))],
    case("PReLU", ops.PReLU(), image, positive(4)),
    case("PReLU", ops.PReLU(), image, positive(1)),
    case("GeluExt", prim("GeluExt"), x34, constants=("none",), reference=lambda x: gelu(x, "none")),
    case("GeluExt", prim("GeluExt"), x34, constants=("tanh",), reference=lambda x: gelu(x, "tanh")),
    case("Erf Div Mul Add", nn.GELU(approximate=False), x34),
    case("LogSigmoid", prim("LogSigmoid"), x34 * 9, cell=FirstOutput, reference=lambda x: -np.logaddexp(0, -x)),
    case("Hardtanh", prim("Hardtanh"), x34, constants=(-1, 1), reference=clip),
    case("Threshold", prim("Threshold"), x34, constants=(0.1, 2.0), reference=threshold),
    case("MishExt", prim("MishExt"), x34, reference=mish),
    case("SeLUExt", prim("SeLUExt"), x34, reference=selu),
    *[case("GLU", primitives.GLU(axis), tokens) for axis in (-1, 2)],
    case("Swiglu", prim("Swiglu"), x34, constants=(1,), reference=swiglu),
    *[case("Softmax", ops.Softmax(axis), tokens) for axis in (-1, 1)],
    case("Softmax", ops.Softmax((1, 2)), tokens, reference=lambda x: np.exp(x) / np.exp(x).sum((1, 2), keepdims=True)),
    case("LogSoftmax", ops.LogSoftmax(-1), x34),
    case("LogSoftmaxExt", prim("LogSoftmaxExt"), x34, constants=(-1,), reference=log_softmax),
    case("LogSoftmaxExt", prim("LogSoftmaxExt"), x34, reference=log_softmax),
    # --- in place
    case("InplaceReLU", prim("InplaceReLU"), x34, reference=lambda x: np.maximum(x, 0)),
    case("InplaceSigmoid", prim("InplaceSigmoid"), x34, reference=sigmoid),
    case("InplaceTanh", prim("InplaceTanh"), x34, reference=np.tanh),
    case("InplaceSiLU", prim("InplaceSiLU"), x34, reference=silu),
    case("InplaceElu", prim("InplaceElu"), x34, constants=(0.5,), reference=lambda x: elu(x, 0.5)),
    case("InplaceHardtanh", prim("InplaceHardtanh"), x34, constants=(-1, 1), reference=clip),
    case("InplaceThreshold", prim("InplaceThreshold"), x34, constants=(0.1, 2.0), reference=threshold),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
