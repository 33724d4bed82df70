"""quantization.json of a run, and the artifacts in export.json that it speaks of."""

from typing import Any

import onnx

from msnoah.deploy.float_artifact import FloatArtifact
from msnoah.deploy.latency_table import format_size
from msnoah.errors import ProfileError, RunFolderError
from msnoah.export.metadata import describe_file
from msnoah.export.onnx_file import check_onnx, save_onnx
from msnoah.export.onnx_summary import count_operators
from msnoah.run_folder import RunFolder, read_json, write_json
from msnoah.text_table import align_table

Record = dict[str, Any]
SHOWN = 8
"""Layers of a scan that a table shows."""


def open_record(original: FloatArtifact) -> Record:
    """What quantization.json holds of this model.onnx; a new record if it speaks of another one, or is not readable."""
    path, made_from = original.run.quantization_path, original.artifact.sha256
    try:
        known = read_json(path) if path.is_file() else {}
    except RunFolderError:
        known = {}   # what it held is found anew
    if known.get("made_from") == made_from:
        return known
    return {"model": original.artifact.model, "made_from": made_from}


def save_record(run: RunFolder, record: Record) -> None:
    """Replaces quantization.json."""
    write_json(run.quantization_path, record)


def add_artifact(original: FloatArtifact, precision: str, model: onnx.ModelProto, facts: Record) -> Record:
    """Writes model_<precision>.onnx and enters it in export.json.

    The file comes first: a kill between the two leaves an entry that does not fit, which is refused as stale.

    Returns:
        The entry.

    Raises:
        ProfileError: model.onnx was exported anew in the meantime.
        RunFolderError: the system refused to write, with its reason; earlier files are kept.
    """
    run, made_from = original.run, original.artifact.sha256
    record = run.export_record()
    if record.get("artifacts", {}).get("onnx", {}).get("sha256") != made_from:
        raise ProfileError(f"{run.export_path}: was exported anew while this ran; quantise the new model.onnx")
    path = run.path / f"model_{precision}.onnx"
    properties = {item.key: item.value for item in model.metadata_props}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, properties | {"msnoah.precision": precision, "msnoah.made_from": made_from})
    check_onnx(model)
    save_onnx(model, path)
    opset = next(entry.version for entry in model.opset_import if entry.domain == "")
    entry = {**describe_file(path), "opset": opset, "operators": count_operators(model), "precision": precision,
             "made_from": made_from, **facts}
    record["artifacts"][f"onnx_{precision}"] = entry
    write_json(run.export_path, record)
    return entry


def describe_record(record: Record, precisions: list[str]) -> str:
    """What was found, as lines for a terminal."""
    measure, original = record["measure"], record["fp32"]
    lines = [f"{record['model']}: float {original['accuracy'][measure]:.2%} {record['measure_name']} of "
             f"{original['accuracy']['images']} held-out samples, {format_size(original['size_bytes'])}"]
    for precision in precisions:
        part = record[precision]
        lines += _scan_lines(part, measure) if precision == "int8" else []
        if part.get("file"):
            lines += _artifact_lines(precision, part, record)
    return "\n".join(lines)


def _scan_lines(part: Record, measure: str) -> list[str]:
    total = max(sum(row["macs"] for row in part["sensitivity"]), 1)
    head = ["layer, quantised alone", "damage", "SQNR dB", "of products"]
    rows = [[row["group"], f"{row['damage']:.1e}", "-" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f}",
             f"{row['macs'] / total:.1%}"] for row in part["sensitivity"][:SHOWN]]
    more = len(part["sensitivity"]) - len(rows)
    steps = [[str(step["kept"]), f"{step['int8_macs']:.1%}", f"{step['accuracy'][measure]:.2%}", f"{step['drop']:+.2%}",
              "<- chosen" if step["kept"] == part.get("chosen") else ""]
             for step in sorted(part["steps"], key=lambda step: step["kept"])]
    table = align_table([["layers in float", "products in int8", "accuracy", "lost", ""], *steps])
    return [*align_table([head, *rows]), *([f"and {more} more"] if more else []), "", *table, ""]


def _artifact_lines(precision: str, part: Record, record: Record) -> list[str]:
    measure, verification = record["measure"], part["verification"]
    size = f"{format_size(part['size_bytes'])}, {part['size_bytes'] / record['fp32']['size_bytes']:.0%} of float"
    off = "" if verification["max_rel"] is None else f", outputs off by {verification['max_rel']:.1e} at most"
    kept = part["float_groups"] if precision == "int8" else part["float_operators"]
    noun = "layers" if precision == "int8" else "operators"
    return [
        f"{part['file']}: {size}; {part['accuracy'][measure]:.2%}, {verification['agreement']:.1%} of predictions as"
        f" float{off}", f"{noun} left in float32: {', '.join(kept) if 0 < len(kept) <= SHOWN else len(kept) or 'none'}"]
