"""A run folder with a small ONNX graph, and profiles with scripted latencies."""

import hashlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from msnoah.config import RunConfig
from msnoah.deploy.device import Device
from msnoah.deploy.profile import Profile
from msnoah.run_folder import RunFolder, write_json

CONFIG = {
    "model": {"name": "slab_deit_tiny"},
    "data": {"source": "digits", "image_size": 8, "channels": 1, "mean": [0.5], "std": [0.5]},
    "train": {"epochs": 3},
}


@pytest.fixture
def onnx_path(tmp_path):
    """x (batch, 16) float32 -> MatMul, Relu, MatMul -> y (batch, 4)."""
    weights = np.random.default_rng(0)
    first = numpy_helper.from_array(weights.standard_normal((16, 32)).astype(np.float32), "w1")
    second = numpy_helper.from_array(weights.standard_normal((32, 4)).astype(np.float32), "w2")
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], "first"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "w2"], ["y"], "second"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph(nodes, "small", [x], [y], [first, second])
    path = tmp_path / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def run(tmp_path):
    """A run folder that holds nothing but its config."""
    return RunFolder.create(tmp_path / "run", RunConfig.model_validate(CONFIG))


@pytest.fixture
def exported_run(run, onnx_path):
    """The same after an export that was verified, ONNX only."""
    run.onnx_path.write_bytes(onnx_path.read_bytes())
    write_json(run.export_path, export_record(run.onnx_path))
    return run


def export_record(path, passed=True, classes=("zero", "one")):
    """export.json of one ONNX artifact."""
    content = path.read_bytes()
    entry = {"file": path.name, "sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content), "opset": 17,
             "operators": {"MatMul": 2, "Relu": 1}}
    check = {"artifact": "onnx", "batch": 1, "output": "y", "max_abs": 1e-6, "max_rel": 2.5e-7, "passed": passed}
    return {
        "model": "slab_deit_tiny",
        "arguments": {},
        "checkpoint": "best.ckpt",
        "created": "2026-11-24T12:00:00+00:00",
        "commit": "0123456789abcdef",
        "versions": {"mindspore": "2.10.0"},
        "classes": list(classes),
        "preprocessing": {},
        "inputs": [{"name": "x", "shape": ["batch", 16], "dtype": "float32"}],
        "outputs": [{"name": "y", "shape": ["batch", 4], "dtype": "float32"}],
        "parameters": {"trained": 700, "fused": 640},
        "artifacts": {"onnx": entry},
        "verification": {"tolerance": 1e-5, "inputs": "random", "passed": passed, "checks": [check]},
    }


@pytest.fixture
def make_profile():
    """A function that makes a profile of given latencies; every other field can be replaced."""
    return build_profile


@pytest.fixture
def make_device():
    """A function that makes a device; every field can be replaced."""
    return build_device


@pytest.fixture
def make_export_record():
    """A function that makes export.json of an ONNX file."""
    return export_record


def build_profile(wall_ms=(1.0,) * 20, cpu_ms=None, **changes):
    """A profile of a quiet machine."""
    fields = {
        "model": "slab_deit_tiny",
        "artifact": "model.onnx",
        "sha256": "ab" * 32,
        "size_bytes": 2_500_000,
        "verified": True,
        "max_rel": 2.5e-7,
        "runtime": "onnxruntime",
        "version": "1.32.0",
        "precision": "float32",
        "threads": 1,
        "thread_control": "intra-op threads of the session",
        "batch_size": 1,
        "inputs": [{"name": "x", "shape": [None, 16], "dtype": "float32"}],
        "device": build_device(),
        "warmup": 5,
        "wall_ms": list(wall_ms),
        "cpu_ms": list(cpu_ms or wall_ms),
        "peak_memory_mb": 80.5,
        "load_ms": 12.0,
        "first_run_ms": 4.0,
        "operators": [{"operator": "MatMul", "count": 2, "ms": 0.8, "share": 1.0}],
        "parity": {"against": "mindspore", "max_rel": 3e-7},
        "notes": [],
        "msnoah": "0.1.0",
        "commit": None,
        "started": "2026-11-24T12:00:00+00:00",
    }
    return Profile.model_validate({**fields, **changes})


def build_device(**changes):
    """A quiet machine of four cores."""
    fields = {"chip": "Test chip", "architecture": "x86_64", "system": "Linux 6", "cores": 4, "governor": "performance",
              "frequency_mhz": 3000.0, "load_average": 0.1, "memory_mb": 8000.0, "temperature_c": None}
    return Device(**{**fields, **changes})
