"""Rounding, element by element. Integers are round already; ONNX's operators take floating-point numbers only."""

from msnoah.export.ops.arithmetic import is_float, truncate
from msnoah.export.ops.table import Const, handles


def _register(operator: str, primitives: tuple[str, ...]) -> None:
    def handler(g, x):
        return g.op(operator, x) if is_float(x) else x
    handles(*primitives)(handler)


_register("Floor", ("Floor", "InplaceFloor"))
_register("Ceil", ("Ceil",))
_register("Round", ("Rint",))


@handles("Round")
def round_to_decimals(g, x, decimals: Const = 0):
    """To a number of decimals, halves to the even neighbour."""
    if decimals == 0 or not is_float(x):
        return g.op("Round", x) if is_float(x) else x
    scale = g.like(10.0 ** decimals, x)
    return g.op("Div", g.op("Round", g.op("Mul", x, scale)), scale)


@handles("Trunc")
def round_towards_zero(g, x):
    return truncate(g, x)


@handles("Frac")
def fraction(g, x):
    """What is behind the point, with the sign of x."""
    return g.op("Mod", x, g.like(1, x), fmod=1)
