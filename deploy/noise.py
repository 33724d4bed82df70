"""What speaks against trusting the latencies of a row, in words."""

from msnoah.deploy.calm import LEAST_ROUNDS, estimate
from msnoah.deploy.measurement import Samples
from msnoah.deploy.statistics import median_interval, percentile

BUSY_SHARE = 0.9  # CPU over wall time at one thread, below which something else had the core
WIDE_INTERVAL = 0.05  # width of the median's interval over the median, above which it is not worth two digits


def find_noise(
    samples: Samples, threads: int, cores: int, load_average: float | None, goal: float | None = None,
) -> list[str]:
    """Empty when nothing does.

    Args:
        samples: all runs of the row.
        threads, cores: what it ran on.
        load_average: processes that wanted a core before the first run.
        goal: width of the interval of the median CPU time, over the median, that runs were added for.
    """
    median = percentile(samples.wall_ms, 50)
    low, high = median_interval(samples.wall_ms)
    busy = sum(samples.cpu_ms) / sum(samples.wall_ms)
    interval = f"95 % interval of the median is {low:.3g}-{high:.3g} ms, {(high - low) / median:.0%} wide"
    signs = (
        (threads == 1 and busy < BUSY_SHARE,
         f"the process had its core for only {busy:.0%} of the time: trust CPU time, not wall time"),
        (load_average is not None and load_average > cores,
         f"load average {load_average} on {cores} cores before the first run: other processes were running"),
        (threads > cores, f"{threads} threads on {cores} cores"),
        (goal is None and high - low > WIDE_INTERVAL * median, f"{interval}: repeat on a quiet machine"),
    )
    return [words for found, words in signs if found] + _find_restless_rounds(samples, goal)


def _find_restless_rounds(samples: Samples, goal: float | None) -> list[str]:
    """What the rounds say of CPU time, where they were to reach a goal and did not."""
    if not samples.rounds or goal is None:
        return []
    found = estimate(samples.cpu_ms, samples.rounds)
    if found.rounds >= LEAST_ROUNDS and found.calm < LEAST_ROUNDS:
        return [f"fewer than {LEAST_ROUNDS} rounds were calm: the machine was too noisy; give it more time"]
    if LEAST_ROUNDS <= found.calm and found.width > goal:
        return [f"the median CPU time is not known to {goal:.1%} (see its interval): the time limit was over"]
    return []
