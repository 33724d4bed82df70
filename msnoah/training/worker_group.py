"""The processes that train one model together: one, or those that MindSpore's launcher `msrun` started.

Each takes its part of every batch and computes the same update from averaged gradients, so that all hold the same
weights. The first one alone writes files and speaks.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from msnoah.errors import TrainingError
from msnoah.sharding import Shard


@dataclass(frozen=True)
class WorkerGroup:
    """Worker `rank` of `size`; every worker must come to each of these calls, in the same order."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this worker is the one that writes files and speaks."""
        return self.rank == 0

    @property
    def shard(self) -> Shard:
        """This worker's part of every training batch."""
        return Shard(self.rank, self.size)

    def means(self, values: Sequence[float]) -> tuple[float, ...]:
        """The mean over the workers of each number, in float32."""
        if self.size == 1:
            return tuple(values)
        from mindspore import Tensor, ops  # the launcher, which has no part in it, need not wait for this import
        totals = ops.AllReduce()(Tensor(np.array(values, np.float32)))
        return tuple((totals.asnumpy() / np.float32(self.size)).tolist())

    def any(self, flag: bool) -> bool:
        """Whether it is true for any worker."""
        return bool(self.means([flag])[0])

    def wait(self) -> None:
        """Until all workers are here."""
        self.means([0.0])

    def require_same(self, fingerprint: int, what: str) -> None:
        """TrainingError if the workers' numbers, of 32 bits, differ; float32 holds 16 of them exactly."""
        halves = fingerprint & 0xFFFF, fingerprint >> 16 & 0xFFFF
        if self.any(self.means(halves) != halves):
            raise TrainingError(f"the {self.size} workers do not hold the same {what}; all machines must read the same "
                                "files (config, data, run folder) with the same version of msnoah")


ALONE = WorkerGroup()
"""One process that trains by itself."""


def join_group() -> WorkerGroup:
    """The group that msrun started this process for, joined; ALONE if it did not. The device must be selected already.

    msrun starts one process more, that brings the others together; it stays here until they are done, and ends.

    Raises:
        TrainingError: the other workers did not come together with this one.
    """
    role, size = os.environ.get("MS_ROLE"), int(os.environ.get("MS_WORKER_NUM", 1))
    if role not in ("MS_WORKER", "MS_SCHED"):
        return ALONE
    from mindspore import communication

    try:
        communication.init()
    except RuntimeError as error:
        raise TrainingError(f"worker {os.environ.get('RANK_ID', '?')} found no group of {size}: "
                            f"{str(error).splitlines()[0]}") from None
    if role == "MS_SCHED":
        sys.exit()
    return WorkerGroup(communication.get_rank(), communication.get_group_size())
