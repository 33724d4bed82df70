"""Convolution, pooling and resizing: every handler against MindSpore."""

import pytest
from mindspore import Tensor, nn, ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import average_of_padded, normal

image = normal(2, 4, 7, 6)
tokens = normal(2, 5, 8)

CASES = [
    *[
        case(
            "Conv2D", nn.Conv2d(4, 6, 3, stride, pad_mode=mode, padding=padding, dilation=dilation, group=group), image
        )
        for stride, mode, padding, dilation, group in (
            (1, "same", 0, 1, 1),
            (2, "same", 0, 1, 2),
            (2, "valid", 0, 1, 1),
            (2, "pad", (2, 1, 0, 1), 1, 1),
            (1, "pad", 2, 2, 2),
        )
    ],
    case("Conv2D BiasAdd", nn.Conv2d(4, 6, (3, 2), (1, 2), pad_mode="same", has_bias=True), image),
    *[
        case("Conv3D", nn.Conv3d(2, 3, 3, 2, pad_mode=mode, padding=padding), normal(1, 2, 4, 7, 6))
        for mode, padding in (("same", 0), ("pad", (1, 0, 2, 1, 0, 1)))
    ],
    *[
        case(name, cell(3, 2, mode), image)
        for name, cell in (("MaxPool", nn.MaxPool2d), ("AvgPool", nn.AvgPool2d))
        for mode in ("same", "valid")
    ],
    case("MaxPool3DWithArgmax", nn.MaxPool2d(3, 2, pad_mode="pad", padding=1), image),
    case("AvgPool2D", primitives.AvgPool2D(), image, constants=(3, 2, 1, False, True), reference=average_of_padded),
    case("AdaptiveAvgPool2D", ops.AdaptiveAvgPool2D((None, 3)), image),
    case(
        "AdaptiveAvgPool2DExt",
        primitives.AdaptiveAvgPool2DExt(),
        normal(2, 4, 8, 6),
        constants=((2, 3),),
        reference=lambda x: x.reshape(2, 4, 2, 4, 3, 2).mean((3, 5)),
    ),
    *[
        case("ResizeLinear1D", primitives.ResizeLinear1D(mode), tokens, constants=((11,),))
        for mode in ("align_corners", "half_pixel")
    ],
    *[
        case("ResizeBilinearV2", primitives.ResizeBilinearV2(*flags), image, constants=((11, 4),))
        for flags in ((False, False), (True, False), (False, True))
    ],
    *[case("ResizeNearestNeighbor", ops.ResizeNearestNeighbor((11, 4), flag), image) for flag in (False, True)],
    case(
        "UpsampleBilinear2D",
        primitives.UpsampleBilinear2D(),
        image,
        constants=((14, 12), None, False),
        reference=lambda x: ops.interpolate(Tensor(x), size=(14, 12), mode="bilinear"),
    ),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
