"""Normalisation layers with the statistics they have at inference."""

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.ops.arithmetic import cast, in_result_type
from msnoah.export.ops.linear import expand_last
from msnoah.export.ops.reduction import reduce, sum_of_squares
from msnoah.export.ops.statistics import moments, vector_norm
from msnoah.export.ops.table import Const, as_tuple, handles


def _refuse_training(g, layer: str) -> None:
    raise ConversionError(f"{g.place}: {layer} is in training mode; call set_train(False) before the export")


@handles("BatchNorm")
def batch_norm(
    g, x, gamma, beta, mean, variance,
    is_training: Const = False, epsilon: Const = 1e-5, momentum: Const = 0.1, data_format: Const = 0,
):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, along axis 1."""
    if is_training:
        _refuse_training(g, "BatchNorm")
    if data_format not in (0, "NCHW"):
        raise ConversionError(f"{g.place}: BatchNorm has data format {data_format}; use NCHW")
    return (g.op("BatchNormalization", x, gamma, beta, mean, variance, epsilon=float(epsilon)), None, None, None, None)


@handles("BatchNormExt")
def batch_norm_with_defaults(
    g, x, weight=None, bias=None, mean=None, variance=None,
    training: Const = False, momentum: Const = 0.1, epsilon: Const = 1e-5,
):
    """BatchNorm whose scale and shift may be left out."""
    if training or mean is None or variance is None:
        _refuse_training(g, "BatchNormExt")
    weight = np.ones(x.shape[1], x.dtype) if weight is None else weight
    bias = np.zeros(x.shape[1], x.dtype) if bias is None else bias
    return (g.op("BatchNormalization", x, weight, bias, mean, variance, epsilon=float(epsilon)), None, None)


@handles("InstanceNorm")
def instance_norm(g, x, gamma, beta, mean, variance, *, epsilon: Const = 1e-5, momentum: Const = 0.1):
    """Each channel of each sample to mean 0 and variance 1; the running statistics are not read."""
    return (g.op("InstanceNormalization", x, gamma, beta, epsilon=float(epsilon)), None, None)


@handles("LayerNorm", "LayerNormV3")
def layer_norm(g, x, gamma, beta, begin_norm_axis: Const = 1, begin_params_axis: Const = 1, epsilon: Const = 1e-7):
    """Normalises over all axes from begin_norm_axis on; also returns mean and variance, which ONNX does not."""
    first = begin_norm_axis % len(x.shape)
    attributes = {"axis": first, "epsilon": float(epsilon)}
    if first == begin_params_axis % len(x.shape):
        return (g.op("LayerNormalization", x, gamma, beta, **attributes), None, None)
    normal = g.op("LayerNormalization", x, np.ones(x.shape[first:], x.dtype), **attributes)
    return (g.op("Add", g.op("Mul", normal, gamma), beta), None, None)


@handles("LayerNormExt")
def layer_norm_by_shape(g, x, normalized_shape: Const, weight=None, bias=None, epsilon: Const = 1e-5):
    shape = as_tuple(normalized_shape)
    weight = np.ones(shape, x.dtype) if weight is None else weight
    return (g.op("LayerNormalization", x, weight, bias, axis=-len(shape), epsilon=float(epsilon)), None, None)


@handles("AddLayerNormV2")
def add_layer_norm(g, x, y, gamma, beta, epsilon: Const = 1e-5, additional_out: Const = False):
    """LayerNorm of x + y; then its mean and the reciprocal of its deviation, both float32, and the sum."""
    total = g.op("Add", x, y)
    axes = tuple(range(-len(gamma.shape), 0))
    normal = g.op("LayerNormalization", total, gamma, beta, axis=axes[0], epsilon=float(epsilon))
    variance, mean = moments(g, cast(g, total, np.dtype(np.float32)), axes, 0, True)
    deviation = g.op("Sqrt", g.op("Add", variance, g.like(epsilon, variance)))
    return normal, mean, g.op("Reciprocal", deviation), total


@handles("RmsNorm")
def rms_norm(g, x, gamma, epsilon: Const = 1e-6):
    """gamma x / sqrt(mean(x^2) + epsilon) over gamma's axes, in the order that ONNX Runtime runs as one kernel; the
    root is float32, also for float16."""
    axes, wide = tuple(range(-len(gamma.shape), 0)), cast(g, x, np.dtype(np.float32))
    squares = reduce(g, "ReduceMean", g.op("Pow", wide, g.like(2, wide)), axes, True)
    root = g.op("Sqrt", g.op("Add", squares, g.like(epsilon, wide)))
    return g.op("Mul", cast(g, g.op("Div", wide, root), x.dtype), gamma), g.op("Reciprocal", root)


@handles("AddRmsNorm")
def add_rms_norm(g, x, y, gamma, epsilon: Const = 1e-6):
    """RmsNorm of x + y; the sum is the last output."""
    total = g.op("Add", x, y)
    return (*rms_norm(g, total, gamma, epsilon), total)


@handles("GroupNorm")
def group_norm(g, x, num_groups: Const, weight=None, bias=None, epsilon: Const = 1e-5):
    """(B, C, ...): each of num_groups groups of channels to mean 0 and variance 1, then an affine per channel."""
    grouped = g.op("Reshape", x, g.ints(x.shape[0], num_groups, -1))   # (B, C, ...) -> (B, G, C / G ...)
    ones, zeros = np.ones(num_groups, x.dtype), np.zeros(num_groups, x.dtype)
    y = g.op("Reshape", g.op("InstanceNormalization", grouped, ones, zeros, epsilon=float(epsilon)), g.ints(*x.shape))
    rank = len(x.shape) - 2
    y = y if weight is None else g.op("Mul", y, expand_last(g, weight, rank))
    y = y if bias is None else g.op("Add", y, expand_last(g, bias, rank))
    return (y, None, None)


@handles("L2Normalize")
def l2_normalize(g, x, *, axis: Const, epsilon: Const):
    """x / sqrt(max(sum x^2, epsilon))"""
    total = sum_of_squares(g, x, axis, True)
    return g.op("Div", x, g.op("Sqrt", g.op("Max", total, g.like(epsilon, x))))


@handles("LRN")
def local_response_norm(
    g, x, *, depth_radius: Const = 5, bias: Const = 1.0, alpha: Const = 1.0, beta: Const = 0.5,
    norm_region: Const = "ACROSS_CHANNELS",
):
    """x / (bias + alpha sum of x^2 over 2 depth_radius + 1 channels)^beta; ONNX divides alpha by their number."""
    size = 2 * depth_radius + 1
    return g.op("LRN", x, size=size, alpha=float(alpha * size), beta=float(beta), bias=float(bias))


@handles("Renorm")
def renorm(g, x, *, p: Const, dim: Const, maxnorm: Const):
    """Scales each slice along an axis down to a p-norm of maxnorm, if it is larger."""
    axes = tuple(a for a in range(len(x.shape)) if a != dim % len(x.shape))
    norm = vector_norm(g, x, p, axes, True)
    factor = g.op("Div", g.like(maxnorm, x), g.op("Add", norm, g.like(1e-7, x)))
    one = g.like(1, x)
    return g.op("Mul", x, g.op("Where", g.op("Greater", norm, g.like(maxnorm, x)), factor, one))


@handles("ClipByNorm")
def clip_by_norm(g, x, clip_norm, *, axis: Const = ()):
    """x scaled down to an L2 norm of clip_norm over axes, if it is larger."""
    x, clip_norm = in_result_type(g, x), in_result_type(g, clip_norm)
    norm = reduce(g, "ReduceL2", x, axis, True)
    return g.op("Mul", x, g.op("Div", clip_norm, g.op("Max", norm, clip_norm)))


@handles("Dropout")
def dropout(g, x, keep_prob: Const = 0.5, seed: Const = 0, seed2: Const = 0):
    """Nothing, where everything is kept; what drops elements is in training mode."""
    if keep_prob != 1:
        _refuse_training(g, f"Dropout that keeps {keep_prob}")
    return (x, None)


@handles("Dropout2D", "Dropout3D")
def dropout_of_channels(g, x, *, keep_prob: Const = 0.5):
    return dropout(g, x, keep_prob)


@handles("DropoutExt")
def dropout_by_chance(g, x, p: Const, seed, offset):
    return dropout(g, x, 1 - p)
