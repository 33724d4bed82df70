"""What may differ between a run and its resumption."""

import pytest

from msnoah.config import RunConfig
from msnoah.errors import ConfigError
from msnoah.run_folder import RunFolder
from msnoah.training.last_checkpoint import SavedRun, check_same_run

CONFIG = RunConfig.model_validate({
    "model": {"name": "slab_deit_tiny"}, "train": {"epochs": 3},
    "data": {"source": "digits", "image_size": 8, "channels": 1, "mean": [0.5], "std": [0.5]},
})
TRAINED = {"seed", "model", "data", "train"}   # sections that a run's numbers depend on


def saved_without(section):
    """A run as an msnoah that did not have this section yet saved it."""
    config = CONFIG.model_dump(mode="json")
    del config[section]
    return SavedRun({}, {}, {}, config)


@pytest.mark.parametrize("section", sorted(RunConfig.model_fields.keys() - TRAINED))
def test_a_run_from_before_a_section_goes_on(section, tmp_path):
    check_same_run(saved_without(section), CONFIG, RunFolder(tmp_path))


@pytest.mark.parametrize("section", sorted(TRAINED))
def test_what_numbers_depend_on_must_be_the_same(section, tmp_path):
    with pytest.raises(ConfigError, match=f"^{section}[. ].*was trained with None"):
        check_same_run(saved_without(section), CONFIG, RunFolder(tmp_path))
