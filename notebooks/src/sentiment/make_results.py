"""Lesson sentiment's long runs: `make results sentiment`, about half an hour of one core. Seeds 0-4; learning speed, 0-2.

Runs on `mood` train on its 6,000 training samples and are measured on its test set (probes on its validation set). The
controls: a ladder from the skeleton to the model of the lesson, one change at a time; the untreated model with two and
four times the epochs; the treated ones with as many. The parts "reviews", "emodb", "meld" and "mustard" need the folder
of real data, and three of them MiniLM (extra `pretrained`). `make_results.py PART…` makes these parts anew and keeps
the others.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import functools  # noqa: E402
import sys  # noqa: E402
from itertools import combinations  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy, rms_norm  # noqa: E402

from mmcourse.authoring.tables import make_tables  # noqa: E402
from mmcourse.datasets import load, mood  # noqa: E402
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
    """An untrained model: one modality, or all fused by `method` ("… + dropout": modality dropout, null tokens)."""
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


def compare_methods(data, seeds, methods=METHODS, epochs=10):
    """Accuracy and accuracy on sarcasm, [seed] by method; the late vote of models trained apart costs nothing more."""
    reached = {}
    for seed in seeds:
        logs = {method: log_probabilities(trained(method, seed, data, epochs), data["test"]) for method in methods}
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


RUNGS = ("skeleton", "attention over modalities", "padding masks", "encoders", "unit scale", "learned attention")
CONTROL = "all but the attention over modalities"


class Extractors(nn.Module):
    """The tutorial's three extractors; without `masked`, padding is averaged as if it were there."""

    def __init__(self, vocabulary, masked, width=32):
        super().__init__()
        self.masked = masked
        self.embedding, self.conv1d = nn.Embedding(vocabulary, 64), nn.Conv1d(40, 32, 5)
        self.conv2d = nn.Conv2d(3, 16, 3, stride=2)
        self.dense = nn.ModuleList(nn.Linear(n, width) for n in (64, 32, 15 * 15 * 16))

    def forward(self, batch):
        words, voice = batch["inputs"]["words"], batch["inputs"]["voice"]
        text = self.embedding(words)  # (b, t, 64)
        audio = self.conv1d(voice.transpose(1, 2)).relu().transpose(1, 2)  # (b, t - 4, 32)
        image = self.conv2d(batch["inputs"]["face"]).relu().flatten(1)
        if self.masked:
            real = batch["padding_mask"]
            text, audio = F.masked_mean(text, real["words"]), F.masked_mean(audio, real["voice"][:, 4:])
        else:
            text, audio = text.mean(1), audio.mean(1)
        return [layer(x).relu() for layer, x in zip(self.dense, (text, audio, image), strict=True)]


class Rung(nn.Module):
    """The skeleton with the first `changes` of RUNGS made; `broken`: the attention still runs over samples."""

    def __init__(self, vocabulary, changes, broken=False):
        super().__init__()
        self.changes, self.broken = changes, broken
        self.extract = None if changes >= 3 else Extractors(vocabulary, masked=changes >= 2)
        self.encoders = nn.ModuleDict(encoders(("words", "voice", "face"), scale=changes >= 4) if changes >= 3 else {})
        self.fusion = AttentionFusion([32] * 3, 128) if changes >= 5 and not broken else None
        self.hidden, self.head = nn.Linear(32, 64), nn.Linear(128 if self.fusion else 64, 3)

    def forward(self, batch):
        if self.extract:
            xs = self.extract(batch)
        else:
            xs = [e(batch["inputs"][m], batch["padding_mask"].get(m)) for m, e in self.encoders.items()]
        if self.fusion:
            return self.head(self.fusion(xs))
        if self.changes == 0 or self.broken:
            text, audio, image = xs
            fused = (text @ image.T).softmax(-1) @ audio  # what Attention()([text, audio, image]) computes
        else:
            steps = torch.stack(xs, 1)  # (b, 3, 32)
            fused = ((steps @ steps.transpose(1, 2)).softmax(-1) @ steps).mean(1)
        return self.head(self.hidden(fused).relu())


def climb(changes, seed, data, epochs=6, broken=False):
    """Test accuracy after 3 and after `epochs` epochs of plain Adam at 0.001."""
    torch.manual_seed(seed)
    model = Rung(len(data["train"].vocabulary), changes, broken)
    optimizer, loader = torch.optim.Adam(model.parameters(), 1e-3), data["train"].torch_loader(64, seed=seed)
    reached = []
    for epoch in range(1, epochs + 1):
        for batch in loader:
            optimizer.zero_grad()
            cross_entropy(model(batch), batch["target"]).backward()
            optimizer.step()
        if epoch in (3, epochs):
            reached.append(round(scores(predict(model, data["test"].torch_loader(64)), data["test"])[0], 4))
    return reached


def make_ladder(data, seeds=range(5)):
    """[seed][after 3 epochs, after 6] of each rung, and of the control."""
    table = {}
    for changes, name in enumerate(RUNGS):
        table[name] = [climb(changes, seed, data) for seed in seeds]
        print(name, table[name], flush=True)
    table[CONTROL] = [climb(len(RUNGS) - 1, seed, data, broken=True) for seed in seeds]
    return table


# ---------------------------------------------------------------- late fusion that is no sum
def readers_of(seed, data):
    """Log-probabilities of three readers trained apart, by split: (n, 9)."""
    models = {m: trained(m, seed, data) for m in NAMES}
    logs = {
        split: np.concatenate([log_probabilities(model, ds) for model in models.values()], axis=1)
        for split, ds in data.items()
    }
    return models, logs


def make_stacking(data, seeds=range(5)):
    """Accuracy of what reads only the nine log-probabilities: a sum (linear) and a small network, [seed].

    Both learn from the validation messages, which the readers have not seen.
    """
    from sklearn.neural_network import MLPClassifier

    found = {"linear": [], "network": [], "voice of mood on EmoDB": []}
    for seed in seeds:
        models, logs = readers_of(seed, data)
        y = data["validation"].labels
        ways = {
            "linear": LogisticRegression(max_iter=2000),
            "network": MLPClassifier((32,), alpha=1e-2, max_iter=600, random_state=seed),
        }
        for name, way in ways.items():
            log = way.fit(logs["validation"], y).predict_proba(logs["test"])
            found[name].append(dict(zip(("accuracy", "sarcasm"), scores(log, data["test"]), strict=True)))
        if real_folder() is not None:
            found["voice of mood on EmoDB"].append(unchanged(models["voice"]))
        print(seed, {k: v[-1:] for k, v in found.items()}, flush=True)
    return found


# ---------------------------------------------------------------- real people
FEELING = {"W": 0, "E": 0, "A": 0, "T": 0, "N": 1, "F": 2}  # EmoDB's letters; boredom (L) is left out here


def real_folder():
    """The folder of real data, or None."""
    from mmcourse.authoring.real import data_folder

    return data_folder()


def people():
    """EmoDB: waves (16 kHz, cut or padded to 2.0 s), letter of the emotion, speaker and sentence of each."""
    from mmcourse.preprocess import audio

    files = sorted((real_folder() / "emodb").glob("*.flac"))
    columns = zip(*[(f.stem[5], f.stem[:2], f.stem[2:5]) for f in files], strict=True)
    return [audio.read(file)[0] for file in files], *(np.array(column) for column in columns)


def frames_of(waves, mean_kept=False):
    """What the voice encoder takes, as one padded array and its mask; digital silence at the end is padding.

    `mood` takes each clip's mean frame away; with `mean_kept` only the mean of all clips is.
    """
    from mmcourse.datasets.mood import voices
    from mmcourse.preprocess.audio import log_mel

    frames = []
    for wave in waves:
        end = np.flatnonzero(np.abs(wave) > 1e-3).max() + 1
        if mean_kept:
            frames.append(log_mel(wave[:end], 16_000, voices.N_FFT, voices.HOP, voices.N_MELS, top_db=voices.FLOOR))
        else:
            frames.append(voices.encode(wave[:end]))
    if mean_kept:  # as loud as it may be: a clip's loudest band is 0 decibels
        frames = [f - f.max() for f in frames]
        every = np.concatenate(frames)
        frames = [(f - every.mean(0)) / every.std(0) for f in frames]
    frames = [f.astype(np.float32) for f in frames]
    longest = max(map(len, frames))
    x = np.stack([np.pad(f, ((0, longest - len(f)), (0, 0))) for f in frames])
    mask = np.array([np.arange(longest) < len(f) for f in frames])
    return torch.from_numpy(x), torch.from_numpy(mask)


def unchanged(reader):
    """The reader of mood's synthetic voices on people who act: answers by true feeling, counts (3, 3)."""
    waves, letter, *_ = people()
    kept = np.array([c in FEELING for c in letter])
    x, mask = frames_of([wave for wave, keep in zip(waves, kept, strict=True) if keep])
    y = np.array([FEELING[c] for c in letter[kept]])
    n = len(y)
    batch = {"inputs": {"voice": x}, "padding_mask": {"voice": mask}, "modality_mask": {"voice": torch.ones(n).bool()}}
    with torch.no_grad():
        answer = reader.eval()(batch).argmax(1).numpy()
    return np.histogram2d(y, answer, bins=np.arange(4) - 0.5)[0].astype(int).tolist()


def fit_one(encoder, inputs, masks, y, classes, seed, epochs, rate=3e-3, decay=0.05):
    """One encoder at unit scale with a head, trained on these rows."""
    torch.manual_seed(seed)
    model = nn.ModuleList([UnitScale(encoder()), nn.Linear(32, classes)])
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=decay)
    steps = epochs * -(-len(y) // 32)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, steps))
    g = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(y), generator=g).split(32):
            optimizer.zero_grad()
            cross_entropy(model[1](model[0](inputs[rows], masks[rows])), y[rows]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def make_emodb(_, seeds=range(5), epochs=(8, 16)):
    """Seven emotions of ten actors, each actor left out once: accuracy by speaker, and the counts behind it."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    waves, letter, speaker, sentence = people()
    kinds = sorted(set(letter))
    y = np.array([kinds.index(c) for c in letter])
    x, mask = frames_of(waves)
    kept, _ = frames_of(waves, mean_kept=True)
    length = mask.sum(1, keepdim=True).float()
    code = np.eye(len(set(sentence)))[np.unique(sentence, return_inverse=True)[1]]
    plain = {
        "length": length.numpy(),
        "sentence": code,
        "linear, mean removed": moments(x, mask),
        "linear": moments(kept, mask),
    }
    names = sorted(set(speaker))
    right = {name: np.zeros(len(y), bool) for name in ("majority", *plain)}
    runs = {f"encoder, mean removed, {n} epochs": (x, n) for n in epochs}
    runs[f"encoder, {epochs[-1]} epochs"] = (kept, epochs[-1])
    nets = {name: np.zeros((len(seeds), len(y)), bool) for name in runs}
    for who in names:
        out = speaker == who
        right["majority"][out] = np.bincount(y[~out]).argmax() == y[out]
        for name, columns in plain.items():
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
            right[name][out] = model.fit(columns[~out], y[~out]).predict(columns[out]) == y[out]
        rows = torch.from_numpy(np.flatnonzero(~out))
        target = torch.from_numpy(y)[rows]
        for name, (frames, n) in runs.items():
            for k, seed in enumerate(seeds):
                net = fit_one(lambda: AudioEncoder(40, 32), frames[rows], mask[rows], target, len(kinds), seed, n)
                with torch.no_grad():
                    answer = net[1](net[0](frames[out], mask[out])).argmax(1).numpy()
                nets[name][k, out] = answer == y[out]
        print(who, {k: round(float(v[out].mean()), 3) for k, v in right.items()}, flush=True)
    by = {k: [round(float(v[speaker == w].mean()), 4) for w in names] for k, v in right.items()}
    by |= {
        k: [[round(float(v[s, speaker == w].mean()), 4) for w in names] for s in range(len(v))] for k, v in nets.items()
    }
    ends = [int(np.flatnonzero(np.abs(wave) > 1e-3).max() + 1) for wave in waves]
    return {
        "speakers": names,
        "clips": [int((speaker == w).sum()) for w in names],
        "num_clips": len(y),
        "full length": int(np.sum(np.array(ends) > 0.99 * 2.0 * 16000)),
        "emotions": {c: int((letter == c).sum()) for c in kinds},
        "accuracy": by,
        "listeners": listeners({f.stem for f in (real_folder() / "emodb").glob("*.flac")}),
    }


def moments(x, mask):
    """Mean and standard deviation of each band over a clip's frames, and the length: (n, 81)."""
    m = mask[..., None]
    mean = (x * m).sum(1) / m.sum(1)
    spread = (((x - mean[:, None]) ** 2 * m).sum(1) / m.sum(1)).sqrt()
    mean = mean.where(mean.abs() > 1e-4, 0.0)  # rounding is no feature
    return torch.cat([mean, spread, mask.sum(1, keepdim=True).float()], 1).numpy()


def listeners(stems):
    """Mean share of EmoDB's 20 listeners who named the emotion, over these clips."""
    rows = (real_folder() / "emodb" / "erkennung.txt").read_text(encoding="latin-1").splitlines()[1:]
    shares = {}
    for row in rows:
        parts = row.split("\t")
        if len(parts) > 2:
            shares[parts[1].strip()[:7]] = float(parts[2].replace("\xa0", "").strip().replace(",", "."))
    found = [shares[stem] for stem in stems if stem in shares]
    return {"clips": len(found), "mean": round(float(np.mean(found)) / 100, 4), "lowest": min(found) / 100}


def words_of(line):
    """Words and punctuation in lower case."""
    from mmcourse.preprocess import text

    return text.tokenize(text.normalize(line))


def bag(ngrams, C):
    """TF-IDF of words, or of words and pairs of neighbors, and logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    vectors = TfidfVectorizer(tokenizer=words_of, token_pattern=None, lowercase=False, ngram_range=(1, ngrams))
    return make_pipeline(vectors, LogisticRegression(C=C, max_iter=2000))


def fitted_bag(ngrams, lines, y, valid, y_valid):
    """The bag whose strength does best on the validation sentences."""
    bags = [bag(ngrams, C).fit(lines, y) for C in (1.0, 3.0)]
    return max(bags, key=lambda model: model.score(valid, y_valid))


def lengths(lines):
    """Number of words and of letters, (n, 2)."""
    return np.array([[len(words_of(line)), len(line)] for line in lines], float)


def ids_of(train, *others, min_count=2):
    """Word ids (n, 40) and masks of each list of sentences; the vocabulary is that of the first."""
    from collections import Counter

    counts = Counter(w for line in train for w in words_of(line))
    index = {w: i + 2 for i, w in enumerate(sorted(w for w, n in counts.items() if n >= min_count))}
    found = []
    for lines in (train, *others):
        ids = np.zeros((len(lines), 40), np.int64)
        for i, line in enumerate(lines):
            row = [index.get(w, 1) for w in words_of(line)[:40]] or [1]
            ids[i, : len(row)] = row
        found.append((torch.from_numpy(ids), torch.from_numpy(ids > 0)))
    return len(index) + 2, found


def text_readers(train, valid, test, seeds, epochs, minilm=2000):
    """Right or wrong on each test sentence: five ways of reading; `train`, `valid`, `test` are (lines, labels)."""
    (lines, y), (v_lines, y_v), (t_lines, y_t) = train, valid, test
    classes = int(y.max()) + 1
    right = {"majority": np.bincount(y).argmax() == y_t}
    short = LogisticRegression(max_iter=1000).fit(lengths(lines), y)
    right["length"] = short.predict(lengths(t_lines)) == y_t
    for n, name in ((1, "TF-IDF, words"), (2, "TF-IDF, words and pairs")):
        right[name] = fitted_bag(n, lines, y, v_lines, y_v).predict(t_lines) == y_t
    size, ((x, mask), (x_t, mask_t)) = ids_of(lines, t_lines)
    target = torch.from_numpy(y)
    for n in epochs:
        rows = []
        for seed in seeds:
            net = fit_one(lambda: TextEncoder(size, 32), x, mask, target, classes, seed, n)
            with torch.no_grad():
                rows.append(net[1](net[0](x_t, mask_t)).argmax(1).numpy() == y_t)
        right[f"text encoder, {n} epochs"] = np.array(rows)
    if minilm:
        some = np.random.default_rng(0).permutation(len(lines))[:minilm]
        codes = encoded([lines[i] for i in some])
        reader = LogisticRegression(C=10, max_iter=2000).fit(codes, y[some])
        right["MiniLM"] = reader.predict(encoded(t_lines)) == y_t
    return right


def encoded(lines):
    """MiniLM's vectors (n, 384)."""
    from mmcourse.torch.minilm import load_minilm

    if not hasattr(encoded, "model"):
        encoded.model = load_minilm()
    order = np.argsort([len(line) for line in lines])
    found = np.zeros((len(lines), 384), np.float32)
    for rows in np.array_split(order, max(len(lines) // 64, 1)):
        found[rows] = encoded.model.encode([lines[i] for i in rows]).numpy()
    return found


def over_groups(right, groups, rounds=2000, seed=0):
    """Accuracy and the middle 95 % over whole groups drawn with replacement: [accuracy, low, high]."""
    right = np.atleast_2d(right).mean(0)  # over seeds
    _, number = np.unique(groups, return_inverse=True)
    n, hits = np.bincount(number), np.bincount(number, right)
    drawn = np.random.default_rng(seed).integers(0, len(n), (rounds, len(n)))
    found = hits[drawn].sum(1) / n[drawn].sum(1)
    return [round(float(v), 4) for v in (right.mean(), *np.quantile(found, [0.025, 0.975]))]


def summary(right, groups, over="TF-IDF, words"):
    """Accuracies with intervals over groups, and differences from the bag of words."""
    base = np.atleast_2d(right[over]).mean(0)
    less = {k: np.atleast_2d(v).mean(0) - base for k, v in right.items() if k != over}
    return {
        "accuracy": {k: over_groups(v, groups) for k, v in right.items()},
        f"minus {over}": {k: over_groups(v, groups) for k, v in less.items()},
        "by seed": {k: np.round(v.mean(1), 4).tolist() for k, v in right.items() if v.ndim == 2},
        "num_test": len(base),
        "num_groups": len(set(groups)),
    }


def make_reviews(_, seeds=range(5)):
    """Film reviews (Pang and Lee 2005); the authors do not say which review a sentence is from."""
    from mmcourse.datasets import reviews

    sets = [reviews.load(split) for split in ("train", "validation", "test")]
    parts = [(list(ds.column("words")), np.asarray(ds.labels)) for ds in sets]
    right = text_readers(*parts, seeds, epochs=(3, 6))
    return summary(right, np.arange(len(parts[2][1]))) | {"num_train": len(parts[0][1])}


def make_meld(_, seeds=range(5)):
    """Lines of a TV series (MELD): negative, neutral or positive. Intervals over dialogues."""
    import csv

    parts, who, dialogue = [], [], []
    for split in ("train", "dev", "test"):
        with open(real_folder() / "meld" / f"{split}_sent_emo.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        y = np.array([("negative", "neutral", "positive").index(row["Sentiment"]) for row in rows])
        parts.append(([row["Utterance"] for row in rows], y))
        who.append([row["Speaker"] for row in rows])
        dialogue.append([row["Dialogue_ID"] for row in rows])
    right = text_readers(*parts, seeds, epochs=(3, 6))
    right["speaker only"] = by_name(who[0], parts[0][1], who[2]) == parts[2][1]
    return summary(right, np.array(dialogue[2])) | {"num_train": len(parts[0][1])}


def by_name(names, y, others):
    """The commonest label of each name in training; of everybody for a new name."""
    table = {}
    for name, label in zip(names, y, strict=True):
        table.setdefault(name, np.zeros(y.max() + 1))[label] += 1
    anybody = np.bincount(y)
    return np.array([table.get(name, anybody).argmax() for name in others])


def make_mustard(_, seeds=range(5)):
    """Sarcastic or not (MUStARD): random folds and folds by speaker. Intervals over speakers."""
    import json

    from sklearn.model_selection import GroupKFold, StratifiedKFold

    rows = list(json.loads((real_folder() / "mustard" / "sarcasm_data.json").read_text()).values())
    lines, y = [row["utterance"] for row in rows], np.array([int(row["sarcasm"]) for row in rows])
    speaker, show = np.array([row["speaker"] for row in rows]), np.array([row["show"] for row in rows])
    codes, size = encoded(lines), lengths(lines)
    text = np.array(lines, object)

    def answers(train, test):
        """Answers of each way on the rows `test`."""
        size_model = LogisticRegression(max_iter=1000).fit(size[train], y[train])
        return {
            "majority": np.full(len(test), np.bincount(y[train]).argmax()),
            "length": size_model.predict(size[test]),
            "speaker only": by_name(speaker[train], y[train], speaker[test]),
            "show only": by_name(show[train], y[train], show[test]),
            "TF-IDF, words": bag(1, 1.0).fit(text[train], y[train]).predict(text[test]),
            "TF-IDF, words and pairs": bag(2, 1.0).fit(text[train], y[train]).predict(text[test]),
            "MiniLM": LogisticRegression(C=3, max_iter=2000).fit(codes[train], y[train]).predict(codes[test]),
            "text encoder": encoder_answers(train, test),
        }

    def encoder_answers(train, test):
        n, ((x, mask), (x_t, mask_t)) = ids_of(text[train].tolist(), text[test].tolist())
        net = fit_one(lambda: TextEncoder(n, 32), x, mask, torch.from_numpy(y[train]), 2, answers.seed, 8)
        with torch.no_grad():
            return net[1](net[0](x_t, mask_t)).argmax(1).numpy()

    splits = {
        "random folds": lambda seed: StratifiedKFold(10, shuffle=True, random_state=seed).split(lines, y),
        "folds by speaker": lambda seed: GroupKFold(10, shuffle=True, random_state=seed).split(lines, y, speaker),
        "folds by show": lambda seed: GroupKFold(len(set(show))).split(lines, y, show),
    }
    found = {}
    for name, folds in splits.items():
        right = {}
        for seed in seeds:
            answers.seed = seed
            row = {}
            for train, test in folds(seed):
                for way, answer in answers(train, test).items():
                    row.setdefault(way, np.zeros(len(y), bool))[test] = answer == y[test]
            for way, values in row.items():
                right.setdefault(way, []).append(values)
        right = {way: np.array(values) for way, values in right.items()}
        found[name] = summary(right, speaker)
        print(name, found[name]["accuracy"], flush=True)
    share = {s: [int((show == s).sum()), int(y[show == s].sum())] for s in sorted(set(show))}
    return found | {"sarcastic by show": share, "num_speakers": len(set(speaker)), "num_rows": len(y)}


# ---------------------------------------------------------------- the open challenge
def make_challenge(_):
    """What simple ways reach in the challenge, and a network that meets new gaps in training, from three starts."""
    from sklearn.ensemble import RandomForestClassifier

    from mmcourse.exercise import find_challenge

    made = find_challenge("sentiment.challenge")
    drawn = made.public()
    given = drawn.inputs
    y = given["train_labels"]
    train, test = with_masks(given["train"], given["train_there"]), with_masks(given["test"], given["test_there"])
    answers = {
        "one answer": np.full(len(test), np.bincount(y).argmax()),
        "linear": LogisticRegression(max_iter=2000).fit(train, y).predict(test),
        "forest": RandomForestClassifier(300, min_samples_leaf=3, random_state=0).fit(train, y).predict(test),
    }
    for seed in range(3):
        answers[f"network {seed}"] = gap_network(given, seed)
    return {
        name: round(float(made.score({"predictions": answer}, given, drawn.hidden)), 4)
        for name, answer in answers.items()
    }


def with_masks(x, there):
    """The numbers of all modalities and the mask, (n, 18)."""
    return np.concatenate([x.reshape(len(x), -1), there], axis=1).astype(np.float32)


def gap_network(given, seed, epochs=40):
    """A small network; in each epoch every training message loses other modalities."""
    torch.manual_seed(seed)
    x, there = torch.from_numpy(given["train"]).float(), torch.from_numpy(given["train_there"])
    y = torch.from_numpy(given["train_labels"])
    model = nn.Sequential(nn.Linear(18, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.1)
    steps = epochs * (len(y) // 64)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, steps))
    g = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(y), generator=g).split(64)[: len(y) // 64]:
            keep = F.sample_modality_mask(there[rows], 0.25, g)
            optimizer.zero_grad()
            seen = torch.cat([(x[rows] * keep[:, :, None]).flatten(1), keep.float()], 1)
            cross_entropy(model(seen), y[rows]).backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        return model(torch.from_numpy(with_masks(given["test"], given["test_there"]))).argmax(1).numpy()


PARTS = {
    "subsets": lambda data: compare_subsets(data, range(5)),
    "speed": lambda data: compare_speed(data, range(3)),
    "methods": lambda data: compare_methods(data, range(5)),
    "untreated, ten epochs": lambda data: longer(data, "nothing", range(8)),
    "untreated, twenty epochs": lambda data: longer(data, "nothing", range(5), times=4),
    "own losses, ten epochs": lambda data: longer(data, "losses of their own", range(5)),
    "unit scale, ten epochs": lambda data: longer(data, "unit scale", range(5)),
    "unit scale, twenty epochs": lambda data: longer(data, "unit scale", range(5), times=4),
    "ladder": make_ladder,
    "stacking": make_stacking,
    "reviews": make_reviews,
    "emodb": make_emodb,
    "meld": make_meld,
    "mustard": make_mustard,
    "challenge": make_challenge,
}


@functools.cache
def splits():
    """`mood`, read once."""
    return {split: load("mood", split) for split in ("train", "validation", "test")}


if __name__ == "__main__":
    torch.set_num_threads(1)
    tables = {name: lambda part=part: part(splits()) for name, part in PARTS.items()}
    make_tables("sentiment", tables, sys.argv[1:], packages=("numpy", "torch", "scikit-learn"))
