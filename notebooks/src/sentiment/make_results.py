"""Lesson sentiment's long runs: `make results sentiment`, about half an hour of one core. Seeds 0-4; learning speed, 0-2.

Every run trains on `mood`'s 6,000 training samples and is measured on its test set (probes on its validation set). The
controls: the untreated model with two and four times the epochs, two cures with twice the epochs, and the skeleton
with nothing but its attention line repaired.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import platform  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from itertools import combinations  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy, rms_norm  # noqa: E402

from mmcourse.datasets import load, mood, results, save_results  # noqa: E402
from mmcourse.torch import fusion as F  # noqa: E402
from mmcourse.torch.attention import MultiHeadAttention  # noqa: E402
from mmcourse.torch.encoders import AudioEncoder, ImageEncoder, MultimodalClassifier, TextEncoder  # noqa: E402
from mmcourse.training.torch import fit, predict, warmup_cosine  # noqa: E402

NAMES = ("face", "voice", "words")
SUBSETS = [names for k in (1, 2, 3) for names in combinations(NAMES, k)]
PRIOR = mood.JOINT.sum((1, 2, 3))
METHODS = (*NAMES, "late, trained together", "concatenate", "gated unit", "tensor", "attention")
WAYS = ("nothing", "gradient modulation", "faster words", "losses of their own", "unit scale")
SPEED_EPOCHS = 5


# ---------------------------------------------------------------- as lesson sentiment writes them out
class UnitScale(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.width = encoder, encoder.width

    def forward(self, x, padding_mask=None):
        return rms_norm(self.encoder(x, padding_mask), (self.width,), eps=1e-5)


class AttentionFusion(nn.Module):
    gives_logits = takes_sequences = False

    def __init__(self, dims, width, num_heads=4):
        super().__init__()
        self.width = width
        self.kind = nn.Parameter(torch.randn(len(dims), dims[0]) / 10)
        self.attention = MultiHeadAttention(dims[0], num_heads)
        self.out = nn.Linear(dims[0], width)

    def forward(self, xs, modality_mask=None):
        steps = torch.stack(F.masked(xs, modality_mask), 1) + self.kind  # (b, 3, d)
        steps = steps + self.attention(steps, padding_mask=modality_mask)
        there = torch.ones_like(steps[..., 0]) if modality_mask is None else modality_mask
        return self.out(F.masked_mean(steps, there)).relu()


class Plain(nn.Module):
    gives_logits = takes_sequences = False

    def __init__(self, dims, width):
        super().__init__()
        self.width, self.out = width, nn.Linear(sum(dims), width)

    def forward(self, xs, modality_mask=None):
        return self.out(torch.cat(F.masked(xs, modality_mask), -1)).relu()


def encoders(names=NAMES, width=32, scale=True):
    """The course's encoders, at unit scale or as they are."""
    vocabulary = len(load("mood", "train").vocabulary)
    make = {"face": ImageEncoder, "voice": lambda w: AudioEncoder(40, w), "words": lambda w: TextEncoder(vocabulary, w)}
    return {m: UnitScale(make[m](width)) if scale else make[m](width) for m in names}


def build(method, seed):
    """An untrained model: one modality, or all fused by `method` ("… + dropout": with modality dropout)."""
    torch.manual_seed(seed)
    method, *dropout = method.split(" + ")
    dims = [32] * 3
    if method in NAMES:
        return MultimodalClassifier(encoders([method]), F.Concatenate([32], 128), 3)
    if method == "tensor":  # 17³ products are enough
        return MultimodalClassifier(encoders(width=16), F.TensorFusion([16] * 3, 32), 3)
    fusion = {
        "late, trained together": lambda: F.LateProduct(dims, 3, PRIOR),
        "concatenate": lambda: F.Concatenate(dims, 128),
        "gated unit": lambda: F.GatedUnit(dims, 32),
        "attention": lambda: AttentionFusion(dims, 128),
    }[method]()
    return MultimodalClassifier(encoders(), fusion, 3, F.ModalityDropout(dims, 0.3) if dropout else None)


# ---------------------------------------------------------------- methods and subsets
def sarcastic(ds):
    """The samples whose smirk turns words around that do say something."""
    return (ds.meta["face_cue"] == "smirk") & (ds.meta["words_cue"] != "neutral")


def trained(method, seed, data, epochs=10):
    """A model after training."""
    model = build(method, seed)
    fit(model, data["train"].torch_loader(64, seed=seed), epochs=epochs, seed=seed, progress=False)
    return model


def log_probabilities(model, ds):
    """float32 (n, 3)."""
    return torch.from_numpy(predict(model, ds.torch_loader(500))).log_softmax(-1).numpy()


def scores(logits, ds):
    """Accuracy on all, and on the sarcastic samples."""
    right = logits.argmax(1) == ds.labels
    return float(right.mean()), float(right[sarcastic(ds)].mean())


def by_subset(model, ds):
    """Accuracy with each of the seven subsets present, in the order of SUBSETS."""
    gone = [[m for m in NAMES if m not in names] for names in SUBSETS]
    return [scores(predict(model, ds.with_missing(pattern=g).torch_loader(500)), ds)[0] for g in gone]


def compare_methods(data, seeds, methods=METHODS):
    """Accuracy and accuracy on sarcasm, [seed] by method; the late vote of models trained apart costs nothing more."""
    reached = {}
    for seed in seeds:
        logs = {method: log_probabilities(trained(method, seed, data), data["test"]) for method in methods}
        if set(NAMES) <= set(logs):
            logs["late, trained apart"] = sum(logs[m] for m in NAMES) - 2 * np.log(PRIOR)
        for method, log in logs.items():
            reached.setdefault(method, []).append(scores(log, data["test"]))
    return {k: {"accuracy": [a for a, _ in v], "sarcasm": [s for _, s in v]} for k, v in reached.items()}


def compare_subsets(data, seeds):
    """[seed][subset] without and with modality dropout."""
    ways = {"without": "attention", "with": "attention + dropout"}
    return {way: [by_subset(trained(m, seed, data), data["test"]) for seed in seeds] for way, m in ways.items()}


# ---------------------------------------------------------------- learning speed
@torch.no_grad()
def vectors(model, ds):
    """What each encoder says of every sample: [(n, 32)]."""
    batches = list(ds.torch_loader(500))
    masks = [[batch["padding_mask"].get(m) for batch in batches] for m in model.names]
    return [
        torch.cat([model.encoders[m](b["inputs"][m], k) for b, k in zip(batches, ks, strict=True)]).numpy()
        for m, ks in zip(model.names, masks, strict=True)
    ]


def probe(model, data):
    """Validation accuracy that a logistic regression reads out of each encoder."""
    few = data["train"].subset(np.arange(2000))
    found = []
    for x, y in zip(vectors(model, few), vectors(model, data["validation"]), strict=True):
        mean, spread = x.mean(0), x.std(0) + 1e-6
        reader = LogisticRegression(C=0.1, max_iter=200).fit((x - mean) / spread, few.labels)
        found.append(float(reader.score((y - mean) / spread, data["validation"].labels)))
    return found


def optimizer_of(model, heads, way, rate=1e-2, decay=0.3):
    """AdamW over everything; "faster words" gives their encoder four times the rate at the same decay per step."""
    groups = {name: list(model.encoders[name].parameters()) for name in model.names}
    rest = [*model.fusion.parameters(), *model.head.parameters(), *heads.parameters()]
    faster = {"words": 4} if way == "faster words" else {}
    groups = [
        {"params": p, "lr": rate * faster.get(m, 1), "weight_decay": decay / faster.get(m, 1)}
        for m, p in groups.items()
    ]
    return torch.optim.AdamW([*groups, {"params": rest}], rate, weight_decay=decay)


def race(way, seed, data, names=NAMES, epochs=SPEED_EPOCHS, probed=True):
    """Train with concatenation as it stands and one cure. Test accuracy, and probes and ratios after each epoch."""
    torch.manual_seed(seed)
    dims = [32] * len(names)
    model = MultimodalClassifier(encoders(names, scale=way == "unit scale"), Plain(dims, 128), 3)
    heads = nn.ModuleList(nn.Linear(32, 3) for _ in names)
    optimizer = optimizer_of(model, heads, way)
    loader = data["train"].torch_loader(64, seed=seed)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, epochs * len(loader)))
    probes, ratios = [], []
    for _ in range(epochs):
        seen = []
        for batch in loader:
            xs = [model.encoders[m](batch["inputs"][m], batch["padding_mask"].get(m)) for m in names]
            y = batch["target"]
            loss = cross_entropy(model.head(model.fusion(xs)), y)
            if way == "losses of their own":
                loss = loss + sum(cross_entropy(head(x), y) for head, x in zip(heads, xs, strict=True))
            optimizer.zero_grad()
            loss.backward()
            if len(names) > 1 and (probed or way == "gradient modulation"):
                sure = alone(model, [x.detach() for x in xs], y)
                seen.append((sure * 2 / (sure.sum() - sure)).numpy())
                if way == "gradient modulation":
                    F.modulate_gradients(model.encoders.values(), F.ogm_coefficients(sure))
            optimizer.step()
            schedule.step()
        if probed:
            probes.append(probe(model, data))
        ratios.append(np.mean(seen, 0).tolist() if seen else [])
    return {
        "accuracy": scores(predict(model, data["test"].torch_loader(500)), data["test"])[0],
        "probes": probes,
        "ratios": ratios,
    }


@torch.no_grad()
def alone(model, xs, y):
    """How sure the fused model is of the right class when it has one modality only, (3,)."""
    only = torch.eye(len(xs), dtype=torch.bool)
    return F.confidence(torch.stack([model.head(model.fusion(xs, row.expand(len(y), -1))) for row in only]), y)


def compare_speed(data, seeds):
    """Runs [seed] of each way; "alone" holds the probes (seed, epoch, modality) of encoders that train on their own."""
    ways = {way: [race(way, seed, data) for seed in seeds] for way in WAYS}
    lone = [[race("nothing", seed, data, (m,))["probes"] for m in NAMES] for seed in seeds]
    return {**ways, "alone": np.squeeze(lone, -1).transpose(0, 2, 1).tolist()}


# ---------------------------------------------------------------- controls
def longer(data, way, seeds, times=2):
    """Test accuracy with several times the epochs, [seed]."""
    return [race(way, seed, data, epochs=times * SPEED_EPOCHS, probed=False)["accuracy"] for seed in seeds]


def repaired_skeleton(vocabulary):
    """The lesson's broken Keras model with one line repaired: attention runs over modalities."""
    import keras
    from keras import layers

    words, voice = keras.Input((None,), dtype="int64", name="words"), keras.Input((None, 40), name="voice")
    face = keras.Input((32, 32, 3), name="face")
    text = layers.GlobalAveragePooling1D()(layers.Embedding(vocabulary, 64)(words))
    audio = layers.GlobalAveragePooling1D()(layers.Conv1D(32, 5, activation="relu")(voice))
    image = layers.Flatten()(layers.Conv2D(16, 3, strides=2, activation="relu")(face))
    steps = keras.ops.stack(
        [layers.Dense(32, activation="relu")(x) for x in (text, audio, image)], axis=1
    )  # (b, 3, 32)
    fused = keras.ops.mean(layers.Attention()([steps, steps]), axis=1)
    return keras.Model([words, voice, face], layers.Dense(3)(layers.Dense(64, activation="relu")(fused)))


def one_line(data, seed, epochs):
    """Test accuracy of the repaired skeleton, trained as the lesson trains the broken one."""
    import keras

    def flow(ds, seed=None):
        return ds.tf_dataset(64, seed=seed).map(lambda x, target: (x["inputs"], target))

    keras.utils.set_random_seed(seed)
    model = repaired_skeleton(len(data["train"].vocabulary))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(flow(data["train"], seed), epochs=epochs, shuffle=False, verbose=0)
    return round(model.evaluate(flow(data["test"]), verbose=0)[1], 4)


PARTS = {
    "subsets": lambda data: compare_subsets(data, range(5)),
    "speed": lambda data: compare_speed(data, range(3)),
    "methods": lambda data: compare_methods(data, range(5)),
    "one line": lambda data: {str(n): [one_line(data, seed, n) for seed in range(3)] for n in (3, 10)},
    "untreated, ten epochs": lambda data: longer(data, "nothing", range(8)),
    "untreated, twenty epochs": lambda data: longer(data, "nothing", range(5), times=4),
    "own losses, ten epochs": lambda data: longer(data, "losses of their own", range(5)),
    "unit scale, ten epochs": lambda data: longer(data, "unit scale", range(5)),
}


def main(wanted=()):
    """Measure all, or only the parts named, and store; what a part takes is added to `seconds`."""
    torch.set_num_threads(1)
    data = {split: load("mood", split) for split in ("train", "validation", "test")}
    figures = results("sentiment") if wanted else {"seconds": 0}
    for part in wanted or PARTS:
        start = time.process_time()
        figures[part] = PARTS[part](data)
        figures["seconds"] += round(time.process_time() - start)
        print(part, figures["seconds"], "s", figures[part], flush=True)
        figures["made_with"] = f"Python {platform.python_version()}, PyTorch {torch.__version__}, {platform.machine()}"
        save_results("sentiment", figures)


if __name__ == "__main__":
    main(sys.argv[1:])
