"""One model at several numbers of merged tokens: an ONNX file for each; the weights lie once, beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from tqdm import tqdm

from msnoah.atomic_folder import replacing_folder
from msnoah.config import Tokens
from msnoah.errors import ConfigError, VerificationError
from msnoah.export import metadata
from msnoah.export.complexity import count_macs
from msnoah.export.export_task import ExportTask, open_task
from msnoah.export.exporter import (
    build_onnx,
    compare,
    describe_origin,
    describe_verification,
    fused_form,
    on_pixels,
)
from msnoah.export.onnx_file import WeightsFile, weights_size
from msnoah.export.onnx_summary import count_operators, describe_inputs
from msnoah.export.sample_inputs import sample_pixels
from msnoah.export.verification import run_onnx
from msnoah.file_hash import hash_file
from msnoah.run_folder import RunFolder, write_json

WEIGHTS_FILE = "weights.bin"
SHARED_FACTS = "model", "checkpoint", "commit", "versions", "classes", "preprocessing"
"""What a family's record says once of all of its members."""

Record = dict[str, Any]


def export_family(run: RunFolder, *, checkpoint: str | Path = "best", **overrides: Any) -> Record:
    """Writes a run's family folder: an ONNX file for each degree of the settings' `family`, and family.json.

    Each member is verified, as it lies on the disk, against the trained model at the same degree. Equal weights are
    stored once. The folder takes the place of an earlier one when it is complete.

    Args:
        run: a folder that training has made.
        checkpoint: "best" (the last one if there is no best), "last", or the path of a weights file.
        **overrides: fields of ExportConfig in place of the config's.

    Returns:
        The record that family.json holds: facts of all members, `weights`, `members` in the order of the settings
        (tokens_merged, file, sha256, sizes, tokens after each block, macs of one image, verification), and `bytes`.

    Raises:
        ConfigError, ModelError: no family is asked for, or a degree that the model cannot take.
        RunFolderError: nothing trained yet, or the folder cannot be written; an earlier family is whole.
        CheckpointError: the checkpoint, or the plugin, is damaged or does not fit the model.
        VerificationError: a member differs by more than the tolerance. All are written, that one marked.
    """
    task = open_task(run, checkpoint, overrides)
    if not task.settings.family:
        raise ConfigError("export.family: names no degree; name some, as in --family 0,4,8,12,16")
    pixels, origin = sample_pixels(task.config, max(task.settings.verify_batches))
    with replacing_folder(run.family_path) as folder:
        with open(folder / WEIGHTS_FILE, "wb") as file:
            writer = _FamilyWriter(task, folder, file, pixels, origin)
            for degree in tqdm(task.settings.family, desc="family", unit="artifact", leave=False):
                writer.add(degree)
        record = writer.record()
        write_json(folder / "family.json", record)
    if writer.failures:
        raise VerificationError("; ".join(writer.failures))
    return record


def member_file(degree: Tokens) -> str:
    """Name of the member that merges so many tokens: r8.onnx, or r8-8-4.onnx where each block has its own number."""
    return f"r{'-'.join(map(str, degree)) if isinstance(degree, Sequence) else degree}.onnx"


def describe_family(record: Record) -> str:
    """A family's record as lines for a terminal."""
    sizes = record["bytes"]
    folder, single = (f"{sizes[key] / 1e6:.2f} MB" for key in ("folder", "single_files"))
    lines = [f"family/: {folder} with one {record['weights']['file']}; {single} as single files"]
    for member in record["members"]:
        worst = max(member["verification"]["checks"], key=lambda check: check["max_rel"])
        verdict = "verified" if member["verification"]["passed"] else "NOT verified"
        macs, left = f"{member['macs'] / 1e6:,.2f} M multiply-adds", f"{member['tokens'][-1]} tokens at the end"
        difference = f"max difference {worst['max_rel']:.1e} relative"
        lines.append(f"  {member['file']:11} {macs:>26}, {left}, {difference}, {verdict}")
    return "\n".join(lines)


@dataclass
class _FamilyWriter:
    """Members one after the other; the weights file grows by what earlier ones have not."""

    task: ExportTask
    folder: Path
    file: BinaryIO
    pixels: np.ndarray
    origin: str

    def __post_init__(self):
        self.weights = WeightsFile(self.file, WEIGHTS_FILE)
        self.members: list[Record] = []
        self.failures: list[str] = []
        self.shared: Record = {}
        self.single_files = 0

    def add(self, degree: Tokens) -> None:
        """Builds, writes and verifies one member."""
        task, path = self.task, self.folder / member_file(degree)
        model = task.build_model(degree)
        graph = build_onnx(fused_form(model, task), task)
        self._write(graph, path)
        comparison = compare(model, {"onnx": on_pixels(run_onnx(path), task)}, task, self.pixels)
        checks = comparison.checks()
        facts = describe_origin(task, model, degree)
        facts["verification"] = describe_verification(checks, task, self.origin)
        metadata.write_metadata(graph, facts)
        self._write(graph, path)
        self._describe(graph, path, facts)
        try:
            comparison.require_passed(checks)
        except VerificationError as error:
            self.failures.append(f"{path.name}: {error}")

    def record(self) -> Record:
        """What family.json says, once the weights file is complete."""
        weights = metadata.describe_file(self.folder / WEIGHTS_FILE)
        folder = weights["size_bytes"] + sum(member["size_bytes"] for member in self.members)
        sizes = {"weights": weights["size_bytes"], "folder": folder, "single_files": self.single_files}
        return {**self.shared, "checkpoint_sha256": hash_file(self.task.checkpoint), "weights": weights, "bytes": sizes,
                "members": self.members}

    def _write(self, graph: onnx.ModelProto, path: Path) -> None:
        with open(path, "wb") as file:
            self.weights.write_model(graph, file)
        self.file.flush()   # for who reads the model before the last member is written

    def _describe(self, graph: onnx.ModelProto, path: Path, facts: Record) -> None:
        self.single_files += graph.ByteSize()
        self.shared = self.shared or {
            **{key: facts[key] for key in SHARED_FACTS}, "created": facts["created"],
            "inputs": describe_inputs(graph.graph.input), "outputs": describe_inputs(graph.graph.output)}
        self.members.append({
            **facts["merging"], **metadata.describe_file(path), "weights_bytes": weights_size(graph),
            "macs": sum(count_macs(graph).values()), "operators": count_operators(graph),
            "verification": facts["verification"]})
