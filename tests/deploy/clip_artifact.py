"""Classifiers of clips and images as msnoah exports them, but of one random layer; and films for them."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from msnoah.deploy.film import FilmWriter

CLASSES = ["static", "pan", "zoom"]
COLORS = {"mean": [0.45, 0.4, 0.5], "std": [0.2, 0.25, 0.3], "scale": "1/255", "color": "RGB", "dtype": "float32"}
CLIP = {**COLORS, "frames": 4, "interval": 3, "short_side": 18, "size": 16, "layout": "NCTHW",
        "interpolation": "bilinear"}   # spans 10 frames
IMAGE = {**COLORS, "image_size": 16, "channels": 3, "layout": "NCHW", "interpolation": "bicubic",
         "crop_fraction": 0.875, "embedded": False}


def write_artifact(path, preprocessing=CLIP, classes=CLASSES, shape=None, pixels=False, verified=True):
    """Flatten and MatMul: every pixel of every frame counts for itself. With `pixels` it takes uint8."""
    size = preprocessing.get("size", preprocessing.get("image_size"))
    frames = [preprocessing["frames"]] if "frames" in preprocessing else []
    shape = shape or ([*frames, size, size, 3] if pixels else [3, *frames, size, size])
    random = np.random.default_rng(0)
    weights = random.standard_normal((int(np.prod(shape)), len(classes))).astype(np.float32) / 20
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["float"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.UINT8 if pixels else TensorProto.FLOAT, ["batch", *shape])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", len(classes)])
    graph = helper.make_graph(nodes, "flat", [x], [y], [numpy_helper.from_array(weights, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    facts = {"classes": classes, "preprocessing": preprocessing, "verified": verified}
    helper.set_model_props(model, {f"msnoah.{key}": json.dumps(value) for key, value in facts.items()})
    onnx.save(model, path)
    return path


def write_film(path, frames, height=36, width=48, frames_per_s=25.0):
    """A film of smooth noise that moves, so that no two frames are alike and compression leaves them so."""
    random = np.random.default_rng(1)
    blocks = random.integers(0, 256, (height // 6 + 2, (width + frames) // 6 + 2, 3), np.uint8)
    ground = np.kron(blocks, np.ones((6, 6, 1), np.uint8))
    with FilmWriter(path, frames_per_s) as film:
        for number in range(frames):
            film.write(ground[number % 6:number % 6 + height, number:number + width], number / frames_per_s)
    return path
