"""Boxes: overlap, coding against anchors, and suppression."""

import math

import numpy as np
from onnx import TensorProto, helper

from msnoah.export.ops.table import Const, handles


def _corners(g, boxes, first: int):
    """(N, 4) -> the coordinates at first and after it, (N, 2)."""
    return g.op("Gather", boxes, np.array([first, first + 1]), axis=1)


def _product(g, sizes):
    """(..., 2) -> (...): width times height"""
    width, height = (g.op("Gather", sizes, np.array(index, np.int64), axis=len(sizes.shape) - 1) for index in (0, 1))
    return g.op("Mul", width, height)


def _overlap(g, rows, columns, inclusive: int):
    """Areas of (N, 4) and (M, 4) boxes and of their intersections (N, M); pixels count as 1 wide if inclusive."""
    extra = g.like(inclusive, rows)
    areas = [
        _product(g, g.op("Add", g.op("Sub", _corners(g, boxes, 2), _corners(g, boxes, 0)), extra))
        for boxes in (rows, columns)]
    column = g.ints(1)
    low = g.op("Max", g.op("Unsqueeze", _corners(g, rows, 0), column), _corners(g, columns, 0))
    high = g.op("Min", g.op("Unsqueeze", _corners(g, rows, 2), column), _corners(g, columns, 2))
    sizes = g.op("Add", g.op("Sub", high, low), extra)   # (N, M, 2)
    common = _product(g, g.op("Max", sizes, g.like(0, sizes)))
    return common, g.op("Unsqueeze", areas[0], column), areas[1]


@handles("IOU")
def overlap(g, anchors, truths, *, mode: Const = "iou"):
    """anchors (N, 4), truths (M, 4) -> (M, N): the common area over that of both, or over that of the truth (iof)."""
    common, truth_areas, anchor_areas = _overlap(g, truths, anchors, 1)
    if mode == "iof":
        return g.op("Div", common, truth_areas)
    return g.op("Div", common, g.op("Sub", g.op("Add", truth_areas, anchor_areas), common))


def _centre_and_size(g, boxes):
    low, high = _corners(g, boxes, 0), _corners(g, boxes, 2)
    size = g.op("Add", g.op("Sub", high, low), g.like(1, boxes))
    return g.op("Mul", g.op("Add", low, high), g.like(0.5, boxes)), size


@handles("BoundingBoxEncode")
def encode_boxes(g, anchors, truths, *, means: Const, stds: Const):
    """Shift of the centre over the anchor's size, and logarithm of the ratio of sizes, normalised."""
    (anchor_centre, anchor_size), (centre, size) = _centre_and_size(g, anchors), _centre_and_size(g, truths)
    shift = g.op("Div", g.op("Sub", centre, anchor_centre), anchor_size)
    code = g.op("Concat", shift, g.op("Log", g.op("Div", size, anchor_size)), axis=1)
    return g.op("Div", g.op("Sub", code, np.array(means, code.dtype)), np.array(stds, code.dtype))


@handles("BoundingBoxDecode")
def decode_boxes(
    g, anchors, codes, *, max_shape: Const, means: Const, stds: Const, wh_ratio_clip: Const = 0.016,
):
    """The inverse of the coding, cut off at the image (height, width)."""
    codes = g.op("Add", g.op("Mul", codes, np.array(stds, codes.dtype)), np.array(means, codes.dtype))
    limit = abs(math.log(wh_ratio_clip))
    ratio = g.op("Clip", _corners(g, codes, 2), g.like(-limit, codes), g.like(limit, codes))
    centre, size = _centre_and_size(g, anchors)
    centre = g.op("Add", centre, g.op("Mul", size, _corners(g, codes, 0)))
    reach = g.op("Sub", g.op("Mul", g.op("Mul", size, g.op("Exp", ratio)), g.like(0.5, codes)), g.like(0.5, codes))
    boxes = g.op("Concat", g.op("Sub", centre, reach), g.op("Add", centre, reach), axis=1)
    height, width, *_ = max_shape
    inside = g.op("Min", boxes, np.array([width, height] * 2, boxes.dtype))
    return g.op("Max", inside, g.like(0, boxes))


@handles("CheckValid")
def lie_inside(g, boxes, image):
    """boxes (N, 4), image (height, width, ratio) -> (N,): whether a box lies inside the image at that ratio."""
    ratio = g.op("Gather", image, np.array([2]), axis=0)
    size = g.op("Sub", g.op("Mul", g.op("Gather", image, np.array([1, 0]), axis=0), ratio), g.like(1, image))
    low = g.op("GreaterOrEqual", _corners(g, boxes, 0), g.like(0, boxes))
    high = g.op("LessOrEqual", _corners(g, boxes, 2), size)
    both = g.op("And", low, high)
    first, second = (g.op("Gather", both, np.array(index, np.int64), axis=1) for index in (0, 1))
    return g.op("And", first, second)


@handles("NMSWithMask")
def suppress(g, boxes, *, iou_threshold: Const):
    """boxes (N, 5) with scores -> them by falling score, their places in this order, and which of them stay: a box
    goes if it overlaps more than the threshold with one that comes before and stays."""
    count = boxes.shape[0]
    scores = g.op("Gather", boxes, np.array(4, np.int64), axis=1)
    _, order = g.op("TopK", scores, g.ints(count), outputs=2, axis=0)
    boxes = g.op("Gather", boxes, order, axis=0)
    common, row_areas, column_areas = _overlap(g, boxes, boxes, 0)
    ratio = g.op("Div", common, g.op("Sub", g.op("Add", row_areas, column_areas), common))
    later = np.triu(np.ones((count, count), bool), 1)
    rivals = g.op("And", g.op("Greater", ratio, g.like(iou_threshold, ratio)), later)
    stays = g.op(
        "Scan", np.ones(count, bool), rivals, np.arange(count), body=_suppression_step(count), num_scan_inputs=2)
    return boxes, np.arange(count, dtype=np.int32), stays


def _suppression_step(count: int):
    """stays, row i of the rivals, i -> stays without the rivals of box i, if box i itself stays."""
    nodes = [
        helper.make_node("Gather", ["stays", "index"], ["present"]),
        helper.make_node("And", ["rivals", "present"], ["gone"]),
        helper.make_node("Not", ["gone"], ["rest"]),
        helper.make_node("And", ["stays", "rest"], ["left"]),
    ]
    flags = [helper.make_tensor_value_info(name, TensorProto.BOOL, [count]) for name in ("stays", "rivals", "left")]
    index = helper.make_tensor_value_info("index", TensorProto.INT64, [])
    return helper.make_graph(nodes, "suppression", [*flags[:2], index], flags[2:])
