"""What callers say to a shop that makes colored signs: twelve intents and what is out of scope, by a grammar.

Every choice has a known probability, and all sentences can be listed: so p(intent, text) is exact.
"""

from __future__ import annotations

import functools
import itertools
import string
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..scenes.world import COLORS, SHAPES, SIZES

PRIOR_OF = {
    "order": 0.14,
    "change_color": 0.07,
    "change_size": 0.07,
    "cancel": 0.09,
    "track": 0.13,
    "refund": 0.07,
    "exchange": 0.06,
    "broken": 0.08,
    "wrong_item": 0.06,
    "address": 0.06,
    "human": 0.05,
    "feedback": 0.06,
    "out_of_scope": 0.06,
}
INTENTS = tuple(PRIOR_OF)
PRIOR = np.array(list(PRIOR_OF.values()))
OUT_OF_SCOPE = INTENTS.index("out_of_scope")
SLOTS: dict[str, tuple[str, ...]] = {
    "color": COLORS,
    "other_color": COLORS,
    "shape": SHAPES,
    "other_shape": SHAPES,
    "shapes": ("circles", "squares", "triangles", "diamonds", "stars", "crosses"),
    "size": SIZES,
    "other_size": SIZES,
    "number": ("two", "three", "four"),
    "more": ("bigger", "smaller"),
}
# Three groups: what training hears; paraphrases that only `templates="unseen"` has; and for what is out of scope, the
# second topic. In a sentence "other_color" is never "color", and so on.
SEEN: dict[str, tuple[str, ...]] = {
    "order": (
        "i want {number} {color} {shapes}",
        "can i order a {size} {color} {shape}",
        "please send me {number} {size} {shapes}",
        "i want a {color} {shape} please",
    ),
    "change_color": (
        "can you change the colour of my {shape} to {color}",
        "please change the colour to {color}",
        "i want my {shape} in {color}",
        "i want the {color} {shape} not the {other_color} one",
    ),
    "change_size": (
        "can you change the size of my {shape}",
        "i want a {more} {shape}",
        "please change the size to {size}",
        "i want the {size} {shape} not the {other_size} one",
    ),
    "cancel": (
        "cancel my order please",
        "please cancel my {color} {shape}",
        "i do not want the {shape}",
        "please cancel the {size} {shape}",
    ),
    "track": (
        "where is my order",
        "where is the {color} {shape}",
        "when can i see my {color} {shape}",
        "where is the {shape} that i paid for",
    ),
    "refund": (
        "i want my money back",
        "please send me my money back",
        "i want my money back for the {color} {shape}",
        "i want to send my {color} {shape} back",
    ),
    "exchange": (
        "can i exchange my {shape}",
        "i want to send my {color} {shape} back",
        "can i send my {shape} back for a {color} one",
        "i want a {color} {shape} please",
    ),
    "broken": (
        "my {color} {shape} is broken",
        "the {shape} is broken",
        "my order came broken",
        "the {size} {shape} that i paid for is broken",
    ),
    "wrong_item": (
        "this is not my order",
        "my order is wrong",
        "this is a {color} {shape} not a {other_color} one",
        "this is the wrong {shape}",
    ),
    "address": (
        "please send my order to my new address",
        "can i change my address",
        "my address is wrong",
        "i need to change the address of my order",
    ),
    "human": (
        "can i talk to a person",
        "i need help please",
        "i want to talk to someone",
        "can someone help me",
    ),
    "feedback": (
        "thank you this is great",
        "great thank you",
        "my {color} {shape} is great",
        "well that was great",
    ),
    "out_of_scope": (
        "there is a {size} {color} {shape} on a {other_color} wall",
        "the {color} {shape} is left of a {other_shape}",
        "a {shape} lies under a {other_shape}",
        "where is the {color} {shape}",
    ),
}
UNSEEN: dict[str, tuple[str, ...]] = {
    "order": ("i need {number} new {shapes}", "can you send me a {color} {shape}"),
    "change_color": ("my {shape} in {color} please", "not {other_color} i want {color}"),
    "change_size": ("my {shape} is not large i want a {more} one", "a {more} {shape} please"),
    "cancel": ("please stop my order", "no i do not want it"),
    "track": ("my {shape} is not here", "when is my order here"),
    "refund": ("refund my order please", "money back for my {shape} please"),
    "exchange": ("i want to exchange the {color} {shape}", "a new {shape} for the old one please"),
    "broken": ("there is a broken {shape} in my order", "it came broken"),
    "wrong_item": ("it is the wrong one", "my {shape} is in the wrong colour"),
    "address": ("please do not send it to the old address", "i need my order at the new address"),
    "human": ("a person please", "help me please"),
    "feedback": ("your help was great", "great this is my {shape}"),
    "out_of_scope": (
        "the {color} {shape} moves to the left",
        "how many {shapes} can you see",
        "there are more {shapes} than that",
        "the {shape} gets {more} and vanishes",
    ),
}
TEMPLATES = {"seen": SEEN, "unseen": UNSEEN}
# Words that were recorded for this data set; every other word is one of `scenes`.
NEW_WORDS = tuple(
    sorted(
        "address back broken came cancel change do exchange for great help it me money my need new no not old one "
        "order paid person please refund send someone stop talk thank want was when wrong yes your".split()
    )
)


@dataclass(frozen=True)
class Sentence:
    """One thing that a caller may say: intent (a place in INTENTS), its words, and what fills its slots."""

    intent: int
    text: str
    slots: tuple[tuple[str, str], ...]
    p: float


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its slots filled; "a" becomes "an" before a vowel."""
    words = template.format(**values).split()
    for i, after in enumerate(words[1:]):
        if words[i] == "a" and after[0] in "aeiou":
            words[i] = "an"
    return " ".join(words)


def fillings(template: str) -> list[dict[str, str]]:
    """Every way to fill a template's slots, each as likely."""
    names = [name for _, name, _, _ in string.Formatter().parse(template) if name]
    ways = (dict(zip(names, values, strict=True)) for values in itertools.product(*(SLOTS[n] for n in names)))
    return [way for way in ways if all(way.get(n) != way.get(f"other_{n}", "") for n in ("color", "shape", "size"))]


@functools.cache
def sentences(templates: str = "seen") -> tuple[Sentence, ...]:
    """Everything that may be said, with its probability; a text that two intents share is there twice."""
    if templates not in TEMPLATES:
        raise ValueError(f"templates: expected one of {', '.join(TEMPLATES)}, got {templates!r}")
    found = []
    for number, name in enumerate(INTENTS):
        patterns = TEMPLATES[templates][name]
        for pattern in patterns:
            ways = fillings(pattern)
            p = float(PRIOR[number]) / len(patterns) / len(ways)
            found += [Sentence(number, fill(pattern, way), tuple(way.items()), p) for way in ways]
    return tuple(found)


@functools.cache
def texts(templates: str = "seen") -> tuple[str, ...]:
    """All different texts, in alphabetical order."""
    return tuple(sorted({sentence.text for sentence in sentences(templates)}))


@functools.cache
def joint(templates: str = "seen") -> np.ndarray:
    """p(intent, text), float64 (13, number of texts); sums to 1."""
    place = {text: i for i, text in enumerate(texts(templates))}
    table = np.zeros((len(INTENTS), len(place)))
    for sentence in sentences(templates):
        table[sentence.intent, place[sentence.text]] += sentence.p
    table.setflags(write=False)
    return table


@functools.cache
def vocabulary() -> tuple[str, ...]:
    """Every word of every sentence, and the answers yes and no, in alphabetical order."""
    every = {word for name in TEMPLATES for text in texts(name) for word in text.split()}
    return tuple(sorted(every | {"yes", "no", "it"}))


def draw(n: int, rng: np.random.Generator, templates: str = "seen") -> list[Sentence]:
    """n things that callers say, by their probabilities."""
    every = sentences(templates)
    p = np.array([sentence.p for sentence in every])
    return [every[i] for i in rng.choice(len(every), n, p=p / p.sum())]


def text_ceiling(templates: str = "seen") -> float:
    """Best accuracy of any guesser of the intent that gets the exact words: by going through all texts."""
    return float(joint(templates).max(axis=0).sum())


def shared_words(templates: str = "seen") -> float:
    """Share of the words that occur in sentences of two intents or more."""
    where: dict[str, set[int]] = {}
    for sentence in sentences(templates):
        for word in sentence.text.split():
            where.setdefault(word, set()).add(sentence.intent)
    return float(np.mean([len(intents) > 1 for intents in where.values()]))
