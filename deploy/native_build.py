"""Builds the native runner (deploy/native) with CMake: first ncnn's library, which takes minutes and is kept."""

import importlib.util
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from msnoah.deploy.logged_process import run_logged
from msnoah.deploy.ncnn_source import NcnnSource
from msnoah.errors import RuntimeUnavailableError, ToolError

SOURCES = Path(__file__).resolve().parent / "native"
RUNNER = "msnoah-runner"
LIMIT_S = 4 * 3600.0  # ncnn in one process on a slow machine
TARGETS = {"host": None, "aarch64": SOURCES / "cmake" / "aarch64-linux-gnu.cmake"}
"""Toolchain files by name; any other target is the path of one, as the Android NDK's."""

NCNN_OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    **dict.fromkeys(("NCNN_BUILD_TOOLS", "NCNN_BUILD_EXAMPLES", "NCNN_BUILD_BENCHMARK", "NCNN_VULKAN"), "OFF"),
    **dict.fromkeys(("NCNN_PIXEL", "NCNN_PIXEL_ROTATE", "NCNN_PIXEL_AFFINE", "NCNN_PIXEL_DRAWING"), "OFF"),
    "NCNN_C_API": "OFF",
    # for Android ncnn switches both off, and would hand that on to the runner
    **dict.fromkeys(("NCNN_DISABLE_RTTI", "NCNN_DISABLE_EXCEPTION"), "OFF"),
}
"""What of ncnn the runner needs: its layers, for every processor of the target's kind."""


@dataclass(frozen=True)
class NativeBuild:
    """Where to build, for what (`host`, `aarch64` or a toolchain file), with which options, in how many processes.

    `ncnn_options` come after NCNN_OPTIONS, as {"NCNN_INT8": "OFF"}; `toolchain_options` are both projects', as
    {"ANDROID_ABI": "arm64-v8a"}.
    """

    folder: Path
    target: str = "host"
    ncnn_options: tuple[tuple[str, str], ...] = ()
    toolchain_options: tuple[tuple[str, str], ...] = ()
    jobs: int = 1

    def run(self, source: NcnnSource) -> Path:
        """Builds ncnn, unless that has been done here with the same options, and the runner.

        Raises:
            RuntimeUnavailableError: CMake or the headers of JSON are missing.
            ToolError: no such toolchain file, or a build failed; names its log.
        """
        if shutil.which("cmake") is None:
            raise RuntimeUnavailableError("cmake is not installed; `apt-get install cmake g++` or the like gets it")
        headers, toolchain = json_headers(), self._toolchain()
        self.folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(self.folder):
            return self._build(source, headers, toolchain)

    def _build(self, source: NcnnSource, headers: Path, toolchain: dict[str, str]) -> Path:
        ncnn = self._install("ncnn", source.folder, {
            **NCNN_OPTIONS, "NCNN_VERSION": source.release, **toolchain, **dict(self.ncnn_options)})
        runner = self._install("runner", SOURCES, {
            **toolchain, "ncnn_DIR": str(ncnn / "lib" / "cmake" / "ncnn"), "NLOHMANN_JSON_INCLUDE_DIR": str(headers)})
        return runner / RUNNER

    def _toolchain(self) -> dict[str, str]:
        given = TARGETS.get(self.target, Path(self.target))
        if given is None:
            return dict(self.toolchain_options)
        if not given.is_file():
            known = ", ".join(TARGETS)
            raise ToolError(f"{self.target}: no such target; expected {known} or a toolchain file of CMake")
        return {"CMAKE_TOOLCHAIN_FILE": str(given.resolve()), **dict(self.toolchain_options)}

    def _install(self, name: str, source: Path, options: dict[str, str]) -> Path:
        """Configures, builds and installs a project; CMake itself leaves out what is up to date."""
        build, prefix = self.folder.resolve() / f"{name}-build", self.folder.resolve() / name
        choices = [f"-D{key}={value}" for key, value in {**options, "CMAKE_INSTALL_PREFIX": str(prefix),
                                                         "CMAKE_INSTALL_LIBDIR": "lib"}.items()]
        self._cmake(name, "-S", str(source), "-B", str(build), *choices)
        self._cmake(name, "--build", str(build), "--parallel", str(self.jobs))
        self._cmake(name, "--install", str(build), "--strip")
        return prefix

    def _cmake(self, name: str, *arguments: str) -> None:
        log = self.folder.resolve() / f"{name}.log"
        ending = run_logged(["cmake", *arguments], log, LIMIT_S)
        if ending:
            raise ToolError(f"cmake of {name} {ending}{_first_complaint(log)}; all of it stands in {log}")


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Waits until no other process builds in the folder: two would write the same files at the same time."""
    try:
        import fcntl
    except ImportError:   # Windows has no such locks
        yield
        return
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)   # goes with the process, however that ends
        yield


def json_headers() -> Path:
    """The folder of nlohmann/json.hpp in the package nlohmann-json, which fits every target, the NDK's too.

    Raises:
        RuntimeUnavailableError: the package is not installed.
    """
    found = importlib.util.find_spec("nlohmann_json")
    for folder in found.submodule_search_locations if found else ():
        if (Path(folder) / "include" / "nlohmann" / "json.hpp").is_file():
            return Path(folder) / "include"
    raise RuntimeUnavailableError("nlohmann-json is not installed; `pip install nlohmann-json` gets it")


def parse_options(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """["NCNN_INT8=OFF"] -> (("NCNN_INT8", "OFF"),); ToolError quotes what is not an option."""
    pairs = [text.partition("=") for text in texts]
    for name, separator, _ in pairs:
        if not (separator and re.fullmatch(r"\w+", name)):
            raise ToolError(f"'{name}{separator}' is not an option of CMake; expected NAME=VALUE")
    return tuple((name, value) for name, _, value in pairs)


def _first_complaint(log: Path) -> str:
    """`: ` and the first line of a log that speaks of an error."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    complaint = next((line.strip() for line in lines if re.search(r"\berror\b", line, re.I)), None)
    return f": {complaint[:300]}" if complaint else ""
