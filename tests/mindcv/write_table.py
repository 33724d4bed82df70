"""docs/mindcv.md from records.jsonl: one line a family, then every model, then what is missing and why."""

import json
import statistics
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "mindcv.md"
TOLERANCE, LOOSE = 1e-5, 1e-4
NOISE_FACTOR = 3
"""An error of up to this many times what rounding the input alone changes is the network's, not the conversion's."""

INTRO = """\
Every model of MindCV {mindcv} on MindSpore {mindspore}, CPU: random weights, random statistics and factors of every
BatchNorm, one random image.

*Error*: largest difference between MindSpore's own outputs and ONNX Runtime's, over the largest output. *Noise*: the
same between two runs of ONNX Runtime whose inputs differ by half a float32 step in every pixel: no conversion can be
told from rounding below it. An error of up to {factor} times the noise is called ill-conditioned: the random network
itself is. *CPU*: one thread, batch 1, median of interleaved rounds. *Native*: `mindspore.export(...,
file_format="ONNX")`. A ratio is ours over native; those above 1.015 were measured twice, the second time on a quieter
machine, and the second figure stands here.

Made by `python tests/mindcv/write_table.py` from `tests/mindcv/records.jsonl`; `tests/mindcv/sweep.py` says how to
measure again.
"""
"""What stands above the tables."""


def read_records() -> list[dict]:
    return [json.loads(line) for line in (HERE / "records.jsonl").read_text().splitlines()]


def exports(record: dict) -> bool:
    return record.get("step") in ("native", "done")


def verdict(record: dict) -> str:
    ours = record.get("ours", {})
    if record.get("step") == "untried":
        return "not tried"
    if not exports(record):
        return "no MindIR"
    if "failure" in ours or not ours:
        return "not converted"
    if "error" not in ours:
        return "not compared"
    error = ours["error"]
    if error <= TOLERANCE:
        return "equal"
    return "ill-conditioned" if error <= NOISE_FACTOR * ours["noise"] else "off"


def tried(record: dict) -> bool:
    return record.get("step") != "untried"


def has_native(record: dict) -> bool:
    return "native_operators" in record.get("ours", {})


def reason(text: str) -> str:
    """The first sentence of an error, without MindSpore's ruled lines."""
    return text.split(" ----")[0].split(". ---")[0].replace("|", "/").strip()[:160]


def figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def summary(records: list[dict]) -> list[str]:
    built = [r for r in records if exports(r)]
    counts = defaultdict(int)
    for record in built:
        counts[verdict(record)] += 1
    ratios = [r["ours"]["ratio"] for r in built if "ratio" in r.get("ours", {})]
    smaller = [r["ours"]["operators"] / r["ours"]["native_operators"] for r in built if has_native(r)]
    lines = [
        f"- {sum(map(tried, records))} of {len(records)} models tried, every one of the "
        f"{len({r.get('family') for r in records if r.get('family')})} families; {len(built)} build and export MindIR.",
        f"- **msnoah converts {len(built) - counts['not converted']} of {len(built)}**: {counts['equal']} within "
        f"{TOLERANCE:.0e}, {counts['ill-conditioned']} ill-conditioned (see below), {counts['off']} off, "
        f"{counts['not compared']} not compared.",
        f"- The native exporter writes {sum(map(has_native, built))} of {len(built)}.",
    ]
    if ratios:
        lines.append(
            f"- Beside the native graph, where there is one: CPU time ratio median {statistics.median(ratios):.3f}, "
            f"{min(ratios):.3f} to {max(ratios):.3f}, over {len(ratios)} models; "
            f"operators {statistics.median(smaller):.2f} (median).")
    return lines


def calm(records: list[dict]) -> list[str]:
    """Which models have calmer norms than the others."""
    names = [f"{r['model']} ({r['calm']})" for r in records if r.get("calm", 1) != 1]
    if not names:
        return []
    return [
        f"- Factors of the norms are drawn from 0.5 to 1.5, times a smaller number for {', '.join(sorted(names))}: "
        "with larger ones these random networks are ill-conditioned (ONNX Runtime's own two levels of optimisation "
        "differ by 6e-4 for skresnet50)."]


def families(records: list[dict]) -> list[str]:
    groups = defaultdict(list)
    for record in filter(tried, records):
        groups[record.get("family", "?")].append(record)
    lines = [
        "| family | models | export MindIR | msnoah | native | worst error | time ratio |",
        "|---|---|---|---|---|---|---|"]
    for family, members in sorted(groups.items()):
        built = [r for r in members if exports(r)]
        ours = [r for r in built if "error" in r.get("ours", {})]
        ratios = [r["ours"]["ratio"] for r in ours if "ratio" in r["ours"]]
        worst = max((r["ours"]["error"] for r in ours), default=None)
        ratio = statistics.median(ratios) if ratios else None
        lines.append(
            f"| {family} | {len(members)} | {len(built)} | {len(ours)} | {sum(map(has_native, built))} "
            f"| {figure(worst, '.1e')} | {figure(ratio, '.2f')} |")
    return lines


def models(records: list[dict]) -> list[str]:
    lines = [
        "| model | parameters, M | input | operators | native | size, MB | native | error | noise | CPU, ms | native "
        "| ratio |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for record in sorted(records, key=lambda r: r["model"]):
        ours = record.get("ours", {})
        if "error" in ours:
            keys = (
                ("operators", ""), ("native_operators", ""), ("size_mb", ".1f"), ("native_size_mb", ".1f"),
                ("error", ".1e"), ("noise", ".1e"), ("cpu_ms", ".1f"), ("native_cpu_ms", ".1f"), ("ratio", ".3f"))
            cells = " | ".join(figure(ours.get(key), form) for key, form in keys)
            lines.append(f"| {record['model']} | {record['parameters'] / 1e6:.1f} | {record['image_size']} | {cells} |")
    return lines


def missing(records: list[dict]) -> list[str]:
    lines = ["| model | what | why |", "|---|---|---|"]
    for record in sorted(filter(tried, records), key=lambda r: r["model"]):
        kind = verdict(record)
        ours = record.get("ours", {})
        if kind == "equal":
            continue
        why = reason(ours.get("failure") or record.get("run_error") or record.get("error", ""))
        if kind in ("ill-conditioned", "off"):
            why = f"error {ours['error']:.1e}; rounding the input alone changes the output by {ours['noise']:.1e}"
        lines.append(f"| {record['model']} | {kind} | {why} |")
    untried = sorted(record["model"] for record in records if not tried(record))
    return [*lines, "", f"Not tried, for want of time and disk: {', '.join(untried) or 'none'}."]


def main() -> None:
    records = read_records()
    versions = next(r for r in records if "mindspore" in r)
    intro = INTRO.format(mindcv=versions["mindcv"], mindspore=versions["mindspore"], factor=NOISE_FACTOR)
    page = [
        "# MindCV through msnoah", "", intro, *summary(records), *calm(records), "",
        "## By family", "", *families(records), "",
        "## Not equal within 1e-5, or not there", "", *missing(records), "",
        "## Every model", "", *models(records), ""]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(page))


if __name__ == "__main__":
    main()
