"""Models by name: the name of a model is the name of its factory, and `create_model` is the only door."""

import difflib
import fnmatch
import importlib
import inspect
import typing
from collections.abc import Callable
from os import PathLike

from msnoah.errors import ModelError

_FACTORIES: dict[str, Callable] = {}


def register_model(factory: Callable) -> Callable:
    """Registers a factory (`def slab_deit_tiny(**kwargs) -> SLABDeiT`) under its own name; two of one name are an error."""
    name = factory.__name__
    if name in _FACTORIES:
        here, there = factory.__module__, _FACTORIES[name].__module__
        raise ModelError(f"{here}: model '{name}' is registered already, by {there}; rename one of them")
    _FACTORIES[name] = factory
    return factory


def list_models(pattern: str = "*") -> list[str]:
    """Names of the registered models that match a shell pattern, sorted."""
    _load_models()
    return sorted(fnmatch.filter(_FACTORIES, pattern))


def create_model(
    name: str, *, checkpoint: str | PathLike | None = None, plugin: str | PathLike | None = None, strict: bool = True,
    **kwargs,
):
    """Builds a registered model, an `mindspore.nn.Cell` in evaluation mode.

    Args:
        name: one of `list_models()`.
        checkpoint: weights to load by name: .ckpt, .safetensors, or a published .pth.
        plugin: a file whose ToCom plugin is loaded besides; only with a checkpoint.
        strict: refuse a checkpoint whose names or shapes do not all match; False loads what fits.
        **kwargs: sizes of the model, such as num_classes, image_size or depth.

    Raises:
        ModelError: an unknown name or argument, with the nearest right ones.
        CheckpointError: a checkpoint that is damaged or does not fit.
    """
    factory = find_factory(name)
    check_arguments(name, kwargs)
    model = factory(**kwargs)
    if checkpoint is not None:
        importlib.import_module("msnoah.checkpoint").load_checkpoint(model, checkpoint, plugin=plugin, strict=strict)
    elif plugin is not None:
        raise ModelError(f"plugin={str(plugin)!r}: a plugin goes with the weights that it was trained for; give checkpoint too")
    return model


def find_factory(name: str) -> Callable:
    """The factory registered under a name; ModelError with the nearest names if there is none."""
    _load_models()
    if name not in _FACTORIES:
        raise ModelError(f"unknown model '{name}'; {_nearest(name, _FACTORIES)} (`msnoah models` lists all)")
    return _FACTORIES[name]


def check_arguments(name: str, arguments: typing.Iterable[str]) -> None:
    """Refuses argument names that the model's constructor does not know."""
    model_class = typing.get_type_hints(find_factory(name))["return"]
    known = [key for key in inspect.signature(model_class).parameters]
    for argument in arguments:
        if argument not in known:
            raise ModelError(f"model '{name}' takes no argument '{argument}'; {_nearest(argument, known)}")


def _load_models() -> None:
    # By name and late: the models import MindSpore, which costs seconds.
    importlib.import_module("msnoah.models")


def _nearest(name: str, known: typing.Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"did you mean {' or '.join(repr(c) for c in close)}?" if close else f"known: {', '.join(sorted(known))}"
