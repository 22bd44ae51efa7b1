"""Train the shipped detector of `scenes` and measure it: writes `data/models/detection`.

    make results detection                                  # at most 90 minutes on two cores
    python notebooks/src/detection/make_results.py --steps 200 --scenes 2000 --out /tmp/detection   # a try
    python notebooks/src/detection/make_results.py --measure   # only the figures and the card of the stored model

The picture tower and the reader of phrases start from the shipped CLIP; all is trained along. Half of the pictures of a
batch are mirrored, and each comes with two phrases, one of them with a relation. Matrices are trained by Muon, the rest
by AdamW. The learning rate falls to 0 at the last step, or sooner where `--minutes` would not suffice.

Everything drawn by chance comes from the seed; another processor or another PyTorch rounds differently.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from mmcourse.datasets import data_dir
from mmcourse.datasets.scenes import referring, world
from mmcourse.datasets.scenes.drawing import box, draw
from mmcourse.figures import detection as detection_figures
from mmcourse.io import atomic_write
from mmcourse.torch.boxes import xyxy_to_cxcywh
from mmcourse.torch.clip import CLIP, SIDE, prepare_images, tokenize
from mmcourse.torch.detection import Detector
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
    options = parser.parse_args()
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
Boxes are rounded to whole pixels, as things are drawn; without that, mAP is {map_not_rounded:.3f}. AP75 is {ap75:.3f}, AP90
{ap90:.3f}. Above the score 0.5 there are {extra_boxes:+.3f} boxes per picture more than things.
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
AIMS = {"map": ("mAP", 0.85), "ap50": ("AP50", 0.97), "phrase_accuracy": ("phrases", 0.90)}


def verdict(figures: dict) -> str:
    """What falls short of the aims, in words."""
    short = [name for key, (name, aim) in AIMS.items() if figures[key] < aim]
    if short:
        return f"Not reached: {', '.join(short)}."
    _, aim = AIMS["map"]
    if figures["map_not_rounded"] < aim:
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
