"""Weights on disk: a model's saved, and loaded by name from .ckpt, .safetensors or .pth."""

import dataclasses
import functools
import logging
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor, nn, ops

from msnoah.errors import CheckpointError
from msnoah.nn.step_inputs import weights
from msnoah.state_file import save_state
from msnoah.weight_names import Matching, describe_plugin_fault, is_plugin, match_weights, plugin_weights, with_plugin
from msnoah.weights_file import read_weights

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What became of a checkpoint's arrays, by name; `mismatched` has the two shapes, the file's and the model's.

    `adapted` are those of the loaded whose shape was another one and which the model made fit.
    """

    loaded: list[str]
    adapted: list[str]
    missing: list[str]
    unexpected: list[str]
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]


def load_checkpoint(
    model: nn.Cell, path: str | PathLike, *, plugin: str | PathLike | None = None, strict: bool = True,
    new_plugin: bool = False,
) -> LoadReport:
    """Loads a .ckpt, .safetensors or .pth (told apart by content) into a model by name; published names are translated.

    Args:
        model: its weights are replaced; step inputs are neither expected nor loaded. Where files of other programs name
            or shape the same weights differently, it has a method `translate_weights(arrays)` that returns them as its
            own.
        path: the file. Of a training state (last.ckpt) the model's own weights are taken.
        plugin: a file whose ToCom plugin (`*_tocom.*`) is taken, and nothing else of it; `path` need not have one then.
        strict: all names and shapes must match, but for a prefix that all names share or lack. False loads what fits,
            and logs what does not; an array of another shape is loaded if a Cell of the model makes it fit, by a method
            `adapt_weight(name, array)` that takes the weight's name in this Cell and returns the array in its new
            shape, or None.
        new_plugin: a plugin of which the files hold nothing is not asked for, and stays as it was built.

    Raises:
        CheckpointError: a file that cannot be read or is damaged, one that does not match (strict), or of which nothing
            fits. The model is then as it was.
    """
    parameters = weights(model)
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    arrays = read_weights(Path(path))
    if plugin is not None:
        arrays = with_plugin(arrays, _read_plugin(Path(plugin)))
    if hasattr(model, "translate_weights"):
        arrays = model.translate_weights(arrays)
    if new_plugin and not any(map(is_plugin, arrays)):
        shapes = {name: shape for name, shape in shapes.items() if not is_plugin(name)}
    matching = match_weights(arrays, shapes, None if strict else functools.partial(_adapt, model))
    _check_matching(matching, path, plugin, strict)
    for name, array in matching.pairs.items():
        parameter = parameters[name]
        ops.assign(parameter, Tensor(np.array(array), parameter.dtype))   # set_data would not reach compiled functions
    return LoadReport(
        list(matching.pairs), matching.adapted, matching.missing, matching.unexpected, matching.mismatched)


def _check_matching(matching: Matching, path: str | PathLike, plugin: str | PathLike | None, strict: bool) -> None:
    """Of a plugin that is named, all must fit whether strict or not."""
    fits = not (matching.missing or matching.unexpected or matching.mismatched)
    if (strict and not fits) or not matching.pairs:
        files = path if plugin is None else f"{path} with {plugin}"
        raise CheckpointError(f"{files}: does not fit the model: {matching}")
    fault = describe_plugin_fault(matching.pairs, matching.mismatched, matching.missing, matching.unexpected)
    if plugin is not None and fault:
        raise CheckpointError(f"{plugin}: does not fit the model: {fault}")
    if not fits or matching.adapted:
        _LOG.warning("%s: loaded in part: %s", path, matching)


def _adapt(model: nn.Cell, name: str, array: np.ndarray) -> np.ndarray | None:
    for path, cell in model.cells_and_names():
        prefix = f"{path}." if path else ""
        adapt = getattr(cell, "adapt_weight", None)
        fitting = adapt(name.removeprefix(prefix), array) if adapt and name.startswith(prefix) else None
        if fitting is not None:
            return fitting
    return None


def save_weights(model: nn.Cell, path: str | PathLike, metadata: dict[str, Any]) -> None:
    """Writes a model's weights as a .ckpt that MindSpore reads too, with JSON-able metadata, in one step.

    Raises:
        RunFolderError: the system refused to write; the earlier file is kept.
    """
    save_state(path, {name: parameter.asnumpy() for name, parameter in weights(model).items()}, metadata)


def _read_plugin(path: Path) -> dict[str, np.ndarray]:
    found = plugin_weights(read_weights(path))
    if not found:
        raise CheckpointError(
            f"{path}: holds no ToCom plugin (weights named blocks.N.attn.q_tocom.adapter_down.weight ...)")
    return found
