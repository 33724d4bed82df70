"""Published weight names and ours: which array of a checkpoint belongs to which weight of a model, and what does not fit."""

import dataclasses
import re
from collections.abc import Mapping

import numpy as np

# PyTorch's names of a norm's four arrays, MindSpore's names, by last component.
_RENAMED = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
# Buffers that hold no weights: counters of norms, and tables that our models compute.
_BUFFERS = frozenset({"num_batches_tracked", "warm", "iter", "total_step", "relative_position_index", "attn_mask"})
# The rest of a training state.
_STATE_PREFIXES = ("optimizer.", "ema.")

_LISTED = 8
_NORM_LAYOUTS = {
    "prep_bn": re.compile(r"(^|\.)norm\w*\.norm2\.bn\."),
    "rep_bn": re.compile(r"(^|\.)norm\w*\.bn\."),
    "layer_norm": re.compile(r"(^|\.)norm\w*\.(weight|gamma)$"),
}


@dataclasses.dataclass(frozen=True)
class Matching:
    """`pairs`: our name -> its array. The other fields name what stays without a partner; shapes are (file's, model's)."""

    pairs: dict[str, np.ndarray]
    missing: list[str]
    unexpected: list[str]
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    hint: str

    def __str__(self) -> str:
        shapes = [f"{name}: {_size(file)} in the file, {_size(model)} in the model" for name, (file, model) in self.mismatched.items()]
        parts = [
            _listed(self.missing, "missing"),
            _listed(self.unexpected, "unexpected"),
            _listed(shapes, "of another shape"),
            self.hint,
        ]
        return "; ".join(filter(None, parts))


def match_weights(arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> Matching:
    """Pairs a checkpoint's arrays with a model's weights, given by name and shape."""
    pairs, unexpected, mismatched = {}, [], {}
    for name, array in arrays.items():
        ours = _our_name(name, shapes)
        if ours is None or ours in pairs or ours in mismatched:
            if ours is not None or not _is_ignorable(name):
                unexpected.append(name)
        elif array.shape != shapes[ours]:
            mismatched[ours] = (array.shape, shapes[ours])
        else:
            pairs[ours] = array
    missing = [name for name in shapes if name not in pairs and name not in mismatched]
    hint = _norm_hint(arrays, shapes) or _head_hint(mismatched, missing, unexpected)
    return Matching(pairs, missing, unexpected, mismatched, hint)


def _our_name(name: str, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    if name in shapes:
        return name
    parent, dot, last = name.rpartition(".")
    renamed = f"{parent}{dot}{_RENAMED.get(last, last)}"
    return renamed if renamed in shapes else None


def _is_ignorable(name: str) -> bool:
    return name.rpartition(".")[2] in _BUFFERS or name.startswith(_STATE_PREFIXES)


def _norm_hint(arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> str:
    in_file, in_model = _norm_layout(arrays), _norm_layout(shapes)
    if None in (in_file, in_model) or in_file == in_model:
        return ""
    return f'the file has the norms of norm="{in_file}", the model those of norm="{in_model}"; build the model with norm="{in_file}"'


def _norm_layout(names: Mapping[str, object]) -> str | None:
    return next((layout for layout, pattern in _NORM_LAYOUTS.items() if any(map(pattern.search, names))), None)


def _head_hint(mismatched: dict[str, tuple], missing: list[str], unexpected: list[str]) -> str:
    is_head = mismatched and all(file[1:] == model[1:] and name.startswith("head") for name, (file, model) in mismatched.items())
    if missing or unexpected or not is_head:
        return ""
    file, model = next(iter(mismatched.values()))
    return f"the head is of {file[0]} classes, not {model[0]}; strict=False loads everything else"


def _listed(names: list[str], kind: str) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{len(names)} {kind} ({', '.join(names[:_LISTED])}{more})" if names else ""


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
