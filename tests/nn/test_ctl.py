"""The channel-time learning block and its parts against what the authors' layers compute, and their fused forms."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from msnoah.models.squeezetime import BasicBlock, Bottleneck
from msnoah.nn.ctl import ChannelTimeLearning, InterObjectInteraction
from msnoah.nn.fusing import fuse
from msnoah.nn.position_map import fit_positions, resize_positions
from tests.goldens.slab_goldens import relative_error
from tests.goldens.squeezetime_goldens import UNITS, fill_squeezetime

GATE = 1e-5  # the authors' layers in float32 lie within 1e-6 of float64; folding rounds each weight once more
BLOCKS = {
    "ctl": lambda: ChannelTimeLearning(8, 8, 14, 14),
    "bottleneck_s2": lambda: Bottleneck(8, 8, 2, 7, 7),
}


def filled(name: str, cell: nn.Cell) -> nn.Cell:
    fill_squeezetime(cell, f"unit.{name}.")
    return cell


def kinds(cell: nn.Cell) -> set[type]:
    return {type(child) for _, child in cell.cells_and_names()}


@pytest.mark.parametrize("name, position_size", [("ioi_pos14", 14), ("ioi_pos7_interp", 7)])
def test_interaction_computes_what_the_authors_layer_does(name, position_size):
    interaction = filled(name, InterObjectInteraction(8, 12, 14, position_size))
    x, weights = UNITS[f"{name}/x0"], UNITS[f"{name}/x1"]
    for cell in (interaction, fuse(interaction)):
        y = cell(ms.Tensor(x), ms.Tensor(weights * x)).asnumpy()
        assert relative_error(y, UNITS[f"{name}/y"]) <= GATE


@pytest.mark.parametrize("name", BLOCKS)
def test_block_computes_what_the_authors_block_does(name):
    block = filled(name, BLOCKS[name]())
    x, expected = ms.Tensor(UNITS[f"{name}/x0"]), UNITS[f"{name}/y"]
    assert relative_error(block(x).asnumpy(), expected) <= GATE
    fused = fuse(block)
    assert relative_error(fused(x).asnumpy(), expected) <= GATE
    assert nn.BatchNorm2d in kinds(block) and nn.BatchNorm2d not in kinds(fused)


def test_bottleneck_in_training_computes_what_the_authors_does():
    block = filled("bottleneck_s2_train", BLOCKS["bottleneck_s2"]())
    block.set_train()
    y = block(ms.Tensor(UNITS["bottleneck_s2_train/x0"])).asnumpy()
    assert relative_error(y, UNITS["bottleneck_s2_train/y"]) <= GATE


def test_basic_block_of_other_channels_fuses_exactly():
    block = filled("basic", BasicBlock(6, 10, 2, 5, 3))
    x = ms.Tensor(np.random.default_rng(0).standard_normal((2, 6, 11, 11)).astype(np.float32))
    fused = fuse(block)
    assert relative_error(fused(x).asnumpy(), block(x).asnumpy()) <= GATE and nn.BatchNorm2d not in kinds(fused)
    assert not block.conv1.temporal_conv.has_bias


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 7), (13, 14)])
def test_positions_are_resized_with_corners_on_corners(size):
    positions = np.random.default_rng(0).standard_normal((1, 4, 7, 7)).astype(np.float32)
    found = fit_positions(ms.Tensor(positions), size).asnumpy()
    assert relative_error(resize_positions(positions, size), found) <= GATE
    assert np.allclose(found[:, :, [0, -1]][..., [0, -1]], positions[:, :, [0, -1]][..., [0, -1]]) or size == (1, 1)


def test_fused_block_refuses_a_map_of_another_size_instead_of_resizing_twice():
    fused = fuse(ChannelTimeLearning(8, 8, 14, 7))
    with pytest.raises(ValueError):
        fused(ms.Tensor(np.zeros((1, 8, 9, 9), np.float32))).asnumpy()
