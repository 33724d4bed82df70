"""Cells with loops, most of which end at run time, one form each."""

import numpy as np
from mindspore import Parameter, Tensor, nn, ops


class While(nn.Cell):
    def construct(self, x):
        while x.sum() < 10.0:
            x = x + 1.0
        return x


class CountedWhile(nn.Cell):
    """A Python number that a loop makes a run-time value."""

    def construct(self, x):
        count = 0
        while x.sum() < 10.0:
            x = x + 1.0
            count = count + 1
        return x * count


class Break(nn.Cell):
    def construct(self, x, n):
        i = n * 0
        while i < n:
            x = x + 1.0
            if x.sum() > 20:
                break
            i = i + 1
        return x + i


class Continue(nn.Cell):
    def construct(self, x, n):
        i = n * 0
        while i < n:
            i = i + 1
            if x.sum() > 5:
                x = x - 3.0
                continue
            x = x + i
        return x


class ReturnFromLoop(nn.Cell):
    def construct(self, x, n):
        i = n * 0
        while i < n:
            x = x + 1.0
            if x.max() > 4:
                return x * 100.0
            i = i + 1
        return x


class NestedLoops(nn.Cell):
    def construct(self, x, n):
        i = n * 0
        while i < n:
            j = n * 0
            while j < i:
                x = x + j
                j = j + 1
            i = i + 1
        return x


class BreakOfInnerLoop(nn.Cell):
    def construct(self, x, n):
        i = n * 0
        while i < n:
            j = n * 0
            while j < n:
                x = x + 0.5
                if x.sum() > 3 * i:
                    break
                j = j + 1
            if x.max() > 6:
                break
            i = i + 1
        return x * (i + 1)


class SwappedInLoop(nn.Cell):
    def construct(self, n):
        a, b, i = n * 0, n * 0 + 1, n * 0
        while i < n:
            a, b = b, a + b
            i = i + 1
        return a


class TupleOfLoop(nn.Cell):
    def construct(self, x, n):
        pair = (x, x * 2.0)
        i = n * 0
        while i < n:
            pair = (pair[1], pair[0] + pair[1])
            i = i + 1
        return pair


class DictionaryInLoop(nn.Cell):
    def construct(self, x, n):
        state = {"x": x, "i": n * 0}
        while state["i"] < n:
            state["x"] = state["x"] + 1
            state["i"] = state["i"] + 1
        return state["x"]


class Captures(nn.Cell):
    """A loop with a condition inside, over weights and values from outside."""

    def __init__(self):
        super().__init__()
        self.weight = Parameter(Tensor(np.array([0.5, 1.0, 0.25, 0.75], np.float32)))
        self.dense = nn.Dense(4, 4)

    def construct(self, x, n):
        scale, i = ops.exp(x) * 0.1, n * 0
        while i < n:
            x = x + scale * self.weight
            if x.max() > 1:
                x = self.dense(x) + scale
            i = i + 1
        return x


class SharedWeights(nn.Cell):
    """A large weight that the main graph and two branches in a loop read."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(40, 40)

    def construct(self, x, n):
        x, i = self.dense(x), n * 0
        while i < n:
            if x.max() > 1:
                x = ops.tanh(self.dense(x))
            else:
                x = ops.relu(self.dense(x)) + 0.5
            i = i + 1
        return x


class ForWithBreak(nn.Cell):
    def construct(self, x):
        for i in range(5):
            if x.sum() > 10:
                break
            x = x + i
        return x


class LongForWithBreak(nn.Cell):
    """More conditions inside each other than a file can hold."""

    def construct(self, x):
        for i in range(45):
            if x.sum() > 100:
                break
            x = x + 0.5
        return x * 2.0


class ForWithContinue(nn.Cell):
    """Branches that meet again in each round: written out separately, they would be 2**12."""

    def construct(self, x):
        for i in range(12):
            if x.sum() > 10:
                continue
            x = x + i * 0.5
        return x


class ForOverRows(nn.Cell):
    def construct(self, x):
        y = x[0]
        for row in x:
            if row.sum() > 0:
                y = y + row
        return y


class KnownRounds(nn.Cell):
    """The compiler leaves a loop on a constant tensor; its rounds are known."""

    def __init__(self, rounds: int):
        super().__init__()
        self.rounds = rounds

    def construct(self, x):
        i = Tensor(0)
        while i < self.rounds:
            x = x * 0.5 + i
            i = i + 1
        return x


class ConditionAfterLoop(nn.Cell):
    def construct(self, x, n):
        i = n * 0
        while i < n:
            x = x + 1.0
            i = i + 1
        if x.sum() > 5:
            return x * i
        return x - i


class WhileLoop(nn.Cell):
    def __init__(self):
        super().__init__()
        self.loop = ops.WhileLoop()

    def construct(self, x):
        return self.loop(_is_small, _grow, x)


class Scan(nn.Cell):
    def __init__(self, unrolled: bool):
        super().__init__()
        self.loop, self.unrolled = ops.Scan(), unrolled

    def construct(self, x):
        return self.loop(_scan, x[0], [x[0], x[1], x[2]], 3, self.unrolled)


class ForILoop(nn.Cell):
    def __init__(self):
        super().__init__()
        self.loop = ops.ForiLoop()

    def construct(self, x):
        return self.loop(0, 4, _add_index, x, False)


def _is_small(x):
    return x.sum() < 10


def _grow(x):
    return x + 1.0


def _scan(carry, element):
    return carry + element, carry * element


def _add_index(i, x):
    return x + i


class RowsInLoop(nn.Cell):
    """An index that is computed at run time."""

    def construct(self, x, n):
        i = 0
        y = x[0] * 0.0
        while n > i:
            y = y + x[i % 3] * x[(i + 1) % 3, i % 2]
            i = i + 1
        return y
