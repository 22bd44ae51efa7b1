"""More questions about scenes: balanced groups, the two kinds outside the data sets, all questions of one scene."""

from __future__ import annotations

import numpy as np
import pytest

from mmcourse.datasets import scenes, vocabulary
from mmcourse.datasets.scenes import questions, world

EVERY_KIND = questions.QUESTION_KINDS + questions.MORE_KINDS


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_group_has_each_answer_once_and_each_is_true(kind: str):
    for index in range(12):
        group = questions.ask_every_answer(5, index, kind)
        assert [answer for _, _, answer, _ in group] == list(group[0][0].answers)
        assert len({text for _, text, _, _ in group}) == 1
        for question, text, answer, scene in group:
            assert question.kind == kind and text.endswith("?")
            assert questions.solve(question, scene) == answer
            if kind not in ("existence", "count", "compare"):
                for look in question.about:
                    assert sum(questions.matches(thing, look) for thing in scene.things) == 1


def test_whoever_does_not_look_is_right_once_in_each_group():
    """Whatever is said to a question's words: at most one of its scenes has this answer. The limit is exact."""
    groups = questions.balanced(20_003, 300)
    number = sum(map(len, groups))
    best = len(groups) / number
    rng = np.random.default_rng(0)
    for _ in range(20):  # guessers that even know the answers of each question
        guess = {group[0][1]: rng.choice([answer for _, _, answer, _ in group]) for group in groups}
        right = sum(guess[text] == answer for group in groups for _, text, answer, _ in group)
        assert right == len(groups)
    always_yes = sum(answer == "yes" for group in groups for _, _, answer, _ in group)
    assert always_yes == sum(group[0][0].kind == "existence" for group in groups)
    assert best == pytest.approx(scenes.language_only_accuracy()["all"], abs=0.01)
    kinds = [group[0][0].kind for group in groups for _ in group]
    assert all(50 <= kinds.count(kind) < 58 for kind in questions.QUESTION_KINDS)


def test_the_same_seed_gives_the_same_groups_and_another_gives_others():
    assert questions.balanced(1, 30) == questions.balanced(1, 30) != questions.balanced(2, 30)
    with pytest.raises(ValueError, match="n: expected 1 or more, got 0"):
        questions.balanced(1, 0)


def test_every_word_of_every_kind_is_in_the_vocabulary():
    first = vocabulary.id_of("<0x00>")
    rng = np.random.default_rng(0)
    for kind in EVERY_KIND:
        for question in questions.questions(kind):
            for text in (questions.words(question, rng), *question.answers):
                ids = vocabulary.encode(text)
                assert not any(first <= i < first + 256 for i in ids), text
                assert vocabulary.decode(ids) == text


def test_questions_of_one_scene_have_its_answers_and_are_those_that_are_asked():
    """What `ask` asks of its scene is among them, so they leave out nothing of its kind."""
    for index in range(120):
        kind = EVERY_KIND[index % len(EVERY_KIND)]
        question, _, answer, scene = questions.ask(4, index, kind=kind)
        every = questions.about(scene, kind)
        assert (question, answer) in every
        assert all(questions.solve(other, scene) == found and found in other.answers for other, found in every)
        assert len({other for other, _ in every}) == len(every)


def test_sides_of_one_scene_come_in_opposite_pairs():
    opposite = {"left": "right", "right": "left", "above": "below", "below": "above"}
    for index in range(60):
        found = {question.about: answer for question, answer in questions.about(world.make(3, index), "relation")}
        for (first, second), answer in found.items():
            assert found[second, first] == opposite[answer]


def test_sizes_are_asked_only_where_words_do_not_tell():
    shapes = {world.SHAPES[question.about[0][0]] for question in questions.questions("size")}
    assert shapes == {"circle", "square", "triangle", "star"}


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind: expected one of existence, .*, place, size, got 'smell'"):
        questions.questions("smell")
