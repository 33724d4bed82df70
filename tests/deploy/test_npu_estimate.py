"""The latency estimate from public peaks, against figures counted by hand."""

import json

import numpy as np
import pytest
from npu_graphs import one_node, vit_block, with_loop, write_graph
from onnx import TensorProto, helper

from msnoah.cli import main
from msnoah.deploy.npu.facts import read_facts
from msnoah.deploy.npu.rules import Specification, find_target
from msnoah.deploy.roofline import ASSUMPTIONS, bound_ms, estimate_latency

FLOAT = TensorProto.FLOAT


def target_of(**figures):
    """The 310B with other peaks."""
    target = find_target("ascend310b")
    return target.model_copy(update={"specification": Specification(chip="chip", source="kit", **figures)})


def product(path, width: int):
    """x (batch, width) times a weight (width, width), then ReLU."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"], "a.MatMul")]
    nodes += [helper.make_node("Relu", ["h"], ["y"], "a.Relu")]
    spec = (FLOAT, ("batch", width))
    return write_graph(path, nodes, {"x": spec}, {"y": spec}, {"w": np.zeros((width, width), np.float32)})


def test_peaks():
    """1e9 multiply-accumulates at 4 TOPS take 0.5 ms; 25.6 MB at 25.6 GB/s take 1 ms."""
    assert bound_ms(10**9, 25.6e6, 4, 25.6) == pytest.approx((0.5, 1.0))


@pytest.mark.parametrize("dtype,size", [("float16", 2), ("int8", 1)])
def test_traffic_bounds_a_thin_product(tmp_path, dtype, size):
    """Batch 3, width 64: the product moves 3*64 + 64*64 + 3*64 numbers, ReLU 2*3*64; arithmetic is negligible."""
    facts = read_facts(product(tmp_path / "p.onnx", 64), batch=3)
    estimate = estimate_latency(facts, target_of(tops={dtype: 1000}, bandwidth_gb_s=1)).estimates[0]
    rows = {row.operator: row for row in estimate.operators}
    assert (rows["MatMul"].macs, rows["MatMul"].bytes) == (3 * 64 * 64, (2 * 3 * 64 + 64 * 64) * size)
    assert (rows["Relu"].macs, rows["Relu"].bytes) == (0, 2 * 3 * 64 * size)
    assert estimate.ms == pytest.approx((rows["MatMul"].bytes + rows["Relu"].bytes) / 1e6)   # 1 GB/s: 1e6 bytes a ms
    assert all(row.memory_share == 1 for row in estimate.operators)


def test_arithmetic_bounds_a_thick_product(tmp_path):
    facts = read_facts(product(tmp_path / "p.onnx", 64), batch=3)
    row = estimate_latency(facts, target_of(tops={"int8": 1e-6}, bandwidth_gb_s=1000)).estimates[0].operators[0]
    assert row.operator == "MatMul" and row.memory_share == 0
    assert row.ms == pytest.approx(2 * 3 * 64 * 64 / 1e6 * 1e3)   # 1e6 operations a second


def test_reshapes_cost_nothing_and_integers_keep_their_width(tmp_path):
    nodes = [helper.make_node("Reshape", ["x", "s"], ["r"]), helper.make_node("Gather", ["r", "i"], ["y"], axis=0)]
    inputs = {"x": (FLOAT, (2, 4)), "i": (TensorProto.INT64, (3,))}
    path = write_graph(tmp_path / "g.onnx", nodes, inputs, {"y": (FLOAT, (3,))}, {"s": np.array([8])})
    rows = estimate_latency(read_facts(path), target_of(tops={"int8": 1}, bandwidth_gb_s=1)).estimates[0].operators
    assert {row.operator: row.bytes for row in rows} == {"Reshape": 0, "Gather": 8 + 3 * 8 + 3}


@pytest.mark.parametrize("target,reason", [
    ("hexagon", "peaks differ by chip"), ("kirin-npu", "no public figures"), ("ascend310", "bandwidth"),
    ("ane", "of which type")])
def test_no_estimate_where_a_peak_is_not_public(tmp_path, target, reason):
    result = estimate_latency(read_facts(vit_block(tmp_path / "vit.onnx")), find_target(target))
    assert result.estimates == () and reason in result.reason
    assert "no estimate of latency" in result.text()


def test_no_estimate_of_loops_and_open_sizes(tmp_path):
    target = find_target("ascend310b")
    assert "how often Loop 'head.Loop'" in estimate_latency(read_facts(with_loop(tmp_path / "l.onnx")), target).reason
    spec = (FLOAT, (1, "width"))
    path = one_node(tmp_path / "r.onnx", "Relu", {"x": spec}, {"y": spec})
    assert "the size of 'x' of Relu" in estimate_latency(read_facts(path), target).reason


def test_it_is_always_called_an_estimate(tmp_path, capsys):
    path = str(vit_block(tmp_path / "vit.onnx"))
    assert main(["check", path, "--target", "ascend310b"]) == 0
    out = capsys.readouterr().out
    figures = [line for line in out.splitlines() if " ms" in line]
    assert len(figures) == 2 and all("estimate, not measured: " in line for line in figures)
    assert all(f"assumed: {assumption}" in out for assumption in ASSUMPTIONS)
    assert main(["check", path, "--target", "ascend310b", "--json"]) == 0
    estimates = json.loads(capsys.readouterr().out)[0]["latency_estimates"]["estimates"]
    assert [(e["kind"], e["dtype"]) for e in estimates] == [("estimate", "float16"), ("estimate", "int8")]
    assert all(e["assumptions"] and e["source"] for e in estimates)
