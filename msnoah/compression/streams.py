"""The codes of a step as blocks of bytes, in an order that a Huffman coder finds short codes for.

A first moment has mostly the sign of its weight's change, and a second one the size of the first, so first moments are
written grouped by the index of their change and second ones by that of their first: within a group few indices are
frequent. The order costs nothing, since it is known when the indices before it are.
"""

from typing import Any

import numpy as np

from msnoah.compression.packing import pack_codes, unpack_codes
from msnoah.compression.step import Step


def pack_step(step: Step, bits: int) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The step's record and its blocks, without the arrays that are kept as they are."""
    context_first = step.changes[_with_moments(step.tensors)][step.kept_moments]
    context_second = step.first[_with_second(step.tensors)]
    blocks = {
        "kept": np.packbits(step.kept).tobytes(), "changes": pack_codes(step.changes, bits),
        "kept_moments": np.packbits(step.kept_moments).tobytes(),
        "first": pack_codes(step.first[_order(context_first)], bits),
        "second": pack_codes(step.second[_order(context_second)], bits),
        "centres": step.centres.astype("<f4").tobytes(),
    }
    return {"tensors": step.tensors}, blocks


def unpack_step(record: dict[str, Any], blocks: dict[str, bytes], bits: int, raw: dict[str, np.ndarray]) -> Step:
    """The step that `pack_step` packed.

    Raises:
        KeyError, ValueError, IndexError: blocks that are not those of this record.
    """
    rows = record["tensors"]
    weights = sum(int(np.prod(row["shape"])) for row in rows)
    kept = _unpack_mask(blocks["kept"], weights)
    changes = unpack_codes(blocks["changes"], bits, int(np.count_nonzero(kept)))
    with_moments = _with_moments(rows)
    kept_moments = _unpack_mask(blocks["kept_moments"], int(np.count_nonzero(with_moments)))
    first = _ungroup(blocks["first"], bits, changes[with_moments][kept_moments])
    second = _ungroup(blocks["second"], bits, first[_with_second(rows)])
    return Step(rows, kept, changes, kept_moments, first, second, np.frombuffer(blocks["centres"], "<f4"), raw)


def _with_moments(rows: list[dict[str, Any]]) -> np.ndarray:
    """(kept changes,) whether they belong to a tensor that has moments."""
    return _repeat([row["first"] for row in rows], [row["kept"] for row in rows])


def _with_second(rows: list[dict[str, Any]]) -> np.ndarray:
    """(kept moments,) whether they belong to a tensor that has second ones."""
    with_first = [row for row in rows if row["first"]]
    return _repeat([row["second"] for row in with_first], [row["kept_moments"] for row in with_first])


def _repeat(names: list[str | None], counts: list[int]) -> np.ndarray:
    return np.repeat(np.array([bool(name) for name in names], np.bool_), np.array(counts, np.int64))


def _order(context: np.ndarray) -> np.ndarray:
    return np.argsort(context, kind="stable")   # of bytes: numpy counts them instead of comparing


def _ungroup(content: bytes, bits: int, context: np.ndarray) -> np.ndarray:
    codes = np.empty(len(context), np.uint8)
    codes[_order(context)] = unpack_codes(content, bits, len(context))
    return codes


def _unpack_mask(content: bytes, count: int) -> np.ndarray:
    packed = np.frombuffer(content, np.uint8)
    if len(packed) != (count + 7) // 8:
        raise ValueError(f"{len(packed)} bytes for {count} bits")
    return np.unpackbits(packed, count=count).view(np.bool_)
