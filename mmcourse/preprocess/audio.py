"""Sound: from a file to log-mel frames, every step written out.

Time runs along the last axis of a wave, ``(..., n)``, and along the second-to-last axis of anything made of frames,
``(..., t, bins)``, so that each frame is one row; Librosa has it the other way round. Leading axes are a batch.
float64 waves are computed in float64, all others in float32.
"""

import functools
import io
import warnings
from math import gcd

import numpy as np
from scipy.fft import rfft  # gives the same as NumPy's, and is twice as fast for many short frames

from mmcourse.preprocess.arguments import check_choice, check_generator, check_integer, check_number
from mmcourse.preprocess.containers import DOWNLOAD_AGAIN, MAX_PADDING, REWRITE, check_container
from mmcourse.preprocess.errors import InputError
from mmcourse.preprocess.mel import hz_to_mel as hz_to_mel  # the mel scale belongs to this module's functions
from mmcourse.preprocess.mel import mel_filterbank, warn_of_empty_filters
from mmcourse.preprocess.source import read_bytes

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 192_000  # Hz; beyond these a header is damaged, or the sound is not speech
BLOCK = 1 << 20  # samples, of all channels, that are decoded at a time


def read(source, sample_rate: int | None = None, max_seconds: float = 600.0) -> tuple[np.ndarray, int]:
    """Decode WAV, FLAC, OGG (Vorbis, Opus), MP3, AIFF, AU, CAF or W64 to one channel.

    The content decides the format, not the file's extension. The sound is decoded to its end, and that must be where
    the header says it is. Channels are averaged. Float files that overshoot are clipped to [-1, 1], as a loudspeaker
    would.

    Parameters
    ----------
    source : path, bytes or binary file
    sample_rate : int, optional
        Resample to this many samples per second.
    max_seconds : float
        Refuse longer sounds.

    Returns
    -------
    wave : float32 (n,), in [-1, 1]
    sample_rate : int, in Hz

    Raises
    ------
    FileNotFoundError, InputError
        Missing; or empty, damaged, cut short, without samples, not a number, or too long.
    """
    max_seconds = check_number("max_seconds", max_seconds, above=0)
    if sample_rate is not None:
        sample_rate = check_integer("sample_rate", sample_rate, MIN_SAMPLE_RATE, MAX_SAMPLE_RATE)
    data, name = read_bytes(source, "sound")
    sound = check_container(data, name)
    try:
        wave, original_rate = _decode(sound.data, name, max_seconds)
    except _DecoderError as error:
        problem = f"cannot be decoded as a sound ({error})"
        raise InputError(name, problem, "check that it is whole, and a WAV, FLAC, OGG, MP3 or AIFF file") from None
    if sound.num_samples is not None and len(wave) != sound.num_samples:
        problem = f"its header promises {sound.num_samples:,} samples, but it holds {len(wave):,}"
        raise InputError(name, problem, DOWNLOAD_AGAIN if len(wave) < sound.num_samples else REWRITE)
    if sound.num_without_padding and len(wave) - MAX_PADDING < sound.num_without_padding < len(wave):
        wave = wave[: sound.num_without_padding]
    if sample_rate is None:
        return wave, original_rate
    return resample(wave, original_rate, sample_rate), sample_rate


class _DecoderError(Exception):
    """libsndfile's own words, without the address of the object it read from."""


class _Bytes(io.BytesIO):
    """A damaged header can send libsndfile before the start; stay there, where BytesIO complains on stderr."""

    def seek(self, offset, whence=0):
        try:
            return super().seek(offset, whence)
        except ValueError:
            return super().seek(0)


def _decode(data: bytes, name: str, max_seconds: float) -> tuple[np.ndarray, int]:
    """Decode block by block to the end, whatever length the header states: float32 (n,), and the sample rate."""
    import soundfile  # here, so that the mathematics below loads without it

    class Stream(soundfile.SoundFile):
        """Read forwards only: some codecs cannot seek, and after the end of a stream no seek succeeds."""

        def seekable(self) -> bool:
            return False

    blocks: list[np.ndarray] = []
    num_samples = 0
    try:
        with Stream(_Bytes(data)) as file:
            rate, stated = file.samplerate, file.frames
            _check_rate(name, rate)
            block = np.empty((max(1, BLOCK // file.channels), file.channels), np.float32)
            while length := len(part := file.read(out=block)):
                num_samples += length
                if num_samples > max_seconds * rate:
                    raise _too_long(name, max(num_samples, stated if stated < 2**48 else 0), rate, max_seconds)
                blocks.append(_check_samples(name, part))
    except (soundfile.LibsndfileError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise _DecoderError(getattr(error, "error_string", str(error)).strip(" .")) from None
    if not num_samples:
        raise InputError(name, "holds no samples", "record it again, or leave it out")
    if stated < 2**48 and num_samples < stated:  # a header that states no length counts as the largest number
        raise InputError(name, f"its header promises {stated:,} samples, but it holds {num_samples:,}", DOWNLOAD_AGAIN)
    return np.concatenate(blocks), rate


def _check_rate(name, rate):
    if not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
        problem = f"a sample rate of {rate} Hz, outside {MIN_SAMPLE_RATE}-{MAX_SAMPLE_RATE}"
        raise InputError(name, problem, "check the file's header")


def _too_long(name, num_samples, rate, max_seconds):
    problem = f"at least {num_samples / rate:,.0f} s long, more than {max_seconds:g}"
    return InputError(name, problem, "cut it, or raise max_seconds")


def _check_samples(name, block):
    """Check decoded samples (n, channels); return their mean over the channels, clipped: (n,)."""
    peak = float(np.abs(block).max())  # NaN and inf survive a maximum
    if not np.isfinite(peak):
        raise InputError(name, "holds NaN or infinite samples", "repair the file, for instance with np.nan_to_num")
    if peak > 8:
        raise InputError(name, f"samples reach {peak:g}, where 1 is full scale", "divide by the peak and save again")
    return np.clip(block, -1, 1).mean(axis=1)


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


WINDOWS = {  # the terms of each sum of cosines
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
    "rectangular": (1.0,),
}


def get_window(name: str, n: int) -> np.ndarray:
    """A periodic window of `n` samples, float64 (n,): a sum of cosines that falls towards 0 at both ends.

    "Periodic" means that sample n would equal sample 0, which is what a transform of length n assumes.
    Harris 1978, *On the use of windows for harmonic analysis with the discrete Fourier transform*.
    """
    terms = WINDOWS[check_choice("window", name, WINDOWS)]
    n = check_integer("n", n)
    angle = 2 * np.pi * np.arange(n) / n
    return sum((-1) ** k * a * np.cos(k * angle) for k, a in enumerate(terms))


def num_frames(n: int, n_fft: int = 512, hop_length: int = 256, center: bool = True) -> int:
    """Number of frames that a wave of `n` samples gives, for instance for the padding mask of a batch."""
    n = check_integer("n", n, low=0)
    n_fft, hop_length = check_integer("n_fft", n_fft), check_integer("hop_length", hop_length)
    padded = n + 2 * (n_fft // 2) if center else n
    if padded < n_fft:
        remedy = "pad it, use center=True, or a smaller n_fft"
        raise InputError("wave", f"{n} samples do not fill one frame of {n_fft}", remedy)
    return 1 + (padded - n_fft) // hop_length


def frame(wave: np.ndarray, n_fft: int, hop_length: int) -> np.ndarray:
    """Cut ``(..., n)`` into overlapping frames ``(..., t, n_fft)``, `hop_length` samples apart: a view, not a copy."""
    num_frames(wave.shape[-1], n_fft, hop_length, center=False)  # raises when there is none
    return np.lib.stride_tricks.sliding_window_view(wave, int(n_fft), axis=-1)[..., :: int(hop_length), :]


def stft(
    wave,
    n_fft: int = 512,
    hop_length: int = 256,
    window: str = "hann",
    center: bool = True,
    pad_mode: str = "constant",
) -> np.ndarray:
    """Short-time Fourier transform: X[t, k] = Σ_n w_n x_(t·hop_length+n) e^(-2πi kn/n_fft).

    With `center`, n_fft // 2 samples are added at each end ("constant": zeros; "reflect": a mirror image), so that
    frame t is centered on sample t·hop_length and the first and last sounds are not lost. Without it, frame t *starts*
    there.

    Parameters
    ----------
    wave : float (..., n)

    Returns
    -------
    complex64 or complex128 (..., t, 1 + n_fft // 2): from 0 Hz to half the sample rate
    """
    wave = check_wave(wave)
    n_fft = check_integer("n_fft", n_fft)
    if center:
        check_choice("pad_mode", pad_mode, ("constant", "reflect", "edge", "symmetric", "wrap"))
        wave = np.pad(wave, [(0, 0)] * (wave.ndim - 1) + [(n_fft // 2, n_fft // 2)], mode=pad_mode)
    return rfft(frame(wave, n_fft, hop_length) * get_window(window, n_fft).astype(wave.dtype))


@functools.lru_cache(32)
def _filterbank(dtype: np.dtype, *settings) -> np.ndarray:
    """The filter bank (1 + n_fft // 2, n_mels), kept: for a short clip it costs as much as the rest."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the caller warns each time, not only when the bank is made
        bank = mel_filterbank(*settings).T.astype(dtype)
    bank.setflags(write=False)
    return bank


def mel_spectrogram(
    wave,
    sample_rate: float,
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

    Warns
    -----
    UserWarning
        Some bands are narrower than the distance between two frequencies of the transform, and stay 0.
    """
    wave = check_wave(wave)
    n_fft, n_mels = check_integer("n_fft", n_fft), check_integer("n_mels", n_mels)
    fmin, fmax = check_number("fmin", fmin), None if fmax is None else check_number("fmax", fmax)
    sample_rate = check_number("sample_rate", sample_rate, above=0)
    bank = _filterbank(wave.dtype, sample_rate, n_fft, n_mels, fmin, fmax, htk, norm)  # (1 + n_fft // 2, n_mels)
    warn_of_empty_filters(bank.T, sample_rate, n_fft, fmin, fmax, htk)
    clips = wave.reshape(-1, wave.shape[-1])
    frames = num_frames(wave.shape[-1], n_fft, hop_length, center)
    out = np.empty((len(clips), frames, n_mels), wave.dtype)
    step = max(1, 4096 // frames)  # clips at once: enough for a fast product, few enough for the processor's cache
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

    `top_db` raises what lies more than that below the clip's loudest value; Librosa takes the loudest of the whole
    array, so that one clip of a batch changes the others.
    """
    amin = check_number("amin", amin, above=0)
    ref = check_number("ref", ref, low=0)
    db = 10 * np.log10(np.maximum(power, amin)) - 10 * np.log10(max(ref, amin)).astype(np.asarray(power).dtype)
    if top_db is None:
        return db
    return np.maximum(db, db.max(axis=(-2, -1), keepdims=True) - check_number("top_db", top_db, low=0))


def log_mel(
    wave, sample_rate: int, n_fft: int = 512, hop_length: int = 256, n_mels: int = 40, *, top_db=None, **mel
) -> np.ndarray:
    """Log-mel frames in decibels: the input of most speech models.

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

    Warns
    -----
    UserWarning
        Some bands stay empty: see `mel_spectrogram`.
    """
    return power_to_db(mel_spectrogram(wave, sample_rate, n_fft, hop_length, n_mels, **mel), top_db=top_db)


def dct(x: np.ndarray, n: int | None = None) -> np.ndarray:
    """First `n` terms of the orthonormal cosine transform (type II) over the last axis.

    C_k = s_k Σ_j x_j cos(π k (2j+1) / 2N), with s_0 = √(1/N) and s_k = √(2/N).

    Raises
    ------
    InputError
        More terms are wanted than there are values: N values have N terms.
    """
    x = np.asarray(x)
    size = x.shape[-1]
    n = size if n is None else check_integer("n", n)
    if n > size:
        raise InputError("n", f"{size} values have {size} terms, got {n}", f"ask for at most {size}")
    k = np.arange(n)
    basis = np.cos(np.pi * np.outer(2 * np.arange(size) + 1, k) / (2 * size))  # (N, n)
    return x @ (basis * np.sqrt(np.where(k == 0, 1, 2) / size)).astype(x.dtype)


def mfcc(
    wave, sample_rate: int, n_mfcc: int = 13, *, n_mels: int = 40, top_db: float | None = 80.0, **mel
) -> np.ndarray:
    """Mel-frequency cepstral coefficients (..., t, n_mfcc): the cosine transform of each log-mel frame.

    The first few describe the broad shape of the spectrum and little of the pitch. Davis & Mermelstein 1980.

    Raises
    ------
    InputError
        As `log_mel`; or `n_mfcc` is greater than `n_mels`, which is how many coefficients exist.
    """
    n_mfcc, n_mels = check_integer("n_mfcc", n_mfcc), check_integer("n_mels", n_mels)
    if n_mfcc > n_mels:
        problem = f"{n_mels} mel bands have {n_mels} coefficients, got n_mfcc={n_mfcc}"
        raise InputError("n_mfcc", problem, f"pass n_mfcc={n_mels} or less, or n_mels={n_mfcc} or more")
    return dct(log_mel(wave, sample_rate, n_mels=n_mels, top_db=top_db, **mel), n_mfcc)


def resample(wave: np.ndarray, sample_rate: int, new_sample_rate: int) -> np.ndarray:
    """Change the sample rate of ``(..., n)`` with a polyphase filter.

    Upsample by new/gcd, low-pass below half the smaller rate so that nothing aliases, downsample by old/gcd.

    Returns
    -------
    the wave's dtype (..., ⌈n · new_sample_rate / sample_rate⌉)
    """
    old = check_integer("sample_rate", sample_rate, MIN_SAMPLE_RATE, MAX_SAMPLE_RATE)
    new = check_integer("new_sample_rate", new_sample_rate, MIN_SAMPLE_RATE, MAX_SAMPLE_RATE)
    if old == new:
        return check_wave(wave).copy()
    from scipy.signal import resample_poly  # here: the slowest import of this file

    common = gcd(old, new)
    return resample_poly(check_wave(wave), new // common, old // common, axis=-1)


def preemphasis(wave: np.ndarray, coefficient: float = 0.97) -> np.ndarray:
    """y_n = x_n - c·x_(n-1): raises the high frequencies, which are weak in speech."""
    wave = check_wave(wave)
    coefficient = check_number("coefficient", coefficient)
    return np.concatenate([wave[..., :1], wave[..., 1:] - wave.dtype.type(coefficient) * wave[..., :-1]], axis=-1)


def add_noise(wave, snr_db: float, rng: np.random.Generator, noise=None) -> np.ndarray:
    """Add noise to each clip of (..., n) so that 10 log10(P_signal / P_noise) = `snr_db`.

    Parameters
    ----------
    noise : float, broadcastable to the wave, optional
        White noise if it is not given.

    Raises
    ------
    InputError
        The wave or the noise is silent: no ratio of powers exists.
    """
    wave = check_wave(wave)
    snr_db = check_number("snr_db", snr_db)
    if noise is None:
        noise = check_generator(rng).standard_normal(wave.shape)
    else:
        noise = check_wave(noise, "noise")
    signal_power = np.mean(np.square(wave, dtype=np.float64), axis=-1, keepdims=True)
    noise_power = np.mean(np.square(noise, dtype=np.float64), axis=-1, keepdims=True)
    if not (np.all(signal_power > 0) and np.all(noise_power > 0)):
        raise InputError("add_noise", "the wave or the noise is silent", "leave silent clips as they are")
    return (wave + noise * np.sqrt(signal_power / noise_power / 10 ** (snr_db / 10))).astype(wave.dtype)


def spec_augment(
    mel,
    rng: np.random.Generator,
    num_time_masks: int = 2,
    time_mask_param: int = 20,
    num_freq_masks: int = 2,
    freq_mask_param: int = 8,
    fill_value: float | None = None,
) -> np.ndarray:
    """Mask random stripes of frames and of bands in each clip of (..., t, m), so that a model relies on none of them.

    Widths are uniform on 0 to `time_mask_param` frames and 0 to `freq_mask_param` bands. `fill_value` is the clip's
    mean unless given. Park et al. 2019, arXiv 1904.08779.
    """
    masks = (  # axis, how many, greatest width
        (0, check_integer("num_time_masks", num_time_masks, 0), check_integer("time_mask_param", time_mask_param, 0)),
        (1, check_integer("num_freq_masks", num_freq_masks, 0), check_integer("freq_mask_param", freq_mask_param, 0)),
    )
    rng = check_generator(rng)
    out = np.array(mel)
    if out.ndim < 2 or out.dtype.kind != "f":
        problem = f"expected floats (..., t, m), got {out.dtype} of shape {out.shape}"
        raise InputError("mel", problem, "pass what log_mel returns")
    if fill_value is not None:
        fill_value = check_number("fill_value", fill_value)
    for clip in out.reshape(-1, *out.shape[-2:]):
        value = clip.mean() if fill_value is None else fill_value
        for axis, count, max_width in masks:
            for _ in range(count):
                width = rng.integers(0, min(max_width, clip.shape[axis]) + 1)
                start = rng.integers(0, clip.shape[axis] - width + 1)
                clip.swapaxes(0, axis)[start : start + width] = value
    return out
