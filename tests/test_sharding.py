"""Which samples of a batch each worker takes."""

import numpy as np
import pytest

from msnoah.errors import ConfigError
from msnoah.sharding import WHOLE, Shard


@pytest.mark.parametrize("workers,batch_size", [(1, 6), (1, 7), (2, 8), (2, 6), (3, 12), (4, 16), (5, 15)])
def test_workers_take_every_sample_once(workers, batch_size):
    rows = np.concatenate([Shard(rank, workers).rows(batch_size) for rank in range(workers)])
    assert sorted(rows) == list(range(batch_size))


@pytest.mark.parametrize("workers,batch_size", [(1, 6), (2, 8), (3, 12), (4, 16)])
def test_the_mirror_image_of_a_part_is_a_part_of_the_mirror_image(workers, batch_size):
    mirrored = np.arange(batch_size)[::-1]
    for rank in range(workers):
        rows = Shard(rank, workers).rows(batch_size)
        assert (rows[::-1] == mirrored[rows]).all()


def test_one_worker_takes_a_batch_in_order():
    assert (WHOLE.rows(6) == np.arange(6)).all()


@pytest.mark.parametrize("workers,batch_size", [(2, 7), (4, 2)])
def test_uneven_parts_are_refused(workers, batch_size):
    with pytest.raises(ConfigError, match=f"batch_size is {batch_size}, which {workers} workers cannot share evenly"):
        Shard(0, workers).size(batch_size)
