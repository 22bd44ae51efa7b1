"""Sound: from a file to log-mel frames, every step written out.

Time runs along the last axis of a wave, ``(..., n)``, and along the last axis but one of anything made of frames,
``(..., t, bins)``, so that one frame is one row; Librosa has it the other way round. Leading axes are a batch.
float64 waves are computed in float64, all others in float32.
"""

import functools
import io
from math import gcd

import numpy as np
from scipy.fft import rfft  # the same as NumPy's, and twice as fast for many short frames

from mmcourse.preprocess.errors import InputError
from mmcourse.preprocess.mel import hz_to_mel as hz_to_mel  # the mel scale belongs to this module's functions
from mmcourse.preprocess.mel import mel_filterbank as mel_filterbank
from mmcourse.preprocess.mel import mel_to_hz as mel_to_hz
from mmcourse.preprocess.source import read_bytes

SAMPLE_RATES = (4_000, 192_000)  # Hz; beyond these a header is damaged, or the sound is not speech


def read(source, sample_rate: int | None = None, max_seconds: float = 600.0) -> tuple[np.ndarray, int]:
    """Decode WAV (8, 16, 24, 32 bit, float), FLAC, OGG or MP3 to one channel.

    The content decides the format, not the file's extension. Channels are averaged. Float files that overshoot are
    clipped to [-1, 1], as a loudspeaker would.

    Parameters
    ----------
    source : path, bytes or binary file
    sample_rate : int, optional
        Resample to this many samples a second.
    max_seconds : float
        Refuse longer sounds.

    Returns
    -------
    wave : float32 (n,), in [-1, 1]
    sample_rate : int, in Hz

    Raises
    ------
    FileNotFoundError, InputError
        Missing; or empty, damaged, without samples, not a number, or too long.
    """
    import soundfile  # here, so that the mathematics below loads without it

    data, name = read_bytes(source, "sound")
    try:
        with soundfile.SoundFile(_Bytes(data)) as file:
            rate = file.samplerate
            _check_header(name, file.frames, rate, max_seconds)
            wave = file.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, TypeError) as error:
        problem = f"cannot be decoded as a sound ({error})"
        raise InputError(name, problem, "check that it is a whole WAV, FLAC, OGG or MP3 file") from None
    wave = _check_samples(name, wave).mean(axis=1)
    return (wave, rate) if sample_rate is None else (resample(wave, rate, sample_rate), sample_rate)


class _Bytes(io.BytesIO):
    """A damaged header can send libsndfile before the start; stay there, where BytesIO complains on stderr."""

    def seek(self, offset, whence=0):
        try:
            return super().seek(offset, whence)
        except ValueError:
            return super().seek(0)


def _check_header(name, n, rate, max_seconds):
    if n == 0:
        raise InputError(name, "holds no samples", "record it again, or leave it out")
    if not SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1]:
        raise InputError(
            name, f"a sample rate of {rate} Hz, outside {SAMPLE_RATES[0]}-{SAMPLE_RATES[1]}", "check the file's header"
        )
    if n > max_seconds * rate:
        raise InputError(name, f"{n / rate:,.0f} s long, more than {max_seconds:g}", "cut it, or raise max_seconds")


def _check_samples(name, wave):
    if not len(wave):
        raise InputError(name, "its header promises samples, but it holds none", "it was cut short: fetch it again")
    peak = float(np.abs(wave).max())  # NaN and inf survive a maximum
    if not np.isfinite(peak):
        raise InputError(name, "holds NaN or infinite samples", "repair the file, for instance with np.nan_to_num")
    if peak > 8:
        raise InputError(name, f"samples reach {peak:g}, where 1 is full scale", "divide by the peak and save again")
    return np.clip(wave, -1, 1)  # (n, channels)


def check_wave(wave, where: str = "wave") -> np.ndarray:
    """Return `wave` as a float32 or float64 array ``(..., n)``, or say what is wrong with it."""
    wave = np.asarray(wave)
    if wave.dtype.kind != "f":
        remedy = "scale it to float32 in [-1, 1] first (16-bit integers: wave / 32768)"
        raise InputError(where, f"expected floats, got {wave.dtype}", remedy)
    if wave.ndim == 0 or wave.shape[-1] == 0:
        raise InputError(where, f"expected samples on the last axis, got shape {wave.shape}", "leave empty clips out")
    wave = wave.astype(np.float64 if wave.dtype.itemsize >= 8 else np.float32, copy=False)
    if not np.isfinite(wave).all():
        raise InputError(where, "holds NaN or infinite samples", "repair it before computing a spectrum")
    return wave


def dft(x: np.ndarray) -> np.ndarray:
    """Discrete Fourier transform from its definition, X_k = Σ_n x_n e^(-2πi kn/N), over the last axis: O(N²)."""
    x = np.asarray(x)
    n = np.arange(x.shape[-1])
    return x @ np.exp(-2j * np.pi * np.outer(n, n) / max(len(n), 1))


def get_window(name: str, n: int) -> np.ndarray:
    """A periodic window of `n` samples, float64 (n,): a sum of cosines that falls towards 0 at both ends.

    "Periodic" means that sample n would equal sample 0, which is what a transform of length n assumes.
    Harris 1978, *On the use of windows for harmonic analysis with the discrete Fourier transform*.
    """
    terms = {"hann": (0.5, 0.5), "hamming": (0.54, 0.46), "blackman": (0.42, 0.5, 0.08), "rectangular": (1.0,)}
    if name not in terms:
        raise InputError("window", f'expected one of {", ".join(terms)}, got "{name}"', "choose one of them")
    angle = 2 * np.pi * np.arange(n) / n
    return sum((-1) ** k * a * np.cos(k * angle) for k, a in enumerate(terms[name]))


def num_frames(n: int, n_fft: int = 512, hop_length: int = 256, center: bool = True) -> int:
    """Number of frames that a wave of `n` samples gives; for the padding mask of a batch."""
    if hop_length < 1 or n_fft < 1:
        raise InputError(
            "frames", f"n_fft and hop_length must be at least 1, got {n_fft} and {hop_length}", "choose whole samples"
        )
    padded = n + 2 * (n_fft // 2) if center else n
    if padded < n_fft:
        remedy = "pad it, use center=True, or a smaller n_fft"
        raise InputError("wave", f"{n} samples do not fill one frame of {n_fft}", remedy)
    return 1 + (padded - n_fft) // hop_length


def frame(wave: np.ndarray, n_fft: int, hop_length: int) -> np.ndarray:
    """Cut ``(..., n)`` into overlapping frames ``(..., t, n_fft)``, every `hop_length` samples: a view, not a copy."""
    num_frames(wave.shape[-1], n_fft, hop_length, center=False)  # complains when there is none
    return np.lib.stride_tricks.sliding_window_view(wave, n_fft, axis=-1)[..., ::hop_length, :]


def stft(
    wave, n_fft: int = 512, hop_length: int = 256, window: str = "hann", center: bool = True, pad_mode: str = "constant"
):
    """Short-time Fourier transform: X[t, k] = Σ_n w_n x_(t·hop_length+n) e^(-2πi kn/n_fft).

    With `center`, n_fft // 2 samples are added at each end ("constant": zeros; "reflect": a mirror), so that frame t
    is centred on sample t·hop_length and the first and last sounds are not lost. Without it, frame t *starts* there.

    Parameters
    ----------
    wave : float (..., n)

    Returns
    -------
    complex64 or complex128 (..., t, 1 + n_fft // 2): from 0 Hz to half the sample rate
    """
    wave = check_wave(wave)
    if center:
        wave = np.pad(wave, [(0, 0)] * (wave.ndim - 1) + [(n_fft // 2, n_fft // 2)], mode=pad_mode)
    return rfft(frame(wave, n_fft, hop_length) * get_window(window, n_fft).astype(wave.dtype))


@functools.lru_cache(32)
def _bank(dtype: np.dtype, *settings) -> np.ndarray:
    """The filter bank (1 + n_fft // 2, n_mels), kept: for a short clip it costs as much as the rest."""
    bank = mel_filterbank(*settings).T.astype(dtype)
    bank.setflags(write=False)
    return bank


def mel_spectrogram(
    wave,
    sample_rate: int,
    n_fft: int = 512,
    hop_length: int = 256,
    n_mels: int = 40,
    *,
    fmin=0.0,
    fmax=None,
    htk=False,
    norm="slaney",
    window="hann",
    center=True,
    pad_mode="constant",
) -> np.ndarray:
    """Power in each mel band: |STFT|² times the filter bank.

    Parameters
    ----------
    wave : float32 or float64 (..., n)

    Returns
    -------
    the wave's dtype (..., t, n_mels)
    """
    wave = check_wave(wave)
    bank = _bank(wave.dtype, sample_rate, n_fft, n_mels, fmin, fmax, htk, norm)
    clips = wave.reshape(-1, wave.shape[-1])
    frames = num_frames(wave.shape[-1], n_fft, hop_length, center)
    out = np.empty((len(clips), frames, n_mels), wave.dtype)
    step = max(1, 4096 // frames)  # clips at once: enough for a quick product, few enough for the processor's cache
    power = np.empty((step, frames, len(bank)), wave.dtype)
    for start in range(0, len(clips), step):
        part = clips[start : start + step]
        for clip, row in zip(part, power, strict=False):
            spectrum = stft(clip, n_fft, hop_length, window, center, pad_mode)
            np.add(spectrum.real**2, spectrum.imag**2, out=row)
        rows = out[start : start + step].reshape(-1, n_mels)  # one large product: threads meet once, not for each clip
        np.matmul(power[: len(part)].reshape(-1, len(bank)), bank, out=rows)
    return out.reshape(*wave.shape[:-1], *out.shape[1:])


def power_to_db(power, ref: float = 1.0, amin: float = 1e-10, top_db: float | None = None) -> np.ndarray:
    """Decibels, 10 log10(max(power, amin) / ref), for power of shape (..., t, bins).

    `top_db` lifts what lies more than that below the clip's loudest value; Librosa takes the loudest of the whole
    array, which lets one clip of a batch change the others.
    """
    db = 10 * np.log10(np.maximum(power, amin)) - 10 * np.log10(max(ref, amin)).astype(np.asarray(power).dtype)
    return db if top_db is None else np.maximum(db, db.max(axis=(-2, -1), keepdims=True) - top_db)


def log_mel(wave, sample_rate: int, n_fft: int = 512, hop_length: int = 256, n_mels: int = 40, *, top_db=None, **mel):
    """Log-mel frames in decibels: what most models of speech are given to hear.

    Parameters
    ----------
    wave : float32 or float64 (..., n)
        One clip or a batch; digital silence gives -100 dB.
    sample_rate : int, in Hz
    n_fft, hop_length : int, in samples
    n_mels : int
    top_db : float, optional
        Floor below each clip's loudest value.
    **mel
        `fmin`, `fmax`, `htk`, `norm`, `window`, `center`, `pad_mode`: see `mel_spectrogram`, `stft`.

    Returns
    -------
    the wave's dtype (..., t, n_mels), t = `num_frames` (n, n_fft, hop_length)

    Raises
    ------
    InputError
        Not floats, no samples, or NaN.
    """
    return power_to_db(mel_spectrogram(wave, sample_rate, n_fft, hop_length, n_mels, **mel), top_db=top_db)


def dct(x: np.ndarray, n: int | None = None) -> np.ndarray:
    """First `n` terms of the orthonormal cosine transform (type II) over the last axis.

    C_k = s_k Σ_j x_j cos(π k (2j+1) / 2N), with s_0 = √(1/N) and s_k = √(2/N).
    """
    x = np.asarray(x)
    size = x.shape[-1]
    k = np.arange(size if n is None else n)
    basis = np.cos(np.pi * np.outer(2 * np.arange(size) + 1, k) / (2 * size))  # (N, n)
    return x @ (basis * np.sqrt(np.where(k == 0, 1, 2) / size)).astype(x.dtype)


def mfcc(wave, sample_rate: int, n_mfcc: int = 13, *, top_db: float | None = 80.0, **mel) -> np.ndarray:
    """Mel-frequency cepstral coefficients (..., t, n_mfcc): the cosine transform of each log-mel frame.

    The first few hold the broad shape of the spectrum and little of the pitch. Davis & Mermelstein 1980.
    """
    return dct(log_mel(wave, sample_rate, top_db=top_db, **mel), n_mfcc)


def resample(wave: np.ndarray, sample_rate: int, new_sample_rate: int) -> np.ndarray:
    """Change the sample rate of ``(..., n)`` with a polyphase filter.

    Upsample by new/gcd, low-pass below half the smaller rate so that nothing aliases, downsample by old/gcd.

    Returns
    -------
    the wave's dtype (..., ⌈n · new_sample_rate / sample_rate⌉)
    """
    from scipy.signal import resample_poly  # here: the slowest import of this file

    for value in (sample_rate, new_sample_rate):
        if int(value) != value or not SAMPLE_RATES[0] <= value <= SAMPLE_RATES[1]:
            raise InputError(
                "sample rate", f"expected a whole number of {SAMPLE_RATES} Hz, got {value}", "check both rates"
            )
    common = gcd(int(sample_rate), int(new_sample_rate))
    return resample_poly(check_wave(wave), int(new_sample_rate) // common, int(sample_rate) // common, axis=-1)


def preemphasis(wave: np.ndarray, coefficient: float = 0.97) -> np.ndarray:
    """y_n = x_n - c·x_(n-1): lifts the high frequencies, which speech has little of."""
    wave = check_wave(wave)
    return np.concatenate([wave[..., :1], wave[..., 1:] - wave.dtype.type(coefficient) * wave[..., :-1]], axis=-1)


def add_noise(wave, snr_db: float, rng: np.random.Generator, noise=None) -> np.ndarray:
    """Add `noise` (white if None; else broadcast to the wave) at 10 log10(P_signal / P_noise) = `snr_db`, clip by clip.

    Raises
    ------
    InputError
        The wave or the noise is silent: no ratio of powers exists.
    """
    wave = check_wave(wave)
    noise = rng.standard_normal(wave.shape) if noise is None else check_wave(noise, "noise")
    signal, power = (np.mean(np.square(x, dtype=np.float64), axis=-1, keepdims=True) for x in (wave, noise))
    if not (np.all(signal > 0) and np.all(power > 0)):
        raise InputError("add_noise", "the wave or the noise is silent", "leave silent clips as they are")
    return (wave + noise * np.sqrt(signal / power / 10 ** (snr_db / 10))).astype(wave.dtype)


def spec_augment(mel, rng: np.random.Generator, n_time=2, max_time=20, n_mel=2, max_mel=8, fill=None) -> np.ndarray:
    """Hide random stripes of frames and of bands in each clip of (..., t, m): the model must not lean on any one.

    Stripe widths are uniform on 0..max. `fill` is the clip's mean unless given. Park et al. 2019, arXiv 1904.08779.
    """
    out = np.array(mel)
    for clip in out.reshape(-1, *out.shape[-2:]):
        value = clip.mean() if fill is None else fill
        for axis, count, widest in ((0, n_time, max_time), (1, n_mel, max_mel)):
            for _ in range(count):
                width = rng.integers(0, min(widest, clip.shape[axis]) + 1)
                start = rng.integers(0, clip.shape[axis] - width + 1)
                clip.swapaxes(0, axis)[start : start + width] = value
    return out
