"""Handwritten digits for `avdigits`, real in both sources, and how they are made hard to read."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from .. import public

SIDE = 28
SIZES = {"embedded": (1197, 300, 300), "real": (8000, 1000, 1000)}  # train, validation, test
BLOCK = 50  # neighbors in these files are often by one hand: whole blocks go to one split


def read_images(source: str) -> tuple[np.ndarray, np.ndarray]:
    """All images of a source, uint8 (n, 28, 28), ink 255, and their digits, int64 (n,)."""
    return _mnist() if source == "real" else _sklearn()


def split_images(source: str, n: int) -> list[np.ndarray]:
    """Numbers of the images of train, validation and test: the file's blocks of 50, dealt once for all by chance."""
    blocks = np.array_split(np.arange(n), np.arange(BLOCK, n, BLOCK))
    order = np.random.default_rng(n).permutation(len(blocks))
    dealt = np.concatenate([blocks[i] for i in order])
    return [np.sort(part) for part in np.split(dealt, np.cumsum(SIZES[source])[:-1])]


def _sklearn() -> tuple[np.ndarray, np.ndarray]:
    """The 1,797 digits that come inside scikit-learn, 8×8 in 17 grays, enlarged to MNIST's size."""
    from PIL import Image

    small, digits = _sklearn_table()
    large = [Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for image in small]
    return np.stack([np.asarray(image) for image in large]), digits


def _sklearn_table() -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (1797, 8, 8) and digits, read from scikit-learn's own file: importing it takes a second."""
    package = importlib.util.find_spec("sklearn")
    table = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz" if package and package.origin else None
    if table is not None and table.is_file():
        with gzip.open(table) as file:
            rows = np.loadtxt(file, delimiter=",", dtype=np.int64)
    else:  # a scikit-learn that keeps its file elsewhere
        from sklearn.datasets import load_digits

        rows = np.c_[load_digits(return_X_y=True)].astype(np.int64)
    return np.uint8(rows[:, :64] * (255 / 16)).reshape(-1, 8, 8), rows[:, 64]


def _mnist() -> tuple[np.ndarray, np.ndarray]:
    packed = public.MNIST.read(public.progress_bar(public.MNIST))
    pixels, digits = (gzip.decompress(packed[f"t10k-{name}-ubyte.gz"]) for name in ("images-idx3", "labels-idx1"))
    images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, SIDE, SIDE)  # after the IDX headers
    return images, np.frombuffer(digits, np.uint8, offset=8).astype(np.int64)


def blur(images: np.ndarray, train: np.ndarray, components: int, noise: float, seed: int = 0) -> np.ndarray:
    """What a few principal components of the training images keep of each image, and gray noise upon it.

    Parameters
    ----------
    images : uint8 (n, h, w)
    train : uint8 (m, h, w), whose mean and components are used
    components : int
    noise : float
        Standard deviation, in gray levels of 0..255.

    Returns
    -------
    uint8 (n, h, w)
    """
    flat, known = (x.reshape(len(x), -1).astype(np.float32) for x in (images, train))
    mean = known.mean(0)
    top = principal_axes(known - mean, components)
    kept = (flat - mean) @ top @ top.T + mean
    kept += np.random.default_rng(seed).normal(0, noise, kept.shape)
    return np.clip(np.round(kept), 0, 255).astype(np.uint8).reshape(images.shape)


def principal_axes(centered: np.ndarray, k: int, rounds: int = 60) -> np.ndarray:
    """The k directions of greatest variance of (m, d), as orthonormal columns (d, k).

    By subspace iteration, many times faster than all d eigenvectors: multiply some directions by the scatter matrix and
    make them orthonormal again, until the strongest remain. A few spare directions speed that up.
    """
    scatter = (centered.T @ centered).astype(np.float64)
    axes = centered[: k + 8].T.astype(np.float64)
    for _ in range(rounds):
        axes, _ = np.linalg.qr(scatter @ axes)
    strength, turn = np.linalg.eigh(axes.T @ scatter @ axes)
    return (axes @ turn[:, np.argsort(strength)[::-1][:k]]).astype(np.float32)
