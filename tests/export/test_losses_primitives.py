"""Losses: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import ops
from mindspore.ops import auto_generate as primitives
from mindspore.ops.operations.nn_ops import TripletMarginLoss
from primitive_case import Case, case, check_case
from primitive_cells import normal, positive

x34, y34 = normal(3, 4), normal(3, 4)
chances, targets = positive(3, 4) / 3, positive(3, 4) / 2.5
weights = positive(3, 4)
signs = np.sign(y34)
labels = np.array([0, 3, 1], np.int32)
logs = np.log(positive(3, 4) / 8)


def soft_margin(x, target):
    return np.array(np.logaddexp(0, -target * x).mean())


def divergence(x, target):
    return np.array((target * (np.log(target) - x)).mean())


def triplet(x, positive, negative, margin):
    near, far = (np.sqrt(((x - other) ** 2).sum(-1)) for other in (positive, negative))
    return np.maximum(near - far + margin, 0).mean()


def swapped_triplet(x, positive, negative, margin):
    near, far, across = (np.abs(a - b).sum(-1) for a, b in ((x, positive), (x, negative), (positive, negative)))
    return np.maximum(near - np.minimum(far, across) + margin, 0).mean()


CASES = [
    *[
        case("SmoothL1Loss", primitives.SmoothL1Loss(beta, reduction), x34, y34)
        for beta, reduction in ((1.0, "none"), (0.5, "mean"), (2.0, "sum"))
    ],
    case("L1LossExt", primitives.L1LossExt(), x34, y34, reference=lambda x, y: np.array(np.abs(x - y).mean())),
    case(
        "MSELossExt", primitives.MSELossExt(), x34, y34, constants=("sum",), reference=lambda x, y: ((x - y) ** 2).sum()
    ),
    case("SoftMarginLoss", primitives.SoftMarginLoss(), x34, signs, reference=soft_margin),
    *[
        case("BinaryCrossEntropy", primitives.BinaryCrossEntropy(kind), chances, targets, weights)
        for kind in ("mean", "none")
    ],
    *[
        case("BCEWithLogitsLoss", primitives.BCEWithLogitsLoss(kind), x34, targets, weights, positive(4))
        for kind in ("mean", "sum")
    ],
    case("SigmoidCrossEntropyWithLogits", ops.SigmoidCrossEntropyWithLogits(), x34, targets),
    case("KLDiv", primitives.KLDiv(), logs, targets, reference=divergence),
    *[case("KLDivLoss", ops.KLDivLoss(kind), logs, targets) for kind in ("mean", "batchmean", "none", "sum")],
    case("SoftmaxCrossEntropyWithLogits", ops.SoftmaxCrossEntropyWithLogits(), x34, targets),
    case("SparseSoftmaxCrossEntropyWithLogits", ops.SparseSoftmaxCrossEntropyWithLogits(), x34, labels),
    *[case("NLLLoss", primitives.NLLLoss(kind), logs, labels, positive(4)) for kind in ("mean", "sum", "none")],
    case("NLLLoss", primitives.NLLLoss("sum", 3), logs, labels, positive(4)),
    case("MultiMarginLoss", ops.MultiMarginLoss(), x34, labels.astype(np.int64), constants=(None,)),
    case("MultiMarginLoss", ops.MultiMarginLoss(2, 0.5, "none"), x34, labels.astype(np.int64), positive(4)),
    *[
        case(
            "TripletMarginLoss",
            TripletMarginLoss(p, swap),
            x34,
            y34,
            weights,
            np.array(1.5, np.float32),
            reference=reference,
        )
        for p, swap, reference in ((2, False, triplet), (1, True, swapped_triplet))
    ],
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
