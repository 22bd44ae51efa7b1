"""Lesson vision's long runs: depth, small batches, augmentation, transfer with few labels, and what fools the features.

`make results vision`: about 30 minutes of one processor. It needs the extra `pretrained`, and for the tables xrays,
xray_views, within and finetune NIH's chest X-rays, `nih_chest_1000.npz` in the folder that `MMCOURSE_REAL_DATA` names.
`python make_results.py pieces cues` (or other names of `TABLES`) makes these tables and keeps the others.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from matplotlib.cbook import get_sample_data
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler, normalize
from torch import nn
from torch.nn import functional as F

from mmcourse import datasets
from mmcourse.authoring.tables import make_tables
from mmcourse.datasets import load
from mmcourse.evaluate import mean_and_interval
from mmcourse.preprocess.image import read, resize
from mmcourse.torch.efficientnet import MEAN, STD, EfficientNetLite0

SEEDS = 5
FEW_SEEDS = 3  # for the tables that take longest
DRAWS = 10
PER_CLASS = (1, 3, 10)
NUM_DIGITS = 1200  # to train on; the other 597 test


# ---------------------------------------------------------------- networks
class Block(nn.Module):
    """Two convolutions, each with batch normalization if wanted; with a skip connection if wanted."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, norm: bool = True, skip: bool = True):
        super().__init__()
        bias = not norm
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=bias)
        self.norm1 = nn.BatchNorm2d(out_channels) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=bias)
        self.norm2 = nn.BatchNorm2d(out_channels) if norm else nn.Identity()
        self.skip = skip
        self.shortcut: nn.Module = nn.Identity()
        if skip and (stride != 1 or in_channels != out_channels):
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm1(self.conv1(x)).relu()
        y = self.norm2(self.conv2(y))
        if self.skip:
            y = y + self.shortcut(x)
        return y.relu()


class Deep(nn.Module):
    """Pictures (b, 1, 8, 8) → logits (b, 10): a first convolution, `num_blocks` blocks, global average pooling."""

    def __init__(self, num_blocks: int, norm: bool = False, skip: bool = False, channels: int = 16):
        super().__init__()
        self.stem = nn.Conv2d(1, channels, 3, padding=1)
        self.blocks = nn.ModuleList(Block(channels, channels, norm=norm, skip=skip) for _ in range(num_blocks))
        self.head = nn.Linear(channels, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).relu()
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(dim=(2, 3)))


class ResNet(nn.Module):
    """A small ResNet: (b, c, h, w) → logits. Three stages of two blocks; the second and third halve the size."""

    def __init__(self, in_channels: int, num_classes: int, width: int = 16, norm: bool = True, skip: bool = True):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        blocks = []
        before = width
        for stage, after in enumerate((width, 2 * width, 4 * width)):
            blocks.append(Block(before, after, 1 if stage == 0 else 2, norm, skip))
            blocks.append(Block(after, after, 1, norm, skip))
            before = after
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(before, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.stem(x).relu())
        return self.head(x.mean(dim=(2, 3)))


def he_start(model: nn.Module) -> None:
    """He's initialization: the variance of each layer's output is that of its input, ReLU included."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def train(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    epochs: int,
    optimizer: torch.optim.Optimizer,
    augment: Callable[[torch.Tensor], torch.Tensor] | None = None,
    batch_size: int = 64,
) -> list[float]:
    """Train on the cross-entropy, the learning rate falling along a cosine; the mean loss of each epoch."""
    steps = epochs * -(-len(x) // batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    curve = []
    for _ in range(epochs):
        model.train()
        total = 0.0
        for rows in torch.randperm(len(x)).split(batch_size):
            if len(rows) < 2:
                continue  # batch normalization needs two values per channel
            pictures = augment(x[rows]) if augment else x[rows]
            loss = F.cross_entropy(model(pictures), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        curve.append(total / len(x))
    model.eval()
    return curve


@torch.no_grad()
def is_right(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """Whether each answer is right, bool (n,)."""
    model.eval()
    return (torch.cat([model(part) for part in x.split(256)]).argmax(dim=1) == y).numpy()


# ---------------------------------------------------------------- data
def digits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scikit-learn's handwritten digits in the file's order: x, y to train on, x, y to test on."""
    stored = load_digits()
    x = torch.tensor(stored.images, dtype=torch.float32)[:, None]  # (1797, 1, 8, 8)
    mean, std = x[:NUM_DIGITS].mean(), x[:NUM_DIGITS].std()
    x, y = (x - mean) / std, torch.tensor(stored.target)
    return x[:NUM_DIGITS], y[:NUM_DIGITS], x[NUM_DIGITS:], y[NUM_DIGITS:]


def single_objects(split: str, n: int, side: int = 32) -> dict[str, np.ndarray]:
    """Scenes with one object: pictures uint8 (n, side, side, 3), its shape, its color, whether it is in the right half."""
    ds = load("scenes", split)
    one = np.flatnonzero((ds.meta["shape"] >= 0).sum(axis=1) == 1)[:n]
    images = ds.column("image")
    boxes = ds.meta["boxes"][one, 0]
    return {
        "pictures": np.stack([resize(images[int(i)], (side, side)) for i in one]),
        "shape": ds.meta["shape"][one, 0],
        "color": ds.meta["colour"][one, 0],
        "side": (boxes[:, 0] + boxes[:, 2] > 64).astype(int),
    }


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """uint8 (n, h, w, c) → float32 (n, c, h, w), from −1 to 1."""
    return torch.from_numpy(np.moveaxis(pictures.astype(np.float32) / 127.5 - 1, -1, 1).copy())


@torch.no_grad()
def features_of(network: EfficientNetLite0, pictures: np.ndarray) -> np.ndarray:
    """uint8 (n, h, w, 3) → unit vectors (n, 1280)."""
    network.eval()
    x = torch.from_numpy(np.moveaxis((pictures.astype(np.float32) - MEAN) / STD, -1, 1).copy())
    return normalize(torch.cat([network.forward_features(part) for part in x.split(16)]).numpy())


def untrained(pictures: np.ndarray) -> EfficientNetLite0:
    """The same architecture without its training; its running averages are those of these pictures.

    With the averages that a new network starts from, its features would be nearly equal for all pictures.
    """
    torch.manual_seed(0)
    network = EfficientNetLite0()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # a plain mean over all batches
    network.train()
    x = torch.from_numpy(np.moveaxis((pictures.astype(np.float32) - MEAN) / STD, -1, 1).copy())
    order = torch.randperm(len(x))
    with torch.no_grad():
        for rows in order.split(32):
            network.forward_features(x[rows])
    return network.eval()


def probe(features: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    """A linear probe."""
    return LogisticRegression(C=10.0, max_iter=500).fit(features, labels)


# ---------------------------------------------------------------- tables
RUNS = {  # name: blocks, batch normalization, skip connection, start, optimizer
    "1 block": (1, False, False, None, "SGD"),
    "3 blocks": (3, False, False, None, "SGD"),
    "10 blocks": (10, False, False, None, "SGD"),
    "10 blocks, Adam": (10, False, False, None, "Adam"),
    "10 blocks, He's initialization": (10, False, False, he_start, "SGD"),
    "10 blocks, skip": (10, False, True, None, "SGD"),
    "10 blocks, batch norm": (10, True, False, None, "SGD"),
    "25 blocks, batch norm": (25, True, False, None, "SGD"),
    "10 blocks, batch norm, skip": (10, True, True, None, "SGD"),
    "25 blocks, batch norm, skip": (25, True, True, None, "SGD"),
}


def make_lenet(epochs: int = 12) -> dict:
    """Accuracy of the lesson's LeNet on new digits, and its loss by epoch."""
    x, y, test_x, test_y = digits()
    figures: dict = {"loss": [], "accuracy": []}
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(128, 10),
        )  # fmt: skip
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        figures["loss"].append(train(model, x, y, epochs, optimizer))
        figures["accuracy"].append(float(is_right(model, test_x, test_y).mean()))
    linear = LogisticRegression(max_iter=2000, C=0.1).fit(x.flatten(1).numpy(), y.numpy())
    figures["logistic regression"] = float(linear.score(test_x.flatten(1).numpy(), test_y.numpy()))
    print("LeNet", np.round(figures["accuracy"], 3), figures["logistic regression"], flush=True)
    return figures


def make_depth(epochs: int = 12) -> dict:
    """Last training loss and accuracy by depth, with and without batch normalization and skip connections."""
    x, y, test_x, test_y = digits()
    figures: dict = {"epochs": epochs, "num_train": len(y), "num_test": len(test_y)}
    linear = LogisticRegression(max_iter=2000, C=0.1).fit(x.flatten(1).numpy(), y.numpy())
    figures["logistic regression"] = float(linear.score(test_x.flatten(1).numpy(), test_y.numpy()))
    for name, (num_blocks, norm, skip, start, kind) in RUNS.items():
        last, right = [], []
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            model = Deep(num_blocks, norm, skip)
            if start:
                start(model)
            if kind == "SGD":
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            else:
                optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
            loss = train(model, x, y, epochs, optimizer)[-1]
            last.append(round(loss, 3) if np.isfinite(loss) else None)  # None: it diverged
            right.append(round(float(is_right(model, test_x, test_y).mean()), 3))
        figures[name] = {"loss": last, "accuracy": right}
        print(name, last, right, flush=True)
    return figures


def make_rates(epochs: int = 12) -> dict:
    """The failing network at other learning rates: is it only a matter of the right one?"""
    x, y, _, _ = digits()
    figures: dict = {}
    for start_name, start in (("PyTorch's initialization", None), ("He's initialization", he_start)):
        for rate in (0.01, 0.03):
            last = []
            for seed in range(FEW_SEEDS):
                torch.manual_seed(seed)
                model = Deep(10)
                if start:
                    start(model)
                optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
                loss = train(model, x, y, epochs, optimizer)[-1]
                last.append(round(loss, 3) if np.isfinite(loss) else None)
            figures[f"{start_name}, {rate:g}"] = last
            print(start_name, rate, last, flush=True)
    return figures


def make_forgotten(epochs: int = 6) -> dict:
    """Ten blocks with batch normalization: accuracy in eval mode and left in training mode, by size of the batch in use."""
    x, y, test_x, test_y = digits()
    figures: dict = {"eval": [], "train": {str(size): [] for size in (597, 64, 8, 1)}}
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        model = Deep(10, norm=True)
        train(model, x, y, epochs, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
        figures["eval"].append(float(is_right(model, test_x, test_y).mean()))
        for size, right in figures["train"].items():
            used = copy.deepcopy(model).train()
            with torch.no_grad():
                named = torch.cat([used(part).argmax(dim=1) for part in test_x.split(int(size))])
            right.append(float((named == test_y).float().mean()))
    print("forgotten", figures, flush=True)
    return figures


def make_batches(epochs: int = 4) -> dict:
    """Batch normalization trained on small batches, at equal numbers of epochs: loss in training, accuracy in use."""
    x, y, test_x, test_y = digits()
    figures: dict = {"epochs": epochs}
    for batch_size in (4, 16, 64):
        in_train, in_use = [], []
        for seed in range(FEW_SEEDS):
            torch.manual_seed(seed)
            model = Deep(3, norm=True, skip=True)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1 * batch_size / 64, momentum=0.9)
            train(model, x, y, epochs, optimizer, batch_size=batch_size)
            in_use.append(float(is_right(model, test_x, test_y).mean()))
            model.train()
            with torch.no_grad():
                parts = [model(part).argmax(dim=1) for part in test_x.split(batch_size) if len(part) > 1]
            guesses = torch.cat(parts)
            in_train.append(float((guesses == test_y[: len(guesses)]).float().mean()))
        figures[str(batch_size)] = {"eval": in_use, "train": in_train}
        print(batch_size, np.round(in_use, 3), np.round(in_train, 3), flush=True)
    return figures


def make_scenes(epochs: int = 16) -> dict:
    """Color of one object: logistic regression, a plain network, a small ResNet."""
    data, test = single_objects("train", 600, side=16), single_objects("test", 300, side=16)
    x, test_x = to_tensor(data["pictures"]), to_tensor(test["pictures"])
    y, test_y = torch.tensor(data["color"]).long(), torch.tensor(test["color"]).long()
    linear = LogisticRegression(max_iter=1000, C=0.01).fit(x.flatten(1).numpy(), y.numpy())
    figures: dict = {
        "num_train": len(x),
        "num_test": len(test_x),
        "epochs": epochs,
        "majority": float((test_y == torch.bincount(y).argmax()).float().mean()),
        "logistic regression": float(linear.score(test_x.flatten(1).numpy(), test_y.numpy())),
    }
    for name, skip in (("plain", False), ("ResNet", True)):
        right = []
        for seed in range(FEW_SEEDS):
            torch.manual_seed(seed)
            model = ResNet(3, int(y.max()) + 1, width=8, skip=skip)
            train(model, x, y, epochs, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
            right.append(float(is_right(model, test_x, test_y).mean()))
        figures[name] = right
        print(name, np.round(right, 3), flush=True)
    return figures


def shift(x: torch.Tensor) -> torch.Tensor:
    """Each picture moved by up to an eighth of its side; what leaves is lost, the other side repeats the border."""
    most = x.shape[-1] // 8
    padded = F.pad(x, (most, most, most, most), mode="replicate")
    height, width = x.shape[-2:]
    moved = []
    for picture in padded:
        down, right = torch.randint(0, 2 * most + 1, (2,)).tolist()
        moved.append(picture[:, down : down + height, right : right + width])
    return torch.stack(moved)


def mirror(x: torch.Tensor) -> torch.Tensor:
    """Each picture mirrored with probability 1/2."""
    coin = torch.rand(len(x)) < 0.5
    return torch.where(coin[:, None, None, None], x.flip(-1), x)


AUGMENTATIONS: dict[str, Callable | None] = {"none": None, "shift": shift, "mirror": mirror}


def augmented(question: str, budgets: tuple[int, ...] = (8, 24)) -> dict:
    """Accuracy by augmentation, drawn anew in each epoch, and by number of epochs, with equal steps; 200 pictures train."""
    if question == "which digit?":
        x, y, test_x, test_y = digits()
        x, y = x[:200], y[:200]
    else:
        answer = "color" if question == "which color?" else "side"
        data, test = single_objects("train", 200, side=16), single_objects("test", 400, side=16)
        x, test_x = to_tensor(data["pictures"]), to_tensor(test["pictures"])
        y, test_y = torch.tensor(data[answer]).long(), torch.tensor(test[answer]).long()
    linear = LogisticRegression(max_iter=1000, C=0.01).fit(x.flatten(1).numpy(), y.numpy())
    figures: dict = {
        "num_train": len(y),
        "num_test": len(test_y),
        "majority": float((test_y == torch.bincount(y).argmax()).float().mean()),
        "logistic regression": float(linear.score(test_x.flatten(1).numpy(), test_y.numpy())),
    }
    for name, augment in AUGMENTATIONS.items():
        figures[name] = {}
        for epochs in budgets:
            right = []
            for seed in range(FEW_SEEDS):
                torch.manual_seed(seed)
                model = ResNet(x.shape[1], int(y.max()) + 1, width=8)
                optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
                train(model, x, y, epochs, optimizer, augment)
                right.append(float(is_right(model, test_x, test_y).mean()))
            figures[name][f"{epochs} epochs"] = right
            print(question, name, epochs, np.round(right, 3), flush=True)
    return figures


def make_augmentation() -> dict:
    """Three questions, two augmentations, and the same number of steps without any."""
    return {question: augmented(question) for question in ("which digit?", "which color?", "left or right?")}


def make_crops() -> dict:
    """One labeled crop of each of three photographs, 20 other crops of each: features, pixels, mean color."""
    network = EfficientNetLite0.from_pretrained()
    found: dict[str, list[float]] = {"features": [], "pixels": [], "mean color": []}
    for seed in range(DRAWS):
        g = np.random.default_rng(seed)
        crops = np.stack([crop(photo, g) for photo in photographs() for _ in range(21)])
        labels = np.repeat(np.arange(3), 21)
        first = np.arange(3) * 21
        others = np.setdiff1d(np.arange(63), first)
        kinds = {
            "features": features_of(network, crops),
            "pixels": crops.reshape(63, -1) / 255,
            "mean color": crops.mean(axis=(1, 2)) / 255,
        }
        for name, vectors in kinds.items():
            distance = ((vectors[others, None] - vectors[None, first]) ** 2).sum(axis=2)  # (60, 3)
            found[name].append(float((distance.argmin(axis=1) == labels[others]).mean()))
    print({name: mean_and_interval(values) for name, values in found.items()}, flush=True)
    return found


def crop(photo: np.ndarray, g: np.random.Generator, side: int = 128) -> np.ndarray:
    """A square anywhere in a photograph, a third of its smaller side, resized."""
    part = min(photo.shape[:2]) // 3
    top, left = g.integers(photo.shape[0] - part), g.integers(photo.shape[1] - part)
    return resize(photo[top : top + part, left : left + part], (side, side))


def make_pieces() -> dict:
    """Small gray pieces of three photographs: examples from the left halves, pieces to name from the right halves."""
    network = EfficientNetLite0.from_pretrained()
    figures: dict = {"num_test": 3 * 40, "draws": DRAWS}
    rows: dict = {str(per_class): {} for per_class in PER_CLASS}
    for seed in range(DRAWS):
        g = np.random.default_rng(seed)
        train = [gray_piece(p[:, : p.shape[1] // 2], g) for p in photographs() for _ in range(max(PER_CLASS))]
        test = [gray_piece(p[:, p.shape[1] // 2 :], g) for p in photographs() for _ in range(40)]
        pieces = np.stack(train + test)
        labels = np.concatenate([np.repeat(np.arange(3), max(PER_CLASS)), np.repeat(np.arange(3), 40)])
        num_train = len(train)
        bins = np.arange(0, 257, 16)
        histograms = np.stack([np.histogram(p[..., 0], bins=bins)[0] for p in pieces]) / pieces[0, ..., 0].size
        n = len(pieces)
        kinds = {
            "features": features_of(network, pieces),
            "untrained features": features_of(untrained(pieces), pieces),
            "histogram of grays": histograms,
            "pixels": pieces[..., 0].reshape(n, 16, 6, 16, 6).mean(axis=(2, 4)).reshape(n, -1) / 255,
        }
        for per_class in PER_CLASS:
            chosen = np.concatenate([k * max(PER_CLASS) + np.arange(per_class) for k in range(3)])
            for name, vectors in kinds.items():
                model = probe(vectors[chosen], labels[chosen])
                right = float(model.score(vectors[num_train:], labels[num_train:]))
                rows[str(per_class)].setdefault(name, []).append(right)
            mean = kinds["features"][chosen].mean(axis=0)
            std = kinds["features"][chosen].std(axis=0)
            scaled = (kinds["features"] - mean) / np.where(std > 0, std, 1.0)
            model = probe(scaled[chosen], labels[chosen])
            right = float(model.score(scaled[num_train:], labels[num_train:]))
            rows[str(per_class)].setdefault("features, standardized", []).append(right)
    for per_class, row in rows.items():
        print(per_class, {k: np.round(mean_and_interval(v), 3).tolist() for k, v in row.items()}, flush=True)
    return {**figures, **rows}


def photographs() -> list[np.ndarray]:
    """The three photographs that come with scikit-learn and Matplotlib, uint8 (h, w, 3)."""
    photo_folder = files("sklearn.datasets.images")
    sources = [photo_folder / "china.jpg", photo_folder / "flower.jpg", get_sample_data("grace_hopper.jpg")]
    return [read(source) for source in sources]


def gray_piece(photo: np.ndarray, g: np.random.Generator, side: int = 96) -> np.ndarray:
    """A square of 64 pixels from anywhere, gray, with the same mean and spread for all: uint8 (side, side, 3)."""
    part = 64
    top, left = g.integers(photo.shape[0] - part), g.integers(photo.shape[1] - part)
    gray = photo[top : top + part, left : left + part].mean(axis=2)
    gray = 127 + 50 * (gray - gray.mean()) / (gray.std() + 5)
    picture = np.repeat(np.clip(gray, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    return resize(picture, (side, side))


# ---------------------------------------------------------------- outline or texture
def outlines(side: int, shape: np.ndarray, g: np.random.Generator) -> np.ndarray:
    """Circles (0), squares (1), triangles (2) and crosses (3) of random size and place: bool (n, side, side)."""
    rows, columns = np.mgrid[:side, :side]
    n = len(shape)
    radius = side * g.uniform(0.28, 0.4, (n, 1, 1))
    center_y, center_x = side * g.uniform(0.42, 0.58, (2, n, 1, 1))
    dy, dx = (rows - center_y) / radius, (columns - center_x) / radius
    near = np.minimum(np.abs(dx), np.abs(dy))
    far = np.maximum(np.abs(dx), np.abs(dy))
    kinds = [
        np.hypot(dx, dy) < 1,
        far < 0.85,
        (dy < 0.7) & (np.abs(dx) < 0.55 * (dy + 1)),
        (near < 0.33) & (far < 1),
    ]
    return np.stack(kinds)[shape, np.arange(n)]


def texture_sources() -> list[np.ndarray]:
    """A part of a photograph for each texture: roof (0), leaves (1), petals (2), uniform (3)."""
    china, flower, portrait = photographs()
    return [china[230:330, 150:420], flower[:170, :170], flower[210:330, 230:400], portrait[400:560, 60:200]]


def textures(side: int, kind: np.ndarray, g: np.random.Generator) -> np.ndarray:
    """A random piece of each texture, uint8 (n, side, side, 3)."""
    found = []
    for k in kind:
        source = texture_sources()[k]
        top, left = g.integers(source.shape[0] - side + 1), g.integers(source.shape[1] - side + 1)
        found.append(source[top : top + side, left : left + side])
    return np.stack(found)


def filled(shape: np.ndarray, texture: np.ndarray | None, g: np.random.Generator, side: int = 96) -> np.ndarray:
    """Outlines filled with textures on white; without textures, filled with gray: uint8 (n, side, side, 3)."""
    inside = outlines(side, shape, g)[..., None]
    filling = np.full((len(shape), side, side, 3), 110) if texture is None else textures(side, texture, g)
    return np.where(inside, filling, 255).astype(np.uint8)


def make_cues() -> dict:
    """Each outline goes with one texture in training. In the test they disagree: which of them is named?"""
    network = EfficientNetLite0.from_pretrained()
    figures: dict = {"draws": DRAWS, "num_conflicts": 120}
    for seed in range(DRAWS):
        g = np.random.default_rng(seed)
        labels = np.repeat(np.arange(4), 10)
        outline = np.repeat(np.arange(4), 30)
        texture = np.concatenate([np.repeat(np.delete(np.arange(4), k), 10) for k in range(4)])
        sets = {
            "train": filled(labels, labels, g),
            "both agree": filled(labels, labels, g),
            "outline alone": filled(labels, None, g),
            "texture alone": textures(96, labels, g),
            "conflict": filled(outline, texture, g),
        }
        everything = np.concatenate(list(sets.values()))
        sizes = np.cumsum([len(part) for part in sets.values()])[:-1]
        small = everything.reshape(len(everything), 16, 6, 16, 6, 3).mean(axis=(2, 4))
        kinds = {
            "features": features_of(network, everything),
            "untrained features": features_of(untrained(everything), everything),
            "pixels": small.reshape(len(everything), -1) / 255,
        }
        for kind, vectors in kinds.items():
            parts = dict(zip(sets, np.split(vectors, sizes), strict=True))
            model = probe(parts["train"], labels)
            row = figures.setdefault(kind, {})
            for name in ("both agree", "outline alone", "texture alone"):
                row.setdefault(name, []).append(float(model.score(parts[name], labels)))
            named = model.predict(parts["conflict"])
            row.setdefault("named by outline", []).append(float((named == outline).mean()))
            row.setdefault("named by texture", []).append(float((named == texture).mean()))
    for kind in ("features", "untrained features", "pixels"):
        print(kind, {k: np.round(mean_and_interval(v), 3).tolist() for k, v in figures[kind].items()}, flush=True)
    return figures


# ---------------------------------------------------------------- X-rays
def xrays() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """NIH's chest X-rays: pictures uint8 (n, 64, 64), pneumonia or not, patient, whether taken lying down, each (n,)."""
    path = Path(os.environ.get("MMCOURSE_REAL_DATA", "")) / "nih_chest_1000.npz"
    if not path.is_file():
        raise FileNotFoundError("nih_chest_1000.npz is not in the folder of real data: set MMCOURSE_REAL_DATA")
    with np.load(path, allow_pickle=False) as stored:
        return stored["X"], stored["y"].astype(int), stored["pid"], stored["rec"][:, 2].astype(int)


def in_three_channels(gray: np.ndarray) -> np.ndarray:
    """uint8 (n, h, w) → uint8 (n, h, w, 3)."""
    return np.repeat(gray[..., None], 3, axis=3)


def split_patients(labels: np.ndarray, patient: np.ndarray, num_train: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on, as many of each class, and rows of 30 % of the patients, none of whom is in training."""
    split = GroupShuffleSplit(1, test_size=0.3, random_state=seed).split(labels, labels, patient)
    train_rows, test_rows = next(split)
    g = np.random.default_rng(seed)
    chosen = [g.permutation(train_rows[labels[train_rows] == k])[: num_train // 2] for k in (0, 1)]
    return np.concatenate(chosen), test_rows


def pixel_model(vectors: np.ndarray, labels: np.ndarray) -> Pipeline:
    """Logistic regression on standardized pixels, strongly regularized."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.001, max_iter=500)).fit(vectors, labels)


def make_xrays() -> dict:
    """Far from ImageNet: pneumonia in unseen patients, from the pixels and from the features, by number of labels."""
    gray, labels, patient, _ = xrays()
    pictures = in_three_channels(gray)
    kinds = {
        "features": features_of(EfficientNetLite0.from_pretrained(), pictures),
        "untrained features": features_of(untrained(pictures), pictures),
        "pixels": gray.reshape(len(gray), -1) / 255,
    }
    figures: dict = {"num_pictures": len(labels), "num_patients": len(np.unique(patient)), "draws": DRAWS}
    for num_train in (20, 100, 500):
        row: dict = {name: [] for name in kinds}
        for seed in range(DRAWS):
            rows, test_rows = split_patients(labels, patient, num_train, seed)
            for name, vectors in kinds.items():
                fit = pixel_model if name == "pixels" else probe
                score = fit(vectors[rows], labels[rows]).decision_function(vectors[test_rows])
                row[name].append(float(roc_auc_score(labels[test_rows], score)))
        figures[str(num_train)] = row
        print(num_train, {k: np.round(mean_and_interval(v), 3).tolist() for k, v in row.items()}, flush=True)
    return figures


def make_xray_views(per_cell: int = 30) -> dict:
    """Training sets in which the way of taking the picture goes with the disease, or does not."""
    gray, labels, patient, lying = xrays()
    features = features_of(EfficientNetLite0.from_pretrained(), in_three_channels(gray))
    kinds = {"features": (features, probe), "pixels": (gray.reshape(len(gray), -1) / 255, pixel_model)}
    counts = [[int(((lying == a) & (labels == k)).sum()) for k in (0, 1)] for a in (0, 1)]
    figures: dict = {"counts": counts, "per_cell": per_cell, "draws": DRAWS, "view": {name: [] for name in kinds}}
    for seed in range(DRAWS):
        split = GroupShuffleSplit(1, test_size=0.4, random_state=seed).split(labels, labels, patient)
        train_rows, test_rows = next(split)
        g = np.random.default_rng(seed)
        cells = {}
        for a in (0, 1):
            for k in (0, 1):
                of_cell = train_rows[(lying[train_rows] == a) & (labels[train_rows] == k)]
                cells[a, k] = g.permutation(of_cell)
        confounded = np.concatenate([cells[1, 1][: 2 * per_cell], cells[0, 0][: 2 * per_cell]])
        balanced = np.concatenate([rows[:per_cell] for rows in cells.values()])
        sick, lies = labels[test_rows], lying[test_rows]
        tests = {"as in training": sick == lies, "exchanged": sick != lies, "all": np.ones(len(sick), bool)}
        for kind, (vectors, fit) in kinds.items():
            for training, rows in (("confounded", confounded), ("balanced", balanced)):
                score = fit(vectors[rows], labels[rows]).decision_function(vectors[test_rows])
                row = figures.setdefault(kind, {}).setdefault(training, {})
                for name, chosen in tests.items():
                    auc = float(roc_auc_score(sick[chosen], score[chosen]))
                    row.setdefault(name, []).append(auc)
            score = fit(vectors[balanced], lying[balanced]).decision_function(vectors[test_rows])
            figures["view"][kind].append(float(roc_auc_score(lies, score)))
    for kind in kinds:
        for training, row in figures[kind].items():
            print(kind, training, {k: np.round(mean_and_interval(v), 3).tolist() for k, v in row.items()}, flush=True)
    print({k: mean_and_interval(v) for k, v in figures["view"].items()}, flush=True)
    return figures


def within_views(labels: np.ndarray, lying: np.ndarray, score: np.ndarray) -> float:
    """AUC over the pairs of a sick and a well X-ray that were taken in the same way."""
    pairs = {a: ((lying == a) & (labels == 1)).sum() * ((lying == a) & (labels == 0)).sum() for a in (0, 1)}
    areas = {a: roc_auc_score(labels[lying == a], score[lying == a]) for a in (0, 1)}
    return float(sum(pairs[a] * areas[a] for a in (0, 1)) / sum(pairs.values()))


def make_within() -> dict:
    """How far the view alone goes, and the AUC within each view, where the view cannot help.

    Table `xray_views` has the AUC of all pairs, of (sick lying, well standing) and of (sick standing, well lying). With
    the counts of the same splits, what is left is the AUC of the pairs within a view: no feature is computed again.
    For the pixels it is computed directly as well.
    """
    gray, labels, patient, lying = xrays()
    flat = gray.reshape(len(gray), -1) / 255
    table = datasets.results("vision")["xray_views"]
    figures: dict = {"view alone": [], "pixels within views": {}}
    for seed in range(DRAWS):
        _, test_rows = split_patients(labels, patient, 20, seed)  # the tests of table `xrays`
        figures["view alone"].append(float(roc_auc_score(labels[test_rows], -lying[test_rows])))
    for num_train in (20, 100, 500):
        row = []
        for seed in range(DRAWS):
            rows, test_rows = split_patients(labels, patient, num_train, seed)
            score = pixel_model(flat[rows], labels[rows]).decision_function(flat[test_rows])
            row.append(within_views(labels[test_rows], lying[test_rows], score))
        figures["pixels within views"][str(num_train)] = row
    for seed in range(DRAWS):
        split = GroupShuffleSplit(1, test_size=0.4, random_state=seed).split(labels, labels, patient)
        _, test_rows = next(split)  # the tests of table `xray_views`
        sick, lies = labels[test_rows], lying[test_rows]
        n = {(a, k): int(((lies == a) & (sick == k)).sum()) for a in (0, 1) for k in (0, 1)}
        pairs = {"all": sick.sum() * (1 - sick).sum()}
        pairs["as in training"], pairs["exchanged"] = n[1, 1] * n[0, 0], n[0, 1] * n[1, 0]
        for kind in ("features", "pixels"):
            for training, row in table[kind].items():
                won = {name: row[name][seed] * pairs[name] for name in pairs}
                rest = 2 * won["all"] - sum(won.values())
                area = rest / (n[0, 1] * n[0, 0] + n[1, 1] * n[1, 0])
                figures.setdefault(kind, {}).setdefault(training, []).append(float(area))
    print({k: mean_and_interval(v) for k, v in figures["pixels within views"].items()}, flush=True)
    print("view alone", mean_and_interval(figures["view alone"]), flush=True)
    for kind in ("features", "pixels"):
        print(kind, {k: mean_and_interval(v) for k, v in figures[kind].items()}, flush=True)
    return figures


WAYS = ("from scratch", "fine-tuned, one rate", "fine-tuned, small rate below")
BUDGETS = {20: (5, 8), 100: (3, 8)}  # labels: draws, epochs


def make_finetune() -> dict:
    """Pneumonia with few labels: pixels, a probe, a small network from scratch, and two ways of fine-tuning, same draws."""
    gray, labels, patient, _ = xrays()
    pictures = in_three_channels(gray)
    x = torch.from_numpy(np.moveaxis((pictures.astype(np.float32) - MEAN) / STD, -1, 1).copy())
    y = torch.tensor(labels)
    frozen = features_of(EfficientNetLite0.from_pretrained(), pictures)
    flat = gray.reshape(len(gray), -1) / 255
    figures: dict = {}
    for num_train, (draws, epochs) in BUDGETS.items():
        row: dict = {name: [] for name in ("pixels, logistic regression", "frozen, linear probe", *WAYS)}
        for seed in range(draws):
            rows, test_rows = split_patients(labels, patient, num_train, seed)
            fixed = {
                "pixels, logistic regression": pixel_model(flat[rows], labels[rows]).decision_function(flat[test_rows]),
                "frozen, linear probe": probe(frozen[rows], labels[rows]).decision_function(frozen[test_rows]),
            }
            for name, score in fixed.items():
                row[name].append(float(roc_auc_score(labels[test_rows], score)))
            for way in WAYS:
                score = score_after(way, x, y, rows, test_rows, epochs, seed)
                row[way].append(float(roc_auc_score(labels[test_rows], score)))
        figures[str(num_train)] = {**row, "epochs": epochs}
        print(num_train, {k: np.round(mean_and_interval(v), 3).tolist() for k, v in row.items()}, flush=True)
    return figures


def score_after(
    way: str, x: torch.Tensor, y: torch.Tensor, rows: np.ndarray, others: np.ndarray, epochs: int, seed: int
) -> np.ndarray:
    """Train in one of `WAYS` on these rows; the score for class 1 of each other picture."""
    torch.manual_seed(seed)
    if way == "from scratch":
        small = F.avg_pool2d(x[:, :1], 2)  # one channel, 32 × 32
        model: nn.Module = ResNet(1, 2, width=8)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        train(model, small[rows], y[rows], 4 * epochs, optimizer, batch_size=16)
        with torch.no_grad():
            logits = model(small[others])
        return (logits[:, 1] - logits[:, 0]).numpy()
    network = EfficientNetLite0.from_pretrained()
    network.fc = nn.Linear(1280, 2)
    nn.init.zeros_(network.fc.weight)
    below = [p for name, p in network.named_parameters() if not name.startswith("fc.")]
    rate_below = 1e-3 if way == "fine-tuned, one rate" else 1e-4
    groups = [{"params": below, "lr": rate_below}, {"params": network.fc.parameters(), "lr": 1e-3}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    for _ in range(epochs):
        network.eval()  # few pictures: the running averages of ImageNet stay
        for part in torch.randperm(len(rows)).split(10):
            chosen = rows[part.numpy()]
            loss = F.cross_entropy(network(x[chosen]), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        logits = torch.cat([network(p) for p in x[others].split(32)])
    return (logits[:, 1] - logits[:, 0]).numpy()


# ---------------------------------------------------------------- Keras
def make_keras(draws: int = 5) -> dict:
    """Five labeled digits of each of 5 to 9: a backbone from the digits 0 to 4, frozen, or the same from scratch."""
    import keras

    x, y, test_x, test_y = digits()
    x, test_x = x.permute(0, 2, 3, 1).numpy(), test_x.permute(0, 2, 3, 1).numpy()
    labels, test_labels = y.numpy(), test_y.numpy()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    high = test_labels >= 5
    figures: dict = {"draws": draws, "num_test": int(high.sum())}
    row: dict = {"pretrained, frozen": [], "pretrained, all trained": [], "from scratch": [], "logistic regression": []}
    for seed in range(draws):
        keras.utils.set_random_seed(seed)
        inputs = keras.Input((8, 8, 1))
        maps = inputs
        for channels in (16, 32):
            maps = keras.layers.Conv2D(channels, 3, padding="same", use_bias=False)(maps)
            maps = keras.layers.BatchNormalization(momentum=0.9)(maps)
            maps = keras.layers.ReLU()(maps)
            maps = keras.layers.MaxPooling2D()(maps)
        backbone = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(maps))
        first = keras.Sequential([backbone, keras.layers.Dense(5)])
        first.compile(keras.optimizers.Adam(3e-3), loss=loss)
        first.fit(x[labels < 5], labels[labels < 5], epochs=12, batch_size=32, verbose=0)
        g = np.random.default_rng(seed)
        few = np.concatenate([g.choice(np.flatnonzero(labels == d), 5, replace=False) for d in range(5, 10)])
        for name in row:
            if name == "logistic regression":
                linear = LogisticRegression(max_iter=2000, C=0.1).fit(x[few].reshape(25, -1), labels[few])
                row[name].append(float(linear.score(test_x[high].reshape(int(high.sum()), -1), test_labels[high])))
                continue
            body = keras.models.clone_model(backbone)
            if name != "from scratch":
                body.set_weights(backbone.get_weights())
            body.trainable = name != "pretrained, frozen"
            model = keras.Sequential([body, keras.layers.Dense(5)])
            model.compile(keras.optimizers.Adam(1e-2), loss=loss, metrics=["accuracy"])
            model.fit(x[few], labels[few] - 5, epochs=60, batch_size=25, verbose=0)
            row[name].append(float(model.evaluate(test_x[high], test_labels[high] - 5, verbose=0)[1]))
    print({k: np.round(mean_and_interval(v), 3).tolist() for k, v in row.items()}, flush=True)
    return {**figures, **row}


def make_keras_head(draws: int = 5) -> dict:
    """The frozen backbone of table `keras` again, in the same draws: had its head finished learning?"""
    import keras

    x, y, test_x, test_y = digits()
    x, test_x = x.permute(0, 2, 3, 1).numpy(), test_x.permute(0, 2, 3, 1).numpy()
    labels, test_labels = y.numpy(), test_y.numpy()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    high = test_labels >= 5
    figures: dict = {"draws": draws}
    for seed in range(draws):
        keras.utils.set_random_seed(seed)
        inputs = keras.Input((8, 8, 1))
        maps = inputs
        for channels in (16, 32):
            maps = keras.layers.Conv2D(channels, 3, padding="same", use_bias=False)(maps)
            maps = keras.layers.BatchNormalization(momentum=0.9)(maps)
            maps = keras.layers.ReLU()(maps)
            maps = keras.layers.MaxPooling2D()(maps)
        backbone = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(maps))
        first = keras.Sequential([backbone, keras.layers.Dense(5)])
        first.compile(keras.optimizers.Adam(3e-3), loss=loss)
        first.fit(x[labels < 5], labels[labels < 5], epochs=12, batch_size=32, verbose=0)
        g = np.random.default_rng(seed)
        few = np.concatenate([g.choice(np.flatnonzero(labels == d), 5, replace=False) for d in range(5, 10)])
        features = np.asarray(backbone(x[few], training=False))
        others = np.asarray(backbone(test_x[high], training=False))
        head = keras.Sequential([keras.Input((32,)), keras.layers.Dense(5)])
        head.compile(keras.optimizers.Adam(1e-2), loss=loss, metrics=["accuracy"])
        head.fit(features, labels[few] - 5, epochs=60, batch_size=25, verbose=0)
        for name, part, goal in (("train", features, labels[few]), ("test", others, test_labels[high])):
            reached = float((np.asarray(head(part)).argmax(axis=1) == goal - 5).mean())
            figures.setdefault(f"60 steps, {name}", []).append(reached)
        linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(features, labels[few])
        figures.setdefault("logistic regression, train", []).append(float(linear.score(features, labels[few])))
        figures.setdefault("logistic regression, test", []).append(float(linear.score(others, test_labels[high])))
    print({k: mean_and_interval(v) for k, v in figures.items() if isinstance(v, list)}, flush=True)
    return figures


TABLES: dict[str, Callable] = {
    "lenet": make_lenet,
    "crops": make_crops,
    "depth": make_depth,
    "rates": make_rates,
    "forgotten": make_forgotten,
    "batches": make_batches,
    "scenes": make_scenes,
    "augmentation": make_augmentation,
    "pieces": make_pieces,
    "xrays": make_xrays,
    "xray_views": make_xray_views,
    "within": make_within,
    "cues": make_cues,
    "keras": make_keras,
    "keras_head": make_keras_head,
    "finetune": make_finetune,
}


if __name__ == "__main__":
    torch.set_num_threads(1)
    make_tables("vision", TABLES, sys.argv[1:], packages=("numpy", "scikit-learn", "torch", "keras"))
