"""Long runs of lesson cnn.

- `challenge`: what simple ways reach in the open challenge, on the learner's own draw;
- `wandering`: digits of MNIST at random places, four models, each with its best learning rate of three, two numbers of
  training digits, two budgets of steps;
- `shift`: the same models, trained on digits in the middle only and tested on moved ones, and two remedies;
- `frozen`: how much is lost when convolutions keep their random start;
- `hard`: the course's hard digits, test accuracy after 3, 8 and 16 epochs;
- `photo`: a network trained on ImageNet, and a photograph that moves by single pixels.

`make results cnn`: about ten minutes of one processor. `python make_results.py photo` (or other names) makes only these
tables. It needs MNIST's test part (fetched once, 1.6 MB) and, for the photographs, the extra `pretrained`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F
from torch.nn.functional import cross_entropy

from mmcourse import datasets, runtime
from mmcourse.authoring.tables import make_tables
from mmcourse.exercise import Challenge, find_challenge

EPOCHS = 20
SEEDS = 3


# ---------------------------------------------------------------- the open challenge
def challenge() -> Challenge:
    """The lesson's challenge."""
    found = find_challenge("cnn.challenge")
    assert found is not None
    return found


def score(predictions: np.ndarray) -> float:
    """Of predictions for the learner's own draw."""
    it = challenge()
    return it.scored(it.checked(predictions), it.public())


def guessing() -> float:
    """The most frequent training label for every picture."""
    inputs = challenge().public().inputs
    return score(np.full(len(inputs["test"]), np.bincount(inputs["train_labels"]).argmax()))


def linear() -> float:
    """Logistic regression on the pixels."""
    inputs = challenge().public().inputs
    train, test = (inputs[name].reshape(len(inputs[name]), -1) / 255 - 0.35 for name in ("train", "test"))
    model = LogisticRegression(C=0.01, max_iter=200).fit(train, inputs["train_labels"])
    return score(model.predict(test))


class Network(nn.Module):
    """Three convolutions, then the maximum over all places: 14,180 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()),
        )
        self.head = nn.Linear(32, 4)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Scores (n, 4) of pictures (n, 1, 24, 24)."""
        return self.head(self.body(pictures).amax((2, 3)))


def network(epochs: int, seed: int, turned: bool) -> list[float]:
    """The network's score after each epoch; `turned`: each batch turned by a random multiple of 90°, labels with it."""
    inputs = challenge().public().inputs
    train, test = (torch.from_numpy(inputs[name]).float()[:, None] / 255 - 0.35 for name in ("train", "test"))
    labels = torch.from_numpy(inputs["train_labels"])
    torch.manual_seed(seed)
    model = Network()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    scores = []
    for _ in range(epochs):
        for chosen in torch.randperm(len(train)).split(50):
            pictures, targets = train[chosen], labels[chosen]
            if turned:
                quarters = int(torch.randint(4, ()))
                pictures, targets = pictures.rot90(quarters, (2, 3)), (targets + quarters) % 4
            optimizer.zero_grad()
            cross_entropy(model(pictures), targets).backward()
            optimizer.step()
        with torch.no_grad():
            scores.append(score(model(test).argmax(1).numpy()))
    return scores


# ---------------------------------------------------------------- the lesson's networks
class SmallCnn(nn.Module):
    """As the lesson writes it: three convolutions; `keeps_positions`: flatten at the end, else the global maximum."""

    def __init__(self, keeps_positions: bool = False) -> None:
        super().__init__()
        self.keeps_positions = keeps_positions
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.conv3 = nn.Conv2d(16, 32, 3, padding=1)
        self.out = nn.Linear(32 * 7 * 7 if keeps_positions else 32, 10)

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, h, w) → (b, c, h/2, w/2)."""
        return F.max_pool2d(x, 2)

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """(b, 1, 28, 28) → (b, 32, 7, 7)."""
        x = self.pool(self.conv1(x).relu())
        x = self.pool(self.conv2(x).relu())
        return self.conv3(x).relu()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.maps(x)
        return self.out(maps.flatten(1) if self.keeps_positions else maps.amax((2, 3)))


class BlurCnn(SmallCnn):
    """Zhang's remedy: the maximum at every position, then a blur, and only then every second position."""

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, h, w) → (b, c, h/2, w/2)."""
        x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), mode="replicate"), 2, stride=1)  # (b, c, h, w)
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        kernel = (row[:, None] * row).expand(x.shape[1], 1, 3, 3)
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv2d(padded, kernel, stride=2, groups=x.shape[1])


def dense_logits(model: SmallCnn, x: torch.Tensor) -> torch.Tensor:
    """The same weights without any stride: pooling moves by one pixel, later layers are dilated instead."""
    h = F.max_pool2d(model.conv1(x).relu(), 2, stride=1)  # (b, 8, 27, 27)
    h = F.conv2d(h, model.conv2.weight, model.conv2.bias, padding=2, dilation=2).relu()
    h = F.max_pool2d(h, 2, stride=1, dilation=2)  # (b, 16, 25, 25)
    h = F.conv2d(h, model.conv3.weight, model.conv3.bias, padding=4, dilation=4).relu()  # (b, 32, 25, 25)
    return model.out(h.amax((2, 3)))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)),
    "MLP": lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)),
    "CNN, positions kept": lambda: SmallCnn(keeps_positions=True),
    "CNN, positions forgotten": SmallCnn,
}
RATES = (1e-3, 3e-3, 1e-2)
TUNING_SEEDS = (100, 101, 102)
BUDGETS = (300, 900)  # steps of 64 digits
Digits = tuple[torch.Tensor, torch.Tensor]  # small pictures (n, 14, 14) from 0 to 1, labels (n,)


# ---------------------------------------------------------------- MNIST, halved, at places of our choice
@cache
def mnist() -> dict[str, Digits]:
    """MNIST's test part, halved by means of 2 × 2 pixels: train 3,000, validation 1,000, test 1,000."""
    from mmcourse.datasets.avdigits.images import read_images, split_images

    pictures, labels = read_images("real")  # uint8 (10000, 28, 28)
    small = pictures.reshape(-1, 14, 2, 14, 2).mean((2, 4)).astype(np.float32) / 255
    rows, valid, test = split_images("real", len(pictures))
    chosen = {"train": rows[:3000], "validation": valid, "test": test}
    return {name: (torch.from_numpy(small[i]), torch.from_numpy(labels[i])) for name, i in chosen.items()}


def place(small: torch.Tensor, down: torch.Tensor | int, right: torch.Tensor | int) -> torch.Tensor:
    """(n, 14, 14) → (n, 1, 28, 28), each this far from the top and from the left."""
    n = len(small)
    rows = torch.as_tensor(down).expand(n)[:, None] + torch.arange(14)  # (n, 14)
    columns = torch.as_tensor(right).expand(n)[:, None] + torch.arange(14)
    pictures = torch.zeros(n, 28, 28)
    pictures[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]] = small
    return pictures[:, None]


def places(n: int, wander: bool, generator: torch.Generator) -> tuple:
    """Where n digits go: anywhere, or all into the middle."""
    if not wander:
        return 7, 7
    return tuple(torch.randint(0, 15, (2, n), generator=generator))


def train(
    make: Callable[[], nn.Module], digits: Digits, wander: bool, rate: float, steps: int, seed: int, frozen: str = ""
) -> nn.Module:
    """A trained model; every batch is drawn anew, every digit placed anew. `frozen`: parameters that keep their start.

    Adam; the learning rate falls from `rate` to 0 along a cosine, so that a longer training is another run.
    """
    torch.manual_seed(seed)
    model = make().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on a processor
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not (frozen and name.startswith(frozen)))
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    small, labels = digits
    for _ in range(steps):
        chosen = torch.randint(0, len(small), (64,), generator=generator)
        x = place(small[chosen], *places(64, wander, generator))
        loss = cross_entropy(model(x), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def accuracy(logits_of: Callable, pictures: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of right answers."""
    return round(float((logits_of(pictures).argmax(1) == labels).float().mean()), 4)


def wandering_test(digits: Digits) -> tuple[torch.Tensor, torch.Tensor]:
    """Each test digit at one random place, always the same."""
    small, labels = digits
    return place(small, *places(len(small), True, torch.Generator().manual_seed(99))), labels


@cache
def best_rate(name: str, n: int, wander: bool) -> float:
    """The learning rate of RATES with the best mean accuracy on validation digits, after the smaller budget, three seeds.

    One seed is not enough: at 0.01 some runs of the network that keeps positions never begin to learn.
    """
    small, labels = mnist()["validation"]
    few = (mnist()["train"][0][:n], mnist()["train"][1][:n])
    pictures = wandering_test((small, labels))[0] if wander else place(small, 7, 7)
    scores = {}
    for rate in RATES:
        models = [train(MODELS[name], few, wander, rate, BUDGETS[0], seed) for seed in TUNING_SEEDS]
        scores[rate] = np.mean([accuracy(model, pictures, labels) for model in models])
    return max(scores, key=scores.__getitem__)


@cache
def wandering_row(name: str, n: int, frozen: str = "", rate: float | None = None) -> dict:
    """{budget: [accuracy by seed]} of a model trained on n wandering digits; `frozen`: as in `train`; `rate`: not tuned."""
    test, labels = wandering_test(mnist()["test"])
    few = (mnist()["train"][0][:n], mnist()["train"][1][:n])
    rate = rate or best_rate(name, n, True)
    row: dict = {"rate": rate}
    for steps in BUDGETS:
        models = [train(MODELS[name], few, True, rate, steps, seed, frozen) for seed in range(SEEDS)]
        row[f"{steps} steps"] = [accuracy(model, test, labels) for model in models]
    print(name, n, frozen, row, flush=True)
    return row


def make_wandering() -> dict:
    """Trained on wandering digits, 300 or 3,000: accuracy on other wandering digits, by model, budget and seed."""
    labels = mnist()["test"][1]
    counts = torch.bincount(labels)
    figures: dict = {"num_test": len(labels), "majority": round(float(counts.max() / counts.sum()), 4)}
    figures["parameters"] = {name: sum(p.numel() for p in make().parameters()) for name, make in MODELS.items()}
    for n in (300, 3000):
        for name in MODELS:
            figures[f"{name}, {n} digits"] = wandering_row(name, n)
    # the rate that the first of the tuning seeds alone would choose
    figures["rate of one seed"] = wandering_row("CNN, positions kept", 3000, rate=1e-2)
    return figures


def moved(logits_of: Callable, digits: Digits) -> list[float]:
    """Accuracy on digits moved by 0 to 7 pixels from the middle, mean over four directions."""
    small, labels = digits
    found = []
    for d in range(8):
        four = [(d, 0), (-d, 0), (0, d), (0, -d)]
        found.append(np.mean([accuracy(logits_of, place(small, 7 + i, 7 + j), labels) for i, j in four]))
    return [round(float(a), 4) for a in found]


def make_shift() -> dict:
    """Trained on 3,000 digits in the middle, the larger budget: accuracy by distance from it, by model and seed."""
    sets = mnist()
    test = (sets["test"][0][:500], sets["test"][1][:500])  # each of them is shown 32 times
    figures: dict = {"num_test": len(test[1])}
    makes = MODELS | {"CNN, blurred pooling": BlurCnn}
    for name, make in makes.items():
        tuned = name if name in MODELS else "CNN, positions forgotten"
        rate = best_rate(tuned, len(sets["train"][1]), False)
        figures[name] = []
        for seed in range(SEEDS):
            model = train(make, sets["train"], False, rate, max(BUDGETS), seed)
            figures[name].append(moved(model, test))
            if name == "CNN, positions forgotten":
                dense = moved(lambda x, model=model: dense_logits(model, x), test)
                figures.setdefault("the same weights, no stride", []).append(dense)
        print(name, rate, np.mean(figures[name], axis=0).round(3), flush=True)
    return figures


def make_frozen() -> dict:
    """3,000 wandering digits: all layers trained, or convolutions left as they were at the random start."""
    kept = {"all trained": "", "first convolution random": "conv1", "all convolutions random": "conv"}
    figures: dict = {"num_test": len(mnist()["test"][1])}
    for name, frozen in kept.items():
        figures[name] = wandering_row("CNN, positions forgotten", 3000, frozen)
    return figures


# ---------------------------------------------------------------- the course's hard digits
HARD_EPOCHS = (3, 8, 16)


def hard_digits(make: Callable[[], nn.Module], epochs: int, seed: int) -> np.ndarray:
    """Which hard test digits are read right, bool (n,). Adam, 3e-3 falling to 0 along a cosine, batches of 64."""
    sets = {split: datasets.load("avdigits", split) for split in ("train", "test")}
    x, x_test = (torch.tensor(ds.column("image")[:] / np.float32(255)).permute(0, 3, 1, 2) for ds in sets.values())
    y, y_test = (torch.tensor(ds.labels) for ds in sets.values())
    torch.manual_seed(seed)
    model = make().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-len(x) // 64))
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            cross_entropy(model(x[chosen]), y[chosen]).backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        return (model.eval()(x_test).argmax(1) == y_test).numpy()


def make_hard() -> dict:
    """{model: {epochs: [seed]}}, and two ways without a network: logistic regression, and the way that knows the recipe.

    `alone`: of the longest training, by seed, how many test digits only the network reads, and how many only the rival.
    """
    from sklearn.decomposition import PCA
    from sklearn.neighbors import KNeighborsClassifier

    sets = {split: datasets.load("avdigits", split) for split in ("train", "test")}
    x, x_test = (ds.column("image")[:].reshape(len(ds), -1) / np.float32(255) for ds in sets.values())
    y, y_test = (ds.labels for ds in sets.values())
    figures: dict = {"num_train": len(y), "num_test": len(y_test)}
    figures["logistic regression"] = LogisticRegression(C=0.01, max_iter=300).fit(x, y).score(x_test, y_test)
    three = PCA(3, random_state=0).fit(x)
    near = KNeighborsClassifier(40).fit(three.transform(x), y)
    rival = near.predict(three.transform(x_test)) == y_test  # (n,)
    figures["3 components, 40 neighbors"] = float(rival.mean())
    for name in ("MLP", "CNN, positions kept", "CNN, positions forgotten"):
        figures[name] = {}
        for epochs in HARD_EPOCHS:
            right = [hard_digits(MODELS[name], epochs, seed) for seed in range(SEEDS)]
            figures[name][f"{epochs} epochs"] = [round(float(r.mean()), 4) for r in right]
        figures[name]["alone"] = [[int((r & ~rival).sum()), int((rival & ~r).sum())] for r in right]
        print(name, figures[name], flush=True)
    return figures


# ---------------------------------------------------------------- a photograph that moves by single pixels
SIDE, GROUND = 160, 224  # a photograph, and the gray ground on which it moves: 64 pixels of room


def make_photo() -> dict:
    """Probability of the name that the photograph gets in the middle, at 65 places in a row and 65 in a column."""
    from importlib.resources import files

    from matplotlib.cbook import get_sample_data

    from mmcourse.preprocess.image import read, resize
    from mmcourse.torch.efficientnet import EfficientNetLite0, prepare_picture

    model = EfficientNetLite0.from_pretrained()
    folder = files("sklearn.datasets.images")
    photographs = {
        "china": read(folder / "china.jpg"),
        "flower": read(folder / "flower.jpg"),
        "hopper": read(get_sample_data("grace_hopper.jpg")),
    }
    figures: dict[str, dict] = {}
    for name, photograph in photographs.items():
        side = min(photograph.shape[:2])
        top, left = ((n - side) // 2 for n in photograph.shape[:2])
        picture = resize(photograph[top : top + side, left : left + side], (SIDE, SIDE))
        figures[name] = {}
        for way in ("right", "down"):
            rows = []
            for d in range(GROUND - SIDE + 1):
                i, j = (32, d) if way == "right" else (d, 32)
                canvas = np.full((GROUND, GROUND, 3), 127, np.uint8)
                canvas[i : i + SIDE, j : j + SIDE] = picture
                with torch.no_grad():
                    rows.append(model(prepare_picture(canvas)).softmax(1)[0].numpy())
            p = np.stack(rows)  # (65, 1000)
            middle = int(p[(GROUND - SIDE) // 2].argmax())
            other_names = int((p.argmax(1) != middle).sum())
            figures[name][way] = {"probability": [round(float(x), 4) for x in p[:, middle]], "other_names": other_names}
        print(name, figures[name], flush=True)
    return figures


def baselines() -> dict:
    """The challenge's simple ways."""
    figures = {"guessing": guessing(), "linear": linear()}
    for name, turned in (("network", False), ("turned", True)):
        before = time.process_time()
        figures[name] = [network(EPOCHS, seed, turned) for seed in (0, 1)]
        figures[f"{name}_seconds"] = round((time.process_time() - before) / 2)
    return figures


PARTS: dict[str, Callable[[], dict]] = {
    "challenge": baselines,
    "wandering": make_wandering,
    "shift": make_shift,
    "frozen": make_frozen,
    "hard": make_hard,
    "photo": make_photo,
}


if __name__ == "__main__":
    runtime.setup(threads=1)
    make_tables("cnn", PARTS, sys.argv[1:], packages=("numpy", "scikit-learn", "torch"))
