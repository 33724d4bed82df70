"""Biases by position: which entry a pair of places has, and both ways to maps of another size."""

import cv2
import mindspore as ms
import numpy as np
import pytest

from msnoah.nn.position_bias import BIAS_RESIZES, FlatBias, GridBias, offset_index, resize_table

GATE = 1e-5  # float32 beside float64, of biases of about 1
MAPS = {"square": ((4, 4), (6, 6)), "smaller": ((6, 6), (2, 4)), "wide": ((4, 4), (4, 6)), "same": ((4, 6), (4, 6))}


def table_of(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, size[0] * size[1])).astype(np.float32)


@pytest.mark.parametrize("stride", [1, 2])
def test_pairs_share_an_entry_if_their_distances_are_the_same_numbered_as_they_first_appear(stride):
    height, width = 4, 6
    keys = [(y, x) for y in range(height) for x in range(width)]
    numbers = {}
    expected = [[numbers.setdefault((abs(qy - ky), abs(qx - kx)), len(numbers)) for ky, kx in keys]
                for qy in range(0, height, stride) for qx in range(0, width, stride)]
    assert offset_index((height, width), stride).tolist() == expected
    assert len(numbers) == height * width


@pytest.mark.parametrize("kind", BIAS_RESIZES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("table_size,map_size", MAPS.values(), ids=MAPS)
def test_biases_known_beforehand_are_those_of_the_cell(kind, stride, table_size, map_size):
    table, bias = table_of(table_size), BIAS_RESIZES[kind](table_size, map_size, stride)
    found = bias(ms.Tensor(table)).asnumpy()
    assert found.shape == (2, map_size[0] * map_size[1] // stride ** 2, map_size[0] * map_size[1])
    assert np.abs(found - bias.resolve(table)).max() <= GATE
    if table_size == map_size:
        assert (found == table[:, offset_index(map_size, stride)]).all()


@pytest.mark.parametrize("table_size,map_size", MAPS.values(), ids=MAPS)
def test_flat_biases_are_resized_as_an_image_of_queries_by_keys(table_size, map_size):
    table = table_of(table_size)
    queries, keys = offset_index(map_size, 2).shape
    images = table[:, offset_index(table_size, 2)]
    expected = [cv2.resize(image, (keys, queries), interpolation=cv2.INTER_CUBIC) for image in images]
    assert np.abs(FlatBias(table_size, map_size, 2).resolve(table) - expected).max() <= GATE


def test_grid_biases_depend_on_distance_alone_and_keep_what_both_maps_have():
    table = table_of((4, 4))
    found = GridBias((4, 4), (8, 8), 1).resolve(table).reshape(2, 8, 8, 8, 8)
    assert np.allclose(found[:, 1:, 1:, 1:, 1:], found[:, :-1, :-1, :-1, :-1])      # both places moved
    assert np.allclose(found, found.transpose(0, 3, 4, 1, 2))                       # query and key exchanged
    assert np.allclose(found[:, 0, 0, ::2, ::2].reshape(2, -1), table)              # two steps are one of the old map
    flat = FlatBias((4, 4), (8, 8), 1).resolve(table).reshape(2, 8, 8, 8, 8)
    assert not np.allclose(flat[:, 1:, 1:, 1:, 1:], flat[:, :-1, :-1, :-1, :-1], atol=0.1)


def test_table_of_another_map_is_resized_by_distance():
    table = table_of((4, 4))
    assert np.allclose(resize_table(table, (8, 4)).reshape(2, 8, 4)[:, ::2], table.reshape(2, 4, 4))
    assert resize_table(table[:, :15], (8, 4)) is None
