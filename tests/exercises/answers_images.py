"""Known right and wrong answers to the exercises of lesson images, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- images.1
def shrink_by_loops(picture, k):
    h, w, c = picture.shape
    small = np.zeros((h // k, w // k, c), np.uint8)
    for i in range(h // k):
        for j in range(w // k):
            for color in range(c):
                block = picture[i * k : (i + 1) * k, j * k : (j + 1) * k, color].astype(int)
                small[i, j, color] = int(block.sum() / k**2 + 0.5)
    return small


def shrink_by_slices(picture, k):
    total = sum(picture[i::k, j::k].astype(np.float64) for i in range(k) for j in range(k))
    return np.rint(total / k**2).astype(int)


def summed_in_uint8(picture, k):
    total = np.zeros_like(picture[::k, ::k])
    for i in range(k):
        for j in range(k):
            total += picture[i::k, j::k]
    return np.round(total / k**2).astype(np.uint8)


def blocks(picture, k):
    h, w, c = picture.shape
    return picture.reshape(h // k, k, w // k, k, c)


# ---------------------------------------------------------------- images.2
SOBEL = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])


def filtered(gray, kernel, mode="edge"):
    p = np.pad(gray, 1, mode=mode)
    out = np.zeros(gray.shape)
    for i in range(gray.shape[0]):
        for j in range(gray.shape[1]):
            out[i, j] = (p[i : i + 3, j : j + 3] * kernel).sum()
    return out


def by_patches(gray):
    return np.sqrt(filtered(gray, SOBEL) ** 2 + filtered(gray, SOBEL.T) ** 2)


def by_scipy(gray):
    from scipy.ndimage import sobel

    return np.hypot(sobel(gray, 0, mode="nearest"), sobel(gray, 1, mode="nearest"))


def with_mode(mode):
    return lambda gray: np.hypot(filtered(gray, SOBEL, mode), filtered(gray, SOBEL.T, mode))


# ---------------------------------------------------------------- images.3
def swapped(caption):
    marked = [{"left": "right", "right": "left"}.get(word, word) for word in caption.split()]
    return " ".join(marked)


def mirror_by_loops(picture, boxes, caption):
    h, w, _ = picture.shape
    out = np.zeros_like(picture)
    for column in range(w):
        out[:, w - 1 - column] = picture[:, column]
    turned = [[w - right, top, w - left, bottom] for left, top, right, bottom in boxes.tolist()]
    return out, turned, swapped(caption)


def mirror_by_numpy(picture, boxes, caption):
    turned = boxes.copy()
    turned[:, [0, 2]] = picture.shape[1] - boxes[:, [2, 0]]
    words = f" {caption} ".replace(" left ", " \0 ").replace(" right ", " left ").replace(" \0 ", " right ")
    return np.fliplr(picture), turned, words.strip()


def but(picture=None, boxes=None, caption=None):
    """The right answer with parts replaced."""

    def mirror_scene(p, b, c):
        right = mirror_by_loops(p, b, c)
        return (
            picture(p) if picture else right[0],
            boxes(b, p.shape) if boxes else right[1],
            caption(c) if caption else right[2],
        )

    return mirror_scene


def box(left, right):
    """Boxes whose left and right come from functions of the old box and the picture's shape."""
    return lambda b, shape: np.stack([left(b, shape), b[:, 1], right(b, shape), b[:, 3]], axis=1)


ANSWERS = {
    "images.1": Answers(
        right=[shrink_by_loops, shrink_by_slices],
        wrong=[
            (lambda p, k: p[::k, ::k], "first pixel of each block"),
            (lambda p, k: p[k // 2 :: k, k // 2 :: k], "which is `nearest`"),
            (summed_in_uint8, "ran over 255"),
            (lambda p, k: blocks(p, k).mean(axis=(1, 3)).astype(np.uint8), "cut the digits off"),
            (lambda p, k: blocks(p, k).mean(axis=(1, 3)), "not whole numbers"),
            (lambda p, k: np.round(blocks(p, k).mean(axis=(1, 3, 4))).astype(np.uint8), "averaged the colors away"),
            (
                lambda p, k: np.round(p.reshape(k, len(p) // k, k, -1, p.shape[2]).mean(axis=(0, 2))),
                "lie far apart",
            ),
            (lambda p, k: blocks(p, k).max(axis=(1, 3)), "max pooling"),
        ],
    ),
    "images.2": Answers(
        right=[by_patches, by_scipy],
        wrong=[
            (lambda x: abs(filtered(x, SOBEL)) + abs(filtered(x, SOBEL.T)), "two absolute values"),
            (lambda x: -filtered(x, SOBEL) - filtered(x, SOBEL.T), "opposite ones cancel"),
            (lambda x: by_patches(x) ** 2, "squared strength"),
            (lambda x: abs(filtered(x, SOBEL)), "towards the right only"),
            (lambda x: abs(filtered(x, SOBEL.T)), "downwards only"),
            (with_mode("constant"), "padded with zeros"),
            (with_mode("reflect"), "mirrored the border"),
            (with_mode("wrap"), "opposite side"),
            (lambda x: by_patches(x)[1:-1, 1:-1], "lost its border"),
            (lambda x: by_patches(x) / by_patches(x).max(), "divided by the largest"),
            (lambda x: np.hypot(*np.gradient(x)), "compares two neighbors only"),
        ],
    ),
    "images.3": Answers(
        right=[mirror_by_loops, mirror_by_numpy],
        wrong=[
            (lambda p, b, c: (p[:, ::-1], b, c), "Only the picture is mirrored"),
            (but(boxes=lambda b, shape: b), "boxes stayed where they were"),
            (but(caption=lambda c: c), "caption stayed as it was"),
            (but(caption=lambda c: c.replace("left", "right").replace("right", "left")), "all say 'left' now"),
            (but(caption=lambda c: c.replace("right", "left").replace("left", "right")), "All say 'right' now"),
            (
                but(caption=lambda c: c.replace("left", "?").replace("right", "left").replace("?", "right")),
                "inside other words",
            ),
            (but(boxes=box(lambda b, s: s[1] - b[:, 0], lambda b, s: s[1] - b[:, 2])), "inside out"),
            (but(boxes=box(lambda b, s: s[1] - 1 - b[:, 2], lambda b, s: s[1] - 1 - b[:, 0])), "one pixel too far"),
            (but(boxes=box(lambda b, s: s[0] - b[:, 2], lambda b, s: s[0] - b[:, 0])), "with the height"),
            (but(caption=lambda c: swapped(c)[:-1] + "?" if len(c) > 65 else swapped(c)), "to the right of i?'"),
            (but(picture=lambda p: p[::-1]), "upside down"),
            (but(picture=lambda p: p[::-1, ::-1]), "half a circle"),
            (but(picture=lambda p: p[..., ::-1]), "reversed the colors"),
            (but(picture=lambda p: p), "not mirrored"),
            (lambda p, b, c: mirror_by_loops(p, b, c)[:2], "should be 3 values"),
        ],
    ),
}
