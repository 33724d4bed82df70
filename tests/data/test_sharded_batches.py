"""Workers' parts of a batch are, in the same bits, the rows of the batch that one worker would build."""

import numpy as np
import pytest

from msnoah.config import DataConfig
from msnoah.data.batches import BatchLoader
from msnoah.data.sources import open_source
from msnoah.errors import ConfigError
from msnoah.sharding import Shard
from msnoah.train_config import MixupConfig

DATA = DataConfig(source="digits", image_size=8, channels=1, mean=[0.3], std=[0.38], workers=1,
                  augment={"crop": "padded", "padding": 1, "random_erasing": 0.5})
SIZE = 24


def load(shard: Shard, mixup: MixupConfig | None, repeats: int = 1):
    return BatchLoader(open_source(DATA, "train"), DATA, batch_size=SIZE, training=True, seed=3, mixup=mixup,
                       label_smoothing=0.1, repeats=repeats, shard=shard)


@pytest.mark.parametrize("mixup,repeats", [
    (None, 1), (None, 3), (MixupConfig(cutmix_alpha=0.0), 1), (MixupConfig(mixup_alpha=0.0), 1)],
    ids=["plain", "repeats", "mixup", "cutmix"])
@pytest.mark.parametrize("workers", [2, 3])
def test_parts_make_up_the_batch(workers, mixup, repeats):
    whole = next(load(Shard(), mixup, repeats).epoch(1, start=2))
    for rank in range(workers):
        shard = Shard(rank, workers)
        part, rows = next(load(shard, mixup, repeats).epoch(1, start=2)), shard.rows(SIZE)
        for field in ("images", "targets", "labels", "indices"):
            assert np.array_equal(getattr(part, field), getattr(whole, field)[rows]), field


def test_mixup_of_odd_parts_is_refused():
    with pytest.raises(ConfigError, match="make train.batch_size a multiple of 16"):
        load(Shard(0, 8), MixupConfig())
