"""How a process ended and what it said last, in words."""

import signal
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
