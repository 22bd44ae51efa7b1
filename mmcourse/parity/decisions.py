"""Marginalizing over hypotheses and expected costs in three backends."""

import numpy as np

from .case import ParityCase


def heard(rng):
    """Scores of four hypotheses, and log p(label | hypothesis) of three labels."""
    return {"scores": rng.normal(size=(5, 4)) * 3, "label_log_probs": np.log(rng.dirichlet(np.ones(3), size=(5, 4)))}


def doubts(rng):
    """Probabilities of four labels, and what five actions cost."""
    return {"probabilities": rng.dirichlet(np.ones(4), size=6), "costs": rng.random((5, 4))}


def case(title, name, inputs, mixes=False):
    """One formula with its inputs."""
    return ParityCase(
        title,
        numpy=f"decisions.{name}",
        layer=f"decisions.{name}",
        inputs=inputs,
        count=0,
        numpy_call=lambda f, inputs, p, options: f(**inputs),
        tags=frozenset({"mixes"}) if mixes else frozenset(),
    )


FORMULAS = [
    case("marginalizing over hypotheses", "marginalize", heard),
    case("expected costs of actions", "expected_costs", doubts, mixes=True),
]
