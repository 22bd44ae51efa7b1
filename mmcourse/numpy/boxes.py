"""Boxes: two formats, intersection over union, its generalization with gradient, and non-maximum suppression.

A box is four numbers on the last axis. "xyxy": left, top, right, bottom. "cxcywh": center x, center y, width, height.
Nothing in the numbers tells which: a box of one format read as the other is the most common mistake of detection.
"""

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

SMALLEST_AREA = 1e-9  # a division by an area of zero gives 0, never NaN


def cxcywh_to_xyxy(boxes: Float[ndarray, "*rows 4"]) -> Float[ndarray, "*rows 4"]:
    """(center x, center y, width, height) → (left, top, right, bottom)."""
    center, size = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([center - size / 2, center + size / 2], axis=-1)


def cxcywh_to_xyxy_backward(dcorners: Float[ndarray, "*rows 4"]) -> Float[ndarray, "*rows 4"]:
    """Gradient to (center x, center y, width, height)."""
    dfirst, dlast = dcorners[..., :2], dcorners[..., 2:]
    return np.concatenate([dfirst + dlast, (dlast - dfirst) / 2], axis=-1)


def xyxy_to_cxcywh(boxes: Float[ndarray, "*rows 4"]) -> Float[ndarray, "*rows 4"]:
    """(left, top, right, bottom) → (center x, center y, width, height)."""
    first, last = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([(first + last) / 2, last - first], axis=-1)


def check_xyxy(name: str, boxes: Float[ndarray, "*rows 4"]) -> None:
    """A ValueError for a box whose right is left of its left, whose bottom is above its top, or that holds NaN."""
    valid = (boxes[..., 2:] >= boxes[..., :2]).all(axis=-1)
    if not valid.all():
        first = boxes[~valid][0].tolist()
        raise ValueError(
            f"{name}: expected (left, top, right, bottom) with left ≤ right and top ≤ bottom, got {first}; "
            "cxcywh_to_xyxy(boxes) turns centers and sizes into corners"
        )


def box_area(boxes: Float[ndarray, "*rows 4"]) -> Float[ndarray, "*rows"]:
    """Areas of xyxy boxes."""
    size = boxes[..., 2:] - boxes[..., :2]
    return size[..., 0] * size[..., 1]


def iou(a: Float[ndarray, "*rows_a 4"], b: Float[ndarray, "*rows_b 4"]) -> Float[ndarray, "*rows"]:
    """Intersection over union of xyxy boxes, one of `a` with one of `b`; leading axes are broadcast.

    1 for equal boxes, 0 for boxes that do not touch, however far apart: there its gradient is 0 too.
    """
    check_xyxy("a", a)
    check_xyxy("b", b)
    corner_min = np.maximum(a[..., :2], b[..., :2])
    corner_max = np.minimum(a[..., 2:], b[..., 2:])
    overlap = np.maximum(corner_max - corner_min, 0)  # without 0, two negative sides would make a positive area
    intersection = overlap[..., 0] * overlap[..., 1]
    union = box_area(a) + box_area(b) - intersection
    return intersection / np.maximum(union, SMALLEST_AREA)


def giou(a: Float[ndarray, "*rows_a 4"], b: Float[ndarray, "*rows_b 4"]) -> Float[ndarray, "*rows"]:
    """Generalized IoU of xyxy boxes: IoU − (area of the enclosing box − union) / area of the enclosing box.

    From −1 to 1. It falls further while boxes that do not touch move apart, so its gradient shows the way. Leading axes
    are broadcast. (Rezatofighi et al. 2019, arXiv 1902.09630.)
    """
    check_xyxy("a", a)
    check_xyxy("b", b)
    corner_min = np.maximum(a[..., :2], b[..., :2])
    corner_max = np.minimum(a[..., 2:], b[..., 2:])
    overlap = np.maximum(corner_max - corner_min, 0)
    intersection = overlap[..., 0] * overlap[..., 1]
    union = box_area(a) + box_area(b) - intersection
    enclosing_size = np.maximum(a[..., 2:], b[..., 2:]) - np.minimum(a[..., :2], b[..., :2])
    enclosing = np.maximum(enclosing_size[..., 0] * enclosing_size[..., 1], SMALLEST_AREA)
    return intersection / np.maximum(union, SMALLEST_AREA) - (enclosing - union) / enclosing


def giou_backward(
    dy: Float[ndarray, "*rows"], a: Float[ndarray, "*rows 4"], b: Float[ndarray, "*rows 4"]
) -> tuple[ndarray, ndarray]:
    """Gradients of a and b, both (…, 4), from giou = I/U − 1 + U/C, areas of intersection, union and enclosing box.

    Each of the four sides moves the box's own area, and that of the intersection or of the enclosing box: a side is the
    inner one of the two or the outer one, never both.
    """
    corner_min = np.maximum(a[..., :2], b[..., :2])
    corner_max = np.minimum(a[..., 2:], b[..., 2:])
    overlap = np.maximum(corner_max - corner_min, 0)  # (…, 2): width, height
    intersection = overlap[..., 0] * overlap[..., 1]
    union = np.maximum(box_area(a) + box_area(b) - intersection, SMALLEST_AREA)
    enclosing_size = np.maximum(a[..., 2:], b[..., 2:]) - np.minimum(a[..., :2], b[..., :2])
    enclosing = np.maximum(enclosing_size[..., 0] * enclosing_size[..., 1], SMALLEST_AREA)
    # union = area a + area b − intersection
    dunion = dy * (1 / enclosing - intersection / union**2)
    dintersection = dy / union - dunion
    denclosing = -dy * union / enclosing**2
    # area = width · height: the gradient of one side is the other
    doverlap = dintersection[..., None] * overlap[..., ::-1] * (overlap > 0)
    denclosing_size = denclosing[..., None] * enclosing_size[..., ::-1]
    gradients = []
    for mine, other in ((a, b), (b, a)):
        size = mine[..., 2:] - mine[..., :2]
        darea = dunion[..., None] * size[..., ::-1]
        first_is_inner = _share(mine[..., :2], other[..., :2])
        last_is_outer = _share(mine[..., 2:], other[..., 2:])
        dfirst = -darea - first_is_inner * doverlap - (1 - first_is_inner) * denclosing_size
        dlast = darea + (1 - last_is_outer) * doverlap + last_is_outer * denclosing_size
        gradients.append(np.concatenate([dfirst, dlast], axis=-1))
    return gradients[0], gradients[1]


def _share(x: ndarray, y: ndarray) -> ndarray:
    """The gradient of max(x, y) to x: 1 where x is larger, 0 where it is smaller, half of it where they are equal."""
    return np.where(x == y, 0.5, x > y)


def pairwise_iou(a: Float[ndarray, "*batch n 4"], b: Float[ndarray, "*batch m 4"]) -> Float[ndarray, "*batch n m"]:
    """IoU of every box of `a` with every box of `b`."""
    return iou(a[..., :, None, :], b[..., None, :, :])


def pairwise_giou(a: Float[ndarray, "*batch n 4"], b: Float[ndarray, "*batch m 4"]) -> Float[ndarray, "*batch n m"]:
    """Generalized IoU of every box of `a` with every box of `b`."""
    return giou(a[..., :, None, :], b[..., None, :, :])


def nms(boxes: Float[ndarray, "n 4"], scores: Float[ndarray, " n"], threshold: float = 0.5) -> Bool[ndarray, " n"]:
    """Non-maximum suppression: from the best score down, keep a box, drop all others that overlap it too much.

    Parameters
    ----------
    boxes : float (n, 4), xyxy, of one class and one picture
    scores : float (n,)
    threshold : a box with a larger IoU than this to a kept box is dropped

    Returns
    -------
    keep : bool (n,), in the order of `boxes`
    """
    overlap = pairwise_iou(boxes, boxes) > threshold  # (n, n)
    keep = np.ones(len(boxes), bool)
    for i in np.argsort(-scores, kind="stable"):
        if keep[i]:
            suppressed = overlap[i].copy()
            suppressed[i] = False
            keep &= ~suppressed
    return keep
