"""Chains of compressed checkpoints: bits that come back, damage that is found, and what is offered instead."""

import json
import os
import re

import numpy as np
import pytest

from msnoah.cli import main
from msnoah.compression.block_file import read_blocks, write_blocks
from msnoah.compression.chain import Chain
from msnoah.compression.compressing import compress_checkpoints
from msnoah.compression.settings import PRESETS
from msnoah.errors import CheckpointError, RunFolderError
from msnoah.run_lock import RunLock
from msnoah.state_file import read_state, save_state
from tests.compression.training_states import make_states, same

BALANCED = PRESETS["balanced"]
MUTATIONS = 1000


def build(folder, count=5, key_frame_every=3):
    """A chain, and what each step gave when it was written."""
    folder.mkdir(exist_ok=True)
    chain, given = Chain(folder), []
    for step, state in enumerate(make_states(count)):
        metadata = {"state": {"step": step}}
        key = step % key_frame_every == 0
        given.append(chain.append_key(step, state, metadata) if key else chain.append(step, state, BALANCED, metadata))
    return chain, given


def test_every_step_restores_the_bits_that_its_writing_gave(tmp_path):
    _, given = build(tmp_path / "chain")
    for order in (range(5), (4, 0, 3, 1, 2)):
        reader = Chain(tmp_path / "chain")
        for step in order:
            arrays, metadata = reader.restore(reader.paths()[step])
            assert same(arrays, given[step]) and metadata == {"state": {"step": step}}
    assert same(given[3], make_states(5)[3])   # a key frame loses nothing


def test_errors_do_not_add_up(tmp_path):
    """Each step is coded against the reconstruction, so what one left out the next sees again."""
    (tmp_path / "chain").mkdir()
    chain, states = Chain(tmp_path / "chain"), make_states(12)
    chain.append_key(0, states[0], {})
    errors = [np.linalg.norm(chain.append(step, state, BALANCED, {})["head.weight"] - state["head.weight"])
              for step, state in enumerate(states[1:], 1)]
    assert max(errors[-3:]) < 1.5 * max(errors[:3])


def test_a_flipped_bit_anywhere_is_found(tmp_path):
    """Every file of a chain, each bit of it alike; whatever restores must be what was written."""
    chain, given = build(tmp_path / "chain")
    paths, generator = chain.paths(), np.random.default_rng(0)
    contents = {path: path.read_bytes() for path in paths}
    for _ in range(MUTATIONS):
        path = paths[generator.integers(len(paths))]
        flipped = bytearray(contents[path])
        place = generator.integers(8 * len(flipped))
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError):
            Chain(chain.folder).restore(path)
        path.write_bytes(contents[path])


@pytest.mark.parametrize("fault, intact", [
    ("4", 3), ("3", 2), ("2", 4), ("0", 4), ("cut 4", 3), ("gone 3", 2), ("all", None)])
def test_the_newest_intact_step_is_offered(fault, intact, tmp_path):
    """Steps 0 and 3 are key frames: 4 needs 3, and 1 and 2 need 0."""
    chain, given = build(tmp_path / "chain")
    for number, path in enumerate(chain.paths()):
        if fault.endswith(str(number)) or fault == "all":
            content = path.read_bytes()
            if fault.startswith("gone"):
                path.unlink()
            else:
                rest = b"" if fault.startswith("cut") else b"?" * len(content)
                path.write_bytes(content[:len(content) // 2] + rest)
    if intact is None:
        with pytest.raises(CheckpointError, match="damaged|cut short"):
            Chain(chain.folder).newest_intact()
        return
    path = Chain(chain.folder).newest_intact()
    assert int(path.stem) == intact and same(Chain(chain.folder).restore(path)[0], given[intact])


def test_an_exchanged_predecessor_is_found(tmp_path):
    chain, _ = build(tmp_path / "chain")
    file = read_blocks(chain.paths()[0])
    write_blocks(chain.paths()[0], {**file.record, "metadata": {"other": True}}, file.blocks)
    with pytest.raises(CheckpointError, match="needs 000000000.excp, which is not what it was coded against"):
        Chain(chain.folder).restore(chain.paths()[1])


@pytest.mark.parametrize("step", [4, 3])
def test_a_chain_goes_forward(step, tmp_path):
    chain, _ = build(tmp_path / "chain")
    with pytest.raises(CheckpointError, match=f"step {step} is not after it"):
        chain.append(step, make_states(1)[0], BALANCED, {})


def test_an_empty_chain_begins_with_a_key_frame(tmp_path):
    with pytest.raises(CheckpointError, match="begins with a key frame"):
        Chain(tmp_path).append(1, make_states(1)[0], BALANCED, {})


def test_a_full_disk_keeps_the_earlier_file(tmp_path, monkeypatch):
    chain, _ = build(tmp_path / "chain")
    before = [path.read_bytes() for path in chain.paths()]

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(RunFolderError, match="No space left on device; the earlier file is kept"):
        chain.append(9, make_states(1)[0], BALANCED, {})
    assert [path.read_bytes() for path in chain.paths()] == before


@pytest.fixture
def checkpoints(tmp_path):
    """last.ckpt at five steps, given in a strange order."""
    paths = [tmp_path / f"{name}.ckpt" for name in "edcba"]
    for step, (path, state) in enumerate(zip(paths, make_states(5), strict=True)):
        save_state(path, state, {"state": {"step": step}, "loss_scale": {}, "config": {}})
    return list(map(str, sorted(paths)))


def test_a_chain_has_one_writer(checkpoints, tmp_path):
    folder = tmp_path / "chain"
    folder.mkdir()
    with RunLock(folder), pytest.raises(RunFolderError, match="is writing to it"):
        compress_checkpoints(checkpoints, folder, BALANCED)


def test_the_command_compresses_inspects_and_restores(checkpoints, tmp_path, capsys):
    chain, output = str(tmp_path / "chain"), str(tmp_path / "out.ckpt")
    assert main(["ckpt", "compress", *checkpoints[2:], "--chain", chain, "--preset", "extreme", "--json"]) == 0
    assert main(["ckpt", "compress", *checkpoints, "--chain", chain, "--preset", "extreme", "--json"]) == 0   # goes on
    rows = json.loads(capsys.readouterr().out.split("\n}\n")[1].strip() + "\n}")["files"]
    assert [(row["step"], row["kind"]) for row in rows] == [(0, "key"), *((step, "change") for step in (1, 2, 3, 4))]
    assert all(row["problem"] is None and row["ratio"] > 1 for row in rows)
    assert main(["ckpt", "inspect", chain, "--tensors"]) == 0 and "head.weight" in capsys.readouterr().out
    assert main(["ckpt", "restore", chain, "--step", "2", "-o", output]) == 0
    arrays, metadata = read_state(output)
    assert metadata["state"] == {"step": 2} and same(arrays, Chain(tmp_path / "chain").restore(
        tmp_path / "chain" / "000000002.excp")[0])


def test_of_one_step_the_state_with_more_passes_of_reestimation_is_taken(tmp_path, capsys):
    before, after = make_states(2)
    for name, state, passes in (("a", before, 0), ("b", after, 1)):
        save_state(tmp_path / f"{name}.ckpt", state, {"state": {"step": 7, "reestimation_epochs": passes}})
    chain = tmp_path / "chain"
    assert main(["ckpt", "compress", str(tmp_path / "b.ckpt"), str(tmp_path / "a.ckpt"), "--chain", str(chain)]) == 0
    [path] = Chain(chain).paths()
    assert same(Chain(chain).restore(path)[0], after)


@pytest.mark.parametrize("arguments, words", [
    (["compress", "{weights}", "--chain", "{chain}"], "holds weights but no training state"),
    (["compress", "{one}", "{one}", "--chain", "{chain}"], "step 4, as .*; give one file a step"),
    (["compress", "{one}", "--chain", "{chain}", "--preset", "x"], "unknown preset 'x'"),
    (["compress", "{one}", "--chain", "{chain}", "--key-frame-every", "0"], "expected 1 or more"),
    (["compress", "{tmp}/none.ckpt", "--chain", "{chain}"], "none.ckpt: cannot be read"),
    (["compress", "{one}", "--chain", "{one}"], "cannot be made"),
    (["inspect", "{tmp}"], "holds no compressed checkpoints"),
    (["restore", "{tmp}", "-o", "{chain}"], "holds no .excp files; `msnoah ckpt compress` makes them"),
])
def test_wrong_use_is_one_line(arguments, words, checkpoints, tmp_path, capsys):
    save_state(tmp_path / "weights.ckpt", {"w": np.zeros(3, np.float32)}, {"epoch": 1})
    names = {"tmp": tmp_path, "chain": tmp_path / "chain", "one": checkpoints[0], "weights": tmp_path / "weights.ckpt"}
    assert main(["ckpt", *(argument.format(**names) for argument in arguments)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("msnoah ckpt: ") and re.search(words, error)


def test_damage_is_told_with_what_to_take_instead(checkpoints, tmp_path, capsys):
    folder = tmp_path / "chain"
    main(["ckpt", "compress", *checkpoints, "--chain", str(folder)])
    newest = folder / "000000004.excp"
    newest.write_bytes(newest.read_bytes()[:-3])
    capsys.readouterr()
    assert main(["ckpt", "restore", str(folder), "-o", str(tmp_path / "out.ckpt")]) == 2
    assert "cut short in block 'raw'; the newest that is intact: --step 3" in capsys.readouterr().err
    assert not (tmp_path / "out.ckpt").exists()
    assert main(["ckpt", "inspect", str(folder)]) == 2
    told = capsys.readouterr()
    assert "4 of 5 restore" in told.out and "1 of 5 files do not restore; the newest that does: step 3" in told.err
