"""What an ONNX model is, in figures: operators, inputs and outputs."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import onnx


def describe_inputs(values: Sequence[onnx.ValueInfoProto]) -> list[dict[str, Any]]:
    """Name, shape and numpy dtype of ONNX inputs or outputs; an axis of any size is its name ("batch")."""
    return [_describe_tensor(value.name, value.type.tensor_type) for value in values]


def count_operators(model: onnx.ModelProto) -> dict[str, int]:
    """How often an ONNX model uses each operator, the most frequent first."""
    return dict(Counter(node.op_type for node in model.graph.node).most_common())


def describe_model(model: onnx.ModelProto) -> dict[str, Any]:
    """Opset, operators by count, inputs and outputs."""
    opset = next(entry.version for entry in model.opset_import if entry.domain == "")
    return {
        "opset": opset, "operators": count_operators(model),
        "inputs": describe_inputs(model.graph.input), "outputs": describe_inputs(model.graph.output),
    }


def _describe_tensor(name: str, tensor: onnx.TypeProto.Tensor) -> dict[str, Any]:
    shape = [dim.dim_param or (dim.dim_value if dim.HasField("dim_value") else "?") for dim in tensor.shape.dim]
    return {"name": name, "shape": shape, "dtype": str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))}
