"""The tests behind the words that a rule's `when` may hold: of an operator and the word's value.

Each gives True, False, or None where the graph does not tell.
"""

from collections.abc import Callable, Iterable
from typing import Any

from msnoah.deploy.npu.facts import OperatorFacts
from msnoah.deploy.npu.rules import When

Answer = bool | None


def applies(when: When, operator: OperatorFacts) -> Answer:
    """Whether all conditions hold: False if one does not, None if none fails but one cannot be told."""
    answers = [CONDITIONS[word](operator, value) for word, value in when if value is not None]
    return False if False in answers else None if None in answers else True


def _any(answers: Iterable[Answer]) -> Answer:
    answers = list(answers)
    return True if True in answers else None if None in answers else False


def _rank_above(operator: OperatorFacts, limit: int) -> Answer:
    return _any(None if tensor.shape is None else len(tensor.shape) > limit for tensor in operator.data)


def _output_rank_above(operator: OperatorFacts, limit: int) -> Answer:
    shape = operator.outputs[0].shape
    return None if shape is None else len(shape) > limit


def _axis(operator: OperatorFacts) -> int | None:
    """The attribute `axis`, -1 as in ONNX's norms and Softmax where it is left out, counted from the front."""
    axis, first = operator.attributes.get("axis", -1), operator.inputs[0].shape if operator.inputs else None
    return axis if axis >= 0 else None if first is None else axis + len(first)


def _axis_above(operator: OperatorFacts, limit: int) -> Answer:
    axis = _axis(operator)
    return None if axis is None else axis > limit


def _axis_not_in(operator: OperatorFacts, allowed: tuple[int, ...]) -> Answer:
    axis = _axis(operator)
    return None if axis is None else axis not in allowed


def _batch_above(operator: OperatorFacts, limit: int) -> Answer:
    shape = operator.inputs[0].shape if operator.inputs else None
    return None if shape is None else bool(shape) and shape[0] > limit


def _kernel_above(operator: OperatorFacts, limit: int) -> Answer:
    return any(size > limit for size in operator.attributes.get("kernel_shape", ()))


def _dilated(operator: OperatorFacts, value: bool) -> Answer:
    return any(size != 1 for size in operator.attributes.get("dilations", ()))


def _dtypes(operator: OperatorFacts, dtypes: tuple[str, ...]) -> Answer:
    read = [tensor for tensor in operator.inputs if not tensor.constant]
    return _any(None if tensor.dtype is None else tensor.dtype in dtypes for tensor in read)


def _variable_input(operator: OperatorFacts, index: int) -> Answer:
    return index < len(operator.inputs) and not operator.inputs[index].constant


def _attributes(operator: OperatorFacts, wanted: dict[str, int | str]) -> Answer:
    return all(_plain(operator.attributes.get(name)) == value for name, value in wanted.items())


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _opset_above(operator: OperatorFacts, limit: int) -> Answer:
    return operator.opset > limit


CONDITIONS: dict[str, Callable[[OperatorFacts, Any], Answer]] = {
    "rank_above": _rank_above,
    "output_rank_above": _output_rank_above,
    "axis_above": _axis_above,
    "axis_not_in": _axis_not_in,
    "batch_above": _batch_above,
    "kernel_above": _kernel_above,
    "dilated": _dilated,
    "dtypes": _dtypes,
    "variable_input": _variable_input,
    "attributes": _attributes,
    "opset_above": _opset_above,
}
