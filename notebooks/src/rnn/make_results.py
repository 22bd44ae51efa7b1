"""Long runs of lesson rnn.

- `memory`: one symbol to be remembered over 10, 20, 40 and 80 steps: seven recurrent layers, each with its best learning rate
  of three, two budgets of steps, five seeds;
- `stories`: which feeling came last, which came first: five readers, tuned alike, two budgets of epochs, five seeds;
- `clipping`: plain gradient descent with and without clipping, on a network whose gradients explode and on one whose vanish;
- `reviews`: film reviews, linear model and recurrent networks, with 1,000 and with all training sentences, five seeds;
- `challenge`: what simple ways reach in the open challenge, on the learner's own draw.

`make results rnn`: about fifteen minutes of one processor. `python make_results.py memory` (or other names) makes only these
tables. It needs the film reviews (fetched once, 1.2 MB).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from mmcourse import datasets, runtime
from mmcourse.authoring.tables import make_tables
from mmcourse.datasets import reviews
from mmcourse.datasets.mood.words import encode, vocabulary
from mmcourse.exercise import Challenge, find_challenge

SEEDS = 5
TUNING_SEEDS = (100, 101)
RATES = (1e-3, 3e-3, 1e-2)


def open_forget_gate(layer: nn.LSTM, bias: float) -> None:
    """Start the forget gate (the second of four parts) at this bias; PyTorch adds its two biases."""
    d = layer.hidden_size
    with torch.no_grad():
        layer.bias_ih_l0[d : 2 * d] = bias
        layer.bias_hh_l0[d : 2 * d] = 0


def make_layer(kind: str, width_in: int, width: int) -> nn.Module:
    """A recurrent layer, batch first, by the name it has in the lesson's tables."""
    if kind == "RNN, as many weights as the LSTM":
        return nn.RNN(width_in, 69, batch_first=True)
    layer = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}[kind.split(",")[0]](width_in, width, batch_first=True)
    if kind == "RNN, orthogonal U":
        nn.init.orthogonal_(layer.weight_hh_l0)
    if kind.startswith("LSTM, forget bias"):
        open_forget_gate(layer, float(kind.rsplit(" ", 1)[1]))
    return layer


# ---------------------------------------------------------------- one symbol to remember
LAYERS = (
    "RNN",
    "RNN, as many weights as the LSTM",
    "RNN, orthogonal U",
    "LSTM",
    "LSTM, forget bias 1",
    "LSTM, forget bias 3",
    "GRU",
)
DISTANCES = (10, 20, 40, 80)
BUDGETS = (250, 1000)  # steps of 64 sequences, all drawn anew


class Memory(nn.Module):
    """Symbols (b, t) out of eight → logits (b, 4), from the last state."""

    def __init__(self, kind: str, width: int = 32) -> None:
        super().__init__()
        self.layer = make_layer(kind, 8, width)
        self.out = nn.Linear(self.layer.hidden_size, 4)

    def forward(self, symbols: torch.Tensor) -> torch.Tensor:
        states = self.layer(one_hot(symbols, 8).float())[0]  # (b, t, d)
        return self.out(states[:, -1])


def sequences(n: int, distance: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """One of four symbols first, then `distance` others: (n, distance + 1), and which it was."""
    first = torch.randint(4, (n,), generator=generator)
    others = torch.randint(4, 8, (n, distance), generator=generator)
    return torch.cat([first[:, None], others], 1), first


@torch.no_grad()
def remembered(model: nn.Module, distance: int, seed: int) -> float:
    """Share of 1,000 sequences whose first symbol is named."""
    symbols, first = sequences(1000, distance, torch.Generator().manual_seed(seed))
    return round(float((model(symbols).argmax(1) == first).float().mean()), 4)


def train_memory(kind: str, distance: int, rate: float, steps: int, seed: int) -> nn.Module:
    """Adam, the learning rate falling to 0 along a cosine, gradients clipped to length 1."""
    torch.manual_seed(seed)
    model = Memory(kind)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        symbols, first = sequences(64, distance, generator)
        loss = cross_entropy(model(symbols), first)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model


def make_memory() -> dict:
    """{layer: {distance: {rate, "250 steps": [seed], "1000 steps": [seed]}}}; the rate is chosen at the smaller budget."""
    figures: dict = {"num_test": 1000, "chance": 0.25}
    figures["parameters"] = {kind: sum(p.numel() for p in make_layer(kind, 8, 32).parameters()) for kind in LAYERS}
    for kind in LAYERS:
        figures[kind] = {}
        for distance in DISTANCES:
            scores = {}
            for rate in RATES:
                models = [train_memory(kind, distance, rate, BUDGETS[0], seed) for seed in TUNING_SEEDS]
                scores[rate] = float(np.mean([remembered(model, distance, 50) for model in models]))
            row: dict = {"rate": max(scores, key=scores.__getitem__)}
            for steps in BUDGETS:
                models = [train_memory(kind, distance, row["rate"], steps, seed) for seed in range(SEEDS)]
                row[f"{steps} steps"] = [remembered(model, distance, 99) for model in models]
            figures[kind][str(distance)] = row
            print(kind, distance, row, flush=True)
    return figures


# ---------------------------------------------------------------- stories
READERS = ("bag of words", "RNN", "LSTM", "LSTM, forget bias 3", "GRU")
STORY_BUDGETS = (10, 40)  # epochs over 2,000 stories
FEELINGS = datasets.load("mood", "test").classes


@cache
def sentences(split: str) -> dict[str, list[str]]:
    """{feeling: its different sentences}."""
    ds = datasets.load("mood", split)
    found: dict[str, set] = {feeling: set() for feeling in FEELINGS}
    for words, feeling in zip(ds.column("words"), ds.meta["words_cue"], strict=True):
        found[feeling].add(words)
    return {feeling: sorted(words) for feeling, words in found.items()}


@cache
def stories(split: str, count: int, seed: int, length: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (count, t), 0 for padding, and the feelings (count, length) of their sentences."""
    g = np.random.default_rng(seed)
    feelings = g.integers(3, size=(count, length))
    pools = [[encode(words) for words in sentences(split)[feeling]] for feeling in FEELINGS]
    told = [np.concatenate([pools[k][g.integers(len(pools[k]))] for k in story]) for story in feelings]
    ids = np.zeros((count, max(map(len, told))), np.int64)
    for row, words in zip(ids, told, strict=True):
        row[: len(words)] = words
    return torch.tensor(ids), torch.tensor(feelings)


class Reader(nn.Module):
    """Word ids (b, t) → logits (b, 3), from the state after the last word or, for the bag, the mean of the words."""

    def __init__(self, kind: str, width: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(vocabulary()), width)
        self.layer = None if kind == "bag of words" else make_layer(kind, width, width)
        self.hidden, self.out = nn.Linear(width, width), nn.Linear(width, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        real, x = ids > 0, self.embedding(ids)  # (b, t), (b, t, d)
        if self.layer is None:
            h = (x * real[..., None]).sum(1) / real.sum(1, keepdim=True)
        else:
            h = self.layer(x)[0][torch.arange(len(ids)), real.sum(1) - 1]  # (b, d)
        return self.out(self.hidden(h).relu())


def train_reader(
    kind: str, asked: int, rate: float, epochs: int, seed: int, prepare: Callable = lambda ids: ids
) -> nn.Module:
    """AdamW, batches of 64, clipping at 1, the learning rate falling to 0 along a cosine."""
    ids, feelings = stories("train", 2000, 0)
    ids = prepare(ids)
    torch.manual_seed(seed)
    model = Reader(kind)
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-len(ids) // 64))
    for _ in range(epochs):
        for rows in torch.randperm(len(ids)).split(64):
            loss = cross_entropy(model(ids[rows]), feelings[rows, asked])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return model


@torch.no_grad()
def understood(model: nn.Module, asked: int, split: str, prepare: Callable = lambda ids: ids) -> float:
    """Share of 1,000 stories from other sentences that are answered right."""
    ids, feelings = stories(split, 1000, 1)
    return round(float((model(prepare(ids)).argmax(1) == feelings[:, asked]).float().mean()), 4)


def backwards(ids: torch.Tensor) -> torch.Tensor:
    """The words of each story in reverse order, padding still behind them."""
    turned = ids.clone()
    for row in turned:
        n = int((row > 0).sum())
        row[:n] = row[:n].flip(0)
    return turned


def make_stories() -> dict:
    """{question: {reader: {rate, "10 epochs": [seed], "40 epochs": [seed]}}}."""
    figures: dict = {"num_test": 1000, "num_train": 2000}
    for question, asked in (("in the end", -1), ("at first", 0)):
        figures[question] = {}
        readers = {kind: (kind, lambda ids: ids) for kind in READERS}
        if asked == 0:
            readers["RNN, reading backwards"] = ("RNN", backwards)
        for name, (kind, prepare) in readers.items():
            scores = {}
            for rate in RATES:
                models = [train_reader(kind, asked, rate, STORY_BUDGETS[0], s, prepare) for s in TUNING_SEEDS]
                scores[rate] = float(np.mean([understood(m, asked, "validation", prepare) for m in models]))
            row: dict = {"rate": max(scores, key=scores.__getitem__)}
            for epochs in STORY_BUDGETS:
                models = [train_reader(kind, asked, row["rate"], epochs, s, prepare) for s in range(SEEDS)]
                row[f"{epochs} epochs"] = [understood(m, asked, "test", prepare) for m in models]
            figures[question][name] = row
            print(question, name, row, flush=True)
    return figures


# ---------------------------------------------------------------- film reviews
NETWORKS = ("average of word vectors", "LSTM", "LSTM, words shuffled", "bidirectional LSTM, maximum")
REVIEW_SIZES = {"1,000 sentences": 1000, "all sentences": None}
REVIEW_RATES = (2e-3, 6e-3)
REVIEW_EPOCHS = {"1,000 sentences": 12, "all sentences": 6}  # the epoch with the best validation accuracy counts


class ReviewNetwork(nn.Module):
    """Word ids (b, t), 0 for padding, → logits (b, 2)."""

    def __init__(self, kind: str, num_words: int, width: int = 32) -> None:
        super().__init__()
        self.kind = kind
        self.embedding = nn.Embedding(num_words, width)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.dropout = nn.Dropout(0.5)
        self.layer, self.back, out = None, None, width
        if "LSTM" in kind:
            self.layer = make_layer("LSTM, forget bias 1", width, width)
        if kind.startswith("bidirectional"):
            self.back, out = make_layer("LSTM, forget bias 1", width, width), 2 * width
        self.out = nn.Linear(out, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        real = ids > 0  # (b, t)
        x = self.dropout(self.embedding(ids))  # (b, t, d)
        lengths = real.sum(1)  # (b,)
        if self.layer is None:
            return self.out((x * real[..., None]).sum(1) / lengths[:, None])
        states = self.layer(x)[0]  # (b, t, d)
        if self.back is None:
            return self.out(self.dropout(states[torch.arange(len(ids)), lengths - 1]))
        turned = (lengths[:, None] - 1 - torch.arange(ids.shape[1])).clamp(
            min=0
        )  # (b, t): where the t-th word from the end is
        turned = turned[..., None].expand_as(x)
        other = self.back(x.gather(1, turned))[0].gather(1, turned)
        both = torch.cat([states, other], 2).masked_fill(~real[..., None], -1e9)
        return self.out(self.dropout(both.amax(1)))


@cache
def review_split(split: str) -> tuple[torch.Tensor, torch.Tensor, tuple[str, ...]]:
    """Ids (n, t), classes (n,) and the sentences."""
    ds = reviews.load(split)
    ids = torch.tensor(np.asarray(ds.features()["words"]), dtype=torch.long)
    return ids, torch.tensor(ds.labels, dtype=torch.long), tuple(ds.column("words"))


def shuffled(ids: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The words of each sentence in random order, padding still behind them."""
    keys = torch.rand(ids.shape, generator=generator).masked_fill(ids == 0, 2.0)
    return ids.gather(1, keys.argsort(1))


def review_rows(size: str, seed: int) -> torch.Tensor:
    """The training sentences of one seed: disjoint sets of 1,000, or all."""
    n, order = (
        REVIEW_SIZES[size],
        torch.randperm(len(review_split("train")[1]), generator=torch.Generator().manual_seed(7)),
    )
    return order if n is None else order[seed % 8 * n : (seed % 8 + 1) * n]


@torch.no_grad()
def answers(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Classes (n,)."""
    model.eval()
    found = [model(part[:, : int((part > 0).sum(1).max())]).argmax(1) for part in ids.split(500)]
    model.train()
    return torch.cat(found)


def train_network(kind: str, size: str, rate: float, seed: int) -> tuple[float, np.ndarray]:
    """Best validation accuracy, and which test sentences are right at that epoch, bool (n,)."""
    parts = {name: review_split(name)[:2] for name in ("train", "validation", "test")}
    rows = review_rows(size, seed)
    parts["train"] = (parts["train"][0][rows], parts["train"][1][rows])
    generator = torch.Generator().manual_seed(seed)
    if kind.endswith("shuffled"):
        parts = {name: (shuffled(ids, generator), labels) for name, (ids, labels) in parts.items()}
    ids, labels = parts["train"]
    torch.manual_seed(seed)
    model = ReviewNetwork(kind, len(reviews.load("train").vocabulary))
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    best, found = -1.0, np.zeros(0, bool)
    for _ in range(REVIEW_EPOCHS[size]):
        for chosen in torch.randperm(len(ids)).split(64):
            used = ids[chosen]
            used = used[:, : int((used > 0).sum(1).max())]
            loss = cross_entropy(model(used), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        reached = float((answers(model, parts["validation"][0]) == parts["validation"][1]).float().mean())
        if reached > best:
            best, found = reached, (answers(model, parts["test"][0]) == parts["test"][1]).numpy()
    return best, found


def linear_review(size: str, seed: int) -> np.ndarray:
    """TF-IDF of single words with logistic regression, C chosen on validation: which test sentences are right, bool (n,)."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    rows = review_rows(size, seed).numpy()
    texts, labels = [review_split("train")[2][i] for i in rows], review_split("train")[1].numpy()[rows]
    vectorizer = TfidfVectorizer(token_pattern=r"\S+", sublinear_tf=True)
    x, best, found = vectorizer.fit_transform(texts), -1.0, np.zeros(0, bool)
    for c in (0.3, 1, 3, 10):
        model = LogisticRegression(C=c, max_iter=1000).fit(x, labels)
        right = {
            name: model.predict(vectorizer.transform(review_split(name)[2])) == review_split(name)[1].numpy()
            for name in ("validation", "test")
        }
        if right["validation"].mean() > best:
            best, found = right["validation"].mean(), right["test"]
    return found


def make_reviews() -> dict:
    """{size: {model: {rate, accuracy: [seed], alone: [[only the network, only the linear model] by seed]}}}."""
    labels = review_split("test")[1]
    commonest = int(review_split("train")[1].bincount().argmax())
    figures: dict = {"num_test": len(labels), "num_train": len(review_split("train")[1])}
    figures["majority"] = round(float((labels == commonest).float().mean()), 4)
    for size in REVIEW_SIZES:
        rival = [linear_review(size, seed) for seed in range(SEEDS)]
        figures[size] = {"TF-IDF, logistic regression": {"accuracy": [round(float(r.mean()), 4) for r in rival]}}
        for kind in NETWORKS:
            scores = {rate: train_network(kind, size, rate, TUNING_SEEDS[0])[0] for rate in REVIEW_RATES}
            row: dict = {"rate": max(scores, key=scores.__getitem__)}
            found = [train_network(kind, size, row["rate"], seed)[1] for seed in range(SEEDS)]
            row["accuracy"] = [round(float(right.mean()), 4) for right in found]
            row["alone"] = [[int((a & ~b).sum()), int((b & ~a).sum())] for a, b in zip(found, rival, strict=True)]
            figures[size][kind] = row
            print(size, kind, row, flush=True)
    return figures


# ---------------------------------------------------------------- clipping
CLIPPING_STEPS = (400, 1200)


def descend(radius: float, rate: float, max_norm: float, seed: int) -> dict:
    """Plain gradient descent on a symbol to be remembered over 20 steps; U starts with this spectral radius."""
    torch.manual_seed(seed)
    model = Memory("RNN")
    recurrent_weight = model.layer.weight_hh_l0
    with torch.no_grad():
        recurrent_weight.mul_(radius / torch.linalg.eigvals(recurrent_weight).abs().max())
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), rate)
    norms, losses, found = [], [], {}
    for step in range(1, CLIPPING_STEPS[-1] + 1):
        symbols, first = sequences(64, 20, generator)
        loss = cross_entropy(model(symbols), first)
        optimizer.zero_grad()
        loss.backward()
        norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), max_norm)))
        losses.append(loss.item())
        optimizer.step()
        if step in CLIPPING_STEPS:
            found[f"{step} steps"] = remembered(model, 20, 99)
    return found | {"largest norm": round(max(norms), 2), "largest loss": round(max(losses), 2)}


def make_clipping(radii: tuple[float, ...] = (0.5, 1.5)) -> dict:
    """{radius: {rate: {"without" or "with": {"500 steps": [seed], …}}}}; with: clipped to norm 1."""
    figures: dict = {"distance": 20, "chance": 0.25, "num_test": 1000}
    for radius in radii:
        rows: dict = {}
        for rate in (0.02, 0.1, 0.5):
            rows[str(rate)] = {}
            for way, max_norm in (("without", float("inf")), ("with", 1.0)):
                runs = [descend(radius, rate, max_norm, seed) for seed in range(SEEDS)]
                rows[str(rate)][way] = {name: [run[name] for run in runs] for name in runs[0]}
                print(radius, rate, way, rows[str(rate)][way], flush=True)
        figures[str(radius)] = rows
    return figures


# ---------------------------------------------------------------- the open challenge
EPOCHS = 40


def challenge() -> Challenge:
    """The lesson's challenge."""
    found = find_challenge("rnn.challenge")
    assert found is not None
    return found


def score(predictions: np.ndarray) -> float:
    """Of predictions for the learner's own draw."""
    it = challenge()
    return it.scored(it.checked(predictions), it.public())


def guessing() -> float:
    """The most frequent training label for every sequence."""
    inputs = challenge().public().inputs
    return score(np.full(len(inputs["test"]), np.bincount(inputs["train_labels"]).argmax()))


def button_counts() -> float:
    """Logistic regression on how often each button was pressed."""
    from sklearn.linear_model import LogisticRegression

    inputs = challenge().public().inputs
    train, test = (np.stack([(inputs[name] == k).sum(1) for k in range(1, 9)], 1) for name in ("train", "test"))
    return score(LogisticRegression(max_iter=1000).fit(train, inputs["train_labels"]).predict(test))


class Watcher(nn.Module):
    """Buttons (b, t), 0 for padding → logits (b, 6), from the state after the last press."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 16)
        self.layer = {"RNN": nn.RNN, "LSTM": nn.LSTM}[kind](16, 64, batch_first=True)
        self.out = nn.Linear(64, 6)

    def forward(self, buttons: torch.Tensor) -> torch.Tensor:
        states = self.layer(self.embedding(buttons))[0]  # (b, t, 64)
        return self.out(states[torch.arange(len(buttons)), (buttons > 0).sum(1) - 1])


def watch(kind: str, seed: int, epochs: int = EPOCHS, rate: float = 4e-3, batch_size: int = 64) -> float:
    """The score after training. Adam, clipping at 1, the rate falling to 0 along a cosine."""
    inputs = challenge().public().inputs
    train, test = torch.from_numpy(inputs["train"]), torch.from_numpy(inputs["test"])
    labels = torch.from_numpy(inputs["train_labels"])
    torch.manual_seed(seed)
    model = Watcher(kind)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-len(train) // batch_size))
    for _ in range(epochs):
        for chosen in torch.randperm(len(train)).split(batch_size):
            optimizer.zero_grad()
            cross_entropy(model(train[chosen]), labels[chosen]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        return score(model(test).argmax(1).numpy())


def make_challenge() -> dict:
    """The challenge's simple ways, and one that reaches the last step."""
    figures: dict = {"guessing": guessing(), "counts": button_counts()}
    for kind in ("RNN", "LSTM"):
        before = time.process_time()
        figures[kind] = [watch(kind, seed) for seed in (0, 1)]
        figures[f"{kind}_seconds"] = round((time.process_time() - before) / 2, 1)
    figures["LSTM, smaller batches"] = [watch("LSTM", seed, 60, 1e-2, 32) for seed in (0, 1)]
    return figures


PARTS: dict[str, Callable[[], dict]] = {
    "stories": make_stories,
    "memory": make_memory,
    "clipping": make_clipping,
    "reviews": make_reviews,
    "challenge": make_challenge,
}


if __name__ == "__main__":
    runtime.setup(threads=1)
    make_tables("rnn", PARTS, sys.argv[1:], packages=("numpy", "scikit-learn", "torch"))
