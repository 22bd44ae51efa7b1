"""Lesson text's long run: what cleaning is worth on real film reviews, at two sizes of the training set.

`make results text`: about two minutes of one processor. It needs the reviews (fetched once, 1.2 MB).
"""

from __future__ import annotations

import functools
import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import sklearn
from nltk.stem import PorterStemmer
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

from mmcourse import datasets
from mmcourse.datasets import reviews
from mmcourse.evaluate import paired_bootstrap
from mmcourse.preprocess import text

SIZES = (1000, None)  # training sentences; None: all of them
DRAWS = 5  # training sets of the small size
FOLDS = 10  # of a cross-validation over all sentences
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)  # scikit-learn's C; the validation set chooses, for every recipe alike
NEGATIONS = frozenset("not no never n't nothing nor cannot isn't doesn't don't can't won't without".split())
BASELINE = "TF-IDF"
stem = PorterStemmer().stem


@functools.cache
def tokens_of(sentence: str) -> tuple[str, ...]:
    """Words and punctuation marks in lower case; each sentence is cut once."""
    return tuple(text.tokenize(text.normalize(sentence)))


def words(sentence: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return [token for token in tokens_of(sentence) if token[0].isalnum()]


def with_pairs(tokens: list[str]) -> list[str]:
    """The words, and each pair of neighbors."""
    return tokens + [f"{a} {b}" for a, b in zip(tokens, tokens[1:], strict=False)]


def without(tokens: list[str], removed: frozenset[str]) -> list[str]:
    """The words that are not `removed`."""
    return [token for token in tokens if token not in removed]


def stems(tokens: list[str]) -> list[str]:
    """Porter's stems; made once per word."""
    return [STEMS.setdefault(token, stem(token)) for token in tokens]


STEMS: dict[str, str] = {}
NO_STOP = frozenset(ENGLISH_STOP_WORDS)
# name → (tokens of a sentence, TF-IDF or counts)
RECIPES: dict[str, tuple[Callable[[str], list[str]], bool]] = {
    "counts": (words, False),
    BASELINE: (words, True),
    "TF-IDF, punctuation kept": (lambda s: list(tokens_of(s)), True),
    "TF-IDF, no stop words": (lambda s: without(words(s), NO_STOP), True),
    "TF-IDF, no stop words but negations": (lambda s: without(words(s), NO_STOP - NEGATIONS), True),
    "TF-IDF, stems": (lambda s: stems(words(s)), True),
    "TF-IDF, words and pairs": (lambda s: with_pairs(words(s)), True),
    "TF-IDF, words and pairs, no stop words": (lambda s: with_pairs(without(words(s), NO_STOP)), True),
}


def load() -> dict[str, tuple[list[str], np.ndarray]]:
    """Sentences and classes of each split."""
    found = {}
    for split in ("train", "validation", "test"):
        data = reviews.load(split)
        found[split] = (list(data.column("words")), np.asarray(data.labels))
    return found


def fold_of(sentence: str) -> int:
    """The fold that a sentence belongs to, by its letters alone, so that doubles stay together."""
    letters = re.sub(r"\W+", " ", sentence.lower()).strip()
    return hashlib.sha256(letters.encode()).digest()[1] % FOLDS


def cross_validation(splits: dict) -> list[dict]:
    """For each fold: it is the test set, the next one the validation set, and the others train."""
    sentences = np.array([sentence for split in splits.values() for sentence in split[0]], dtype=object)
    labels = np.concatenate([split[1] for split in splits.values()])
    folds = np.array([fold_of(sentence) for sentence in sentences])
    found = []
    for test in range(FOLDS):
        validation = (test + 1) % FOLDS
        kept = {"test": folds == test, "validation": folds == validation}
        kept["train"] = ~(kept["test"] | kept["validation"])
        found.append({name: (sentences[rows].tolist(), labels[rows]) for name, rows in kept.items()})
    return found


def frequencies(sentences: list[str]) -> dict:
    """How often the word and the pair of each rank occur, at ranks 1, 2, 4, …; and the share that occurs once."""
    found = {}
    for name in ("words", "pairs"):
        counted = Counter()
        for sentence in sentences:
            tokens = words(sentence)
            counted.update(tokens if name == "words" else with_pairs(tokens)[len(tokens) :])
        counts = sorted(counted.values(), reverse=True)
        ranks = [2**k for k in range(len(counts).bit_length())]
        once = sum(count == 1 for count in counts) / len(counts)
        found[name] = {"ranks": ranks, "counts": [counts[rank - 1] for rank in ranks], "once": once}
    return found


def draw(labels: np.ndarray, size: int | None, seed: int) -> np.ndarray:
    """Which training sentences are used: all, or `size` of them."""
    everything = np.arange(len(labels))
    return everything if size is None else np.random.default_rng(seed).choice(everything, size, replace=False)


def vectors(recipe: str, splits: dict, chosen: np.ndarray) -> tuple[csr_matrix, csr_matrix, csr_matrix]:
    """Training, validation and test vectors. The vectorizer is fitted on the training sentences only."""
    cut, weighted = RECIPES[recipe]
    vectorizer = TfidfVectorizer(analyzer=cut) if weighted else CountVectorizer(analyzer=cut)
    x = vectorizer.fit_transform([splits["train"][0][i] for i in chosen])
    return x, vectorizer.transform(splits["validation"][0]), vectorizer.transform(splits["test"][0])


def predict(recipe: str, splits: dict, chosen: np.ndarray) -> tuple[np.ndarray, float]:
    """Predictions for the test sentences, and the C that the validation set chose."""
    x, x_validation, x_test = vectors(recipe, splits, chosen)
    target = splits["train"][1][chosen]
    best, found, best_c = -1.0, np.zeros(0), 0.0
    for c in STRENGTHS:
        model = LogisticRegression(C=c, solver="liblinear").fit(x, target)
        reached = model.score(x_validation, splits["validation"][1])
        if reached > best:
            best, best_c, found = reached, c, model.predict(x_test)
    return found, best_c


def naive_bayes(splits: dict, chosen: np.ndarray) -> np.ndarray:
    """Multinomial naive Bayes on counts of words: a plain baseline."""
    x, _, x_test = vectors("counts", splits, chosen)
    return MultinomialNB().fit(x, splits["train"][1][chosen]).predict(x_test)


def negated(sentences: list[str]) -> np.ndarray:
    """Whether each sentence holds a negation, bool (n,)."""
    return np.array([any(token in NEGATIONS for token in words(sentence)) for sentence in sentences])


def all_folds(splits: dict) -> dict:
    """Each recipe on every sentence, tested once: accuracy, and the gain over the baseline with its interval."""
    parts = cross_validation(splits)
    truth = np.concatenate([part["test"][1] for part in parts])
    guesses = {}
    for name in RECIPES:
        guesses[name] = np.concatenate([predict(name, p, np.arange(len(p["train"][1])))[0] for p in parts])
    bayes = [naive_bayes(p, np.arange(len(p["train"][1]))) for p in parts]
    guesses["naive Bayes on counts"] = np.concatenate(bayes)
    table = {}
    for name, guess in guesses.items():
        gain = list(paired_bootstrap(truth, guesses[BASELINE], guess, seed=0))
        table[name] = {"accuracy": float((guess == truth).mean()), "gain": gain}
        print("folds", name, round(table[name]["accuracy"], 3), np.round(gain, 3), flush=True)
    return table


def main() -> None:
    """Make and save all figures."""
    start = time.process_time()
    splits = load()
    labels = splits["train"][1]
    test_sentences, truth = splits["test"]
    has_not = negated(test_sentences)
    commonest = np.bincount(labels).argmax()
    figures = {
        "num_train": len(labels),
        "num_test": len(truth),
        "num_negated": int(has_not.sum()),
        "majority": float((truth == commonest).mean()),
        "made_with": f"1 CPU thread, scikit-learn {sklearn.__version__}",
        "date": time.strftime("%Y-%m-%d"),
    }
    for size in SIZES:
        table = {}
        draws = [draw(labels, size, seed) for seed in range(1 if size is None else DRAWS)]
        guesses = {name: [predict(name, splits, chosen) for chosen in draws] for name in RECIPES}
        guesses["naive Bayes on counts"] = [(naive_bayes(splits, chosen), 0.0) for chosen in draws]
        for name, found in guesses.items():
            right = np.array([guess == truth for guess, _ in found])  # (draws, n)
            row = {"accuracy": right.mean(axis=1).tolist(), "negated": right[:, has_not].mean(axis=1).tolist()}
            row["C"] = [c for _, c in found]
            if size is None:  # minus the baseline, and the interval that other test sets give
                row["gain"] = list(paired_bootstrap(truth, guesses[BASELINE][0][0], found[0][0], seed=0))
            table[name] = row
            print(size or "all", name, np.round(row["accuracy"], 3), np.round(row.get("gain", []), 3), flush=True)
        figures[str(size or "all")] = table
    figures["folds"] = all_folds(splits)
    figures["frequencies"] = frequencies(splits["train"][0])
    datasets.save_results("text", {**figures, "seconds": round(time.process_time() - start)})


if __name__ == "__main__":
    main()
