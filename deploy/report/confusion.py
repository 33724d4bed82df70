"""A confusion matrix as a heat map in inline SVG; the page gives the colours, for light and dark."""

from collections.abc import Sequence

from markupsafe import Markup, escape

MOST_CLASSES = 30          # beyond, numbers and names are too small to read
LONGEST_NAME = 22          # letters
LETTER = 6.4               # pixels of a letter, on average
LARGEST_CELL, LEAST_CELL = 46, 27
GAP = 8
SLANT = 0.75               # of a name's length: how high and wide it is at 45 degrees
INKS = ((0.78, "high"), (0.52, "mid"), (0.0, "low"))   # shares from which a number needs another colour to be read

Counts = Sequence[Sequence[int]]


def confusion_chart(counts: Counts, names: Sequence[str], *, shares: bool = False) -> Markup:
    """A heat map: rows are labels, columns predictions, a cell's shade its share of the row. Empty beyond MOST_CLASSES.

    Args:
        counts: (K, K), how many samples of a label got a prediction.
        names: of the K classes, escaped here.
        shares: cells show percent of their row instead of counts.
    """
    size = len(counts)
    if not 0 < size <= MOST_CLASSES:
        return Markup("")
    cell = max(LEAST_CELL, LARGEST_CELL - size)
    left = round(LETTER * max(len(shorten(name)) for name in names)) + 2 * GAP
    top = round(SLANT * left) + GAP
    width, height = left + size * cell + top, top + size * cell
    body = [_axis_name(name, left, top, cell, number) for number, name in enumerate(names)]
    for row, line in enumerate(counts):
        body += [_cell(left + column * cell, top + row * cell, cell - 1, count, sum(line), row == column, shares,
                       f"{names[row]} taken for {names[column]}") for column, count in enumerate(line)]
    limits = f"min-width:{0.7 * width:.0f}px;max-width:{width}px"
    return Markup(
        f'<svg class="heat" viewBox="0 0 {width} {height}" style="{limits}" role="img" '
        f'aria-label="Confusion matrix of {size} classes, rows labels, columns predictions">{"".join(body)}</svg>')


def _cell(x: int, y: int, size: int, count: int, total: int, right: bool, shares: bool, hint: str) -> str:
    share = count / total if total else 0.0
    figure = round(100 * share) if shares else count
    place = f'x="{x}" y="{y}" width="{size}" height="{size}"'
    body = f'<title>{escape(hint)}: {count:,} of {total:,}</title><rect class="ground{" right" * right}" {place}/>'
    if figure:
        ink = next(name for least, name in INKS if share >= least)
        body += f'<rect class="heat-fill" fill-opacity="{share:.3f}" {place}/>'
        body += f'<text class="{ink}" x="{x + size / 2}" y="{y + size / 2 + 4}" text-anchor="middle">{figure}</text>'
    return f"<g>{body}</g>"


def _axis_name(name: str, left: int, top: int, cell: int, number: int) -> str:
    text, middle = escape(shorten(name)), number * cell + cell / 2
    x, y = left + middle, top - GAP
    return (
        f'<text class="axis" x="{left - GAP}" y="{top + middle + 4}" text-anchor="end">{text}</text>'
        f'<text class="axis" x="{x}" y="{y}" transform="rotate(-45 {x} {y})">{text}</text>')


def shorten(name: str) -> str:
    """The name, or its beginning if it is longer than LONGEST_NAME."""
    return name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME - 1] + "…"
