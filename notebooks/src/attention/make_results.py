"""Lesson attention's long run: word averages and attention on real film reviews, five seeds each.

`make results attention`: about three minutes of one processor. It needs the reviews (fetched once, 1.2 MB).
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import nn

from mmcourse import datasets
from mmcourse.datasets import reviews
from mmcourse.torch.attention import MultiHeadAttention, sinusoidal_positions

MODELS = ("average of word vectors", "self-attention")
SEEDS = 5
EPOCHS = 8  # the epoch with the best validation accuracy counts
NEGATIONS = ("not", "n't", "no", "never", "nothing", "isn't", "doesn't", "don't")


class Classifier(nn.Module):
    """Word ids (b, n), 0 for padding, → logits (b, 2)."""

    def __init__(self, num_words: int, kind: str, width: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_words, width)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.attention = None if kind == MODELS[0] else MultiHeadAttention(width, 2)
        self.dropout = nn.Dropout(0.5)
        self.out = nn.Linear(width, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        real = ids > 0  # (b, n)
        x = self.dropout(self.embedding(ids))  # (b, n, d)
        if self.attention is not None:
            x = x + 0.3 * sinusoidal_positions(*x.shape[1:])  # about as large as the words
            x = x + self.attention(x, padding_mask=real)
        mean = (x * real[..., None]).sum(1) / real.sum(1, keepdim=True)  # (b, d)
        return self.out(mean)


def load(split: str) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Ids (n, t), classes (n,) and the sentences."""
    ds = reviews.load(split)
    ids = torch.tensor(np.asarray(ds.features()["words"]), dtype=torch.long)
    return ids, torch.tensor(ds.labels, dtype=torch.long), list(ds.column("words"))


def correct(model: nn.Module, ids: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    """Whether each sentence is classified right, bool (n,)."""
    model.eval()
    with torch.no_grad():
        found = [(model(i).argmax(1) == t).numpy() for i, t in zip(ids.split(500), target.split(500), strict=True)]
    return np.concatenate(found)


def train(kind: str, seed: int, splits: dict, epochs: int = EPOCHS) -> tuple[np.ndarray, int]:
    """Which test sentences are right at the epoch with the best validation accuracy, bool (n,); and that epoch."""
    ids, target, _ = splits["train"]
    torch.manual_seed(seed)
    num_words = 1 + int(max(ids.max() for ids, _, _ in splits.values()))
    model = Classifier(num_words, kind)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    best, found, best_epoch = -1.0, np.zeros(0, dtype=bool), 0
    for epoch in range(1, epochs + 1):
        model.train()
        for i in torch.randperm(len(ids)).split(64):
            used = ids[i]
            used = used[:, : int((used > 0).sum(1).max())]  # no longer than the longest of the batch
            loss = nn.functional.cross_entropy(model(used), target[i])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        reached = correct(model, *splits["validation"][:2]).mean()
        if reached > best:
            best, best_epoch = reached, epoch
            found = correct(model, *splits["test"][:2])
    return found, best_epoch


def bag_of_words(splits: dict) -> np.ndarray:
    """TF-IDF with logistic regression: which test sentences are right, bool (n,)."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(token_pattern=r"\S+", sublinear_tf=True)
    model = LogisticRegression(max_iter=1000)
    model.fit(vectorizer.fit_transform(splits["train"][2]), splits["train"][1].numpy())
    return model.predict(vectorizer.transform(splits["test"][2])) == splits["test"][1].numpy()


def negated(sentences: list[str]) -> np.ndarray:
    """Whether each sentence holds a negation, bool (n,)."""
    return np.array([any(word in NEGATIONS for word in sentence.split()) for sentence in sentences])


def main() -> None:
    """Make and save all figures."""
    start = time.process_time()
    splits = {name: load(name) for name in ("train", "validation", "test")}
    has_not = negated(splits["test"][2])
    commonest = int(splits["train"][1].bincount().argmax())
    majority = (splits["test"][1] == commonest).numpy()
    figures = {
        "num_train": len(splits["train"][1]),
        "num_test": len(has_not),
        "num_negated": int(has_not.sum()),
        "majority": [float(majority.mean()), float(majority[has_not].mean())],
        "made_with": f"{torch.get_num_threads()} CPU thread(s), PyTorch {torch.__version__.split('+')[0]}",
        "date": time.strftime("%Y-%m-%d"),
    }
    right = bag_of_words(splits)
    figures["TF-IDF and logistic regression"] = [[float(right.mean()), float(right[has_not].mean())]]
    for kind in MODELS:
        figures[kind] = []  # (all sentences, those with a negation, best epoch) for each seed
    for seed in range(SEEDS):
        for kind in MODELS:
            right, epoch = train(kind, seed, splits)
            figures[kind].append([float(right.mean()), float(right[has_not].mean()), epoch])
            print(kind, seed, np.round(figures[kind][-1], 3), flush=True)
    datasets.save_results("attention", {**figures, "seconds": round(time.process_time() - start)})


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
