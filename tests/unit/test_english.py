"""Names are American, as the frameworks' are, and prose is what a native colleague would write.

It refuses the worst old forms, each with what to write instead. Words of the `scenes` data keep their spelling, since
they are in texts, ids and weights.
"""

from __future__ import annotations

import io
import re
import subprocess
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BRITISH = re.compile(
    r"(?i)colour|neighbour|behaviou|favour|honour|grey|centre|centring|labell|modell|travell|learnt|judgement|licence"
    r"|fulfil\b|artefact|chequer|cheque|programme\b|whilst|amongst|defence|metres?\b(?<!m)|analys(?:e[ds]?\b|ing)"
    r"|(?:optim|normal|token|initial|regular|general|quant|standard|memor|recogn|organ|summar|vector|visual|penal"
    r"|minim|maxim|emphas|random|serial|categor|synthes|critic|special|local|real|equal|factor|discret|symbol|capital)"
    r"is(?:e[ds]?\b|ers?\b|ing\b|ations?\b)"
)
NOT_BRITISH = re.compile(r"(?i)premis|promis|exercis|raise|noise|precis|otherwise|tokens?is\b|equalis\b")
# Texts, keys and kinds of the data set `scenes`, and a vocabulary that holds both spellings.
DATA_WORDS = re.compile(
    r"colour-shape|[\"'`]colour[\"'`]|What colour is the|the colour (?:of the|of my|to)\b|the wrong colour|"
    r"\| colour \||can circles colour crosses"
)
DATA_FILES = ("data/vocabulary/", "mmcourse/datasets/vocabulary.py", "tests/exercises/blind/")
DATA_FILES += ("tests/unit/test_english.py", "tests/unit/colab.json")
ONE = r"(?:bin|class|layer|modality|pixel|sample|seed|speaker|student|voice|word|head|line)"
COUNTED = r"(?:numbers?|channels?|steps?|features?|vectors?|entry|encoders?|files?|folders?|rows?|findings?|weights?)"
OLD_FORMS = {
    r"\basked is\b": "say what the result should be",
    r"\bthrice\b": "in NumPy, PyTorch and Keras; three times",
    r"\bstands for it\b": "name it",
    r"\bwhole or not at all\b": "atomically",
    r"\bwhat stood there\b": "the old file",
    r"\b(?:unless|even|not) told\b|, told (?:to|not)\b": "by default; with …",
    r"\bthree rooms\b": "NumPy, PyTorch and Keras",
    rf"\b{COUNTED} an? {ONE}\b": "per",
    r"\| a bin\b|% a step\b": "per",
}  # fmt: skip


def tracked(*endings: str) -> list[str]:
    """Files of this checkout with these endings that are no data."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if names.returncode:
        pytest.skip("this is no git checkout, so which files are its own is not known")
    return [n for n in names.stdout.splitlines() if n.endswith(endings) and not n.startswith(DATA_FILES)]


def british(text: str) -> list[str]:
    """British spellings in a text; words of the data do not count."""
    words = re.findall(r"\w+", DATA_WORDS.sub(" ", text))
    return [word for word in words if BRITISH.search(word) and not NOT_BRITISH.search(word)]


def old_forms(text: str) -> list[str]:
    """Old forms in a text, each with what to write instead."""
    flat = re.sub(r"\s*\n\s*(?:# ?)?", " ", text)  # prose goes on in the next comment line
    found = [(match[0], new) for old, new in OLD_FORMS.items() for match in re.finditer(old, flat, re.IGNORECASE)]
    return [f"{form!r}: write {new!r}" for form, new in found]


@pytest.mark.parametrize("word", ["optimiser", "Colour", "centred", "_normalise", "tokenisers", "test_colours", "GREY"])
def test_british_spelling_is_found(word: str):
    assert british(f"x = {word}(1)") == [word]


@pytest.mark.parametrize(
    "word", ["promise", "raise", "exercises", "precision", "otherwise", "color", "analysis", "noise"]
)
def test_american_words_are_left_alone(word: str):
    assert british(word) == []


@pytest.mark.parametrize(
    "text",
    [
        "Your gain is relative. Asked is the other.",
        "every method\n# thrice",
        "97 numbers a word",
        "held equal in three rooms",
        "unless told otherwise",
        "one vector a\n# sample",
    ],
)
def test_an_old_form_is_found(text: str):
    assert len(old_forms(text)) == 1


@pytest.mark.parametrize(
    "text", ["Nobody told the readers.", "mistakes can be told apart", "8,000 samples a second", "stands in a row"]
)
def test_good_english_is_left_alone(text: str):
    assert old_forms(text) == []


@pytest.mark.parametrize("file", tracked(".py"))
def test_identifiers_are_american(file: str):
    source = (ROOT / file).read_text(encoding="utf-8")
    names = {t.string for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type == tokenize.NAME}
    assert not [name for name in sorted(names) if british(name)]


@pytest.mark.parametrize("file", tracked(".py", ".md", ".toml", ".yml", ".cff"))
def test_texts_are_american_and_without_old_forms(file: str):
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not sorted(set(british(text)))
    if not file.startswith("tests/"):  # they quote old forms, as old messages or as what is refused
        assert not old_forms(text)
