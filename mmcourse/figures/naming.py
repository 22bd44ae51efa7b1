"""A world small enough to list: the 34 ways to name "a small red circle", each with its exact probability.

What preference methods aim at is known here in closed form, so each can be held against it. The policy is a softmax
over the 34 answers; it begins as the grammar of captions, π_ref. A short answer is wanted: the reward is minus the
number of words.

::

    names = ways("small", "red", "circle")
    best = optimal_policy(names.log_reference, names.reward, beta=1.0)
    found = dpo(names, pairs=10_000, beta=1.0, seed=0)
    total_variation(found.policy, best)
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmcourse.datasets.scenes.captions import ENGLISH, article
from mmcourse.numpy.preferences import (
    clipped_loss_backward,
    group_advantages,
    kl_divergence,
    optimal_policy,
    total_variation,
)

__all__ = ["Names", "Trained", "dpo", "grpo", "methods", "optimal_policy", "reward_model", "ways"]


@dataclass(frozen=True)
class Names:
    """All ways to say one thing.

    Attributes
    ----------
    texts : n strings
    lengths : int (n,), words of each
    log_reference : float (n,), log π_ref, exact
    reward : float (n,), minus the number of words
    """

    texts: tuple[str, ...]
    lengths: np.ndarray
    log_reference: np.ndarray
    reward: np.ndarray

    @property
    def pieces(self) -> np.ndarray:
        """Words and the end, int (n,): what a model predicts one after the other."""
        return self.lengths + 1

    @property
    def reference(self) -> np.ndarray:
        """π_ref (n,)."""
        return np.exp(self.log_reference)

    def best(self, beta: float) -> np.ndarray:
        """The optimum in closed form (n,)."""
        return optimal_policy(self.log_reference, self.reward, beta)


def ways(size: str = "small", color: str = "red", shape: str = "circle") -> Names:
    """Every noun phrase that the grammar of captions has for this thing, with its probability."""
    sizes, colors, shapes = ENGLISH[size], ENGLISH[color], ENGLISH[shape]
    found: dict[str, float] = {}
    for s, c, n in itertools.product(sizes, colors, shapes):
        each = 1 / (len(sizes) * len(colors) * len(shapes))
        found[article(f"{s} {c} {n}")] = 3 / 6 * each
        found[article(f"{n} that is {c} and {s}")] = 1 / 6 * each
    for s, n in itertools.product(sizes, shapes):
        found[article(f"{s} {n} in {color}")] = 1 / 6 / (len(sizes) * len(shapes))
    for c, n in itertools.product(colors, shapes):
        found[article(f"{c} {n}")] = 1 / 6 / (len(colors) * len(shapes))
    texts = tuple(sorted(found, key=lambda text: (len(text.split()), text)))
    lengths = np.array([len(text.split()) for text in texts])
    return Names(texts, lengths, np.log([found[text] for text in texts]), -lengths.astype(float))


@dataclass(frozen=True)
class Trained:
    """A policy after training, and its distance to the optimum on the way.

    Attributes
    ----------
    policy : float (n,)
    steps : int (k,); distance : float (k,), total variation to the optimum at these steps
    clipped : of all answers drawn, each use by itself: the share that had no gradient since the clip held it
    """

    policy: np.ndarray
    steps: np.ndarray
    distance: np.ndarray
    clipped: float = 0.0


def softmax(logits: np.ndarray) -> np.ndarray:
    """(n,) → (n,), sum 1."""
    p = np.exp(logits - logits.max())
    return p / p.sum()


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Without overflow."""
    return np.exp(-np.logaddexp(0, -x))


class Adam:
    """Adam (Kingma and Ba 2015) on one array."""

    def __init__(self, rate: float) -> None:
        self.rate, self.t = rate, 0
        self.m: Any = 0.0
        self.v: Any = 0.0

    def step(self, gradient: np.ndarray, factor: float = 1.0) -> np.ndarray:
        """What to add."""
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * gradient
        self.v = 0.999 * self.v + 0.001 * gradient**2
        m, v = self.m / (1 - 0.9**self.t), self.v / (1 - 0.999**self.t)
        return -factor * self.rate * m / (np.sqrt(v) + 1e-8)


def compare(names: Names, pairs: int, seed: int, noise: bool = True, reward: np.ndarray | None = None) -> np.ndarray:
    """How often each answer won against each other one, int (n, n): pairs drawn from π_ref, judged by Bradley–Terry.

    noise : whether the worse one wins with probability σ(−difference); otherwise the better one always wins
    """
    rng = np.random.default_rng([seed, 31])
    reward = names.reward if reward is None else reward
    first, second = rng.choice(len(reward), (2, pairs), p=names.reference)
    margin = reward[first] - reward[second]
    wins = rng.random(pairs) < (sigmoid(margin) if noise else np.where(margin == 0, 0.5, margin > 0))
    table = np.zeros((len(reward), len(reward)), np.int64)
    np.add.at(table, (np.where(wins, first, second), np.where(wins, second, first)), 1)
    return table


def dpo(
    names: Names,
    pairs: int,
    beta: float = 1.0,
    seed: int = 0,
    steps: int = 1000,
    rate: float = 0.05,
    average: bool = False,
    noise: bool = True,
    target_beta: float | None = None,
) -> Trained:
    """DPO on all pairs at once, by Adam.

    average : a common mistake, log p divided by the number of pieces (words and the end) instead of summed
    target_beta : of the optimum that distances are measured to, `beta` if None
    """
    wins = compare(names, pairs, seed, noise).astype(float) / pairs
    best = names.best(beta if target_beta is None else target_beta)
    scale = beta / names.pieces if average else np.full(len(best), beta)
    logits, adam = names.log_reference.copy(), Adam(rate)
    kept: list[tuple[int, float]] = []
    for step in range(1, steps + 1):
        policy = softmax(logits)
        implied = scale * (np.log(policy) - names.log_reference)
        slope = -wins * sigmoid(implied[None, :] - implied[:, None])  # of −log σ(implied_i − implied_j)
        to_implied = slope.sum(axis=1) - slope.sum(axis=0)
        to_log_policy = to_implied * scale
        gradient = to_log_policy - policy * to_log_policy.sum()
        logits = logits + adam.step(gradient, min(1.0, 2 * (1 - step / (steps + 1))))
        if step % max(1, steps // 50) == 0 or step == 1:
            kept.append((step, total_variation(softmax(logits), best)))
    at, distance = map(np.array, zip(*kept, strict=True))
    return Trained(softmax(logits), at, distance)


def grpo(
    names: Names,
    beta: float = 1.0,
    seed: int = 0,
    steps: int = 1500,
    rate: float = 0.5,
    groups: int = 8,
    size: int = 8,
    divide: bool = False,
    kl_in: str = "reward",
    epochs: int = 1,
    clip: float = 0.2,
    learned: bool = False,
) -> Trained:
    """Groups of answers are drawn from the policy itself, and those above their baseline become more probable.

    With more than one `epochs`, the same answers are used again, under PPO's clip. The step falls to 0 at the end.

    learned : the baseline is PPO's, a learned value of the question: a running mean of its rewards that begins at 0;
        otherwise GRPO's, the mean of the group
    clip : how far the ratio may leave 1; infinity switches the clip off
    kl_in : "reward", r − β (log π − log π_ref); "loss", + β k3 beside the clipped loss, as GRPO's paper has it; or
        "nothing"
    """
    rng, best = np.random.default_rng([seed, 32]), names.best(beta)
    logits = names.log_reference.copy()
    value, held = 0.0, 0
    kept: list[tuple[int, float]] = []
    for step in range(1, steps + 1):
        old = softmax(logits)
        drawn = rng.choice(len(old), (groups, size), p=old)
        rewards = names.reward[drawn]
        if kl_in == "reward":
            rewards = rewards - beta * (np.log(old[drawn]) - names.log_reference[drawn])
        advantages = (rewards - value if learned else group_advantages(rewards, divide)).ravel()
        value += 0.1 * (rewards.mean() - value)
        flat, old_log = drawn.ravel(), np.log(old[drawn]).ravel()
        for _ in range(epochs):
            policy = softmax(logits)
            now_log = np.log(np.maximum(policy[flat], 1e-300))  # a wild step may leave 0
            to_log = clipped_loss_backward(1.0, now_log, old_log, advantages, clip)
            held += int(((to_log == 0) & (advantages != 0)).sum()) if math.isfinite(clip) else 0
            if kl_in == "loss":  # the derivative of e^d − d − 1 by log π, d = log π_ref − log π
                ratio = np.exp(names.log_reference[flat]) / policy[flat]
                to_log = to_log + beta * (1 - ratio) / len(flat)
            gradient = np.bincount(flat, to_log, len(policy)) - policy * to_log.sum()
            logits = logits - rate * min(1.0, 2 * (1 - step / (steps + 1))) * gradient
        if step % max(1, steps // 50) == 0 or step == 1:
            kept.append((step, total_variation(softmax(logits), best)))
    at, distance = map(np.array, zip(*kept, strict=True))
    return Trained(softmax(logits), at, distance, held / (steps * epochs * groups * size))


def reward_model(names: Names, pairs: int, seed: int = 0, steps: int = 1000, decay: float = 0.0) -> np.ndarray:
    """Rewards (n,), mean 0 under π_ref, that explain the pairs best (Bradley–Terry); `decay` pulls them to 0."""
    wins = compare(names, pairs, seed).astype(float) / pairs
    rewards, adam = np.zeros(len(names.reward)), Adam(0.05)
    for step in range(1, steps + 1):
        slope = -wins * sigmoid(rewards[None, :] - rewards[:, None])
        gradient = slope.sum(axis=1) - slope.sum(axis=0) + decay * rewards
        rewards = rewards + adam.step(gradient, min(1.0, 2 * (1 - step / (steps + 1))))
    return rewards - names.reference @ rewards


def averaged_optimum(names: Names, beta: float) -> np.ndarray:
    """Where DPO with averaged log p leads: log π = log π_ref + pieces (r + c) / β, c such that the sum is 1. (n,)."""
    low, high = -50.0 * beta, -float(names.reward.max())

    def at(c: float) -> np.ndarray:
        return np.exp(names.log_reference + names.pieces * (names.reward + c) / beta)

    while at(high).sum() < 1:
        high += beta
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle).sum() < 1 else (low, middle)
    return at(high)


def forward_kl_optimum(names: Names, beta: float) -> np.ndarray:
    """The policy with the largest E[r] − β KL(π_ref ‖ π), the divergence turned round: β π_ref / (c − r). (n,)."""
    low, high = float(names.reward.max()) + 1e-12, float(names.reward.max()) + 1000 * beta
    for _ in range(200):
        middle = (low + high) / 2
        total = (beta * names.reference / (middle - names.reward)).sum()
        low, high = (middle, high) if total > 1 else (low, middle)
    return beta * names.reference / (high - names.reward)


def over_optimization(names: Names, pairs: int, seed: int, betas: np.ndarray) -> dict[str, np.ndarray]:
    """The exact optimum for a *learned* reward at each β: its KL, what the model says it earns, what it truly earns."""
    learned = reward_model(names, pairs, seed)
    true = names.reward - names.reference @ names.reward
    rows = [(beta, optimal_policy(names.log_reference, learned, float(beta))) for beta in betas]
    return {
        "kl": np.array([kl_divergence(p, names.reference) for _, p in rows]),
        "learned": np.array([float(p @ learned) for _, p in rows]),
        "true": np.array([float(p @ true) for _, p in rows]),
    }


METHODS: dict[str, tuple[str, dict]] = {
    "DPO, 100 pairs": ("dpo", {"pairs": 100}),
    "DPO, 1,000 pairs": ("dpo", {"pairs": 1_000}),
    "DPO, 10,000 pairs": ("dpo", {"pairs": 10_000}),
    "DPO, 100,000 pairs": ("dpo", {"pairs": 100_000}),
    "averaged, 10,000 pairs": ("dpo", {"pairs": 10_000, "average": True}),
    "averaged, 100,000 pairs": ("dpo", {"pairs": 100_000, "average": True}),
    "no noise in the labels, 10,000 pairs": ("dpo", {"pairs": 10_000, "noise": False}),
    "GRPO": ("grpo", {}),
    "GRPO, divided by the deviation": ("grpo", {"divide": True}),
    "GRPO, k3 in the loss": ("grpo", {"kl_in": "loss"}),
    "GRPO without KL": ("grpo", {"kl_in": "nothing"}),
    "GRPO, each group used four times": ("grpo", {"epochs": 4, "rate": 0.125}),
}


def methods(names: Names, seeds: int = 5, beta: float = 1.0, chosen: tuple[str, ...] | None = None) -> dict[str, dict]:
    """Total variation to the optimum, KL to π_ref and share without size, for each method and seed, at two budgets."""
    found = {}
    best = names.best(beta)
    for name in METHODS if chosen is None else chosen:
        kind, options = METHODS[name]
        row: dict[str, list[float]] = {"distance": [], "distance, four times the steps": [], "kl": [], "no size": []}
        for seed in range(seeds):
            run = dpo if kind == "dpo" else grpo
            steps = 1000 if kind == "dpo" else 1500
            trained = run(names, beta=beta, seed=seed, steps=steps, **options)
            longer = run(names, beta=beta, seed=seed, steps=4 * steps, **options)
            row["distance"].append(total_variation(trained.policy, best))
            row["distance, four times the steps"].append(total_variation(longer.policy, best))
            row["kl"].append(kl_divergence(trained.policy, names.reference))
            row["no size"].append(float(trained.policy[names.lengths == 3].sum()))
        found[name] = row
    return found


def entropy(p: np.ndarray) -> float:
    """In nats."""
    return -sum(x * math.log(x) for x in p.tolist() if x > 0)
