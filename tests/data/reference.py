"""The plain models by which `avdigits` is measured, and what its data card says that they reach."""

from __future__ import annotations

import re

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmcourse.datasets import data_dir, load


def pooled(mels: list[np.ndarray], parts: int = 8) -> np.ndarray:
    """Means of each clip's frames (t, m) over eight equal stretches, (n, 8·m)."""

    def one(mel: np.ndarray) -> np.ndarray:
        edges = np.linspace(0, len(mel), parts + 1)
        stretches = zip(edges[:-1].astype(int), np.ceil(edges[1:]).astype(int), strict=True)
        return np.concatenate([mel[a : max(a + 1, b)].mean(0) for a, b in stretches])

    return np.stack([one(mel) for mel in mels])


def inputs(split: str, **options) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At most 4,000 samples of a split: image pixels (n, 784), pooled voice (n, 256) and labels (n,) of a split."""
    ds = load("avdigits", split, **options)
    if split == "train":  # half of the real samples, for time
        ds = ds.subset(np.arange(4000))
    features, column = ds.features(), ds.features().columns["voice"]
    voice = pooled([mel[:length] for mel, length in zip(column.store, column.lengths, strict=True)])
    return features["image"].reshape(len(ds), -1), voice[column.index[: len(ds)]], ds.labels


def accuracies(**options) -> dict[str, float]:
    """Test accuracy of logistic regression: each modality, both at the input, mean and product of posteriors."""
    (image, voice, y), (image_t, voice_t, y_t) = (inputs(split, **options) for split in ("train", "test"))

    def posterior(x: np.ndarray, x_t: np.ndarray) -> np.ndarray:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300)).fit(x, y)
        return model.predict_proba(x_t) + 1e-9

    p, q = posterior(image, image_t), posterior(voice, voice_t)
    both = posterior(np.c_[image, voice], np.c_[image_t, voice_t])
    product = p * q / np.bincount(y, minlength=10)
    scores = {"image": p, "voice": q, "concatenation": both, "mean": p + q, "product": product}
    return {name: float((score.argmax(1) == y_t).mean()) for name, score in scores.items()}


def card() -> dict[tuple[str, str, str], dict[str, float]]:
    """(source, split_by, difficulty) → accuracies, from the table of the data card."""
    text = (data_dir() / "avdigits" / "README.md").read_text(encoding="utf-8")
    head, *rows = [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in re.findall(r"^\|.*%.*\|$|^\| source.*$", text, re.M)
    ]
    return {
        tuple(row[:3]): {n: float(v.rstrip(" %")) / 100 for n, v in zip(head[3:], row[3:], strict=True)} for row in rows
    }


if __name__ == "__main__":  # prints the card's table; MMCOURSE_CACHE must hold the real data
    for source in ("embedded", "real"):
        for split_by in ("speaker", "clip"):
            for difficulty in ("hard", "easy"):
                found = accuracies(source=source, split_by=split_by, difficulty=difficulty)
                cells = [f"{100 * value:.1f} %" for value in found.values()]
                print("|", " | ".join([source, split_by, difficulty, *cells]), "|", flush=True)
