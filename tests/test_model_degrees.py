"""Arguments of a run's model at another number of merged tokens: a row a case."""

from pathlib import Path

import pytest

from msnoah.config import DataConfig, ModelConfig, RunConfig
from msnoah.errors import ConfigError
from msnoah.model_degrees import arguments_at
from msnoah.plugin_file import Plugin
from msnoah.train_config import TrainConfig

PLUGIN, WIDER = Plugin(Path("plugin.ckpt"), "0"), Plugin(Path("wider.ckpt"), "1", units=3)
DECREASING = {"tokens_merged": 8, "merging_schedule": "decreasing"}
PLAIN, TOCOM = "deit_tiny_patch16_224", "deit_tiny_patch16_224_tocom"


def config(name: str, **args) -> RunConfig:
    data, train = DataConfig(source="digits"), TrainConfig(epochs=1)
    return RunConfig(model=ModelConfig(name=name, args=args), data=data, train=train)


@pytest.mark.parametrize("name,args,asked,expected", [
    (PLAIN, {"tokens_merged": 8}, {"tokens_merged": None}, {"tokens_merged": 8}),
    (PLAIN, {}, {"tokens_merged": 4}, {"tokens_merged": 4}),
    (PLAIN, {"tokens_merged": 8}, {"tokens_merged": 4, "plugin": PLUGIN}, {"tokens_merged": 4, "source_degree": 8}),
    (PLAIN, {}, {"tokens_merged": 4, "plugin": PLUGIN, "source_degree": 2, "tocom_scale": 0.0},
     {"tokens_merged": 4, "source_degree": 2, "tocom_scale": 0.0}),
    (PLAIN, {}, {"tokens_merged": 4, "plugin": WIDER}, {"tokens_merged": 4, "source_degree": 0, "tocom_units": 3}),
    (TOCOM, {"source_degree": 6, "tokens_merged": 2}, {"tokens_merged": 4}, {"tokens_merged": 4, "source_degree": 6}),
    (PLAIN, DECREASING, {"tokens_merged": 4}, {**DECREASING, "tokens_merged": 4}),
    (PLAIN, DECREASING, {"tokens_merged": [4, 4]}, {"tokens_merged": [4, 4]}),
    (PLAIN, DECREASING, {"tokens_merged": [4, 4], "plugin": PLUGIN, "source_degree": [16, 0]},
     {"tokens_merged": [4, 4], "source_degree": [16, 0]}),
], ids=["as-trained", "other", "plugin", "all-given", "units", "own-plugin", "schedule", "list", "two-lists"])
def test_arguments_at_another_degree(name, args, asked, expected):
    found = arguments_at(config(name, **args), **asked)
    assert {key: value for key, value in found.items() if key not in ("image_size", "in_channels")} == expected


@pytest.mark.parametrize("args,asked,message", [
    ({}, {"source_degree": 8}, "source_degree: deit_tiny_patch16_224 has no ToCom plugin"),
    ({}, {"tocom_scale": 0.1}, "tocom_scale: deit_tiny_patch16_224 has no ToCom plugin"),
    (DECREASING, {"plugin": PLUGIN},
     "source_degree: 8 is decreasing over the blocks, but tokens_merged is a list"),
], ids=["no-plugin", "scale-without-plugin", "number-beside-list"])
def test_what_does_not_go_together(args, asked, message):
    with pytest.raises(ConfigError, match=message):
        arguments_at(config(PLAIN, **args), [4, 4], **asked)
