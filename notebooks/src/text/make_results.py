"""Lesson text's long run: what cleaning is worth on real film reviews, at four sizes of the training set.

`make results text`: a few minutes of one processor. It needs the reviews (fetched once, 1.2 MB).
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
import tokenizers
from nltk.stem import PorterStemmer
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

from mmcourse import datasets
from mmcourse.datasets import reviews
from mmcourse.preprocess import text

FOLDS = 10  # of a cross-validation over all sentences
SIZES = (250, 1000, 4000, None)  # training sentences in each fold; None: all of them, about 8,500
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)  # scikit-learn's C; the validation fold chooses, for every recipe alike
NEGATIONS = frozenset("not no never n't nothing nor cannot isn't doesn't don't can't won't without".split())
NUM_TELLING = 30  # stop words with the largest weights
NUM_PIECES = 8000  # vocabulary of the byte-level pieces
BASELINE = "TF-IDF"
NAIVE_BAYES = "naive Bayes on counts"
TELLING = "TF-IDF, no stop words but 30"
PIECES = "TF-IDF, byte-level pieces"
stem = functools.cache(PorterStemmer().stem)


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


NO_STOP = frozenset(ENGLISH_STOP_WORDS)
# name → (tokens of a sentence, TF-IDF or counts); two more are made for each training set in `vectorizer_of`
RECIPES: dict[str, tuple[Callable[[str], list[str]], bool]] = {
    "counts": (words, False),
    BASELINE: (words, True),
    "TF-IDF, punctuation kept": (lambda s: list(tokens_of(s)), True),
    "TF-IDF, stems": (lambda s: [stem(token) for token in words(s)], True),
    "TF-IDF, no stop words": (lambda s: without(words(s), NO_STOP), True),
    "TF-IDF, no stop words but negations": (lambda s: without(words(s), NO_STOP - NEGATIONS), True),
    TELLING: (words, True),
    "TF-IDF, words and pairs": (lambda s: with_pairs(words(s)), True),
    "TF-IDF, words and pairs, no stop words": (lambda s: with_pairs(without(words(s), NO_STOP)), True),
    PIECES: (words, True),
}

# sentences and classes of the three splits
Splits = dict[str, tuple[list[str], np.ndarray]]


def load() -> Splits:
    """Sentences and classes of each split, as the reviews are usually divided."""
    found = {}
    for split in ("train", "validation", "test"):
        data = reviews.load(split)
        found[split] = (list(data.column("words")), np.asarray(data.labels))
    return found


def fold_of(sentence: str) -> int:
    """The fold that a sentence belongs to, by its letters alone, so that doubles stay together."""
    letters = re.sub(r"\W+", " ", sentence.lower()).strip()
    return hashlib.sha256(letters.encode()).digest()[1] % FOLDS


def cross_validation(splits: Splits) -> list[Splits]:
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


def with_fewer(splits: Splits, size: int | None, seed: int) -> Splits:
    """The same splits with `size` training sentences, or with all."""
    if size is None:
        return splits
    sentences, labels = splits["train"]
    chosen = np.random.default_rng(seed).choice(len(labels), size, replace=False)
    return {**splits, "train": ([sentences[i] for i in chosen], labels[chosen])}


def telling_stop_words(splits: Splits) -> list[str]:
    """The stop words with the largest weights, by their size, in a model of the training sentences."""
    vectorizer = TfidfVectorizer(analyzer=words)
    x = vectorizer.fit_transform(splits["train"][0])
    weights = LogisticRegression(C=3.0, solver="liblinear").fit(x, splits["train"][1]).coef_[0]
    names = vectorizer.get_feature_names_out()
    stop = [i for i, name in enumerate(names) if name in NO_STOP]
    order = sorted(stop, key=lambda i: -abs(weights[i]))
    return [str(names[i]) for i in order[:NUM_TELLING]]


def learn_pieces(sentences: list[str]) -> Callable[[str], list[str]]:
    """A byte-level BPE tokenizer, learned from these sentences alone."""
    tokenizer = tokenizers.ByteLevelBPETokenizer(lowercase=True)
    tokenizer.train_from_iterator(sentences, vocab_size=NUM_PIECES, min_frequency=2, show_progress=False)
    return lambda sentence: tokenizer.encode(sentence).tokens


def vectorizer_of(recipe: str, splits: Splits) -> CountVectorizer:
    """The recipe's vectorizer, not fitted yet. What it must learn first, it learns from training sentences."""
    cut, weighted = RECIPES[recipe]
    if recipe == TELLING:
        removed = NO_STOP - set(telling_stop_words(splits))
        cut = functools.partial(lambda removed, s: without(words(s), removed), removed)
    elif recipe == PIECES:
        cut = learn_pieces(splits["train"][0])
    return TfidfVectorizer(analyzer=cut) if weighted else CountVectorizer(analyzer=cut)


def vectors(recipe: str, splits: Splits) -> tuple[csr_matrix, csr_matrix, csr_matrix]:
    """Training, validation and test vectors."""
    vectorizer = vectorizer_of(recipe, splits)
    x = vectorizer.fit_transform(splits["train"][0])
    return x, vectorizer.transform(splits["validation"][0]), vectorizer.transform(splits["test"][0])


def accuracy(recipe: str, splits: Splits) -> tuple[float, float]:
    """Test accuracy of logistic regression on a recipe, and the C that the validation sentences chose."""
    x, x_validation, x_test = vectors(recipe, splits)
    best = (-1.0, 0.0, 0.0)
    for c in STRENGTHS:
        model = LogisticRegression(C=c, solver="liblinear").fit(x, splits["train"][1])
        reached = model.score(x_validation, splits["validation"][1])
        if reached > best[0]:
            best = (reached, model.score(x_test, splits["test"][1]), c)
    return best[1], best[2]


def naive_bayes(splits: Splits) -> float:
    """Test accuracy of multinomial naive Bayes on counts of words: a plain baseline with nothing to choose."""
    x, _, x_test = vectors("counts", splits)
    return float(MultinomialNB().fit(x, splits["train"][1]).score(x_test, splits["test"][1]))


def majority(splits: Splits) -> float:
    """Test accuracy of always giving the commonest class of the training sentences."""
    commonest = np.bincount(splits["train"][1]).argmax()
    return float((splits["test"][1] == commonest).mean())


def all_folds(parts: list[Splits], size: int | None) -> dict:
    """Accuracy in each fold for every recipe and the two baselines; all recipes get the same training sentences."""
    smaller = [with_fewer(part, size, seed) for seed, part in enumerate(parts)]
    table = {}
    for name in RECIPES:
        found = [accuracy(name, part) for part in smaller]
        table[name] = {"accuracy": [round(a, 5) for a, _ in found], "C": [c for _, c in found]}
        print(size or "all", name, round(np.mean(table[name]["accuracy"]), 3), table[name]["C"], flush=True)
    table[NAIVE_BAYES] = {"accuracy": [round(naive_bayes(part), 5) for part in smaller]}
    table["majority class"] = {"accuracy": [round(majority(part), 5) for part in smaller]}
    print(size or "all", "naive Bayes", round(np.mean(table[NAIVE_BAYES]["accuracy"]), 3), flush=True)
    return table


def frequencies(sentences: list[str]) -> dict:
    """How often the word and the pair of each rank occur, at ranks 1, 2, 4, …; and the share that occurs once."""
    found = {}
    for name in ("words", "pairs"):
        counted: Counter[str] = Counter()
        for sentence in sentences:
            tokens = words(sentence)
            counted.update(tokens if name == "words" else with_pairs(tokens)[len(tokens) :])
        counts = sorted(counted.values(), reverse=True)
        ranks = [2**k for k in range(len(counts).bit_length())]
        once = sum(count == 1 for count in counts) / len(counts)
        found[name] = {"ranks": ranks, "counts": [counts[rank - 1] for rank in ranks], "once": once}
    return found


def main() -> None:
    """Make and save all figures."""
    start = time.process_time()
    splits = load()
    parts = cross_validation(splits)
    figures = {
        "num_sentences": sum(len(split[1]) for split in splits.values()),
        "num_train": [len(part["train"][1]) for part in parts],
        "made_with": f"1 CPU thread, scikit-learn {sklearn.__version__}",
        "date": time.strftime("%Y-%m-%d"),
        "folds": {str(size or "all"): all_folds(parts, size) for size in SIZES},
        "usual_split": {name: round(accuracy(name, splits)[0], 5) for name in (BASELINE, "TF-IDF, no stop words")},
        "telling_stop_words": telling_stop_words(splits),
        "frequencies": frequencies(splits["train"][0]),
    }
    figures["usual_split"][NAIVE_BAYES] = round(naive_bayes(splits), 5)
    datasets.save_results("text", {**figures, "seconds": round(time.process_time() - start)})


if __name__ == "__main__":
    main()
