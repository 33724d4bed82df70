"""Pictures that commands draw, written as PNG."""

from pathlib import Path

import cv2
import numpy as np

from msnoah.atomic_file import replacing
from msnoah.errors import DataError

SUFFIX = ".png"


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Writes (H, W, 3) uint8 RGB as one atomic replacement, and makes its folder.

    Raises:
        DataError: PNG cannot hold it.
        RunFolderError: the system refused to write.
    """
    try:
        content = cv2.imencode(SUFFIX, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    except cv2.error as error:
        size = f"{picture.shape[1]} x {picture.shape[0]}"
        raise DataError(f"{path}: a picture of {size} cannot be written: {error.err}") from error
    with replacing(path) as temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content.tobytes())
