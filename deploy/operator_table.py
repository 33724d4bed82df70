"""Times by operator as text: by kind, by module, and by place in the blocks, beside the roof of the machine."""

from collections.abc import Sequence

from msnoah.deploy.latency_table import format_ms
from msnoah.deploy.operator_roofline import Placement, roof_of
from msnoah.deploy.operator_sums import (
    OperatorSum,
    mapped_share,
    readable_depth,
    sum_by_kind,
    sum_by_module,
    sum_by_role,
)
from msnoah.deploy.profile import Profile
from msnoah.text_table import align_table

MOST_ROWS = 12
DISTURBED = 1.15  # of a run's CPU time; a profiler's own work is a few percent
TITLES = ("", "nodes", "ms", "share", "MMAC", "MB", "GFLOP/s", "GB/s", "of the roof", "bound by")


def operator_tables(profile: Profile) -> str:
    """A profile's tables with what they are of in front; one line where its runtime gives no times by operator."""
    rows, head = profile.operators, f"\n{profile.label}: "
    if not rows:
        return f"{head}the runtime gives no times by operator"
    mapped, depth = mapped_share(rows), readable_depth(rows)
    tables = [("by kind of operator", sum_by_kind(rows))]
    if mapped:
        tables += [(f"by module, {depth} deep", sum_by_module(rows, depth)), ("by place in blocks", sum_by_role(rows))]
    lines = [f"{head}{format_ms(sum(row.ms for row in rows))} ms in {sum(row.count for row in rows)} nodes; "
             f"{mapped:.1%} of it in nodes whose module is known", *_describe_roof(profile)]
    lines += [f"warning: {words}" for words in operator_warnings(profile)]
    return "\n".join([*lines, *(_table(title, sums, profile) for title, sums in tables)])


def operator_warnings(profile: Profile) -> list[str]:
    """What speaks against a profile's times by operator, and what they lack."""
    return [*filter(None, [describe_disturbance(profile)]), *profile.operator_notes]


def describe_disturbance(profile: Profile) -> str:
    """What speaks against these times, "" if nothing does: profilers take wall time, and operators have no CPU time.

    One thread's operators cannot take longer than the CPU time of a run, unless something else had the core.
    """
    total, cpu_ms = sum(row.ms for row in profile.operators), profile.percentile(50, "cpu")
    if profile.threads > 1 or not cpu_ms or total <= DISTURBED * cpu_ms:
        return ""
    return (f"operators add up to {format_ms(total)} ms, a run takes {format_ms(cpu_ms)} ms of CPU time: "
            "something else had the core in between, and single operators may be far off")


def _describe_roof(profile: Profile) -> list[str]:
    """What the peaks are, and how far the whole is from them."""
    whole, peaks = roof_of(profile.operators, profile), profile.peaks
    if peaks is None or whole is None or whole.share_of_roof is None:
        return []
    traffic = ", ".join(f"{one.gb_s:.0f} GB/s at {one.working_set_bytes / 2**20:g} MiB" for one in peaks.bandwidths)
    return [f"measured peaks of {peaks.cores} core{'s' if peaks.cores > 1 else ''}: {peaks.gflop_s:.0f} GFLOP/s in "
            f"float32 products (spread {peaks.gflop_s_spread:.0%}), {traffic}",
            f"at these peaks the graph's products and traffic take {format_ms(whole.roof_ms)} ms, a bound and no "
            f"measurement: {whole.share_of_roof:.0%} of the measured time"]


def _table(title: str, sums: Sequence[OperatorSum], profile: Profile) -> str:
    shown, rest = sums[:MOST_ROWS], sums[MOST_ROWS:]
    cells = [_cells(one, roof_of(one.rows, profile)) for one in shown]
    body = _align([(title, *TITLES[1:]), *cells])
    return f"\n{body}" + (f"\n{len(rest)} more, {sum(one.share for one in rest):.1%} of the time" if rest else "")


def _cells(one: OperatorSum, placement: Placement | None) -> tuple[str, ...]:
    known = (one.name, str(one.count), format_ms(one.ms), f"{one.share:.1%}")
    counted = any(row.macs is not None for row in one.rows)
    work = (f"{one.macs / 1e6:.1f}", f"{one.bytes / 1e6:.2f}") if counted else ("", "")
    if placement is None or placement.share_of_roof is None:
        return (*known, *work, "", "", "", "")
    return (*known, *work, f"{placement.attained_gflop_s:.1f}", f"{placement.attained_gb_s:.1f}",
            f"{placement.share_of_roof:.0%}", placement.bound_by)


def _align(rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, the first to the left; those without any figure are left out."""
    columns = [column for column in zip(*rows) if column[0] in rows[0][:1] or any(column[1:])]
    return "\n".join(line.rstrip() for line in align_table(list(zip(*columns))))
