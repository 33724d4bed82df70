"""Ways in which a file gets lost."""

import os
from pathlib import Path


def flip_a_bit(path: Path) -> None:
    """In the middle, in place: a second name of the file shows it too."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    with open(path, "r+b") as file:
        file.write(content)


def cut_short(path: Path) -> None:
    """A file of its own that lacks the last third."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) * 2 // 3])


def empty(path: Path) -> None:
    """In place, as some file systems leave it after a power failure."""
    os.truncate(path, 0)
