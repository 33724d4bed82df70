"""Where ToCom's plugin comes from: a weights file, or a run that trained one."""

from dataclasses import dataclass
from pathlib import Path

from msnoah.errors import CheckpointError
from msnoah.file_hash import hash_file
from msnoah.run_folder import RunFolder


@dataclass(frozen=True)
class Plugin:
    """A file with ToCom's plugin; `run` is where it was trained, if in a run, `units` are its units a degree."""

    path: Path
    sha256: str
    units: int | None = None
    run: RunFolder | None = None


def find_plugin(path: str | Path) -> Plugin:
    """The plugin of a weights file, or of a run's best checkpoint (its last one if it has no best).

    Raises:
        CheckpointError: no such file, or a run that has trained nothing.
        RunFolderError: a folder that is no run.
    """
    path = Path(path)
    run = RunFolder.open(path) if path.is_dir() else None
    files = [run.best_checkpoint, run.last_checkpoint] if run else [path]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise CheckpointError(f"{files[0]}: no such plugin; expected a weights file, or a run that trained one")
    units = run.config().model.args.get("tocom_units") if run else None
    return Plugin(file, hash_file(file), units, run)
