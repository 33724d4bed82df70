"""Where the time goes: a profile's nodes by kind, by place in the network, and under the roofline of its machine."""

from collections.abc import Sequence
from typing import Any

from msnoah.deploy.latency_table import format_ms
from msnoah.deploy.operator_roofline import Placement, place_operator, roof_of
from msnoah.deploy.operator_sums import (
    OperatorSum,
    mapped_share,
    readable_depth,
    sum_by_kind,
    sum_by_module,
    sum_by_role,
)
from msnoah.deploy.operator_table import operator_warnings
from msnoah.deploy.profile import Profile
from msnoah.deploy.report.roofline_chart import Point, roofline_chart

Record = dict[str, Any]
MOST_KINDS, MOST_MODULES, MOST_ROLES = 10, 16, 12
COLOURED_KINDS = 5


def gather_operators(profiles: Sequence[Profile]) -> list[Record]:
    """What the section shows of each profile that has times by operator; without a graph or peaks there is less."""
    return [_describe(profile) for profile in profiles if profile.operators]


def _describe(profile: Profile) -> Record:
    rows, mapped = profile.operators, mapped_share(profile.operators)
    depth = readable_depth(rows, MOST_MODULES)
    tables = [("By kind of operator", _table(sum_by_kind(rows), MOST_KINDS, profile))]
    if mapped:
        tables.append((f"By module, {depth} deep", _table(sum_by_module(rows, depth), MOST_MODULES, profile)))
        tables.append(("By place in the blocks", _table(sum_by_role(rows), MOST_ROLES, profile)))
    peaks, total = profile.peaks, format_ms(sum(row.ms for row in rows))
    return {"label": profile.label, "tables": [{"title": title, "rows": table} for title, table in tables],
            "total": total, "mapped": mapped, "peaks": peaks, "chart": _chart(profile),
            "roof": _word_roof(roof_of(rows, profile)), "warnings": operator_warnings(profile)}


def _table(sums: Sequence[OperatorSum], most: int, profile: Profile) -> list[Record]:
    shown, rest = sums[:most], sums[most:]
    rows = [_row(one.name, [one], profile) for one in shown]
    rows += [_row(f"{len(rest)} other{'s' if len(rest) > 1 else ''}", rest, profile)] if rest else []
    longest = max(row["share"] for row in rows) or 1.0
    return [{**row, "length": row["share"] / longest} for row in rows]


def _row(name: str, sums: Sequence[OperatorSum], profile: Profile) -> Record:
    placement = roof_of([row for one in sums for row in one.rows], profile)
    return {"name": name, "count": sum(one.count for one in sums), "ms": format_ms(sum(one.ms for one in sums)),
            "share": sum(one.share for one in sums), "roof": _word_roof(placement)}


def _word_roof(placement: Placement | None) -> str:
    if placement is None or placement.share_of_roof is None:
        return ""
    return f"{placement.share_of_roof:.0%} of the roof" + (f", {placement.bound_by}" if placement.bound_by else "")


def _chart(profile: Profile):
    """Nodes with products: what they attain over how much they compute a byte; a colour for each dear kind."""
    if profile.peaks is None or roof_of(profile.operators, profile) is None:
        return ""
    kinds = [one.name for one in sum_by_kind([row for row in profile.operators if row.macs])]
    named = kinds if len(kinds) <= COLOURED_KINDS + 1 else kinds[:COLOURED_KINDS]
    groups: dict[str, list[Point]] = {}
    for row in profile.operators:
        placement = place_operator(row, profile.peaks)
        if placement is not None and placement.flop_per_byte and placement.attained_gflop_s:
            name = row.operator if row.operator in named else "others"
            words = f"{row.module or row.node}: {format_ms(row.ms)} ms, {_word_roof(placement)}"
            groups.setdefault(name, []).append(
                Point(placement.flop_per_byte, placement.attained_gflop_s, row.share, words))
    return roofline_chart(groups, profile.peaks)
