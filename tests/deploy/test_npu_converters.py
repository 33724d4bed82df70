"""Drivers of vendors' converters, with shell scripts in the tools' place. No real tool was tried."""

import json
import os
import sys
import time

import pytest
from npu_graphs import one_node, vit_block
from onnx import TensorProto

from msnoah.cli import main
from msnoah.deploy.converters import rknn_script
from msnoah.deploy.converters.base import Request, error_in, find_tool
from msnoah.deploy.converters.conversion import convert_graph, describe_command
from msnoah.deploy.converters.table import DRIVERS
from msnoah.deploy.npu.facts import read_facts
from msnoah.deploy.npu.rules import find_target
from msnoah.errors import ConversionError, RuntimeUnavailableError, ToolError

VARIABLES = [variable for driver in DRIVERS.values() for variable in driver.places]
# target -> how its fake tool finds the file that it writes
RESULTS = {
    "ascend310b": 'for a in "$@"; do case "$a" in --output=*) touch "${a#--output=}.om";; esac; done',
    "ascend310": 'for a in "$@"; do case "$a" in --output=*) touch "${a#--output=}.om";; esac; done',
    "kirin-npu": 'for a in "$@"; do case "$a" in --outputFile=*) touch "${a#--outputFile=}.ms";; esac; done',
    "hexagon": 'while [ "$1" != --output_path ]; do shift; done; touch "$2" "${2%.cpp}.bin"',
    "rk3588": 'touch "$4"',
}
# What the makers' tools say, in their form: driver, log, the line that tells why.
LOGS = {
    "atc": ("ATC start working now, please wait for a moment.\nATC run failed, Please check the detail log\n"
            "E19010: No parser is registered for Op [a, optype [ai.onnx::19::Conv]].\nSolution: check it.\n",
            "E19010: No parser"),
    "atc_kernel": ("EZ3002: 2024-08-08-17:27:41.541.224 Optype [Resize] of Ops kernel [AIcoreEngine] is unsupported.\n",
                   "EZ3002: "),
    "rknn": ("W load_onnx: something\n\x1b[31mE build: Unsupported op: TopK\x1b[0m\n", "E build: Unsupported op: TopK"),
    "qnn": ("2026-11-30 00:00:00,000 - 235 - INFO - go\n2026-11-30 00:00:00,000 - 235 - ERROR - Node TopK: no rule\n",
            "Node TopK: no rule"),
    "converter_lite": ("[WARNING] LITE(1): slow\n[ERROR] LITE(1): not support onnx op Scan\nCONVERT RESULT FAILED:-1\n",
                       "not support onnx op Scan"),
}


@pytest.fixture(autouse=True)
def no_tools(monkeypatch):
    """No variable of a tool is set."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A function that puts a shell script in the place of a target's tool, where its documented variable points."""
    def install_script(target: str, script: str):
        variable, inner = next(iter(DRIVERS[find_target(target).converter].places.items()))
        root = tmp_path / "sdk"
        path = root / inner if inner else root / "python"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv(variable, str(root if inner else path))
        return path
    return install_script


def convert(tmp_path, target, **options):
    facts = read_facts(vit_block(tmp_path / "vit.onnx"), batch=2)
    return convert_graph(facts, find_target(target), tmp_path / "out", **options)


@pytest.mark.parametrize("target", RESULTS)
def test_a_tool_that_succeeds(tmp_path, install, target):
    path = install(target, RESULTS[target])
    record = convert(tmp_path, target)
    assert record["command"][0] == str(path) and any("2,4,8" in argument for argument in record["command"])
    assert len(record["files"]) == len(DRIVERS[find_target(target).converter].suffixes)
    assert all(map(os.path.isfile, record["files"]))
    assert record["complaint"] is None


@pytest.mark.parametrize("log", LOGS)
def test_the_line_that_tells_why(log):
    text, expected = LOGS[log]
    found = error_in(text, DRIVERS[log.partition("_k")[0]])
    assert expected in found and "\x1b" not in found


@pytest.mark.parametrize("name", DRIVERS)
def test_a_clean_log_has_no_error(name):
    log = "INFO all fine\nCONVERT RESULT SUCCESS:0\nATC run success\nI build: done\nEnd 0 ERRORS\n"
    assert error_in(log, DRIVERS[name]) is None


def test_a_tool_that_fails_tells_its_reason(tmp_path, install):
    install("ascend310b", "cat <<'END'\n" + LOGS["atc"][0] + "END\nexit 255")
    with pytest.raises(ToolError, match=r"atc ended with exit code 255: E19010: No parser .*convert\.log"):
        convert(tmp_path, "ascend310b")


def test_a_tool_that_says_nothing_known_is_quoted_by_its_last_line(tmp_path, install):
    install("hexagon", "echo first; echo 'cannot open shared object file'; exit 3")
    with pytest.raises(ToolError, match="exit code 3: cannot open shared object file"):
        convert(tmp_path, "hexagon")


def test_a_tool_that_dies_of_a_signal(tmp_path, install):
    install("kirin-npu", "echo deep in the graph; kill -SEGV $$")
    with pytest.raises(ToolError, match=r"converter_lite died of signal 11 \(SIGSEGV\): deep in the graph"):
        convert(tmp_path, "kirin-npu")


def test_a_tool_that_hangs_is_ended_with_its_children(tmp_path, install):
    install("rk3588", f"sleep 77 & echo $! > {tmp_path}/child; wait")
    started = time.monotonic()
    with pytest.raises(ToolError, match="rknn-toolkit2 was ended after 0.5 s"):
        convert(tmp_path, "rk3588", limit_s=0.5)
    assert time.monotonic() - started < 10
    child = int((tmp_path / "child").read_text())
    time.sleep(0.1)
    assert not os.path.exists(f"/proc/{child}") or "Z" in open(f"/proc/{child}/stat").read().split()[2]


def test_a_tool_that_leaves_no_file(tmp_path, install):
    install("ascend310b", "exit 0")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "vit.om").write_text("of an earlier conversion")
    with pytest.raises(ToolError, match="atc ended well and left no .*vit.om"):
        convert(tmp_path, "ascend310b")


def test_a_complaint_of_a_tool_that_succeeds_is_kept(tmp_path, install):
    install("kirin-npu", "echo '[ERROR] a detail'; " + RESULTS["kirin-npu"])
    assert convert(tmp_path, "kirin-npu")["complaint"] == "[ERROR] a detail"


def test_a_tool_that_is_no_program(tmp_path, install):
    install("ascend310b", "").write_bytes(b"\x00\x01")
    with pytest.raises(ToolError, match="atc cannot be started: .*Exec format error"):
        convert(tmp_path, "ascend310b")


@pytest.mark.parametrize("name", DRIVERS)
def test_a_missing_tool_says_what_was_looked_for(monkeypatch, tmp_path, name):
    driver = DRIVERS[name]
    monkeypatch.setenv("PATH", str(tmp_path))
    variable = next(iter(driver.places))
    with pytest.raises(RuntimeUnavailableError) as error:
        find_tool(driver)
    assert f"${variable}, which is not set" in str(error.value) and "get it from" in str(error.value)
    monkeypatch.setenv(variable, str(tmp_path / "nowhere"))
    with pytest.raises(RuntimeUnavailableError, match=f"nowhere.*{variable}"):
        find_tool(driver)


def test_a_tool_on_the_path_is_found(monkeypatch, tmp_path):
    (tmp_path / "atc").write_text("#!/bin/sh\n")
    (tmp_path / "atc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_tool(DRIVERS["atc"]) == str(tmp_path / "atc")


def test_commands(tmp_path):
    request = Request(tmp_path / "net.onnx", tmp_path, {"image": (1, 3, 8, 8), "mask": (1, 8)}, "chip")
    lines = {name: " ".join(driver.command("tool", request)) for name, driver in DRIVERS.items()}
    commands = {name: line.replace(str(tmp_path), "T") for name, line in lines.items()}
    assert commands["atc"] == (
        "tool --model=T/net.onnx --framework=5 --output=T/net --soc_version=chip --input_shape=image:1,3,8,8;mask:1,8")
    assert commands["qnn"] == (
        "tool --input_network T/net.onnx --output_path T/net.cpp -d image 1,3,8,8 -d mask 1,8")
    assert commands["converter_lite"] == (
        "tool --fmk=ONNX --modelFile=T/net.onnx --outputFile=T/net --inputShape=image:1,3,8,8;mask:1,8 "
        "--inputDataFormat=NCHW --optimize=chip")
    assert commands["rknn"].endswith("rknn_script.py chip T/net.onnx T/net.rknn image:1,3,8,8 mask:1,8")


def test_open_axes_and_the_ane_have_no_conversion(tmp_path):
    spec = (TensorProto.FLOAT, ("batch", "width"))
    facts = read_facts(one_node(tmp_path / "r.onnx", "Relu", {"x": spec}, {"y": spec}))
    with pytest.raises(ConversionError, match="input 'x' has open axes besides the batch"):
        convert_graph(facts, find_target("hexagon"), tmp_path)
    assert "open axes" in describe_command(facts, find_target("hexagon"), tmp_path)
    with pytest.raises(ConversionError, match="ane has no converter: Core ML Tools reads no ONNX"):
        convert_graph(facts, find_target("ane"), tmp_path)


# --- the script for rknn-toolkit2, with a package of that name that answers as told


@pytest.fixture
def toolkit(tmp_path, monkeypatch):
    """A function that makes `rknn.api` importable; the step of the given name fails."""
    def make(failing: str | None = None):
        package = tmp_path / "rknn"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "api.py").write_text(
            "calls = []\n"
            "class RKNN:\n"
            "    def __getattr__(self, name):\n"
            f"        return lambda *a, **k: calls.append((name, a, k)) or (-1 if name == {failing!r} else 0)\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        for name in ("rknn", "rknn.api"):
            monkeypatch.delitem(sys.modules, name, raising=False)
    return make


def test_the_script_runs_the_steps_of_the_toolkit(toolkit):
    toolkit()
    rknn_script.convert("rk3588", "a.onnx", "a.rknn", ["scope:x:1,3,8,8"])
    import rknn.api

    calls = {name: (args, options) for name, args, options in rknn.api.calls}
    assert list(calls) == ["config", "load_onnx", "build", "export_rknn", "release"]
    assert calls["load_onnx"] == (("a.onnx",), {"inputs": ["scope:x"], "input_size_list": [[1, 3, 8, 8]]})
    assert calls["config"][1] == {"target_platform": "rk3588"} and calls["build"][1] == {"do_quantization": False}


def test_the_script_ends_at_the_step_that_fails(toolkit):
    toolkit("build")
    with pytest.raises(SystemExit, match="rknn_script: build failed with code -1"):
        rknn_script.convert("rk3588", "a.onnx", "a.rknn", ["x:1,8"])


# --- the command


def test_command_converts(tmp_path, install, capsys):
    install("rk3588", RESULTS["rk3588"])
    path = str(vit_block(tmp_path / "vit.onnx"))
    assert main(["check", path, "--target", "rk3588", "--convert", "--json", "--device", "rk3576"]) == 0
    record = json.loads(capsys.readouterr().out)[0]["conversion"]
    assert record["files"] == [str(tmp_path / "npu" / "rk3588" / "vit.rknn")] and "rk3576" in record["command"]


def test_command_prints_the_findings_of_a_failed_conversion(tmp_path, install, capsys):
    install("rk3588", "echo 'E build: no'; exit 1")
    assert main(["check", str(vit_block(tmp_path / "vit.onnx")), "--target", "rk3588", "--convert"]) == 1
    output = capsys.readouterr()
    assert "LayerNormalization" in output.out
    assert "conversion failed: rknn-toolkit2 ended with exit code 1" in output.out
    assert "msnoah check: rknn-toolkit2 ended with exit code 1: E build: no" in output.err


def test_command_without_the_tool_is_wrong_use(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["check", str(vit_block(tmp_path / "vit.onnx")), "--target", "ascend310b", "--convert"]) == 2
    assert "atc not found: looked for $ASCEND_TOOLKIT_HOME" in capsys.readouterr().err
    assert not (tmp_path / "npu").exists()
