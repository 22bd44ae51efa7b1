"""BLEU and CIDEr-D by hand: equal to the programs that papers use, and right where the answer is known."""

from __future__ import annotations

import math

import pytest

from mmcourse.datasets.scenes import world
from mmcourse.datasets.scenes.captions import english
from mmcourse.evaluate.captions import bleu, cider_d
from mmcourse.figures.captioning import other_speakers, plain

# Ten captions with references, and what `Cider()` of pycocoevalcap 1.2 gives for them, computed once.
GOLDEN = [
    (
        "a small red star left of a blue box",
        ["a tiny red star is left of a blue square", "a small scarlet star lies to the left of an azure box"],
        2.692860497,
    ),
    (
        "there is a green circle in the middle",
        [
            "there is a green disc in the middle",
            "an emerald circle sits in the middle",
            "a small circle in green is in the middle",
        ],
        3.268074654,
    ),
    (
        "a huge black cross and a tiny white disc",
        ["a huge black cross and a small white circle", "we see a big black cross and a little white disc"],
        4.716502462,
    ),
    (
        "we see a large yellow diamond",
        ["here is a large yellow diamond at the top", "we see a golden rhombus at the top"],
        2.755429547,
    ),
    ("a red red red red star", ["a red star is in the middle"], 1.118341796),
    (
        "look at a purple triangle on the left",
        ["look at a purple triangle on the left", "a violet triangle stands on the left"],
        6.415078326,
    ),
    (
        "a small green box and a small green box besides a star",
        ["a small green box and a star", "there are two things: a green square and a large star"],
        2.053660559,
    ),
    (
        "the picture shows a circle",
        [
            "look at a small purple circle in the top left corner",
            "a disc that is violet and small lies in the top left corner",
        ],
        0.084250673,
    ),
    (
        "an orange square is above a blue star against a plain wall",
        ["an amber box is over a blue star", "a square in orange is higher than an azure star against a plain wall"],
        2.321641879,
    ),
    ("cross", ["a cross that is white and large stands at the bottom", "a white cross"], 0.951063727),
]
SAID, RIGHT, CIDER = (list(column) for column in zip(*GOLDEN, strict=True))


def test_cider_d_equals_the_stored_values_of_pycocoevalcap():
    assert cider_d(SAID, RIGHT) == pytest.approx(CIDER, abs=1e-8)


def test_bleu_equals_the_stored_values_of_pycocoevalcap():
    """Its BLEU-1 to -4 of the same captions; it adds 1e-9 against empty counts."""
    want = [0.7097071289150158, 0.6242495484091195, 0.5310995302894532, 0.45292867915919044]
    assert [bleu(SAID, RIGHT, n) for n in (1, 2, 3, 4)] == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_bleu_equals_sacrebleu(number: int):
    sacrebleu = pytest.importorskip("sacrebleu", reason="extra `reference`: pip install 'mmcourse[reference]'")
    scenes = [world.make(5, index) for index in range(40)]
    references = [[plain(caption) for caption in other_speakers(scene, number)] for scene in scenes]
    said = [plain(english(scene)) for scene in scenes]
    said[3], said[4] = "a red star", said[4] + " besides a red star"  # shorter and longer than any reference
    streams = [list(stream) for stream in zip(*references, strict=True)]
    for n in (1, 2, 4):
        metric = sacrebleu.BLEU(tokenize="none", smooth_method="none", max_ngram_order=n, force=True)
        want = metric.corpus_score(said, streams).score / 100
        assert bleu(said, references, n) == pytest.approx(want, abs=1e-12)


def test_bleu_equals_nltk():
    """Where each text has four words: NLTK counts one n-gram in a text that is too short for any."""
    from nltk.translate.bleu_score import corpus_bleu

    said, right = SAID[:-1], RIGHT[:-1]
    want = corpus_bleu([[other.split() for other in row] for row in right], [text.split() for text in said])
    assert bleu(said, right) == pytest.approx(want, abs=1e-12)


def test_bleu_by_hand():
    """Counts are clipped, precision is of the corpus, and a text that is too short pays."""
    assert bleu(["a a a a"], [["a b c d"]], 1) == 0.25  # the second a finds no partner
    assert bleu(["a a a a"], [["a b c d", "a a c d"]], 1) == 0.5  # the most in any one reference
    assert bleu(["a b"], [["a b c d"]], 1) == pytest.approx(math.exp(1 - 4 / 2))
    assert bleu(["a b c"], [["a b", "a b c d e"]], 1) == 1.0  # the closest length is 2, not 5: no penalty
    assert bleu(["a b c"], [["a b", "a b c d"]], 1) == 1.0  # as near as each other: the shorter
    assert bleu(["a b c d e"], [["a b c d e"]]) == 1.0 and bleu(["a b c"], [["a b c"]]) == 0.0  # no 4-gram
    both = bleu(["a b", "c d e f"], [["a x"], ["c d e f"]], 1)
    assert both == pytest.approx(5 / 6) and both != (1 / 2 + 1) / 2
    assert bleu([""], [["a b"]]) == 0.0


def test_cider_d_by_hand():
    """One picture alone scores 0; a sentence as its only reference has all 10; another length costs."""
    assert cider_d(["a red star"], [["a red star"]]) == [0.0]
    said = ["one two three four five", "six seven eight nine ten"]
    assert cider_d(said, [[text] for text in said]) == pytest.approx([10, 10])
    long = "one two three four five one two three four five"
    first = cider_d([long, said[1]], [[said[0]], [said[1]]])[0]
    assert 0 < first < 10 * math.exp(-25 / 72)  # five bigrams more, and counts are clipped
    assert cider_d(["", said[1]], [[said[0]], [said[1]]])[0] == 0.0


def test_the_perfect_speaker_and_the_liar():
    """The same sentences with two colors exchanged are false, and lose little: what both metrics cannot see."""
    from mmcourse.datasets.scenes.foils import swapped_colors
    from mmcourse.figures.captioning import truth_of

    scenes = [world.make(20_003, index) for index in range(150)]
    references = [[plain(caption) for caption in other_speakers(scene)] for scene in scenes]
    honest = [english(scene) for scene in scenes]
    lying = [english(swapped_colors(scene) or scene) for scene in scenes]
    assert truth_of(honest, scenes)["all_true"] == 1.0
    assert truth_of(lying, scenes)["all_true"] < 0.7
    score = {name: bleu([plain(c) for c in said], references) for name, said in (("yes", honest), ("no", lying))}
    assert 0.38 < score["yes"] < 0.5 and score["no"] > 0.85 * score["yes"]


@pytest.mark.parametrize("metric", [bleu, cider_d])
@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ([], [], "hypotheses: expected one sentence or more, got none"),
        ("a red star", [["a"]], "hypotheses: expected a list of sentences, got one string"),
        (["a"], [["a"], ["b"]], "references: expected a list for each of 1 hypotheses, got 2"),
        (["a"], [[]], r"references\[0\]: expected one sentence or more, got none"),
        (["a", "b"], [["a"], "b"], r"references\[1\]: expected a list of sentences, got one string"),
    ],
)
def test_input_that_does_not_fit_is_refused(metric, hypotheses, references, message: str):
    with pytest.raises(ValueError, match=message):
        metric(hypotheses, references)
