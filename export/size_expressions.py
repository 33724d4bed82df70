"""Sizes that change with the input's shape, as expressions of the sizes that a running graph can read."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

Sizes = tuple[int, ...]
"""One number of a network, in each of its conversions."""

MOST_FACTORS = 3
"""Sizes that are multiplied at most, as in batch * height * width."""


@dataclass(frozen=True)
class Dimension:
    """An axis of a tensor, and its size in each conversion."""

    value: str
    axis: int
    sizes: Sizes


@dataclass(frozen=True)
class Expression:
    """(factor * product of the dimensions + offset) / divisor, rounded down."""

    dimensions: tuple[Dimension, ...]
    factor: int = 1
    offset: int = 0
    divisor: int = 1

    def describe(self, names: Mapping[Sizes, str]) -> str:
        """For people, as in `2*batch`, `height/16` or `(height*width+256)/256`; `names` are those of the dimensions."""
        factor = [str(self.factor)] if self.factor != 1 else []
        text = "*".join([*factor, *(names[dimension.sizes] for dimension in self.dimensions)])
        text += f"{self.offset:+}" if self.offset else ""
        if self.divisor == 1:
            return text
        return f"({text})/{self.divisor}" if self.offset else f"{text}/{self.divisor}"


def find_expression(sizes: Sizes, dimensions: Iterable[Dimension]) -> Expression | None:
    """The simplest expression that gives these sizes; of equally simple ones that of the earlier dimensions.

    Args:
        sizes: what must come out.
        dimensions: what may be read, the most trusted first.
    """
    first = {}
    for dimension in dimensions:
        first.setdefault(dimension.sizes, dimension)
    for attempt in _attempts(sizes, [*first.values()]):
        fits = [fit for fit in attempt if fit is not None]
        if fits:
            return min(fits, key=lambda fit: (fit.offset != 0, fit.divisor != 1, fit.factor != 1))
    return None


def _attempts(sizes: Sizes, known: list[Dimension]) -> Iterator[Iterator[Expression | None]]:
    yield (_fit(sizes, (dimension,)) for dimension in known)
    yield (_fit_rounded(sizes, dimension) for dimension in known)
    for count in range(2, MOST_FACTORS + 1):
        yield (_fit(sizes, factors) for factors in itertools.combinations_with_replacement(known, count))


def _fit(sizes: Sizes, dimensions: tuple[Dimension, ...]) -> Expression | None:
    """slope * product + offset through all sizes. Two products give no check of an offset, so it takes three."""
    products = [math.prod(column) for column in zip(*(dimension.sizes for dimension in dimensions), strict=True)]
    other = next((index for index, product in enumerate(products) if product != products[0]), None)
    if other is None:
        return None
    slope = Fraction(sizes[other] - sizes[0], products[other] - products[0])
    offset = sizes[0] - slope * products[0]
    exact = all(slope * product + offset == size for product, size in zip(products, sizes, strict=True))
    if slope == 0 or not exact or (offset and len({*products}) < 3):
        return None
    return Expression(dimensions, slope.numerator, int(offset * slope.denominator), slope.denominator)


def _fit_rounded(sizes: Sizes, dimension: Dimension) -> Expression | None:
    """(size + offset) / divisor rounded down, which is what any chain of strides leaves of a size.

    Rounding shows only at sizes that are no multiples; None unless they leave one offset.
    """
    fits = set()
    for read, size in zip(dimension.sizes, sizes, strict=True):
        divisor, rest = divmod(read - dimension.sizes[0], size - sizes[0]) if size != sizes[0] else (0, 0)
        if divisor > 1 and rest == 0:
            fits.update((offset, divisor) for offset in _offsets(sizes, dimension.sizes, divisor))
    return Expression((dimension,), 1, *fits.pop()) if len(fits) == 1 else None


def _offsets(sizes: Sizes, read: Sizes, divisor: int) -> range:
    lowest = max(size * divisor - number for size, number in zip(sizes, read, strict=True))
    highest = min(size * divisor - number + divisor - 1 for size, number in zip(sizes, read, strict=True))
    return range(lowest, highest + 1)
