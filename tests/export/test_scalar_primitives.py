"""Arithmetic of Python numbers that are known only at run time: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import nn
from primitive_case import Case, case, check_case
from primitive_cells import normal

x34 = normal(3, 4)


class Integers(nn.Cell):
    def construct(self, x, n):
        i = int(n)
        return x + (i + 2), x + (i - 3), x + i * 2, x + i / 2, x + i // 3, x + i % 3, x + i**2, x + -i


class Fractions(nn.Cell):
    def construct(self, x, n):
        f = float(n)
        return x + (f + 2), x + (f - 3), x + f * 2, x + f / 2, x + f // 3, x + f % 3, x + f**2, x + -f


class Compared(nn.Cell):
    def construct(self, x, n):
        i = int(n)
        if i < 3:
            x = x + 1.0
        if i <= 2:
            x = x * 2.0
        if i > 1:
            x = x - 3.0
        if i >= 4:
            x = x * 4.0
        if i == 5:
            x = x + 5.0
        return x


class Converted(nn.Cell):
    def construct(self, x, n):
        half = float(int(n)) * 0.5
        return x + half + int(half)


CASES = [
    case("ScalarAdd ScalarSub ScalarMul ScalarDiv ScalarFloorDiv ScalarMod ScalarPow ScalarUsub TensorToScalar "
         "ScalarToTensor", None, x34, np.array(-7, np.int32), cell=Integers),
    case("ScalarAdd ScalarSub ScalarMul ScalarDiv ScalarFloorDiv ScalarMod ScalarPow ScalarUsub", None, x34,
         np.array(-7.5, np.float32), cell=Fractions),
    *[case("ScalarLt ScalarLe ScalarGt ScalarGe ScalarEq", None, x34, np.array(n, np.int32), cell=Compared)
      for n in (1, 2, 4, 5)],
    case("ScalarCast", None, x34, np.array(5, np.int32), cell=Converted),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
