"""Records with gaps, and probabilities for another prevalence, in NumPy."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def impute_and_flag(
    values: Float[np.ndarray, "batch fields"],
    there: Bool[np.ndarray, "batch fields"],
    mean: Float[np.ndarray, " fields"],
    std: Float[np.ndarray, " fields"],
) -> Float[np.ndarray, "batch doubled"]:
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
    standard = (np.where(there, values, mean) - mean) / std
    return np.concatenate([standard, there.astype(standard.dtype)], axis=-1)


def correct_prior(
    logits: Float[np.ndarray, "batch classes"],
    old: Float[np.ndarray, " classes"],
    new: Float[np.ndarray, " classes"],
) -> Float[np.ndarray, "batch classes"]:
    """Log-probabilities where classes are as frequent as `new` says, of a model trained where they were as `old` says.

    p'(y|x) ∝ p(y|x) · new(y) / old(y) (Saerens, Latinne and Decaestecker 2002), if p(x|y) is the same in both places.

    Parameters
    ----------
    logits : float (b, c), logits or log-probabilities
    old, new : float (c,), each sums to 1
    """
    shifted = logits + np.log(new) - np.log(old)
    largest = shifted.max(axis=-1, keepdims=True)
    return shifted - largest - np.log(np.exp(shifted - largest).sum(axis=-1, keepdims=True))
