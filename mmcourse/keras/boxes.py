"""Boxes: two formats, intersection over union, its generalization, and non-maximum suppression.

A box is four numbers on the last axis. "xyxy": left, top, right, bottom. "cxcywh": center x, center y, width, height.
Nothing in the numbers tells which: a box of one format read as the other is the most common mistake of detection.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from keras import ops

SMALLEST_AREA = 1e-9  # a division by an area of zero gives 0, never NaN


def cxcywh_to_xyxy(boxes: Float[Any, "*rows 4"]) -> Float[Any, "*rows 4"]:
    """(center x, center y, width, height) → (left, top, right, bottom)."""
    center, size = boxes[..., :2], boxes[..., 2:]
    return ops.concatenate([center - size / 2, center + size / 2], axis=-1)


def xyxy_to_cxcywh(boxes: Float[Any, "*rows 4"]) -> Float[Any, "*rows 4"]:
    """(left, top, right, bottom) → (center x, center y, width, height)."""
    first, last = boxes[..., :2], boxes[..., 2:]
    return ops.concatenate([(first + last) / 2, last - first], axis=-1)


def check_xyxy(name: str, boxes: Float[Any, "*rows 4"]) -> None:
    """A ValueError for a box whose right is left of its left, whose bottom is above its top, or that holds NaN.

    Call it on data, outside a compiled function: there boxes have no values yet.
    """
    boxes = ops.convert_to_numpy(boxes)
    valid = (boxes[..., 2:] >= boxes[..., :2]).all(axis=-1)
    if not valid.all():
        first = boxes[~valid][0].tolist()
        raise ValueError(
            f"{name}: expected (left, top, right, bottom) with left ≤ right and top ≤ bottom, got {first}; "
            "cxcywh_to_xyxy(boxes) turns centers and sizes into corners"
        )


def box_area(boxes: Float[Any, "*rows 4"]) -> Float[Any, "*rows"]:
    """Areas of xyxy boxes."""
    size = boxes[..., 2:] - boxes[..., :2]
    return size[..., 0] * size[..., 1]


def iou(a: Float[Any, "*rows_a 4"], b: Float[Any, "*rows_b 4"]) -> Float[Any, "*rows"]:
    """Intersection over union of xyxy boxes, one of `a` with one of `b`; leading axes are broadcast.

    1 for equal boxes, 0 for boxes that do not touch, however far apart: there its gradient is 0 too. Boxes are not
    checked here, since a compiled function has no values to check: `check_xyxy` does it before.
    """
    corner_min = ops.maximum(a[..., :2], b[..., :2])
    corner_max = ops.minimum(a[..., 2:], b[..., 2:])
    overlap = ops.relu(corner_max - corner_min)  # without it, two negative sides would make a positive area
    intersection = overlap[..., 0] * overlap[..., 1]
    union = box_area(a) + box_area(b) - intersection
    return intersection / ops.maximum(union, SMALLEST_AREA)


def giou(a: Float[Any, "*rows_a 4"], b: Float[Any, "*rows_b 4"]) -> Float[Any, "*rows"]:
    """Generalized IoU of xyxy boxes: IoU − (area of the enclosing box − union) / area of the enclosing box.

    From −1 to 1. It falls further while boxes that do not touch move apart, so its gradient shows the way. Leading axes
    are broadcast; boxes are not checked, as in `iou`. (Rezatofighi et al. 2019, arXiv 1902.09630.)
    """
    corner_min = ops.maximum(a[..., :2], b[..., :2])
    corner_max = ops.minimum(a[..., 2:], b[..., 2:])
    overlap = ops.relu(corner_max - corner_min)
    intersection = overlap[..., 0] * overlap[..., 1]
    union = box_area(a) + box_area(b) - intersection
    enclosing_size = ops.maximum(a[..., 2:], b[..., 2:]) - ops.minimum(a[..., :2], b[..., :2])
    enclosing = ops.maximum(enclosing_size[..., 0] * enclosing_size[..., 1], SMALLEST_AREA)
    return intersection / ops.maximum(union, SMALLEST_AREA) - (enclosing - union) / enclosing


def pairwise_iou(a: Float[Any, "*batch n 4"], b: Float[Any, "*batch m 4"]) -> Float[Any, "*batch n m"]:
    """IoU of every box of `a` with every box of `b`."""
    return iou(a[..., :, None, :], b[..., None, :, :])


def pairwise_giou(a: Float[Any, "*batch n 4"], b: Float[Any, "*batch m 4"]) -> Float[Any, "*batch n m"]:
    """Generalized IoU of every box of `a` with every box of `b`."""
    return giou(a[..., :, None, :], b[..., None, :, :])


def nms(boxes: Float[Any, "n 4"], scores: Float[Any, " n"], threshold: float = 0.5) -> Bool[Any, " n"]:
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
    overlap = ops.convert_to_numpy(pairwise_iou(boxes, boxes)) > threshold  # (n, n)
    keep = np.ones(len(overlap), bool)
    for i in np.argsort(-ops.convert_to_numpy(scores), kind="stable"):
        if keep[i]:
            suppressed = overlap[i].copy()
            suppressed[i] = False
            keep &= ~suppressed
    return ops.convert_to_tensor(keep)
