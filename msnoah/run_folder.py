"""A run is a folder: every command reads it and adds to it (see the file list at RunFolder)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msnoah.atomic_file import replacing, write_text
from msnoah.config import RunConfig
from msnoah.config_file import dump_config, load_config
from msnoah.errors import RunFolderError
from msnoah.run_lock import RunLock


class RunFolder:
    """The files of one run.

    config.yaml (resolved)  history.jsonl  best.ckpt  last.ckpt        written by training
    checkpoints/*.ckpt  chain/*.excp                                   states kept by training, in full or compressed
    non_finite/*.npz  workers/*.log                                    written by training: batches that broke it; of --workers
    compression.json                                                   written by ckpt measure
    evaluation.json  evaluation_onnx.json                              written by eval
    degrees.json                                                       written by degrees
    model.mindir  model.onnx  export.json                              written by export
    family/*.onnx  family/weights.bin  family/family.json              written by export --family
    family/accuracy.json  tune.json                                    written by tune
    model_fp16.onnx  model_int8.onnx  quantization.json                written by quantize (and export.json)
    profiles/*.json                                                    written by profile
    predictions/*.png                                                  written by eval of a segmentation artifact
    demo/*.mp4  demo/*.png                                             written by demo
    report.html                                                        written by report
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config_path = self.path / "config.yaml"
        self.history_path = self.path / "history.jsonl"
        self.best_checkpoint = self.path / "best.ckpt"
        self.last_checkpoint = self.path / "last.ckpt"
        self.checkpoints_path = self.path / "checkpoints"
        self.chain_path = self.path / "chain"
        self.compression_path = self.path / "compression.json"
        self.non_finite_path = self.path / "non_finite"
        self.workers_path = self.path / "workers"
        self.evaluation_path = self.path / "evaluation.json"
        self.onnx_evaluation_path = self.path / "evaluation_onnx.json"
        self.degrees_path = self.path / "degrees.json"
        self.mindir_path = self.path / "model.mindir"
        self.onnx_path = self.path / "model.onnx"
        self.export_path = self.path / "export.json"
        self.family_path = self.path / "family"
        self.family_record_path = self.family_path / "family.json"
        self.tuning_path = self.path / "tune.json"
        self.quantization_path = self.path / "quantization.json"
        self.profiles_path = self.path / "profiles"
        self.predictions_path = self.path / "predictions"
        self.report_path = self.path / "report.html"

    @property
    def name(self) -> str:
        """The folder's own name, which names the run in tables and reports."""
        return self.path.resolve().name

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """A folder that a training run has made; RunFolderError where there is none."""
        run = cls(path)
        if not run.path.is_dir():
            raise RunFolderError(f"{run.path}: no such run folder; `msnoah train CONFIG.yaml` makes one")
        if not run.config_path.is_file():
            raise RunFolderError(f"{run.path}: holds no config.yaml, so it is not a run folder")
        return run

    @classmethod
    def create(cls, path: str | Path, config: RunConfig) -> "RunFolder":
        """A new folder that holds the resolved config; RunFolderError if a run lies there or it cannot be written."""
        run = cls(path)
        if run.last_checkpoint.exists() or run.history_path.exists() or run.kept_checkpoints():
            raise RunFolderError(f"{run.path}: holds a run already; add --resume to go on with it, or --run for another folder")
        try:
            run.profiles_path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"{run.path}: cannot be made: {error.strerror}") from error
        with RunLock(run.path):   # a process that trains here has not saved anything yet
            run.write_config(config)
        return run

    def config(self) -> RunConfig:
        """The resolved config."""
        return load_config(self.config_path)

    def write_config(self, config: RunConfig) -> None:
        """Replaces the resolved config."""
        write_text(self.config_path, dump_config(config))

    def history(self) -> list[dict[str, Any]]:
        """One record an epoch, oldest first; a last line that a kill cut short is left out."""
        return list(self._history_records()) if self.history_path.is_file() else []

    def append_history(self, record: dict[str, Any]) -> None:
        """Adds one epoch's record."""
        self.write_history([*self.history(), record])

    def write_history(self, records: list[dict[str, Any]]) -> None:
        """Replaces the history; resuming drops the epochs after its checkpoint this way."""
        write_text(self.history_path, "".join(json.dumps(record) + "\n" for record in records))

    def kept_checkpoints(self) -> list[Path]:
        """The whole states that training keeps, named by their steps, oldest first."""
        found = [path for path in self.checkpoints_path.glob("*.ckpt") if path.stem.isdigit()]
        return sorted(found, key=lambda path: int(path.stem))

    def export_record(self) -> dict[str, Any]:
        """What export.json says of the artifacts; RunFolderError if nothing was exported."""
        if not self.export_path.is_file():
            raise RunFolderError(f"{self.path}: nothing exported yet; `msnoah export {self.path}` writes model.onnx and model.mindir")
        return read_json(self.export_path)

    def profile_paths(self) -> list[Path]:
        """The measurements taken so far, by name."""
        return sorted(self.profiles_path.glob("*.json"))

    def _history_records(self) -> Iterator[dict[str, Any]]:
        lines = self.history_path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                if number < len(lines):
                    raise RunFolderError(f"{self.history_path}:{number}: not a JSON record: {error.msg}") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; RunFolderError names the file and line of what is wrong."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise RunFolderError(f"{path}:{getattr(error, 'lineno', 1)}: not JSON: {getattr(error, 'msg', error)}") from error
    if not isinstance(record, dict):
        raise RunFolderError(f"{path}: holds a {type(record).__name__}, expected a JSON object")
    return record


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Writes a JSON object as one atomic replacement."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
