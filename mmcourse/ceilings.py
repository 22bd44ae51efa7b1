"""How much cues tell about a label: exact accuracies and information, in bits, from a joint table.

Every function takes p(y, x_1, ..., x_M) as an array: axis 0 is the label, each further axis one source.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations

import numpy as np


def check_joint(joint: np.ndarray, sources: int | None = None) -> np.ndarray:
    """The table as float64, or a ValueError that says what is wrong with it.

    Raises
    ------
    ValueError
        If it has no source, a negative or infinite entry, or does not sum to 1 within 1e-8.
    """
    joint = np.asarray(joint, np.float64)
    if joint.ndim < 2 or (sources and joint.ndim != sources + 1):
        wanted = f"{sources} axes of sources" if sources else "an axis of labels and one or more of sources"
        raise ValueError(f"joint: expected {wanted} after axis 0, the label; got shape {joint.shape}")
    if not np.isfinite(joint).all() or joint.min() < 0 or abs(joint.sum() - 1) > 1e-8:
        raise ValueError(f"joint: expected probabilities that sum to 1, got minimum {joint.min()}, sum {joint.sum()}")
    return joint


def marginal(joint: np.ndarray, sources: Iterable[int]) -> np.ndarray:
    """p(y, those sources); sources are counted from 0, in the table's order."""
    kept = {0, *(1 + s for s in sources)}
    return joint.sum(axis=tuple(a for a in range(joint.ndim) if a not in kept))


def entropy(p: np.ndarray) -> float:
    """H = -Σ p log2 p, in bits."""
    p = np.asarray(p)[np.asarray(p) > 0]
    return float(-(p * np.log2(p)).sum())


def bayes_accuracy(joint: np.ndarray) -> float:
    """The best accuracy there is: whoever sees x says the likeliest y, Σ_x max_y p(y, x)."""
    return float(check_joint(joint).max(axis=0).sum())


def mutual_information(joint: np.ndarray) -> float:
    """I(X_1, ..., X_M; Y) = H(Y) + H(X) - H(X, Y), in bits, all sources taken together."""
    joint = check_joint(joint)
    label = joint.sum(axis=tuple(range(1, joint.ndim)))
    return entropy(label) + entropy(joint.sum(axis=0)) - entropy(joint)


def decompose(joint: np.ndarray) -> dict[str, float]:
    """Partial information decomposition of two sources about Y, in bits, after Bertschinger et al. 2014.

    What X1 and X2 say about Y is split into what both say (redundancy), what only one says (unique1, unique2)
    and what only the two together say (synergy). The four sum to I(X1, X2; Y), redundancy + unique1 to I(X1; Y).
    Where to draw the line is a choice, and there are others (the first was Williams & Beer 2010, arXiv 1004.2515).
    This one (arXiv 1311.2852, called BROJA) looks at all joint tables q with the same p(y, x1) and p(y, x2): what
    they share no pair of single sources can tell apart, so the least I_q(X1, X2; Y) among them has no synergy,
    and synergy is what the true table has above it. The minimum is a convex problem, solved to 1e-6 bits.

    Parameters
    ----------
    joint : float (C, a, b), p(y, x1, x2)

    Returns
    -------
    dict of redundancy, unique1, unique2, synergy

    Raises
    ------
    RuntimeError
        If the solver cannot prove its optimum.
    """
    joint = check_joint(joint, 2)
    both, first, second = (mutual_information(marginal(joint, s)) for s in ((0, 1), (0,), (1,)))
    least = min(both, max(first, second, _least_information(joint)))
    redundancy = first + second - least
    return {
        "redundancy": redundancy,
        "unique1": first - redundancy,
        "unique2": second - redundancy,
        "synergy": both - least,
    }


def _least_information(joint: np.ndarray, gap: float = 1e-7) -> float:
    """The least I_q(X1, X2; Y), in bits, among the tables q with p's p(y, x1) and p(y, x2).

    By its dual (convex, smooth, with a bound of the error): the largest Σ p(y, a) λ(y, a) + Σ p(y, b) μ(y, b) under
    log Σ_y exp(λ(y, a) + μ(y, b)) ≤ 0 for each pair (a, b) is the least -H_q(Y | X1, X2), in nats. An interior-point
    method walks there; at its weight t the distance to the optimum is (number of pairs) / t (Boyd & Vandenberghe 2004,
    section 11.2). `gap` is that distance at the end.
    """
    first, second = joint.sum(axis=2), joint.sum(axis=1)  # p(y, a), p(y, b)
    y, a, b = np.nonzero((first[:, :, None] > 0) & (second[:, None, :] > 0))  # where q may be above 0
    _, pair = np.unique(a * joint.shape[2] + b, return_inverse=True)
    known_a, index_a = np.unique(y * joint.shape[1] + a, return_inverse=True)
    known_b, index_b = np.unique(y * joint.shape[2] + b, return_inverse=True)
    n_pairs, n_a, n = pair.max() + 1, len(known_a), len(known_a) + len(known_b)
    weights = np.concatenate([first.ravel()[known_a], second.ravel()[known_b]])  # (n,)
    design = np.zeros((len(y), n))  # which λ and which μ a cell adds
    design[np.arange(len(y)), index_a] = 1
    design[np.arange(len(y)), n_a + index_b] = 1

    def constraints(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log Σ_y exp(…) of each pair, and each cell's share in it."""
        score = design @ u
        top = np.full(n_pairs, -np.inf)
        np.maximum.at(top, pair, score)
        e = np.exp(score - top[pair])
        total = np.bincount(pair, e, n_pairs)
        return top + np.log(total), e / total[pair]

    def barrier(u: np.ndarray, t: float) -> float:
        level, _ = constraints(u)
        return np.inf if (level >= 0).any() else -t * weights @ u - np.log(-level).sum()

    u, t = np.zeros(n), 1.0
    u[:n_a] = -np.log(len(joint)) - 1  # each log Σ exp is at most -1
    while True:
        u = _center(u, t, weights, design, pair, constraints, barrier)
        if n_pairs / t < gap:
            label = joint.sum(axis=(1, 2))
            return entropy(label) + float(weights @ u + n_pairs / t / 2) / np.log(2)
        t *= 10


def _center(u, t, weights, design, pair, constraints, barrier, tries=300):
    """Newton's method on the barrier at weight t; RuntimeError where it does not arrive."""
    for _ in range(tries):
        level, share = constraints(u)
        push = -1 / level  # (pairs,)
        slopes = np.zeros((len(level), len(u)))
        np.add.at(slopes, pair, share[:, None] * design)  # gradient of each constraint
        gradient = push @ slopes - t * weights
        hessian = (design * (share * push[pair])[:, None]).T @ design
        hessian += (slopes * (push**2 - push)[:, None]).T @ slopes
        step = -np.linalg.lstsq(hessian, gradient, rcond=1e-13)[0]  # some directions change nothing
        decrement = -gradient @ step
        if decrement < 1e-6:
            return u
        size, now = 1.0, barrier(u, t)
        while barrier(u + size * step, t) > now - 0.1 * size * decrement + 1e-12 * abs(now):
            size /= 2
            if size < 1e-10:
                break
        if size < 1e-10:  # rounding ends the walk; so near the center the bound still holds
            if decrement < 1e-2:
                return u
            break
        u = u + size * step
    raise RuntimeError("decompose: no proven optimum for this table; are some of its probabilities almost 0?")


def additive_design(sizes: tuple[int, ...]) -> np.ndarray:
    """One row for each cell x: the one-hot codes of x_1 ... x_M side by side, float64 (cells, Σ sizes)."""
    cells = np.indices(sizes).reshape(len(sizes), -1)
    return np.hstack([np.eye(size)[i] for size, i in zip(sizes, cells, strict=True)])


def additive_accuracy(joint: np.ndarray, largest: float = 10.0, seconds: float = 60.0) -> float:
    """The best accuracy of any rule argmax_y Σ_m g_m(x_m, y), for whatever functions g_m, by integer programming.

    z(x, y) = 1 where the rule says y at x. It may, if the sum for y leads that of each other label by 1 (the g can
    be scaled, so any lead will do), and Σ p(y, x) z(x, y) is made as large as it gets.

    Parameters
    ----------
    joint : float (C, ...), p(y, x_1, ..., x_M)
    largest : bound of |g|; ten leads are plenty for small tables (a test shows that more changes nothing)
    seconds : limit of the search

    Raises
    ------
    RuntimeError
        If the solver has not proved its optimum within `seconds`.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    joint = check_joint(joint)
    labels, code = joint.shape[0], additive_design(joint.shape[1:])
    n_cells, n_g = len(code), labels * code.shape[1]
    big = 1 + 2 * (joint.ndim - 1) * largest
    says = np.eye(n_cells * labels)
    leads = []
    for y, other in permutations(range(labels), 2):
        sign = np.eye(labels)[y] - np.eye(labels)[other]
        leads.append(np.hstack([np.kron(sign, code), -big * says[y::labels]]))
    one_each = np.hstack([np.zeros((n_cells, n_g)), np.kron(np.eye(n_cells), np.ones(labels))])
    whole = np.repeat([0, 1], [n_g, n_cells * labels])
    result = milp(
        np.concatenate([np.zeros(n_g), -joint.reshape(labels, -1).T.ravel()]),
        constraints=[LinearConstraint(np.vstack(leads), lb=1 - big), LinearConstraint(one_each, lb=1, ub=1)],
        bounds=Bounds(np.where(whole, 0, -largest), np.where(whole, 1, largest)),
        integrality=whole,
        options={"time_limit": seconds},
    )
    if result.status != 0:
        raise RuntimeError(f"no proven optimum within {seconds} s: {result.message}")
    return float(-result.fun)


def loglinear_accuracy(joint: np.ndarray) -> float:
    """Accuracy of p(y|x) ∝ exp Σ_m g_m(x_m, y) fitted by maximum likelihood: what training an additive model gives."""
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    joint = check_joint(joint)
    code, p = additive_design(joint.shape[1:]), joint.reshape(len(joint), -1).T

    def loss(flat):
        g = flat.reshape(code.shape[1], -1)
        log_q = log_softmax(code @ g, axis=1)
        slope = code.T @ (np.exp(log_q) * p.sum(axis=1, keepdims=True) - p)
        return -(p * log_q).sum() + 5e-7 * flat @ flat, (slope + 1e-6 * g).ravel()

    fit = minimize(loss, np.zeros(code.shape[1] * len(joint)), jac=True, method="L-BFGS-B", options={"maxiter": 2000})
    said = (code @ fit.x.reshape(code.shape[1], -1)).argmax(axis=1)
    return float(p[np.arange(len(p)), said].sum())
