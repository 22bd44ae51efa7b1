"""Parsing captions: what the grammar writes is read back; truth and likelihood agree with simulation."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mmcourse.datasets.scenes import captions, truth, world

SCENES = [world.make(20_003, index) for index in range(300)]
TEXTS = [captions.english(scene) for scene in SCENES]


@pytest.mark.parametrize("unseen", [None, "colour-shape", "size-shape"])
def test_every_caption_is_parsed_true_and_possible(unseen: str | None):
    for index in range(500):
        scene = world.make(51, index, unseen)
        said = truth.parse(captions.english(scene))
        assert said is not None and truth.true_of(said, scene)
        assert truth.log_p(said, scene) > -60 and truth.log_p(said, scene, order_known=False) > -60


def test_log_p_is_the_share_of_speakers_who_say_it():
    """For a scene with one thing, 40,000 speakers: each sentence's frequency against its probability."""
    scene = next(scene for scene in SCENES if len(scene.things) == 1)
    counts = Counter(captions.english(replace(scene, seed=(5, i))) for i in range(40_000))
    for text, count in counts.most_common(20):
        expected = 40_000 * math.exp(truth.log_p(text, scene))
        assert abs(count - expected) < 5 * math.sqrt(expected), text
    missing = 1 - sum(math.exp(truth.log_p(text, scene)) for text in counts)
    assert 0 <= missing < 0.02  # rare sentences that no one of them said


def test_probabilities_of_all_relation_sentences_sum_to_their_share():
    """Two things: sentences that a simulation finds, whose probabilities must reach nearly all of the mass."""
    scene = next(scene for scene in SCENES if len(scene.things) == 2)
    counts = Counter(captions.english(replace(scene, seed=(6, i))) for i in range(4000))
    logs = np.array([truth.log_p(text, scene) for text in counts])
    entropy = -np.mean([truth.log_p(captions.english(replace(scene, seed=(7, i))), scene) for i in range(2000)])
    assert np.isfinite(logs).all() and np.exp(logs).sum() < 1 + 1e-9
    assert entropy == pytest.approx(-sum(n * truth.log_p(t, scene) for t, n in counts.items()) / 4000, abs=0.15)


def test_entropy_of_captions_is_what_the_lessons_say():
    scenes = [world.make(20_003, index) for index in range(1000)]
    texts = [captions.english(scene) for scene in scenes]
    known = -np.mean([truth.log_p(text, scene) for text, scene in zip(texts, scenes, strict=True)])
    seen = -np.mean([truth.log_p(t, s, order_known=False) for t, s in zip(texts, scenes, strict=True)])
    blind = -np.mean([truth.log_p_text(text) for text in texts])
    assert known == pytest.approx(12.13, abs=0.01)
    assert seen == pytest.approx(13.19, abs=0.01)
    assert blind == pytest.approx(24.97, abs=0.01)


def test_likelihood_without_a_scene_is_the_mean_over_scenes():
    """p(caption) = E over scenes of p(caption | scene): simulated for a short and therefore frequent caption."""
    text = "There is a red circle in the middle."
    scenes = [world.make(61, index) for index in range(60_000)]
    mean = np.mean([math.exp(truth.log_p(text, scene)) for scene in scenes])
    assert math.log(mean) == pytest.approx(truth.log_p_text(text), abs=0.2)


def swapped(scene: world.Scene, **changes: object) -> world.Scene:
    first, *rest = scene.things
    return replace(scene, things=(replace(first, **changes), *rest))  # type: ignore[arg-type]


def test_what_is_changed_is_not_true_any_more():
    """Another color, shape, place or number of things: the caption is false and cannot be said."""
    tried = 0
    for scene, text in zip(SCENES, TEXTS, strict=True):
        first = scene.things[0]
        color = next(c for c in range(8) if all(c != thing.color for thing in scene.things))
        for other in (swapped(scene, color=color), replace(scene, things=(*scene.things[1:], *scene.things[:1] * 2))):
            assert not truth.true_of(text, other) and truth.log_p(text, other) == -math.inf
            tried += 1
        if len(scene.things) == 1:
            moved = swapped(scene, x=8 if captions.third(first.x) == 0 else 32)
            assert not truth.true_of(text, moved)
    assert tried == 600


def test_relation_turned_round_is_false():
    opposite = {"left of": "right of", "above": "below"}
    tried = 0
    for scene, text in zip(SCENES, TEXTS, strict=True):
        said = truth.parse(text)
        if said is None or said.relation is None:
            continue
        for words, other in opposite.items():
            if re.search(rf"\b{words}\b", text, re.IGNORECASE):
                turned = re.sub(rf"\b{words}\b", other, text, flags=re.IGNORECASE)
                same = len({(phrase.shape, phrase.color) for phrase in said.things}) < len(said.things)
                assert same or not truth.true_of(turned, scene), turned
                tried += 1
    assert tried > 20


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Red.",
        "A red circle.",  # one thing always has its place
        "There are three things: a red circle and a blue square.",  # a wrong count can be said, but is never true
        "A red circle is near a blue square.",
        "There is a red circle, a blue square, a star that is red and small, a black box and a white disc.",
        "图中有一个红色的圆形。",
    ],
)
def test_what_the_grammar_cannot_say(text: str):
    said = truth.parse(text)
    assert said is None or (said.count == 3 and truth.log_p_text(said) == -math.inf)
    assert not any(truth.true_of(text, scene) for scene in SCENES)
    assert truth.log_p(text, SCENES[0]) == -math.inf == truth.log_p_text(text)


def test_order_of_mention_matters_to_likelihood_not_to_truth():
    scene = next(s for s in SCENES if len(s.things) == 3 and len({t.color for t in s.things}) == 3)
    turned = replace(scene, things=scene.things[::-1])
    text = next(
        text
        for i in range(50)
        if truth.parse(text := captions.english(replace(turned, seed=(3, i)))).relation is None  # type: ignore[union-attr]
    )
    assert truth.true_of(text, scene) and truth.log_p(text, scene) == -math.inf
    assert truth.log_p(text, scene, order_known=False) == pytest.approx(truth.parse(text).log_p - math.log(6))  # type: ignore[union-attr]


def test_exact_scores_find_the_right_pair():
    table = truth.exact_scores(TEXTS, SCENES)
    assert table.shape == (300, 300) and np.isfinite(np.diag(table)).all()
    assert (table.argmax(axis=1) == np.arange(300)).mean() > 0.97
    shifted = truth.exact_scores(TEXTS[:20], SCENES[100:120])
    assert np.isneginf(np.diag(shifted)).mean() > 0.9


def test_not_a_string_is_named():
    with pytest.raises(TypeError, match="text: expected a caption, got int"):
        truth.parse(3)  # type: ignore[arg-type]
