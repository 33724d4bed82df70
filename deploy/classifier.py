"""A classifier from an artifact alone: classes and preprocessing stand in the metadata that `msnoah export` wrote."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from msnoah.config import ClipConfig, DataConfig, ViewConfig
from msnoah.data.clip_transforms import view_crops
from msnoah.data.preprocessing import evaluation_view, normalise
from msnoah.deploy.runtimes.onnxruntime import OnnxSession
from msnoah.errors import ArtifactError, MsnoahError, RuntimeUnavailableError, describe_failure

EXPORT_ANEW = "`msnoah export RUN` of a classifier writes it"


class Classifier:
    """An ONNX artifact in ONNX Runtime. Pixels are uint8 and channels last: images (B, S, S, C), clips (B, T, S, S, C).

    `classes` are names; `data` says how frames become pixels, `data.clip` is None for a classifier of images;
    `verified` is False where the export found that outputs differ from the model's.
    """

    def __init__(self, path: str | Path, threads: int = 1):
        """Loads an .onnx file for `threads` threads.

        Raises:
            ArtifactError: no such file, not ONNX, or without classes and preprocessing.
            RuntimeUnavailableError: onnxruntime is not installed, or cannot run with so many threads.
        """
        self.path = Path(path)
        if threads < 1:
            raise RuntimeUnavailableError(f"{threads} threads of ONNX Runtime: expected 1 or more")
        facts = _read_facts(self.path)
        self.classes: list[str] = facts["classes"]
        self.verified = facts.get("verified") is not False
        self.data = _preprocessing(self.path, facts["preprocessing"])
        self._session = _open_session(self.path, threads)
        self._input = self._session.inputs[0]
        self._takes_pixels = self._input.dtype == "uint8"
        # One thread is the calling one; more are known to the process alone, with whatever decodes frames beside them.
        self.cpu_clock: Callable[[], int] = time.thread_time_ns if threads == 1 else time.process_time_ns

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
        return self._run(pixels if self._takes_pixels else normalise(pixels, self.data))

    def logits_of_normalised(self, images: np.ndarray) -> np.ndarray:
        """The same from a loader's batch, (B, C, S, S) or (B, C, T, S, S) float32, normalised as `data` says."""
        return self._run(_to_pixels(images, self.data) if self._takes_pixels else images)

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels of B images or clips -> (B, K) float64, each row with sum 1."""
        logits = self.logits(pixels).astype(np.float64)
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        return exponentials / exponentials.sum(1, keepdims=True)

    def _run(self, feed: np.ndarray) -> np.ndarray:
        """(B, C, T, S, S) is fed as (B, C * T, S, S) where the artifact takes images; its memory is the same."""
        if len(self._input.shape) == 4 and feed.ndim == 5:
            feed = feed.reshape(len(feed), -1, *feed.shape[3:])   # (B, C, T, S, S) -> (B, C * T, S, S)
        expected = [size if axis is None else axis for axis, size in zip(self._input.shape, feed.shape)]
        if expected != list(feed.shape):
            raise ArtifactError(f"{self.path}: takes {_shape(self._input.shape)}, but gets {_shape(feed.shape)}; "
                                "export the model at that size")
        return self._session.run([feed])[0]


def _read_facts(path: Path) -> dict[str, Any]:
    """The metadata of an ONNX file, with classes and preprocessing in it."""
    import onnx

    from msnoah.export.metadata import read_metadata

    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:  # protobuf's DecodeError has no public home that all its versions share
        raise ArtifactError(f"{path}: not an ONNX model: {describe_failure(error)}") from error
    facts = read_metadata(model)
    missing = [key for key in ("classes", "preprocessing") if not facts.get(key)]
    if missing:
        raise ArtifactError(f"{path}: its metadata say nothing of {' and '.join(missing)}; {EXPORT_ANEW}")
    return facts


def _preprocessing(path: Path, facts: dict[str, Any]) -> DataConfig:
    """The preprocessing in the terms of a config; where the data came from does not matter here."""
    try:
        shared = {key: facts[key] for key in ("mean", "std", "interpolation")} | {"channels": len(facts["mean"])}
        if "frames" not in facts:
            sizes = {key: facts[key] for key in ("image_size", "crop_fraction")}
            return DataConfig(source="image_folder", **shared, **sizes)
        view = ViewConfig(short_side=facts["short_side"], size=facts["size"])
        clip = ClipConfig(frames=facts["frames"], interval=facts["interval"], val=view)
        return DataConfig(source="video_list", image_size=facts["size"], clip=clip, **shared)
    except KeyError as error:
        raise ArtifactError(f"{path}: its preprocessing lacks {error}; {EXPORT_ANEW}") from error
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "preprocessing"
        raise ArtifactError(f"{path}: preprocessing of another form, {where}: {fault['msg']}; {EXPORT_ANEW}") from error


def _open_session(path: Path, threads: int) -> OnnxSession:
    try:
        return OnnxSession(path, threads)
    except MsnoahError:
        raise
    except Exception as error:  # ONNX Runtime's own errors have no other base
        raise ArtifactError(f"{path}: ONNX Runtime cannot load it: {describe_failure(error)}") from error


def _to_pixels(images: np.ndarray, data: DataConfig) -> np.ndarray:
    """What `normalise` was given: (B, C, ..., S, S) float32 -> (B, ..., S, S, C) uint8."""
    values = np.moveaxis(images, 1, -1) * np.array(data.std, np.float32) + np.array(data.mean, np.float32)
    return np.rint(values * 255).astype(np.uint8)


def _shape(shape: tuple[int | None, ...]) -> str:
    return " x ".join("any" if axis is None else str(axis) for axis in shape)
