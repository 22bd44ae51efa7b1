"""Lesson train_pytorch's linear baselines on digits and on a mood's voice: `make results train_pytorch`, half a minute."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time  # noqa: E402
from importlib.metadata import version  # noqa: E402

import numpy as np  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.tree import DecisionTreeClassifier  # noqa: E402

from mmcourse.datasets import load, save_results  # noqa: E402
from mmcourse.preprocess.audio import log_mel  # noqa: E402


def pixels(ds):
    """float32 (n, 784)."""
    return ds.features()["image"].reshape(len(ds), -1)


def averages(ds, parts):
    """Mean log-mel of each of `parts` equal stretches of a clip: (n, parts · 32)."""
    clips = ds.column("voice")
    mels = [log_mel(clip, 8000, n_fft=256, hop_length=128, n_mels=32, top_db=80) for clip in clips.store]
    means = [np.concatenate([stretch.mean(axis=0) for stretch in np.array_split(mel, parts)]) for mel in mels]
    return np.array(means, np.float32)[clips.index]


def linear(known, new, labels, new_labels):
    """Test accuracy of logistic regression on standardized inputs."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    return round(float(model.fit(known, labels).score(new, new_labels)), 4)


def linear_baselines():
    """Accuracy of logistic regression by what it reads."""
    train, test = load("avdigits", "train"), load("avdigits", "test")
    images, new_images = pixels(train), pixels(test)
    found = {"pixels": linear(images, new_images, train.labels, test.labels)}
    for parts in (1, 4, 8):
        known, new = averages(train, parts), averages(test, parts)
        found[f"{parts} averages"] = linear(known, new, train.labels, test.labels)
        both = [np.concatenate(pair, axis=1) for pair in ((images, known), (new_images, new))]
        found[f"pixels + {parts} averages"] = linear(*both, train.labels, test.labels)
    return found


# ---------------------------------------------------------------- what of a mood's voice can be averaged
def mood_voice():
    """Test accuracy of logistic regression on a voice's average sound, and of a small tree on its length."""
    train, test = load("mood", "train"), load("mood", "test")
    sound = [np.stack([voice.mean(axis=0) for voice in log_mels(ds)]) for ds in (train, test)]
    lengths = [np.array([len(voice) for voice in log_mels(ds)]) for ds in (train, test)]
    tree = DecisionTreeClassifier(max_leaf_nodes=8, random_state=0).fit(lengths[0][:, None], train.labels)
    return {
        "average sound": linear(*sound, train.labels, test.labels),
        "length": round(float(tree.score(lengths[1][:, None], test.labels)), 4),
    }


def log_mels(ds):
    """Each voice's real frames, (t, 40)."""
    voices = []
    for batch in ds.batches(500):
        masks = batch["padding_mask"]["voice"]
        voices += [voice[mask] for voice, mask in zip(batch["inputs"]["voice"], masks, strict=True)]
    return voices


def main():
    """Measure and store."""
    start = time.process_time()
    figures = {"mood_voice": mood_voice(), "linear": linear_baselines()}
    made_with = {name: version(name) for name in ("numpy", "scikit-learn")}
    seconds = round(time.process_time() - start)
    print("wrote", save_results("train_pytorch", {**figures, "made_with": made_with, "seconds": seconds}).name)


if __name__ == "__main__":
    main()
