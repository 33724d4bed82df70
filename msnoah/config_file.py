"""YAML to RunConfig and back: every error names file, line, key, what was found and what would be right."""

from pathlib import Path
from typing import Any

import yaml

from msnoah.config import RunConfig
from msnoah.errors import ConfigError
from msnoah.yaml_file import Lines, read_yaml, validate


def load_config(path: str | Path, overrides: list[str] = ()) -> RunConfig:
    """Reads a run's YAML, with `key.path=value` overrides going through the same checks.

    Raises:
        ConfigError: one line per fault, each with file, line and key.
    """
    values, lines = read_yaml(path, "the sections of a run (model, data, train ...)")
    for override in overrides:
        _apply(values, lines, override)
    return validate(RunConfig, values, lines, path)


def dump_config(config: RunConfig) -> str:
    """The resolved config as YAML; load_config reads it back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _apply(values: dict[str, Any], lines: Lines, override: str) -> None:
    dotted, separator, text = override.partition("=")
    if not separator or not dotted:
        raise ConfigError(f"--set {override}: expected key.path=value, as in --set train.epochs=10")
    *parents, last = dotted.split(".")
    section = values
    for key in parents:
        if section.get(key) is None:
            section[key] = {}
        section = section[key]
        if not isinstance(section, dict):
            raise ConfigError(f"--set {override}: '{key}' is a value, not a section")
    try:
        section[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not valid YAML") from error
    lines[(*parents, last)] = "--set"
