"""Passes that change how a graph is written: what they merge, what they must leave, equal numbers."""

import numpy as np
import pytest
from onnx import TensorProto
from pass_case import after, build, normal

from msnoah.export.graph import Value
from msnoah.export.passes import run_passes

SHAPE = (2, 3, 4)
F16, F32, F64 = TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE
I32, I64 = TensorProto.INT32, TensorProto.INT64


def left(network, *passes, shape=SHAPE) -> list[str]:
    return sorted(after(network, passes, *shape).elements())


def cast(*types):
    def network(g, x):
        for type_ in types:
            x = g.op("Cast", x, to=int(type_))
        return x
    return network


@pytest.mark.parametrize("types,count", [((F64, I32), 1), ((F16, I32), 2), ((I32, I64), 2), ((F64, F32), 1)])
def test_casts_merge_where_nothing_is_lost(types, count):
    assert left(cast(*types), "merge_casts", "remove_dead_code").count("Cast") == count


def places(*types, source: str = "TopK"):
    def network(g, x):
        found = g.op("TopK", x, g.ints(2), outputs=2) if source == "TopK" else g.op(source, x, axis=-1, keepdims=0)
        found = found[1] if source == "TopK" else found
        for type_ in types:
            found = g.op("Cast", found, to=int(type_))
        return found
    return network


@pytest.mark.parametrize("network,shape,count", [
    (places(I32, I64), SHAPE, 0), (places(I32, F32, source="ArgMax"), SHAPE, 1), (places(F16, I64), SHAPE, 2),
    (places(TensorProto.INT8, I64), (2, 128), 0), (places(TensorProto.INT8, I64), (2, 129), 2),
], ids=["int32", "argmax", "float16", "last_127", "last_128"])
def test_places_along_an_axis_are_as_small_as_the_axis(network, shape, count):
    assert left(network, "merge_casts", "remove_identities", "remove_dead_code", shape=shape).count("Cast") == count


def whole_slice(g, x):
    return g.op("Relu", g.op("Slice", x, g.ints(0), g.ints(99), g.ints(1), g.ints(1)))


def reversed_slice(g, x):
    return g.op("Relu", g.op("Slice", x, g.ints(-1), g.ints(-99), g.ints(1), g.ints(-1)))


def pad(*pads):
    return lambda g, x: g.op("Relu", g.op("Pad", x, g.ints(*pads), np.float32(0)))


def dropout(g, x):
    return g.op("Relu", g.op("Dropout", x))


def dropout_mask(g, x):
    return g.op("Dropout", x, outputs=2)


def split_of_one(g, x):
    return g.op("Relu", g.op("Split", x, g.ints(3), axis=1))


def joined_alone(g, x):
    return g.op("Relu", g.op("Concat", x, axis=1))


def joined_with_nothing(g, x):
    return g.op("Relu", g.op("Concat", x, np.zeros((2, 0, 4), np.float32), axis=1))


def maximum_of_two(g, x):
    return g.op("Max", x, g.op("Neg", x))


def tiled_once(g, x):
    return g.op("Relu", g.op("Tile", x, g.ints(1, 1, 1)))


@pytest.mark.parametrize("network,operators", [
    (whole_slice, "Relu"), (reversed_slice, "Relu Slice"), (pad(0, 0, 0, 0, 0, 0), "Relu"),
    (pad(0, 1, 0, 0, -1, 0), "Pad Relu"), (dropout, "Relu"), (dropout_mask, "Dropout"), (split_of_one, "Relu"),
    (joined_alone, "Relu"), (joined_with_nothing, "Concat Relu"), (maximum_of_two, "Max Neg"), (tiled_once, "Relu"),
])
def test_what_returns_its_input_goes(network, operators):
    assert left(network, "remove_identities") == operators.split()


def computed_twice(g, x):
    return g.op("Add", g.op("Softmax", x, axis=1), g.op("Softmax", x, axis=1))


def computed_with_other_attributes(g, x):
    return g.op("Add", g.op("Softmax", x, axis=1), g.op("Softmax", x, axis=2))


def chains_computed_twice(g, x):
    first, second = (g.op("Split", g.op("Exp", x), g.ints(1, 2), outputs=2, axis=1) for _ in range(2))
    return g.op("Mul", first[0], second[0]), g.op("Mul", first[1], second[1])


def output_computed_twice(g, x):
    return g.op("Exp", x), g.op("Exp", x)


@pytest.mark.parametrize("network,operators", [
    (computed_twice, "Add Softmax"), (computed_with_other_attributes, "Add Softmax Softmax"),
    (chains_computed_twice, "Exp Mul Mul Split"), (output_computed_twice, "Exp"),
])
def test_what_is_the_same_is_computed_once(network, operators):
    assert left(network, "merge_duplicate_constants", "merge_common_subexpressions") == operators.split()


def folded(make, *shape):
    def network(g, x):
        # A value of the graph, so that the builder does not fold what is made of it.
        table = Value(g.graph.add_constant("k", normal(*shape)), np.dtype(np.float32), shape)
        return g.op("Add", x, make(g, table))
    return network


@pytest.mark.parametrize("network,operators", [
    (folded(lambda g, k: g.op("Gather", k, np.array(1), axis=0), 5, 4), "Add"),
    (folded(lambda g, k: g.op("Exp", g.op("Transpose", k, perm=[1, 0])), 4, 3), "Add"),
    (folded(lambda g, k: g.op("ReduceSum", g.op("Expand", k, g.ints(40, 40, 4)), g.ints(0, 1), keepdims=0), 4),
     "Add Expand ReduceSum"),
])
def test_constants_are_folded_unless_they_grow(network, operators):
    assert left(network, "fold_constants", "remove_dead_code") == operators.split()


def transposed(g, x, *perm):
    return g.op("Transpose", x, perm=perm)


def sum_of_transposes(g, x):
    return g.op("Add", transposed(g, x, 2, 0, 1), transposed(g, g.op("Exp", x), 2, 0, 1))


def sum_of_other_transposes(g, x):
    return g.op("Add", transposed(g, x, 2, 0, 1), transposed(g, g.op("Reshape", x, g.ints(3, 2, 4)), 2, 1, 0))


def transposes_around(g, x):
    y = g.op("Mul", g.op("Add", g.op("Relu", transposed(g, x, 0, 2, 1)), normal(4, 1)), normal(3))
    return g.op("Exp", transposed(g, g.op("Clip", y, np.float32(-1), np.float32(1)), 0, 2, 1))


def transpose_before_relu(g, x):
    return g.op("Relu", transposed(g, x, 0, 2, 1))


def transpose_read_twice(g, x):
    y = transposed(g, x, 0, 2, 1)
    return transposed(g, g.op("Relu", y), 0, 2, 1), g.op("Exp", y)


def transposes_that_broadcast(g, x):
    row = g.op("ReduceMax", x, axes=[1], keepdims=1)
    return g.op("Mul", transposed(g, x, 2, 0, 1), transposed(g, row, 2, 0, 1))


def transpose_that_gets_an_axis(g, x):
    return transposed(g, g.op("Add", transposed(g, x, 0, 2, 1), normal(2, 1, 1, 1)), 0, 1, 3, 2)


@pytest.mark.parametrize("network,operators", [
    (sum_of_transposes, "Add Exp Transpose"), (sum_of_other_transposes, "Add Reshape Transpose Transpose"),
    (transposes_around, "Add Clip Exp Mul Relu"), (transpose_before_relu, "Relu Transpose"),
    (transpose_read_twice, "Exp Relu Transpose Transpose"), (transposes_that_broadcast, "Mul ReduceMax Transpose"),
    (transpose_that_gets_an_axis, "Add Transpose Transpose"),
])
def test_transposes_go_behind_where_one_less_is_left(network, operators):
    assert left(network, "sink_transposes", "merge_transposes", "remove_identities", "remove_dead_code") == (
        operators.split())


@pytest.mark.parametrize("shape,perm,operator", [
    ((2, 1, 3, 4), (0, 2, 1, 3), "Reshape"), ((2, 1, 3, 1), (3, 0, 2, 1), "Reshape"),
    ((2, 3, 1), (1, 0, 2), "Transpose"),
])
def test_transposes_that_move_nothing_are_reshapes(shape, perm, operator):
    assert left(lambda g, x: transposed(g, x, *perm), "reshape_instead", shape=shape) == [operator]


def parts(*sizes, order=(0, 1, 2)):
    def network(g, x):
        split = g.op("Split", x, g.ints(*sizes), outputs=3, axis=2)
        return g.op("Relu", g.op("Concat", *[split[index] for index in order], axis=-1))
    return network


def joined_and_split(*sizes):
    def network(g, x):
        joined = g.op("Concat", x, g.op("Exp", x), axis=1)
        first, second = g.op("Split", joined, g.ints(*sizes), outputs=2, axis=1)
        return g.op("Relu", first), g.op("Relu", second)
    return network


@pytest.mark.parametrize("network,operators", [
    (parts(1, 1, 2), "Relu"), (parts(1, 1, 2, order=(0, 2, 1)), "Concat Relu Split"),
    (parts(1, 1, 2, order=(0, 1)), "Concat Relu Split"), (joined_and_split(3, 3), "Exp Relu Relu"),
    (joined_and_split(2, 4), "Concat Exp Relu Relu Split"),
])
def test_splits_and_concats_cancel(network, operators):
    assert left(network, "cancel_splits", "remove_dead_code") == operators.split()


def cuts(*ranges, axis: int = 2, step: int = 1):
    def network(g, x):
        return tuple(g.op("Relu", g.op("Slice", x, g.ints(first), g.ints(last), g.ints(axis), g.ints(step)))
                     for first, last in ranges)
    return network


@pytest.mark.parametrize("network,slices,splits", [
    (cuts((0, 1), (1, 4)), 0, 1), (cuts((2, 99), (0, 1), (-3, 2)), 0, 1), (cuts((0, 2), (2, 3)), 2, 0),
    (cuts((0, 3), (2, 4)), 2, 0), (cuts((0, 2), (2, 4), step=2), 2, 0), (cuts((0, 1), (1, 3), axis=-2), 0, 1),
    (cuts((0, 4)), 1, 0), (cuts((0, 2), (0, 2), (2, 4)), 1, 1),
])
def test_slices_that_take_all_apart_are_one_split(network, slices, splits):
    operators = left(network, "merge_slices")
    assert (operators.count("Slice"), operators.count("Split")) == (slices, splits)


def nested(axis: int):
    def network(g, x):
        return g.op("Concat", g.op("Concat", x, g.op("Exp", x), axis=1), g.op("Concat", x, x, axis=1), axis=axis)
    return network


def nested_and_read(g, x):
    inner = g.op("Concat", x, g.op("Exp", x), axis=1)
    return g.op("Concat", inner, x, axis=1), g.op("Relu", inner)


@pytest.mark.parametrize("network,concats", [(nested(1), 1), (nested(2), 3), (nested_and_read, 2)])
def test_nested_concats_merge(network, concats):
    assert left(network, "merge_concats", "remove_dead_code").count("Concat") == concats


def test_chains_of_hundreds_of_operators_end():
    """A long chain of transposes and element-wise operators, of which every pass takes its share."""
    def network(g, x):
        for _ in range(300):
            x = transposed(g, g.op("Mul", g.op("Relu", transposed(g, x, 0, 2, 1)), np.float32(1.5)), 0, 2, 1)
        return x

    g = build(network, *SHAPE)
    run_passes(g.graph)
    assert not any(operator.op_type == "Transpose" for operator in g.graph.operators)
