"""Constants that are added in one place and can as well be added, or left out, further on."""

from dataclasses import dataclass

import numpy as np

from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.constant_adds import split_constant
from msnoah.export.passes.offset_rules import RULES, Offset, compress


def defer_offsets(graph: OnnxGraph) -> bool:
    """Lets constants travel with what they would be added to, until an addition that must stay takes them in.

    With x' = x + c, x' W + b = x W + (c W + b) and x' + y = (x + y) + c, and moving or averaging tokens moves or
    averages c. So the biases of a residual stream travel to the first layers of the branches, and the last to the
    classifier. In softmax(q k'^T) v' with k' = k + c, q c^T is one number a row, which softmax ignores; with
    v' = v + c, the rows of the softmax sum to 1, which leaves c on the result.

    Only additions are taken away or get another constant; none is added. Where a constant would arrive at an operator
    that it cannot pass (LayerNormalization, say) without an addition before it, it stays where it was.
    """
    fixed: set[str] = set(graph.outputs)
    while True:
        plan = _Plan(graph, fixed).run()
        if plan.stopped <= fixed:
            break
        fixed |= plan.stopped
    for operator, index, constant in plan.absorbed if plan.deferred else ():
        name = operator.inputs[index]
        # Of the rank that it had where it may be: ONNX Runtime's patterns ask for biases of rank 1.
        leading = min(constant.ndim - graph.constants[name].ndim, np.argmax(np.array([*constant.shape, 2]) > 1))
        merged = constant.reshape(constant.shape[leading:]).astype(graph.constants[name].dtype)
        graph.set_input(operator, index, graph.add_constant(f"{name}.merged", merged))
    for operator in plan.deferred:
        graph.bypass(operator, split_constant(graph, operator)[0])
    return bool(plan.deferred)


@dataclass
class _Plan:
    """What happens if every addition but those in `fixed` is left out: which take in what, and which cannot be left
    out since what they add arrives where it cannot pass."""

    graph: OnnxGraph
    fixed: set[str]

    def run(self) -> "_Plan":
        self.offsets: dict[str, Offset] = {}
        self.absorbed: list[tuple[Operator, int, np.ndarray]] = []
        self.deferred: list[Operator] = []
        self.stopped: set[str] = set()
        for operator in self.graph.operators:
            constant = self._constant(operator)
            if constant is None or not self._visit_addition(operator, *constant):
                self._visit(operator)
        for name in self.graph.outputs:
            self._stop(name)
        return self

    def _constant(self, operator: Operator) -> tuple[str, str] | None:
        operands = split_constant(self.graph, operator)
        same = operands and self.graph.types[operands[0]] == self.graph.types[operator.outputs[0]]
        return operands if same and self.graph.types[operands[0]].dtype.kind == "f" else None

    def _visit_addition(self, operator: Operator, x: str, name: str) -> bool:
        output, constant = operator.outputs[0], self.graph.constants[name].astype(np.float64)
        rank = len(self.graph.shape(x))
        constant = compress(constant.reshape((1,) * (rank - constant.ndim) + constant.shape))
        before = self.offsets.get(x)
        if before is not None and before.array is None:
            return False
        total = constant if before is None else constant + before.array
        if output not in self.fixed and sum(size > 1 for size in constant.shape) <= 1:
            self.deferred.append(operator)
            self.offsets[output] = Offset(total, frozenset([output]))
        elif before is not None:
            if total.size > max(constant.size, before.array.size):
                self._stop(x)
            self.absorbed.append((operator, operator.inputs.index(name), total))
        return True

    def _visit(self, operator: Operator) -> None:
        offsets = [self.offsets.get(name) for name in operator.inputs]
        if not any(offsets):
            return
        rule = RULES.get(operator.op_type)
        results = rule(self.graph, operator, offsets) if rule else None
        if results is None:
            present = [name for name, offset in zip(operator.inputs, offsets, strict=True) if offset]
            # One at a time in a product: without the left one, the right one may pass.
            for name in present[:1] if operator.op_type == "MatMul" else present:
                self._stop(name)
            return
        self.offsets.update((name, result) for name, result in zip(operator.outputs, results, strict=True) if result)

    def _stop(self, name: str) -> None:
        if name in self.offsets:
            self.stopped |= self.offsets[name].sources
