"""Learning from preferences: Bradley–Terry, DPO, the optimum in closed form, group advantages, PPO's clipped loss, k3.

The log-probability of an answer is the *sum* over its pieces. Divided by their number it is no log-probability, and the
optimum of what follows is another one.
"""

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray


def answer_log_probs(log_probs: Float[ndarray, "batch n"], mask: Bool[ndarray, "batch n"]) -> Float[ndarray, " batch"]:
    """log p of whole answers: log p of each piece (b, n), added up where `mask` (b, n) is True. Returns (b,)."""
    return np.where(mask, log_probs, 0.0).sum(axis=1)


def answer_log_probs_backward(
    dy: Float[ndarray, " batch"], mask: Bool[ndarray, "batch n"]
) -> Float[ndarray, "batch n"]:
    """Gradient to `log_probs` (b, n)."""
    return np.where(mask, dy[:, None], 0.0)


def reward_loss(
    chosen: Float[ndarray, " batch"],
    rejected: Float[ndarray, " batch"],
    valid: Bool[ndarray, " batch"] | None = None,
) -> tuple[float | np.floating, tuple]:
    """Mean of −log p(chosen is preferred), with p = σ(r_chosen − r_rejected) (Bradley and Terry 1952).

    chosen, rejected: (b,), rewards of the two answers of each pair. Rewards that know nothing have the loss ln 2.
    valid: (b,), the pairs that count, all if None. A pair whose answers are empty (log p = 0)
    knows nothing, and would add ln 2 to the sum all the same.

    Returns
    -------
    loss : float; cache
    """
    margin = chosen - rejected
    valid = np.ones(len(margin), bool) if valid is None else valid
    losses = np.logaddexp(0, -margin)  # −log σ(m) = log(1 + e^−m), without overflow
    return np.where(valid, losses, 0.0).sum() / max(valid.sum(), 1), (margin, valid)


def reward_loss_backward(
    dloss: float | np.floating | Float[ndarray, ""], cache: tuple
) -> tuple[Float[ndarray, " batch"], Float[ndarray, " batch"]]:
    """Gradients to chosen and rejected, (b,) each."""
    margin, valid = cache
    each = np.where(valid, np.exp(-np.logaddexp(0, margin)), 0.0)  # σ(−m)
    slope = -dloss * each / max(valid.sum(), 1)
    return slope, -slope


def dpo_loss(
    chosen: Float[ndarray, " batch"],
    rejected: Float[ndarray, " batch"],
    reference_chosen: Float[ndarray, " batch"],
    reference_rejected: Float[ndarray, " batch"],
    beta: float = 0.1,
    valid: Bool[ndarray, " batch"] | None = None,
) -> tuple[float | np.floating, tuple]:
    """Direct preference optimization: mean of −log σ(β (log π/π_ref of the chosen − log π/π_ref of the rejected)).

    β log π/π_ref is the reward that the policy implies; it is put into Bradley–Terry. A larger β stays closer to the
    reference. (Rafailov et al. 2023, arXiv 2305.18290.)

    Parameters
    ----------
    chosen, rejected : float (b,), log p of whole answers under the policy: sums over their pieces
    reference_chosen, reference_rejected : float (b,), the same under the frozen reference
    beta : float above 0
    valid : bool (b,), the pairs that count, all if None: those where both answers have a piece

    Returns
    -------
    loss : float; cache
    """
    implied_chosen = beta * (chosen - reference_chosen)
    implied_rejected = beta * (rejected - reference_rejected)
    loss, cache = reward_loss(implied_chosen, implied_rejected, valid)
    return loss, (beta, cache)


def dpo_loss_backward(
    dloss: float | np.floating | Float[ndarray, ""], cache: tuple
) -> tuple[Float[ndarray, " batch"], Float[ndarray, " batch"], Float[ndarray, " batch"], Float[ndarray, " batch"]]:
    """Gradients to chosen, rejected and the two of the reference, (b,) each; whoever trains keeps the first two."""
    beta, inner = cache
    dchosen, drejected = reward_loss_backward(dloss, inner)
    return beta * dchosen, beta * drejected, -beta * dchosen, -beta * drejected


def group_advantages(
    rewards: Float[ndarray, "groups size"], divide: bool = False, eps: float = 1e-6
) -> Float[ndarray, "groups size"]:
    """Each reward minus the mean of its own group, the answers to one question: (groups, size).

    With `divide`, also over the group's standard deviation, as in GRPO (arXiv 2402.03300); without, as in Dr. GRPO
    (arXiv 2503.20783), since a group whose answers are nearly alike is else blown up.
    """
    centered = rewards - rewards.mean(axis=1, keepdims=True)
    return centered / (rewards.std(axis=1, keepdims=True) + eps) if divide else centered


def clipped_loss(
    log_probs: Float[ndarray, " batch"],
    old_log_probs: Float[ndarray, " batch"],
    advantages: Float[ndarray, " batch"],
    clip: float = 0.2,
) -> float | np.floating:
    """PPO: −mean of min(ratio · A, clipped ratio · A), ratio = π/π_old (Schulman et al. 2017, arXiv 1707.06347).

    log_probs: (b,), under the policy that learns; old_log_probs: (b,), under the one that drew the answers; advantages:
    (b,). Where the ratio has gone more than `clip` beyond 1 in the direction that A wants, there is no gradient.
    """
    ratio = np.exp(log_probs - old_log_probs)
    kept = np.clip(ratio, 1 - clip, 1 + clip)
    return -np.minimum(ratio * advantages, kept * advantages).mean()


def clipped_loss_backward(
    dloss: float | np.floating | Float[ndarray, ""],
    log_probs: Float[ndarray, " batch"],
    old_log_probs: Float[ndarray, " batch"],
    advantages: Float[ndarray, " batch"],
    clip: float = 0.2,
) -> Float[ndarray, " batch"]:
    """Gradient to `log_probs` (b,)."""
    ratio = np.exp(log_probs - old_log_probs)
    kept = np.clip(ratio, 1 - clip, 1 + clip)
    moves = ratio * advantages <= kept * advantages  # the plain one is the smaller, or both are one
    return np.where(moves, -dloss * ratio * advantages / len(ratio), 0.0)


def kl_estimate(log_probs: Float[ndarray, " batch"], reference: Float[ndarray, " batch"]) -> Float[ndarray, " batch"]:
    """k3, an estimate of KL(π ‖ π_ref) from answers that π drew: e^d − d − 1 with d = log π_ref − log π.

    Never negative, its mean is the KL, and it varies less than log π − log π_ref (Schulman 2020). (b,) each. From
    d = 20 on e^d goes on as its tangent: one answer that π has all but given up must not make a loss infinite.
    """
    d = reference - log_probs
    held = np.minimum(d, 20.0)
    return np.expm1(held) + np.exp(held) * (d - held) - d


# ---------------------------------------------------------------- where everything can be listed
def optimal_policy(
    log_reference: Float[ndarray, " answers"], reward: Float[ndarray, " answers"], beta: float
) -> Float[ndarray, " answers"]:
    """The policy with the largest E[reward] − β KL(π ‖ π_ref): π_ref e^(reward / β), scaled to sum 1. All (n,)."""
    score = log_reference + reward / beta
    score = np.exp(score - score.max())
    return score / score.sum()


def kl_divergence(p: Float[ndarray, " answers"], q: Float[ndarray, " answers"]) -> float:
    """KL(p ‖ q) = Σ p log(p/q) in nats; p, q (n,). What p never says adds nothing."""
    said = p > 0
    return float((p[said] * np.log(p[said] / q[said])).sum())


def total_variation(p: Float[ndarray, " answers"], q: Float[ndarray, " answers"]) -> float:
    """Half the sum of all differences, 0 to 1: the largest error in the probability of a set of answers. (n,) each."""
    return float(np.abs(p - q).sum() / 2)
