"""Text: from bytes to token ids, and the two classic ways to count words."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from mmcourse.preprocess.errors import InputError
from mmcourse.preprocess.source import read_bytes

PAD, UNK = "<pad>", "<unk>"
CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"  # written without spaces
MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0900-\u0dff\u0e00-\u0eff\u200c\u200d"  # \w leaves these out
INVISIBLE = re.compile("[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")  # Unicode's Cc, less what counts as a space
TOKEN = re.compile(rf"[{CJK}]|(?:[^\W{CJK}]|[{MARKS}])+(?:['’](?:[^\W{CJK}]|[{MARKS}])+)*|[^\w\s]")


def read(source, encoding: str = "utf-8", errors: str = "strict") -> str:
    """Decode text; a byte-order mark at the start is dropped.

    Parameters
    ----------
    source : path, bytes or binary file
    errors : "strict" or "replace"
        What to do with bytes that are not `encoding`: stop, or put U+FFFD (�) there.

    Raises
    ------
    FileNotFoundError, InputError
        Missing; empty; or bytes that are not `encoding`, with the place of the first.
    """
    data, name = read_bytes(source, "text")
    try:
        return data.decode(encoding, errors).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        problem = f"byte {error.start} ({data[error.start : error.start + 4].hex(' ')}) is not {encoding}"
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        remedy = 'pass encoding="utf-16"' if utf16 else 'pass its real encoding, or errors="replace" to go on'
        raise InputError(name, problem, remedy) from None
    except LookupError:
        raise InputError("encoding", f"{encoding!r} is unknown", "utf-8, utf-16, gb18030 and latin-1 exist") from None


def normalize(text: str, lower: bool = True) -> str:
    """One spelling for what looks the same: NFKC, no invisible or control characters, single spaces, small letters.

    Zero-width joiners stay: emoji and Persian need them. Half of a surrogate pair becomes U+FFFD, so that the result
    can always be encoded. Applying it twice changes nothing more.
    """
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)
    text = CONTROL.sub("", INVISIBLE.sub("", text))
    text = unicodedata.normalize("NFKC", text)
    if lower:
        text = unicodedata.normalize("NFKC", text.lower())
    return " ".join(text.split())


def tokenize(text: str) -> list[str]:
    """Words, single punctuation marks and emoji, and single characters of Chinese and Japanese, in order.

    "Don't go, 你好!" gives Don't · go · , · 你 · 好 · !
    """
    return TOKEN.findall(text)


def maximum_matching(text: str, words: Iterable[str]) -> list[str]:
    """Cut text without spaces into known words: always the longest that fits, else one character."""
    words = set(words) - {""}
    longest = max(map(len, words), default=1)
    out, start = [], 0
    while start < len(text):
        sizes = range(min(longest, len(text) - start), 0, -1)
        size = next((size for size in sizes if text[start : start + size] in words), 1)
        out.append(text[start : start + size])
        start += size
    return out


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
        """From token lists: the commonest first, equal counts in alphabetical order; `max_size` counts all tokens."""
        counts: Counter[str] = Counter()
        for tokens in sequences:
            if isinstance(tokens, str):
                raise InputError("sequences", "expected lists of tokens, got a string", "tokenize it first")
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
        length = max(map(len, sequences), default=0) if length is None else length
        ids = np.zeros((len(sequences), length), dtype=np.int64)
        padding_mask = np.zeros(ids.shape, dtype=bool)
        for row, (mask, tokens) in zip(ids, zip(padding_mask, sequences, strict=True), strict=True):
            if isinstance(tokens, str):
                raise InputError("sequences", "expected lists of tokens, got a string", "tokenize it first")
            known = [self.id(token) for token in tokens[:length]]
            row[: len(known)], mask[: len(known)] = known, True
        return ids, padding_mask

    def decode(self, ids) -> list[str]:
        """Ids (l,) to tokens, without padding."""
        ids = np.asarray(ids, dtype=np.int64)
        if ids.size and not 0 <= ids.min() <= ids.max() < len(self):
            raise InputError(
                "ids", f"expected 0 to {len(self) - 1}, got {ids.min()} to {ids.max()}", "same vocabulary?"
            )
        return [self.tokens[i] for i in ids if i]

    def to_json(self) -> str:
        return json.dumps(self.tokens, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str):
        """The inverse of `to_json`."""
        try:
            tokens = json.loads(text)
        except ValueError as error:
            raise InputError("vocabulary", f"not JSON ({error})", "write it with to_json") from None
        if not isinstance(tokens, list) or tokens[:2] != [PAD, UNK]:
            raise InputError("vocabulary", f"expected a list that starts with {PAD}, {UNK}", "write it with to_json")
        return cls(tokens[2:])


def bag_of_words(sequences: Sequence[Sequence[str]], vocabulary: Vocabulary) -> np.ndarray:
    """How often each token occurs: int64 (n, len(vocabulary)). Order is lost; column 1 counts the unknown."""
    counts = np.zeros((len(sequences), len(vocabulary)), dtype=np.int64)
    for row, tokens in zip(counts, sequences, strict=True):
        np.add.at(row, [vocabulary.id(token) for token in tokens], 1)
    return counts


def inverse_document_frequency(counts: np.ndarray) -> np.ndarray:
    """ln((1 + n) / (1 + df)) + 1 for each column of (n, v): what is in every text says little. Spärck Jones 1972."""
    return np.log((1 + len(counts)) / (1 + (counts > 0).sum(axis=0))) + 1


def tf_idf(counts: np.ndarray, idf: np.ndarray | None = None) -> np.ndarray:
    """Counts times idf, each row of length 1 (or 0 if it is empty): float64 (n, v).

    For new texts pass the `idf` of the *training* texts.
    """
    weights = counts * (inverse_document_frequency(counts) if idf is None else idf)
    norms = np.linalg.norm(weights, axis=1, keepdims=True)
    return weights / np.where(norms == 0, 1, norms)
