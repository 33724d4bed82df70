"""The gate of `msnoah compare --remeasure`: a planted slowdown of 5 % is found and a null pair passes, 20 of 20 each.

    python -m pytest tests/benchmarks/test_compare_gate.py -m slow -s

The graph is a chain of equal products. The slower one has 5 % more of them, by identity matrices, so that both give the
same outputs: the work differs by exactly 5 % of the multiply-accumulates, and by as much of the time but for what a run
costs besides its products.
"""

import os

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from msnoah.deploy.artifact_file import open_artifact
from msnoah.deploy.gate import Plan, remeasure

PRODUCTS, PLANTED = 40, 2
ROWS, WIDTH = 197, 192  # tokens and channels of DeiT-Ti: 7.3 million multiply-accumulates a product
LIMIT = 0.025
TIMES = 20
PLAN = Plan(max_regression=LIMIT, time_limit_s=120.0)


def chain(path, extra: int):
    """A chain of PRODUCTS products by rotations, with `extra` more by identities spread among them."""
    generator = np.random.default_rng(0)
    matrices = [np.linalg.qr(generator.standard_normal((WIDTH, WIDTH)))[0] for _ in range(PRODUCTS)]
    for number in range(extra):
        matrices.insert((number + 1) * PRODUCTS // (extra + 1), np.eye(WIDTH))
    weights = [numpy_helper.from_array(m.astype(np.float32), f"w{n}") for n, m in enumerate(matrices)]
    nodes = [helper.make_node("MatMul", [f"x{n}", f"w{n}"], [f"x{n + 1}"]) for n in range(len(matrices))]
    ends = [helper.make_tensor_value_info(f"x{n}", onnx.TensorProto.FLOAT, ["batch", ROWS, WIDTH])
            for n in (0, len(matrices))]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return open_artifact(path)


@pytest.mark.slow
@pytest.mark.parametrize("extra, expected", [(PLANTED, "regression"), (0, "pass")], ids=["planted 5 %", "null pair"])
def test_twenty_of_twenty(extra, expected, tmp_path):
    before, after = chain(tmp_path / "before.onnx", 0), chain(tmp_path / "after.onnx", extra)
    answers = []
    for number in range(TIMES):
        answers.append(remeasure(before, after, PLAN))
        print(f"{number + 1:2} load {os.getloadavg()[0]:.1f}: {answers[-1].describe()}", flush=True)
    verdicts = [answer.verdict for answer in answers]
    print(f"ratios {min(a.ratio for a in answers):.4f} to {max(a.ratio for a in answers):.4f}")
    assert verdicts == [expected] * TIMES
    assert all(answer.max_rel < 1e-6 for answer in answers)  # float32 products by an identity add nothing
