"""Boxes: two formats, intersection over union, its generalization, and non-maximum suppression.

A box is four numbers on the last axis. "xyxy": left, top, right, bottom. "cxcywh": center x, center y, width, height.
Nothing in the numbers tells which: a box of one format read as the other is the most common mistake of detection.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SMALLEST_AREA = 1e-9  # a division by an area of zero gives 0, never NaN


def cxcywh_to_xyxy(boxes: Float[Tensor, "*rows 4"]) -> Float[Tensor, "*rows 4"]:
    """(center x, center y, width, height) → (left, top, right, bottom)."""
    center, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat([center - size / 2, center + size / 2], dim=-1)


def xyxy_to_cxcywh(boxes: Float[Tensor, "*rows 4"]) -> Float[Tensor, "*rows 4"]:
    """(left, top, right, bottom) → (center x, center y, width, height)."""
    first, last = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(first + last) / 2, last - first], dim=-1)


def check_xyxy(name: str, boxes: Float[Tensor, "*rows 4"]) -> None:
    """A ValueError for a box whose right is left of its left, whose bottom is above its top, or that holds NaN."""
    valid = (boxes[..., 2:] >= boxes[..., :2]).all(dim=-1)
    if not bool(valid.all()):
        first = boxes.detach()[~valid][0].tolist()
        raise ValueError(
            f"{name}: expected (left, top, right, bottom) with left ≤ right and top ≤ bottom, got {first}; "
            "cxcywh_to_xyxy(boxes) turns centers and sizes into corners"
        )


def box_area(boxes: Float[Tensor, "*rows 4"]) -> Float[Tensor, "*rows"]:
    """Areas of xyxy boxes."""
    size = boxes[..., 2:] - boxes[..., :2]
    return size[..., 0] * size[..., 1]


def iou(a: Float[Tensor, "*rows_a 4"], b: Float[Tensor, "*rows_b 4"]) -> Float[Tensor, "*rows"]:
    """Intersection over union of xyxy boxes, one of `a` with one of `b`; leading axes are broadcast.

    1 for equal boxes, 0 for boxes that do not touch, however far apart: there its gradient is 0 too.
    """
    check_xyxy("a", a)
    check_xyxy("b", b)
    corner_min = torch.maximum(a[..., :2], b[..., :2])
    corner_max = torch.minimum(a[..., 2:], b[..., 2:])
    overlap = (corner_max - corner_min).clamp(min=0)  # without it, two negative sides would make a positive area
    intersection = overlap[..., 0] * overlap[..., 1]
    union = box_area(a) + box_area(b) - intersection
    return intersection / union.clamp(min=SMALLEST_AREA)


def giou(a: Float[Tensor, "*rows_a 4"], b: Float[Tensor, "*rows_b 4"]) -> Float[Tensor, "*rows"]:
    """Generalized IoU of xyxy boxes: IoU − (area of the enclosing box − union) / area of the enclosing box.

    From −1 to 1. It falls further while boxes that do not touch move apart, so its gradient shows the way. Leading axes
    are broadcast. (Rezatofighi et al. 2019, arXiv 1902.09630.)
    """
    check_xyxy("a", a)
    check_xyxy("b", b)
    overlap = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    intersection = overlap[..., 0] * overlap[..., 1]
    union = box_area(a) + box_area(b) - intersection
    enclosing_size = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    enclosing = (enclosing_size[..., 0] * enclosing_size[..., 1]).clamp(min=SMALLEST_AREA)
    return intersection / union.clamp(min=SMALLEST_AREA) - (enclosing - union) / enclosing


def pairwise_iou(a: Float[Tensor, "*batch n 4"], b: Float[Tensor, "*batch m 4"]) -> Float[Tensor, "*batch n m"]:
    """IoU of every box of `a` with every box of `b`."""
    return iou(a[..., :, None, :], b[..., None, :, :])


def pairwise_giou(a: Float[Tensor, "*batch n 4"], b: Float[Tensor, "*batch m 4"]) -> Float[Tensor, "*batch n m"]:
    """Generalized IoU of every box of `a` with every box of `b`."""
    return giou(a[..., :, None, :], b[..., None, :, :])


def nms(boxes: Float[Tensor, "n 4"], scores: Float[Tensor, " n"], threshold: float = 0.5) -> Bool[Tensor, " n"]:
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
    keep = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    for i in torch.argsort(scores, descending=True, stable=True).tolist():
        if keep[i]:
            suppressed = overlap[i].clone()
            suppressed[i] = False
            keep &= ~suppressed
    return keep
