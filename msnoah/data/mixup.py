"""Mixup (Zhang et al., 2018) and CutMix (Yun et al., 2019): a batch with its mirror image, one draw for the batch."""

import math

import numpy as np

from msnoah.train_config import MixupConfig


def smooth_targets(labels: np.ndarray, classes: int, smoothing: float) -> np.ndarray:
    """Labels (B,) as (B, K) float32: smoothing / K everywhere, and 1 - smoothing more at the label."""
    targets = np.full((len(labels), classes), smoothing / classes, np.float32)
    targets[np.arange(len(labels)), labels] = 1 - smoothing + smoothing / classes
    return targets


def mix(images: np.ndarray, targets: np.ndarray, config: MixupConfig, random: np.random.Generator) -> np.ndarray:
    """Mixes images (B, C, H, W) or clips (B, C, T, H, W), float32, in place, and returns the mixed targets, (B, K).

    lam, the share that an image keeps, is drawn from Beta(alpha, alpha); CutMix's is corrected to the box that fits.
    """
    cut, lam = _draw(config, random)
    if lam == 1:
        return targets
    if cut:
        lam = _cut(images, lam, random)
    else:
        images[:] = np.float32(lam) * images + np.float32(1 - lam) * images[::-1]
    return np.float32(lam) * targets + np.float32(1 - lam) * targets[::-1]


def _draw(config: MixupConfig, random: np.random.Generator) -> tuple[bool, float]:
    alphas = {True: config.cutmix_alpha, False: config.mixup_alpha}
    if not any(alphas.values()) or random.random() >= config.probability:
        return False, 1.0
    both = all(alphas.values())
    cut = random.random() < config.switch_probability if both else config.cutmix_alpha > 0
    return cut, random.beta(alphas[cut], alphas[cut])


def _cut(images: np.ndarray, lam: float, random: np.random.Generator) -> float:
    """Pastes one box of the mirrored batch; returns the share that is left of each image."""
    height, width = images.shape[-2:]
    side = math.sqrt(1 - lam)
    rows, columns = _span(height, side, random), _span(width, side, random)
    images[..., rows, columns] = images[::-1, ..., rows, columns].copy()
    return 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)


def _span(length: int, share: float, random: np.random.Generator) -> slice:
    half, centre = int(length * share) // 2, int(random.integers(length))
    return slice(max(centre - half, 0), min(centre + half, length))
