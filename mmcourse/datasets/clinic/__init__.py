"""Clinic: an X-ray and a record of eight numbers, and whether the patient is ill; rare, with gaps, in two hospitals.

The label and all cues are drawn from a table that is known (`clinic.table`), so the best AUC, Brier score or net
benefit that any model can reach is known as well, at each hospital and for each group. Then each cue is rendered: a
finding in a picture, a fever as a temperature and a pulse. A patient may have several pictures, which share the body,
the age and the disease; no two splits share a patient. Nobody in here is real.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from ..base import SPLITS, Column, Dataset, LazySequence, check_split
from . import pictures, world
from .pictures import hide_marker
from .world import CLASSES, CUES, GAPS, IMAGE, RECORD, SITES, Cells, check_site, p_not_measured, risk, table

__all__ = ["CLASSES", "CUES", "FIELDS", "GAPS", "IMAGE", "RECORD", "SITES", "SIZES", "ceiling", "draw_cues"]
__all__ += ["hide_marker", "load", "risk", "scale", "table"]

SIZES = {"train": 6000, "validation": 1000, "test": 4000}
FIELDS = ("age", "sex", "pulse", "temperature", "oxygen", "crp", "days", "previous")
VISITS = np.array([0.5, 0.25, 0.15, 0.1])  # p(one, two, three, four pictures of a patient)
SEED = 29


def load(
    split: str = "train", site: str = "A", gaps: str = "MNAR", n: int | None = None, seed: int | None = None
) -> Dataset:
    """A split of one hospital; always the same samples.

    Parameters
    ----------
    split : "train" (6,000 pictures), "validation" (1,000) or "test" (4,000). No two splits share a patient.
    site : "A" or "B"; they differ in how many are ill, and in what the machine's letter says
    gaps : "MCAR", "MAR" or "MNAR", why a blood test (CRP) is missing; nothing else depends on it
    n, seed : more, fewer, or other samples than the fixed ones

    Returns
    -------
    Dataset of "image" uint8 (64, 64) and "record" float32 (8,), the numbers of FIELDS; NaN is a test that was not done.
    Model-ready, the image is float32 (64, 64, 1) from 0 to 1, and the record float32 (16,): eight standardized numbers,
    0 where one is missing, and eight flags that say which are there. `meta`: "patient", "visit", "site", and each cue.

    Raises
    ------
    ValueError
        For an unknown split, site or kind of gaps; for n < 1.
    """
    check_split(split)
    check_site(site)
    if gaps not in GAPS:
        raise ValueError(f"gaps: expected one of {', '.join(GAPS)}, got {gaps!r}")
    n = SIZES[split] if n is None else n
    if not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"n: expected a whole number ≥ 1, got {n!r}")
    own = SEED if seed is None else int(seed)
    cues, patient, visit, record = _samples(split, site, int(n), own)
    cues = dict(cues)
    cues["measured"] = _measured(cues, gaps, split, site, own)
    cues["test"] = np.where(cues["measured"] == 1, cues["crp"], 2)
    record = record.copy()
    record[cues["measured"] == 0, FIELDS.index("crp")] = np.nan

    def images() -> np.ndarray:
        return _pictures(split, site, int(n), own)

    def ready() -> dict[str, Column]:
        pixels = images()[..., None].astype(np.float32) / 255
        return {"image": Column(pixels, np.arange(n)), "record": Column(encode(record), np.arange(n))}

    labels = cues.pop("disease")
    return Dataset(
        "clinic",
        split,
        classes=CLASSES,
        labels=labels,
        columns={"image": LazySequence(images, int(n)), "record": cast(Sequence, record)},
        meta={"patient": patient, "visit": visit, "site": np.full(n, site), **cues},
        preprocess=ready,
    )


def _rng(kind: int, split: str, site: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, kind, SPLITS.index(split), SITES.index(site)])


def draw_cues(ill: np.ndarray, group: np.ndarray, site: str, rng: np.random.Generator) -> Cells:
    """What picture and record show of patients (n,) of whom disease and group are known: int64 (n,) for each cue."""

    def coin(p: np.ndarray) -> np.ndarray:
        return (rng.random(len(ill)) < p).astype(np.int64)

    steps = world.FINDING.cumsum(axis=1)[ill]
    return {
        "disease": ill,
        "group": group,
        "finding": (rng.random(len(ill))[:, None] > steps[:, :2]).sum(axis=1),
        "machine": coin(world.PORTABLE[site][ill]),
        "fever": coin(world.FEVER[ill, group]),
        "oxygen": coin(world.LOW_OXYGEN[ill]),
        "crp": coin(world.HIGH_CRP[ill]),
        "previous": coin(world.PREVIOUS[ill]),
    }


@functools.lru_cache(maxsize=16)
def _samples(split: str, site: str, n: int, seed: int) -> tuple[Cells, np.ndarray, np.ndarray, np.ndarray]:
    """Cues, patient, visit, and the record with every test done: float32 (n, 8)."""
    rng = _rng(0, split, site, seed)
    visits = rng.choice(np.arange(1, 5), size=n, p=VISITS)
    who = np.repeat(np.arange(n), visits)[:n]
    visit = np.concatenate([np.arange(v) for v in visits])[:n]
    group = rng.integers(0, 2, n)
    ill = (rng.random(n) < world.ILL[site][group]).astype(np.int64)
    age = np.where(group == 1, rng.uniform(60, 90, n), rng.uniform(20, 60, n))
    sex = rng.integers(0, 2, n)
    cues = draw_cues(ill[who], group[who], site, rng)
    record = np.stack(
        [
            age[who],
            sex[who],
            np.where(cues["fever"] == 1, rng.uniform(92, 125, n), rng.uniform(55, 88, n)),
            np.where(cues["fever"] == 1, rng.uniform(38.0, 40.0, n), rng.uniform(36.0, 37.4, n)),
            np.where(cues["oxygen"] == 1, rng.uniform(84, 92, n), rng.uniform(94, 100, n)),
            np.where(cues["crp"] == 1, rng.uniform(60, 200, n), rng.uniform(1, 20, n)),
            rng.integers(0, 15, n),
            np.where(cues["previous"] == 1, rng.integers(1, 5, n), 0),
        ],
        axis=1,
    ).astype(np.float32)
    patient = who + 1_000_000 * SITES.index(site) + 100_000 * SPLITS.index(split)
    return cues, patient, visit, record


def _measured(cues: Cells, gaps: str, split: str, site: str, seed: int) -> np.ndarray:
    """Whether the blood test was done, int64 (n,)."""
    luck = _rng(1, split, site, seed).random(len(cues["crp"]))
    return (luck >= p_not_measured(gaps, cues["disease"], cues["fever"], cues["crp"])).astype(np.int64)


@functools.lru_cache(maxsize=8)
def _pictures(split: str, site: str, n: int, seed: int) -> np.ndarray:
    """uint8 (n, 64, 64), read-only: drawn once."""
    cues, patient, _, _ = _samples(split, site, n, seed)
    rng = _rng(2, split, site, seed)
    who = patient - patient[0]
    bodies = {key: value[who] for key, value in pictures.draw_bodies(int(who.max()) + 1, rng).items()}
    drawn = pictures.draw(cues["finding"], cues["machine"], bodies, pictures.draw_exposures(n, rng), rng)
    drawn.setflags(write=False)
    return drawn


@functools.cache
def scale() -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the numbers that are there, in the training split of A: float32 (8,) each."""
    cues, _, _, record = _samples("train", "A", SIZES["train"], SEED)
    record = record.copy()
    record[_measured(cues, "MNAR", "train", "A", SEED) == 0, FIELDS.index("crp")] = np.nan
    return np.nanmean(record, axis=0), np.nanstd(record, axis=0)


def encode(record: np.ndarray) -> np.ndarray:
    """Records (n, 8) with NaN as float32 (n, 16): standardized, 0 where missing, and flags of what is there."""
    from mmcourse.numpy.records import impute_and_flag

    there = ~np.isnan(record)
    mean, std = scale()
    return impute_and_flag(np.nan_to_num(record), there, mean, std).astype(np.float32)


def ceiling(metric: Any, see: Any, site: str = "A", gaps: str = "MNAR", learned_at: str | None = None) -> float:
    """What the best model reaches that sees only this: exact, by going through the table.

    Parameters
    ----------
    metric : function of (labels, probabilities, weights=…), such as `mmcourse.evaluate.auc`
    see : names of cues, such as IMAGE or (*IMAGE, *RECORD)
    site, gaps : where it is judged
    learned_at : where it has learned what the cues mean; default: the same site. The best model of A need not be good
        at B.
    """
    cells = table(site, gaps)
    scores = risk(see, learned_at or site, gaps, at=cells)
    return float(metric(cells["disease"], scores, weights=cells["p"]))
