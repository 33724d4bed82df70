"""What a report says of labelled pixels: scores by runtime beside the trivial ones, by class, and pictures."""

import base64
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup

from msnoah.deploy.report.confusion import MOST_CLASSES as MOST_SHADED
from msnoah.deploy.report.confusion import confusion_chart
from msnoah.deploy.report.formats import count, number, percent
from msnoah.run_folder import RunFolder, read_json

Record = dict[str, Any]
MOST_CLASSES = 20   # of scores by class, the lowest; of pairs of classes, the most frequent
JPEG_QUALITY = 90
TRIVIAL_TITLE = "always the commonest class"


def gather_segmentation(run: RunFolder) -> Record:
    """The records of `msnoah eval`, MindSpore's first, arranged for the template; empty if there is none, or if the run
    labels no pixels.

    Raises:
        RunFolderError: a record is damaged.
    """
    paths = {"MindSpore": run.evaluation_path, "ONNX Runtime": run.onnx_evaluation_path}
    if not run.config().data.segmentation or not any(path.is_file() for path in paths.values()):
        return {}
    records = {runtime: read_json(path) for runtime, path in paths.items() if path.is_file()}
    first, onnx = next(iter(records.values())), records.get("ONNX Runtime", {})
    trivial, confusion, names = first.get("trivial", {}), first.get("confusion", []), first["classes"]
    return {
        "rows": [{**record, "runtime": runtime} for runtime, record in records.items()], "first": first,
        "trivial": {**trivial, "name": names[trivial["class"]]} if trivial else {},
        "difference": _difference(*records.values()), "sha256": onnx.get("sha256"),
        "classes": _class_rows(first, onnx.get("palette") or []), "count": len(names),
        "confusion": confusion_chart(confusion, names, shares=True), "pairs": _pairs(confusion, names),
        "pictures": [_picture(run, picture) for picture in onnx.get("pictures", [])
                     if (run.predictions_path / picture["file"]).is_file()],
    }


def segmentation_tile(segmentation: Record, history: list[Record]) -> Record | None:
    """The figure at the head of the page: of an evaluation, else the best of training."""
    if segmentation:
        first, trivial = segmentation["first"], segmentation["trivial"]
        beside = f"; {TRIVIAL_TITLE} ({trivial['name']}): {percent(trivial.get('miou'))}" if trivial else ""
        return {"title": "mIoU, held-out images", "figure": percent(first.get("miou")),
                "beside": f"{count(first.get('images'))} images{beside}"}
    scores = [score for record in history if (score := number(record.get("val_miou"))) is not None]
    if not scores:
        return None
    return {"title": "Best validation mIoU", "figure": percent(max(scores)), "beside": "while training"}


def _difference(first: Record, *others: Record) -> float | None:
    """By how much the artifact's mIoU is more than MindSpore's; None unless both saw the same images alike."""
    if not others or any(first.get(key) != others[0].get(key) for key in ("images", "pixels", "views")):
        return None
    return others[0]["miou"] - first["miou"]


def _class_rows(record: Record, palette: list[list[int]]) -> list[Record]:
    """Classes with a score in the data's order; of many those with the lowest IoU, from there up."""
    accuracies, confusion = record.get("per_class_accuracy", []), record.get("confusion", [])
    rows = [{
        "name": name, "iou": iou, "accuracy": accuracies[label],
        "color": "#" + bytes(palette[label]).hex() if palette else None,
        "share": sum(confusion[label]) / record["pixels"] if confusion else None,
    } for label, (name, iou) in enumerate(zip(record["classes"], record["per_class"])) if number(iou) is not None]
    return rows if len(rows) <= MOST_CLASSES else sorted(rows, key=lambda row: row["iou"])[:MOST_CLASSES]


def _pairs(confusion: list[list[int]], names: list[str]) -> list[Record]:
    """The most frequent mistakes, where the matrix is too large to be drawn."""
    if len(confusion) <= MOST_SHADED:
        return []
    counts = np.array(confusion)
    totals = counts.sum(1)
    np.fill_diagonal(counts, 0)
    places = np.argsort(counts, axis=None)[::-1][:MOST_CLASSES]
    found = [divmod(int(place), len(names)) for place in places]
    return [{"label": names[label], "prediction": names[taken], "pixels": int(counts[label, taken]),
             "share": counts[label, taken] / totals[label]} for label, taken in found if counts[label, taken]]


def _picture(run: RunFolder, picture: Record) -> Record:
    """As JPEG, of which a page can hold some; what cannot be read leaves a gap."""
    pixels = cv2.imdecode(np.fromfile(run.predictions_path / picture["file"], np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        return {**picture, "address": "", "width": 0}
    content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    address = Markup("data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode())
    return {**picture, "address": address, "width": pixels.shape[1]}
