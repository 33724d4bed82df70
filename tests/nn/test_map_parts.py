"""Attention, perceptron, calibration and pooling over maps: their fused forms compute the same, without norms."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from msnoah.nn.average_pool import average_pool_to
from msnoah.nn.conv_mlp import ConvMLP
from msnoah.nn.conv_norm import ConvNorm, ConvSequence
from msnoah.nn.fusing import fuse
from msnoah.nn.map_attention import DownsamplingAttention, LocalGlobalQuery, TalkingAttention
from msnoah.nn.strip_calibration import StripCalibration
from tests.goldens.cgrseg_goldens import fill_cgrseg
from tests.goldens.slab_goldens import relative_error

GATE = 1e-5  # folding rounds each weight once more
TABLE = "attention_biases_seg"
PARTS = {
    "talking": lambda: TalkingAttention(8, (4, 6), 1, (4, 6), "flat", TABLE),
    "talking_resized_flat": lambda: TalkingAttention(8, (4, 6), 1, (6, 6), "flat", TABLE),
    "talking_resized_grid": lambda: TalkingAttention(8, (4, 6), 1, (6, 6), "grid", TABLE),
    "talking_strided": lambda: TalkingAttention(8, (4, 6), 2, (8, 8), "flat", TABLE),
    "downsampling": lambda: DownsamplingAttention(8, 12, (4, 6), (4, 6), "flat", TABLE),
    "downsampling_resized": lambda: DownsamplingAttention(8, 12, (4, 6), (8, 8), "grid", TABLE),
    "query": lambda: LocalGlobalQuery(8, 12),
    "mlp": lambda: ConvMLP(8, 20),
    "conv_norm": lambda: ConvNorm(8, 16, group=8),
    "calibration": lambda: StripCalibration(8, 5),
}


@pytest.mark.parametrize("name", PARTS)
def test_fused_part_computes_the_same_without_norms(name):
    part = PARTS[name]()
    fill_cgrseg(part, "part.meta.0.")
    x = ms.Tensor(np.random.default_rng(0).standard_normal((2, 8, 4, 6)).astype(np.float32))
    before = [parameter.asnumpy().copy() for parameter in part.get_parameters()]
    expected = part(x).asnumpy()
    fused = fuse(part)
    assert relative_error(fused(x).asnumpy(), expected) <= GATE
    assert nn.BatchNorm2d in kinds(part) and nn.BatchNorm2d not in kinds(fused)
    assert all((now.asnumpy() == then).all() for now, then in zip(part.get_parameters(), before, strict=True))
    assert sum(p.size for p in fused.get_parameters() if "attention_biases" not in p.name) < sum(
        p.size for p in part.get_parameters() if "attention_biases" not in p.name)


def kinds(cell: nn.Cell) -> set[type]:
    return {type(child) for _, child in cell.cells_and_names()}


@pytest.mark.parametrize("name", ["talking", "downsampling_resized"])
def test_scale_of_the_result_goes_into_the_last_convolution(name):
    part = PARTS[name]()
    fill_cgrseg(part, "part.")
    x = ms.Tensor(np.random.default_rng(0).standard_normal((1, 8, 4, 6)).astype(np.float32))
    fused = fuse(part)
    y = fused(x).asnumpy()
    scale = np.linspace(-1, 2, y.shape[1])
    assert relative_error(fused.scaled(scale)(x).asnumpy(), scale[:, None, None] * y) <= GATE


def test_sequence_that_ends_otherwise_takes_no_scale():
    with pytest.raises(AttributeError):
        ConvSequence(nn.Conv2d(4, 4, 1), nn.ReLU()).scaled(2.0)


@pytest.mark.parametrize("map_size,size", [
    ((8, 8), (2, 4)), ((7, 7), (4, 4)), ((6, 10), (4, 3)), ((28, 4), (4, 4)), ((5, 3), (5, 3)), ((1, 1), (1, 1)),
])
def test_pooling_is_the_mean_of_every_window(map_size, size):
    x = np.random.default_rng(0).standard_normal((2, 3, *map_size)).astype(np.float32)
    rows, columns = ([slice(i * n // m, -(-(i + 1) * n // m)) for i in range(m)] for n, m in zip(map_size, size))
    expected = np.stack([np.stack([x[..., row, column].mean((2, 3)) for column in columns], -1) for row in rows], -2)
    assert relative_error(average_pool_to(map_size, size)(ms.Tensor(x)).asnumpy(), expected) <= GATE


def test_talking_heads_of_the_first_kind_mix_scores_and_biases_alike():
    part = PARTS["talking_resized_flat"]()
    fill_cgrseg(part, "part.")
    rng = np.random.default_rng(0)
    q, k = (ms.Tensor(rng.standard_normal((1, 8, 32, 24)).astype(np.float32)) for _ in range(2))
    plain = ops.matmul(q.swapaxes(2, 3), k).asnumpy() * 32 ** -0.5 + part.bias().asnumpy()
    mixing, shift = part.talking_head1.weight.asnumpy()[:, :, 0, 0], part.talking_head1.bias.asnumpy()
    expected = np.einsum("oh,bhqk->boqk", mixing, plain) + shift[:, None, None]
    assert relative_error(part.scores(q, k).asnumpy(), expected) <= GATE
    fused = fuse(part)
    assert relative_error(fused.scores(q * 32 ** -0.5, k).asnumpy(), expected) <= GATE
