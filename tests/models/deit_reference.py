"""DeiT with ToMe and ToCom in plain NumPy, float64, an image at a time: what our models must compute, written again."""

import numpy as np
from scipy.special import erf

from tests.nn import tome_reference


def mask(degree: int, units_per_degree: int) -> np.ndarray:
    """The last units of all, `units_per_degree` for each of `degree` steps."""
    units = np.zeros(16 * units_per_degree)
    units[len(units) - degree * units_per_degree:] = 1
    return units


class Reference:
    """A model's weights by their published names, and its heads."""

    def __init__(self, arrays: dict[str, np.ndarray], num_heads: int):
        self.arrays = {name: array.astype(np.float64) for name, array in arrays.items()}
        self.num_heads = num_heads
        self.depth = 1 + max(int(name.split(".")[1]) for name in arrays if name.startswith("blocks."))

    def logits(self, image: np.ndarray, counts=None, source=None, scale: float = 0.1) -> np.ndarray:
        """image (3, S, S) -> (classes,). counts, source: merged tokens by block, as run and as trained."""
        x = self.encode(self.embed(image), counts or [0] * self.depth, source, scale)
        x = self.norm("norm", x)
        first = self.dense("head", x[0])
        return (first + self.dense("head_dist", x[1])) / 2 if self.protected == 2 else first

    def embed(self, image: np.ndarray) -> np.ndarray:
        """Patches row by row, special tokens before them, positions added."""
        kernel = self.arrays["patch_embed.proj.weight"]
        patch = kernel.shape[-1]
        rows = image.shape[1] // patch
        patches = image.reshape(3, rows, patch, rows, patch).transpose(1, 3, 0, 2, 4).reshape(rows * rows, -1)
        x = patches @ kernel.reshape(len(kernel), -1).T + self.arrays["patch_embed.proj.bias"]
        special = [self.arrays[name][0] for name in ("cls_token", "dist_token") if name in self.arrays]
        return np.concatenate([*special, x]) + self.arrays["pos_embed"][0]

    def encode(self, x: np.ndarray, counts, source, scale: float) -> np.ndarray:
        """All blocks, merging between attention and MLP."""
        size = np.ones((len(x), 1))
        for block, count in enumerate(counts):
            path = f"blocks.{block}"
            deltas = None if source is None else [self.delta(f"{path}.attn.{name}_tocom", source[block], count, scale)
                                                  for name in "qv"]
            attended, metric = self.attention(f"{path}.attn", self.norm(f"{path}.norm1", x), size, deltas)
            x = x + attended
            if count:
                x, size = tome_reference.merge(x, size, metric, count, self.protected)
            hidden = self.dense(f"{path}.mlp.fc1", self.norm(f"{path}.norm2", x))
            x = x + self.dense(f"{path}.mlp.fc2", hidden * (1 + erf(hidden / np.sqrt(2))) / 2)
        return x

    def attention(self, path: str, x: np.ndarray, size: np.ndarray, deltas):
        """Attention with sizes, and the mean of the keys over the heads."""
        q, k, v = np.split(self.dense(f"{path}.qkv", x), 3, axis=1)
        if deltas is not None:
            q, v = q + x @ deltas[0].T, v + x @ deltas[1].T
        q, k, v = (a.reshape(len(x), self.num_heads, -1).transpose(1, 0, 2) for a in (q, k, v))
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1]) + np.log(size).T
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = weights / weights.sum(-1, keepdims=True) @ v
        return self.dense(f"{path}.proj", mixed.transpose(1, 0, 2).reshape(len(x), -1)), k.mean(0)

    def delta(self, path: str, source: int, target: int, scale: float) -> np.ndarray:
        """The plugin's map as a matrix (C, C)."""
        down, up = self.arrays[f"{path}.adapter_down.weight"], self.arrays[f"{path}.adapter_up.weight"]
        units = len(down) // 16
        return scale * (up * (mask(target, units) - mask(source, units))) @ down

    def norm(self, path: str, x: np.ndarray) -> np.ndarray:
        """LayerNorm."""
        centred = x - x.mean(-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return centred / deviation * self.arrays[f"{path}.weight"] + self.arrays[f"{path}.bias"]

    def dense(self, path: str, x: np.ndarray) -> np.ndarray:
        """A linear layer."""
        return x @ self.arrays[f"{path}.weight"].T + self.arrays[f"{path}.bias"]

    @property
    def protected(self) -> int:
        """Tokens that are never merged."""
        return 2 if "dist_token" in self.arrays else 1
