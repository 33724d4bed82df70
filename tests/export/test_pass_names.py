"""Passes by name: which run, and what a wrong name says."""

import pytest
from pass_case import build, normal

from msnoah.errors import ConversionError
from msnoah.export.passes import PASSES, list_passes, run_passes, select_passes


def test_every_pass_has_a_line_that_says_what_it_does():
    infos = list_passes()
    assert [info.name for info in infos] == list(PASSES)
    for info in infos:
        assert 10 < len(info.description) < 400 and "\n" not in info.description


def test_all_run_by_default_and_none_if_none_is_named():
    assert select_passes() == tuple(PASSES) and select_passes(()) == ()


def test_names_choose_and_a_minus_sign_leaves_out():
    assert select_passes(("merge_pads", "fold_constants")) == ("fold_constants", "merge_pads")
    assert select_passes(("-separate_heads",)) == tuple(name for name in PASSES if name != "separate_heads")
    assert select_passes("merge_pads") == ("merge_pads",)


@pytest.mark.parametrize("names,message", [
    (("fold_batchnorms",), "no pass is called 'fold_batchnorms'; did you mean 'fold_batch_norms'?"),
    (("-merge_pad",), "no pass is called 'merge_pad'; did you mean 'merge_pads'?"),
    (("merge_pads", "-fold_constants"), "either name those that run"),
    (("",), "no pass is called ''; known: "),
])
def test_wrong_names_are_refused(names, message):
    with pytest.raises(ConversionError, match=message.replace("?", r"\?")):
        select_passes(names)


def scaled(g, x):
    return g.op("Relu", g.op("Identity", g.op("Mul", g.op("MatMul", x, normal(4, 4)), normal(4))))


@pytest.mark.parametrize("names,operators", [
    ((), ["MatMul", "Mul", "Identity", "Relu", "Identity"]), (None, ["MatMul", "Relu"]),
    (("remove_identities",), ["MatMul", "Mul", "Relu"]), (("-fold_channel_affines",), ["MatMul", "Mul", "Relu"]),
])
def test_only_selected_passes_change_the_graph(names, operators):
    g = build(scaled, 2, 4)
    run_passes(g.graph, names)
    assert [operator.op_type for operator in g.graph.operators] == operators
