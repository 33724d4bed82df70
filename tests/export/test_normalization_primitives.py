"""Normalisation: every handler against MindSpore."""

import pytest
from mindspore import nn, ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import FirstOutput, LayerNormOverShape, layer_norm, normal, positive

x34 = normal(3, 4)
image = normal(2, 4, 7, 6)
tokens = normal(2, 5, 8)

CASES = [
    case("BatchNorm", ops.BatchNorm(epsilon=1e-3), image, *[positive(4) for _ in range(4)], cell=FirstOutput),
    case("LayerNorm", ops.LayerNorm(-1, -1, 1e-6), tokens, normal(8), normal(8), cell=FirstOutput),
    case("LayerNorm", ops.LayerNorm(1, 1, 1e-6), tokens, normal(5, 8), normal(5, 8), cell=FirstOutput),
    case(
        "LayerNormExt",
        primitives.LayerNormExt(),
        tokens,
        normal(8),
        normal(8),
        cell=LayerNormOverShape,
        reference=layer_norm,
    ),
    case("GroupNorm", nn.GroupNorm(2, 4), image),
    case("L2Normalize", ops.L2Normalize(1), x34),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
