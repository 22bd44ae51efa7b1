"""The cost of matching queries with objects, and the loss of a matching, in three backends."""

import numpy as np

from .case import ParityCase


def predictions(rng, batch=2, num_queries=5, num_objects=3, num_classes=4):
    """Logits and boxes of queries, labels and boxes of objects: all cxcywh."""
    return {
        "logits": rng.normal(size=(batch, num_queries, num_classes + 1)),
        "boxes": rng.uniform(0.2, 0.8, size=(batch, num_queries, 4)),
        "labels": rng.integers(0, num_classes, size=(batch, num_objects)),
        "target_boxes": rng.uniform(0.2, 0.8, size=(batch, num_objects, 4)),
    }


def matched_predictions(rng):
    """The same with a matching; one picture has an object less."""
    inputs = predictions(rng)
    inputs["matched"] = np.array([[-1, 2, -1, 0, 1], [1, -1, -1, -1, 0]])
    return inputs


def loss_backward(dy, inputs, p, options):
    """NumPy's own gradients; the boxes of objects are data, and get theirs by symmetry of the two losses."""
    from mmcourse.numpy import boxes, set_prediction

    _, cache = set_prediction.set_prediction_loss(**inputs)
    dlogits, dboxes = set_prediction.set_prediction_loss_backward((dy, dy, dy), cache)
    *_, found, count, difference, corners, wanted_corners = cache
    _, dwanted = boxes.giou_backward(np.full(len(corners), -dy / count), corners, wanted_corners)
    dtargets = np.zeros_like(inputs["target_boxes"])
    pictures, _ = np.nonzero(found)
    np.add.at(
        dtargets,
        (pictures, inputs["matched"][found]),
        -dy / count * np.sign(difference) + boxes.cxcywh_to_xyxy_backward(dwanted),
    )
    return {"logits": dlogits, "boxes": dboxes, "target_boxes": dtargets}, {}


def total(f, inputs):
    """The sum of the three losses."""
    return sum(f(**inputs))


FORMULAS = [
    ParityCase(
        "cost of matching",
        numpy="set_prediction.matching_cost",
        layer="set_prediction.matching_cost",
        inputs=predictions,
        count=0,
        numpy_call=lambda f, inputs, p, options: f(**inputs),
    ),
    ParityCase(
        "set prediction loss",
        numpy="set_prediction.set_prediction_loss",
        layer="set_prediction.set_prediction_loss",
        inputs=matched_predictions,
        count=0,
        backward=loss_backward,
        numpy_call=lambda f, inputs, p, options: sum(f(**inputs)[0]),
        torch_call=total,
        keras_call=total,
        tags=frozenset({"mixes"}),
    ),
]
