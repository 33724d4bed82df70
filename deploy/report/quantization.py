"""What a report says of int8 and float16: accuracy and size beside float's, the scan of layers, what stayed float."""

from typing import Any

from msnoah.deploy.latency_table import format_size
from msnoah.deploy.report.charts import Mark, mark_chart
from msnoah.errors import RunFolderError
from msnoah.run_folder import RunFolder, read_json

Record = dict[str, Any]
NAMES = {"fp32": "float32", "fp16": "float16", "int8": "int8"}
MOST_LAYERS = 12


def gather_quantization(run: RunFolder) -> Record:
    """The record of `msnoah quantize`, arranged for the template; empty if there is none, or none that is finished.

    Raises:
        RunFolderError: quantization.json is damaged.
    """
    record = read_json(run.quantization_path) if run.quantization_path.is_file() else {}
    part = record.get("int8", {})
    if not part.get("finished") and "fp16" not in record:
        return {}
    try:
        measure = record["measure"]
        searched = part if part.get("finished") else {}
        return {
            "rows": [_row(precision, record) for precision in NAMES if record.get(precision, {}).get("file")],
            "measure": record["measure_name"], "samples": record["fp32"]["accuracy"]["images"],
            "chart": _chart(searched, record), "layers": _layers(searched), "more": _count_more(searched),
            "failed": bool(searched) and searched["chosen"] is None, "steps": _steps(searched, measure),
            "kept": searched.get("float_groups", []), "facts": _circumstances(searched, record),
            "budget": f"{100 * searched['settings']['accuracy_budget']:.2f}" if searched else None,
            "stale": _is_stale(run, record),
        }
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise RunFolderError(f"{run.quantization_path}: damaged ({error!r:.200}); quantise the run anew") from error


def _row(precision: str, record: Record) -> Record:
    part, size, verification = record[precision], record["fp32"]["size_bytes"], record[precision].get("verification")
    return {
        "name": NAMES[precision], "file": part["file"], "size": format_size(part["size_bytes"]),
        "share": f"{part['size_bytes'] / size:.0%}", "accuracy": f"{part['accuracy'][record['measure']]:.2%}",
        "agreement": f"{verification['agreement']:.1%}" if verification else "",
        "max_rel": f"{verification['max_rel']:.1e}" if verification and verification["max_rel"] is not None else "",
    }


def _chart(part: Record, record: Record):
    """Accuracy over the share of products in int8, of every number of layers in float that was tried."""
    steps = sorted(part.get("steps", []), key=lambda step: step["int8_macs"])
    marks = [Mark(100 * step["int8_macs"], 100 * step["accuracy"][record["measure"]], f"{step['kept']} in float",
                  step["kept"] == part["chosen"]) for step in steps]
    return mark_chart(marks, f"{record['measure_name']} (%)", "products in int8 (%)", limit=float("inf"))


def _layers(part: Record) -> list[Record]:
    kept = set(part.get("float_groups", []))
    return [{"name": row["group"], "damage": f"{row['damage']:.1e}", "in_float": row["group"] in kept,
             "sqnr": "" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f}"}
            for row in part.get("sensitivity", [])[:MOST_LAYERS]]


def _count_more(part: Record) -> int:
    return max(len(part.get("sensitivity", [])) - MOST_LAYERS, 0)


def _steps(part: Record, measure: str) -> list[Record]:
    return [{"kept": step["kept"], "share": f"{step['int8_macs']:.1%}", "accuracy": f"{step['accuracy'][measure]:.2%}",
             "drop": f"{100 * step['drop']:+.2f}", "good": step["good"], "chosen": step["kept"] == part["chosen"]}
            for step in sorted(part.get("steps", []), key=lambda step: step["kept"])]


def _is_stale(run: RunFolder, record: Record) -> bool:
    """Whether model.onnx is another one now."""
    entries = run.export_record().get("artifacts", {}) if run.export_path.is_file() else {}
    return entries.get("onnx", {}).get("sha256") != record["made_from"]


def _circumstances(part: Record, record: Record) -> list[tuple[str, str]]:
    facts = [("chip of the accuracies", record["chip"] or "not readable"), ("ONNX Runtime", record["onnxruntime"]),
             ("written", record["created"]), ("msnoah", record["msnoah"])]
    if not part:
        return facts
    used, settings = part["calibration"], part["settings"]
    method = settings["method"] + (f" {settings['percentile']:g}" if settings["method"] == "percentile" else "")
    return [("ranges by", method), ("calibrated on", f"{used['samples']} of {used['source']}, {used['split']} split"),
            ("layers tried on", f"{min(settings['scan_images'], used['samples'])} of these"),
            ("bits of weights", str(settings["weight_bits"])), *facts]
