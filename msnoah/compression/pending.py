"""States that wait in a folder to be compressed, and the process that does it while training goes on.

    python -m msnoah.compression.pending '{"folder": ..., "settings": {...}, "key_frame_every": 5}'

compresses what waits for each line, a number, on its standard input. It answers a line of JSON for each state:
{"done": name}, {"failed": name, "why": ..., "look": number}, or {"said": ...} for what the user should know. It ends at
once when its input does, or its parent: it must not write when training is resumed.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msnoah.atomic_file import remove_file, remove_leftovers
from msnoah.compression.chain import Chain
from msnoah.compression.compressing import append_state
from msnoah.compression.settings import ExcpSettings
from msnoah.errors import CheckpointError, MsnoahError, describe_failure
from msnoah.run_lock import RunLock
from msnoah.state_file import read_state

LOWEST_PRIORITY = 19
_POLL_S = 0.5
Answer = dict[str, Any]


def pending_folder(chain: Path) -> Path:
    """Where the states lie that wait to go into a chain."""
    return chain / "pending"


def pending_paths(chain: Path) -> list[Path]:
    """The states that wait, named by their steps, oldest first."""
    found = [path for path in pending_folder(chain).glob("*.ckpt") if path.stem.isdigit()]
    return sorted(found, key=lambda path: int(path.stem))


@dataclass
class PendingStates:
    """Compresses what waits, in the order of its steps."""

    folder: Path
    settings: ExcpSettings
    key_frame_every: int
    _chain: Chain = field(init=False)

    def __post_init__(self):
        self._chain = Chain(self.folder)

    def compress(self) -> Iterator[Answer]:
        """An answer for each state. One that cannot be written stays, and those after it wait behind it."""
        for path in pending_paths(self.folder):
            try:
                with RunLock(self.folder):   # `msnoah ckpt compress` may be at work here too
                    remove_leftovers(self.folder)
                    yield from self._compress(path)
            except (MsnoahError, OSError, MemoryError) as error:
                yield {"failed": path.name, "why": describe_failure(error)}
                return
            yield {"done": path.name}

    def _compress(self, path: Path) -> Iterator[Answer]:
        step = int(path.stem)
        if step not in self._chain.steps():   # or a kill came before the removal
            try:
                arrays, metadata = read_state(path)
            except CheckpointError as error:   # it would stand in the way for ever
                os.replace(path, path.with_suffix(".damaged"))
                yield {"said": f"{error}; it stays out of the chain"}
                return
            try:
                append_state(self._chain, step, arrays, metadata, self.settings, self.key_frame_every)
            except CheckpointError as error:
                yield {"said": f"{error}; step {step} becomes a key frame"}
                self._chain.append_key(step, arrays, metadata)
        remove_file(path)


def main(argument: str) -> None:
    """The process: see the head of this file."""
    for number in (signal.SIGINT, signal.SIGTERM):   # whoever trains decides when it ends
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(LOWEST_PRIORITY)
    order = json.loads(argument)
    states = PendingStates(Path(order["folder"]), ExcpSettings(**order["settings"]), order["key_frame_every"])
    looks: queue.Queue[int] = queue.Queue()
    for watch in (_read, _watch_parent):
        threading.Thread(target=watch, args=(looks,), daemon=True).start()
    while True:
        look = looks.get()
        for answer in states.compress():
            print(json.dumps({**answer, "look": look}), flush=True)


def _read(looks: "queue.Queue[int]") -> None:
    for line in sys.stdin:
        looks.put(int(line))
    os._exit(0)


def _watch_parent(looks: "queue.Queue[int]") -> None:
    """A forked child of the parent may hold the other end of the pipe open."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(_POLL_S)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
