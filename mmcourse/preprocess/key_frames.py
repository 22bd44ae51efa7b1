"""Key frames: the few frames that stand for all others, as a covering problem.

`coverage` is how well the chosen frames stand for each frame, on average: the similarity to the nearest chosen one. It
grows with every frame that is added, and ever more slowly (it is submodular), so that taking the best next frame each
time reaches at least 1 − 1/e of the optimum (Nemhauser, Wolsey and Fisher 1978).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from mmcourse.preprocess.video import check_video

MOST_SUBSETS = 200_000


def frame_similarity(video, width: float = 0.1) -> np.ndarray:
    """exp(−rms difference / width) of every two frames, pixels in 0..1: float64 (t, t), 1 on the diagonal."""
    video = check_video(video)
    pixels = video.reshape(len(video), -1).astype(float) / (255 if video.dtype == np.uint8 else 1)
    square = (pixels**2).mean(axis=1)
    distance = square[:, None] + square - 2 * pixels @ pixels.T / pixels.shape[1]
    similar = np.exp(-np.sqrt(np.maximum(distance, 0)) / width)
    np.fill_diagonal(similar, 1.0)
    return similar


def coverage(similarity: np.ndarray, chosen: Sequence[int]) -> float:
    """Mean over all frames of the similarity to the nearest chosen one; 0 if none is chosen."""
    chosen = list(chosen)
    return float(similarity[:, chosen].max(axis=1).mean()) if chosen else 0.0


def greedy_summary(similarity: np.ndarray, k: int) -> list[int]:
    """`k` frames, each time the one that adds most coverage (of equals, the first), in the order they were taken."""
    _check(similarity, k)
    covered = np.zeros(len(similarity))
    chosen: list[int] = []
    for _ in range(k):
        gain = np.maximum(similarity - covered[:, None], 0).mean(axis=0)  # (t,)
        gain[chosen] = -1.0
        best = int(gain.argmax())
        chosen.append(best)
        covered = np.maximum(covered, similarity[:, best])
    return chosen


def best_summary(similarity: np.ndarray, k: int) -> list[int]:
    """The `k` frames with the best coverage, by listing all subsets, in order of time.

    Raises
    ------
    ValueError
        If there are more than 200,000 subsets.
    """
    _check(similarity, k)
    number = math.comb(len(similarity), k)
    if number > MOST_SUBSETS:
        raise ValueError(f"k: {number:,} subsets are too many to list; greedy_summary comes close")
    subsets = map(list, itertools.combinations(range(len(similarity)), k))
    return max(subsets, key=lambda chosen: coverage(similarity, chosen))


def _check(similarity: np.ndarray, k: int) -> None:
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1] or (similarity < 0).any():
        raise ValueError(f"similarity: expected (t, t) without negative numbers, got shape {similarity.shape}")
    if not 1 <= k <= len(similarity):
        raise ValueError(f"k: expected 1 to {len(similarity)} frames, got {k}")
