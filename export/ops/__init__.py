"""Handlers by family. Importing this package fills the table; a new family is one more line here."""

from msnoah.export.ops import (  # noqa: F401 - imported for what they register
    activation,
    arithmetic,
    convolution,
    linear,
    normalization,
    pooling,
    reduction,
    shape,
)
from msnoah.export.ops.table import HANDLERS, Const, handles

__all__ = ["HANDLERS", "Const", "handles"]
