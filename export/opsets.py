"""What differs between ONNX's operator sets, so that handlers need not know which one is written.

Handlers write operators as opset 17 spells them; newer forms of axes, modes and counts do as well. What a set spells
otherwise is respelled here, what it has not is written out (`lowerings`), and what it cannot express is an error that
names the first set that can.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from onnx import defs, helper

from msnoah.errors import ConversionError
from msnoah.export.graph import Value

OLDEST_OPSET, NEWEST_OPSET = 13, 28
"""28 is the newest that ONNX Runtime 1.32 takes (and onnx 1.23 has)."""

AXES_AS_INPUT = {
    "ReduceSum": 13, "Squeeze": 13, "Unsqueeze": 13, "ReduceL1": 18, "ReduceL2": 18, "ReduceLogSum": 18,
    "ReduceLogSumExp": 18, "ReduceMax": 18, "ReduceMean": 18, "ReduceMin": 18, "ReduceProd": 18, "ReduceSumSquare": 18,
}
"""The set from which on an operator takes its axes as an input instead of an attribute."""

VALUES = {
    ("ScatterElements", "reduction"): {"max": 18, "min": 18}, ("ScatterND", "reduction"): {"max": 18, "min": 18},
    ("Pad", "mode"): {"wrap": 19}, ("Resize", "coordinate_transformation_mode"): {"half_pixel_symmetric": 19},
}
"""Values of attributes that came later than the attribute."""

GRID_MODES = {"bilinear": "linear", "bicubic": "cubic"}
"""GridSample's modes before and since opset 20."""


def respell(
    operator: str, inputs: Sequence[Any], attributes: dict[str, Any], opset: int,
) -> tuple[list[Any], dict[str, Any]]:
    """Inputs and attributes of an operator as a set spells them.

    Raises:
        ConversionError: the set has not the operator, an attribute, or a value of one; says which has.
    """
    inputs = [np.asarray(tensor) if isinstance(tensor, np.generic) else tensor for tensor in inputs]
    while inputs and inputs[-1] is None:
        inputs.pop()    # ONNX Runtime runs a Conv with an empty name for its bias slower than one without.
    attributes, schema = dict(attributes), find_schema(operator, opset)
    if operator in AXES_AS_INPUT:
        _move_axes(inputs, attributes, as_input=opset >= AXES_AS_INPUT[operator])
    elif operator in RESPELLINGS:
        RESPELLINGS[operator](inputs, attributes, opset)
    for name, value in list(attributes.items()):
        later = VALUES.get((operator, name), {}).get(_text(value), 0)
        if opset < later:
            raise ConversionError(f"{operator} with {name} '{_text(value)}' needs opset {later}; this is opset {opset}")
        if name in schema.attributes:
            continue
        if not _is_default(operator, name, value):
            raise ConversionError(f"{operator} has no {name} in opset {opset}; {_first_with(operator, name)}")
        del attributes[name]
    return inputs, attributes


@lru_cache(maxsize=1024)
def find_schema(operator: str, opset: int) -> defs.OpSchema:
    """ONNX's definition of an operator in a set; ConversionError says which set has it if this one has not."""
    try:
        return defs.get_schema(operator, opset)
    except defs.SchemaError:
        versions = [schema.since_version for schema in _history(operator)]
        hint = f"it came with opset {min(versions)}" if versions else "no opset has it"
        raise ConversionError(f"ONNX's {operator} is not in opset {opset}; {hint}") from None


def check_types(operator: str, inputs: Sequence[Any], opset: int) -> None:
    """Refuses element types that an operator does not take in a set; says which set does."""
    for index, tensor in enumerate(inputs):
        if tensor is None or tensor.dtype in _types(operator, opset, index):
            continue
        later = [version for version in range(opset + 1, NEWEST_OPSET + 1)
                 if tensor.dtype in _types(operator, version, index)]
        hint = f"opset {later[0]} has it" if later else "no opset has it"
        raise ConversionError(f"{operator} of {tensor.dtype} is not in opset {opset}; {hint}")


@lru_cache(maxsize=4096)
def _types(operator: str, opset: int, index: int) -> frozenset[np.dtype]:
    inputs = find_schema(operator, opset).inputs
    names = inputs[min(index, len(inputs) - 1)].types
    return frozenset(NUMPY_TYPES[name] for name in names if name in NUMPY_TYPES)


NUMPY_TYPES = {
    "tensor(bool)": np.dtype(bool), "tensor(float)": np.dtype(np.float32), "tensor(double)": np.dtype(np.float64),
    **{f"tensor({name})": np.dtype(name) for name in (
        "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "complex64",
        "complex128")},
}
"""Element types as ONNX's definitions name them."""


def takes(operator: str, opset: int, dtype: np.dtype, index: int = 0) -> bool:
    """Whether an operator's input may have an element type in a set."""
    return np.dtype(dtype) in _types(operator, opset, index)


@lru_cache(maxsize=1)
def _schemas() -> dict[str, list[defs.OpSchema]]:
    found: dict[str, list[defs.OpSchema]] = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "":
            found.setdefault(schema.name, []).append(schema)
    return found


def _history(operator: str) -> list[defs.OpSchema]:
    return _schemas().get(operator, [])


def _first_with(operator: str, attribute: str) -> str:
    versions = [schema.since_version for schema in _history(operator) if attribute in schema.attributes]
    return f"it came with opset {min(versions)}" if versions else "no opset has it"


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value if isinstance(value, str | int | float) else None


def _is_default(operator: str, attribute: str, value: Any) -> bool:
    """Whether a value says what sets without the attribute do anyway: the default that it came with."""
    if attribute == "dilations":
        return set(value) == {1}        # ONNX writes this default in words.
    for schema in _history(operator):
        if attribute in schema.attributes and schema.attributes[attribute].default_value.name:
            return _text(value) == _text(helper.get_attribute_value(schema.attributes[attribute].default_value))
    return False


# --- other spellings


def _move_axes(inputs: list[Any], attributes: dict[str, Any], as_input: bool) -> None:
    if as_input and "axes" in attributes:
        inputs[1:2] = [np.array(attributes.pop("axes"), np.int64)]
    elif not as_input and len(inputs) > 1:
        axes = inputs.pop()
        if isinstance(axes, Value):
            raise ConversionError("axes that are computed at run time need opset 18")
        if axes is not None:
            attributes["axes"] = [int(axis) for axis in axes]


def _split(inputs: list[Any], attributes: dict[str, Any], opset: int) -> None:
    if opset < 18:
        attributes.pop("num_outputs", None)


def _pad(inputs: list[Any], attributes: dict[str, Any], opset: int) -> None:
    """Axes became an input with opset 18; before, every axis is padded."""
    if opset >= 18 or len(inputs) < 4:
        return
    pads, axes, rank = inputs[1], inputs.pop(), len(inputs[0].shape)
    if axes is not None:
        full = np.zeros((2, rank), np.int64)
        full[:, np.asarray(axes)] = np.asarray(pads).reshape(2, -1)
        inputs[1] = full.reshape(-1)


def _grid_sample(inputs: list[Any], attributes: dict[str, Any], opset: int) -> None:
    mode = _text(attributes.get("mode", "linear"))
    names = GRID_MODES if opset >= 20 else {new: old for old, new in GRID_MODES.items()}
    attributes["mode"] = names.get(mode, mode)
    if opset < 20 and len(inputs[0].shape) != 4:
        raise ConversionError(f"GridSample of {len(inputs[0].shape) - 2} spatial axes needs opset 20")


def _dft(inputs: list[Any], attributes: dict[str, Any], opset: int) -> None:
    if opset >= 20 and "axis" in attributes:
        inputs += [None] * (2 - len(inputs)) + [np.array(attributes.pop("axis"), np.int64)]
    elif opset < 20 and len(inputs) > 2:
        attributes["axis"] = int(inputs.pop())


RESPELLINGS = {"Split": _split, "Pad": _pad, "GridSample": _grid_sample, "DFT": _dft}
"""What is spelled otherwise in some sets, besides axes; each edits inputs and attributes."""
