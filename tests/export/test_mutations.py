"""Damaged MindIR files: each is refused in one line or becomes a valid graph; none crashes, hangs or fills the memory.

    python -m pytest tests/export/test_mutations.py -m slow -s      (all 10,000, with the table of outcomes)
"""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

WORKER = Path(__file__).with_name("mutation_worker.py")
ROOT = Path(__file__).parents[2]
FINE = {"refused", "converted", "right"}


class Perceptron(nn.Cell):
    """Products, softmax, and a tuple of outputs."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Dense(4, 6), nn.Dense(6, 3)

    def construct(self, x):
        y = self.fc2(nn.GELU(approximate=False)(self.fc1(x)))
        return ops.softmax(y, -1), (y.argmax(1), y * 2)


class Convolutions(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, stride=2, has_bias=True), nn.BatchNorm2d(4)
        self.pool, self.fc = nn.MaxPool2d(2, 2), nn.Dense(4, 2)

    def construct(self, x):
        y = self.pool(ops.relu(self.norm(self.conv(x))))
        return self.fc(y.mean((2, 3)))


class Attention(nn.Cell):
    """Reshapes, transposes, slices and splits."""

    def __init__(self):
        super().__init__()
        self.qkv, self.norm = nn.Dense(4, 12), nn.LayerNorm((4,))

    def construct(self, x):
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm(x)).reshape(batch, tokens, 3, 2, width // 2).transpose(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        weights = ops.softmax(ops.matmul(q, k.swapaxes(2, 3)) * 0.5, -1)
        return x + ops.matmul(weights, v).transpose(0, 2, 1, 3).reshape(batch, tokens, width)


class Indexing(nn.Cell):
    """Integers, gathers, concatenation, padding and constants."""

    def __init__(self):
        super().__init__()
        self.table = Parameter(Tensor(np.linspace(0, 1, 20).reshape(5, 4), ms.float32))
        self.places = Tensor([2, 0, 1], ms.int32)

    def construct(self, index, x):
        rows = ops.gather(self.table, index, 0)
        joined = ops.concat((rows, x[:, ::2], ops.gather(x, self.places, 1)), 1)
        return ops.pad(joined, (1, 1)), ops.cast(index, ms.float32).sum()


class Branches(nn.Cell):
    """A choice at run time."""

    def construct(self, x):
        if x.sum() > 0:
            y = x * 2
        else:
            y = x - 1
        return y + 1


class Loops(nn.Cell):
    """A loop with a known number of turns around one that ends at run time."""

    def __init__(self):
        super().__init__()
        self.weight = Parameter(Tensor(np.eye(3), ms.float32))

    def construct(self, x):
        index = Tensor(0, ms.int32)
        while index < 3:
            x = ops.matmul(x, self.weight) + 1
            index = index + 1
        while x.sum() < 50:
            x = x * 2
        return x


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


NETS = {
    "attention": (Attention, normal(2, 3, 4)),
    "branches": (Branches, normal(2, 3)),
    "convolutions": (Convolutions, normal(1, 3, 8, 8)),
    "indexing": (Indexing, np.array([1, 4, 0], np.int32), normal(3, 4)),
    "loops": (Loops, np.abs(normal(2, 3))),
    "perceptron": (Perceptron, normal(2, 4)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    ms.set_seed(0)
    for name, (cell, *inputs) in NETS.items():
        net, tensors = cell(), [Tensor(x) for x in inputs]
        ms.export(net, *tensors, file_name=str(folder / name), file_format="MINDIR")
        arrays = {f"input_{index}": x for index, x in enumerate(inputs)}
        arrays |= {f"output_{index}": x for index, x in enumerate(flatten(net(*tensors)))}
        np.savez(folder / f"{name}.npz", **arrays)
    return folder


def flatten(result) -> list[np.ndarray]:
    if isinstance(result, tuple):
        return [array for item in result for array in flatten(item)]
    return [result.asnumpy()]


def convert_mutated(folder: Path, seeds: range) -> list[list]:
    """[seed, file, mutation, outcome, detail] of each seed; a worker that dies is followed by another."""
    records, environment = [], {**os.environ, "PYTHONPATH": str(ROOT)}
    while len(records) < len(seeds):
        command = [sys.executable, str(WORKER), str(folder), str(seeds[len(records)]), str(seeds.stop)]
        process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        records += [json.loads(line) for line in process.stdout.splitlines()]
        if process.returncode > 0:
            raise RuntimeError(f"the worker itself failed: {process.stderr[-2000:]}")
        if process.returncode < 0:
            death = signal.Signals(-process.returncode).name
            records.append([seeds[len(records)], "", "", death, process.stderr[-200:]])
    return records


def print_table(records: list[list]) -> None:
    outcomes = sorted({record[3] for record in records})
    counts = Counter((record[2], record[3]) for record in records)
    print("\n| mutation | " + " | ".join(outcomes) + " |\n|---" + "|---" * len(outcomes) + "|")
    for kind in sorted({record[2] for record in records}):
        print(f"| {kind} | " + " | ".join(str(counts[kind, outcome]) for outcome in outcomes) + " |")


def check_mutated(folder: Path, count: int) -> None:
    records = convert_mutated(folder, range(count))
    print_table(records)
    assert [record[0] for record in records] == list(range(count))
    faults = [record for record in records if record[3] not in FINE]
    assert not faults, "\n".join(map(str, faults[:20]))
    assert {record[3] for record in records} == FINE


def test_whole_files_are_converted_right(folder):
    assert {record[3] for record in convert_mutated(folder, range(60)) if record[2] == "add_unknown_field"} == {"right"}


def test_damaged_files(folder):
    check_mutated(folder, 500)


@pytest.mark.slow
def test_ten_thousand_damaged_files(folder):
    check_mutated(folder, 10_000)
