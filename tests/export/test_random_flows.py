"""Random programs of jumps, branches and loops: what ONNX Runtime gives is what running them block by block gives."""

import random
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import pytest

from msnoah.errors import ConversionError
from msnoah.export.builder import Builder
from msnoah.export.graph import Graph, GraphReference, Node, Program, TensorType
from msnoah.export.interpreter import Interpreter
from msnoah.export.passes import run_passes

SCALAR = TensorType(np.dtype(np.float32), ())
FUNCTIONS = {"Add": np.add, "Mul": np.multiply, "Sub": np.subtract}
PROGRAMS = 60
LOOPS_OVER = 4.0
"""A jump back is made while the counter of blocks is below it."""


@dataclass
class Block:
    """x becomes `primitive`(x, number); then a jump to the first target if x > threshold (on a jump back: if the
    counter is small), else to the second. `keeps`: y becomes what x was."""

    primitive: str
    number: np.float32
    threshold: float | None
    targets: tuple[int, int]
    keeps: bool


def make_blocks(rng: random.Random) -> list[Block]:
    count, blocks = rng.randint(2, 9), []
    for index in range(count):
        def ahead(index=index) -> int:
            return rng.randint(index + 1, count)

        back = rng.random() < 0.4
        blocks.append(Block(
            rng.choice(list(FUNCTIONS)), np.float32(rng.choice([-1.5, -0.5, 0.5, 1.25, 2])),
            None if back else rng.choice([-1, 0, 0.3, 1]), (rng.randint(0, index) if back else ahead(), ahead()),
            rng.random() < 0.3))
    return blocks


def node(output: str, primitive: str, *operands: str, callee: str = "") -> Node:
    return Node(primitive, callee, "", list(operands), output, {}, None)


def make_program(blocks: list[Block], start: str) -> Program:
    known = {"one": np.array(1, np.float32), "zero": np.array(0, np.float32), "limit": np.array(LOOPS_OVER, np.float32)}
    graphs = {"end": Graph("end", ["end.x", "end.i", "end.y"], ["end.all"], [
        node("end.sum", "Add", "end.x", "end.i"), node("end.all", "MakeTuple", "end.sum", "end.y")])}
    names = [*(f"b{index}" for index in range(len(blocks))), "end"]
    for name, block in zip(names, blocks, strict=False):
        x, i, y = inputs = [f"{name}.x", f"{name}.i", f"{name}.y"]
        known[f"{name}.number"], known[f"{name}.threshold"] = block.number, np.array(block.threshold or 0, np.float32)
        passed = [f"{name}.new", f"{name}.count", x if block.keeps else y]
        condition = ("Less", f"{name}.count", "limit")
        if block.threshold is not None:
            condition = "Greater", f"{name}.new", f"{name}.threshold"
        graphs[name] = Graph(name, inputs, [f"{name}.end"], [
            node(f"{name}.new", block.primitive, x, f"{name}.number"), node(f"{name}.count", "Add", i, "one"),
            node(f"{name}.condition", *condition),
            *[node(f"{name}.to{way}", "Partial", names[target], *passed) for way, target in enumerate(block.targets)],
            node(f"{name}.way", "Switch", f"{name}.condition", f"{name}.to0", f"{name}.to1"),
            node(f"{name}.end", "", callee=f"{name}.way")])
    main = Graph("main", ["x", "i"], ["result"], [node("result", "", "x", start, "x", callee="b0")])
    known.update({name: GraphReference(name) for name in graphs})
    return Program(main, graphs, [SCALAR, SCALAR], known)


def run_blocks(blocks: list[Block], x: np.float32, count: np.float32) -> tuple[np.float32, np.float32]:
    index, y = 0, x
    while index < len(blocks):
        block = blocks[index]
        y = x if block.keeps else y
        x, count = FUNCTIONS[block.primitive](x, block.number), count + np.float32(1)
        condition = count < LOOPS_OVER if block.threshold is None else x > np.float32(block.threshold)
        index = block.targets[0 if condition else 1]
    return x + count, y


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_random_program(seed):
    rng = random.Random(seed)
    blocks, start = make_blocks(rng), rng.choice(["i", "zero"])
    builder = Builder(17)
    try:
        Interpreter(make_program(blocks, start), builder).run(["x", "i"], None)
    except ConversionError as error:
        assert "it is no loop with one entry" in str(error)
        return
    run_passes(builder.graph)
    model = builder.graph.to_model()
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for x in np.array([-2, -0.7, 0.1, 0.9, 3], np.float32):
        for count in np.array([0, 1, 4], np.float32):
            expected = run_blocks(blocks, x, count if start == "i" else np.float32(0))
            found = session.run(None, {"x": np.array(x), "i": np.array(count)})
            np.testing.assert_allclose(found, expected, rtol=1e-5)
