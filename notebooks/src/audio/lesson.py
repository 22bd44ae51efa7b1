# %% [markdown]
# # Audio
# *You turn a spoken word into the picture that many speech models are given, and compute every number in it yourself.*
#
# {{budget}}
#
# **You will be able to**
# - say which frequencies a sample rate can hold, and hear what happens to the others;
# - compute a Fourier transform by hand, and say why it needs a window;
# - build log-mel frames and MFCCs in NumPy, equal to Librosa's, and find the same transform in PyTorch and Keras;
# - read sound files as they really come, and change their sample rate without false tones;
# - measure what features and augmentation are worth on voices that were not heard in training.
#
# **Before this:** [Start here](start_here.ipynb). You need sine and cosine as curves and as functions of an angle, logarithms to the base 10, and the length of the longest side of a right triangle.
#
# **Time to read:** 110 minutes with the five blanks, best in two sittings (the second begins with section 8), then 60 for the [exercises](exercises/audio.ipynb).

# %%
import io
from time import perf_counter, process_time

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, PredefinedSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import load, mood, results
from mmcourse.datasets.avdigits.voices import SAMPLE_RATE, read_clips
from mmcourse.evaluate import expect_within, mean_and_interval
from mmcourse.preprocess import InputError, audio

# %% [markdown]
# ## 1 · A word, heard and seen

# %% [markdown]
# Record yourself saying one digit in English, *zero* to *nine*, with your phone or computer. Put the file beside this notebook (drag it into the file
# browser on the left), write its name between quotes, and run the cell. WAV, FLAC, OGG and MP3 are read. With `None`, a voice of the course speaks.

# %%
my_recording = None  # for example "seven.wav"

speech = read_clips("embedded")  # 36 synthetic voices say ten digits, four times each
unknown_voice = speech.split["speaker"] == "test"  # eight voices
if my_recording is None:
    word = speech.waves[np.flatnonzero(unknown_voice & (speech.digit == 7))[0]]
else:
    word, _ = audio.read(my_recording, sample_rate=SAMPLE_RATE, max_seconds=10)
    peak = max(np.abs(word).max(), 1e-6)
    loud = np.flatnonzero(np.abs(word) >= 0.03 * peak)
    word = word[loud[0] : loud[-1] + 1]  # without the silence around it
    word = 0.5 * word / peak  # as loud as the course's voices
    missing = max(0, SAMPLE_RATE // 5 - len(word))
    word = np.pad(word, (0, missing))  # 0.2 seconds at least
plot.audio(word, SAMPLE_RATE, label="One word")

# %%
fig = plot.sound(word, SAMPLE_RATE, title="The word as a wave, and as a picture")
alt = "Above a jagged wave, below a picture of it: time to the right, pitch upwards."
plot.show(fig, alt=alt)

# %% [markdown]
# The lower picture is called *log-mel*. Bright means loud; low tones are at the bottom. Can a computer read it? Here is a complete recognizer for ten words.
# It cuts the picture into eight equal stretches of time, takes the mean of each, and learns from 20 other voices, in a second or two.


# %%
# These numbers are explained in sections 7 and 8.
SETTINGS = {"n_fft": 256, "hop_length": 128, "n_mels": 32, "top_db": 80}


def eight_parts(frames):
    """Picture (t moments, bands) → (8, bands): mean of each eighth of the time."""
    parts = np.array_split(frames, 8)
    return np.stack([part.mean(axis=0) for part in parts])


def describe(waves):
    """Waves of any length → (number of waves, 256)."""
    rows = []
    for wave in waves:
        frames = audio.log_mel(wave, SAMPLE_RATE, **SETTINGS)
        rows.append(eight_parts(frames).ravel())
    return np.stack(rows)


def make_classifier():
    """Logistic regression: a weighted sum of numbers per digit; the largest wins."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01))


# %% tags=["hide-input"]
threadpool_limits(1)  # matrices this small are quicker on one core


def clips(chosen):
    """The waves at which `chosen`, bool (n,), is True."""
    return [speech.waves[i] for i in np.flatnonzero(chosen)]


# %%
taught = speech.split["speaker"] == "train"
recognizer = make_classifier().fit(describe(clips(taught)), speech.digit[taught])
num_taught = len(set(speech.speaker[taught]))
num_unknown = len(set(speech.speaker[unknown_voice]))
print(f"learned from {num_taught} voices; {num_unknown} others are unknown to it")
probability = recognizer.predict_proba(describe([word]))[0]  # (10,)
for digit in np.argsort(-probability)[:3]:
    print(f"{digit}  {probability[digit]:.2f}  {'█' * round(40 * probability[digit])}")

# %% [markdown]
# It never heard this voice. Try the other digits, and other voices that it never heard:


# %% tags=["hide-input"]
def show_digit(digit=3, voice=0):
    names = sorted(set(speech.speaker[unknown_voice]))
    chosen = (speech.speaker == names[voice]) & (speech.digit == digit)
    wave = speech.waves[np.flatnonzero(chosen)[0]]
    answer = recognizer.predict(describe([wave]))[0]
    plot.audio(wave, SAMPLE_RATE, label=f"Voice {voice} says {digit}; the recognizer answers {answer}")
    frames = audio.log_mel(wave, SAMPLE_RATE, **SETTINGS)
    fig, ax = plt.subplots(figsize=(4.2, 2.3))
    ax.imshow(frames.T, origin="lower", aspect="auto", extent=(0, len(wave) / SAMPLE_RATE, 0, 32))
    ax.grid(False)
    ax.set(xlabel="time in seconds", ylabel="mel band")
    plot.show(fig, alt=f"The log-mel picture of the digit {digit}, spoken by voice {voice}.")


widgets.slider(show_digit, digit=(0, 9), voice=(0, 7))

# %% [markdown]
# (The course's voices are **synthetic**: a program speaks. They are more alike than people are. What the recognizer of this lesson is worth on *real* people is
# measured in section 12. If it got your own voice wrong, you now have a guess why.)
#
# Why does it take a picture, and not the wave? And what are the numbers in the picture? This is the way from one to the other. (The lesson takes the stations in the order in which you need them: the logarithm first, then the transform.)

# %% tags=["hide-input"]
canvas = draw.Canvas()
steps = [
    ("wave", "(n,)", "gray"),
    ("frames", "(t, 256)", "blue"),
    ("spectrum", "(t, 129)", "blue"),
    ("mel bands", "(t, 32)", "orange"),
    ("decibels", "(t, 32)", "orange"),
    ("MFCC", "(t, 13)", "green"),
]
sections = [
    "cut, fade\nsections 6, 7",
    "transform\nsection 5",
    "add up\nsection 8",
    "logarithm\nsection 4",
    "cosines\nsection 9",
]
places = []
for name, shape, color in steps:
    part = draw.box(name, note=shape, color=color)
    beside = {"right_of": places[-1], "gap": 36} if places else {}
    places.append(canvas.place(part, **beside))
for before, after, verb in zip(places, places[1:], sections):
    canvas.arrow(before, after)
    canvas.text(verb, (before.right[0] + after.left[0]) / 2, 84, size=11)
draw.show(
    canvas,
    alt="Six boxes: a wave of n samples is cut into t frames of 256, transformed to 129 frequencies, added up to 32 mel "
    "bands, put into decibels, and changed to 13 MFCCs.",
)

# %% [markdown]
# ## 2 · The question

# %% [markdown]
# Three recordings. Listen to each.


# %%
def recording(digit, name):
    """First take of this digit by the voice whose name ends like this."""
    chosen = (speech.digit == digit) & np.char.endswith(speech.speaker, name)
    return speech.waves[np.flatnonzero(chosen)[0]]


a = recording(7, "+belinda")
b = recording(7, "+Andy")
c = recording(3, "+belinda")
for name, wave in {"A": a, "B": b, "C": c}.items():
    plot.audio(wave, SAMPLE_RATE, label=f"Recording {name}")

# %% [markdown]
# A and B are the same word, "seven", in two voices. A and C are one voice with two words. You heard that at once. Now look:

# %% tags=["hide-input"]
fig, axes = plt.subplots(3, 1, figsize=(7, 3.6), sharex=True, sharey=True)
for ax, wave, name in zip(axes, (a, b, c), "ABC"):
    ax.plot(np.arange(len(wave)) / SAMPLE_RATE, wave, linewidth=0.6)
    ax.set_ylabel(name, rotation=0, labelpad=10)
axes[2].set_xlabel("time in seconds (height: air pressure, -1 to 1)")
axes[0].set_title("Which two are the same word?")
plot.show(fig, alt="Three jagged waves of about half a second, A, B and C.")

# %% [markdown]
# The computer's first idea: put two waves on top of each other, sample by sample, and compute their *correlation*. It is 1 for equal waves, 0 for unrelated ones and −1 for a wave and the same upside down. (Where one wave is shifted, only the size counts.)

# %%
wave_guess = widgets.guess(
    "By its samples, which recording is most like A (correlation above 0.5)?",
    ["B, the same word", "C, the same voice", "neither"],
)


# %%
def alike(x, y):
    """Correlation of two arrays of equal shape."""
    return np.corrcoef(x.ravel(), y.ravel())[0, 1]


def best_shift(x, y):
    """Largest absolute correlation when y is shifted against x, to any place."""
    x, y = x - x.mean(), y - y.mean()
    at_each_shift = np.correlate(x, y, mode="full")
    return np.abs(at_each_shift).max() / (np.linalg.norm(x) * np.linalg.norm(y))


n = min(len(a), len(b), len(c))
print(f"A and B, same word:  {alike(a[:n], b[:n]):+.2f}", end="   ")
print(f"at the best shift {best_shift(a, b):.2f}")
print(f"A and C, same voice: {alike(a[:n], c[:n]):+.2f}", end="   ")
print(f"at the best shift {best_shift(a, c):.2f}")
wave_guess.compare("neither")

# %% [markdown]
# By their samples, these three are nearly unrelated, even where one wave is moved until it fits the other best; and then it is the other *word* that fits a little better. Your ear uses another description of the sound. You will now build that description, and in section 8
# a computer compares these three by it, and then 360 recordings.
#
# One more guess, for section 13. Recordings are few, so people change them a little and train on the changed ones as well; this is **augmentation** of sound.

# %%
change_guess = widgets.guess(
    "Test: an unknown person's clips, as recorded. Which change in training helps?",
    [
        "moved in time",
        "noise",
        "faster or slower",
        "stripes hidden",
        "none shows a gain",
    ],
)

# %% [markdown]
# ## 3 · Samples

# %% [markdown]
# Sound is air pressure that goes up and down. A microphone turns it into a voltage, and that is measured at regular moments. Each measurement is a **sample**. How many are taken per second is
# the **sample rate**, in hertz (Hz; one hertz is once per second).

# %% tags=["hide-input"]
canvas = draw.Canvas()
chain = [
    ("air pressure", "smooth, in time", "gray"),
    ("microphone", "smooth voltage", "gray"),
    ("sample", "8,000 per second", "blue"),
    ("round", "to 16 bits", "orange"),
    ("array", "(n,) −1 to 1", "green"),
]
before = None
for name, note, color in chain:
    part = draw.box(name, note=note, color=color)
    if before is None:
        place = canvas.place(part)
    else:
        place = canvas.place(part, right_of=before, gap=30)
        canvas.arrow(before, place)
    before = place
draw.show(canvas, alt="Air pressure, microphone, taking samples, rounding to 16 bits, an array of n numbers.")

# %%
print("eight samples:", a[1500:1508].round(3))
duration = len(a) / SAMPLE_RATE
print(f"{len(a):,} samples / {SAMPLE_RATE:,} per second = {duration:.2f} seconds")

# %% [markdown]
# Each sample is rounded to one of $2^{16} = 65{,}536$ levels; files store whole numbers from −32,768 to 32,767, and programs divide them by 32,768. How much rounding can you hear?


# %%
def rounded(wave, bits):
    """Each sample at the nearest of 2 ** bits levels from -1 up, 0 among them."""
    steps = 2 ** (bits - 1)
    return np.clip(np.round(wave * steps), -steps, steps - 1) / steps


for bits in (8, 4):
    plot.audio(rounded(word, bits), SAMPLE_RATE, label=f"The word with {bits} bits")

# %% [markdown]
# ### Between two samples
# What happened between two samples? It seems lost. How fast may a tone go up and down before that hurts? Here is a **sweep**: a tone that climbs from 200 Hz to 7,800 Hz in one second, with 16,000
# samples per second.

# %%
rate = 16_000
climb = np.linspace(200, 7_800, rate)  # frequency at each sample, in Hz
sweep = 0.3 * np.sin(2 * np.pi * np.cumsum(climb) / rate)
plot.audio(sweep, rate, label="A tone that climbs")

# %%
sweep_guess = widgets.guess(
    "Keep every second sample, and play 8,000 per second. What will you hear?",
    ["the same climb", "a climb, then silence", "a climb, then a fall"],
)

# %%
plot.audio(sweep[::2], rate // 2, label="The same, every second sample kept")
sweep_guess.compare("a climb, then a fall")

# %% [markdown]
# No tone in the original falls. Look at one moment: at 8,000 samples per second, compare a tone of 7,000 Hz with one of 1,000 Hz.

# %%
moments = np.arange(9) / 8_000  # when samples are taken, in seconds
high = np.cos(2 * np.pi * 7_000 * moments)
low = np.cos(2 * np.pi * 1_000 * moments)
print("7,000 Hz:", high.round(2) + 0.0)  # + 0.0 turns -0 into 0
print("1,000 Hz:", low.round(2) + 0.0)

# %% [markdown]
# Equal, at every sample. Move the slider: the thin curve is the tone, the dots are all that the computer keeps, the thick curve is the slowest tone through the same dots. You hear the dots.


# %% tags=["hide-input"]
def show_tone(hz=7_000, volume=0.2):
    rest = hz % 8_000
    heard = min(rest, 8_000 - rest)
    fine = np.linspace(0, 0.001, 600)
    fig, ax = plt.subplots(figsize=(7, 2.3))
    ax.plot(1000 * fine, np.cos(2 * np.pi * hz * fine), color=plot.SKY, linewidth=1, label=f"tone: {hz:,} Hz")
    ax.plot(1000 * fine, np.cos(2 * np.pi * heard * fine), color=plot.ORANGE, label=f"through the dots: {heard:,} Hz")
    ax.plot(1000 * moments, np.cos(2 * np.pi * hz * moments), "o", color=plot.BLACK)
    ax.set(xlabel="time in milliseconds (dots: samples)", ylabel="pressure", ylim=(-1.15, 1.15))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    alt = f"A tone of {hz:,} Hz with nine samples, and a tone of {heard:,} Hz through the same samples."
    plot.show(fig, alt=alt)
    samples = volume * np.cos(2 * np.pi * hz * np.arange(6_000) / 8_000)
    plot.audio(samples, 8_000, label=f"{hz:,} Hz, sampled 8,000 times per second")


widgets.slider(show_tone, hz=(1_000, 16_000, 1_000))

# %% [markdown]
# Below 4,000 Hz the two curves are one. Above, the tone comes back as a lower one, its **alias**, and this is called *aliasing*, as with the roof in lesson [images](images.ipynb). Half the sample rate is
# the **Nyquist frequency**. It works like a mirror: 7,000 Hz is 3,000 above 4,000, so it lands 3,000 below. From 8,000 Hz on all begins again, because whole turns between two samples are not seen: 11,000 Hz behaves like 3,000.
#
# So was what happened between two samples lost? No, and this is the surprising half of the **sampling theorem** (Shannon 1949): a wave that holds nothing at the Nyquist frequency or above is fixed *completely* by its samples. Only one such wave goes through the dots. SciPy finds it:

# %%
from scipy.signal import resample

few = np.arange(80) / 8_000  # the moments of 80 samples, 10 ms
many = np.arange(800) / 80_000  # ten times as many moments, in the same 10 ms
for tones in [(300, 1_900, 3_900), (300, 1_900, 4_100), (4_000,)]:
    seen = sum(np.sin(2 * np.pi * hz * few) for hz in tones)
    truth = sum(np.sin(2 * np.pi * hz * many) for hz in tones)
    difference = np.abs(resample(seen, 800) - truth).max()
    print(f"{tones!s:18} Hz: largest sample {np.abs(seen).max():.2f};", end=" ")
    print(f"the wave between the samples is wrong by at most {difference:.2f}")

# %% [markdown]
# With all tones below 4,000 Hz, 80 samples give the other 720 values exactly. (The theorem speaks of samples without end. Here 80 are enough because each tone fits a whole number of times into the 10 ms: SciPy takes the wave as repeated.)
#
# A tone of 4,100 Hz breaks it, and so does one of 4,000 Hz itself: this sine is 0 at every sample. *Below* half the rate, not *up to*. How to shrink a sound *without* false tones follows in section 11.

# %% [markdown]
# ## 4 · Decibels

# %% [markdown]
# How loud is a sound? Samples go up and down around 0, so their mean says nothing. Square them first: the mean square is the **power** $P$ of the wave. The powers of a whisper and of a shout
# are far apart, and the ear hears *ratios*. So one takes the logarithm. The **decibel** (dB) is ten times the logarithm of a ratio of powers:
#
# $$L = 10 \log_{10}\frac{P}{P_0} \qquad P = \frac{1}{n}\sum_i x_i^2$$
#
# $P_0$ is the power to compare with. Here it is 1, so a wave whose samples are all 1 or −1 has 0 dB and everything else is below (a sine between −1 and 1 has half that power: −3 dB).

# %%
for factor in (1, 2, 10, 100, 1000):
    in_power = 10 * np.log10(factor)
    in_amplitude = 10 * np.log10(factor**2)
    print(f"{factor:5} times the power: {in_power:5.1f} dB", end="    ")
    print(f"{factor:5} times the amplitude: {in_amplitude:5.1f} dB")

# %% [markdown]
# Twice the amplitude (height of the wave) is four times the power: 6 dB. That is why for amplitudes one writes $20\log_{10}$: the 2 of the square has come forward.
#
# **Your turn (blank 1).** Write the level of a wave in decibels. Silence has power 0, and its logarithm is minus infinity. So let a power below $10^{-10}$ count as $10^{-10}$.
# <details><summary>Hint 1</summary>
#
# Which comes first: the square, the mean, or the logarithm?
# </details>
# <details><summary>Hint 2</summary>
#
# `np.maximum(power, 1e-10)`. What is $10 \log_{10}$ of it?
# </details>


# %%
def level_db(wave):
    """Level of a wave (n,) in dB; full scale is 0, silence is -100."""
    # BEGIN SOLUTION
    power = np.mean(wave**2)
    return 10 * np.log10(np.maximum(power, 1e-10))
    # END SOLUTION


level_db = check("audio.blank.1", level_db)

# %%
for factor in (1, 0.5, 0.1):
    softer = factor * word
    plot.audio(softer, SAMPLE_RATE, label=f"The word at {level_db(softer):.0f} dB")

# %% [markdown]
# Now the rounding from section 3 can be measured. What rounding adds is an error; compare the power of the word with the power of the error:

# %%
for bits in (16, 12, 8, 4):
    error = rounded(word, bits) - word
    distance = level_db(word) - level_db(error)
    print(f"{bits:2} bits: the word is {distance:5.1f} dB above its error")

# %% [markdown]
# (The course's voices were stored with 12 bits, so more bits show no error; the line at 16 only meets the floor of −100 dB. With your own recording it differs.) From 8 bits to 4 the distance falls by about 23 dB, nearly 6 dB per bit: one bit more halves the steps. (Halving gives 6.02 dB exactly, where the error does not depend on the wave. With 4 bits it does: all soft samples become 0.)

# %% [markdown]
# ## 5 · How much of each frequency?

# %% [markdown]
# ### By hand
# Take eight samples. They hold a slow wave (1 cycle in eight samples) and half as much of a faster one (3 cycles). Pretend that you do not know that.

# %%
m = np.arange(8)
slow = np.cos(2 * np.pi * 1 * m / 8)
fast = 0.5 * np.cos(2 * np.pi * 3 * m / 8)
x = slow + fast
print(x.round(2) + 0.0)

# %% [markdown]
# To ask "is there a wave of $k$ cycles in it?", multiply by such a wave and add up. Where the two agree, the products are positive and pile up. Where they do not, they cancel.

# %%
for k in range(5):
    probe = np.cos(2 * np.pi * k * m / 8)
    print(k, "cycles:", abs((x * probe).sum().round(3)))

# %% [markdown]
# Found: 4 at one cycle, 2 at three, nothing elsewhere. (Each amount is multiplied by 4, half the number of samples. Only at 0 and at 4 cycles would it be 8, since there every product of the wave with itself is 1.) Two of these sums as a picture:

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(7.2, 2.2), sharey=True)
for ax, k in zip(axes, (1, 2)):
    product = x * np.cos(2 * np.pi * k * m / 8)
    above = product >= 0
    ax.bar(m[above], product[above], width=0.7, color=plot.BLUE)
    ax.bar(m[~above], product[~above], width=0.7, color=plot.ORANGE)
    ax.axhline(0, color=plot.GRAY, linewidth=0.8)
    total = abs(product.sum().round(3))
    ax.set_title(f"probe of {k} cycle{'s' if k > 1 else ''}: the sum is {total:g}", fontsize=10, fontweight="normal")
    ax.set(xlabel="sample")
axes[0].set_ylabel("sample × probe")
alt = "Products of samples and probe. One cycle: most bars are positive. Two cycles: positive and negative bars cancel."
plot.show(fig, alt=alt)

# %% [markdown]
# One trap is left: the wave may come late. One cycle is the angle $2\pi$, so a delay of a quarter of a cycle takes $\frac14 \cdot 2\pi$ off the angle. Ask with a cosine and with a sine:

# %%
angle = 2 * np.pi * m / 8  # of one cycle in eight samples
print("delay   cosine probe   sine probe   together")
for delay in (0, 0.1, 0.25, 0.4):  # in cycles
    late = np.cos(angle - 2 * np.pi * delay)
    with_cosine = (late * np.cos(angle)).sum()
    with_sine = (late * np.sin(angle)).sum()
    together = np.hypot(with_cosine, with_sine)
    print(f"{delay:5} {with_cosine:14.2f} {with_sine:12.2f} {together:10.2f}")

# %% [markdown]
# Delayed by a quarter, the wave is invisible to the cosine probe. So ask with both, and combine the two answers as the sides of a right triangle, $\sqrt{c^2+s^2}$. That length, the **magnitude**, is 4 at every delay.
#
# ### The turning arrow
# Both probes at once are an arrow that turns. Give each sample an arrow as long as the sample, and turn the arrow by $k/8$ of a circle from each sample to the next. (A negative sample points backwards.) Lay the arrows head to tail.
# If the wave has $k$ cycles too, the arrows agree and you walk far. If not, the walk comes back to where it began.


# %% tags=["hide-input"]
def show_walk(cycles=1, x=x):
    steps = x * np.exp(-2j * np.pi * cycles * m / 8)  # (8,), complex: right and up
    corners = np.concatenate([[0], np.cumsum(steps)])
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.9), width_ratios=(1.5, 1))
    left.axhline(0, color=plot.GRAY, linewidth=0.8)
    left.plot(m, x, "o", color=plot.BLACK)
    scale = 0.75
    for i, step in enumerate(steps):
        tip = (i + scale * step.real, scale * step.imag - 2.4)
        left.annotate("", tip, (i, -2.4), arrowprops={"arrowstyle": "-|>", "color": plot.BLUE})
    left.text(-0.6, 1.75, "samples", fontsize=9)
    left.text(-0.6, -1.05, "their arrows", fontsize=9)
    left.set(xlim=(-0.8, 8.3), ylim=(-3.9, 2.1), xlabel="sample number", yticks=[-1, 0, 1], aspect="equal")
    left.grid(False)
    for start, step in zip(corners, steps):
        if abs(step) > 1e-9:
            tip = (start.real + step.real, start.imag + step.imag)
            right.annotate(
                "",
                tip,
                (start.real, start.imag),
                arrowprops={"arrowstyle": "-|>", "color": plot.BLUE, "shrinkA": 0, "shrinkB": 0},
            )
    right.plot(0, 0, "o", color=plot.GRAY)
    right.plot(corners[-1].real, corners[-1].imag, "s", color=plot.ORANGE)
    right.set(xlim=(-1.8, 4.6), ylim=(-2.6, 2.6), aspect="equal", xlabel="the arrows, head to tail")
    right.grid(False)
    fig.suptitle(
        f"k = {cycles}: the walk ends {abs(corners[-1]):.1f} from its start", x=0.01, ha="left", fontweight="bold"
    )
    alt = f"Eight samples, their arrows turned {cycles} eighths of a circle per sample; head to tail they end "
    plot.show(fig, alt=alt + f"{abs(corners[-1]):.1f} from the start.")


widgets.slider(show_walk, cycles=(0, 7))

# %% [markdown]
# (Gray dot: the start; orange square: the end.) Try 2: a closed walk. Try 3, then 5 and 7: the arrows turn backwards, and the lengths of 3 and 1 return. The formula will say why.
#
# ### The formula
# A complex number $a + bi$ is such an arrow: $a$ to the right, $b$ upwards, length $\sqrt{a^2+b^2}$. An arrow of length 1 at the angle $-\theta$ is $e^{-i\theta} = \cos\theta - i\sin\theta$. So all walks together are the
# **discrete Fourier transform** (DFT): for each $k$, how much of a wave with $k$ cycles is in $N$ samples $x_0, \dots, x_{N-1}$:
#
# $$X_k = \sum_{n=0}^{N-1} x_n\, e^{-2\pi i k n / N} \qquad k = 0, \dots, N-1$$
#
# $X_k$ is one arrow, the whole walk; its length $|X_k|$ is the magnitude, and its direction, the **phase**, says how far the wave is delayed, up to whole cycles. $X_k$ belongs to **bin** $k$: $k$ cycles in $N$ samples, so
# a frequency of $k \cdot \text{rate} / N$ Hz. All magnitudes together are the **spectrum** of the samples.
#
# **Your turn (blank 2).** Write the transform from its definition, for any number of samples. `1j` is Python's $i$.
# <details><summary>Hint 1</summary>
#
# All products $k \cdot n$ are a table of $N \times N$ numbers. What does `np.outer(n, n)` give?
# </details>
# <details><summary>Hint 2</summary>
#
# Row $k$ and column $n$ of that table hold $k \cdot n$. What stands beside it in the exponent? And `table @ x` multiplies each row with x and adds up.
# </details>


# %%
def dft(x):
    """Samples (N,) → complex (N,)."""
    # BEGIN SOLUTION
    n = np.arange(len(x))
    turns = np.exp(-2j * np.pi * np.outer(n, n) / len(x))  # (k, n)
    return turns @ x
    # END SOLUTION


dft = check("audio.blank.2", dft)

# %%
print(np.abs(dft(x)).round(3))

# %% [markdown]
# Bins 0 to 4 are what you found by hand. Bins 5 to 7 mirror 3 to 1. Put $N-k$ for $k$ in the formula: $e^{-2\pi i (N-k)n/N} = e^{+2\pi i kn/N}$, since $e^{-2\pi i n}$ is a whole number of turns. It is the same arrow turned the other way. Samples are plain numbers without an $i$ (*real* numbers), so $X_{N-k}$ is $X_k$ mirrored top to bottom,
# with the same length: eight samples cannot tell 5 cycles from 3, which is aliasing again. Nothing new comes after bin $N/2$, and only the first $1 + N/2$ bins are kept.
#
# The **fast Fourier transform** (FFT; Cooley and Tukey 1965) gives the same numbers with far fewer multiplications: about $N \log_2 N$ in place of $N^2$. `rfft` returns only the bins that you keep.

# %% tags=["free"]
piece = a[:512].astype(float)
apart = np.abs(dft(piece) - np.fft.fft(piece)).max()
print(f"yours and NumPy's FFT: {apart:.1e} apart")
print("kept by rfft:", np.fft.rfft(piece).shape)
for N in (512, 16_384):
    print(f"N = {N:6,}: N² = {N**2:11,}    N log₂ N = {N * np.log2(N):9,.0f}")
assert apart < 1e-9

# %% [markdown]
# ## 6 · Leakage and windows

# %% [markdown]
# So far each wave fitted a whole number of times. Now let 8.5 cycles be in 64 samples.

# %%
leak_guess = widgets.guess(
    "8.5 cycles in 64 samples. Which of the 33 bins get some of it?",
    ["8 and 9", "7 to 10", "all of them"],
)

# %%
m64 = np.arange(64)
fits = np.sin(2 * np.pi * 8 * m64 / 64)
torn = np.sin(2 * np.pi * 8.5 * m64 / 64)
for name, wave in {"8 cycles": fits, "8.5 cycles": torn}.items():
    magnitude = np.abs(np.fft.rfft(wave))
    print(f"{name:10} bins 5 to 12: {magnitude[5:13].round(2)}")
    print(f"{'':10} bins with more than 0.1: {(magnitude > 0.1).sum()} of 33")
leak_guess.compare("all of them")

# %% [markdown]
# It leaks into every bin; this is **spectral leakage**. The transform acts as if the samples went on for ever, again and again. After 8.5 cycles the end meets the start with a corner:

# %% tags=["hide-input"]
hann = 0.5 - 0.5 * np.cos(2 * np.pi * m64 / 64)
fig, axes = plt.subplots(3, 1, figsize=(7, 3.6), sharex=True, sharey=True)
rows = {"8 cycles": fits, "8.5 cycles": torn, "8.5 cycles, faded": torn * hann}
for ax, (name, wave) in zip(axes, rows.items()):
    ax.plot(np.arange(64), wave, color=plot.BLUE)
    ax.plot(np.arange(64, 128), wave, color=plot.ORANGE)
    ax.plot([63, 64], [wave[-1], wave[0]], color=plot.BLACK)
    ax.axvline(63.5, color=plot.GRAY, linestyle=":")
    ax.set_ylabel(name, rotation=0, ha="right", va="center")
    ax.set_yticks([])
axes[2].plot(np.arange(64), hann, color=plot.GRAY, linestyle="--", linewidth=1)
axes[2].set_xlabel("sample (orange: the same 64 samples again, as the transform takes them)")
alt = "Three waves, each drawn twice in a row. 8 cycles go on smoothly. 8.5 cycles have a corner where the second "
plot.show(fig, alt=alt + "copy begins. Faded at both ends, they go on smoothly again; the fade is a bell shape.")

# %% [markdown]
# The cure is in the third row. A **window** is a row of weights that fades both ends. This one, the **Hann window**, falls to zero:
#
# $$w_n = \tfrac12 - \tfrac12 \cos(2\pi n / N)$$

# %%
levels = {}
print("8.5 cycles")
for name, wave in {"no window": torn, "Hann window": torn * hann}.items():
    magnitude = np.abs(np.fft.rfft(wave))
    levels[name] = 20 * np.log10(np.maximum(magnitude / magnitude.max(), 1e-6))
    near = (levels[name] > -40).sum()
    last = levels[name][32]
    print(f"{name:12} bins within 40 dB of the peak: {near:2}    bin 32: {last:.0f} dB")

eight_and_ten = np.cos(2 * np.pi * 8 * m64 / 64) + np.cos(2 * np.pi * 10 * m64 / 64 + 1)
for name, wave in {"8 cycles": fits, "8 and 10 cycles": eight_and_ten}.items():
    print(name)
    for window_name, weights in {"no window": 1, "Hann window": hann}.items():
        magnitude = np.abs(np.fft.rfft(wave * weights))
        print(f"{window_name:12} bins 6 to 12: {magnitude[6:13].round(1)}")

# %% tags=["hide-input"]
fig = plot.curves(levels, title="How far does one tone leak?", x=range(33), xlabel="bin", ylabel="dB below the peak")
plot.show(fig, alt="Without a window the level falls slowly; with a Hann window it drops steeply, far below.")

# %% [markdown]
# Far from the peak of the tone that does not fit, more than 50 dB are gained. The price is paid by tones that fit (the last lines of the output): one fell into one bin, and under the window it fills three. Two such tones two bins apart stood clear; under the window the bin between them is nearly as high as they are. (Harris 1978 compares dozens of windows by just this exchange.) Mind the $N$ in the formula: `np.hanning` divides by $N-1$, a *symmetric* window. Transforms want this
# *periodic* one, and SciPy gives it by default.

# %%
from scipy.signal import get_window

for name, theirs in {"SciPy": get_window("hann", 64), "NumPy": np.hanning(64)}.items():
    print(f"{name}'s window differs by at most {np.abs(hann - theirs).max():.3f}")

# %% [markdown]
# ## 7 · Frames: the short-time Fourier transform

# %% [markdown]
# Speech changes, so one spectrum for a whole word says little: "nine" played backwards has the same spectrum. Cut the wave into short overlapping **frames** of `n_fft` samples, one every `hop_length` samples. Fade each with a
# window, and transform it.

# %% tags=["hide-input"]
fig, (top, bottom) = plt.subplots(2, 1, figsize=(7, 3.4), sharex=True, height_ratios=(1, 1.2))
start, length, hop = 900, 256, 128
where = np.arange(start, start + 5 * hop + length)
top.plot(where, a[where], color=plot.GRAY, linewidth=0.8)
top.set(ylabel="wave", yticks=[])
for i in range(4):
    frame_at = np.arange(start + i * hop, start + i * hop + length)
    window = get_window("hann", length)
    color = [plot.BLUE, plot.ORANGE][i % 2]
    top.plot(frame_at, window * np.abs(a[where]).max(), color=color, linewidth=1, linestyle="--")
    bottom.plot(frame_at, window * a[frame_at] / np.abs(a[where]).max() - 2.2 * i, color=color, linewidth=0.8)
    bottom.text(start + i * hop + length + 8, -2.2 * i, f"frame {i}", color=color, va="center", fontsize=9)
bottom.annotate("", (start + hop, 1.3), (start, 1.3), arrowprops={"arrowstyle": "<->", "color": plot.BLACK})
bottom.text(start + hop + 6, 1.3, "hop_length", va="center", fontsize=9)
bottom.annotate("", (start + length, -8.3), (start, -8.3), arrowprops={"arrowstyle": "<->", "color": plot.BLACK})
bottom.text(start + length + 6, -8.3, "n_fft", va="center", fontsize=9)
bottom.set(xlabel="sample", yticks=[], ylim=(-9, 2))
bottom.grid(False)
alt = "A stretch of wave under four overlapping bell-shaped windows, and below it the four frames that are cut out, "
plot.show(fig, alt=alt + "each shifted by hop_length and n_fft long.")

# %% [markdown]
# This is the **short-time Fourier transform** (STFT). $t$ counts frames, $k$ bins, $w$ is the window, $N$ is `n_fft`:
#
# $$X_{t,k} = \sum_{n=0}^{N-1} w_n\, x_{t \cdot \text{hop} + n}\, e^{-2\pi i k n / N}$$
#
# **Your turn (blank 3).** Cut the frames. The first begins at sample 0, and only whole frames count.
# <details><summary>Hint 1</summary>
#
# Where may the *last* frame begin, at the latest?
# </details>
# <details><summary>Hint 2</summary>
#
# With 10 samples, `n_fft = 4` and `hop_length = 3` the starts are 0, 3 and 6. Which `range` gives them? `np.stack` makes one array of a list of frames.
# </details>


# %%
def cut_frames(wave, n_fft, hop_length):
    """Wave (n,) → frames (t, n_fft), each hop_length after the one before."""
    # BEGIN SOLUTION
    starts = range(0, len(wave) - n_fft + 1, hop_length)
    return np.stack([wave[start : start + n_fft] for start in starts])
    # END SOLUTION


cut_frames = check("audio.blank.3", cut_frames)


# %%
def stft(wave, n_fft=256, hop_length=128):
    """(n,) → complex (t, 1 + n_fft // 2)."""
    padded = np.pad(wave, n_fft // 2)  # "center": see below
    frames = cut_frames(padded, n_fft, hop_length)
    window = get_window("hann", n_fft)
    return np.fft.rfft(frames * window)


spectrum = stft(a)
print(a.shape, "→", spectrum.shape)
print(f"frames of {1000 * 256 / SAMPLE_RATE:.0f} ms", end=" ")
print(f"every {1000 * 128 / SAMPLE_RATE:.0f} ms, bins {SAMPLE_RATE / 256} Hz apart")
print("frames without the padding:", len(cut_frames(a, 256, 128)))

# %% [markdown]
# The padding line is a convention, called *center*. With it, frame $t$ has its *middle* at sample $t \cdot$ hop, and the first and last sounds get frames of their own. Without it, frame $t$ *starts* there, and there are fewer frames. If you mix the two, every label is half a frame off,
# and no error tells you.
#
# ### How long should a frame be?
# Two tones 25 Hz apart sound for one second. In the middle there are two clicks, 20 ms apart.


# %%
def tones_and_clicks(tones_apart, clicks_apart):
    """One second of two tones (Hz apart) with two clicks (ms apart): (8000,)."""
    t = np.arange(8_000) / 8_000
    low, high = 1_000, 1_000 + tones_apart
    wave = np.sin(2 * np.pi * low * t) + np.sin(2 * np.pi * high * t)
    wave[4_000] += 20
    wave[4_000 + 8 * clicks_apart] += 20  # 8 samples are one millisecond
    return wave


close = tones_and_clicks(tones_apart=25, clicks_apart=20)
plot.audio(0.04 * close, 8_000, label="Two tones and two clicks")

# %%
frame_guess = widgets.guess(
    "Which length of frames shows the tones as two, and the clicks as two?",
    ["16 ms", "32 ms", "64 ms", "128 ms", "none of these"],
)

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 4, figsize=(7.6, 2.8), sharey=True)
for ax, frame_ms in zip(axes, (16, 32, 64, 128)):
    power = np.abs(audio.stft(close, 8 * frame_ms, 16)) ** 2
    level = audio.power_to_db(power, top_db=40)
    ax.imshow(level.T, origin="lower", aspect="auto", extent=(0, 1, 0, 4_000))
    ax.set(xlim=(0.35, 0.67), ylim=(850, 1_200), xticks=[0.4, 0.5, 0.6])
    ax.set_title(f"frames of {frame_ms} ms", fontsize=10, fontweight="normal", loc="center")
    ax.grid(False)
axes[0].set_ylabel("frequency in Hz")
fig.supxlabel("time in seconds", fontsize=10)
plot.show(fig, alt="Four pictures of the same second, with frames of 16, 32, 64 and 128 ms.")


# %%
def peaks_of(row):
    """Where a row is higher than both neighbors and above a tenth of its maximum."""
    inside = row[1:-1]
    higher = (inside > row[:-2]) & (inside > row[2:])
    return np.flatnonzero(higher & (inside > 0.1 * row.max()))


def count_tones_and_clicks(wave, frame_ms):
    """Share of the frames before the clicks that show two tones; number of clicks."""
    n_fft = 8 * frame_ms
    power = np.abs(audio.stft(wave, n_fft, 8)) ** 2  # (t, bins), a frame every ms
    middle = 8 * np.arange(len(power))  # sample in the middle of each frame
    steady = (middle >= n_fft // 2) & (middle < 4_000 - n_fft // 2)
    two_tones = np.mean([len(peaks_of(row)) == 2 for row in power[steady]])
    around = (middle > 3_000) & (middle < 5_200)  # ends are steps, and crackle
    high_bins = slice(n_fft // 4, None)  # from 2,000 Hz on: clicks, no tones
    return two_tones, len(peaks_of(power[around, high_bins].sum(axis=1)))


for tones_apart, clicks_apart in [(25, 20), (60, 60)]:
    print(f"tones {tones_apart} Hz apart, clicks {clicks_apart} ms apart")
    wave = tones_and_clicks(tones_apart, clicks_apart)
    for frame_ms in (16, 32, 64, 128):
        share, clicks_seen = count_tones_and_clicks(wave, frame_ms)
        print(f"  {frame_ms:3} ms: two tones in {share:4.0%} of frames,", end=" ")
        print(f"{clicks_seen} click{'s' if clicks_seen > 1 else ''}")
frame_guess.compare("none of these")

# %% [markdown]
# In the first sound each of the four lengths loses one pair or the other: short frames show two clicks, long ones two tones; with 64 ms the clicks are one, and half of the frames show two tones. Tones and clicks further apart have a length that shows both, as the second sound does. One length fixes both: halving the smear in time doubles the smear in frequency. A frame of $T$ seconds has bins $1/T$ Hz apart,
# and under a Hann window two tones are told apart from about $2/T$ Hz on: with 64 ms from 31 Hz, with 128 ms from 16. Speech is usually cut into frames of 20 to 40 ms. See for yourself what they do to a word:


# %% tags=["hide-input"]
def show_frames(frame_ms=32):
    n_fft = SAMPLE_RATE * frame_ms // 1000
    level = audio.power_to_db(np.abs(audio.stft(word, n_fft, 16)) ** 2, top_db=60)
    fig, ax = plt.subplots(figsize=(7, 2.7))
    ax.imshow(level.T, origin="lower", aspect="auto", extent=(0, len(word) / SAMPLE_RATE, 0, SAMPLE_RATE / 2))
    ax.grid(False)
    ax.set(xlabel="time in seconds", ylabel="frequency in Hz")
    ax.set_title(f"frames of {frame_ms} ms: bins {1000 / frame_ms:g} Hz apart", fontsize=10, fontweight="normal")
    plot.show(fig, alt=f"The word as a spectrogram with frames of {frame_ms} ms.")


widgets.slider(show_frames, frame_ms=[4, 8, 16, 32, 64, 128])

# %% [markdown]
# Such a picture is a **spectrogram**: time to the right, frequency upwards, brightness for the level. With 4 ms you see single pulses of the voice as upright stripes, with 128 ms its overtones as level ones. (*Overtones* are multiples of the pitch, the lowest tone of a voice.)

# %% [markdown]
# ## 8 · The mel scale and log-mel

# %% [markdown]
# Two pairs of tones. Each pair is 200 Hz apart. Which step sounds larger?

# %%
second = np.arange(4_000) / 8_000
for first, then in ((200, 400), (3_200, 3_400)):
    pair = [0.2 * np.sin(2 * np.pi * hz * second) for hz in (first, then)]
    plot.audio(np.concatenate(pair), 8_000, label=f"{first:,} Hz, then {then:,} Hz")

# %% [markdown]
# Ears do not hear in hertz. The **mel scale** (Stevens, Volkmann and Newman 1937) was made so that equal steps sound equal. A common formula (O'Shaughnessy 1987, used by the program HTK):
#
# $$\text{mel}(f) = 2595 \log_{10}(1 + f / 700)$$


# %%
def hz_to_mel(hz):
    return 2595 * np.log10(1 + hz / 700)


def mel_to_hz(mel):
    return 700 * (10 ** (mel / 2595) - 1)


for first, then in ((200, 400), (3_200, 3_400)):
    step = hz_to_mel(then) - hz_to_mel(first)
    print(f"{first:5,} to {then:5,} Hz: {step:3.0f} mel")

# %% [markdown]
# The first step is four times the second. Now cover the frequencies with triangles that are equally wide *in mel*. Each adds up the power under it, and most of all in its middle. Many fine bins become a few **mel bands**, narrow where the ear is sharp.

# %% tags=["hide-input"]
edges = mel_to_hz(np.linspace(0, hz_to_mel(4_000), 34))
fig, (top, bottom) = plt.subplots(2, 1, figsize=(7, 3.2), sharex=True, height_ratios=(1, 1.2))
for i in range(32):
    color = [plot.BLUE, plot.ORANGE][i % 2]
    top.plot(edges[i : i + 3], [0, 1, 0], color=color, linewidth=1.2)
top.set(ylabel="weight", title="32 triangles")
bins = np.arange(129) * 31.25
for i in (7, 26):
    low, middle, high = edges[i : i + 3]
    heights = np.interp(bins, [low, middle, high], [0, 1, 0])
    bottom.plot([low, middle, high], [0, 1, 0], color=[plot.BLUE, plot.ORANGE][i % 2], linewidth=1)
    used = heights > 0
    bottom.vlines(bins[used], 0, heights[used], color=plot.BLACK, linewidth=1)
    bottom.plot(bins[used], heights[used], "o", color=plot.BLACK, markersize=4)
    bottom.text(high + 30, 0.5, f"band {i}: {used.sum()} bins", fontsize=9)
bottom.plot(bins, np.zeros(129), "|", color=plot.GRAY, markersize=5)
bottom.set(xlabel="frequency in Hz (gray marks: the bins of the transform)", ylabel="weight", xlim=(0, 4_000))
plot.show(
    fig,
    alt="Above 32 triangles, the last about six times as wide as the first. Below two of them with the bins they cover.",
)

# %% [markdown]
# **Your turn (blank 4).** Write one triangle: its height at each frequency of `hz`. It climbs in a straight line from 0 at `low` to 1 at `middle`, falls to 0 at `high`, and is 0 outside.
# <details><summary>Hint 1</summary>
#
# Which two straight lines does a triangle consist of, and which of them is the lower one at each frequency?
# </details>
# <details><summary>Hint 2</summary>
#
# The rising line is 0 at `low` and 1 at `middle`: how far is `hz` on its way from one to the other? The falling line is the same seen from `high`. `np.minimum` and `np.maximum` work on whole arrays.
# </details>


# %%
def triangle(hz, low, middle, high):
    """Heights (bins,) of a triangle from low over middle to high, all in Hz."""
    # BEGIN SOLUTION
    rise = (hz - low) / (middle - low)
    fall = (high - hz) / (high - middle)
    return np.maximum(0, np.minimum(rise, fall))
    # END SOLUTION


triangle = check("audio.blank.4", triangle)


# %%
def mel_bank(rate, n_fft, n_mels):
    """All triangles: (n_mels, 1 + n_fft // 2)."""
    highest = hz_to_mel(rate / 2)
    edges = mel_to_hz(np.linspace(0, highest, n_mels + 2))  # equal steps in mel
    hz = np.fft.rfftfreq(n_fft, 1 / rate)  # frequency of each bin
    rows = [triangle(hz, *edges[i : i + 3]) for i in range(n_mels)]
    return np.stack(rows)


bank = mel_bank(SAMPLE_RATE, n_fft=256, n_mels=32)
bins_of = (bank > 0).sum(axis=1)  # (32,)
print("bank", bank.shape, "· first band", bins_of[0], "bins, last", bins_of[-1])

# %% [markdown]
# The last step is the logarithm of section 4. A floor keeps silence finite: nothing lies more than 80 dB below the loudest value of the clip. The result is called **log-mel**.


# %%
def log_mel(wave):
    """(n,) → dB (t, 32)."""
    power = np.abs(stft(wave)) ** 2  # (t, 129)
    mel = power @ bank.T  # (t, 129) @ (129, 32) → (t, 32)
    level = 10 * np.log10(np.maximum(mel, 1e-10))
    return np.maximum(level, level.max() - 80)


pictures = [log_mel(wave) for wave in (a, b, c)]


# %% tags=["hide-input"]
def side_by_side(pictures, names, title, seconds=0.016):
    """Pictures (t, bands) next to one another, time to the right."""
    fig, axes = plt.subplots(1, len(pictures), figsize=(7.4, 2.6), sharey=True)
    for ax, picture, name in zip(axes, pictures, names):
        extent = (0, len(picture) * seconds, 0, picture.shape[1])
        ax.imshow(picture.T, origin="lower", aspect="auto", extent=extent)
        ax.set_title(name, fontsize=10, fontweight="normal", loc="center")
        ax.set_xlabel("seconds")
        ax.grid(False)
    axes[0].set_ylabel("mel band")
    fig.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return fig


names = ['A: "seven"', 'B: "seven"', 'C: "three" (voice A)']
fig = side_by_side(pictures, names, "Which two look alike now?")
plot.show(fig, alt="Both sevens are two bright blocks with a dip between; three is one block and a climbing stripe.")

# %% [markdown]
# ### The question answered
# Both sevens: a bright vowel, a dip ("v"), a second vowel. "Three" is one vowel whose upper stripe climbs. Lengths differ, so average over eight equal parts of the time, as the recognizer did, and compare. But three recordings are three recordings. Do it with every voice and every digit. (The last block is a **stored run**: it was computed earlier, and the cell only reads its numbers.)

# %%
parts_a, parts_b, parts_c = [eight_parts(picture) for picture in pictures]
print(f"A and B, same word:  {alike(parts_a, parts_b):+.2f}")
print(f"A and C, same voice: {alike(parts_a, parts_c):+.2f}")

firsts = np.flatnonzero(speech.take == 0)  # 36 voices say ten digits: 360 clips
frames_of = [log_mel(speech.waves[i]) for i in firsts]
longest = max(len(speech.waves[i]) for i in firsts)
described = {
    "log-mel": [eight_parts(frames).ravel() for frames in frames_of],
    "samples": [np.pad(w, (0, longest - len(w))) for w in clips(speech.take == 0)],
}
words = speech.digit[firsts]
same_word = words[:, None] == words  # (360, 360)
same_voice = speech.speaker[firsts, None] == speech.speaker[firsts]
found_word = {}
for name, x_360 in described.items():
    table = np.corrcoef(x_360)  # (360, 360)
    print(f"\nby {name}: mean correlation of")
    for pair_name, pairs in {
        "same word, other voice": same_word & ~same_voice,
        "other word, same voice": same_voice & ~same_word,
        "other word, other voice": ~same_word & ~same_voice,
    }.items():
        mean = table[pairs].mean()
        print(f"  {pair_name:24} {mean:+.2f}  ({pairs.sum() // 2:,} pairs)")
    nearest = np.where(same_voice, -1, table).argmax(axis=1)  # of other voices only
    found_word[name] = (words[nearest] == words).sum()
    print(f"  most similar clip of another voice: same word {found_word[name]} of 360")
stored_shifts = results("audio")["shifts"]
print("\nby samples at the best shift of each pair (stored run):")
print(f"  same word, other voice   {stored_shifts['same word, other voice']:.2f}")
print(f"  other word, same voice   {stored_shifts['other word, same voice']:.2f}")
assert found_word["log-mel"] > 320 and found_word["samples"] < 120

# %% [markdown]
# On average, two voices that say one word are now more alike than one voice that says two words. The means alone could hide a wide overlap, so the last line of a block asks clip by clip: for 347 of 360 clips the most similar clip of another voice *is the same word*. Luck would give 36, and the samples give 67. Moving each pair of waves to its best fit helps them only a little: 94 of 360 in the stored run,
# and one word in two voices is then about as alike as two words in one voice. The log-mel description has something for a classifier to hold on to.

# %% [markdown]
# ## 9 · MFCC: the shape of a frame

# %% [markdown]
# Neighboring bands rise and fall together (measured below), so the 32 numbers partly repeat each other. A **discrete cosine transform** (DCT) asks of each frame what the DFT asked of a wave: how much of each cosine is in it, here along the *bands*. The first terms hold the broad shape of a frame; later ones hold fine
# ripples. Keep 13: these are the **mel-frequency cepstral coefficients** (MFCC; Davis and Mermelstein 1980). With $M$ bands $b_j$:
#
# $$C_k = s_k \sum_{j=0}^{M-1} b_j \cos\frac{\pi k (2j+1)}{2M} \qquad s_0 = \sqrt{1/M},\; s_k = \sqrt{2/M}$$


# %%
def dct(x, n):
    """First n cosine terms of the last axis: (..., bands) → (..., n)."""
    bands = x.shape[-1]
    k = np.arange(n)
    j = np.arange(bands)
    basis = np.cos(np.pi * np.outer(2 * j + 1, k) / (2 * bands))  # (bands, n)
    scale = np.sqrt(np.where(k == 0, 1, 2) / bands)
    return x @ basis * scale


mfcc = dct(pictures[0], 13)
print(pictures[0].shape, "→", mfcc.shape)
print("frame 12:", mfcc[12].round(1))

all_frames = np.concatenate(frames_of)  # of the 360 clips: (all t, 32)
all_terms = dct(all_frames, 32)
share = all_terms.var(axis=0) / all_terms.var(axis=0).sum()
for n in (4, 13, 32):
    print(f"the first {n:2} terms hold {share[:n].sum():.0%} of the variance")


def neighbors(columns):
    """Mean absolute correlation of neighboring columns of (t, columns)."""
    table = np.abs(np.corrcoef(columns.T))
    return np.diagonal(table, offset=1).mean()


print(f"neighboring bands correlate by {neighbors(all_frames):.2f},", end=" ")
print(f"neighboring terms by {neighbors(all_terms):.2f}")

# %% tags=["hide-input"]
frame = pictures[0][12]
basis = dct(np.eye(32), 32)  # (bands, terms), orthonormal
fig, axes = plt.subplots(1, 2, figsize=(7.4, 2.9), width_ratios=(1, 1.4))
for k in range(4):
    axes[0].plot(3 * basis[:, k] - 1.6 * k, color=plot.BLUE, linewidth=1.4)
    axes[0].text(33, -1.6 * k, f"C{k}: {mfcc[12][k]:.0f}", va="center", fontsize=9)
axes[0].set(yticks=[], xlabel="mel band", xlim=(0, 46))
axes[0].set_title("the first four cosines", fontsize=10, fontweight="normal", loc="center")
axes[1].plot(frame, color=plot.GRAY, label="32 log-mels", linewidth=1.5)
for n, color in ((4, plot.ORANGE), (13, plot.BLUE)):
    kept = dct(frame, n) @ basis[:, :n].T
    axes[1].plot(kept, color=color, label=f"{n} coefficients", linewidth=1.5)
axes[1].set(xlabel="mel band", ylabel="level in dB")
axes[1].set_title("what they keep of frame 12", fontsize=10, fontweight="normal", loc="center")
axes[1].legend(fontsize=9)
alt = "Left four cosines of growing frequency over 32 bands. Right one frame and two smooth curves through it, from "
plot.show(fig, alt=alt + "4 and from 13 coefficients; the second follows the hills.")

# %% [markdown]
# Over all frames, 13 terms keep nearly everything that differs between frames, and what the neighboring terms say is almost new each time. (A *single* frame need not look like that: in frame 12 some later terms are as large as the second.)
#
# The name: Bogert, Healy and Tukey (1963) took the spectrum of the logarithm of a spectrum and called it a *cepstrum*, with the first four letters turned round: *spec*, *ceps*.

# %% [markdown]
# ## 10 · The same with Librosa, PyTorch and Keras

# %% [markdown]
# **Librosa** (McFee et al. 2015) does all this in one call, *if* every convention agrees: centering, padding, which mel scale, the height of the triangles, the floor. Import it and hold your functions against it.

# %% tags=["free"]
start = perf_counter()
import librosa
import librosa.feature
import scipy.fft

librosa.feature.melspectrogram, librosa.stft  # parts are loaded when first named
print(f"imported in {perf_counter() - start:.1f} s")

# %% [markdown]
# (The first import ever on a machine can take ten seconds or more: Librosa then compiles a few functions for your processor and keeps them on disk.)

# %% tags=["free"]
wave = a.astype(np.float64)
cut = {"n_fft": 256, "hop_length": 128}
mel_options = {
    "sr": SAMPLE_RATE,
    "n_mels": 32,
    "htk": True,
    "norm": None,
    "dtype": np.float64,
}
their_stft = librosa.stft(wave, **cut).T  # Librosa puts time last
their_bank = librosa.filters.mel(n_fft=256, **mel_options)
their_mel = librosa.feature.melspectrogram(y=wave, **cut, **mel_options)
their_level = librosa.power_to_db(their_mel)  # (32, t)
their_mfcc = librosa.feature.mfcc(S=their_level, n_mfcc=13)

rows = {
    "DFT": (dft(wave[:500]), scipy.fft.fft(wave[:500])),
    "STFT": (stft(wave), their_stft),
    "mel scale": (hz_to_mel(edges), librosa.hz_to_mel(edges, htk=True)),
    "filter bank": (bank, their_bank),
    "log-mel": (log_mel(wave), their_level.T),
    "MFCC": (dct(log_mel(wave), 13), their_mfcc.T),
}
for name, (ours, theirs) in rows.items():
    apart = np.abs(ours - theirs).max()
    print(f"{name:12} {str(ours.shape):12} largest difference {apart:.0e}")
    assert apart < 1e-5

# %% [markdown]
# With its *defaults* Librosa gives other numbers: Slaney's mel scale (1998), straight up to 1,000 Hz and logarithmic above, and triangles divided by half their width. Neither is wrong. A model needs the one with which it was trained. How far apart are they?

# %%
mine = log_mel(wave)
for htk, norm in [(True, None), (True, "slaney"), (False, None), (False, "slaney")]:
    options = dict(mel_options, htk=htk, norm=norm)
    their_mel = librosa.feature.melspectrogram(y=wave, **cut, **options)
    theirs = librosa.power_to_db(their_mel).T
    ours = {"htk": htk, "norm": norm, "top_db": 80}
    course = audio.log_mel(wave, SAMPLE_RATE, 256, 128, 32, **ours)
    difference = np.abs(theirs - mine).max()
    print(f"htk={htk!s:5} norm={norm!s:6}", end="  ")
    print(f"up to {difference:4.1f} dB from yours;", end=" ")
    print(f"loudest {theirs.max():5.1f} dB")
    assert np.abs(theirs - course).max() < 1e-5  # the course's function has them all

# %% [markdown]
# `audio.log_mel` takes the same options, is equal to Librosa in all four, and in the first case it *is* the function that you wrote. It also takes a batch. The same in PyTorch and in Keras, where it can be a layer of a network:

# %% tags=["free"]
import keras

window = get_window("hann", 256)
in_torch = torch.stft(
    torch.from_numpy(wave),
    n_fft=256,
    hop_length=128,
    window=torch.from_numpy(window),
    center=True,
    pad_mode="constant",
    return_complex=True,
)  # (129, t): time last, as in Librosa
padded = np.pad(wave, 128)[None]  # (1, n + 256)
real, imaginary = keras.ops.stft(
    padded,
    sequence_length=256,
    sequence_stride=128,
    fft_length=256,
    window=window,
    center=False,
)  # (1, t, 129) each
in_keras = np.asarray(real)[0] + 1j * np.asarray(imaginary)[0]
for name, theirs in {"PyTorch": in_torch.T.numpy(), "Keras": in_keras}.items():
    apart = np.abs(theirs - stft(wave)).max()
    print(f"{name:8} {theirs.shape} largest difference {apart:.0e}")
    assert np.abs(theirs - stft(wave)).max() < 1e-4

# %% [markdown]
# Why in a framework at all? Because there it has a **gradient**: for each sample, how fast a band would rise if that sample rose a little. Take the log-mel picture in PyTorch, choose one number of it, and ask. Lesson [neural_networks](neural_networks.ipynb) builds on such numbers; here it is enough to see *which* samples have one.

# %%
sound = torch.from_numpy(wave).requires_grad_()  # keep track of what is made of it
hann_256 = torch.from_numpy(window)
settings = {"window": hann_256, "pad_mode": "constant", "return_complex": True}
complex_bins = torch.stft(sound, 256, 128, **settings)
power = complex_bins.abs() ** 2  # (129, t)
level = 10 * torch.log10((torch.from_numpy(bank) @ power).clamp(min=1e-10))  # (32, t)
level[10, 12].backward()  # band 10 of frame 12: fills sound.grad, one number per sample
touched = torch.nonzero(sound.grad).ravel()
print(f"samples with a gradient: {touched.min()} to {touched.max()};", end=" ")
print(f"frame 12 has its middle at {12 * 128}")

# %% [markdown]
# Only the 256 samples of that frame, less the one at which the window is 0. So what a network learns can reach back *through* the transform, to the samples. In the exercises you make a module of it. (The transform itself is usually left fixed.)
#
# How fast is it? Here are 300 clips of one second, on one processor core, best of three.


# %% tags=["hide-input"]
def seconds(function, *arguments):
    """Processor seconds of the best of three calls."""
    times = []
    for _ in range(3):
        start = process_time()
        function(*arguments)
        times.append(process_time() - start)
    return min(times)


def librosa_batch(waves):
    mel = librosa.feature.melspectrogram(y=waves, sr=16_000, n_fft=512, hop_length=256, n_mels=40)
    return librosa.power_to_db(mel, top_db=None)


# %% tags=["free"]
batch = np.random.default_rng(0).standard_normal((300, 16_000)).astype(np.float32)
t_ours = seconds(audio.log_mel, batch, 16_000)
t_librosa = seconds(librosa_batch, batch)
print(f"course {300 / t_ours:,.0f} clips per second, Librosa {300 / t_librosa:,.0f}")
theirs = librosa_batch(batch[:20]).swapaxes(1, 2)
assert np.abs(audio.log_mel(batch[:20], 16_000) - theirs).max() < 1e-3
assert max(t_ours, t_librosa) / 300 < 0.01

# %% [markdown]
# Either way one second of sound costs far less than a hundredth of a second. Compare that with the time of the model behind it before you make the front end faster.

# %% [markdown]
# ## 11 · Another sample rate

# %% [markdown]
# Back to the falling tone of section 3. To go from 16,000 to 8,000 samples per second, *first* remove what the new rate cannot hold, everything above 4,000 Hz, *then* keep every second sample. What removes it is a **low-pass filter**. It replaces each sample by a weighted sum of its neighbors. The
# weights are a *sinc*, $\sin(\pi x)/(\pi x)$: the sum of all cosines below the limit. (In the code $x$ is half the offset, since the limit is half of the old Nyquist frequency; the weights are halved so that they add up to 1.) A window fades it out; a filter is not repeated as the samples of a transform are, so it takes the *symmetric* window.

# %%
from scipy.signal import resample_poly

offset = np.arange(-100, 101)
weights = np.sinc(offset / 2) / 2 * np.hanning(201)  # half of the old Nyquist frequency
filtered = np.convolve(sweep, weights, mode="same")
halved = filtered[::2]  # changing the rate is called resampling
plot.audio(halved, rate // 2, label="The climbing tone, resampled properly")

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 3, figsize=(7.4, 2.6), width_ratios=(1, 1.2, 1.2))
axes[0].plot(offset, weights, color=plot.BLUE, linewidth=1)
axes[0].set(xlim=(-24, 24), xlabel="neighbor", title="weights of the filter")
for ax, wave_8k, name in zip(axes[1:], (sweep[::2], halved), ("every second sample", "filtered first")):
    level = audio.power_to_db(np.abs(audio.stft(wave_8k, 256, 32)) ** 2, top_db=60)
    ax.imshow(level.T, origin="lower", aspect="auto", extent=(0, 1, 0, 4_000))
    ax.set(xlabel="seconds", ylabel="Hz", title=name)
    ax.grid(False)
for ax in axes:
    ax.title.set_fontsize(10)
    ax.title.set_fontweight("normal")
plot.show(
    fig,
    alt="The filter's weights ripple and fade. Spectrograms: a line that climbs and falls; a line that climbs and ends.",
)

# %% tags=["free"]
stretches = {
    "4,000 to 4,100 Hz": slice(4_000, 4_105),
    "above 4,200 Hz": slice(4_211, None),
}
for name, there in stretches.items():  # numbers of samples at 8,000 per second
    torn_off = np.abs(sweep[::2][there]).max()
    proper = np.abs(halved[there]).max()
    print(f"tone {name:17}: every second sample {torn_off:.3f},", end=" ")
    print(f"filtered first {proper:.4f}")
by_scipy = resample_poly(sweep, 1, 2, window=weights)
print(f"SciPy with the same weights: {np.abs(halved - by_scipy).max():.0e} apart")
rates = {"orig_sr": 16_000, "target_sr": 8_000}
by_librosa = librosa.resample(sweep, **rates, res_type="polyphase")
course = audio.resample(sweep, 16_000, 8_000)
apart = np.abs(by_librosa - course).max()
print(f"Librosa and the course, both with SciPy's filter: {apart:.0e} apart")

# %% [markdown]
# It climbs, then there is silence: what 8,000 samples cannot hold is gone, and almost nothing false took its place. Almost, because no filter of finite length closes at once: from 4,000 to 4,100 Hz some of the tone still folds back. In daily work call `audio.resample` or `librosa.resample`, which do this for any two rates. (Librosa's *default* filter, `soxr_hq`, is another one; a model should meet in use the one it was
# trained with.)

# %% [markdown]
# How much does a rate of 8,000 lose of real speech? Another stored run measured eleven seconds of a speech by John F. Kennedy (1961; a recording that comes with Whisper), read at 44,100 Hz:

# %%
kennedy = results("audio")["speech"]
print(f"stored run, {kennedy['duration']:.0f} s at {kennedy['sample_rate']:,} Hz")
for hz, share in kennedy["power_above"].items():
    print(f"power above {int(hz):5,} Hz: {share:.4%}")

# %% [markdown]
# Less than a hundredth of a percent lies above 4,000 Hz, in this old recording. Whether that little matters for *understanding*, power does not say.

# %% [markdown]
# ## 12 · At work

# %% [markdown]
# ### Which digit? Synthetic voices
# Six groups of voices; five train, one tests, in turn, and all 36 voices take their turn, the eight of section 1 among them. So **every test voice is unknown**. The classifier is always the same logistic regression; only the features change. Beside them stands a **dummy**: a baseline that looks at nothing and always gives the commonest answer.

# %%
waves = speech.waves
length = max(len(wave) for wave in waves)
whole = np.stack([np.pad(wave, (0, length - len(wave))) for wave in waves])
mels = [audio.log_mel(wave, SAMPLE_RATE, **SETTINGS) for wave in waves]


def parts_of(pictures):
    """Pictures (t, 32) of n clips → (n, 256)."""
    return np.stack([eight_parts(picture).ravel() for picture in pictures])


# %% tags=["target"]
groups = GroupKFold(6, shuffle=True, random_state=0)
unknown = list(groups.split(waves, groups=speech.speaker))
model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, tol=0.01))
in_order = cross_val_score(model, parts_of(mels), speech.digit, cv=unknown)  # (6,)
expect_within("digits from log-mel, 8 parts", in_order.mean(), 0.96, 0.03)

# %% [markdown]
# That is the recognizer of section 1, on all voices. Now its frames are shuffled, for each clip anew, *before* the eight parts are cut. Every frame is still there, and so are the 256 numbers; only *when* is lost.

# %%
order_guess = widgets.guess(
    "Frames shuffled: what is left of 0.96?",
    ["about 0.95", "about 0.85", "about 0.7", "about 0.3"],
)

# %%
mfccs = [audio.dct(frames, 13) for frames in mels]
shuffler = np.random.default_rng(0)
shuffled = [shuffler.permutation(frames) for frames in mels]  # frames in random order
magnitude = np.abs(np.fft.rfft(whole))  # one DFT of each whole clip
power = magnitude**2
whole_bank = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=length, n_mels=32)
features = {
    "nothing (dummy)": np.zeros((len(waves), 1)),
    "samples": whole,
    "one DFT": magnitude,
    "one DFT in dB": audio.power_to_db(power),
    "one DFT, 32 bands in dB": audio.power_to_db(power @ whole_bank.T),
    "mean log-mel": np.stack([frames.mean(axis=0) for frames in mels]),
    "8 parts, shuffled": parts_of(shuffled),
    "log-mel, 8 parts": parts_of(mels),
    "MFCC, 8 parts": parts_of(mfccs),
}

# %%
new_takes = PredefinedSplit(speech.take)  # known voices, another take
scores, known = {}, {}
for name, x in features.items():
    scores[name] = cross_val_score(model, x, speech.digit, cv=unknown)
    if x.shape[1] < 300:  # the wide ones would take long
        known[name] = cross_val_score(model, x, speech.digit, cv=new_takes).mean()
for name, middle, width in [
    ("samples", 0.31, 0.06),
    ("one DFT", 0.62, 0.08),
    ("one DFT in dB", 0.74, 0.06),
    ("one DFT, 32 bands in dB", 0.64, 0.06),
    ("mean log-mel", 0.70, 0.06),
    ("8 parts, shuffled", 0.69, 0.06),
    ("MFCC, 8 parts", 0.945, 0.03),
]:
    expect_within(f"digits from {name}", scores[name].mean(), middle, width)
order_guess.compare("about 0.7")

# %% [markdown]
# What made the difference? Take pairs of rows that differ in one thing, group by group of voices:

# %%
for better, worse in [
    ("one DFT", "samples"),
    ("one DFT in dB", "one DFT"),
    ("mean log-mel", "one DFT in dB"),
    ("mean log-mel", "one DFT, 32 bands in dB"),
    ("8 parts, shuffled", "mean log-mel"),
    ("log-mel, 8 parts", "8 parts, shuffled"),
]:
    gain = scores[better] - scores[worse]  # (6,)
    mean, interval = mean_and_interval(gain)
    print(f"{better} − {worse}: {mean:+.2f} ± {interval:.2f}", gain.round(2))

# %% tags=["hide-input", "free"]
fig = plot.bar_with_ceiling(
    [f"{name} ({features[name].shape[1]:,})" for name in scores],
    [score.mean() for score in scores.values()],
    [known.get(name, np.nan) for name in scores],
    [mean_and_interval(score)[1] for score in scores.values()],
    title="Which features carry a word to unknown voices?",
    chance=0.1,
    marker="known voices",
)
plot.show(
    fig,
    alt="Bars: samples a third; DFTs, the mean log-mel frame and shuffled parts two thirds; log-mel and MFCC in eight "
    "parts near one.",
)

# %% [markdown]
# (In brackets: numbers per clip. Whisker: 95 % interval over the six groups; the groups share training voices, so it is approximate. Marker: new takes of voices that *were* in training; left out where thousands of columns make it slow.)
#
# Read the differences. The magnitudes of one DFT have 0.63 where the samples have 0.30, and decibels are worth another 12 points. The mean log-mel frame, with 32 numbers in place of 3,818, is perhaps five points behind that (the interval ends at about zero). Where both have 32 bands, the mean of many short spectra in dB is 8 points ahead of one long spectrum. And *when* is worth 27 points: shuffled parts have as many numbers as parts in order and are no better than the mean frame. MFCC keeps nearly all of it in 104 numbers. (One classifier, one setting of it: another could rank the middle rows otherwise.)
#
# ### Which digit? People
# The Free Spoken Digit Dataset has 3,000 recordings of six people. Five train (2,500 clips), the sixth tests, in turn; again a stored run. For *known people*, the first five takes of each digit test and the other 45 train.

# %%
real_guess = widgets.guess(
    "8 parts have 0.96 on unknown synthetic voices. On the worst of six people?",
    ["about 0.9", "about 0.7", "about 0.5"],
)

# %%
stored = results("audio")
people = stored["features"]
print(f"stored run of {stored['date']}, {people['num_clips']:,} clips of 6 people")
print(f"{stored['made_with']}; dummy {people['majority']:.2f}")
print(f"\n{'':23} unknown person     worst  best   known people")
for name in features:
    if name not in people:  # the dummy
        continue
    row = people[name]["unknown speaker"]  # six accuracies
    mean, interval = mean_and_interval(row)
    cells = f"{mean:.2f} ± {interval:.2f}        {min(row):.2f}   {max(row):.2f}"
    print(f"{name:23} {cells}   {people[name]['known speakers']:.2f}")
real_guess.compare("about 0.5")

# %% [markdown]
# For *known* people the recognizer is good (0.91); for an unknown one it has 0.67 on average, and anything from 0.47 to 0.87 for a single person. (Someone new also brings a new room and perhaps another microphone; the drop belongs to all of these together.) The rows in the middle come in another order than with synthetic voices: one DFT in 32 bands stands above the mean log-mel here, so do not trust the order of such neighbors. The interval over six people is wide, so the table cannot say whether MFCC is better than log-mel by its means alone. Compare person by person. And try a harder step: train on the *synthetic* voices, and test on people.

# %%
for better, worse in [
    ("log-mel, 8 parts", "8 parts, shuffled"),
    ("MFCC, 8 parts", "log-mel, 8 parts"),
]:
    by_better = people[better]["unknown speaker"]
    by_worse = people[worse]["unknown speaker"]
    gain = np.subtract(by_better, by_worse)  # person by person
    mean, interval = mean_and_interval(gain)
    print(f"{better} − {worse}: {mean:+.2f} ± {interval:.2f}", gain.round(2))
crossed = people["synthetic to real"]
for name, row in crossed.items():
    mean, interval = mean_and_interval(row)
    print(f"synthetic voices → people, {name:29} {mean:.2f} ± {interval:.2f}")
as_they_are = crossed["log-mel, 8 parts"]
gain = np.subtract(crossed["8 parts, ends cut, same level"], as_they_are)
print("gain from cut ends and equal level, person by person:", gain.round(2))
assert (gain > 0).all()

# %% [markdown]
# *When* counts for people, too: no person has less with parts in order, and the interval stays above zero. MFCC is ahead of log-mel for five of six people, once by 24 points, but the interval of the mean reaches across zero: no gain is shown. What *is* shown are the lines below: a recognizer with 0.96 on unknown synthetic voices has 0.36 on people. Synthetic clips differ from real ones in voice, silence, noise, level and microphone. One line takes two of these away: the silence at both ends is cut off and every clip gets the same mean level, on both sides. Each of the six people gains, and 0.36 becomes 0.52. For these six, about a quarter of the gap went with silence and level alone. (*How much* it is worth for people in general, six of them do not tell: they gain from 2 to 47 points.) The rest of the way to 0.96 remains. **Synthetic is not real.** A figure measured on synthetic voices is a figure about a synthesizer and its silences.
#
# ### Which mood?
# In `mood` every (synthetic) voice says one sentence; *how* it is said is the cue. The best possible accuracy is known exactly. Listen to one voice, first negative, then positive.

# %%
train, test = load("mood", "train"), load("mood", "test")
for cue in ("negative", "positive"):
    one_voice = test.meta["speaker"] == test.meta["speaker"][0]
    rows = one_voice & (test.meta["voice_cue"] == cue)
    voice = test[np.flatnonzero(rows)[0]]["voice"]
    label = f"A {cue} way of saying it (one second)"
    plot.audio(voice[:16_000], test.sample_rate, label=label)

# %%
mood_guess = widgets.guess(
    "Which tells the mood best?",
    ["mean log-mel (40 numbers)", "mean MFCC (13)", "length in seconds (1)"],
)

# %%
from sklearn.tree import DecisionTreeClassifier


def on_mood(describe, model):
    """Test accuracy of a classifier on what `describe` makes of each recording."""
    described = []
    for data in (train, test):
        voices = data.column("voice")  # each recording is stored once
        described.append(np.stack([describe(w) for w in voices.store])[voices.index])
    return model.fit(described[0], train.labels).score(described[1], test.labels)


def mean_log_mel(wave):
    return audio.log_mel(wave, 16_000, top_db=60).mean(axis=0)


def mean_mfcc(wave):
    return audio.mfcc(wave, 16_000, top_db=60).mean(axis=0)


def length_in_seconds(wave):
    return np.array([len(wave) / 16_000])


def both(wave):
    return np.concatenate([mean_log_mel(wave), length_in_seconds(wave)])


line = make_classifier()  # a weighted sum of the numbers, as before
tree = DecisionTreeClassifier(max_depth=3, random_state=0)  # three questions in a row
for name, describe_voice, middle in [
    ("mean log-mel", mean_log_mel, (0.40, 0.43)),
    ("mean MFCC", mean_mfcc, (0.39, 0.38)),
    ("length", length_in_seconds, (0.57, 0.665)),
    ("mean log-mel and length", both, (0.545, 0.665)),
]:
    on_line, on_tree = (on_mood(describe_voice, model) for model in (line, tree))
    expect_within(f"mood from {name}, logistic regression", on_line, middle[0], 0.05)
    expect_within(f"mood from {name}, tree", on_tree, middle[1], 0.05)
majority = np.bincount(test.labels).max() / len(test)
best = mood.bayes_accuracy(["voice"])
print(f"majority class {majority:.3f}, best possible {best:.3f},", end=" ")
print(f"{len(test):,} test clips")
mood_guess.compare("length in seconds (1)")

# %% [markdown]
# One number comes within a point of the best possible, and forty stay near the majority class, for either classifier. Give the tree the forty *and* the length, and it is as good as with the length alone: so the tree can find one good number among many, and neither classifier finds the mood in the mean over time. Here the tempo carries the mood. (Why a tree beside the logistic regression? On *one* number, its three
# weighted sums cut at two places at most, and a tree of three questions at up to seven. Whether that is the whole difference between the two is not tested here.) Two rules: **a feature must keep what *this* task needs, and the simplest one is tried first.**
#
# ### Which emotion? People
# EmoDB (Burkhardt et al. 2005) has 535 sentences, acted by ten people in seven emotions. In the copy used here each is cut or padded to 2.0 seconds, so length itself cannot help; but the silence of the padding can, and it gets a row of its own.

# %%
emotions = stored["emotions"]
num_clips = emotions["num_clips"]
print(f"stored run of {stored['date']}, {num_clips} clips of 10 people, 7 emotions")
print(f"{emotions['num_padded']} of them padded;", end=" ")
print(f"majority class {emotions['majority']:.2f};", end=" ")
print(f"listeners {emotions['people']:.2f}")
print(f"\n{'':25} person not in training   random folds")
kinds = ["silent frames alone", "level alone", "mean log-mel", "mean MFCC"]
kinds += ["log-mel, mean and spread", "MFCC, mean and spread"]
for name in kinds:
    unseen, interval = mean_and_interval(emotions[name]["unseen speaker"])
    mixed = np.mean(emotions[name]["random folds"])
    print(f"{name:25} {unseen:.2f} ± {interval:.2f}              {mixed:.2f}")

# %% [markdown]
# *Level alone*, one number, is already above the majority class, and so is the *share of silent frames*, through which length does come in a little. (The listeners' 0.94 is not a fair ceiling: they heard the whole sentences, and a sentence came into the set only if more than 80 % of listeners recognized its emotion.) The mean frame, hardly better than the majority class in `mood`, is far above it here: another task, another feature. In each row of several numbers, random folds are 11 to 13 points higher, since there a person's other sentences were in training. Report the column that fits the use: will the system know its
# speakers?

# %% [markdown]
# ## 13 · Take it apart: noise and other changes

# %% [markdown]
# ### Noise
# The **signal-to-noise ratio** (SNR) says by how much the voice is stronger than the noise, in decibels: $10 \log_{10}(P_\text{voice}/P_\text{noise})$. At 0 dB both have equal power.
#
# **Your turn (blank 5).** Add noise at a wanted ratio: scale the noise so that the ratio of powers is right, then add it.
# <details><summary>Hint 1</summary>
#
# Which *power* must the noise have, when the wave has $P$ and the ratio is `snr_db` decibels?
# </details>
# <details><summary>Hint 2</summary>
#
# If the noise is to have four times its power, by how much do you multiply its samples?
# </details>


# %%
def with_noise(wave, noise, snr_db):
    """wave and noise (n,) → noisy wave (n,) with this signal-to-noise ratio."""
    # BEGIN SOLUTION
    wave_power = np.mean(wave**2)
    noise_power = np.mean(noise**2)
    wanted = wave_power / 10 ** (snr_db / 10)
    return wave + noise * np.sqrt(wanted / noise_power)
    # END SOLUTION


with_noise = check("audio.blank.5", with_noise)

# %%
hiss = np.random.default_rng(0).standard_normal(len(word))
for snr_db in (20, 10, 0):
    noisy = with_noise(word, hiss, snr_db)
    reached_db = level_db(word) - level_db(noisy - word)
    label = f"The word at {round(reached_db)} dB of signal-to-noise ratio"
    plot.audio(noisy, SAMPLE_RATE, label=label)

# %% [markdown]
# You probably still understand all three. The recognizer of section 1 never heard noise. How does it do on the eight unknown voices?

# %%
noise_guess = widgets.guess(
    "At 30 dB (faint noise) it is right on more than 8 of 10. At 10 dB?",
    ["about 8 of 10", "about 5 of 10", "below 3 of 10"],
)

# %% [markdown]
# And beside it a second one, which is trained on the same clips and on one noisy copy of each, every copy at a ratio drawn between −6 and 30 dB. The control gets *two equal* copies, so that only the noise differs: the classifier weighs its errors, added up over all clips, against the size of its weights, and twice as many clips would change that balance. Three seeds draw other noise, in training and in the test.

# %%
y_taught, y_unknown = speech.digit[taught], speech.digit[unknown_voice]
clean = describe(clips(taught))
quiet = make_classifier().fit(np.r_[clean, clean], np.r_[y_taught, y_taught])
ratios = [30, 20, 10, 0, -6]
accuracy = {"quiet only": [], "with noise": []}
unknown_clips = clips(unknown_voice)
noisy_clips, hardened = [], []  # of each seed, for the controls below
for seed in range(3):
    rng = np.random.default_rng(seed)
    copies = [audio.add_noise(w, rng.uniform(-6, 30), rng) for w in clips(taught)]
    x = np.r_[clean, describe(copies)]
    hardened.append(make_classifier().fit(x, np.r_[y_taught, y_taught]))
    noisy = []  # at each ratio
    for snr_db in ratios:
        noisy.append([audio.add_noise(w, snr_db, rng) for w in unknown_clips])
    noisy_clips.append(noisy)
    tests = [describe(disturbed) for disturbed in noisy]
    accuracy["quiet only"].append([quiet.score(x, y_unknown) for x in tests])
    accuracy["with noise"].append([hardened[-1].score(x, y_unknown) for x in tests])
accuracy = {name: np.array(rows) for name, rows in accuracy.items()}  # (3, 5)

clean_test = describe(unknown_clips)
no_noise = {
    "quiet only": quiet.score(clean_test, y_unknown),
    "with noise": np.mean([each.score(clean_test, y_unknown) for each in hardened]),
}
print("trained on   no noise ", *(f"{snr_db:4} dB" for snr_db in ratios))
for name, rows in accuracy.items():
    cells = [f"{value:7.2f}" for value in rows.mean(axis=0)]
    print(f"{name:12} {no_noise[name]:8.2f} ", *cells)
quiet_mean, noise_mean = (rows.mean(axis=0) for rows in accuracy.values())
expect_within("quiet training, test at 30 dB", quiet_mean[0], 0.83, 0.05)
expect_within("quiet training, test at 10 dB", quiet_mean[2], 0.14, 0.07)
expect_within("noisy training, test at 10 dB", noise_mean[2], 0.90, 0.04)
gain = accuracy["with noise"] - accuracy["quiet only"]  # seed by seed
assert (gain[:, 1:] > 0.2).all() and (gain[:, 0] > -0.02).all()
noise_guess.compare("below 3 of 10")

# %% tags=["hide-input", "free"]
title = "What does training with noise change?"
x_label = "signal-to-noise ratio of the test in dB"
levels = {"chance": 0.1}
fig = plot.curves(accuracy, title=title, x=ratios, xlabel=x_label, ylabel="accuracy", levels=levels)
fig.axes[0].invert_xaxis()
plot.show(fig, alt="Trained on quiet clips, accuracy falls to chance by 0 dB; trained with noise it is near 0.8 there.")

# %% [markdown]
# It collapses, and one noisy copy of the training clips repairs most of it. It costs about two points where there is no noise. Why does it collapse? A guess: noise fills the quiet bands, and in *decibels* that is a large change (see the picture *noise, 10 dB* further below). A test of that guess needs no noise at all, only a higher floor: let nothing lie more than 20 dB below the loudest value of a clip, instead of 80,
# in training and in the test. Faint noise is then below the floor.

# %%
floor_guess = widgets.guess(
    "Trained on quiet clips only, but with a floor at 20 dB. Tested at 10 dB of noise?",
    ["about 0.15, as before", "about 0.5", "about 0.87"],
)


# %% tags=["free"]
def describe_high_floor(waves):
    """As `describe`, with a floor 20 dB below the loudest value: (n, 256)."""
    settings = SETTINGS | {"top_db": 20}
    return parts_of([audio.log_mel(w, SAMPLE_RATE, **settings) for w in waves])


clean_20 = describe_high_floor(clips(taught))
quiet_20 = make_classifier().fit(np.r_[clean_20, clean_20], np.r_[y_taught, y_taught])
on_clean_20 = quiet_20.score(describe_high_floor(unknown_clips), y_unknown)
tests_20 = [describe_high_floor(noisy) for noisy in noisy_clips[0]]
by_floor = [quiet_20.score(x, y_unknown) for x in tests_20]
cells = [f"{value:7.2f}" for value in by_floor]
print(f"high floor   {on_clean_20:8.2f} ", *cells, " (one draw of the noise)")
expect_within("quiet training, high floor, test at 10 dB", by_floor[2], 0.87, 0.04)
floor_guess.compare("about 0.87")

# %% [markdown]
# That fits the guess: with everything faint below the floor, noise at 10 dB does no harm, 0.87 with it and without. The price is about four points on clean clips (0.91 before), and training with noise has a little more at 10 dB and above (0.90 to 0.92). And there is a second question that the table above does not answer. Training and test had the *same kind* of noise, a hiss. What about a hum (50 Hz and its multiples), and three other voices talking at once, at the same 10 dB?

# %% tags=["hide-input"]
moments = np.arange(length) / SAMPLE_RATE
background = [speech.waves[i] for i in np.flatnonzero(speech.split["speaker"] == "validation")]


def hum(size, rng):
    """50 Hz and its first seven multiples, each at a phase of its own: (size,)."""
    multiples = [np.sin(2 * np.pi * 50 * k * moments[:size] + rng.uniform(0, 2 * np.pi)) / k for k in range(1, 9)]
    return np.sum(multiples, axis=0)


def voices(size, rng):
    """Three clips of voices that are neither in training nor in the test, added up: (size,)."""
    return sum(np.resize(background[i], size) for i in rng.choice(len(background), 3, replace=False))


# %%
print(f"at 10 dB     {'quiet only':>10} {'with noise':>11} {'high floor':>11}")
by_kind = {}
for name, make_noise in {"hum": hum, "voices": voices}.items():
    rows = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        disturbed = []
        for wave in unknown_clips:
            noise = make_noise(len(wave), rng)
            disturbed.append(audio.add_noise(wave, 10, rng, noise))
        x, x_20 = describe(disturbed), describe_high_floor(disturbed)
        row = [quiet.score(x, y_unknown), hardened[seed].score(x, y_unknown)]
        rows.append(row + [quiet_20.score(x_20, y_unknown)])
    by_kind[name] = np.mean(rows, axis=0)
    print(f"{name:12}", *(f"{value:11.2f}" for value in by_kind[name]))
assert by_kind["hum"][1] < by_kind["hum"][0] + 0.01  # hiss in training is no help
assert by_kind["voices"][1] > by_kind["voices"][0] + 0.05

# %% [markdown]
# Against a hum, training with hiss does not help; here it loses some points. Against other voices it helps, less than against hiss. So what noisy copies do for *another* noise must be measured. The recognizer with the high floor never heard noise, and has 0.85 to 0.87 against all three, about what it has on clean clips.
#
# ### What is augmentation worth on people?
# Noise in training helps against noise in the test: that was to be expected. Does changing clips help when the test clips are *as recorded*? Here are the usual changes, on one word.


# %% tags=["hide-input"]
def second_of(frames, start=0):
    out = np.full((63, 32), frames.min())
    out[start : start + len(frames)] = frames
    return out


def word_frames(wave):
    frames = audio.log_mel(wave, SAMPLE_RATE, **SETTINGS)
    return frames[:63]


rng = np.random.default_rng(3)
frames = word_frames(a)
shown = {
    "as recorded": second_of(frames),
    "moved in time": second_of(frames, 25),
    "noise, 10 dB": second_of(word_frames(audio.add_noise(a, 10, rng))),
    "15 % faster": second_of(word_frames(audio.resample(a, SAMPLE_RATE, 6_800))),
    "stripes hidden": second_of(audio.spec_augment(frames, rng, 1, 12, 1, 8)),
}
fig, axes = plt.subplots(1, 5, figsize=(7.6, 2.1), sharey=True)
for ax, (name, picture) in zip(axes, shown.items()):
    ax.imshow(picture.T, origin="lower", aspect="auto", extent=(0, 1, 0, 32))
    ax.set_title(name, fontsize=9, fontweight="normal", loc="center")
    ax.set(xticks=[0, 1])
    ax.grid(False)
axes[0].set_ylabel("mel band")
axes[2].set_xlabel("seconds")
plot.show(
    fig,
    alt="One log-mel picture five times: as it is, further right, grainy, shorter and higher, with two flat stripes.",
)

# %% [markdown]
# (*Faster* here means resampled and played at the old rate: the pitch rises too, as on a record. Hiding random stripes of time and of bands is **SpecAugment**; Park et al. 2019.)
#
# The stored run: five people train, the sixth tests (500 clips). Here only takes 0 to 9 train, so 500 clips and not the 2,500 of section 12; and the eight parts are those of a whole second, not of the clip. Hence 0.60 below where section 12 had 0.67. Each training clip comes as it is, and twice changed, drawn anew for each of three seeds; the control has three equal copies, for the reason above. Three tests: clips as recorded, the same clips *anywhere* in a second of silence, and with noise at 10 dB.
# A logistic regression has one best answer, so no change can win because it got a longer training.

# %%
worth = stored["augmentation"]
names = ["none", "time shift", "noise", "speed", "SpecAugment", "all four"]
tests = ["as recorded", "anywhere", "10 dB"]
print(f"stored run of {stored['date']}, mean of 6 people; gain over “none”")
print(f"{'':14}", *(f"{test_name:26}" for test_name in tests))
for name in ("majority class", "mean log-mel"):
    means = []
    for test_name in tests:
        means.append(np.mean([fold[name][test_name] for fold in worth["baselines"]]))
    print(f"{name:14}", *(f"{mean:<26.2f}" for mean in means))
means = [np.mean(stored["silence"][test_name]) for test_name in tests]
print(f"{'silence cut':14}", *(f"{mean:<26.2f}" for mean in means))
gains = {}
for name in names:
    cells = []
    for test_name in tests:
        table = worth["accuracy"][test_name]
        person = np.array([np.mean(row) for row in table[name]])  # (6,), over seeds
        control = np.array([np.mean(row) for row in table["none"]])
        gains[name, test_name] = mean_and_interval(person - control)
        cell = f"{person.mean():.2f}"
        if name != "none":
            cell += " ({:+.3f} ± {:.3f})".format(*gains[name, test_name])
        cells.append(f"{cell:26}")
    print(f"{name:14}", *cells)

change_guess.compare("none shows a gain")

# %% [markdown]
# Read down the column *as recorded*: none of the four changes shows a gain; each interval reaches across zero, and people differ (see below). Moving in time and all four together are lower on average. Then read the other two columns. Here the changes help where the test has what they imitate: clips that begin *anywhere* gain 23 points from training
# clips that were moved, and clips in noise gain 31 points from noise. But hidden stripes help in noise too, by 21 points, perhaps because noise hides bands as well.
#
# Now read the two rows above the changes. The mean frame does not know *where* the word is, and *anywhere* it has 0.51, above every augmented row. And the row *silence cut* is the same recognizer without augmentation, when the silence at both ends of every clip is cut off first: it has 0.63 *anywhere*, more than any training with changed clips. A feature that ignores a change, or a step that undoes it, can do better than training against it. (The silence here is digital, so it is easy to find. In noise at 10 dB there is no silence to cut, and nothing is gained.)
#
# So ask first *how your users' recordings will differ from yours*, and imitate that. (This is one linear classifier, with 500 clips. Large networks can learn more from changed copies; the table cannot say how much.)

# %%
table = worth["accuracy"]["as recorded"]
control = np.array([np.mean(row) for row in table["none"]])
for name in ("noise", "SpecAugment"):
    person = np.array([np.mean(row) for row in table[name]])
    print(f"{name:12} as recorded, gain for each person: {(person - control).round(2)}")

# %% [markdown]
# One person gains seven to ten points from noise or hidden stripes, another loses as much. Had the test been one person, you would have concluded either.
#
# How far does such help reach? Train with hidden stripes once more, on the synthetic voices. Beside whole clips there are two tests: pictures whose eight lowest bands are hidden, and clips as through a telephone, where a filter removed everything below 400 Hz from the *wave*. The control has equal copies again. The gain is taken voice by voice.

# %%
which_guess = widgets.guess(
    "Where do hidden stripes in training show a gain?",
    ["in both tests", "hidden bands only", "telephone only", "in neither"],
)

# %% tags=["free"]
from scipy.signal import butter, sosfilt

high_pass = butter(4, 400, "highpass", fs=SAMPLE_RATE, output="sos")


def hide_low_bands(picture):
    picture = picture.copy()
    picture[:, :8] = picture.mean()
    return picture


unknown_mels = [mels[i] for i in np.flatnonzero(unknown_voice)]
by_telephone = [sosfilt(high_pass, w) for w in unknown_clips]
three_tests = {
    "whole": parts_of(unknown_mels),
    "hidden bands": parts_of([hide_low_bands(picture) for picture in unknown_mels]),
    "telephone": describe(by_telephone),
}
voice_of = speech.speaker[unknown_voice]


def for_each_voice(model, x):
    """Accuracy on each of the eight unknown voices: (8,)."""
    right = model.predict(x) == y_unknown
    voices = sorted(set(voice_of))
    return np.array([right[voice_of == voice].mean() for voice in voices])


taught_mels = [mels[i] for i in np.flatnonzero(taught)]
four = np.tile(y_taught, 4)
control = make_classifier().fit(np.concatenate([clean] * 4), four)
gains_of_hiding = {name: [] for name in three_tests}
for seed in range(3):
    rng = np.random.default_rng(seed)
    stripes = {  # one of each, at most 4 frames and at most 10 bands wide
        "num_time_masks": 1,
        "time_mask_param": 4,
        "num_freq_masks": 1,
        "freq_mask_param": 10,
    }
    hidden = []
    for _ in range(3):
        striped = [audio.spec_augment(p, rng, **stripes) for p in taught_mels]
        hidden.append(parts_of(striped))
    masked = make_classifier().fit(np.concatenate([clean, *hidden]), four)
    for name, x in three_tests.items():
        gain = for_each_voice(masked, x) - for_each_voice(control, x)
        gains_of_hiding[name].append(gain)
gain_on = {}
for name, rows in gains_of_hiding.items():
    without = control.score(three_tests[name], y_unknown)
    gain_on[name], interval = mean_and_interval(np.mean(rows, axis=0))  # over 8 voices
    print(f"{name:13} control {without:.2f},", end=" ")
    print(f"gain {gain_on[name]:+.3f} ± {interval:.3f}")
assert gain_on["hidden bands"] > 0.01 and abs(gain_on["telephone"]) < 0.04
which_guess.compare("hidden bands only")

# %% [markdown]
# A gain is shown only where the test has *the training's own change*, bands replaced by the mean. On the telephone none is shown, and the interval leaves room for four points either way. A possible reason, not tested here: a telephone takes bands down to the floor or near it, not to the mean.
# %% [markdown]
# ## 14 · Files as they really come

# %% [markdown]
# So far every clip was clean: one channel, floats, 8,000 samples per second. Here is what lands on your desk. First a trap that raises no error: two channels, and the right one is wired the wrong way round.

# %%
import soundfile

stereo = np.stack([a, -a], axis=1)  # (n, 2)
file = io.BytesIO()
soundfile.write(file, stereo, SAMPLE_RATE, format="WAV")
mono, rate_found = audio.read(file.getvalue())
print(f"{stereo.shape} → {mono.shape} at {rate_found} Hz:", end=" ")
print(f"level {level_db(mono):.0f} dB")
print(f"left channel alone: {level_db(stereo[:, 0]):.0f} dB")

# %% [markdown]
# Going to one channel (**mono**) takes the mean of the channels, in Librosa too (`librosa.to_mono`), and $a + (-a) = 0$. So look at the level after loading. The second trap is the wrong rate:

# %%
for name, believed in {"right rate": 8_000, "believed to be 16,000 Hz": 16_000}.items():
    power = np.abs(np.fft.rfft(a)) ** 2
    hz = np.fft.rfftfreq(len(a), 1 / believed)
    middle = (hz * power).sum() / power.sum()  # mean frequency, weighted by power
    print(f"{name:25} {len(a) / believed:.2f} s, mean frequency {middle:5.0f} Hz")
plot.audio(a, 16_000, label="Recording A, played at 16,000 samples per second")

# %% [markdown]
# Half as long, twice as high; no error tells you. The rate belongs to the array: pass both, as `read` returns both. Three odd inputs, and you predict:

# %%
outcomes = ["an array", "an error"]
file_guess = widgets.guess("A WAV file of 16-bit integers, read", outcomes)
int_guess = widgets.guess("An array of 16-bit integers → log-mel", outcomes)
silence_guess = widgets.guess("A second of zeros → log-mel", outcomes)


# %%
def wav(samples, **settings):
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, format="WAV", **settings)
    return file.getvalue()


broken = a.copy()
broken[100] = np.nan
cases = {
    "16-bit file": lambda: audio.read(wav(a, subtype="PCM_16"))[0],
    "int16 array": lambda: audio.log_mel((a * 32768).astype(np.int16), 8_000),
    "NaN in an array": lambda: audio.log_mel(broken, 8_000),
    "NaN in a file": lambda: audio.read(wav(broken, subtype="FLOAT"))[0],
    "half a file": lambda: audio.read(wav(a)[:4_000])[0],
    "no samples": lambda: audio.log_mel(np.zeros(0), 8_000),
    "a text file": lambda: audio.read(b"seven")[0],
    "silence": lambda: audio.log_mel(np.zeros(8_000), 8_000),
    "noise for silence": lambda: audio.add_noise(np.zeros(9), 10, rng),
    "20,000 Hz asked of 8,000": lambda: audio.mel_spectrogram(a, 8_000, fmax=20_000),
}
for name, load_it in cases.items():
    try:
        found = load_it()
        message = f"array {found.shape}, from {found.min():.2f} to {found.max():.2f}"
    except (InputError, ValueError) as error:
        message = f"refused: {error}"
    print(f"{name}\n    {message}")
file_guess.compare("an array")
int_guess.compare("an error")
silence_guess.compare("an array")

# %% [markdown]
# Digital silence is a sound: it gives −100 dB everywhere, not minus infinity. A floor 80 dB below the loudest value of the clip, as in section 8 and in Whisper below, sinks in a nearly silent clip, and faint noise can fill the picture: decide beforehand what silence should get. And a ratio to silence is not defined.

# %% [markdown]
# ## 15 · At full size: the ears of Whisper

# %% [markdown]
# **Whisper** (Radford et al. 2022) learned to write down speech from 680,000 hours of it. Its front end is yours, with these numbers: 16,000 Hz, frames of 400 samples (25 ms) every 160 (10 ms), **80 mel bands** of Slaney's scale (128 in large-v3), padding by reflection, always 30 seconds. The front end comes with `transformers`; no
# weights are needed.

# %% tags=["free"]
from transformers import WhisperFeatureExtractor

voice = load("mood", "test")[0]["voice"]
their_ears = WhisperFeatureExtractor()
theirs = their_ears(voice, sampling_rate=16_000, return_tensors="np")["input_features"]
theirs = theirs[0].T  # (3000, 80)
padded = np.pad(voice.astype(np.float64), (0, 30 * 16_000 - len(voice)))
level = audio.log_mel(padded, 16_000, 400, 160, 80, pad_mode="reflect")
level = level[:-1]  # 3,001 frames; Whisper drops the last
bels = level / 10
ours = (np.maximum(bels, bels.max() - 8) + 4) / 4  # 80 dB of range, scaled
print("theirs", theirs.shape, "ours", ours.shape)
print(f"largest difference {np.abs(ours - theirs).max():.0e} (theirs is float32)")
assert np.abs(ours - theirs).max() < 1e-4

# %% [markdown]
# Lesson `speech_to_text` (in Part 4) begins where this ends: with these pictures going in, and words coming out.
#
# On a GPU the whole chain runs in a batch. The cell says where it ran.

# %% tags=["free"]
device = "cuda" if torch.cuda.is_available() else "cpu"
batch = torch.randn(60, 16_000, device=device)
hann_400 = torch.hann_window(400, device=device)
whisper_bank = librosa.filters.mel(sr=16_000, n_fft=400, n_mels=80)
whisper_bank = torch.from_numpy(whisper_bank).to(device)


def on_device(batch):
    """(clips, samples) → log-mel (clips, 80, t), back on the processor."""
    bins = torch.stft(batch, 400, 160, window=hann_400, return_complex=True)
    level = 10 * torch.log10((whisper_bank @ bins.abs() ** 2).clamp(min=1e-10))
    return level.cpu()  # waits for the GPU


level = on_device(batch)  # the first call also prepares; it is not timed
times = []
for _ in range(3):
    begin = perf_counter()
    on_device(batch)
    times.append(perf_counter() - begin)
speed = 60 / min(times)
print(f"{device}: {speed:,.0f} seconds of sound per second", tuple(level.shape))

# %% [markdown]
# ## 16 · What to remember

# %% [markdown]
# 1. A sample rate holds every frequency *below* its half, the Nyquist frequency, completely; the rest folds back unless it is filtered out first.
# 2. A DFT bin is "multiply by a turning arrow and add up"; a window keeps one tone from leaking everywhere; the length of a frame trades sharpness in time for sharpness in frequency.
# 3. Wave → frames → spectrum → power → mel bands → decibels is log-mel; a cosine transform more is MFCC. Equal numbers need equal conventions.
# 4. A feature must keep what *this* task needs; try the simplest one first. Change one thing at a time before you say what helped.
# 5. Test on voices that were not in training, and on people: synthetic voices flatter. Augmentation helps most against what it imitates; measure how far beyond. A feature that does not see the change may do better.

# %% [markdown]
# ## 17 · Check yourself

# %% [markdown]
# <details><summary>1. A tone of 5,000 Hz is sampled 8,000 times per second, without a filter. What do you hear?</summary>
#
# 3,000 Hz: it is 1,000 above the mirror at 4,000, so it lands 1,000 below.
# </details>
# <details><summary>2. n_fft is 512 at 16,000 Hz. How far apart are the bins, and how long is a frame?</summary>
#
# 31.25 Hz and 32 ms. One is the inverse of the other.
# </details>
# <details><summary>3. Your log-mel is 16 to 24 dB above a model's, most in high bands. What do you look at first?</summary>
#
# The norm of the triangles: Slaney's divides each by half its width, and high bands are wide.
# </details>
# <details><summary>4. Why not measure the SNR with 20 log₁₀ of the powers?</summary>
#
# 20 log₁₀ is for amplitudes. Power is amplitude squared, and that square has already given the 2.
# </details>
# <details><summary>5. A colleague reports 0.95 on spoken digits. Which two questions do you ask?</summary>
#
# Were the test speakers in training? And are the voices people's or synthetic?
# </details>

# %% [markdown]
# ## 18 · Exercises and where next

# %% [markdown]
# [The exercises](exercises/audio.ipynb): where a tone lands, log-mel from a spectrum, whether one frame can see it all, and log-mel as a PyTorch module with a gradient. The last section is **an open challenge**: words of invented voices, quiet and slow in training; in the test with hum, hiss and
# other voices.
#
# **Where next:** [multimodal_data](multimodal_data.ipynb) puts sound beside pictures and words, and [cnn](cnn.ipynb) reads such pictures with kernels. **Back to:** [images](images.ipynb), where aliasing was seen; [text](text.ipynb); [start_here](start_here.ipynb).
#
# ## Sources
# - C. Shannon (1949), *Communication in the presence of noise*, Proceedings of the IRE 37(1).
# - J. Cooley, J. Tukey (1965), *An algorithm for the machine calculation of complex Fourier series*, Mathematics of Computation 19.
# - B. Bogert, M. Healy, J. Tukey (1963), *The quefrency alanysis of time series for echoes: cepstrum, pseudo-autocovariance, cross-cepstrum and saphe cracking*, in Time Series Analysis, Wiley.
# - F. Harris (1978), *On the use of windows for harmonic analysis with the discrete Fourier transform*, Proceedings of the IEEE 66(1).
# - S. Stevens, J. Volkmann, E. Newman (1937), *A scale for the measurement of the psychological magnitude pitch*, JASA 8; D. O'Shaughnessy (1987), *Speech communication*; M. Slaney (1998), *Auditory Toolbox*.
# - S. Davis, P. Mermelstein (1980), *Comparison of parametric representations for monosyllabic word recognition*, IEEE ASSP 28(4): MFCC.
# - B. McFee et al. (2015), *librosa: audio and music signal analysis in Python*.
# - D. Park et al. (2019), *SpecAugment*, arXiv 1904.08779.
# - A. Radford et al. (2022), *Robust speech recognition via large-scale weak supervision*, arXiv 2212.04356.
# - Recordings of people (figures only): Free Spoken Digit Dataset v1.0.10, Jakobovski and others, CC BY-SA 4.0; F. Burkhardt et al. (2005), *A database of German emotional speech*, Interspeech, CC0.
# - Synthetic voices: made with espeak-ng by the course, CC BY 4.0.
