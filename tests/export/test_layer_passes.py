"""Passes that take arithmetic into the weights of layers: what they fold, what they must leave, equal numbers."""

import numpy as np
import pytest
from pass_case import after, build, normal, positive

from msnoah.export.passes import run_passes

IMAGE, TOKENS, ROWS = (2, 4, 5, 6), (2, 3, 4), (3, 4)


def norm(g, x, channels: int):
    return g.op("BatchNormalization", x, normal(channels), normal(channels), normal(channels), positive(channels))


def convolution(g, x, channels: int = 6, size: int = 3, bias: bool = True, pad: int = 1, **attributes):
    weight = normal(channels, x.shape[1] // attributes.get("group", 1), size, size)
    return g.op("Conv", x, weight, normal(channels) if bias else None, pads=[pad] * 4, **attributes)


def transposed(g, x, channels: int = 3, bias: bool = True, **attributes):
    return g.op("ConvTranspose", x, normal(x.shape[1], channels, 3, 3), normal(channels * attributes.get("group", 1))
                if bias else None, strides=[2, 2], **attributes)


def dense(g, x, columns: int = 5, bias: bool = True):
    product = g.op("MatMul", x, normal(x.shape[-1], columns))
    return g.op("Add", product, normal(columns)) if bias else product


def conv_norm(g, x):
    return norm(g, convolution(g, x), 6)


def conv_norm_without_bias(g, x):
    return norm(g, convolution(g, x, bias=False), 6)


def grouped_conv_norm(g, x):
    return norm(g, convolution(g, x, 8, group=2), 8)


def depthwise_conv_norm(g, x):
    return norm(g, convolution(g, x, 4, group=4, bias=False), 4)


def transposed_norm(g, x):
    return norm(g, transposed(g, x), 3)


def grouped_transposed_norm(g, x):
    return norm(g, transposed(g, x, bias=False, group=2), 6)


def conv_read_twice(g, x):
    y = convolution(g, x)
    return norm(g, y, 6), g.op("Relu", y)


def conv_activated(g, x):
    return norm(g, g.op("Relu", convolution(g, x)), 6)


def two_norms(g, x):
    return norm(g, norm(g, x, 4), 4)


def dense_norm(g, x):
    return norm(g, dense(g, x), 5)


def dense_norm_without_bias(g, x):
    return norm(g, dense(g, x, bias=False), 5)


def token_norm(g, x):
    """Its channels are the tokens: axis 1, not the columns."""
    return norm(g, dense(g, x), 3)


def norm_with_run_time_gamma(g, x):
    gamma = g.op("ReduceMax", x, axes=[0, 2, 3], keepdims=0)
    return g.op("BatchNormalization", convolution(g, x, 4), gamma, normal(4), normal(4), positive(4))


def joined_convolutions_norm(g, x):
    joined = g.op("Concat", convolution(g, x, 4), convolution(g, x, 3, bias=False), axis=1)
    return norm(g, joined, 7)


def joined_with_another_norm(g, x):
    return norm(g, g.op("Concat", convolution(g, x, 4), x, axis=1), 8)


def rows_joined_norm(g, x):
    return norm(g, g.op("Concat", convolution(g, x, 4), convolution(g, x, 4), axis=2), 4)


@pytest.mark.parametrize("network,shape,left", [
    (joined_convolutions_norm, IMAGE, "Concat Conv Conv"),
    (joined_with_another_norm, IMAGE, "BatchNormalization Concat Conv"),
    (rows_joined_norm, IMAGE, "BatchNormalization Concat Conv Conv"),
    (conv_norm, IMAGE, "Conv"), (conv_norm_without_bias, IMAGE, "Conv"), (grouped_conv_norm, IMAGE, "Conv"),
    (depthwise_conv_norm, IMAGE, "Conv"), (transposed_norm, IMAGE, "ConvTranspose"),
    (grouped_transposed_norm, IMAGE, "ConvTranspose"), (conv_read_twice, IMAGE, "BatchNormalization Conv Relu"),
    (conv_activated, IMAGE, "BatchNormalization Conv Relu"), (two_norms, IMAGE, "BatchNormalization"),
    (dense_norm, ROWS, "Add MatMul"), (dense_norm_without_bias, ROWS, "Add MatMul"),
    (token_norm, TOKENS, "Add BatchNormalization MatMul"),
    (norm_with_run_time_gamma, IMAGE, "BatchNormalization Conv ReduceMax"),
])
def test_batch_norms_go_into_the_layer_before(network, shape, left):
    assert sorted(after(network, ("fold_batch_norms",), *shape).elements()) == left.split()


def affine(layer, channels: int, *rank: int):
    """layer * s - c, divided, and taken from a constant."""
    def network(g, x):
        y = g.op("Sub", g.op("Mul", layer(g, x), normal(channels, *rank)), normal(channels, *rank))
        return g.op("Sub", normal(1, channels, *rank), g.op("Div", y, positive(1, *rank)))
    return network


def map_added(g, x):
    return g.op("Add", convolution(g, x), normal(5, 6))


def divided_by_layer(g, x):
    return g.op("Div", normal(6, 1, 1), g.op("Add", g.op("Abs", convolution(g, x)), np.float32(1)))


def layer_norm_scaled(g, x):
    y = g.op("LayerNormalization", x, normal(4), None, axis=-1)
    return g.op("Add", g.op("Mul", y, normal(4)), normal(4))



@pytest.mark.parametrize("network,shape,left", [
    (affine(convolution, 6, 1, 1), IMAGE, "Conv"), (affine(transposed, 3, 1, 1), IMAGE, "ConvTranspose"),
    (affine(lambda g, x: norm(g, x, 4), 4, 1, 1), IMAGE, "BatchNormalization"),
    (affine(dense, 5), TOKENS, "Add MatMul"), (map_added, IMAGE, "Add Conv"),
    (divided_by_layer, IMAGE, "Abs Add Conv Div"),
    (layer_norm_scaled, TOKENS, "LayerNormalization"),
])
def test_channel_affines_go_into_the_layer_before(network, shape, left):
    assert sorted(after(network, ("fold_channel_affines",), *shape).elements()) == left.split()


def norm_conv(pad: int):
    return lambda g, x: convolution(g, norm(g, x, 4), pad=pad)


def scale_conv(g, x):
    return convolution(g, g.op("Mul", x, normal(4, 1, 1)), 8, group=2)


def scale_transposed(g, x):
    return transposed(g, g.op("Mul", x, normal(4, 1, 1)), group=2)


def norm_transposed(g, x):
    return transposed(g, norm(g, x, 4))


def norm_dense(g, x):
    return g.op("Relu", dense(g, norm(g, x, 4)))


def norm_dense_without_bias(g, x):
    return dense(g, norm(g, x, 4), bias=False)


def scale_dense(g, x):
    return dense(g, g.op("Mul", x, normal(4)))


def scale_read_twice(g, x):
    y = g.op("Mul", x, normal(4))
    return dense(g, y), g.op("Relu", y)


@pytest.mark.parametrize("network,shape,left", [
    (norm_conv(0), IMAGE, "Conv"), (norm_conv(1), IMAGE, "BatchNormalization Conv"), (scale_conv, IMAGE, "Conv"),
    (scale_transposed, IMAGE, "ConvTranspose"), (norm_transposed, IMAGE, "BatchNormalization ConvTranspose"),
    (norm_dense, ROWS, "Add Add MatMul Relu"), (norm_dense_without_bias, ROWS, "Add MatMul"),
    (scale_dense, TOKENS, "Add MatMul"), (scale_read_twice, TOKENS, "Add MatMul Mul Relu"),
])
def test_channel_affines_go_into_the_layer_behind(network, shape, left):
    assert sorted(after(network, ("fold_affines_ahead",), *shape).elements()) == left.split()


def branches(*layers):
    def network(g, x):
        y = layers[0](g, x)
        for layer in layers[1:]:
            y = g.op("Add", y, layer(g, x))
        return y
    return network


def conv(size: int, pad: int, **attributes):
    return lambda g, x: convolution(g, x, 4, size, pad=pad, **attributes)


def identity(g, x):
    return norm(g, x, 4)


def other_input(g, x):
    return g.op("Add", convolution(g, x, 4), convolution(g, g.op("Relu", x), 4))


def branch_read_twice(g, x):
    y = convolution(g, x, 4)
    return g.op("Add", y, convolution(g, x, 4)), g.op("Relu", y)


@pytest.mark.parametrize("network,left", [
    (branches(conv(3, 1), conv(1, 0), identity), "Conv"), (branches(conv(1, 0), conv(3, 1)), "Conv"),
    (branches(conv(3, 1, group=2), conv(1, 0, group=2, bias=False), identity), "Conv"),
    (branches(conv(5, 2), conv(3, 1)), "Conv"), (branches(conv(5, 4, dilations=[2, 2]), conv(1, 0)), "Conv"),
    (branches(conv(3, 2, dilations=[2, 2]), conv(3, 1)), "Add Conv Conv"),
    (branches(conv(3, 1, strides=[2, 2]), conv(1, 0, strides=[2, 2])), "Conv"),
    (branches(conv(3, 1), conv(3, 1, group=2)), "Add Conv Conv"), (other_input, "Add Conv Conv Relu"),
    (branch_read_twice, "Add Conv Conv Relu"),
    (branches(conv(4, 1, strides=[2, 2], group=4), conv(2, 0, strides=[2, 2], group=4)), "Conv"),
])
def test_parallel_convolutions_are_added_up(network, left):
    assert sorted(after(network, ("merge_parallel_convolutions",), 2, 4, 6, 6).elements()) == left.split()


def pooled(layer, pooling):
    return lambda g, x: pooling(g, layer(g, x))


def average(kernel: int = 2, stride: int = 2, **attributes):
    return lambda g, x: g.op(
        "AveragePool", x, kernel_shape=[kernel, kernel], strides=[stride, stride], **attributes)


def everywhere(g, x):
    return g.op("GlobalAveragePool", x)


PIXEL = conv(1, 0)


@pytest.mark.parametrize("network,is_early", [
    (pooled(PIXEL, average()), True), (pooled(PIXEL, everywhere), True), (pooled(conv(3, 1), average()), False),
    (pooled(PIXEL, average(3, 2, pads=[1, 1, 1, 1])), True), (pooled(PIXEL, average(3, 1, pads=[1, 1, 1, 1])), False),
    (pooled(PIXEL, average(3, 2, pads=[1, 1, 1, 1], count_include_pad=1)), False),
    (pooled(conv(1, 0, bias=False), average(3, 2, pads=[1, 1, 1, 1], count_include_pad=1)), True),
    (pooled(conv(1, 0, group=2), average()), True), (pooled(conv(1, 0, strides=[2, 2]), average()), False),
    (pooled(PIXEL, average(3, 2, pads=[0, 0, 0, 0], ceil_mode=1)), True),
])
def test_pooling_goes_ahead_of_convolutions_that_see_one_pixel(network, is_early):
    g = build(network, 2, 4, 6, 8)
    run_passes(g.graph, ("pool_early",))
    assert (g.graph.operators[0].op_type != "Conv") == is_early
    after(network, ("pool_early",), 2, 4, 6, 8)


def parts(*layers, sizes=(2, 2), axis: int = 1):
    def network(g, x):
        split = g.op("Split", x, g.ints(*sizes), outputs=len(sizes), axis=1)
        return g.op("Concat", *[layer(g, part) for layer, part in zip(layers, split, strict=True)], axis=axis)
    return network


@pytest.mark.parametrize("network,left", [
    (parts(conv(1, 0), conv(1, 0)), "Conv"), (parts(conv(3, 1, bias=False), conv(3, 1, bias=False)), "Conv"),
    (parts(conv(3, 1, group=2), conv(3, 1, group=2)), "Conv"),
    (parts(conv(1, 0), conv(3, 1)), "Concat Conv Conv Split"),
    (parts(conv(1, 0), conv(1, 0), sizes=(1, 3)), "Concat Conv Conv Split"),
    (parts(conv(1, 0), conv(1, 0), axis=2), "Concat Conv Conv Split"),
    (parts(conv(1, 0), conv(1, 0, bias=False)), "Concat Conv Conv Split"),
])
def test_convolutions_of_parts_are_one_in_groups(network, left):
    assert sorted(after(network, ("group_convolutions",), *IMAGE).elements()) == left.split()


def padded(layer, value: float = 0.0, pads=(0, 0, 1, 2, 0, 0, 2, 1), before=None):
    def network(g, x):
        x = g.op(before, x) if before else x
        return layer(g, g.op("Pad", x, g.ints(*pads), np.array(value, np.float32)))
    return network


def pool(operator: str, **attributes):
    return lambda g, x: g.op(operator, x, kernel_shape=[3, 3], strides=[2, 2], **attributes)


def reflected(g, x):
    return convolution(g, g.op("Pad", x, g.ints(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect"))


@pytest.mark.parametrize("network,left", [
    (padded(convolution), "Conv"), (padded(convolution, value=1), "Conv Pad"), (reflected, "Conv Pad"),
    (padded(convolution, pads=(0, 1, 1, 1, 0, 1, 1, 1)), "Conv Pad"), (padded(convolution, pads=(0, 0, -1, 0) * 2),
     "Conv Pad"),
    (padded(pool("AveragePool")), "AveragePool"), (padded(pool("AveragePool", pads=[1] * 4)), "AveragePool Pad"),
    (padded(pool("AveragePool", pads=[0, 0, 0, 0], ceil_mode=1)), "AveragePool Pad"),
    (padded(pool("AveragePool"), pads=(0, 0, 3, 0) * 2), "AveragePool Pad"),
    (padded(pool("MaxPool"), before="Relu"), "MaxPool Relu"), (padded(pool("MaxPool")), "MaxPool Pad"),
    (padded(pool("MaxPool"), value=float(np.finfo(np.float32).min)), "MaxPool"),
])
def test_pads_go_into_what_pads_by_itself(network, left):
    assert sorted(after(network, ("merge_pads", "remove_dead_code"), *IMAGE).elements()) == left.split()


def mean(axes, keepdims):
    return lambda g, x: g.op("ReduceMean", x, axes=axes, keepdims=keepdims)


@pytest.mark.parametrize("network,shape,left", [
    (mean([2, 3], 1), IMAGE, "GlobalAveragePool"), (mean([-1, -2], 0), IMAGE, "GlobalAveragePool Reshape"),
    (mean([1, 2], 1), IMAGE, "ReduceMean"), (mean([2], 1), TOKENS, "ReduceMean"),
])
def test_means_of_images_are_pools(network, shape, left):
    assert sorted(after(network, ("pool_globally",), *shape).elements()) == left.split()


def parts(axes=(-1,), power: bool = True, reciprocal: bool = False, epsilon: float = 1e-5, other: bool = False):
    def network(g, x):
        centred = g.op("Sub", x, g.op("ReduceMean", g.op("Relu", x) if other else x, axes=axes))
        square = g.op("Pow", centred, np.float32(2)) if power else g.op("Mul", centred, centred)
        deviation = g.op("Sqrt", g.op("Add", g.op("ReduceMean", square, axes=axes), np.float32(epsilon)))
        y = g.op("Mul", g.op("Reciprocal", deviation), centred) if reciprocal else g.op("Div", centred, deviation)
        return g.op("Add", g.op("Mul", y, normal(4)), normal(4))
    return network


@pytest.mark.parametrize("network,opset,merged", [
    (parts(), 17, True), (parts(power=False, reciprocal=True), 17, True), (parts(axes=[1]), 17, False),
    (parts(other=True), 17, False), (parts(), 16, False),
])
def test_layer_norms_are_found_in_their_parts(network, opset, merged):
    passes = ("merge_layer_norms", "fold_channel_affines", "remove_dead_code")
    counts = after(network, passes, *TOKENS, opset=opset)
    assert (counts == {"LayerNormalization": 1}) == merged


def gate(low: float = 0, high: float = 6, added: float | None = 3, divisor: float = 6, read: bool = False):
    def network(g, x):
        y = x if added is None else g.op("Add", x, np.array(added, np.float32))
        clipped = g.op("Clip", y, np.array(low, np.float32), np.array(high, np.float32))
        result = g.op("Div", clipped, np.array(divisor, np.float32))
        return (result, g.op("Relu", clipped)) if read else g.op("Mul", x, result)
    return network


def gate_by_factor(g, x):
    return g.op("Mul", np.array(1 / 6, np.float32), g.op("Clip", x, np.float32(0), np.float32(6)))


@pytest.mark.parametrize("network,left", [
    (gate(), "HardSigmoid Mul"), (gate(added=None), "HardSigmoid Mul"), (gate_by_factor, "HardSigmoid"),
    (gate(low=-1), "Add Clip Div Mul"), (gate(divisor=5), "Add Clip Div Mul"), (gate(high=3), "Add Clip Div Mul"),
    (gate(read=True), "Add Clip Div Relu"),
])
def test_hard_sigmoids_are_found_in_their_parts(network, left):
    counts = after(network, ("merge_hard_sigmoids", "remove_dead_code"), *TOKENS)
    assert sorted(counts.elements()) == left.split()
