"""Candidates measured in turns.

They run in rounds of at most ROUND runs, one candidate at a time, the order turned around each time, so that whatever
else the machine does hits all of them alike. A round begins with a run that is not recorded, since the other candidates
have emptied the caches.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tqdm import tqdm

from msnoah.deploy.calm import estimate
from msnoah.deploy.measurement import Samples
from msnoah.errors import MsnoahError

ROUND = 10
SHORT_ROUND_MS = 20.0  # with a goal, rounds of fast candidates have more runs: shorter ones measure the scheduler
MOST_RUNS = 200  # in a round

Result = Samples | MsnoahError


class Candidate(Protocol):
    """Something whose runs can be timed, usually in a process of its own."""

    def measure(self, repeats: int) -> Samples:
        """Runs once unrecorded, then `repeats` times; a MsnoahError takes this candidate out of the measurement."""


class MeasurementEndedError(MsnoahError):
    """What ended a candidate's measurement: `cause`, in its words, and `samples`, the runs recorded before."""

    def __init__(self, cause: MsnoahError, samples: Samples):
        super().__init__(str(cause))
        self.cause, self.samples = cause, samples


@dataclass(frozen=True)
class Goal:
    """When a candidate that has its least number of runs is done: the 95 % interval of its median CPU time is at most
    `interval` of the median wide, or `time_limit_s` seconds have passed since the first round."""

    interval: float
    time_limit_s: float


def interleave(
    candidates: Sequence[Candidate], warmup: int, repeats: int, goal: Goal | None = None,
    clock: Callable[[], float] = time.monotonic, name: str = "profile",
) -> list[Result]:
    """Measures all candidates in turns; one that fails gives a MeasurementEndedError and the others go on.

    Args:
        candidates: what to measure.
        warmup: runs of each before the first that is recorded.
        repeats: the least number of recorded runs of each.
        goal: what more runs are added for; without one there are `repeats`.
        clock: seconds.
        name: what the progress bar is called.
    """
    with tqdm(total=len(candidates) * (warmup + repeats), desc=name, unit="run") as progress:
        turns = _Turns(candidates, progress)
        if warmup:
            turns.take({index: warmup for index in range(len(candidates))}, start_s=None)
        start = clock()
        while sizes := turns.sizes(repeats, goal, clock() - start):
            turns.take(sizes, clock() - start)
            progress.set_postfix_str(turns.describe(goal))
    return turns.results


class _Turns:
    """What the candidates have given so far."""

    def __init__(self, candidates: Sequence[Candidate], progress: tqdm):
        self.candidates, self.progress, self.taken = candidates, progress, 0
        self.results: list[Result] = [Samples() for _ in candidates]

    def take(self, sizes: dict[int, int], start_s: float | None) -> None:
        """One round of each candidate in `sizes`: how many runs; recorded unless `start_s` is None."""
        order = list(sizes)[:: 1 if self.taken % 2 == 0 else -1]
        self.taken += 1
        for index in order:
            self._measure(index, sizes[index], start_s)
            self.progress.update(sizes[index])

    def _measure(self, index: int, count: int, start_s: float | None) -> None:
        if isinstance(self.results[index], MsnoahError):
            return
        try:
            samples = self.candidates[index].measure(count)
        except MsnoahError as error:
            self.results[index] = MeasurementEndedError(error, self.results[index])
            return
        if start_s is not None:
            self.results[index].extend(samples, start_s)

    def sizes(self, repeats: int, goal: Goal | None, elapsed_s: float) -> dict[int, int]:
        """Runs that each candidate still takes in the next round; one that is done or failed is not named."""
        sizes = {}
        for index, result in enumerate(self.results):
            if isinstance(result, Samples):
                missing = repeats - len(result.wall_ms)
                if missing > 0 or goal is not None and elapsed_s < goal.time_limit_s and not _is_known(result, goal):
                    sizes[index] = _round_size(result) if goal else min(ROUND, missing)
        return sizes

    def describe(self, goal: Goal | None) -> str:
        """The widest interval so far, beside the goal's."""
        if goal is None:
            return ""
        widest = max((_width(result) for result in self.results if isinstance(result, Samples)), default=0.0)
        return f"widest interval {widest:.1%} of {goal.interval:.1%}" if math.isfinite(widest) else ""


def _round_size(samples: Samples) -> int:
    if not samples.cpu_ms:
        return ROUND
    return max(ROUND, min(MOST_RUNS, round(SHORT_ROUND_MS / max(statistics.median(samples.cpu_ms), 1e-3))))


def _is_known(samples: Samples, goal: Goal) -> bool:
    return _width(samples) <= goal.interval


def _width(samples: Samples) -> float:
    return estimate(samples.cpu_ms, samples.rounds).width
