"""Findings for an NPU as text."""

import textwrap

from msnoah.deploy.npu.compatibility import SEVERITY, Compatibility, Finding
from msnoah.deploy.npu.rules import Verdict

WIDTH = 120
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
    for finding in troubled:
        lines += _entry(finding, sources.index(finding.source) + 1)
    lines += _supported(result, sources)
    lines += [f"  [{number}] {source}" for number, source in enumerate(sources, 1)]
    return "\n".join(lines)


def _entry(finding: Finding, source: int) -> list[str]:
    tensors = " ".join((*finding.dtypes, *finding.shapes))
    places = ", ".join(finding.modules or finding.nodes) + (", ..." if finding.count > len(finding.nodes) else "")
    head = f"  {WORDS[finding.verdict]:13}  {finding.operator} x{finding.count}  {tensors}".rstrip()
    lines = [f"{head}  in {places}" if places else head, *_wrap(f"{finding.says} [{source}]", " " * 17)]
    return lines + (_wrap(f"instead: {finding.rewrite}", " " * 17) if finding.rewrite else [])


def _supported(result: Compatibility, sources: list[str]) -> list[str]:
    found = [f for f in result.findings if f.verdict == SEVERITY[-1]]
    text = ", ".join(f"{f.operator} x{f.count} [{sources.index(f.source) + 1}]" for f in found)
    return _wrap(f"{WORDS['supported']:13}  {text}", "  ", " " * 17) if text else []


def _wrap(text: str, indent: str, later: str | None = None) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent if later is None else later)
