"""The algebra of folding: an affine norm y = scale * x + shift and the linear layer beside it make one linear layer.

All sums are taken in float64 and rounded to float32 once.
"""

import copy

import numpy as np
from mindspore import Parameter, Tensor, nn

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def is_affine(norm: nn.Cell) -> bool:
    """Whether a norm is an affine map per channel in evaluation, and so can fold. LayerNorm is not."""
    return hasattr(norm, "affine") or isinstance(norm, BATCH_NORMS)


def affine(norm: nn.Cell) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift per channel, float64 (C,), of the map y = scale * x + shift that a norm is in evaluation.

    BatchNorm's is gamma / sqrt(var + eps) * (x - mean) + beta; other norms give theirs by a method `affine`.
    """
    if hasattr(norm, "affine"):
        return norm.affine()
    gamma, beta, mean, variance = map(_float64, (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance))
    scale = gamma / np.sqrt(variance + norm.eps)
    return scale, beta - scale * mean


def dense_after(norm: nn.Cell, dense: nn.Dense) -> nn.Dense:
    """dense(norm(x)) as one Dense: W (scale * x + shift) + b = (W * scale) x + (W shift + b), scale on W's columns."""
    scale, shift = affine(norm)
    weight = _float64(dense.weight)
    return dense_of(weight * scale, _bias(dense, weight.shape[0]) + weight @ shift)


def conv_before(conv: nn.Conv2d, norm: nn.Cell) -> nn.Conv2d:
    """norm(conv(x)) as one Conv2d: scale * (W x + b) + shift = (scale * W) x + (scale * b + shift), by W's rows."""
    scale, shift = affine(norm)
    weight = _float64(conv.weight)
    return _conv(conv, weight * scale[:, None, None, None], _bias(conv, weight.shape[0]) * scale + shift)


def conv_after(norm: nn.Cell, conv: nn.Conv2d) -> nn.Conv2d:
    """conv(norm(x)) as one Conv2d: W (scale * x + shift) + b = (W * scale) x + (W shift + b), summed over the window.

    Exact only without padding: a padded zero is not normalised.
    """
    scale, shift = affine(norm)
    weight = _float64(conv.weight)
    bias = _bias(conv, weight.shape[0]) + np.einsum("oikl,i->o", weight, shift)
    return _conv(conv, weight * scale[None, :, None, None], bias)


def scaled_conv(conv: nn.Conv2d, scale: np.ndarray) -> nn.Conv2d:
    """scale * conv(x) as one Conv2d, a factor for every output channel: (scale * W) x + scale * b."""
    weight = _float64(conv.weight)
    return _conv(conv, weight * scale[:, None, None, None], _bias(conv, weight.shape[0]) * scale)


def scaled_rows(dense: nn.Dense, rows: int, factor: float) -> nn.Dense:
    """A Dense whose first `rows` outputs are multiplied by `factor`: factor * (W x + b) = (factor W) x + factor b."""
    weight = _float64(dense.weight)
    gain = np.where(np.arange(weight.shape[0]) < rows, factor, 1.0)
    return dense_of(weight * gain[:, None], _bias(dense, weight.shape[0]) * gain)


def dense_of(weight: np.ndarray, bias: np.ndarray) -> nn.Dense:
    """A Dense of this weight (out, in) and bias (out,), rounded to float32."""
    rows, columns = weight.shape
    return nn.Dense(columns, rows, weight_init=_float32(weight), bias_init=_float32(bias))


def absorb_norm(cell: nn.Cell, norm: nn.Cell, *names: str) -> nn.Cell:
    """A copy of a Cell whose named Denses take the norm's input instead of its output; see `dense_after`."""
    fused = copy.deepcopy(cell)
    for name in names:
        setattr(fused, name, dense_after(norm, getattr(cell, name)))
    return fused


def _float64(parameter: Parameter) -> np.ndarray:
    return parameter.asnumpy().astype(np.float64)


def _bias(layer: nn.Cell, size: int) -> np.ndarray:
    return _float64(layer.bias) if layer.has_bias else np.zeros(size)


def _conv(conv: nn.Conv2d, weight: np.ndarray, bias: np.ndarray) -> nn.Conv2d:
    return nn.Conv2d(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.pad_mode, conv.padding, conv.dilation,
        conv.group, has_bias=True, weight_init=_float32(weight), bias_init=_float32(bias),
    )


def _float32(array: np.ndarray) -> Tensor:
    return Tensor(array.astype(np.float32))
