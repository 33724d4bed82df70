"""A graph held against the rules of an NPU: what is supported, runs on the CPU, is not supported, is not known."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict

from msnoah.deploy.npu.conditions import applies
from msnoah.deploy.npu.facts import GraphFacts, OperatorFacts
from msnoah.deploy.npu.rewrites import REWRITES, Rewrite, suggest_rewrite
from msnoah.deploy.npu.rules import NewestOpset, OpenAxes, Rule, Target, Verdict

SEVERITY: tuple[Verdict, ...] = get_args(Verdict)   # the worst first
EXAMPLES = 3
OPEN_AXES = "(open axes)"


class Finding(BaseModel):
    """What holds of some operators of one kind, and why.

    Attributes:
        nodes, modules, shapes: the first few; shapes of what the nodes read, weights apart.
        source: title, version and address of the document.
    """

    model_config = ConfigDict(frozen=True)

    operator: str
    verdict: Verdict
    count: int
    nodes: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    says: str
    source: str
    rewrite: str | None = None


class Compatibility(BaseModel):
    """The findings for one target, the worst first."""

    model_config = ConfigDict(frozen=True)

    target: str
    title: str
    note: str
    artifact: str
    batch: int
    findings: tuple[Finding, ...]

    def counts(self) -> dict[Verdict, int]:
        """Operators by verdict, the worst first; what holds of the whole graph counts as one."""
        return {verdict: sum(f.count for f in self.findings if f.verdict == verdict) for verdict in SEVERITY}

    def refused(self) -> list[str]:
        """The kinds of operators that are not supported."""
        return list(dict.fromkeys(f.operator for f in self.findings if f.verdict == "not_supported"))

    def to_record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**self.model_dump(mode="json"), "counts": self.counts()}


def check_graph(facts: GraphFacts, target: Target) -> Compatibility:
    """Holds every operator of a graph against a target's rules.

    Of all rules that name an operator and whose conditions hold, the worst verdict counts. Where the graph does not
    tell whether a condition holds, what that rule would find is not known.
    """
    grouped: dict[tuple[str, Verdict, str, str, str | None], list[OperatorFacts]] = {}
    for operator in facts.operators:
        grouped.setdefault((operator.op_type, *_judge(operator, target)), []).append(operator)
    findings = [_describe(key, operators) for key, operators in grouped.items()]
    findings += _judge_graph(facts, target)
    findings.sort(key=lambda finding: (SEVERITY.index(finding.verdict), -finding.count, finding.operator))
    return Compatibility(
        target=target.name, title=target.title, note=target.note, artifact=str(facts.path), batch=facts.batch,
        findings=tuple(findings),
    )


def _judge(operator: OperatorFacts, target: Target) -> tuple[Verdict, str, str, str | None]:
    """Verdict, what the source says, the source, the rewrite."""
    verdicts = list(_verdicts(operator, target))
    if not any(operator.op_type in rule.operators for _, rule, _ in verdicts):
        source = target.sources[target.unlisted_source].label()
        verdicts.append((target.unlisted, None, (target.unlisted_says, source)))
    verdict, rule, (says, source) = min(verdicts, key=lambda entry: SEVERITY.index(entry[0]))
    stated = rule.rewrite if rule else None
    return verdict, says, source, None if verdict == "supported" else suggest_rewrite(operator.op_type, stated)


def _verdicts(operator: OperatorFacts, target: Target) -> Iterator[tuple[Verdict, Rule | None, tuple[str, str]]]:
    for rule in target.rules:
        if operator.op_type not in rule.operators and "*" not in rule.operators:
            continue
        answer, source = applies(rule.when, operator), target.sources[rule.source].label()
        if answer:
            yield rule.verdict, rule, (rule.says, source)
        elif answer is None and rule.verdict != "supported":
            yield "unknown", rule, (f"the graph does not tell whether: {rule.says}", source)


def _describe(key: tuple[str, Verdict, str, str, str | None], operators: list[OperatorFacts]) -> Finding:
    name, verdict, says, source, rewrite = key
    read = [tensor for operator in operators for tensor in operator.inputs if not tensor.constant]
    shapes = ["x".join(map(str, t.shape)) or "scalar" if t.shape is not None else "?" for t in read]
    return Finding(
        operator=name, verdict=verdict, count=len(operators), nodes=_first(o.name for o in operators),
        modules=_first(o.module for o in operators if o.module), shapes=_first(shapes),
        dtypes=_first(t.dtype or "?" for t in read), says=says, source=source, rewrite=rewrite,
    )


def _judge_graph(facts: GraphFacts, target: Target) -> Iterator[Finding]:
    """What holds of the graph as a whole."""
    if facts.open_axes:
        yield _describe_graph(OPEN_AXES, target.open_axes, target, "static_shapes", facts.open_axes[:EXAMPLES])
    newest = target.newest_opset
    if newest and facts.opset > newest.value:
        yield _describe_graph(f"(operator set {facts.opset})", newest, target)


def _describe_graph(
    name: str, rule: OpenAxes | NewestOpset, target: Target, rewrite: Rewrite | None = None,
    nodes: tuple[str, ...] = (),
) -> Finding:
    offered = REWRITES[rewrite] if rewrite and rule.verdict != "supported" else None
    source = target.sources[rule.source].label()
    return Finding(
        operator=name, verdict=rule.verdict, count=1, nodes=nodes, says=rule.says, source=source, rewrite=offered)


def _first(values: Iterator[str] | list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))[:EXAMPLES]
