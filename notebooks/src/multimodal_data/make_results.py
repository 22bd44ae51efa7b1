"""Lesson multimodal_data's long runs: who is in the test set, what annotators agree on, and the challenge.

- `people`: spoken digits (FSDD) and acted emotions (EmoDB), tested on unseen clips and on unseen people;
- `rooms`: synthetic voices, with and without a room of their own, tested both ways;
- `voices`: the same by the number of voices that were recorded;
- `sentences`: sentences about pictures (NLVR) and sarcastic remarks (MUStARD), tested both ways, by a model without pictures;
- `votes`: five votes for each of NLVR's statements;
- `listeners`: the twenty listeners of EmoDB;
- `challenge`: what simple ways reach in the open challenge, on the learner's own draw.

`make results multimodal_data`: about five minutes of one core. It needs the Free Spoken Digit Dataset (fetched once, 16 MB)
and the folder of real data with `emodb`, `nlvr` and `mustard`.
`python make_results.py votes` (or another name of `TABLES`) makes one table and keeps the others.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json  # noqa: E402
import re  # noqa: E402
import sys  # noqa: E402
from collections import Counter  # noqa: E402
from collections.abc import Callable, Iterable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
from sklearn.dummy import DummyClassifier  # noqa: E402
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.svm import SVC  # noqa: E402

from mmcourse.authoring.real import data_folder  # noqa: E402
from mmcourse.authoring.tables import make_tables  # noqa: E402
from mmcourse.datasets.avdigits.voices import read_clips  # noqa: E402
from mmcourse.evaluate import fleiss_kappa  # noqa: E402
from mmcourse.preprocess import audio  # noqa: E402

SEEDS = 5
EQUAL_VOICES = (2, 4, 8, 16)
Waves = list[np.ndarray]


def real_data(name: str) -> Path:
    """A file or folder of the real data."""
    folder = data_folder()
    if folder is None or not (folder / name).exists():
        raise FileNotFoundError(f"{name} is not in the folder of real data: set MMCOURSE_REAL_DATA")
    return folder / name


# ---------------------------------------------------------------- splits
def one_by_one(groups: np.ndarray) -> Iterator[np.ndarray]:
    """Test masks (n,), each with all samples of one group."""
    for group in np.unique(groups):
        yield groups == group


def mixed_up(groups: np.ndarray, seed: int) -> np.ndarray:
    """The same groups, of the same sizes, with their members drawn at random: same training sizes, and nothing shared."""
    return np.random.default_rng(seed).permutation(groups)


def cross_validated(make: Callable, x, y: np.ndarray, tests: Iterable[np.ndarray]) -> list[float]:
    """Accuracy on each test set, after training on the rest."""
    found = []
    for test in tests:
        model = make().fit(x[~test], y[~test])
        found.append(round(float((model.predict(x[test]) == y[test]).mean()), 4))
    return found


def weighted(accuracies: list[float], groups: np.ndarray) -> float:
    """Accuracy over all samples, from the accuracies per group."""
    _, counts = np.unique(groups, return_counts=True)
    return round(float(np.average(accuracies, weights=counts)), 4)


def both_ways(make: Callable, x, y: np.ndarray, groups: np.ndarray) -> dict:
    """{"by group": accuracy per group left out, "at random": accuracy over all samples by seed, groups mixed up}."""
    found = {"by group": cross_validated(make, x, y, one_by_one(groups)), "at random": []}
    for seed in range(SEEDS):
        fake = mixed_up(groups, seed)
        found["at random"].append(weighted(cross_validated(make, x, y, one_by_one(fake)), fake))
    return found


def support_vectors():
    """The lesson's classifier."""
    return make_pipeline(StandardScaler(), SVC(C=10))


def linear():
    """The same decision with a weighted sum."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))


# ---------------------------------------------------------------- real people
def eight_parts(mels: Iterable[np.ndarray]) -> np.ndarray:
    """Frames (t, bands) of n clips → mean of each eighth of the time, (n, 8, bands)."""
    return np.stack([[part.mean(axis=0) for part in np.array_split(frames, 8)] for frames in mels])


def nearest_other(x: np.ndarray) -> np.ndarray:
    """Number of each sample's nearest other sample (n,), on standardized features."""
    scaled = StandardScaler().fit_transform(x)
    return NearestNeighbors(n_neighbors=1).fit(scaled).kneighbors(return_distance=False)[:, 0]


def share(equal: np.ndarray) -> float:
    """Share of True."""
    return round(float(np.mean(equal)), 4)


def spoken_digits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """FSDD: eight parts (n, 8, 32), digits, speakers."""
    clips = read_clips("real")
    mels = [audio.log_mel(wave, 8000, 256, 128, 32, top_db=80) for wave in clips.waves]
    return eight_parts(mels), clips.digit, clips.speaker


def acted_emotions() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """EmoDB: eight parts of log-mel frames (n, 8, 40), emotion letters, speakers."""
    files = sorted(real_data("emodb").glob("*.flac"))
    mels = [audio.log_mel(audio.read(file)[0], 16_000, 512, 256, 40, top_db=60) for file in files]
    x = np.stack([np.stack([frames.mean(axis=0), frames.std(axis=0)]) for frames in mels])
    return x, np.array([file.stem[5] for file in files]), np.array([file.stem[:2] for file in files])


def make_people() -> dict:
    """Unseen clips against unseen people, two models, and with the mean over time taken off (a control)."""
    found: dict = {}
    for name, read in {"digits": spoken_digits, "emotions": acted_emotions}.items():
        x, y, speaker = read()
        names, counts = np.unique(y, return_counts=True)
        flat = x.reshape(len(x), -1)
        nearest = nearest_other(flat)
        others = np.array([who != speaker for who in speaker])  # (n, n): whose clip is by somebody else
        scaled = StandardScaler().fit_transform(flat)
        stranger = [
            int(np.where(row, ((scaled - clip) ** 2).sum(axis=1), np.inf).argmin())
            for clip, row in zip(scaled, others, strict=True)
        ]
        table = found[name] = {
            "num_clips": len(y),
            "speakers": np.unique(speaker).tolist(),
            "majority": round(float(counts.max() / len(y)), 4),
            "nearest is the same person": share(speaker[nearest] == speaker),
            "nearest has the same label": share(y[nearest] == y),
            "nearest of another person has the same label": share(y[stranger] == y),
            "same person by chance": round(float(np.mean([(speaker == who).sum() - 1 for who in speaker]) / len(y)), 4),
            "SVC": both_ways(support_vectors, flat, y, speaker),
            "linear": both_ways(linear, flat, y, speaker),
        }
        if name == "digits":  # what a microphone or a room adds to every frame alike is gone with the mean
            centered = (x - x.mean(axis=1, keepdims=True)).reshape(len(x), -1)
            table["mean over time taken off"] = both_ways(support_vectors, centered, y, speaker)
            table["nearest is the same person, mean taken off"] = share(speaker[nearest_other(centered)] == speaker)
        print(name, table, flush=True)
    return found


# ---------------------------------------------------------------- synthetic voices in rooms
def room(wave: np.ndarray, person: int, number: int, microphone: bool = True, noise: bool = True) -> np.ndarray:
    """The recording as heard in this voice's room; as in the lesson."""
    g = np.random.default_rng(person)
    echo, color, snr_db = g.normal(size=7) * 0.8 ** np.arange(1, 8), g.normal(size=16), g.uniform(0, 15)
    if microphone:
        wave = np.convolve(wave, [1, *echo])[: len(wave)]
    if noise:
        hiss = np.convolve(np.random.default_rng([person, number]).normal(size=len(wave) + 15), color, "valid")
        wave = wave + hiss * np.sqrt((wave**2).mean() / (hiss**2).mean() / 10 ** (snr_db / 10))
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def recorded(microphone: bool, noise: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All synthetic clips in their rooms: features (n, 256), digits, takes, numbers of the voices."""
    clips = read_clips("embedded")
    person = np.searchsorted(np.unique(clips.speaker), clips.speaker)
    waves = [room(w, p, i, microphone, noise) for i, (w, p) in enumerate(zip(clips.waves, person, strict=True))]
    mels = [audio.log_mel(wave, 8000, 256, 128, 32, top_db=80) for wave in waves]
    return eight_parts(mels).reshape(len(waves), -1), clips.digit, clips.take, person


def of_voices(x, y, take, person, chosen) -> tuple[float, float]:
    """Accuracy on new takes of these voices, and on each voice after training on the others."""
    rows = np.isin(person, chosen)
    x, y, take, person = x[rows], y[rows], take[rows], person[rows]
    by_take = cross_validated(support_vectors, x, y, one_by_one(take))
    by_voice = cross_validated(support_vectors, x, y, one_by_one(person))
    return round(float(np.mean(by_take)), 4), round(float(np.mean(by_voice)), 4)


def make_rooms() -> dict:
    """Six groups of six voices: accuracy on new takes and on new voices, by what the rooms do."""
    groups = np.random.default_rng(0).permutation(36).reshape(6, 6)
    kinds = {
        "voices only": (False, False),
        "microphones": (True, False),
        "noise": (False, True),
        "microphones and noise": (True, True),
    }
    found = {}
    for name, parts in kinds.items():
        made = recorded(*parts)
        by_take, by_voice = zip(*(of_voices(*made, who) for who in groups), strict=True)
        found[name] = {"new takes": list(by_take), "new voices": list(by_voice)}
        print(name, np.mean(by_take), np.mean(by_voice), flush=True)
    return found


def make_voices() -> dict:
    """The same in full rooms, by the number of voices that were recorded: disjoint groups of the 36."""
    made = recorded(True, True)
    order = np.random.default_rng(0).permutation(36)
    found = {}
    for n in (2, 3, 6, 12, 18):
        by_take, by_voice = zip(*(of_voices(*made, who) for who in np.array_split(order, 36 // n)), strict=True)
        found[str(n)] = {"new takes": list(by_take), "new voices": list(by_voice)}
        print(n, np.mean(by_take), np.mean(by_voice), flush=True)
    return found


def make_equal() -> dict:
    """As `voices`, on twelve other voices each time, by the number of voices: 80 recordings in all, or 40 of each voice."""
    x, y, _, person = recorded(True, True)
    found: dict = {str(n): {"80 recordings": [], "40 of each": []} for n in EQUAL_VOICES}
    for draw in range(10):
        g = np.random.default_rng(draw)
        order = g.permutation(36)
        test = np.isin(person, order[24:])
        for n in EQUAL_VOICES:
            rows = np.flatnonzero(np.isin(person, order[:n]))
            kept = np.concatenate([spread_over(rows[y[rows] == digit], person, 8, g) for digit in range(10)])
            for name, chosen in (("80 recordings", kept), ("40 of each", rows)):
                score = support_vectors().fit(x[chosen], y[chosen]).score(x[test], y[test])
                found[str(n)][name].append(round(float(score), 4))
    for n, row in found.items():
        print(n, {name: np.mean(values).round(3) for name, values in row.items()}, flush=True)
    return found


def spread_over(rows: np.ndarray, person: np.ndarray, size: int, g: np.random.Generator) -> np.ndarray:
    """`size` of these rows, with as equal numbers of each voice as can be."""
    rows = g.permutation(rows)
    turn = np.zeros(len(rows), int)  # the first of each voice, then the second, …
    for who in np.unique(person[rows]):
        turn[person[rows] == who] = np.arange((person[rows] == who).sum())
    return rows[np.argsort(turn, kind="stable")[:size]]


# ---------------------------------------------------------------- texts without their pictures
def statements() -> list[dict]:
    """NLVR's development set: sentences about pictures, true or false, with five votes each."""
    return [json.loads(line) for line in (real_data("nlvr") / "dev.json").read_text(encoding="utf-8").splitlines()]


def in_parts(groups: np.ndarray, seed: int, parts: int = 10) -> np.ndarray:
    """Number of the part of each sample: whole groups are dealt out at random."""
    names, which = np.unique(groups, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(names)) % parts)[which]


def texts_both_ways(make: Callable, texts: np.ndarray, y: np.ndarray, groups: np.ndarray) -> dict:
    """Accuracy over all samples by seed, whole groups in ten parts, and the same parts mixed up."""
    found: dict = {"by group": [], "at random": []}
    for seed in range(SEEDS):
        parts = in_parts(groups, seed)
        found["by group"].append(weighted(cross_validated(make, texts, y, one_by_one(parts)), parts))
        fake = mixed_up(parts, seed)
        found["at random"].append(weighted(cross_validated(make, texts, y, one_by_one(fake)), fake))
    return found


def make_sentences() -> dict:
    """Models that see the sentence only."""
    rows = statements()
    texts, y = (np.array([row[key] for row in rows]) for key in ("sentence", "label"))
    group = np.array([row["identifier"].split("-")[0] for row in rows])
    kinds = {
        "nearest sentence": lambda: make_pipeline(CountVectorizer(binary=True), KNeighborsClassifier(1)),
        "bag of words": lambda: make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10)),
    }
    found: dict = {
        "nlvr": {
            "num": len(y),
            "num_groups": len(set(group)),
            "num_different_pictures": len({json.dumps(row["structured_rep"]) for row in rows}),
            "majority": round(max(Counter(y.tolist()).values()) / len(y), 4),
            "groups with both labels": sum(len(set(y[group == name])) > 1 for name in set(group)),
        }
        | {name: texts_both_ways(make, texts, y, group) for name, make in kinds.items()}
    }
    remarks = list(json.loads((real_data("mustard") / "sarcasm_data.json").read_text(encoding="utf-8")).values())
    texts, speaker = (np.array([row[key] for row in remarks]) for key in ("utterance", "speaker"))
    y = np.array([row["sarcasm"] for row in remarks])
    named = {
        "name alone": texts_both_ways(
            lambda: make_pipeline(CountVectorizer(token_pattern=r".+"), LogisticRegression(C=10)), speaker, y, speaker
        ),
        "most frequent label of the training set": texts_both_ways(
            lambda: DummyClassifier(strategy="most_frequent"), speaker, y, speaker
        ),
        "bag of words": texts_both_ways(kinds["bag of words"], texts, y, speaker),
    }
    found["mustard"] = {"num": len(y), "num_groups": len(set(speaker)), "majority": 0.5} | named
    print(found, flush=True)
    return found


# ---------------------------------------------------------------- annotators
ANSWERS = ("true", "false", "nonsense")


def vote_counts(rows: list[dict]) -> np.ndarray:
    """(n, 3): how many of the five chose each answer."""
    return np.array([[list(row["evals"].values()).count(answer) for answer in ANSWERS] for row in rows])


def agreement(counts: np.ndarray) -> tuple[float, float, float]:
    """Share of agreeing pairs, the same by chance (everybody's answers pooled), Fleiss' kappa."""
    n = counts.sum(axis=1)[0]
    pairs = float(((counts * (counts - 1)).sum(axis=1) / (n * (n - 1))).mean())
    chance = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    return pairs, chance, fleiss_kappa(counts)


def alpha(counts: np.ndarray) -> float:
    """Krippendorff's alpha for names (2011): pairs within samples against pairs drawn from all votes, without replacement."""
    n, m = counts.sum(), counts.sum(axis=1)[0]
    observed = 1 - ((counts * (counts - 1)).sum(axis=1) / (m * (m - 1))).mean()
    totals = counts.sum(axis=0)
    expected = 1 - (totals * (totals - 1)).sum() / (n * (n - 1))
    return float(1 - observed / expected)


def make_votes() -> dict:
    """NLVR's votes: agreement with an interval over sentences, and one voter against the other four."""
    rows = statements()
    counts = vote_counts(rows)
    _, which = np.unique([row["identifier"].split("-")[0] for row in rows], return_inverse=True)
    pairs, chance, kappa = agreement(counts)
    g = np.random.default_rng(0)
    members = [np.flatnonzero(which == k) for k in range(which.max() + 1)]
    again = []
    for _ in range(2000):  # whole sentences are drawn anew: their statements are not independent
        drawn = np.concatenate([members[k] for k in g.integers(0, len(members), len(members))])
        again.append(agreement(counts[drawn])[2])
    right = []
    for row in counts:
        for answer, times in enumerate(row):
            others = row.copy()
            others[answer] -= 1 if times else 0
            best = np.flatnonzero(others == others.max())
            right += [float(answer in best) / len(best)] * int(times)
    label = np.array([ANSWERS.index(row["label"]) for row in rows])
    voters = [(row["evals"], row["label"]) for row in rows]
    by_voter = {}
    for name in sorted({name for votes, _ in voters for name in votes}):
        own = [votes[name] == truth for votes, truth in voters if name in votes]
        by_voter[name] = [len(own), round(float(np.mean(own)), 4)]
    patterns = Counter(" ".join(map(str, row)) for row in counts.tolist())
    found = {
        "num": len(rows),
        "counts of true, false, nonsense": dict(patterns.most_common()),
        "shares": np.round(counts.sum(axis=0) / counts.sum(), 4).tolist(),
        "pairs": round(pairs, 4),
        "chance": round(chance, 4),
        "fleiss": round(kappa, 4),
        "interval": np.round(np.quantile(again, [0.025, 0.975]), 4).tolist(),
        "krippendorff": round(alpha(counts), 4),
        "one against the majority of the other four": round(float(np.mean(right)), 4),
        "majority is the label": round(float((counts.argmax(axis=1) == label).mean()), 4),
        "all five agree": round(float((counts.max(axis=1) == 5).mean()), 4),
        "by voter: votes, share like the label": by_voter,
    }
    print(found, flush=True)
    return found


EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}


def make_listeners() -> dict:
    """EmoDB: how many of the listeners heard the intended emotion, of all recordings and of those that were published."""
    folder = real_data("emodb")
    lines = (folder / "erkennung.txt").read_text(encoding="latin-1").splitlines()
    rows = [line.split("\t") for line in lines if ".wav" in line]
    names = [row[1].strip().removesuffix(".wav") for row in rows]
    heard, natural = (
        np.array([float(re.sub(r"[^0-9,]", "", row[k]).replace(",", ".")) / 100 for row in rows]) for k in (2, 3)
    )
    kept = np.array([(folder / f"{name}.flac").is_file() for name in names])
    emotion = np.array([name[5] for name in names])
    sets = {"all": np.ones(len(names), bool), "published": kept, "left out": ~kept}
    edges = np.arange(0, 1.01, 0.1)
    found: dict = {}
    for name, rows_of in sets.items():
        by_emotion = {EMOTIONS[k]: round(float(heard[rows_of & (emotion == k)].mean()), 4) for k in EMOTIONS}
        found[name] = {
            "num": int(rows_of.sum()),
            "heard as intended": round(float(heard[rows_of].mean()), 4),
            "least": round(float(heard[rows_of].min()), 4),
            "natural": round(float(natural[rows_of].mean()), 4),
            "by emotion": by_emotion,
            "histogram": np.histogram(heard[rows_of], edges)[0].tolist(),
        }
    found["left out though heard by 80 % or more"] = int(((heard >= 0.8) & ~kept).sum())
    found["correlation of heard and natural"] = round(float(np.corrcoef(heard, natural)[0, 1]), 4)
    print(found, flush=True)
    return found


# ---------------------------------------------------------------- the open challenge
def majority_vote(votes: np.ndarray, classes: int) -> np.ndarray:
    """The most frequent answer of each row; ties go to the lowest class. Votes (n, annotators), -1 where there is none."""
    return np.stack([(votes == k).sum(axis=1) for k in range(classes)], axis=1).argmax(axis=1)


def dawid_skene(votes: np.ndarray, classes: int, rounds: int = 30, one_number: bool = False) -> np.ndarray:
    """Labels by EM (Dawid and Skene 1979): what annotators are worth from the labels, then labels from that.

    `one_number`: each annotator has an accuracy only, not a table of which class is answered for which.
    """
    answered = np.stack([votes == k for k in range(classes)], axis=2).astype(float)  # (n, annotators, answer)
    p = answered.sum(axis=1)
    p /= p.sum(axis=1, keepdims=True)
    for _ in range(rounds):
        table = np.einsum("nk,nab->akb", p, answered) + 0.5  # (annotators, true, answer)
        table /= table.sum(axis=2, keepdims=True)
        if one_number:
            share = np.einsum("nk,nak->a", p, answered) / answered.sum(axis=(0, 2))
            share = share[:, None, None]
            table = np.where(np.eye(classes, dtype=bool), share, (1 - share) / (classes - 1))
        logs = np.log(p.mean(axis=0)) + np.einsum("nab,akb->nk", answered, np.log(np.maximum(table, 1e-9)))
        p = np.exp(logs - logs.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
    return p.argmax(axis=1)


def make_challenge() -> dict:
    """Simple ways in the challenge, on the learner's own draw."""
    from mmcourse.exercise import find_challenge

    found = find_challenge("multimodal_data.challenge")
    assert found is not None
    drawn = found.public()
    votes = drawn.inputs["votes"]

    def score(predictions: np.ndarray) -> float:
        return round(found.scored(found.checked(predictions), drawn), 4)

    known, labels = drawn.inputs["known"], drawn.inputs["known_labels"]
    right = (votes[known] == labels[:, None]) & (votes[known] >= 0)
    worth = right.sum(axis=0) / np.maximum((votes[known] >= 0).sum(axis=0), 1)  # of each annotator
    best = np.argsort(-worth)[:4]
    weights = np.log(np.clip(worth, 0.26, 0.97) / (1 - np.clip(worth, 0.26, 0.97)) * 3)
    counted = np.stack([((votes == k) * weights).sum(axis=1) for k in range(4)], axis=1)
    table = {
        "always the most frequent answer": score(np.full(len(votes), np.bincount(votes[votes >= 0]).argmax())),
        "majority vote": score(majority_vote(votes, 4)),
        "the four best annotators": score(majority_vote(votes[:, best], 4)),
        "votes weighted by accuracy on the known": score(counted.argmax(axis=1)),
        "EM, one number per annotator": score(dawid_skene(votes, 4, one_number=True)),
        "EM, a table per annotator": score(dawid_skene(votes, 4)),
    }
    print(table, flush=True)
    return table


# ---------------------------------------------------------------- all tables
TABLES: dict[str, Callable[[], dict]] = {
    "votes": make_votes,
    "listeners": make_listeners,
    "sentences": make_sentences,
    "rooms": make_rooms,
    "voices": make_voices,
    "equal": make_equal,
    "people": make_people,
    "challenge": make_challenge,
}


if __name__ == "__main__":
    make_tables("multimodal_data", TABLES, sys.argv[1:], packages=("numpy", "scikit-learn"))
