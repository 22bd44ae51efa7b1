"""The joint distribution of clinic: disease, what picture and record show of it, and which test was done.

Patients come to hospital A or B, and a few of them have the disease. The X-ray shows a finding, and a letter in its
corner says which machine took it. At A, very ill patients are X-rayed in bed with the portable machine; at B every
third patient is, ill or not. Older patients have the disease more often, and a fever less often when they have it.
One blood test (CRP) is not done for everybody: who gets it depends on the mechanism of the gaps.

All of it is a table of 768 cells, so whatever can be asked of a model can be asked of the table, exactly.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np

CLASSES = ("healthy", "ill")
CUES = {
    "group": ("under 60", "60 and over"),
    "finding": ("none", "small", "large"),
    "machine": ("fixed", "portable"),
    "fever": ("no", "yes"),
    "oxygen": ("normal", "low"),
    "crp": ("low", "high"),
    "previous": ("no", "yes"),
    "measured": ("no", "yes"),
}
SITES = ("A", "B")
GAPS = ("MCAR", "MAR", "MNAR")
IMAGE = ("finding", "machine")  # what can be seen in the picture
RECORD = ("group", "fever", "oxygen", "test", "previous")  # in the record; "test" is low, high or not done

GROUP = np.array([0.5, 0.5])
ILL = {"A": np.array([0.03, 0.09]), "B": np.array([0.01, 0.03])}  # p(ill | group): 6 % at A, 2 % at B
FINDING = np.array([[0.80, 0.16, 0.04], [0.15, 0.30, 0.55]])  # p(finding | disease)
PORTABLE = {"A": np.array([0.08, 0.70]), "B": np.array([0.30, 0.30])}  # p(portable machine | disease)
FEVER = np.array([[0.15, 0.10], [0.65, 0.30]])  # p(fever | disease, group)
LOW_OXYGEN = np.array([0.12, 0.50])  # p(· | disease), and so on
HIGH_CRP = np.array([0.20, 0.70])
PREVIOUS = np.array([0.25, 0.40])
NOT_ORDERED = np.array([[0.60, 0.35], [0.20, 0.10]])  # p(test not done | disease, crp) where gaps are MNAR

Cells = dict[str, np.ndarray]


def p_not_measured(gaps: str, disease: np.ndarray, fever: np.ndarray, crp: np.ndarray) -> np.ndarray:
    """p(the test was not done), arrays of the same shape.

    MCAR: a coin decides. MAR: whoever has a fever, which is in the record, is tested more often. MNAR: it depends on
    what is not in the record, the value itself and a doctor's suspicion, who sees more of a patient than eight numbers.
    """
    if gaps not in GAPS:
        raise ValueError(f"gaps: expected one of {', '.join(GAPS)}, got {gaps!r}")
    if gaps == "MCAR":
        return np.full(np.shape(crp), 0.5)
    if gaps == "MAR":
        return np.where(np.asarray(fever) == 1, 0.1, 0.56)
    return NOT_ORDERED[np.asarray(disease), np.asarray(crp)]


def check_site(site: str) -> str:
    """The site's name, or a ValueError."""
    if site not in SITES:
        raise ValueError(f"site: expected one of {', '.join(SITES)}, got {site!r}")
    return site


def _of(p: np.ndarray, value: np.ndarray) -> np.ndarray:
    """p where value is 1, else 1 − p."""
    return np.where(value == 1, p, 1 - p)


@functools.cache
def _table(site: str, gaps: str) -> Cells:
    sizes = (2, *(len(names) for names in CUES.values()))
    index = np.indices(sizes).reshape(len(sizes), -1)
    cells = dict(zip(("disease", *CUES), index, strict=True))
    ill, group = cells["disease"], cells["group"]
    p = GROUP[group] * _of(ILL[site][group], ill)
    p = p * FINDING[ill, cells["finding"]]
    p = p * _of(PORTABLE[site][ill], cells["machine"])
    p = p * _of(FEVER[ill, group], cells["fever"])
    p = p * _of(LOW_OXYGEN[ill], cells["oxygen"])
    p = p * _of(HIGH_CRP[ill], cells["crp"])
    p = p * _of(PREVIOUS[ill], cells["previous"])
    p = p * _of(1 - p_not_measured(gaps, cells["disease"], cells["fever"], cells["crp"]), cells["measured"])
    cells["test"] = np.where(cells["measured"] == 1, cells["crp"], 2)
    cells["p"] = p
    for array in cells.values():
        array.setflags(write=False)
    return cells


def table(site: str = "A", gaps: str = "MNAR") -> Cells:
    """All 768 cells: arrays (768,) "disease", each cue of CUES, "test" (0 low, 1 high, 2 not done), and "p".

    Any metric of `mmcourse.evaluate` that takes weights is exact on it, with labels "disease" and weights "p".
    """
    if gaps not in GAPS:
        raise ValueError(f"gaps: expected one of {', '.join(GAPS)}, got {gaps!r}")
    return dict(_table(check_site(site), gaps))


def seen_cell(cells: Cells, see: Iterable[str]) -> np.ndarray:
    """One number for each combination of what is seen, int64: which cells nobody can tell apart who sees only this."""
    names = [see] if isinstance(see, str) else list(see)
    allowed = {**CUES, "test": ("low", "high", "not done")}
    if set(names) - set(allowed):
        raise ValueError(f"see: expected names of {', '.join(allowed)}, got {names}")
    code = np.zeros(len(cells["group"]), np.int64)
    for name in names:
        code = code * len(allowed[name]) + cells[name]
    return code


def risk(see: Iterable[str], site: str = "A", gaps: str = "MNAR", at: Cells | None = None) -> np.ndarray:
    """p(ill | what is seen), by the table of `site`: the best score that any model can give.

    Parameters
    ----------
    see : names of cues, such as IMAGE, RECORD, or (*IMAGE, *RECORD)
    site, gaps : where the model has learned
    at : for which samples: a dict with arrays (n,) of the cues, such as the `meta` of a data set gives; default: each
        cell of the table itself

    Returns
    -------
    float (768,), or (n,) for `at`
    """
    see = (see,) if isinstance(see, str) else tuple(see)
    cells = table(site, gaps)
    where = seen_cell(cells, see)
    size = int(where.max()) + 1
    both = np.bincount(where, cells["p"], size)
    ill = np.bincount(where, cells["p"] * cells["disease"], size)
    with np.errstate(invalid="ignore"):
        posterior = ill / both
    return posterior[where if at is None else seen_cell(at, see)]
