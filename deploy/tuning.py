"""The dial: which number of merged tokens meets a latency budget on this device, and what accuracy that leaves."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from msnoah.config import ProfileConfig
from msnoah.deploy.evaluation import evaluate_file
from msnoah.deploy.family import Member, open_family
from msnoah.deploy.latency_table import format_ms
from msnoah.deploy.profile import Metric, Profile
from msnoah.deploy.row_measurement import profile_rows
from msnoah.deploy.rows import Row
from msnoah.deploy.runtimes.table import find_runtime
from msnoah.errors import BudgetError, DataError, ProfileError
from msnoah.run_folder import RunFolder, read_json, write_json
from msnoah.text_table import align_table

Record = dict[str, Any]
Choice = Literal["degree", "accuracy"]
CIRCUMSTANCES = (
    "model", "runtime", "version", "precision", "threads", "thread_control", "batch_size", "warmup", "device",
    "started", "msnoah", "commit",
)
"""Fields of a Profile that all members have in common."""


@dataclass(frozen=True)
class Budget:
    """What is asked for: at most so many milliseconds, median of a metric; then the least merging, or most accuracy."""

    ms: float
    metric: Metric = "wall"
    choose: Choice = "degree"

    def __post_init__(self):
        if not (math.isfinite(self.ms) and self.ms > 0):
            raise ProfileError(f"a budget of {self.ms:g} ms: expected a number above 0")


@dataclass(frozen=True)
class Point:
    """One member of the family, measured; `top1` (0-1, of `images`) is None where accuracy was not asked for."""

    member: Member
    profile: Profile
    top1: float | None = None
    images: int | None = None

    def latency_ms(self, metric: Metric) -> float:
        """Median of a run in milliseconds."""
        return self.profile.percentile(50, metric)

    def to_record(self, budget: Budget) -> Record:
        """The point as tune.json holds it, with its raw latencies."""
        facts, profile, metrics = self.member.facts, self.profile, ("wall", "cpu")
        return {
            "tokens_merged": facts.tokens_merged, "artifact": f"family/{facts.file}", "sha256": profile.sha256,
            "file_sha256": facts.sha256, "size_bytes": profile.size_bytes, "tokens": facts.tokens, "macs": facts.macs,
            "verified": profile.verified, "top1": self.top1, "images": self.images,
            "median_ms": {metric: self.latency_ms(metric) for metric in metrics},
            "interval_ms": {metric: profile.median_interval(metric) for metric in metrics},
            "meets_budget": self.latency_ms(budget.metric) <= budget.ms, "wall_ms": profile.wall_ms,
            "cpu_ms": profile.cpu_ms, "peak_memory_mb": profile.peak_memory_mb,
        }


@dataclass(frozen=True)
class Tuning:
    """All points, those that merge least first, the budget, and the point that was chosen; None if none meets it."""

    budget: Budget
    points: list[Point]
    choice: Point | None

    def to_record(self) -> Record:
        """What tune.json holds."""
        first, points = self.points[0].profile.to_record(), [point.to_record(self.budget) for point in self.points]
        return {
            "choice": None if self.choice is None else points[self.points.index(self.choice)]["artifact"],
            "budget_ms": self.budget.ms, "metric": self.budget.metric, "choose": self.budget.choose,
            **{key: first[key] for key in CIRCUMSTANCES}, "repeats": self.points[0].profile.repeats,
            "points": points, "warnings": self.warnings(),
        }

    def warnings(self) -> list[str]:
        """What speaks against these figures, in words; what holds for all members is said once."""
        found = [{words: point.member.name for words in point.profile.warnings()} for point in self.points]
        shared = [words for words in found[0] if all(words in one for one in found)]
        own = [f"{name}: {words}" for one in found for words, name in one.items() if words not in shared]
        return shared + own + self._undecided() + self._useless()

    def table(self) -> str:
        """Plain text: a line a member with the choice marked, then the choice in words and the warnings."""
        rows = [[cell(self, point) for cell in COLUMNS.values()] for point in self.points]
        lines = [line.rstrip() for line in align_table([list(COLUMNS), *rows])]
        return "\n".join([*lines, self._verdict(), *(f"warning: {words}" for words in self.warnings())])

    def check(self) -> None:
        """BudgetError if no verified member meets the budget."""
        if self.choice is None:
            raise BudgetError(self._verdict())

    def _verdict(self) -> str:
        metric, limit = self.budget.metric, f"{self.budget.ms:g} ms ({self.budget.metric}, median)"
        if self.choice is None:
            fastest = min(self.points, key=lambda point: point.latency_ms(metric))
            figure = f"{fastest.member.name}, takes {format_ms(fastest.latency_ms(metric))} ms"
            return f"no verified member of the family meets {limit}; the fastest, {figure}"
        why = {"degree": "merges least", "accuracy": "is the most accurate"}[self.budget.choose]
        return f"{self.choice.member.artifact.path}: {why} of those that meet {limit}"

    def _undecided(self) -> list[str]:
        words = []
        for point in self.points:
            low, high = point.profile.median_interval(self.budget.metric)
            if low <= self.budget.ms < high:
                interval = f"{format_ms(low)} to {format_ms(high)} ms"
                words.append(f"{point.member.name}: the 95 % interval of its median, {interval}, spans the budget:"
                             " measure more runs")
        return words

    def _useless(self) -> list[str]:
        """Small models lose more to the matching than they save; `points` begins with the one that merges least."""
        metric = self.budget.metric
        intervals = [point.profile.median_interval(metric) for point in self.points]
        if len(intervals) == 1 or any(intervals[0][1] >= low for low, _ in intervals[1:]):
            return []
        return [f"{self.points[0].member.name} is the fastest: merging more does not pay for this model here"]


def tune(
    run: RunFolder, budget: Budget, settings: ProfileConfig, *, runtime: str = "onnxruntime", accuracy: bool = True,
) -> Tuning:
    """Measures every member of a run's family in turns, chooses one, and writes tune.json.

    Args:
        run: a folder with a family.
        budget: what to choose by.
        settings: batch size, warm-up, repeats and the first of threads; `runtimes` are not looked at.
        runtime: one that runs ONNX.
        accuracy: also take top-1 on the run's val data, of each member once: family/accuracy.json keeps it.

    Raises:
        RunFolderError: no family.
        ProfileError: a file of the family is stale, a member that cannot be measured, or a choice by accuracies that
            are not taken.
        RuntimeUnavailableError: an unknown runtime.
        DataError: no val data to take accuracies on.
    """
    if budget.choose == "accuracy" and not accuracy:
        raise ProfileError("the most accurate member cannot be chosen without accuracies; leave --no-accuracy out")
    if "onnx" not in find_runtime(runtime).kinds:
        raise ProfileError(f"{runtime} does not run ONNX files, which a family consists of; tune in onnxruntime")
    members = open_family(run)
    scores = [_score(run, member, settings.threads[0]) if accuracy else {} for member in members]
    profiles = _measure(members, runtime, settings)
    points = [Point(*parts, **score) for *parts, score in zip(members, profiles, scores, strict=True)]
    tuning = Tuning(budget, points, _choose(points, budget))
    write_json(run.tuning_path, tuning.to_record())
    return tuning


def _measure(members: Sequence[Member], runtime: str, settings: ProfileConfig) -> list[Profile]:
    rows = [Row(runtime, settings.threads[0], member.artifact) for member in members]
    profiles = profile_rows(rows, settings, operator_runs=0)
    failed = next((row for row in rows if row.error), None)
    if failed:
        raise ProfileError(f"{failed.artifact.path}: {failed.error}")
    return profiles


def _choose(points: Sequence[Point], budget: Budget) -> Point | None:
    """Points merge more and more, so the first that meets the budget merges least; of equal accuracies it wins too."""
    fitting = [point for point in points
               if point.latency_ms(budget.metric) <= budget.ms and point.profile.verified is not False]
    if budget.choose == "accuracy":
        return max(fitting, key=lambda point: point.top1, default=None)
    return next(iter(fitting), None)


def _score(run: RunFolder, member: Member, threads: int) -> Record:
    """top1 and images of a member on the val data; from family/accuracy.json if they were taken of the same files."""
    path, artifact = run.family_path / "accuracy.json", member.artifact
    known = read_json(path) if path.is_file() else {}
    data = hashlib.sha256(run.config().data.model_dump_json().encode()).hexdigest()
    key = f"{artifact.sha256}/{data}"
    if key not in known:
        try:
            record = evaluate_file(run, artifact, threads=threads)
        except DataError as error:
            raise DataError(f"{error}; --no-accuracy tunes without data") from error
        known = {**known, key: {"top1": record["top1"], "images": record["images"]}}
        write_json(path, known)
    return known[key]


def _interval(tuning: Tuning, point: Point) -> str:
    low, high = point.profile.median_interval(tuning.budget.metric)
    return f"{format_ms(low)}-{format_ms(high)}"


COLUMNS: dict[str, Callable[[Tuning, Point], str]] = {
    "tokens merged": lambda tuning, point: str(point.member.facts.tokens_merged),
    "p50 wall ms": lambda tuning, point: format_ms(point.latency_ms("wall")),
    "p50 CPU ms": lambda tuning, point: format_ms(point.latency_ms("cpu")),
    "95 % interval": _interval,
    "top-1": lambda tuning, point: "-" if point.top1 is None else f"{point.top1:.2%}",
    "M multiply-adds": lambda tuning, point: f"{point.member.facts.macs / 1e6:,.2f}",
    "tokens left": lambda tuning, point: str(point.member.facts.tokens[-1]),
    "verified": lambda tuning, point: "yes" if point.profile.verified else "NO",
    "": lambda tuning, point: "<- chosen" if point is tuning.choice else "",
}
