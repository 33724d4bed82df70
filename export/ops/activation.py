"""Activations, softmax and dropout (which does nothing at inference)."""

import math

from msnoah.export.ops.table import Const, as_tuple, handles


@handles("ReLU")
def relu(g, x):
    return g.op("Relu", x)


@handles("ReLU6")
def relu6(g, x):
    return g.op("Clip", x, g.like(0, x), g.like(6, x))


@handles("Sigmoid")
def sigmoid(g, x):
    return g.op("Sigmoid", x)


@handles("Tanh")
def tanh(g, x):
    return g.op("Tanh", x)


@handles("SiLU")
def silu(g, x):
    return g.op("Mul", x, g.op("Sigmoid", x))


@handles("HSwish")
def hard_swish(g, x):
    return g.op("HardSwish", x)


@handles("HSigmoid")
def hard_sigmoid(g, x):
    """clip(x / 6 + 1/2, 0, 1)"""
    return g.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)


@handles("LeakyReLUExt")
def leaky_relu(g, x, negative_slope: Const):
    return g.op("LeakyRelu", x, alpha=float(negative_slope))


@handles("Elu", "EluExt")
def elu(g, x, alpha: Const = 1.0):
    return g.op("Elu", x, alpha=float(alpha))


@handles("Softplus")
def softplus(g, x):
    """log(1 + exp x)"""
    return g.op("Softplus", x)


@handles("SoftplusExt")
def scaled_softplus(g, x, beta: Const = 1, threshold: Const = 20):
    """log(1 + exp(beta x)) / beta; above the threshold it equals x within float32."""
    if beta == 1:
        return g.op("Softplus", x)
    return g.op("Div", g.op("Softplus", g.op("Mul", x, g.like(beta, x))), g.like(beta, x))


@handles("PReLU")
def prelu(g, x, weight):
    """Slope per channel: weight (C,) along axis 1, or (1,)."""
    size = weight.shape[0]
    shape = g.ints(size, *[1] * (len(x.shape) - 2)) if size > 1 else g.ints(1)
    return g.op("PRelu", x, g.op("Reshape", weight, shape))


def erf_gelu(g, x):
    """x (1 + erf(x / sqrt 2)) / 2, in the order of operators that ONNX Runtime recognises and runs as one kernel."""
    if g.opset >= 20:
        return g.op("Gelu", x)
    error = g.op("Erf", g.op("Div", x, g.like(math.sqrt(2), x)))
    return g.op("Mul", g.op("Mul", x, g.op("Add", error, g.like(1, x))), g.like(0.5, x))


def tanh_gelu(g, x):
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, in the order that ONNX Runtime recognises as FastGelu."""
    if g.opset >= 20:
        return g.op("Gelu", x, approximate="tanh")
    cube = g.op("Mul", g.op("Pow", x, g.like(3, x)), g.like(0.044715, x))
    inner = g.op("Tanh", g.op("Mul", g.op("Add", x, cube), g.like(math.sqrt(2 / math.pi), x)))
    return g.op("Mul", g.op("Mul", x, g.like(0.5, x)), g.op("Add", inner, g.like(1, x)))


@handles("GeLU")
def gelu(g, x):
    return tanh_gelu(g, x)


@handles("GeluExt")
def gelu_either(g, x, approximate: Const = 0):
    """approximate: 0 or 'none' is exact, 1 or 'tanh' is the approximation."""
    return erf_gelu(g, x) if approximate in (0, "none") else tanh_gelu(g, x)


@handles("Softmax")
def softmax(g, x, axis: Const = -1):
    return g.op("Softmax", x, axis=as_tuple(axis)[0])


@handles("LogSoftmax", "LogSoftmaxExt")
def log_softmax(g, x, axis: Const = -1, dtype: Const = None):
    return g.op("LogSoftmax", x, axis=as_tuple(axis)[0])
