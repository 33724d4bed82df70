"""Minutes without a pause on a report's page."""

import pytest

from msnoah.deploy.report import write_report
from msnoah.deploy.report.sustained import gather_sustained
from tests.deploy.page_checks import read_page


def curve(slowdown=1.0, temperature=None):
    """Four minutes; the second half takes `slowdown` times as long."""
    windows = [{"t_s": float(second), "runs": 10, "p50_wall_ms": 2.0, "reference_ms": None, "frequency_mhz": None,
                "p50_cpu_ms": 2.0 if second < 120 else 2.0 * slowdown, "temperature_c": temperature}
               for second in range(240)]
    return {"duration_s": 240.0, "windows": windows}


@pytest.mark.parametrize("sustained, titles, bad", [
    (None, [], []), (curve(), ["CPU time of a run (ms)"], [False]), (curve(1.2), ["CPU time of a run (ms)"], [True]),
    (curve(temperature=51.0), ["CPU time of a run (ms)", "Temperature (°C)"], [False]),
])
def test_charts_show_what_was_read(sustained, titles, bad, make_profile):
    found = gather_sustained([make_profile(sustained=sustained)])
    assert [chart["title"] for chart in found.get("charts", [])] == titles
    assert [line["bad"] for line in found.get("lines", [])] == bad


def test_a_page_says_who_slowed_down(run, make_profile):
    profile = make_profile(sustained=curve(1.2))
    profile.save(run.profiles_path / profile.file_name)
    text = read_page(write_report(run)).text
    assert "Minutes without a pause" in text and "THROTTLED" in text
