"""Deciding under doubt: marginalize over hypotheses, then choose the action with the least expected cost."""

import numpy as np
from jaxtyping import Float


def marginalize(
    scores: Float[np.ndarray, "batch n"], label_log_probs: Float[np.ndarray, "batch n labels"]
) -> Float[np.ndarray, "batch labels"]:
    """log Σ_h p(h | x) p(label | h), with p(h | x) the softmax of the scores over the n hypotheses.

    Parameters
    ----------
    scores : float (b, n), log-scores of the hypotheses; a constant added to all of them changes nothing
    label_log_probs : float (b, n, k), log p(label | hypothesis)

    Returns
    -------
    float (b, k), log p(label | x)
    """
    weights = scores - np.logaddexp.reduce(scores, axis=1)[:, None]  # log p(h | x)
    return np.logaddexp.reduce(weights[:, :, None] + label_log_probs, axis=1)


def expected_costs(
    probabilities: Float[np.ndarray, "batch labels"], costs: Float[np.ndarray, "actions labels"]
) -> Float[np.ndarray, "batch actions"]:
    """Σ_y p(y) cost(action, y): what each action costs on average. The least is the best decision (Chow 1970).

    With cost 0 for the right label, 1 for a wrong one and c for refusing, this refuses where max p < 1 − c.

    Parameters
    ----------
    probabilities : float (b, k)
    costs : float (actions, k), what an action costs where y is the truth

    Returns
    -------
    float (b, actions)
    """
    return probabilities @ costs.T
