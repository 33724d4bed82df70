"""Primitives without handler: all of them in one line, with counts, first places and what to do."""

import pytest

from msnoah.errors import ConversionError
from msnoah.export.graph import Graph, Node, Program
from msnoah.export.missing import check_primitives, find_missing
from msnoah.export.user_handlers import load_handlers

HANDLER = """
from msnoah.export import Const, handles

@handles("{name}")
def handler(g, x, axis: Const = 0):
    return x
"""


def node(primitive: str, scope: str, output: str) -> Node:
    return Node(primitive, "", scope, ["x"], output, {}, None)


def program(*nodes: Node, inner: tuple[Node, ...] = ()) -> Program:
    inner_graph = Graph("inner", ["x"], [n.output for n in inner], list(inner))
    return Program(Graph("main", ["x"], ["y"], list(nodes)), {"inner": inner_graph}, [], {})


def test_all_are_found_with_counts_and_first_places():
    found = find_missing(program(
        node("Softmx", "head", "a"), node("ReLU", "head", "b"), node("Wholly", "blocks.0", "c"),
        inner=(node("Wholly", "blocks.1", "d"), node("MakeTuple", "", "e"))))
    assert [(entry.name, entry.count, entry.first, entry.nearest) for entry in found] == [
        ("Wholly", 2, "blocks.0.Wholly", ""), ("Softmx", 1, "head.Softmx", "Softmax")]


def test_the_error_names_them_all_and_a_way_out():
    with pytest.raises(ConversionError) as caught:
        check_primitives(program(node("Softmx", "head", "a"), node("Wholly", "", "c")))
    assert str(caught.value) == (
        "no ONNX form is known for 2 primitives: Softmx (1, first head.Softmx; Softmax is known), "
        "Wholly (1, first Wholly); "
        'add one with @handles("Softmx") in a file for --handlers (docs/convert.md shows how)')


def test_nothing_is_missing():
    check_primitives(program(node("ReLU", "", "a")))


def test_a_file_adds_what_was_missing(tmp_path, no_new_handlers):
    path = tmp_path / "mine.py"
    path.write_text(HANDLER.format(name="Wholly"))
    assert load_handlers(path) == ["Wholly"]
    check_primitives(program(node("Wholly", "", "a")))
    with pytest.raises(ConversionError, match=r"mine.py:4: Wholly has a handler already, .*handler; remove one"):
        load_handlers(path)


@pytest.mark.parametrize("text,message", [
    ("", "adds no handler"),
    ("import nothing_at_all\n", r"mine.py:1: ModuleNotFoundError: No module named 'nothing_at_all'"),
    ("x = (\n", r"mine.py:1: SyntaxError"), ("\n\n1 / 0\n", r"mine.py:3: ZeroDivisionError: division by zero"),
])
def test_files_that_do_not_serve(text, message, tmp_path):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ConversionError, match=message):
        load_handlers(tmp_path / "mine.py")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConversionError, match="none.py: no such file"):
        load_handlers(tmp_path / "none.py")
