"""Texts with an exact entropy: every probability adds up, and no text can be written in two ways."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmcourse.datasets import vocabulary
from mmcourse.datasets.scenes import texts
from mmcourse.preprocess.errors import InputError


@pytest.fixture(scope="module")
def found() -> list[list[str]]:
    return texts.draw_texts(400, seed=3)


def probability_of_choices(words: list[str]) -> list[float]:
    """Probability of every way in which the grammar can write a text, by trying all choices."""
    ways = []

    def go_on(stack, memory, left, p):
        while stack and isinstance(stack[0], str):
            if not left or left[0] != stack[0]:
                return
            stack, left = stack[1:], left[1:]
        if not stack:
            ways.extend([p] if not left else [])
            return
        for q, symbols, now in texts.choices(stack[0], memory):
            go_on((*symbols, *stack[1:]), now, left, p * q)

    go_on((("text",),), texts.NOTHING, tuple(words), 1.0)
    return ways


def test_each_text_has_one_derivation_and_its_probability(found):
    for words in found[:150]:
        ways = probability_of_choices(words)
        assert len(ways) == 1, texts.join(words)
        assert texts.log_probs(words).sum() == pytest.approx(math.log(ways[0]))


def test_next_words_sum_to_one_and_agree_with_log_probs(found):
    for words in found[:25]:
        logs = texts.log_probs(words)
        for at in range(len(words) + 1):
            following = texts.next_words(words[:at])
            assert sum(following.values()) == pytest.approx(1)
            word = words[at] if at < len(words) else texts.END
            assert math.log(following[word]) == pytest.approx(logs[at], abs=1e-9)


def test_choices_of_every_rule_sum_to_one(found):
    memories = [texts.NOTHING, ((("star", "red"),), None), ((("star", "red"), ("box", "azure")), "left")]
    rules = (("text",), ("rest",), ("say", "verb"), ("where",), ("np",), ("color", ""), ("color", "an"), ("shape",))
    for memory in memories:
        for rule in rules:
            assert sum(p for p, _, _ in texts.choices(rule, memory)) == pytest.approx(1)
    assert sum(p for p, _, _ in texts.choices(("after",), memories[2])) == pytest.approx(1)


def test_entropy_is_the_mean_of_many_texts(found):
    nats, length = texts.entropy()
    sums = np.array([-texts.log_probs(words).sum() for words in found])
    assert abs(sums.mean() - nats) < 4 * sums.std() / math.sqrt(len(sums))
    lengths = np.array([len(words) + 1 for words in found])
    assert abs(lengths.mean() - length) < 4 * lengths.std() / math.sqrt(len(lengths))
    assert nats / length == pytest.approx(0.9513, abs=1e-4)


def test_entropy_of_a_small_part_by_listing_all_endings():
    """After this beginning only the second sentence is left: all of its texts can be listed."""
    beginning = "there are two shapes : a red star and a tiny blue box .".split()
    total, expected = 0.0, 0.0
    stack = [(beginning, 1.0)]
    while stack:
        words, p = stack.pop()
        for word, q in texts.next_words(words).items():
            if word == texts.END:
                total += p * q
                expected -= p * q * math.log(p * q)
            else:
                stack.append(([*words, word], p * q))
    assert total == pytest.approx(1)
    memory = ((("star", "red"), ("box", "blue")), None)
    assert texts._rest((("after",),), memory)[0] == pytest.approx(expected)


def test_every_word_is_a_piece_and_texts_come_back(found):
    ids = {word: vocabulary.id_of(word) for word in texts.vocabulary_words()}
    for words in found:
        assert vocabulary.encode(texts.join(words)) == [ids[word] for word in words]


def test_what_was_said_comes_back(found):
    said = 0
    for words in found:
        end = words.index(".")
        second = words[end + 1 :]
        colors = [word for word in second if word in texts.COLOR_WORDS]
        assert all(color in words[:end] for color in colors)
        said += bool(colors)
        shapes = [texts.SHAPE_OF[word] for word in words[:end] if word in texts.SHAPE_OF]
        assert len(set(shapes)) == len(shapes) in (2, 3)
    assert said > 200


def test_seeds_and_wrong_words():
    assert texts.draw_texts(5, 1) == texts.draw_texts(5, 1) != texts.draw_texts(5, 2)
    with pytest.raises(ValueError, match="n: expected 1 or more"):
        texts.draw_texts(0)
    with pytest.raises(InputError, match="cannot stand here"):
        texts.next_words(["a", "an"])
    assert texts.log_probs(["an", "red"])[1] == -math.inf
    assert texts.log_probs([])[0] == -math.inf
