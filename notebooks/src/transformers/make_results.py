"""Lesson transformers' long runs: a ViT and a CNN at equal budget, blocks taken apart, and where the norm stands.

`make results transformers`: about 20 minutes of one processor. The part `mnist` needs the test part of MNIST (fetched
once, 1.6 MB). `python make_results.py race norms` (or other names of `PARTS`) makes these parts and keeps the others.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from mmcourse import datasets
from mmcourse.authoring.tables import make_tables
from mmcourse.datasets import load

SEEDS = 5
SHORT, LONG = 120, 360  # steps of 64 pictures
RATES = (1e-3, 3e-3, 1e-2)
Data = tuple[torch.Tensor, torch.Tensor]


# ---------------------------------------------------------------- networks
class Block(nn.Module):
    """A block with switches: x (b, n, d) → the same."""

    def __init__(self, dim: int, num_heads: int, pre_norm: bool = True, without: str = "") -> None:
        super().__init__()
        self.num_heads, self.pre_norm, self.without = num_heads, pre_norm, without
        self.norm1, self.norm2 = (nn.Identity() if without == "norm" else nn.LayerNorm(dim) for _ in range(2))
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def attention(self, x: torch.Tensor) -> torch.Tensor:
        b, n, d = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)  # each (b, heads, n, d_head)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d))

    def mlp(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.gelu(self.up(x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for f, norm, name in ((self.attention, self.norm1, "attention"), (self.mlp, self.norm2, "MLP")):
            if self.without == name:
                continue
            if self.without == "residual":
                x = f(norm(x))
            else:
                x = x + f(norm(x)) if self.pre_norm else norm(x + f(x))
        return x


def stem(kind: str, channels: int, dim: int, patch_size: int) -> nn.Module:
    """Pictures (b, c, h, w) → (b, dim, h / patch_size, w / patch_size)."""
    if kind == "patches":
        return nn.Conv2d(channels, dim, patch_size, patch_size)
    # two steps of stride 2: windows of 3 overlap, windows of 2 do not
    size, padding = (3, 1) if kind == "overlapping" else (2, 0)
    return nn.Sequential(
        nn.Conv2d(channels, 16, size, 2, padding), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, dim, size, 2, padding)
    )


class ViT(nn.Module):
    """Pictures (b, c, side, side) → logits; the class token is read."""

    def __init__(
        self,
        side: int,
        patch_size: int,
        channels: int,
        num_classes: int,
        num_layers: int = 2,
        dim: int = 32,
        num_heads: int = 4,
        kind: str = "patches",
        pre_norm: bool = True,
        without: str = "",
    ) -> None:
        super().__init__()
        self.without = without
        self.patch = stem(kind, channels, dim, patch_size)
        self.cls = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + (side // patch_size) ** 2, dim))
        self.blocks = nn.ModuleList(Block(dim, num_heads, pre_norm, without) for _ in range(num_layers))
        self.norm = nn.LayerNorm(dim) if pre_norm and without != "norm" else nn.Identity()
        self.head = nn.Linear(dim, num_classes)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        x = self.patch(pictures).flatten(2).transpose(1, 2)  # (b, n, dim)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1)
        if self.without != "position":
            x = x + self.positions
        for block in self.blocks:
            x = block(x)
        # without attention the class token never sees the picture: there, the mean of all tokens is read
        return self.head(self.norm(x).mean(dim=1) if self.without == "attention" else self.norm(x)[:, 0])


def cnn(channels: int, num_classes: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Convolution, batch normalization, ReLU and pooling, once per width; global average pooling; a linear layer."""
    layers: list[nn.Module] = []
    for before, after in zip((channels, *widths), widths, strict=False):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], num_classes))


def num_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def fit(
    make: Callable[[], nn.Module],
    train: Data,
    rate: float,
    steps: int,
    seed: int,
    warm_up: float = 0.1,
    batch: int = 64,
) -> tuple[nn.Module, float]:
    """A trained model, and the CPU seconds that it took. AdamW, linear warm-up, then a cosine to 0."""
    torch.manual_seed(seed)
    model = make()
    x, y = train
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.05)
    first = max(1, round(warm_up * steps))

    def factor(step: int) -> float:
        if step < first:
            return (step + 1) / first
        return 0.5 * (1 + np.cos(np.pi * (step - first) / (steps - first)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    start = time.process_time()
    for _ in range(steps):
        chosen = torch.randint(len(x), (batch,))
        loss = F.cross_entropy(model(x[chosen]), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval(), time.process_time() - start


@torch.no_grad()
def accuracy(model: nn.Module, data: Data) -> float:
    found = torch.cat([model(part).argmax(dim=1) for part in data[0].split(500)])
    return round((found == data[1]).float().mean().item(), 4)


def best_rate(make: Callable[[], nn.Module], train: Data, validation: Data, steps: int) -> tuple[float, list[float]]:
    """The rate with the best validation accuracy, one seed that is used for nothing else; and all three accuracies."""
    reached = [accuracy(fit(make, train, rate, steps, seed=100)[0], validation) for rate in RATES]
    return RATES[int(np.argmax(reached))], reached


# ---------------------------------------------------------------- data
def scenes(split: str, n: int | None = None) -> Data:
    """Pictures (n, 3, 32, 32) from −1 to 1, and the number of things minus 1."""
    ds = load("scenes", split, n=n)
    pictures = np.stack(ds.column("image")[:])  # (n, 64, 64, 3)
    small = pictures.reshape(len(ds), 32, 2, 32, 2, 3).mean(axis=(2, 4))
    x = torch.from_numpy((small / 127.5 - 1).astype(np.float32)).permute(0, 3, 1, 2).contiguous()
    return x, torch.from_numpy(np.asarray(ds.labels)).long()


def digits() -> tuple[Data, Data]:
    """Scikit-learn's handwritten digits in the file's order: 1,200 to train on, 597 to test on; (n, 1, 8, 8)."""
    stored = load_digits()
    x = torch.tensor(stored.images, dtype=torch.float32)[:, None] / 8 - 1
    y = torch.tensor(stored.target)
    return (x[:1200], y[:1200]), (x[1200:], y[1200:])


def mnist() -> dict[str, Data]:
    """The test part of MNIST: 5,000 to train on, 1,000 to choose the rate, 4,000 to test on; (n, 1, 28, 28)."""
    from mmcourse.datasets.avdigits.images import read_images

    pixels, labels = read_images("real")  # uint8 (10000, 28, 28)
    x = torch.from_numpy(pixels[:, None].astype(np.float32) / 127.5 - 1)
    y = torch.from_numpy(labels)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(y)))  # the second half was written more neatly
    x, y = x[order], y[order]
    cuts = {"train": slice(0, 5000), "validation": slice(5000, 6000), "test": slice(6000, 10_000)}
    return {name: (x[cut], y[cut]) for name, cut in cuts.items()}


# ---------------------------------------------------------------- parts
RACERS: dict[str, Callable[[], nn.Module]] = {
    "ViT": lambda: ViT(32, 4, 3, 4),
    "CNN": lambda: cnn(3, 4, (16, 32, 80)),
    "ViT, overlapping stem": lambda: ViT(32, 4, 3, 4, kind="overlapping"),
    "ViT, stem without overlap": lambda: ViT(32, 4, 3, 4, kind="apart"),
}


def make_race() -> dict:
    """How many things? {model: {steps: accuracies by seed}}, rates chosen on validation, seconds, baselines."""
    train, validation, test = scenes("train"), scenes("validation"), scenes("test")
    counts = torch.bincount(train[1])
    figures: dict = {"num_train": len(train[1]), "num_test": len(test[1])}
    figures["majority"] = accuracy_of_class(int(counts.argmax()), test)
    linear = LogisticRegression(C=1e-3, max_iter=100)
    linear.fit(train[0].flatten(1).numpy(), train[1].numpy())
    figures["logistic regression"] = float(linear.score(test[0].flatten(1).numpy(), test[1].numpy()))
    print(figures, flush=True)
    for name, make in RACERS.items():
        row: dict = {"parameters": num_parameters(make())}
        for steps in (SHORT, LONG) if name in ("ViT", "CNN") else (LONG,):
            rate, tried = figures["ViT"][str(LONG)]["rate"] if "stem" in name else 0.0, []
            if not rate:  # the stems take the rate that was chosen for the plain ViT
                rate, tried = best_rate(make, train, validation, steps)
            runs = [fit(make, train, rate, steps, seed) for seed in range(SEEDS)]
            row[str(steps)] = {
                "rate": rate,
                "validation": tried,
                "test": [accuracy(model, test) for model, _ in runs],
                "train": [accuracy(model, (train[0][:1000], train[1][:1000])) for model, _ in runs],
                "seconds": round(float(np.mean([seconds for _, seconds in runs])), 1),
            }
            print(name, steps, row[str(steps)], flush=True)
        figures[name] = row
    return figures


def accuracy_of_class(label: int, data: Data) -> float:
    return round((data[1] == label).float().mean().item(), 4)


SIZES = (1000, 24_000)  # 6,000 is in the race


def make_data() -> dict:
    """The longer budget with fewer and with more scenes, rates as in the race: {model: {pictures: {test, train}}}."""
    race, test = datasets.results("transformers")["race"], scenes("test")
    figures: dict = {"steps": LONG}
    most = scenes("train", n=max(SIZES))
    for name in ("ViT", "CNN"):
        figures[name] = {}
        for size in SIZES:
            train = (most[0][:size], most[1][:size])
            models = [fit(RACERS[name], train, race[name][str(LONG)]["rate"], LONG, seed)[0] for seed in range(SEEDS)]
            figures[name][str(size)] = {
                "test": [accuracy(model, test) for model in models],
                "train": [accuracy(model, (train[0][:1000], train[1][:1000])) for model in models],
            }
            print(name, size, figures[name][str(size)], flush=True)
    return figures


VARIANTS = ("nothing", "position", "residual", "norm", "MLP", "attention")
APART_LAYERS, APART_STEPS, APART_RATES = 4, 150, (1e-3, 3e-3)


def make_apart() -> dict:
    """Handwritten digits, four blocks, one thing taken away: {without: {rate: accuracies by seed}}."""
    train, test = digits()
    figures: dict = {"num_test": len(test[1]), "num_layers": APART_LAYERS, "steps": APART_STEPS}
    for without in VARIANTS:

        def make(without: str = without) -> nn.Module:
            return ViT(8, 2, 1, 10, num_layers=APART_LAYERS, without=without)

        figures[without] = {
            str(rate): [accuracy(fit(make, train, rate, APART_STEPS, seed)[0], test) for seed in range(SEEDS)]
            for rate in APART_RATES
        }
        figures[without]["parameters"] = num_parameters(make())
        print(without, figures[without], flush=True)
    linear = LogisticRegression(C=1.0, max_iter=1000).fit(train[0].flatten(1).numpy(), train[1].numpy())
    figures["logistic regression"] = float(linear.score(test[0].flatten(1).numpy(), test[1].numpy()))
    return figures


def make_apart_long() -> dict:
    """The same at three times the steps and the higher rate: {without: accuracies by seed}."""
    train, test = digits()
    figures: dict = {"steps": 3 * APART_STEPS}
    for without in VARIANTS:

        def make(without: str = without) -> nn.Module:
            return ViT(8, 2, 1, 10, num_layers=APART_LAYERS, without=without)

        runs = [fit(make, train, APART_RATES[1], 3 * APART_STEPS, seed)[0] for seed in range(SEEDS)]
        figures[without] = [accuracy(model, test) for model in runs]
        print(without, figures[without], flush=True)
    return figures


NORM_LAYERS, NORM_STEPS, NORM_RATES, WARM_UP = 8, 120, (1e-3, 4e-3), 0.3


def make_norms() -> dict:
    """Handwritten digits, eight blocks: {pre-norm or post-norm: {with or without warm-up: {rate: accuracies by seed}}}."""
    train, test = digits()
    figures: dict = {"num_layers": NORM_LAYERS, "steps": NORM_STEPS, "warm_up": WARM_UP}
    for name, pre_norm in (("pre-norm", True), ("post-norm", False)):
        figures[name] = {}

        def make(pre_norm: bool = pre_norm) -> nn.Module:
            return ViT(8, 2, 1, 10, num_layers=NORM_LAYERS, pre_norm=pre_norm)

        for label, warm_up in (("with warm-up", WARM_UP), ("without", 0.0)):
            figures[name][label] = {
                str(rate): [
                    accuracy(fit(make, train, rate, NORM_STEPS, seed, warm_up, batch=32)[0], test)
                    for seed in range(SEEDS)
                ]
                for rate in NORM_RATES
            }
            print(name, label, figures[name][label], flush=True)
    return figures


LABELS = (100, 1000, 5000)


def make_mnist() -> dict:
    """MNIST's test part by number of labels: {model: {labels: accuracies by seed}}; each seed draws its own labels."""
    sets = mnist()
    x, y = sets["train"]
    models: dict[str, Callable[[], nn.Module]] = {
        "ViT": lambda: ViT(28, 4, 1, 10),
        "CNN": lambda: cnn(1, 10, (16, 32, 80)),
    }
    figures: dict = {"num_test": len(sets["test"][1]), "steps": SHORT, "logistic regression": {}}
    for labels in LABELS:
        reached = []
        for seed in range(SEEDS):
            rows = np.random.default_rng(seed).permutation(len(y))[:labels]
            linear = LogisticRegression(C=0.01, max_iter=200).fit(x[rows].flatten(1).numpy(), y[rows].numpy())
            reached.append(float(linear.score(sets["test"][0].flatten(1).numpy(), sets["test"][1].numpy())))
            if labels == len(y):
                reached = reached * SEEDS  # the same labels for every seed, and no chance in the fit
                break
        figures["logistic regression"][str(labels)] = np.round(reached, 4).tolist()
    print(figures, flush=True)
    for name, make in models.items():
        figures[name] = {"parameters": num_parameters(make())}
        few = (x[:1000], y[:1000])
        rate, tried = best_rate(make, few, sets["validation"], SHORT)
        figures[name]["rate"], figures[name]["validation"] = rate, tried
        for labels in LABELS:
            reached = []
            for seed in range(SEEDS):
                rows = np.random.default_rng(seed).permutation(len(y))[:labels]
                reached.append(accuracy(fit(make, (x[rows], y[rows]), rate, SHORT, seed)[0], sets["test"]))
            figures[name][str(labels)] = reached
            print(name, labels, reached, flush=True)
    return figures


def make_mnist_long() -> dict:
    """Three times the steps, rates as before: {model: {labels: accuracies by seed}}."""
    sets, short = mnist(), datasets.results("transformers")["mnist"]
    x, y = sets["train"]
    figures: dict = {"steps": LONG}
    models = {"CNN": lambda: cnn(1, 10, (16, 32, 80)), "ViT": lambda: ViT(28, 4, 1, 10)}
    for name, make in models.items():
        figures[name] = {}
        for labels in LABELS:
            reached = []
            for seed in range(SEEDS):
                rows = np.random.default_rng(seed).permutation(len(y))[:labels]
                model, _ = fit(make, (x[rows], y[rows]), short[name]["rate"], LONG, seed)
                reached.append(accuracy(model, sets["test"]))
            figures[name][str(labels)] = reached
            print(name, labels, reached, flush=True)
    return figures


PARTS: dict[str, Callable[[], dict]] = {
    "race": make_race,
    "apart": make_apart,
    "norms": make_norms,
    "apart_long": make_apart_long,
    "mnist": make_mnist,
    "data": make_data,
    "mnist_long": make_mnist_long,
}


if __name__ == "__main__":
    torch.set_num_threads(1)
    make_tables("transformers", PARTS, sys.argv[1:], packages=("numpy", "scikit-learn", "torch"))
