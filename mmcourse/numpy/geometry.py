"""Rigid motions, cameras, rays and range rates: where a thing is in each sensor's frame; and log-odds added up.

A 4 × 4 matrix `target_from_source` takes points of frame `source` to frame `target`; matrices multiply so that equal
names meet: `pixel_from_camera @ camera_from_ego @ ego_from_lidar`. Axes of a car (ISO 8855): x forward, y left, z up.
Axes of a camera: x right, y down, z forward. Lengths are in meters, angles in radians, times in seconds.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

CAMERA_FROM_CAR_AXES = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])  # right, down, forward


def rotation(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Float[np.ndarray, "3 3"]:
    """R = Rz(yaw) Ry(pitch) Rx(roll): first roll about x, then pitch about y, then yaw about z, counterclockwise."""
    (cz, sz), (cy, sy), (cx, sx) = [(np.cos(a), np.sin(a)) for a in (yaw, pitch, roll)]
    about_z = np.array([[cz, -sz, 0.0], [sz, cz, 0.0], [0.0, 0.0, 1.0]])
    about_y = np.array([[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]])
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, cx, -sx], [0.0, sx, cx]])
    return about_z @ about_y @ about_x


def rigid(rotation: Float[np.ndarray, "3 3"], translation: Float[np.ndarray, 3]) -> Float[np.ndarray, "4 4"]:
    """[R t; 0 1]: rotate first, then move."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = translation
    return matrix


def invert_rigid(matrix: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """The way back, [Rᵀ −Rᵀt; 0 1]: the translation is rotated, too."""
    turn_back = matrix[:3, :3].T
    return rigid(turn_back, -turn_back @ matrix[:3, 3])


def transform(points: Float[np.ndarray, "points 3"], matrix: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "points 3"]:
    """R x + t for each point, a row."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def project(
    points: Float[np.ndarray, "points 3"], intrinsics: Float[np.ndarray, "3 3"]
) -> tuple[Float[np.ndarray, "points 2"], Float[np.ndarray, " points"]]:
    """Pixels (u, v) and depth of points in a camera's frame: K x, divided by depth (Hartley & Zisserman 2004, ch. 6).

    A point *behind* the camera has pixels, too, and they may lie in the picture: look at the depth, which is then
    negative. u counts columns and v rows, so a picture is read at `image[v, u]`.
    """
    scaled = points @ intrinsics.T
    depth = scaled[:, 2]
    return scaled[:, :2] / depth[:, None], depth


def in_view(
    pixels: Float[np.ndarray, "points 2"], depth: Float[np.ndarray, " points"], width: int, height: int
) -> Bool[np.ndarray, " points"]:
    """Which points the picture shows: in front of the camera, and within its columns and rows."""
    u, v = pixels[:, 0], pixels[:, 1]
    return (depth > 0) & (u >= 0) & (u < width) & (v >= 0) & (v < height)


def fuse_log_odds(
    log_ratios: Float[np.ndarray, "batch sensors"],
    modality_mask: Bool[np.ndarray, "batch sensors"],
    prior_log_odds: Float[np.ndarray, " batch"],
) -> Float[np.ndarray, " batch"]:
    """logit p(y=1 | z) = Σ_m log p(z_m | y=1)/p(z_m | y=0) + logit p(y=1), over the sensors that are there.

    For sensors that are independent given y (Moravec & Elfes 1985). The prior counts once; a missing sensor adds
    nothing, which is not the same as a reading of "nothing".
    """
    there = np.where(modality_mask, log_ratios, 0.0)
    return there.sum(axis=1) + prior_log_odds


def fuse_log_likelihoods(
    log_likelihoods: Float[np.ndarray, "batch sensors classes"],
    modality_mask: Bool[np.ndarray, "batch sensors"],
    log_prior: Float[np.ndarray, " classes"],
) -> Float[np.ndarray, "batch classes"]:
    """log p(y | z) for several classes: log p(y) + Σ_m log p(z_m | y), normalized; missing sensors add nothing."""
    there = np.where(modality_mask[:, :, None], log_likelihoods, 0.0)
    scores = there.sum(axis=1) + log_prior
    top = scores.max(axis=1, keepdims=True)
    return scores - top - np.log(np.exp(scores - top).sum(axis=1, keepdims=True))


def ray_box(
    origin: Float[np.ndarray, 3],
    directions: Float[np.ndarray, "*rays 3"],
    center: Float[np.ndarray, 3],
    size: Float[np.ndarray, 3],
    yaw: float = 0.0,
) -> Float[np.ndarray, "*rays"]:
    """How far each ray goes until it enters the box, in lengths of its direction; inf where it misses.

    Exact, by slabs (Kay & Kajiya 1986): between each pair of opposite faces a ray is from t₀ to t₁; it is in the box
    where all three intervals overlap.
    """
    cos, sin = np.cos(yaw), np.sin(yaw)
    moved = origin - center
    start = (cos * moved[0] + sin * moved[1], cos * moved[1] - sin * moved[0], moved[2])
    dx, dy = directions[..., 0], directions[..., 1]
    along = (cos * dx + sin * dy, cos * dy - sin * dx, directions[..., 2])
    enter, leave = -np.inf, np.inf
    for s, d, half in zip(start, along, np.asarray(size) / 2, strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            first, second = (-half - s) / d, (half - s) / d
        enter = np.fmax(enter, np.minimum(first, second))  # 0/0, a ray within a face, decides nothing
        leave = np.fmin(leave, np.maximum(first, second))
    return np.where((enter <= leave) & (enter > 0), enter, np.inf)


def range_rate(
    positions: Float[np.ndarray, "points 2"], velocities: Float[np.ndarray, "points 2"], ego_speed: float
) -> Float[np.ndarray, " points"]:
    """(v − v_ego) · r̂, as a radar measures it: how fast the distance grows; −v_ego cos θ for what stands still."""
    relative = velocities - np.array([ego_speed, 0.0])
    return (relative * positions).sum(axis=1) / np.linalg.norm(positions, axis=1)


def ego_speed(
    azimuths: Float[np.ndarray, " points"], rates: Float[np.ndarray, " points"], width: float = 0.5, least: int = 3
) -> float:
    """The car's own speed from radar alone: the *fastest approach* on which at least `least` detections agree.

    What stands still at azimuth θ has the range rate −v cos θ, so each detection votes for −rate / cos θ. Traffic that
    goes the same way votes for less, and may be the majority: neither the mean nor the fullest interval is safe. Few
    things approach faster than what stands still; a single oncoming car is outvoted by `least`.

    Parameters
    ----------
    azimuths, rates : float (k,), radians and m/s
    width : votes that differ by less than this agree, m/s
    least : how many must agree

    Returns
    -------
    m/s, the median of that group; nan where no group is large enough
    """
    votes = np.sort(-np.asarray(rates, float) / np.cos(azimuths))
    first = np.searchsorted(votes, votes - width, side="left")
    large = np.flatnonzero(np.arange(1, len(votes) + 1) - first >= least)
    if not len(large):
        return float("nan")
    last = int(large[-1])
    return float(np.median(votes[first[last] : last + 1]))
