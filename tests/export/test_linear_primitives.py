"""Matrix products: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import Tensor, mint, nn, ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import ApplyToTuple, normal

image = normal(2, 4, 7, 6)
tokens = normal(2, 5, 8)
matrix, vector = normal(3, 4), normal(4)
blocks = normal(2, 3, 4), normal(2, 4, 5)
HALF = 2e-3
"""Tolerance of primitives that take nothing wider than float16."""


def einsum(equation: str, *inputs) -> Case:
    return case(
        "Einsum", ops.Einsum(equation), *inputs, cell=ApplyToTuple,
        reference=lambda *x: np.einsum(equation, *x).reshape(np.einsum(equation, *x).shape or (1,)))


def dequantized_product(x, weight, scale, offset):
    wide = (weight.T.astype(np.float32) + offset) * scale
    return (x.astype(np.float32) @ wide).astype(np.float16)


def transposed_product(x, y):
    return np.matmul(x.transpose(1, 0, 2), y).transpose(1, 0, 2)


CASES = [
    *[
        case("MatMul", ops.MatMul(*flags), normal(3, 4), normal(*shape))
        for flags, shape in (((), (4, 5)), ((False, True), (5, 4)))
    ],
    case("MatMul", ops.MatMul(True, False), normal(4, 3), normal(4, 5)),
    *[
        case("BatchMatMul", ops.BatchMatMul(False, flag), normal(2, 3, 4), normal(2, *shape))
        for flag, shape in ((False, (4, 5)), (True, (5, 4)))
    ],
    case("BatchMatMul", ops.BatchMatMul(True, True), normal(2, 4, 3), normal(2, 5, 4)),
    case("MatMulExt", primitives.MatMulExt(), normal(2, 3, 4), normal(4, 5)),
    *[case("MatMulExt", ops.matmul, *inputs) for inputs in ((matrix, vector), (vector, vector))],
    case("Mm", primitives.Mm(), normal(3, 4), normal(4, 5), reference=np.matmul),
    case("Mv", mint.mv, matrix, vector, reference=np.matmul),
    case("Dot", mint.dot, vector, normal(4), reference=np.dot),
    case("Ger", ops.ger, vector, normal(3)),
    case("Outer", mint.outer, vector, normal(3), reference=np.outer),
    case("BatchMatMulExt", primitives.BatchMatMulExt(), normal(2, 3, 4), normal(2, 4, 5)),
    case("Dense", primitives.Dense(), tokens, normal(3, 8), normal(3)),
    case("MatMul BiasAdd Reshape", nn.Dense(8, 3), tokens),
    case("BiasAdd", ops.BiasAdd(), image, normal(4)),
    *[
        case(
            name,
            primitive,
            *inputs,
            constants=(2.0, 0.5),
            reference=lambda x, y, z: 2 * x + 0.5 * (y @ z),
        )
        for name, primitive, inputs in (
            ("Addmm", primitives.Addmm(), (normal(5), normal(3, 4), normal(4, 5))),
            ("Baddbmm", primitives.Baddbmm(), (normal(2, 3, 5), *blocks)),
            ("Addmv", primitives.Addmv(), (normal(3), matrix, vector)),
        )
    ],
    case(
        "Addbmm",
        primitives.Addbmm(),
        normal(3, 5),
        *blocks,
        constants=(2.0, 0.5),
        reference=lambda x, y, z: ops.addbmm(Tensor(x), Tensor(y), Tensor(z), beta=2.0, alpha=0.5),
    ),
    einsum("bij,bjk->bik", *blocks),
    einsum("...ij,...jk->...ik", *blocks),
    einsum("bhid,bhjd->bhij", normal(2, 3, 4, 5), normal(2, 3, 6, 5)),
    einsum("i,j->ij", vector, normal(3)),
    einsum("ij->", matrix),
    einsum("ii->i", normal(3, 3)),
    case(
        "TransposeBatchMatmulTranspose",
        primitives.TransposeBatchMatmulTranspose(),
        normal(3, 2, 4).astype(np.float16),
        normal(2, 4, 5).astype(np.float16),
        constants=((1, 0, 2), (1, 0, 2)),
        reference=transposed_product,
        tolerance=HALF,
    ),
    case(
        "WeightQuantBatchMatmul",
        primitives.WeightQuantBatchMatmul(False, True, 0),
        normal(3, 4).astype(np.float16),
        np.arange(-10, 10, dtype=np.int8).reshape(5, 4),
        normal(5).astype(np.float16),
        normal(5).astype(np.float16),
        reference=dequantized_product,
        tolerance=HALF,
    ),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
