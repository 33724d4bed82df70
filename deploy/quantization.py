"""int8 and float16 artifacts of a run's model.onnx, held to an accuracy budget on the run's own val split."""

import datetime
import hashlib
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any

import numpy as np
import onnx
from tqdm import tqdm

import msnoah
from msnoah.deploy.calibration_samples import Samples
from msnoah.deploy.device import read_device
from msnoah.deploy.float_artifact import MEASURES, FloatArtifact
from msnoah.deploy.quantization_groups import find_groups
from msnoah.deploy.quantization_record import add_artifact, open_record, save_record
from msnoah.deploy.quantization_search import scan, search
from msnoah.errors import BudgetError, MsnoahError, VerificationError
from msnoah.export.activation_ranges import find_peaks, find_ranges
from msnoah.export.half_precision import round_to_half, use_half_precision
from msnoah.export.quantization import list_values, quantize_nodes
from msnoah.export.verification import run_onnx
from msnoah.quantization_config import QuantizationConfig
from msnoah.run_folder import RunFolder

Record = dict[str, Any]
PEAK_IMAGES = 32
"""Samples on which numbers too large for float16 are looked for; every inner value is fetched."""


def quantize_run(
    run: RunFolder, precisions: Iterable[str], settings: QuantizationConfig, *, threads: int = 1,
) -> Record:
    """Writes model_int8.onnx, model_fp16.onnx or both, enters them in export.json, and says in quantization.json how.

    A search that was interrupted goes on where it was, if model.onnx, the data and the settings are the same.

    Args:
        run: a folder with an exported model. MindSpore is not needed.
        precisions: of PRECISIONS.
        settings: calibration, and how much accuracy may be lost.
        threads: of ONNX Runtime.

    Returns:
        The record that quantization.json holds.

    Raises:
        RunFolderError, ProfileError: nothing exported yet, model.onnx is stale, or the folder cannot be written.
        DataError: no data to calibrate on or to take accuracy on.
        ConversionError: nothing to quantise, or ranges that are not finite.
        BudgetError: no int8 form is accurate enough; quantization.json says what was found, no artifact is written.
        VerificationError: the float16 form is not accurate enough, or not finite; no artifact is written.
    """
    original = FloatArtifact(run, threads)
    record = open_record(original)
    save_record(run, record)   # a folder that cannot be written is found out now
    record["fp32"] = _float_facts(original, record)
    record |= {"measure": original.measure, "measure_name": MEASURES[original.measure], **_circumstances()}
    save_record(run, record)
    for precision in precisions:
        PRECISIONS[precision](original, settings, record)
    return record


def _float_facts(original: FloatArtifact, record: Record) -> Record:
    """The float artifact's accuracy, taken once for the same data."""
    data, known = _hash_data(original), record.get("fp32", {})
    if known.get("data") == data:
        original.accuracy = known["accuracy"]
    artifact = original.artifact
    return {"file": artifact.path.name, "size_bytes": artifact.size_bytes, "accuracy": original.accuracy, "data": data}


def _circumstances() -> Record:
    return {
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "chip": read_device().chip, "msnoah": msnoah.__version__,
        "onnxruntime": metadata.version("onnxruntime"),
    }


def _hash_data(original: FloatArtifact) -> str:
    return hashlib.sha256(original.data.model_dump_json().encode()).hexdigest()


# --- float16


def _make_float16(original: FloatArtifact, settings: QuantizationConfig, record: Record) -> None:
    samples = Samples(original.data, "train", settings.calibration_images)
    count = min(PEAK_IMAGES, len(samples))
    produced = {name for node in original.model.graph.node for name in node.output}
    watched = [info.name for info in original.model.graph.value_info
               if info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT and info.name in produced]
    peaks = find_peaks(
        original.model, watched, lambda: (row[None] for feed in original.feeds(samples, count) for row in feed),
        threads=original.threads)
    model, kept = use_half_precision(original.model, peaks)
    original.require_loadable(model)
    # As a device with float16 arithmetic rounds; the file itself only has to give numbers, since this CPU rounds less.
    rounded = round_to_half(original.model, kept)
    compared, accuracy = original.compare(rounded), original.score(rounded)
    compared["finite"] &= original.compare(model)["finite"]
    drop = original.drop(accuracy)
    if not compared["finite"] or drop > settings.accuracy_budget:
        what = f"loses {_points(drop)} of accuracy" if compared["finite"] else "gives NaN or infinity"
        raise VerificationError(f"{original.run.path}: float16 {what}, allowed are "
                                f"{_points(settings.accuracy_budget)}; no artifact was written")
    facts = {"accuracy": accuracy, "verification": _verification(original, compared, drop, settings),
             "float_operators": kept, "largest_value": max(peaks.values(), default=0.0)}
    record["fp16"] = add_artifact(original, "fp16", model, facts)
    save_record(original.run, record)


# --- int8


def _make_int8(original: FloatArtifact, settings: QuantizationConfig, record: Record) -> None:
    groups = {group.name: group for group in find_groups(original.model)}
    part = record["int8"] = _resume(original, settings, record)
    samples = Samples(original.data, "train", settings.calibration_images)
    part["calibration"] = {"source": original.data.source, "split": "train", "samples": len(samples)}
    quantize = _quantizer(original, settings, samples)

    def save() -> None:
        save_record(original.run, record)

    save()
    original.require_loadable(quantize(node for group in groups.values() for node in group.nodes))
    answer = _answerer(original, samples, settings.scan_images, quantize)
    scan(list(groups.values()), answer, part["sensitivity"], save)
    ranking, macs = [row["group"] for row in part["sensitivity"]], sum(group.macs for group in groups.values())

    def nodes_without(kept: Iterable[str]) -> list[str]:
        return [node for group in groups.values() if group.name not in set(kept) for node in group.nodes]

    def attempt(kept: Iterable[str]) -> Record:
        accuracy = original.score(quantize(nodes_without(kept)))
        drop, left = original.drop(accuracy), macs - sum(groups[name].macs for name in kept)
        good = bool(drop <= settings.accuracy_budget)   # NaN is never good
        return {"float_groups": list(kept), "int8_macs": left / macs if macs else 0.0, "accuracy": accuracy,
                "drop": drop, "good": good}

    chosen = search(ranking, attempt, part["steps"], save)
    part["finished"], part["chosen"] = True, None if chosen is None else chosen["kept"]
    if chosen is None:
        save()
        raise BudgetError(_describe_failure(original, part, settings))
    _write_int8(original, settings, record, chosen, quantize(nodes_without(chosen["float_groups"])))


def _resume(original: FloatArtifact, settings: QuantizationConfig, record: Record) -> Record:
    """What an interrupted search of the same kind has left, or the beginning of a new one."""
    key = {"settings": settings.model_dump(), "data": _hash_data(original)}
    known = record.get("int8", {})
    goes_on = not known.get("finished", True) and all(known.get(name) == value for name, value in key.items())
    kept = {name: known[name] if goes_on else [] for name in ("sensitivity", "steps")}
    return {**key, **kept, "finished": False, "chosen": None}


def _quantizer(
    original: FloatArtifact, settings: QuantizationConfig, samples: Samples,
) -> Callable[[Iterable[str]], onnx.ModelProto]:
    """From names of nodes to the model in which they are quantised; ranges are found once."""
    every = [node for group in find_groups(original.model) for node in group.nodes]
    values = list_values(original.model, every)
    passes = tqdm(desc="calibrating", unit="batch", leave=False)

    def feeds() -> Iterable[np.ndarray]:
        for feed in original.feeds(samples):
            passes.update()
            yield feed

    with passes:
        ranges = find_ranges(original.model, values, feeds, method=settings.method, percentile=settings.percentile,
                             threads=original.threads)
    return lambda nodes: quantize_nodes(original.model, ranges, set(nodes), weight_bits=settings.weight_bits)


def _answerer(
    original: FloatArtifact, samples: Samples, count: int, quantize: Callable[[Iterable[str]], onnx.ModelProto],
) -> Callable[[Iterable[str]], np.ndarray]:
    """From names of nodes to the first output, for `count` samples, of the model in which they are quantised."""
    feeds = list(original.feeds(samples, count))

    def answer(nodes: Iterable[str]) -> np.ndarray:
        predict = run_onnx(quantize(nodes), threads=original.threads)
        return np.concatenate([predict([feed])[0] for feed in feeds])

    return answer


def _write_int8(
    original: FloatArtifact, settings: QuantizationConfig, record: Record, chosen: Record, model: onnx.ModelProto,
) -> None:
    compared, part = original.compare(model), record["int8"]
    facts = {key: chosen[key] for key in ("accuracy", "float_groups", "int8_macs")}
    facts |= {"verification": _verification(original, compared, chosen["drop"], settings), "method": settings.method}
    part |= add_artifact(original, "int8", model, facts)
    save_record(original.run, record)


def _describe_failure(original: FloatArtifact, part: Record, settings: QuantizationConfig) -> str:
    best, measure = min(part["steps"], key=lambda step: step["drop"]), original.measure
    layers = f"{best['kept']} of {len(part['sensitivity'])} layers in float"
    allowed = f"no int8 form loses {_points(settings.accuracy_budget)} of accuracy or less"
    scores = f"{best['accuracy'][measure]:.2%} of float's {original.accuracy[measure]:.2%} {MEASURES[measure]}"
    return (f"{original.run.path}: {allowed}; the best, with {layers}, has {scores}; no artifact "
            "was written")


def _verification(
    original: FloatArtifact, compared: Record, drop: float, settings: QuantizationConfig,
) -> Record:
    """`passed`: the float artifact is verified, and this one within the budget; its outputs differ by more than those
    of a float artifact may."""
    passed = original.artifact.verified is not False
    return {"passed": passed, "drop": drop, "budget": settings.accuracy_budget, **compared}


def _points(share: float) -> str:
    return f"{100 * share:.2f} points"


PRECISIONS: dict[str, Callable[[FloatArtifact, QuantizationConfig, Record], None]] = {
    "fp16": _make_float16, "int8": _make_int8,
}
"""What makes an artifact, by its precision."""


def find_precisions(text: str) -> list[str]:
    """`int8,fp16` as names; MsnoahError for an unknown one."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    unknown = next((name for name in names if name not in PRECISIONS), None)
    if unknown is not None:
        raise MsnoahError(f"precision '{unknown}' cannot be made; use {', '.join(PRECISIONS)}")
    return names
