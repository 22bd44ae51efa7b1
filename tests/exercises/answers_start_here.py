"""Known right and wrong answers to the exercises of lesson start_here, as learners write them."""

import numpy as np
from exercise_harness import Answers
from scipy.special import stdtrit  # quantiles of Student's t; scipy.stats takes ten times as long to load


# ---------------------------------------------------------------- start_here.1
def loop_over_cues(joint):
    total = 0.0
    for x in range(joint.shape[1]):
        best = joint[0, x]
        for y in range(joint.shape[0]):
            if joint[y, x] > best:
                best = joint[y, x]
        total += best
    return total


def sorted_columns(joint):
    return np.sort(joint, axis=0)[-1].sum()


def conditional_first(joint):
    p_x = joint.sum(axis=0)
    known = p_x > 0  # a cue that never occurs has no p(y given x)
    return float(p_x[known] @ (joint[:, known] / p_x[known]).max(axis=0))


def built_in(joint):
    return sum(max(column) for column in joint.T.tolist())


# ---------------------------------------------------------------- start_here.2
def in_logs(p_words, p_voice, p_face, prior):
    scores = np.log(p_words) + np.log(p_voice) + np.log(p_face) - 2 * np.log(prior)
    scores -= scores.max(axis=1, keepdims=True)
    return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


def by_likelihoods(p_words, p_voice, p_face, prior):
    rows = []
    for w, v, f in zip(p_words, p_voice, p_face, strict=True):
        joint = [prior[k] * (w[k] / prior[k]) * (v[k] / prior[k]) * (f[k] / prior[k]) for k in range(len(prior))]
        rows.append([value / sum(joint) for value in joint])
    return rows


def stacked(p_words, p_voice, p_face, prior):
    product = np.stack([p_words, p_voice, p_face]).prod(axis=0) * np.asarray(prior) ** -2.0
    return (product.T / product.sum(axis=1)).T


def rows(product):
    return product / product.sum(axis=1, keepdims=True)


def softmax_over_batch(w, v, f, prior):
    product = w * v * f / prior**2
    return product / product.sum(axis=0)


# ---------------------------------------------------------------- start_here.3
def factor(n):
    """Half of a 95 % interval in standard errors, from SciPy; the learners' table has three decimals of it."""
    return stdtrit(n - 1, 0.975)


def with_loops(single, fused, ceiling):
    n = len(single)
    differences = [b - a for a, b in zip(single, fused, strict=True)]
    mean = sum(differences) / n
    share = mean / (ceiling - sum(single) / n)
    if n < 2:
        return 100 * mean, share, False
    variance = sum((d - mean) ** 2 for d in differences) / (n - 1)
    return 100 * mean, share, mean > factor(n) * (variance / n) ** 0.5


def by_matrices(single, fused, ceiling):
    pairs = np.stack([single, fused], axis=1)
    mean_single, mean_fused = pairs.mean(axis=0)
    gap, d = ceiling - mean_single, np.diff(pairs)[:, 0]
    noise = np.inf if d.size == 1 else np.sqrt(d.var(ddof=1) / d.size)
    return [(mean_fused - mean_single) * 100, 1 - (ceiling - mean_fused) / gap, (d.mean() / factor(d.size)) > noise]


def but(**parts):
    """The right answer with parts replaced, each by a function of (single, fused, ceiling)."""

    def worth_it(*args):
        right = dict(zip(("gain", "share", "supported"), with_loops(*args), strict=True))
        return tuple(parts[name](*args) if name in parts else value for name, value in right.items())

    return worth_it


def beyond(error, measure=lambda difference: difference, times=factor):
    """Supported if the mean gain is more than t (or so many `times`) of these errors; one seed supports nothing."""
    return but(
        supported=lambda s, f, c: len(s) > 1 and bool(measure(f.mean() - s.mean()) > times(len(s)) * error(s, f))
    )


ANSWERS = {
    "start_here.1": Answers(
        right=[loop_over_cues, sorted_columns, conditional_first, built_in],
        wrong=[
            (lambda joint: joint.max(axis=1).sum(), "largest value of each row"),
            (lambda joint: joint.max(axis=0), "over all cues is their sum"),
            (lambda joint: joint.max(axis=0).mean(), "divided by the number of cues"),
            (lambda joint: joint.sum(axis=1).max(), "naming the commonest label"),
            (lambda joint: joint.max(), "single largest cell"),
            (lambda joint: (joint / joint.sum(axis=0)).max(axis=0).mean(), "as if all cues were equally frequent"),
            (lambda joint: (joint / joint.sum(axis=0)).max(axis=0).sum(), "which can pass 1"),
            (lambda joint: 100 * joint.max(axis=0).sum(), "100 times too large"),
            (lambda joint: joint.argmax(axis=0).sum(), "gives positions, not probabilities"),
            (lambda joint: sum(max(joint[:, x]) for x in range(2)), "as many columns as there are labels"),
            (lambda joint: (joint.sum(axis=0) * (joint / joint.sum(axis=0)).max(axis=0)).sum(), "adds nothing"),
            (lambda joint: joint[:2].max(axis=0).sum(), "compared only two labels"),
        ],
    ),
    "start_here.2": Answers(
        right=[in_logs, by_likelihoods, stacked],
        wrong=[
            (lambda w, v, f, prior: rows(w * v * f), "forgot the prior"),
            (lambda w, v, f, prior: rows(w * v * f / prior), "divided by the prior once"),
            (lambda w, v, f, prior: rows(w * v * f / prior**3), "divided by the prior three times"),
            (lambda w, v, f, prior: rows(w * v * f * prior), "multiplied by the prior"),
            (lambda w, v, f, prior: w * v * f / prior**2, "do not sum to 1"),
            (lambda w, v, f, prior: w * v * f, "stopped there"),
            (softmax_over_batch, "normalized over the batch"),
            (lambda w, v, f, prior: np.mean([w, v, f], axis=0), "average of the posteriors"),
            (lambda w, v, f, prior: np.log(w * v * f / prior**2), "log-probabilities"),
            (
                lambda w, v, f, prior: rows(w * v * f / prior**2).argmax(axis=1),
                "should have shape (2, 3), got shape (2,)",
            ),
        ],
    ),
    "start_here.3": Answers(
        right=[with_loops, by_matrices],
        wrong=[
            (but(gain=lambda s, f, c: 100 * (f.mean() / s.mean() - 1)), "is relative"),
            (but(gain=lambda s, f, c: f.mean() - s.mean()), "is a fraction"),
            (but(gain=lambda s, f, c: 100 * (f.max() - s.max())), "the best seeds"),
            (but(share=lambda s, f, c: (f.mean() - s.mean()) / (1 - s.mean())), "divides by the gap to 1"),
            (but(share=lambda s, f, c: f.mean() / c), "accuracy over ceiling"),
            (but(supported=lambda s, f, c: f.mean() > s.mean()), "every positive gain"),
            (but(supported=lambda s, f, c: len(s) == 1 or with_loops(s, f, c)[2]), "gain of a single seed"),
            (beyond(lambda s, f: (f - s).std(ddof=1) / len(s) ** 0.5, abs), "call a loss supported"),
            (beyond(lambda s, f: (f - s).std(ddof=1)), "used the standard deviation"),
            (beyond(lambda s, f: ((s.var(ddof=1) + f.var(ddof=1)) / len(s)) ** 0.5), "runs as unpaired"),
            (beyond(lambda s, f: (f - s).std() / len(s) ** 0.5), "divides by s"),
            (but(gain=lambda s, f, c: max(100 * (f - s))), "luckiest seed"),
            (but(supported=lambda s, f, c: len(s) > 2 and with_loops(s, f, c)[2]), "gain of two seeds unsupported"),
            (beyond(lambda s, f: (f - s).std(ddof=1) / len(s)), "by the root of s, not by s"),
            (beyond(lambda s, f: (f - s).std(ddof=1) / (len(s) - 1) ** 0.5), "took off 1 twice"),
            *[
                (
                    beyond(lambda s, f: (f - s).std(ddof=1) / len(s) ** 0.5, times=lambda n, k=k: k),
                    f"with {k} standard error",
                )
                for k in (1, 1.5, 1.96, 2.5, 3)
            ],
            (lambda s, f, c: with_loops(s, f, c)[:2], "should be 3 values (gain, share, supported); got 2"),
            (but(supported=lambda s, f, c: "yes"), "(supported) is text"),
            (
                beyond(lambda s, f: (f - s).std(ddof=1) / len(s) ** 0.5, times=lambda n: 2),
                "you take two standard errors",
            ),
            (
                beyond(lambda s, f: (f - s).std(ddof=1) / len(s) ** 0.5, times=lambda n: factor(n + 1)),
                "one run too many",
            ),
        ],
    ),
}
