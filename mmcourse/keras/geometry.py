"""Rigid motions and cameras in Keras, and the log-odds of independent sensors, with gaps."""

from __future__ import annotations

from typing import Any

from jaxtyping import Bool, Float
from keras import ops


def transform(points: Float[Any, "points 3"], matrix: Float[Any, "4 4"]) -> Float[Any, "points 3"]:
    """R x + t for each point, a row."""
    return ops.matmul(points, ops.transpose(matrix[:3, :3])) + matrix[:3, 3]


def project(
    points: Float[Any, "points 3"], intrinsics: Float[Any, "3 3"]
) -> tuple[Float[Any, "points 2"], Float[Any, " points"]]:
    """Pixels (u, v) and depth of points in a camera's frame: K x, divided by depth, negative behind the camera."""
    scaled = ops.matmul(points, ops.transpose(intrinsics))
    depth = scaled[:, 2]
    return scaled[:, :2] / depth[:, None], depth


def fuse_log_odds(
    log_ratios: Float[Any, "batch sensors"],
    modality_mask: Bool[Any, "batch sensors"],
    prior_log_odds: Float[Any, " batch"],
) -> Float[Any, " batch"]:
    """Σ of the log ratios of the sensors that are there, and the prior's log-odds, once (Moravec & Elfes 1985)."""
    there = ops.where(modality_mask, log_ratios, ops.zeros_like(log_ratios))
    return ops.sum(there, axis=1) + prior_log_odds


def fuse_log_likelihoods(
    log_likelihoods: Float[Any, "batch sensors classes"],
    modality_mask: Bool[Any, "batch sensors"],
    log_prior: Float[Any, " classes"],
) -> Float[Any, "batch classes"]:
    """log p(y | z): log p(y) + Σ_m log p(z_m | y) over the sensors that are there, normalized."""
    there = ops.where(modality_mask[:, :, None], log_likelihoods, ops.zeros_like(log_likelihoods))
    return ops.log_softmax(ops.sum(there, axis=1) + log_prior, axis=1)
