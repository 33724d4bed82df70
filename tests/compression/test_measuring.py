"""What compression costs, measured: controls that come back, figures by hand, and nothing left behind."""

import json
import sys

import numpy as np
import pytest

from msnoah.compression.codings import ChainCoding
from msnoah.compression.compressing import compress_checkpoints
from msnoah.compression.controls import CONTROLS, MOMENTS, read_control, write_control, zstd_or_xz
from msnoah.compression.measurement_summary import measurement_table, summarise_rows
from msnoah.compression.measuring import measure_compression
from msnoah.compression.settings import PRESETS
from msnoah.errors import CheckpointError
from msnoah.state_file import save_state
from tests.compression.training_states import make_states, same

PAIR = make_states(2)
STRANGE = np.array([[0.0, -0.0, np.inf], [-np.inf, np.nan, 1e-45], [-1.0, 3e38, -3e38]], np.float32)


@pytest.mark.parametrize("before, after", [
    (PAIR[0], PAIR[1]), ({}, PAIR[1]),
    ({"w": STRANGE}, {"w": STRANGE[::-1].copy(), "n": np.array(3), "s": np.float32(2)}),
    ({"w": STRANGE[:2]}, {"w": STRANGE}),
], ids=["next", "first", "strange", "other shape"])
def test_the_lossless_control_gives_every_bit_back(before, after):
    after = {name: np.asarray(array) for name, array in after.items()}
    content = write_control(CONTROLS["lossless"], after, before)
    assert same(read_control(CONTROLS["lossless"], content, before), after)


def test_a_residual_is_smaller_than_the_state():
    """Of weights whose changes are a thousandth of them: the upper bits are gone."""
    alone, residual = (len(write_control(CONTROLS["lossless"], PAIR[1], before)) for before in ({}, PAIR[0]))
    assert residual < 0.95 * alone


def test_without_moments_the_rest_is_whole():
    content = write_control(CONTROLS["moments_dropped"], PAIR[1], {})
    restored = read_control(CONTROLS["moments_dropped"], content, {})
    for name, array in PAIR[1].items():
        assert same({name: restored[name]}, {name: np.zeros_like(array) if name.startswith(MOMENTS) else array}), name
    assert len(content) < 0.5 * len(write_control(CONTROLS["lossless"], PAIR[1], {}))   # two of three numbers are gone


def test_half_precision_rounds_and_stays_finite():
    state = {"w": np.array([1 + 2**-12, 1e6, -1e6, 1e-9], np.float32), "steps": np.array([70000])}
    restored = read_control(CONTROLS["float16"], write_control(CONTROLS["float16"], state, {}), {})
    assert restored["w"].tolist() == [1.0, 65504.0, -65504.0, 0.0] and restored["w"].dtype == np.float32
    assert restored["steps"].tolist() == [70000]


@pytest.mark.parametrize("installed, name", [(True, "zstd level 19"), (False, "xz preset 9")])
def test_the_compressor_says_which_it_is(installed, name, monkeypatch):
    if installed:
        pytest.importorskip("zstandard", reason="an extra of the tests")
    else:
        monkeypatch.setitem(sys.modules, "zstandard", None)
    compressor = zstd_or_xz()
    assert compressor.name == name
    content = b"abc" * 100
    assert compressor.decompress(compressor.compress(content)) == content and len(compressor.compress(content)) < 100


@pytest.fixture
def paths(tmp_path, monkeypatch):
    """Four states, given in a strange order; temporary files lie in tmp_path/temporary."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return write_states(tmp_path, make_states(4))


def write_states(folder, states):
    found = [folder / f"{name}.ckpt" for name in "dcba"[:len(states)]]
    for step, (path, state) in enumerate(zip(found, states, strict=True)):
        save_state(path, state, {"state": {"step": 10 * step}})
    return sorted(found)


class Evaluator:
    """Scores a state by its weights; counts how often."""

    def __init__(self):
        self.calls = 0

    def __call__(self, arrays, path):
        self.calls += 1
        return {"loss": float(np.abs(arrays["head.weight"]).mean()), "top1": 0.5}


def measure(paths, evaluator=None, presets=("balanced",), **settings):
    return measure_compression(paths, presets, lambda: evaluator or Evaluator(), **{"key_frame_every": 3, **settings})


def test_figures_are_those_of_the_files(paths, tmp_path):
    states, record = make_states(4), measure(paths, presets=tuple(PRESETS))
    for preset in PRESETS:
        chain = compress_checkpoints(paths, tmp_path / preset, PRESETS[preset], key_frame_every=3)
        rows = record["codings"][preset]["rows"]
        assert [row["size_bytes"] for row in rows] == [path.stat().st_size for path in chain.paths()]
        assert [row["kind"] for row in rows] == ["key", "change", "change", "key"]
        for step, (row, path, state) in enumerate(zip(rows, chain.paths(), states, strict=True)):
            restored = chain.restore(path)[0]
            names = [name for name in state if not name.startswith("optimizer.") and name != "steps"]
            off, went = (np.linalg.norm(np.concatenate([(one[name] - other[name]).reshape(-1) for name in names]))
                         for one, other in ((restored, state), (state, states[step - 1])))
            assert row["step"] == 10 * step
            assert row["ratio"] == sum(array.nbytes for array in state.values()) / row["size_bytes"]
            assert row["error"] == (None if step == 0 else pytest.approx(off / went, rel=1e-5))   # float32 sums there
            change = np.abs(restored["head.weight"]).mean() - np.abs(state["head.weight"]).mean()
            assert row["changes"] == {"loss": pytest.approx(float(change), abs=1e-7), "top1": 0.0}   # one ulp of 1
            assert row["compress_cpu_s"] > 0 and row["restore_cpu_s"] >= 0
    assert [(row["step"], row["file"]) for row in record["states"]] == [
        (0, "d.ckpt"), (10, "c.ckpt"), (20, "b.ckpt"), (30, "a.ckpt")]


def test_controls_stand_beside_the_presets(paths):
    codings = measure(paths)["codings"]
    assert {name: coding["role"] for name, coding in codings.items()} == {
        "balanced": "preset", **dict.fromkeys(CONTROLS, "control")}
    assert [row["kind"] for row in codings["lossless"]["rows"]] == ["key", "change", "change", "change"]
    for name in ("lossless", "moments_dropped"):
        assert all(row["changes"]["loss"] == 0 and row["error"] in (0, None) for row in codings[name]["rows"])
    assert all(row["moment_error"] == {"lossless": 0, "moments_dropped": 1}[name]
               for name in ("lossless", "moments_dropped") for row in codings[name]["rows"])
    assert codings["balanced"]["settings"]["bits"] == PRESETS["balanced"].bits
    assert codings["moments_dropped"]["compressor"] == "xz preset 9"


def test_weights_that_came_back_are_not_evaluated_again(paths):
    """4 states; balanced has 2 that are no key frames, float16 changes all."""
    evaluator = Evaluator()
    measure(paths, evaluator)
    assert evaluator.calls == 4 + 2 + 4


def test_all_that_is_timed_comes_before_the_evaluator(paths, monkeypatch):
    order = []
    read = ChainCoding.read
    monkeypatch.setattr(ChainCoding, "write", lambda *a, write=ChainCoding.write: (order.append("write"), write(*a))[1])
    monkeypatch.setattr(ChainCoding, "read", lambda *a: (order.append("read"), read(*a))[1])
    measure_compression(paths, ["balanced"], lambda: order.append("open") or Evaluator(), key_frame_every=3)
    assert order == ["write", "read"] * 4 + ["open"] + ["read"] * 4


def test_a_file_that_restores_to_other_bits_is_an_error(paths, monkeypatch):
    read = ChainCoding.read

    def one_bit_off(self, path):
        arrays = read(self, path)
        return {**arrays, "head.weight": np.nextafter(arrays["head.weight"], np.float32(9))}

    monkeypatch.setattr(ChainCoding, "read", one_bit_off)
    with pytest.raises(CheckpointError, match="step 0: 000000000.excp restores to other bits"):
        measure(paths)


@pytest.mark.parametrize("fault", [KeyboardInterrupt, CheckpointError])
def test_nothing_is_left_of_what_was_interrupted(fault, paths, tmp_path):
    def stop(*_):
        raise fault("stop")

    with pytest.raises(fault):
        measure(paths, stop)
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("change, words", [
    ({"paths": slice(1)}, "^1 training state: expected two or more.*keep_last: all"),
    ({"presets": ["tiny"]}, "unknown preset 'tiny'"),
    ({"controls": ["none", "x"]}, "unknown control 'none'; known: lossless, moments_dropped, float16"),
    ({"key_frame_every": 0}, "key_frame_every 0: expected 1 or more"),
])
def test_what_cannot_be_measured_is_one_line(change, words, paths):
    chosen = paths[change.pop("paths", slice(None))]
    with pytest.raises(CheckpointError, match=words) as caught:
        measure(chosen, **change)
    assert "\n" not in str(caught.value)


def test_states_of_two_runs_are_refused(tmp_path):
    states = make_states(2)
    states[1]["head.weight"] = states[1]["head.weight"][:, :3]
    with pytest.raises(CheckpointError, match=r"c.ckpt: head.weight is of shape \(40, 3\), but \(40, 25\) in .*d.ckpt"):
        measure(write_states(tmp_path, states))


def row(kind, ratio, change):
    return {"kind": kind, "ratio": ratio, "size_bytes": 10, "plain_bytes": 10 * ratio, "error": 0.5,
            "moment_error": None, "changes": {"loss": change}, "compress_cpu_s": 1e-5, "restore_cpu_s": 0.0}


def test_a_summary_leaves_key_frames_out_but_for_the_bytes():
    changes = [row("change", 20, -0.03), row("change", 40, 0.01), row("change", 30, 0.0)]
    summary = summarise_rows([row("key", 1, 0.0), *changes])
    assert summary["ratio"] == {"lowest": 20, "median": 30, "highest": 40, "largest_absolute": 40}
    assert summary["changes"]["loss"] == {"lowest": -0.03, "median": 0.0, "highest": 0.01, "largest_absolute": 0.03}
    assert (summary["size_bytes"], summary["chain_ratio"], summary["key_frames"]) == (40, 910 / 40, 1)
    assert summary["compress_mb_s"] == pytest.approx(900e-6 / 3e-5) and summary["restore_mb_s"] is None
    assert summarise_rows([row("key", 1, 0.0)])["ratio"] is None


def test_the_table_shows_every_coding_and_state(paths):
    record = measure(paths, presets=tuple(PRESETS))
    lines = measurement_table(json.loads(json.dumps(record))).splitlines()
    starts = [line.split()[0] for line in lines if line]
    assert starts[:7] == ["coding", *PRESETS, *CONTROLS] and starts[-4:] == ["0", "10", "20", "30"]
    assert lines[-1].count("key") == len(PRESETS) and "lossless by " in measurement_table(record)
