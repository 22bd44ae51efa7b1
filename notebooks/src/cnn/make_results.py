"""What simple ways reach in this lesson's open challenge: guessing, a linear model, and a small network, trained two ways.

`make results cnn`: about two minutes of one processor. On the learner's own draw; seeds of the network 0 and 1.
"""

from __future__ import annotations

import time
from importlib.metadata import version

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn.functional import cross_entropy

from mmcourse import datasets, runtime
from mmcourse.exercise import Challenge, find_challenge

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


def main() -> None:
    """Measure and store."""
    runtime.setup(threads=1)
    start = time.process_time()
    figures = {"guessing": guessing(), "linear": linear()}
    print(figures, flush=True)
    for name, turned in (("network", False), ("turned", True)):
        before = time.process_time()
        figures[name] = [network(EPOCHS, seed, turned) for seed in (0, 1)]
        figures[f"{name}_seconds"] = round((time.process_time() - before) / 2)
        print(name, figures[name], figures[f"{name}_seconds"], flush=True)
    made_with = {name: version(name) for name in ("numpy", "scikit-learn", "torch")}
    seconds = round(time.process_time() - start)
    datasets.save_results("cnn", {"challenge": figures, "made_with": made_with, "seconds": seconds})


if __name__ == "__main__":
    main()
