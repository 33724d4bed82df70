"""Handlers by family. Importing this package imports every module in its folder, which fills the table."""

import importlib
import pkgutil

from msnoah.export.ops.table import HANDLERS, Const, handles

for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_module}")

__all__ = ["HANDLERS", "Const", "handles"]
