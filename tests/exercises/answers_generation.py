"""Known right and wrong answers to the exercises of lesson generation, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- generation.1
def denoising(root=np.sqrt, end=1.0, clip=True, again=True, source="now", level="after", jump=True):
    """A right answer with places to go wrong."""

    def answer(x, noise, alpha_bars, t, t_next):
        a = alpha_bars[t]
        b = end if t_next < 0 and end is not None else alpha_bars[t_next]
        if not jump and t_next >= 0:
            b = alpha_bars[t - 1]
        of = a if source == "now" else b
        x0 = (x - root(1 - of) * noise) / root(of)
        if clip:
            x0 = x0.clip(-1, 1)
        e = (x - root(a) * x0) / root(1 - a) if again else noise
        return root(b) * x0 + root(1 - (b if level == "after" else a)) * e

    return answer


# ---------------------------------------------------------------- generation.2
def posterior(scale=lambda s: s, power=2, two=2, average=lambda w, data, s: w @ data, axis=1, safe=True, total=np.sum):
    """A right answer with places to go wrong."""

    def answer(x, data, signal, noise_level):
        gaps = x[:, None, :] - scale(signal) * data[None, :, :]
        z = -total(gaps**2, axis=-1) / (two * noise_level**power)
        if safe:
            z = z - z.max(axis=axis, keepdims=True)
        with np.errstate(all="ignore"):
            w = np.exp(z)
            w = w / w.sum(axis=axis, keepdims=True)
        return average(w, data, signal)

    return answer


def closest(x, data, signal, noise_level):
    return np.array([data[np.argmin([np.linalg.norm(row - signal * p) for p in data])] for row in x])


# ---------------------------------------------------------------- generation.3
def stepping(mix=lambda u, c, w: u + w * (c - u), move=lambda x, v, t, s: x + (s - t) * v, give=lambda v, x: (v, x)):
    """A right answer with places to go wrong."""

    def answer(x, unconditional, conditional, weight, t, t_next):
        v = mix(unconditional, conditional, weight)
        return give(v, move(x, v, t, t_next))

    return answer


ANSWERS = {
    "generation.1": Answers(
        right=[denoising(), lambda x, noise, alpha_bars, t, t_next: denoising()(x, noise, list(alpha_bars), t, t_next)],
        wrong=[
            (denoising(root=lambda z: z), "square roots"),
            (denoising(end=None), "ᾱ is 1"),
            (denoising(clip=False, again=False), "not clipped"),
            (denoising(again=False), "noise that belongs to the clipped"),
            (denoising(level="now"), "as noisy as it was"),
            (denoising(jump=False), "the step just before"),
        ],
    ),
    "generation.2": Answers(
        right=[posterior(), lambda x, data, s, n: posterior()(np.asarray(x), np.asarray(data), s, n)],
        wrong=[
            (posterior(scale=lambda s: 1), "signal · row"),
            (posterior(power=1), "is squared in the exponent"),
            (posterior(two=1), "the factor 2"),
            (posterior(axis=0), "one row of `x`"),
            (posterior(total=np.mean), "yours is their mean"),
            (posterior(average=lambda w, data, s: w @ (s * data)), "rows of `data` themselves"),
            (posterior(safe=False), "largest score"),
            (closest, "the nearest row"),
        ],
    ),
    "generation.3": Answers(
        right=[stepping(), stepping(mix=lambda u, c, w: (1 - w) * u + w * c)],
        wrong=[
            (stepping(mix=lambda u, c, w: (1 + w) * c - w * u), "not 1 + weight"),
            (stepping(mix=lambda u, c, w: w * u + (1 - w) * c), "exchanged"),
            (stepping(mix=lambda u, c, w: u + w * c), "difference"),
            (stepping(mix=lambda u, c, w: u + np.minimum(w, 1) * (c - u)), "goes beyond"),
            (stepping(move=lambda x, v, t, s: x + v), "length of the step"),
            (stepping(move=lambda x, v, t, s: x - (s - t) * v), "towards the noise"),
            (stepping(give=lambda v, x: (x, v)), "other way round"),
        ],
    ),
}
