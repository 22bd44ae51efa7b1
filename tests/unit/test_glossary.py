"""The glossary: whole entries, a page that is up to date, and terms that their lessons introduce."""

from __future__ import annotations

import re

import jupytext
import pytest

from mmcourse.authoring import lessons, notebooks_dir
from mmcourse.authoring.catalogue import course_map
from mmcourse.authoring.glossary import Term, main, not_introduced, page, read, render, second_edition

FOLDER = notebooks_dir()
# what every reader must have met by the end of the course
WORDS = """
one-hot, embedding, mini-batch, epoch, learning rate, stochastic gradient descent, activation function, hidden
layer, MLP, loss, cross-entropy, softmax, overfitting, generalization, regularization, weight decay, dropout,
batch normalization, layer normalization, residual connection, skip connection, receptive field, max pooling,
average pooling, global pooling, feature map, backbone, head, transfer learning, fine-tuning, frozen encoder,
linear probe, teacher forcing, self-attention, cross-attention, query, key, value, positional encoding, causal
mask, pre-training, in-context, decoding, temperature, beam search, contrastive learning, zero-shot, retrieval
recall@k, instruction tuning, preference optimization, reward model, hallucination, quantization, distillation,
throughput, tail latency, drift
"""


def test_every_word_that_the_course_must_introduce_is_there():
    forms = {form.lower() for term in read(FOLDER) for form in term.forms}
    assert [word for word in " ".join(WORDS.split()).split(", ") if word.lower() not in forms] == []


def test_every_term_has_a_sentence_a_chinese_term_and_a_lesson_on_the_map():
    slugs = {entry.slug for entry in course_map()}
    for term in read(FOLDER):
        assert term.lesson in slugs, term
        assert term.definition.endswith(".") and 5 <= len(term.definition.split()) <= 32, term
        assert re.search(r"[\u4e00-\u9fff]", term.chinese), term
    assert second_edition(FOLDER) <= {lesson.slug for lesson in lessons()}


def test_the_page_is_what_the_source_gives():
    assert (FOLDER / "glossary.md").read_text(encoding="utf-8") == render(FOLDER), (
        "the glossary changed: run `python -m mmcourse.authoring.glossary`"
    )


def prose(path) -> str:
    cells = jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent").cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def test_each_lesson_of_the_second_edition_introduces_its_terms():
    texts = {x.slug: prose(x.source) for x in lessons() if x.slug in second_edition(FOLDER)}
    assert not_introduced(read(FOLDER), texts) == []


@pytest.mark.parametrize(
    ("text", "defined"),
    [
        ("A **hidden layer** lies between the input and the output.", True),
        ("Layers between input and output are called **hidden layers**, since nobody prescribes them.", True),
        ("first words. **Hidden\nlayer**: a layer between input and output.", True),
        ("- **hidden layer (n units)**: what lies between input and output", True),
        ("A hidden layer lies between the input and the output.", False),
        ("**hidden layer**", False),
        ("Long sentences stand before it, many of them. **Hidden layer**. And many words stand after it.", False),
        ("A **hidden player** lies between the input and the output.", False),
        ("", False),
    ],
)
def test_introduced_means_bold_in_a_sentence(text, defined):
    term = Term("hidden layer", "d", "c", "mlp")
    assert (not_introduced([term], {"mlp": text}) == []) == defined


def test_either_spelling_and_other_forms_count():
    term = Term("batch normalization", "d", "c", "vision", ("batch norm",))
    for name in ("batch normalization", "Batch normalization", "batch norm"):
        assert not_introduced([term], {"vision": f"We call **{name}** what keeps a channel in its range."}) == []
    assert not_introduced([term], {"other": ""}) == []  # a lesson that is not looked at


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('[[terms]]\nterm = "a"\nchinese = "甲"\nlesson = "text"\n', "term 'a': no definition"),
        ('[[terms]]\ndefinition = "d"\nchinese = "甲"\nlesson = "text"\n', "term 'number 1': no term"),
        ('[[terms]]\nterm = "a"\ndefinition = "d"\nchinese = "甲"\nlesson = "text"\nsee = "b"\n', r"unknown \['see'\]"),
        ('[[terms]]\nterm = "a"\ndefinition = "d"\nchinese = "甲"\nlesson = "text"\n' * 2, "stands there twice"),
        ("[[terms]\n", "glossary.toml"),
    ],
)
def test_a_faulty_entry_is_named(tmp_path, toml, message):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "glossary.toml").write_text(toml, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


def test_the_page_links_lessons_that_exist_and_keeps_its_table_whole():
    text = page([Term("a|b", "x | y.", "甲", "text"), Term("c", "z.", "乙", "later")], {"text": "02_text.ipynb"})
    assert "| **a\\|b** | 甲 | x \\| y. | [text](02_text.ipynb) |" in text and "| later (to come) |" in text


def test_one_command_writes_it_anywhere(tmp_path, capsys):
    assert main(["--to", str(tmp_path / "g.md")]) == 0
    assert (tmp_path / "g.md").read_text(encoding="utf-8") == render(FOLDER)
    assert f"{len(read(FOLDER))} terms" in capsys.readouterr().out
