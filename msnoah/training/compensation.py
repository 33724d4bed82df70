"""ToCom's pre-training: a plugin learns to make a model that merges one number of tokens answer as with another one.

Token Compensator, Jie et al., ECCV 2024, https://arxiv.org/abs/2408.06798, section 3.3. The model is its own teacher:
each step draws a source and a target degree; the teacher merges at the source without the plugin, in evaluation mode,
the student at the target with it, in training mode. Where ours differs: all devices of a run share a step's pair.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
from mindspore import Tensor, nn

from msnoah.config import RunConfig
from msnoah.data.batches import Batch
from msnoah.errors import ConfigError, ModelError
from msnoah.nn.merging_attention import CompensatedAttention
from msnoah.nn.merging_degrees import check_tokens, set_compensating, set_compensation, set_tokens_merged
from msnoah.nn.step_inputs import weights
from msnoah.training.train_step import AccumulatedStep, FusedStep, StepResult, compiled, forward_of
from msnoah.weight_names import is_plugin

DRAWS = 11   # purpose of a random stream


def draw_degrees(degrees: list[int], seed: int, step: int) -> tuple[int, int]:
    """Source and target degree of an optimiser step: both uniform over `degrees`, drawn anew until they differ."""
    random = np.random.default_rng((seed, DRAWS, step))
    while True:
        source, target = map(int, random.choice(degrees, 2))
        if source != target:
            return source, target


class CompensationStep:
    """One optimiser step of the plugin, as `create_step` gives it for the student.

    Token counts are static, so every target degree has a compiled step of its own and every source degree a compiled
    teacher; both are made when they are first drawn, and kept.
    """

    def __init__(self, model: nn.Cell, mode: str, draw: Callable[[], tuple[int, int]],
                 create_student: Callable[[], FusedStep | AccumulatedStep], set_training: Callable[[], None]):
        """`draw` gives source and target degree of the step under way, as often as it is asked; `set_training` puts
        the model into the student's mode."""
        self._model, self._mode, self._draw = model, mode, draw
        self._create_student, self._set_training = create_student, set_training
        self._students: dict[int, FusedStep | AccumulatedStep] = {}
        self._teachers: dict[int, Callable[[Tensor], Tensor]] = {}

    @property
    def compiles(self) -> bool:
        """Whether the next call compiles."""
        source, target = self._draw()
        return source not in self._teachers or target not in self._students or self._students[target].compiles

    def __call__(self, batches: Iterable[Batch], scalars: np.ndarray) -> StepResult:
        """Takes one step on all of `batches`, with the optimiser's step_scalars; their targets are not looked at."""
        source, target = self._draw()
        if source not in self._teachers:
            self._teachers[source] = compiled(forward_of(self._model), self._mode)
        if target not in self._students:
            self._students[target] = self._create_student()
        count = len(self._model.tokens_merged)
        set_compensation(self._model, [source] * count, [target] * count, self._model.tocom_scale)
        return self._students[target](self._taught(batches, source, target), scalars)

    def _taught(self, batches: Iterable[Batch], source: int, target: int) -> Iterator[Batch]:
        """The batches with the teacher's logits as targets; whenever one is handed out, the model is the student."""
        for batch in batches:
            self._set_role(source, compensates=False)
            self._model.set_train(False)
            logits = self._teachers[source](Tensor(batch.images))
            self._set_role(target, compensates=True)
            self._set_training()
            yield replace(batch, targets=logits.asnumpy())

    def _set_role(self, degree: int, compensates: bool) -> None:
        """What the next compilation sees; in pynative mode every call sees it."""
        set_tokens_merged(self._model, [degree] * len(self._model.tokens_merged))
        set_compensating(self._model, compensates)


def restore_degrees(model: nn.Cell) -> None:
    """Puts a model with a plugin back to the degrees that it was built with."""
    set_tokens_merged(model, model.tokens_merged)
    set_compensating(model, True)
    set_compensation(model, model.source_degree, model.tokens_merged, model.tocom_scale)


def check_compensation(config: RunConfig, model: nn.Cell) -> None:
    """ConfigError for a model, weights to train or degrees that do not go with train.compensation."""
    name, train = config.model.name, config.train
    if not any(isinstance(cell, CompensatedAttention) for _, cell in model.cells_and_names()):
        raise ConfigError(f"train.compensation trains ToCom's plugin, but model.name {name} has none; "
                          "take a model whose name ends with _tocom")
    if not config.model.checkpoint:
        raise ConfigError("train.compensation trains a plugin for weights that stand already; name them by "
                          "model.checkpoint")
    for key, counts in (("tokens_merged", model.tokens_merged), ("source_degree", model.source_degree)):
        if len(set(counts)) > 1:
            raise ConfigError(f"train.compensation draws one number for all blocks, but model.args gives {key} "
                              f"{counts}, one a block; make it a single number, and leave out merging_schedule")
    trained = [weight for weight in weights(model) if any(part in weight for part in train.trained_parts)]
    others = [weight for weight in trained if not is_plugin(weight)]
    if others:
        raise ConfigError(f"train.trainable holds {others[0]}, but train.compensation trains the plugin alone; "
                          "leave out train.trainable")
    try:
        check_tokens([max(train.compensation.degrees)] * len(model.tokens_merged), model.pos_embed.shape[1],
                     model.class_tokens)
    except ModelError as error:
        raise ConfigError(f"train.compensation.degrees: {error}") from None
