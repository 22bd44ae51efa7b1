"""What camera, lidar and radar measure of a scene: pixels and beams are rays, intersected with boxes exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmcourse.numpy.geometry import (
    CAMERA_FROM_CAR_AXES,
    invert_rigid,
    range_rate,
    ray_box,
    rigid,
    rotation,
)

from .table import MODALITIES, WEATHERS
from .world import CELL, CLOCK, COLUMNS, FASTEST, ROWS, SIZES, World, cell_of

HEIGHT, WIDTH = 32, 96
INTRINSICS = np.array([[48.0, 0.0, 48.0], [0.0, 48.0, 12.0], [0.0, 0.0, 1.0]])
CAMERA_AT, LIDAR_AT, RADAR_AT = np.array([1.5, 0.0, 1.5]), np.array([0.0, 0.0, 1.9]), np.array([2.0, 0.0, 0.5])
BEAMS, AZIMUTHS = 24, 96
FIELD = 0.75  # radians to each side, of lidar and radar
REFLECTANCE = np.array([0.1, 0.8, 0.45, 0.2])  # by class; the road has the first
STRENGTH = np.array([-10.0, 15.0, 5.0, -3.0])  # decibels, by class; clutter has the first
CLUTTER = 6  # radar detections of posts and rails, all of which stand still
FOG = np.array([0.74, 0.75, 0.76])

CAMERA_FROM_EGO = invert_rigid(rigid(CAMERA_FROM_CAR_AXES.T, CAMERA_AT))
EGO_FROM_LIDAR = rigid(np.eye(3), LIDAR_AT)


def camera_rays() -> np.ndarray:
    """Direction of each pixel's center in the car's axes, float32 (HEIGHT, WIDTH, 3), one meter ahead."""
    v, u = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    left = -(u - INTRINSICS[0, 2]) / INTRINSICS[0, 0]
    up = -(v - INTRINSICS[1, 2]) / INTRINSICS[1, 1]
    return np.stack([np.ones_like(u), left, up], axis=-1).astype(np.float32)


def lidar_rays() -> np.ndarray:
    """Unit direction of each beam, float32 (BEAMS, AZIMUTHS, 3), from the left to the right."""
    elevation = np.radians(np.linspace(1.0, -13.0, BEAMS))[:, None]
    azimuth = np.linspace(FIELD, -FIELD, AZIMUTHS)[None]
    x, y = np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth)
    return np.stack([x, y, np.sin(elevation) + 0 * azimuth], axis=-1).astype(np.float32)


PIXEL_RAYS, BEAM_RAYS = camera_rays(), lidar_rays()
PIXEL_AZIMUTHS = np.arctan(PIXEL_RAYS[0, :, 1])
BEAM_AZIMUTHS = np.linspace(FIELD, -FIELD, AZIMUTHS)


def ego_pose(speed: float, yaw_rate: float, time: float) -> np.ndarray:
    """world_from_ego at a time, where the world is the car's frame at time 0: a turn at constant speed, (4, 4)."""
    yaw = yaw_rate * time
    forward = speed * time
    return rigid(rotation(yaw=yaw), np.array([forward * np.cos(yaw / 2), forward * np.sin(yaw / 2), 0.0]))


@dataclass(frozen=True)
class Box:
    """A thing as one sensor sees it, in the car's frame at its time; nothing here depends on what it truly is."""

    center: np.ndarray
    size: np.ndarray
    yaw: float
    kind: int
    place: int
    velocity: np.ndarray


def boxes(world: World, i: int, sensor: str) -> list[Box]:
    """What one sensor makes of the places of scene i."""
    says = world.says[i, :, MODALITIES.index(sensor)]
    time = CLOCK[sensor]
    ego_from_world = invert_rigid(ego_pose(world.ego_speed[i], world.yaw_rate[i], time))
    found = []
    for k in np.flatnonzero(world.there[i] & (says > 0)):
        kind = int(says[k])
        yaw = float(world.heading[i, k]) + (0.0 if kind == 1 else np.pi / 2)
        velocity = world.pace[i, k] * FASTEST[kind] * np.array([np.cos(yaw), np.sin(yaw)])
        moved = world.places[i, k] + time * velocity
        center = ego_from_world[:3, :3] @ np.array([*moved, SIZES[kind, 2] / 2]) + ego_from_world[:3, 3]
        found.append(Box(center, SIZES[kind], yaw - float(world.yaw_rate[i]) * time, kind, int(k), velocity))
    return found


def cast(origin: np.ndarray, rays: np.ndarray, azimuths: np.ndarray, found: list[Box]) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest box of each ray, (rows, columns), inf for none; and which box, -1 for none."""
    distance = np.full(rays.shape[:2], np.inf, np.float32)
    which = np.full(rays.shape[:2], -1)
    for number, thing in enumerate(found):
        center, size, yaw = thing.center, thing.size, thing.yaw
        x, y = center[0] - origin[0], center[1] - origin[1]
        reach = np.hypot(size[0], size[1]) / 2 / max(np.hypot(x, y), 2.0)
        near = np.abs(azimuths - np.arctan2(y, x)) < np.arcsin(min(reach, 0.99)) + 0.02
        columns = slice(*(np.flatnonzero(near)[[0, -1]] + [0, 1])) if near.any() else slice(0, 0)
        t = ray_box(origin, rays[:, columns], center, size, yaw)
        nearer = t < distance[:, columns]
        distance[:, columns][nearer] = t[nearer]
        which[:, columns][nearer] = number
    return distance, which


# ---------------------------------------------------------------- camera
def _ground() -> tuple[np.ndarray, np.ndarray]:
    """Color and distance of the empty road and the sky."""
    up = PIXEL_RAYS[..., 2]
    distance = np.where(up < 0, CAMERA_AT[2] / np.maximum(-up, 1e-6), 1e3).astype(np.float32)
    across = np.abs(PIXEL_RAYS[..., 1] * distance)
    color = np.where((up < 0)[..., None], [0.36, 0.36, 0.38], [0.62, 0.74, 0.92])
    color = np.where(((up < 0) & (across > 8))[..., None], [0.33, 0.45, 0.28], color)
    lane = (up < 0) & (np.abs(across - 3.5) < 0.2)
    return np.where(lane[..., None], [0.8, 0.8, 0.76], color).astype(np.float32), np.minimum(distance, 200.0)


GROUND, GROUND_DISTANCE = _ground()


def _paint(kind: int, height: np.ndarray, color: np.ndarray) -> np.ndarray:
    """Color of points on a thing by their height, a share of its own (…); `color` (3,) makes each one different."""
    if kind == 1:
        body = 0.25 + 0.65 * color
        parts = [(0.2, np.full(3, 0.08)), (0.6, body), (0.9, np.array([0.18, 0.24, 0.3])), (2.0, body)]
    elif kind == 2:
        parts = [(0.4, np.full(3, 0.12)), (0.85, np.array([0.65, 0.85, 0.1]) + 0.2 * (color - 0.5))]
        parts.append((2.0, np.array([0.9, 0.9, 0.2])))
    else:
        parts = [(0.45, np.array([0.12, 0.14, 0.3]) + 0.1 * color), (0.85, np.array([0.75, 0.25, 0.3 * color[2]]))]
        parts.append((2.0, np.array([0.85, 0.62, 0.45]) * (0.5 + 0.6 * color[0])))
    edges = np.array([edge for edge, _ in parts[:-1]])
    return np.array([paint for _, paint in parts])[np.searchsorted(edges, height)]


def camera(world: World, i: int, rng: np.random.Generator) -> np.ndarray:
    """The picture of scene i, uint8 (HEIGHT, WIDTH, 3)."""
    found = boxes(world, i, "camera")
    distance, which = cast(CAMERA_AT, PIXEL_RAYS, PIXEL_AZIMUTHS, found)
    picture = GROUND.copy()
    for number, thing in enumerate(found):
        hit = which == number
        height = (CAMERA_AT[2] + PIXEL_RAYS[hit, 2] * distance[hit]) / thing.size[2]
        picture[hit] = _paint(thing.kind, height, world.color[i, thing.place])
    depth = np.minimum(distance, GROUND_DISTANCE)[..., None]
    weather = WEATHERS[world.weather[i]]
    if weather == "fog":
        clear = np.exp(-depth / 25.0)
        picture = clear * picture + (1 - clear) * FOG
    elif weather == "night":
        picture = picture * (0.22 + 0.6 * np.exp(-depth / 20.0)) * np.array([1.0, 0.97, 0.85])
    picture = picture + rng.normal(0, 0.02, picture.shape)
    return (255 * np.clip(picture, 0, 1) + 0.5).astype(np.uint8)


# ---------------------------------------------------------------- lidar
_DOWN = BEAM_RAYS[..., 2] < -1e-3
LIDAR_GROUND = np.where(_DOWN, LIDAR_AT[2] / np.maximum(-BEAM_RAYS[..., 2], 1e-3), np.inf).astype(np.float32)


def lidar(world: World, i: int, rng: np.random.Generator) -> np.ndarray:
    """Points of scene i in the lidar's own frame at its own time: float32 (p, 4), x, y, z and reflectance."""
    found = boxes(world, i, "lidar")
    distance, which = cast(LIDAR_AT, BEAM_RAYS, BEAM_AZIMUTHS, found)
    kinds = np.array([0, *(thing.kind for thing in found)])
    distance = np.minimum(distance, LIDAR_GROUND)
    reflectance = REFLECTANCE[kinds[which + 1]]
    back = distance < 60.0
    far = distance[back] + rng.normal(0, 0.02, back.sum())
    points = BEAM_RAYS[back] * far[:, None]
    bright = reflectance[back] + rng.normal(0, 0.04, back.sum())
    return np.column_stack([points, bright]).astype(np.float32)


# ---------------------------------------------------------------- radar
def radar(world: World, i: int, rng: np.random.Generator) -> np.ndarray:
    """Detections of scene i: float32 (k, 4): range (m), azimuth (rad, to the left), range rate (m/s), strength (dB)."""
    found = boxes(world, i, "radar")
    centers = np.array([thing.center[:2] for thing in found]).reshape(-1, 2)
    kinds = np.array([thing.kind for thing in found], int)
    moving = np.array([thing.velocity for thing in found]).reshape(-1, 2)
    angle = rng.uniform(-FIELD, FIELD, CLUTTER)
    away = rng.uniform(5.0, 40.0, CLUTTER)
    posts = np.stack([away * np.cos(angle), away * np.sin(angle)], axis=1)
    at = np.concatenate([centers, posts + RADAR_AT[:2]]) - RADAR_AT[:2]
    velocities = np.concatenate([moving, np.zeros((CLUTTER, 2))])
    rate = range_rate(at, velocities, world.ego_speed[i]) + rng.normal(0, 0.1, len(at))
    strength = STRENGTH[np.concatenate([kinds, np.zeros(CLUTTER, int)])] + rng.normal(0, 1.2, len(at))
    noisy_range = np.linalg.norm(at, axis=1) + rng.normal(0, 0.15, len(at))
    azimuth = np.arctan2(at[:, 1], at[:, 0]) + rng.normal(0, 0.008, len(at))
    order = rng.permutation(len(at))
    return np.column_stack([noisy_range, azimuth, rate, strength])[order].astype(np.float32)


DRAW = {"camera": camera, "lidar": lidar, "radar": radar}


# ---------------------------------------------------------------- bird's-eye view
def to_camera_time(sensor: str, speed: float, yaw_rate: float) -> np.ndarray:
    """ego(camera's time) ← ego(that sensor's time), (4, 4): through the world, where the world is ego at time 0."""
    world_from_ego = ego_pose(speed, yaw_rate, CLOCK[sensor])
    ego_from_world = invert_rigid(ego_pose(speed, yaw_rate, CLOCK["camera"]))
    return ego_from_world @ world_from_ego


def lidar_view(points: np.ndarray, ego_from_lidar: np.ndarray) -> np.ndarray:
    """Points (p, 4) in cells: float32 (ROWS, COLUMNS, 4): log count, top height, reflectance and spread to the side.

    Only points between 0.25 and 2.5 m above the road count. Cells without any are 0.
    """
    at = points[:, :3] @ ego_from_lidar[:3, :3].T + ego_from_lidar[:3, 3]
    cell = cell_of(at[:, :2])
    kept = (at[:, 2] > 0.25) & (at[:, 2] < 2.5) & (cell >= 0)
    cell, at, bright = cell[kept], at[kept], points[kept, 3]
    number = ROWS * COLUMNS
    count = np.bincount(cell, minlength=number)
    some = np.maximum(count, 1)
    top = np.zeros(number)
    np.maximum.at(top, cell, at[:, 2])
    mean = np.bincount(cell, at[:, 1], number) / some
    spread = np.sqrt(np.maximum(np.bincount(cell, at[:, 1] ** 2, number) / some - mean**2, 0.0))
    shine = np.bincount(cell, bright, number) / some
    view = np.stack([np.log1p(count) / 3, top, shine, spread], axis=-1)
    return view.reshape(ROWS, COLUMNS, 4).astype(np.float32)


def radar_view(detections: np.ndarray, ego_from_ego: np.ndarray, speed: float) -> np.ndarray:
    """Detections (k, 4) in cells: float32 (ROWS, COLUMNS, 3): there, strength and own rate of the strongest.

    The own rate is the range rate without what the car's own motion adds: 0 for what stands still.
    """
    away, azimuth, rate, strength = detections.T
    at = np.stack([away * np.cos(azimuth), away * np.sin(azimuth), 0 * away], axis=1) + RADAR_AT
    at = at @ ego_from_ego[:3, :3].T + ego_from_ego[:3, 3]
    cell = cell_of(at[:, :2])
    view = np.zeros((ROWS * COLUMNS, 3), np.float32)
    for k in np.argsort(strength):  # the strongest last
        if cell[k] >= 0:
            view[cell[k]] = 1.0, (strength[k] + 12) / 20, (rate[k] + speed * np.cos(azimuth[k])) / 10
    return view.reshape(ROWS, COLUMNS, 3)


def lift_index(rows: int, columns: int, heights: tuple[float, ...] = (0.4, 1.0, 1.6)) -> tuple[np.ndarray, np.ndarray]:
    """Where each bird's-eye cell's center is seen, in a map of rows × columns over the picture.

    Returns
    -------
    index : int64 (ROWS · COLUMNS, heights), place in the flattened map; 0 where it is not seen
    seen : bool (ROWS · COLUMNS, heights)
    """
    row, column = np.divmod(np.arange(ROWS * COLUMNS), COLUMNS)
    x, y = (row + 0.5) * CELL, (column + 0.5 - COLUMNS // 2) * CELL
    index, seen = [], []
    for height in heights:
        at = np.stack([x, y, np.full(len(x), height)], axis=1)
        at = at @ CAMERA_FROM_EGO[:3, :3].T + CAMERA_FROM_EGO[:3, 3]
        scaled = at @ INTRINSICS.T
        depth = np.where(at[:, 2] > 0.1, at[:, 2], 1.0)
        u = np.floor(scaled[:, 0] / depth / WIDTH * columns).astype(np.int64)
        v = np.floor(scaled[:, 1] / depth / HEIGHT * rows).astype(np.int64)
        good = (at[:, 2] > 0.1) & (u >= 0) & (u < columns) & (v >= 0) & (v < rows)
        index.append(np.where(good, v * columns + u, 0))
        seen.append(good)
    return np.stack(index, axis=1), np.stack(seen, axis=1)
