"""Features of regions, cut out of maps."""

import numpy as np
from onnx import TensorProto

from msnoah.errors import ConversionError
from msnoah.export.ops.arithmetic import cast
from msnoah.export.ops.table import Const, as_tuple, handles


@handles("ROIAlign")
def align_regions(
    g, x, regions,
    *, pooled_height: Const, pooled_width: Const, spatial_scale: Const, sample_num: Const = 2, roi_end_mode: Const = 1,
):
    """regions (N, 5): index of the image and corners. In roi_end_mode 1 the last pixel belongs to a region; in mode 0 it
    does not, and a region is made at least one pixel of the map wide and high."""
    if not sample_num:
        raise ConversionError(f"{g.place}: ROIAlign with sample_num 0; give the number of samples")
    image = g.op("Cast", g.op("Gather", regions, np.array(0, np.int64), axis=1), to=TensorProto.INT64)
    boxes = g.op("Gather", regions, np.arange(1, 5), axis=1)
    if roi_end_mode:   # half_pixel keeps small regions, but shifts them by half a pixel of the map
        boxes = g.op("Add", boxes, np.array([0, 0, 1, 1] + 0.5 / np.float64(spatial_scale), boxes.dtype))
    return g.op(
        "RoiAlign", x, boxes, image, output_height=pooled_height, output_width=pooled_width,
        spatial_scale=float(spatial_scale), sampling_ratio=sample_num,
        coordinate_transformation_mode="half_pixel" if roi_end_mode else "output_half_pixel")


@handles("CropAndResize")
def crop_and_resize(
    g, x, boxes, image, crop_size: Const, *, method: Const = "bilinear", extrapolation_value: Const = 0.0,
):
    """x (B, H, W, C), boxes (N, 4) as shares (y1, x1, y2, x2), image (N,) -> (N, *crop_size, C)"""
    if method not in ("bilinear", "nearest"):
        raise ConversionError(f"{g.place}: CropAndResize with method {method}; use bilinear or nearest")
    x = cast(g, x, np.dtype(np.float32))
    (batch, height, width, channels), (crop_height, crop_width) = x.shape, as_tuple(crop_size)
    flat = g.op("Reshape", x, g.ints(batch * height * width, channels))
    first = g.op("Mul", g.op("Cast", image, to=TensorProto.INT64), np.array(height * width))
    first = g.op("Reshape", first, g.ints(-1, 1, 1))
    rows = g.op("Unsqueeze", _positions(g, boxes, 0, height, crop_height), g.ints(2))    # (N, h, 1)
    columns = g.op("Unsqueeze", _positions(g, boxes, 1, width, crop_width), g.ints(1))   # (N, 1, w)
    if method == "nearest":
        y = _pick(g, flat, first, _nearest(g, rows, height), _nearest(g, columns, width), width)
    else:
        y = _pick_between(g, flat, first, rows, columns, height, width)
    inside = g.op("And", _is_inside(g, rows, height), _is_inside(g, columns, width))
    return g.op("Where", g.op("Unsqueeze", inside, g.ints(3)), y, g.like(extrapolation_value, y))


def _positions(g, boxes, axis: int, size: int, target: int):
    """(N, target): positions along an axis, from edge to edge of a box; its middle for one alone."""
    begin, end = (g.op("Gather", boxes, np.array([axis + place]), axis=1) for place in (0, 2))
    last = g.like(size - 1, boxes)
    if target == 1:
        return g.op("Mul", g.op("Mul", g.op("Add", begin, end), g.like(0.5, boxes)), last)
    step = g.op("Div", g.op("Mul", g.op("Sub", end, begin), last), g.like(target - 1, boxes))
    return g.op("Add", g.op("Mul", begin, last), g.op("Mul", step, np.arange(target, dtype=boxes.dtype)))


def _is_inside(g, positions, size: int):
    low = g.op("GreaterOrEqual", positions, g.like(0, positions))
    return g.op("And", low, g.op("LessOrEqual", positions, g.like(size - 1, positions)))


def _index(g, rounding: str, positions, size: int):
    index = g.op("Clip", g.op(rounding, positions), g.like(0, positions), g.like(size - 1, positions))
    return g.op("Cast", index, to=TensorProto.INT64)


def _nearest(g, positions, size: int):
    # ONNX's Round takes a half to the even side, MindSpore up.
    return _index(g, "Floor", g.op("Add", positions, g.like(0.5, positions)), size)


def _pick(g, flat, first, row, column, width: int):
    """(N, h, w, C): elements of the map by image, row and column."""
    place = g.op("Add", g.op("Add", g.op("Mul", row, np.array(width)), column), first)
    return g.op("Gather", flat, place, axis=0)


def _pick_between(g, flat, first, rows, columns, height: int, width: int):
    """Between the four elements around each position."""
    across, down = (
        g.op("Unsqueeze", g.op("Sub", positions, g.op("Floor", positions)), g.ints(3)) for positions in (columns, rows))
    lines = []
    for side in ("Floor", "Ceil"):
        row = _index(g, side, rows, height)
        ends = [_pick(g, flat, first, row, _index(g, end, columns, width), width) for end in ("Floor", "Ceil")]
        lines.append(_between(g, *ends, across))
    return _between(g, *lines, down)


def _between(g, start, end, share):
    return g.op("Add", start, g.op("Mul", g.op("Sub", end, start), share))
