"""Percentages and durations as options write them."""

import pytest

from msnoah.deploy.quantities import parse_duration, parse_percentage
from msnoah.errors import MsnoahError


@pytest.mark.parametrize("text, value", [("5%", 0.05), (" 2.5 % ", 0.025), ("0%", 0.0), ("150%", 1.5)])
def test_percentages(text, value):
    assert parse_percentage(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["5", "0.05", "%", "", "five%", "-1%", "nan%", "inf%", "5%%", "5% more"])
def test_what_is_no_percentage(text):
    with pytest.raises(MsnoahError, match="expected one such as 5%"):
        parse_percentage(text)


@pytest.mark.parametrize(
    "text, seconds", [("90", 90), ("90s", 90), ("1.5 min", 90), ("5min", 300), ("24h", 86400), ("0", 0), (".5s", 0.5)])
def test_durations(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "min", "-5s", "5m", "5 minutes", "1e3", "nan", "inf", "25h", "9" * 400, "٣s"])
def test_what_is_no_duration(text):
    with pytest.raises(MsnoahError, match="expected one such as 90s or 5min") as caught:
        parse_duration(text)
    assert "\n" not in str(caught.value)
