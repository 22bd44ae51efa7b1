"""A Dataset's batches as PyTorch and TensorFlow hand them out: same samples, same order, same values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from .base import Batch, Dataset, batch_rows

if TYPE_CHECKING:
    import tensorflow
    import torch.utils.data


class EpochBatches:
    """A PyTorch batch sampler: rows of each batch, shuffled by (seed, epoch); every pass is the next epoch.

    Going on after a stop, call `set_epoch`.
    """

    def __init__(self, n: int, batch_size: int, seed: int | None, epoch: int):
        self.n, self.batch_size, self.seed, self.epoch = n, batch_size, seed, epoch
        self._count = len(batch_rows(n, batch_size, None, 0))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[int]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        return iter([rows.tolist() for rows in batch_rows(self.n, self.batch_size, self.seed, epoch)])

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


class _Rows:
    """Map-style data set that gives a whole batch at once, which is much faster than one sample at a time."""

    def __init__(self, ds: Dataset, fixed_length: bool):
        self.features, self.fixed_length = ds.features(), fixed_length

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, i: int) -> Batch:
        return self.features.batch(np.array([i]), self.fixed_length)

    def __getitems__(self, rows: list[int]) -> Batch:
        return self.features.batch(np.array(rows), self.fixed_length)


def _tensors(value):
    """NumPy to PyTorch, through nested dicts; images (b, h, w, c) and videos (b, t, h, w, c) become (…, c, h, w)."""
    import torch

    if isinstance(value, dict):
        return {key: _tensors(v) for key, v in value.items()}
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(value, -1, -3) if value.ndim in (4, 5) else value))


def torch_loader(
    ds: Dataset, batch_size: int, seed: int | None, epoch: int, fixed_length: bool
) -> torch.utils.data.DataLoader:
    """See `Dataset.torch_loader`."""
    import torch
    from torch.utils.data import DataLoader

    sampler = EpochBatches(len(ds), batch_size, seed, epoch)
    # A generator of its own, so that reading data does not move the one that the model's weights and dropout use.
    own = torch.Generator()
    return DataLoader(_Rows(ds, fixed_length), batch_sampler=sampler, collate_fn=_tensors, generator=own)


def tf_dataset(
    ds: Dataset, batch_size: int, seed: int | None, epoch: int, fixed_length: bool
) -> tensorflow.data.Dataset:
    """See `Dataset.tf_dataset`."""
    import tensorflow as tf

    def spec(value):
        if isinstance(value, dict):
            return {key: spec(v) for key, v in value.items()}
        return tf.TensorSpec((None, *free(value)), value.dtype)

    def free(value):
        # Axis 1 of a sequence or its mask changes from batch to batch, except for `present`, of rank 2 as well.
        return value.shape[1:] if fixed_length or value.ndim not in (2, 3) else (None, *value.shape[2:])

    if not len(ds):
        raise ValueError("tf_dataset: expected samples, got an empty data set; is the subset of it empty?")
    features, passes = ds.features(), EpochBatches(len(ds), batch_size, seed, epoch)
    example = features.batch(np.arange(1), fixed_length)
    signature = {**spec(example), "present": tf.TensorSpec((None, len(ds.modalities)), tf.bool)}
    flow = tf.data.Dataset.from_generator(
        lambda: (features.batch(np.array(rows), fixed_length) for rows in passes), output_signature=signature
    ).apply(tf.data.experimental.assert_cardinality(len(passes)))
    flow.set_epoch = passes.set_epoch  # as the PyTorch loader's sampler: the order of the next pass
    return flow
