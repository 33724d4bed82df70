"""Attention with a product of its own for each head."""

from dataclasses import dataclass

import numpy as np

from msnoah.export.graph import TensorType
from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.constant_adds import split_constant
from msnoah.export.passes.split_products import find_product

MAX_HEADS = 6
"""With more, a head's matrices are so small that starting their products costs more than moving the heads apart."""

MOVES = {"Reshape", "Transpose"}


def separate_heads(graph: OnnxGraph) -> bool:
    """softmax(q k^T + bias) v for one head after the other, then Concat, in place of products over all heads at once.

    Head j of q = x W is x W_j, with the columns of W that belong to it. So q, k and v of a head come out of their
    products as they go into the next ones, and nothing is transposed; the scores of one head stay in the cache until
    they are used. Applies where k and v have no bias (`defer_offsets` leaves none) and what lies between the products
    and the attention only moves elements.
    """
    return any([_separate(graph, operator) for operator in graph.operators.copy() if operator.op_type == "Softmax"])


@dataclass
class _Part:
    """q, k or v: the product that it comes from, its bias, and its shape where a product takes it."""

    product: Operator
    bias: str | None
    shape: tuple[int, ...]


def _separate(graph: OnnxGraph, softmax: Operator) -> bool:
    scores, bias = _find_scores(graph, softmax)
    context = graph.only_user(softmax.outputs[0])
    if scores is None or context is None or context.op_type != "MatMul" or context.inputs[0] != softmax.outputs[0]:
        return False
    shape = graph.shape(context.outputs[0])
    if len(shape) < 4 or not 1 < shape[-3] <= MAX_HEADS or 0 in shape:
        return False
    query, value = (_find_part(graph, name, shape[-3], False) for name in (scores.inputs[0], context.inputs[1]))
    key = _find_part(graph, scores.inputs[1], shape[-3], True)
    joined = _find_joined(graph, context)
    if None in (query, key, value, joined) or key.bias or value.bias or graph.only_user(scores.outputs[0]) is None:
        return False
    added = graph.constants.get(bias) if bias else None
    heads = [_add_head(graph, joined, [_slice_head(graph, part, shape[-3], index) for part in (query, key, value)],
                       None if added is None else _head_of_bias(added, shape[-3], index)) for index in range(shape[-3])]
    graph.rewrite(joined, "Concat", heads, {"axis": len(graph.shape(joined.outputs[0])) - 1})
    return True


def _find_scores(graph: OnnxGraph, softmax: Operator) -> tuple[Operator | None, str | None]:
    """The product of queries and keys, and the constant that is added to it."""
    if softmax.attributes.get("axis", -1) not in (-1, len(graph.shape(softmax.inputs[0])) - 1):
        return None, None
    producer = graph.producer(softmax.inputs[0])
    addition = split_constant(graph, producer) if producer and graph.only_user(softmax.inputs[0]) else None
    if addition and graph.shape(addition[0]) == graph.shape(softmax.inputs[0]):
        producer = graph.producer(addition[0])
    if producer is None or producer.op_type != "MatMul":
        return None, None
    return producer, addition[1] if addition else None


def _find_part(graph: OnnxGraph, name: str, heads: int, is_transposed: bool) -> _Part | None:
    """The product behind a value (..., heads, n, d), or (..., heads, d, n), if the moves in between take the columns of
    head j, in order, to head j."""
    moves, end = [], name
    while (operator := graph.producer(end)) is not None and operator.op_type in MOVES and graph.only_user(end):
        moves.append(operator)
        end = operator.inputs[0]
    found = find_product(graph, end, -1)
    if found is None or len(graph.shape(name)) < 4 or graph.shape(name)[-3] != heads:
        return None
    places = _move(graph, np.arange(np.prod(graph.shape(end))).reshape(graph.shape(end)), reversed(moves))
    places = places.swapaxes(-1, -2) if is_transposed else places           # (..., heads, n, d)
    columns = graph.shape(end)[-1]
    if places.shape[-1] * heads != columns:
        return None
    expected = np.arange(places.size).reshape(-1, heads, columns // heads).swapaxes(0, 1)
    by_head = np.moveaxis(places, -3, 0).reshape(heads, -1, columns // heads)
    shape = (*places.shape[:-3], *places.shape[-2:])
    return _Part(*found, shape) if np.array_equal(by_head, expected) else None


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


def _move(graph: OnnxGraph, array: np.ndarray, moves) -> np.ndarray:
    for operator in moves:
        if operator.op_type == "Transpose":
            array = array.transpose(operator.attributes["perm"])
        else:
            array = array.reshape(graph.shape(operator.outputs[0]))
    return array


def _slice_head(graph: OnnxGraph, part: _Part, heads: int, index: int) -> tuple[str, str, str | None, tuple[int, ...]]:
    """x, the columns of W for one head, those of b, and the shape that the attention takes."""
    names = []
    for name in (part.product.inputs[1], part.bias):
        columns = np.split(graph.constants[name], heads, axis=-1)[index] if name else None
        names.append(None if name is None else graph.add_constant(f"{name}.head{index}", np.ascontiguousarray(columns)))
    return part.product.inputs[0], *names, part.shape


def _head_of_bias(bias: np.ndarray, heads: int, index: int) -> np.ndarray:
    """Of (..., heads, n, n), or of anything that broadcasts to it."""
    if bias.ndim < 3:
        return bias
    return np.ascontiguousarray(bias.take(index if bias.shape[-3] == heads else 0, axis=-3))


def _add_head(graph: OnnxGraph, joined: Operator, parts, bias: np.ndarray | None) -> str:
    """softmax(q k^T + bias) v of one head, before `joined`."""
    def insert(op_type: str, inputs: list[str], shape: tuple[int, ...], **attributes) -> str:
        name = graph.unique(f"{joined.name}.{op_type}")
        type_ = TensorType(graph.types[joined.outputs[0]].dtype, tuple(shape))
        graph.add_operator(Operator(op_type, name, inputs, [name], attributes), [type_], before=joined)
        return name

    def reshape(x: str, shape: tuple[int, ...]) -> str:
        if graph.shape(x) == tuple(shape):
            return x
        return insert("Reshape", [x, graph.add_constant(f"{joined.name}.shape", np.array(shape, np.int64))], shape)

    def project(x: str, matrix: str, added: str | None, shape: tuple[int, ...]) -> str:
        flat = (*graph.shape(x)[:-1], shape[-1])
        result = insert("MatMul", [x, matrix], flat)
        return reshape(insert("Add", [result, added], flat) if added else result, shape)

    query, key, value = (project(*part) for part in parts)
    *leading, count, width = graph.shape(key)
    axes = range(len(leading))
    key = insert("Transpose", [key], (*leading, width, count), perm=[*axes, len(leading) + 1, len(leading)])
    shape = (*graph.shape(query)[:-1], count)
    scores = insert("MatMul", [query, key], shape)
    if bias is not None:
        scores = insert("Add", [scores, graph.add_constant(f"{joined.name}.bias", bias)], shape)
    weights = insert("Softmax", [scores], shape, axis=-1)
    context = insert("MatMul", [weights, value], graph.shape(query)[:-1] + graph.shape(value)[-1:])
    return reshape(context, (*graph.shape(joined.outputs[0])[:-1], graph.shape(value)[-1]))
