"""A model's answers to an image's windows, put together: a label for every pixel of the image.

Bilinear resizing is linear along each side, and so are placing windows, averaging them where they overlap, cutting off
padding and mirroring. All of it together is one matrix a side: with the logits of all windows laid out as one mosaic L,
the image's logits are R L C^T. They are computed in blocks that a cache holds, never for the whole image at once.
"""

from collections.abc import Iterator

import numpy as np

from msnoah.data.image_windows import Axis, Plan
from msnoah.errors import ConfigError

_BLOCK = 64   # pixels a side: 2.4 MB for 150 classes

Place = tuple[slice, slice]


def join(logits: np.ndarray, plan: Plan) -> np.ndarray:
    """(n, K, h, w) logits of a plan's windows, at any stride -> (H, W) uint8 labels.

    Logits are resized to the window (half-pixel centres, align_corners False), averaged where windows overlap, and
    resized to the image; of several scales and mirror images the probabilities are averaged. It equals doing so step by
    step but for the rounding of float32.
    """
    labels = np.empty(_image_size(plan), np.uint8)
    for place, scores in _blocks(logits, plan, as_probabilities=len(plan) > 1):
        labels[place] = scores.argmax(2)
    return labels


def join_probabilities(logits: np.ndarray, plan: Plan) -> np.ndarray:
    """As `join`, but all probabilities: (K, H, W) float32."""
    probabilities = np.empty((logits.shape[1], *_image_size(plan)), np.float32)
    for place, scores in _blocks(logits, plan, as_probabilities=True):
        probabilities[(slice(None), *place)] = scores.transpose(2, 0, 1)
    return probabilities


def join_labels(labels: np.ndarray, plan: Plan) -> np.ndarray:
    """(n, h, w) labels of a plan's windows -> (H, W), for a model that gives label maps: each pixel has the label
    of the nearest place in the window whose centre is nearest.

    Raises:
        ConfigError: several scales or a mirror image, whose labels cannot be averaged.
    """
    look, *others = plan
    if others:
        raise ConfigError(f"label maps of {len(plan)} scales and mirror images cannot be averaged; the model must give "
                          "logits, or the view have one scale and no flip")
    grid = len(look.rows.starts), len(look.columns.starts)
    _, height, width = labels.shape
    mosaic = labels.reshape(*grid, height, width).swapaxes(1, 2).reshape(grid[0] * height, grid[1] * width)
    return mosaic[_places(look.rows, height)[:, None], _places(look.columns, width)]


def resize_rows(values: np.ndarray, length: int) -> np.ndarray:
    """(N, M) -> (length, M), bilinear with half-pixel centres; the outermost rows go on beyond their centres."""
    places = np.clip((np.arange(length) + 0.5) * len(values) / length - 0.5, 0, len(values) - 1)
    above = places.astype(int)
    below = np.minimum(above + 1, len(values) - 1)
    share = (places - above)[:, None]
    return (1 - share) * values[above] + share * values[below]


def _image_size(plan: Plan) -> tuple[int, int]:
    return plan[0].rows.length, plan[0].columns.length


def _places(axis: Axis, cells: int) -> np.ndarray:
    """The cell of a row of windows that each pixel of the image is nearest to: (axis.length,)."""
    places = (np.arange(axis.length) + 0.5) * axis.scaled / axis.length   # of pixels' centres in the scaled image
    starts = np.array(axis.starts)
    owners = np.abs(places[:, None] - starts - axis.window / 2).argmin(1)
    return owners * cells + ((places - starts[owners]) * cells / axis.window).astype(int)


def _blocks(logits: np.ndarray, plan: Plan, as_probabilities: bool) -> Iterator[tuple[Place, np.ndarray]]:
    """Parts of the image and their scores, (rows, columns, K) float32: logits of one look, or summed probabilities."""
    looks = _looks(logits, plan)
    height, width = _image_size(plan)
    for top in range(0, height, _BLOCK):
        for left in range(0, width, _BLOCK):
            place = slice(top, top + _BLOCK), slice(left, left + _BLOCK)
            parts = (_resize(mosaic, rows[place[0]], columns[place[1]]) for mosaic, rows, columns in looks)
            yield place, sum(map(_softmax, parts)) / len(looks) if as_probabilities else next(parts)


def _looks(logits: np.ndarray, plan: Plan) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of each look its mosaic (h, w, K), and its matrices (H, h) and (W, w)."""
    _, classes, height, width = logits.shape
    looks, start = [], 0
    for look in plan:
        grid = len(look.rows.starts), len(look.columns.starts)
        tiles = logits[start:start + look.count].reshape(*grid, classes, height, width)
        mosaic = tiles.transpose(0, 3, 1, 4, 2).reshape(grid[0] * height, grid[1] * width, classes)
        rows, columns = _matrix(look.rows, height), _matrix(look.columns, width)
        looks.append((mosaic.astype(np.float32, copy=False), rows, columns[::-1] if look.mirrored else columns))
        start += look.count
    return looks


def _matrix(axis: Axis, cells: int) -> np.ndarray:
    """What each cell of a row of windows adds to each pixel of the image: (axis.length, windows * cells) float32."""
    stretched = resize_rows(np.eye(cells), axis.window)
    placed = np.zeros((axis.scaled, len(axis.starts), cells))
    count = np.zeros(axis.scaled)
    for number, start in enumerate(axis.starts):
        placed[start:start + axis.window, number] = stretched[:axis.scaled - start]
        count[start:start + axis.window] += 1
    averaged = placed.reshape(axis.scaled, -1) / count[:, None]
    return resize_rows(averaged, axis.length).astype(np.float32)


def _resize(mosaic: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """R L C^T of the cells that matter: (h, w, K), (H, h), (W, w) -> (H, W, K)"""
    used_rows, used_columns = (np.flatnonzero(matrix.any(0)) for matrix in (rows, columns))
    part = mosaic[used_rows[:, None], used_columns]                                # (r, c, K)
    across = columns[:, used_columns] @ part                                       # (W, c) @ (r, c, K) -> (r, W, K)
    down = rows[:, used_rows] @ across.reshape(len(used_rows), -1)                 # (H, r) @ (r, W * K)
    return down.reshape(len(rows), len(columns), -1)


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(2, keepdims=True))
    return exponentials / exponentials.sum(2, keepdims=True)
