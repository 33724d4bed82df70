"""Latency of int8 and float16 forms of full-size models in ONNX Runtime, beside float32.

    python -m pytest tests/benchmarks/test_quantized_latency.py -m slow -s

CPU time of one thread at batch 1, in one process, in rounds that take turns. Weights are random and ranges come from
two random inputs, so these are figures of speed alone: SQNR is the energy of the logits over that of the difference,
and says nothing of accuracy. On an x86 processor with VNNI; without it int8 gains less.
"""

import numpy as np
import onnx
import pytest
from test_artifact_latency import InProcess, by_round, create, open_session

from msnoah.deploy.interleaving import interleave
from msnoah.export import export_onnx
from msnoah.export.activation_ranges import find_peaks, find_ranges
from msnoah.export.half_precision import use_half_precision
from msnoah.export.model_edits import prepare
from msnoah.export.quantization import list_products, list_values, quantize_nodes
from msnoah.nn.fusing import fuse

REPEATS = 60
MODELS = [
    ("slab_deit_t", (1, 3, 224, 224), {}, 0.6),
    ("squeezetime_r50", (1, 3, 16, 224, 224), {"num_classes": 400}, 0.5),
]
"""Model, input, arguments, and the largest share of float's time that int8 may take."""


@pytest.mark.slow
@pytest.mark.parametrize("name, shape, arguments, largest", MODELS)
def test_int8_is_faster(name, shape, arguments, largest):
    inputs = [np.random.default_rng(seed).standard_normal(shape, np.float32) for seed in range(2)]
    fused = fuse(create(name, **arguments))
    model = prepare(export_onnx(fused, inputs[0], input_names=["input"], output_names=["logits"]))
    forms = {"float32": model, "int8": as_int8(model, inputs), "float16": as_float16(model, inputs)}
    candidates = {form: InProcess(open_session(one), {"input": inputs[0]}) for form, one in forms.items()}
    reference = candidates["float32"].run()[0]
    samples = interleave(list(candidates.values()), warmup=2, repeats=REPEATS)
    times = dict(zip(candidates, map(by_round, samples), strict=True))
    print(f"\n{name}, CPU time of one thread: {'ms':>8}{'to float':>10}{'MB':>8}{'SQNR dB':>9}")
    for form, ms in times.items():
        noise = np.square(candidates[form].run()[0] - reference).sum() / np.square(reference).sum()
        decibels = f"{-10 * np.log10(noise):9.1f}" if noise else f"{'same':>9}"
        size = forms[form].ByteSize() / 1e6
        print(f"  {form:25}{np.median(ms):12.2f}{np.median(ms / times['float32']):10.3f}{size:8.2f}{decibels}")
    assert np.median(times["int8"] / times["float32"]) < largest


def as_int8(model, inputs):
    nodes = [node.name for node in list_products(model)]
    return quantize_nodes(model, find_ranges(model, list_values(model, nodes), lambda: inputs), nodes)


def as_float16(model, inputs):
    inner = {name for node in model.graph.node for name in node.output}
    infos = [info for info in model.graph.value_info if info.name in inner]
    floats = [info.name for info in infos if info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    return use_half_precision(model, find_peaks(model, floats, lambda: inputs))[0]
