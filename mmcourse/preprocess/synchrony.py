"""Are picture and sound in step? How much changes from frame to frame in each, and the offset at which they agree best.

Positive offset: the sound is late. What is seen in frame i is heard while frame i + offset is shown. (Learned features
instead of changes: SyncNet, Chung and Zisserman 2016.)
"""

from __future__ import annotations

import numpy as np

from mmcourse.preprocess.errors import InputError
from mmcourse.preprocess.video import check_video

BEST_PLACES = 4  # of 256, whose correlations are averaged


def frame_change(video) -> np.ndarray:
    """How much each frame differs from the one before, float64 (t,); the first is 0.

    The brightness of the whole picture may flicker: the median over its pixels is taken away first.
    """
    video = check_video(video).astype(np.float32)
    step = np.diff(video, axis=0)  # (t - 1, h, w, c)
    step -= np.median(step, axis=(1, 2), keepdims=True)
    return np.append(0.0, np.square(step).mean(axis=(1, 2, 3)))


def loudness(wave, per_frame: int) -> np.ndarray:
    """Root mean square of the sound while each frame is shown: wave (n,) → float64 (n // per_frame,)."""
    wave = np.asarray(wave, float)
    if wave.ndim != 1 or len(wave) < per_frame:
        raise InputError("wave", f"expected mono sound of a frame or more, got shape {wave.shape}", "average channels")
    number = len(wave) // per_frame
    return np.sqrt(np.square(wave[: number * per_frame]).reshape(number, per_frame).mean(axis=1))


def sound_change(wave, per_frame: int) -> np.ndarray:
    """How much the loudness differs from that of the frame before, float64 (t,); the first is 0."""
    return np.append(0.0, np.abs(np.diff(loudness(wave, per_frame))))


def offset_scores(seen, heard, most: int) -> np.ndarray:
    """Correlation of two series at each offset −most … most, over the part where both are: float64 (2·most + 1,).

    At offset d, seen[i] stands beside heard[i + d]. Where one of the parts does not vary, the score is 0.
    """
    seen, heard = np.asarray(seen, float), np.asarray(heard, float)
    t = len(seen)
    if seen.shape != heard.shape or seen.ndim != 1 or not 0 <= most <= t - 2:
        raise ValueError(f"expected two series (t,) and most ≤ t − 2, got {seen.shape}, {heard.shape} and {most}")
    scores = np.zeros(2 * most + 1)
    for place, offset in enumerate(range(-most, most + 1)):
        start, stop = max(0, -offset), min(t, t - offset)
        a, b = seen[start:stop], heard[start + offset : stop + offset]
        a, b = a - a.mean(), b - b.mean()
        size = np.sqrt((a @ a) * (b @ b))
        scores[place] = a @ b / size if size > 1e-12 else 0.0
    return scores


def place_scores(video, wave, per_frame: int, most: int) -> np.ndarray:
    """How well the best places of the picture go with the sound, at each offset −most … most: (2·most + 1,).

    The brightness of each of 16 × 16 places is correlated with the loudness; the four largest correlations, whatever
    their sign, are averaged. So a thing that goes with the sound is found beside others that do not.
    """
    places = brightness(video).reshape(len(video), -1)  # (t, 256)
    heard = loudness(wave, per_frame)[: len(places)]
    t = len(places)
    if not 0 <= most <= t - 3:
        raise ValueError(f"most: expected 0 to t − 3 = {t - 3}, got {most}")
    scores = np.zeros(2 * most + 1)
    for index, offset in enumerate(range(-most, most + 1)):
        start, stop = max(0, -offset), min(t, t - offset)
        r = np.abs(place_correlation(places[start:stop], heard[start + offset : stop + offset]))
        scores[index] = np.sort(r)[-BEST_PLACES:].mean()
    return scores


def brightness(video, side: int = 16) -> np.ndarray:
    """Mean brightness of side × side places, without the flicker of the whole picture: float64 (t, side, side)."""
    gray = check_video(video).astype(float).mean(axis=-1)
    gray -= np.median(gray, axis=(1, 2), keepdims=True)
    t, h, w = gray.shape
    if h % side or w % side:
        raise InputError("video", f"{h} × {w} pixels are no multiple of {side}", "crop or resize the frames")
    return gray.reshape(t, side, h // side, side, w // side).mean(axis=(2, 4))


def place_correlation(places: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """Correlation of each column of places (t, n) with heard (t,): (n,); 0 where one does not vary."""
    a, b = places - places.mean(axis=0), heard - heard.mean()
    size = np.sqrt((a**2).sum(axis=0) * (b @ b))
    return np.divide(b @ a, size, out=np.zeros(a.shape[1]), where=size > 1e-12)


def find_offset(video, wave, per_frame: int, most: int) -> int:
    """By how many frames the sound is late (negative: early): the offset at which a place goes best with it."""
    return int(place_scores(video, wave, per_frame, most).argmax()) - most
