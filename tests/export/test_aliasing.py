"""Values that are overwritten: converted where nothing can tell, refused where something could."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops
from test_control_flow import N, X, check, convert, graph_mode  # noqa: F401

from msnoah.errors import ConversionError


class Residual(nn.Cell):
    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(4, 4)

    def construct(self, x):
        y = x * 2.0
        y += self.dense(y)
        return y


class ReadsBefore(nn.Cell):
    """Every read of the old value, also through a view, comes before it is overwritten."""

    def construct(self, x):
        y = x * 2.0
        a, b, c = y * 3.0, y.sum(), y.reshape(-1) * 2.0
        y += b
        return a, c, y


class TwoUpdates(nn.Cell):
    def construct(self, x):
        y = x * 2.0
        y += 1.0
        z = y * 3.0
        y *= 2.0
        return z + y


class InputUpdated(nn.Cell):
    def construct(self, x):
        y = x * 1.0
        y -= 1.0
        return y * 2.0


class Methods(nn.Cell):
    """Methods that overwrite say what they do: later reads see the new value."""

    def construct(self, x):
        y = x * 2.0
        y.add_(x)
        y.mul_(2.0)
        z = ops.relu(y)
        y.copy_(x * 5)
        return y, z


class MethodInBranch(nn.Cell):
    def construct(self, x):
        y = x * 2.0
        if x.sum() > 0:
            z = y * 3.0
            z.add_(x)
            y = z * 2.0
        return y


class UpdatedInBranch(nn.Cell):
    def construct(self, x):
        y = x * 2.0
        z = y * 3.0
        if x.sum() > 0:
            y += 1.0
        return y + z


class UpdatedInLoop(nn.Cell):
    def construct(self, x, n):
        total = x * 0.0
        i = n * 0
        while i < n:
            total += x * i
            i += 1
        return total + x


class SwappedAndUpdated(nn.Cell):
    def construct(self, x, n):
        a, b, i = x, x * 2.0, n * 0
        while i < n:
            a, b = b, a + b
            i += 1
        return a


class ElementsSet(nn.Cell):
    def construct(self, x):
        y = x * 1.0
        y[1] += 2.0
        y[0, 2] = y[1, 1]
        z = y[0] * 3.0
        y[1:, 2] = 7.0
        return y, z


class SetBeforeUse(nn.Cell):
    """A Parameter that each call sets anew holds nothing from the call before."""

    def __init__(self):
        super().__init__()
        self.buffer = Parameter(Tensor(np.zeros(4, np.float32)))

    def construct(self, x):
        ops.assign(self.buffer, x[0])
        self.buffer = self.buffer + 1.0
        return x + self.buffer


CONVERTED = [
    *[(cell, (X,)) for cell in (
        Residual, ReadsBefore, TwoUpdates, InputUpdated, Methods, MethodInBranch, UpdatedInBranch, ElementsSet,
        SetBeforeUse)],
    (UpdatedInLoop, (X, N)),
    (SwappedAndUpdated, (X, N)),
]


@pytest.mark.parametrize("make,columns", CONVERTED, ids=[cell.__name__ for cell, _ in CONVERTED])
def test_overwritten_values_that_convert(make, columns, tmp_path):
    cell = make()
    check(convert(cell, tmp_path, *[column[0] for column in columns]), cell, columns)


class ReadAgain(nn.Cell):
    def construct(self, x):
        y = x * 2.0
        z = y
        y += 1.0
        return z + y


class ViewReadAgain(nn.Cell):
    def construct(self, x):
        y = x * 2.0
        z = y.reshape(-1)
        y += 1.0
        return z, y


class InputReturned(nn.Cell):
    def construct(self, x):
        y = x
        y += 1.0
        return x * 3.0, y


class ReadAfterBranch(nn.Cell):
    def construct(self, x):
        y = x * 2.0
        z = y
        if x.sum() > 0:
            z += 1.0
        return y + z


class ReadAfterLoop(nn.Cell):
    def construct(self, x, n):
        total = x * 2.0
        y = total
        i = n * 0
        while i < n:
            total += x * i
            i = i + 1
        return total + y


class SharedByRounds(nn.Cell):
    """From the second round on, what is overwritten is what the other name holds as well."""

    def construct(self, x, n):
        a, b, i = x * 1.0, x * 2.0, n * 0
        while i < n:
            a += 1.0
            x = x + b
            b = a
            i = i + 1
        return x


class MethodOnOuterValue(nn.Cell):
    def construct(self, x):
        y = x * 2.0
        if x.sum() > 0:
            y.add_(x)
        return y


class ParameterUpdated(nn.Cell):
    def __init__(self):
        super().__init__()
        self.state = Parameter(Tensor(np.ones(4, np.float32)), name="state")

    def construct(self, x):
        y = self.state
        y += 1.0
        return x + y


class Counter(nn.Cell):
    def __init__(self):
        super().__init__()
        self.state = Parameter(Tensor(0, ms.int32), name="state")

    def construct(self, x):
        self.state = self.state + 1
        return x + self.state


class AssignedInBranch(nn.Cell):
    def __init__(self):
        super().__init__()
        self.state = Parameter(Tensor(np.ones(4, np.float32)), name="state")

    def construct(self, x):
        if x.sum() > 0:
            ops.assign(self.state, x[0])
        return x + self.state


READ_AGAIN = "overwrites a value that .* reads as well; write y = y \\+ x"
REFUSED = [
    (ReadAgain, READ_AGAIN), (ViewReadAgain, READ_AGAIN), (InputReturned, READ_AGAIN), (ReadAfterBranch, READ_AGAIN),
    (ReadAfterLoop, READ_AGAIN), (SharedByRounds, READ_AGAIN),
    (MethodOnOuterValue, "inside a condition or loop, a value from outside"),
    *[(cell, "overwrites parameter 'state', which keeps its value from call to call")
      for cell in (ParameterUpdated, Counter, AssignedInBranch)],
]


@pytest.mark.parametrize("make,message", REFUSED, ids=[cell.__name__ for cell, _ in REFUSED])
def test_overwritten_values_that_are_refused(make, message, tmp_path):
    inputs = (X[0], N[2]) if make in (ReadAfterLoop, SharedByRounds) else (X[0],)
    with pytest.raises(ConversionError, match=message):
        convert(make(), tmp_path, *inputs)
