"""kill -9 of runs that compress their states, then --resume: the weights and the chain of a run that nobody touched."""

import numpy as np
import pytest
from run_killer import TrainingProcesses
from test_compressed_training import same_chains
from test_kill import check_same, kill_and_resume, plan, write_config

from msnoah.compression.pending import pending_paths
from msnoah.run_folder import RunFolder

CHECKPOINT = "checkpoint: {compression: excp, preset: balanced, key_frame_every: 3"
KINDS = {"beside": "}", "replaced": ", continue_every: 2}"}
KILLS, EPOCHS, STEPS_PER_EPOCH = 4, 4, 8


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_killed_while_it_compresses_and_resumed_is_the_same(kind, tmp_path):
    seed = np.random.SeedSequence().entropy
    random, config = np.random.default_rng(seed), write_config(tmp_path, EPOCHS, STEPS_PER_EPOCH, 1)
    config.write_text(f"{config.read_text()}{CHECKPOINT}{KINDS[kind]}\n")
    untouched = TrainingProcesses(config, tmp_path / "untouched")
    untouched.finish()
    moments = plan(KILLS, (EPOCHS - 1) * STEPS_PER_EPOCH, random)
    counted = kill_and_resume(config, tmp_path / "run", moments, ["launcher"], random)
    resumed, where = RunFolder.open(tmp_path / "run"), f"seed {seed}, {moments}, {dict(counted)}"
    assert counted["kills"], where
    check_same(resumed, untouched.run, where)
    assert same_chains(resumed, untouched.run), where
    assert not pending_paths(resumed.chain_path) and not list(resumed.chain_path.glob(".*.tmp"))
