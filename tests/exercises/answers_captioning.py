"""Known right and wrong answers to the exercises of lesson captioning, as learners write them."""

import math
from collections import Counter

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- captioning.1
def beam(add=True, stay=True, penalty=True, grow=lambda ended: ~ended, order=None, pair=None):
    """A right answer with places to go wrong."""

    def answer(log_probs, scores, lengths, finished, alpha):
        beams, size = log_probs.shape
        found = log_probs + scores[:, None] if add else log_probs.copy()
        if stay:
            for b in np.flatnonzero(finished):
                found[b] = -np.inf
                found[b, 0] = scores[b]
        length = lengths + grow(finished)
        value = found / (((5 + length) / 6) ** alpha if penalty else np.ones(beams))[:, None]
        flat = order(value) if order else np.argsort(-value.reshape(-1), kind="stable")
        row, piece = np.unravel_index(flat[:beams], value.shape)
        return np.column_stack(pair(row, piece) if pair else (row, piece))

    return answer


def best_of_each(log_probs, scores, lengths, finished, alpha):
    """Every beam keeps its own best piece."""
    piece = np.where(finished, 0, log_probs.argmax(1))
    return np.column_stack((np.arange(len(scores)), piece))


# ---------------------------------------------------------------- captioning.4
def grams(words, n):
    return Counter(zip(*(words[i:] for i in range(n)), strict=False))


def bleu(clip=True, pool=max, brief=True, nearest=None, mean="geometric", most_n=None):
    """A right answer with places to go wrong."""

    def answer(hypotheses, references, max_n):
        shares = []
        for n in range(1, (most_n or max_n) + 1):
            hit, total = 0, 0
            for said, right in zip(hypotheses, references, strict=True):
                for gram, count in grams(said, n).items():
                    most = pool([grams(other, n)[gram] for other in right])
                    hit += min(count, most) if clip else count * (most > 0)
                    total += count
            shares.append(hit / total)
        if min(shares) == 0:
            return 0.0
        score = math.prod(shares) ** (1 / len(shares)) if mean == "geometric" else sum(shares) / len(shares)
        c = sum(len(said) for said in hypotheses)
        choose = nearest or (lambda sizes, own: min(sizes, key=lambda size: (abs(size - own), size)))
        r = sum(choose([len(o) for o in right], len(said)) for said, right in zip(hypotheses, references, strict=True))
        return score * (math.exp(1 - r / c) if brief and c < r else 1.0)

    return answer


def of_sentences(hypotheses, references, max_n):
    """BLEU of each sentence, and their mean."""
    one = bleu()
    return np.mean([one([said], [right], max_n) for said, right in zip(hypotheses, references, strict=True)])


# ---------------------------------------------------------------- captioning.5
def chooser(rank="truth", enough=lambda s: s >= 0.9, error="both", lead="share", next_best=1):
    """A right answer with places to go wrong."""

    def answer(bleu, cider, statements, true, n):
        inside = [k for k in range(len(true)) if enough(statements[k])]
        keys = {"truth": true, "bleu": bleu, "cider": cider, "length": statements, "falsehood": -true}[rank]
        ranked = sorted(inside, key=lambda k: (-keys[k], k))
        a, b = ranked[0], ranked[min(next_best, len(ranked) - 1)]
        p, q = true[a] / n, true[b] / n
        spread = p * (1 - p) + (q * (1 - q) if error == "both" else 0)
        clear = p - q > 1.96 * math.sqrt(spread / n)
        if error in ("none", "infinite"):
            clear = error == "none"
        gap = p - q if lead == "share" else int(true[a] - true[b])
        return (a if clear else -1), (0.0 if lead == "if chosen" and not clear else gap)

    return answer


ANSWERS = {
    "captioning.5": Answers(
        right=[chooser(), lambda *args: tuple(np.float64(x) for x in chooser()(*args))],
        wrong=[
            (chooser(rank="bleu"), "chose by BLEU"),
            (chooser(rank="cider"), "chose by CIDEr-D"),
            (chooser(rank="length"), "says most"),
            (chooser(enough=lambda s: True), "leaves facts out"),
            (chooser(enough=lambda s: s > 0.9), "Exactly 0.9"),
            (chooser(error="none"), "Another test"),
            (chooser(error="infinite"), "always undecided"),
            (chooser(error="one"), "one of the two shares"),
            (chooser(lead="captions"), "divide by n"),
        ],
    ),
    "captioning.1": Answers(
        right=[
            beam(),
            beam(order=lambda value: np.array(sorted(range(value.size), key=lambda i: -value.flat[i]))),
        ],
        wrong=[
            (beam(add=False), "score of the beam itself"),
            (beam(stay=False), "goes on"),
            (beam(penalty=False), "divided by nothing"),
            (beam(grow=lambda ended: np.zeros(len(ended), int)), "old lengths"),
            (beam(grow=lambda ended: np.ones(len(ended), int)), "finished beam grows"),
            (best_of_each, "best of each beam"),
            (beam(pair=lambda row, piece: (piece, row)), "the other way round"),
            (
                beam(order=lambda value: np.argsort(value.reshape(-1), kind="stable")[-len(value) :]),
                "The worst comes first",
            ),
        ],
    ),
    "captioning.4": Answers(
        right=[bleu(), lambda hypotheses, references, max_n: float(bleu()(hypotheses, references, max_n))],
        wrong=[
            (bleu(most_n=1), "words only"),
            (bleu(clip=False), "not clipped"),
            (of_sentences, "mean over sentences"),
            (bleu(mean="arithmetic"), "arithmetic mean"),
            (bleu(brief=False), "no brevity penalty"),
            (bleu(nearest=lambda sizes, own: min(sizes)), "shortest reference"),
            (bleu(pool=sum), "added up"),
        ],
    ),
}
