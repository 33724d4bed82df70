"""The gate that measures again, on scripted workers and a scripted clock."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

from msnoah.cli import main
from msnoah.deploy.artifact import Artifact
from msnoah.deploy.gate import FIRST_PAIRS, Pairs, Plan, remeasure
from msnoah.deploy.measurement import Samples
from msnoah.deploy.statistics import sign_interval
from msnoah.errors import ProfileError, RegressionError


class Machine:
    """Two artifacts, `before` and `after`, whose runs take scripted times; the clock goes on by each of them."""

    def __init__(self, after_ms=10.0, noise=0.01, weather=lambda t: 1.0, outputs=(1.0, 1.0), fails=None):
        self.ms, self.noise, self.weather, self.fails = {"before": 10.0, "after": after_ms}, noise, weather, fails
        self.outputs, self.now, self.generator = dict(zip(self.ms, outputs)), 0.0, np.random.default_rng(3)
        self.log, self.opened = [], 0

    def open_worker(self):
        self.opened += 1
        return Worker(self)

    def remeasure(self, **plan):
        before, after = (Artifact(Path(f"{name}.onnx"), "onnx", name, "0", 1, "float32") for name in self.ms)
        return remeasure(before, after, Plan(**plan), open_worker=self.open_worker, clock=lambda: self.now)


class Worker:
    """One process of a Machine."""

    def __init__(self, machine):
        self.machine, self.name = machine, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def start(self, runtime, artifact, threads, batch_size):
        self.name = artifact.model
        if self.machine.fails == self.name:
            raise ProfileError("not an ONNX model")

    def measure(self, repeats):
        machine = self.machine
        machine.log.append(self.name)
        ms = machine.ms[self.name] * machine.weather(machine.now)
        times = list(ms * (1 + machine.noise * machine.generator.standard_normal(repeats)))
        machine.now += sum(times) / 1e3
        return Samples(times, [time / 2 for time in times])

    def outputs(self):
        value = self.machine.outputs[self.name]
        return [np.array(value)]


VERDICTS = {  # after_ms, what besides is given to the machine, limit -> verdict
    "the same": (10.0, {}, 0.025, "pass"),
    "5 % slower": (10.5, {}, 0.025, "regression"),
    "5 % slower, of 10 % allowed": (10.5, {}, 0.10, "pass"),
    "faster": (8.0, {}, 0.0, "pass"),
    "5 % slower on a noisy machine": (10.5, {"noise": 0.2}, 0.025, "regression"),
    "the same on a noisy machine": (10.0, {"noise": 0.2}, 0.025, "pass"),
    "5 % slower while the machine slows down by half": (
        10.5, {"weather": lambda t: 1 + t / 20}, 0.025, "regression"),
    "the same while the machine comes and goes": (10.0, {"weather": lambda t: 2 - t // 1 % 2}, 0.025, "pass"),
}


@pytest.mark.parametrize("after_ms, machine, limit, verdict", VERDICTS.values(), ids=VERDICTS)
def test_verdicts(after_ms, machine, limit, verdict):
    found = Machine(after_ms, **machine).remeasure(max_regression=limit, time_limit_s=600)
    low, high = found.interval
    assert found.verdict == verdict and low <= found.ratio <= high
    assert found.ratio == pytest.approx(after_ms / 10, rel=0.02)
    assert json.loads(json.dumps(found.to_record()))["pairs"]["before_ms"] == found.pairs.before_ms
    if verdict == "regression":
        with pytest.raises(RegressionError, match=r"REGRESSION, allowed \+2.5%") as caught:
            found.check()
        assert caught.value.exit_code == 1 and "\n" not in str(caught.value)
    else:
        found.check()


@pytest.mark.parametrize("limit_s", [0.001, 3.0])
def test_undecided_when_the_time_is_over(limit_s):
    """A slowdown of exactly what is allowed cannot be decided; so cannot anything in no time."""
    found = Machine(10.25, noise=0.05).remeasure(max_regression=0.025, time_limit_s=limit_s)
    assert found.verdict == "undecided" and found.pairs.before_ms
    with pytest.raises(RegressionError, match="UNDECIDED.*give it more time"):
        found.check()
    assert json.loads(json.dumps(found.to_record()))["verdict"] == "undecided"


def test_pairs_take_turns_and_processes_are_started_anew_after_each_look():
    machine = Machine(noise=0.05)
    found = machine.remeasure(max_regression=0.025, time_limit_s=600)
    assert machine.log[:8] == ["before", "after", "before", "after", "after", "before", "before", "after"]
    assert machine.opened == 2 * found.pairs.looks > 2
    assert len(found.pairs.before_ms) == FIRST_PAIRS * 2 ** (found.pairs.looks - 1)


@pytest.mark.parametrize("metric, before_ms", [("wall", 10.0), ("cpu", 5.0)])
def test_the_metric(metric, before_ms):
    found = Machine().remeasure(metric=metric, max_regression=0.05)
    assert np.median(found.pairs.before_ms) == pytest.approx(before_ms, rel=0.02) and metric in found.describe()


def test_without_a_limit_it_compares():
    found = Machine(11.0).remeasure()
    assert found.verdict == "compared" and found.ratio == pytest.approx(1.1, rel=0.01)
    assert "REGRESSION" not in found.text() and "within" not in found.text()


@pytest.mark.parametrize("outputs, line", [
    ((1.0, 1.0), "outputs differ by 0.0e+00 relative"),
    ((2.0, 3.0), "outputs differ by 5.0e-01 relative"),
    ((1.0, [1.0, 1.0]), "warning: the two take other inputs or give other outputs"),
])
def test_outputs_are_compared(outputs, line):
    assert line in Machine(outputs=outputs).remeasure(max_regression=0.05).text()


def test_a_limit_that_two_starts_can_exceed_is_said():
    assert "two starts of one artifact" in Machine(8.0).remeasure(max_regression=0.005).text()


@pytest.mark.parametrize("name", ["before", "after"])
def test_what_cannot_be_loaded_names_its_file(name):
    with pytest.raises(ProfileError, match=f"{name}.onnx: not an ONNX model"):
        Machine(fails=name).remeasure(max_regression=0.05)


def test_a_process_that_dies_between_pairs_names_both(monkeypatch):
    machine = Machine()

    def die(self, repeats):
        raise ProfileError("the measuring process was killed in 'measure'")

    monkeypatch.setattr(Worker, "measure", die)
    with pytest.raises(ProfileError, match="before.onnx and after.onnx: the measuring process was killed"):
        machine.remeasure(max_regression=0.05)


def test_all_looks_together_err_as_seldom_as_they_say():
    """A ratio of exactly the limit, looked at nine times: every verdict is an error, which 10 % of the runs may make."""
    generator, errors = np.random.default_rng(0), 0
    for _ in range(400):
        pairs, wanted = Pairs(), FIRST_PAIRS
        while wanted <= FIRST_PAIRS * 2**8:
            logs = generator.standard_t(2, wanted - len(pairs.before_ms))  # heavy tails
            pairs.before_ms += [1.0] * len(logs)
            pairs.after_ms += list(np.exp(np.clip(logs, -600, 600)))
            pairs.look(0.90)
            if pairs.interval[0] > 0 or pairs.interval[1] < 0:
                errors += 1
                break
            wanted *= 2
    assert errors / 400 <= 0.10 + 4 * math.sqrt(0.1 * 0.9 / 400)


@pytest.mark.parametrize("count, level, ranks", [
    (5, 0.05, None),  # 2 / 2^5 is more than 5 %
    (6, 0.05, (1, 6)), (10, 0.05, (2, 9)), (100, 0.05, (40, 61)),  # published tables of the sign test
    (12, 0.005, (1, 12)),
])
def test_ranks_of_the_sign_test(count, level, ranks):
    assert sign_interval(range(count, 0, -1), level) == (ranks or (-math.inf, math.inf))


WRONG = {
    "no file": (["{dir}/a.onnx", "{dir}/b.onnx"], "a.onnx: cannot be read"),
    "no run folder": (["{dir}/a", "{onnx}"], "no such run folder"),
    "a profile": (["{dir}/a.json", "{onnx}"], "a profile cannot be measured again"),
    "another kind of file": (["{onnx}", "{onnx}", "--runtime", "mindspore"], "mindspore runs .mindir files"),
    "an unknown runtime": (["{onnx}", "{onnx}", "--runtime", "onnxruntme"], "did you mean 'onnxruntime'?"),
    "no time": (["{onnx}", "{onnx}", "--time-limit", "0"], "a time limit of 0 s measures nothing"),
    "negative time": (["{onnx}", "{onnx}", "--time-limit=-5"], "'-5' is not a duration"),
    "full confidence": (["{onnx}", "{onnx}", "--confidence", "100%"], "a confidence of 1"),
    "no percentage": (["{onnx}", "{onnx}", "--max-regression", "0.05"], "not a percentage"),
    "no threads": (["{onnx}", "{onnx}", "--threads", "0"], "0 threads: expected 1 or more"),
}


@pytest.mark.parametrize("arguments, words", WRONG.values(), ids=WRONG)
def test_bad_input_is_one_line(arguments, words, onnx_path, tmp_path, capsys):
    filled = [argument.format(dir=tmp_path, onnx=onnx_path) for argument in arguments]
    assert main(["compare", *filled, "--remeasure"]) == 2
    output, errors = capsys.readouterr()
    assert output == "" and words in errors and errors.count("\n") == 1


@pytest.mark.parametrize("option", ["--runtime=mnn", "--threads=2", "--time-limit=5s", "--confidence=95%"])
def test_options_of_measuring_again_are_refused_without_it(option, capsys):
    assert main(["compare", "a.json", "b.json", option]) == 2
    assert "goes with --remeasure" in capsys.readouterr().err


def test_two_files_end_to_end(onnx_path, capsys):
    """A graph of microseconds, whose pairs may differ by anything: the limit allows all but a tenfold slowdown."""
    assert main(["compare", str(onnx_path), str(onnx_path), "--remeasure", "--max-regression", "900%", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["verdict"] == "pass" and record["max_rel"] == 0.0
    assert list(itertools.islice(record["interval"], 2)) == sorted(record["interval"])
