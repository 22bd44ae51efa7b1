"""Train the shipped language model, and the long runs of its lesson.

    python notebooks/src/language_model/make_results.py --train --minutes 6     # the shipped model
    python notebooks/src/language_model/make_results.py --measure               # only figures and card of the stored one
    python notebooks/src/language_model/make_results.py scaling                 # one table of results.json, or several

- `scaling`: four sizes of one model, each for the same time, excess over the exact entropy on the way, three seeds;
- `binding`: how soon a model knows whose color it was: two or four heads, with and without easy texts first, three seeds;
- `apart`: one part exchanged (norm, positions, feed-forward, tied weights), two budgets, five seeds;
- `induction`: one and two layers on random sequences that come twice, five seeds, and a fixed period as a control;
- `reviews`: real sentences as bytes and as byte-pair tokens, beside counting and compressors, three seeds;
- `lengths`: positions beyond those of training, rotary and learned, on the same sentences, three seeds;
- `plateau`: models that were trained in other ways, and whose color comes back in their second sentence (`--tried`);
- `dialogue`: as `reviews`, with as many steps, on turns of a television series; `fewer_reviews`: counting and
  compressors on a part of the reviews that is as large as its training text, so that the corpora can be compared.

Everything drawn by chance comes from the seed; another processor or another PyTorch rounds differently. `reviews`,
`lengths` and `fewer_reviews` need the film reviews (fetched once, 1.2 MB), `dialogue` MELD's three tables of utterances
in a folder `meld` of MMCOURSE_REAL_DATA (github.com/declare-lab/MELD, `data/MELD`); only figures of it are stored.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import json
import lzma
import math
import os
import time
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from mmcourse.authoring.tables import make_tables
from mmcourse.datasets import data_dir, results, reviews, vocabulary
from mmcourse.datasets.scenes import texts
from mmcourse.figures import language_model as figures
from mmcourse.io import atomic_write
from mmcourse.preprocess.bpe import BPETokenizer
from mmcourse.preprocess.ngram import InterpolatedNgram
from mmcourse.torch.gpt import SPECIAL, CausalLM, nats_of, pad_right

SEED = 0
PIECES = [*SPECIAL, *(vocabulary.id_of(word) for word in texts.vocabulary_words())]
LABEL = {word: 3 + i for i, word in enumerate(texts.vocabulary_words())}
BOS, EOS = 1, 2


# ---------------------------------------------------------------- data and one step
def rows_of(found: list[list[str]]) -> list[list[int]]:
    """Labels of texts, with beginning and end."""
    return [[BOS, *(LABEL[word] for word in words), EOS] for words in found]


NUM_TEXTS = 120_000
KEEP: Path | None = None  # a file in which the training texts are kept, so that several calls draw them once


@cache
def training_rows() -> list[list[int]]:
    """The training texts of all runs."""
    if KEEP is not None and KEEP.is_file():
        flat = np.load(KEEP)
        ends = np.flatnonzero(flat == EOS) + 1
        return [part.tolist() for part in np.split(flat, ends[:-1])]
    rows = rows_of(texts.draw_texts(NUM_TEXTS, [SEED, 3]))
    if KEEP is not None:
        np.save(KEEP, np.concatenate(rows))
    return rows


def batch_loss(model: CausalLM, rows: list[list[int]], groups: int = 2) -> torch.Tensor:
    """Mean nats per piece over all pieces of all rows; in groups of about the same length, so little is padded."""
    rows = sorted(rows, key=len)
    size = -(-len(rows) // groups)
    total: torch.Tensor | float = 0.0
    for start in range(0, len(rows), size):
        ids = pad_right(rows[start : start + size])
        logits = model(ids[:, :-1])
        labels = ids[:, 1:].reshape(-1)
        total = total + F.cross_entropy(logits.flatten(0, 1), labels, ignore_index=0, reduction="sum")
    return total / sum(len(row) - 1 for row in rows)  # type: ignore[return-value]


def make_optimizer(model: CausalLM, rate: float) -> torch.optim.AdamW:
    """AdamW; matrices decay, gains do not."""
    decays = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": decays, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))


def update(model: CausalLM, optimizer: torch.optim.Optimizer, loss: torch.Tensor, rate: float) -> None:
    """One step at this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


@cache
def judged(n: int = 200, seed: int = 30_008) -> tuple[list[list[int]], float]:
    """Validation texts as labels, and their exact nats per piece."""
    found = texts.draw_texts(n, seed)
    exact = np.concatenate([-texts.log_probs(words) for words in found])
    return rows_of(found), float(exact.mean())


def excess(model: torch.nn.Module) -> float:
    """Nats per piece above the exact ones, on the validation texts."""
    rows, exact = judged()
    model.eval()
    found = torch.cat(nats_of(model, rows)).double().mean().item() - exact
    model.train()
    return found


# ---------------------------------------------------------------- easy texts: whose color was it?
NUM_EASY = 20_000
FOUND = 0.1  # nats of the colors that come back; below, the next stage begins
LONGEST_STAGE = 500  # steps, if they are not found
BESIDE = 600  # steps with easy and true texts
COLOR_LABELS = torch.tensor([LABEL[word] for word in texts.COLOR_WORDS])
Row = tuple[list[int], int]  # labels, and how many of them stand before the colors come back


def easy_row(rng: np.random.Generator, bare: bool) -> Row:
    """ "a red star, an azure box and …. ", then every color again in random order: "box azure." or "the box is azure." """
    colors, shapes = list(texts.COLOR_WORDS), list(texts.SHAPE_OF)
    things: dict[str, tuple[str, str]] = {}  # by shape: no two are alike
    number = int(rng.integers(3, 7))
    while len(things) < number:
        shape = shapes[int(rng.integers(len(shapes)))]
        things.setdefault(texts.SHAPE_OF[shape], (colors[int(rng.integers(len(colors)))], shape))
    said = list(things.values())
    words: list[str] = []
    for i, (color, shape) in enumerate(said):
        link = [] if i == 0 else ["and"] if i == number - 1 else [","]
        words += [*link, "an" if color[0] in "aeiou" else "a", color, shape]
    words.append(".")
    first = 1 + len(words)
    for i in rng.permutation(number).tolist():
        color, shape = said[i]
        words += [shape, color, "."] if bare else ["the", shape, "is", color, "."]
    return rows_of([words])[0], first


@cache
def easy_rows(bare: bool) -> list[Row]:
    """The easy texts of all runs."""
    rng = np.random.default_rng([SEED, 11, bare])
    return [easy_row(rng, bare) for _ in range(NUM_EASY)]


def recalled_nats(model: CausalLM, rows: list[Row]) -> torch.Tensor:
    """Mean nats of the colors that come back; nothing else counts."""
    ids = pad_right([row for row, _ in rows])
    labels = ids[:, 1:]
    after = torch.arange(1, ids.shape[1]) >= torch.tensor([first for _, first in rows])[:, None]
    again = after & torch.isin(labels, COLOR_LABELS)  # (b, t)
    return F.cross_entropy(model(ids[:, :-1])[again], labels[again])


@torch.no_grad()
def recalled(model: CausalLM) -> float:
    """The same on the validation texts, which the grammar wrote: ln 2 to ln 3 for who guesses among the colors."""
    rows, _ = judged()
    model.eval()
    found = recalled_nats(model, [(row, row.index(LABEL["."])) for row in rows]).item()
    model.train()
    return found


# ---------------------------------------------------------------- the shipped model
TEXTS_PER_STEP, HIGHEST = 64, 3e-3
HEADS = 2  # of 32 numbers each
STAGES = ("pairs", "sentences", "both", "true texts")


def stage_loss(model: CausalLM, stage: str, rng: np.random.Generator, true: list[list[int]]) -> torch.Tensor:
    """The loss of one step: of easy texts, of easy and true ones, or of true ones."""

    def easy(bare: bool, number: int) -> list[Row]:
        every = easy_rows(bare)
        return [every[i] for i in rng.integers(len(every), size=number).tolist()]

    number = len(true)
    if stage == "pairs":
        return recalled_nats(model, easy(True, number))
    if stage == "sentences":
        return recalled_nats(model, easy(True, number // 4) + easy(False, number - number // 4))
    loss = batch_loss(model, true)
    return loss + 0.5 * recalled_nats(model, easy(False, number // 2)) if stage == "both" else loss


def train(
    model: CausalLM, minutes: float, steps: int, easy_first: bool = True, seed: int = SEED, every: int = 250
) -> tuple[CausalLM, dict]:
    """Train for `steps` steps, or `minutes` if that is sooner; each true text comes once before one comes again.

    easy_first : easy texts until the colors that come back are found, then both for a while, then true texts only
    """
    optimizer = make_optimizer(model, HIGHEST)
    true = training_rows()
    rng, order = np.random.default_rng([seed, 2]), []
    started, cpu, losses, curve = time.perf_counter(), time.process_time(), [], []
    progress, step, pieces, stage, begun = 0.0, 0, 0, STAGES[0 if easy_first else 3], 0
    stages = [{"name": stage, "first step": 0}]
    while progress < 1:
        progress = max((step + 1) / steps, (time.perf_counter() - started) / 60 / minutes)
        length = step - begun
        is_found = len(losses) >= 30 and float(np.mean(losses[-30:])) < FOUND
        if (stage in STAGES[:2] and (is_found or length >= LONGEST_STAGE)) or (stage == "both" and length >= BESIDE):
            stage, begun, losses = STAGES[STAGES.index(stage) + 1], step, []
            stages.append({"name": stage, "first step": step})
        if len(order) < TEXTS_PER_STEP:
            order = rng.permutation(len(true)).tolist()
        rows = [true[order.pop()] for _ in range(TEXTS_PER_STEP)]
        pieces += sum(len(row) - 1 for row in rows) if stage in STAGES[2:] else 0
        loss = stage_loss(model, stage, rng, rows)
        rate = HIGHEST * min(1.0, (step + 1) / 50, max(0.02, (1 - progress) / 0.5))
        update(model, optimizer, loss, rate)
        losses.append(loss.item())
        step += 1
        if step % every == 0 or progress >= 1 or step in (1, 50):
            row = {
                "step": step,
                "loss": float(np.mean(losses[-50:])),
                "excess": excess(model),
                "recalled": recalled(model),
            }
            curve.append({key: round(value, 4) for key, value in row.items()})
            curve[-1] |= {"stage": stage, "cpu seconds": round(time.process_time() - cpu), "pieces": pieces}
            print(curve[-1], flush=True)
    training = {
        "seed": seed,
        "steps": step,
        "stages": stages,
        "texts": len(true),
        "texts per step": TEXTS_PER_STEP,
        "pieces": pieces,
        "highest rate": HIGHEST,
        "cpu seconds": round(time.process_time() - cpu),
        "curve": curve,
    }
    return model.eval(), training


# ---------------------------------------------------------------- what made it bind
WAYS = {  # heads, and whether easy texts come first
    "4 heads, true texts only": (4, False),
    "2 heads, true texts only": (2, False),
    "4 heads, easy texts first": (4, True),
    "2 heads, easy texts first": (2, True),
}
BINDING_STEPS = (1200, 3600)
BINDING_SEEDS = 3


def binding() -> dict:
    """Excess, and nats of a color that comes back, of each way: three seeds; without easy texts a second budget, too."""
    found: dict = {"steps": list(BINDING_STEPS), "guessing": [math.log(2), math.log(3)], "runs": {}}
    for name, (heads, easy_first) in WAYS.items():
        for steps in BINDING_STEPS[: 2 if name == "2 heads, true texts only" else 1]:
            runs = []
            for seed in range(BINDING_SEEDS if steps == BINDING_STEPS[0] else 1):
                torch.manual_seed(seed)
                model = CausalLM(PIECES, 64, 4, heads, 172, tie=False)
                curve = train(model, 1e9, steps, easy_first, seed, steps // 8)[1]["curve"]
                runs.append([[row["step"], row["excess"], row["recalled"]] for row in curve])
            found["runs"].setdefault(name, {})[str(steps)] = runs
    return found


CARD = """\
# Model card: language_model

Continues short texts about things with shapes and colors: a causal Transformer of Llama's kind (RMSNorm, rotary positions,
SwiGLU), {layers} blocks of width {dim} with {heads} heads. {weights:,} weights as float16, loaded by safetensors only:

```python
from mmcourse.torch.gpt import CausalLM
model = CausalLM.from_pretrained("language_model")
model.generate(["a small red star is"], method="sample")
```

Its softmax is over the {pieces} pieces of the course's vocabulary that its texts can have, not over 1,280.

## Data
{num_texts:,} texts drawn from the grammar of `mmcourse/datasets/scenes/texts.py`; {train_pieces:,} pieces were read. Test texts are drawn
with another seed. The grammar gives the exact probability of every word, and the exact entropy: {entropy_per_text:.3f} nats per text of
{pieces_per_text:.2f} pieces, {entropy_per_piece:.4f} per piece. No sentence that a person wrote is in it.

## Training
`notebooks/src/language_model/make_results.py --train`, seed {seed}: {steps:,} steps of {batch} texts with AdamW; {cpu:,} CPU seconds of one thread.
Easy texts come first, in which only the colors that come back count: 3 to 6 things, then "star red." for each in random order (from step 0), then
"the star is red." (from step {sentences:,}); from step {both:,} on true texts with the easy ones beside them, from step {true:,} on true texts only. Another
processor or another PyTorch rounds differently.

This seed found whose color it was; not every one does: of {easy_runs} short trainings with easy texts first, {easy_found} did, of {true_runs} without, {true_found} (table `binding`
of the lesson's `results.json`). A new training may need more steps or another seed.

| step | CPU seconds | loss, nats per piece | above the exact entropy (200 validation texts) | nats of a color that comes back |
|---|---|---|---|---|
{curve}

## Measured
On 1,000 test texts, from the stored weights (`mmcourse figures language_model`).

| figure | reached | aim | limit |
|---|---|---|---|
| perplexity above the exact one | **{excess_perplexity:.4f}** | 0.03 | 0 |
| nats per piece | {nats_per_piece:.4f} | – | {exact_nats_per_piece:.4f} |
| sampled texts that the grammar can write, to the last word | {sampled_grammatical:.3f} | – | 1 |

95 % interval of the first: {excess_low:.4f} to {excess_high:.4f} (over texts; one training run). Where only one word can stand, it loses
{excess_where_forced:.4f} nats per piece; elsewhere {excess_where_open:.4f}.
{verdict} All figures: `figures.json`.

## Files
- `model.safetensors` SHA-256 {sha256}
- `config.json` widths of the model and the ids of its pieces

## License and limits
CC BY 4.0, the mmcourse authors. It knows one grammar with {words} words, and nothing of the world. For lessons only.
"""


def verdict(found: dict) -> str:
    """Whether the aim is reached."""
    return "The aim is reached." if found["excess_perplexity"] <= 0.03 else "The aim is not reached."


def write_card(folder: Path, model: CausalLM, stored: dict) -> None:
    """README.md from the figures."""
    found, training = stored["figures"], stored["training"]
    curve = "\n".join(
        f"| {row['step']:,} | {row['cpu seconds']} | {row['loss']:.3f} | {row['excess']:.4f} | {row['recalled']:.3f} |"
        for row in training["curve"]
        if row["step"] in (1, 50, training["steps"]) or row["step"] % 500 == 0
    )
    first = {stage["name"]: stage["first step"] for stage in training["stages"]}
    counts = {}
    for kind in ("easy", "true"):
        ways = [way for name, way in results("language_model")["binding"]["runs"].items() if f", {kind} texts" in name]
        ends = [
            run[-1][2] for way in ways for runs in way.values() for run in runs
        ]  # nats of the color that comes back
        counts |= {f"{kind}_runs": len(ends), f"{kind}_found": sum(end < 0.5 * math.log(2) for end in ends)}
    card = CARD.format(
        layers=model.config["num_layers"],
        dim=model.config["dim"],
        heads=model.config["num_heads"],
        pieces=len(model.config["pieces"]),
        words=len(texts.vocabulary_words()),
        num_texts=training["texts"],
        sentences=first["sentences"],
        both=first["both"],
        true=first["true texts"],
        **counts,
        train_pieces=training["pieces"],
        seed=training["seed"],
        steps=training["steps"],
        batch=training["texts per step"],
        cpu=training["cpu seconds"],
        curve=curve,
        verdict=verdict(found),
        sha256=stored["sha256"],
        **found,
    )
    atomic_write(folder / "README.md", card)


def save(model: CausalLM, training: dict, folder: Path) -> None:
    """Weights, figures of what was stored, card."""
    model.save_pretrained(folder)
    model = CausalLM.from_pretrained(folder)
    stored = {
        "figures": figures.compute(1000, model),
        "figures_200": figures.compute(200, model),
        "training": training,
        "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "made_with": f"torch {torch.__version__.split('+')[0]}, one thread",
    }
    atomic_write(folder / "figures.json", json.dumps(stored, indent=1) + "\n")
    write_card(folder, model, stored)
    print(json.dumps(stored["figures"], indent=1))


# ---------------------------------------------------------------- scaling
SIZES = ((8, 1), (16, 2), (32, 2), (64, 3))  # width, blocks
SECONDS = 12.0  # per run
SCALING_SEEDS = 3
GRID = [20_000 * 2**k for k in range(12)]  # pieces read at which a run is measured


def effective_weights(model: CausalLM) -> int:
    """Weights that multiply a vector for each piece: the blocks, and the tied embedding once, as the head."""
    return model.num_weights() + model.embedding.weight.numel()


def one_size(dim: int, num_layers: int, seed: int, seconds: float = SECONDS) -> dict:
    """Constant learning rate after a warm-up, measured on the way by averaged weights: one run serves all budgets."""
    torch.manual_seed(seed)
    model = CausalLM(PIECES, dim, num_layers, 2 if dim < 32 else 4, -(-8 * dim // 3 // 4) * 4)
    averaged = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.98))
    rate = 0.024 / math.sqrt(dim)
    optimizer = make_optimizer(model, rate)
    rng = np.random.default_rng([seed, 4])
    rows, points, read, step = training_rows(), [], 0, 0
    spent = 0.0
    while spent < seconds and len(points) < len(GRID):
        begun = time.perf_counter()
        chosen = [rows[i] for i in rng.integers(len(rows), size=48).tolist()]
        update(model, optimizer, batch_loss(model, chosen, 1), rate * min(1.0, (step + 1) / 50))
        averaged.update_parameters(model)
        read += sum(len(row) - 1 for row in chosen)
        step += 1
        spent += time.perf_counter() - begun
        if read >= GRID[len(points)]:
            points.append([read, round(excess(averaged.module), 5)])
    return {"weights": effective_weights(model), "steps": step, "seconds": round(spent, 1), "points": points}


def scaling() -> dict:
    """Four sizes, three seeds: [pieces read, excess in nats per piece]."""
    found: dict = {"seconds per run": SECONDS, "texts per step": 48, "runs": {}}
    for dim, num_layers in SIZES:
        runs = [one_size(dim, num_layers, seed) for seed in range(SCALING_SEEDS)]
        found["runs"][f"{dim} x {num_layers}"] = runs
        print(dim, num_layers, runs[0]["weights"], [run["points"][-1] for run in runs], flush=True)
    return found


# ---------------------------------------------------------------- one part exchanged
VARIANTS = {
    "all new": {},
    "LayerNorm": {"norm": "layer"},
    "learned positions": {"positions": "learned"},
    "GELU": {"feed_forward": "gelu", "hidden": 132},  # about as many weights
    "untied": {"tie": False},
}
BUDGETS = (80, 240)


def short_run(seed: int, steps: int, **parts) -> tuple[float, int]:
    """Excess in nats per piece after so many steps, the rate falling to 0; and how many weights."""
    torch.manual_seed(seed)
    model = CausalLM(PIECES, 32, 2, 4, **{"hidden": 88, "max_length": 64, **parts})
    optimizer = make_optimizer(model, 6e-3)
    rng = np.random.default_rng([seed, 5])
    rows = training_rows()
    for step in range(steps):
        chosen = [rows[i] for i in rng.integers(len(rows), size=48).tolist()]
        rate = 6e-3 * min(1.0, (step + 1) / 30, (steps - step) / (0.7 * steps))
        update(model, optimizer, batch_loss(model, chosen, 1), rate)
    return excess(model), model.num_weights(embedding=True)


def apart() -> dict:
    """Each variant, two budgets, five seeds."""
    found: dict = {"steps": list(BUDGETS), "texts per step": 48, "weights": {}}
    for name, parts in VARIANTS.items():
        for steps in BUDGETS:
            runs = [short_run(seed, steps, **parts) for seed in range(5)]
            found.setdefault(name, {})[str(steps)] = [round(value, 5) for value, _ in runs]
            found["weights"][name] = runs[0][1]
        print(name, found[name], flush=True)
    return found


# ---------------------------------------------------------------- copying in context
NUM_SYMBOLS, PERIODS, FIXED = 16, (6, 14), 10


def repeated(rng: np.random.Generator, b: int, period: int) -> torch.Tensor:
    """Random symbols, and the same again: (b, 1 + 2 period), `<bos>` first."""
    once = 3 + rng.integers(NUM_SYMBOLS, size=(b, period))
    return torch.from_numpy(np.concatenate([np.ones((b, 1), int), once, once], axis=1))


def copy_run(seed: int, num_layers: int, fixed: bool = False, steps: int = 1200) -> dict:
    """Nats per symbol of the first and of the second copy (its first symbol left out), at the end and on the way.

    With learned positions and an output matrix of its own, in which copying is found soon.
    """
    torch.manual_seed(seed)
    pieces = [*SPECIAL, *range(3, 3 + NUM_SYMBOLS)]
    model = CausalLM(pieces, 32, num_layers, 2, 84, positions="learned", tie=False, max_length=2 * PERIODS[1] + 1)
    optimizer = make_optimizer(model, 8e-3)
    rng = np.random.default_rng([seed, 6])
    curve = []
    for step in range(steps + 1):
        if step % 100 == 0:
            first, second = [], []
            for period in (FIXED,) if fixed else (7, 10, 13):
                ids = repeated(np.random.default_rng([7, period]), 100, period)
                with torch.no_grad():
                    nats = F.cross_entropy(model(ids[:, :-1]).transpose(1, 2), ids[:, 1:], reduction="none")
                first.append(nats[:, :period].mean().item())
                second.append(nats[:, period + 1 :].mean().item())
            curve.append([step, round(float(np.mean(first)), 4), round(float(np.mean(second)), 4)])
        ids = repeated(rng, 64, FIXED if fixed else int(rng.integers(PERIODS[0], PERIODS[1] + 1)))
        loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].reshape(-1))
        update(model, optimizer, loss, 8e-3 * min(1.0, (step + 1) / 50, (steps + 1 - step) / (0.5 * steps)))
    return {"first": curve[-1][1], "second": curve[-1][2], "curve": curve}


def induction() -> dict:
    """Layer counts and the control, five seeds each."""
    found: dict = {"symbols": NUM_SYMBOLS, "chance": math.log(NUM_SYMBOLS), "periods": list(PERIODS)}
    for name, num_layers, fixed, steps in (
        ("2 layers", 2, False, 1200),
        ("1 layer", 1, False, 1200),
        ("1 layer, period fixed", 1, True, 600),
    ):
        found[name] = [copy_run(seed, num_layers, fixed, steps) for seed in range(5)]
        print(name, [run["second"] for run in found[name]], flush=True)
    return found


# ---------------------------------------------------------------- real sentences
CONTEXT = 128


@cache
def review_bytes() -> tuple[bytes, bytes]:
    """Training and test sentences, one per line, as UTF-8."""
    return tuple("\n".join(reviews.load(split).column("words")).encode() for split in ("train", "test"))  # type: ignore


@cache
def dialogue_bytes() -> tuple[bytes, bytes]:
    """Turns of a television series (MELD, Poria et al. 2019), one per line as they follow each other, as UTF-8.

    Whole dialogues are in one part: MELD's own test split, and the two others to train on. Who speaks is left out, and
    typographic quotes and dashes become those of a keyboard, since they would be three bytes each, two of them easy.
    """
    folder = os.environ.get("MMCOURSE_REAL_DATA")
    if not folder or not (Path(folder) / "meld").is_dir():
        raise SystemExit("dialogue: put MELD's tables (train, dev, test) into a folder meld of MMCOURSE_REAL_DATA")
    plain = {"’": "'", "‘": "'", "“": '"', "”": '"', "—": "-", "–": "-", "…": "..."}
    turns = {}
    for split in ("train", "dev", "test"):
        with open(Path(folder) / "meld" / f"{split}_sent_emo.csv", encoding="utf-8") as file:
            turns[split] = [row["Utterance"].translate(str.maketrans(plain)).strip() for row in csv.DictReader(file)]
    return tuple("\n".join(part).encode() for part in ([*turns["train"], *turns["dev"]], turns["test"]))  # type: ignore


def fewer_lines(text: bytes, size: int) -> bytes:
    """Lines of a text drawn by chance, in their order, until they have `size` bytes."""
    lines = text.split(b"\n")
    chosen, left = [], size
    for i in np.random.default_rng([SEED, 10]).permutation(len(lines)).tolist():
        if left <= 0:
            break
        chosen.append(i)
        left -= len(lines[i]) + 1
    return b"\n".join(lines[i] for i in sorted(chosen))


def windows(labels: np.ndarray, rng: np.random.Generator, b: int, n: int) -> torch.Tensor:
    """b pieces of a long stream, n + 1 labels each: packed, so nothing is padded."""
    starts = rng.integers(0, len(labels) - n - 1, size=b)
    return torch.from_numpy(labels[starts[:, None] + np.arange(n + 1)])


@torch.no_grad()
def stream_nats(model: CausalLM, labels: np.ndarray, n: int) -> float:
    """All nats of a stream; each label sees at least n / 2 before it (but at the start)."""
    model.eval()
    half, total = n // 2, 0.0
    ids = torch.from_numpy(np.concatenate([[BOS], labels]))
    starts = list(range(0, max(1, len(ids) - 1 - half), half))
    for at in range(0, len(starts), 64):
        rows = [ids[s : s + n + 1] for s in starts[at : at + 64]]
        width = max(map(len, rows))
        padded = torch.stack([F.pad(row, (0, width - len(row))) for row in rows])
        logits = model(padded[:, :-1])
        nats = F.cross_entropy(logits.transpose(1, 2), padded[:, 1:], reduction="none")
        for s, row, original in zip(starts[at : at + 64], nats, rows, strict=True):
            total += row[(0 if s == 0 else half) : len(original) - 1].double().sum().item()
    model.train()
    return total


def stream_model(
    labels: np.ndarray, size: int, seed: int, seconds: float, steps: int | None = None
) -> tuple[CausalLM, int]:
    """A language model of a stream of labels (3 and above), trained for some seconds or steps; and how many steps."""
    torch.manual_seed(seed)
    model = CausalLM([*SPECIAL, *range(3, size)], 64, 3, 4, 172)
    optimizer = make_optimizer(model, 4e-3)
    rng = np.random.default_rng([seed, 7])
    started, progress, step = time.perf_counter(), 0.0, 0
    while progress < 1:
        progress = (time.perf_counter() - started) / seconds if steps is None else (step + 1) / steps
        ids = windows(labels, rng, 16, CONTEXT)
        loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].reshape(-1))
        update(model, optimizer, loss, 4e-3 * min(1.0, (step + 1) / 50) * max(0.02, min(1.0, (1 - progress) / 0.6)))
        step += 1
    return model, step


def compressed(compress, train: bytes, test: bytes) -> dict:
    """Bits per byte of the test text alone, and of what it adds to the training text."""
    alone = len(compress(test))
    return {
        "alone": 8 * alone / len(test),
        "after training text": 8 * (len(compress(train + test)) - len(compress(train))) / len(test),
    }


def real(
    parts: tuple[bytes, bytes] | None = None,
    seconds: float = 32.0,
    steps: dict[str, list[int]] | None = None,
    networks: bool = True,
) -> dict:
    """Bits per byte of the test sentences, by language models, counting, and compressors.

    parts : training and test text, lines; the reviews if they are not given
    steps : of each run by its unit, "bytes" or "tokens"; `seconds` count if they are not given
    networks : False for compressors and n-grams of bytes alone, which take a minute
    """
    train, test = parts or review_bytes()
    bits = lambda nats: nats / math.log(2) / len(test)  # noqa: E731
    found: dict = {"train bytes": len(train), "test bytes": len(test)}
    if networks and steps is None:
        found["seconds per run"] = seconds
    found["gzip"] = compressed(lambda data: gzip.compress(data, 9), train, test)
    found["xz"] = compressed(lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME), train, test)
    as_bytes = [np.frombuffer(part, np.uint8).astype(np.int64) + 3 for part in (train, test)]
    for order in (1, 3, 5, 6):
        counted = InterpolatedNgram(as_bytes[0].tolist(), 259, order, 0.75)
        found[f"bytes, {order}-gram"] = bits(counted.nats(as_bytes[1].tolist()).sum())
    print(found, flush=True)
    if not networks:
        return found | lines_seen(train, test)
    tokenizer = BPETokenizer.train(train.decode().split("\n"), 1000)
    number = {token: 4 + i for i, token in enumerate(tokenizer.tokens)}
    as_tokens = []
    for part in (train, test):
        row = []
        for line in part.decode().split("\n"):
            row += [number.get(token, 3) for token in tokenizer.tokenize(line)]
            row.append(EOS)
        as_tokens.append(np.array(row, np.int64))
    unknown = int((as_tokens[1] == 3).sum())
    size = 4 + len(tokenizer.tokens)
    found["tokens"] = {"size": size, "test tokens": len(as_tokens[1]), "unknown in test": unknown}
    counted = InterpolatedNgram(as_tokens[0].tolist(), size, 3, 0.75)
    found["tokens, 3-gram"] = bits(counted.nats(as_tokens[1].tolist()).sum())
    for name, labels, count in (("bytes", as_bytes, 259), ("tokens", as_tokens, size)):
        runs = []
        for seed in range(3):
            model, done = stream_model(labels[0], count, seed, seconds, steps and steps[name][seed])
            nats = stream_nats(model, labels[1], CONTEXT)
            runs.append({"steps": done, "perplexity": math.exp(nats / len(labels[1])), "bits per byte": bits(nats)})
        found[f"{name}, language model"] = runs
        found[f"{name}, weights"] = model.num_weights(embedding=True)
        print(name, runs, flush=True)
    return found | lines_seen(train, test)


def steps_of_reviews() -> dict[str, list[int]]:
    """How many steps the stored runs on the reviews had."""
    stored = results("language_model")["reviews"]
    return {unit: [run["steps"] for run in stored[f"{unit}, language model"]] for unit in ("bytes", "tokens")}


def dialogue() -> dict:
    """The same on dialogue."""
    return real(dialogue_bytes(), steps=steps_of_reviews())


def lines_seen(train: bytes, test: bytes) -> dict:
    """How many lines a test text has, and how many of them, with how many bytes, are in the training text, too."""
    seen, lines = set(train.split(b"\n")), test.split(b"\n")
    again = [line for line in lines if line in seen]
    return {"lines": len(lines), "lines seen": len(again), "bytes of lines seen": sum(len(line) + 1 for line in again)}


def fewer_reviews() -> dict:
    """Compressors and n-grams of bytes on the reviews, after as many bytes as `dialogue` has to train on."""
    train, test = review_bytes()
    return real((fewer_lines(train, len(dialogue_bytes()[0])), test), networks=False)


# ---------------------------------------------------------------- beyond the training length
SHORT, LONG = 64, 256


def lengths() -> dict:
    """Nats per byte by position, of models that were trained with 64 positions."""
    train, test = ([byte + 3 for byte in part] for part in review_bytes())
    stream, judged_on = np.array(train), np.array(test)
    rows = torch.from_numpy(windows(judged_on, np.random.default_rng(8), 160, LONG).numpy())
    found: dict = {"trained with": SHORT}
    for kind in ("rotary", "learned"):
        runs = []
        for seed in range(3):
            torch.manual_seed(seed)
            model = CausalLM([*SPECIAL, *range(3, 259)], 48, 2, 4, 128, positions=kind, max_length=LONG)
            optimizer = make_optimizer(model, 5e-3)
            rng = np.random.default_rng([seed, 9])
            for step in range(400):
                ids = windows(stream, rng, 16, SHORT)
                loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].reshape(-1))
                update(model, optimizer, loss, 5e-3 * min(1.0, (step + 1) / 50, (400 - step) / 200))
            model.eval()
            with torch.no_grad():
                parts = [
                    F.cross_entropy(model(part[:, :-1]).transpose(1, 2), part[:, 1:], reduction="none")
                    for part in rows.split(40)
                ]
            nats = torch.cat(parts).mean(dim=0)  # (LONG,)
            edges = [(0, 16), (16, 32), (32, 64), (64, 96), (96, 128), (128, 192), (192, 256)]
            runs.append({f"{a}-{b}": round(nats[a:b].mean().item(), 4) for a, b in edges})
        found[kind] = runs
        print(kind, runs, flush=True)
    return found


# ---------------------------------------------------------------- whose color comes back
TRIED: Path | None = None  # the folder of models that were trained otherwise, one folder each
TRIED_WAYS = {  # folder: what the table calls it. Four heads, AdamW, true texts only, but for what the name says
    "first": "standard",  # 5 minutes; tied weights for two thirds of its steps, then an output matrix of its own
    "second_seed": "a second seed",  # SEED = 1
    "longer": "four times the training",  # tied weights
    "wider": "width 96, twice as long",  # tied weights
    "muon": "Muon",  # matrices by Muon at 0.02, the rest by AdamW at 0.003, an output matrix of its own, 6 minutes
}


def colors_that_return(found: list[list[str]]) -> list[tuple[int, int, int]]:
    """(text, place, number of things) of each color of a second sentence, where every thing has a color of its own."""
    places = []
    for number, words in enumerate(found):
        second = words.index(".") + 1
        said = [word for word in words[:second] if word in texts.COLOR_WORDS]
        things = sum(word in texts.SHAPE_OF for word in words[:second])
        if things == len(said) == len(set(said)):
            places += [(number, at, things) for at in range(second, len(words)) if words[at] in texts.COLOR_WORDS]
    return places


def exchanged(model: CausalLM, found: list[list[str]]) -> dict:
    """Two colors of a first sentence change places: how often the model's best guess is one of them, and the right one."""
    counts = {"texts": 0, "one of the two": 0, "the right one": 0}
    for words in found:
        second = words.index(".") + 1
        names = [word for word in words[:second] if word in texts.COLOR_WORDS]
        if (
            words[second] != "the"
            or words[second + 3] not in texts.COLOR_WORDS
            or len(set(names)) != 2
            or len(names) != 2
        ):
            continue
        old = words[second + 3]
        new = names[1] if names[0] == old else names[0]
        ids = [BOS, *(LABEL[{old: new, new: old}.get(word, word)] for word in words[: second + 3])]
        with torch.no_grad():
            said = int(model(torch.tensor([ids]))[0, -1].argmax())
        counts["texts"] += 1
        counts["one of the two"] += said in (LABEL[old], LABEL[new])
        counts["the right one"] += said == LABEL[new]
    return counts


def at_colors(model: CausalLM) -> dict:
    """Excess perplexity, nats above exact at the colors that come back, by how many things there are, and `exchanged`."""
    measured = figures.compute(1000, model)
    found = figures.test_texts(1000)
    exact = figures.exact_nats(found)
    ours = nats_of(model.eval(), rows_of(found))
    gaps: dict[str, list[float]] = {}
    for number, at, things in colors_that_return(found):
        gaps.setdefault(str(things), []).append(ours[number][at].item() - exact[number][at])
    half = {things: 1.96 * float(np.std(values)) / math.sqrt(len(values)) for things, values in gaps.items()}
    kept = ("excess_perplexity", "excess_low", "excess_high", "weights", "sampled_grammatical")
    return {
        **{key: measured[key] for key in kept},
        "color": {things: [float(np.mean(v)), half[things], len(v)] for things, v in sorted(gaps.items())},
        "exchanged": exchanged(model, figures.test_texts(400, seed=77)),
    }


def plateau() -> dict:
    """`at_colors` of each model that was trained in another way."""
    if TRIED is None:
        raise SystemExit(
            f"plateau: name the folder that holds {', '.join(TRIED_WAYS)} by --tried; TRIED_WAYS says how they are made"
        )
    found = {}
    for folder, name in TRIED_WAYS.items():
        found[name] = at_colors(CausalLM.from_pretrained(TRIED / folder))
        record = TRIED / folder / "figures.json"
        if record.is_file():
            found[name]["pieces"] = json.loads(record.read_text(encoding="utf-8"))["training"]["pieces"]
        print(name, found[name], flush=True)
    return found


TABLES = {
    "scaling": scaling,
    "binding": binding,
    "apart": apart,
    "induction": induction,
    "reviews": real,
    "lengths": lengths,
    "plateau": plateau,
    "dialogue": dialogue,
    "fewer_reviews": fewer_reviews,
}


def main() -> None:
    """Train, measure, or make tables."""
    global KEEP, TRIED
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", help="tables to make; without --train or --measure: all")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=HEADS)
    parser.add_argument("--hidden", type=int, default=172)
    parser.add_argument("--keep", type=Path, default=None, help="a file in which the training texts are kept (.npy)")
    parser.add_argument("--tried", type=Path, default=None, help="a folder of models, for the table plateau")
    parser.add_argument("--out", type=Path, default=data_dir() / "models" / "language_model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    KEEP, TRIED = options.keep, options.tried
    stored = options.out / "figures.json"
    if options.train:
        torch.manual_seed(SEED)
        model = CausalLM(PIECES, options.dim, options.layers, options.heads, options.hidden, tie=False)
        save(*train(model, options.minutes, options.steps), options.out)
    if options.measure:
        training = json.loads(stored.read_text(encoding="utf-8"))["training"]
        save(CausalLM.from_pretrained(options.out), training, options.out)
    if options.tables or not (options.train or options.measure):
        names = options.tables or [name for name in TABLES if name != "plateau" or TRIED]
        make_tables("language_model", TABLES, names, ("numpy", "torch"))


if __name__ == "__main__":
    main()
