"""docs/convert.md is true: its files are saved, its Python runs, its commands print what it says they print."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from msnoah.cli import main

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "convert.md"
BLOCK = re.compile(r"(<!-- needs mindcv -->\n)?```(python|console)\n(.*?)```", re.DOTALL)
NUMBER = re.compile(r"\b\d[\d.]*(e[-+]\d+)?\b")
"""Sizes, seconds and rounding errors, which no two machines share."""

OPERATORS = re.compile(r"(\w+ #, )*[A-Z]\w+ #")
"""Which operators there are is for the tests of the passes."""


def blocks() -> list[tuple[str, str]]:
    """Language and text of what runs without MindCV."""
    found = BLOCK.findall(GUIDE.read_text(encoding="utf-8"))
    return [(language, text) for mindcv, language, text in found if not mindcv]


def run_script(path: Path) -> str:
    """In a process of its own: MindSpore compiles only what stands in a file."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "GLOG_v": "4"}
    command = [sys.executable, path.name]
    answer = subprocess.run(command, cwd=path.parent, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def run_command(command: str, folder: Path, capsys) -> str:
    program, *arguments = shlex.split(command)
    if program == "python":
        return run_script(folder / arguments[0])
    assert program == "msnoah"
    main(arguments)
    captured = capsys.readouterr()
    return captured.out + captured.err


def wordings(text: str) -> list[str]:
    """Lines without numbers and without the spaces that align them; lists of operators are all alike."""
    lines = [" ".join(NUMBER.sub("#", line).split()) for line in text.splitlines()]
    return ["operators" if OPERATORS.fullmatch(line) else line for line in lines]


def test_every_block_does_what_it_shows(tmp_path, monkeypatch, capsys, no_new_handlers):
    monkeypatch.chdir(tmp_path)
    for number, (language, text) in enumerate(blocks()):
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", text)
            path = tmp_path / (name[1] if name else f"block_{number}.py")
            path.write_text(text, encoding="utf-8")
            if not name:
                run_script(path)
            continue
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
            printed = wordings(run_command(command, tmp_path, capsys))
            for line in wordings(shown):
                assert any(found.startswith(line) for found in printed), f"{command} printed {printed}"


def test_the_guide_has_what_it_promises():
    languages = [language for language, _ in blocks()]
    assert languages.count("python") >= 6 and languages.count("console") >= 6
