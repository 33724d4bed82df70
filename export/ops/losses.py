"""Losses, for networks that give one at inference."""

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.ops.arithmetic import alike, cast
from msnoah.export.ops.reduction import reduce
from msnoah.export.ops.statistics import vector_norm
from msnoah.export.ops.table import Const, handles

REDUCTIONS = {0: "ReduceSum", 1: "ReduceMean", "sum": "ReduceSum", "mean": "ReduceMean"}
"""ONNX operator by MindIR's `reduction`; 2 and "none" leave the losses as they are."""


def _reduced(g, losses, reduction):
    if reduction in (2, "none"):
        return losses
    return reduce(g, REDUCTIONS[reduction], losses, None, False)


@handles("L1LossExt")
def absolute_loss(g, x, target, reduction: Const = 1):
    return _reduced(g, g.op("Abs", g.op("Sub", *alike(g, x, target))), reduction)


@handles("MSELossExt")
def square_loss(g, x, target, reduction: Const = 1):
    difference = g.op("Sub", *alike(g, x, target))
    return _reduced(g, g.op("Mul", difference, difference), reduction)


@handles("SmoothL1Loss")
def smooth_absolute_loss(g, x, target, beta: Const = 1.0, reduction: Const = 2):
    """|d| - beta / 2, and d^2 / (2 beta) where |d| < beta."""
    size = g.op("Abs", g.op("Sub", *alike(g, x, target)))
    square = g.op("Mul", g.op("Mul", size, size), g.like(0.5 / beta, size))
    straight = g.op("Sub", size, g.like(0.5 * beta, size))
    return _reduced(g, g.op("Where", g.op("Less", size, g.like(beta, size)), square, straight), reduction)


@handles("SoftMarginLoss")
def soft_margin_loss(g, x, target, reduction: Const = 1):
    """log(1 + exp(-target x))"""
    return _reduced(g, g.op("Softplus", g.op("Neg", g.op("Mul", *alike(g, x, target)))), reduction)


def _weighted(g, losses, weight):
    return losses if weight is None else g.op("Mul", losses, weight)


@handles("BinaryCrossEntropy")
def binary_cross_entropy(g, x, target, weight=None, reduction: Const = 1):
    """-weight (target log(x) + (1 - target) log(1 - x)), with logarithms that do not fall below that of 1e-12."""
    one, tiny = g.like(1, x), g.like(1e-12, x)
    log, log_of_rest = (g.op("Log", g.op("Max", p, tiny)) for p in (x, g.op("Sub", one, x)))
    gain = g.op("Add", g.op("Mul", target, log), g.op("Mul", g.op("Sub", one, target), log_of_rest))
    return _reduced(g, _weighted(g, g.op("Neg", gain), weight), reduction)


@handles("BCEWithLogitsLoss")
def binary_cross_entropy_of_logits(g, x, target, weight=None, positive_weight=None, reduction: Const = 1):
    """weight ((1 - target) x + (1 + (positive_weight - 1) target) log(1 + exp(-x)))"""
    one = g.like(1, x)
    losses = g.op("Softplus", g.op("Neg", x))
    if positive_weight is not None:
        factor = g.op("Add", one, g.op("Mul", g.op("Sub", positive_weight, one), target))
        losses = g.op("Mul", losses, factor)
    losses = g.op("Add", g.op("Mul", g.op("Sub", one, target), x), losses)
    return _reduced(g, _weighted(g, losses, weight), reduction)


@handles("SigmoidCrossEntropyWithLogits")
def sigmoid_cross_entropy(g, x, target):
    return binary_cross_entropy_of_logits(g, x, target, reduction=2)


@handles("KLDiv")
def divergence(g, x, target, reduction: Const = 1, log_target: Const = False):
    """target (log(target) - x), and 0 where target is 0; x holds logarithms, target too if log_target is set."""
    if log_target:
        losses = g.op("Mul", g.op("Exp", target), g.op("Sub", target, x))
    else:
        zero = g.like(0, target)
        losses = g.op("Mul", target, g.op("Sub", g.op("Log", target), x))
        losses = g.op("Where", g.op("Greater", target, zero), losses, zero)
    return _reduced(g, losses, reduction)


@handles("KLDivLoss")
def divergence_of_logs(g, x, target, *, reduction: Const = "mean"):
    """As KLDiv; 'batchmean' divides the sum by the number of samples."""
    if reduction != "batchmean":
        return divergence(g, x, target, reduction)
    return g.op("Div", divergence(g, x, target, "sum"), g.like(x.shape[0], x))


@handles("SoftmaxCrossEntropyWithLogits")
def softmax_cross_entropy(g, x, target):
    """(losses (B,), gradient): x and target (B, C), targets are probabilities."""
    gain = reduce(g, "ReduceSum", g.op("Mul", target, g.op("LogSoftmax", x, axis=-1)), 1, False)
    return g.op("Neg", gain), g.op("Sub", g.op("Softmax", x, axis=-1), target)


@handles("SparseSoftmaxCrossEntropyWithLogits")
def sparse_softmax_cross_entropy(g, x, labels, *, is_grad: Const = False, sens: Const = 1.0):
    """The mean of -log softmax(x)[label]: x (B, C), labels (B,)."""
    if is_grad:
        raise ConversionError(f"{g.place}: SparseSoftmaxCrossEntropyWithLogits of the gradient; set is_grad=False")
    return g.op("SoftmaxCrossEntropyLoss", x, labels, reduction="mean")


@handles("NLLLoss")
def negative_log_likelihood(g, x, labels, weight, reduction: Const = 1, ignore_index: Const = -100):
    """(loss, sum of weights): -weight[label] x[label], x (B, C) holds logarithms."""
    name = {0: "sum", 1: "mean", 2: "none"}[reduction]
    loss = g.op("NegativeLogLikelihoodLoss", x, labels, weight, reduction=name, ignore_index=ignore_index)
    kept = g.op("Not", g.op("Equal", labels, g.like(ignore_index, labels)))
    index = g.op("Where", kept, labels, g.like(0, labels))
    weights = g.op("Mul", g.op("Gather", weight, index), cast(g, kept, np.dtype(x.dtype)))
    return loss, reduce(g, "ReduceSum", weights, None, False)


@handles("MultiMarginLoss")
def multi_class_hinge_loss(
    g, x, target, weight=None, *, p: Const = 1, margin: Const = 1.0, reduction: Const = "mean",
):
    """weight[t] / C sum over c != t of max(0, margin - x[t] + x[c])^p: x (B, C), target t (B,)."""
    column = g.op("Unsqueeze", target, g.ints(1))
    gap = g.op("Sub", g.op("Add", x, g.like(margin, x)), g.op("GatherElements", x, column, axis=1))
    costs = g.op("Relu", gap)
    costs = g.op("Mul", costs, costs) if p == 2 else costs
    total = g.op("Sub", reduce(g, "ReduceSum", costs, 1, False), g.like(margin ** p, x))   # The class t itself.
    losses = g.op("Div", total, g.like(x.shape[1], x))
    return _reduced(g, _weighted(g, losses, None if weight is None else g.op("Gather", weight, target)), reduction)


@handles("TripletMarginLoss")
def triplet_margin_loss(
    g, x, positive, negative, margin, *, p: Const = 2, swap: Const = False, eps: Const = 1e-6,
    reduction: Const = "mean",
):
    """max(0, |x - positive| - |x - negative| + margin) in p-norms along the last axis; swap takes the nearer of x and
    positive for the negative one."""
    def distance(a, b):
        return vector_norm(g, g.op("Add", g.op("Sub", a, b), g.like(eps, a)), p, -1, False)

    far = distance(x, negative)
    far = g.op("Min", far, distance(positive, negative)) if swap else far
    return _reduced(g, g.op("Relu", g.op("Add", g.op("Sub", distance(x, positive), far), g.like(margin, x))), reduction)
