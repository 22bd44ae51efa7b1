"""Train the first lesson's model of words, voice and face, and measure it.

    python data/models/start_here/make.py           # writes the files beside this one
    python data/models/start_here/make.py curves    # measures the learning curves alone, and keeps all else

About ten seconds for the shipped model on two quiet cores, and a few minutes for the seeds that its figures need.
Everything drawn by chance comes from the seed; another processor or another PyTorch rounds differently, so the last
digits of the weights can differ.
"""

import hashlib
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from mmcourse.datasets import load, mood
from mmcourse.pretrained import Trimodal, mood_encoders
from mmcourse.training.torch import fit, predict

HERE = Path(__file__).resolve().parent
SEED, EPOCHS, SEEDS, HIDDEN = 0, 10, range(1, 6), 128
LEARNING_RATE = 3e-3  # of the lesson's own loop, which keeps it constant
CURVES = "accuracy by epoch with the lesson's loop"
MODELS = {
    "face": ["face"],
    "voice": ["voice"],
    "words": ["words"],
    "all three": ["face", "voice", "words"],
}


def train_model(modalities: list[str], seed: int, train) -> tuple[Trimodal, list[dict]]:
    """A model of these modalities after EPOCHS epochs, and what each epoch measured."""
    torch.manual_seed(seed)
    model = Trimodal(mood_encoders(*modalities), HIDDEN)
    history = fit(model, train.torch_loader(batch_size=64, seed=seed), epochs=EPOCHS, progress=False)
    return model, history


def accuracy(model: Trimodal, data) -> float:
    """Share of right answers."""
    logits = predict(model, data.torch_loader(batch_size=500))
    return float((logits.argmax(axis=1) == data.labels).mean())


def learning_curve(seed: int, train, validation) -> dict[str, list[float]]:
    """Accuracy before training and after each epoch, with the loop that the lesson writes out.

    "training" is measured on the first 1,500 training messages, with the same weights as "validation".
    """
    torch.manual_seed(seed)
    model = Trimodal(mood_encoders("face", "voice", "words"), HIDDEN)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    loader = train.torch_loader(batch_size=64, seed=seed)
    splits = {"training": train.subset(range(len(validation))), "validation": validation}
    curve = {name: [round(accuracy(model.eval(), data), 4)] for name, data in splits.items()}
    for _ in range(EPOCHS):
        model.train()
        for batch in loader:
            loss = nn.functional.cross_entropy(model(batch), batch["target"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        for name, data in splits.items():
            curve[name].append(round(accuracy(model, data), 4))
    return curve


def measure_curves(figures: dict) -> None:
    """Add the learning curves of five seeds to the figures, and write them."""
    train, validation = load("mood", "train"), load("mood", "validation")
    curves = [learning_curve(seed, train, validation) for seed in SEEDS]
    figures[CURVES] = {name: [curve[name] for curve in curves] for name in ("training", "validation")}
    write(figures)


def main() -> None:
    """Write weights, configuration and figures."""
    if sys.argv[1:] == ["curves"]:
        measure_curves(json.loads((HERE / "figures.json").read_text(encoding="utf-8")))
        return
    train, test = load("mood", "train"), load("mood", "test")
    started = time.process_time()
    model, history = train_model(["face", "voice", "words"], SEED, train)
    figures = {
        "seed": SEED,
        "epochs": EPOCHS,
        "training accuracy by epoch": [round(epoch["accuracy"], 4) for epoch in history],
        "cpu seconds": round(time.process_time() - started, 1),
    }
    half = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(half, HERE / "model.safetensors")
    model.load_state_dict({name: value.float() for name, value in half.items()})  # as it will be loaded
    figures["test accuracy"] = round(accuracy(model, test), 4)
    figures["test messages"] = len(test)
    config = {
        "modalities": ["face", "voice", "words"],
        "classes": list(mood.CLASSES),
        "hidden": HIDDEN,
        "vocabulary": len(train.vocabulary),
    }
    (HERE / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    figures["sha256"] = hashlib.sha256((HERE / "model.safetensors").read_bytes()).hexdigest()
    write(figures)
    print(figures, flush=True)
    figures["seeds"] = list(SEEDS)
    figures["test accuracy by seed"] = {name: [] for name in MODELS}
    for seed in SEEDS:
        for name, modalities in MODELS.items():
            reached = accuracy(train_model(modalities, seed, train)[0], test)
            figures["test accuracy by seed"][name].append(round(reached, 4))
            print(seed, name, reached, flush=True)
        write(figures)
    differences = np.subtract(*(figures["test accuracy by seed"][name] for name in ("all three", "words")))
    print("gain of all three over words:", differences)
    measure_curves(figures)


def write(figures: dict) -> None:
    """Write figures.json."""
    (HERE / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
