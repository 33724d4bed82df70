"""A chain of compressed checkpoints in a folder: key frames that stand alone, and steps that need their predecessor.

A file is named after its training step. It names its predecessor with that one's checksum, so that a chain in which one
file was exchanged does not restore into something else.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msnoah.compression.block_file import read_blocks, read_record, write_blocks
from msnoah.compression.loss import measure_loss
from msnoah.compression.packing import pack_arrays, pack_codes, unpack_arrays, unpack_codes
from msnoah.compression.settings import ExcpSettings
from msnoah.compression.step import STREAMS, Step, decode_step, encode_step
from msnoah.errors import CheckpointError
from msnoah.file_hash import hash_file

SUFFIX = ".excp"
State = Mapping[str, np.ndarray]
Arrays = dict[str, np.ndarray]


@dataclass
class Chain:
    """A folder of steps; what was restored last is kept, so that going through a chain decodes each file once."""

    folder: Path
    _last: tuple[Path, Arrays] | None = None

    def paths(self) -> list[Path]:
        """The files, oldest first."""
        return sorted(self.folder.glob(f"*{SUFFIX}"))

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
        previous, reference = self._newest_before(step)
        coded = encode_step(state, reference, settings)
        restored = decode_step(coded, reference)
        described, raw = pack_arrays(coded.raw)
        blocks = {stream: pack_codes(codes, settings.bits) for stream, codes in coded.codes.items()}
        record = {
            "step": step, "kind": "change", "previous": {"file": previous.name, "sha256": hash_file(previous)},
            "settings": asdict(settings), "tensors": coded.tensors, "raw": described, "metadata": metadata,
            "counts": {stream: len(codes) for stream, codes in coded.codes.items()},
            "loss": measure_loss(coded, state, reference, restored),
        }
        blocks |= {"centres": coded.centres.astype("<f4").tobytes(), "raw": raw}
        return self._write(step, record, blocks, restored)

    def restore(self, path: Path) -> tuple[Arrays, dict[str, Any]]:
        """The arrays and the metadata of one file of the chain.

        Raises:
            CheckpointError: it or one before it is damaged, missing or another one than was there; says which.
        """
        reference, pending = self._trace(path)
        for place, record, blocks in reversed(pending):
            reference = _decode(place, record, blocks, reference)
        self._last = path, reference
        return dict(reference), pending[0][1]["metadata"] if pending else read_record(path)["metadata"]

    def _trace(self, path: Path) -> tuple[Arrays, list[tuple[Path, dict[str, Any], dict[str, bytes]]]]:
        """Goes back to a key frame, or to what was restored last: its arrays, and the files after it, newest first."""
        pending, place = [], path
        while not (self._last and self._last[0] == place):
            record, blocks = read_blocks(place)
            pending.append((place, record, blocks))
            if record["kind"] == "key":
                return {}, pending
            place = self._predecessor(place, record)
        return self._last[1], pending

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

    def _predecessor(self, path: Path, record: dict[str, Any]) -> Path:
        previous = self.folder / record["previous"]["file"]
        if not previous.is_file():
            raise CheckpointError(f"{path}: needs {previous.name}, which is missing")
        if hash_file(previous) != record["previous"]["sha256"]:
            raise CheckpointError(f"{path}: needs {previous.name}, which is damaged or not what it was coded against")
        return previous

    def _newest_before(self, step: int) -> tuple[Path, Arrays]:
        paths = self.paths()
        if not paths:
            raise CheckpointError(f"{self.folder}: an empty chain; it begins with a key frame")
        newest = paths[-1]
        if read_record(newest)["step"] >= step:
            raise CheckpointError(f"{newest}: step {step} is not after it; a chain goes forward")
        return newest, self.restore(newest)[0]

    def _write(self, step: int, record: dict[str, Any], blocks: dict[str, bytes], restored: Arrays) -> Arrays:
        path = self.folder / f"{step:09d}{SUFFIX}"
        write_blocks(path, record, blocks)
        self._last = path, restored
        return dict(restored)


def _decode(path: Path, record: dict[str, Any], blocks: dict[str, bytes], reference: Arrays) -> Arrays:
    """The state of one file; `reference` is that of its predecessor."""
    try:
        raw = unpack_arrays(record["raw"], blocks["raw"])
        return raw if record["kind"] == "key" else decode_step(_step(record, blocks, raw), reference)
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(f"{path}: holds something else than its header says ({error!r:.100})") from error


def _step(record: dict[str, Any], blocks: dict[str, bytes], raw: Arrays) -> Step:
    bits, counts = record["settings"]["bits"], record["counts"]
    codes = {stream: unpack_codes(blocks[stream], bits, counts[stream]) for stream in STREAMS}
    return Step(record["tensors"], codes, np.frombuffer(blocks["centres"], "<f4"), raw)
