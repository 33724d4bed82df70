"""A conversion for an NPU: its command as text, or run in a process of its own with a time limit."""

import shlex
from pathlib import Path
from typing import Any

from msnoah.deploy.converters.base import Driver, Request, error_in, find_tool, fixed_shapes
from msnoah.deploy.converters.table import DRIVERS
from msnoah.deploy.logged_process import run_logged
from msnoah.deploy.npu.facts import GraphFacts
from msnoah.deploy.npu.rules import Target
from msnoah.deploy.process_ending import last_words
from msnoah.errors import ConversionError, ToolError

LIMIT_S = 1800.0
LOG_FILE = "convert.log"
NO_COMMAND = "no conversion"


def describe_command(facts: GraphFacts, target: Target, folder: Path, device: str | None = None) -> str:
    """The command that would convert, as a line for a shell; or why there is none."""
    if not target.converter:
        return f"{NO_COMMAND}: {target.converter_note}"
    driver = DRIVERS[target.converter]
    try:
        request = _request(facts, target, folder, device)
    except ConversionError as error:
        return f"{NO_COMMAND}: {error}"
    program = driver.program or f"${next(iter(driver.places))}"
    line = shlex.join(driver.command(program, request)).replace(f"'{program}'", program)
    return f"{line}{f'  # {target.converter_note}' if target.converter_note else ''}"


def convert_graph(
    facts: GraphFacts, target: Target, folder: Path, device: str | None = None, limit_s: float = LIMIT_S,
) -> dict[str, Any]:
    """Runs the target's converter; its log stays in the folder.

    Returns:
        target, tool, command (an argument list), files, log, complaint (a line of the log that reads like an error
        though the tool ended well, else None).

    Raises:
        ConversionError: no converter for the target, or an input with open axes.
        RuntimeUnavailableError: the tool is not found.
        ToolError: it failed, crashed, hung or left no file; names the line of its log that says why.
    """
    if not target.converter:
        raise ConversionError(f"{target.name} has no converter: {target.converter_note}")
    driver = DRIVERS[target.converter]
    request = _request(facts, target, folder.resolve(), device)
    command = driver.command(find_tool(driver), request)
    request.folder.mkdir(parents=True, exist_ok=True)
    for suffix in driver.suffixes:   # what an earlier conversion left must not pass for this one's
        Path(f"{request.stem}{suffix}").unlink(missing_ok=True)
    log = request.folder / LOG_FILE
    _run(driver, command, log, limit_s)
    files = [f"{request.stem}{suffix}" for suffix in driver.suffixes if Path(f"{request.stem}{suffix}").is_file()]
    if not files:
        raise ToolError(f"{driver.name} ended well and left no {request.stem}{driver.suffixes[0]}{_why(log, driver)}")
    record = {"target": target.name, "tool": driver.name, "command": command, "files": files, "log": str(log)}
    return {**record, "complaint": error_in(_read(log), driver)}


def _request(facts: GraphFacts, target: Target, folder: Path, device: str | None) -> Request:
    chip = device or DRIVERS[target.converter].devices[target.name]
    return Request(facts.path.resolve(), folder, fixed_shapes(facts.inputs), chip)


def _run(driver: Driver, command: list[str], log: Path, limit_s: float) -> None:
    try:
        ending = run_logged(command, log, limit_s)
    except OSError as error:
        raise ToolError(f"{driver.name} cannot be started: {command[0]}: {error.strerror}") from None
    if ending:
        raise ToolError(f"{driver.name} {ending}{_why(log, driver)}")


def _why(log: Path, driver: Driver) -> str:
    error = error_in(_read(log), driver)
    return f"{f': {error}' if error else last_words(log)} (log: {log})"


def _read(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")
