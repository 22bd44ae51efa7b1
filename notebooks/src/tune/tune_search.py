"""The small network of lessons tune and evaluate, its search space, and the table of trainings: for several processes.

``python tune_search.py FOLDER TRIALS SEED`` joins the study in FOLDER/journal.log until it has that many finished trials;
the vectors are in FOLDER/mood.npz.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

BUDGET = 24  # trials a search
EPOCHS = 16  # of each training in the table
MESSAGES = 1500  # validation messages; as many test messages
GRID = {  # the settings in the table; a search space reaches from the first value to the last
    "learning_rate": np.geomspace(1e-5, 1e-1, 17),
    "weight_decay": np.geomspace(1e-2, 10, 4),
    "dropout": np.array([0.0, 0.4, 0.8]),
    "width": np.array([8, 32, 128]),
}
ON_LOG_SCALE = ("learning_rate", "weight_decay", "width")


def parts(ds):
    """Face (n, 256), voice (n, 81) and words (n, vocabulary) of `mood`: plain statistics, nothing learned."""
    columns = ds.features().columns
    face = columns["face"].store.reshape(len(ds), 16, 2, 16, 2, 3).mean(axis=(2, 4, 5)).reshape(len(ds), -1)
    voice, words = columns["voice"], columns["words"]
    clips = [mel[:n] for mel, n in zip(voice.store, voice.lengths, strict=True)]
    heard = np.stack([np.concatenate([mel.mean(0), mel.std(0), [len(mel) / 100]]) for mel in clips])
    bag = np.stack(
        [
            np.bincount(ids[:n], minlength=len(ds.vocabulary)) / n
            for ids, n in zip(words.store, words.lengths, strict=True)
        ]
    )
    return face - face.mean(axis=1, keepdims=True), heard[voice.index], bag[words.index]


def vectors(train, *others):
    """Each data set as float32 (n, 520): parts centered and brought to one size by what *training* shows."""
    known = [(p.mean(axis=0), p.std(axis=0) + 1e-3) for p in parts(train)]
    known[2] = (0.0, 1.0)  # words are counts: zero already means none

    def scaled(ds):
        return [(p - mean) / spread for p, (mean, spread) in zip(parts(ds), known, strict=True)]

    sizes = [np.sqrt((p**2).sum(axis=1).mean()) / 8 for p in scaled(train)]
    return [
        np.concatenate([p / s for p, s in zip(scaled(ds), sizes, strict=True)], axis=1).astype(np.float32)
        for ds in (train, *others)
    ]


def network(inputs, width=64, dropout=0.0):
    """Two hidden layers: (b, inputs) → logits (b, 3)."""
    layers = [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout)]
    layers += [nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(width, 3))


def train(x, y, *, learning_rate=3e-3, weight_decay=0.0, dropout=0.0, width=64, epochs=15, seed=0, augment=None):
    """AdamW at a constant rate; yields the network after each epoch, so that whoever watches can stop."""
    torch.manual_seed(seed)
    net = network(x.shape[1], width, dropout)
    optimizer = torch.optim.AdamW(net.parameters(), learning_rate, weight_decay=weight_decay)
    for _ in range(epochs):
        net.train()
        for rows in torch.randperm(len(x)).split(64):
            inputs = x[rows] if augment is None else augment(x[rows])
            loss = cross_entropy(net(inputs), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield net.eval()


def last(epochs):
    """The network after the last epoch."""
    return deque(epochs, maxlen=1).pop()


@torch.no_grad()
def right(net, x, y):
    """Which samples the network gets right, bool (n,)."""
    return (net(x).argmax(dim=-1) == y).numpy()


def few(x, y, n=600, seed=0):
    """A small part of a training set, drawn by chance."""
    rows = np.random.default_rng(seed).permutation(len(x))[:n]
    return x[rows], y[rows]


def suggest(trial):
    """One setting out of the space that every search gets."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-2, 10, log=True),
        "dropout": trial.suggest_float("dropout", 0, 0.8),
        "width": trial.suggest_int("width", 8, 128, log=True),
    }


def suggest_keras_tuner(hp):
    """The same space for KerasTuner."""
    return {
        "learning_rate": hp.Float("learning_rate", 1e-5, 1e-1, sampling="log"),
        "weight_decay": hp.Float("weight_decay", 1e-2, 10, sampling="log"),
        "dropout": hp.Float("dropout", 0, 0.8),
        "width": hp.Int("width", 8, 128, sampling="log"),
    }


def all_settings():
    """Every combination of the grid's values: a list of 612 settings."""
    return [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]


def row_of(setting):
    """The row of the table whose setting is nearest (on a log scale where the hyperparameter has one)."""
    places = []
    for name, values in GRID.items():
        scale = np.log if name in ON_LOG_SCALE else np.asarray
        places.append(int(np.abs(scale(values) - scale(setting[name])).argmin()))
    return int(np.ravel_multi_index(places, [len(values) for values in GRID.values()]))


@dataclass
class Table:
    """Real trainings, made once: what any search would have seen.

    validation : accuracy after each epoch (612 settings, 3 seeds, 16 epochs)
    test : accuracy after the last epoch, by tenths of the test set (612, 3, 10)
    """

    settings: list[dict]
    validation: np.ndarray
    test: np.ndarray

    @classmethod
    def read(cls, stored):
        """From `results("tune")["table"]`, which holds counts of right answers, a line for each setting."""
        counts = {
            name: np.array([[run.split() for run in line.split(";")] for line in stored[name]], float)
            for name in ("validation", "test")
        }
        return cls(all_settings(), counts["validation"] / MESSAGES, counts["test"] / (MESSAGES // 10))


def load(folder):
    """{split: (vectors, labels)} from FOLDER/mood.npz."""
    with np.load(Path(folder) / "mood.npz") as file:
        names = ("train", "validation", "test")
        return {s: (torch.from_numpy(file[s]), torch.from_numpy(file[f"{s}_labels"])) for s in names}


def storage(folder):
    """The journal in this folder. A killed process may leave its lock behind; after 3 s the others break it."""
    import optuna  # here and below, so that all else runs where Optuna is not installed
    from optuna.storages import journal

    path = str(Path(folder) / "journal.log")
    lock = journal.JournalFileOpenLock(path, grace_period=3)
    return optuna.storages.JournalStorage(journal.JournalFileBackend(path, lock))


def join(folder, trials, seed):
    """Work on the study in this folder until `trials` are complete, whoever completes them."""
    import optuna

    data = load(folder)

    def objective(trial):
        trial.set_user_attr("process", os.getpid())
        net = last(train(*few(*data["train"]), **suggest(trial), seed=trial.number))
        return float(right(net, *data["validation"]).mean())

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # waiting for a lock is no news
    study = optuna.create_study(
        study_name="mood",
        storage=storage(folder),
        sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True),  # a liar expects the worst of what runs
        direction="maximize",
        load_if_exists=True,
    )
    enough = optuna.study.MaxTrialsCallback(trials, states=(optuna.trial.TrialState.COMPLETE,))
    study.optimize(objective, callbacks=[enough])


if __name__ == "__main__":
    torch.set_num_threads(1)
    join(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
