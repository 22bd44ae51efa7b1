"""Train the shipped detector of `scenes` and measure it: writes `data/models/detection`.

    make results detection                                  # at most 90 minutes on two cores
    python notebooks/src/detection/make_results.py --steps 200 --scenes 2000 --out /tmp/detection   # a try
    python notebooks/src/detection/make_results.py --measure   # only the figures and the card of the stored model
    python notebooks/src/detection/make_results.py --experiments ways nothing matcher positions nlvr challenge

The picture tower and the reader of phrases start from the shipped CLIP; all is trained along. Half of the pictures of a
batch are mirrored, and each comes with two phrases, one of them with a relation. Matrices are trained by Muon, the rest
by AdamW. The learning rate falls to 0 at the last step, or sooner where `--minutes` would not suffice.

Everything drawn by chance comes from the seed; another processor or another PyTorch rounds differently.

The experiments train small heads on features of the frozen picture tower of `clip`, which are computed once: about ten
minutes of one processor in all, stored part by part in `results.json`. "nlvr" needs NLVR's dev.json and images in the
folder that `MMCOURSE_REAL_DATA` names.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import nn
from torch.nn import functional as F

from mmcourse.datasets import data_dir, results, save_results
from mmcourse.datasets.scenes import referring, world
from mmcourse.datasets.scenes.drawing import box, draw
from mmcourse.evaluate.detection import match_detections, mean_average_precision
from mmcourse.figures import aims
from mmcourse.figures import detection as detection_figures
from mmcourse.io import atomic_write
from mmcourse.numpy.boxes import iou, nms, pairwise_iou
from mmcourse.torch.boxes import xyxy_to_cxcywh
from mmcourse.torch.clip import CLIP, SIDE, prepare_images, tokenize
from mmcourse.torch.detection import (
    CLASSES,
    NOTHING,
    USUAL_SIZE,
    Detector,
    QueryBlock,
    dense_matching,
    grid_centers,
    to_pixels,
)
from mmcourse.torch.set_prediction import hungarian_matching, matching_cost, set_prediction_loss
from mmcourse.training.torch.muon import Muon

SEED = 0
TRAIN_SEED = 30_001  # of the training scenes: not the fixed splits of `scenes.load`
VALIDATION_SEED = 20_002
NUM_SCENES = 16_000
BATCH = 64  # pictures
DECAY = 0.6  # share of the training in which the learning rate falls
WARM_UP = 100  # steps
LOSS_WEIGHTS = (
    1.0,
    10.0,
    4.0,
)  # of class, L1 and GIoU: twice as much for the box as in DETR, since a pixel costs so much
NO_OBJECT_WEIGHT = 0.3
NOT_MATRICES = ("embedding", "positions", "query_vectors")


class Optimizers:
    """Muon for matrices and kernels, AdamW for the rest; one factor for all learning rates."""

    def __init__(
        self, model: Detector, muon_lr: float = 0.02, adamw_lr: float = 3e-3, vision_factor: float = 0.4
    ) -> None:
        groups: dict[tuple[bool, bool], list] = {}
        for name, parameter in model.named_parameters():
            is_matrix = parameter.ndim > 1 and not any(word in name for word in NOT_MATRICES)
            is_trained_before = name.startswith(("vision.", "phrases.text."))
            groups.setdefault((is_matrix, is_trained_before), []).append(parameter)
        self.all, self.rates = [], []
        for (is_matrix, is_trained_before), parameters in groups.items():
            rate = (muon_lr if is_matrix else adamw_lr) * (vision_factor if is_trained_before else 1)
            if is_matrix:
                self.all.append(Muon(parameters, lr=rate))
            else:
                self.all.append(torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=0.0))
            self.rates.append(rate)

    def step(self, loss: torch.Tensor, model: Detector, factor: float) -> None:
        """One update with all learning rates multiplied by `factor`."""
        for optimizer, rate in zip(self.all, self.rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * factor
            optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        for optimizer in self.all:
            optimizer.step()


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices by itself (AMX): then convolutions take a third of the time."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16"))


# ---------------------------------------------------------------- data
def mirrored(scene: world.Scene) -> world.Scene:
    """The scene of the picture with left and right exchanged: pixel x becomes pixel 63 − x."""
    return replace(scene, things=tuple(replace(thing, x=world.SIDE - 1 - thing.x) for thing in scene.things))


def mirrored_boxes(boxes: np.ndarray) -> np.ndarray:
    """Boxes (…, 4), left, top, right, bottom in pixels, in the mirrored picture."""
    left, top, right, bottom = np.moveaxis(boxes, -1, 0)
    return np.stack([SIDE - right, top, SIDE - left, bottom], axis=-1)


def objects_of(scenes: list[world.Scene]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes float32 (n, 4, 4) in pixels, shapes int64 (n, 4) and numbers (n,) of things; the rest is padding."""
    boxes = np.zeros((len(scenes), world.MOST, 4), np.float32)
    labels = np.zeros((len(scenes), world.MOST), np.int64)
    for row, scene in enumerate(scenes):
        for i, thing in enumerate(scene.things):
            boxes[row, i], labels[row, i] = box(thing), thing.shape
    return boxes, labels, np.array([len(scene.things) for scene in scenes])


def batches(num_scenes: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Row numbers without end, BATCH at a time, each epoch in a new order."""
    while True:
        order = rng.permutation(num_scenes)
        for start in range(0, num_scenes - BATCH + 1, BATCH):
            yield order[start : start + BATCH]


def phrases_of(scenes: list[world.Scene], rng: np.random.Generator) -> tuple[list[int], list[int], list[str]]:
    """Number of the scene, number of the thing, and a phrase that fits only this: one of each kind for each scene."""
    rows, targets, texts = [], [], []
    for row, scene in enumerate(scenes):
        for with_relation in (False, True):
            target = int(rng.random() * len(scene.things))
            phrase = referring.refer(scene, target, rng, with_relation)
            if phrase is not None:
                rows.append(row)
                targets.append(target)
                texts.append(phrase.text)
    return rows, targets, texts


# ---------------------------------------------------------------- training
def train_step(
    model: Detector,
    images: torch.Tensor,
    boxes: torch.Tensor,
    labels: torch.Tensor,
    counts: torch.Tensor,
    phrases: tuple[list[int], list[int], list[str]] | None,
    fast: bool,
) -> tuple[torch.Tensor, dict[str, float]]:
    """The loss of a batch: class, L1, GIoU of the matched queries, and nats of the query that each phrase means.

    images : float (b, 3, 64, 64); boxes : (b, 4, 4), cxcywh from 0 to 1; labels : (b, 4); counts : (b,)
    """
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=fast):
        queries = model.encode_image(images)
    queries = queries.float()
    logits, found = model.predict(queries)
    with torch.no_grad():
        matched = hungarian_matching(matching_cost(logits, found, labels, boxes), counts)  # (b, q)
    losses = set_prediction_loss(logits, found, labels, boxes, matched, NO_OBJECT_WEIGHT)
    total = sum(weight * loss for weight, loss in zip(LOSS_WEIGHTS, losses, strict=True))
    measured = dict(zip(("class", "l1", "giou"), (loss.item() for loss in losses), strict=True))
    if phrases is not None and phrases[0]:
        rows, targets, texts = phrases
        ids, padding_mask = tokenize(texts)
        scores = model.phrase_scores(queries[rows], ids, padding_mask)  # (p, q)
        meant = (matched[rows] == torch.tensor(targets)[:, None]).int().argmax(dim=1)  # the query of that thing
        phrase_loss = F.cross_entropy(scores, meant)
        total = total + phrase_loss
        measured["phrase"] = phrase_loss.item()
    return total, measured


def validate(model: Detector, scenes: list[world.Scene], images: np.ndarray) -> dict[str, float]:
    """Average precision and phrase accuracy."""
    found = detection_figures.box_figures(model, scenes, images)
    found["map_not_rounded"] = detection_figures.box_figures(model, scenes, images, whole_pixels=False)["map"]
    if model.phrases is not None:
        phrases = detection_figures.phrase_accuracy(model, scenes, images)
        found |= {key: phrases[key] for key in ("phrase_accuracy", "phrase_accuracy_relation")}
    return found


def train(
    model: Detector,
    steps: int,
    scenes: list[world.Scene],
    images: np.ndarray,
    fast: bool,
    minutes: float = 85.0,
    every: int = 250,
    keep: Path | None = None,
    num_validation: int = 300,
) -> list[dict]:
    """Train; returns what was measured on validation scenes every `every` steps, and keeps the model each time."""
    rng = np.random.default_rng([SEED, 3])
    validation = [world.make(VALIDATION_SEED, index) for index in range(num_validation)]
    validation_images = np.stack([draw(scene) for scene in validation])
    all_boxes, all_labels, all_counts = objects_of(scenes)
    optimizers, losses, curve = Optimizers(model), [], []
    started, cpu_started = time.perf_counter(), time.process_time()
    for step, rows in zip(range(steps), batches(len(scenes), rng), strict=False):
        progress = max(step / steps, (time.perf_counter() - started) / 60 / minutes)
        model.train()
        flipped = rng.random(len(rows)) < 0.5
        pixels = prepare_images(images[rows])
        pixels[torch.from_numpy(flipped)] = pixels[torch.from_numpy(flipped)].flip(3)
        corners = np.where(flipped[:, None, None], mirrored_boxes(all_boxes[rows]), all_boxes[rows])
        boxes = xyxy_to_cxcywh(torch.from_numpy(corners).float() / SIDE)
        phrases = None
        if model.phrases is not None:
            shown = [mirrored(scenes[row]) if flip else scenes[row] for row, flip in zip(rows, flipped, strict=True)]
            phrases = phrases_of(shown, rng)
        labels, counts = torch.from_numpy(all_labels[rows]), torch.from_numpy(all_counts[rows])
        loss, measured = train_step(model, pixels, boxes, labels, counts, phrases, fast)
        optimizers.step(loss, model, min(1.0, (step + 1) / WARM_UP, max(0.0, (1 - progress) / DECAY)))
        losses.append(measured)
        last = step + 1 == steps or progress >= 1
        if (step + 1) % every == 0 or last:
            means = {f"{key} loss": float(np.mean([row[key] for row in losses[-100:]])) for key in losses[-1]}
            row = {"step": step + 1, **means, **validate(model, validation, validation_images)}
            seconds = {
                "cpu seconds": round(time.process_time() - cpu_started, 1),
                "seconds": round(time.perf_counter() - started, 1),
            }
            curve.append({key: round(value, 4) for key, value in row.items()} | seconds)
            print(curve[-1], flush=True)
            if keep is not None:
                model.save_pretrained(keep / f"step_{step + 1}")
        if last:
            break
    return curve


def drawn(scenes: list[world.Scene], path: Path | None) -> np.ndarray:
    """Pictures of the scenes, uint8 (n, 64, 64, 3); read from `path` where they were kept before."""
    if path is not None and path.is_file():
        images = np.load(path)
        if len(images) >= len(scenes):
            return images[: len(scenes)]
    images = np.stack([draw(scene) for scene in scenes])
    if path is not None:
        np.save(path, images)
    return images


# ---------------------------------------------------------------- experiments
EXPERIMENT_SEED = 40_001  # of the scenes to train on
TEST_SEED = 20_003
NUM_TRAIN, NUM_TEST = 2_000, 500
SEEDS = 5
STEPS = (100, 300)
WIDTH = 128
NLVR_COLORS = {"Yellow": "yellow", "Black": "black", "#0099ff": "blue"}


class Head(nn.Module):
    """Features (b, 64, 512) → logits (b, q, 7) and boxes (b, q, 4), as in the lesson.

    kind : "grid": each cell is a query, its box relative to its place; "absolute": the same, but the box is said in the
        whole picture's numbers; "learned": 16 vectors with two blocks of cross-attention; "linear": each cell alone, by
        one linear layer
    """

    def __init__(self, kind: str, positions: bool = False) -> None:
        super().__init__()
        self.kind = kind
        self.place = nn.Linear(32, WIDTH) if positions else None
        self.norm_in = nn.LayerNorm(512)
        if kind == "linear":
            self.out = nn.Linear(512, NOTHING + 5)
        else:
            self.inward = nn.Linear(512, WIDTH)
            if kind == "learned":
                self.query_vectors = nn.Parameter(torch.randn(16, WIDTH) * 0.5)
                self.blocks = nn.ModuleList(QueryBlock(WIDTH, 4, 2 * WIDTH) for _ in range(2))
            else:
                self.block = nn.TransformerEncoderLayer(
                    WIDTH, 4, 2 * WIDTH, dropout=0.0, batch_first=True, norm_first=True
                )
            self.norm = nn.LayerNorm(WIDTH)
            self.to_class = nn.Linear(WIDTH, NOTHING + 1)
            self.to_box = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 4))
        self.register_buffer("centers", grid_centers())
        angles = grid_centers()[:, :, None] * torch.pi * torch.arange(1, 9)  # (64, 2, 8)
        self.register_buffer("encoding", torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(1))  # (64, 32)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.norm_in(features)
        if self.kind == "linear":
            raw = self.out(x)
            logits, raw = raw[..., : NOTHING + 1], raw[..., NOTHING + 1 :]
        else:
            x = self.inward(x)
            if self.place is not None:
                x = x + self.place(self.encoding)
            if self.kind == "learned":
                queries = self.query_vectors.expand(len(x), -1, -1)
                for block in self.blocks:
                    queries = block(queries, x)
            else:
                queries = self.block(x)
            queries = self.norm(queries)
            logits, raw = self.to_class(queries), self.to_box(queries)
        if self.kind in ("grid", "linear"):
            center = self.centers + raw[..., :2] / 8
        else:
            center = raw[..., :2].sigmoid()
        return logits, torch.cat([center, USUAL_SIZE * raw[..., 2:].clamp(-4, 2).exp()], dim=-1)


def untrained_vision(images: np.ndarray, seed: int) -> nn.Module:
    """CLIP's picture tower with random weights; its batch norms have measured their means and variances on `images`."""
    torch.manual_seed(seed)
    vision = CLIP().vision.train()
    for layer in vision.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the plain mean over all batches
    with torch.no_grad():
        for x in prepare_images(images).split(250):
            vision.pyramid(x)
    return vision.eval()


def features_of(images: np.ndarray, vision: nn.Module | None = None) -> torch.Tensor:
    """uint8 (b, 64, 64, 3) → float16 (b, 64, 512): the grid of the frozen tower, and the finer features in each cell."""
    vision = vision or CLIP.from_pretrained("clip").vision.eval()
    parts = []
    with torch.no_grad():
        for x in prepare_images(images).split(250):
            _, quarter, grid = vision.pyramid(x)
            inside = F.pixel_unshuffle(quarter, 2).flatten(2).transpose(1, 2)  # (b, 64, 4 · 96)
            parts.append(torch.cat([grid, inside], dim=-1).half())
    return torch.cat(parts)


class Setting:
    """Features and objects of the scenes to train on and to test on, made once."""

    def __init__(self, num_train: int = NUM_TRAIN, num_test: int = NUM_TEST) -> None:
        train_scenes = [world.make(EXPERIMENT_SEED, i) for i in range(num_train)]
        self.test_scenes = [world.make(TEST_SEED, i) for i in range(num_test)]
        self.features = features_of(np.stack([draw(scene) for scene in train_scenes]))
        self.test_features = features_of(np.stack([draw(scene) for scene in self.test_scenes]))
        boxes, labels, counts = objects_of(train_scenes)
        self.boxes = xyxy_to_cxcywh(torch.from_numpy(boxes) / SIDE)
        self.labels, self.counts = torch.from_numpy(labels), torch.from_numpy(counts)
        self.targets = detection_figures.true_objects(self.test_scenes)


def match(kind: str, logits, boxes, labels, target_boxes, counts) -> torch.Tensor:
    """Which query is to find what: "one" to one, one to "many", or one to one by a cost "without class"."""
    if kind == "many":
        return dense_matching(target_boxes, counts)
    weights = (0.0, 5.0, 2.0) if kind == "without class" else (1.0, 5.0, 2.0)
    return hungarian_matching(matching_cost(logits, boxes, labels, target_boxes, weights), counts)


def train_head(
    setting: Setting,
    kind: str,
    steps: int,
    seed: int,
    matching: str = "one",
    nothing: float = 0.3,
    positions: bool = False,
) -> Head:
    """A head after so many steps of 32 pictures: the learning rate rises for a tenth of them, then falls to 0."""
    torch.manual_seed(seed)
    head = Head(kind, positions)
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        rows = torch.randint(0, len(setting.features), (32,))
        labels, target_boxes, counts = setting.labels[rows], setting.boxes[rows], setting.counts[rows]
        logits, boxes = head(setting.features[rows].float())
        with torch.no_grad():
            matched = match(matching, logits, boxes, labels, target_boxes, counts)
        losses = set_prediction_loss(logits, boxes, labels, target_boxes, matched, nothing)
        loss = losses[0] + 5 * losses[1] + 2 * losses[2]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return head.eval()


def count_boxes(predictions: list, targets: list) -> dict[str, float]:
    """Per picture, above the score 0.5: boxes minus things, duplicates, other wrong boxes, things not found.

    A duplicate has IoU ≥ 0.5 with a thing of its class that a better box has found.
    """
    extra = duplicates = wrong = missed = 0
    for (boxes, labels, scores), (target_boxes, target_labels) in zip(predictions, targets, strict=True):
        kept = np.flatnonzero(scores > 0.5)
        kept = kept[np.argsort(-scores[kept], kind="stable")]
        extra += len(kept) - len(target_labels)
        missed += len(target_labels)
        for label in range(len(CLASSES)):
            mine, objects = kept[labels[kept] == label], target_boxes[target_labels == label]
            overlap = pairwise_iou(boxes[mine], objects)
            found = match_detections(overlap)
            missed -= int((found >= 0).sum())
            for row, one in zip(overlap, found, strict=True):
                if one < 0:
                    again = len(row) > 0 and row.max() >= 0.5
                    duplicates += int(again)
                    wrong += int(not again)
    n = len(targets)
    return {"extra": extra / n, "duplicates": duplicates / n, "wrong": wrong / n, "missed": missed / n}


def suppressed(prediction: tuple) -> tuple:
    """One picture's boxes after non-maximum suppression in each class."""
    boxes, labels, scores = prediction
    keep = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        keep[rows] = nms(boxes[rows], scores[rows], 0.5)
    return boxes[keep], labels[keep], scores[keep]


@torch.no_grad()
def judge(head: Head, setting: Setting) -> dict[str, float]:
    """Average precisions, and what is wrong above the score 0.5, without and with suppression."""
    logits, boxes = head(setting.test_features.float())
    p, labels = logits.softmax(dim=-1)[..., :NOTHING].max(dim=-1)
    corners = to_pixels(boxes, whole_pixels=True).double()
    predictions = list(zip(corners.numpy(), labels.numpy(), p.double().numpy(), strict=True))
    raw = to_pixels(boxes, whole_pixels=False).double()
    not_rounded = list(zip(raw.numpy(), labels.numpy(), p.double().numpy(), strict=True))
    found = mean_average_precision(predictions, setting.targets, len(CLASSES))
    exchanged = mean_average_precision(predictions[1:] + predictions[:1], setting.targets, len(CLASSES))
    chosen = [suppressed(prediction) for prediction in predictions]
    after = mean_average_precision(chosen, setting.targets, len(CLASSES))
    figures = {
        "map": found["map"],
        "ap50": found["ap50"],
        "map_not_rounded": mean_average_precision(not_rounded, setting.targets, len(CLASSES))["map"],
        "map_nms": after["map"],
        "ap50_nms": after["ap50"],
        "map_exchanged": exchanged["map"],
        "ap50_exchanged": exchanged["ap50"],
        **count_boxes(predictions, setting.targets),
        **{f"{key}_nms": value for key, value in count_boxes(chosen, setting.targets).items()},
    }
    return {key: round(value, 4) for key, value in figures.items()}


def by_seed(setting: Setting, seeds: int, **options) -> dict[str, list[float]]:
    """The figures of each seed, lists."""
    rows = []
    for seed in range(seeds):
        rows.append(judge(train_head(setting, seed=seed, **options), setting))
        print(options, seed, rows[-1], flush=True)
    return {key: [row[key] for row in rows] for key in rows[0]}


def ways_experiment(setting: Setting, seeds: int, budgets: tuple[int, ...]) -> dict:
    """Kinds of queries, and a dense head, at two budgets."""
    ways = {
        "grid": {"kind": "grid"},
        "grid, absolute boxes": {"kind": "absolute"},
        "learned": {"kind": "learned"},
        "dense": {"kind": "grid", "matching": "many"},
        "linear": {"kind": "linear"},
    }
    return {
        str(steps): {name: by_seed(setting, seeds, steps=steps, **options) for name, options in ways.items()}
        for steps in budgets
    }


def nothing_experiment(setting: Setting, seeds: int, budgets: tuple[int, ...]) -> dict:
    """Three weights of "nothing" in the class loss."""
    return {
        str(weight): by_seed(setting, seeds, kind="grid", steps=budgets[-1], nothing=weight)
        for weight in (0.03, 0.1, 1.0)
    }


def matcher_experiment(setting: Setting, seeds: int, budgets: tuple[int, ...]) -> dict:
    """One to one, by a cost that leaves out the class."""
    return {"without class": by_seed(setting, seeds, kind="grid", steps=budgets[-1], matching="without class")}


def positions_experiment(setting: Setting, seeds: int, budgets: tuple[int, ...]) -> dict:
    """Where is a cell? How well a linear probe tells it from the features, and what encodings of positions change."""
    train, test = (x.float().flatten(0, 1) for x in (setting.features[:300], setting.test_features[:200]))
    mean, std = train.mean(dim=0), train.std(dim=0) + 1e-5
    train, test = (train - mean) / std, (test - mean) / std
    place = grid_centers() - 0.5
    weights = torch.linalg.solve(train.T @ train + 10 * torch.eye(512), train.T @ place.repeat(300, 1))
    rest = (test @ weights - place.repeat(200, 1)).square().mean() / place.square().mean()
    ways = {"grid": "grid", "grid, absolute boxes": "absolute", "learned": "learned"}
    found: dict = {"probe r2": round(1 - rest.item(), 4)}
    for name, kind in ways.items():
        steps = budgets if kind == "learned" else budgets[-1:]
        found[name] = {str(n): by_seed(setting, min(seeds, 3), kind=kind, steps=n, positions=True) for n in steps}
    return found


def untrained_experiment(setting: Setting, seeds: int, budgets: tuple[int, ...]) -> dict:
    """Linear heads and grid heads on the features of encoders with random weights, another one for each seed."""
    images = np.stack([draw(world.make(EXPERIMENT_SEED, i)) for i in range(len(setting.features))])
    test_images = np.stack([draw(scene) for scene in setting.test_scenes])
    found: dict = {"linear": [], "grid": []}
    for seed in range(min(seeds, 3)):
        random = copy.copy(setting)
        vision = untrained_vision(images[:1000], seed)
        random.features, random.test_features = features_of(images, vision), features_of(test_images, vision)
        for kind, rows in found.items():
            rows.append(judge(train_head(random, kind, budgets[-1], seed), random))
            print(kind, seed, rows[-1], flush=True)
    return {kind: {key: [row[key] for row in rows] for key in rows[0]} for kind, rows in found.items()}


def challenge_experiment(setting: Setting, seeds: int, budgets: tuple[int, ...]) -> dict:
    """mAP in the dark: the shipped detector as it is, after brightening, and after smoothing, too; a head of our own."""
    from mmcourse.exercise import find_challenge

    drawn = find_challenge("detection.challenge").public()
    exercises = sys.modules[find_challenge("detection.challenge").draw.__module__]
    targets = [(row[row[:, 4] >= 0, :4], row[row[:, 4] >= 0, 4].astype(int)) for row in drawn.hidden]
    model = Detector.from_pretrained("detection")

    def prepared(images: np.ndarray, sigma: float) -> np.ndarray:
        brighter = images / exercises.DARKER
        return np.clip(gaussian_filter(brighter, (0, sigma, sigma, 0)), 0, 255).astype(np.uint8)

    def score(images: np.ndarray) -> float:
        return mean_average_precision(model.detect(images, threshold=0.0), targets, len(CLASSES))["map"]

    found = {"as it is": score(drawn.inputs["images"])}
    for sigma in (0.0, 0.8, 1.1, 1.5):
        found[f"smoothed {sigma}"] = score(prepared(drawn.inputs["images"], sigma))
    rng = np.random.default_rng(0)
    dark = [exercises.in_the_dark(draw(world.make(EXPERIMENT_SEED, i)), rng) for i in range(NUM_TRAIN)]
    night = copy.copy(setting)
    night.features = features_of(prepared(np.stack(dark), 1.1))
    night.test_features, night.targets = features_of(prepared(drawn.inputs["images"], 1.1)), targets
    own = by_seed(night, min(seeds, 3), kind="grid", steps=budgets[-1])
    return {**{name: round(value, 4) for name, value in found.items()}, "own head": own["map_nms"]}


def nlvr_boxes(folder: Path) -> list[tuple[np.ndarray, list[dict], str]]:
    """(picture, things, sentence) of each box of NLVR that is here; things have a box in pixels of 64 × 64."""
    rows = {row["identifier"]: row for row in map(json.loads, (folder / "dev.json").read_text("utf-8").splitlines())}
    found = []
    for path in sorted((folder / "images").glob("*.png")):
        picture = Image.open(path).convert("RGB")
        row = rows["-".join(path.stem.split("-")[1:3])]
        for left, part in zip((0, 150, 300), row["structured_rep"], strict=True):
            small = picture.crop((left, 0, left + 100, 100)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
            things = []
            for thing in part:
                x, y, size = thing["x_loc"], thing["y_loc"], thing["size"]
                corners = np.array([x, y, x + size, y + size]) * SIDE / 100
                things.append(
                    {"box": corners, "shape": thing["type"], "color": NLVR_COLORS[thing["color"]], "size": size}
                )
            found.append((np.asarray(small), things, row["sentence"]))
    return found


def nlvr_experiment(setting: Setting, seeds: int, budgets: tuple[int, ...]) -> dict:
    """The shipped detector on pictures of NLVR: AP50 of boxes by size, and phrases that people wrote in its sentences."""
    rows = nlvr_boxes(Path(os.environ["MMCOURSE_REAL_DATA"]) / "nlvr")
    model = Detector.from_pretrained("detection")
    shapes = [CLASSES.index(name) for name in ("circle", "square", "triangle")]
    predictions = []
    for one in model.detect(np.stack([picture for picture, _, _ in rows]), threshold=0.0, whole_pixels=False):
        known = np.isin(one.labels, shapes)
        predictions.append((one.boxes[known], one.labels[known], one.scores[known]))
    made: dict = {"boxes": len(rows), "things": sum(len(things) for _, things, _ in rows)}
    targets = []
    for _, things, _ in rows:
        boxes = np.array([thing["box"] for thing in things]).reshape(-1, 4)
        targets.append((boxes, np.array([CLASSES.index(thing["shape"]) for thing in things], int)))
    for name, said in (("own", predictions), ("exchanged", predictions[3:] + predictions[:3])):
        scores = mean_average_precision(said, targets, len(CLASSES))
        made[name] = {key: scores[key] for key in ("map", "ap50")}
    recall: dict[int, list[bool]] = {10: [], 20: [], 30: []}
    for (boxes, labels, scores), (_, things, _) in zip(predictions, rows, strict=True):
        sure = scores > 0.5
        for thing in things:
            fits = labels[sure] == CLASSES.index(thing["shape"])
            hit = iou(boxes[sure], np.broadcast_to(thing["box"], boxes[sure].shape)) >= 0.5
            recall[thing["size"]].append(bool((fits & hit).any()))
    made["recall"] = {str(size): {"n": len(hits), "found": float(np.mean(hits))} for size, hits in recall.items()}
    made["phrases"] = nlvr_phrases(model, rows)
    return made


def nlvr_phrases(model: Detector, rows: list) -> dict:
    """ "yellow circle", where a sentence says it: does the box lie on one of the things that fit? Beside it, chance."""
    pattern = re.compile(r"\b(yellow|black|blue) (circle|square|triangle)s?\b")
    asked, fitting, chance = [], [], []
    for number, (_, things, sentence) in enumerate(rows):
        for color, shape in sorted(set(pattern.findall(sentence.lower()))):
            fit = [thing["box"] for thing in things if (thing["color"], thing["shape"]) == (color, shape)]
            if 0 < len(fit) < len(things):
                asked.append((number, f"the {color} {shape}"))
                fitting.append(np.array(fit))
                chance.append(len(fit) / len(things))
    boxes, _ = model.find(
        np.stack([rows[number][0] for number, _ in asked]), [text for _, text in asked], whole_pixels=False
    )
    hits = [bool(iou(np.broadcast_to(b, f.shape), f).max() >= 0.5) for b, f in zip(boxes, fitting, strict=True)]
    sentences = {sentence for _, _, sentence in rows}
    names_one = sum(bool(pattern.search(sentence.lower())) for sentence in sentences)
    return {
        "n": len(hits),
        "hits": sum(hits),
        "chance": float(np.mean(chance)),
        "sentences": len(sentences),
        "sentences that name one": names_one,
    }


EXPERIMENTS: dict[str, Callable[[Setting, int, tuple[int, ...]], dict]] = {
    "ways": ways_experiment,
    "nothing": nothing_experiment,
    "matcher": matcher_experiment,
    "positions": positions_experiment,
    "untrained": untrained_experiment,
    "nlvr": nlvr_experiment,
    "challenge": challenge_experiment,
}


def experiments(names: list[str], seeds: int, budgets: tuple[int, ...]) -> None:
    """Make these parts of `results.json`; the others stay."""
    torch.set_num_threads(1)
    setting = Setting()
    for name in names or list(EXPERIMENTS):
        started = time.process_time()
        made = EXPERIMENTS[name](setting, seeds, budgets)
        try:
            figures = results("detection")
        except FileNotFoundError:
            figures = {"seconds by part": {}}
        figures[name] = made
        figures["seconds by part"][name] = round(time.process_time() - started)
        figures["seconds"] = sum(figures["seconds by part"].values())
        frame = {"seeds": seeds, "budgets": budgets, "scenes": NUM_TRAIN, "test scenes": NUM_TEST}
        figures.setdefault("frames", {})[name] = frame
        figures["made_with"] = {"torch": torch.__version__.split("+")[0], "numpy": np.__version__}
        figures["date"] = time.strftime("%Y-%m-%d")
        save_results("detection", figures)


def main() -> None:
    """Train, save, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--minutes", type=float, default=80.0, help="at most; then the learning rate falls sooner")
    parser.add_argument("--scenes", type=int, default=NUM_SCENES)
    parser.add_argument("--pictures", type=Path, default=None, help="a file in which drawn pictures are kept")
    parser.add_argument("--keep", type=Path, default=None, help="a folder for the model after every 250 steps")
    parser.add_argument("--out", type=Path, default=None, help="another folder for the model")
    parser.add_argument("--measure", action="store_true", help="train nothing: measure the stored model again")
    parser.add_argument("--experiments", nargs="*", choices=EXPERIMENTS, help="only these parts of results.json")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of the experiments")
    parser.add_argument("--budgets", type=int, nargs="+", default=STEPS, help="steps of the experiments")
    options = parser.parse_args()
    if options.experiments is not None:
        experiments(options.experiments, options.seeds, tuple(options.budgets))
        return
    folder = data_dir() / "models" / "detection" if options.out is None else options.out
    if options.measure:
        stored = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
        save(Detector.from_pretrained(folder), stored["training"], folder)
        return
    fast = has_fast_bfloat16()
    torch.manual_seed(SEED)
    scenes = [world.make(TRAIN_SEED, index) for index in range(options.scenes)]
    images = drawn(scenes, options.pictures)
    model = Detector()
    model.look_from(CLIP.from_pretrained("clip"))
    model = model.to(memory_format=torch.channels_last)
    started = time.process_time()
    curve = train(model, options.steps, scenes, images, fast, options.minutes, keep=options.keep)
    training = {
        "seed": SEED,
        "scenes": len(scenes),
        "steps": curve[-1]["step"],
        "steps wanted": options.steps,
        "minutes": options.minutes,
        "clip sha256": json.loads((data_dir() / "models" / "clip" / "figures.json").read_text())["sha256"],
        "bfloat16": fast,
        "cpu seconds": round(time.process_time() - started),
        "curve": curve,
    }
    save(model, training, folder)


CARD = """\
# Model card: detection

Finds the shapes in a picture of `scenes`, with a box each, and the one thing that a phrase means: "the small star left
of the blue box". The picture tower of `clip`, trained on; each position of its 8 × 8 grid is a query, matched one to
one with the objects in training (DETR, Carion et al. 2020). {weights:,} weights as float16, loaded by safetensors only:

```python
from mmcourse.torch.detection import Detector
model = Detector.from_pretrained("detection")
model.detect(pictures)
model.find(pictures, phrases)
```

## Data
{train_scenes:,} drawn scenes of seed {train_seed}, half of them mirrored each time, with new phrases in every epoch
(`data/scenes/README.md`, `mmcourse/datasets/scenes/referring.py`); test scenes are others. No photograph and no sentence
that a person wrote is in it.

## Training
`notebooks/src/detection/make_results.py`, seed {seed}: {steps:,} steps of {batch} pictures with two phrases each; picture
tower and reader of phrases begin as those of `clip`. {cpu:,} CPU seconds of one thread.{ended}
(The weights of `clip` at that time had the SHA-256 {clip}.)
Matrices by Muon, the rest by AdamW. Another processor or another PyTorch rounds differently.

| step | CPU seconds | mAP | AP50 | mAP, not rounded | phrases found |
|---|---|---|---|---|---|
{curve}

(On 300 validation scenes.)

## Measured
On 1,000 test scenes, from the stored weights (`mmcourse figures detection`). mAP is COCO's: the mean over IoU thresholds
0.50 to 0.95. A phrase counts as found when its box has IoU ≥ 0.5 with the thing that is meant; each fits exactly one.

| figure | reached | aim | limit |
|---|---|---|---|
| mAP | **{map:.3f}** | 0.85 | 1.000 |
| AP50 | **{ap50:.3f}** | 0.97 | 1.000 |
| phrases found | **{phrase_accuracy:.3f}** | 0.90 | 1.000 |

One who knows everything, but whose ruler is one pixel off, has mAP {oracle_one_pixel:.3f} ({oracle_over_one_pixel:.3f} if it is a
millionth more, since many IoUs are exactly 0.75, 0.8 or 0.9); two pixels: {oracle_two_pixels:.3f}.
Boxes are rounded to whole pixels, as things are drawn; without that, mAP is {map_not_rounded:.3f}. What limits it are
fractions of a pixel: half of the sides are off by less than {side_error_median:.2f} pixels, nine of ten by less than
{side_error_90_percent:.2f}. With these same boxes, labels and scores, but the exact sides of the thing that a box lies on, mAP
would be {map_exact_sides:.3f}. AP75 is {ap75:.3f}, AP90 {ap90:.3f}. Above the score 0.5 there are {extra_boxes:+.3f} boxes per picture more than things.
Phrases without a relation: {phrase_accuracy_look:.3f}. With one: {phrase_accuracy_relation:.3f}, where who reads only the look
and guesses among what it fits would reach {phrase_guess_relation:.3f} (left {phrase_accuracy_left:.3f}, right
{phrase_accuracy_right:.3f}, above {phrase_accuracy_above:.3f}, below {phrase_accuracy_below:.3f}).
Scenes with pairs of color and shape that training never has: mAP {map_unseen_pairs:.3f}, phrases
{phrase_accuracy_unseen_pairs:.3f}.
{verdict}
All figures: `figures.json`.

## Files
- `model.safetensors` SHA-256 {sha256}
- `config.json` widths of the model; how many pieces the vocabulary had, and their SHA-256

## License and limits
CC BY 4.0, the mmcourse authors. The model knows six shapes, eight colors and the phrases of one grammar. What it says
about photographs means nothing: it is for lessons only.
"""
ENDED = """
It ended after {minutes:g} minutes (`--minutes`), when the machine had other work too; {steps wanted:,} steps were planned. The curve
still rises."""
NAMES = {"map": "mAP", "ap50": "AP50", "phrase_accuracy": "phrases"}
AIMS = {aim.figure: aim for aim in aims.AIMS if aim.lesson == "detection"}


def verdict(figures: dict) -> str:
    """What falls short of the aims, in words."""
    short = [name for key, name in NAMES.items() if not AIMS[key].reached(figures[key])]
    if short:
        return f"Not reached: {', '.join(short)}."
    if not AIMS["map_not_rounded"].reached(figures["map_not_rounded"]):
        return "The aims are reached with boxes rounded to whole pixels. Not rounded, mAP falls short of its aim."
    return "All three aims are reached."


def write_card(folder: Path, model: Detector, found: dict) -> None:
    """README.md with the figures that were measured."""
    figures, training = found["figures"], found["training"]
    rows = [
        f"| {row['step']:,} | {row['cpu seconds']:,.0f} | {row['map']:.3f} | {row['ap50']:.3f} "
        f"| {row['map_not_rounded']:.3f} | {row['phrase_accuracy']:.3f} |"
        for row in training["curve"]
    ]
    text = CARD.format(
        weights=sum(parameter.numel() for parameter in model.parameters()),
        train_scenes=training["scenes"],
        train_seed=TRAIN_SEED,
        batch=BATCH,
        seed=training["seed"],
        steps=training["steps"],
        clip=training["clip sha256"],
        cpu=training["cpu seconds"],
        ended="" if training["steps"] == training["steps wanted"] else ENDED.format(**training),
        curve="\n".join(rows),
        verdict=verdict(figures),
        sha256=found["sha256"],
        **figures,
    )
    atomic_write(folder / "README.md", text)


def save(model: Detector, training: dict, folder: Path) -> None:
    """Write the model, and its figures as it will be loaded: from float16."""
    model.save_pretrained(folder)
    stored = Detector.from_pretrained(folder)
    found = {
        "figures": detection_figures.compute(model=stored),
        "figures_100": detection_figures.compute(100, stored),
        "training": training,
        "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "made_with": {"torch": torch.__version__.split("+")[0], "numpy": np.__version__},
    }
    atomic_write(folder / "figures.json", json.dumps(found, indent=1) + "\n")
    write_card(folder, stored, found)


if __name__ == "__main__":
    main()
