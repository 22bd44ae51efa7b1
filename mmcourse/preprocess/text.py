"""Text: from bytes to token ids, and the two classic ways to count words."""

import codecs
import contextlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from mmcourse.preprocess.arguments import check_integer, describe
from mmcourse.preprocess.errors import InputError
from mmcourse.preprocess.signatures import foreign_format
from mmcourse.preprocess.source import read_bytes
from mmcourse.preprocess.unicode_classes import patterns

PAD, UNK = "<pad>", "<unk>"
BYTE_ORDER_MARKS = {  # the longer first: that of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8",
}
WITHOUT_MARK = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
LEGACY = ("gb18030", "shift_jis", "cp1252", "latin-1")  # suggested only where they can decode the bytes


def read(source, encoding: str = "utf-8", errors: str = "strict") -> str:
    """Decode text; a byte-order mark at the start is dropped.

    Parameters
    ----------
    source : path, bytes or binary file
    errors : "strict" or "replace"
        What to do with bytes that are not `encoding`: stop, or put U+FFFD (�) in their place.

    Raises
    ------
    FileNotFoundError, InputError
        Missing; empty; or bytes that are not `encoding`, with the place of the first.
    """
    _check_codec(encoding, errors)
    data, name = read_bytes(source, "text")
    try:
        text = data.decode(encoding, errors)
    except UnicodeDecodeError as error:
        place = f"byte {error.start} ({data[error.start : error.start + 4].hex(' ')}) is not {encoding}"
        reason = foreign_format(data)
        problem = f"{place}: {reason}" if reason else place
        raise InputError(name, problem, _remedy(data, encoding, error.reason)) from None
    except UnicodeError as error:  # some codecs are less precise
        raise InputError(name, f"is not {encoding} ({error})", _remedy(data, encoding, "")) from None
    found = _utf_without_mark(data) if errors == "strict" and patterns().control.search(text) else None
    if found is not None:
        problem = f"it is full of control characters: this is {found} without a byte-order mark, not {encoding}"
        raise InputError(name, problem, f'pass encoding="{found}"')
    return text.removeprefix("\ufeff")


def _check_codec(encoding, errors) -> None:
    try:
        codecs.lookup(encoding)
        with contextlib.suppress(UnicodeError):
            b"text".decode(encoding)  # refuses base64 and others, which turn bytes into bytes
    except (LookupError, TypeError, ValueError):
        remedy = "utf-8, utf-16, utf-32, gb18030, cp1252 and latin-1 exist"
        raise InputError("encoding", f"{describe(encoding)} is unknown", remedy) from None
    try:
        codecs.lookup_error(errors)
    except (LookupError, TypeError, ValueError):
        problem = f'expected "strict" or "replace", got {describe(errors)}'
        raise InputError("errors", problem, "choose one of them") from None


def _remedy(data: bytes, encoding: str, reason: str) -> str:
    """What to pass instead: only what has been tried on these bytes."""
    for mark, found in BYTE_ORDER_MARKS.items():
        if data.startswith(mark) and _decodes(data, found) and codecs.lookup(found) != codecs.lookup(encoding):
            return f'its byte-order mark says {found}: pass encoding="{found}"'
    unmarked = _utf_without_mark(data)
    if unmarked is not None:
        return f'pass encoding="{unmarked}"'
    if "end of data" in reason or "truncated" in reason or "incomplete" in reason:
        return 'it ends in the middle of a character: download it again, or pass errors="replace" to go on'
    candidates = [name for name in ("utf-8", *LEGACY) if _decodes(data, name)]
    return f'pass its real encoding (possible: {", ".join(candidates)}), or errors="replace" to go on'


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeError:
        return False
    return True


def _utf_without_mark(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, which other encodings take for letters between control characters."""
    possible = {}  # encoding → ASCII characters; only the right order of bytes gives spaces and commas
    for name in WITHOUT_MARK:
        if len(data) < 8 or not _decodes(data, name):
            continue
        text = data.decode(name)
        if not all(character.isprintable() or character.isspace() for character in text):
            continue
        blocks = Counter(_script_block(character) for character in text)  # a text keeps to one script
        if name.startswith("utf-32"):
            return name
        if blocks.most_common(1)[0][1] > len(text) / 2:
            possible[name] = sum(map(str.isascii, text))
    return max(possible, key=lambda name: possible[name], default=None)


def _script_block(character: str) -> int:
    is_ideograph = unicodedata.name(character, "").startswith("CJK UNIFIED")
    return -1 if is_ideograph else ord(character) >> 8


def check_text(text, where: str = "text") -> str:
    """Return `text` if it is a string, or raise InputError."""
    if not isinstance(text, str):
        remedy = "decode it with mmcourse.preprocess.text.read" if isinstance(text, bytes) else "pass a string"
        raise InputError(where, f"expected a string, got {describe(text)}", remedy)
    return text


def normalize(text: str, lower: bool = True) -> str:
    """One spelling for what looks the same: NFKC, no invisible or control characters, single spaces, lower case.

    Zero-width joiners between two characters stay: emoji and Persian need them. Half of a surrogate pair becomes
    U+FFFD, so that the result can always be encoded. Applying it twice changes nothing more.
    """
    text = re.sub("[\ud800-\udfff]", "\ufffd", check_text(text))
    found = patterns()
    while True:
        before = text
        text = found.control.sub("", found.invisible.sub("", text))
        text = unicodedata.normalize("NFKC", text)
        if lower:
            text = unicodedata.normalize("NFKC", text.lower())
        text = found.stray_selector.sub("", found.stray_joiner.sub("", text))
        text = " ".join(text.split())
        if text == before:  # NFKC can bring out what an earlier step would have removed
            return text


def tokenize(text: str) -> list[str]:
    """Words, punctuation marks, symbols and emoji, and single characters of Chinese and Japanese, in order.

    "Don't go, 你好!" gives Don't · go · , · 你 · 好 · !

    A word is letters, digits and their combining marks, in any script; apostrophes inside it belong to it. An emoji of
    several code points (skin tone, family, flag, keycap) is one token. Scripts written without spaces other than
    Chinese and Japanese (Thai, Khmer, Burmese …) are not divided: see `maximum_matching`.
    """
    found = patterns()
    text = found.stray_joiner.sub("", found.invisible.sub("", check_text(text)))
    return found.token.findall(text)


def maximum_matching(text: str, words: Iterable[str]) -> list[str]:
    """Segment text without spaces into known words by forward maximum matching: the longest that fits, else one
    character."""
    if isinstance(words, str):
        raise InputError("words", "expected a list or set of words, got a string", "pass ['…', '…']")
    words = set(words) - {""}
    longest = max(map(len, words), default=1)
    out, start = [], 0
    while start < len(check_text(text)):
        sizes = range(min(longest, len(text) - start), 0, -1)
        size = next((size for size in sizes if text[start : start + size] in words), 1)
        out.append(text[start : start + size])
        start += size
    return out


def _check_tokens(tokens) -> None:
    """Refuse a string where a list of tokens is expected: it would be taken for a list of letters."""
    if isinstance(tokens, str | bytes):
        raise InputError("sequences", "expected lists of tokens, got a string", "tokenize it first")
    if not all(isinstance(token, str) for token in tokens):
        odd = next(token for token in tokens if not isinstance(token, str))
        raise InputError("sequences", f"expected lists of strings, got {describe(odd)} in one", "tokenize the text")


class Vocabulary:
    """Tokens and their ids: 0 is <pad>, 1 is <unk>, then `tokens` in order.

    Attributes
    ----------
    tokens : list of str, <pad> and <unk> included
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        tokens = [PAD, UNK, *tokens]
        if not all(isinstance(token, str) for token in tokens) or len(set(tokens)) < len(tokens):
            remedy = "build it with Vocabulary.build"
            raise InputError("tokens", f"expected distinct strings other than {PAD} and {UNK}", remedy)
        self.tokens = tokens
        self._ids = {token: i for i, token in enumerate(tokens)}

    @classmethod
    def build(cls, sequences: Iterable[Sequence[str]], min_count: int = 1, max_size: int | None = None):
        """From token lists: the most frequent first, ties in alphabetical order; `max_size` counts all tokens."""
        min_count = check_integer("min_count", min_count, low=0)
        max_size = None if max_size is None else check_integer("max_size", max_size, low=0)
        counts: Counter[str] = Counter()
        for tokens in sequences:
            _check_tokens(tokens)
            counts.update(tokens)
        kept = [t for t in counts if counts[t] >= min_count and t not in (PAD, UNK)]
        kept.sort(key=lambda token: (-counts[token], token))
        return cls(kept if max_size is None else kept[: max(max_size - 2, 0)])

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._ids

    def id(self, token: str) -> int:
        """Id of one token; 1 if unknown."""
        return self._ids.get(token, 1)

    def encode(self, sequences: Sequence[Sequence[str]], length: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Token lists to ids of one length: the longest of them, or `length` (the rest is cut off).

        Returns
        -------
        ids : int64 (b, l), 0 where padded
        padding_mask : bool (b, l), True where a token is real
        """
        for tokens in sequences:
            _check_tokens(tokens)
        if length is None:
            length = max(map(len, sequences), default=0)
        length = check_integer("length", length, low=0)
        ids = np.zeros((len(sequences), length), dtype=np.int64)
        padding_mask = np.zeros(ids.shape, dtype=bool)
        for row, (mask, tokens) in zip(ids, zip(padding_mask, sequences, strict=True), strict=True):
            known = [self.id(token) for token in tokens[:length]]
            row[: len(known)], mask[: len(known)] = known, True
        return ids, padding_mask

    def decode(self, ids) -> list[str]:
        """Ids (l,) to tokens, without padding."""
        ids = np.asarray(ids)
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            problem = f"expected integers (l,), got {ids.dtype} of shape {ids.shape}"
            raise InputError("ids", problem, "pass one row of what encode returns")
        if ids.size and not 0 <= ids.min() <= ids.max() < len(self):
            problem = f"expected 0 to {len(self) - 1}, got {ids.min()} to {ids.max()}"
            raise InputError("ids", problem, "use the vocabulary that encoded them")
        return [self.tokens[i] for i in ids if i]

    def to_json(self) -> str:
        return json.dumps(self.tokens, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str):
        """The inverse of `to_json`."""
        try:
            tokens = json.loads(text)
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError("vocabulary", f"not JSON ({error})", "write it with to_json") from None
        if not isinstance(tokens, list) or tokens[:2] != [PAD, UNK]:
            raise InputError("vocabulary", f"expected a list that starts with {PAD}, {UNK}", "write it with to_json")
        return cls(tokens[2:])


def bag_of_words(sequences: Sequence[Sequence[str]], vocabulary: Vocabulary) -> np.ndarray:
    """How often each token occurs: int64 (n, len(vocabulary)). Order is lost; column 1 counts the unknown."""
    for tokens in sequences:
        _check_tokens(tokens)
    counts = np.zeros((len(sequences), len(vocabulary)), dtype=np.int64)
    for row, tokens in zip(counts, sequences, strict=True):
        np.add.at(row, [vocabulary.id(token) for token in tokens], 1)
    return counts


def inverse_document_frequency(counts: np.ndarray) -> np.ndarray:
    """ln((1 + n) / (1 + df)) + 1 for each column of (n, v): a word of every text says little. Spärck Jones 1972."""
    return np.log((1 + len(counts)) / (1 + (counts > 0).sum(axis=0))) + 1


def tf_idf(counts: np.ndarray, idf: np.ndarray | None = None) -> np.ndarray:
    """Counts times idf, each row of length 1 (or 0 if it is empty): float64 (n, v).

    For new texts pass the `idf` of the *training* texts.
    """
    weights = counts * (inverse_document_frequency(counts) if idf is None else idf)
    norms = np.linalg.norm(weights, axis=1, keepdims=True)
    return weights / np.where(norms == 0, 1, norms)
