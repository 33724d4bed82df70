"""MindIR and Cells to verified ONNX. Public names are loaded on first use: MindSpore and onnx cost time and memory."""

import importlib

if __name__ != "msnoah.export":
    raise ImportError("import 'msnoah.export', not 'export'")

_PUBLIC = {
    "mindir_to_onnx": "msnoah.export.converter",
    "export_onnx": "msnoah.export.cell_conversion",
    "make_axes_dynamic": "msnoah.export.dynamic_axes",
    "filter_minimally": "msnoah.export.minimal_filtering",
    "save_onnx": "msnoah.export.onnx_file",
    "verify_onnx": "msnoah.export.comparison",
    "handles": "msnoah.export.ops",
    "Const": "msnoah.export.ops",
    "list_primitives": "msnoah.export.catalog",
    "list_passes": "msnoah.export.passes",
    "read_mindir": "msnoah.export.reader",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'msnoah.export' has no attribute '{name}'")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__():
    return __all__
