"""Learning from preferences: Bradley–Terry, DPO, group advantages, PPO's clipped loss, k3.

The log-probability of an answer is the *sum* over its pieces. Divided by their number it is no log-probability, and the
optimum of what follows is another one.
"""

from typing import Any

from jaxtyping import Bool, Float
from keras import ops


def answer_log_probs(log_probs: Float[Any, "batch n"], mask: Bool[Any, "batch n"]) -> Float[Any, " batch"]:
    """log p of whole answers: log p of each piece (b, n), added up where `mask` (b, n) is True. Returns (b,)."""
    return ops.sum(ops.where(mask, log_probs, ops.zeros_like(log_probs)), axis=1)


def reward_loss(
    chosen: Float[Any, " batch"], rejected: Float[Any, " batch"], valid: Bool[Any, " batch"] | None = None
) -> Float[Any, ""]:
    """Mean of −log p(chosen is preferred), with p = σ(r_chosen − r_rejected) (Bradley and Terry 1952).

    chosen, rejected: (b,), rewards of the two answers of each pair. Rewards that know nothing have the loss ln 2.
    valid: (b,), the pairs that count, all if None. A pair whose answers are empty (log p = 0)
    knows nothing, and would add ln 2 to the sum all the same.
    """
    losses = ops.softplus(rejected - chosen)
    if valid is None:
        return ops.mean(losses)
    number = ops.maximum(ops.sum(ops.cast(valid, losses.dtype)), 1)
    return ops.sum(ops.where(valid, losses, ops.zeros_like(losses))) / number


def dpo_loss(
    chosen: Float[Any, " batch"],
    rejected: Float[Any, " batch"],
    reference_chosen: Float[Any, " batch"],
    reference_rejected: Float[Any, " batch"],
    beta: float = 0.1,
    valid: Bool[Any, " batch"] | None = None,
) -> Float[Any, ""]:
    """Direct preference optimization: mean of −log σ(β (log π/π_ref of the chosen − log π/π_ref of the rejected)).

    chosen, rejected: (b,), log p of whole answers under the policy, sums over their pieces; reference_chosen,
    reference_rejected: the same under the reference, computed without gradient; beta: above 0, a larger one is closer
    to the reference; valid: the pairs that count, those where both answers have a piece.
    (Rafailov et al. 2023, arXiv 2305.18290.)
    """
    implied_chosen = beta * (chosen - reference_chosen)
    implied_rejected = beta * (rejected - reference_rejected)
    return reward_loss(implied_chosen, implied_rejected, valid)


def group_advantages(
    rewards: Float[Any, "groups size"], divide: bool = False, eps: float = 1e-6
) -> Float[Any, "groups size"]:
    """Each reward minus the mean of its own group, the answers to one question: (groups, size).

    With `divide`, also over the group's standard deviation, as in GRPO (arXiv 2402.03300); without, as in Dr. GRPO
    (arXiv 2503.20783), since a group whose answers are nearly alike is else blown up.
    """
    centered = rewards - ops.mean(rewards, axis=1, keepdims=True)
    return centered / (ops.std(rewards, axis=1, keepdims=True) + eps) if divide else centered


def clipped_loss(
    log_probs: Float[Any, " batch"],
    old_log_probs: Float[Any, " batch"],
    advantages: Float[Any, " batch"],
    clip: float = 0.2,
) -> Float[Any, ""]:
    """PPO: −mean of min(ratio · A, clipped ratio · A), ratio = π/π_old (Schulman et al. 2017, arXiv 1707.06347).

    log_probs: (b,), under the policy that learns; old_log_probs: (b,), under the one that drew the answers; advantages:
    (b,). Where the ratio has gone more than `clip` beyond 1 in the direction that A wants, there is no gradient.
    """
    ratio = ops.exp(log_probs - old_log_probs)
    kept = ops.clip(ratio, 1 - clip, 1 + clip)
    return -ops.mean(ops.minimum(ratio * advantages, kept * advantages))


def kl_estimate(log_probs: Float[Any, " batch"], reference: Float[Any, " batch"]) -> Float[Any, " batch"]:
    """k3, an estimate of KL(π ‖ π_ref) from answers that π drew: e^d − d − 1 with d = log π_ref − log π.

    Never negative, its mean is the KL, and it varies less than log π − log π_ref (Schulman 2020). (b,) each. From
    d = 20 on e^d goes on as its tangent: one answer that π has all but given up must not make a loss infinite.
    """
    d = reference - log_probs
    held = ops.minimum(d, 20.0)
    return ops.expm1(held) + ops.exp(held) * (d - held) - d
