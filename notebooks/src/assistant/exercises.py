"""Word errors, refusing by cost and marginalizing by hand, the lesson's blanks, and the open challenge; PyTorch has a file."""

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.datasets import helpdesk
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
    "assistant",
    promise="Word errors of raw transcripts, refusing by cost and marginalizing over hypotheses by hand, a masked mean of "
    "embeddings and a loss over hypotheses in PyTorch, and a challenge: noisy callers, with a price for each refusal.",
    uses="NumPy; two PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def word_errors_of(references, hypotheses):
    """WER of raw texts, and the share of sentences with an error."""
    errors = 0
    words = 0
    spoiled = 0
    marks = str.maketrans("", "", ".,!?")
    for reference, hypothesis in zip(references, hypotheses):  # noqa: B905
        said = reference.lower().translate(marks).split()
        heard = hypothesis.lower().translate(marks).split()
        row = list(range(len(heard) + 1))
        for i, word in enumerate(said, 1):
            above = row
            row = [i]
            for j, other in enumerate(heard, 1):
                substituted = above[j - 1] + (word != other)
                deleted = above[j] + 1
                inserted = row[j - 1] + 1
                row.append(min(substituted, deleted, inserted))
        found = row[-1]
        errors = errors + found
        words = words + len(said)
        spoiled = spoiled + (found > 0)
    wer = errors / words
    return wer, spoiled / len(references)


def draw_transcripts(g, n, kind):
    """Sentences of the helpdesk and what was written of them."""
    said = [s.text for s in helpdesk.grammar.draw(n, np.random.default_rng(int(g.integers(1 << 30))))]
    words = helpdesk.grammar.vocabulary()
    heard = []
    for text in said:
        row = text.split()
        if kind == "equal" or (kind == "changed" and g.random() < 0.3):
            heard.append(text)
            continue
        for _ in range(int(g.integers(1, 3))):
            place = int(g.integers(len(row)))
            way = {"inserted": 1, "long": 1}.get(kind, int(g.integers(3)))
            if way == 0 and len(row) > 1:
                del row[place]
            elif way == 1:
                row[place:place] = [str(word) for word in g.choice(words, 12 if kind == "long" else 2)]
            else:
                row[place] = str(g.choice(words))
        heard.append(" ".join(row))
    if kind in ("changed", "equal"):
        said = [f"{text.capitalize()}." for text in said]
        heard = [text.upper() if i % 2 else f"{text}?" for i, text in enumerate(heard)]
    return said, heard


def errors_with(references, hypotheses, fold=True, strip=True, mean=False, cost=1, by_heard=False, cap=False):
    """The answer with a mistake."""
    marks = str.maketrans("", "", ".,!?" if strip else "")
    errors, sizes = [], []
    for a, b in zip(references, hypotheses, strict=True):
        a, b = ((t.lower() if fold else t).translate(marks).split() for t in (a, b))
        row = [cost * j for j in range(len(b) + 1)]
        for i, word in enumerate(a, 1):
            above, row = row, [i]
            for j, other in enumerate(b, 1):
                row.append(min(above[j - 1] + (word != other), above[j] + 1, row[j - 1] + cost))
        errors.append(row[-1])
        sizes.append(len(b) if by_heard else len(a))
    wer = np.mean([e / max(n, 1) for e, n in zip(errors, sizes, strict=True)]) if mean else sum(errors) / sum(sizes)
    return float(min(wer, 1.0) if cap else wer), float(np.mean([e > 0 for e in errors]))


def by_place(references, hypotheses):
    """Words compared at the same place."""
    marks = str.maketrans("", "", ".,!?")
    errors, size, spoiled = 0, 0, 0
    for pair in zip(references, hypotheses, strict=True):
        said, heard = (text.lower().translate(marks).split() for text in pair)
        number = sum(a != b for a, b in zip(said, heard, strict=False)) + abs(len(said) - len(heard))
        errors, size, spoiled = errors + number, size + len(said), spoiled + (number > 0)
    return errors / size, spoiled / len(references)


wer = exercise(
    "assistant.1",
    word_errors_of,
    title="Words that were heard wrongly",
    points=2,
    difficulty=2,
    minutes=20,
    statement=[
        context("Two lists of strings: what was said, and what a recognizer wrote."),
        context(
            "**Write** `word_errors_of(references, hypotheses)`: the word error rate, and the share of sentences with an "
            "error."
        ),
        says("Upper and lower case are the same,", mistake="case"),
        says("and the marks `. , ! ?` do not count.", mistake="marks"),
        says(
            "Errors are the fewest substitutions, deletions",
            ignored=edit("min(substituted, deleted", "min(substituted"),
        ),
        says("and insertions.", mistake="Insertions"),
        says("The rate is all errors over all words that were *said*,", mistake="number of words that were said"),
        says("not a mean over the sentences.", mistake="mean over sentences"),
        says("It may be above 1.", mistake="above 1"),
        says(
            "Return (rate, share of sentences with at least one error).",
            ignored="return spoiled / len(references), wer",
        ),
        example("""
print("said 'cancel my order', heard 'can sell my order': 1 substitution, 1 insertion, rate 2/3")
"""),
    ],
    hints=[
        "Both texts first: `text.lower()`, marks replaced, `.split()`.",
        "The table of distances needs one row at a time: `row[j]` is the distance of the first i words said and the first j "
        "heard; the first row is 0, 1, 2, …",
    ],
    draw=draw_transcripts,
    parts=[
        part("small and large letters, marks", weight=2, n=between(5, 7), kind="changed"),
        part("all kinds of errors", weight=2, n=between(5, 8), kind="any"),
        part("words that nobody said", n=between(3, 4), kind="inserted"),
        part("more errors than words", n=between(2, 3), kind="long"),
        part("nothing wrong", n=between(2, 3), kind="equal"),
    ],
    own={"n": 2, "kind": "any"},
    own_says="Two sentences of your own",
    names=("the rate", "the share"),
    mistakes={
        "Upper and lower case count as different words: take both texts in one case.": (
            lambda r, h: errors_with(r, h, fold=False)
        ),
        "The marks count as parts of words: take them away first.": lambda r, h: errors_with(r, h, strip=False),
        "This is a mean over sentences: add up all errors, and divide by all words once.": (
            lambda r, h: errors_with(r, h, mean=True)
        ),
        "Insertions are not counted: words that nobody said are errors, too.": lambda r, h: errors_with(r, h, cost=0),
        "You divided by the words that were heard: the number of words that were said is wanted.": (
            lambda r, h: errors_with(r, h, by_heard=True)
        ),
        "You compare place by place: one word left out moves all after it. Find the cheapest alignment.": by_place,
        "The rate is cut at 1: with many insertions it is above 1.": lambda r, h: errors_with(r, h, cap=True),
    },
    praise="Now your rate and that of others are rates of the same thing.",
)


@right(wer)
def by_a_table(references, hypotheses):
    total, count, wrong = 0, 0, []
    for texts in zip(references, hypotheses, strict=True):
        said, heard = ("".join(c for c in t if c not in ".,!?").casefold().split() for t in texts)
        table = np.add.outer(np.arange(len(said) + 1), np.arange(len(heard) + 1))
        for i in range(len(said)):
            for j in range(len(heard)):
                same = said[i] == heard[j]
                table[i + 1, j + 1] = min(table[i, j] + (not same), table[i, j + 1] + 1, table[i + 1, j] + 1)
        total += int(table[-1, -1])
        count += len(said)
        wrong.append(table[-1, -1] != 0)
    return total / count, np.mean(wrong)


# ---------------------------------------------------------------- 2
def decide(p, wrong, refuse):
    """Chow's rule: labels (n,), −1 for refused, and the mean of the expected costs."""
    label = p.argmax(axis=1)
    sure = p.max(axis=1)
    threshold = 1 - refuse / wrong
    answered = sure >= threshold
    decisions = np.where(answered, label, -1)
    costs = np.where(answered, wrong * (1 - sure), refuse)
    return decisions, costs.mean()


def draw_doubts(g, n, k, wrong, refuse, spread):
    """Probabilities of k intents for n callers."""
    p = g.dirichlet(np.full(k, spread), size=n).round(3)
    p[:, 0] = 1 - p[:, 1:].sum(axis=1)
    return p, float(wrong), float(refuse)


def decided(p, threshold, wrong, refuse, cost=None, score=None):
    """The answer with a mistake."""
    sure = p.max(axis=1) if score is None else score(p)
    answered = sure >= threshold
    costs = np.where(answered, wrong * (1 - p.max(axis=1)), refuse if cost is None else cost)
    return np.where(answered, p.argmax(axis=1), -1), costs.mean()


def margin(p):
    """The best minus the second best."""
    ordered = np.sort(p, axis=1)
    return ordered[:, -1] - ordered[:, -2]


refusing = exercise(
    "assistant.2",
    decide,
    title="Refuse by cost",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context("`p` (n, k) are probabilities of k intents for n callers; they are calibrated."),
        context("A right answer costs nothing, a wrong one `wrong`, a caller who is handed to a person `refuse`."),
        says("**Write** `decide(p, wrong, refuse)`: answer with the likeliest intent,", mistake="never refuses"),
        says("but refuse (−1) where refusing is expected to be cheaper.", mistake="Refuse where"),
        says("The costs decide, not a fixed 0.5.", mistake="0.5"),
        says("Where both cost the same, answer.", ignored="answered = sure > threshold"),
        says("Return the decisions (n,),", ignored="return decisions[:, None], costs.mean()"),
        says("and the mean of the *expected* costs of these decisions:", mistake="mean over the callers"),
        says("of a refusal, its price;", mistake="cost nothing"),
        says("of an answer, `wrong` times the probability that it is wrong.", mistake="times the probability"),
        example("""
p = np.array([[0.7, 0.2, 0.1]])
print("wrong = 10: an answer is expected to cost", 10 * (1 - p.max()))
print("refuse = 2 is cheaper, refuse = 4 is not")
"""),
    ],
    hints=[
        "Answering is expected to cost `wrong * (1 - p.max(axis=1))`.",
        "Compare with `refuse`: the threshold on max p is 1 − refuse / wrong. `np.where` twice.",
    ],
    draw=draw_doubts,
    parts=[
        part("a wrong answer costs 1", weight=2, n=between(9, 12), k=between(5, 7), wrong=1, refuse=0.2, spread=0.7),
        part("a wrong answer is dear", weight=2, n=between(6, 9), k=3, wrong=between(8, 20), refuse=1, spread=0.2),
        part("refusing is nearly as dear", n=between(5, 8), k=between(4, 6), wrong=2, refuse=1.5, spread=0.8),
        part("exactly at the threshold", inputs=[(np.array([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]]), 4.0, 1.0)]),
        part("one caller", n=1, k=between(2, 4), wrong=5, refuse=1, spread=0.3),
    ],
    own={"n": 3, "k": 3, "wrong": 4, "refuse": 1, "spread": 0.5},
    own_says="Callers of your own",
    names=("the decisions", "the expected cost"),
    mistakes={
        "Your answer never refuses: hand over where that is cheaper.": lambda p, w, r: decided(p, 0.0, w, r),
        "Your threshold is 0.5 whatever the costs: it is 1 − refuse / wrong.": lambda p, w, r: decided(p, 0.5, w, r),
        "Refuse where the *best* probability is low: you compared the margin to the second best.": (
            lambda p, w, r: decided(p, 1 - r / w, w, r, score=margin)
        ),
        "Your threshold is refuse / wrong itself: answer where the *error* is less likely than that.": (
            lambda p, w, r: decided(p, r / w, w, r)
        ),
        "1 − refuse is right only where a wrong answer costs 1: the threshold is 1 − refuse / wrong.": (
            lambda p, w, r: decided(p, 1 - r, w, r)
        ),
        "A caller who is refused costs `refuse`, not what the answer would have cost.": "costs = wrong * (1 - sure)",
        "Refusals cost nothing in your sum: each costs `refuse`.": lambda p, w, r: decided(
            p, 1 - r / w, w, r, cost=0.0
        ),
        "An answer is expected to cost `wrong` times the probability that it is wrong.": [
            "costs = np.where(answered, 0.0, refuse)",
            "costs = np.where(answered, 1 - sure, refuse)",
            "costs = np.where(answered, wrong * sure, refuse)",
        ],
        "The cost is a mean over the callers, not a sum.": "return decisions, costs.sum()",
    },
    praise="The threshold came from prices; nobody had to guess it.",
)


@right(refusing)
def by_expected_costs(p, wrong, refuse):
    n, k = np.shape(p)
    table = np.column_stack([wrong * (1 - np.asarray(p)), np.full(n, refuse)])
    best = wrong * (1 - np.max(p, axis=1))
    said = np.argmax(p, axis=1)
    decisions = [int(s) if b <= refuse + 1e-12 else -1 for s, b in zip(said, best, strict=True)]
    return np.array(decisions), table.min(axis=1).mean()


# ---------------------------------------------------------------- 3
def from_hypotheses(scores, given, number):
    """p(intent | sound) from the best hypotheses: scores (n,), given (n, k), how many to keep → (k,)."""
    best = np.argsort(-scores, kind="stable")[:number]
    kept = scores[best]
    weights = np.exp(kept - kept.max())
    weights = weights / weights.sum()
    p = weights @ given[best]
    return p


def draw_hypotheses(g, n, k, number, shift):
    """Hypotheses in no order, with log-scores up to a constant."""
    scores = (g.normal(size=n) * 2 + shift).round(2)
    given = g.dirichlet(np.full(k, 0.4), size=n)
    return scores, given, number


def weighted(scores, given, number, weigh, choose=lambda s, m: np.argsort(-s, kind="stable")[:m]):
    """The answer with a mistake."""
    best = choose(scores, number)
    return weigh(scores[best]) @ given[best]


def log_average(scores, given, number):
    """The logarithms averaged."""
    best = np.argsort(-scores, kind="stable")[:number]
    weights = np.exp(scores[best] - scores[best].max())
    p = np.exp(weights / weights.sum() @ np.log(given[best] + 1e-300))
    return p / p.sum()


marginal = exercise(
    "assistant.3",
    from_hypotheses,
    title="Marginalize over hypotheses",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "A recognizer gives n hypotheses of a sentence: `scores` (n,) are their log-probabilities, up to a constant, in no "
            "order. `given` (n, k) is p(intent | hypothesis)."
        ),
        says(
            "**Write** `from_hypotheses(scores, given, number)`: p(intent | sound) (k,), marginalized over hypotheses,",
            mistake="1-best only",
        ),
        says("over the `number` *best* of them,", mistake="best hypotheses"),
        says("or all, if there are fewer.", ignored=edit("[:number]", "[:number] if number <= len(scores) else [0]")),
        says("A hypothesis counts as much as it is probable:", mistake="count alike"),
        says("the softmax of the scores that are kept.", mistake="logarithms"),
        says("The result sums to 1,", mistake="sum to 1"),
        says("even if the scores are −2,000.", ignored=edit("np.exp(kept - kept.max())", "np.exp(kept)")),
        says("It is the *probabilities* that are averaged.", mistake="logs of"),
        example("""
scores = np.log(np.array([0.6, 0.4])) - 7.0
given = np.array([[0.9, 0.1], [0.2, 0.8]])
print("0.6 · (0.9, 0.1) + 0.4 · (0.2, 0.8) =", 0.6 * given[0] + 0.4 * given[1])
"""),
    ],
    hints=[
        "`np.argsort(-scores)[:number]` are the places of the best. The rest of the work is on these alone.",
        "`weights = np.exp(kept - kept.max())`, divided by their sum; then `weights @ given[best]`.",
    ],
    draw=draw_hypotheses,
    parts=[
        part("five of eight", weight=2, n=8, k=between(3, 4), number=5, shift=between(-9, -3)),
        part("all of them", n=between(4, 6), k=3, number=6, shift=0),
        part("more asked for than there are", n=between(3, 4), k=between(2, 4), number=between(9, 12), shift=-5),
        part("scores of −2,000", n=5, k=3, number=between(3, 4), shift=-2000),
        part("only the best", n=between(4, 5), k=3, number=1, shift=-4),
    ],
    own={"n": 3, "k": 2, "number": 2, "shift": -1},
    own_says="Hypotheses of your own",
    mistakes={
        "This is the 1-best only: the other hypotheses have a say, too.": lambda s, g, m: g[np.argmax(s)],
        "All hypotheses count alike in your mean: weight each by its probability.": (
            lambda s, g, m: weighted(s, g, m, lambda kept: np.full(len(kept), 1 / len(kept)))
        ),
        "The scores are logarithms: take their softmax, do not divide them by their sum.": (
            lambda s, g, m: weighted(s, g, m, lambda kept: kept / kept.sum())
        ),
        "Your result does not sum to 1: normalize the weights of the hypotheses that are kept.": [
            lambda s, g, m: weighted(s, g, m, lambda kept: np.exp(kept)),
            lambda s, g, m: weighted(s, g, m, lambda kept: np.exp(kept - kept.max())),
            lambda s, g, m: weighted(s, g, m, lambda kept: np.exp(kept - s.max()) / np.exp(s - s.max()).sum()),
        ],
        "These are not the best hypotheses: sort by score, the highest first.": [
            edit('np.argsort(-scores, kind="stable")[:number]', "np.arange(len(scores))[:number]"),
            edit('np.argsort(-scores, kind="stable")[:number]', "np.argsort(scores)[:number]"),
        ],
        "You averaged logs of probabilities: average the probabilities themselves.": log_average,
        "All hypotheses are used, however many were asked for.": edit("[:number]", ""),
    },
    praise="With all hypotheses, this is the exact posterior.",
)


@right(marginal)
def by_a_loop(scores, given, number):
    pairs = sorted(zip(scores, range(len(scores)), strict=True), key=lambda pair: -pair[0])[: int(number)]
    log_total = np.logaddexp.reduce([score for score, _ in pairs])
    return sum(np.exp(score - log_total) * given[i] for score, i in pairs)


# ---------------------------------------------------------------- the lesson's blanks
@blank(
    "assistant.blank.1",
    title="The word error rate of a test set",
    inputs=[([1, 2, 0], [1, 9, 10]), ([3], [2]), ([0, 0], [4, 1]), ([5, 1, 1], [10, 2, 8])],
    mistakes=[
        (
            lambda e, n: float(np.mean([a / b for a, b in zip(e, n, strict=True)])),
            "This is a mean of rates: one fraction, all errors over all words.",
        ),
        (lambda e, n: min(1.0, sum(e) / sum(n)), "A word error rate may be above 1."),
        (lambda e, n: sum(e) / len(n), "Divide by the number of words, not of sentences."),
    ],
)
def total_error_rate(errors, words):
    return sum(errors) / sum(words)


def n_best():
    rng = np.random.default_rng(0)
    for n, k, shift in ((4, 3, 0.0), (2, 2, -7.0), (5, 4, 3.0), (1, 3, -1.0)):
        yield rng.normal(size=n) * 2 + shift, rng.dirichlet(np.ones(k), size=n)


def soft(scores):
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


@blank(
    "assistant.blank.2",
    title="Marginalizing",
    inputs=n_best,
    mistakes=[
        (lambda s, g: g[np.argmax(s)], "This is the 1-best hypothesis alone."),
        (lambda s, g: g.mean(axis=0), "The hypotheses count alike: weight each by its probability."),
        (lambda s, g: np.exp(s) @ g, "The weights do not sum to 1: the scores are known up to a constant only."),
        (lambda s, g: soft(s) @ np.log(g), "Average the probabilities, not their logarithms."),
    ],
)
def marginalize(scores, given):
    return soft(scores) @ given


def chows():
    rng = np.random.default_rng(1)
    for n, k, c in ((8, 3, 0.2), (6, 4, 0.5), (5, 2, 0.1), (1, 3, 0.4)):
        yield rng.dirichlet(np.full(k, 0.5), size=n), c
    yield np.array([[0.75, 0.25], [0.5, 0.5]]), 0.25


@blank(
    "assistant.blank.3",
    title="Chow's rule",
    inputs=chows,
    mistakes=[
        (lambda p, c: p.argmax(axis=1), "Nobody is refused: return −1 where max p is below 1 − c."),
        (lambda p, c: np.where(p.max(axis=1) >= c, p.argmax(axis=1), -1), "The threshold is 1 − c, not c."),
        (
            lambda p, c: np.where(p.max(axis=1) >= 0.5, p.argmax(axis=1), -1),
            "Your threshold does not depend on the price.",
        ),
        (lambda p, c: np.where(p.max(axis=1) > 1 - c, p.argmax(axis=1), -1), "At exactly 1 − c, answer."),
    ],
)
def answer_or_refuse(p, c):
    return np.where(p.max(axis=1) >= 1 - c, p.argmax(axis=1), -1)


NEEDS = {"order": ["shape"], "change_color": ["color"], "change_size": ["size"], "exchange": ["shape", "color"]}
EFFECTS = {"order", "change_color", "change_size", "cancel", "refund", "exchange", "address", "broken", "wrong_item"}


def turns():
    some, nothing = {"shape": "star"}, {}
    yield "order", some, 0.95, False
    yield "order", some, 0.95, True
    yield "order", nothing, 0.95, False
    yield "order", nothing, 0.95, True
    yield "order", nothing, 0.5, False
    yield "track", nothing, 0.9, False
    yield "track", nothing, 0.7, True
    yield "human", nothing, 0.99, True
    yield "out_of_scope", some, 0.99, False
    yield "cancel", nothing, 0.9, False
    yield "change_color", some, 0.85, False
    yield "change_color", {"color": "red"}, 0.85, False
    yield "refund", nothing, 0.85, False, 0.1
    yield "feedback", nothing, 0.8, False, 0.2


def step_with(intent, found, confidence, confirmed, c=0.2, doubt=True, handed=True, ask=True, confirm=True, last=False):
    """The next step, with places to go wrong."""
    if doubt and confidence < 1 - c:
        return "hand over"
    if handed and intent in ("human", "out_of_scope"):
        return "hand over"
    if last and intent in EFFECTS and not confirmed:
        return "confirm"
    if ask and any(name not in found for name in NEEDS.get(intent, [])):
        return "ask back"
    if confirm and intent in EFFECTS and not confirmed:
        return "confirm"
    return "do it"


def ask_in_doubt(intent, found, confidence, confirmed, c=0.2):
    """Asks back before it looks at the confidence."""
    if any(name not in found for name in NEEDS.get(intent, [])):
        return "ask back"
    return step_with(intent, found, confidence, confirmed, c)


@blank(
    "assistant.blank.4",
    title="What comes next",
    inputs=turns,
    mistakes=[
        (lambda *a: step_with(*a, confirm=False), "An effect without a yes: confirm it first."),
        (lambda *a: step_with(*a, ask=False), "A slot is missing, and nobody asks for it."),
        (lambda *a: step_with(*a, doubt=False), "In doubt (confidence below 1 − c), hand over."),
        (lambda *a: step_with(*a, handed=False), "Who wants a person, or is out of scope, is handed over."),
        (lambda *a: step_with(*a, last=True), "Ask for the missing slot before you confirm."),
        (ask_in_doubt, "Doubt comes first: hand over before you ask back."),
    ],
)
def next_step(intent, found, confidence, confirmed, c=0.2):
    return step_with(intent, found, confidence, confirmed, c)


# ---------------------------------------------------------------- challenge
NUM_TRAIN, NUM_TEST, LONGEST, PRICE = 2000, 1000, 10, 0.25


def draw_challenge(g):
    """Callers through a word channel of strong noise: ids of words as heard, 0 after the end."""
    rng = np.random.default_rng(int(g.integers(1 << 31)))
    noise = float(rng.uniform(0.5, 0.6))
    said = helpdesk.grammar.draw(NUM_TRAIN + NUM_TEST, rng)
    heard = helpdesk.channel.hear([sentence.text for sentence in said], rng, noise)
    order = rng.permutation(len(helpdesk.grammar.vocabulary())) + 1
    ids = np.zeros((len(said), LONGEST), np.int64)
    for row, text in zip(ids, heard, strict=True):
        words = order[helpdesk.channel.ids(text)]
        row[: len(words)] = words
    labels = np.array([sentence.intent for sentence in said])
    inputs = {"train_words": ids[:NUM_TRAIN], "train_intents": labels[:NUM_TRAIN], "test_words": ids[NUM_TRAIN:]}
    return Drawn(inputs, labels[NUM_TRAIN:])


def value_of_decisions(arrays, inputs, hidden):
    """1 − mean cost: 0 for a right intent, 1 for a wrong one, 0.25 for −1."""
    decisions = np.asarray(arrays["decisions"])
    costs = np.where(decisions == -1, PRICE, (decisions != hidden).astype(float))
    return float(1 - costs.mean())


challenge(
    "assistant.challenge",
    title="A bad line",
    statement=[
        f"{NUM_TRAIN:,} callers of the shop over a bad line, and {NUM_TEST:,} new ones: `train_words` (2000, 10) are the words as "
        "a recognizer wrote them, as numbers from 1 on in an order of your own draw, 0 after the end; `train_intents` (2000,) what "
        "the callers wanted, 0 to 12. About every second word is wrong.",
        "Hand in `decisions` for `test_words`: whole numbers (1000,), an intent, or −1 for “a person should answer”.",
        "The score is 1 − mean cost: a right intent costs 0, a wrong one 1, −1 costs 0.25. To hand over everybody scores 0.75.",
        "Logistic regression on which words occur scores about 0.58 if it never refuses, about 0.78 with Chow's rule. "
        "Beat it.",
    ],
    draw=draw_challenge,
    score=value_of_decisions,
    hand_in={"decisions": Array((NUM_TEST,), "integer")},
    to_beat=0.8,
    points_by_score={0.8: 1, 0.825: 2, 0.85: 3},
    minutes=60,
    score_name="1 − mean cost",
)
