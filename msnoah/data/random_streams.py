"""Random numbers that depend on what they are for, not on who asks first: the worker count never changes a batch."""

import numpy as np

_WORD = 64


def stream(seed: int, epoch: int, purpose: int, index: int = 0) -> np.random.Generator:
    """The generator of (seed, epoch, purpose, index): a counter-based Philox that starts anywhere at no cost.

    `purpose` tells the uses apart (see ORDER, SAMPLE, MIX); `index` is a sample's or a batch's number.
    """
    key = (epoch << _WORD) | seed % (1 << _WORD)
    # The lowest word of the counter is what the drawing moves on, so streams never meet.
    counter = (purpose << 2 * _WORD) | (index << _WORD)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


ORDER, SAMPLE, MIX = range(3)
