"""What a MindIR's graph counts: products by primitive, and tuples as the values that are picked from them."""

import numpy as np
import pytest

from msnoah.deploy import mindir_facts
from msnoah.export.graph import Graph, Node, Program, TensorType

FLOAT = np.dtype(np.float32)


def tensor(*shape):
    return TensorType(FLOAT, shape)


def program(nodes, known, **inputs):
    names = [node.output for node in nodes]
    graph = Graph("main", list(inputs), names[-1:], nodes)
    return Program(graph, {}, list(inputs.values()), known, {name: f"net.{name}" for name in known})


def node(primitive, operands, output, type_, scope="net"):
    return Node(primitive, "", scope, operands.split(), output, {}, type_)


# primitive, shapes of input, weight and output: multiply-accumulates
COUNTS = {
    "MatMul": ((5, 7), (7, 3), (5, 3), 5 * 7 * 3),
    "MatMul_transposed_weight": ((5, 7), (3, 7), (5, 3), 5 * 7 * 3),
    "MatMul_transposed_input": ((7, 5), (7, 3), (5, 3), 5 * 7 * 3),
    "BatchMatMul": ((2, 5, 7), (2, 7, 3), (2, 5, 3), 2 * 5 * 7 * 3),
    "Dense": ((2, 5, 7), (3, 7), (2, 5, 3), 2 * 5 * 7 * 3),
    "Conv2D": ((1, 4, 8, 8), (6, 2, 3, 3), (1, 6, 8, 8), 6 * 64 * 2 * 9),   # two groups
    "Add": ((5, 7), (5, 7), (5, 7), 0),
}


@pytest.mark.parametrize("name", COUNTS)
def test_products_are_counted(name, monkeypatch, tmp_path):
    first, weight, out, expected = COUNTS[name]
    nodes = [node(name.partition("_")[0], "x weight", "y", tensor(*out))]
    described = program(nodes, {"weight": np.zeros(weight, np.float32)}, x=tensor(*first))
    monkeypatch.setattr(mindir_facts, "read_mindir", lambda path: described)
    facts = mindir_facts.read_mindir_facts(tmp_path / "x.mindir")
    [operator] = facts.operators
    assert operator.macs == expected and operator.name == f"{operator.op_type}-op0"
    assert [(one.name, one.shape, one.constant) for one in operator.inputs] == [
        ("x", first, False), ("net.weight", weight, True)]
    assert facts.batch == first[0]


def test_parts_of_a_tuple_are_outputs_of_what_makes_it(monkeypatch, tmp_path):
    nodes = [node("Split", "x", "parts", (tensor(2), tensor(2))), node("TupleGetItem", "parts zero", "a", tensor(2)),
             node("TupleGetItem", "parts one", "b", tensor(2)), node("Add", "a b", "y", tensor(2)),
             node("Add", "y a", "z", tensor(2))]
    described = program(nodes, {"zero": 0, "one": 1}, x=tensor(4))
    monkeypatch.setattr(mindir_facts, "read_mindir", lambda path: described)
    split, first, second = mindir_facts.read_mindir_facts(tmp_path / "x.mindir").operators
    assert [one.name for one in split.outputs] == ["a", "b"] == [one.name for one in first.inputs]
    assert (split.name, first.name, second.name) == ("Split-op0", "Add-op0", "Add-op1")
