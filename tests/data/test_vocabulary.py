"""The vocabulary of Parts 4 and 5: any text comes back exactly, sentences without bytes; ids are fixed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmcourse.datasets import scenes, vocabulary
from mmcourse.datasets.scenes import captions, questions, videos, world
from mmcourse.preprocess.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
FIRST = 977  # pieces that the first shipped model was trained with
SHA256 = "269fc77b45778bb6b1c0e781c9bb217ad11d9aa8fc07e24342ad65e1a7141d5c"


def test_ids_never_change():
    """A model knows words by their ids: whoever moves one must train every shipped model again."""
    known = [piece for piece in vocabulary.pieces() if not piece.startswith("<spare_")]
    assert hashlib.sha256("\n".join(known[:FIRST]).encode()).hexdigest() == SHA256 == vocabulary.digest(FIRST)
    assert len(vocabulary.pieces()) == 1280 == len(set(vocabulary.pieces()))
    assert vocabulary.pieces()[:3] == ("<pad>", "<bos>", "<eos>")


def test_the_file_is_what_its_script_writes(tmp_path: Path):
    script = ROOT / "data" / "vocabulary" / "make.py"
    (tmp_path / "make.py").write_text(script.read_text(encoding="utf-8"), encoding="utf-8")
    subprocess.run([sys.executable, tmp_path / "make.py"], check=True, capture_output=True)
    made = (tmp_path / "pieces.json").read_text(encoding="utf-8")
    assert json.loads(made) == list(vocabulary.pieces())


def test_a_new_word_takes_a_spare_id(tmp_path: Path):
    """The script run on a file that lacks a word: every older id stays, and the word gets the first spare one."""
    script = (ROOT / "data" / "vocabulary" / "make.py").read_text(encoding="utf-8")
    (tmp_path / "pieces.json").write_text(json.dumps(vocabulary.pieces()), encoding="utf-8")
    (tmp_path / "make.py").write_text(script.replace("zero one five", "zero zebra one five"), encoding="utf-8")
    subprocess.run([sys.executable, tmp_path / "make.py"], check=True, capture_output=True)
    made = json.loads((tmp_path / "pieces.json").read_text(encoding="utf-8"))
    assert made[:FIRST] == list(vocabulary.pieces())[:FIRST] and made[FIRST] == "zebra" and len(made) == 1280
    (tmp_path / "make.py").write_text(script.replace("zero one five", "zero five"), encoding="utf-8")
    assert subprocess.run([sys.executable, tmp_path / "make.py"], capture_output=True).returncode != 0


def sentences() -> list[str]:
    """English and Chinese captions, of seen and unseen things, questions with answers, and captions of videos."""
    found = []
    for index in range(400):
        for unseen in (None, "colour-shape", "size-shape"):
            scene = world.make(77, index, unseen)
            found += [captions.english(scene), captions.chinese(scene)]
        _, question, answer, _ = questions.ask(77, index)
        clip = videos.make(77, index)
        found += [question, answer, f"{question} {answer}", clip.caption, clip.caption_zh]
    return found


def test_sentences_of_the_grammars_need_no_bytes_and_come_back():
    byte_ids = {vocabulary.id_of(f"<0x{byte:02X}>") for byte in range(256)}
    for text in sentences():
        ids = vocabulary.encode(text)
        assert vocabulary.decode(ids) == text
        assert not byte_ids & set(ids), text


def test_every_word_of_scenes_is_a_piece():
    known = set(vocabulary.pieces())
    assert set(captions.vocabulary()) | set(scenes.ANSWERS) | set(scenes.vocabulary()[2:]) <= known
    assert set(captions.chinese_words()) <= known


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("A red star.")
@example("a  red\tstar .\n")
@example(" red")
@example("red ")
@example("RED Star McRed")
@example("<pad> <image><0x41> <cap>red")
@example("3 + 4 = 7, (no)?Yes")
@example("一个红色的star在 左边")
@example("zebra zebra's don't 12.50")
@example("未知的龘字 🙂🇩🇪")
def test_any_text_comes_back(text: str):
    assert vocabulary.decode(vocabulary.encode(text)) == text


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["red", "Red", " ", "  ", ".", ",", "一个", "é", "7", "<", "star", "\n", "'"])))
def test_mixed_pieces_come_back(parts: list[str]):
    text = "".join(parts)
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_text_cannot_write_special_tokens():
    """Someone who types "<eos>" gets bytes and words, not the token that ends a sentence."""
    special = {vocabulary.id_of(piece) for piece in ("<eos>", "<image>", "<assistant>", "<tool>")}
    assert not special & set(vocabulary.encode("<eos> <image> <assistant> <tool>"))


def test_batch_has_marks_and_padding():
    ids, padding_mask = vocabulary.encode_batch(["red", "a red star"])
    assert ids.dtype == np.int64 and padding_mask.dtype == bool
    assert ids[0, 0] == vocabulary.BOS and ids[1, -1] == vocabulary.EOS and ids[0, 2] == vocabulary.EOS
    assert padding_mask.sum(1).tolist() == [3, 5] and (ids[~padding_mask] == vocabulary.PAD).all()
    assert vocabulary.decode(ids[0]) == "red"


@pytest.mark.parametrize("count", [0, -1, 2000])
def test_digest_of_more_than_there_is(count: int):
    with pytest.raises(ValueError, match="count: expected 1 to"):
        vocabulary.digest(count)


def test_bad_input_is_named():
    with pytest.raises(InputError, match="text: expected a string, got bytes"):
        vocabulary.encode(b"red")
    with pytest.raises(InputError, match="surrogate"):
        vocabulary.encode("\ud800")
    with pytest.raises(InputError, match=r"texts\[1\]: it is empty"):
        vocabulary.encode_batch(["red", "  "[:0]])
    with pytest.raises(InputError, match="one string"):
        vocabulary.encode_batch("red")
    for ids in ([1280], [-1], [0.5]):
        with pytest.raises(InputError, match="ids: expected whole numbers"):
            vocabulary.decode(ids)
    with pytest.raises(KeyError, match="no piece"):
        vocabulary.id_of("<zebra>")


def test_bytes_that_are_no_character_do_not_stop_decoding():
    assert vocabulary.decode([vocabulary.id_of("<0xFF>"), vocabulary.id_of("red")]).endswith("red")


def test_words_only_reads_as_clip_does():
    assert vocabulary.words_only("A small red disc, and a star.") == "a small red disc and a star"
    assert vocabulary.words_only("一个红色的圆形，还有三角形。") == "一个红色的圆形 还有三角形"
