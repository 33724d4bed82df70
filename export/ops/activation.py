"""Activations, softmax and gated units."""

from msnoah.export.ops.arithmetic import in_result_type, is_float, register_unary
from msnoah.export.ops.reduction import reduce
from msnoah.export.ops.table import Const, as_tuple, handles

UNARY = {
    "Sigmoid": "Sigmoid", "InplaceSigmoid": "Sigmoid", "Tanh": "Tanh", "InplaceTanh": "Tanh", "HSwish": "HardSwish",
    "Softplus": "Softplus", "Softsign": "Softsign", "SeLU": "Selu", "SeLUExt": "Selu",
}
"""MindIR primitives that have an ONNX operator of the same meaning."""

register_unary(UNARY)


@handles("ReLU", "InplaceReLU")
def relu(g, x):
    """max(x, 0); ONNX Runtime's Relu does not take every kind of integer."""
    return g.op("Relu", x) if is_float(x) else g.op("Max", x, g.like(0, x))


@handles("ReLU6")
def relu6(g, x):
    return g.op("Clip", x, g.like(0, x), g.like(6, x))


@handles("Hardtanh", "InplaceHardtanh")
def hard_tanh(g, x, min_val: Const = -1, max_val: Const = 1):
    return g.op("Clip", x, g.like(min_val, x), g.like(max_val, x))


@handles("SiLU", "InplaceSiLU")
def silu(g, x):
    x = in_result_type(g, x)
    return g.op("Mul", x, g.op("Sigmoid", x))


@handles("HSigmoid")
def hard_sigmoid(g, x):
    """clip(x / 6 + 1/2, 0, 1)"""
    return g.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)


@handles("LeakyReLUExt")
def leaky_relu(g, x, negative_slope: Const = 0.01):
    return g.op("LeakyRelu", x, alpha=float(negative_slope))


@handles("Elu", "EluExt", "InplaceElu")
def elu(g, x, alpha: Const = 1.0):
    return g.op("Elu", x, alpha=float(alpha))


@handles("CeLU")
def celu(g, x, alpha: Const = 1.0):
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1)), which is Elu of a scaled x."""
    if alpha == 1:
        return g.op("Elu", x)
    return g.op("Mul", g.op("Elu", g.op("Div", x, g.like(alpha, x))), g.like(alpha, x))


@handles("Mish", "MishExt")
def mish(g, x):
    return g.op("Mish", x)


@handles("LogSigmoid")
def log_sigmoid(g, x):
    """-log(1 + exp(-x)); the second output is a buffer."""
    return (g.op("Neg", g.op("Softplus", g.op("Neg", x))), None)


@handles("HShrink")
def hard_shrink(g, x, lambd: Const = 0.5):
    """x, and 0 between -lambd and lambd."""
    return g.op("Shrink", x, lambd=float(lambd))


@handles("SoftShrink")
def soft_shrink(g, x, lambd: Const = 0.5):
    """x moved towards 0 by lambd, and 0 between -lambd and lambd."""
    return g.op("Shrink", x, lambd=float(lambd), bias=float(lambd))


@handles("Threshold", "InplaceThreshold")
def threshold_or_value(g, x, threshold: Const, value: Const):
    """x above the threshold, `value` elsewhere."""
    return g.op("Where", g.op("Greater", x, g.like(threshold, x)), x, g.like(value, x))


@handles("SoftplusExt")
def scaled_softplus(g, x, beta: Const = 1, threshold: Const = 20):
    """log(1 + exp(beta x)) / beta; above the threshold it equals x within float32."""
    if beta == 1:
        return g.op("Softplus", x)
    return g.op("Div", g.op("Softplus", g.op("Mul", x, g.like(beta, x))), g.like(beta, x))


@handles("GLU")
def gated_linear_unit(g, x, axis: Const = -1):
    """a sigmoid(b), for the halves a and b of an axis."""
    a, b = g.op("Split", x, g.ints(*[x.shape[axis] // 2] * 2), axis=axis, outputs=2)
    return g.op("Mul", a, g.op("Sigmoid", b))


@handles("Swiglu")
def swish_gated_linear_unit(g, x, dim: Const = -1):
    """silu(a) b, for the halves a and b of an axis."""
    a, b = g.op("Split", x, g.ints(*[x.shape[dim] // 2] * 2), axis=dim, outputs=2)
    return g.op("Mul", g.op("Mul", a, g.op("Sigmoid", a)), b)


@handles("PReLU")
def prelu(g, x, weight):
    """Slope per channel: weight (C,) along axis 1, or (1,)."""
    size = weight.shape[0]
    shape = g.ints(size, *[1] * (len(x.shape) - 2)) if size > 1 else g.ints(1)
    return g.op("PRelu", x, g.op("Reshape", weight, shape))


def erf_gelu(g, x):
    """x (1 + erf(x / sqrt 2)) / 2"""
    return g.op("Gelu", x)


def tanh_gelu(g, x):
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2"""
    return g.op("Gelu", x, approximate="tanh")


@handles("GeLU")
def gelu(g, x):
    return tanh_gelu(g, x)


@handles("FastGeLU")
def sigmoid_gelu(g, x):
    """x sigmoid(1.702 x)"""
    return g.op("Mul", x, g.op("Sigmoid", g.op("Mul", x, g.like(1.702, x))))


@handles("GeluExt")
def gelu_either(g, x, approximate: Const = 0):
    """approximate: 0 or 'none' is exact, 1 or 'tanh' is the approximation."""
    return erf_gelu(g, x) if approximate in (0, "none") else tanh_gelu(g, x)


@handles("Softmax")
def softmax(g, x, axis: Const = -1):
    """exp x over its sum along one axis or several."""
    axes = as_tuple(axis)
    if len(axes) == 1:
        return g.op("Softmax", x, axis=axes[0])
    powers = g.op("Exp", g.op("Sub", x, reduce(g, "ReduceMax", x, axes, True)))
    return g.op("Div", powers, reduce(g, "ReduceSum", powers, axes, True))


@handles("LogSoftmax")
def log_softmax(g, x, axis: Const = -1):
    return g.op("LogSoftmax", x, axis=as_tuple(axis)[0])


@handles("LogSoftmaxExt")
def log_softmax_in_type(g, x, dim: Const = None, dtype: Const = None):
    """Without an axis it is the first one of 0, 1 and 3 axes, else the second."""
    implied = 0 if len(x.shape) in (0, 1, 3) else 1
    return g.op("LogSoftmax", in_result_type(g, x), axis=implied if dim is None else dim)
