"""Normalisation layers with the statistics they have at inference."""

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.ops.linear import expand_last
from msnoah.export.ops.table import Const, as_tuple, handles


@handles("BatchNorm")
def batch_norm(
    g, x, gamma, beta, mean, variance,
    is_training: Const = False, epsilon: Const = 1e-5, momentum: Const = 0.1, data_format: Const = 0,
):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, along axis 1."""
    if is_training:
        raise ConversionError(f"{g.scope}: BatchNorm is in training mode; call set_train(False) before the export")
    if data_format not in (0, "NCHW"):
        raise ConversionError(f"{g.scope}: BatchNorm has data format {data_format}; use NCHW")
    return (g.op("BatchNormalization", x, gamma, beta, mean, variance, epsilon=float(epsilon)), None, None, None, None)


@handles("LayerNorm")
def layer_norm(g, x, gamma, beta, begin_norm_axis: Const = 1, begin_params_axis: Const = 1, epsilon: Const = 1e-7):
    """Normalises over all axes from begin_norm_axis on; also returns mean and variance, which ONNX does not."""
    rank = len(x.shape)
    if len(gamma.shape) != rank - begin_norm_axis % rank or begin_norm_axis % rank != begin_params_axis % rank:
        raise ConversionError(
            f"{g.scope}: LayerNorm normalises from axis {begin_norm_axis} with parameters from axis "
            f"{begin_params_axis}; use one axis")
    return (g.op("LayerNormalization", x, gamma, beta, axis=begin_norm_axis, epsilon=float(epsilon)), None, None)


@handles("LayerNormExt")
def layer_norm_by_shape(g, x, normalized_shape: Const, weight=None, bias=None, epsilon: Const = 1e-5):
    shape = as_tuple(normalized_shape)
    weight = np.ones(shape, x.dtype) if weight is None else weight
    return (g.op("LayerNormalization", x, weight, bias, axis=-len(shape), epsilon=float(epsilon)), None, None)


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
    total = g.op("ReduceSumSquare", x, axes=list(as_tuple(axis)), keepdims=1) if g.opset < 18 else g.op(
        "ReduceSumSquare", x, g.ints(*as_tuple(axis)), keepdims=1)
    return g.op("Div", x, g.op("Sqrt", g.op("Max", total, g.like(epsilon, x))))
