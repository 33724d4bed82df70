"""The YAML of a device: what is read of it, the examples, and faults with their lines."""

from pathlib import Path

import pytest

from msnoah.deploy import device_config
from msnoah.deploy.device_config import find_device, find_devices, load_device
from msnoah.deploy.transports.table import folder_of, make_transport
from msnoah.errors import ConfigError

EXAMPLES = sorted((Path(__file__).parents[2] / "configs" / "devices").glob("*.yaml"))


@pytest.fixture
def write(tmp_path):
    def write_yaml(text: str) -> Path:
        path = tmp_path / "board.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_yaml


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_load_and_say_whether_they_were_tried(path):
    config = load_device(path)
    make_transport(config)
    comment = path.read_text(encoding="utf-8").partition("transport:")[0]
    assert comment.startswith("# ") and "--device" in comment
    assert config.kind == "local" or "Not tried on a real" in comment


def test_there_is_an_example_of_every_transport():
    assert {load_device(path).kind for path in EXAMPLES} == {"local", "ssh", "adb"}


FAULTS = [
    ("transport: shh:pi@host", "board.yaml:1: transport: found 'shh:pi@host'; expected local, ssh:user@host"),
    ("transport: ssh:-oProxyCommand=x", "board.yaml:1: transport: found"),
    ("transport: ssh:pi@host:22 x", "board.yaml:1: transport: found"),
    ("transport: adb:-s", "board.yaml:1: transport: found"),
    ("note: x", "board.yaml:1: key 'transport' is missing"),
    ("transport: local\npyton: [python3]", "board.yaml:2: unknown key 'pyton'; did you mean 'python'?"),
    ("transport: local\npython: python3", "board.yaml:2: python: input should be a valid tuple"),
    ("transport: local\npython: []", "board.yaml:2: python"),
    ("transport: local\nruntimes: [mnn, ncn]", "board.yaml:2: runtimes: unknown runtime 'ncn'; did you mean 'ncnn'?"),
    ("transport: local\nnative:\n  coreml: {file: x}", "board.yaml:2: native: unknown runtime 'coreml'"),
    ("transport: local\nlimits:\n  answer_s: 0", "board.yaml:3: limits.answer_s: input should be greater than 0"),
    ("transport: local\nssh: {}", "section 'ssh' is of no use with the transport local"),
    ("transport: adb:1\nfolder: ~/x", "folder '~/x' must begin with /"),
    ("transport: ssh:pi\nfolder: x", "folder 'x' must begin with / or ~/"),
    ("transport: ssh:pi\nssh:\n  options: {'Bad Name': x}", "board.yaml:3"),
    ("transport: local\nenvironment: {A-B: x}", "board.yaml:2"),
    ("- local", "board.yaml:1: expected a device"),
]


@pytest.mark.parametrize("text, words", FAULTS, ids=[text.splitlines()[-1] for text, _ in FAULTS])
def test_faults_are_told_with_their_line(text, words, write):
    with pytest.raises(ConfigError) as caught:
        load_device(write(text))
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text, address, folder", [
    ("transport: ssh:pi@10.0.0.7:2222", {"host": "pi@10.0.0.7", "port": "2222"}, ".cache/msnoah"),
    ("transport: ssh:board\nfolder: /var/tmp/x", {"host": "board", "port": None}, "/var/tmp/x"),
    ("transport: ssh:pi@[fe80::1]:22", {"host": "pi@[fe80::1]", "port": "22"}, ".cache/msnoah"),
    ("transport: adb:192.168.1.5:5555", {"serial": "192.168.1.5:5555"}, "/data/local/tmp/msnoah"),
])
def test_addresses_and_folders(text, address, folder, write):
    config = load_device(write(text))
    assert (config.name, config.address, folder_of(config)) == ("board", address, folder)


def test_ssh_never_asks_and_takes_the_options_as_yaml_has_them(write):
    options = "{StrictHostKeyChecking: no, Compression: yes, ConnectionAttempts: 2}"
    config = load_device(write(f"transport: ssh:pi@[::1]:2222\nssh:\n  identity_file: /k\n  options: {options}"))
    command = make_transport(config).open(["echo", "it's"])
    for option in ("BatchMode=yes", "ConnectTimeout=10", "Port=2222", "IdentityFile=/k", "StrictHostKeyChecking=no",
                   "Compression=yes", "ConnectionAttempts=2"):
        assert command[command.index(option) - 1] == "-o"
    assert command[-2] == "pi@::1"


def test_devices_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(device_config, "FOLDER", tmp_path)
    for folder in (tmp_path, tmp_path / "other"):
        folder.mkdir(exist_ok=True)
        (folder / "desk.yaml").write_text("transport: local")
    assert find_device("desk").path == tmp_path / "desk.yaml"
    cases = {"desc": "did you mean 'desk'?", "phone": "has: desk", "none.yaml": "none.yaml: cannot be read"}
    for name, words in cases.items():
        with pytest.raises(ConfigError, match=words):
            find_device(name)
    with pytest.raises(ConfigError, match="are both called 'desk'; rename one"):
        find_devices(["desk", str(tmp_path / "other" / "desk.yaml")])
