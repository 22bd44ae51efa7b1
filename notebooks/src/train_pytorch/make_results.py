"""Long runs of lesson train_pytorch.

- `linear`, `mood_voice`: logistic regression on the digits, by what it reads, and on the voice of a mood;
- `order`: the same logistic regression when the eighths of every clip stand in an order of their own, five draws;
- `digits`: image, voice and both with convolutional encoders, two budgets of epochs, five seeds;
- `paired`: network minus linear model, test sample by test sample, with the interval over the samples;
- `knobs`: learning rate, warm-up and clipping on 1,000 messages, two budgets, five seeds;
- `mistakes`: eight common mistakes on the same messages, two budgets, five seeds;
- `real`: handwritten digits (MNIST) and recordings of people (FSDD), linear and with encoders, two budgets, five seeds;
- `challenge`: what simple ways reach in the open challenge, on the learner's own draw.

`make results train_pytorch`: about nine minutes of one processor. `python make_results.py knobs` (or other names) makes only
these tables. `real` needs MNIST's test part and the spoken digits (fetched once, 17 MB).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys  # noqa: E402
from functools import cache  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.tree import DecisionTreeClassifier  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy, pad, rms_norm  # noqa: E402

from mmcourse import runtime  # noqa: E402
from mmcourse.authoring.tables import make_tables
from mmcourse.datasets import load  # noqa: E402
from mmcourse.evaluate import mean_and_interval  # noqa: E402
from mmcourse.exercise import Challenge, find_challenge  # noqa: E402
from mmcourse.preprocess.audio import log_mel  # noqa: E402
from mmcourse.torch.encoders import AudioEncoder, ImageEncoder, TextEncoder  # noqa: E402
from mmcourse.training.torch import clip_gradients, param_groups_weight_decay, warmup_cosine  # noqa: E402

SEEDS = 5


# ---------------------------------------------------------------- linear models
def pixels(ds):
    """float32 (n, 784)."""
    return ds.features()["image"].reshape(len(ds), -1)


def averages(ds, parts):
    """Mean log-mel of each of `parts` equal stretches of a clip: (n, parts · 32)."""
    clips = ds.column("voice")
    mels = [log_mel(clip, 8000, n_fft=256, hop_length=128, n_mels=32, top_db=80) for clip in clips.store]
    means = [np.concatenate([stretch.mean(axis=0) for stretch in np.array_split(mel, parts)]) for mel in mels]
    return np.array(means, np.float32)[clips.index]


def linear_right(known, new, labels, new_labels):
    """Whether logistic regression on standardized inputs is right, by test sample."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    return model.fit(known, labels).predict(new) == new_labels


def linear(known, new, labels, new_labels):
    """Test accuracy of logistic regression on standardized inputs."""
    return round(float(linear_right(known, new, labels, new_labels).mean()), 4)


def linear_baselines(source="embedded", all_parts=(1, 4, 8)):
    """Accuracy of logistic regression by what it reads."""
    train, test = (load("avdigits", split, source=source) for split in ("train", "test"))
    images, new_images = pixels(train), pixels(test)
    found = {"pixels": linear(images, new_images, train.labels, test.labels)}
    for parts in all_parts:
        known, new = averages(train, parts), averages(test, parts)
        found[f"{parts} averages"] = linear(known, new, train.labels, test.labels)
        both = [np.concatenate(pair, axis=1) for pair in ((images, known), (new_images, new))]
        found[f"pixels + {parts} averages"] = linear(*both, train.labels, test.labels)
    return found


def make_order():
    """{what is read: [test accuracy by draw]}: each clip's eight averages in a random order of its own."""
    train, test = (load("avdigits", split) for split in ("train", "test"))
    figures = {"8 averages": [], "pixels + 8 averages": []}
    for seed in range(SEEDS):
        rng, mixed = np.random.default_rng(seed), []
        for ds in (train, test):
            eighths = averages(ds, 8).reshape(len(ds), 8, -1)
            order = rng.permuted(np.tile(np.arange(8), (len(ds), 1)), axis=1)
            mixed.append(np.take_along_axis(eighths, order[..., None], axis=1).reshape(len(ds), -1))
        both = [np.concatenate(pair, axis=1) for pair in zip(map(pixels, (train, test)), mixed, strict=True)]
        figures["8 averages"].append(linear(*mixed, train.labels, test.labels))
        figures["pixels + 8 averages"].append(linear(*both, train.labels, test.labels))
    return figures


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


# ---------------------------------------------------------------- training on tensors
def tensors(ds):
    """All samples of a data set as one batch of tensors, images channels-first."""
    (batch,) = ds.torch_loader(len(ds), fixed_length=True)
    return batch


def rows_of(batch, rows):
    """Some samples of a nested batch."""
    if isinstance(batch, dict):
        return {name: rows_of(part, rows) for name, part in batch.items()}
    return batch[rows]


def train(model, data, epochs, rate, clip=None, warmup=0.3, mistake=None, batch_size=64):
    """AdamW with warm-up and cosine, the lesson's loop; `mistake` makes one of the lesson's mistakes."""
    optimizer = torch.optim.AdamW(param_groups_weight_decay(model, 0.3), lr=rate, fused=True)
    n = len(data["target"])
    steps_per_epoch = -(-n // batch_size)
    total, step = epochs * steps_per_epoch, 0
    model.train()
    losses = []
    by_class = torch.argsort(data["target"], stable=True)
    for epoch in range(epochs):
        order = by_class if mistake == "no shuffling of sorted data" else torch.randperm(n)
        losses = []
        for rows in order.split(batch_size):
            batch = rows_of(data, rows)
            at = epoch if mistake == "schedule stepped per epoch" else step
            for group in optimizer.param_groups:
                group["lr"] = rate * warmup_cosine(at, total, warmup)
            logits = model(batch)
            if mistake == "softmax twice":
                logits = logits.softmax(dim=1)
            target = batch["target"]
            if mistake == "labels out of step":
                target = target.roll(1)
            loss = cross_entropy(logits, target)
            if mistake != "no zero_grad":
                optimizer.zero_grad()
            loss.backward()
            if clip is not None:
                clip_gradients(model.parameters(), clip)
            optimizer.step()
            step += 1
            losses.append(loss.item())
    if mistake != "no eval":
        model.eval()
    return float(np.mean(losses))


@torch.no_grad()
def accuracy(model, data):
    """Share of right answers, rounded."""
    return round(float((model(data).argmax(1) == data["target"]).float().mean()), 4)


# ---------------------------------------------------------------- digits
class Sounds(nn.Module):
    """Log-mel (b, t, 32) → (b, width); noise and dropout in training only."""

    def __init__(self, width, channels=32):
        super().__init__()
        first, second = (nn.Conv1d(channels, channels, 5, stride=2, padding=2) for _ in range(2))
        quarters = nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Dropout(0.5)
        self.net = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), *quarters, nn.Linear(4 * channels, width))

    def forward(self, x):
        x = pad(x, (0, 0, 0, 64 - x.shape[1]))  # (b, 64, 32): zeros added, or cut
        if self.training:
            x = x + torch.randn_like(x)
        return self.net(x.transpose(1, 2))


class DigitModel(nn.Module):
    """One encoder for each modality, joined, a hidden layer, ten logits."""

    def __init__(self, *names):
        super().__init__()
        every = {"image": ImageEncoder(32, size=28, colors=1), "voice": Sounds(32)}
        self.names = names
        self.encoders = nn.ModuleDict({name: every[name] for name in names})
        self.head = nn.Sequential(nn.Linear(32 * len(names), 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, batch):
        encoded = [self.encoders[name](batch["inputs"][name]) for name in self.names]
        return self.head(torch.cat(encoded, dim=1))


@cache
def digits(source):
    """Train and test digits as tensors, only what the model reads."""
    found = []
    for split in ("train", "test"):
        batch = tensors(load("avdigits", split, source=source))
        found.append({"inputs": batch["inputs"], "target": batch["target"]})
    return found


def digit_runs(source, budgets):
    """{modalities: {"N epochs": [test accuracy of each seed]}, with the last epoch's training loss beside}."""
    known, new = digits(source)
    figures = {"num_test": len(new["target"]), "chance": 0.1}
    for names in (("image",), ("voice",), ("image", "voice")):
        row = {}
        for epochs in budgets:
            reached, losses = [], []
            for seed in range(SEEDS):
                torch.manual_seed(seed)
                model = DigitModel(*names)
                losses.append(round(train(model, known, epochs, rate=3e-3), 4))
                reached.append(accuracy(model, new))
            row[f"{epochs} epochs"] = reached
            row[f"loss, {epochs} epochs"] = losses
        figures[" + ".join(names)] = row
        print(source, names, row, flush=True)
    return figures


def make_digits():
    """Shipped digits: written by people, spoken by synthetic voices."""
    return digit_runs("embedded", (5, 20))


def make_real():
    """MNIST and recordings of people: three speakers to train on, two others to test."""
    figures = {"linear": linear_baselines("real", (1, 8))}
    print(figures, flush=True)
    return {**figures, **digit_runs("real", (3, 10))}


def paired(names, read, budgets):
    """{"N epochs": [mean, half]}: share right of the five networks minus the linear model's, over the test samples."""
    known, new = digits("embedded")
    train_set, test = (load("avdigits", split) for split in ("train", "test"))
    inputs = [[averages(ds, 8)] if read == "8 averages" else [pixels(ds), averages(ds, 8)] for ds in (train_set, test)]
    right = linear_right(*(np.concatenate(parts, axis=1) for parts in inputs), train_set.labels, test.labels)
    figures = {}
    for epochs in budgets:
        share = np.zeros(len(right))
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            model = DigitModel(*names)
            train(model, known, epochs, rate=3e-3)
            with torch.no_grad():
                share += (model(new).argmax(1) == new["target"]).numpy() / SEEDS
        figures[f"{epochs} epochs"] = [round(x, 4) for x in mean_and_interval(share - right)]
    print(names, figures, flush=True)
    return figures


def make_paired():
    """Network minus linear model on the same test samples."""
    return {
        "image + voice": paired(("image", "voice"), "pixels + 8 averages", (5, 20)),
        "voice": paired(("voice",), "8 averages", (5, 20)),
    }


# ---------------------------------------------------------------- mood
class MoodModel(nn.Module):
    """The lesson's model: three encoders, each at unit scale, joined, one hidden layer with dropout."""

    def __init__(self, num_words, width=32, dropout=0.2):
        super().__init__()
        self.face = ImageEncoder(width)
        self.voice = AudioEncoder(40, width)
        self.words = TextEncoder(num_words, width)
        self.head = nn.Sequential(nn.Linear(3 * width, 128), nn.ReLU(), nn.Dropout(dropout), nn.Linear(128, 3))

    def forward(self, batch):
        inputs, masks = batch["inputs"], batch["padding_mask"]
        encoded = [
            self.face(inputs["face"]),
            self.voice(inputs["voice"], masks["voice"]),
            self.words(inputs["words"], masks["words"]),
        ]
        return self.head(torch.cat([rms_norm(vector, vector.shape[-1:]) for vector in encoded], dim=1))


@cache
def messages():
    """1,000 messages to train on, and the test set, as tensors."""
    train_set, test = load("mood", "train"), load("mood", "test")
    return tensors(train_set.subset(np.arange(1000))), tensors(test), len(train_set.vocabulary)


def mood_runs(settings, budgets, rate=1e-2):
    """{name: {"N epochs": [test accuracy of each seed], "loss, N epochs": [training loss of the last epoch]}}"""
    known, new, num_words = messages()
    figures = {"num_train": len(known["target"]), "num_test": len(new["target"])}
    commonest = torch.bincount(known["target"]).argmax()  # in training: nobody knows it of the test set
    figures["majority"] = round(float((new["target"] == commonest).float().mean()), 4)
    for name, options in settings.items():
        row = {}
        for epochs in budgets:
            reached, losses = [], []
            for seed in range(SEEDS):
                torch.manual_seed(seed)
                model = MoodModel(num_words)
                options_of = {"rate": rate} | options
                losses.append(round(min(train(model, known, epochs, **options_of), 1e6), 4))
                reached.append(accuracy(model, new))
            row[f"{epochs} epochs"] = reached
            row[f"loss, {epochs} epochs"] = losses
        figures[name] = row
        print(name, row, flush=True)
    return figures


KNOBS = {
    "the recipe": {},
    "rate × 3": {"rate": 3e-2},
    "rate × 3, no warm-up": {"rate": 3e-2, "warmup": 0.0},
    "rate × 3, no warm-up, clipped": {"rate": 3e-2, "warmup": 0.0, "clip": 1.0},
}
MISTAKES = {
    "none": {},
    "no zero_grad": {"mistake": "no zero_grad"},
    "no eval": {"mistake": "no eval"},
    "softmax twice": {"mistake": "softmax twice"},
    "labels out of step": {"mistake": "labels out of step"},
    "no shuffling of sorted data": {"mistake": "no shuffling of sorted data"},
    "schedule stepped per epoch": {"mistake": "schedule stepped per epoch"},
    "learning rate × 30": {"rate": 0.3},
    "learning rate / 100": {"rate": 1e-4},
}


def make_knobs():
    """Learning rate, warm-up and clipping."""
    return mood_runs(KNOBS, (10, 30))


def make_mistakes():
    """Eight mistakes beside the loop without one."""
    return mood_runs(MISTAKES, (4, 10))


# ---------------------------------------------------------------- the open challenge
def plain_network(inputs, epochs, seed, dropout=0.0, weight_decay=0.01, standardize=True):
    """Predictions of an MLP on both modalities side by side."""
    known = np.concatenate([inputs["picture"], inputs["sound"]], axis=1)
    new = np.concatenate([inputs["test_picture"], inputs["test_sound"]], axis=1)
    if standardize:
        scaler = StandardScaler().fit(known)
        known, new = scaler.transform(known), scaler.transform(new)
    x, x_new = (torch.tensor(values, dtype=torch.float32) for values in (known, new))
    y = torch.tensor(inputs["labels"])
    torch.manual_seed(seed)
    hidden = nn.Linear(64, 128), nn.ReLU(), nn.Dropout(dropout), nn.Linear(128, 128), nn.ReLU(), nn.Dropout(dropout)
    model = nn.Sequential(*hidden, nn.Linear(128, 5))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * -(-len(x) // 64))
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            loss = cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        return model(x_new).argmax(1).numpy()


def make_challenge():
    """Scores on the learner's own draw."""
    it = find_challenge("train_pytorch.challenge")
    assert isinstance(it, Challenge)
    drawn = it.public()
    inputs = drawn.inputs

    def score(predictions):
        return round(float(it.scored(it.checked(predictions), drawn)), 4)

    known = np.concatenate([inputs["picture"], inputs["sound"]], axis=1)
    new = np.concatenate([inputs["test_picture"], inputs["test_sound"]], axis=1)
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(known, inputs["labels"])
    ways = {
        "as they are, 30 epochs": {"epochs": 30, "standardize": False},
        "standardized, 30 epochs": {"epochs": 30},
        "standardized, 8 epochs": {"epochs": 8},
        "dropout and weight decay, 40 epochs": {"epochs": 40, "dropout": 0.5, "weight_decay": 1.0},
    }
    figures = {"logistic regression": score(logistic.predict(new))}
    for name, options in ways.items():
        figures[name] = [score(plain_network(inputs, seed=seed, **options)) for seed in (0, 1)]
    return figures


PARTS = {
    "linear": linear_baselines,
    "order": make_order,
    "mood_voice": mood_voice,
    "digits": make_digits,
    "paired": make_paired,
    "knobs": make_knobs,
    "mistakes": make_mistakes,
    "real": make_real,
    "challenge": make_challenge,
}


if __name__ == "__main__":
    runtime.setup(threads=1)
    make_tables("train_pytorch", PARTS, sys.argv[1:], packages=("numpy", "scikit-learn", "torch"))
