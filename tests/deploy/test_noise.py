"""What speaks against latencies, of scripted ones."""

import pytest

from msnoah.deploy.measurement import Round, Samples
from msnoah.deploy.noise import find_noise


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


def _rounds(cpu_ms, references):
    rounds = [Round(float(number), 1, reference) for number, reference in enumerate(references)]
    return Samples([1.0] * len(cpu_ms), cpu_ms, rounds=rounds)


@pytest.mark.parametrize("cpu, references, goal, words", [
    ([1.0] * 20, [1.0] * 20, 0.02, []),
    ([1.0, 1.1] * 10, [1.0] * 20, 0.02, ["not known to 2.0% (see its interval): the time limit was over"]),
    ([1.0, 1.1] * 10, [1.0] * 20, None, []),  # nobody asked for an interval
    ([1.0] * 20, [1.0] * 3 + [2.0] * 17, 0.02, ["fewer than 6 rounds were calm"]),
    ([1.0] * 3, [1.0] * 3, 0.02, []),  # fewer runs than can tell
])
def test_what_the_rounds_say(cpu, references, goal, words):
    found = find_noise(_rounds(cpu, references), 1, 2, 0.5, goal)
    assert len(found) == len(words) and all(word in line for word, line in zip(words, found))
