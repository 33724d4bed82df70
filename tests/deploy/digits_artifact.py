"""A classifier of handwritten digits that is right: a random convolution, then least squares on what it gives."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from msnoah.data.sources import open_source
from msnoah.data.views import open_views

MEAN, STD = [0.3], [0.4]
DATA = {"source": "digits", "image_size": 8, "channels": 1, "mean": MEAN, "std": STD, "crop_fraction": 1.0}
PREPROCESSING = {
    "image_size": 8, "channels": 1, "mean": MEAN, "std": STD, "scale": "1/255", "layout": "NCHW", "dtype": "float32",
    "color": "grey", "interpolation": "bicubic", "crop_fraction": 1.0, "embedded": False,
}
CHANNELS = 8
GIANT = 2000.0


def write_digits_artifact(path, data, *, giant=GIANT):
    """stem.Conv, Relu, mixer.MatMul, and head.MatMul, one of whose inputs is `giant` times too large and its weights so
    many times too small: to float that is all the same, but 8 bits have no steps left for the other inputs."""
    random = np.random.default_rng(0)
    constants = {"stem.weight": random.standard_normal((CHANNELS, 1, 3, 3)).astype(np.float32),
                 "mixer.weight": np.linalg.qr(random.standard_normal((128, 128)))[0].astype(np.float32),
                 "size": np.array([-1, 128], np.int64)}
    scale = np.ones(128, np.float32)
    scale[7] = giant
    constants["scale"] = scale
    make = helper.make_node
    nodes = [
        make("Conv", ["image", "stem.weight"], ["stem"], "stem.Conv", strides=[2, 2], pads=[1, 1, 1, 1]),
        make("Relu", ["stem"], ["relu"], "stem.Relu"), make("Reshape", ["relu", "size"], ["flat"], "Reshape"),
        make("MatMul", ["flat", "mixer.weight"], ["mixed"], "mixer.MatMul"),
        make("Abs", ["mixed"], ["abs"], "Abs"), make("Mul", ["abs", "scale"], ["scaled"], "Mul"),
    ]
    features = _run(nodes, constants, "scaled", data) / scale
    labels = np.eye(10)[open_source(data, "train").labels]
    weights = np.linalg.solve(features.T @ features + 0.3 * np.eye(128), features.T @ (labels - 0.1))
    constants["head.weight"] = (weights / scale[:, None]).astype(np.float32)
    nodes.append(make("MatMul", ["scaled", "head.weight"], ["logits"], "head.MatMul"))
    onnx.save(_model(nodes, constants, "logits", 10), path)
    return path


def _run(nodes, constants, output, data):
    """What comes out for the train split, (N, 128) float64."""
    from msnoah.data.preprocessing import normalise
    from msnoah.export.verification import run_onnx

    source = open_source(data, "train")
    views = open_views(source, data, "val")
    pixels = np.concatenate([views.evaluation(index) for index in range(len(source))])
    return run_onnx(_model(nodes, constants, output, 128))([normalise(pixels, data)])[0].astype(np.float64)


def _model(nodes, constants, output, size):
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", size])
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "digits", [image], [result], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    facts = {"classes": [str(digit) for digit in range(10)], "preprocessing": PREPROCESSING, "verified": True}
    helper.set_model_props(model, {f"msnoah.{key}": json.dumps(value) for key, value in facts.items()})
    return model
