"""What a report says of accuracy over degrees, and the table that the command prints."""

import re

import pytest

from msnoah.config import RunConfig
from msnoah.degree_records import DegreeResult, DegreeSettings, arrange, write_results
from msnoah.degree_table import describe_grid
from msnoah.deploy.report import write_report
from msnoah.errors import RunFolderError
from msnoah.run_folder import RunFolder
from tests.deploy.page_checks import HOSTILE, read_page

SETTINGS = DegreeSettings("val", None, "plugin")


@pytest.fixture
def run(tmp_path):
    """A run that holds nothing but its config."""
    config = {"model": {"name": "deit_tiny_patch16_224"}, "data": {"source": "digits"}, "train": {"epochs": 1}}
    return RunFolder.create(tmp_path / "run", RunConfig.model_validate(config))


def result(source, target, top1, scale=0.0, run="run", data="digits", plugin="plugin", views="val"):
    return DegreeResult(run, source, target, scale, top1, 355, data, 10, views, None, f"weights of {run}",
                        plugin if scale else None)


GRID = [result(0, 0, 0.9), result(0, 8, 0.8), result(0, 8, 0.825, 0.05), result(0, 8, 0.85, 0.1),
        result(8, 0, 0.7, run="eight"), result(8, 0, 0.69, 0.05, run="eight"), result(8, 0, 0.65, 0.1, run="eight"),
        result(8, 8, 0.88, run="eight")]


def read(run):
    path = write_report(run)
    return path.read_text(encoding="utf-8"), read_page(path)


def figures(page):
    """What the cells of the heat maps show, map by map."""
    maps = re.findall(r'<svg class="heat".*?</svg>', page, re.DOTALL)
    return [re.findall(r">([+-]?\d+\.\d+)</text>", each) for each in maps]


def test_without_results_there_is_no_section(run):
    assert "Degrees of merging" not in read(run)[0]


def test_three_maps_show_accuracy_and_gain(run):
    write_results(run.degrees_path, SETTINGS, GRID)
    page, parsed = read(run)
    assert figures(page) == [["90.00", "80.00", "70.00", "88.00"], ["90.00", "85.00", "69.00", "88.00"],
                             ["+0.00", "+5.00", "-1.00", "+0.00"]]
    assert page.count('class="ground right"') == 6   # one cell of each row and map has both degrees the same
    assert page.count('class="heat-fill loss"') == 1 and "355 images of digits (10 classes)" in parsed.text


def test_the_largest_accuracy_is_the_darkest_and_a_gain_is_shaded_by_size(run):
    write_results(run.degrees_path, SETTINGS, GRID)
    page = read(run)[0]
    shades = [re.findall(r'fill-opacity="([\d.]+)"', each) for each in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    assert shades[0][0] == "1.000" and shades[1][2] == "0.000" and shades[2] == ["0.000", "1.000", "0.200", "0.000"]


def test_the_choice_of_scale_is_said(run):
    write_results(run.degrees_path, SETTINGS, GRID)
    words = "".join(read(run)[1].text.split())
    assert "scale-0.1" in words and "best on these same images".replace(" ", "") in words
    assert "+0.75pointsatscale0.05,+0.00pointsatscale0.1" in words   # means of +2.5 and -1, and of +5 and -5


def test_without_a_plugin_there_is_one_map(run):
    write_results(run.degrees_path, DegreeSettings("val", None, None), GRID)
    page, parsed = read(run)
    assert figures(page) == [["90.00", "80.00", "70.00", "88.00"]] and "best on these same images" not in parsed.text


def test_only_results_of_the_last_settings_are_shown(run):
    others = [result(0, 4, 0.5, views="test"), result(0, 8, 0.99, 0.1, plugin="another plugin")]
    write_results(run.degrees_path, SETTINGS, [*GRID, *others])
    assert figures(read(run)[0])[1] == ["90.00", "85.00", "69.00", "88.00"]


def test_names_are_escaped_and_other_data_is_said(run):
    write_results(run.degrees_path, SETTINGS, [result(0, 0, 0.9, run=HOSTILE), result(4, 0, 0.8, data="cifar10")])
    page, parsed = read(run)
    assert HOSTILE in parsed.text and "compare along rows" in parsed.text and "<svg" in page


def test_cells_that_lack_leave_gaps(run):
    write_results(run.degrees_path, SETTINGS, [*GRID, result(0, 16, 0.3)])
    page, parsed = read(run)
    assert len(figures(page)[0]) == 5 and "30.00" in parsed.text


DAMAGED = {
    "empty": "{}", "a list": "[]", "half of the settings": '{"settings": {"views": "val"}, "results": []}',
    "results of another kind": '{"settings": {"views": "val", "limit": null, "plugin_sha256": null}, "results": [3]}',
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_costs_one_line(run, name):
    run.degrees_path.write_text(DAMAGED[name])
    with pytest.raises(RunFolderError, match="degrees.json") as caught:
        write_report(run)
    assert "\n" not in str(caught.value)


def test_the_printed_table():
    lines = describe_grid(arrange(GRID)).splitlines()
    assert [line.split() for line in lines[1:4]] == [
        ["trained", "at", "r=0", "r=8"],
        ["run", "(r=0)", "90.00", "80.00", ">", "85.00", "(+5.00", "@0.1)"],
        ["eight", "(r=8)", "70.00", ">", "69.00", "(-1.00", "@0.05)", "88.00"]]
    assert lines[4] == "On 355 images of digits, 10 classes."
    assert lines[5] == "Mean gain in points over the 2 cells of other degrees: +0.75 at scale 0.05, +0.00 at scale 0.1."
    assert "best on these same images" in lines[6]


def test_the_printed_table_of_one_scale_names_it_once():
    text = describe_grid(arrange([each for each in GRID if each.tocom_scale != 0.05]))
    assert "with ToCom at scale 0.1" in text and "@" not in text and "too good" not in text


def test_the_printed_table_of_different_data_says_so():
    text = describe_grid(arrange([result(0, 0, 0.9), result(4, 0, 0.8, run="other", data="cifar10")]))
    assert "compare along rows" in text and "other (r=4)" in text and "ToCom" not in text
