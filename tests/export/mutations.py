"""Seeded damage to MindIR files: to their bytes, to their messages, and changes that keep what they mean."""

import random
from collections.abc import Callable, Iterator

from google.protobuf.message import Message

from msnoah.export.schema import CLASSES

NUMBERS = [*range(-2, 10), 16, 17, 19, 20, 25, 99, 1000, 65536, 2**31, -(2**31), 10**12, 2**62, -(2**63)]
FLOATS = [0.0, -1.0, 1e-30, 1e30, float("inf"), float("nan"), 0.5, 7.0]
TEXTS = ["", "REF::", "Constant", "MatMul", "Reshape", "Load", "Switch", "Partial", "\n", "\u2192" * 50, "x" * 1000]


def mutate(data: bytes, seed: int) -> tuple[str, bytes]:
    """One to three changes of a kind; the kind's name and the new contents."""
    rng = random.Random(seed)
    name, change = rng.choice(list(MUTATIONS.items()))
    for _ in range(rng.choice([1, 1, 2, 3])):
        data = change(data, rng)
    return name, data


# --- bytes


def flip_bit(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1:]


def set_byte(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + bytes([rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])]) + data[place + 1:]


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[:max(1, rng.randrange(len(data)))]


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + rng.choice([1, 2, 4, 16, 200]))


def insert_bytes(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + rng.randbytes(end - start) + data[start:]


def delete_span(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:] if end - start < len(data) else data


def duplicate_span(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:]


def move_span(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    rest, place = data[:start] + data[end:], rng.randrange(len(data) - (end - start) + 1)
    return rest[:place] + data[start:end] + rest[place:]


# --- messages


def edits_model(edit: Callable[[Message, random.Random], None]) -> Callable[[bytes, random.Random], bytes]:
    def change(data: bytes, rng: random.Random) -> bytes:
        model = CLASSES["Model"].FromString(data)
        edit(model, rng)
        return model.SerializeToString()

    return change


def walk(message: Message) -> Iterator[tuple[Message, str, object]]:
    """Every set field of a message and of the messages in it: (message, field name, value)."""
    for field, value in message.ListFields():
        yield message, field.name, value
        if field.message_type:
            for inner in [value] if isinstance(value, Message) else value:
                yield from walk(inner)


def is_list(value: object) -> bool:
    return not isinstance(value, str | bytes | int | float | Message)


def pick(model: Message, rng: random.Random, accepts: Callable[[object], bool]) -> tuple[Message, str, object] | None:
    found = [place for place in walk(model) if accepts(place[2])]
    return rng.choice(found) if found else None


def set_scalar(model: Message, rng: random.Random, kinds, choose: Callable[[object], object]) -> None:
    place = pick(model, rng, lambda value: isinstance(value[0] if is_list(value) and len(value) else value, kinds))
    if place is None:
        return
    message, name, value = place
    if is_list(value):
        index = rng.randrange(len(value))
        value[index] = choose(value[index])
    else:
        setattr(message, name, choose(value))


def change_number(model: Message, rng: random.Random) -> None:
    def choose(old):
        new = rng.choice([*NUMBERS, old + 1, old - 1, 2 * old])
        return bool(new) if isinstance(old, bool) else max(-(2**31), min(2**31 - 1, new)) if small else new

    small = rng.random() < 0.5
    try:
        set_scalar(model, rng, int, choose)
    except ValueError:  # A 32-bit field; another seed will do.
        return


def change_float(model: Message, rng: random.Random) -> None:
    set_scalar(model, rng, float, lambda old: rng.choice([*FLOATS, -old]))


def change_text(model: Message, rng: random.Random) -> None:
    texts = sorted({value for _, _, value in walk(model) if isinstance(value, str)})
    set_scalar(model, rng, str, lambda old: rng.choice([rng.choice(texts), rng.choice(TEXTS), old + "x"]))


def change_bytes(model: Message, rng: random.Random) -> None:
    def choose(old: bytes) -> bytes:
        return rng.choice([b"", old[:-1], old + b"\0", old * 2, rng.randbytes(len(old))])

    set_scalar(model, rng, bytes, choose)


def edit_list(model: Message, rng: random.Random) -> None:
    """Drops, doubles, moves or swaps members of a repeated field."""
    place = pick(model, rng, lambda value: is_list(value) and len(value) > 0)
    if place is None:
        return
    values = list(place[2])
    first, second = rng.randrange(len(values)), rng.randrange(len(values))
    action = rng.choice(["drop", "double", "swap", "move", "empty"])
    if action == "drop":
        del values[first]
    elif action == "double":
        values.insert(second, values[first])
    elif action == "swap":
        values[first], values[second] = values[second], values[first]
    elif action == "move":
        values.insert(second, values.pop(first))
    else:
        values = []
    replace(place[0], place[1], values)


def replace(message: Message, name: str, values: list) -> None:
    copies = [copy(value) if isinstance(value, Message) else value for value in values]
    message.ClearField(name)
    getattr(message, name).extend(copies)


def copy(message: Message) -> Message:
    return type(message).FromString(message.SerializeToString())


def clear_field(model: Message, rng: random.Random) -> None:
    message, name, _ = rng.choice(list(walk(model)))
    message.ClearField(name)


def swap_messages(model: Message, rng: random.Random) -> None:
    """Exchanges the contents of two messages of one type, wherever they stand."""
    values = [value if is_list(value) else [value] for _, _, value in walk(model)]
    messages = [value for members in values for value in members if isinstance(value, Message)]
    first = rng.choice(messages)
    second = rng.choice([message for message in messages if type(message) is type(first)])
    one, two = first.SerializeToString(), second.SerializeToString()
    for message, contents in (first, two), (second, one):
        message.ParseFromString(contents)


# --- changes that keep the meaning


def rename_values(model: Message, rng: random.Random) -> None:
    """Other names for all values, as a second export gives them; inputs keep what stands behind the colon."""
    graphs = [model.graph, *model.functions]
    holders = [holder for graph in graphs for holder in (*graph.parameter, *graph.input, *graph.output)]
    nodes = [node for graph in graphs for node in graph.node]
    values = {holder.name for holder in holders} | {name for node in nodes for name in node.output}
    prefix = rng.choice(["", "17_", "\u2192"])
    renamed = {name: prefix + name for name in values} | {f"REF::{name}": f"REF::{prefix}{name}" for name in values}
    for holder in holders:
        holder.name = renamed[holder.name]
    for node in nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed[name] for name in node.output]
        node.op_type = renamed.get(node.op_type, node.op_type)


def shuffle_lists(model: Message, rng: random.Random) -> None:
    """Another order where order means nothing: parameters, primitives, functions, attributes, constants first."""
    for message, name in [(model.graph, "parameter"), (model, "primitives"), (model, "functions")]:
        replace(message, name, rng.sample(list(getattr(message, name)), len(getattr(message, name))))
    nodes = list(model.graph.node)
    replace(model.graph, "node", sorted(nodes, key=lambda node: (node.op_type != "Constant")))


def double_constants(model: Message, rng: random.Random) -> None:
    constants = [node for node in model.graph.node if node.op_type == "Constant"]
    for index, node in enumerate(constants):
        model.graph.node.add().CopyFrom(node)
        model.graph.node[-1].output[0] = f"unused{index}"


def add_unknown_field(data: bytes, rng: random.Random) -> bytes:
    # Field 99: what a newer MindSpore might add at the end.
    contents = rng.randbytes(rng.randrange(100))
    return data + b"\x9a\x06" + bytes([len(contents)]) + contents


HARMLESS = {
    "rename_values": edits_model(rename_values), "shuffle_lists": edits_model(shuffle_lists),
    "double_constants": edits_model(double_constants), "add_unknown_field": add_unknown_field,
}
"""By name; what they leave must be converted and give the right outputs."""

_DAMAGING = [flip_bit, set_byte, cut, insert_bytes, delete_span, duplicate_span, move_span]
_EDITS = [change_number, change_float, change_text, change_bytes, edit_list, clear_field, swap_messages]
MUTATIONS = {change.__name__: change for change in _DAMAGING}
MUTATIONS |= {edit.__name__: edits_model(edit) for edit in _EDITS}
MUTATIONS |= HARMLESS
