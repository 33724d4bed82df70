"""Profiles the artifacts of a run: every runtime, thread count and precision, in turns, each in its own process."""

from collections.abc import Sequence
from pathlib import Path

from msnoah.config import ProfileConfig
from msnoah.deploy.artifact import EXPORTED, Artifact
from msnoah.deploy.artifact_file import artifact_key, exported_artifact, open_artifact
from msnoah.deploy.parity import REFERENCE
from msnoah.deploy.places import HERE, Place
from msnoah.deploy.profile import Profile
from msnoah.deploy.resuming import take_finished
from msnoah.deploy.row_measurement import profile_rows
from msnoah.deploy.rows import Profiles, Row
from msnoah.deploy.runtimes.table import RUNTIMES, find_runtime
from msnoah.errors import ProfileError, RunFolderError
from msnoah.run_folder import RunFolder


def profile_run(
    run: RunFolder, settings: ProfileConfig, *, sustained_s: float | None = None, roofline: bool = False,
    places: Sequence[Place] = (HERE,), resume: bool = False,
) -> Profiles:
    """Measures a run's artifacts and writes one JSON a row into its profiles folder, each as soon as it is there.

    Args:
        run: a folder with an export.
        settings: what to measure, and how well.
        sustained_s: also run each row on and on for so many seconds.
        roofline: also measure the peaks that operators are compared with.
        places: where to measure, all at the same time.
        resume: take the rows that the folder has of an earlier command with the same artifacts and settings.

    Raises:
        RunFolderError: nothing exported yet, or the folder cannot be written.
        ProfileError: an artifact is stale, or no row at all could be measured.
    """
    exported = run.export_record().get("artifacts", {})
    names = {name for place in places for name in place.choose(settings.runtimes)}
    kinds = sorted({kind for name in names for kind in find_runtime(name).kinds})
    artifacts = {
        (kind, precision): exported_artifact(run, kind, precision)
        for kind in kinds for precision in settings.precisions if artifact_key(kind, precision) in exported
    }
    rows = [row for place in places for row in _make_rows(artifacts, place, settings)]
    if resume:
        take_finished(rows, run.profile_paths(), settings)
    _make_folder(run.profiles_path)

    def keep(profile: Profile) -> None:
        profile.save(run.profiles_path / profile.file_name)

    reference = None
    if any(place.is_remote for place in places):
        full = REFERENCE if artifact_key("mindir", "fp32") in exported else "onnxruntime"
        reference = Row(full, 1, exported_artifact(run, RUNTIMES[full].kinds[0]))
    passes = {"sustained_s": sustained_s, "roofline": roofline}
    return profile_rows(rows, settings, **passes, keep=keep, reference=reference)


def profile_artifact(
    path: str | Path, settings: ProfileConfig, *, sustained_s: float | None = None, roofline: bool = False,
    places: Sequence[Place] = (HERE,),
) -> Profiles:
    """Measures an .onnx or .tflite file without a run, in the runtimes of the settings that run it; writes nothing.

    A file has the precision that it has: `precisions` is not looked at.
    """
    artifact = open_artifact(path)
    able = [name for name, runtime in RUNTIMES.items() if artifact.kind in runtime.kinds]
    chosen = {place: [name for name in place.choose(settings.runtimes) if name in able] for place in places}
    if not any(chosen.values()):
        asked = ", ".join(dict.fromkeys(name for place in places for name in place.choose(settings.runtimes)))
        raise ProfileError(
            f"{path}: of {asked} none runs .{artifact.kind} files, but these do: {', '.join(able)}")
    rows = [
        place.make_row(name, threads, artifact)
        for place, names in chosen.items() for threads in settings.threads for name in names
    ]
    reference = Row(able[0], 1, artifact) if any(place.is_remote for place in places) else None
    return profile_rows(rows, settings, sustained_s=sustained_s, roofline=roofline, reference=reference)


def _make_rows(artifacts: dict[tuple[str, str], Artifact], place: Place, settings: ProfileConfig) -> list[Row]:
    """Those of one precision and thread count follow each other: they are what is compared, and share the weather."""
    rows = [
        place.make_row(name, threads, _choose(artifacts, name, precision), precision)
        for threads in settings.threads for precision in settings.precisions
        for name in place.choose(settings.runtimes)
    ]
    for row in rows:
        if row.artifact is None and row.error is None:
            row.error = _without_artifact(RUNTIMES[row.runtime].kinds, row.precision)
    return rows


def _choose(artifacts: dict[tuple[str, str], Artifact], runtime: str, precision: str) -> Artifact | None:
    keys = ((kind, precision) for kind in RUNTIMES[runtime].kinds)
    return next((artifacts[key] for key in keys if key in artifacts), None)


def _without_artifact(kinds: Sequence[str], precision: str) -> str:
    kind = next(kind for kind in kinds if kind in EXPORTED)
    key = artifact_key(kind, precision)
    if precision != "fp32" and kind == "onnx":
        remedy = f"`msnoah quantize RUN --precision {precision}` writes it"
    elif precision != "fp32":
        remedy = f"{precision} is of ONNX only"
    else:
        remedy = "`msnoah export` writes it"
    return f"export.json lists no {key} artifact; {remedy}"


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be made: {error.strerror}") from error
