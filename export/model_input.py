"""What artifacts take: images, clips, or clips as images whose channels are frames."""

from dataclasses import dataclass

import numpy as np

from msnoah.config import DataConfig, ExportConfig
from msnoah.data.preprocessing import normalise
from msnoah.errors import ConfigError


@dataclass(frozen=True)
class ModelInput:
    """One input of normalised pixels.

    Attributes:
        name: "image" or "clip".
        shape: of one sample, (C, H, W), (C, T, H, W) or (C * T, H, W).
        layout: the axes of a batch by letters, for a reader of the artifact.
    """

    name: str
    shape: tuple[int, ...]
    layout: str

    def from_pixels(self, pixels: np.ndarray, data: DataConfig) -> np.ndarray:
        """uint8 (N, H, W, C) or (N, T, H, W, C) -> float32 (N, *shape)"""
        return normalise(pixels, data).reshape(len(pixels), *self.shape)

    def describe(self) -> dict[str, object]:
        """Name, shape and dtype as `export.json` has them."""
        return {"name": self.name, "shape": ["batch", *self.shape], "dtype": "float32"}


def natural_input(data: DataConfig) -> ModelInput:
    """What the model is trained on."""
    size = (data.image_size, data.image_size)
    if data.clip is None:
        return ModelInput("image", (data.channels, *size), "NCHW")
    return ModelInput("clip", (data.channels, data.clip.frames, *size), "NCTHW")


def squeezed_input(data: DataConfig) -> ModelInput:
    """Clips without their time axis: channel c of frame t is channel c * T + t, so that the memory is the same."""
    size = (data.image_size, data.image_size)
    return ModelInput("clip", (data.channels * data.clip.frames, *size), "NCHW, channel = colour * T + t")


def find_input(data: DataConfig, settings: ExportConfig) -> ModelInput:
    """What the artifacts of these settings take of normalised pixels.

    Raises:
        ConfigError: frames as channels of images, or of pixels that the graph normalises itself.
    """
    if not settings.frames_as_channels:
        return natural_input(data)
    if data.clip is None:
        raise ConfigError("export.frames_as_channels is for clips, but data.clip is not set; leave it out")
    if settings.embed_preprocessing:
        raise ConfigError(
            "export.frames_as_channels and export.embed_preprocessing exclude each other: pixels are frames")
    return squeezed_input(data)
