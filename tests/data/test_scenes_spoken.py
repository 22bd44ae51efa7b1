"""Spoken captions and questions: every word by every voice, exact transcripts, the same at every call."""

import hashlib
import json

import numpy as np
import pytest

from mmcourse.datasets import data_dir, load, vocabulary
from mmcourse.datasets.scenes import questions, spoken
from mmcourse.datasets.scenes.captions import tokens
from mmcourse.datasets.scenes.captions import vocabulary as caption_words
from mmcourse.datasets.scenes.speech import voices


def test_every_word_of_every_question_was_recorded():
    kinds = questions.QUESTION_KINDS + questions.MORE_KINDS
    said = {word for i in range(4000) for word in spoken.random_question(5, i).split()}
    assert said <= set(spoken.spoken_words())
    assert set(spoken.QUESTION_WORDS) <= said and len(kinds) == 8
    assert not set(spoken.QUESTION_WORDS) & set(caption_words())
    assert len(set(spoken.spoken_words())) == len(spoken.spoken_words()) == 135
    assert all(vocabulary.encode(word) == [vocabulary.id_of(word)] for word in spoken.spoken_words())


def test_recordings_are_those_that_were_shipped():
    folder = data_dir() / "scenes"
    index = json.loads((folder / "question_words.json").read_text(encoding="utf-8"))
    first = json.loads((folder / "voices.json").read_text(encoding="utf-8"))
    assert tuple(index["words"]) == spoken.QUESTION_WORDS
    assert [v["name"] for v in index["voices"]] == [v["name"] for v in first["voices"]]
    for entry in index["voices"]:
        content = (folder / "question_words" / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert len(entry["starts"]) == len(index["words"]) + 1
    assert sum(path.stat().st_size for path in (folder / "question_words").iterdir()) < 1.5e6


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_voices_have_all_words_and_those_of_captions_sound_as_before(split):
    for bank, before in zip(spoken.full_voices(split), voices(split), strict=True):
        assert bank.name == before.name and set(bank.place) == set(spoken.spoken_words())
        for word, span in before.place.items():
            assert np.array_equal(bank.sound[bank.place[word]], before.sound[span])
        for word in spoken.QUESTION_WORDS:
            sound = bank.sound[bank.place[word]]
            assert 0.08 < len(sound) / spoken.SAMPLE_RATE < 1.2 and 0.01 < np.sqrt(np.mean(sound**2)) < 0.3, word


def test_captions_are_those_of_the_data_set():
    texts, waves, who = spoken.spoken_captions("test", 7)
    data = load("scenes", "test", n=7)
    for i in range(7):
        assert np.array_equal(waves[i], data[i]["speech"])
        assert texts[i] == " ".join(tokens(data[i]["words"]))
    names = [bank.name for bank in spoken.full_voices("test")]
    assert [names[i] for i in who] == data.meta["voice"].tolist()
    again, _, _ = spoken.spoken_captions("test", 3, seed=9)
    assert again != texts[:3]
    with pytest.raises(ValueError, match="split"):
        spoken.spoken_captions("tests", 3)


def test_questions_are_spoken_in_turn():
    asked = ["Is there a red star?", "Where is the star, seen from the blue square?", "How many stars are there?"]
    texts, waves, who = spoken.spoken_questions([*asked, asked[0]], "test")
    assert texts[1] == "where is the star seen from the blue square" and who.tolist() == [0, 1, 2, 0]
    assert np.array_equal(waves[0], waves[3]) and not np.array_equal(waves[0], waves[1])


def test_join_puts_silence_between_words():
    bank = spoken.full_voices("train")[0]
    red, star = (bank.sound[bank.place[word]] for word in ("red", "star"))
    wave = spoken.join(["red", "star"], bank, [0.1])
    assert len(wave) == len(red) + 1600 + len(star) and not wave[len(red) : len(red) + 1600].any()
    assert np.array_equal(spoken.join(["red", "star"], bank), spoken.say("Red star.", bank))
    assert not spoken.join([], bank).any()


def test_noise_is_as_loud_as_it_says_and_does_not_change():
    _, waves, _ = spoken.spoken_captions("test", 2)
    noisy = spoken.add_noise(waves, 10.0)
    for clean, wave in zip(waves, noisy, strict=True):
        ratio = np.mean(clean.astype(float) ** 2) / np.mean((wave - clean).astype(float) ** 2)
        assert 10 * np.log10(ratio) == pytest.approx(10, abs=0.1)
    assert all(np.array_equal(a, b) for a, b in zip(noisy, spoken.add_noise(waves, 10.0), strict=True))
