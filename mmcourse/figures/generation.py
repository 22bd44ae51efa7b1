"""Figures of the shipped painter of icons: does it draw what was asked, how varied, how far from its training set."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmcourse.datasets.scenes import icons
from mmcourse.datasets.scenes.world import COLORS, SHAPES
from mmcourse.figures.vlm import wilson_interval
from mmcourse.numpy.diffusion import frechet_distance
from mmcourse.torch.clip import CLIP
from mmcourse.torch.detection import Detector
from mmcourse.torch.generation import Painter

TRAIN_SEED, TEST_SEED, PER_KIND = 40_001, 40_003, 100
GUIDANCE = 2.0
WEIGHTS = (0.0, 1.0, 2.0, 4.0)


def ask(kinds: list[tuple[int, int]], n: int, seed: int) -> tuple[list[str], np.ndarray]:
    """`n` captions, the kinds in turn: captions, and kinds int64 (n, 2)."""
    rng = np.random.default_rng(seed)
    listed = [kinds[i % len(kinds)] for i in range(n)]
    return [icons.say_icon(kind, rng) for kind in listed], np.array(listed)


def shares(pictures: np.ndarray, kinds: np.ndarray) -> dict[str, float]:
    """How many pictures are right as a whole, in color, in shape, and clean at all; and how much pixels spread."""
    found = icons.parse(pictures)
    return {
        "right": float(found.right(kinds).mean()),
        "color_right": float((found.color == kinds[:, 1]).mean()),
        "shape_right": float((found.shape == kinds[:, 0]).mean()),
        "clean": float(found.is_clean.mean()),
        "contrast": float((pictures / 255.0).std()),
        "tone_spread": tone_spread(pictures, kinds),
    }


def tone_spread(pictures: np.ndarray, kinds: np.ndarray) -> float:
    """Variety: how much the background (the four corners) differs among pictures of one kind, in levels of 256."""
    corners = pictures[:, [0, 0, -1, -1], [0, -1, 0, -1]].astype(float).mean(axis=(1, 2))
    groups = [corners[(kinds == kind).all(axis=1)] for kind in np.unique(kinds, axis=0)]
    each = [group.std(ddof=1) for group in groups if len(group) > 1]
    return float(np.mean(each)) if each else 0.0


def nearest_distance(pictures: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distance of each picture to the nearest of the others: root mean square over pixels, from 0 to 1."""
    a, b = (x.reshape(len(x), -1).astype(np.float32) / 255 for x in (pictures, others))
    squares = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)
    return np.sqrt(squares.min(axis=1).clip(0) / a.shape[1])


def features(clip: CLIP, pictures: np.ndarray) -> np.ndarray:
    """What lesson clip's picture tower says of icons, enlarged four times: float64 (n, 64)."""
    large = pictures.repeat(4, axis=1).repeat(4, axis=2)
    return clip.encode_image(large).numpy().astype(float)


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance of two sets of features (n, d)."""
    return frechet_distance(a.mean(0), np.cov(a.T), b.mean(0), np.cov(b.T))


def detector_right(detector: Detector, pictures: np.ndarray, kinds: np.ndarray, seed: int = 7) -> float:
    """Share of icons of which the detector of lesson detection, looking at them in a gray picture, names the shape."""
    rng = np.random.default_rng(seed)
    large = np.full((len(pictures), 64, 64, 3), 128, np.uint8)
    for canvas, icon in zip(large, pictures, strict=True):
        top, left = rng.integers(8, 41, 2)
        canvas[:] = icon[[0, 0, -1, -1], [0, -1, 0, -1]].mean(axis=0).astype(np.uint8)  # the background goes on
        canvas[top : top + 16, left : left + 16] = icon
    found = detector.detect(large, threshold=0.0)
    named = [one.labels[0] if len(one) else -1 for one in found]
    return float(np.mean(np.array(named) == kinds[:, 0]))


def compute(n: int = 1000, model: Painter | None = None) -> dict[str, Any]:
    """All figures of a model on `n` captions; by default of the shipped one. 20 Euler steps, mostly guidance 2."""
    model = Painter.from_pretrained("generation") if model is None else model
    clip, detector = CLIP.from_pretrained("clip"), Detector.from_pretrained("detection")
    captions, kinds = ask(icons.SEEN_ICONS, n, TEST_SEED)
    new_captions, new_kinds = ask(icons.UNSEEN_ICONS, max(60, n // 2), TEST_SEED + 1)
    real, _, real_kinds = icons.load(-(-n // len(icons.SEEN_ICONS)), TEST_SEED)
    train, _, _ = icons.load(PER_KIND, TRAIN_SEED)
    painted = {w: model.paint(captions, w, seed=11) for w in WEIGHTS}
    unseen = {w: model.paint(new_captions, w, seed=12) for w in WEIGHTS[1:]}
    seen_by = {f"{w:g}": shares(painted[w], kinds) for w in WEIGHTS}
    unseen_by = {f"{w:g}": shares(unseen[w], new_kinds) for w in WEIGHTS[1:]}
    own = icons.parse(painted[0.0])  # drawn without any caption
    drawn = set(zip(own.shape[own.is_clean].tolist(), own.color[own.is_clean].tolist(), strict=True))
    right, of_new = seen_by[f"{GUIDANCE:g}"]["right"], unseen_by[f"{GUIDANCE:g}"]["right"]
    wrong = icons.parse(unseen[GUIDANCE]).shape
    known = features(clip, real)
    more = features(clip, icons.load(-(-n // len(icons.SEEN_ICONS)), TEST_SEED + 2)[0])
    by_weight = {f"{w:g}": frechet(features(clip, painted[w]), known) for w in WEIGHTS}
    distances = nearest_distance(painted[GUIDANCE], train)
    of_real = nearest_distance(real, train)
    return {
        "picture_right": right,
        "picture_right_interval": list(wilson_interval(round(right * len(kinds)), len(kinds))),
        "picture_right_unseen": of_new,
        "picture_right_unseen_interval": list(wilson_interval(round(of_new * len(new_kinds)), len(new_kinds))),
        "frechet": by_weight[f"{GUIDANCE:g}"],
        "frechet_by_guidance": by_weight,
        "frechet_of_other_real": frechet(more, known),
        "frechet_of_training": frechet(features(clip, train[:: max(1, len(train) // n)]), known),
        "modes_covered": len(drawn & set(icons.SEEN_ICONS)) / len(icons.SEEN_ICONS),
        "unseen_without_caption": float(np.mean([kind in icons.UNSEEN_ICONS for kind in drawn_kinds(own)])),
        "by_guidance": seen_by,
        "unseen_by_guidance": unseen_by,
        "unseen_drawn_as": {SHAPES[s]: int((wrong == s).sum()) for s in range(len(SHAPES))},
        "unseen_by_kind": {
            f"{COLORS[c]} {SHAPES[s]}": float(
                icons.parse(unseen[GUIDANCE]).right(new_kinds)[(new_kinds == (s, c)).all(axis=1)].mean()
            )
            for s, c in icons.UNSEEN_ICONS
        },
        "judge_right_on_real": float(icons.parse(real).right(real_kinds).mean()),
        "real": shares(real, real_kinds),
        "detector_shape_right": detector_right(detector, painted[GUIDANCE], kinds),
        "detector_shape_right_on_real": detector_right(detector, real, real_kinds),
        "nearest_training": quantiles(distances),
        "nearest_training_of_real": quantiles(of_real),
        "captions": n,
    }


def drawn_kinds(found: icons.Parsed) -> list[tuple[int, int]]:
    """(shape, color) of every clean picture."""
    pairs = zip(found.shape.tolist(), found.color.tolist(), found.is_clean.tolist(), strict=True)
    return [(shape, color) for shape, color, clean in pairs if clean]


def quantiles(values: np.ndarray) -> list[float]:
    """Smallest, 1st percentile, median and largest."""
    return [float(v) for v in np.quantile(values, [0, 0.01, 0.5, 1])]
