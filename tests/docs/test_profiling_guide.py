"""docs/profiling.md is true: its options exist with the defaults that it names, its constants are those of the code."""

import re
from pathlib import Path

import pytest

from msnoah.cli import build_parser
from msnoah.config import ProfileConfig
from msnoah.deploy import calm, gate, interleaving, reference_work, row_measurement, sustained
from msnoah.deploy.parity import LIMITS

GUIDE = (Path(__file__).parents[2] / "docs" / "profiling.md").read_text(encoding="utf-8")
WORDS = " ".join(GUIDE.split())
COMMANDS = [line.split("msnoah ", 1)[1].split() for line in GUIDE.splitlines() if line.startswith("    msnoah ")]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_commands_can_be_read(arguments):
    assert build_parser().parse_args(arguments).name == arguments[0]


def test_options_and_defaults():
    rows = re.findall(r"^\| `(--[a-z-]+)[^|]*\|[^|]*\| ([^|]*) \|$", GUIDE, re.MULTILINE)
    rows += re.findall(r"^\| `--warmup N`, `(--repeats) N` \|[^|]*\| 10, (100) \|$", GUIDE, re.MULTILINE)
    shown, config = dict(rows), ProfileConfig()
    assert shown["--repeats"] == str(config.repeats) and config.warmup == 10 and shown["--threads"] == "1"
    assert shown["--interval"] == f"{config.interval:.0%}" and shown["--time-limit"] == f"{config.time_limit_s:g}s"
    assert shown["--precision"] == ",".join(config.precisions) and ",".join(config.runtimes) in shown["--runtime"]
    fields = re.search(r"section `profile`: (.*?)\.\s", WORDS + " ")[1]
    assert set(re.findall(r"`(\w+)`", fields)) == set(ProfileConfig.model_fields)


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16", "int8"])
def test_limits_of_parity(precision):
    differs, wrong = re.search(rf"^\| {precision} \| ([^|]+) \| ([^|]+) \|", GUIDE, re.MULTILINE).groups()
    limits = LIMITS[precision]
    assert (None if differs == "never" else float(differs), float(wrong)) == (limits.differs, limits.wrong)


CONSTANTS = [
    (f"rounds of {interleaving.ROUND} runs", interleaving.SHORT_ROUND_MS == 20),
    (f"{reference_work.COUNT * reference_work.PARTS} products of {reference_work.SIZE} x {reference_work.SIZE}", True),
    (f"at most {calm.CALM - 1:.0%} more than the fastest".replace("%", " %"), True),
    ("less than six rounds were calm", calm.LEAST_ROUNDS == 6),
    (f"Up to {row_measurement.MOST_ROWS} rows take turns", row_measurement.MEMORY_SHARE == 0.5),
    (f"whole interval is above {sustained.THROTTLED:.0%}".replace("%", " %"), sustained.FIRST_S == 60),
    (f"After {gate.FIRST_PAIRS} pairs", gate.ROUND_MS == 100),
    (f"limits below {gate.RESOLUTION:.0%}".replace("%", " %"), gate.Plan().confidence == 0.99),
]


@pytest.mark.parametrize("words, holds", CONSTANTS, ids=[words for words, _ in CONSTANTS])
def test_constants(words, holds):
    assert words in WORDS and holds
