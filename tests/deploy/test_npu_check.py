"""`msnoah check`: graphs held against the rules of NPU targets."""

import json

import numpy as np
import onnx
import pytest
from npu_graphs import one_node, vit_block, with_if, with_loop, write_graph
from onnx import TensorProto, helper

from msnoah.cli import main
from msnoah.commands.check import TARGETS
from msnoah.deploy.npu.compatibility import OPEN_AXES, check_graph
from msnoah.deploy.npu.facts import module_name, read_facts
from msnoah.deploy.npu.rules import find_target
from msnoah.errors import ConversionError, ProfileError

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
KERNEL = {"w": np.ones((1, 1, 3, 3), np.float32)}


def verdicts(path, target, batch=1):
    """{operator: verdict}, the worst where there are several."""
    findings = check_graph(read_facts(path, batch), find_target(target)).findings
    return {finding.operator: finding.verdict for finding in reversed(findings)}


def finding(path, target, operator):
    """The worst finding about an operator."""
    return next(f for f in check_graph(read_facts(path), find_target(target)).findings if f.operator == operator)


@pytest.mark.parametrize("target,expected", [
    ("rk3588", "cpu"), ("kirin-npu", "cpu"), ("ascend310b", "supported"), ("ascend310", "unknown"),
    ("hexagon", "supported"), ("ane", "unknown"),
])
def test_layer_norm_is_judged_by_the_document_and_gone_once_fused(tmp_path, target, expected):
    path = vit_block(tmp_path / "vit.onnx")
    assert verdicts(path, target)["LayerNormalization"] == expected
    assert "LayerNormalization" not in verdicts(vit_block(tmp_path / "fused.onnx", normed=False), target)


def test_a_finding_names_place_shape_source_and_rewrite(tmp_path):
    found = finding(vit_block(tmp_path / "vit.onnx"), "rk3588", "LayerNormalization")
    assert found.modules == ("blocks.0.norm1",) and found.nodes == ("blocks.0.norm1.LayerNormalization",)
    assert found.shapes == ("1x4x8",) and found.dtypes == ("float32",)
    assert "chapter 2" in found.source and "second-hand" in found.source and "https://" in found.source
    assert "PRepBN" in found.rewrite


def test_norms_over_all_axes_but_the_first_are_on_the_rk3588(tmp_path):
    spec = (FLOAT, (1, 3, 4))
    weights = {"scale": np.ones((3, 4), np.float32)}
    path = one_node(tmp_path / "n.onnx", "LayerNormalization", {"x": spec}, {"y": spec}, weights, axis=1)
    assert verdicts(path, "rk3588") == {"LayerNormalization": "supported"}


# target, operator, input shape, output shape, weights, attributes, verdict
ONE_NODE = {
    "softmax_width": ("rk3588", "Softmax", (1, 2, 4, 4), (1, 2, 4, 4), {}, {"axis": -1}, "supported"),
    "softmax_height": ("rk3588", "Softmax", (1, 2, 4, 4), (1, 2, 4, 4), {}, {"axis": 2}, "unknown"),
    "five_axes": ("rk3588", "Relu", (1, 2, 2, 4, 4), (1, 2, 2, 4, 4), {}, {}, "unknown"),
    "reduce_to_five": ("rk3588", "ReduceMax", (1, 2, 2, 4, 4), (1, 2, 2, 4, 1), {}, {"axes": [4]}, "not_supported"),
    "small_kernel": ("rk3588", "MaxPool", (1, 2, 9, 9), (1, 2, 3, 3), {}, {"kernel_shape": [7, 7]}, "supported"),
    "large_kernel": ("rk3588", "MaxPool", (1, 2, 9, 9), (1, 2, 2, 2), {}, {"kernel_shape": [8, 8]}, "cpu"),
    "nine_axes": ("ascend310b", "Relu", (1,) * 9, (1,) * 9, {}, {}, "not_supported"),
    "five_axes_ascend": ("ascend310b", "Relu", (1, 2, 2, 4, 4), (1, 2, 2, 4, 4), {}, {}, "supported"),
    "scatter_ascend": ("ascend310b", "Trilu", (4, 4), (4, 4), {}, {}, "supported"),
    "arg_max_of_five": ("hexagon", "ArgMax", (1, 2, 2, 4, 4), (1, 2, 2, 4, 1), {}, {"axis": -1}, "cpu"),
    "not_in_hexagons_list": ("hexagon", "Trilu", (4, 4), (4, 4), {}, {}, "cpu"),
    "norm_of_two": ("hexagon", "LpNormalization", (1, 4), (1, 4), {}, {"p": 2}, "supported"),
    "norm_of_one": ("hexagon", "LpNormalization", (1, 4), (1, 4), {}, {"p": 1}, "cpu"),
    "dilated": ("ane", "Conv", (1, 1, 9, 9), (1, 1, 5, 5), KERNEL, {"dilations": [2, 2]}, "cpu"),
    "not_dilated": ("ane", "Conv", (1, 1, 9, 9), (1, 1, 7, 7), KERNEL, {}, "unknown"),
}


def test_types_decide(tmp_path):
    path = one_node(tmp_path / "n.onnx", "Relu", *[{name: (TensorProto.DOUBLE, (1, 4))} for name in "xy"])
    found = finding(path, "rk3588", "Relu")
    assert found.verdict == "unknown" and found.dtypes == ("float64",) and "--float16" in found.rewrite


@pytest.mark.parametrize("case", ONE_NODE)
def test_shapes_and_attributes_decide(tmp_path, case):
    target, operator, read, written, weights, attributes, expected = ONE_NODE[case]
    kind = INT64 if operator == "ArgMax" else FLOAT
    path = one_node(tmp_path / "n.onnx", operator, {"x": (FLOAT, read)}, {"y": (kind, written)}, weights, **attributes)
    assert verdicts(path, target)[operator] == expected


@pytest.mark.parametrize("operator", ["ScatterElements", "GatherElements"])
@pytest.mark.parametrize("target,expected", [
    ("ascend310b", {"supported"}), ("ascend310", {"supported"}), ("hexagon", {"supported"}),
    ("kirin-npu", {"unknown", "cpu"})])
def test_scatter_and_gather(tmp_path, operator, target, expected):
    inputs = {"x": (FLOAT, (1, 4)), "i": (INT64, (1, 2))}
    inputs |= {"u": (FLOAT, (1, 2))} if operator == "ScatterElements" else {}
    result = (1, 4) if operator == "ScatterElements" else (1, 2)
    path = one_node(tmp_path / "s.onnx", operator, inputs, {"y": (FLOAT, result)}, axis=1)
    found = finding(path, target, operator)
    assert found.verdict in expected
    assert ("--token-merging matrix" in (found.rewrite or "")) == (found.verdict != "supported")


def test_what_bodies_hold_is_checked_too(tmp_path):
    found = verdicts(with_loop(tmp_path / "loop.onnx"), "hexagon")
    assert found["Loop"] == "not_supported" and found["TopK"] == "supported"
    assert verdicts(with_loop(tmp_path / "loop.onnx"), "kirin-npu")["TopK"] == "cpu"
    found = verdicts(with_if(tmp_path / "if.onnx"), "ascend310b")
    assert found == {"If": "supported", "Add": "supported", "Sub": "supported"}
    assert "--logits" in finding(with_if(tmp_path / "if.onnx"), "rk3588", "If").rewrite


def test_an_open_batch_is_fixed_and_other_open_axes_are_told(tmp_path):
    spec = (FLOAT, ("batch", 3, "height", 8))
    path = one_node(tmp_path / "r.onnx", "Relu", {"x": spec}, {"y": spec})
    facts = read_facts(path, batch=2)
    assert facts.open_batch and facts.open_axes == ("x[2]",) and facts.inputs[0].shape is None
    expected = {"hexagon": "not_supported", "ascend310b": "not_supported", "ane": "cpu", "rk3588": "unknown"}
    assert {target: verdicts(path, target)[OPEN_AXES] for target in expected} == expected
    assert OPEN_AXES not in verdicts(vit_block(tmp_path / "vit.onnx"), "hexagon")


def test_a_limit_on_an_unknown_shape_is_not_known(tmp_path):
    spec = (FLOAT, (1, None, 8))
    nodes = [helper.make_node("NonZero", ["x"], ["n"], "a.NonZero"), helper.make_node("Compress", ["x", "c"], ["z"]),
             helper.make_node("Reshape", ["z", "s"], ["y"]), helper.make_node("Softmax", ["y"], ["p"], axis=-1)]
    inputs = {"x": spec, "c": (TensorProto.BOOL, (3,)), "s": (INT64, (None,))}
    path = write_graph(tmp_path / "u.onnx", nodes, inputs, {"p": (FLOAT, None), "n": (INT64, (3, None))})
    assert "does not tell" in finding(path, "rk3588", "Softmax").says


def test_sizes_that_the_graph_computes_are_folded(tmp_path):
    nodes = [
        helper.make_node("Constant", [], ["zero"], value_ints=[0]),
        helper.make_node("Shape", ["x"], ["size"]), helper.make_node("Gather", ["size", "zero"], ["first"]),
        helper.make_node("Concat", ["first", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["y"], "flat.Reshape"),
    ]
    weights = {"rest": np.array([-1])}
    path = write_graph(tmp_path / "f.onnx", nodes, {"x": (FLOAT, ("b", 2, 3))}, {"y": (FLOAT, ("b", 6))}, weights)
    facts = read_facts(path, batch=3)
    assert [operator.op_type for operator in facts.operators] == ["Reshape"]
    assert facts.operators[0].outputs[0].shape == (3, 6)


def test_an_old_operator_set_is_folded_by_its_own_rules(tmp_path):
    """Unsqueeze has its axes as an attribute before operator set 13."""
    nodes = [helper.make_node("Unsqueeze", ["c"], ["row"], axes=[0]), helper.make_node("Add", ["x", "row"], ["y"])]
    spec = (FLOAT, (1, 2))
    path = write_graph(tmp_path / "o.onnx", nodes, {"x": spec}, {"y": spec}, {"c": np.ones(2, np.float32)}, opset=11)
    assert [operator.op_type for operator in read_facts(path).operators] == ["Add"]


def test_a_newer_operator_set_than_documented_is_told(tmp_path):
    spec = {"x": (FLOAT, (1, 2))}
    result = {"y": (FLOAT, (1, 2))}
    paths = {opset: one_node(tmp_path / f"{opset}.onnx", "Relu", spec, result, opset=opset) for opset in (18, 19)}
    assert verdicts(paths[18], "ascend310") == {"Relu": "supported"}
    assert verdicts(paths[19], "ascend310") == {"Relu": "supported", "(operator set 19)": "unknown"}


def test_div_of_a_newer_operator_set_ends_in_e19010(tmp_path):
    spec = (FLOAT, (1, 2))
    path = one_node(tmp_path / "d.onnx", "Div", {"x": spec, "y": spec}, {"z": spec}, opset=19)
    assert finding(path, "ascend310b", "Div").verdict == "not_supported"


def test_a_large_weight_in_another_file_is_not_read(tmp_path):
    path = vit_block(tmp_path / "vit.onnx", batch=1)
    expected = verdicts(path, "rk3588")
    model = onnx.load(path)
    onnx.save(model, tmp_path / "apart.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    assert verdicts(tmp_path / "apart.onnx", "rk3588") == expected


@pytest.mark.parametrize("name,module", [
    ("blocks.0.attn.proj.Reshape.MatMul_1", "blocks.0.attn.proj"), ("/blocks/0/norm/Mul", "blocks.0.norm"),
    ("blocks.2.norm1.LayerNormalization.row", "blocks.2.norm1"), ("Concat", ""), ("", ""), ("head", "head")])
def test_module_names(name, module):
    assert module_name(name) == module


def test_a_file_that_is_no_graph_is_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("no graph at all")
    with pytest.raises(ProfileError, match="not an ONNX model"):
        read_facts(tmp_path / "text.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(ConversionError, match="holds no operators"):
        read_facts(tmp_path / "empty.onnx")
    weights = {"a": np.ones((1, 2), np.float32), "b": np.ones((3, 1), np.float32)}
    path = one_node(tmp_path / "bad.onnx", "MatMul", {}, {"z": (FLOAT, (1, 1))}, weights)
    with pytest.raises(ConversionError, match="ONNX refuses the graph"):
        read_facts(path)


# --- the command


def test_command_prints_a_table_and_ends_well(tmp_path, capsys):
    assert main(["check", str(vit_block(tmp_path / "vit.onnx")), "--target", "rk3588"]) == 0
    out = capsys.readouterr().out
    assert "on the CPU     LayerNormalization x1  float32 1x4x8  in blocks.0.norm1" in out
    assert "instead: train with PRepBN" in out and "[1] RKNN Compiler Support Operator List" in out


def test_command_gives_json_of_all_targets(tmp_path, capsys):
    assert main(["check", str(vit_block(tmp_path / "vit.onnx")), "--target", "all", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert tuple(record["target"] for record in records) == TARGETS
    assert all(sum(record["counts"].values()) >= 9 for record in records)


def test_command_ends_with_1_where_something_is_not_supported(tmp_path, capsys):
    path = str(with_loop(tmp_path / "loop.onnx"))
    assert main(["check", path, "--target", "ascend310b", "--target", "hexagon"]) == 1
    assert "msnoah check: not supported on hexagon: Loop" in capsys.readouterr().err


@pytest.mark.parametrize("arguments,message", [
    (["missing.onnx", "--target", "ane"], "cannot be read"), (["no_run", "--target", "ane"], "no_run"),
    (["missing.onnx", "--target", "rk35"], "did you mean 'rk3588'?"),
    (["missing.onnx", "--target", " , "], "no target")])
def test_wrong_use_ends_with_2(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["check", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_command_reads_a_run(exported_run, capsys):
    assert main(["check", str(exported_run.path), "--target", "kirin-npu"]) == 0
    assert "3 supported" in capsys.readouterr().out
