"""Which rounds count: those in which the machine was about as fast as it has shown that it can be.

Each round carries the CPU time of a fixed piece of work, taken before and after its runs. A round is calm where this is
at most CALM times the fastest of all rounds. Nothing is thrown away: a profile keeps every run with its round, the
median over all runs stands beside the one over calm rounds, and docs/profiling.md tells why this rule and not another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from msnoah.deploy.measurement import Round
from msnoah.deploy.statistics import median_interval, percentile

CALM = 1.1
"""Reference work may take this much more than at its fastest."""
LEAST_ROUNDS = 6
"""An interval of 95 % of a median cannot be told from fewer values."""


@dataclass(frozen=True)
class Estimate:
    """Median over the runs of calm rounds, and the 95 % interval of the medians of these rounds; milliseconds.

    Runs that follow each other are alike, rounds much less so: the interval counts rounds, not runs.
    """

    ms: float
    interval: tuple[float, float]
    calm: int
    rounds: int

    @property
    def width(self) -> float:
        """The interval over the median; infinite where there are too few rounds to tell one."""
        low, high = self.interval
        return (high - low) / self.ms if self.calm >= LEAST_ROUNDS and self.ms > 0 else float("inf")


def calm_rounds(rounds: Sequence[Round]) -> list[bool]:
    """Of each round whether it counts; all do where no reference work was timed."""
    times = [round.reference_ms for round in rounds]
    if None in times:
        return [True] * len(rounds)
    limit = CALM * min(times, default=0.0)
    return [time <= limit for time in times]


def estimate(values: Sequence[float], rounds: Sequence[Round]) -> Estimate:
    """The median of runs, one value a run, and how well it is known; without rounds all runs are one."""
    rounds = list(rounds) or [Round(0.0, len(values), None)]
    ends = np.cumsum([round.runs for round in rounds])[:-1]
    parts = [part for part, calm in zip(np.split(np.asarray(values), ends), calm_rounds(rounds)) if calm]
    median = percentile(np.concatenate(parts), 50)
    low, high = median_interval([float(np.median(part)) for part in parts])
    return Estimate(median, (min(low, median), max(high, median)), len(parts), len(rounds))
