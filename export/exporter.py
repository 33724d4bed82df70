"""From a trained run to verified artifacts: load, fuse, write MindIR and ONNX from one fused Cell, compare both with the original."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from mindspore import nn
from tqdm import tqdm

from msnoah.atomic_file import replacing
from msnoah.config import DataConfig, ExportConfig, Tokens
from msnoah.data.palette import class_colors
from msnoah.data.sources import open_source
from msnoah.errors import DataError, VerificationError
from msnoah.export import metadata
from msnoah.export.cell_conversion import export_onnx
from msnoah.export.export_task import ExportTask, open_task
from msnoah.export.label_check import verify_labels
from msnoah.export.label_map import as_label_map
from msnoah.export.merging_facts import describe_merging
from msnoah.export.mindir import batch_free_mindir_bytes, count_primitives
from msnoah.export.minimal_filtering import filter_minimally
from msnoah.export.model_input import ModelInput, natural_input, squeezed_input
from msnoah.export.near_ties import find_flipped
from msnoah.export.onnx_summary import count_operators, describe_inputs
from msnoah.export.preprocessing import embed_preprocessing
from msnoah.export.reference_runs import run_cell, run_mindir
from msnoah.export.sample_inputs import sample_pixels
from msnoah.export.verification import Check, Predict, require_passed, run_onnx, verify
from msnoah.nn.fusing import fuse
from msnoah.nn.gathering_token_merging import with_gathering
from msnoah.nn.step_inputs import count_parameters
from msnoah.run_folder import RunFolder, write_json
from msnoah.source_commit import find_commit

OUTPUT, LABELS = "logits", "labels"


def export_run(run: RunFolder, *, checkpoint: str | Path = "best", **overrides: Any) -> dict[str, Any]:
    """Writes a run's model.mindir, model.onnx and export.json, and verifies both against the trained model.

    Args:
        run: a folder that training has made.
        checkpoint: "best" (the last one if there is no best), "last", or the path of a weights file.
        **overrides: fields of ExportConfig in place of the config's; `family` is `export_family`'s to write.

    Returns:
        The record that export.json holds.

    Raises:
        ConfigError, ModelError: settings that fit neither each other nor the model.
        RunFolderError: nothing trained yet, or the folder cannot be written; earlier artifacts are whole.
        CheckpointError: the checkpoint, or the plugin, is damaged or does not fit the model.
        ConversionError: a layer that has no ONNX form.
        VerificationError: an artifact differs by more than the tolerance. Both are written, marked as not verified.
    """
    task = open_task(run, checkpoint, overrides)
    with tqdm(total=5, unit="step", leave=False) as progress:
        _step(progress, "loading")
        model = task.build_model(task.settings.tokens_merged)
        _step(progress, "fusing and compiling")
        artifacts = _build(fused_form(model, task), task)
        _step(progress, "verifying")
        pixels, origin = sample_pixels(task.config, max(task.settings.verify_batches))
        comparison = _compare(model, artifacts, task, pixels)
        checks = comparison.checks()
        if task.data.segmentation and task.settings.label_map:
            artifacts.onnx = as_label_map(artifacts.onnx)
            checks += _verify_labels(comparison.reference, artifacts.onnx, task, pixels)
        _step(progress, "writing")
        record = _describe(task, artifacts, model, checks, origin)
        _write(run, artifacts, record)
        progress.update()
    comparison.require_passed(checks)
    return record


@dataclass
class _Artifacts:
    """Both forms of one fused Cell; `mindir_batch` is None where any batch runs."""

    onnx: onnx.ModelProto
    mindir: bytes
    mindir_batch: int | None
    parameters: int


@dataclass(frozen=True)
class Comparison:
    """A trained model, and what was made of it by name; each takes a batch of uint8 pixels and gives logits."""

    task: ExportTask
    reference: Predict
    artifacts: dict[str, Predict]
    pixels: np.ndarray
    merges: bool

    def checks(self) -> list[Check]:
        """One for each artifact and batch."""
        tolerance = self.task.settings.tolerance
        batches = batches_of(self.pixels, self.task.settings)
        return verify(self.reference, self.artifacts, batches, outputs=[OUTPUT], tolerance=tolerance)

    def require_passed(self, checks: Sequence[Check]) -> None:
        """VerificationError unless all passed; of a model that merges tokens it says where a near-tie may be why."""
        tolerance = self.task.settings.tolerance
        try:
            require_passed(checks, tolerance)
        except VerificationError as error:
            failed = [name for name in self.artifacts if any(c.artifact == name and not c.passed for c in checks)]
            if not (self.merges and failed):
                raise
            remark = find_flipped(self.reference, self.artifacts[failed[0]], [self.pixels], tolerance)
            raise VerificationError(f"{error}; {remark}" if remark else str(error)) from None


def fused_form(model: nn.Cell, task: ExportTask) -> nn.Cell:
    """The Cell that artifacts are made from: fused, with the form of token merging that the settings ask for."""
    fused = fuse(model)
    return with_gathering(fused) if task.settings.token_merging == "gather" else fused


def build_onnx(fused: nn.Cell, task: ExportTask) -> onnx.ModelProto:
    """The ONNX model of a fused Cell, with what the settings put around it."""
    data, settings = task.data, task.settings
    embeds_clips = settings.embed_preprocessing and data.clip
    given = squeezed_input(data) if embeds_clips else task.taken   # pixels of clips are normalised as images
    zeros = np.zeros((1, *given.shape), np.float32)
    model = export_onnx(fused, zeros, opset=settings.opset, input_names=[given.name], output_names=[OUTPUT])
    if settings.fast_convolutions:
        model = filter_minimally(model)
    if settings.embed_preprocessing:
        model = embed_preprocessing(model, data.mean, data.std, frames=data.clip.frames if data.clip else None)
    return model


def compare(model: nn.Cell, artifacts: dict[str, Predict], task: ExportTask, pixels: np.ndarray) -> Comparison:
    """The trained model beside artifacts that take uint8 pixels, by name."""
    reference = _on_normalised(run_cell(model), natural_input(task.data), task.data)
    return Comparison(task, reference, artifacts, pixels, bool(getattr(model, "merges", False)))


def on_pixels(predict: Predict, task: ExportTask) -> Predict:
    """How an ONNX artifact answers uint8 pixels, which it may normalise itself."""
    return predict if task.settings.embed_preprocessing else _on_normalised(predict, task.taken, task.data)


def batches_of(pixels: np.ndarray, settings: ExportConfig) -> list[list[np.ndarray]]:
    """The inputs on which artifacts are verified, one list a batch."""
    return [[pixels[:size]] for size in settings.verify_batches]


def describe_origin(task: ExportTask, model: nn.Cell, tokens_merged: Tokens | None) -> dict[str, Any]:
    """What a record says of the model, and of how pixels become its input."""
    data, merging = task.data, describe_merging(task, model, tokens_merged)
    layout, embedded = task.taken.layout, task.settings.embed_preprocessing
    return {
        "model": task.config.model.name, "arguments": task.arguments(tokens_merged), "checkpoint": task.checkpoint.name,
        **({"merging": merging} if merging else {}),
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": find_commit(), "versions": metadata.find_versions(), "classes": list(data.classes),
        "preprocessing": metadata.describe_preprocessing(data, layout, embedded=embedded, palette=_palette(data)),
    }


def describe_verification(checks: Sequence[Check], task: ExportTask, origin: str) -> dict[str, Any]:
    """What a record says of its checks, made on inputs from `origin`."""
    return {
        "tolerance": task.settings.tolerance, "inputs": origin, "passed": all(check.passed for check in checks),
        "checks": [check.to_record() for check in checks],
    }


def _step(progress: tqdm, name: str) -> None:
    progress.update(bool(progress.desc))
    progress.set_description(name)


def _build(fused: nn.Cell, task: ExportTask) -> _Artifacts:
    model = build_onnx(fused, task)
    return _Artifacts(model, *batch_free_mindir_bytes(fused, task.taken.shape), count_parameters(fused))


def _compare(model: nn.Cell, artifacts: _Artifacts, task: ExportTask, pixels: np.ndarray) -> Comparison:
    mindir = _on_normalised(run_mindir(artifacts.mindir, artifacts.mindir_batch), task.taken, task.data)
    return compare(model, {"onnx": on_pixels(run_onnx(artifacts.onnx), task), "mindir": mindir}, task, pixels)


def _verify_labels(reference: Predict, model: onnx.ModelProto, task: ExportTask, pixels: np.ndarray) -> list[Check]:
    predict, settings = on_pixels(run_onnx(model), task), task.settings
    return verify_labels(reference, predict, batches_of(pixels, settings), artifact="onnx", output=LABELS,
                         tolerance=settings.tolerance)


def _on_normalised(predict: Predict, form: ModelInput, data: DataConfig) -> Predict:
    return lambda inputs: predict([form.from_pixels(pixels, data) for pixels in inputs])


def _describe(
    task: ExportTask, artifacts: _Artifacts, model: nn.Cell, checks: Sequence[Check], origin: str,
) -> dict[str, Any]:
    onnx_model = artifacts.onnx
    return {
        **describe_origin(task, model, task.settings.tokens_merged),
        "inputs": describe_inputs(onnx_model.graph.input), "outputs": describe_inputs(onnx_model.graph.output),
        "artifacts": {
            "onnx": {"opset": onnx_model.opset_import[0].version, "operators": count_operators(onnx_model)},
            # Preprocessing is never embedded in the MindIR, so it lists its own inputs.
            "mindir": {
                "batch": artifacts.mindir_batch, "primitives": count_primitives(artifacts.mindir),
                "inputs": [task.taken.describe()],
            },
        },
        "verification": describe_verification(checks, task, origin),
        "parameters": {"trained": count_parameters(model), "fused": artifacts.parameters},
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
