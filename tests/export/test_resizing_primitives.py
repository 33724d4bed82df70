"""Resizing: every handler against MindSpore."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import normal

from msnoah.export import export_onnx
from msnoah.export.onnx_summary import count_operators
from msnoah.nn.bilinear import ResizeBilinear

tokens = normal(2, 5, 8)
image = normal(2, 4, 7, 6)
volume = normal(1, 3, 4, 5, 6)

FLAGS = ((False, False), (True, False), (False, True))
"""align_corners, half_pixel_centers"""


def bilinear_2d(x, align_corners: bool):
    return primitives.ResizeBilinearV2(align_corners, not align_corners)(Tensor(x), (14, 9))


def linear_of_scale(x, scale: float, target: int):
    """Positions from the scale itself, which is not target / size: torch's rule where sizes are not given."""
    position = np.clip((np.arange(target) + 0.5) / scale - 0.5, 0, None)
    return np.stack([[np.interp(position, np.arange(8), row) for row in rows] for rows in x]).astype(np.float32)


def nearest_3d(x):
    return ops.interpolate(Tensor(x), size=(7, 4, 9), mode="nearest")


def cubic(distance, a=-0.75):
    near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    return np.where(distance <= 1, near, a * (distance**3 - 5 * distance**2 + 8 * distance - 4))


def bicubic(x, align_corners: bool, scales=(11 / 7, 5 / 6)):
    """Cubic convolution with a = -3/4; the border's element stands for those beyond it."""
    for axis, target, scale in ((2, 11, scales[0]), (3, 5, scales[1])):
        size = x.shape[axis]
        position = np.arange(target) * (size - 1) / (target - 1) if align_corners else (
            (np.arange(target) + 0.5) / scale - 0.5)
        low = np.floor(position).astype(int)
        columns = [
            np.moveaxis(np.take(x, np.clip(low + k, 0, size - 1), axis), axis, -1) * cubic(np.abs(position - low - k))
            for k in (-1, 0, 1, 2)]
        x = np.moveaxis(sum(columns), -1, axis)
    return x.astype(np.float32)


CASES = [
    *[
        case("ResizeLinear1D", primitives.ResizeLinear1D(mode), tokens, constants=((size,),))
        for mode in ("align_corners", "half_pixel")
        for size in (11, 5, 1)
    ],
    *[
        case("ResizeBilinearV2", primitives.ResizeBilinearV2(*flags), image, constants=(size,))
        for flags in FLAGS
        for size in ((11, 4), (14, 12))
    ],
    *[
        case("ResizeNearestNeighbor", primitives.ResizeNearestNeighbor(size, *flags), image)
        for flags in FLAGS
        for size in ((11, 4), (14, 18))
    ],
    *[
        case("ResizeNearestNeighborV2", primitives.ResizeNearestNeighborV2(*flags), image, constants=(size,))
        for flags in FLAGS
        for size in ((11, 5), (14, 12))
    ],
    *[case("ResizeBicubic", primitives.ResizeBicubic(*flags), image, constants=((11, 5),)) for flags in FLAGS],
    *[
        case("ResizeArea", ops.ResizeArea(flag), normal(2, 8, 7, 3), constants=(Tensor(size, ms.int32),))
        for flag in (False, True)
        for size in ([4, 3], [11, 13])
    ],
    case(
        "UpsampleNearest1D", primitives.UpsampleNearest1D(), tokens, constants=((11,), None),
        reference=lambda x: ops.interpolate(Tensor(x), size=11, mode="nearest"),
    ),
    *[
        case("UpsampleNearest2D", primitives.UpsampleNearest2D(), image, constants=sizes,
             reference=lambda x, size=size: ops.interpolate(Tensor(x), size=size, mode="nearest"))
        for sizes, size in ((((11, 5), None), (11, 5)), ((None, (2.0, 3.0)), (14, 18)))
    ],
    *[
        case("UpsampleNearest3D", primitives.UpsampleNearest3D(), volume, constants=sizes)
        for sizes in (((7, 4, 9), None), (None, (1.7, 2.0, 0.6)))
    ],
    *[
        case("UpsampleLinear1D", primitives.UpsampleLinear1D(), tokens, constants=((13,), None, flag),
             reference=lambda x, mode=mode: primitives.ResizeLinear1D(mode)(Tensor(x), (13,)))
        for flag, mode in ((False, "half_pixel"), (True, "align_corners"))
    ],
    case(
        "UpsampleLinear1D", primitives.UpsampleLinear1D(), tokens, constants=(None, (1.7,), False),
        reference=lambda x: linear_of_scale(x, 1.7, 13),
    ),
    *[
        case("UpsampleBilinear2D", primitives.UpsampleBilinear2D(), image, constants=((14, 9), None, flag),
             reference=lambda x, flag=flag: bilinear_2d(x, flag))
        for flag in (False, True)
    ],
    case(
        "UpsampleBilinear2D", primitives.UpsampleBilinear2D(), image, constants=(None, (2.0, 1.5), False),
        reference=lambda x: bilinear_2d(x, False),
    ),
    *[
        case("UpsampleTrilinear3D", primitives.UpsampleTrilinear3D(flag), volume, constants=sizes)
        for flag in (False, True)
        for sizes in (((7, 4, 9), None), (None, (1.7, 2.0, 0.6)))
    ],
    *[
        case("UpsampleBicubic2D", primitives.UpsampleBicubic2D(), image, constants=((11, 5), None, flag),
             reference=lambda x, flag=flag: bicubic(x, flag))
        for flag in (False, True)
    ],
    case(
        "UpsampleBicubic2D", primitives.UpsampleBicubic2D(), image, constants=(None, (1.6, 0.9), False),
        reference=lambda x: bicubic(x, False, (1.6, 0.9)),
    ),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)


def test_whole_scales_leave_the_batch_out():
    exported = export_onnx(ResizeBilinear((14, 12)), image[:1], dynamic=("batch",))
    assert count_operators(exported) == {"Resize": 1}
