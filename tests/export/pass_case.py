"""One row of the pass tests: a small network is built, cleaned up, and run before and after without optimisations."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnxruntime

from msnoah.export.builder import Builder
from msnoah.export.graph import TensorType
from msnoah.export.passes import run_passes

RNG = np.random.default_rng(0)
TOLERANCE = 1e-6
"""Relative to the largest output."""


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def positive(*shape: int) -> np.ndarray:
    return RNG.uniform(0.5, 2, size=shape).astype(np.float32)


def build(network: Callable, *shape: int, opset: int = 17) -> Builder:
    """A network of one input; its results become y0, y1, ..."""
    g = Builder(opset)
    results = network(g, g.graph.add_input("x", TensorType(np.dtype(np.float32), shape)))
    for index, result in enumerate(results if isinstance(results, tuple) else (results,)):
        g.add_output(f"y{index}", result)
    return g


def run(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})


def after(network: Callable, passes: Sequence[str] | None, *shape: int, opset: int = 17) -> Counter:
    """Operator counts after passes (Identity of outputs left out); asserts that the outputs stay and that a second run
    finds nothing."""
    g = build(network, *shape, opset=opset)
    before, x = g.graph.to_model(), normal(*shape)
    run_passes(g.graph, passes)
    model = g.graph.to_model()
    onnx.checker.check_model(model, full_check=True)
    run_passes(g.graph, passes)
    assert g.graph.to_model().SerializeToString() == model.SerializeToString(), "a second run changes more"
    for old, new in zip(run(before, x), run(model, x), strict=True):
        assert old.shape == new.shape and old.dtype == new.dtype
        assert np.abs(new.astype(np.float64) - old).max() <= TOLERANCE * np.abs(old.astype(np.float64)).max()
    return Counter(operator.op_type for operator in g.graph.operators if operator.op_type != "Identity")
