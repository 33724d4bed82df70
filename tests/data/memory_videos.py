"""A VideoSource in memory, which counts what is read of it."""

import numpy as np

from msnoah.errors import DataError


class MemoryVideo:
    def __init__(self, frames, broken=()):
        self.frames, self.broken, self.read_frames = frames, set(broken), []

    def __len__(self):
        return len(self.frames)

    def read(self, indices):
        self.read_frames += indices
        if self.broken & set(indices):
            raise DataError("a frame cannot be decoded")
        return self.frames[indices]


class MemoryVideos:
    """Videos of soft noise, (count, height, width, 3) each: no two frames alike, and JPEG keeps them well."""

    classes = ["only"]

    def __init__(self, *counts, height=40, width=52, broken=(), names=None):
        self.labels = np.zeros(len(counts), np.int32)
        frames = [soft_frames(count, height, width, seed) for seed, count in enumerate(counts)]
        self.videos = [MemoryVideo(each, broken) for each in frames]
        self.names = names or [f"memory clip {index}" for index in range(len(counts))]
        self.opened = []

    def __len__(self):
        return len(self.videos)

    def video(self, index):
        self.opened.append(index)
        return self.videos[index]

    def name(self, index):
        return self.names[index]


def soft_frames(count, height, width, seed=0):
    """Frames of blocks of 8 x 8 pixels, (count, height, width, 3) uint8."""
    blocks = np.random.default_rng(seed).integers(0, 256, (count, -(-height // 8), -(-width // 8), 3), np.uint8)
    return np.ascontiguousarray(blocks.repeat(8, 1).repeat(8, 2)[:, :height, :width])
