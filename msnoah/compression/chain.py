"""A chain of compressed checkpoints in a folder: key frames that stand alone, and steps that need their predecessor.

A file is named after its training step. It names its predecessor with that one's checksum, so that a chain in which one
file was exchanged does not restore into something else.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from msnoah.atomic_file import remove_file
from msnoah.compression.block_file import BlockFile, read_blocks, read_record, write_blocks
from msnoah.compression.loss import measure_loss
from msnoah.compression.packing import pack_arrays, unpack_arrays
from msnoah.compression.settings import ExcpSettings
from msnoah.compression.step import decode_step, encode_step
from msnoah.compression.streams import pack_step, unpack_step
from msnoah.errors import CheckpointError

SUFFIX = ".excp"
State = Mapping[str, np.ndarray]
Arrays = dict[str, np.ndarray]


class _Restored(NamedTuple):
    path: Path
    sha256: str
    arrays: Arrays
    metadata: dict[str, Any]


@dataclass
class Chain:
    """A folder of steps; what was restored last is kept, so that going through a chain decodes each file once."""

    folder: Path
    _last: _Restored | None = None

    def paths(self) -> list[Path]:
        """The files, oldest first."""
        return sorted(self.folder.glob(f"*{SUFFIX}"))

    def steps(self) -> dict[int, Path]:
        """The files by their steps, oldest first."""
        return {int(path.stem): path for path in self.paths() if path.stem.isdigit()}

    def append_key(self, step: int, state: State, metadata: dict[str, Any]) -> Arrays:
        """Writes a state without loss; gives it back as it will be restored."""
        described, content = pack_arrays(dict(state))
        record = {"step": step, "kind": "key", "previous": None, "raw": described, "metadata": metadata}
        return self._write(step, record, {"raw": content}, dict(state))

    def append(self, step: int, state: State, settings: ExcpSettings, metadata: dict[str, Any]) -> Arrays:
        """Writes a state against the newest file; gives what will be restored of it.

        Raises:
            CheckpointError: an empty chain, a step that is not after the newest, or a damaged predecessor.
            RunFolderError: the system refused to write.
        """
        previous = self._newest_before(step)
        coded = encode_step(state, previous.arrays, settings)
        restored = decode_step(coded, previous.arrays)
        described, raw = pack_arrays(coded.raw)
        packed, blocks = pack_step(coded, settings.bits)
        record = {
            "step": step, "kind": "change", "previous": {"file": previous.path.name, "sha256": previous.sha256},
            "settings": asdict(settings), **packed, "raw": described, "metadata": metadata,
            "loss": measure_loss(coded, state, previous.arrays, restored),
        }
        return self._write(step, record, {**blocks, "raw": raw}, restored)

    def restore(self, path: Path) -> tuple[Arrays, dict[str, Any]]:
        """The arrays and the metadata of one file of the chain.

        Raises:
            CheckpointError: it or one before it is damaged, missing or another one than was there; says which.
        """
        restored = self._restore(path)
        return dict(restored.arrays), restored.metadata

    def truncate(self, after: int) -> None:
        """Removes the files of later steps, the newest first, so that a kill leaves a chain.

        Raises:
            RunFolderError: the system refused to remove one.
        """
        for step, path in reversed(self.steps().items()):
            if step > after:
                remove_file(path)
        self._last = None

    def _restore(self, path: Path) -> _Restored:
        restored, pending = self._trace(path)
        for place, file in reversed(pending):
            arrays = _decode(place, file, restored.arrays if restored else {})
            restored = _Restored(place, file.sha256, arrays, file.record["metadata"])
        self._last = restored
        return restored

    def _trace(self, path: Path) -> tuple[_Restored | None, list[tuple[Path, BlockFile]]]:
        """Goes back to a key frame, or to what was restored last: that, and the files after it, newest first."""
        pending, place, expected = [], path, None
        while not (self._last and self._last.path == place and expected in (None, self._last.sha256)):
            file = read_blocks(place)
            if expected not in (None, file.sha256):
                raise CheckpointError(f"{pending[-1][0]}: needs {place.name}, which is not what it was coded against")
            pending.append((place, file))
            if file.record["kind"] == "key":
                return None, pending
            place, expected = self._predecessor(place, file.record)
        return self._last, pending

    def newest_intact(self) -> Path:
        """The newest file that restores.

        Raises:
            CheckpointError: none does; says what is wrong with the newest.
        """
        faults = []
        for path in reversed(self.paths()):
            try:
                self.restore(path)
                return path
            except CheckpointError as error:
                faults.append(str(error))
        raise CheckpointError(faults[0] if faults else f"{self.folder}: holds no {SUFFIX} files")

    def _predecessor(self, path: Path, record: dict[str, Any]) -> tuple[Path, str]:
        """The file that a step was coded against, and its hash."""
        previous = self.folder / record["previous"]["file"]
        if not previous.is_file():
            raise CheckpointError(f"{path}: needs {previous.name}, which is missing")
        return previous, record["previous"]["sha256"]

    def _newest_before(self, step: int) -> _Restored:
        paths = self.paths()
        if not paths:
            raise CheckpointError(f"{self.folder}: an empty chain; it begins with a key frame")
        newest = paths[-1]
        if read_record(newest)["step"] >= step:
            raise CheckpointError(f"{newest}: step {step} is not after it; a chain goes forward")
        return self._restore(newest)

    def _write(self, step: int, record: dict[str, Any], blocks: dict[str, bytes], restored: Arrays) -> Arrays:
        path = self.folder / f"{step:09d}{SUFFIX}"
        sha256 = write_blocks(path, record, blocks)
        self._last = _Restored(path, sha256, restored, record["metadata"])
        return dict(restored)


def _decode(path: Path, file: BlockFile, reference: Arrays) -> Arrays:
    """The state of one file; `reference` is that of its predecessor."""
    record, blocks = file.record, file.blocks
    try:
        raw = unpack_arrays(record["raw"], blocks["raw"])
        if record["kind"] == "key":
            return raw
        return decode_step(unpack_step(record, blocks, record["settings"]["bits"], raw), reference)
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(f"{path}: holds something else than its header says ({error!r:.100})") from error
