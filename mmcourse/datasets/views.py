"""A Dataset's batches as PyTorch and TensorFlow hand them out: same samples, same order, same values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Batch, Column, Dataset, batch_rows, check_order, map_columns

if TYPE_CHECKING:
    import tensorflow
    import torch.utils.data


class SeededBatchSampler:
    """A PyTorch batch sampler: rows of each batch, shuffled by (seed, epoch); every pass is the next epoch.

    To go on after a stop, call `set_epoch`.
    """

    def __init__(self, n: int, batch_size: int, seed: int | None, epoch: int):
        self.n = n
        self.batch_size, self.seed, self.epoch = check_order(batch_size, seed, epoch)

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        return iter([rows.tolist() for rows in batch_rows(self.n, self.batch_size, self.seed, epoch)])

    def set_epoch(self, epoch: int) -> None:
        """The epoch of the next pass."""
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


def _tensors(value, channels_first=False):
    """NumPy to PyTorch, through nested dicts; if `channels_first`, images (…, h, w, c) become (…, c, h, w)."""
    import torch

    if isinstance(value, dict):
        return {key: _tensors(v, channels_first) for key, v in value.items()}
    if channels_first and value.ndim in (4, 5):  # images (b, h, w, c) and videos (b, t, h, w, c)
        value = np.moveaxis(value, -1, -3)
    return torch.from_numpy(np.ascontiguousarray(value))


def torch_loader(
    ds: Dataset, batch_size: int, seed: int | None, epoch: int, fixed_length: bool
) -> torch.utils.data.DataLoader:
    """See `Dataset.torch_loader`."""
    import torch
    from torch.utils.data import DataLoader

    rows, sampler = _Rows(ds, fixed_length), SeededBatchSampler(len(ds), batch_size, seed, epoch)
    images = {"inputs", *(["target"] if rows.features.target_modality else [])}

    def collate(batch: Batch) -> dict:
        return {key: _tensors(value, key in images) for key, value in batch.items()}

    # A generator of its own, so that reading data does not move the one that the model's weights and dropout use.
    own = torch.Generator()
    return DataLoader(rows, batch_sampler=sampler, collate_fn=collate, generator=own)


def tf_dataset(
    ds: Dataset, batch_size: int, seed: int | None, epoch: int, fixed_length: bool
) -> tensorflow.data.Dataset:
    """See `Dataset.tf_dataset`."""
    import tensorflow as tf

    if not len(ds):
        raise ValueError("tf_dataset: expected samples, got an empty data set; is the subset of it empty?")
    features, sampler = ds.features(), SeededBatchSampler(len(ds), batch_size, seed, epoch)

    def values(column: Column) -> tensorflow.TensorSpec:
        example, _ = column.take(features.rows[:1], fixed_length)
        free = column.lengths is not None and not fixed_length  # the length changes from batch to batch
        return tf.TensorSpec((None, *((None, *example.shape[2:]) if free else example.shape[1:])), example.dtype)

    def mask(column: Column) -> tensorflow.TensorSpec:
        return tf.TensorSpec((None, column.store.shape[1] if fixed_length else None), tf.bool)

    def target(column: Column) -> Any:
        return values(column) if column.lengths is None else {"values": values(column), "padding_mask": mask(column)}

    def pairs():
        for rows in sampler:
            batch = features.batch(np.array(rows), fixed_length)
            y = batch.pop("target")
            yield batch, y

    columns = features.columns
    x = {
        "inputs": {name: values(column) for name, column in columns.items()},
        "padding_mask": {name: mask(column) for name, column in columns.items() if column.lengths is not None},
        "modality_mask": {name: tf.TensorSpec((None,), tf.bool) for name in columns},
    }
    signature = (x, map_columns(features.targets, target))
    flow = tf.data.Dataset.from_generator(pairs, output_signature=signature)
    flow = flow.apply(tf.data.experimental.assert_cardinality(len(sampler)))
    # Training asks these, as it asks a PyTorch loader's `batch_sampler` and `dataset`.
    flow.set_epoch, flow.batch_sampler, flow.features = sampler.set_epoch, sampler, features
    return flow
