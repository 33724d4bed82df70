"""Grey and RGB, one as the other."""

import cv2
import numpy as np


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """An image (H, W), (H, W, 1) or (H, W, 3) of uint8 as (H, W, channels); grey is ITU-R BT.601 luma."""
    image = image if image.ndim == 3 else image[:, :, None]
    if image.shape[2] == channels:
        return image
    code = cv2.COLOR_GRAY2RGB if channels == 3 else cv2.COLOR_RGB2GRAY
    return cv2.cvtColor(np.ascontiguousarray(image), code).reshape(*image.shape[:2], channels)
