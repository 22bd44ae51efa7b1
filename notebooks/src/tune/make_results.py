"""Lesson tune's long runs: a table of real trainings, searches in it, new seeds, film reviews, several processes.

`make results tune`: about nine minutes of one core. `reviews` needs the sentences of film reviews (fetched once, 1.2 MB).
`python make_results.py search` (or another name of `PARTS`) makes one part and keeps the others.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import optuna  # noqa: E402
import torch  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
import tune_search as search  # noqa: E402

from mmcourse import datasets, runtime  # noqa: E402
from mmcourse.authoring.tables import make_tables  # noqa: E402

SPLITS = ("train", "validation", "test")
TABLE_SEEDS, NEW_SEEDS, FINALISTS = 3, 20, 8
REPEATS, REPEATS_SLOW = 100, 24  # of a search; KerasTuner, which writes every trial to a file, is slow
FOUR_BY_THREE_BY_TWO = {  # a grid of 24: the middles of equal cells of the space; no room is left to vary the width
    "learning_rate": [10**e for e in (-4.5, -3.5, -2.5, -1.5)],
    "weight_decay": [10**e for e in (-1.5, -0.5, 0.5)],
    "dropout": [0.2, 0.6],
    "width": [32],
}
SIZES = [375, 750, 1500, 3000, 6000]  # training messages
BLOCKS = 10  # of 150 test samples each


def write_vectors(folder: Path) -> None:
    """FOLDER/mood.npz, which `tune_search.load` reads."""
    sets = [datasets.load("mood", s) for s in SPLITS]
    labels = {f"{s}_labels": ds.labels for s, ds in zip(SPLITS, sets, strict=True)}
    np.savez(folder / "mood.npz", **dict(zip(SPLITS, search.vectors(*sets), strict=True)), **labels)


def mood() -> dict:
    """{split: (vectors, labels)} as tensors."""
    with tempfile.TemporaryDirectory() as folder:
        write_vectors(Path(folder))
        return search.load(folder)


# ---------------------------------------------------------------- the table
def one_run(data: dict, setting: dict, seed: int) -> tuple[list[int], list[int], float]:
    """Right validation answers after each epoch, right test answers by tenths at the end, and the seconds it took."""
    start = time.process_time()
    validation = []
    for net in search.train(*search.few(*data["train"]), **setting, epochs=search.EPOCHS, seed=seed):  # noqa: B007
        validation.append(int(search.right(net, *data["validation"]).sum()))
    seconds = time.process_time() - start
    test = search.right(net, *data["test"]).reshape(BLOCKS, -1).sum(axis=1)
    return validation, test.tolist(), seconds


def as_line(runs: list[list[int]]) -> str:
    """Runs of one setting in one line of the stored file."""
    return ";".join(" ".join(map(str, run)) for run in runs)


def make_table() -> dict:
    """Every setting of `tune_search.GRID`, with seeds 0, 1, 2."""
    data = mood()
    found: dict = {"validation": [], "test": []}
    seconds: dict[int, list[float]] = {}
    for row, setting in enumerate(search.all_settings()):
        runs = [one_run(data, setting, seed) for seed in range(TABLE_SEEDS)]
        found["validation"].append(as_line([v for v, _, _ in runs]))
        found["test"].append(as_line([t for _, t, _ in runs]))
        seconds.setdefault(int(setting["width"]), []).extend(s for _, _, s in runs)
        if row % 100 == 0:
            print(row, flush=True)
    return found | {"seconds by width": {str(w): round(float(np.median(s)), 4) for w, s in seconds.items()}}


def stored_table() -> search.Table:
    """The table as it lies in results.json."""
    return search.Table.read(datasets.results("tune")["table"])


# ---------------------------------------------------------------- is the best better than the second?
def make_finalists() -> dict:
    """The eight settings with the best mean validation accuracy in the table, trained again from 20 new seeds."""
    table, data = stored_table(), mood()
    means = table.validation[:, :, -1].mean(axis=1)
    rows = np.argsort(-means, kind="stable")[:FINALISTS].tolist()
    found: dict = {"rows": rows, "validation": [], "test": []}
    for row in rows:
        runs = [one_run(data, table.settings[row], seed) for seed in range(100, 100 + NEW_SEEDS)]
        found["validation"].append([v[-1] for v, _, _ in runs])
        found["test"].append([sum(t) for _, t, _ in runs])
    return found


# ---------------------------------------------------------------- do the winners want more room?
EDGE = {"width": (128, 256, 512), "dropout": (0.8, 0.9)}  # the space ends at 128 and 0.8


def make_edge() -> dict:
    """Validation answers of the fourth finalist and of wider networks with more dropout, from the same 20 new seeds."""
    data = mood()
    setting = stored_table().settings[datasets.results("tune")["finalists"]["rows"][3]]
    found: dict = {"validation": {}, "setting": {name: float(value) for name, value in setting.items()}}
    for width in EDGE["width"]:
        for dropout in EDGE["dropout"]:
            here = setting | {"width": width, "dropout": dropout}
            runs = [one_run(data, here, seed) for seed in range(100, 100 + NEW_SEEDS)]
            found["validation"][f"{width} {dropout}"] = [v[-1] for v, _, _ in runs]
            print(width, dropout, np.mean(found["validation"][f"{width} {dropout}"]) / search.MESSAGES, flush=True)
    return found


# ---------------------------------------------------------------- searches in the table
def seeds_of(repeat: int, trials: int) -> np.ndarray:
    """Which of the table's seeds each trial of a repeat gets: the same for all methods."""
    return np.random.default_rng(repeat).integers(0, TABLE_SEEDS, trials)


def with_optuna(table: search.Table, sampler, repeat: int, budget: int) -> list[int]:
    """Rows of the table that a study tries, in order."""
    rows: list[int] = []
    seeds = seeds_of(repeat, budget)

    def objective(trial):
        rows.append(search.row_of(search.suggest(trial)))
        return table.validation[rows[-1], seeds[len(rows) - 1], -1]

    optuna.create_study(direction="maximize", sampler=sampler).optimize(objective, n_trials=budget)
    return rows


def keras_tuner_space():
    """The space in KerasTuner's form, as it would learn it from a function that builds a model."""
    import keras_tuner

    space = keras_tuner.HyperParameters()
    search.suggest_keras_tuner(space)
    return space


def with_keras_tuner(table: search.Table, repeat: int, budget: int) -> list[int]:
    """The same objective, searched by KerasTuner's Gaussian process."""
    import keras_tuner

    rows: list[int] = []
    seeds = seeds_of(repeat, budget)

    class Tuner(keras_tuner.BayesianOptimization):
        def run_trial(self, trial, *args, **kwargs):
            rows.append(search.row_of(search.suggest_keras_tuner(trial.hyperparameters)))
            return {"accuracy": table.validation[rows[-1], seeds[len(rows) - 1], -1]}

    with tempfile.TemporaryDirectory() as folder:
        tuner = Tuner(
            objective=keras_tuner.Objective("accuracy", "max"),
            max_trials=budget,
            hyperparameters=keras_tuner_space(),
            seed=repeat + 1,  # it takes a seed of 0 for none
            directory=folder,
            max_consecutive_failed_trials=1,
        )
        tuner.search(verbose=0)
    return rows


METHODS: dict[str, tuple[int, Callable]] = {
    "random": (
        REPEATS,
        lambda table, k, n: with_optuna(table, optuna.samplers.RandomSampler(seed=k), k, n),
    ),
    "grid": (
        REPEATS,
        lambda table, k, n: with_optuna(table, optuna.samplers.GridSampler(FOUR_BY_THREE_BY_TWO, seed=k), k, n),
    ),
    "TPE": (
        REPEATS,
        lambda table, k, n: with_optuna(table, optuna.samplers.TPESampler(seed=k), k, n),
    ),
    "Gaussian process, Optuna": (
        2 * REPEATS_SLOW,
        lambda table, k, n: with_optuna(table, optuna.samplers.GPSampler(seed=k), k, n),
    ),
    "Gaussian process, KerasTuner": (REPEATS_SLOW, with_keras_tuner),
}


def make_search(names: tuple[str, ...] = ("random", "grid", "TPE"), repeats: int | None = None) -> dict:
    """{method: rows of the table tried (a line for each repeat), seconds of thinking for each trial}."""
    table, found, budget = stored_table(), {}, search.BUDGET
    for name in names:
        times, method = METHODS[name]
        start = time.process_time()
        tried = [method(table, repeat, budget) for repeat in range(min(times, repeats or times))]
        seconds = (time.process_time() - start) / (len(tried) * budget)
        found[name] = {"rows": [" ".join(map(str, rows)) for rows in tried], "seconds a trial": round(seconds, 5)}
        print(name, len(tried), round(seconds, 4), flush=True)
    return found


def make_gaussian_optuna(repeats: int | None = None) -> dict:
    """The same for Optuna's Gaussian process."""
    return make_search(("Gaussian process, Optuna",), repeats)


def make_gaussian_keras(repeats: int | None = None) -> dict:
    """The same for KerasTuner's."""
    import keras_tuner  # noqa: F401 - seconds of import are no seconds of search

    return make_search(("Gaussian process, KerasTuner",), repeats)


# ---------------------------------------------------------------- pruning at equal epochs
def with_pruner(table: search.Table, pruner, repeat: int, epochs: int) -> dict:
    """Random search with a pruner until that many epochs are spent: the winner among those that were not pruned."""
    g = np.random.default_rng(repeat)
    sampler = optuna.samplers.RandomSampler(seed=repeat)
    # Hyperband draws a trial's bracket from the study's name, so it has a fixed one
    study = optuna.create_study(study_name=f"repeat {repeat}", direction="maximize", sampler=sampler, pruner=pruner)
    spent, trials = 0, 0
    best = (-1.0, -1)
    while spent < epochs:
        trial = study.ask()
        trials += 1
        row = search.row_of(search.suggest(trial))
        curve = table.validation[row, g.integers(TABLE_SEEDS)]
        for epoch, accuracy in enumerate(curve, start=1):
            spent += 1
            trial.report(accuracy, epoch)
            if trial.should_prune() or spent == epochs:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, accuracy)
            best = max(best, (float(accuracy), row))
    return {"row": best[1], "trials": trials, "epochs": spent}


def with_keras_hyperband(table: search.Table, repeat: int, epochs: int) -> dict:
    """KerasTuner's Hyperband, three times in a row; what comes after that many epochs is not counted."""
    import keras_tuner

    g = np.random.default_rng(repeat)
    seed_of: dict[str, int] = {}
    spent, trials, best = 0, 0, (-1.0, -1)

    class Tuner(keras_tuner.Hyperband):
        def run_trial(self, trial, *args, **kwargs):
            nonlocal spent, trials, best
            hp = trial.hyperparameters
            row = search.row_of(search.suggest_keras_tuner(hp))
            parent = hp.values.get("tuner/trial_id")  # a promoted trial goes on with its parent's weights and seed
            seed_of[trial.trial_id] = seed_of[parent] if parent else int(g.integers(TABLE_SEEDS))
            to, since = hp.values["tuner/epochs"], hp.values["tuner/initial_epoch"]
            accuracy = table.validation[row, seed_of[trial.trial_id], to - 1]
            if spent + to - since <= epochs:
                spent += to - since
                trials += parent is None
                if to == search.EPOCHS:
                    best = max(best, (float(accuracy), row))
            return {"accuracy": accuracy}

    with tempfile.TemporaryDirectory() as folder:
        tuner = Tuner(
            objective=keras_tuner.Objective("accuracy", "max"),
            max_epochs=search.EPOCHS,
            factor=4,
            hyperband_iterations=3,
            hyperparameters=keras_tuner_space(),
            seed=repeat + 1,
            directory=folder,
            max_consecutive_failed_trials=1,
        )
        tuner.search(verbose=0)
    return {"row": best[1], "trials": trials, "epochs": spent}


def make_pruning(repeats: int = 100, epochs: int = search.BUDGET * search.EPOCHS) -> dict:
    """Winner's row, trials started and epochs spent, for each repeat of each pruner."""
    table = stored_table()
    pruners = {
        "none": optuna.pruners.NopPruner,
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2),
        "Hyperband, Optuna": lambda: optuna.pruners.HyperbandPruner(1, search.EPOCHS, reduction_factor=4),
    }
    found: dict = {}
    for name, pruner in pruners.items():
        runs = [with_pruner(table, pruner(), repeat, epochs) for repeat in range(repeats)]
        found[name] = {key: [run[key] for run in runs] for key in ("row", "trials", "epochs")}
        print(name, np.mean(found[name]["trials"]), flush=True)
    runs = [with_keras_hyperband(table, repeat, epochs) for repeat in range(min(repeats, REPEATS_SLOW))]
    found["Hyperband, KerasTuner"] = {key: [run[key] for run in runs] for key in ("row", "trials", "epochs")}
    print({name: (np.mean(f["trials"]), np.mean(f["epochs"])) for name, f in found.items()}, flush=True)
    return {name: {key: " ".join(map(str, column)) for key, column in f.items()} for name, f in found.items()}


# ---------------------------------------------------------------- eight trials at a time
def in_batches(table: search.Table, liar: bool, repeat: int, batches: int, size: int) -> list[int]:
    """Rows that TPE tries where `size` trials are asked for before any of them is told."""
    sampler = optuna.samplers.TPESampler(seed=repeat, constant_liar=liar)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    rows: list[int] = []
    seeds = seeds_of(repeat, batches * size)
    for _ in range(batches):
        asked = [study.ask() for _ in range(size)]
        for trial in asked:
            rows.append(search.row_of(search.suggest(trial)))
        for trial, row in zip(asked, rows[-size:], strict=True):
            study.tell(trial, table.validation[row, seeds[trial.number], -1])
    return rows


def make_parallel(repeats: int = 60) -> dict:
    """Rows tried in 5 batches of 8, with and without a constant liar, and one after the other."""
    table = stored_table()
    kinds = {"one after the other": (False, 40, 1), "eight at a time": (False, 5, 8), "with a liar": (True, 5, 8)}
    found = {}
    for name, (liar, batches, size) in kinds.items():
        tried = [in_batches(table, liar, repeat, batches, size) for repeat in range(repeats)]
        found[name] = [" ".join(map(str, rows)) for rows in tried]
    return found


# ---------------------------------------------------------------- which hyperparameter matters?
def make_importance(repeats: int = 20) -> dict:
    """Optuna's fANOVA from 24 and 100 random trials; "coffee" is drawn too, and nothing uses it."""
    table, found = stored_table(), {}
    for trials in (24, 100):
        rows = []
        for repeat in range(repeats):
            seeds = seeds_of(repeat, trials)

            def objective(trial, seeds=seeds):
                trial.suggest_float("coffee", 0, 5)
                row = search.row_of(search.suggest(trial))
                return table.validation[row, seeds[trial.number], -1]

            study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=repeat), direction="maximize")
            study.optimize(objective, n_trials=trials)
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=repeat)
            share = optuna.importance.get_param_importances(study, evaluator=evaluator)
            rows.append({name: round(float(value), 4) for name, value in share.items()})
        found[str(trials)] = {name: [row[name] for row in rows] for name in rows[0]}
    return found


# ---------------------------------------------------------------- film reviews
TEXT_GRID = [(words, min_df, sublinear) for words in (1, 2) for min_df in (1, 2, 4) for sublinear in (False, True)]
C_VALUES = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]
ALPHAS = [0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
TEXT_TRAIN, TEXT_VALIDATION, TEXT_TEST = 3000, 500, 5000


def make_text(splits: int = 10) -> dict:
    """Right answers (validation, test) of 216 settings on film reviews, for ten draws of sentences."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB

    from mmcourse.datasets import reviews

    parts = [reviews.load(s) for s in SPLITS]
    sentences = np.array([s for part in parts for s in part.column("words")], dtype=object)
    labels = np.concatenate([part.labels for part in parts])
    ends = np.cumsum([TEXT_TRAIN, TEXT_VALIDATION, TEXT_TEST])
    settings, columns = [], []
    for split in range(splits):
        order = np.random.default_rng(split).permutation(len(sentences))
        train, validation, test = np.split(order[: ends[-1]], ends[:-1])
        rows = []
        for words, min_df, sublinear in TEXT_GRID:
            reader = TfidfVectorizer(ngram_range=(1, words), min_df=min_df, sublinear_tf=sublinear)
            x = reader.fit_transform(sentences[train])
            x_validation, x_test = reader.transform(sentences[validation]), reader.transform(sentences[test])
            models = [("logistic regression", c, LogisticRegression(C=c, max_iter=500)) for c in C_VALUES]
            models += [("naive Bayes", a, MultinomialNB(alpha=a)) for a in ALPHAS]
            for kind, strength, model in models:
                model.fit(x, labels[train])
                scores = [
                    (model.predict(v) == labels[w]).sum() for v, w in ((x_validation, validation), (x_test, test))
                ]
                rows.append([int(s) for s in scores])
                if split == 0:
                    settings.append([words, min_df, sublinear, kind, strength])
        columns.append(rows)
        print("split", split, flush=True)
    counts = np.array(columns)  # (splits, settings, 2)
    default = settings.index([1, 1, False, "logistic regression", 1.0])
    return {
        "settings": [" ".join(map(str, s[:3])) + f" {s[3]} {s[4]}" for s in settings],
        "validation": [" ".join(map(str, row)) for row in counts[:, :, 0]],
        "test": [" ".join(map(str, row)) for row in counts[:, :, 1]],
        "sizes": [TEXT_TRAIN, TEXT_VALIDATION, TEXT_TEST],
        "default": default,
    }


# ---------------------------------------------------------------- several processes
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


# ---------------------------------------------------------------- how much data is enough? (for lesson evaluate)
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


def make_learning() -> dict:
    """Accuracy by the number of training messages, for two models."""
    data = mood()
    return {"n": SIZES, "small": by_size(lambda n, seed: small_network(data, n, seed)), "trimodal": by_size(trimodal)}


# ---------------------------------------------------------------- all parts
PARTS: dict[str, Callable[[], dict]] = {
    "table": make_table,
    "finalists": make_finalists,
    "edge": make_edge,
    "search": make_search,
    "search, Gaussian process in Optuna": make_gaussian_optuna,
    "search, Gaussian process in KerasTuner": make_gaussian_keras,
    "pruning": make_pruning,
    "parallel": make_parallel,
    "importance": make_importance,
    "text": make_text,
    "learning": make_learning,
}


if __name__ == "__main__":
    runtime.setup(threads=1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    make_tables("tune", PARTS, sys.argv[1:], packages=("numpy", "torch", "optuna", "keras-tuner", "scikit-learn"))
