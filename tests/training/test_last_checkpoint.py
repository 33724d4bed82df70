"""What may differ between a run and its resumption."""

import pytest

from msnoah.config import RunConfig
from msnoah.errors import ConfigError
from msnoah.run_folder import RunFolder
from msnoah.training.last_checkpoint import SavedRun, check_same_run

SECTIONS = {
    "model": {"name": "slab_deit_tiny"}, "train": {"epochs": 3},
    "data": {"source": "digits", "image_size": 8, "channels": 1, "mean": [0.5], "std": [0.5]},
}
CONFIG = RunConfig.model_validate(SECTIONS)


def config_with(**changes) -> RunConfig:
    """CONFIG with a__b=value put at a.b."""
    values = CONFIG.model_dump(mode="json")
    for path, value in changes.items():
        *sections, key = path.split("__")
        place = values
        for section in sections:
            place = place[section]
        place[key] = value
    return RunConfig.model_validate(values)


def saved(config: RunConfig, lacking: str = "") -> SavedRun:
    """A run of this config, as an msnoah that did not have a section or key yet saved it."""
    values = config.model_dump(mode="json")
    if lacking:
        *sections, key = lacking.split(".")
        place = values
        for section in sections:
            place = place[section]
        del place[key]
    return SavedRun({}, {}, {}, values)


def check(before: SavedRun, now: RunConfig) -> None:
    check_same_run(before, now, RunFolder("runs/a"))


@pytest.mark.parametrize("lacking", [*sorted(RunConfig.model_fields.keys() - SECTIONS.keys()), "train.amp_level",
                                     "train.optimizer", "train.optimizer.decay_1d", "checkpoint.keep_last"])
def test_a_run_from_before_a_key_goes_on_with_its_default(lacking):
    check(saved(CONFIG, lacking), CONFIG)


@pytest.mark.parametrize("lacking, now, key", [
    ("seed", {"seed": 1}, "seed is 1, .* trained with 0"),
    ("train.amp_level", {"train__amp_level": "O2"}, "train.amp_level is 'O2', .* trained with 'O0'"),
    ("train.optimizer.decay_1d", {"train__optimizer__decay_1d": True}, "train.optimizer.decay_1d is True, .* False"),
    ("checkpoint", {"checkpoint__continue_every": 3}, "checkpoint.continue_every is 3, .* trained with None"),
])
def test_a_run_from_before_a_key_does_not_go_on_with_another_value(lacking, now, key):
    with pytest.raises(ConfigError, match=f"^{key}; resume with the same"):
        check(saved(CONFIG, lacking), config_with(**now))


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_a_run_without_a_section_that_all_have_is_refused(section):
    with pytest.raises(ConfigError, match=f"^{section}[. ].*was trained with None"):
        check(saved(CONFIG, section), CONFIG)


def test_a_saved_key_that_is_no_more_is_named():
    before = saved(CONFIG)
    before.config["train"]["gone"] = 1
    with pytest.raises(ConfigError, match="^train.gone is None, but runs/a was trained with 1"):
        check(before, CONFIG)


@pytest.mark.parametrize("before, now", [
    ({}, {"checkpoint__keep_last": "all"}), ({}, {"checkpoint__compression": "excp"}),
    ({}, {"checkpoint__preset": "extreme", "checkpoint__key_frame_every": 2}),
    ({}, {"train__checkpoint_every_steps": 2}),
    ({"checkpoint__continue_every": 2}, {"checkpoint__continue_every": 2, "checkpoint__keep_last": 5}),
])
def test_what_is_kept_changes_no_number(before, now):
    check(saved(config_with(**before)), config_with(**now))


@pytest.mark.parametrize("before, now, key", [
    ({}, {"continue_every": 2}, "checkpoint.continue_every"),
    ({"continue_every": 2}, {}, "checkpoint.continue_every"),
    ({"continue_every": 2}, {"continue_every": 2, "preset": "extreme"}, "checkpoint.preset"),
    ({"continue_every": 2}, {"continue_every": 2, "key_frame_every": 7}, "checkpoint.key_frame_every"),
])
def test_training_on_what_compression_left_depends_on_it(before, now, key):
    with pytest.raises(ConfigError, match=f"^{key} is "):
        check(saved(config_with(checkpoint=before)), config_with(checkpoint=now))
