"""Segmentation models as msnoah exports them, but of one layer: a pixel's class is that of the nearest colour."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = ["road", "sky", "tree"]
PALETTE = [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
MEAN, STD = [0.5, 0.4, 0.45], [0.25, 0.2, 0.3]
STRIDE = 8
PREPROCESSING = {
    "task": "segmentation", "size": 32, "view": {"mode": "whole"}, "palette": PALETTE, "channels": 3, "mean": MEAN,
    "std": STD, "scale": "1/255", "layout": "NCHW", "dtype": "float32", "color": "RGB", "interpolation": "bilinear",
    "embedded": False,
}


def write_segmenter(
    path, preprocessing=PREPROCESSING, classes=CLASSES, *, output="labels", pixels=False, colors=PALETTE,
):
    """2 c x - |c|^2 is largest for the nearest of the colours c: a convolution, then the argmax, or means of 8 x 8."""
    size = preprocessing["size"]
    mean, std = np.array(preprocessing.get("mean", MEAN)), np.array(preprocessing["std"])   # (C,)
    wanted = (np.array(colors) / 255 - mean) / std                                          # (K, C)
    constants = {"w": 2 * wanted[:, :, None, None], "b": -(wanted ** 2).sum(1),
                 "scale": 1 / (255 * std).reshape(-1, 1, 1), "shift": -(mean / std).reshape(-1, 1, 1)}
    nodes = [helper.make_node("Conv", ["x" if pixels else "image", "w", "b"], ["y"])]
    if pixels:
        nodes = [helper.make_node("Transpose", ["image"], ["turned"], perm=[0, 3, 1, 2]),
                 helper.make_node("Cast", ["turned"], ["float"], to=TensorProto.FLOAT),
                 helper.make_node("Mul", ["float", "scale"], ["scaled"]),
                 helper.make_node("Add", ["scaled", "shift"], ["x"]), *nodes]
    if output == "labels":
        nodes += [helper.make_node("ArgMax", ["y"], ["number"], axis=1, keepdims=0),
                  helper.make_node("Cast", ["number"], [output], to=TensorProto.UINT8)]
        answer = helper.make_tensor_value_info(output, TensorProto.UINT8, ["batch", size, size])
    else:
        nodes.append(helper.make_node("AveragePool", ["y"], [output], kernel_shape=[STRIDE] * 2, strides=[STRIDE] * 2))
        shape = ["batch", len(colors), size // STRIDE, size // STRIDE]
        answer = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
    shape = [size, size, len(mean)] if pixels else [len(mean), size, size]
    kind = TensorProto.UINT8 if pixels else TensorProto.FLOAT
    image = helper.make_tensor_value_info("image", kind, ["batch", *shape])
    tensors = [numpy_helper.from_array(np.asarray(values, np.float32), name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "nearest", [image], [answer], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    facts = {"classes": classes, "preprocessing": preprocessing, "verified": True}
    helper.set_model_props(model, {f"msnoah.{key}": json.dumps(value) for key, value in facts.items()})
    onnx.save(model, path)
    return path


def paint(labels, palette=PALETTE):
    """(H, W) labels as an image of their classes' colours, (H, W, 3) uint8."""
    return np.array(palette, np.uint8)[labels]


def blocks(height, width, side=16, seed=0):
    """(height, width) uint8 labels of random squares, cut at the right and below."""
    random = np.random.default_rng(seed)
    squares = random.integers(0, len(CLASSES), (-(-height // side), -(-width // side)), np.uint8)
    return np.kron(squares, np.ones((side, side), np.uint8))[:height, :width]
