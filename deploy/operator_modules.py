"""Which module of the network each node of an ONNX graph belongs to: by the weights it reads, its place, its name.

Names alone do not tell: MindSpore's compiler gives a node that stands in several blocks the scope of the first
(`blocks.0.mlp.act.Erf_5` is block 5's). Weights have the names of their modules, so a node that reads some is placed
for certain. The others go down from the network as long as both the placed node before and the one behind lie deeper,
and then as far as their own names agree with where they are.
"""

import itertools
from collections.abc import Iterable, Sequence

from msnoah.deploy.npu.facts import OperatorFacts

LEAVES = ("weight", "bias", "gamma", "beta", "moving_mean", "moving_variance", "running_mean", "running_var")
"""Last parts of parameters' names; what follows them the exporter has added."""
Path = tuple[str, ...]


def locate_modules(operators: Sequence[OperatorFacts]) -> list[str]:
    """The module of each operator of a graph in running order, `blocks.0.attn`; "" of what the network does itself."""
    certain = [_read_module(operator) for operator in operators]
    before, after = _find_before(operators, certain), _find_after(operators, certain)
    weighted = {module[:depth] for module in certain if module is not None for depth in range(len(module) + 1)}
    located = (
        module if module is not None else _descend(_named(operator), first, last, weighted)
        for operator, module, first, last in zip(operators, certain, before, after)
    )
    return [".".join(module) for module in located]


def parameter_module(name: str) -> str | None:
    """The module whose parameter a constant is: `blocks.1.attn.qkv` of `blocks.1.attn.qkv.weight.transpose.0`.

    None of a constant with an operator's name (`patch_embed.Reshape.shape`), which several modules may share, and of
    names that are no paths.
    """
    parts = name.split(".")
    if not all(part[:1].isdigit() or part[:1].islower() or part[:1] == "_" for part in parts) or ":" in name:
        return None
    leaf = next((index for index, part in enumerate(parts) if part in LEAVES), len(parts) - 1)
    return ".".join(parts[:leaf])


def _named(operator: OperatorFacts) -> Path:
    """The module that the name says; where no operator's name ends it (`net.node_12`), all but the last part."""
    parts = _parts(operator.module)
    return parts[:-1] if parts == _parts(operator.name.replace("/", ".")) else parts


def _read_module(operator: OperatorFacts) -> Path | None:
    """The module of the first weight that an operator reads, if its name says one."""
    for tensor in operator.inputs:
        if tensor.constant and (tensor.dtype or "").startswith(("float", "bfloat", "int8", "uint8")):
            module = parameter_module(tensor.name)
            if module or (module is not None and not _named(operator)):
                return _parts(module)
    return None


def _find_before(operators: Sequence[OperatorFacts], certain: Sequence[Path | None]) -> list[Path | None]:
    """The module of the last placed operator that each one depends on."""
    sources: dict[str, int] = {}  # value -> the placed operator that it comes from
    found = []
    for index, operator in enumerate(operators):
        known = [sources[tensor.name] for tensor in operator.inputs if tensor.name in sources]
        found.append(certain[max(known)] if known else None)
        source = [index] if certain[index] is not None else [max(known)] if known else []
        sources |= {tensor.name: place for tensor in operator.outputs for place in source}
    return found


def _find_after(operators: Sequence[OperatorFacts], certain: Sequence[Path | None]) -> list[Path | None]:
    """The module of the first placed operator that depends on each one."""
    users: dict[str, int] = {}  # value -> the placed operator that it goes to
    found: list[Path | None] = []
    for index in reversed(range(len(operators))):
        known = [users[tensor.name] for tensor in operators[index].outputs if tensor.name in users]
        found.append(certain[min(known)] if known else None)
        user = index if certain[index] is not None else min(known) if known else None
        for tensor in operators[index].inputs:
            if user is not None:
                users[tensor.name] = min(user, users.get(tensor.name, user))
    return found[::-1]


def _descend(named: Path, before: Path | None, after: Path | None, weighted: set[Path]) -> Path:
    """From the network down: shared by both neighbours, then on as far as the operator's own name is credible."""
    if before is None and after is None:
        return named
    shared = _common(before, after) if before is not None and after is not None else ()
    if not _alike(named[:len(shared)], shared):
        return _enter_instance(shared, before, after) if len(named) < len(shared) else shared
    return _follow(shared, named[len(shared):], (before or (), after or ()), weighted)


def _follow(place: Path, rest: Path, neighbours: Iterable[Path], weighted: set[Path]) -> Path:
    """Goes where the name says: into a neighbour's module, or one without weights, which no neighbour can be in."""
    near = [module for module in neighbours if module[:len(place)] == place]
    for part in rest:
        deeper = (*place, part)
        if deeper in weighted and not any(module[:len(deeper)] == deeper for module in near):
            return _enter_instance(place, *near) if part.isdigit() else place
        place = deeper
    return place


def _enter_instance(place: Path, *near: Path | None) -> Path:
    """Into the numbered module of the first neighbour: between two blocks, what is left belongs to the one before."""
    for module in near:
        if module is not None and module[:len(place)] == place and module[len(place):len(place) + 1]:
            part = module[len(place)]
            return (*place, part) if part.isdigit() else place
    return place


def _alike(named: Path, place: Path) -> bool:
    """Whether a name leads to a place, but for the numbers of blocks."""
    return len(named) == len(place) and all(
        part == other or (part.isdigit() and other.isdigit()) for part, other in zip(named, place))


def _common(first: Path, second: Path) -> Path:
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, second))
    return tuple(part for part, _ in pairs)


def _parts(module: str) -> Path:
    return tuple(part for part in module.split(".") if part)
