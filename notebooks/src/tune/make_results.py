"""Lesson evaluate's long runs: four ways to search, the winner's curse, several processes, and how much data is enough.

`make results tune`: about 8 minutes of one processor. Seeds: searches 0–15, learning curve 0–2.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import optuna
import torch

sys.path.insert(0, str(Path(__file__).parent))
import tune_search as search

from mmcourse import datasets, runtime

SPLITS = ("train", "validation", "test")
GRID = {  # the middles of equal cells of the space; a grid of 24 has no room to vary the width too
    "learning_rate": [10**e for e in (-4.5, -3.5, -2.5, -1.5)],
    "weight_decay": [10**e for e in (-2.25, -0.76, 0.73)],
    "dropout": [0.2, 0.6],
    "width": [45],
}
SIZES = [375, 750, 1500, 3000, 6000]  # training messages
BLOCKS = 10  # of 150 test samples each


def write_vectors(folder: Path) -> None:
    """FOLDER/mood.npz, which `tune_search.load` reads."""
    sets = [datasets.load("mood", s) for s in SPLITS]
    labels = {f"{s}_labels": ds.labels for s, ds in zip(SPLITS, sets, strict=True)}
    np.savez(folder / "mood.npz", **dict(zip(SPLITS, search.vectors(*sets), strict=True)), **labels)


def try_setting(data, setting: dict, seed: int) -> tuple[float, list[int]]:
    """Validation accuracy, and how many of each 150 test samples are right."""
    net = search.last(search.train(*search.few(*data["train"]), **setting, seed=seed))
    test = search.right(net, *data["test"]).reshape(BLOCKS, -1).sum(axis=1)
    return float(search.right(net, *data["validation"]).mean()), test.tolist()


def with_optuna(sampler, attempt, budget: int) -> list:
    """What each trial of an Optuna study gave, in order."""
    found = []
    study = optuna.create_study(direction="maximize", sampler=sampler)

    def objective(trial):
        found.append(attempt(search.suggest(trial), trial.number))
        return found[-1][0]

    study.optimize(objective, n_trials=budget)
    return found


def with_keras_tuner(seed: int, attempt, budget: int) -> list:
    """The same objective, searched by KerasTuner's Gaussian process."""
    import keras_tuner

    found: list = []

    class Tuner(keras_tuner.BayesianOptimization):
        def run_trial(self, trial, *args, **kwargs):
            hp = trial.hyperparameters
            setting = {
                "learning_rate": hp.Float("learning_rate", 1e-5, 1e-1, sampling="log"),
                "weight_decay": hp.Float("weight_decay", 1e-3, 30, sampling="log"),
                "dropout": hp.Float("dropout", 0, 0.8),
                "width": hp.Int("width", 8, 256, sampling="log"),
            }
            found.append(attempt(setting, len(found)))
            return {"accuracy": found[-1][0]}

    goal = keras_tuner.Objective("accuracy", "max")
    with tempfile.TemporaryDirectory() as folder:
        tuner = Tuner(objective=goal, max_trials=budget, seed=seed, directory=folder, max_consecutive_failed_trials=1)
        tuner.search(verbose=0)
    return found


def searches(data, repeats: int, budget: int = search.BUDGET) -> dict[str, list]:
    """{method: repeats × budget × (validation accuracy, right test samples by block)}."""
    tried: dict[str, list] = {"grid": [], "random": [], "TPE": [], "Gaussian process": []}
    for repeat in range(repeats):

        def attempt(setting, trial, repeat=repeat):
            return try_setting(data, setting, seed=1000 * repeat + trial)

        samplers = {
            "grid": optuna.samplers.GridSampler(GRID, seed=repeat),
            "random": optuna.samplers.RandomSampler(seed=repeat),
            "TPE": optuna.samplers.TPESampler(seed=repeat),
        }
        for name, sampler in samplers.items():
            tried[name].append(with_optuna(sampler, attempt, budget))
        tried["Gaussian process"].append(with_keras_tuner(repeat, attempt, budget))
    return tried


def search_figures(tried: list) -> dict[str, list]:
    """Of one method's repeats: the best validation accuracy after each trial, and the test accuracy of the winner."""
    valid = np.array([[v for v, _ in trials] for trials in tried])  # (repeats, budget)
    test = np.array([[sum(t) for _, t in trials] for trials in tried]) / 1500
    best = np.maximum.accumulate(valid, axis=1)
    winner = valid.argmax(axis=1)
    chosen = test[np.arange(len(test)), winner]
    return {"best": best.round(4).tolist(), "test": chosen.round(4).tolist()}


def winners_curse(tried: list, rounds: int = 400) -> dict:
    """Choose the best of N settings by 150 test samples: what they promise, and what the other 1,350 say.

    From all trials of random search; the mean over `rounds` draws of N trials and of a block.
    """
    right = np.array([t for trials in tried for _, t in trials])  # (trials, blocks)
    g, sizes = np.random.default_rng(0), [1, 2, 5, 10, 20, 50, 100]
    promised, fresh = np.zeros((2, len(sizes), rounds))
    for i, n in enumerate(sizes):
        for j in range(rounds):
            rows, block = g.choice(len(right), n, replace=False), g.integers(BLOCKS)
            winner = right[rows[right[rows, block].argmax()]]
            promised[i, j], fresh[i, j] = winner[block] / 150, (winner.sum() - winner[block]) / 1350
    winner = right[right[:100, 0].argmax()]
    story = {"promised": int(winner[0]), "fresh": int(winner[1:].sum())}
    means = {"promised": promised.mean(1).round(4).tolist(), "fresh": fresh.mean(1).round(4).tolist()}
    return {"tried": sizes, **means, "story": story}


def together(folder: Path, processes: int, trials: int = search.BUDGET) -> dict:
    """Finished trials of each of several processes on one study, and the best accuracy found."""
    (folder / "journal.log").unlink(missing_ok=True)
    command = [sys.executable, str(Path(search.__file__)), str(folder), str(trials)]
    running = [subprocess.Popen([*command, str(seed)]) for seed in range(processes)]
    for process in running:
        if process.wait():
            raise RuntimeError(f"tune_search.py: a worker ended with {process.returncode}")
    study = optuna.load_study(study_name="mood", storage=search.storage(folder))
    done = [t.user_attrs["process"] for t in study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))]
    shares = sorted(done.count(process.pid) for process in running)
    return {"trials": shares, "best": round(study.best_value, 4)}


def trimodal(n: int, seed: int) -> float:
    """Test accuracy of the course's trimodal model after n training messages, with the recipe of lesson train_pytorch."""
    from mmcourse.torch.encoders import AudioEncoder, ImageEncoder, MultimodalClassifier, TextEncoder
    from mmcourse.torch.fusion import Concatenate
    from mmcourse.training.torch import fit, predict

    sets = {s: datasets.load("mood", s) for s in ("train", "test")}
    rows = np.random.default_rng(seed).permutation(len(sets["train"]))[:n]
    torch.manual_seed(seed)
    words = TextEncoder(len(sets["train"].vocabulary), 32)
    encoders = {"face": ImageEncoder(32), "voice": AudioEncoder(40, 32), "words": words}
    model = MultimodalClassifier(encoders, Concatenate([32] * 3, 128), 3)
    loader = sets["train"].subset(rows).torch_loader(64, seed=seed)
    fit(model, loader, epochs=min(30, 60_000 // n), seed=seed, progress=False)
    logits = predict(model, sets["test"].torch_loader(500))
    return float((logits.argmax(axis=1) == sets["test"].labels).mean())


def small_network(data, n: int, seed: int) -> float:
    """Test accuracy of the small network after n training messages, at the epoch with the least validation loss."""
    x, y = data["validation"]
    found = []
    for net in search.train(*search.few(*data["train"], n=n, seed=seed), epochs=min(25, 60_000 // n), seed=seed):
        with torch.no_grad():
            loss = torch.nn.functional.cross_entropy(net(x), y).item()
        found.append((loss, search.right(net, *data["test"]).mean()))
    return float(min(found)[1])


def by_size(model) -> list[list[float]]:
    """Accuracy of model(n, seed) for three seeds (rows) and SIZES (columns)."""
    return [[round(model(n, seed), 4) for n in SIZES] for seed in range(3)]


def main() -> None:
    runtime.setup(threads=1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        write_vectors(Path(folder))
        processes = {str(n): together(Path(folder), n) for n in (1, 2)}
        print(processes, flush=True)
        data = search.load(folder)
    tried = searches(data, repeats=16)
    small = by_size(lambda n, seed: small_network(data, n, seed))
    figures = {
        "learning": {"n": SIZES, "small": small, "trimodal": by_size(trimodal)},
        "search": {name: search_figures(trials) for name, trials in tried.items()},
        "curse": winners_curse(tried["random"]),
        "processes": processes,
    }
    packages = ("numpy", "torch", "optuna", "keras-tuner")
    made_with = {name: version(name) for name in packages}
    datasets.save_results("tune", {**figures, "made_with": made_with, "seconds": round(time.process_time() - start)})


if __name__ == "__main__":
    main()
