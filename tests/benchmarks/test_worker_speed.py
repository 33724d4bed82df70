"""One process and two workers on the same batches: images a second of both, and how far their weights are apart.

    pytest tests/benchmarks/test_worker_speed.py -m slow -s
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from msnoah.run_folder import RunFolder
from msnoah.state_file import read_state

ROOT = Path(__file__).parents[2]
CONFIG = """
model: {name: slab_deit_t, args: {embed_dim: 192, depth: 2, num_heads: 3, patch_size: 2, drop_path_rate: 0.1}}
data: {source: digits, image_size: 8, channels: 1, mean: [0.3], std: [0.38], augment: {crop: padded, padding: 1}}
train:
  epochs: 5
  batch_size: 128
  mixup: {}
  eval_every: 5
"""
STEPS = 55
OPTIMIZERS = {"sgd": "  optimizer: {name: sgd, lr: 0.01}\n", "adamw": "  optimizer: {lr: 5.0e-4}\n"}
NORMS = {"no BatchNorm": "  progressive_norm: {steps: 1, warm_steps: 1000}\n",
         "SyncBatchNorm": "  progressive_norm: {steps: 30}\n  sync_batch_norm: true\n"}
# AdamW divides each gradient by its own size, so one that is rounding alone moves a weight as far as any other
LARGEST_DIFFERENCE = {"sgd": 1e-6, "adamw": 1e-3}


def train(folder: Path, yaml: str, workers: int, prefix: tuple[str, ...] = ()) -> RunFolder:
    """A finished run, of a command after `prefix`."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG + yaml)
    command = [*prefix, sys.executable, "-m", "msnoah", "train", str(folder / "config.yaml"),
               "--run", str(folder / "run"), "--json", "--workers", str(workers)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["steps"] == STEPS
    return RunFolder(folder / "run")


def images_per_s(run: RunFolder) -> float:
    """The median over the epochs."""
    return float(np.median([record["images_per_s"] for record in run.history()]))


def difference(one: RunFolder, other: RunFolder) -> float:
    """The largest of all weights and statistics."""
    first, second = (read_state(run.last_checkpoint)[0] for run in (one, other))
    names = [name for name in first if not name.startswith("optimizer.")]
    return max(float(np.abs(first[name].astype(np.float64) - second[name]).max()) for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_two_workers_beside_one(optimizer, norm, tmp_path):
    yaml = OPTIMIZERS[optimizer] + NORMS[norm]
    one, two = train(tmp_path / "one", yaml, 1), train(tmp_path / "two", yaml, 2)
    single = train(tmp_path / "single", yaml, 1, ("taskset", "-c", "0"))
    apart, rounding, load = difference(one, two), difference(one, single), os.getloadavg()[0]
    print(f"\n{optimizer}, {norm}: {STEPS} steps of 128 images; one process {images_per_s(one):.0f} images/s, "
          f"on one core {images_per_s(single):.0f}, two workers {images_per_s(two):.0f}; "
          f"weights and statistics apart by {apart:.1e} from one process, which is {rounding:.1e} from itself on one "
          f"core; {os.cpu_count()} cores, load {load:.1f}")
    assert apart <= LARGEST_DIFFERENCE[optimizer]
