"""Profiling a run end to end, on small artifacts."""

import hashlib

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from msnoah.config import ProfileConfig
from msnoah.deploy.parity import compare_outputs
from msnoah.deploy.profile import load_profile
from msnoah.deploy.profiler import profile_artifact, profile_run
from msnoah.deploy.rows import Row
from msnoah.errors import ProfileError, RunFolderError
from msnoah.run_folder import read_json, write_json

ONNX_ONLY = ProfileConfig(time_limit_s=0, runtimes=["onnxruntime"], warmup=1, repeats=12, batch_size=2)
BOTH = ProfileConfig(time_limit_s=0, warmup=1, repeats=12, batch_size=2)


def _add_mindir(run, content):
    run.mindir_path.write_bytes(content)
    record = read_json(run.export_path)
    digest = hashlib.sha256(content).hexdigest()
    record["artifacts"]["mindir"] = {
        "file": "model.mindir",
        "sha256": digest,
        "size_bytes": len(content),
        "batch": 2,
        "primitives": {},
    }
    write_json(run.export_path, record)


@pytest.fixture
def mindir(onnx_path, tmp_path):
    """The small ONNX graph as a MindIR of batch 2."""
    import mindspore
    from mindspore import nn

    class Small(nn.Cell):
        def __init__(self, weights):
            super().__init__()
            self.first, self.second = (
                mindspore.Parameter(mindspore.Tensor(w), name=f"w{n}") for n, w in enumerate(weights)
            )
            self.relu = nn.ReLU()

        def construct(self, x):
            return mindspore.ops.matmul(self.relu(mindspore.ops.matmul(x, self.first)), self.second)

    weights = [numpy_helper.to_array(tensor) for tensor in onnx.load(onnx_path).graph.initializer]
    example = mindspore.Tensor(np.zeros((2, 16), np.float32))
    mindspore.export(Small(weights), example, file_name=str(tmp_path / "small"), file_format="MINDIR")
    return (tmp_path / "small.mindir").read_bytes()


def test_both_runtimes_measured_in_turns_and_agreeing(exported_run, mindir):
    _add_mindir(exported_run, mindir)
    profiles = profile_run(exported_run, BOTH)
    assert profiles.failures == []
    assert [load_profile(path) for path in exported_run.profile_paths()] == sorted(profiles, key=lambda p: p.file_name)
    by_runtime = {profile.runtime: profile for profile in profiles}
    onnx_row, mindir_row = by_runtime["onnxruntime"], by_runtime["mindspore"]
    assert onnx_row.repeats == mindir_row.repeats == 12
    assert onnx_row.parity.max_rel < 1e-5  # float32 sums of 32 products
    assert (onnx_row.verified, onnx_row.max_rel) == (True, 2.5e-7)
    assert mindir_row.verified is False and any("not verified" in words for words in mindir_row.warnings())
    assert {row.operator for row in mindir_row.operators} >= {"MatMul", "ReLU"}


def test_a_row_that_fails_says_why_and_the_others_go_on(exported_run):
    _add_mindir(exported_run, b"no MindIR at all")
    profiles = profile_run(exported_run, BOTH)
    assert [profile.runtime for profile in profiles] == ["onnxruntime"]
    [failure] = profiles.failures
    assert failure.runtime == "mindspore" and failure.reason and "\n" not in failure.reason


def test_an_artifact_that_was_not_exported_is_a_failed_row(exported_run):
    [failure] = profile_run(exported_run, BOTH).failures
    assert "no mindir artifact" in failure.reason


def test_a_stale_artifact_is_refused_and_earlier_profiles_stay(exported_run, make_profile):
    earlier = make_profile()
    earlier.save(exported_run.profiles_path / earlier.file_name)
    exported_run.onnx_path.write_bytes(exported_run.onnx_path.read_bytes() + b"\0")
    with pytest.raises(ProfileError, match="stale: its sha256 is"):
        profile_run(exported_run, ONNX_ONLY)
    assert [load_profile(path) for path in exported_run.profile_paths()] == [earlier]


def test_an_unverified_artifact_is_marked(exported_run, make_export_record):
    write_json(exported_run.export_path, make_export_record(exported_run.onnx_path, passed=False))
    [profile] = profile_run(exported_run, ONNX_ONLY)
    assert profile.verified is False


def test_nothing_measured_is_an_error(exported_run):
    exported_run.onnx_path.unlink()
    with pytest.raises(ProfileError, match="model.onnx: cannot be read"):
        profile_run(exported_run, ONNX_ONLY)
    with pytest.raises(ProfileError, match="nothing could be measured: mindspore"):
        write_json(exported_run.export_path, {"artifacts": {}})
        profile_run(exported_run, BOTH.model_copy(update={"runtimes": ["mindspore"]}))


def test_nothing_exported_says_what_to_do(run):
    with pytest.raises(RunFolderError, match="msnoah export"):
        profile_run(run, ONNX_ONLY)


@pytest.mark.parametrize("damage", [{"inputs": [{"name": "x"}]}, {"inputs": 3}, {"verification": {"checks": [3]}}])
def test_a_damaged_export_record_is_one_line(exported_run, damage):
    write_json(exported_run.export_path, {**read_json(exported_run.export_path), **damage})
    with pytest.raises(ProfileError, match="export.json: damaged"):
        profile_run(exported_run, ONNX_ONLY)


def test_a_file_without_a_run_folder(onnx_path):
    [profile] = profile_artifact(onnx_path, BOTH.model_copy(update={"threads": [1]}))
    assert (profile.model, profile.verified, profile.precision, profile.batch_size) == ("small", None, "float32", 2)
    assert not onnx_path.with_name("profiles").exists()


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("missing.onnx", None, "cannot be read"),
        ("model.pb", b"x", "ends in .onnx or .tflite"),
        ("bad.onnx", b"\xff\xfe junk", "not an ONNX model"),
    ],
)
def test_files_that_cannot_be_profiled(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ProfileError, match=words) as caught:
        profile_artifact(tmp_path / name, ONNX_ONLY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "dtype, parity, note", [("float32", 0.5, ""), ("uint8", None, "no parity: onnxruntime takes inputs")]
)
def test_outputs_of_other_inputs_are_not_compared(dtype, parity, note):
    def row(runtime, output, kind):
        spec = {"name": "x", "shape": [None, 3], "dtype": kind}
        return Row(runtime, 1, loaded={"inputs": [spec]}, outputs=[np.array([output])])

    rows = [row("onnxruntime", 3.0, dtype), row("mindspore", 2.0, "float32")]
    compare_outputs(rows)
    assert (rows[0].parity and rows[0].parity.max_rel) == parity and rows[1].parity is None
    assert " ".join(rows[0].notes).startswith(note)
