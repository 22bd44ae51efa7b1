"""Train, save and measure the event model that is shipped in data/models/video, and the lesson's long runs.

    python notebooks/src/video/make_results.py                  # all tables of results.json
    python notebooks/src/video/make_results.py networks         # one of them (or: in_step, offsets, faces)
    python notebooks/src/video/make_results.py --train          # the shipped weights, their card and figures
    python notebooks/src/video/make_results.py --measure        # only the figures and the card of the stored weights

- `networks`: seven ways to read a film, alike in width, data and steps, five seeds, two budgets of steps;
- `in_step`: do these frames and this sound belong together? By exact patterns and by computed changes, for each window;
- `offsets`: the offset of films found from 8 to 32 frames, and of films with a hum;
- `faces`: ten recordings of one talking person (GRID): the offset between mouth and sound, with shifted and exchanged sound.
  It needs the recordings and the program ffmpeg.

Everything drawn by chance comes from seeds; another processor or another PyTorch rounds differently.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import subprocess
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcourse.authoring.real import data_folder
from mmcourse.authoring.tables import make_tables
from mmcourse.datasets import data_dir
from mmcourse.datasets.scenes import films, videos
from mmcourse.datasets.scenes.captions import EVENTS
from mmcourse.figures import video as video_figures
from mmcourse.io import atomic_write
from mmcourse.preprocess.synchrony import find_offset, frame_change, loudness, offset_scores, sound_change
from mmcourse.torch.space_time import TemporalAttention, mid_channels
from mmcourse.torch.video import EventModel, block2d, block3d, moments

SEED = 0
TRAIN_SEED = 20_001  # the training split's own seed
SEEDS = 5
BATCH = 32
STEPS = 2_600
NUM_CLIPS = 8_000
RATE = 4e-3


# ---------------------------------------------------------------- training
def as_float(pixels: Tensor) -> Tensor:
    """uint8 (b, t, h, w, 3) → float (b, 3, t, h, w)."""
    return pixels.permute(0, 4, 1, 2, 3).float() / 255 - 0.5


SWAPS = {
    -1: ("move left", "move right"),  # the picture mirrored from left to right
    -2: ("move up", "move down"),
}


def mirror(x: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each film as it is or mirrored, in each of three ways: left to right, top to bottom, last frame first."""
    ways = [(axis, {a: b, b: a}) for axis, (a, b) in SWAPS.items()] + [(2, videos.MIRROR)]
    for axis, swap in ways:
        new = torch.tensor([EVENTS.index(swap.get(event, event)) for event in EVENTS])
        chosen = torch.rand(len(x), generator=generator) < 0.5
        x = torch.where(chosen[:, None, None, None, None], x.flip(axis), x)
        labels = torch.where(chosen, new[labels], labels)
    return x, labels


def one_cycle(progress: float, highest: float, rise: float = 0.15) -> float:
    """Rises in a line, then falls to 0 along a cosine."""
    if progress < rise:
        return highest * max(progress / rise, 0.01)
    return highest * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - rise) / (1 - rise))))


def fit(
    forward: Callable[[Tensor], list[Tensor]],
    module: nn.Module,
    pixels: Tensor,
    labels: Tensor,
    steps: int,
    seed: int,
    batch: int = BATCH,
    rate: float = RATE,
    report: Callable[[int, float], None] | None = None,
) -> None:
    """Train in place with AdamW; the losses of all outputs of `forward` are added up."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=0.01)
    module.train()
    running: list[float] = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = one_cycle((step + 1) / steps, rate)
        rows = torch.randint(len(pixels), (batch,), generator=generator)
        x, y = mirror(as_float(pixels[rows]), labels[rows], generator)
        losses = [F.cross_entropy(logits, y, label_smoothing=0.02) for logits in forward(x)]
        optimizer.zero_grad()
        sum(losses).backward()
        optimizer.step()
        running.append(losses[0].item())
        if report is not None and (step + 1) % 200 == 0:
            report(step + 1, float(np.mean(running[-200:])))
    module.eval()


@cache
def clips(seed: int, start: int, n: int) -> tuple[Tensor, Tensor]:
    """Films and labels as tensors."""
    pixels, labels = video_figures.clips(seed, start, n)
    return torch.from_numpy(pixels), torch.from_numpy(labels)


@torch.no_grad()
def accuracy(forward: Callable[[Tensor], Tensor], pixels: Tensor, labels: Tensor) -> float:
    """Share of right answers."""
    right = 0
    for start in range(0, len(pixels), 100):
        best = forward(as_float(pixels[start : start + 100])).argmax(dim=1)
        right += int((best == labels[start : start + 100]).sum())
    return right / len(pixels)


def train(steps: int = STEPS, num_clips: int = NUM_CLIPS, folder: Path | None = None) -> None:
    """The shipped model."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    cpu = time.process_time()
    pixels, labels = clips(TRAIN_SEED, 0, num_clips)
    print(f"{num_clips} clips drawn in {time.process_time() - cpu:.0f} s", flush=True)
    check = clips(20_002, 0, 200)
    model = EventModel()
    curve = []

    def report(step: int, loss: float) -> None:
        model.eval()
        row = {"step": step, "loss": round(loss, 4), "accuracy": accuracy(model, *check)}
        row["order_blind"] = accuracy(model.order_blind, *check)
        row["cpu seconds"] = round(time.process_time() - cpu)
        model.train()
        curve.append(row)
        print(row, flush=True)

    fit(lambda x: [model(x), model.order_blind(x)], model, pixels, labels, steps, SEED, report=report)
    training = {"seed": SEED, "steps": steps, "batch": BATCH, "clips": num_clips, "curve": curve}
    training["cpu seconds"] = round(time.process_time() - cpu)
    save(model, training, data_dir() / "models" / "video" if folder is None else folder)


# ---------------------------------------------------------------- card
CARD = """\
# Model card: video

Says what happens in a short film of `scenes`: something moves left, right, up or down, grows, shrinks, appears or vanishes.
Two networks in one file: four 3-D convolutions, and a 2-D network that gets each pixel's mean and spread over the frames and
so cannot know their order. {weights:,} weights as float16, loaded by safetensors only:

```python
from mmcourse.torch.video import EventModel
model = EventModel.from_pretrained("video")
model.classify(films)                                # uint8 (b, t, 64, 64, 3), 2 to 64 frames
model.probabilities(films, order_blind=True)         # of the network that cannot know the order
```

## Data
{clips:,} films of the training split of `scenes` (`load("scenes", n={clips}, task="video")`), 12 frames, halved to 32 × 32 pixels. In
training each film is mirrored at random from left to right, from top to bottom and in time, and its label with it.

## Training
`notebooks/src/video/make_results.py --train`, seed {seed}: {steps:,} steps of {batch} films with AdamW, both networks in the same
steps, {cpu:,} CPU seconds of one thread, drawing included. Another processor or another PyTorch rounds differently.

| step | CPU seconds | loss, nats | accuracy, 200 validation films | order-blind |
|---|---|---|---|---|
{curve}

## Measured
On {n:,} test films, from the stored weights (`mmcourse figures video`):

| figure | reached | aim | limit |
|---|---|---|---|
| accuracy | **{accuracy:.3f}** | 0.95 | 1 |
| accuracy of the order-blind network | **{order_blind:.3f}** | – | {order_blind_limit} for any guesser without the order, exactly |
| offset of a film's sound found within ±1 frame (no learning: brightness of places and correlation) | **{offset_within_1:.3f}** | 0.90 | – |

By event: {by_event}.
Frames shuffled: {shuffled:.3f}. Frames in reverse: {reversed:.3f} of the answers are the film's event, {reversed_is_mirrored:.3f} its mirror image. The
order-blind network names the event or its mirror image in {pair_by_order_blind:.3f} of the films. Offset found exactly: {offset_exact:.3f}.
{verdict}
All figures: `figures.json`.

## Files
- `model.safetensors` SHA-256 {sha256}
- `config.json` widths of the model

## License and limits
CC BY 4.0, the mmcourse authors. It names one of eight events for whatever it sees, and knows a world of six flat shapes. For
lessons only.
"""
AIMS = {"accuracy": ("accuracy", 0.95), "offset_within_1": ("offsets", 0.9)}


def write_card(folder: Path, model: EventModel, found: dict) -> None:
    """README.md with the figures that were measured."""
    figures, training = found["figures"], found["training"]
    rows = [
        f"| {row['step']:,} | {row['cpu seconds']:,} | {row['loss']:.3f} | {row['accuracy']:.3f} | {row['order_blind']:.3f} |"
        for row in training["curve"]
    ]
    short = [name for key, (name, aim) in AIMS.items() if figures[key] < aim]
    text = CARD.format(
        weights=sum(parameter.numel() for parameter in model.parameters()),
        clips=training["clips"],
        seed=training["seed"],
        steps=training["steps"],
        batch=training["batch"],
        cpu=training["cpu seconds"],
        curve="\n".join(rows),
        n=figures["clips"],
        by_event=", ".join(f"{event} {value:.3f}" for event, value in figures["accuracy_by_event"].items()),
        verdict=f"Not reached: {', '.join(short)}." if short else "Both aims are reached.",
        sha256=found["sha256"],
        **{key: value for key, value in figures.items() if key != "clips"},
    )
    atomic_write(folder / "README.md", text)


def save(model: EventModel, training: dict, folder: Path, n: int = 1000) -> None:
    """Write the model, and its figures as it will be loaded: from float16."""
    model.save_pretrained(folder)
    stored = EventModel.from_pretrained(folder)
    found = {
        "figures": video_figures.compute(n, model=stored),
        "figures_100": video_figures.compute(100, stored),
        "training": training,
        "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "made_with": {"torch": torch.__version__.split("+")[0], "numpy": np.__version__},
    }
    atomic_write(folder / "figures.json", json.dumps(found, indent=1) + "\n")
    write_card(folder, stored, found)


# ---------------------------------------------------------------- networks, alike in width, data and steps
WIDTHS = (12, 24, 48)
NETWORK_CLIPS, TEST_CLIPS = 3_000, 500
BUDGETS = (100, 300)


def factored(in_channels: int, out_channels: int, stride: tuple[int, int, int]) -> nn.Sequential:
    """(2+1)D in the place of a 3-D block, with as many weights."""
    mid = mid_channels(in_channels, out_channels)
    st, sh, sw = stride
    return nn.Sequential(
        nn.Conv3d(in_channels, mid, (1, 3, 3), (1, sh, sw), (0, 1, 1), bias=False),
        nn.BatchNorm3d(mid),
        nn.ReLU(),
        nn.Conv3d(mid, out_channels, (3, 1, 1), (st, 1, 1), (1, 0, 0), bias=False),
        nn.BatchNorm3d(out_channels),
        nn.ReLU(),
    )


class Network(nn.Module):
    """One of the ways to read a film (b, 3, t, 32, 32) → logits (b, 8); its sides are halved first, to save time."""

    def __init__(self, way: str, num_frames: int = videos.FRAMES) -> None:
        super().__init__()
        a, b, c = WIDTHS
        self.way = way
        strides = ((1, 2, 2), (1, 2, 2), (2, 1, 1))
        pairs = ((3, a), (a, b), (b, c))
        if way in ("3-D", "(2+1)D"):
            block = block3d if way == "3-D" else factored
            self.body = nn.Sequential(*(block(*pair, stride) for pair, stride in zip(pairs, strides, strict=True)))
        else:
            colors = 6 if way in ("mean and spread", "first and last") else 3
            self.body = nn.Sequential(block2d(colors, a, 2), block2d(a, b, 2), block2d(b, c, 1))
        if way.startswith("attention"):
            self.time = TemporalAttention(c, 4)
            self.norm = nn.LayerNorm(c)
            self.mix = nn.Sequential(nn.LayerNorm(c), nn.Linear(c, 2 * c), nn.ReLU(), nn.Linear(2 * c, c))
            if way == "attention, positions":
                self.positions = nn.Parameter(0.5 * torch.randn(num_frames, 1, c))
        self.head = nn.Linear(c, len(EVENTS))

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool3d(x, (1, 2, 2))
        x = 4 * (x - x.mean(dim=2, keepdim=True))  # what stands still is taken away, the same for frames in any order
        if self.way in ("3-D", "(2+1)D"):
            return self.head(self.body(x).mean(dim=(2, 3, 4)))
        if self.way == "mean and spread":
            return self.head(self.body(moments(x)).mean(dim=(2, 3)))
        if self.way == "first and last":
            return self.head(self.body(torch.cat([x[:, :, 0], x[:, :, -1]], dim=1)).mean(dim=(2, 3)))
        t = x.shape[2]
        frames = self.body(x.transpose(1, 2).flatten(0, 1))  # (b·t, c, 4, 4)
        h = frames.flatten(2).transpose(1, 2).unflatten(0, (-1, t))  # (b, t, 16, c)
        if self.way == "frames, then a mean":
            return self.head(h.mean(dim=(1, 2)))
        if self.way == "attention, positions":
            h = h + self.positions
        h = h + self.time(self.norm(h))
        h = h + self.mix(h)
        return self.head(h.mean(dim=(1, 2)))


WAYS = (
    "frames, then a mean",
    "mean and spread",
    "attention, no positions",
    "attention, positions",
    "first and last",
    "(2+1)D",
    "3-D",
)


def networks() -> dict:
    """Accuracy of each way, by budget and seed; weights; seconds per step."""
    torch.set_num_threads(1)
    pixels, labels = clips(TRAIN_SEED, 0, NETWORK_CLIPS)
    test = clips(video_figures.SEED, 0, TEST_CLIPS)
    found: dict = {"test films": TEST_CLIPS, "training films": NETWORK_CLIPS, "batch": 16, "seeds": SEEDS, "ways": {}}
    for way in WAYS:
        row: dict = {"accuracy": {}}
        start = time.process_time()
        for steps in BUDGETS:
            row["accuracy"][str(steps)] = []
            for seed in range(SEEDS):
                torch.manual_seed(seed)
                network = Network(way)
                fit(lambda x, network=network: [network(x)], network, pixels, labels, steps, seed, batch=16, rate=3e-3)
                row["accuracy"][str(steps)].append(accuracy(network, *test))
        row["weights"] = sum(parameter.numel() for parameter in network.parameters())
        row["milliseconds per step"] = round(1000 * (time.process_time() - start) / (SEEDS * sum(BUDGETS)), 1)
        found["ways"][way] = row
        print(way, row, flush=True)
    return found


# ---------------------------------------------------------------- in step?
def in_step(pairs: int = 4_000) -> dict:
    """Accuracy of "in step?" by window: patterns known exactly, and clicks found in the noise of films."""
    rng = np.random.default_rng(0)
    found: dict = {
        "windows": list(range(1, 13)),
        "ceiling": [],
        "patterns": [],
        "ceiling, false clicks": [],
        "films": [],
    }
    made = films.load_films("test", 300, seed=50_004)
    clicks = [hear_clicks(film.wave()) for film in made]
    wrong = np.concatenate([heard[film.sounding] for film, heard in zip(made, clicks, strict=True)])
    found["clicks missed"] = float(1 - wrong.mean())
    for window in found["windows"]:
        found["ceiling"].append(films.in_step_ceiling(window))
        found["ceiling, false clicks"].append(films.in_step_ceiling(window, films.FALSE_CLICKS))
        seen = rng.random((pairs, window)) < 0.5
        same = rng.random(pairs) < 0.5
        heard = np.where(same[:, None], seen, rng.random((pairs, window)) < 0.5)
        said = (seen == heard).all(axis=1)
        found["patterns"].append(float((said == same).mean()))
        found["films"].append(judge_films(window, made, clicks, rng, pairs))
    found["pairs"] = pairs
    return found


def hear_clicks(wave: np.ndarray) -> np.ndarray:
    """In which frames something clicks, bool (t,): where it is louder than the hiss alone by more than its spread."""
    return loudness(wave, films.PER_FRAME) > films.HISS * (1 + 3 / math.sqrt(2 * films.PER_FRAME))


def judge_films(window, made, clicks, rng, number):
    """Share of right answers of the best judge of what is seen and of clicks as they were heard."""
    right = 0
    for _ in range(number):
        first = int(rng.integers(len(made)))
        other = (first + 1 + int(rng.integers(len(made) - 1))) % len(made)
        film, same = made[first], rng.random() < 0.5
        low, high = max(0, -film.offset), min(films.FRAMES, films.FRAMES - film.offset) - window
        start = int(rng.integers(low, high + 1))
        begin = start + film.offset if same else int(rng.integers(films.FRAMES - window + 1))
        heard = clicks[first if same else other][begin : begin + window]
        right += (films.log_odds(film.pattern[start : start + window], heard) > 0) == same
    return right / number


def offsets(n: int = 300) -> dict:
    """How often the offset is found, by the length of the film and by two measures; and the same with a hum."""
    found: dict = {"films": n, "lengths": [12, 16, 20, 24, 32], "within 1": [], "exact": [], "changes within 1": []}
    made = films.load_films("validation", n)
    true = np.array([film.offset for film in made])
    for length in found["lengths"]:
        error = np.abs([found_offset(film, length) for film in made] - true)
        found["within 1"].append(float((error <= 1).mean()))
        found["exact"].append(float((error == 0).mean()))
        error = np.abs([found_by_changes(film, length) for film in made] - true)
        found["changes within 1"].append(float((error <= 1).mean()))
    hums = films.load_films("validation", n, kind="hum")
    error = np.abs([found_offset(film, films.FRAMES) - film.offset for film in hums])
    places = 2 * films.MOST_OFFSET + 1
    found["hum within 1"], found["hum exact"] = float((error <= 1).mean()), float((error == 0).mean())
    found["chance exact"] = 1 / places
    found["best constant within 1"] = 3 / places
    return found


def found_offset(film: films.Film, length: int) -> int:
    """The offset found in the first `length` frames, by the best places of the picture."""
    return find_offset(
        film.draw()[:length], film.wave()[: length * films.PER_FRAME], films.PER_FRAME, films.MOST_OFFSET
    )


def found_by_changes(film: films.Film, length: int) -> int:
    """The same by how much changes in the whole picture and in the sound."""
    seen, heard = frame_change(film.draw()[:length]), sound_change(film.wave(), films.PER_FRAME)[:length]
    return int(offset_scores(seen[1:], heard[1:], films.MOST_OFFSET).argmax()) - films.MOST_OFFSET


# ---------------------------------------------------------------- talking faces
FACE_FPS, FACE_RATE = 25, 16_000
MOUTH = slice(190, 245), slice(125, 225)  # rows and columns of 288 × 360: chosen by eye once, for all ten recordings
FACE_MOST = 12


def read_face(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A recording by the program ffmpeg: uint8 (t, 288, 360), float (n,) at 16 kHz."""
    common = ["ffmpeg", "-v", "error", "-i", str(path)]
    raw = subprocess.run([*common, "-f", "rawvideo", "-pix_fmt", "gray", "-"], capture_output=True, check=True).stdout
    pixels = np.frombuffer(raw, np.uint8).reshape(-1, 288, 360)
    sound = [*common, "-ac", "1", "-ar", str(FACE_RATE), "-f", "s16le", "-"]
    wave = np.frombuffer(subprocess.run(sound, capture_output=True, check=True).stdout, "<i2")
    return pixels, wave.astype(np.float64) / 32768


def mouth_motion(pixels: np.ndarray) -> np.ndarray:
    """Mean absolute change of the mouth's region from frame to frame: (t,); the first is 0."""
    region = pixels[:, MOUTH[0], MOUTH[1]].astype(float)
    return np.append(0.0, np.abs(np.diff(region, axis=0)).mean(axis=(1, 2)))


def smooth(series: np.ndarray) -> np.ndarray:
    """Mean over three frames."""
    return np.convolve(series, np.ones(3) / 3, mode="same")


def faces() -> dict:
    """Offset of mouth motion and sound: as recorded, with shifted sound, with the sound of another recording."""
    folder = data_folder()
    if folder is None or not (folder / "grid").is_dir():
        raise SystemExit("faces: the GRID recordings are not here")
    paths = sorted((folder / "grid").glob("*.mpg"))
    series = []
    for path in paths:
        pixels, wave = read_face(path)
        heard = loudness(wave, FACE_RATE // FACE_FPS)
        t = min(len(pixels), len(heard))
        series.append((smooth(mouth_motion(pixels[:t])), smooth(heard[:t])))
    t = min(len(seen) for seen, _ in series)
    series = [(seen[:t], heard[:t]) for seen, heard in series]
    curves = np.array([offset_scores(seen, heard, FACE_MOST) for seen, heard in series])
    own = curves.argmax(axis=1) - FACE_MOST
    usual = int(np.median(own))
    shifted = []
    for (seen, heard), natural in zip(series, own, strict=True):
        for shift in (-6, -3, 3, 6):
            moved = np.roll(heard, shift)
            moved[: max(0, shift)] = heard[0]
            moved[len(moved) + min(0, shift) :] = heard[-1]
            found = int(offset_scores(seen, moved, FACE_MOST).argmax()) - FACE_MOST
            shifted.append([shift, found - int(natural)])
    others = np.array(
        [
            offset_scores(series[i][0], series[j][1], FACE_MOST)
            for i in range(len(series))
            for j in range(len(series))
            if i != j
        ]
    )
    pairs = [
        bool(curves[i].max() > offset_scores(series[i][0], series[j][1], FACE_MOST).max())
        for i in range(len(series))
        for j in range(len(series))
        if i != j
    ]
    errors = np.array([found - shift for shift, found in shifted])
    return {
        "recordings": len(series),
        "frames": t,
        "frames per second": FACE_FPS,
        "own curve": curves.mean(axis=0).round(4).tolist(),
        "other curve": others.mean(axis=0).round(4).tolist(),
        "best offsets": own.tolist(),
        "usual offset": usual,
        "best scores": curves.max(axis=1).round(4).tolist(),
        "shifted": shifted,
        "shifted within 1": float((np.abs(errors) <= 1).mean()),
        "own beats other": float(np.mean(pairs)),
        "own minus other": (curves.max(axis=1) - others.max(axis=1).reshape(len(series), -1).mean(axis=1))
        .round(4)
        .tolist(),
        "example": {
            "name": paths[0].name,
            "mouth": series[0][0].round(3).tolist(),
            "sound": series[0][1].round(5).tolist(),
        },
    }


TABLES: dict[str, Callable[[], dict]] = {
    "networks": networks,
    "in_step": in_step,
    "offsets": offsets,
    "faces": faces,
}


def main() -> None:
    """Tables, or the shipped model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", help=f"of {', '.join(TABLES)}")
    parser.add_argument("--train", action="store_true", help="train the shipped model")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--clips", type=int, default=NUM_CLIPS)
    parser.add_argument("--folder", type=Path, help="another place for the weights")
    parser.add_argument("--measure", action="store_true", help="train nothing: measure the stored model again")
    options = parser.parse_args()
    if options.train:
        train(options.steps, options.clips, options.folder)
    elif options.measure:
        folder = data_dir() / "models" / "video"
        stored = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
        save(EventModel.from_pretrained(folder), stored["training"], folder)
    else:
        make_tables("video", TABLES, options.tables, packages=("numpy", "torch"))


if __name__ == "__main__":
    main()
