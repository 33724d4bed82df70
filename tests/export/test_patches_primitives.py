"""Primitives that cut images into patches or trade channels for pixels: every handler against MindSpore."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import normal

image = normal(2, 3, 5, 6)
columns = normal(2, 12, 12)
small = normal(2, 3, 5, 4)
windows = ((1, 0, 1, 12, (4, 5)), (2, 1, 1, 9, (4, 5)), ((1, 2), (1, 0), (2, 1), 12, (6, 5)))
"""Stride, padding and dilation of a 2 x 2 window (overlapping, side by side, uneven); how many fit into a size."""


def unfolded(x, kernel, stride, rate):
    """(N, C, H, W) -> (N, kh, kw, C, oh, ow), without padding."""
    sizes = [(n - r * (k - 1) - 1) // s + 1 for n, k, s, r in zip(x.shape[2:], kernel, stride, rate, strict=True)]
    rows, columns = (np.arange(size) * step for size, step in zip(sizes, stride, strict=True))
    taps = [
        np.stack([x[:, :, (rows + i * rate[0])[:, None], columns + j * rate[1]] for j in range(kernel[1])], 1)
        for i in range(kernel[0])
    ]
    return np.stack(taps, 1)


def extract_patches(x):
    patches = unfolded(x, (2, 2), (2, 1), (1, 2))
    return patches.reshape(2, -1, *patches.shape[-2:])


def im2col(x):
    patches = unfolded(x, (2, 3), (1, 2), (1, 1)).transpose(0, 3, 1, 2, 4, 5)
    return patches.reshape(2, 18, -1)


def col2im(x):
    y, x = np.zeros((2, 3, 4, 5), np.float32), x.reshape(2, 3, 2, 2, 3, 4)
    for i in range(2):
        for j in range(2):
            y[:, :, i : i + 3, j : j + 4] += x[:, :, i, j]
    return y


def space_to_batch(x):
    x = np.pad(x, [(0, 0), (0, 0), (0, 1), (1, 1)])
    return np.concatenate([x[:, :, i::2, j::2] for i in range(2) for j in range(2)])


CASES = [
    *[
        case("Im2Col", ops.operations.Im2Col((2, 2), stride, dilation, pads), image)
        for stride, pads, dilation, *_ in windows
    ],
    case("Im2ColExt", primitives.Im2ColExt(), image, constants=((2, 3), (1, 1), (0, 0), (1, 2)), reference=im2col),
    case(
        "ExtractImagePatches", primitives.ExtractImagePatches((2, 2), (2, 1), (1, 2), "VALID"), image,
        reference=extract_patches,
    ),
    *[
        case(
            "Col2Im", ops.operations.Col2Im((2, 2), dilation, pads, stride), normal(2, 3, 4, count),
            constants=(Tensor(size, ms.int32),),
        )
        for stride, pads, dilation, count, size in windows
    ],
    case("Col2ImExt", primitives.Col2ImExt(), columns, constants=((4, 5), (2, 2), 1, 0, 1), reference=col2im),
    case(
        "Col2ImExt", primitives.Col2ImExt(), columns[0], constants=((4, 5), (2, 2), 1, 0, 1),
        reference=lambda x: col2im(np.stack([x, x]))[0],
    ),
    case("SpaceToDepth", ops.SpaceToDepth(2), normal(2, 3, 4, 6)),
    case("DepthToSpace", ops.DepthToSpace(2), normal(2, 12, 2, 3)),
    case("ChannelShuffle", ops.operations.ChannelShuffle(2), normal(2, 6, 4, 5)),
    case("SpaceToBatchND", ops.SpaceToBatchND([2, 2], [[0, 1], [1, 1]]), normal(2, 3, 5, 4)),
    case("SpaceToBatch", ops.operations.SpaceToBatch(2, [[0, 1], [1, 1]]), small, reference=space_to_batch),
    case("BatchToSpaceND", ops.BatchToSpaceND([2, 2], [[0, 1], [1, 1]]), normal(8, 3, 3, 3)),
    case(
        "BatchToSpace", ops.operations.BatchToSpace(2, [[0, 1], [1, 1]]), space_to_batch(small),
        reference=lambda _: small,
    ),
    case(
        "BatchToSpaceNDV2", ops.operations.BatchToSpaceNDV2(), space_to_batch(small),
        constants=(Tensor([2, 2]), Tensor([[0, 1], [1, 1]])), reference=lambda _: small,
    ),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
