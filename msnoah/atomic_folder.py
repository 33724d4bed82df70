"""Folders whose files belong together: all of them are new, or all of them are the earlier ones."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msnoah.atomic_file import flush_to_disk
from msnoah.errors import RunFolderError


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Gives an empty folder beside `path`; when the block ends well, that folder takes the place of `path`.

    A full disk or a kill leaves the earlier folder whole. Only a kill between two renames leaves none, and then the
    next call puts the earlier one back. Its files are for one writer at a time.

    Raises:
        RunFolderError: the system refused to write, with its reason.
    """
    path = Path(path)
    new, old = (path.with_name(f".{path.name}.{age}") for age in ("new", "old"))
    try:
        _put_back(old, path)
        _remove(new)
        new.mkdir()
        yield new
        for file in new.iterdir():
            flush_to_disk(file)
        if path.exists():
            os.replace(path, old)
        os.replace(new, path)
        _remove(old)
    except OSError as error:
        what = error.strerror or error
        raise RunFolderError(f"{path}: cannot be written: {what}; the earlier folder is kept") from error
    finally:
        _put_back(old, path)
        _remove(new)


def _put_back(old: Path, path: Path) -> None:
    """After a kill, or a failure, between the two renames."""
    if old.exists() and not path.exists():
        os.replace(old, path)
    _remove(old)


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
