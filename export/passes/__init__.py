"""Clean-ups of an ONNX graph, one idea a file. Each takes the graph, edits it, and says whether it changed anything."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msnoah.errors import ConversionError
from msnoah.export.onnx_graph import OnnxGraph
from msnoah.export.passes.captures import drop_unused_captures, hoist_constants
from msnoah.export.passes.casts import merge_casts
from msnoah.export.passes.channel_affine_folding import fold_affines_ahead, fold_batch_norms, fold_channel_affines
from msnoah.export.passes.common_subexpressions import merge_common_subexpressions
from msnoah.export.passes.concats import cancel_splits, merge_concats
from msnoah.export.passes.constant_adds import merge_constant_adds
from msnoah.export.passes.constant_folding import fold_constants
from msnoah.export.passes.dead_code import remove_dead_code
from msnoah.export.passes.duplicate_constants import merge_duplicate_constants
from msnoah.export.passes.early_means import multiply_for_means, take_means_early
from msnoah.export.passes.early_pools import pool_early
from msnoah.export.passes.early_rows import take_rows_early
from msnoah.export.passes.expands import remove_expands
from msnoah.export.passes.flattened_products import unflatten_products
from msnoah.export.passes.gelus import merge_gelus
from msnoah.export.passes.global_pools import pool_globally
from msnoah.export.passes.grouped_convolutions import group_convolutions
from msnoah.export.passes.hard_sigmoids import merge_hard_sigmoids
from msnoah.export.passes.head_products import separate_heads
from msnoah.export.passes.identities import remove_identities
from msnoah.export.passes.layer_norms import merge_layer_norms
from msnoah.export.passes.offsets import defer_offsets
from msnoah.export.passes.pads import merge_pads
from msnoah.export.passes.parallel_convolutions import merge_parallel_convolutions
from msnoah.export.passes.reshapes import merge_reshapes
from msnoah.export.passes.slices import merge_slices
from msnoah.export.passes.split_products import split_products
from msnoah.export.passes.sunk_transposes import sink_transposes
from msnoah.export.passes.transposes import merge_transposes, reshape_instead

Pass = Callable[[OnnxGraph], bool]

REPEATED = (
    hoist_constants,
    drop_unused_captures,
    fold_constants,
    remove_identities,
    merge_casts,
    remove_expands,
    unflatten_products,
    reshape_instead,
    merge_reshapes,
    sink_transposes,
    merge_transposes,
    merge_slices,
    group_convolutions,
    merge_concats,
    cancel_splits,
    split_products,
    merge_gelus,
    merge_layer_norms,
    merge_hard_sigmoids,
    merge_pads,
    fold_batch_norms,
    merge_constant_adds,
    fold_channel_affines,
    fold_affines_ahead,
    merge_parallel_convolutions,
    pool_globally,
    pool_early,
    defer_offsets,
    separate_heads,
    take_means_early,
    take_rows_early,
    remove_dead_code,
    merge_duplicate_constants,
)
"""In the order they run; the whole list runs again until none finds anything."""

LAST = (merge_common_subexpressions, multiply_for_means)
"""What runs once after that, since it hides from the others what they look for."""

PASSES: dict[str, Pass] = {change.__name__: change for change in (*REPEATED, *LAST)}
"""Every pass by name."""

MAX_ROUNDS = 20


@dataclass(frozen=True)
class PassInfo:
    """A pass's name, as `passes=` takes it, and what it does, in a line."""

    name: str
    description: str


def list_passes() -> list[PassInfo]:
    """Every pass, in the order they run."""
    return [PassInfo(name, _summarize(change.__doc__)) for name, change in PASSES.items()]


def select_passes(names: Sequence[str] | None = None) -> tuple[str, ...]:
    """The passes that run, in order.

    Args:
        names: these alone; or, each with a minus sign before it, all but these (`("-separate_heads",)`); None for all.

    Raises:
        ConversionError: a name that no pass has, or names with a minus sign beside names without.
    """
    if names is None:
        return tuple(PASSES)
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        if name.removeprefix("-") not in PASSES:
            close = difflib.get_close_matches(name.removeprefix("-"), PASSES, 1, 0.4)
            hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(PASSES)}"
            raise ConversionError(f"no pass is called '{name.removeprefix('-')}'; {hint}")
    left_out = {name[1:] for name in names if name.startswith("-")}
    if left_out and len(left_out) < len(set(names)):
        raise ConversionError(
            f"passes {', '.join(names)}: either name those that run, or, with a minus sign before each, those that do "
            "not")
    return tuple(name for name in PASSES if (name not in left_out if left_out else name in names))


def run_passes(graph: OnnxGraph, names: Sequence[str] | None = None) -> None:
    """Runs passes in order, again and again until the graph stays as it is, before and after the last ones; first of
    all in the bodies of its operators. `names` are as `select_passes` takes them.
    """
    for operator in graph.operators:
        for body in operator.bodies:
            run_passes(body, names)
    selected = {PASSES[name] for name in select_passes(names)}
    repeated = [change for change in REPEATED if change in selected]
    _repeat(graph, repeated)
    if any([change(graph) for change in LAST if change in selected]):
        _repeat(graph, repeated)


def _repeat(graph: OnnxGraph, passes: Sequence[Pass]) -> None:
    for _ in range(MAX_ROUNDS):
        if not any([change(graph) for change in passes]):
            return


def _summarize(docstring: str) -> str:
    """The first sentence, on one line."""
    return " ".join(docstring.split()).split(". ")[0].rstrip(".")
