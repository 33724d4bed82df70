"""EfficientFormerV2: sizes as published, features of any image size, exact fusing, and whose checkpoints it takes."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from msnoah.checkpoint import load_checkpoint
from msnoah.errors import CheckpointError, ModelError
from msnoah.models.efficientformer import EfficientFormerV2Backbone, translate_timm
from msnoah.nn.fusing import fuse
from msnoah.nn.step_inputs import count_parameters, weights
from msnoah.registry import create_model
from msnoah.state_file import save_state
from tests.goldens.cgrseg_goldens import cgrseg_name, fill_cgrseg
from tests.goldens.slab_goldens import relative_error

GATE = 1e-5  # folding rounds each weight once more
TINY = {"embed_dims": (4, 8, 8, 12), "depths": (1, 1, 2, 2), "attention_depth": 1, "mlp_ratios": (2, 2, (2, 1), 2)}
COUNTS = {"efficientformerv2_s1": 6_185_560, "efficientformerv2_s2": 12_710_112, "efficientformerv2_l": 26_322_288}
TABLES = ["network.4.1.token_mixer.attention_biases", "network.5.attn.attention_biases",
          "network.6.1.token_mixer.attention_biases"]
TIMM_NAMES = {
    "stem.conv1.conv.weight": "patch_embed.0.weight", "stem.conv2.bn.running_var": "patch_embed.4.running_var",
    "stages.0.blocks.2.mlp.fc1.conv.bias": "network.0.2.mlp.fc1.bias",
    "stages.0.blocks.2.mlp.fc1.bn.bias": "network.0.2.mlp.norm1.bias",
    "stages.1.downsample.conv.conv.weight": "network.1.proj.weight",
    "stages.2.downsample.conv.bn.weight": "network.3.norm.weight",
    "stages.2.blocks.7.token_mixer.stride_conv.conv.weight": "network.4.7.token_mixer.stride_conv.0.weight",
    "stages.2.blocks.7.token_mixer.v_local.bn.weight": "network.4.7.token_mixer.v_local.1.weight",
    "stages.2.blocks.7.token_mixer.talking_head1.bias": "network.4.7.token_mixer.talking_head1.bias",
    "stages.2.blocks.7.token_mixer.proj.conv.weight": "network.4.7.token_mixer.proj.1.weight",
    "stages.2.blocks.7.token_mixer.proj.bn.weight": "network.4.7.token_mixer.proj.2.weight",
    "stages.2.blocks.7.ls1.gamma": "network.4.7.layer_scale_1",
    "stages.3.downsample.conv.conv.weight": "network.5.conv.weight",
    "stages.3.downsample.conv.bn.running_mean": "network.5.bn.running_mean",
    "stages.3.downsample.attn.attention_biases": "network.5.attn.attention_biases",
    "stages.3.downsample.attn.q.local.weight": "network.5.attn.q.local.0.weight",
    "stages.3.downsample.attn.q.proj.conv.weight": "network.5.attn.q.proj.0.weight",
    "stages.3.downsample.attn.q.proj.bn.bias": "network.5.attn.q.proj.1.bias",
    "stages.3.downsample.attn.k.conv.weight": "network.5.attn.k.0.weight",
    "stages.3.blocks.5.mlp.mid.conv.weight": "network.6.5.mlp.mid.weight",
    "stages.3.blocks.5.mlp.mid.bn.weight": "network.6.5.mlp.mid_norm.weight",
    "stages.3.blocks.5.mlp.fc2.bn.weight": "network.6.5.mlp.norm2.weight",
    "stages.3.blocks.5.ls2.gamma": "network.6.5.layer_scale_2",
    "norm.weight": "norm.weight", "head.weight": "head.weight", "head_dist.bias": "dist_head.bias",
}
WRONG = {
    "image_size=100: expected a multiple of 32": {"image_size": 100},
    r"image_size=\(64, 100\)": {"image_size": (64, 100)},
    r"image_size=\(64, 64, 64\)": {"image_size": (64, 64, 64)},
    "image_size=.*whole numbers": {"image_size": 0},
    "image_size=.*64.5": {"image_size": 64.5},
    "image_size=.*'64'": {"image_size": "64"},
    "stem_dim=0": {"embed_dims": (1, 8, 8, 12)},
    "hidden_dim=0": {"mlp_ratios": (0.1, 2, 2, 2)},
    "bias_image_size=50": {"bias_image_size": 50},
    "bias_resize='cubic'.*'flat', 'grid'": {"bias_resize": "cubic"},
    "attention_depth=3.*depths": {"attention_depth": 3},
    r"mlp_ratios=\(2, 2, 2\)": {"mlp_ratios": (2, 2, (2, 2, 2), 2)},
    "mlp_ratios=": {"mlp_ratios": (2, 2, 2)},
    "embed_dims=": {"embed_dims": (4, 8, 8)},
    "num_classes=0": {"num_classes": 0},
    "drop_path_rate=1": {"drop_path_rate": 1},
}


@pytest.mark.parametrize("name", [
    name if name.endswith("s1") else pytest.param(name, marks=pytest.mark.slow) for name in COUNTS])
def test_sizes_are_those_published(name):
    assert count_parameters(create_model(name)) == COUNTS[name]


@pytest.mark.parametrize("arguments", [
    {"image_size": (32, 64)}, {"image_size": (96, 64), "bias_image_size": 64, "attention_depth": 0},
])
def test_classifier_of_any_size_fuses_exactly(arguments):
    model = create_model("efficientformerv2_s1", num_classes=5, in_channels=2, **{**TINY, **arguments})
    fill_cgrseg(model)
    height, width = model.image_size
    x = ms.Tensor(np.random.default_rng(0).standard_normal((2, 2, height, width)).astype(np.float32))
    logits, fused = model(x).asnumpy(), fuse(model)
    assert logits.shape == (2, 5)
    assert [m.shape for m in model.features(x)] == [
        (2, dim, height // stride, width // stride) for dim, stride in zip(TINY["embed_dims"], (4, 8, 16, 32))]
    assert relative_error(fused(x).asnumpy(), logits) <= GATE
    assert nn.BatchNorm2d not in {type(cell) for _, cell in fused.cells_and_names()}


def test_backbone_gives_the_maps_of_its_stages():
    backbone = EfficientFormerV2Backbone(image_size=32, **TINY)
    assert backbone.out_channels == [4, 8, 8, 12]
    assert [m.shape[2] for m in backbone(ms.Tensor(np.zeros((1, 3, 32, 32), np.float32)))] == [8, 4, 2, 1]


def published(model: nn.Cell) -> dict[str, np.ndarray]:
    """The model's weights as the authors' files of ImageNet have them."""
    fill_cgrseg(model)
    index = {name.replace("biases", "bias_idxs"): np.zeros((2, 2), np.int64) for name in TABLES}
    return {cgrseg_name(name): parameter.asnumpy() for name, parameter in weights(model).items()} | index


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "imagenet.ckpt"
    save_state(path, published(create_model("efficientformerv2_s1", num_classes=5, **TINY)), {})
    return path


def test_checkpoints_load_into_models_of_other_images_with_their_biases_resized(checkpoint):
    same = create_model("efficientformerv2_s1", num_classes=5, checkpoint=checkpoint, **TINY)
    larger = create_model("efficientformerv2_s1", num_classes=5, image_size=256, **TINY)
    with pytest.raises(CheckpointError, match="3 of another shape .*attention_biases: 8x49 in the file, 8x64 in"):
        load_checkpoint(larger, checkpoint)
    report = load_checkpoint(larger, checkpoint, strict=False)
    assert report.adapted == TABLES and not (report.missing or report.unexpected or report.mismatched)
    tables = [dict(model.parameters_and_names())[TABLES[2]].asnumpy() for model in (same, larger)]
    assert np.allclose(tables[0][:, 0], tables[1][:, 0]) and tables[1][:, 0].any()      # of distance 0


def test_segmentation_begins_with_a_backbone_of_images_and_says_what_it_has_not(checkpoint):
    model = create_model("cgrseg_t", num_classes=5, image_size=64, channels=8, context_depth=1, **TINY)
    report = load_checkpoint(model, checkpoint, strict=False)
    assert report.adapted == [f"backbone.{name}_seg" for name in TABLES]
    assert {name.split(".")[0] for name in report.unexpected} == {"norm", "head", "dist_head"}
    assert {name.split(".")[0] for name in report.missing} == {"decode_head"} and not report.mismatched
    assert len(report.loaded) == len(weights(model.backbone))


def test_names_of_timm_are_translated_and_others_left():
    arrays = {name: np.arange(3.0) for name in TIMM_NAMES}
    translated = translate_timm(arrays)
    assert list(translated) == list(TIMM_NAMES.values())
    assert {name for name, array in translated.items() if array.shape == (3, 1, 1)} == {
        "network.4.7.layer_scale_1", "network.6.5.layer_scale_2"}
    assert translate_timm(translated).keys() == translated.keys()


@pytest.mark.parametrize("message", WRONG)
def test_what_does_not_fit_is_refused_by_name_and_value(message):
    with pytest.raises(ModelError, match=message):
        create_model("efficientformerv2_s1", **{**TINY, **WRONG[message]})
