"""Lesson speech_to_text's stored runs: what they hold, and the parts that they are made with."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from mmcourse.authoring import recognizers
from mmcourse.datasets import results

pytest.importorskip("torch")
SOURCE = Path(__file__).resolve().parents[2] / "notebooks" / "src" / "speech_to_text" / "make_results.py"


@pytest.fixture(scope="module")
def made():
    spec = importlib.util.spec_from_file_location("speech_to_text_results", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_letters_spell_the_digits_with_spaces_between(made):
    labels = made.labels_of([3, 0], made.LETTERS)
    assert "".join(made.LETTERS[label - 1] for label in labels) == "three zero"
    assert made.labels_of([3, 0], made.DIGITS) == [4, 1]
    assert made.steps_needed(labels) == len("three zero") + 1, "a blank between the two e"


def test_what_is_no_digit_becomes_the_nearest(made):
    assert made.nearest_digits("sevn tree foor") == "seven three four"
    assert made.nearest_digits("") == ""


def test_every_speaker_is_unseen_once_and_all_runs_are_stored(made):
    stored = results("speech_to_text")["digits"]
    assert sorted(name for fold in stored["unseen"] for name in fold) == sorted(
        ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
    )
    for writer in made.WRITERS:
        for steps in stored["steps"]:
            runs = stored["runs"][f"{writer}, {steps} steps"]
            assert len(runs) == len(stored["unseen"])
            assert all(0 <= run["wer, nearest digit"] <= run["wer"] + 0.1 for run in runs)
            assert all(run["without a path"] == 0 for run in runs), "with pauses, every string fits"


def test_a_larger_budget_helped_every_writer():
    runs = results("speech_to_text")["digits"]["runs"]
    for writer in ("words, 40 ms", "letters, 40 ms", "letters, 20 ms"):
        few, many = ([run["wer"] for run in runs[f"{writer}, {steps} steps"]] for steps in (120, 300))
        assert np.mean(many) < np.mean(few)


@pytest.mark.parametrize("name", ["captions", "digits", "speech"])
def test_every_recognizer_heard_every_speaker(made, name):
    stored = results("speech_to_text")[f"real_{name}"]
    ways = ["ours", "Whisper tiny", "pocketsphinx", "pocketsphinx, told the words"]
    assert set(stored["ways"]) == set(ways if name in made.TOLD else ways[:3])
    speakers = stored["speakers"]
    assert len(speakers) == len(set(speakers)) == (1 if name == "speech" else 6)
    for way, row in stored["ways"].items():
        assert len(row["wer"]) == len(speakers), way
        assert all(0 <= rate < 3 for rate in row["wer"]), way
    if name != "speech":
        assert stored["recordings"] % len(speakers) == 0
        assert set(speakers) == {who for fold in made.FOLDS for who in fold} or name != "digits"


def test_one_normalization_for_all_texts():
    assert recognizers.plain("Four, 7!") == recognizers.plain("four seven") == "four seven"
    assert recognizers.plain("A  red STAR.") == "a red star"
    text = "we see a tiny disc in yellow"
    assert recognizers.plain(text) == text


def test_told_words_are_equally_probable_in_any_order():
    lines = recognizers.any_order(["two", "one"]).splitlines()
    listed = [line.split() for line in lines if line.endswith(" 0.0") and "<s>" not in line]
    assert [word for _, word, _ in listed] == ["one", "two"]
    assert [float(p) for p, _, _ in listed] == pytest.approx([np.log10(1 / 3)] * 2, abs=1e-4)
    assert f"ngram 1={len(listed) + 2}" in lines


def test_words_that_a_recognizer_lacks_are_counted(made):
    found = made.known_words(["one two", "two nine"], ["see two", "two"], ["two", "see"])
    assert found == {"has": ["two"], "said": 2, "said of others": 2, "right": 2}
