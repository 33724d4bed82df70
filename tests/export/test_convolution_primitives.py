"""Convolutions and transposed convolutions: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import Tensor, mint, nn, ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import normal

line = normal(2, 4, 9)
image = normal(2, 4, 7, 6)
volume = normal(1, 4, 4, 5, 6)
filters = normal(6, 4, 3, 2)


def as_plain(weight, **settings):
    """MindSpore's own plain convolution of the same settings, for spellings that the CPU has no kernel for."""
    function = {3: ops.conv1d, 4: ops.conv2d, 5: ops.conv3d}[weight.ndim]
    return lambda x: function(Tensor(x), Tensor(weight), **settings)


def as_transposed(weight, **settings):
    def compute(x):
        in_channels, out_channels, *kernel = weight.shape
        cell = nn.Conv2dTranspose(in_channels, out_channels, tuple(kernel), pad_mode="pad", **settings)
        cell.weight.set_data(Tensor(weight))
        return cell(Tensor(x))
    return compute


def depthwise(x, weight):
    outputs = [ops.conv2d(Tensor(x[:, [c]]), Tensor(weight[:, [c]]), pad_mode="same").asnumpy() for c in range(4)]
    return np.concatenate(outputs, 1)


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
    case("Conv2D", nn.Conv2d(4, 8, 3, group=4), image),
    *[
        case("Conv3D", nn.Conv3d(4, 3, 3, stride, pad_mode=mode, padding=padding, dilation=dilation), volume)
        for stride, mode, padding, dilation in (
            (2, "same", 0, 1),
            (2, "pad", (1, 0, 2, 1, 0, 1), 1),
            (1, "same", 0, (1, 2, 2)),
        )
    ],
    *[
        case("DepthwiseConv2dNative", ops.DepthwiseConv2dNative(1, 3, *padding), image, normal(1, 4, 3, 3),
             reference=depthwise)
        for padding in ((3, "same"), (3, "pad", 1))
    ],
    *[
        case(
            name, primitive, x, constants=(Tensor(weight), None, 2, 1, 1, 2),
            reference=as_plain(weight, stride=2, pad_mode="pad", padding=1, groups=2),
        )
        for name, primitive, x, weight in (
            ("Conv1DExt", primitives.Conv1DExt(), line, normal(6, 2, 3)),
            ("Conv2DExt", primitives.Conv2DExt(), image, normal(6, 2, 3, 3)),
        )
    ],
    case(
        "Conv2DExt", primitives.Conv2DExt(), image[0],
        constants=(Tensor(filters), Tensor(normal(6) * 0 + 1), (1, 2), (2, 1), (1, 2)),
        reference=lambda x: ops.conv2d(
            Tensor(x[None]), Tensor(filters), Tensor(np.ones(6, np.float32)), (1, 2), "pad", (2, 1), (1, 2))[0],
    ),
    case(
        "Conv3DExt", primitives.Conv3DExt(), volume, constants=(Tensor(volume[:, :, :3, :3, :3]), None, 2, 1),
        reference=as_plain(volume[:, :, :3, :3, :3], stride=2, pad_mode="pad", padding=1),
    ),
    *[
        case(
            "Convolution", primitive, x, constants=(Tensor(weight), None, 1, "same", 2),
            reference=as_plain(weight, pad_mode="same", dilation=2),
        )
        for primitive, x, weight in (
            (primitives.Conv1DPadding(), line, normal(6, 4, 2)),
            (primitives.Conv2DPadding(), image, filters),
        )
    ],
    case(
        "Convolution", primitives.Conv3DPadding(), volume, constants=(Tensor(volume[:, :, :3, :3, :3]), None, 2),
        reference=as_plain(volume[:, :, :3, :3, :3], stride=2, pad_mode="valid"),
    ),
    case(
        "Convolution", primitives.Convolution(), image, constants=(Tensor(filters), None, 2, (1, 1), 1, False, 0, 1),
        reference=as_plain(filters, stride=2, pad_mode="pad", padding=1),
    ),
    case(
        "ConvolutionStr", primitives.ConvolutionStr(), image, constants=(Tensor(filters), None, 1, "same"),
        reference=as_plain(filters, pad_mode="same"),
    ),
    *[
        case(
            "Conv2DTranspose",
            nn.Conv2dTranspose(4, 6, kernel, stride, pad_mode=mode, padding=padding, dilation=dilation, group=group),
            image,
        )
        for kernel, stride, mode, padding, dilation, group in (
            (3, 2, "same", 0, 1, 1),
            (1, 2, "same", 0, 1, 1),
            (3, 2, "valid", 0, 1, 2),
            (3, (2, 3), "pad", (1, 0, 2, 1), 1, 1),
            (3, 1, "same", 0, 2, 1),
        )
    ],
    case("Conv2DTranspose BiasAdd", nn.Conv2dTranspose(4, 4, 4, 2, "same", group=4, has_bias=True), image),
    *[
        case("Conv2DBackpropInput", nn.Conv1dTranspose(4, 6, 3, 2, mode, padding, dilation=dilation), line)
        for mode, padding, dilation in (("same", 0, 1), ("valid", 0, 2), ("pad", 1, 1))
    ],
    *[
        case("Conv3DTranspose", nn.Conv3dTranspose(4, 3, 3, 2, mode, padding, output_padding=added), volume)
        for mode, padding, added in (("same", 0, 0), ("valid", 0, 0), ("pad", 1, 1))
    ],
    case(
        "ConvTranspose2D", mint.nn.functional.conv_transpose2d, image, normal(4, 3, 3, 2),
        constants=(None, (2, 1), (1, 0)),
        reference=lambda x, weight: as_transposed(weight, stride=(2, 1), padding=(1, 1, 0, 0))(x),
    ),
    case(
        "ConvTranspose2D", mint.nn.functional.conv_transpose2d, image[0], normal(4, 3, 3, 3),
        constants=(None, 3, 0, 0, 2),
        reference=lambda x, weight: np.concatenate([
            as_transposed(weight[i : i + 2], stride=3)(x[None, i : i + 2]).asnumpy() for i in (0, 2)], 1)[0],
    ),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
