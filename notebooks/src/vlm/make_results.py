"""Train the shipped vision–language model of `scenes` and measure it: writes `data/models/vlm`.

    make results vlm                                         # at most 90 minutes on two cores
    python notebooks/src/vlm/make_results.py --steps 200 --scenes 2000 --out /tmp/vlm   # a try
    python notebooks/src/vlm/make_results.py --measure      # only the figures and the card of the stored model
    python notebooks/src/vlm/make_results.py --start KEPT/step_1500 --before KEPT/curve.json --minutes 40  # goes on

Four stages, each a share of the time: the language model learns to speak, without pictures; then only the projector
learns, from captions; then all together learn from captions and easy questions; then from all kinds of questions, with
a caption of each picture among them. "Where in the picture is the star?" is asked, too: whoever can find one thing can
compare the places of two, which is what takes longest.

Visual tokens have mean square 1, and their positions a code of row and column of the same size: where the tokens were
much larger than their positions, neither "place" nor "relation" was learned.

The picture is read once for all its dialogues (`mmcourse.torch.vlm.pack`). Half of the pictures are mirrored, with
answers and captions of the mirrored scene. Matrices are trained by Muon, the rest by AdamW. The learning rate falls to
0 at the last step, or sooner where `--minutes` would not suffice.

Everything drawn by chance comes from the seed; another processor or another PyTorch rounds differently.
"""

from __future__ import annotations

import argparse
import copy
import functools
import hashlib
import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn
from torch.nn import functional as F

from mmcourse.datasets import data_dir, vocabulary
from mmcourse.datasets.scenes import questions, world
from mmcourse.datasets.scenes.captions import english
from mmcourse.datasets.scenes.drawing import draw
from mmcourse.figures import vlm as vlm_figures
from mmcourse.figures.captioning import truth_of
from mmcourse.io import atomic_write
from mmcourse.torch.captioner import Captioner
from mmcourse.torch.clip import CLIP, GRID, prepare_images
from mmcourse.torch.decoding import KVCache
from mmcourse.torch.lora import add_lora
from mmcourse.torch.visual_tokens import answer_cross_entropy, merge_patches
from mmcourse.torch.vlm import DESCRIBE, IMAGE, PROJECTORS, VLM, pack, question_ids
from mmcourse.training.torch.muon import Muon

SEED = 0
TRAIN_SEED = 30_002  # of the training scenes: not the fixed splits of `scenes.load`
VALIDATION_SEED = 20_002
NUM_SCENES = 36_000
BATCH = 64  # pictures
DECAY = 0.4  # share of the training in which the learning rate falls
WARMUP = 50  # steps at the beginning and at each change of stage
CAPTION_WEIGHT = 0.5  # of the captions' mean loss, beside the answers'
SIDE_WEIGHT = 4.0  # of a caption's pieces from a side ("left", "above", …) to its end: few, and learned last
SIDE_WORDS = ("left", "right", "above", "below", "over", "under", "higher", "lower", "beneath")
NOT_MATRICES = ("embedding", "positions", "queries")
PARTS = ("vision", "projector", "language")
TOWERS = {"clip": CLIP, "captioning": Captioner}


# ---------------------------------------------------------------- stages
@dataclass(frozen=True)
class Stage:
    """A part of the training.

    Attributes
    ----------
    until : share of the training at which it ends
    trained : which parts learn
    captions : how many of each picture
    kinds : of the questions about each picture; "own" is the one for which the scene was made
    sees : whether there is a picture; without, the visual tokens are zeros
    most : scenes with at most so many things
    """

    name: str
    until: float
    trained: tuple[str, ...]
    captions: int
    kinds: tuple[str, ...]
    sees: bool = True
    most: int = world.MOST


EASY = ("colour", "shape", "existence", "place")
ALL = ("own", "relation", "relation", "relation", "place", "place", "existence", "count", "compare")
GRID_SCALE = 1.0  # size of the code of row and column in the positions of a new model's visual tokens
STAGES = (
    Stage("language", 0.02, ("language",), 1, ("own", *EASY), sees=False),
    Stage("projector", 0.05, ("projector",), 2, ()),
    Stage("captions first", 0.12, PARTS, 2, EASY, most=2),
    Stage("questions", 1.0, PARTS, 1, ALL),
)
# The same model and start with something left out: for `--recipe`, and in small for the lesson (`recipes_experiment`).
RECIPES = {
    "whole": STAGES,
    "questions only": (replace(STAGES[0], captions=0), Stage("questions", 1.0, PARTS, 0, ALL)),
    "at once": (replace(STAGES[3], captions=1),),
}


def stage_at(progress: float, stages: Sequence[Stage] = STAGES) -> Stage:
    """The stage at a share of the training, from 0 to 1."""
    return next((stage for stage in stages if progress < stage.until), stages[-1])


class Optimizers:
    """Muon for matrices and kernels, AdamW for the rest, for each part of the model; one factor for all rates."""

    def __init__(self, model: VLM, muon_lr: float = 0.02, adamw_lr: float = 3e-3, vision_factor: float = 0.4) -> None:
        groups: dict[tuple[bool, bool], list] = {}
        for name, parameter in model.named_parameters():
            is_matrix = parameter.ndim > 1 and not any(word in name for word in NOT_MATRICES)
            groups.setdefault((is_matrix, name.startswith("vision.")), []).append(parameter)
        self.all, self.rates = [], []
        for (is_matrix, is_vision), parameters in groups.items():
            rate = (muon_lr if is_matrix else adamw_lr) * (vision_factor if is_vision else 1)
            if is_matrix:
                self.all.append(Muon(parameters, lr=rate))
            else:
                self.all.append(torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=0.0))
            self.rates.append(rate)

    def step(self, loss: torch.Tensor, model: VLM, factor: float) -> None:
        """One update with all learning rates multiplied by `factor`; frozen parts have no gradient and stay."""
        for optimizer, rate in zip(self.all, self.rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * factor
            optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], 1.0)
        for optimizer in self.all:
            optimizer.step()


def set_trained(model: VLM, stage: Stage) -> None:
    """Only the parts of this stage learn; a frozen tower keeps its statistics, too."""
    model.train()
    for part in PARTS:
        getattr(model, part).requires_grad_(part in stage.trained)
    model.vision.train("vision" in stage.trained)


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices by itself (AMX): then convolutions take a third of the time."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16"))


# ---------------------------------------------------------------- data
@functools.lru_cache(maxsize=10_000)
def pieces_of(word: str) -> tuple[int, ...]:
    """Ids of one word with its mark; between English words a space is understood."""
    return tuple(vocabulary.encode(word))


def encode_answer(text: str) -> list[int]:
    """A text and `<eos>`: as `vocabulary.encode`, and ten times as fast."""
    ids: list[int] = []
    for word in text.split():
        ids += pieces_of(word)
    return [*ids, vocabulary.EOS]


cached_question_ids = functools.lru_cache(maxsize=20_000)(question_ids)


def mirrored(scene: world.Scene) -> world.Scene:
    """The scene of the picture with left and right exchanged: pixel x becomes pixel 63 − x."""
    return replace(scene, things=tuple(replace(thing, x=world.SIDE - 1 - thing.x) for thing in scene.things))


@dataclass(frozen=True)
class Sample:
    """A scene and the question for which it was made."""

    scene: world.Scene
    own: questions.Question


def make_samples(n: int) -> list[Sample]:
    """Scenes of all kinds of questions in turn, so that "three" is as frequent as "none"."""
    found = []
    for index in range(n):
        question, _, _, scene = questions.ask(TRAIN_SEED, index)
        found.append(Sample(scene, question))
    return found


class Asker:
    """Draws dialogues about scenes; everything by chance comes from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.numpy = np.random.default_rng([seed, 1])

    def question(
        self, sample: Sample | None, scene: world.Scene, kind: str
    ) -> tuple[Sequence[int], Sequence[int]] | None:
        """One question of this kind with its answer, as ids; None where the scene has none.

        First an answer is chosen, each that is possible as likely, then a question that has it: else nearly all counts
        were none or one.
        """
        if kind == "own":
            question, answer = sample.own, questions.solve(sample.own, scene)
        else:
            by_answer: dict[str, list] = {}
            for question, answer in questions.about(scene, kind):
                by_answer.setdefault(answer, []).append(question)
            if not by_answer:
                return None
            answer = self.random.choice(sorted(by_answer))
            question = self.random.choice(by_answer[answer])
        text = questions.words(question, self.numpy)
        return cached_question_ids(text), encode_answer(answer)

    def dialogues(self, sample: Sample, scene: world.Scene, stage: Stage) -> list[tuple[Sequence[int], Sequence[int]]]:
        """Captions, then questions, none of them twice."""
        found = []
        for _ in range(stage.captions):
            speaker = self.random.randrange(1 << 30)
            caption = english(replace(scene, seed=(*scene.seed, speaker)))
            found.append((cached_question_ids(DESCRIBE), encode_answer(caption)))
        for kind in stage.kinds:
            drawn = self.question(sample, scene, kind)
            if drawn is not None and drawn not in found:
                found.append(drawn)
        return found


def batches(samples: Sequence[Sample], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Row numbers without end, BATCH at a time, each epoch in a new order. `send` says how many things at most."""
    most = world.MOST
    while True:
        usable = np.array([row for row, sample in enumerate(samples) if len(sample.scene.things) <= most])
        order = rng.permutation(usable)
        for start in range(0, max(1, len(order) - BATCH + 1), BATCH):
            wanted = yield order[start : start + BATCH]
            if wanted is not None and wanted != most:
                most = wanted
                break


# ---------------------------------------------------------------- training
def batch_loss(
    model: VLM, images: torch.Tensor, dialogues: list, stage: Stage, fast: bool
) -> tuple[torch.Tensor, dict[str, float]]:
    """Mean nats per piece of the answers, plus CAPTION_WEIGHT times those of the captions; each also by itself.

    In the sum, what a caption says of sides counts SIDE_WEIGHT times. The best model is the same for any such weight:
    each piece's distribution is fitted by itself.

    images : float (b, 3, 64, 64); dialogues : for each picture, as `Asker.dialogues` gives them
    """
    ids, labels, segments, position_ids = pack(dialogues, model.num_visual)
    with torch.autocast("cpu", torch.bfloat16, enabled=fast):
        if stage.sees:
            with torch.set_grad_enabled("vision" in stage.trained):
                features = model.vision(images)
            visual = model.project(features).float()
        else:
            visual = torch.zeros(len(images), model.num_visual, model.config["dim"])
        hidden = model.packed_hidden_states(visual, ids, segments, position_ids)
        following = labels[:, 1:]  # position t predicts the piece at t + 1
        kept = following != -100
        logits = model.language.to_logits(hidden[:, :-1][kept]).float()  # only where something is learned
    nats = F.cross_entropy(logits, following[kept], reduction="none")
    is_caption = (segments[:, 1:] <= stage.captions)[kept]  # captions come first
    counts = torch.where(says_side(following, segments[:, 1:], stage.captions)[kept], SIDE_WEIGHT, 1.0)
    found: dict[str, float] = {}
    loss = nats.sum() * 0.0
    for name, chosen, weight in (("answers", ~is_caption, 1.0), ("captions", is_caption, CAPTION_WEIGHT)):
        if chosen.any():
            loss = loss + weight * (counts * nats)[chosen].mean()
            found[name] = nats[chosen].mean().item()
    return loss, found


@functools.cache
def side_ids() -> torch.Tensor:
    """Ids of the pieces that name a side."""
    return torch.tensor([pieces_of(word)[0] for word in SIDE_WORDS])


def says_side(following: torch.Tensor, segments: torch.Tensor, captions: int) -> torch.Tensor:
    """Which pieces of the captions stand at or after a side that the caption names: bool (b, t).

    following, segments : int64 (b, t), the pieces and the dialogue of each; the first `captions` segments are captions
    """
    is_side = torch.isin(following, side_ids())
    found = torch.zeros_like(is_side)
    for segment in range(1, captions + 1):
        inside = segments == segment
        found |= inside & ((is_side & inside).cumsum(dim=1) > 0)
    return found


class Validation:
    """A few questions of every kind, and scenes to describe."""

    def __init__(self, n: int) -> None:
        kinds = (*questions.QUESTION_KINDS, "place")
        each = max(1, n // len(kinds))
        asked = [questions.ask(VALIDATION_SEED, number, kind=kind) for kind in kinds for number in range(each)]
        self.kinds = np.repeat(kinds, each)
        self.text = [text for _, text, _, _ in asked]
        self.answer = [answer for _, _, answer, _ in asked]
        self.images = np.stack([draw(scene) for _, _, _, scene in asked])
        self.scenes = [world.make(VALIDATION_SEED, index) for index in range(max(5, n // 8))]
        self.scene_images = np.stack([draw(scene) for scene in self.scenes])

    def measure(self, model: VLM) -> dict[str, float]:
        """Accuracy in all (without "place", which no test asks) and of each kind; truth of captions."""
        said = model.answer(self.images, self.text, max_length=8)
        right = np.array([one == true for one, true in zip(said, self.answer, strict=True)])
        found = {"accuracy": float(right[self.kinds != "place"].mean())}
        found |= {kind: float(right[self.kinds == kind].mean()) for kind in dict.fromkeys(self.kinds.tolist())}
        found["captions true"] = truth_of(model.describe(self.scene_images), self.scenes)["all_true"]
        return found


def train(
    model: VLM,
    steps: int,
    samples: list[Sample],
    images: np.ndarray,
    fast: bool,
    minutes: float = 85.0,
    stages: Sequence[Stage] = STAGES,
    every: int = 250,
    keep: Path | None = None,
    num_validation: int = 280,
    seed: int = SEED,
    begun: list[dict] | None = None,
) -> list[dict]:
    """Train; returns what was measured on validation questions every `every` steps, and keeps the model each time.

    `begun` gets an entry for each stage: its name, its first step, which parts learn.
    """
    begun = [] if begun is None else begun
    rng = np.random.default_rng([seed, 3])
    asker, order = Asker(seed), batches(samples, rng)
    validation = Validation(num_validation)
    optimizers, curve = Optimizers(model), []
    losses: dict[str, list[float]] = {"answers": [], "captions": []}
    stage, stage_start = None, 0
    next(order)
    started, cpu_started = time.perf_counter(), time.process_time()
    for step in range(steps):
        progress = max(step / steps, (time.perf_counter() - started) / 60 / minutes)
        if stage_at(progress, stages) is not stage:
            stage, stage_start = stage_at(progress, stages), step
            begun.append({"name": stage.name, "first step": step, "trained": list(stage.trained)})
            print(f"step {step}: stage {stage.name!r}, trained: {', '.join(stage.trained)}", flush=True)
        set_trained(model, stage)
        rows = order.send(stage.most)
        flipped = rng.random(len(rows)) < 0.5
        dialogues = []
        for row, flip in zip(rows.tolist(), flipped.tolist(), strict=True):
            scene = mirrored(samples[row].scene) if flip else samples[row].scene
            dialogues.append(asker.dialogues(samples[row], scene, stage))
        pixels = prepare_images(images[rows])
        pixels[torch.from_numpy(flipped)] = pixels[torch.from_numpy(flipped)].flip(3)
        loss, measured = batch_loss(model, pixels, dialogues, stage, fast)
        factor = min(1.0, (step - stage_start + 1) / WARMUP, max(0.0, (1 - progress) / DECAY))
        optimizers.step(loss, model, factor)
        for name, value in measured.items():
            losses[name].append(value)
        last = step + 1 == steps or (time.perf_counter() - started) / 60 >= minutes
        if (step + 1) % every == 0 or last:
            row = {"step": step + 1, "stage": stage.name}
            means = {f"nats, {name}": float(np.mean(values[-100:])) for name, values in losses.items() if values}
            means |= validation.measure(model)
            seconds = {
                "cpu seconds": round(time.process_time() - cpu_started, 1),
                "seconds": round(time.perf_counter() - started, 1),
            }
            curve.append(row | {key: round(value, 4) for key, value in means.items()} | seconds)
            print(curve[-1], flush=True)
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                atomic_write(keep / "curve.json", json.dumps({"curve": curve, "stages": begun}, indent=1) + "\n")
                model.save_pretrained(keep / f"step_{step + 1}")
        if last:
            break
    return curve


def drawn(samples: list[Sample], path: Path | None) -> np.ndarray:
    """Pictures of the scenes, uint8 (n, 64, 64, 3); read from `path` where they were kept before."""
    if path is not None and path.is_file():
        images = np.load(path)
        if len(images) >= len(samples):
            return images[: len(samples)]
    images = np.stack([draw(sample.scene) for sample in samples])
    if path is not None:
        np.save(path, images)
    return images


def make_model(options: argparse.Namespace) -> VLM:
    """A new model with a trained tower, or a kept one."""
    if options.start is not None:
        model = VLM.from_pretrained(options.start)
        if options.grid_scale is not None:
            model.add_grid_positions(options.grid_scale)
        return model
    model = VLM(projector=options.projector, merge=options.merge)
    model.look_from(TOWERS[options.tower].from_pretrained(options.tower))
    if options.projector != "resampler":
        model.add_grid_positions(GRID_SCALE if options.grid_scale is None else options.grid_scale)
    return model


def join_runs(before: Path | None, curve: list[dict], begun: list[dict], step: int) -> tuple[list[dict], list[dict]]:
    """Curve and stages of an earlier run up to the kept step, then this run's, counted on."""
    if before is None:
        return curve, begun
    earlier = json.loads(before.read_text(encoding="utf-8"))
    rows = [row for row in earlier["curve"] if row["step"] <= step]
    stages = [stage for stage in earlier["stages"] if stage["first step"] < step]
    last = rows[-1]
    for row in curve:
        seconds = {key: round(row[key] + last[key], 1) for key in ("cpu seconds", "seconds")}
        rows.append(row | seconds | {"step": row["step"] + step})
    stages += [
        stage | {"name": f"{stage['name']}, went on", "first step": stage["first step"] + step} for stage in begun
    ]
    return rows, stages


# ---------------------------------------------------------------- experiments that the lesson shows
SEEDS = 5
WAYS = {  # rank (None: all weights of the language model), and whether old questions are mixed in
    "LoRA, rank 1": (1, False),
    "LoRA, rank 4": (4, False),
    "LoRA, rank 4, old mixed in": (4, True),
    "all of the language model": (None, False),
}


def size_data(model: VLM, seed: int, n: int) -> tuple[torch.Tensor, list]:
    """Features of n scenes, and one question each for the size of a thing."""
    asked = [questions.ask(seed, index, kind="size") for index in range(n)]
    with torch.no_grad():
        images = prepare_images(np.stack([draw(scene) for _, _, _, scene in asked]))
        features = torch.cat([model.vision(part) for part in images.split(250)])
    return features, [[(question_ids(text), encode_answer(answer))] for _, text, answer, _ in asked]


def old_data(model: VLM, seed: int, n: int) -> tuple[torch.Tensor, list]:
    """Features of n scenes, and up to eight questions of the old kinds about each."""
    asker = Asker(seed)
    scenes = [world.make(83 + 100 * seed, index) for index in range(n)]
    stage = Stage("old", 1.0, (), 0, (*questions.QUESTION_KINDS, "relation", "compare"))
    dialogues = []
    for scene in scenes:
        drawn_ones = (asker.question(None, scene, kind) for kind in stage.kinds)
        dialogues.append([one for one in drawn_ones if one is not None])
    with torch.no_grad():
        images = prepare_images(np.stack([draw(scene) for scene in scenes]))
        return torch.cat([model.vision(part) for part in images.split(250)]), dialogues


def teach(
    student: VLM, trained: list, rate: float, features: torch.Tensor, dialogues: list, seed: int, steps: int
) -> None:
    """So many steps of AdamW on the answers, 24 pictures each, the learning rate falling to 0."""
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0)
    order = np.random.default_rng(seed)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * (1 - step / steps)
        rows = order.integers(len(features), size=24)
        ids, labels, segments, position_ids = pack([dialogues[row] for row in rows], student.num_visual)
        visual = student.project(features[rows])
        hidden = student.packed_hidden_states(visual, ids, segments, position_ids)
        loss = answer_cross_entropy(student.language.to_logits(hidden), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def teach_sizes(model: VLM, rank: int | None, mixed: bool, seed: int, steps: int = 50, n: int = 600) -> tuple[VLM, int]:
    """A copy that was trained on questions for sizes, and how many weights were trained; rank None: all."""
    student = copy.deepcopy(model)
    features, dialogues = size_data(model, 42 + 100 * seed, n)
    if mixed:
        old_features, old_dialogues = old_data(model, seed, n)
        features, dialogues = torch.cat([features, old_features]), [*dialogues, *old_dialogues]
    torch.manual_seed(seed)
    if rank is None:
        student.requires_grad_(False)
        student.language.requires_grad_(True)
        rate = 1e-3
    else:
        add_lora(student.language, rank, 2.0 * rank)
        rate = 1e-2
        student.vision.requires_grad_(False)
        student.projector.requires_grad_(False)
    trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
    teach(student, trained, rate, features, dialogues, seed, steps)
    return student, sum(parameter.numel() for parameter in trained)


def lora_experiment(model: VLM, seeds: int = SEEDS) -> dict[str, dict]:
    """Right answers to the new kind and to the old ones, for each way and seed."""
    new = [one for group in questions.balanced(41, 200, kinds=("size",)) for one in group]
    images = np.stack([draw(scene) for _, _, _, scene in new])
    old = vlm_figures.Questions(240)
    found = {}
    for name, (rank, mixed) in WAYS.items():
        row: dict = {"new": [], "old": []}
        for seed in range(seeds):
            student, row["weights"] = teach_sizes(model, rank, mixed, seed)
            said = student.answer(images, [text for _, text, _, _ in new], max_length=8)
            row["new"].append(float(np.mean([a == b for a, (_, _, b, _) in zip(said, new, strict=True)])))
            row["old"].append(float(old.right(vlm_figures.ask_all(student, old.text, old.images)).mean()))
        found[name] = row
        print(name, row, flush=True)
    return found


# What was changed at step 1,950 of the long run, taken apart: tokens of mean square 1, a code of row and column.
CHANGES = {"neither": (False, False), "code only": (False, True), "size only": (True, False), "both": (True, True)}
OF_PLACES = Stage("places", 1.0, ("projector", "language"), 0, ("relation", "relation", "place", "place"))


def tokens_as_they_come(model: VLM, features: torch.Tensor) -> torch.Tensor:
    """`VLM.project` without the last line: the size of a token is what the projector makes of it."""
    return model.projector(merge_patches(features.unflatten(1, (GRID, GRID)), model.config["merge"]))


def relearn_places(model: VLM, sized: bool, coded: bool, seed: int, data: tuple, steps: int, batch: int = 32) -> VLM:
    """A copy that was trained on questions for sides and places only; the vision encoder stays as it is.

    data : features (n, 64, vision_dim) and n samples with their scenes
    """
    student = copy.deepcopy(model)
    if not sized:
        student.project = functools.partial(tokens_as_they_come, student)  # type: ignore[method-assign]
    if coded:
        student.add_grid_positions(GRID_SCALE)
    features, samples = data
    torch.manual_seed(seed)
    asker, order = Asker(seed), np.random.default_rng([seed, 5])
    optimizers, fast = Optimizers(student), has_fast_bfloat16()
    set_trained(student, OF_PLACES)
    for step in range(steps):
        rows = order.integers(len(samples), size=batch)
        dialogues = [asker.dialogues(samples[row], samples[row].scene, OF_PLACES) for row in rows.tolist()]
        ids, labels, segments, position_ids = pack(dialogues, student.num_visual)
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            visual = student.project(features[rows]).float()
            hidden = student.packed_hidden_states(visual, ids, segments, position_ids)
            kept = labels[:, 1:] != -100
            logits = student.language.to_logits(hidden[:, :-1][kept]).float()
        loss = F.cross_entropy(logits, labels[:, 1:][kept])
        optimizers.step(loss, student, min(1.0, (step + 1) / WARMUP, 2 * (1 - step / steps)))
    return student


def scale_experiment(start: Path, seeds: int = 3, steps: int = 150, n: int = 3000) -> dict:
    """Sides and places after so many steps from the model that the long run kept before both changes, at step 1,500.

    That model is not shipped, and a new run has both changes from the start: without it the stored figures stay.
    """
    model = VLM.from_pretrained(start)
    samples = [sample for sample in make_samples(n) if len(sample.scene.things) > 1]
    with torch.no_grad():
        pictures = prepare_images(np.stack([draw(sample.scene) for sample in samples]))
        features = torch.cat([model.vision(part) for part in pictures.split(250)])
        tokens = tokens_as_they_come(model, features[:100])
    positions = model.language.positions[1 : 1 + model.num_visual]
    asked = {"relation": [one for group in questions.balanced(43, 200, kinds=("relation",)) for one in group]}
    asked["place"] = [questions.ask(44, index, kind="place") for index in range(200)]
    images = {kind: np.stack([draw(scene) for _, _, _, scene in test]) for kind, test in asked.items()}
    ways: dict[str, dict[str, list[float]]] = {name: {kind: [] for kind in asked} for name in CHANGES}
    for seed in range(seeds):
        for name, (sized, coded) in CHANGES.items():
            student = relearn_places(model, sized, coded, seed, (features, samples), steps)
            for kind, test in asked.items():
                said = student.answer(images[kind], [text for _, text, _, _ in test], max_length=8)
                right = [one == true for one, (_, _, true, _) in zip(said, test, strict=True)]
                ways[name][kind].append(float(np.mean(right)))
            print(seed, name, {kind: shares[-1] for kind, shares in ways[name].items()}, flush=True)
    return {
        "steps": steps,
        "size of tokens": tokens.square().mean().sqrt().item(),
        "size of positions": positions.detach().square().mean().sqrt().item(),
        "ways": ways,
    }


NLVR_COLORS = {"Yellow": "yellow", "Black": "black", "#0099ff": "blue"}


def nlvr_experiment(model: VLM, folder: Path) -> dict:
    """Our questions about the pictures of NLVR, and how many of its sentences have only known words."""
    rows = {row["identifier"]: row for row in map(json.loads, (folder / "dev.json").read_text("utf-8").splitlines())}
    known = set(vocabulary.pieces())
    unknown, readable = Counter(), 0
    for row in rows.values():
        words = [word.strip(".,;:'\"").lower() for word in row["sentence"].split()]
        strange = [word for word in words if word and word not in known and not word.isdigit()]
        unknown.update(strange)
        readable += not strange
    boxes, things = [], []
    for path in sorted((folder / "images").glob("*.png")):
        picture = Image.open(path).convert("RGB")
        parts = rows["-".join(path.stem.split("-")[1:3])]["structured_rep"]
        for left, part in zip((0, 150, 300), parts, strict=True):
            boxes.append(
                np.asarray(picture.crop((left, 0, left + 100, 100)).resize((64, 64), Image.Resampling.BILINEAR))
            )
            things.append([(NLVR_COLORS[thing["color"]], thing["type"]) for thing in part])
    colors, shapes = sorted(NLVR_COLORS.values()), ["circle", "square", "triangle"]
    asked: dict[str, list] = {"a thing with color and shape": [], "a shape": [], "how many of a shape": []}
    for box, part in enumerate(things):
        for shape in shapes:
            number = sum(other == shape for _, other in part)
            asked["a shape"].append((box, f"Is there a {shape}?", "yes" if number else "no"))
            if number <= 3:
                asked["how many of a shape"].append((box, f"How many {shape}s are there?", questions.NUMBERS[number]))
            for color in colors:
                answer = "yes" if (color, shape) in part else "no"
                asked["a thing with color and shape"].append((box, f"Is there a {color} {shape}?", answer))
    rng, by_kind = np.random.default_rng(0), {}
    for name, every in asked.items():
        answers = sorted({answer for _, _, answer in every})
        groups = [[one for one in every if one[2] == answer] for answer in answers]
        each = min(60, *map(len, groups))
        chosen = [group[row] for group in groups for row in rng.permutation(len(group))[:each].tolist()]
        said = vlm_figures.ask_all(
            model, [text for _, text, _ in chosen], np.stack([boxes[box] for box, _, _ in chosen])
        )
        right = sum(a == b for a, (_, _, b) in zip(said, chosen, strict=True))
        begun = sum(a.split()[:1] == [b] for a, (_, _, b) in zip(said, chosen, strict=True))  # then it may babble
        low, high = vlm_figures.wilson_interval(right, len(chosen))
        shares = {"right": right / len(chosen), "low": low, "high": high, "first word right": begun / len(chosen)}
        by_kind[name] = shares | {"n": len(chosen), "chance": 1 / len(answers)}
    return {
        "sentences": len(rows),
        "readable": readable,
        "unknown": [word for word, _ in unknown.most_common(20)],
        "boxes": len(boxes),
        "by_kind": by_kind,
        "source": "NLVR, Suhr et al. 2017, development set, CC BY 4.0",
    }


# Sentences of people, put to the model: "There is a box with a yellow triangle and no blue squares."
NLVR_PIXELS = {"Yellow": (255, 255, 0), "Black": (0, 0, 0), "#0099ff": (0, 153, 255)}
PHRASES = re.compile(r"\b(a|no|one|two|three) (yellow|black|blue) (circle|square|triangle)s?\b")


def nlvr_box(things: list[dict], times: int = 4) -> np.ndarray:
    """A box of NLVR, drawn from its list of things: uint8 (64, 64, 3)."""
    picture = Image.new("RGB", (100 * times, 100 * times), (211, 211, 211))
    pen = ImageDraw.Draw(picture)
    for thing in things:
        x, y, size = (thing[key] * times for key in ("x_loc", "y_loc", "size"))
        color, right, bottom = NLVR_PIXELS[thing["color"]], x + size - 1, y + size - 1
        if thing["type"] == "triangle":
            pen.polygon([(x, bottom), (right, bottom), (x + size / 2, y)], fill=color)
        else:
            (pen.rectangle if thing["type"] == "square" else pen.ellipse)((x, y, right, bottom), fill=color)
    return np.asarray(picture.resize((64, 64), Image.Resampling.BOX))


def in_words(sentence: str) -> str:
    """Digits as words, and a period: the vocabulary has no digits."""
    return re.sub(r"\d", lambda digit: questions.NUMBERS[int(digit[0])], sentence).rstrip(".") + "."


def how_many(things: list[dict], color: str, shape: str) -> int:
    """How many things of a box have this color and shape."""
    return sum(NLVR_COLORS[thing["color"]] == color and thing["type"] == shape for thing in things)


def full_reading(sentence: str, boxes: list[list[dict]]) -> bool:
    """What the sentence says, with its numbers: of one box where it names a box, else of all boxes together."""
    wanted = PHRASES.findall(sentence)
    parts = boxes if "box" in sentence else [[thing for box in boxes for thing in box]]
    numbers = {"no": 0} | {word: number for number, word in enumerate(questions.NUMBERS)}

    def fits(number: str, found: int) -> bool:
        return found >= 1 if number == "a" else found == numbers[number]

    return any(all(fits(n, how_many(part, c, s)) for n, c, s in wanted) for part in parts)


def sentences_experiment(model: VLM, folder: Path) -> dict:
    """NLVR's sentences of known words, asked of their own three boxes and of gray ones, in three ways.

    as it is : the sentence in place of a question; true where "yes" is more likely than "no" of any box
    in questions : "Is there a yellow triangle?" for each thing that it names; true where all answers fit in any box
    as a caption : its likelihood; for each pair of a true and a false picture of one sentence, which is higher
    """
    rows = {row["identifier"]: row for row in map(json.loads, (folder / "dev.json").read_text("utf-8").splitlines())}
    known = set(vocabulary.pieces())
    chosen = []
    for row in rows.values():
        words = [word.strip(".,;:'\"").lower() for word in row["sentence"].split()]
        if all(word in known or word.isdigit() for word in words if word):
            chosen.append(row)
    apart = []  # how far our drawing is from theirs, where theirs is here
    for path in sorted((folder / "images").glob("*.png")):
        picture = Image.open(path).convert("RGB")
        for left, part in zip((0, 150, 300), rows["-".join(path.stem.split("-")[1:3])]["structured_rep"], strict=True):
            theirs = picture.crop((left, 0, left + 100, 100)).resize((64, 64), Image.Resampling.BILINEAR)
            apart.append(np.abs(np.asarray(theirs, float) - nlvr_box(part)).mean())
    sentences = [in_words(row["sentence"]) for row in chosen]
    label = np.array([row["label"] == "true" for row in chosen])
    boxes = [part for row in chosen for part in row["structured_rep"]]
    drawn_boxes = np.stack([nlvr_box(part) for part in boxes])
    each = [sentence for sentence in sentences for _ in range(3)]
    phrases = [(box, *phrase) for box, sentence in enumerate(each) for phrase in PHRASES.findall(sentence)]
    asked = [f"Is there a {color} {shape}?" for _, _, color, shape in phrases]

    def combined(answers: Sequence[str]) -> np.ndarray:
        fits = np.ones(len(boxes), bool)
        for (box, number, _, _), answer in zip(phrases, answers, strict=True):
            fits[box] &= answer == ("no" if number == "no" else "yes")
        return fits.reshape(-1, 3).any(axis=1)

    def of_each(says_true: np.ndarray) -> list[int]:
        """Right ones of the true sentences, and of the false ones."""
        return [int((says_true & label).sum()), int((~says_true & ~label).sum())]

    found: dict = {"n": len(chosen), "distinct": len(set(sentences)), "true": int(label.sum())}
    found["gray levels between the drawings"] = float(np.mean(apart))
    truths = ["yes" if how_many(boxes[box], color, shape) else "no" for box, _, color, shape in phrases]
    full = [full_reading(sentence, row["structured_rep"]) for sentence, row in zip(sentences, chosen, strict=True)]
    found["perfect eyes"] = {"in questions": of_each(combined(truths)), "full reading": of_each(np.array(full))}
    sizes = []  # of the largest such thing in the box, 0 if there is none; ours are at least 16 of 100 pixels wide
    for box, _, color, shape in phrases:
        sizes.append(max([t["size"] for t in boxes[box] if how_many([t], color, shape)], default=0))
    for name, pictures in (("own", drawn_boxes), ("gray", np.full_like(drawn_boxes, vlm_figures.GRAY))):
        margin = model.log_likelihood(pictures, each, "yes") - model.log_likelihood(pictures, each, "no")
        as_it_is = (margin > 0).numpy().reshape(-1, 3).any(axis=1)
        said = vlm_figures.ask_all(model, asked, pictures[[box for box, *_ in phrases]])
        found[name] = {"as it is": of_each(as_it_is), "in questions": of_each(combined(said))}
        for size in sorted({*sizes} - {0}):
            of_size = [answer == "yes" for answer, largest in zip(said, sizes, strict=True) if largest == size]
            found[name][f"yes to things of size {size}"] = [sum(of_size), len(of_size)]
        absent = [answer == "yes" for answer, largest in zip(said, sizes, strict=True) if not largest]
        found[name]["yes to what is not there"] = [sum(absent), len(absent)]
        if name == "own":
            nats = model.log_likelihood(pictures, DESCRIBE, each).numpy().reshape(-1, 3).max(axis=1)
            higher = [
                (sentences[a], bool(nats[a] > nats[b]))
                for a in np.flatnonzero(label)
                for b in np.flatnonzero(~label)
                if sentences[a] == sentences[b]
            ]
            found["as a caption"] = {
                "pairs": len(higher),
                "sentences": len({sentence for sentence, _ in higher}),
                "true one higher": sum(right for _, right in higher),
            }
    return found


# ---------------------------------------------------------------- small models, trained anew
SMALL_KINDS = ("colour", "shape", "existence")
SMALL_STEPS, SMALL_SEEDS = 120, 3


@functools.cache
def small_data(n: int, seed: int) -> tuple[torch.Tensor, list[Sample]]:
    """Scenes with at most two things, as the captioner's eye sees them: float (m, 64, 128), and samples."""
    scenes = [scene for index in range(n) if len((scene := world.make(seed, index)).things) <= 2]
    eye = Captioner.from_pretrained("captioning").vision
    with torch.no_grad():
        pictures = prepare_images(np.stack([draw(scene) for scene in scenes]))
        features = torch.cat([eye(part) for part in pictures.split(250)])
    nothing = questions.Question("", (), ())
    return features, [Sample(scene, nothing) for scene in scenes]


def train_small(
    projector: str, stages: Sequence[Stage], data: tuple[torch.Tensor, list[Sample]], steps: int, seed: int
) -> VLM:
    """A new model of two blocks that reads features: its `vision` passes on what comes in."""
    torch.manual_seed(seed)
    merge = 1 if projector == "resampler" else 2  # 16 visual tokens in each case
    model = VLM(num_layers=2, hidden=256, projector=projector, merge=merge)
    if projector != "resampler":
        model.add_grid_positions(GRID_SCALE)
    model.vision = nn.Identity()
    features, samples = data
    asker, order, optimizers = Asker(seed), np.random.default_rng([seed, 7]), Optimizers(model)
    for step in range(steps):
        stage = stage_at(step / steps, stages)
        set_trained(model, stage)
        rows = order.integers(len(samples), size=32)
        dialogues = [asker.dialogues(samples[row], samples[row].scene, stage) for row in rows.tolist()]
        loss, _ = batch_loss(model, features[rows], dialogues, stage, has_fast_bfloat16())
        optimizers.step(loss, model, min(1.0, (step + 1) / 20) * (1 - step / steps))
    return model.eval()


@torch.no_grad()
def first_right(model: VLM, features: torch.Tensor, asked: list[tuple[Sequence[int], Sequence[int]]]) -> np.ndarray:
    """Whether the first piece of each answer is right, bool (n,)."""
    right = []
    for row, (question, answer) in enumerate(asked):
        ids = torch.tensor([[vocabulary.BOS, *[IMAGE] * model.num_visual, *question]])
        x = model.embed(ids, model.project(features[row : row + 1]))
        logits = model.language.to_logits(model.language.hidden_states(x, KVCache())[:, -1])
        right.append(int(logits.argmax()) == answer[0])
    return np.array(right)


def small_test(n: int = 300) -> tuple[torch.Tensor, list, np.ndarray]:
    """Features, one question each, and its kind: of scenes that no training here has."""
    features, samples = small_data(3 * n, 82)
    asker, kinds, asked, rows = Asker(99), [], [], []
    for row, sample in enumerate(samples):
        drawn_one = asker.question(None, sample.scene, SMALL_KINDS[len(asked) % 3])
        if drawn_one is not None and len(asked) < n:
            kinds.append(SMALL_KINDS[len(asked) % 3])
            asked.append(drawn_one)
            rows.append(row)
    return features[rows], asked, np.array(kinds)


def compare_small(ways: dict[str, tuple[str, Sequence[Stage]]], steps: int, seeds: int, n: int) -> dict:
    """Share of right answers of each way and seed, with the pictures and with those of other questions."""
    data, (features, asked, kinds) = small_data(n, 81), small_test()
    see = np.isin(kinds, ("colour", "shape"))
    found: dict = {}
    for name, (projector, stages) in ways.items():
        row: dict = {"color and shape": [], "existence": [], "other pictures": [], "seconds": []}
        for seed in range(seeds):
            started = time.process_time()
            model = train_small(projector, stages, data, steps, seed)
            row["seconds"].append(round(time.process_time() - started, 1))
            right = first_right(model, features, asked)
            row["color and shape"].append(float(right[see].mean()))
            row["existence"].append(float(right[~see].mean()))
            row["other pictures"].append(float(first_right(model, features.roll(1, 0), asked)[see].mean()))
            row["weights of the projector"] = sum(weight.numel() for weight in model.projector.parameters())
        found[name] = row
        print(name, row, flush=True)
    return {"steps": steps, "questions": int(see.sum()), "ways": found}


def projectors_experiment(steps: int = SMALL_STEPS, seeds: int = SMALL_SEEDS, n: int = 3600) -> dict:
    """Three projectors with 16 tokens each, from three kinds of questions about scenes with at most two things."""
    stages = (Stage("questions", 1.0, ("projector", "language"), 0, SMALL_KINDS),)
    return compare_small({kind: (kind, stages) for kind in PROJECTORS}, steps, seeds, n)


def recipes_experiment(steps: int = SMALL_STEPS, seeds: int = SMALL_SEEDS, n: int = 3600) -> dict:
    """The stages of the shipped model in small, questions alone, and all at once: equal steps."""

    def in_small(stage: Stage) -> Stage:
        trained = tuple(part for part in stage.trained if part != "vision")
        kinds = SMALL_KINDS if stage.kinds else ()
        return replace(stage, trained=trained, kinds=kinds)

    ways = {name: ("mlp", tuple(in_small(stage) for stage in stages)) for name, stages in RECIPES.items()}
    return compare_small(ways, steps, seeds, n)


# ---------------------------------------------------------------- what always comes together
RED_CIRCLE = (world.SHAPES.index("circle"), world.COLORS.index("red"))
BLUE_SQUARE = (world.SHAPES.index("square"), world.COLORS.index("blue"))
TOGETHER = {  # shares of scenes with a red circle and a blue square, with neither, only the circle, only the square
    "always together": ((True, True), (False, False)),
    "counterfactuals mixed in": ((True, True), (False, False), (True, False), (False, True)),
}
ASKED = {"known": "Is there a blue square?", "new": "Is there a square?"}


def scenes_with(circle: bool, square: bool, seed: int, n: int) -> list[world.Scene]:
    """Scenes of three or four things, with or without a red circle and a blue square; no other squares."""
    rng = np.random.default_rng([seed, circle, square, 17])
    others = [k for k in world.pool(None) if k[0] != BLUE_SQUARE[0] and k[:2] != RED_CIRCLE]
    found = []
    while len(found) < n:
        kinds = [
            (*look, int(rng.integers(2))) for look, there in ((RED_CIRCLE, circle), (BLUE_SQUARE, square)) if there
        ]
        kinds += [others[row] for row in rng.integers(len(others), size=4 - len(kinds) - int(rng.integers(2)))]
        things = world.place(kinds, rng)
        if things:
            order = rng.permutation(len(things)).tolist()
            texture = int(rng.integers(len(world.TEXTURES)))
            found.append(world.Scene(tuple(things[i] for i in order), texture, (seed, len(found))))
    return found


def together_experiment(model: VLM, seeds: int = 3, steps: int = 50, n: int = 600) -> dict:
    """How often a model says yes to a square where there is only the red circle that always came with one."""

    def features_of(scenes: list[world.Scene]) -> torch.Tensor:
        with torch.no_grad():
            return torch.cat(
                [model.vision(part) for part in prepare_images(np.stack([draw(s) for s in scenes])).split(250)]
            )

    tests = {
        "circle, no square": scenes_with(True, False, 53, 100),
        "square, no circle": scenes_with(False, True, 53, 100),
        "both": scenes_with(True, True, 53, 100),
        "neither": scenes_with(False, False, 53, 100),
    }
    pictures = {name: np.stack([draw(scene) for scene in scenes]) for name, scenes in tests.items()}

    def says_yes(student: VLM, question: str) -> dict[str, float]:
        found = {}
        for name, images in pictures.items():
            margin = student.log_likelihood(images, question, "yes") - student.log_likelihood(images, question, "no")
            found[name] = float((margin > 0).double().mean())
        return found

    found: dict = {"steps": steps, "scenes": n, "questions": ASKED, "before": {}, "after": {}}
    for key, question in ASKED.items():
        found["before"][key] = says_yes(model, question)
        found["after"][key] = {}
        for name, mixture in TOGETHER.items():
            if key == "known" and len(mixture) > 2:
                continue  # nothing to mend
            rows: dict[str, list[float]] = {test: [] for test in tests}
            for seed in range(seeds):
                each = n // len(mixture)
                scenes = [(scene, pair[1]) for pair in mixture for scene in scenes_with(*pair, 54 + seed, each)]
                features = features_of([scene for scene, _ in scenes])
                text = cached_question_ids(question)
                dialogues = [[(text, encode_answer("yes" if square else "no"))] for _, square in scenes]
                student = copy.deepcopy(model)
                torch.manual_seed(seed)
                add_lora(student.language, 4, 8.0)
                student.vision.requires_grad_(False)
                student.projector.requires_grad_(False)
                trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
                teach(student, trained, 1e-2, features, dialogues, seed, steps)
                for test, share in says_yes(student, question).items():
                    rows[test].append(share)
            found["after"][key][name] = rows
            print(key, found["before"][key], name, rows, flush=True)
    return found


EXPERIMENTS = ("lora", "scale", "nlvr", "sentences", "projectors", "recipes", "together")


def real_nlvr() -> Path | None:
    """NLVR in the folder of real data, if there is one."""
    folder = Path(os.environ.get("MMCOURSE_REAL_DATA", "")) / "nlvr"
    return folder if (folder / "dev.json").is_file() else None


def experiments(nlvr: Path | None, scale_from: Path | None, only: Sequence[str] = ()) -> None:
    """Write `results.json` beside this file, part by part; what needs data that is not here keeps its old figures."""
    path = Path(__file__).with_name("results.json")
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    model = VLM.from_pretrained("vlm")
    parts = {
        "lora": lambda: lora_experiment(model),
        "projectors": projectors_experiment,
        "recipes": recipes_experiment,
        "together": lambda: together_experiment(model),
    }
    if scale_from is not None:
        parts["scale"] = lambda: scale_experiment(scale_from)
    if nlvr is not None:
        parts["nlvr"] = lambda: nlvr_experiment(model, nlvr)
        parts["sentences"] = lambda: sentences_experiment(model, nlvr)
    spent = found.setdefault("seconds of parts", {})
    for name, make in parts.items():
        if only and name not in only:
            continue
        started = time.perf_counter()
        found[name] = make()
        spent[name] = round(time.perf_counter() - started)
        found["made_with"] = {"torch": torch.__version__.split("+")[0], "numpy": np.__version__}
        atomic_write(path, json.dumps(found, indent=1) + "\n")


def main() -> None:
    """Train, save, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--minutes", type=float, default=80.0, help="at most; then the learning rate falls sooner")
    parser.add_argument("--scenes", type=int, default=NUM_SCENES)
    parser.add_argument("--recipe", choices=RECIPES, default="whole", help="another leaves something out")
    parser.add_argument(
        "--tower", choices=TOWERS, default="captioning", help="the shipped model whose picture tower sees"
    )
    parser.add_argument("--projector", choices=PROJECTORS, default="mlp")
    parser.add_argument("--merge", type=int, default=1, help="1: 64 visual tokens, 2: 16, 4: 4")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--every", type=int, default=250, help="steps between two measurements")
    parser.add_argument("--start", type=Path, default=None, help="a kept model to go on from, with the last stage only")
    parser.add_argument("--before", type=Path, default=None, help="the curve of the run that kept it (curve.json)")
    parser.add_argument("--grid-scale", type=float, default=None, help="add row and column to the positions, so large")
    parser.add_argument("--pictures", type=Path, default=None, help="a file in which drawn pictures are kept")
    parser.add_argument("--keep", type=Path, default=None, help="a folder for the model after each measurement")
    parser.add_argument("--out", type=Path, default=None, help="another folder for the model")
    parser.add_argument("--measure", action="store_true", help="only figures and card of the stored model")
    parser.add_argument(
        "--experiments", nargs="*", choices=EXPERIMENTS, help="only what the lesson shows, or parts of it"
    )
    parser.add_argument("--nlvr", type=Path, default=real_nlvr(), help="a folder with NLVR's dev.json and images")
    parser.add_argument("--scale-from", type=Path, default=None, help="a model kept before places were learned")
    options = parser.parse_args()
    if options.measure:
        folder = data_dir() / "models" / "vlm" if options.out is None else options.out
        training = json.loads((folder / "figures.json").read_text(encoding="utf-8"))["training"]
        save(VLM.from_pretrained(folder), training, options.out)
        return
    if options.experiments is not None:
        experiments(options.nlvr, options.scale_from, options.experiments)
        return
    fast = has_fast_bfloat16()
    torch.manual_seed(options.seed)
    samples = make_samples(options.scenes)
    images = drawn(samples, options.pictures)
    model = make_model(options).to(memory_format=torch.channels_last)
    stages = RECIPES[options.recipe] if options.start is None else RECIPES[options.recipe][-1:]
    begun: list[dict] = []
    curve = train(
        model,
        options.steps,
        samples,
        images,
        fast,
        options.minutes,
        stages,
        options.every,
        options.keep,
        seed=options.seed,
        begun=begun,
    )
    first = 0 if options.start is None else int(options.start.name.rpartition("_")[2])
    curve, begun = join_runs(options.before, curve, begun, first)
    scale = (GRID_SCALE if options.start is None else 0) if options.grid_scale is None else options.grid_scale
    training = {
        "seed": options.seed,
        "recipe": options.recipe,
        "tower": options.tower,
        "note": f"A code of row and column, {scale:+g} in size, was added to the positions of visual tokens at step {first}.",
        "scenes": len(samples),
        "steps": curve[-1]["step"],
        "stages": begun,
        "bfloat16": fast,
        "cpu seconds": round(curve[-1]["cpu seconds"]),
        "curve": curve,
    }
    save(model, training, options.out)
    if options.out is None:
        experiments(options.nlvr, options.scale_from)


CARD = """\
# Model card: vlm

Answers English questions about a picture of `scenes`, and describes it: the picture tower of `{tower}`, trained on, a
projector, and a causal language model in whose text the picture's {visual} tokens stand. {weights:,} weights as float16,
loaded by safetensors only:

```python
from mmcourse.torch.vlm import VLM
model = VLM.from_pretrained("vlm")
model.answer(pictures, "Is there a red star?")
model.describe(pictures)
```

## Data
{train_scenes:,} drawn scenes of seed {train_seed}, half of them mirrored each time, with new questions and captions in
every epoch (`data/scenes/README.md`); test scenes are others. Six kinds of questions, and a seventh, "place", that only
teaches. Text is encoded by `mmcourse.datasets.vocabulary`. No photograph and no sentence that a person wrote is in it.

## Training
`notebooks/src/vlm/make_results.py`, seed {seed}: {steps:,} steps of {batch} pictures with up to {texts} dialogues each;
{cpu:,} CPU seconds. Stages, with the parts that learn:
{stages}.
{note}
Matrices by Muon, the rest by AdamW. Another processor or another PyTorch rounds differently.

| step | CPU seconds | all | existence | count | color | shape | relation | compare |
|---|---|---|---|---|---|---|---|---|
{curve}

(Accuracy on 240 validation questions.)

## Measured
On {questions:,} test questions, from the stored weights (`mmcourse figures vlm`), greedy, letter for letter. Each question
is asked about as many pictures as it has answers, and each answer is right once: whoever does not look is right once in
each group. In brackets: 95 % intervals.

| figure | reached | aim | limit |
|---|---|---|---|
| right answers | **{accuracy:.3f}** ({accuracy_low:.3f}–{accuracy_high:.3f}) | 0.95 | 1.000 |
| right answers of the worst kind | **{worst_kind:.3f}** | 0.88 | 1.000 |
| with the picture of another question | **{exchanged_pictures:.3f}** ({exchanged_low:.3f}–{exchanged_high:.3f}) | at most 0.30 | |
| with a gray picture | **{gray_pictures:.3f}** | at most 0.30 | {language_only:.3f} |

| kind | right | 95 % interval | language alone, at most |
|---|---|---|---|
{kinds}

What limits it: of {relation_more_n:,} more questions for sides, {relation_more:.3f} ({relation_more_low:.3f}–{relation_more_high:.3f}) are right; where the two things have one color, only
{relation_same_color:.3f} ({relation_same_color_low:.3f}–{relation_same_color_high:.3f}, {relation_same_color_n:,} questions), else {relation_two_colors:.3f}. It finds things by their color.{before}

Of "is there …?" about what is not there, "yes" is said to {false_yes_conjunction:.3f} where its color and its shape are both
there, on different things, to {false_yes_half:.3f} where one of them is, to {false_yes_neither:.3f} where neither is. Asked for the
color of a thing that is not there, it names one in {false_premise_color:.3f} of all cases: no training question has a false
premise. Descriptions: {captions_all_true:.3f} wholly true, {mentioned_but_absent:.4f} of the things they mention are not there.
Swapped colors and exchanged sides told by the likelihood of the sentence: {foils_color:.3f} and {foils_relation:.3f} (chance 0.5); sides asked for,
"where is the red star, seen from the blue circle?": {foils_relation_asked:.3f}. Questions with
pairs of color and shape that training never has: {accuracy_unseen_pairs:.3f} right.
{verdict}
All figures: `figures.json`.

## Files
- `model.safetensors` SHA-256 {sha256}
- `config.json` widths of the model; how many pieces the vocabulary had, and their SHA-256

## License and limits
CC BY 4.0, the mmcourse authors. The model knows six shapes, eight colors and the questions of one grammar. What it says
about photographs means nothing: it is for lessons only.
"""


def verdict(figures: dict) -> str:
    """What falls short of the aims, in words."""
    short = []
    if figures["accuracy"] < 0.95:
        short.append(f"right answers ({figures['accuracy']:.3f} of 0.95)")
    weak = [kind for kind in questions.QUESTION_KINDS if figures[kind] < 0.88]
    if weak:
        short.append(f"{', '.join(weak)} (below 0.88)")
    for name, words in (("exchanged_pictures", "other questions' pictures"), ("gray_pictures", "gray pictures")):
        if figures[name] > 0.30:
            short.append(f"{words} ({figures[name]:.3f}, above 0.30)")
    if not short:
        return "All four aims are reached."
    return f"Not reached: {'; '.join(short)}. The curve above shows which kinds were learned when."


BEFORE = """ (The model of step 3,478 answered {right:.3f} of
{questions:,} such questions: going on did not help here.)"""


def write_card(folder: Path, model: VLM, found: dict) -> None:
    """README.md with the figures that were measured."""
    figures, training = found["figures"], found["training"]
    curve = training["curve"]
    columns = ("accuracy", *questions.QUESTION_KINDS)
    rows = [
        f"| {row['step']:,} | {row['cpu seconds']:,.0f} | " + " | ".join(f"{row[name]:.2f}" for name in columns) + " |"
        for row in curve
        if row in (curve[0], curve[-1]) or row["step"] % 1000 == 0
    ]
    kinds = [
        f"| {kind.replace('colour', 'color')} | {figures[kind]:.3f} | {figures[f'{kind}_low']:.3f}–"
        f"{figures[f'{kind}_high']:.3f} | {figures[f'language_only_{kind}']:.3f} |"
        for kind in questions.QUESTION_KINDS
    ]
    stages = "; ".join(
        f'"{stage["name"]}" ({", ".join(stage["trained"])}) from step {stage["first step"]}'
        for stage in training["stages"]
    )
    earlier = training.get("sides at step 3,478")  # only the shipped run went on from there
    text = CARD.format(
        tower=training["tower"],
        visual=model.num_visual,
        weights=sum(parameter.numel() for parameter in model.parameters()),
        train_scenes=training["scenes"],
        train_seed=TRAIN_SEED,
        batch=BATCH,
        texts=max(stage.captions + len(stage.kinds) for stage in RECIPES[training["recipe"]]),
        seed=training["seed"],
        steps=training["steps"],
        stages=stages,
        cpu=training["cpu seconds"],
        note=training["note"],
        curve="\n".join(rows),
        kinds="\n".join(kinds),
        before="" if earlier is None else BEFORE.format(**earlier),
        verdict=verdict(figures),
        sha256=found["sha256"],
        **figures,
    )
    atomic_write(folder / "README.md", text)


def save(model: VLM, training: dict, out: Path | None = None) -> None:
    """Write the model, and its figures as it will be loaded: from float16."""
    folder = data_dir() / "models" / "vlm" if out is None else out
    model.save_pretrained(folder)
    figures = vlm_figures.compute(model=VLM.from_pretrained(folder))
    found = {
        "figures": figures,
        "figures_100": vlm_figures.compute(100, VLM.from_pretrained(folder)),
        "training": training,
        "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "made_with": {"torch": torch.__version__.split("+")[0], "numpy": np.__version__},
    }
    atomic_write(folder / "figures.json", json.dumps(found, indent=1) + "\n")
    write_card(folder, model, found)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
