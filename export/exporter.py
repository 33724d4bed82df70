"""From a trained run to verified artifacts: load, fuse, write MindIR and ONNX from one fused Cell, compare both with the original."""

import datetime
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from mindspore import nn
from pydantic import ValidationError
from tqdm import tqdm

from msnoah.atomic_file import replacing
from msnoah.config import DataConfig, ExportConfig, RunConfig
from msnoah.data.palette import class_colors
from msnoah.data.sources import open_source
from msnoah.errors import ConfigError, DataError, RunFolderError
from msnoah.export import metadata
from msnoah.export.cell_conversion import export_onnx
from msnoah.export.label_check import verify_labels
from msnoah.export.label_map import as_label_map
from msnoah.export.mindir import batch_free_mindir_bytes, count_primitives
from msnoah.export.minimal_filtering import filter_minimally
from msnoah.export.model_input import ModelInput, find_input, natural_input, squeezed_input
from msnoah.export.onnx_summary import count_operators, describe_inputs
from msnoah.export.preprocessing import embed_preprocessing
from msnoah.export.reference_runs import run_cell, run_mindir
from msnoah.export.sample_inputs import sample_pixels
from msnoah.export.verification import Check, Predict, require_passed, run_onnx, verify
from msnoah.nn.fusing import fuse
from msnoah.nn.step_inputs import count_parameters
from msnoah.registry import create_model
from msnoah.run_folder import RunFolder, write_json
from msnoah.source_commit import find_commit

OUTPUT, LABELS = "logits", "labels"


def export_run(run: RunFolder, *, checkpoint: str | Path = "best", **overrides: Any) -> dict[str, Any]:
    """Writes a run's model.mindir, model.onnx and export.json, and verifies both against the trained model.

    Args:
        run: a folder that training has made.
        checkpoint: "best" (the last one if there is no best), "last", or the path of a weights file.
        **overrides: fields of ExportConfig in place of the config's.

    Returns:
        The record that export.json holds.

    Raises:
        RunFolderError: nothing trained yet, or the folder cannot be written; earlier artifacts are whole.
        CheckpointError: the checkpoint is damaged or does not fit the model.
        ConversionError: a layer that has no ONNX form.
        VerificationError: an artifact differs by more than the tolerance. Both are written, marked as not verified.
    """
    config = run.config()
    settings = _settings(config, overrides)
    taken = find_input(config.data, settings)
    path = _find_checkpoint(run, checkpoint)
    _require_writable(run)
    with tqdm(total=5, unit="step", leave=False) as progress:
        _step(progress, "loading")
        model = create_model(config.model.name, checkpoint=path, **config.model_arguments())
        _step(progress, "fusing and compiling")
        artifacts = _build(fuse(model), taken, config.data, settings)
        _step(progress, "verifying")
        pixels, origin = sample_pixels(config, max(settings.verify_batches))
        checks = _verify(model, artifacts, taken, pixels, config.data, settings)
        if config.data.segmentation and settings.label_map:
            artifacts.onnx = as_label_map(artifacts.onnx)
            checks += _verify_labels(model, artifacts, taken, pixels, config.data, settings)
        _step(progress, "writing")
        record = _describe(config, settings, path, artifacts, taken, checks, origin)
        record["parameters"] = {"trained": count_parameters(model), "fused": artifacts.parameters}
        _write(run, artifacts, record)
        progress.update()
    require_passed(checks, settings.tolerance)
    return record


@dataclass
class _Artifacts:
    """Both forms of one fused Cell; `mindir_batch` is None where any batch runs."""

    onnx: onnx.ModelProto
    mindir: bytes
    mindir_batch: int | None
    parameters: int


def _settings(config: RunConfig, overrides: dict[str, Any]) -> ExportConfig:
    try:
        return ExportConfig(**{**config.export.model_dump(), **overrides})
    except ValidationError as error:
        fault = error.errors()[0]
        raise ConfigError(f"export.{'.'.join(map(str, fault['loc']))}: {fault['msg']}, found {fault['input']!r}") from None


def _find_checkpoint(run: RunFolder, checkpoint: str | Path) -> Path:
    named = {"best": run.best_checkpoint, "last": run.last_checkpoint}
    path = named.get(str(checkpoint), Path(checkpoint))
    if str(checkpoint) == "best" and not path.is_file() and run.last_checkpoint.is_file():
        print(f"{run.path}: no best.ckpt yet; last.ckpt is exported", file=sys.stderr)
        return run.last_checkpoint
    if not path.is_file():
        lacking = "nothing trained yet" if str(checkpoint) in named else "no such checkpoint"
        raise RunFolderError(f"{path}: {lacking}; expected 'best', 'last' or the path of a weights file")
    return path


def _require_writable(run: RunFolder) -> None:
    if not os.access(run.path, os.W_OK | os.X_OK):
        raise RunFolderError(f"{run.path}: cannot be written; change its rights, or copy the run")


def _step(progress: tqdm, name: str) -> None:
    progress.update(bool(progress.desc))
    progress.set_description(name)


def _build(fused: nn.Cell, taken: ModelInput, data: DataConfig, settings: ExportConfig) -> _Artifacts:
    embeds_clips = settings.embed_preprocessing and data.clip
    given = squeezed_input(data) if embeds_clips else taken   # pixels of clips are normalised as images
    zeros = np.zeros((1, *given.shape), np.float32)
    model = export_onnx(fused, zeros, opset=settings.opset, input_names=[given.name], output_names=[OUTPUT])
    if settings.fast_convolutions:
        model = filter_minimally(model)
    if settings.embed_preprocessing:
        model = embed_preprocessing(model, data.mean, data.std, frames=data.clip.frames if data.clip else None)
    return _Artifacts(model, *batch_free_mindir_bytes(fused, taken.shape), count_parameters(fused))


def _verify(
    model: nn.Cell, artifacts: _Artifacts, taken: ModelInput, pixels: np.ndarray, data: DataConfig,
    settings: ExportConfig,
) -> list[Check]:
    predictors = {
        "onnx": _on_pixels(run_onnx(artifacts.onnx), taken, data, settings),
        "mindir": _on_normalised(run_mindir(artifacts.mindir, artifacts.mindir_batch), taken, data),
    }
    reference = _on_normalised(run_cell(model), natural_input(data), data)
    return verify(reference, predictors, _batches(pixels, settings), outputs=[OUTPUT], tolerance=settings.tolerance)


def _verify_labels(
    model: nn.Cell, artifacts: _Artifacts, taken: ModelInput, pixels: np.ndarray, data: DataConfig,
    settings: ExportConfig,
) -> list[Check]:
    predict = _on_pixels(run_onnx(artifacts.onnx), taken, data, settings)
    reference = _on_normalised(run_cell(model), natural_input(data), data)
    return verify_labels(reference, predict, _batches(pixels, settings), artifact="onnx", output=LABELS,
                         tolerance=settings.tolerance)


def _on_pixels(predict: Predict, taken: ModelInput, data: DataConfig, settings: ExportConfig) -> Predict:
    """How an artifact answers uint8 pixels, which it may normalise itself."""
    return predict if settings.embed_preprocessing else _on_normalised(predict, taken, data)


def _on_normalised(predict: Predict, form: ModelInput, data: DataConfig) -> Predict:
    return lambda inputs: predict([form.from_pixels(pixels, data) for pixels in inputs])


def _batches(pixels: np.ndarray, settings: ExportConfig) -> list[list[np.ndarray]]:
    return [[pixels[:size]] for size in settings.verify_batches]


def _describe(
    config: RunConfig, settings: ExportConfig, checkpoint: Path, artifacts: _Artifacts, taken: ModelInput,
    checks: Sequence[Check], origin: str,
) -> dict[str, Any]:
    model, data = artifacts.onnx, config.data
    return {
        "model": config.model.name, "arguments": config.model_arguments(), "checkpoint": checkpoint.name,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": find_commit(), "versions": metadata.find_versions(), "classes": list(data.classes),
        "preprocessing": metadata.describe_preprocessing(data, taken.layout, embedded=settings.embed_preprocessing, palette=_palette(data)),
        "inputs": describe_inputs(model.graph.input), "outputs": describe_inputs(model.graph.output),
        "artifacts": {
            "onnx": {"opset": model.opset_import[0].version, "operators": count_operators(model)},
            # Preprocessing is never embedded in the MindIR, so it lists its own inputs.
            "mindir": {
                "batch": artifacts.mindir_batch, "primitives": count_primitives(artifacts.mindir),
                "inputs": [taken.describe()],
            },
        },
        "verification": {
            "tolerance": settings.tolerance, "inputs": origin, "passed": all(check.passed for check in checks),
            "checks": [check.to_record() for check in checks],
        },
    }


def _palette(data: DataConfig) -> list[list[int]]:
    """The colours of the data's classes; made-up ones where the data are not here, none where pixels have no label."""
    if not data.segmentation:
        return []
    try:
        return open_source(data, "val").palette.tolist()
    except DataError:
        return class_colors(len(data.classes)).tolist()


def _write(run: RunFolder, artifacts: _Artifacts, record: dict[str, Any]) -> None:
    """The record comes last: one that a kill leaves behind speaks of other files, and its hashes tell."""
    metadata.write_metadata(artifacts.onnx, record)
    contents = {"onnx": (run.onnx_path, artifacts.onnx.SerializeToString()), "mindir": (run.mindir_path, artifacts.mindir)}
    for name, (path, data) in contents.items():
        with replacing(path) as temporary:
            temporary.write_bytes(data)
        record["artifacts"][name] = {**metadata.describe_file(path), **record["artifacts"][name]}
    write_json(run.export_path, record)
