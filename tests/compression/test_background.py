"""States compressed by a process beside training: kills, full disks, and that it never stands in the way."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from msnoah.compression import background
from msnoah.compression.background import MOST_DEATHS, MOST_PENDING, BackgroundCompressor
from msnoah.compression.chain import Chain
from msnoah.compression.compressing import compress_checkpoints
from msnoah.compression.pending import PendingStates, pending_folder, pending_paths
from msnoah.compression.settings import PRESETS
from msnoah.run_lock import RunLock
from msnoah.state_file import save_state
from tests.compression.training_states import make_states, same

BALANCED = PRESETS["balanced"]
STATES = make_states(7)
PATIENCE_S = 30


@pytest.fixture
def folder(tmp_path):
    pending_folder(tmp_path / "chain").mkdir(parents=True)
    return tmp_path / "chain"


@pytest.fixture
def lines():
    return []


@pytest.fixture
def compressor(folder, lines):
    compressor = BackgroundCompressor(folder, BALANCED, 3, lines.append)
    yield compressor
    if compressor._process:
        compressor._process.send_signal(signal.SIGCONT)
    compressor.stop()


def write(path, step):
    """A training state, in one place that is replaced as last.ckpt is."""
    save_state(path, STATES[step], {"state": {"step": step}})
    return path


def put(folder, *steps):
    for step in steps:
        write(pending_folder(folder) / f"{step:09d}.ckpt", step)


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid):
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_the_chain_is_the_one_of_the_command(compressor, folder, lines, tmp_path):
    for step in range(7):
        compressor.add(write(tmp_path / "last.ckpt", step), step)
        write(tmp_path / f"{step}.ckpt", step)
    compressor.finish()
    expected = compress_checkpoints([tmp_path / f"{step}.ckpt" for step in range(7)], tmp_path / "expected", BALANCED,
                                    key_frame_every=3)
    assert [path.read_bytes() for path in Chain(folder).paths()] == [path.read_bytes() for path in expected.paths()]
    assert not lines and not list(pending_folder(folder).iterdir())


def test_the_process_is_polite_and_has_no_mindspore(compressor, folder, tmp_path):
    compressor.add(write(tmp_path / "last.ckpt", 0), 0)
    compressor.wait()
    pid = compressor._process.pid
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    assert "numpy" in Path(f"/proc/{pid}/maps").read_text() and "mindspore" not in Path(f"/proc/{pid}/maps").read_text()
    code = "import sys, msnoah.compression.background, msnoah.compression.pending; sys.exit('mindspore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_signals_are_for_the_process_that_trains(compressor, folder, lines, tmp_path):
    compressor.add(write(tmp_path / "last.ckpt", 0), 0)
    compressor.wait()
    for number in (signal.SIGINT, signal.SIGTERM):
        compressor._process.send_signal(number)
    compressor.add(write(tmp_path / "last.ckpt", 1), 1)
    compressor.finish()
    assert list(Chain(folder).steps()) == [0, 1] and not lines


def test_a_killed_process_is_started_again(compressor, folder, lines, tmp_path):
    compressor.add(write(tmp_path / "last.ckpt", 0), 0)
    compressor.wait()
    compressor._process.kill()
    compressor._process.wait()
    compressor.add(write(tmp_path / "last.ckpt", 1), 1)
    compressor.finish()
    assert list(Chain(folder).steps()) == [0, 1]
    assert lines == [f"{folder}: the process that compresses was killed by signal 9, and is started again"]


def test_a_process_that_always_dies_is_given_up_and_nothing_is_lost(compressor, folder, lines, tmp_path, monkeypatch):
    monkeypatch.setattr(background, "_MODULE", "json.no_such_module")
    for step in range(4):
        compressor.add(write(tmp_path / "last.ckpt", step), step)
    compressor.finish()
    assert "ended with 1, that often in a row that states wait" in lines[MOST_DEATHS - 1]
    assert "4 states stay in" in lines[-1]
    compress_checkpoints(pending_paths(folder), folder, BALANCED)   # what the line says
    assert list(Chain(folder).steps()) == [0, 1, 2, 3]


def test_with_two_that_wait_the_next_one_waits_too(compressor, folder, tmp_path):
    compressor.add(write(tmp_path / "last.ckpt", 0), 0)
    compressor.wait()
    compressor._process.send_signal(signal.SIGSTOP)
    for step in (1, 2):
        compressor.add(write(tmp_path / "last.ckpt", step), step)
    third = threading.Thread(target=compressor.add, args=(write(tmp_path / "last.ckpt", 3), 3))
    third.start()
    third.join(0.3)
    assert third.is_alive() and len(pending_paths(folder)) == MOST_PENDING
    compressor._process.send_signal(signal.SIGCONT)
    third.join(PATIENCE_S)
    compressor.finish()
    assert list(Chain(folder).steps()) == [0, 1, 2, 3]


def test_what_cannot_be_written_waits_and_nobody_waits_for_it(compressor, folder, lines, tmp_path):
    """Another process holds the chain, as a full disk would: the state stays and is tried again."""
    with RunLock(folder):
        for step in range(4):
            compressor.add(write(tmp_path / "last.ckpt", step), step)
        assert not compressor.wait() and len(pending_paths(folder)) == 4
    assert "step 0 waits to be compressed, training goes on" in lines[0]
    compressor.finish()
    assert list(Chain(folder).steps()) == [0, 1, 2, 3] and "stay" not in lines[-1]


def test_the_process_ends_with_the_one_that_trains(folder, tmp_path):
    code = ("import sys, time; from pathlib import Path\n"
            "from msnoah.compression.background import BackgroundCompressor\n"
            "from msnoah.compression.settings import PRESETS\n"
            "compressor = BackgroundCompressor(Path(sys.argv[1]), PRESETS['balanced'], 3, print)\n"
            "compressor.look(); print(compressor._process.pid, flush=True); time.sleep(600)")
    trainer = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    pid = int(trainer.stdout.readline())
    assert is_alive(pid)
    trainer.kill()
    trainer.wait()
    until(lambda: not is_alive(pid))


def answers(folder):
    return list(PendingStates(folder, BALANCED, 3).compress())


def test_a_full_disk_keeps_the_state_that_waits(folder, monkeypatch):
    put(folder, 0, 1)

    def refuse(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        [answer] = answers(folder)
        assert answer["failed"] == "000000000.ckpt" and "No space left on device" in answer["why"]
    assert len(pending_paths(folder)) == 2 and not Chain(folder).paths()
    assert answers(folder) == [{"done": "000000000.ckpt"}, {"done": "000000001.ckpt"}]


def test_a_kill_between_the_chain_and_the_removal_changes_nothing(folder):
    put(folder, 0, 1)
    answers(folder)
    before = [path.read_bytes() for path in Chain(folder).paths()]
    put(folder, 1)
    (folder / ".000000002.excp.1.tmp").write_bytes(b"half")
    assert answers(folder) == [{"done": "000000001.ckpt"}]
    assert [path.read_bytes() for path in Chain(folder).paths()] == before
    assert not pending_paths(folder) and not list(folder.glob(".*.tmp"))


def test_a_damaged_state_stands_in_nobodys_way(folder):
    put(folder, 0, 1)
    path = pending_paths(folder)[0]
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    said, *done = answers(folder)
    assert "cut short" in said["said"] and "stays out of the chain" in said["said"]
    assert list(Chain(folder).steps()) == [1] and len(done) == 2
    assert path.with_suffix(".damaged").read_bytes() == content[:-20]


def test_after_a_damaged_file_comes_a_key_frame(folder):
    put(folder, 0, 1)
    answers(folder)
    newest = Chain(folder).paths()[-1]
    newest.write_bytes(newest.read_bytes()[:-3])
    put(folder, 2)
    said, _ = answers(folder)
    assert "cut short" in said["said"] and said["said"].endswith("step 2 becomes a key frame")
    assert same(Chain(folder).restore(Chain(folder).paths()[-1])[0], STATES[2])


@pytest.mark.parametrize("after, left", [(6, 7), (3, 4), (0, 1), (-1, 0)])
def test_a_chain_is_cut_off_after_a_step_and_goes_on(after, left, folder):
    put(folder, *range(7))
    answers(folder)
    whole = [path.read_bytes() for path in Chain(folder).paths()]
    Chain(folder).truncate(after)
    assert [path.read_bytes() for path in Chain(folder).paths()] == whole[:left]
    put(folder, *range(left, 7))
    answers(folder)
    assert [path.read_bytes() for path in Chain(folder).paths()] == whole
