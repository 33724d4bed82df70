"""The arrays of a training state by what they are to ExCP: weights with their moments, and the rest."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

FIRST, SECOND = "optimizer.first_moment.", "optimizer.second_moment."
MOMENTUM = "optimizer.momentum."
STATISTICS = ("moving_mean", "moving_variance")   # MindSpore's names of those of a batch norm
SMALLEST = 64
"""Elements from which an array is worth a codebook of its own; smaller ones are kept as they are."""

State = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Tensor:
    """A weight that is coded as its change, and the names of its moments; None where the optimiser keeps none."""

    name: str
    first: str | None
    second: str | None

    @property
    def names(self) -> list[str]:
        """The arrays that it covers."""
        return [name for name in (self.name, self.first, self.second) if name]


def find_tensors(state: State, reference: State) -> list[Tensor]:
    """What can be coded against a reference: float32 arrays of one shape in both, finite, with their moments.

    The rest, as small arrays, step counters and statistics of a batch norm, stays as it is. (A change that is a little
    off could make a variance negative.)
    """
    moments = (FIRST, SECOND, MOMENTUM)
    names = [name for name, array in state.items()
             if not name.startswith(moments) and not name.endswith(STATISTICS) and _is_coded(array)]
    return [tensor for name in names if _agree(tensor := _with_moments(name, state), state, reference)]


def _with_moments(name: str, state: State) -> Tensor:
    def known(prefix: str) -> str | None:
        return prefix + name if prefix + name in state else None

    return Tensor(name, known(FIRST) or known(MOMENTUM), known(SECOND))


def _is_coded(array: np.ndarray) -> bool:
    return array.dtype == np.float32 and array.size >= SMALLEST


def _agree(tensor: Tensor, state: State, reference: State) -> bool:
    """A number that is not finite would be pruned away without a word."""
    before = reference.get(tensor.name)
    shapes = {state[name].shape for name in tensor.names} | {None if before is None else before.shape}
    return len(shapes) == 1 and all(np.isfinite(state[name]).all() for name in tensor.names) and bool(
        np.isfinite(before).all())
