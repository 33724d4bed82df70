"""How commands print what they found: for people, or as JSON."""

import argparse
import json
from typing import Any


def declare_json(parser: argparse.ArgumentParser) -> None:
    """Adds --json."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def print_record(record: Any, arguments: argparse.Namespace, text: str | None = None) -> None:
    """Prints a record as JSON if --json is given, else the text, or the record's figures if there is none."""
    print(json.dumps(record, indent=2) if arguments.json else text if text is not None else _lines(record))


def _lines(record: dict[str, Any]) -> str:
    """One line a figure, with those of an inner record behind its name; lists, as of a confusion matrix, are left to
    --json."""
    figures = {key: value for key, value in _flattened(record).items() if not isinstance(value, (list, dict))}
    texts = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in figures.items()}
    return "\n".join(f"{key}: {text}" for key, text in texts.items())


def _flattened(record: dict[str, Any]) -> dict[str, Any]:
    """trivial: {miou: 0.2} becomes trivial_miou: 0.2."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        flat |= {f"{key}_{inner}": part for inner, part in value.items()} if isinstance(value, dict) else {key: value}
    return flat
