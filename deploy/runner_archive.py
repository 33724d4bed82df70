"""The measuring worker as one file that Python runs: what goes on a device that has Python and numpy.

It holds msnoah.deploy.worker and the modules of msnoah that it imports, as they are here. Equal sources give equal
bytes, so that a device that has them already is known by the hash.
"""

import ast
import importlib.util
import zipfile
from pathlib import Path

WORKER = "msnoah.deploy.worker"
MAIN = "msnoah.deploy.runner_main"
DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can hold
ARCHIVE_NAME = "msnoah_runner.pyz"


def write_runner(path: Path) -> Path:
    """Writes the runner; `python3 FILE` on the device answers as `python -m msnoah.deploy.worker` does here."""
    sources = {_place(name): source.read_bytes() for name, source in runner_modules().items()}
    sources["__main__.py"] = _source(MAIN).read_bytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for place, content in sorted(sources.items()):
            archive.writestr(zipfile.ZipInfo(place, DATE), content)
    return path


def runner_modules() -> dict[str, Path]:
    """The worker and every module of msnoah that it or they import while they are loaded, with their files."""
    found: dict[str, Path] = {}
    waiting = [WORKER]
    while waiting:
        name = waiting.pop()
        source = None if name in found else _source(name)
        if source is not None:
            found[name] = source
            waiting += [*_packages(name), *_imports(source)]
    return found


def _packages(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _imports(source: Path) -> list[str]:
    """Names that may be modules of msnoah: `from a.b import c` may name a.b.c.

    Imports inside functions are left out: those of conversions, which run on the host, need packages that no board has.
    """
    names: list[str] = []
    for node in ast.parse(source.read_bytes()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return [name for name in names if name.split(".")[0] == "msnoah"]


def _source(name: str) -> Path | None:
    """The file of a module; None where a name is none."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # the parent is a module, not a package
        return None
    return Path(spec.origin) if spec and spec.origin else None


def _place(name: str) -> str:
    source = _source(name)
    return name.replace(".", "/") + ("/__init__.py" if source.name == "__init__.py" else ".py")
