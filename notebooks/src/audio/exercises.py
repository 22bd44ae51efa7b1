"""Where a tone folds to, log-mel from a spectrum, the length of a frame, and a challenge; log-mel as a module is for PyTorch."""

import math

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.exercise import (
    Array,
    Drawn,
    between,
    challenge,
    context,
    edit,
    example,
    exercise,
    in_turn,
    lesson,
    paragraph,
    part,
    right,
    says,
)

lesson(
    "audio",
    promise="Where a tone lands, log-mel frames from a spectrum, whether one frame can see it all, and log-mel as a module.",
    uses="NumPy; the last one PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn

from mmcourse import plot
from mmcourse.check import check
""",
)

FOLD_ONCE = "rate - rest if rest > rate / 2 else rest"
RATES = [8000, 16_000, 11_025, 22_050, 44_100]


# ---------------------------------------------------------------- 1
def heard(hz, rate):
    """Frequency in Hz, 0 to rate / 2, at which a tone of hz is heard."""
    rest = hz % rate
    return min(rest, rate - rest)


def draw_tone(g, low, high):
    """A tone between `low` and `high` times the rate."""
    rate = RATES[g.integers(len(RATES))]
    return round(float(g.uniform(low, high)) * rate, 1), rate


def draw_turning_point(g, halves):
    """A tone at a whole number of half rates, where the heard one turns round."""
    rate = RATES[g.integers(len(RATES))]
    return halves * rate / 2, rate


folding = exercise(
    "audio.1",
    heard,
    title="Where does the tone land?",
    points=1,
    difficulty=1,
    minutes=8,
    statement=[
        context("A tone of `hz` is sampled `rate` times a second,"),
        says("with no filter in front.", mistake="You let tones above rate / 2 vanish"),
        says("Which frequency do you hear, between 0 and `rate / 2`?", mistake="may still lie above rate / 2"),
        paragraph(),
        context("**Example.** `rate` is 8,000, so the mirror stands at 4,000 Hz. A tone of 3,000 Hz stays."),
        says("One of 5,000 Hz is heard at 3,000.", mistake="You wrapped at rate / 2"),
        context("At 8,000 Hz every sample falls on the same point of the wave: 0 Hz."),
        says("At 9,000 Hz you hear 1,000, and so on: the pattern repeats for ever.", mistake="but not beyond"),
        example("""
n = np.arange(4000)
for hz in (3_000, 5_000):
    plot.audio(0.2 * np.cos(2 * np.pi * hz * n / 8_000), 8_000, label=f"{hz:,} Hz, 8,000 samples a second")
"""),
        says("**Write** `heard(hz, rate)` for one tone.", mistake="You return the tone as it was"),
        says("Return one number in Hz.", ignored="return min(rest, rate - rest) / rate"),
        says("Tones may lie far above the rate.", mistake="Right for tones up to one and a half rates"),
    ],
    hints=[
        "Walk upwards from 0 Hz: the heard tone climbs to `rate / 2`, falls back to 0 at `rate`, climbs again. How far is "
        "`hz` from the nearest place where it is 0?",
        "First take whole rates away: `rest = hz % rate`. If `rest` is above `rate / 2`, the answer is `rate - rest`.",
    ],
    draw=draw_tone,
    parts=[
        part(
            "tones by hand",
            public_only=True,
            inputs=[  # the first two tell most mistakes from one another
                *((hz, 8000) for hz in (29_500, 9000, 5000, 3000, 8000, 4000)),
                (37_250, 11_025),
                (8000, 11_025),
                (0, 16_000),
                (100_001, 16_000),
            ],
        ),
        part("below half the rate", low=0.01, high=0.49),
        part("up to the rate", low=0.51, high=0.99),
        part("above the rate", weight=2, low=1, high=1.5),
        part("far above the rate", weight=2, low=1.5, high=12),
        part("where the pattern turns", draw=draw_turning_point, halves=in_turn(0, 1, 2, 3, 7)),
    ],
    own=lambda g: (int(g.integers(4100, 40_000)), RATES[g.integers(len(RATES))]),
    own_says="A tone of your own, and the rate",
    atol=1e-3,
    mistakes={
        "You return the tone as it was. Above half the rate its samples are those of a lower tone: fold it back.": (
            "return hz"
        ),
        "You took whole rates away, but what is left may still lie above rate / 2. There it is mirrored: rate - rest.": (
            "return rest"
        ),
        "You wrapped at rate / 2, as if the tone started again from 0 there. It is a mirror: it comes back *down*.": [
            "return hz % (rate / 2)",
            "return hz % (rate / 2) if hz > rate / 2 else hz",
        ],
        "You took the rate away only once. Tones may lie many rates above: take all of them away, `hz % rate`.": (
            edit("rest = hz % rate", "rest = hz - rate if hz > rate else hz", "min(rest, rate - rest)", FOLD_ONCE)
        ),
        "A frequency below 0 is the same tone from the other side: what is heard is its absolute value.": [
            "return rest if rest <= rate / 2 else rest - rate",
            "return hz - rate * round(hz / rate)",
            "return hz - rate * math.floor(hz / rate + 0.5)",
        ],
        "You stopped at rate / 2. Tones above it do not stay there: without a filter they fold back.": [
            "return min(hz, rate / 2)",
            "return min(rest, rate / 2)",
        ],
        "Right for tones up to the rate, but not beyond: it repeats. Take whole rates away first, `hz % rate`.": (
            "return rate - hz if hz > rate / 2 else hz"
        ),
        "Right for tones up to one and a half rates. The pattern repeats: take whole rates away first, `hz % rate`.": (
            "return abs(rate - hz) if hz > rate / 2 else hz"
        ),
        "You let tones above rate / 2 vanish. A filter does that; here there is none, so they fold back.": (
            "return 0 if hz > rate / 2 else hz"
        ),
        "A tone exactly at half the rate is heard there, as the highest of all. Yours is silent.": (
            "return 0 if rest == rate / 2 else min(rest, rate - rest)"
        ),
        "That is the larger of `rest` and `rate - rest`. The heard tone is the smaller one, at most rate / 2.": (
            "return max(rest, rate - rest)"
        ),
        "You mirror every tone. Below half the rate what is left stays as it is; only above it is it rate - rest.": (
            "return rate - rest"
        ),
        "You put the mirror at the rate. It stands at half the rate, since a wave needs two samples for each cycle.": (
            "return abs((hz + rate) % (2 * rate) - rate)"
        ),
        "You cut half the rate to whole hertz. Half of 11,025 is 5,512.5: divide with `/`, not `//`.": [
            "return rate // 2 - abs(rest - rate // 2)",
            edit("rest = hz % rate", "rest = hz % (rate // 2 * 2)", "rate - rest", "rate // 2 * 2 - rest"),
        ],
    },
    praise="Every tone has a home between 0 and half the rate, wanted or not.",
)


@right(folding)
def to_the_nearest_multiple(hz, rate):
    return abs(hz - rate * round(hz / rate))


@right(folding)
def by_the_samples(hz, rate):
    return abs(np.angle(np.exp(2j * np.pi * hz / rate))) * rate / (2 * np.pi)


# ---------------------------------------------------------------- 2
def log_mel(spectrum, bank):
    """spectrum: complex (t, bins); bank: (n_mels, bins) → dB (t, n_mels)."""
    power = np.abs(spectrum) ** 2
    bands = power @ bank.T  # (t, bins) @ (bins, n_mels)
    level = 10 * np.log10(np.maximum(bands, 1e-10))
    floor = level.max() - 80
    return np.maximum(level, floor)


def draw_clip(g, t, bins, n_mels, quiet, gain=1.0):
    """A spectrum whose frames fall from loud to `quiet`, so that the floor matters, and a bank of triangles."""
    spectrum = g.normal(size=(t, bins)) + 1j * g.normal(size=(t, bins))
    return gain * spectrum * np.geomspace(10, quiet, t)[:, None], g.uniform(0, 1, (n_mels, bins))


def draw_silence(g, t):
    return np.zeros((t, 6), complex), g.random((3, 6))


def draw_own_frame(g):
    return g.integers(1, 30, (1, 2)) + 1j * g.integers(1, 30, (1, 2)), np.array([[1, 0.5]])


mel = exercise(
    "audio.2",
    log_mel,
    title="From a spectrum to log-mel",
    points=2,
    difficulty=2,
    minutes=10,
    statement=[
        context(
            "An STFT has been computed for you: `spectrum` is complex, `(t, bins)`, one row per frame. `bank` holds the "
            "mel triangles, `(n_mels, bins)`. What is left: power, mel bands, decibels, and a floor."
        ),
        says("- **power**: the squared magnitude of each entry;", mistake="Bands hold power"),
        says(
            "- **bands**: each triangle adds up the power under it, with its weights;", mistake="decibels of each bin"
        ),
        says(r"- **decibels**: $10 \log_{10}$,", mistake="That is the natural logarithm"),
        says("after lifting anything below $10^{-10}$ to $10^{-10}$", mistake="You lift nothing"),
        says("(not adding it);", mistake="You added 1e-10"),
        says("- **floor**: nothing may lie more than 80 dB below the loudest value", mistake="the floor is missing"),
        says("of the whole clip.", mistake="each frame's own loudest"),
        paragraph(),
        context(
            "**Example.** One frame with the two bins $3+4i$ and $2$, and one triangle with the weights 1 and 0.5."
        ),
        example("""
power = np.array([abs(3 + 4j) ** 2, abs(2) ** 2])
band_power = 1 * power[0] + 0.5 * power[1]
print("power", power, "· band", band_power, "· level", (10 * np.log10(band_power)).round(2), "dB")
"""),
        says("**Write** `log_mel(spectrum, bank)`.", mistake="You shifted the loudest value"),
        says("Return decibels of shape `(t, n_mels)`.", mistake="Here one row is one frame"),
    ],
    hints=[
        "`np.abs` of a complex array gives magnitudes. `@` adds products up; `bank` has to be turned so that bins meet "
        "bins.",
        "`level = 10 * np.log10(np.maximum(bands, 1e-10))`. The floor is one more `np.maximum`, against "
        "`level.max() - 80`.",
    ],
    draw=draw_clip,
    parts=[
        part(
            "clips by hand",
            public_only=True,
            inputs=[
                (
                    np.array([[3 + 4j, 2 + 0j, 1 - 1j], [0.5j, 1 + 1j, 2 - 1j]]),
                    np.array([[1, 0.5, 0], [0, 0.5, 1]]),
                ),
                (
                    np.array([[1000 + 0j, 0], [0.001 + 0j, 0]]),
                    np.array([[1, 0.5], [0, 0.5]]),
                ),  # a loud and a soft frame
                (np.array([[3e-5 + 0j, 4e-5]]), np.array([[1, 0.5]])),  # so soft that adding 1e-10 is heard
            ],
        ),
        part("frames of like level", weight=2, t=between(2, 4), bins=7, n_mels=3, quiet=3.0),
        part("a single frame", t=1, bins=between(4, 8), n_mels=3, quiet=10.0),
        part("loud and soft frames", weight=2, t=between(4, 12), bins=9, n_mels=4, quiet=1e-7),
        part("almost silence", t=3, bins=between(4, 6), n_mels=2, quiet=1.0, gain=1e-6),
        part("silence", draw=draw_silence, t=between(1, 4)),
    ],
    own=draw_own_frame,
    own_says="A frame of your own, and a triangle",
    mistakes={
        "You added up magnitudes. Bands hold power: square the magnitudes first.": "power = np.abs(spectrum)",
        "You added up magnitudes and took 20 log10. The square of a sum is no sum of squares: square first.": (
            "power = np.abs(spectrum)\nlevel = 20 * np.log10(np.maximum(bands, 1e-10))"
        ),
        "You took 20 log10 of a power. The square has given the 2 already: for power it is 10 log10.": (
            "level = 20 * np.log10(np.maximum(bands, 1e-10))"
        ),
        "That is the natural logarithm. Decibels use log10.": "level = 10 * np.log(np.maximum(bands, 1e-10))",
        "These are bels. Decibels are tenths of them: multiply by 10.": "level = np.log10(np.maximum(bands, 1e-10))",
        "You used the real part only, which depends on when a wave starts. Take the magnitude, `np.abs`.": (
            "power = np.real(spectrum) ** 2"
        ),
        "You squared the complex numbers themselves. The power is the squared *magnitude*: `np.abs(spectrum) ** 2`.": (
            "power = np.real(spectrum**2)"
        ),
        "You took decibels of each bin and added those up. Add up powers; the logarithm comes after the bands.": (
            "return 10 * np.log10(np.maximum(power, 1e-10)) @ bank.T"
        ),
        "The levels are right, the floor is missing: lift what lies more than 80 dB below the loudest.": "return level",
        "Your floor follows each frame's own loudest value. There is one for the clip: `level.max()`, no axis.": (
            "floor = level.max(axis=1, keepdims=True) - 80"
        ),
        "Your floor follows each band's own loudest value. There is one for the clip: `level.max()`, no axis.": (
            "floor = level.max(axis=0) - 80"
        ),
        "You added 1e-10 to every band. Only what lies below it is lifted, the rest stays: "
        "`np.maximum(bands, 1e-10)`.": "level = 10 * np.log10(bands + 1e-10)",
        "You lift nothing: power below 1e-10 counts as 1e-10, so that silence has a finite level.": (
            "level = 10 * np.log10(bands)"
        ),
        "You lift the root of the power at 1e-10. The power itself is lifted, before the logarithm.": (
            "level = 20 * np.log10(np.maximum(np.sqrt(bands), 1e-10))"
        ),
        "Your floor is at -80 dB. It lies 80 dB below the *loudest* value of the clip.": "floor = -80",
        "You shifted the loudest value to 0 dB. Keep the levels as they are; the floor alone depends on the loudest.": (
            "return np.maximum(level, floor) - level.max()"
        ),
        "Bands run down and time to the right (Librosa's way). Here one row is one frame: transpose.": (
            "return np.maximum(level, floor).T"
        ),
    },
    praise="Power, bands, logarithm, floor: this is what speech models are given.",
)


@right(mel)
def floor_in_power(spectrum, bank):
    bands = np.maximum((spectrum.real**2 + spectrum.imag**2) @ bank.T, 1e-10)
    return 10 * np.log10(np.maximum(bands, bands.max() * 1e-8))


@right(mel)
def frame_by_frame(spectrum, bank):
    rows = [[float(np.sum(triangle * np.abs(frame) ** 2)) for triangle in bank] for frame in spectrum]
    levels = [[10 * math.log10(max(power, 1e-10)) for power in row] for row in rows]
    return np.clip(levels, np.max(levels) - 80, None)


# ---------------------------------------------------------------- 3
def choose(rate, hz_apart, ms_apart):
    """Smallest power of two that shows tones and clicks apart, or 0."""
    n_fft = 1
    while 2 * rate / n_fft > hz_apart:
        n_fft *= 2
    frame_ms = 1000 * n_fft / rate
    return n_fft if frame_ms <= ms_apart else 0


def longest_frame(rate, ms_apart):
    """The largest power of two that the clicks allow."""
    return 2 ** math.floor(math.log2(ms_apart * rate / 1000) + 1e-12)


def largest(rate, hz_apart, ms_apart):
    n_fft = longest_frame(rate, ms_apart)
    return n_fft if 2 * rate <= hz_apart * n_fft else 0


def any_length(rate, hz_apart, ms_apart):
    n_fft = math.ceil(2 * rate / hz_apart - 1e-9)
    return n_fft if 1000 * n_fft <= ms_apart * rate else 0


def nearest_power(rate, hz_apart, ms_apart):
    n_fft = 2 ** round(math.log2(2 * rate / hz_apart))
    return n_fft if 1000 * n_fft <= ms_apart * rate else 0


def draw_wishes(g, powers, exact_tones=False, exact_clicks=False):
    """Tones and clicks around some power of two; exact ones stay exact in binary numbers."""
    rates = [8000, 16_000, 32_000] if exact_tones or exact_clicks else RATES
    rate = rates[g.integers(len(rates))]
    n_fft = 2 ** int(g.integers(*powers))
    hz = 2 * rate / n_fft
    ms = 1000 * n_fft / rate
    if not exact_tones:
        hz = round(hz * float(g.uniform(1.05, 1.9)), 3)
    if not exact_clicks:
        ms = round(ms * float(g.choice([0.6, 1.02, 1.3, 2.6])), 4)
    return rate, hz, ms


frames = exercise(
    "audio.3",
    choose,
    title="Can one frame see both?",
    points=3,
    difficulty=3,
    minutes=12,
    statement=[
        context(
            "Somebody asks for frames that show two tones `hz_apart` as two, **and** two clicks `ms_apart` as two. You "
            "know from the lesson that each wish pulls the frame length the other way. With a Hann window, as a rule of "
            "thumb:"
        ),
        says(
            "- two tones show as two if they are at least **two bins** apart (a bin is `rate / n_fft` wide);",
            mistake="Exactly two bins are enough",
        ),
        says(
            "- two clicks show as two if a frame is **no longer** than the time between them.",
            mistake="As long is still allowed",
        ),
        paragraph(),
        says("`n_fft` has to be a power of two (1, 2, 4, 8, ...).", mistake="it is no power of two"),
        says(
            "Of those that fulfill both wishes take the **smallest**: it is the cheapest.",
            mistake="a shorter one does too",
        ),
        says("If none does, say so honestly with 0.", mistake="You looked at the tones only"),
        paragraph(),
        context("**Example.** At 8,000 Hz, tones 100 Hz apart and clicks 50 ms apart."),
        example("""
for n_fft in (128, 256, 512):
    print(n_fft, "two bins:", 2 * 8_000 / n_fft, "Hz · frame:", 1000 * n_fft / 8_000, "ms")
"""),
        context("128 is too coarse for the tones, 512 too long for the clicks. 256 does both."),
        says("**Write** `choose(rate, hz_apart, ms_apart)`.", mistake="You looked at the clicks only"),
        says("`hz_apart` and `ms_apart` need not be whole numbers.", mistake="You cut the wishes to whole numbers"),
        says(
            "Return one whole number, a power of two or 0.",
            ignored="return math.log2(n_fft) if frame_ms <= ms_apart else 0",
        ),
    ],
    hints=[
        "The tones ask for `n_fft` of at least something, the clicks for at most something. Find the smallest power of two "
        "that is good enough for the tones; then there is only one question left.",
        "Start with `n_fft = 1` and double it while `2 * rate / n_fft > hz_apart`. A frame lasts `1000 * n_fft / rate` "
        "milliseconds.",
    ],
    draw=draw_wishes,
    parts=[
        part(
            "wishes by hand",
            public_only=True,
            inputs=[  # a yes, a no, exactly two bins, exactly one frame: each tells other mistakes from one another
                (8000, 100, 50),
                (8000, 60, 20),
                (8000, 125, 100),
                (16_000, 125, 16),
                (16_000, 50, 30),
                (16_000, 100, 200),
                (22_050, 90, 40),
                (44_100, 20, 100),
                (44_100, 40, 60),
                (8000, 1000, 2),
                (44_100, 12, 200),
                (22_050, 45, 46),
                (8000, 2000, 1),
            ],
        ),
        part("usual wishes", weight=2, powers=(6, 12)),
        part("exactly two bins", powers=(2, 15), exact_tones=True),
        part("exactly as long as the clicks", powers=(2, 15), exact_clicks=True),
        part("very short frames", powers=(2, 4)),
        part("very long frames", powers=(13, 16)),
    ],
    own=lambda g: (RATES[g.integers(len(RATES))], int(g.integers(20, 200)), int(g.integers(5, 100))),
    own_says="Wishes of your own",
    mistakes={
        "Your list of lengths ends too early: a longer power of two does both. Double until the tones show as two.": (
            "return n_fft if frame_ms <= ms_apart and n_fft <= 4096 else 0"
        ),
        "Your list of lengths starts too late: a shorter power of two does both. Start at 1.": [
            edit("n_fft = 1\n", "n_fft = 16\n"),
            edit("n_fft = 1\n", "n_fft = 64\n"),
        ],
        "You made whole milliseconds of the frame: 46.4 ms became 46. Divide with `/`, and do not round.": [
            "frame_ms = 1000 * n_fft // rate",
            "frame_ms = round(1000 * n_fft / rate)",
        ],
        "This frame does both, but a shorter one does too. The smallest is wanted.": largest,
        "You looked at the tones only. This frame is longer than the time between clicks: no length does both, so 0.": (
            "return n_fft"
        ),
        "You looked at the clicks only: the longest frame that they allow. Ask too if two bins fit between the tones.": (
            lambda rate, hz_apart, ms_apart: longest_frame(rate, ms_apart)
        ),
        "You left one bin between the tones. A Hann window spreads each over its neighbors: two bins are needed.": (
            edit("2 * rate / n_fft >", "rate / n_fft >")
        ),
        "You took the power of two below what the tones need. Two bins fit between them from the next one on: round up.": [
            edit("2 * rate / n_fft >", "rate / n_fft >="),
            lambda rate, hz_apart, ms_apart: choose(
                rate, 2 * rate / 2 ** int(math.log2(2 * rate / hz_apart)), ms_apart
            ),
        ],
        "You rounded to the nearest power of two. One that is too short for two bins does not do: round up.": (
            nearest_power
        ),
        "You took both limits too strictly: what fits exactly is allowed, between the tones and between the clicks.": edit(
            "> hz_apart", ">= hz_apart", "<= ms_apart", "< ms_apart"
        ),
        "You asked for *more* than two bins between the tones. Exactly two bins are enough.": (
            edit("> hz_apart", ">= hz_apart")
        ),
        "You asked for frames shorter than the time between clicks. As long is still allowed.": (
            edit("<= ms_apart", "< ms_apart")
        ),
        "That length does both, but it is no power of two. Go on to the next one, and test the clicks with that.": (
            any_length
        ),
        "You cut the wishes to whole numbers. Tones may be 62.5 Hz apart, and clicks 1.5 ms: compare as they are.": [
            lambda rate, hz_apart, ms_apart: choose(rate, hz_apart, int(ms_apart)),
            lambda rate, hz_apart, ms_apart: choose(rate, max(1, int(hz_apart)), int(ms_apart)),
        ],
    },
    praise="Sharp in frequency is blunt in time. Where both cannot be had, saying so is the right answer.",
)


@right(frames)
def by_powers(rate, hz_apart, ms_apart):
    fit = [2**k for k in range(24) if 2 * rate <= hz_apart * 2**k and 1000 * 2**k <= ms_apart * rate]
    return min(fit, default=0)


@right(frames)
def by_bits(rate, hz_apart, ms_apart):
    needed = math.ceil(2 * rate / hz_apart)
    n_fft = 1 << (needed - 1).bit_length()
    return n_fft if n_fft / rate <= ms_apart / 1000 else 0


# ---------------------------------------------------------------- an open challenge
CHALLENGE_RATE, NUM_SAMPLES, NUM_TRAIN, NUM_TEST = 8000, 2400, 240, 400
AH, EE, OO = (700, 1200), (300, 2200), (330, 800)  # two resonances of the throat in Hz
WORDS = ((AH, EE), (EE, AH), (AH, OO), (OO, AH))


def say(g, number, pitch, throat, samples):
    """One invented word (samples,): a voice of this pitch glides from one vowel to another; `throat` scales both."""
    time = np.arange(samples) / samples
    glide = 1 / (1 + np.exp(-12 * (time - g.uniform(0.4, 0.6))))  # from 0 to 1
    first, then = WORDS[number]
    hz = pitch * (1 + 0.08 * g.uniform(-1, 1) * time)
    phase = 2 * np.pi * np.cumsum(hz) / CHALLENGE_RATE
    overtone = np.arange(1, int(3900 / (1.08 * pitch)) + 1)[:, None]  # (k, 1)
    level = np.zeros((len(overtone), samples))
    for start, end, width in zip(first, then, (90, 120), strict=True):
        center = throat * (start + (end - start) * glide)
        level += 1 / (1 + ((overtone * hz - center) / width) ** 2)
    wave = (level * np.sin(overtone * phase + g.uniform(0, 6, overtone.shape))).sum(axis=0)
    wave *= np.minimum(1, 12 * np.minimum(time, 1 - time))  # no clicks at the ends
    return wave / np.abs(wave).max()


def draw_words(g, n, hard):
    """Words int16 (n, 2400) and their numbers (n,): quiet ones of low voices, or hard ones with hum and hiss."""
    numbers = g.permutation(np.arange(n) % len(WORDS))
    waves = np.zeros((n, NUM_SAMPLES))
    for wave, number in zip(waves, numbers, strict=True):
        pitch = g.uniform(100, 230) if hard else g.uniform(100, 140)
        throat = g.uniform(0.9, 1.15) if hard else g.uniform(0.97, 1.03)
        samples = int(g.uniform(1300, 2300))
        start = g.integers(0, NUM_SAMPLES - samples + 1) if hard else 0
        wave[start : start + samples] = say(g, number, pitch, throat, samples)
        if hard:
            time = np.arange(NUM_SAMPLES) / CHALLENGE_RATE
            hum = sum(np.sin(2 * np.pi * 50 * k * time + g.uniform(0, 6)) / k for k in (1, 2, 3, 5))
            wave += hum * g.uniform(0.1, 0.6) + g.normal(0, 0.25, NUM_SAMPLES)
        wave *= 0.3 * g.uniform(0.5, 1) / np.abs(wave).max()
        if not hard:
            wave += g.normal(0, 1e-4, NUM_SAMPLES)
    return np.round(waves * 32767).astype(np.int16), numbers


def draw_word_challenge(g):
    """Quiet words with labels, and words with hum, hiss and other voices without."""
    train, train_labels = draw_words(g, NUM_TRAIN, hard=False)
    test, test_labels = draw_words(g, NUM_TEST, hard=True)
    return Drawn({"train": train, "train_labels": train_labels, "test": test}, test_labels)


def word_accuracy(handed_in, inputs, labels):
    """Share of the hidden labels that were predicted."""
    return np.mean(handed_in["predictions"] == labels)


challenge(
    "audio.challenge",
    title="Four words through hum and hiss",
    statement=[
        "Invented voices glide from one vowel to another: ah–ee (0), ee–ah (1), ah–oo (2), oo–ah (3); 0.3 seconds, 8,000 Hz, int16.",
        "`train` has 240 clips (240, 2400) with `train_labels`: low voices in a quiet room, each from the first sample on.",
        "`test` has 400 without labels: high and low voices with longer and shorter throats (all resonances move together),",
        "anywhere in the clip, with the hum of a mains cable (50 Hz and multiples) and hiss. Predict the labels of `test`, in any",
        "way. Trained on the clips as they are, the recognizer of the lesson reaches 0.43, and one on mean log-mel frames 0.25",
        "(chance). What can you do to the *training* clips so that they are like those of the test, and what do the features",
        "have to keep?",
    ],
    draw=draw_word_challenge,
    score=word_accuracy,
    hand_in={"predictions": Array((NUM_TEST,), "integer")},
    to_beat=0.6,
    points_by_score={0.6: 1, 0.8: 2, 0.95: 3},
    minutes=60,
    score_name="accuracy",
)


# ---------------------------------------------------------------- blanks of the lesson
def draw_blank_waves():
    g = np.random.default_rng(0)
    yield (np.array([0.5, -0.5, 0.5, -0.5]),)
    yield (np.array([1.0, -1.0]),)
    yield (g.normal(0, 0.1, 50).round(3),)
    yield (np.array([0.0, 0.2, 0.1]),)
    yield (np.zeros(4),)
    yield (np.full(5, 3e-6),)


def _level(power, factor=10, floor=1e-10):
    return factor * np.log10(np.maximum(power, floor))


@blank(
    "audio.blank.1",
    title="The level of a wave in decibels",
    inputs=draw_blank_waves,
    mistakes=[
        (
            lambda wave: _level(np.mean(wave**2), 20),
            "You took 20 log10 of a power. The square has given the 2 already: for power it is 10 log10.",
        ),
        (
            lambda wave: _level(np.sum(wave**2)),
            "You added the squares up, so longer waves are louder. Power is their *mean*.",
        ),
        (
            lambda wave: _level(np.mean(np.abs(wave))),
            "You took the mean of the absolute values. Power is the mean of the *squares*.",
        ),
        (
            lambda wave: _level(np.mean(np.abs(wave)), 20),
            "You took the mean of the absolute values. Square first, then take the mean.",
        ),
        (
            lambda wave: _level(np.sqrt(np.mean(wave**2))),
            "You took the root. That is an amplitude; 10 log10 goes with the power itself.",
        ),
        (
            lambda wave: _level(np.max(wave**2)),
            "You took the largest square only: the peak. The level is that of the mean.",
        ),
        (
            lambda wave: _level(np.mean(wave) ** 2),
            "You took the mean first, and that is near 0. Square every sample first.",
        ),
        (
            lambda wave: 10 * np.log(np.maximum(np.mean(wave**2), 1e-10)),
            "That is the natural logarithm. Decibels use log10.",
        ),
        (lambda wave: _level(np.mean(wave**2), 1), "These are bels: multiply by 10."),
        (
            lambda wave: 10 * np.log10(np.mean(wave**2) + 1e-10),
            "You added 1e-10 to the power. Only a power below it is lifted: `np.maximum(power, 1e-10)`.",
        ),
        (
            lambda wave: np.mean(_level(wave**2)),
            "You took the logarithm of each sample, and then the mean. First the mean, then one logarithm.",
        ),
        (
            lambda wave: _level(np.mean(wave**2), floor=1e-300),
            "Silence has no finite level here: let a power below 1e-10 count as 1e-10.",
        ),
    ],
    what="The level",
)
def level_db(wave):
    power = np.mean(wave**2)
    return 10 * np.log10(np.maximum(power, 1e-10))


def draw_blank_samples():
    g = np.random.default_rng(1)
    yield (np.array([0.0, 1.0, 0.0, 0.0]),)
    yield (np.array([1.0, 2.0, 3.0]),)
    for n in (8, 5, 1):
        yield (g.normal(size=n).round(2),)


def _turns(x, sign=-2, size=None):
    n = np.arange(len(x))
    return np.exp(sign * 1j * np.pi * np.outer(n, n) / (size or len(x))) @ x


@blank(
    "audio.blank.2",
    title="The discrete Fourier transform",
    inputs=draw_blank_samples,
    mistakes=[
        (
            lambda x: _turns(x, sign=2),
            "Your arrows turn the other way round: the exponent has a minus sign. (With a plus it is the way back.)",
        ),
        (lambda x: _turns(x, sign=-1), "Your arrows turn half as fast as they should: 2π is a whole circle."),
        (lambda x: _turns(x) / len(x), "You divided by N. This definition does not."),
        (lambda x: _turns(x) / np.sqrt(len(x)), "You divided by √N. This definition does not."),
        (
            lambda x: np.abs(_turns(x)),
            "These are the magnitudes. Keep the complex numbers: the direction says how far a wave is delayed.",
        ),
        (lambda x: _turns(x).real, "This is the cosine part alone. The sine part makes it complex."),
        (
            lambda x: _turns(x)[: 1 + len(x) // 2],
            "You kept the first half, as `rfft` does. Here all N bins are wanted.",
        ),
        (lambda x: _turns(x, size=8), "You turn by eighths of a circle, whatever N is: divide by len(x)."),
        (
            lambda x: np.array([np.sum(np.exp(-2j * np.pi * k * np.arange(len(x)) / len(x))) for k in range(len(x))]),
            "The samples are missing: each arrow is as long as its sample.",
        ),
    ],
    what="The transform",
)
def dft(x):
    n = np.arange(len(x))
    turns = np.exp(-2j * np.pi * np.outer(n, n) / len(x))
    return turns @ x


def draw_blank_cuts():
    for n, n_fft, hop_length in ((10, 4, 2), (11, 4, 3), (7, 3, 1), (6, 6, 2), (9, 2, 5), (8, 3, 5)):
        yield np.arange(n) * 10.0, n_fft, hop_length


def _cut(wave, n_fft, hop_length, starts):
    wave = np.concatenate([wave, np.zeros(n_fft)])
    return np.stack([wave[start : start + n_fft] for start in starts])


@blank(
    "audio.blank.3",
    title="Cutting frames",
    inputs=draw_blank_cuts,
    mistakes=[
        (
            lambda wave, n_fft, hop_length: _cut(wave, n_fft, n_fft, range(0, len(wave) - n_fft + 1, n_fft)),
            "Your frames do not overlap: the next one starts `hop_length` later, not `n_fft`.",
        ),
        (
            lambda wave, n_fft, hop_length: _cut(
                wave, n_fft, hop_length, range(0, max(len(wave) - n_fft, 1), hop_length)
            ),
            "The last frame is missing where it just fits: a frame may begin at `len(wave) - n_fft`.",
        ),
        (
            lambda wave, n_fft, hop_length: _cut(wave, n_fft, hop_length, range(0, len(wave), hop_length)),
            "You kept frames that hang over the end. Only whole frames count.",
        ),
        (
            lambda wave, n_fft, hop_length: _cut(wave, n_fft, 1, range(len(wave) - n_fft + 1)),
            "There is a frame at every sample: take one every `hop_length`.",
        ),
        (
            lambda wave, n_fft, hop_length: (
                _cut(wave, n_fft, hop_length, range(0, len(wave) - n_fft + 1, hop_length)).T
            ),
            "Time runs to the right (Librosa's way). Here one row is one frame: transpose.",
        ),
    ],
    what="The frames",
)
def cut_frames(wave, n_fft, hop_length):
    starts = range(0, len(wave) - n_fft + 1, hop_length)
    return np.stack([wave[start : start + n_fft] for start in starts])


def draw_blank_triangles():
    yield np.array([0.0, 100, 150, 200, 300, 400, 500]), 100.0, 200.0, 400.0
    yield np.arange(0, 1000, 62.5), 250.0, 300.0, 900.0
    yield np.array([50.0]), 0.0, 100.0, 200.0


@blank(
    "audio.blank.4",
    title="A mel triangle",
    inputs=draw_blank_triangles,
    mistakes=[
        (
            lambda hz, low, middle, high: np.minimum((hz - low) / (middle - low), (high - hz) / (high - middle)),
            "Outside the triangle your heights are below 0. They should be 0 there.",
        ),
        (
            lambda hz, low, middle, high: np.maximum(
                0, np.maximum((hz - low) / (middle - low), (high - hz) / (high - middle))
            ),
            "You took the higher of the two lines. The triangle lies below both: `np.minimum`.",
        ),
        (
            lambda hz, low, middle, high: np.maximum(0, (hz - low) / (middle - low)) * (hz <= middle),
            "Only the rise is there: above `middle` it falls to 0 at `high`.",
        ),
        (
            lambda hz, low, middle, high: np.maximum(0, (high - hz) / (high - middle)) * (hz >= middle),
            "Only the fall is there: below `middle` it climbs from 0 at `low`.",
        ),
        (
            lambda hz, low, middle, high: np.maximum(0, 1 - np.abs(hz - middle) / (middle - low)),
            "Your triangle is as wide above the middle as below. It ends at `high`.",
        ),
        (
            lambda hz, low, middle, high: np.maximum(0, 1 - np.abs(hz - middle) / (high - middle)),
            "Your triangle is as wide below the middle as above. It begins at `low`.",
        ),
        (
            lambda hz, low, middle, high: (
                np.maximum(0, np.minimum((hz - low) / (middle - low), (high - hz) / (high - middle)))
                / ((high - low) / 2)
            ),
            "You divided by half the width: that is Slaney's norm. This triangle is 1 at its middle.",
        ),
        (
            lambda hz, low, middle, high: ((hz >= low) & (hz <= high)) * 1.0,
            "This is a box. A triangle has its 1 in the middle and falls in straight lines.",
        ),
        (
            lambda hz, low, middle, high: np.maximum(0, np.minimum(hz - low, high - hz)),
            "These are distances in Hz. Divide each line by its own width, so that the peak is 1.",
        ),
    ],
    what="The triangle",
)
def triangle(hz, low, middle, high):
    rise = (hz - low) / (middle - low)
    fall = (high - hz) / (high - middle)
    return np.maximum(0, np.minimum(rise, fall))


def draw_blank_noises():
    g = np.random.default_rng(2)
    for n, snr_db in ((6, 0), (6, 20), (40, -5.0), (3, 10)):
        yield g.normal(0, 0.2, n).round(3), g.normal(0, 1.5, n).round(3), snr_db


def _noise(wave, noise, ratio, power=True):
    found = np.mean(wave**2) / np.mean(noise**2)
    scale = np.sqrt(found / ratio) if power else found / ratio
    return wave + scale * noise


@blank(
    "audio.blank.5",
    title="Noise at a given ratio",
    inputs=draw_blank_noises,
    mistakes=[
        (
            lambda wave, noise, snr_db: _noise(wave, noise, 10 ** (snr_db / 10), power=False),
            "You scaled the amplitude by a ratio of powers. Power grows with the square: take the root.",
        ),
        (
            lambda wave, noise, snr_db: _noise(wave, noise, 10 ** (snr_db / 20)),
            "With / 20 the ratio is one of amplitudes. Here you divide powers: 10 ** (snr_db / 10).",
        ),
        (
            lambda wave, noise, snr_db: _noise(wave, noise, 10 ** (-snr_db / 10)),
            "Your noise grows with the ratio. A high SNR means *faint* noise: check the sign.",
        ),
        (
            lambda wave, noise, snr_db: wave + noise * 10 ** (-snr_db / 20),
            "You did not look how strong wave and noise are. The ratio is that of *their* powers.",
        ),
        (
            lambda wave, noise, snr_db: _noise(wave, noise, 10 ** (snr_db / 10)) - wave,
            "This is the scaled noise alone: add it to the wave.",
        ),
        (
            lambda wave, noise, snr_db: _noise(wave, noise, max(snr_db, 0.1)),
            "Decibels are a logarithm: the ratio of powers is 10 ** (snr_db / 10).",
        ),
        (
            lambda wave, noise, snr_db: (
                wave + noise * np.mean(np.abs(wave)) / np.mean(np.abs(noise)) / 10 ** (snr_db / 20)
            ),
            "You compared mean absolute values. Power is the mean of the squares.",
        ),
    ],
    what="The noisy wave",
)
def with_noise(wave, noise, snr_db):
    wave_power = np.mean(wave**2)
    noise_power = np.mean(noise**2)
    wanted = wave_power / 10 ** (snr_db / 10)
    return wave + noise * np.sqrt(wanted / noise_power)
