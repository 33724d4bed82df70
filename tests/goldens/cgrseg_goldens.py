"""What the authors' CGRSeg-T computes, and the rule that gives every weight its value by its published name.

The numbers were made in float32 by the original PyTorch model on images of 512x512 and of 256x256 pixels: of every
module the first numbers, with mean, deviation and largest magnitude of all, every 101st logit, and the classes of
largest logit, at stride 8 and of every pixel. `cgrseg_contract.json.gz` lists the weights; none is stored.
"""

import gzip
import json
import re
import zlib
from pathlib import Path

import mindspore as ms
import numpy as np

from msnoah.nn.step_inputs import weights
from tests.goldens.slab_goldens import published_name

FOLDER = Path(__file__).parent
CONTRACT = json.loads(gzip.decompress((FOLDER / "cgrseg_contract.json.gz").read_bytes()))
MODELS = np.load(FOLDER / "cgrseg_models.npz")
UNREAD = {"num_batches_tracked", "attention_biases", "attention_bias_idxs", "attention_bias_idxs_seg"}
"""Published, and read by nobody or computed by our models."""

_SCALE = re.compile(r"(transformer_blocks|meta)\.\d+\.gamma$")   # of a block, which is no norm


def cgrseg_name(name: str) -> str:
    """The published name of one of our Parameters."""
    return name if _SCALE.search(name) else published_name(name)


def cgrseg_value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of a weight, drawn from a stream that its published name seeds."""
    rng, last = _stream(name), name.rsplit(".", 1)[-1]
    if last in ("layer_scale_1", "layer_scale_2", "gamma"):
        return rng.uniform(0.1, 0.4, shape)
    if last == "attention_biases_seg":
        return 0.5 * rng.standard_normal(shape)
    if name.endswith("talking_head2.bias"):
        return 0.001 * rng.standard_normal(shape)
    if last == "running_var" or np.prod(shape) == 1 or (len(shape) == 1 and last == "weight"):
        return rng.uniform(0.5, 1.5, shape)
    if last.endswith("bias") or len(shape) == 1:
        return 0.1 * rng.standard_normal(shape)
    return rng.standard_normal(shape) * np.sqrt(1 / np.prod(shape[1:]))


def fill_cgrseg(model, prefix: str = "") -> None:
    """Gives every weight of a model, or of a part of one, its golden value."""
    for name, parameter in weights(model).items():
        value = cgrseg_value(cgrseg_name(prefix + name), parameter.shape)
        parameter.set_data(ms.Tensor(value.astype(np.float32)))


def cgrseg_image(*size: int) -> ms.Tensor:
    """The image of a golden: (1, 3, height, width)"""
    return ms.Tensor(_stream("input").standard_normal((1, 3, *size)).astype(np.float32))


def watch_calls(model, places) -> dict[str, list[np.ndarray]]:
    """Keeps the outputs of named Cells, one a call, and under `name.in0` their first inputs."""
    seen = {}

    def keep_as(name):
        def keep(cell, inputs, output):
            seen.setdefault(name, []).append(output.asnumpy())
            seen.setdefault(f"{name}.in0", []).append(inputs[0].asnumpy())
        return keep

    for name, cell in model.cells_and_names():
        if name in places:
            cell.register_forward_hook(keep_as(name))
    return seen


def _stream(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))
