"""Dynamic loss scaling for float16 gradients (Micikevicius 2018), kept on the host, and the count of steps left out."""

import enum
import math
from collections.abc import Sequence

GROWTH_STEPS = 2000
LONGEST_RUN_OF_SKIPS = 20


class Outcome(enum.Enum):
    """What a step's numbers are."""

    FINITE = "finite"
    BAD_GRADIENTS = "gradients are"   # of a finite loss: under AMP an overflow that a lower scale mends
    BAD_LOSS = "loss is"


def outcome_of(losses: Sequence[float], gradient_norm: float) -> Outcome:
    """Which of its numbers, if any, make a step one that must not be applied."""
    if not all(map(math.isfinite, losses)):
        return Outcome.BAD_LOSS
    return Outcome.FINITE if math.isfinite(gradient_norm) else Outcome.BAD_GRADIENTS


class LossScale:
    """Halves after an overflow, doubles after 2000 steps without one; 1 and fixed where `enabled` is False.

    It counts the steps that were left out, for whatever reason: Adam's bias correction goes by the others.
    """

    def __init__(self, enabled: bool):
        self.enabled = enabled
        self.value = 2.0**16 if enabled else 1.0
        self.good_steps = 0
        self.skipped_steps = 0
        self.skips_in_a_row = 0

    def adjust(self, outcome: Outcome) -> None:
        """Notes what the last step was; one that is not finite was left out."""
        if outcome is Outcome.FINITE:
            self.skips_in_a_row = 0
        else:
            self.skipped_steps += 1
            self.skips_in_a_row += 1
        if self.enabled and outcome is not Outcome.BAD_LOSS:
            self._rescale(outcome is Outcome.FINITE)

    @property
    def is_stuck(self) -> bool:
        """Whether so many steps in a row were left out that going on is of no use."""
        return self.skips_in_a_row >= LONGEST_RUN_OF_SKIPS

    def state(self) -> dict[str, float]:
        """What a checkpoint must hold."""
        return {"value": self.value, "good_steps": self.good_steps, "skipped_steps": self.skipped_steps,
                "skips_in_a_row": self.skips_in_a_row}

    def restore(self, state: dict[str, float]) -> None:
        """Goes on from `state()`."""
        self.value, self.good_steps = state["value"], int(state["good_steps"])
        self.skipped_steps = int(state["skipped_steps"])
        self.skips_in_a_row = int(state.get("skips_in_a_row", 0))   # older checkpoints lack it

    def _rescale(self, finite: bool) -> None:
        if not finite:
            self.value, self.good_steps = max(self.value / 2, 1.0), 0
            return
        self.good_steps += 1
        if self.good_steps == GROWTH_STEPS:
            self.value, self.good_steps = self.value * 2, 0
