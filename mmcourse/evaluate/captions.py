"""How near a caption is to what people wrote: BLEU and CIDEr-D, by hand. Neither knows whether it is true."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

__all__ = ["bleu", "cider_d"]

MAX_N = 4  # both count n-grams of one to four words
SIGMA = 6.0  # of CIDEr-D: how much another length costs


def ngrams(words: Sequence[str], n: int) -> Counter:
    """How often each run of `n` words occurs."""
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def bleu(hypotheses: Sequence[str], references: Sequence[Sequence[str]], max_n: int = MAX_N) -> float:
    """Corpus BLEU from 0 to 1: geometric mean of the clipped n-gram precisions, times the brevity penalty.

    Counts are summed over the corpus before they are divided: the mean of sentences' BLEU is another number. (Papineni
    et al. 2002; equal to sacreBLEU without its tokenizer and without smoothing: Post 2018, arXiv 1804.08771.)

    Parameters
    ----------
    hypotheses : sentences, their words divided by spaces
    references : for each of them, one or more right sentences
    max_n : the longest n-gram

    Raises
    ------
    ValueError
        For no sentences, another number of references, or a hypothesis without any reference.
    """
    split = _split(hypotheses, references)
    matches, totals = [0] * max_n, [0] * max_n
    length, reference_length = 0, 0
    for words, right in split:
        length += len(words)
        reference_length += min((abs(len(other) - len(words)), len(other)) for other in right)[1]  # the closest one
        for n in range(1, max_n + 1):
            most: Counter = Counter()
            for other in right:
                most |= ngrams(other, n)  # the largest count in any reference
            clipped = ngrams(words, n) & most
            matches[n - 1] += sum(clipped.values())
            totals[n - 1] += max(len(words) - n + 1, 0)
    if min(matches) == 0:
        return 0.0
    log_precision = sum(math.log(match / total) for match, total in zip(matches, totals, strict=True)) / max_n
    brevity = min(0.0, 1 - reference_length / length)
    return math.exp(log_precision + brevity)


def cider_d(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """CIDEr-D of each hypothesis, from 0 to 10: cosine of n-gram vectors weighted by how rare an n-gram is.

    An n-gram's weight is its count times log(pictures / pictures whose references have it). So one picture alone has
    weight 0 everywhere, and scores 0. The D stands for what cannot be gamed so easily: counts are clipped, and another
    length costs exp(−Δ²/72). (Vedantam et al. 2015, arXiv 1411.5726; the "CIDEr" of pycocoevalcap is this one.)

    Parameters
    ----------
    hypotheses : sentences, their words divided by spaces
    references : for each of them, one or more right sentences

    Raises
    ------
    ValueError
        As in `bleu`.
    """
    split = _split(hypotheses, references)
    document_frequency: Counter = Counter()
    for _, right in split:
        present = {gram for other in right for n in range(1, MAX_N + 1) for gram in ngrams(other, n)}
        document_frequency.update(present)
    log_pictures = math.log(len(split))

    def vector(words: Sequence[str], n: int) -> dict[tuple, float]:
        """n-gram → count · inverse document frequency."""
        counts = ngrams(words, n)
        return {
            gram: count * (log_pictures - math.log(max(1, document_frequency[gram]))) for gram, count in counts.items()
        }

    def similarity(words: Sequence[str], other: Sequence[str]) -> float:
        """Mean over n of the clipped cosine, times the penalty for another length."""
        # measured in bigrams, as in the authors' own program
        difference = max(len(words) - 1, 0) - max(len(other) - 1, 0)
        penalty = math.exp(-(difference**2) / (2 * SIGMA**2))
        total = 0.0
        for n in range(1, MAX_N + 1):
            mine, right = vector(words, n), vector(other, n)
            dot = sum(min(weight, right.get(gram, 0.0)) * right.get(gram, 0.0) for gram, weight in mine.items())
            norms = math.sqrt(sum(w * w for w in mine.values()) * sum(w * w for w in right.values()))
            total += dot / norms if norms > 0 else 0.0
        return penalty * total / MAX_N

    return [10 * sum(similarity(words, other) for other in right) / len(right) for words, right in split]


def _split(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> list[tuple[list[str], list[list[str]]]]:
    """Words of each hypothesis and of its references, checked."""
    if isinstance(hypotheses, str):
        raise ValueError("hypotheses: expected a list of sentences, got one string; put it into a list")
    if len(hypotheses) == 0:
        raise ValueError("hypotheses: expected one sentence or more, got none")
    if len(references) != len(hypotheses):
        raise ValueError(f"references: expected a list for each of {len(hypotheses)} hypotheses, got {len(references)}")
    split = []
    for number, (sentence, right) in enumerate(zip(hypotheses, references, strict=True)):
        if isinstance(right, str):
            raise ValueError(f"references[{number}]: expected a list of sentences, got one string; put it into a list")
        if len(right) == 0:
            raise ValueError(f"references[{number}]: expected one sentence or more, got none")
        split.append((sentence.split(), [other.split() for other in right]))
    return split
