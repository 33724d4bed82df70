"""Normalisation: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from mindspore.ops import auto_generate as primitives
from mindspore.ops import operations
from mindspore.ops.operations._inner_ops import ClipByNorm
from primitive_case import Case, case, check_case
from primitive_cells import FirstOutput, LayerNormOverShape, layer_norm, normal, positive

from msnoah.errors import ConversionError

x34 = normal(3, 4)
image = normal(2, 4, 7, 6)
tokens = normal(2, 5, 8)
per_channel = [positive(4) for _ in range(4)]


def batch_norm(x, gamma, beta, mean, variance):
    gamma, beta, mean, variance = (p[:, None, None] for p in (gamma, beta, mean, variance))
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


def instance_norm(x, gamma, beta, mean, variance):
    mean, variance = x.mean((2, 3), keepdims=True), x.var((2, 3), keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma[:, None, None] + beta[:, None, None]


def rms_norm(x, gamma):
    root = np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-6))
    return x / root * gamma, 1 / root


def add_layer_norm(x, y, gamma, beta):
    x = x + y
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return layer_norm(x, gamma, beta), mean, 1 / np.sqrt(variance + 1e-5), x


def half_rms_norm(x, gamma):
    y, reciprocal = rms_norm(x.astype(np.float32), gamma.astype(np.float32))
    return y.astype(np.float16), reciprocal


def clip_by_norm(x, limit):
    norm = np.sqrt((x * x).sum(1, keepdims=True))
    return x * np.minimum(1, limit / norm)


CASES = [
    case("BatchNorm", ops.BatchNorm(epsilon=1e-3), image, *per_channel, cell=FirstOutput),
    case("BatchNormExt", primitives.BatchNormExt(), image, *per_channel, cell=FirstOutput, reference=batch_norm),
    case("InstanceNorm", operations.InstanceNorm(), image, *per_channel, cell=FirstOutput, reference=instance_norm),
    case("LayerNorm", ops.LayerNorm(-1, -1, 1e-6), tokens, normal(8), normal(8), cell=FirstOutput),
    case("LayerNorm", ops.LayerNorm(1, 1, 1e-6), tokens, normal(5, 8), normal(5, 8), cell=FirstOutput),
    case("LayerNorm", ops.LayerNorm(1, 2, 1e-6), tokens, normal(8), normal(8), cell=FirstOutput),
    case(
        "LayerNormV3",
        primitives.LayerNormV3(-1, -1, 1e-5),
        tokens,
        normal(8),
        normal(8),
        cell=FirstOutput,
        reference=layer_norm,
    ),
    case(
        "LayerNormExt",
        primitives.LayerNormExt(),
        tokens,
        normal(8),
        normal(8),
        cell=LayerNormOverShape,
        reference=layer_norm,
    ),
    case(
        "AddLayerNormV2",
        primitives.AddLayerNormV2(),
        tokens,
        normal(2, 5, 8),
        normal(8),
        normal(8),
        constants=(1e-5, True),
        reference=add_layer_norm,
    ),
    case("RmsNorm", primitives.RmsNorm(), tokens, normal(8), reference=rms_norm),
    case(
        "RmsNorm",
        primitives.RmsNorm(),
        tokens.astype(np.float16),
        normal(8).astype(np.float16),
        reference=half_rms_norm,
        tolerance=1e-3,  # float16 holds 11 bits.
    ),
    case(
        "AddRmsNorm",
        primitives.AddRmsNorm(),
        tokens,
        normal(2, 5, 8),
        normal(8),
        reference=lambda x, y, gamma: (*rms_norm(x + y, gamma), x + y),
    ),
    case("GroupNorm", nn.GroupNorm(2, 4), image),
    *[case("L2Normalize", ops.L2Normalize(axis), x34) for axis in (1, -1)],
    case("LRN", ops.LRN(), image),
    case("LRN", ops.LRN(1, 2.0, 0.5, 0.75), image),
    *[case("Renorm", ops.Renorm(p, dim, 0.5), x34) for p, dim in ((1, 0), (2, 1))],
    case("ClipByNorm", ClipByNorm(), x34, np.array(0.5, np.float32)),
    # MindSpore's own takes the norms of the wrong axis.
    case("ClipByNorm", ClipByNorm(1), x34, np.array(1.5, np.float32), reference=clip_by_norm),
    # --- dropout that drops nothing
    case("Dropout", ops.Dropout(1.0), x34, cell=FirstOutput),
    case("Dropout2D", ops.Dropout2D(1.0), image, cell=FirstOutput),
    case("Dropout3D", ops.Dropout3D(1.0), image[None], cell=FirstOutput),
    case(
        "DropoutExt",
        primitives.DropoutExt(),
        x34,
        constants=(0.0, Tensor(1), Tensor(1)),
        cell=FirstOutput,
        reference=np.copy,
    ),
]
TRAINING = [
    case("Dropout", ops.Dropout(0.5), x34, cell=FirstOutput),
    case("BatchNorm", ops.BatchNorm(is_training=True), image, *per_channel, cell=FirstOutput),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)


@pytest.mark.parametrize("case_", TRAINING, ids=str)
def test_training_mode_is_refused(case_: Case, tmp_path):
    with pytest.raises(ConversionError, match=r"is in training mode; call set_train\(False\)"):
        check_case(case_, tmp_path)
