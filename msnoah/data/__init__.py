"""Labelled images as batches: sources, transforms, and a loader that threads feed. Needs no MindSpore."""

from msnoah.data.batches import Batch, BatchLoader
from msnoah.data.preprocessing import preprocess
from msnoah.data.sources import ImageSource, open_source

__all__ = ["Batch", "BatchLoader", "ImageSource", "open_source", "preprocess"]
