"""Candidates in turns, with scripted latencies on a scripted clock."""

import pytest

from msnoah.deploy.interleaving import ROUND, Goal, interleave
from msnoah.deploy.measurement import Round, Samples
from msnoah.errors import MsnoahError, ProfileError


class Scripted:
    """A candidate whose n-th run takes n milliseconds, and which fails in its `fails_at`-th round."""

    def __init__(self, name, log, fails_at=None):
        self.name, self.log, self.fails_at, self.rounds, self.runs = name, log, fails_at, 0, 0

    def measure(self, repeats):
        self.log.append((self.name, repeats))
        self.rounds += 1
        if self.rounds == self.fails_at:
            raise ProfileError(f"{self.name} crashed")
        times = [float(self.runs + number) for number in range(repeats)]
        self.runs += repeats
        return Samples(list(times), list(times))


class Timed:
    """A candidate of a machine whose rounds each take a second; a run takes ten times `cpu_ms(round)`."""

    def __init__(self, clock, cpu_ms, reference_ms=lambda number: 1.0):
        self.clock, self.cpu_ms, self.reference_ms, self.rounds = clock, cpu_ms, reference_ms, 0

    def measure(self, repeats):
        self.rounds += 1
        self.clock.now += 1.0
        times = [10 * self.cpu_ms(self.rounds)] * repeats
        return Samples(times, list(times), [self.reference_ms(self.rounds), 0.5])


class Clock:
    """Seconds, which go on as candidates run."""

    now = 50.0

    def __call__(self):
        return self.now


def test_candidates_take_turns_and_the_order_turns_around():
    log = []
    interleave([Scripted("a", log), Scripted("b", log)], warmup=3, repeats=2 * ROUND + 5)
    assert log == [("a", 3), ("b", 3), ("b", ROUND), ("a", ROUND), ("a", ROUND), ("b", ROUND), ("b", 5), ("a", 5)]


@pytest.mark.parametrize("warmup, repeats", [(0, 1), (3, 1), (3, ROUND), (0, ROUND + 1)])
def test_the_warm_up_is_not_recorded(warmup, repeats):
    [samples] = interleave([Scripted("a", [])], warmup, repeats)
    assert samples.wall_ms == [float(warmup + number) for number in range(repeats)]


def test_a_failing_candidate_gives_its_error_and_the_others_go_on():
    log = []
    failed, whole = interleave([Scripted("a", log, fails_at=2), Scripted("b", log)], warmup=1, repeats=3 * ROUND)
    assert isinstance(failed, MsnoahError) and str(failed) == "a crashed"
    assert len(whole.wall_ms) == 3 * ROUND
    assert [name for name, _ in log].count("a") == 2


def test_every_run_keeps_its_round_and_the_slower_reference():
    clock = Clock()
    [samples] = interleave([Timed(clock, float, lambda number: 0.1 * number)], 0, ROUND + 2, clock=clock)
    assert samples.rounds == [Round(0.0, ROUND, 0.5), Round(1.0, 2, 0.5)]
    assert samples.cpu_ms == [10.0] * ROUND + [20.0] * 2


def test_runs_are_added_for_a_row_whose_median_is_not_known():
    """A steady row is done with its least number; one that swings by 10 % for its first nine rounds goes on alone."""
    clock = Clock()
    steady = Timed(clock, lambda number: 1.0)
    swinging = Timed(clock, lambda number: 1.0 + (number % 2) / 10 if number < 10 else 1.0)
    done, longer = interleave([steady, swinging], 0, 6 * ROUND, Goal(0.02, 1000.0), clock)
    assert len(done.rounds) == 6 and 9 < len(longer.rounds) < 40


def test_the_time_limit_ends_what_is_never_known_but_not_the_least_number():
    clock = Clock()
    [samples] = interleave([Timed(clock, lambda number: 1.0 + number % 2)], 0, 3 * ROUND, Goal(0.02, 12.0), clock)
    assert len(samples.rounds) == 12
    [samples] = interleave([Timed(clock, lambda number: 1.0 + number % 2)], 0, 3 * ROUND, Goal(0.02, 1.0), clock)
    assert len(samples.rounds) == 3


def test_noisy_rounds_do_not_count_for_the_goal():
    clock = Clock()
    candidate = Timed(clock, lambda number: 1.0 if number > 20 else 5.0 + number, lambda number: 1.0 + (number <= 20))
    [samples] = interleave([candidate], 0, ROUND, Goal(0.02, 1000.0), clock)
    assert len(samples.rounds) == 26  # the six calm ones that an interval takes


def test_a_candidate_that_fails_later_does_not_stop_the_goal_of_the_others():
    clock, log = Clock(), []
    candidates = [Scripted("a", log, fails_at=2), Timed(clock, lambda number: 1.0 + number % 2)]
    failed, longer = interleave(candidates, 0, ROUND, Goal(0.02, 9.0), clock)
    assert isinstance(failed.cause, ProfileError) and len(longer.rounds) == 9


@pytest.mark.parametrize("cpu_ms, runs", [(0.0001, 200), (0.01, 200), (0.1, 20), (0.5, ROUND), (50.0, ROUND)])
def test_rounds_of_fast_candidates_have_more_runs(cpu_ms, runs):
    clock = Clock()
    [samples] = interleave([Timed(clock, lambda number: cpu_ms)], 0, 6 * ROUND, Goal(0.02, 1000.0), clock)
    assert [one.runs for one in samples.rounds] == [ROUND, *[runs] * 5]
