"""Average pooling of a known map to a wanted size, whether or not the one divides the other."""

import numpy as np
from mindspore import Tensor, nn, ops

Size = tuple[int, int]


def average_pool_to(map_size: Size, size: Size) -> nn.Cell:
    """Means over windows of a map. (B, C, *map_size) -> (B, C, *size)

    Window i of m over n rows, and so over columns, is [floor(i n / m), ceil((i + 1) n / m)). Where none overlap this is
    plain pooling, elsewhere a product with a known matrix along each axis, exact where adaptive pools are not.
    """
    if map_size == size:
        return nn.Identity()
    if not any(old % new for old, new in zip(map_size, size)):
        kernel = tuple(old // new for old, new in zip(map_size, size))
        return nn.AvgPool2d(kernel, kernel)
    return MatrixPool(*(mean_matrix(old, new) for old, new in zip(map_size, size)))


class MatrixPool(nn.Cell):
    """Weighted means of rows and of columns. (B, C, H, W) -> (B, C, h, w), for matrices (h, H) and (w, W)"""

    def __init__(self, rows: np.ndarray, columns: np.ndarray):
        super().__init__()
        self.rows, self.columns = Tensor(rows.astype(np.float32)), Tensor(columns.T.astype(np.float32))

    def construct(self, x):
        return ops.matmul(self.rows, ops.matmul(x, self.columns))   # (B, C, H, W) -> (B, C, H, w) -> (B, C, h, w)


def mean_matrix(count: int, new_count: int) -> np.ndarray:
    """M for which M @ x is x pooled to `new_count` means. -> float64 (new_count, count)"""
    steps = np.arange(new_count)[:, None]
    first, last = steps * count // new_count, -(-(steps + 1) * count // new_count)
    inside = (np.arange(count) >= first) & (np.arange(count) < last)
    return inside / (last - first)
