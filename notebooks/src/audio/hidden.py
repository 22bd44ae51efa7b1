"""Hidden tests of lesson audio."""

import numpy as np

from mmcourse.check.lesson_audio import _clip
from mmcourse.classroom.hidden import hidden

RATES = [8000, 16_000, 11_025, 22_050, 44_100]


def _tone(g, low, high):
    """A tone between `low` and `high` times the rate."""
    rate = int(g.choice(RATES))
    return round(g.uniform(low, high) * rate, 1), rate


@hidden("audio.1")
def _(g):
    yield "below half the rate", 1, lambda: _tone(g, 0.01, 0.49)
    yield "up to the rate", 1, lambda: _tone(g, 0.51, 0.99)
    yield "above the rate", 2, lambda: _tone(g, 1, 1.5)
    yield "far above the rate", 2, lambda: _tone(g, 1.5, 12)


def _soft(g):
    """Bands near 1e-10, so that adding and lifting differ."""
    spectrum, bank = _clip(g, 3, 5, 2, 1)
    return spectrum * 1e-6, bank


@hidden("audio.2")
def _(g):
    yield "frames of like level", 2, lambda: _clip(g, g.integers(2, 5), 7, 3, 3)
    yield "a single frame", 1, lambda: _clip(g, 1, g.integers(4, 9), 3, 10)
    yield "loud and soft frames", 2, lambda: _clip(g, g.integers(4, 8), 9, 4, 1e-7)
    yield "almost silence", 1, lambda: _soft(g)
    yield "silence", 1, lambda: (np.zeros((g.integers(1, 5), 6), complex), g.random((3, 6)))


def _wishes(g, exact_tones=False, exact_clicks=False, powers=(2, 15)):
    """Tones and clicks around some power of two; exact ones stay exact in binary numbers."""
    rate = int(g.choice([8000, 16_000, 32_000])) if exact_tones or exact_clicks else int(g.choice(RATES))
    n_fft = 2 ** int(g.integers(*powers))
    hz = 2 * rate / n_fft * (1 if exact_tones else g.uniform(1.05, 1.9))
    ms = 1000 * n_fft / rate * (1 if exact_clicks else g.choice([0.6, 1.02, 1.3, 2.6]))
    return rate, hz if exact_tones else round(hz, 3), ms if exact_clicks else round(ms, 4)


@hidden("audio.3")
def _(g):
    yield "usual wishes", 2, lambda: _wishes(g, powers=(6, 12))
    yield "exactly two bins", 1, lambda: _wishes(g, exact_tones=True)
    yield "exactly as long as the clicks", 1, lambda: _wishes(g, exact_clicks=True)
    yield "very short frames", 1, lambda: _wishes(g, powers=(2, 4))
    yield "very long frames", 1, lambda: _wishes(g, powers=(13, 16))
