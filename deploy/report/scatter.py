"""Points of several groups in one chart, told apart by colour and by shape: accuracy over latency, say."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

from msnoah.deploy.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Mark,
    horizontal_grid,
    padded_axis,
    place_label,
    vertical_grid,
)

SHAPES = ("M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0", "M-4-4h8v8h-8z", "M0-5L5 4H-5z", "M0-5L5 0L0 5L-5 0z", "M0 5L5-4H-5z",
          "M-5-2h3v-3h4v3h3v4h-3v3h-4v-3h-3z")
"""Circle, square, triangle, diamond, inverted triangle, cross; as many as there are colours."""
WIDE = 6  # ratio of the largest to the smallest x from which the axis is logarithmic


def scatter_chart(
    groups: Mapping[str, Sequence[Mark]], x_title: str, y_title: str, *, percent: bool = True,
) -> Markup:
    """The marks of each group over x, which is logarithmic for a wide range; the legend names groups.

    y is in percent, or any number if `percent` is False. Empty without marks.
    """
    marks = [mark for group in groups.values() for mark in group]
    if not marks:
        return Markup("")
    ys = [mark.y for mark in marks]
    x_axis, y_axis = _x_axis([mark.x for mark in marks]), _percent_axis(ys) if percent else padded_axis(ys, 0.08)
    numbered = enumerate(groups.values())
    body = "".join(_mark(mark, x_axis, y_axis, number) for number, group in numbered for mark in group)
    label = escape(f"{y_title} over {x_title}: {', '.join(groups)}")
    middle = (LEFT + WIDTH - RIGHT) / 2
    title = f'<text class="axis" x="{middle:.1f}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_title)}</text>'
    grid = horizontal_grid(y_axis) + vertical_grid(x_axis)
    keys = "".join(_key(name, number) for number, name in enumerate(groups))
    return Markup(f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{grid}{title}{body}</svg>'
                  f'<ul class="legend">{keys}</ul>')


def _x_axis(values: Sequence[float]) -> Axis:
    if min(values) > 0 and max(values) > WIDE * min(values):
        return Axis(min(values) / 1.3, max(values) * 1.3, log=True)
    return padded_axis(values, 0.12)


def _percent_axis(values: Sequence[float]) -> Axis:
    """Room round the values, at least a point, within 0 and 100."""
    room = max(0.15 * (max(values) - min(values)), 1.0)
    return Axis(max(min(values) - room, 0.0), min(max(values) + room, 100.0))


def _mark(mark: Mark, x_axis: Axis, y_axis: Axis, number: int) -> str:
    x = LEFT + x_axis.place(mark.x) * (WIDTH - LEFT - RIGHT)
    y = HEIGHT - BOTTOM - y_axis.place(mark.y) * (HEIGHT - TOP - BOTTOM)
    return f'<g transform="translate({x:.1f} {y:.1f})">{_symbol(number)}</g>' + place_label(mark.label, x, y - 6, 7)


def _symbol(number: int) -> str:
    return f'<path d="{SHAPES[number % len(SHAPES)]}" class="dot s{number % 6}" stroke="none"/>'


def _key(name: str, number: int) -> str:
    return f'<li><svg viewBox="-13 -6 26 12" aria-hidden="true">{_symbol(number)}</svg>{escape(name)}</li>'
