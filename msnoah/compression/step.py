"""One checkpoint against the reconstruction of the one before: pruned, clustered, and back (ExCP).

    d = W - W^   kept where weight_mask says, its moments where moment_mask does; the rest is 0
    each of d, m, v of a tensor -> the index of one of 2^b - 1 centres where it is kept
    W^' = W^ + centre(d)   m^' = centre(m)   v^' = centre(v)

What is left out would be one more index, 0. It is written as masks instead: one bit a weight, and one for each kept
change, which both moments share.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from msnoah.compression.clustering import find_centres, nearest
from msnoah.compression.pruning import moment_mask, weight_mask
from msnoah.compression.settings import ExcpSettings
from msnoah.compression.tensors import State, Tensor, find_tensors


@dataclass(frozen=True)
class Step:
    """A coded checkpoint; of all tensors one after another, row by row of `tensors`.

    Attributes:
        tensors: of each its name and those of its moments, shape, number of centres of d, m and v, kept changes and
            kept moments.
        kept: (weights,) booleans.
        changes: (kept,) uint8 indices.
        kept_moments: booleans, one for each kept change of a tensor that has moments.
        first: (kept moments,) uint8 indices.
        second: likewise, of tensors that have a second one.
        centres: (n,) float32, of d, m and v of each tensor in their order.
        raw: the arrays that are kept as they are.
    """

    tensors: list[dict[str, Any]]
    kept: np.ndarray
    changes: np.ndarray
    kept_moments: np.ndarray
    first: np.ndarray
    second: np.ndarray
    centres: np.ndarray
    raw: dict[str, np.ndarray]


class _Codes(NamedTuple):
    """Of one tensor, as Step's fields of these names."""

    kept: np.ndarray
    changes: np.ndarray
    kept_moments: np.ndarray
    first: np.ndarray
    second: np.ndarray


_TYPES = _Codes(np.bool_, np.uint8, np.bool_, np.uint8, np.uint8)
Clusters = tuple[np.ndarray, np.ndarray]
_NOTHING: Clusters = np.zeros(0, np.uint8), np.zeros(0, np.float32)


def encode_step(state: State, reference: State, settings: ExcpSettings) -> Step:
    """Codes a state against the reconstruction of its predecessor; `decode_step` gives what will be restored.

    Args:
        state: arrays by name as a training state has them: weights, optimizer.first_moment.*, ...
        reference: weights by name, other arrays are not looked at.
        settings: how much is left out.
    """
    tensors = find_tensors(state, reference)
    rows, parts, centres = [], [], []
    for tensor in tensors:
        codes, found = _encode_tensor(tensor, state, reference, settings)
        rows.append({**asdict(tensor), "shape": list(state[tensor.name].shape), "centres": [len(c) for c in found],
                     "kept": len(codes.changes), "kept_moments": len(codes.first)})
        parts.append(codes)
        centres += found
    covered = {name for tensor in tensors for name in tensor.names}
    joined = (_join([codes[i] for codes in parts], dtype) for i, dtype in enumerate(_TYPES))
    raw = {name: array for name, array in state.items() if name not in covered}
    return Step(rows, *joined, _join(centres, np.float32), raw)


def decode_step(step: Step, reference: State) -> dict[str, np.ndarray]:
    """The state that a step restores, by name, in the same bits each time.

    Raises:
        KeyError, ValueError, IndexError: a step that does not belong to this reference.
    """
    state, take = dict(step.raw), _Taking(step)
    for row in step.tensors:
        shape, first = tuple(row["shape"]), row["first"]
        places = np.flatnonzero(take("kept", int(np.prod(shape))))
        weights = reference[row["name"]].flatten()
        weights[places] += _values(take("changes", row["kept"]), take("centres", row["centres"][0]))
        state[row["name"]] = weights.reshape(shape)
        if first:
            places = places[take("kept_moments", row["kept"])]
        for stream, count in zip(("first", "second"), row["centres"][1:], strict=True):
            if row[stream]:
                moment = np.zeros(len(weights), np.float32)
                moment[places] = _values(take(stream, row["kept_moments"]), take("centres", count))
                state[row[stream]] = moment.reshape(shape)
    return state


class _Taking:
    """Goes through the fields of a step: each call gives the next numbers of one."""

    def __init__(self, step: Step):
        self._step, self._places = step, {}

    def __call__(self, field: str, count: int) -> np.ndarray:
        start = self._places.get(field, 0)
        self._places[field] = start + count
        return getattr(self._step, field)[start:start + count]


def _encode_tensor(
    tensor: Tensor, state: State, reference: State, settings: ExcpSettings,
) -> tuple[_Codes, list[np.ndarray]]:
    """The indices, and the centres of d, m and v."""
    change = (state[tensor.name] - reference[tensor.name]).reshape(-1)
    first, second = (state[name].reshape(-1) if name else None for name in (tensor.first, tensor.second))
    most = 2 ** settings.bits - 1
    kept = weight_mask(change, second, settings)
    moments = np.zeros(0, np.bool_) if first is None else moment_mask(first, kept, settings)
    changes = _cluster(change, kept, most)
    clusters = [_NOTHING if moment is None else _cluster(moment, moments, most) for moment in (first, second)]
    kept_moments = moments if first is None else moments[kept]
    indices, centres = zip(changes, *clusters, strict=True)
    return _Codes(kept, indices[0], kept_moments, *indices[1:]), list(centres)


def _cluster(values: np.ndarray, kept: np.ndarray, most: int) -> Clusters:
    """Indices of the values that are kept, and the centres that they stand for."""
    chosen = values[kept]
    if not len(chosen):
        return _NOTHING
    centres = find_centres(chosen, most)
    return nearest(chosen, centres), centres


def _values(indices: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return centres[indices] if len(indices) else np.zeros(0, np.float32)


def _join(parts: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *parts])
