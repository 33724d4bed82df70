"""Real images: crops of scikit-learn's two photographs, and articles of Fashion-MNIST, at 224 pixels."""

import gzip
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_sample_images

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")


def photographs(count: int) -> np.ndarray:
    """Crops of 80 to 427 pixels, of each photograph in turn, normalised as for ImageNet: (count, 3, 224, 224)"""
    rng, sources = np.random.default_rng(0), load_sample_images().images
    crops = []
    for index in range(count):
        image = sources[index % len(sources)]
        size = rng.integers(80, min(image.shape[:2]) + 1)
        top, left = (rng.integers(0, extent - size + 1) for extent in image.shape[:2])
        crops.append(_prepare(image[top:top + size, left:left + size]))
    return np.stack(crops)


def fashion_articles(count: int) -> np.ndarray:
    """The first articles of the test set, eight times as large, in grey: (count, 3, 224, 224)"""
    pixels = np.frombuffer(gzip.decompress(FASHION_MNIST.read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28)
    return np.stack([_prepare(np.repeat(image[:, :, None], 3, 2)) for image in pixels[:count]])


def _prepare(image: np.ndarray) -> np.ndarray:
    resized = cv2.resize(image, (224, 224), interpolation=cv2.INTER_CUBIC)
    return ((resized / 255 - MEAN) / DEVIATION).transpose(2, 0, 1).astype(np.float32)
