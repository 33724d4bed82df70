"""Mixing a batch with its mirror image: the targets say what the pixels show, for images and clips alike."""

import numpy as np
import pytest

from msnoah.data.mixup import mix
from msnoah.train_config import MixupConfig

ONLY = {"cutmix": MixupConfig(mixup_alpha=0), "mixup": MixupConfig(cutmix_alpha=0)}


@pytest.mark.parametrize("kind", ONLY)
@pytest.mark.parametrize("shape", [(2, 3, 10, 12), (2, 3, 4, 10, 12)], ids=["images", "clips"])
def test_targets_are_the_shares_of_the_pixels(kind, shape):
    images = np.stack([np.zeros(shape[1:], np.float32), np.ones(shape[1:], np.float32)])
    targets = mix(images, np.eye(2, dtype=np.float32), ONLY[kind], np.random.default_rng(5))
    share = images.reshape(2, -1).mean(1)   # of the second image, which is all ones
    assert 0 < share[0] < 1
    np.testing.assert_allclose(targets[:, 1], share, atol=1e-6)   # float32 sums of at most 1,440 numbers
    flat = images.reshape(2, -1, *shape[-2:])
    assert (flat == flat[:, :1]).all(), "every channel and frame is mixed alike"
