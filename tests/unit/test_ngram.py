"""The bigram model: a distribution after every word, equal to counting by hand."""

import itertools
import math

import numpy as np
import pytest

from mmcourse.numpy.ctc import prefix_beam_search
from mmcourse.preprocess.ngram import Bigram

TEXTS = [[1, 2], [1, 2, 2], [2]]


def test_it_counts():
    model = Bigram(TEXTS, size=3, k=0.5)
    # after the beginning: 1 twice, 2 once, the end never
    assert np.exp(model.log_p[0]) == pytest.approx(np.array([0.5, 2.5, 1.5]) / 4.5)
    assert math.exp(model((), 1)) == pytest.approx(2.5 / 4.5)
    assert math.exp(model((2, 1), 2)) == pytest.approx(2.5 / 3.5)
    assert np.exp(model.log_p).sum(axis=1) == pytest.approx(np.ones(3))
    assert model.log_probability([1]) == pytest.approx(model((), 1) + model((1,), 0))


def test_all_texts_of_a_length_and_their_beginnings_add_up():
    model = Bigram(TEXTS, size=3)
    ended = sum(math.exp(model.log_probability(text)) for n in range(6) for text in itertools.product((1, 2), repeat=n))
    assert 0.5 < ended < 1


def test_it_decides_what_the_sound_leaves_open():
    log_probs = np.log(np.array([[0.02, 0.96, 0.02], [0.04, 0.49, 0.47], [0.1, 0.1, 0.8]]))
    plain = prefix_beam_search(log_probs)[0][0]
    fused = prefix_beam_search(log_probs, language_model=Bigram(TEXTS, 3), weight=1.0, end=0)[0][0]
    assert plain == (1, 2) == fused  # both are sure here
    unsure = np.log(np.array([[0.02, 0.49, 0.49], [0.96, 0.02, 0.02], [0.02, 0.02, 0.96]]))
    assert prefix_beam_search(unsure, language_model=Bigram([[1, 2]] * 5, 3), weight=1.0, end=0)[0][0] == (1, 2)
    assert prefix_beam_search(unsure, language_model=Bigram([[2, 2]] * 5, 3), weight=1.0, end=0)[0][0] == (2, 2)


def test_bad_input():
    with pytest.raises(ValueError, match="k: expected more than 0"):
        Bigram(TEXTS, 3, k=0)
