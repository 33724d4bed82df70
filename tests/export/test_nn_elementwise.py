"""Cells of mindspore.nn and functions of mindspore.ops that compute element by element, reduce or normalise, as their
users call them: exported, converted, and compared with MindSpore in ONNX Runtime."""

import math

import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from primitive_case import Apply, Case, case, check_case
from primitive_cells import layer_norm, normal, positive

x34, y34, z34 = normal(3, 4), normal(3, 4), normal(3, 4)
p34, inside, unit = positive(3, 4), np.clip(normal(3, 4), -0.9, 0.9), positive(3, 4) / 3
truth, lie = x34 > 0, y34 > 0
integers, divisors = np.array([[1, -5, 3, 4]], np.int32), np.array([[2, 3, -2, 1]], np.int32)
counts = np.abs(integers)
signal, image, volume, tokens = normal(2, 4, 9), normal(2, 4, 5, 6), normal(2, 4, 3, 3, 3), normal(2, 5, 8)
odd = np.array([1, np.nan, np.inf, -np.inf, 0], np.float32)
gaps = np.array([[1, np.nan, 2, 0], [np.nan, 4, np.nan, 5]], np.float32)
labels = np.array([0, 3, 1], np.int32)
signs = np.sign(y34)
alike = np.array([1, -1, 1], np.int32)
low, one = np.array(-0.5, np.float32), np.array(1, np.float32)


class WithKeywords(nn.Cell):
    """Calls a function with constants by name."""

    def __init__(self, function, keywords):
        super().__init__()
        self.function, self.keywords = function, keywords

    def construct(self, *inputs):
        return self.function(*inputs, **self.keywords)


def function(name: str, *inputs, constants=(), reference=None, opset=17, tolerance=1e-5, **keywords):
    """A row for a function of mindspore.ops: run-time inputs, then constants by position and by name."""
    called = WithKeywords(getattr(ops, name), keywords) if keywords else getattr(ops, name)
    words = [*map(str, constants), *(f"{key}={value}" for key, value in keywords.items())]
    row = case("", called, *inputs, constants=constants, reference=reference, opset=opset, tolerance=tolerance)
    return pytest.param(row, id=" ".join([name, *words]))


def layer(cell: nn.Cell, *inputs, reference=None, tolerance=1e-5, name=""):
    """A row for a Cell of mindspore.nn, with other parameters than it starts with."""
    rng = np.random.default_rng(1)
    for parameter in cell.get_parameters():
        parameter.set_data(Tensor(rng.uniform(0.5, 2, parameter.shape).astype(np.float32)))
    row = case("", cell, *inputs, cell=Apply, reference=reference, tolerance=tolerance)
    return pytest.param(row, id=name or f"{type(cell).__name__}-{inputs[0].ndim}d")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def swiglu(x):
    a, b = np.split(x, 2, -1)
    return a * sigmoid(a) * b


def rms_norm(x, gamma):
    root = np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-6))
    return x / root * gamma, 1 / root


def add_layer_norm(x, y, gamma, beta):
    x = x + y
    return layer_norm(x, gamma, beta), x.mean(-1, keepdims=True), 1 / np.sqrt(x.var(-1, keepdims=True) + 1e-5), x


def standardise(*axes: int):
    def reference(x):
        return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + np.float32(1e-5))

    return reference


def instance_norm(cell: nn.Cell, x: np.ndarray):
    """A row for an InstanceNorm, which has no kernel on the CPU."""

    def reference(x):
        gamma, beta = (p.asnumpy().reshape(-1, *[1] * (x.ndim - 2)) for p in (cell.gamma, cell.beta))
        return standardise(*range(2, x.ndim))(x) * gamma + beta

    return layer(cell, x, reference=reference)


def triplet(x, near, far):
    return np.maximum(np.linalg.norm(x - near + 1e-6, axis=1) - np.linalg.norm(x - far + 1e-6, axis=1) + 1, 0).mean()


UNARY = """abs absolute ceil cos cosh erf erfc exp exp2 expm1 floor frac neg negative positive round sigmoid
    sign sin sinc sinh square tan trunc atan arctan asinh arcsinh deg2rad rad2deg relu relu6 silu selu
    gelu fast_gelu hardsigmoid hardswish hardtanh mish softsign logsigmoid softshrink hardshrink softmin
    softmax log_softmax elu celu leaky_relu glu softplus sgn signbit isreal logsumexp nan_to_num
    reciprocal inv count_nonzero sum mean std var prod amax amin max min argmax argmin nansum norm
    zeros_like ones_like vector_norm matrix_norm numel rank diff""".split()
NEEDS_AXIS = {"logsumexp", "softmin", "softmax", "log_softmax"}
POSITIVE = "log log10 log1p log2 sqrt rsqrt".split()
BETWEEN = "acos arccos asin arcsin atanh arctanh".split()
BINARY = """add sub subtract mul multiply div divide true_divide floor_divide floor_div floor_mod fmod fmax
    hypot maximum minimum remainder atan2 arctan2 copysign logaddexp logaddexp2 truncate_div
    truncate_mod xdivy xlogy eq equal ne not_equal ge greater_equal gt greater le less_equal lt less
    isclose heaviside ldexp dist cosine_similarity inner l1_loss mse_loss""".split()
BINARY_OF_INTEGERS = "add mul maximum div floor_divide floor_mod remainder fmod truncate_div truncate_mod".split()

FUNCTIONS = [
    # --- element by element
    *[function(name, x34, constants=(1,) if name in NEEDS_AXIS else ()) for name in UNARY],
    *[function(name, p34) for name in POSITIVE],
    *[function(name, inside) for name in BETWEEN],
    *[function(name, p34 + 1) for name in ("acosh", "arccosh")],
    *[function(name, x34, tolerance=1e-4) for name in ("tanh", "tanhshrink")],  # MindSpore's tanh is off by 8e-5.
    *[function(name, x34, p34) for name in BINARY],
    *[function(name, integers, divisors) for name in BINARY_OF_INTEGERS],
    *[function(name, odd) for name in ("isnan", "isinf", "isfinite", "isneginf", "isposinf", "nan_to_num")],
    *[function(name, truth) for name in ("logical_not", "all", "any", "sum")],
    *[function(name, truth, lie) for name in ("logical_and", "logical_or", "logical_xor")],
    *[function(f"bitwise_{name}", counts, divisors, opset=18) for name in ("and", "or", "xor")],
    *[function(f"bitwise_{name}_shift", counts, counts) for name in ("left", "right")],
    function("invert", integers),
    function("fmin", x34, y34, reference=np.fmin),
    function("pow", p34, y34),
    *[function("pow", p34, constants=(power,)) for power in (2, 0.5, -1)],
    function("float_power", p34, y34),
    function("add", x34, constants=(2.5,)),
    *[function("div", x34, p34, rounding_mode=mode) for mode in ("floor", "trunc")],
    function("addcmul", x34, y34, p34),
    function("addcdiv", x34, y34, p34, value=0.5),
    function("lerp", x34, y34, p34),
    function("lerp", x34, y34, constants=(0.3,)),
    function("logit", unit),
    function("logit", unit, constants=(0.2,)),
    # --- between bounds, by condition
    *[function(name, x34, constants=(-0.5, 0.5)) for name in ("clamp", "clip")],
    function("clamp", x34, min=0.1),
    function("clip_by_value", x34, low, one),
    function("clip_by_norm", x34, constants=(1.0,)),
    function("threshold", x34, constants=(0.1, 2.0)),
    *[function(name, truth, x34, y34) for name in ("where", "select")],
    function("masked_fill", x34, truth, constants=(7.0,)),
    # --- activations
    *[function("gelu", x34, approximate=kind) for kind in ("none", "tanh")],
    function("softplus", x34, beta=2, threshold=5),
    function("softmax", tokens, axis=1),
    function("prelu", image, positive(4)),
    function("glu", tokens, axis=0),
    function("celu", x34, alpha=0.5),
    function("leaky_relu", x34, alpha=0.1),
    function("hardshrink", x34, lambd=1.0),
    function("swiglu", x34, reference=swiglu),
    *[function(name, x, training=False) for name, x in (("dropout", x34), ("dropout1d", signal), ("dropout2d", image))],
    function("dropout3d", volume, training=False),
    # --- reductions
    function("sum", x34, dim=1, keepdim=True),
    *[function(name, x34, axis=1, keep_dims=True) for name in ("mean", "prod")],
    function("nanmean", gaps, axis=1, keepdims=True),
    *[function(name, image, axis=(2, 3), keepdims=True) for name in ("std", "var", "amax", "amin")],
    *[function(name, image, axis=1, ddof=1) for name in ("std", "var", "std_mean", "var_mean")],
    *[function(name, x34, axis=1) for name in ("max", "min", "aminmax", "argmin", "median", "count_nonzero")],
    *[function(name, x34, axis=0, keepdims=True) for name in ("max", "min", "argmin")],
    function("argmax", x34, dim=1, keepdim=True),
    *[function(name, truth, axis=1, keep_dims=True) for name in ("all", "any")],
    function("logsumexp", x34, constants=((0, 1), True)),
    *[function("norm", x34, ord=order, dim=1) for order in (None, 0, 1, 2, 3, math.inf, -math.inf)],
    function("norm", x34, ord="fro", dim=(0, 1), keepdim=True),
    *[function("vector_norm", x34, constants=(order, 1, True)) for order in (0, 1, 2, 3.5, math.inf)],
    function("matrix_norm", x34, ord=1),
    function("nanmedian", gaps),
    function("quantile", x34, q=0.3, reference=lambda x: np.quantile(x, 0.3).astype(np.float32)),
    function("renorm", x34, p=2, axis=0, maxnorm=0.5),
    *[function(name, x34, constants=(1,)) for name in ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp")],
    function("trapz", x34),
    # --- normalisation
    function("batch_norm", image, *[positive(4) for _ in range(4)]),
    function("group_norm", image, constants=(2,)),
    function("layer_norm", tokens, normalized_shape=(8,), reference=standardise(2)),
    function("lrn", image, constants=(2,)),
    function("rms_norm", x34, normal(4), reference=rms_norm),
    function("add_rms_norm", x34, y34, normal(4), epsilon=1e-6, reference=lambda x, y, g: (*rms_norm(x + y, g), x + y)),
    function("add_layer_norm", x34, y34, normal(4), normal(4), reference=add_layer_norm),
    # --- losses
    *[function(name, x34, signs) for name in ("smooth_l1_loss", "huber_loss", "hinge_embedding_loss")],
    function("kl_div", np.log(unit), p34),
    function("binary_cross_entropy", unit, unit),
    function("binary_cross_entropy_with_logits", x34, unit, unit, positive(4)),
    function("cross_entropy", x34, labels),
    function("cross_entropy", x34, unit),
    function("cross_entropy", x34, labels, label_smoothing=0.1),
    function("nll_loss", x34, labels),
    function("cosine_embedding_loss", x34, y34, alike),
    function("margin_ranking_loss", x34, y34, signs),
    function("multi_margin_loss", x34, labels.astype(np.int64)),
    function("multilabel_soft_margin_loss", x34, unit),
    function("gaussian_nll_loss", x34, y34, p34),
    function("triplet_margin_loss", x34, y34, z34, reference=triplet),
]

LAYERS = [
    # --- activations
    *[
        layer(getattr(nn, name)(), x34)
        for name in """CELU ELU FastGelu GELU GLU HShrink HSigmoid HSwish Hardtanh LeakyReLU LogSigmoid LogSoftmax Mish
            ReLU ReLU6 SeLU SiLU Sigmoid SoftShrink Softmax Softmin Softsign""".split()
    ],
    *[layer(cell, x34, tolerance=1e-4) for cell in (nn.Tanh(), nn.Tanhshrink())],  # MindSpore's tanh is off by 8e-5.
    layer(nn.LogSoftmaxExt(), x34, reference=lambda x: x - np.log(np.exp(x).sum(1, keepdims=True))),
    layer(nn.GELU(approximate=False), x34, name="GELU-exact"),
    layer(nn.LogSoftmax(0), x34, name="LogSoftmax-0"),
    layer(nn.Softmax(1), tokens),
    layer(nn.Softmax2d(), image),
    layer(nn.GLU(0), image),
    *[layer(nn.PReLU(channels), image, name=f"PReLU-{channels}") for channels in (1, 4)],
    layer(nn.PReLUExt(), image),
    layer(nn.Threshold(0.1, 2.0), x34),
    layer(nn.ELU(), image),
    layer(nn.Hardtanh(-0.5, 2.0), x34, name="Hardtanh-bounds"),
    layer(nn.LeakyReLU(0.01), image),
    # --- what does nothing at inference
    layer(nn.Identity(), x34),
    *[layer(cell, x34) for cell in (nn.Dropout(), nn.DropoutExt())],
    *[layer(cell, x) for cell, x in ((nn.Dropout1d(), signal), (nn.Dropout2d(), image), (nn.Dropout3d(), volume))],
    layer(nn.Dropout2dExt(), image),
    # --- normalisation
    *[layer(nn.BatchNorm1d(4), x) for x in (x34, signal)],
    layer(nn.BatchNorm2d(4), image),
    layer(nn.BatchNorm2d(4, affine=False), image, name="BatchNorm2d-plain"),
    layer(nn.BatchNorm3d(4), volume),
    layer(nn.SyncBatchNorm(4), image),
    instance_norm(nn.InstanceNorm1d(4), signal),
    instance_norm(nn.InstanceNorm2d(4), image),
    instance_norm(nn.InstanceNorm3d(4), volume),
    layer(nn.GroupNorm(2, 4), image),
    layer(nn.GroupNorm(2, 4, affine=False), image, name="GroupNorm-plain"),
    layer(nn.LayerNorm((8,)), tokens),
    layer(nn.LayerNorm((5, 8), begin_norm_axis=1, begin_params_axis=1), tokens, name="LayerNorm-two-axes"),
    layer(nn.LayerNormExt((8,), elementwise_affine=False), tokens, reference=standardise(2)),
    layer(nn.LRN(), image),
    layer(nn.ClipByNorm(), x34, one),
    # --- statistics
    *[layer(nn.Norm(axis), x34, name=f"Norm-{axis}") for axis in ((), 1)],
    layer(nn.Moments(axis=(2, 3)), image),
    layer(nn.ReduceLogSumExp(1), x34),
    layer(nn.L1Regularizer(0.5), x34),
    # --- losses
    *[
        layer(getattr(nn, name)(), x34, signs)
        for name in """MSELoss L1Loss MAELoss RMSELoss SmoothL1Loss HuberLoss KLDivLoss PoissonNLLLoss
            HingeEmbeddingLoss""".split()
    ],
    layer(nn.DiceLoss(), unit, unit),
    layer(nn.MultiClassDiceLoss(), unit, unit),
    layer(nn.L1LossExt(), x34, signs, reference=lambda x, y: np.abs(x - y).mean()),
    layer(nn.SoftMarginLoss(), x34, signs, reference=lambda x, y: np.logaddexp(0, -x * y).mean()),
    layer(nn.BCELoss(), unit, unit),
    layer(nn.BCEWithLogitsLoss(), x34, unit),
    layer(nn.CrossEntropyLoss(), x34, labels),
    layer(nn.NLLLoss(), x34, labels),
    layer(nn.SoftmaxCrossEntropyWithLogits(), x34, unit),
    layer(
        nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"), x34, labels, name="SoftmaxCrossEntropy-sparse"
    ),
    layer(nn.FocalLoss(), x34, labels[:, None]),
    layer(nn.CosineEmbeddingLoss(), x34, y34, alike),
    layer(nn.MarginRankingLoss(), x34, y34, signs),
    layer(nn.MultiMarginLoss(), x34, labels.astype(np.int64)),
    layer(nn.MultiLabelSoftMarginLoss(), x34, unit),
    layer(nn.GaussianNLLLoss(), x34, y34, p34),
    layer(nn.TripletMarginLoss(), x34, y34, z34, one, reference=lambda x, near, far, margin: triplet(x, near, far)),
]


@pytest.mark.parametrize("case_", FUNCTIONS)
def test_function(case_: Case, tmp_path):
    check_case(case_, tmp_path)


@pytest.mark.parametrize("case_", LAYERS)
def test_layer(case_: Case, tmp_path):
    check_case(case_, tmp_path)
