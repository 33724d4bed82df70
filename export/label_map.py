"""From logits at a stride to the class of every pixel, inside an ONNX graph.

The label of a pixel is the class whose logit is largest after a bilinear resize (half-pixel centres, edges repeated).
Four neighbouring places are the corners of a cell of S x S pixels, and a resized logit is a mean of the four, weighed
alike in every cell:

    y_k(p) = sum over corners c of w(p, c) x_k(c),  w >= 0,  sum over c of w(p, c) = 1.

So min_c x_k(c) <= y_k(p) <= max_c x_k(c), and a class whose largest corner is below another's smallest wins nowhere in
the cell. Two poolings and a maximum find the classes that are left, its candidates: one in the midst of an object, some
dozens where nothing is certain. They alone are resized, in groups of cells that have about as many of them, so that no
tensor is larger than one row of cells: never K classes at full size, which is what makes Resize and ArgMax slow. The
labels are those of resizing everything, ties included (the lowest class wins), but for classes that rounding parts.
"""

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper, parser

from msnoah.errors import ConversionError

LABELS = "labels"

_PREFIX = "label_map/"
_AXES_AS_INPUT = 18  # the operator set since which ReduceMax's axes are an input

# K classes of h x w places in each of B images; N = (h + 1)(w + 1) cells an image, those at the edges half outside; a
# group is G = w + 1 cells, M groups have cells that are uncertain; C candidates in all, L of a group's first cell.
_LABEL_MAP = """
label_map (float[batch, %(K)d, %(h)d, %(w)d] logits) => (%(dtype)s[batch, %(H)d, %(W)d] labels)
<
    int64 zero = {0}, int64 one = {1}, int64[1] start = {0}, int64[1] axis_1 = {1}, int64[2] axes_1_2 = {1, 2},
    int64 class_count = {%(K)d}, int64 image_places = {%(image_places)d}, int64 group_size = {%(G)d},
    int64 group_rest = {%(group_rest)d}, int64[1] flat = {-1}, int64[2] by_cell = {-1, %(K)d},
    int64[3] by_image = {-1, 1, 1}, int64[2] by_place = {-1, 4}, int64[2] by_group = {-1, %(G)d},
    int64[2] by_group_one = {%(G)d, -1}, int64[3] by_group_column = {-1, %(G)d, 1},
    int64[3] by_group_place = {-1, %(G)d, 4}, int64[3] by_group_cell = {%(G)d, -1, %(S2)d},
    int64[3] corner_count = {4, 1, 1}, int64[2] by_corner = {4, -1}, int64[2] by_pixel = {-1, %(S2)d},
    int64[1] pixels = {%(S2)d}, int64[5] tiles = {-1, %(h1)d, %(w1)d, %(S)d, %(S)d},
    int64[3] rows = {-1, %(H1)d, %(W1)d}, int64[2] first = {%(margin)d, %(margin)d},
    int64[2] end = {%(bottom)d, %(right)d}
>
{
    upper = MaxPool<kernel_shape = [2, 2], pads = [1, 1, 1, 1]>(logits)         # (B, K, h + 1, w + 1)
    negated = Neg(logits)
    fallen = MaxPool<kernel_shape = [2, 2], pads = [1, 1, 1, 1]>(negated)
    lower = Neg(fallen)
    bound = %(largest)s
    loses = Less(upper, bound)
    stays = Not(loses)
    candidates = Transpose<perm = [0, 2, 3, 1]>(stays)                          # (B, h + 1, w + 1, K)
    candidates_flat = Reshape(candidates, flat)
    positions = NonZero(candidates_flat)
    positions_flat = Reshape(positions, flat)
    classes_found = Mod(positions_flat, class_count)                            # (C), of one cell after another
    classes = Concat<axis = 0>(classes_found, start)                            # for cells of nothing but NaN
    last = Shape(classes_found)

    candidates_by_cell = Reshape(candidates, by_cell)
    ones = Cast<to = 6>(candidates_by_cell)
    counts_int32 = ReduceSum<keepdims = 0>(ones, axis_1)
    counts = Cast<to = 7>(counts_int32)                                         # (B N)
    begins = CumSum<exclusive = 1>(counts, zero)
    cell_count = Shape(counts)
    counts_sorted, order = TopK<axis = 0>(counts, cell_count)                   # most candidates first
    uncertain = Greater(counts_sorted, one)
    uncertain_ones = Cast<to = 7>(uncertain)
    uncertain_count = ReduceSum<keepdims = 0>(uncertain_ones)
    uncertain_padded = Add(uncertain_count, group_rest)
    uncertain_groups = Div(uncertain_padded, group_size)
    groups = Max(uncertain_groups, one)
    groups_1 = Reshape(groups, flat)

    batch_1 = Shape<start = 0, end = 1>(logits)
    batch_0 = Squeeze(batch_1)
    images = Range(zero, batch_0, one)
    images_at = Mul(images, image_places)
    images_column = Reshape(images_at, by_image)
    places = Add(corners, images_column)                                        # (B, N, 4)
    places_by_cell = Reshape(places, by_place)
    places_sorted = Gather(places_by_cell, order)
    places_grouped = Reshape(places_sorted, by_group_place)
    places_scanned = Slice(places_grouped, start, groups_1)                     # (M, G, 4)
    begins_sorted = Gather(begins, order)
    begins_grouped = Reshape(begins_sorted, by_group_column)
    begins_scanned = Slice(begins_grouped, start, groups_1)                     # (M, G, 1)
    counts_grouped = Reshape(counts_sorted, by_group)
    counts_first = Gather<axis = 1>(counts_grouped, zero)
    counts_least = Max(counts_first, one)
    counts_scanned = Slice(counts_least, start, groups_1)                       # (M)
    logits_last = Transpose<perm = [0, 2, 3, 1]>(logits)
    values = Reshape(logits_last, by_cell)                                      # (B h w, K)

    found = Scan<num_scan_inputs = 3, body = label_group (
        int64[%(G)d, 4] place, int64[%(G)d, 1] begin, int64 count
    ) => (int64[%(G)d, %(S2)d] label) {
        steps = Range(zero, count, one)
        at = Add(begin, steps)
        at_most = Min(at, last)                                                 # (G, L), some of them the next cell's
        at_flat = Reshape(at_most, flat)
        class_flat = GatherElements(classes, at_flat)                           # Gather takes 8 times as long
        class = Reshape(class_flat, by_group_one)
        place_t = Transpose<perm = [1, 0]>(place)
        all_value = Gather(values, place_t)                                     # (4, G, K)
        corner_class = Expand(class, corner_count)
        value = GatherElements<axis = 2>(all_value, corner_class)               # (4, G, L)
        value_by_corner = Reshape(value, by_corner)
        resized = Gemm<transA = 1>(value_by_corner, weights)                    # (G L, S S)
        resized_by_cell = Reshape(resized, by_group_cell)
        best = ArgMax<axis = 1, keepdims = 0>(resized_by_cell)
        label = GatherElements<axis = 1>(class, best)
    }>(places_scanned, begins_scanned, counts_scanned)

    uncertain_labels_int64 = Reshape(found, by_pixel)
    uncertain_labels = Cast<to = %(type)d>(uncertain_labels_int64)
    scanned_count = Shape<start = 0, end = 1>(uncertain_labels)
    scanned = Slice(order, start, scanned_count)
    scanned_column = Unsqueeze(scanned, axis_1)
    certain_int64 = Gather(classes, begins)                                     # (B N)
    certain = Cast<to = %(type)d>(certain_int64)
    certain_column = Unsqueeze(certain, axis_1)
    all_pixels = Concat<axis = 0>(cell_count, pixels)
    certain_labels = Expand(certain_column, all_pixels)
    labels_by_cell = ScatterND(certain_labels, scanned_column, uncertain_labels)
    labels_tiled = Reshape(labels_by_cell, tiles)                               # (B, h + 1, w + 1, S, S)
    labels_in_rows = Transpose<perm = [0, 1, 3, 2, 4]>(labels_tiled)
    labels_of_cells = Reshape(labels_in_rows, rows)
    labels = Slice(labels_of_cells, first, end, axes_1_2)
}
"""


def as_label_map(model: onnx.ModelProto, scale: int = 8, *, keep_logits: bool = False) -> onnx.ModelProto:
    """A model whose output is labels of pixels, in place of logits at a stride.

    The output (batch, K, h, w) float32 becomes `labels` (batch, scale * h, scale * w), uint8 up to 256 classes and
    uint16 beyond: the argmax over classes of the bilinear resize of the logits.

    Args:
        model: an ONNX model of one output; it is not changed.
        scale: pixels between places of the logits, along both axes.
        keep_logits: whether the logits at their stride stay, as a second output.

    Raises:
        ConversionError: the output is no float32 map of known classes and size, or a scale below 1.
    """
    logits, (classes, height, width) = _find_logits(model, scale)
    tail = _write_label_map(classes, height, width, scale, model.opset_import[0].version)
    return _append(model, tail, [logits] if keep_logits else [])


def with_full_logits(model: onnx.ModelProto, scale: int = 8, *, labels: bool = False) -> onnx.ModelProto:
    """A model whose logits have the image's size, as they are resized in training and by the authors.

    The output (batch, K, h, w) float32 becomes `full_logits` (batch, K, scale * h, scale * w); or, with labels,
    `labels` (batch, scale * h, scale * w) int64, by ArgMax: what `as_label_map` gives, at many times its cost.

    Args and errors are those of `as_label_map`.
    """
    _, (classes, height, width) = _find_logits(model, scale)
    size = f"{scale * height}, {scale * width}"
    output = f"int64[batch, {size}] {LABELS}" if labels else f"float[batch, {classes}, {size}] full_logits"
    argmax = f"{LABELS} = ArgMax<axis = 1, keepdims = 0>(full_logits)" if labels else ""
    return _append(model, parser.parse_graph(f"""
        full (float[batch, {classes}, {height}, {width}] logits) => ({output})
        <float[4] scales = {{1, 1, {scale}, {scale}}}> {{
            full_logits = Resize<mode = "linear", coordinate_transformation_mode = "half_pixel">(logits, , scales)
            {argmax}
        }}"""), [])


def _find_logits(model: onnx.ModelProto, scale: int) -> tuple[onnx.ValueInfoProto, tuple[int, int, int]]:
    """The model's output, and its classes, height and width."""
    output = model.graph.output[0]
    type_ = output.type.tensor_type
    shape = [dim.dim_value or dim.dim_param or "?" for dim in type_.shape.dim]
    known = len(shape) == 4 and all(isinstance(size, int) for size in shape[1:])
    if len(model.graph.output) != 1 or type_.elem_type != TensorProto.FLOAT or not known:
        names = ", ".join(output.name for output in model.graph.output)
        raise ConversionError(
            f"output {names} {shape}: expected float32 logits (batch, classes, height, width) alone, sizes known")
    if scale < 1:
        raise ConversionError(f"scale={scale}: expected the pixels between two places of the logits, at least 1")
    return output, tuple(shape[1:])


def _write_label_map(classes: int, height: int, width: int, scale: int, opset: int) -> onnx.GraphProto:
    margin = (scale + 1) // 2   # pixels of the first cells that are outside
    dtype = np.min_scalar_type(classes - 1)
    graph = parser.parse_graph(_LABEL_MAP % {
        "K": classes, "h": height, "w": width, "H": scale * height, "W": scale * width, "S": scale, "S2": scale ** 2,
        "h1": height + 1, "w1": width + 1, "H1": scale * (height + 1), "W1": scale * (width + 1), "G": width + 1,
        "group_rest": width, "image_places": height * width, "margin": margin,
        "bottom": margin + scale * height, "right": margin + scale * width, "dtype": dtype.name,
        "type": helper.np_dtype_to_tensor_dtype(dtype),
        "largest": "ReduceMax<axes = [1]>(lower)" if opset < _AXES_AS_INPUT else "ReduceMax(lower, axis_1)",
    })
    graph.initializer.append(numpy_helper.from_array(_weigh_corners(scale), "weights"))
    graph.initializer.append(numpy_helper.from_array(_find_corners(height, width), "corners"))
    return graph


def _weigh_corners(scale: int) -> np.ndarray:
    """float32 (4, S * S): the shares of a cell's corners in its pixels, row by row. Exact where S is a power of 2."""
    after = (np.arange(scale) + 0.5 + scale / 2 - (scale + 1) // 2) / scale
    shares = np.stack([1 - after, after])   # (2, S)
    return np.einsum("iy,jx->ijyx", shares, shares).reshape(4, -1).astype(np.float32)


def _find_corners(height: int, width: int) -> np.ndarray:
    """int64 (N, 4): the places of the corners of each cell, counted row by row; those outside are the nearest ones."""
    rows, columns = (
        np.clip(np.arange(size + 1)[:, None] + [-1, 0], 0, size - 1) for size in (height, width))
    return (rows[:, None, :, None] * width + columns[None, :, None, :]).reshape(-1, 4)


def _append(model: onnx.ModelProto, tail: onnx.GraphProto, kept: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
    """The model, with a graph after its output, whose own output comes first."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph, logits = model.graph, model.graph.output[0]
    names = {tensor.name: _PREFIX + tensor.name for tensor in tail.initializer}   # which bodies of operators read, too
    compose.add_prefix_graph(tail, _PREFIX, rename_inputs=False, rename_outputs=False, inplace=True, name_map=names)
    for node in tail.node:
        node.name = node.output[0]
        node.input[:] = [logits.name if name == tail.input[0].name else name for name in node.input]
    graph.node.extend(tail.node)
    graph.initializer.extend(tail.initializer)
    outputs = [*tail.output, *kept]
    outputs[0].type.tensor_type.shape.dim[0].CopyFrom(logits.type.tensor_type.shape.dim[0])
    del graph.output[:]
    graph.output.extend(outputs)
    onnx.checker.check_model(model, full_check=True)
    return model
