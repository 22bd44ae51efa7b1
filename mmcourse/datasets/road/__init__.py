"""Road: camera, lidar and radar see up to five places ahead of a moving car, in clear air, in fog or at night.

What stands at a place (nothing, a car, a cyclist, a pedestrian) and what each sensor makes of it are drawn from a table
that is known, so the best accuracy of every subset of sensors in every weather is known, too. Then pixels and beams are
cast as rays against boxes. The places themselves are known to everyone: a tracker proposed them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

from mmcourse import ceilings as info
from mmcourse.numpy.geometry import rigid, rotation

from ..base import SPLITS, Column, Dataset, check_split
from . import sensors
from .table import CLASSES, JOINT, MODALITIES, PRIOR, SENSORS, WEATHER, WEATHERS
from .world import MOST, World, draw_cues, draw_world

__all__ = ["CLASSES", "JOINT", "MODALITIES", "MOST", "PRIOR", "SENSORS", "SIZES", "WEATHER", "WEATHERS", "World"]
__all__ += ["bayes_accuracy", "ceilings", "draw_cues", "draw_world", "load", "make_views"]

SIZES = {"train": 2400, "validation": 400, "test": 1200}
SEED = 28


class Rendered(Sequence):
    """A column whose element i is drawn when it is asked for, always the same; `store[index[i]]` as elsewhere."""

    def __init__(self, split: str, sensor: str, rows: np.ndarray):
        self.split, self.sensor, self.rows = split, sensor, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i):
        if isinstance(i, (int, np.integer)):
            return render(world_of(self.split), self.split, self.sensor, int(self.rows[i]))
        return Rendered(self.split, self.sensor, self.rows[i])


def load(split: str = "train") -> Dataset:
    """The split's scenes; always the same ones.

    Parameters
    ----------
    split : "train" (2,400 scenes), "validation" (400) or "test" (1,200)

    Returns
    -------
    Dataset of "camera" uint8 (32, 96, 3), "lidar" float32 (p, 4) in the lidar's own frame and time, "radar" float32
    (k, 4). `targets`: "cells" int64 (n, 5), the bird's-eye cell of each place, and "classes" int64 (n, 5), what stands
    there; both -1 where there is no place. `meta`: "weather" (names), "ego_speed", "yaw_rate", "camera_says",
    "lidar_says", "radar_says" (n, 5), "distance" (n, 5). Features: the picture, float32 (32, 96, 3), and two
    bird's-eye views, float32 (16, 16, 4) and (16, 16, 3), brought to the camera's time.
    """
    n = SIZES[check_split(split)]
    world = world_of(split)
    meta = {f"{m}_says": np.where(world.there, world.says[:, :, k], -1) for k, m in enumerate(MODALITIES)}
    meta |= {"weather": np.array(WEATHERS)[world.weather], "ego_speed": world.ego_speed, "yaw_rate": world.yaw_rate}
    meta["distance"] = np.linalg.norm(world.places, axis=-1)
    return Dataset(
        "road",
        split,
        columns={m: Rendered(split, m, np.arange(n)) for m in MODALITIES},
        meta=meta,
        preprocess=lambda: features_of(split),
        targets={"cells": world.cells(), "classes": np.where(world.there, world.classes, -1)},
    )


@functools.cache
def world_of(split: str) -> World:
    """The split's scenes before a ray is cast."""
    return draw_world(SIZES[split], np.random.default_rng([SEED, SPLITS.index(split)]))


def render(world: World, split: str, sensor: str, i: int) -> np.ndarray:
    """One sensor's measurement of scene i of a split."""
    rng = np.random.default_rng([SEED, SPLITS.index(split), MODALITIES.index(sensor), i])
    return sensors.DRAW[sensor](world, i, rng)


@functools.cache
def features_of(split: str) -> dict[str, Column]:
    """All sensors of a split as arrays that models take; read-only, as whoever loads it again gets the same."""
    world = world_of(split)
    rows = np.arange(len(world.weather))
    pictures, points, detections = (Rendered(split, m, rows) for m in MODALITIES)
    views = make_views(pictures, points, detections, world.ego_speed, world.yaw_rate)
    for array in views.values():
        array.setflags(write=False)
    return {name: Column(array, rows) for name, array in views.items()}


def make_views(
    pictures: Sequence,
    points: Sequence,
    detections: Sequence,
    ego_speed: np.ndarray,
    yaw_rate: np.ndarray,
    lidar_yaw: float = 0.0,
    compensate: bool = True,
) -> dict[str, np.ndarray]:
    """Raw measurements of n scenes as a model takes them: picture, lidar's and radar's bird's-eye view.

    Parameters
    ----------
    lidar_yaw : radians, how much the lidar's calibration is wrong
    compensate : False leaves out the ego motion between the sensors' clocks
    """
    wrong = rigid(rotation(yaw=lidar_yaw), np.zeros(3))
    camera, lidar, radar = [], [], []
    for i in range(len(ego_speed)):
        camera.append(np.asarray(pictures[i], np.float32) / 255)
        moves = {m: np.eye(4) for m in ("lidar", "radar")}
        if compensate:
            moves = {m: sensors.to_camera_time(m, ego_speed[i], yaw_rate[i]) for m in moves}
        lidar.append(sensors.lidar_view(points[i], moves["lidar"] @ sensors.EGO_FROM_LIDAR @ wrong))
        radar.append(sensors.radar_view(detections[i], moves["radar"], ego_speed[i]))
    return {"camera": np.stack(camera), "lidar": np.stack(lidar), "radar": np.stack(radar)}


def _axes(modalities: Iterable[str]) -> list[int]:
    """Where these sensors are in JOINT, counted without the class: the weather is 0."""
    names = [modalities] if isinstance(modalities, str) else list(modalities)
    if set(names) - set(MODALITIES):
        raise ValueError(f"modalities: expected some of {', '.join(MODALITIES)}, got {names}")
    return sorted(1 + MODALITIES.index(name) for name in set(names))


def bayes_accuracy(modalities: Iterable[str] = MODALITIES, weather: str | None = None, told: bool = True) -> float:
    """The best accuracy at one place that any model can have that sees these sensors: exact, by the table.

    Parameters
    ----------
    modalities : which sensors; none is allowed, and leaves the prior
    weather : only in this weather (which the model is then told), or None: in all
    told : whether the model knows the weather. A picture shows it; without a camera, the truth lies between the two.
    """
    axes = _axes(modalities)
    if weather is not None:
        if weather not in WEATHERS:
            raise ValueError(f"weather: expected one of {', '.join(WEATHERS)}, got {weather!r}")
        w = WEATHERS.index(weather)
        return info.bayes_accuracy(info.marginal(JOINT[:, [w]] / WEATHER[w], [0, *axes]))
    return (
        info.bayes_accuracy(info.marginal(JOINT, [0, *axes] if told else axes)) if axes or told else float(PRIOR.max())
    )


def ceilings(weather: str | None = None, told: bool = True) -> dict[tuple[str, ...], float]:
    """`bayes_accuracy` of every combination of sensors, singles first."""
    subsets = (names for k in (1, 2, 3) for names in combinations(MODALITIES, k))
    return {names: bayes_accuracy(names, weather, told) for names in subsets}
