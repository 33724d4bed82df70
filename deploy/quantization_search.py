"""Which layers stay float in an int8 artifact: the ones that alone do most damage, as few as the accuracy allows."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from msnoah.deploy.quantization_groups import Group

Record = dict[str, Any]
Save = Callable[[], None]
HIGHEST_DB = 200.0
"""In place of infinity, where nothing changes."""


def scan(
    groups: Sequence[Group], answer: Callable[[Iterable[str]], np.ndarray], rows: list[Record], save: Save,
) -> list[Record]:
    """Quantises each group alone and compares the network's answer with the float one.

    Args:
        groups: what can be quantised.
        answer: first output of the network, over all scanned samples, with these nodes quantised.
        rows: what an earlier scan left; more are added in place.
        save: is called after each row.

    Returns:
        A row a group, the most damaging first: group, nodes (their number), macs, damage and sqnr_db. Of logits, damage
        is the energy of the difference over that of the logits, and sqnr_db the same in decibels; of labels, damage is
        the share that changes.
    """
    known = {row["group"] for row in rows}
    left = [group for group in groups if group.name not in known]
    reference = answer(()) if left else None
    for group in tqdm(left, desc="trying layers", unit="layer", leave=False):
        row = {"group": group.name, "nodes": len(group.nodes), "macs": group.macs}
        rows.append({**row, **_compare(answer(group.nodes), reference)})
        save()
    rows.sort(key=lambda row: -row["damage"])
    return rows


def _compare(found: np.ndarray, reference: np.ndarray) -> Record:
    if not np.issubdtype(reference.dtype, np.floating):
        return {"damage": float((found != reference).mean()), "sqnr_db": None}
    found, reference = found.astype(np.float64), reference.astype(np.float64)
    noise, signal = float(np.square(found - reference).sum()), float(np.square(reference).sum())
    damage = noise / signal if signal else float(noise > 0)
    if not math.isfinite(damage):
        damage = 1e300   # JSON has no infinity
    return {"damage": damage, "sqnr_db": min(-10 * math.log10(damage), HIGHEST_DB) if damage else HIGHEST_DB}


def search(
    ranking: Sequence[str], attempt: Callable[[Sequence[str]], Record], steps: list[Record], save: Save,
) -> Record | None:
    """Finds how few of the worst groups must stay float.

    The number doubles until one is good enough, and is then narrowed down between that and the last that was not, so
    that a network of a hundred layers takes some ten attempts. It is the least if keeping more never makes it worse.

    Args:
        ranking: names of groups, the most damaging first.
        attempt: what comes of keeping these in float, with `good` in it.
        steps: what an earlier search left; more are added in place.
        save: is called after each step.

    Returns:
        The step that was chosen; None if none is good as long as one group is quantised.
    """
    last = len(ranking) - 1   # with all of them float there is nothing left to choose

    def good(kept: int) -> bool:
        step = next((step for step in steps if step["kept"] == kept), None)
        if step is None:
            step = {"kept": kept, **attempt(ranking[:kept])}
            steps.append(step)
            save()
        return step["good"]

    bad, kept = -1, 0
    while not good(kept):
        if kept == last:
            return None
        bad, kept = kept, min(max(1, 2 * kept), last)
    while kept - bad > 1:
        middle = (kept + bad) // 2
        bad, kept = (bad, middle) if good(middle) else (middle, kept)
    return next(step for step in steps if step["kept"] == kept)
