"""What a report says: the facts of a run folder, whatever of them is there, arranged by section."""

from datetime import datetime, timezone
from typing import Any

import msnoah
from msnoah.deploy.artifact_file import exported_artifact
from msnoah.deploy.latency_table import COLUMNS, format_ms, format_size, table_cells
from msnoah.deploy.profile import Profile
from msnoah.deploy.report.accuracy import accuracy_tile, gather_accuracy
from msnoah.deploy.report.charts import Series, distribution_chart, line_chart
from msnoah.deploy.report.compression import gather_compression
from msnoah.deploy.report.degrees import gather_degrees
from msnoah.deploy.report.formats import count, duration, number, unit
from msnoah.deploy.report.operators import gather_operators
from msnoah.deploy.report.quantization import gather_quantization
from msnoah.deploy.report.segmentation import gather_segmentation, segmentation_tile
from msnoah.deploy.report.sustained import gather_sustained
from msnoah.deploy.report.tuning import gather_tuning
from msnoah.errors import ProfileError
from msnoah.run_folder import RunFolder

Record = dict[str, Any]
RATES = {  # history key: what the report calls it
    "images_per_s": "samples per second", "steps_per_cpu_s": "steps per CPU second",
    "decode_clips_per_s": "clips decoded per second of a thread",
    "transform_clips_per_s": "clips transformed per second of a thread",
}
CURVES: tuple[tuple[str, float, dict[str, str]], ...] = (  # title, factor, {history key: name}
    ("Loss", 1, {"train_loss": "training", "val_loss": "validation"}),
    ("Validation accuracy (%)", 100, {"val_top1": "top-1", "val_top5": "top-5"}),
    ("Validation scores of pixels (%)", 100, {"val_miou": "mIoU", "val_macc": "mAcc", "val_aacc": "aAcc"}),
    ("Learning rate", 1, {"lr": "at the epoch's end"}),
    ("Share of LayerNorm in PRepBN (%)", 100, {"layer_norm_share": "at the epoch's end"}),
)


def gather(run: RunFolder, profiles: list[Profile]) -> Record:
    """Everything that the template shows; a section without facts is empty.

    Raises:
        RunFolderError: a file of the folder is damaged.
    """
    history = run.history()
    export = run.export_record() if run.export_path.is_file() else {}
    accuracy, segmentation = gather_accuracy(run), gather_segmentation(run)
    score = segmentation_tile(segmentation, history) or accuracy_tile(accuracy, history)
    config = run.config()
    return {
        "name": run.name, "model": config.model.name, "data": config.data.source,
        "written": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"), "version": msnoah.__version__,
        "headlines": _headlines(score, export, profiles),
        "curves": _curves(history), "training": _training_facts(history),
        "accuracy": accuracy, "segmentation": segmentation, "degrees": gather_degrees(run),
        "tuning": gather_tuning(run), "quantization": gather_quantization(run),
        "compression": gather_compression(run),
        "sustained": gather_sustained(profiles),
        "export": export, "artifacts": _artifact_rows(run, export), "latency": _latency(profiles, export),
        "config": run.config_path.read_text(encoding="utf-8"),
    }


def _headlines(score: Record | None, export: Record, profiles: list[Profile]) -> list[Record]:
    """The tiles at the head: title, figure, and what it must be read beside."""
    tiles = [score, _latency_tile(profiles), _size_tile(export), _parity_tile(export)]
    return [tile for tile in tiles if tile]


def _latency_tile(profiles: list[Profile]) -> Record | None:
    if not profiles:
        return None
    best = min(profiles, key=lambda profile: profile.percentile(50))
    wall, cpu = format_ms(best.percentile(50)), format_ms(best.percentile(50, "cpu"))
    return _tile("Latency, median wall time", f"{wall} ms", f"{best.label}; CPU time {cpu} ms")


def _size_tile(export: Record) -> Record | None:
    entry = export.get("artifacts", {}).get("onnx")
    parameters = export.get("parameters", {})
    if not entry:
        return None
    return _tile(
        "ONNX file", format_size(entry.get("size_bytes", 0)), f"{count(parameters.get('fused'))} parameters, fused"
    )


def _parity_tile(export: Record) -> Record | None:
    checks = export.get("verification", {}).get("checks", [])
    if not export:
        return None
    if not checks or export["verification"].get("passed") is not True:
        return {**_tile("Verification", "NOT VERIFIED", "outputs may differ from the model's"), "bad": True}
    largest = max((check["max_rel"] for check in checks if number(check.get("max_rel")) is not None), default=0.0)
    beside = f"relative, over {len(checks)} check{'s' if len(checks) > 1 else ''}"
    return _tile("Largest difference to MindSpore", f"{largest:.1e}", beside)


def _tile(title: str, figure: str, beside: str) -> Record:
    return {"title": title, "figure": figure, "beside": beside}


def _curves(history: list[Record]) -> list[Record]:
    passes = [record["epoch"] for record in history if record.get("phase") == "bn_reestimation"]
    band = (min(passes) - 0.5, max(passes)) if passes else None
    charts = []
    for title, factor, names in CURVES:
        series = [Series(name, _points(history, key, factor)) for key, name in names.items()]
        chart = line_chart(series, "epoch", y_from_zero=title == "Learning rate", band=band)
        charts.append({"title": title, "chart": chart, "band": band is not None})
    return [chart for chart in charts if chart["chart"]]


def _points(history: list[Record], key: str, factor: float) -> list[tuple[float, float]]:
    return [(record["epoch"], factor * record[key]) for record in history if number(record.get(key)) is not None]


def _training_facts(history: list[Record]) -> list[tuple[str, str]]:
    if not history:
        return []
    trained = [record for record in history if record.get("phase") != "bn_reestimation"]
    facts = [("epochs", str(len(trained))), ("optimiser steps", count(history[-1].get("step")))]
    if len(trained) < len(history):
        facts.append(("BatchNorm re-estimation passes", str(len(history) - len(trained))))
    totals = (("wall time", "seconds"), ("CPU time", "cpu_seconds"))
    facts += [
        (name, duration(sum(number(r.get(key)) or 0 for r in history))) for name, key in totals if key in history[0]
    ]
    last = trained[-1] if trained else {}
    known = {name: last[key] for key, name in RATES.items() if number(last.get(key)) is not None}
    facts += [(f"{name}, last epoch", f"{rate:.4g}") for name, rate in known.items()]
    waited = number(last.get("data_wait"))
    return facts if waited is None else [*facts, ("waiting for data, last epoch", f"{waited:.1%} of the time")]


def _artifact_rows(run: RunFolder, export: Record) -> list[Record]:
    rows = []
    for kind, entry in export.get("artifacts", {}).items():
        row = {"kind": kind, **entry, "verified": False, "max_rel": None, "problem": None}
        try:
            precision = entry.get("precision", "fp32")
            artifact = exported_artifact(run, kind.removesuffix(f"_{precision}"), precision)
            row |= {"verified": artifact.verified, "max_rel": artifact.max_rel}
        except ProfileError as error:
            row["problem"] = str(error)
        rows.append(row)
    return rows


def _latency(profiles: list[Profile], export: Record) -> Record:
    if not profiles:
        return {}
    current = {entry.get("sha256") for entry in export.get("artifacts", {}).values()}
    stale = [f"{profile.label}: measured on another {profile.artifact} than export.json describes; profile again"
             for profile in profiles if profile.sha256 not in current]
    times = {"Wall time": "wall", "CPU time, all threads": "cpu"}
    samples = {title: {p.label: p.samples(metric) for p in profiles} for title, metric in times.items()}
    charts = [
        {"title": title, "chart": distribution_chart(rows, "milliseconds a run")} for title, rows in samples.items()
    ]
    return {
        "titles": [column.title for column in COLUMNS],
        "cells": table_cells(profiles),
        "charts": charts,
        "stale": stale,
        "warnings": [f"{profile.label}: {words}" for profile in profiles for words in profile.warnings()],
        "operators": gather_operators(profiles),
        "circumstances": _machines(profiles)
        + [{"label": profile.label, "facts": _circumstances(profile)} for profile in profiles],
    }


def _machines(profiles: list[Profile]) -> list[Record]:
    """One card for each state of a machine that rows were measured in."""
    cards: list[Record] = []
    for profile in profiles:
        card = {"label": "Machine", "facts": _machine_facts(profile)}
        if card not in cards:
            cards.append(card)
    return cards


def _machine_facts(profile: Profile) -> list[tuple[str, str]]:
    device = profile.device
    facts = [
        ("chip", device.chip), ("cores", f"{device.cores} ({device.architecture})"), ("system", device.system),
        ("frequency", unit(device.frequency_mhz, "MHz")), ("governor", device.governor),
        ("load average before", unit(device.load_average, "")), ("memory", unit(device.memory_mb, "MiB")),
        ("temperature", unit(device.temperature_c, "°C")), ("started", profile.started),
        ("msnoah", f"{profile.msnoah}, commit {(profile.commit or 'unknown')[:12]}"),
    ]
    return [(name, value or "not readable") for name, value in facts]


def _circumstances(profile: Profile) -> list[tuple[str, str]]:
    low, high = profile.median_interval()
    inputs = (f"{spec.name} {_shape(spec.shape, profile.batch_size)} {spec.dtype}" for spec in profile.inputs)
    return [
        ("runtime", f"{profile.runtime} {profile.version}, {profile.precision}"),
        ("threads", f"{profile.threads} ({profile.thread_control})"),
        ("inputs", ", ".join(inputs)),
        ("runs", f"{profile.repeats} after {profile.warmup} of warm-up"),
        ("median, 95 % interval", f"{format_ms(low)} to {format_ms(high)} ms"),
        ("loading", f"{format_ms(profile.load_ms)} ms, then first run {format_ms(profile.first_run_ms)} ms"),
        ("artifact", f"{profile.artifact}, sha256 {profile.sha256[:12]}"),
    ]


def _shape(shape: tuple[int | None, ...], batch_size: int) -> str:
    return " × ".join(str(batch_size if axis is None else axis) for axis in shape)
