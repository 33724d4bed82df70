"""Conversion of models of 100 MB: CPU time and memory, from reading the MindIR to the ONNX file on the disk.

    python -m pytest tests/benchmarks/test_conversion_speed.py -m slow -s

Each conversion runs in a process of its own without MindSpore, since peak memory is a matter of a whole process. Memory
is the growth of the peak over what the process has after the imports, pages of mapped files included.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

ROOT = Path(__file__).parents[2]
RUNS = 3
MAX_SECONDS_PER_100_MB = 1.0
MAX_MEMORY_RATIO = 2.0
MAX_START_SECONDS = 0.3

# VmHWM, the peak of this program; getrusage would give the larger one of the process that started it.
CONVERSION = """
import json, sys, time
import msnoah.export.converter, msnoah.export.onnx_file
peak = lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024
before, start = peak(), time.process_time()
model = msnoah.export.converter.mindir_to_onnx(sys.argv[1])
msnoah.export.onnx_file.save_onnx(model, sys.argv[2])
print(json.dumps({"seconds": time.process_time() - start, "memory": peak() - before, "nodes": len(model.graph.node)}))
"""

START = """
import sys, time
from msnoah.export.reader import read_mindir
program = read_mindir(sys.argv[1])
assert program.main.nodes and "mindspore" not in sys.modules
print(time.process_time())
"""


class Bottleneck(nn.Cell):
    """ResNet's block of three convolutions (https://arxiv.org/abs/1512.03385)."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        sizes = [(channels, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)]
        self.layers = nn.SequentialCell([norm_conv(*size) for size in sizes])
        same = stride == 1 and channels == 4 * width
        self.shortcut = nn.Identity() if same else norm_conv(channels, 4 * width, 1, stride)

    def construct(self, x):
        return ops.relu(self.layers(x) + self.shortcut(x))


def norm_conv(channels: int, width: int, kernel: int, stride: int) -> nn.Cell:
    return nn.SequentialCell([nn.Conv2d(channels, width, kernel, stride), nn.BatchNorm2d(width), nn.ReLU()])


class ResNet50(nn.Cell):
    """25.5 million parameters."""

    def __init__(self):
        super().__init__()
        blocks, channels = [], 64
        for width, count in [(64, 3), (128, 4), (256, 6), (512, 3)]:
            for index in range(count):
                blocks.append(Bottleneck(channels, width, 2 if index == 0 and width > 64 else 1))
                channels = 4 * width
        self.stem, self.pool = norm_conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, "same")
        self.blocks, self.fc = nn.SequentialCell(blocks), nn.Dense(2048, 1000)

    def construct(self, image):
        return self.fc(self.blocks(self.pool(self.stem(image))).mean((2, 3)))


class Layer(nn.Cell):
    """A layer of a vision transformer, of width 768."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm((768,)), nn.LayerNorm((768,))
        self.qkv, self.out = nn.Dense(768, 2304), nn.Dense(768, 768)
        self.fc1, self.fc2 = nn.Dense(768, 3072), nn.Dense(3072, 768)

    def construct(self, x):
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, 12, 64).transpose(2, 0, 3, 1, 4)
        weights = ops.softmax(ops.matmul(qkv[0], qkv[1].swapaxes(2, 3)) / 8, -1)
        x = x + self.out(ops.matmul(weights, qkv[2]).transpose(0, 2, 1, 3).reshape(batch, tokens, width))
        return x + self.fc2(ops.gelu(self.fc1(self.norm2(x)), approximate="none"))


NETS = {
    "resnet50": (ResNet50, (1, 3, 224, 224)),
    "transformer": (lambda: nn.SequentialCell([Layer() for _ in range(4)]), (1, 50, 768)),
}


@pytest.fixture(scope="module", params=NETS)
def mindir(request, tmp_path_factory) -> Path:
    build, shape = NETS[request.param]
    path = tmp_path_factory.mktemp("speed") / f"{request.param}.mindir"
    ms.export(build(), Tensor(np.zeros(shape, np.float32)), file_name=str(path), file_format="MINDIR")
    return path


def run_python(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


@pytest.mark.slow
def test_conversion_takes_a_second_and_twice_the_memory(mindir):
    size = mindir.stat().st_size
    runs = [json.loads(run_python(CONVERSION, mindir, mindir.with_suffix(".onnx"))) for _ in range(RUNS)]
    seconds = min(run["seconds"] for run in runs) * 1e8 / size
    ratio = max(run["memory"] for run in runs) / size
    print(f"\n{mindir.stem}: {size / 1e6:.0f} MB, {runs[0]['nodes']} operators, {seconds:.2f} s of CPU per 100 MB, "
          f"memory {ratio:.2f} x the file")
    assert seconds < MAX_SECONDS_PER_100_MB
    assert ratio < MAX_MEMORY_RATIO


@pytest.mark.slow
def test_reading_starts_at_once(mindir):
    seconds = min(float(run_python(START, mindir)) for _ in range(RUNS))
    print(f"\n{mindir.stem}: {seconds:.2f} s of CPU from the start of Python to the graph")
    assert seconds < MAX_START_SECONDS
