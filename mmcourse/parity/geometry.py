"""Geometry of sensors and sums of log-odds in three backends."""

import numpy as np

from .case import ParityCase


def points(rng):
    """Points before a camera, and what takes them there."""
    return rng.normal(size=(7, 3)) + np.array([0.0, 0.0, 5.0])


def motion(rng):
    """A rotation (from a QR decomposition) and a translation, as a 4 × 4 matrix."""
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, rng.normal(size=3)
    return matrix


def lens(rng):
    """A camera's matrix K."""
    return np.array([[50.0, 0.0, 32.0], [0.0, 55.0, 24.0], [0.0, 0.0, 1.0]]) + 0.0 * rng.normal()


def gaps(rng, batch, sensors):
    """Which sensors are there: a sample with all, one with none, others by chance."""
    mask = rng.random((batch, sensors)) > 0.4
    mask[0], mask[1] = True, False
    return mask


def case(title, name, inputs):
    """One function of geometry."""
    return ParityCase(
        title,
        numpy=f"geometry.{name}",
        layer=f"geometry.{name}",
        inputs=inputs,
        count=0,
        numpy_call=lambda f, inputs, p, options: f(**inputs),
    )


FORMULAS = [
    case("rigid motion", "transform", lambda rng: {"points": points(rng), "matrix": motion(rng)}),
    case("projection", "project", lambda rng: {"points": points(rng), "intrinsics": lens(rng)}),
    case(
        "log-odds of sensors, some missing",
        "fuse_log_odds",
        lambda rng: {
            "log_ratios": rng.normal(size=(6, 3)),
            "modality_mask": gaps(rng, 6, 3),
            "prior_log_odds": rng.normal(size=6),
        },
    ),
    case(
        "log-likelihoods of sensors, some missing",
        "fuse_log_likelihoods",
        lambda rng: {
            "log_likelihoods": rng.normal(size=(6, 3, 4)),
            "modality_mask": gaps(rng, 6, 3),
            "log_prior": np.log(np.array([0.4, 0.3, 0.2, 0.1])),
        },
    ),
]
