"""Lines beside the progress bars."""

import sys

from tqdm import tqdm


def say(line: str) -> None:
    """Prints a line to stderr, above the bar if there is one."""
    tqdm.write(line, file=sys.stderr)
