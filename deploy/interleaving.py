"""Candidates measured in turns.

They run in rounds of ROUND runs, one candidate at a time, the order turned around each time, so that whatever else the
machine does hits all of them alike. A round begins with a run that is not recorded, since the other candidates have
emptied the caches.
"""

from collections.abc import Sequence
from typing import Protocol

from tqdm import tqdm

from msnoah.deploy.measurement import Samples
from msnoah.errors import MsnoahError

ROUND = 10


class Candidate(Protocol):
    """Something whose runs can be timed, usually in a process of its own."""

    def measure(self, repeats: int) -> Samples:
        """Runs once unrecorded, then `repeats` times; a MsnoahError takes this candidate out of the measurement."""


def interleave(candidates: Sequence[Candidate], warmup: int, repeats: int) -> list[Samples | MsnoahError]:
    """Measures all candidates in turns; a candidate that fails gives its error and the others go on."""
    results: list[Samples | MsnoahError] = [Samples() for _ in candidates]
    with tqdm(total=len(candidates) * (warmup + repeats), desc="profile", unit="run") as progress:
        for number, (count, recorded) in enumerate(_rounds(warmup, repeats)):
            order = range(len(candidates)) if number % 2 == 0 else reversed(range(len(candidates)))
            for index in order:
                if isinstance(results[index], Samples):
                    results[index] = _measure_round(candidates[index], results[index], count, recorded)
                progress.update(count)
    return results


def _rounds(warmup: int, repeats: int) -> list[tuple[int, bool]]:
    """(runs, recorded) of each round: the warm-up first, then rounds of at most ROUND."""
    warm = [(warmup, False)] if warmup else []
    return warm + [(min(ROUND, repeats - start), True) for start in range(0, repeats, ROUND)]


def _measure_round(candidate: Candidate, so_far: Samples, count: int, recorded: bool) -> Samples | MsnoahError:
    try:
        samples = candidate.measure(count)
    except MsnoahError as error:
        return error
    if recorded:
        so_far.extend(samples)
    return so_far
