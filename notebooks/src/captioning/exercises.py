"""One beam-search step, corpus BLEU, a choice among three reports, a blank on top p and the open challenge; the exercises in PyTorch are in their own file."""

import math
from collections import Counter

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.datasets import vocabulary
from mmcourse.datasets.scenes import foils, world
from mmcourse.datasets.scenes.drawing import draw as draw_scene
from mmcourse.exercise import (
    Array,
    Drawn,
    between,
    challenge,
    context,
    edit,
    example,
    exercise,
    in_turn,
    lesson,
    one_of,
    paragraph,
    part,
    right,
    says,
)

lesson(
    "captioning",
    promise="One step of beam search, a loss that rewards truth, a decoding step with a cache, corpus BLEU, a choice among three reports, and a challenge: "
    "the judge of left and right that the lesson's model is not.",
    uses="NumPy and Python; two PyTorch",
    setup="""
import math
from collections import Counter

import numpy as np
import torch
from torch.nn import functional as F

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def beam_step(log_probs, scores, lengths, finished, alpha):
    """The best continuations of all beams: (parent, piece) rows, the best first."""
    num_beams, size = log_probs.shape
    totals = scores[:, None] + log_probs  # (beams, size)
    totals[finished] = -np.inf
    totals[finished, 0] = scores[finished]  # a finished beam stays, with padding behind it
    new_lengths = lengths + ~finished
    penalty = ((5 + new_lengths) / 6) ** alpha
    ranking = (totals / penalty[:, None]).ravel()
    best = np.argsort(-ranking, kind="stable")[:num_beams]
    return np.stack([best // size, best % size], axis=1)


def draw_beams(g, beams, size, alpha, ended):
    logits = 2 * g.normal(size=(beams, size))
    log_probs = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).round(3)
    scores = -(4 + 2 * g.random(beams)).round(3)
    lengths = g.integers(3, 9, beams)
    finished = np.zeros(beams, dtype=bool)
    if ended:
        finished[g.choice(beams, min(ended, beams), replace=False)] = True
        scores[finished] += 2.5  # it is among the best
    return log_probs, scores, lengths, finished, alpha


beam = exercise(
    "captioning.1",
    beam_step,
    title="One step of beam search",
    points=3,
    difficulty=3,
    minutes=20,
    statement=[
        context("Beam search keeps several beginnings of a text at once. Here is one of its steps, for one picture."),
        says(
            "**Write** `beam_step(log_probs, scores, lengths, finished, alpha)`. `log_probs` (beams, size) are ln p of each "
            "next piece; `scores` (beams,) are ln p of each beam so far, and a continuation adds the two.",
            mistake="score of the beam itself",
        ),
        says("A beam that is `finished` has one continuation only: piece 0, with its old score.", mistake="goes on"),
        says(
            "Rank continuations by their sum divided by ((5 + length) / 6) to the power of `alpha`.",
            mistake="divided by nothing",
        ),
        says("`lengths` (beams,) counts pieces so far; a continuation has one more,", mistake="old lengths"),
        says("but a finished beam does not grow.", mistake="finished beam grows"),
        says("Keep as many as there are beams, the best of *all* continuations:", mistake="best of each beam"),
        says(
            "return integers (beams, 2), the best first: which beam each continues, and with which piece.",
            mistake="the other way round",
        ),
        example("""
log_probs = np.log(np.array([[0.1, 0.6, 0.3], [0.2, 0.7, 0.1]]))
scores = np.array([-1.0, -9.0])  # the second beam is far behind: both of the best continue the first
print((scores[:, None] + log_probs).round(2))
"""),
    ],
    hints=[
        "A table (beams, size) of all sums, flattened, has every continuation of every beam in it. How do you get from a "
        "position in the flat array back to beam and piece? What must the row of a finished beam look like?",
        "Set the row of a finished beam to −inf, and its first entry to the old score. `position // size` is the beam, "
        "`position % size` the piece.",
    ],
    draw=draw_beams,
    parts=[
        part("no beam has ended", beams=between(2, 4), size=6, alpha=0.0, ended=0),
        part("one has ended", weight=2, beams=4, size=between(4, 6), alpha=0.0, ended=1),
        part("a length penalty", beams=3, size=5, alpha=one_of(0.6, 1.0), ended=0),
        part("ended, and a length penalty", weight=2, beams=between(4, 5), size=6, alpha=1.0, ended=2),
        part("one beam", beams=1, size=7, alpha=0.7, ended=0),
        part("all have ended", beams=3, size=4, alpha=0.5, ended=3),
    ],
    own={"beams": 2, "size": 3, "alpha": 0.0, "ended": 0},
    own_says="Beams of your own",
    mistakes={
        "The score of the beam itself is missing: add `scores` to each row.": "totals = 0 * scores[:, None] + log_probs",
        "A finished beam goes on: it must stay as it is.": edit(
            "totals[finished] = -np.inf", "pass", "totals[finished, 0] = scores[finished]", "pass"
        ),
        "The sums are divided by nothing: a longer text has a smaller ln p, and always loses.": "penalty = 1.0 + 0 * lengths",
        "You divided by the old lengths: a continuation has one piece more.": "new_lengths = lengths",
        "Your finished beam grows: its length stays.": "new_lengths = lengths + 1",
        "You took the best of each beam: compare all continuations of all beams.": (
            lambda log_probs, scores, lengths, finished, alpha: np.stack(
                [np.arange(len(scores)), np.where(finished, 0, log_probs.argmax(axis=1))], axis=1
            )
        ),
        "Beam and piece are the other way round.": "return np.stack([best % size, best // size], axis=1)",
        "The worst comes first: sort from the largest down.": 'best = np.argsort(ranking, kind="stable")[-num_beams:]',
    },
    praise="With this step, every translation system of the last decade wrote its sentences.",
)


@right(beam)
def by_list(log_probs, scores, lengths, finished, alpha):
    found = []
    for row, (score, length, ended) in enumerate(zip(scores, lengths, finished, strict=True)):
        pieces = [0] if ended else range(log_probs.shape[1])
        for piece in pieces:
            total = score if ended else score + log_probs[row, piece]
            size = length if ended else length + 1
            found.append((-total / ((5 + size) / 6) ** alpha, row, piece))
    return np.array([[row, piece] for _, row, piece in sorted(found)[: len(scores)]])


# ---------------------------------------------------------------- 4
def corpus_bleu(hypotheses, references, max_n):
    """Clipped precision of the whole corpus and the brevity penalty, for lists of words."""
    matches, totals = [0] * max_n, [0] * max_n
    length, reference_length = 0, 0
    for words, right_ones in zip(hypotheses, references, strict=True):
        length += len(words)
        reference_length += min((abs(len(other) - len(words)), len(other)) for other in right_ones)[1]
        for n in range(1, max_n + 1):
            counts = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
            most = Counter()
            for other in right_ones:
                most |= Counter(tuple(other[i : i + n]) for i in range(len(other) - n + 1))
            matches[n - 1] += sum((counts & most).values())
            totals[n - 1] += sum(counts.values())
    if min(matches) == 0:
        return 0.0
    precision = math.exp(sum(math.log(m / t) for m, t in zip(matches, totals, strict=True)) / max_n)
    brevity = math.exp(min(0, 1 - reference_length / length))
    return precision * brevity


WORDS = "a red blue star box and".split()


def draw_sentences(g, texts, several, max_n, repeat, short):
    hypotheses, references = [], []
    for _ in range(texts):
        n = int(g.integers(5, 9))
        words = [WORDS[i] for i in g.integers(0, len(WORDS), n)]
        right_ones = []
        for _ in range(several):
            other = list(words)
            for _ in range(2):
                other[int(g.integers(n))] = WORDS[int(g.integers(len(WORDS)))]
            cut = int(g.integers(0, 3))  # shorter, or longer
            more = [WORDS[i] for i in g.integers(0, len(WORDS), int(g.integers(0, 4)))]
            right_ones.append(other[: n - cut] + more)
        if repeat:
            words = words + [words[0]] * 3
        hypotheses.append(words[: len(words) - 2] if short else words)
        references.append(right_ones)
    return hypotheses, references, max_n


bleu = exercise(
    "captioning.4",
    corpus_bleu,
    title="BLEU of a corpus",
    points=3,
    difficulty=3,
    minutes=25,
    statement=[
        says(
            "**Write** `corpus_bleu(hypotheses, references, max_n)`. `hypotheses` is a list of sentences, each a list of "
            "words; `references` has for each of them a list of right sentences. For each n from 1 to `max_n`: how many of "
            "the n-grams of the hypotheses are also in a reference?",
            mistake="words only",
        ),
        says(
            "An n-gram counts at most as often as it occurs in the one reference that has it most often.",
            mistake="not clipped",
        ),
        says(
            "Add matches and n-grams up over all sentences before you divide: p_n = matches / n-grams.",
            mistake="mean over sentences",
        ),
        says("Take the geometric mean of the p_n (0.0 if one of them is 0),", mistake="arithmetic mean"),
        says(
            "times the brevity penalty e^min(0, 1 − r/c): c words in all hypotheses, r in the references,",
            mistake="no brevity penalty",
        ),
        says(
            "where each sentence takes the reference whose length is nearest to its own, of two as near the shorter.",
            mistake="shortest reference",
        ),
    ],
    hints=[
        "`Counter` counts n-grams as tuples. Which operator takes the smaller of two counts, which the larger?",
        "`counts & most` clips; `most |= other` keeps the larger count. Only logarithms are averaged: "
        "`math.exp(sum(math.log(p)) / max_n)`.",
    ],
    draw=draw_sentences,
    parts=[
        part("words only, one reference", texts=between(2, 4), several=1, max_n=1, repeat=False, short=False),
        part("several references", texts=3, several=between(2, 3), max_n=2, repeat=False, short=False),
        part("a word too often", weight=2, texts=3, several=2, max_n=1, repeat=True, short=False),
        part("sentences that are too short", weight=2, texts=4, several=2, max_n=2, repeat=False, short=True),
        part("up to three words", texts=5, several=3, max_n=3, repeat=False, short=False),
    ],
    own={"texts": 1, "several": 1, "max_n": 1, "repeat": False, "short": False},
    own_says="Sentences of your own",
    mistakes={
        "You counted words only: n goes up to `max_n`.": (
            lambda hypotheses, references, max_n: corpus_bleu(hypotheses, references, 1)
        ),
        "The counts are not clipped: “a a a a” would be perfect.": (
            "matches[n - 1] += sum(count for gram, count in counts.items() if gram in most)"
        ),
        "You took the arithmetic mean of the precisions: take the geometric one.": (
            "precision = sum(m / t for m, t in zip(matches, totals, strict=True)) / max_n"
        ),
        "There is no brevity penalty: a text of one right word would be perfect.": "brevity = 1.0",
        "You took the shortest reference: take the one whose length is nearest.": (
            "reference_length += min(len(other) for other in right_ones)"
        ),
        "You took the mean over sentences: add up counts first.": (
            lambda hypotheses, references, max_n: (
                sum(corpus_bleu([h], [r], max_n) for h, r in zip(hypotheses, references, strict=True)) / len(hypotheses)
            )
        ),
        "References are added up: an n-gram counts as often as in *one* of them.": edit(
            "most |= Counter", "most += Counter"
        ),
    },
    praise="It is the score of a thousand papers; in the lesson a liar scores nearly as well as an honest speaker.",
)


@right(bleu)
def by_sets(hypotheses, references, max_n):
    def grams(words, n):
        return list(zip(*(words[i:] for i in range(n)), strict=False))

    log_sum = 0.0
    for n in range(1, max_n + 1):
        hit = total = 0
        for words, right_ones in zip(hypotheses, references, strict=True):
            mine = grams(words, n)
            total += len(mine)
            hit += sum(
                min(mine.count(gram), max(grams(other, n).count(gram) for other in right_ones)) for gram in set(mine)
            )
        if not hit:
            return 0.0
        log_sum += math.log(hit) - math.log(total)
    c = sum(map(len, hypotheses))
    r = 0
    for words, right_ones in zip(hypotheses, references, strict=True):
        r += sorted(map(len, right_ones), key=lambda size: (abs(size - len(words)), size))[0]
    return math.exp(log_sum / max_n) * (1 if c >= r else math.exp(1 - r / c))


# ---------------------------------------------------------------- 5
def choose(bleu, cider, statements, true, n):
    """Return the number of the captioner to choose, or -1 where the lead is not clear, and its lead."""
    says_enough = statements >= 0.9
    share = np.where(says_enough, true / n, -1.0)
    first, second = np.argsort(-share, kind="stable")[:2]
    lead = share[first] - share[second]
    noise = share[first] * (1 - share[first]) + share[second] * (1 - share[second])
    clear = lead > 1.96 * np.sqrt(noise / n)
    choice = first if clear else -1
    return int(choice), lead


def draw_captioners(g, gap, silent=False, border=False):
    """Three reports or more; the truest that says enough leads by `gap` times the error, another has the largest BLEU."""
    n, k = int(g.integers(300, 1001)), int(g.integers(3, 6))
    best = g.uniform(0.8, 0.96)
    second = best - gap * 1.96 * math.sqrt(2 * best * (1 - best) / n)
    shares = np.array([best, second, *(second - g.uniform(0.03, 0.3, k - 2))])
    statements = g.uniform(0.93, 1.07, k).round(2)
    if silent:  # the third is the truest, because it says less
        shares[2] = best + g.uniform(0.02, 0.039)
        statements[2] = round(g.uniform(0.4, 0.85), 2)
    if border:
        statements[0] = 0.9
    true = np.round(shares * n).astype(int)
    bleu, cider = np.sort(g.uniform(0.3, 0.45, k).round(3)), np.sort(g.uniform(1.5, 2.5, k).round(2))
    bleu[1:], cider[1:] = g.permutation(bleu[1:]), g.permutation(cider[1:])  # the truest has the smallest
    order = g.permutation(k)
    return bleu[order], cider[order], statements[order], true[order], n


LESSON_REPORT = (np.array([0.43, 0.37, 0.42]), np.array([2.1, 2.0, 1.9]), np.ones(3), np.array([199, 0, 200]), 200)

reports = exercise(
    "captioning.5",
    choose,
    title="Which captioner would you choose?",
    points=2,
    difficulty=2,
    minutes=12,
    statement=[
        context(
            "Several captioners have described the same `n` pictures. The report has four numbers of each, as arrays (k,): "
            "`bleu`, `cider` (CIDEr-D), `statements` (facts in a caption, as a multiple of what the grammar states: 1 is as "
            "many), and `true` (how many of its n captions are wholly true)."
        ),
        paragraph(),
        says("- BLEU and CIDEr-D compare words with references. They do not decide.", mistake="chose by BLEU"),
        says("- Nor does the one win that says most,", mistake="chose the one that says most"),
        says(
            "but a captioner with `statements` below 0.9 is out: who says little is seldom wrong.",
            mistake="leaves facts out",
        ),
        says("(Exactly 0.9 is still in. At least two are always in.)", mistake="Exactly 0.9"),
        says("- Of those that are in, the one with the largest share of true captions is ahead.", mistake="least true"),
        says("- Its *lead* is its share minus that of the next best that is in.", mistake="lead over the third"),
        says(
            r"- The lead is clear if it is larger than $1.96 \sqrt{(p_1 (1 - p_1) + p_2 (1 - p_2)) / n}$, where $p_1$ and "
            "$p_2$ are these two shares.",
            mistake="Another test could turn",
        ),
        context(
            "(The formula takes the captioners' mistakes as independent. On the same pictures they often share them, so it "
            "is careful; with the captions at hand you would compare pair by pair.)"
        ),
        paragraph(),
        says(
            "**Write** `choose(bleu, cider, statements, true, n)`. Return the number of the captioner that is ahead, counted "
            "from 0,",
            mistake="always undecided",
        ),
        says("or -1 where its lead is not clear;", mistake="Another test could turn"),
        says("and the lead, as a share, whatever the choice is.", mistake="number of captions"),
        example("""
true, n = np.array([199, 0, 200]), 200
print((true / n).round(3))  # of three speakers in the lesson; the second is the liar
"""),
    ],
    hints=[
        "Which of the four arrays decide, and which only tempt? Give a captioner that is out a share that can never be ahead.",
        "`share = np.where(statements >= 0.9, true / n, -1.0)`, then `np.argsort(-share)[:2]` are the first and the second.",
    ],
    draw=draw_captioners,
    parts=[
        part("a clear lead", weight=2, gap=one_of(1.6, 2.2, 3.0)),
        part("a lead that may be luck", weight=2, gap=one_of(0.2, 0.5, 0.8)),
        part("one says little", weight=2, gap=one_of(1.6, 2.2, 3.0), silent=True),
        part("one says little, and a lead that may be luck", gap=one_of(0.2, 0.5, 0.8), silent=True),
        part("exactly 0.9", gap=one_of(1.6, 2.2, 3.0), silent=one_of(True, False), border=True),
        part("near the line", gap=in_turn(0.8, 1.25)),
        part("three speakers of the lesson", public_only=True, inputs=[LESSON_REPORT]),
    ],
    own={"gap": 2.0},
    own_says="A report of your own",
    mistakes={
        "You chose by BLEU. It compares words with references: a false word costs it as little as an unusual one.": (
            "first, second = np.argsort(-np.where(says_enough, bleu, -1.0), kind='stable')[:2]"
        ),
        "You chose by CIDEr-D. It compares words with references, and rare words cost it more than false ones.": (
            "first, second = np.argsort(-np.where(says_enough, cider, -1.0), kind='stable')[:2]"
        ),
        "You chose the one that says most. How much is said only decides who is out.": (
            "first, second = np.argsort(-statements, kind='stable')[:2]"
        ),
        "You kept a captioner that leaves facts out: below 0.9 it is out, however true it is.": "share = true / n",
        "Exactly 0.9 is still in.": "says_enough = statements > 0.9",
        "You took the least true. The largest share is ahead.": (
            "first, second = np.argsort(np.where(says_enough, true / n, 2.0), kind='stable')[:2]"
        ),
        "This is the lead over the third. Take the next best that is in.": edit("[:2]", "[[0, 2]]"),
        "Another test could turn this lead around: where it is not larger than the error, the answer is -1.": (
            "clear = True"
        ),
        "Your answer is always undecided. A lead that is larger than its error is a reason to choose.": "clear = False",
        "Your error leaves out one of the two shares: both could have come out otherwise.": (
            "noise = share[first] * (1 - share[first])"
        ),
        "Your lead is a number of captions: divide by n.": "return int(choice), lead * n",
        "Your lead is 0 where you choose none. It is wanted whatever the choice is.": (
            "return int(choice), lead if clear else 0.0"
        ),
    },
    praise="Truth first, with how much is said beside it and an error behind it: then the tempting numbers have no vote.",
    names=("choice", "lead"),
)


@right(reports)
def by_sorting(bleu, cider, statements, true, n):
    ranked = sorted(
        ((t / n, -k) for k, (t, s) in enumerate(zip(true, statements, strict=True)) if s >= 0.9), reverse=True
    )
    (p, place), (q, _) = ranked[:2]
    if (p - q) ** 2 * n > 1.96**2 * (p * (1 - p) + q * (1 - q)):
        return -place, p - q
    return -1, p - q


# ---------------------------------------------------------------- an open challenge
NUM_PAIRS, LONGEST = 200, 64


def draw_judgments(g):
    """Pictures with two captions each, alike but for left and right, as token ids; which of them is true is hidden."""
    found, index = [], 0
    seed = int(g.integers(1 << 40, 1 << 50))  # far from every seed of the course
    while len(found) < NUM_PAIRS:
        scene = world.make(seed, index)
        found += [(scene, foil) for foil in foils.fair_foils([scene], "relation")]
        index += 1
    is_second = g.integers(0, 2, NUM_PAIRS)
    images = np.stack([draw_scene(scene) for scene, _ in found])
    captions = np.full((NUM_PAIRS, 2, LONGEST), vocabulary.PAD)
    for row, (_, foil) in enumerate(found):
        pair = (foil.foil, foil.caption) if is_second[row] else (foil.caption, foil.foil)
        for place, text in enumerate(pair):
            ids = vocabulary.encode(text)
            captions[row, place, : len(ids)] = ids
    return Drawn({"images": images, "captions": captions}, is_second)


def share_judged(handed_in, inputs, is_second):
    """Share of the pairs whose true caption was found."""
    return np.mean(handed_in["true"] == is_second)


challenge(
    "captioning.challenge",
    title="Who is on the left?",
    statement=[
        "The lesson's captioner cannot tell left from right. Build a judge that can. `images` (200, 64, 64, 3), uint8, are",
        "pictures; `captions` (200, 2, 64) are two captions of each as token ids, padded with 0:",
        "`vocabulary.decode(captions[0, 1])` is one as text (`from mmcourse.datasets import vocabulary`). They differ in left",
        "and right only. Exactly one is true: hand in `true`, integers (200,), 0 or 1. Any way is welcome: a small network on",
        "the grid of features, trained on scenes that you draw yourself (`mmcourse.datasets.scenes`), the captioner trained",
        "further, or a program that looks for colors. The larger likelihood by the shipped captioner finds about half.",
    ],
    draw=draw_judgments,
    score=share_judged,
    hand_in={"true": Array((NUM_PAIRS,), "integer")},
    to_beat=0.75,
    points_by_score={0.75: 1, 0.9: 2, 0.97: 3},
    minutes=90,
    score_name="share judged rightly",
)


# ---------------------------------------------------------------- the lesson's blanks
@blank(
    "captioning.blank.4",
    title="Top p",
    inputs=[
        (np.array([0.1, 0.5, 0.15, 0.25]), 0.6),
        (np.array([0.7, 0.2, 0.1]), 0.5),
        (np.array([0.05, 0.05, 0.3, 0.35, 0.25]), 0.85),
        (np.array([0.25, 0.75]), 1.0),
    ],
    mistakes=[
        (
            lambda p, top_p: np.where(p >= 1 - top_p, p, 0) / np.where(p >= 1 - top_p, p, 0).sum(),
            "This is a threshold for each piece: add up from the largest down until `top_p` is reached.",
        ),
        (
            lambda p, top_p: nucleus_with(p, top_p, crossing=False),
            "The piece that crosses `top_p` belongs to the nucleus.",
        ),
        (lambda p, top_p: nucleus_with(p, top_p, scale=False), "What is left must sum to 1: divide by its sum."),
    ],
)
def nucleus(p, top_p):
    order = np.argsort(-p, kind="stable")
    before = np.cumsum(p[order]) - p[order]
    kept = np.zeros(len(p))
    inside = order[before < top_p]
    kept[inside] = p[inside]
    return kept / kept.sum()


def nucleus_with(p, top_p, crossing=True, scale=True):
    """The blank's answer with one mistake."""
    order = np.argsort(-p, kind="stable")
    sums = np.cumsum(p[order])
    inside = order[(sums - p[order] if crossing else sums) < top_p]
    inside = inside if len(inside) else order[:1]
    kept = np.zeros(len(p))
    kept[inside] = p[inside]
    return kept / kept.sum() if scale else kept
