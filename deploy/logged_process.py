"""Another program's run: its output goes to a log, and it does not outlive its time."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from msnoah.deploy.process_ending import describe_ending, end_group


def run_logged(command: Sequence[str], log: Path, limit_s: float) -> str | None:
    """Runs a command in the log's folder, in a process group of its own, which goes as a whole when the time is over.

    Returns:
        None if it ended well, else how it ended: `died of signal 11 (SIGSEGV)`, `was ended after 600 s`.

    Raises:
        OSError: it cannot be started.
    """
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, cwd=log.parent, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return f"was ended after {limit_s:g} s"
        finally:
            end_group(process)
    return describe_ending(code) if code else None
