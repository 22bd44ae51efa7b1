"""Geometry of sensors: equal to SciPy's rotations, to a second derivation, and to brute force; mistakes are noticed."""

from __future__ import annotations

import numpy as np
import pytest
from mutants_encoders import Mutant, mutated
from scipy.spatial.transform import Rotation

from mmcourse.datasets import road
from mmcourse.numpy import geometry as g

K = np.array([[50.0, 0.0, 32.0], [0.0, 60.0, 24.0], [0.0, 0.0, 1.0]])
RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(50, 3)) + [0, 0, 4]
TURN = g.rotation(0.3, -0.2, 0.5)
POSE = g.rigid(TURN, np.array([1.0, -2.0, 0.5]))


def check_rotation():
    for angles in np.random.default_rng(1).uniform(-3, 3, (20, 3)):
        np.testing.assert_allclose(g.rotation(*angles), Rotation.from_euler("ZYX", angles).as_matrix(), atol=1e-12)


def check_transform():
    by_hand = np.array([TURN @ p + POSE[:3, 3] for p in POINTS])
    np.testing.assert_allclose(g.transform(POINTS, POSE), by_hand)


def check_inverse():
    np.testing.assert_allclose(g.invert_rigid(POSE), np.linalg.inv(POSE), atol=1e-12)


def check_project():
    """The formula of `view_points` in nuscenes-devkit, derived again: a 4 × 4 view, then the division."""
    view = np.eye(4)
    view[:3, :3] = K
    homogeneous = view @ np.vstack([POINTS.T, np.ones(len(POINTS))])
    pixels, depth = g.project(POINTS, K)
    np.testing.assert_allclose(pixels, (homogeneous[:2] / homogeneous[2]).T)
    np.testing.assert_allclose(depth, POINTS[:, 2])


def check_in_view():
    points = np.array([[0.0, 0, 5], [0, 0, -5], [9, 0, 5], [0, 9, 5]])
    assert g.in_view(*g.project(points, K), 64, 48).tolist() == [True, False, False, False]


def check_log_odds():
    """Bayes' rule with probabilities, for two sensors of three."""
    p1, p0, prior = np.array([0.9, 0.2, 0.7]), np.array([0.3, 0.6, 0.1]), 0.25
    there = np.array([True, False, True])
    joint = prior * p1[there].prod(), (1 - prior) * p0[there].prod()
    found = g.fuse_log_odds(np.log(p1 / p0)[None], there[None], np.log(np.array([prior / (1 - prior)])))
    np.testing.assert_allclose(1 / (1 + np.exp(-found)), joint[0] / sum(joint))


def check_log_likelihoods():
    """The posterior of road's own table, for each pair of sensors that say something."""
    camera, lidar, _ = np.log(road.SENSORS)
    for w, c, z in np.ndindex(3, 4, 4):
        evidence = np.stack([camera[w, :, c], lidar[w, :, z], np.full(4, -np.inf)])[None]
        found = g.fuse_log_likelihoods(evidence, np.array([[True, True, False]]), np.log(road.PRIOR))
        joint = road.JOINT.sum(axis=4)[:, w, c, z]
        np.testing.assert_allclose(np.exp(found[0]), joint / joint.sum())


def check_ray_box():
    """Small steps along many rays: where each is first inside."""
    rng = np.random.default_rng(2)
    origin, center, size, yaw = np.array([0.0, 0, 1.5]), np.array([6.0, 1.0, 0.9]), np.array([3.0, 1.5, 1.8]), 0.6
    rays = np.stack([np.ones(400), rng.uniform(-0.6, 0.8, 400), rng.uniform(-0.3, 0.2, 400)], axis=1)
    t = np.arange(0, 12, 0.002)
    at = origin + t[:, None, None] * rays - center  # (t, rays, 3)
    turn = Rotation.from_euler("z", -yaw).as_matrix()
    inside = (np.abs(at @ turn.T) <= size / 2).all(axis=-1)
    first = np.where(inside.any(axis=0), t[inside.argmax(axis=0)], np.inf)
    found = g.ray_box(origin, rays, center, size, yaw)
    both = np.isfinite(first) & np.isfinite(found)
    assert both.sum() > 60 and (np.isfinite(first) != np.isfinite(found)).sum() <= 4  # rays that graze an edge
    np.testing.assert_allclose(found[both], first[both], atol=0.003)
    assert np.isinf(g.ray_box(origin, -rays, center, size, yaw)).all()  # not behind


def check_range_rate():
    """How fast the distance really grows, by a small step of time."""
    at, moves, speed, dt = np.array([[10.0, 4.0], [8.0, -3.0]]), np.array([[3.0, 0.0], [0.0, 2.0]]), 12.0, 1e-6
    later = at + dt * (moves - [speed, 0.0])
    grown = (np.linalg.norm(later, axis=1) - np.linalg.norm(at, axis=1)) / dt
    np.testing.assert_allclose(g.range_rate(at, moves, speed), grown, atol=1e-4)


def check_ego_speed():
    """Three posts, five cars that go along, one that comes: the posts say the speed."""
    azimuths = np.array([0.5, -0.3, 0.1, 0, 0, 0, 0, 0, 0.05])
    speeds = np.array([0, 0, 0, 14, 14.1, 14.2, 13.9, 14, -12.0])
    rates = (speeds - 15.0) * np.cos(azimuths)
    assert g.ego_speed(azimuths, rates) == pytest.approx(15.0)
    assert np.isnan(g.ego_speed(azimuths[:2], rates[:2])) and np.isnan(g.ego_speed(azimuths[:0], rates[:0]))


CHECKS = [check_rotation, check_transform, check_inverse, check_project, check_in_view, check_log_odds]
CHECKS += [check_log_likelihoods, check_ray_box, check_range_rate, check_ego_speed]


@pytest.mark.parametrize("check", CHECKS, ids=lambda f: f.__name__)
def test_geometry(check):
    check()


NUMPY = "mmcourse.numpy.geometry"
MUTANTS = [
    Mutant("clockwise", NUMPY, "[cz, -sz, 0.0], [sz, cz, 0.0]", "[cz, sz, 0.0], [-sz, cz, 0.0]", check_rotation),
    Mutant("yaw first", NUMPY, "about_z @ about_y @ about_x", "about_x @ about_y @ about_z", check_rotation),
    Mutant(
        "translated before rotated",
        NUMPY,
        "points @ matrix[:3, :3].T + matrix[:3, 3]",
        "(points + matrix[:3, 3]) @ matrix[:3, :3].T",
        check_transform,
    ),
    Mutant("translation not rotated back", NUMPY, "-turn_back @ matrix[:3, 3]", "-matrix[:3, 3]", check_inverse),
    Mutant("not divided by depth", NUMPY, "scaled[:, :2] / depth[:, None]", "scaled[:, :2]", check_project),
    Mutant("u and v swapped", NUMPY, "scaled[:, :2] / depth", "scaled[:, [1, 0]] / depth", check_project),
    Mutant("behind the camera kept", NUMPY, "(depth > 0) & (u", "(u", check_in_view),
    Mutant("a missing sensor counts", NUMPY, "np.where(modality_mask, log_ratios, 0.0)", "log_ratios", check_log_odds),
    Mutant(
        "the prior once per sensor",
        NUMPY,
        "there.sum(axis=1) + prior_log_odds",
        "(there + prior_log_odds[:, None]).sum(axis=1)",
        check_log_odds,
    ),
    Mutant("no prior", NUMPY, "there.sum(axis=1) + log_prior", "there.sum(axis=1)", check_log_likelihoods),
    Mutant("box not turned", NUMPY, "np.cos(yaw), np.sin(yaw)\n    moved", "1.0, 0.0\n    moved", check_ray_box),
    Mutant("behind the ray's start", NUMPY, "(enter <= leave) & (enter > 0)", "enter <= leave", check_ray_box),
    Mutant("the car's own motion left out", NUMPY, "velocities - np", "velocities - 0 * np", check_range_rate),
    Mutant("no cosine", NUMPY, "/ np.cos(azimuths))", ")", check_ego_speed),
    Mutant("the slowest group", NUMPY, "large[-1]", "large[0]", check_ego_speed),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_mistakes_are_noticed(mutant):
    mutant.check()
    with mutated(mutant), pytest.raises(AssertionError):
        mutant.check()
