"""Overlays keep to their image and colours; legends name what is there, most of it first."""

import numpy as np
import pytest

from msnoah.deploy.segmentation_overlay import GROUND, MOST_ENTRIES, ROW, draw_beside, draw_legend, draw_overlay

PALETTE = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
IMAGE = np.full((6, 8, 3), 100, np.uint8)
HALVES = np.repeat([[0] * 4 + [2] * 4], 6, 0).astype(np.uint8)


@pytest.mark.parametrize("alpha, expected", [(0.0, [100, 100, 100]), (0.5, [178, 50, 50]), (1.0, [255, 0, 0])])
def test_colours_are_mixed_by_their_share(alpha, expected):
    found = draw_overlay(IMAGE, HALVES, PALETTE, alpha)
    assert found.shape == IMAGE.shape and found.dtype == np.uint8
    assert (abs(found[:, :3].astype(int) - expected) <= 1).all()   # rounded once
    assert (IMAGE == 100).all()


def test_borders_are_darker():
    found = draw_overlay(IMAGE, HALVES, PALETTE, 1.0)
    assert (found[:, 3] == [140, 0, 0]).all() and (found[:, 4] == [0, 0, 255]).all()


def test_what_does_not_count_stays_as_it_is():
    label_map = HALVES.copy()
    label_map[:, 4:] = 255
    found = draw_overlay(IMAGE, label_map, PALETTE)
    assert (found[:, 4:] == 100).all() and (found[:, :4] != 100).any(2).all()


def test_grey_images_are_drawn_in_colour():
    assert np.array_equal(draw_overlay(IMAGE[..., :1], HALVES, PALETTE), draw_overlay(IMAGE, HALVES, PALETTE))


def test_pictures_stand_side_by_side():
    row = draw_beside(IMAGE, IMAGE[:2, :3, :1], np.full((9, 1, 3), 7, np.uint8))
    assert row.shape == (9, 12, 3) and (row[:6, :8] == 100).all() and (row[6:, :8] == GROUND).all()
    assert (row[:2, 8:11] == 100).all() and (row[2:, 8:11] == GROUND).all() and (row[:, 11] == 7).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (400, 3)])
def test_every_size_is_drawn(size):
    picture = draw_overlay(np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8), PALETTE)
    legend = draw_legend(np.zeros(size, np.uint8), PALETTE, ["a", "b", "c"])
    assert draw_beside(picture, legend).shape == (max(size[0], len(legend)), size[1] + 220, 3)


def test_legends_name_the_most_frequent_first():
    label_map = np.array([[0, 2, 2, 2], [255, 255, 2, 0]], np.uint8)
    legend = draw_legend(label_map, PALETTE, ["sky", "tree", "é" * 80])
    swatches = [legend[ROW // 4 + number * ROW + ROW // 2, 10].tolist() for number in range(2)]
    assert swatches == [[0, 0, 255], [255, 0, 0]] and len(legend) == 2 * ROW + ROW // 2
    assert not (legend == PALETTE[1]).all(2).any()   # of no tree
    assert (legend[:, -4:] == GROUND).all()          # the long name ends before the edge


@pytest.mark.parametrize("count, rows", [(1, 1), (MOST_ENTRIES, MOST_ENTRIES), (MOST_ENTRIES + 3, MOST_ENTRIES + 1)])
def test_legends_have_an_end(count, rows):
    label_map, names = np.arange(count, dtype=np.uint8)[None], [f"class {number}" for number in range(count)]
    assert len(draw_legend(label_map, np.full((count, 3), 200, np.uint8), names)) == rows * ROW + ROW // 2


def test_nothing_that_counts_has_an_empty_legend():
    assert (draw_legend(np.full((3, 3), 255, np.uint8), PALETTE, ["a", "b", "c"]) == GROUND).all()
