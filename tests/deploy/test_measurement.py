"""The protocol of measuring, with scripted latencies."""

import gc

import numpy as np
import pytest

from msnoah.deploy.artifact import TensorSpec
from msnoah.deploy.measurement import largest_relative_difference, make_feeds, time_runs
from msnoah.errors import ProfileError


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
