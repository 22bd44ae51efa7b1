"""Hiding words, a report that may be too good, two texts in one input; the blanks and a challenge. The last is in PyTorch."""

import numpy as np

from mmcourse.check.blanks import blank
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
    one_of,
    paragraph,
    part,
    right,
    says,
)

lesson(
    "bert",
    promise="Hide words by the rule, judge a report before you believe it, put two texts into one input by hand, and in "
    "PyTorch the loss of the gaps with tied weights.",
    uses="NumPy; one task PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def hide(ids, chosen, fate, random_ids, mask_id):
    """What the model sees, and what it is asked."""
    masked = chosen & (fate < 0.8)
    other = chosen & (fate >= 0.8) & (fate < 0.9)
    inputs = np.where(masked, mask_id, ids)
    inputs[other] = random_ids[other]
    labels = np.where(chosen, ids, -100)
    return inputs, labels


def draw_dice(g, shape, chosen=0.5, fate=None):
    ids, other = g.integers(10, 50, shape), g.integers(50, 90, shape)
    fate = g.random(shape).round(3) if fate is None else g.choice(fate, shape)
    return ids, g.random(shape) < chosen, fate, other, int(g.integers(1, 10))


def draw_own_dice(g):
    return np.arange(11, 17), g.random(6) < 0.7, g.integers(0, 20, 6) / 20, np.arange(91, 97), int(g.integers(1, 9))


masking = exercise(
    "bert.1",
    hide,
    title="Hide words by the rule",
    points=2,
    difficulty=2,
    minutes=10,
    statement=[
        context("The dice are thrown already."),
        says("`chosen` says which tokens are asked.", mistake="Tokens that were not chosen changed too"),
        says(
            "For each token `fate` is a number in [0, 1): below 0.8 a chosen token becomes `mask_id`;",
            mistake="You masked every chosen token",
        ),
        says(
            "from 0.8 up to (not including) 0.9 it becomes the token of `random_ids` at its place;",
            mistake="No token became a random one",
        ),
        says("from 0.9 on it stays.", mistake="None of the chosen tokens stays"),
        paragraph(),
        says("The labels hold the **true** token where it was chosen", mistake="Your labels come from the inputs"),
        says("and -100 elsewhere.", mistake="Every token is asked"),
        example("""
ids = np.array([2, 11, 12, 13, 14, 3])
chosen = np.array([False, True, False, True, True, False])
fate = np.array([0.1, 0.5, 0.2, 0.85, 0.95, 0.3])
random_ids = np.array([90, 91, 92, 93, 94, 95])
print("inputs: 2, 4, 12, 93, 14, 3; labels: -100, 11, -100, 13, 14, -100  (mask_id is 4)")
"""),
        says(
            "**Write** `hide(ids, chosen, fate, random_ids, mask_id)`. The four arrays have one shape, of one axis or "
            "more.",
            ignored="return inputs.ravel(), labels.ravel()",
        ),
        says("Return `inputs, labels`", mistake="The two results are exchanged"),
        context("and leave the arrays as they are."),
    ],
    hints=[
        "`np.where(condition, a, b)` takes from `a` where the condition holds and from `b` elsewhere. Nothing that was "
        "not chosen changes.",
        "Two conditions for the inputs, `chosen & (fate < 0.8)` and `chosen & (fate >= 0.8) & (fate < 0.9)`. One for the "
        "labels, from `ids`, not from `inputs`.",
    ],
    draw=draw_dice,
    parts=[
        part(
            "six tokens",
            public_only=True,
            inputs=[
                (
                    np.array([2, 11, 12, 13, 14, 3]),
                    np.array([False, True, False, True, True, False]),
                    np.array([0.1, 0.5, 0.2, 0.85, 0.95, 0.3]),
                    np.array([90, 91, 92, 93, 94, 95]),
                    4,
                )
            ],
        ),
        part("a sentence", shape=one_of((30,), (40,), (50,))),
        part("a batch", shape=one_of((4, 15), (5, 20))),
        part("three axes", shape=one_of((2, 3, 8), (3, 2, 9))),
        part("fates at the borders", shape=(12,), chosen=0.9, fate=[0.0, 0.7999, 0.8, 0.8999, 0.9, 0.9999]),
        part("nothing chosen", shape=(12,), chosen=0),
    ],
    own=draw_own_dice,
    own_says="Tokens, what is chosen, fates, other tokens and the mask's id of your own",
    mistakes={
        "You masked every chosen token. Only 80 % are: a task later on has no [MASK] at all.": (
            "inputs = np.where(chosen, mask_id, ids)\nother = chosen & (fate > 2)"
        ),
        "None of the chosen tokens stays. From 0.9 on a chosen token is kept as it is.": edit("0.9", "1"),
        "No token became a random one: from 0.8 up to 0.9 take it from `random_ids`.": edit("0.9", "0.8"),
        "The borders are shifted: masked below 0.8, random from 0.8 up to 0.9, the rest stays.": edit(
            "0.9", "1", "0.8", "0.9"
        ),
        "At exactly 0.8 a chosen token becomes a random one, and at exactly 0.9 it stays: only what is below a border "
        "belongs to it.": [
            edit("fate < 0.8", "fate <= 0.8", "fate >= 0.8", "fate > 0.8"),
            edit("fate < 0.9", "fate <= 0.9"),
            edit("fate < 0.8", "fate <= 0.8", "fate >= 0.8", "fate > 0.8", "fate < 0.9", "fate <= 0.9"),
        ],
        "The borders are reversed: 80 % are masked, 10 % become random, 10 % stay.": edit("0.8", "0.1", "0.9", "0.2"),
        "Tokens that were not chosen changed too. Each condition needs `chosen & (…)`.": edit("chosen & ", ""),
        "Every token is asked. Where nothing was chosen the label is -100.": "labels = ids",
        "Your labels come from the inputs, so the answer to a masked token is [MASK]. Take them from `ids`.": (
            "labels = np.where(chosen, inputs, -100)"
        ),
        "Your labels are the wrong way round: the true token where it was chosen, -100 elsewhere.": (
            "labels = np.where(chosen, -100, ids)"
        ),
        "Where nothing is asked the label is -100. A 0 is a token, [PAD], and would be learned.": (
            "labels = np.where(chosen, ids, 0)"
        ),
        "You ask only for the masked. All chosen tokens are asked, the random and the kept ones too.": (
            "labels = np.where(masked, ids, -100)"
        ),
        "The two results are exchanged: first what the model sees, then what it is asked.": "return labels, inputs",
        "You ask only for tokens that changed. A chosen token that stays is asked too: its label is the token.": (
            "labels = np.where(masked | other, ids, -100)"
        ),
        "You exchanged the last two tenths: from 0.8 up to 0.9 the token becomes a random one, from 0.9 on it stays.": (
            "other = chosen & (fate >= 0.9)"
        ),
    },
    praise="The model never knows which of the words it sees are asked, so it must understand all of them.",
    names=("inputs", "labels"),
)


@right(masking)
def token_by_token(ids, chosen, fate, random_ids, mask_id):
    inputs, labels = ids.copy(), np.full_like(ids, -100)
    for place in zip(*np.nonzero(chosen), strict=True):
        labels[place] = ids[place]
        if fate[place] < 0.9:
            inputs[place] = mask_id if fate[place] < 0.8 else random_ids[place]
    return inputs, labels


# ---------------------------------------------------------------- 2
def judge(first_loss, vocab_size, accuracy, counting):
    """Return "leak", "counts" or "reads", and the gain over counting."""
    ignorant = np.log(vocab_size)
    best = counting.max()
    gain = accuracy - best
    verdict = "reads" if accuracy > best else "counts"
    if first_loss < ignorant - 0.5:
        verdict = "leak"
    return verdict, gain


def accuracy_first(first_loss, vocab_size, accuracy, counting):
    verdict, gain = judge(first_loss, vocab_size, accuracy, counting)
    return ("counts" if gain <= 0 else verdict), gain


def draw_report(g, start, gain=(-0.05, 0.02, 0.2)):
    """A first loss `start` nats from chance, and an accuracy one of `gain` above the best way of counting."""
    size = int(g.integers(300, 40_000))
    counting = g.uniform(0.1, 0.5, g.integers(1, 5)).round(3)
    accuracy = round(float(counting.max() + g.choice(gain)), 3)
    return round(float(np.log(size) + g.uniform(*start)), 3), size, accuracy, counting


REPORTS = [
    (6.6, 668, 0.60, [0.14, 0.51, 0.34]),
    (6.2, 668, 0.45, [0.14, 0.34, 0.51]),
    (2.1, 30_000, 0.90, [0.10, 0.40]),
    (5.0, 668, 0.80, [0.14, 0.51]),
    (4.0, 668, 0.30, [0.14, 0.51]),
    (9.2, 668, 0.62, [0.51, 0.34, 0.14]),
    (6.3, 668, 0.51, [0.51, 0.20]),
    (10.2, 30_000, 0.55, [0.60]),
]

report = exercise(
    "bert.2",
    judge,
    title="Judge a report",
    points=2,
    difficulty=2,
    minutes=8,
    statement=[
        says(
            "Somebody reports a pre-training: the first loss (in nats, before any step), the size of the vocabulary, the "
            "masked-token accuracy, and the accuracies of several ways of counting.",
            mistake="You counted in bits",
        ),
        context("What do you answer?"),
        paragraph(),
        says(
            '- `"leak"` if the first loss is more than 0.5 below that of a model that knows nothing.',
            mistake="just below ln V is chance",
        ),
        says("Then no other number counts.", mistake="You looked at the accuracy first"),
        says(
            '- else `"counts"` if the model is not better than the best way of counting;',
            mistake="As good as counting is not better",
        ),
        says('- else `"reads"`.', ignored=edit('"reads" if accuracy > best else "counts"', '"counts"')),
        paragraph(),
        context(
            '**Example.** First loss 6.6 with 668 tokens, accuracy 0.60, counting gives 0.14 and 0.51: `"reads"`, and '
            "the gain over counting is 0.09."
        ),
        paragraph(),
        says(
            "**Write** `judge(first_loss, vocab_size, accuracy, counting)`; `counting` is an array `(k,)`.",
            mistake="You compared with the first baseline only",
        ),
        says(
            "Return the word, and the gain: accuracy minus the best of `counting` (whatever the word is).",
            mistake="Your gain is relative",
        ),
    ],
    hints=[
        "A model that knows nothing gives each of V tokens the probability 1/V. What is its loss? A first loss *above* it "
        "is clumsy, not dishonest.",
        "Compare with `np.log(vocab_size) - 0.5` first. Then take `counting.max()`: a baseline is the strongest of its "
        "kind, not the weakest.",
    ],
    draw=draw_report,
    parts=[
        part("eight reports", public_only=True, inputs=[(*numbers, np.array(c)) for *numbers, c in REPORTS]),
        part("a start at chance", weight=2, start=(-0.4, 0.4)),
        part("a leak", start=(-4, -0.6)),
        part("a start not far below chance", start=(-1.5, -0.6), gain=(0.1, 0.2)),
        part("a clumsy start", start=(0.6, 3)),
        part("as good as counting", start=(-0.4, 0.4), gain=(0,)),
    ],
    own=lambda g: draw_report(g, (-1.5, 1)),
    own_says="A report of your own",
    mistakes={
        "A first loss just below ln V is chance. Call it a leak from 0.5 on.": edit(" - 0.5", ""),
        "You looked at the accuracy first. If the first loss leaks, no other number counts.": accuracy_first,
        "You compared with the weakest way of counting. A claim must beat the strongest: `max`.": (
            "best = counting.min()"
        ),
        "You compared with the mean of the baselines. A claim must beat the strongest: `max`.": (
            "best = counting.mean()"
        ),
        "You compared with the first baseline only. A claim must beat the strongest: `max`.": "best = counting[0]",
        "You call a first loss above ln V a leak. That start is clumsy, but it gives nothing away: only below counts.": (
            edit("first_loss < ignorant - 0.5", "abs(first_loss - ignorant) > 0.5")
        ),
        "You never call a leak. Compare the first loss with `np.log(vocab_size)`.": "ignorant = -np.inf",
        "Your gain is relative. It should be accuracy minus the best of `counting`.": "gain = accuracy / best - 1",
        "Your gain is the accuracy itself. Take off the best of `counting`.": "gain = accuracy",
        "Your gain stops at 0. A model worse than counting has a negative one.": "gain = max(accuracy - best, 0)",
        "Your gain has lost its sign. A model worse than counting has a negative one.": "gain = abs(accuracy - best)",
        "As good as counting is not better: it only counts.": edit("accuracy > best", "accuracy >= best"),
        "You counted in bits. The loss is in nats: `np.log`, not `np.log2`.": "ignorant = np.log2(vocab_size)",
        "You took the logarithm to base 10. The loss is in nats: `np.log`.": "ignorant = np.log10(vocab_size)",
        "You compare with the 668 tokens of the example. A report says how large its vocabulary is.": (
            "ignorant = np.log(668)"
        ),
        "Your gain is 0 where you call a leak. The gain is wanted whatever the word is.": (
            'return verdict, 0.0 if verdict == "leak" else gain'
        ),
    },
    praise="First the loss that it started from, then the best that counting can do: two questions for every report.",
    names=("verdict", "gain"),
)


@right(report)
def by_probability(first_loss, vocab_size, accuracy, counting):
    gain = min(accuracy - other for other in counting)
    if np.exp(-first_loss) > np.exp(0.5) / vocab_size:
        return "leak", gain
    return ("counts" if gain <= 0 else "reads"), gain


# ---------------------------------------------------------------- 4
def encode_pair(first, second, cls_id, sep_id, max_length):
    """Return ids, segments and mask, each a list of max_length whole numbers."""
    first, second = list(first), list(second)
    while len(first) + len(second) > max_length - 3:
        if len(first) > len(second):
            first.pop()
        else:
            second.pop()
    ids = [cls_id] + first + [sep_id] + second + [sep_id]
    segments = [0] * (len(first) + 2) + [1] * (len(second) + 1)
    mask = [1] * len(ids)
    missing = max_length - len(ids)
    ids.extend([0] * missing)
    segments.extend([0] * missing)
    mask.extend([0] * missing)
    return ids, segments, mask


def draw_texts(g, first, second, room):
    """Two texts of these lengths, and `room` more (or fewer) places than they need."""
    special = g.choice(np.arange(1, 10), 2, replace=False)
    a, b = (g.choice(np.arange(10, 99), int(n), replace=False).tolist() for n in (first, second))
    return a, b, int(special[0]), int(special[1]), int(first + second + 3 + room)


two_texts = exercise(
    "bert.4",
    encode_pair,
    title="Two texts, one input",
    points=3,
    difficulty=2,
    minutes=15,
    statement=[
        context("You get two lists of token ids, without any special tokens."),
        says(
            "**Write** `encode_pair(first, second, cls_id, sep_id, max_length)`. The ids are: `cls_id`, the first text, "
            "`sep_id`, the second text, `sep_id`.",
            mistake="The last separator is missing",
        ),
        says(
            "The segments are 0 up to and including the first separator, and 1 from there to the second one.",
            mistake="The first separator belongs to the first text",
        ),
        says("The mask is 1 for each of these tokens.", mistake="special tokens are real tokens"),
        paragraph(),
        says(
            "If all that is longer than `max_length`, take away single tokens from the end of the **longer** text,",
            mistake="You shortened the second text only",
        ),
        says("or of the second one if both are equally long, until it fits.", mistake="Where both are equally long"),
        says("Special tokens are never taken away.", mistake="cut off the last separator"),
        says(
            "If it is shorter, pad on the right up to `max_length`: 0 in all three.",
            mistake="Padding is missing",
        ),
        says("Return `ids, segments, mask`, three lists.", mistake="other order"),
        context("`max_length` is at least 5, and the lists that you are given stay as they are."),
        example("""
first, second = [11, 12, 13, 14], [21, 22]
print("max_length 10: ids", [1, 11, 12, 13, 14, 2, 21, 22, 2, 0])
print("               segments", [0, 0, 0, 0, 0, 0, 1, 1, 1, 0])
print("max_length 7:  ids", [1, 11, 12, 2, 21, 22, 2])
"""),
    ],
    hints=[
        "Shorten first, in a loop that takes one token at a time, until `len(first) + len(second) + 3 <= max_length`. Work on "
        "copies: `list(first)`.",
        "Then build: `[cls_id] + first + [sep_id] + second + [sep_id]`. The first part with its two special tokens has "
        "`len(first) + 2` segments 0.",
    ],
    draw=draw_texts,
    parts=[
        part("they fit exactly", first=between(2, 5), second=between(2, 5), room=0),
        part("padding", first=between(2, 5), second=between(2, 5), room=between(1, 4)),
        part("a long first text", first=between(8, 11), second=between(2, 4), room=between(-4, -2)),
        part("a long second text", first=between(2, 4), second=between(8, 11), room=between(-4, -2)),
        part("much too long", weight=2, first=between(9, 12), second=between(5, 7), room=between(-10, -8)),
        part("equally long", first=6, second=6, room=one_of(-3, -1, -5)),
        part("no second text", first=between(3, 5), second=0, room=one_of(-1, 0, 2)),
    ],
    own={"first": 4, "second": 3, "room": 1},
    own_says="Two texts of your own, the ids of [CLS] and [SEP], and the length",
    mistakes={
        "The last separator is missing: one ends each text.": [
            edit(
                "ids = [cls_id] + first + [sep_id] + second + [sep_id]\n",
                "ids = [cls_id] + first + [sep_id] + second\n",
                "segments = [0] * (len(first) + 2) + [1] * (len(second) + 1)",
                "segments = [0] * (len(first) + 2) + [1] * len(second)",
            ),
        ],
        "The first separator belongs to the first text: its segment is 0.": (
            "segments = [0] * (len(first) + 1) + [1] * (len(second) + 2)"
        ),
        "Your segments are all 0. The second text and its separator have 1.": "segments = [0] * len(ids)",
        "The segments are exchanged: 0 for the first text, 1 for the second.": (
            "segments = [1] * (len(first) + 2) + [0] * (len(second) + 1)"
        ),
        "The special tokens are real tokens: their mask is 1.": (
            "mask = [0] + [1] * len(first) + [0] + [1] * len(second) + [0]"
        ),
        "You shortened the second text only. Take from the longer one.": edit(
            "if len(first) > len(second):", "if len(first) > len(second) and not second:"
        ),
        "You shortened the first text only. Take from the longer one.": edit(
            "if len(first) > len(second):", "if first:"
        ),
        "Where both are equally long, take from the second.": edit(
            "len(first) > len(second)", "len(first) >= len(second)"
        ),
        "You take from the shorter text. The longer one can spare more.": edit(
            "if len(first) > len(second):", "if second and 0 < len(first) <= len(second) or not second:"
        ),
        "You took tokens from the beginning of a text. Take them from the end.": edit(
            "first.pop()", "first.pop(0)", "second.pop()", "second.pop(0)"
        ),
        "You cut off the last separator. Shorten the texts instead, before you add special tokens.": edit(
            "while len(first) + len(second) > max_length - 3:",
            "while False:",
            "    missing = max_length - len(ids)\n",
            "    missing = max(0, max_length - len(ids))\n"
            "    ids, segments, mask = ids[:max_length], segments[:max_length], mask[:max_length]\n",
        ),
        "You made it fit without the special tokens: three places are theirs.": edit(
            "max_length - 3", "max_length", "missing = max_length - len(ids)", "missing = max(0, max_length - len(ids))"
        ),
        "Padding is missing: all three lists have max_length entries.": "missing = 0",
        "The padding is on the left. It belongs on the right.": edit(
            "ids.extend([0] * missing)",
            "ids[:0] = [0] * missing",
            "segments.extend([0] * missing)",
            "segments[:0] = [0] * missing",
            "mask.extend([0] * missing)",
            "mask[:0] = [0] * missing",
        ),
        "Padding has mask 0: it is not real.": edit("mask.extend([0] * missing)", "mask.extend([1] * missing)"),
        "Padding has segment 0.": edit("segments.extend([0] * missing)", "segments = segments + [1] * missing"),
        "The three lists come in the other order: ids, segments, mask.": "return ids, mask, segments",
    },
    praise="That is what the tokenizer does when you give it two texts.",
    names=("ids", "segments", "mask"),
)


@right(two_texts)
def by_lengths(first, second, cls_id, sep_id, max_length):
    a, b = len(first), len(second)
    while a + b + 3 > max_length:
        a, b = (a - 1, b) if a > b else (a, b - 1)
    ids = np.zeros(max_length, int)
    segments, mask = ids.copy(), ids.copy()
    ids[: a + b + 3] = [cls_id, *first[:a], sep_id, *second[:b], sep_id]
    segments[a + 2 : a + b + 3] = 1
    mask[: a + b + 3] = 1
    return ids, segments, mask


# ---------------------------------------------------------------- the blanks of the lesson
def draw_blank_dice():
    g = np.random.default_rng(0)
    for shape in ((12,), (3, 8), (2, 20)):
        yield g.integers(10, 50, shape), g.random(shape) < 0.6, g.random(shape), g.integers(50, 90, shape), 4
    yield np.arange(11, 17), np.ones(6, bool), np.array([0.0, 0.79, 0.8, 0.89, 0.9, 0.99]), np.arange(91, 97), 3


def _hidden(borders=(0.8, 0.9), only_chosen=True, labels=lambda ids, inputs, chosen: np.where(chosen, ids, -100)):
    def way(ids, chosen, fate, random_ids, mask_id):
        may = chosen if only_chosen else np.ones_like(chosen)
        inputs = np.where(may & (fate < borders[0]), mask_id, ids)
        inputs = np.where(may & (fate >= borders[0]) & (fate < borders[1]), random_ids, inputs)
        return inputs, labels(ids, inputs, chosen)

    return way


@blank(
    "bert.blank.1",
    title="Hide words",
    inputs=draw_blank_dice,
    mistakes=[
        (_hidden((1.0, 1.0)), "Every chosen token is masked: only dice below 0.8 do that."),
        (_hidden((0.8, 1.0)), "From 0.9 on a chosen token stays as it is; yours becomes a random one."),
        (_hidden((0.8, 0.8)), "No token becomes a random one: that is what dice from 0.8 up to 0.9 do."),
        (_hidden(only_chosen=False), "Tokens that were not chosen changed: each condition needs `chosen & (…)`."),
        (
            _hidden(labels=lambda ids, inputs, chosen: ids),
            "Every token is asked for: where it is not chosen, the label is −100.",
        ),
        (
            _hidden(labels=lambda ids, inputs, chosen: np.where(chosen, inputs, -100)),
            "The labels come from the damaged text: take them from `ids`.",
        ),
        (
            _hidden(labels=lambda ids, inputs, chosen: np.where(inputs != ids, ids, -100)),
            "A chosen token that stays is asked for, too.",
        ),
        (
            _hidden(labels=lambda ids, inputs, chosen: np.where(chosen, ids, 0)),
            "Where nothing is asked the label is −100.",
        ),
        (lambda *a: _hidden()(*a)[::-1], "Both are right, in the wrong order: first the inputs, then the labels."),
    ],
    names=("inputs", "labels"),
)
def hide_of_lesson(ids, chosen, fate, random_ids, mask_id):
    masked = chosen & (fate < 0.8)
    exchanged = chosen & (fate >= 0.8) & (fate < 0.9)
    inputs = np.where(masked, mask_id, ids)
    inputs = np.where(exchanged, random_ids, inputs)
    return inputs, np.where(chosen, ids, -100)


def draw_blank_logits():
    g = np.random.default_rng(1)
    for b, n, v in ((1, 3, 4), (2, 5, 6), (3, 4, 3)):
        labels = np.where(g.random((b, n)) < 0.5, g.integers(v, size=(b, n)), -100)
        labels[0, 0] = 0
        labels[0, 1] = -100
        yield g.normal(size=(b, n, v)).round(2), labels
    yield 1000 * g.normal(size=(1, 3, 4)).round(2), np.array([[1, -100, 2]])


def _log_p(logits):
    rows = logits - logits.max(axis=-1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(axis=-1, keepdims=True))


def _at_labels(logits, labels):
    kept = np.maximum(labels, 0)
    return np.take_along_axis(_log_p(logits), kept[..., None], axis=-1)[..., 0]


def _overflowing(logits, labels):
    asked = labels != -100
    with np.errstate(all="ignore"):
        p = np.exp(logits[asked]) / np.exp(logits[asked]).sum(axis=-1, keepdims=True)
        return -np.log(p[np.arange(len(p)), labels[asked]]).mean()


@blank(
    "bert.blank.2",
    title="The loss of the gaps",
    inputs=draw_blank_logits,
    mistakes=[
        (
            lambda logits, labels: -(_at_labels(logits, labels) * (labels != -100)).sum() / labels.size,
            "You divide by all positions. Divide by the number of those that are asked.",
        ),
        (
            lambda logits, labels: -(_at_labels(logits, labels) * (labels != -100)).sum(),
            "This is the sum. The mean over the asked positions is wanted.",
        ),
        (
            lambda logits, labels: -_at_labels(logits, labels).mean(),
            "Positions with −100 are in your loss: leave them out.",
        ),
        (
            lambda logits, labels: -(_at_labels(logits, labels) * (labels > 0)).sum() / max(1, (labels > 0).sum()),
            "Token 0 is a label, too: only −100 is left out.",
        ),
        (
            lambda logits, labels: (_at_labels(logits, labels) * (labels != -100)).sum() / (labels != -100).sum(),
            "The sign: the loss is *minus* the mean log-probability.",
        ),
        (
            lambda logits, labels: (
                -logits[labels != -100][np.arange((labels != -100).sum()), labels[labels != -100]].mean()
            ),
            "These are logits. The log-softmax is missing.",
        ),
        (_overflowing, "Large logits overflow: take the maximum away before `np.exp`."),
    ],
    what="The loss",
)
def masked_loss_of_lesson(logits, labels):
    asked = labels != -100
    return -_at_labels(logits, labels)[asked].mean()


SMALL = {
    "un",
    "want",
    "##want",
    "##wanted",
    "##ed",
    "##able",
    "a",
    "##b",
    "##a",
    "wanted",
    "want##",
    "film",
    "##s",
    "##f",
}


def _pieces(word, vocabulary, ends=None, mark="##", unknown=True):
    found, start = [], 0
    while start < len(word):
        order = range(len(word), start, -1) if ends is None else ends(start, len(word))
        for end in order:
            piece = (mark if start else "") + word[start:end]
            if piece in vocabulary:
                break
        else:
            return ["[UNK]"] if unknown else [*found, "[UNK]"]
        found.append(piece)
        start = end
    return found


@blank(
    "bert.blank.3",
    title="WordPiece",
    inputs=[
        ("unwanted", SMALL),
        ("wanted", SMALL),
        ("films", SMALL),
        ("abab", SMALL),
        ("film", SMALL),
        ("filmx", SMALL),
        ("xfilm", SMALL),
        ("wantable", {"want", "wan", "##table", "##able", "##t"}),
    ],
    mistakes=[
        (
            lambda word, vocabulary: _pieces(word, vocabulary, ends=lambda start, n: range(start + 1, n + 1)),
            "You take the shortest piece that fits. Try the longest end first.",
        ),
        (
            lambda word, vocabulary: _pieces(word, vocabulary, mark=""),
            "A piece inside a word is looked up with `##` in front.",
        ),
        (
            lambda word, vocabulary: _pieces(word, vocabulary, unknown=False),
            "If something does not fit, the *whole* word is [UNK].",
        ),
        (
            lambda word, vocabulary: [p.removeprefix("##") for p in _pieces(word, vocabulary)],
            "The pieces are right, but those inside a word keep their `##`.",
        ),
        (
            lambda word, vocabulary: _pieces(word, vocabulary)[:1],
            "Only the first piece: go on with the rest of the word.",
        ),
        (
            lambda word, vocabulary: [word] if word in vocabulary else ["[UNK]"],
            "Words that are not whole in the vocabulary are cut into pieces.",
        ),
    ],
    what="The pieces",
)
def wordpiece_of_lesson(word, vocabulary):
    return _pieces(word, vocabulary)


def draw_blank_hidden():
    g = np.random.default_rng(4)
    for lengths, n in (((3, 2), 3), ((1, 4, 2), 5), ((2,), 2)):
        mask = (np.arange(n) < np.array(lengths)[:, None]).astype(int)
        yield g.normal(size=(len(lengths), n, 3)).round(2), mask


@blank(
    "bert.blank.4",
    title="Mean pooling",
    inputs=draw_blank_hidden,
    mistakes=[
        (
            lambda hidden, mask: hidden.mean(axis=1),
            "Padding is in your mean: multiply by the mask and divide by its sum.",
        ),
        (
            lambda hidden, mask: (hidden * mask[:, :, None]).mean(axis=1),
            "Padding is out of the sum, but you divide by n. Divide by the number of real tokens.",
        ),
        (
            lambda hidden, mask: (hidden * mask[:, :, None]).sum(axis=1),
            "This is the sum. Divide by the number of real tokens.",
        ),
        (lambda hidden, mask: hidden[:, 0], "That is the first token, [CLS]. The mean over real tokens is wanted."),
        (
            lambda hidden, mask: np.where(mask[:, :, None] == 1, hidden, -np.inf).max(axis=1),
            "That is the maximum over real tokens. The mean is wanted.",
        ),
        (
            lambda hidden, mask: (hidden * mask[:, :, None]).sum(axis=1) / mask.sum(),
            "You divide by the real tokens of the whole batch. Each sentence has its own number.",
        ),
    ],
    what="The vectors",
)
def mean_pooling_of_lesson(hidden, mask):
    real = mask[:, :, None]
    return (hidden * real).sum(axis=1) / real.sum(axis=1)


# ---------------------------------------------------------------- an open challenge
NUM_WORDS, PER_SIDE, NUM_SMALL, NUM_NOT = 400, 60, 60, 3
NUM_TEXTS, NUM_LABELED, NUM_TEST, SENTENCES = 8000, 20, 2000, 4


def draw_language(g):
    """Word ids 1 to 400 in random roles: two sides of feeling words, small words, negations, and topics."""
    ids = g.permutation(np.arange(1, NUM_WORDS + 1))
    edges = np.cumsum([PER_SIDE, PER_SIDE, NUM_SMALL, NUM_NOT])
    return np.split(ids, edges)


def write(g, language, labels):
    """One text per label: four sentences of five words, (n, 20). A negation comes before a word of the other side."""
    first, second, small, negations, topics = language
    sides = np.stack([first, second])
    n = len(labels)
    feeling = np.where(g.random((n, SENTENCES)) < 0.9, labels[:, None], 1 - labels[:, None])
    negated = g.random((n, SENTENCES)) < 0.15
    side = np.where(negated, 1 - feeling, feeling)
    text = np.empty((n, SENTENCES, 5), int)
    text[..., 0] = g.choice(small, (n, SENTENCES))
    text[..., 1] = g.choice(topics, (n, SENTENCES))
    text[..., 2] = g.choice(small, (n, SENTENCES))
    text[..., 3] = np.where(negated, g.choice(negations, (n, SENTENCES)), g.choice(small, (n, SENTENCES)))
    text[..., 4] = sides[side, g.integers(PER_SIDE, size=(n, SENTENCES))]
    return text.reshape(n, -1)


def draw_language_challenge(g):
    """Many texts without labels, twenty with, and new ones whose labels stay hidden."""
    language = draw_language(g)
    unlabeled = write(g, language, g.integers(2, size=NUM_TEXTS))
    labels = g.permutation(np.arange(NUM_LABELED) % 2)
    test_labels = g.integers(2, size=NUM_TEST)
    inputs = {
        "unlabeled": unlabeled,
        "train": write(g, language, labels),
        "train_labels": labels,
        "test": write(g, language, test_labels),
    }
    return Drawn(inputs, test_labels)


def feeling_accuracy(handed_in, inputs, labels):
    """Share of the hidden labels that were predicted."""
    return np.mean(handed_in["predictions"] == labels)


challenge(
    "bert.challenge",
    title="Twenty labels in an unknown language",
    statement=[
        "Somebody hands you texts in a language that nobody can translate: each is a row of 20 word ids, four sentences of",
        "five words. Every text has one of two feelings, 0 or 1, and its sentences mostly agree. `unlabeled` has 8,000 texts,",
        "`train` has 20 with `train_labels` and `test` has 2,000. Predict the labels of `test`, in any way. On the draw below,",
        "a logistic regression on the bags of words of `train` reaches 0.56. Word vectors counted in `unlabeled` (pointwise mutual",
        "information within a text, four singular vectors, as in lesson word_vectors), averaged over a text, with the same",
        "classifier, reach 0.87. Some words turn a sentence around, as *not* does: who finds out which from `unlabeled`, reaches",
        "0.97 here.",
    ],
    draw=draw_language_challenge,
    score=feeling_accuracy,
    hand_in={"predictions": Array((NUM_TEST,), "integer")},
    to_beat=0.7,
    points_by_score={0.7: 1, 0.9: 2, 0.94: 3},
    minutes=75,
    score_name="accuracy",
)
