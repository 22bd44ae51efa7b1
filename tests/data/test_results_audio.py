"""Stored figures of lesson audio: what its sentences say holds in them, and a part comes out again."""

import importlib.util

import numpy as np
import pytest

from mmcourse.datasets import lesson_dir, results
from mmcourse.datasets.avdigits.voices import read_clips
from mmcourse.evaluate import mean_and_interval
from mmcourse.exercise import find_challenge


@pytest.fixture(scope="module")
def make():
    path = lesson_dir("audio") / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_results_audio", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored():
    return results("audio")


def test_all_tables_are_there(make, stored):
    assert set(make.TABLES) <= set(stored)


def test_log_mel_in_parts_is_good_for_known_people_and_far_worse_for_an_unknown_one(stored):
    table = stored["features"]
    mels, mfccs = table["log-mel, 8 parts"], table["MFCC, 8 parts"]
    mean, interval = mean_and_interval(mels["unknown speaker"])
    assert (round(mean, 2), round(interval, 2), mels["known speakers"]) == (0.67, 0.2, 0.9133)
    assert (min(mels["unknown speaker"]), max(mels["unknown speaker"])) == (0.47, 0.866)
    gain = np.subtract(mfccs["unknown speaker"], mels["unknown speaker"])
    mean, interval = mean_and_interval(gain)
    assert (gain > 0).sum() == 5 and round(gain.max(), 2) == 0.24
    assert mean - interval < 0 < mean
    for name in ("samples", "one DFT", "one DFT in dB", "one DFT, 32 bands in dB", "mean log-mel", "8 parts, shuffled"):
        assert np.mean(table[name]["unknown speaker"]) < np.mean(mels["unknown speaker"])


def test_the_order_of_the_frames_is_worth_something_to_people_too(stored):
    """Parts of shuffled frames have as many numbers as parts in order: what differs is the order alone."""
    table = {name: stored["features"][name]["unknown speaker"] for name in ("log-mel, 8 parts", "8 parts, shuffled")}
    gain = np.subtract(*table.values())
    mean, interval = mean_and_interval(gain)
    assert mean - interval > 0 and gain.min() >= 0
    bands, frames = (
        np.mean(stored["features"][name]["unknown speaker"]) for name in ("one DFT, 32 bands in dB", "mean log-mel")
    )
    assert bands > frames  # "stands above the mean log-mel here"


def test_samples_do_not_find_the_word_at_their_best_shift_either(stored):
    table = stored["shifts"]
    assert table["num_clips"] == 360
    assert table["same word, other voice"] < table["other word, same voice"] < 0.25
    assert table["nearest of another voice is the same word"] < 120  # log-mel: above 320, in the lesson


def test_cutting_the_silence_off_does_more_for_clips_anywhere_than_training_with_moved_ones(stored):
    table = stored["augmentation"]["accuracy"]
    shifted = np.array([np.mean(row) for row in table["anywhere"]["time shift"]])
    cut = np.array(stored["silence"]["anywhere"])
    assert round(cut.mean(), 2) == 0.63 and cut.mean() > shifted.mean() + 0.1
    baseline = np.mean([fold["mean log-mel"]["anywhere"] for fold in stored["augmentation"]["baselines"]])
    assert round(baseline, 2) == 0.51
    assert baseline > max(np.mean([np.mean(row) for row in rows]) for rows in table["anywhere"].values())
    none = np.mean([np.mean(row) for row in table["10 dB"]["none"]])
    assert abs(np.mean(stored["silence"]["10 dB"]) - none) < 0.03  # nothing is gained in noise


def test_synthetic_voices_do_not_carry_over_to_people(stored):
    crossed = stored["features"]["synthetic to real"]
    for name in ("log-mel, 8 parts", "MFCC, 8 parts"):
        assert round(np.mean(crossed[name]), 2) == 0.36


def test_augmentation_helps_only_where_the_test_has_what_it_imitates(make, stored):
    table = stored["augmentation"]["accuracy"]

    def gain(test, change):
        persons = [[np.mean(row) for row in table[test][name]] for name in (change, "none")]
        assert len(persons[0]) == 6
        return mean_and_interval(np.subtract(*persons))

    for change in make.CHANGES[1:]:
        mean, interval = gain("as recorded", change)
        assert mean - interval < 0 < mean + interval
        assert change == "none" or len(table["as recorded"][change][0]) == make.SEEDS
    assert gain("as recorded", "time shift")[0] < -0.03 and gain("as recorded", "all four")[0] < -0.03
    shown = {
        (test, change): round(100 * gain(test, change)[0])
        for test, change in (("anywhere", "time shift"), ("10 dB", "noise"), ("10 dB", "SpecAugment"))
    }
    assert list(shown.values()) == [23, 31, 21]
    for test, change in shown:
        mean, interval = gain(test, change)
        assert mean - interval > 0.1
    for change in ("noise", "speed", "SpecAugment"):
        mean, interval = gain("anywhere", change)
        assert abs(mean) < interval
    persons = {name: np.array([np.mean(row) for row in table["as recorded"][name]]) for name in make.CHANGES}
    for change in ("noise", "SpecAugment"):
        apart = persons[change] - persons["none"]
        assert apart.max() > 0.07 and apart.min() <= -0.07  # people disagree


def test_random_folds_flatter_and_the_level_alone_says_something(stored):
    table = stored["emotions"]
    assert round(table["people"], 2) == 0.94 and table["num_clips"] == 535 and len(table["speakers"]) == 10
    assert table["num_padded"] == 127
    for name in ("level alone", "silent frames alone"):
        mean, interval = mean_and_interval(table[name]["unseen speaker"])
        assert mean - interval > table["majority"]
    for name in ("mean log-mel", "mean MFCC", "log-mel, mean and spread", "MFCC, mean and spread"):
        more = np.mean(table[name]["random folds"]) - np.mean(table[name]["unseen speaker"])
        assert 0.105 < more < 0.135
        assert np.mean(table[name]["unseen speaker"]) > table["majority"] + 0.2


def test_the_challenge_says_what_simple_ways_reach(stored):
    made, table = find_challenge("audio.challenge"), stored["challenge"]
    text = " ".join(made.statement)
    assert f"recognizer of the lesson reaches {table['log-mel, 8 parts']:.2f}" in text
    assert f"mean log-mel frames {table['mean log-mel']:.2f}" in text
    assert max(table["log-mel, 8 parts"], table["mean log-mel"]) < made.to_beat - 0.1


def test_the_challenge_is_solved_by_making_training_clips_like_those_of_the_test(make):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from mmcourse.preprocess import audio

    made = find_challenge("audio.challenge")
    drawn = made.public()
    train, y, test = (drawn.inputs[name] for name in ("train", "train_labels", "test"))
    for name, way in make.CHALLENGE_WAYS.items():
        assert abs(way(train, y, test, drawn.hidden) - results("audio")["challenge"][name]) < 0.04
    g = np.random.default_rng(0)
    time = np.arange(2400) / 8000

    def like_the_test(clip):
        wave = audio.resample(clip.astype(np.float32) / 32768, 8000, int(g.choice([7200, 8000, 8800])))
        there = np.flatnonzero(np.abs(wave) > 0.01)
        wave = wave[there[0] : there[-1]][:2400]
        start = g.integers(0, 2400 - len(wave) + 1)
        second = np.pad(wave / np.abs(wave).max(), (start, 2400 - len(wave) - start))
        hum = sum(np.sin(2 * np.pi * 50 * k * time + g.uniform(0, 6)) / k for k in (1, 2, 3, 5))
        return second + hum * g.uniform(0.05, 0.7) + g.normal(0, 0.2, 2400)

    def features(waves):
        mels = audio.log_mel(waves.astype(np.float32), 8000, 256, 128, 32, top_db=40)
        return (mels - mels.mean(axis=(1, 2), keepdims=True)).reshape(len(waves), -1)

    copies = np.stack([like_the_test(clip) for _ in range(4) for clip in train])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    model.fit(features(copies), np.tile(y, 4))
    predicted = model.predict(features(test / 32768))
    assert made.points_of(made.scored({"predictions": predicted}, drawn)) == 3


def test_features_of_synthetic_voices_are_those_of_the_lesson(make):
    clips = read_clips("embedded").waves[:3]
    found = make.describe(clips)
    assert found["log-mel, 8 parts"].shape == (3, 256) and found["MFCC, 8 parts"].shape == (3, 104)
    assert found["mean log-mel"].shape == found["one DFT, 32 bands in dB"].shape == (3, 32)
    assert found["8 parts, shuffled"].shape == (3, 256)
    assert not np.allclose(found["8 parts, shuffled"], found["log-mel, 8 parts"])


def test_silence_at_the_ends_is_cut_off_and_a_click_is_no_word(make):
    word = np.sin(np.arange(2000))
    padded = np.pad(word, (700, 900))
    assert 1990 <= len(make.ends_cut(padded)) <= 2000
    click = np.full(4000, 0.01)
    click[50] = 1
    assert len(make.ends_cut(click)) == 4000


def test_one_person_comes_out_as_stored(make, stored, real_data, tmp_path, monkeypatch):
    """Without augmentation, and with noise, for the first of the six people."""
    import tarfile

    folder = tmp_path / "fsdd-1.0.10"
    folder.mkdir()
    with tarfile.open(real_data / "fsdd-1.0.10.tar.gz") as tar:
        for member in tar:
            if member.name.endswith(".wav"):
                (folder / member.name.rsplit("/", 1)[-1]).write_bytes(tar.extractfile(member).read())
    monkeypatch.setenv("MMCOURSE_CACHE", str(tmp_path))
    fold = make.folds_of_speakers()[0]
    tests = make.tests_of(fold)
    assert (len(fold.train), len(fold.test)) == (500, 500)
    for change in ("none", "noise"):
        model = make.classifier().fit(*make.augmented(fold, change, seed=0))
        for test, mels in tests.items():
            again = model.score(make.parts_of(mels), fold.y_test)
            assert abs(again - stored["augmentation"]["accuracy"][test][change][0][0]) < 0.03
