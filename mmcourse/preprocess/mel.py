"""The mel scale, and the triangles that sum a spectrum on it."""

import warnings

import numpy as np

from mmcourse.preprocess.arguments import check_integer, check_number
from mmcourse.preprocess.errors import InputError


def hz_to_mel(hz, htk: bool = False) -> np.ndarray:
    """Frequency in Hz to mel: equal steps in mel sound like equal steps in pitch.

    HTK (O'Shaughnessy 1987): 2595 log10(1 + f/700). Slaney 1998 (*Auditory Toolbox*): 3f/200 up to 1 kHz, then
    27 steps for each factor of 6.4.
    """
    hz = np.asarray(hz, dtype=np.float64)
    if htk:
        return 2595 * np.log10(1 + hz / 700)
    return np.where(hz < 1000, 3 * hz / 200, 15 + 27 * np.log(np.maximum(hz, 1000) / 1000) / np.log(6.4))


def mel_to_hz(mel, htk: bool = False) -> np.ndarray:
    """Mel to frequency in Hz: the inverse of `hz_to_mel`."""
    mel = np.asarray(mel, dtype=np.float64)
    if htk:
        return 700 * (10 ** (mel / 2595) - 1)
    return np.where(mel < 15, 200 * mel / 3, 1000 * 6.4 ** ((np.maximum(mel, 15) - 15) / 27))


def mel_filterbank(sample_rate, n_fft=512, n_mels=40, fmin=0.0, fmax=None, htk=False, norm="slaney") -> np.ndarray:
    """Triangles that are equally wide in mel, float64 (n_mels, 1 + n_fft // 2).

    Filter m rises from edge m to 1 at edge m+1 and falls to 0 at edge m+2. With norm="slaney" each is divided by half
    its width in Hz, so that white noise gives every band the same power; norm=None keeps the peaks at 1.

    Warns
    -----
    UserWarning
        A filter lies between two frequencies of the transform and is empty: its band would always be silent.
    """
    sample_rate = check_number("sample_rate", sample_rate, above=0)
    n_fft, n_mels = check_integer("n_fft", n_fft), check_integer("n_mels", n_mels)
    if norm not in ("slaney", None):
        raise InputError("norm", f'expected "slaney" or None, got {norm!r}', "choose one of them")
    fmin = check_number("fmin", fmin)
    fmax = sample_rate / 2 if fmax is None else check_number("fmax", fmax)
    if not 0 <= fmin < fmax <= sample_rate / 2:
        problem = f"expected 0 <= fmin < fmax <= {sample_rate / 2:g} Hz, got fmin={fmin:g} and fmax={fmax:g}"
        raise InputError("mel_filterbank", problem, "half the sample rate is the highest frequency a wave can hold")
    bank = _triangles(sample_rate, n_fft, n_mels, fmin, fmax, htk)
    warn_of_empty_filters(bank, sample_rate, n_fft, fmin, fmax, htk)
    if norm is None:
        return bank
    edges = _edges(n_mels, fmin, fmax, htk)
    return bank * 2 / (edges[2:] - edges[:-2])


def _edges(n_mels, fmin, fmax, htk):
    """The corners of the triangles in Hz, (n_mels + 2, 1)."""
    mels = np.linspace(hz_to_mel(fmin, htk), hz_to_mel(fmax, htk), n_mels + 2)
    return mel_to_hz(mels, htk)[:, None]


def _triangles(sample_rate, n_fft, n_mels, fmin, fmax, htk):
    frequencies = np.fft.rfftfreq(n_fft, 1 / sample_rate)  # (k,)
    edges = _edges(n_mels, fmin, fmax, htk)
    rise = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rise, fall))


def warn_of_empty_filters(bank, sample_rate, n_fft, fmin, fmax, htk) -> None:
    """Warn if a row of `bank` (n_mels, k) is empty, and say which `n_mels` or which `n_fft` leaves none empty."""
    num_empty = int((bank.max(axis=1) <= 0).sum())
    if not num_empty:
        return
    n_mels, fmax = len(bank), sample_rate / 2 if fmax is None else fmax

    def has_empty(n_fft, n_mels):
        return (_triangles(sample_rate, n_fft, n_mels, fmin, fmax, htk).max(axis=1) <= 0).any()

    larger = n_fft
    while larger <= 2**17 and has_empty(larger, n_mels):
        larger *= 2
    remedies = [f"n_fft={larger}"] if not has_empty(larger, n_mels) else []
    fewer = next((n for n in range(n_mels - 1, 0, -1) if not has_empty(n_fft, n)), None)
    remedies += [f"n_mels={fewer}"] if fewer else []
    remedy = f"; pass {' or '.join(remedies)}" if remedies else ""
    text = f"{num_empty} of {n_mels} mel bands hold no frequency of a transform of n_fft={n_fft} and are always silent"
    warnings.warn(text + remedy, stacklevel=3)
