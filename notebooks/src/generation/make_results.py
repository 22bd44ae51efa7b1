"""Train, save and measure the painter that is shipped in data/models/generation, and the long runs of lesson generation.

    python notebooks/src/generation/make_results.py --train FILE --chunk 7      # again to go on; saves at the end
    python notebooks/src/generation/make_results.py --measure                   # only figures and card of the stored model
    python notebooks/src/generation/make_results.py gan flow painters           # only these tables

- `gan`: a ring of eight Gaussians, eleven pairs of networks, each ingredient of BigGAN switched on alone and all together, five
  seeds, two budgets;
- `flow`: flow matching on the same ring with classes: captions dropped or not, weights averaged or not, guidance, five seeds,
  two budgets;
- `painters`: five small painters of icons from five seeds, at two budgets: pairs that training had and pairs it never had;
- `steps`: the shipped painter with 1 to 50 Euler steps, five draws of noise;
- `gan_icons`: a small GAN of icons beside a small painter, the same CPU seconds for both, three seeds, two budgets;
- `two_things`: small painters of two things side by side, with captions that say which is left; two encodings, two budgets;
- `challenge`: what simple ways reach in the open challenge.

`make results generation` makes the tables, about seven minutes of one processor; the painter takes five more.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import itertools
import json
import math
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.authoring.tables import make_tables
from mmcourse.datasets import data_dir, results, vocabulary
from mmcourse.datasets.scenes import icons
from mmcourse.datasets.scenes.captions import ENGLISH, article
from mmcourse.datasets.scenes.drawing import draw
from mmcourse.datasets.scenes.world import COLORS, SHAPES, SIDE, TEXTURES, TURNS, Scene, Thing
from mmcourse.datasets.stored import lesson_dir
from mmcourse.figures import generation as figures
from mmcourse.io import atomic_write
from mmcourse.torch.clip import CLIP
from mmcourse.torch.diffusion import ExponentialAverage, guide, sample_flow, time_embedding
from mmcourse.torch.gan import discriminator_loss, generator_loss
from mmcourse.torch.generation import NOTHING, FiLMBlock, Painter, from_pictures, icon_words, to_pictures

SEED = 0
STEPS, BATCH, DROPPED = 2_400, 64, 0.1
SEEDS = 5


# ---------------------------------------------------------------- the shipped painter
def learning_rate(step: int, progress: float, highest: float = 2e-3) -> float:
    """Rises over 50 steps, then falls to a tenth along a cosine as `progress` goes to 1."""
    fall = 0.55 + 0.45 * math.cos(math.pi * min(progress, 1.0))
    return highest * min(1.0, (step + 1) / 50) * fall


def drop(captions: list[str], rng: np.random.Generator, share: float = DROPPED) -> list[str]:
    """A share of the captions, each as a whole, becomes the empty one."""
    return [NOTHING if u < share else caption for caption, u in zip(captions, rng.random(len(captions)), strict=True)]


def painter_step(model: Painter, pictures: torch.Tensor, kinds: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """The flow-matching loss of a random mini-batch with new captions."""
    rows = rng.integers(len(pictures), size=BATCH)
    captions = drop([icons.say_icon(tuple(kinds[row]), rng) for row in rows], rng)
    clean = pictures[rows]
    t = torch.from_numpy(rng.normal(size=BATCH)).float().sigmoid()
    noise = torch.from_numpy(rng.normal(size=clean.shape)).float()
    column = t[:, None, None, None]
    x = column * clean + (1 - column) * noise
    return F.mse_loss(model(x, t, captions), clean - noise)


def train(keep: Path, steps: int, chunk: float) -> bool:
    """Train until `steps`; a call stops after `chunk` minutes, and the next one goes on from `keep`. Whether it ended."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    pictures, _, kinds = icons.load(figures.PER_KIND, figures.TRAIN_SEED)
    clean = from_pictures(pictures)
    model = Painter()
    average = ExponentialAverage(model, 0.999)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    state: dict = {"step": 0, "curve": [], "cpu seconds": 0.0}
    if keep.is_file():
        stored = torch.load(keep, weights_only=True)
        model.load_state_dict(stored["model"])
        average.model.load_state_dict(stored["average"])
        optimizer.load_state_dict(stored["optimizer"])
        state = stored["state"]
        average.num_updates = state["step"]
    asked, asked_kinds = figures.ask(icons.SEEN_ICONS, 84, figures.TEST_SEED - 1)
    before, started, cpu_started, losses = state["cpu seconds"], time.perf_counter(), time.process_time(), []
    while state["step"] < steps and time.perf_counter() - started < 60 * chunk:
        step = state["step"]
        rng = np.random.default_rng([SEED, step, 2])  # of the step, so that a run that was stopped goes on as it would
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, step / steps)
        model.train()
        loss = painter_step(model, clean, kinds, rng)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model)
        losses.append(loss.item())
        state["step"] = step + 1
        if state["step"] in (100, 200, 400) or state["step"] % 600 == 0 or state["step"] == steps:
            painted = average.model.paint(asked, figures.GUIDANCE, seed=5)
            row = {"step": step + 1, "loss": float(np.mean(losses[-100:]))}
            row["right"] = figures.shares(painted, asked_kinds)["right"]
            row["cpu seconds"] = round(before + time.process_time() - cpu_started)
            state["curve"].append({key: round(value, 4) for key, value in row.items()})
            print(state["curve"][-1], flush=True)
    state["cpu seconds"] = before + time.process_time() - cpu_started
    keep.parent.mkdir(parents=True, exist_ok=True)
    parts = {"model": model.state_dict(), "average": average.model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({**parts, "state": state}, keep)
    print("at step", state["step"], flush=True)
    if state["step"] < steps:
        return False
    training = {"seed": SEED, "steps": steps, "batch": BATCH, "dropped": DROPPED, "pictures": len(pictures)}
    training |= {"cpu seconds": round(state["cpu seconds"]), "curve": state["curve"]}
    save(average.model, training, data_dir() / "models" / "generation")
    return True


CARD = """\
# Model card: generation

Paints icons of `scenes`, 16 × 16 pixels, from a caption: "a green star", "a disc that is azure". Flow matching with a U-Net
that sees time and caption by FiLM; the caption is the mean of its words' embeddings ({words} words of the course's vocabulary).
{weights:,} weights as float16, the exponential moving average of training, loaded by safetensors only:

```python
from mmcourse.torch.generation import Painter
model = Painter.from_pretrained("generation")
model.paint(["a green star"], guidance=2.0, num_steps=20)   # uint8 (1, 16, 16, 3)
```

## Data
{pictures:,} icons, {per_kind} of each of the {seen} color–shape pairs that training scenes may hold
(`mmcourse.datasets.scenes.icons`, seed {train_seed}), with new captions each time. Six pairs are never shown: red star, yellow
diamond, green square, blue triangle, purple circle, black cross. One object per picture: two objects at 32 × 32 were not tried.

## Training
`notebooks/src/generation/make_results.py`, seed {seed}: {steps:,} steps of {batch} icons with AdamW, {dropped:.0%} of the captions
dropped, {cpu:,} CPU seconds of one thread. One training run. Another processor or another PyTorch rounds differently.

| step | CPU seconds | loss | right, of 84 captions |
|---|---|---|---|
{curve}

## Measured
From the stored weights (`mmcourse figures generation`): {captions:,} captions of the seen pairs, {unseen_captions} of the six others, guidance 2,
20 Euler steps. A picture is right if an exact parser of the renderer finds the color and the shape that were asked for, and the
best rendering of all leaves no larger error than it does with the renderer's own icons.

| figure | reached | aim | limit |
|---|---|---|---|
| picture right, pairs of training | **{picture_right:.3f}** | 0.9 | {judge_right_on_real:.3f} (real icons) |
| picture right, pairs never shown | **{picture_right_unseen:.3f}** | – | {judge_right_on_real:.3f} |
| pairs of training drawn without any caption | **{modes_covered:.3f}** | – | 1 |
| Fréchet distance, features of lesson `clip` | **{frechet:.4f}** | – | {frechet_of_other_real:.4f} (other real icons) |

95 % intervals (Wilson) over captions: {seen_low:.3f} to {seen_high:.3f} and {new_low:.3f} to {new_high:.3f}. They say nothing of
other trainings: `results.json` has five small ones. Guidance 0/1/2/4: {by_weight}.
The detector of lesson `detection`, shown icons in a larger picture, names the shape of {detector_shape_right:.3f} of these pictures and of
{detector_shape_right_on_real:.3f} of real icons: as a judge it is of little use here, and the parser decides.
Nearest training picture (root mean square, 0 to 1): smallest {near[0]:.3f}, median {near[2]:.3f}; of real icons that are not in the training set {real_near[0]:.3f} and
{real_near[2]:.3f}. No copy.
{verdict}
All figures: `figures.json`.

## Files
- `model.safetensors` SHA-256 {sha256}
- `config.json` widths of the model and the ids of its words

## License and limits
CC BY 4.0, the mmcourse authors. It draws six flat shapes in eight colors and nothing else. For lessons only.
"""


def write_card(folder: Path, model: Painter, found: dict) -> None:
    """README.md with the figures that were measured."""
    measured, training = found["figures"], found["training"]
    rows = [
        f"| {row['step']:,} | {row['cpu seconds']:,.0f} | {row['loss']:.3f} | {row['right']:.3f} |"
        for row in training["curve"]
    ]
    text = CARD.format(
        words=len(model.words),
        weights=sum(parameter.numel() for parameter in model.parameters()),
        per_kind=figures.PER_KIND,
        seen=len(icons.SEEN_ICONS),
        train_seed=figures.TRAIN_SEED,
        cpu=training["cpu seconds"],
        unseen_captions=max(60, measured["captions"] // 2),
        curve="\n".join(rows),
        seen_low=measured["picture_right_interval"][0],
        seen_high=measured["picture_right_interval"][1],
        new_low=measured["picture_right_unseen_interval"][0],
        new_high=measured["picture_right_unseen_interval"][1],
        by_weight=", ".join(f"{part['right']:.3f}" for part in measured["by_guidance"].values()) + " right",
        near=measured["nearest_training"],
        real_near=measured["nearest_training_of_real"],
        verdict="The aim is reached." if measured["picture_right"] >= 0.9 else "The aim is not reached.",
        sha256=found["sha256"],
        **{key: value for key, value in training.items() if key not in ("curve", "cpu seconds")},
        **{key: value for key, value in measured.items() if isinstance(value, (int, float))},
    )
    atomic_write(folder / "README.md", text)


def save(model: Painter, training: dict, folder: Path) -> None:
    """Write the model, and its figures as it will be loaded: from float16."""
    model.save_pretrained(folder)
    stored = Painter.from_pretrained(folder)
    found = {
        "figures": figures.compute(model=stored),
        "figures_126": figures.compute(126, stored),
        "training": training,
        "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "made_with": {"torch": torch.__version__.split("+")[0], "numpy": np.__version__},
    }
    atomic_write(folder / "figures.json", json.dumps(found, indent=1) + "\n")
    write_card(folder, stored, found)


# ---------------------------------------------------------------- a ring of eight Gaussians
MODES, RADIUS, SPREAD = 8, 2.0, 0.1
ANGLES = torch.arange(MODES) * 2 * math.pi / MODES
CENTERS = RADIUS * torch.stack([ANGLES.cos(), ANGLES.sin()], dim=1)  # (8, 2)
CLASSES = 4  # mode k belongs to class k mod 4: two opposite groups each


def ring(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of SEEDS independent samples (SEEDS, n, 2), and their classes (SEEDS, n)."""
    mode = torch.randint(MODES, (SEEDS, n), generator=generator)
    points = CENTERS[mode] + SPREAD * torch.randn(SEEDS, n, 2, generator=generator)
    return points, mode % CLASSES


def coverage(points: torch.Tensor) -> tuple[list[int], list[float]]:
    """For each seed, of points (SEEDS, n, 2): modes with at least a percent of the points within 3 σ, and the share within."""
    distance = torch.cdist(points, CENTERS.expand(len(points), -1, -1))  # (SEEDS, n, 8)
    near, mode = distance.min(dim=2)
    modes, good = [], []
    for inside, which in zip(near < 3 * SPREAD, mode, strict=True):
        counts = torch.bincount(which[inside], minlength=MODES)
        modes.append(int((counts >= 0.01 * len(which)).sum()))
        good.append(round(float(inside.float().mean()), 4))
    return modes, good


class Many(nn.Module):
    """SEEDS networks at once, each with weights of its own: (SEEDS, b, n_in) → (SEEDS, b, n_out)."""

    def __init__(self, sizes: tuple[int, ...], orthogonal: bool = False, spectral: bool = False) -> None:
        super().__init__()
        self.spectral = spectral
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for number, (a, b) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            weight = torch.empty(SEEDS, a, b)
            for one in weight:
                nn.init.orthogonal_(one) if orthogonal else nn.init.uniform_(one, -(a**-0.5), a**-0.5)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(torch.zeros(SEEDS, 1, b)))
            self.register_buffer(f"u{number}", F.normalize(torch.ones(SEEDS, b, 1), dim=1))

    def weight(self, number: int) -> torch.Tensor:
        weight = self.weights[number]
        if not self.spectral:
            return weight
        u = getattr(self, f"u{number}")  # one round of power iteration per call, as PyTorch's own
        with torch.no_grad():
            v = F.normalize(weight @ u, dim=1)
            u = F.normalize(weight.mT @ v, dim=1)
            setattr(self, f"u{number}", u)
        return weight / (v.mT @ weight @ u)

    def layer(self, number: int, h: torch.Tensor) -> torch.Tensor:
        return torch.baddbmm(self.biases[number], h, self.weight(number))


class Generator(Many):
    """Noise and class → points; a class has a scale and a shift for each hidden unit (class-conditional norm, without the norm)."""

    def __init__(self, width: int, classes: bool, orthogonal: bool) -> None:
        super().__init__((8, width, width, 2), orthogonal)
        self.film = nn.Parameter(torch.zeros(SEEDS, CLASSES, 4 * width)) if classes else None

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        h = z
        film = None if self.film is None else self.film.gather(1, labels[..., None].expand(-1, -1, self.film.shape[2]))
        for number in (0, 1):
            h = self.layer(number, h)
            if film is not None:
                scale, shift = film.chunk(2, dim=2)[number].chunk(2, dim=2)
                h = (1 + scale) * h + shift
            h = F.leaky_relu(h, 0.2)
        return self.layer(2, h)


class Critic(Many):
    """Points and class → logits (SEEDS, b); a class is projected on the features (Miyato and Koyama 2018)."""

    def __init__(self, width: int, classes: str, orthogonal: bool, spectral: bool) -> None:
        super().__init__((2 + CLASSES * (classes == "concatenated"), width, width, 1), orthogonal, spectral)
        self.classes = classes
        self.embedding = nn.Parameter(torch.zeros(SEEDS, CLASSES, width)) if classes == "projected" else None

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.classes == "concatenated":
            x = torch.cat([x, F.one_hot(labels, CLASSES).float()], dim=2)
        h = F.leaky_relu(self.layer(0, x), 0.2)
        h = F.leaky_relu(self.layer(1, h), 0.2)
        logits = self.layer(2, h)[..., 0]
        if self.embedding is not None:
            of_class = self.embedding.gather(1, labels[..., None].expand(-1, -1, h.shape[2]))
            logits = logits + (of_class * h).sum(dim=2)
        return logits


BASE = {"loss": "non-saturating", "spectral": False, "classes": "", "batch": 64, "orthogonal": False}
INGREDIENTS = {
    "minimax": {**BASE, "loss": "minimax"},
    "non-saturating": BASE,
    "hinge": {**BASE, "loss": "hinge"},
    "spectral norm": {**BASE, "spectral": True},
    "classes, concatenated": {**BASE, "classes": "concatenated"},
    "classes, generator only": {**BASE, "classes": "generator"},
    "classes, projected": {**BASE, "classes": "projected"},
    "batch of 512": {**BASE, "batch": 512},
    "orthogonal start": {**BASE, "orthogonal": True},
    "hinge and spectral norm": {**BASE, "loss": "hinge", "spectral": True},
    "all": {"loss": "hinge", "spectral": True, "classes": "projected", "batch": 512, "orthogonal": True},
}
GAN_BUDGETS = (500, 2000)
TRUNCATIONS = (1.0, 0.5, 0.2)


def train_gan(loss: str, spectral: bool, classes: str, batch: int, orthogonal: bool, width: int = 64) -> dict:
    """{steps: {"modes", "inside": [seed], "… averaged", "truncated"}} for SEEDS networks at once."""
    torch.manual_seed(SEED)
    generator, draws = Generator(width, bool(classes), orthogonal), torch.Generator().manual_seed(1)
    critic = Critic(width, classes, orthogonal, spectral)
    average = ExponentialAverage(generator, 0.995)
    of_g = torch.optim.Adam(generator.parameters(), 1e-3, betas=(0.5, 0.999))
    of_c = torch.optim.Adam(critic.parameters(), 1e-3, betas=(0.5, 0.999))
    found = {}
    for step in range(1, GAN_BUDGETS[-1] + 1):
        real, labels = ring(batch, draws)
        fake = generator(torch.randn(SEEDS, batch, 8, generator=draws), labels)
        on_real, on_fake = critic(real, labels), critic(fake.detach(), labels)
        of_c.zero_grad()
        torch.stack([discriminator_loss(r, f, loss) for r, f in zip(on_real, on_fake, strict=True)]).sum().backward()
        of_c.step()
        labels = torch.randint(CLASSES, (SEEDS, batch), generator=draws)
        fake = generator(torch.randn(SEEDS, batch, 8, generator=draws), labels)
        on_fake = critic(fake, labels)
        of_g.zero_grad()
        torch.stack([generator_loss(f, loss) for f in on_fake]).sum().backward()
        of_g.step()
        average.update(generator)
        if step in GAN_BUDGETS:
            found[str(step)] = measure_gan(generator, average.model)
    return found


@torch.no_grad()
def measure_gan(generator: Generator, average: Generator, n: int = 2000) -> dict:
    """Modes and share inside of the last weights, of the averaged ones, and of these with truncated noise."""
    draws = torch.Generator().manual_seed(99)
    labels = torch.randint(CLASSES, (SEEDS, n), generator=draws)
    z = torch.randn(SEEDS, n, 8, generator=draws)
    row: dict = {}
    row["modes"], row["inside"] = coverage(generator(z, labels))
    row["modes averaged"], row["inside averaged"] = coverage(average(z, labels))
    for limit in TRUNCATIONS:
        points = average(z.clamp(-limit, limit), labels)
        modes, inside = coverage(points)
        spread = points.std(dim=1).mean(dim=1)  # the standard deviation of all points of a seed
        row[f"noise within {limit:g}"] = {
            "modes": modes,
            "inside": inside,
            "spread": [round(float(s), 4) for s in spread],
        }
    return row


def make_gan() -> dict:
    """Each ingredient alone on the base, and all together."""
    torch.set_num_threads(1)
    found: dict = {"seeds": SEEDS, "budgets": list(GAN_BUDGETS)}
    for name, settings in INGREDIENTS.items():
        start = time.process_time()
        found[name] = train_gan(**settings)
        last = found[name][str(GAN_BUDGETS[-1])]
        print(name, last["modes"], last["inside"], round(time.process_time() - start), "s", flush=True)
    return found


# ---------------------------------------------------------------- flow matching on the ring
FLOW_BUDGETS = (500, 2000)


class RingFlow(Many):
    """Velocities (SEEDS, b, 2) of points at times (b,), given a class; class number CLASSES means "no class"."""

    def __init__(self, width: int = 96) -> None:
        super().__init__((2 + 16 + CLASSES + 1, width, width, width, 2))

    def forward(self, x: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        when = time_embedding(t, 16, 30.0).expand(SEEDS, -1, -1)
        h = torch.cat([x, when, F.one_hot(labels, CLASSES + 1).float()], dim=2)
        for number in (0, 1, 2):
            h = F.silu(self.layer(number, h))
        return self.layer(3, h)


@torch.no_grad()
def measure_flow(model: RingFlow, n: int = 2000) -> dict:
    """For guidance 0, 1, 2, 4: share of points inside a mode, and inside a mode of the class that was asked for."""
    draws = torch.Generator().manual_seed(98)
    labels = torch.randint(CLASSES, (SEEDS, n), generator=draws)
    start = torch.randn(SEEDS, n, 2, generator=draws)
    found = {}
    for weight in (0.0, 1.0, 2.0, 4.0):
        x, times = start, torch.linspace(0, 1, 41)
        for t, t_next in zip(times[:-1], times[1:], strict=True):
            now = t.expand(n)
            free = model(x, now, torch.full_like(labels, CLASSES))
            x = x + (t_next - t) * guide(free, model(x, now, labels), weight)
        distance = torch.cdist(x, CENTERS.expand(SEEDS, -1, -1))
        near, mode = distance.min(dim=2)
        inside = near < 3 * SPREAD
        of_class = inside & (mode % CLASSES == labels)
        spread = torch.where(inside, near, torch.nan).nanmean(dim=1)  # 0.125 with the data's own spread
        found[f"guidance {weight:g}"] = {
            "inside": [round(float(v), 4) for v in inside.float().mean(dim=1)],
            "right": [round(float(v), 4) for v in of_class.float().mean(dim=1)],
            "distance to the center": [round(float(v), 4) for v in spread.nan_to_num(9.0)],
        }
    return found


def train_ring_flow(dropped: float) -> dict:
    """{steps: {"last": …, "averaged": …}}; the learning rate stays as it is, as in long trainings."""
    torch.manual_seed(SEED)
    model, draws = RingFlow(), torch.Generator().manual_seed(2)
    average = ExponentialAverage(model, 0.995)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    found = {}
    for step in range(1, FLOW_BUDGETS[-1] + 1):
        clean, labels = ring(256, draws)
        free = torch.rand(labels.shape, generator=draws) < dropped
        noise = torch.randn(clean.shape, generator=draws)
        t = torch.rand(256, generator=draws)
        x = t[:, None] * clean + (1 - t[:, None]) * noise
        wrong = model(x, t, labels.masked_fill(free, CLASSES)) - (clean - noise)
        loss = wrong.square().mean(dim=(1, 2)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(model)
        if step in FLOW_BUDGETS:
            found[str(step)] = {"last": measure_flow(model), "averaged": measure_flow(average.model)}
    return found


def make_flow() -> dict:
    """Classes dropped for 0, 10 or 50 % of the points."""
    torch.set_num_threads(1)
    found: dict = {"seeds": SEEDS, "budgets": list(FLOW_BUDGETS)}
    for dropped in (0.0, 0.1, 0.5):
        found[f"dropped {dropped:g}"] = train_ring_flow(dropped)
        print(dropped, found[f"dropped {dropped:g}"][str(FLOW_BUDGETS[-1])]["averaged"], flush=True)
    return found


# ---------------------------------------------------------------- five small painters
PAINTER_BUDGETS = (200, 600)


def train_small_painter(seed: int) -> dict:
    """{steps: {"seen", "unseen": {guidance: shares}, "seen, last weights"}} of a painter a third as wide."""
    torch.manual_seed(seed)
    pictures, _, kinds = icons.load(40, 41_000 + seed)
    clean = from_pictures(pictures)
    model = Painter(channels=(16, 32), dim=64)
    average = ExponentialAverage(model, 0.995)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    seen, unseen = figures.ask(icons.SEEN_ICONS, 84, 5), figures.ask(icons.UNSEEN_ICONS, 60, 6)
    found: dict = {}
    for step in range(PAINTER_BUDGETS[-1]):
        rng = np.random.default_rng([seed, step, 7])
        model.train()
        loss = painter_step(model, clean, kinds, rng)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model)
        if step + 1 in PAINTER_BUDGETS:
            row: dict = {"seen": {}, "unseen": {}}
            for weight in (1.0, 2.0, 4.0):
                for name, (captions, of) in (("seen", seen), ("unseen", unseen)):
                    painted = average.model.paint(captions, weight, seed=seed)
                    row[name][f"{weight:g}"] = rounded(figures.shares(painted, of))
            row["seen, last weights"] = rounded(figures.shares(model.paint(seen[0], 2.0, seed=seed), seen[1]))
            found[str(step + 1)] = row
            print(seed, step + 1, row["seen"]["2"], row["unseen"]["2"], flush=True)
    return found


def rounded(row: dict) -> dict:
    return {key: round(value, 4) for key, value in row.items()}


def make_painters(most: int = SEEDS) -> dict:
    """Five seeds: other pictures, other starts, other noise. At most `most` more in this call; stored ones are kept."""
    torch.set_num_threads(1)
    runs: list[dict] = []
    if (lesson_dir("generation") / "results.json").is_file():
        runs = results("generation").get("painters", {}).get("runs", [])
    for seed in range(len(runs), min(SEEDS, len(runs) + most)):
        runs.append(train_small_painter(seed))
    return {"seeds": SEEDS, "budgets": list(PAINTER_BUDGETS), "runs": runs}


# ---------------------------------------------------------------- the shipped painter, step by step
def make_steps() -> dict:
    """{steps: [share right for each draw of noise]}; and the pictures' distance to those of 100 steps from the same noise."""
    torch.set_num_threads(1)
    model = Painter.from_pretrained("generation")
    captions, kinds = figures.ask(icons.SEEN_ICONS, 42, 8)
    found: dict = {"captions": len(captions), "draws": SEEDS, "right": {}, "distance": {}}
    for seed in range(SEEDS):
        best = model.paint(captions, 2.0, 100, seed=100 + seed).astype(float)
        for steps in (1, 2, 3, 5, 10, 20, 50):
            painted = model.paint(captions, 2.0, steps, seed=100 + seed)
            found["right"].setdefault(str(steps), []).append(round(figures.shares(painted, kinds)["right"], 4))
            apart = np.sqrt(np.mean((painted - best) ** 2)) / 255
            found["distance"].setdefault(str(steps), []).append(round(float(apart), 4))
    return found


# ---------------------------------------------------------------- a GAN of icons beside a painter
ICON_SECONDS = (10, 30)  # CPU seconds of training, for both
ICON_SEEDS = 3
PER_PAIR = 10  # pictures of each pair that are judged


class IconGenerator(nn.Module):
    """Noise (b, 32) and kinds (b, 2) → pictures (b, 3, 16, 16) from −1 to 1. Noise and kind reach each block by FiLM."""

    noise_dim = 32

    def __init__(self, width: int = 32, dim: int = 64) -> None:
        super().__init__()
        self.shape, self.color = nn.Embedding(len(SHAPES), dim), nn.Embedding(len(COLORS), dim)
        self.of_noise = nn.Linear(self.noise_dim, dim)
        self.first = nn.Linear(self.noise_dim, width * 16)
        self.blocks = nn.ModuleList(FiLMBlock(width, width, dim) for _ in range(3))  # at 4, 8 and 16 pixels
        self.last = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, 3, 3, padding=1), nn.Tanh())

    def forward(self, z: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        condition = F.silu(self.of_noise(z) + self.shape(kinds[:, 0]) + self.color(kinds[:, 1]))
        h = self.first(z).view(len(z), -1, 4, 4)
        for number, block in enumerate(self.blocks):
            h = block(F.interpolate(h, scale_factor=2) if number else h, condition)
        return self.last(h)


class IconCritic(nn.Module):
    """Pictures and kinds → logits (b,): convolutions under spectral norm; shape and color are projected on the features."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        normed = nn.utils.parametrizations.spectral_norm
        sizes = (3, width, 2 * width, 2 * width)
        convolutions = [nn.Conv2d(a, b, 3, padding=1) for a, b in zip(sizes[:-1], sizes[1:], strict=True)]
        self.convolutions = nn.ModuleList(normed(layer) for layer in convolutions)
        self.score = normed(nn.Linear(2 * width, 1))
        self.shape = normed(nn.Embedding(len(SHAPES), 2 * width))
        self.color = normed(nn.Embedding(len(COLORS), 2 * width))

    def forward(self, x: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        for number, layer in enumerate(self.convolutions):
            x = F.leaky_relu(layer(F.avg_pool2d(x, 2) if number else x), 0.2)
        features = x.sum(dim=(2, 3))  # (b, 2 · width)
        of_kind = self.shape(kinds[:, 0]) + self.color(kinds[:, 1])
        return self.score(features)[:, 0] + (of_kind * features).sum(dim=1)


def train_icon_gan(seed: int, seconds: tuple[int, ...] = ICON_SECONDS) -> dict:
    """{CPU seconds: figures} of a GAN with hinge loss, spectral norm, projection and averaged weights."""
    torch.manual_seed(seed)
    pictures, _, kinds = icons.load(figures.PER_KIND, figures.TRAIN_SEED)
    clean, of = from_pictures(pictures), torch.from_numpy(kinds)
    generator, critic = IconGenerator(), IconCritic()
    average = ExponentialAverage(generator, 0.99)
    of_g = torch.optim.Adam(generator.parameters(), 5e-4, betas=(0.0, 0.99))
    of_c = torch.optim.Adam(critic.parameters(), 1e-3, betas=(0.0, 0.99))

    def step() -> None:
        rows = torch.randint(len(clean), (BATCH,))
        fake = generator(torch.randn(BATCH, generator.noise_dim), of[rows])
        on_real, on_fake = critic(clean[rows], of[rows]), critic(fake.detach(), of[rows])
        of_c.zero_grad()
        discriminator_loss(on_real, on_fake, "hinge").backward()
        of_c.step()
        critic.requires_grad_(False)
        of_g.zero_grad()
        generator_loss(critic(fake, of[rows]), "hinge").backward()
        of_g.step()
        critic.requires_grad_(True)
        average.update(generator)

    @torch.no_grad()
    def draw(kinds: np.ndarray) -> np.ndarray:
        z = torch.randn(len(kinds), generator.noise_dim, generator=torch.Generator().manual_seed(9))
        return to_pictures(average.model(z, torch.from_numpy(kinds)))

    return by_seconds("GAN", seed, step, draw, seconds)


def train_icon_painter(seed: int, seconds: tuple[int, ...] = ICON_SECONDS) -> dict:
    """The same for a painter as small as those of `painters`."""
    torch.manual_seed(seed)
    pictures, _, kinds = icons.load(figures.PER_KIND, figures.TRAIN_SEED)
    clean, model, rng = from_pictures(pictures), Painter(channels=(16, 32), dim=64), np.random.default_rng([seed, 7])
    average = ExponentialAverage(model, 0.995)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)

    def step() -> None:
        model.train()
        loss = painter_step(model, clean, kinds, rng)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model)

    def draw(kinds: np.ndarray) -> np.ndarray:
        return average.model.paint([icons.name_of(tuple(kind)) for kind in kinds], figures.GUIDANCE, seed=9)

    return by_seconds("painter", seed, step, draw, seconds)


def by_seconds(name: str, seed: int, step: Callable, draw: Callable, seconds: tuple[int, ...]) -> dict:
    """Calls `step` until so many CPU seconds are used, and judges PER_PAIR pictures of each pair at each budget."""
    kinds = np.repeat(np.array(icons.SEEN_ICONS), PER_PAIR, axis=0)
    used, steps, found = 0.0, 0, {}
    for budget in seconds:
        while used < budget:
            started = time.process_time()
            step()
            used, steps = used + time.process_time() - started, steps + 1
        pictures = draw(kinds)
        found[str(budget)] = {"steps": steps} | judge_icons(pictures, kinds)
        if seed == 0 and budget == seconds[-1]:
            found["sheet"] = base64.b64encode(pictures[SHEET * PER_PAIR].tobytes()).decode()
        print(name, seed, budget, found[str(budget)], flush=True)
    return found


SHEET = np.arange(3, 42, 5)  # the pairs of which one picture is kept


def judge_icons(pictures: np.ndarray, kinds: np.ndarray) -> dict:
    """Right, pairs and covers found, distance to the nearest training icon, variety, Fréchet distance."""
    parsed = icons.parse(pictures)
    right = parsed.right(kinds)
    covers = zip(parsed.shape[right].tolist(), parsed.turn[right].tolist(), parsed.radius[right].tolist(), strict=True)
    train, _, _ = icons.load(figures.PER_KIND, figures.TRAIN_SEED)
    clip, known = CLIP.from_pretrained("clip"), icons.load(PER_PAIR, figures.TEST_SEED)[0]
    row = figures.shares(pictures, kinds)
    row["pairs"] = len({tuple(kind) for kind in kinds[right].tolist()})
    row["covers"] = len(set(covers))
    row["nearest"] = float(np.median(figures.nearest_distance(pictures, train)))
    row["frechet"] = figures.frechet(figures.features(clip, pictures), figures.features(clip, known))
    return {key: round(value, 5) for key, value in row.items()}


def make_gan_icons(most: int = 2 * ICON_SEEDS) -> dict:
    """Real icons that are not in the training set, and seeds of each. At most `most` more runs; stored ones are kept."""
    torch.set_num_threads(1)
    real, _, kinds = icons.load(PER_PAIR, figures.TEST_SEED + 2)
    found: dict = {"seeds": ICON_SEEDS, "budgets": list(ICON_SECONDS), "pictures": len(real)}
    found |= {"real": judge_icons(real, kinds), "GAN": [], "painter": []}
    if (lesson_dir("generation") / "results.json").is_file():
        found |= {name: runs for name, runs in results("generation").get("gan_icons", {}).items() if name in WAYS}
    for seed, (name, train_one) in itertools.product(range(ICON_SEEDS), WAYS.items()):
        if seed >= len(found[name]) and most > 0:
            found[name].append(train_one(seed))
            most -= 1
    return found


WAYS = {"GAN": train_icon_gan, "painter": train_icon_painter}


# ---------------------------------------------------------------- two things side by side
PAIR_BUDGETS = (300, 900, 2700)
PAIR_RUNS = (("parts", 0), ("bag", 0), ("parts", 1))  # which encoding of the caption, and the seed
HALVES = ("left", "right")
APART = [(a, b) for a in icons.SEEN_ICONS for b in icons.SEEN_ICONS if a[0] != b[0] and a[1] != b[1]]


def draw_pair(kinds: tuple[tuple[int, int], tuple[int, int]], seed: tuple[int, ...]) -> np.ndarray:
    """Two icons on one background, the first on the left: uint8 (16, 32, 3)."""
    rng = np.random.default_rng([*seed, 3])
    x, y = int(rng.integers(8, SIDE - 24)), int(rng.integers(8, SIDE - 8))
    radii, turns = rng.integers(len(icons.ICON_RADII), size=2).tolist(), rng.integers(TURNS, size=2).tolist()
    things = tuple(
        Thing(shape, color, 0, x + 16 * number, y, icons.ICON_RADII[radii[number]], turns[number])
        for number, (shape, color) in enumerate(kinds)
    )
    scene = Scene(things, int(rng.integers(len(TEXTURES))), seed)
    return draw(scene)[y - 8 : y + 8, x - 8 : x + 24]


def say_pair(kinds: tuple[tuple[int, int], tuple[int, int]], rng: np.random.Generator) -> str:
    """ "a red star left of a blue box", or the same the other way round, with synonyms."""
    names = [article(" ".join(rng.choice(ENGLISH[word]) for word in (COLORS[c], SHAPES[s]))) for s, c in kinds]
    return f"{names[0]} left of {names[1]}" if rng.random() < 0.5 else f"{names[1]} right of {names[0]}"


def parse_pair(pictures: np.ndarray) -> list[icons.Parsed]:
    """What the left and the right half show."""
    return [icons.parse(pictures[:, :, start : start + 16]) for start in (0, 16)]


class HalvesBlock(FiLMBlock):
    """A block that is told one thing of the left half and another of the right one: condition (b, 2, condition_dim)."""

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        film = self.film(condition).transpose(1, 2)[:, :, None]  # (b, 2c, 1, 2)
        gamma, beta = film.repeat_interleave(x.shape[3] // 2, dim=3).chunk(2, dim=1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = (1 + gamma) * self.norm2(h) + beta
        return self.shortcut(x) + self.conv2(F.silu(h))


class PairPainter(Painter):
    """Captions of two things → pictures of 16 × 32 pixels.

    encoding : "parts": each thing's words have a mean of their own, and each half attends to the two, by the word between
        them; "bag": the mean of all words, for both halves
    """

    def __init__(self, encoding: str, channels: tuple[int, int] = (16, 32), dim: int = 64) -> None:
        words = sorted({*icon_words(), *HALVES, "of"}, key=vocabulary.id_of)
        super().__init__(channels, dim, pieces=[vocabulary.id_of(word) for word in words])
        self.encoding = encoding
        self.side = nn.Parameter(0.1 * torch.randn(2, dim))
        self.scores = nn.Parameter(torch.zeros(2, 2, 2))  # of (word between, half, which thing is named first)
        for name, block in list(self.net.named_children()):
            if isinstance(block, FiLMBlock):
                a, b = block.conv1.in_channels, block.conv1.out_channels
                setattr(self.net, name, HalvesBlock(a, b, dim))

    def attention(self) -> torch.Tensor:
        """(word between, half, thing): which thing a half listens to."""
        return self.scores.softmax(dim=2)

    def encode(self, captions: Sequence[str]) -> torch.Tensor:
        """(b, 2, dim): for each half."""
        if self.encoding == "bag":
            both = super().encode(captions)[:, None].expand(-1, 2, -1)
        else:
            empty = NOTHING, NOTHING
            split = [re.split(" (?:left|right) of ", caption) if caption else empty for caption in captions]
            things = torch.stack(
                [super(PairPainter, self).encode(list(names)) for names in zip(*split, strict=True)], 1
            )
            between = torch.tensor([int(" right of " in caption) for caption in captions])
            both = self.attention()[between] @ things
        return both + self.side

    def velocity(self, x: torch.Tensor, t: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        when = self.clock(time_embedding(t, self.config["time_dim"], 100.0))
        return self.net(x, F.silu(when[:, None] + text))

    @torch.no_grad()
    def paint_pairs(self, captions: list[str], seed: int) -> np.ndarray:
        """uint8 (b, 16, 32, 3), guidance 2, 20 Euler steps."""
        self.eval()
        text = self.encode(captions)
        free = self.encode([NOTHING]).expand_as(text)

        def velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            both = self.velocity(torch.cat([x, x]), torch.cat([t, t]), torch.cat([free, text]))
            return guide(*both.chunk(2), figures.GUIDANCE)

        noise = torch.randn(len(captions), 3, 16, 32, generator=torch.Generator().manual_seed(seed))
        return to_pictures(sample_flow(velocity, noise, 20))


def judge_pairs(pictures: np.ndarray, asked: np.ndarray) -> dict:
    """Shares: pictures right, things right, colors, shapes, and sides. `asked` (n, 2, 2): half, (shape, color)."""
    found = parse_pair(pictures)
    kinds = np.stack([np.stack([half.shape, half.color], axis=1) for half in found], axis=1)
    right = np.stack([half.right(asked[:, number]) for number, half in enumerate(found)], axis=1)
    same, swapped = (kinds == asked).sum(axis=(1, 2)), (kinds == asked[:, ::-1]).sum(axis=(1, 2))
    shares = {"right": right.all(axis=1), "thing_right": right, "color_right": kinds[:, :, 1] == asked[:, :, 1]}
    shares |= {"shape_right": kinds[:, :, 0] == asked[:, :, 0], "sides_right": same > swapped}
    return {key: round(float(value.mean()), 4) for key, value in shares.items()}


def ask_pairs(pairs: list, n: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Captions, and what is asked for (n, 2, 2)."""
    rng = np.random.default_rng(seed)
    drawn = [pairs[row] for row in rng.integers(len(pairs), size=n)]
    return [say_pair(kinds, rng) for kinds in drawn], np.array(drawn)


def limit_of_a_bag(asked: np.ndarray) -> float:
    """Best share of pictures right for who knows the words but not their order: 1 / arrangements that training has."""
    known, best = set(APART), []
    for (s1, c1), (s2, c2) in asked.tolist():
        ways = [((a, c), (b, d)) for a, b in ((s1, s2), (s2, s1)) for c, d in ((c1, c2), (c2, c1))]
        best.append(1 / sum(way in known for way in ways))
    return round(float(np.mean(best)), 4)


def train_pair_painter(encoding: str, seed: int, pictures: int = 4_000, captions: int = 168) -> dict:
    """{steps: {"seen", "unseen": shares}}: flow matching as in `painters`; "unseen" has one of the six pairs in it."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 8])
    kinds = [APART[row] for row in rng.integers(len(APART), size=pictures)]
    clean = from_pictures(np.stack([draw_pair(pair, (42_000 + seed, row)) for row, pair in enumerate(kinds)]))
    model = PairPainter(encoding)
    average = ExponentialAverage(model, 0.995)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    new = [(a, b) for a in icons.UNSEEN_ICONS for b in icons.SEEN_ICONS if a[0] != b[0] and a[1] != b[1]]
    tests = {"seen": ask_pairs(APART, captions, 43_001)}
    tests["unseen"] = ask_pairs([pair[::way] for pair in new for way in (1, -1)], captions // 2, 43_002)
    found: dict = {"encoding": encoding, "seed": seed}
    started = time.process_time()
    for step in range(1, PAIR_BUDGETS[-1] + 1):
        rows = rng.integers(len(clean), size=BATCH)
        said = drop([say_pair(kinds[row], rng) for row in rows], rng)
        t = torch.from_numpy(rng.normal(size=BATCH)).float().sigmoid()
        noise = torch.randn_like(clean[rows])
        column = t[:, None, None, None]
        loss = F.mse_loss(model(column * clean[rows] + (1 - column) * noise, t, said), clean[rows] - noise)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model)
        if step in PAIR_BUDGETS:
            row: dict = {"cpu seconds": round(time.process_time() - started)}
            for name, (asked, of) in tests.items():
                painted = average.model.paint_pairs(asked, seed=9)
                row[name] = judge_pairs(painted, of)
            found[str(step)] = row
            print(encoding, seed, step, row, flush=True)
    if encoding == "parts":
        found["attention"] = average.model.attention().detach().numpy().round(3).tolist()
    if seed == 0:
        asked, of = tests["seen"][0][:4], tests["seen"][1][:4]
        painted = average.model.paint_pairs(asked, seed=9)
        found |= {
            "captions": asked,
            "sheet": base64.b64encode(painted.tobytes()).decode(),
            "of": judge_pairs(painted, of),
        }
    return found


def make_two_things(most: int = len(PAIR_RUNS)) -> dict:
    """Captions that say which thing is on which side. At most `most` more runs; stored ones are kept."""
    torch.set_num_threads(1)
    asked = ask_pairs(APART, 168, 43_001)[1]
    real = np.stack([draw_pair(pair, (44_000, row)) for row, pair in enumerate(asked.tolist())])
    found: dict = {"budgets": list(PAIR_BUDGETS), "captions": len(asked), "real": judge_pairs(real, asked)}
    found |= {"limit of a bag": limit_of_a_bag(np.array(APART)), "runs": []}
    if (lesson_dir("generation") / "results.json").is_file():
        found["runs"] = results("generation").get("two_things", {}).get("runs", [])
    for encoding, seed in PAIR_RUNS[len(found["runs"]) :][:most]:
        found["runs"].append(train_pair_painter(encoding, seed))
    return found


# ---------------------------------------------------------------- challenge
def make_challenge() -> dict:
    """What simple ways reach on the learner's own draw."""
    from mmcourse.exercise import find_challenge

    made = find_challenge("generation.challenge")
    drawn = made.draw(np.random.default_rng(0))
    known = drawn.inputs["points"]
    rng = np.random.default_rng(1)
    ways = {
        "one Gaussian": rng.multivariate_normal(known.mean(0), np.cov(known.T), 1000),
        "copies": known[rng.integers(len(known), size=1000)],
    }
    for width in (0.02, 0.05, 0.1, 0.2, 0.4):
        ways[f"copies and noise of {width:g}"] = known[rng.integers(len(known), size=1000)] + width * rng.normal(
            size=(1000, 2)
        )
    hidden, truth = drawn.hidden, np.random.default_rng(2)
    which = truth.choice(len(hidden), 1000, p=hidden[:, 3])
    ways["the true distribution"] = hidden[which, :2] + hidden[which, 2:3] * truth.normal(size=(1000, 2))
    from sklearn.mixture import GaussianMixture

    for number in (10, 25, 40):
        fitted = GaussianMixture(number, covariance_type="spherical", n_init=3, random_state=0).fit(known)
        ways[f"{number} Gaussians"] = fitted.sample(1000)[0]
    return {
        name: round(float(made.score({"points": points}, drawn.inputs, drawn.hidden)), 3)
        for name, points in ways.items()
    }


TABLES = {
    "gan": make_gan,
    "flow": make_flow,
    "painters": make_painters,
    "steps": make_steps,
    "gan_icons": make_gan_icons,
    "two_things": make_two_things,
    "challenge": make_challenge,
}


def main() -> None:
    """Train and save, or make tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", help="which tables to make; all by default")
    parser.add_argument("--train", type=Path, help="train the painter; its state is kept in this file")
    parser.add_argument("--measure", action="store_true", help="train nothing: measure the stored painter again")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--chunk", type=float, default=math.inf, help="minutes of this call; the same again goes on")
    options = parser.parse_args()
    if options.train is not None:
        sys.exit(0 if train(options.train, options.steps, options.chunk) else 3)
    if options.measure:
        folder = data_dir() / "models" / "generation"
        stored = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
        save(Painter.from_pretrained(folder), stored["training"], folder)
        return
    tables = dict(TABLES)
    if options.chunk != math.inf:
        tables |= {"painters": lambda: make_painters(1), "gan_icons": lambda: make_gan_icons(2)}
        tables["two_things"] = lambda: make_two_things(1)
    make_tables("generation", tables, options.tables, packages=("torch", "numpy"))


if __name__ == "__main__":
    main()
