"""Constants with the same contents."""

import numpy as np

from msnoah.export.onnx_graph import OnnxGraph

SAMPLE = 64
"""Elements by which most constants that differ are told apart, without reading the rest."""


def merge_duplicate_constants(graph: OnnxGraph) -> bool:
    """Keeps the first of constants that are equal in type, shape and bytes."""
    groups, changed = {}, False
    for name, array in list(graph.constants.items()):
        group = groups.setdefault((array.dtype.str, array.shape, _sample(array)), [])
        kept = next((other for other in group if _same_bytes(graph.constants[other], array)), None)
        if kept is None:
            group.append(name)
            continue
        graph.replace(name, kept)
        del graph.constants[name]
        changed = True
    return changed


def _sample(array: np.ndarray) -> bytes:
    return array.flat[::max(1, array.size // SAMPLE)].tobytes()


def _same_bytes(array: np.ndarray, other: np.ndarray) -> bool:
    return array is other or array.tobytes() == other.tobytes()
