"""ncnn's C++ source for the native runner: found on the package index, unpacked, and its release read off it."""

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from msnoah.errors import RuntimeUnavailableError, ToolError

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
LIMIT_S = 600.0
RELEASE = re.compile(r"(?<!\d)(20\d{6})(?!\d)")


@dataclass(frozen=True)
class NcnnSource:
    """The folder that has ncnn's CMakeLists.txt, and its release as ncnn writes it: `20261020`."""

    folder: Path
    release: str


def fetch_ncnn(version: str, folder: Path) -> Path:
    """The archive of ncnn's source by pip, as `1.0.20261020`.

    The source names its version by the day it is built on, so pip finds it inconsistent and refuses it by name; by its
    address, which pip tells, pip takes it.

    Raises:
        RuntimeUnavailableError: the index has no source of that version, or cannot be reached.
    """
    archive = folder / f"ncnn-{version}.tar.gz"
    if archive.is_file():
        return archive
    listing = _pip("index", "versions", "ncnn", "-vv", "--no-binary", "ncnn")
    found = re.search(rf"(\S+/ncnn-{re.escape(version)}\.tar\.gz\S*)", listing)
    if not found:
        raise RuntimeUnavailableError(
            f"pip finds no source of ncnn {version}; give an archive or a folder of ncnn's full source")
    _pip("download", "--no-deps", "--dest", str(folder), found[1])
    return archive


def open_ncnn(source: Path, folder: Path) -> NcnnSource:
    """The source in a folder, or in a .tar.gz or .zip that is unpacked into `folder`.

    Raises:
        ToolError: no such archive, no ncnn in it, or nothing in it tells the release.
    """
    root = source if source.is_dir() else _unpack(source, folder)
    inner = next((path.parents[1] for path in sorted(root.glob("**/src/net.h"))), None)
    if inner is None or not (inner / "CMakeLists.txt").is_file():
        raise ToolError(f"{source}: has no ncnn: expected CMakeLists.txt and src/net.h in one of its folders")
    return NcnnSource(inner.resolve(), _read_release(inner, source))


def _unpack(archive: Path, folder: Path) -> Path:
    """Unpacks once: files that are written anew would be compiled anew."""
    target = folder / archive.name.removesuffix(".gz").removesuffix(".tar").removesuffix(".zip")
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        whole = Path(work) / "whole"
        whole.mkdir()   # an archive without files would not make it
        try:
            shutil.unpack_archive(archive, whole)
        except (OSError, EOFError, shutil.ReadError, tarfile.TarError) as error:
            raise ToolError(f"{archive}: cannot be unpacked as .tar.gz or .zip: {error}") from error
        whole.rename(target)
    return target


def _read_release(folder: Path, source: Path) -> str:
    """From what the package index wrote, else from the names of the folder and the archive."""
    written = folder / "PKG-INFO"
    lines = written.read_text(encoding="utf-8").splitlines() if written.is_file() else []
    versions = [line for line in lines if line.startswith("Version:")]
    for told in (*versions, folder.name, source.name):
        if found := RELEASE.search(told):
            return found[1]
    raise ToolError(f"{source}: its name does not tell ncnn's release, as ncnn-20261020-full-source.zip does")


def _pip(*arguments: str) -> str:
    """pip's output."""
    try:
        done = subprocess.run([*PIP, *arguments], capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise RuntimeUnavailableError(f"pip {arguments[0]} gave no answer within {LIMIT_S:g} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RuntimeUnavailableError(f"pip {arguments[0]} failed: {lines[-1]}")
    return done.stdout + done.stderr
