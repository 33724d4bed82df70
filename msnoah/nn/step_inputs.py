"""What a trainer hands to a model before a step: numbers of the step, held in Parameters that are no weights.

They are written by `ops.assign`: a compiled function keeps the memory that it saw first, so it would never see what
`Parameter.set_data` puts in its place (MindSpore 2.10).
"""

from collections.abc import Iterator

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from msnoah.nn.drop_path import DropPath
from msnoah.nn.dropout import Dropout
from msnoah.nn.rep_norm import ProgressiveRepBatchNorm
from msnoah.sharding import WHOLE, Shard

STEP_INPUTS = ("layer_norm_share", "keep_scale", "unit_gate")
DROPS = (DropPath, Dropout)
BUFFERS = ("moving_mean", "moving_variance")


def set_layer_norm_share(model: nn.Cell, share: float) -> None:
    """Sets LayerNorm's share (0 to 1) in every progressive norm of the model, for the steps from here on."""
    for norm in _cells_of(model, ProgressiveRepBatchNorm):
        ops.assign(norm.layer_norm_share, Tensor(share, mstype.float32))


def set_warm(model: nn.Cell, warm: bool) -> None:
    """Makes every progressive norm pure LayerNorm in training, or ends that; a compiled step must be compiled anew."""
    for norm in _cells_of(model, ProgressiveRepBatchNorm):
        norm.warm = bool(warm)


def prepare_drops(model: nn.Cell, batch_size: int) -> None:
    """Sizes every DropPath and Dropout for training on `batch_size` samples at once. To be called before the step is compiled."""
    for drop in _cells_of(model, DROPS):
        shape = (batch_size, *drop.keep_scale.shape[1:])
        drop.keep_scale = Parameter(Tensor(np.ones(shape, np.float32)), name=drop.keep_scale.name, requires_grad=False)


def draw_drops(model: nn.Cell, rng: np.random.Generator, shard: Shard = WHOLE) -> None:
    """Draws for every DropPath and Dropout, in the model's order, what of the next batch is kept.

    All workers draw for the whole batch, from generators in one state, and each takes its `shard` of it.
    """
    for drop in _cells_of(model, DROPS):
        keep, (samples, *rest) = 1.0 - drop.rate, drop.keep_scale.shape
        whole = samples * shard.workers
        kept = rng.random((whole, *rest))[shard.rows(whole)] < keep
        ops.assign(drop.keep_scale, Tensor((kept / keep).astype(np.float32)))


def weights(model: nn.Cell) -> dict[str, Parameter]:
    """The model's Parameters by name, batch statistics included, without the step inputs: what a checkpoint holds."""
    parameters = {parameter.name: parameter for parameter in model.get_parameters()}
    return {name: parameter for name, parameter in parameters.items() if _last(name) not in STEP_INPUTS}


def batch_statistics(model: nn.Cell) -> dict[str, Parameter]:
    """What a forward pass in training changes by itself: the moving statistics of its BatchNorms, by name."""
    return {name: parameter for name, parameter in weights(model).items() if _last(name) in BUFFERS}


def count_parameters(model: nn.Cell) -> int:
    """How many numbers the model has learnt or would learn: all weights but the batch statistics."""
    return sum(parameter.size for name, parameter in weights(model).items() if _last(name) not in BUFFERS)


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _cells_of(model: nn.Cell, kind: type | tuple[type, ...]) -> Iterator[nn.Cell]:
    return (cell for _, cell in model.cells_and_names() if isinstance(cell, kind))
