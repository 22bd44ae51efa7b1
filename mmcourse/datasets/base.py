"""What every data set of the course is: raw modalities by name, and the same samples as model-ready batches."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SPLITS = ("train", "validation", "test")
Batch = dict[str, Any]


def data_dir() -> Path:
    """Folder of the shipped data: `mmcourse/_data` inside an installed wheel, else the repository's `data/`.

    Raises
    ------
    FileNotFoundError
        Where neither exists: the installation is incomplete.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_data", package.parent / "data"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"mmcourse's shipped data: expected {package / '_data'}; install mmcourse again")


def check_split(split: str) -> str:
    """The split's name, or a ValueError that lists the names."""
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    return split


class Gather(Sequence):
    """A column kept as `store[index[i]]`, so that what many samples share (a spoken clip) is held once.

    Parameters
    ----------
    store : sequence of u different elements
    index : int (n,), which element each sample shows
    """

    index: np.ndarray  # type: ignore[assignment]

    def __init__(self, store: Sequence, index: np.ndarray):
        self.store, self.index = store, np.asarray(index, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i):
        if isinstance(i, (int, np.integer)):
            return self.store[self.index[i]]
        return Gather(self.store, self.index[i])


class Lazy(Sequence):
    """A column that is made by `make()` when first looked at, and then kept."""

    def __init__(self, make: Callable[[], Any], n: int):
        self._make, self._n = functools.cache(make), n

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, i):
        return self._make()[i]


@dataclass(frozen=True)
class Column:
    """One modality, model-ready: sample i is `store[index[i]]`.

    Attributes
    ----------
    store : float32 or int64 (u, ...), the u different elements; where they vary in length, padded with zeros on axis 1
    index : int64 (n,), which element each sample shows
    lengths : int64 (u,) real length of each element, or None where all are equally long
    """

    store: np.ndarray
    index: np.ndarray
    lengths: np.ndarray | None = None

    def take(self, rows: np.ndarray, fixed_length: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        """Values (b, ...) and padding mask (b, t) of some rows, cut to the longest of them (or kept at full length)."""
        ids = self.index[rows]
        if self.lengths is None:
            return self.store[ids], None
        lengths = self.lengths[ids]
        longest = self.store.shape[1] if fixed_length else int(lengths.max(initial=1))
        return self.store[ids, :longest], np.arange(longest) < lengths[:, None]


def pad(elements: Sequence[np.ndarray], index: np.ndarray | None = None) -> Column:
    """A Column out of arrays (t_i, ...) of different length, padded with zeros."""
    lengths = np.array([len(e) for e in elements], dtype=np.int64)
    first = np.asarray(elements[0])
    store = np.zeros((len(elements), int(lengths.max()), *first.shape[1:]), first.dtype)
    for row, element in zip(store, elements, strict=True):
        row[: len(element)] = element
    return Column(store, np.arange(len(elements)) if index is None else np.asarray(index, np.int64), lengths)


class Dataset:
    """Aligned samples of several modalities with one label each; `mmcourse.datasets.load` makes them.

    Parameters
    ----------
    name, split : str
    classes : names of the labels
    labels : int64 (n,)
    columns : raw modality by name, each a sequence over the n samples
    meta : further facts of each sample, arrays (n,)
    featurise : () -> {modality: Column} over the same n samples; called once, when first needed
    sample_rate : samples a second of the sound
    vocabulary : words by their id, for a data set with text
    """

    def __init__(
        self,
        name: str,
        split: str,
        *,
        classes: Sequence[str],
        labels: np.ndarray,
        columns: dict[str, Sequence],
        meta: dict[str, np.ndarray],
        featurise: Callable[[], dict[str, Column]],
        sample_rate: int | None = None,
        vocabulary: Sequence[str] | None = None,
    ):
        self.name, self.split, self.classes = name, check_split(split), tuple(classes)
        self.sample_rate, self.vocabulary = sample_rate, vocabulary
        self.modalities = tuple(sorted(columns))
        self._labels, self._columns, self._meta = np.asarray(labels, np.int64), columns, meta
        self._features = functools.cache(featurise)
        self._rows = np.arange(len(self._labels))
        self.present = np.ones((len(self), len(columns)), bool)
        parts: dict[str, Any] = {**columns, **meta}
        for key, column in parts.items():
            if len(column) != len(self):
                raise ValueError(f"{key}: expected {len(self)} elements, one a label, got {len(column)}")

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<{self.name}/{self.split}: {len(self)} samples of {', '.join(self.modalities)}>"

    @property
    def labels(self) -> np.ndarray:
        """int64 (n,)"""
        return self._labels[self._rows]

    @property
    def meta(self) -> dict[str, np.ndarray]:
        """Facts of each sample that no model sees, arrays (n,)."""
        return {key: value[self._rows] for key, value in self._meta.items()}

    def __getitem__(self, i: int) -> dict[str, Any]:
        """Raw modalities and label of one sample; a missing modality is None."""
        row = self._rows[i]
        there = dict(zip(self.modalities, self.present[i], strict=True))
        sample = {m: self._columns[m][row] if there[m] else None for m in self.modalities}
        return {**sample, "label": int(self._labels[row])}

    def column(self, modality: str) -> Sequence:
        """One raw modality over all samples: an array, or a sequence that gathers when indexed."""
        if modality not in self.modalities:
            raise ValueError(f"modality: expected one of {', '.join(self.modalities)}, got {modality!r}")
        column = self._columns[modality]
        return Gather(column, self._rows) if isinstance(column, list) else column[self._rows]

    def subset(self, indices: Sequence[int] | np.ndarray) -> Dataset:
        """The samples at `indices` (int, or bool mask (n,)), in that order; shares everything with this one."""
        indices = np.asarray(indices)
        if indices.dtype == bool and indices.shape != (len(self),):
            raise ValueError(f"indices: expected a mask of shape ({len(self)},), got {indices.shape}")
        new = copy.copy(self)
        indices = indices if indices.dtype == bool else indices.astype(np.int64)
        new._rows, new.present = self._rows[indices], self.present[indices]
        return new

    def with_missing(
        self, rate: float = 0.0, pattern: Sequence[str] | np.ndarray | None = None, seed: int = 0
    ) -> Dataset:
        """The same samples with modalities taken away.

        Parameters
        ----------
        rate : chance that a modality is missing from a sample; each sample keeps at least one
        pattern : names of the modalities to take from every sample, or `present` itself, bool (n, M) in sorted order
        seed : of the chance

        Raises
        ------
        ValueError
            For a rate outside [0, 1), an unknown modality, or nothing left.
        """
        if not 0 <= rate < 1:
            raise ValueError(f"rate: expected 0 ≤ rate < 1, got {rate}")
        new = copy.copy(self)
        new.present = self.present & _pattern(pattern, self.modalities, len(self))
        if rate:
            new.present = _drop(new.present, rate, np.random.default_rng(seed))
        if not new.present.any(axis=1).all():
            raise ValueError("pattern: leaves a sample without any modality; keep at least one")
        return new

    def features(self) -> Features:
        """The samples as arrays that models take; computed at the first call, then kept."""
        return Features({m: self._features()[m] for m in self.modalities}, self._rows, self.labels, self.present)

    def batches(
        self, batch_size: int, seed: int | None = None, epoch: int = 0, fixed_length: bool = False
    ) -> Iterator[Batch]:
        """NumPy batches; the last may be smaller.

        Parameters
        ----------
        seed, epoch : the order is shuffled by both; without a seed it is the data set's own
        fixed_length : pad each batch to the data set's longest element rather than its own, for compilers that
            want one shape
        """
        features = self.features()
        for rows in batch_rows(len(self), batch_size, seed, epoch):
            yield features.batch(rows, fixed_length)

    def torch_loader(self, batch_size: int, seed: int | None = None, epoch: int = 0, fixed_length: bool = False) -> Any:
        """The same batches as a `torch.utils.data.DataLoader`, images channels-first; each pass is the next epoch."""
        from .views import torch_loader

        return torch_loader(self, batch_size, seed, epoch, fixed_length)

    def tf_dataset(self, batch_size: int, seed: int | None = None, epoch: int = 0, fixed_length: bool = False) -> Any:
        """The same batches as a `tf.data.Dataset`; each pass is the next epoch, or the one that `set_epoch` says."""
        from .views import tf_dataset

        return tf_dataset(self, batch_size, seed, epoch, fixed_length)


@dataclass(frozen=True)
class Features:
    """Model-ready samples; `batch` puts some of them together."""

    columns: dict[str, Column]
    rows: np.ndarray
    labels: np.ndarray
    present: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, modality: str) -> np.ndarray:
        """All samples of one modality, (n, ...), padded to the longest."""
        return self.columns[modality].take(self.rows)[0]

    def batch(self, rows: np.ndarray, fixed_length: bool = False) -> Batch:
        """The samples at `rows` as one batch.

        Returns
        -------
        dict of each modality's values (b, ...); `padding_mask`: {modality: bool (b, t)} for what varies in length;
        `present`: bool (b, M); `label`: int64 (b,). A missing modality is all zeros, and its padding mask all False.
        """
        present, masks, batch = self.present[rows], {}, {}
        for m, (name, column) in enumerate(self.columns.items()):
            values, mask = column.take(self.rows[rows], fixed_length)
            there = present[:, m]
            values[~there] = 0
            batch[name] = values
            if mask is not None:
                masks[name] = mask & there[:, None]
        return {**batch, "padding_mask": masks, "present": present, "label": self.labels[rows]}


def batch_rows(n: int, batch_size: int, seed: int | None, epoch: int) -> list[np.ndarray]:
    """Row numbers of each batch of one epoch."""
    if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"batch_size: expected a whole number ≥ 1, got {batch_size!r}")
    order = np.arange(n) if seed is None else np.random.default_rng([seed, epoch]).permutation(n)
    return [order[i : i + batch_size] for i in range(0, n, batch_size)]


def _pattern(pattern: Sequence[str] | np.ndarray | None, modalities: tuple[str, ...], n: int) -> np.ndarray:
    """What `pattern` leaves there, bool broadcastable to (n, M)."""
    if isinstance(pattern, np.ndarray):
        if pattern.shape != (n, len(modalities)) or pattern.dtype != bool:
            raise ValueError(f"pattern: expected bool ({n}, {len(modalities)}), got {pattern.dtype} {pattern.shape}")
        return pattern
    names = (pattern,) if isinstance(pattern, str) else tuple(pattern or ())
    if unknown := sorted(set(names) - set(modalities)):
        raise ValueError(f"pattern: expected modalities among {', '.join(modalities)}, got {', '.join(unknown)}")
    return np.array([[m not in names for m in modalities]])


def _drop(present: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Take each modality away with chance `rate`; a sample that would lose all keeps one of its own, by chance."""
    keep = present & (rng.random(present.shape) >= rate)
    lucky = np.argmax(np.where(present, rng.random(present.shape), -1), axis=1)
    empty = ~keep.any(axis=1)
    keep[empty, lucky[empty]] = True
    return keep
