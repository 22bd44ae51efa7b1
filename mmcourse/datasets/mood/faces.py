"""What people look like in mood: 32 × 32 faces, drawn all at once from shapes with soft edges.

A shape is a signed distance in pixels, negative inside; its cover is 1 inside, 0 outside, and a ramp one pixel wide
between. Every number below that a face may have for itself is an array (n, 1, 1), so a formula draws all n faces.
"""

from __future__ import annotations

import numpy as np

from .table import CUES

SIDE = 32
CHUNK = 100  # faces drawn together: few enough to stay in the processor's cache
FROWN, NEUTRAL, SMILE, SMIRK = range(len(CUES["face"]))
SKIN = np.array([[255, 224, 196], [241, 194, 155], [224, 172, 125], [188, 130, 86], [141, 85, 54], [98, 60, 41]])
HAIR = np.array(
    [[38, 30, 28], [82, 52, 34], [140, 88, 44], [214, 170, 92], [168, 66, 36], [176, 174, 172], [60, 62, 96]]
)

Params = dict[str, np.ndarray]


def draw_identities(n: int, rng: np.random.Generator) -> Params:
    """What stays the same in all faces of one person: colors, hair, proportions; arrays (n, ...)."""
    skin = SKIN[rng.integers(0, len(SKIN), n)] + rng.uniform(-10, 10, (n, 3))
    return {
        "skin": skin,
        "hair": HAIR[rng.integers(0, len(HAIR), n)] + rng.uniform(-12, 12, (n, 3)),
        "shirt": rng.uniform(70, 200, (n, 3)),
        "iris": skin * 0.1 + rng.uniform(10, 60, (n, 3)),
        "wide": rng.uniform(9.0, 10.6, n),
        "tall": rng.uniform(10.8, 12.2, n),
        "fringe": rng.uniform(-8.6, -6.4, n),
        "parting": rng.uniform(-0.35, 0.35, n),
        "long_hair": rng.random(n) < 0.45,
        "eye_gap": rng.uniform(3.9, 4.7, n),
        "eye_size": rng.uniform(1.25, 1.7, n),
        "brow": rng.uniform(0.65, 0.85, n),
        "mouth_width": rng.uniform(4.3, 5.4, n),
        "glasses": rng.random(n) < 0.2,
        "blush": rng.uniform(0.0, 0.3, n),
    }


def draw_poses(n: int, rng: np.random.Generator) -> Params:
    """What changes from picture to picture: place, turn, size, light, background; and which side a smirk is on."""
    return {
        "x": rng.uniform(-0.9, 0.9, n),
        "y": rng.uniform(-0.7, 0.7, n),
        "turn": rng.uniform(-0.07, 0.07, n),
        "size": rng.uniform(0.96, 1.06, n),
        "light": rng.uniform(0.92, 1.06, n),
        "background": rng.uniform(165, 220, (n, 1)) + rng.uniform(-22, 22, (n, 3)),
        "shade": rng.uniform(-1, 1, n),
        "side": rng.choice([-1.0, 1.0], n),
        "strength": rng.uniform(1.0, 1.25, n),
    }


def draw(cue: np.ndarray, identity: Params, pose: Params, rng: np.random.Generator, noise: float = 3.0) -> np.ndarray:
    """Faces with a cue each.

    Parameters
    ----------
    cue : int (n,), index into CUES["face"]
    identity, pose : of each face, arrays (n, ...)
    noise : standard deviation of what each pixel is off by, in levels of 256

    Returns
    -------
    uint8 (n, 32, 32, 3)
    """
    everything = {**identity, **pose, "cue": np.asarray(cue)}
    out = np.empty((len(cue), SIDE, SIDE, 3), np.uint8)
    for start in range(0, len(cue), CHUNK):
        part = {key: value[start : start + CHUNK] for key, value in everything.items()}
        image = _paint({k: v.astype(np.float32)[..., None, None] for k, v in part.items()})
        image += np.float32(noise) * rng.standard_normal(image.shape, np.float32)
        out[start : start + CHUNK] = np.clip(image, 0, 255).transpose(0, 2, 3, 1)
    return out


def _paint(p: Params) -> np.ndarray:
    """float32 (n, 3, 32, 32), painted from back to front; NumPy is slow where the last axis is as short as 3."""
    row, column = np.mgrid[:SIDE, :SIDE].astype(np.float32) - np.float32((SIDE - 1) / 2)
    image = np.broadcast_to(p["background"] + (p["shade"] * row)[:, None], (len(p["x"]), 3, SIDE, SIDE)).copy()
    x, y = column - p["x"], row - p["y"]
    cos, sin = np.cos(p["turn"]) / p["size"], np.sin(p["turn"]) / p["size"]
    x, y = cos * x + sin * y, cos * y - sin * x  # from here on, the face is upright, in the middle, of usual size
    _head(image, x, y, p)
    for paint, rows in ((_eyes_and_brows, slice(5, 22)), (_mouth, slice(15, 31))):  # no need to look elsewhere
        paint(image[:, :, rows], x[:, rows], y[:, rows], p)
    return image * p["light"][:, None]


def _rgb(color: list[float]) -> np.ndarray:
    return np.array(color, np.float32)[:, None, None]


def _fill(
    image: np.ndarray, distance: np.ndarray, color: np.ndarray | float, opacity: np.ndarray | float = 1.0
) -> None:
    """Paint over the image where distance < 0."""
    cover = (np.clip(0.5 - distance, 0, 1) * opacity)[:, None]
    change = color - image
    change *= cover
    image += change


def _ellipse(x: np.ndarray, y: np.ndarray, a: np.ndarray | float, b: np.ndarray | float) -> np.ndarray:
    """About the signed distance from an ellipse with half-axes a and b."""
    return (np.sqrt((x / a) ** 2 + (y / b) ** 2) - 1) * np.minimum(a, b)


def _head(image: np.ndarray, x: np.ndarray, y: np.ndarray, p: Params) -> None:
    """Shoulders, hair, ears, face, fringe, nose, cheeks."""
    skin, hair, wide, tall = p["skin"], p["hair"], p["wide"], p["tall"]
    _fill(image, np.maximum(_ellipse(x, y + 2, wide + 2.6, tall + 2.6), y - 11), hair, p["long_hair"])
    _fill(image, _ellipse(x, y - 19, 13, 8), p["shirt"])
    _fill(image, np.maximum(abs(x) - 3.2, abs(y - 11) - 4), skin * 0.86)
    _fill(image, _ellipse(abs(x) - wide, y - 0.5, 1.7, 2.4), skin * 0.9)
    face = _ellipse(x, y, wide, tall)
    _fill(image, np.maximum(_ellipse(x, y + 1.6, wide + 1.2, tall + 0.8), y + 2), hair)
    _fill(image, np.maximum(face, p["fringe"] + p["parting"] * x + 0.04 * x**2 - y), skin)
    _fill(image, _ellipse(x, y - 1.8, 0.9, 1.3), skin * 0.84)
    _fill(image, _ellipse(abs(x) - 6, y - 3.4, 2.2, 1.6), _rgb([226, 96, 96]), p["blush"])


def _eyes_and_brows(image: np.ndarray, x: np.ndarray, y: np.ndarray, p: Params) -> None:
    """Both sides mirrored, but for a smirk: there one brow goes up, and the other eye narrows."""
    frown, smile, smirk = ((p["cue"] == k) * p["strength"] for k in (FROWN, SMILE, SMIRK))
    gap, size = p["eye_gap"], p["eye_size"]
    up = smirk * np.sign(x * p["side"])  # +1 on the side where the smirk rises
    narrow = 1 - 0.5 * np.maximum(-up, 0)
    inner = abs(x) - gap
    white = _ellipse(inner, y + 1.2, size + 0.75, (size + 0.45) * narrow)
    _fill(image, white, _rgb([250, 250, 248]))
    _fill(image, np.maximum(_ellipse(inner, y + 1.2, size * 0.8, size), white), p["iris"])
    _fill(image, _ellipse(inner + 0.4, y + 1.7, 0.45, 0.45), 255.0, 0.8)
    ring = abs(_ellipse(inner, y + 1.1, 3.2, 2.7)) - 0.35
    bridge = np.maximum(abs(y + 1.4) - 0.35, abs(x) - (gap - 3.2))
    _fill(image, np.minimum(ring, bridge), _rgb([52, 46, 60]), p["glasses"])
    height = -4.9 + 0.7 * frown - 0.5 * smile - 1.8 * np.maximum(up, 0) + 1.1 * np.maximum(-up, 0)
    line = height - (0.42 * frown) * inner + 0.09 * (smile + np.maximum(up, 0)) * inner**2
    _fill(image, np.maximum(abs(y - line) - p["brow"], abs(inner) - 2.5), p["hair"] * 0.6)


def _mouth(image: np.ndarray, x: np.ndarray, y: np.ndarray, p: Params) -> None:
    """A line along y = bend · t², thicker in the middle where it is open; t runs from -1 to 1 along the mouth."""
    frown, smile, smirk = ((p["cue"] == k) * p["strength"] for k in (FROWN, SMILE, SMIRK))
    width = p["mouth_width"] * (1 + 0.1 * smile - 0.05 * frown)
    t = (x - 0.9 * smirk * p["side"]) / width
    rise = np.maximum(t * p["side"] + 0.15, 0) ** 2  # one corner only
    middle = 6.2 + (1.9 * t**2 - 0.9) * frown + (1.2 - 2.6 * t**2) * smile + (0.8 - 3.2 * rise) * smirk
    half = 0.85 + 0.9 * smile * np.maximum(1 - t**2, 0)
    lips = np.maximum(abs(y - middle) - half, abs(t * width) - width)
    _fill(image, lips, p["skin"] * _rgb([0.42, 0.12, 0.16]) + _rgb([44, 4, 10]))
    teeth = np.maximum(abs(y - middle + 0.45) - (half - 1.0), abs(t * width) - 0.7 * width)
    _fill(image, teeth, _rgb([250, 246, 240]), np.minimum(smile, 1))
