"""What people say in mood: short English sentences from a grammar, sorted by what they claim to feel."""

from __future__ import annotations

import functools
import itertools
import re
import string

import numpy as np

from ..base import SPLITS
from .table import CLASSES

SHARES = (0.6, 0.2, 0.2)  # of the sentences, by split
AT_MOST = 110  # sentences of one pattern, so that no pattern drowns the others

SLOTS = {
    "topic": "dinner concert film trip party meeting walk talk show game wedding picnic lesson fair".split(),
    "very": "really so truly simply quite".split(),
    "opener": "Honestly, Well, Frankly, Yes, Oh,".split(),
    "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "time": "six seven eight nine ten noon".split(),
    "few": "two three four".split(),
    "number": "twelve twenty thirty forty sixty".split(),
    "place": "station river library market school bridge".split(),
}
POSITIVE = {
    "adjective": "wonderful lovely great brilliant charming delightful fun beautiful superb good".split(),
    "verb": "loved enjoyed adored treasured".split(),
    "like": "love enjoy like admire".split(),
    "effect": "smile laugh happy proud".split(),
    "verdict": ("worth every penny", "the best in years", "a dream come true", "a joy from start to end"),
    "will": "gladly happily".split(),
    "close": ("I could stay for hours", "everyone left with a smile", "my heart was full"),
}
NEGATIVE = {
    "adjective": "awful boring terrible dreadful dull horrible tedious gloomy poor bad".split(),
    "verb": "hated disliked regretted endured".split(),
    "like": "hate regret dislike mind".split(),
    "effect": "cry sad angry miserable".split(),
    "verdict": ("a waste of money", "the worst in years", "a nightmare", "a mess from start to end"),
    "will": "never hardly".split(),
    "close": ("I wanted to leave at once", "everyone left early", "my head still hurts"),
}
FEELING = (
    "The {topic} was {very} {adjective}.",
    "I {verb} every minute of the {topic}.",
    "What a {adjective} {topic} that was.",
    "Our time at the {topic} was {very} {adjective}.",
    "{opener} the {topic} made me {effect}.",
    "{opener} that {topic} was {verdict}.",
    "I would {will} go to a {topic} like that again.",
    "The {topic} was {adjective} and {close}.",
    "The {topic} was not {other_adjective} at all.",
    "I did not {other_like} the {topic} one bit.",
)
PLAIN = (
    "The {topic} starts at {time} on {day}.",
    "There were {number} people at the {topic}.",
    "We took the bus to the {topic} on {day}.",
    "They moved the {topic} from {day} to {other_day}.",
    "The {topic} is not until {day}.",
    "I wrote down the date of the {topic}.",
    "{opener} the {topic} was neither {adjective} nor {other_adjective}.",
    "We left for the {topic} at {time}.",
    "The way to the {topic} goes past the {place}.",
    "My brother drove to the {topic} with {few} friends.",
)


def _others(slots: dict) -> dict:
    return {f"other_{name}": values for name, values in slots.items()}


GRAMMAR = {
    "negative": (FEELING, {**SLOTS, **NEGATIVE, **_others(POSITIVE)}),
    "neutral": (PLAIN, {**SLOTS, **POSITIVE, **_others(NEGATIVE), "other_day": SLOTS["day"]}),
    "positive": (FEELING, {**SLOTS, **POSITIVE, **_others(NEGATIVE)}),
}


def expand(pattern: str, slots: dict, rng: np.random.Generator) -> list[str]:
    """Sentences of one pattern, all different, in an order by chance; AT_MOST of them."""
    names = [name for _, name, _, _ in string.Formatter().parse(pattern) if name]
    filled = [dict(zip(names, words, strict=True)) for words in itertools.product(*(slots[n] for n in names))]
    filled = [f for f in filled if f.get("day") != f.get("other_day", "")]
    return [_article(pattern.format(**filled[i])) for i in rng.permutation(len(filled))[:AT_MOST]]


def _article(sentence: str) -> str:
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", sentence)


@functools.cache
def sentences(split: str) -> dict[str, tuple[str, ...]]:
    """The split's sentences by cue; the three splits share none."""
    rng = np.random.default_rng(2)
    edges = np.cumsum((0, *SHARES))
    which = SPLITS.index(split)
    out = {}
    for cue in CLASSES:
        patterns, slots = GRAMMAR[cue]
        kept = []
        for pattern in patterns:
            lines = expand(pattern, slots, rng)
            first, last = (int(round(len(lines) * edges[k])) for k in (which, which + 1))
            kept += lines[first:last]
        out[cue] = tuple(kept)
    return out


def tokenize(sentence: str) -> list[str]:
    """Lower-case words, without punctuation."""
    return re.findall(r"[a-z']+", sentence.lower())


@functools.cache
def vocabulary() -> tuple[str, ...]:
    """Words by id, from the training sentences; id 0 pads, id 1 stands for any other word."""
    words = {word for lines in sentences("train").values() for line in lines for word in tokenize(line)}
    return ("<pad>", "<unk>", *sorted(words))


def encode(sentence: str) -> np.ndarray:
    """int64 (l,) ids of a sentence's words."""
    ids = {word: i for i, word in enumerate(vocabulary())}
    return np.array([ids.get(word, 1) for word in tokenize(sentence)], np.int64)
