"""Lesson fusion's long runs: learning curves of every method, missing modalities, chest X-rays, the challenge.

`make results fusion`: about ten minutes of one core. `xray` needs the folder of real data with `nih_chest_1000.npz`.
`python make_results.py curves` (or another name of `TABLES`) makes one table and keeps the others.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from functools import cache  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from sklearn.decomposition import PCA  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402
from sklearn.model_selection import StratifiedGroupKFold  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import PolynomialFeatures, StandardScaler  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from mmcourse.authoring.tables import make_tables  # noqa: E402
from mmcourse.datasets import chest, load, mood  # noqa: E402
from mmcourse.torch import encoders  # noqa: E402
from mmcourse.torch import fusion as torch_fusion  # noqa: E402
from mmcourse.training import torch as training  # noqa: E402

torch.set_num_threads(1)
SPLITS = ("train", "validation", "test")
SEEDS = 5  # each with encoders of its own
TUNING_SEED = 99  # encoders and starts on which the rates are chosen, and nothing else
RATES = (1e-3, 3e-3, 1e-2, 3e-2)
CHECKPOINTS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96)  # epochs
BATCH = 500
PRIOR = mood.JOINT.sum((1, 2, 3))


# ---------------------------------------------------------------- frozen encoders
class Reader(nn.Module):
    """One modality → 16 numbers → logits."""

    def __init__(self, name: str, encoder: nn.Module, width: int = 16):
        super().__init__()
        self.name, self.encoder, self.logits = name, encoder, nn.Linear(width, 3)
        self.squeeze = nn.Sequential(nn.ReLU(), nn.Dropout(0.2), nn.Linear(encoder.width, width))

    def vector(self, batch: dict) -> Tensor:
        """(b, 16)."""
        return self.squeeze(self.encoder(batch["inputs"][self.name], batch["padding_mask"].get(self.name)))

    def forward(self, batch: dict) -> Tensor:
        """Logits (b, 3)."""
        return self.logits(self.vector(batch))


@cache
def sets() -> dict:
    """The splits of `mood`."""
    return {split: load("mood", split) for split in SPLITS}


def labels(split: str) -> Tensor:
    """(n,)."""
    return torch.tensor(sets()[split].labels)


def blank(batch: dict) -> dict:
    """What encoders see when nobody notices that a modality is gone: a black picture, silence, unknown words."""
    inputs = batch["inputs"]
    silence = torch.full_like(inputs["voice"], inputs["voice"].min().item())
    unknown = torch.ones_like(inputs["words"])  # id 1 is <unk>
    inputs = {"face": torch.zeros_like(inputs["face"]), "voice": silence, "words": unknown}
    return batch | {"inputs": inputs}


@cache
def frozen(seed: int) -> dict:
    """Vectors (three of (n, 16), standardized), log-probabilities (n, 9) and accuracies of three readers of this seed."""
    torch.manual_seed(seed)
    train = sets()["train"]
    kinds = {"face": encoders.ImageEncoder(64), "voice": encoders.AudioEncoder(40, 64)}
    kinds["words"] = encoders.TextEncoder(len(train.vocabulary), 64)
    readers = [Reader(name, kinds[name]) for name in train.modalities]
    for reader, epochs in zip(readers, (4, 4, 14), strict=True):
        training.fit(reader, train.torch_loader(64, seed=seed), epochs=epochs, learning_rate=2e-3)
        reader.eval()
    found: dict = {}
    with torch.no_grad():
        for split, data in sets().items():
            batches = list(data.torch_loader(500))
            found[split] = [torch.cat([reader.vector(batch) for batch in batches]) for reader in readers]
            logs = [r.logits(x).log_softmax(-1) for r, x in zip(readers, found[split], strict=True)]
            found[f"logs {split}"] = torch.cat(logs, 1)
        found["blank"] = [torch.cat([r.vector(blank(b)) for b in sets()["test"].torch_loader(500)]) for r in readers]
    right = found["logs test"].view(-1, 3, 3).argmax(2) == labels("test")[:, None]
    found["alone"] = right.float().mean(0).tolist()
    scale = [(x.mean(0), x.std(0)) for x in found["train"]]
    for name in (*SPLITS, "blank"):
        found[name] = [(x - m) / s for x, (m, s) in zip(found[name], scale, strict=True)]
    return found


# ---------------------------------------------------------------- the methods
class Fused(nn.Module):
    """A method of the package, a linear layer behind it."""

    def __init__(self, method: Callable, ones: bool = False, width: int = 32, dropout: float = 0.0, **options):
        super().__init__()
        dims = [17 if ones else 16] * 3
        self.ones = ones
        self.dropout = torch_fusion.ModalityDropout([16] * 3, dropout) if dropout else None
        self.fusion = method(dims, 3 if method.gives_logits else width, **options)
        self.logits = nn.Identity() if method.gives_logits else nn.Linear(width, 3)

    def forward(self, xs: list[Tensor], modality_mask: Tensor | None = None) -> Tensor:
        """Logits (b, 3)."""
        if self.dropout is not None:
            xs = self.dropout(xs, modality_mask)
        if self.ones:
            xs = [torch.cat([x, torch.ones(len(x), 1)], 1) for x in xs]
        return self.logits(self.fusion(xs, modality_mask))


class Joined(nn.Module):
    """A network on all inputs side by side."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, xs: list[Tensor]) -> Tensor:
        """Logits (b, 3)."""
        return self.layers(torch.cat(xs, 1))


class SumOfNetworks(nn.Module):
    """Additive, with as many weights as one likes: a network for each modality, and their logits added."""

    def __init__(self, hidden: int = 64):
        super().__init__()
        self.networks = nn.ModuleList(
            nn.Sequential(nn.Linear(16, hidden), nn.ReLU(), nn.Linear(hidden, 3)) for _ in range(3)
        )

    def forward(self, xs: list[Tensor]) -> Tensor:
        """Logits (b, 3)."""
        return sum(network(x) for network, x in zip(self.networks, xs, strict=True))


class ThreeTokens(nn.Module):
    """Self-attention over three tokens, one for each modality, then the mean."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(16, width) for _ in range(3))
        self.attention = nn.MultiheadAttention(width, 1, batch_first=True)
        self.logits = nn.Linear(width, 3)

    def forward(self, xs: list[Tensor]) -> Tensor:
        """Logits (b, 3)."""
        tokens = torch.stack([f(x) for f, x in zip(self.maps, xs, strict=True)], 1)  # (b, 3, width)
        attended, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return self.logits((tokens + attended).mean(1))


class Products(nn.Module):
    """Logistic regression on the nine log-probabilities and their 27 products across modalities."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Linear(9 + 27, 3)

    def forward(self, xs: list[Tensor]) -> Tensor:
        """Logits (b, 3)."""
        p = xs[0].view(-1, 3, 3)  # (b, modality, class)
        pairs = [torch.einsum("bi,bj->bij", p[:, m], p[:, n]).flatten(1) for m, n in ((0, 1), (0, 2), (1, 2))]
        return self.logits(torch.cat([xs[0], *pairs], 1))


M = torch_fusion.METHODS
METHODS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "linear model on the vectors": ("adds", lambda: Joined(nn.Linear(48, 3))),
    "weighted sum": ("adds", lambda: Fused(M["weighted sum"])),
    "mean of probabilities": ("adds", lambda: Fused(M["late mean"])),
    "product of probabilities": ("adds", lambda: Fused(M["late product"], prior=PRIOR)),
    "sum of three networks": ("adds", SumOfNetworks),
    "stacking, linear": ("adds", lambda: Joined(nn.Linear(9, 3))),
    "stacking, products": ("interacts", Products),
    "stacking, network": ("interacts", lambda: Joined(nn.Linear(9, 32), nn.ReLU(), nn.Linear(32, 3))),
    "concatenate": ("interacts", lambda: Fused(M["concatenate"])),
    "sum gate": ("interacts", lambda: Fused(M["sum gate"])),
    "gated unit": ("interacts", lambda: Fused(M["gated unit"])),
    "FiLM": ("interacts", lambda: Fused(M["FiLM"])),
    "low-rank bilinear": ("interacts", lambda: Fused(M["low-rank bilinear"])),
    "low-rank bilinear, with 1s": ("interacts", lambda: Fused(M["low-rank bilinear"], ones=True)),
    "compact bilinear, with 1s": ("interacts", lambda: Fused(M["compact bilinear"], ones=True, width=1024)),
    "tensor": ("interacts", lambda: Fused(M["tensor"])),
    "low-rank tensor": ("interacts", lambda: Fused(M["low-rank tensor"])),
    "attention over three tokens": ("interacts", ThreeTokens),
}


def inputs(name: str, vectors: dict, split: str) -> list[Tensor]:
    """What a method sees: the three vectors, or the nine log-probabilities of the frozen readers."""
    return [vectors[f"logs {split}"]] if name.startswith("stacking") else vectors[split]


def learning_curve(name: str, seed: int, rate: float, checkpoints: tuple = CHECKPOINTS) -> dict:
    """Right answers on validation and test messages after each of these epochs, bool (checkpoints, n); ms per step."""
    vectors = frozen(seed)
    torch.manual_seed(seed)
    model = METHODS[name][1]()
    x, y = inputs(name, vectors, "train"), labels("train")
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    order = torch.Generator().manual_seed(seed)
    found: dict = {split: [] for split in SPLITS[1:]}
    seconds, steps = 0.0, 0
    for epoch in range(1, checkpoints[-1] + 1):
        start = time.perf_counter()
        for rows in torch.randperm(len(y), generator=order).split(BATCH):
            loss = nn.functional.cross_entropy(model([part[rows] for part in x]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
        seconds += time.perf_counter() - start
        if epoch in checkpoints:
            model.eval()
            with torch.no_grad():
                for split, rows in found.items():
                    rows.append((model(inputs(name, vectors, split)).argmax(1) == labels(split)).numpy())
            model.train()
    size = sum(p.numel() for p in model.parameters())
    return {split: np.array(rows) for split, rows in found.items()} | {"ms": 1000 * seconds / steps, "size": size}


def make_curves(names: list[str] | None = None, seeds: int = SEEDS, checkpoints: tuple = CHECKPOINTS) -> dict:
    """For each method: the tuned rate, test accuracy by epoch and seed, and that of the epoch chosen on validation."""
    found: dict = {"epochs": list(checkpoints), "rates": list(RATES), "batch": BATCH, "methods": {}}
    found["alone"] = [[round(a, 4) for a in frozen(seed)["alone"]] for seed in range(seeds)]
    logs = [frozen(seed)["logs test"].view(-1, 3, 3).sum(1) - 2 * torch.tensor(PRIOR).log() for seed in range(seeds)]
    untrained = [(log.argmax(1) == labels("test")).float().mean().item() for log in logs]
    found["product of the frozen readers"] = [round(a, 4) for a in untrained]
    found["majority"] = round(float(np.bincount(labels("test")).max() / len(labels("test"))), 4)
    for name in names or METHODS:
        tried = [learning_curve(name, TUNING_SEED, rate, checkpoints)["validation"].mean(1).max() for rate in RATES]
        rate = RATES[int(np.argmax(tried))]
        runs = [learning_curve(name, seed, rate, checkpoints) for seed in range(seeds)]
        best = [int(run["validation"].mean(1).argmax()) for run in runs]
        right = np.array([run["test"][at] for run, at in zip(runs, best, strict=True)])  # (seeds, n)
        found["methods"][name] = {
            "kind": METHODS[name][0],
            "rate": rate,
            "validation by rate": np.round(tried, 4).tolist(),
            "size": runs[0]["size"],
            "ms": round(float(np.median([run["ms"] for run in runs])), 2),
            "test": [run["test"].mean(1).round(4).tolist() for run in runs],  # (seeds, checkpoints)
            "chosen epochs": [checkpoints[at] for at in best],
            "chosen": right.mean(1).round(4).tolist(),
            "seeds right": "".join(map(str, right.sum(0))),  # one digit for each test message
        }
        row = found["methods"][name]
        print(
            f"{name:30} rate {rate:g} size {row['size']:7} {row['ms']:5} ms", np.mean(row["chosen"]).round(4), end=" "
        )
        print(np.mean(row["test"], axis=0).round(3), flush=True)
    return found


# ---------------------------------------------------------------- missing modalities
GAPS = ("nothing", "face", "voice", "words")


def with_gap(model: nn.Module, vectors: dict, gone: int | None, noticed: bool) -> float:
    """Test accuracy where one modality is missing in every message."""
    xs = [vectors["blank"][m] if m == gone else x for m, x in enumerate(vectors["test"])]
    there = (torch.arange(3) != (-1 if gone is None else gone)).expand(len(xs[0]), 3)
    with torch.no_grad():
        return (model(xs, there if noticed else None).argmax(1) == labels("test")).float().mean().item()


def make_missing(seeds: int = SEEDS, epochs: int = 48) -> dict:
    """Accuracy by method, remedy and missing modality, (seeds, 4)."""
    found: dict = {"epochs": epochs, "rate": 0.006, "dropout": 0.3, "gaps": list(GAPS), "methods": {}}
    for name in ("concatenate", "gated unit", "low-rank tensor"):
        rows: dict = {"unnoticed": [], "masked": [], "dropout": []}
        for seed in range(seeds):
            for dropout in (0.0, 0.3):
                torch.manual_seed(seed)
                model = Fused(M[name], dropout=dropout)
                fit(model, frozen(seed)["train"], seed, epochs)
                ways = {"dropout": True} if dropout else {"unnoticed": False, "masked": True}
                for way, noticed in ways.items():
                    gaps = [with_gap(model, frozen(seed), gone, noticed) for gone in (None, 0, 1, 2)]
                    rows[way].append(np.round(gaps, 4).tolist())
        found["methods"][name] = rows
        print(name, {way: np.mean(row, axis=0).round(3) for way, row in rows.items()}, flush=True)
    return found


def fit(model: nn.Module, x: list[Tensor], seed: int, epochs: int, rate: float = 6e-3) -> None:
    """Train, and leave the model in evaluation mode."""
    y = labels("train")
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(y), generator=order).split(BATCH):
            loss = nn.functional.cross_entropy(model([part[rows] for part in x]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()


# ---------------------------------------------------------------- chest X-rays with a record
FOLDS, REPEATS, BOOTSTRAPS = 5, 5, 2000
AGE, MALE, VIEW, FOLLOW_UP = range(4)
INSIDE = ("record", "picture", "early: one model on both", "stacking: linear")  # judged inside one view, too


def read_chest() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (n, 4096) from 0 to 1, record (n, 4), pneumonia or not (n,), patient (n,)."""
    found = chest.read()
    return found.image.reshape(len(found.label), -1) / 255, found.record, found.label, found.patient


def on_pictures(x: np.ndarray, fitted_on: np.ndarray) -> np.ndarray:
    """60 principal components, fitted on some of the rows only, standardized there."""
    pca = PCA(60, svd_solver="randomized", random_state=0).fit(x[fitted_on])
    z = pca.transform(x)
    return (z - z[fitted_on].mean(0)) / z[fitted_on].std(0)


def regression(strength: float = 1.0):
    """Logistic regression on standardized columns."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))


def logit_of(model, x: np.ndarray, y: np.ndarray, fit_rows: np.ndarray) -> np.ndarray:
    """Log-odds of all rows by a model trained on some."""
    return model.fit(x[fit_rows], y[fit_rows]).decision_function(x)


PICTURE_C = 0.01


def one_fold(pixels, record, y, patient, rows, seed) -> dict[str, np.ndarray]:
    """Scores of all rows by every way, all fitted on `rows` only."""
    z = on_pictures(pixels, rows)
    picture = logit_of(regression(PICTURE_C), z, y, rows)
    scores = {"picture": picture}
    columns = {"record": range(4), "record without the view": (AGE, MALE, FOLLOW_UP), "view": (VIEW,)}
    for name, chosen in columns.items():
        scores[name] = logit_of(regression(), record[:, list(chosen)], y, rows)
    scores["early: one model on both"] = logit_of(regression(PICTURE_C), np.hstack([z, record]), y, rows)
    both = np.stack([picture, scores["record"]], 1)
    prior = np.log(y[rows].mean() / (1 - y[rows].mean()))
    scores["late: mean of probabilities"] = (1 / (1 + np.exp(-both))).mean(1)
    scores["late: product, prior once"] = both.sum(1) - prior
    inner = np.zeros((len(y), 2))  # opinions on rows that a reader was not trained on
    for fit_rows, held_out in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(
        rows, y[rows], patient[rows]
    ):
        fit_rows, held_out = rows[fit_rows], rows[held_out]
        inner[held_out, 0] = logit_of(regression(PICTURE_C), on_pictures(pixels, fit_rows), y, fit_rows)[held_out]
        inner[held_out, 1] = logit_of(regression(), record, y, fit_rows)[held_out]
    for name, degree in (("stacking: linear", 1), ("stacking: with the product", 2)):
        model = make_pipeline(PolynomialFeatures(degree, interaction_only=True, include_bias=False), regression())
        scores[name] = model.fit(inner[rows], y[rows]).decision_function(both)
    scores["stacking on opinions in training"] = regression().fit(both[rows], y[rows]).decision_function(both)
    scores["the view, read from the picture"] = logit_of(regression(PICTURE_C), z, record[:, VIEW].astype(int), rows)
    return scores


def make_xray(repeats: int = REPEATS, bootstraps: int = BOOTSTRAPS) -> dict:
    """AUC of each way with 95 % intervals over patients, differences, and the same inside each view."""
    pixels, record, y, patient = read_chest()
    out: dict[str, np.ndarray] = {}
    for seed in range(repeats):
        for rows, held_out in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(pixels, y, patient):
            for name, score in one_fold(pixels, record, y, patient, rows, seed).items():
                out.setdefault(name, np.zeros((repeats, len(y))))[seed, held_out] = score[held_out]
    view = record[:, VIEW].astype(int)
    target = {name: view if name.startswith("the view") else y for name in out}

    def auc(name: str, chosen: np.ndarray) -> float:
        """The mean over repeats."""
        return float(np.mean([roc_auc_score(target[name][chosen], row[chosen]) for row in out[name]]))

    everybody = np.arange(len(y))
    found: dict = {
        "num_pictures": len(y),
        "num_patients": len(np.unique(patient)),
        "num_ill": int(y.sum()),
        "ill by view": {kind: round(float(y[view == k].mean()), 4) for k, kind in enumerate(("PA", "AP"))},
        "pictures by view": [int((view == k).sum()) for k in (0, 1)],
        "folds": FOLDS,
        "repeats": repeats,
        "auc": {name: round(auc(name, everybody), 4) for name in out},
        "auc inside": {
            kind: {
                name: round(auc(name, np.flatnonzero(view == k)), 4)
                for name in out
                if not name.startswith(("the view", "view"))
            }
            for k, kind in enumerate(("PA", "AP"))
        },
    }
    print(found, flush=True)
    g = np.random.default_rng(0)
    rows_of = [np.flatnonzero(patient == who) for who in np.unique(patient)]
    drawn: dict[str, list[float]] = {name: [] for name in out}
    inside: dict[tuple[str, str], list[float]] = {(kind, name): [] for kind in ("PA", "AP") for name in INSIDE}
    for _ in range(bootstraps):
        chosen = np.concatenate([rows_of[k] for k in g.integers(len(rows_of), size=len(rows_of))])
        for name in out:
            drawn[name].append(roc_auc_score(target[name][chosen], out[name][0][chosen]))
        for k, kind in enumerate(("PA", "AP")):
            of_view = chosen[view[chosen] == k]
            for name in INSIDE:
                inside[kind, name].append(roc_auc_score(y[of_view], out[name][0][of_view]))
    table = {name: np.array(values) for name, values in drawn.items()}
    found["interval"] = {name: np.quantile(v, (0.025, 0.975)).round(4).tolist() for name, v in table.items()}
    found["interval inside"] = {
        kind: {name: np.quantile(inside[kind, name], (0.025, 0.975)).round(4).tolist() for name in INSIDE}
        for kind in ("PA", "AP")
    }
    found["gain of stacking inside"] = {
        kind: np.quantile(np.subtract(inside[kind, INSIDE[-1]], inside[kind, "picture"]), (0.025, 0.975))
        .round(4)
        .tolist()
        for kind in ("PA", "AP")
    }
    picture = table["picture"]
    found["gain over the picture"] = {
        name: np.quantile(v - picture, (0.025, 0.975)).round(4).tolist()
        for name, v in table.items()
        if name.startswith(("early", "late", "stacking"))
    }
    stacked = table["stacking: with the product"] - table["stacking: linear"]
    found["the product in stacking"] = np.quantile(stacked, (0.025, 0.975)).round(4).tolist()
    early = table["early: one model on both"] - table["late: product, prior once"]
    found["early minus late product"] = np.quantile(early, (0.025, 0.975)).round(4).tolist()
    print(found, flush=True)
    return found


# ---------------------------------------------------------------- the open challenge
def make_challenge() -> dict:
    """What simple ways reach in the challenge."""
    from mmcourse.exercise import find_challenge

    made = find_challenge("fusion.challenge")
    drawn = made.public()
    found = {}
    for name, way in CHALLENGE_WAYS.items():
        found[name] = round(float(made.score({"predictions": way(drawn.inputs)}, drawn.inputs, drawn.hidden)), 4)
        print(name, found[name], flush=True)
    return found


def flat(x: np.ndarray, there: np.ndarray) -> np.ndarray:
    """All numbers and the mask side by side."""
    return np.hstack([x.reshape(len(x), -1), there])


def with_pairs(x: np.ndarray, there: np.ndarray) -> np.ndarray:
    """All numbers, the mask, and all products across two modalities."""
    pairs = [np.einsum("ni,nj->nij", x[:, m], x[:, k]).reshape(len(x), -1) for m, k in ((0, 1), (0, 2), (1, 2))]
    return np.hstack([flat(x, there), *pairs])


def linear_way(given: dict) -> np.ndarray:
    """Logistic regression on all numbers."""
    model = LogisticRegression(C=0.1, max_iter=1000)
    model.fit(flat(given["train"], given["train_there"]), given["train_labels"])
    return model.predict(flat(given["test"], given["test_there"]))


def pairs_way(given: dict) -> np.ndarray:
    """Logistic regression on all products of two modalities."""
    model = LogisticRegression(C=0.01, max_iter=1000)
    model.fit(with_pairs(given["train"], given["train_there"]), given["train_labels"])
    return model.predict(with_pairs(given["test"], given["test_there"]))


def fusion_way(make: Callable[[], nn.Module], given: dict, epochs: int = 40) -> np.ndarray:
    """A fusion layer and a linear one; the epoch is chosen on the last 300 training samples."""
    torch.manual_seed(0)
    fuse = make()
    head = nn.Linear(fuse.width, 3)
    x, there = torch.tensor(given["train"]), torch.tensor(given["train_there"])
    z, z_there = torch.tensor(given["test"]), torch.tensor(given["test_there"])
    y, few = torch.tensor(given["train_labels"]), len(x) - 300
    optimizer = torch.optim.AdamW([*fuse.parameters(), *head.parameters()], lr=1e-2, weight_decay=0.3)
    best, predictions = -1.0, np.zeros(len(z), int)
    for _ in range(epochs):
        for rows in torch.randperm(few).split(100):
            logits = head(fuse(list(x[rows].unbind(1)), there[rows]))
            loss = nn.functional.cross_entropy(logits, y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            right = (head(fuse(list(x[few:].unbind(1)), there[few:])).argmax(1) == y[few:]).float().mean().item()
            if right > best:
                best, predictions = right, head(fuse(list(z.unbind(1)), z_there)).argmax(1).numpy()
    return predictions


CHALLENGE_WAYS: dict[str, Callable] = {
    "one answer for all": lambda given: np.full(len(given["test"]), np.bincount(given["train_labels"]).argmax()),
    "linear": linear_way,
    "all products of two": pairs_way,
    "gated unit": lambda given: fusion_way(lambda: M["gated unit"]([12] * 3, 32), given),
    "low-rank tensor": lambda given: fusion_way(lambda: M["low-rank tensor"]([12] * 3, 4, rank=2), given),
}


# ---------------------------------------------------------------- all tables
TABLES: dict[str, Callable[[], dict]] = {
    "curves": make_curves,
    "missing": make_missing,
    "xray": make_xray,
    "challenge": make_challenge,
}


if __name__ == "__main__":
    make_tables("fusion", TABLES, sys.argv[1:], packages=("numpy", "scikit-learn", "torch"))
