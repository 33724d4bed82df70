"""Files on a device under the hash of their contents: pushed once, and checked at every use."""

import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol

from msnoah.deploy.transports.base import Ending
from msnoah.errors import DeviceError
from msnoah.file_hash import hash_file

MIB = 2**20
NO_HASHER = 42  # an exit code of HASH that none of its programs has
HASH = f"""cd "$1" 2>/dev/null || exit 0; shift
if command -v sha256sum >/dev/null; then sha256sum "$@"
elif command -v toybox >/dev/null; then toybox sha256sum "$@"
elif command -v shasum >/dev/null; then shasum -a 256 "$@"
else exit {NO_HASHER}; fi"""
REPLACE = 'rm -rf "$2" && mv "$1" "$2"'
PUSHES = 2  # the first one, and one more where what arrived has another hash


class Holder(Protocol):
    """What the store needs of a device: a name, its folder there, commands, and files that go there."""

    name: str
    root: str
    free_mb: float  # that are to stay free

    def command(self, *arguments: str) -> Ending:
        """Runs a command to its end, whatever its exit code."""

    def push(self, source: Path, target: str) -> None:
        """Copies a file there."""


def keep_files(holder: Holder, kind: str, files: Mapping[str, Path]) -> str:
    """Puts files into one folder on the device, `<root>/<kind>/<hash>`, unless it has them already.

    A folder of this name is whole: files are pushed to another one, and renamed when their hashes are right.

    Args:
        holder: the device.
        kind: "artifacts" or "runners".
        files: the name of each file in the folder, and where it lies here.

    Returns:
        The folder's path on the device.

    Raises:
        DeviceError: too little space, a push that failed, or hashes that are wrong again after a second push.
    """
    wanted = {name: hash_file(path) for name, path in files.items()}
    folder = f"{holder.root}/{kind}/{content_hash(wanted)}"
    if read_hashes(holder, folder, list(wanted)) == wanted:
        return folder
    _check_space(holder, sum(path.stat().st_size for path in files.values()))
    for _ in range(PUSHES):
        found = _push_all(holder, files, wanted, folder)
        if found == wanted:
            return folder
    wrong = next(name for name in wanted if found.get(name) != wanted[name])
    raise DeviceError(
        f"{holder.name}: {wrong} arrived {PUSHES} times with sha256 {found.get(wrong, 'none')[:12]} instead of"
        f" {wanted[wrong][:12]}: the connection or the storage of the device damages files")


def content_hash(hashes: Mapping[str, str]) -> str:
    """One hash of names and hashes; of a single file, that file's own."""
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    lines = "".join(f"{value}  {name}\n" for name, value in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def read_hashes(holder: Holder, folder: str, names: list[str]) -> dict[str, str]:
    """The sha256 of each file that is there; empty where there is no such folder."""
    ending = holder.command("sh", "-c", HASH, "sh", folder, *names)
    if ending.code == NO_HASHER:
        raise DeviceError(f"{holder.name}: has no sha256sum, toybox or shasum, so that no file can be checked there")
    rows = (line.split(maxsplit=1) for line in ending.output.splitlines() if line)
    return {row[1].lstrip("*"): row[0] for row in rows if len(row) == 2}


def free_mb(holder: Holder) -> float | None:
    """MiB that the file system of the root has left; None where `df` does not tell."""
    lines = holder.command("df", "-Pk", holder.root).output.strip().splitlines()
    fields = lines[-1].split() if lines else []
    share = next((index for index, field in enumerate(fields) if field.endswith("%")), 0)
    left = fields[share - 1] if share else ""
    return int(left) / 1024 if left.isdigit() else None


def _push_all(holder: Holder, files: Mapping[str, Path], wanted: dict[str, str], folder: str) -> dict[str, str]:
    """Pushes to a folder of another name and renames it if all is right; gives the hashes of what arrived."""
    arriving = f"{holder.root}/incoming/{secrets.token_hex(8)}"
    folders = {str(PurePosixPath(arriving, name).parent) for name in files}
    try:
        _succeed(holder, "mkdir", "-p", *sorted(folders))
        for name, path in files.items():
            holder.push(path, f"{arriving}/{name}")
        found = read_hashes(holder, arriving, list(files))
        if found == wanted:
            _succeed(holder, "sh", "-c", REPLACE, "sh", arriving, folder)
        return found
    finally:
        _remove(holder, arriving)


def _remove(holder: Holder, folder: str) -> None:
    try:
        holder.command("rm", "-rf", folder)
    except DeviceError:  # the device is gone; the error that led here says so, and `devices clean` removes the rest
        pass


def _succeed(holder: Holder, *arguments: str) -> None:
    ending = holder.command(*arguments)
    if ending.code:
        raise DeviceError(f"{holder.name}: {ending.words or f'{arguments[0]} ended with exit code {ending.code}'}")


def _check_space(holder: Holder, size_bytes: int) -> None:
    left, needed = free_mb(holder), size_bytes / MIB
    if left is not None and left < needed + holder.free_mb:
        raise DeviceError(
            f"{holder.name}: {left:.1f} MiB free in {holder.root}; {needed:.1f} are to be pushed and {holder.free_mb:g}"
            f" are to stay free (limits.free_mb); `msnoah devices clean {holder.name}` removes what earlier runs left")
