"""The state of the source that a figure or an artifact was made with."""

import subprocess
from pathlib import Path

import msnoah


def find_commit() -> str | None:
    """The git commit of the clone that msnoah runs from, with "-dirty" if it is changed; None if it runs from no clone."""
    root = Path(msnoah.__file__).resolve().parents[1]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    if not (root / ".git").exists():
        return None
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
