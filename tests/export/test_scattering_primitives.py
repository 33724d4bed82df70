"""Primitives that write elements by index: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import Tensor, ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import Indexed, Swapped, normal, positive

x34 = normal(3, 4)
points = np.array([[0, 1], [2, 2], [0, 1]], np.int32)
rows = np.array([[0], [2]], np.int32)
columns = np.array([[0, 2], [1, 3], [0, 1]])
some = np.array([2, 0])
truth = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, False]])
segments = np.array([0, 2, -1, 2], np.int32)


def set_at(operation=None):
    """numpy's reference: x changed at the columns of each row."""

    def reference(x, indices, updates):
        y, places = x.copy(), (np.arange(len(x)).reshape(-1, 1), indices)
        operation.at(y, places, updates) if operation else y.__setitem__(places, updates)
        return y

    return reference


def set_columns(operation):
    """numpy's reference: whole columns of a copy changed by an operation."""

    def reference(x, indices, *updates):
        y = x.copy()
        y[:, indices] = operation(y[:, indices], *updates)
        return y

    return reference


def masked_scatter(x, mask, source):
    y = x.copy()
    y[mask] = source[: mask.sum()]
    return y


CASES = [
    case("TensorScatterUpdate", ops.TensorScatterUpdate(), x34, points[:2], normal(2)),
    case("TensorScatterUpdate", ops.TensorScatterUpdate(), x34, rows, normal(2, 4)),
    case("TensorScatterUpdate", None, x34, normal(3, 2), cell=Indexed),
    *[
        case(f"TensorScatter{kind}", getattr(ops, f"TensorScatter{kind}")(), x34, points, positive(3))
        for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min")
    ],
    case("TensorScatterMax", ops.TensorScatterMax(), x34, rows, normal(2, 4)),
    case("TensorScatterAdd", ops.TensorScatterAdd(), x34.astype(np.float16), rows, normal(2, 4).astype(np.float16)),
    *[
        case(f"TensorScatter{kind}", getattr(ops, f"TensorScatter{kind}")(), x34, points, positive(3), opset=18)
        for kind in ("Max", "Min")
    ],
    case("TensorCopySlices", primitives.TensorCopySlices(), x34, normal(2, 4), constants=((1,), (3,), (1,))),
    case("ScatterNd", ops.ScatterNd(), points, normal(3), constants=((3, 4),)),
    *[
        case("TensorScatterElements", ops.TensorScatterElements(1, reduction), x34, columns, normal(3, 2))
        for reduction in ("none", "add")
    ],
    case("Scatter", Swapped(primitives.Scatter(), 1, 1), x34, columns, normal(3, 2), reference=set_at()),
    case(
        "InplaceScatterSrc", Swapped(primitives.InplaceScatterSrc(), 1, 1), x34, columns, normal(3, 2),
        reference=set_at(),
    ),
    *[
        case(name, Swapped(getattr(primitives, name)(), 1, 1), x34, columns, normal(3, 2), reference=set_at(np.add))
        for name in ("ScatterAddExt", "InplaceScatterAdd")
    ],
    case(
        "InplaceScatterSrcReduce", Swapped(primitives.InplaceScatterSrcReduce(), 1, 1), x34, columns, normal(3, 2),
        constants=("add",), reference=set_at(np.add),
    ),
    *[
        case(
            name, Swapped(getattr(primitives, name)(), 1, 1), x34, columns, constants=(2.0,),
            reference=lambda x, i: set_at()(x, i, 2),
        )
        for name in ("ScatterValue", "InplaceScatterValue")
    ],
    case(
        "InplaceScatterValueReduce", Swapped(primitives.InplaceScatterValueReduce(), 1, 1), x34, columns,
        constants=(2.0, "add"), reference=lambda x, i: set_at(np.add)(x, i, 2),
    ),
    case(
        "IndexAddExt", Swapped(primitives.IndexAddExt(), 1, 1), x34, some.astype(np.int32), normal(3, 2),
        reference=set_columns(np.add),
    ),
    case(
        "InplaceIndexAddExt", Swapped(primitives.InplaceIndexAddExt(), -1, 1), x34, some, normal(3, 2), constants=(2,),
        reference=set_columns(lambda y, source: y + 2 * source),
    ),
    case(
        "InplaceIndexCopy", Swapped(primitives.InplaceIndexCopy(), 1, 1), x34, some, normal(3, 2),
        reference=set_columns(lambda y, source: source),
    ),
    case("IndexFill", Swapped(ops.IndexFill(), 1, 1), x34, some.astype(np.int32), constants=(Tensor(2.0),)),
    *[
        case(
            name, Swapped(getattr(primitives, name)(), 1, 1), x34, some, constants=(2.0,),
            reference=set_columns(lambda y: 2),
        )
        for name in ("IndexFillScalar", "InplaceIndexFillScalar")
    ],
    *[
        case(
            name, Swapped(getattr(primitives, name)(), 1, 1), x34, some, normal(),
            reference=set_columns(lambda y, value: value),
        )
        for name in ("IndexFillTensor", "InplaceIndexFillTensor")
    ],
    case("MaskedScatter", primitives.MaskedScatter(), x34, truth, normal(12)),
    case("InplaceMaskedScatter", primitives.InplaceMaskedScatter(), x34, truth, normal(12), reference=masked_scatter),
    case("InplaceCopy", primitives.InplaceCopy(), x34, normal(4)),
    case("InplaceUpdateV2", Swapped(ops.InplaceUpdateV2(), (2, 0), 1), x34, normal(2, 4)),
    *[case(name, getattr(ops, name)((2, 0)), x34, normal(2, 4)) for name in ("InplaceAdd", "InplaceSub")],
    *[
        case(f"UnsortedSegment{kind}", getattr(ops, f"UnsortedSegment{kind}")(), normal(4, 2), segments, constants=(3,))
        for kind in ("Sum", "Prod", "Max", "Min")
    ],
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
