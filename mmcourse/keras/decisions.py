"""Deciding under doubt: marginalize over hypotheses, then choose the action with the least expected cost."""

from typing import Any

from jaxtyping import Float
from keras import ops


def marginalize(
    scores: Float[Any, "batch n"], label_log_probs: Float[Any, "batch n labels"]
) -> Float[Any, "batch labels"]:
    """log Σ_h p(h | x) p(label | h), with p(h | x) the softmax of the scores (b, n) over the n hypotheses.

    label_log_probs : float (b, n, k), log p(label | hypothesis). Returns (b, k), log p(label | x).
    """
    weights = ops.log_softmax(scores, axis=1)  # log p(h | x)
    return ops.logsumexp(ops.expand_dims(weights, axis=2) + label_log_probs, axis=1)


def expected_costs(
    probabilities: Float[Any, "batch labels"], costs: Float[Any, "actions labels"]
) -> Float[Any, "batch actions"]:
    """Σ_y p(y) cost(action, y): what each action costs on average. The least is the best decision (Chow 1970).

    probabilities (b, k); costs (actions, k), what an action costs where y is the truth. Returns (b, actions).
    """
    return ops.matmul(probabilities, ops.transpose(costs))
