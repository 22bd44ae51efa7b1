"""Set prediction: which query is to find which object, and the loss of that one-to-one matching.

A detector gives a set of boxes, and a picture has a set of objects; neither has an order. So first the queries are
matched with the objects at the least total cost, and only then a loss is taken. (DETR: Carion et al. 2020, arXiv
2005.12872.)
"""

import itertools

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.optimize import linear_sum_assignment

from mmcourse.numpy.boxes import cxcywh_to_xyxy, cxcywh_to_xyxy_backward, giou, giou_backward, pairwise_giou
from mmcourse.numpy.losses import log_softmax

WEIGHTS = (1.0, 5.0, 2.0)  # of class, L1 and GIoU, in the cost and in the loss of DETR
MOST_PERMUTATIONS = 1_000_000


def matching_cost(
    logits: Float[ndarray, "*batch q c"],
    boxes: Float[ndarray, "*batch q 4"],
    labels: Int[ndarray, "*batch m"],
    target_boxes: Float[ndarray, "*batch m 4"],
    weights: tuple[float, float, float] = WEIGHTS,
) -> Float[ndarray, "*batch q m"]:
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
    p = np.exp(log_softmax(logits))  # (…, q, c)
    index = np.broadcast_to(labels[..., None, :], (*p.shape[:-1], labels.shape[-1]))  # (…, q, m)
    class_cost = -np.take_along_axis(p, index, axis=-1)
    l1_cost = np.abs(boxes[..., :, None, :] - target_boxes[..., None, :, :]).sum(axis=-1)
    giou_cost = -pairwise_giou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(target_boxes))
    return w_class * class_cost + w_l1 * l1_cost + w_giou * giou_cost


def hungarian_matching(
    cost: Float[ndarray, "*batch q m"], num_objects: Int[ndarray, "*batch"] | None = None
) -> Int[ndarray, "*batch q"]:
    """The one-to-one matching of least total cost: for each query the number of its object, −1 for "nothing".

    (Kuhn 1955; SciPy's `linear_sum_assignment`.)

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
    table = cost.reshape(int(np.prod(batch)), num_queries, most)
    counts = np.full(len(table), most) if num_objects is None else np.reshape(num_objects, -1)
    if len(counts) and counts.max() > num_queries:
        raise ValueError(
            f"num_objects: expected at most {num_queries}, one for each query, got {counts.max()} objects in one "
            "picture; give the model more queries"
        )
    matched = np.full((len(table), num_queries), -1)
    for row, cost_of_picture, count in zip(matched, table, counts, strict=True):
        queries, objects = linear_sum_assignment(cost_of_picture[:, :count])
        row[queries] = objects
    return matched.reshape(*batch, num_queries)


def greedy_matching(cost: Float[ndarray, "q m"]) -> Int[ndarray, " q"]:
    """One to one, the cheapest pair first: simple, and not always of least total cost.

    cost : float (q, m) of one picture → int (q,), the number of each query's object, −1 for "nothing"
    """
    num_queries, num_objects = cost.shape
    if num_objects > num_queries:
        raise ValueError(f"cost: expected at least as many queries as objects, got {num_queries} for {num_objects}")
    matched = np.full(num_queries, -1)
    left = cost.astype(float)
    for _ in range(num_objects):
        query, number = np.unravel_index(left.argmin(), left.shape)
        matched[query] = number
        left[query, :] = np.inf
        left[:, number] = np.inf
    return matched


def all_permutations_matching(cost: Float[ndarray, "q m"]) -> Int[ndarray, " q"]:
    """One to one of least total cost, by trying every way: q! / (q − m)! of them. What the others are judged by.

    cost : float (q, m) of one picture → int (q,), the number of each query's object, −1 for "nothing"

    Raises
    ------
    ValueError
        For more objects than queries, or more than a million ways.
    """
    num_queries, num_objects = cost.shape
    if num_objects > num_queries:
        raise ValueError(f"cost: expected at least as many queries as objects, got {num_queries} for {num_objects}")
    ways = int(np.prod([num_queries - i for i in range(num_objects)], dtype=object)) if num_objects else 1
    if ways > MOST_PERMUTATIONS:
        raise ValueError(
            f"cost: {num_queries} queries and {num_objects} objects can be matched in {ways:,} ways, more than "
            f"{MOST_PERMUTATIONS:,}; hungarian_matching needs no such list"
        )
    best: tuple[int, ...] = ()
    best_total = np.inf
    for queries in itertools.permutations(range(num_queries), num_objects):
        total = sum(cost[query, number] for number, query in enumerate(queries))
        if total < best_total:
            best, best_total = queries, total
    matched = np.full(num_queries, -1)
    matched[list(best)] = np.arange(num_objects)
    return matched


def set_prediction_loss(
    logits: Float[ndarray, "*batch q c"],
    boxes: Float[ndarray, "*batch q 4"],
    labels: Int[ndarray, "*batch m"],
    target_boxes: Float[ndarray, "*batch m 4"],
    matched: Int[ndarray, "*batch q"],
    no_object_weight: float = 0.1,
) -> tuple[tuple[float, float, float], tuple]:
    """Class, L1 and GIoU losses of matched queries; a query without an object is only to say "nothing".

    Parameters
    ----------
    logits, boxes, labels, target_boxes : as in `matching_cost`; objects that no query is matched with are padding
    matched : int (…, q), for each query the number of its object, −1 for "nothing"
    no_object_weight : weight of a query without an object in the class loss: there are many more of these

    Returns
    -------
    (class loss, a weighted mean over all queries; L1 and 1 − GIoU, sums over matched queries divided by their number);
    cache
    """
    found = matched >= 0  # (…, q)
    wanted = np.full(matched.shape, logits.shape[-1] - 1)
    wanted_boxes = boxes.copy()
    if labels.shape[-1]:
        index = np.maximum(matched, 0)
        wanted = np.where(found, np.take_along_axis(labels, index, axis=-1), wanted)
        wanted_boxes = np.take_along_axis(target_boxes, index[..., None], axis=-2)  # (…, q, 4)
    class_weight = np.where(found, 1.0, no_object_weight).astype(logits.dtype)
    class_weight = class_weight / class_weight.sum()
    log_p = log_softmax(logits)
    nats = -np.take_along_axis(log_p, wanted[..., None], axis=-1)[..., 0]  # (…, q)
    class_loss = (class_weight * nats).sum()
    count = max(found.sum(), 1)
    difference = boxes[found] - wanted_boxes[found]  # (matched, 4)
    l1_loss = np.abs(difference).sum() / count
    corners, wanted_corners = cxcywh_to_xyxy(boxes[found]), cxcywh_to_xyxy(wanted_boxes[found])
    giou_loss = (1 - giou(corners, wanted_corners)).sum() / count
    cache = (log_p, wanted, class_weight, found, count, difference, corners, wanted_corners)
    return (class_loss, l1_loss, giou_loss), cache


def set_prediction_loss_backward(
    dlosses: tuple[float, float, float], cache: tuple
) -> tuple[Float[ndarray, "*batch q c"], Float[ndarray, "*batch q 4"]]:
    """Gradients of logits and boxes from those of the three losses. A query without an object gets none for its box."""
    log_p, wanted, class_weight, found, count, difference, corners, wanted_corners = cache
    dclass, dl1, dgiou = dlosses
    right = np.eye(log_p.shape[-1])[wanted]  # (…, q, c)
    dlogits = dclass * class_weight[..., None] * (np.exp(log_p) - right)
    dcorners, _ = giou_backward(np.full(len(corners), -dgiou / count), corners, wanted_corners)
    dboxes = np.zeros((*found.shape, 4), log_p.dtype)
    dboxes[found] = dl1 / count * np.sign(difference) + cxcywh_to_xyxy_backward(dcorners)
    return dlogits, dboxes
