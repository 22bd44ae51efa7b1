"""Values from learners: made plain, described in words, and compared by our own arithmetic, never by theirs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmcourse.check.verdict import CheckFailed, NotAttempted

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
    if hasattr(value, "shape"):
        array = np.asarray(_unwrapped(value))
        if array.size > 8:
            return f"an array of shape {array.shape}"
        short = np.round(array, 4) if array.dtype.kind in "fc" else array
        value = (short if np.array_equal(short == 0, array == 0) else array).tolist()  # tiny is not 0
    text = repr(value)
    return text if len(text) <= 90 else f"{text[:60]}…"


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
) -> None:
    """Raise `CheckFailed` with the first difference of `got` from `want` (numbers, text, tuples, lists, dicts)."""
    if got is ...:
        raise NotAttempted
    settings: dict[str, Any] = {"atol": atol, "rtol": rtol, "nan_equal": nan_equal}
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


def _compare_arrays(got: Any, want: Any, what: str, *, atol: float, rtol: float, nan_equal: bool) -> None:
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
    return ""
