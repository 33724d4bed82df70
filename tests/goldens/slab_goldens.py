"""What the authors' implementations of SLAB compute, and the rule that gives every weight its value by its published name.

The numbers were made in float32 by the original PyTorch models. `slab_contracts.json.gz` lists their weights; no weight
itself is stored.
"""

import gzip
import json
import zlib
from pathlib import Path

import mindspore as ms
import numpy as np

from msnoah.nn.step_inputs import weights

FOLDER = Path(__file__).parent
CONTRACTS = json.loads(gzip.decompress((FOLDER / "slab_contracts.json.gz").read_bytes()))
MODELS, UNITS, TRAINING = (np.load(FOLDER / f"slab_{name}.npz") for name in ("models", "units", "training"))
PUBLISHED = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def published_name(name: str) -> str:
    """The published name of one of our Parameters: only the last component of norms differs."""
    path, _, last = name.rpartition(".")
    return f"{path}{'.' if path else ''}{PUBLISHED.get(last, last)}"


def slab_value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of a weight of SLAB's goldens, drawn from a stream that its published name seeds."""
    rng, last = _stream(name), name.rsplit(".", 1)[-1]
    if np.prod(shape) == 1 or last == "running_var" or (len(shape) == 1 and last == "weight"):
        return rng.uniform(0.5, 1.5, shape)
    if last == "running_mean" or len(shape) == 1:
        return 0.1 * rng.standard_normal(shape)
    if len(shape) >= 3 and shape[0] == 1:
        return 0.5 * rng.standard_normal(shape)
    is_branch_end = name.endswith(("attn.proj.weight", "mlp.fc2.weight")) or _is_block_projection(name)
    return rng.standard_normal(shape) * np.sqrt(1 / np.prod(shape[1:])) * (0.125 if is_branch_end else 0.5)


def deit_value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of a weight of the plain DeiT golden."""
    rng, last = _stream(name), name.rsplit(".", 1)[-1]
    if last == "bias":
        return 0.1 * rng.standard_normal(shape)
    if len(shape) == 1:
        return rng.uniform(0.5, 1.5, shape)
    return rng.standard_normal(shape) * np.sqrt(1 / np.prod(shape[1:]))


def fill(model, value=slab_value, prefix: str = "") -> None:
    """Gives every weight of a model its golden value."""
    for name, parameter in weights(model).items():
        drawn = value(prefix + published_name(name), parameter.shape)
        parameter.set_data(ms.Tensor(drawn.astype(np.float32)))


def image_batch() -> ms.Tensor:
    """The two images of all goldens: (2, 3, 224, 224)"""
    return ms.Tensor(_stream("input").standard_normal((2, 3, 224, 224)).astype(np.float32))


def relative_error(found, expected) -> float:
    """Largest difference over the largest expected magnitude."""
    expected = np.asarray(expected, np.float64)
    return float(np.abs(np.asarray(found, np.float64) - expected).max() / np.abs(expected).max())


def watch(model, places: list[str]) -> dict[str, np.ndarray]:
    """Keeps the outputs of named Cells at the next call."""
    seen = {}

    def keep_as(name):
        def keep(cell, inputs, output):
            seen[name] = output.asnumpy()
        return keep

    for name, cell in model.cells_and_names():
        if name in places:
            cell.register_forward_hook(keep_as(name))
    return seen


def _stream(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def _is_block_projection(name: str) -> bool:
    parts = name.split(".")
    return parts[0].startswith("stage") and parts[2:] == ["proj", "weight"]
