"""What a report says of the dial: latency and accuracy of a family's members, the budget, and what was chosen."""

from typing import Any

from msnoah.deploy.latency_table import format_ms
from msnoah.deploy.report.charts import Mark, mark_chart
from msnoah.deploy.report.formats import unit
from msnoah.errors import RunFolderError
from msnoah.run_folder import RunFolder, read_json

Record = dict[str, Any]


def gather_tuning(run: RunFolder) -> Record:
    """The record of `msnoah tune`, arranged for the template; empty if there is none.

    Raises:
        RunFolderError: tune.json is damaged.
    """
    if not run.tuning_path.is_file():
        return {}
    record = read_json(run.tuning_path)
    try:
        rows = [_row(point, record) for point in record["points"]]
        metric = {"wall": "wall time", "cpu": "CPU time of all threads"}[record["metric"]]
        has_accuracy = all(row["top1"] is not None for row in rows)
        return {
            "rows": rows, "choice": next((row for row in rows if row["chosen"]), None), "chart": _chart(rows, record),
            "metric": metric, "has_accuracy": has_accuracy, "budget": format_ms(record["budget_ms"]),
            "why": {"degree": "merges least", "accuracy": "is the most accurate"}[record["choose"]],
            "warnings": record["warnings"], "stale": _is_stale(run, record), "facts": _circumstances(record),
            "images": next((row["images"] for row in rows if row["images"]), None),
        }
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise RunFolderError(f"{run.tuning_path}: damaged ({error!r:.200}); tune the run anew") from error


def _row(point: Record, record: Record) -> Record:
    low, high = point["interval_ms"][record["metric"]]
    return {
        **point, "wall": format_ms(point["median_ms"]["wall"]), "cpu": format_ms(point["median_ms"]["cpu"]),
        "latency": point["median_ms"][record["metric"]], "interval": f"{format_ms(low)} to {format_ms(high)}",
        "chosen": point["artifact"] == record["choice"], "macs_m": f"{point['macs'] / 1e6:,.2f}",
    }


def _chart(rows: list[Record], record: Record):
    """Accuracy over latency; where no accuracy was taken, multiply-adds."""
    has_accuracy = all(row["top1"] is not None for row in rows)
    height = {True: lambda row: 100 * row["top1"], False: lambda row: row["macs"] / 1e6}[has_accuracy]
    marks = [Mark(row["latency"], height(row), f"r = {row['tokens_merged']}", row["chosen"]) for row in rows]
    name = "top-1 (%)" if has_accuracy else "million multiply-adds"
    time = {"wall": "wall", "cpu": "CPU"}[record["metric"]]
    return mark_chart(marks, name, f"milliseconds a run, median {time} time", limit=record["budget_ms"])


def _is_stale(run: RunFolder, record: Record) -> bool:
    """Whether the family that was measured is not the one that lies there now."""
    if not run.family_record_path.is_file():
        return True
    now = {member["sha256"] for member in read_json(run.family_record_path)["members"]}
    return {point["file_sha256"] for point in record["points"]} != now


def _circumstances(record: Record) -> list[tuple[str, str]]:
    device = record["device"]
    return [
        ("runtime", f"{record['runtime']} {record['version']}, {record['precision']}"),
        ("threads", f"{record['threads']} ({record['thread_control']})"), ("batch", str(record["batch_size"])),
        ("runs", f"{record['repeats']} of each member, in turns, after {record['warmup']} of warm-up"),
        ("chip", device["chip"] or "not readable"), ("cores", f"{device['cores']} ({device['architecture']})"),
        ("load average before", unit(device["load_average"], "") or "not readable"), ("started", record["started"]),
        ("msnoah", f"{record['msnoah']}, commit {(record['commit'] or 'unknown')[:12]}"),
    ]
