"""Files that are either whole or not there: written beside their place, flushed to the disk, then renamed."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msnoah.errors import RunFolderError

_UNFLUSHABLE = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM,
                errno.EISDIR}
"""What systems answer that cannot flush a folder, or open one; a disk that failed answers otherwise."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path in the same folder; when the block ends well, its file takes the place of `path`.

    A full disk, a missing right, a kill or a power failure leaves the earlier file as it was.

    Raises:
        RunFolderError: the system refused to write, with its reason.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        flush_to_disk(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be written: {error.strerror or error}; the earlier file is kept") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    flush_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text as one atomic replacement."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def link_file(source: Path, path: Path) -> None:
    """Gives a file a second name, which replaces what bore it; a copy where the file system has no links.

    The bytes stay under that name when `source` is replaced.

    Raises:
        RunFolderError: the system refused.
    """
    temporary = path.with_name(f".{path.name}.link.tmp")
    try:
        os.link(source, temporary)
        os.replace(temporary, path)
        flush_folder(path.parent)
    except OSError:
        with replacing(path) as copy:
            shutil.copyfile(source, copy)
    finally:
        with suppress(OSError):   # a rename of one file onto itself leaves both names
            temporary.unlink()


def remove_file(path: Path) -> None:
    """Removes a file, if it is there; RunFolderError if the system refuses."""
    try:
        Path(path).unlink(missing_ok=True)
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be removed: {error.strerror}") from error


def flush_to_disk(path: Path) -> None:
    """Waits until a file's contents are on the disk, so that no rename comes before them; OSError if that fails."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(path: Path) -> None:
    """Waits until a folder's names are on the disk, where its file system can do that.

    Raises:
        RunFolderError: the disk failed, so that a name may be lost with the power.
    """
    try:
        flush_to_disk(path)
    except OSError as error:
        if error.errno not in _UNFLUSHABLE:
            reason = error.strerror or error
            raise RunFolderError(f"{path}: its names cannot be flushed to the disk: {reason}") from error


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files of processes that were killed while they wrote; nobody may be writing there."""
    for leftover in folder.glob(".*.tmp"):
        with suppress(OSError):
            leftover.unlink()
