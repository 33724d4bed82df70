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
    is_list = is_degree_list(degree)
    counts = list(degree) if is_list else [degree]
    if any(isinstance(count, bool) or not isinstance(count, int) or count < 0 for count in counts):
        raise ModelError(f"{name}={degree!r}: expected a whole number of tokens, 0 or more, or a list of such")
    if is_list and schedule != "constant":
        raise ModelError(f"{name} is a list, one number a block, so leave out merging_schedule={schedule!r}")
    if is_list and len(counts) != depth:
        raise ModelError(f"{name}={degree!r}: has {len(counts)} numbers, but the model has {depth} blocks")
    return counts if is_list else _ramp(degree, depth, schedule)


def is_degree_list(degree: Degree) -> bool:
    """Whether a degree has a number for each block."""
    return isinstance(degree, Sequence) and not isinstance(degree, str)


def _ramp(count: int, depth: int, schedule: str) -> list[int]:
    """As ToMe rounds it: in floating point, which makes a few numbers one less than whole numbers would."""
    first = {"constant": count, "decreasing": 2 * count, "increasing": 0}[schedule] if depth > 1 else count
    step = (2 * count - 2 * first) / max(depth - 1, 1)
    return [int(first + step * block) for block in range(depth)]


def check_tokens(counts: Sequence[int], tokens: int, protected: int) -> None:
    """ModelError if a block that shall merge tokens finds none left that it could merge."""
    exhausted = _find_exhausted(counts, tokens, protected)
    if exhausted is not None:
        block, left = exhausted
        raise ModelError(
            f"tokens_merged={_shown(counts)}: uses up the {tokens} tokens; block {block} of {len(counts)} has "
            f"{left} left and nothing to merge; at most {_largest(tokens, protected, len(counts))} a block can be")


def _find_exhausted(counts: Sequence[int], tokens: int, protected: int) -> tuple[int, int] | None:
    """The first block, from 1, that shall merge and cannot, and the tokens that are left there."""
    left = tokens
    for block, count in enumerate(counts, 1):
        merged = merged_count(count, left, protected)
        if count and not merged:
            return block, left
        left -= merged
    return None


def _largest(tokens: int, protected: int, depth: int) -> int:
    """The largest number that every block can be given; late blocks may merge fewer."""
    fitting = (count for count in range(1, tokens) if not _find_exhausted([count] * depth, tokens, protected))
    return max(fitting, default=0)


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


def _shown(counts: Sequence[int]) -> str:
    return str(counts[0] if len(set(counts)) == 1 else list(counts))
