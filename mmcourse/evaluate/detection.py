"""How good a detector is: average precision by COCO's rules, and the mean over classes and IoU thresholds.

::

    from mmcourse.evaluate.detection import mean_average_precision

    found = mean_average_precision(predictions, targets, num_classes=6)
    found["map"], found["ap50"]

The rules are those of COCO's own program (pycocotools' `COCOeval`), to which the results are equal: of two boxes on one
object only the better one is right, and the other is wrong; precision is made monotone; the mean is over 101 recalls.
(COCO: Lin et al. 2014, arXiv 1405.0312.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmcourse.numpy.boxes import check_xyxy, pairwise_iou

__all__ = ["IOU_THRESHOLDS", "average_precision", "match_detections", "mean_average_precision", "precision_recall"]

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)


def match_detections(overlap: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Which object each detection of a picture has found: the better detections choose first, each object goes once.

    Parameters
    ----------
    overlap : float (d, g), IoU of detections, the best score first, with objects; all of one class
    threshold : least IoU of a right detection

    Returns
    -------
    matched : int (d,), the number of the object, −1 for a wrong detection. A second box on an object is wrong, however
        well it fits.
    """
    matched = np.full(len(overlap), -1)
    taken = np.zeros(overlap.shape[1], bool)
    for i, row in enumerate(overlap):
        free = np.where(taken, -1.0, row)
        if not len(free) or free.max() < min(threshold, 1 - 1e-10):
            continue
        best = len(free) - 1 - int(free[::-1].argmax())  # of several equal ones the last, as COCOeval does
        matched[i] = best
        taken[best] = True
    return matched


def precision_recall(scores: Any, is_right: Any, num_objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall when more and more detections are taken, the best score first.

    Parameters
    ----------
    scores : float (d,), of all pictures together
    is_right : bool (d,)
    num_objects : how many objects there are in all, found or not: recall is a share of these

    Returns
    -------
    precision, recall : float (d,)
    """
    scores, is_right = np.asarray(scores, float), np.asarray(is_right, bool)
    if num_objects < 1:
        raise ValueError(f"num_objects: expected 1 or more, got {num_objects}: without objects recall has no meaning")
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(is_right[order])
    taken = np.arange(1, len(right) + 1)
    return right / taken, right / num_objects


def average_precision(precision: np.ndarray, recall: np.ndarray, recalls: np.ndarray = RECALLS) -> float:
    """Mean precision at the given recalls, after each precision became the best at this recall or a higher one.

    A recall that is never reached has precision 0.

    Parameters
    ----------
    precision, recall : float (d,), as `precision_recall` gives them
    recalls : where to look; 0, 0.01, … 1 for COCO
    """
    monotone = np.maximum.accumulate(np.asarray(precision, float)[::-1])[::-1]
    index = np.searchsorted(recall, recalls, side="left")  # the first place where that recall is reached
    return float(np.append(monotone, 0.0)[index].mean())


def mean_average_precision(
    predictions: Sequence[Any],
    targets: Sequence[Any],
    num_classes: int,
    iou_thresholds: Sequence[float] | np.ndarray = IOU_THRESHOLDS,
    max_detections: int = 100,
) -> dict[str, Any]:
    """COCO's mAP of boxes.

    Parameters
    ----------
    predictions : one (boxes, labels, scores) for each picture, or an object with these attributes: float (d, 4) as
        left, top, right, bottom; int (d,); float (d,)
    targets : one (boxes, labels) for each picture: float (g, 4), int (g,)
    num_classes : labels are 0 … num_classes − 1
    iou_thresholds : 0.50, 0.55, … 0.95 for COCO
    max_detections : of each class and picture only the best so many count

    Returns
    -------
    dict with "map"; "ap50", "ap75", "ap90" where these thresholds are among the given ones; "per_class" {label: mean
    over thresholds}; "by_threshold" {threshold: mean over classes}. A class without any object counts nowhere; its
    value, and all values where there are no objects, are NaN.

    Raises
    ------
    ValueError
        For another number of predictions than of targets, arrays that do not fit, or boxes that are none.
    """
    predictions = [_unpack(f"predictions[{i}]", p, ("boxes", "labels", "scores")) for i, p in enumerate(predictions)]
    targets = [_unpack(f"targets[{i}]", t, ("boxes", "labels")) for i, t in enumerate(targets)]
    if len(predictions) != len(targets):
        raise ValueError(f"predictions: expected one for each of {len(targets)} pictures, got {len(predictions)}")
    if max_detections < 1:
        raise ValueError(f"max_detections: expected 1 or more, got {max_detections}")
    for name, rows in (("predictions", predictions), ("targets", targets)):
        for i, row in enumerate(rows):
            if len(row[1]) and not 0 <= row[1].min() <= row[1].max() < num_classes:
                raise ValueError(f"{name}[{i}].labels: expected 0 to {num_classes - 1}, got {row[1].tolist()}")
    thresholds = np.asarray(iou_thresholds, float)
    table = np.full((len(thresholds), num_classes), np.nan)
    for label in range(num_classes):
        num_objects = sum(int((labels == label).sum()) for _, labels in targets)
        if num_objects:
            scores, right = _judge(predictions, targets, label, thresholds, max_detections)
            for t in range(len(thresholds)):
                table[t, label] = average_precision(*precision_recall(scores, right[t], num_objects))
    has_objects = ~np.isnan(table[0]) if len(table) else np.zeros(num_classes, bool)
    by_threshold = table[:, has_objects].mean(axis=1) if has_objects.any() else np.full(len(thresholds), np.nan)
    found: dict[str, Any] = {"map": float(by_threshold.mean())}
    for percent in (50, 75, 90):
        where = np.flatnonzero(np.isclose(thresholds, percent / 100))
        if len(where):
            found[f"ap{percent}"] = float(by_threshold[where[0]])
    found["per_class"] = dict(enumerate(table.mean(axis=0).tolist()))
    found["by_threshold"] = {round(float(t), 4): float(ap) for t, ap in zip(thresholds, by_threshold, strict=True)}
    return found


def _unpack(name: str, row: Any, fields: tuple[str, ...]) -> tuple[np.ndarray, ...]:
    """One picture's boxes, labels and perhaps scores as arrays that fit each other."""
    values = row if isinstance(row, (tuple, list)) else [getattr(row, field) for field in fields]
    if len(values) != len(fields):
        raise ValueError(f"{name}: expected {', '.join(fields)}, got {len(values)} values")
    boxes = np.asarray(values[0], float).reshape(-1, 4)
    labels = np.asarray(values[1]).reshape(-1).astype(int)
    rest = [np.asarray(value, float).reshape(-1) for value in values[2:]]
    if any(len(value) != len(boxes) for value in (labels, *rest)):
        lengths = [len(boxes), len(labels), *map(len, rest)]
        raise ValueError(f"{name}: expected as many of each as boxes, got {', '.join(fields)} of lengths {lengths}")
    if any(not np.isfinite(value).all() for value in rest):
        raise ValueError(f"{name}.scores: expected numbers, got NaN or infinity")
    check_xyxy(f"{name}.boxes", boxes)
    return (boxes, labels, *rest)


def _judge(
    predictions: Sequence[Any], targets: Sequence[Any], label: int, thresholds: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (d,) of all detections of a class, picture by picture, and which are right at each threshold (t, d)."""
    all_scores, all_right = [np.zeros(0)], [np.zeros((len(thresholds), 0), bool)]
    for (boxes, labels, scores), (target_boxes, target_labels) in zip(predictions, targets, strict=True):
        mine = np.flatnonzero(labels == label)
        mine = mine[np.argsort(-scores[mine], kind="stable")][:most]
        if not len(mine):
            continue
        overlap = pairwise_iou(boxes[mine], target_boxes[target_labels == label])  # (d, g)
        all_scores.append(scores[mine])
        all_right.append(np.stack([match_detections(overlap, t) >= 0 for t in thresholds]).reshape(len(thresholds), -1))
    return np.concatenate(all_scores), np.concatenate(all_right, axis=1)
