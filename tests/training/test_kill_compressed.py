"""kill -9 of runs that compress their states, then --resume: the weights and the chain of a run that nobody touched."""

import numpy as np
import pytest
import test_kill
from test_compressed_training import same_chains
from test_kill import STEPS, finish, kill_at, start
from test_trainer import history, same_bits

from msnoah.compression.pending import pending_paths
from msnoah.run_folder import RunFolder

CHECKPOINT = "checkpoint: {compression: excp, preset: balanced, key_frame_every: 3"
KINDS = {"beside": "}", "replaced": ", continue_every: 2}"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_killed_and_resumed_is_the_same(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(test_kill, "CONFIG", f"{test_kill.CONFIG}{CHECKPOINT}{KINDS[kind]}\n")
    finish(start(tmp_path, tmp_path / "untouched"))
    random = np.random.default_rng()
    moments, delays = sorted(random.integers(0, STEPS + 1, 4)), random.uniform(0, 0.3, 4)
    run = tmp_path / "run"
    killed = [kill_at(start(tmp_path, run), moment, delay) for moment, delay in zip(moments, delays)]
    finish(start(tmp_path, run))
    resumed, untouched = RunFolder.open(run), RunFolder.open(tmp_path / "untouched")
    where = f"killed {list(zip(moments, delays.round(3), killed))}"
    assert any(killed), where
    assert same_bits(resumed.last_checkpoint, untouched.last_checkpoint), where
    assert same_chains(resumed, untouched) and history(resumed) == history(untouched), where
    assert not pending_paths(run / "chain") and not list((run / "chain").glob(".*.tmp"))
