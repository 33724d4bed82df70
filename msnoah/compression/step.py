"""One checkpoint against the reconstruction of the one before: pruned, clustered, and back (ExCP).

    d = W - W^   kept where weight_mask says, its moments where moment_mask does; the rest is 0
    each of d, m, v of a tensor -> the index of one of 2^b - 1 centres, and 0 for what was left out
    W^' = W^ + centre(d)   m^' = centre(m)   v^' = centre(v)

Moments are kept only where a change is, so their indices are written for those places alone.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from msnoah.compression.clustering import find_centres, nearest
from msnoah.compression.pruning import moment_mask, weight_mask
from msnoah.compression.settings import ExcpSettings
from msnoah.compression.tensors import State, Tensor, find_tensors

STREAMS = ("changes", "first", "second")


@dataclass(frozen=True)
class Step:
    """A coded checkpoint.

    Attributes:
        tensors: names of each coded tensor, its shape, and the number of centres of d, m and v.
        codes: uint8 indices by stream, all tensors one after another.
        centres: (n,) float32, of d, m and v of each tensor in their order.
        raw: the arrays that are kept as they are.
    """

    tensors: list[dict[str, Any]]
    codes: dict[str, np.ndarray]
    centres: np.ndarray
    raw: dict[str, np.ndarray]


def encode_step(state: State, reference: State, settings: ExcpSettings) -> Step:
    """Codes a state against the reconstruction of its predecessor; `decode_step` gives what will be restored.

    Args:
        state: arrays by name as a training state has them: weights, optimizer.first_moment.*, ...
        reference: weights by name, other arrays are not looked at.
        settings: how much is left out.
    """
    tensors = find_tensors(state, reference)
    rows, codes, centres = [], {stream: [] for stream in STREAMS}, []
    for tensor in tensors:
        parts = _encode_tensor(tensor, state, reference, settings)
        rows.append({**asdict(tensor), "shape": list(state[tensor.name].shape), "centres": [len(c) for _, c in parts]})
        for stream, (indices, found) in zip(STREAMS, parts, strict=True):
            codes[stream].append(indices)
            centres.append(found)
    covered = {name for tensor in tensors for name in tensor.names}
    return Step(rows, {stream: _join(parts, np.uint8) for stream, parts in codes.items()},
                _join(centres, np.float32), {name: array for name, array in state.items() if name not in covered})


def decode_step(step: Step, reference: State) -> dict[str, np.ndarray]:
    """The state that a step restores, by name, in the same bits each time.

    Raises:
        KeyError, ValueError, IndexError: a step that does not belong to this reference.
    """
    state, places = dict(step.raw), dict.fromkeys((*STREAMS, "centres"), 0)

    def take(array: np.ndarray, stream: str, count: int) -> np.ndarray:
        places[stream] += count
        return array[places[stream] - count:places[stream]]

    for row in step.tensors:
        shape = tuple(row["shape"])
        changes = take(step.codes["changes"], "changes", int(np.prod(shape)))
        kept = changes > 0
        values = _values(changes, take(step.centres, "centres", row["centres"][0]))
        state[row["name"]] = reference[row["name"]] + values.reshape(shape)
        for stream, centres in zip(STREAMS[1:], row["centres"][1:], strict=True):
            found = take(step.centres, "centres", centres)
            if row[stream]:
                moment = np.zeros(len(changes), np.float32)
                moment[kept] = _values(take(step.codes[stream], stream, int(kept.sum())), found)
                state[row[stream]] = moment.reshape(shape)
    return state


def _encode_tensor(
    tensor: Tensor, state: State, reference: State, settings: ExcpSettings,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Indices and centres of d, m and v; of moments at the places of kept changes."""
    change = (state[tensor.name] - reference[tensor.name]).reshape(-1)
    first, second = (state[name].reshape(-1) if name else None for name in (tensor.first, tensor.second))
    most = 2 ** settings.bits - 1
    kept = weight_mask(change, second, settings)
    changes = _cluster(change, kept, most)
    kept_moments = kept if first is None else moment_mask(first, kept, settings)
    moments = [_cluster(moment[kept], kept_moments[kept], most) if moment is not None else _nothing()
               for moment in (first, second)]
    return [changes, *moments]


def _cluster(values: np.ndarray, kept: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) uint8 indices, 0 for what is not kept, and the centres that the others stand for."""
    indices = np.zeros(len(values), np.uint8)
    if not kept.any():
        return indices, np.zeros(0, np.float32)
    centres = find_centres(values[kept], most)
    indices[kept] = nearest(values[kept], centres) + 1
    return indices, centres


def _values(indices: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.r_[np.float32(0), centres].astype(np.float32)[indices]


def _nothing() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(0, np.uint8), np.zeros(0, np.float32)


def _join(parts: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *parts])
