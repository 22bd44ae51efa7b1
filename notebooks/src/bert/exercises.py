"""Two exercises on BERT: hiding words, and a report that may be too good."""

import numpy as np

from mmcourse.exercise import context, edit, example, exercise, lesson, one_of, paragraph, part, right, says

lesson(
    "bert",
    promise="Two tasks: hide words by the rule, and judge a report before you believe it.",
    setup="""
import numpy as np

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
