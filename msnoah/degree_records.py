"""Accuracy of runs by how many tokens they merged in training and merge in evaluation: records, and their grid."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msnoah.config import Tokens
from msnoah.errors import RunFolderError
from msnoah.run_folder import read_json, write_json

Record = dict[str, Any]


@dataclass(frozen=True)
class DegreeResult:
    """What one evaluation found.

    run: the source run's name. source_degree: tokens merged in training, of all blocks or by block. target_degree:
    tokens merged in evaluation. tocom_scale: how much of the plugin was added; 0 is plain ToMe. top1: a share of
    `images`. data, classes: the val split and how many classes it has. views, limit: how images were looked at, and
    how many of them at most. The hashes are SHA-256 of files; a plain result has no plugin.
    """

    run: str
    source_degree: Tokens
    target_degree: int
    tocom_scale: float
    top1: float
    images: int
    data: str
    classes: int
    views: str
    limit: int | None
    checkpoint_sha256: str
    plugin_sha256: str | None

    @property
    def key(self) -> tuple:
        """What tells an evaluation from all others."""
        source = (self.run, str(self.source_degree), self.checkpoint_sha256, self.plugin_sha256)
        return (*source, self.target_degree, self.tocom_scale, self.views, self.limit)


@dataclass(frozen=True)
class DegreeSettings:
    """What the evaluations of one call have in common."""

    views: str
    limit: int | None
    plugin_sha256: str | None

    def covers(self, result: DegreeResult) -> bool:
        """Whether a result belongs to these settings."""
        same = (result.views, result.limit) == (self.views, self.limit)
        return same and result.plugin_sha256 in (None, self.plugin_sha256)


@dataclass(frozen=True)
class GridCell:
    """A source run at one target degree: accuracies (0-1), and which scale of the plugin gave the compensated one."""

    plain: float
    compensated: float | None = None
    scale: float | None = None
    by_scale: dict[float, float] = dataclasses.field(default_factory=dict)

    @property
    def gain(self) -> float | None:
        """Compensated less plain, as a share."""
        return None if self.compensated is None else self.compensated - self.plain


@dataclass(frozen=True)
class GridRow:
    """A source run and its cells by target degree."""

    run: str
    source_degree: Tokens
    data: str
    classes: int
    images: int
    cells: dict[int, GridCell]


@dataclass(frozen=True)
class DegreeGrid:
    """Rows are source runs, columns target degrees; `scales` are those at which a plugin was added."""

    targets: list[int]
    scales: list[float]
    rows: list[GridRow]

    def mismatched(self) -> list[GridCell]:
        """The cells whose target degree is not the source's, and that have a compensated accuracy."""
        return [cell for row in self.rows for target, cell in row.cells.items()
                if target != row.source_degree and cell.compensated is not None]

    def mean_gains(self) -> dict[float, float]:
        """Of each scale, the mean gain (a share) over the mismatched cells that were evaluated at it."""
        cells = self.mismatched()
        gains = {scale: [cell.by_scale[scale] - cell.plain for cell in cells if scale in cell.by_scale]
                 for scale in self.scales}
        return {scale: sum(found) / len(found) for scale, found in gains.items() if found}


def arrange(results: Iterable[DegreeResult]) -> DegreeGrid:
    """The results by run and target degree, runs as they come; of several scales the best counts for a cell."""
    results = list(results)
    plain = [result for result in results if not result.tocom_scale]
    names = list(dict.fromkeys((result.run, result.checkpoint_sha256) for result in plain))
    return DegreeGrid(
        targets=sorted({result.target_degree for result in plain}),
        scales=sorted({result.tocom_scale for result in results if result.tocom_scale}),
        rows=[_row([r for r in results if (r.run, r.checkpoint_sha256) == name]) for name in names])


def _row(results: Sequence[DegreeResult]) -> GridRow:
    first = results[0]
    has_plugin = any(result.tocom_scale for result in results)
    plain = {result.target_degree: result.top1 for result in results if not result.tocom_scale}
    by_scale: dict[int, dict[float, float]] = {target: {} for target in plain}
    for result in results:
        if result.tocom_scale and result.target_degree in by_scale:
            by_scale[result.target_degree][result.tocom_scale] = result.top1
    cells = {target: _cell(plain[target], by_scale[target], has_plugin and target == first.source_degree)
             for target in sorted(plain)}
    return GridRow(first.run, first.source_degree, first.data, first.classes, first.images, cells)


def _cell(plain: float, by_scale: dict[float, float], matched: bool) -> GridCell:
    """Of equal scales the smallest; where the degrees are the same, the plugin adds nothing."""
    if matched:
        return GridCell(plain, plain, None)
    if not by_scale:
        return GridCell(plain)
    best = max(sorted(by_scale), key=by_scale.__getitem__)
    return GridCell(plain, by_scale[best], best, by_scale)


def read_results(path: Path) -> tuple[DegreeSettings | None, list[DegreeResult]]:
    """What degrees.json holds, and the settings of the call that wrote it last; nothing if there is no such file.

    Raises:
        RunFolderError: the file is damaged.
    """
    if not path.is_file():
        return None, []
    record = read_json(path)
    try:
        return DegreeSettings(**record["settings"]), [DegreeResult(**row) for row in record["results"]]
    except (KeyError, TypeError) as error:
        raise RunFolderError(f"{path}: is damaged, or of another version: {error}; `msnoah degrees` writes it anew "
                             "once it is deleted") from None


def write_results(path: Path, settings: DegreeSettings, results: Iterable[DegreeResult]) -> None:
    """Replaces degrees.json. RunFolderError if it cannot be written."""
    rows = [dataclasses.asdict(result) for result in results]
    write_json(path, {"settings": dataclasses.asdict(settings), "results": rows})
