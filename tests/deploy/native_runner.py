"""The native runner, built with no more of ncnn than the tests' models need."""

import re
import shutil
from pathlib import Path

import pytest

from msnoah.deploy.native_build import NativeBuild
from msnoah.deploy.ncnn_source import NcnnSource, fetch_ncnn, open_ncnn
from msnoah.deploy.runtimes.ncnn import NCNN
from msnoah.errors import RuntimeUnavailableError

FOLDER = Path(__file__).parents[2] / "build" / "native-tests"  # kept from one run of the tests to the next
COMPILERS = {"host": ("g++", "g++"), "aarch64": ("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu")}
LAYERS = """
    input split noop memorydata padding flatten packing cast
    convolution convolutiondepthwise innerproduct gemm matmul multiheadattention sdpa
    binaryop unaryop eltwise scale bias clip relu gelu erf sigmoid swish hardswish hardsigmoid tanh softmax
    layernorm batchnorm groupnorm pooling reduction
    reshape permute concat slice crop squeeze expanddims tile interp copyto
""".split()
"""What the tests' models consist of, and what those layers are made of themselves."""


def build_runner(target: str) -> Path:
    """The runner for a target, or a skip that says what is missing."""
    compiler, package = COMPILERS[target]
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed; `apt-get install {package}` gets it")
    try:
        source = open_ncnn(fetch_ncnn(NCNN.installed_version(), FOLDER), FOLDER / "source")
        return NativeBuild(FOLDER / target, target, _reduced(source)).run(source)
    except RuntimeUnavailableError as error:
        pytest.skip(str(error))


def _reduced(source: NcnnSource) -> tuple[tuple[str, str], ...]:
    """Options of ncnn that leave out int8, bfloat16, kernels chosen as it runs, and all layers but LAYERS."""
    text = (source.folder / "src" / "CMakeLists.txt").read_text(encoding="utf-8")
    layers = {name.lower() for name in re.findall(r"^ncnn_add_layer\((\w+)", text, re.M)}
    assert set(LAYERS) <= layers, f"ncnn {source.release} has no {sorted(set(LAYERS) - layers)}"
    off = [f"WITH_LAYER_{name}" for name in layers - set(LAYERS)]
    off += ["NCNN_RUNTIME_CPU", "NCNN_INT8", "NCNN_BF16", "NCNN_AVX512"]
    return tuple((name, "OFF") for name in sorted(off))
