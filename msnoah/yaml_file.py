"""Typed YAML files: every error names file, line, key, what was found and what would be right."""

import difflib
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from msnoah.errors import ConfigError

Location = tuple[str | int, ...]
Lines = dict[Location, str]
Section = TypeVar("Section", bound=BaseModel)


def read_yaml(path: str | Path, expected: str) -> tuple[dict[str, Any], Lines]:
    """The values of a file, and the line of each key path ('12').

    Args:
        path: a UTF-8 file whose root is a mapping without repeated keys.
        expected: what the file should hold, for the message where its root is no mapping.

    Raises:
        ConfigError: one line with file and line.
    """
    root = _compose(_read(path), path, expected)
    return _plain(root, path), _line_numbers(root)


def validate(section: type[Section], values: dict[str, Any], lines: Lines, path: str | Path) -> Section:
    """The values as a model.

    Raises:
        ConfigError: one line per fault, each with file, line and key.
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(fault, lines, path, section) for fault in error.errors())) from None


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); expected a YAML file") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _compose(text: str, path: str | Path, expected: str) -> yaml.Node:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{path}:1: expected {expected}")
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


def _line_numbers(node: yaml.Node, location: Location = ()) -> Lines:
    """Key path -> where it stands ('12'), for the messages."""
    if isinstance(node, yaml.MappingNode):
        lines = {(*location, key.value): str(key.start_mark.line + 1) for key, _ in node.value}
    else:
        lines = {(*location, index): str(child.start_mark.line + 1) for index, child in _entries(node)}
    for key, child in _entries(node):
        lines |= _line_numbers(child, (*location, key))
    return lines


def _explain(fault: dict[str, Any], lines: Lines, path: str | Path, root: type[BaseModel]) -> str:
    location = fault["loc"]
    where = _place(location, lines, path)
    dotted = ".".join(map(str, location))
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown key '{dotted}'; {_suggest(location, root)}"
    if fault["type"] == "missing":
        return f"{where}: key '{dotted}' is missing"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return f"{where}: {dotted}: {message}"
    return f"{where}: {dotted}: {message[0].lower()}{message[1:]}, found {fault['input']!r}"


def _place(location: Location, lines: Lines, path: str | Path) -> str:
    for end in range(len(location), 0, -1):
        line = lines.get(location[:end])
        if line is not None:
            return "--set" if line == "--set" else f"{path}:{line}"
    return f"{path}:1"


def _suggest(location: Location, root: type[BaseModel]) -> str:
    known = list(_section_at(location[:-1], root).model_fields)
    close = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(known)}"


def _section_at(location: Location, root: type[BaseModel]) -> type[BaseModel]:
    """The model at a key path; list indices and the keys of tables lead to the model that their annotation holds."""
    section = root
    for key in location:
        if key in section.model_fields:
            section = next(iter(_models(section.model_fields[str(key)].annotation)), section)
    return section


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names, as in `list[Rule]` or `Spec | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
