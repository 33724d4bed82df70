"""Transports over the real clients: arguments as they are, bytes as they are, exit codes, and devices that go away."""

import os
import subprocess
import time

import pytest
from remote_devices import TestDevice

from msnoah.deploy.transports.base import run
from msnoah.deploy.transports.table import make_transport
from msnoah.errors import DeviceError

AWKWARD = ["a b", "", "it's", '"', "$HOME", "`id`", "\\n", "a\nb", "*", "-n", "é", "; false", "|", "!x", "#", "~", "%s"]


@pytest.fixture(scope="module", params=["local", "ssh", "adb"])
def device(request, tmp_path_factory):
    made = TestDevice(request.param, tmp_path_factory.mktemp(request.param))
    yield made
    made.close()


@pytest.fixture
def transport(device):
    made = make_transport(device.config())
    made.connect(5)
    return made


def test_arguments_arrive_as_they_are(transport):
    ending = run(transport, ["printf", "<%s>", *AWKWARD], 20)
    assert (ending.code, ending.output) == (0, "".join(f"<{argument}>" for argument in AWKWARD))


@pytest.mark.parametrize(
    "script, code", [("exit 0", 0), ("echo words >&2; exit 255", 255), ("kill -9 $$", 137), ("exit 1", 1)])
def test_exit_codes_and_last_words_are_the_programs_own(transport, script, code):
    ending = run(transport, ["sh", "-c", script], 20)
    assert ending.code == code and (code != 255 or ending.words == "words")


def test_files_keep_their_bytes(transport, device, tmp_path):
    content = os.urandom(300_000) + b"\r\n\x04\x1a\0" * 9
    (tmp_path / "there and back").write_bytes(content)
    target = f"{device.folder}/it's here"
    transport.push(tmp_path / "there and back", target, 20)
    transport.pull(target, tmp_path / "back", 20)
    assert (tmp_path / "back").read_bytes() == content


@pytest.mark.parametrize("way", ["push", "pull"])
def test_a_file_that_cannot_be_copied_is_one_line(way, transport, device, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    there = f"{device.folder}/no such folder/file"
    with pytest.raises(DeviceError) as caught:
        transport.push(tmp_path / "file", there, 20) if way == "push" else transport.pull(there, tmp_path / "file", 20)
    assert "no such folder/file" in str(caught.value) and "\n" not in str(caught.value)
    assert any(words in str(caught.value) for words in ("o such file", "does not exist", "nonexistent"))


def test_a_process_is_spoken_to_line_by_line(transport):
    process = subprocess.Popen(transport.open(["cat"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for line in (b"one\n", b"two\n"):
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == line
    process.stdin.close()
    assert process.wait(20) == 0
    process.stdout.close()


def test_a_command_that_hangs_is_given_up(transport):
    start = time.monotonic()
    with pytest.raises(DeviceError, match="no answer within 0.5 s"):
        run(transport, ["sleep", "5"], 0.5)
    assert time.monotonic() - start < 4


@pytest.mark.parametrize("kind", ["ssh", "adb"])
def test_a_device_that_goes_away_is_told_from_a_command_that_fails(kind, tmp_path):
    device = TestDevice(kind, tmp_path)
    try:
        transport = make_transport(device.config())
        transport.connect(5)
        process = subprocess.Popen(transport.open(["sh", "-c", "echo on; cat"]), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout.readline() == b"on\n"
        device.kill()
        assert transport.is_lost(process.wait(20), "")
        process.stdin.close(), process.stdout.close()
        with pytest.raises(DeviceError, match="cannot be reached: .*(refused|offline|not found)"):
            run(transport, ["true"], 20)
    finally:
        device.close()


@pytest.mark.parametrize("changes, words", [
    ({"program": "no_adb_here"}, "no_adb_here is not installed"),
    ({}, "cannot be reached: .*127.0.0.1:1"),
])
def test_what_is_missing_for_adb_is_one_line(changes, words, tmp_path):
    device = TestDevice("adb", tmp_path)
    try:
        config = device.config(adb={**device.values["adb"], **changes}, transport="adb:127.0.0.1:1")
        with pytest.raises(DeviceError, match=words):
            make_transport(config).connect(5)
    finally:
        device.close()


def test_an_android_without_exit_codes_is_refused(tmp_path):
    device = TestDevice("adb", tmp_path)
    device.server.features = "cmd"
    try:
        with pytest.raises(DeviceError, match="Android 7 or later"):
            make_transport(device.config()).connect(5)
    finally:
        device.close()
