"""Labels of a dialogue, a test of who looks, and the open challenge; exercises in PyTorch are in their own file."""

import numpy as np

from mmcourse.datasets.scenes import world
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
    lesson,
    one_of,
    part,
    right,
    says,
)

lesson(
    "vlm",
    promise="Labels of a dialogue with several turns, LoRA merged, pixel shuffle, a test of who looks, and a challenge: "
    "answering “there is none”.",
    uses="NumPy and Python; two PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def dialogue_labels(turns, num_visual, special):
    """Ids and labels of a dialogue about one picture, two lists of equal length."""
    ids = [special["bos"]] + [special["image"]] * num_visual
    labels = [-100] * len(ids)
    for question, answer in turns:
        asked = [special["user"], *question, special["assistant"]]
        said = [*answer, special["eos"]]
        ids = ids + asked + said
        labels = labels + [-100] * len(asked) + said
    return ids, labels


ROLES = ("bos", "eos", "image", "user", "assistant")


def draw_turns(g, turns, words, num_visual):
    made = []
    for _ in range(turns):
        question = g.integers(20, 90, int(g.integers(2, 6))).tolist()
        answer = g.integers(20, 90, words).tolist()
        made.append((question, answer))
    special = dict(zip(ROLES, g.permutation(20)[: len(ROLES)].tolist(), strict=True))
    return made, num_visual, special


labels = exercise(
    "vlm.1",
    dialogue_labels,
    title="What is trained in a dialogue",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "A dialogue about one picture may have several turns. `turns` is a list of pairs (question, answer), each a "
            "list of token ids; `special` has the ids of `bos`, `eos`, `image`, `user` and `assistant`."
        ),
        says(
            "**Write** `dialogue_labels(turns, num_visual, special)`. The ids begin with `bos` and `num_visual` times "
            "`image`, once for the whole dialogue.",
            mistake="picture comes once",
        ),
        says(
            "Then, for each turn: `user`, the question, `assistant`, the answer, `eos`.", mistake="`eos`: it is missing"
        ),
        says("The labels are as long as the ids, and not shifted: the loss shifts.", mistake="shifted"),
        says("A label is −100 where nothing is learned: at `bos`, at the picture,", mistake="picture is trained"),
        says("at `user`, the question and `assistant`.", mistake="question is trained"),
        says("All answers of the dialogue are labels, not only the last,", mistake="last answer"),
        says("and so is the `eos` behind each of them.", mistake="learns to stop"),
        says("Return two lists of integers: ids, labels.", mistake="other way round"),
        example("""
special = {"bos": 1, "eos": 2, "image": 5, "user": 6, "assistant": 7}
turns = [([31, 32], [40]), ([33], [41, 42])]  # two questions with their answers
print("ids begin with", [special["bos"], special["image"], special["image"], special["user"], 31])
"""),
    ],
    hints=[
        "Build both lists side by side, so that they can never differ in length: whatever you add to the ids, add as many "
        "labels.",
        "Per turn: `asked = [user, *question, assistant]` with `[-100] * len(asked)`, and `said = [*answer, eos]` twice.",
    ],
    draw=draw_turns,
    parts=[
        part("one turn", turns=1, words=between(1, 3), num_visual=3),
        part("two turns", weight=2, turns=2, words=between(1, 3), num_visual=between(2, 4)),
        part("four turns", turns=4, words=2, num_visual=1),
        part("an empty answer", turns=2, words=0, num_visual=2),
        part("no picture", turns=1, words=2, num_visual=0),
        part("no turn yet", turns=0, words=1, num_visual=2),
    ],
    constant={"special": "a vocabulary has these five pieces; their ids vary"},
    own={"turns": 2, "words": 1, "num_visual": 1},
    own_says="A dialogue of your own",
    mistakes={
        "The picture comes once, at the beginning, not before each turn.": (
            lambda turns, num_visual, special: joined(turns, num_visual, special, repeat=True)
        ),
        "Each answer ends with `eos`: it is missing.": edit('said = [*answer, special["eos"]]', "said = [*answer]"),
        "The labels are shifted: leave them where the ids are, the loss shifts.": (
            lambda turns, num_visual, special: joined(turns, num_visual, special, shift=True)
        ),
        "The picture is trained: a visual token has no id that could be predicted.": edit(
            "labels = [-100] * len(ids)", 'labels = [-100] + [special["image"]] * num_visual'
        ),
        "The question is trained: it is the person who asks.": edit(
            "labels = labels + [-100] * len(asked) + said", "labels = labels + asked + said"
        ),
        "`assistant` is trained: the person's turn ends with it, the model does not say it.": (
            lambda turns, num_visual, special: joined(turns, num_visual, special, role=True)
        ),
        "Only the last answer is trained: all of them are labels.": (
            lambda turns, num_visual, special: joined(turns, num_visual, special, last=True)
        ),
        "The model never learns to stop: the `eos` behind an answer is a label, too.": edit(
            "labels = labels + [-100] * len(asked) + said", "labels = labels + [-100] * len(asked) + [*answer, -100]"
        ),
        "`eos` comes behind each answer, not only behind the last.": (
            lambda turns, num_visual, special: joined(turns, num_visual, special, one_end=True)
        ),
        "The two lists are the other way round: ids first.": "return labels, ids",
    },
    praise="Wrong labels are the most frequent reason why a VLM learns nothing, or never stops talking.",
)


def joined(turns, num_visual, special, repeat=False, shift=False, role=False, last=False, one_end=False):
    """The answer with one mistake."""
    picture = [special["image"]] * num_visual
    ids, labels = [special["bos"], *([] if repeat else picture)], [-100] * (1 if repeat else 1 + num_visual)
    for number, (question, answer) in enumerate(turns):
        asked = [*(picture if repeat else []), special["user"], *question]
        end = [] if one_end and number + 1 < len(turns) else [special["eos"]]
        said = [*answer, *end]
        trained = said if not last or number + 1 == len(turns) else [-100] * len(said)
        ids += [*asked, special["assistant"], *said]
        labels += [-100] * len(asked) + [special["assistant"] if role else -100] + trained
    return ids, [*labels[1:], -100] if shift else labels


@right(labels)
def by_mask(turns, num_visual, special):
    ids, learns = [special["bos"], *[special["image"]] * num_visual], [False] * (1 + num_visual)
    for question, answer in turns:
        for piece in [special["user"], *question, special["assistant"]]:
            ids.append(piece)
            learns.append(False)
        for piece in [*answer, special["eos"]]:
            ids.append(piece)
            learns.append(True)
    return ids, [piece if learned else -100 for piece, learned in zip(ids, learns, strict=True)]


# ---------------------------------------------------------------- 4
def who_looks(own, exchanged, truth, question):
    """Shares right with both pictures, the limit of language alone, and whether the model looks."""
    share_own = np.mean(own == truth)
    share_exchanged = np.mean(exchanged == truth)
    best = 0
    for one in np.unique(question):
        answers = truth[question == one]
        best += np.unique(answers, return_counts=True)[1].max()
    limit = best / len(truth)
    return share_own, share_exchanged, limit, bool(share_own > limit)


def draw_test(g, groups, answers, sees, balanced):
    truth, question, own, exchanged = [], [], [], []
    for number in range(groups):
        size = answers if balanced else int(g.integers(2, 6))
        right_ones = g.permutation(answers) if balanced else g.integers(0, answers, size)
        habit = int(g.integers(answers))  # what it says without looking
        for one in right_ones.tolist():
            truth.append(one)
            question.append(number)
            own.append(one if g.random() < sees else habit)
            exchanged.append(int(g.integers(answers)) if g.random() < sees else habit)
    order = g.permutation(len(truth))
    arrays = (np.array(x)[order] for x in (own, exchanged, truth, question))
    return tuple(arrays)


looks = exercise(
    "vlm.4",
    who_looks,
    title="Does it look?",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "A model has answered n questions, each with its own picture (`own`) and with another one (`exchanged`). "
            "`truth` is what is right with the own picture. All are integer arrays (n,). Questions with the same number in "
            "`question` (n,) have the same words, but different pictures."
        ),
        says(
            "**Write** `who_looks(own, exchanged, truth, question)`. Return four values: the share of right answers with "
            "the own picture,",
            mistake="shares of wrong answers",
        ),
        says(
            "the share with the exchanged one (right is what is right for the *own* picture, for that is the question),",
            mistake="agrees with itself",
        ),
        says(
            "the limit of language alone: whoever does not look says the same to the same words, at best the answer that is "
            "most often right for them,",
            mistake="same for all questions",
        ),
        says(
            "as a share of all n (not the mean of the shares of each question: they have different numbers of pictures);",
            mistake="mean of the shares",
        ),
        says(
            "and True if the model is right more often than this limit, else False.", mistake="Compare with the limit"
        ),
        example("""
truth = np.array([0, 1, 1, 2])
question = np.array([3, 3, 3, 8])  # three pictures for the words number 3, one for number 8
print("at best", 2 + 1, "of 4 without looking")
"""),
    ],
    hints=[
        "For the limit: which rows have the same words? How often does each of their right answers occur, and which is the "
        "best single answer?",
        "`np.unique(truth[question == one], return_counts=True)[1].max()`, added up over all numbers, divided by n.",
    ],
    draw=draw_test,
    parts=[
        part("balanced, it looks", groups=between(4, 6), answers=3, sees=0.95, balanced=True),
        part("balanced, it does not", groups=5, answers=4, sees=0.0, balanced=True),
        part("not balanced, it looks", weight=2, groups=8, answers=3, sees=0.9, balanced=False),
        part("not balanced, it hardly does", weight=2, groups=9, answers=3, sees=one_of(0.1, 0.2), balanced=False),
        part("one question", groups=1, answers=3, sees=0.5, balanced=True),
    ],
    own={"groups": 3, "answers": 3, "sees": 0.5, "balanced": True},
    own_says="Answers of your own",
    mistakes={
        "These are the shares of wrong answers.": edit(
            "np.mean(own == truth)",
            "np.mean(own != truth)",
            "np.mean(exchanged == truth)",
            "np.mean(exchanged != truth)",
        ),
        "This is how often the model agrees with itself: compare with `truth`.": (
            "share_exchanged = np.mean(exchanged == own)"
        ),
        "Without looking one may say something else to other words: your limit says the same for all questions.": (
            "limit = np.unique(truth, return_counts=True)[1].max() / len(truth)"
        ),
        "This limit is one divided by the number of answers: the same words may have one answer more often.": (
            "limit = 1 / len(np.unique(truth))"
        ),
        "Your limit counts one right answer per question: without balance it may be more.": edit(
            "best += np.unique(answers, return_counts=True)[1].max()", "best += 1"
        ),
        "You took the mean of the shares of each question: add up the counts first.": (
            lambda own, exchanged, truth, question: with_means(own, exchanged, truth, question)
        ),
        "Compare with the limit: being above the share with exchanged pictures is not the question.": (
            "return share_own, share_exchanged, limit, bool(share_own > share_exchanged)"
        ),
        "As good as the limit is no proof: it must be above.": (
            "return share_own, share_exchanged, limit, bool(share_own >= limit)"
        ),
    },
    praise="Four numbers that should be in every report about a model with eyes.",
)


def with_means(own, exchanged, truth, question):
    """The answer with one mistake."""
    shares = []
    for one in np.unique(question):
        answers = truth[question == one]
        shares.append(np.unique(answers, return_counts=True)[1].max() / len(answers))
    limit = np.mean(shares)
    return np.mean(own == truth), np.mean(exchanged == truth), limit, bool(np.mean(own == truth) > limit)


@right(looks)
def by_dictionary(own, exchanged, truth, question):
    counts = {}
    for words, answer in zip(question.tolist(), truth.tolist(), strict=True):
        counts.setdefault(words, {}).setdefault(answer, 0)
        counts[words][answer] += 1
    limit = sum(max(found.values()) for found in counts.values()) / len(truth)
    accuracy = (own == truth).sum() / len(truth)
    return accuracy, (exchanged == truth).sum() / len(truth), limit, accuracy > limit


# ---------------------------------------------------------------- an open challenge
NUM_QUESTIONS = 240
NONE = len(world.COLORS)  # the answer that there is none


def draw_premises(g):
    """Pictures, the shape that is asked for, and the color of it; for half of them there is no such thing."""
    seed = int(g.integers(1 << 40, 1 << 50))  # far from every seed of the course
    images, shapes, colors = [], [], []
    index = 0
    while len(images) < NUM_QUESTIONS:
        scene = world.make(seed, index)
        index += 1
        counts = [sum(thing.shape == shape for thing in scene.things) for shape in range(len(world.SHAPES))]
        wanted = 0 if len(images) % 2 else 1
        candidates = [shape for shape, count in enumerate(counts) if count == wanted]
        if not candidates:
            continue
        shape = int(g.choice(candidates))
        images.append(draw_scene(scene))
        shapes.append(shape)
        colors.append(next((thing.color for thing in scene.things if thing.shape == shape), NONE))
    order = g.permutation(NUM_QUESTIONS)
    inputs = {"images": np.stack(images)[order], "shapes": np.array(shapes)[order]}
    return Drawn(inputs, np.array(colors)[order])


def share_answered(handed_in, inputs, colors):
    """Share of right answers."""
    return np.mean(handed_in["answers"] == colors)


challenge(
    "vlm.challenge",
    title="There is none",
    statement=[
        "“What is the colour of the star?” The lesson's model mostly names a color, even where there is no star. Build one",
        "that does not. `images` (240, 64, 64, 3), uint8, are pictures; `shapes` (240,) say what is asked for: a row of",
        "`world.SHAPES` (`from mmcourse.datasets.scenes import world`). In half of the pictures there is exactly one such",
        "thing, in the others there is none. Hand in `answers`, integers (240,): the row of its color in `world.COLORS`, or 8",
        "for “there is none”. Any way is welcome: LoRA on questions with a false premise (`questions.words` writes them), a",
        "second question to the same model before the first is believed, or a small network on the grid of features. The",
        "lesson's model, believed as it is, can be right in half of the cases at most.",
    ],
    draw=draw_premises,
    score=share_answered,
    hand_in={"answers": Array((NUM_QUESTIONS,), "integer")},
    to_beat=0.75,
    points_by_score={0.75: 1, 0.9: 2, 0.97: 3},
    minutes=90,
    score_name="share answered rightly",
)
