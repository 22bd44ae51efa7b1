"""Set prediction: which query is to find which object, and the loss of that one-to-one matching.

A detector gives a set of boxes, and a picture has a set of objects; neither has an order. So first the queries are
matched with the objects at the least total cost, and only then a loss is taken. (DETR: Carion et al. 2020, arXiv
2005.12872.)
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from keras import ops
from scipy.optimize import linear_sum_assignment

from mmcourse.keras.boxes import cxcywh_to_xyxy, giou, pairwise_giou

WEIGHTS = (1.0, 5.0, 2.0)  # of class, L1 and GIoU, in the cost and in the loss of DETR


def matching_cost(
    logits: Float[Any, "*batch q c"],
    boxes: Float[Any, "*batch q 4"],
    labels: Int[Any, "*batch m"],
    target_boxes: Float[Any, "*batch m 4"],
    weights: tuple[float, float, float] = WEIGHTS,
) -> Float[Any, "*batch q m"]:
    """What it costs to match query i with object j: −w₀ p_i(class of j) + w₁ ‖box_i − box_j‖₁ − w₂ GIoU(box_i, box_j).

    logits: (…, q, number of classes + 1), the last class is "nothing"; boxes: (…, q, 4), cxcywh as parts of the
    picture; labels: (…, m); target_boxes: (…, m, 4), cxcywh as well. Returns (…, q, m).
    """
    w_class, w_l1, w_giou = weights
    p = ops.softmax(logits, axis=-1)  # (…, q, c)
    index = ops.broadcast_to(labels[..., None, :], (*p.shape[:-1], labels.shape[-1]))  # (…, q, m)
    class_cost = -ops.take_along_axis(p, index, axis=-1)
    l1_cost = ops.sum(ops.abs(boxes[..., :, None, :] - target_boxes[..., None, :, :]), axis=-1)
    giou_cost = -pairwise_giou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(target_boxes))
    return w_class * class_cost + w_l1 * l1_cost + w_giou * giou_cost


def hungarian_matching(
    cost: Float[Any, "*batch q m"], num_objects: Int[Any, "*batch"] | None = None
) -> Int[Any, "*batch q"]:
    """The one-to-one matching of least total cost: for each query the number of its object, −1 for "nothing".

    Nothing is differentiated here, and nothing can be compiled: call it between two compiled parts. cost: (…, q, m);
    num_objects: (…), how many of the m objects are real, the first ones; None: all. More objects than queries are a
    ValueError.
    """
    cost = ops.convert_to_numpy(ops.stop_gradient(cost)).astype(np.float64)
    *batch, num_queries, most = cost.shape
    table = cost.reshape(int(np.prod(batch)), num_queries, most)
    counts = np.full(len(table), most) if num_objects is None else ops.convert_to_numpy(num_objects).reshape(-1)
    if len(counts) and counts.max() > num_queries:
        raise ValueError(
            f"num_objects: expected at most {num_queries}, one for each query, got {counts.max()} objects in one "
            "picture; give the model more queries"
        )
    matched = np.full((len(table), num_queries), -1)
    for row, cost_of_picture, count in zip(matched, table, counts, strict=True):
        queries, objects = linear_sum_assignment(cost_of_picture[:, :count])
        row[queries] = objects
    return ops.convert_to_tensor(matched.reshape(*batch, num_queries))


def set_prediction_loss(
    logits: Float[Any, "*batch q c"],
    boxes: Float[Any, "*batch q 4"],
    labels: Int[Any, "*batch m"],
    target_boxes: Float[Any, "*batch m 4"],
    matched: Int[Any, "*batch q"],
    no_object_weight: float = 0.1,
) -> tuple[Any, Any, Any]:
    """Class, L1 and GIoU losses of matched queries; a query without an object is only to say "nothing".

    logits, boxes, labels, target_boxes: as in `matching_cost`; matched: int (…, q), for each query the number of its
    object, −1 for "nothing". Returns the class loss, a weighted mean over all queries; L1 and 1 − GIoU, sums over
    matched queries divided by their number.
    """
    num_classes = logits.shape[-1]
    found = matched >= 0  # (…, q)
    nothing = ops.full_like(matched, num_classes - 1)
    if labels.shape[-1]:
        index = ops.maximum(matched, 0)
        wanted = ops.where(found, ops.cast(ops.take_along_axis(labels, index, axis=-1), matched.dtype), nothing)
        wanted_boxes = ops.take_along_axis(target_boxes, index[..., None], axis=-2)  # (…, q, 4)
    else:
        wanted, wanted_boxes = nothing, ops.stop_gradient(boxes)
    class_weight = ops.where(found, ops.ones_like(boxes[..., 0]), no_object_weight)
    right = ops.one_hot(wanted, num_classes, dtype=logits.dtype)  # (…, q, c)
    nats = -ops.sum(right * ops.log_softmax(logits, axis=-1), axis=-1)
    class_loss = ops.sum(class_weight * nats) / ops.sum(class_weight)
    is_found = ops.cast(found, logits.dtype)
    count = ops.maximum(ops.sum(is_found), 1)
    l1_loss = ops.sum(is_found * ops.sum(ops.abs(boxes - wanted_boxes), axis=-1)) / count
    overlap = giou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(wanted_boxes))  # (…, q)
    giou_loss = ops.sum(is_found * (1 - overlap)) / count
    return class_loss, l1_loss, giou_loss
