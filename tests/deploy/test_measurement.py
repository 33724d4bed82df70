"""The protocol of measuring, with scripted latencies."""

import gc

import numpy as np
import pytest

from msnoah.deploy.artifact import TensorSpec
from msnoah.deploy.interleaving import ROUND, interleave
from msnoah.deploy.measurement import Samples, largest_relative_difference, make_feeds, time_runs
from msnoah.deploy.noise import find_noise
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


def test_time_runs_keeps_garbage_collection_off_only_meanwhile():
    seen = []
    samples = time_runs(lambda: seen.append(gc.isenabled()), 3)
    assert seen == [False] * 3 and gc.isenabled()
    assert len(samples.wall_ms) == len(samples.cpu_ms) == 3 and min(samples.wall_ms) > 0


@pytest.mark.parametrize("spec, batch, shape, lowest, highest", [
    (TensorSpec(name="x", shape=(None, 3, 8, 8), dtype="float32"), 4, (4, 3, 8, 8), -10, 10),
    (TensorSpec(name="x", shape=(2, 8), dtype="float16"), 2, (2, 8), -10, 10),
    (TensorSpec(name="x", shape=(None, 64, 64, 3), dtype="uint8"), 1, (1, 64, 64, 3), 0, 255),
    (TensorSpec(name="ids", shape=(None, 500), dtype="int64"), 1, (1, 500), 0, 1),
])
def test_feeds_follow_the_artifact_and_the_seed(spec, batch, shape, lowest, highest):
    [feed], [again] = make_feeds([spec], batch), make_feeds([spec], batch)
    assert feed.shape == shape and feed.dtype == spec.dtype
    assert lowest <= feed.min() < feed.max() <= highest
    assert np.array_equal(feed, again)
    assert not np.array_equal(feed, make_feeds([spec], batch, seed=1)[0])


@pytest.mark.parametrize(
    "shape, words", [((None, None), "only the first axis"), ((1, 3), "built for batch 1, asked for 2")]
)
def test_feeds_that_cannot_be_made_say_why(shape, words):
    with pytest.raises(ProfileError, match=words):
        make_feeds([TensorSpec(name="x", shape=shape, dtype="float32")], 2)


def test_relative_difference_is_of_the_worst_output():
    reference = [np.array([1.0, -4.0]), np.array([10.0])]
    outputs = [np.array([1.0, -3.0]), np.array([11.0])]
    assert largest_relative_difference(outputs, reference) == pytest.approx(0.25)
    assert largest_relative_difference([outputs[0], np.array([np.nan])], reference) == np.inf
    with pytest.raises(ProfileError, match="cannot be compared"):
        largest_relative_difference(outputs[:1], reference)


@pytest.mark.parametrize("wall, cpu, threads, load, words", [
    ([1.0] * 50, [1.0] * 50, 1, 0.5, []),
    ([1.0] * 50, [0.5] * 50, 1, 0.5, ["trust CPU time"]),
    ([1.0] * 50, [0.5] * 50, 2, 0.5, []),  # two threads may wait for each other
    ([1.0] * 50, [1.0] * 50, 1, 2.5, ["load average 2.5 on 2 cores"]),
    ([1.0] * 50, [1.0] * 50, 4, None, ["4 threads on 2 cores"]),
    ([1.0, 2.0] * 25, [1.0, 2.0] * 25, 1, 0.5, ["repeat on a quiet machine"]),
])
def test_noise_is_named(wall, cpu, threads, load, words):
    found = find_noise(Samples(wall, cpu), threads, 2, load)
    assert len(found) == len(words) and all(word in line for word, line in zip(words, found))
