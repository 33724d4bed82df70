"""Training of a part of a model: all other weights keep their bits, and norms among them their batch statistics."""

import difflib

from mindspore import Parameter, nn

from msnoah.errors import ConfigError
from msnoah.training.bn_reestimation import batch_norms


def freeze(weights: dict[str, Parameter], parts: list[str]) -> dict[str, Parameter]:
    """Leaves trainable what has one of `parts` in its name, and everything if there are none; returns what may change.

    Batch statistics go by their names as weights do. ConfigError for a part that is in no name, or if nothing is left
    to train.
    """
    for part in parts:
        if not any(part in name for name in weights):
            raise ConfigError(f"train.trainable: no weight's name holds '{part}'; {_nearest(part, weights)}")
    changing = {name: weight for name, weight in weights.items() if not parts or any(part in name for part in parts)}
    for name in weights.keys() - changing.keys():
        weights[name].requires_grad = False
    if not any(weight.requires_grad for weight in changing.values()):
        raise ConfigError(f"train.trainable: {', '.join(parts)} names batch statistics alone; name weights to train")
    return changing


def frozen_norms(model: nn.Cell, changing: dict[str, Parameter]) -> list[nn.Cell]:
    """Norms whose statistics are not among what may change."""
    return [norm for norm in batch_norms(model) if norm.moving_mean.name not in changing]


def _nearest(part: str, names: dict[str, Parameter]) -> str:
    words = sorted({word for name in names for word in name.split(".") if not word.isdecimal()})
    close = difflib.get_close_matches(part, words, n=1)
    return f"did you mean '{close[0]}'?" if close else f"names are made of {', '.join(words)}"
