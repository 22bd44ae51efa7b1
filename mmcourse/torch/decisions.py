"""Deciding under doubt: marginalize over hypotheses, then choose the action with the least expected cost."""

from jaxtyping import Float
from torch import Tensor


def marginalize(
    scores: Float[Tensor, "batch n"], label_log_probs: Float[Tensor, "batch n labels"]
) -> Float[Tensor, "batch labels"]:
    """log Σ_h p(h | x) p(label | h), with p(h | x) the softmax of the scores (b, n) over the n hypotheses.

    label_log_probs : float (b, n, k), log p(label | hypothesis). Returns (b, k), log p(label | x).
    """
    weights = scores.log_softmax(dim=1)  # log p(h | x)
    return (weights[:, :, None] + label_log_probs).logsumexp(dim=1)


def expected_costs(
    probabilities: Float[Tensor, "batch labels"], costs: Float[Tensor, "actions labels"]
) -> Float[Tensor, "batch actions"]:
    """Σ_y p(y) cost(action, y): what each action costs on average. The least is the best decision (Chow 1970).

    probabilities (b, k); costs (actions, k), what an action costs where y is the truth. Returns (b, actions).
    """
    return probabilities @ costs.T
