"""Records with gaps, and the prior of another place, in three backends."""

import numpy as np

from .case import ParityCase


def gaps(rng):
    """Records of five patients, some numbers not there; one patient has none, one all."""
    there = rng.random((5, 4)) < 0.6
    there[0], there[1] = False, True
    return {
        "values": rng.normal(size=(5, 4)),
        "there": there,
        "mean": rng.normal(size=4),
        "std": 0.5 + rng.random(4),
    }


def priors(classes):
    """Logits, and how frequent the classes are in two places."""

    def draw(rng):
        old, new = rng.dirichlet(np.ones(classes), 2) * 0.9 + 0.1 / classes
        return {"logits": 2 * rng.normal(size=(6, classes)), "old": old, "new": new}

    return draw


def case(title, name, inputs):
    """One function without weights."""
    return ParityCase(
        title,
        numpy=f"records.{name}",
        layer=f"records.{name}",
        inputs=inputs,
        count=0,
        numpy_call=lambda f, inputs, p, options: f(**inputs),
        tags=frozenset({"mixes"}),
    )


FORMULAS = [
    case("impute and flag", "impute_and_flag", gaps),
    case("prior correction, 2 classes", "correct_prior", priors(2)),
    case("prior correction, 4 classes", "correct_prior", priors(4)),
]
