"""Sub-graphs that call each other: what is a loop, what is not, and what is refused."""

import numpy as np
import pytest

from msnoah.errors import ConversionError
from msnoah.export.builder import Builder
from msnoah.export.flow import ENTRY, Flow
from msnoah.export.graph import Graph, GraphReference, Node, Program, TensorType
from msnoah.export.interpreter import Interpreter

VECTOR, FLAG = TensorType(np.dtype(np.float32), (3,)), TensorType(np.dtype(np.bool_), ())


def node(output: str, primitive: str, *operands: str, callee: str = "") -> Node:
    return Node(primitive, callee, "", list(operands), output, {}, None)


def call(output: str, callee: str, *operands: str) -> Node:
    return node(output, "", *operands, callee=callee)


def graph(name: str, inputs: str, *nodes: Node, output: str = "") -> Graph:
    return Graph(name, inputs.split(), [output or nodes[-1].output], list(nodes))


def choose(name: str, inputs: str, yes: str, no: str, *, passed: str = "") -> Graph:
    """A sub-graph that jumps to one of two by its input that ends in c, with one argument."""
    first, flag = (f"{name}.{part}" for part in inputs.split())
    return graph(
        name, f"{first} {flag}", node(f"{name}.yes", "Partial", yes, passed or first, flag),
        node(f"{name}.no", "Partial", no, passed or first, flag),
        node(f"{name}.both", "Switch", flag, f"{name}.yes", f"{name}.no"), call(f"{name}.end", f"{name}.both"))


def run(main: Graph, *functions: Graph) -> Builder:
    graphs = {function.name: function for function in functions}
    known = {name: GraphReference(name) for name in (*graphs, main.name)}
    builder = Builder(17)
    Interpreter(Program(main, graphs, [VECTOR, FLAG], known), builder).run(None, None)
    return builder


def leaf(name: str, primitive: str = "Abs") -> Graph:
    return graph(name, f"{name}.x {name}.c", node(f"{name}.y", primitive, f"{name}.x"))


def start(target: str) -> Graph:
    return graph("main", "x c", call("end", target, "x", "c"))


def test_recursion_that_is_no_loop_is_refused():
    half = graph("half", "half.x half.c", call("half.inner", "f", "half.x", "half.c"),
                 node("half.y", "Add", "half.inner", "half.x"))
    with pytest.raises(ConversionError, match="sub-graph '(f|half)' calls itself.*while or for"):
        run(start("f"), choose("f", "x c", "half", "leaf"), half, leaf("leaf"))


def test_mutual_recursion_is_refused():
    graphs = [graph(a, f"{a}.x {a}.c", call(f"{a}.inner", b, f"{a}.x", f"{a}.c"),
                    node(f"{a}.y", "Neg", f"{a}.inner")) for a, b in (("a", "b"), ("b", "a"))]
    with pytest.raises(ConversionError, match="sub-graph '[ab]' calls itself, or more than 400 sub-graphs each other"):
        run(start("a"), *graphs)


def test_a_loop_with_two_entries_is_refused():
    with pytest.raises(ConversionError, match="call each other, and it is no loop with one entry"):
        run(start("f"), choose("f", "x c", "a", "b"), choose("a", "x c", "b", "leaf"), choose("b", "x c", "a", "leaf"),
            leaf("leaf"))


def test_a_loop_without_end_is_refused():
    forever = graph("f", "f.x f.c", node("f.y", "Neg", "f.x"), call("f.end", "f", "f.y", "f.c"))
    with pytest.raises(ConversionError, match="has no end"):
        run(start("f"), forever)


@pytest.mark.parametrize("length", (100, 5000))
def test_chains_of_calls(length):
    chain = [graph(f"g{i}", f"g{i}.x g{i}.c", call(f"g{i}.end", f"g{i + 1}", f"g{i}.x", f"g{i}.c"))
             for i in range(length)]
    if length < 400:
        assert run(start("g0"), *chain, leaf(f"g{length}")).graph.operators
    else:
        with pytest.raises(ConversionError, match="more than 400 sub-graphs"):
            run(start("g0"), *chain, leaf(f"g{length}"))


def test_many_conditions_inside_each_other_are_written_one_after_the_other():
    chain = [choose(f"g{i}", "x c", f"g{i + 1}", "leaf") for i in range(40)]
    built = run(start("g0"), *chain, leaf("g40", "Neg"), leaf("leaf"))
    assert _depth(built.graph) <= 12


def _depth(graph) -> int:
    return 1 + max((_depth(body) for operator in graph.operators for body in operator.bodies), default=0)


def test_a_call_of_no_sub_graph_is_refused():
    with pytest.raises(ConversionError, match="a Value is called"):
        run(graph("main", "x c", call("end", "x", "c")))


def test_a_sub_graph_that_is_missing_is_refused():
    main = graph("main", "x c", call("end", "gone", "x", "c"))
    program = Program(main, {}, [VECTOR, FLAG], {"main": GraphReference("main"), "gone": GraphReference("gone")})
    with pytest.raises(ConversionError, match="'gone' is not in the file"):
        Interpreter(program, Builder(17)).run(None, None)


def test_a_wrong_number_of_arguments_is_refused():
    with pytest.raises(ConversionError, match="'leaf' takes 2 values, 1 are given"):
        run(graph("main", "x c", call("end", "leaf", "x")), leaf("leaf"))


def test_flow_of_a_loop_with_a_condition_in_it():
    names = "head body yes no join out".split()
    targets = {"head": ("body", "out"), "body": ("yes", "no"), "yes": ("join",), "no": ("join",), "join": ("head",)}
    functions = {}
    for name in names:
        jumps = targets.get(name, ())
        if len(jumps) == 2:
            functions[name] = choose(name, "x c", *jumps)
        elif jumps:
            functions[name] = graph(name, f"{name}.x {name}.c", call(f"{name}.end", *jumps, f"{name}.x", f"{name}.c"))
        else:
            functions[name] = leaf(name)
    flow = Flow(("head",), functions)
    assert flow.order[0] == ENTRY and set(flow.order[1:]) == set(names)
    assert flow.loops == {"head": frozenset(names) - {"out"}}
    assert flow.exits("head") == {"head"} and flow.after("head") == ["out"]
    assert flow.merges("body") == ["join"] and flow.merges("head") == [] and flow.merges(ENTRY) == []
