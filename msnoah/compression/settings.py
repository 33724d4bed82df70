"""How much ExCP leaves out, as presets and as numbers."""

from dataclasses import dataclass, replace

from msnoah.errors import CheckpointError

BITS = (2, 3, 4, 5, 6, 8)


@dataclass(frozen=True)
class ExcpSettings:
    """The numbers of a step's compression (Li et al., "ExCP: Extreme LLM Checkpoint Compression via Weight-Momentum
    Joint Shrinking", ICML 2024).

    Attributes:
        tau: a change d of a weight is kept if |d| > tau median|d|; None takes min(cap, alpha / sqrt(mean v)).
        alpha: in the unit of a gradient, so it belongs to a model and its loss: small models take `tau` itself.
        cap: largest tau that alpha leads to.
        beta: a first moment m is kept, with its second one, if its weight's change is and |m| > beta mean|m|.
        bits: of a code; 2^bits - 1 centres stand for what is kept of a tensor, code 0 for what is not.
    """

    tau: float | None = None
    alpha: float = 5e-5
    cap: float = 2.5
    beta: float = 2.0
    bits: int = 4

    def __post_init__(self):
        if self.bits not in BITS:
            raise CheckpointError(f"excp: bits {self.bits}: expected one of {', '.join(map(str, BITS))}")
        for name in ("tau", "alpha", "cap", "beta"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise CheckpointError(f"excp: {name} {value}: expected a number of 0 or more")


PRESETS = {
    "near_lossless": ExcpSettings(tau=1.2, beta=0.8, bits=4),
    "balanced": ExcpSettings(tau=1.5, beta=1.0, bits=3),
    "extreme": ExcpSettings(tau=2.5, beta=2.0, bits=4),
}


def find_settings(preset: str, **changes: float | int | None) -> ExcpSettings:
    """A preset, with other numbers for some fields.

    Raises:
        CheckpointError: an unknown preset, or a number out of range.
    """
    if preset not in PRESETS:
        raise CheckpointError(f"unknown preset '{preset}'; known: {', '.join(PRESETS)}")
    return replace(PRESETS[preset], **changes)
