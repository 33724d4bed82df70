"""The roofline: operations a second over operations a byte, both logarithmic, under the peaks that were measured."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from msnoah.deploy.calibration import Peaks
from msnoah.deploy.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    horizontal_grid,
    place_label,
    vertical_grid,
)
from msnoah.deploy.report.scatter import SHAPES

SMALLEST, LARGEST = 0.45, 1.5  # size of a mark, by its share of the time
ROOM = 1.8  # factor beyond the outermost values


@dataclass(frozen=True)
class Point:
    """An operator: operations a byte, 1e9 operations a second, its share of the time, and what is shown on pointing."""

    flop_per_byte: float
    gflop_s: float
    share: float
    words: str


def roofline_chart(groups: Mapping[str, Sequence[Point]], peaks: Peaks) -> Markup:
    """Points of each group under two roofs: from memory's bandwidth (whole line), from the fastest cache's (broken).

    Marks are larger for a larger share of the time. Empty without points.
    """
    points = [point for group in groups.values() for point in group]
    if not points:
        return Markup("")
    memory, cache = peaks.bandwidths[-1].gb_s, max(one.gb_s for one in peaks.bandwidths)
    ridges = (peaks.gflop_s / memory, peaks.gflop_s / cache)
    x_axis = _axis([*(point.flop_per_byte for point in points), *ridges])
    y_axis = _axis([*(point.gflop_s for point in points), peaks.gflop_s])
    largest = max(point.share for point in points) or 1.0
    body = _roof(cache, peaks, x_axis, y_axis, "6 4") + _roof(memory, peaks, x_axis, y_axis, "")
    body += "".join(_mark(point, x_axis, y_axis, number, largest)
                    for number, group in enumerate(groups.values()) for point in group)
    top = _y(peaks.gflop_s, y_axis)
    body += place_label(f"{peaks.gflop_s:,.0f} GFLOP/s", LEFT + 1, top - 4, 6)
    middle = (LEFT + WIDTH - RIGHT) / 2
    title = (f'<text class="axis" x="{middle:.1f}" y="{HEIGHT - 4}" text-anchor="middle">'
             "operations a byte (GFLOP/s upwards)</text>")
    grid = horizontal_grid(y_axis) + vertical_grid(x_axis)
    label = escape(f"Roofline: {', '.join(groups)}")
    keys = "".join(_key(name, number) for number, name in enumerate(groups)) + _roof_keys(memory, cache)
    return Markup(f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{grid}{title}{body}</svg>'
                  f'<ul class="legend">{keys}</ul>')


@dataclass(frozen=True)
class _DecadeAxis(Axis):
    """A logarithmic axis with ticks at powers of ten alone, where there are two of them."""

    def ticks(self) -> list[float]:
        ticks = super().ticks()
        decades = [value for value in ticks if math.isclose(math.log10(value), round(math.log10(value)))]
        return decades if len(decades) > 1 else ticks


def _axis(values: Sequence[float]) -> Axis:
    """Over the values, with room at both ends."""
    return _DecadeAxis(min(values) / ROOM, max(values) * ROOM, log=True)


def _roof(gb_s: float, peaks: Peaks, x_axis: Axis, y_axis: Axis, dash: str) -> str:
    """Up with the bandwidth from where it enters the chart, level from the ridge."""
    ridge = peaks.gflop_s / gb_s
    left = max(x_axis.low, y_axis.low / gb_s)
    corners = [(left, left * gb_s), (ridge, peaks.gflop_s), (x_axis.high, peaks.gflop_s)]
    path = "M" + "L".join(f"{_x(x, x_axis):.1f} {_y(y, y_axis):.1f}" for x, y in corners)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="{path}" fill="none" class="line s5"{dashes}/>'


def _mark(point: Point, x_axis: Axis, y_axis: Axis, number: int, largest: float) -> str:
    size = SMALLEST + (LARGEST - SMALLEST) * math.sqrt(point.share / largest)
    place = f"translate({_x(point.flop_per_byte, x_axis):.1f} {_y(point.gflop_s, y_axis):.1f}) scale({size:.2f})"
    words = f"<title>{escape(point.words)}</title>"
    return f'<g transform="{place}" fill-opacity="0.75">{words}{_symbol(number)}</g>'


def _symbol(number: int) -> str:
    return f'<path d="{SHAPES[number % len(SHAPES)]}" class="dot s{number % 6}" style="stroke:none"/>'


def _key(name: str, number: int) -> str:
    return f'<li><svg viewBox="-13 -6 26 12" aria-hidden="true">{_symbol(number)}</svg>{escape(name)}</li>'


def _roof_keys(memory: float, cache: float) -> str:
    entries = (("", f"memory, {memory:,.0f} GB/s"), (' stroke-dasharray="6 4"', f"fastest cache, {cache:,.0f} GB/s"))
    return "".join(
        f'<li><svg viewBox="0 0 26 8" aria-hidden="true"><line x1="0" y1="4" x2="26" y2="4" class="line s5"{dash}/>'
        f"</svg>{words}</li>" for dash, words in entries)


def _x(value: float, axis: Axis) -> float:
    return LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)


def _y(value: float, axis: Axis) -> float:
    return HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)
