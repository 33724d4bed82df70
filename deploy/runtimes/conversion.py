"""Converts an ONNX artifact to what another runtime reads: once, in a process of its own, into a folder that is kept.

Converters crash and hang. Each runs as `python -m MODULE artifact folder batch` and leaves its files in the folder;
what becomes of it is told in one line. The result lies in the run's profiles/converted, since it is the file that goes
on a device too, under a name that holds what it depends on: artifact, batch, versions, the converting module. For an
.onnx file without a run, next to which nothing is written, it lies in a temporary folder.
"""

import hashlib
import importlib.util
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from msnoah.deploy.artifact import Artifact, TensorSpec
from msnoah.deploy.logged_process import run_logged
from msnoah.deploy.process_ending import last_words
from msnoah.errors import ProfileError

LIMIT_S = 600.0
INTERFACE_FILE = "interface.json"
LOG_FILE = "log"
SHARED = "msnoah.deploy.runtimes.fixed_graph"


@dataclass(frozen=True)
class Interface:
    """Inputs with the batch that was converted for, and names of the outputs, both in the artifact's order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]

    def save(self, folder: Path) -> None:
        """Writes INTERFACE_FILE into the folder of what was converted."""
        (folder / INTERFACE_FILE).write_text(json.dumps(asdict(self)), encoding="utf-8")


@dataclass(frozen=True)
class Converter:
    """The `module` that converts for a `runtime`, its `version`, the files that it makes, and how long it may take."""

    runtime: str
    module: str
    version: str
    files: tuple[str, ...]
    limit_s: float = LIMIT_S

    def convert(self, artifact: Artifact, batch: int) -> Artifact:
        """The artifact with the folder of the converted files as its path.

        Raises:
            ProfileError: the converter crashed, hung or left no file; names the runtime, the signal and its last line.
        """
        target = self._root(artifact) / f"{self.runtime}-{artifact.sha256[:12]}-b{batch}-{self._fingerprint()}"
        if not target.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent) as work:
                self._run(artifact.path, Path(work), batch)
                self._keep(Path(work), target)
        return replace(artifact, path=target)

    def _root(self, artifact: Artifact) -> Path:
        if artifact.verified is None:   # no run: the worker's folder, which goes with it
            return Path(tempfile.mkdtemp(dir=os.getcwd()))
        return artifact.path.parent / "profiles" / "converted"

    def _fingerprint(self) -> str:
        sources = (importlib.util.find_spec(name).origin for name in (self.module, SHARED))
        digest = hashlib.sha256(self.version.encode())
        for source in sources:
            digest.update(Path(source).read_bytes())
        return digest.hexdigest()[:8]

    def _run(self, path: Path, folder: Path, batch: int) -> None:
        command = [sys.executable, "-m", self.module, str(path.resolve()), str(folder), str(batch)]
        log = folder / LOG_FILE
        ending = run_logged(command, log, self.limit_s)
        if ending:
            raise ProfileError(f"{self.runtime}'s converter {ending}{last_words(log)}")

    def _keep(self, folder: Path, target: Path) -> None:
        """Moves what is wanted out of a converter's litter, to where it appears whole or not at all."""
        kept = folder / "kept"
        kept.mkdir()
        for name in (INTERFACE_FILE, *self.files):
            if not (folder / name).is_file():
                raise ProfileError(f"{self.runtime}'s converter made no {name}{last_words(folder / LOG_FILE)}")
            os.replace(folder / name, kept / name)
        try:
            os.rename(kept, target)
        except OSError:
            if not target.is_dir():   # else another worker converted the same in the meantime
                raise


def read_interface(folder: Path) -> Interface:
    """Inputs and outputs of what was converted into a folder."""
    record = json.loads((folder / INTERFACE_FILE).read_text(encoding="utf-8"))
    return Interface(tuple(map(TensorSpec.from_record, record["inputs"])), tuple(record["outputs"]))
