"""Figures of the shipped CLIP: retrieval, zero-shot, loss and foils on test scenes, beside what is possible at most."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from mmcourse.datasets.scenes import foils, truth, world
from mmcourse.datasets.scenes.captions import chinese, english
from mmcourse.figures import captioning
from mmcourse.figures.scenes import SEED, draw_scenes
from mmcourse.torch.captioner import Captioner
from mmcourse.torch.clip import CLIP
from mmcourse.torch.contrastive import contrastive_loss

BATCH = 128
CLASSES = [(color, shape) for color in world.COLORS for shape in world.SHAPES]


def recall_at_1(scores: np.ndarray) -> float:
    """How often the largest score of a row is on the diagonal; k equal largest scores count 1/k."""
    return float(_right(scores).mean())


def infonce(scores: np.ndarray, batch: int = BATCH) -> float:
    """Mean InfoNCE loss of whole batches, from scores (n, n) that are logits already."""
    losses = []
    for start in range(0, len(scores) - batch + 1, batch):
        block = torch.from_numpy(scores[start : start + batch, start : start + batch])
        labels = torch.arange(len(block))
        both = [torch.nn.functional.cross_entropy(x, labels) for x in (block, block.T)]
        losses.append(float(sum(both)) / 2)
    return float(np.mean(losses)) if losses else float("nan")


def zero_shot_accuracy(
    model: CLIP, scenes: Sequence[world.Scene], images: np.ndarray, single: str | None = None
) -> float:
    """Color and shape of scenes with one thing, among 48 names.

    single : one prompt with {} for the name; None averages the vectors of four prompts
    """
    alone = [index for index, scene in enumerate(scenes) if len(scene.things) == 1]
    prompts = [single] if single else ["a small {}", "a large {}", "there is a {}", "look at a {}"]
    vectors = torch.stack([model.encode_text([p.format(f"{c} {s}") for c, s in CLASSES]) for p in prompts]).mean(dim=0)
    found = (model.encode_image(images[alone]) @ vectors.T).argmax(dim=1).tolist()
    first = [scenes[index].things[0] for index in alone]
    want = [CLASSES.index((world.COLORS[t.color], world.SHAPES[t.shape])) for t in first]
    return float(np.mean(np.equal(found, want)))


def foil_accuracy(model: CLIP, scenes: Sequence[world.Scene], image: torch.Tensor, kind: str) -> tuple[float, int]:
    """How often the caption is nearer to the picture than its fair foil, and of how many."""
    found = foils.fair_foils(scenes, kind)
    rows = [foil.index for foil in found]
    right = (image[rows] * model.encode_text([foil.caption for foil in found])).sum(dim=1)
    wrong = (image[rows] * model.encode_text([foil.foil for foil in found])).sum(dim=1)
    return float((right > wrong).float().mean()), len(found)


def statement_kind(caption: str) -> str:
    """What a caption says besides the things: "relation", "place", "texture", "count", or "things only"."""
    said = truth.parse(caption)
    if said is None:
        raise ValueError(f"caption: the grammar cannot read {caption!r}")
    for kind in ("relation", "place", "texture", "count"):
        if getattr(said, kind) is not None:
            return kind
    return "things only"


def by_statement(n: int = 1000, model: CLIP | None = None) -> dict[str, dict[str, float]]:
    """Where retrieval falls short: text → image R@1 by what the caption says, beside who knows the exact likelihood.

    "relations unknown" is the control: the exact likelihood of who sees everything but on which side of another a thing
    lies, for all captions (the mean over the scene's eight turns and mirror images, for captions with a relation).
    """
    model = CLIP.from_pretrained("clip") if model is None else model
    scenes, images = draw_scenes(n)
    captions = [english(scene) for scene in scenes]
    kinds = np.array([statement_kind(caption) for caption in captions])
    exact = truth.exact_scores(captions, scenes)
    turned = [
        truth.exact_scores(captions, [_turned(scene, *flags) for scene in scenes])
        for flags in itertools.product((False, True), repeat=3)
    ]
    blind = np.logaddexp.reduce(turned, axis=0) - math.log(len(turned))
    blind = np.where((kinds == "relation")[:, None], blind, exact)
    scores = (model.encode_text(captions) @ model.encode_image(images).T).double().numpy()
    tables = {"exact": exact, "relations unknown": blind, "reached": scores}
    right = {name: _right(table) for name, table in tables.items()}
    found = {}
    for kind in ("all", "things only", "count", "texture", "place", "relation"):
        rows = np.ones(n, bool) if kind == "all" else kinds == kind
        found[kind] = {"n": int(rows.sum())} | {name: float(values[rows].mean()) for name, values in right.items()}
    return found


def _right(scores: np.ndarray) -> np.ndarray:
    """For each row, whether its largest score is on the diagonal; k equal ones count 1/k."""
    largest = scores >= scores.max(axis=1, keepdims=True) - 1e-9
    return np.diag(largest) / largest.sum(axis=1)


def _turned(scene: world.Scene, turned: bool, across: bool, down: bool) -> world.Scene:
    """The scene with rows and columns exchanged, left and right, above and below."""
    things = []
    for thing in scene.things:
        x, y = (thing.y, thing.x) if turned else (thing.x, thing.y)
        things.append(replace(thing, x=world.SIDE - x if across else x, y=world.SIDE - y if down else y))
    return replace(scene, things=tuple(things))


def limits(n: int = 1000) -> dict[str, float]:
    """What is possible at most on the same test scenes, from the exact likelihood of captions."""
    scenes = [world.make(SEED, index) for index in range(n)]
    table = truth.exact_scores([english(scene) for scene in scenes], scenes)
    return {
        "text_to_image_r1": recall_at_1(table),
        "image_to_text_r1": recall_at_1(table.T),
        "infonce_128": infonce(table),
        "zero_shot": 1.0,
        "foils_color": 1.0,
        "foils_relation": 1.0,
    }


def compute(n: int = 1000, model: CLIP | None = None) -> dict[str, Any]:
    """All figures of a model on `n` test scenes; by default of the shipped one.

    `foils_by_likelihood` is of the shipped captioner, on the same swapped colors: how often the caption is the more
    likely sentence.
    """
    model = CLIP.from_pretrained("clip") if model is None else model
    scenes, images = draw_scenes(n)
    image, text = model.encode_image(images), model.encode_text([english(scene) for scene in scenes])
    scores = (text @ image.T).double().numpy()
    color, num_color = foil_accuracy(model, scenes, image, "color")
    relation, num_relation = foil_accuracy(model, scenes, image, "relation")
    by_likelihood, _ = captioning.foil_accuracy(Captioner.from_pretrained("captioning"), scenes, images, "color")
    losses = [
        contrastive_loss(image[i : i + BATCH], text[i : i + BATCH], model.log_scale.detach()).item()
        for i in range(0, n - min(n, BATCH) + 1, BATCH)
    ]
    unseen, unseen_images = draw_scenes(n, "colour-shape")
    unseen_scores = model.encode_text([english(scene) for scene in unseen]) @ model.encode_image(unseen_images).T
    chinese_scores = model.encode_text([chinese(scene) for scene in scenes]) @ image.T
    return {
        "text_to_image_r1": recall_at_1(scores),
        "image_to_text_r1": recall_at_1(scores.T),
        "zero_shot": zero_shot_accuracy(model, scenes, images),
        "zero_shot_one_prompt": zero_shot_accuracy(model, scenes, images, "there is a {}"),
        "infonce_128": float(np.mean(losses)),
        "foils_color": color,
        "foils_relation": relation,
        "foils_by_likelihood": by_likelihood,
        "num_foils_color": num_color,
        "num_foils_relation": num_relation,
        "unseen_pairs": recall_at_1(unseen_scores.double().numpy()),
        "chinese_to_image_r1": recall_at_1(chinese_scores.double().numpy()),
        "scale": float(model.log_scale.detach().exp()),
        "scenes": n,
    }
