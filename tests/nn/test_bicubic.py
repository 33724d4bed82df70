"""Cubic interpolation of a row against OpenCV's, which has the same kernel and goes on with the end's number."""

import cv2
import numpy as np
import pytest

from msnoah.nn.bicubic import bicubic_matrix, centred_positions


@pytest.mark.parametrize("count,new_count", [(5, 5), (4, 9), (9, 4), (1, 3), (16, 15)])
def test_row_is_resized_as_opencv_resizes_it(count, new_count):
    row = np.random.default_rng(0).standard_normal((1, count)).astype(np.float32)
    expected = cv2.resize(row, (new_count, 1), interpolation=cv2.INTER_CUBIC)[0]
    matrix = bicubic_matrix(count, centred_positions(count, new_count))
    assert np.abs(matrix @ row[0] - expected).max() <= 1e-5     # OpenCV's float32
    assert np.allclose(matrix.sum(1), 1)


def test_mirrored_row_goes_on_before_its_start_as_after_it():
    row, at = np.random.default_rng(0).standard_normal(5), np.array([0, 0.3, 0.5, 1.2, 3.9])
    both_ways = np.concatenate((row[:0:-1], row))
    assert np.allclose(bicubic_matrix(5, at, mirrored=True) @ row, bicubic_matrix(9, at + 4) @ both_ways)
    assert not np.allclose(bicubic_matrix(5, at, mirrored=True), bicubic_matrix(5, at))
