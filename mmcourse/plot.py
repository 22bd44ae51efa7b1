"""Figures in the course's style: one question each, direct labels, and words for who cannot see or hear them."""

from __future__ import annotations

import base64
import io
import sys
import wave as wave_file
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, AMBER, BLACK, GRAY = "#56B4E9", "#E69F00", "#000000", "#777777"
COLORS = (BLUE, ORANGE, GREEN, PINK, SKY, AMBER, BLACK)
MAX_PNG_BYTES = 60_000
MAX_WAV_BYTES = 1_000_000


def style() -> None:
    """Use the course's look for every later figure; importing this module does it once."""
    plt.style.use(Path(__file__).with_name("course.mplstyle"))


style()


# ---------------------------------------------------------------- showing and playing
def show(fig: Figure, alt: str) -> None:
    """Display `fig` as a PNG that carries `alt` (what the figure shows, in words), and close it.

    Raises
    ------
    ValueError
        If `alt` is empty: a figure without words is closed to some readers.
    """
    alt = _words(alt, "plot.show(fig, alt=...)")
    png = base64.b64encode(to_png(fig)).decode()
    plt.close(fig)
    _publish({"image/png": png, "text/plain": f"[figure: {alt}]"}, {"image/png": {"alt": alt}})


def to_png(fig: Figure) -> bytes:
    """The figure as PNG bytes without dates or versions; busy pictures are kept small by 256 colors."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", metadata={"Software": None}, bbox_inches="tight", pad_inches=0.08)
    if buffer.tell() <= MAX_PNG_BYTES:
        return buffer.getvalue()
    from PIL import Image

    small = io.BytesIO()
    Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return small.getvalue()


def audio(wave: Any, sample_rate: int, label: str) -> None:
    """Display a player for mono `wave` (n,), float in [-1, 1], with `label` saying what is to be heard.

    Raises
    ------
    ValueError
        If the label is empty, the wave is not finite mono sound, or it is too long to keep in a notebook.
    """
    label = _words(label, "plot.audio(wave, sample_rate, label=...)")
    data = to_wav(wave, sample_rate)
    seconds = f"{np.size(wave) / sample_rate:.1f} s"
    source = f"data:audio/wav;base64,{base64.b64encode(data).decode()}"
    player = f'<audio controls preload="metadata" aria-label="{escape(label)}" src="{source}"></audio>'
    html = f"<figure><figcaption>{escape(label, quote=False)} ({seconds})</figcaption>{player}</figure>"
    _publish({"text/html": html, "text/plain": f"[sound: {label}, {seconds}]"})


def to_wav(wave: Any, sample_rate: int) -> bytes:
    """Mono `wave` (n,) as a 16-bit WAV file; louder than 1 is scaled down, never clipped."""
    wave = np.asarray(wave, dtype=np.float64)
    if wave.ndim != 1 or not wave.size or not np.isfinite(wave).all():
        raise ValueError(f"wave: expected finite mono samples of shape (n,), got shape {wave.shape}; choose one clip")
    if 2 * wave.size > MAX_WAV_BYTES:
        seconds, most = wave.size / sample_rate, MAX_WAV_BYTES / 2 / sample_rate
        raise ValueError(f"wave: {seconds:.0f} s of sound make the notebook too large; play at most {most:.0f} s of it")
    samples = np.round(wave / max(1.0, np.abs(wave).max()) * 32767).astype("<i2")
    buffer = io.BytesIO()
    with wave_file.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(int(sample_rate))
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def _words(text: str, where: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{where} needs words: say in a sentence what is to be seen or heard; got {text!r}")
    return " ".join(text.split())


def _publish(bundle: dict[str, str], metadata: dict | None = None) -> None:
    """Send to the notebook (or terminal IPython); in plain Python print the text alone."""
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        print(bundle["text/plain"])
    else:
        from IPython.display import publish_display_data

        publish_display_data(bundle, metadata or {})


def _title(fig: Figure, title: str) -> None:
    """At the figure's left edge, whatever the width of the labels below it."""
    fig.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")


# ---------------------------------------------------------------- results
def bar_with_ceiling(
    names: Sequence[str],
    accuracies: Any,
    ceilings: Any,
    errors: Any = None,
    *,
    title: str = "How close does each model come to its ceiling?",
    chance: float | None = None,
    marker: str = "ceiling",
) -> Figure:
    """A bar for each accuracy, a marker at its ceiling (None or NaN: unknown), the numbers beside them.

    `errors` are half-widths of intervals, drawn as whiskers. Accuracies lie between 0 and 1. `marker` says what the
    markers show where they are no exact ceilings.
    """
    reached = np.asarray(accuracies, dtype=float)
    ceilings = np.array([np.nan if c is None else c for c in np.broadcast_to(ceilings, reached.shape)], dtype=float)
    y = np.arange(len(reached))[::-1]
    fig, ax = plt.subplots(figsize=(7, 1.1 + 0.46 * len(reached)))
    ax.barh(y, reached, height=0.6, color=BLUE, xerr=errors, error_kw={"ecolor": "#222222", "capsize": 3})
    ax.barh(y, np.nan_to_num(ceilings - reached).clip(0), 0.6, reached, color="#DCE6EE")
    known = ~np.isnan(ceilings)
    ax.vlines(ceilings[known], y[known] - 0.38, y[known] + 0.38, color=ORANGE, linewidth=3)
    widest = np.nanmax([*reached, *ceilings[known]])
    right = max(widest, np.max(reached + (0 if errors is None else np.asarray(errors, dtype=float)))) + 0.015
    for at, value, ceiling in zip(y, reached, ceilings, strict=True):
        label = f"{value:.3f}" if np.isnan(ceiling) else f"{value:.3f} of {ceiling:.3f}"
        ax.text(right, at, label, va="center", fontsize=10)
    if chance is not None:
        ax.axvline(chance, color=GRAY, linestyle=":", linewidth=1.5)
        ax.text(chance, len(reached) - 0.45, "chance", color="#555555", ha="center", va="bottom", fontsize=9)
    ax.set(yticks=y, yticklabels=names, xlim=(0, 1), ylim=(-0.6, len(reached) - 0.4))
    ax.set_xlabel(f"accuracy (bar: reached, marker: {marker})" if known.any() else "accuracy")
    _title(fig, title)
    ax.grid(axis="y", visible=False)
    ax.grid(axis="x")
    if right > 0.84:  # leave room for the labels beyond an accuracy of 1
        ax.set_xlim(0, right + 0.2)
        ax.set_xticks(np.linspace(0, 1, 6))
    return fig


def curves(
    lines: Mapping[str, Any],
    *,
    title: str,
    x: Any = None,
    xlabel: str = "epoch",
    ylabel: str = "loss",
    log: bool = False,
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Curves by name, each labeled at its end; `levels` are named horizontal lines (chance, a ceiling).

    A curve is (n,), or (seeds, n): then its mean is drawn in a band from lowest to highest.
    """
    fig, ax = plt.subplots()
    ends = []
    for position, (name, values) in enumerate(lines.items()):
        values = np.atleast_2d(np.asarray(values, dtype=float))  # (seeds, n)
        steps = np.arange(1, values.shape[1] + 1) if x is None else np.asarray(x)[: values.shape[1]]
        color, dash = COLORS[position % 7], ("-", "--", "-.", ":")[position % 4]
        ax.plot(steps, values.mean(axis=0), color=color, linestyle=dash)
        if len(values) > 1:
            ax.fill_between(steps, values.min(axis=0), values.max(axis=0), color=color, alpha=0.15, linewidth=0)
        ends.append((values.mean(axis=0)[-1], name, color))
    for name, level in (levels or {}).items():
        ax.axhline(level, color=GRAY, linestyle=":", linewidth=1.5)
        ends.append((level, name, "#555555"))
    if log:
        ax.set_yscale("log")
    if x is None:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    _title(fig, title)
    _label_ends(ax, ends)
    return fig


def _label_ends(ax: Axes, ends: list[tuple[float, str, str]], gap: float = 0.075) -> None:
    """Names at the right edge, pushed apart upwards where their curves end close together, kept inside the figure."""
    ends = [end for end in ends if np.isfinite(end[0])]
    ax.get_ylim()  # settles the limits, which the transform below would not wait for
    to_axes = ax.transData + ax.transAxes.inverted()
    ends.sort()
    heights = [to_axes.transform((1, value))[1] for value, _, _ in ends]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + gap)
    overflow = max(0.0, heights[-1] - 1.0) if heights else 0.0
    for i in reversed(range(len(heights))):
        heights[i] = min(heights[i], 1.0 - gap * (len(heights) - 1 - i)) if overflow else heights[i]
    for height, (_, name, color) in zip(heights, ends, strict=True):
        ax.text(1.015, height, name, color=color, transform=ax.transAxes, va="center", fontsize=10.5)


def matrix(
    a: Any,
    title: str,
    row_labels: Sequence[str] | None = None,
    col_labels: Sequence[str] | None = None,
    *,
    xlabel: str = "",
    ylabel: str = "",
    form: str | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """A heat map of `a` (rows, columns) with every number written in it; `form` such as ".2f" says how."""
    a = np.asarray(a)
    if a.ndim != 2:
        raise ValueError(f"matrix: expected an array of shape (rows, columns), got {a.shape}")
    form = form or ("d" if a.dtype.kind in "iu" else "" if a.dtype.kind == "b" else ".2f")
    texts = [[format(value.item(), form) for value in row] for row in a]
    widest = max(len(text) for text in [*(text for row in texts for text in row), *(col_labels or ())])
    cell = 0.24 + 0.085 * widest
    fig, ax = plt.subplots(figsize=(min(max(1.6 + cell * a.shape[1], 3), 8), 1.1 + 0.42 * a.shape[0]))
    low, high = limits or (float(a.min()), float(a.max()))
    ax.imshow(a.astype(float), vmin=low, vmax=high, aspect="auto")
    for (i, j), value in np.ndenumerate(a.astype(float)):
        light = value < low + 0.55 * (high - low)
        ax.text(j, i, texts[i][j], ha="center", va="center", color="white" if light else "black", fontsize=10)
    _ticks(ax.set_xticks, a.shape[1], col_labels)
    _ticks(ax.set_yticks, a.shape[0], row_labels)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.grid(False)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    _title(fig, title)
    return fig


def _ticks(setter: Any, n: int, labels: Sequence[str] | None) -> None:
    setter(np.arange(n), [str(i) for i in range(n)] if labels is None else list(labels))


def confusion(counts: Any, classes: Sequence[str], *, title: str = "What is taken for what?") -> Figure:
    """A confusion matrix: counts[true, predicted]."""
    return matrix(counts, title, classes, classes, xlabel="predicted", ylabel="true")


# ---------------------------------------------------------------- raw data
def images(
    pictures: Sequence[Any],
    titles: Sequence[str] | None = None,
    *,
    title: str = "",
    columns: int | None = None,
    size: float | None = None,
) -> Figure:
    """A grid of pictures (h, w), (h, w, 1) or (h, w, 3), uint8 or float in [0, 1]; `size` is a side in inches."""
    pictures = [np.asarray(picture) for picture in pictures]
    size = size or {1: 2.8, 2: 2.4, 3: 2.2}.get(len(pictures), 1.5)
    lines = [line for caption in titles or [] for line in caption.split("\n")]
    wide = max(size, 0.08 * max(map(len, lines), default=0))  # so that neighbors' captions do not meet
    columns = columns or min(len(pictures), max(1, int(7.2 / wide)))
    rows = -(-len(pictures) // columns)
    tall = size + 0.25 * max((caption.count("\n") + 1 for caption in titles or []), default=0)
    fig, axes = plt.subplots(rows, columns, figsize=(columns * wide, rows * tall + 0.4 * bool(title)), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for position, (ax, picture) in enumerate(zip(axes.flat, pictures, strict=False)):
        picture = picture[..., 0] if picture.ndim == 3 and picture.shape[-1] == 1 else picture
        ax.imshow(picture, cmap="gray", vmin=0, vmax=255 if picture.dtype == np.uint8 else 1)
        if titles:
            ax.set_title(titles[position], fontsize=10, fontweight="normal", loc="center", pad=4)
    if title:
        _title(fig, title)
    return fig


def sound(wave: Any, sample_rate: int, *, title: str = "What does the sound look like?") -> Figure:
    """Waveform above, log-mel spectrogram below, on one time axis; `wave` is (n,) in [-1, 1]."""
    from mmcourse.preprocess.audio import log_mel

    wave = np.asarray(wave, dtype=np.float32)
    seconds = len(wave) / sample_rate
    fig, (above, below) = plt.subplots(2, 1, figsize=(7, 4), sharex=True, height_ratios=(1, 1.6))
    above.plot(np.arange(len(wave)) / sample_rate, wave, color=BLUE, linewidth=0.6)
    above.set(ylabel="amplitude", xlim=(0, seconds))
    _title(fig, title)
    mels = log_mel(wave, sample_rate, top_db=80)  # (t, n_mels)
    shown = below.imshow(mels.T, origin="lower", aspect="auto", extent=(0, seconds, 0, mels.shape[1]), cmap="cividis")
    below.set(xlabel="time in seconds", ylabel="mel band (low to high)")
    below.grid(False)
    fig.colorbar(shown, ax=below, label="level in dB", pad=0.01)
    return fig
