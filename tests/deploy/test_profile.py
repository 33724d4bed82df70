"""Profiles to and from JSON."""

import json

import pytest

from msnoah.deploy.profile import Profile, load_profile
from msnoah.errors import ProfileError


def test_json_round_trip(tmp_path, make_profile):
    profile = make_profile([1.25, 1.5, 3.0], [1.0, 1.125, 2.0])
    profile.save(tmp_path / profile.file_name)
    assert load_profile(tmp_path / "onnxruntime-t1-b1.json") == profile
    stored = json.loads((tmp_path / profile.file_name).read_text())
    assert stored["wall_ms"] == [1.25, 1.5, 3.0]
    assert not [key for key in stored if key in ("p50", "p90", "p99", "mean", "repeats")]


def test_percentiles_come_from_the_raw_latencies(make_profile):
    profile = make_profile(range(1, 102), range(101, 202))
    assert (profile.percentile(50), profile.percentile(90, "cpu")) == (51.0, 191.0)
    assert (profile.mean(), profile.repeats) == (51.0, 101)


def _cut(text):
    return text[: len(text) // 2]


@pytest.mark.parametrize("damage, words", [
    (_cut, "not JSON"),
    (lambda text: text.replace('"threads": 1', '"threads": "many"'), "threads: input should be a valid integer"),
    (lambda text: text.replace('"threads": 1', '"threads": 0'), "threads"),
    (lambda text: text.replace('"cores": 4', '"cores": null'), "device.cores"),
    (lambda text: text.replace('"wall_ms"', '"wall_s"'), "wall_ms: field required"),
    (lambda text: "[]", "expected a JSON object"),
    (lambda text: "\xff\x00", "not JSON"),
])
def test_a_damaged_profile_names_its_file_and_line(tmp_path, make_profile, damage, words):
    path = tmp_path / "p.json"
    make_profile().save(path)
    path.write_text(damage(path.read_text()), encoding="latin-1")
    with pytest.raises(ProfileError, match=words) as caught:
        load_profile(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_the_line_is_the_one_of_the_fault(tmp_path, make_profile):
    path = tmp_path / "p.json"
    make_profile().save(path)
    lines = path.read_text().splitlines()
    number = next(n for n, line in enumerate(lines, 1) if '"cores"' in line)
    path.write_text(path.read_text().replace('"cores": 4', '"cores": "x"'))
    with pytest.raises(ProfileError, match=f"p.json:{number}: device.cores"):
        load_profile(path)


def test_a_profile_that_is_not_there(tmp_path):
    with pytest.raises(ProfileError, match="cannot be read"):
        load_profile(tmp_path / "none.json")


@pytest.mark.parametrize("changes, words", [
    ({"verified": False}, "not verified"),
    ({"parity": {"against": "mindspore", "max_rel": 5e-3}}, "outputs differ from mindspore's by 5.0e-03 relative"),
    ({"parity": {"against": "mindspore", "max_rel": float("inf")}}, "latency counts for nothing"),
    ({"notes": ["latencies only: no profiler"]}, "no profiler"),
    ({"cpu_ms": [0.5] * 20}, "trust CPU time"),
])
def test_warnings(make_profile, changes, words):
    assert make_profile().warnings() == []
    [warning] = make_profile(**changes).warnings()
    assert words in warning


def test_an_empty_measurement_is_no_profile(make_profile):
    with pytest.raises(ValueError, match="at least 1 item"):
        Profile.model_validate({**make_profile().to_record(), "wall_ms": []})
