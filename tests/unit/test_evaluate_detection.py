"""Average precision: equal to COCO's own program, and right where the answer can be counted by hand."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math

import numpy as np
import pytest

from mmcourse.datasets.scenes import world
from mmcourse.datasets.scenes.drawing import box
from mmcourse.evaluate import detection
from mmcourse.evaluate.detection import average_precision, match_detections, mean_average_precision, precision_recall


def draw(seed: int, pictures: int = 12, classes: int = 3, ties: bool = False):
    """Predictions and targets: most objects found with some noise, some twice, some not, some with the wrong class."""
    rng = np.random.default_rng(seed)
    predictions, targets = [], []
    for _ in range(pictures):
        count = int(rng.integers(0, 6))
        first = rng.uniform(0, 40, size=(count, 2))
        boxes = np.concatenate([first, first + rng.uniform(6, 24, size=(count, 2))], axis=1)
        labels = rng.integers(0, classes, size=count)
        targets.append((boxes, labels))
        found = np.repeat(np.arange(count), rng.integers(0, 3, size=count))
        size = np.tile(boxes[found, 2:] - boxes[found, :2], 2)
        noisy = boxes[found] + rng.normal(size=(len(found), 4)) * 0.08 * size
        noisy = np.concatenate([noisy[:, :2], np.maximum(noisy[:, 2:], noisy[:, :2] + 1)], axis=1)
        said = np.where(rng.random(len(found)) < 0.85, labels[found], rng.integers(0, classes, size=len(found)))
        extra = rng.uniform(0, 30, size=(2, 2))
        noisy = np.concatenate([noisy, np.concatenate([extra, extra + rng.uniform(5, 20, size=(2, 2))], axis=1)])
        said = np.concatenate([said, rng.integers(0, classes, size=2)]).astype(int)
        scores = rng.random(len(said))
        predictions.append((noisy, said, np.round(scores, 1) if ties else scores))
    return predictions, targets


def coco(predictions, targets, classes: int, most: int = 100) -> dict[str, float]:
    """The same by pycocotools."""
    coco_module = pytest.importorskip("pycocotools.coco", reason="extra `reference`: pip install 'mmcourse[reference]'")
    from pycocotools.cocoeval import COCOeval

    def xywh(box):
        return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]

    annotations = [
        {
            "id": 0,
            "image_id": i,
            "category_id": int(label),
            "bbox": xywh(b),
            "area": xywh(b)[2] * xywh(b)[3],
            "iscrowd": 0,
        }
        for i, (boxes, labels) in enumerate(targets)
        for b, label in zip(boxes, labels, strict=True)
    ]
    for number, annotation in enumerate(annotations):
        annotation["id"] = number + 1  # an id of 0 would count as "not found": COCOeval stores ids
    results = [
        {"image_id": i, "category_id": int(label), "bbox": xywh(b), "score": float(score)}
        for i, (boxes, labels, scores) in enumerate(predictions)
        for b, label, score in zip(boxes, labels, scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco_module.COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": i, "height": 100, "width": 100} for i in range(len(targets))],
            "categories": [{"id": label} for label in range(classes)],
            "annotations": annotations,
        }
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluator.params.maxDets = [1, 1, most]  # it sorts them
        evaluator.evaluate()
        evaluator.accumulate()
    precision = evaluator.eval["precision"][
        :, :, :, 0, 2
    ]  # (thresholds, recalls, classes); −1 where there is no object

    def mean(values):
        return float(values[values > -1].mean())

    return {"map": mean(precision), "ap50": mean(precision[0]), "ap75": mean(precision[5]), "ap90": mean(precision[8])}


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_equal_to_pycocotools(seed: int, ties: bool):
    predictions, targets = draw(seed, ties=ties)
    want = coco(predictions, targets, 3)
    found = mean_average_precision(predictions, targets, 3)
    for name, value in want.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    assert 0.1 < found["map"] < 0.9  # neither all right nor all wrong


def test_equal_to_pycocotools_with_few_detections_and_a_class_without_objects():
    predictions, targets = draw(3, pictures=20, classes=3)
    want = coco(predictions, targets, 5, most=2)
    found = mean_average_precision(predictions, targets, 5, max_detections=2)
    for name, value in want.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    assert found["map"] != mean_average_precision(predictions, targets, 5)["map"]
    assert math.isnan(found["per_class"][4]) and not math.isnan(found["per_class"][0])


GOLDEN = {  # map and ap50 of pycocotools 2.0.11
    0: (0.2635375044155659, 0.4356048242186855),
    1: (0.2636860901186684, 0.4286559608341786),
}


@pytest.mark.parametrize("seed", GOLDEN)
def test_stored_values_of_pycocotools(seed: int):
    """The same where pycocotools is not installed."""
    found = mean_average_precision(*draw(seed), 3)
    assert found["map"] == pytest.approx(GOLDEN[seed][0], abs=1e-12)
    assert found["ap50"] == pytest.approx(GOLDEN[seed][1], abs=1e-12)


# ---------------------------------------------------------------- by hand
def test_a_duplicate_is_wrong_and_is_not_left_out():
    """One object, found twice, then a second object: 1, 1/2, 2/3. Left out, the duplicate would cost nothing."""
    precision, recall = precision_recall([0.9, 0.8, 0.7], [True, False, True], 2)
    assert precision.tolist() == [1, 1 / 2, 2 / 3] and recall.tolist() == [0.5, 0.5, 1]
    # monotone: 1 for the 51 recalls up to 0.5, 2/3 for the 50 after it
    assert average_precision(precision, recall) == pytest.approx((51 + 50 * 2 / 3) / 101)
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [20, 20, 30, 30.0]])
    found = mean_average_precision(
        [(boxes, [0, 0, 0], [0.9, 0.8, 0.7])], [(boxes[[0, 2]], [0, 0])], 1, iou_thresholds=[0.5]
    )
    assert found["map"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_recall_that_is_not_reached_has_precision_0():
    """Half of the objects, all right: 51 of 101 recalls."""
    assert average_precision(*precision_recall([0.9, 0.8], [True, True], 4)) == pytest.approx(51 / 101)
    assert average_precision(*precision_recall([], [], 4)) == 0


def test_precision_is_made_monotone():
    """A wrong one first: what comes after it lifts the beginning too."""
    precision, recall = precision_recall([0.9, 0.8, 0.7], [False, True, True], 2)
    assert precision.tolist() == [0, 1 / 2, 2 / 3]
    assert average_precision(precision, recall) == pytest.approx(2 / 3)


def test_all_pictures_are_ranked_together():
    """A sure mistake in another picture costs as much as one in the same."""
    box = np.array([[0.0, 0, 10, 10]])
    away = box + 40
    right = (box, [0], [0.5])
    wrong = (away, [0], [0.9])
    found = mean_average_precision([right, wrong], [(box, [0]), (np.zeros((0, 4)), [])], 1)
    assert found["map"] == pytest.approx(0.5)


def test_each_object_goes_to_the_better_detection_first():
    overlap = np.array([[0.6, 0.7], [0.9, 0.0], [0.8, 0.75]])
    assert match_detections(overlap, 0.5).tolist() == [1, 0, -1]
    assert match_detections(overlap, 0.65).tolist() == [1, 0, -1]
    assert match_detections(overlap, 0.72).tolist() == [-1, 0, 1]
    assert match_detections(np.zeros((2, 0))).tolist() == [-1, -1]
    assert match_detections(np.array([[1.0]]), 1.0).tolist() == [0]  # a perfect box is right at any threshold
    assert match_detections(np.array([[0.5]]), 0.5).tolist() == [0]  # at least, not more than


def test_no_objects_and_no_detections():
    none = (np.zeros((0, 4)), np.zeros(0, int))
    assert math.isnan(mean_average_precision([(*none, np.zeros(0))], [none], 2)["map"])
    box = np.array([[0.0, 0, 10, 10]])
    assert mean_average_precision([(*none, np.zeros(0))], [(box, [1])], 2)["map"] == 0
    with pytest.raises(ValueError, match="num_objects: expected 1 or more, got 0"):
        precision_recall([0.5], [False], 0)


@pytest.mark.parametrize(
    ("predictions", "targets", "message"),
    [
        ([], [([[0, 0, 1, 1]], [0])], "predictions: expected one for each of 1 pictures, got 0"),
        ([([[0, 0, 1, 1]], [0], [0.5, 0.4])], [([[0, 0, 1, 1]], [0])], r"predictions\[0\]: .*lengths \[1, 1, 2\]"),
        ([([[0, 0, 1, 1]], [2], [0.5])], [([[0, 0, 1, 1]], [0])], r"predictions\[0\]\.labels: expected 0 to 1, got"),
        ([([[0, 0, 1, 1]], [0], [0.5])], [([[0, 0, 1, 1]], [-1])], r"targets\[0\]\.labels: expected 0 to 1, got"),
        ([([[9, 9, 1, 1]], [0], [0.5])], [([[0, 0, 1, 1]], [0])], r"predictions\[0\]\.boxes: expected \(left, top"),
        ([([[0, 0, 1, 1]], [0], [np.nan])], [([[0, 0, 1, 1]], [0])], r"predictions\[0\]\.scores: .*NaN"),
        ([([[0, 0, 1, 1]], [0])], [([[0, 0, 1, 1]], [0])], r"predictions\[0\]: expected boxes, labels, scores, got 2"),
    ],
)
def test_what_does_not_fit_is_named(predictions, targets, message: str):
    with pytest.raises(ValueError, match=message):
        mean_average_precision(predictions, targets, 2)
    with pytest.raises(ValueError, match="max_detections: expected 1 or more, got 0"):
        mean_average_precision([], [], 2, max_detections=0)


# ---------------------------------------------------------------- what a pixel costs
def oracle(change, **options):
    """One who knows every class and every box of the 1,000 test scenes, but changes the boxes."""
    scenes = [world.make(20_003, index) for index in range(1000)]
    targets = [
        (np.array([box(thing) for thing in scene.things], float), [thing.shape for thing in scene.things])
        for scene in scenes
    ]
    predictions = [(change(boxes), labels, np.ones(len(labels))) for boxes, labels in targets]
    return mean_average_precision(predictions, targets, 6, **options), predictions, targets


RIGHT = np.array([1.0, 0, 1, 0])


def test_what_a_pixel_costs():
    """Exact. A pixel to the right gives many IoUs of exactly 0.75, 0.8 or 0.9: "at least" that much counts as right."""
    one, predictions, targets = oracle(lambda boxes: boxes + RIGHT)
    assert one["map"] == pytest.approx(0.7202, abs=5e-5)
    assert one["ap50"] == 1 and one["by_threshold"][0.85] == pytest.approx(0.344, abs=5e-4)
    assert one["by_threshold"][0.95] == 0
    assert oracle(lambda boxes: boxes + 2 * RIGHT)[0]["map"] == pytest.approx(0.425, abs=5e-4)
    assert oracle(lambda boxes: boxes + np.array([-1, -1, 1, 1]))[0]["map"] == pytest.approx(0.494, abs=5e-4)
    assert oracle(lambda boxes: boxes)[0]["map"] == 1
    # a millionth more, and those are wrong: where rounding decides by chance, the value lies between
    assert oracle(lambda boxes: boxes + 1.000001 * RIGHT)[0]["map"] == pytest.approx(0.6786, abs=5e-5)
    if importlib.util.find_spec("pycocotools"):
        assert one["map"] == pytest.approx(coco(predictions, targets, 6)["map"], abs=1e-12)


def test_thresholds_are_those_of_coco():
    assert detection.IOU_THRESHOLDS.tolist() == pytest.approx([0.5 + 0.05 * i for i in range(10)])
    assert len(detection.RECALLS) == 101
