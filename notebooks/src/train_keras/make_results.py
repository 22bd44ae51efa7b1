"""Long runs of lesson train_keras, all by Keras's own `fit` unless the name says PyTorch.

- `weights`: film reviews with one positive sentence in ten: no weights, class weights, oversampling, the same weights on
  the wrong sentences, and the unweighted model's threshold moved; two budgets of epochs, five seeds;
- `sampling`: the same reviews with one class repeated, or one cut down, for as many steps as in `weights`;
- `mask`: the mean of word vectors with and without a mask, padded to 40 and to 160 words; two sizes of training set;
- `stopping`: twenty epochs, what the last one and the best one reach; two sizes of training set;
- `reviews`: majority, a linear model on word counts, the mean of word vectors, a convolution; two sizes of training set;
- `vocabulary`: `TextVectorization` adapted on training sentences, and on training and test sentences;
- `frameworks`: the course's model on `mood` in PyTorch and in Keras from equal weights and batches, two budgets;
- `challenge`: what simple ways reach in the open challenge, on the learner's own draw.

`make results train_keras`: about twelve minutes of one processor. `python make_results.py weights` (or other names) makes
only these tables. It needs the film reviews (fetched once, 1.2 MB).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import keras
import numpy as np
import torch

import mmcourse.keras.encoders as keras_encoders
import mmcourse.keras.fusion as keras_fusion
import mmcourse.torch.encoders as torch_encoders
import mmcourse.torch.fusion as torch_fusion
from mmcourse import runtime
from mmcourse.authoring.tables import make_tables
from mmcourse.datasets import load, reviews
from mmcourse.exercise import Challenge, find_challenge
from mmcourse.parity import copy_weights
from mmcourse.training import keras as keras_train
from mmcourse.training import torch as torch_train

SEEDS = 5
SIZES = (1000, 8494)  # training sentences
WORDS, LENGTH = 8000, 40


# ---------------------------------------------------------------- sentences
@cache
def sentences(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Sentences (n,) and labels (n,), 1 for positive; training sentences in a fixed shuffled order."""
    ds = reviews.load(split)
    texts, labels = np.array(list(ds.column("words"))), np.asarray(ds.labels)
    order = np.random.default_rng(0).permutation(len(texts)) if split == "train" else np.arange(len(texts))
    return texts[order], labels[order]


@cache
def ids(count: int, length: int = LENGTH, with_test: bool = False) -> dict[str, np.ndarray]:
    """Word ids (n, length) of each split; the vocabulary is that of the first `count` training sentences."""
    layer = keras.layers.TextVectorization(max_tokens=WORDS, output_sequence_length=length)
    known = sentences("train")[0][:count]
    layer.adapt(np.concatenate([known, sentences("test")[0]]) if with_test else known)
    made = {split: np.asarray(layer(sentences(split)[0])) for split in ("validation", "test")}
    return {"train": np.asarray(layer(known)), **made}


def rate(size: int) -> float:
    """Adam's learning rate: fewer sentences make fewer steps per epoch, so each is larger."""
    return 1e-3 if size > 1000 else 3e-3


def reader(kind: str = "mean", mask: bool = True, length: int = LENGTH, size: int = SIZES[1]) -> Any:
    """Word ids (b, length) → logits (b, 2), compiled for that many training sentences."""
    words = keras.Input((length,), dtype="int64")
    h = keras.layers.Embedding(WORDS, 32, mask_zero=mask and kind == "mean")(words)  # (b, length, 32)
    if kind == "convolution":
        h = keras.layers.Conv1D(64, 3, padding="same", activation="relu")(h)
        h = keras.layers.GlobalMaxPooling1D()(h)
    else:
        h = keras.layers.GlobalAveragePooling1D()(h)
    h = keras.layers.Dense(32, activation="relu")(h)
    model = keras.Model(words, keras.layers.Dense(2)(h))
    model.compile(
        keras.optimizers.Adam(rate(size)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def logits_of(model: Any, x: np.ndarray) -> np.ndarray:
    """Logits (n, 2)."""
    return model.predict(x, batch_size=512, verbose=0)


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood."""
    total = np.logaddexp(logits[:, 0], logits[:, 1])
    return float((total - logits[np.arange(len(labels)), labels]).mean())


# ---------------------------------------------------------------- a rare class
SHARE = 0.1  # of positive sentences in training
WEIGHT_BUDGETS = (4, 16)  # epochs


def rare_rows() -> np.ndarray:
    """All negative training sentences, and as many positive ones as make a tenth; in shuffled order."""
    labels = sentences("train")[1]
    negative, positive = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
    few = positive[: round(len(negative) * SHARE / (1 - SHARE))]
    return np.sort(np.concatenate([negative, few]))


def balanced_weights(labels: np.ndarray) -> dict[int, float]:
    """n / (classes · n_k) for each class k."""
    counts = np.bincount(labels)
    return {k: len(labels) / (len(counts) * count) for k, count in enumerate(counts)}


def recalls(logits: np.ndarray, labels: np.ndarray) -> list[float]:
    """Share of each class that is found: [negative, positive]."""
    answers = logits.argmax(1)
    return [round(float((answers[labels == k] == k).mean()), 4) for k in (0, 1)]


def make_weights() -> dict:
    """{method: {"4 epochs": [[recall of negative, of positive] by seed], …}}."""
    rows = rare_rows()
    x, y = ids(SIZES[1])["train"][rows], sentences("train")[1][rows]
    x_test, y_test = ids(SIZES[1])["test"], sentences("test")[1]
    weights = balanced_weights(y)
    per_sample = np.array([weights[k] for k in y])
    repeated = np.concatenate([np.flatnonzero(y == 0), np.tile(np.flatnonzero(y == 1), round(1 / SHARE) - 1)])
    shift = np.log(np.bincount(y) / len(y))
    ways: dict[str, Callable[[int], dict]] = {
        "no weights": lambda seed: {"x": x, "y": y},
        "class weights": lambda seed: {"x": x, "y": y, "class_weight": weights},
        "oversampling": lambda seed: {"x": x[repeated], "y": y[repeated]},
        "same weights, shuffled": lambda seed: {
            "x": x,
            "y": y,
            "sample_weight": np.random.default_rng(seed).permutation(per_sample),
        },
    }
    found: dict = {name: {f"{b} epochs": [] for b in WEIGHT_BUDGETS} for name in (*ways, "threshold moved")}
    losses: dict = {name: {f"{b} epochs": [] for b in WEIGHT_BUDGETS} for name in found}
    for name, data in ways.items():
        for seed in range(SEEDS):
            keras.utils.set_random_seed(seed)
            model, done = reader(), 0
            for budget in WEIGHT_BUDGETS:
                model.fit(**data(seed), batch_size=64, epochs=budget, initial_epoch=done, verbose=0)
                done = budget
                logits = logits_of(model, x_test)
                found[name][f"{budget} epochs"].append(recalls(logits, y_test))
                losses[name][f"{budget} epochs"].append(round(log_loss(logits, y_test), 4))
                if name == "no weights":
                    found["threshold moved"][f"{budget} epochs"].append(recalls(logits - shift, y_test))
                    losses["threshold moved"][f"{budget} epochs"].append(round(log_loss(logits - shift, y_test), 4))
        print(name, found[name], flush=True)
    facts = {
        "num_train": len(y),
        "num_positive": int(y.sum()),
        "num_test": len(y_test),
        "weights": list(weights.values()),
    }
    return {**facts, "recalls": found, "losses": losses}


def make_sampling() -> dict:
    """{method: {"4 epochs": [[recall of negative, of positive] by seed], …}}; as many steps as 4 epochs of all rows."""
    rows = rare_rows()
    x, y = ids(SIZES[1])["train"][rows], sentences("train")[1][rows]
    x_test, y_test = ids(SIZES[1])["test"], sentences("test")[1]
    negative, positive = np.flatnonzero(y == 0), np.flatnonzero(y == 1)
    repeated = np.concatenate([negative, np.tile(positive, round(1 / SHARE) - 1)])
    found: dict = {}
    for name in ("oversampling", "undersampling"):
        table = found[name] = {f"{b} epochs": [] for b in WEIGHT_BUDGETS}
        for seed in range(SEEDS):
            keras.utils.set_random_seed(seed)
            rng = np.random.default_rng(seed)
            few = np.concatenate([positive, rng.choice(negative, len(positive), replace=False)])
            pool = repeated if name == "oversampling" else few
            model, done = reader(), 0
            for budget in WEIGHT_BUDGETS:
                length = (budget - done) * len(y)
                order = np.concatenate([rng.permutation(pool) for _ in range(-(-length // len(pool)))])[:length]
                model.fit(x[order], y[order], batch_size=64, shuffle=False, verbose=0)
                done = budget
                table[f"{budget} epochs"].append(recalls(logits_of(model, x_test), y_test))
        print(name, table, flush=True)
    return found


# ---------------------------------------------------------------- padding
LENGTHS = (40, 160)
MASK_EPOCHS = {SIZES[0]: 20, SIZES[1]: 6}


def make_mask() -> dict:
    """{"1000 sentences": {"masked, 40": [accuracy by seed], …}, …}; the epochs are MASK_EPOCHS."""
    labels, y_test = sentences("train")[1], sentences("test")[1]
    found: dict = {}
    for size in SIZES:
        table = found[f"{size} sentences"] = {}
        for length in LENGTHS:
            x = ids(size, length)
            for mask in (True, False):
                scores = table[f"{'masked' if mask else 'not masked'}, {length}"] = []
                for seed in range(SEEDS):
                    keras.utils.set_random_seed(seed)
                    model = reader(mask=mask, length=length, size=size)
                    epochs = MASK_EPOCHS[size]
                    model.fit(x["train"], labels[:size], batch_size=64, epochs=epochs, verbose=0)
                    scores.append(round(float((logits_of(model, x["test"]).argmax(1) == y_test).mean()), 4))
                print(size, length, mask, scores, flush=True)
    return found


# ---------------------------------------------------------------- early stopping
def make_stopping() -> dict:
    """Twenty epochs; at each, the loss and accuracy on validation and on test sentences, by seed."""
    found: dict = {}
    for size in SIZES:
        x, y = ids(size), sentences("train")[1][:size]
        table: dict = {name: [] for name in ("val_loss", "val_accuracy", "test_loss", "test_accuracy")}
        for seed in range(SEEDS):
            keras.utils.set_random_seed(seed)
            model = reader(size=size)
            run: dict = {name: [] for name in table}
            for epoch in range(20):
                model.fit(x["train"], y, batch_size=64, epochs=epoch + 1, initial_epoch=epoch, verbose=0)
                both_splits = logits_of(model, np.concatenate([x["validation"], x["test"]]))
                n = len(x["validation"])
                for short, split, logits in (("val", "validation", both_splits[:n]), ("test", "test", both_splits[n:])):
                    labels = sentences(split)[1]
                    run[f"{short}_loss"].append(round(log_loss(logits, labels), 4))
                    run[f"{short}_accuracy"].append(round(float((logits.argmax(1) == labels).mean()), 4))
            for name, values in run.items():
                table[name].append(values)
        found[f"{size} sentences"] = table
        print(size, np.mean(table["val_loss"], 0).round(3), flush=True)
    return found


# ---------------------------------------------------------------- film reviews at work
def fit_with_callbacks(kind: str, size: int, seed: int, with_test: bool = False) -> float:
    """Test accuracy of the epoch with the lowest validation loss, patience 2."""
    x, y = ids(size, with_test=with_test), sentences("train")[1][:size]
    keras.utils.set_random_seed(seed)
    model = reader(kind, size=size)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    check = (x["validation"], sentences("validation")[1])
    model.fit(x["train"], y, batch_size=64, epochs=30, validation_data=check, callbacks=[stop], verbose=0)
    return round(float((logits_of(model, x["test"]).argmax(1) == sentences("test")[1]).mean()), 4)


def linear(size: int) -> float:
    """Logistic regression on word counts, C chosen on validation sentences."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    texts, labels = (part[:size] for part in sentences("train"))
    counts = CountVectorizer(min_df=2).fit(texts)
    x = {split: counts.transform(sentences(split)[0]) for split in ("validation", "test")}
    models = [LogisticRegression(C=c, max_iter=500).fit(counts.transform(texts), labels) for c in (0.03, 0.1, 0.3, 1)]
    best = max(models, key=lambda model: model.score(x["validation"], sentences("validation")[1]))
    return round(best.score(x["test"], sentences("test")[1]), 4)


def make_reviews() -> dict:
    """{"1000 sentences": {"majority", "linear": accuracy, "mean", "convolution": [accuracy by seed]}, …}."""
    y_test = sentences("test")[1]
    found: dict = {"num_test": len(y_test)}
    for size in SIZES:
        commonest = np.bincount(sentences("train")[1][:size]).argmax()
        table: dict = {"majority": round(float((y_test == commonest).mean()), 4), "linear": linear(size)}
        for kind in ("mean", "convolution"):
            table[kind] = [fit_with_callbacks(kind, size, seed) for seed in range(SEEDS)]
        found[f"{size} sentences"] = table
        print(size, table, flush=True)
    return found


def make_vocabulary() -> dict:
    """{"1000 sentences": {"training only": [accuracy by seed], "and test": […]}, …}, the mean of word vectors."""
    found: dict = {}
    for size in SIZES:
        found[f"{size} sentences"] = {
            name: [fit_with_callbacks("mean", size, seed, with_test) for seed in range(SEEDS)]
            for name, with_test in (("training only", False), ("and test", True))
        }
        print(size, found[f"{size} sentences"], flush=True)
    return found


# ---------------------------------------------------------------- both frameworks
def build(encoders, fusion, vocabulary):
    """The course's model in one framework."""
    parts = {"face": encoders.ImageEncoder(32), "voice": encoders.AudioEncoder(40, 32)}
    parts["words"] = encoders.TextEncoder(vocabulary, 32)
    return encoders.MultimodalClassifier(parts, fusion.Concatenate([32] * 3, 128), classes=3)


def both(train, seed):
    """The two models, equal in every number."""
    torch.manual_seed(seed)
    ours = build(torch_encoders, torch_fusion, len(train.vocabulary))
    theirs = build(keras_encoders, keras_fusion, len(train.vocabulary))
    theirs.build(None)
    copy_weights(ours, theirs)
    return ours, theirs


def trial(train, test, seed, epochs=10):
    """Train both; accuracy on the test set and the loss of each epoch, by framework."""
    ours, theirs = both(train, seed)
    options = {"epochs": epochs, "seed": seed, "progress": False}
    histories = {
        "PyTorch": torch_train.fit(ours, train.torch_loader(64, seed), **options),
        "Keras": keras_train.fit(theirs, train.tf_dataset(64, seed), **options),
    }
    logits = {
        "PyTorch": torch_train.predict(ours, test.torch_loader(500)),
        "Keras": keras_train.predict(theirs, test.tf_dataset(500)),
    }
    return {
        name: {
            "accuracy": round(float((logits[name].argmax(1) == test.labels).mean()), 4),
            "loss": [round(epoch["loss"], 5) for epoch in history],
        }
        for name, history in histories.items()
    }


def make_frameworks(budgets=(2, 10)) -> dict:
    """{"2 epochs": {framework: [{"accuracy", "loss"} by seed]}, …}."""
    train, test = load("mood", "train"), load("mood", "test")
    found = {}
    for epochs in budgets:
        trials = [trial(train, test, seed, epochs) for seed in range(SEEDS)]
        found[f"{epochs} epochs"] = {name: [t[name] for t in trials] for name in ("PyTorch", "Keras")}
    return found


# ---------------------------------------------------------------- the open challenge
def challenge() -> Challenge:
    """The challenge itself."""
    made = find_challenge("train_keras")
    assert made is not None
    return made


def score(predictions: np.ndarray) -> float:
    """The challenge's score on the learner's own draw."""
    made, drawn = challenge(), challenge().public()
    return round(float(made.scored(made.checked({"predictions": predictions}), drawn)), 3)


def guessing() -> float:
    """One answer for all."""
    return score(np.zeros(len(challenge().public().inputs["test"]), int))


def linear_challenge() -> float:
    """Logistic regression with balanced class weights."""
    from sklearn.linear_model import LogisticRegression

    inputs = challenge().public().inputs
    model = LogisticRegression(class_weight="balanced", max_iter=2000)
    return score(model.fit(inputs["train"], inputs["train_labels"]).predict(inputs["test"]))


def network(weighted: bool, seed: int, epochs: int = 60) -> float:
    """A multilayer perceptron by `fit`, with or without balanced class weights."""
    inputs = challenge().public().inputs
    x, y = inputs["train"].astype("float32"), inputs["train_labels"]
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.layers.Dense(64, activation="relu") for _ in range(2)])
    model.add(keras.layers.Dense(4))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss)
    weights = balanced_weights(y) if weighted else None
    model.fit(x, y, batch_size=64, epochs=epochs, class_weight=weights, verbose=0)
    return score(model.predict(inputs["test"].astype("float32"), verbose=0).argmax(1))


def make_challenge() -> dict:
    """The challenge's simple ways."""
    figures: dict = {"guessing": guessing(), "linear": linear_challenge()}
    before = time.process_time()
    figures["network"] = [network(False, seed) for seed in (0, 1)]
    figures["network, class weights"] = [network(True, seed) for seed in (0, 1)]
    figures["network_seconds"] = round((time.process_time() - before) / 4, 1)
    figures["network, class weights, 10 epochs"] = [network(True, seed, epochs=10) for seed in (0, 1)]
    return figures


PARTS: dict[str, Callable[[], dict]] = {
    "weights": make_weights,
    "sampling": make_sampling,
    "mask": make_mask,
    "stopping": make_stopping,
    "reviews": make_reviews,
    "vocabulary": make_vocabulary,
    "frameworks": make_frameworks,
    "challenge": make_challenge,
}


if __name__ == "__main__":
    runtime.setup(threads=1)
    make_tables("train_keras", PARTS, sys.argv[1:], packages=("keras", "tensorflow", "torch", "scikit-learn"))
