"""Lesson evaluate's long runs: many seeds, the optimism of a search, equal updates, real people, reviews, the challenge.

`make results evaluate`: about eight minutes of one core. `takes` needs the Free Spoken Digit Dataset (fetched once), `people` needs the folder of real data with `emodb`, `reviews` the
sentences of film reviews (fetched once, 1.2 MB).
`python make_results.py nested` (or another name of `TABLES`) makes one table and keeps the others.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402

import numpy as np  # noqa: E402
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import StratifiedKFold, cross_val_score  # noqa: E402
from sklearn.naive_bayes import MultinomialNB  # noqa: E402
from sklearn.neighbors import KNeighborsClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from mmcourse import evaluate  # noqa: E402
from mmcourse.authoring.real import data_folder  # noqa: E402
from mmcourse.authoring.tables import make_tables  # noqa: E402
from mmcourse.datasets import lesson_dir, load, reviews  # noqa: E402
from mmcourse.datasets.avdigits import voices  # noqa: E402
from mmcourse.preprocess import audio, text  # noqa: E402

SPLITS = ("train", "validation", "test")
EPOCHS = {"three epochs": 3, "eight epochs": 8}  # the two recipes of the lesson
SEEDS = 60
NEGATIVE = 0  # the class that the lesson looks for


def mood_vectors() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Vectors (n, 520) and labels (n,) of `mood`, by split."""
    sys.path.insert(0, str(lesson_dir("tune")))
    from tune_search import vectors

    sets = {split: load("mood", split) for split in SPLITS}
    x = dict(zip(SPLITS, vectors(*sets.values()), strict=True))
    return x, {split: np.asarray(data.labels) for split, data in sets.items()}


# ---------------------------------------------------------------- many seeds of two recipes
def make_seeds() -> dict:
    """Share of messages for which "negative or not" is right, for 60 seeds of each recipe; and McNemar among equals."""
    import torch

    x, y = mood_vectors()
    from tune_search import last, train

    torch.set_num_threads(1)
    tensors = {split: torch.from_numpy(x[split]) for split in SPLITS}
    labels = torch.from_numpy(y["train"])
    found: dict = {}
    for name, epochs in EPOCHS.items():
        right: dict[str, list[np.ndarray]] = {"validation": [], "test": []}
        for seed in range(SEEDS):
            net = last(train(tensors["train"], labels, epochs=epochs, seed=seed))
            for split, rows in right.items():
                with torch.no_grad():
                    p = net(tensors[split]).softmax(dim=1)[:, NEGATIVE].numpy()
                rows.append((p > 0.5) == (y[split] == NEGATIVE))
        test, validation = np.array(right["test"]), np.array(right["validation"])  # (60, 1500)
        found[name] = {
            "test": test.mean(axis=1).round(5).tolist(),
            "validation": validation.mean(axis=1).round(5).tolist(),
            "first 200 of validation": validation[:, :200].mean(axis=1).round(5).tolist(),
            "McNemar below 0.05": round(share_significant(test), 4),
        }
        print(name, test.mean().round(4), test.mean(axis=1).std(ddof=1).round(4), found[name]["McNemar below 0.05"])
    return found


def share_significant(right: np.ndarray) -> float:
    """Of all pairs of rows (networks, messages), the share that McNemar's test tells apart at 0.05."""
    few = []
    truth = np.ones(right.shape[1], int)
    for i in range(len(right)):
        for j in range(i):
            few.append(evaluate.mcnemar(truth, right[i].astype(int), right[j].astype(int))[2] < 0.05)
    return float(np.mean(few))


# ---------------------------------------------------------------- the optimism of a search
NUM_SMALL, REPEATS = 90, 8
OUTER, INNER = 5, 5
MODALITIES = {"face": slice(0, 256), "voice": slice(256, 337), "words": slice(337, 520)}


def configurations() -> list[tuple[str, object]]:
    """What a small search tries: columns, and a classifier."""
    found: list[tuple[str, object]] = []
    for columns in ("face", "voice", "words", "face+voice", "face+words", "voice+words", "face+voice+words"):
        found += [(columns, LogisticRegression(C=c, max_iter=200)) for c in (0.001, 0.01, 0.1, 1.0)]
        found += [(columns, KNeighborsClassifier(k)) for k in (1, 3, 9)]
    return found


def columns_of(x: np.ndarray, names: str) -> np.ndarray:
    """The columns of the named modalities."""
    return np.concatenate([x[:, MODALITIES[name]] for name in names.split("+")], axis=1)


def searched(x: np.ndarray, y: np.ndarray, folds: int, seed: int) -> tuple[float, int]:
    """The best cross-validation score of the search, and which configuration has it."""
    cv = StratifiedKFold(folds, shuffle=True, random_state=seed)
    scores = [cross_val_score(model, columns_of(x, names), y, cv=cv).mean() for names, model in configurations()]
    return float(np.max(scores)), int(np.argmax(scores))


def fitted_score(number: int, x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
    """Accuracy of one configuration, trained and tested on these."""
    names, model = configurations()[number]
    return float(model.fit(columns_of(x, names), y).score(columns_of(x_test, names), y_test))


def nested(x: np.ndarray, y: np.ndarray, seed: int) -> float:
    """Nested cross-validation: each outer fold tests the winner of a search that never saw it."""
    scores = []
    for train, test in StratifiedKFold(OUTER, shuffle=True, random_state=seed).split(x, y):
        _, number = searched(x[train], y[train], INNER, seed + 1000)
        scores.append(fitted_score(number, x[train], y[train], x[test], y[test]))
    return float(np.mean(scores))


def small_sets(seeds: range) -> Iterator[tuple[int, str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Small samples of `mood`, 30 messages of each class, with a large test set; then the same with labels drawn anew."""
    x, y = mood_vectors()
    test_x, test_y = np.concatenate([x["test"], x["validation"]]), np.concatenate([y["test"], y["validation"]])
    for seed in seeds:
        g = np.random.default_rng(seed)
        rows = np.concatenate([g.permutation(np.flatnonzero(y["train"] == k))[: NUM_SMALL // 3] for k in range(3)])
        kept = g.permutation(rows)
        same = np.concatenate([g.permutation(np.flatnonzero(test_y == k))[:650] for k in range(3)])
        yield seed, "mood", x["train"][kept], y["train"][kept], test_x[same], test_y[same]
        yield (
            seed,
            "random",
            x["train"][kept],
            g.permutation(y["train"][kept]),
            test_x[same],
            g.permutation(test_y[same]),
        )


def make_nested(seeds: range = range(REPEATS)) -> dict:
    """For each small sample: the best score of a plain search, the nested score, and the truth on a large test set."""
    found: dict = {"num_configurations": len(configurations()), "num_samples": NUM_SMALL, "folds": [OUTER, INNER]}
    tables: dict = {name: {"best": [], "nested": [], "truth": []} for name in ("mood", "random")}
    for seed, name, x, y, x_test, y_test in small_sets(seeds):
        best, number = searched(x, y, OUTER, seed)
        row = {"best": best, "nested": nested(x, y, seed), "truth": fitted_score(number, x, y, x_test, y_test)}
        for key, value in row.items():
            tables[name][key].append(round(value, 4))
        print(seed, name, row, flush=True)
    return found | tables


# ---------------------------------------------------------------- a learning curve at equal updates
PASSES = 60_000  # messages that each model sees in training, as with 3,000 of them in 20 epochs


def trimodal(n: int, epochs: int, seed: int) -> float:
    """Test accuracy of the trimodal model after so many epochs of n messages: lesson tune's learning curve has the same."""
    import torch

    from mmcourse.torch.encoders import AudioEncoder, ImageEncoder, MultimodalClassifier, TextEncoder
    from mmcourse.torch.fusion import Concatenate
    from mmcourse.training.torch import fit, predict

    torch.set_num_threads(1)
    train, test = load("mood", "train"), load("mood", "test")
    rows = np.random.default_rng(seed).permutation(len(train))[:n]
    torch.manual_seed(seed)
    encoders = {
        "face": ImageEncoder(32),
        "voice": AudioEncoder(40, 32),
        "words": TextEncoder(len(train.vocabulary), 32),
    }
    model = MultimodalClassifier(encoders, Concatenate([32] * 3, 128), 3)
    fit(model, train.subset(rows).torch_loader(64, seed=seed), epochs=epochs, seed=seed, progress=False)
    return float((predict(model, test.torch_loader(500)).argmax(axis=1) == test.labels).mean())


def make_updates() -> dict:
    """Three seeds with as many updates as 3,000 messages get in 20 epochs, and 3,000 messages with half of them."""
    runs = {"1500, as many": (1500, PASSES // 1500), "3000, half": (3000, PASSES // 6000)}
    found: dict = {"passes": PASSES}
    for name, (n, epochs) in runs.items():
        found[name] = {"epochs": epochs, "test": [round(trimodal(n, epochs, seed), 4) for seed in range(3)]}
        print(name, found[name], flush=True)
    return found


# ---------------------------------------------------------------- known people
def make_takes() -> dict:
    """Spoken digits of six people (FSDD), lesson audio's features: right answers on new takes of each, all known."""
    clips = voices.read_clips("real")
    mels = [audio.log_mel(wave, voices.SAMPLE_RATE, 256, 128, 32, top_db=80) for wave in clips.waves]
    parts = [[part.mean(axis=0) for part in np.array_split(mel, 8)] for mel in mels]
    x, test = np.reshape(parts, (len(mels), -1)), clips.split["clip"] == "test"
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000, tol=0.01))
    right = model.fit(x[~test], clips.digit[~test]).predict(x[test]) == clips.digit[test]
    speaker = clips.speaker[test]
    names = sorted(set(speaker))
    return {
        "speakers": names,
        "takes": [int((speaker == who).sum()) for who in names],
        "right": [int(right[speaker == who].sum()) for who in names],
    }


# ---------------------------------------------------------------- people who act emotions
def read_people() -> tuple[list[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """EmoDB: waves at 16 kHz, emotion, speaker and sentence of each."""
    folder = data_folder()
    if folder is None or not (folder / "emodb").is_dir():
        raise FileNotFoundError("emodb is not in the folder of real data: set MMCOURSE_REAL_DATA")
    files = sorted((folder / "emodb").glob("*.flac"))
    waves = [audio.read(file)[0] for file in files]
    stems = [file.stem for file in files]
    return waves, *(np.array(column) for column in zip(*[(s[5], s[:2], s[2:5]) for s in stems], strict=True))


def right_in_folds(x: np.ndarray, y: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Whether each sample is right when its fold is left out, bool (n,)."""
    right = np.zeros(len(y), bool)
    for k in np.unique(fold):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000, tol=0.01))
        right[fold == k] = model.fit(x[fold != k], y[fold != k]).predict(x[fold == k]) == y[fold == k]
    return right


def random_folds(y: np.ndarray, seed: int, k: int = 10) -> np.ndarray:
    """The number of a stratified random fold for each sample."""
    fold = np.zeros(len(y), int)
    for number, (_, test) in enumerate(StratifiedKFold(k, shuffle=True, random_state=seed).split(y, y)):
        fold[test] = number
    return fold


def make_people() -> dict:
    """Emotions of ten actors: right answers with random folds, folds by sentence and folds by speaker."""
    waves, emotion, speaker, sentence = read_people()
    mfccs = [audio.mfcc(wave, 16_000, 13, top_db=60) for wave in waves]
    x = np.stack([np.r_[frames.mean(axis=0), frames.std(axis=0)] for frames in mfccs])
    by_chance = [right_in_folds(x, emotion, random_folds(emotion, seed)) for seed in range(10)]
    table = {
        "by recording": np.mean(by_chance, axis=0),
        "by sentence": right_in_folds(x, emotion, sentence),
        "by speaker": right_in_folds(x, emotion, speaker),
    }
    names = sorted(set(speaker))
    _, counts = np.unique(emotion, return_counts=True)
    found: dict = {
        "num_clips": len(waves),
        "speakers": names,
        "num_sentences": len(set(sentence)),
        "clips_per_speaker": [int((speaker == who).sum()) for who in names],
        "majority": round(float(counts.max() / len(emotion)), 4),
        "right_by_speaker": [int(table["by speaker"][speaker == who].sum()) for who in names],
    }
    for name, right in table.items():
        found[name] = [round(float(right[speaker == who].mean()), 4) for who in names]
        print(name, right.mean().round(4), found[name], flush=True)
    return found


# ---------------------------------------------------------------- film reviews
def words(sentence: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return [token for token in text.tokenize(text.normalize(sentence)) if token[0].isalnum()]


STRENGTHS = (0.3, 1.0, 3.0, 10.0)  # scikit-learn's C, chosen on the validation sentences


def make_reviews() -> dict:
    """Probability of praise for each validation and test sentence: TF-IDF with logistic regression, and naive Bayes."""
    sets = {split: reviews.load(split) for split in SPLITS}
    lines = {split: list(data.column("words")) for split, data in sets.items()}
    y = {split: np.asarray(data.labels) for split, data in sets.items()}
    models = [
        make_pipeline(TfidfVectorizer(analyzer=words), LogisticRegression(C=c, solver="liblinear")) for c in STRENGTHS
    ]
    scores = [model.fit(lines["train"], y["train"]).score(lines["validation"], y["validation"]) for model in models]
    chosen = int(np.argmax(scores))
    bayes = make_pipeline(CountVectorizer(analyzer=words), MultinomialNB()).fit(lines["train"], y["train"])
    found: dict = {"C": STRENGTHS[chosen], "num_train": len(y["train"]), "positive": {}, "p": {}}
    for split in ("validation", "test"):
        found["positive"][split] = y[split].tolist()
        found["p"][split] = {
            "logistic regression": np.round(models[chosen].predict_proba(lines[split])[:, 1], 4).tolist(),
            "naive Bayes": np.round(bayes.predict_proba(lines[split])[:, 1], 4).tolist(),
        }
    for name, p in found["p"]["test"].items():
        print(name, np.mean((np.array(p) > 0.5) == y["test"]).round(4), flush=True)
    return found


# ---------------------------------------------------------------- the open challenge
def make_challenge() -> dict:
    """What simple ways reach in the challenge."""
    from mmcourse.exercise import find_challenge

    made = find_challenge("evaluate.challenge")
    drawn = made.public()
    return {
        name: round(made.score({"probabilities": way(drawn)}, drawn.inputs, drawn.hidden), 4)
        for name, way in CHALLENGE_WAYS.items()
    }


def softmax(z: np.ndarray) -> np.ndarray:
    """Probabilities of logits (n, classes)."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def as_they_are(drawn) -> np.ndarray:
    """The softmax of the logits."""
    return softmax(drawn.inputs["logits"])


def shares(drawn) -> np.ndarray:
    """For every message the shares of the classes among the labels."""
    count = np.bincount(drawn.inputs["labels"], minlength=3)
    return np.tile(count / count.sum(), (len(drawn.inputs["logits"]), 1))


def one_temperature(drawn) -> np.ndarray:
    """One temperature for all."""
    t = evaluate.fit_temperature(drawn.inputs["labels"], drawn.inputs["labeled_logits"])
    return softmax(drawn.inputs["logits"] / t)


def temperature_of_each(drawn) -> np.ndarray:
    """A temperature for each microphone."""
    given, p = drawn.inputs, np.zeros(drawn.inputs["logits"].shape)
    for k in np.unique(given["microphone"]):
        mine = given["labeled_microphone"] == k
        t = evaluate.fit_temperature(given["labels"][mine], given["labeled_logits"][mine])
        here = given["microphone"] == k
        p[here] = softmax(given["logits"][here] / t)
    return p


def regression_of_each(drawn) -> np.ndarray:
    """A logistic regression on the logits for each microphone."""
    given, p = drawn.inputs, np.zeros(drawn.inputs["logits"].shape)
    for k in np.unique(given["microphone"]):
        mine, here = given["labeled_microphone"] == k, given["microphone"] == k
        model = LogisticRegression(C=10, max_iter=2000).fit(given["labeled_logits"][mine], given["labels"][mine])
        p[here] = model.predict_proba(given["logits"][here])
    return p


CHALLENGE_WAYS: dict[str, Callable] = {
    "shares": shares,
    "as they are": as_they_are,
    "one temperature": one_temperature,
    "a temperature for each": temperature_of_each,
    "a regression for each": regression_of_each,
}


# ---------------------------------------------------------------- all tables
TABLES: dict[str, Callable[[], dict]] = {
    "seeds": make_seeds,
    "nested": make_nested,
    "updates": make_updates,
    "takes": make_takes,
    "people": make_people,
    "reviews": make_reviews,
    "challenge": make_challenge,
}


if __name__ == "__main__":
    make_tables("evaluate", TABLES, sys.argv[1:], packages=("numpy", "scikit-learn", "torch"))
