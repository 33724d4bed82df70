"""msnoah: MindSpore models trained from a YAML, exported as verified MindIR and ONNX, profiled on the device.

Public names are loaded on first use: importing MindSpore costs seconds and 400 MB.
"""

import importlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version

__version__ = "0.1.0"

_PUBLIC = {
    "create_model": "msnoah.registry",
    "list_models": "msnoah.registry",
    "register_model": "msnoah.registry",
    "load_config": "msnoah.config_file",
    "RunConfig": "msnoah.config",
    "RunFolder": "msnoah.run_folder",
    "MsnoahError": "msnoah.errors",
    "load_checkpoint": "msnoah.checkpoint",
    "fuse": "msnoah.nn.fusing",
}
__all__ = sorted(_PUBLIC)

# MindSpore's oneDNN picks its reference convolution on AVX-512 machines, 70 times slower; capped at AVX2 it takes the
# fast one. It is read when MindSpore is imported, so it must be set before. A user's own setting wins.
# MSNOAH_CAPS_ONEDNN tells processes of other runtimes that the setting is ours, and not meant for them.
if platform.machine() in ("x86_64", "AMD64") and "ONEDNN_MAX_CPU_ISA" not in os.environ:
    os.environ |= {"ONEDNN_MAX_CPU_ISA": "AVX2", "MSNOAH_CAPS_ONEDNN": "1"}
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")   # FFmpeg's own reports of damaged videos; read at the first one

def _has_mindspore(*release: int) -> bool:
    try:
        return tuple(map(int, version("mindspore").split(".")[:2])) >= release
    except PackageNotFoundError:
        return False


# MindSpore chooses protobuf's pure Python implementation, 20 times slower on MindIR and ONNX files. 2.7 cannot do without
# it, 2.10 can; releases between were not tried.
if _has_mindspore(2, 10):
    os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "upb")


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'msnoah' has no attribute '{name}'")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__():
    return __all__
