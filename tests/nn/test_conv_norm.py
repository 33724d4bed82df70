"""Sequences of convolutions and norms, and how they fold."""

import mindspore as ms
import numpy as np
from mindspore import nn

from msnoah.nn.conv_norm import ConvSequence, conv
from msnoah.nn.fusing import fuse
from tests.goldens.slab_goldens import fill, relative_error

GATE = 1e-5  # folding rounds each weight once more


def sequence() -> nn.SequentialCell:
    cell = nn.SequentialCell(
        ConvSequence(nn.BatchNorm2d(3), conv(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU()),
        ConvSequence(conv(4, 5, 1, bias=True), nn.ReLU(), nn.BatchNorm2d(5)))
    fill(cell)
    return cell


def test_norms_behind_a_convolution_fold_and_others_stay():
    cell, x = sequence(), ms.Tensor(np.random.default_rng(0).standard_normal((2, 3, 7, 7)).astype(np.float32))
    fused = fuse(cell)
    assert relative_error(fused(x).asnumpy(), cell(x).asnumpy()) <= GATE
    kinds = [[type(layer).__name__ for layer in part.cell_list] for part in fused.cell_list]
    assert kinds == [["BatchNorm2d", "Conv2d", "Identity", "ReLU"], ["Conv2d", "ReLU", "BatchNorm2d"]]


def test_a_sequence_runs_its_fused_cells_and_names_them_as_before():
    cell = sequence()
    fused = fuse(cell)
    assert list(fused.name_cells().values()) == fused.cell_list
    assert [p.name for p in fused.get_parameters()] == [name for name, _ in fused.parameters_and_names()]
    assert "0.1.weight" in {p.name for p in fused.get_parameters()} & {p.name for p in cell.get_parameters()}
