"""Figures of the shipped detector: mAP and AP50 by COCO's rules, and how often a phrase finds what it means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mmcourse.datasets.scenes import referring, world
from mmcourse.datasets.scenes.drawing import box
from mmcourse.evaluate.detection import mean_average_precision
from mmcourse.figures.scenes import draw_scenes
from mmcourse.numpy.boxes import iou, pairwise_iou
from mmcourse.torch.detection import CLASSES, Detections, Detector

PHRASE_SEED = 20_003
HIT = 0.5  # least IoU of a box with the thing that was meant
THRESHOLD = 0.5  # of the score, where boxes are counted


def true_objects(scenes: Sequence[world.Scene]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Boxes float64 (g, 4) in pixels, left, top, right, bottom, and shapes int64 (g,) of each scene."""
    return [
        (np.array([box(thing) for thing in scene.things], float), np.array([thing.shape for thing in scene.things]))
        for scene in scenes
    ]


def oracle(scenes: Sequence[world.Scene], change: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    """Average precision of one who knows every class and every box, but changes the boxes, by a pixel for instance."""
    targets = true_objects(scenes)
    predictions = [(change(boxes), labels, np.ones(len(labels))) for boxes, labels in targets]
    return mean_average_precision(predictions, targets, len(CLASSES))


def limits(n: int = 1000) -> dict[str, float]:
    """mAP of oracles whose ruler is off: what a pixel costs, exactly."""
    scenes = [world.make(20_003, index) for index in range(n)]
    right = np.array([1.0, 0.0, 1.0, 0.0])
    larger = np.array([-1.0, -1.0, 1.0, 1.0])
    return {
        "oracle_one_pixel": oracle(scenes, lambda boxes: boxes + right)["map"],
        "oracle_over_one_pixel": oracle(scenes, lambda boxes: boxes + 1.000001 * right)["map"],
        "oracle_two_pixels": oracle(scenes, lambda boxes: boxes + 2 * right)["map"],
        "oracle_one_pixel_larger": oracle(scenes, lambda boxes: boxes + larger)["map"],
    }


def test_phrases(scenes: Sequence[world.Scene], seed: int = PHRASE_SEED) -> list[tuple[int, int, referring.Phrase]]:
    """(scene, thing, phrase): at most two phrases for each scene, one of the look alone, one with a relation.

    Each fits exactly one thing, so the best accuracy is 1. A thing that no phrase can tell from another gets none.
    """
    found = []
    for number, scene in enumerate(scenes):
        rng = np.random.default_rng([seed, number, 6])
        for with_relation in (False, True):
            target = int(rng.random() * len(scene.things))
            phrase = referring.refer(scene, target, rng, with_relation)
            if phrase is not None:
                found.append((number, target, phrase))
    return found


test_phrases.__test__ = False  # type: ignore[attr-defined] # what a test module imports under this name is no test


def phrase_accuracy(
    model: Detector, scenes: Sequence[world.Scene], images: np.ndarray, whole_pixels: bool = True
) -> dict[str, float]:
    """How often the box of a phrase has IoU ≥ 0.5 with the thing that is meant: all phrases, and by kind.

    Beside it `phrase_guess`: choosing blindly among the things that the look fits, without the relation.
    """
    asked = test_phrases(scenes)
    boxes, _ = model.find(images[[number for number, _, _ in asked]], [phrase.text for _, _, phrase in asked])
    meant = np.array([box(scenes[number].things[target]) for number, target, _ in asked], float)
    right = iou(boxes.astype(float), meant) >= HIT
    by_relation = np.array([phrase.relation is not None for _, _, phrase in asked])
    guess = [1 / sum(map(phrase.look.fits, scenes[number].things)) for number, _, phrase in asked]
    found = {
        "phrase_accuracy": float(right.mean()),
        "phrase_accuracy_look": float(right[~by_relation].mean()),
        "phrase_accuracy_relation": float(right[by_relation].mean()),
        "phrase_guess_relation": float(np.array(guess)[by_relation].mean()),
    }
    sides = [phrase.relation for _, _, phrase in asked]
    for side in referring.RELATIONS:
        rows = np.array([one == side for one in sides])
        found[f"phrase_accuracy_{side}"] = float(right[rows].mean()) if rows.any() else float("nan")
    return found | {"num_phrases": len(asked)}


def extra_boxes(found: Sequence[Detections], scenes: Sequence[world.Scene]) -> float:
    """Boxes per picture beyond the number of things; negative where fewer are found."""
    return float(np.mean([len(one) - len(scene.things) for one, scene in zip(found, scenes, strict=True)]))


def box_figures(model: Detector, scenes: Sequence[world.Scene], images: np.ndarray, **options: Any) -> dict[str, float]:
    """Average precisions of a detector; options as `Detector.detect` takes them."""
    everything = model.detect(images, threshold=0.0, **options)
    found = mean_average_precision(everything, true_objects(scenes), len(CLASSES))
    return {key: found[key] for key in ("map", "ap50", "ap75", "ap90")}


def sides(model: Detector, scenes: Sequence[world.Scene], images: np.ndarray) -> dict[str, float]:
    """How far off the sides of found boxes are, in pixels, not rounded; and mAP if only these sides were exact.

    A thing is found by the box of its shape with the largest IoU, of at least 0.5. "map_exact_sides" is of the same
    boxes, labels and scores, where each box that lies on a thing of its shape has this thing's own sides.
    """
    errors, exact = [], []
    found = model.detect(images, threshold=0.0, whole_pixels=False)
    for one, (boxes, labels) in zip(found, true_objects(scenes), strict=True):
        said = one.boxes.astype(float)
        overlap = pairwise_iou(said, boxes) * (one.labels[:, None] == labels)  # (d, g)
        best, hit = overlap.argmax(axis=0), overlap.max(axis=0) >= HIT
        errors.append(np.abs(said[best[hit]] - boxes[hit]))
        lies_on_one = overlap.max(axis=1) >= HIT
        exact.append((np.where(lies_on_one[:, None], boxes[overlap.argmax(axis=1)], said), one.labels, one.scores))
    off = np.concatenate(errors)
    return {
        "side_error_median": float(np.median(off)),
        "side_error_90_percent": float(np.quantile(off, 0.9)),
        "sides_within_half_a_pixel": float((off < 0.5).mean()),
        "map_exact_sides": mean_average_precision(exact, true_objects(scenes), len(CLASSES))["map"],
    }


def compute(n: int = 1000, model: Detector | None = None) -> dict[str, Any]:
    """All figures of a model on `n` test scenes; by default of the shipped one."""
    model = Detector.from_pretrained("detection") if model is None else model
    scenes, images = draw_scenes(n)
    found: dict[str, Any] = box_figures(model, scenes, images)
    found["map_not_rounded"] = box_figures(model, scenes, images, whole_pixels=False)["map"]
    found |= sides(model, scenes, images)
    found["extra_boxes"] = extra_boxes(model.detect(images, THRESHOLD), scenes)
    found |= phrase_accuracy(model, scenes, images)
    unseen, unseen_images = draw_scenes(n, "colour-shape")
    found |= {f"{key}_unseen_pairs": value for key, value in box_figures(model, unseen, unseen_images).items()}
    found["phrase_accuracy_unseen_pairs"] = phrase_accuracy(model, unseen, unseen_images)["phrase_accuracy"]
    found |= limits(n)
    found["scenes"] = n
    return found
