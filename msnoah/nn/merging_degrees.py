"""How many tokens each block merges: schedules, checks, and changes of a model that stands already."""

from collections.abc import Sequence

from mindspore import nn, ops

from msnoah.errors import ModelError
from msnoah.nn.arguments import check_choice
from msnoah.nn.merging_attention import CompensatedAttention
from msnoah.nn.token_merging import TokenMerging, merged_count

Degree = int | Sequence[int]
"""Tokens merged by every block, or one number a block."""

SCHEDULES = ("constant", "decreasing", "increasing")


def spread(name: str, degree: Degree, depth: int, schedule: str = "constant") -> list[int]:
    """(depth,) numbers of tokens that blocks merge.

    decreasing: from 2 r in the first block to 0 in the last one, increasing: the other way; r a block on average.
    Raises ModelError for negative numbers, or a list that is not one number a block.
    """
    check_choice("merging_schedule", schedule, SCHEDULES)
    counts = list(degree) if isinstance(degree, Sequence) and not isinstance(degree, str) else [degree]
    if any(isinstance(count, bool) or not isinstance(count, int) or count < 0 for count in counts):
        raise ModelError(f"{name}={degree!r}: expected a whole number of tokens, 0 or more, or a list of such")
    if counts != [degree] and schedule != "constant":
        raise ModelError(f"{name} is a list, one number a block, so leave out merging_schedule={schedule!r}")
    if counts != [degree] and len(counts) != depth:
        raise ModelError(f"{name}={degree!r}: has {len(counts)} numbers, but the model has {depth} blocks")
    if counts != [degree]:
        return counts
    steps = max(depth - 1, 1)
    ramp = {"constant": [degree * steps] * depth, "increasing": [2 * degree * i for i in range(depth)]}
    ramp["decreasing"] = ramp["increasing"][::-1]
    return [amount // steps for amount in ramp[schedule]]


def check_tokens(counts: Sequence[int], tokens: int, protected: int) -> None:
    """ModelError if a block that shall merge tokens finds none left that it could merge."""
    left = tokens
    for block, count in enumerate(counts, 1):
        merged = merged_count(count, left, protected)
        if count and not merged:
            raise ModelError(
                f"tokens_merged={_shown(counts)}: uses up the {tokens} tokens; block {block} of {len(counts)} has "
                f"{left} left and nothing to merge; at most {_largest(tokens, protected, len(counts))} a block can be")
        left -= merged


def set_tokens_merged(model: nn.Cell, counts: Sequence[int]) -> None:
    """How many tokens the blocks of a model merge from here on; what is compiled already keeps its own numbers."""
    for cell, count in zip(_cells(model, TokenMerging), counts, strict=True):
        cell.count = count


def set_compensation(model: nn.Cell, source: Sequence[int], target: Sequence[int], scale: float) -> None:
    """The pair of degrees between which a model's plugins compensate, by block; what is compiled already sees it."""
    for attention, degrees in zip(_cells(model, CompensatedAttention), zip(source, target, strict=True), strict=True):
        for plugin in (attention.q_tocom, attention.v_tocom):
            ops.assign(plugin.unit_gate, plugin.gate(*degrees, scale))


def set_compensating(model: nn.Cell, compensates: bool) -> None:
    """Switches the plugins of a model on or off; what is compiled already stays as it is."""
    for attention in _cells(model, CompensatedAttention):
        attention.compensates = compensates


def _cells(model: nn.Cell, kind: type) -> list[nn.Cell]:
    return [cell for _, cell in model.cells_and_names() if isinstance(cell, kind)]


def _largest(tokens: int, protected: int, depth: int) -> int:
    """The largest number that every block can merge, the last one perhaps in part."""
    def fits(count: int) -> bool:
        left = tokens - count * (depth - 1)
        return merged_count(count, left, protected) > 0
    return max((count for count in range(1, tokens) if fits(count)), default=0)


def _shown(counts: Sequence[int]) -> str:
    return str(counts[0] if len(set(counts)) == 1 else list(counts))
