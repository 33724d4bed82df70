"""Runs of a small net that take seconds."""

import pytest
from small_net import SmallNet

from msnoah.config import RunConfig
from msnoah.run_folder import RunFolder


@pytest.fixture
def small_model():
    return SmallNet()


@pytest.fixture
def make_config():
    """make_config(**train): a run of SmallNet on the digits; seconds long."""
    def make(model_args=None, **train) -> RunConfig:
        data = {"source": "digits", "image_size": 8, "channels": 1, "mean": [0.3], "std": [0.38], "crop_fraction": 1.0}
        train = {"epochs": 2, "batch_size": 240, "optimizer": {"lr": 0.01}, "progressive_norm": {"steps": 6}} | train
        model = {"name": "small_net_for_training_tests", "args": model_args or {}}
        return RunConfig(model=model, data=data, train=train)

    return make


@pytest.fixture
def make_run(tmp_path):
    """make_run(config, name): a new run folder."""
    def make(config: RunConfig, name: str = "run") -> RunFolder:
        return RunFolder.create(tmp_path / name, config)

    return make
