"""An ONNX file as `msnoah export` writes it, loaded: what it says of itself, and how it is run on images or clips."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from msnoah.config import DataConfig
from msnoah.data.preprocessing import normalise
from msnoah.deploy.runtimes.onnxruntime import OnnxSession
from msnoah.errors import ArtifactError, MsnoahError, RuntimeUnavailableError, describe_failure

EXPORT_ANEW = "`msnoah export RUN` writes it"

Facts = dict[str, Any]


class ExportedModel:
    """An artifact in ONNX Runtime. Pixels are uint8 and channels last: images (B, S, S, C), clips (B, T, S, S, C).

    `facts` is its metadata, with `classes` and `preprocessing` in it; `verified` is False where the export found that
    outputs differ from the model's; `cpu_clock` gives the nanoseconds that its threads have computed.
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
        self.facts = read_facts(self.path)
        self.classes: list[str] = self.facts["classes"]
        self.verified = self.facts.get("verified") is not False
        self._session = _open_session(self.path, threads)
        self._input = self._session.inputs[0]
        self._takes_pixels = self._input.dtype == "uint8"
        # One thread is the calling one; more are known to the process alone, with whatever decodes frames beside them.
        self.cpu_clock: Callable[[], int] = time.thread_time_ns if threads == 1 else time.process_time_ns

    @property
    def output(self) -> str:
        """Name of its first output."""
        return self._session.output_names[0]

    def preprocessing(self, read: Callable[[Facts], DataConfig]) -> DataConfig:
        """Its preprocessing in the terms of a config, as `read` takes it from the facts.

        Raises:
            ArtifactError: a key that is missing, or a value out of range.
        """
        try:
            return read(self.facts["preprocessing"])
        except KeyError as error:
            raise ArtifactError(f"{self.path}: its preprocessing lacks {error}; {EXPORT_ANEW}") from error
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"])) or "preprocessing"
            what = f"preprocessing of another form, {where}: {fault['msg']}"
            raise ArtifactError(f"{self.path}: {what}; {EXPORT_ANEW}") from error

    def run(self, pixels: np.ndarray, data: DataConfig) -> np.ndarray:
        """Its first output for pixels of B images or clips, which are normalised as `data` says."""
        return self._session.run([self.feed(pixels, data)])[0]

    def feed(self, pixels: np.ndarray, data: DataConfig) -> np.ndarray:
        """What its graph takes for pixels of B images or clips, which are normalised as `data` says."""
        return self._fit(pixels if self._takes_pixels else normalise(pixels, data))

    def run_normalised(self, images: np.ndarray, data: DataConfig) -> np.ndarray:
        """The same from a loader's batch, (B, C, S, S) or (B, C, T, S, S) float32, normalised as `data` says."""
        return self._session.run([self._fit(_to_pixels(images, data) if self._takes_pixels else images)])[0]

    def _fit(self, feed: np.ndarray) -> np.ndarray:
        """(B, C, T, S, S) is fed as (B, C * T, S, S) where the artifact takes images; its memory is the same."""
        if len(self._input.shape) == 4 and feed.ndim == 5:
            feed = feed.reshape(len(feed), -1, *feed.shape[3:])   # (B, C, T, S, S) -> (B, C * T, S, S)
        expected = [size if axis is None else axis for axis, size in zip(self._input.shape, feed.shape)]
        if expected != list(feed.shape):
            raise ArtifactError(f"{self.path}: takes {_shape(self._input.shape)}, but gets {_shape(feed.shape)}; "
                                "export the model at that size")
        return feed


def read_facts(path: Path) -> Facts:
    """The metadata of an ONNX file, with classes and preprocessing in it.

    Raises:
        ArtifactError: no such file, not ONNX, or without either.
    """
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


def segments(facts: Facts) -> bool:
    """Whether an artifact labels pixels, rather than whole images or clips."""
    return facts["preprocessing"].get("task") == "segmentation"


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
