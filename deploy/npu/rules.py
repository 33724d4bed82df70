"""The rule file of an NPU: what its public documents say of operators, each statement with its source."""

import difflib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from msnoah.deploy.npu.rewrites import Rewrite
from msnoah.errors import ConfigError
from msnoah.yaml_file import read_yaml, validate

FOLDER = Path(__file__).parent

Verdict = Literal["not_supported", "cpu", "unknown", "supported"]
"""`cpu`: it runs, but on the CPU. `unknown`: the documents do not say."""

Dtype = Literal["float32", "float16", "int16", "int8", "int4"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """A public document. `second_hand`: what was read is not the maker's own text; the note says what it is."""

    title: str
    version: str
    url: str
    second_hand: bool = False
    note: str = ""

    def label(self) -> str:
        """Title, version and address on one line."""
        return f"{self.title}, {self.version}{' (second-hand)' if self.second_hand else ''}: {self.url}"


class When(_Strict):
    """What must hold for a rule, all of it; `conditions.py` has the tests. Ranks and sizes are of data, not weights.

    Attributes:
        rank_above: some tensor has more axes.
        output_rank_above: the first output has more axes.
        axis_above: the attribute `axis`, counted from the front, is larger.
        axis_not_in: the attribute `axis`, counted from the front, is none of these.
        batch_above: the first axis of the first input is longer.
        kernel_above: a size in `kernel_shape` is larger.
        dilated: a size in `dilations` is not 1.
        dtypes: some input that is no weight has one of these numpy types.
        variable_input: the input of this index is no weight.
        attributes: each of these attributes has this value.
        opset_above: the graph's operator set is newer.
    """

    rank_above: int | None = None
    output_rank_above: int | None = None
    axis_above: int | None = None
    axis_not_in: tuple[int, ...] | None = None
    batch_above: int | None = None
    kernel_above: int | None = None
    dilated: Literal[True] | None = None
    dtypes: tuple[str, ...] | None = None
    variable_input: int | None = None
    attributes: dict[str, int | str] | None = None
    opset_above: int | None = None


class Rule(_Strict):
    """One statement of one source about some operators; "*" is any, and names none."""

    operators: tuple[str, ...] = Field(min_length=1)
    verdict: Verdict
    source: str
    says: str = ""
    when: When = When()
    rewrite: Rewrite | None = None


class OpenAxes(_Strict):
    """What a source says of inputs with open axes other than the batch, which every converter is given."""

    verdict: Verdict
    source: str
    says: str = ""


class NewestOpset(_Strict):
    """What a source says of graphs of an operator set above `value`."""

    value: int
    verdict: Verdict
    source: str
    says: str = ""


class Specification(_Strict):
    """Peaks of one chip or board; where a figure is missing there is no estimate, and `note` says why.

    `tops`: 10^12 operations a second by type, a multiply-accumulate being two; `bandwidth_gb_s`: of the memory.
    """

    chip: str
    tops: dict[Dtype, float] = {}
    bandwidth_gb_s: float | None = Field(default=None, gt=0)
    source: str
    note: str = ""


class Target(_Strict):
    """An NPU. `unlisted` is what holds of operators that no rule names, and `unlisted_says` why."""

    name: str
    title: str
    note: str = ""
    sources: dict[str, Source]
    unlisted: Literal["unknown", "cpu", "not_supported"] = "unknown"
    unlisted_source: str
    unlisted_says: str
    open_axes: OpenAxes
    newest_opset: NewestOpset | None = None
    rules: tuple[Rule, ...]
    specification: Specification
    converter: Literal["atc", "rknn", "qnn", "converter_lite"] | None
    converter_note: str = ""

    @model_validator(mode="after")
    def _name_known_sources(self) -> "Target":
        used = [self.unlisted_source, self.open_axes.source, self.specification.source]
        used += [self.newest_opset.source] if self.newest_opset else []
        for number, source in enumerate([*used, *(rule.source for rule in self.rules)]):
            if source not in self.sources:
                place = f"rule {number - len(used) + 1}" if number >= len(used) else "the target"
                raise ValueError(f"{place} has the source '{source}'; known here: {', '.join(self.sources)}")
        return self


def load_target(path: str | Path) -> Target:
    """Reads a rule file.

    Raises:
        ConfigError: one line per fault, each with file, line and key.
    """
    values, lines = read_yaml(path, "the rules of an NPU (name, sources, rules ...)")
    return validate(Target, values, lines, path)


def list_targets() -> list[str]:
    """The names of the targets that have a rule file."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find_target(name: str) -> Target:
    """The target of a name; ConfigError offers the nearest one."""
    known = list_targets()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}, or all"
        raise ConfigError(f"unknown target '{name}'; {hint}")
    return load_target(FOLDER / f"{name}.yaml")
