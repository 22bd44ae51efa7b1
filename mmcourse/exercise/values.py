"""Values from learners: made plain, described in words, and compared by our own arithmetic, never by theirs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmcourse.exercise.verdict import CheckFailed, NotAttempted

TELLING = 3  # so many different numbers do not follow a rule by chance
_WORDS = {"b": "True/False values", "i": "whole numbers", "u": "whole numbers", "f": "numbers", "c": "complex numbers"}


class Difference(CheckFailed):
    """Right kind and shape, wrong values: `where`, and the `pattern` of the numbers if they show one."""

    def __init__(self, where: str, pattern: str = ""):
        super().__init__(where + pattern)
        self.where = where


# ---------------------------------------------------------------- words
def describe_type(value: Any) -> str:
    """What a value is, in words: "an array of shape (2, 3)", "text", "None"."""
    if value is None:
        return "None"
    if isinstance(value, str):
        return f"the text {value[:30]!r}"
    shape = getattr(value, "shape", None)
    if shape is not None and not isinstance(value, type):
        return f"{type(value).__name__} of shape {_shape(shape)}"
    if callable(value):
        return f"{'a class' if isinstance(value, type) else 'a function'} ({getattr(value, '__name__', '?')})"
    return f"of type {type(value).__name__}"


def _shape(shape: Any) -> str:
    try:
        return str(tuple(int(n) for n in shape))
    except (TypeError, ValueError):
        return "unknown"


def described(args: tuple, kwargs: dict) -> str:
    """Arguments for a message: small ones by value, large ones by shape."""
    parts = [_brief(value) for value in args] + [f"{name}={_brief(value)}" for name, value in kwargs.items()]
    return ", ".join(parts) or "nothing"


def _brief(value: Any) -> str:
    if isinstance(value, (list, tuple)) and any(hasattr(item, "shape") for item in value):
        text = f"[{', '.join(map(_brief, value))}]"
    elif hasattr(value, "shape"):
        array = np.asarray(_unwrapped(value))
        text = repr(_shortened(array).tolist()) if array.size <= 16 else ""
        if not text or (array.size > 8 and len(text) > 90):
            return f"an array of shape {array.shape}"
    else:
        text = repr(value)
    return text if len(text) <= 90 else f"{text[:60]}…"


def _shortened(array: np.ndarray) -> np.ndarray:
    """Four digits after the point, unless they make different numbers equal, or tiny ones 0."""
    if array.dtype.kind not in "fc":
        return array
    short = np.round(array, 4) + 0.0  # no -0.0
    return short if len(np.unique(short)) == len(np.unique(array)) else array


def format_call(function: Any, args: tuple) -> str:
    """The call as code, for the head of a message."""
    name = getattr(function, "__name__", "<unnamed>")
    return f"`{'your_function' if name.startswith('<') else name}({described(args, {})})`"


def _number(value: Any) -> str:
    return str(bool(value)) if value.dtype.kind == "b" else f"{value.item():.6g}"


# ---------------------------------------------------------------- making plain
def _unwrapped(value: Any) -> Any:
    """Numbers out of any framework's tensor, by its methods alone: no framework is imported."""
    if isinstance(value, (list, tuple)):
        return [_unwrapped(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value
    if hasattr(value, "detach"):  # PyTorch
        value = value.detach().cpu()
        return value.float().numpy() if str(value.dtype) == "torch.bfloat16" else value.resolve_conj().numpy()
    if hasattr(value, "numpy") and not hasattr(value, "to_numpy"):  # TensorFlow, Keras
        return value.numpy()
    return value


def to_numpy(value: Any, what: str = "The answer", wanted: str = "numbers") -> np.ndarray:
    """A plain NumPy copy of `value`: numbers or True/False; `CheckFailed` says why that cannot be."""
    if value is ...:
        raise NotAttempted
    if value is None:
        raise CheckFailed(f"{what} is None. Did you forget `return`?")
    if isinstance(value, (str, bytes)):
        raise CheckFailed(f"{what} is text, {value[:30]!r}, where {wanted} are wanted.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array = np.array(_unwrapped(value), copy=True, subok=False)
    except Exception:
        rows = ": do its rows differ in length?" if isinstance(value, (list, tuple)) else "."
        raise CheckFailed(f"{what} cannot be read as {wanted}; it is {describe_type(value)}{rows}") from None
    if array.dtype.kind == "V" and "float" in array.dtype.name:  # bfloat16 and other small floats
        array = array.astype(np.float32)
    if array.dtype.kind in "US":
        raise CheckFailed(f"{what} holds text (dtype {array.dtype}) where {wanted} are wanted.")
    if array.dtype.kind not in _WORDS:
        detail = f"dtype {array.dtype}" if hasattr(value, "dtype") else describe_type(value)
        raise CheckFailed(f"{what} is not made of {wanted} ({detail}). Use a plain number, a list or an array.")
    return array


def identical(now: Any, before: Any) -> bool:
    """Whether an argument still holds what it held; things other than containers and arrays are not looked into."""
    if isinstance(before, dict):
        return isinstance(now, dict) and list(now) == list(before) and all(identical(now[k], before[k]) for k in before)
    if isinstance(before, (list, tuple)):
        return len(now) == len(before) and all(identical(a, b) for a, b in zip(now, before, strict=True))
    if isinstance(before, (int, float, str)):
        return type(now) is type(before) and repr(now) == repr(before)
    if not hasattr(before, "shape"):
        return True
    now, before = np.asarray(_unwrapped(now)), np.asarray(_unwrapped(before))
    if (now.shape, now.dtype) != (before.shape, before.dtype):
        return False
    if before.dtype.kind == "O":
        return repr(now.tolist()) == repr(before.tolist())
    return now.tobytes() == before.tobytes()


# ---------------------------------------------------------------- comparing
def compare(
    got: Any,
    want: Any,
    what: str,
    *,
    names: Sequence[str] = (),
    atol: float = 1e-6,
    rtol: float = 1e-4,
    nan_equal: bool = False,
    advise: bool = True,
) -> None:
    """Raise `CheckFailed` with the first difference of `got` from `want` (numbers, text, tuples, lists, dicts).

    Without `advise` no pattern is looked for in the differences: for whoever only asks whether two values are equal.
    """
    if got is ...:
        raise NotAttempted
    settings: dict[str, Any] = {"atol": atol, "rtol": rtol, "nan_equal": nan_equal, "advise": advise}
    if isinstance(want, str):
        _compare_text(got, want, what)
    elif isinstance(want, dict):
        for key, item in _parts(got, want, what).items():
            compare(item, want[key], f"{what} at key {key!r}", **settings)
    elif isinstance(want, tuple) or (isinstance(want, list) and _has_parts(want)):
        labels = list(names) or [f"item {position}" for position in range(len(want))]
        for label, item, wanted in zip(labels, _items(got, want, what, names), want, strict=True):
            compare(item, wanted, f"{what} ({label})", **settings)
    else:
        _compare_arrays(got, want, what, **settings)


def _has_parts(want: list) -> bool:
    """Whether a list is compared item by item: it holds text, lists, or arrays of different shapes."""
    shapes = {getattr(item, "shape", None) for item in want}
    return len(shapes) > 1 or any(isinstance(item, (str, list)) for item in want)


def _compare_text(got: Any, want: str, what: str) -> None:
    if type(got) not in (str, np.str_):
        raise CheckFailed(f"{what} should be text; it is {describe_type(got)}.")
    if str(got) != want:
        raise Difference(f"{what}: expected {want!r}, got {_excerpt(str(got), want)!r}.")


def _excerpt(got: str, want: str) -> str:
    """Text of the learner, cut only where it is much longer than it should be: a difference must not be lost."""
    most = max(60, 2 * len(want))
    return got if len(got) <= most else f"{got[:most]}…"


def _parts(got: Any, want: dict, what: str) -> dict:
    if not isinstance(got, dict):
        raise CheckFailed(f"{what} should be a dict with the keys {list(want)}; it is {describe_type(got)}.")
    missing, extra = [k for k in want if k not in got], [k for k in got if k not in want]
    if missing or extra:
        raise CheckFailed(f"{what} should have the keys {list(want)}; missing: {missing}, not wanted: {extra}.")
    return {key: got[key] for key in want}


def _items(got: Any, want: Sequence, what: str, names: Sequence[str]) -> list:
    n, text = len(want), all(isinstance(w, str) for w in want)
    wanted = f"{n} value{'' if n == 1 else 's'}" + (f" ({', '.join(names)})" if names else "")
    if got is None:
        raise CheckFailed(f"{what} is None. Did you forget `return`?")
    if isinstance(got, (str, bytes)) or not hasattr(got, "__len__"):
        raise CheckFailed(f"{what} should be {wanted}; it is {describe_type(got)}.")
    if isinstance(got, (set, frozenset)):
        wanted = "a list of words" if text and isinstance(want, list) else wanted
        raise CheckFailed(f"{what} should be {wanted}; it is a set, which has no order.")
    if text and isinstance(got, np.ndarray) and got.ndim == 1 and got.dtype.kind in "OU":
        got = got.tolist()
    if not isinstance(got, (list, tuple)):
        got = to_numpy(got, what)
        got = [got] if got.ndim == 0 else got
    if len(got) != n:
        both = f": expected {list(want)}, got {_brief(list(got))}" if text else ""
        raise CheckFailed(f"{what} should be {wanted}; got {len(got)}{both}.")
    return list(got)


def _compare_arrays(got: Any, want: Any, what: str, *, atol: float, rtol: float, nan_equal: bool, advise: bool) -> None:
    answer_dtype, reference_dtype = (str(getattr(value, "dtype", "")) for value in (got, want))
    want = to_numpy(want)
    got = to_numpy(got, what, _WORDS[want.dtype.kind])
    coarse = _coarseness(f"{reference_dtype} {want.dtype}")
    _same_kind(got, want, what)
    if got.shape != want.shape:
        wanted = f"have shape {want.shape}" if want.shape else "be a single number"
        raise CheckFailed(f"{what} should {wanted}, got shape {got.shape}.{_shape_advice(got, want)}")
    if not nan_equal:
        _finite(got, want, what)
    if want.size == 0:
        return
    number = np.complex128 if "c" in (got.dtype.kind, want.dtype.kind) else np.float64
    with np.errstate(invalid="ignore"):  # a long double may hold bytes that are no number
        a, b = got.astype(number), want.astype(number)
    slack = max(atol, coarse) + max(rtol, coarse) * np.abs(np.where(np.isfinite(b), b, 0))  # infinity excuses nothing
    with np.errstate(invalid="ignore"):
        off = ~((a == b) | (np.abs(a - b) <= slack) | (np.isnan(a) & np.isnan(b)))
    if off.any():
        if not advise:
            raise Difference(_difference(got, want, off, what))
        with np.errstate(all="ignore"):  # infinities and NaN
            pattern = "" if want.dtype.kind == "b" else _pattern(a, b, slack)
        pattern = pattern or _rounded_too_far(a, b, f"{answer_dtype} {got.dtype}")
        raise Difference(_difference(got, want, off, what), pattern)


def _coarseness(dtype: str) -> float:
    """Half-precision numbers are right to two or three decimal digits.

    Only the dtype of the *reference* may lower the bar: an answer that chose its own could be wrong by as much.
    """
    return 3e-2 if "bfloat16" in dtype else 4e-3 if "float16" in dtype else 0.0


def _rounded_too_far(a: np.ndarray, b: np.ndarray, dtype: str) -> str:
    """Advice where nothing but the rounding of a half-precision answer can be at fault."""
    coarse = _coarseness(dtype)
    if not coarse or not np.allclose(a, b, coarse, coarse, equal_nan=True):
        return ""
    name = "bfloat16" if "bfloat16" in dtype else "float16"
    return f" {name} keeps only {2 if name == 'bfloat16' else 3} digits: compute in float32 or float64."


def _same_kind(got: np.ndarray, want: np.ndarray, what: str) -> None:
    kinds = got.dtype.kind, want.dtype.kind
    if ("b" in kinds and kinds != ("b", "b")) or (kinds[0] == "c" and kinds[1] != "c"):
        raise CheckFailed(f"{what} holds {_WORDS[kinds[0]]} (dtype {got.dtype}) where {_WORDS[kinds[1]]} are wanted.")


def _shape_advice(got: np.ndarray, want: np.ndarray) -> str:
    if got.ndim == want.ndim == 2 and got.shape == want.shape[::-1]:
        return " Is it transposed?"
    if np.squeeze(got).shape == want.shape:
        return " An axis of length 1 is left over: `keepdims`, or `[None]`?"
    if want.ndim == 0:
        return " Is a sum or a mean left out?"
    if got.ndim == 0:
        return " One number came out: was `axis=` left out of a sum or a mean?"
    if got.shape == tuple(size for size in want.shape if size != 1):
        return " Axes of length 1 are lost: `squeeze`, or an index that takes an axis away?"
    if got.ndim == want.ndim and sorted(got.shape) == sorted(want.shape):
        return " Are the axes in another order?"
    if got.ndim == want.ndim:
        steps = {a - b for a, b in zip(got.shape, want.shape, strict=True)} - {0}
        if steps in ({1}, {-1}):
            axes = [str(k) for k, (a, b) in enumerate(zip(got.shape, want.shape, strict=True)) if a != b]
            where = f"axis {axes[0]} is" if len(axes) == 1 else f"axes {', '.join(axes)} are"
            return f" {where.capitalize()} one too {'long' if steps == {1} else 'short'}."
    return ""


def _finite(got: np.ndarray, want: np.ndarray, what: str) -> None:
    bad = ~np.isfinite(got) & np.isfinite(want)
    if bad.any():
        at = np.unravel_index(np.argmax(bad), got.shape)
        name, cause = ("NaN", "0/0 or log of a negative number?") if np.isnan(got[at]) else ("inf", "x/0 or log(0)?")
        raise CheckFailed(f"{what} holds {name}{_at(at)}{_count(bad, '')}: {cause}")


def _at(index: tuple) -> str:
    return f" at index [{', '.join(str(int(i)) for i in index)}]" if index else ""


def _difference(got: np.ndarray, want: np.ndarray, off: np.ndarray, what: str) -> str:
    at = np.unravel_index(np.argmax(off), off.shape)
    return f"{what}{_at(at)}: expected {_number(want[at])}, got {_number(got[at])}{_count(off, ' differ')}."


def _count(where: np.ndarray, verb: str) -> str:
    return f" ({int(where.sum())} of {where.size} values{verb})" if where.size > 1 else ""


def _pattern(a: np.ndarray, b: np.ndarray, slack: np.ndarray) -> str:
    """A mistake that shows in the numbers alone, whatever the exercise."""

    def equals(other: np.ndarray, scale: float = 1) -> bool:
        return bool(np.all(np.abs(a - other) <= slack * scale))

    if not a.any():
        return " Every value is 0: is the result ever filled in?" if a.size > 1 else ""
    if equals(-b):
        return " Only the sign is wrong."
    if a.ndim == 2 and a.shape == a.T.shape and equals(b.T):
        return " It is the transpose of the right answer."
    if np.iscomplexobj(b):
        return ""
    if equals(100 * b, 100):
        return " It is 100 times too large: percent where a fraction is wanted?"
    if equals(np.trunc(b)) or equals(np.round(b)):
        return " The values are cut to whole numbers: `//`, `int` or an integer dtype?"
    with np.errstate(all="ignore"):
        ratio = np.abs(a).sum() / np.abs(b).sum()
    if a.size > 1 and np.isfinite(ratio) and np.all(np.abs(a - ratio * b) <= slack * max(ratio, 1)):
        return f" Every value is {ratio:.4g} times what it should be."
    return _arrangement(a, b, slack) or _related(a, b) or _scaling(a, b) or _places(np.abs(a - b) > slack)


def _arrangement(a: np.ndarray, b: np.ndarray, slack: np.ndarray) -> str:
    """Right numbers in wrong places, or with wrong signs; where they could be so by chance, nothing is said."""

    def equals(one: np.ndarray, other: np.ndarray) -> bool:
        return bool(np.all(np.abs(one - other) <= np.max(slack)))

    off = np.abs(a - b) > slack
    if off.sum() >= TELLING and equals(a[off], -b[off]):
        return " Only signs are wrong."
    if off.sum() < TELLING or len(np.unique(b[off])) < TELLING:
        return ""
    for axis, size in enumerate(b.shape):
        along = f" along axis {axis}" if b.ndim > 1 else ""
        if equals(a, np.flip(b, axis)):
            return f" The values are in reverse order{along}."
        first, last = (np.take(b, range(*ends), axis) for ends in ((size - 1,), (1, size)))
        if size > TELLING and equals(np.take(a, range(1, size), axis), first):
            return f" The values are one place too late{along}."
        if size > TELLING and equals(np.take(a, range(size - 1), axis), last):
            return f" The values are one place too early{along}."
    if equals(np.sort(a, axis=None), np.sort(b, axis=None)):
        return " These are the right values in other places."
    return ""


def _related(a: np.ndarray, b: np.ndarray) -> str:
    found = relation(a.ravel(), b.ravel())
    return f" Every value is {found}." if found else ""


def relation(a: np.ndarray, b: np.ndarray) -> str:
    """How wrong numbers (n,) follow from the right ones (n,), in words: "the square of the right one".

    Empty where no simple rule holds for all of them, or so few differ that it could hold by chance.
    """
    off = ~np.isclose(a, b, 1e-4, 1e-9)
    if off.sum() < TELLING or len(np.unique(b[off])) < TELLING or not np.isfinite(a).all():
        return ""
    with np.errstate(all="ignore"):
        factor, shift = a[off][0] / b[off][0], a[off][0] - b[off][0]
        rules = (
            (-b, "the right one with the wrong sign"),
            (factor * b, f"{factor:.4g} times the right one"),
            (b + shift, f"{abs(shift):.4g} too {'large' if shift > 0 else 'small'}"),
            (1 - b, "1 minus the right one"),
            (1 / b, "1 divided by the right one"),
            (b**2, "the square of the right one"),
            (np.sqrt(b), "the root of the right one"),
            (np.log(b), "the logarithm of the right one"),
            (np.exp(b), "the exponential of the right one"),
        )
        return next((text for value, text in rules if np.allclose(a, value, 1e-4, 1e-9)), "")


def _scaling(a: np.ndarray, b: np.ndarray) -> str:
    """Rows that should sum to 1, or have length 1, and do not."""
    if b.ndim < 1 or b.shape[-1] < 2:
        return ""
    sums, wanted_sums = a.sum(axis=-1).ravel(), b.sum(axis=-1).ravel()
    if (b >= 0).all() and np.allclose(wanted_sums, 1, atol=1e-4) and not np.allclose(sums, 1, atol=1e-4):
        if b.ndim == 1:
            return f" The values should sum to 1; they sum to {sums[0]:.4g}."
        row = int(np.argmax(np.abs(sums - 1)))
        return f" Each row should sum to 1; row {row} sums to {sums[row]:.4g}."
    lengths = np.sqrt((a**2).sum(axis=-1)).ravel()
    wanted_lengths = np.sqrt((b**2).sum(axis=-1)).ravel()
    is_unit = np.isclose(wanted_lengths, 1, atol=1e-4)
    if b.ndim > 1 and (is_unit | (wanted_lengths == 0)).all() and is_unit.any():
        wrong = is_unit & ~np.isclose(lengths, 1, atol=1e-4)
        if wrong.any():
            row = int(np.argmax(wrong))
            return f" Each row should have length 1; row {row} has {lengths[row]:.4g}."
    return ""


def _places(off: np.ndarray) -> str:
    """Rows or columns outside of which all values are right."""
    if off.ndim != 2 or min(off.shape) < 2:
        return ""
    rows, columns = np.flatnonzero(off.any(axis=1)), np.flatnonzero(off.any(axis=0))
    for name, places, size in (("row", rows, off.shape[0]), ("column", columns, off.shape[1])):
        if len(places) <= (size + 1) // 2 and len(places) < size:
            listed = ", ".join(map(str, places[:4])) + (" …" if len(places) > 4 else "")
            return f" Only {name}{'s' * (len(places) > 1)} {listed} differ{'s' * (len(places) == 1)}."
    return ""
