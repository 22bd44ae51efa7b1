"""Known right and wrong answers to the exercises of lesson vlm, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- vlm.1
def dialogue(
    picture="once", end="each", trained=lambda role, text: text if role == "answer" else None, shift=0, flip=False
):
    """A right answer with places to go wrong."""

    def answer(turns, num_visual, special):
        pieces = [("bos", special["bos"])]
        if picture == "once":
            pieces += [("image", special["image"])] * num_visual
        for number, (question, said) in enumerate(turns):
            if picture == "each":
                pieces += [("image", special["image"])] * num_visual
            pieces += [("user", special["user"]), *(("question", x) for x in question)]
            pieces += [("assistant", special["assistant"]), *(("answer", x) for x in said)]
            if end == "each" or (end == "last" and number + 1 == len(turns)):
                pieces.append(("answer" if end_learned(trained) else "end", special["eos"]))
        ids = [x for _, x in pieces]
        labels = [-100 if trained(role, x) is None else x for role, x in pieces]
        if shift:
            labels = labels[shift:] + [-100] * shift
        return (labels, ids) if flip else (ids, labels)

    return answer


def end_learned(trained):
    """Whether the end counts as part of the answer for this rule."""
    return not getattr(trained, "without_end", False)


def only(*roles):
    """A rule: these roles are trained."""
    return lambda role, text: text if role in roles else None


def no_end(role, text):
    """The answer without its end."""
    return text if role == "answer" else None


no_end.without_end = True


def last_turn(turns, num_visual, special):
    """Only the last answer is trained."""
    ids, labels = dialogue()(turns, num_visual, special)
    start = len(ids) - len(turns[-1][1]) - 1 if turns else 0
    return ids, [-100] * start + labels[start:]


# ---------------------------------------------------------------- vlm.4
def judge(compare=lambda a, b: (a == b).mean(), other=None, limit=None, above=lambda own, other, limit: own > limit):
    """A right answer with places to go wrong."""

    def answer(own, exchanged, truth, question):
        mine, shuffled = compare(own, truth), compare(exchanged, truth) if other is None else other(own, exchanged)
        most = [np.bincount(truth[question == words]).max() for words in set(question.tolist())]
        bound = sum(most) / truth.size if limit is None else limit(truth, question)
        return float(mine), float(shuffled), float(bound), bool(above(mine, shuffled, bound))

    return answer


def mean_of_shares(truth, question):
    """Each question counts the same, however many pictures it has."""
    return np.mean([np.bincount(truth[question == q]).max() / (question == q).sum() for q in np.unique(question)])


ANSWERS = {
    "vlm.1": Answers(
        right=[dialogue(), lambda turns, num_visual, special: tuple(map(list, dialogue()(turns, num_visual, special)))],
        wrong=[
            (dialogue(picture="each"), "picture comes once"),
            (dialogue(end="none"), "it is missing"),
            (dialogue(shift=1), "shifted"),
            (dialogue(trained=only("answer", "image")), "picture is trained"),
            (dialogue(trained=only("answer", "question", "user", "assistant")), "question is trained"),
            (dialogue(trained=only("answer", "assistant")), "`assistant` is trained"),
            (last_turn, "last answer"),
            (dialogue(trained=no_end), "learns to stop"),
            (dialogue(end="last"), "behind each answer"),
            (dialogue(flip=True), "other way round"),
        ],
    ),
    "vlm.4": Answers(
        right=[judge(), judge(compare=lambda a, b: np.count_nonzero(a == b) / len(a))],
        wrong=[
            (judge(compare=lambda a, b: (a != b).mean()), "shares of wrong answers"),
            (judge(other=lambda own, exchanged: (own == exchanged).mean()), "agrees with itself"),
            (judge(limit=lambda truth, question: np.bincount(truth).max() / truth.size), "same for all questions"),
            (judge(limit=lambda truth, question: 1 / len(set(truth.tolist()))), "number of answers"),
            (
                judge(limit=lambda truth, question: len(set(question.tolist())) / truth.size),
                "one right answer per question",
            ),
            (judge(limit=mean_of_shares), "mean of the shares"),
            (judge(above=lambda own, other, limit: own > other), "Compare with the limit"),
            (judge(above=lambda own, other, limit: own >= limit), "As good as the limit"),
        ],
    ),
}
