"""Where measured operators stand under the roofline of the machine: measured times beside bounds from measured peaks.

The roof over an operator is the longer of its arithmetic at the peak of matrix products and its traffic at the
bandwidth of a working set as large as that traffic (Williams, Waterman and Patterson, 2009, with caches). It is a bound
and no measurement: products of other shapes reach less, and of a runtime whose products are faster than numpy's it may
be passed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from msnoah.deploy.calibration import Peaks
from msnoah.deploy.profile import Profile
from msnoah.deploy.roofline import bound_ms
from msnoah.deploy.runtimes.base import OperatorTime

PEAK_PRECISION = "float32"
"""What calibration multiplies in."""


@dataclass(frozen=True)
class Placement:
    """One or more operators under the roof.

    Attributes:
        ms: measured.
        macs, bytes: the work, from the graph.
        compute_ms: the arithmetic at the measured peak of products, at the least.
        memory_ms: the traffic at the measured bandwidths, at the least.
        roof_ms: the longer one of each operator, added up.
    """

    ms: float
    macs: int
    bytes: int
    compute_ms: float
    memory_ms: float
    roof_ms: float

    @property
    def flop_per_byte(self) -> float | None:
        """Arithmetic intensity, two operations a multiply-accumulate; None without traffic."""
        return 2 * self.macs / self.bytes if self.bytes else None

    @property
    def attained_gflop_s(self) -> float:
        """Operations of products in 1e9 a second, as measured."""
        return 2 * self.macs / self.ms / 1e6 if self.ms else 0.0

    @property
    def attained_gb_s(self) -> float:
        """Bytes in 1e9 a second, as measured."""
        return self.bytes / self.ms / 1e6 if self.ms else 0.0

    @property
    def share_of_roof(self) -> float | None:
        """roof_ms / ms: 1 on the roof, over 1 above it; None of what took no time that was measured."""
        return self.roof_ms / self.ms if self.ms else None

    @property
    def bound_by(self) -> Literal["compute", "memory", ""]:
        """What takes longer at its peak; "" where the graph asks for nothing."""
        if not self.roof_ms:
            return ""
        return "compute" if self.compute_ms >= self.memory_ms else "memory"


def place_operator(row: OperatorTime, peaks: Peaks) -> Placement | None:
    """The placement of a row; None where its work is not known.

    What a runtime adds (a change of layout) has time and no work: its roof is 0 ms.
    """
    if row.macs is None:
        return None
    size = row.bytes or 0
    compute_ms, memory_ms = bound_ms(row.macs, size, peaks.gflop_s / 1e3, peaks.gb_s(size))
    return Placement(row.ms, row.macs, size, compute_ms, memory_ms, max(compute_ms, memory_ms))


def place_operators(rows: Iterable[OperatorTime], peaks: Peaks) -> Placement | None:
    """The placements of rows added up, of those whose work is known; None if there are none."""
    placed = [placement for placement in (place_operator(row, peaks) for row in rows) if placement is not None]
    return _add_up(placed) if placed else None


def _add_up(placed: Sequence[Placement]) -> Placement:
    return Placement(
        sum(one.ms for one in placed), sum(one.macs for one in placed), sum(one.bytes for one in placed),
        sum(one.compute_ms for one in placed), sum(one.memory_ms for one in placed),
        sum(one.roof_ms for one in placed))


def roof_of(rows: Sequence[OperatorTime], profile: Profile) -> Placement | None:
    """The placement of rows of a profile; None where it has no peaks, or computes in another type than they are of."""
    if profile.peaks is None or profile.precision != PEAK_PRECISION:
        return None
    return place_operators(rows, profile.peaks)
