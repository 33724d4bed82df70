"""Operators under the roof of a machine with round peaks: 100 GFLOP/s, 10 GB/s to memory and 50 GB/s to a cache."""

import pytest

from msnoah.deploy.calibration import Bandwidth, Peaks
from msnoah.deploy.operator_roofline import place_operator, place_operators, roof_of
from msnoah.deploy.operator_table import operator_tables
from msnoah.deploy.profile import load_profile
from msnoah.deploy.runtimes.base import OperatorTime

PEAKS = Peaks(1, 1, 100.0, 0.05, (Bandwidth(10**6, 50.0, 0.1), Bandwidth(10**9, 10.0, 0.2)))
PRODUCT = OperatorTime("MatMul", 1, 2.0, 0.4, "fc", ("fc",), False, "blocks.0.fc", 50_000_000, 400_000)
STREAM = OperatorTime("Add", 1, 2.0, 0.4, "add", ("add",), False, "blocks.1", 0, 10_000_000)
REORDER = OperatorTime("Reorder", 1, 1.0, 0.2, "r", ("fc",), True, "blocks.0.fc", 0, None)
UNKNOWN = OperatorTime("Copy", 1, 1.0, 0.2, "c")

# a row: roof in ms, what it is bound by, operations a byte, GFLOP/s, GB/s, share of the roof
PLACES = {
    "product": (PRODUCT, (1.0, "compute", 250.0, 50.0, 0.2, 0.5)),   # 100 MFLOP at 100 GFLOP/s
    "stream": (STREAM, (1.0, "memory", 0.0, 0.0, 5.0, 0.5)),        # 10 MB at 10 GB/s
    "added": (REORDER, (0.0, "", None, 0.0, 0.0, 0.0)),             # the graph asks for none of it
}


@pytest.mark.parametrize("name", PLACES)
def test_place_of_an_operator(name):
    row, expected = PLACES[name]
    place = place_operator(row, PEAKS)
    assert (place.roof_ms, place.bound_by, place.flop_per_byte, place.attained_gflop_s, place.attained_gb_s,
            place.share_of_roof) == expected


def test_a_small_working_set_has_the_bandwidth_of_the_cache():
    assert place_operator(PRODUCT, PEAKS).memory_ms == pytest.approx(400_000 / 50e9 * 1e3)


def test_operators_add_up_without_those_whose_work_is_unknown():
    whole = place_operators([PRODUCT, STREAM, REORDER, UNKNOWN], PEAKS)
    assert (whole.ms, whole.roof_ms, whole.share_of_roof) == (5.0, 2.0, 0.4)   # 1 + 1 of 2 + 2 + 1 ms
    assert place_operator(UNKNOWN, PEAKS) is None and place_operators([UNKNOWN], PEAKS) is None


# precision and peaks of a profile: whether it has a place under the roof
ROOFS = {"measured": ("float32", PEAKS, True), "another_type": ("int8", PEAKS, False), "none": ("float32", None, False)}


@pytest.mark.parametrize("name", ROOFS)
def test_only_what_computes_as_the_peaks_were_measured_has_a_roof(name, make_profile):
    precision, peaks, expected = ROOFS[name]
    profile = make_profile(precision=precision, peaks=peaks, operators=[PRODUCT])
    assert (roof_of(profile.operators, profile) is not None) == expected
    assert ("measured peaks" in operator_tables(profile)) == expected


def test_a_profile_with_nodes_and_peaks_is_read_back_as_it_was(make_profile, tmp_path):
    profile = make_profile(operators=[PRODUCT, STREAM, REORDER, UNKNOWN], peaks=PEAKS)
    profile.save(tmp_path / "p.json")
    loaded = load_profile(tmp_path / "p.json")
    assert loaded == profile and loaded.peaks.gb_s(1) == 50.0 and loaded.operators[0].sources == ("fc",)


def test_a_profile_of_earlier_versions_has_sums_and_no_peaks(make_profile, tmp_path):
    profile = make_profile(operators=[{"operator": "MatMul", "count": 2, "ms": 0.8, "share": 1.0}])
    record = profile.to_record()
    record["operators"] = [{"operator": "MatMul", "count": 2, "ms": 0.8, "share": 1.0}]
    del record["peaks"]
    from msnoah.run_folder import write_json

    write_json(tmp_path / "old.json", record)
    [row] = load_profile(tmp_path / "old.json").operators
    assert (row.count, row.node, row.module, row.macs) == (2, "", None, None)


def test_tables_say_what_is_measured_and_what_is_a_bound(make_profile):
    text = operator_tables(make_profile(operators=[PRODUCT, STREAM, REORDER, UNKNOWN], peaks=PEAKS))
    lines = text.splitlines()
    assert lines[1] == ("onnxruntime, 1 thread, batch 1: 6.00 ms in 4 nodes; "
                        "100.0% of it in nodes whose module is known")
    assert "a bound and no measurement: 40% of the measured time" in text
    [row] = [line.split() for line in lines if line.startswith("MatMul")]
    assert row == ["MatMul", "1", "2.00", "40.0%", "50.0", "0.40", "50.0", "0.2", "50%", "compute"]
    assert "by module, 3 deep" in text and "blocks.*.fc" in text and "(not mapped)" in text


def test_without_a_graph_there_are_kinds_alone(make_profile):
    sums = [OperatorTime("MatMul", 2, 0.8, 1.0)]
    text = operator_tables(make_profile(operators=sums))
    assert "by kind" in text and "by module" not in text and "GFLOP" not in text
    assert "gives no times by operator" in operator_tables(make_profile(operators=[]))
