"""Set prediction: which query is to find which object, and the loss of that one-to-one matching.

A detector gives a set of boxes, and a picture has a set of objects; neither has an order. So first the queries are
matched with the objects at the least total cost, and only then a loss is taken. (DETR: Carion et al. 2020, arXiv
2005.12872.)
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from mmcourse.torch.boxes import cxcywh_to_xyxy, giou, pairwise_giou

WEIGHTS = (1.0, 5.0, 2.0)  # of class, L1 and GIoU, in the cost and in the loss of DETR


def matching_cost(
    logits: Float[Tensor, "*batch q c"],
    boxes: Float[Tensor, "*batch q 4"],
    labels: Int[Tensor, "*batch m"],
    target_boxes: Float[Tensor, "*batch m 4"],
    weights: tuple[float, float, float] = WEIGHTS,
) -> Float[Tensor, "*batch q m"]:
    """What it costs to match query i with object j: −w₀ p_i(class of j) + w₁ ‖box_i − box_j‖₁ − w₂ GIoU(box_i, box_j).

    The probability itself, not its logarithm: it is at most 1, as the other two terms are about 1, so that no term
    overrules the others. Without the class, two queries at one place would cost the same.

    Parameters
    ----------
    logits : float (…, q, number of classes + 1); the last class is "nothing"
    boxes : float (…, q, 4), cxcywh, as parts of the picture's width and height
    labels : int (…, m)
    target_boxes : float (…, m, 4), cxcywh as well

    Returns
    -------
    cost : float (…, q, m)
    """
    w_class, w_l1, w_giou = weights
    p = logits.softmax(dim=-1)  # (…, q, c)
    index = labels[..., None, :].expand(*p.shape[:-1], labels.shape[-1])  # (…, q, m)
    class_cost = -p.gather(-1, index)
    l1_cost = (boxes[..., :, None, :] - target_boxes[..., None, :, :]).abs().sum(dim=-1)
    giou_cost = -pairwise_giou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(target_boxes))
    return w_class * class_cost + w_l1 * l1_cost + w_giou * giou_cost


def hungarian_matching(
    cost: Float[Tensor, "*batch q m"], num_objects: Int[Tensor, "*batch"] | None = None
) -> Int[Tensor, "*batch q"]:
    """The one-to-one matching of least total cost: for each query the number of its object, −1 for "nothing".

    Nothing is differentiated here: the matching is a choice, not a function with a slope. (Kuhn 1955; SciPy's
    `linear_sum_assignment`.)

    Parameters
    ----------
    cost : float (…, q, m)
    num_objects : int (…), how many of the m objects are real, the first ones; None: all

    Raises
    ------
    ValueError
        For more objects than queries: some could not be found at all.
    """
    *batch, num_queries, most = cost.shape
    table = cost.detach().cpu().double().numpy().reshape(int(np.prod(batch)), num_queries, most)
    counts = np.full(len(table), most) if num_objects is None else num_objects.cpu().numpy().reshape(-1)
    if len(counts) and counts.max() > num_queries:
        raise ValueError(
            f"num_objects: expected at most {num_queries}, one for each query, got {counts.max()} objects in one "
            "picture; give the model more queries"
        )
    matched = np.full((len(table), num_queries), -1)
    for row, cost_of_picture, count in zip(matched, table, counts, strict=True):
        queries, objects = linear_sum_assignment(cost_of_picture[:, :count])
        row[queries] = objects
    return torch.from_numpy(matched.reshape(*batch, num_queries)).to(cost.device)


def set_prediction_loss(
    logits: Float[Tensor, "*batch q c"],
    boxes: Float[Tensor, "*batch q 4"],
    labels: Int[Tensor, "*batch m"],
    target_boxes: Float[Tensor, "*batch m 4"],
    matched: Int[Tensor, "*batch q"],
    no_object_weight: float = 0.1,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """Class, L1 and GIoU losses of matched queries; a query without an object is only to say "nothing".

    Parameters
    ----------
    logits, boxes, labels, target_boxes : as in `matching_cost`; objects that no query is matched with are padding
    matched : int (…, q), for each query the number of its object, −1 for "nothing"
    no_object_weight : weight of a query without an object in the class loss: there are many more of these

    Returns
    -------
    class loss, a weighted mean over all queries; L1 and 1 − GIoU, sums over matched queries divided by their number
    """
    found = matched >= 0  # (…, q)
    nothing = torch.full_like(matched, logits.shape[-1] - 1)
    if labels.shape[-1]:
        wanted = torch.where(found, labels.gather(-1, matched.clamp(min=0)), nothing)
        index = matched.clamp(min=0)[..., None].expand(*matched.shape, 4)
        wanted_boxes = target_boxes.gather(-2, index)  # (…, q, 4)
    else:
        wanted, wanted_boxes = nothing, boxes.detach()
    class_weight = torch.full_like(logits[..., 0], no_object_weight).masked_fill(found, 1.0)
    nats = F.cross_entropy(logits.flatten(0, -2), wanted.flatten(), reduction="none").unflatten(0, matched.shape)
    class_loss = (class_weight * nats).sum() / class_weight.sum()
    count = found.sum().clamp(min=1)
    l1_loss = (boxes - wanted_boxes).abs().sum(dim=-1)[found].sum() / count
    overlap = giou(cxcywh_to_xyxy(boxes[found]), cxcywh_to_xyxy(wanted_boxes[found]))
    giou_loss = (1 - overlap).sum() / count
    return class_loss, l1_loss, giou_loss
