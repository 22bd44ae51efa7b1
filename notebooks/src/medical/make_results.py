"""Long runs of lesson medical.

- `leak`: a forest on age and sex alone, judged on new patients and on new pictures of known ones, ten seeds;
- `leak controls`: the same with an age drawn anew for each visit, with ages in whole years, and with large leaves;
- `imbalance`: class weights, over- and undersampling, and the corrected prior, ten training sets;
- `gaps`: the test left out, its gaps filled by the mean, and flagged, for three mechanisms, ten training sets;
- `privacy`: membership inference against private gradient descent, and against its bound, twenty seeds;
- `nih`: 1,000 real X-rays with their record, within each view, by patient and by picture (`nih_chest_1000.npz` in the
  folder that `MMCOURSE_REAL_DATA` names);
- `follow-up`: the same scores among first pictures and among later ones;
- `networks`, `longer`: image and record, with and without the machine's letter, at both hospitals; five seeds of six
  epochs, three seeds of twelve;
- `letter`: what the letter does to the networks of image and record of both budgets: their AUC against the best score
  without it on the same visits, within each machine, with a patch on either corner, with the other letter; a probe;
- `challenge`: what simple ways reach.

`make results medical`: about ten minutes of one processor. `python make_results.py leak` (or other names) makes only
these tables.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional as F

from mmcourse import runtime
from mmcourse.authoring.tables import make_tables
from mmcourse.datasets import chest, clinic, load
from mmcourse.datasets.clinic.pictures import MARKER, MARKERS, hide_marker
from mmcourse.evaluate import auc, average_precision, brier_parts, brier_score, group_bootstrap, prior_corrected

MANY = 20_000  # records of the test sets without pictures


def records(split: str, seed: int, n: int, gaps: str = "MNAR", site: str = "A") -> tuple[np.ndarray, np.ndarray]:
    """Records with NaN (n, 8), labels (n,); no picture is drawn."""
    ds = load("clinic", split, site=site, gaps=gaps, n=n, seed=seed)
    return np.asarray(ds.column("record"), float), ds.labels


def regression() -> LogisticRegression:
    """Hardly regularized."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=10.0, max_iter=1000))


# ---------------------------------------------------------------- patients on both sides
def make_leak() -> dict:
    """AUC of a forest on age and sex: {"by patient": [seed], "by picture": [seed]}, and the exact ceiling."""
    ds = load("clinic", "train", n=4000)
    x, y, patient = np.asarray(ds.column("record"), float)[:, :2], ds.labels, ds.meta["patient"]
    table: dict = {"ceiling": clinic.ceiling(auc, "group"), "by patient": [], "by picture": []}
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(y))
        names = np.random.default_rng(seed).permutation(patient.max() + 1)[patient]  # other folds of patients each time
        for kind, split in (("by patient", GroupKFold(4)), ("by picture", KFold(4))):
            scores = np.zeros(len(y))
            for fit, held in split.split(order, groups=names[order] if kind == "by patient" else None):
                forest = RandomForestClassifier(60, min_samples_leaf=1, random_state=seed)
                forest.fit(x[order[fit]], y[order[fit]])
                scores[order[held]] = forest.predict_proba(x[order[held]])[:, 1]
            table[kind].append(round(auc(y, scores), 4))
        print("leak", seed, table["by patient"][-1], table["by picture"][-1], flush=True)
    return table


def make_leak_controls() -> dict:
    """AUC of forests on age and sex where the exact age names nobody: {control: {"by patient": [seed], "by picture"}}."""
    ds = load("clinic", "train", n=4000)
    x, y, patient = np.asarray(ds.column("record"), float)[:, :2], ds.labels, ds.meta["patient"]
    group = ds.meta["group"]
    table: dict = {}
    for seed in range(10):
        rng = np.random.default_rng(1000 + seed)
        anew, years = x.copy(), x.copy()
        anew[:, 0] = np.where(group == 1, rng.uniform(60, 90, len(y)), rng.uniform(20, 60, len(y)))
        years[:, 0] = np.floor(x[:, 0])
        order = np.random.default_rng(seed).permutation(len(y))
        names = np.random.default_rng(seed).permutation(patient.max() + 1)[patient]
        controls = {
            "age anew at each visit": (anew, 1),
            "age in years": (years, 1),
            "exact age, leaves of 200": (x, 200),
        }
        for name, (inputs, leaf) in controls.items():
            for kind, split in (("by patient", GroupKFold(4)), ("by picture", KFold(4))):
                scores = np.zeros(len(y))
                for fit, held in split.split(order, groups=names[order] if kind == "by patient" else None):
                    forest = RandomForestClassifier(60, min_samples_leaf=leaf, random_state=seed)
                    forest.fit(inputs[order[fit]], y[order[fit]])
                    scores[order[held]] = forest.predict_proba(inputs[order[held]])[:, 1]
                table.setdefault(name, {}).setdefault(kind, []).append(round(auc(y, scores), 4))
        print("leak controls", seed, {k: [v[s][-1] for s in v] for k, v in table.items()}, flush=True)
    return table


# ---------------------------------------------------------------- weights, sampling, prior
def resampled(y: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Rows to train on."""
    ill, healthy = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    if kind == "oversampled":
        return np.concatenate([healthy, rng.choice(ill, len(healthy))])
    if kind == "undersampled":
        return np.concatenate([ill, rng.choice(healthy, len(ill), replace=False)])
    return np.arange(len(y))


def make_imbalance() -> dict:
    """Each way's AUC, average precision, Brier score, reliability and mean p, [seed] each; raw, and prior corrected."""
    test_x, test_y = records("test", 900, MANY)
    table: dict = {"base rate": float(test_y.mean()), "ways": {}}
    for seed in range(10):
        x, y = records("train", 100 + seed, 6000)
        for kind in ("as it is", "class weights", "oversampled", "undersampled"):
            rows = resampled(y, kind, np.random.default_rng(seed))
            model = make_pipeline(
                StandardScaler(),
                LogisticRegression(C=10.0, max_iter=1000, class_weight="balanced" if kind == "class weights" else None),
            )
            p = model.fit(clinic.encode(x[rows]), y[rows]).predict_proba(clinic.encode(test_x))[:, 1]
            ways = {kind: p}
            if kind != "as it is":
                ways[f"{kind}, prior corrected"] = prior_corrected(p, 0.5, float(y.mean()))
            for name, values in ways.items():
                row = table["ways"].setdefault(name, {})
                found = {
                    "auc": auc(test_y, values),
                    "average precision": average_precision(test_y, values),
                    "brier": brier_score(test_y, values),
                    "reliability": brier_parts(test_y, values, bins=20)[0],
                    "mean p": float(values.mean()),
                    "accuracy": float(((values > 0.5) == test_y).mean()),
                }
                for key, value in found.items():
                    row.setdefault(key, []).append(round(value, 5))
        print("imbalance", seed, {k: v["brier"][-1] for k, v in table["ways"].items()}, flush=True)
    return table


# ---------------------------------------------------------------- gaps
def coded(cues: dict[str, np.ndarray], way: str, mean: float) -> np.ndarray:
    """What a logistic regression gets: signs as a doctor would note them, and the test in one of three ways."""
    columns = [cues[name] for name in ("group", "fever", "oxygen", "previous")]
    columns.append(cues["group"] * cues["fever"])
    if way != "without the test":
        columns.append(np.where(cues["test"] == 2, mean, cues["test"]))
    if way == "flag":
        columns.append(cues["test"] == 2)
    return np.stack(columns, axis=1).astype(float)


def make_gaps() -> dict:
    """AUC: {mechanism: {way: [seed]}}, and what each way reaches with endless data, exactly."""
    table: dict = {}
    rest = tuple(name for name in clinic.RECORD if name != "test")
    for gaps in clinic.GAPS:
        cells = clinic.table("A", gaps)
        here = cells["test"] < 2
        mean = float((cells["p"] * cells["crp"])[here].sum() / cells["p"][here].sum())
        found: dict = {"exact": {"every test done": clinic.ceiling(auc, (*rest, "crp"), gaps=gaps)}}
        found["exact"]["best of all, with gaps"] = clinic.ceiling(auc, clinic.RECORD, gaps=gaps)
        for way in ("without the test", "mean", "flag"):
            x = coded(cells, way, mean)
            model = LogisticRegression(C=1e6, max_iter=5000, tol=1e-10)
            model.fit(x, cells["disease"], sample_weight=cells["p"] * 1e4)
            found["exact"][way] = auc(cells["disease"], model.decision_function(x), cells["p"])
        test = load("clinic", "test", gaps=gaps, n=MANY, seed=901)
        for seed in range(10):
            train_set = load("clinic", "train", gaps=gaps, n=6000, seed=200 + seed)
            done = train_set.meta["test"] < 2
            own_mean = float(train_set.meta["test"][done].mean())
            for way in ("without the test", "mean", "flag"):
                model = LogisticRegression(C=10.0, max_iter=1000)
                model.fit(coded(train_set.meta, way, own_mean), train_set.labels)
                p = model.decision_function(coded(test.meta, way, own_mean))
                found.setdefault(way, []).append(round(auc(test.labels, p), 5))
        table[gaps] = found
        print("gaps", gaps, {k: np.mean(v) for k, v in found.items() if k != "exact"}, found["exact"], flush=True)
    return table


# ---------------------------------------------------------------- membership inference
STEPS, MEMBERS, EXTRA = 100, 100, 60
SIGMAS = (0.0, 5.0, 10.0, 20.0, 50.0)


def private_regression(
    x: np.ndarray, y: np.ndarray, sigma: float, rng: np.random.Generator, canary: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Gradient descent on clipped gradients, with noise: weights, and how much the steps look as if `canary` were in."""
    w, evidence = np.zeros(x.shape[1]), 0.0
    for _ in range(STEPS):
        residual = 1 / (1 + np.exp(-x @ w)) - y
        gradients = residual[:, None] * x
        size = np.linalg.norm(gradients, axis=1, keepdims=True)
        clipped = gradients / np.maximum(size, 1.0)  # at most 1 long
        noise = sigma * rng.normal(size=len(w))
        total = clipped.sum(axis=0) + noise
        if canary is not None:  # knows all others, so it can subtract them: only the noise is in the way
            own = (1 / (1 + np.exp(-canary @ w)) - 1.0) * canary
            own = own / max(np.linalg.norm(own), 1.0)
            there = (x == canary).all(axis=1).any()
            evidence += float(own @ (noise + own * there))
        w = w - (1.0 if sigma == 0 else 0.3) * total / len(x)
    return w, evidence


def make_privacy() -> dict:
    """For each noise: AUC of an attack by the loss, its bound, the strongest attack, and what the model is worth."""
    table: dict = {"members": MEMBERS, "steps": STEPS, "rows": []}
    for sigma in SIGMAS:
        attack, worth, gap, advantage = [], [], [], []
        for seed in range(20):
            rng = np.random.default_rng([seed, int(sigma)])
            x, y = records("train", 300 + seed, 8000)
            ill, healthy = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
            rows = np.concatenate([rng.permutation(ill)[:200], rng.permutation(healthy)[:200]])
            rng.shuffle(rows)
            z = np.hstack([clinic.encode(x[rows]), rng.normal(size=(len(rows), EXTRA))])
            z = np.hstack([z, np.ones((len(z), 1))])
            y = y[rows]
            member = np.arange(len(y)) < MEMBERS
            w, _ = private_regression(z[member], y[member], sigma, rng)
            logits = z @ w
            loss = np.logaddexp(0, -logits * (2 * y - 1))
            out = np.arange(len(y)) >= len(y) - MEMBERS
            both = member | out
            attack.append(auc(member[both].astype(int), -loss[both]))
            wrong = ((logits > 0) != y).astype(float)
            gap.append(wrong[out].mean() - wrong[member].mean())
            advantage.append((1 - wrong[member]).mean() - (1 - wrong[out]).mean())
            worth.append(auc(y[~member], logits[~member]))
        strongest = []
        if sigma:
            rng = np.random.default_rng(7)
            x = rng.normal(size=(MEMBERS, 12))
            y = (rng.random(MEMBERS) < 0.5).astype(float)
            canary = 6 * rng.normal(size=12)
            evidence: tuple[list[float], list[float]] = ([], [])
            for run in range(1000):
                there = run % 2
                data = np.vstack([x[1:], canary[None]]) if there else x[1:]
                labels = np.append(y[1:], 1.0) if there else y[1:]
                evidence[there].append(private_regression(data, labels, sigma, rng, canary)[1])
            strongest = auc(np.repeat([0, 1], 500), np.concatenate(evidence))
        mu = np.sqrt(STEPS) / sigma if sigma else None
        row = {
            "sigma": sigma,
            "mu": mu,
            "bound": float(norm.cdf(mu / np.sqrt(2))) if mu else 1.0,
            "attack": [round(v, 4) for v in attack],
            "strongest": round(strongest, 4) if sigma else None,
            "auc": [round(v, 4) for v in worth],
            "gap": [round(v, 4) for v in gap],
            "advantage": [round(v, 4) for v in advantage],
        }
        table["rows"].append(row)
        print("privacy", sigma, np.mean(attack), row["bound"], row["strongest"], np.mean(worth), flush=True)
    return table


# ---------------------------------------------------------------- real X-rays
VIEW, FOLDS, REPEATS = chest.RECORD.index("AP view"), 5, 3


def picture_scores(x: np.ndarray, y: np.ndarray, fit: np.ndarray, held: np.ndarray, more: np.ndarray | None = None):
    """60 principal components (and the record) to a logistic regression, all fitted on `fit`: scores of `held`."""
    pca = PCA(60, svd_solver="randomized", random_state=0).fit(x[fit])
    z = [pca.transform(x[rows]) / pca.singular_values_ * np.sqrt(len(fit)) for rows in (fit, held)]
    if more is not None:
        z = [np.hstack([part, more[rows]]) for part, rows in zip(z, (fit, held), strict=True)]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    return model.fit(z[0], y[fit]).decision_function(z[1])


def nih_scores(data: chest.Chest) -> dict[str, np.ndarray]:
    """Held-out scores {way: (repeats, n)}: folds by patient, and once by picture."""
    x, y, who = data.image.reshape(len(data.label), -1) / 255, data.label, data.patient
    view = data.record[:, VIEW].astype(int)
    out: dict[str, np.ndarray] = {}
    for seed in range(REPEATS):
        for fit, held in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(x, y, who):
            plain = regression()
            now = {
                "record": plain.fit(data.record[fit], y[fit]).decision_function(data.record[held]),
                "view alone": view[held].astype(float) * np.sign(np.corrcoef(view[fit], y[fit])[0, 1]),
                "image": picture_scores(x, y, fit, held),
                "image and record": picture_scores(x, y, fit, held, data.record),
                "the view, from the image": picture_scores(x, view, fit, held),
            }
            for name, score in now.items():
                out.setdefault(name, np.zeros((REPEATS, len(y))))[seed, held] = score
        for fit, held in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, y):
            out.setdefault("image, folds by picture", np.zeros((REPEATS, len(y))))[seed, held] = picture_scores(
                x, y, fit, held
            )
    return out


def make_nih() -> dict:
    """AUC with intervals over patients; within each view; the view from the picture; folds by picture."""
    data = chest.read()
    y, who, view = data.label, data.patient, data.record[:, VIEW].astype(int)
    out = nih_scores(data)
    target = {name: view if name.startswith("the view") else y for name in out}
    table: dict = {"pictures": len(y), "patients": len(np.unique(who)), "auc": {}, "interval": {}, "inside": {}}
    for name, rows in out.items():
        table["auc"][name] = round(float(np.mean([auc(target[name], row) for row in rows])), 4)
        table["interval"][name] = [round(v, 4) for v in group_bootstrap(auc, who, target[name], rows[0], seed=0)]
    for name in ("record", "image", "image and record"):
        table["inside"][name] = {}
        for kind in (0, 1):
            at = view == kind
            low, high = group_bootstrap(auc, who[at], y[at], out[name][0][at], seed=0)
            mean = float(np.mean([auc(y[at], row[at]) for row in out[name]]))
            table["inside"][name]["PA" if kind == 0 else "AP"] = [round(v, 4) for v in (mean, low, high)]
    table["share of ill"] = {"PA": float(y[view == 0].mean()), "AP": float(y[view == 1].mean())}
    table["both classes"] = int(sum(len(set(y[who == p])) == 2 for p in np.unique(who)))
    print("nih", table, flush=True)
    return table


def make_follow_up() -> dict:
    """AUC among first pictures (follow-up number 0) and later ones: {part: {pictures, patients, ill, way: [auc, low,
    high]}}; intervals over patients."""
    data = chest.read()
    y, who, number = data.label, data.patient, data.record[:, chest.RECORD.index("follow-up number")]
    out = nih_scores(data)
    out["follow-up number alone"] = np.stack([number] * REPEATS)
    table: dict = {}
    for part, at in (("first pictures", number == number.min()), ("later ones", number > number.min())):
        row: dict = {"pictures": int(at.sum()), "patients": len(np.unique(who[at])), "ill": float(y[at].mean())}
        for name in ("record", "image", "image and record", "follow-up number alone"):
            mean = float(np.mean([auc(y[at], scores[at]) for scores in out[name]]))
            low, high = group_bootstrap(auc, who[at], y[at], out[name][0][at], seed=0)
            row[name] = [round(v, 4) for v in (mean, low, high)]
        table[part] = row
        print("follow-up", part, row, flush=True)
    return table


# ---------------------------------------------------------------- networks
class Triage(nn.Module):
    """Image (b, 1, 64, 64) and record (b, 16) → the logit of "ill" (b,); the lesson writes the same."""

    def __init__(self, use: str = "both") -> None:
        super().__init__()
        self.use = use
        self.image = nn.Sequential(
            nn.AvgPool2d(2),
            *(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveMaxPool2d(1)),
            *(nn.Flatten(), nn.Linear(32, 32), nn.Tanh()),
        )
        self.record = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 32), nn.Tanh())
        self.gate = nn.Linear(64, 32)
        self.out = nn.Linear(32, 1)

    def forward(self, image: torch.Tensor, record: torch.Tensor) -> torch.Tensor:
        if self.use == "record":
            return self.out(self.record(record))[:, 0]
        seen, told = self.image(image), self.record(record)
        share = self.gate(torch.cat([seen, told], dim=1)).sigmoid()
        return self.out(share * seen + (1 - share) * told)[:, 0]


def tensors(split: str, site: str = "A", hidden: bool = False) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Image (n, 1, 64, 64), record (n, 16), label (n,)."""
    ds = load("clinic", split, site=site)
    pixels = ds.column("image")[:]
    pixels = clinic.hide_marker(pixels) if hidden else pixels
    record = clinic.encode(np.asarray(ds.column("record")))
    image = torch.from_numpy(pixels[:, None].astype(np.float32) / 255)
    return image, torch.from_numpy(record), torch.from_numpy(ds.labels).float()


def train(model: nn.Module, data: tuple, epochs: int, seed: int) -> nn.Module:
    """AdamW, batches of 64, one cycle of the learning rate."""
    image, record, label = data
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    steps = epochs * -(-len(label) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(label), generator=generator).split(64):
            loss = F.binary_cross_entropy_with_logits(model(image[rows], record[rows]), label[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def judged(model: nn.Module, data: tuple) -> dict[str, float]:
    """AUC, average precision and Brier score."""
    image, record, label = data
    p = torch.cat([model(i, r).sigmoid() for i, r in zip(image.split(500), record.split(500), strict=True)]).numpy()
    y = label.numpy().astype(int)
    found = {"auc": auc(y, p), "average precision": average_precision(y, p), "brier": brier_score(y, p)}
    return {key: round(value, 4) for key, value in found.items()}


def networks(seeds: int, epochs: int, kinds: tuple[str, ...]) -> dict:
    """{kind: {site: {metric: [seed]}}}."""
    table: dict = {"epochs": epochs}
    sets = {
        (split, site, h): tensors(split, site, h)
        for split, site in (("train", "A"), ("test", "A"), ("test", "B"))
        for h in (False, True)
    }
    for kind in kinds:
        hidden = kind == "letter hidden"
        for seed in range(seeds):
            torch.manual_seed(seed)
            model = Triage("record" if kind == "record" else "both")
            train(model, sets["train", "A", hidden], epochs, seed)
            for site in clinic.SITES:
                for key, value in judged(model, sets["test", site, hidden]).items():
                    table.setdefault(kind, {}).setdefault(site, {}).setdefault(key, []).append(value)
            print(kind, epochs, seed, [table[kind][s]["auc"][-1] for s in clinic.SITES], flush=True)
    return table


def make_networks() -> dict:
    """Six epochs, five seeds."""
    return networks(5, 6, ("both", "letter hidden", "record"))


def make_longer() -> dict:
    """Twelve epochs, three seeds."""
    return networks(3, 12, ("both", "letter hidden", "record"))


def with_letter(pixels: np.ndarray, machine: int) -> np.ndarray:
    """The same pictures with one machine's letter: nothing else changes."""
    changed = np.array(pixels)
    changed[(slice(None), *MARKER)] = MARKERS[machine]
    return changed


@torch.no_grad()
def log_odds(model: nn.Module, pixels: np.ndarray, record: torch.Tensor) -> np.ndarray:
    """The logit of each visit."""
    image = torch.from_numpy(pixels[:, None].astype(np.float32) / 255)
    return torch.cat([model(i, r) for i, r in zip(image.split(500), record.split(500), strict=True)]).double().numpy()


@torch.no_grad()
def probed(model: nn.Module, train_x: torch.Tensor, test_x: torch.Tensor, fit_on: np.ndarray, judge: np.ndarray):
    """AUC of a logistic regression that reads the machine off the 32 image features."""
    parts = [torch.cat([model.image(i) for i in x.split(500)]).numpy() for x in (train_x, test_x)]
    probe = LogisticRegression(max_iter=2000).fit(parts[0], fit_on)
    return round(auc(judge, probe.decision_function(parts[1])), 4)


def make_letter() -> dict:
    """{budget: {what: [seed]}} of networks of image and record at A; intervals over patients of the test set."""
    train_part, test_part = load("clinic", "train"), load("clinic", "test")
    data, test = tensors("train"), tensors("test")
    y, who, machine = test_part.labels, test_part.meta["patient"], test_part.meta["machine"]
    pixels = test_part.column("image")[:]
    other = np.array(pixels)
    other[:, :14, -12:] = 110  # the same patch, upper right
    views = {"corner covered": hide_marker(pixels), "other corner covered": other}
    views |= {"all F": with_letter(pixels, 0), "all P": with_letter(pixels, 1)}
    best = clinic.risk(("finding", *clinic.RECORD), at=test_part.meta)
    probe = (data[0][:2000], test[0], train_part.meta["machine"][:2000], machine)

    def ahead(labels: np.ndarray, scores: np.ndarray, others: np.ndarray) -> float:
        return auc(labels, scores) - auc(labels, others)

    def mean_ahead(labels: np.ndarray, others: np.ndarray, *scores: np.ndarray) -> float:
        return float(np.mean([auc(labels, s) for s in scores])) - auc(labels, others)

    def rounded(value: float, interval: tuple[float, float]) -> list[float]:
        return [round(v, 4) for v in (value, *interval)]

    table: dict = {"untrained probe": [], "best within": {}}
    for seed in range(5):
        torch.manual_seed(seed)
        table["untrained probe"].append(probed(Triage().eval(), *probe))
    for kind, name in enumerate(clinic.CUES["machine"]):
        m = machine == kind
        table["best within"][name] = rounded(auc(y[m], best[m]), group_bootstrap(auc, who[m], y[m], best[m], seed=0))
    for epochs, seeds in ((6, 5), (12, 3)):
        row: dict = {}
        every = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            model = train(Triage(), data, epochs, seed)
            z = log_odds(model, pixels, test[1])
            every.append(z)
            add = {"auc": round(auc(y, z), 4), "probe": probed(model, *probe)}
            between = group_bootstrap(ahead, who, y, z, best, seed=0)
            add["minus best without"] = rounded(ahead(y, z, best), between)
            for kind, name in enumerate(clinic.CUES["machine"]):
                m = machine == kind
                between = group_bootstrap(ahead, who[m], y[m], z[m], best[m], seed=0)
                add[f"within {name}"] = round(auc(y[m], z[m]), 4)
                add[f"within {name} minus best"] = rounded(ahead(y[m], z[m], best[m]), between)
            seen = {view: log_odds(model, changed, test[1]) for view, changed in views.items()}
            for view, changed_z in seen.items():
                add[f"auc, {view}"] = round(auc(y, changed_z), 4)
            p = {view: 1 / (1 + np.exp(-seen[view])) for view in ("all F", "all P")}
            add["log odds, P minus F"] = round(float(np.mean(seen["all P"] - seen["all F"])), 4)
            add["share raised"] = round(float(np.mean(seen["all P"] > seen["all F"])), 4)
            add["mean risk, F and P"] = [round(float(p[v].mean()), 4) for v in p]
            add["called, F and P"] = [round(float((p[v] >= 0.05).mean()), 4) for v in p]
            for key, value in add.items():
                row.setdefault(key, []).append(value)
            print("letter", epochs, seed, add, flush=True)
        between = group_bootstrap(mean_ahead, who, y, best, *every, seed=0)
        row["mean minus best without"] = rounded(mean_ahead(y, best, *every), between)
        table[f"{epochs} epochs"] = row
    return table


# ---------------------------------------------------------------- challenge
def make_challenge() -> dict:
    """What simple ways reach."""
    from mmcourse.exercise import find_challenge

    made = find_challenge("medical.challenge")
    drawn = made.public()
    found = {}
    x, y, new = (np.asarray(drawn.inputs[name]) for name in ("records", "ill", "elsewhere"))
    x, new = (np.where(part == -9, np.nan, part) for part in (x, new))
    for name, way in WAYS.items():
        found[name] = round(float(made.score({"probabilities": way(x, y, new)}, drawn.inputs, drawn.hidden)), 4)
        print(name, found[name], flush=True)
    return found


def by_mean(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Means in the gaps, a logistic regression."""
    mean = np.nanmean(x, axis=0)
    fit, at = np.where(np.isnan(x), mean, x), np.where(np.isnan(new), mean, new)
    return regression().fit(fit, y).predict_proba(at)[:, 1]


def with_flags(x: np.ndarray, y: np.ndarray, new: np.ndarray, prior: float | None = None) -> np.ndarray:
    """Means and flags; with the prior of the other hospital."""
    mean = np.nanmean(x, axis=0)
    fit, at = (np.hstack([np.where(np.isnan(a), mean, a), np.isnan(a)]) for a in (x, new))
    p = regression().fit(fit, y).predict_proba(at)[:, 1]
    return p if prior is None else prior_corrected(p, float(y.mean()), prior)


def without_machine(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Means and flags of all fields but the machine's; with the prior of the other hospital."""
    return with_flags(x[:, :-1], y, new[:, :-1], 0.03)


WAYS = {
    "the other hospital's share for all": lambda x, y, new: np.full(len(new), 0.03),
    "mean in the gaps": by_mean,
    "flags": with_flags,
    "flags, prior corrected": lambda x, y, new: with_flags(x, y, new, 0.03),
    "flags without the machine, prior corrected": without_machine,
}

if __name__ == "__main__":
    runtime.setup(threads=1)
    make_tables(
        "medical",
        {
            "leak": make_leak,
            "leak controls": make_leak_controls,
            "imbalance": make_imbalance,
            "gaps": make_gaps,
            "privacy": make_privacy,
            "nih": make_nih,
            "follow-up": make_follow_up,
            "networks": make_networks,
            "longer": make_longer,
            "letter": make_letter,
            "challenge": make_challenge,
        },
        sys.argv[1:],
        packages=("numpy", "torch", "scikit-learn"),
    )
