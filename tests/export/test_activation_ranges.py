"""Ranges of what flows through a network, by three methods, and samples that give none."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from quantized_graphs import finish, images, make_graph

from msnoah.errors import ConversionError
from msnoah.export.activation_ranges import METHODS, find_peaks, find_ranges
from msnoah.export.verification import run_onnx

NORMAL = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)


def passing():
    """x -> Abs -> y: ranges of `x` are those of the samples."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in "xy")
    return finish([helper.make_node("Abs", ["x"], ["y"], "abs")], [x], [y], [])


def ranges_of(numbers, method, **options):
    batches = np.array_split(numbers, 4)   # of different sizes and limits
    return find_ranges(passing(), ["x", "y"], lambda: batches, method=method, **options)


def test_extremes_are_exact():
    model, feed = make_graph(), images()
    found = find_ranges(model, ["image", "logits"], lambda: [feed[:5], feed[5:]])
    logits = run_onnx(model)([feed])[0]
    assert found["image"] == (feed.min(), feed.max())
    assert np.allclose(found["logits"], (logits.min(), logits.max()), rtol=1e-5)   # sums in another order


@pytest.mark.parametrize("percentile, sigmas", [(99.0, 2.576), (99.99, 3.891)])
def test_percentiles_of_a_normal_distribution(percentile, sigmas):
    """Known quantiles; 3 %: the outermost hundredth of a percent is 20 of these numbers."""
    found = ranges_of(NORMAL, "percentile", percentile=percentile)
    assert np.allclose(found["x"], (-sigmas, sigmas), rtol=0.03)
    assert found["y"][0] < 0.01 and found["y"][1] == pytest.approx(
        {99.0: 2.807, 99.99: 4.056}[percentile], rel=0.04)   # |x|: half of what is left out lies at the upper end


def test_all_of_the_numbers_is_the_extremes():
    found, extremes = ranges_of(NORMAL, "percentile", percentile=100.0), ranges_of(NORMAL, "minmax")
    step = 2 * np.abs(NORMAL).max() / 4096
    assert np.allclose(found["x"], extremes["x"], atol=1.01 * step)


def test_entropy_leaves_rare_giants_out_but_keeps_the_rest():
    """A few numbers a hundred times as large as the others: keeping them would leave others three steps of 127."""
    found = ranges_of(np.concatenate([NORMAL, np.float32([300, -300])]), "entropy")
    assert 2.5 < found["x"][1] < 30 and found["x"][0] == -found["x"][1] and found["y"][0] >= 0


def test_entropy_keeps_what_is_uniform():
    numbers = np.random.default_rng(0).uniform(-1, 1, 200_000).astype(np.float32)
    assert np.allclose(ranges_of(numbers, "entropy")["x"], (-1, 1), atol=0.03)


@pytest.mark.parametrize("method", METHODS)
def test_only_zeros(method):
    assert ranges_of(np.zeros(100, np.float32), method)["x"] == pytest.approx((0, 0), abs=1e-9)


@pytest.mark.parametrize("numbers, method, words", [
    ([1.0, np.nan], "minmax", "'x' is not finite"), ([1.0, np.inf], "entropy", "'x' is not finite"),
    ([1.0], "median", "'median' is not known; use minmax, entropy, percentile"),
])
def test_what_gives_no_range(numbers, method, words):
    with pytest.raises(ConversionError, match=words) as caught:
        find_ranges(passing(), ["x"], lambda: [np.float32(numbers)], method=method)
    assert "\n" not in str(caught.value)


def test_no_samples():
    with pytest.raises(ConversionError, match="no samples"):
        find_ranges(passing(), ["x"], lambda: [])


def test_peaks():
    assert find_peaks(passing(), ["x"], lambda: [np.float32([-7, 3]), np.float32([5])]) == {"x": 7.0}
