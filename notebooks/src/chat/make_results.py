"""Tune the vision–language model on dialogues, measure it, and run what the lesson shows.

    make results chat                                             # all parts: about 40 minutes on one core
    python notebooks/src/chat/make_results.py train --seconds 420 # goes on where it was; `state` keeps what is needed
    python notebooks/src/chat/make_results.py save                # writes data/models/chat, figures and card
    python notebooks/src/chat/make_results.py naming              # methods against the optimum in closed form
    python notebooks/src/chat/make_results.py injection --seed 0  # with and without injected examples, small
    python notebooks/src/chat/make_results.py people              # requests that people made (CLINC150, MELD)

The picture tower is frozen, so that its features are computed once. Four dialogues about each picture stand behind it in
one sequence and do not see one another. Matrices are trained by Muon, the rest by AdamW.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from mmcourse.datasets import data_dir, results, save_results, vocabulary
from mmcourse.datasets.scenes import dialogues, questions, world
from mmcourse.datasets.scenes.drawing import draw
from mmcourse.figures import chat as chat_figures
from mmcourse.figures import naming
from mmcourse.figures.vlm import wilson_interval
from mmcourse.io import atomic_write
from mmcourse.torch.chat import ChatModel
from mmcourse.torch.clip import prepare_images
from mmcourse.torch.decoding import KVCache
from mmcourse.torch.masks import segment_mask
from mmcourse.torch.vlm import IMAGE, VLM
from mmcourse.training.torch.muon import Muon

SEED = 0
TRAIN_SEED = 30_026  # of the training scenes: not the fixed splits of `scenes.load`
VALIDATION_SEED = 20_002
NUM_SCENES = 6000
STEPS = 2000
PICTURES, PIECES = 12, 300  # in a step: pictures, and pieces of dialogues about each, about five
WARMUP = 30
RATES = {"muon": 0.01, "adamw": 1.5e-3}
NOT_MATRICES = ("embedding", "positions", "queries")


# ---------------------------------------------------------------- data
def make_scenes(n: int, seed: int = TRAIN_SEED) -> list[world.Scene]:
    """A third of them made for a question, so that "three" is as frequent as "none"; half with two things alike."""
    rng = np.random.default_rng([seed, 1])
    found: list[world.Scene] = []
    index = 0
    while len(found) < n:
        index += 1
        if len(found) % 6 < 2:
            found.append(questions.ask(seed, index)[3])
            continue
        scene: world.Scene | None = world.make(seed, index)
        if len(found) % 6 < 5:
            scene = dialogues.two_alike(scene, rng)
        if scene is not None:
            found.append(scene)
    return found


@torch.no_grad()
def features_of(model: VLM, scenes: Sequence[world.Scene]) -> torch.Tensor:
    """float16 (n, 64, vision_dim)."""
    model.eval()
    parts = []
    for start in range(0, len(scenes), 100):
        images = np.stack([draw(scene) for scene in scenes[start : start + 100]])
        parts.append(model.vision(prepare_images(images)).half())
    return torch.cat(parts)


class Writer:
    """Draws dialogues about scenes."""

    def __init__(self, seed: int, injected: bool = True) -> None:
        self.rng, self.injected = np.random.default_rng([seed, 2]), injected
        weights = np.array([weight for _, weight in dialogues.PLOTS.values()])
        self.names, self.p = tuple(dialogues.PLOTS), weights / weights.sum()

    def draw(self, scene: world.Scene, n: int, longest: int = 110) -> list[tuple[dialogues.Turn, ...]]:
        """n dialogues of three exchanges, some of five."""
        found: list[tuple[dialogues.Turn, ...]] = []
        while len(found) < n:
            plot = self.names[int(self.rng.choice(len(self.names), p=self.p))]
            made = dialogues.about(scene, plot, self.rng, injected=self.injected)
            if made is None:
                continue
            turns = made.turns
            if found and self.rng.random() < 0.12:
                turns = found.pop() + turns
            if len(dialogues.encode(turns)[0]) <= longest:
                found.append(turns)
        return found

    def fill(self, scene: world.Scene, most: int = PIECES) -> list[tuple[list[int], list[int]]]:
        """Ids and labels of as many dialogues as fit into so many pieces."""
        found: list[tuple[list[int], list[int]]] = []
        left = most
        for turns in self.draw(scene, 8):
            ids, labels = labels_of(turns)
            if len(ids) <= left:
                found.append((ids, labels))
                left -= len(ids)
        return found


def labels_of(turns: Sequence[dialogues.Turn]) -> tuple[list[int], list[int]]:
    """Ids and labels of a dialogue."""
    ids, trained = dialogues.encode(turns)
    return ids, [i if t else -100 for i, t in zip(ids, trained, strict=True)]


def pack(written: Sequence[Sequence[tuple[list[int], list[int]]]], num_visual: int) -> tuple[torch.Tensor, ...]:
    """All dialogues of each picture behind it in one sequence: ids, labels, segments, positions, as in `vlm.pack`."""
    start = 1 + num_visual
    longest = start + max(sum(len(ids) for ids, _ in row) for row in written)
    shape = (len(written), longest)
    ids, labels = np.full(shape, vocabulary.PAD, np.int64), np.full(shape, -100, np.int64)
    segments, positions = np.full(shape, -1, np.int64), np.zeros(shape, np.int64)
    ids[:, 0], ids[:, 1:start], segments[:, :start], positions[:, :start] = vocabulary.BOS, IMAGE, 0, np.arange(start)
    for number, row in enumerate(written):
        at = start
        for segment, (some, marks) in enumerate(row, 1):
            end = at + len(some)
            ids[number, at:end], labels[number, at:end] = some, marks
            segments[number, at:end] = segment
            positions[number, at:end] = np.arange(start, start + len(some))
            at = end
    return tuple(torch.from_numpy(array) for array in (ids, labels, segments, positions))


def loss_of(model: ChatModel, features: torch.Tensor, packed: tuple[torch.Tensor, ...], fast: bool) -> torch.Tensor:
    """Mean nats per trained piece."""
    ids, labels, segments, positions = packed
    with torch.autocast("cpu", torch.bfloat16, enabled=fast):
        visual = model.project(features.float()).float()
        hidden = model.language.hidden_states(model.embed(ids, visual), KVCache(), positions, segment_mask(segments))
        kept = labels[:, 1:] != -100
        logits = model.language.to_logits(hidden[:, :-1][kept]).float()
    return F.cross_entropy(logits, labels[:, 1:][kept])


def vlm_figures() -> dict[str, Any]:
    """Accuracy and SHA-256 of the shipped `vlm` as it is now: what is tuned. Lesson vlm may get other weights later."""
    card = json.loads((data_dir() / "models" / "vlm" / "figures.json").read_text(encoding="utf-8"))
    return {"accuracy": card["figures"]["accuracy"], "sha256": card["sha256"]}


# ---------------------------------------------------------------- training
class Optimizers:
    """Muon for matrices, AdamW for the rest."""

    def __init__(self, model: ChatModel, muon: float, adamw: float) -> None:
        matrices, others = [], []
        for name, parameter in model.named_parameters():
            if name.startswith("vision."):
                parameter.requires_grad_(False)
            elif parameter.ndim > 1 and not any(word in name for word in NOT_MATRICES):
                matrices.append(parameter)
            else:
                others.append(parameter)
        self.rates = (muon, adamw)
        self.all = (Muon(matrices, lr=muon), torch.optim.AdamW(others, lr=adamw, betas=(0.9, 0.98), weight_decay=0.0))
        self.trained = matrices + others

    def step(self, loss: torch.Tensor, factor: float) -> None:
        """One update."""
        for optimizer, rate in zip(self.all, self.rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * factor
            optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        for optimizer in self.all:
            optimizer.step()


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices by itself."""
    return bool(getattr(torch.cpu, "get_capabilities", dict)().get("amx_bf16"))


def validate(model: ChatModel, n: int = 60) -> dict[str, float]:
    """Whole dialogues and held-out instructions right, on validation scenes."""
    found = chat_figures.remembered(model, n, VALIDATION_SEED)
    found |= chat_figures.instructions(model, n, VALIDATION_SEED)
    return {"dialogue": found["dialogue"], "instructions": found["instructions"]}


def train_on(
    model: ChatModel,
    scenes: Sequence[world.Scene],
    features: torch.Tensor,
    steps: int,
    seed: int,
    injected: bool = True,
    rates: dict[str, float] = RATES,
    pictures: int = PICTURES,
) -> list[float]:
    """Train in place, a short run; the losses."""
    writer, rng = Writer(seed, injected), np.random.default_rng([seed, 3])
    optimizers, fast, losses = Optimizers(model, **rates), has_fast_bfloat16(), []
    model.train()
    model.vision.eval()
    for step in range(steps):
        rows = rng.integers(len(scenes), size=pictures)
        written = [writer.fill(scenes[row]) for row in rows.tolist()]
        loss = loss_of(model, features[rows], pack(written, model.num_visual), fast)
        optimizers.step(loss, min(1.0, (step + 1) / WARMUP, 2 * (1 - step / steps)))
        losses.append(loss.item())
    return losses


def train(options: argparse.Namespace) -> None:
    """The shipped model; what is needed to go on is kept in `state`. The learning rate falls to 0 with the time."""
    began, cpu_began = time.perf_counter(), time.process_time()
    torch.manual_seed(SEED)
    folder = options.state
    folder.mkdir(parents=True, exist_ok=True)
    model = ChatModel.from_vlm(VLM.from_pretrained("vlm"))
    optimizers, fast = Optimizers(model, **RATES), has_fast_bfloat16()
    start, cpu, curve, losses = 0, 0.0, [], []
    if not (folder / "state.pt").is_file():
        atomic_write(folder / "vlm.json", json.dumps(vlm_figures(), indent=1) + "\n")
    else:
        kept = torch.load(folder / "state.pt", weights_only=True)
        model.load_state_dict(kept["model"])
        for optimizer, state in zip(optimizers.all, kept["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        start, cpu = kept["step"], kept["cpu"]
        curve = json.loads((folder / "curve.json").read_text(encoding="utf-8"))
    scenes = make_scenes(options.scenes, TRAIN_SEED + start)
    path = folder / f"features_{options.scenes}_{TRAIN_SEED + start}.npy"
    if path.is_file():
        features = torch.from_numpy(np.load(path))
    else:
        features = features_of(model, scenes)
        np.save(path, features.numpy())
    print(f"ready after {time.perf_counter() - began:.0f} s; from step {start}, bfloat16 {fast}", flush=True)
    step = start
    while step < options.steps:
        model.train()
        model.vision.eval()
        rng = np.random.default_rng([SEED, 3, step])
        writer = Writer(SEED + 1000 * step)
        rows = rng.integers(len(scenes), size=PICTURES)
        written = [writer.fill(scenes[row]) for row in rows.tolist()]
        loss = loss_of(model, features[rows], pack(written, model.num_visual), fast)
        progress = max(step / options.steps, (time.perf_counter() - began) / options.seconds)
        optimizers.step(loss, max(0.0, min(1.0, (step + 1) / WARMUP, 1.7 * (1 - progress))))
        losses.append(loss.item())
        step += 1
        if step in (1, 10) or step % 50 == 0:
            print(f"step {step} loss {np.mean(losses[-50:]):.4f} {time.perf_counter() - began:.0f} s", flush=True)
        last = step == options.steps or time.perf_counter() - began > options.seconds
        if step % options.every == 0 or last:
            spent = cpu + time.process_time() - cpu_began
            row = {"step": step, "nats": float(np.mean(losses[-50:])), "cpu seconds": round(spent, 1)}
            curve.append(row | validate(model))
            print(curve[-1], flush=True)
        if last:
            break
    states = [optimizer.state_dict() for optimizer in optimizers.all]
    spent = cpu + time.process_time() - cpu_began
    torch.save({"model": model.state_dict(), "optimizers": states, "step": step, "cpu": spent}, folder / "state.pt")
    atomic_write(folder / "curve.json", json.dumps(curve, indent=1) + "\n")
    model.save_pretrained(folder / "model")


# ---------------------------------------------------------------- what the lesson shows
def store(name: str, value: object, began: float, anew: bool = False) -> None:
    """Add one part to results.json, joined with what is stored of it unless it was made `anew`."""
    try:
        found = results("chat")
    except FileNotFoundError:
        found = {"seconds": 0}
    found[name] = value if anew else merged(found.get(name, {}), value)
    found["seconds"] = round(found["seconds"] + time.perf_counter() - began)
    found["made_with"] = {"torch": torch.__version__.split("+")[0], "numpy": np.__version__}
    save_results("chat", found)


def merged(old: Any, new: Any) -> Any:
    """Dicts within dicts joined; else the new value."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return {key: merged(old.get(key), new.get(key, old.get(key))) for key in {**old, **new}}


def run_naming(options: argparse.Namespace) -> None:
    """Every method beside the optimum that is not stored yet (all with --again); over-optimization of a learned reward."""
    began = time.perf_counter()
    names = naming.ways()
    known = {} if options.again else results("chat").get("naming", {})
    rows = {name: row for name, row in known.get("methods", {}).items() if name in naming.METHODS}
    for name in naming.METHODS:
        if name not in rows:
            rows |= naming.methods(names, options.seeds, chosen=(name,))
            print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    found: dict = {"methods": {name: rows[name] for name in naming.METHODS}}
    if "over" in known:
        store("naming", found | {"over": known["over"]}, began, anew=True)
        return
    betas = np.geomspace(20, 0.02, 25)
    curves = {}
    for pairs in (50, 500):
        runs = [naming.over_optimization(names, pairs, seed, betas) for seed in range(10)]
        curves[str(pairs)] = {key: [run[key].tolist() for run in runs] for key in ("kl", "learned", "true")}
    found["over"] = {"betas": betas.tolist(), "curves": curves}
    store("naming", found, began, anew=True)


SHORT_STEPS, SHORT_SCENES = 170, 1500  # of the comparison of injections


def short_start(scenes_seed: int = 41) -> tuple[ChatModel, list[world.Scene], torch.Tensor]:
    """The model of lesson `vlm`, and scenes with features."""
    torch.manual_seed(SEED)
    model = ChatModel.from_vlm(VLM.from_pretrained("vlm"))
    scenes = make_scenes(SHORT_SCENES, scenes_seed)
    return model, scenes, features_of(model, scenes)


def run_injection(options: argparse.Namespace) -> None:
    """With and without injected examples, all else alike; one seed at a time."""
    began = time.perf_counter()
    start, scenes, features = short_start()
    found: dict = {}
    for name, injected in (("no injected examples", False), ("injected examples", True)):
        model = copy.deepcopy(start)
        train_on(model, scenes, features, options.short, options.seed, injected=injected)
        row = {k: v for k, v in chat_figures.injections(model, 80).items() if not k.endswith(("_low", "_high", "_n"))}
        found.setdefault(name, {})[str(options.seed)] = row
        print(name, row, f"{time.perf_counter() - began:.0f} s", flush=True)
    store("injection", {str(options.short): found}, began)


def words_known(text: str) -> float:
    """Share of the words that the vocabulary has."""
    known = set(vocabulary.pieces())
    words = vocabulary.words_only(text).split()
    return float(np.mean([word in known for word in words])) if words else 0.0


def run_people(options: argparse.Namespace) -> None:
    """Requests that people wrote, with a picture that they never saw: how many can be read, how many are declined."""
    began = time.perf_counter()
    content = json.loads((options.data / "clinc150" / "data_small.json").read_text(encoding="utf-8"))
    every = [text for text, _ in [*content["test"], *content["oos_test"]]]
    shares = np.array([words_known(text) for text in every])
    readable = [text for text, value in zip(every, shares, strict=True) if value == 1 and "'" not in text]
    model = ChatModel.from_pretrained("chat")
    scenes = [world.make(61, index) for index in range(len(readable))]
    asked = [[dialogues.simple(text, dialogues.OUTSIDE, "outside")] for text in readable]
    marked = [[dialogues.simple(f"{text[:1].upper()}{text[1:]}.", dialogues.OUTSIDE, "outside")] for text in readable]
    rows = {}
    for name, some in (("as written", asked), ("with a capital and a full stop", marked)):
        said = [one[0] for one in chat_figures.talk(model, scenes, some)]
        declined = [text == dialogues.OUTSIDE for text in said]
        low, high = wilson_interval(sum(declined), len(declined))
        rows[name] = {"declined": float(np.mean(declined)), "low": low, "high": high}
    found = {
        "requests": len(every),
        "words known": float(shares.mean()),
        "readable": len(readable),
        "replies": rows,
        "mean words": float(np.mean([len(text.split()) for text in every])),
        "source": "CLINC150, Larson et al. 2019, test set, CC BY 3.0",
    }
    store("people", found, began)
    print(found)


# ---------------------------------------------------------------- card
CARD = """\
# Model card: chat

Talks about a picture of `scenes` in English: the model of `vlm`, tuned on dialogues that code wrote. It answers, remembers
what *it* is, follows a few instructions (one word, a sentence, Chinese words, twice, a list), calls a tool, says what is not
there, and asks back. {weights:,} weights as float16, loaded by safetensors only:

```python
from mmcourse.torch.chat import ChatModel
chat = ChatModel.from_pretrained("chat").start(picture)
chat.ask("Is there a red star?")
```

## Data
{scenes:,} drawn scenes of seed {train_seed} and endless dialogues about them (`mmcourse.datasets.scenes.dialogues`): eight
plots, three exchanges each, every reply exact. No photograph and no sentence of a real conversation is in it.

## Training
`notebooks/src/chat/make_results.py`, seed {seed}: {steps:,} steps of {pictures} pictures with about five dialogues each; {cpu:,}
CPU seconds, from the `vlm` of SHA-256 {vlm_sha256} (lesson vlm may ship a newer one). The picture tower is frozen; only what the assistant says and its `<end>` is trained.

| step | CPU seconds | nats per piece | dialogues | instructions |
|---|---|---|---|---|
{curve}

(60 validation dialogues each: all three replies right; held-out instructions followed.)

## Measured
From the stored weights (`mmcourse figures chat`), greedy, letter for letter, the model's own earlier replies before it. In
brackets: 95 % intervals.

| figure | reached | aim |
|---|---|---|
| held-out instructions ({instructions_n:,}) | **{instructions:.3f}** ({instructions_low:.3f}–{instructions_high:.3f}) | 0.9 |
| dialogues of three turns, all right ({dialogue_n:,}) | **{dialogue:.3f}** ({dialogue_low:.3f}–{dialogue_high:.3f}) | 0.8 |
| total variation of DPO to the optimum | **{dpo_total_variation:.3f}** | at most 0.05 |
| total variation of GRPO to the optimum | **{grpo_total_variation:.3f}** | at most 0.05 |
| questions of `vlm` (that model, before: {before:.3f}) | {questions:.3f} ({questions_low:.3f}–{questions_high:.3f}) | |
| false premises refused | {refused:.3f} | |
| answerable questions refused | {refused_though_there:.3f} | |
| replies changed by an order in a tool's result | {tool_injection_changed:.3f} | |
| answers changed by a quoted order | {quoted_changed:.3f} | |

{verdict}
All figures: `figures.json`.

## Files
- `model.safetensors` SHA-256 {sha256}
- `config.json` widths of the model; how many pieces the vocabulary had, and their SHA-256

## License and limits
CC BY 4.0, the mmcourse authors. It knows six shapes, eight colors and a few dozen wordings. What it says about photographs
means nothing, and its refusals were trained on a few sentences: it is for lessons only.
"""


def verdict(figures: dict) -> str:
    """What falls short, in words."""
    short = [
        f"{name} ({figures[name]:.3f})"
        for name, aim, sign in (
            ("instructions", 0.9, 1),
            ("dialogue", 0.8, 1),
            ("dpo_total_variation", 0.05, -1),
            ("grpo_total_variation", 0.05, -1),
        )
        if sign * figures[name] < sign * aim
    ]
    return f"Not reached: {', '.join(short)}." if short else "All four aims are reached."


def save(options: argparse.Namespace) -> None:
    """Write the model, its figures as it will be loaded, and the card."""
    folder = data_dir() / "models" / "chat"
    model = ChatModel.from_pretrained(options.state / "model")
    model.save_pretrained(folder)
    model = ChatModel.from_pretrained("chat")
    curve = json.loads((options.state / "curve.json").read_text(encoding="utf-8"))
    figures = chat_figures.compute(options.n, model)
    before = json.loads((options.state / "vlm.json").read_text(encoding="utf-8"))
    training = {
        "seed": SEED,
        "steps": curve[-1]["step"],
        "cpu seconds": round(curve[-1]["cpu seconds"]),
        "scenes": options.scenes,
        "bfloat16": has_fast_bfloat16(),
        "curve": curve,
    }
    found = {
        "figures": figures,
        "figures_100": chat_figures.compute(100, model),
        "vlm before": before,
        "training": training,
        "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "made_with": {"torch": torch.__version__.split("+")[0], "numpy": np.__version__},
    }
    atomic_write(folder / "figures.json", json.dumps(found, indent=1) + "\n")
    rows = [
        f"| {row['step']:,} | {row['cpu seconds']:,.0f} | {row['nats']:.3f} | {row['dialogue']:.2f} | {row['instructions']:.2f} |"
        for row in curve
    ]
    text = CARD.format(
        weights=sum(parameter.numel() for parameter in model.parameters()),
        train_seed=TRAIN_SEED,
        scenes=training["scenes"],
        seed=SEED,
        steps=training["steps"],
        pictures=PICTURES,
        cpu=training["cpu seconds"],
        curve="\n".join(rows),
        before=before["accuracy"],
        vlm_sha256=before["sha256"],
        verdict=verdict(figures),
        sha256=found["sha256"],
        **figures,
    )
    atomic_write(folder / "README.md", text)
    print(json.dumps(figures, indent=1))


def everything(options: argparse.Namespace) -> None:
    """All parts, one after the other."""
    train(options)
    save(options)
    run_naming(options)
    for options.seed in range(3):
        run_injection(options)
    if options.data is not None:
        run_people(options)


PARTS = {
    "all": everything,
    "train": train,
    "save": save,
    "naming": run_naming,
    "injection": run_injection,
    "people": run_people,
}


def main() -> None:
    """One part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS, nargs="?", default="all")
    parser.add_argument("--state", type=Path, default=Path("chat-training"), help="a folder for what is kept between")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seconds", type=float, default=1e9, help="stop then, and go on next time")
    parser.add_argument("--scenes", type=int, default=NUM_SCENES)
    parser.add_argument("--every", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--short", type=int, default=SHORT_STEPS)
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--again", action="store_true", help="of part `naming`: also what is stored")
    parser.add_argument("--data", type=Path, default=None, help="the folder with clinc150")
    options = parser.parse_args()
    PARTS[options.part](options)


if __name__ == "__main__":
    main()
