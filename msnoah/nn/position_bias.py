"""Attention's biases by position: a table with one bias a head for every distance in rows and columns, looked up for
every pair of a query's and a key's place, on maps of other sizes than the table's too.
"""

import math

import numpy as np
from mindspore import Tensor, nn, ops

from msnoah.nn.bicubic import bicubic_matrix, centred_positions

Size = tuple[int, int]
"""Height and width of the keys' map."""


class FlatBias(nn.Cell):
    """The biases of the table's map, resized as an image of queries by keys. (heads, h0 * w0) -> (heads, Nq, Nk)

    This is what CGRSeg's authors do, and so what their weights expect; on the table's own map it is exact. On others it
    interpolates between places that follow each other in a row, of which the last of one row and the first of the next
    are far apart: biases there are mixed from distances that have nothing to do with each other.

    table_size: of the map that the table is learnt for; map_size: of the map at hand; query_stride: queries stand at
    every such place of the keys' map.
    """

    def __init__(self, table_size: Size, map_size: Size, query_stride: int):
        super().__init__()
        self.resizes, self.table_size = table_size != map_size, table_size
        self.places = offset_index(table_size, query_stride)
        counts = zip(self.places.shape, _count_pairs(map_size, query_stride))
        self.by_query, self.by_key = (bicubic_matrix(old, centred_positions(old, new)) for old, new in counts)
        self.index, self.rows, self.columns = _tensors(self.places, self.by_query, self.by_key.T)

    def construct(self, table):
        bias = ops.gather(table, self.index, 1)                     # (heads, h0 * w0) -> (heads, Nq0, Nk0)
        return ops.matmul(ops.matmul(self.rows, bias), self.columns) if self.resizes else bias

    def resolve(self, table: np.ndarray) -> np.ndarray:
        """What `construct` computes, in float64."""
        bias = table.astype(np.float64)[:, self.places]
        return self.by_query @ bias @ self.by_key.T if self.resizes else bias


class GridBias(nn.Cell):
    """The table resized by rows and by columns, then looked up. (heads, h0 * w0) -> (heads, Nq, Nk)

    A distance that is the same part of both maps has the same bias on both, whatever their shapes: what to use where
    images are not of the table's size, in training and with the weights that come of it. Arguments are `FlatBias`'s.
    """

    def __init__(self, table_size: Size, map_size: Size, query_stride: int):
        super().__init__()
        self.resizes, self.table_size = table_size != map_size, table_size
        self.places = offset_index(map_size, query_stride)
        self.by_row, self.by_column = (_stretch(*counts) for counts in zip(table_size, map_size))
        self.index, self.rows, self.columns = _tensors(self.places, self.by_row, self.by_column.T)

    def construct(self, table):
        if self.resizes:
            grid = table.reshape(table.shape[0], *self.table_size)
            table = ops.matmul(ops.matmul(self.rows, grid), self.columns).reshape(table.shape[0], -1)
        return ops.gather(table, self.index, 1)                     # (heads, h * w) -> (heads, Nq, Nk)

    def resolve(self, table: np.ndarray) -> np.ndarray:
        """What `construct` computes, in float64."""
        grid = table.astype(np.float64).reshape(table.shape[0], *self.table_size)
        return (self.by_row @ grid @ self.by_column.T).reshape(table.shape[0], -1)[:, self.places]


BIAS_RESIZES = {"flat": FlatBias, "grid": GridBias}


def offset_index(map_size: Size, query_stride: int) -> np.ndarray:
    """Which entry of a table |dy| * width + |dx| a pair of places has. -> int32 (Nq, Nk)"""
    height, width = map_size
    rows = np.abs(np.arange(0, height, query_stride)[:, None] - np.arange(height))       # (Hq, H)
    columns = np.abs(np.arange(0, width, query_stride)[:, None] - np.arange(width))      # (Wq, W)
    index = rows[:, None, :, None] * width + columns[None, :, None, :]                   # (Hq, Wq, H, W)
    return index.reshape(-1, height * width).astype(np.int32)


def resize_table(table: np.ndarray, map_size: Size) -> np.ndarray | None:
    """A table of a square map for a map of another size, in float64. (heads, n) -> (heads, H * W)

    None if n is no square, so that the shape of the table's map is not known.
    """
    side = math.isqrt(table.shape[1])
    if side * side != table.shape[1]:
        return None
    rows, columns = (_stretch(side, count) for count in map_size)
    grid = table.astype(np.float64).reshape(-1, side, side)
    return (rows @ grid @ columns.T).reshape(table.shape[0], -1)


def _stretch(count: int, new_count: int) -> np.ndarray:
    """Distances 0, 1, ... of the new map in steps of the old one; biases are even in the distance, so 0 is a mirror."""
    return bicubic_matrix(count, np.arange(new_count) * (count / new_count), mirrored=True)


def _count_pairs(map_size: Size, query_stride: int) -> tuple[int, int]:
    height, width = map_size
    return -(-height // query_stride) * -(-width // query_stride), height * width


def _tensors(index: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    return Tensor(index), Tensor(rows.astype(np.float32)), Tensor(columns.astype(np.float32))
