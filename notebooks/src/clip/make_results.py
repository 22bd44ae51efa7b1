"""Train the shipped CLIP of `scenes` and measure it: writes `data/models/clip`.

    make results clip                                    # about an hour on two quiet cores
    python notebooks/src/clip/make_results.py --steps 300 --decay 150 --out /tmp/clip   # a try
    python notebooks/src/clip/make_results.py --no-foils --out /tmp/clip    # the same training without hard negatives
    python notebooks/src/clip/make_results.py --experiments foils nlvr      # parts of results.json: 9 minutes, seconds

Two stages. *Phrases*: cut-outs with one thing each and noun phrases, one of each of the 70 kinds in a batch, so that a
batch has no false negatives: in 300 steps the picture tower knows colors and shapes. *Sentences*: whole scenes with
captions, 85 % English and 15 % Chinese, new ones in every epoch; half of the pictures also get a sentence that is near
their own and false. Matrices are trained by Muon, the rest by AdamW.

Experiments: *foils*, pairs of short runs from one start that never had a foil, with hard negatives and without; *nlvr*,
sentences that people wrote (dev.json and images of NLVR, in the folder that MMCOURSE_REAL_DATA names).

Everything drawn by chance comes from the seed; another processor or another PyTorch rounds differently.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mmcourse.datasets import data_dir, lesson_dir, save_results
from mmcourse.datasets.scenes import foils, world
from mmcourse.datasets.scenes.captions import CHINESE, ENGLISH, Voice, chinese, chinese_phrase, english, noun_phrase
from mmcourse.datasets.scenes.drawing import draw
from mmcourse.datasets.vocabulary import words_only
from mmcourse.figures import clip as clip_figures
from mmcourse.io import atomic_write
from mmcourse.torch.clip import CLIP, GRID, SIDE, prepare_images, tokenize, unknown_words
from mmcourse.torch.contrastive import contrastive_loss
from mmcourse.training.torch.muon import Muon

SEED = 0
TRAIN_SEED = 30_001  # of the training scenes: not the fixed splits of `scenes.load`
NUM_SCENES = 60_000
BATCH = 128
SHARE_CHINESE = 0.15
SHARE_HARD = 0.5  # of pictures that get a hard negative
PHRASE_STEPS = 300
CUT = SIDE // 2  # side of a cut-out in pixels
KINDS = sorted(set(world.SEEN))


class Optimizers:
    """Muon for matrices and kernels, AdamW for the rest; one factor for both learning rates."""

    def __init__(self, model: CLIP, muon_lr: float = 0.02, adamw_lr: float = 3e-3) -> None:
        named = dict(model.named_parameters())
        matrices = {
            name
            for name, parameter in named.items()
            if parameter.ndim > 1 and not any(word in name for word in ("embedding", "positions", "queries"))
        }
        rest = [parameter for name, parameter in named.items() if name not in matrices]
        self.both = [
            Muon([named[name] for name in sorted(matrices)], lr=muon_lr),
            torch.optim.AdamW(rest, lr=adamw_lr, betas=(0.9, 0.98), weight_decay=0.0),
        ]
        self.rates = [muon_lr, adamw_lr]

    def step(self, loss: torch.Tensor, model: CLIP, factor: float) -> None:
        """One update with both learning rates multiplied by `factor`."""
        for optimizer, rate in zip(self.both, self.rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * factor
            optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in self.both:
            optimizer.step()
        model.clip_log_scale()


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices by itself (AMX): then convolutions take a third of the time."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16"))


def image_features(model: CLIP, images: torch.Tensor, fast: bool, corner: tuple[int, int] = (0, 0)) -> torch.Tensor:
    """Vectors of pictures, convolutions in bfloat16 where the processor can."""
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=fast):
        return model.pooling(model.vision(images, corner)).float()


def text_features(model: CLIP, texts: list[str], groups: int = 5) -> torch.Tensor:
    """Vectors of texts, in groups of about the same length: half of a common batch would be padding."""
    ids, padding_mask = tokenize(texts)
    order = padding_mask.sum(dim=1).argsort(stable=True)
    parts = []
    for rows in order.chunk(groups):
        longest = int(padding_mask[rows].sum(dim=1).max())
        parts.append(model.text(ids[rows, :longest], padding_mask[rows, :longest]))
    return torch.cat(parts)[order.argsort()]


# ---------------------------------------------------------------- phrases
def cut_out(image: np.ndarray, thing: world.Thing, rng: np.random.Generator) -> np.ndarray:
    """A square of 32 × 32 pixels somewhere around the thing: uint8 (32, 32, 3)."""
    corner = []
    for center in (thing.y, thing.x):
        low = min(max(0, int(np.ceil(center + thing.radius + 1 - (CUT - 1)))), SIDE - CUT)
        high = max(min(SIDE - CUT, int(center - thing.radius - 1)), 0)
        corner.append(int(rng.integers(min(low, high), max(low, high) + 1)))
    top, left = corner
    return image[top : top + CUT, left : left + CUT]


def train_phrases(model: CLIP, steps: int, fast: bool, per_kind: int = 60) -> list[float]:
    """One cut-out and one noun phrase of each kind of thing in every batch; returns the losses."""
    rng = np.random.default_rng([SEED, 1])
    scenes = []
    for number, kind in enumerate(KINDS):
        placed = [world.place([kind], rng) for _ in range(per_kind)]
        scenes.append(
            [
                world.Scene(things, int(rng.integers(len(world.TEXTURES))), (41, number, i))
                for i, things in enumerate(placed)
                if things
            ]
        )
    images = [[draw(scene) for scene in row] for row in scenes]
    optimizers, losses = Optimizers(model), []
    model.train()
    for step in range(steps):
        chosen = [int(rng.integers(len(row))) for row in scenes]
        in_chinese = rng.random(len(KINDS)) < SHARE_CHINESE
        phrases = []
        for number, (row, i) in enumerate(zip(scenes, chosen, strict=True)):
            seed = (7, number, step)
            if in_chinese[number]:
                phrases.append(chinese_phrase(row[i].things[0], Voice(CHINESE, seed)))
            else:
                phrases.append(noun_phrase(row[i].things[0], Voice(ENGLISH, seed)))
        cuts = [cut_out(images[n][i], scenes[n][i].things[0], rng) for n, i in enumerate(chosen)]
        pixels = torch.from_numpy(np.stack(cuts)).permute(0, 3, 1, 2).float() / 255
        corner = tuple(rng.integers(0, GRID - CUT * GRID // SIDE + 1, 2).tolist())
        image = image_features(model, pixels, fast, corner)
        loss = contrastive_loss(image, text_features(model, phrases), model.log_scale)
        optimizers.step(loss, model, min(1.0, (step + 1) / 20) * (1 - 0.9 * step / steps))
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            print(f"phrases, step {step + 1}: loss {np.mean(losses[-50:]):.3f}", flush=True)
    return losses


# ---------------------------------------------------------------- sentences
def batches(scenes: list[world.Scene], rng: np.random.Generator) -> Iterator[list[int]]:
    """Row numbers without end, BATCH at a time, each epoch in a new order; the first 200 batches with few things."""
    for most, number in ((2, 200), (world.MOST, None)):
        usable = np.array([row for row, scene in enumerate(scenes) if len(scene.things) <= most])
        order: list[int] = []
        count = 0
        while number is None or count < number:
            if len(order) < BATCH:
                order = rng.permutation(usable).tolist()
            yield order[:BATCH]
            order = order[BATCH:]
            count += 1


def train_sentences(
    model: CLIP,
    steps: int,
    decay: int,
    fast: bool,
    num_scenes: int = NUM_SCENES,
    share_hard: float = SHARE_HARD,
    seed: int = SEED,
) -> list[dict]:
    """Captions of whole scenes; the learning rate falls in a straight line over the last `decay` steps.

    share_hard : of the pictures, how many also get a sentence that is near their own and false

    Returns what was measured on 500 validation scenes, every 200 steps.
    """
    rng = np.random.default_rng([seed, 2])
    scenes = [world.make(TRAIN_SEED, index) for index in range(num_scenes)]
    images = np.stack([draw(scene) for scene in scenes])
    validation = [world.make(20_002, index) for index in range(500)]
    validation_images = np.stack([draw(scene) for scene in validation])
    optimizers, losses, curve = Optimizers(model), [], []
    started = time.process_time()
    for step, rows in zip(range(steps), batches(scenes, rng), strict=False):
        model.train()
        texts, negatives = [], []
        for row in rows:
            scene = replace(scenes[row], seed=(TRAIN_SEED, row, step))  # another speaker each time
            language = "Chinese" if rng.random() < SHARE_CHINESE else "English"
            texts.append(chinese(scene) if language == "Chinese" else english(scene))
            if rng.random() < share_hard:
                negative = foils.hard_negative(scene, rng, language)
                negatives += [negative] if negative else []
        image = image_features(model, prepare_images(images[rows]), fast)
        text = text_features(model, texts + negatives)
        loss = contrastive_loss(image, text[:BATCH], model.log_scale, text[BATCH:])
        optimizers.step(loss, model, min(1.0, (step + 1) / 50, (steps - step) / decay))
        losses.append(loss.item())
        if (step + 1) % 200 == 0 or step + 1 == steps:
            text, image = model.encode_text([english(s) for s in validation]), model.encode_image(validation_images)
            scores = (text @ image.T).double().numpy()
            curve.append(
                {
                    "step": step + 1,
                    "loss": round(float(np.mean(losses[-100:])), 4),
                    "text to image R@1 among 500": round(clip_figures.recall_at_1(scores), 4),
                    "cpu seconds": round(time.process_time() - started, 1),
                }
            )
            print(curve[-1], flush=True)
    return curve


# ---------------------------------------------------------------- experiments
def foils_experiment(steps: int = 250, decay: int = 150, seeds: int = 2, num_scenes: int = 4000) -> Iterator[dict]:
    """Short runs with and without hard negatives, all from one model that knows phrases and never had a foil.

    Gives what is measured so far after each run.
    """
    fast = has_fast_bfloat16()
    torch.manual_seed(SEED)
    start = CLIP().to(memory_format=torch.channels_last)
    train_phrases(start, PHRASE_STEPS, fast)
    scenes, images = clip_figures.draw_scenes(1000)
    captions = [english(scene) for scene in scenes]
    runs: dict[str, list[dict]] = {"without": [], "with": []}
    for seed in range(seeds):
        for name, share in (("without", 0.0), ("with", SHARE_HARD)):
            model, started = copy.deepcopy(start), time.process_time()
            train_sentences(model, steps, decay, fast, num_scenes, share, seed)
            image = model.eval().encode_image(images)
            scores = (model.encode_text(captions) @ image.T).double().numpy()
            row = {"text_to_image_r1": clip_figures.recall_at_1(scores)}
            for kind in ("color", "relation"):
                found, number = clip_figures.foil_accuracy(model, scenes, image, kind)
                row |= {f"foils_{kind}": found, f"num_foils_{kind}": number}
            runs[name].append(row | {"cpu seconds": round(time.process_time() - started)})
            print(name, runs[name][-1], flush=True)
            yield {"phrase steps": PHRASE_STEPS, "sentence steps": steps, "runs": runs}


def panels(path: Path) -> np.ndarray:
    """The three panels of one picture of NLVR: uint8 (3, 64, 64, 3)."""
    picture = Image.open(path).convert("RGB")
    parts = [picture.crop((left, 0, left + 100, 100)).resize((SIDE, SIDE)) for left in (0, 150, 300)]
    return np.stack([np.asarray(part) for part in parts])


def known_words(sentence: str) -> tuple[str, int, int]:
    """Only the words that training had; how many these are, and how many words there were."""
    strange = set(unknown_words(sentence))
    words = words_only(sentence).replace('"', "").split()
    kept = [word for word in words if word not in strange]
    return " ".join(kept), len(kept), len(words)


def nlvr_experiment() -> Iterator[dict]:
    """People's sentences: is the picture that one was written about nearer to it than another sentence's picture?

    A sentence that is false of its picture is the control: where its picture is nearer just as often, the model does
    not know what is true. So are pictures that were exchanged. Intervals: 2,000 draws of whole sentences.
    """
    folder = Path(os.environ.get("MMCOURSE_REAL_DATA", "")) / "nlvr"
    if not (folder / "dev.json").is_file():
        raise FileNotFoundError("nlvr is not in the folder of real data: set MMCOURSE_REAL_DATA")
    rows = {row["identifier"]: row for row in map(json.loads, (folder / "dev.json").read_text("utf-8").splitlines())}
    paths = sorted((folder / "images").glob("*.png"))
    mine = [rows["-".join(path.stem.split("-")[1:3])] for path in paths]
    read = [known_words(row["sentence"]) for row in mine]
    model = CLIP.from_pretrained("clip")
    image = model.encode_image(np.concatenate([panels(path) for path in paths])).reshape(len(paths), 3, -1)
    text = model.encode_text([kept for kept, _, _ in read])
    score = torch.einsum("nd,mpd->nmp", text, image).mean(dim=2).double().numpy()  # (sentences, pictures)
    sentences = np.unique([row["sentence"] for row in mine], return_inverse=True)[1]
    true = np.array([row["label"] == "true" for row in mine])
    rng = np.random.default_rng(0)

    def above(own: np.ndarray, which: np.ndarray) -> dict:
        """How often a sentence's own picture has more than a picture of another sentence, ties a half; in the mean."""
        shares = []
        for row in np.flatnonzero(which):
            others = score[row, sentences != sentences[row]]
            shares.append(np.mean((score[row, own[row]] > others) + 0.5 * (score[row, own[row]] == others)))
        groups = [np.array(shares)[sentences[which] == one] for one in np.unique(sentences[which])]
        drawn = [
            np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))]).mean() for _ in range(2000)
        ]
        low, high = np.quantile(drawn, [0.025, 0.975])
        return {"n": len(shares), "share": float(np.mean(shares)), "low": float(low), "high": float(high)}

    own = np.arange(len(paths))
    yield {
        "pictures": len(paths),
        "sentences": len(set(sentences.tolist())),
        "words kept": sum(kept for _, kept, _ in read) / sum(number for _, _, number in read),
        "true": above(own, true),
        "false": above(own, ~true),
        "exchanged": above(np.roll(own, len(own) // 2), true),
        "source": "NLVR, Suhr et al. 2017, development set, CC BY 4.0",
    }


EXPERIMENTS = {"foils": foils_experiment, "nlvr": nlvr_experiment}


def experiments(names: list[str]) -> None:
    """Make these parts of `results.json`; the others stay."""
    path = lesson_dir("clip") / "results.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"seconds": {}}
    for name in names:
        started = time.process_time()
        for part in EXPERIMENTS[name]():
            found[name] = part
            found["seconds"][name] = round(time.process_time() - started)
            found["made_with"] = {"torch": torch.__version__.split("+")[0], "numpy": np.__version__}
            save_results("clip", found)


def main() -> None:
    """Train, save, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8000, help="of the sentences stage")
    parser.add_argument("--decay", type=int, default=3000, help="steps in which the learning rate falls to 0")
    parser.add_argument("--out", type=Path, default=None, help="another folder for the model")
    parser.add_argument("--no-foils", action="store_true", help="train without hard negatives")
    parser.add_argument("--experiments", nargs="*", choices=EXPERIMENTS, help="only these parts of results.json")
    options = parser.parse_args()
    if options.experiments is not None:
        experiments(options.experiments or list(EXPERIMENTS))
        return
    if options.no_foils and options.out is None:
        parser.error("--no-foils needs --out: the shipped model is trained with foils")
    fast = has_fast_bfloat16()
    torch.manual_seed(SEED)
    model = CLIP().to(memory_format=torch.channels_last)
    started = time.process_time()
    train_phrases(model, PHRASE_STEPS, fast)
    share_hard = 0.0 if options.no_foils else SHARE_HARD
    curve = train_sentences(model, options.steps, options.decay, fast, share_hard=share_hard)
    training = {
        "seed": SEED,
        "phrase steps": PHRASE_STEPS,
        "sentence steps": options.steps,
        "decay steps": options.decay,
        "share of pictures with a hard negative": share_hard,
        "bfloat16 convolutions": fast,
        "cpu seconds": round(time.process_time() - started),
        "curve": curve,
    }
    save(model, training, options.out)


CARD = """\
# Model card: clip

A picture tower and a text tower for `scenes`, trained by contrast (CLIP, Radford et al. 2021). {weights:,} weights as float16, loaded by
safetensors only:

```python
from mmcourse.torch.clip import CLIP
model = CLIP.from_pretrained("clip")
```

`model.vision` gives an 8 × 8 grid of features, from which later lessons start.

## Data
{scenes:,} drawn scenes of seed {train_seed} with new English and Chinese captions in every epoch (`data/scenes/README.md`); test scenes are
others. Text is encoded by `mmcourse.datasets.vocabulary`. No photograph and no sentence that a person wrote is in it.

## Training
`notebooks/src/clip/make_results.py`, seed {seed}: {phrase_steps} steps on cut-outs and phrases, then {sentence_steps:,} steps on scenes and captions
in batches of {batch}, the learning rate falling over the last {decay_steps:,}. {cpu:,} CPU seconds of one thread. Matrices by Muon, the rest by
AdamW.{note} Another processor or another PyTorch rounds differently.

## Measured
On 1,000 test scenes, from the stored weights (`mmcourse figures clip`). The limit is what the exact likelihood of captions reaches.

| figure | reached | limit |
|---|---|---|
{rows}

Where text → image R@1 falls short, by what the caption says besides the things. The control "relations unknown" is the exact likelihood of who
sees everything but on which side of another a thing lies: sides alone are not what is missing.

| the caption says | captions | reached | exact limit | relations unknown |
|---|---|---|---|---|
{statements}

Swapped colors and exchanged sides are foils that nobody can tell without looking: chance is 0.5. {foils}
Chinese captions find their picture with R@1 {chinese:.3f}; scenes with pairs of color and shape that training never has, {unseen:.3f}.
All figures: `figures.json`.

## Files
- `model.safetensors` SHA-256 {sha256}
- `config.json` widths of the towers; how many pieces the vocabulary had, and their SHA-256

## License and limits
CC BY 4.0, the mmcourse authors. The model knows six shapes, eight colors and the sentences of one grammar. What it says about photographs
means nothing: it is for lessons only.
"""
ROWS = {
    "text_to_image_r1": "text → image R@1 among 1,000",
    "image_to_text_r1": "image → text R@1 among 1,000",
    "zero_shot": "zero-shot color and shape, 48 names",
    "infonce_128": "InfoNCE at batch 128 (nats)",
    "foils_color": "caption against swapped colors",
    "foils_relation": "caption against left and right exchanged",
    "foils_by_likelihood": "swapped colors, told by the captioner's likelihood",
}


def write_card(folder: Path, model: CLIP, found: dict) -> None:
    """README.md with the figures that were measured."""
    figures, limits, training = found["figures"], found["limits"], found["training"]
    above = [name for name in ("foils_color", "foils_relation") if figures[name] > 0.6]
    text = CARD.format(
        weights=sum(parameter.numel() for parameter in model.parameters()),
        scenes=NUM_SCENES,
        train_seed=TRAIN_SEED,
        batch=BATCH,
        seed=training["seed"],
        phrase_steps=training["phrase steps"],
        sentence_steps=training["sentence steps"],
        decay_steps=training["decay steps"],
        cpu=training["cpu seconds"],
        note=training.get("note", ""),
        rows="\n".join(
            f"| {title} | **{figures[name]:.3f}** | {limits.get(name, 1.0):.3f} |" for name, title in ROWS.items()
        ),
        foils="" if above else "Together the two towers do not tell who has which color, nor on which side.",
        statements="\n".join(
            f"| {kind} | {row['n']:,} | {row['reached']:.3f} | {row['exact']:.3f} | {row['relations unknown']:.3f} |"
            for kind, row in found["by_statement"].items()
        ),
        chinese=figures["chinese_to_image_r1"],
        unseen=figures["unseen_pairs"],
        sha256=found["sha256"],
    )
    atomic_write(folder / "README.md", text)


def save(model: CLIP, training: dict, out: Path | None = None) -> None:
    """Write the model, and its figures as it will be loaded: from float16."""
    folder = data_dir() / "models" / "clip" if out is None else out
    model.save_pretrained(folder)
    figures = clip_figures.compute(model=CLIP.from_pretrained(folder))
    sha256 = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    found = {
        "figures": figures,
        "figures_100": clip_figures.compute(100, CLIP.from_pretrained(folder)),
        "limits": clip_figures.limits(),
        "by_statement": clip_figures.by_statement(model=CLIP.from_pretrained(folder)),
        "training": training,
        "sha256": sha256,
        "made_with": {"torch": torch.__version__.split("+")[0], "numpy": np.__version__},
    }
    atomic_write(folder / "figures.json", json.dumps(found, indent=1) + "\n")
    write_card(folder, model, found)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
