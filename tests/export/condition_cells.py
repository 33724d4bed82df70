"""Cells with conditions that are decided at run time, one form each."""

from mindspore import nn


class EarlyReturn(nn.Cell):
    def construct(self, x):
        if x.sum() > 0:
            return x * 2.0
        return x - 1.0


class Assigned(nn.Cell):
    def construct(self, x, y):
        if x.sum() > y.sum():
            z = x * y
        else:
            z = y - 1.0
        return z + x


class WithoutElse(nn.Cell):
    def construct(self, x):
        if x.sum() > 0:
            x = x * 2.0
        return x + 1.0


class Elif(nn.Cell):
    def construct(self, x):
        total = x.sum()
        if total > 3:
            y = x * 2.0
        elif total > 0:
            y = x * 3.0
        else:
            y = x * 4.0
        return y + total


class Nested(nn.Cell):
    def construct(self, x):
        total = x.sum()
        if total > 0:
            if x.max() > 1:
                y = x * 2.0
            else:
                y = x + total
        else:
            if x.min() < -1:
                return x
            y = x * 4.0
        return y + total


class TupleOfBranches(nn.Cell):
    def construct(self, x):
        if x.sum() > 0:
            first, second = x * 2.0, x[0]
        else:
            first, second = x, x[1]
        return first, second


class DifferentConstants(nn.Cell):
    def construct(self, x):
        factor = 1
        if x.sum() > 0:
            factor = 3
        return x * factor


class ConstantsThatMeet(nn.Cell):
    """Numbers that differ by condition and are computed with later."""

    def construct(self, x):
        scale = 0.0
        for threshold in range(3):
            if x.max() > threshold:
                scale = scale + threshold * 0.5
        return x * scale


class ConditionalExpression(nn.Cell):
    def construct(self, x):
        return x * 2.0 if x.sum() > 0 else x + 1.0


class BoolInput(nn.Cell):
    def construct(self, x, flag):
        if flag:
            return x * 2.0
        return x


class IntegerCondition(nn.Cell):
    def construct(self, x, n):
        if n:
            return x * 2.0
        return x


class OneElementCondition(nn.Cell):
    def construct(self, x):
        if x[:1, 0] > 0:
            return x * 2.0
        return x


class And(nn.Cell):
    def construct(self, x):
        if x.sum() > 0 and x.max() < 2:
            return x * 2.0
        return x


class NotOr(nn.Cell):
    def construct(self, x):
        if not (x.sum() > 0 or x.max() > 1):
            return x * 2.0
        return x


class ChosenFunctions(nn.Cell):
    def construct(self, x):
        def double(y):
            return y * 2

        def increase(y):
            return y + 1

        function = double
        if x.sum() > 0:
            function = increase
        return function(x) + function(x * 3)


class ChosenCells(nn.Cell):
    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(4, 4)
        self.parts = (nn.ReLU(), nn.Sigmoid(), self.dense)

    def construct(self, x, n):
        return self.parts[n](x)
