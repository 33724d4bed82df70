"""A typo never starts a run: every fault of a YAML is named with file, line, key and what would be right."""

import pytest

from msnoah.config_file import dump_config, load_config
from msnoah.errors import ConfigError

GOOD = """\
seed: 3
device: CPU
model:
  name: slab_deit_t
  args: {depth: 2}
data:
  source: digits
  image_size: 8
  channels: 1
  mean: [0.5]
  std: [0.5]
train:
  epochs: 2
  optimizer:
    lr: 1e-3
  mixup: {mixup_alpha: 0.8}
"""


@pytest.fixture
def write(tmp_path):
    def write_config(text: str):
        path = tmp_path / "x.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_config


def test_values_are_typed(write):
    config = load_config(write(GOOD))
    assert config.train.optimizer.lr == 1e-3, "YAML 1.1 reads 1e-3 as a string; a float field takes it"
    assert config.train.mixup.cutmix_alpha == 1.0
    assert config.model_arguments() == {"image_size": 8, "in_channels": 1, "depth": 2}


def test_a_dumped_config_reads_back_equal(write, tmp_path):
    config = load_config(write(GOOD))
    assert load_config(write(dump_config(config))) == config


# text to replace, by what, what the message must say
FAULTS = [
    ("  epochs: 2", "  epochs: 2\n  epoch: 3", "x.yaml:14: unknown key 'train.epoch'; did you mean 'epochs'?"),
    ("    lr: 1e-3", "    lr: fast", "x.yaml:15: train.optimizer.lr: input should be a valid number"),
    ("    lr: 1e-3", "    lr: -1", "x.yaml:15: train.optimizer.lr: input should be greater than 0, found -1"),
    ("  epochs: 2", "  epochs: 2.5", "x.yaml:13: train.epochs: input should be a valid integer"),
    ("  epochs: 2", "  batch_size: 2", "x.yaml:12: key 'train.epochs' is missing"),
    ("device: CPU", "device: cpu", "x.yaml:2: device: input should be 'CPU', 'GPU' or 'Ascend', found 'cpu'"),
    ("  mean: [0.5]", "  mean: [0.5, 0.5]", "x.yaml:6: data: mean has 2 values, but channels is 1"),
    ("  source: digits", "  source: mnist", "x.yaml:7: data.source: input should be 'digits'"),
    ("{mixup_alpha: 0.8}", "{alpha: 0.8}", "x.yaml:16: unknown key 'train.mixup.alpha'; did you mean 'mixup_alpha'?"),
    ("seed: 3", "seed: 3\nseed: 4", "x.yaml:2: key 'seed' stands here and at line 1; keep one"),
    ("seed: 3", "seed: [3", "x.yaml:2: not valid YAML"),
    ("  name: slab_deit_t\n  args: {depth: 2}", "  name: !!python/object/apply:os.system [true]", "x.yaml:4: could not determine a constructor"),
]


@pytest.mark.parametrize("old,new,message", FAULTS)
def test_faults_are_named(write, old, new, message):
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        load_config(write(GOOD.replace(old, new, 1)))
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "just text", "42"])
def test_a_file_that_is_no_mapping(write, text):
    with pytest.raises(ConfigError, match="expected the sections of a run"):
        load_config(write(text))


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load_config(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="nope.yaml: cannot be read: No such file or directory"):
        load_config(tmp_path / "nope.yaml")


OVERRIDES = [
    ("train.epochs=10", None),
    ("train.progressive_norm.steps=5", None),
    ("train.epoch=10", "--set: unknown key 'train.epoch'; did you mean 'epochs'?"),
    ("train.epochs=ten", "--set: train.epochs: input should be a valid integer"),
    ("train.epochs", "--set train.epochs: expected key.path=value"),
    ("seed.x=1", "--set seed.x=1: 'seed' is a value, not a section"),
]


@pytest.mark.parametrize("override,message", OVERRIDES)
def test_overrides_go_through_the_same_door(write, override, message):
    if message is None:
        load_config(write(GOOD), [override])
        return
    with pytest.raises(ConfigError) as caught:
        load_config(write(GOOD), [override])
    assert message in str(caught.value)
