# %% [markdown]
# # Exercises · Audio
#
# *Where a tone lands, log-mel frames from a spectrum, and whether one frame can see it all.*
#
# {{budget}}
#
# **Lesson**: [Audio](../audio.ipynb) · **6 points, about 30 minutes** · NumPy only

# %%
import numpy as np

from mmcourse import plot
from mmcourse.check import check

# %% [markdown]
# ## audio.1 · Where does the tone land?
#
# Difficulty 1 of 3 · 8 minutes · 1 point
#
# A tone of `hz` is sampled `rate` times a second, with no filter in front. Which frequency do you hear, between 0 and
# `rate / 2`?
#
# **Example.** `rate` is 8,000, so the mirror stands at 4,000 Hz. A tone of 3,000 Hz stays. One of 5,000 Hz is heard at
# 3,000. At 8,000 Hz every sample falls on the same point of the wave: 0 Hz. At 9,000 Hz you hear 1,000, and so on: the
# pattern repeats for ever.

# %%
n = np.arange(4000)
for hz in (3_000, 5_000):
    plot.audio(0.2 * np.cos(2 * np.pi * hz * n / 8_000), 8_000, label=f"{hz:,} Hz, 8,000 samples a second")

# %% [markdown]
# **Write** `heard(hz, rate)` for one tone. Return one number in Hz. Tones may lie far above the rate.


# %%
def heard(hz, rate):
    """Frequency in Hz, 0 to rate / 2, at which a tone of hz is heard."""
    # BEGIN SOLUTION
    return abs(hz - rate * round(hz / rate))
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Walk upwards from 0 Hz: the heard tone climbs to `rate / 2`, falls back to 0 at `rate`, climbs again. How far is `hz`
# from the nearest place where it is 0?
# </details>
#
# <details><summary>Hint 2</summary>
#
# First take whole rates away: `rest = hz % rate`. If `rest` is above `rate / 2`, the answer is `rate - rest`.
# </details>

# %% tags=["variant"]
hundreds = 123  # of: 41 to 399
yours = 100 * hundreds, 8000
print("A tone of your own, and the rate:", *yours)

# %%
check("audio.1", heard)

# %% [markdown]
# ## audio.2 · From a spectrum to log-mel
#
# Difficulty 2 of 3 · 10 minutes · 2 points
#
# An STFT has been computed for you: `spectrum` is complex, `(t, bins)`, one row a frame. `bank` holds the mel triangles,
# `(n_mels, bins)`. What is left: power, mel bands, decibels, and a floor.
#
# - **power**: the squared magnitude of each entry;
# - **bands**: each triangle adds up the power under it, with its weights;
# - **decibels**: $10 \log_{10}$, after lifting anything below $10^{-10}$ to $10^{-10}$ (not adding it);
# - **floor**: nothing may lie more than 80 dB below the loudest value of the whole clip.
#
# **Example.** One frame with the two bins $3+4i$ and $2$, and one triangle with the weights 1 and 0.5.

# %%
power = np.array([abs(3 + 4j) ** 2, abs(2) ** 2])
band_power = 1 * power[0] + 0.5 * power[1]
print("power", power, "· band", band_power, "· level", (10 * np.log10(band_power)).round(2), "dB")

# %% [markdown]
# **Write** `log_mel(spectrum, bank)`. Return decibels of shape `(t, n_mels)`.


# %%
def log_mel(spectrum, bank):
    """spectrum: complex (t, bins); bank: (n_mels, bins) → dB (t, n_mels)."""
    # BEGIN SOLUTION
    bands = np.abs(spectrum) ** 2 @ bank.T  # (t, bins) @ (bins, n_mels)
    level = 10 * np.log10(np.maximum(bands, 1e-10))
    return np.maximum(level, level.max() - 80)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# `np.abs` of a complex array gives magnitudes. `@` adds products up; `bank` has to be turned so that bins meet bins.
# </details>
#
# <details><summary>Hint 2</summary>
#
# `level = 10 * np.log10(np.maximum(bands, 1e-10))`. The floor is one more `np.maximum`, against `level.max() - 80`.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = g.integers(1, 30, (1, 2)) + 1j * g.integers(1, 30, (1, 2)), np.array([[1, 0.5]])
print("A frame of your own, and a triangle:", *yours)

# %%
check("audio.2", log_mel)

# %% [markdown]
# ## audio.3 · Can one frame see both?
#
# Difficulty 3 of 3 · 12 minutes · 3 points
#
# Somebody asks for frames that show two tones `hz_apart` as two, **and** two clicks `ms_apart` as two. You know from the
# lesson that each wish pulls the frame length the other way. With a Hann window, as a rule of thumb:
#
# - two tones show as two if they are at least **two bins** apart (a bin is `rate / n_fft` wide);
# - two clicks show as two if a frame is **no longer** than the time between them.
#
# `n_fft` has to be a power of two (1, 2, 4, 8, ...). Of those that fulfil both wishes take the **smallest**: it is the
# cheapest. If none does, say so honestly with 0.
#
# **Example.** At 8,000 Hz, tones 100 Hz apart and clicks 50 ms apart.

# %%
for n_fft in (128, 256, 512):
    print(n_fft, "two bins:", 2 * 8_000 / n_fft, "Hz · frame:", 1000 * n_fft / 8_000, "ms")

# %% [markdown]
# 128 is too coarse for the tones, 512 too long for the clicks. 256 does both.
#
# **Write** `choose(rate, hz_apart, ms_apart)`. Return one whole number, a power of two or 0.


# %%
def choose(rate, hz_apart, ms_apart):
    """Smallest power of two that shows tones and clicks apart, or 0."""
    # BEGIN SOLUTION
    n_fft = 1
    while 2 * rate / n_fft > hz_apart:
        n_fft *= 2
    return n_fft if 1000 * n_fft / rate <= ms_apart else 0
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# The tones ask for `n_fft` of at least something, the clicks for at most something. Find the smallest power of two that is
# good enough for the tones; then there is only one question left.
# </details>
#
# <details><summary>Hint 2</summary>
#
# Start with `n_fft = 1` and double it while `2 * rate / n_fft > hz_apart`. A frame lasts `1000 * n_fft / rate` milliseconds.
# </details>

# %% tags=["variant"]
hz_apart = 60  # of: 20 to 200
ms_apart = 20  # of: 5 to 100
yours = 16_000, hz_apart, ms_apart
print("Wishes of your own: rate, hz_apart, ms_apart =", *yours)

# %%
check("audio.3", choose)

# %% [markdown]
# ## Done?
#
# Run the whole notebook once more from the top (*Run → Restart Kernel and Run All Cells*). One way to solve each task is in
# [the solutions](../solutions/audio.ipynb). Another way that passes is just as right.
