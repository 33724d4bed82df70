"""Every model of MindCV through MindSpore, our converter and ONNX Runtime; one line of JSON a model.

    pip install mindcv==0.3.0
    python tests/mindcv/sweep.py build FOLDER [PATTERN ...]      # MindIR, reference outputs, native ONNX: 80 CPU min
    python tests/mindcv/sweep.py measure FOLDER [PATTERN ...]    # our conversion, parity, time beside native
    python tests/mindcv/sweep.py collect FOLDER                  # tests/mindcv/records.jsonl
    python tests/mindcv/write_table.py                           # docs/mindcv.md

A model that was built is not built again, so an interrupted sweep goes on. Each runs in a process of its own.
"""

import argparse
import fnmatch
import json
import os
import subprocess
import sys
from pathlib import Path

from tqdm import tqdm

HERE = Path(__file__).parent
RECORDS = HERE / "records.jsonl"
TIMEOUT_S = 420


def list_names(patterns: list[str]) -> list[str]:
    listing = subprocess.run(
        [sys.executable, "-c", "import mindcv; print(*mindcv.list_models())"],
        capture_output=True, text=True, check=True, env=os.environ | {"GLOG_v": "4"})
    names = listing.stdout.split("\n")[-2].split()
    return [name for name in names if not patterns or any(fnmatch.fnmatch(name, p) for p in patterns)]


def run(script: str, *arguments: str, log: Path) -> str:
    """An error, or nothing."""
    environment = os.environ | {"PYTHONPATH": f"{HERE.parents[1]}:{os.environ.get('PYTHONPATH', '')}"}
    with log.open("w") as output:
        try:
            process = subprocess.run(
                [sys.executable, "-W", "ignore", HERE / script, *arguments],
                stdout=output, stderr=subprocess.STDOUT, timeout=TIMEOUT_S, env=environment)
        except subprocess.TimeoutExpired:
            return f"no result in {TIMEOUT_S} s"
    return f"exit code {process.returncode}" if process.returncode else ""


def build(folder: Path, names: list[str]) -> None:
    for name in tqdm(names):
        record = folder / name / "record.json"
        if record.exists():
            continue
        if problem := run("build_model.py", name, str(folder / name), log=folder / f"{name}.log"):
            facts = json.loads(record.read_text()) if record.exists() else {"model": name}
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps(facts | {"error": problem}))


def measure(folder: Path, names: list[str]) -> None:
    for name in tqdm(names):
        if list((folder / name).glob("*.mindir")):
            if problem := run("measure_model.py", str(folder / name), "--time", log=folder / f"{name}.measure.log"):
                record = folder / name / "record.json"
                record.write_text(json.dumps(json.loads(record.read_text()) | {"ours": {"failure": problem}}))


def collect(folder: Path, names: list[str]) -> None:
    found = {name: folder / name / "record.json" for name in names}
    untried = {name: json.dumps({"model": name, "step": "untried"}) for name in names}
    lines = [path.read_text() if path.exists() else untried[name] for name, path in found.items()]
    RECORDS.write_text("\n".join(lines) + "\n")


COMMANDS = {"build": build, "measure": measure, "collect": collect}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("patterns", nargs="*")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    COMMANDS[arguments.command](arguments.folder.resolve(), list_names(arguments.patterns))


if __name__ == "__main__":
    main()
