"""DeiT of 16 patches and width 24, with weights that leave no near-ties, for the tests of merging and of ToCom."""

import mindspore as ms
import numpy as np
from mindspore import nn

from msnoah.nn.step_inputs import weights
from msnoah.registry import create_model
from tests.goldens.slab_goldens import deit_value, fill, published_name
from tests.models.deit_reference import Reference

SIZES = {"image_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 3, "num_classes": 5}


def small_deit(name: str = "deit_tiny_patch16_224", **changes) -> nn.Cell:
    """A variant with the golden rule's weights."""
    model = create_model(name, **{**SIZES, **changes})
    fill(model, deit_value)
    return model


def small_images(count: int = 2) -> ms.Tensor:
    """Random images: (count, 3, 32, 32)"""
    return ms.Tensor(np.random.default_rng(3).standard_normal((count, 3, 32, 32)).astype(np.float32))


def published_arrays(model: nn.Cell) -> dict[str, np.ndarray]:
    """A model's weights by their published names."""
    return {published_name(name): parameter.asnumpy().copy() for name, parameter in weights(model).items()}


def reference_logits(model: nn.Cell, images: ms.Tensor, **degrees) -> np.ndarray:
    """What a model must give, in float64."""
    reference = Reference(published_arrays(model), SIZES["num_heads"])
    return np.stack([reference.logits(image, **degrees) for image in images.asnumpy().astype(np.float64)])
