"""Passes that give a network the form that runs fastest: what they change, what they must leave, equal numbers."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest

from msnoah.export.builder import Builder
from msnoah.export.graph import TensorType
from msnoah.export.passes import PASSES, run_passes

RNG = np.random.default_rng(0)
TOLERANCE = 1e-5
"""Relative to the largest output: float32 sums in another order."""


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def dense(g, x, columns: int, bias: bool = True):
    product = g.op("MatMul", x, normal(x.shape[-1], columns))
    return g.op("Add", product, normal(columns)) if bias else product


def build(network, *shape: int) -> Builder:
    g = Builder(17)
    results = network(g, g.graph.add_input("x", TensorType(np.dtype(np.float32), shape)))
    for index, result in enumerate(results if isinstance(results, tuple) else (results,)):
        g.add_output(f"y{index}", result)
    return g


def run(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})


def transformed(network, *shape: int) -> Counter:
    """Operator counts after all passes; asserts that the outputs stay and that a second run finds nothing."""
    g = build(network, *shape)
    before, x = g.graph.to_model(), normal(*shape)
    run_passes(g.graph)
    after = g.graph.to_model()
    onnx.checker.check_model(after, full_check=True)
    assert not any(change(g.graph) for change in PASSES.values())
    for old, new in zip(run(before, x), run(after, x), strict=True):
        assert old.shape == new.shape
        assert np.abs(new - old).max() <= TOLERANCE * np.abs(old).max()
    return Counter(operator.op_type for operator in g.graph.operators)


# --- split_products


def split_columns(g, x):
    return g.op("Split", dense(g, x, 12), g.ints(3, 5, 4), outputs=3, axis=-1)


def split_without_bias(g, x):
    parts = g.op("Split", dense(g, x, 12, bias=False), g.ints(6, 6), outputs=2, axis=2)
    return tuple(g.op("Relu", part) for part in parts)


def split_transposed(g, x):
    columns_first = g.op("Transpose", dense(g, x, 12), perm=[0, 2, 1])
    return tuple(g.op("Relu", part) for part in g.op("Split", columns_first, g.ints(4, 4, 4), outputs=3, axis=1))


def split_reshaped(g, x):
    windows = g.op("Reshape", dense(g, x, 12), g.ints(4, 3, 12))
    return tuple(g.op("Relu", part) for part in g.op("Split", windows, g.ints(4, 8), outputs=2, axis=-1))


def split_rows(g, x):
    return tuple(g.op("Relu", part) for part in g.op("Split", dense(g, x, 12), g.ints(2, 4), outputs=2, axis=1))


def split_and_read_whole(g, x):
    product = dense(g, x, 12)
    parts = g.op("Split", product, g.ints(6, 6), outputs=2, axis=2)
    return tuple(g.op("Relu", part) for part in (*parts, product))


@pytest.mark.parametrize("network,products,splits", [
    (split_columns, 1, 1),                              # its parts are outputs
    (split_without_bias, 2, 0), (split_transposed, 3, 0), (split_reshaped, 2, 0), (split_rows, 1, 1),
    (split_and_read_whole, 1, 1),
])
def test_columns_are_taken_apart(network, products, splits):
    counts = transformed(network, 2, 6, 8)
    assert (counts["MatMul"], counts["Split"]) == (products, splits)


# --- defer_offsets


def residual_stream(g, x):
    for _ in range(3):
        x = g.op("Add", x, dense(g, g.op("Relu", dense(g, x, 16)), 8))
    return dense(g, g.op("ReduceMean", x, axes=[1], keepdims=0), 5)


def residual_stream_with_norms(g, x):
    for _ in range(3):
        norm = g.op("LayerNormalization", x, normal(8), normal(8), axis=-1)
        x = g.op("Add", x, dense(g, g.op("Relu", dense(g, norm, 16)), 8))
    return dense(g, g.op("Gather", x, np.array(0), axis=1), 5)


def heads(g, x, perm):
    return g.op("Transpose", g.op("Reshape", x, g.ints(2, 6, 2, 4)), perm=perm)


def attention(g, x):
    query, key = heads(g, dense(g, x, 8), [0, 2, 1, 3]), heads(g, dense(g, x, 8), [0, 2, 3, 1])
    scores = g.op("Add", g.op("MatMul", query, key), normal(2, 6, 6))
    context = g.op("MatMul", g.op("Softmax", scores, axis=-1), heads(g, dense(g, x, 8), [0, 2, 1, 3]))
    joined = g.op("Reshape", g.op("Transpose", context, perm=[0, 2, 1, 3]), g.ints(2, 6, 8))
    return dense(g, joined, 8)


def attention_over_queries(g, x):
    """Its softmax compares queries, for which the keys' bias matters."""
    scores = g.op("MatMul", dense(g, x, 8, bias=False), g.op("Transpose", dense(g, x, 8), perm=[0, 2, 1]))
    return g.op("Softmax", scores, axis=1)


def encoding_after_bias(g, x):
    return g.op("Relu", g.op("Add", g.op("Transpose", dense(g, x, 8), perm=[0, 2, 1]), normal(1, 8, 6)))


def merged_tokens(g, x):
    return dense(g, g.op("Reshape", dense(g, x, 8), g.ints(2, 3, 16)), 5)


def reduced_and_reshaped_to_the_batch(g, x):
    """The rows of the first axis would need different constants."""
    return dense(g, g.op("Reshape", g.op("Add", x, normal(6, 1)), g.ints(12, 8)), 5)


@pytest.mark.parametrize("network,additions", [
    (residual_stream, 3 * 2 + 1),                       # the residuals, the biases before Relu, the classifier's
    (residual_stream_with_norms, 3 * 3),                # all but the last: each norm would need one of its own
    (attention, 2 + 2 + 1),                             # of two heads the queries' biases and the scores'; the last
    (attention_over_queries, 1), (encoding_after_bias, 1), (merged_tokens, 1), (reduced_and_reshaped_to_the_batch, 2),
])
def test_constants_travel_to_where_they_cost_nothing(network, additions):
    assert transformed(network, 2, 6, 8)["Add"] == additions


# --- separate_heads


def attend(g, query, key, value, columns: int, bias=None):
    """(B, heads, n, d), keys (B, heads, d, n) -> (B, n, columns)"""
    scores = g.op("MatMul", query, key)
    scores = scores if bias is None else g.op("Add", scores, bias)
    context = g.op("Transpose", g.op("MatMul", g.op("Softmax", scores, axis=-1), value), perm=[0, 2, 1, 3])
    batch, count = context.shape[:2]
    return g.op("Reshape", context, g.ints(batch, count, columns))


def few_heads(g, x):
    query, key, value = g.op("Split", dense(g, x, 24), g.ints(8, 8, 8), outputs=3, axis=-1)
    parts = heads(g, query, [0, 2, 1, 3]), heads(g, key, [0, 2, 3, 1]), heads(g, value, [0, 2, 1, 3])
    return dense(g, attend(g, *parts, 8, bias=normal(2, 6, 6)), 8)


def heads_in_windows(g, x):
    """Two windows of three tokens for each of two images, with a bias for each window."""
    def cut(part, perm):
        apart = g.op("Transpose", g.op("Reshape", part, g.ints(4, 3, 2, 4)), perm=[0, 2, 1, 3])
        return g.op("Transpose", g.op("Reshape", apart, g.ints(2, 2, 2, 3, 4)), perm=perm)

    query, key, value = (dense(g, x, 8, bias=False) for _ in range(3))
    query, key, value = cut(query, [0, 1, 2, 3, 4]), cut(key, [0, 1, 2, 4, 3]), cut(value, [0, 1, 2, 3, 4])
    weights = g.op("Softmax", g.op("Add", g.op("MatMul", query, key), normal(2, 2, 3, 3)), axis=-1)
    context = g.op("Reshape", g.op("MatMul", weights, value), g.ints(4, 2, 3, 4))
    joined = g.op("Reshape", g.op("Transpose", context, perm=[0, 2, 1, 3]), g.ints(2, 6, 8))
    return dense(g, joined, 8, bias=False)


def heads_that_take_every_other_column(g, x):
    def cut(part, perm):
        return g.op("Transpose", g.op("Reshape", part, g.ints(2, 6, 4, 2)), perm=perm)

    parts = (dense(g, x, 8, bias=False) for _ in range(3))
    parts = [cut(part, perm) for part, perm in zip(parts, ([0, 3, 1, 2], [0, 3, 2, 1], [0, 3, 1, 2]), strict=True)]
    return dense(g, attend(g, *parts, 8), 8)


def many_heads(g, x):
    def cut(part, perm):
        return g.op("Transpose", g.op("Reshape", part, g.ints(2, 6, 8, 1)), perm=perm)

    parts = (dense(g, x, 8, bias=False) for _ in range(3))
    parts = [cut(part, perm) for part, perm in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)]
    return dense(g, attend(g, *parts, 8), 8)


def weights_read_twice(g, x):
    query, key = heads(g, dense(g, x, 8, bias=False), [0, 2, 1, 3]), heads(g, dense(g, x, 8, bias=False), [0, 2, 3, 1])
    weights = g.op("Softmax", g.op("MatMul", query, key), axis=-1)
    return g.op("MatMul", weights, heads(g, dense(g, x, 8, bias=False), [0, 2, 1, 3])), weights


def heads_of_tokens_with_sizes(g, x):
    """What is added to the scores is computed: of each key the same for all heads."""
    sizes = g.op("Reshape", g.op("ReduceSum", g.op("Abs", x), g.ints(2)), g.ints(2, 1, 1, 6))
    return dense(g, attend(g, *(heads(g, dense(g, x, 8, bias=False), perm) for perm in QKV), 8, g.op("Log", sizes)), 8)


def heads_with_computed_biases_of_their_own(g, x):
    bias = g.op("Reshape", g.op("ReduceSum", dense(g, x, 2), g.ints(1)), g.ints(2, 2, 1, 1))
    bias = g.op("Mul", bias, normal(6, 6))
    return dense(g, attend(g, *(heads(g, dense(g, x, 8, bias=False), perm) for perm in QKV), 8, bias), 8)


def keys_reduced(kind: str, axis: int, keepdims: int = 0):
    """Something else reads the keys: a sum or mean over an axis of (B, n, heads, d)."""
    def network(g, x):
        query, _, value = (heads(g, dense(g, x, 8, bias=False), perm) for perm in QKV)
        key = g.op("Reshape", dense(g, x, 8, bias=False), g.ints(2, 6, 2, 4))
        reduced = (g.op(kind, key, g.ints(axis), keepdims=keepdims) if kind == "ReduceSum"
                   else g.op(kind, key, axes=[axis], keepdims=keepdims))
        metric = g.op("Relu", g.op("Add", reduced, normal(4)))
        return dense(g, attend(g, query, g.op("Transpose", key, perm=[0, 2, 3, 1]), value, 8), 8), metric
    return network


QKV = [0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]


@pytest.mark.parametrize("network,softmaxes", [
    (few_heads, 2), (heads_in_windows, 2), (heads_that_take_every_other_column, 1), (many_heads, 1),
    (weights_read_twice, 1), (heads_of_tokens_with_sizes, 2), (heads_with_computed_biases_of_their_own, 1),
    (keys_reduced("ReduceSum", 2), 2), (keys_reduced("ReduceMean", 2, 1), 2), (keys_reduced("ReduceSum", 1), 1),
    (keys_reduced("ReduceMax", 2), 1),
], ids=["few", "windows", "every_other_column", "many", "weights_read_twice", "sizes", "biases_of_their_own",
        "keys_summed", "keys_averaged", "keys_summed_over_tokens", "largest_keys"])
def test_heads_get_products_of_their_own(network, softmaxes):
    counts = transformed(network, 2, 6, 8)
    assert (counts["Softmax"], counts["Concat"]) == (softmaxes, int(softmaxes > 1))


# --- take_means_early, take_rows_early


def widths(network, *shape: int) -> list[int]:
    """Rows of each product after all passes, in order."""
    g = build(network, *shape)
    run_passes(g.graph)
    products = [operator for operator in g.graph.operators if operator.op_type == "MatMul"]
    shapes = [g.graph.shape(operator.outputs[0]) for operator in products]
    return [shape[1] if len(shape) > 2 else 1 for shape in shapes]


def mean_of_residual(g, x):
    x = g.op("Add", x, dense(g, g.op("Relu", dense(g, x, 16)), 8))
    return dense(g, g.op("ReduceMean", x, axes=[1], keepdims=0), 5)


def mean_of_product_read_twice(g, x):
    product = dense(g, x, 8, bias=False)
    return g.op("ReduceMean", product, axes=[1], keepdims=1), g.op("Relu", product)


def mean_of_columns(g, x):
    return g.op("ReduceMean", dense(g, x, 8, bias=False), axes=[2], keepdims=0)


def block(g, x):
    joined = few_heads(g, x)
    x = g.op("Add", x, joined)
    norm = g.op("LayerNormalization", x, normal(8), normal(8), axis=-1)
    return g.op("Add", x, dense(g, g.op("Relu", dense(g, norm, 16)), 8))


def class_token(g, x):
    return dense(g, g.op("Gather", block(g, x), np.array(0), axis=1), 5)


def class_token_with_positions(g, x):
    return g.op("Gather", g.op("Add", dense(g, x, 8), normal(6, 8)), np.array(-2), axis=1)


def token_and_all(g, x):
    x = block(g, x)
    return g.op("Gather", x, np.array(0), axis=1), g.op("Relu", x)


def two_tokens(g, x):
    """A class token and a distillation token."""
    x = block(g, x)
    return tuple(dense(g, g.op("Gather", x, np.array(row), axis=1), 5) for row in (0, 1))


def some_tokens(count: int):
    return lambda g, x: g.op("Gather", dense(g, x, 8), -1 - np.arange(count), axis=1)


def column(g, x):
    return g.op("Gather", dense(g, x, 8), np.array(0), axis=2)


@pytest.mark.parametrize("network,rows", [
    (mean_of_residual, [6, 1, 1, 1, 1]),                # fc1, two means, fc2 and the classifier
    (mean_of_product_read_twice, [6, 1]), (mean_of_columns, [6]),
    # For each head the keys and values of all tokens, the query and what follows of one.
    (class_token, 2 * [1, 6, 6, 1, 1] + [1, 1, 1, 1]), (class_token_with_positions, [1]), (token_and_all, 13 * [6]),
    (column, [6]), (two_tokens, 2 * [2, 6, 6, 2, 2] + [2, 2, 2, 1, 1]), (some_tokens(3), [3]), (some_tokens(4), [6]),
])
def test_what_nothing_reads_is_not_computed(network, rows):
    transformed(network, 2, 6, 8)
    assert widths(network, 2, 6, 8) == rows
