"""EfficientFormerV2: a vision transformer with the size and speed of a MobileNet.

Rethinking Vision Transformers for MobileNet Size and Speed, Li et al., ICCV 2023, https://arxiv.org/abs/2212.08059:
blocks of convolutions in all stages, and attention with talking heads at the end of the last two, on halved maps in
the first of these; between them attention also makes the map smaller.

Where ours differs: images may be of any size that 32 divides; the biases of attention can be those of another size.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from mindspore import Parameter, Tensor, nn

from msnoah.errors import ModelError
from msnoah.nn.arguments import check_choice, check_counts, check_lengths, check_positive, check_rate
from msnoah.nn.conv_mlp import ConvMLP
from msnoah.nn.conv_norm import ConvSequence, conv_with_bias, fold_norms
from msnoah.nn.drop_path import by_stage, drop_path, drop_path_rates
from msnoah.nn.folding import affine
from msnoah.nn.linear import linear
from msnoah.nn.map_attention import DownsamplingAttention, TalkingAttention
from msnoah.nn.position_bias import BIAS_RESIZES, Size
from msnoah.nn.residual import Residual
from msnoah.registry import register_model

STRIDE = 32  # of the last stage's map
FIRST_SCALE = 1e-5  # of a block's branches, so that training begins near the identity


class ConvBlock(nn.Cell):
    """x + layer_scale_2 * mlp(x). (B, C, H, W) -> (B, C, H, W)"""

    def __init__(self, dim: int, mlp_ratio: float, drop_rate: float):
        super().__init__()
        self.mlp = ConvMLP(dim, int(dim * mlp_ratio))
        self.layer_scale_2 = _first_scale(dim)
        self.drop_path = drop_path(drop_rate, rank=4)

    def construct(self, x):
        return x + self.drop_path(self.layer_scale_2 * self.mlp(x))

    def fuse(self) -> nn.Cell:
        """The scale goes into the last convolution of the branch."""
        return Residual(self.mlp.scaled(_channels(self.layer_scale_2)))


class AttentionBlock(ConvBlock):
    """x + layer_scale_1 * token_mixer(x), then a ConvBlock. (B, C, H, W) -> (B, C, H, W)"""

    def __init__(self, dim: int, mlp_ratio: float, drop_rate: float, token_mixer: nn.Cell):
        super().__init__(dim, mlp_ratio, drop_rate)
        self.token_mixer = token_mixer
        self.layer_scale_1 = _first_scale(dim)
        self.mixer_drop_path = drop_path(drop_rate, rank=4)

    def construct(self, x):
        x = x + self.mixer_drop_path(self.layer_scale_1 * self.token_mixer(x))
        return x + self.drop_path(self.layer_scale_2 * self.mlp(x))

    def fuse(self) -> nn.Cell:
        """The scales go into the last convolutions of their branches."""
        mixer = Residual(self.token_mixer.scaled(_channels(self.layer_scale_1)))
        return nn.SequentialCell(mixer, Residual(self.mlp.scaled(_channels(self.layer_scale_2))))


class Downsample(nn.Cell):
    """A 3x3 convolution at every second place, then BatchNorm. (B, C, H, W) -> (B, C_out, H / 2, W / 2)"""

    def __init__(self, dim: int, out_dim: int):
        super().__init__()
        self.proj = conv_with_bias(dim, out_dim, 3, 2)
        self.norm = nn.BatchNorm2d(out_dim)

    def construct(self, x):
        return self.norm(self.proj(x))

    def fuse(self) -> nn.Cell:
        """The norm goes into the convolution."""
        return fold_norms(self, {"proj": "norm"}).proj


class AttentionDownsample(nn.Cell):
    """attn(x) + bn(conv(x)), the convolution at every second place. (B, C, H, W) -> (B, C_out, H / 2, W / 2)"""

    def __init__(self, dim: int, out_dim: int, attention: nn.Cell):
        super().__init__()
        self.attn = attention
        self.conv = conv_with_bias(dim, out_dim, 3, 2)
        self.bn = nn.BatchNorm2d(out_dim)

    def construct(self, x):
        return self.attn(x) + self.bn(self.conv(x))

    def fuse(self) -> nn.Cell:
        """The norm goes into the convolution."""
        return fold_norms(self, {"conv": "bn"})


class EfficientFormerV2Backbone(nn.Cell):
    """Images (B, in_channels, H, W) -> the maps of 4 stages, (B, embed_dims[i], H / 4, W / 4) to (..., H / 32, W / 32)

    Args:
        image_size: side, or (height, width), that the model is built for; 32 divides it.
        embed_dims: channels of the stages; the stem has half of the first on its way.
        depths: blocks of the stages.
        attention_depth: how many at the end of each of the last two stages have attention.
        mlp_ratios: of the stages' perceptrons, a number for all blocks of a stage or a list with one a block.
        drop_path_rate: of the last block's branches in training; it rises linearly from 0.
        bias_image_size: of the images whose distances attention's biases are learnt for; None is image_size.
        bias_resize: how biases become those of image_size, "flat" or "grid"; see `FlatBias` and `GridBias`.
        table_name: what published weights call the tables of biases.

    Norms train as any BatchNorm. The authors' segmentation code freezes those of a backbone that no checkpoint begins.
    Raises ModelError for sizes that do not fit together.
    """

    def __init__(
        self, in_channels: int = 3, image_size: int | Size = 224, embed_dims: Sequence[int] = (32, 48, 120, 224),
        depths: Sequence[int] = (3, 3, 9, 6), attention_depth: int = 2,
        mlp_ratios: Sequence[float | Sequence[float]] = (4, 4, 4, 4), drop_path_rate: float = 0.0,
        bias_image_size: int | Size | None = None, bias_resize: str = "flat", table_name: str = "attention_biases",
    ):
        super().__init__()
        check_counts(in_channels=in_channels)
        check_lengths(4, embed_dims=embed_dims, depths=depths, mlp_ratios=mlp_ratios)
        check_counts(embed_dims=embed_dims, stem_dim=embed_dims[0] // 2, depths=depths)
        check_rate(drop_path_rate=drop_path_rate)
        check_choice("bias_resize", bias_resize, BIAS_RESIZES)
        if attention_depth not in range(min(depths[2:]) + 1):
            raise ModelError(f"attention_depth={attention_depth!r}: expected a number up to that of the blocks, "
                             f"depths={depths!r}, of each of the last two stages")
        self.image_size = image_sides("image_size", image_size)
        self.out_channels = list(embed_dims)
        table_image = self.image_size if bias_image_size is None else image_sides("bias_image_size", bias_image_size)
        self.sizes = [(_divided(self.image_size, stride), _divided(table_image, stride)) for stride in (16, 32)]
        self.bias = {"bias_resize": bias_resize, "table_name": table_name}
        self.patch_embed = _stem(in_channels, embed_dims[0])
        ratios = [_block_ratios(*pair) for pair in zip(mlp_ratios, depths)]
        rates = by_stage(drop_path_rates(drop_path_rate, sum(depths)), depths)
        stages = [
            self._stage(stage, embed_dims[stage], ratios[stage], rates[stage], attention_depth) for stage in range(4)]
        downs = [Downsample(*embed_dims[:2]), Downsample(*embed_dims[1:3]), self._attention_downsample(*embed_dims[2:])]
        self.network = nn.CellList([stages[0], downs[0], stages[1], downs[1], stages[2], downs[2], stages[3]])

    def construct(self, x):
        return self.features(x)

    def features(self, x):
        """(B, in_channels, H, W) -> the maps of 4 stages"""
        stage1 = self.network[0](self.patch_embed(x))
        stage2 = self.network[2](self.network[1](stage1))
        stage3 = self.network[4](self.network[3](stage2))
        return stage1, stage2, stage3, self.network[6](self.network[5](stage3))

    def translate_weights(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A checkpoint with timm's names under the authors', for `load_checkpoint`; other names stay."""
        return translate_timm(arrays)

    def _stage(
        self, stage: int, dim: int, ratios: list[float], rates: list[float], attention_depth: int,
    ) -> nn.SequentialCell:
        with_attention = attention_depth if stage >= 2 else 0
        plain = len(ratios) - with_attention
        blocks = [ConvBlock(dim, *pair) for pair in zip(ratios[:plain], rates[:plain])]
        for ratio, rate in zip(ratios[plain:], rates[plain:]):
            map_size, table_size = self.sizes[stage - 2]
            attention = TalkingAttention(dim, map_size, 2 if stage == 2 else 1, table_size, **self.bias)
            blocks.append(AttentionBlock(dim, ratio, rate, attention))
        return nn.SequentialCell(blocks)

    def _attention_downsample(self, dim: int, out_dim: int) -> AttentionDownsample:
        return AttentionDownsample(dim, out_dim, DownsamplingAttention(dim, out_dim, *self.sizes[0], **self.bias))


class EfficientFormerV2(EfficientFormerV2Backbone):
    """A classifier. Images (B, in_channels, H, W) -> logits (B, num_classes)

    Like the published models it has two heads, one of which was taught by another network; their mean answers. The
    other arguments are those of `EfficientFormerV2Backbone`.
    """

    def __init__(
        self, num_classes: int = 1000, in_channels: int = 3, image_size: int | Size = 224,
        embed_dims: Sequence[int] = (32, 48, 120, 224), depths: Sequence[int] = (3, 3, 9, 6), attention_depth: int = 2,
        mlp_ratios: Sequence[float | Sequence[float]] = (4, 4, 4, 4), drop_path_rate: float = 0.0,
        bias_image_size: int | Size | None = None, bias_resize: str = "flat",
    ):
        check_counts(num_classes=num_classes)
        super().__init__(in_channels, image_size, embed_dims, depths, attention_depth, mlp_ratios, drop_path_rate,
                         bias_image_size, bias_resize)
        self.norm = nn.BatchNorm2d(embed_dims[-1])
        self.head = linear(embed_dims[-1], num_classes)
        self.dist_head = linear(embed_dims[-1], num_classes)

    def construct(self, x):
        x = self.norm(self.features(x)[-1]).mean((2, 3))            # (B, C_in, H, W) -> (B, C)
        return (self.head(x) + self.dist_head(x)) / 2

    def fuse(self) -> nn.Cell:
        """The mean of a map commutes with the norm s x + t, and a mean of linear layers is one.

        So there is one head: M = (V + W) / 2 makes its weight M * s, and its bias M t + (b + c) / 2.
        """
        scale, shift = affine(self.norm)
        weight, bias = (_mean(getattr(self.head, name), getattr(self.dist_head, name)) for name in ("weight", "bias"))
        arrays = weight * scale, bias + weight @ shift
        head = nn.Dense(*reversed(weight.shape), *(Tensor(array.astype(np.float32)) for array in arrays))
        return Classifier(self.patch_embed, self.network, head)


class Classifier(nn.Cell):
    """A fused EfficientFormerV2: stem, stages, mean, one linear layer. (B, in_channels, H, W) -> (B, num_classes)"""

    def __init__(self, patch_embed: nn.Cell, network: nn.CellList, head: nn.Dense):
        super().__init__()
        self.patch_embed, self.network, self.head = patch_embed, nn.SequentialCell(*network), head

    def construct(self, x):
        return self.head(self.network(self.patch_embed(x)).mean((2, 3)))


def image_sides(name: str, image_size: int | Size) -> Size:
    """(height, width) of a side or of both; ModelError unless 32, the stride of the last map, divides both."""
    sides = tuple(image_size) if isinstance(image_size, (list, tuple)) else (image_size, image_size)
    check_counts(**{name: sides})
    if len(sides) != 2 or any(side % STRIDE for side in sides):
        raise ModelError(f"{name}={image_size!r}: expected a multiple of {STRIDE}, or (height, width) of such")
    return sides


_TIMM_NAMES = (
    (r"^stem\.conv(\d)\.(conv|bn)", lambda found: f"patch_embed.{3 * int(found[1]) - 3 + (found[2] == 'bn')}"),
    (r"^stages\.(\d)\.blocks", lambda found: f"network.{2 * int(found[1])}"),
    (r"^stages\.(\d)\.downsample", lambda found: f"network.{2 * int(found[1]) - 1}"),
    (r"^(network\.[13])\.conv\.conv", r"\1.proj"),
    (r"^(network\.[13])\.conv\.bn", r"\1.norm"),
    (r"^network\.5\.conv\.(conv|bn)", r"network.5.\1"),
    (r"\.mlp\.(fc1|mid|fc2)\.conv", r".mlp.\1"),
    (r"\.mlp\.fc(\d)\.bn", r".mlp.norm\1"),
    (r"\.mlp\.mid\.bn", ".mlp.mid_norm"),
    (r"\.q\.local\.", ".q.local.0."),
    (r"\.q\.proj\.conv", ".q.proj.0"),
    (r"\.q\.proj\.bn", ".q.proj.1"),
    (r"\.proj\.conv", ".proj.1"),
    (r"\.proj\.bn", ".proj.2"),
    (r"\.(q|k|v|v_local|stride_conv)\.conv", r".\1.0"),
    (r"\.(q|k|v|v_local|stride_conv)\.bn", r".\1.1"),
    (r"\.ls(\d)\.gamma", r".layer_scale_\1"),
    (r"^head_dist\.", "dist_head."),
)
"""timm's names and the authors', to be replaced in this order."""


def translate_timm(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A checkpoint of timm's EfficientFormerV2 under the authors' names and shapes; another one stays as it is."""
    if not any(name.startswith("stages.") for name in arrays):
        return dict(arrays)
    translated = {}
    for name, array in arrays.items():
        for pattern, authors in _TIMM_NAMES:
            name = re.sub(pattern, authors, name)
        translated[name] = array.reshape(-1, 1, 1) if "layer_scale_" in name else array
    return translated


def _stem(in_channels: int, dim: int) -> ConvSequence:
    """(B, C_in, H, W) -> (B, dim, H / 4, W / 4)"""
    half, gelu = dim // 2, nn.GELU(approximate=False)
    return ConvSequence(conv_with_bias(in_channels, half, 3, 2), nn.BatchNorm2d(half), gelu,
                        conv_with_bias(half, dim, 3, 2), nn.BatchNorm2d(dim), gelu)


def _block_ratios(ratios: float | Sequence[float], depth: int) -> list[float]:
    by_block = list(ratios) if isinstance(ratios, Sequence) else [ratios] * depth
    if len(by_block) != depth:
        raise ModelError(f"mlp_ratios={ratios!r} of a stage: expected a number, or {depth} of them, one a block")
    check_positive(mlp_ratios=by_block)
    return by_block


def _first_scale(dim: int) -> Parameter:
    return Parameter(Tensor(np.full((dim, 1, 1), FIRST_SCALE, np.float32)))


def _channels(scale: Parameter) -> np.ndarray:
    return scale.asnumpy().astype(np.float64).reshape(-1)


def _divided(size: Size, stride: int) -> Size:
    return size[0] // stride, size[1] // stride


def _mean(first: Parameter, second: Parameter) -> np.ndarray:
    return (first.asnumpy().astype(np.float64) + second.asnumpy()) / 2


SIZES = {
    "s1": {
        "embed_dims": (32, 48, 120, 224), "depths": (3, 3, 9, 6), "attention_depth": 2,
        "mlp_ratios": (4, 4, (4, 4, 3, 3, 3, 3, 4, 4, 4), (4, 4, 3, 3, 4, 4)),
    },
    "s2": {
        "embed_dims": (32, 64, 144, 288), "depths": (4, 4, 12, 8), "attention_depth": 4, "drop_path_rate": 0.02,
        "mlp_ratios": (4, 4, (4, 4, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4), (4, 4, 3, 3, 3, 3, 4, 4)),
    },
    "l": {
        "embed_dims": (40, 80, 192, 384), "depths": (5, 5, 15, 10), "attention_depth": 6, "drop_path_rate": 0.1,
        "mlp_ratios": (4, 4, (4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4), (4, 4, 4, 3, 3, 3, 3, 4, 4, 4)),
    },
}


@register_model
def efficientformerv2_s1(**kwargs) -> EfficientFormerV2:
    """EfficientFormerV2-S1: 6.19 M parameters."""
    return EfficientFormerV2(**with_sizes(SIZES["s1"], kwargs))


@register_model
def efficientformerv2_s2(**kwargs) -> EfficientFormerV2:
    """EfficientFormerV2-S2: 12.71 M parameters."""
    return EfficientFormerV2(**with_sizes(SIZES["s2"], kwargs))


@register_model
def efficientformerv2_l(**kwargs) -> EfficientFormerV2:
    """EfficientFormerV2-L: 26.32 M parameters."""
    return EfficientFormerV2(**with_sizes(SIZES["l"], kwargs))


def with_sizes(sizes: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """Named sizes with changes; where the depths change, ratios of 4 stand for the named ones, which follow depths."""
    ratios = {"mlp_ratios": (4, 4, 4, 4)} if "depths" in changes else {}
    return {**sizes, **ratios, **changes}
