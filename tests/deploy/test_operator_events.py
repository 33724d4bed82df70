"""What each runtime's profiler says, scripted, and the rows that it becomes."""

import numpy as np
import pytest

from msnoah.deploy.runtimes import mindspore, mnn, onnxruntime, openvino
from msnoah.deploy.runtimes.base import NodeKey, Origin, median_times
from msnoah.deploy.runtimes.onnx_wiring import WiredNode, read_wiring


def kernel(node, operator, number, microseconds):
    return {"cat": "Node", "name": f"{node}_kernel_time", "dur": microseconds,
            "args": {"op_name": operator, "node_index": str(number)}}


def test_onnxruntime_events_become_rows_by_node_without_the_first_run():
    events = [kernel("a", "MatMul", 0, d) for d in (9000, 100, 300, 200)]
    events += [kernel("", "MatMul", 1, d) for d in (50, 400, 400, 400)]   # a node without a name, as is the next
    events += [kernel("", "Relu", 2, 600) for _ in range(4)]
    events += [{"cat": "Session", "name": "model_run", "dur": 1}, {"cat": "Node", "name": "a_fence_before", "dur": 7}]
    rows = median_times(onnxruntime.read_node_times(events), 4)
    assert [(row.operator, row.node) for row in rows] == [("MatMul", "a"), ("MatMul", ""), ("Relu", "")]
    assert [row.ms for row in rows] == pytest.approx([0.15, 0.4, 0.6])   # of 100, 200 and 300 us the faster half
    assert [row.share for row in rows] == pytest.approx([0.15 / 1.15, 0.4 / 1.15, 0.6 / 1.15])


# milliseconds of a node over three runs, the first left out: the faster one's
CALLS = {
    "once_a_run": ([9, 3, 1], 1),
    "twice_a_run": ([9, 9, 1, 2, 3, 4], 3),
    "not_alike": ([1, 1, 1, 3], 2),   # as in a branch: the mean run
    "in_one_run": ([3], 1),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_runs_often_is_added_up_by_run(name):
    times, expected = CALLS[name]
    [row] = median_times({NodeKey("Add", "n"): times}, 3)
    assert row.ms == expected and row.share == 1


ORIGINAL = [
    WiredNode("Conv", "stem.Conv", ("x", "w", "b"), ("c",)), WiredNode("Relu", "stem.Relu", ("c",), ("r",)),
    WiredNode("Div", "act.Div", ("r", "k"), ("d",)), WiredNode("Erf", "act.Erf", ("d",), ("e",)),
    WiredNode("MatMul", "fc.MatMul", ("e", "v"), ("m",)), WiredNode("Add", "fc.Add", ("m", "u"), ("y",)),
]
# a node of the optimised graph: what it stands for
ONNXRUNTIME_NODES = {
    "same": (WiredNode("Erf", "act.Erf", ("d",), ("e",)), Origin(("e", "act.Erf"))),
    "by_output": (WiredNode("Gelu", "Gelu_token_3", ("r",), ("e",)), Origin(("e",))),
    "by_name": (WiredNode("Conv", "stem.Relu_nchwc", ("x", "reorder"), ("token_1",)), Origin(("stem.Relu",))),
    "fused_name": (WiredNode("Gemm", "fc.Add/MatMulAddFusion", ("e", "v", "u"), ("y",)), Origin(("y", "fc.Add"))),
    "layout_in": (WiredNode("ReorderInput", "ReorderInput", ("r",), ("token_2",)), Origin(("r",), True)),
    "added": (WiredNode("Transpose", "", ("e",), ("e_transposed",)), Origin(("e",), True)),
    "after_added": (WiredNode("Cast", "InsertedCast_2", ("e_transposed",), ("z",)), Origin(("e",), True)),
}


@pytest.mark.parametrize("name", ONNXRUNTIME_NODES)
def test_onnxruntime_nodes_stand_for_what_they_write_or_are_named_after(name):
    node, expected = ONNXRUNTIME_NODES[name]
    before = [ONNXRUNTIME_NODES["added"][0]] if name == "after_added" else []
    assert onnxruntime.trace_origins([*before, node], ORIGINAL)[node.name] == expected


def test_a_value_of_the_blocked_layout_is_known_by_its_change_back():
    conv = WiredNode("Conv", "anything", ("x", "reorder"), ("token_1",))
    back = WiredNode("ReorderOutput", "ReorderOutput", ("token_1",), ("r",))
    origins = onnxruntime.trace_origins([conv, back], ORIGINAL)
    assert origins == {"anything": Origin(("r",)), "ReorderOutput": Origin(("r",), True)}


# nodes of OpenVINO's compiled graph, the last of which is looked at: what it stands for
OPENVINO_NODES = {
    "fused": ([("c", ("stem.Conv", "stem.Relu", "Relu_8368"), ())], Origin(("stem.Conv", "stem.Relu"))),
    "without_bias": ([("c", ("stem.Conv/WithoutBiases", "stem.Conv"), ())], Origin(("stem.Conv",))),
    "serves": ([("t", ("fc.MatMul/transpose_b",), ())], Origin(("fc.MatMul",), True)),
    "reorder": ([("c", ("stem.Conv",), ()), ("reorder", (), ("c",))], Origin(("stem.Conv",), True)),
    "two_reorders": ([("c", ("stem.Conv",), ()), ("a", (), ("c",)), ("b", (), ("a",))], Origin(("stem.Conv",), True)),
    "of_an_input": ([("x", ("x",), ()), ("reorder", (), ("x",))], Origin(("x",), True)),
    "of_nothing": ([("k", ("Constant_7",), ()), ("reorder", (), ("k",))], Origin((), True)),
}


@pytest.mark.parametrize("name", OPENVINO_NODES)
def test_openvino_nodes_stand_for_their_originals_that_the_artifact_has(name):
    nodes, expected = OPENVINO_NODES[name]
    compiled = [openvino.CompiledNode(*node) for node in nodes]
    assert openvino.trace_origins(compiled, ORIGINAL)[compiled[-1].name] == expected


# MNN's kind and name of a node: what it stands for
MNN_NODES = {
    "plain": (NodeKey("UnaryOp", "act.Erf"), Origin(("act.Erf",))),
    "product": (NodeKey("Convolution", "fc.MatMul__matmul_converted"), Origin(("fc.MatMul",))),
    "copy": (NodeKey("Raster", "fc.MatMul__matmul_converted_raster_0"), Origin(("fc.MatMul",), True)),
    "sum": (NodeKey("Reduction", "ReduceSum_1_raster_1"), Origin(("ReduceSum_1",))),
}


@pytest.mark.parametrize("name", MNN_NODES)
def test_mnn_nodes_stand_for_the_value_that_they_are_named_after(name):
    key, expected = MNN_NODES[name]
    assert mnn.trace_origin(key) == expected


class Info:
    """A node as MNN's callbacks give it."""

    def __init__(self, kind, name):
        self.getType, self.getName = (lambda: kind), (lambda: name)


def test_mnn_nodes_take_the_time_between_the_calls_around_them():
    recorder = mnn.NodeRecorder(clock=iter([0.0, 0.002, 0.01, 0.013, 1.0, 1.004]).__next__)
    for info in (Info("ReLU", "a"), Info("Raster", "b"), Info("ReLU", "a")):
        assert recorder.begin([], info) and recorder.end([], info)   # False would end the run
    assert {key.node: times for key, times in recorder.durations.items()} == {
        "a": pytest.approx([2, 4]), "b": pytest.approx([3])}


MINDSPORE_LINES = """\
Default/MatMul-op1;HostCpuOps;300,0.5,0 400,0.7,0 500,0.6,0
Default/MatMul-op0;HostCpuOps;100,9,0 200,1,0 300,2,0
Expand/_SumExt/ReduceSum-op3;HostCpuOps;150,0.1,0 250,0.1,0 350,0.1,0
"""
# a node's name in MindSpore's profiler: the node of the file
MINDSPORE_NAMES = {
    "Default/MatMul-op12": "MatMul-op12", "Expand/_SumExt/ReduceSum-op3": "SumExt-op3", "Add-op0": "Add-op0"}


def test_mindspore_lines_become_rows_in_running_order():
    rows = median_times(mindspore.read_node_times(MINDSPORE_LINES.splitlines()), 3)
    assert [(row.operator, row.node) for row in rows] == [
        ("MatMul", "Default/MatMul-op0"), ("ReduceSum", "Expand/_SumExt/ReduceSum-op3"),
        ("MatMul", "Default/MatMul-op1")]
    assert [row.ms for row in rows] == pytest.approx([1.0, 0.1, 0.6])


@pytest.mark.parametrize("name", MINDSPORE_NAMES)
def test_mindspore_nodes_stand_for_the_numbered_node_of_the_file(name):
    assert mindspore.trace_origin(name) == Origin((MINDSPORE_NAMES[name],))


def test_wiring_is_what_the_onnx_package_reads(onnx_path):
    assert read_wiring(onnx_path) == [
        WiredNode("MatMul", "first", ("x", "w1"), ("h",)), WiredNode("Relu", "relu", ("h",), ("r",)),
        WiredNode("MatMul", "second", ("r", "w2"), ("y",))]


def test_a_product_is_measured_by_a_model_that_onnx_accepts():
    import onnx

    from msnoah.deploy.runtimes.product_model import write_product

    model = onnx.load_model_from_string(write_product(300))
    onnx.checker.check_model(model, full_check=True)
    assert np.array_equal(onnx.numpy_helper.to_array(model.graph.initializer[0]), np.ones((300, 300)))
    [output] = onnxruntime.open_product(32)()
    assert np.array_equal(output, np.full((32, 32), 32.0))
