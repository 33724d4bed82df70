"""CGRSeg of every size: parameters, published weights, any image, training and export."""

import mindspore as ms
import numpy as np
import onnxruntime
import pytest
from mindspore import nn, ops

from msnoah.checkpoint import load_checkpoint
from msnoah.errors import ModelError
from msnoah.export.complexity import count_macs
from msnoah.export.exporter import export_onnx
from msnoah.export.onnx_summary import count_operators
from msnoah.nn.fusing import fuse
from msnoah.nn.step_inputs import count_parameters, draw_drops, prepare_drops, weights
from msnoah.registry import create_model
from msnoah.state_file import save_state
from tests.goldens.cgrseg_goldens import CONTRACT, cgrseg_name, cgrseg_value, fill_cgrseg
from tests.goldens.slab_goldens import relative_error

GATE = 1e-5  # folding rounds each weight once more; ONNX Runtime sums in another order
TINY = {"num_classes": 5, "embed_dims": (4, 8, 8, 12), "depths": (1, 1, 1, 1), "attention_depth": 1,
        "mlp_ratios": (2, 2, 2, 2), "channels": 8, "kernel_size": 5, "context_depth": 1}
COUNTS = {"cgrseg_b": 19_114_871, "cgrseg_l": 35_677_703}
# giga multiply-accumulates at 512x512 as the authors order them; fused, 1x1 convolutions precede their resize
MACS = {"cgrseg_t": 4.527, "cgrseg_b": 8.589, "cgrseg_l": 16.120}
CHANNEL_SIZES = {"cgrseg_t": (48, 120, 128), "cgrseg_b": (64, 144, 256), "cgrseg_l": (80, 192, 256)}
WRONG = {
    "image_size=48": {"image_size": 48}, "kernel_size=4": {"kernel_size": 4}, "num_classes=0": {"num_classes": 0},
    "dropout=1.5": {"dropout": 1.5}, "bias_resize='none'": {"bias_resize": "none"}, "bogus": {"bogus": 1},
}


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def tiny(**changes) -> nn.Cell:
    model = create_model("cgrseg_t", **{**TINY, **changes})
    fill_cgrseg(model)
    return model


@pytest.mark.parametrize("name", COUNTS)
def test_sizes_are_the_authors(name):
    assert count_parameters(create_model(name)) == COUNTS[name]


def test_published_weights_load_by_name(tmp_path):
    arrays = {name: cgrseg_value(name, shape).astype(np.float32) for name, shape in CONTRACT["state_dict"] if shape}
    save_state(tmp_path / "published.ckpt", arrays, {})
    model = create_model("cgrseg_t", image_size=64)
    report = load_checkpoint(model, tmp_path / "published.ckpt")
    assert len(report.loaded) == len(weights(model)) and not report.adapted
    assert all((parameter.asnumpy() == arrays[cgrseg_name(name)]).all() for name, parameter in weights(model).items())


def test_smallest_image_has_logits_at_stride_8_and_fuses_exactly():
    model, x = tiny(image_size=32, bias_resize="grid", in_channels=1), ms.Tensor(images(2, 1, 32, 32))
    logits, fused = model(x).asnumpy(), fuse(model)
    assert logits.shape == (2, 5, 4, 4)
    assert relative_error(fused(x).asnumpy(), logits) <= GATE
    assert nn.BatchNorm2d not in {type(cell) for _, cell in fused.cells_and_names()}


def test_a_model_of_one_size_refuses_images_of_another():
    with pytest.raises((ValueError, RuntimeError)):
        tiny(image_size=64)(ms.Tensor(images(1, 3, 96, 64))).asnumpy()


def test_loss_of_one_batch_falls_in_a_step_and_norms_learn_its_statistics():
    model = create_model("cgrseg_t", image_size=64, drop_path_rate=0.1, **TINY).set_train()
    x, mask = ms.Tensor(images(2, 3, 64, 64)), ms.Tensor(np.arange(128).reshape(2, 8, 8) % 16 // 4, ms.int32)
    names, parameters = zip(*((n, p) for n, p in weights(model).items() if p.requires_grad))
    prepare_drops(model, 2)
    draw_drops(model, np.random.default_rng(0))
    step = ms.value_and_grad(lambda x: ops.cross_entropy(model(x), mask), None, parameters)
    means = {name: p.asnumpy().copy() for name, p in weights(model).items() if name.endswith("moving_mean")}
    loss, gradients = step(x)
    for parameter, gradient in zip(parameters, gradients):
        ops.assign(parameter, parameter - gradient)
    assert step(x)[0].asnumpy() < 0.97 * loss.asnumpy()
    assert all((weights(model)[name].asnumpy() != mean).any() for name, mean in means.items())
    unmoved = {name.split(".")[1] for name, gradient in zip(names, gradients) if not gradient.asnumpy().any()}
    assert unmoved == {"linear_fuse", "lgc"}    # which act through the gate, whose last convolution begins as 0


def check_export(model: nn.Cell, batches: tuple[int, ...]) -> dict[str, int]:
    height, width = model.backbone.image_size
    x = images(max(batches), 3, height, width)
    dynamic = ("batch",) if len(batches) > 1 else ()
    exported = export_onnx(fuse(model), x[:1], input_names=["image"], output_names=["logits"], dynamic=dynamic)
    session = onnxruntime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = model(ms.Tensor(x)).asnumpy()
    assert expected.shape[2:] == (height // 8, width // 8)
    for batch in batches:
        assert relative_error(session.run(None, {"image": x[:batch]})[0], expected[:batch]) <= GATE
    operators = count_operators(exported)
    assert "BatchNormalization" not in operators and operators["LayerNormalization"] == 1
    constants = {tensor.name for tensor in exported.graph.initializer}
    assert not any(set(node.input[:1]) & constants for node in exported.graph.node if node.op_type == "Resize")
    return count_macs(exported)


def test_fused_model_is_exported_without_norms_and_resized_constants():
    check_export(tiny(image_size=(96, 64), bias_image_size=64), (1,))


@pytest.mark.slow
def test_fused_model_is_exported_for_any_batch():
    check_export(tiny(image_size=64), (1, 2, 5))


@pytest.mark.slow
@pytest.mark.parametrize("name", MACS)
def test_full_size_is_exported(name):
    model = create_model(name)
    fill_cgrseg(model)
    x = images(1, 3, 512, 512)
    plain = sum(count_macs(export_onnx(model, x, dynamic=())).values())
    assert round(plain / 1e9, 3) == MACS[name]
    fused = sum(check_export(model, (1,)).values())
    c1, c2, channels = CHANNEL_SIZES[name]
    assert plain - fused == channels * (c1 * 64 ** 2 + c2 * 32 ** 2) * 3 // 4


@pytest.mark.parametrize("message", WRONG)
def test_what_does_not_fit_is_refused_by_name_and_value(message):
    with pytest.raises(ModelError, match=message):
        create_model("cgrseg_t", **{**TINY, **WRONG[message]})
