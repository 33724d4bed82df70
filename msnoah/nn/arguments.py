"""Checks of constructor arguments: a wrong size is refused by name and value before anything is built from it."""

from collections.abc import Iterable
from numbers import Real

from msnoah.errors import ModelError


def check_counts(**values) -> None:
    """Every value is a whole number of at least 1, or a list of such; ModelError otherwise."""
    for name, value in values.items():
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, bool) or not isinstance(item, int) or item < 1:
                raise ModelError(f"{name}={value!r}: expected whole numbers of at least 1")


def check_positive(**values) -> None:
    """Every value is a number above 0, or a list of such; ModelError otherwise."""
    for name, value in values.items():
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, bool) or not isinstance(item, Real) or not 0 < item < float("inf"):
                raise ModelError(f"{name}={value!r}: expected numbers above 0")


def check_finite(**values) -> None:
    """Every value is a number, of either sign, and finite; ModelError otherwise."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Real) or not abs(value) < float("inf"):
            raise ModelError(f"{name}={value!r}: expected a finite number")


def check_rate(**values) -> None:
    """Every value is a probability in [0, 1); ModelError otherwise."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value < 1:
            raise ModelError(f"{name}={value!r}: expected a probability in [0, 1)")


def check_choice(name: str, value, choices: Iterable[str]) -> None:
    """The value is one of the choices; ModelError otherwise."""
    choices = list(choices)
    if value not in choices:
        raise ModelError(f"{name}={value!r}: expected one of {', '.join(map(repr, choices))}")


def check_divisible(dividend: dict[str, int], divisor: dict[str, int]) -> None:
    """One named size is a multiple of another, as {"embed_dim": 192} of {"num_heads": 3}; ModelError otherwise."""
    (name, value), = dividend.items()
    (other, by), = divisor.items()
    if value % by:
        raise ModelError(f"{name}={value} is not divisible by {other}={by}")


def check_lengths(length: int, **values) -> None:
    """Every value is a list, or a string of letters, with one entry a stage; ModelError otherwise."""
    for name, value in values.items():
        if not isinstance(value, (list, tuple, str)) or len(value) != length:
            raise ModelError(f"{name}={value!r}: expected {length} entries, one a stage")


def check_stages(name: str, depths) -> None:
    """A list of numbers of blocks, one a stage; ModelError otherwise."""
    if not isinstance(depths, (list, tuple)) or not depths:
        raise ModelError(f"{name}={depths!r}: expected a list with one entry a stage")
    check_counts(**{name: depths})


def letters(name: str, value, length: int, known: str) -> str:
    """One letter of `known` a stage, "S" for all stages or "LLSS" for each: (length,) letters; ModelError otherwise."""
    if not isinstance(value, str) or len(value) not in (1, length) or not set(value) <= set(known):
        choices = " or ".join(map(repr, known))
        raise ModelError(f"{name}={value!r}: expected one letter, {choices}, or {length} of them, one a stage")
    return value * length if len(value) == 1 else value
