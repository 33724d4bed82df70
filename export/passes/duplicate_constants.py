"""Constants with the same contents."""

from msnoah.export.onnx_graph import OnnxGraph


def merge_duplicate_constants(graph: OnnxGraph) -> bool:
    """Keeps the first of constants that are equal in type, shape and bytes."""
    first, changed = {}, False
    for name, array in list(graph.constants.items()):
        kept = first.setdefault((array.dtype.str, array.shape, array.tobytes()), name)
        if kept != name:
            graph.replace(name, kept)
            del graph.constants[name]
            changed = True
    return changed
