"""A segmentation model from an artifact alone: any image in, a label for each of its pixels out."""

from pathlib import Path

import numpy as np

from msnoah.config import DataConfig, SegmentationConfig, SegmentationViewConfig
from msnoah.data.image_windows import Plan
from msnoah.data.label_map import join, join_labels
from msnoah.data.palette import class_colors
from msnoah.data.segmentation_views import evaluation_windows
from msnoah.deploy.exported_model import EXPORT_ANEW, ExportedModel, Facts, segments
from msnoah.errors import ArtifactError

LABELS, LOGITS = "labels", "logits"   # the outputs that an artifact may have


class Segmenter:
    """An ONNX artifact in ONNX Runtime that labels pixels.

    `classes` are names, `palette` (K, 3) uint8 RGB their colours; `data` says how images become windows;
    `verified` is False where the export found that outputs differ from the model's.
    """

    def __init__(self, path: str | Path, threads: int = 1):
        """Loads an .onnx file for `threads` threads.

        Raises:
            ArtifactError: no such file, not ONNX, not of a segmentation model, or of one that gives labels but is to
                average over several scales or mirror images.
            RuntimeUnavailableError: onnxruntime is not installed, or cannot run with so many threads.
        """
        self._model = ExportedModel(path, threads)
        self.path, self.classes, self.verified = self._model.path, self._model.classes, self._model.verified
        if not segments(self._model.facts):
            raise ArtifactError(f"{self.path}: classifies whole images or clips; a segmentation run's artifact labels "
                                "pixels")
        if self._model.output not in (LABELS, LOGITS):
            raise ArtifactError(f"{self.path}: its output is '{self._model.output}', expected '{LABELS}' or '{LOGITS}'")
        self.data = self._model.preprocessing(_read_data)
        self.palette = self._read_palette()
        self.cpu_clock = self._model.cpu_clock
        self.require_view(self.data.segmentation.val)

    @property
    def gives_labels(self) -> bool:
        """Whether the artifact itself chooses the classes; else it gives logits."""
        return self._model.output == LABELS

    def label_map(self, image: np.ndarray, view: SegmentationViewConfig | None = None) -> np.ndarray:
        """(H, W, 1 or 3) uint8, RGB or grey, of any size -> (H, W) uint8 labels.

        The image is looked at as `view` says, or else the metadata: fitted into one window, or through windows that
        slide over it, padded where it falls short of one.
        """
        pixels, plan = evaluation_windows(image, self.data, view or self.data.segmentation.val)
        # One window at a time: on a CPU more at once are no faster, and an image may have many.
        return self._join([self._model.run(window[None], self.data) for window in pixels], plan)

    def label_map_of_normalised(self, images: np.ndarray, plan: Plan) -> np.ndarray:
        """The same from a loader's windows of an image, (n, C, S, S) float32, normalised as `data` says."""
        return self._join([self._model.run_normalised(window[None], self.data) for window in images], plan)

    def require_view(self, view: SegmentationViewConfig) -> None:
        """ArtifactError if the artifact cannot look at images so."""
        looks = len(view.scales) * (1 + view.flip)
        if self.gives_labels and looks > 1:
            raise ArtifactError(f"{self.path}: gives labels, which cannot be averaged over {looks} scales and mirror "
                                "images; export with --logits, or give the view one scale and no flip")

    def _join(self, answers: list[np.ndarray], plan: Plan) -> np.ndarray:
        outputs = np.concatenate(answers)   # (n, S, S) labels, or (n, K, h, w) logits
        if self.gives_labels:
            return join_labels(outputs.astype(np.uint8, copy=False), plan)
        if outputs.shape[1] != len(self.classes):
            raise ArtifactError(f"{self.path}: gives {outputs.shape[1]} logits a pixel, but has {len(self.classes)} "
                                f"classes; {EXPORT_ANEW}")
        return join(outputs, plan)

    def _read_palette(self) -> np.ndarray:
        count, colors = len(self.classes), self.data.segmentation.palette
        if colors and len(colors) != count:
            raise ArtifactError(f"{self.path}: has {count} classes, but a palette of {len(colors)}; {EXPORT_ANEW}")
        return np.array(colors, np.uint8) if colors else class_colors(count)


def _read_data(facts: Facts) -> DataConfig:
    """The preprocessing in the terms of a config; where the data came from does not matter here."""
    shared = {key: facts[key] for key in ("mean", "std", "interpolation")} | {"channels": len(facts["mean"])}
    segmentation = SegmentationConfig(val=facts["view"], palette=facts.get("palette") or None)
    return DataConfig(source="mask_folder", image_size=facts["size"], segmentation=segmentation, **shared)
