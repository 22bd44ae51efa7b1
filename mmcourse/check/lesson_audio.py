"""Checks of lesson audio: where a tone folds to, log-mel from a spectrum, and the length of a frame."""

from __future__ import annotations

import math

import numpy as np

from mmcourse.check import agree, exercise, rng


# ---------------------------------------------------------------- audio.1
def heard(hz: float, rate: float) -> float:
    """Frequency between 0 and rate / 2 that has the same samples as a tone of `hz`."""
    rest = hz % rate
    return min(rest, rate - rest)


_FOLD_MISTAKES = [
    (
        lambda hz, rate: hz,
        "You return the tone as it was. Above half the rate its samples are those of a lower tone: fold it back.",
    ),
    (
        lambda hz, rate: hz % rate,
        "You took whole rates away, but what is left may still lie above rate / 2. There it is mirrored: rate - rest.",
    ),
    (
        lambda hz, rate: hz % (rate / 2),
        "You wrapped at rate / 2, as if the tone started again from 0 there. It is a mirror: it comes back *down*.",
    ),
    (
        lambda hz, rate: min(hz, rate / 2),
        "You stopped at rate / 2. Tones above it do not stay there: without a filter they fold back.",
    ),
    (
        lambda hz, rate: rate - hz if hz > rate / 2 else hz,
        "Right for tones up to the rate, but not beyond: it repeats. Take whole rates away first, `hz % rate`.",
    ),
    (
        lambda hz, rate: abs(rate - hz) if hz > rate / 2 else hz,
        "Right for tones up to one and a half rates. The pattern repeats: take whole rates away first, `hz % rate`.",
    ),
    (
        lambda hz, rate: 0 if hz > rate / 2 else hz,
        "You let tones above rate / 2 vanish. A filter does that; here there is none, so they fold back.",
    ),
    (
        lambda hz, rate: abs((hz + rate) % (2 * rate) - rate),
        "You put the mirror at the rate. It stands at half the rate, since a wave needs two samples for each cycle.",
    ),
    (
        lambda hz, rate: rate // 2 - abs(hz % rate - rate // 2),
        "You cut half the rate to whole hertz. Half of 11,025 is 5,512.5: divide with `/`, not `//`.",
    ),
]


@exercise("audio.1", title="Where does the tone land?", points=1, difficulty=1, minutes=8)
def check_heard(answer):
    g = rng("03.1")
    # The first two tell most mistakes from one another.
    inputs = [(29_500, 8000), (9000, 8000), (5000, 8000), (3000, 8000), (8000, 8000), (4000, 8000)]
    inputs += [(37_250, 11_025), (8000, 11_025), (0, 16_000), (100_001, 16_000)]
    inputs += [(round(g.uniform(0, 60_000), 1), 16_000.0) for _ in range(6)]
    agree(answer, heard, inputs, mistakes=_FOLD_MISTAKES, atol=1e-3)
    return "Every tone has a home between 0 and half the rate, wanted or not."


# ---------------------------------------------------------------- audio.2
def log_mel(spectrum: np.ndarray, bank: np.ndarray) -> np.ndarray:
    """Complex (t, bins) and triangles (n_mels, bins) → dB (t, n_mels), at most 80 dB below the loudest."""
    return _level(np.abs(spectrum) ** 2 @ bank.T)


def _level(bands, factor=10.0, log=np.log10, top=80.0):
    level = factor * log(np.maximum(bands, 1e-10))
    return np.maximum(level, level.max() - top)


def _per_frame(spectrum, bank):
    level = 10 * np.log10(np.maximum(np.abs(spectrum) ** 2 @ bank.T, 1e-10))
    return np.maximum(level, level.max(axis=1, keepdims=True) - 80)


def _per_band(spectrum, bank):
    level = 10 * np.log10(np.maximum(np.abs(spectrum) ** 2 @ bank.T, 1e-10))
    return np.maximum(level, level.max(axis=0) - 80)


def _added(spectrum, bank):
    level = 10 * np.log10(np.abs(spectrum) ** 2 @ bank.T + 1e-10)
    return np.maximum(level, level.max() - 80)


_LEVEL_MISTAKES = [
    (
        lambda s, b: _level(np.abs(s) @ b.T),
        "You added up magnitudes. Bands hold power: square the magnitudes first.",
    ),
    (
        lambda s, b: _level(np.abs(s) @ b.T, factor=20),
        "You added up magnitudes and took 20 log10. The square of a sum is no sum of squares: square first.",
    ),
    (
        lambda s, b: _level(np.abs(s) ** 2 @ b.T, factor=20),
        "You took 20 log10 of a power. The square has given the 2 already: for power it is 10 log10.",
    ),
    (
        lambda s, b: _level(np.abs(s) ** 2 @ b.T, log=np.log),
        "That is the natural logarithm. Decibels use log10.",
    ),
    (
        lambda s, b: _level(np.abs(s) ** 2 @ b.T, factor=1),
        "These are bels. Decibels are tenths of them: multiply by 10.",
    ),
    (
        lambda s, b: _level(np.real(s) ** 2 @ b.T),
        "You used the real part only, which depends on when a wave starts. Take the magnitude, `np.abs`.",
    ),
    (
        lambda s, b: _level(np.real(s**2) @ b.T),
        "You squared the complex numbers themselves. The power is the squared *magnitude*: `np.abs(spectrum) ** 2`.",
    ),
    (
        lambda s, b: 10 * np.log10(np.maximum(np.abs(s) ** 2, 1e-10)) @ b.T,
        "You took decibels of each bin and added those up. Add up powers; the logarithm comes after the bands.",
    ),
    (
        lambda s, b: 10 * np.log10(np.maximum(np.abs(s) ** 2 @ b.T, 1e-10)),
        "The levels are right, the floor is missing: lift what lies more than 80 dB below the loudest.",
    ),
    (
        _per_frame,
        "Your floor follows each frame's own loudest value. There is one for the clip: `level.max()`, no axis.",
    ),
    (
        _per_band,
        "Your floor follows each band's own loudest value. There is one for the clip: `level.max()`, no axis.",
    ),
    (
        _added,
        "You added 1e-10 to every band. Only what lies below it is lifted, the rest stays: `np.maximum(bands, 1e-10)`.",
    ),
    (
        lambda s, b: np.maximum(10 * np.log10(np.maximum(np.abs(s) ** 2 @ b.T, 1e-10)), -80),
        "Your floor is at -80 dB. It lies 80 dB below the *loudest* value of the clip.",
    ),
    (
        lambda s, b: _level(np.abs(s) ** 2 @ b.T) - _level(np.abs(s) ** 2 @ b.T).max(),
        "You shifted the loudest value to 0 dB. Keep the levels as they are; the floor alone depends on the loudest.",
    ),
    (
        lambda s, b: _level(np.abs(s) ** 2 @ b.T).T,
        "Bands run down and time to the right (Librosa's way). Here one row is one frame: transpose.",
    ),
]


def _clip(g: np.random.Generator, t: int, bins: int, n_mels: int, quiet: float):
    """A spectrum whose frames span a wide range of levels, so that the floor matters, and a bank."""
    spectrum = g.normal(size=(t, bins)) + 1j * g.normal(size=(t, bins))
    return spectrum * np.geomspace(10, quiet, t)[:, None], g.uniform(0, 1, (n_mels, bins))


@exercise("audio.2", title="From a spectrum to log-mel", points=2, difficulty=2, minutes=10)
def check_log_mel(answer):
    g = rng("03.2")
    small = np.array([[3 + 4j, 2 + 0j, 1 - 1j], [0.5j, 1 + 1j, 2 - 1j]]), np.array([[1, 0.5, 0], [0, 0.5, 1]])
    floors = np.array([[1000 + 0j, 0], [0.001 + 0j, 0]]), np.array([[1, 0.5], [0, 0.5]])  # a loud and a soft frame
    inputs = [small, floors, _clip(g, 5, 9, 3, 1e-7), _clip(g, 1, 5, 4, 1), _clip(g, 12, 33, 6, 1e-5)]
    inputs.append((np.array([[3e-5 + 0j, 4e-5]]), np.array([[1, 0.5]])))  # so soft that adding 1e-10 is heard
    inputs.append((np.zeros((3, 5), complex), g.uniform(0, 1, (2, 5))))  # silence is finite
    agree(answer, log_mel, inputs, mistakes=_LEVEL_MISTAKES)
    return "Power, bands, logarithm, floor: this is what speech models are given."


# ---------------------------------------------------------------- audio.3
def choose(rate: float, hz_apart: float, ms_apart: float) -> int:
    """Smallest power of two with two bins within `hz_apart` and a frame within `ms_apart`, or 0."""
    n_fft = _at_least(2 * rate / hz_apart)
    return n_fft if 1000 * n_fft <= ms_apart * rate else 0


def _at_least(n: float) -> int:
    return 2 ** max(0, math.ceil(math.log2(n) - 1e-12))


def _largest(rate, hz_apart, ms_apart):
    n_fft = 2 ** math.floor(math.log2(ms_apart * rate / 1000) + 1e-12)
    return n_fft if 2 * rate <= hz_apart * n_fft else 0


def _one_bin(rate, hz_apart, ms_apart):
    n_fft = _at_least(rate / hz_apart)
    return n_fft if 1000 * n_fft <= ms_apart * rate else 0


def _strict(rate, hz_apart, ms_apart):
    n_fft = _at_least(2 * rate / hz_apart)
    n_fft *= 2 if 2 * rate == hz_apart * n_fft else 1
    return n_fft if 1000 * n_fft <= ms_apart * rate else 0


def _strict_frame(rate, hz_apart, ms_apart):
    n_fft = _at_least(2 * rate / hz_apart)
    return n_fft if 1000 * n_fft < ms_apart * rate else 0


def _any_length(rate, hz_apart, ms_apart):
    n_fft = math.ceil(2 * rate / hz_apart - 1e-9)
    return n_fft if 1000 * n_fft <= ms_apart * rate else 0


def _listed(rate, hz_apart, ms_apart, first=1, last=2**40):
    """As with a list of lengths from `first` to `last`."""
    n_fft = max(first, _at_least(2 * rate / hz_apart))
    return n_fft if n_fft <= last and 1000 * n_fft <= ms_apart * rate else 0


def _whole_ms(rate, hz_apart, ms_apart):
    n_fft = _at_least(2 * rate / hz_apart)
    return n_fft if 1000 * n_fft // rate <= ms_apart else 0


_FRAME_MISTAKES = [
    (
        lambda rate, hz, ms: _listed(rate, hz, ms, last=4096),
        "Your list of lengths ends too early: a longer power of two does both. Double until the tones show as two.",
    ),
    (
        lambda rate, hz, ms: _listed(rate, hz, ms, first=16),
        "Your list of lengths starts too late: a shorter power of two does both. Start at 1.",
    ),
    (
        lambda rate, hz, ms: _listed(rate, hz, ms, first=64),
        "Your list of lengths starts too late: a shorter power of two does both. Start at 1.",
    ),
    (
        _whole_ms,
        "You made whole milliseconds of the frame: 46.4 ms became 46. Divide with `/`, and do not round.",
    ),
    (
        _largest,
        "This frame does both, but a shorter one does too. Asked is the smallest.",
    ),
    (
        lambda rate, hz, ms: _at_least(2 * rate / hz),
        "You looked at the tones only. This frame is longer than the time between clicks: no length does both, so 0.",
    ),
    (
        lambda rate, hz, ms: 2 ** math.floor(math.log2(ms * rate / 1000) + 1e-12),
        "You looked at the clicks only: the longest frame that they allow. Ask too if two bins fit between the tones.",
    ),
    (
        _one_bin,
        "You left one bin between the tones. A Hann window spreads each over its neighbours: two bins are needed.",
    ),
    (
        _strict,
        "You asked for *more* than two bins between the tones. Exactly two bins are enough.",
    ),
    (
        _strict_frame,
        "You asked for frames shorter than the time between clicks. As long is still allowed.",
    ),
    (
        _any_length,
        "That length does both, but it is no power of two. Go on to the next one, and test the clicks with that.",
    ),
]


@exercise("audio.3", title="Can one frame see both?", points=3, difficulty=3, minutes=12)
def check_choose(answer):
    # A yes, a no, then exactly two bins and exactly one frame: each tells other mistakes from one another.
    inputs = [(8000, 100, 50), (8000, 60, 20), (8000, 125, 100), (16_000, 125, 16), (16_000, 50, 30)]
    inputs += [(16_000, 100, 200), (22_050, 90, 40), (44_100, 20, 100), (44_100, 40, 60), (8000, 1000, 2)]
    inputs += [(44_100, 12, 200), (22_050, 45, 46), (8000, 2000, 1)]
    agree(answer, choose, inputs, mistakes=_FRAME_MISTAKES)
    return "Sharp in frequency is blunt in time. Where both cannot be had, saying so is the right answer."
