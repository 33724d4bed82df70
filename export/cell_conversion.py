"""From any Cell to ONNX: compiled at as many sizes as its dynamic axes need, merged, and tried at a further one."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from mindspore import Tensor, nn

from msnoah.errors import ConversionError, VerificationError
from msnoah.export.converter import mindir_to_onnx
from msnoah.export.dynamic_axes import WITHOUT_SIZES, make_axes_dynamic
from msnoah.export.mindir import temporary_mindir
from msnoah.export.reference_runs import run_cell
from msnoah.export.verification import Check, run_onnx
from msnoah.export.verification import verify as compare

AXES = {"batch": 0, "height": 2, "width": 3}
"""Where axes of these names stand; height and width only in inputs of four axes, (N, C, H, W)."""

LARGEST_STEP = 32
"""Heights and widths grow by what divides them, up to this, since networks often halve them five times."""

TRIED_TOLERANCE, TRIED_TOLERANCE_FLOAT16 = 1e-3, 5e-2
"""Relative difference that shows a wrong graph at a further size; the rounding of most networks stays well below."""

VERIFIED_BATCHES = 1, 2, 5

Sizes = dict[str, int]


def export_onnx(
    cell: nn.Cell, *inputs: np.ndarray | Tensor, dynamic: Sequence[str] | Mapping[str, int] = ("batch",),
    verify: bool = False, tolerance: float = 1e-5, **options: Any,
) -> onnx.ModelProto:
    """Converts any Cell, in evaluation mode, to ONNX. It is not fused (`msnoah.fuse(cell)` is) and not written.

    Args:
        cell: what to convert; each of its parts is left in the mode that it was in.
        *inputs: example arguments of `construct`, tensors or arrays. Shapes and types count; integers also serve as
            examples of valid values.
        dynamic: axes that take any size: some of "batch" (axis 0), "height" and "width" (axes 2 and 3 of inputs with
            four), or names of your own with their axes, `{"batch": 0, "tokens": 1}`. An axis belongs to every input
            that has the size of the first one there. Empty for a graph of fixed shapes. The Cell is compiled twice
            for a free batch and up to seven times for height and width.
        verify: also run Cell and graph on random inputs, at batches 1, 2 and 5 if the batch is free.
        tolerance: the largest difference, relative to the largest output, that passes.
        **options: more arguments of `mindir_to_onnx`, such as opset, input_names, output_names and passes.

    Raises:
        ConversionError: the Cell does not compile, a primitive has no ONNX form, or the graph depends on a dynamic
            axis in a way that cannot be computed.
        VerificationError: the graph's outputs differ from the Cell's by more than the tolerance.
    """
    arrays = [value.asnumpy() if isinstance(value, Tensor) else np.asarray(value) for value in inputs]
    family = _Family(cell, arrays, _place_axes(dynamic), options)
    model = family.convert()
    if verify:
        sizes = [{"batch": batch} for batch in VERIFIED_BATCHES] if "batch" in family.axes else [{}]
        checks = [check for size in sizes for check in family.compare(model, size, tolerance)]
        _require_passed(checks, tolerance)
    return model


class _Family:
    """A Cell at many sizes of its dynamic axes; a size that is not named is that of the example."""

    def __init__(self, cell: nn.Cell, arrays: list[np.ndarray], axes: Mapping[str, int], options: Mapping[str, Any]):
        self.cell, self.arrays, self.axes = cell, arrays, axes
        self.options = {"passes": WITHOUT_SIZES, **options} if set(axes) - {"batch"} else options
        self.members = {name: _members(arrays, name, axis) for name, axis in axes.items()}

    def convert(self) -> onnx.ModelProto:
        """The graph for all sizes, or for the example's alone if no axis is dynamic."""
        if not self.axes:
            return self.convert_at({})
        plan = _Plan({name: self.arrays[self.members[name][0]].shape[axis] for name, axis in self.axes.items()})
        models = [self.convert_at(sizes) for sizes in plan.needed]
        models += (odd := self.convert_odd(plan))
        model = self.merge(models, plan)
        if len(self.axes) > 1 or _computes_sizes(model, models[0]):
            for sizes in [plan.further, *([plan.further_odd] if odd else [])]:
                self.try_at(model, sizes)
        return model

    def merge(self, models: list[onnx.ModelProto], plan: "_Plan") -> onnx.ModelProto:
        """Two sizes are enough for most networks, whose batch only multiplies; what else it does takes a third one."""
        order = sorted(self.axes, key=lambda name: (self.members[name][0], self.axes[name]))
        try:
            return make_axes_dynamic(models, order)
        except ConversionError:
            if len(models) > 2:
                raise
        return make_axes_dynamic([*models, self.convert_at(plan.third)], order)

    def convert_at(self, sizes: Sizes) -> onnx.ModelProto:
        """The graph of fixed shapes for these sizes."""
        with temporary_mindir(self.cell, self.inputs_at(sizes)) as path:
            return mindir_to_onnx(path, **self.options)

    def convert_odd(self, plan: "_Plan") -> list[onnx.ModelProto]:
        """Sizes that no step divides tell how the network rounds them; many networks take only multiples."""
        models = []
        for sizes in plan.odd:
            try:
                models.append(self.convert_at(sizes))
            except ConversionError:
                return []
        return models

    def inputs_at(self, sizes: Sizes, rng: np.random.Generator | None = None) -> list[np.ndarray]:
        """The examples repeated or cut to these sizes; floats drawn anew if there is a generator."""
        arrays = list(self.arrays)
        for name, size in sizes.items():
            for index in self.members[name]:
                arrays[index] = np.take(arrays[index], range(size), self.axes[name], mode="wrap")
        if rng is None:
            return arrays
        return [rng.normal(size=a.shape).astype(a.dtype) if a.dtype.kind == "f" else a for a in arrays]

    def compare(self, model: onnx.ModelProto, sizes: Sizes, tolerance: float) -> list[Check]:
        arrays = self.inputs_at(sizes, np.random.default_rng(0))
        outputs = [info.name for info in model.graph.output]
        return compare(run_cell(self.cell), {"onnx": run_onnx(model)}, [arrays], outputs=outputs, tolerance=tolerance)

    def try_at(self, model: onnx.ModelProto, sizes: Sizes) -> None:
        where = ", ".join(f"{name} {size}" for name, size in sizes.items())
        tolerance = TRIED_TOLERANCE_FLOAT16 if self.options.get("float16") else TRIED_TOLERANCE
        failed = [check for check in self.compare(model, sizes, tolerance) if not check.passed]
        if failed:
            raise ConversionError(
                f"the graph that was made for any size differs from {type(self.cell).__name__} at {where}, by "
                f"{failed[0].max_rel:.1e} relative in output '{failed[0].output}'; keep one of these sizes fixed")


class _Plan:
    """Sizes at which to compile, and further ones at which to try the graph that was made from them."""

    def __init__(self, example: Sizes):
        base = {name: 2 if name == "batch" else max(size, 2) for name, size in example.items()}
        steps = {name: 1 if name == "batch" else math.gcd(size, LARGEST_STEP) for name, size in base.items()}
        spatial = [name for name in base if name != "batch"]

        def grown(count: Mapping[str, int], rest: int = 0) -> Sizes:
            rests = {name: rest * (name in spatial) for name in base}
            return {name: size + steps[name] * count.get(name, 0) + rests[name] for name, size in base.items()}

        places = {name: place for place, name in enumerate(base)}
        self.third = grown({name: 2 + place for name, place in places.items()})  # no two axes grow alike
        self.needed = [base, *(grown({name: 1}) for name in base), *([self.third] if spatial else [])]
        stretched = {name: 1 + place for name, place in places.items()}
        self.odd = [grown(stretched, 1), grown(stretched, -1)] if any(steps[name] > 1 for name in spatial) else []
        self.further = grown({name: 4 - place for name, place in places.items()})
        self.further_odd = grown({name: 5 - place for name, place in places.items()}, 1)


def _place_axes(dynamic: Sequence[str] | Mapping[str, int]) -> dict[str, int]:
    if isinstance(dynamic, Mapping):
        return dict(dynamic)
    names = (dynamic,) if isinstance(dynamic, str) else tuple(dynamic)
    unknown = [name for name in names if name not in AXES]
    if unknown:
        raise ConversionError(
            f"axis '{unknown[0]}' has no place that is known ({', '.join(AXES)} have); give it, as in "
            f"dynamic={{'{unknown[0]}': 1}}")
    return {name: AXES[name] for name in AXES if name in names}


def _members(arrays: Sequence[np.ndarray], name: str, axis: int) -> list[int]:
    """Which inputs have the axis: those that have the same size there as the first one that has it."""
    ranks = (4,) if name in ("height", "width") else range(axis + 1, 33)
    sizes = {index: array.shape[axis] for index, array in enumerate(arrays) if array.ndim in ranks}
    first = next(iter(sizes.values()), 0)
    if first == 0:
        raise ConversionError(
            f"dynamic axis '{name}' needs an example input with at least one element at axis {axis}; pass dynamic=() "
            "for a graph of fixed shapes")
    return [index for index, size in sizes.items() if size == first]


def _computes_sizes(model: onnx.ModelProto, fixed: onnx.ModelProto) -> bool:
    return len(model.graph.node) > len(fixed.graph.node)


def _require_passed(checks: Iterable[Check], tolerance: float) -> None:
    failed = [check for check in checks if not check.passed]
    if failed:
        worst = max(failed, key=lambda check: check.max_rel)
        raise VerificationError(
            f"output '{worst.output}' differs from the Cell's at batch {worst.batch} by {worst.max_rel:.1e} relative, "
            f"{worst.max_abs:.1e} absolute (the tolerance is {tolerance:.0e}, the inputs random)")
