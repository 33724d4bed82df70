"""Which changes of weights and which moments a step keeps (ExCP: joint weight-momentum pruning)."""

import math

import numpy as np

from msnoah.compression.settings import ExcpSettings


def weight_mask(change: np.ndarray, second_moment: np.ndarray | None, settings: ExcpSettings) -> np.ndarray:
    """|d| > tau median|d|, as booleans of the change's shape; a change of 0 is never kept.

    Without a second moment, where alpha says nothing, tau is the cap.
    """
    size = np.abs(change)
    return size > find_tau(second_moment, settings) * np.median(size)


def moment_mask(first_moment: np.ndarray, kept: np.ndarray, settings: ExcpSettings) -> np.ndarray:
    """Of those whose weights' changes are `kept`, |m| > beta mean|m|, the mean over the whole tensor."""
    size = np.abs(first_moment)
    return kept & (size > settings.beta * size.mean(dtype=np.float64))


def find_tau(second_moment: np.ndarray | None, settings: ExcpSettings) -> float:
    """tau as it is set, else min(cap, alpha / sqrt(mean v))."""
    if settings.tau is not None:
        return settings.tau
    mean = 0.0 if second_moment is None else float(second_moment.mean(dtype=np.float64))
    return min(settings.cap, settings.alpha / math.sqrt(mean)) if mean > 0 else settings.cap
