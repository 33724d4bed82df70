"""Random numbers that depend on what they are for, not on who asks first: the worker count never changes a batch."""

import enum

import numpy as np

_WORD = (1 << 64) - 1


class Purpose(enum.IntEnum):
    """What a stream is drawn for; streams of two purposes never meet."""

    ORDER = 0
    SAMPLE = 1
    ERASING = 2
    MIXING = 3


class Streams:
    """The random streams of one epoch: Philox, a counter-based generator that starts anywhere at no cost.

    Every call of `at` restarts one and the same generator, ten times faster than a new one; use one object a thread.
    """

    def __init__(self, seed: int, epoch: int):
        self._philox = np.random.Philox(key=(epoch << 64) | (seed & _WORD))
        self._random = np.random.Generator(self._philox)
        self._state = self._philox.state

    def at(self, purpose: Purpose, index: int = 0) -> np.random.Generator:
        """The generator at the start of a stream; `index` is a sample's or a batch's number."""
        # Drawing moves the lowest word of the counter on, so it is the higher ones that tell streams apart.
        self._state["state"]["counter"][:] = (0, index, purpose, 0)
        self._philox.state = self._state
        return self._random
