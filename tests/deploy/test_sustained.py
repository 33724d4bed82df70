"""Minutes of runs on a scripted clock: what the curve says of throttling."""

import pytest

from msnoah.deploy.measurement import Samples
from msnoah.deploy.sustained import Sustained, sustain
from msnoah.deploy.telemetry import Telemetry
from msnoah.errors import ProfileError


class Scripted:
    """Runs that take `run_ms(t)` milliseconds t seconds after the start, on its own clock."""

    def __init__(self, run_ms, telemetry=lambda t: Telemetry()):
        self.run_ms, self.read, self.now, self.asked = run_ms, telemetry, 100.0, []

    def clock(self):
        return self.now

    def measure(self, repeats):
        self.asked.append(repeats)
        ms = self.run_ms(self.now - 100.0)
        self.now += (repeats + 1) * ms / 1e3
        wobble = [ms * (1 + 0.004 * (number % 3 - 1)) for number in range(repeats)]
        return Samples(wobble, wobble, [1.0, 1.1])

    def telemetry(self):
        return self.read(self.now - 100.0)


def _curve(scripted, seconds=240.0):
    return sustain(scripted, 10.0, seconds, "test", clock=scripted.clock)


def hot(t):
    """A phone: the clock falls after 90 s."""
    return Telemetry(40.0 + min(t, 90) / 3, 2000.0 if t < 90 else 1500.0)


CURVES = {
    "steady": (lambda t: 10.0, lambda t: Telemetry(), False, "no throttling seen"),
    "throttled": (lambda t: 10.0 if t < 90 else 13.0, hot, True, "THROTTLED: the clock fell as well"),
    "slower, and nothing tells why": (lambda t: 10.0 if t < 90 else 13.0, lambda t: Telemetry(), True, "or slowed down"),
    "a burst in the middle": (lambda t: 20.0 if 90 < t < 120 else 10.0, hot, False, "no throttling seen"),
    "faster": (lambda t: 10.0 if t < 90 else 8.0, hot, False, "no throttling seen"),
    "less than a load does": (lambda t: 10.0 if t < 90 else 10.2, hot, False, "no throttling seen"),
}


@pytest.mark.parametrize("run_ms, telemetry, throttled, words", CURVES.values(), ids=CURVES)
def test_throttling_is_seen_in_the_curve(run_ms, telemetry, throttled, words):
    found = _curve(Scripted(run_ms, telemetry))
    assert found.throttled == throttled and words in found.describe()
    assert Sustained.model_validate(found.model_dump(mode="json")) == found


def test_the_line_tells_the_figures():
    line = _curve(Scripted(lambda t: 10.0 if t < 90 else 13.0, hot)).describe()
    assert line.startswith("4 min, ") and "p50 CPU 10 -> 13 ms (+30.0%" in line
    assert "50 -> 70 °C" in line and "2000 -> 1500 MHz" in line


def test_windows_are_about_a_second_and_follow_the_speed():
    scripted = Scripted(lambda t: 10.0 if t < 30 else 40.0)
    found = _curve(scripted, 60.0)
    assert scripted.asked[0] == 100 and scripted.asked[-1] == 25
    assert [one.t_s for one in found.windows] == sorted(one.t_s for one in found.windows)
    assert found.windows[0].reference_ms == 1.1 and found.windows[-1].t_s < 60


@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_a_curve_too_short_to_tell(seconds):
    found = _curve(Scripted(lambda t: 10.0), seconds)
    assert found.slowdown is None and not found.throttled and "too short to tell throttling" in found.describe()


def test_a_run_longer_than_the_time_is_one_window():
    assert [one.runs for one in _curve(Scripted(lambda t: 9e3), 5.0).windows] == [100]  # asked for before it was known


def test_a_worker_that_dies_is_an_error():
    class Dying(Scripted):
        def measure(self, repeats):
            raise ProfileError("the measuring process was killed")

    with pytest.raises(ProfileError, match="was killed"):
        _curve(Dying(None))
