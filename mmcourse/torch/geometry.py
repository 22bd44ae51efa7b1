"""Rigid motions and cameras in PyTorch, and the log-odds of independent sensors, with gaps."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def transform(points: Float[Tensor, "points 3"], matrix: Float[Tensor, "4 4"]) -> Float[Tensor, "points 3"]:
    """R x + t for each point, a row."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def project(
    points: Float[Tensor, "points 3"], intrinsics: Float[Tensor, "3 3"]
) -> tuple[Float[Tensor, "points 2"], Float[Tensor, " points"]]:
    """Pixels (u, v) and depth of points in a camera's frame: K x, divided by depth, negative behind the camera."""
    scaled = points @ intrinsics.T
    depth = scaled[:, 2]
    return scaled[:, :2] / depth[:, None], depth


def fuse_log_odds(
    log_ratios: Float[Tensor, "batch sensors"],
    modality_mask: Bool[Tensor, "batch sensors"],
    prior_log_odds: Float[Tensor, " batch"],
) -> Float[Tensor, " batch"]:
    """Σ of the log ratios of the sensors that are there, and the prior's log-odds, once (Moravec & Elfes 1985)."""
    there = torch.where(modality_mask, log_ratios, torch.zeros_like(log_ratios))
    return there.sum(dim=1) + prior_log_odds


def fuse_log_likelihoods(
    log_likelihoods: Float[Tensor, "batch sensors classes"],
    modality_mask: Bool[Tensor, "batch sensors"],
    log_prior: Float[Tensor, " classes"],
) -> Float[Tensor, "batch classes"]:
    """log p(y | z): log p(y) + Σ_m log p(z_m | y) over the sensors that are there, normalized."""
    there = torch.where(modality_mask[:, :, None], log_likelihoods, torch.zeros_like(log_likelihoods))
    return (there.sum(dim=1) + log_prior).log_softmax(dim=1)
