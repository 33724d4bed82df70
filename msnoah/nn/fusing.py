"""Fusing: a model without its training-time parts that computes what the model computes in evaluation."""

import copy
from collections.abc import Callable

from mindspore import nn


def fuse(model: nn.Cell) -> nn.Cell:
    """A new Cell, in evaluation mode, that computes the same with fewer layers; the model itself stays as it is.

    A Cell that has a simpler equivalent gives it by a method `fuse(self) -> nn.Cell` that changes nothing; its
    docstring has the algebra. Children are asked before their parents, so a parent sees fused children. Where two
    siblings fold into one, such as a norm and the Dense after it, their parent has the method.
    """
    fused = _fuse(copy.deepcopy(model))
    for name, parameter in fused.parameters_and_names():
        parameter.name = name
    return fused.set_train(False)


def _fuse(cell: nn.Cell) -> nn.Cell:
    for name, child in list(cell.name_cells().items()):
        replacement = _fuse(child)
        if replacement is not child:
            _replace(cell, name, replacement)
    return cell.fuse() if hasattr(cell, "fuse") else cell


def replace_cells(model: nn.Cell, kind: type, make: Callable[[nn.Cell], nn.Cell]) -> nn.Cell:
    """The model itself, with make(cell) in place of each part of exactly this type."""
    for _, parent in list(model.cells_and_names()):
        for name, child in list(parent.name_cells().items()):
            if type(child) is kind:
                _replace(parent, name, make(child))
    return model


def _replace(parent: nn.Cell, name: str, child: nn.Cell) -> None:
    if isinstance(parent, (nn.CellList, nn.SequentialCell)):
        parent[list(parent.name_cells()).index(name)] = child   # setattr would leave the old child in its list
    else:
        setattr(parent, name, child)
