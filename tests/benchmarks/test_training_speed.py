"""Training steps per CPU second of a small SLAB-DeiT: compiled, and operator by operator.

    python -m pytest tests/benchmarks -m slow -s
"""

import time

import numpy as np
import pytest

from msnoah.data.batches import Batch
from msnoah.nn import step_inputs
from msnoah.registry import create_model
from msnoah.train_config import TrainConfig
from msnoah.training.loss_scale import LossScale
from msnoah.training.optimizers import create_optimizer
from msnoah.training.train_step import create_step

SIZES = {"image_size": 32, "patch_size": 4, "embed_dim": 96, "depth": 4, "num_heads": 3, "num_classes": 10}
BATCH, ROUNDS, STEPS = 32, 4, 2


def batch() -> Batch:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 10, BATCH)
    images = generator.standard_normal((BATCH, 3, 32, 32), np.float32)
    return Batch(images, np.eye(10, dtype=np.float32)[labels], labels.astype(np.int32), BATCH)


def stepper(mode: str):
    """A function that takes one step and returns its loss; compiled by its first call."""
    settings = TrainConfig(epochs=1, mode=mode, clip_grad_norm=5.0)
    model = create_model("slab_deit_t", **SIZES).set_train(True)
    weights = [weight for weight in step_inputs.weights(model).values() if weight.requires_grad]
    optimizer = create_optimizer(weights, settings.optimizer)
    step, scalars = create_step(model, optimizer, settings, LossScale(False)), optimizer.step_scalars(1e-3, 0)
    data = batch()
    return lambda: step([data], scalars).loss


def cpu_seconds(run) -> float:
    start = time.process_time()
    for _ in range(STEPS):
        run()
    return time.process_time() - start


@pytest.mark.slow
def test_compiled_steps_are_faster():
    steppers = {mode: stepper(mode) for mode in ("graph", "pynative")}
    first = {mode: run() for mode, run in steppers.items()}
    seconds = {mode: [] for mode in steppers}
    for number in range(ROUNDS):
        for mode in sorted(steppers, reverse=bool(number % 2)):
            seconds[mode].append(cpu_seconds(steppers[mode]))
    print(f"\nSLAB-DeiT, 4 blocks of 96 channels, 64 tokens, batch {BATCH}, AdamW:")
    for mode, values in seconds.items():
        print(f"{mode:9}{STEPS / np.median(values):8.2f} steps per CPU second")
    assert all(steppers[mode]() < first[mode] for mode in steppers)   # the steps do train
    assert np.median(seconds["graph"]) < np.median(seconds["pynative"])
