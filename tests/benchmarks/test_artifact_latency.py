"""Latency of exported artifacts in ONNX Runtime: fused, not fused, and the same network with LayerNorm.

    python -m pytest tests/benchmarks -m slow -s

CPU time of one thread at 224x224 and batch 1, in one process, in rounds that take turns. The share of the GEMM peak is
the rate of multiply-accumulates of a model over that of plain products of its own sizes, (N, C)(C, 4C)(4C, C) with
constant matrices and nothing else, in the same rounds. It is given for the multiplications of the network as published
and for those that the artifact does: an artifact leaves out what no output needs (the last block's rows other than the
class token's, a last layer before a mean), which makes it faster without raising its rate.
"""

import statistics
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import pytest
from mindspore import Tensor
from onnx import helper, numpy_helper

from msnoah.deploy.interleaving import ROUND, interleave
from msnoah.deploy.measurement import Samples, time_runs
from msnoah.export.exporter import export_onnx
from msnoah.nn.fusing import fuse
from msnoah.registry import create_model

DEIT_PRODUCTS = [(196, 192, 12)]
SWIN_PRODUCTS = [(3136, 96, 2), (784, 192, 2), (196, 384, 6), (49, 768, 2)]
# Model, multiply-accumulates of one image as published, (tokens, channels, pairs of products) of the peak.
MODELS = [
    ("deit_t_prepbn", 1.254e9, DEIT_PRODUCTS),
    ("slab_deit_t", 1.139e9, DEIT_PRODUCTS),
    ("swin_t_prepbn", 4.491e9, SWIN_PRODUCTS),
    ("slab_swin_t", 4.483e9, SWIN_PRODUCTS),
]
REPEATS = 60
TOLERANCE = 1e-5
"""Relative to the largest logit: float32 sums in another order."""
NOISE = 1.02
"""Folding takes norms away; what is left of a difference on a shared machine."""


@dataclass
class InProcess:
    """A session whose runs take turns with those of others in this process."""

    session: onnxruntime.InferenceSession
    feeds: dict[str, np.ndarray]

    def measure(self, repeats: int) -> Samples:
        self.run()
        return time_runs(self.run, repeats)

    def run(self) -> list[np.ndarray]:
        return self.session.run(None, self.feeds)


def open_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3   # errors only
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def create(name: str, **kwargs):
    """A model whose statistics, scales and biases are all in use."""
    model, generator = create_model(name, **kwargs), np.random.default_rng(0)
    for parameter in model.get_parameters():
        kind, shape = parameter.name.rpartition(".")[2], parameter.shape
        if kind in ("moving_variance", "gamma"):
            values = generator.uniform(0.5, 1.5, shape)
        elif kind in ("moving_mean", "beta", "bias", "positional_encoding"):
            values = generator.normal(0, 0.1, shape)
        else:
            continue
        parameter.set_data(Tensor(values.astype(np.float32)))
    return model


def peak(products: list[tuple[int, int, int]]) -> tuple[InProcess, int]:
    """Products alone, and how many multiply-accumulates they are."""
    generator, nodes, constants, feeds, macs = np.random.default_rng(0), [], [], {}, 0
    for stage, (count, width, pairs) in enumerate(products):
        value = f"x{stage}"
        feeds[value] = generator.standard_normal((count, width), np.float32)
        for step, shape in enumerate([(width, 4 * width), (4 * width, width)] * pairs):
            matrix, result = f"w{stage}_{step}", f"y{stage}_{step}"
            values = generator.standard_normal(shape, np.float32) / np.float32(shape[0] ** 0.5)
            constants.append(numpy_helper.from_array(values, matrix))
            nodes.append(helper.make_node("MatMul", [value, matrix], [result]))
            value, macs = result, macs + count * shape[0] * shape[1]
        nodes.append(helper.make_node("ReduceSum", [value], [f"sum{stage}"], keepdims=0))
    inputs = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, x.shape) for name, x in feeds.items()]
    outputs = [helper.make_tensor_value_info(f"sum{x[1:]}", onnx.TensorProto.FLOAT, []) for x in feeds]
    graph = helper.make_graph(nodes, "peak", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return InProcess(open_session(model), feeds), macs


def count_macs(model: onnx.ModelProto) -> int:
    """Multiply-accumulates of all products and convolutions at batch 1."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    infos = (*graph.input, *graph.value_info, *graph.output)
    shapes = {info.name: [dim.dim_value or 1 for dim in info.type.tensor_type.shape.dim] for info in infos}
    shapes.update((tensor.name, list(tensor.dims)) for tensor in graph.initializer)
    total = 0
    for node in graph.node:
        if node.op_type == "MatMul":
            total += np.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
        elif node.op_type == "Conv":
            total += np.prod(shapes[node.output[0]]) * np.prod(shapes[node.input[1]][1:])
    return int(total)


def by_round(samples: Samples) -> np.ndarray:
    """Median CPU milliseconds of each round."""
    return np.median(np.reshape(samples.cpu_ms, (-1, ROUND)), axis=1)


def report(name: str, times: dict[str, np.ndarray], macs: dict[str, tuple[float, float]], rates: np.ndarray) -> None:
    print(f"\n{name}: products alone {statistics.median(rates) / 1e9:.1f} G multiply-accumulates/s")
    print(f"{'':12}{'ms':>9}{'to LayerNorm':>14}{'share, published':>18}{'share, done':>13}")
    for artifact, ms in times.items():
        ratio = np.median(ms / times["layer_norm"])
        published, done = (np.median(count / (ms / 1e3) / rates) for count in macs[artifact])
        print(f"{artifact:12}{np.median(ms):9.2f}{ratio:14.3f}{published:18.1%}{done:13.1%}")


@pytest.mark.slow
@pytest.mark.parametrize("name,published,products", MODELS, ids=[row[0] for row in MODELS])
def test_fused_artifacts_are_fastest(name, published, products):
    model = create(name)
    image = np.random.default_rng(1).standard_normal((1, 3, 224, 224), np.float32)
    cells = {"fused": fuse(model), "unfused": model, "layer_norm": fuse(create(name, norm="layer_norm"))}
    artifacts = {key: export_onnx(cell, image, input_names=["image"]) for key, cell in cells.items()}
    candidates = [InProcess(open_session(artifact), {"image": image}) for artifact in artifacts.values()]
    (fused,), (unfused,) = candidates[0].run(), candidates[1].run()
    assert np.abs(fused - unfused).max() <= TOLERANCE * np.abs(unfused).max()
    reference, reference_macs = peak(products)
    *samples, reference_samples = interleave([*candidates, reference], warmup=2, repeats=REPEATS)
    times = dict(zip(artifacts, map(by_round, samples), strict=True))
    macs = {key: (published, count_macs(artifact)) for key, artifact in artifacts.items()}
    report(name, times, macs, reference_macs / (by_round(reference_samples) / 1e3))
    assert np.median(times["fused"] / times["unfused"]) <= NOISE
