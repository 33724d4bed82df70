"""What a step lost: how much of each tensor was kept, and how far the reconstruction is from the weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from msnoah.compression.step import Step

State = Mapping[str, np.ndarray]


def measure_loss(step: Step, state: State, reference: State, restored: State) -> list[dict[str, Any]]:
    """A row for each coded tensor.

    `kept` is the share of changes that are not 0, `kept_moments` that of first moments; `error` the length of
    W - W^ over that of the change W - W^(before), `moment_error` that of m - m^ over that of m. Shares are of 1.
    """
    return [_measure(row, state, reference, restored) for row in step.tensors]


def _measure(row: dict[str, Any], state: State, reference: State, restored: State) -> dict[str, Any]:
    name, first, size = row["name"], row["first"], state[row["name"]].size
    return {
        "name": name, "kept": row["kept"] / size, "kept_moments": row["kept_moments"] / size if first else None,
        "error": _relative(restored[name] - state[name], state[name] - reference[name]),
        "moment_error": _relative(restored[first] - state[first], state[first]) if first else None,
    }


def _relative(difference: np.ndarray, whole: np.ndarray) -> float:
    length = float(np.linalg.norm(whole.astype(np.float64)))
    return float(np.linalg.norm(difference.astype(np.float64))) / length if length else 0.0
