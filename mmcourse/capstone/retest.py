"""The re-test: a test split drawn by a hidden seed, the submission's own `predict`, and the interval that it reported.

An honest 95 % interval holds the model's true score 95 times in 100. One project cannot show that; a class can. The
fresh split has noise of its own, so a little less than 95 % is expected: `intervals.expected_coverage` says how much.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmcourse.capstone.fresh import Fresh
from mmcourse.capstone.intervals import coverage, expected_coverage
from mmcourse.capstone.project import WEIGHTS, BadProject, Project, cells, interval_of, left_out, missing_files, number

SECONDS = 600.0  # of one project
Predict = Callable[[dict[str, np.ndarray]], Any]


@dataclass(frozen=True)
class Retest:
    """What a re-test found.

    Attributes
    ----------
    reported : score, low, high of the report; NaN for what is missing
    fresh : score, low, high on the new split
    n, groups : samples and groups of the new split
    ceiling : the exact ceiling
    held : whether the reported interval holds the fresh score; None where there is no interval
    expected : how often an honest interval of this width would hold it; NaN without an interval
    """

    name: str
    reported: tuple[float, float, float]
    fresh: tuple[float, float, float]
    n: int
    groups: int
    ceiling: float
    held: bool | None
    expected: float


def hidden_seed(secret: str, project: Project) -> int:
    """A seed that nobody can foretell who does not know the secret; another one for each project."""
    from mmcourse.classroom.seal import hmac_digest, stretched

    digest = hmac_digest(stretched(secret), "capstone", project.brief.name, project.name)
    return int.from_bytes(digest[:4], "little") + (1 << 20)  # away from seeds that people choose


def retest(project: Project, seed: int, predict: Predict, n: int | None = None) -> Retest:
    """Draw a new test split by `seed`, run `predict` on it, and compare with the report.

    Raises
    ------
    BadProject
        The brief has no table to draw from, or `predict` gives what is no prediction.
    """
    brief = project.brief
    if brief.fresh is None or brief.ceiling is None:
        raise BadProject(
            f"{project.name}: brief {brief.name!r} has no table to draw from; "
            "record new people after the report is handed in, and give that file to `predict`"
        )
    split = brief.fresh(seed, brief.n_fresh if n is None else n)
    predicted = predictions(split, predict, project.name)
    score, low, high = brief.interval(split.labels, predicted, split.groups, seed=seed)
    claim = project.report.get("test")
    value = number(claim.get("value")) if isinstance(claim, dict) else None
    interval = interval_of(claim)
    reported = (np.nan if value is None else value, *(interval or (np.nan, np.nan)))
    held, expected = None, float("nan")
    if interval is not None:
        held = bool(interval[0] <= score <= interval[1])
        half = (interval[1] - interval[0]) / 2
        expected = expected_coverage(half, (high - low) / 2) if half > 0 else 0.0
    groups = len(np.unique(split.groups))
    fresh = (score, low, high)
    return Retest(project.name, reported, fresh, len(split.labels), groups, brief.ceiling(), held, expected)


def predictions(split: Fresh, predict: Predict, name: str = "predict") -> np.ndarray:
    """What `predict` says of a split, batch by batch: int64 labels (n,), or float64 probabilities (n,).

    Raises
    ------
    BadProject
        It fails, or gives another shape, other labels, NaN, or what is no probability.
    """
    parts = []
    for inputs in split.batches():
        size = len(next(iter(inputs.values())))
        try:
            given = predict(inputs)
        except TimeoutError:
            remedy = f"all {len(split.labels):,} samples have {SECONDS:.0f} seconds together; load the model once"
            raise BadProject(f"{name}: predict took too long: {remedy}") from None
        except ChildProcessError as error:
            raise BadProject(f"{name}: predict {error} on a batch of {size}; it must return an array") from None
        except Exception as error:
            shapes = ", ".join(f"{key} {x.dtype} {x.shape}" for key, x in inputs.items())
            raise BadProject(f"{name}: predict raised {type(error).__name__} on a batch of {shapes}") from None
        parts.append(_checked(given, size, split.classes, name))
    return np.concatenate(parts)


def _checked(given: Any, size: int, classes: int | None, name: str) -> np.ndarray:
    array = np.asarray(given)
    shape = f"{array.dtype} {array.shape}" if given is not None else "None"
    kinds, wanted = ("iu", "whole numbers") if classes is not None else ("f", "floats")
    if array.shape != (size,) or array.dtype.kind not in kinds:
        raise BadProject(f"{name}: predict must give {wanted} ({size},) for {size} samples, not {shape}")
    if classes is not None:
        if array.min() < 0 or array.max() >= classes:
            bad = array.min() if array.min() < 0 else array.max()
            raise BadProject(f"{name}: predict gave the label {bad}; labels are 0 to {classes - 1}")
        return array.astype(np.int64)
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        nan, outside = int(np.isnan(array).sum()), int(((array < 0) | (array > 1)).sum())
        told = f"of {size}, {nan} are NaN and {outside} outside"
        raise BadProject(f"{name}: predict must give probabilities from 0 to 1, without NaN; {told}")
    return array.astype(np.float64)


# ---------------------------------------------------------------- where `predict` runs
def retest_in_sandbox(project: Project, secret: str, n: int | None = None, unsafe: bool = False) -> Retest:
    """As `retest`, with `predict` behind the walls of the grading sandbox.

    Raises
    ------
    BadProject
        The code does not start, or gives what is no prediction.
    mmcourse.classroom.sandbox.NoSandbox
        This machine has no sandbox.
    """
    from mmcourse.classroom.sandbox import Limits, Stopped
    from mmcourse.classroom.session import Proxy, Session, answer_of

    limits = Limits(cell=120, call=SECONDS, exercise=SECONDS, total=SECONDS, cpu=int(SECONDS), answer_mb=16)
    with Session(cells(project), limits, secret=[project.folder], unsafe=unsafe) as session:
        try:
            predict = answer_of(session, "predict")
        except Stopped as error:
            raise BadProject(f"{project.name}: src/predict.py {error}") from None
        if not isinstance(predict, Proxy):
            broken = session.errors[0][2] if session.errors else "it defines no function predict"
            says = f"{project.name}: src/predict.py does not give predict(inputs): {broken}"
            raise BadProject(f"{says}{_hint(project, says)}")
        try:
            return retest(project, hidden_seed(secret, project), predict, n)
        except BadProject as error:
            raise BadProject(f"{error}{_hint(project, str(error))}") from None


def _hint(project: Project, says: str) -> str:
    """What may be the reason, where code behind the walls did not find what it finds at home."""
    outside = [*left_out(project.folder), *(f"src/{name} (missing)" for name in missing_files(project))]
    kinds = ", ".join((".py", *WEIGHTS))
    if outside and re.search("NotFound|OSError|Permission|Import|Attribute|TypeError|RuntimeError", says):
        return f"; not in the sandbox: {', '.join(outside[:6])}; it takes only {kinds}, directly in src/"
    if re.search("NotFound|OSError|Permission", says):
        return f"; the sandbox has only the {kinds} of src/, beside predict.py, and no network; write no files"
    return "; try it on the batch of tests/test_predict.py" if " raised " in says else ""


def load_predict(folder: Path) -> Predict:
    """Your own project's `predict`, imported into this process. Only for code that you trust."""
    import importlib.util

    path = folder / "src" / "predict.py"
    spec = importlib.util.spec_from_file_location(f"capstone_predict_{abs(hash(str(path)))}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise BadProject(f"{path}: missing; it must define predict(inputs)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # so that dataclasses in it work
    sys.path.insert(0, str(path.parent))  # it may import what lies beside it, as in the sandbox
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    if not callable(getattr(module, "predict", None)):
        raise BadProject(f"{path}: defines no function predict(inputs)")
    return module.predict


def class_coverage(results: Iterable[Retest]) -> tuple[int, int, float, float, float]:
    """Of a class: intervals that held, how many there are, the share's interval (low, high), the expected share.

    Raises
    ------
    ValueError
        No project has an interval.
    """
    known = [result for result in results if result.held is not None]
    if not known:
        raise ValueError("no project reported an interval, so there is no coverage")
    _, low, high = coverage(result.held is True for result in known)
    expected = float(np.mean([result.expected for result in known]))
    return sum(result.held is True for result in known), len(known), low, high, expected
