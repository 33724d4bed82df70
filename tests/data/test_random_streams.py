import itertools

import numpy as np

from msnoah.data.random_streams import Purpose, Streams


def test_streams_of_all_uses_differ():
    starts = {
        tuple(Streams(seed, epoch).at(purpose, index).integers(0, 2**63, 3).tolist())
        for seed, epoch, purpose, index in itertools.product((0, 1, 2**40), (0, 1, 300), Purpose, (0, 1, 10**6))
    }
    assert len(starts) == 3 * 3 * 4 * 3


def test_a_stream_restarts_whatever_was_drawn_before():
    streams = Streams(5, 7)
    first = streams.at(Purpose.SAMPLE, 3).random(5)
    streams.at(Purpose.MIXING, 3).integers(0, 5, 3, np.int32)  # leaves half a word in the generator
    streams.at(Purpose.SAMPLE, 4).standard_normal(3)
    assert np.array_equal(streams.at(Purpose.SAMPLE, 3).random(5), first)


def test_neighbouring_streams_are_independent():
    draws = np.array([Streams(0, 0).at(Purpose.SAMPLE, index).random(4) for index in range(5000)])
    assert abs(np.corrcoef(draws.T) - np.eye(4)).max() < 0.07 and abs(draws.mean() - 0.5) < 0.01  # five standard deviations
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.07
