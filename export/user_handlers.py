"""Handlers from outside: a Python file whose functions have `@handles` over them."""

import importlib.util
import traceback
from pathlib import Path

from msnoah.errors import ConversionError, MsnoahError
from msnoah.export.ops import HANDLERS


def load_handlers(path: str | Path) -> list[str]:
    """Runs a Python file that registers handlers with `from msnoah.export import handles`.

    Returns:
        The primitives that it added, sorted.

    Raises:
        ConversionError: the file is missing or no Python file, fails while it runs (with its line), adds nothing, or
            adds a handler for a primitive that has one.
    """
    path, before = Path(path), set(HANDLERS)
    spec = importlib.util.spec_from_file_location(f"msnoah_handlers_{path.stem}", path)
    if not path.is_file() or spec is None:
        raise ConversionError(f"{path}: no such file; expected a Python file with handlers, as in my_handlers.py")
    try:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except Exception as error:  # A user's file may fail in any way.
        reason = str(error) if isinstance(error, MsnoahError) else f"{type(error).__name__}: {error}"
        raise ConversionError(f"{path}{_line(error, path)}: {' '.join(reason.split())}") from error
    added = set(HANDLERS) - before
    if not added:
        raise ConversionError(
            f'{path} adds no handler; put @handles("Primitive") over a function (docs/convert.md shows how)')
    return sorted(added)


def _line(error: Exception, path: Path) -> str:
    if isinstance(error, SyntaxError):
        return f":{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f":{lines[-1]}" if lines else ""
