"""Attention with a product of its own for each head."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from msnoah.export.graph import TensorType
from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.reduced_axes import read_axes
from msnoah.export.passes.split_products import find_product

MAX_HEADS = 6
"""With more, a head's matrices are so small that starting their products costs more than moving the heads apart."""

MOVES = {"Reshape", "Transpose"}

SUMS = {"ReduceSum": "Sum", "ReduceMean": "Mean"}
"""Reductions along an axis, and what they are for one value an index of that axis."""


def separate_heads(graph: OnnxGraph) -> bool:
    """softmax(q k^T + bias) v for one head after the other, then Concat, in place of products over all heads at once.

    Head j of q = x W is x W_j, with the columns of W that belong to it. So q, k and v of a head come out of their
    products as they go into the next ones, and nothing is transposed; the scores of one head stay in the cache until
    they are used. Applies where k and v have no bias (`defer_offsets` leaves none) and what lies between the products
    and the attention only moves elements. The scores' bias is a constant, or computed and the same for all heads. Sums
    and means of k over the heads, by which tokens to merge are matched, become sums of the heads' products.
    """
    return any([_separate(graph, operator) for operator in graph.operators.copy() if operator.op_type == "Softmax"])


@dataclass
class _Part:
    """q, k or v.

    Attributes:
        product, bias: where it comes from.
        heads: how many it has.
        shape: of one head, where a product takes it.
        sums: reductions over the heads that read it as well.
    """

    product: Operator
    bias: str | None
    heads: int
    shape: tuple[int, ...]
    sums: list[Operator]


def _separate(graph: OnnxGraph, softmax: Operator) -> bool:
    scores, bias = _find_scores(graph, softmax)
    context = graph.only_user(softmax.outputs[0])
    if scores is None or context is None or context.op_type != "MatMul" or context.inputs[0] != softmax.outputs[0]:
        return False
    shape = graph.shape(context.outputs[0])
    if len(shape) < 4 or not 1 < shape[-3] <= MAX_HEADS or 0 in shape:
        return False
    query, value = (_find_part(graph, reader, index, shape[-3]) for reader, index in ((scores, 0), (context, 1)))
    key, joined = _find_part(graph, scores, 1, shape[-3], True), _find_joined(graph, context)
    if None in (query, key, value, joined) or key.bias or value.bias or graph.only_user(scores.outputs[0]) is None:
        return False
    if query.sums or value.sums or not _is_known_by_head(graph, bias):
        return False
    _write_heads(graph, joined, (query, key, value), bias)
    return True


def _find_scores(graph: OnnxGraph, softmax: Operator) -> tuple[Operator | None, str | None]:
    """The product of queries and keys, and what is added to it."""
    if softmax.attributes.get("axis", -1) not in (-1, len(graph.shape(softmax.inputs[0])) - 1):
        return None, None
    producer = graph.producer(softmax.inputs[0])
    if producer is not None and producer.op_type == "MatMul":
        return producer, None
    if producer is None or producer.op_type != "Add" or not graph.only_user(softmax.inputs[0]):
        return None, None
    for name, bias in (producer.inputs, producer.inputs[::-1]):
        product = graph.producer(name)
        if product is not None and product.op_type == "MatMul" and graph.shape(name) == graph.shape(softmax.inputs[0]):
            return product, bias
    return None, None


def _is_known_by_head(graph: OnnxGraph, bias: str | None) -> bool:
    """Whether a bias of the scores is a constant or the same for all heads."""
    return not bias or bias in graph.constants or len(graph.shape(bias)) < 3 or graph.shape(bias)[-3] == 1


def _find_part(
    graph: OnnxGraph, reader: Operator, index: int, heads: int, is_transposed: bool = False,
) -> _Part | None:
    """The product behind an input (..., heads, n, d), or (..., heads, d, n), if the moves in between take the columns
    of head j, in order, to head j."""
    name = end = reader.inputs[index]
    moves, sums = [], {}
    while (operator := graph.producer(end)) is not None and operator.op_type in MOVES and end not in graph.outputs:
        others = [user for user in graph.users(end) if user is not reader]
        if len(others) < len(graph.users(end)) - 1 or any(other.op_type not in SUMS for other in others):
            break
        sums |= {other: len(moves) for other in others}
        moves.append(operator)
        reader, end = operator, operator.inputs[0]
    found = find_product(graph, end, -1)
    if found is None or len(graph.shape(name)) < 4 or graph.shape(name)[-3] != heads:
        return None
    start = np.arange(np.prod(graph.shape(end))).reshape(graph.shape(end))
    places = _move(graph, start, moves[::-1])
    places = places.swapaxes(-1, -2) if is_transposed else places           # (..., heads, n, d)
    summed = [_move(graph, start, moves[count:][::-1]) for count in sums.values()]
    if not _has_heads(places, -3, start, heads) or not all(
            _sums_heads(graph, operator, value, start, heads) for operator, value in zip(sums, summed, strict=True)):
        return None
    return _Part(*found, heads, (*places.shape[:-3], *places.shape[-2:]), list(sums))


def _has_heads(places: np.ndarray, axis: int, start: np.ndarray, heads: int) -> bool:
    """Whether an axis is that of the heads, and the others hold tokens and columns in order."""
    width = start.shape[-1] // heads
    if places.shape[axis] != heads or width * heads != start.shape[-1] or places.shape[-1] != width:
        return False
    expected = start.reshape(-1, heads, width).swapaxes(0, 1)
    return np.array_equal(np.moveaxis(places, axis, 0).reshape(expected.shape), expected)


def _sums_heads(graph: OnnxGraph, operator: Operator, places: np.ndarray, start: np.ndarray, heads: int) -> bool:
    axes = read_axes(graph, operator)
    return axes is not None and len(axes) == 1 and _has_heads(places, axes[0], start, heads)


def _find_joined(graph: OnnxGraph, context: Operator) -> Operator | None:
    """The last of the moves after attention (..., heads, n, d) that has the columns of the heads side by side."""
    shape, joined = graph.shape(context.outputs[0]), None
    heads, moved, operator = shape[-3], np.arange(np.prod(shape)).reshape(shape), graph.only_user(context.outputs[0])
    expected = np.moveaxis(moved, -3, -2).reshape(-1, heads * shape[-1])    # (tokens, heads * d)
    while operator is not None and operator.op_type in MOVES:
        moved = _move(graph, moved, [operator])
        if moved.shape[-1] == heads * shape[-1] and np.array_equal(moved.reshape(expected.shape), expected):
            joined = operator
        operator = graph.only_user(operator.outputs[0])
    return joined


def _move(graph: OnnxGraph, array: np.ndarray, moves: Sequence[Operator]) -> np.ndarray:
    for operator in moves:
        if operator.op_type == "Transpose":
            array = array.transpose(operator.attributes["perm"])
        else:
            array = array.reshape(graph.shape(operator.outputs[0]))
    return array


# --- writing


def _write_heads(graph: OnnxGraph, joined: Operator, parts: tuple[_Part, _Part, _Part], bias: str | None) -> None:
    """The heads before `joined`, which becomes their Concat; the keys before what sums them."""
    query, key, value = parts
    keys = _write_summed(graph, joined, key) if key.sums else [None] * key.heads
    if bias and bias not in graph.constants:
        shape = graph.shape(bias)
        bias = _reshape(graph, joined, bias, (*shape[:-3], *shape[-2:]) if len(shape) > 2 else shape)
    contexts = []
    for head in range(key.heads):
        q = _project(graph, joined, query, head)
        k = keys[head] or _project(graph, joined, key, head)
        v = _project(graph, joined, value, head)
        contexts.append(_attend(graph, joined, (q, k, v), _bias_of_head(graph, joined, bias, key.heads, head)))
    graph.rewrite(joined, "Concat", contexts, {"axis": len(graph.shape(joined.outputs[0])) - 1})


def _write_summed(graph: OnnxGraph, joined: Operator, key: _Part) -> list[str]:
    """The keys of each head, and their sums."""
    first = min((joined, *key.sums), key=graph.operators.index)
    keys = [_project(graph, first, key, head) for head in range(key.heads)]
    for reduction in key.sums:
        total = _insert(graph, reduction, SUMS[reduction.op_type], keys, key.shape)
        shape = np.array(graph.shape(reduction.outputs[0]), np.int64)
        graph.rewrite(reduction, "Reshape", [total, graph.add_constant(f"{reduction.name}.shape", shape)], {})
    return keys


def _project(graph: OnnxGraph, before: Operator, part: _Part, head: int) -> str:
    """x W_j + b_j, in the shape that the attention takes."""
    x, matrix = part.product.inputs
    flat = (*graph.shape(x)[:-1], part.shape[-1])
    result = _insert(graph, before, "MatMul", [x, _columns(graph, matrix, part.heads, head)], flat)
    if part.bias:
        result = _insert(graph, before, "Add", [result, _columns(graph, part.bias, part.heads, head)], flat)
    return _reshape(graph, before, result, part.shape)


def _columns(graph: OnnxGraph, name: str, heads: int, head: int) -> str:
    """The columns of W or b for one head."""
    columns = np.split(graph.constants[name], heads, axis=-1)[head]
    return graph.add_constant(f"{name}.head{head}", np.ascontiguousarray(columns))


def _bias_of_head(graph: OnnxGraph, joined: Operator, bias: str | None, heads: int, head: int) -> str | None:
    """Of a constant (..., heads, n, n), or of anything that broadcasts to it; one that is computed is every head's."""
    array = graph.constants.get(bias) if bias else None
    if array is None:
        return bias
    if array.ndim > 2:
        array = np.ascontiguousarray(array.take(head if array.shape[-3] == heads else 0, axis=-3))
    return graph.add_constant(f"{joined.name}.bias", array)


def _attend(graph: OnnxGraph, joined: Operator, parts: tuple[str, str, str], bias: str | None) -> str:
    """softmax(q k^T + bias) v of one head."""
    query, key, value = parts
    *leading, count, width = graph.shape(key)
    axes = range(len(leading))
    perm = [*axes, len(leading) + 1, len(leading)]
    key = _insert(graph, joined, "Transpose", [key], (*leading, width, count), perm=perm)
    shape = (*graph.shape(query)[:-1], count)
    scores = _insert(graph, joined, "MatMul", [query, key], shape)
    scores = _insert(graph, joined, "Add", [scores, bias], shape) if bias else scores
    weights = _insert(graph, joined, "Softmax", [scores], shape, axis=-1)
    context = _insert(graph, joined, "MatMul", [weights, value], graph.shape(query)[:-1] + graph.shape(value)[-1:])
    return _reshape(graph, joined, context, (*graph.shape(joined.outputs[0])[:-1], graph.shape(value)[-1]))


def _reshape(graph: OnnxGraph, before: Operator, x: str, shape: tuple[int, ...]) -> str:
    if graph.shape(x) == tuple(shape):
        return x
    constant = graph.add_constant(f"{before.name}.shape", np.array(shape, np.int64))
    return _insert(graph, before, "Reshape", [x, constant], shape)


def _insert(
    graph: OnnxGraph, before: Operator, op_type: str, inputs: list[str], shape: tuple[int, ...], **attributes,
) -> str:
    name = graph.unique(f"{before.name}.{op_type}")
    type_ = TensorType(graph.types[inputs[0]].dtype, tuple(shape))
    graph.add_operator(Operator(op_type, name, list(inputs), [name], attributes), [type_], before=before)
    return name
