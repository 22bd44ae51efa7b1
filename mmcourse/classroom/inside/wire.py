"""Plain data over a socket: length-prefixed JSON, arrays as dtype, shape and base64. Nothing is ever unpickled.

Both sides import this file: the grader as `mmcourse.classroom.inside.wire`, the sandbox as `wire`. What comes out of
the sandbox is hostile until `decode` has built it anew from numbers and text; `receive` bounds its size and its time.
"""

from __future__ import annotations

import base64
import json
import math
import socket
import struct
import time
from typing import Any

import numpy as np

MOST_KEYS = 10_000  # of a dict or set from outside: keys may be chosen to collide
MOST_LETTERS = 1 << 24  # of an array of texts: each of them takes the room of the longest
DEPTH = 12  # of lists in lists; JSON itself is read no deeper than Python's own limit
REFUSED = (ArithmeticError, LookupError, MemoryError, RecursionError, TypeError, ValueError)  # what `decode` may raise


class BrokenWire(Exception):
    """What came is no message of this protocol, is too large, or came too late."""


class Opaque:
    """Stands for a value that is no plain data: a generator, a class, an object of the student's own."""

    def __repr__(self) -> str:
        return "<no plain data>"


# ---------------------------------------------------------------- values
def encode(value: Any, depth: int = DEPTH) -> Any:
    """`value` as something that JSON can carry; what is no plain data becomes a marker."""
    if value is None or isinstance(value, bool):
        return value
    if value is ...:
        return {"blank": 0}
    if type(value).__module__ == "numpy" or hasattr(value, "detach"):
        return _array(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return {"int": str(int(value))}
    if isinstance(value, float):
        return float(value)
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if depth and isinstance(value, dict):
        return {"dict": [[encode(key, depth - 1), encode(item, depth - 1)] for key, item in value.items()]}
    for kind in (list, tuple, set, frozenset, range):
        if depth and isinstance(value, kind):
            return {"list" if kind is range else kind.__name__: [encode(item, depth - 1) for item in value]}
    return _array(value.numpy()) if hasattr(value, "numpy") else {"opaque": 0}


def _array(value: Any) -> Any:
    if hasattr(value, "detach"):  # a PyTorch tensor
        value = value.detach().cpu()
        value = (value.float() if "bfloat16" in str(value.dtype) else value.resolve_conj()).numpy()
    if not isinstance(value, (np.ndarray, np.generic)):
        return {"opaque": 0}
    array = np.array(value, copy=True, subok=False, order="C")
    if array.dtype.kind in "UO":
        return {"texts": [encode(item, 2) for item in array.ravel().tolist()], "shape": list(array.shape)}
    if array.dtype.kind not in "biufc" or array.dtype.itemsize > 16:
        return {"opaque": 0}
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    data = base64.b64encode(array.tobytes()).decode()
    scalar = isinstance(value, np.generic)
    return {"array": data, "dtype": array.dtype.str, "shape": list(array.shape), "scalar": scalar}


def decode(obj: Any, depth: int = DEPTH + 2, end: float = math.inf) -> Any:
    """The value that `encode` was given; ValueError for anything that `encode` never writes.

    `end` is the processor time of this thread (`time.thread_time`) by which the whole message must be built: keys in
    many dicts may be chosen to collide, each few enough by themselves.
    """
    if time.thread_time() > end:
        raise ValueError("takes too long to build")
    if obj is None or isinstance(obj, (bool, str, float)):
        return obj
    if not depth or not isinstance(obj, dict):
        raise ValueError("no value of this protocol")
    kind, body = next(iter(obj.items()), ("", None))
    if kind in ("dict", "set", "frozenset") and len(_is(body, list)) > MOST_KEYS:
        raise ValueError(f"more than {MOST_KEYS} keys")
    if kind == "int":
        return int(_is(body, str))
    if kind in ("opaque", "blank"):
        return Opaque() if kind == "opaque" else ...
    if kind == "complex":
        real, imag = (_is(part, float) for part in _is(body, list))
        return complex(real, imag)
    if kind == "array":
        return _numbers(obj)
    if kind == "texts":
        return _texts([decode(item, depth - 1, end) for item in _is(body, list)], _shape(obj))
    if kind == "dict":  # the time is looked at before each key is put in
        return {decode(key, depth - 1, end): decode(item, depth - 1, end) for key, item in map(_pair, _is(body, list))}
    if kind in (kinds := {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}):
        return kinds[kind](decode(item, depth - 1, end) for item in _is(body, list))
    raise ValueError("no value of this protocol")


def _is(body: Any, kind: type) -> Any:
    if not isinstance(body, kind):
        raise ValueError("no value of this protocol")
    return body


def _pair(item: Any) -> tuple[Any, Any]:
    key, value = _is(item, list)
    return key, value


def _shape(obj: dict) -> tuple[int, ...]:
    shape = tuple(_is(obj.get("shape"), list))
    if len(shape) > 32 or any(type(n) is not int or not 0 <= n < 2**40 for n in shape):
        raise ValueError("an array's shape: expected up to 32 whole numbers")
    return shape


def _numbers(obj: dict) -> Any:
    name, shape = _is(obj.get("dtype"), str), _shape(obj)
    if len(name) > 4 or name[:1] not in "<|" or name[1:2] not in "biufc" or not name[2:].isdecimal():
        raise ValueError("an array's dtype: expected numbers")
    dtype, data = np.dtype(name), base64.b64decode(_is(obj["array"], str), validate=True)
    if len(data) != dtype.itemsize * math.prod(shape):
        raise ValueError("an array's bytes do not fill its shape")
    array = np.frombuffer(data, dtype).reshape(shape).copy()
    return array[()] if obj.get("scalar") is True and not shape else array


def _texts(items: list, shape: tuple[int, ...]) -> np.ndarray:
    kind = str if items and all(isinstance(item, str) for item in items) else object
    if kind is str and len(items) * max(map(len, items)) > MOST_LETTERS:
        raise ValueError("an array of texts: expected shorter ones")
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array.astype(kind).reshape(shape)


# ---------------------------------------------------------------- messages
def send(line: socket.socket, message: dict) -> None:
    """One message: its length in 8 bytes, then JSON."""
    data = json.dumps(message).encode()
    line.sendall(struct.pack("!Q", len(data)) + data)


def receive(line: socket.socket, seconds: float | None = None, most: int = 1 << 62) -> dict:
    """The next message.

    Raises
    ------
    BrokenWire
        If the other side is gone, says something else than a message, more than `most` bytes, or nothing in time.
    """
    end = None if seconds is None else time.monotonic() + seconds
    (length,) = struct.unpack("!Q", _exactly(line, 8, end))
    if length > most:
        raise BrokenWire("too large")
    try:
        message = json.loads(_exactly(line, length, end))
    except (ValueError, RecursionError):
        raise BrokenWire("no JSON") from None
    if not isinstance(message, dict):
        raise BrokenWire("no message")
    return message


def _exactly(line: socket.socket, n: int, end: float | None) -> bytes:
    got = bytearray()
    while len(got) < n:
        if end is not None:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            line.settimeout(left)
        piece = line.recv(min(n - len(got), 1 << 16))
        if not piece:
            raise BrokenWire("closed")
        got += piece
    return bytes(got)
