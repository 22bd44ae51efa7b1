"""Records with gaps, and probabilities for another prevalence, in Keras."""

from __future__ import annotations

from typing import Any

from jaxtyping import Bool, Float
from keras import ops


def impute_and_flag(
    values: Float[Any, "batch fields"],
    there: Bool[Any, "batch fields"],
    mean: Float[Any, " fields"],
    std: Float[Any, " fields"],
) -> Float[Any, "batch doubled"]:
    """Standardized numbers, 0 (the mean) where one is missing, and beside them flags: 1 where there is a number.

    Without the flags, a test that was not done looks like one with an average result, and that a doctor ordered it at
    all is lost (Rubin 1976: missing not at random).

    Parameters
    ----------
    values : float (b, f); what is in the gaps does not matter, NaN included
    there : bool (b, f), True where there is a number
    mean, std : float (f,), of the numbers that are there in the *training* part

    Returns
    -------
    float (b, 2f)
    """
    standard = (ops.where(there, values, mean) - mean) / std
    return ops.concatenate([standard, ops.cast(there, standard.dtype)], axis=-1)


def correct_prior(
    logits: Float[Any, "batch classes"], old: Float[Any, " classes"], new: Float[Any, " classes"]
) -> Float[Any, "batch classes"]:
    """Log-probabilities where classes are as frequent as `new` says, of a model trained where they were as `old` says.

    p'(y|x) ∝ p(y|x) · new(y) / old(y) (Saerens, Latinne and Decaestecker 2002), if p(x|y) is the same in both places.

    Parameters
    ----------
    logits : float (b, c), logits or log-probabilities
    old, new : float (c,), each sums to 1
    """
    return ops.log_softmax(logits + ops.log(new) - ops.log(old), axis=-1)
