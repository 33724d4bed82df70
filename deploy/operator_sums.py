"""Rows of nodes added up: by the runtime's kinds of operators, by module, and by what modules have the same place."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from msnoah.deploy.runtimes.base import OperatorTime

NETWORK, UNMAPPED = "(network)", "(not mapped)"
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


class OperatorSum(NamedTuple):
    """Some rows together: how many nodes, milliseconds a run, share of all (0-1), and what is known of their work.

    `macs` and `bytes` are of those rows that have them; `rows` are the rows.
    """

    name: str
    count: int
    ms: float
    share: float
    macs: int
    bytes: int
    rows: tuple[OperatorTime, ...]


def sum_by_kind(rows: Sequence[OperatorTime]) -> list[OperatorSum]:
    """By the runtime's kinds of operators, the dearest first."""
    return _sum_by(rows, lambda row: row.operator)


def sum_by_module(rows: Sequence[OperatorTime], depth: int | None = None) -> list[OperatorSum]:
    """By module of the network, cut after `depth` parts of its name, the dearest first."""
    return _sum_by(rows, lambda row: _cut(row.module, depth))


def sum_by_role(rows: Sequence[OperatorTime]) -> list[OperatorSum]:
    """By modules that differ in numbers alone, as `blocks.*.mlp.fc1`, the dearest first."""
    return _sum_by(rows, lambda row: _NUMBER.sub("*", _cut(row.module, None)))


def readable_depth(rows: Sequence[OperatorTime], most: int = 20) -> int:
    """The largest number of parts of a module's name at which there are no more than `most` sums; at least 1."""
    deepest = max((len(row.module.split(".")) for row in rows if row.module), default=1)
    fitting = (depth for depth in range(deepest, 1, -1) if len(sum_by_module(rows, depth)) <= most)
    return next(fitting, 1)


def mapped_share(rows: Sequence[OperatorTime]) -> float:
    """Share (0-1) of the time of operators whose module is known."""
    return sum(row.share for row in rows if row.module is not None)


def _cut(module: str | None, depth: int | None) -> str:
    if module is None:
        return UNMAPPED
    return ".".join(module.split(".")[:depth]) or NETWORK


def _sum_by(rows: Sequence[OperatorTime], name: Callable[[OperatorTime], str]) -> list[OperatorSum]:
    groups: dict[str, list[OperatorTime]] = {}
    for row in rows:
        groups.setdefault(name(row), []).append(row)
    return sorted((_add_up(key, group) for key, group in groups.items()), key=lambda one: one.ms, reverse=True)


def _add_up(name: str, rows: list[OperatorTime]) -> OperatorSum:
    return OperatorSum(
        name, sum(row.count for row in rows), sum(row.ms for row in rows), sum(row.share for row in rows),
        sum(row.macs or 0 for row in rows), sum(row.bytes or 0 for row in rows), tuple(rows))
