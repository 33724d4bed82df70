"""One step of ExCP: masks by their formulas, centres by a plain k-means, and what is restored."""

import numpy as np
import pytest

from msnoah.compression.clustering import find_centres, nearest
from msnoah.compression.packing import pack_arrays, pack_codes, unpack_arrays, unpack_codes
from msnoah.compression.pruning import find_tau, moment_mask, weight_mask
from msnoah.compression.settings import PRESETS, ExcpSettings, find_settings
from msnoah.compression.step import decode_step, encode_step
from msnoah.errors import CheckpointError
from tests.compression.training_states import make_states, same


@pytest.mark.parametrize("settings, mean_square, tau", [
    (ExcpSettings(tau=1.5), 1e-8, 1.5), (ExcpSettings(), 1e-8, 0.5), (ExcpSettings(), 1e-16, 2.5),
    (ExcpSettings(), 0.0, 2.5), (ExcpSettings(cap=9), 0.0, 9), (ExcpSettings(alpha=1e-6), 1e-8, 0.01),
])
def test_tau_is_alpha_over_the_root_of_the_mean_second_moment(settings, mean_square, tau):
    assert find_tau(np.full(8, mean_square, np.float32), settings) == pytest.approx(tau, rel=1e-6)  # float32 input


def test_masks_are_those_of_the_formulas():
    change = np.array([0.0, 1.0, -2.0, 3.0, -4.0], np.float32)   # median |d| is 2
    moment = np.array([9.0, 1.0, 1.0, -5.0, 4.0], np.float32)    # mean |m| is 4
    kept = weight_mask(change, None, ExcpSettings(tau=1.0))
    assert kept.tolist() == [False, False, False, True, True]
    assert moment_mask(moment, kept, ExcpSettings(beta=1.0)).tolist() == [False, False, False, True, False]


def test_what_did_not_change_is_never_kept():
    change = np.zeros(9, np.float32)
    change[:3] = 1   # the median is 0
    assert weight_mask(change, None, ExcpSettings(tau=0.0)).sum() == 3


@pytest.mark.parametrize("values", [
    np.random.default_rng(0).standard_normal(500), np.random.default_rng(1).exponential(1e-9, 500), np.arange(7.0),
    np.r_[np.zeros(300), np.ones(3)], np.array([5.0]),
], ids=["normal", "tiny", "few", "ties", "one"])
def test_centres_are_means_of_what_is_nearest_to_them(values):
    """The condition that Lloyd's algorithm ends in; numbers of float32 rounding."""
    centres = find_centres(values, 15)
    assert len(centres) <= 15 and np.all(np.diff(centres) > 0) and centres.dtype == np.float32
    cells = nearest(values, centres)
    assert np.array_equal(cells, np.abs(values[:, None] - centres.astype(np.float64)).argmin(axis=1))
    means = np.array([values[cells == cell].mean() for cell in range(len(centres))])
    assert np.abs(means - centres).max() <= 0.05 * np.ptp(values) + 1e-6 * np.abs(values).max()


def test_centres_of_second_moments_are_not_flushed_to_zero():
    values = np.random.default_rng(0).uniform(1e-10, 5e-9, 1000)   # half precision ends at 6e-8
    assert find_centres(values, 15).min() > 0


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_left_out_stays_as_it_was_and_the_rest_is_near(preset):
    before, after = make_states(2)
    step = encode_step(after, before, PRESETS[preset])
    restored = decode_step(step, before)
    assert [row["name"] for row in step.tensors] == ["head.weight"]   # the norm is too small for a codebook
    assert restored.keys() == after.keys()
    for name in after:
        if "head.weight" not in name:
            assert restored[name].tobytes() == after[name].tobytes()
    change, found = (state["head.weight"] - before["head.weight"] for state in (after, restored))
    kept = weight_mask(change, None, PRESETS[preset])
    assert np.all(found[~kept] == 0) and np.linalg.norm(found - change) < 0.6 * np.linalg.norm(change)
    first = restored["optimizer.first_moment.head.weight"]
    assert np.array_equal(first != 0, restored["optimizer.second_moment.head.weight"] != 0)   # one mask for both


def test_finer_settings_lose_less_and_more_is_written():
    before, after = make_states(2)
    steps = [encode_step(after, before, PRESETS[name]) for name in ("near_lossless", "balanced", "extreme")]
    errors = [np.linalg.norm(decode_step(step, before)["head.weight"] - after["head.weight"]) for step in steps]
    assert errors == sorted(errors)
    kept = [np.count_nonzero(step.kept) for step in steps]
    assert kept == sorted(kept, reverse=True)


def test_a_tensor_that_is_not_finite_is_kept_whole():
    before, after = make_states(2)
    after["head.weight"][3, 4] = np.nan
    assert same(decode_step(encode_step(after, before, PRESETS["extreme"]), before), after)


def test_a_new_tensor_is_kept_whole():
    before, after = make_states(2)
    del before["head.weight"]
    assert same(decode_step(encode_step(after, before, PRESETS["extreme"]), before), after)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("count", [0, 1, 7, 256])
def test_codes_come_back(bits, count):
    codes = np.random.default_rng(0).integers(0, 2**bits, count).astype(np.uint8)
    assert np.array_equal(unpack_codes(pack_codes(codes, bits), bits, count), codes)
    with pytest.raises(ValueError, match="codes for"):
        unpack_codes(pack_codes(codes, bits), bits, count + 2)


def test_arrays_come_back_bit_for_bit():
    arrays = {"a": np.array([[1.5, np.nan], [-0.0, np.inf]], np.float32), "b": np.array(7),
              "c": np.zeros((0, 3), np.int8), "d": np.array([True, False]),
              "e": np.array([1, 2], ">i4").astype("<i4"), "f": np.float16([1, 2])}
    described, content = pack_arrays(arrays)
    assert same(unpack_arrays(described, content), arrays)
    with pytest.raises(ValueError, match="bytes for"):
        unpack_arrays(described, content + b"\0")


@pytest.mark.parametrize("call, words", [
    (lambda: find_settings("tiny"), "unknown preset 'tiny'; known: near_lossless, balanced, extreme"),
    (lambda: find_settings("balanced", bits=7), "bits 7: expected one of 2, 3, 4, 5, 6, 8"),
    (lambda: find_settings("balanced", tau=-1.0), "tau -1.0: expected a number of 0 or more"),
    (lambda: find_settings("balanced", beta=float("nan")), "beta nan"),
])
def test_settings_that_make_no_sense_are_refused(call, words):
    with pytest.raises(CheckpointError, match=words):
        call()
