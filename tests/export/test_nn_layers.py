"""Layers of mindspore.nn and functions of mindspore.ops that are not one primitive each: convolution, pooling,
resizing, products, recurrence, attention and measures of images, exported and converted as users call them."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, mint, nn, ops
from primitive_case import case, check_case
from primitive_cells import normal

ms.set_seed(0)   # The layers below draw their weights.
line, image, volume = normal(2, 4, 9), normal(2, 4, 8, 6), normal(1, 4, 4, 5, 6)
matrix, vector = normal(3, 4), normal(4)
left, right = normal(2, 3, 4), normal(2, 4, 5)
steps, lengths = normal(2, 3, 4) / 4, np.array([1, 2, 2], np.int32)   # MindSpore's Tanh errs by 1e-4 where |x| is 5.
queries, memory = normal(4, 2, 8), normal(5, 2, 8)
picture, other = np.abs(normal(1, 3, 12, 12)), np.abs(normal(1, 3, 12, 12))


class Einsum(nn.Cell):
    """ops.einsum with its equation."""

    def __init__(self, function, equation: str):
        super().__init__()
        self.function, self.equation = function, equation

    def construct(self, *x):
        return self.function(self.equation, *x)


class Interpolate(nn.Cell):
    def __init__(self, **settings):
        super().__init__()
        self.settings = settings

    def construct(self, x):
        return ops.interpolate(x, **self.settings)


class OfLengths(nn.Cell):
    """A recurrent layer over sequences of different lengths."""

    def __init__(self, layer: nn.Cell):
        super().__init__()
        self.layer = layer

    def construct(self, x, lengths):
        return self.layer(x, None, lengths)


class CellWithState(nn.Cell):
    """One step of an LSTM, whose two states come as a tuple."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(4, 3)

    def construct(self, x, hidden, cell):
        return self.cell(x, (hidden, cell))


class Masked(nn.Cell):
    """Attention in which some queries see no later keys and some keys are padding."""

    def __init__(self, **settings):
        super().__init__()
        self.attention, self.settings = nn.MultiheadAttention(8, 2), settings

    def construct(self, x, padding, mask):
        return self.attention(x, x, x, key_padding_mask=padding, attn_mask=mask, **self.settings)


def in_graph(cell):
    """MindSpore compiles these layers, and fails in running them step by step."""
    def run(*inputs):
        ms.set_context(mode=ms.GRAPH_MODE)
        try:
            return cell(*[Tensor(x) for x in inputs])
        finally:
            ms.set_context(mode=ms.PYNATIVE_MODE)
    return run


MODES = (("same", 0), ("valid", 0), ("pad", 1))
PADDING = np.array([[False] * 4, [False] * 3 + [True]])
LATER = np.triu(np.ones((4, 4), bool), 1)

CONVOLUTION = {
    **{f"Conv1d {m}": (nn.Conv1d(4, 6, 3, 2, m, p, has_bias=True), line) for m, p in MODES},
    "Conv1d groups": (nn.Conv1d(4, 6, 3, dilation=2, group=2), line),
    **{f"Conv1dTranspose {m}": (nn.Conv1dTranspose(4, 6, 3, 2, m, p, has_bias=True), line) for m, p in MODES},
    "Conv2dTranspose output_padding": (nn.Conv2dTranspose(4, 6, 3, 2, "pad", 1, output_padding=1, group=2), image),
    "Conv3d groups": (nn.Conv3d(4, 6, 3, group=2, has_bias=True), volume),
    "Conv3dTranspose bias": (nn.Conv3dTranspose(4, 3, 3, 2, has_bias=True), volume),
    "Conv2dBnAct": (nn.Conv2dBnAct(4, 6, 3, has_bn=True, activation="relu"), image),
    "conv1d": (ops.conv1d, line, normal(6, 2, 3), (None, 1, "pad", 1, 2, 2)),
    "conv2d": (ops.conv2d, image, normal(6, 4, 3, 2), normal(6), ((1, 2), "pad", (1, 0))),
    "conv3d": (ops.conv3d, volume, normal(6, 4, 3, 3, 3), (None, 2, "same")),
}

POOLING = {
    **{
        f"{kind}Pool{d}d {m}": (getattr(nn, f"{kind}Pool{d}d")(3, 2, m, p), x)
        for kind in ("Max", "Avg") for d, x in ((1, line), (2, image)) for m, p in MODES
    },
    "MaxPool1d indices": (nn.MaxPool1d(3, 2, "pad", 1, return_indices=True), line),
    "LPPool1d": (nn.LPPool1d(2, 3, 2), line),
    "LPPool2d": (nn.LPPool2d(3.0, (2, 3), ceil_mode=True), np.abs(image)),
    "AdaptiveAvgPool1d": (nn.AdaptiveAvgPool1d(3), line),
    "AdaptiveMaxPool1d": (nn.AdaptiveMaxPool1d(3), line),
    "AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d((3, None)), image),
    "AdaptiveMaxPool2d": (nn.AdaptiveMaxPool2d(5), image),
    "adaptive_avg_pool3d": (ops.adaptive_avg_pool3d, volume, ((3, 3, 3),)),
    "adaptive_max_pool3d": (ops.adaptive_max_pool3d, volume, ((3, 2, 3), True)),
    "avg_pool1d": (ops.avg_pool1d, line, (3, 2, 1, True, False)),
    "avg_pool2d": (ops.avg_pool2d, image, (3, 2, 1, True, True, 5)),
    "avg_pool3d": (ops.avg_pool3d, volume, ((2, 3, 2), 2, (1, 0, 0, 1, 1, 1), True)),
    "max_pool2d": (ops.max_pool2d, image, (3, 2, 1, 1, True, True)),
    "max_pool3d": (ops.max_pool3d, volume, (2, 2, 1)),
    "lp_pool2d": (ops.lp_pool2d, image, (2.0, 3, 2)),
}

RESIZING = {
    **{
        f"interpolate {mode} {x.ndim}d {align}": (Interpolate(size=size, mode=mode, align_corners=align), x)
        for mode, x, size, aligns in (
            ("nearest", line, 13, (None,)), ("nearest", image, (11, 5), (None,)),
            ("nearest", volume, (7, 4, 9), (None,)),
            ("linear", line, 13, (True, False)), ("bilinear", image, (11, 5), (True, False)),
            ("bicubic", image, (11, 5), (True, False)), ("trilinear", volume, (7, 4, 9), (True, False)),
            ("area", line, 3, (None,)), ("area", image, (11, 4), (None,)), ("area", volume, (7, 4, 3), (None,)),
            ("nearest-exact", image, (11, 5), (None,)),
        )
        for align in aligns
    },
    "interpolate by scale": (Interpolate(scale_factor=1.7, mode="bilinear", recompute_scale_factor=True), image),
    **{
        f"Upsample {mode}": (nn.Upsample(scale_factor=(2.0,) * (x.ndim - 2), mode=mode, recompute_scale_factor=True), x)
        for mode, x in (("nearest", image), ("linear", line), ("bicubic", image), ("trilinear", volume))
    },
    "upsample": (ops.upsample, image, ((11, 5),)),
}

PRODUCTS = {
    "Dense activation": (nn.Dense(4, 5, activation="relu"), left),
    "Dense vector": (nn.Dense(4, 5), vector),
    "Linear": (mint.nn.Linear(4, 5), left),
    "BiDense": (nn.BiDense(4, 5, 6), matrix, normal(3, 5)),
    "DenseBnAct": (nn.DenseBnAct(4, 5, has_bn=True, activation="relu"), matrix),
    "nn.MatMul": (nn.MatMul(True, True), normal(4, 3), normal(5, 4)),
    "matmul vectors": (ops.matmul, left, vector),
    **{
        function.__name__: (function, *inputs)
        for function, *inputs in (
            (ops.addmm, normal(3, 5), matrix, normal(4, 5)), (ops.addmv, normal(3), matrix, vector),
            (ops.addr, normal(3, 4), normal(3), vector), (ops.addbmm, normal(3, 5), left, right),
            (ops.baddbmm, normal(2, 3, 5), left, right), (ops.batch_dot, left, right), (ops.bmm, left, right),
            (ops.inner, matrix, normal(5, 4)), (ops.kron, matrix, normal(2, 3)), (ops.mv, matrix, vector),
            (ops.outer, vector, normal(3)), (ops.dot, matrix, normal(4, 5)), (ops.vecdot, left, normal(2, 3, 4)),
            (ops.cov, matrix), (ops.cosine_similarity, matrix, normal(3, 4)), (ops.logdet, np.eye(3, dtype=np.float32)),
            (ops.bidense, matrix, normal(3, 5), normal(6, 4, 5)), (ops.dense, matrix, normal(5, 4), normal(5)),
        )
    },
    "tensor_dot": (ops.tensor_dot, left, normal(4, 2, 5), (((0, 2), (1, 0)),)),
    "mint.einsum": (Einsum(mint.einsum, "bij,bjk->bik"), left, right, lambda x, y: x @ y),
}

RECURRENCE = {
    **{
        f"{layer.__name__} {name}": (layer(4, 3, **settings), steps)
        for layer in (nn.RNN, nn.GRU)
        for name, settings in (
            ("two layers", {"num_layers": 2, "bidirectional": True}), ("batch first", {"batch_first": True}),
            ("no bias", {"has_bias": False}))
    },
    "RNN relu": (nn.RNN(4, 3, nonlinearity="relu"), steps, normal(1, 3, 3)),
    **{f"{layer.__name__} lengths": (OfLengths(layer(4, 3)), steps, lengths) for layer in (nn.RNN, nn.GRU, nn.LSTM)},
    "RNNCell": (nn.RNNCell(4, 3), normal(2, 4), normal(2, 3)),
    "GRUCell": (nn.GRUCell(4, 3), normal(2, 4), normal(2, 3)),
    "LSTMCell": (CellWithState(), normal(2, 4), normal(2, 3), normal(2, 3)),
}

ATTENTION = {
    **{
        f"MultiheadAttention {name}": (nn.MultiheadAttention(8, 2, **settings), queries, *keys)
        for name, settings, keys in (
            ("plain", {}, (memory, memory)), ("sizes", {"kdim": 6, "vdim": 4}, (normal(5, 2, 6), normal(5, 2, 4))),
            ("bias", {"add_bias_kv": True, "add_zero_attn": True}, (memory, memory)),
            ("batch first", {"batch_first": True}, (normal(4, 5, 8), normal(4, 5, 8))),
        )
    },
    "MultiheadAttention masks": (Masked(average_attn_weights=False), queries, PADDING, LATER),
    "MultiheadAttention no weights": (Masked(need_weights=False), queries, PADDING, LATER),
    "TransformerEncoderLayer": (nn.TransformerEncoderLayer(8, 2, 16, norm_first=True, activation="gelu"), queries),
    "TransformerDecoderLayer": (nn.TransformerDecoderLayer(8, 2, 16), queries, memory),
    "TransformerEncoder": (nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2), queries),
    "TransformerDecoder": (
        nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16), 1, norm=nn.LayerNorm((8,))), queries, memory),
    "Transformer": (nn.Transformer(8, 2, 1, 1, 16), queries, memory),
}

IMAGES = {
    "PSNR": (nn.PSNR(), picture, other, in_graph(nn.PSNR())),
    "SSIM": (nn.SSIM(filter_size=5), picture, other, in_graph(nn.SSIM(filter_size=5))),
    "MSSSIM": (nn.MSSSIM(power_factors=(0.4, 0.6), filter_size=3), picture, picture + other / 4,
               in_graph(nn.MSSSIM(power_factors=(0.4, 0.6), filter_size=3))),
    "ImageGradients": (nn.ImageGradients(), image),
    "CentralCrop": (nn.CentralCrop(0.5), image),
    "PixelShuffle": (nn.PixelShuffle(2), image),
}
LAYERS = CONVOLUTION | POOLING | RESIZING | PRODUCTS | RECURRENCE | ATTENTION | IMAGES
"""Name: a layer or function, its inputs, and after them constants as a tuple or a reference as a function."""


SLOW = {"Transformer", "TransformerDecoder", "TransformerEncoder", "MultiheadAttention sizes", "GRU two layers"}
"""What takes MindSpore's compiler some seconds each, and holds nothing that the other rows do not."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in LAYERS])
def test_layer(name: str, tmp_path):
    function, *inputs = LAYERS[name]
    constants = inputs.pop() if isinstance(inputs[-1], tuple) else ()
    reference = inputs.pop() if callable(inputs[-1]) else None
    check_case(case("", function, *inputs, constants=constants, reference=reference), tmp_path)
