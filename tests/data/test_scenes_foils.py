"""Foils are false, as likely as the caption, and cannot be told without looking."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from mmcourse.datasets.scenes import captions, foils, truth, world

SCENES = [world.make(20_003, index) for index in range(1000)]


@pytest.mark.parametrize("kind", foils.KINDS)
def test_foils_are_false_and_exactly_as_likely(kind: str):
    found = foils.fair_foils(SCENES, kind)
    assert len(found) > 150
    for found_foil in found:
        index, caption, foil = astuple(found_foil)
        assert caption == captions.english(SCENES[index]) != foil
        assert truth.true_of(caption, SCENES[index]) and not truth.true_of(foil, SCENES[index])
        assert math.isclose(truth.log_p_text(caption), truth.log_p_text(foil), abs_tol=0.8)  # as texts, see below


@pytest.mark.parametrize("kind", foils.KINDS)
def test_foil_of_the_foil_is_the_caption(kind: str):
    """The change undoes itself, so caption and foil may be exchanged: nobody who does not look can be right in more
    than half of all cases."""
    change = {"color": foils.swapped_colors, "relation": foils.mirrored}[kind]
    for found in foils.fair_foils(SCENES, kind):
        index, caption, foil = astuple(found)
        other = change(SCENES[index])
        assert other is not None and captions.english(other) == foil
        assert change(other) == SCENES[index]
        assert foils.fair_foils([other], kind)[0] == foils.Foil(0, foil, caption)


def judged_blind(train: list[tuple[str, str]], test: list[tuple[str, str]]) -> float:
    """How often a classifier of words and word pairs, trained on (caption, foil), prefers the caption."""
    words = CountVectorizer(ngram_range=(1, 2), token_pattern=r"[a-z]+", min_df=3)
    texts = [caption for caption, _ in train] + [foil for _, foil in train]
    judge = LogisticRegression(max_iter=300).fit(words.fit_transform(texts), np.repeat([1, 0], len(train)))
    captions_, foils_ = zip(*test, strict=True)
    difference = judge.decision_function(words.transform(captions_)) - judge.decision_function(words.transform(foils_))
    return float(np.mean(difference > 0))


TRAIN = [world.make(77, index) for index in range(3000)]


@pytest.mark.parametrize("kind", foils.KINDS)
def test_judges_without_eyes_are_at_chance(kind: str):
    """The exact likelihood of the texts, and a classifier trained on 3,000 other scenes."""
    found = foils.fair_foils(SCENES, kind)
    spread = 3 * 0.5 / math.sqrt(len(found))
    alone = [truth.log_p_text(f.caption) - truth.log_p_text(f.foil) for f in found]
    right = np.mean([0.5 if abs(d) < 1e-9 else float(d > 0) for d in alone])
    assert abs(right - 0.5) < spread
    train = [(f.caption, f.foil) for f in foils.fair_foils(TRAIN, kind)]
    assert abs(judged_blind(train, [(f.caption, f.foil) for f in found]) - 0.5) < spread


def test_careless_foils_are_told_without_looking():
    """The control: foils that always take the plain color word. The same judge finds them out."""
    plain = {word: name for name in world.COLORS for word in captions.ENGLISH[name]}

    def careless(scenes: list[world.Scene]) -> list[tuple[str, str]]:
        pairs = [(f.caption, f.foil) for f in foils.fair_foils(scenes, "color")]
        return [(caption, " ".join(plain.get(word, word) for word in foil.split())) for caption, foil in pairs]

    assert judged_blind(careless(TRAIN), careless(SCENES)) > 0.6


def test_no_foil_has_a_pair_that_training_never_has():
    for found in foils.fair_foils(SCENES, "color"):
        said = truth.parse(found.foil)
        assert said is not None and math.isfinite(truth.log_p_text(said)), found


@pytest.mark.parametrize("language", ["English", "Chinese"])
def test_hard_negatives_are_false_and_near(language: str):
    rng = np.random.default_rng(0)
    say = {"English": captions.english, "Chinese": captions.chinese}[language]
    found = [(scene, foils.hard_negative(scene, rng, language)) for scene in SCENES[:400]]
    texts = [(scene, text) for scene, text in found if text]
    assert len(texts) > 320
    for scene, text in texts:
        assert text != say(scene)
        if language == "English":
            assert not truth.true_of(text, scene) and truth.parse(text) is not None


def test_unknown_kind():
    with pytest.raises(ValueError, match="kind: expected one of color, relation, got 'size'"):
        foils.fair_foils(SCENES, "size")
