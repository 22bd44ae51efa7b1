"""Lesson word_vectors' long runs: controls on the captions, neighbors on reviews, a sentence encoder on real questions.

`make results word_vectors`: about twenty minutes of one quiet core. It needs the extra `pretrained` (MiniLM) and the real
data: film reviews (Pang and Lee 2005), questions to a bank (BANKING77) and to an assistant (CLINC150).
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sklearn
import torch
import transformers
from scipy.sparse.linalg import svds
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from mmcourse import datasets
from mmcourse.authoring.real import data_folder
from mmcourse.datasets import reviews
from mmcourse.datasets.scenes import captions
from mmcourse.evaluate import mcnemar
from mmcourse.preprocess import text, word2vec
from mmcourse.torch.minilm import load_minilm

SEEDS = 5
NUM_NEGATIVES = 5

MIN_COUNT = 20  # of a word in the reviews
REVIEW_WINDOW, REVIEW_WIDTH = 5, 50
REVIEW_STEPS = (100, 600)
BINS = ((20, 49), (50, 199), (200, None))  # how often a word occurs
LOOKED_AT = ("boring", "funny", "good", "bad", "romantic", "director")
NUM_NEAREST = 10
OPPOSITES = (  # chosen before looking
    "good bad, best worst, better worse, new old, big small, long short, more less, always never, first last, love hate"
)

CAPTION_WINDOW, CAPTION_WIDTH, CAPTION_STEPS = 2, 32, 1000  # as in the lesson
PLAIN = ("red", "orange", "yellow", "green", "blue", "purple")
FANCY = ("scarlet", "amber", "golden", "emerald", "azure", "violet")
NO_PARTNER = ("white", "black")
SHAPES = ("circle", "square", "triangle", "diamond", "star", "cross", "disc", "box", "rhombus")
SIZES = ("big", "large", "huge", "small", "little", "tiny")

SHOTS = (1, 5, 20)  # known questions per intent
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)  # scikit-learn's C; validation sentences choose
NUM_REVIEWS = 2000  # training sentences of the larger run


# ---------------------------------------------------------------- neighbors on the reviews
def review_words() -> tuple[list[list[str]], list[str], Counter]:
    """Sentences as words, the words that occur at least MIN_COUNT times (most frequent first), and all counts."""
    sentences = []
    for split in ("train", "validation", "test"):
        for line in reviews.load(split).column("words"):
            sentences.append([t for t in text.tokenize(text.normalize(line)) if t[0].isalnum()])
    counted = Counter(word for sentence in sentences for word in sentence)
    return sentences, [word for word, count in counted.most_common() if count >= MIN_COUNT], counted


def count_pairs(sentences: list[list[str]], words: list[str], window: int) -> np.ndarray:
    """How often each word is near each other one: (n, n). Words that are not listed are left out first."""
    ids = {word: i for i, word in enumerate(words)}
    encoded = [[ids[word] for word in sentence if word in ids] for sentence in sentences]
    centers, contexts = word2vec.skip_gram_pairs(encoded, window)
    n = len(words)
    return np.bincount(centers * n + contexts, minlength=n * n).reshape(n, n)


def expected_pairs(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Real and made-up pairs per real pair: (n, n) each, summing to 1 and to NUM_NEGATIVES."""
    noise = counts.sum(axis=0) ** 0.75
    made_up = NUM_NEGATIVES * counts.sum(axis=1, keepdims=True) * noise / noise.sum()
    return counts / counts.sum(), made_up / counts.sum()


def lowest_loss(counts: np.ndarray) -> float:
    """The expected loss of negative sampling where every score is at its best."""
    real, made_up = expected_pairs(counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        real_part = np.where(real > 0, real * np.log(real / (real + made_up)), 0)
        made_up_part = np.where(made_up > 0, made_up * np.log(made_up / (real + made_up)), 0)
    return float(-(real_part + made_up_part).sum())


def expected_loss(counts: np.ndarray, center: np.ndarray, context: np.ndarray) -> float:
    """Negative sampling's loss, its mean over all draws of negatives."""
    real, made_up = expected_pairs(counts)
    scores = center @ context.T
    return float((real * np.logaddexp(0, -scores) + made_up * np.logaddexp(0, scores)).sum())


@torch.no_grad()
def train_on_counts(
    counts: np.ndarray, seed: int, width: int, steps: int, lr: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """Negative sampling's loss over all pairs and negatives at once, as in the lesson: centers, contexts (n, width).

    The gradient is written out (probability minus target), which takes a third of autograd's time.
    """
    n = len(counts)
    real, made_up = (torch.tensor(part).float() for part in expected_pairs(counts))
    generator = torch.Generator().manual_seed(seed)
    center = (torch.rand(n, width, generator=generator) - 0.5) / width
    context = torch.zeros(n, width)
    optimizer = torch.optim.Adam([center, context], lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for _ in range(steps):
        slope = (real + made_up) * torch.sigmoid(center @ context.T) - real  # (n, n)
        center.grad, context.grad = slope @ context, slope.T @ center
        optimizer.step()
        schedule.step()
    return center.double().numpy(), context.double().numpy()


def ppmi_svd(counts: np.ndarray, width: int) -> np.ndarray:
    """Singular vectors of the positive PMI, times the root of their singular values: (n, width)."""
    shares = counts / counts.sum()
    expected = shares.sum(axis=1, keepdims=True) * shares.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        pmi = np.log(shares / expected)
    left, values, _ = svds(np.where(counts > 0, np.maximum(pmi, 0), 0), width, random_state=0)
    return left * np.sqrt(values)


def nearest(vectors: np.ndarray) -> np.ndarray:
    """The NUM_NEAREST nearest rows of each row, itself left out: (n, NUM_NEAREST)."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=1, kind="stable")[:, :NUM_NEAREST]


def overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Which share of a word's nearest is in both lists: (n,)."""
    return np.array([len(set(a) & set(b)) for a, b in zip(first, second, strict=True)]) / NUM_NEAREST


def neighbors() -> dict:
    """How much lists of neighbors agree between starts, and between samples of the sentences; by frequency of a word."""
    sentences, words, counted = review_words()
    frequency = np.array([counted[word] for word in words])
    bins = [(frequency >= low) & (frequency <= (high or np.inf)) for low, high in BINS]
    counts = count_pairs(sentences, words, REVIEW_WINDOW)
    drawn = []
    for seed in range(SEEDS):
        chosen = np.random.default_rng(seed).integers(0, len(sentences), len(sentences))  # drawn with replacement
        drawn.append(count_pairs([sentences[i] for i in chosen], words, REVIEW_WINDOW))
    lowest, agreement, above, by_start = lowest_loss(counts), {}, {}, {}
    counted_lists = [nearest(ppmi_svd(sample, REVIEW_WIDTH)) for sample in drawn]
    agreement["sentences, PPMI + SVD"] = agreement_in_bins(counted_lists, bins)
    for steps in REVIEW_STEPS:
        starts = [train_on_counts(counts, seed, REVIEW_WIDTH, steps) for seed in range(SEEDS)]
        above[str(steps)] = [round(expected_loss(counts, *pair) - lowest, 4) for pair in starts]
        by_start[steps] = [nearest(centers) for centers, _ in starts]
        samples = [nearest(train_on_counts(sample, 0, REVIEW_WIDTH, steps)[0]) for sample in drawn]  # the same start
        agreement[f"start, {steps} steps"] = agreement_in_bins(by_start[steps], bins)
        agreement[f"sentences, {steps} steps"] = agreement_in_bins(samples, bins)
        print("neighbors", steps, above[str(steps)], agreement, flush=True)
    ids = {word: i for i, word in enumerate(words)}
    shown = {}
    for word in LOOKED_AT:
        times = Counter(words[i] for found in by_start[REVIEW_STEPS[-1]] for i in found[ids[word]])
        shown[word] = times.most_common(NUM_NEAREST)
    return {
        "num_words": len(words),
        "num_tokens": int(sum(counted.values())),
        "num_in_bin": [int(chosen.sum()) for chosen in bins],
        "bins": BINS,
        "steps": REVIEW_STEPS,
        "above the lowest": above,
        "agreement": agreement,
        "by_chance": NUM_NEAREST / (len(words) - 1),
        "looked_at": shown,
        "frequency": {word: counted[word] for word in LOOKED_AT},
        "opposites": {
            "word2vec": opposites(by_start[REVIEW_STEPS[-1]], ids),
            "PPMI + SVD": opposites([nearest(ppmi_svd(counts, REVIEW_WIDTH))], ids),
        },
    }


def agreement_in_bins(lists: list[np.ndarray], bins: list[np.ndarray]) -> list[float]:
    """Mean share of neighbors that two lists have in common, over all pairs of lists; per bin of words."""
    pairs = [(i, j) for i in range(len(lists)) for j in range(i)]
    shared = np.mean([overlap(lists[i], lists[j]) for i, j in pairs], axis=0)  # (n,)
    return [round(float(shared[chosen].mean()), 4) for chosen in bins]


def opposites(lists: list[np.ndarray], ids: dict[str, int]) -> dict:
    """How often a word's opposite is among its nearest, and, as a control, another pair's second word."""
    pairs = [pair.split() for pair in OPPOSITES.split(", ")]
    rows = {}
    for first, second in pairs:
        rows[f"{first}, {second}"] = [
            int(ids[second] in found[ids[first]]) + int(ids[first] in found[ids[second]]) for found in lists
        ]
    hits, tries = 0, 0
    for i, (first, _) in enumerate(pairs):
        for j, (_, second) in enumerate(pairs):
            if i != j:
                for found in lists:
                    hits += int(ids[second] in found[ids[first]]) + int(ids[first] in found[ids[second]])
                    tries += 2
    share = np.mean([sum(row) for row in rows.values()]) / (2 * len(lists))
    return {"found, both ways": rows, "share": round(float(share), 4), "share, other pairs": round(hits / tries, 4)}


# ---------------------------------------------------------------- the captions: controls of the analogies
def caption_sentences() -> list[list[str]]:
    """The 6,000 training captions as words."""
    return [captions.tokens(line) for line in datasets.load("scenes", "train").column("words")]


def with_color_in_front(sentence: list[str]) -> list[str]:
    """“a small star in red” becomes “a small red star”: all words but “in” stay."""
    changed = list(sentence)
    i = 1
    while i + 1 < len(changed):
        if changed[i] == "in" and changed[i + 1] in (*PLAIN, *NO_PARTNER):
            changed[i - 1 : i + 2] = [changed[i + 1], changed[i - 1]]
        i += 1
    return changed


def shuffled(sentences: list[list[str]], among: tuple[str, ...], seed: int) -> list[list[str]]:
    """All occurrences of these words change places at random: the same places, the same frequencies."""
    occurring = [word for sentence in sentences for word in sentence if word in among]
    order = iter(np.random.default_rng(seed).permutation(len(occurring)))
    return [[occurring[next(order)] if word in among else word for word in sentence] for sentence in sentences]


def replaced(sentences: list[list[str]], among: tuple[str, ...], by: str) -> list[list[str]]:
    """One word in place of each of these."""
    return [[by if word in among else word for word in sentence] for sentence in sentences]


def has_color_after_in(sentence: list[str]) -> bool:
    """Whether “in” is followed by a color name somewhere."""
    return any(a == "in" and b in (*PLAIN, *NO_PARTNER) for a, b in zip(sentence, sentence[1:], strict=False))


def at_random(sentences: list[list[str]], size: int, seed: int) -> list[list[str]]:
    """So many of the sentences, drawn without replacement."""
    return [sentences[i] for i in sorted(np.random.default_rng(seed).permutation(len(sentences))[:size])]


def analogy_answer(unit: np.ndarray, ids: dict[str, int], c: str, step: np.ndarray, excluded: tuple[str, ...]) -> str:
    """The word nearest to c plus a step."""
    cosines = unit @ (unit[ids[c]] + step)
    cosines[[ids[word] for word in excluded]] = -np.inf
    return list(ids)[cosines.argmax()]


def judge(vectors: np.ndarray, ids: dict[str, int], seed: int) -> dict[str, float]:
    """Analogies between plain and fancy names with their controls, and ranks of partners."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    partner = dict(zip(PLAIN, FANCY, strict=True))
    rng = np.random.default_rng(seed)
    found: dict[str, list] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(float(value))

    for a in PLAIN:
        for c in PLAIN:
            if a == c:
                continue
            offset, question = unit[ids[partner[a]]] - unit[ids[a]], (a, partner[a], c)
            answer = analogy_answer(unit, ids, c, offset, question)
            note("right", answer == partner[c])
            note("right, orange" if c == "orange" else "right, others", answer == partner[c])
            allowed = analogy_answer(unit, ids, c, offset, ())
            note("not excluded", allowed == partner[c])
            note("not excluded: c", allowed == c)
            without = analogy_answer(unit, ids, c, 0 * offset, question)
            note("no step", without == partner[c])
            note("no step, orange" if c == "orange" else "no step, others", without == partner[c])
            for _ in range(10):
                step = rng.normal(size=len(offset))
                step *= np.linalg.norm(offset) / np.linalg.norm(step)
                note("random step", analogy_answer(unit, ids, c, step, question) == partner[c])
            for wrong in FANCY:  # from a to another color's fancy name; c's own partner is not used
                if wrong not in (partner[a], partner[c]):
                    step = unit[ids[wrong]] - unit[ids[a]]
                    note("wrong pair's step", analogy_answer(unit, ids, c, step, (a, wrong, c)) == partner[c])
    for a, b in (*partner.items(), *((fancy, plain) for plain, fancy in partner.items())):
        cosines = unit @ unit[ids[a]]
        rank = (cosines > cosines[ids[b]]).sum()  # the word itself is one of them
        note("rank, orange" if "orange" in (a, b) else "rank, others", rank)
        note("rank", rank)
    starts, ends = (np.stack([unit[ids[word]] for word in names]) for names in (PLAIN, FANCY))
    note("cosine of offsets", mean_cosine(ends - starts))
    for shift in range(1, len(PLAIN)):
        note("cosine of wrong offsets", mean_cosine(np.roll(ends, shift, axis=0) - starts))
    return {name: round(float(np.mean(values)), 4) for name, values in found.items()}


def mean_cosine(offsets: np.ndarray) -> float:
    """Mean cosine of all pairs of rows."""
    unit = offsets / np.linalg.norm(offsets, axis=1, keepdims=True)
    return float((unit @ unit.T)[np.triu_indices(len(unit), k=1)].mean())


def trained_on(sentences: list[list[str]], seed: int) -> tuple[np.ndarray, dict[str, int]]:
    """Vectors of the words that occur in these sentences, and their ids."""
    words = sorted({word for sentence in sentences for word in sentence})
    counts = count_pairs(sentences, words, CAPTION_WINDOW)
    centers, _ = train_on_counts(counts, seed, CAPTION_WIDTH, CAPTION_STEPS)
    return centers, {word: i for i, word in enumerate(words)}


def interventions() -> dict:
    """Change the captions, count and train anew: five seeds each, which also draw the changes that are random."""
    original = caption_sentences()
    without = [sentence for sentence in original if not has_color_after_in(sentence)]
    in_front = [with_color_in_front(sentence) for sentence in original]
    assert not any(has_color_after_in(sentence) for sentence in in_front)
    same_article = replaced(original, ("an",), "a")
    ways: dict[str, Callable[[int], list[list[str]]]] = {
        "as it was": lambda seed: original,
        "without captions with “in red”": lambda seed: without,
        "as many fewer, at random": lambda seed: at_random(original, len(without), seed),
        "“red star” for “star in red”": lambda seed: in_front,
        "one word for all shapes": lambda seed: replaced(original, SHAPES, "star"),
        "shapes shuffled": lambda seed: shuffled(original, SHAPES, seed),
        "sizes shuffled": lambda seed: shuffled(original, SIZES, seed),
        "“a” for “an”": lambda seed: same_article,
        "shapes shuffled, “a” for “an”": lambda seed: shuffled(same_article, SHAPES, seed),
    }
    table: dict[str, dict[str, list[float]]] = {}
    for name, change in ways.items():
        rows = []
        for seed in range(SEEDS):
            vectors, ids = trained_on(change(seed), seed)
            rows.append(judge(vectors, ids, seed))
        table[name] = {key: [row[key] for row in rows] for key in rows[0]}
        print(name, {key: round(float(np.mean(value)), 3) for key, value in table[name].items()}, flush=True)
    return {"num_captions": len(original), "num_left": len(without), "measures": table}


# ---------------------------------------------------------------- a pretrained encoder
class Encoder:
    """MiniLM with a memory: each sentence is encoded once."""

    def __init__(self) -> None:
        self.minilm = load_minilm()
        self.known: dict[str, np.ndarray] = {}

    def __call__(self, sentences: list[str]) -> np.ndarray:
        """Vectors of length 1: (n, 384)."""
        new = list(dict.fromkeys(s for s in sentences if s not in self.known))
        new.sort(key=len)  # little padding
        for start in range(0, len(new), 64):
            batch = new[start : start + 64]
            self.known.update(zip(batch, self.minilm.encode(batch).numpy(), strict=True))
        return np.stack([self.known[sentence] for sentence in sentences])


def words_of(sentence: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return [token for token in text.tokenize(text.normalize(sentence)) if token[0].isalnum()]


class MeanOfWords:
    """The mean of word vectors that were learned (PPMI + SVD) from these sentences, without their labels."""

    def __init__(self, sentences: list[str], width: int = 100) -> None:
        cut = [words_of(sentence) for sentence in sentences]
        counted = Counter(word for words in cut for word in words)
        words = [word for word, count in counted.most_common() if count >= 2]
        self.vectors = dict(zip(words, ppmi_svd(count_pairs(cut, words, 5), width), strict=True))
        self.width = width

    def __call__(self, sentences: list[str]) -> np.ndarray:
        """(n, width); zeros where no word is known."""
        rows = []
        for sentence in sentences:
            found = [self.vectors[word] for word in words_of(sentence) if word in self.vectors]
            rows.append(np.mean(found, axis=0) if found else np.zeros(self.width))
        return np.stack(rows)


def bank_questions() -> dict[str, tuple[list[str], np.ndarray]]:
    """Questions and intents of BANKING77."""
    found = {}
    for split in ("train", "test"):
        with open(real_data() / "banking77" / f"{split}.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        found[split] = ([row["text"] for row in rows], np.array([row["category"] for row in rows]))
    return found


def assistant_questions() -> dict[str, tuple[list[str], np.ndarray]]:
    """Questions and intents of CLINC150, those that have an intent."""
    content = json.loads((real_data() / "clinc150" / "data_small.json").read_text(encoding="utf-8"))
    found = {}
    for split in ("train", "test"):
        rows = content[split]
        found[split] = ([row[0] for row in rows], np.array([row[1] for row in rows]))
    return found


def real_data() -> Path:
    """The folder of real data; says what to do where there is none."""
    folder = data_folder()
    if folder is None:
        raise FileNotFoundError("no folder of real data: set MMCOURSE_REAL_DATA, see CONTRIBUTING")
    return folder


def nearest_label(known: np.ndarray, labels: np.ndarray, new: np.ndarray) -> np.ndarray:
    """For each new vector the label of the known one with the highest cosine (the first, if several are equal)."""

    def unit(x: np.ndarray) -> np.ndarray:
        lengths = np.linalg.norm(x, axis=1, keepdims=True)
        return (x / np.where(lengths == 0, 1, lengths)).astype(np.float32)

    cosines = unit(new) @ unit(known).T
    return labels[cosines.round(6).argmax(axis=1)]


def representations(sentences: list[str], encoder: Encoder) -> dict[str, Callable[[list[str]], np.ndarray]]:
    """Ways to make vectors of sentences; vocabulary, idf and word vectors come from these training sentences."""
    bag = CountVectorizer(analyzer=words_of).fit(sentences)
    weighted = TfidfVectorizer(analyzer=words_of).fit(sentences)
    return {
        "bag of words": lambda x: bag.transform(x).toarray(),
        "TF-IDF": lambda x: weighted.transform(x).toarray(),
        "mean of our word vectors": MeanOfWords(sentences),
        "MiniLM": encoder,
    }


def intents(questions: dict[str, tuple[list[str], np.ndarray]], encoder: Encoder) -> dict:
    """Accuracy of the nearest known question, with some questions per intent (five draws), and with all."""
    (train, labels), (test, truth) = questions["train"], questions["test"]
    made = representations(train, encoder)
    table: dict[str, dict] = {}
    for name, represent in made.items():
        known, new = represent(train), represent(test)
        table[name] = {}
        for shots in SHOTS:
            accuracies = []
            for seed in range(SEEDS):
                chosen = some_of_each(labels, shots, seed)
                accuracies.append(float((nearest_label(known[chosen], labels[chosen], new) == truth).mean()))
            table[name][str(shots)] = [round(a, 4) for a in accuracies]
        right = nearest_label(known, labels, new) == truth
        table[name]["all"] = [round(float(right.mean()), 4)]
        print(len(test), name, {key: round(float(np.mean(value)), 3) for key, value in table[name].items()}, flush=True)
    return {"num_train": len(train), "num_test": len(test), "num_intents": len(set(labels)), "accuracy": table}


def some_of_each(labels: np.ndarray, shots: int, seed: int) -> np.ndarray:
    """Positions of `shots` samples of each class, drawn at random; all of a class that has fewer."""
    rng = np.random.default_rng(seed)
    chosen = []
    for label in sorted(set(labels)):
        here = np.flatnonzero(labels == label)
        chosen.extend(rng.choice(here, min(shots, len(here)), replace=False))
    return np.array(chosen)


def opinions(encoder: Encoder) -> dict:
    """Test accuracy of logistic regression on review sentences: five disjoint sets of 250, and 2,000 sentences."""
    splits = {}
    for split in ("train", "validation", "test"):
        data = reviews.load(split)
        splits[split] = (list(data.column("words")), np.asarray(data.labels))
    sentences, labels = splits["train"]
    order = np.random.default_rng(0).permutation(len(labels))[:NUM_REVIEWS]
    sets = {"250": np.split(order[: SEEDS * 250], SEEDS), str(NUM_REVIEWS): [order]}
    table: dict[str, dict] = {}
    right: dict[str, np.ndarray] = {}
    for size, chosen_sets in sets.items():
        for chosen in chosen_sets:
            train = [sentences[i] for i in chosen], labels[chosen]
            for name, represent in representations(train[0], encoder).items():
                right[name] = predictions(represent, train, splits) == splits["test"][1]
                table.setdefault(name, {}).setdefault(size, []).append(round(float(right[name].mean()), 4))
        print("opinions", size, {name: np.mean(row[size]).round(3) for name, row in table.items()}, flush=True)
    truth = np.ones(len(splits["test"][1]), int)  # the last `right` are those of all 2,000
    only_first, only_second, p = mcnemar(truth, right["MiniLM"] * 1, right["TF-IDF"] * 1)
    return {
        "num_test": len(truth),
        "num_train": NUM_REVIEWS,
        "accuracy": table,
        "only MiniLM right": int(only_first),
        "only TF-IDF right": int(only_second),
        "p": float(p),
    }


def predictions(represent: Callable, train: tuple, splits: dict) -> np.ndarray:
    """Predicted classes of the test sentences; the validation sentences choose the strength of regularization."""
    x, x_validation, x_test = (represent(s) for s in (train[0], splits["validation"][0], splits["test"][0]))
    best = (-1.0, np.zeros(0))
    for c in STRENGTHS:
        model = LogisticRegression(C=c, solver="liblinear").fit(x, train[1])
        reached = model.score(x_validation, splits["validation"][1])
        if reached > best[0]:
            best = (reached, model.predict(x_test))
    return best[1]


PROBES = (  # our own sentences: what differs, the first one, the second one
    ("no word in common", "where can I get cash", "how do people withdraw money"),
    ("one word differs", "where can I get cash", "where can I get cats"),
    ("order", "the dog bit the man", "the man bit the dog"),
    ("order", "a red circle above a blue star", "a blue star above a red circle"),
    ("negation", "the film was good", "the film was not good"),
    ("opposite", "the film was good", "the film was bad"),
    ("another quality", "the film was good", "the film was long"),
    ("another thing", "the film was good", "the soup was good"),
    ("paraphrase", "the film was good", "I enjoyed this movie"),
    ("unrelated", "the film was good", "my card has not arrived"),
    ("two languages", "the film was good", "这部电影很好看"),
    ("Chinese, unrelated", "我的卡还没有到", "这部电影很好看"),
)


def probes(encoder: Encoder) -> list[dict]:
    """The cosine of two sentences, by MiniLM and by their bags of words."""
    rows = []
    for what, first, second in PROBES:
        u, v = encoder([first, second])
        bags = CountVectorizer(analyzer=words_of).fit_transform([first, second]).toarray().astype(float)
        bag = bags[0] @ bags[1] / np.linalg.norm(bags[0]) / np.linalg.norm(bags[1])
        rows.append({"what": what, "first": first, "second": second, "MiniLM": float(u @ v), "bag": float(bag)})
    return [{key: round(v, 4) if isinstance(v, float) else v for key, v in row.items()} for row in rows]


# Word lists of Caliskan, Bryson and Narayanan 2017, tests 1, 6 and 7.
FLOWERS = """aster clover hyacinth marigold poppy azalea crocus iris orchid rose bluebell daffodil lilac pansy tulip
buttercup daisy lily peony violet carnation gladiola magnolia petunia zinnia""".split()
INSECTS = """ant caterpillar flea locust spider bedbug centipede fly maggot tarantula bee cockroach gnat mosquito
termite beetle cricket hornet moth wasp blackfly dragonfly horsefly roach weevil""".split()
PLEASANT = """caress freedom health love peace cheer friend heaven loyal pleasure diamond gentle honest lucky rainbow
diploma gift honor miracle sunrise family happy laughter paradise vacation""".split()
UNPLEASANT = """abuse crash filth murder sickness accident death grief poison stink assault disaster hatred pollute
tragedy divorce jail poverty ugly cancer kill rotten vomit agony prison""".split()
MEN = "John Paul Mike Kevin Steve Greg Jeff Bill".split()
WOMEN = "Amy Joan Lisa Sarah Diana Kate Ann Donna".split()
CAREER = "executive management professional corporation salary office business career".split()
FAMILY = "home parents children family cousins marriage wedding relatives".split()
MATH = "math algebra geometry calculus equations computation numbers addition".split()
ARTS = "poetry art dance literature novel symphony drama sculpture".split()
MALE = "male man boy brother he him his son".split()
FEMALE = "female woman girl sister she her hers daughter".split()
TESTS = {
    "flowers, insects: pleasant, unpleasant": (FLOWERS, INSECTS, PLEASANT, UNPLEASANT),
    "men's, women's names: career, family": (MEN, WOMEN, CAREER, FAMILY),
    "math, arts: male, female words": (MATH, ARTS, MALE, FEMALE),
}


def associations(encoder: Encoder) -> dict:
    """Effect size d and permutation p (one-sided) of each test, and the mean association of both groups of words."""
    found = {}
    for name, (first, second, a, b) in TESTS.items():
        x, y, attribute_a, attribute_b = (encoder(words) for words in (first, second, a, b))
        # how much nearer a word is to the first attribute than to the second, in the mean
        s = np.concatenate([x, y]) @ (attribute_a.mean(axis=0) - attribute_b.mean(axis=0))
        n = len(first)
        difference = s[:n].mean() - s[n:].mean()
        rng = np.random.default_rng(0)
        drawn = np.array([rng.permutation(s) for _ in range(10_000)])
        exceeded = (drawn[:, :n].mean(axis=1) - drawn[:, n:].mean(axis=1) >= difference - 1e-12).sum()
        found[name] = {
            "d": round(float(difference / s.std(ddof=1)), 3),
            "p": round(float((1 + exceeded) / 10_001), 5),
            "means": [round(float(s[:n].mean()), 4), round(float(s[n:].mean()), 4)],
            "words": n,
        }
        print(name, found[name], flush=True)
    return found


ENCODED = {"probes", "associations", "intents", "opinions"}  # sections that need MiniLM


def main() -> None:
    """Make and save all figures; with names of sections, only those."""
    start = time.process_time()
    torch.set_num_threads(1)
    wanted = sys.argv[1:]
    try:
        figures = datasets.results("word_vectors")
    except FileNotFoundError:
        figures = {}
    encoder = Encoder() if not wanted or set(wanted) & ENCODED else None
    sections: dict[str, Callable[[], object]] = {
        "probes": lambda: probes(encoder),
        "associations": lambda: associations(encoder),
        "intents": lambda: {
            "BANKING77": intents(bank_questions(), encoder),
            "CLINC150": intents(assistant_questions(), encoder),
        },
        "opinions": lambda: opinions(encoder),
        "neighbors": neighbors,
        "interventions": interventions,
    }
    for name in wanted or sections:
        figures[name] = sections[name]()
        figures["date"] = time.strftime("%Y-%m-%d")
        figures["made_with"] = (
            f"1 CPU thread, PyTorch {torch.__version__.split('+')[0]}, scikit-learn {sklearn.__version__}, "
            f"transformers {transformers.__version__}"
        )
        figures.setdefault("seconds", {})[name] = round(time.process_time() - start)
        datasets.save_results("word_vectors", figures)
        start = time.process_time()


if __name__ == "__main__":
    main()
