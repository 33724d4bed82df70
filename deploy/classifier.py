"""A classifier from an artifact alone: classes and preprocessing stand in the metadata that `msnoah export` wrote."""

from pathlib import Path

import numpy as np

from msnoah.config import ClipConfig, DataConfig, ViewConfig
from msnoah.data.clip_transforms import view_crops
from msnoah.data.preprocessing import evaluation_view
from msnoah.deploy.exported_model import ExportedModel, Facts, segments
from msnoah.errors import ArtifactError


class Classifier:
    """An ONNX artifact in ONNX Runtime. Pixels are uint8 and channels last: images (B, S, S, C), clips (B, T, S, S, C).

    `classes` are names; `data` says how frames become pixels, `data.clip` is None for a classifier of images;
    `verified` is False where the export found that outputs differ from the model's.
    """

    def __init__(self, path: str | Path, threads: int = 1):
        """Loads an .onnx file for `threads` threads.

        Raises:
            ArtifactError: no such file, not ONNX, without classes and preprocessing, or a model that labels pixels.
            RuntimeUnavailableError: onnxruntime is not installed, or cannot run with so many threads.
        """
        self._model = ExportedModel(path, threads)
        self.path, self.classes, self.verified = self._model.path, self._model.classes, self._model.verified
        if segments(self._model.facts):
            raise ArtifactError(f"{self.path}: labels pixels; it classifies no whole images or clips")
        self.data = self._model.preprocessing(_read_data)
        self.cpu_clock = self._model.cpu_clock

    @property
    def size(self) -> int:
        """Height and width of the pixels that it takes."""
        return self.data.image_size

    def view(self, frame: np.ndarray) -> np.ndarray:
        """What evaluation sees of a frame: (H, W, 1 or 3) uint8, RGB or grey -> (S, S, C) uint8."""
        if self.data.clip is None:
            return evaluation_view(frame, self.data)
        return view_crops(frame[None], self.data.clip.val, self.size, self.data)[0, 0]   # (1, 1, S, S, C) -> (S, S, C)

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels of B images or clips -> (B, K) float32."""
        return self._model.run(pixels, self.data)

    def logits_of_normalised(self, images: np.ndarray) -> np.ndarray:
        """The same from a loader's batch, (B, C, S, S) or (B, C, T, S, S) float32, normalised as `data` says."""
        return self._model.run_normalised(images, self.data)

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels of B images or clips -> (B, K) float64, each row with sum 1."""
        logits = self.logits(pixels).astype(np.float64)
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        return exponentials / exponentials.sum(1, keepdims=True)


def _read_data(facts: Facts) -> DataConfig:
    """The preprocessing in the terms of a config; where the data came from does not matter here."""
    shared = {key: facts[key] for key in ("mean", "std", "interpolation")} | {"channels": len(facts["mean"])}
    if "frames" not in facts:
        sizes = {key: facts[key] for key in ("image_size", "crop_fraction")}
        return DataConfig(source="image_folder", **shared, **sizes)
    view = ViewConfig(short_side=facts["short_side"], size=facts["size"])
    clip = ClipConfig(frames=facts["frames"], interval=facts["interval"], val=view)
    return DataConfig(source="video_list", image_size=facts["size"], clip=clip, **shared)
