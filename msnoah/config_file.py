"""YAML to RunConfig and back: every error names file, line, key, what was found and what would be right."""

import difflib
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from msnoah.config import RunConfig
from msnoah.errors import ConfigError

Location = tuple[str | int, ...]


def load_config(path: str | Path, overrides: list[str] = ()) -> RunConfig:
    """Reads a run's YAML, with `key.path=value` overrides going through the same checks.

    Raises:
        ConfigError: one line per fault, each with file, line and key.
    """
    text = _read(path)
    root = _compose(text, path)
    values, lines = _plain(root, path), _line_numbers(root)
    for override in overrides:
        _apply(values, lines, override)
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(fault, lines, path) for fault in error.errors())) from None


def dump_config(config: RunConfig) -> str:
    """The resolved config as YAML; load_config reads it back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); expected a YAML file") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _compose(text: str, path: str | Path) -> yaml.Node:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{path}:1: expected the sections of a run (model, data, train ...)")
    return root


def _plain(root: yaml.Node, path: str | Path) -> dict[str, Any]:
    _refuse_repeated_keys(root, path)
    constructor = yaml.constructor.SafeConstructor()
    try:
        return constructor.construct_document(root)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{path}:{error.problem_mark.line + 1}: {error.problem}") from error


def _refuse_repeated_keys(node: yaml.Node, path: str | Path) -> None:
    seen: dict[str, int] = {}
    for key, child in _entries(node):
        line = child.start_mark.line + 1
        if isinstance(node, yaml.MappingNode) and key in seen:
            raise ConfigError(f"{path}:{line}: key '{key}' stands here and at line {seen[key]}; keep one")
        seen[key] = line
        _refuse_repeated_keys(child, path)


def _entries(node: yaml.Node) -> list[tuple[str | int, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        return [(key.value, child) for key, child in node.value]
    if isinstance(node, yaml.SequenceNode):
        return list(enumerate(node.value))
    return []


def _line_numbers(node: yaml.Node, location: Location = ()) -> dict[Location, str]:
    """Key path -> where it stands ('12'), for the messages."""
    if isinstance(node, yaml.MappingNode):
        lines = {(*location, key.value): str(key.start_mark.line + 1) for key, _ in node.value}
    else:
        lines = {(*location, index): str(child.start_mark.line + 1) for index, child in _entries(node)}
    for key, child in _entries(node):
        lines |= _line_numbers(child, (*location, key))
    return lines


def _apply(values: dict[str, Any], lines: dict[Location, str], override: str) -> None:
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


def _explain(fault: dict[str, Any], lines: dict[Location, str], path: str | Path) -> str:
    location = fault["loc"]
    where = _place(location, lines, path)
    dotted = ".".join(map(str, location))
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown key '{dotted}'; {_suggest(location)}"
    if fault["type"] == "missing":
        return f"{where}: key '{dotted}' is missing"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return f"{where}: {dotted}: {message}"
    return f"{where}: {dotted}: {message[0].lower()}{message[1:]}, found {fault['input']!r}"


def _place(location: Location, lines: dict[Location, str], path: str | Path) -> str:
    for end in range(len(location), 0, -1):
        line = lines.get(location[:end])
        if line is not None:
            return "--set" if line == "--set" else f"{path}:{line}"
    return f"{path}:1"


def _suggest(location: Location) -> str:
    known = list(_section_at(location[:-1]).model_fields)
    close = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(known)}"


def _section_at(location: Location) -> type[BaseModel]:
    section: type[BaseModel] = RunConfig
    for key in location:
        annotation = section.model_fields[str(key)].annotation
        section = next(t for t in (annotation, *get_args(annotation)) if isinstance(t, type) and issubclass(t, BaseModel))
    return section
