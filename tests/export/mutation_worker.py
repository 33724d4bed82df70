"""Converts mutated files one after the other in a process that may die of them; one line of JSON for each.

    python mutation_worker.py FOLDER FIRST LAST

FOLDER holds the whole files, each with inputs and outputs in a .npz of the same name. Seed s damages file s mod their
number. A file that takes more than CPU_LIMIT_S kills the process with SIGPROF, whatever it is doing.
"""

import json
import resource
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from mutations import HARMLESS, mutate

from msnoah.errors import MsnoahError
from msnoah.export.converter import mindir_to_onnx

CPU_LIMIT_S = 10
MEMORY_LIMIT = 8 * 2**30
"""Of address space, so that a blow-up kills this process and not the machine."""

GROWTH_LIMIT = 200 * 1024
"""Kilobytes of memory by which converting one small file may raise the peak."""

TOLERANCE = 1e-5


def judge(name: str, kind: str, data: bytes, inputs, outputs) -> tuple[str, str]:
    """(outcome, detail): refused, converted or right; anything else is a fault."""
    before = peak_memory()
    try:
        model = mindir_to_onnx(data)
    except MsnoahError as error:
        outcome, detail = "refused", str(error)
        if not is_one_line(detail):
            outcome = "bad message"
        elif "Unable to allocate" in detail:  # numpy asked for more than MEMORY_LIMIT; elsewhere it might get it
            outcome = "memory"
    except Exception as error:  # noqa: BLE001  Whatever it is, it is what this test looks for.
        return "exception", f"{type(error).__name__}: {error}"
    else:
        onnx.checker.check_model(model, full_check=True)
        outcome, detail = "converted", ""
    if peak_memory() - before > GROWTH_LIMIT:
        return "memory", detail
    if kind in HARMLESS:
        return ("right", "") if outcome == "converted" and is_right(model, inputs, outputs) else ("wrong", detail)
    return outcome, detail


def peak_memory() -> int:
    """In kilobytes; getrusage would begin with the peak of the process that started this one."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def is_one_line(message: str) -> bool:
    return message.isprintable() and 10 < len(message) < 2000


def is_right(model: onnx.ModelProto, inputs, outputs) -> bool:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    feeds = {info.name: array for info, array in zip(session.get_inputs(), inputs, strict=True)}
    pairs = zip(session.run(None, feeds), outputs, strict=True)
    return all(np.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE) for found, expected in pairs)


def main(folder: str, first: str, last: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("error", RuntimeWarning)  # what numpy says of odd numbers is nothing for a user
    paths = sorted(Path(folder).glob("*.mindir"))
    contents = [path.read_bytes() for path in paths]
    arrays = [dict(np.load(path.with_suffix(".npz"))) for path in paths]
    for seed in range(int(first), int(last)):
        index = seed % len(paths)
        kind, data = mutate(contents[index], seed)
        inputs = [array for key, array in arrays[index].items() if key.startswith("input")]
        outputs = [array for key, array in arrays[index].items() if key.startswith("output")]
        signal.setitimer(signal.ITIMER_PROF, CPU_LIMIT_S)
        outcome, detail = judge(paths[index].name, kind, data, inputs, outputs)
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps([seed, paths[index].stem, kind, outcome, detail]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
