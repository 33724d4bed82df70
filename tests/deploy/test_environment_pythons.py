"""Interpreters for side environments: which is taken, and what is said where there is none."""

import sys
from pathlib import Path

import pytest

from msnoah.deploy.environments import pythons
from msnoah.deploy.environments.pythons import find_python
from msnoah.errors import RuntimeUnavailableError

SHIM = "echo 'pyenv: python9.9: command not found' >&2; exit 127"


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A folder on PATH and pyenv's folder, both empty."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}:{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return tmp_path


def plant(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_this_python_is_taken_where_it_will_do(places):
    assert find_python("x", ("9.9", f"{sys.version_info.major}.{sys.version_info.minor}")) == Path(sys.executable)


def test_one_on_path_behind_a_shim_that_does_not_answer(places):
    plant(places / "shims" / "python9.9", SHIM)
    path = plant(places / "bin" / "python9.9", 'echo "9.9 $0"')
    assert find_python("x", ("9.9",)) == path


def test_the_newest_of_pyenv(places):
    for patch in ("2", "10", "9"):
        path = places / "pyenv" / "versions" / f"9.9.{patch}" / "bin" / "python9.9"
        plant(path, 'echo "9.9 $0"')
    assert "9.9.10" in str(find_python("x", ("9.9",)))


# what stands on PATH as python9.9 -> what is said of it
USELESS = {
    "shim": (SHIM, "pyenv: python9.9: command not found"),
    "other": ("echo 8.8 /bin/python", "is Python 8.8"),
    "without venv": ("echo \"ModuleNotFoundError: No module named 'ensurepip'\" >&2; exit 1",
                     "ModuleNotFoundError: No module named 'ensurepip'"),
    "silent": ("exit 3", "ended with exit code 3"),
    "hangs": ("exec sleep 60", "no answer within 0.5 s"),
}


@pytest.mark.parametrize("kind", USELESS)
def test_one_that_will_not_do_is_told_with_its_reason(kind, places, monkeypatch):
    body, words = USELESS[kind]
    monkeypatch.setattr(pythons, "PROBE_LIMIT_S", 0.5 if kind == "hangs" else 30.0)
    path = plant(places / "bin" / "python9.9", body)
    with pytest.raises(RuntimeUnavailableError) as caught:
        find_python("fake", ("9.9",))
    assert str(caught.value) == (
        f"fake needs Python 9.9, which is not here: looked for python9.9 on PATH and in {places}/pyenv/versions"
        f" ({path}: {words}); `pyenv install 9.9` gets it")


def test_none_says_what_was_looked_for_and_how_to_get_it(places):
    words = "fake needs Python 9.9 or 9.8, which is not here: looked for python9.9, python9.8 on PATH and in "
    with pytest.raises(RuntimeUnavailableError, match=words):
        find_python("fake", ("9.9", "9.8"))
