"""Mixed precision by level, through MindSpore's own lists of the Cells that float16 is safe or unsafe for.

`amp.auto_mixed_precision` is not called: at O1 it rewrites source text and loses a module's constants, at O2 it renames
weights, and leaves the norms in float16 after all (MindSpore 2.10).
"""

import mindspore as ms
from mindspore import amp, nn


def mixed_precision(model: nn.Cell, level: str) -> None:
    """Makes the model compute partly in float16, in place; weights stay float32, under their names.

    O0 nothing; O1 the white list (Dense, convolutions); O2 all but the black list (norms); O3 everything.
    """
    _LEVELS[level](model)


def _in_float32(model: nn.Cell) -> None:
    """Nothing to do: float32 is what Cells compute in."""


def _white_list(model: nn.Cell) -> None:
    _convert(model, amp.get_white_list(), ms.float16)


def _all_but_black_list(model: nn.Cell) -> None:
    model.to_float(ms.float16)
    _convert(model, amp.get_black_list(), ms.float32)


def _everything(model: nn.Cell) -> None:
    model.to_float(ms.float16)


def _convert(model: nn.Cell, kinds: list[type], dtype: ms.Type) -> None:
    listed = tuple(kind for kind in kinds if issubclass(kind, nn.Cell))   # the lists hold primitives, too
    for _, cell in model.cells_and_names():
        if isinstance(cell, listed):
            cell.to_float(dtype)


_LEVELS = {"O0": _in_float32, "O1": _white_list, "O2": _all_but_black_list, "O3": _everything}
