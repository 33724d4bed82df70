"""A chain at a glance: sizes, what was kept, how far it is from the weights, and whether each file restores."""

from typing import Any

import numpy as np

from msnoah.compression.block_file import read_record
from msnoah.compression.chain import Chain
from msnoah.errors import CheckpointError

Record = dict[str, Any]


def inspect_chain(chain: Chain) -> list[Record]:
    """A record for each file, oldest first: size, that of the arrays, ratio, loss, and what is wrong with it.

    Raises:
        CheckpointError: the folder holds no chain.
    """
    paths = chain.paths()
    if not paths:
        raise CheckpointError(f"{chain.folder}: holds no compressed checkpoints")
    return [_inspect(chain, path) for path in paths]


def _inspect(chain: Chain, path) -> Record:
    row = {"file": path.name, "size_bytes": path.stat().st_size, "problem": None}
    try:
        record = read_record(path)
        arrays, _ = chain.restore(path)
    except CheckpointError as error:
        return {**row, "problem": str(error)}
    plain = sum(array.nbytes for array in arrays.values())
    return {**row, "step": record["step"], "kind": record["kind"], "plain_bytes": plain,
            "ratio": plain / row["size_bytes"], "settings": record.get("settings"), "tensors": record.get("loss", []),
            **summarise_loss(record)}


def summarise_loss(record: Record) -> Record:
    """Means over the coded tensors, by number of elements; None in a key frame, which loses nothing."""
    rows, sizes = record.get("loss"), [np.prod(row["shape"]) for row in record.get("tensors", [])]
    if not rows:
        return {key: None for key in ("kept", "kept_moments", "error")}
    return {key: float(np.average([row[key] or 0.0 for row in rows], weights=sizes))
            for key in ("kept", "kept_moments", "error")}


def check_chain(rows: list[Record]) -> None:
    """CheckpointError if a file does not restore; names the newest that does."""
    damaged = [row for row in rows if row["problem"]]
    if damaged:
        intact = next((row["step"] for row in reversed(rows) if not row["problem"]), None)
        newest = "none restores" if intact is None else f"the newest that does: step {intact}"
        raise CheckpointError(f"{len(damaged)} of {len(rows)} files do not restore; {newest}")
