"""Byte-pair encoding from scratch: subwords learned from text (Sennrich et al. 2016, arXiv 1508.07909)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from mmcourse.preprocess.arguments import check_integer
from mmcourse.preprocess.errors import InputError

WORD_BOUNDARY = "▁"  # a space, written so that it can be seen; every word starts with one
MAX_WORD_LENGTH = 40  # characters of a word; without spaces, a page of Chinese would be a single one


def split_words(text: str) -> list[str]:
    """Words of a text, each with its space in front, so that pieces can be joined again without loss.

    A word of more than MAX_WORD_LENGTH characters is cut; only its first part has the space.
    """
    words = [WORD_BOUNDARY + word for word in text.split()]
    return [word[i : i + MAX_WORD_LENGTH] for word in words for i in range(0, len(word), MAX_WORD_LENGTH)]


def merge_pair(symbols: tuple, pair: tuple, new) -> tuple:
    """Replace each `pair` of neighbors by `new`, from the left."""
    out, i = [], 0
    while i < len(symbols):
        if symbols[i : i + 2] == pair:
            out.append(new)
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return tuple(out)


def train_bpe(words: Mapping[str, int], vocab_size: int, min_count: int = 1) -> tuple[list[str], list[tuple[str, str]]]:
    """Merge the most frequent pair of adjacent symbols, again and again, until there are `vocab_size` tokens.

    Equal counts: the pair whose tokens came first, the alphabet counting in code-point order. The `tokenizers`
    library decides likewise, so its merges are the same.

    Parameters
    ----------
    words : counts by word
    vocab_size : int, single characters included
    min_count : int, a rarer pair is not merged

    Returns
    -------
    tokens : list of str
    merges : list of (str, str), in the order in which they are to be applied
    """
    vocab_size, min_count = check_integer("vocab_size", vocab_size), check_integer("min_count", min_count, low=0)
    tokens = sorted({character for word in words for character in word})
    ids = {token: i for i, token in enumerate(tokens)}
    spelled = [(tuple(ids[character] for character in word), count) for word, count in words.items()]
    counts: Counter = Counter()
    places: defaultdict = defaultdict(set)

    def add(index: int, sign: int) -> None:
        symbols, count = spelled[index]
        for pair in zip(symbols, symbols[1:], strict=False):
            counts[pair] += sign * count
            places[pair].add(index)

    for index in range(len(spelled)):
        add(index, 1)
    merges = []
    while len(tokens) < vocab_size and counts:
        pair = min(counts, key=lambda p: (-counts[p], p))
        if counts[pair] < max(min_count, 1):
            break
        text = tokens[pair[0]] + tokens[pair[1]]
        merges.append((tokens[pair[0]], tokens[pair[1]]))
        if text not in ids:  # two pairs may spell the same token
            ids[text] = len(tokens)
            tokens.append(text)
        for index in places.pop(pair):
            add(index, -1)
            spelled[index] = merge_pair(spelled[index][0], pair, ids[text]), spelled[index][1]
            add(index, 1)
        del counts[pair]
    return tokens, merges


class BPETokenizer:
    """Splits text into learned subwords, and joins them again.

    Attributes
    ----------
    tokens : list of str, for `Vocabulary`
    merges : list of (str, str)
    """

    def __init__(self, tokens: list[str], merges: list[tuple[str, str]]) -> None:
        self.tokens, self.merges = tokens, merges
        self._rank = {pair: i for i, pair in reversed(list(enumerate(merges)))}

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 300, min_count: int = 1):
        """Learn from texts; in Chinese, everything between two spaces counts as one word."""
        if isinstance(texts, str):
            raise InputError("texts", "expected a list of texts, got a string", "pass [text]")
        counts = Counter(word for text in texts for word in split_words(text))
        return cls(*train_bpe(counts, vocab_size, min_count))

    def tokenize_word(self, word: str) -> list[str]:
        """Apply the merges to one word, the earliest learned first."""
        symbols = tuple(word)
        while len(symbols) > 1:
            pairs = zip(symbols, symbols[1:], strict=False)
            pair = min(pairs, key=lambda p: self._rank.get(p, len(self.merges)))
            if pair not in self._rank:
                break
            symbols = merge_pair(symbols, pair, pair[0] + pair[1])
        return list(symbols)

    def tokenize(self, text: str) -> list[str]:
        """Text to subwords; characters never seen stay single, and a `Vocabulary` will call them <unk>."""
        return [token for word in split_words(text) for token in self.tokenize_word(word)]

    def detokenize(self, tokens: Iterable[str]) -> str:
        """Subwords to text: the inverse of `tokenize`, up to the number of spaces."""
        return "".join(tokens).replace(WORD_BOUNDARY, " ").strip()
