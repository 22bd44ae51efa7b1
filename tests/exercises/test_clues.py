"""What is said of a wrong answer that no known mistake explains: each clue holds, and right answers get none."""

from __future__ import annotations

import time

import numpy as np
import pytest

from mmcourse.check import CheckFailed
from mmcourse.exercise import between, find_lesson, part, says
from mmcourse.exercise import clues as clues_module
from mmcourse.exercise.clues import Answer, clues, find_clues
from mmcourse.exercise.compare import assert_close
from mmcourse.exercise.exercise import make_exercise
from mmcourse.exercise.values import relation


def scaled(x, low, gain):
    """x (b, d) above `low`, times `gain`; and the mean of each row."""
    above = np.maximum(x, low) * gain
    return above, above.mean(axis=1)


def draw_scaled(g, b, d, low=0.0):
    return g.normal(size=(b, d)), low, float(g.choice([2.0, 3.0, 5.0]))


SCALED = make_exercise(
    "example.1",
    scaled,
    title="Scaled",
    points=1,
    difficulty=1,
    minutes=5,
    statement=[
        says("Values below `low` become `low`.", ignored="above = np.maximum(x, 0) * gain"),
        says("All are multiplied by `gain`.", ignored="above = np.maximum(x, low) * 2"),
    ],
    hints=["first", "second"],
    parts=[
        part("above zero", b=between(2, 4), d=3),
        part("above another limit", b=3, d=between(2, 4), low=0.5),
        part("one sample", b=1, d=3),
    ],
    draw=draw_scaled,
    mistakes={"These are sums over features.": "return above, above.sum(axis=1)"},
    names=("above", "means"),
)


def one_row_only(x, low, gain):
    return tuple(value[0] for value in scaled(x[:1], low, gain)) if len(x) == 1 else scaled(x, low, gain)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x, low, gain: scaled(x, low, 7.0), "does not change when only `gain` changes. It should."),
        (lambda x, low, gain: scaled(x, 1.0, 7.0), "when only `low` and `gain` change. It should."),
        (lambda x, low, gain: scaled(x, 0.0, gain), "which this sentence counts: “Values below `low` become `low`.”"),
        (lambda x, low, gain: scaled(x, 0.0, gain), "It goes wrong with: “above another limit”."),
        (lambda x, low, gain: scaled(x - x.mean(axis=0), low, gain), "The samples of a mini-batch influence"),
        (lambda x, low, gain: scaled(x, low, -gain), "above is the right one with the wrong sign."),
        (
            lambda x, low, gain: (scaled(x, low, gain)[0], np.ones(len(x))),
            "Only `means` can be wrong; `above` came out",
        ),
        (lambda x, low, gain: scaled(x + np.random.rand(), low, gain), "Called twice with the same input"),
        (one_row_only, "It goes wrong with: “one sample”."),
        (lambda x, low, gain: scaled(x, low, gain) if len(x) > 1 else 1 / 0, "It goes wrong with: “one sample”."),
    ],
)
def test_a_clue_tells_what_is_so(answer, said):
    with pytest.raises(CheckFailed) as error:
        SCALED.check(answer)
    assert said in str(error.value)


def test_a_result_with_none_in_it_is_not_called_random():
    with pytest.raises(CheckFailed) as error:
        SCALED.check(lambda x, low, gain: (scaled(x, low, gain)[0], None))
    assert "Called twice" not in str(error.value)


def test_where_a_mistake_is_named_nothing_is_added():
    with pytest.raises(CheckFailed) as error:
        SCALED.check(lambda x, low, gain: (scaled(x, low, gain)[0], scaled(x, low, gain)[0].sum(axis=1)))
    assert str(error.value).startswith("These are sums over features.") and "It goes wrong" not in str(error.value)


def test_a_mistake_that_explains_less_than_half_of_what_is_wrong_is_not_named():
    """It gives the sums that a known mistake gives, but on the first input only."""
    first = SCALED.public_inputs[0][1]

    def answer(x, low, gain):
        above, means = scaled(x, low, gain)
        return above, above.sum(axis=1) if np.array_equal(x, first[0]) else means + 0.123 * (x**2).sum(axis=1)

    with pytest.raises(CheckFailed) as error:
        SCALED.check(answer)
    assert not str(error.value).startswith("These are sums over features.")


def test_nothing_is_said_of_a_right_answer():
    for lesson in ("start_here", "text", "rnn", "word_vectors"):
        for exercise in find_lesson(lesson).exercises:
            assert find_clues(exercise, exercise.reference, exercise.public_inputs) == []


def test_the_search_raises_nothing_on_any_named_mistake():
    """`clues` would hide it; whoever searches for facts must cope with every result that mistakes are known to give."""
    for lesson in ("start_here", "text", "rnn", "word_vectors", "attention"):
        for exercise in find_lesson(lesson).exercises:
            if exercise.use is None:
                for mutant, _ in exercise.mutants:
                    assert len(find_clues(exercise, mutant, exercise.public_inputs)) <= 3


def test_a_slow_answer_ends_in_time_and_gets_no_clue(monkeypatch):
    def slow(x, low, gain):
        time.sleep(0.3)
        return x

    monkeypatch.setattr("mmcourse.exercise.clues.SECONDS", 0.5)
    start = time.monotonic()
    assert clues(SCALED, slow, SCALED.public_inputs) == []
    assert time.monotonic() - start < 5


NUMBERS = np.array([0.2, 0.7, 1.9, 3.3])


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (-NUMBERS, "wrong sign"),
        (2.5 * NUMBERS, "2.5 times"),
        (NUMBERS - 0.5, "0.5 too small"),
        (1 - NUMBERS, "1 minus"),
        (1 / NUMBERS, "1 divided by"),
        (NUMBERS**2, "the square"),
        (np.sqrt(NUMBERS), "the root"),
        (np.log(NUMBERS), "the logarithm"),
        (np.exp(NUMBERS), "the exponential"),
    ],
)
def test_a_relation_is_named_where_all_numbers_follow_it(made, said):
    assert said in relation(made, NUMBERS)
    assert relation(np.append(made, 17.0), np.append(NUMBERS, 1.23)) == ""
    assert relation(made[:2], NUMBERS[:2]) == ""
    assert relation(NUMBERS, NUMBERS) == ""


TABLE = np.arange(1, 13).reshape(3, 4) ** 1.5
SHARES = TABLE / TABLE.sum(axis=1, keepdims=True)
UNIT = TABLE / np.linalg.norm(TABLE, axis=1, keepdims=True)
FLIPPED = TABLE * np.array([1, -1, 1, 1])
ROW_WRONG = TABLE + np.array([[0.0], [0.1], [0.0]]) * TABLE**2


@pytest.mark.parametrize(
    ("got", "want", "said"),
    [
        (TABLE[::-1], TABLE, "in reverse order along axis 0."),
        (NUMBERS[::-1], NUMBERS, "in reverse order."),
        (np.roll(TABLE, 1, axis=1), TABLE, "one place too late along axis 1."),
        (np.roll(TABLE.ravel(), -1), TABLE.ravel(), "one place too early."),
        (TABLE[:, [2, 0, 3, 1]], TABLE, "the right values in other places."),
        (FLIPPED, TABLE, "Only signs are wrong."),
        (TABLE**2, TABLE, "Every value is the square of the right one."),
        (TABLE / TABLE.sum(axis=0), SHARES, "Each row should sum to 1; row"),
        (TABLE[0] ** 2, SHARES[0], "The values should sum to 1; they sum to"),
        (TABLE / TABLE.max(axis=1, keepdims=True), UNIT, "Each row should have length 1; row 0 has"),
        (ROW_WRONG, TABLE, "Only row 1 differs."),
        (ROW_WRONG.T, TABLE.T, "Only column 1 differs."),
        (TABLE[0], TABLE[:1], "Axes of length 1 are lost"),
        (np.zeros((4, 2, 3)), np.zeros((2, 3, 4)), "Are the axes in another order?"),
        (np.zeros((3, 5)), TABLE, "Axis 1 is one too long."),
        (np.zeros((2, 3)), TABLE, "Axes 0, 1 are one too short."),
    ],
)
def test_how_wrong_numbers_lie_is_said(got, want, said):
    with pytest.raises(CheckFailed, match="The result") as error:
        assert_close(got, want)
    assert said in str(error.value)


def test_small_inputs_are_shown_with_digits_that_tell_them_apart():
    from mmcourse.exercise.values import described

    assert described((np.arange(9.0).reshape(3, 3),), {}).startswith("[[0.0, 1.0, 2.0]")
    assert described((np.array([0.3, 0.30001]),), {}) == "[0.3, 0.30001]"
    assert (
        described(([np.array([-0.0, 1.23456]), np.zeros((5, 9))],), {}) == "[[0.0, 1.2346], an array of shape (5, 9)]"
    )


@pytest.mark.parametrize("odd", [(1,), [], {}, "text", object(), [[1], [2, 3]], lambda: 0, np.array(None), {"a": 1}])
def test_an_odd_result_is_still_judged(odd):
    """Each search copes with it: none may raise."""
    inputs = SCALED.public_inputs
    answer = Answer(lambda x, low, gain: odd, time.monotonic() + 5)
    runs = [clues_module._run(SCALED, answer, part, args) for part, args in inputs]
    for search in clues_module.SEARCHES:
        assert all(isinstance(clue, str) for clue in search(SCALED, answer, runs))
    with pytest.raises(CheckFailed, match="The result"):
        SCALED.check(lambda x, low, gain: odd)


def test_several_arguments_of_a_failed_call_are_named():
    with pytest.raises(CheckFailed, match="The input was x=.*, low=0.0, gain="):
        SCALED.check(lambda x, low, gain: x / {}["nothing"])
