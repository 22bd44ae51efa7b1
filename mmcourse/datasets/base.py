"""What every data set of the course is: raw modalities by name, and the same samples as model-ready batches."""

from __future__ import annotations

import copy
import functools
import zlib
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


class IndexedView(Sequence):
    """A column kept as `store[index[i]]`, so that what many samples share (a spoken clip) is held once.

    An element that is an array is handed out read-only: writing to it would change every sample that shares it.

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
        if not isinstance(i, (int, np.integer)):
            return IndexedView(self.store, self.index[i])
        element = self.store[self.index[i]]
        if isinstance(element, np.ndarray):
            element = element.view()
            element.flags.writeable = False
        return element


class LazySequence(Sequence):
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

    def take(
        self, rows: np.ndarray, fixed_length: bool = False, there: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Values (b, ...) and padding mask (b, t) of some rows, cut to the longest of them (or kept at full length).

        `there`, bool (b,), says which rows count: the others are zeros, all padding, and make nothing longer.
        """
        ids = self.index[rows]
        if self.lengths is None:
            values = self.store[ids]
            if there is not None:
                values[~there] = 0
            return values, None
        lengths = self.lengths[ids] if there is None else np.where(there, self.lengths[ids], 0)
        longest = self.store.shape[1] if fixed_length else int(lengths.max(initial=1))
        values = self.store[ids, :longest]
        if there is not None:
            values[~there] = 0
        return values, np.arange(longest) < lengths[:, None]

    def element(self, row: int) -> Any:
        """One sample's values without padding, as a copy; a plain number where there is one only."""
        i = self.index[row]
        value = np.array(self.store[i])
        if value.ndim == 0:
            return value.item()
        return value if self.lengths is None else value[: self.lengths[i]]

    def check(self, name: str, n: int) -> Column:
        """This column, or a ValueError with `name` where it does not hold n samples."""
        if len(self.index) != n:
            raise ValueError(f"{name}: expected {n} rows, one per sample, got {len(self.index)}")
        index = np.asarray(self.index)
        if index.dtype.kind not in "iu":
            raise ValueError(f"{name}: expected an index of whole numbers, got {index.dtype}")
        if n and not 0 <= index.min() <= index.max() < len(self.store):
            raise ValueError(
                f"{name}: expected an index within the {len(self.store)} elements of the store, "
                f"got {index.min()} to {index.max()}"
            )
        if self.lengths is not None:
            lengths = np.asarray(self.lengths)
            if lengths.shape != (len(self.store),) or lengths.dtype.kind not in "iu":
                raise ValueError(f"{name}: expected one whole-number length for each of {len(self.store)} elements")
            if len(lengths) and not 0 <= lengths.min() <= lengths.max() <= self.store.shape[1]:
                raise ValueError(
                    f"{name}: expected lengths between 0 and {self.store.shape[1]}, "
                    f"got {lengths.min()} to {lengths.max()}"
                )
        return self


def pad(elements: Sequence[np.ndarray], index: np.ndarray | None = None) -> Column:
    """A Column out of arrays (t_i, ...) of different length, padded with zeros."""
    lengths = np.array([len(e) for e in elements], dtype=np.int64)
    first = np.asarray(elements[0])
    store = np.zeros((len(elements), int(lengths.max()), *first.shape[1:]), first.dtype)
    for row, element in zip(store, elements, strict=True):
        row[: len(element)] = element
    return Column(store, np.arange(len(elements)) if index is None else np.asarray(index, np.int64), lengths)


class Dataset:
    """Aligned samples of several modalities, each with a target; `mmcourse.datasets.load` makes them.

    The target of each sample is a class (give `classes` and `labels`) or anything else (give `targets`): a number, a
    vector, boxes, a sequence. `with_target` makes one of the modalities the target.

    Parameters
    ----------
    name, split : str
    columns : raw modality by name, each a sequence over the n samples
    meta : further facts of each sample, arrays (n,)
    preprocess : () -> {modality: Column} over the same n samples; called once, when first needed
    classes : names of the classes
    labels : whole numbers (n,), the class of each sample: 0 ≤ label < number of classes
    targets : instead of labels. An array (n, ...), a list of n arrays (t_i, ...) of different length, a Column, or a
        dict of these by name.
    sample_rate : samples per second of the sound
    vocabulary : words by their id, for a data set with text

    Raises
    ------
    ValueError
        Labels that are not whole numbers or name no class, targets that are not numbers or not finite, columns of
        another length than the samples.
    """

    def __init__(
        self,
        name: str,
        split: str,
        *,
        columns: dict[str, Sequence],
        meta: dict[str, np.ndarray],
        preprocess: Callable[[], dict[str, Column]],
        classes: Sequence[str] = (),
        labels: np.ndarray | Sequence[int] | None = None,
        targets: Any = None,
        sample_rate: int | None = None,
        vocabulary: Sequence[str] | None = None,
    ):
        self.name, self.split, self.classes = name, check_split(split), tuple(classes)
        self.sample_rate, self.vocabulary = sample_rate, vocabulary
        if "target" in columns:
            raise ValueError("columns: no modality can be called 'target', which is the name of the target; rename it")
        self.modalities = tuple(sorted(columns))
        self._columns, self._meta, self._preprocess = columns, meta, functools.cache(preprocess)
        self._targets, n = _check_targets(self.classes, labels, targets)
        self._has_labels, self._target_modality = labels is not None, None
        self._rows = np.arange(n)
        self._present = np.ones((n, len(columns)), bool)
        parts: dict[str, Any] = {**columns, **meta}
        for key, column in parts.items():
            if len(column) != n:
                raise ValueError(f"{key}: expected {n} elements, one per target, got {len(column)}")

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<{self.name}/{self.split}: {len(self)} samples of {', '.join(self.modalities)}>"

    @property
    def labels(self) -> np.ndarray:
        """The class of each sample, int64 (n,).

        Raises
        ------
        AttributeError
            The targets are not classes.
        """
        if not self._has_labels:
            raise AttributeError(f"labels: the targets of {self.name} are not classes; see its `targets`")
        return self._targets.store[self._rows]  # type: ignore[union-attr]

    @property
    def targets(self) -> Any:
        """The targets of all samples, as a batch has them: an array, {"values", "padding_mask"}, or a dict of these."""
        return self.features().target(np.arange(len(self)))

    @property
    def modality_mask(self) -> dict[str, np.ndarray]:
        """Which samples have which modality: {modality: bool (n,)}."""
        return {m: self._present[:, i].copy() for i, m in enumerate(self.modalities)}

    @property
    def meta(self) -> dict[str, np.ndarray]:
        """Facts of each sample that no model sees, arrays (n,)."""
        return {key: value[self._rows] for key, value in self._meta.items()}

    def __getitem__(self, i: int) -> dict[str, Any]:
        """Raw modalities of one sample by name, and its "target". All are copies; a missing modality is None."""
        if not isinstance(i, (int, np.integer)):
            raise TypeError(f"index: expected a whole number, got {i!r}; `subset` takes several samples")
        row = self._rows[i]
        sample: dict[str, Any] = {}
        for m, there in zip(self.modalities, self._present[i], strict=True):
            sample[m] = copy.deepcopy(self._columns[m][row]) if there else None
        if self._target_modality is not None:
            return {**sample, "target": copy.deepcopy(self._columns[self._target_modality][row])}
        return {**sample, "target": map_columns(self._targets, lambda column: column.element(row))}

    def column(self, modality: str) -> Sequence:
        """One raw modality over all samples: an array, or a sequence that gathers when indexed."""
        if modality not in self.modalities:
            raise ValueError(f"modality: expected one of {', '.join(self.modalities)}, got {modality!r}")
        column = self._columns[modality]
        return IndexedView(column, self._rows) if isinstance(column, list) else column[self._rows]

    def subset(self, indices: Sequence[int] | np.ndarray) -> Dataset:
        """The samples at `indices` (int, or bool mask (n,)), in that order; shares everything with this one."""
        indices = np.asarray(indices)
        if indices.ndim != 1:
            raise ValueError(f"indices: expected a list of sample numbers, got {indices.tolist()!r}")
        if indices.dtype == bool and indices.shape != (len(self),):
            raise ValueError(f"indices: expected a mask of shape ({len(self)},), got {indices.shape}")
        if indices.size == 0:
            indices = indices.astype(np.int64)  # NumPy makes an empty list float
        if indices.dtype.kind not in "iub":
            raise ValueError(f"indices: expected whole numbers or a bool mask, got {indices.dtype}")
        new = copy.copy(self)
        new._rows, new._present = self._rows[indices], self._present[indices]
        return new

    def with_target(self, modality: str) -> Dataset:
        """The same samples with one modality as the target, no longer among the inputs.

        Raises
        ------
        ValueError
            An unknown modality, the only one, or one that some sample lacks.
        """
        if modality not in self.modalities:
            raise ValueError(f"modality: expected one of {', '.join(self.modalities)}, got {modality!r}")
        if len(self.modalities) == 1:
            raise ValueError(f"modality: {modality} is the only one; nothing would be left to predict it from")
        at = self.modalities.index(modality)
        if missing := int((~self._present[:, at]).sum()):
            raise ValueError(
                f"modality: {missing} of {len(self)} samples have no {modality}, so it cannot be the target"
            )
        new = copy.copy(self)
        new.modalities = tuple(m for m in self.modalities if m != modality)
        new._present = np.delete(self._present, at, axis=1)
        new._target_modality, new._has_labels = modality, False  # type: ignore[assignment]
        return new

    def with_missing(
        self, rate: float = 0.0, pattern: Sequence[str] | dict[str, np.ndarray] | None = None, seed: int = 0
    ) -> Dataset:
        """The same samples with modalities taken away.

        Parameters
        ----------
        rate : chance that a modality is missing from a sample; each sample keeps at least one
        pattern : names of the modalities to take from every sample, or which samples keep which one, as a modality
            mask {modality: bool (n,)}
        seed : of the chance

        Raises
        ------
        ValueError
            For a rate outside [0, 1), an unknown modality, or nothing left.
        """
        if not 0 <= rate < 1:
            raise ValueError(f"rate: expected 0 ≤ rate < 1, got {rate}")
        new = copy.copy(self)
        new._present = self._present & _pattern(pattern, self.modalities, len(self))
        if rate:
            new._present = _drop(new._present, rate, np.random.default_rng(seed))
        if not new._present.any(axis=1).all():
            raise ValueError("pattern: leaves a sample without any modality; keep at least one")
        return new

    def features(self) -> Features:
        """The samples as arrays that models take; computed at the first call, then kept.

        Raises
        ------
        ValueError
            `preprocess` gives other modalities than `columns`, or not one row per sample.
        """
        made, n = self._preprocess(), len(next(iter(self._columns.values())))
        if set(made) != set(self._columns):
            raise ValueError(f"preprocess: expected {', '.join(sorted(self._columns))}, got {', '.join(sorted(made))}")
        for name, column in made.items():
            column.check(name, n)
        targets = self._targets if self._target_modality is None else made[self._target_modality]
        return Features(
            {m: made[m] for m in self.modalities}, targets, self._rows, self.modality_mask, self._target_modality
        )

    def batches(
        self, batch_size: int, seed: int | None = None, epoch: int = 0, fixed_length: bool = False
    ) -> Iterator[Batch]:
        """NumPy batches as `Features.batch` makes them; the last may be smaller.

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
        """The same batches as a `tf.data.Dataset` of pairs, as Keras's `fit` wants them.

        Each pair is ({"inputs", "padding_mask", "modality_mask"}, target). Each pass is the next epoch, or the one
        that `set_epoch` says.
        """
        from .views import tf_dataset

        return tf_dataset(self, batch_size, seed, epoch, fixed_length)


@dataclass(frozen=True)
class Features:
    """Model-ready samples; `batch` puts some of them together.

    Attributes
    ----------
    columns : {modality: Column}
    targets : a Column, or a dict of them by name
    rows : int64 (n,), which rows of the columns the samples are
    modality_mask : {modality: bool (n,)}, which samples have which modality
    target_modality : the modality that is the target, or None
    """

    columns: dict[str, Column]
    targets: Column | dict[str, Column]
    rows: np.ndarray
    modality_mask: dict[str, np.ndarray]
    target_modality: str | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, modality: str) -> np.ndarray:
        """All samples of one modality, (n, ...), padded to the longest."""
        return self.columns[modality].take(self.rows)[0]

    def batch(self, rows: np.ndarray, fixed_length: bool = False) -> Batch:
        """The samples at `rows` as one batch.

        Returns
        -------
        dict
            "inputs": {modality: (b, ...)};
            "padding_mask": {modality: bool (b, t)} for what varies in length, True = real;
            "modality_mask": {modality: bool (b,)}, True = the sample has it;
            "target": as `target` gives it.
            A missing modality is all zeros, and its padding mask all False.
        """
        inputs, padding_mask, modality_mask = {}, {}, {}
        for name, column in self.columns.items():
            there = self.modality_mask[name][rows]
            values, mask = column.take(self.rows[rows], fixed_length, there)
            inputs[name] = values
            modality_mask[name] = there
            if mask is not None:
                padding_mask[name] = mask
        return {
            "inputs": inputs,
            "padding_mask": padding_mask,
            "modality_mask": modality_mask,
            "target": self.target(rows, fixed_length),
        }

    def target(self, rows: np.ndarray, fixed_length: bool = False) -> Any:
        """Targets of the samples at `rows`.

        An array (b, ...); where they vary in length, {"values": (b, t, ...), "padding_mask": bool (b, t)}; for
        several targets a dict of these by name.
        """

        def take(column: Column) -> Any:
            values, mask = column.take(self.rows[rows], fixed_length)
            return values if mask is None else {"values": values, "padding_mask": mask}

        return map_columns(self.targets, take)

    def checksum(self) -> int:
        """CRC-32 over all inputs, masks and targets in order: tells whether two runs see the same data."""
        total = 0
        for rows in batch_rows(len(self), 256, None, 0):
            total = _crc(self.batch(rows, fixed_length=True), total)
        return total


def _crc(value: Any, total: int = 0) -> int:
    """CRC-32 of nested dicts of arrays, names and shapes included."""
    if isinstance(value, dict):
        for key in sorted(value):
            total = _crc(value[key], zlib.crc32(key.encode(), total))
        return total
    array = np.ascontiguousarray(value)
    return zlib.crc32(array.tobytes(), zlib.crc32(f"{array.dtype} {array.shape}".encode(), total))


def map_columns(targets: Column | dict[str, Column], function: Callable[[Column], Any]) -> Any:
    if isinstance(targets, dict):
        return {name: function(column) for name, column in targets.items()}
    return function(targets)


def _check_targets(classes: tuple[str, ...], labels: Any, targets: Any) -> tuple[Column | dict[str, Column], int]:
    """Labels or targets as columns, and their number."""
    if (labels is None) == (targets is None):
        raise ValueError("labels, targets: expected one of them: labels for classes, targets for anything else")
    if labels is not None:
        checked = _check_labels(labels, classes)
        return Column(checked, np.arange(len(checked))), len(checked)
    columns = (
        {key: _target_column(f"targets[{key!r}]", value) for key, value in targets.items()}
        if isinstance(targets, dict)
        else {"": _target_column("targets", targets)}
    )
    if not columns:
        raise ValueError("targets: expected at least one, got an empty dict")
    sizes = {key: len(column.index) for key, column in columns.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"targets: expected the same number of samples in each, got {sizes}")
    return columns if isinstance(targets, dict) else columns[""], next(iter(sizes.values()))


def _check_labels(labels: Any, classes: tuple[str, ...]) -> np.ndarray:
    """Class numbers as int64 (n,)."""
    labels = np.asarray(labels)
    if labels.size == 0:
        labels = labels.astype(np.int64)
    if labels.ndim != 1:
        hint = "; take argmax(axis=1) of one-hot rows" if labels.ndim == 2 else ""
        raise ValueError(f"labels: expected one class number per sample, shape (n,), got shape {labels.shape}{hint}")
    if labels.dtype.kind not in "iub":
        raise ValueError(
            f"labels: expected whole numbers (positions in `classes`), got {labels.dtype}: {labels[:3].tolist()} …; "
            "give numbers or vectors to predict as `targets`"
        )
    if len(set(classes)) != len(classes):
        raise ValueError(f"classes: expected different names, got {list(classes)}")
    if wrong := sorted(set(labels[(labels < 0) | (labels >= len(classes))].tolist())):
        raise ValueError(
            f"labels: expected 0 ≤ label < {len(classes)}, the number of classes, got {', '.join(map(str, wrong[:5]))}"
        )
    return labels.astype(np.int64)


def _target_column(name: str, target: Any) -> Column:
    """Targets of any kind as a Column of numbers."""
    if isinstance(target, Column):
        column = target
    elif isinstance(target, (list, tuple)) and target and all(np.ndim(t) > 0 for t in target):
        arrays = [np.asarray(t) for t in target]
        if len({a.shape[1:] for a in arrays}) > 1:
            raise ValueError(
                f"{name}: expected arrays (t, ...) that differ in length only, got {[a.shape for a in arrays[:3]]}"
            )
        column = pad(arrays)
    else:
        array = np.asarray(target)
        if array.ndim == 0:
            raise ValueError(f"{name}: expected one target per sample, got the single value {target!r}")
        column = Column(array, np.arange(len(array)))
    if np.dtype(column.store.dtype).kind not in "iufb":
        raise ValueError(f"{name}: expected numbers, got {column.store.dtype}")
    if isinstance(column.store, np.ndarray) and column.store.dtype.kind == "f" and not np.isfinite(column.store).all():
        rows = np.flatnonzero(~np.isfinite(column.store.reshape(len(column.store), -1)).all(axis=1))
        raise ValueError(f"{name}: NaN or infinity in {len(rows)} of them, first in number {rows[0]}; leave these out")
    return column.check(name, len(column.index))


def check_order(batch_size: Any, seed: Any, epoch: Any = 0) -> tuple[int, int | None, int]:
    """Batch size, seed and epoch as plain numbers (NumPy's are taken), or a ValueError that names the wrong one."""
    whole = (int, np.integer)
    if not isinstance(batch_size, whole) or isinstance(batch_size, bool) or batch_size < 1:
        raise ValueError(f"batch_size: expected a whole number ≥ 1, got {batch_size!r}")
    if seed is not None and (not isinstance(seed, whole) or isinstance(seed, bool) or seed < 0):
        raise ValueError(f"seed: expected a whole number ≥ 0, or None for the data set's own order, got {seed!r}")
    if not isinstance(epoch, whole) or isinstance(epoch, bool) or epoch < 0:
        raise ValueError(f"epoch: expected a whole number ≥ 0, got {epoch!r}")
    return int(batch_size), None if seed is None else int(seed), int(epoch)


def batch_rows(n: int, batch_size: int, seed: int | None, epoch: int) -> list[np.ndarray]:
    """Row numbers of each batch of one epoch."""
    batch_size, seed, epoch = check_order(batch_size, seed, epoch)
    order = np.arange(n) if seed is None else np.random.default_rng([seed, epoch]).permutation(n)
    return [order[i : i + batch_size] for i in range(0, n, batch_size)]


def _pattern(pattern: Any, modalities: tuple[str, ...], n: int) -> np.ndarray:
    """What `pattern` leaves there, bool broadcastable to (n, M)."""
    names = (pattern,) if isinstance(pattern, str) else () if pattern is None else tuple(pattern)
    if not all(isinstance(name, str) for name in names):
        raise ValueError("pattern: expected names of modalities, or {modality: bool (n,)}, got an array without names")
    if unknown := sorted(set(names) - set(modalities)):
        raise ValueError(f"pattern: expected modalities among {', '.join(modalities)}, got {', '.join(unknown)}")
    if not isinstance(pattern, dict):
        return np.array([[m not in names for m in modalities]])
    kept = np.ones((n, len(modalities)), bool)
    for name, mask in pattern.items():
        mask = np.asarray(mask)
        if mask.shape != (n,) or mask.dtype != bool:
            raise ValueError(f"pattern[{name!r}]: expected bool ({n},), got {mask.dtype} {mask.shape}")
        kept[:, modalities.index(name)] = mask
    return kept


def _drop(modality_mask: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Take each modality away with chance `rate`; a sample that would lose all keeps one of its own, by chance."""
    keep = modality_mask & (rng.random(modality_mask.shape) >= rate)
    lucky = np.argmax(np.where(modality_mask, rng.random(modality_mask.shape), -1), axis=1)
    empty = ~keep.any(axis=1)
    keep[empty, lucky[empty]] = True
    return keep
