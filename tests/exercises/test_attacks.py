"""The attacks bite: a check written in one careless line lets many of them through."""

import numpy as np
from exercise_harness import attacks

TABLE = np.array([[1.0, 2.0], [3.0, 5.0]])


def right(x):
    return x.sum(axis=0)


def careless(answer):
    try:
        return bool(np.all(answer(TABLE.copy()) == TABLE.sum(axis=0)))
    except Exception:
        return False


def test_a_careless_check_is_fooled():
    assert careless(right)
    fooled = {name for name, bad in attacks(right).items() if careless(bad)}
    expected = {"forged eq", "lying subclass", "dtype object", "extra axis", "input changed", "hard-coded"}
    assert expected <= fooled


def test_inputs_of_other_kinds_are_spoilt_too():
    for given in ([1, 2], {"a": 1}):
        before = given.copy()
        attacks(lambda x: 1.0)["input changed"](given)
        assert given != before
    assert attacks(lambda x: 1.0)["input changed"]("text") is None
