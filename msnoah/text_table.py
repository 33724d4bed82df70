"""Tables of plain text."""

from collections.abc import Sequence


def align_table(cells: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines of equal width: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*cells)]
    return ["  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))])
            for line in cells]
