"""The range of every value that is quantised, from samples that go through the float model.

Three methods. `minmax` takes the smallest and the largest number that was seen. `percentile` leaves out what lies
beyond in the tails of a histogram. `entropy` (Migacz, "8-bit Inference with TensorRT", GTC 2017) takes the threshold on
|x| at which the histogram that 8 bits can express differs least from the true one, by the Kullback-Leibler divergence.

ONNX Runtime's calibrators are not used. Its entropy method looks at a histogram of 128 bins through 128 levels unless
told otherwise, which leaves one threshold to choose from: min-max. Its histograms hold the values of all samples in
memory. Here samples pass by one batch at a time, twice: the first pass gives the limits that the histograms of the
second have.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from msnoah.errors import ConversionError, describe_failure

BINS = 4096
"""Of a histogram over [-m, m], m the largest |x|."""

LEVELS = {True: 256, False: 128}
"""Steps that 8 bits have for |x|: all of them where no number is negative, else those of one sign."""

STRIDE = 16
"""Bins from one threshold that entropy tries to the next."""

Range = tuple[float, float]
Feeds = Callable[[], Iterable[np.ndarray]]
"""Gives the batches anew each time that it is called, as the model's only input takes them."""


def find_ranges(
    model: onnx.ModelProto, names: Sequence[str], feeds: Feeds, *, method: str = "minmax", percentile: float = 99.99,
    threads: int = 1,
) -> dict[str, Range]:
    """The lowest and the highest number of values that 8 bits shall express, by name.

    Args:
        model: the float model, with one input.
        names: values within it, float32.
        feeds: batches to look at.
        method: one of METHODS.
        percentile: of numbers that lie within the range, for that method (50-100).
        threads: of ONNX Runtime.

    Raises:
        ConversionError: an unknown method, a model that does not run, no batches, or a value that is not finite.
    """
    if method not in METHODS:
        raise ConversionError(f"calibration method '{method}' is not known; use {', '.join(METHODS)}")
    observe = _observer(model, names, threads)
    extremes = _find_extremes(observe(feeds()))
    broken = next((name for name, ends in extremes.items() if not np.isfinite(ends).all()), None)
    if broken:
        raise ConversionError(f"calibration: '{broken}' is not finite for these samples, so it has no range")
    if method == "minmax":
        return extremes
    histograms = _count(observe(feeds()), extremes)
    return {name: METHODS[method](histograms[name], ends, percentile) for name, ends in extremes.items()}


def find_peaks(
    model: onnx.ModelProto, names: Sequence[str], feeds: Feeds, *, threads: int = 1,
) -> dict[str, float]:
    """The largest |x| of values by name; infinite or NaN where the model computes such."""
    extremes = _find_extremes(_observer(model, names, threads)(feeds()))
    return {name: float(np.abs(ends).max()) for name, ends in extremes.items()}


def _observer(model: onnx.ModelProto, names: Sequence[str], threads: int):
    """From batches to what they give at `names`: dicts of arrays, one a batch."""
    session = _open_watched(model, names, threads)
    given = session.get_inputs()[0].name
    inner = [name for name in names if name != given]

    def observe(batches: Iterable[np.ndarray]) -> Iterable[dict[str, np.ndarray]]:
        for batch in batches:
            found = dict(zip(inner, session.run(inner, {given: batch}) if inner else []))
            yield found | ({given: batch} if given in names else {})

    return observe


def _open_watched(model: onnx.ModelProto, names: Sequence[str], threads: int) -> onnxruntime.InferenceSession:
    """The model with inner values as outputs too."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    there = {value.name for value in (*model.graph.output, *model.graph.input)}
    watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in there)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    try:
        return onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own errors have no other base
        raise ConversionError(f"calibration: ONNX Runtime cannot run the model: {describe_failure(error)}") from error


def _find_extremes(observed: Iterable[dict[str, np.ndarray]]) -> dict[str, Range]:
    extremes: dict[str, Range] = {}
    for values in observed:
        for name, array in values.items():
            low, high = extremes.get(name, (np.inf, -np.inf))
            extremes[name] = (float(np.minimum(low, array.min())), float(np.maximum(high, array.max())))
    if not extremes:
        raise ConversionError("calibration: no samples to look at")
    return extremes


def _count(observed: Iterable[dict[str, np.ndarray]], extremes: dict[str, Range]) -> dict[str, np.ndarray]:
    """Histograms by name, (BINS,) int64."""
    histograms = {name: np.zeros(BINS, np.int64) for name in extremes}
    for values in observed:
        for name, array in values.items():
            limit = _limit(extremes[name])
            bins = ((array.ravel() + limit) * np.float32(BINS / (2 * limit))).astype(np.int32)
            histograms[name] += np.bincount(np.clip(bins, 0, BINS - 1), minlength=BINS)
    return histograms


def _limit(ends: Range) -> np.float32:
    """The largest |x|; any number above 0 where all are 0."""
    return np.float32(max(abs(ends[0]), abs(ends[1]), 1e-12))


# --- from a histogram (BINS,) over [-m, m], and the extremes, to a range


def _by_extremes(histogram: np.ndarray, ends: Range, percentile: float) -> Range:
    return ends


def _by_percentile(histogram: np.ndarray, ends: Range, percentile: float) -> Range:
    """Half of what is left out lies in each tail; the range ends where a bin does."""
    left_out = (1 - percentile / 100) / 2 * histogram.sum()
    below, edges = np.cumsum(histogram), np.linspace(-_limit(ends), _limit(ends), BINS + 1)
    low = edges[np.searchsorted(below, left_out, side="right")]
    high = edges[np.searchsorted(below, histogram.sum() - left_out) + 1]
    return float(max(low, ends[0])), float(min(high, ends[1]))


def _by_entropy(histogram: np.ndarray, ends: Range, percentile: float) -> Range:
    sizes = histogram[BINS // 2:] + histogram[BINS // 2 - 1::-1]   # of |x|, in (BINS / 2,) bins
    levels = LEVELS[ends[0] >= 0]
    kept = np.arange(levels, BINS // 2 + 1, STRIDE)
    best = kept[np.argmin([_divergence(sizes, count, levels) for count in kept])]
    threshold = float(_limit(ends)) * int(best) / (BINS // 2)
    return max(ends[0], -threshold), min(ends[1], threshold)


def _divergence(sizes: np.ndarray, kept: int, levels: int) -> float:
    """Kullback-Leibler divergence of the clipped numbers from what `levels` steps make of the first `kept` bins.

    What is clipped counts in the last bin. A step's numbers are spread evenly over those of its bins that have some.
    """
    inner = sizes[:kept].astype(np.float64)
    true = inner.copy()
    true[-1] += sizes[kept:].sum()
    step, filled = np.arange(kept) * levels // kept, inner > 0
    each = np.bincount(step, inner, levels) / np.maximum(np.bincount(step, filled, levels), 1)
    coarse = np.where(filled, each[step], 0)
    true, coarse = true / max(true.sum(), 1), coarse / max(coarse.sum(), 1)
    there = true > 0
    return float((true[there] * np.log(true[there] / np.maximum(coarse[there], 1e-9))).sum())


METHODS: dict[str, Callable[[np.ndarray, Range, float], Range]] = {
    "minmax": _by_extremes, "entropy": _by_entropy, "percentile": _by_percentile,
}
"""How a range follows from a histogram, by name."""
