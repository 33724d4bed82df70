"""Convolutions with three rows of taps by Winograd's minimal filtering: half of the products, in standard operators."""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from msnoah.export.onnx_file import check_onnx

INPUTS = ((4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0), (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0),
          (0, 4, 0, -5, 0, 1))
FILTERS = np.array([(6, 0, 0), (-4, -4, -4), (-4, 4, -4), (1, 2, 4), (1, -2, 4), (0, 0, 24)]) / 24
"""F(4, 3) of Lavin and Gray, 2015, https://arxiv.org/abs/1509.09308, with the points 0, 1, -1, 2, -2 and infinity."""

TILE, TAPS, PRODUCTS = 4, 3, 6
"""Outputs of a tile, taps of the filter, multiplications of a tile, which would be TILE * TAPS."""

SMALLEST_SAVING = 1.5
"""Multiplications before, over those after; there are fewer to save where the last tile is mostly empty."""

FEWEST_CHANNELS = 32
"""Of in * out / (in + out): with fewer, combining rows costs what multiplying less of them saves."""


def filter_minimally(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrites convolutions of 3 x k taps, row stride 1 and one group, where that saves a third of the work or more.

    Four rows of the result need six rows x of the input. Depthwise convolutions of row stride 4 form B x, six
    convolutions of 1 x k taps multiply it with G g, and sums form A m. With a = m1 + m2, b = m1 - m2, c = m3 + m4 and
    d = m3 - m4 these are a + c + m0, b + 2 d, a + 4 c and b + 8 d + m5. Side by side, (B, C, H / 4, 4 W), the rows are
    the image in its order. Exact but for rounding, of about 1e-6 of the largest output; weights take twice their room.

    It pays in runtimes that multiply every tap, as ONNX Runtime does on CPUs, not on devices made for convolutions.

    Args:
        model: an ONNX model whose sizes are known but for the batch; it is not changed.
    """
    model = onnx.shape_inference.infer_shapes(model)
    graph = model.graph
    infos = (*graph.input, *graph.value_info, *graph.output)
    dims = {info.name: list(info.type.tensor_type.shape.dim) for info in infos}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        convolution = _read(node, dims, weights)
        nodes += _Rewriting(graph, node, convolution).write() if convolution else [node]
    del graph.node[:]
    graph.node.extend(nodes)
    _drop_unused(graph)
    check_onnx(model)
    return model


@dataclass(frozen=True)
class _Convolution:
    """weight (O, C, 3, k), bias (O,) or None, pads (top, left, bottom, right), dims of input and output."""

    weight: np.ndarray
    bias: np.ndarray | None
    pads: list[int]
    strides: list[int]
    dilations: list[int]
    source: list[onnx.TensorShapeProto.Dimension]
    result: list[onnx.TensorShapeProto.Dimension]

    @property
    def rows(self) -> int:
        return self.result[2].dim_value

    @property
    def tiles(self) -> int:
        return -(-self.rows // TILE)

    def pays(self) -> bool:
        outputs, inputs = self.weight.shape[:2]
        saving = TAPS * self.rows / (PRODUCTS * self.tiles)
        return saving >= SMALLEST_SAVING and inputs * outputs >= FEWEST_CHANNELS * (inputs + outputs)


def _read(node: onnx.NodeProto, dims, weights: dict[str, TensorProto]) -> _Convolution | None:
    """A Conv that is better filtered minimally; None of everything else."""
    if node.op_type != "Conv" or any(name and name not in weights for name in node.input[1:]):
        return None
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    pads, strides, dilations = (list(attributes.get(name, default)) for name, default in
                                (("pads", (0, 0, 0, 0)), ("strides", (1, 1)), ("dilations", (1, 1))))
    weight = weights[node.input[1]]
    is_plain = strides[0] == dilations[0] == attributes.get("group", 1) == 1 and "auto_pad" not in attributes
    has_rows = weight.data_type == TensorProto.FLOAT and list(weight.dims[2:3]) == [TAPS]
    source, result = (dims.get(name, []) for name in (node.input[0], node.output[0]))
    known = all(len(shape) == 4 and all(dim.dim_value for dim in shape[1:]) for shape in (source, result))
    if not (is_plain and has_rows and known):
        return None
    taps, *bias = (numpy_helper.to_array(weights[name]) for name in node.input[1:] if name)
    convolution = _Convolution(taps, bias[0] if bias else None, pads, strides, dilations, source, result)
    return convolution if convolution.pays() else None


class _Rewriting:
    """The nodes of one convolution. Inner values have its output's name and a part of their own, and declared sizes, so
    that runtimes know which of them are alike."""

    def __init__(self, graph: onnx.GraphProto, node: onnx.NodeProto, convolution: _Convolution):
        self.graph, self.node, self.convolution, self.nodes = graph, node, convolution, []
        self.prefix = node.output[0]

    def write(self) -> list[onnx.NodeProto]:
        m = [self._multiply(self._combine(place), place) for place in range(PRODUCTS)]
        a, b = self._plus(m[1], m[2]), self._add(m[1], m[2], -1)
        c, d = self._plus(m[3], m[4]), self._add(m[3], m[4], -1)
        first, last = self._plus(m[0], self._plus(a, c)), self._plus(m[5], self._add(b, d, 8))
        self._finish(self._interleave([first, self._add(b, d, 2), self._add(a, c, 4), last]))
        return self.nodes

    def _combine(self, place: int) -> str:
        """Rows 4 i - top ... 4 i - top + 5 of the input, weighed by INPUTS, one row for each tile i."""
        convolution, factors = self.convolution, np.trim_zeros(np.array(INPUTS[place], np.float32), "b")
        first = int(np.flatnonzero(factors)[0])
        skipped = min(first, convolution.pads[0])   # zeros in front that the padding can leave out
        factors, top = factors[skipped:], convolution.pads[0] - skipped
        height = convolution.source[2].dim_value
        bottom = TILE * (convolution.tiles - 1) + len(factors) - top - height
        factors, bottom = np.pad(factors, (0, max(0, -bottom))), max(0, bottom)
        channels = convolution.weight.shape[1]
        weight = np.tile(factors[:, None], (channels, 1, 1, 1))
        size = (channels, convolution.tiles, convolution.source[3].dim_value)
        return self._conv("rows", self.node.input[0], weight, size, group=channels, strides=[TILE, 1],
                          pads=[top, 0, bottom, 0])

    def _multiply(self, x: str, place: int) -> str:
        """The convolution of combined rows with combined taps."""
        convolution = self.convolution
        taps = np.einsum("r,ocrk->ock", FILTERS[place], convolution.weight.astype(np.float64))
        _, left, _, right = convolution.pads
        return self._conv("product", x, taps[:, :, None].astype(np.float32), self._row_size, pads=[0, left, 0, right],
                          strides=[1, convolution.strides[1]], dilations=[1, convolution.dilations[1]])

    def _add(self, x: str, y: str, factor: int) -> str:
        """x + factor * y, the factor as a depthwise convolution, which runtimes add to in place."""
        channels = self._row_size[0]
        weight = np.full((channels, 1, 1, 1), factor, np.float32)
        return self._plus(self._conv("scaled", y, weight, self._row_size, group=channels), x)

    def _plus(self, x: str, y: str) -> str:
        return self._append("Add", "sum", [x, y], self._row_size)

    def _interleave(self, rows: list[str]) -> str:
        """The image (B, O, H, W) from its rows 0, 4, ..., 1, 5, ..., 2, 6, ... and 3, 7, ..."""
        (channels, tiles, width), height = self._row_size, self.convolution.rows
        joined = self._append("Concat", "joined", rows, (channels, tiles, TILE * width), axis=3)
        shape = self._constant("shape", np.array([0, channels, TILE * tiles, width]))
        image = self._append("Reshape", "image", [joined, shape], (channels, TILE * tiles, width))
        if height == TILE * tiles:
            return image
        ends = {"first": 0, "last": height, "axis": 2}
        ends = [self._constant(name, np.array([value])) for name, value in ends.items()]
        return self._append("Slice", "cut", [image, *ends], (channels, height, width))

    def _finish(self, image: str) -> None:
        """The bias, by a depthwise convolution: from there on ONNX Runtime keeps to the layout of its convolutions."""
        channels, height, width = self._row_size[0], self.convolution.rows, self._row_size[2]
        ones = np.ones((channels, 1, 1, 1), np.float32)
        self._conv("result", image, ones, (channels, height, width), self.convolution.bias, group=channels)
        result = self.nodes[-1]
        result.name, result.output[0] = self.node.name, self.node.output[0]
        self.graph.value_info.pop()

    @property
    def _row_size(self) -> tuple[int, int, int]:
        """(O, H / 4, W) of a quarter of the result."""
        return self.convolution.weight.shape[0], self.convolution.tiles, self.convolution.result[3].dim_value

    def _conv(self, part: str, x: str, weight: np.ndarray, size, bias: np.ndarray | None = None, **attributes) -> str:
        constants = {"weight": np.ascontiguousarray(weight)} | ({} if bias is None else {"bias": bias})
        names = [self._constant(f"{part}.{len(self.nodes)}.{name}", array) for name, array in constants.items()]
        return self._append("Conv", part, [x, *names], size, kernel_shape=list(weight.shape[2:]), **attributes)

    def _append(self, kind: str, part: str, inputs: list[str], size: tuple[int, int, int], **attributes) -> str:
        name = f"{self.prefix}.{part}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, *size])
        info.type.tensor_type.shape.dim[0].CopyFrom(self.convolution.source[0])
        self.graph.value_info.append(info)
        return name

    def _constant(self, part: str, array: np.ndarray) -> str:
        name = f"{self.prefix}.{part}"
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        return name


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
