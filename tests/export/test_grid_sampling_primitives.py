"""Sampling at positions: every handler against MindSpore."""

import pytest
from mindspore import ops
from primitive_case import Case, case, check_case
from primitive_cells import normal

image, volume = normal(2, 4, 7, 6), normal(2, 3, 4, 5, 6)
grid, grid_3d = normal(2, 5, 6, 2), normal(2, 2, 3, 4, 3)

CASES = [
    *[
        case("GridSampler2D", ops.grid_sample, image, grid, constants=(mode, padding, align))
        for mode in ("bilinear", "nearest")
        for padding in ("zeros", "border", "reflection")
        for align in (False, True)
    ],
    *[
        case("GridSampler3D", ops.grid_sample, volume, grid_3d, constants=(mode, padding, align), opset=20)
        for mode, padding, align in (
            ("bilinear", "zeros", False), ("bilinear", "border", True), ("bilinear", "reflection", False),
            ("nearest", "reflection", True), ("nearest", "zeros", True))
    ],
    *[
        case("AffineGrid", ops.affine_grid, normal(2, len(sizes), len(sizes) + 1), constants=((2, 4, *sizes), align))
        for sizes in ((5, 6), (3, 5, 1))
        for align in (False, True)
    ],
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
