"""Published weight names and ours: which array of a file belongs to which weight of a model, and what does not fit."""

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

# PyTorch's names of a norm's four arrays, MindSpore's names, by last component.
_RENAMED = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_PUBLISHED = {ours: published for published, ours in _RENAMED.items()}
# Buffers that hold no weights: counters of norms, and tables that our models compute.
_BUFFERS = frozenset({
    "num_batches_tracked", "warm", "iter", "total_step", "relative_position_index", "attn_mask", "attention_bias_idxs",
    "attention_bias_idxs_seg",
})
# The rest of a training state.
_STATE_PREFIXES = ("optimizer.", "ema.")

_LISTED = 8
_HEAD = re.compile(r"(\w*head|fc)\.")   # ours and PyTorch's classifier
_PLUGIN = re.compile(r"blocks\.\d+\.attn\.[qv]_tocom\.")
_NORM_LAYOUTS = {
    "prep_bn": re.compile(r"(^|\.)norm\w*\.norm2\.bn\."),
    "rep_bn": re.compile(r"(^|\.)norm\w*\.bn\."),
    "layer_norm": re.compile(r"(^|\.)norm\w*\.(weight|gamma)$"),
}


@dataclasses.dataclass(frozen=True)
class Matching:
    """`pairs`: our name -> its array; `adapted` lists those that were made to fit. The other fields name what stays
    without a partner; shapes are (file's, model's)."""

    pairs: dict[str, np.ndarray]
    adapted: list[str]
    missing: list[str]
    unexpected: list[str]
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    hint: str

    def __str__(self) -> str:
        shapes = [f"{name}: {_size(file)} in the file, {_size(model)} in the model"
                  for name, (file, model) in self.mismatched.items()]
        parts = [
            _listed(self.adapted, "adapted"),
            _listed(self.missing, "missing"),
            _listed(self.unexpected, "unexpected"),
            _listed(shapes, "of another shape"),
            self.hint,
        ]
        return "; ".join(filter(None, parts))


def is_plugin(name: str) -> bool:
    """Whether a weight belongs to a plugin that a model can have besides its own weights."""
    return _PLUGIN.search(name) is not None


def match_weights(
    arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]],
    adapt: Callable[[str, np.ndarray], np.ndarray | None] | None = None,
) -> Matching:
    """Pairs a checkpoint's arrays with a model's weights, given by name and shape.

    Where no name of the file is one of the model's, all are taken with the prefix before them, or without a prefix of
    theirs, that makes most of them fit: so a file of a backbone fits the backbone of a model.

    adapt: our name and an array of another shape -> the array in the model's shape, or None.
    """
    names = _our_names(arrays, shapes)
    pairs, adapted, mismatched = {}, [], {}
    for name, ours in names.items():
        array = arrays[name]
        fitting = array if adapt is None or array.shape == shapes[ours] else adapt(ours, array)
        if fitting is None or fitting.shape != shapes[ours]:
            mismatched[ours] = (array.shape, shapes[ours])
            continue
        pairs[ours] = fitting
        if fitting is not array:
            adapted.append(ours)
    unexpected = [name for name in arrays if name not in names and not _is_ignorable(name)]
    missing = [name for name in shapes if name not in pairs and name not in mismatched]
    hint = (_lone_plugin_hint(arrays, missing) or _norm_hint(arrays, shapes) or _distillation_hint(missing, unexpected)
            or _specific_hint(pairs, mismatched, missing, unexpected))
    return Matching(pairs, adapted, missing, unexpected, mismatched, hint)


def _our_names(names: Iterable[str], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """The file's names -> ours; of two that are one of ours the first is taken."""
    off, on = _find_move(names, shapes)
    found: dict[str, str] = {}
    for name in names:
        ours = _our_name(on + name.removeprefix(off), shapes)
        if ours is not None:
            found.setdefault(ours, name)
    return {name: ours for ours, name in found.items()}


def _find_move(names: Iterable[str], shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, str]:
    """The prefix to take off the file's names, and the one to put before them; one of the two is empty."""
    if any(_our_name(name, shapes) for name in names):
        return "", ""
    known = set(names)
    moves = Counter((prefix, "") for name in names for prefix, rest in _splits(name) if _our_name(rest, shapes))
    moves.update(("", prefix) for name in shapes for prefix, rest in _splits(name) if _either_name(rest) & known)
    return max(moves, key=lambda move: (moves[move], -len("".join(move))), default=("", ""))


def _splits(name: str) -> Iterator[tuple[str, str]]:
    return ((name[:dot.end()], name[dot.end():]) for dot in re.finditer(r"\.", name))


def _either_name(name: str) -> set[str]:
    """One of our names, and the published one."""
    parent, dot, last = name.rpartition(".")
    return {name, f"{parent}{dot}{_PUBLISHED.get(last, last)}"}


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
    return (f'the file has the norms of norm="{in_file}", the model those of norm="{in_model}"; '
            f'build the model with norm="{in_file}"')


def _norm_layout(names: Mapping[str, object]) -> str | None:
    return next((layout for layout, pattern in _NORM_LAYOUTS.items() if any(map(pattern.search, names))), None)


def _distillation_hint(missing: list[str], unexpected: list[str]) -> str:
    for names, has, has_not in ((unexpected, "file", "model"), (missing, "model", "file")):
        if any(name.endswith("dist_token") for name in names):
            return (f"the {has} has a distillation token, the {has_not} has not; "
                    f"build the model with distilled={has == 'file'}")
    return ""


def plugin_weights(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a ToCom plugin by their names in a model, whatever a file has before; no averages or moments."""
    return {name[_PLUGIN.search(name).start():]: array for name, array in arrays.items()
            if is_plugin(name) and not name.startswith(_STATE_PREFIXES)}


def with_plugin(arrays: Mapping[str, np.ndarray], plugin: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A file's arrays and a plugin, before whose names stands what the file's have before `blocks.`."""
    names = (name for name in arrays if not name.startswith(_STATE_PREFIXES) and "blocks." in name)
    before = next((name[:name.index("blocks.")] for name in names), "")
    return {**arrays, **{before + name: array for name, array in plugin.items()}}


def describe_plugin_fault(
    loaded: Iterable[str], mismatched: Mapping[str, tuple], missing: Iterable[str], unexpected: Iterable[str],
) -> str:
    """Why ToCom's plugin does not fit, and what to do; "" if what differs is no weight of one."""
    shapes = {name: pair for name, pair in mismatched.items() if is_plugin(name)}
    lacks, has = any(map(is_plugin, missing)), any(map(is_plugin, unexpected))
    if shapes:
        return _plugin_shape_fault(*next(iter(shapes.items())))
    if not (lacks or has):
        return ""
    if lacks and has or any(map(is_plugin, loaded)):
        return "the plugin is for other blocks than the model's"
    if has:
        return "the file has a ToCom plugin, the model has none; build the model with source_degree"
    return ("the file has no ToCom plugin; name one by `plugin`, or give strict=False to start with one that changes "
            "nothing")


def _plugin_shape_fault(name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> str:
    """adapter_down is (units, width), adapter_up the other way round."""
    if any(len(shape) != 2 for shape in shapes):
        return "the plugin is of another form"
    (units, width), (model_units, model_width) = (
        shape if name.endswith("adapter_down.weight") else shape[::-1] for shape in shapes)
    if width != model_width:
        return f"the plugin is for width {width}, the model's is {model_width}"
    return (f"the plugin has {units} hidden units, the model's {model_units}; "
            f"tocom_units is a sixteenth of that: {_sixteenth(units)}, not {_sixteenth(model_units)}")


def _sixteenth(units: int) -> str:
    return f"{units / 16:g}"


def _specific_hint(
    loaded: Iterable[str], mismatched: dict[str, tuple], missing: list[str], unexpected: list[str],
) -> str:
    """Of the plugin and the head, if nothing else differs."""
    rest = {name: shapes for name, shapes in mismatched.items() if not is_plugin(name)}
    absent, more = ([name for name in names if not is_plugin(name)] for names in (missing, unexpected))
    if not all(map(_HEAD.match, [*rest, *absent, *more])):
        return ""
    plugin = describe_plugin_fault(loaded, mismatched, missing, unexpected)
    return "; ".join(filter(None, (plugin, _head_hint(rest, absent, more))))


def _lone_plugin_hint(names: Iterable[str], missing: list[str]) -> str:
    if missing and names and all(map(is_plugin, names)):
        return ("the file has a ToCom plugin alone; name it by `plugin`, and the weights that it goes with by "
                "`checkpoint`")
    return ""


def _head_hint(mismatched: dict[str, tuple], missing: list[str], unexpected: list[str]) -> str:
    if not (mismatched or missing or unexpected):
        return ""
    if missing or unexpected:
        return "only the head differs; strict=False loads everything else"
    file, model = next(iter(mismatched.values()))
    differs = f"the head is of {file[0]} classes, not {model[0]}" if file[1:] == model[1:] else "only the head differs"
    return f"{differs}; strict=False loads everything else"


def _listed(names: list[str], kind: str) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{len(names)} {kind} ({', '.join(names[:_LISTED])}{more})" if names else ""


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
