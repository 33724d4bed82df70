"""Pooling and its inverse: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import FirstOutput, average_of_padded, normal

line = normal(2, 4, 9)
image = normal(2, 4, 7, 6)
volume = normal(1, 3, 5, 6, 7)


def on_volume(x):
    """(B, C, H, W) pools as (B, C, 1, H, W) does."""
    return Tensor(x[:, :, None])


def places(indices, shape):
    """Where MaxUnpool puts its elements: different positions, as from a max pooling."""
    return np.broadcast_to(np.array(indices), shape).copy()


def shares(*shape):
    """From 0 to 1, the random part of fractional pooling."""
    return np.abs(np.modf(normal(*shape))[0])


def adaptive_average(x, *target):
    for axis, out in enumerate(target, x.ndim - len(target)):
        size = x.shape[axis]
        windows = [slice(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]
        x = np.stack([np.moveaxis(x, axis, 0)[window].mean(0) for window in windows], axis)
    return x


def adaptive_max_of_line(x):
    y, positions = ops.AdaptiveMaxPool2D((1, 4))(Tensor(x[:, :, None]))
    return y[:, :, 0], positions[:, :, 0]


PADDED = ((False, True), (False, False), (True, True), (True, False))
"""ceil_mode, count_include_pad"""

CASES = [
    *[
        case(name, cell(3, 2, mode), image)
        for name, cell in (("MaxPool", nn.MaxPool2d), ("AvgPool", nn.AvgPool2d))
        for mode in ("same", "valid")
    ],
    *[case("MaxPool3D", nn.MaxPool3d(3, 2, mode), volume) for mode in ("same", "valid")],
    *[
        case("MaxPool3D", nn.MaxPool3d((2, 3, 2), 2, "pad", (1, 0, 1), ceil_mode=ceil), volume)
        for ceil in (False, True)
    ],
    case("MaxPool3DWithArgmax", nn.MaxPool2d(3, 2, pad_mode="pad", padding=1), image),
    case("MaxPool3DWithArgmax", nn.MaxPool2d(2, 2, "pad", 1, 2, return_indices=True, ceil_mode=True), image),
    case("MaxPool3DWithArgmax", nn.MaxPool3d(3, 2, "pad", 1, return_indices=True), volume),
    case("MaxPoolWithArgmax", ops.MaxPoolWithArgmax((3, 2), 2, "valid"), image),
    *[
        case("MaxPoolWithArgmaxV2", ops.MaxPoolWithArgmaxV2(*settings), image)
        for settings in ((3, 2, 1), ((3, 2), 2, (1, 0), (1, 2), True))
    ],
    case(
        "MaxPoolWithIndices", primitives.MaxPoolWithIndices(3, 2, 1), image,
        reference=lambda x: ops.MaxPoolWithArgmaxV2(3, 2, 1)(Tensor(x)),
    ),
    case(
        "MaxPoolWithMask", primitives.MaxPoolWithMask(3, None, 1, (1, 1), True), image, cell=FirstOutput,
        reference=lambda x: ops.MaxPoolWithArgmaxV2(3, 3, 1, (1, 1), True)(Tensor(x))[0],
    ),
    *[case("AvgPool3D", nn.AvgPool3d(3, 2, mode), volume) for mode in ("same", "valid")],
    *[case("AvgPool3D", nn.AvgPool3d(3, 2, "pad", 1, *flags), volume) for flags in PADDED],
    *[case("AvgPool3D", nn.AvgPool2d(3, 2, "pad", 1, *flags), image) for flags in PADDED],
    case("AvgPool3D", nn.AvgPool3d(3, 2, "pad", 1, divisor_override=5), volume),
    case("AvgPool2D", primitives.AvgPool2D(), image, constants=(3, 2, 1, False, True), reference=average_of_padded),
    *[
        case(
            "AvgPool2D", primitives.AvgPool2D(), image, constants=((3, 2), 2, (1, 0), ceil, counted, divisor),
            reference=lambda x, flags=(ceil, counted, divisor or 0): ops.AvgPool3D(
                (1, 3, 2), (1, 2, 2), "pad", (0, 0, 1, 1, 0, 0), *flags)(on_volume(x))[:, :, 0],
        )
        for ceil, counted, divisor in ((True, True, None), (True, False, None), (False, True, 7))
    ],
    case(
        "AvgPool1D", primitives.AvgPool1D(), line, constants=(3, 2, 1, False, False),
        reference=lambda x: ops.avg_pool1d(Tensor(x), 3, 2, 1, False, False),
    ),
    case(
        "AvgPool3DExt", primitives.AvgPool3DExt(), volume, constants=(2, None, 1),
        reference=lambda x: ops.AvgPool3D(2, 2, "pad", 1)(Tensor(x)),
    ),
    *[case("AdaptiveAvgPool2D", ops.AdaptiveAvgPool2D(size), image) for size in ((None, 3), (3, 4), 1, (9, 2))],
    case("AdaptiveAvgPool2D", ops.AdaptiveAvgPool2D((5, 6)), image[0]),
    *[case("AdaptiveAvgPool3D", nn.AdaptiveAvgPool3d(size), volume) for size in ((5, 3, 1), (2, None, 3))],
    case(
        "AdaptiveAvgPool1D", primitives.AdaptiveAvgPool1D(), line, constants=((4,),),
        reference=lambda x: adaptive_average(x, 4),
    ),
    *[
        case(
            "AdaptiveAvgPool2DExt", primitives.AdaptiveAvgPool2DExt(), image, constants=(size,),
            reference=lambda x, size=size: adaptive_average(x, *size),
        )
        for size in ((7, 2), (3, 4))
    ],
    case(
        "AdaptiveAvgPool3DExt", primitives.AdaptiveAvgPool3DExt(), volume, constants=((2, 4, 7),),
        reference=lambda x: adaptive_average(x, 2, 4, 7),
    ),
    case(
        "AdaptiveMaxPool1D", primitives.AdaptiveMaxPool1D(), line, constants=((4,),), reference=adaptive_max_of_line
    ),
    *[
        case("AdaptiveMaxPool2D", nn.AdaptiveMaxPool2d(size, return_indices=True), image)
        for size in ((3, 4), (7, 3), (9, 2), (None, 5))
    ],
    *[
        case("AdaptiveMaxPool3D", nn.AdaptiveMaxPool3d(size, return_indices=True), volume)
        for size in ((2, 4, 3), (5, 3, 7))
    ],
    case(
        "FractionalMaxPoolWithFixedKsize",
        nn.FractionalMaxPool2d((2, 3), (4, 3), return_indices=True, _random_samples=Tensor(shares(2, 4, 2))), image
    ),
    case(
        "FractionalMaxPool3DWithFixedKsize",
        nn.FractionalMaxPool3d((2, 3, 2), (3, 1, 4), return_indices=True, _random_samples=Tensor(shares(1, 3, 3))),
        volume,
    ),
    case("MaxUnpool2D", nn.MaxUnpool2d(2), normal(2, 2, 2, 2), places([[0, 3], [9, 15]], (2, 2, 2, 2))),
    case("MaxUnpool2D", nn.MaxUnpool1d(3), normal(2, 4, 3), places([0, 4, 8], (2, 4, 3))),
    case("MaxUnpool3D", nn.MaxUnpool3d(2), normal(1, 3, 1, 2, 2), places([[[0, 3], [9, 30]]], (1, 3, 1, 2, 2))),
    case(
        "MaxUnpool2DExt", primitives.MaxUnpool2DExt(), normal(1, 1, 2, 2), places([[0, 3], [9, 15]], (1, 1, 2, 2)),
        constants=(2, 2, 0, None),
        reference=lambda x, at: ops.max_unpool2d(Tensor(x), Tensor(at), 2),
    ),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
