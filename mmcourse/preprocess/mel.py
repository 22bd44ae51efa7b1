"""The mel scale, and the triangles that sum a spectrum on it."""

import numpy as np

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
    its width in Hz, so that noise of equal power gives every band the same; norm=None keeps the peaks at 1.
    """
    fmax = sample_rate / 2 if fmax is None else fmax
    if not 0 <= fmin < fmax <= sample_rate / 2 or n_mels < 1:
        problem = f"expected 0 <= fmin < fmax <= {sample_rate / 2:g} Hz, n_mels >= 1; got {fmin}, {fmax}, {n_mels}"
        raise InputError("mel_filterbank", problem, "half the sample rate is the highest frequency a wave can hold")
    bins = np.fft.rfftfreq(n_fft, 1 / sample_rate)  # (k,)
    edges = mel_to_hz(np.linspace(hz_to_mel(fmin, htk), hz_to_mel(fmax, htk), n_mels + 2), htk)[:, None]
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    bank = np.maximum(0, np.minimum(rise, fall))
    return bank * 2 / (edges[2:] - edges[:-2]) if norm == "slaney" else bank
