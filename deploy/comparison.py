"""Two measurements side by side, and the gate that refuses a slower one.

The gate looks at the ratio of the medians, after over before: more than 1 + max_regression is a regression. Its 95 %
interval is reported beside it and a warning says when it spans the limit, since the decision is then within the noise;
gating on the whole interval instead would let a noisier machine pass more regressions.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from msnoah.deploy.profile import Metric, Profile, load_profile
from msnoah.deploy.statistics import ratio_of_medians
from msnoah.errors import ProfileError, RegressionError
from msnoah.run_folder import RunFolder

Source = str | Path | RunFolder
SAME_SPEED = 1.05  # ratio of reference times from which on two profiles are not of the same machine in the same state


@dataclass(frozen=True)
class ComparedRow:
    """One row of both measurements; milliseconds, and ratios of after over before."""

    label: str
    before_ms: float
    after_ms: float
    ratio: float
    interval: tuple[float, float]  # 95 % of the ratio
    before_p90_ms: float
    after_p90_ms: float
    regressed: bool


@dataclass(frozen=True)
class Comparison:
    """All rows that both measurements have, the metric ("cpu" or "wall"), the gate, and what speaks against it."""

    metric: Metric
    max_regression: float | None
    rows: list[ComparedRow]
    warnings: list[str]

    @property
    def regressions(self) -> list[str]:
        """One line for each row that is slower than allowed; empty without a gate."""
        return [
            f"{row.label}: {self.metric} median {row.before_ms:.4g} -> {row.after_ms:.4g} ms is {row.ratio - 1:+.1%},"
            f" allowed {self.max_regression:+.1%}"
            for row in self.rows if row.regressed
        ]

    def check(self) -> None:
        """Raises RegressionError, one line a row, if there are regressions."""
        if self.regressions:
            raise RegressionError("\n".join(self.regressions))

    def to_record(self) -> dict[str, Any]:
        """All fields, and the regressions in words, as what json can write."""
        return {**asdict(self), "regressions": self.regressions}

    def text(self) -> str:
        """Plain text: a line a row, then the warnings."""
        lines = [_format_row(row, self.metric) for row in self.rows]
        return "\n".join(lines + [f"warning: {words}" for words in self.warnings])


def compare(a: Source, b: Source, *, max_regression: float | None = None, metric: Metric = "wall") -> Comparison:
    """Compares b with its baseline a: two profile JSONs, or two run folders whose rows are matched.

    Args:
        a, b: paths, or run folders; rows match by device, runtime, threads, batch size and precision, but one profile
            by itself may have another precision or device than the other.
        max_regression: largest allowed growth of the median, as a fraction (0.05 = 5 %); None compares only.
        metric: "wall", or "cpu" (all threads; steadier on a busy machine).

    Raises:
        ProfileError: unreadable, no rows in common, or with a gate measured on different devices.
    """
    before, after = _load_rows(a), _load_rows(b)
    pairs = [(before[key], after[key]) for key in before if key in after] or _match_single(before, after)
    if not pairs:
        raise ProfileError(f"{_name(a)} and {_name(b)} cannot be compared: {_rows(before)} against {_rows(after)}")
    _refuse_gate_across_devices(pairs, max_regression)
    rows = [_compare_row(old, new, max_regression, metric) for old, new in pairs]
    warnings = _unmatched(before, after, _name(a)) + _unmatched(after, before, _name(b))
    warnings += [words for old, new in pairs for words in _find_differences(old, new)]
    return Comparison(metric, max_regression, rows, warnings + _undecided(rows, max_regression))


def _format_row(row: ComparedRow, metric: Metric) -> str:
    low, high = row.interval
    return (
        f"{row.label}: {metric} median {row.before_ms:.4g} -> {row.after_ms:.4g} ms ({row.ratio - 1:+.1%},"
        f" 95 % interval {low - 1:+.1%} to {high - 1:+.1%}), p90 {row.before_p90_ms:.4g} -> {row.after_p90_ms:.4g} ms"
        f"{'  REGRESSION' if row.regressed else ''}"
    )


def _load_rows(source: Source) -> dict[tuple, Profile]:
    paths = _profile_paths(source)
    return {row.key: row for row in map(load_profile, paths)}


def _match_single(before: dict[tuple, Profile], after: dict[tuple, Profile]) -> list[tuple[Profile, Profile]]:
    """One profile a side, of the same runtime, threads and batch size: an int8 artifact and its float one, say."""
    if len(before) != 1 or len(after) != 1:
        return []
    [old], [new] = before.values(), after.values()
    same = (old.runtime, old.threads, old.batch_size) == (new.runtime, new.threads, new.batch_size)
    return [(old, new)] if same else []


def _profile_paths(source: Source) -> list[Path]:
    if not isinstance(source, RunFolder) and not Path(source).is_dir():
        return [Path(source)]
    run = source if isinstance(source, RunFolder) else RunFolder.open(source)
    if not run.profile_paths():
        raise ProfileError(f"{run.path}: no profiles yet; `msnoah profile {run.path}` takes them")
    return run.profile_paths()


def _compare_row(old: Profile, new: Profile, max_regression: float | None, metric: Metric) -> ComparedRow:
    ratio, interval = ratio_of_medians(old.samples(metric), new.samples(metric))
    return ComparedRow(
        label=new.label, ratio=ratio, interval=interval,
        before_ms=old.percentile(50, metric), after_ms=new.percentile(50, metric),
        before_p90_ms=old.percentile(90, metric), after_p90_ms=new.percentile(90, metric),
        regressed=max_regression is not None and ratio > 1 + max_regression,
    )


def _refuse_gate_across_devices(pairs: list[tuple[Profile, Profile]], max_regression: float | None) -> None:
    for old, new in pairs:
        if max_regression is not None and not old.device.same_machine(new.device):
            raise ProfileError(
                f"{new.label}: measured on {_machine(new)}, the baseline on {_machine(old)}:"
                " a gate across devices says nothing; measure both on one, or compare without --max-regression"
            )


def _find_differences(old: Profile, new: Profile) -> list[str]:
    """Circumstances other than the artifact that differ, and what is wrong with either side, in words."""
    facts = {
        "device": (_machine(old), _machine(new)),
        "governor": (old.device.governor, new.device.governor),
        f"{new.runtime} version": (old.version, new.version),
        "model": (old.model, new.model),
        "precision": (old.precision, new.precision),
    }
    changed = [f"{new.label}: {name} was {was}, is {now}" for name, (was, now) in facts.items() if was != now]
    changed += _find_other_speed(old, new)
    sides = (("before", old), ("after", new))
    return changed + [f"{new.label}, {side}: {words}" for side, profile in sides for words in profile.warnings()]


def _find_other_speed(old: Profile, new: Profile) -> list[str]:
    """Whether the machine was faster or slower in one of them by its own record, in words."""
    times = old.reference_ms, new.reference_ms
    if None in times or max(times) <= SAME_SPEED * min(times):
        return []
    change = f"{times[0]:.3g} ms, now {times[1]:.3g} ms"
    return [f"{new.label}: the machine itself was of another speed: its reference work took {change}"]


def _undecided(rows: list[ComparedRow], max_regression: float | None) -> list[str]:
    if max_regression is None:
        return []
    limit = 1 + max_regression
    return [
        f"{row.label}: the interval spans the limit of {max_regression:+.1%}: within the noise; measure more repeats"
        for row in rows
        if row.interval[0] <= limit < row.interval[1]
    ]


def _unmatched(rows: dict[tuple, Profile], others: dict[tuple, Profile], name: str) -> list[str]:
    matched = len(rows) == len(others) == 1
    return [f"{row.label}: only in {name}" for key, row in rows.items() if key not in others and not matched]


def _machine(profile: Profile) -> str:
    return f"{profile.device.chip or 'an unnamed chip'} ({profile.device.architecture}, {profile.device.cores} cores)"


def _name(source: Source) -> str:
    return str(source.path if isinstance(source, RunFolder) else source)


def _rows(rows: dict[tuple, Profile]) -> str:
    return " and ".join(row.label for row in rows.values())
