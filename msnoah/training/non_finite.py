"""What becomes of a step whose loss or gradients are not finite: `train.non_finite`, and the overflows of AMP."""

from collections.abc import Callable
from functools import partial
from typing import Any

from mindspore import Parameter, ParameterTuple, nn, ops

from msnoah.config import RunConfig
from msnoah.data.batches import Batch
from msnoah.data.sources import Source
from msnoah.errors import TrainingError
from msnoah.nn import step_inputs
from msnoah.run_folder import RunFolder
from msnoah.training.loss_scale import LossScale, Outcome, outcome_of
from msnoah.training.non_finite_batches import keep_batches
from msnoah.training.train_step import StepResult, compiled
from msnoah.training.training_state import TrainingState
from msnoah.training.worker_group import ALONE, WorkerGroup


class NonFiniteGuard:
    """Looks at every step: `stop` ends the run at the first that is not finite, `skip` at the 20th in a row.

    Gradients that overflow under AMP while the loss is finite are no trouble but how its scale is found: such a step is
    left out under both policies, and none of its batches kept before the 20th in a row.
    """

    def __init__(self, config: RunConfig, run: RunFolder, source: Source, model: nn.Cell, loss_scale: LossScale,
                 say: Callable[[str], None], group: WorkerGroup = ALONE):
        """`say` shows a line. Each worker of a group keeps its own share of the batches."""
        self._seed, self._run_folder, self._source, self._group = config.seed, run, source, group
        self._folder = run.non_finite_path / (f"worker_{group.rank}" if group.size > 1 else "")
        self._skips, self._loss_scale, self._scale = config.train.non_finite == "skip", loss_scale, loss_scale.value
        self._say = say
        statistics = list(step_inputs.batch_statistics(model).values()) if self._skips else []
        self._note_statistics, self._put_back = _copying(statistics, config.train.mode)

    def prepare(self) -> None:
        """Before a step: what only the host or a forward pass changes is noted."""
        self._scale = self._loss_scale.value
        self._note_statistics()

    def settle(self, result: StepResult, state: TrainingState, lr: float) -> None:
        """After a step that `prepare` came before: says one line where it was skipped.

        Raises:
            TrainingError: a step that is not finite where the policy is to stop, or too many in a row.
        """
        outcome = outcome_of(result.losses, result.gradient_norm)
        if outcome is Outcome.FINITE:
            return
        overflow = outcome is Outcome.BAD_GRADIENTS and self._loss_scale.enabled
        keep = partial(self._keep, result, state, lr)
        if self._loss_scale.is_stuck:
            raise TrainingError(self._stuck(outcome, overflow, state, keep()))
        if not overflow and not self._skips:
            raise TrainingError(f"{_trouble(outcome, state)}; {self._good_state()}; {keep()}; "
                                "try a lower train.optimizer.lr or train.clip_grad_norm, or train.non_finite: skip")
        self._put_back()
        if not overflow:
            count = self._loss_scale.skipped_steps
            self._say(f"{_trouble(outcome, state)}: skipped, number {count} of this run; {keep()}")

    def settle_forward(self, batch: Batch, where: str) -> None:
        """After a forward pass without a step, whose outputs are not finite: takes its statistics back and says so.

        Raises:
            TrainingError: where the policy is to stop.
        """
        trouble = f"outputs are not finite in {where}"
        kept = self._write(where.replace(", ", "_").replace(" ", "_").lower(), (batch,), {"seed": self._seed})
        if not self._skips:
            raise TrainingError(f"{trouble}; {self._good_state()}; {kept}; leave that sample out, or take "
                                "train.non_finite: skip")
        self._put_back()
        self._say(f"{trouble}: skipped; {kept}")

    def _stuck(self, outcome: Outcome, overflow: bool, state: TrainingState, kept: str) -> str:
        count = self._loss_scale.skips_in_a_row
        if overflow:
            return (f"gradients overflowed in {count} steps in a row, down to loss scale {self._loss_scale.value:g}; "
                    f"{kept}; try train.amp_level O0 or a lower train.optimizer.lr")
        return (f"{_trouble(outcome, state)}, and {count} steps in a row were skipped; {self._good_state()}; {kept}; "
                "try a lower train.optimizer.lr or train.clip_grad_norm")

    def _good_state(self) -> str:
        saved = self._run_folder.last_checkpoint.is_file()
        return "last.ckpt holds the last good state" if saved else "nothing was saved yet"

    def _keep(self, result: StepResult, state: TrainingState, lr: float) -> str:
        number = state.step + 1
        record = {"losses": result.losses, "gradient_norm": result.gradient_norm, "epoch": state.epoch + 1,
                  "step": number, "learning_rate": lr, "loss_scale": self._scale, "seed": self._seed}
        kept = self._write(f"step_{number:09d}", result.batches, record)
        self._group.wait()   # the first that ends has the others killed
        return kept

    def _write(self, name: str, batches: tuple[Batch, ...], record: dict[str, Any]) -> str:
        return keep_batches(self._folder, name, batches, self._source, record)


def _trouble(outcome: Outcome, state: TrainingState) -> str:
    return f"{outcome.value} not finite at epoch {state.epoch + 1}, step {state.step + 1}"


def _copying(parameters: list[Parameter], mode: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """Two functions: one copies the parameters, the other puts the copies back. They stay on the device."""
    if not parameters:
        return _nothing, _nothing
    originals = ParameterTuple(parameters)
    copies = originals.clone("before_step", init="zeros")
    return compiled(_assignment(originals, copies), mode), compiled(_assignment(copies, originals), mode)


def _assignment(sources: ParameterTuple, targets: ParameterTuple) -> Callable[[], int]:
    def assign():
        for i in range(len(sources)):
            ops.assign(targets[i], sources[i])
        return 0

    return assign


def _nothing() -> None:
    pass
