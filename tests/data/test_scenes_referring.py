"""Referring expressions: each fits exactly one thing, and says what it is made to say."""

from __future__ import annotations

import numpy as np
import pytest

from mmcourse.datasets import vocabulary
from mmcourse.datasets.scenes import referring, world
from mmcourse.datasets.scenes.referring import fitting, parse, refer

BYTES = {vocabulary.id_of(f"<0x{value:02X}>") for value in range(256)}  # what spells a word that the vocabulary lacks
SCENES = [world.make(9, index) for index in range(300)]


def drawn(with_relation: bool):
    """(scene, target, phrase) for all scenes that have one."""
    rng = np.random.default_rng(0)
    for scene in SCENES:
        target = int(rng.random() * len(scene.things))
        phrase = refer(scene, target, rng, with_relation)
        if phrase is not None:
            yield scene, target, phrase


@pytest.mark.parametrize("with_relation", [False, True])
def test_each_phrase_fits_one_thing_and_is_read_as_it_was_meant(with_relation: bool):
    number = 0
    for scene, target, phrase in drawn(with_relation):
        again = parse(phrase.text)
        assert (again.look, again.relation, again.anchor) == (phrase.look, phrase.relation, phrase.anchor)
        assert fitting(phrase.text, scene) == [target]
        assert (phrase.relation is not None) == with_relation
        assert not BYTES & set(vocabulary.encode(phrase.text))
        number += 1
    assert number > (200 if with_relation else 280)


def test_most_relations_are_needed():
    """Without it, the look alone fits several things: else the relation could be skipped."""
    needed = [sum(map(p.look.fits, scene.things)) > 1 for scene, _, p in drawn(True)]
    assert np.mean(needed) > 0.95


def three_things() -> world.Scene:
    """A small red star on the left, a large red star on the right, a blue square below the first."""
    red, blue = world.COLORS.index("red"), world.COLORS.index("blue")
    star, square = world.SHAPES.index("star"), world.SHAPES.index("square")
    things = (
        world.Thing(star, red, 0, 12, 14, 6.0, 0),
        world.Thing(star, red, 1, 48, 16, 10.0, 0),
        world.Thing(square, blue, 1, 14, 48, 10.0, 0),
    )
    return world.Scene(things, 0, (1, 2))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("the star", [0, 1]),
        ("the red thing", [0, 1]),
        ("the small star", [0]),
        ("The tiny scarlet star.", [0]),
        ("the star in red", [0, 1]),
        ("the box that is blue and huge", [2]),
        ("the box that is blue", [2]),
        ("the star left of the large star", [0]),
        ("the star to the right of the small star", [1]),
        ("the star over the square", [0, 1]),
        ("the thing under a star", [2]),
        ("the thing above the circle", []),
        ("the green thing", []),
        ("the star left of the star", [0]),
    ],
)
def test_known_phrases(text: str, numbers: list[int]):
    found = fitting(text, three_things())
    if text == "the star over the square":  # the large star is rather on its right
        numbers = [n for n in numbers if world.relation(three_things().things[n], three_things().things[2]) == "above"]
    assert found == numbers


@pytest.mark.parametrize("text", ["", "star", "the zebra", "the star left", "the red blue star", "the star of the box"])
def test_other_words_are_refused(text: str):
    with pytest.raises(ValueError, match="phrase: "):
        parse(text)


def test_a_thing_that_cannot_be_told_from_another_gets_no_phrase():
    first = three_things().things[0]
    twins = world.Scene((first, world.moved(first, x=40)), 0, (1, 2))
    rng = np.random.default_rng(0)
    assert refer(twins, 0, rng) is None
    assert refer(twins, 0, rng, with_relation=True) is None  # the anchor cannot be told either
    alone = world.Scene((first,), 0, (1, 2))
    assert refer(alone, 0, rng, with_relation=True) is None and refer(alone, 0, rng) is not None


def test_two_colors_are_one_too_many():
    with pytest.raises(ValueError, match="says two of"):
        parse("the red star in blue")


def test_a_phrase_says_all_or_less():
    """All eight looks occur, and all four relations."""
    rng = np.random.default_rng(1)
    looks, sides = set(), set()
    for scene in SCENES:
        for target in range(len(scene.things)):
            for with_relation in (False, True):
                phrase = refer(scene, target, rng, with_relation)
                if phrase is not None:
                    look = phrase.look
                    looks.add((look.shape is None, look.color is None, look.size is None))
                    sides.add(phrase.relation)
    assert len(looks) == 8 and sides == {None, *referring.RELATIONS}
