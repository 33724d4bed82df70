"""The typed sections of a run, nested as the YAML is; `config_file.py` reads them with line numbers."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from msnoah.checkpoint_config import CheckpointConfig
from msnoah.config_section import Count, Fraction, NotNegative, Positive, Section
from msnoah.quantization_config import QuantizationConfig
from msnoah.train_config import TrainConfig

Byte = Annotated[int, Field(ge=0, le=255)]
Degree = Annotated[int, Field(ge=0)]
Tokens = Degree | list[Degree]   # merged by each block, or a number for every block
VIDEO_SOURCES = ("video_list", "frame_list", "camera_motion")
SEGMENTATION_SOURCES = ("mask_folder", "ade20k", "coco_stuff", "pascal_context", "mni152")


def _check_order(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError(f"goes from {ends[0]:g} to {ends[1]:g}; write the smaller one first")
    return ends


Range = Annotated[tuple[Positive, Positive], AfterValidator(_check_order)]


class ModelConfig(Section):
    """Which model. num_classes, in_channels and image_size follow from the data unless `args` says otherwise."""

    name: str
    checkpoint: str | None = None
    plugin: str | None = None   # a file with ToCom's plugin, which the checkpoint need not have then
    strict: bool = True
    args: dict[str, Any] = {}

    @model_validator(mode="after")
    def _plugin_beside_weights(self):
        if self.plugin and not self.checkpoint:
            raise ValueError("plugin goes with the weights that it was trained for; name them by checkpoint")
        return self

    @property
    def has_plugin(self) -> bool:
        """Whether the model is built with ToCom's plugin."""
        return self.name.endswith("_tocom") or self.args.get("source_degree") is not None


class RandAugmentConfig(Section):
    """RandAugment as timm's rand-m9-mstd0.5-inc1: `layers` random operations of strength N(magnitude, magnitude_std) of 10."""

    layers: Count = 2
    magnitude: Annotated[float, Field(ge=0, le=10)] = 9.0
    magnitude_std: NotNegative = 0.5


class PhotometricDistortionConfig(Section):
    """Changes of colour, each with probability 1/2 (Liu et al., SSD, 2016); only where pixels are labelled."""

    brightness: Annotated[float, Field(ge=0, le=255)] = 32.0   # of 255, added or taken away at most
    contrast: Range = (0.5, 1.5)
    saturation: Range = (0.5, 1.5)
    hue: Annotated[int, Field(ge=0, le=90)] = 18   # of 180 steps round the circle, each way at most


class AugmentConfig(Section):
    """What a training image goes through, in this order."""

    crop: Literal["none", "padded", "random_resized", "multi_scale"] = "none"
    padding: Annotated[int, Field(ge=0)] = 0
    scale: tuple[Positive, Positive] = (0.08, 1.0)
    ratio: tuple[Positive, Positive] = (0.75, 4 / 3)
    # of multi_scale: sides of the crop as parts of the frame's short side
    scales: list[Annotated[float, Field(gt=0, le=1)]] = [1.0, 0.875, 0.75, 0.66, 0.5]
    max_scale_gap: Annotated[int, Field(ge=0)] = 1   # how far apart in `scales` width and height may lie
    horizontal_flip: Fraction = 0.0
    color_jitter: NotNegative = 0.0
    hue_jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    rand_augment: RandAugmentConfig | None = None
    random_erasing: Fraction = 0.0
    erasing_fill: Literal["pixel", "color"] = "pixel"   # noise for every pixel, or one random colour
    photometric_distortion: PhotometricDistortionConfig | None = None


class ViewConfig(Section):
    """How evaluation looks at a video: `clips` spread over it, `crops` of each; their probabilities are averaged."""

    clips: Count = 1
    crops: Literal[1, 3] = 1          # the centre, or three along the longer side
    short_side: Count = 256           # of a frame before it is cropped
    size: Count | None = None         # of a crop; data.image_size if left out


class ClipConfig(Section):
    """How clips are cut out of videos, and how training frames are sized before they are cropped."""

    frames: Count = 16
    interval: Count = 4               # a clip takes every fourth frame
    short_side: Count = 256
    short: Literal["loop", "skip", "fail"] = "loop"   # a video of fewer frames than a clip spans
    val: ViewConfig = ViewConfig()
    test: ViewConfig = ViewConfig(clips=10, crops=3, short_side=224)

    @property
    def span(self) -> int:
        """Frames from the first to the last of a clip."""
        return (self.frames - 1) * self.interval + 1


class ClipCacheConfig(Section):
    """A folder of decoded, resized frames, so that only the first epoch decodes videos."""

    path: str
    short_side: Count = 256
    quality: Annotated[int, Field(ge=1, le=100)] | None = 95   # of JPEG; null keeps every bit (PNG)


class SegmentationViewConfig(Section):
    """How evaluation looks at an image through the model's window; over scales and mirror images it averages."""

    mode: Literal["whole", "slide"] = "whole"   # the image fitted into one window, or windows that slide over it
    short_side: Count = 512                     # of the image that windows slide over ...
    long_side: Count = 2048                     # ... unless its long side would exceed this
    stride: Count | None = None                 # from window to window; two thirds of its side if left out
    scales: Annotated[list[Positive], Field(min_length=1)] = [1.0]
    flip: bool = False


class SegmentationConfig(Section):
    """How images and their masks are cut for training, how masks are read, and how evaluation looks at images."""

    short_side: Count = 512                             # of a training image at scale 1 ...
    long_side: Count = 2048                             # ... unless its long side would exceed this
    jitter: Range = (0.5, 2.0)                          # of the scale that training draws
    class_share: Annotated[float, Field(gt=0, le=1)] = 0.75   # of a crop that one class may fill; ten tries, then any
    reduce_zero_label: bool = False                     # 0 of a mask does not count, 1 is the first class
    # of masks that are colours, one for each class, and to draw with; with reduce_zero_label the first does not count
    palette: Annotated[list[tuple[Byte, Byte, Byte]], Field(min_length=1)] | None = None
    val: SegmentationViewConfig = SegmentationViewConfig()
    test: SegmentationViewConfig = SegmentationViewConfig(
        mode="slide", scales=[0.5, 0.75, 1.0, 1.25, 1.5, 1.75], flip=True)


class DataConfig(Section):
    """Where images or clips come from and what a model sees of them (channels first, scaled 0-1, then normalised)."""

    source: Literal[
        "digits", "fashion_mnist", "cifar10", "cifar100", "image_folder", "video_list", "frame_list", "camera_motion",
        "mask_folder", "ade20k", "coco_stuff", "pascal_context", "mni152"]
    path: str | None = None
    train_list: str | None = None   # video_list and frame_list: files that name one video and its label a line
    val_list: str | None = None
    train_images: Count | None = None   # so many of the train split, spread evenly over it; all if left out
    image_size: Count = 224
    channels: Literal[1, 3] = 3
    mean: list[float] = [0.485, 0.456, 0.406]
    std: list[Positive] = [0.229, 0.224, 0.225]
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    crop_fraction: Annotated[float, Field(gt=0, le=1)] = 0.875
    workers: Count = 2
    corrupt: Literal["fail", "skip"] = "fail"
    augment: AugmentConfig = AugmentConfig()
    clip: ClipConfig | None = None
    cache: ClipCacheConfig | None = None
    segmentation: SegmentationConfig | None = None
    classes: list[str] = []

    @model_validator(mode="after")
    def _part_of_image_sources(self):
        if self.train_images and self.source in VIDEO_SOURCES + SEGMENTATION_SOURCES:
            raise ValueError(f"train_images belongs to sources of images with one label, but source is {self.source}")
        return self

    @model_validator(mode="after")
    def _clips_of_video_sources(self):
        is_video = self.source in VIDEO_SOURCES
        if is_video and self.clip is None:
            raise ValueError(f"clip is missing; {self.source} gives videos, so say how clips are cut, as in "
                             "clip: {frames: 16, interval: 4}")
        misplaced = [key for key in ("clip", "cache", "train_list", "val_list") if getattr(self, key) is not None]
        if misplaced and not is_video:
            raise ValueError(f"{misplaced[0]} belongs to video sources ({', '.join(VIDEO_SOURCES)}), "
                             f"but source is {self.source}")
        return self

    @model_validator(mode="after")
    def _masks_of_segmentation_sources(self):
        if self.source not in SEGMENTATION_SOURCES:
            if self.segmentation or self.augment.photometric_distortion:
                key = "segmentation" if self.segmentation else "augment.photometric_distortion"
                raise ValueError(f"{key} belongs to sources of images with masks ({', '.join(SEGMENTATION_SOURCES)}), "
                                 f"but source is {self.source}")
            return self
        if self.segmentation is None:
            raise ValueError(f"segmentation is missing; {self.source} gives images with masks; say how they are cut, "
                             "as in segmentation: {short_side: 512}")
        own = next((key for key in ("reduce_zero_label", "palette") if getattr(self.segmentation, key)), None)
        if own and self.source != "mask_folder":
            raise ValueError(f"segmentation.{own} belongs to mask_folder; {self.source} knows its own masks")
        _check_masks(self.augment, self.segmentation, self.image_size)
        return self

    @model_validator(mode="after")
    def _one_constant_per_channel(self):
        for key in ("mean", "std"):
            found = len(getattr(self, key))
            if found != self.channels:
                raise ValueError(f"{key} has {found} values, but channels is {self.channels}; give one per channel")
        return self


def _check_masks(augment: AugmentConfig, segmentation: SegmentationConfig, image_size: int) -> None:
    """What would go unused, or could not be done, where pixels are labelled."""
    used = {"horizontal_flip", "photometric_distortion"}
    unused = [key for key, field in AugmentConfig.model_fields.items()
              if key not in used and getattr(augment, key) != field.default]
    if unused:
        raise ValueError(f"augment.{unused[0]} is not for images with masks; they have augment.horizontal_flip, "
                         "augment.photometric_distortion and segmentation.jitter")
    if image_size % 32:
        raise ValueError(f"image_size is {image_size}; the window of a segmentation model has a multiple of 32, "
                         f"such as {max(32, round(image_size / 32) * 32)}; images may have any size")
    for name in ("val", "test"):
        stride = getattr(segmentation, name).stride
        if stride and stride > image_size:
            raise ValueError(f"segmentation.{name}.stride is {stride}, with gaps between windows of {image_size}:"
                             f" make it {image_size} or less")
    colors = segmentation.palette or []
    repeated = next((color for number, color in enumerate(colors) if color in colors[:number]), None)
    if repeated:
        raise ValueError(f"segmentation.palette gives {list(repeated)} to two classes; each needs a colour of its own")


class ExportConfig(Section):
    """How artifacts are written and checked."""

    opset: Annotated[int, Field(ge=17)] = 17
    embed_preprocessing: bool = False
    label_map: bool = True             # the ONNX of a segmentation run gives labels at full size; false: its logits
    frames_as_channels: bool = False   # clips go in as images (batch, channels * frames, H, W), for devices without 5-D tensors
    # of models that merge tokens, in place of what they were trained with
    tokens_merged: Tokens | None = None
    source_degree: Tokens | None = None   # what they were trained with, if the plugin shall make up for it
    tocom_scale: NotNegative | None = None
    plugin: str | None = None             # a file or a run with ToCom's plugin, if the model's own weights have none
    family: list[Tokens] = []             # one more artifact for each of these numbers of merged tokens
    token_merging: Literal["gather", "matrix"] = "gather"   # matrix: for runtimes that do not sort, or gather by batch
    fast_convolutions: bool = False    # ONNX for CPUs: 3x3 convolutions with half of the products, weights twice as large
    verify_batches: Annotated[list[Count], Field(min_length=1)] = [1, 2, 5]
    tolerance: Positive = 1e-5


RuntimeName = Literal["onnxruntime", "mindspore", "openvino", "mnn", "ncnn", "litert", "mindspore-lite"]
"""The inference runtimes, in the order of deploy's table, which a test holds against this list."""


class ProfileConfig(Section):
    """How latency is measured: at least `repeats` runs a row, then more for `interval` or until `time_limit_s` is over."""

    runtimes: list[RuntimeName] = ["onnxruntime", "mindspore"]
    threads: list[Count] = [1]
    precisions: list[Literal["fp32", "fp16", "int8"]] = ["fp32"]   # what export wrote; what quantize made of it
    batch_size: Count = 1
    warmup: Annotated[int, Field(ge=0)] = 10
    repeats: Count = 100
    interval: Annotated[float, Field(gt=0, le=1)] = 0.02   # width of the median's 95 % interval over the median
    time_limit_s: Annotated[float, Field(ge=0, le=86400)] = 60.0


class RunConfig(Section):
    """A whole run: `msnoah train` reads one, and the resolved copy lies in the run folder."""

    seed: Annotated[int, Field(ge=0)] = 0
    device: Literal["CPU", "GPU", "Ascend"] = "CPU"
    model: ModelConfig
    data: DataConfig
    train: TrainConfig
    checkpoint: CheckpointConfig = CheckpointConfig()
    export: ExportConfig = ExportConfig()
    profile: ProfileConfig = ProfileConfig()
    quantize: QuantizationConfig = QuantizationConfig()

    def model_arguments(self) -> dict[str, Any]:
        """Keyword arguments of the model's factory: what follows from the data, then what `model.args` says."""
        derived = {"image_size": self.data.image_size, "in_channels": self.data.channels}
        derived |= {"num_frames": self.data.clip.frames} if self.data.clip else {}
        derived |= {"num_classes": len(self.data.classes)} if self.data.classes else {}
        return {**derived, **self.model.args}
