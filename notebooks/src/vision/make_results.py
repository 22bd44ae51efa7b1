"""Lesson vision's long runs: depth, small batches, augmentation, transfer with few labels, and what fools the features.

`make results vision`: about 45 minutes of one processor (an estimate until it has been run as a whole). It needs
MNIST's test part (fetched once), the extra `pretrained`, and Tux Paint's stamps (see `mmcourse.datasets.cutouts`).
`python make_results.py cutouts` (or other names of `TABLES`) makes these tables and keeps the others.
`python make_results.py xrays FILE` reads NIH chest X-rays from an .npz file with X, y, pid, rec.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.resources import files

import numpy as np
import torch
from matplotlib.cbook import get_sample_data
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize
from torch import nn
from torch.nn import functional as F

from mmcourse import datasets
from mmcourse.datasets import cutouts, load
from mmcourse.evaluate import mean_and_interval
from mmcourse.preprocess.image import read, resize
from mmcourse.torch.efficientnet import MEAN, STD, EfficientNetLite0

SEEDS = 5
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
        self.stem = nn.Conv2d(1, channels, 3, padding=1, bias=not norm)
        self.norm = nn.BatchNorm2d(channels) if norm else nn.Identity()
        self.blocks = nn.ModuleList(Block(channels, channels, norm=norm, skip=skip) for _ in range(num_blocks))
        self.head = nn.Linear(channels, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.stem(x)).relu()
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


def balanced(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Balanced accuracy: the mean over the classes of the share that is right."""
    return float(np.mean([(predicted == labels)[labels == k].mean() for k in np.unique(labels)]))


# ---------------------------------------------------------------- data
def digits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scikit-learn's handwritten digits in the file's order: x, y to train on, x, y to test on."""
    stored = load_digits()
    x = torch.tensor(stored.images, dtype=torch.float32)[:, None]  # (1797, 1, 8, 8)
    mean, std = x[:NUM_DIGITS].mean(), x[:NUM_DIGITS].std()
    x, y = (x - mean) / std, torch.tensor(stored.target)
    return x[:NUM_DIGITS], y[:NUM_DIGITS], x[NUM_DIGITS:], y[NUM_DIGITS:]


def single_objects(split: str, n: int) -> dict[str, np.ndarray]:
    """Scenes with one object: pictures uint8 (n, 32, 32, 3), its shape, its color, whether it is in the right half."""
    ds = load("scenes", split)
    one = np.flatnonzero((ds.meta["shape"] >= 0).sum(axis=1) == 1)[:n]
    images = ds.column("image")
    boxes = ds.meta["boxes"][one, 0]
    return {
        "pictures": np.stack([resize(images[int(i)], (32, 32)) for i in one]),
        "shape": ds.meta["shape"][one, 0],
        "color": ds.meta["colour"][one, 0],
        "side": (boxes[:, 0] + boxes[:, 2] > 64).astype(int),
    }


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """uint8 (n, h, w, c) → float32 (n, c, h, w), from −1 to 1."""
    return torch.from_numpy(np.moveaxis(pictures.astype(np.float32) / 127.5 - 1, -1, 1).copy())


def mnist() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """3,000 of MNIST's test digits to train on and 1,000 others to test on, (n, 1, 28, 28)."""
    from mmcourse.datasets.avdigits.images import read_images, split_images

    pictures, labels = read_images("real")
    rows, _, test_rows = split_images("real", len(pictures))
    rows = rows[:3000]
    x = to_tensor(pictures[..., None])
    y = torch.from_numpy(labels.astype(np.int64))
    return x[rows], y[rows], x[test_rows], y[test_rows]


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


def draw_rows(labels: np.ndarray, per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """So many rows of each class to train on, and all others."""
    g = np.random.default_rng(seed)
    chosen = [g.permutation(np.flatnonzero(labels == k))[:per_class] for k in np.unique(labels)]
    rows = np.concatenate(chosen)
    return rows, np.setdiff1d(np.arange(len(labels)), rows)


def probe(features: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    """A linear probe."""
    return LogisticRegression(C=10.0, max_iter=500).fit(features, labels)


def stamps() -> tuple[np.ndarray, np.ndarray]:
    """Tux Paint's photographs (n, 128, 128, 4) and their classes (n,)."""
    folder = cutouts.find()
    if folder is None:
        raise SystemExit("Tux Paint's stamps are not installed; see mmcourse/datasets/cutouts.py")
    pictures, labels, _ = cutouts.load(folder)
    return pictures, labels


# ---------------------------------------------------------------- tables
RUNS = {  # name: blocks, batch normalization, skip connection, start, optimizer
    "1 block": (1, False, False, None, "SGD"),
    "3 blocks": (3, False, False, None, "SGD"),
    "10 blocks": (10, False, False, None, "SGD"),
    "10 blocks, Adam": (10, False, False, None, "Adam"),
    "10 blocks, He's start": (10, False, False, he_start, "SGD"),
    "10 blocks, skip": (10, False, True, None, "SGD"),
    "10 blocks, batch norm": (10, True, False, None, "SGD"),
    "25 blocks, batch norm": (25, True, False, None, "SGD"),
    "10 blocks, batch norm, skip": (10, True, True, None, "SGD"),
    "25 blocks, batch norm, skip": (25, True, True, None, "SGD"),
}


def make_depth(epochs: int = 12) -> dict:
    """Training loss and accuracy by depth, with and without batch normalization and skip connections."""
    x, y, test_x, test_y = digits()
    figures: dict = {"epochs": epochs, "num_train": len(y), "num_test": len(test_y)}
    linear = LogisticRegression(max_iter=2000, C=0.1).fit(x.flatten(1).numpy(), y.numpy())
    figures["logistic regression"] = float(linear.score(test_x.flatten(1).numpy(), test_y.numpy()))
    for name, (num_blocks, norm, skip, start, kind) in RUNS.items():
        curves, right = [], []
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            model = Deep(num_blocks, norm, skip)
            if start:
                start(model)
            if kind == "SGD":
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            else:
                optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
            curves.append(train(model, x, y, epochs, optimizer))
            right.append(float(is_right(model, test_x, test_y).mean()))
        figures[name] = {"loss": curves, "accuracy": right}
        print(name, np.round([c[-1] for c in curves], 3), np.round(right, 3), flush=True)
    return figures


def make_rates(epochs: int = 12) -> dict:
    """The failing network at other learning rates: is it only a matter of the right one?"""
    x, y, _, _ = digits()
    figures: dict = {}
    for start_name, start in (("as PyTorch starts", None), ("He's start", he_start)):
        for rate in (0.001, 0.01, 0.1, 1.0):
            last = []
            for seed in range(SEEDS):
                torch.manual_seed(seed)
                model = Deep(10)
                if start:
                    start(model)
                optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
                loss = train(model, x, y, epochs, optimizer)[-1]
                last.append(loss if np.isfinite(loss) else None)
            figures[f"{start_name}, {rate:g}"] = last
            print(start_name, rate, last, flush=True)
    return figures


def make_batches(epochs: int = 8) -> dict:
    """Batch normalization trained on small batches, at equal numbers of epochs: loss in training, accuracy in use."""
    x, y, test_x, test_y = digits()
    figures: dict = {"epochs": epochs}
    for batch_size in (2, 4, 16, 64):
        in_train, in_use = [], []
        for seed in range(SEEDS):
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


def make_scenes(epochs: int = 12) -> dict:
    """Shape and color of one object: logistic regression, a plain network, a small ResNet."""
    data, test = single_objects("train", 1000), single_objects("test", 500)
    x, test_x = to_tensor(data["pictures"]), to_tensor(test["pictures"])
    figures: dict = {"num_train": len(x), "num_test": len(test_x), "epochs": epochs}
    for task in ("shape", "color"):
        y, test_y = torch.tensor(data[task]).long(), torch.tensor(test[task]).long()
        common = torch.bincount(y).argmax()
        linear = LogisticRegression(max_iter=1000, C=0.01).fit(x.flatten(1).numpy(), y.numpy())
        figures[task] = {
            "majority": float((test_y == common).float().mean()),
            "logistic regression": float(linear.score(test_x.flatten(1).numpy(), test_y.numpy())),
        }
        for name, skip in (("plain", False), ("ResNet", True)):
            right = []
            for seed in range(SEEDS):
                torch.manual_seed(seed)
                model = ResNet(3, int(y.max()) + 1, width=8, skip=skip)
                optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
                train(model, x, y, epochs, optimizer)
                right.append(float(is_right(model, test_x, test_y).mean()))
            figures[task][name] = right
            print(task, name, np.round(right, 3), flush=True)
    return figures


def shift(x: torch.Tensor, most: int = 3) -> torch.Tensor:
    """Each picture moved by up to `most` pixels; what leaves on one side is lost, the other side repeats the border."""
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


def make_augmentation(budgets: tuple[int, ...] = (15, 45)) -> dict:
    """Accuracy by question and augmentation, drawn anew in each epoch, at two budgets of equal steps."""
    data, test = single_objects("train", 300), single_objects("test", 500)
    few_x, few_y, digits_x, digits_y = mnist()
    questions = {
        "which digit?": (few_x[:300], few_y[:300], digits_x, digits_y),
        "which shape?": tuple(
            part for d in (data, test) for part in (to_tensor(d["pictures"]), torch.tensor(d["shape"]).long())
        ),
        "left or right?": tuple(
            part for d in (data, test) for part in (to_tensor(d["pictures"]), torch.tensor(d["side"]).long())
        ),
    }
    figures: dict = {}
    for question, (x, y, test_x, test_y) in questions.items():
        common = torch.bincount(y).argmax()
        linear = LogisticRegression(max_iter=1000, C=0.01).fit(x.flatten(1).numpy(), y.numpy())
        figures[question] = {
            "num_train": len(y),
            "num_test": len(test_y),
            "majority": float((test_y == common).float().mean()),
            "logistic regression": float(linear.score(test_x.flatten(1).numpy(), test_y.numpy())),
        }
        for name, augment in AUGMENTATIONS.items():
            figures[question][name] = {}
            for epochs in budgets:
                right = []
                for seed in range(SEEDS):
                    torch.manual_seed(seed)
                    model = ResNet(x.shape[1], int(y.max()) + 1, width=8)
                    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
                    train(model, x, y, epochs, optimizer, augment)
                    right.append(float(is_right(model, test_x, test_y).mean()))
                figures[question][name][f"{epochs} epochs"] = right
                print(question, name, epochs, np.round(right, 3), flush=True)
    return figures


def make_crops() -> dict:
    """One labeled crop of each of three photographs, 20 other crops of each: features, pixels, mean color."""
    photo_folder = files("sklearn.datasets.images")
    photographs = [read(photo_folder / "china.jpg"), read(photo_folder / "flower.jpg")]
    photographs.append(read(get_sample_data("grace_hopper.jpg")))
    network = EfficientNetLite0.from_pretrained()
    found: dict[str, list[float]] = {"features": [], "pixels": [], "mean color": []}
    for seed in range(DRAWS):
        g = np.random.default_rng(seed)
        crops = np.stack([crop(photo, g) for photo in photographs for _ in range(21)])
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


def plain_kinds(pictures: np.ndarray, white: np.ndarray) -> dict[str, np.ndarray]:
    """Simple descriptions of cut-outs on white: small pictures, histograms of colors, outlines."""
    n = len(white)
    bins, span = (4, 4, 4), [(0, 256)] * 3
    histograms = [np.histogramdd(p.reshape(-1, 3), bins=bins, range=span)[0].ravel() for p in white]
    return {
        "pixels": white.reshape(n, 16, 8, 16, 8, 3).mean(axis=(2, 4)).reshape(n, -1) / 255,
        "color histogram": np.stack(histograms) / white[0, ..., 0].size,
        "outline": pictures[..., 3].reshape(n, 16, 8, 16, 8).mean(axis=(2, 4)).reshape(n, -1) / 255,
    }


def make_cutouts() -> dict:
    """Linear probes on photographs of four kinds by the number of labels, beside simple descriptions."""
    pictures, labels = stamps()
    white = cutouts.place_on(pictures, 255.0)
    network = EfficientNetLite0.from_pretrained()
    kinds = {"features": features_of(network, white), "untrained features": features_of(untrained(white), white)}
    kinds |= plain_kinds(pictures, white)
    figures: dict = {"num_pictures": np.bincount(labels).tolist(), "draws": DRAWS}
    for per_class in PER_CLASS:
        row: dict = {name: [] for name in [*kinds, "features, standardized"]}
        for seed in range(DRAWS):
            rows, others = draw_rows(labels, per_class, seed)
            for name, vectors in kinds.items():
                predicted = probe(vectors[rows], labels[rows]).predict(vectors[others])
                row[name].append(balanced(predicted, labels[others]))
            mean, std = kinds["features"][rows].mean(axis=0), kinds["features"][rows].std(axis=0)
            std = np.where(std > 0, std, 1.0)
            scaled = (kinds["features"] - mean) / std
            predicted = probe(scaled[rows], labels[rows]).predict(scaled[others])
            row["features, standardized"].append(balanced(predicted, labels[others]))
        figures[str(per_class)] = row
        print(per_class, {k: np.round(mean_and_interval(v), 3).tolist() for k, v in row.items()}, flush=True)
    return figures


def backgrounds() -> dict[str, np.ndarray | float]:
    """What cut-outs are placed on."""
    photo_folder = files("sklearn.datasets.images")
    china, flower = read(photo_folder / "china.jpg"), read(photo_folder / "flower.jpg")
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3))
    return {
        "white": 255.0,
        "gray": 128.0,
        "noise": noise,
        "sky": china[:128, 300:428],
        "leaves": flower[:128, :128],
        "roof": china[240:368, 200:328],
    }


def make_backgrounds() -> dict:
    """Probes trained on white and tested on other backgrounds; and a background that goes with the class."""
    pictures, labels = stamps()
    network = EfficientNetLite0.from_pretrained()
    features = {name: features_of(network, cutouts.place_on(pictures, b)) for name, b in backgrounds().items()}
    figures: dict = {"trained on white": {}, "trained on three": {}, "loyal": {}}
    order = ["sky", "roof", "leaves", "gray"]  # the background of each class where it goes with the class
    loyal = np.stack([features[order[k]][i] for i, k in enumerate(labels)])
    swapped = np.stack([features[order[(k + 1) % 4]][i] for i, k in enumerate(labels)])
    for seed in range(DRAWS):
        rows, others = draw_rows(labels, 10, seed)
        on_white = probe(features["white"][rows], labels[rows])
        g = np.random.default_rng(seed)
        three = np.array(["white", "sky", "noise"])[g.integers(3, size=len(rows))]
        on_three = probe(np.stack([features[b][i] for b, i in zip(three, rows, strict=True)]), labels[rows])
        for name, vectors in features.items():
            for judge, model in (("trained on white", on_white), ("trained on three", on_three)):
                score = balanced(model.predict(vectors[others]), labels[others])
                figures[judge].setdefault(name, []).append(score)
        on_loyal = probe(loyal[rows], labels[rows])
        for name, vectors in (("same background", loyal), ("another class's background", swapped)):
            figures["loyal"].setdefault(name, []).append(balanced(on_loyal.predict(vectors[others]), labels[others]))
    for judge, row in figures.items():
        print(judge, {k: np.round(mean_and_interval(v), 3).tolist() for k, v in row.items()}, flush=True)
    return figures


def texture_of(picture: np.ndarray, side: int = 32) -> tuple[np.ndarray, float]:
    """The fullest square of a cut-out (128, 128, 4), mirrored and repeated to its size; and how full it is."""
    alpha = picture[..., 3] / 255
    fullness = sliding_window_view(alpha, (side, side)).mean(axis=(2, 3))
    top, left = np.unravel_index(fullness.argmax(), fullness.shape)
    piece = picture[top : top + side, left : left + side, :3]
    wide = np.concatenate([piece, piece[:, ::-1]], axis=1)
    tile = np.concatenate([wide, wide[::-1]], axis=0)  # (64, 64, 3)
    return np.tile(tile, (2, 2, 1)), float(fullness.max())


def make_cues() -> dict:
    """The outline of one class filled with the texture of another: which of them does the probe name?"""
    pictures, labels = stamps()
    network = EfficientNetLite0.from_pretrained()
    made = [texture_of(picture) for picture in pictures]
    textures = np.stack([texture for texture, _ in made])
    usable = np.array([full for _, full in made]) > 0.97
    black = pictures.copy()
    black[..., :3] = 0
    g = np.random.default_rng(0)
    pairs = []
    for k in range(4):
        for other in range(4):
            if k != other:
                for _ in range(10):
                    outline = g.choice(np.flatnonzero(labels == k))
                    pairs.append((outline, g.choice(np.flatnonzero((labels == other) & usable))))
    pair = np.array(pairs)  # (120, 2): outline, texture
    mixed = pictures[pair[:, 0]].copy()
    mixed[..., :3] = textures[pair[:, 1]]
    features = {
        "photographs": features_of(network, cutouts.place_on(pictures, 255.0)),
        "outline alone": features_of(network, cutouts.place_on(black, 255.0)),
        "texture alone": features_of(network, textures),
    }
    both = features_of(network, cutouts.place_on(mixed, 255.0))
    figures: dict = {name: [] for name in [*features, "named by outline", "named by texture", "named by neither"]}
    for seed in range(DRAWS):
        rows, others = draw_rows(labels, 10, seed)
        model = probe(features["photographs"][rows], labels[rows])
        for name, vectors in features.items():
            chosen = others[usable[others]] if name == "texture alone" else others
            figures[name].append(balanced(model.predict(vectors[chosen]), labels[chosen]))
        fresh = ~np.isin(pair, rows).any(axis=1)
        named = model.predict(both[fresh])
        outline, texture = labels[pair[fresh, 0]], labels[pair[fresh, 1]]
        figures["named by outline"].append(float((named == outline).mean()))
        figures["named by texture"].append(float((named == texture).mean()))
        figures["named by neither"].append(float(((named != outline) & (named != texture)).mean()))
    print({k: np.round(mean_and_interval(v), 3).tolist() for k, v in figures.items()}, flush=True)
    return figures


WAYS = ("from scratch", "fine-tuned, one rate", "fine-tuned, small rate below")


def make_finetune(epochs: int = 20) -> dict:
    """Few labels: a small network from scratch, a probe, and two ways of fine-tuning, on the same draws."""
    pictures, labels = stamps()
    white = cutouts.place_on(pictures, 255.0)
    x = torch.from_numpy(np.moveaxis((white.astype(np.float32) - MEAN) / STD, -1, 1).copy())
    y = torch.tensor(labels)
    frozen = features_of(EfficientNetLite0.from_pretrained(), white)
    figures: dict = {"epochs": epochs}
    for per_class in PER_CLASS:
        row: dict = {name: [] for name in ("frozen, linear probe", *WAYS)}
        for seed in range(SEEDS):
            rows, others = draw_rows(labels, per_class, seed)
            predicted = probe(frozen[rows], labels[rows]).predict(frozen[others])
            row["frozen, linear probe"].append(balanced(predicted, labels[others]))
            for way in WAYS:
                predicted = predict_after(way, x, y, rows, others, epochs, seed)
                row[way].append(balanced(predicted, labels[others]))
        figures[str(per_class)] = row
        print(per_class, {k: np.round(mean_and_interval(v), 3).tolist() for k, v in row.items()}, flush=True)
    return figures


def predict_after(
    way: str, x: torch.Tensor, y: torch.Tensor, rows: np.ndarray, others: np.ndarray, epochs: int, seed: int
) -> np.ndarray:
    """Train in one of `WAYS` on these rows; the class of each other picture."""
    torch.manual_seed(seed)
    if way == "from scratch":
        small = F.avg_pool2d(x, 2)  # 64 × 64
        model: nn.Module = ResNet(3, 4, width=16)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        train(model, small[rows], y[rows], 3 * epochs, optimizer, mirror, batch_size=16)
        with torch.no_grad():
            return model(small[others]).argmax(dim=1).numpy()
    network = EfficientNetLite0.from_pretrained()
    network.fc = nn.Linear(1280, 4)
    nn.init.zeros_(network.fc.weight)
    below = [p for name, p in network.named_parameters() if not name.startswith("fc.")]
    rate_below = 1e-3 if way == "fine-tuned, one rate" else 1e-4
    groups = [{"params": below, "lr": rate_below}, {"params": network.fc.parameters(), "lr": 1e-3}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    for _ in range(epochs):
        network.eval()  # few pictures: the running averages of ImageNet stay
        for part in torch.randperm(len(rows)).split(8):
            chosen = rows[part.numpy()]
            loss = F.cross_entropy(network(mirror(x[chosen])), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        return torch.cat([network(p) for p in x[others].split(32)]).argmax(dim=1).numpy()


def make_xrays(path: str) -> dict:
    """Far from ImageNet: chest X-rays of unseen patients, from the pixels and from the features, by number of labels."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupShuffleSplit
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with np.load(path, allow_pickle=False) as stored:
        gray, y, patient = stored["X"], stored["y"], stored["pid"]
    pictures = np.stack([resize(np.repeat(p[..., None], 3, axis=2).astype(np.uint8), (128, 128)) for p in gray])
    network = EfficientNetLite0.from_pretrained()
    kinds = {
        "pixels": gray.reshape(len(gray), -1) / 255,
        "features": features_of(network, pictures),
        "untrained features": features_of(untrained(pictures), pictures),
    }
    figures: dict = {"num_pictures": len(y), "num_patients": len(np.unique(patient))}
    for num_train in (20, 100, 500):
        row: dict = {name: [] for name in kinds}
        for train_rows, test_rows in GroupShuffleSplit(DRAWS, test_size=0.3, random_state=0).split(gray, y, patient):
            g = np.random.default_rng(len(row["pixels"]))
            half = num_train // 2
            rows = np.concatenate([g.permutation(train_rows[y[train_rows] == k])[:half] for k in (0, 1)])
            for name, vectors in kinds.items():
                model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
                model.fit(vectors[rows], y[rows])
                score = model.decision_function(vectors[test_rows])
                row[name].append(float(roc_auc_score(y[test_rows], score)))
        figures[str(num_train)] = row
        print(num_train, {k: np.round(mean_and_interval(v), 3).tolist() for k, v in row.items()}, flush=True)
    return figures


TABLES: dict[str, Callable] = {
    "crops": make_crops,
    "depth": make_depth,
    "rates": make_rates,
    "batches": make_batches,
    "scenes": make_scenes,
    "augmentation": make_augmentation,
    "cutouts": make_cutouts,
    "backgrounds": make_backgrounds,
    "cues": make_cues,
    "finetune": make_finetune,
}


def main(arguments: list[str]) -> None:
    """Make and save the tables of these names; the others stay."""
    try:
        figures = datasets.results("vision")
    except FileNotFoundError:
        figures = {}
    tables = dict(TABLES)
    names = list(arguments) or list(TABLES)
    if names[0] == "xrays":
        tables["xrays"] = lambda: make_xrays(arguments[1])
        names = ["xrays"]
    for name in names:
        start = time.process_time()
        figures[name] = {**tables[name](), "seconds": round(time.process_time() - start)}
        figures["made_with"] = f"{torch.get_num_threads()} CPU thread(s), PyTorch {torch.__version__.split('+')[0]}"
        figures["date"] = time.strftime("%Y-%m-%d")
        figures["seconds"] = sum(figures[table]["seconds"] for table in [*TABLES, "xrays"] if table in figures)
        datasets.save_results("vision", figures)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1:])
