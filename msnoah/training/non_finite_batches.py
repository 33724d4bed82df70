"""Batches of a step whose loss or gradients were not finite, on disk, so that an engineer can look and step again."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from msnoah.atomic_file import replacing
from msnoah.data.batches import Batch
from msnoah.data.sources import Source
from msnoah.errors import describe_failure

KEPT_FILES = 3   # a folder of these does not fill the disk, whatever happens


def keep_batches(folder: Path, name: str, batches: tuple[Batch, ...], source: Source, record: dict[str, Any]) -> str:
    """Writes folder/<name>.npz, and says in one clause where the batches lie or why they do not.

    The file holds, of a step of A batches of B samples: images (A, B, C, ...) float32 and targets (A, B, ...) as the
    step saw them, after augmentation and mixup; labels, indices into the train split and names, (A, B) each; and what
    `record` has. It is written as a whole or not at all. No failure is raised: the step's own trouble must be heard.
    """
    path = folder / f"{name}.npz"
    try:
        kept = sorted(folder.glob("*.npz"))
        if path not in kept and len(kept) >= KEPT_FILES:
            return f"its batches are not kept: {folder} holds {len(kept)} files already, from {kept[0].name} on"
        folder.mkdir(parents=True, exist_ok=True)
        _write(path, _arrays(batches, source) | record)
    except Exception as error:   # of whatever kind: a full disk, too little memory, a source without names
        return f"its batches could not be kept: {describe_failure(error)}"
    return f"its batches are kept in {path}"


def _arrays(batches: tuple[Batch, ...], source: Source) -> dict[str, np.ndarray]:
    arrays = {key: np.stack([getattr(batch, key) for batch in batches]) for key in ("images", "targets", "labels")}
    if all(batch.indices is not None for batch in batches):
        arrays["indices"] = np.stack([batch.indices for batch in batches])
        arrays["names"] = np.array([[source.name(int(index)) for index in batch.indices] for batch in batches])
    return arrays


def _write(path: Path, arrays: dict[str, Any]) -> None:
    for leftover in path.parent.glob(".*.tmp"):   # of a kill in the middle of writing
        with suppress(OSError):
            leftover.unlink()
    with replacing(path) as temporary, open(temporary, "wb") as file:   # given a name, savez would add .npz to it
        np.savez(file, **arrays)
