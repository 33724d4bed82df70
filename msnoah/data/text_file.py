"""Lists and annotations as text."""

from pathlib import Path

from msnoah.errors import DataError


def read_text(path: Path, purpose: str) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; `purpose` ends the message of one that has none.

    Raises:
        DataError: a file that cannot be read, or that is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; {purpose}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no text in UTF-8 (byte {error.start}); {purpose}") from error
