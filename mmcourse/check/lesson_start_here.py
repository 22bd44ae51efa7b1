"""Checks of lesson start_here: the ceiling of a joint table, late fusion with a prior, and what a gain is worth."""

from __future__ import annotations

import numpy as np

from mmcourse.check import agree, exercise, rng


def _normalised(table: np.ndarray, axis: int | None = None) -> np.ndarray:
    return table / table.sum(axis=axis, keepdims=axis is not None)


# ---------------------------------------------------------------- start_here.1
def bayes_accuracy(joint: np.ndarray) -> float:
    """Best accuracy that any model can reach from x, where joint[y, x] = p(y, x)."""
    return joint.max(axis=0).sum()


_CEILING_MISTAKES = [
    (
        lambda p: p.max(axis=1).sum(),
        "You took the largest value of each row. For one cue x the choice is among labels y: look down each column.",
    ),
    (
        lambda p: p.max(axis=0),
        "You have p(best label, x) for each cue x. The accuracy over all cues is their sum.",
    ),
    (
        lambda p: p.max(axis=0).mean(),
        "You divided by the number of cues. The table is joint: each cue already counts by how often it comes.",
    ),
    (
        lambda p: p.sum(axis=1).max(),
        "That is the accuracy of always naming the commonest label. It never looks at the cue x.",
    ),
    (
        lambda p: p.argmax(axis=0).sum(),
        "`argmax` gives places, not probabilities. Take the largest values themselves.",
    ),
    (
        lambda p: p[:, : len(p)].max(axis=0).sum(),
        "You used only as many columns as there are labels. Every cue x counts, so take one maximum from each column.",
    ),
    (
        lambda p: p.max(),
        "That is the single largest cell. Each cue x has a best label of its own: one maximum a column, then the sum.",
    ),
    (
        lambda p: (p / p.sum(axis=0)).max(axis=0).mean(),
        "You averaged p(y given x) as if all cues were equally frequent. Weigh each by p(x), or keep the joint table.",
    ),
    (
        lambda p: (p / p.sum(axis=0)).max(axis=0).sum(),
        "You summed p(y given x) over cues, which can pass 1. Weigh each by p(x), or keep the joint table.",
    ),
]


@exercise("start_here.1", title="The best accuracy there is", points=1, difficulty=1, minutes=5)
def check_bayes_accuracy(answer):
    g = rng("00.1")
    tables = [np.array([[0.28, 0.05, 0.12], [0.10, 0.15, 0.30]])]
    tables += [_normalised(g.random(shape)) for shape in ((3, 4), (2, 2), (5, 3), (3, 1), (1, 4))]
    agree(answer, bayes_accuracy, [(table,) for table in tables], mistakes=_CEILING_MISTAKES)
    return "No model that sees only x beats this number, whatever its size."


# ---------------------------------------------------------------- start_here.2
def late_fusion(p_words: np.ndarray, p_voice: np.ndarray, p_face: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """p(y | words, voice, face) from three posteriors (b, 3) and the prior (3,), the cues independent given y."""
    return _normalised(p_words * p_voice * p_face / prior**2, axis=1)


def _fused(power: float, axis: int | None = 1):
    def fuse(w, v, f, prior):
        product = w * v * f / prior**power
        return product if axis is None else _normalised(product, axis)

    return fuse


_FUSION_MISTAKES = [
    (
        _fused(0),
        "You multiplied the posteriors and forgot the prior. Each of the three contains it, so it was counted thrice.",
    ),
    (
        _fused(1),
        "You divided by the prior once. Three posteriors hold it three times and it should stay once: divide twice.",
    ),
    (
        _fused(3),
        "You divided by the prior three times, so no prior is left. One of the three must stay: divide twice.",
    ),
    (
        _fused(-1),
        "You multiplied by the prior. Posteriors contain it already: divide, by its square.",
    ),
    (
        _fused(2, None),
        "The products are right but do not sum to 1. Divide each row by its own sum.",
    ),
    (
        _fused(0, None),
        "You multiplied the posteriors and stopped there: divide by the prior twice, then each row by its sum.",
    ),
    (
        _fused(2, 0),
        "Columns sum to 1, rows do not: you normalised over the batch. A sample's probabilities lie along `axis=1`.",
    ),
    (
        lambda w, v, f, prior: (w + v + f) / 3,
        "That is the average of the posteriors. It never gets surer than its surest part; independent cues multiply.",
    ),
    (
        lambda w, v, f, prior: np.log(w) + np.log(v) + np.log(f) - 2 * np.log(prior),
        "These are log-probabilities up to a constant. Take `np.exp`, then divide each row by its sum.",
    ),
]


@exercise("start_here.2", title="Late fusion with the prior counted once", points=2, difficulty=2, minutes=10)
def check_late_fusion(answer):
    g = rng("00.2")
    words, voice = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]]), np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]])
    inputs = [(words, voice, np.array([[0.7, 0.2, 0.1], [0.3, 0.4, 0.3]]), np.array([0.5, 0.3, 0.2]))]
    for b in (1, 4, 7):
        posteriors = [_normalised(g.uniform(0.1, 1, (b, 3)), axis=1) for _ in range(3)]
        inputs.append((*posteriors, _normalised(g.uniform(0.2, 1, 3))))
    agree(answer, late_fusion, inputs, mistakes=_FUSION_MISTAKES)
    return "The prior is counted once, and each row is a probability distribution."


# ---------------------------------------------------------------- start_here.3
def worth_it(single: np.ndarray, fused: np.ndarray, ceiling: float) -> tuple[float, float, bool]:
    """Gain in points, share of the gap to the ceiling that was closed, and whether paired seeds support a gain."""
    alone = len(single) == 1  # one seed has no spread, so it supports nothing
    return _report(single, fused, ceiling, supported=False if alone else None)


def _paired(single, fused):
    return np.std(fused - single, ddof=1) / np.sqrt(len(single))


def _report(single, fused, ceiling, gain=None, share=None, error=_paired, supported=None):
    """The right report, with one part replaced for each mistake that is known."""
    difference = fused.mean() - single.mean()
    gain = 100 * difference if gain is None else gain
    share = difference / (ceiling - single.mean()) if share is None else share
    supported = bool(difference > 2 * error(single, fused)) if supported is None else bool(supported)
    return float(gain), float(share), supported


_WORTH_MISTAKES = [
    (
        lambda s, f, c: _report(s, f, c, supported=True if len(s) == 1 else None),
        "You call the gain of a single seed supported. One run shows no spread, so it supports no claim.",
    ),
    (
        lambda s, f, c: _report(s, f, c, gain=100 * (f.mean() / s.mean() - 1)),
        "Your gain is relative (percent of the single model's accuracy). Points are the plain difference, times 100.",
    ),
    (
        lambda s, f, c: _report(s, f, c, gain=f.mean() - s.mean()),
        "Your gain is a fraction. One percentage point is 0.01: multiply by 100.",
    ),
    (
        lambda s, f, c: _report(s, f, c, gain=100 * (f.max() - s.max())),
        "Your gain compares the best seeds. The luckiest run is no measure: compare the means over seeds.",
    ),
    (
        lambda s, f, c: _report(s, f, c, gain=100 * (f - s).max()),
        "Your gain is that of the luckiest seed. One pair of runs is no measure: compare the means over seeds.",
    ),
    (
        lambda s, f, c: _report(s, f, c, share=(f.mean() - s.mean()) / (1 - s.mean())),
        "Your share divides by the gap to 1. Nobody can reach 1 here: the gap that can be closed ends at the ceiling.",
    ),
    (
        lambda s, f, c: _report(s, f, c, share=f.mean() / c),
        "Your share is accuracy over ceiling. Asked is how much of the gap from single model to ceiling was closed.",
    ),
    (
        lambda s, f, c: _report(s, f, c, supported=abs(f.mean() - s.mean()) > 2 * _paired(s, f)),
        "You call a loss supported: the size of the difference counts only if its sign says that fusion helps.",
    ),
    (
        lambda s, f, c: _report(s, f, c, error=lambda s, f: np.std(f - s, ddof=1)),
        "You used the standard deviation. The standard error of a mean over s seeds is smaller by the root of s.",
    ),
    (
        lambda s, f, c: _report(s, f, c, error=lambda s, f: np.sqrt((s.var(ddof=1) + f.var(ddof=1)) / len(s))),
        "You treated the runs as unpaired. Both models share each seed: take the differences first, then their spread.",
    ),
    (
        lambda s, f, c: _report(s, f, c, error=lambda s, f: np.std(f - s) / np.sqrt(len(s))),
        "Your spread divides by s. From few seeds that is too small: divide by s - 1, which is `ddof=1`.",
    ),
    (
        lambda s, f, c: _report(s, f, c, supported=f.mean() > s.mean()),
        "You call every positive gain supported. Ask whether it is more than two standard errors above zero.",
    ),
    (
        lambda s, f, c: _report(s, f, c, supported=False if len(s) < 3 else None),
        "You call the gain of two seeds unsupported. Two differences do have a spread: only one seed has none.",
    ),
    (
        lambda s, f, c: _report(s, f, c, error=lambda s, f: np.std(f - s, ddof=1) / len(s)),
        "Your standard error is too small: divide the standard deviation by the root of s, not by s itself.",
    ),
    (
        lambda s, f, c: _report(s, f, c, error=lambda s, f: np.std(f - s, ddof=1) / np.sqrt(len(s) - 1)),
        "You took off 1 twice. It belongs in the standard deviation (`ddof=1`); then divide by the root of s.",
    ),
]


def _errors(k):
    """The report that asks for k standard errors instead of two."""
    return lambda s, f, c: _report(s, f, c, error=lambda s, f: k / 2 * _paired(s, f))


_WORTH_MISTAKES += [
    (_errors(k), f"You compare the mean gain with {k:g} standard error{'s' * (k > 1)}, it seems. Two were asked.")
    for k in (1, 1.5, 1.96, 2.5, 3)
]


def _noisy(t, spread=(-2, 2, 0, -2, 2, 0, 3, -3, 0)):
    """Runs whose mean gain is t standard errors above zero."""
    points = np.array(spread) / 100
    return [0.70] * len(points), np.round(0.70 + t * _paired(0 * points, points) + points, 4), 0.85


# One pair of runs for each way to go wrong, so that the message can name it: clear gain; gain within the noise;
# sure loss; nine seeds, from far off two standard errors to near; seeds that move both models together; two seeds;
# three seeds on either side; just short of two standard errors; a single seed.
_RUNS = [
    ([0.70, 0.72, 0.71, 0.69], [0.82, 0.82, 0.81, 0.80], 0.92),
    ([0.70, 0.72, 0.71, 0.69, 0.70], [0.74, 0.70, 0.75, 0.66, 0.72], 0.90),
    ([0.80, 0.82, 0.81, 0.80], [0.75, 0.76, 0.77, 0.75], 0.91),
    *map(_noisy, (5, 3.5, 2.7, 2.35, 0.8, 1.2, 1.6, 1.7)),
    ([0.60, 0.70, 0.65, 0.75, 0.55], [0.62, 0.73, 0.67, 0.78, 0.58], 0.88),
    ([0.60, 0.64], [0.70, 0.72], 0.92),
    ([0.70, 0.70, 0.70], [0.71, 0.75, 0.71], 0.80),
    ([0.70, 0.70, 0.70], [0.704, 0.72, 0.736], 0.85),
    _noisy(1.98),
    ([0.70], [0.79], 0.90),
]


@exercise("start_here.3", title="Is the gain worth having?", points=3, difficulty=2, minutes=12)
def check_worth_it(answer):
    inputs = [(np.array(single), np.array(fused), ceiling) for single, fused, ceiling in _RUNS]
    agree(answer, worth_it, inputs, mistakes=_WORTH_MISTAKES, names=("gain", "share", "supported"))
    return "Points, a share of what was possible, and a claim that the seeds can carry."
