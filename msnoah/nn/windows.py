"""Square windows of a token map: cutting, shifting, and the index tables that go with them."""

import numpy as np


def cut_windows(x, size: tuple[int, int], window: tuple[int, int]):
    """Cuts a map of tokens into separate windows. (B, H*W, C) -> (B * windows, h*w, C)"""
    (height, width), (h, w) = size, window
    batch, _, channels = x.shape
    x = x.reshape(batch, height // h, h, width // w, w, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, h * w, channels)


def join_windows(x, size: tuple[int, int], window: tuple[int, int]):
    """Puts windows back into their map. (B * windows, h*w, C) -> (B, H*W, C)"""
    (height, width), (h, w) = size, window
    channels = x.shape[-1]
    x = x.reshape(-1, height // h, width // w, h, w, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, height * width, channels)


def cut_channel_windows(x, size: tuple[int, int], window: tuple[int, int]):
    """Cuts a map whose tokens lie last into separate windows. (B, C, H*W) -> (B * windows, C, h*w)"""
    (height, width), (h, w) = size, window
    batch, channels, _ = x.shape
    x = x.reshape(batch, channels, height // h, h, width // w, w).transpose(0, 2, 4, 1, 3, 5)
    return x.reshape(-1, channels, h * w)


def join_channel_windows(x, size: tuple[int, int], window: tuple[int, int]):
    """Puts windows whose tokens lie last back into their map. (B * windows, C, h*w) -> (B, C, H*W)"""
    (height, width), (h, w) = size, window
    channels = x.shape[1]
    x = x.reshape(-1, height // h, width // w, channels, h, w).transpose(0, 3, 1, 4, 2, 5)
    return x.reshape(-1, channels, height * width)


def shifted_window_order(size: int, window: int, shift: int) -> np.ndarray:
    """Which token stands where after a size x size map is rolled by -shift both ways and cut into windows. (N,) int32

    Taking tokens in this order does the roll and the cut in one pass; its inverse is `numpy.argsort` of it.
    """
    rolled = np.roll(np.arange(size * size).reshape(size, size), (-shift, -shift), axis=(0, 1))
    return _cut(rolled, window).reshape(-1).astype(np.int32)


def shifted_window_mask(size: int, window: int, shift: int) -> np.ndarray:
    """-100 between tokens of a window that the roll brought together from opposite borders, else 0. (windows, n, n)"""
    bands = np.zeros(size, np.int64)
    bands[size - window:size - shift], bands[size - shift:] = 1, 2
    regions = _cut(3 * bands[:, None] + bands[None, :], window)
    return np.where(regions[:, :, None] == regions[:, None, :], 0.0, -100.0).astype(np.float32)


def relative_position_index(window: int) -> np.ndarray:
    """Row of the bias table of (2 * window - 1) ** 2 rows for every pair of n = window ** 2 tokens. (n * n,) int32"""
    rows, columns = np.divmod(np.arange(window * window), window)
    down = rows[:, None] - rows[None, :] + window - 1
    right = columns[:, None] - columns[None, :] + window - 1
    return (down * (2 * window - 1) + right).reshape(-1).astype(np.int32)


def _cut(grid: np.ndarray, window: int) -> np.ndarray:
    count = grid.shape[0] // window
    return grid.reshape(count, window, count, window).transpose(0, 2, 1, 3).reshape(count * count, window * window)
