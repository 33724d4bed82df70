"""Findings for an NPU as text."""

import textwrap

from msnoah.deploy.npu.compatibility import SEVERITY, Compatibility, Finding
from msnoah.deploy.npu.rules import Verdict

WIDTH = 120
MANY = 5   # operators of one reason up to which each has an entry of its own
WORDS: dict[Verdict, str] = {
    "not_supported": "not supported", "cpu": "on the CPU", "unknown": "not known", "supported": "supported",
}


def compatibility_table(result: Compatibility) -> str:
    """Title, counts, one entry a finding, what is supported on one line, and the sources by number."""
    sources = list(dict.fromkeys(finding.source for finding in result.findings))
    counts = ", ".join(f"{count} {WORDS[verdict]}" for verdict, count in result.counts().items() if count)
    troubled = [finding for finding in result.findings if finding.verdict != "supported"]
    lines = [f"{result.target}: {result.title}", f"  {result.artifact} at batch {result.batch}: {counts}"]
    lines += _wrap(result.note, "  ")
    for group in _group(troubled):
        lines += _entry(group, sources.index(group[0].source) + 1)
    lines += _supported(result, sources)
    lines += [f"  [{number}] {source}" for number, source in enumerate(sources, 1)]
    return "\n".join(lines)


def _group(findings: list[Finding]) -> list[list[Finding]]:
    """Findings of one reason together where there are many of them, each alone elsewhere."""
    groups: dict[tuple[str, str, str | None], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.verdict, finding.says, finding.rewrite), []).append(finding)
    large = [group for group in groups.values() if len(group) > MANY]
    alone = [[finding] for group in groups.values() if len(group) <= MANY for finding in group]
    return sorted(alone + large, key=lambda group: findings.index(group[0]))


def _entry(group: list[Finding], source: int) -> list[str]:
    """An operator with its places, or many with their numbers; then the reason and the rewrite."""
    first, indent = group[0], " " * 17
    names = ", ".join(f"{finding.operator} x{finding.count}" for finding in group)
    head = _head(first) if len(group) == 1 else _wrap(f"{WORDS[first.verdict]:13}  {names}", "  ", indent)
    rewrite = _wrap(f"instead: {first.rewrite}", indent) if first.rewrite else []
    return [*head, *_wrap(f"{first.says} [{source}]", indent), *rewrite]


def _head(finding: Finding) -> list[str]:
    tensors = " ".join((*finding.dtypes, *finding.shapes))
    places = ", ".join(finding.modules or finding.nodes) + (", ..." if finding.count > len(finding.nodes) else "")
    head = f"  {WORDS[finding.verdict]:13}  {finding.operator} x{finding.count}  {tensors}".rstrip()
    return [f"{head}  in {places}" if places else head]


def _supported(result: Compatibility, sources: list[str]) -> list[str]:
    found = [f for f in result.findings if f.verdict == SEVERITY[-1]]
    text = ", ".join(f"{f.operator} x{f.count} [{sources.index(f.source) + 1}]" for f in found)
    return _wrap(f"{WORDS['supported']:13}  {text}", "  ", " " * 17) if text else []


def _wrap(text: str, indent: str, later: str | None = None) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent if later is None else later)
