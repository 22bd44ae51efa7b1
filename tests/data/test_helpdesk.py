"""Helpdesk: ceilings are exact and agree with draws, splits share no voice, posts have no shortcut, programs work."""

import hashlib
import json

import numpy as np
import pytest

from mmcourse.datasets import SPLITS, data_dir, helpdesk, load
from mmcourse.datasets.helpdesk import channel, chinese, grammar, posts, programs, speech, tone
from mmcourse.datasets.scenes import questions, world
from mmcourse.evaluate.words import edit_distance

RNG = np.random.default_rng


# ---------------------------------------------------------------- what is said
@pytest.mark.parametrize("templates", ["seen", "unseen"])
def test_the_joint_table_is_a_distribution_with_the_prior(templates):
    table = grammar.joint(templates)
    np.testing.assert_allclose(table.sum(axis=1), grammar.PRIOR)
    assert table.min() >= 0 and len(set(grammar.texts(templates))) == table.shape[1]


def test_draws_agree_with_the_text_ceiling():
    said = grammar.draw(20_000, RNG(0))
    place = {text: i for i, text in enumerate(grammar.texts())}
    guess = grammar.joint().argmax(axis=0)
    right = np.mean([guess[place[s.text]] == s.intent for s in said])
    assert grammar.text_ceiling() == pytest.approx(0.955)
    assert abs(right - grammar.text_ceiling()) < 4 * np.sqrt(0.955 * 0.045 / 20_000)
    assert 0.4 < grammar.shared_words() < 0.6


def test_paraphrases_are_new_but_their_words_are_recorded():
    assert not set(grammar.texts("seen")) & set(grammar.texts("unseen"))
    assert set(grammar.vocabulary()) <= set(speech.banks("test")[0].place)
    assert {w for t in grammar.texts("unseen") for w in t.split()} <= set(grammar.vocabulary())
    with pytest.raises(ValueError, match="templates"):
        grammar.sentences("all")
    assert grammar.fill("a {color} {shape}", {"color": "orange", "shape": "star"}) == "an orange star"


def test_slots_stand_in_the_text_and_pairs_differ():
    for sentence in grammar.draw(500, RNG(1)) + grammar.draw(500, RNG(2), "unseen"):
        slots = dict(sentence.slots)
        assert all(value in sentence.text.split() for value in slots.values())
        assert all(slots[name] != slots.get(f"other_{name}") for name in ("color", "size") if name in slots)


# ---------------------------------------------------------------- the channel
def test_the_channel_is_a_distribution_and_hears_as_it_says():
    table = channel.confusion(0.3)
    np.testing.assert_allclose(table.sum(axis=1), 1)
    np.testing.assert_allclose(np.diag(table), 0.7)
    heard = channel.hear(["four"] * 20_000, RNG(0), 0.3)
    words = grammar.vocabulary()
    counts = np.bincount([words.index(word) for word in heard], minlength=len(words)) / len(heard)
    assert np.abs(counts - table[words.index("four")]).max() < 0.02
    assert channel.hear(["cancel my order please"], RNG(0), 0.0) == ["cancel my order please"]
    with pytest.raises(ValueError, match="noise"):
        channel.confusion(1.0)
    with pytest.raises(ValueError, match="pizza"):
        channel.ids("a pizza")


def test_edits_are_the_edit_distance_of_letters():
    for a, b in (("four", "for"), ("red", "refund"), ("star", "stars"), ("", "no"), ("it", "")):
        assert channel.edits(a, b) == edit_distance(list(a), list(b))


def test_marginalizing_over_all_hypotheses_is_bayes_rule():
    for sentence in grammar.draw(60, RNG(3)):
        (heard,) = channel.hear([sentence.text], RNG(4), 0.4)
        found = channel.hypotheses(heard, 0.4)
        exact = channel.exact_posterior(heard, 0.4)
        np.testing.assert_allclose(channel.posterior(found), exact, atol=1e-12)
        assert exact.sum() == pytest.approx(1) and (np.diff(found.p) <= 0).all()
        assert found.best(3).p.sum() == pytest.approx(1)


def test_the_posterior_is_calibrated():
    rng = RNG(5)
    said = grammar.draw(4000, rng)
    heard = channel.hear([s.text for s in said], rng, 0.5)
    table = channel.confusion(0.5)
    p = np.stack([channel.posterior(channel.hypotheses(h, 0.5, table=table)) for h in heard])
    right = p.argmax(axis=1) == [s.intent for s in said]
    assert abs(right.mean() - p.max(axis=1).mean()) < 4 * right.std() / 4000**0.5
    low = p.max(axis=1) < 0.8
    assert low.sum() > 200 and abs(right[low].mean() - p.max(axis=1)[low].mean()) < 4 * 0.5 / low.sum() ** 0.5


def test_what_the_grammar_cannot_say_is_refused():
    with pytest.raises(ValueError, match="2 words"):
        channel.hypotheses("red red")
    with pytest.raises(ValueError, match="without noise"):
        channel.hypotheses("red red red red", 0.0)


# ---------------------------------------------------------------- tone
def test_the_tone_table_and_its_ceilings_agree_with_draws():
    assert tone.joint().sum() == pytest.approx(1)
    intents = np.full(40_000, grammar.INTENTS.index("feedback"))
    facts = tone.draw(intents, RNG(0))
    praise = (facts["feeling"] > 0).astype(int)
    table = tone.feedback()
    assert table.sum() == pytest.approx(1)
    guesses = {
        "words": np.full(len(praise), table.sum(axis=(1, 2)).argmax()),
        "words + voice": table.sum(axis=1).argmax(axis=0)[facts["voice"]],
        "words + record": table.sum(axis=2).argmax(axis=0)[facts["record"]],
        "words + voice + record": table.argmax(axis=0)[facts["record"], facts["voice"]],
    }
    ceilings = tone.feedback_ceilings()
    for name, guess in guesses.items():
        assert abs((guess == praise).mean() - ceilings[name]) < 0.01, name
    assert [round(value, 3) for value in ceilings.values()] == [0.7, 0.793, 0.78, 0.833]


# ---------------------------------------------------------------- samples
@pytest.mark.parametrize("split", SPLITS)
def test_samples_are_what_the_loader_promises(split):
    data = load("helpdesk", split, n=40)
    assert data.modalities == ("speech", "tone", "words") and data.classes == helpdesk.INTENTS
    sample = data[7]
    assert sample["speech"].dtype == np.float32 and sample["speech"].ndim == sample["tone"].ndim == 1
    assert np.array_equal(sample["speech"], load("helpdesk", split, n=40)[7]["speech"])
    batch = next(data.batches(8))
    assert batch["inputs"]["words"].shape[0] == 8 and batch["inputs"]["speech"].shape[2] == 40
    said = {s.text for s in grammar.sentences() if s.intent == sample["target"]}
    assert sample["words"] in said
    assert set(data.meta["tone_cue"]) <= set(tone.VOICES) and set(data.meta["record"]) <= set(tone.RECORDS)


def test_no_voice_is_in_two_splits():
    data = {split: load("helpdesk", split) for split in SPLITS}
    for split in data.values():
        split.features().batch(np.arange(len(split)))
    voices = [set(split.meta["speaker"]) for split in data.values()]
    assert [len(v) for v in voices] == [10, 3, 3] and len(set.union(*voices)) == 16
    share = np.bincount(data["train"].labels, minlength=13) / 4000
    assert np.abs(share - grammar.PRIOR).max() < 0.02


def test_unseen_templates_are_for_evaluation_only():
    assert set(load("helpdesk", "test", templates="unseen", n=50).column("words")) <= set(grammar.texts("unseen"))
    with pytest.raises(ValueError, match="templates"):
        load("helpdesk", "train", templates="unseen")
    with pytest.raises(ValueError, match="n: expected"):
        load("helpdesk", "test", n=0)


def test_recordings_are_those_that_were_shipped():
    folder = data_dir() / "helpdesk"
    index = json.loads((folder / "voices.json").read_text(encoding="utf-8"))
    assert tuple(index["words"]) == grammar.NEW_WORDS
    for entry in index["voices"]:
        assert hashlib.sha256((folder / "voices" / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
    assert sum(path.stat().st_size for path in (folder / "voices").iterdir()) < 3e6
    with pytest.raises(ValueError, match="pizza"):
        speech.say("pizza please", speech.banks("test")[0])


def test_the_card_names_the_exact_figures():
    card = (data_dir() / "helpdesk" / "README.md").read_text(encoding="utf-8")
    for value in [grammar.text_ceiling(), *tone.feedback_ceilings().values(), *posts.ceilings().values()]:
        assert f"{value:.3f}" in card
    assert f"{len(grammar.texts()):,}" in card and f"{len(grammar.NEW_WORDS)} words" in card


# ---------------------------------------------------------------- posts
def test_neither_words_nor_picture_tell_a_post():
    table = posts.joint()
    assert table.sum() == pytest.approx(1)
    ceilings = posts.ceilings()
    assert ceilings["words"] == pytest.approx(0.5) and ceilings["picture"] == pytest.approx(0.5)
    assert ceilings["words + picture"] == pytest.approx(1)
    drawn = posts.posts("test", 600)
    kinds = [(t.shape, t.color, t.size) for t in (post.scene.things[0] for post in drawn)]
    assert [int(kind == post.ordered) for kind, post in zip(kinds, drawn, strict=True)] == [p.label for p in drawn]
    great = [post.label for post in drawn if "great" in post.words]
    assert len(great) > 80 and abs(np.mean(great) - 0.5) < 4 * 0.5 / len(great) ** 0.5
    assert all(posts.phrase(post.ordered) in post.words for post in drawn)
    assert drawn[0].picture.shape == (64, 64, 3)
    with pytest.raises(ValueError, match="split"):
        posts.posts("all", 1)


# ---------------------------------------------------------------- programs
@pytest.mark.parametrize("kind", questions.QUESTION_KINDS + questions.MORE_KINDS)
def test_every_question_of_scenes_is_parsed_and_answered(kind):
    for index in range(60):
        question, text, answer, scene = questions.ask(9, index, kind=kind)
        program = programs.parse(text)
        assert program is not None and program.kind == kind, text
        found = programs.run(program, scene)
        assert found.good and found.text == answer, text
        assert len(found.boxes) == len(found.cited)
        assert all(any(questions.matches(scene.things[i], look) for look in question.about) for i in found.cited)


def test_what_is_no_question_is_not_parsed():
    for text in (
        "how many red squares are there and say zero",
        "ignore the rules and cancel my order",
        "",
        "how many unicorns are there",
        "a red star",
    ):
        assert programs.parse(text) is None, text
    assert programs.parse("What color is the star?") == programs.parse("What colour is the star")


def test_a_question_without_an_answer_says_why():
    two = [world.make(3, i) for i in range(400)]
    scene = next(
        s for s in two if [t.shape for t in s.things].count(0) == 2 and not any(t.shape == 4 for t in s.things)
    )
    assert programs.ask("what color is the star", scene).text == "there is none"
    answer = programs.ask("what color is the circle", scene)
    assert not answer.good and answer.text == "which one? there are 2" and len(answer.boxes) == 2
    assert programs.ask("sing a song", scene) is None


# ---------------------------------------------------------------- Chinese
def test_chinese_commands_have_the_same_intents():
    texts, intents = chinese.draw(3000, RNG(0))
    new, _ = chinese.draw(300, RNG(0), "unseen")
    assert set(intents) == set(range(13)) and not set(texts) & set(new)
    assert all("{" not in text and text for text in texts + new)
    with pytest.raises(ValueError, match="templates"):
        chinese.draw(1, RNG(0), "other")
