"""Another program whose lines pass by while one waits: on one line with a clock in a terminal, else line by line."""

import os
import queue
import re
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from threading import Thread

from tqdm import tqdm

from msnoah.deploy.process_ending import LONGEST_WORDS, describe_ending, end_group
from msnoah.errors import ToolError

STEPS = re.compile(r"\s*(Collecting|Downloading|Using cached|Installing|Successfully|Uninstalling|Found existing)")
"""Lines of pip that say how far it is."""
KEPT_LINES = 50


def run_shown(command: Sequence[str], title: str) -> None:
    """Runs a command in a process group of its own, which goes as a whole when the caller is interrupted.

    Args:
        command: an argument list.
        title: what stands before its lines, and begins the error.

    Raises:
        ToolError: it cannot be started or fails; its line that begins with ERROR, else its last one.
    """
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", start_new_session=True)
    except OSError as error:
        raise ToolError(f"{title}: {command[0]} cannot be started: {error.strerror}") from error
    last = deque(maxlen=KEPT_LINES)
    try:
        _show(process, title, last)
        code = process.wait()
    finally:
        end_group(process)
        process.stdout.close()
    if code:
        raise ToolError(f"{title}: {os.path.basename(command[0])} {describe_ending(code)}{_complaint(last)}")


def _show(process: subprocess.Popen, title: str, last: deque[str]) -> None:
    lines: queue.Queue[str | None] = queue.Queue()
    Thread(target=_read, args=(process, lines), daemon=True).start()
    bar = tqdm(bar_format="{desc} [{elapsed}]", disable=not sys.stderr.isatty(), leave=False)
    with bar:
        while (line := _next(lines)) is not None:
            if line:
                last.append(line)
                _print_step(line, bar)
            bar.set_description_str(f"{title}: {last[-1][:80] if last else ''}")


def _print_step(line: str, bar: tqdm) -> None:
    if bar.disable and STEPS.match(line):
        print(f"  {line}", file=sys.stderr, flush=True)


def _read(process: subprocess.Popen, lines: queue.Queue) -> None:
    for line in process.stdout:
        lines.put(line.rstrip())
    lines.put(None)


def _next(lines: queue.Queue) -> str | None:
    """The next line, None after the last; empty when a second has passed without one, so that the clock goes on."""
    try:
        return lines.get(timeout=1.0)
    except queue.Empty:
        return ""


def _complaint(lines: Sequence[str]) -> str:
    chosen = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1] if lines else "")
    return f": {chosen.strip()[:LONGEST_WORDS]}" if chosen else ""
