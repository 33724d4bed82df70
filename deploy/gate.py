"""The gate that measures: two artifacts against each other, here and now, until the answer is beyond doubt.

Each is loaded in a process of its own. A pair is a round of the one and a round of the other, the order turned around
each time; what counts is the logarithm of the ratio of their medians, so that whatever slows the machine down for
longer than a pair cancels. Of all pairs the median and its interval by the sign test are taken, which asks nothing of
how noise is distributed. The interval is looked at again and again, and each look may be wrong: look k is therefore
taken at the level alpha / (k (k + 1)), which together are alpha (Darling and Robbins 1967, Confidence sequences for
mean, variance, and median, PNAS 58:66-68). It goes on until the interval lies on one side of the limit, or the time is
over.

Two processes of the same artifact differ too: addresses and pages fall differently (Mytkowicz et al. 2009, Producing
wrong data without doing anything obviously wrong). So both are started anew after each look.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from msnoah.deploy.artifact import Artifact
from msnoah.deploy.artifact_file import OPENERS, exported_artifact, open_artifact
from msnoah.deploy.latency_table import format_ms
from msnoah.deploy.measurement import Samples, largest_relative_difference
from msnoah.deploy.profile import Metric
from msnoah.deploy.runtimes.table import find_runtime
from msnoah.deploy.side_worker import open_worker as open_runtime_worker
from msnoah.deploy.statistics import sign_interval
from msnoah.deploy.worker_process import WorkerProcess
from msnoah.errors import ProfileError, RegressionError
from msnoah.run_folder import RunFolder

Verdict = Literal["pass", "regression", "undecided", "compared"]

FIRST_PAIRS = 12  # before the first look; each further one doubles them
ROUND_MS = 100.0  # length of a round, short beside what the machine's speed takes to change
MOST_RUNS = 20  # in a round
RESOLUTION = 0.01  # two starts of one artifact may differ by so much: about 0.5 % each, measured


@dataclass(frozen=True)
class Plan:
    """What is measured and what is allowed.

    `max_regression` is a fraction; without it the gate compares until `time_limit_s` is over or the interval is at most
    RESOLUTION wide. `confidence` is that of the verdict, all looks together.
    """

    runtime: str = "onnxruntime"
    threads: int = 1
    batch_size: int = 1
    metric: Metric = "cpu"
    max_regression: float | None = None
    confidence: float = 0.99
    time_limit_s: float = 60.0

    def __post_init__(self):
        if not 0 < self.confidence < 1:
            raise ProfileError(f"a confidence of {self.confidence:.4g}: expected more than 0 % and less than 100 %")
        if self.threads < 1:
            raise ProfileError(f"{self.threads} threads: expected 1 or more")
        if self.time_limit_s <= 0:
            raise ProfileError("a time limit of 0 s measures nothing; expected one such as 60s")


@dataclass
class Pairs:
    """What was measured: medians of a round in milliseconds, one entry a pair; `looks` counts the intervals taken."""

    before_ms: list[float] = field(default_factory=list)
    after_ms: list[float] = field(default_factory=list)
    looks: int = 0
    interval: tuple[float, float] = (-math.inf, math.inf)  # of the logarithm of the ratio, at the last look

    def log_ratios(self) -> np.ndarray:
        """Of each pair, log(after / before)."""
        return np.log(self.after_ms) - np.log(self.before_ms)

    def look(self, confidence: float) -> None:
        """Takes the interval anew, at the level of this look."""
        self.looks += 1
        self.interval = sign_interval(self.log_ratios(), (1 - confidence) / (self.looks * (self.looks + 1)))


@dataclass(frozen=True)
class Remeasurement:
    """The answer: ratio of after over before with its interval, and the verdict about the limit."""

    label: str
    plan: Plan
    pairs: Pairs
    verdict: Verdict
    max_rel: float | None  # largest relative difference of the outputs; None where they cannot be compared

    @property
    def ratio(self) -> float:
        """Median of the ratios of all pairs."""
        return float(np.exp(np.median(self.pairs.log_ratios())))

    @property
    def interval(self) -> tuple[float, float]:
        """Of the ratio, at the plan's confidence over all looks."""
        low, high = self.pairs.interval
        return math.exp(low), math.exp(high)

    def describe(self) -> str:
        """One line with the figures and the verdict."""
        low, high = self.interval
        before, after = (float(np.median(times)) for times in (self.pairs.before_ms, self.pairs.after_ms))
        span = f"{low - 1:+.1%} to {high - 1:+.1%}" if math.isfinite(high) else "unknown"
        return (
            f"{self.label}: {self.plan.metric} median {format_ms(before)} -> {format_ms(after)} ms"
            f" ({self.ratio - 1:+.1%}, {100 * self.plan.confidence:.4g} % interval {span},"
            f" {len(self.pairs.before_ms)} pairs){self._ending()}"
        )

    def warnings(self) -> list[str]:
        """What a reader must know besides."""
        limit, words = self.plan.max_regression, []
        if limit is not None and limit < RESOLUTION:
            words.append(f"a limit of {limit:.1%}: two starts of one artifact already differ by up to {RESOLUTION:.0%}")
        if self.max_rel is None:
            words.append("the two take other inputs or give other outputs: is it the same task?")
        return words

    def text(self) -> str:
        """The line, what the outputs say, and the warnings."""
        outputs = [] if self.max_rel is None else [f"outputs differ by {self.max_rel:.1e} relative"]
        return "\n".join([self.describe(), *outputs, *(f"warning: {words}" for words in self.warnings())])

    def check(self) -> None:
        """RegressionError if b is slower than allowed, or if that could not be told in time."""
        if self.verdict in ("regression", "undecided"):
            raise RegressionError(self.describe())

    def to_record(self) -> dict[str, Any]:
        """All fields and figures as what json can write; an interval that is not known is null."""
        finite = math.isfinite(self.pairs.interval[0])
        pairs = {**asdict(self.pairs), "interval": None}
        return {**asdict(self), "pairs": pairs, "ratio": self.ratio, "interval": self.interval if finite else None}

    def _ending(self) -> str:
        limit = self.plan.max_regression
        return {
            "compared": lambda: "",
            "pass": lambda: f": within {limit:+.1%}",
            "regression": lambda: f": REGRESSION, allowed {limit:+.1%}",
            "undecided": lambda: f": UNDECIDED, {limit:+.1%} lies within the interval after"
                                 f" {self.plan.time_limit_s:g} s; give it more time",
        }[self.verdict]()


def open_side(path: Path, runtime: str) -> Artifact:
    """What `msnoah compare --remeasure` is given, a run folder or a file, as the artifact that a runtime runs.

    Raises:
        RuntimeUnavailableError: an unknown runtime.
        ProfileError: no such file or artifact, or one that the runtime does not run.
        RunFolderError: no run folder.
    """
    kinds = find_runtime(runtime).kinds
    if path.suffix == ".json":
        raise ProfileError(f"{path}: a profile cannot be measured again; expected a run folder or an .onnx file")
    if path.suffix not in OPENERS:
        run = RunFolder.open(path)
        exported = run.export_record().get("artifacts", {})
        return exported_artifact(run, next((kind for kind in kinds if kind in exported), kinds[-1]))
    artifact = open_artifact(path)
    if artifact.kind not in kinds:
        raise ProfileError(f"{path}: {runtime} runs {' and '.join(f'.{kind}' for kind in kinds)} files")
    return artifact


def remeasure(
    before: Artifact, after: Artifact, plan: Plan, *,
    open_worker: Callable[[], WorkerProcess] | None = None, clock: Callable[[], float] = time.monotonic,
) -> Remeasurement:
    """Measures two artifacts in turns until the verdict is certain or the time is over.

    Raises:
        ProfileError: one of them cannot be loaded or run.
        RuntimeUnavailableError: an unknown runtime.
    """
    open_worker = open_worker or partial(open_runtime_worker, plan.runtime)
    pairs, max_rel, verdict = Pairs(), None, None
    deadline, wanted = clock() + plan.time_limit_s, FIRST_PAIRS
    with tqdm(desc="pairs", unit="pair") as progress:
        while verdict is None:
            with ExitStack() as stack:
                workers = [stack.enter_context(open_worker()) for _ in (before, after)]
                for worker, artifact in zip(workers, (before, after)):
                    _start(worker, artifact, plan)
                if pairs.looks == 0:
                    max_rel = _compare_outputs(*workers)
                with _naming(before, after):
                    over = _take_pairs(workers, pairs, wanted, plan.metric, lambda: clock() >= deadline, progress)
            pairs.look(plan.confidence)
            verdict = _decide(pairs, plan, over)
            wanted = 2 * len(pairs.before_ms)
    return Remeasurement(f"{plan.runtime}, threads {plan.threads}", plan, pairs, verdict, max_rel)


def _start(worker: WorkerProcess, artifact: Artifact, plan: Plan) -> None:
    try:
        worker.start(plan.runtime, artifact, plan.threads, plan.batch_size)
    except ProfileError as error:
        raise ProfileError(f"{artifact.path}: {error}") from error


@contextmanager
def _naming(*artifacts: Artifact) -> Iterator[None]:
    """A process that fails while both take turns: the line names the two."""
    try:
        yield
    except ProfileError as error:
        raise ProfileError(f"{' and '.join(str(artifact.path) for artifact in artifacts)}: {error}") from error


def _compare_outputs(before: WorkerProcess, after: WorkerProcess) -> float | None:
    try:
        return largest_relative_difference(after.outputs(), before.outputs())
    except ProfileError:
        return None


def _take_pairs(
    workers: list[WorkerProcess], pairs: Pairs, wanted: int, metric: Metric, is_over: Callable[[], bool],
    progress: tqdm,
) -> bool:
    """Adds pairs until there are `wanted`; whether the time was over before that."""
    first_ms = [worker.measure(1).wall_ms[0] for worker in workers]   # also the warm-up
    runs = max(1, min(MOST_RUNS, round(ROUND_MS / max(*first_ms, 1e-3))))
    while len(pairs.before_ms) < wanted:
        if is_over() and pairs.before_ms:
            return True
        order = (0, 1) if len(pairs.before_ms) % 2 == 0 else (1, 0)
        medians = {index: _median(workers[index].measure(runs), metric) for index in order}
        pairs.before_ms.append(medians[0])
        pairs.after_ms.append(medians[1])
        progress.update()
    return False


def _median(samples: Samples, metric: Metric) -> float:
    return max(float(np.median({"wall": samples.wall_ms, "cpu": samples.cpu_ms}[metric])), 1e-6)


def _decide(pairs: Pairs, plan: Plan, over: bool) -> Verdict | None:
    """None: go on."""
    low, high = pairs.interval
    if plan.max_regression is None:
        return "compared" if over or high - low <= RESOLUTION else None
    limit = math.log1p(plan.max_regression)
    if high <= limit:
        return "pass"
    if low > limit:
        return "regression"
    return "undecided" if over else None
