"""What may come in, checked before it is decoded: bytes, depth, kind, pixels, seconds, characters.

The order matters. A file's first bytes say what it is, whatever its name says; its header says how large it will be;
only then is it decoded, by the course's own loaders, which do not believe the header either.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from mmcourse.serve.problems import Problem

__all__ = [
    "LIMITS",
    "MESSAGE",
    "MODALITIES",
    "QUESTION",
    "Limits",
    "decode",
    "decode_question",
    "parse_json",
    "read_body",
    "sniff",
]

MODALITIES = ("words", "face", "voice")
MESSAGE = {"words": None, "face": "png_base64", "voice": "wav_base64"}  # fields of JSON; None: text
QUESTION = {"picture": "png_base64", "question": None, "voice": "wav_base64"}


@dataclass(frozen=True)
class Limits:
    """Every limit of the service in one place."""

    body_bytes: int = 2_000_000
    body_seconds: float = 5.0
    json_depth: int = 8
    picture_pixels: int = 4_000_000
    picture_side: int = 4096
    picture_scans: int = 100  # of a JPEG: each is a pass over all pixels, and an empty one takes ten bytes
    sound_seconds: float = 15.0
    sound_rates: tuple[int, int] = (8_000, 48_000)
    sound_channels: int = 2
    characters: int = 2_000
    reading: int = 128  # requests whose bodies are still coming; one more is refused
    inside: int = 64  # requests that are being decoded, computed; one more is refused
    keep_place: float = 0.05  # seconds that a place inside is kept for a body that is coming
    max_batch: int = 16
    question_characters: int = 300
    asking: int = 4  # questions about pictures: each takes as long as twenty messages
    explaining: int = 2  # requests for a map: each is 65 messages or more
    timeout: float = 5.0  # seconds, where the client names no deadline
    drain_seconds: float = 10.0


LIMITS = Limits()


# ---------------------------------------------------------------- the body
async def read_body(chunks: AsyncIterator[bytes], stated: str | None, limits: Limits = LIMITS) -> bytes:
    """The whole body, counted while it arrives: a stated length may be refused, but is never believed."""
    if stated is not None and stated.isdigit() and int(stated) > limits.body_bytes:
        raise _too_large(limits)
    pieces, length = [], 0
    async for chunk in chunks:
        length += len(chunk)
        if length > limits.body_bytes:
            raise _too_large(limits)
        pieces.append(chunk)
    return b"".join(pieces)


def _too_large(limits: Limits) -> Problem:
    return Problem("too-large", f"The body may have at most {limits.body_bytes:,} bytes.")


STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # possessive: nothing is kept to go back to
NOT_BRACKETS = re.compile(rb"[^\[\]{}]+")


def depth(data: bytes) -> int:
    """How deeply brackets are nested outside strings, without parsing."""
    deepest = now = 0
    for bracket in NOT_BRACKETS.sub(b"", STRING.sub(b"", data)):
        now += 1 if bracket in b"[{" else -1
        deepest = max(deepest, now)
    return deepest


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def parse_json(
    data: bytes, limits: Limits = LIMITS, fields: Mapping[str, str | None] = MappingProxyType(MESSAGE)
) -> dict[str, Any]:
    """{"words": str, "face": bytes, "voice": bytes}, those that are there, from the JSON form of a request.

    Parameters
    ----------
    fields : name → the key under which a file is, or None for text
    """
    opening = data.count(b"[") + data.count(b"{")  # few brackets cannot be nested deeply: most need no closer look
    if opening > limits.json_depth and depth(data) > limits.json_depth:
        raise Problem("bad-request", f"JSON may be nested at most {limits.json_depth} deep.")
    try:
        found = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Problem("bad-request", "The body is not JSON in UTF-8.") from None
    if not isinstance(found, dict):
        raise Problem("invalid-input", f"Expected a JSON object with {', '.join(fields)}.")
    if unknown := sorted(set(found) - set(fields)):
        name = unknown[0][:40]  # it may hold what no answer can be written with, such as half a surrogate pair
        field = name if name.isascii() and name.isprintable() else None
        raise Problem("invalid-input", f"Unknown field; known are {', '.join(fields)}.", field)
    raw: dict[str, Any] = {}
    for name, key in fields.items():
        value = found.get(name)
        if value is None:
            continue
        if key is None:
            raw[name] = value
        elif not isinstance(value, dict) or set(value) != {key} or not isinstance(value[key], str):
            raise Problem("invalid-input", f'Expected {{"{key}": "…"}} or null.', name)
        else:
            try:
                raw[name] = base64.b64decode(value[key], validate=True)
            except (binascii.Error, ValueError):
                raise Problem("invalid-input", f"{key} is not base64.", f"{name}.{key}") from None
    return raw


# ---------------------------------------------------------------- what the bytes are
def sniff(data: bytes) -> str:
    """ "png", "jpeg", "webp", "wav", "flac" or "": by the first bytes, not by a name or a header of the request."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    return "flac" if data.startswith(b"fLaC") else ""


def decode(raw: dict[str, Any], limits: Limits = LIMITS) -> dict[str, Any]:
    """{"words": str, "face": uint8 (h, w, 3), "voice": float32 (n,) at 16 kHz}, those that are there.

    Raises
    ------
    Problem
        Nothing is there, or something cannot be used; it names the field.
    """
    there = {name: value for name, value in raw.items() if not (value is None or value in ("", b""))}
    if not there:
        raise Problem("invalid-input", f"Send at least one of {', '.join(MODALITIES)}.")
    found: dict[str, Any] = {}
    decoders: dict[str, Callable[[Any, Limits], Any]] = {"words": _words, "face": _face, "voice": _voice}
    for name, value in there.items():
        found[name] = decoders[name](value, limits)
    return found


def decode_question(raw: dict[str, Any], limits: Limits = LIMITS) -> dict[str, Any]:
    """{"picture": uint8 (h, w, 3), "question": str} or, spoken, {"picture", "voice": float32 (n,) at 16 kHz}.

    Raises
    ------
    Problem
        No picture, not one question, or something that cannot be used; it names the field.
    """
    there = {name: value for name, value in raw.items() if not (value is None or value in ("", b""))}
    if "picture" not in there:
        raise Problem("invalid-input", "Send a picture.", "picture")
    if ("question" in there) == ("voice" in there):
        raise Problem("invalid-input", "Send a question, either written or spoken.", "question")
    found: dict[str, Any] = {"picture": _face(there["picture"], limits, "picture")}
    if "voice" in there:
        return found | {"voice": _voice(there["voice"], limits)}
    return found | {"question": _question(there["question"], limits)}


def _question(value: Any, limits: Limits) -> str:
    if not isinstance(value, str):
        raise Problem("invalid-input", "Expected text.", "question")
    if len(value) > limits.question_characters:
        raise Problem("too-large", f"At most {limits.question_characters:,} characters.", "question")
    text = " ".join(value.split())
    if not text or not text.isprintable():  # such as half a surrogate pair, which no answer could quote
        raise Problem("invalid-input", "Expected a question.", "question")
    return text


def _words(value: Any, limits: Limits) -> str:
    if not isinstance(value, str):
        raise Problem("invalid-input", "Expected text.", "words")
    if len(value) > limits.characters:
        raise Problem("too-large", f"At most {limits.characters:,} characters.", "words")
    from mmcourse.datasets.mood import words as mood_words

    if not mood_words.tokenize(value):
        raise Problem("invalid-input", "Expected a sentence with at least one English word.", "words")
    return value


def _face(data: bytes, limits: Limits, name: str = "face") -> np.ndarray:
    if sniff(data) not in ("png", "jpeg", "webp"):
        raise Problem("unsupported-type", "Expected a picture: PNG, JPEG or WebP.", name)
    from PIL import Image

    from mmcourse.preprocess import image
    from mmcourse.preprocess.errors import InputError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow only warns where we refuse
            with Image.open(io.BytesIO(data)) as opened:  # reads the header only
                width, height = opened.size
    except Image.DecompressionBombError:
        width = height = limits.picture_side + 1
    except Exception:  # Pillow raises some twenty kinds on damaged files
        raise Problem("invalid-input", "The picture is damaged.", name) from None
    if max(width, height) > limits.picture_side or width * height > limits.picture_pixels:
        told = f"At most {limits.picture_pixels // 10**6} megapixels and {limits.picture_side} pixels a side."
        raise Problem("too-large", told, name)
    if sniff(data) == "jpeg" and data.count(b"\xff\xda") > limits.picture_scans:
        raise Problem("invalid-input", f"A JPEG may have at most {limits.picture_scans} scans.", name)
    try:
        return image.read(data, max_pixels=limits.picture_pixels)
    except InputError:
        raise Problem("invalid-input", "The picture is damaged.", name) from None


def _voice(data: bytes, limits: Limits) -> np.ndarray:
    if sniff(data) not in ("wav", "flac"):
        raise Problem("unsupported-type", "Expected a sound: WAV or FLAC.", "voice")
    import soundfile

    from mmcourse.preprocess import audio
    from mmcourse.preprocess.errors import InputError

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as opened:  # reads the header only
            rate, channels, frames = opened.samplerate, opened.channels, opened.frames
    except Exception:
        raise Problem("invalid-input", "The sound is damaged.", "voice") from None
    low, high = limits.sound_rates
    if not low <= rate <= high or channels > limits.sound_channels:
        told = f"Expected {low // 1000} to {high // 1000} kHz and at most {limits.sound_channels} channels."
        raise Problem("invalid-input", told, "voice")
    if frames > limits.sound_seconds * rate:
        raise Problem("too-large", f"At most {limits.sound_seconds:.0f} seconds of sound.", "voice")
    try:
        wave, _ = audio.read(data, sample_rate=16_000, max_seconds=limits.sound_seconds)  # counts for itself
    except InputError as error:
        if "more than" in error.problem and " s long" in error.problem:
            raise Problem("too-large", f"At most {limits.sound_seconds:.0f} seconds of sound.", "voice") from None
        raise Problem("invalid-input", "The sound is damaged.", "voice") from None
    if len(wave) < 1_600:
        raise Problem("invalid-input", "Expected at least 0.1 seconds of sound.", "voice")
    return wave
