"""The end of a process: how it came, what was said last, and the end of a whole group."""

import os
import signal
import subprocess
from pathlib import Path

LONGEST_WORDS = 300


def describe_ending(code: int) -> str:
    """An exit code as subprocess gives it: `died of signal 11 (SIGSEGV)`, `ended with exit code 3`."""
    if code < 0:
        return f"died of signal {-code} ({signal.Signals(-code).name})"
    return f"ended with exit code {code}"


def last_words(log: Path) -> str:
    """`: ` and the last line of a log, at most LONGEST_WORDS letters of it; nothing where the log is empty."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f": {lines[-1].strip()[:LONGEST_WORDS]}" if lines else ""


def end_group(process: subprocess.Popen) -> None:
    """Ends what is left of a process that has a group of its own: itself if it hangs, and children that outlived it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
