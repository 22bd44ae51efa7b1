"""The front end of Whisper (Radford et al. 2023, arXiv 2212.04356): from sound at 16 kHz to what its encoder reads.

`log10_mel` is the part that streams: every frame depends on 25 ms of sound and on nothing else. `whisper_features`
then cuts off what is 80 dB below the loudest point of the *whole* clip, which only is known at its end.
"""

from __future__ import annotations

import functools

import numpy as np

from mmcourse.preprocess.audio import check_wave
from mmcourse.preprocess.errors import InputError
from mmcourse.preprocess.mel import mel_filterbank

SAMPLE_RATE = 16_000
N_FFT = 400  # 25 ms
HOP = 160  # 10 ms
SECONDS = 30.0  # every clip becomes this long


@functools.cache
def _bank(n_mels: int) -> np.ndarray:
    return mel_filterbank(SAMPLE_RATE, N_FFT, n_mels).T  # (201, n_mels)


@functools.cache
def _window() -> np.ndarray:
    return np.hanning(N_FFT + 1)[:-1]  # periodic


def log10_mel(wave: np.ndarray, n_mels: int = 80, dtype: type = np.float64) -> np.ndarray:
    """log10 of the mel spectrogram: float32 (n // 160, n_mels) of a wave (n,) at 16 kHz.

    Frame k has its center at sample 160 k. At both ends the wave is mirrored. The last frame that this gives is left
    out, as in Whisper: so 30 s make 3,000 frames, not 3,001. `dtype` is what it is computed in; float32 is faster.

    Raises
    ------
    InputError
        The wave is no mono wave, or shorter than the 201 samples that mirroring needs.
    """
    wave = check_wave(wave)
    if wave.ndim != 1:
        raise InputError("wave", f"expected mono sound (n,), got shape {wave.shape}", "average the channels")
    if len(wave) <= N_FFT // 2:
        raise InputError("wave", f"expected more than {N_FFT // 2} samples, got {len(wave)}", "pad it with zeros")
    padded: np.ndarray = np.pad(wave.astype(dtype), N_FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP][: len(wave) // HOP]  # (t, 400)
    spectrum = np.fft.rfft(frames * _window().astype(dtype))  # (t, 201)
    power = spectrum.real**2 + spectrum.imag**2
    return np.log10(np.maximum(power @ _bank(n_mels).astype(dtype), 1e-10)).astype(np.float32)


def whisper_features(wave: np.ndarray, n_mels: int = 80, seconds: float | None = SECONDS) -> np.ndarray:
    """What Whisper's encoder reads: float32 (100 · seconds, n_mels), about −1 to 1.5.

    Parameters
    ----------
    wave : float (n,) at 16 kHz
    n_mels : 80; Whisper large-v3 has 128
    seconds : the wave is cut or padded with silence to this length; None leaves it as long as it is
    """
    wave = check_wave(wave)
    if seconds is not None:
        length = int(seconds * SAMPLE_RATE)
        wave = np.pad(wave[:length], (0, max(0, length - len(wave))))
    level = log10_mel(wave, n_mels)
    level = np.maximum(level, level.max() - 8.0)  # 80 dB below the loudest point is silence
    return ((level + 4.0) / 4.0).astype(np.float32)
