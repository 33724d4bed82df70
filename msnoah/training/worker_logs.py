"""What workers and msrun wrote into the run folder: shown while they run, and searched for a cause when they failed."""

import re
import signal
import sys
from pathlib import Path

_SAID = re.compile(r"^msnoah train: (.+)$", re.MULTILINE)
_ENDED = re.compile(r"Worker process (\d+) exit with exception\. Error code: (-?\d+)")
_OF_MINDSPORE = re.compile(rb"^\[(INFO|WARNING|ERROR|CRITICAL|DEBUG)\] ")


class LogFollower:
    """Copies what is added to a worker's log to stderr; MindSpore's own log lines stay in the file."""

    def __init__(self, path: Path):
        self._path, self._place, self._rest = path, 0, b""

    def copy(self) -> None:
        """Shows what came since the last call. A progress bar ends in a carriage return: an end of line, too."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._place)
                added = file.read()
        except FileNotFoundError:   # msrun has not started the worker yet
            return
        self._place += len(added)
        *lines, self._rest = re.split(rb"(?<=[\r\n])", self._rest + added)
        for line in lines:
            if not _OF_MINDSPORE.match(line) and not _SAID.match(line.decode(errors="replace")):
                sys.stderr.write(line.decode(errors="replace"))
        sys.stderr.flush()


def explain_failure(folder: Path, ranks: dict[int, int]) -> str:
    """Why a group failed: what workers said, or how the first of them ended.

    Args:
        folder: with worker_<rank>.log and msrun.log.
        ranks: the worker of each process id.
    """
    logs = {int(path.stem.split("_")[1]): path for path in sorted(folder.glob("worker_*.log"))}
    said = {rank: _SAID.findall(_read(path)) for rank, path in logs.items()}
    causes = {messages[-1]: rank for rank, messages in reversed(said.items()) if messages}
    if len(causes) == 1 and all(said.values()):
        return next(iter(causes))
    if causes:
        ordered = sorted(causes.items(), key=lambda pair: pair[1])
        return "; ".join(f"worker {rank}: {message}" for message, rank in ordered)
    ended = _ENDED.search(_read(folder / "msrun.log"))
    if not ended:
        return f"the workers ended early; their logs lie in {folder}"
    return _describe_end(ranks.get(int(ended.group(1))), int(ended.group(2)), logs, folder)


def _describe_end(rank: int | None, code: int, logs: dict[int, Path], folder: Path) -> str:
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    lines = [line for line in _read(logs[rank]).splitlines() if line and line[0] not in " [("] if rank in logs else []
    last = f": {lines[-1]:.300}" if lines and code > 0 else ""
    return f"worker {'?' if rank is None else rank} {how}{last}; its log: {logs.get(rank, folder)}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
