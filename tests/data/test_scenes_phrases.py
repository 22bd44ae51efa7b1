"""Cut-outs and phrases: each kind once, whole, and said by many speakers."""

import numpy as np

from mmcourse.datasets.scenes import world
from mmcourse.datasets.scenes.phrases import CUT, KINDS, NAMES, _corner, draw_cut_outs, say_phrases


def test_each_kind_of_the_training_data_has_one_name():
    assert len(KINDS) == len(set(NAMES)) == 70 and set(KINDS) == set(world.SEEN)
    assert "a large green star" in NAMES and "a large red star" not in NAMES  # held out


def test_cut_outs_show_their_kind_and_are_the_same_each_time():
    cuts = draw_cut_outs(2, seed=5)
    assert cuts.shape == (70, 2, CUT, CUT, 3) and cuts.dtype == np.uint8
    assert np.array_equal(cuts, draw_cut_outs(2, seed=5)) and not np.array_equal(cuts, draw_cut_outs(2, seed=6))
    pixels = cuts.astype(int)
    for color, channel in (("red", 0), ("green", 1), ("blue", 2)):
        others = [other for other in range(3) if other != channel]
        for k, kind in enumerate(KINDS):
            if world.COLORS[kind[1]] == color:
                colorful = pixels[k, ..., channel] - pixels[k][..., others].max(axis=-1) > 40
                assert (colorful.sum(axis=(1, 2)) > 20).all(), NAMES[k]


def test_a_thing_lies_whole_inside_its_cut_out():
    rng = np.random.default_rng(0)
    for index in range(300):
        thing = world.make(9, index).things[0]
        for corner, center in zip(_corner(thing, rng), (thing.y, thing.x), strict=True):
            assert corner <= center - thing.radius + 1 and center + thing.radius - 1 <= corner + CUT - 1
            assert 0 <= corner <= world.SIDE - CUT


def test_phrases_name_the_thing_and_differ_among_speakers():
    said = [say_phrases(seed) for seed in range(20)]
    assert said[0] == say_phrases(0) and all(len(row) == 70 for row in said)
    assert len({row[0] for row in said}) > 5
