"""Shrinking by the mean, the strength of an edge, a mirror that tells no lie; the module is in exercises_torch.py."""

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.exercise import (
    Array,
    Drawn,
    between,
    challenge,
    context,
    edit,
    example,
    exercise,
    lesson,
    one_of,
    paragraph,
    part,
    right,
    says,
)

lesson(
    "images",
    promise="Shrink a picture by hand, measure its edges, mirror a scene without telling a lie, and write a PyTorch "
    "module that mirrors pictures, boxes and masks alike.",
    uses="NumPy; the last one PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def shrink(picture, k):
    """Mean of each k × k block: uint8 (h, w, c) → uint8 (h/k, w/k, c)."""
    h, w, c = picture.shape
    blocks = picture.reshape(h // k, k, w // k, k, c)  # row of blocks, row inside, column of blocks, column inside
    means = blocks.mean(axis=(1, 3))
    return np.round(means).astype(np.uint8)


def draw_picture(g, k, c, rows=None, columns=None):
    """A picture of rows × columns blocks of k × k pixels, none with a mean that ends in one half.

    There two ways of rounding are both right.
    """
    rows = rows or int(g.integers(1, 5))
    columns = columns or int(g.integers(1, 5))
    picture = g.integers(0, 256, (rows * k, columns * k, c), dtype=np.uint8)
    sums = picture.reshape(rows, k, columns, k, c).sum(axis=(1, 3))
    halves = 2 * sums % (2 * k * k) == k * k
    corner = picture[::k, ::k]
    corner[halves] = np.where(corner[halves] > 0, corner[halves] - 1, 1)
    return picture, k


shrinking = exercise(
    "images.1",
    shrink,
    title="Shrink by the mean",
    points=1,
    difficulty=1,
    minutes=8,
    statement=[
        says("Make a picture `k` times smaller in height and width.", ignored="return picture"),
        says(
            "Each new pixel is the **mean** of the block of `k` × `k` old pixels that it covers,",
            mistake="You picked the first pixel",
        ),
        says("for each color by itself,", mistake="so the picture turned gray"),
        says("rounded to the nearest whole number,", mistake="You cut the digits off"),
        says("once, at the end.", mistake="You rounded twice"),
        context("(No mean ends in exactly one half.)"),
        paragraph(),
        context("**Example.** One color, two rows, four columns, `k = 2`."),
        example("""
tiny = np.array([[[10], [20], [200], [255]], [[30], [42], [255], [250]]], dtype=np.uint8)  # (2, 4, 1)
print("left block ", tiny[:, :2, 0].ravel(), "mean", tiny[:, :2].mean())
print("right block", tiny[:, 2:, 0].ravel(), "mean", tiny[:, 2:].mean())
"""),
        context("The result is 26 and 240, of shape (1, 2, 1)."),
        says("Beware: 200 + 255 is 199 in `uint8`.", mistake="Your sums ran over 255"),
        says(
            "**Write** `shrink(picture, k)` for a `uint8` picture `(h, w, c)` whose height and width are multiples of "
            "`k`.",
            mistake="You averaged pixels that lie far apart",
        ),
        says(
            "Return whole numbers, shape `(h/k, w/k, c)`; `uint8` is the usual choice.",
            mistake="The means are right but not whole numbers",
        ),
    ],
    hints=[
        "With loops: for new row `i` and column `j` the block is `picture[i*k:(i+1)*k, j*k:(j+1)*k]`. What do you do "
        "with its two first axes, and what with the third?",
        "`.mean(axis=(0, 1))` of a block computes with floats, so nothing wraps round. Round with `np.round` before you "
        "turn the result into `uint8`, which would cut the digits off.",
    ],
    draw=draw_picture,
    parts=[
        part(
            "two blocks",
            public_only=True,
            inputs=[(np.array([[[10], [20], [200], [255]], [[30], [47], [255], [251]]], dtype=np.uint8), 2)],
        ),
        part("colors", weight=2, k=between(2, 4), c=3),
        part("a single color", k=between(2, 4), c=1),
        part("blocks of one pixel", k=1, c=3),
        part("a single block", k=between(2, 4), c=one_of(1, 3), rows=1, columns=1),
    ],
    own=lambda g: (g.integers(0, 63, (2, 4, 1), dtype=np.uint8) * 4 + 3, 2),
    own_says="A picture of your own to shrink by hand, and k",
    mistakes={
        "You picked the first pixel of each block: the fault of the lesson's striped roof. Take the mean of all k × k.": (
            "means = blocks[:, 0, :, 0]"
        ),
        "You picked one pixel in the middle of each block, which is `nearest`. Take the mean of all k × k.": (
            "means = blocks[:, k // 2, :, k // 2]"
        ),
        "Your sums ran over 255 and started again at 0. Add as floats: `.mean()` does, or `picture.astype(float)`.": (
            "means = blocks.sum(axis=(1, 3), dtype=np.uint8) / k**2"
        ),
        "You cut the digits off (26.8 became 26), so the picture darkens. Round with `np.round` before `uint8`.": (
            "return means.astype(np.uint8)"
        ),
        "You rounded twice, along one axis and then along the other. Round once, the mean of all k × k.": [
            "means = np.round(blocks.mean(axis=1)).mean(axis=2)",
            "means = np.round(blocks.mean(axis=3)).mean(axis=1)",
        ],
        "The means are right but not whole numbers: round them, then turn them into `uint8`.": "return means",
        "These are sums. Divide by the number of pixels of a block, k².": "return blocks.sum(axis=(1, 3))",
        "You divided by k. A block has k² pixels.": "means = blocks.sum(axis=(1, 3)) / k\nreturn np.round(means)",
        "You averaged the colors too, so the picture turned gray. The mean goes over rows and columns only.": (
            "means = blocks.mean(axis=(1, 3, 4))[..., None].repeat(c, axis=2)"
        ),
        "You averaged the colors away. The mean goes over rows and columns of a block; the last axis stays.": (
            "means = blocks.mean(axis=(1, 3, 4))"
        ),
        "You averaged pixels that lie far apart. In the `reshape`, k comes *after* h/k: a block is k neighbors.": (
            "blocks = picture.reshape(k, h // k, k, w // k, c)\nmeans = blocks.mean(axis=(0, 2))"
        ),
        "You took the brightest pixel of each block. That is max pooling (lesson cnn); the mean is wanted.": (
            "means = blocks.max(axis=(1, 3))"
        ),
        "You always rounded up. Round to the nearest whole number: `np.round`.": "return np.ceil(means).astype(np.uint8)",
        "You took the median of each block. The mean is wanted.": "means = np.median(blocks, axis=(1, 3))",
    },
    praise="Every old pixel counts once: this is Pillow's BOX filter, up to its rounding.",
)


@right(shrinking)
def shrink_block_by_block(picture, k):
    rows = []
    for top in range(0, picture.shape[0], k):
        bands = [picture[top : top + k, left : left + k] for left in range(0, picture.shape[1], k)]
        rows.append([np.rint(block.mean(axis=(0, 1))) for block in bands])
    return np.array(rows).astype(int)


@right(shrinking)
def shrink_axis_by_axis(picture, k):
    h, w, c = picture.shape
    lower = picture.astype(float).reshape(h // k, k, w, c).mean(axis=1)
    return np.floor(lower.reshape(h // k, w // k, k, c).mean(axis=2) + 0.5)


# ---------------------------------------------------------------- 2
def edge_strength(gray):
    """Length of Sobel's gradient, borders repeated: (h, w) → (h, w)."""
    h, w = gray.shape
    p = np.pad(gray, 1, mode="edge")
    right = np.zeros((h, w))
    down = np.zeros((h, w))
    for i, weight in enumerate((1, 2, 1)):
        right += weight * (p[i : i + h, 2:] - p[i : i + h, :w])
        down += weight * (p[2:, i : i + w] - p[:h, i : i + w])
    return np.sqrt(right**2 + down**2)


def draw_gray(g, h, w):
    return (g.random((h, w)).round(3),)


def draw_dot(g):
    """One bright pixel, at a border or a corner."""
    gray = np.full(g.integers(4, 8, 2), 0.25)
    gray[g.choice([0, -1, 2]), g.choice([0, -1, 1])] = 1
    return (gray,)


def draw_line(g):
    """One row or one column."""
    return (g.random(g.permutation([1, g.integers(3, 8)])).round(3),)


edges = exercise(
    "images.2",
    edge_strength,
    title="How strong is the edge?",
    points=2,
    difficulty=2,
    minutes=12,
    statement=[
        says(
            "Sobel's kernel finds what gets brighter towards the right; its transpose, what gets brighter downwards:",
            mistake="You have the change downwards only",
        ),
        says(
            r"$$K = \begin{pmatrix}1&0&-1\\2&0&-2\\1&0&-1\end{pmatrix} \qquad "
            r"\text{strength} = \sqrt{\text{right}^2 + \text{down}^2}$$",
            mistake="The middle row counts once",
        ),
        says("The result has the size of the picture:", mistake="Your result has lost its border"),
        says('repeat its border pixels once on each side (`np.pad(…, mode="edge")`).', mistake="You padded with zeros"),
        example("""
corner = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 1.0]])  # one bright pixel
padded = np.pad(corner, 1, mode="edge")
print(padded)
"""),
        context(
            "**Example.** In the middle of `corner`, only the neighbor at the lower right counts: it adds 1 to *right* "
            "and 1 to *down*. The strength there is √2 ≈ 1.414. At the lower right pixel itself both are 3, and the "
            "strength is √18 ≈ 4.243."
        ),
        says("**Write** `edge_strength(gray)` for floats `(h, w)`.", mistake="That is the squared strength"),
        says("Return floats `(h, w)`.", ignored="return np.sqrt(right**2 + down**2).astype(int)"),
        context("(The sign of *right* and *down* does not matter: both are squared.)"),
    ],
    hints=[
        "Pad once. Then the neighbors of all pixels at once are slices of the padded picture: `p[0:h, 2:]` holds, for "
        "every pixel, the one at its upper right.",
        "*right* is the sum over three rows, weighted 1, 2, 1, of right neighbor minus left neighbor. *down* is the "
        "same with rows and columns exchanged. End with `np.sqrt(right**2 + down**2)`.",
    ],
    draw=draw_gray,
    parts=[
        part(
            "small pictures",
            public_only=True,
            inputs=[
                (np.array([[0.0, 0.5, 0.0, 1.0], [0.0, 0.0, 1.0, 0.25], [0.5, 0.0, 0.0, 1.0]]),),
                (np.full((3, 5), 0.5),),
            ],
        ),
        part("a picture", weight=2, h=between(4, 8), w=between(4, 8)),
        part("the border", draw=draw_dot),
        part("one row or one column", draw=draw_line),
    ],
    own=lambda g: (g.integers(0, 5, (3, 3)) / 4,),
    own_says="A picture of your own to try by hand",
    mistakes={
        "You added the two absolute values. The length of an arrow is √(right² + down²).": (
            "return np.abs(right) + np.abs(down)"
        ),
        "You added the two gradients with their signs, so opposite ones cancel. Square them, add, take the root.": [
            "return right + down",
            "return -right - down",
        ],
        "That is the squared strength: take the square root.": "return right**2 + down**2",
        "You cut off the slopes below 0. An edge from bright to dark is an edge too: square the slopes as they are.": [
            "return np.sqrt(np.maximum(right, 0) ** 2 + np.maximum(down, 0) ** 2)",
            "return np.sqrt(np.minimum(right, 0) ** 2 + np.minimum(down, 0) ** 2)",
        ],
        "You compared direct neighbors only. Sobel adds those in the two rows (or columns) beside, weighted 1, 2, 1.": [
            edit("(1, 2, 1)", f"(0, {weight}, 0)") for weight in (4, 2, 1, 0.5)
        ],
        "You have the change towards the right only. Edges that run from left to right need the transposed kernel too.": (
            "return np.abs(right)"
        ),
        "You have the change towards the right only, with its sign. Add the transposed kernel and take the length.": [
            "return right",
            "return -right",
        ],
        "You have the change downwards only. Upright edges need the other kernel too.": [
            "return np.abs(down)",
            "return down",
            "return -down",
        ],
        "Both of your kernels look in the same direction: turned upside down, Sobel's kernel is the same. "
        "*Down* takes the transposed one.": ["return np.sqrt(2 * right**2)", "return np.sqrt(2 * down**2)"],
        "You padded with zeros, so the picture gets a false frame of edges. Repeat its border: `mode='edge'`.": (
            edit('mode="edge"', 'mode="constant"')
        ),
        "You mirrored the border without repeating it (`reflect`). `mode='edge'` is wanted.": (
            edit('mode="edge"', 'mode="reflect"')
        ),
        "At the border you compare with the opposite side (`np.roll` or `wrap`). Repeat the border: `mode='edge'`.": (
            edit('mode="edge"', 'mode="wrap"')
        ),
        "Your result has lost its border. Pad the picture by one pixel on each side first.": (
            "return np.sqrt(right**2 + down**2)[1:-1, 1:-1]"
        ),
        "The middle row counts once in yours. Sobel counts it twice: 1, 2, 1. (Yours is Prewitt's kernel.)": (
            edit("(1, 2, 1)", "(1, 1, 1)")
        ),
        "You divided by the largest strength. Useful to look at, but not wanted here.": (
            "return np.sqrt(right**2 + down**2) / np.sqrt(right**2 + down**2).max()"
        ),
        "`np.gradient` compares two neighbors only. Sobel also takes in the rows above and below.": (
            lambda gray: np.hypot(*np.gradient(gray))
        ),
        "You turned the gray values into whole numbers, so that everything below 1 became 0. Keep the floats.": (
            'p = np.pad(gray, 1, mode="edge").astype(int)'
        ),
    },
    praise="Right at the borders too: the same as scipy.ndimage.sobel with mode='nearest'.",
)


@right(edges)
def two_filters(gray):
    smooth = np.pad(gray, 1, mode="edge")
    smooth_rows = smooth[:-2] + 2 * smooth[1:-1] + smooth[2:]
    smooth_columns = smooth[:, :-2] + 2 * smooth[:, 1:-1] + smooth[:, 2:]
    return np.hypot(smooth_rows[:, 2:] - smooth_rows[:, :-2], smooth_columns[2:] - smooth_columns[:-2])


@right(edges)
def pixel_by_pixel(gray):
    kernel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
    h, w = gray.shape
    strength = []
    for i in range(h):
        rows = np.clip([i - 1, i, i + 1], 0, h - 1)
        patches = [gray[np.ix_(rows, np.clip([j - 1, j, j + 1], 0, w - 1))] for j in range(w)]
        strength.append([((patch * kernel).sum() ** 2 + (patch * kernel.T).sum() ** 2) ** 0.5 for patch in patches])
    return strength


# ---------------------------------------------------------------- 3
def mirror_scene(picture, boxes, caption):
    """Picture, boxes and caption as seen in a mirror."""
    width = picture.shape[1]
    left, top, right, bottom = boxes.T
    mirrored = np.stack([width - right, top, width - left, bottom], axis=1)
    other = {"left": "right", "right": "left"}
    words = [other.get(word, word) for word in caption.split(" ")]
    return picture[:, ::-1], mirrored, " ".join(words)


def one_kind(caption, count=-1):
    """One word exchanged for the other: the first that is found, or all of its kind."""
    if "left" in caption:
        return caption.replace("left", "right", count)
    return caption.replace("right", "left", count)


def one_word(caption):
    """The same for whole words."""
    words = caption.split(" ")
    old, new = ("left", "right") if "left" in words else ("right", "left")
    return " ".join(new if word == old else word for word in words)


def with_caption(picture, boxes, caption):
    """The right scene with another caption."""
    return *mirror_scene(picture, boxes, caption)[:2], caption


THINGS = ["a bright star", "the upright box", "a tiny cross", "the leftover disc", "a copyright sign", "the red dot"]
PLACES = ["to the left of", "to the right of", "far left of", "right of", "above", "near the left end of"]


def draw_scene(g, boxes, phrases, places=PLACES, caption=None):
    """A picture, boxes inside it, and a caption of things and where they are."""
    h = int(g.integers(4, 9))
    w = int(g.choice([n for n in range(4, 9) if n != h]))
    corner = g.integers(0, (w - 2, h - 2), (boxes, 2))
    found = np.concatenate([corner, corner + g.integers(1, 3, (boxes, 2))], axis=1)
    if caption is None:
        words = [str(word) for _ in range(phrases) for word in (g.choice(THINGS), g.choice(places))]
        caption = " ".join([*words, str(g.choice(THINGS))])
    return g.integers(0, 256, (h, w, 3), dtype=np.uint8), found, caption


def draw_one_word(g, caption):
    return draw_scene(g, 1, 0, caption=caption)


def draw_own_scene(g):
    side = ("left", "right")[g.integers(2)]
    box = [int(g.integers(0, 2)), 0, int(g.integers(2, 5)), 2]
    return g.integers(0, 256, (2, 4, 3), dtype=np.uint8), np.array([box]), f"a bright box {side} of it"


def draw_marked_scene():
    """The lesson's first scene: a colored patch at the left, a dark dot below it."""
    picture = np.zeros((3, 6, 3), np.uint8)
    picture[0, :2] = (250, 0, 40)
    picture[1, 1] = (9, 8, 7)
    return picture, np.array([[0, 0, 2, 2]]), "a bright box to the left of a star on the right"


def draw_captioned(seed, caption, boxes):
    return draw_scene(np.random.default_rng(seed), boxes, 0, caption=caption)


mirroring = exercise(
    "images.3",
    mirror_scene,
    title="Mirror the whole scene",
    points=3,
    difficulty=2,
    minutes=15,
    statement=[
        context("A scene is a picture, the boxes round its objects, and a caption."),
        says(
            "If you mirror the picture alone, the boxes point at empty ground and the caption lies. Mirror all three.",
            mistake="Only the picture is mirrored",
        ),
        paragraph(),
        says(
            "A box is (left, top, right, bottom): object pixels are `picture[top:bottom, left:right]`.",
            mistake="Your boxes are one pixel too far left",
        ),
        says(
            "In the caption only the words *left* and *right* depend on the side.",
            mistake="You swapped letters inside other words",
        ),
        example("""
picture = np.zeros((2, 6, 3), np.uint8)
picture[:, 0:2] = 255
boxes = np.array([[0, 0, 2, 2]])
print(picture[..., 0], "a white thing in the box", boxes[0])
"""),
        context("**Example.** Mirrored, the white thing fills columns 4 and 5. Its box is (4, 0, 6, 2):"),
        says("the first number must stay the smaller one.", mistake="Your boxes are inside out"),
        says(
            '"a box to the left of a star" becomes "a box to the right of a star".',
            mistake="The caption stayed as it was",
        ),
        says(
            "**Write** `mirror_scene(picture, boxes, caption)` for `(h, w, 3)`, `(n, 4)` with `n` of at least 1, and words "
            "in small letters with one space between them.",
            mistake="You reversed the colors",
        ),
        says("Return the three, mirrored.", ignored="return picture[:, ::-1], mirrored"),
        says(
            "Leave the inputs as they are.",
            ignored=edit(
                "mirrored = np.stack([width - right, top, width - left, bottom], axis=1)",
                "boxes[:, [0, 2]] = width - boxes[:, [2, 0]]\n    mirrored = boxes",
            ),
        ),
    ],
    hints=[
        "A point at distance `x` from the left edge ends up at distance `x` from the right edge. Which edge of the box is "
        'on the left afterwards? And what does `caption.replace("left", "right").replace("right", "left")` do to a '
        '"left"?',
        "The new left is `width - right`, the new right is `width - left`. Go through the caption word by word with "
        '`{"left": "right", "right": "left"}`.',
    ],
    draw=draw_scene,
    parts=[
        part(
            "four scenes",
            public_only=True,
            inputs=[
                draw_marked_scene(),
                draw_captioned(1, "a red disc in the top right corner and a bright star to the left of it", 2),
                draw_captioned(2, "the picture shows a tiny cross", 1),
                draw_captioned(3, "here is a star right of a box left of a disc on the right", 3),
            ],
        ),
        part("one box", weight=2, boxes=1, phrases=2),
        part("several boxes and a long caption", weight=2, boxes=between(2, 4), phrases=3),
        part("a caption without sides", boxes=1, phrases=1, places=["above", "behind"]),
        part("a caption of one word", draw=draw_one_word, caption=one_of("left", "right", "bright", "leftover")),
    ],
    own=draw_own_scene,
    own_says="A scene of your own: picture, boxes, caption",
    names=("picture", "boxes", "caption"),
    mistakes={
        "Only the picture is mirrored: the boxes point at empty ground, and the caption lies.": (
            "return picture[:, ::-1], boxes, caption"
        ),
        "The boxes stayed where they were, so they point at the wrong places of the mirrored picture.": (
            'return picture[:, ::-1], boxes, " ".join(words)'
        ),
        "The caption stayed as it was: what was left is right now. A model would learn the words backwards.": (
            "return picture[:, ::-1], mirrored, caption"
        ),
        "Your second `replace` turned the new words back: all say 'left' now. Swap word by word instead.": (
            'words = caption.replace("left", "right").replace("right", "left").split(" ")'
        ),
        "All say 'right' now: one way of the swap is missing, or it was turned back. Swap word by word instead.": [
            'words = caption.replace("right", "left").replace("left", "right").split(" ")',
            'words = caption.replace("left", "right").split(" ")',
            edit('{"left": "right", "right": "left"}', '{"left": "right"}'),
        ],
        "One way of the swap is missing: 'right' becomes 'left', but no 'left' becomes 'right'.": edit(
            '{"left": "right", "right": "left"}', '{"right": "left"}'
        ),
        "A caption may hold both words. Yours exchanges one of them: swap word by word.": [
            lambda picture, boxes, caption: with_caption(picture, boxes, one_kind(caption)),
            lambda picture, boxes, caption: with_caption(picture, boxes, one_kind(caption, 1)),
            lambda picture, boxes, caption: with_caption(picture, boxes, one_word(caption)),
        ],
        "You swapped letters inside other words ('bright' became 'bleft'). Only whole words change.": (
            'words = caption.replace("left", "?").replace("right", "left").replace("?", "right").split(" ")'
        ),
        "Your boxes are inside out: left is larger than right. The old *right* edge becomes the new left one.": (
            "mirrored = np.stack([width - left, top, width - right, bottom], axis=1)"
        ),
        "Your boxes are one pixel too far left. `right` lies behind the last pixel, so the new left is w - right.": (
            "mirrored = np.stack([width - 1 - right, top, width - 1 - left, bottom], axis=1)"
        ),
        "You mirrored the boxes with the height of the picture. Its width is `picture.shape[1]`.": (
            "width = picture.shape[0]"
        ),
        "You turned the scene upside down. A mirror exchanges left and right: the second axis of `(h, w, c)`.": (
            "mirrored = np.stack([left, len(picture) - bottom, right, len(picture) - top], axis=1)\n"
            'return picture[::-1], mirrored, " ".join(words)'
        ),
        "The picture is upside down. Rows are the first axis of `(h, w, c)`, columns the second: `picture[:, ::-1]`.": (
            'return picture[::-1], mirrored, " ".join(words)'
        ),
        "The picture is turned by half a circle. Reverse its columns only: `picture[:, ::-1]`.": (
            'return picture[::-1, ::-1], mirrored, " ".join(words)'
        ),
        "You reversed the colors (red became blue). The columns are the second axis: `picture[:, ::-1]`.": (
            'return picture[..., ::-1], mirrored, " ".join(words)'
        ),
        "Nothing is mirrored: picture, boxes and caption are as they came.": "return picture, boxes, caption",
        "Only the caption is mirrored. Picture and boxes are as they came.": ('return picture, boxes, " ".join(words)'),
        "The picture itself is not mirrored.": 'return picture, mirrored, " ".join(words)',
    },
    praise="Picture, boxes and words agree again. Every augmentation of several modalities needs this care.",
)


@right(mirroring)
def mirror_with_a_pattern(picture, boxes, caption):
    import re

    found = boxes.copy()
    found[:, 0] = picture.shape[1] - boxes[:, 2]
    found[:, 2] = picture.shape[1] - boxes[:, 0]
    text = re.sub(r"\b(left|right)\b", lambda side: "left" if side[0] == "right" else "right", caption)
    return np.flip(picture, axis=1), found, text


@right(mirroring)
def mirror_by_columns(picture, boxes, caption):
    columns = [picture[:, j] for j in reversed(range(picture.shape[1]))]
    turned = [(len(columns) - right, top, len(columns) - left, bottom) for left, top, right, bottom in boxes]
    words = ["right" if word == "left" else "left" if word == "right" else word for word in caption.split()]
    return np.stack(columns, axis=1), np.array(turned), " ".join(words)


# ---------------------------------------------------------------- blanks of the lesson
@blank(
    "images.blank.1",
    title="Channels first",
    inputs=[
        (np.arange(24).reshape(2, 4, 3),),
        (np.arange(12).reshape(3, 4, 1),),
        (np.arange(4.0).reshape(1, 1, 4),),
    ],
    mistakes=[
        (
            lambda picture: picture.reshape(picture.shape[2], *picture.shape[:2]),
            "The shape is right, but `reshape` keeps the numbers in their old order: move the axis instead.",
        ),
        (
            lambda picture: np.swapaxes(picture, 0, 2),
            "You exchanged height and channels (`.T` does so too), so the picture lies on its side: height comes before width.",
        ),
        (lambda picture: np.moveaxis(picture, 0, -1), "You moved the height to the end. The channels go to the front."),
        (lambda picture: picture, "Nothing has moved: the channels are still last."),
    ],
    what="The picture",
)
def channels_first(picture):
    return np.moveaxis(picture, -1, 0)


@blank(
    "images.blank.2",
    title="Centers of new pixels",
    inputs=[(8, 4), (4, 8), (7, 3), (5, 1)],
    mistakes=[
        (lambda n, new: np.arange(new) * n / new, "These are left edges: half a new pixel is missing to the center."),
        (lambda n, new: np.arange(new) * n / new + 0.5, "You added half an *old* pixel: add ½ before you multiply."),
        (
            lambda n, new: (np.arange(new) + 0.5) * new / n,
            "The factor is upside down: a new pixel is n / new old pixels wide.",
        ),
        (lambda n, new: np.arange(new) + 0.5, "These are counted in new pixels: multiply by n / new."),
        (
            lambda n, new: np.linspace(0, n, new),
            "The first and last center lie on the border. They are half a new pixel inside.",
        ),
    ],
    what="The centers",
)
def centers(n, new):
    return (np.arange(new) + 0.5) * n / new


def draw_blank_sets():
    g = np.random.default_rng(0)
    for n, m, c in ((3, 2, 3), (2, 4, 3), (4, 1, 1)):
        yield g.random((n, 3, 4, c)).round(2), (g.random((m, 3, 4, c)) / 2).round(2)


def _own_numbers(x):
    return (x - x.mean(axis=(0, 1, 2))) / x.std(axis=(0, 1, 2))


def _by(train, test, mean, std):
    return (train - mean) / std, (test - mean) / std


@blank(
    "images.blank.3",
    title="Normalization by the training set",
    inputs=draw_blank_sets,
    mistakes=[
        (
            lambda train, test: (_own_numbers(train), _own_numbers(test)),
            "The test set is normalized by its own numbers. Use the training set's for both.",
        ),
        (
            lambda train, test: _by(
                train, test, np.append(train, test, axis=0).mean(axis=(0, 1, 2)), train.std(axis=(0, 1, 2))
            ),
            "Your mean is taken over both sets. The test set must not enter it.",
        ),
        (
            lambda train, test: _by(
                train,
                test,
                np.append(train, test, axis=0).mean(axis=(0, 1, 2)),
                np.append(train, test, axis=0).std(axis=(0, 1, 2)),
            ),
            "Mean and standard deviation are taken over both sets. The test set must not enter them.",
        ),
        (
            lambda train, test: _by(train, test, train.mean(), train.std()),
            "One mean for all channels: each channel has its own, so leave the last axis out.",
        ),
        (
            lambda train, test: _by(train, test, train.mean(axis=0), train.std(axis=0)),
            "A mean for each pixel: take it over rows and columns as well, axis=(0, 1, 2).",
        ),
        (
            lambda train, test: _by(train, test, train.mean(axis=(0, 1, 2)), train.var(axis=(0, 1, 2))),
            "You divided by the variance: the standard deviation is its root.",
        ),
        (
            lambda train, test: _by(train, test, train.mean(axis=(0, 1, 2)), 1),
            "The mean is subtracted, but nothing is divided by the standard deviation.",
        ),
        (
            lambda train, test: (_own_numbers(train), test),
            "The test set is still as it was: normalize it with the training set's numbers.",
        ),
    ],
    what="The sets",
)
def normalize_sets(train, test):
    mean = train.mean(axis=(0, 1, 2))  # (c,)
    std = train.std(axis=(0, 1, 2))
    return (train - mean) / std, (test - mean) / std


def draw_blank_kernels():
    g = np.random.default_rng(1)
    yield np.eye(4), np.arange(9.0).reshape(3, 3)
    for h, w in ((3, 5), (5, 3), (1, 4)):
        yield g.integers(0, 9, (h, w)).astype(float), g.integers(-3, 4, (3, 3))


def _slid(X, K):
    P = np.pad(X, 1, mode="edge")
    return sum(K[m, n] * P[m : m + X.shape[0], n : n + X.shape[1]] for m in range(3) for n in range(3))


@blank(
    "images.blank.4",
    title="Sliding a kernel",
    inputs=draw_blank_kernels,
    mistakes=[
        (
            lambda X, K: _slid(X, K[::-1, ::-1]),
            "Your kernel is turned by half a circle: that is the convolution of mathematics. Here its entry (0, 0) meets the "
            "neighbor above on the left.",
        ),
        (lambda X, K: _slid(X, K.T), "Rows and columns of the kernel are exchanged: m goes down, n goes to the right."),
        (lambda X, K: _slid(X, np.ones((3, 3))), "You added the neighbors without the kernel's weights."),
        (lambda X, K: K[1, 1] * X, "Only the middle of the kernel is used: all nine entries count."),
        (lambda X, K: _slid(X, K) / 9, "You took the mean: here the nine products are added."),
        (
            lambda X, K: K[2, 2] * np.pad(X, 1, mode="edge")[2:, 2:],
            "Only the last entry of the kernel is left: *add* to Y in the loop.",
        ),
        (lambda X, K: np.zeros(X.shape), "Everything is 0: nothing is added to Y."),
    ],
    what="The result",
)
def correlate(X, K):
    h, w = X.shape
    P = np.pad(X, 1, mode="edge")  # (h + 2, w + 2)
    Y = np.zeros((h, w))
    for m in range(3):
        for n in range(3):
            Y = Y + K[m, n] * P[m : m + h, n : n + w]
    return Y


# ---------------------------------------------------------------- an open challenge
SIDE, NUM_TRAIN, NUM_TEST = 24, 400, 600
COLORS = np.array([[210, 60, 50], [240, 200, 70], [40, 60, 150], [80, 170, 90]])  # of circle, square, triangle, cross


def draw_colored_shapes(g, n, any_color):
    """n pictures (n, 24, 24, 3) of a shape on a plain ground, in noise, and its number (n,).

    Without `any_color`, every shape has its own color, and the ground is always the same.
    """
    shape = g.integers(4, size=n)
    radius = g.uniform(4.5, 8.5, (n, 1, 1))
    center_y, center_x = g.uniform(9.5, 13.5, (2, n, 1, 1))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    dy = (rows - center_y) / radius  # (n, 24, 24)
    dx = (columns - center_x) / radius
    near = np.minimum(np.abs(dx), np.abs(dy))
    far = np.maximum(np.abs(dx), np.abs(dy))
    circle = np.hypot(dx, dy) < 1
    square = far < 0.85
    triangle = (dy < 0.7) & (np.abs(dx) < 0.55 * (dy + 1))
    cross = (near < 0.35) & (far < 1)
    inside = np.stack([circle, square, triangle, cross])[shape, np.arange(n)]
    if any_color:
        color = COLORS[g.integers(4, size=n)]
        ground = g.uniform(60, 200, (n, 1)) * np.ones(3)
    else:
        color = COLORS[shape]
        ground = np.full((n, 3), 120.0)
    pictures = np.where(inside[..., None], color[:, None, None], ground[:, None, None])
    pictures = pictures + g.normal(0, 14, pictures.shape)
    return np.clip(pictures, 0, 255).astype(np.uint8), shape


def draw_shape_challenge(g):
    """Pictures with labels in which color tells the shape, and pictures without labels in which it does not."""
    train, train_labels = draw_colored_shapes(g, NUM_TRAIN, any_color=False)
    test, test_labels = draw_colored_shapes(g, NUM_TEST, any_color=True)
    return Drawn({"train": train, "train_labels": train_labels, "test": test}, test_labels)


def shape_accuracy(handed_in, inputs, labels):
    """Share of the hidden labels that were predicted."""
    return np.mean(handed_in["predictions"] == labels)


challenge(
    "images.challenge",
    title="Which shape, whatever its color?",
    statement=[
        "Each picture holds a circle (0), a square (1), a triangle (2) or a cross (3), 24 × 24 pixels with noise.",
        "`train` has 400 of them with `train_labels`; there every shape wears a color of its own, on the same gray ground.",
        "`test` has 600 without labels; there any shape has any color, and the ground may be darker or lighter. Predict",
        "the labels of `test`, in any way. Trained on the pictures as they are, or in gray, the network of the lesson",
        "hardly does better than chance (0.25). What has to go from the pictures before they are learned, and what stays?",
    ],
    draw=draw_shape_challenge,
    score=shape_accuracy,
    hand_in={"predictions": Array((NUM_TEST,), "integer")},
    to_beat=0.5,
    points_by_score={0.5: 1, 0.75: 2, 0.9: 3},
    minutes=60,
    score_name="accuracy",
)
