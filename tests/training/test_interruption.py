import os
import signal

import pytest

from msnoah.training.interruption import Interrupted, Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_seen_before_the_next_item(number):
    before = signal.getsignal(number)
    with Interruption() as interruption:
        items = interruption.watch(range(3))
        assert next(items) == 0
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted):
            next(items)
    assert signal.getsignal(number) is before


def test_a_second_signal_acts_as_always():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)   # a shell's background job ignores it
    try:
        with pytest.raises(KeyboardInterrupt), Interruption():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
