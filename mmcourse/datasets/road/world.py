"""Scenes of road before a ray is cast: places, what stands there, what each sensor will make of it, and motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .table import MODALITIES, PRIOR, SENSORS, WEATHER

MOST = 5  # places in a scene
CELL = 2.0  # meters
ROWS, COLUMNS = 16, 16  # the bird's-eye view: 0 to 32 m ahead, 16 m to the left to 16 m to the right
NEAR, FAR = 7.0, 30.0
#                    length width height, meters; by class, as in CLASSES ("nothing" has none)
SIZES = np.array([[0.0, 0.0, 0.0], [3.8, 1.7, 1.5], [1.7, 0.5, 1.75], [0.5, 0.5, 1.75]])
FASTEST = np.array([0.0, 14.0, 6.0, 1.8])  # m/s, by class
CLOCK = {"camera": 0.0, "lidar": -0.05, "radar": -0.02}  # seconds, from the camera's shutter


@dataclass(frozen=True)
class World:
    """n scenes as arrays. Frame: the car at the moment of the camera's shutter (x forward, y left, meters).

    Attributes
    ----------
    weather : int (n,)
    there : bool (n, MOST), which of the places are used
    classes : int (n, MOST), what stands there
    says : int (n, MOST, 3), which class each sensor makes of it, in the order of MODALITIES
    places : float (n, MOST, 2)
    heading : float (n, MOST), radians: along the road, to and fro; what a sensor takes for no car crosses it
    pace : float (n, MOST), 0 to 1, the speed as a share of the fastest of the class that a sensor makes of it
    color : float (n, MOST, 3)
    ego_speed, yaw_rate : float (n,), m/s and rad/s
    """

    weather: np.ndarray
    there: np.ndarray
    classes: np.ndarray
    says: np.ndarray
    places: np.ndarray
    heading: np.ndarray
    pace: np.ndarray
    color: np.ndarray
    ego_speed: np.ndarray
    yaw_rate: np.ndarray

    def cells(self) -> np.ndarray:
        """int64 (n, MOST), the bird's-eye cell of each place, row · COLUMNS + column; -1 where there is no place."""
        return np.where(self.there, cell_of(self.places), -1)


def cell_of(places: np.ndarray) -> np.ndarray:
    """Cell of (…, 2) places: row 0 is nearest, column 0 is on the right; -1 outside."""
    row = np.floor(places[..., 0] / CELL).astype(np.int64)
    column = np.floor(places[..., 1] / CELL).astype(np.int64) + COLUMNS // 2
    inside = (row >= 0) & (row < ROWS) & (column >= 0) & (column < COLUMNS)
    return np.where(inside, row * COLUMNS + column, -1)


def draw_cues(n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """n places from JOINT, each with weather of its own: int (n,) for "label", "weather" and each sensor."""
    weather = rng.choice(3, size=n, p=WEATHER)
    label = rng.choice(4, size=n, p=PRIOR)
    says = draw_says(label, weather, rng)
    return {"label": label, "weather": weather, **{m: says[:, i] for i, m in enumerate(MODALITIES)}}


def draw_says(label: np.ndarray, weather: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the sensors say of (…) classes in this weather, int (…, 3)."""
    steps = SENSORS[:, weather, label].cumsum(axis=-1)  # (3, …, 4)
    chance = rng.random((3, *np.shape(label)))[..., None]
    return np.moveaxis((chance > steps[..., :3]).sum(axis=-1), 0, -1)


def draw_world(n: int, rng: np.random.Generator) -> World:
    """n scenes with 1 to MOST places that no other hides: apart in direction, and in cells that do not touch."""
    weather = rng.choice(3, size=n, p=WEATHER)
    places, there = draw_places(n, rng)
    classes = rng.choice(4, size=(n, MOST), p=PRIOR)
    says = draw_says(classes, np.broadcast_to(weather[:, None], classes.shape), rng)
    return World(
        weather=weather,
        there=there,
        classes=classes,
        says=says,
        places=places,
        heading=rng.choice([0.0, np.pi], size=(n, MOST)) + rng.normal(0, 0.1, (n, MOST)),
        pace=rng.uniform(0.0, 1.0, (n, MOST)),
        color=rng.uniform(0.0, 1.0, (n, MOST, 3)),
        ego_speed=rng.uniform(2.0, 20.0, n),
        yaw_rate=rng.uniform(-0.15, 0.15, n),
    )


def draw_places(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Places (n, MOST, 2), and which of them are used (n, MOST)."""
    wanted = rng.integers(1, MOST + 1, size=n)
    places, there = np.zeros((n, MOST, 2)), np.zeros((n, MOST), bool)
    azimuth, margin = np.zeros((n, MOST)), np.zeros((n, MOST))
    cell = np.full((n, MOST, 2), -99)
    for k in range(MOST):
        for _ in range(12):
            todo = ~there[:, k] & (wanted > k)
            distance = rng.uniform(NEAR, FAR, n)
            angle = rng.uniform(-0.6, 0.6, n)
            at = np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=1)
            at_cell = np.floor(at / CELL).astype(int)
            half = 1.9 / distance + 0.02
            apart = (np.abs(angle[:, None] - azimuth) > half[:, None] + margin) | ~there
            touches = (np.abs(at_cell[:, None] - cell).max(axis=-1) <= 1) & there
            good = todo & apart.all(axis=1) & ~touches.any(axis=1) & (np.abs(at[:, 1]) < 15.5)
            places[good, k], azimuth[good, k], margin[good, k] = at[good], angle[good], half[good]
            cell[good, k], there[good, k] = at_cell[good], True
    return places, there
