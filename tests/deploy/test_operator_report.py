"""The page's section on operators: tables by kind, module and place; and the roofline, where peaks were measured."""

import re

import pytest
from page_checks import HOSTILE, read_page

from msnoah.deploy.calibration import Bandwidth, Peaks
from msnoah.deploy.report.page import write_report
from msnoah.deploy.report.roofline_chart import Point, roofline_chart
from msnoah.deploy.runtimes.base import OperatorTime

PEAKS = Peaks(1, 1, 100.0, 0.05, (Bandwidth(10**6, 50.0, 0.1), Bandwidth(10**9, 10.0, 0.2)))
CHART = '<svg viewBox="0 0 440 250" role="img" aria-label="Roofline'


def node(number, kind="MatMul", module=None, macs=10**6, ms=0.1):
    return OperatorTime(kind, 1, ms, 2 * ms, f"n{number}", (), False, module, macs, 10**5)


def page_of(run, make_profile, **fields):
    make_profile([1.0] * 20, **fields).save(run.profiles_path / "p.json")
    write_report(run)
    return read_page(run.report_path).text, run.report_path.read_text(encoding="utf-8")


@pytest.fixture
def profiled_run(exported_run):
    exported_run.profiles_path.mkdir(exist_ok=True)
    return exported_run


def test_nodes_stand_by_kind_module_and_place(profiled_run, make_profile):
    products = [node(number, module=f"blocks.{number}.fc") for number in range(4)]
    text, page = page_of(profiled_run, make_profile, operators=[*products, node(9, "Copy", macs=None)], peaks=PEAKS)
    for words in ("By kind of operator", "By module, 3 deep", "By place in the blocks", "blocks.*.fc ×4",
                  "blocks.2.fc ×1", "(not mapped) ×1", "80.0% of it in nodes whose module is known",
                  "20% of the roof, compute", "It is a bound, not a measurement", "Measured: 100 GFLOP/s"):
        assert words in text, words
    assert page.count(CHART) == 1 and page.count("<title>blocks.") == 4


# what a profile has: words of the section, whether there is a roofline
OLDER = {
    "sums": ({"operators": [{"operator": "MatMul", "count": 2, "ms": 0.8, "share": 1.0}], "peaks": PEAKS}, False),
    "no_peaks": ({"operators": [node(1, module="a.b")]}, False),
    "another_type": ({"operators": [node(1, module="a.b")], "peaks": PEAKS, "precision": "int8"}, False),
    "no_products": ({"operators": [node(1, "Relu", "a.b", 0)], "peaks": PEAKS}, False),
    "all": ({"operators": [node(1, module="a.b")], "peaks": PEAKS}, True),
}


@pytest.mark.parametrize("name", OLDER)
def test_what_is_not_known_is_left_out(name, profiled_run, make_profile):
    fields, roofline = OLDER[name]
    text, page = page_of(profiled_run, make_profile, **fields)
    assert "Where the time goes" in text and (CHART in page) == roofline
    assert ("By module" in text) == (name != "sums")


def test_hostile_names_of_nodes_and_modules_are_escaped(profiled_run, make_profile):
    text, _ = page_of(profiled_run, make_profile, operators=[node(1, HOSTILE, HOSTILE)], peaks=PEAKS)
    assert text.count(HOSTILE) >= 3


def test_operators_that_took_longer_than_the_run_are_warned_of(profiled_run, make_profile):
    text, _ = page_of(profiled_run, make_profile, operators=[node(1, ms=1.2)])
    assert "operators add up to 1.20 ms, a run takes 1.00 ms of CPU time" in text
    text, _ = page_of(profiled_run, make_profile, operators=[node(1, ms=1.1)])
    assert "add up to" not in text


def test_many_modules_are_cut_and_the_rest_added_up(profiled_run, make_profile):
    operators = [node(number, f"K{number}", f"m{number}") for number in range(30)]
    text, _ = page_of(profiled_run, make_profile, operators=operators)
    assert "20 others ×20" in text and "14 others ×14" in text and "18 others ×18" in text


@pytest.mark.parametrize("intensity, gflop_s", [(1e-3, 1e-3), (3.0, 90.0), (1e4, 250.0)])
def test_every_point_and_both_roofs_lie_inside_the_frame(intensity, gflop_s):
    points = {"MatMul": [Point(intensity, gflop_s, 0.5, "fc")], "Conv": [Point(20.0, 50.0, 0.0, "c")]}
    svg, width, height = roofline_chart(points, PEAKS), 440, 250
    paths = re.findall(r'<path d="M([^"]*)" fill="none"', svg)
    roofs = [[float(number) for number in re.findall(r"[\d.]+", path)] for path in paths]
    marks = [(float(x), float(y)) for x, y in re.findall(r"translate\(([\d.]+) ([\d.]+)\)", svg)]
    assert len(roofs) == 2 and len(marks) == 2
    for x, y in [*marks, *(pair for roof in roofs for pair in zip(roof[::2], roof[1::2]))]:
        assert 0 <= x <= width and 0 <= y <= height
    level = {roof[3] for roof in roofs} | {roof[5] for roof in roofs}
    assert len(level) == 1   # both end at the peak of products


def test_no_points_no_chart():
    assert roofline_chart({"MatMul": []}, PEAKS) == ""
