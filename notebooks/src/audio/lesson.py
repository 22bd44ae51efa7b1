# %% [markdown]
# # Audio
# *You turn a spoken word into the picture that nearly every speech model is given, and every number in it is one you can derive.*
#
# {{budget}}
#
# **You will be able to**
# - say which frequencies a sample rate can hold, and hear what happens to the others;
# - compute a Fourier transform by hand, and say why a window is needed;
# - build log-mel frames and MFCCs in NumPy, equal to Librosa's;
# - choose features for a task, and make them stand noise.
#
# **Before this:** [Start here](start_here.ipynb). You need sine and cosine as curves that wiggle; no more.
#
# **Time to read:** 50 minutes, then 30 for the [exercises](exercises/audio.ipynb).

# %%
import numpy as np

from mmcourse import plot
from mmcourse.datasets.avdigits.voices import SAMPLE_RATE, read_clips
from mmcourse.evaluate import expect_within
from mmcourse.preprocess import audio

speech = read_clips("embedded")  # 36 voices say ten digits, four times each
len(speech.waves), SAMPLE_RATE

# %% [markdown]
# ## 1 · The question
# Three short recordings. Listen to each: low volume is fine.


# %%
def recording(digit, name):
    """First take of this digit by the speaker whose name ends like this."""
    return speech.waves[np.flatnonzero((speech.digit == digit) & np.char.endswith(speech.speaker, name))[0]]


a, b, c = recording(7, "+belinda"), recording(7, "+Andy"), recording(3, "+belinda")
for name, wave in zip("ABC", (a, b, c), strict=True):
    plot.audio(wave, SAMPLE_RATE, label=f"Recording {name}")

# %% [markdown]
# A and B are the same word, "seven", by two people. A and C are one person with two words. You heard that at once. Now do
# it with your eyes.

# %%
import matplotlib.pyplot as plt

fig, axes = plt.subplots(3, 1, figsize=(7, 3.6), sharex=True, sharey=True)
for ax, wave, name in zip(axes, (a, b, c), "ABC", strict=True):
    ax.plot(np.arange(len(wave)) / SAMPLE_RATE, wave, linewidth=0.6)
    ax.set_ylabel(name, rotation=0, labelpad=10)
axes[2].set_xlabel("time in seconds (height: air pressure, -1 to 1)")
axes[0].set_title("Which two are the same word?")
plot.show(
    fig,
    alt="Three jagged waveforms of about half a second. A and B have two bursts with a dip between, C has one; the fine detail differs in all three.",
)

# %% [markdown]
# **Predict:** take the correlation of the samples, 1 for equal waves and 0 for unrelated ones. Is A more like B (same word)
# or like C (same voice)?


# %%
def alike(x, y):  # correlation of two arrays of equal shape
    return round(float(np.corrcoef(x.ravel(), y.ravel())[0, 1]), 2) + 0.0


n = min(len(a), len(b), len(c))
alike(a[:n], b[:n]), alike(a[:n], c[:n])

# %% [markdown]
# Hardly either: both are near 0. To the samples, everything is unrelated to everything. Your ear uses another description of the sound. This
# lesson builds that description step by step, and at its end the two sevens are alike for a computer too.

# %% [markdown]
# ## 2 · The idea by hand
# ### Samples
# A microphone measures air pressure at regular moments. Each measurement is a **sample**; how many it takes per second is
# the **sample rate**, in hertz (Hz). That is all a recording is.

# %%
print(a[1500:1508].round(3))
print(a.shape, "samples /", SAMPLE_RATE, "a second =", round(len(a) / SAMPLE_RATE, 2), "s")

# %% [markdown]
# Between two samples nothing is known. How fast may a sound wiggle before that hurts? Here is a **sweep**: a tone that
# climbs from 200 Hz to 7,800 Hz in one second, 16,000 samples a second.

# %%
rate = 16_000
climb = np.linspace(200, 7_800, rate)  # frequency at each sample, in Hz
sweep = 0.3 * np.sin(2 * np.pi * np.cumsum(climb) / rate)
plot.audio(sweep, rate, label="A tone that climbs")

# %% [markdown]
# **Predict:** you keep every second sample, so 8,000 a second, and play it at that rate. What do you hear: the same climb,
# a climb that stops, or something else?

# %%
plot.audio(sweep[::2], rate // 2, label="The same, every second sample kept")

# %% [markdown]
# It climbs for half a second and then *falls*. No tone in the original falls. Look at one moment: at 8,000 samples a second,
# compare a tone of 7,000 Hz with one of 1,000 Hz.

# %%
moments = np.arange(9) / 8_000  # when samples are taken, in seconds
high, low = np.cos(2 * np.pi * 7_000 * moments), np.cos(2 * np.pi * 1_000 * moments)
assert np.allclose(high, low)
high.round(2) + 0.0  # + 0.0 turns -0 into 0

# %%
fine = np.linspace(0, 0.001, 400)
fig, ax = plt.subplots(figsize=(7, 2.4))
for hz, color, y in ((7_000, plot.SKY, 0.35), (1_000, plot.ORANGE, 0.75)):
    ax.plot(1000 * fine, np.cos(2 * np.pi * hz * fine), color=color, linewidth=1)
    ax.text(1.02, y, f"{hz:,} Hz", color=color)
ax.plot(1000 * moments, high, "o", color=plot.BLACK)
ax.set(xlabel="time in milliseconds (dots: samples)", ylabel="pressure", xlim=(-0.02, 1.2))
ax.set_title("Can samples tell 7,000 Hz from 1,000 Hz?")
plot.show(fig, alt="A fast and a slow cosine cross at every one of nine samples, so the samples fit both.")

# %% [markdown]
# They cannot: both curves pass through every sample. A tone above half the sample rate comes back as a lower one, its
# **alias**. Half the rate is the **Nyquist frequency** (Shannon 1949), and it works like a mirror: 7,000 Hz is 3,000 above
# 4,000, so it lands 3,000 below.
#
# ### How much of each frequency?
# Take eight samples. They hold one slow wave (1 cycle in eight samples) and half as much of a faster one (3 cycles).
# Pretend you do not know that.

# %%
m = np.arange(8)
x = 1.0 * np.cos(2 * np.pi * 1 * m / 8) + 0.5 * np.cos(2 * np.pi * 3 * m / 8)
x.round(2) + 0.0

# %% [markdown]
# To ask "is there a wave of $k$ cycles in it?", multiply by such a wave and add up. Where the two agree, the products are
# positive and pile up. Where they do not, they cancel.

# %%
for k in range(5):
    probe = np.cos(2 * np.pi * k * m / 8)
    print(k, "cycles:", abs((x * probe).sum().round(3)))

# %% [markdown]
# Found: 4 at one cycle, 2 at three, nothing elsewhere. (Each amount is multiplied by 4, half the number of samples.) One
# trap is left. Delay a wave by a quarter of its cycle, and it becomes a sine:

# %%
late = np.sin(2 * np.pi * 1 * m / 8)
cosine, sine = (late * np.cos(2 * np.pi * m / 8)).sum(), (late * np.sin(2 * np.pi * m / 8)).sum()
print("cosine probe finds", abs(cosine.round(3)), "· sine probe finds", sine.round(3))
print("together", np.hypot(cosine, sine).round(3))

# %% [markdown]
# The cosine probe is blind to it. So ask with both and combine the answers as the sides of a right triangle,
# $\sqrt{c^2+s^2}$. That length, the **magnitude**, is 4 however much the wave is delayed.

# %% [markdown]
# ## 3 · The formula
# ### The discrete Fourier transform
# A complex number $a + bi$ is a pair of numbers of size $\sqrt{a^2+b^2}$. So it holds both answers at once, since $e^{-i\theta} = \cos\theta - i\sin\theta$. For $N$ samples $x_n$:
#
# $$X_k = \sum_{n=0}^{N-1} x_n\, e^{-2\pi i k n / N}$$
#
# $X_k$ belongs to **bin** $k$: $k$ cycles in $N$ samples, a frequency of $k \cdot \text{rate} / N$ Hz.


# %%
def dft(x):  # (n,) → complex (n,), from the definition
    n = np.arange(len(x))
    return np.exp(-2j * np.pi * np.outer(n, n) / len(x)) @ x


np.abs(dft(x)).round(3)

# %% [markdown]
# Bins 0 to 4 are what you found by hand. Bins 5 to 7 are their mirror image, so for real sound only the first $1 + N/2$
# are kept. The *fast* Fourier transform (Cooley and Tukey 1965) gives the same numbers in $N \log N$ steps in place of $N^2$.

# %%
assert np.allclose(dft(x), np.fft.fft(x))
assert np.allclose(dft(a[:500])[:251], np.fft.rfft(a[:500]), atol=1e-5)
np.abs(np.fft.rfft(x)).round(3)

# %% [markdown]
# ### Leakage, and the window against it
# So far each wave fitted a whole number of times. **Predict:** 8.5 cycles in 64 samples. Bins 8 and 9 share it, and the others
# stay empty?

# %%
m64 = np.arange(64)
fits, torn = np.sin(2 * np.pi * 8 * m64 / 64), np.sin(2 * np.pi * 8.5 * m64 / 64)
hann = 0.5 - 0.5 * np.cos(2 * np.pi * m64 / 64)
for name, wave in [("8 cycles", fits), ("8.5 cycles", torn), ("8.5, windowed", torn * hann)]:
    print(f"{name:14}", np.abs(np.fft.rfft(wave))[5:13].round(2))

# %% [markdown]
# No: it leaks into every bin. The transform treats the frame as repeating for ever, and 8.5 cycles meet their
# own start with a jump. A **window** fades both ends to zero, so there is no jump. This is the Hann window:
#
# $$w_n = \tfrac12 - \tfrac12 \cos(2\pi n / N)$$


# %%
levels = {"no window": torn, "Hann window": torn * hann}
for name, wave in levels.items():
    magnitude = np.abs(np.fft.rfft(wave))
    levels[name] = 20 * np.log10(np.maximum(magnitude / magnitude.max(), 1e-6))
fig = plot.curves(levels, title="How far does one tone leak?", x=range(33), xlabel="bin", ylabel="dB below the peak")
plot.show(fig, alt="Without a window the level falls slowly to -33 dB; with a Hann window it drops to -86 dB.")

# %% [markdown]
# The price is near the peak: it spreads over about four bins rather than two. Far away you gain 50 decibels (dB: 20 is a factor of 10 in magnitude). Mind
# the $N$ in the formula: `np.hanning` divides by $N-1$, a *symmetric* window. Transforms want this *periodic* one, and SciPy
# gives it by default.

# %%
from scipy.signal import get_window

assert np.allclose(hann, get_window("hann", 64)) and np.allclose(hann, audio.get_window("hann", 64))
print("periodic equals symmetric?", np.allclose(hann, np.hanning(64)))

# %% [markdown]
# ### Frames over time: the STFT
# Speech changes, so one spectrum for a whole word says little. Cut the wave into short overlapping **frames** of `n_fft`
# samples, one every `hop_length` samples, and transform each. This is the short-time Fourier transform:
#
# $$X_{t,k} = \sum_n w_n\, x_{t \cdot \text{hop} + n}\, e^{-2\pi i k n / N}$$


# %%
def stft(wave, n_fft=256, hop_length=128):
    """Windowed frames, transformed: (n,) → complex (t, 1 + n_fft // 2)."""
    wave = np.pad(wave, n_fft // 2)  # center: frame t has its middle at sample t · hop
    window = get_window("hann", n_fft)
    starts = range(0, len(wave) - n_fft + 1, hop_length)
    return np.stack([np.fft.rfft(wave[s : s + n_fft] * window) for s in starts])


spectrum = stft(a)
print(a.shape, "→", spectrum.shape, "  frames of 32 ms every 16 ms, bins of", SAMPLE_RATE / 256, "Hz")
print("without centering:", audio.num_frames(len(a), 256, 128, center=False), "frames")

# %% [markdown]
# The padding line is a convention. With it ("center"), the first and last sounds get frames of their own. Without it, frame
# $t$ *starts* at $t \cdot$ hop, and there are fewer frames. Mixing the two shifts every label by half a frame, in silence.

# %% [markdown]
# ### The mel scale
# Ears do not hear in hertz. From 200 to 400 Hz is a large step, from 3,200 to 3,400 hardly one. The **mel** scale (Stevens,
# Volkmann and Newman 1937) makes equal steps sound equal. A common formula (O'Shaughnessy 1987, used by the program HTK):
#
# $$\text{mel}(f) = 2595 \log_{10}(1 + f / 700)$$


# %%
def hz_to_mel(hz):
    return 2595 * np.log10(1 + hz / 700)


def mel_to_hz(mel):
    return 700 * (10 ** (mel / 2595) - 1)


pairs = np.array([[200, 400], [3200, 3400]])
np.diff(hz_to_mel(pairs)).ravel().round()

# %% [markdown]
# The first step is four times the second. Now put triangles along the frequencies, equally wide *in mel*. Each adds up the
# power around its middle: many fine bins become a few bands, narrow where the ear is sharp.


# %%
def mel_bank(rate, n_fft, n_mels):
    """Triangles (n_mels, 1 + n_fft // 2): up from edge m to 1 at edge m + 1, down to 0 at edge m + 2."""
    edges = mel_to_hz(np.linspace(0, hz_to_mel(rate / 2), n_mels + 2))[:, None]  # (n_mels + 2, 1)
    bins = np.fft.rfftfreq(n_fft, 1 / rate)  # Hz of each bin
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rise, fall))


bank = mel_bank(SAMPLE_RATE, n_fft=256, n_mels=32)  # (32, 129)
fig, ax = plt.subplots(figsize=(7, 2.4))
ax.plot(np.linspace(0, 4000, 2049), mel_bank(SAMPLE_RATE, 4096, 32).T, linewidth=1.2)  # many bins: smooth lines
ax.set(xlabel="frequency in Hz", ylabel="weight", xlim=(0, 4000), title="Where do 32 mel bands listen?")
plot.show(fig, alt="Thirty-two triangles of height 1: the last is six times as wide as the first.")

# %% [markdown]
# ### Log-mel, and the question answered
# Loudness, too, is heard in ratios, so take the logarithm: **decibels**, $10 \log_{10}$ of a power (20 of a magnitude, as above: power is its square). A floor keeps silence
# finite: nothing lies more than 80 dB below the loudest.


# %%
def log_mel(wave):  # (n,) → dB (t, 32)
    mel = np.abs(stft(wave)) ** 2 @ bank.T  # (t, bins) @ (bins, 32)
    level = 10 * np.log10(np.maximum(mel, 1e-10))
    return np.maximum(level, level.max() - 80)


# %%
def side_by_side(pictures, names, title, seconds=0.016, top=32, ylabel="mel band (low to high)"):
    """Pictures (t, bins) next to one another, time to the right."""
    fig, axes = plt.subplots(1, len(pictures), figsize=(7.4, 2.6), sharey=True)
    for ax, picture, name in zip(axes, pictures, names, strict=True):
        extent = (0, len(picture) * seconds, 0, top)
        ax.imshow(picture.T, origin="lower", aspect="auto", cmap="cividis", extent=extent)
        ax.set_title(name, fontsize=10, fontweight="normal", loc="center")
        ax.set_xlabel("time in seconds")
        ax.grid(False)
    axes[0].set_ylabel(ylabel)
    fig.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return fig


# %%
pictures = [log_mel(wave) for wave in (a, b, c)]
fig = side_by_side(pictures, ['A: "seven"', 'B: "seven"', 'C: "three" (voice A)'], "Which two look alike now?")
plot.show(fig, alt="Both sevens are two bright blocks with a dip between; three is one block and a climbing stripe.")

# %% [markdown]
# Both sevens: a soft hiss ("s"), a bright vowel, a dip ("v"), a second vowel. "Three" is one vowel whose upper stripe climbs.
# (Most of an "s" lies above 4,000 Hz, where this sample rate is deaf.) Lengths differ, so average each picture over eight
# equal parts of its time, then compare.


# %%
def eight_parts(frames):  # (t, bins) → (8, bins): the mean of each eighth of the time
    return np.stack([part.mean(axis=0) for part in np.array_split(frames, 8)])


same_word, same_voice = (alike(eight_parts(pictures[0]), eight_parts(other)) for other in pictures[1:])
same_word, same_voice

# %%
firsts = np.flatnonzero(speech.take == 0)  # not only these three: every voice, every digit
table = np.corrcoef([eight_parts(log_mel(speech.waves[i])).ravel() for i in firsts])
assert same_word > same_voice + 0.3
word, voice = (x[firsts, None] == x[firsts] for x in (speech.digit, speech.speaker))
print(
    f"same word, other voice {table[word & ~voice].mean():.1f} · other word, same voice {table[voice & ~word].mean():.1f}"
)

# %% [markdown]
# ### MFCC
# Neighboring bands rise and fall together. A cosine transform (DCT) of each frame sorts that: its first terms hold the broad
# shape, which depends on the mouth; later ones hold fine ripples, which depend on the pitch. The first 13 are the
# **mel-frequency cepstral coefficients** (Davis and Mermelstein 1980).
#
# $$C_k = s_k \sum_{j=0}^{M-1} x_j \cos\frac{\pi k (2j+1)}{2M} \qquad s_0 = \sqrt{1/M},\; s_k = \sqrt{2/M}$$


# %%
def dct(x, n):  # first n cosine terms of the last axis: (..., m) → (..., n)
    m, k = x.shape[-1], np.arange(n)
    basis = np.cos(np.pi * np.outer(2 * np.arange(m) + 1, k) / (2 * m))  # (m, n)
    return x @ basis * np.sqrt(np.where(k == 0, 1, 2) / m)


# %%
mfcc = dct(pictures[0], 13)  # (t, 32) → (t, 13)
smooth = mfcc @ dct(np.eye(32), 13).T  # (t, 32): the transposed basis undoes it, less the terms left out
lines = {"32 log-mels": pictures[0][12], "13 MFCCs": smooth[12]}  # frame 12, inside a vowel
fig = plot.curves(lines, title="What do 13 coefficients keep?", x=range(32), xlabel="mel band", ylabel="level in dB")
plot.show(fig, alt="A jagged curve over 32 bands, and a smooth one from 13 MFCCs that follows its hills.")

# %% [markdown]
# ## 4 · The same with a library
# Librosa (McFee et al. 2015) does all this in one call, *if* every convention agrees: centering, padding, which mel scale, the
# height of the triangles, the floor. Import it and hold your functions against it.

# %% tags=["free"]
import time

start = time.perf_counter()
import librosa
import librosa.feature
import scipy.fft

librosa.feature.melspectrogram, librosa.stft  # its parts are loaded when they are first named
print(f"imported in {time.perf_counter() - start:.1f} s")

# %% [markdown]
# The first import ever on a machine takes ten seconds or more: Librosa compiles a few functions for your processor ("just in
# time") and keeps them on disk. Later imports find them. `mmcourse` compiles nothing, so no other lesson makes you wait.

# %%
wave = a.astype(np.float64)
theirs = librosa.stft(wave, n_fft=256, hop_length=128).T  # Librosa puts time last
settings = dict(sr=SAMPLE_RATE, n_fft=256, hop_length=128, n_mels=32, dtype=np.float64)
their_mel = librosa.feature.melspectrogram(y=wave, **settings, htk=True, norm=None)
their_level = librosa.power_to_db(their_mel)
their_mfcc = librosa.feature.mfcc(S=their_level, n_mfcc=13)

their_bank = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=256, n_mels=32, htk=True, norm=None, dtype=np.float64)
rows = {
    "DFT": (dft(wave[:500]), scipy.fft.fft(wave[:500])),
    "STFT": (stft(wave), theirs),
    "mel scale": (hz_to_mel(pairs), librosa.hz_to_mel(pairs, htk=True)),
    "filter bank": (bank, their_bank),
    "log-mel": (log_mel(wave), their_level.T),
    "MFCC": (dct(log_mel(wave), 13), their_mfcc.T),
}
for name, (ours, library) in rows.items():
    assert np.abs(ours - library).max() < 1e-5, name
    print(f"{name:12} {str(ours.shape):12} equal within 1e-5")

# %% [markdown]
# With its defaults Librosa gives *other* numbers: Slaney's scale (1998), straight up to 1,000 Hz and logarithmic above, and
# triangles divided by half their width. Neither is wrong; a model needs the one it was trained with. The package has both.

# %%
for htk, norm in [(False, "slaney"), (False, None), (True, "slaney"), (True, None)]:
    ours = audio.log_mel(wave, SAMPLE_RATE, 256, 128, 32, htk=htk, norm=norm, top_db=80)
    library = librosa.power_to_db(librosa.feature.melspectrogram(y=wave, **settings, htk=htk, norm=norm)).T
    assert np.abs(ours - library).max() < 1e-5
    print(f"htk={htk!s:5} norm={norm!s:6}  equal; loudest {ours.max():5.1f} dB")
assert np.allclose(audio.log_mel(wave, SAMPLE_RATE, 256, 128, 32, htk=True, norm=None, top_db=80), log_mel(wave))

# %% [markdown]
# The last line says that `audio.log_mel` *is* the function you wrote, so from here on it is imported. It also takes a batch.
# Here are a thousand clips of one second, on one processor core, best of three.


# %%
from threadpoolctl import threadpool_limits

threadpool_limits(1)  # one core


def seconds(function, *arguments):
    """Processor seconds of the best of three calls."""
    times = []
    for _ in range(3):
        start = time.process_time()
        function(*arguments)
        times.append(time.process_time() - start)
    return min(times)


def librosa_batch(waves):
    mel = librosa.feature.melspectrogram(y=waves, sr=16_000, n_fft=512, hop_length=256, n_mels=40)
    return librosa.power_to_db(mel, top_db=None)


# %% tags=["free"]
clips = np.random.default_rng(0).standard_normal((1000, 16_000)).astype(np.float32)
t_ours, t_librosa = seconds(audio.log_mel, clips, 16_000), seconds(librosa_batch, clips)
print(f"ours {t_ours:.2f} s · Librosa {t_librosa:.2f} s · {t_librosa / t_ours:.1f} times as fast")
assert t_ours < 1.25 * t_librosa
assert np.abs(audio.log_mel(clips[:20], 16_000) - librosa_batch(clips[:20]).swapaxes(1, 2)).max() < 1e-3

# %% [markdown]
# ### Resampling: the falling tone repaired
# To go from 16,000 to 8,000 samples a second, first remove what the new rate cannot hold, everything above 4,000 Hz, *then*
# keep every second sample. A low-pass filter is a weighted mean of neighbors; the weights are a sinc, $\sin(\pi x)/(\pi x)$, which lets through what lies below a limit, faded out by a window.

# %%
from scipy.signal import resample_poly

offset = np.arange(-100, 101)
weights = np.sinc(offset / 2) / 2 * np.hanning(201)  # half of the old Nyquist frequency
halved = np.convolve(sweep, weights, mode="same")[::2]
assert np.abs(halved - resample_poly(sweep, 1, 2, window=weights)).max() < 1e-5
plot.audio(halved, rate // 2, label="The climbing tone, resampled properly")

late_half = slice(4_300, None)  # the tone is above 4,200 Hz there
print("loudest sample there, every second sample kept:", np.abs(sweep[::2][late_half]).max().round(2))
print("loudest sample there, resampled properly:      ", np.abs(halved[late_half]).max().round(2))

# %% [markdown]
# It climbs, then there is silence: what 8,000 samples cannot hold is gone, and nothing false took its place. In daily work
# call `audio.resample`, which does this for any two rates.
#
# ## 5 · At work
# ### Which digit?
# Six groups of voices; five train, one tests, in turn. So **every test voice is unknown**. The classifier is always the same
# plain one (logistic regression: one weighted sum of the features per class, then softmax); only the features change. **Predict** the order of: samples, one DFT of the whole clip,
# log-mel, MFCC.

# %%
length = max(map(len, speech.waves))
whole = np.stack([np.pad(wave, (0, length - len(wave))) for wave in speech.waves])  # (clips, samples)
mels = [audio.log_mel(wave, SAMPLE_RATE, 256, 128, 32, top_db=80) for wave in speech.waves]
features = {
    "samples": whole,
    "one DFT": np.abs(np.fft.rfft(whole)),
    "log-mel": np.stack([eight_parts(frames).ravel() for frames in mels]),
    "MFCC": np.stack([eight_parts(audio.dct(frames, 13)).ravel() for frames in mels]),
}
{name: x.shape for name, x in features.items()}

# %% tags=["target"]
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, PredefinedSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

threadpool_limits(1)  # again, for what was just loaded: matrices this small are quicker on one core
model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, tol=0.01))
unknown = list(GroupKFold(6, shuffle=True, random_state=0).split(speech.waves, groups=speech.speaker))
scores = {name: cross_val_score(model, x, speech.digit, cv=unknown) for name, x in features.items()}
known = {n: cross_val_score(model, features[n], speech.digit, cv=PredefinedSplit(speech.take)) for n in features}
means = {name: score.mean() for name, score in scores.items()}
expect_within("digits from samples", means["samples"], 0.31, 0.06)
expect_within("digits from one DFT", means["one DFT"], 0.62, 0.08)
expect_within("digits from log-mel", means["log-mel"], 0.96, 0.03)
expect_within("digits from MFCC", means["MFCC"], 0.945, 0.03)
assert means["log-mel"] > means["one DFT"] + 0.15 > means["samples"] + 0.3

# %% tags=["free"]
fig = plot.bar_with_ceiling(
    [f"{name} ({features[name].shape[1]:,})" for name in means],
    list(means.values()),
    [known[name].mean() for name in means],
    [score.std() for score in scores.values()],
    title="Which features carry a word to unknown voices?",
    chance=0.1,
    marker="known voices",
)
plot.show(fig, alt="Accuracy on unknown voices: samples about 0.3, one DFT about 0.6, MFCC and log-mel about 0.95.")

# %% [markdown]
# (In brackets: numbers per clip; whisker: spread over the groups; marker: new takes of voices that were in training.) The 256 numbers of log-mel beat thousands of
# samples. One DFT forgets *when*, so "nine" and its reverse would be equal. MFCC keeps nearly all in 104 numbers;
# networks prefer log-mel, since neighbors stay neighbors.
#
# ### Which mood?
# In `mood` everyone says one sentence; *how* is the cue, and the best possible accuracy is known exactly. Listen to one voice,
# negative and then positive (a part each).

# %%
from mmcourse.datasets import load, mood

train, test = load("mood", "train"), load("mood", "test")
for cue in ("negative", "positive"):
    i = np.flatnonzero((test.meta["voice_cue"] == cue) & (test.meta["speaker"] == test.meta["speaker"][0]))[0]
    plot.audio(test[i]["voice"][:16_000], test.sample_rate, label=f"A {cue} way of saying it")


# %% [markdown]
# **Predict:** which of these does best here? The mean log-mel frame of the clip, its mean MFCCs, or, rather stupidly, the
# *length* of the clip in seconds and nothing else? The classifier is a tree of at most three questions.


# %%
from sklearn.tree import DecisionTreeClassifier


def on_mood(describe):
    """Test accuracy when each clip is described by describe(wave)."""
    columns = [data.column("voice") for data in (train, test)]
    x_train, x_test = (np.stack([describe(w) for w in column.store])[column.index] for column in columns)
    return DecisionTreeClassifier(max_depth=3, random_state=0).fit(x_train, train.labels).score(x_test, test.labels)


reached = {
    "mean log-mel": on_mood(lambda w: audio.log_mel(w, 16_000, top_db=60).mean(axis=0)),
    "mean MFCC": on_mood(lambda w: audio.mfcc(w, 16_000, top_db=60).mean(axis=0)),
    "length alone": on_mood(lambda w: np.array([len(w) / 16_000])),
}
expect_within("mood from mean log-mel", reached["mean log-mel"], 0.42, 0.07)
expect_within("mood from mean MFCC", reached["mean MFCC"], 0.40, 0.07)
expect_within("mood from length", reached["length alone"], 0.665, 0.012)

# %% tags=["free"]
ceiling = mood.bayes_accuracy(["voice"])
title = "What does a description of the voice tell of the mood?"
fig = plot.bar_with_ceiling(list(reached), list(reached.values()), ceiling, title=title, chance=1 / 3)
plot.show(fig, alt="Mean log-mel and mean MFCC stay near 0.4; the length alone reaches 0.665 of a ceiling of 0.674.")

# %% [markdown]
# One number reaches the ceiling, and forty fail: averaging over time threw tempo away, and tempo carries mood here. (Real
# moods are not so tidy.) Two rules: a feature must keep what *this* task needs, and the stupidest one is tried first.
#
# ## 6 · Take it apart
# ### The length of the frame
# **Predict:** two tones 60 Hz apart, and a click in the middle. Which frame sees the tones as two: 16 ms or 128 ms? Which
# one says when the click was?

# %%
t = np.arange(4_000) / 8_000
tones = np.sin(2 * np.pi * 1_000 * t) + np.sin(2 * np.pi * 1_060 * t)
tones[2_000] += 20  # the click
levels = [audio.power_to_db(np.abs(audio.stft(tones, n, 16)) ** 2, top_db=50) for n in (128, 1_024)]
names, title = ["frames of 16 ms", "frames of 128 ms"], "One frame length for tones and clicks?"
fig = side_by_side(levels, names, title, seconds=16 / 8_000, top=4_000, ylabel="frequency in Hz")
fig.axes[0].set_ylim(700, 1_400)
plot.show(fig, alt="Short frames: one thick line and a thin click. Long frames: two thin lines, a click smeared wide.")

# %% [markdown]
# Neither sees both. A frame of $T$ seconds has bins $1/T$ Hz apart: sharper in frequency is blunter in time, and no formula
# gets around it. Speech uses 20 to 40 ms, short enough for a syllable and long enough for a voice.
#
# ### Noise
# The **signal-to-noise ratio** says how much stronger the voice is, in decibels: $10 \log_{10}(P_\text{voice}/P_\text{noise})$. At 0 dB both
# have equal power. To reach a wanted ratio, scale the noise.

# %%
rng = np.random.default_rng(0)
noise = rng.standard_normal(len(a))
scale = np.sqrt(np.mean(a**2) / np.mean(noise**2) / 10 ** (10 / 10))  # for 10 dB
print("reached", (10 * np.log10(np.mean(a**2) / np.mean((scale * noise) ** 2))).round(3), "dB")
for snr in (20, 10, 0):
    plot.audio(audio.add_noise(a, snr, np.random.default_rng(0)), SAMPLE_RATE, label=f'"Seven" at {snr} dB')

# %% [markdown]
# You still understand all three. **Predict:** a model that never heard noise is right on nearly 9 of 10 clips of the test
# voices when the noise is faint (30 dB). At 10 dB?


# %%
def describe(waves):
    return np.stack([eight_parts(audio.log_mel(w, SAMPLE_RATE, 256, 128, 32, top_db=80)).ravel() for w in waves])


def noisy(waves, ratios, seed):
    rng = np.random.default_rng(seed)
    return [audio.add_noise(wave, ratio, rng) for wave, ratio in zip(waves, ratios, strict=True)]


mine = speech.split["speaker"] == "train"
y_train, y_test = speech.digit[mine], speech.digit[~mine]
train_waves, test_waves = ([speech.waves[i] for i in np.flatnonzero(side)] for side in (mine, ~mine))

clean = describe(train_waves)
mixed = describe(noisy(train_waves, rng.uniform(-6, 30, len(y_train)), seed=1))  # a ratio by chance for each clip
ratios = [30, 20, 10, 0, -6]
tests = [describe(noisy(test_waves, [snr] * len(y_test), seed=2)) for snr in ratios]
plain = make_pipeline(StandardScaler(), LogisticRegression(C=0.01)).fit(clean, y_train)
hardened = make_pipeline(StandardScaler(), LogisticRegression(C=0.01)).fit(np.r_[clean, mixed], np.r_[y_train, y_train])
accuracy = {
    "quiet only": [plain.score(x, y_test) for x in tests],
    "with noise": [hardened.score(x, y_test) for x in tests],
}
expect_within("quiet training, test at 30 dB", accuracy["quiet only"][0], 0.88, 0.05)
expect_within("quiet training, test at 10 dB", accuracy["quiet only"][2], 0.18, 0.07)
expect_within("noisy training, test at 10 dB", accuracy["with noise"][2], 0.88, 0.04)
assert accuracy["with noise"][0] > accuracy["quiet only"][0] - 0.02

# %% tags=["free"]
title, x_label = "What does training with noise change?", "signal-to-noise ratio of the test in dB"
fig = plot.curves(accuracy, title=title, x=ratios, xlabel=x_label, ylabel="accuracy", levels={"chance": 0.1})
fig.axes[0].invert_xaxis()
plot.show(fig, alt="Trained on quiet clips, accuracy falls to chance by 0 dB; trained with noise it is near 0.8 there.")

# %% [markdown]
# It collapses: noise fills the quiet bands, and in decibels that is a huge change. The cure costs one line, a noisy copy
# of the training clips. At 30 dB it costs nothing.
#
# ### SpecAugment
# Hide random stripes of time and of bands while training (Park et al. 2019, arXiv 1904.08779), and the model cannot lean on
# any one of them.

# %%
frames = audio.log_mel(a, SAMPLE_RATE, 256, 128, 32, top_db=80)
hidden = [audio.spec_augment(frames, np.random.default_rng(seed), 1, 4, 1, 10) for seed in (1, 2)]
names = ["as it is", "hidden once", "hidden again"]
fig = side_by_side([frames, *hidden], names, "What does SpecAugment hide?")
plot.show(fig, alt="A log-mel picture, and two copies with a flat stripe across time and another across bands.")

# %% [markdown]
# Does it help here? Test on whole clips, and on clips whose eight lowest bands are missing, as through a bad telephone.


# %%
def parts_of(pictures):
    return np.stack([eight_parts(picture).ravel() for picture in pictures])


def deaf(picture):
    picture = picture.copy()
    picture[:, :8] = picture.mean()
    return picture


train_mels, test_mels = ([mel for mel, own in zip(mels, mine, strict=True) if own == side] for side in (True, False))
whole_test, deaf_test = parts_of(test_mels), parts_of([deaf(mel) for mel in test_mels])
gains = []
for seed in range(3):
    rng = np.random.default_rng(seed)
    copies = [parts_of([audio.spec_augment(mel, rng, 1, 4, 1, 10) for mel in train_mels]) for _ in range(3)]
    masked = make_pipeline(StandardScaler(), LogisticRegression(C=0.01)).fit(
        np.concatenate([clean, *copies]), np.tile(y_train, 4)
    )
    gains.append([masked.score(x, y_test) - plain.score(x, y_test) for x in (whole_test, deaf_test)])
gain_whole, gain_deaf = 100 * np.mean(gains, axis=0)

expect_within("points gained on whole clips", gain_whole, -1, 2)
expect_within("points gained on clips without low bands", gain_deaf, 8, 4)

# %% [markdown]
# On whole clips it gains nothing (about one point less): a small linear model on averages was not leaning on single stripes. Where bands
# are missing, it gains eight. An augmentation helps against what it imitates; large networks, which do memorize, gain more.
#
# ## 7 · At full size
# Whisper (Radford et al. 2022, arXiv 2212.04356) learned from 680,000 hours of speech. Its ears are yours: 80 mel bands,
# frames of 400 samples every 160, Slaney's scale, padding by reflection. Its front end comes with `transformers`, without weights.

# %%
from transformers import WhisperFeatureExtractor

voice = test[0]["voice"]
theirs = WhisperFeatureExtractor()(voice, sampling_rate=16_000, return_tensors="np")["input_features"][0].T  # (t, 80)
padded = np.pad(voice.astype(np.float64), (0, 30 * 16_000 - len(voice)))  # Whisper always hears 30 s
bels = audio.log_mel(padded, 16_000, 400, 160, 80, pad_mode="reflect")[:-1] / 10
ours = (np.maximum(bels, bels.max() - 8) + 4) / 4
assert np.abs(ours - theirs).max() < 1e-4
print(ours.shape, "equal within 1e-4 (theirs is float32)")

# %% [markdown]
# And real people: the Free Spoken Digit Dataset, six speakers. The same call, where the files have been fetched with
# `mmcourse data fetch fsdd-1.0.10`.

# %% tags=["free"]
from mmcourse.datasets.public import FSDD

if FSDD.present():
    real = read_clips("real")
    own = real.split["speaker"] != "test"
    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300)).fit(
        describe([real.waves[i] for i in np.flatnonzero(own)]), real.digit[own]
    )
    score = fitted.score(describe([real.waves[i] for i in np.flatnonzero(~own)]), real.digit[~own])
    print(f"two unknown real speakers: {score:.2f}")
else:
    print("Not run: the recordings are not here. It would train on four people and test on two others.")
    print("When this lesson was written, 0.71 of 1,000 recordings were right: real people differ more.")

# %% [markdown]
# ## 8 · What to remember
# - A sample rate holds frequencies up to its half; the rest folds back unless it is filtered out first.
# - A DFT bin is "multiply by a wave and add up"; a window keeps one tone from leaking everywhere.
# - Wave → STFT → power → mel → log gives log-mel; a cosine transform more gives MFCC.
# - Equal numbers need equal conventions: centering, padding, scale, norm, floor.
# - Features must keep what the task needs, and training must hear the noise that will come.

# %% [markdown]
# ## 9 · Check yourself
# <details><summary>A tone of 5,000 Hz is sampled 8,000 times a second. What do you hear?</summary>3,000 Hz: it is 1,000 above the mirror at 4,000, so it lands 1,000 below.</details>
#
# <details><summary>n_fft is 512 at 16,000 Hz. How far apart are the bins, and how long is a frame?</summary>31.25 Hz and 32 ms. One is the inverse of the other.</details>
#
# <details><summary>Your log-mel is 16 to 24 dB above a model's, most in high bands. First suspect?</summary>The norm of the triangles: Slaney's divides wide bands by their width.</details>
#
# <details><summary>Why not measure the SNR with 20 log₁₀ of the powers?</summary>20 log₁₀ is for amplitudes; power is amplitude squared, and the square has already given the 2.</details>
#
# ## 10 · Exercises
# [Three tasks](exercises/audio.ipynb): where a tone lands, log-mel from a spectrum, and whether one frame can see it all.
#
# ## Sources
# Stevens, Volkmann, Newman 1937, *A scale for the measurement of the psychological magnitude pitch* · Shannon 1949, *Communication in
# the presence of noise* · Cooley, Tukey 1965 (FFT) · Harris 1978 (windows) · Davis, Mermelstein 1980 (MFCC) · O'Shaughnessy 1987, *Speech communication* ·
# Slaney 1998, *Auditory Toolbox* · McFee et al. 2015 (Librosa) · Park et al. 2019, arXiv 1904.08779 · Radford et al. 2022, arXiv 2212.04356.
