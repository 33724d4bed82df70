"""Upright bars in the order of their steps, some of another kind: the sizes of a chain's files, say."""

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
    format_tick,
    horizontal_grid,
)

MOST_TICKS = 8


def bar_chart(groups: Mapping[str, Mapping[int, float]], x_title: str, y_title: str) -> Markup:
    """A bar for each step of each group, from 0 up, side by side in the order of steps; the legend names the groups.

    Args:
        groups: heights (0 or more) by step, by name of the group; a step belongs to one group.
        x_title: below the axis.
        y_title: for those who cannot see the picture; the card's heading says it to the others.

    Returns:
        Empty without bars.
    """
    numbered = enumerate(groups.values())
    bars = sorted((step, height, number) for number, group in numbered for step, height in group.items())
    if not bars:
        return Markup("")
    y_axis = Axis(0.0, 1.06 * max(height for _, height, _ in bars) or 1.0)
    room = (WIDTH - LEFT - RIGHT) / len(bars)
    body = "".join(_bar(place, height, number, room, y_axis) for place, (_, height, number) in enumerate(bars))
    ticks = _ticks([step for step, _, _ in bars], room)
    title = (f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{HEIGHT - 4}" text-anchor="middle">'
             f"{escape(x_title)}</text>")
    label = escape(f"{y_title} by {x_title}: {', '.join(groups)}")
    keys = "".join(_key(name, number) for number, (name, group) in enumerate(groups.items()) if group)
    drawn = horizontal_grid(y_axis) + title + ticks + body
    return Markup(f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{drawn}</svg>'
                  f'<ul class="legend">{keys}</ul>')


def _bar(place: int, height: float, number: int, room: float, axis: Axis) -> str:
    tall = axis.place(height) * (HEIGHT - TOP - BOTTOM)
    return (f'<rect class="dot s{number % 6}" x="{LEFT + (place + 0.12) * room:.1f}" y="{HEIGHT - BOTTOM - tall:.1f}" '
            f'width="{0.76 * room:.1f}" height="{tall:.1f}"/>')


def _ticks(steps: Sequence[int], room: float) -> str:
    every = -(-len(steps) // MOST_TICKS)
    return "".join(
        f'<text class="axis" x="{LEFT + (place + 0.5) * room:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">'
        f"{format_tick(step)}</text>" for place, step in enumerate(steps) if place % every == 0)


def _key(name: str, number: int) -> str:
    swatch = f'<rect class="dot s{number % 6}" x="7" y="0" width="12" height="8"/>'
    return f'<li><svg viewBox="0 0 26 8" aria-hidden="true">{swatch}</svg>{escape(name)}</li>'
