"""A DeiT with ToCom's plugin that is small enough for tests, and weights under which degrees make a difference."""

import numpy as np
from mindspore import Tensor, ops

from msnoah.checkpoint import save_weights
from msnoah.data.batches import Batch
from msnoah.nn import step_inputs
from msnoah.registry import create_model
from msnoah.weight_names import is_plugin

SIZES = {"patch_size": 2, "embed_dim": 16, "depth": 2, "num_heads": 2}   # of images of 8 x 8: 17 tokens
NAME = "deit_tiny_patch16_224_tocom"
BATCH = 6


def small_tocom(seed: int = 0, **arguments):
    """The model at its degrees, all weights drawn from a normal distribution, the plugin's too."""
    model = create_model(NAME, **{"image_size": 8, "in_channels": 1, "num_classes": 10, **SIZES, **arguments})
    random = np.random.default_rng(seed)
    for name, weight in step_inputs.weights(model).items():
        if not name.endswith(("gamma", "beta")):
            deviation = 1.5 / np.sqrt(np.prod(weight.shape[1:])) if weight.shape[0] > 1 else 0.5
            deviation = 0.1 if name.endswith("bias") else deviation
            ops.assign(weight, Tensor((deviation * random.standard_normal(weight.shape)).astype(np.float32)))
    step_inputs.prepare_drops(model, BATCH)
    return model


def save_body(path, **arguments) -> str:
    """A checkpoint of the model without its plugin."""
    sizes = {"image_size": 8, "in_channels": 1, "num_classes": 10, **SIZES, **arguments}
    plain = create_model(NAME.removesuffix("_tocom"), tokens_merged=2, **sizes)
    source = step_inputs.weights(small_tocom(**arguments))
    for name, weight in step_inputs.weights(plain).items():
        ops.assign(weight, source[name])
    save_weights(plain, path, {})
    return str(path)


def values(model, plugin: bool | None = None) -> dict[str, np.ndarray]:
    """Copies of the weights; of the plugin alone, or of all others."""
    found = {name: weight.asnumpy().copy() for name, weight in step_inputs.weights(model).items()}
    return {name: value for name, value in found.items() if plugin is None or is_plugin(name) == plugin}


def batch(seed: int = 0) -> Batch:
    """Noise, with labels that training shall not look at."""
    images = np.random.default_rng(seed).standard_normal((BATCH, 1, 8, 8)).astype(np.float32)
    return Batch(images, np.full((BATCH, 10), np.nan, np.float32), np.zeros(BATCH, np.int32), BATCH)
