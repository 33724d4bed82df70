"""Small charts as inline SVG: lines and cumulative distributions; the page gives the colours, for light and dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 38  # margins for the tick labels
DASHES = ("", "7 4", "2 3", "9 3 2 3")  # series are told apart without colour too
MARKED = 40  # points up to which each one is marked


@dataclass(frozen=True)
class Series:
    """A named line: x and y values; points that are None or not finite are left out."""

    name: str
    points: Sequence[tuple[float, float | None]]

    def finite(self) -> list[tuple[float, float]]:
        """The points that can be drawn."""
        return [(x, y) for x, y in self.points if isinstance(y, (int, float)) and math.isfinite(y)]


@dataclass(frozen=True)
class Mark:
    """A point with a label beside it; a ring round it if it is the chosen one."""

    x: float
    y: float
    label: str
    chosen: bool = False


@dataclass(frozen=True)
class Axis:
    """A range of values along `length` pixels, linear or logarithmic."""

    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high end."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return (value - low) / (high - low)

    def ticks(self) -> list[float]:
        """Round values in the range: steps of 1, 2 or 5, or these at each power of ten."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            values = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
        else:
            step = _round_step((self.high - self.low) / 6)
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            values = [step * number for number in range(first, last + 1)]
        return [value for value in values if self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9) or value == 0]


def line_chart(
    series: Sequence[Series], x_title: str, *, y_from_zero: bool = False, band: tuple[float, float] | None = None
) -> Markup:
    """Lines over x; `band` shades a range of x. Empty when no series has a point."""
    drawn = [one for one in series if one.finite()]
    if not drawn:
        return Markup("")
    xs = [x for one in drawn for x, _ in one.finite()]
    ys = [y for one in drawn for _, y in one.finite()]
    x_axis = _padded(min(xs), max(xs), 0.0)
    y_axis = _padded(0.0 if y_from_zero else min(ys), max(ys), 0.06, floor=0.0 if min(ys) >= 0 else None)
    body = [_band(band, x_axis)] if band else []
    body += [
        _line(one.finite(), x_axis, y_axis, number, len(one.finite()) <= MARKED) for number, one in enumerate(drawn)
    ]
    return _chart(body, drawn, x_axis, y_axis, x_title)


def distribution_chart(samples: dict[str, Sequence[float]], x_title: str) -> Markup:
    """Empirical cumulative distributions, the share of runs (%) that took at most x; logarithmic for a wide range."""
    series = [Series(name, _cumulate(values)) for name, values in samples.items() if values]
    if not series:
        return Markup("")
    values = [x for one in series for x, _ in one.points if x > 0]
    wide = max(values) > 6 * min(values)
    x_axis = Axis(min(values) / 1.1, max(values) * 1.1, True) if wide else _padded(min(values), max(values), 0.05)
    y_axis = Axis(0, 100)
    body = [
        _line([(max(x, x_axis.low), y) for x, y in one.points], x_axis, y_axis, number, False)
        for number, one in enumerate(series)
    ]
    return _chart(body, series, x_axis, y_axis, x_title)


def mark_chart(marks: Sequence[Mark], name: str, x_title: str, *, limit: float) -> Markup:
    """Labelled points, joined in their order, and a broken vertical line at x = `limit`, unless that is far from all
    points. Empty without points."""
    if not marks:
        return Markup("")
    xs, ys = [mark.x for mark in marks], [mark.y for mark in marks]
    near = [limit] if min(xs) / 2 <= limit <= 2 * max(xs) else []
    x_axis, y_axis = _padded(min(xs + near), max(xs + near), 0.08), _padded(min(ys), max(ys), 0.15)
    body = [_limit(value, x_axis) for value in near]
    body.append(_line([(mark.x, mark.y) for mark in marks], x_axis, y_axis, 0, True))
    body += [_mark(mark, x_axis, y_axis) for mark in marks]
    return _chart(body, [Series(name, [])], x_axis, y_axis, x_title)


def _mark(mark: Mark, x_axis: Axis, y_axis: Axis) -> str:
    x, y = _x(mark.x, x_axis), _y(mark.y, y_axis)
    ring = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" class="ring"/>' if mark.chosen else ""
    return ring + place_label(mark.label, x, y - 6, 9)


def _limit(value: float, x_axis: Axis) -> str:
    x = _x(value, x_axis)
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" {_stroke(1)}/>'
    return line + place_label("budget", x, TOP + 10, 5)


def place_label(text: str, x: float, y: float, gap: float) -> str:
    """Text beside x, on the side where there is more room."""
    side, anchor = (-gap, "end") if x > (LEFT + WIDTH - RIGHT) / 2 else (gap, "start")
    return f'<text class="axis label" x="{x + side:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _cumulate(values: Sequence[float]) -> list[tuple[float, float]]:
    """Corners of the steps of the distribution."""
    ordered = sorted(values)
    corners = [(ordered[0], 0.0)]
    for rank, value in enumerate(ordered, 1):
        corners += [(value, corners[-1][1]), (value, 100 * rank / len(ordered))]
    return corners


def _chart(body: list[str], series: Sequence[Series], x_axis: Axis, y_axis: Axis, x_title: str) -> Markup:
    label = escape(f"{', '.join(one.name for one in series)} over {x_title}")
    grid = horizontal_grid(y_axis) + vertical_grid(x_axis)
    middle = (LEFT + WIDTH - RIGHT) / 2
    title = f'<text class="axis" x="{middle:.1f}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_title)}</text>'
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{grid}{title}{"".join(body)}</svg>'
    keys = "".join(_legend_key(one.name, number) for number, one in enumerate(series))
    return Markup(f'{svg}<ul class="legend">{keys}</ul>')


def _legend_key(name: str, number: int) -> str:
    swatch = f'<svg viewBox="0 0 26 8" aria-hidden="true"><line x1="0" y1="4" x2="26" y2="4" {_stroke(number)}/></svg>'
    return f"<li>{swatch}{escape(name)}</li>"


def _line(points: Sequence[tuple[float, float]], x_axis: Axis, y_axis: Axis, number: int, marked: bool) -> str:
    pixels = [(_x(x, x_axis), _y(y, y_axis)) for x, y in points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in pixels)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" class="dot s{number % 6}"/>' for x, y in pixels if marked]
    return f'<path d="{path}" fill="none" {_stroke(number)}/>{"".join(dots)}'


def _stroke(number: int) -> str:
    dash = DASHES[number % len(DASHES)]
    return f'class="line s{number % 6}"' + (f' stroke-dasharray="{dash}"' if dash else "")


def _band(band: tuple[float, float], x_axis: Axis) -> str:
    left, right = (_x(min(max(edge, x_axis.low), x_axis.high), x_axis) for edge in band)
    width, height = max(right - left, 1.0), HEIGHT - TOP - BOTTOM
    return f'<rect class="band" x="{left:.1f}" y="{TOP}" width="{width:.1f}" height="{height}"/>'


def horizontal_grid(axis: Axis) -> str:
    """Lines across at the ticks of y, with their figures."""
    return "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(tick, axis):.1f}" y2="{_y(tick, axis):.1f}"/>'
        f'<text class="axis" x="{LEFT - 7}" y="{_y(tick, axis) + 4:.1f}" text-anchor="end">{format_tick(tick)}</text>'
        for tick in axis.ticks()
    )


def vertical_grid(axis: Axis) -> str:
    """Marks below at the ticks of x, with their figures."""
    base = HEIGHT - BOTTOM
    return "".join(
        f'<line class="grid" x1="{_x(tick, axis):.1f}" x2="{_x(tick, axis):.1f}" y1="{base}" y2="{base + 4}"/>'
        f'<text class="axis" x="{_x(tick, axis):.1f}" y="{base + 17}" text-anchor="middle">{format_tick(tick)}</text>'
        for tick in axis.ticks()
    )


def format_tick(value: float) -> str:
    """A tick's label: no more digits than it needs, exponents only below a thousandth."""
    return f"{value:.0e}".replace("e-0", "e-") if 0 < abs(value) < 1e-3 else f"{value:,.6g}"


def _x(value: float, axis: Axis) -> float:
    return LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)


def _y(value: float, axis: Axis) -> float:
    return HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)


def padded_axis(values: Sequence[float], share: float) -> Axis:
    """A linear axis over the values, with `share` of their range added at both ends."""
    return _padded(min(values), max(values), share)


def _padded(low: float, high: float, share: float, floor: float | None = None) -> Axis:
    """A linear axis with `share` of the range added at both ends; a single value stands in its middle."""
    room = (high - low) * share if high > low else max(abs(high) * 0.5, 1e-12)
    return Axis(low - room if floor is None else max(low - room, floor), high + room)


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(digit * power for digit in (1, 2, 5, 10) if step <= digit * power * (1 + 1e-9))
