"""What simple ways reach in this lesson's open challenge: guessing, a linear model, and a small network, trained two ways.

And the lesson's two networks on the hard digits, at two budgets of epochs, seeds 0 to 2. `make results cnn`: about
three minutes of one processor. The challenge is measured on the learner's own draw; seeds of its network 0 and 1.
"""

from __future__ import annotations

import sys
import time
from importlib.metadata import version

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn.functional import cross_entropy, max_pool2d

from mmcourse import datasets, runtime
from mmcourse.exercise import Challenge, find_challenge
from mmcourse.training.torch import fit, predict

EPOCHS = 20


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


# ---------------------------------------------------------------- hard digits: the lesson's networks, trained longer
class Cnn(nn.Module):
    """As the lesson writes it out: three convolutions; `keeps_place`: flatten at the end, else the maximum."""

    def __init__(self, keeps_place: bool) -> None:
        super().__init__()
        self.keeps_place = keeps_place
        pairs = ((1, 8), (8, 16), (16, 32))
        self.convolutions = nn.ModuleList(nn.Conv2d(*pair, 3, padding=1) for pair in pairs)
        self.out = nn.Linear(32 * (49 if keeps_place else 1), 10)

    def forward(self, batch: dict) -> torch.Tensor:
        """Logits (b, 10) of pictures (b, 1, 28, 28)."""
        first, second, third = self.convolutions
        x = max_pool2d(first(batch["inputs"]["image"]).relu(), 2)
        x = max_pool2d(second(x).relu(), 2)
        maps = third(x).relu()
        return self.out(maps.flatten(1) if self.keeps_place else maps.amax((2, 3)))


def hard_digits(keeps_place: bool, epochs: int, seed: int) -> float:
    """Test accuracy of one network, trained as in the lesson: one order of batches for all."""
    train, test = datasets.load("avdigits", "train"), datasets.load("avdigits", "test")
    x, x_test = (torch.tensor(ds.column("image")[:] / np.float32(255)).permute(0, 3, 1, 2) for ds in (train, test))
    order = np.random.default_rng(0).permutation(len(train))
    parts = zip(x[order].split(64), torch.tensor(train.labels)[order].split(64), strict=True)
    batches = [{"inputs": {"image": images}, "target": labels} for images, labels in parts]
    torch.manual_seed(seed)
    network = Cnn(keeps_place)
    fit(network, batches, epochs=epochs, progress=False)
    right = predict(network, [{"inputs": {"image": x_test}}]).argmax(axis=1) == test.labels
    return round(float(right.mean()), 4)


def by_budget() -> dict[str, dict[str, list[float]]]:
    """{network: {epochs: [seed]}} of test accuracy on the hard digits."""
    kinds = {"CNN, place forgotten": False, "CNN, place kept": True}
    return {
        name: {str(epochs): [hard_digits(kept, epochs, seed) for seed in range(3)] for epochs in (3, 8)}
        for name, kept in kinds.items()
    }


def baselines() -> dict:
    """The challenge's simple ways."""
    figures = {"guessing": guessing(), "linear": linear()}
    for name, turned in (("network", False), ("turned", True)):
        before = time.process_time()
        figures[name] = [network(EPOCHS, seed, turned) for seed in (0, 1)]
        figures[f"{name}_seconds"] = round((time.process_time() - before) / 2)
    return figures


PARTS = {"challenge": baselines, "hard": by_budget}


def main(wanted: list[str] | None = None) -> None:
    """Measure all, or only the parts named, and store; what a part takes is added to `seconds`."""
    runtime.setup(threads=1)
    figures = datasets.results("cnn") if wanted else {"seconds": 0}
    for part in wanted or PARTS:
        start = time.process_time()
        figures[part] = PARTS[part]()
        figures["seconds"] += round(time.process_time() - start)
        print(part, figures[part], flush=True)
    figures["made_with"] = {name: version(name) for name in ("numpy", "scikit-learn", "torch")}
    datasets.save_results("cnn", figures)


if __name__ == "__main__":
    main(sys.argv[1:])
