"""The vocabulary of Parts 4 and 5: text ↔ ids, the same for every model, from English and Chinese words down to bytes.

::

    from mmcourse.datasets import vocabulary

    vocabulary.encode("A red star.")  # <cap> a red star .
    vocabulary.decode(vocabulary.encode("任何 text, 🙂 too"))  # exactly the same text again

The pieces are in `data/vocabulary/pieces.json`, by id. An id never changes: a new word takes a spare one, so no shipped
model has to be trained again. Text that has no word of its own becomes the bytes of its UTF-8 form, as in GPT-2
(Radford et al. 2019), so there is no unknown token.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Sequence

import numpy as np

from mmcourse.preprocess.errors import InputError

from .base import data_dir

__all__ = ["BOS", "EOS", "PAD", "decode", "digest", "encode", "encode_batch", "id_of", "pieces", "words_only"]

PAD, BOS, EOS = 0, 1, 2
SPACE_AFTER = frozenset(".,:;?!")  # as English is written; other spacing is spelled out by <glue> or by bytes
CHUNK = re.compile(r"[A-Za-z]+|[0-9]|[\u4e00-\u9fff]+|\s+|.", re.DOTALL)


@functools.cache
def pieces() -> tuple[str, ...]:
    """All pieces by id: special tokens, 256 bytes, signs and digits, words, and spare ids at the end."""
    path = data_dir() / "vocabulary" / "pieces.json"
    return tuple(json.loads(path.read_text(encoding="utf-8")))


@functools.cache
def _ids() -> dict[str, int]:
    return {piece: i for i, piece in enumerate(pieces())}


@functools.cache
def _longest_chinese() -> int:
    return max(len(piece) for piece in pieces() if _is_chinese(piece))


def id_of(piece: str) -> int:
    """The id of one piece, for instance of "<image>".

    Raises
    ------
    KeyError
        No such piece; the message says where pieces are listed.
    """
    if piece not in _ids():
        raise KeyError(f"{piece!r} is no piece of the vocabulary; mmcourse.datasets.vocabulary.pieces() lists all")
    return _ids()[piece]


def digest(count: int | None = None) -> str:
    """SHA-256 of the first `count` pieces: what a shipped model's configuration records.

    New words take spare ids, so compare only the pieces that the model was trained with.
    """
    known = [piece for piece in pieces() if not piece.startswith("<spare_")]
    if count is not None and not 0 < count <= len(known):
        raise ValueError(f"count: expected 1 to {len(known)}, got {count}")
    return hashlib.sha256("\n".join(known[:count]).encode()).hexdigest()


def words_only(text: str) -> str:
    """Lower-cased and without the marks that end or divide a sentence: how CLIP reads text."""
    return " ".join(re.sub(r"[.,:;?!，。、？！：；]", " ", text.lower()).split())


def encode(text: str) -> list[int]:
    """Text as ids. `decode` gives back exactly the same text.

    A word with a capital first letter is `<cap>` and the word. Spaces between English words are understood. Where the
    text is spaced in another way, `<glue>` and the bytes of the spaces say so.

    Raises
    ------
    InputError
        `text` is not a string, or holds half a surrogate pair, which UTF-8 cannot write.
    """
    if not isinstance(text, str):
        raise InputError("text", f"expected a string, got {type(text).__name__}", "pass one sentence at a time")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError("text", "it holds half a surrogate pair", "decode the file as UTF-8 again") from None
    ids: list[int] = []
    space = ""  # what stands between the last piece and the next one
    last = None  # the last piece
    for chunk in CHUNK.findall(text):
        if chunk.isspace():
            space = chunk
            continue
        for piece_ids, first, final in _chunk(chunk):
            default = " " if _space_between(last, first) else ""
            if space != default:
                ids += _spaces(space, default)
            ids += piece_ids
            last, space = final, ""
    return ids + (_bytes(space) if space else [])


def encode_batch(texts: Iterable[str], special: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Texts as ids of one length.

    Parameters
    ----------
    texts : one or more strings
    special : whether `<bos>` and `<eos>` are put around each

    Returns
    -------
    ids : int64 (b, n), 0 where padded
    padding_mask : bool (b, n), True where a piece is real

    Raises
    ------
    InputError
        A text is empty, or `texts` is one string.
    """
    if isinstance(texts, str):
        raise InputError("texts", "expected a list of strings, got one string", "put it into a list")
    rows = []
    for number, text in enumerate(texts):
        row = encode(text)
        if not row:
            raise InputError(f"texts[{number}]", "it is empty", "write at least one word")
        rows.append([BOS, *row, EOS] if special else row)
    ids = np.zeros((len(rows), max(map(len, rows), default=0)), np.int64)
    padding_mask = np.zeros(ids.shape, bool)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        padding_mask[number, : len(row)] = True
    return ids, padding_mask


def decode(ids: Sequence[int]) -> str:
    """The text of ids; `<pad>`, `<bos>` and `<eos>` are left out, other special tokens are written as they are named.

    Bytes that form no character (a model may write such) become �.

    Raises
    ------
    InputError
        An id is not a whole number from 0 up to the size of the vocabulary.
    """
    out: list[str] = []
    pending = bytearray()
    last = None  # the last piece, for the space after it
    capital = False
    for value in np.asarray(ids).reshape(-1).tolist():
        if not isinstance(value, int) or not 0 <= value < len(pieces()):
            raise InputError(
                "ids", f"expected whole numbers from 0 to {len(pieces()) - 1}, got {value!r}", "check them"
            )
        if value in (PAD, BOS, EOS):
            continue
        piece = pieces()[value]
        if _is_byte(piece):
            pending.append(int(piece[3:5], 16))
            last = piece
            continue
        if pending:
            out.append(pending.decode(errors="replace"))
            pending.clear()
        if piece == "<cap>" or piece == "<glue>":
            if piece == "<cap>" and _space_between(last, "a"):
                out.append(" ")
            last, capital = piece, piece == "<cap>"
            continue
        if _space_between(last, piece):
            out.append(" ")
        out.append(piece.capitalize() if capital else piece)
        last, capital = piece, False
    out.append(pending.decode(errors="replace"))
    return "".join(out)


def _chunk(chunk: str) -> list[tuple[list[int], str, str]]:
    """A run of letters, of Chinese, or one sign → (ids, first piece, last piece) for each word in it."""
    ids = _ids()
    if chunk in ids and not chunk.startswith("<"):
        return [([ids[chunk]], chunk, chunk)]
    lower = chunk.lower()
    if chunk.isascii() and chunk == lower.capitalize() and lower in ids:
        return [([ids["<cap>"], ids[lower]], "a", lower)]
    if not _is_chinese(chunk):
        return [_as_bytes(chunk)]
    found = []
    start = 0
    while start < len(chunk):  # the longest word that fits, else one character
        sizes = range(min(_longest_chinese(), len(chunk) - start), 0, -1)
        size = next((size for size in sizes if chunk[start : start + size] in ids), 1)
        word = chunk[start : start + size]
        found.append(([ids[word]], word, word) if word in ids else _as_bytes(word))
        start += size
    return found


def _bytes(text: str) -> list[int]:
    return [_ids()[f"<0x{byte:02X}>"] for byte in text.encode()]


def _as_bytes(text: str) -> tuple[list[int], str, str]:
    return _bytes(text), "<0x00>", "<0x00>"


def _spaces(space: str, default: str) -> list[int]:
    """What says that `space` is here instead of `default`."""
    if default and not space:
        return [_ids()["<glue>"]]
    return _bytes(space)  # next to a byte no space is understood


def _is_byte(piece: str) -> bool:
    return len(piece) == 6 and piece.startswith("<0x")


def _is_chinese(piece: str) -> bool:
    return all("\u4e00" <= character <= "\u9fff" for character in piece)


def _space_between(last: str | None, piece: str) -> bool:
    """Whether a space is understood between two pieces."""
    if last is None or len(piece) > 1 and piece.startswith("<"):
        return False
    english = piece.isascii() and (piece.isalpha() or piece.isdigit())
    if not english:
        return False
    return last in SPACE_AFTER or (last.isascii() and last.isalpha())
