"""Checks of lesson images: shrinking by the mean, the strength of an edge, and a mirror that tells no lie."""

from __future__ import annotations

import re

import numpy as np

from mmcourse.check import agree, exercise, rng


# ---------------------------------------------------------------- images.1
def _blocks(picture: np.ndarray, k: int) -> np.ndarray:
    h, w, c = picture.shape
    return picture.reshape(h // k, k, w // k, k, c)


def shrink(picture: np.ndarray, k: int) -> np.ndarray:
    """Mean of each k × k block, rounded: uint8 (h, w, c) → uint8 (h/k, w/k, c)."""
    return np.round(_blocks(picture, k).mean(axis=(1, 3))).astype(np.uint8)


def _wrapped(picture, k):
    return (_blocks(picture, k).sum(axis=(1, 3), dtype=np.uint8) / k**2).round()


def _tiled(picture, k):
    h, w, c = picture.shape
    return np.round(picture.reshape(k, h // k, k, w // k, c).mean(axis=(0, 2)))


_SHRINK_MISTAKES = [
    (
        lambda p, k: p[::k, ::k],
        "You picked the first pixel of each block: the fault of the lesson's striped roof. Take the mean of all k × k.",
    ),
    (
        lambda p, k: p[k // 2 :: k, k // 2 :: k],
        "You picked one pixel in the middle of each block, which is `nearest`. Take the mean of all k × k.",
    ),
    (
        _wrapped,
        "Your sums ran over 255 and started again at 0. Add as floats: `.mean()` does, or `picture.astype(float)`.",
    ),
    (
        lambda p, k: np.floor(_blocks(p, k).mean(axis=(1, 3))),
        "You cut the digits off (26.8 became 26), so the picture darkens. Round with `np.round` before `uint8`.",
    ),
    (
        lambda p, k: _blocks(p, k).mean(axis=(1, 3)),
        "The means are right but not whole numbers: round them, then turn them into `uint8`.",
    ),
    (
        lambda p, k: np.round(_blocks(p, k).mean(axis=(1, 3, 4), keepdims=True)[:, 0, :, 0].repeat(p.shape[2], axis=2)),
        "You averaged the colours too, so the picture turned grey. The mean goes over rows and columns only.",
    ),
    (
        lambda p, k: np.round(_blocks(p, k).mean(axis=(1, 3, 4))),
        "You averaged the colours away. The mean goes over rows and columns of a block; the last axis stays.",
    ),
    (
        _tiled,
        "You averaged pixels that lie far apart. In the `reshape`, k comes *after* h/k: a block is k neighbours.",
    ),
    (
        lambda p, k: _blocks(p, k).max(axis=(1, 3)),
        "You took the brightest pixel of each block. That is max pooling (lesson cnn); asked is the mean.",
    ),
]


def _without_ties(picture: np.ndarray, k: int) -> np.ndarray:
    """The same picture, but no block's mean ends in one half: there two ways of rounding are both right."""
    halves = _blocks(picture, k).sum(axis=(1, 3)) * 2 % (2 * k * k) == k * k
    picture = picture.copy()
    corner = picture[::k, ::k]
    corner[halves] = np.where(corner[halves] > 0, corner[halves] - 1, 1)
    return picture


@exercise("images.1", title="Shrink by the mean", points=1, difficulty=1, minutes=8)
def check_shrink(answer):
    g = rng("01.1")
    first = np.array([[[10], [20], [200], [255]], [[30], [47], [255], [251]]], dtype=np.uint8)
    inputs = [(first, 2)]
    for shape, k in (((6, 9, 3), 3), ((8, 4, 3), 2), ((5, 10, 1), 5), ((4, 6, 3), 1)):
        inputs.append((_without_ties(g.integers(0, 256, shape, dtype=np.uint8), k), k))
    agree(answer, shrink, inputs, mistakes=_SHRINK_MISTAKES)
    return "Every old pixel counts once: this is Pillow's BOX filter, up to its rounding."


# ---------------------------------------------------------------- images.2
def _gradient(grey: np.ndarray, mode: str = "edge", weights: tuple = (1, 2, 1)) -> tuple[np.ndarray, np.ndarray]:
    h, w = grey.shape
    p = np.pad(grey, 1, mode=mode)
    right, down = np.zeros((h, w)), np.zeros((h, w))
    for i, weight in enumerate(weights):
        right += weight * (p[i : i + h, 2:] - p[i : i + h, :w])
        down += weight * (p[2:, i : i + w] - p[:h, i : i + w])
    return right, down


def edge_strength(grey: np.ndarray) -> np.ndarray:
    """Length of Sobel's gradient of (h, w), borders repeated."""
    return np.hypot(*_gradient(grey))


_EDGE_MISTAKES = [
    (
        lambda x: np.abs(_gradient(x)[0]) + np.abs(_gradient(x)[1]),
        "You added the two absolute values. The length of an arrow is √(right² + down²).",
    ),
    (
        lambda x: _gradient(x)[0] + _gradient(x)[1],
        "You added the two gradients with their signs, so opposite ones cancel. Square them, add, take the root.",
    ),
    (
        lambda x: _gradient(x)[0] ** 2 + _gradient(x)[1] ** 2,
        "That is the squared strength: take the square root.",
    ),
    (
        lambda x: np.abs(_gradient(x)[0]),
        "You have the change towards the right only. Edges that run from left to right need the transposed kernel too.",
    ),
    (
        lambda x: _gradient(x)[0],
        "You have the change towards the right only, with its sign. Add the transposed kernel and take the length.",
    ),
    (
        lambda x: np.abs(_gradient(x)[1]),
        "You have the change downwards only. Upright edges need the other kernel too.",
    ),
    (
        lambda x: np.hypot(*_gradient(x, mode="constant")),
        "You padded with zeros, so the picture gets a false frame of edges. Repeat its border: `mode='edge'`.",
    ),
    (
        lambda x: np.hypot(*_gradient(x, mode="reflect")),
        "You mirrored the border without repeating it (`reflect`). Asked is `mode='edge'`.",
    ),
    (
        lambda x: np.hypot(*_gradient(x, mode="wrap")),
        "At the border you compare with the opposite side (`np.roll` or `wrap`). Repeat the border: `mode='edge'`.",
    ),
    (
        lambda x: np.hypot(*_gradient(x))[1:-1, 1:-1],
        "Your result has lost its border. Pad the picture by one pixel on each side first.",
    ),
    (
        lambda x: np.hypot(*_gradient(x, weights=(1, 1, 1))),
        "The middle row counts once in yours. Sobel counts it twice: 1, 2, 1. (Yours is Prewitt's kernel.)",
    ),
    (
        lambda x: np.hypot(*_gradient(x)) / np.hypot(*_gradient(x)).max(),
        "You divided by the largest strength. Useful to look at, but not asked.",
    ),
    (
        lambda x: np.hypot(*np.gradient(x)[::-1]),
        "`np.gradient` compares two neighbours only. Sobel also takes in the rows above and below.",
    ),
]


@exercise("images.2", title="How strong is the edge?", points=2, difficulty=2, minutes=12)
def check_edge_strength(answer):
    g = rng("01.2")
    first = np.array([[0.0, 0.5, 0.0, 1.0], [0.0, 0.0, 1.0, 0.25], [0.5, 0.0, 0.0, 1.0]])
    inputs = [(first,), *((g.random(shape),) for shape in ((5, 7), (8, 3), (6, 6)))]
    agree(answer, edge_strength, inputs, mistakes=_EDGE_MISTAKES)
    return "Right at the borders too: the same as scipy.ndimage.sobel with mode='nearest'."


# ---------------------------------------------------------------- images.3
def _swap(caption: str) -> str:
    other = {"left": "right", "right": "left"}
    return re.sub(r"\b(left|right)\b", lambda found: other[found[0]], caption)


def _mirror_boxes(boxes: np.ndarray, width: int) -> np.ndarray:
    left, top, right, bottom = boxes.T
    return np.stack([width - right, top, width - left, bottom], axis=1)


def mirror_scene(picture: np.ndarray, boxes: np.ndarray, caption: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Picture (h, w, 3), boxes (n, 4) as left, top, right, bottom, and caption, as seen in a mirror."""
    return picture[:, ::-1], _mirror_boxes(boxes, picture.shape[1]), _swap(caption)


def _scene(picture=None, boxes=None, caption=None):
    """The right answer with one part replaced."""

    def mistaken(p, b, c):
        right = mirror_scene(p, b, c)
        return (
            picture(p) if picture else right[0],
            boxes(b, p.shape[1], p.shape[0]) if boxes else right[1],
            caption(c) if caption else right[2],
        )

    return mistaken


def _columns(*order):
    """Boxes from pieces: each of `order` is a function of left, top, right, bottom and the width."""
    return lambda b, w, h: np.stack([piece(*b.T, w) for piece in order], axis=1)


_MIRROR_MISTAKES = [
    (
        lambda p, b, c: (p[:, ::-1], b, c),
        "Only the picture is mirrored: the boxes point at empty ground, and the caption lies.",
    ),
    (
        _scene(boxes=lambda b, w, h: b),
        "The boxes stayed where they were, so they point at the wrong places of the mirrored picture.",
    ),
    (
        _scene(caption=lambda c: c),
        "The caption stayed as it was: what was left is right now. A model would learn the words backwards.",
    ),
    (
        _scene(caption=lambda c: c.replace("left", "right").replace("right", "left")),
        "Your second `replace` turned the new words back: all say 'left' now. Swap word by word instead.",
    ),
    (
        _scene(caption=lambda c: c.replace("right", "left").replace("left", "right")),
        "All say 'right' now: one way of the swap is missing, or it was turned back. Swap word by word instead.",
    ),
    (
        _scene(
            caption=lambda c: c.replace("left", "\0").replace("right", "left").replace("\0", "right"),
        ),
        "You swapped letters inside other words ('bright' became 'bleft'). Only whole words change.",
    ),
    (
        _scene(
            boxes=_columns(
                lambda a, t, r, u, w: w - a,
                lambda a, t, r, u, w: t,
                lambda a, t, r, u, w: w - r,
                lambda a, t, r, u, w: u,
            )
        ),  # fmt: skip
        "Your boxes are inside out: left is larger than right. The old *right* edge becomes the new left one.",
    ),
    (
        _scene(
            boxes=_columns(
                lambda a, t, r, u, w: w - 1 - r,
                lambda a, t, r, u, w: t,
                lambda a, t, r, u, w: w - 1 - a,
                lambda a, t, r, u, w: u,
            )
        ),  # fmt: skip
        "Your boxes are one pixel too far left. `right` lies behind the last pixel, so the new left is w - right.",
    ),
    (
        _scene(
            boxes=lambda b, w, h: np.stack([h - b[:, 2], b[:, 1], h - b[:, 0], b[:, 3]], axis=1),
        ),
        "You mirrored the boxes with the height of the picture. Its width is `picture.shape[1]`.",
    ),
    (
        _scene(
            picture=lambda p: p[::-1],
            boxes=lambda b, w, h: np.stack([b[:, 0], h - b[:, 3], b[:, 2], h - b[:, 1]], axis=1),
        ),
        "You turned the scene upside down. A mirror exchanges left and right: the second axis of `(h, w, c)`.",
    ),
    (
        _scene(picture=lambda p: p[::-1]),
        "The picture is upside down. Rows are the first axis of `(h, w, c)`, columns the second: `picture[:, ::-1]`.",
    ),
    (
        _scene(picture=lambda p: p[::-1, ::-1]),
        "The picture is turned by half a circle. Reverse its columns only: `picture[:, ::-1]`.",
    ),
    (
        _scene(picture=lambda p: p[..., ::-1]),
        "You reversed the colours (red became blue). The columns are the second axis: `picture[:, ::-1]`.",
    ),
    (
        _scene(picture=lambda p: p),
        "The picture itself is not mirrored.",
    ),
]

_CAPTIONS = [
    "a bright box to the left of a star on the right",
    "a red disc in the top right corner and a bright star to the left of it",
    "the picture shows a tiny cross",
    "here is a star right of a box left of a disc on the right",
]


@exercise("images.3", title="Mirror the whole scene", points=3, difficulty=2, minutes=15)
def check_mirror_scene(answer):
    g = rng("01.3")
    first = np.zeros((3, 6, 3), np.uint8)
    first[0, :2], first[1, 1] = (250, 0, 40), (9, 8, 7)
    inputs = [(first, np.array([[0, 0, 2, 2]]), _CAPTIONS[0])]
    for caption, (h, w), n in zip(_CAPTIONS[1:], ((5, 9), (6, 4), (4, 8)), (2, 1, 3), strict=True):
        corner = g.integers(0, (w - 2, h - 2), (n, 2))
        boxes = np.concatenate([corner, corner + g.integers(1, 3, (n, 2))], axis=1)
        inputs.append((g.integers(0, 256, (h, w, 3), dtype=np.uint8), boxes, caption))
    agree(answer, mirror_scene, inputs, mistakes=_MIRROR_MISTAKES, names=("picture", "boxes", "caption"))
    return "Picture, boxes and words agree again. Every augmentation of several modalities needs this care."
