"""Run folders: whole files or none, and errors that say what would be right."""

import errno
import json

import pytest
from test_config import GOOD

from msnoah.atomic_file import replacing, write_text
from msnoah.config_file import load_config
from msnoah.errors import RunFolderError
from msnoah.run_folder import RunFolder, read_json, write_json


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(GOOD, encoding="utf-8")
    return load_config(path)


def test_a_new_run_holds_its_resolved_config(tmp_path, config):
    run = RunFolder.create(tmp_path / "runs" / "a", config)
    assert RunFolder.open(run.path).config() == config
    assert run.name == "a"


def test_a_run_is_not_overwritten(tmp_path, config):
    run = RunFolder.create(tmp_path / "a", config)
    RunFolder.create(tmp_path / "a", config)  # nothing trained yet, so nothing is lost
    run.append_history({"epoch": 1})
    with pytest.raises(RunFolderError, match="holds a run already; add --resume"):
        RunFolder.create(tmp_path / "a", config)


@pytest.mark.parametrize("prepare,message", [(None, "no such run folder"), ("mkdir", "holds no config.yaml")])
def test_opening_what_is_no_run(tmp_path, prepare, message):
    if prepare:
        (tmp_path / "a").mkdir()
    with pytest.raises(RunFolderError, match=message):
        RunFolder.open(tmp_path / "a")


def test_a_folder_that_cannot_be_made(tmp_path, config):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be made: Not a directory"):
        RunFolder.create(tmp_path / "file" / "a", config)


def test_history_survives_a_line_that_a_kill_cut_short(tmp_path, config):
    run = RunFolder.create(tmp_path / "a", config)
    run.append_history({"epoch": 1})
    run.append_history({"epoch": 2})
    with run.history_path.open("a") as file:
        file.write('{"epoch": ')
    assert [record["epoch"] for record in run.history()] == [1, 2]


def test_history_damaged_in_the_middle_is_an_error(tmp_path, config):
    run = RunFolder.create(tmp_path / "a", config)
    run.history_path.write_text('{"epoch": \n{"epoch": 2}\n')
    with pytest.raises(RunFolderError, match="history.jsonl:1: not a JSON record"):
        run.history()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EACCES, "Permission denied")])
def test_a_failed_write_keeps_the_earlier_file(tmp_path, error):
    path = tmp_path / "a.txt"
    write_text(path, "earlier")
    with pytest.raises(RunFolderError, match=f"cannot be written: {error.strerror}; the earlier file is kept"):
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path], "no temporary file is left behind"


def test_another_error_in_the_block_also_keeps_the_earlier_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "earlier")
    with pytest.raises(ZeroDivisionError):
        with replacing(path) as temporary:
            temporary.write_text("half")
            _ = 1 / 0
    assert path.read_text() == "earlier"


@pytest.mark.parametrize("text,message", [("{", "a.json:1: not JSON"), ("[]", "holds a list, expected a JSON object"), (None, "cannot be read")])
def test_json_faults(tmp_path, text, message):
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RunFolderError, match=message):
        read_json(path)


def test_json_round_trip(tmp_path):
    write_json(tmp_path / "a.json", {"a": [1, None]})
    assert json.loads((tmp_path / "a.json").read_text()) == read_json(tmp_path / "a.json") == {"a": [1, None]}
