"""Building the native runner with a stand-in for CMake and pip: what is asked of them, and what becomes of failures."""

import configparser
import shutil
import sys
import tarfile
from pathlib import Path

import pytest

from msnoah.deploy import native_build, ncnn_source
from msnoah.deploy.native_build import SOURCES, NativeBuild, parse_options
from msnoah.deploy.ncnn_source import NcnnSource, fetch_ncnn, open_ncnn
from msnoah.errors import MsnoahError, RuntimeUnavailableError, ToolError

ROOT = Path(__file__).parents[2]
CMAKE = "import sys\nwith open({calls!r}, 'a') as file:\n    print(*sys.argv[1:], file=file)\n"


def plant_program(folder: Path, name: str, body: str) -> None:
    """An executable of this name in a folder, written in Python."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!{sys.executable}\n{body}")
    program.chmod(0o755)


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """A CMake that does nothing but note what it was called with; its list of calls so far."""
    noted = tmp_path / "calls"
    plant_program(tmp_path / "bin", "cmake", CMAKE.format(calls=str(noted)))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(native_build, "json_headers", lambda: Path("/headers"))
    return lambda: [line.split() for line in noted.read_text().splitlines()]


def ncnn_tree(folder: Path, info: str | None = None) -> Path:
    """What is told from other sources as ncnn's."""
    (folder / "src").mkdir(parents=True)
    (folder / "CMakeLists.txt").touch()
    (folder / "src" / "net.h").touch()
    if info:
        (folder / "PKG-INFO").write_text(info)
    return folder


def test_ncnn_is_built_before_the_runner_for_the_target(calls, tmp_path):
    build = NativeBuild(tmp_path / "build", "aarch64", (("NCNN_INT8", "OFF"),), (("ANDROID_ABI", "arm64-v8a"),), jobs=3)
    runner = build.run(NcnnSource(Path("/ncnn"), "20261020"))
    assert runner == tmp_path / "build" / "runner" / "msnoah-runner"
    configured, built, installed, *rest = calls()
    assert configured[:4] == ["-S", "/ncnn", "-B", str(tmp_path / "build" / "ncnn-build")]
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={SOURCES / 'cmake' / 'aarch64-linux-gnu.cmake'}"
    assert {toolchain, "-DANDROID_ABI=arm64-v8a", "-DNCNN_INT8=OFF", "-DNCNN_VERSION=20261020",
            "-DNCNN_VULKAN=OFF"} <= set(configured)
    assert built[-2:] == ["--parallel", "3"] and installed[-1] == "--strip"
    assert rest[0][:2] == ["-S", str(SOURCES)] and len(rest) == 3
    assert {toolchain, "-DNLOHMANN_JSON_INCLUDE_DIR=/headers"} <= set(rest[0])
    assert "-DNCNN_INT8=OFF" not in rest[0]


def test_a_build_that_fails_is_one_line_with_the_compilers_complaint(calls, tmp_path):
    words = "print('fine')\nprint('net.cpp:7: error: no such type')\nprint('make: 2')\nraise SystemExit(2)\n"
    plant_program(tmp_path / "bin", "cmake", words)
    with pytest.raises(ToolError) as caught:
        NativeBuild(tmp_path / "build").run(NcnnSource(Path("/ncnn"), "20261020"))
    assert str(caught.value) == ("cmake of ncnn ended with exit code 2: net.cpp:7: error: no such type;"
                                 f" all of it stands in {tmp_path}/build/ncnn.log")


def test_what_is_missing_says_how_to_get_it(calls, tmp_path, monkeypatch):
    with pytest.raises(ToolError, match="aarch65: no such target; expected host, aarch64 or a toolchain file"):
        NativeBuild(tmp_path / "build", "aarch65").run(NcnnSource(Path("/ncnn"), "20261020"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeUnavailableError, match="apt-get install cmake"):
        NativeBuild(tmp_path / "build").run(NcnnSource(Path("/ncnn"), "20261020"))


def test_without_headers_the_line_has_the_command(monkeypatch):
    monkeypatch.setattr(native_build.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeUnavailableError, match="pip install nlohmann-json"):
        native_build.json_headers()


@pytest.mark.parametrize("text", ["NCNN_INT8", "=OFF", "A B=1"])
def test_an_option_has_a_name_and_a_value(text):
    assert parse_options(["NCNN_INT8=OFF", "FLAGS=-O1 -DX=2"]) == (("NCNN_INT8", "OFF"), ("FLAGS", "-O1 -DX=2"))
    with pytest.raises(ToolError, match="expected NAME=VALUE"):
        parse_options([text])


@pytest.mark.parametrize("pack, name", [
    ("gztar", "ncnn-1.0.20261020.tar.gz"), ("zip", "ncnn-20261020-full-source.zip"),
])
def test_an_archive_is_unpacked_once(pack, name, tmp_path):
    ncnn_tree(tmp_path / "packed" / "inner")
    made = shutil.make_archive(str(tmp_path / "made"), pack, tmp_path / "packed")
    archive = Path(made).rename(tmp_path / name)
    source = open_ncnn(archive, tmp_path / "build")
    first = (source.folder / "src" / "net.h").stat().st_mtime_ns
    assert source.release == "20261020"
    assert (open_ncnn(archive, tmp_path / "build").folder / "src" / "net.h").stat().st_mtime_ns == first


def test_a_folder_tells_its_release_by_what_the_index_wrote(tmp_path):
    folder = ncnn_tree(tmp_path / "source", "Name: ncnn\nVersion: 1.0.20260526\n")
    assert open_ncnn(folder, tmp_path / "build") == NcnnSource(folder, "20260526")


SOURCES_THAT_ARE_NONE = {
    "text": (lambda path: path.write_text("not packed"), "cannot be unpacked"),
    "absent": (lambda path: None, "cannot be unpacked"),
    "empty": (lambda path: tarfile.open(path, "w:gz").close(), "has no ncnn"),
    "nameless": (lambda path: ncnn_tree(path), "does not tell ncnn's release"),
}


@pytest.mark.parametrize("case", SOURCES_THAT_ARE_NONE)
def test_what_is_no_source_of_ncnn_is_one_line(case, tmp_path):
    make, words = SOURCES_THAT_ARE_NONE[case]
    make(tmp_path / "source.tar.gz")
    with pytest.raises(ToolError, match=words):
        open_ncnn(tmp_path / "source.tar.gz", tmp_path / "build")


PIP = """
import pathlib, sys
if sys.argv[1] == "index":
    print("Found link https://example/x1y2/ncnn-1.0.20261020.tar.gz (from https://example/), version: 1.0.20261020")
else:
    assert sys.argv[-1] == "https://example/x1y2/ncnn-1.0.20261020.tar.gz", sys.argv
    pathlib.Path(sys.argv[sys.argv.index("--dest") + 1], "ncnn-1.0.20261020.tar.gz").touch()
"""


def test_the_source_is_fetched_by_the_address_that_pip_tells(tmp_path, monkeypatch):
    plant_program(tmp_path, "pip", PIP)
    monkeypatch.setattr(ncnn_source, "PIP", (str(tmp_path / "pip"),))
    assert fetch_ncnn("1.0.20261020", tmp_path).is_file()
    with pytest.raises(RuntimeUnavailableError, match="no source of ncnn 1.0.20260101; give an archive"):
        fetch_ncnn("1.0.20260101", tmp_path)
    plant_program(tmp_path, "pip", "raise SystemExit('ERROR: no index')")
    with pytest.raises(MsnoahError, match="pip index failed: ERROR: no index"):
        fetch_ncnn("1.0.20260101", tmp_path)


def test_every_source_of_the_runner_is_in_the_wheel():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    patterns = setup["options.package_data"]["msnoah.deploy"].replace(",", " ").split()
    packed = {path for pattern in patterns for path in SOURCES.parent.glob(pattern)}
    assert {path for path in SOURCES.rglob("*") if path.is_file()} <= packed


def test_the_list_of_sources_in_cmake_is_whole():
    listed = (SOURCES / "CMakeLists.txt").read_text()
    assert [path.name for path in SOURCES.glob("*.cpp") if path.name not in listed] == []
