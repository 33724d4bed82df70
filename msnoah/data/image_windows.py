"""Images of any size cut into windows of one size, at every scale and mirrored as evaluation wants them.

`cut` gives the windows' pixels for a model, and a plan by which `label_map.py` puts its answers together again. Pure
numpy, so that an artifact is used in the same way as the model in training.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from msnoah.config import SegmentationViewConfig
from msnoah.data.resize import resize
from msnoah.data.segmentation_transforms import fitted_size, pad


@dataclass(frozen=True)
class Axis:
    """How windows cover one side of an image: its length, its length once scaled, and where the windows start there."""

    length: int
    scaled: int
    window: int
    starts: tuple[int, ...]


@dataclass(frozen=True)
class Look:
    """One scale of an image, perhaps mirrored, covered by rows x columns of windows."""

    rows: Axis
    columns: Axis
    mirrored: bool

    @property
    def count(self) -> int:
        """How many windows there are."""
        return len(self.rows.starts) * len(self.columns.starts)


Plan = tuple[Look, ...]


def cut(
    image: np.ndarray, window: tuple[int, int], view: SegmentationViewConfig, *, fill: list[int],
    interpolation: str = "bilinear",
) -> tuple[np.ndarray, Plan]:
    """The windows through which a model sees an image.

    An image is fitted into one window (view.mode whole) or given its own short side (slide), times each of view.scales;
    what exceeds a window is covered by several at a stride, the last of which ends with the image, and what falls short
    of one is padded on the right and below.

    Args:
        image: (H, W, C) uint8 of any size.
        window: height and width of the model's input.
        fill: the colour of padding, C values of 0-255; the mean colour is 0 for a model.
        interpolation: bilinear or bicubic.

    Returns:
        Windows (n, *window, C) uint8 - of each scale, then of its mirror image, row by row - and the plan.
    """
    tiles, plan = [], []
    for scale in view.scales:
        scaled = resize(image, *_scaled_size(image.shape[:2], window, view, scale), interpolation)
        for mirrored in (False, True)[:1 + view.flip]:
            pixels = cv2.flip(scaled, 1).reshape(scaled.shape) if mirrored else scaled
            rows, columns = (_axis(*sides, view.stride) for sides in zip(image.shape[:2], scaled.shape[:2], window))
            plan.append(Look(rows, columns, mirrored))
            tiles += [pad(pixels[top:top + window[0], left:left + window[1]], window, fill)
                      for top in rows.starts for left in columns.starts]
    return np.stack(tiles), tuple(plan)


def _scaled_size(
    size: tuple[int, int], window: tuple[int, int], view: SegmentationViewConfig, scale: float,
) -> tuple[int, int]:
    if view.mode == "slide":
        return fitted_size(*size, scale * view.short_side, scale * view.long_side)
    factor = scale * min(limit / side for limit, side in zip(window, size))
    height, width = (max(1, int(side * factor + 0.5)) for side in size)
    return height, width


def _axis(length: int, scaled: int, window: int, stride: int | None) -> Axis:
    stride = stride or max(1, 2 * window // 3)
    last = max(scaled - window, 0)
    return Axis(length, scaled, window, (*range(0, last, stride), last))
