"""Writes export/primitives.csv from the primitive tests: PYTHONPATH=. python tests/export/write_catalog.py [FAMILY ...]

Without a family it runs the rows of all and writes the table anew; with some (`arithmetic shape`), it runs theirs and
replaces the rows of the primitives that they name.
"""

import csv
import gc
import importlib
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "export" / "primitives.csv"


def find_cases(families: list[str]) -> list:
    names = sorted(path.stem for path in HERE.glob("test_*_primitives.py"))
    wanted = [name for name in names if not families or name.removeprefix("test_").removesuffix("_primitives") in families]
    return [case_ for name in wanted for case_ in importlib.import_module(name).CASES]


def read_table() -> dict[str, tuple[set[str], str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["primitive"]: (set(row["operators"].split()), row["compared_with"]) for row in csv.DictReader(file)}


def main(families: list[str]) -> None:
    from primitive_case import export

    from msnoah.export.converter import find_operators

    fresh, cases = {}, find_cases(families)
    gc.freeze()   # every export collects garbage; what is imported by now need not be searched each time
    for case_ in tqdm(cases):
        with tempfile.TemporaryDirectory() as folder:
            export(case_, Path(folder) / "net.mindir")
            found = find_operators(Path(folder) / "net.mindir", opset=case_.opset)
        for name in case_.primitives.split():
            operators, compared_with = fresh.get(name, (set(), "numpy"))
            better = "mindspore" if "mindspore" in (compared_with, case_.compared_with) else "numpy"
            fresh[name] = operators | found[name], better
    rows = (read_table() if families else {}) | fresh
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("primitive", "operators", "compared_with"))
        for name, (operators, against) in sorted(rows.items()):
            writer.writerow((name, " ".join(sorted(operators)), against))


if __name__ == "__main__":
    main(sys.argv[1:])
