"""What the authors' implementation of SqueezeTime computes; weights are filled as SLAB's, with twice the gain.

The numbers were made in float32 by the original PyTorch models. `squeezetime_contract.json.gz` lists the weights of the
recogniser of 400 classes; that of 51 classes differs by its classifier alone, and so do its outputs.
"""

import gzip
import json
import zlib
from pathlib import Path

import mindspore as ms
import numpy as np

from tests.goldens.slab_goldens import fill, slab_value

FOLDER = Path(__file__).parent
CONTRACT = json.loads(gzip.decompress((FOLDER / "squeezetime_contract.json.gz").read_bytes()))
MODELS, UNITS = (np.load(FOLDER / f"squeezetime_{name}.npz") for name in ("models", "units"))


def squeezetime_value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of a weight of SqueezeTime's goldens, drawn from a stream that its published name seeds."""
    is_kernel = len(shape) > 1 and shape[0] > 1
    return slab_value(name, shape) * (2 if is_kernel and not name.startswith("unit.") else 1)


def fill_squeezetime(model, prefix: str = "") -> None:
    """Gives every weight of a model its golden value."""
    fill(model, squeezetime_value, prefix)


def clip_batch() -> ms.Tensor:
    """The two clips of both goldens: (2, 3, 16, 224, 224)"""
    random = np.random.default_rng(zlib.crc32(b"input"))
    return ms.Tensor(random.standard_normal((2, 3, 16, 224, 224)).astype(np.float32))
