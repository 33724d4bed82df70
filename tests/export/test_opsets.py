"""Operator sets from the oldest to the newest: respelled, written out, or refused with the set that can."""

import re
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from pass_case import build, normal, run
from primitive_case import export
from write_catalog import find_cases

from msnoah.errors import ConversionError
from msnoah.export.converter import find_operators, mindir_to_onnx
from msnoah.export.opsets import NEWEST_OPSET, OLDEST_OPSET

OPSETS = range(OLDEST_OPSET, NEWEST_OPSET + 1)
SAMPLE = ("Conv2D", "LayerNorm", "GeLU", "HSwish", "SumExt", "GroupNorm", "ReduceMean", "Split", "FloorDiv", "Muls")
"""Primitives whose operators are spelled or written otherwise in some set."""


def test_the_newest_is_what_onnx_has_and_onnx_runtime_takes():
    assert onnx.defs.onnx_opset_version() == NEWEST_OPSET


@pytest.mark.parametrize("opset", [OLDEST_OPSET - 1, NEWEST_OPSET + 1])
def test_other_sets_are_refused(opset):
    with pytest.raises(ConversionError, match=f"opset {opset} is not known; use {OLDEST_OPSET} to {NEWEST_OPSET}"):
        mindir_to_onnx(b"", opset=opset)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """MindIR file and inputs of the first row of each primitive."""
    rows = {}
    for case in find_cases(["activation", "arithmetic", "convolution", "normalization", "reduction", "shape"]):
        for name in set(case.primitives.split()) & set(SAMPLE) - rows.keys():
            path = tmp_path_factory.mktemp(name) / "net.mindir"
            export(case, path)
            rows[name] = path, case.inputs
    return rows


@pytest.mark.parametrize("primitive", SAMPLE)
def test_a_primitive_means_the_same_in_every_set(primitive, sample):
    path, inputs = sample[primitive]
    reference = None
    for opset in OPSETS:
        model = mindir_to_onnx(path, opset=opset)
        assert model.opset_import[0].version == opset
        session = onnxruntime.InferenceSession(model.SerializeToString())
        outputs = session.run(None, dict(zip([info.name for info in session.get_inputs()], inputs, strict=True)))
        reference = outputs if reference is None else reference
        for output, expected in zip(outputs, reference, strict=True):
            np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


# --- the builder

GAMMA, BETA = normal(4), normal(4)


def both(g, x):
    """Axes as an attribute and as an input."""
    return g.op("ReduceMean", x, axes=[1], keepdims=1), g.op("ReduceMax", x, g.ints(1), keepdims=0)


def triangle(upper: int, k: int):
    return lambda g, x: g.op("Trilu", x, np.array(k, np.int64), upper=upper)


def gelu(**attributes):
    return lambda g, x: g.op("Gelu", x, **attributes)


def layer_norm(g, x):
    return g.op("LayerNormalization", x, GAMMA, BETA, axis=-1, epsilon=1e-3)


def group_norm(g, x):
    return g.op("GroupNormalization", g.op("Reshape", x, g.ints(2, 4, 3)), GAMMA, BETA, num_groups=2)


def rms_norm(g, x):
    return g.op("RMSNormalization", x, GAMMA, axis=-1)


def narrow_integers(g, x):
    small = g.op("Cast", g.op("Mul", x, np.float32(50)), to=int(onnx.TensorProto.INT8))
    total = g.op("Relu", g.op("Add", g.op("Mul", small, np.int8([3])), small))      # Wraps around.
    return g.op("Cast", total, to=int(onnx.TensorProto.FLOAT))


def padded_axis(g, x):
    return g.op("Pad", x, g.ints(1, 2), np.float32(7), g.ints(1))


def halves(g, x):
    return g.op("Split", x, outputs=2, axis=2, num_outputs=2)


def like(g, x):
    return g.op("CastLike", g.op("Greater", x, np.float32(0)), x)


def sampled(mode: str):
    grid = np.random.default_rng(1).uniform(-1, 1, (2, 3, 3, 2)).astype(np.float32)
    return lambda g, x: g.op("GridSample", g.op("Reshape", x, g.ints(2, 1, 3, 4)), grid, mode=mode)


@pytest.mark.parametrize("network", [
    both, triangle(1, 0), triangle(0, -1), triangle(1, 2), gelu(), gelu(approximate="tanh"), layer_norm, group_norm,
    rms_norm, narrow_integers, padded_axis, halves, like, sampled("bilinear"), sampled("cubic"),
    lambda g, x: g.op("Mish", x), lambda g, x: g.op("HardSwish", x),
], ids=lambda network: network.__name__)
def test_an_operator_means_the_same_in_every_set(network):
    """From the first set that has it, where it cannot be written out."""
    x = np.random.default_rng(2).normal(size=(2, 3, 4)).astype(np.float32)
    results = []
    for opset in OPSETS:
        try:
            model = build(network, 2, 3, 4, opset=opset).graph.to_model()
        except ConversionError as error:
            assert not results and "opset 16" in str(error)
            continue
        onnx.checker.check_model(model, full_check=True)
        assert model.ir_version == onnx.helper.find_min_ir_version_for(model.opset_import)
        if opset in (16, 17, OLDEST_OPSET, 20, NEWEST_OPSET):
            results.append(run(model, x))
    for other in results[1:]:
        for first, later in zip(results[0], other, strict=True):
            np.testing.assert_allclose(later, first, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("network,opset,message", [
    (lambda g, x: g.op("GridSample", x, x), 15, "GridSample is not in opset 15; it came with opset 16"),
    (lambda g, x: g.op("BitwiseNot", x), 17, "BitwiseNot is not in opset 17; it came with opset 18"),
    (lambda g, x: g.op("Pad", x, g.ints(*[1] * 6), mode="wrap"), 18, "mode 'wrap' needs opset 19"),
    (lambda g, x: g.op("ScatterElements", x, g.ints(0).reshape(1, 1, 1), x, reduction="add"), 15,
     "ScatterElements has no reduction in opset 15; it came with opset 16"),
    (lambda g, x: g.op("ScatterElements", x, g.ints(0).reshape(1, 1, 1), x, reduction="max"), 17, "needs opset 18"),
    (lambda g, x: g.op("Reshape", x, g.ints(0, 1), allowzero=1), 13, "Reshape has no allowzero in opset 13"),
    (lambda g, x: g.op("AveragePool", x, kernel_shape=[2], dilations=[2]), 18,
     "AveragePool has no dilations in opset 18; it came with opset 19"),
    (lambda g, x: g.op("Bernouli", x), 17, "Bernouli is not in opset 17; no opset has it"),
    (lambda g, x: g.op("IsInf", g.op("Cast", x, to=int(onnx.TensorProto.FLOAT16))), 19, "opset 20 has it"),
])
def test_what_a_set_cannot_express_names_the_set_that_can(network, opset, message):
    with pytest.raises(ConversionError, match=re.escape(message)):
        build(network, 2, 3, 4, opset=opset)


@pytest.mark.parametrize("opset", OPSETS)
def test_attributes_with_their_defaults_are_left_out_where_they_are_unknown(opset):
    def network(g, x):
        pooled = g.op("AveragePool", x, kernel_shape=[2], dilations=[1])
        part = g.op("Slice", x, g.ints(0, 0, 0), g.ints(1, 1, 1))
        updated = g.op("ScatterElements", x, g.ints(1).reshape(1, 1, 1), part, reduction="none")
        return pooled, g.op("Reshape", updated, g.ints(6, 4), allowzero=0)
    onnx.checker.check_model(build(network, 2, 3, 4, opset=opset).graph.to_model(), full_check=True)


def test_optional_inputs_at_the_end_leave_no_empty_names():
    g = build(lambda g, x: g.op("Conv", x, normal(4, 3, 1), None), 2, 3, 4)
    assert len(g.graph.operators[0].inputs) == 2


@pytest.mark.slow
def test_every_row_converts_in_every_set_or_names_one_that_can(tmp_path):
    """Prints what a set cannot express."""
    refused = Counter()
    for index, case in enumerate(find_cases([])):
        path = tmp_path / f"{index}.mindir"
        export(case, path)
        for opset in OPSETS:
            try:
                find_operators(path, opset=opset)
            except ConversionError as error:
                named = [int(number) for number in re.findall(r"opset (\d+)", str(error))]
                assert named and max(named) > opset, f"{case} at opset {opset}: {error}"
                refused[case.primitives, max(named)] += 1
    for (primitives, opset), _ in sorted(refused.items()):
        print(f"{primitives} needs opset {opset}")
    assert all(opset <= 20 for _, opset in refused)     # 3-D GridSample is the latest
