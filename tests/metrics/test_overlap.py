import numpy as np
import pytest

from msnoah.errors import DataError
from msnoah.metrics.overlap import intersection_over_union


def cells(item: np.ndarray, size: int = 10) -> np.ndarray:
    """The unit cells inside a segment or box of whole numbers, as a mask."""
    low, high = np.split(item, 2)
    grid = np.stack(np.meshgrid(*[np.arange(size)] * len(low), indexing="ij"), -1)
    return ((grid >= low) & (grid < high)).all(-1)


@pytest.mark.parametrize("numbers", [2, 4, 6], ids=["segments", "boxes", "volumes"])
def test_against_counting_cells(numbers):
    rng = np.random.default_rng(numbers)
    low = rng.integers(0, 5, (20, numbers // 2))
    first, second = np.split(np.concatenate([low, low + rng.integers(-1, 6, low.shape)], 1), [12])   # some end too soon
    expected = [[(cells(a) & cells(b)).sum() / max((cells(a) | cells(b)).sum(), 1) for b in second] for a in first]
    assert np.allclose(intersection_over_union(first, second), expected, atol=1e-12)        # one division each
    assert np.max(expected) > 0


def test_no_ranges_have_no_overlaps():
    assert intersection_over_union(np.zeros((0, 2)), np.ones((3, 2))).shape == (0, 3)


def test_segments_against_boxes_are_refused():
    with pytest.raises(DataError, match="2 numbers against ranges of 4"):
        intersection_over_union(np.zeros((1, 2)), np.zeros((1, 4)))
