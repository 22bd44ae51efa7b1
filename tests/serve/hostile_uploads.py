"""Uploads that try to break a service: bombs, liars, and what is not what it says."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import soundfile
from PIL import Image


def png(pixels: np.ndarray) -> bytes:
    """uint8 (h, w, 3) as a PNG file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def wav(wave: np.ndarray, rate: int = 16_000, format: str = "WAV", subtype: str = "PCM_16") -> bytes:
    """A sound file."""
    out = io.BytesIO()
    soundfile.write(out, wave, rate, subtype=subtype, format=format)
    return out.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of one color whose pixels would fill gigabytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + 3 * width)) for _ in range(min(height, 4000))) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def liar(width: int = 16) -> bytes:
    """A PNG that says 16 × 16 and ends in the middle of its pixels."""
    good = png(np.random.default_rng(0).integers(0, 255, (width, width, 3)).astype(np.uint8))
    return good[: len(good) // 2]


def gif(frames: int = 2000) -> bytes:
    """An animation of many frames."""
    out = io.BytesIO()
    pictures = [Image.new("P", (4, 4), k % 255) for k in range(frames)]
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:])
    return out.getvalue()


def exif_bomb() -> bytes:
    """A JPEG with many kilobytes of metadata, nested and wrong."""
    out = io.BytesIO()
    exif = b"Exif\0\0MM\0*" + struct.pack(">I", 8) + struct.pack(">H", 0xFFFF) + bytes(60_000)
    Image.new("RGB", (8, 8)).save(out, "JPEG", exif=exif)
    return out.getvalue()


def flac_liar(seconds: float = 1.0) -> bytes:
    """A FLAC whose header promises another length."""
    data = bytearray(wav(np.zeros(int(16_000 * seconds)), format="FLAC"))
    data[21:26] = bytes([data[21] & 0xF0, 0, 0, 1, 0])
    return bytes(data)


def flac_of_hours() -> bytes:
    """Silence compresses well: half an hour in some kilobytes."""
    return wav(np.zeros(16_000 * 1800, np.int16), format="FLAC")


def not_a_number() -> bytes:
    """A float WAV with NaN in it."""
    wave = np.zeros(16_000, np.float32)
    wave[100] = np.nan
    return wav(wave, subtype="FLOAT")


def wav_liar() -> bytes:
    """A WAV whose data chunk claims a gigabyte."""
    data = bytearray(wav(np.zeros(4_000)))
    data[40:44] = struct.pack("<I", 0x3FFFFF00)
    return bytes(data)


PICTURES = {  # name: (bytes, status)
    "pixel bomb": (png_bomb(60_000, 60_000), 413),
    "long side": (png_bomb(5_000, 2), 413),
    "five megapixels": (png_bomb(2_500, 2_000), 413),
    "cut short": (liar(), 422),
    "gif of many frames": (gif(), 415),
    "a script": (b"<svg onload=alert(1)>" * 10, 415),
    "nothing but a signature": (b"\x89PNG\r\n\x1a\n", 422),
    "a sound": (wav(np.zeros(4_000)), 415),
}
SOUNDS = {
    "hours of silence": (flac_of_hours(), 413),
    "flac that lies": (flac_liar(), 422),
    "not a number": (not_a_number(), 422),
    "wav that lies": (wav_liar(), 422),
    "too short": (wav(np.zeros(100)), 422),
    "16 seconds": (wav(np.zeros(16_000 * 16)), 413),
    "96 kHz": (wav(np.zeros(96_000), 96_000), 422),
    "four channels": (wav(np.zeros((16_000, 4))), 422),
    "an mp3": (b"ID3\x04" + bytes(300), 415),
}
