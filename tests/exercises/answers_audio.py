"""Known right and wrong answers to the exercises of lesson audio, as learners write them."""

import math

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- audio.1
def by_folding(hz, rate):
    while hz > rate / 2:
        hz = abs(hz - rate)
    return hz


def by_angle(hz, rate):
    return np.arccos(np.cos(2 * np.pi * hz / rate)) * rate / (2 * np.pi)


def by_modulo(hz, rate):
    rest = hz % rate
    if rest > rate / 2:
        return rate - rest
    return rest


# ---------------------------------------------------------------- audio.2
def looped(spectrum, bank):
    out = []
    for frame in spectrum:
        row = []
        for triangle in bank:
            total = sum(w * (z.real**2 + z.imag**2) for w, z in zip(triangle, frame, strict=True))
            row.append(10 * math.log10(max(total, 1e-10)))
        out.append(row)
    loudest = max(max(row) for row in out)
    return [[max(level, loudest - 80) for level in row] for row in out]


def by_einsum(spectrum, bank):
    bands = np.einsum("tk,mk->tm", (spectrum * spectrum.conj()).real, bank)
    return 10 * np.log10(np.maximum(np.maximum(bands, 1e-10), np.maximum(bands, 1e-10).max() / 1e8))


def levels(bands, factor=10.0, log=np.log10):
    level = factor * log(np.maximum(bands, 1e-10))
    return np.maximum(level, level.max() - 80)


def no_floor(spectrum, bank):
    return 10 * np.log10(np.maximum(np.abs(spectrum) ** 2 @ bank.T, 1e-10))


def floor_of_each_frame(spectrum, bank):
    level = no_floor(spectrum, bank)
    return np.maximum(level, level.max(1, keepdims=True) - 80)


def floor_of_each_band(spectrum, bank):
    level = no_floor(spectrum, bank)
    return np.maximum(level, level.max(0) - 80)


def lifted_by_adding(spectrum, bank):
    level = 10 * np.log10(np.abs(spectrum) ** 2 @ bank.T + 1e-10)
    return np.maximum(level, level.max() - 80)


def decibels_first(spectrum, bank):
    return 10 * np.log10(np.maximum(np.abs(spectrum) ** 2, 1e-10)) @ bank.T


# ---------------------------------------------------------------- audio.3
def by_search(rate, hz_apart, ms_apart):
    for power in range(20):
        n_fft = 2**power
        if 2 * rate / n_fft <= hz_apart and n_fft / rate * 1000 <= ms_apart + 1e-9:
            return n_fft
    return 0


def by_logarithm(rate, hz_apart, ms_apart):
    n_fft = 2 ** int(np.ceil(np.log2(2 * rate / hz_apart)))
    return n_fft * int(n_fft <= rate * ms_apart / 1000)


def tones_only(rate, hz_apart, ms_apart):
    n_fft = 1
    while 2 * rate / n_fft > hz_apart:
        n_fft *= 2
    return n_fft


def clicks_only(rate, hz_apart, ms_apart):
    n_fft = 1
    while 2000 * n_fft / rate <= ms_apart:
        n_fft *= 2
    return n_fft


def largest(rate, hz_apart, ms_apart):
    n_fft = clicks_only(rate, hz_apart, ms_apart)
    return n_fft if 2 * rate / n_fft <= hz_apart else 0


def one_bin(rate, hz_apart, ms_apart):
    n_fft = 1
    while rate / n_fft > hz_apart:
        n_fft *= 2
    return n_fft if 1000 * n_fft / rate <= ms_apart else 0


def strictly(rate, hz_apart, ms_apart):
    n_fft = 1
    while 2 * rate / n_fft >= hz_apart:
        n_fft *= 2
    return n_fft if 1000 * n_fft / rate <= ms_apart else 0


def from_list(powers):
    def choose(rate, hz_apart, ms_apart):
        fit = [n for n in powers if 2 * rate / n <= hz_apart and 1000 * n / rate <= ms_apart]
        return min(fit, default=0)

    return choose


def whole_milliseconds(whole):
    def choose(rate, hz_apart, ms_apart):
        n_fft = tones_only(rate, hz_apart, ms_apart)
        return n_fft if whole(1000 * n_fft / rate) <= ms_apart else 0

    return choose


def not_a_power(rate, hz_apart, ms_apart):
    n_fft = math.ceil(2 * rate / hz_apart)
    return n_fft if 1000 * n_fft / rate <= ms_apart else 0


ANSWERS = {
    "audio.1": Answers(
        right=[by_folding, by_angle, by_modulo],
        wrong=[
            (lambda hz, rate: hz, "the tone as it was"),
            (lambda hz, rate: hz % rate, "may still lie above rate / 2"),
            (lambda hz, rate: hz % (rate / 2), "wrapped at rate / 2"),
            (lambda hz, rate: min(hz, rate / 2), "stopped at rate / 2"),
            (lambda hz, rate: hz if hz <= rate / 2 else rate - hz, "up to the rate, but not beyond"),
            (lambda hz, rate: hz if hz <= rate / 2 else abs(rate - hz), "up to one and a half rates"),
            (lambda hz, rate: hz if hz <= rate / 2 else 0, "tones above rate / 2 vanish"),
            (lambda hz, rate: rate // 2 - abs(hz % rate - rate // 2), "half the rate to whole hertz"),
        ],
    ),
    "audio.2": Answers(
        right=[looped, by_einsum],
        wrong=[
            (lambda s, b: levels(np.abs(s) @ b.T), "Bands hold power"),
            (lambda s, b: levels(np.abs(s) @ b.T, factor=20), "no sum of squares"),
            (lambda s, b: levels(np.abs(s) ** 2 @ b.T, factor=20), "20 log10 of a power"),
            (lambda s, b: levels(np.abs(s) ** 2 @ b.T, log=np.log), "natural logarithm"),
            (lambda s, b: levels(np.abs(s) ** 2 @ b.T, factor=1), "These are bels"),
            (lambda s, b: levels(s.real**2 @ b.T), "real part only"),
            (decibels_first, "decibels of each bin"),
            (no_floor, "the floor is missing"),
            (floor_of_each_frame, "each frame's own loudest"),
            (floor_of_each_band, "each band's own loudest"),
            (lifted_by_adding, "added 1e-10 to every band"),
            (lambda s, b: np.maximum(no_floor(s, b), -80), "Your floor is at -80 dB"),
            (lambda s, b: by_einsum(s, b) - by_einsum(s, b).max(), "shifted the loudest value"),
            (lambda s, b: by_einsum(s, b).T, "one row is one frame"),
        ],
    ),
    "audio.3": Answers(
        right=[by_search, by_logarithm],
        wrong=[
            (tones_only, "looked at the tones only"),
            (clicks_only, "looked at the clicks only"),
            (largest, "a shorter one does too"),
            (one_bin, "one bin between the tones"),
            (strictly, "Exactly two bins are enough"),
            (not_a_power, "no power of two"),
            (from_list([2**p for p in range(13)]), "ends too early"),
            (from_list([2**p for p in range(4, 20)]), "starts too late"),
            (whole_milliseconds(int), "whole milliseconds"),
        ],
    ),
}
