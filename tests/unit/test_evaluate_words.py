"""The word error rate and its alignment: equal to jiwer, and right where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcourse.evaluate.words import align, edit_distance, word_error_rate, word_errors

TEXT = st.lists(st.sampled_from("a red star is left of the blue box".split()), max_size=8).map(" ".join)
WHY = "extra `reference`: pip install 'mmcourse[reference]'"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(TEXT.filter(bool), TEXT), min_size=1, max_size=4))
def test_equal_to_jiwer(pairs):
    jiwer = pytest.importorskip("jiwer", reason=WHY)
    references, hypotheses = map(list, zip(*pairs, strict=True))
    found = jiwer.process_words(references, hypotheses)
    assert word_error_rate(references, hypotheses) == pytest.approx(found.wer, abs=1e-12)
    errors, words = word_errors(references, hypotheses)
    assert errors.sum() == found.substitutions + found.deletions + found.insertions
    assert words.sum() == found.hits + found.substitutions + found.deletions


@settings(max_examples=200, deadline=None)
@given(TEXT, TEXT)
def test_an_alignment_is_whole_and_has_the_fewest_errors(said, heard):
    steps = align(said, heard)
    assert " ".join(a for _, a, _ in steps.steps if a) == said
    assert " ".join(b for _, _, b in steps.steps if b) == heard
    assert steps.errors == edit_distance(said.split(), heard.split()) == edit_distance(heard.split(), said.split())
    for name, a, b in steps.steps:
        want = "insert" if a is None else "delete" if b is None else "equal" if a == b else "substitute"
        assert name == want
    assert steps.count("equal") + steps.errors == len(steps.steps)


@given(TEXT, TEXT, TEXT)
def test_a_distance(a, b, c):
    a, b, c = a.split(), b.split(), c.split()
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))


def test_known_values():
    assert edit_distance("kitten", "sitting") == 3
    assert word_error_rate(["a red star"], ["a red star"]) == 0
    assert word_error_rate(["a red star"], [""]) == 1
    assert word_error_rate(["stop"], ["please do not stop now"]) == 4  # insertions: above 1
    said, heard = ["yes", "a red star is on the left"], ["yes sir yes sir", "a red star is on the left"]
    assert word_error_rate(said, heard) == pytest.approx(3 / 8)
    errors, words = word_errors(said, heard)
    assert float(np.mean(errors / words)) == pytest.approx(1.5)  # the mean of the rates is another number


def test_an_alignment_is_shown_word_under_word():
    found = align("a tiny red star is here", "a red star was here now")
    assert str(found) == "said  a TINY red star IS  here ***\nheard a ***  red star WAS here NOW"
    assert [found.count(name) for name in ("equal", "substitute", "delete", "insert")] == [4, 1, 1, 1]


def test_bad_input():
    with pytest.raises(ValueError, match="references: hold no word"):
        word_error_rate(["", ""], ["a", ""])
    with pytest.raises(ValueError, match="expected lists of texts, got one string"):
        word_error_rate("a red star", "a red star")
    with pytest.raises(ValueError, match="hypotheses: expected one for each of 2 references, got 1"):
        word_error_rate(["a", "b"], ["a"])
    assert word_error_rate(["", "a"], ["b", "a"]) == 1  # an empty reference among others counts its insertions
