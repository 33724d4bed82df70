"""Tiny Cells that leave one primitive in the MindIR, and references for those without a CPU kernel."""

import numpy as np
from mindspore import Tensor, nn, ops

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def positive(*shape: int) -> np.ndarray:
    return RNG.uniform(0.5, 2, size=shape).astype(np.float32)


class Apply(nn.Cell):
    """Calls a function on the run-time inputs, with constants after them."""

    def __init__(self, function, constants=()):
        super().__init__()
        self.function, self.constants = function, constants

    def construct(self, *inputs):
        return self.function(*inputs, *self.constants)


class ApplyToTuple(nn.Cell):
    """Calls a function on the tuple of its inputs."""

    def __init__(self, function, constants=()):
        super().__init__()
        self.function, self.constants = function, constants

    def construct(self, *inputs):
        return self.function(inputs, *self.constants)


class FirstOutput(Apply):
    """Returns the first of several outputs."""

    def construct(self, *inputs):
        return self.function(*inputs, *self.constants)[0]


class Swapped(nn.Cell):
    """Puts a constant at a place among the run-time inputs."""

    def __init__(self, function, constant, place=0):
        super().__init__()
        self.function, self.constant, self.place = function, constant, place

    def construct(self, *inputs):
        return self.function(*inputs[: self.place], self.constant, *inputs[self.place :])


class PlusX(Apply):
    """Adds x to what a function makes of it."""

    def __init__(self, function, *constants):
        super().__init__(function, constants)

    def construct(self, x):
        return x + self.function(x, *self.constants)


class PlusConstant(Apply):
    """Adds what a function makes of constants alone."""

    def __init__(self, function, *constants):
        super().__init__(function, constants)

    def construct(self, x):
        return x + self.function(*self.constants)


class LayerNormOverShape(Apply):
    def construct(self, x, gamma, beta):
        return self.function(x, (8,), gamma, beta, 1e-5)[0]


class ReadBeforeUpdate(nn.Cell):
    def construct(self, x):
        y = x * 2.0
        z = ops.relu(y)
        y += 1.0
        return z * y


class Compared(nn.Cell):
    def construct(self, x):
        return x < 1.0, x == 1.0


class Augmented(nn.Cell):
    """Updates in place, which the graph compiler turns into its Inplace primitives."""

    def construct(self, x, y):
        z = x * 2.0
        z += y
        z -= y * 3.0
        z *= y
        z /= y
        z += 1.5
        z *= 0.5
        z /= 3.0
        return z


class StridedSlices(nn.Cell):
    def construct(self, x):
        return x[:, None, 1], x[..., 1:3], x[0, :, -1], x[:, ::2, 1:-1], x[1], x[-1:], x[:, ::-1]


def gelu(x, approximate: str):
    return ops.gelu(Tensor(x), approximate)


def log_softmax(x):
    return ops.log_softmax(Tensor(x), -1)


def layer_norm(x, gamma, beta):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


def average_of_padded(x):
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return np.stack(
        [[padded[:, :, i : i + 3, j : j + 3].mean((2, 3)) for j in range(0, 6, 2)] for i in range(0, 7, 2)], 0
    ).transpose(2, 3, 0, 1)


class ShapeAsTensor(nn.Cell):
    """Uses another tensor's shape as data."""

    def construct(self, x, other):
        return x + ops.TensorShape()(other)


class Indexed(nn.Cell):
    """Writes into a window, single elements and rows of a copy."""

    def construct(self, x, y):
        x[:, 1:3] = y
        x[0, 1] = 5.0
        x[[0, 2]] = 1.0
        x[:, ::3] = 0.5
        x[1] = x[0] * 2.0
        return x
