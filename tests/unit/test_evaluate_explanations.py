"""Heat maps against boxes: chance where nothing is said, 1 where the thing is found; curves begin and end rightly."""

from __future__ import annotations

import numpy as np
import pytest

from mmcourse.evaluate.explanations import center_map, energy_inside, inside, pointing_game, replacement_curve

BOXES = np.array([[0, 0, 16, 8], [32, 32, 64, 64]])


def test_cells_inside_a_box():
    within = inside(BOXES, 8, 8, 64)
    assert within[0].sum() == 2 and within[0, 0, :2].all()
    assert within[1].sum() == 16 and within[1, 4:, 4:].all()
    x_then_y = inside([[0, 56, 8, 64]], 8, 8, 64)[0]
    assert x_then_y[7, 0] and x_then_y.sum() == 1, "rows are y, columns are x"


def test_pointing():
    maps = np.zeros((2, 8, 8))
    maps[0, 0, 1] = 1
    maps[1, 0, 0] = 2
    assert pointing_game(maps, BOXES, 64).tolist() == [1, 0]
    maps[1, 5, 5] = 2  # as hot as the wrong one
    assert pointing_game(maps, BOXES, 64).tolist() == [1, 0.5]
    flat = np.full((2, 8, 8), 0.7)
    np.testing.assert_allclose(pointing_game(flat, BOXES, 64), [2 / 64, 16 / 64])
    np.testing.assert_allclose(energy_inside(flat, BOXES, 64), [2 / 64, 16 / 64])


def test_energy():
    maps = np.zeros((2, 8, 8))
    maps[0, 0, 0], maps[0, 7, 7] = 1, 3
    maps[1] = -1  # says nothing in favor
    np.testing.assert_allclose(energy_inside(maps, BOXES, 64), [0.25, 0.25])


def test_nan_is_refused_and_named():
    maps = np.zeros((2, 8, 8))
    with np.errstate(invalid="ignore"):
        scaled = maps / maps.max(axis=(1, 2), keepdims=True)
    with pytest.raises(ValueError, match="all-zero"):
        pointing_game(scaled, BOXES, 64)
    with pytest.raises(ValueError, match="rows"):
        pointing_game(maps[0], BOXES, 64)


def test_the_center_is_the_center():
    peak = np.argwhere(center_map(1, 7, 9)[0] == center_map(1, 7, 9).max())
    assert peak.tolist() == [[3, 4]]


def test_curves():
    rng = np.random.default_rng(0)
    images, fill = rng.random((3, 16, 16, 3)), np.zeros((3, 16, 16, 3))
    heat = rng.random((3, 4, 4))

    def score(pictures):
        return pictures[:, :4, :4].sum(axis=(1, 2, 3))  # only the first cell counts

    heat[:, 0, 0] = 2  # and the map knows it
    shares = [0, 1 / 16, 0.5, 1]
    down = replacement_curve(score, images, heat, fill, shares)
    np.testing.assert_allclose(down[:, 0], score(images))
    np.testing.assert_allclose(down[:, 1:], 0)
    up = replacement_curve(score, images, heat, fill, shares, insert=True)
    np.testing.assert_allclose(up[:, 1:], score(images)[:, None].repeat(3, axis=1))
    np.testing.assert_allclose(up[:, 0], 0)
    with pytest.raises(ValueError, match="divide"):
        replacement_curve(score, images, rng.random((3, 5, 4)), fill, shares)
