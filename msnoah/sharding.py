"""Which samples of a batch each worker takes, so that all workers together see what one alone would."""

from dataclasses import dataclass

import numpy as np

from msnoah.errors import ConfigError


@dataclass(frozen=True)
class Shard:
    """The part of every training batch that worker `rank` of `workers` takes."""

    rank: int = 0
    workers: int = 1

    def size(self, batch_size: int) -> int:
        """Samples of a batch for each worker; ConfigError if they do not come out even."""
        if self.workers < 1:
            raise ConfigError(f"{self.workers} workers: expected 1 or more")
        size, rest = divmod(batch_size, self.workers)
        if rest or not size:
            raise ConfigError(f"train.batch_size is {batch_size}, which {self.workers} workers cannot share evenly; "
                              f"take a multiple of {self.workers} (it is the batch of all workers together)")
        return size

    def rows(self, batch_size: int) -> np.ndarray:
        """(b,) positions in the batch.

        Mixup pairs a batch with its mirror image. So that a pair stays with one worker, each takes as many positions
        from the front as, mirrored, from the back, in rising order: its own mirror image is then a part of the whole.
        """
        size = self.size(batch_size)
        if size % 2:
            return np.arange(self.rank * size, (self.rank + 1) * size)
        front = np.arange(self.rank * size // 2, (self.rank + 1) * size // 2)
        return np.concatenate([front, batch_size - 1 - front[::-1]])


WHOLE = Shard()
"""Of one worker alone: all."""
