"""Short texts about things with shapes and colors, written by a grammar whose every choice is known: an exact entropy.

::

    from mmcourse.datasets.scenes import texts

    words = texts.sample(np.random.default_rng(0))  # ['a', 'small', 'red', 'star', 'lies', 'above', …]
    texts.log_probs(words)  # ln p(word | all words before it), the last one for the end of the text
    texts.entropy()  # nats per text, and words per text: exact

The first sentence names two or three things, all of different shapes. The second comes back to them: it says the color
of one again, asks for it and answers, or turns the relation round. So a color has to be remembered over a whole
sentence, *an* must fit the word that follows, and *two* is followed by two things.

Captions of scenes (`truth.log_p_text`) are probable to within the share of ties among relations only; here no choice
depends on a picture, so every probability is exact.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from mmcourse.preprocess.errors import InputError

from .captions import ENGLISH, INVERSE
from .world import COLORS, SHAPES

__all__ = ["END", "draw_texts", "entropy", "join", "log_probs", "next_words", "sample", "vocabulary_words"]

END = "<eos>"
SIGNS = (".", ",", ":", "?")
RELATIONS = ("left", "right", "above", "below")
Thing = tuple[str | None, str | None]  # the words for its shape and its color, as they were said
Memory = tuple[tuple[Thing, ...], str | None]  # things so far, and the relation of the first to the second
Symbols = tuple  # words (str) and rules (tuple), the next one first
State = tuple[Symbols, Memory]  # what is still to be written, and what it may refer to
Choice = tuple[float, Symbols, Memory]
Choices = tuple[Choice, ...]
NOTHING: Memory = ((), None)
START: State = ((("text",),), NOTHING)
SIZE_WORDS = (*ENGLISH["small"], *ENGLISH["large"])
COLOR_WORDS = {word: 1 / len(COLORS) / len(ENGLISH[name]) for name in COLORS for word in ENGLISH[name]}
SHAPE_OF = {word: name for name in SHAPES for word in ENGLISH[name]}
NP, END_OF_FIRST = ("np",), (".", ("after",))


# ---------------------------------------------------------------- the grammar
def _synonyms(name: str, memory: Memory) -> Choices:
    """One of the wordings of a name, each as likely."""
    options = ENGLISH[name]
    return tuple((1 / len(options), tuple(wording.lower().split()), memory) for wording in options)


def _noun_phrase(memory: Memory) -> Choices:
    """ "a tiny red disc", "an azure box", or "a star that is white"."""
    with_vowel = sum(p for word, p in COLOR_WORDS.items() if word[0] in "aeiou")
    rules: list[Choice] = [
        (0.5 / len(SIZE_WORDS), ("a", size, ("color", ""), ("shape",)), memory) for size in SIZE_WORDS
    ]
    rules.append((0.3 * (1 - with_vowel), ("a", ("color", "a"), ("shape",)), memory))
    rules.append((0.3 * with_vowel, ("an", ("color", "an"), ("shape",)), memory))
    rules.append((0.2, ("a", ("shape",), "that", "is", ("color", "")), memory))
    return tuple(rules)


def _color(article: str, memory: Memory) -> Choices:
    """A color word that fits the article."""
    things, where = memory
    fits = {word: p for word, p in COLOR_WORDS.items() if not article or (word[0] in "aeiou") == (article == "an")}
    total = sum(fits.values())
    found = []
    for word, p in fits.items():
        if things and things[-1][1] is None:  # "a star that is …"
            now = (*things[:-1], (things[-1][0], word))
        else:
            now = (*things, (None, word))
        found.append((p / total, (word,), (now, where)))
    return tuple(found)


def _shape(memory: Memory) -> Choices:
    """A word for a shape that is not there yet."""
    things, where = memory
    used = {SHAPE_OF[shape] for shape, _ in things if shape is not None}
    free = [name for name in SHAPES if name not in used]
    found = []
    for name in free:
        for word in ENGLISH[name]:
            if things and things[-1][0] is None:  # its color was said before
                now = (*things[:-1], (word, things[-1][1]))
            else:
                now = (*things, (word, None))
            found.append((1 / len(free) / len(ENGLISH[name]), (word,), (now, where)))
    return tuple(found)


def _after(memory: Memory) -> Choices:
    """The second sentence: what was said comes back, word for word."""
    things, where = memory
    say, ask = (0.4, 0.3) if where else (0.6, 0.4)
    found: list[Choice] = []
    for shape, color in things:
        found.append((say / len(things), ("the", shape, "is", color, "."), memory))
        found.append((ask / len(things), ("what", "colour", "is", "the", shape, "?", color, "."), memory))
    if where:
        (first, _), (second, _) = things
        found.append((0.15, ("the", first, "is", ("say", where), "the", second, "."), memory))
        found.append((0.15, ("the", second, "is", ("say", INVERSE[where]), "the", first, "."), memory))
    return tuple(found)


@functools.lru_cache(maxsize=100_000)
def choices(symbol: tuple, memory: Memory) -> Choices:
    """What a rule can become: (probability, symbols, memory) each."""
    kind = symbol[0]
    if kind == "text":
        return (
            (0.4, (NP, ("say", "verb"), ("where",), NP, *END_OF_FIRST), memory),
            (0.3, (("say", "open"), NP, ("rest",)), memory),
            (0.15, ("there", "are", "two", ("say", "things"), ":", NP, "and", NP, *END_OF_FIRST), memory),
            (0.15, ("there", "are", "three", ("say", "things"), ":", NP, ",", NP, "and", NP, *END_OF_FIRST), memory),
        )
    if kind == "rest":
        return (0.5, ("and", NP, *END_OF_FIRST), memory), (0.5, (",", NP, "and", NP, *END_OF_FIRST), memory)
    if kind == "say":
        return _synonyms(symbol[1], memory)
    if kind == "where":
        each = [(name, choice) for name in RELATIONS for choice in _synonyms(name, memory)]
        return tuple((p / len(RELATIONS), words, (memory[0], name)) for name, (p, words, _) in each)
    if kind == "np":
        return _noun_phrase(memory)
    if kind == "color":
        return _color(symbol[1], memory)
    return _shape(memory) if kind == "shape" else _after(memory)


# ---------------------------------------------------------------- exact probabilities
@functools.lru_cache(maxsize=200_000)
def _ready(state: State) -> tuple[tuple[float, State], ...]:
    """The states that this one can become without writing a word: all begin with a word, or are at the end."""
    stack, memory = state
    if not stack or isinstance(stack[0], str):
        return ((1.0, state),)
    found = []
    for p, symbols, now in choices(stack[0], memory):
        found += [(p * q, after) for q, after in _ready(((*symbols, *stack[1:]), now))]
    return tuple(found)


def _first_word(state: State) -> str:
    return state[0][0] if state[0] else END


def _advance(states: dict[State, float]) -> dict[State, float]:
    """All states, each with its probability, that begin with a word."""
    ready: dict[State, float] = {}
    for state, p in states.items():
        for q, after in _ready(state):
            ready[after] = ready.get(after, 0.0) + p * q
    return ready


def _read(ready: dict[State, float], word: str) -> dict[State, float]:
    """What is left, and how probable, once this word is written."""
    return {(stack[1:], memory): p for (stack, memory), p in ready.items() if _first_word((stack, memory)) == word}


def next_words(words: Sequence[str]) -> dict[str, float]:
    """The exact probability of each word that may follow; `END` where the text may end.

    Several ways to go on may be open at once ("a": a size, a color or a shape may follow). Their probabilities are
    added up, as the forward algorithm does.

    Raises
    ------
    InputError
        The grammar cannot write these words.
    """
    ready = _advance({START: 1.0})
    for number, word in enumerate(words):
        ready = _advance(_read(ready, word))
        if not ready:
            raise InputError(f"words[{number}]", f"{word!r} cannot stand here", "take words that `next_words` gives")
    total = sum(ready.values())
    found: dict[str, float] = {}
    for state, p in ready.items():
        word = _first_word(state)
        found[word] = found.get(word, 0.0) + p / total
    return found


def log_probs(words: Sequence[str]) -> np.ndarray:
    """ln p(word | all words before it) of each word and of the end: float64 (n + 1,); −inf where it cannot stand."""
    found = np.full(len(words) + 1, -np.inf)
    ready = _advance({START: 1.0})
    total = 1.0
    for number, word in enumerate([*words, END]):
        ready = _advance(_read(ready, word)) if word != END else _read_end(ready)
        left = sum(ready.values())
        if not left:
            break
        found[number] = math.log(left / total)
        total = left
    return found


def _read_end(ready: dict[State, float]) -> dict[State, float]:
    return {state: p for state, p in ready.items() if not state[0]}


def _plain(memory: Memory) -> Memory:
    """Which words were said does not change how uncertain the rest is, only how many shapes are left."""
    things, where = memory
    return tuple(
        (None if shape is None else ENGLISH[SHAPE_OF[shape]][0], None if color is None else "red")
        for shape, color in things
    ), where


@functools.cache
def _rest(stack: Symbols, memory: Memory) -> tuple[float, float]:
    """(nats, words) that are still to come on average; the end of the text counts as a word."""
    if not stack:
        return 0.0, 1.0
    if isinstance(stack[0], str):
        nats, words = _rest(stack[1:], memory)
        return nats, words + 1
    nats = words = 0.0
    for p, symbols, now in choices(stack[0], memory):
        more_nats, more_words = _rest((*symbols, *stack[1:]), _plain(now))
        nats += p * (more_nats - math.log(p))
        words += p * more_words
    return nats, words


def entropy() -> tuple[float, float]:
    """(nats per text, words per text with its end): exact, a sum over all choices of the grammar.

    No text can be written in two ways, so the entropy of the texts is that of the choices.
    """
    return _rest(*START)


# ---------------------------------------------------------------- drawing texts
def sample(rng: np.random.Generator) -> list[str]:
    """One text as words and signs, without its end."""
    stack: list = [("text",)]
    memory = NOTHING
    words = []
    numbers = iter(rng.random(64).tolist())
    while stack:
        symbol = stack.pop()
        if isinstance(symbol, str):
            words.append(symbol)
            continue
        options = choices(symbol, memory)
        left = next(numbers)
        at = 0
        while at < len(options) - 1 and left >= options[at][0]:
            left -= options[at][0]
            at += 1
        _, symbols, memory = options[at]
        stack += symbols[::-1]
    return words


def draw_texts(n: int, seed: int | Sequence[int] = 0) -> list[list[str]]:
    """`n` texts, each as words and signs."""
    if n < 1:
        raise ValueError(f"n: expected 1 or more, got {n}")
    rng = np.random.default_rng(seed)
    return [sample(rng) for _ in range(n)]


def join(words: Sequence[str]) -> str:
    """The text as it is printed: no space before a sign."""
    return "".join(word if word in SIGNS else f" {word}" for word in words).strip()


@functools.cache
def vocabulary_words() -> tuple[str, ...]:
    """Every word and sign that a text can have, in alphabetical order: all are pieces of the course's vocabulary."""
    glue = [*"a an that is there are two three and the what".split(), "colour"]
    names = [*COLORS, *SHAPES, *RELATIONS, "small", "large", "verb", "open", "things"]
    return tuple(
        sorted({word for name in names for entry in ENGLISH[name] for word in entry.lower().split()} | {*glue, *SIGNS})
    )
