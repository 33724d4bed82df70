"""Measured codings in a few numbers each, and as text."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from msnoah.text_table import align_table

Record = dict[str, Any]


def summarise_rows(rows: Sequence[Record]) -> Record:
    """Of one coding's states without key frames: ratio and change of each measure (lowest, median, highest; of changes
    the largest absolute one too), median errors, and MB/s, which are 10^6 bytes of arrays a CPU second; of all its
    files: bytes and chain_ratio. Figures are null where all are key frames.
    """
    coded = [row for row in rows if row["kind"] != "key"]
    size, plain = (sum(row[key] for row in rows) for key in ("size_bytes", "plain_bytes"))
    return {
        "files": len(rows), "key_frames": len(rows) - len(coded), "size_bytes": size, "plain_bytes": plain,
        "chain_ratio": plain / size, "ratio": _range([row["ratio"] for row in coded]),
        "error": _median(coded, "error"), "moment_error": _median(coded, "moment_error"),
        "changes": {measure: _range([row["changes"][measure] for row in coded])
                    for measure in (rows[0]["changes"] if coded else {})},
        "compress_mb_s": _rate(coded, "compress_cpu_s"), "restore_mb_s": _rate(coded, "restore_cpu_s"),
    }


def _range(values: Sequence[float]) -> Record | None:
    if not values:
        return None
    return {"lowest": min(values), "median": median(values), "highest": max(values),
            "largest_absolute": max(map(abs, values))}


def _median(rows: Sequence[Record], key: str) -> float | None:
    known = [row[key] for row in rows if row[key] is not None]
    return median(known) if known else None


def _rate(rows: Sequence[Record], key: str) -> float | None:
    seconds = sum(row[key] for row in rows)
    return sum(row["plain_bytes"] for row in rows) / 1e6 / seconds if seconds else None


def measurement_table(record: Record) -> str:
    """A line a coding, then a line a state with its ratio and change of the first measure by preset."""
    measures = list(record["states"][0]["scores"])
    heading = ["coding", "ratio", "lowest", "highest", *(f"{key} {sign}" for key in measures for sign in "-+"),
               "all files", "key frames", "compress MB/s", "restore MB/s"]
    lines = align_table([heading, *(_line(name, coding["summary"], measures)
                                    for name, coding in record["codings"].items())])
    compressors = sorted({f"{name} by {coding['compressor']}" for name, coding in record["codings"].items()
                          if coding["role"] == "control"})
    note = (f"{len(record['states'])} states; ratio: bytes of the arrays over bytes of the file, median without key "
            "frames; changes: restored less trained, lowest and highest; MB/s a CPU second")
    lines += [note, *([", ".join(compressors)] if compressors else []), ""]
    return "\n".join([*lines, *_states_table(record, measures[0])])


def _line(name: str, summary: Record, measures: Sequence[str]) -> list[str]:
    ratio, changes = summary["ratio"], summary["changes"]
    ratios = [f"{ratio[key]:.1f}" for key in ("median", "lowest", "highest")] if ratio else ["-"] * 3
    signed = [f"{changes[key][end]:+.4f}" if key in changes else "-"
              for key in measures for end in ("lowest", "highest")]
    rates = ["-" if summary[key] is None else f"{summary[key]:.1f}" for key in ("compress_mb_s", "restore_mb_s")]
    return [name, *ratios, *signed, f"{summary['chain_ratio']:.1f}", str(summary["key_frames"]), *rates]


def _states_table(record: Record, measure: str) -> list[str]:
    chosen = {name: coding["rows"] for name, coding in record["codings"].items() if coding["role"] == "preset"}
    heading = ["step", measure, *(title for name in chosen for title in (name, f"{measure} +"))]
    lines = [[str(state["step"]), f"{state['scores'][measure]:.4f}", *(cell for rows in chosen.values()
              for cell in _cells(rows[number], measure))] for number, state in enumerate(record["states"])]
    return align_table([heading, *lines]) if chosen else []


def _cells(row: Record, measure: str) -> list[str]:
    return ["key" if row["kind"] == "key" else f"{row['ratio']:.1f}", f"{row['changes'][measure]:+.4f}"]
