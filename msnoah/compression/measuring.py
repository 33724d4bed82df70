"""What compression costs: the kept states of a run through every coding, their weights evaluated before and after."""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tqdm import tqdm

from msnoah.compression.codings import ChainCoding, Coding, ControlCoding
from msnoah.compression.compressing import find_steps
from msnoah.compression.controls import CONTROLS
from msnoah.compression.measurement_summary import summarise_rows
from msnoah.compression.settings import find_settings
from msnoah.compression.tensors import FIRST, MOMENTUM
from msnoah.errors import CheckpointError
from msnoah.state_file import read_state

Record = dict[str, Any]
State = Mapping[str, np.ndarray]
Steps = Mapping[int, Path]
Evaluate = Callable[[State, Path], dict[str, float]]
"""Measures of a state's weights by name; the file is what an error names."""


def measure_compression(
    paths: Sequence[Path], presets: Sequence[str], open_evaluator: Callable[[], Evaluate], *, key_frame_every: int = 5,
    controls: Sequence[str] = tuple(CONTROLS),
) -> Record:
    """Codes states in the order of their steps, restores each from the files alone, and evaluates what comes back.

    A preset codes each state against what was restored of the one before, as `msnoah ckpt compress` does; the controls
    (see `msnoah.compression.controls`) get the exact one. Files lie in a temporary folder, which goes in any case.

    Args:
        paths: training states of one run, two or more, in any order.
        presets: names of PRESETS.
        open_evaluator: called once, after all that is timed: the threads of a framework would count.
        key_frame_every: of the presets' chains.
        controls: names of CONTROLS; they take most of the time.

    Returns:
        key_frame_every; states: step, file, plain_bytes (of all arrays) and scores of each; codings by name: what it is
        (settings or compressor), rows (see `_code`, with scores and changes: restored less trained) and its summary.

    Raises:
        CheckpointError: fewer than two states, states of different runs, an unknown name, a damaged file, or a file
            that restores to other bits than it was written from.
    """
    if key_frame_every < 1:
        raise CheckpointError(f"key_frame_every {key_frame_every}: expected 1 or more")
    steps, described = _check_states(find_steps(paths)), _describe(presets, controls)
    with TemporaryDirectory(prefix="msnoah-compression-") as folder:
        opened = {name: _opener(name, Path(folder) / name, key_frame_every) for name in described}
        with tqdm(total=len(steps) * len(opened), desc="coding", unit="state", leave=False) as bar:
            rows = {name: _code(steps, open_coding, bar) for name, open_coding in opened.items()}
        with tqdm(total=len(steps) * (1 + len(opened)), desc="evaluating", unit="state", leave=False) as bar:
            states = _score(steps, rows, opened, Path(folder), open_evaluator(), bar)
    codings = {name: {**facts, "rows": rows[name], "summary": summarise_rows(rows[name])}
               for name, facts in described.items()}
    return {"key_frame_every": key_frame_every, "states": states, "codings": codings}


def _describe(presets: Sequence[str], controls: Sequence[str]) -> dict[str, Record]:
    unknown = [name for name in controls if name not in CONTROLS]
    if unknown:
        raise CheckpointError(f"unknown control '{unknown[0]}'; known: {', '.join(CONTROLS)}")
    known = {name: {"role": "preset", "settings": asdict(find_settings(name))} for name in presets}
    return known | {name: {"role": "control", "compressor": CONTROLS[name].compressor().name} for name in controls}


def _opener(name: str, folder: Path, key_frame_every: int) -> Callable[[], Coding]:
    folder.mkdir()
    if name in CONTROLS:
        return lambda: ControlCoding(folder, CONTROLS[name])
    return lambda: ChainCoding(folder, find_settings(name), key_frame_every)


def _check_states(steps: Steps) -> Steps:
    """The same states, oldest first; CheckpointError if they cannot follow one another."""
    if len(steps) < 2:
        raise CheckpointError(f"{len(steps)} training state{'s' if len(steps) != 1 else ''}: expected two or more, of "
                              "different steps; `checkpoint: {keep_last: all}` keeps all that a run saves")
    ordered = sorted(steps.items())
    first, shapes = ordered[0][1], _shapes(ordered[0][1])
    for _, path in ordered[1:]:
        found = _shapes(path)
        for name in shapes.keys() | found.keys():
            if shapes.get(name) != found.get(name):
                raise CheckpointError(f"{path}: {name} is of shape {found.get(name)}, but {shapes.get(name)} in {first}"
                                      "; give states of one run")
    return dict(ordered)


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in read_state(path)[0].items()}


def _code(steps: Steps, open_coding: Callable[[], Coding], bar: tqdm) -> list[Record]:
    """A row a state: step, kind, size_bytes, ratio, error, moment_error, compress_cpu_s, restore_cpu_s.

    Seconds are those of all threads of this process: of compressing without the reading of the state, of restoring
    without the files before it. `error` is |W - W^| over |W - W before|, of all weights together, `moment_error`
    |m - m^| over |m|; null where there is nothing to divide by.
    """
    writer, reader, rows, before = open_coding(), open_coding(), [], None
    for step, source in steps.items():
        state, metadata = read_state(source)
        compress_cpu_s, (path, expected) = _timed(lambda: writer.write(step, state, metadata))
        restore_cpu_s, restored = _timed(lambda: reader.read(path))
        if digest(restored) != digest(expected):
            raise CheckpointError(f"step {step}: {path.name} restores to other bits than it was written from")
        size, plain = path.stat().st_size, sum(array.nbytes for array in state.values())
        rows.append({
            "step": step, "kind": writer.kind(path), "file": path.name, "size_bytes": size, "ratio": plain / size,
            "error": None if before is None else _relative(state, restored, before, _is_weight),
            "moment_error": _relative(state, restored, None, _is_moment),
            "plain_bytes": plain, "compress_cpu_s": compress_cpu_s, "restore_cpu_s": restore_cpu_s,
        })
        before = state
        bar.update()
    return rows


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def digest(arrays: State) -> str:
    """SHA-256 over names, types, shapes and bits."""
    total = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.dtype.str} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def _relative(state: State, restored: State, before: State | None, chosen: Callable[[str], bool]) -> float | None:
    """How far off the chosen arrays are, over how far they went, or over their length where there is none before."""
    names = [name for name, array in state.items() if chosen(name) and array.dtype.kind == "f"]
    whole = _length(state[name] - (0 if before is None else before[name]) for name in names)
    return _length(restored[name] - state[name] for name in names) / whole if whole else None


def _length(arrays: Iterable[np.ndarray]) -> float:
    return sum(float(np.square(array, dtype=np.float64).sum()) for array in arrays) ** 0.5


def _is_weight(name: str) -> bool:
    return not name.startswith("optimizer.")


def _is_moment(name: str) -> bool:
    return name.startswith((FIRST, MOMENTUM))


def _score(steps: Steps, rows: Mapping[str, list[Record]], opened: Mapping[str, Callable[[], Coding]],
           folder: Path, evaluate: Evaluate, bar: tqdm) -> list[Record]:
    """Adds scores and changes to all rows; the records of the states themselves.

    Weights that came back as they were are not evaluated again.
    """
    readers, records = {name: open_coding() for name, open_coding in opened.items()}, []
    for number, (step, source) in enumerate(steps.items()):
        state = read_state(source)[0]
        scores, own = evaluate(state, source), digest(_weights(state))
        records.append({"step": step, "file": source.name, "plain_bytes": rows[next(iter(rows))][number]["plain_bytes"],
                        "scores": scores})
        bar.update()
        for name, reader in readers.items():
            row = rows[name][number]
            restored = reader.read(folder / name / row["file"])
            row["scores"] = scores if digest(_weights(restored)) == own else evaluate(restored, source)
            row["changes"] = {key: row["scores"][key] - value for key, value in scores.items()}
            bar.update()
    return records


def _weights(state: State) -> State:
    return {name: array for name, array in state.items() if _is_weight(name)}
