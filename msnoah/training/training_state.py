"""Everything a resumed run goes on from, beside the weights themselves."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, ops

from msnoah.errors import CheckpointError


@dataclass
class TrainingState:
    """Host numbers of a run. Random draws need none: each depends on the seed and on where it is used alone."""

    step: int = 0                   # optimiser steps done
    epoch: int = 0                  # epochs done, their evaluation included
    reestimation_epochs: int = 0    # BatchNorm passes done, their evaluation included
    averages_in_use: bool = False   # the averaged weights have become the model's own
    loss_sum: float = 0.0           # over the steps of the epoch under way
    losses_left_out: int = 0        # of its steps that were skipped, and are not in the sum
    best_score: float = -1.0        # top1 or miou, as the task has it
    best_epoch: int = 0
    trivial_score: float = 0.0      # of a model that has learnt nothing, on the same data
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    step_cpu_seconds: float = 0.0   # of steps alone, without those that compiled
    timed_steps: int = 0
    compile_seconds: float = 0.0

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @property
    def records(self) -> int:
        """How many lines of history belong to this state."""
        return self.epoch + self.reestimation_epochs

    def steps_per_cpu_second(self) -> float | None:
        """Optimiser steps per second of CPU time, data included, compilation left out; None before the second step."""
        return self.timed_steps / self.step_cpu_seconds if self.step_cpu_seconds else None


def gather(groups: dict[str, dict[str, Parameter]]) -> dict[str, np.ndarray]:
    """Copies of all Parameters by group and name, joined into one."""
    return {f"{group}{name}": parameter.asnumpy().copy()
            for group, parameters in groups.items() for name, parameter in parameters.items()}


def restore(groups: dict[str, dict[str, Parameter]], arrays: dict[str, np.ndarray], path: Path) -> None:
    """Puts arrays of `gather` back; CheckpointError if a name or shape is not the run's."""
    for group, parameters in groups.items():
        for name, parameter in parameters.items():
            found = arrays.get(f"{group}{name}")
            if found is None or found.shape != tuple(parameter.shape):
                held = "nothing" if found is None else f"shape {found.shape}"
                raise CheckpointError(f"{path}: holds {held} for {group}{name}, expected shape {parameter.shape}")
            ops.assign(parameter, Tensor(found))   # set_data would not reach functions compiled already
