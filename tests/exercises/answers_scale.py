"""Known right and wrong answers to the exercises of lesson scale, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- scale.1
def put_together(share=lambda n: n / n.sum(), clip=lambda v, m: v * min(1, m / np.linalg.norm(v)), each=None):
    """A right answer with places to go wrong."""

    def answer(gradients, counts, max_norm):
        n = np.array(counts, float)
        w = share(n)
        total = np.zeros(gradients.shape[2])
        for i in range(len(n)):
            for j in range(n.shape[1]):
                g = gradients[i, j]
                total = total + w[i, j] * (each(g, max_norm) if each else g)
        return clip(total, max_norm)

    return answer


# ---------------------------------------------------------------- scale.2
def left(
    deal=lambda order, w, k: order[w::k],
    inner=lambda seed, epoch, w: [seed, epoch, w],
    outer=lambda seed, epoch: [seed, epoch],
    gone=lambda w, k, taken: (taken - w + k - 1) // k,
    cut=lambda s, given, batch: s[given * batch :],
):
    """A right answer with places to go wrong."""

    def answer(lengths, seed, epoch, workers, batch, taken):
        ids, n = [], 0
        for length in lengths:
            ids.append(list(range(n, n + length)))
            n += length
        order = np.random.default_rng(outer(seed, epoch)).permutation(len(lengths))
        found = []
        for w in range(workers):
            mine = np.array(sum((ids[s] for s in deal(order, w, workers)), []))
            mine = np.random.default_rng(inner(seed, epoch, w)).permutation(mine)
            found.append(cut(mine, max(0, gone(w, workers, taken)), batch))
        return found

    return answer


# ---------------------------------------------------------------- scale.3
def counted(
    gradient=True, states=8, biases=True, master=4, half_size=2, kept=lambda w: w[:-1], times_batch=True, cut="fixed"
):
    """A right answer with places to go wrong."""

    def answer(widths, batch, half, shards):
        n = 0
        for i in range(len(widths) - 1):
            n += widths[i] * widths[i + 1] + (widths[i + 1] if biases else 0)
        b = half_size if half else 4
        fixed = n * (b * (2 if gradient else 1) + states + (master if half else 0))
        acts = b * sum(kept(widths)) * (batch if times_batch else 1)
        if cut == "all":
            return (fixed + acts) / shards
        return fixed / (shards if cut == "fixed" else 1) + acts

    return answer


def shorten(v, m):
    return v * min(1, m / max(np.linalg.norm(v), 1e-12))


ANSWERS = {
    "scale.1": Answers(
        right=[put_together(), lambda *a: list(put_together()(*a))],
        wrong=[
            (put_together(share=lambda n: np.ones_like(n) / n.size), "mean of means"),
            (put_together(share=lambda n: n / np.maximum(n.sum(1, keepdims=True), 1) / len(n)), "of its own rank"),
            (put_together(share=lambda n: n), "sum of all gradients"),
            (put_together(share=lambda n: n / n[0].sum()), "rank 0"),
            (put_together(each=shorten, clip=lambda v, m: v), "Clip after"),
            (put_together(clip=lambda v, m: v), "not clipped"),
            (put_together(clip=lambda v, m: v * m / np.linalg.norm(v)), "only ever shorter"),
            (put_together(clip=lambda v, m: v.clip(-m, m)), "each single value"),
        ],
    ),
    "scale.2": Answers(
        right=[left(), lambda *a: [list(part) for part in left()(*a)]],
        wrong=[
            (left(deal=lambda o, w, k: o), "same shards"),
            (left(deal=lambda o, w, k: np.array_split(o, k)[w]), "dealt in turn"),
            (left(inner=lambda s, e, w: [s, e]), "same for each worker"),
            (left(inner=lambda s, e, w: [s, 0, w]), "this seed, too"),
            (left(outer=lambda s, e: [s, 0]), "that seed, too"),
            (left(gone=lambda w, k, t: t), "of all workers together"),
            (left(gone=lambda w, k, t: t // k), "divide evenly"),
            (left(cut=lambda s, g, b: s[: g * b]), "already given"),
            (left(cut=lambda s, g, b: s[g:]), "batches, not samples"),
            (left(cut=lambda s, g, b: np.array(sorted(s[g * b :]))), "in the order"),
        ],
    ),
    "scale.3": Answers(
        right=[counted(), lambda *a: np.float64(counted()(*a))],
        wrong=[
            (counted(kept=lambda w: []), "Activations are missing"),
            (counted(times_batch=False), "every sample of the batch"),
            (counted(kept=lambda w: w), "no layer's input"),
            (counted(kept=lambda w: w[1:-1]), "first layer keeps"),
            (counted(biases=False), "biases"),
            (counted(states=4), "two means"),
            (counted(gradient=False), "gradients are missing"),
            (counted(master=0), "12 bytes"),
            (counted(half_size=4), "takes 2 bytes"),
            (counted(cut="none"), "cut over"),
            (counted(cut="all"), "not cut"),
        ],
    ),
}
