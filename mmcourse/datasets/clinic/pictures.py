"""Chest X-rays of clinic, 64 × 64 gray, drawn all at once: lungs, ribs, a heart, a soft finding, a machine's letter.

Every number that a picture may have for itself is an array (n, 1, 1), so that one formula draws all n pictures.
"""

from __future__ import annotations

import numpy as np

SIDE = 64
CHUNK = 100  # pictures drawn together: few enough to stay in the processor's cache
LETTERS = {
    "fixed": ("11111", "10000", "10000", "11110", "10000", "10000", "10000"),
    "portable": ("11110", "10001", "10001", "11110", "10000", "10000", "10000"),
}
MARKER = (slice(3, 12), slice(3, 10))  # rows and columns of the machine's letter: light F, or a dark P on a light plate
BITS = {name: np.pad([[int(bit) for bit in row] for row in rows], 1) for name, rows in LETTERS.items()}
MARKERS = np.stack([60 + 180 * BITS["fixed"], 240 - 180 * BITS["portable"]]).astype(np.float32)
Params = dict[str, np.ndarray]


def draw_bodies(n: int, rng: np.random.Generator) -> Params:
    """What stays the same in all pictures of one patient: arrays (n,)."""
    return {
        "lung_width": rng.uniform(9.0, 12.0, n),
        "lung_height": rng.uniform(19.0, 24.0, n),
        "lung_gap": rng.uniform(12.5, 15.5, n),
        "heart": rng.uniform(6.0, 9.5, n),
        "heart_x": rng.uniform(1.0, 5.0, n),
        "rib_gap": rng.uniform(6.0, 8.5, n),
        "rib_slope": rng.uniform(0.004, 0.012, n),
        "rib_phase": rng.uniform(0.0, 2 * np.pi, n),
    }


def draw_exposures(n: int, rng: np.random.Generator) -> Params:
    """What changes from picture to picture: place, light, contrast; and where a finding would be."""
    return {
        "x": rng.uniform(-2.0, 2.0, n),
        "y": rng.uniform(-2.0, 2.0, n),
        "light": rng.uniform(-10.0, 10.0, n),
        "contrast": rng.uniform(0.9, 1.1, n),
        "side": rng.choice([-1.0, 1.0], n),
        "across": rng.uniform(-0.35, 0.35, n),
        "down": rng.uniform(-0.45, 0.55, n),
    }


def finding_center(body: Params, exposure: Params) -> tuple[np.ndarray, np.ndarray]:
    """Center (x, y) in pixels of where the finding is, if there is one: arrays (n,)."""
    middle = (SIDE - 1) / 2
    x = middle + exposure["x"] + exposure["side"] * body["lung_gap"] + exposure["across"] * body["lung_width"]
    y = middle + 2 + exposure["y"] + exposure["down"] * body["lung_height"] * 0.8
    return x, y


def _soft(distance: np.ndarray) -> np.ndarray:
    """1 inside, 0 outside, with an edge of about three pixels."""
    return 1 / (1 + np.exp(1.5 * np.clip(distance, -20, 20)))


def _draw(
    finding: np.ndarray, machine: np.ndarray, body: Params, exposure: Params, rng: np.random.Generator
) -> np.ndarray:
    n = len(finding)
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    part = {key: np.asarray(value, np.float32)[:, None, None] for key, value in (body | exposure).items()}
    x = columns - (SIDE - 1) / 2 - part["x"]
    y = rows - (SIDE - 1) / 2 - part["y"]
    picture = 150 - 0.06 * x**2 + 0.25 * y
    across = (np.abs(x) - part["lung_gap"]) / part["lung_width"]
    down = (y - 2) / part["lung_height"]
    lungs = _soft((np.sqrt(across**2 + down**2 + 1e-6) - 1) * part["lung_width"])
    ribs = np.cos((y + part["rib_slope"] * x**2) * (2 * np.pi / part["rib_gap"]) + part["rib_phase"])
    picture = picture - lungs * (85 - 9 * ribs)
    heart_x, heart_y = x - part["heart_x"], (y - 11) / 1.25
    heart = _soft(np.sqrt(heart_x**2 + heart_y**2 + 1e-6) - part["heart"])
    picture = picture + heart * (175 - picture) * 0.8
    where_x, where_y = finding_center(body, exposure)
    size = np.array([1.0, 3.0, 5.5], np.float32)[finding][:, None, None]
    strength = np.array([0.0, 70.0, 80.0], np.float32)[finding][:, None, None]
    apart = (columns - where_x.astype(np.float32)[:, None, None]) ** 2
    apart = apart + (rows - where_y.astype(np.float32)[:, None, None]) ** 2
    picture = picture + strength * np.exp(-apart / (2 * size**2))
    picture = (picture - 110) * part["contrast"] + 110 + part["light"]
    picture += rng.normal(0, 7, picture.shape).astype(np.float32)
    picture[(slice(None), *MARKER)] = MARKERS[machine]
    return np.clip(np.round(picture), 0, 255).astype(np.uint8).reshape(n, SIDE, SIDE)


def draw(
    finding: np.ndarray, machine: np.ndarray, body: Params, exposure: Params, rng: np.random.Generator
) -> np.ndarray:
    """Pictures uint8 (n, 64, 64) of findings (n,) 0 to 2 and machines (n,) 0 or 1, for bodies and exposures (n,)."""
    parts = []
    for start in range(0, len(finding), CHUNK):
        now = slice(start, start + CHUNK)
        own_body, own_exposure = ({key: value[now] for key, value in p.items()} for p in (body, exposure))
        parts.append(_draw(finding[now], machine[now], own_body, own_exposure, rng))
    return np.concatenate(parts) if parts else np.zeros((0, SIDE, SIDE), np.uint8)


def hide_marker(pictures: np.ndarray) -> np.ndarray:
    """A copy with a gray patch over the corner where the machine's letter is: (n, 64, 64) or (n, 64, 64, 1)."""
    covered = np.array(pictures)
    covered[:, :14, :12] = 110 if covered.dtype == np.uint8 else 110 / 255
    return covered
