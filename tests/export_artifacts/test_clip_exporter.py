"""A run of clips, exported in each form: artifacts answer as the trained model does, and say how to feed them."""

import numpy as np
import onnx
import pytest
import test_exporter
from mindspore import nn
from test_exporter import make_run

from msnoah.checkpoint import load_checkpoint
from msnoah.config import DataConfig, ExportConfig, RunConfig
from msnoah.data.preprocessing import normalise
from msnoah.errors import ConfigError, ConversionError, DataError
from msnoah.export import export_task, sample_inputs
from msnoah.export.exporter import export_run
from msnoah.export.metadata import read_metadata
from msnoah.export.model_input import find_input
from msnoah.export.preprocessing import embed_preprocessing
from msnoah.export.verification import run_onnx
from msnoah.nn.conv_norm import ConvSequence, conv
from msnoah.run_folder import RunFolder

FRAMES, SIZE = 3, 32
CLIP = {"frames": FRAMES, "interval": 2, "short_side": 40, "val": {"clips": 2, "short_side": 40, "size": 24}}
DATA = {"source": "video_list", "image_size": SIZE, "clip": CLIP, "interpolation": "bilinear"}
SQUEEZETIME = {"name": "squeezetime_r10", "args": {"base_width": 8}}


class NoisyVideo:
    def __init__(self, index: int):
        self.frames = np.random.default_rng(index).integers(0, 256, (9, 44, 60, 3), np.uint8)

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, indices) -> np.ndarray:
        return self.frames[list(indices)]


class NoisyVideos:
    """Four videos of nine frames."""

    classes, labels = ["a", "b"], np.zeros(4, np.int32)

    def __len__(self) -> int:
        return 4

    def video(self, index: int) -> NoisyVideo:
        return NoisyVideo(index)

    def name(self, index: int) -> str:
        return f"video {index}"


@pytest.fixture(scope="module", autouse=True)
def videos():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample_inputs, "open_source", lambda data, split: NoisyVideos())
        yield


class Tiny(nn.Cell):
    """What a model of clips needs: frames become channels, a norm that fusing folds, classes."""

    def __init__(self):
        super().__init__()
        self.layers = ConvSequence(conv(3 * FRAMES, 64, 3, 2), nn.BatchNorm2d(64), nn.ReLU(), conv(64, 64, 3))
        self.classifier = nn.Dense(64, 10)

    def construct(self, x):
        return self.classifier(self.layers(x.reshape(-1, 3 * FRAMES, *x.shape[-2:])).mean((2, 3)))


def create_tiny(name: str, checkpoint=None, **arguments) -> nn.Cell:
    cell = Tiny()
    if checkpoint:
        load_checkpoint(cell, checkpoint)
    return cell


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for module in (export_task, test_exporter):
            patch.setattr(module, "create_model", create_tiny)
        yield make_run(tmp_path_factory.mktemp("runs") / "tiny", data=DATA)


# form: settings, input shape in ONNX, layout, operators in front of the first convolution
FORMS = {
    "clips": ({}, ["batch", 3, FRAMES, SIZE, SIZE], "NCTHW", ["Reshape"]),
    "images": (
        {"frames_as_channels": True}, ["batch", 3 * FRAMES, SIZE, SIZE], "NCHW, channel = colour * T + t", []),
    "pixels": (
        {"embed_preprocessing": True}, ["batch", FRAMES, SIZE, SIZE, 3], "NTHWC",
        ["Reshape", "Transpose", "Reshape", "Cast", "Mul", "Add"]),
}


each_form = pytest.mark.parametrize("settings,shape,layout,front", FORMS.values(), ids=FORMS)


@each_form
def test_every_form_is_verified_on_clips_and_keeps_to_four_axes(tiny_run, settings, shape, layout, front):
    check_form(tiny_run, settings, shape, layout, front)


def test_fast_convolutions_are_the_same_in_fewer_products(tiny_run):
    plain, fast = (export_run(tiny_run, verify_batches=[2], fast_convolutions=fast) for fast in (False, True))
    assert fast["verification"]["passed"]
    assert fast["artifacts"]["onnx"]["operators"]["Conv"] == plain["artifacts"]["onnx"]["operators"]["Conv"] + 17
    assert fast["artifacts"]["mindir"]["primitives"] == plain["artifacts"]["mindir"]["primitives"]


@pytest.mark.slow
@each_form
def test_every_form_of_squeezetime(tmp_path, settings, shape, layout, front):
    run = make_run(tmp_path / "run", model=SQUEEZETIME, data=DATA)
    model = check_form(run, settings, shape, layout, front)
    assert [node.op_type for node in model.graph.node].count("GlobalAveragePool") == 9   # a gate a block, and the head


def check_form(run: RunFolder, settings, shape, layout, front) -> onnx.ModelProto:
    record = export_run(run, verify_batches=[1, 3], **settings)
    pixels = "embed_preprocessing" in settings
    assert record["verification"]["passed"] and record["verification"]["inputs"] == "val clips"
    assert record["inputs"] == [{"name": "clip", "shape": shape, "dtype": "uint8" if pixels else "float32"}]
    (mindir,) = record["artifacts"]["mindir"]["inputs"]
    assert mindir["shape"] == (FORMS["clips"][1] if pixels else shape) and mindir["dtype"] == "float32"
    assert "BatchNorm" not in record["artifacts"]["mindir"]["primitives"]
    assert "BatchNormalization" not in record["artifacts"]["onnx"]["operators"]
    expected = {"frames": FRAMES, "interval": 2, "short_side": 40, "size": SIZE, "clips": 2, "crops": 1,
                "layout": layout, "scale": "1/255", "color": "RGB", "interpolation": "bilinear"}
    assert expected.items() <= record["preprocessing"].items()
    model = onnx.load(run.onnx_path)
    assert read_metadata(model)["preprocessing"] == record["preprocessing"]
    kinds = [node.op_type for node in model.graph.node]
    assert kinds[:kinds.index("Conv")] == front
    inner = onnx.shape_inference.infer_shapes(model).graph.value_info
    assert len(inner) >= len(kinds) - 1
    assert max(len(value.type.tensor_type.shape.dim) for value in inner) == 4
    return model


@pytest.mark.parametrize("settings,data,found", [
    ({"frames_as_channels": True}, {"source": "digits", "channels": 1, "mean": [0.3], "std": [0.4]}, "is for clips"),
    ({"frames_as_channels": True, "embed_preprocessing": True}, DATA, "exclude each other"),
], ids=["images_have_no_frames", "pixels_are_frames"])
def test_forms_that_are_none(settings, data, found):
    with pytest.raises(ConfigError, match=found):
        find_input(DataConfig(**data), ExportConfig(**settings))


class DamagedVideos(NoisyVideos):
    """The second and the last one cannot be read."""

    def video(self, index: int) -> NoisyVideo:
        if index in (1, 3):
            raise DataError(f"{self.name(index)}: no video")
        return super().video(index)


@pytest.mark.parametrize("corrupt,origin", [("skip", "val clips"), ("fail", "seeded noise")])
def test_samples_that_cannot_be_read_are_skipped_as_in_training(monkeypatch, capsys, corrupt, origin):
    monkeypatch.setattr(sample_inputs, "open_source", lambda data, split: DamagedVideos())
    config = RunConfig(model={"name": "any"}, data={**DATA, "corrupt": corrupt}, train={"epochs": 1})
    pixels, found = sample_inputs.sample_pixels(config, 4)
    assert found == origin and pixels.shape == (4, FRAMES, SIZE, SIZE, 3) and pixels.dtype == np.uint8
    if origin == "val clips":
        assert np.array_equal(pixels[:2], pixels[2:]) and not np.array_equal(pixels[0], pixels[1])
    else:
        assert "video 1: no video" in capsys.readouterr().err


def first_convolution() -> onnx.ModelProto:
    """An unpadded convolution of clips as images."""
    weight = np.random.default_rng(0).normal(size=(2, 3 * FRAMES, 4, 4)).astype(np.float32)
    image, output = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in
                     [("clip", ["batch", 3 * FRAMES, 8, 8]), ("y", ["batch", 2, 2, 2])])
    node = onnx.helper.make_node("Conv", ["clip", "w"], ["y"], strides=[4, 4])
    graph = onnx.helper.make_graph([node], "first", [image], [output], [onnx.numpy_helper.from_array(weight, "w")])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def test_an_unpadded_convolution_takes_the_constants_of_all_frames():
    data = DataConfig(source="video_list", image_size=8, clip=CLIP)
    model = first_convolution()
    embedded = embed_preprocessing(model, data.mean, data.std, frames=FRAMES)
    assert "Mul" not in [node.op_type for node in embedded.graph.node]
    pixels = np.random.default_rng(1).integers(0, 256, (2, FRAMES, 8, 8, 3), np.uint8)
    expected = run_onnx(model)([normalise(pixels, data).reshape(2, -1, 8, 8)])[0]
    # Sums of 144 float32 products, in another order and of weights rounded once more.
    assert np.abs(run_onnx(embedded)([pixels])[0] - expected).max() <= 5e-6 * np.abs(expected).max()
    with pytest.raises(ConversionError, match="6 channels"):
        embed_preprocessing(model, data.mean, data.std, frames=2)
