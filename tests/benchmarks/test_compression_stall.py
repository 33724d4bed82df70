"""What compressing states beside training costs the training: steps with and without it, in turns, in one process.

    python -m pytest tests/benchmarks/test_compression_stall.py -m slow -s

Both kinds of segments save the state; after one kind it is compressed while the segment's steps are taken.
"""

import os
import time

import numpy as np
import pytest

from msnoah.compression.background import BackgroundCompressor
from msnoah.compression.chain import Chain
from msnoah.compression.pending import pending_folder
from msnoah.compression.settings import PRESETS
from msnoah.data.batches import Batch
from msnoah.nn import step_inputs
from msnoah.registry import create_model
from msnoah.state_file import save_state
from msnoah.train_config import TrainConfig
from msnoah.training.loss_scale import LossScale
from msnoah.training.optimizers import create_optimizer, optimizer_state
from msnoah.training.train_step import create_step
from msnoah.training.training_state import gather

MODEL = {"image_size": 28, "in_channels": 1, "patch_size": 7, "embed_dim": 192, "depth": 2, "num_heads": 4,
         "num_classes": 10}
BATCH, SEGMENTS, STEPS = 64, 30, 10
TARGET = 0.05


class Training:
    """A small SLAB-DeiT that learns noise, and the state that it saves."""

    def __init__(self):
        settings = TrainConfig(epochs=1, clip_grad_norm=5.0)
        self.model = create_model("slab_deit_t", **MODEL).set_train(True)
        weights = [weight for weight in step_inputs.weights(self.model).values() if weight.requires_grad]
        self.optimizer = create_optimizer(weights, settings.optimizer)
        self.step = create_step(self.model, self.optimizer, settings, LossScale(False))
        self.steps, generator = 0, np.random.default_rng(0)
        labels = generator.integers(0, 10, BATCH)
        images = generator.standard_normal((BATCH, 1, 28, 28), np.float32)
        self.batch = Batch(images, np.eye(10, dtype=np.float32)[labels], labels.astype(np.int32), BATCH)

    def take(self, steps):
        for _ in range(steps):
            self.step([self.batch], self.optimizer.step_scalars(1e-4, self.steps))
            self.steps += 1

    def arrays(self):
        return gather({"": step_inputs.weights(self.model), "optimizer.": optimizer_state(self.optimizer)})


def segment(training, path, compressor=None):
    """Seconds of a save and the steps after it, and those of the save alone."""
    start = time.perf_counter()
    save_state(path, training.arrays(), {"state": {"step": training.steps}})
    if compressor:
        compressor.add(path, training.steps)
    blocked = time.perf_counter() - start
    training.take(STEPS)
    return time.perf_counter() - start, blocked


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["near_lossless", "extreme"])
def test_compression_beside_training_costs_it_little(preset, tmp_path):
    pending_folder(tmp_path / "chain").mkdir(parents=True)
    lines, training = [], Training()
    compressor = BackgroundCompressor(tmp_path / "chain", PRESETS[preset], 5, lines.append)
    for _ in range(2):   # compiles, and starts the process
        segment(training, tmp_path / "last.ckpt", compressor)
        compressor.wait()
    found = {None: [], compressor: []}
    before, load = os.times(), os.getloadavg()[0]
    for number in range(SEGMENTS):
        for kind in sorted(found, key=lambda kind: (kind is None) == bool(number % 2)):
            found[kind].append(segment(training, tmp_path / "last.ckpt", kind))
            compressor.wait()   # what a segment left behind is not the next one's
    compressor.finish()
    seconds, blocked = ({kind: np.median([pair[i] for pair in pairs]) for kind, pairs in found.items()} for i in (0, 1))
    ratios = np.array([on[0] / off[0] for on, off in zip(found[compressor], found[None], strict=True)])
    compressing = os.times().children_user - before.children_user
    sizes = sum(array.nbytes for array in training.arrays().values())
    print(f"\n{preset}: a state of {sizes / 1e6:.1f} MB every {STEPS} steps, batch {BATCH}, {os.cpu_count()} cores, "
          f"load {load:.1f} before: a step {1e3 * seconds[None] / STEPS:.1f} ms without, "
          f"{1e3 * seconds[compressor] / STEPS:.1f} ms with compression (saves included); ratio of medians "
          f"{seconds[compressor] / seconds[None]:.3f}, of neighbours {np.median(ratios):.3f} "
          f"({np.quantile(ratios, 0.25):.3f} to {np.quantile(ratios, 0.75):.3f}); blocked at a save "
          f"{1e3 * blocked[None]:.0f} ms without, {1e3 * blocked[compressor]:.0f} ms with; "
          f"{1e3 * compressing / (SEGMENTS + 2):.0f} ms of CPU a state beside, the start of its process counted in")
    assert len(Chain(tmp_path / "chain").paths()) == SEGMENTS + 2 and not lines
    assert np.median(ratios) < 1 + TARGET   # of neighbours: what else runs on the machine comes and goes
