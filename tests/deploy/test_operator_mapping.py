"""Runtime's rows beside the graph: who computes what, in which module, how much, and how many bytes cross."""

from pathlib import Path

import pytest

from msnoah.deploy.npu.facts import GraphFacts, OperatorFacts, TensorFacts, module_name
from msnoah.deploy.operator_mapping import map_to_graph
from msnoah.deploy.operator_modules import locate_modules, parameter_module
from msnoah.deploy.operator_sums import (
    mapped_share,
    readable_depth,
    sum_by_kind,
    sum_by_module,
    sum_by_role,
)
from msnoah.deploy.runtimes.base import OperatorTime

LENGTH = 10   # numbers in every value


def tensor(name, constant=False, dtype="float32"):
    return TensorFacts(name, dtype, (LENGTH,), constant)


def operator(name, reads, writes, weights=(), macs=0, kind=None):
    inputs = [*map(tensor, reads.split()), *(tensor(weight, constant=True) for weight in weights)]
    kind = kind or name.rpartition(".")[2].partition("_")[0]
    return OperatorFacts(kind, name, module_name(name), tuple(inputs), (tensor(writes),), {}, 17, macs)


# two blocks of a convolution with a bias, an activation and a residual sum; the second one's names are the first one's
BLOCKS = (
    operator("stem.Conv", "image", "s", ["stem.weight"], 100),
    operator("blocks.0.conv.Conv", "s", "c0", ["blocks.0.conv.weight"], 200),
    operator("blocks.0.act.Div", "c0", "d0", ["blocks.0.act.Div.B"]),
    operator("blocks.0.act.Erf", "d0", "e0"),
    operator("blocks.0.fc.MatMul", "e0", "m0", ["blocks.0.fc.weight.transpose"], 300),
    operator("blocks.0.Add", "s m0", "a0"),
    operator("blocks.1.conv.Conv", "a0", "c1", ["blocks.1.conv.weight"], 200),
    operator("blocks.0.act.Div_1", "c1", "d1", ["blocks.0.act.Div.B"]),
    operator("blocks.0.act.Erf_1", "d1", "e1"),
    operator("blocks.1.fc.MatMul", "e1", "m1", ["blocks.1.fc.weight.transpose"], 300),
    operator("blocks.0.Add_1", "a0 m1", "a1"),
    operator("ReduceMean", "a1", "p"),
    operator("Gemm", "p", "y", ["head.weight", "head.bias"], 50),
)
MODULES = ["stem", "blocks.0.conv", "blocks.0.act", "blocks.0.act", "blocks.0.fc", "blocks.0", "blocks.1.conv",
           "blocks.1.act", "blocks.1.act", "blocks.1.fc", "blocks.1", "", "head"]


def test_a_name_that_was_taken_from_another_block_does_not_misplace_a_node():
    assert locate_modules(BLOCKS) == MODULES


# operators; the module of the one before the last, whose name says what stands in the first place
PLACES = {
    "weightless_child": (  # a numbered part without weights between two that have some
        ([["seq.0.weight"], [], ["seq.2.weight"]], ["seq.0.Conv", "seq.1.Relu", "seq.2.Conv"]), "seq.1"),
    "deeper_than_named": (  # both neighbours are in a block that the name does not mention
        ([["n.b.0.x.weight"], [], ["n.b.0.y.weight"]], ["n.b.0.x.Conv", "n.Relu_1", "n.b.0.y.Conv"]), "n.b.0"),
    "named_elsewhere": (  # common subexpressions have the scope of the first one
        ([["b.1.q.weight"], [], ["b.1.k.weight"]], ["b.1.q.MatMul", "patch.Transpose_4", "b.1.k.MatMul"]), "b.1"),
    "between_blocks": (  # an operator of the network itself
        ([["stem.weight"], [], ["b.0.q.weight"]], ["stem.Conv", "Relu", "b.0.q.MatMul"]), ""),
    "wrong_sibling": (  # its name leads into a module with weights in which none of its neighbours is
        ([["b.0.x.weight"], [], ["b.1.x.weight"]], ["b.0.x.Conv", "b.0.y.z.Add_2", "b.1.x.Conv"]), "b.0.y.z"),
    "no_weights": (([[], [], []], ["a.Relu", "b.Relu", "c.Relu"]), "b"),
    "no_operator_named": (([[], [], []], ["a.x", "b.node_12", "c.x"]), "b"),
    "anonymous_weights": (
        ([["onnx::MatMul_1"], ["w2"], ["onnx::MatMul_3"]], ["/a/MatMul", "/b/MatMul", "/c/MatMul"]), "b"),
}


@pytest.mark.parametrize("name", PLACES)
def test_place_by_weights_neighbours_and_name(name):
    (weights, names), expected = PLACES[name]
    values = ["v0", "v1", "v2", "v3"]
    chain = [operator(*row) for row in zip(names, values, values[1:], weights)]
    assert locate_modules(chain)[1] == expected


# a constant: whose parameter it is
PARAMETERS = {
    "blocks.1.attn.qkv.weight.transpose.0": "blocks.1.attn.qkv", "conv2.spatial.pos_embed": "conv2.spatial",
    "pos_embed": "", "blocks.0.attn.dwc.Conv.bias": None, "patch_embed.Reshape.shape": None, "onnx::MatMul_7": None,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_name_their_module(name):
    assert parameter_module(name) == PARAMETERS[name]


def facts_of(operators):
    return GraphFacts(Path("x.onnx"), 1, 17, tuple(operators), (tensor("image"),), False, ())


def time_of(kind, *sources, ms=1.0, auxiliary=False, node="n"):
    return OperatorTime(kind, 1, ms, ms / 10, node, sources, auxiliary)


NUMBERS = 4 * LENGTH   # bytes of a value
ROWS = (
    # what the runtime ran; module, macs, bytes / NUMBERS (reads and writes, each value once), operators of the graph
    (time_of("Reorder", "image", auxiliary=True), "stem", 0, None, 0),
    (time_of("Conv", "stem.Conv"), "stem", 100, 3, 1),
    (time_of("Conv", "c0"), "blocks.0.conv", 200, 3, 1),               # named by the value it writes
    (time_of("Gelu", "blocks.0.act.Erf"), "blocks.0.act", 0, 3, 2),    # what leads to it up to another row's
    (time_of("MatMul", "blocks.0.fc.MatMul"), "blocks.0.fc", 300, 4, 2),   # the sum behind it is in no other row
    (time_of("Conv", "blocks.0.act.Erf_1"), "blocks.1.conv", 200, 4, 3),   # named by the last of the three it computes
    (time_of("Gemm", "blocks.0.Add_1"), "blocks.1.fc", 300, 4, 2),
    (time_of("Copy", "blocks.0.Add_1", auxiliary=True), "blocks.1", 0, None, 0),
    (time_of("Pool", "ReduceMean"), "", 0, 2, 1),
    (time_of("Gemm", "y"), "head", 50, 4, 1),
    (time_of("Cast", "image", node="head.Cast_4"), "stem", 0, None, 0),   # beside the first that reads the input
    (time_of("Shape", "folded", node="head.Shape_2"), "head", 0, None, 0),   # no longer in the graph: by its name
    (time_of("Copy", node="image_abcd_blocks.0.Reorder_3"), None, None, None, 0),   # that is no module of the network
)


@pytest.fixture(scope="module")
def mapped():
    return map_to_graph([row for row, *_ in ROWS], facts_of(BLOCKS))


@pytest.mark.parametrize("number", range(len(ROWS)))
def test_rows_have_module_and_work_of_what_they_compute(number, mapped):
    _, module, macs, values, count = ROWS[number]
    row = mapped[number]
    assert (row.module, row.macs) == (module, macs)
    assert row.bytes == (None if values is None else values * NUMBERS)
    assert count == 0 or len(row.sources) == count


def test_every_operator_is_in_one_row_and_all_products_are_counted(mapped):
    computed = [name for row in mapped if row.bytes is not None for name in row.sources]
    assert sorted(computed) == sorted(one.name for one in BLOCKS)
    assert sum(one.macs for one in sum_by_module(mapped)) == sum(one.macs for one in BLOCKS)


def test_a_product_takes_in_the_transpose_that_it_reads_through_and_views_cost_nothing():
    chain = [operator("a.Relu", "image", "r"), operator("a.Transpose", "r", "t"), operator("a.Reshape", "t", "v"),
             operator("a.MatMul", "v", "y", ["a.weight"], 7)]
    relu, product = map_to_graph([time_of("Relu", "a.Relu"), time_of("FusedMatMul", "a.MatMul")], facts_of(chain))
    assert relu.sources == ("a.Relu",) and product.sources == ("a.Transpose", "a.Reshape", "a.MatMul")
    [_, view, *_] = map_to_graph([time_of("x", name) for name in ("r", "v", "y")], facts_of(chain))
    assert view.bytes == 2 * NUMBERS   # the transpose before it
    [view] = map_to_graph([time_of("x", "v")], facts_of(chain[2:3]))
    assert view.bytes == 0 and view.macs == 0


def test_open_sizes_are_not_made_up():
    image = TensorFacts("image", "float32", None, False)
    unknown = OperatorFacts("Conv", "c", "", (image,), (tensor("y"),), {}, 17, None)
    [row] = map_to_graph([time_of("Conv", "c")], facts_of([unknown]))
    assert row.macs is None and row.bytes is None and row.module == ""


def test_sums_keep_the_whole_and_put_together_what_has_the_same_place(mapped):
    whole = sum(row.ms for row in mapped)
    for sums in (sum_by_kind(mapped), sum_by_module(mapped), sum_by_module(mapped, 1), sum_by_role(mapped)):
        assert sum(one.ms for one in sums) == pytest.approx(whole)
        assert [one.ms for one in sums] == sorted((one.ms for one in sums), reverse=True)
    assert {one.name: one.count for one in sum_by_module(mapped, 1)} == {
        "stem": 3, "blocks": 6, "head": 2, "(network)": 1, "(not mapped)": 1}
    roles = {one.name: one for one in sum_by_role(mapped)}
    assert roles["blocks.*.conv"].macs == 400 and roles["blocks.*.conv"].count == 2
    assert mapped_share(mapped) == pytest.approx(1.2)   # of shares that add up to 1.3
    assert readable_depth(mapped, 9) == 2 and readable_depth(mapped, 2) == 1
