"""Clean-ups of an ONNX graph, one function a file. Each takes the graph, edits it, and says whether it changed
anything."""

from msnoah.export.onnx_graph import OnnxGraph
from msnoah.export.passes.constant_adds import merge_constant_adds
from msnoah.export.passes.constant_scales import merge_constant_scales
from msnoah.export.passes.convolution_biases import merge_convolution_biases
from msnoah.export.passes.dead_code import remove_dead_code
from msnoah.export.passes.duplicate_constants import merge_duplicate_constants
from msnoah.export.passes.early_means import multiply_for_means, take_means_early
from msnoah.export.passes.early_rows import take_rows_early
from msnoah.export.passes.expands import remove_expands
from msnoah.export.passes.flattened_products import unflatten_products
from msnoah.export.passes.gelus import merge_gelus
from msnoah.export.passes.head_products import separate_heads
from msnoah.export.passes.identities import remove_identities
from msnoah.export.passes.offsets import defer_offsets
from msnoah.export.passes.reshapes import merge_reshapes
from msnoah.export.passes.split_products import split_products
from msnoah.export.passes.transposes import merge_transposes

PASSES = (
    remove_identities,
    remove_expands,
    unflatten_products,
    merge_reshapes,
    merge_transposes,
    split_products,
    merge_gelus,
    merge_convolution_biases,
    merge_constant_adds,
    merge_constant_scales,
    defer_offsets,
    separate_heads,
    take_means_early,
    take_rows_early,
    remove_dead_code,
    merge_duplicate_constants,
)
"""In the order they run; the whole list runs again until none finds anything."""

LAST = (multiply_for_means,)
"""What runs once after that, since it hides from the others what they look for."""

MAX_ROUNDS = 20


def run_passes(graph: OnnxGraph, passes=PASSES, last=LAST) -> None:
    """Runs passes in order, again and again until the graph stays as it is, before and after the last ones."""
    _repeat(graph, passes)
    if any([change(graph) for change in last]):
        _repeat(graph, passes)


def _repeat(graph: OnnxGraph, passes) -> None:
    for _ in range(MAX_ROUNDS):
        if not any([change(graph) for change in passes]):
            return
