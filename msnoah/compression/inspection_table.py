"""The records of an inspection as text."""

from collections.abc import Callable, Sequence
from typing import Any

from msnoah.text_table import align_table

Record = dict[str, Any]


def chain_table(rows: Sequence[Record]) -> str:
    """A line a file, the sum of all, then what is wrong with those that do not restore."""
    whole = [row for row in rows if not row["problem"]]
    lines = align_table([list(COLUMNS), *[[cell(row) for cell in COLUMNS.values()] for row in rows]])
    plain, size = (sum(row[key] for row in whole) for key in ("plain_bytes", "size_bytes"))
    ratio = f": {plain / size:.1f}x" if size else ""
    total = f"{len(whole)} of {len(rows)} restore; {plain:,} bytes in {size:,}{ratio}"
    return "\n".join([*lines, total, *(f"damaged: {row['problem']}" for row in rows if row["problem"])])


def tensor_table(rows: Sequence[Record]) -> str:
    """A line for each coded tensor of the newest file that restores and is no key frame."""
    newest = next((row for row in reversed(rows) if row.get("tensors")), None)
    if newest is None:
        return "key frames alone: nothing is left out of them"
    cells = [[row["name"], f"{row['kept']:.1%}", _share(row["kept_moments"]), f"{row['error']:.3f}",
              "-" if row["moment_error"] is None else f"{row['moment_error']:.3f}"] for row in newest["tensors"]]
    heading = ["tensor", "changes kept", "moments kept", "error of change", "error of moment"]
    return "\n".join([f"step {newest['step']}", *align_table([heading, *cells])])


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _figure(key: str, text: Callable[[Any], str]) -> Callable[[Record], str]:
    return lambda row: "-" if row.get(key) is None else text(row[key])


COLUMNS: dict[str, Callable[[Record], str]] = {
    "file": lambda row: row["file"], "kind": _figure("kind", str), "bytes": _figure("size_bytes", "{:,}".format),
    "ratio": _figure("ratio", "{:.1f}x".format), "changes kept": _figure("kept", _share),
    "moments kept": _figure("kept_moments", _share), "error of change": _figure("error", "{:.3f}".format),
    "restores": lambda row: "NO" if row["problem"] else "yes",
}
