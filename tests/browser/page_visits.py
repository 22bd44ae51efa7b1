"""What tests of the service's pages do in a browser, again and again."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from PIL import Image

SENTENCE = "What a lovely dinner that was."


def answered(page) -> str:
    """Wait until the answer is there and has the focus; its first line."""
    page.wait_for_function("() => document.activeElement.id === 'verdict'", timeout=20_000)
    return page.locator("#verdict").inner_text()


def press(page, key: str, times: int = 1) -> None:
    for _ in range(times):
        page.keyboard.press(key)


def tab_to(page, target: str) -> None:
    """Press Tab until the element with this id has the focus, as a reader without a mouse does."""
    for _ in range(40):
        if page.evaluate("() => document.activeElement.id") == target:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never comes to #{target}")


def png(pixels: np.ndarray, mode: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, mode, **options)
    return out.getvalue()


def wav(wave: np.ndarray, rate: int = 16000, **options) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, wave, rate, format=options.pop("format", "WAV"), **options)
    return out.getvalue()


def some_face(size: tuple[int, int] = (48, 40)) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)


def give(page, field: str, data: bytes, name: str, kind: str) -> None:
    page.set_input_files(f"#{field}", {"name": name, "mimeType": kind, "buffer": data})
