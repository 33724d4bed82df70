"""Sampling beside the regular positions: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from primitive_case import Case, case, check_case
from primitive_cells import normal

SHAPES = np.array([[4, 3], [2, 2]], np.int32)


class DeformableAttention(nn.Cell):
    """Over two maps of known sizes."""

    def construct(self, value, locations, weights):
        return ops.multi_scale_deformable_attn_function(
            value, Tensor(SHAPES), Tensor(np.array([0, 12], np.int32)), locations, weights)


def attend(value, locations, weights):
    """Element by element, bilinear, zeros outside."""
    result = np.zeros((*locations.shape[:3], value.shape[-1]), np.float32)
    for (b, q, n, m, p) in np.ndindex(locations.shape[:5]):
        height, width = SHAPES[m]
        image = value[b, 12 * m : 12 * m + height * width, n].reshape(height, width, -1)
        column, row = locations[b, q, n, m, p] * (width, height) - 0.5
        for i in (int(np.floor(row)), int(np.floor(row)) + 1):
            for j in (int(np.floor(column)), int(np.floor(column)) + 1):
                if 0 <= i < height and 0 <= j < width:
                    share = (1 - abs(row - i)) * (1 - abs(column - j)) * weights[b, q, n, m, p]
                    result[b, q, n] += share * image[i, j]
    return result.reshape(*result.shape[:2], -1)


def deformed(channels: int, kernel, stride, padding, dilation, groups: int, rows: int, columns: int) -> Case:
    weight = normal(3, channels, *kernel)
    offsets = normal(2, 3 * groups * kernel[0] * kernel[1], rows, columns)
    return case(
        "DeformableOffsets", ops.deformable_conv2d, normal(2, channels, 6, 5), weight, offsets,
        constants=(kernel, (1, 1, *stride), padding, None, (1, 1, *dilation), 1, groups))


CASES = [
    deformed(4, (2, 2), (1, 1), (0, 0, 0, 0), (1, 1), 1, 5, 4),
    deformed(4, (3, 2), (2, 1), (1, 1, 2, 1), (1, 2), 2, 3, 6),
    case(
        "MultiScaleDeformableAttn", None, normal(2, 16, 2, 8), np.abs(normal(2, 3, 2, 2, 4, 2)), normal(2, 3, 2, 2, 4),
        cell=DeformableAttention, reference=attend,
    ),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
