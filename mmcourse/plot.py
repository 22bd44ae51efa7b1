"""Figures in the course's style: one question each, direct labels, colours for every eye, and words for who cannot see them."""

from __future__ import annotations

import base64
import io
import wave as wave_file
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, AMBER, BLACK, GREY = "#56B4E9", "#E69F00", "#000000", "#777777"
COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, AMBER, BLACK)
MARKERS = "os^Dv*P"
MAX_PNG_BYTES = 60_000


def style() -> None:
    """Use the course's look for every later figure; importing this module does it once."""
    plt.style.use(Path(__file__).with_name("course.mplstyle"))


style()


# ---------------------------------------------------------------- showing
def show(fig: Figure, alt: str) -> None:
    """Display `fig` as a PNG that carries `alt` (what the figure shows, in words), and close it.

    Raises
    ------
    ValueError
        If `alt` is empty: a figure without words is closed to some readers.
    """
    alt = _words(alt, "plot.show(fig, alt=...)")
    png = to_png(fig)
    plt.close(fig)
    bundle = {"image/png": base64.b64encode(png).decode(), "text/plain": f"[figure: {alt}]"}
    _publish(bundle, {"image/png": {"alt": alt}})


def to_png(fig: Figure) -> bytes:
    """The figure as PNG bytes without dates or versions; busy pictures are kept small by 256 colours."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", metadata={"Software": None})
    if buffer.tell() <= MAX_PNG_BYTES:
        return buffer.getvalue()
    from PIL import Image

    small = io.BytesIO()
    Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return small.getvalue()


def _words(text: str, where: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{where} needs words: say in a sentence what is to be seen or heard; got {text!r}")
    return " ".join(text.split())


def _publish(bundle: dict[str, str], metadata: dict | None = None) -> None:
    """Send to the notebook (or terminal IPython); in plain Python print the text alone."""
    from IPython import get_ipython
    from IPython.display import publish_display_data

    if get_ipython() is None:
        print(bundle["text/plain"])
    else:
        publish_display_data(bundle, metadata or {})
