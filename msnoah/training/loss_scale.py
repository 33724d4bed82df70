"""Dynamic loss scaling for float16 gradients (Micikevicius 2018), kept on the host."""

from msnoah.errors import TrainingError

GROWTH_STEPS = 2000
LONGEST_RUN_OF_SKIPS = 20


class LossScale:
    """Halves after an overflow, doubles after 2000 steps without one; 1 and fixed where `enabled` is False."""

    def __init__(self, enabled: bool):
        self.enabled = enabled
        self.value = 2.0**16 if enabled else 1.0
        self.good_steps = 0
        self.skipped_steps = 0
        self._skips_in_a_row = 0

    def adjust(self, finite: bool) -> None:
        """Notes whether the last step's gradients were finite; TrainingError when lowering the scale does not help."""
        if not self.enabled:
            return
        if finite:
            self._grow()
        else:
            self._shrink()

    def state(self) -> dict[str, float]:
        """What a checkpoint must hold."""
        return {"value": self.value, "good_steps": self.good_steps, "skipped_steps": self.skipped_steps}

    def restore(self, state: dict[str, float]) -> None:
        """Goes on from `state()`."""
        self.value, self.good_steps = state["value"], int(state["good_steps"])
        self.skipped_steps = int(state["skipped_steps"])

    def _grow(self) -> None:
        self._skips_in_a_row = 0
        self.good_steps += 1
        if self.good_steps == GROWTH_STEPS:
            self.value, self.good_steps = self.value * 2, 0

    def _shrink(self) -> None:
        self.skipped_steps += 1
        self._skips_in_a_row += 1
        self.value, self.good_steps = max(self.value / 2, 1.0), 0
        if self._skips_in_a_row == LONGEST_RUN_OF_SKIPS:
            raise TrainingError(f"gradients overflowed in {LONGEST_RUN_OF_SKIPS} steps in a row, down to loss scale "
                                f"{self.value:g}; try train.amp_level O0 or a lower train.optimizer.lr")
