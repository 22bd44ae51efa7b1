"""Verdicts and messages on all known answers stay what they were before exercises were written as data.

`stored_verdicts.json` holds [status, message] of every answer in answers_*.py, as the first edition's checks gave them.
Inputs are drawn anew, so numbers may differ; the verdict and the mistake that is named may not, unless it is listed in
`BETTER` with what is said now.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from exercise_harness import judged, known_answers

pytestmark = pytest.mark.xdist_group("answers")  # with test_answers.py: each answer is judged once
STORED = json.loads(Path(__file__).with_name("stored_verdicts.json").read_text(encoding="utf-8"))
KNOWN = known_answers()
BETTER = {  # (exercise, k-th wrong answer): how the message begins now
    # plainer English: "a column", "places", "thrice", "Asked is", "were asked"
    ("start_here.1", 4): "That is the single largest cell. Each cue x has a best label of its own: one maximum per "
    "column, then the sum.",
    ("start_here.1", 8): "`argmax` gives positions, not probabilities. Take the largest values themselves.",
    ("start_here.2", 0): "You multiplied the posteriors and forgot the prior. Each of the three contains it, so it "
    "was counted three times.",
    ("start_here.3", 4): "Your share is accuracy over ceiling. It should say how much of the gap from single model to "
    "ceiling was closed.",
    # the gain is judged by Student's interval, no longer by two standard errors
    ("start_here.3", 5): "You call every positive gain supported. Ask whether it is more than t standard errors above "
    "zero.",
    ("start_here.3", 15): "You compare the mean gain with # standard error, it seems. Take t from `T#`.",
    **{
        ("start_here.3", k): "You compare the mean gain with # standard errors, it seems. Take t from `T#`."
        for k in (16, 17, 18, 19)
    },
    # the word is that of the answer: late fusion need not add
    ("fusion.4", 1): 'You always choose "late". Compare its ceiling with the single one and with the joint one.',
    ("fusion.4", 4): "Your slack is too wide: # is meant, one percentage point of accuracy.",
    ("fusion.4", 0): "You always choose interaction. It is never below, but often no better: the simplest that is "
    "enough is wanted.",
    (
        "images.1",
        7,
    ): "You took the brightest pixel of each block. That is max pooling (lesson cnn); the mean is wanted.",
    ("images.2", 6): "You mirrored the border without repeating it (`reflect`). `mode='edge'` is wanted.",
    ("images.2", 9): "You divided by the largest strength. Useful to look at, but not wanted here.",
    ("audio.3", 2): "This frame does both, but a shorter one does too. The smallest is wanted.",
    ("cnn.1", 6): "Your first values wrap round: pixels from the other end of the picture come in (negative indices do "
    "that, and so does an FFT). The kernel counts only where it fits.",
    ("text.2", 0): "These are the words that may go. The dangerous ones are wanted.",
    (
        "sentiment.1",
        1,
    ): "That is what each adds when it comes last, to the two others. Average over every order in which they may come.",
    ("cnn.1", 7): "You let the kernel hang over the border (mode 'full'). It counts only where it fits: "
    "(h − kh + #, w − kw + #).",
    ("cnn.1", 8): "Your output is as large as the picture (mode 'same'). The kernel counts only where it fits.",
    ("cnn.1", 10): "The last row and column are missing: there are h − kh + # positions along an axis, not h − kh.",
    ("cnn.2", 3): "Your width lacks the + #: a kernel that just fits has one position, not none.",
    ("cnn.2", 8): "Your field ends where the picture does. Positions in the padding count, too: keep to the formula.",
    ("cnn.3", 6): "Your error is that of the repaired array. What is wanted is the error of `ours` as it is, "
    "whatever the verdict.",
    # a class can be called and be true, and still have no hit
    ("evaluate.1", 8): "NaN: a class without a hit, called or not, gives #/#. Count its F# as #.",
    # the field's word for what the first edition called nudging
    (
        "cnn.3",
        0,
    ): "Your error is absolute. Divide by the largest numerical gradient: gradients of any size should be judged "
    "alike.",
    (
        "cnn.3",
        2,
    ): "You divided by the largest of `ours`. It is `ours` that is on trial: divide by the numerical gradient.",
    (
        "cnn.3",
        4,
    ): "You divided by the largest slope with its sign. Largest in size is meant: `np.abs(numerical).max()`.",
    ("cnn.3", 15): "You ask for exact equality. Finite differences are only right to some eight digits: allow #.",
    # "attend", where the first edition looked; the outputs of attention.3 have other names
    ("attention.2", 2): "You masked rows, the queries. Padding must not be attended *to*: mask columns, "
    "`padding_mask[:, None, :]`.",
    ("attention.2", 5): "Your causal mask opens the future and closes the past: it is the other triangle.",
    (
        "attention.2",
        6,
    ): "Your causal mask closes a word to itself. Word i may attend to word i: the diagonal belongs to it.",
    ("attention.2", 10): "A row that may attend to nothing became NaN (# divided by #). It should be all zeros.",
    (
        "attention.2",
        11,
    ): "A row that may attend to nothing spreads over everything, padding included. It should be all zeros.",
    ("attention.3", 0): "Your contributions leave out the weights: a word that is hardly attended to cannot say much.",
    (
        "attention.3",
        1,
    ): "Your `strongest` is the largest contribution upwards. One that pushes down hard moves the logit too: `np.abs`.",
    ("attention.3", 2): "Your `strongest` is the most attended word. The whole point is that it may be another.",
    ("attention.3", 3): "Your `strongest` goes by the values' size. What counts is the part that the readout sees.",
    ("attention.3", 6): "Your `most_attended` goes by contributions. It is the index of the largest weight.",
    ("attention.3", 7): "The result should be # values (contributions, most_attended, strongest); got #.",
    # one fixed sentence, which grading may show as well; the names and numbers of the case follow in the second line
    ("multimodal_data.4", 0): "A leak: somebody is in the test set and in training. Draw people, not samples.",
    ("multimodal_data.4", 1): "The share is of people, and another number of them is in your test set.",
    ("multimodal_data.4", 10): "You rounded down: the number of people in the test set is the nearest whole number.",
    ("multimodal_data.4", 11): "You rounded up: the number of people in the test set is the nearest whole number.",
}


def named(message: str) -> str:
    """The mistake that a message names: its first line, with numbers and shapes left out."""
    return re.sub(r"\((#, ?)+#?\)", "(#)", re.sub(r"-?\d+(\.\d+)?(e[+-]\d+)?", "#", message.split("\n")[0]))


@pytest.mark.parametrize("id", STORED)
def test_verdicts_are_the_stored_ones(id: str):
    assert len(KNOWN[id].right) == len(STORED[id]["right"]) and len(KNOWN[id].wrong) == len(STORED[id]["wrong"])
    for k, (status, _) in enumerate(STORED[id]["right"]):
        assert judged(id, "right", k).status == status == "passed"
    changed = []
    for k, (status, message) in enumerate(STORED[id]["wrong"]):
        result = judged(id, "wrong", k)
        assert (result.status, status) == ("wrong", "wrong"), (k, message)
        wanted = BETTER.get((id, k), named(message))
        if named(result.message) != wanted:
            changed.append((k, message, result.message))
    assert not changed
