"""Preferences, DPO, group advantages, PPO's clipped loss and k3 in three backends."""

import numpy as np

from .case import ParityCase


def rows(*names, batch=6, size=None):
    """Log-probabilities or rewards by these names."""

    def draw(rng):
        return {name: rng.normal(size=(batch,) if size is None else (batch, size)) for name in names}

    return draw


def pieces(rng):
    """log p of pieces, some of them not of the answer."""
    mask = rng.random((4, 7)) < 0.6
    mask[0] = False
    return {"log_probs": -rng.random((4, 7)), "mask": mask}


def clipped(rng):
    """Ratios inside and outside the clip, advantages of both signs."""
    old = -rng.random(8)
    move = np.array([0.05, -0.05, 0.6, 0.6, -0.6, -0.6, 0.1, 0.9])
    return {
        "log_probs": old + move,
        "old_log_probs": old,
        "advantages": np.array([1.0, -1.0, 1.5, -1.5, 0.7, -0.7, 0.3, 2.0]),
    }


def of(name):
    """NumPy's own gradients of a loss."""

    def run(dy, inputs, p, options):
        from mmcourse.numpy import preferences

        _, cache = getattr(preferences, name)(**inputs)
        found = getattr(preferences, f"{name}_backward")(dy, cache)
        return dict(zip(FOUR, found, strict=False)), {}

    return run


def case(title, name, inputs, backward=None, first=False):
    """One formula with its inputs."""
    return ParityCase(
        title,
        numpy=f"preferences.{name}",
        layer=f"preferences.{name}",
        inputs=inputs,
        count=0,
        backward=backward,
        numpy_call=lambda f, inputs, p, options: f(**inputs)[0] if first else f(**inputs),
        tags=frozenset({"mixes"}),
    )


def of_pieces(dy, inputs, p, options):
    """NumPy's own gradient of sums."""
    from mmcourse.numpy.preferences import answer_log_probs_backward

    return {"log_probs": answer_log_probs_backward(dy, inputs["mask"])}, {}


FOUR = ("chosen", "rejected", "reference_chosen", "reference_rejected")
FORMULAS = [
    case("log p of whole answers", "answer_log_probs", pieces, of_pieces),
    case("Bradley–Terry loss", "reward_loss", rows("chosen", "rejected"), of("reward_loss"), first=True),
    case("DPO loss", "dpo_loss", rows(*FOUR), of("dpo_loss"), first=True),
    case("clipped loss of PPO", "clipped_loss", clipped),
    case("group advantages", "group_advantages", rows("rewards", batch=3, size=4)),
    case("KL estimate k3", "kl_estimate", rows("log_probs", "reference")),
]
