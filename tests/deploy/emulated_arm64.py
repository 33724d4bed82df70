"""64-bit Arm Linux on this machine: Debian's Python and wheels for Arm, unpacked into a folder, run by qemu-user.

Nothing is installed and no root rights are needed: apt keeps its lists in the folder.
"""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from msnoah.deploy.worker_process import PACKAGE_ROOT

QEMU = "qemu-aarch64-static"
PROGRAMS = {QEMU: "qemu-user-static", "apt-get": "apt", "dpkg": "dpkg"}
PYTHON = "3.11"
PACKAGES = (f"python{PYTHON}-minimal", f"libpython{PYTHON}-minimal", f"libpython{PYTHON}-stdlib", "libc6", "libgcc-s1",
            "libstdc++6", "libgomp1", "zlib1g", "libexpat1", "libssl3", "libffi8", "libbz2-1.0", "liblzma5",
            "libcrypt1")
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_24_aarch64", "manylinux_2_28_aarch64")
LIMIT_S = 300.0


class Unobtainable(Exception):
    """What the emulated machine needs and this one cannot get, on one line."""


def build_root(folder: Path, wheels: Sequence[str]) -> Path:
    """A folder with Python and some packages (as `numpy==1.26.4`) for Arm; Unobtainable says what fails."""
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            raise Unobtainable(f"{program} is not installed; `apt-get install {package}` gets it")
    root = folder / "root"
    for archive in _download_packages(folder):
        _run(["dpkg", "-x", str(archive), str(root)], folder)
    for wheel in _download_wheels(folder, wheels):
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(_site_packages(root))
    return root


def python_command(root: Path, *arguments: str) -> list[str]:
    """The command that runs the root's Python, which finds msnoah as it lies here and the wheels for Arm."""
    paths = f"PYTHONPATH={_site_packages(root)}:{PACKAGE_ROOT}"
    return [QEMU, "-L", str(root), "-E", paths, str(root / "usr" / "bin" / f"python{PYTHON}"), *arguments]


def _site_packages(root: Path) -> Path:
    return root / "site-packages"


def _download_packages(folder: Path) -> list[Path]:
    state, archives = folder / "apt", folder / "packages"
    for place in (state / "lists" / "partial", state / "cache" / "archives" / "partial", archives):
        place.mkdir(parents=True)
    settings = {"APT::Architecture": "arm64", "APT::Architectures::": "arm64", "Dir::State": str(state),
                "Dir::State::status": "/dev/null", "Dir::Cache": str(state / "cache"), "APT::Sandbox::User": ""}
    apt = ["apt-get", "-q", *(word for key, value in settings.items() for word in ("-o", f"{key}={value}"))]
    _run([*apt, "update"], archives)
    _run([*apt, "download", *PACKAGES], archives)
    return sorted(archives.glob("*.deb"))


def _download_wheels(folder: Path, wheels: Sequence[str]) -> list[Path]:
    abi = "cp" + PYTHON.replace(".", "")
    target = ["--implementation", "cp", "--python-version", PYTHON, "--abi", abi, "--abi", "none"]
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    _run([sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", *target, *platforms,
          "--dest", str(folder / "wheels"), *wheels], folder)
    return sorted((folder / "wheels").glob("*.whl"))


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise Unobtainable(f"{command[0]} gave no answer within {LIMIT_S:g} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if not line.startswith("W:")]
        raise Unobtainable(f"`{' '.join(command[:2])} ...` failed: {(lines or ['it says nothing'])[-1]}")
