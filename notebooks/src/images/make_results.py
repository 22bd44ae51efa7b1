"""Lesson images' long runs: gray, augmentation, and two ways of shrinking, each at two budgets and with baselines.

`make results images`: about five minutes of one processor. It needs MNIST's test part (fetched once, 1.6 MB) and, for the
photographs, the extra `pretrained`.
`python make_results.py shape` (or another name of `TABLES`) makes one table and keeps the others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from mmcourse.authoring.tables import make_tables
from mmcourse.datasets import load
from mmcourse.evaluate import mean_and_interval
from mmcourse.preprocess.image import grayscale, resize, to_float

SEEDS = 5
BUDGETS = (8, 24)  # epochs
Data = tuple[np.ndarray, np.ndarray]  # pictures (n, h, w, c) uint8, labels (n,)


# ---------------------------------------------------------------- models
def make_cnn(side: int, channels: int, classes: int) -> nn.Sequential:
    """Two convolutions with stride 2; pictures (b, channels, side, side) → logits (b, classes)."""
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * (side // 4) ** 2, classes),
    )


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """uint8 (n, h, w, c) → float32 (n, c, h, w) in 0..1."""
    return torch.from_numpy(np.moveaxis(to_float(pictures), -1, 1).copy())


def train(data: Data, seed: int, epochs: int) -> nn.Sequential:
    """A CNN trained with Adam on the cross-entropy."""
    x, y = to_tensor(data[0]), torch.from_numpy(data[1]).long()
    torch.manual_seed(seed)
    model = make_cnn(x.shape[-1], x.shape[1], int(y.max()) + 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(epochs):
        for i in torch.randperm(len(x)).split(64):
            loss = nn.functional.cross_entropy(model(x[i]), y[i])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


@torch.no_grad()
def is_right(model: nn.Module, data: Data) -> np.ndarray:
    """Whether each answer is right, bool (n,)."""
    x, y = to_tensor(data[0]), torch.from_numpy(data[1])
    return (model(x).argmax(1) == y).numpy()


def accuracy_of(model: nn.Module, data: Data) -> float:
    """Share of right answers."""
    return float(is_right(model, data).mean())


def difference(first: np.ndarray, second: np.ndarray) -> list[float]:
    """Mean of second − first and half the width of its 95 % interval, over seeds *and* test samples.

    Parameters
    ----------
    first, second : bool (seeds, n)
        Whether each answer is right; the same seeds and the same test samples on both sides.

    The two sources of chance are added as variances: Student's t over the seeds' means, the normal distribution over the
    samples' means. Each of them already holds a part of the other, so the interval is rather too wide than too narrow.
    """
    change = second.astype(float) - first  # (seeds, n)
    mean, over_seeds = mean_and_interval(change.mean(axis=1))
    over_samples = 1.96 * change.mean(axis=0).std(ddof=1) / np.sqrt(change.shape[1])
    return [float(mean), float(np.hypot(over_seeds, over_samples))]


def logistic(train_data: Data, test_data: Data) -> float:
    """Accuracy of a logistic regression on the pixels."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.01))
    model.fit(train_data[0].reshape(len(train_data[0]), -1) / 255, train_data[1])
    return float(model.score(test_data[0].reshape(len(test_data[0]), -1) / 255, test_data[1]))


def majority(train_data: Data, test_data: Data) -> float:
    """Accuracy of always giving the commonest training label."""
    model = DummyClassifier().fit(train_data[0], train_data[1])
    return float(model.score(test_data[0], test_data[1]))


# ---------------------------------------------------------------- data
def cut_objects(split: str, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every object of n scenes: pictures (k, 24, 24, 3), colors (k,), shapes (k,)."""
    ds = load("scenes", split, n=n)
    whole = ds.column("image")[:]  # (n, 64, 64, 3)
    there = ds.meta["shape"] >= 0  # (n, 4); -1: no such object
    cut = []
    for i, k in np.argwhere(there):
        left, top, right, bottom = ds.meta["boxes"][i, k].astype(int)
        piece = whole[i, max(top - 2, 0) : bottom + 3, max(left - 2, 0) : right + 3]
        cut.append(resize(piece, (24, 24)))
    return np.stack(cut), ds.meta["colour"][there], ds.meta["shape"][there]


def even_contrast(pictures: np.ndarray) -> np.ndarray:
    """How far each gray pixel is from its picture's border, as a share of the farthest: (n, h, w, c) → (n, h, w, 1).

    What is left is where the object is. How bright it is, is gone.
    """
    gray = grayscale(pictures).astype(float)  # (n, h, w)
    border = np.median(gray[:, 0], axis=1)[:, None, None]
    distance = np.abs(gray - border)
    farthest = distance.max(axis=(1, 2), keepdims=True)
    return np.round(255 * distance / np.maximum(farthest, 1)).astype(np.uint8)[..., None]


FAVORITE = np.array([0, 4, 1, 5, 2, 3])  # the color of each shape in the trap
LOOKS: dict[str, Callable] = {
    "color": lambda p: p,
    "gray": lambda p: grayscale(p)[..., None],
    "red channel": lambda p: p[..., :1],
    "green channel": lambda p: p[..., 1:2],
    "blue channel": lambda p: p[..., 2:],
    "gray, evened": even_contrast,
}
TASK_LOOKS = {
    "shape": ("color", "gray", "red channel", "green channel", "blue channel"),
    "trap": ("color", "gray", "gray, evened"),
}


def make_gray(task: str) -> dict:
    """One task, in color and in several kinds of one channel: majority, logistic regression, CNN at two budgets."""
    pictures, colors, shapes = cut_objects("train", 1500)
    test_pictures, _, test_shapes = cut_objects("test", 400)
    loyal = FAVORITE[shapes] == colors
    tasks = {
        "shape": ((pictures[:1000], shapes[:1000]), (test_pictures, test_shapes)),
        "trap": ((pictures[loyal], shapes[loyal]), (test_pictures, test_shapes)),
    }
    (x, y), (test_x, test_y) = tasks[task]
    figures: dict = {"num_train": len(y), "num_test": len(test_y), "majority": majority((x, y), (test_x, test_y))}
    hits: dict = {}
    for name in TASK_LOOKS[task]:
        look = LOOKS[name]
        data, test = (look(x), y), (look(test_x), test_y)
        figures[name] = {"logistic regression": logistic(data, test)}
        for epochs in BUDGETS:
            found = np.stack([is_right(train(data, seed, epochs), test) for seed in range(SEEDS)])  # (seeds, n)
            hits[name, epochs] = found
            figures[name][f"{epochs} epochs"] = found.mean(axis=1).tolist()
            figures[name][f"{epochs} epochs, less than color"] = difference(found, hits["color", epochs])
        print(task, name, {k: np.round(v, 3) for k, v in figures[name].items()}, flush=True)
    if task == "trap":
        figures["new hues"] = {}
        for epochs in BUDGETS:
            recolored = [(change(x, "new hue", seed), y) for seed in range(SEEDS)]
            found = np.stack([is_right(train(data, s, epochs), (test_x, test_y)) for s, data in enumerate(recolored)])
            figures["new hues"][f"{epochs} epochs"] = found.mean(axis=1).tolist()
            figures["new hues"][f"{epochs} epochs, less than color"] = difference(found, hits["color", epochs])
        print(task, "new hues", figures["new hues"], flush=True)
    return figures


def six_or_nine() -> tuple[Data, Data]:
    """Sixes and nines that people wrote (scikit-learn's digits), 24 × 24: train and test in the file's order."""
    digits = load_digits()
    keep = np.isin(digits.target, (6, 9))
    small = (digits.images[keep] * 255 / 16).astype(np.uint8)
    pictures = np.stack([resize(p, (24, 24)) for p in small])[..., None]
    labels = (digits.target[keep] == 9).astype(int)
    return (pictures[:240], labels[:240]), (pictures[240:], labels[240:])


def sides(split: str, n: int) -> Data:
    """Scenes with one object, 24 × 24; is its center in the right half?"""
    ds = load("scenes", split)
    one = np.flatnonzero((ds.meta["shape"] >= 0).sum(axis=1) == 1)[:n]
    boxes = ds.meta["boxes"][one, 0]
    images = ds.column("image")
    pictures = np.stack([resize(images[int(i)], (24, 24)) for i in one])
    return pictures, (boxes[:, 0] + boxes[:, 2] > 64).astype(int)


def hue(picture: np.ndarray, shift: int) -> np.ndarray:
    """Turn the color circle by shift/256 of its length."""
    from PIL import Image

    hsv = np.array(Image.fromarray(picture).convert("HSV"))
    hsv[..., 0] += np.uint8(shift)
    return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))


def change(pictures: np.ndarray, kind: str, seed: int) -> np.ndarray:
    """Each picture changed with probability 1/2 (a new hue: always)."""
    g = np.random.default_rng(seed)
    out = []
    for p in pictures:
        coin = g.random() < 0.5
        if kind == "mirror" and coin:
            p = p[:, ::-1]
        if kind == "half turn" and coin:
            p = p[::-1, ::-1]
        if kind == "new hue" and p.shape[-1] == 3:
            p = hue(p, int(g.integers(256)))
        out.append(p)
    return np.stack(out)


CHANGES = ("none", "mirror", "half turn", "new hue")


def make_changes() -> dict:
    """Accuracy on unchanged test pictures after training on changed ones: question, change, budget, seed."""
    pictures, colors, shapes = cut_objects("train", 400)
    test_pictures, test_colors, test_shapes = cut_objects("test", 400)
    questions = {
        "left or right?": (sides("train", 500), sides("test", 500)),
        "6 or 9?": six_or_nine(),
        "which color?": ((pictures[:500], colors[:500]), (test_pictures, test_colors)),
        "which shape?": ((pictures[:500], shapes[:500]), (test_pictures, test_shapes)),
    }
    figures: dict = {}
    for question, ((x, y), test) in questions.items():
        figures[question] = {
            "num_train": len(y), "num_test": len(test[1]),
            "majority": majority((x, y), test), "logistic regression": logistic((x, y), test),
        }  # fmt: skip
        for kind in CHANGES:
            found = {}
            for epochs in BUDGETS:
                found[f"{epochs} epochs"] = [
                    accuracy_of(train((change(x, kind, seed), y), seed, epochs), test) for seed in range(3)
                ]
            figures[question][kind] = found
            print(question, kind, {k: np.round(v, 3) for k, v in found.items()}, flush=True)
    (x, y), (test_x, test_y) = questions["6 or 9?"]
    turned = test_x[:, ::-1, ::-1].copy()
    figures["turned, called by the other name"] = [
        1 - accuracy_of(train((x, y), seed, BUDGETS[0]), (turned, test_y)) for seed in range(SEEDS)
    ]
    print("turned", figures["turned, called by the other name"])
    return figures


def make_mirrors() -> dict:
    """Few objects, as they are or with mirrored copies, at equal steps."""
    pictures, _, shapes = cut_objects("train", 1500)
    test_pictures, _, test_shapes = cut_objects("test", 400)
    test = test_pictures, test_shapes
    figures: dict = {"num_test": len(test_shapes)}
    for n in (60, 120):
        draws = [np.random.default_rng(seed).permutation(len(pictures))[:n] for seed in range(SEEDS)]
        linear = [logistic((pictures[few], shapes[few]), test) for few in draws]
        common = [majority((pictures[few], shapes[few]), test) for few in draws]
        for epochs in (30, 120):
            hits: dict = {"as they are": [], "with mirrored copies": []}
            for seed, few in enumerate(draws):
                x, y = pictures[few], np.tile(shapes[few], 2)
                twice = np.tile(x, (2, 1, 1, 1))
                mirrored = np.concatenate([x, x[:, :, ::-1]])
                for name, data in zip(hits, (twice, mirrored), strict=True):
                    hits[name].append(is_right(train((data, y), seed, epochs), test))
            plain, doubled = (np.stack(found) for found in hits.values())  # (seeds, n)
            figures[f"{n} objects, {epochs} epochs"] = {
                "majority": float(np.mean(common)),
                "logistic regression": float(np.mean(linear)),
                "as they are": plain.mean(axis=1).tolist(),
                "with mirrored copies": doubled.mean(axis=1).tolist(),
                "gain": difference(plain, doubled),
            }
            print(figures[f"{n} objects, {epochs} epochs"], flush=True)
    return figures


SHRINKS = {"smooth": ("bilinear", True), "plain": ("bilinear", False), "picked": ("nearest", True)}


def make_serving() -> dict:
    """MNIST's test part, shrunk from 28 to 8 pixels in one way for training and in another for use."""
    from mmcourse.datasets.avdigits.images import read_images, split_images

    pictures, labels = read_images("real")  # uint8 (10000, 28, 28)
    rows, _, test_rows = split_images("real", len(pictures))
    rows = rows[:3000]
    sets, tests = {}, {}
    for name, (method, antialias) in SHRINKS.items():
        small = np.stack([resize(p, (8, 8), method, antialias) for p in pictures[[*rows, *test_rows]]])[..., None]
        sets[name] = small[: len(rows)], labels[rows]
        tests[name] = small[len(rows) :], labels[test_rows]
    figures: dict = {"num_train": len(rows), "num_test": len(test_rows)}
    figures["majority"] = majority(sets["smooth"], tests["smooth"])
    for ours, data in sets.items():
        linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, C=0.01))
        linear.fit(data[0].reshape(len(rows), -1) / 255, data[1])
        for theirs, (x, y) in tests.items():
            figures[f"{ours} → {theirs}"] = {"logistic regression": linear.score(x.reshape(len(x), -1) / 255, y)}
        for epochs in BUDGETS:
            models = [train(data, seed, epochs) for seed in range(SEEDS)]
            hits = {name: np.stack([is_right(model, test) for model in models]) for name, test in tests.items()}
            for theirs, found in hits.items():
                row = figures[f"{ours} → {theirs}"]
                row[f"{epochs} epochs"] = found.mean(axis=1).tolist()
                row[f"{epochs} epochs, lost"] = difference(found, hits[ours])
    for name, found in figures.items():
        if isinstance(found, dict):
            print(name, {k: np.round(v, 3) for k, v in found.items()}, flush=True)
    return figures


NAMES = {
    109: "brain coral", 400: "academic gown", 442: "bell cote", 449: "boathouse", 565: "freight car", 619: "lampshade",
    643: "mask", 652: "military uniform", 663: "monastery", 698: "palace", 796: "ski mask", 904: "window screen",
    905: "window shade", 985: "daisy", 996: "hen-of-the-woods",
}  # fmt: skip


def middle_square(picture: np.ndarray) -> np.ndarray:
    """The largest square in the middle of a picture (h, w, 3)."""
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    return picture[top : top + side, left : left + side]


def make_faults() -> dict:
    """ImageNet's first name for three photographs, and its probability, with one step of the preparation wrong."""
    from importlib.resources import files

    from matplotlib.cbook import get_sample_data

    from mmcourse.preprocess.image import read
    from mmcourse.torch.efficientnet import EfficientNetLite0, prepare_picture

    model = EfficientNetLite0.from_pretrained()
    folder = files("sklearn.datasets.images")
    photographs = {
        "china": read(folder / "china.jpg"),
        "flower": read(folder / "flower.jpg"),
        "hopper": read(get_sample_data("grace_hopper.jpg")),
    }

    def small(picture: np.ndarray, method: str = "bilinear") -> np.ndarray:
        return resize(middle_square(picture), (224, 224), method)

    def by_imagenet(picture: np.ndarray) -> torch.Tensor:
        x = (to_float(small(picture)) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        return torch.from_numpy(np.moveaxis(x, -1, 0)[None].astype(np.float32))

    def reshaped(picture: np.ndarray) -> torch.Tensor:
        x = (small(picture).astype(np.float32) - 127) / 128
        return torch.from_numpy(x.reshape(1, 3, 224, 224))

    ways: dict[str, Callable[[np.ndarray], torch.Tensor]] = {
        "as it should be": lambda p: prepare_picture(small(p)),
        "mirrored": lambda p: prepare_picture(small(p)[:, ::-1]),
        "nearest": lambda p: prepare_picture(small(p, "nearest")),
        "squeezed, not cropped": lambda p: prepare_picture(resize(p, (224, 224))),
        "gray": lambda p: prepare_picture(np.repeat(grayscale(small(p))[..., None], 3, axis=2)),
        "blue, green, red": lambda p: prepare_picture(small(p)[..., ::-1]),
        "ImageNet's mean, std": by_imagenet,
        "0 to 1": lambda p: to_tensor(small(p)[None]),
        "0 to 255": lambda p: to_tensor(small(p)[None]) * 255,
        "a quarter turn": lambda p: prepare_picture(np.rot90(small(p))),
        "reshape": reshaped,
    }
    figures: dict = {}
    for fault, way in ways.items():
        figures[fault] = {}
        for name, photograph in photographs.items():
            with torch.no_grad():
                probabilities = model(way(photograph)).softmax(dim=1)[0]
            best = int(probabilities.argmax())
            figures[fault][name] = [NAMES.get(best, f"class {best}"), float(probabilities[best])]
        print(fault, figures[fault], flush=True)
    return figures


TABLES: dict[str, Callable] = {
    "shape": lambda: make_gray("shape"),
    "trap": lambda: make_gray("trap"),
    "changes": make_changes,
    "mirrors": make_mirrors,
    "serving": make_serving,
    "faults": make_faults,
}


if __name__ == "__main__":
    torch.set_num_threads(1)
    make_tables("images", TABLES, sys.argv[1:], packages=("numpy", "scikit-learn", "torch"))
