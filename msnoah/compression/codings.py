"""Ways to write a run's states into a folder, one after another, behind one protocol: presets of ExCP, and controls."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from msnoah.compression.block_file import read_record
from msnoah.compression.chain import Chain
from msnoah.compression.compressing import append_state
from msnoah.compression.controls import Control, read_control, write_control
from msnoah.compression.settings import ExcpSettings

Arrays = dict[str, np.ndarray]


class Coding(Protocol):
    """States go through it in the order of their steps; another object of its kind reads them back in that order."""

    def write(self, step: int, state: Mapping[str, np.ndarray], metadata: dict[str, Any]) -> tuple[Path, Arrays]:
        """Writes a state: its file, and what that has to restore to, bit for bit."""

    def read(self, path: Path) -> Arrays:
        """What is restored of a file; those before it were read before."""

    def kind(self, path: Path) -> str:
        """'key' stands alone though others need their predecessor, 'change' needs it, 'whole' is of a coding that never
        looks back."""


class ChainCoding:
    """ExCP as `msnoah ckpt compress` writes it."""

    def __init__(self, folder: Path, settings: ExcpSettings, key_frame_every: int):
        self._chain, self._settings, self._every = Chain(folder), settings, key_frame_every

    def write(self, step: int, state: Mapping[str, np.ndarray], metadata: dict[str, Any]) -> tuple[Path, Arrays]:
        """Appends a key frame or a change."""
        restored = append_state(self._chain, step, state, metadata, self._settings, self._every)
        return self._chain.paths()[-1], restored

    def read(self, path: Path) -> Arrays:
        """Restores from the files alone."""
        return self._chain.restore(path)[0]

    def kind(self, path: Path) -> str:
        """As its record says."""
        return read_record(path)["kind"]


class ControlCoding:
    """A control, a file a state."""

    def __init__(self, folder: Path, control: Control):
        self._folder, self._control, self._previous = folder, control, {}

    def write(self, step: int, state: Mapping[str, np.ndarray], metadata: dict[str, Any]) -> tuple[Path, Arrays]:
        """Codes against the exact state before."""
        path, control = self._folder / f"{step:09d}.control", self._control
        path.write_bytes(write_control(control, state, self._previous))
        restored = control.decode(control.encode(state, self._previous), self._previous)
        self._keep(state)
        return path, restored

    def read(self, path: Path) -> Arrays:
        """What the control leaves of a state."""
        restored = read_control(self._control, path.read_bytes(), self._previous)
        self._keep(restored)
        return restored

    def kind(self, path: Path) -> str:
        """'key' for the first of those that need a predecessor."""
        first = path == min(self._folder.iterdir())
        return ("key" if first else "change") if self._control.needs_previous else "whole"

    def _keep(self, state: Mapping[str, np.ndarray]) -> None:
        if self._control.needs_previous:
            self._previous = dict(state)
