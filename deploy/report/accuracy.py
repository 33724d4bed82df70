"""What a report says of accuracy: by runtime, by class, and which classes are taken for which."""

from typing import Any

from msnoah.deploy.report.confusion import confusion_chart
from msnoah.deploy.report.formats import number, percent
from msnoah.run_folder import RunFolder, read_json

Record = dict[str, Any]
MOST_CLASSES = 20  # of accuracy by class, the lowest


def gather_accuracy(run: RunFolder) -> Record:
    """The records of `msnoah eval`, MindSpore's first, arranged for the template; empty if there is none, or if the run
    classifies nothing.

    Raises:
        RunFolderError: a record is damaged.
    """
    paths = {"MindSpore": run.evaluation_path, "ONNX Runtime": run.onnx_evaluation_path}
    records = {runtime: read_json(path) for runtime, path in paths.items() if path.is_file()}
    if not records or run.config().data.segmentation:
        return {}
    first = next(iter(records.values()))
    names = _class_names(first)
    pairs = [(names[label], names[taken], samples) for label, taken, samples in first.get("most_confused", [])]
    return {
        "rows": [{**record, "runtime": runtime} for runtime, record in records.items()], "first": first,
        "noun": "clips" if run.config().data.clip else "images",
        "classes": _class_rows(first, names), "agreement": _agreement(*records.values()),
        "confusion": confusion_chart(first.get("confusion", []), names), "pairs": pairs,
    }


def accuracy_tile(accuracy: Record, history: list[Record]) -> Record | None:
    """The figure at the head of the page: of an evaluation, else the best of training."""
    if "top1" in accuracy.get("first", {}):
        first, noun = accuracy["first"], accuracy["noun"]
        rate = number(first.get("majority_class_rate"))
        beside = "" if rate is None else f"; always the commonest class: {rate:.1%}"
        return {"title": f"Accuracy, held-out {noun}", "figure": percent(first["top1"]),
                "beside": f"{first.get('images', '?')} {noun}{beside}"}
    scores = [score for record in history if (score := number(record.get("val_top1"))) is not None]
    if not scores:
        return None
    return {"title": "Best validation accuracy", "figure": percent(max(scores)), "beside": "while training"}


def _agreement(first: Record, *others: Record) -> Record | None:
    """How many predictions of two evaluations of the same samples are the same; None where they cannot be compared."""
    if not others:
        return None
    ours, theirs = first.get("predictions", []), others[0].get("predictions", [])
    if not ours or len(ours) != len(theirs) or first.get("views") != others[0].get("views"):
        return {"comparable": False}
    return {"comparable": True, "same": sum(a == b for a, b in zip(ours, theirs)), "of": len(ours)}


def _class_names(record: Record) -> list[str]:
    """The classes by name, or by number where names are missing."""
    names = list(record.get("classes") or [])
    size = max(len(record.get("per_class") or []), len(record.get("confusion") or []))
    return names + [str(missing) for missing in range(len(names), size)]


def _class_rows(record: Record, names: list[str]) -> Record:
    scores = record.get("per_class") or []
    pairs = scores.items() if isinstance(scores, dict) else zip(names, scores)
    rows = [{"name": name, "score": score} for name, score in pairs if number(score) is not None]
    lowest = sorted(rows, key=lambda row: row["score"])[:MOST_CLASSES]
    return {"rows": lowest if len(rows) > MOST_CLASSES else rows, "count": len(rows)}
