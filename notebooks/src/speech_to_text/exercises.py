"""The forward algorithm, greedy decoding and the word error rate by hand, and the open challenge; PyTorch has a file."""

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.datasets.scenes import captions, world
from mmcourse.datasets.scenes.spoken import spoken_words, transcript
from mmcourse.evaluate.words import edit_distance
from mmcourse.exercise import (
    Array,
    Drawn,
    between,
    challenge,
    context,
    edit,
    example,
    exercise,
    lesson,
    part,
    right,
    says,
)

lesson(
    "speech_to_text",
    promise="The forward algorithm, greedy decoding and the word error rate by hand, a loss that drops what does not fit "
    "and a layer that padding cannot change in PyTorch, and a challenge: read what a bad recognizer heard.",
    uses="NumPy and Python; two PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def text_probability(probs, labels):
    """p(text): the sum over all its paths, by the forward algorithm. probs (t, v), labels (l,) → float."""
    states = np.zeros(2 * len(labels) + 1, int)
    states[1::2] = labels
    alpha = np.zeros(len(states))
    alpha[:2] = probs[0, states[:2]]
    for now in probs[1:]:
        new = alpha.copy()
        new[1:] += alpha[:-1]
        for s in range(3, len(states), 2):
            if states[s] != states[s - 2]:
                new[s] += alpha[s - 2]
        alpha = new * now[states]
    return float(alpha[-2:].sum())


def draw_probs(g, steps, size, text):
    """Probabilities of `steps` steps, and a text of a kind."""
    probs = g.dirichlet(np.ones(size), steps).round(3)
    first, second = g.permutation(np.arange(1, size))[:2]
    labels = {
        "different": [first, second],
        "repeated": [first, first],
        "around": [first, second, first],
        "one": [first],
        "none": [],
        "too long": [first, second] * steps,
    }[text]
    return probs, np.array(labels, int)


def with_skips_everywhere(probs, labels):
    """The answer with one mistake."""
    states = np.zeros(2 * len(labels) + 1, int)
    states[1::2] = labels
    alpha = np.zeros(len(states))
    alpha[:2] = probs[0, states[:2]]
    for now in probs[1:]:
        new = alpha.copy()
        new[1:] += alpha[:-1]
        new[2:] += alpha[:-2]
        alpha = new * now[states]
    return float(alpha[-2:].sum())


def best_path_only(probs, labels):
    """The answer with one mistake."""
    states = np.zeros(2 * len(labels) + 1, int)
    states[1::2] = labels
    alpha = np.zeros(len(states))
    alpha[:2] = probs[0, states[:2]]
    for now in probs[1:]:
        new = alpha.copy()
        new[1:] = np.maximum(new[1:], alpha[:-1])
        for s in range(3, len(states), 2):
            if states[s] != states[s - 2]:
                new[s] = max(new[s], alpha[s - 2])
        alpha = new * now[states]
    return float(alpha[-2:].max())


forward = exercise(
    "speech_to_text.1",
    text_probability,
    title="The forward algorithm",
    points=3,
    difficulty=3,
    minutes=30,
    statement=[
        context(
            r"$$\alpha_t(s) = \bigl(\alpha_{t-1}(s) + \alpha_{t-1}(s-1)\; [+\, \alpha_{t-1}(s-2)]\bigr)\; y_t(\text{state } s)$$"
        ),
        context(
            "`probs` (t, v) are the probabilities of v labels at t steps (not their logarithms). Label 0 is the blank."
        ),
        says(
            "**Write** `text_probability(probs, labels)`: the probability that `labels` is read, the *sum* over all of its "
            "paths.",
            mistake="only the best path",
        ),
        says("The states are the labels with a blank before, between and after them.", mistake="no blanks between"),
        says("A path begins in the first blank or in the first label,", mistake="begins in one state"),
        says("and ends in the last label or in the last blank.", mistake="ends in one state"),
        says(
            "A label may also be entered from the label before it, over the blank between them,", mistake="never skips"
        ),
        says("but not if both are the same label.", mistake="same label twice"),
        says("The empty text has only blanks. A text that does not fit has probability 0.", mistake="empty text"),
        example("""
probs = np.array([[0.6, 0.4], [0.6, 0.4]])
print("the text [1] has three paths: 1 1, 1 0, 0 1:", 0.4 * 0.4 + 0.4 * 0.6 + 0.6 * 0.4)
"""),
    ],
    hints=[
        "`states = [0, l1, 0, l2, 0]`. Keep one row `alpha` with a number per state, and replace it at each step.",
        "A new row: the old one, plus the old one moved by one, plus (for labels that differ from the label two states "
        "before) the old one moved by two; all times `probs[t, states]`.",
    ],
    draw=draw_probs,
    parts=[
        part("two different labels", weight=2, steps=between(4, 6), size=4, text="different"),
        part("the same label twice", weight=2, steps=between(4, 5), size=3, text="repeated"),
        part("a label that comes back", steps=between(5, 7), size=4, text="around"),
        part("one label", steps=between(1, 3), size=3, text="one"),
        part("an empty text", steps=3, size=3, text="none"),
        part("more labels than steps", steps=between(2, 3), size=4, text="too long"),
    ],
    own={"steps": 3, "size": 3, "text": "different"},
    own_says="Probabilities of your own",
    mistakes={
        "This is the probability of only the best path: add up all of them.": best_path_only,
        "Your states have no blanks between the labels.": (
            lambda probs, labels: float(
                text_probability(probs, labels) if not len(labels) else np.prod(probs[: len(labels), labels].diagonal())
            )
        ),
        "A path begins in one state of yours: it may begin with the blank or with the first label.": (
            edit("alpha[:2] = probs[0, states[:2]]", "alpha[:1] = probs[0, states[:1]]")
        ),
        "A path ends in one state of yours: the last label and the last blank both count.": [
            "return float(alpha[-1])",
            "return float(alpha[-2:][0])",
        ],
        "Your path never skips a blank: from one label to another, different one it may.": edit(
            "            if states[s] != states[s - 2]:\n                new[s] += alpha[s - 2]", "            pass"
        ),
        "You skip the blank between the same label twice: then it would be read as one.": edit(
            "if states[s] != states[s - 2]:", "if True:"
        ),
        "Blanks may not be skipped: only a label is entered from two states before.": with_skips_everywhere,
        "The empty text has a probability, too: that of blanks alone.": (
            lambda probs, labels: text_probability(probs, labels) if len(labels) else 1.0
        ),
    },
    praise="PyTorch and Keras do the same with logarithms, for a batch.",
)


@right(forward)
def by_log(probs, labels):
    with np.errstate(divide="ignore"):
        log_probs = np.log(probs)
    states = [0]
    for label in labels:
        states += [int(label), 0]
    row = [log_probs[0, s] if i < 2 else -np.inf for i, s in enumerate(states)]
    for t in range(1, len(probs)):
        new = []
        for i, s in enumerate(states):
            ways = [row[i]]
            if i >= 1:
                ways.append(row[i - 1])
            if i >= 2 and s != 0 and s != states[i - 2]:
                ways.append(row[i - 2])
            new.append(np.logaddexp.reduce(ways) + log_probs[t, s])
        row = new
    return float(np.exp(np.logaddexp.reduce(row[-2:])))


# ---------------------------------------------------------------- 2
def greedy_words(scores, words):
    """The text of the best path: scores (t, v), label 0 is the blank, label i is words[i − 1] → str."""
    path = scores.argmax(axis=1)
    text = []
    previous = 0
    for label in path:
        if label != previous and label != 0:
            text.append(words[label - 1])
        previous = label
    return " ".join(text)


NAMES = "red blue star box left of a the tiny huge".split()


def draw_scores(g, path, number):
    """Scores whose best path is of a kind."""
    words = g.permutation(NAMES)[:number].tolist()
    a, b = (g.permutation(number)[:2] + 1).tolist()
    last = number if number not in (a, b) else a
    labels = {
        "mixed": [0, a, a, 0, b, b, b, 0, 0, a],
        "same word twice": [a, a, 0, a, 0, 0, b],
        "no blank between": [a, a, b, b, last],
        "ends in a word": [0, 0, a, 0, b],
        "only blanks": [0, 0, 0, 0],
        "one step": [b],
    }[path]
    scores = g.normal(size=(len(labels), number + 1)).round(2)
    scores[np.arange(len(labels)), labels] = scores.max(axis=1) + 0.5
    return scores - 4.0, words


def blanks_first(scores, words):
    """The answer with one mistake."""
    kept = [label for label in scores.argmax(axis=1) if label != 0]
    return " ".join(words[label - 1] for i, label in enumerate(kept) if i == 0 or label != kept[i - 1])


greedy = exercise(
    "speech_to_text.2",
    greedy_words,
    title="Read the best path",
    points=2,
    difficulty=1,
    minutes=15,
    statement=[
        context(
            "`scores` (t, v) are log-probabilities of v labels at t steps. Label 0 is the blank, label i is `words[i - 1]`."
        ),
        says(
            "**Write** `greedy_words(scores, words)`. Take the label with the largest score at each step.",
            mistake="largest score",
        ),
        says("Equal labels that follow one another are one word.", mistake="are one word"),
        says("Then take the blanks out", mistake="is no word"),
        says("(in this order: a blank keeps the same word twice apart).", mistake="in this order"),
        says("Return the words as one string, with a space between them.", mistake="one string"),
        says("If there is no word, it is the empty string.", ignored='return " ".join(text) or "<blank>"'),
        example("""
words = ["red", "star"]
scores = np.log([[0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]])
print("best path:", scores.argmax(axis=1), " → red red")
"""),
    ],
    hints=[
        "`scores.argmax(axis=1)` is the best path. Keep the label of the step before in a variable.",
        "A word begins where the label differs from the one before and is not 0. Which word is label 1?",
    ],
    draw=draw_scores,
    parts=[
        part("words and blanks", weight=2, path="mixed", number=between(3, 5)),
        part("the same word twice", weight=2, path="same word twice", number=between(2, 4)),
        part("no blank between two words", path="no blank between", number=3),
        part("a word at the end", path="ends in a word", number=3),
        part("only blanks", path="only blanks", number=2),
        part("one step", path="one step", number=2),
    ],
    own={"path": "same word twice", "number": 2},
    own_says="Scores of your own",
    mistakes={
        "Take the label with the largest score at each step.": "path = scores.argmin(axis=1)",
        "Equal labels that follow one another are one word: yours is said once for each step.": edit(
            "label != previous and label != 0", "label != 0"
        ),
        "The blank is no word: take it out.": (
            lambda scores, words: " ".join(
                (["_", *words])[label]
                for i, label in enumerate(scores.argmax(axis=1))
                if i == 0 or label != scores.argmax(axis=1)[i - 1]
            )
        ),
        "First join equal neighbors, then take the blanks out, in this order: the same word twice has become one.": (
            blanks_first
        ),
        "Label 1 is `words[0]`: yours is off by one.": (
            lambda scores, words: greedy_words(scores, [*words[1:], words[0]])
        ),
        "The words are wanted as one string with a space between them.": [
            'return "".join(text)',
            "return text",
        ],
    },
    praise="One line for each step, and no search at all.",
)


@right(greedy)
def by_pairs(scores, words):
    path = [0, *np.argmax(scores, axis=1).tolist()]
    return " ".join(words[b - 1] for a, b in zip(path, path[1:], strict=False) if b and a != b)


# ---------------------------------------------------------------- 3
def corpus_rate(references, hypotheses):
    """Word error rate of a set of texts: all errors over all words of the references → float."""
    errors = 0
    number = 0
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        said = reference.split()
        heard = hypothesis.split()
        row = list(range(len(heard) + 1))
        for i, word in enumerate(said, 1):
            new = [i]
            for j, other in enumerate(heard, 1):
                new.append(min(row[j - 1] + (word != other), row[j] + 1, new[j - 1] + 1))
            row = new
        errors += row[-1]
        number += len(said)
    return errors / number


def draw_texts(g, kind, number):
    """References and hypotheses with errors of a kind."""
    references, hypotheses = [], []
    for i in range(number):
        said = g.choice(NAMES, int(g.integers(2, 4) if i == 0 else g.integers(4, 8))).tolist()
        heard = list(said)
        if kind in ("substitutions", "mixed"):
            heard[0] = "zebra"
        if kind in ("deletions", "mixed"):
            heard = heard[:-1]
        if kind in ("insertions", "mixed"):
            heard = ["uh", *heard] if i else ["uh", "oh", "uh", *heard]
        if kind == "shifted":  # every word is at another place
            heard = ["well", *said[:-1], "star" if said[-1] != "star" else "box"]
        if kind == "silent" and i == 0:
            heard = []
        if kind == "nothing said" and i == 0:
            said, heard = [], ["uh"]
        references.append(" ".join(said))
        hypotheses.append(" ".join(heard))
    return references, hypotheses


def mean_of_rates(references, hypotheses):
    """The answer with one mistake."""
    rates = [
        edit_distance(a.split(), b.split()) / max(len(a.split()), 1)
        for a, b in zip(references, hypotheses, strict=True)
    ]
    return float(np.mean(rates))


def by_place(references, hypotheses):
    """The answer with one mistake."""
    errors = number = 0
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        said, heard = reference.split(), hypothesis.split()
        errors += sum(a != b for a, b in zip(said, heard, strict=False)) + abs(len(said) - len(heard))
        number += len(said)
    return errors / number


def in_letters(references, hypotheses):
    """The answer with one mistake."""
    errors = sum(edit_distance(list(a), list(b)) for a, b in zip(references, hypotheses, strict=True))
    return errors / sum(map(len, references))


rate = exercise(
    "speech_to_text.3",
    corpus_rate,
    title="The word error rate of a corpus",
    points=3,
    difficulty=2,
    minutes=25,
    statement=[
        context(
            "`references` are the texts that were said, `hypotheses` those that were written, as lists of strings."
        ),
        says(
            "**Write** `corpus_rate(references, hypotheses)`. Words are what stands between spaces.", mistake="letters"
        ),
        says(
            "The errors of a pair are the fewest insertions, deletions and substitutions that turn one into the other "
            "(the edit distance, not a comparison place by place).",
            mistake="place by place",
        ),
        says("Each of the three counts 1.", mistake="counts 1"),
        says("Divide the sum of all errors by the number of all words,", mistake="mean of the rates"),
        says("those of the references.", mistake="words of the references"),
        says(
            "The result may be above 1, and a single empty reference is no problem.",
            mistake="may be above 1",
        ),
        example("""
said = ["stop", "a red star is here"]
heard = ["please do stop", "a red star was here"]
print("errors 2 and 1; words 1 and 5:", (2 + 1) / (1 + 5))
"""),
    ],
    hints=[
        "Edit distance: a table `d[i][j]` for the first i words of one and the first j of the other. What are its first row "
        "and column?",
        "`d[i][j] = min(d[i-1][j-1] + (a != b), d[i-1][j] + 1, d[i][j-1] + 1)`. Add up `d[m][n]` and m over all pairs, then "
        "divide once.",
    ],
    draw=draw_texts,
    parts=[
        part("substitutions", kind="substitutions", number=between(2, 3)),
        part("words left out", kind="deletions", number=2),
        part("words too many", weight=2, kind="insertions", number=between(2, 3)),
        part("all kinds", weight=2, kind="mixed", number=2),
        part("everything one place later", kind="shifted", number=2),
        part("nothing written", kind="silent", number=2),
        part("nothing said in one of them", kind="nothing said", number=2),
        part("one pair with many insertions", kind="insertions", number=1),
    ],
    own={"kind": "mixed", "number": 2},
    own_says="Texts of your own",
    mistakes={
        "This is the mean of the rates of single texts: add up errors and words first, divide once.": mean_of_rates,
        "These are errors of letters: compare words.": in_letters,
        "You compare place by place: after one inserted word everything would be wrong.": by_place,
        "A substitution counts 1, not 2.": edit("(word != other)", "2 * (word != other)"),
        "Insertions count, too: 1 each.": edit(", new[j - 1] + 1))", ", new[j - 1]))"),
        "Deletions count, too: 1 each.": edit("row[j] + 1,", "row[j],"),
        "Divide by the number of words of the references, not of what was written.": edit(
            "number += len(said)", "number += len(heard)"
        ),
        "An error rate may be above 1: do not cut it off.": "return min(errors / number, 1.0)",
    },
    praise="The same number as jiwer's.",
)


@right(rate)
def by_table(references, hypotheses):
    total, words = 0, 0
    for a, b in zip(references, hypotheses, strict=True):
        a, b = a.split(), b.split()
        d = np.zeros((len(a) + 1, len(b) + 1))
        d[:, 0], d[0] = range(len(a) + 1), range(len(b) + 1)
        for i in range(len(a)):
            for j in range(len(b)):
                d[i + 1, j + 1] = min(d[i, j] + (a[i] != b[j]), d[i, j + 1] + 1, d[i + 1, j] + 1)
        total, words = total + d[-1, -1], words + len(a)
    return float(total / words)


# ---------------------------------------------------------------- the lesson's blanks
def without_repeats(path):
    return [label for i, label in enumerate(path) if i == 0 or label != path[i - 1]]


@blank(
    "speech_to_text.blank.1",
    title="Collapse",
    inputs=[([0, 1, 1, 0, 2],), ([1, 1, 0, 1, 2, 2],), ([0, 0],), ([3, 3, 3],), ([],), ([1, 2, 1],)],
    mistakes=[
        (
            lambda path: without_repeats([label for label in path if label]),
            "You take the blanks out first: then the blank between two equal words no longer keeps them apart.",
        ),
        (lambda path: [p for p in path if p], "Equal neighbors are still there: they are one word."),
        (
            lambda path: without_repeats(path),
            "Blanks are still there: take out every 0.",
        ),
        (
            lambda path: list(dict.fromkeys(p for p in path if p)),
            "A word may come again later: only *neighbors* become one.",
        ),
    ],
)
def collapse(path):
    text = []
    previous = None
    for label in path:
        if label != previous and label != 0:
            text.append(label)
        previous = label
    return text


def rows_of_alpha():
    rng = np.random.default_rng(0)
    for labels in ([1, 2], [1, 1], [2, 1, 2], [3]):
        states = np.zeros(2 * len(labels) + 1, int)
        states[1::2] = labels
        alpha = rng.random(len(states)).round(2)
        yield alpha, rng.dirichlet(np.ones(4)).round(3), states


def next_row_with(alpha, now, states, *, skip="right", emit=True, best=False):
    add = np.maximum if best else np.add
    new = alpha.copy()
    new[1:] = add(new[1:], alpha[:-1])
    for s in range(2, len(states)):
        allowed = {
            "right": states[s] != 0 and states[s] != states[s - 2],
            "never": False,
            "always": True,
            "repeats": states[s] != 0,
        }[skip]
        if allowed:
            new[s] = add(new[s], alpha[s - 2])
    return new * now[states] if emit else new


@blank(
    "speech_to_text.blank.2",
    title="One step of the forward algorithm",
    inputs=rows_of_alpha,
    mistakes=[
        (
            lambda *a: next_row_with(*a, skip="never"),
            "From one label to the next, different one a path may skip the blank.",
        ),
        (
            lambda *a: next_row_with(*a, skip="always"),
            "Blanks are not skipped into: only a label is entered from two before.",
        ),
        (lambda *a: next_row_with(*a, skip="repeats"), "Between two equal labels the blank may not be skipped."),
        (lambda *a: next_row_with(*a, emit=False), "Multiply by the probability of each state's label at this step."),
        (
            lambda *a: next_row_with(*a, best=True),
            "Ways are added up, not compared: the largest alone is another algorithm.",
        ),
    ],
)
def next_row(alpha, now, states):
    return next_row_with(alpha, now, states)


@blank(
    "speech_to_text.blank.3",
    title="How many steps does a text need?",
    inputs=[("star",), ("yellow",), ("a tiny green box",), ("aaa",), ("a",), ("",), ("see all",)],
    mistakes=[
        (lambda text: len(text), "Two equal neighbors need a blank between them: one step more for each pair."),
        (
            lambda text: 2 * len(text) + 1,
            "Blanks are only *needed* between equal neighbors; elsewhere they may be left out.",
        ),
        (
            lambda text: len(text) + len(text) - len(set(text)),
            "Only *neighbors* that are equal need a blank between them, not letters that come again later.",
        ),
    ],
)
def steps_needed(text):
    repeats = sum(a == b for a, b in zip(text, text[1:], strict=False))
    return len(text) + repeats


def cells():
    rng = np.random.default_rng(1)
    for _ in range(4):
        corner, above, left = rng.integers(0, 6, 3).tolist()
        yield corner, above, left, True
        yield corner, above, left, False
    yield 3, 3, 3, True


@blank(
    "speech_to_text.blank.4",
    title="One cell of the edit distance",
    inputs=cells,
    mistakes=[
        (
            lambda c, a, left, same: min(c, a, left) + (not same),
            "Only on the diagonal an equal word is free; the other two ways always cost 1.",
        ),
        (lambda c, a, left, same: min(c + 2 * (not same), a + 1, left + 1), "A substitution costs 1."),
        (
            lambda c, a, left, same: min(c + (not same), a + 1),
            "There are three ways to come here: also from the left, an insertion.",
        ),
        (lambda c, a, left, same: min(c + same, a + 1, left + 1), "The other way round: equal words cost nothing."),
    ],
)
def cell(corner, above, left, same):
    return min(corner + (not same), above + 1, left + 1)


# ---------------------------------------------------------------- challenge
WORDS = spoken_words()
NUM_TEXTS, NUM_STEPS, LONGEST = 100, 64, 26


def mishear(labels, rng, strength=3.4):
    """Log-probabilities (NUM_STEPS, words + 1) of a recognizer that is often unsure: a step or two for each word."""
    logits = rng.normal(size=(NUM_STEPS, len(WORDS) + 1))
    logits[:, 0] += 4.5
    steps = np.sort(rng.choice(NUM_STEPS - 1, len(labels), replace=False))
    for step, label in zip(steps, labels, strict=True):
        logits[step, 0] -= 5.0
        logits[step, label] += strength + rng.normal() * 0.8
        if rng.random() < 0.3 and step + 1 not in steps:
            logits[step + 1] = logits[step] + rng.normal(size=len(WORDS) + 1) * 0.3
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def draw_challenge(g):
    seed = int(g.integers(1, 1 << 31))
    number = {word: i + 1 for i, word in enumerate(WORDS)}
    rows, index = [], 0
    while len(rows) < NUM_TEXTS + 2000:
        text = transcript(captions.english(world.make(seed, index))).split()
        index += 1
        if len(text) <= LONGEST:
            rows.append([number[word] for word in text])
    rng = np.random.default_rng(g.integers(1 << 31))
    scores = np.stack([mishear(row, rng) for row in rows[:NUM_TEXTS]]).astype(np.float32)
    padded = np.zeros((len(rows), LONGEST), np.int16)
    for line, row in zip(padded, rows, strict=True):
        line[: len(row)] = row
    inputs = {"log_probs": scores, "other_texts": padded[NUM_TEXTS:]}
    return Drawn(inputs, padded[:NUM_TEXTS])


def words_right(arrays, inputs, hidden):
    """1 − word error rate."""
    errors = number = 0
    for written, said in zip(arrays["texts"], hidden, strict=True):
        reference = said[said > 0].tolist()
        errors += edit_distance(reference, written[written > 0].tolist())
        number += len(reference)
    return max(0.0, 1 - errors / number)


challenge(
    "speech_to_text.challenge",
    title="What did they say?",
    statement=[
        f"A recognizer heard {NUM_TEXTS} captions, badly. `log_probs` (100, {NUM_STEPS}, {len(WORDS) + 1}) is what it says of "
        "the blank (label 0) and of each word at each step; label i is `mmcourse.datasets.scenes.spoken.spoken_words()[i - 1]`. "
        "`other_texts` are 2,000 captions of the same grammar, as labels, padded with 0.",
        f"Write what was said: `texts`, whole numbers (100, {LONGEST}), padded with 0 at the end.",
        "The score is 1 minus the word error rate. Greedy decoding reaches about 0.58. Beat it with what you know of "
        "sentences.",
    ],
    draw=draw_challenge,
    score=words_right,
    hand_in={"texts": Array((NUM_TEXTS, LONGEST), "integer")},
    to_beat=0.7,
    points_by_score={0.7: 1, 0.85: 2, 0.92: 3},
    minutes=60,
    score_name="1 − word error rate",
)
