"""Long runs of lesson interpret.

- `pointing`: 100 questions about colors to the shipped VLM: every map against exact boxes, with chance, the center, and a
  map that only looks for contrast; which thing the answer hangs on, by rendering the scene without each thing;
- `steps`: integrated gradients on the same questions with 128 steps, gray and black;
- `hiding`: the hottest cells replaced by gray, black or the true background, 30 questions;
- `attention`: how many answers change when attention to the picture is shuffled, 60 questions, five seeds;
- `sanity`: weights randomized from the top, five seeds; and heads trained on shuffled labels, five seeds;
- `shortcut`: ten heads trained with a mark that agrees with the label in 80 % of the pictures, ten with a mark that says
  nothing: which maps tell them apart?
- `text`: which word of a message decides, against the grammar that made it; trained, and untrained with five seeds;
- `retrain`: the words that a map calls important taken out of all sentences, and a new network trained on what is left
  (ROAR), eight seeds;
- `probe`: what linear probes read from a layer, with a control task, for trained and untrained networks, five seeds each;
- `games`: the three Shapley games of the trimodal model and of the exact table, all 36 cells.

`make results interpret`: about seven minutes of one processor. `python make_results.py pointing` (or other names) makes only
these tables.
"""

from __future__ import annotations

import copy
import re
import string
import sys
from dataclasses import replace

import numpy as np
import torch
from scipy.stats import rankdata, spearmanr
from scipy.stats import t as student_t
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from mmcourse import datasets, pretrained, runtime
from mmcourse.authoring.tables import make_tables
from mmcourse.datasets import mood, vocabulary
from mmcourse.datasets.mood import words as mood_words
from mmcourse.datasets.scenes import questions, world
from mmcourse.datasets.scenes.drawing import box, draw
from mmcourse.evaluate.explanations import center_map, energy_inside, inside, pointing_game, replacement_curve
from mmcourse.numpy.explain import shapley
from mmcourse.torch.clip import CLIP, prepare_images
from mmcourse.torch.decoding import KVCache
from mmcourse.torch.explain import attention_rollout, grad_cam, integrated_gradients, layer_gradients, saliency
from mmcourse.torch.vlm import VLM, prompt_ids

ASKED, HIDDEN, GAPS = 100, 30, 4  # questions of `pointing`, of `hiding`, and of the gaps
STARS = 12  # pictures of `sanity`
TEXTS = 300  # messages of `text`


# ---------------------------------------------------------------- the VLM and its questions
class Asked:
    """Questions about the color of a thing, with at least two things in the picture, answered by the shipped VLM."""

    def __init__(self, seed: int, number: int) -> None:
        self.model = VLM.from_pretrained("vlm").eval().requires_grad_(False)
        self.scenes, self.texts, self.answers, self.targets = [], [], [], []
        index = 0
        while len(self.scenes) < number:
            question, text, answer, scene = questions.ask(seed, index, kind="colour")
            index += 1
            if len(scene.things) >= 2:
                match = [i for i, thing in enumerate(scene.things) if questions.matches(thing, question.about[0])]
                self.scenes.append(scene)
                self.texts.append(text)
                self.answers.append(answer)
                self.targets.append(match[0])
        self.images = np.stack([draw(scene) for scene in self.scenes])
        self.boxes = np.array([box(s.things[i]) for s, i in zip(self.scenes, self.targets, strict=True)])
        self.said = self.model.answer(self.images, self.texts, max_length=8)
        prompts = [prompt_ids(text, self.model.num_visual) for text in self.texts]
        self.ids = torch.full((number, max(map(len, prompts))), vocabulary.PAD)
        for row, prompt in zip(self.ids, prompts, strict=True):
            row[: len(prompt)] = torch.tensor(prompt)
        self.last = torch.tensor([len(prompt) - 1 for prompt in prompts])
        self.words = torch.tensor([vocabulary.encode(said)[0] for said in self.said])
        self.rows = torch.arange(number)

    def logit(self, x: torch.Tensor) -> torch.Tensor:
        """The logit of the word that was answered, from pictures (b, 3, 64, 64)."""
        hidden = self.model.language.hidden_states(self.model.embed(self.ids, self.model.encode_image(x)), KVCache())
        return self.model.language.to_logits(hidden[self.rows, self.last])[self.rows, self.words]

    @torch.no_grad()
    def log_p(self, images: np.ndarray) -> np.ndarray:
        """log p of the word that was answered, from pictures as `draw` gives them or floats from 0 to 1."""
        x = prepare_images(images)
        hidden = self.model.language.hidden_states(self.model.embed(self.ids, self.model.encode_image(x)), KVCache())
        logits = self.model.language.to_logits(hidden[self.rows, self.last])
        return logits.log_softmax(dim=-1)[self.rows, self.words].numpy()

    def attention(self, x: torch.Tensor, permute: int | None = None, seed: int = 0):
        """Attention of all blocks (layers, b, heads, n, n) with a graph, and the logits at the end of the prompt.

        `permute`: in this block the answer's attention to the picture is shuffled among its 64 tokens (-1: in all).
        """
        model = self.model
        x = model.embed(self.ids, model.encode_image(x)) + model.language.positions[: self.ids.shape[1]]
        n, generator = x.shape[1], torch.Generator().manual_seed(seed)
        future = torch.ones(n, n, dtype=torch.bool).triu(1)
        kept = []
        for layer, block in enumerate(model.language.blocks):
            attention, h = block.attention, block.norm1(x)
            q = attention.split(attention.q_proj(h))
            k, v = attention.keys_and_values(h)
            scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
            weights = scores.masked_fill(future, -torch.inf).softmax(dim=-1)
            if permute in (layer, -1):
                weights = weights.clone()
                for row, last in enumerate(self.last.tolist()):
                    order = 1 + torch.randperm(64, generator=generator)
                    weights[row, :, last, 1:65] = weights[row, :, last, order]
            kept.append(weights)
            x = x + attention.out_proj((weights @ v).transpose(1, 2).flatten(2))
            x = x + block.down(F.gelu(block.up(block.norm2(x))))
        return kept, model.language.to_logits(model.language.norm(x[self.rows, self.last]))


BASELINES = {
    "gray": lambda x: torch.full_like(x, 0.5),
    "black": torch.zeros_like,
    "white": torch.ones_like,
    "mean color": lambda x: x.mean(dim=(2, 3), keepdim=True).expand_as(x),
    "blurred": lambda x: F.avg_pool2d(F.pad(x, (8, 8, 8, 8), mode="reflect"), 17, 1),
}


def pooled(maps: torch.Tensor) -> torch.Tensor:
    """(b, 64, 64) → mean of each of the 8 × 8 cells."""
    return F.avg_pool2d(maps[:, None], 8)[:, 0]


def maps_of(asked: Asked, x: torch.Tensor, steps: int = 16) -> dict[str, torch.Tensor]:
    """Every explanation of every answer, float (b, 8, 8)."""
    rows, number = asked.rows, len(x)
    found = {"saliency": pooled(saliency(asked.logit, x).abs().amax(dim=1))}
    found["gradient × input"] = pooled((saliency(asked.logit, x) * x).sum(dim=1).abs())
    for name, make in BASELINES.items():
        found[f"IG, {name}"] = pooled(integrated_gradients(asked.logit, x, make(x), steps).sum(dim=1).abs())
    for name, layer in (("16 × 16", asked.model.vision.stem[2]), ("8 × 8", asked.model.vision.stem[3])):
        heat = grad_cam(*layer_gradients(asked.logit, layer, x))
        found[f"Grad-CAM, {name}"] = F.avg_pool2d(heat[:, None], heat.shape[-1] // 8)[:, 0]
    weights, logits = asked.attention(x.detach().requires_grad_())
    score = logits[rows, asked.words].sum()
    slopes = torch.autograd.grad(score, weights)
    for layer in range(4):
        to_picture = weights[layer].detach().mean(dim=1)[rows, asked.last, 1:65]
        found[f"attention, block {layer + 1}"] = to_picture.unflatten(1, (8, 8))
    of_all = torch.stack([w.detach().mean(dim=1) for w in weights])
    found["attention rollout"] = attention_rollout(of_all)[rows, asked.last, 1:65].unflatten(1, (8, 8))
    total = torch.zeros(number, 64)
    for w, slope in zip(weights, slopes, strict=True):
        total += (w * slope).detach().relu().mean(dim=1)[rows, asked.last, 1:65]
    found["gradient × attention"] = total.unflatten(1, (8, 8))
    return found


def occlusion(asked: Asked, images: np.ndarray) -> np.ndarray:
    """Fall of log p when one cell is painted gray, (b, 8, 8)."""
    start = asked.log_p(images)
    heat = np.zeros((len(images), 8, 8))
    for i in range(8):
        for j in range(8):
            hidden = images.copy()
            hidden[:, 8 * i : 8 * i + 8, 8 * j : 8 * j + 8] = 128
            heat[:, i, j] = start - asked.log_p(hidden)
    return heat


def effects(asked: Asked) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By rendering again: fall of log p without each thing (b, 4, NaN where none); which answers change."""
    number = len(asked.scenes)
    fall, changed, recolored = (np.full((number, 4), np.nan) for _ in range(3))
    start = asked.log_p(asked.images)
    for place in range(4):
        rows = [r for r, scene in enumerate(asked.scenes) if place < len(scene.things)]
        without, other = asked.images.copy(), asked.images.copy()
        for r in rows:
            scene = asked.scenes[r]
            without[r] = render_without(scene, place)
            other[r] = draw(recolor(scene, place))
        end = asked.log_p(without)
        said = asked.model.answer(without, asked.texts, max_length=8)
        said_other = asked.model.answer(other, asked.texts, max_length=8)
        for r in rows:
            fall[r, place] = start[r] - end[r]
            changed[r, place] = said[r] != asked.said[r]
            wanted = world.COLORS[recolor(asked.scenes[r], place).things[place].color]
            own = place == asked.targets[r]
            recolored[r, place] = said_other[r] == (wanted if own else asked.said[r])
    return fall, changed, recolored


def render_without(scene: world.Scene, *places: int) -> np.ndarray:
    """The same scene without these things. They are moved out of sight, so that tints and noise stay as they are."""
    things = [replace(t, x=-60, y=-60) if i in places else t for i, t in enumerate(scene.things)]
    return draw(replace(scene, things=tuple(things)))


def recolor(scene: world.Scene, place: int) -> world.Scene:
    """The same scene with one thing in the next color that no other thing has."""
    taken = {thing.color for thing in scene.things}
    color = scene.things[place].color
    while color in taken:
        color = (color + 1) % len(world.COLORS)
    things = list(scene.things)
    things[place] = replace(things[place], color=color)
    return replace(scene, things=tuple(things))


def names_the_cause(maps: np.ndarray, asked: Asked, fall: np.ndarray) -> np.ndarray:
    """Whether the thing with the most heat per pixel is the one whose removal costs most, float (b,)."""
    hits = np.zeros(len(maps))
    for row, scene in enumerate(asked.scenes):
        boxes = np.array([box(thing) for thing in scene.things])
        repeated = np.repeat(maps[row][None], len(boxes), axis=0)
        big = repeated.repeat(8, axis=1).repeat(8, axis=2)
        within = inside(boxes, 64, 64, 64)
        heat = (big * within).sum(axis=(1, 2)) / within.sum(axis=(1, 2))
        best = heat == heat.max()
        hits[row] = best[np.nanargmax(fall[row][: len(boxes)])] / best.sum()
    return hits


def interval(values: np.ndarray) -> list[float]:
    """Mean and half of its 95 % interval over samples."""
    values = np.asarray(values, float)
    return [round(float(values.mean()), 4), round(float(1.96 * values.std(ddof=1) / len(values) ** 0.5), 4)]


def make_pointing() -> dict:
    """{explanation: {"points": [mean, ±], "energy": [mean, ±], "cause": [mean, ±]}}, and what rendering says."""
    asked = Asked(seed=71, number=ASKED)
    x = prepare_images(asked.images)
    maps = {name: heat.numpy() for name, heat in maps_of(asked, x, steps=8).items()}
    maps["occlusion"] = occlusion(asked, asked.images)
    gray = np.abs(x.numpy() - 0.5).sum(axis=1)
    maps["contrast with gray, no model"] = gray.reshape(ASKED, 8, 8, 8, 8).mean(axis=(2, 4))
    maps["center"] = center_map(ASKED, 8, 8)
    maps["chance"] = np.ones((ASKED, 8, 8))
    fall, changed, recolored = effects(asked)
    own = np.eye(4, dtype=bool)[asked.targets]
    others = ~own & ~np.isnan(fall)
    table: dict = {}
    for name, heat in maps.items():
        table[name] = {
            "points": interval(pointing_game(heat, asked.boxes, 64)),
            "energy": interval(energy_inside(heat, asked.boxes, 64)),
            "cause": interval(names_the_cause(heat, asked, fall)),
        }
        print(name, table[name], flush=True)
    gaps = {}
    for name in ("gray", "black", "blurred"):
        make = BASELINES[name]
        with torch.no_grad():
            delta = asked.logit(x) - asked.logit(make(x))
        gaps[name] = {"delta": round(float(delta.mean()), 3)}
        part = slice(0, GAPS)
        small = copy.copy(asked)
        for key in ("ids", "last", "words"):
            setattr(small, key, getattr(asked, key)[part])
        small.rows = torch.arange(GAPS)
        for steps in (8, 32, 128):
            total = integrated_gradients(small.logit, x[part], make(x[part]), steps).sum(dim=(1, 2, 3))
            gap = (total - delta[part]).abs()
            gaps[name][f"{steps} steps"] = [round(float(gap.max()), 3), round(float(gap.mean()), 3)]
        print(name, gaps[name], flush=True)
    return {
        "n": ASKED,
        "right": float(np.mean(np.array(asked.said) == asked.answers)),
        "maps": table,
        "gaps": gaps,
        "things": round(float((~np.isnan(fall)).sum(axis=1).mean()), 3),
        "changes without it": float(changed[own].mean()),
        "changes without another": float(changed[others].mean()),
        "follows its color": float(recolored[own].mean()),
        "keeps its answer": float(recolored[others].mean()),
        "others": int(others.sum()),
        "cause is the thing": float(np.mean(np.nanargmax(np.nan_to_num(fall, nan=-99), axis=1) == asked.targets)),
    }


def make_steps() -> dict:
    """The two baselines of `pointing` again, on the same questions, with as many steps as completeness asks for."""
    asked = Asked(seed=71, number=ASKED)
    x = prepare_images(asked.images)
    table: dict = {"n": ASKED, "steps": 128}
    hits, right_color = {}, np.array([said in ("black", "white") for said in asked.said])
    for name in ("gray", "black"):
        base = BASELINES[name](x)
        parts = integrated_gradients(asked.logit, x, base, 128)
        with torch.no_grad():
            delta = asked.logit(x) - asked.logit(base)
        gap = (parts.sum(dim=(1, 2, 3)) - delta).abs()
        hits[name] = pointing_game(pooled(parts.sum(dim=1).abs()).numpy(), asked.boxes, 64)
        table[name] = {"points": interval(hits[name]), "gap": round(float(gap.mean() / delta.mean()), 4)}
        print(name, table[name], flush=True)
    table["difference"] = interval(hits["gray"] - hits["black"])
    table["difference, other colors"] = interval((hits["gray"] - hits["black"])[~right_color])
    table["other colors"] = int((~right_color).sum())
    print(table, flush=True)
    return table


def make_hiding() -> dict:
    """{fill: {explanation: mean p of the answer by share of hidden cells, and the mean over shares}}."""
    asked = Asked(seed=72, number=HIDDEN)
    x = prepare_images(asked.images)
    maps = {"saliency": pooled(saliency(asked.logit, x).abs().amax(dim=1)).numpy()}
    for name in ("gray", "black"):
        parts = integrated_gradients(asked.logit, x, BASELINES[name](x), 8).sum(dim=1)
        maps[f"IG, {name}"] = pooled(parts.abs()).numpy()
    weights = asked.attention(x)[0][1].mean(dim=1)[asked.rows, asked.last, 1:65].detach()
    maps["attention, block 2"] = weights.unflatten(1, (8, 8)).numpy()
    maps["random"] = np.random.default_rng(0).random((HIDDEN, 8, 8))
    maps["the thing's own box"] = inside(asked.boxes, 64, 64, 64).reshape(HIDDEN, 8, 8, 8, 8).mean(axis=(2, 4))
    images = asked.images
    empty = np.stack([render_without(scene, *range(len(scene.things))) for scene in asked.scenes])
    fills = {"gray": np.full_like(images, 128), "black": np.zeros_like(images), "true background": empty}
    shares = [0, 0.05, 0.1, 0.2, 0.4]
    table: dict = {"n": HIDDEN, "shares": shares}
    for fill_name, fill in fills.items():
        table[fill_name] = {}
        for name, heat in maps.items():
            curve = np.exp(replacement_curve(asked.log_p, images, heat, fill, shares))
            row = {"p": curve.mean(axis=0).round(4).tolist(), "area": interval(curve.mean(axis=1))}
            table[fill_name][name] = row
            print(fill_name, name, row, flush=True)
    return table


def make_attention() -> dict:
    """How many answers change when the answer's attention to the picture is shuffled among its tokens; five seeds."""
    asked = Asked(seed=73, number=60)
    x = prepare_images(asked.images)
    table: dict = {"n": 60}
    with torch.no_grad():
        weights, logits = asked.attention(x)
        said = logits.argmax(dim=-1)
        assert (said == asked.words).all()
        to_picture = torch.stack([w.mean(dim=1)[asked.rows, asked.last, 1:65].sum(dim=-1).mean() for w in weights])
        table["share to the picture"] = [round(float(v), 4) for v in to_picture]
        table["share to <bos>"] = [round(float(w.mean(dim=1)[asked.rows, asked.last, 0].mean()), 4) for w in weights]
        for name, layer in [(f"block {i + 1}", i) for i in range(4)] + [("all blocks", -1)]:
            table[name] = []
            for seed in range(5):
                _, other = asked.attention(x, permute=layer, seed=seed)
                table[name].append(round(float((other.argmax(dim=-1) != said).float().mean()), 4))
            print(name, table[name], flush=True)
    return table


# ---------------------------------------------------------------- is there a star?
STAR = world.SHAPES.index("star")


def star_scenes(seed: int, number: int) -> tuple[list[world.Scene], np.ndarray]:
    """Scenes with two or three things, every second one with exactly one star; labels (n,)."""
    scenes, labels, index = [], [], 0
    while len(scenes) < number:
        scene = world.make(seed, index)
        index += 1
        stars = sum(thing.shape == STAR for thing in scene.things)
        if len(scene.things) in (2, 3) and stars == len(scenes) % 2:
            scenes.append(scene)
            labels.append(stars)
    return scenes, np.array(labels)


def with_mark(images: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """A small light square in the lower left corner of some pictures."""
    images = images.copy()
    images[marked.astype(bool), 56:62, 2:8] = 235
    return images


class StarNet(nn.Module):
    """CLIP's convolutions, frozen, and a head that is trained: convolution, mean over all places, one logit."""

    def __init__(self, stem: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.conv = nn.Conv2d(128, 64, 3, padding=1)
        self.out = nn.Linear(64, 1)

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """(b, 128, 8, 8) → logits (b,)."""
        return self.out(self.conv(features).relu().mean(dim=(2, 3)))[:, 0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stem(4 * (x - 0.5)))


def train_head(features: torch.Tensor, labels: np.ndarray, stem: nn.Module, seed: int, steps: int = 250) -> StarNet:
    """Adam, batches of 64, the learning rate falling to 0."""
    torch.manual_seed(seed)
    model = StarNet(stem)
    parameters = [*model.conv.parameters(), *model.out.parameters()]
    optimizer = torch.optim.Adam(parameters, 3e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    targets = torch.from_numpy(labels).float()
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randint(len(features), (64,), generator=generator)
        loss = F.binary_cross_entropy_with_logits(model.head(features[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval().requires_grad_(False)


@torch.no_grad()
def stem_features(stem: nn.Module, images: np.ndarray) -> torch.Tensor:
    """(n, 128, 8, 8)."""
    return torch.cat([stem(4 * (part - 0.5)) for part in prepare_images(images).split(250)])


def guided(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Guided backpropagation: negative gradients are cut off at every ReLU, also on the way down."""
    handles = []
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            handles.append(module.register_full_backward_hook(lambda m, into, out: (into[0].clamp(min=0),)))
    gradient = saliency(model, x)
    for handle in handles:
        handle.remove()
    return gradient


def edges(x: torch.Tensor) -> torch.Tensor:
    """How much the brightness changes from pixel to pixel: no model at all, (b, 64, 64)."""
    gray = F.pad(x.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    dx = gray[:, :, 1:-1, 2:] - gray[:, :, 1:-1, :-2]
    dy = gray[:, :, 2:, 1:-1] - gray[:, :, :-2, 1:-1]
    return (dx.abs() + dy.abs())[:, 0]


def star_maps(model: nn.Module, x: torch.Tensor) -> dict[str, np.ndarray]:
    """Explanations of "there is a star", each at the resolution that it has."""
    found = {
        "saliency": saliency(model, x).abs().amax(dim=1),
        "IG, gray": integrated_gradients(model, x, torch.full_like(x, 0.5), 8).sum(dim=1).abs(),
        "guided backprop": guided(model, x).abs().amax(dim=1),
        "Grad-CAM": grad_cam(*layer_gradients(model, model.conv, x)),
        "gradient × input": (saliency(model, x) * (x - 0.5)).sum(dim=1).abs(),
    }
    return {name: heat.numpy() for name, heat in found.items()}


def alike(a: np.ndarray, b: np.ndarray) -> float:
    """Mean rank correlation of two sets of maps; a map that is the same everywhere has none: 0."""
    values = []
    for first, second in zip(a.reshape(len(a), -1), b.reshape(len(b), -1), strict=True):
        if first.std() == 0 or second.std() == 0:
            values.append(0.0)
        else:
            values.append(float(spearmanr(first, second).statistic))
    return float(np.mean(values))


def randomized(model: StarNet, depth: int, seed: int) -> StarNet:
    """The last `depth` of six parts anew: out, conv, then the stem's blocks from the last to the first."""
    torch.manual_seed(seed)
    other = copy.deepcopy(model)
    parts: list[nn.Module] = [other.out, other.conv, *list(other.stem)[::-1]]
    for part in parts[:depth]:
        for module in part.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.reset_parameters()
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.reset_parameters()
    return other.eval()


def make_sanity() -> dict:
    """Rank correlation with the maps of the trained model: {"weights": {map: {depth: [seed]}}, "labels": …}."""
    stem = CLIP.from_pretrained("clip").vision.stem.eval().requires_grad_(False)
    scenes, labels = star_scenes(81, 2000)
    features = stem_features(stem, np.stack([draw(s) for s in scenes]))
    test, test_labels = star_scenes(82, 400)
    images = np.stack([draw(s) for s in test])
    x = prepare_images(images)
    with_star = np.flatnonzero(test_labels)[:STARS]
    boxes = np.array([box(next(t for t in test[i].things if t.shape == STAR)) for i in with_star])
    table: dict = {"n": STARS, "weights": {}, "labels": {}, "points": {}, "accuracy": []}
    edge = edges(x[with_star]).numpy()
    for seed in range(5):
        model = train_head(features, labels, stem, seed, steps=120)
        with torch.no_grad():
            right = ((model(x) > 0).numpy() == test_labels).mean()
        table["accuracy"].append(round(float(right), 4))
        maps = star_maps(model, x[with_star])
        for name, heat in maps.items():
            hits = pointing_game(heat, boxes, 64).mean()
            table["points"].setdefault(name, []).append(round(float(hits), 4))
            table.setdefault("edges", {}).setdefault(name, []).append(
                round(alike(heat, edge), 4) if heat.shape == edge.shape else 0.0
            )
        for depth in range(1, 7):
            other = star_maps(randomized(model, depth, 100 + seed), x[with_star])
            for name in maps:
                row = table["weights"].setdefault(name, {}).setdefault(str(depth), [])
                row.append(round(alike(maps[name], other[name]), 4))
        shuffled = np.random.default_rng(seed).permutation(labels)
        fooled = star_maps(train_head(features, shuffled, stem, seed, steps=120), x[with_star])
        again = star_maps(train_head(features, labels, stem, seed + 50, steps=120), x[with_star])
        for name in maps:
            row = table["labels"].setdefault(name, {"shuffled labels": [], "another seed": []})
            row["shuffled labels"].append(round(alike(maps[name], fooled[name]), 4))
            row["another seed"].append(round(alike(maps[name], again[name]), 4))
        print(seed, right, {k: v[-1] for k, v in table["points"].items()}, flush=True)
    for name in table["weights"]:
        print(name, table["weights"][name], table["labels"][name], table["edges"][name], flush=True)
    table["edges points"] = round(float(pointing_game(edge, boxes, 64).mean()), 4)
    table["chance"] = round(float(pointing_game(np.ones((STARS, 64, 64)), boxes, 64).mean()), 4)
    table["center"] = round(float(pointing_game(center_map(STARS, 8, 8), boxes, 64).mean()), 4)
    return table


def auc(with_it: list[float], without: list[float]) -> float:
    """Chance that a number of the first list is larger than one of the second."""
    ranks = rankdata([*with_it, *without])[: len(with_it)]
    m, n = len(with_it), len(without)
    return float((ranks.sum() - m * (m + 1) / 2) / (m * n))


def make_shortcut() -> dict:
    """For each map: share of its heat at the mark, for ten models with the shortcut and ten without; and the AUC."""
    stem = CLIP.from_pretrained("clip").vision.stem.eval().requires_grad_(False)
    scenes, labels = star_scenes(83, 2000)
    plain = np.stack([draw(s) for s in scenes])
    both = [stem_features(stem, with_mark(plain, np.full(len(plain), m))) for m in (0, 1)]
    test, test_labels = star_scenes(84, 200)
    unmarked = np.stack([draw(s) for s in test])
    marked = prepare_images(with_mark(unmarked, np.ones(200)))
    x, rows = prepare_images(unmarked), np.arange(0, 200, 10)
    corner = np.tile([0, 54, 10, 64], (len(rows), 1))
    table: dict = {"n": len(rows), "models": 10, "agree": 0.8}
    for kind, agreement in (("with", 0.8), ("without", 0.5)):
        for seed in range(10):
            rng = np.random.default_rng([seed, int(10 * agreement)])
            mark = np.where(rng.random(len(labels)) < agreement, labels, 1 - labels)
            features = torch.where(torch.from_numpy(mark == 1)[:, None, None, None], both[1], both[0])
            model = train_head(features, labels, stem, seed)
            with torch.no_grad():
                change = model(marked) - model(x)
                accuracy = [((model(z) > 0).numpy() == test_labels).mean() for z in (x, marked)]
                flips = ((model(marked) > 0) != (model(x) > 0)).float().mean()
            found = {"render without it": float(change.abs().mean()), "flips": float(flips)}
            found["accuracy, no mark"], found["accuracy, mark"] = map(float, accuracy)
            for name, heat in star_maps(model, marked[rows]).items():
                found[name] = float(energy_inside(heat, corner, 64).mean())
            for name, value in found.items():
                table.setdefault(name, {}).setdefault(kind, []).append(round(value, 4))
            print(kind, seed, found, flush=True)
    for value in table.values():
        if isinstance(value, dict):
            value["auc"] = round(auc(value["with"], value["without"]), 4)
    print({k: v["auc"] for k, v in table.items() if isinstance(v, dict)}, flush=True)
    table["chance"] = round(100 / 64**2, 4)
    return table


# ---------------------------------------------------------------- three games
def make_games() -> dict:
    """Shapley values for p(positive) in each cell of the table: exact and of the shipped model, three games."""
    test, model = datasets.load("mood", "test"), pretrained.load_trimodal()
    vectors = encode_all(model, test)
    cues = np.stack([np.array([mood.CUES[m].index(c) for c in test.meta[f"{m}_cue"]]) for m in mood.MODALITIES])
    null = null_vectors(model)
    table: dict = {"cells": {}}
    for face in range(4):
        for voice in range(3):
            for words in range(3):
                cell = (face, voice, words)
                rows = np.flatnonzero((cues.T == cell).all(axis=1))[:20]
                found = {
                    "p": float(mood.JOINT[(slice(None), *cell)].sum()),
                    "n": len(rows),
                    "observational": shapley(exact_values(cell, "observational")).tolist(),
                    "interventional": shapley(exact_values(cell, "interventional")).tolist(),
                }
                if len(rows):
                    for game in ("observational", "interventional", "null"):
                        values = model_values(model, vectors, cues, null, cell, rows, game)
                        found[f"model, {game}"] = shapley(values).mean(axis=1).tolist()
                table["cells"][" ".join(str(c) for c in cell)] = found
    return table


def exact_values(cell: tuple[int, int, int], game: str) -> np.ndarray:
    """p(positive) of each coalition (8,), bit m for modality m: the others as they go with the known ones, or at random."""
    joint, values = mood.JOINT, []
    cues = joint.sum(axis=0)
    for coalition in range(8):
        index = tuple(cell[m] if coalition >> m & 1 else slice(None) for m in range(3))
        if game == "observational":
            both = joint[(slice(None), *index)].reshape(3, -1).sum(axis=1)
            values.append(both[2] / both.sum())
        else:
            absent = tuple(1 + m for m in range(3) if not coalition >> m & 1)
            hidden = tuple(m for m in range(3) if coalition >> m & 1)
            weights = cues.sum(axis=hidden) if hidden else cues
            posterior = (joint[2] / cues)[index]
            values.append(float((posterior * weights).sum()) if absent else float(posterior))
    return np.array(values, float)


@torch.no_grad()
def encode_all(model: nn.Module, ds) -> np.ndarray:
    """The three vectors of each sample, after their normalization: float (n, 3, 32)."""
    rows = []
    for batch in ds.torch_loader(batch_size=250):
        parts = []
        for name, encoder in model.encoders.items():
            vector = encoder(batch["inputs"][name], batch["padding_mask"].get(name))
            parts.append(F.rms_norm(vector, vector.shape[-1:], eps=1e-5))
        rows.append(torch.stack(parts, dim=1))
    assert list(model.encoders) == list(mood.MODALITIES)
    return torch.cat(rows).numpy()


@torch.no_grad()
def null_vectors(model: nn.Module) -> np.ndarray:
    """What the encoders make of a black face, of silence and of no words: (3, 32)."""
    inputs = {
        "face": (torch.zeros(1, 3, 32, 32), None),
        "voice": (torch.zeros(1, 50, 40), torch.ones(1, 50, dtype=torch.bool)),
        "words": (torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 1, dtype=torch.bool)),
    }
    parts = []
    for name in mood.MODALITIES:
        vector = model.encoders[name](*inputs[name])
        parts.append(F.rms_norm(vector, vector.shape[-1:], eps=1e-5)[0])
    return torch.stack(parts).numpy()


@torch.no_grad()
def positive(model: nn.Module, vectors: np.ndarray) -> np.ndarray:
    """p(positive) from the three vectors, (n, 3, 32) → (n,)."""
    joined = torch.from_numpy(vectors).flatten(1)
    return model.logits(model.hidden(joined).relu()).softmax(dim=1)[:, 2].numpy()


def model_values(model, vectors, cues, null, cell, rows, game: str, draws: int = 200, seed: int = 0) -> np.ndarray:
    """The model's p(positive) of each coalition, for some samples of a cell: (8, n)."""
    rng, values = np.random.default_rng(seed), []
    for coalition in range(8):
        known = np.array([coalition >> m & 1 for m in range(3)], bool)
        if known.all():
            values.append(positive(model, vectors[rows]))
            continue
        if game == "null":
            other = np.broadcast_to(null, (1, 3, 32))
        else:
            fits = np.ones(len(vectors), bool)
            if game == "observational":
                fits = (cues[known] == np.array(cell)[known][:, None]).all(axis=0)
            other = vectors[rng.choice(np.flatnonzero(fits), draws)]
        mixed = np.where(known[None, None, :, None], vectors[rows][:, None], other[None])
        values.append(positive(model, mixed.reshape(-1, 3, 32)).reshape(len(rows), -1).mean(axis=1))
    return np.stack(values)


# ---------------------------------------------------------------- words
def evidence_of(sentence: str, cue: str) -> tuple[bool, np.ndarray]:
    """Whether a sentence negates, and which of its words carry the feeling, by the grammar: bool (l,)."""
    patterns, slots = mood_words.GRAMMAR[cue]
    for pattern in patterns:
        parts, names = "", []
        for text, name, _, _ in string.Formatter().parse(pattern):
            parts += re.sub(r"\b([Aa]) $", r"\1n? ", re.escape(text).replace("\\ ", " "))
            if name:
                parts += "(" + "|".join(re.escape(str(v)) for v in slots[name]) + ")"
                names.append(name)
        match = re.fullmatch(parts, sentence)
        if match:
            spans = [match.span(i + 1) for i, n in enumerate(names) if n not in mood_words.SLOTS]
            negated = " not " in pattern
            words = list(re.finditer(r"[a-z']+", sentence.lower()))
            marked = [any(a <= w.start() < b for a, b in spans) or (negated and w.group() == "not") for w in words]
            return negated, np.array(marked)
    raise ValueError(sentence)


def word_maps(
    model: nn.Module,
    vectors: torch.Tensor,
    ids: torch.Tensor,
    target: int,
    randoms: torch.Tensor | None = None,
) -> dict[str, np.ndarray]:
    """Attributions of the words of one message to a logit, float (l,); face and voice as they are, (2, 32).

    With `randoms`, (r, 32), also integrated gradients from these baselines, and [difference, gap] of each baseline.
    """
    encoder = model.encoders["words"]

    def score(x: torch.Tensor, real: torch.Tensor | None = None) -> torch.Tensor:
        mean = x.mean(dim=1) if real is None else (x * real[..., None]).sum(dim=1) / real.sum(dim=1, keepdim=True)
        words = encoder.out(encoder.hidden(mean).relu())
        words = F.rms_norm(words, words.shape[-1:], eps=1e-5)
        joined = torch.cat([vectors.flatten().expand(len(x), -1), words], dim=1)
        return model.logits(model.hidden(joined).relu())[:, target]

    table = encoder.embedding.weight.detach()
    x = table[ids][None]
    n = len(ids)
    found = {"gradient × input": (saliency(score, x) * x).sum(dim=2)[0]}
    bases = {"zero": torch.zeros(32), "<unk>": table[1], "mean word": table[2:].mean(dim=0)}
    mean_gradient = {}
    for name, base in bases.items():
        parts = integrated_gradients(score, x, base.expand_as(x), 64)
        found[f"IG, {name}"] = parts.sum(dim=2)[0]
        mean_gradient[name] = path_gradient(score, x, base.expand_as(x), 64)
    # The two things that a baseline does, one at a time: it is subtracted from each word, and the way starts there.
    found["zero's way, <unk> subtracted"] = ((x - table[1]) * mean_gradient["zero"]).sum(dim=2)[0]
    found["<unk>'s way, zero subtracted"] = (x * mean_gradient["<unk>"]).sum(dim=2)[0]
    with torch.no_grad():
        start = score(x)
        found["leave one out"] = start - score(x.expand(n, -1, -1), 1 - torch.eye(n))
        swapped = x.repeat(n, 1, 1)
        swapped[torch.arange(n), torch.arange(n)] = table[1]
        found["replace by <unk>"] = start - score(swapped)
        swapped = x.repeat(n, 1, 1)
        swapped[torch.arange(n), torch.arange(n)] = 0
        found["replace by zero"] = start - score(swapped)
    if randoms is not None:
        many = x.expand(len(randoms), -1, -1)
        parts = integrated_gradients(score, many, randoms[:, None].expand_as(many), 64).sum(dim=2)
        found |= {f"IG, random {i}": part for i, part in enumerate(parts)}
        with torch.no_grad():
            for name, base in bases.items():
                delta = float(start - score(base.expand_as(x)))
                found[f"gap, {name}"] = torch.tensor([delta, float(found[f"IG, {name}"].sum()) - delta])
    return {name: values.detach().numpy() for name, values in found.items()}


def path_gradient(function, x: torch.Tensor, base: torch.Tensor, steps: int) -> torch.Tensor:
    """The mean gradient on the way from the baseline to x, shape of x."""
    total = torch.zeros_like(x)
    for k in range(steps):
        total += saliency(function, base + (k + 0.5) / steps * (x - base))
    return total / steps


def make_text() -> dict:
    """Does the word with the largest part carry the feeling? {map: {kind of sentence: [mean, ±]}}; untrained: five seeds."""
    test, shipped = datasets.load("mood", "test"), pretrained.load_trimodal().requires_grad_(False)
    data_cues = np.array(test.meta["words_cue"])
    said = {c: {" ".join(mood_words.tokenize(s)): s for s in mood_words.sentences("test")[c]} for c in mood.CLASSES}
    names = np.array(mood_words.vocabulary())
    rows, messages = [], []
    start = 0
    for batch in test.torch_loader(batch_size=250):
        ids, mask = batch["inputs"]["words"], batch["padding_mask"]["words"]
        for i in range(len(ids)):
            rows.append(ids[i][mask[i]])
        start += len(ids)
    seen = set()
    for index, ids in enumerate(rows):
        cue, key = data_cues[index], " ".join(names[ids.numpy()])
        if cue == "neutral" or key in seen or key not in said[cue]:
            continue
        seen.add(key)
        negated, marked = evidence_of(said[cue][key], cue)
        assert len(marked) == len(ids)
        messages.append((index, ids, negated, marked))
    messages = messages[:TEXTS]
    table: dict = {"n": len(messages), "negated": sum(m[2] for m in messages)}

    def points(model: nn.Module, randoms: torch.Tensor | None = None) -> dict[str, np.ndarray]:
        vectors = torch.from_numpy(encode_all(model, test))
        with torch.no_grad():
            logits = model.logits(model.hidden(vectors.flatten(1)).relu()).argmax(dim=1)
        hits: dict = {}
        for index, ids, _, marked in messages:
            for name, values in word_maps(model, vectors[index, :2], ids, int(logits[index]), randoms).items():
                gap = name.startswith("gap")
                hits.setdefault(name, []).append(values if gap else bool(marked[np.abs(values).argmax()]))
        return {name: np.array(values, float) for name, values in hits.items()}

    kinds = {"plain": np.array([not m[2] for m in messages]), "negated": np.array([m[2] for m in messages])}
    unk = shipped.encoders["words"].embedding.weight[1].detach()
    randoms = torch.randn(10, 32, generator=torch.Generator().manual_seed(0))
    randoms = randoms / randoms.norm(dim=1, keepdim=True) * unk.norm()  # other directions, as long as <unk>
    trained = points(shipped, randoms)
    table["gaps"] = {}
    for name in [n for n in trained if n.startswith("gap")]:
        delta, gap = np.abs(trained.pop(name)).mean(axis=0)
        table["gaps"][name.removeprefix("gap, ")] = [round(float(delta), 4), round(float(gap), 5)]
    rows = [trained.pop(f"IG, random {i}") for i in range(len(randoms))]
    table["random baselines"] = {k: [round(float(r[w].mean()), 4) for r in rows] for k, w in kinds.items()}
    table["trained"] = {n: {k: interval(v[w]) for k, w in kinds.items()} for n, v in trained.items()}
    table["leave one out minus"] = {
        n: {k: interval((trained["leave one out"] - v)[w]) for k, w in kinds.items()}
        for n, v in trained.items()
        if n != "leave one out"
    }
    counts = np.zeros(len(names))
    for lines in mood_words.sentences("train").values():
        for line in lines:
            np.add.at(counts, mood_words.encode(line), 1)
    without: dict = {"the rarest word": [], "the longest word": [], "the last word": []}
    for _, ids, _, marked in messages:
        lengths = [len(names[i]) for i in ids]
        without["the rarest word"].append(marked[counts[ids.numpy()].argmin()])
        without["the longest word"].append(marked[int(np.argmax(lengths))])
        without["the last word"].append(marked[-1])
    table["no model"] = {n: {k: interval(np.array(v)[w]) for k, w in kinds.items()} for n, v in without.items()}
    # Does it read "not", or the words that the grammar always says with it ("at all", "one bit")?
    frame = [" ".join(mood_words.tokenize(s)) for s in mood_words.sentences("train")["negative"]]
    frame += [" ".join(mood_words.tokenize(s)) for s in mood_words.sentences("train")["positive"]]
    with_not = {w for s in frame if " not " in s for w in s.split()}
    stand_ins = with_not - {w for s in frame if " not " not in s for w in s.split()} - {"not"}
    vectors = torch.from_numpy(encode_all(shipped, test))
    with torch.no_grad():
        answers = shipped.logits(shipped.hidden(vectors.flatten(1)).relu()).argmax(dim=1)
    falls: dict = {"not": [], "its companions": [], "the feeling word": []}
    for index, ids, negated, marked in messages:
        if negated:
            parts = word_maps(shipped, vectors[index, :2], ids, int(answers[index]))["leave one out"]
            words = names[ids.numpy()]
            companion = np.isin(words, list(stand_ins)) & ~marked
            falls["not"].append(np.abs(parts[words == "not"]).max())
            falls["its companions"].append(np.abs(parts[companion]).max())
            falls["the feeling word"].append(np.abs(parts[marked & (words != "not")]).max())
    table["companions"] = sorted(stand_ins - {w for c in mood_words.POSITIVE.values() for p in c for w in p.split()})
    table["companions"] = [w for w in table["companions"] if not any(w in v for v in mood_words.NEGATIVE.values())]
    table["negated falls"] = {name: interval(np.array(v)) for name, v in falls.items()}
    table["untrained"] = {}
    for seed in range(5):
        torch.manual_seed(seed)
        other = copy.deepcopy(shipped)
        for module in other.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)):
                module.reset_parameters()
        for name, values in points(other).items():
            row = table["untrained"].setdefault(name, {k: [] for k in kinds})
            for k, w in kinds.items():
                row[k].append(round(float(values[w].mean()), 4))
    share = np.array([m[3].mean() for m in messages])
    table["chance"] = {k: interval(share[w]) for k, w in kinds.items()}
    print(table, flush=True)
    return table


def student(values: np.ndarray) -> list[float]:
    """Mean and half of its 95 % interval over seeds, by Student's t."""
    values = np.asarray(values, float)
    half = student_t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return [round(float(values.mean()), 4), round(float(half), 4)]


class WordNet(nn.Module):
    """Mean of a sentence's word vectors → relu(W·+b) → one logit, positive. Sentences as shares of words, (n, v)."""

    def __init__(self, words: int, width: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.hidden, self.out = nn.Linear(width, width), nn.Linear(width, 1)

    def of_mean(self, mean: torch.Tensor) -> torch.Tensor:
        """(…, 32) → logits (…,)."""
        return self.out(self.hidden(mean).relu())[..., 0]

    def forward(self, shares: torch.Tensor) -> torch.Tensor:
        return self.of_mean(shares @ self.embedding.weight)


def shares_of(sentences: list[np.ndarray], words: int) -> torch.Tensor:
    """How often each word stands in each sentence, as a share: float (n, v)."""
    shares = np.zeros((len(sentences), words), np.float32)
    for row, ids in zip(shares, sentences, strict=True):
        np.add.at(row, ids, 1 / max(len(ids), 1))
    return torch.from_numpy(shares)


def train_words(sentences: list[np.ndarray], labels: np.ndarray, words: int, seed: int, steps: int = 150) -> WordNet:
    """Adam on all sentences at once, the learning rate falling to 0."""
    torch.manual_seed(seed)
    model = WordNet(words)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    x, targets = shares_of(sentences, words), torch.from_numpy(labels).float()
    for _ in range(steps):
        loss = F.binary_cross_entropy_with_logits(model(x), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval().requires_grad_(False)


def accuracy(model: WordNet, sentences: list[np.ndarray], labels: np.ndarray) -> float:
    """Share of sentences whose sign is right."""
    return float(((model(shares_of(sentences, model.embedding.num_embeddings)) > 0).numpy() == labels).mean())


def feelings(split: str) -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray]]:
    """All sentences of a split that claim a feeling: ids, whether it is positive, and the words that carry it."""
    ids, labels, marks = [], [], []
    for cue in ("negative", "positive"):
        for line in mood_words.sentences(split)[cue]:
            ids.append(mood_words.encode(line))
            labels.append(cue == "positive")
            marks.append(evidence_of(line, cue)[1])
    return ids, np.array(labels, int), marks


def importance(model: WordNet, sentences: list[np.ndarray], name: str) -> list[np.ndarray]:
    """One map of each sentence, sizes only, floats (l,). The model takes a mean, so all its words share one gradient."""
    table = model.embedding.weight
    means = shares_of(sentences, len(table)) @ table
    base = table[1] if name == "IG, <unk>" else torch.zeros(32)
    if name == "gradient × input":
        gradients = saliency(model.of_mean, means)
    elif name != "leave one out":
        gradients = path_gradient(model.of_mean, means, base.expand_as(means), 32)
    heats = []
    for row, ids in enumerate(sentences):
        x, n = table[ids], len(ids)
        if name == "leave one out":
            others = (x.sum(dim=0) - x) / (n - 1)
            heat = model.of_mean(means[row]) - model.of_mean(others)
        else:
            heat = (x - base) @ gradients[row] / n
        heats.append(heat.abs().numpy())
    return heats


def make_retrain(seeds: int = 8) -> dict:
    """ROAR: {map: {words removed: {"retrained", "not retrained": [mean, ±], "hits": …}}}, accuracy on test sentences."""
    words = len(mood_words.vocabulary())
    counts = np.zeros(words)
    (train, labels, marks), (test, test_labels, test_marks) = feelings("train"), feelings("test")
    for ids in train:
        np.add.at(counts, ids, 1)
    own = ("leave one out", "IG, zero", "IG, <unk>", "gradient × input")
    names = (*own, "random", "the rarest words", "the last words", "the grammar")
    found: dict = {name: {str(k): {"retrained": [], "not retrained": [], "leak": []} for k in (1, 2)} for name in names}
    hits: dict = {name: [] for name in names}
    intact, nothing = [], []
    for seed in range(seeds):
        model = train_words(train, labels, words, seed)
        intact.append(accuracy(model, test, test_labels))
        empty = [[i[~m] for i, m in zip(*pair, strict=True)] for pair in ((train, marks), (test, test_marks))]
        nothing.append(accuracy(train_words(empty[0], labels, words, 100 + seed), empty[1], test_labels))
        rng = np.random.default_rng(seed)
        for name in names:
            orders = []
            for sentences, marked in ((train, marks), (test, test_marks)):
                if name in own:
                    heats = importance(model, sentences, name)
                elif name == "random":
                    heats = [rng.random(len(ids)) for ids in sentences]
                elif name == "the rarest words":
                    heats = [-counts[ids] for ids in sentences]
                elif name == "the last words":
                    heats = [np.arange(len(ids)) for ids in sentences]
                else:
                    heats = [mark + rng.random(len(mark)) / 2 for mark in marked]
                heats = [np.argsort(-heat, kind="stable") for heat in heats]
                orders.append(heats)
            hits[name].append(float(np.mean([m[o[0]] for m, o in zip(test_marks, orders[1], strict=True)])))
            for k in (1, 2):
                left = [
                    [np.delete(ids, order[:k]) for ids, order in zip(sentences, heats, strict=True)]
                    for sentences, heats in zip((train, test), orders, strict=True)
                ]
                row = found[name][str(k)]
                row["not retrained"].append(accuracy(model, left[1], test_labels))
                again = train_words(left[0], labels, words, 100 + seed)
                row["retrained"].append(accuracy(again, left[1], test_labels))
                # All evidence removed, too: what is still known then, the removed words gave away by being absent.
                bare = [
                    [
                        ids[~mark & ~np.isin(np.arange(len(ids)), order[:k])]
                        for ids, mark, order in zip(sentences, marked, heats, strict=True)
                    ]
                    for sentences, marked, heats in zip((train, test), (marks, test_marks), orders, strict=True)
                ]
                row["leak"].append(accuracy(train_words(bare[0], labels, words, 200 + seed), bare[1], test_labels))
        print(seed, intact[-1], nothing[-1], {n: found[n]["1"]["retrained"][-1] for n in names}, flush=True)
    table: dict = {"seeds": seeds, "n": [len(train), len(test)], "intact": student(intact)}
    table["all evidence removed"] = student(nothing)
    table["maps"] = {}
    for name, ways in found.items():
        table["maps"][name] = {k: {w: student(v) for w, v in row.items()} for k, row in ways.items()}
        table["maps"][name]["hits"] = student(hits[name])
    table["minus random"] = {}
    table["minus rarest"] = {}
    for name in names:
        for key, other in (("minus random", "random"), ("minus rarest", "the rarest words")):
            if name != other:
                table[key][name] = {
                    k: student(np.subtract(found[name][k]["retrained"], found[other][k]["retrained"]))
                    for k in ("1", "2")
                }
    for name in table["maps"]:
        print(name, table["maps"][name], table["minus random"].get(name), flush=True)
    return table


# ---------------------------------------------------------------- probes
def adjective_sentences() -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Every filling of three patterns with one adjective: ids, which adjective (0–19, ten positive first), topic (0–12)."""
    adjectives = mood_words.POSITIVE["adjective"] + mood_words.NEGATIVE["adjective"]
    topics = mood_words.SLOTS["topic"]
    sentences, which, about = [], [], []
    for a, adjective in enumerate(adjectives):
        for t, topic in enumerate(topics):
            lines = [f"What a {adjective} {topic} that was."]
            for very in mood_words.SLOTS["very"]:
                lines.append(f"The {topic} was {very} {adjective}.")
                lines.append(f"Our time at the {topic} was {very} {adjective}.")
            sentences += [mood_words.encode(line) for line in lines]
            which += [a] * len(lines)
            about += [t] * len(lines)
    return sentences, np.array(which), np.array(about)


def probe(features: np.ndarray, labels: np.ndarray, fit: np.ndarray, strength: float = 10.0) -> float:
    """Accuracy of a linear probe on the sentences on which it was not fitted; a small strength keeps its weights small."""
    scaled = (features - features[fit].mean(axis=0)) / (features[fit].std(axis=0) + 1e-6)
    model = LogisticRegression(C=strength, max_iter=500).fit(scaled[fit], labels[fit])
    return float(model.score(scaled[~fit], labels[~fit]))


def make_probe(seeds: int = 5, draws: int = 10) -> dict:
    """{network: {layer: {"feeling", "control", "selectivity", "topic": [mean, ±]}}}; and what a swapped topic changes."""
    words = len(mood_words.vocabulary())
    train, labels, _ = feelings("train")
    sentences, which, about = adjective_sentences()
    x = shares_of(sentences, words)
    positive_ = (which < 10).astype(int)
    fit = np.random.default_rng(0).random(len(sentences)) < 0.5
    found: dict = {}
    changed, moved = [], []
    for kind in ("trained", "untrained"):
        for seed in range(seeds):
            model = train_words(train, labels, words, seed, steps=150 if kind == "trained" else 0)
            mean = x @ model.embedding.weight
            layers = {"mean word vector": mean.numpy(), "hidden layer": model.hidden(mean).relu().numpy()}
            rng = np.random.default_rng([1, seed])
            for layer, features in layers.items():
                row = found.setdefault(kind, {}).setdefault(layer, {})
                # five of each ten adjectives: who knows only the feeling is right in exactly half of them
                halves = [0] * 5 + [1] * 5
                coins = [np.concatenate([rng.permutation(halves) for _ in range(2)]) for _ in range(draws)]
                for name, strength in (("", 10.0), (", weak probe", 0.003)):
                    control = float(np.mean([probe(features, coin[which], fit, strength) for coin in coins]))
                    feeling = probe(features, positive_, fit, strength)
                    values = {"feeling": feeling, "control": control, "selectivity": feeling - control}
                    values["topic"] = probe(features, about, fit, strength)
                    for key, value in values.items():
                        row.setdefault(key + name, []).append(value)
                print(kind, seed, layer, {k: round(v[-1], 3) for k, v in row.items()}, flush=True)
            if kind == "trained":
                flips = topic_swaps(model, sentences, about)
                changed.append(flips[0])
                moved.append(flips[1])
    table = {
        k: {layer: {n: student(v) for n, v in r.items()} for layer, r in rows.items()} for k, rows in found.items()
    }
    table |= {
        "n": [int(fit.sum()), int((~fit).sum())],
        "seeds": seeds,
        "draws": draws,
        "chance of topic": round(1 / 13, 4),
    }
    table["swapped topic changes"] = student(changed)
    table["swapped adjective changes"] = student(moved)
    print(table["swapped topic changes"], table["swapped adjective changes"], flush=True)
    return table


def topic_swaps(model: WordNet, sentences: list[np.ndarray], about: np.ndarray) -> tuple[float, float]:
    """Share of answers that change with another topic, and with an adjective of the other feeling."""
    words = model.embedding.num_embeddings
    topics = np.concatenate([mood_words.encode(t) for t in mood_words.SLOTS["topic"]])
    good = np.concatenate([mood_words.encode(a) for a in mood_words.POSITIVE["adjective"]])
    bad = np.concatenate([mood_words.encode(a) for a in mood_words.NEGATIVE["adjective"]])
    said = model(shares_of(sentences, words)) > 0
    rng = np.random.default_rng(3)
    other_topic, other_word = [], []
    for ids, topic in zip(sentences, about, strict=True):
        new = topics[(topic + rng.integers(1, len(topics))) % len(topics)]
        other_topic.append(np.where(ids == topics[topic], new, ids))
        pool = rng.choice(bad if np.isin(ids, good).any() else good)
        other_word.append(np.where(np.isin(ids, np.concatenate([good, bad])), pool, ids))
    return tuple(float(((model(shares_of(s, words)) > 0) != said).float().mean()) for s in (other_topic, other_word))


if __name__ == "__main__":
    runtime.setup(threads=1)
    make_tables(
        "interpret",
        {
            "games": make_games,
            "shortcut": make_shortcut,
            "sanity": make_sanity,
            "pointing": make_pointing,
            "steps": make_steps,
            "hiding": make_hiding,
            "attention": make_attention,
            "text": make_text,
            "retrain": make_retrain,
            "probe": make_probe,
        },
        sys.argv[1:],
        packages=("numpy", "torch"),
    )
