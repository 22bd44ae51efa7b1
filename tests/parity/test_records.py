"""Records with gaps and prior correction: what must hold in each backend, and the mistakes that people make."""

from __future__ import annotations

from functools import partial
from importlib import import_module

import numpy as np
import pytest
import torch
from mutants_encoders import Mutant, mutated

NUMPY, TORCH, KERAS = "mmcourse.numpy.records", "mmcourse.torch.records", "mmcourse.keras.records"
BACKENDS = (NUMPY, TORCH, KERAS)
VALUES = np.array([[36.5, np.nan], [39.0, 120.0], [np.nan, 8.0]])
MEAN, STD = np.array([37.0, 40.0]), np.array([0.5, 20.0])
LOGITS = np.array([[0.0, 0.0], [1.0, -2.0], [-3.0, 4.0]])
OLD, NEW = np.array([0.5, 0.5]), np.array([0.94, 0.06])


def call(module: str, name: str, *arrays: np.ndarray) -> np.ndarray:
    """The function of this backend, NumPy in and out."""
    given = [torch.from_numpy(np.array(a)) if module == TORCH else a for a in arrays]
    return np.asarray(getattr(import_module(module), name)(*given))


def check_encoder(module: str) -> None:
    """The mean where nothing is, flags beside it, and no trace of what stood in a gap."""
    found = call(module, "impute_and_flag", VALUES, ~np.isnan(VALUES), MEAN, STD)
    np.testing.assert_allclose(found, [[-1, 0, 1, 0], [4, 4, 1, 1], [0, -1.6, 0, 1]], atol=1e-12)
    other = np.where(np.isnan(VALUES), 1e6, VALUES)
    np.testing.assert_array_equal(call(module, "impute_and_flag", other, ~np.isnan(VALUES), MEAN, STD), found)


def check_prior(module: str) -> None:
    """Bayes' rule with another prior: odds times new odds / old odds; log-probabilities; there and back."""
    found = np.exp(call(module, "correct_prior", LOGITS, OLD, NEW))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    odds = np.exp(LOGITS[:, 1] - LOGITS[:, 0]) * (0.06 / 0.94)
    np.testing.assert_allclose(found[:, 1] / found[:, 0], odds, rtol=1e-10)
    np.testing.assert_allclose(found[0], NEW, atol=1e-12)
    back = call(module, "correct_prior", np.log(found), NEW, OLD)
    np.testing.assert_allclose(back[:, 1] - back[:, 0], LOGITS[:, 1] - LOGITS[:, 0], atol=1e-10)
    other = call(module, "correct_prior", LOGITS, NEW, NEW)
    np.testing.assert_allclose(other[:, 1] - other[:, 0], LOGITS[:, 1] - LOGITS[:, 0], atol=1e-12)


@pytest.mark.parametrize("module", BACKENDS)
def test_records(module):
    check_encoder(module)
    check_prior(module)


def test_the_probability_of_evaluate_is_the_same_formula():
    from mmcourse.evaluate import prior_corrected

    p = np.exp(LOGITS[:, 1]) / np.exp(LOGITS).sum(axis=1)
    found = np.exp(call(NUMPY, "correct_prior", LOGITS, OLD, NEW))[:, 1]
    np.testing.assert_allclose(prior_corrected(p, 0.5, 0.06), found, atol=1e-12)


def everywhere(name, edits, check):
    """The same mistake in three backends; `edits` maps each backend's module to (old, new)."""
    return [Mutant(name, m, *edits[m], partial(check, m)) for m in BACKENDS]


WHERE = {NUMPY: "np.where(there, values, mean)", TORCH: "torch.where(there, values, mean)"}
WHERE[KERAS] = "ops.where(there, values, mean)"
RATIO = {NUMPY: ("np.log(new)", "np.log(old)"), TORCH: ("new.log()", "old.log()")}
RATIO[KERAS] = ("ops.log(new)", "ops.log(old)")
ZERO = {m: (w, w.replace("mean)", "0 * mean)")) for m, w in WHERE.items()}
TURNED = {m: (f"{n} - {o}", f"{o} - {n}") for m, (n, o) in RATIO.items()}
NO_OLD = {m: (f"{n} - {o}", n) for m, (n, o) in RATIO.items()}
TWICE = {m: (f"{n} - {o}", f"2 * ({n} - {o})") for m, (n, o) in RATIO.items()}
MUTANTS = [
    *everywhere("0 in the gap, not the mean", ZERO, check_encoder),
    *everywhere("the gap's content kept", {m: (w, "values") for m, w in WHERE.items()}, check_encoder),
    *everywhere("not standardized", {m: (") / std", ") / 1") for m in BACKENDS}, check_encoder),
    *everywhere(
        "flags say what is missing",
        {
            NUMPY: ("there.astype(standard.dtype)", "(~there).astype(standard.dtype)"),
            TORCH: ("there.to(standard.dtype)", "(~there).to(standard.dtype)"),
            KERAS: ("ops.cast(there, standard.dtype)", "1 - ops.cast(there, standard.dtype)"),
        },
        check_encoder,
    ),
    *everywhere("odds multiplied the wrong way", TURNED, check_prior),
    *everywhere("the old prior forgotten", NO_OLD, check_prior),
    *everywhere("corrected twice", TWICE, check_prior),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.module.split('.')[1]}: {m.name}")
def test_mistakes_are_noticed(mutant):
    mutant.check()
    with mutated(mutant), pytest.raises(AssertionError):
        mutant.check()
