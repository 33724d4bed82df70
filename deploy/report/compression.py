"""What a report says of compressed checkpoints: the files of the run's chain, and what compressing costs."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from msnoah.compression.chain import Chain
from msnoah.compression.inspection import inspect_chain
from msnoah.deploy.latency_table import format_size
from msnoah.deploy.report.bar_chart import bar_chart
from msnoah.deploy.report.charts import Mark, Series, line_chart
from msnoah.deploy.report.entries import SCORES
from msnoah.deploy.report.formats import unit
from msnoah.deploy.report.scatter import scatter_chart
from msnoah.errors import RunFolderError
from msnoah.run_folder import RunFolder, read_json

Record = dict[str, Any]
KINDS = {"key": "key frame", "change": "change"}
SIZES = {"compressed": "size_bytes", "whole states": "plain_bytes"}
POINTS = 100
"""Factor of measures that are shares, which the page gives in points of percent; loss is given as it is."""


def gather_compression(run: RunFolder) -> Record:
    """The run's chain, file by file, and the record of `msnoah ckpt measure`, arranged for the template; empty if there
    is neither. A damaged file of the chain is a row that says so.

    Raises:
        RunFolderError: compression.json is damaged.
    """
    found = {"chain": _gather_chain(run), "measured": _gather_measured(run)}
    return found if any(found.values()) else {}


def _gather_chain(run: RunFolder) -> Record:
    chain = Chain(run.chain_path)
    if not chain.paths():
        return {}
    rows = inspect_chain(chain)
    whole = [row for row in rows if not row["problem"]]
    sizes = {name: {row["step"]: row["size_bytes"] / 1e6 for row in whole if row["kind"] == kind}
             for kind, name in KINDS.items()}
    return {
        "rows": [_file_row(row) for row in rows],
        "problems": list(dict.fromkeys(row["problem"] for row in rows if row["problem"])),
        "bars": bar_chart(sizes, "optimiser step", "MB a file"), "growth": _growth(whole), "count": len(rows),
        "size": format_size(sum(row["size_bytes"] for row in whole)),
        "plain": format_size(sum(row["plain_bytes"] for row in whole)), "restored": len(whole),
        "damaged": len(rows) - len(whole),
        "newest": max((row["step"] for row in whole), default=None),
    }


def _file_row(row: Record) -> Record:
    """A line of the table; what a key frame or a damaged file has no figure of is left empty."""
    return {
        "file": row["file"], "problem": row["problem"], "size": format_size(row["size_bytes"]),
        "step": row.get("step", ""), "kind": KINDS.get(row.get("kind"), ""),
        "ratio": f"{row['ratio']:.1f}×" if "ratio" in row else "",
        **{key: "" if row.get(key) is None else f"{row[key]:.1%}" for key in ("kept", "kept_moments")},
        "error": "" if row.get("error") is None else f"{row['error']:.3f}",
    }


def _growth(rows: Sequence[Record]):
    """Bytes so far of the chain, and of as many whole states."""
    steps = [row["step"] for row in rows]
    sizes = {name: [row[key] / 1e6 for row in rows] for name, key in SIZES.items()}
    series = [Series(name, list(zip(steps, accumulate(parts), strict=True))) for name, parts in sizes.items()]
    return line_chart(series, "optimiser step", y_from_zero=True)


def _gather_measured(run: RunFolder) -> Record:
    record = read_json(run.compression_path) if run.compression_path.is_file() else {}
    if not record:
        return {}
    try:
        measures = list(record["states"][0]["scores"])
        return {
            "headings": [heading for measure in measures for heading in (f"change of {_unit(measure)}", "either sign")],
            "rows": [_coding_row(name, coding, measures) for name, coding in record["codings"].items()],
            "charts": [chart(record, measure) for chart in (_over_ratio, _over_steps) for measure in measures],
            "states": len(record["states"]), "images": record["val_images"], "every": record["key_frame_every"],
            "facts": _circumstances(record),
        }
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise RunFolderError(f"{run.compression_path}: damaged ({error!r:.200}); measure the run anew") from error


def _unit(measure: str) -> str:
    return measure if measure == "loss" else f"{SCORES.get(measure, measure)} (points)"


def _coding_row(name: str, coding: Record, measures: Sequence[str]) -> Record:
    summary = coding["summary"]
    ratio = summary["ratio"]
    return {
        "name": _words(name), "control": coding["role"] == "control",
        "ratio": f"{ratio['median']:.1f}×" if ratio else "",
        "range": f"{ratio['lowest']:.1f} to {ratio['highest']:.1f}" if ratio else "",
        "error": "" if summary["error"] is None else f"{summary['error']:.3f}",
        "changes": [cell for measure in measures for cell in _change_cells(measure, summary["changes"].get(measure))],
        "size": format_size(summary["size_bytes"]), "chain_ratio": f"{summary['chain_ratio']:.1f}×",
        **{key: "" if summary[key] is None else f"{summary[key]:.1f}" for key in ("compress_mb_s", "restore_mb_s")},
    }


def _change_cells(measure: str, change: Record | None) -> list[str]:
    if change is None:
        return ["", ""]
    text = (lambda value: f"{value:+.4f}") if measure == "loss" else (lambda value: f"{POINTS * value:+.2f}")
    return [f"{text(change['lowest'])} to {text(change['highest'])}", text(change["largest_absolute"])[1:]]


def _over_ratio(record: Record, measure: str) -> Record:
    """Changes of a measure over the ratio, key frames left out: a colour and a shape a coding."""
    factor = 1 if measure == "loss" else POINTS
    groups = {_words(name): [Mark(row["ratio"], factor * row["changes"][measure], "")
                             for row in coding["rows"] if row["kind"] != "key"]
              for name, coding in record["codings"].items()}
    axis = "bytes of a state over bytes of its file"
    chart = scatter_chart(groups, axis, f"change of {_unit(measure)}", percent=False)
    return {"title": f"Change of {_unit(measure)} over ratio", "chart": chart}


def _over_steps(record: Record, measure: str) -> Record:
    """Changes of a measure over training, by preset; 0 at key frames."""
    factor = 1 if measure == "loss" else POINTS
    series = [Series(_words(name), [(row["step"], factor * row["changes"][measure]) for row in coding["rows"]])
              for name, coding in record["codings"].items() if coding["role"] == "preset"]
    return {"title": f"Change of {_unit(measure)} over training", "chart": line_chart(series, "optimiser step")}


def _words(name: str) -> str:
    return name.replace("_", " ")


def _circumstances(record: Record) -> list[tuple[str, str]]:
    controls = {_words(name): coding["compressor"] for name, coding in record["codings"].items()
                if coding["role"] == "control"}
    return [
        ("model", record["model"]), *((f"compressor of {name}", compressor) for name, compressor in controls.items()),
        ("chip", record["chip"] or "not readable"), ("cores", str(record["cores"])),
        ("load average before", unit(record["load_average"], "") or "not readable"), ("written", record["created"]),
        ("msnoah", f"{record['msnoah']}, commit {(record['commit'] or 'unknown')[:12]}"),
    ]
