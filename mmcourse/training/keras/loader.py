"""What can be known of a `tf.data.Dataset` before training: its length, its classes, whether it can be read again."""

import zlib

import numpy as np
import tensorflow as tf

VARIES = "other batches at each reading"


def num_batches(dataset, name):
    """Number of batches; none, or not known, is an error."""
    count = int(dataset.cardinality())
    if count < 1:
        what = {0: "an empty dataset", -1: "one without end", -2: "one whose length is unknown"}[count]
        raise ValueError(
            f"{name}: expected a dataset with a known number of batches, got {what}; "
            "take Dataset.tf_dataset, or state it with tf.data.experimental.assert_cardinality"
        )
    return count


def check_pairs(dataset, name):
    """Raise ValueError unless the elements are pairs (x, target), as Keras's `fit` wants them."""
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2:
        got = f"{len(spec)} parts" if isinstance(spec, tuple) else type(spec).__name__
        raise ValueError(f"{name}: expected pairs (x, target), as Dataset.tf_dataset gives them, got {got}")


def to_batch(x, target):
    """A pair as one batch dict, as loss functions take it: what x holds, and "target"."""
    return {**x, "target": target} if isinstance(x, dict) else {"inputs": x, "target": target}


def class_counts(dataset, name):
    """How often each class occurs in a dataset, {label: times}.

    Raises
    ------
    ValueError
        The targets are not class numbers.
    """
    if hasattr(dataset, "features"):  # ours: no need to read all the data
        targets = [dataset.features.target(np.arange(len(dataset.features)))]
    else:
        targets = [target for _, target in dataset]
    for target in targets:
        kind = "" if isinstance(target, dict) else np.asarray(target).dtype.kind
        if kind not in ("i", "u", "b") or not kind:
            got = "a dict" if isinstance(target, dict) else f"{np.asarray(target).dtype} {np.shape(target)}"
            raise ValueError(f"{name}: expected class numbers as target, got {got}; for another task give loss_fn=…")
    labels = np.concatenate([np.asarray(target).ravel() for target in targets]).astype(np.int64)
    if len(labels) and labels.min() < 0:
        raise ValueError(f"{name}: expected class numbers from 0, got {labels.min()}")
    return dict(zip(*(x.tolist() for x in np.unique(labels, return_counts=True)), strict=True))


def dataset_fingerprint(dataset, name):
    """What fixes a dataset's batches, for a checkpoint to compare: JSON by name.

    A dataset that is not seeded by epoch (`set_epoch`) is read twice: "checksum" is then `VARIES` if it gives other
    batches each time, and a run on it cannot be resumed.
    """
    if dataset is None:
        return None
    facts = {"batches": num_batches(dataset, name)}
    if hasattr(dataset, "features") and hasattr(dataset, "batch_sampler"):
        sampler = dataset.batch_sampler
        return facts | {
            "n": sampler.n,
            "batch_size": sampler.batch_size,
            "seed": sampler.seed,
            "checksum": dataset.features.checksum(),
        }
    first, second = _checksum(dataset), _checksum(dataset)
    return facts | {"checksum": first if first == second else VARIES}


def _checksum(dataset):
    total = 0
    for element in dataset:
        for part in tf.nest.flatten(element):
            array = part.numpy() if hasattr(part, "numpy") else part
            data = np.ascontiguousarray(array)
            raw = repr(data.tolist()).encode() if data.dtype == object else data.tobytes()
            total = zlib.crc32(raw, zlib.crc32(f"{data.dtype} {data.shape}".encode(), total))
    return total
