"""Icons and their parser: right on everything the renderer draws, and it says when a picture is none of it."""

import numpy as np
import pytest

from mmcourse.datasets import vocabulary
from mmcourse.datasets.scenes import icons
from mmcourse.datasets.scenes.world import COLORS, SHAPES


def test_kinds_are_those_of_the_world():
    assert len(icons.SEEN_ICONS) == 42 and len(icons.UNSEEN_ICONS) == 6
    names = {icons.name_of(kind) for kind in icons.UNSEEN_ICONS}
    assert names == {
        "a red star", "a yellow diamond", "a green square", "a blue triangle", "a purple circle", "a black cross",
    }  # fmt: skip


def test_the_parser_is_right_on_every_kind():
    pictures, captions, kinds = icons.load(12, seed=5, kinds=icons.ICON_KINDS)
    found = icons.parse(pictures)
    assert pictures.shape == (576, 16, 16, 3) and pictures.dtype == np.uint8 and len(captions) == 576
    assert found.right(kinds).mean() > 0.995
    assert found.error.max() < icons.MOST_ERROR


def test_what_is_no_icon_is_not_clean():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (20, 16, 16, 3)).astype(np.uint8)
    assert not icons.parse(noise).is_clean.any()
    two, _, _ = icons.load(1, seed=6)
    half = two[:10].copy()
    half[:, :, 8:] = two[10:20, :, 8:]  # two halves of two icons
    assert icons.parse(half).is_clean.mean() < icons.parse(two).is_clean.mean()


def test_shape_and_color_are_judged_apart():
    pictures, _, kinds = icons.load(2, seed=7)
    found = icons.parse(pictures[..., [2, 1, 0]])  # red and blue exchanged
    assert (found.shape == kinds[:, 0]).mean() > 0.97
    red = kinds[:, 1] == COLORS.index("red")
    assert not found.right(kinds)[red].any()


def test_pictures_are_functions_of_their_seed_and_vary():
    kind = icons.SEEN_ICONS[0]
    assert (icons.draw_icon(kind, (1, 2)) == icons.draw_icon(kind, (1, 2))).all()
    assert (icons.draw_icon(kind, (1, 2)) != icons.draw_icon(kind, (1, 3))).any()
    many = icons.parse(np.stack([icons.draw_icon((4, 1), (8, i)) for i in range(60)]))
    assert len(set(many.turn.tolist())) >= 6 and len(set(many.radius.tolist())) == 2


def test_captions_say_the_kind_in_words_of_the_vocabulary():
    from mmcourse.torch.generation import icon_words

    rng, words = np.random.default_rng(1), set(icon_words())
    said = [icons.say_icon(kind, rng) for kind in icons.ICON_KINDS for _ in range(10)]
    assert {word for text in said for word in text.split()} == words <= set(vocabulary.pieces())
    assert icons.name_of((SHAPES.index("star"), COLORS.index("orange"))) == "an orange star"


def test_a_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"pictures: expected \(n, 16, 16, 3\), got \(16, 16, 3\)"):
        icons.parse(np.zeros((16, 16, 3)))
