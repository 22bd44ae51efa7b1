"""What a loader feeds: batches on the device, from where a run stopped; and what can be known of it beforehand."""

import contextlib
import copy
import warnings
import zlib
from typing import Any

import numpy as np
import torch

from mmcourse.training.classes import check_known_classes
from mmcourse.training.rng import find_generators, get_state, global_generators, set_state


def to_device(batch, device, channels_last=False):
    """A batch, nested or not, with its tensors on that device; images in memory as the device likes them."""
    if isinstance(batch, dict):
        return {key: to_device(value, device, channels_last) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        return type(batch)([to_device(value, device, channels_last) for value in batch])
    if not isinstance(batch, torch.Tensor):
        return batch
    batch = batch.to(device)
    return batch.contiguous(memory_format=torch.channels_last) if channels_last and batch.ndim == 4 else batch


def device_of(model):
    """The device of a model's parameters."""
    return next(model.parameters()).device


def leaves(batch):
    """All tensors of a nested batch, in order."""
    if isinstance(batch, dict):
        return [leaf for value in batch.values() for leaf in leaves(value)]
    if isinstance(batch, (list, tuple)):
        return [leaf for value in batch for leaf in leaves(value)]
    return [batch] if isinstance(batch, torch.Tensor) else []


# ---- random states ---------------------------------------------------------------------------------------------------
def get_rng_state(device, generators):
    """State of all generators that a run draws from, as tensors by name.

    PyTorch's own, CUDA's on such a device, NumPy's and Python's global ones, and `generators` (by path, as
    `find_generators` gives them).
    """
    states = {"torch": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    for name, generator in (global_generators() | generators).items():
        if isinstance(generator, torch.Generator):
            states[name] = generator.get_state()
        else:
            states[name] = torch.from_numpy(np.frombuffer(get_state(generator).encode(), np.uint8).copy())
    return states


def set_rng_state(states, device, generators):
    """Restore what `get_rng_state` returned.

    Raises
    ------
    ValueError
        A state is none of such a generator.
    """
    try:
        torch.set_rng_state(states["torch"])
        if "cuda" in states and device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"], device)
        for name, generator in (global_generators() | generators).items():
            if isinstance(generator, torch.Generator):
                generator.set_state(states[name])
            else:
                set_state(generator, states[name].numpy().tobytes().decode())
    except (RuntimeError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"not a random state ({error})") from error


@contextlib.contextmanager
def rng_preserved(device, loader):
    """A block that may read `loader` and moves no generator."""
    generators = find_generators(loader=loader)
    states = get_rng_state(device, generators)
    try:
        yield
    finally:
        set_rng_state(states, device, generators)


# ---- what a loader is ------------------------------------------------------------------------------------------------
def has_seeded_order(loader):
    """Whether its batches follow from seed and epoch alone: `Dataset.torch_loader`, or a list of batches."""
    sampler = getattr(loader, "batch_sampler", None)
    ours = hasattr(getattr(loader, "dataset", None), "features") and hasattr(sampler, "set_epoch")
    return ours or isinstance(loader, (list, tuple))


def check_loader(name, loader):
    """Raise ValueError unless the loader has a length above 0, and can be read more than once."""
    try:
        length = len(loader)
    except TypeError as error:
        raise ValueError(
            f"{name}: expected batches that can be counted and read again (a DataLoader, a list), "
            f"got {type(loader).__name__} without a length"
        ) from error
    if not length or hasattr(loader, "__next__"):
        kind = "an iterator, which can be read once" if length else "an empty loader"
        raise ValueError(f"{name}: expected batches, got {kind}; is the split, or the subset of it, empty?")


def class_counts(loader, name):
    """How often each class occurs in a loader, {label: times}.

    Raises
    ------
    ValueError
        The loader is empty, or its targets are not class numbers.
    """
    check_loader(name, loader)
    features = getattr(getattr(loader, "dataset", None), "features", None)
    if features is not None:  # ours: no need to read all the data
        targets = [features.target(np.arange(len(features)))]
    else:
        targets = [_target(batch, name) for batch in loader]
    targets = [torch.as_tensor(t) if not isinstance(t, dict) else t for t in targets]
    for target in targets:
        whole = not isinstance(target, dict) and not target.is_floating_point() and not target.is_complex()
        if not whole:
            got = "a dict" if isinstance(target, dict) else f"{target.dtype} {tuple(target.shape)}"
            raise ValueError(f"{name}: expected class numbers as target, got {got}; for another task give loss_fn=…")
    labels = torch.cat([target.cpu().flatten().long() for target in targets])
    if not len(labels):
        raise ValueError(f"{name}: expected batches, got an empty loader; is the split, or the subset of it, empty?")
    if labels.min() < 0:
        raise ValueError(f"{name}: expected class numbers from 0, got {labels.min().item()}")
    return dict(zip(*(x.tolist() for x in labels.unique(return_counts=True)), strict=True))


def _target(batch, name):
    if not isinstance(batch, dict) or "target" not in batch:
        got = f"a dict with {', '.join(map(str, batch))}" if isinstance(batch, dict) else type(batch).__name__
        raise ValueError(f"{name}: expected batches that are dicts with inputs and target, got {got}")
    return batch["target"]


def check_classes(train_loader, validation):
    """How often each class occurs, {"train_loader": {label: times}, "validation": …}.

    Raises
    ------
    ValueError
        As `class_counts`; and where validation has a class that training never shows.
    """
    known = class_counts(train_loader, "train_loader")
    asked = class_counts(validation, "validation") if validation is not None else {}
    check_known_classes("train_loader", known, asked)
    return {"train_loader": known, "validation": asked}


def loader_fingerprint(loader, labels=None):
    """What fixes a loader's batches, for a checkpoint to compare: JSON by name.

    The checksum of the data is known for `Dataset.torch_loader` and for a list of batches; other loaders are compared
    by `labels` (their class counts) and, when a run goes on, by the first batch.
    """
    if loader is None:
        return None
    sampler = getattr(loader, "batch_sampler", None)
    facts: dict[str, int | str | None] = {"batches": len(loader)}
    for name in ("n", "batch_size", "seed"):
        value = getattr(sampler, name, None)
        facts[name] = value if isinstance(value, (int, type(None))) else None
    if labels is not None:
        facts["labels"] = str(labels)
    if has_seeded_order(loader):
        features = getattr(getattr(loader, "dataset", None), "features", None)
        facts["checksum"] = batch_checksum(loader) if features is None else features.checksum()
    return facts


def batch_checksum(batch):
    """CRC-32 of all tensors of a nested batch, names, shapes and types included."""
    if isinstance(batch, dict):
        text, parts = "dict " + " ".join(map(str, batch)), list(batch.values())
    elif isinstance(batch, (list, tuple)):
        text, parts = f"list {len(batch)}", list(batch)
    elif isinstance(batch, torch.Tensor):
        data = batch.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        return zlib.crc32(data, zlib.crc32(f"{batch.dtype} {tuple(batch.shape)}".encode()))
    else:
        return zlib.crc32(repr(batch).encode()) if isinstance(batch, (str, int, float, bool, type(None))) else 0
    total = zlib.crc32(text.encode())
    for part in parts:
        total = zlib.crc32(str(batch_checksum(part)).encode(), total)
    return total


# ---- batch normalization and a batch of one --------------------------------------------------------------------------
def smallest_batch(loader):
    """Samples in the smallest batch, or None where that cannot be known without reading."""
    if isinstance(loader, (list, tuple)):
        sizes = [len(found[0]) for batch in loader if (found := leaves(batch)) and found[0].ndim]
        return min(sizes, default=None)
    sampler: Any = getattr(loader, "batch_sampler", None)
    size, drop_last = getattr(sampler, "batch_size", None), getattr(sampler, "drop_last", False)
    try:
        n = sampler.n if hasattr(sampler, "n") else len(sampler.sampler)
    except (AttributeError, TypeError):
        return None
    if not size:
        return None
    return n % size if n % size and not drop_last else min(size, n)


def check_single_sample(model, loader, loss_fn, device):
    """Raise ValueError where the last batch is of one sample and the model cannot train on that."""
    kinds = (torch.nn.modules.batchnorm._BatchNorm, torch.nn.modules.instancenorm._InstanceNorm)
    if smallest_batch(loader) != 1 or not any(isinstance(m, kinds) for m in model.modules()):
        return
    try:
        trial = copy.deepcopy(model).train()
    except (RuntimeError, TypeError):  # a model that cannot be copied shows it in training
        return
    with rng_preserved(device, loader):
        batch = _first_rows(to_device(next(iter(loader)), device))
        try:
            loss_fn(trial, batch)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise ValueError(
                "train_loader: its last batch holds one sample, and batch normalization needs two or more; "
                "choose another batch_size, or leave that sample out (drop_last=True, subset)"
            ) from error


def _first_rows(batch):
    if isinstance(batch, dict):
        return {key: _first_rows(value) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        return type(batch)([_first_rows(value) for value in batch])
    return batch[:1] if isinstance(batch, torch.Tensor) and batch.ndim else batch


# ---- going on --------------------------------------------------------------------------------------------------------
def check_resumable(loader, name, resume):
    """Warn (or, going on, raise ValueError) where worker processes keep random states that no checkpoint reaches."""
    if not (getattr(loader, "num_workers", 0) and getattr(loader, "persistent_workers", False)):
        return
    text = f"{name}: persistent_workers keep random states that a checkpoint does not reach, so going on is not exact"
    if resume:
        raise ValueError(f"{text}; give the DataLoader persistent_workers=False and start again in another folder")
    warnings.warn(f"{text}; give the DataLoader persistent_workers=False", stacklevel=3)


def set_epoch(loader, epoch):
    """Tell a loader, or its sampler, which epoch comes, if it wants to know."""
    parts: list[Any] = [loader, getattr(loader, "batch_sampler", None), getattr(loader, "sampler", None)]
    for part in parts:
        if hasattr(part, "set_epoch"):
            part.set_epoch(epoch)


def skip_first_batches(loader, state):
    """The batches of the state's epoch that are still to do; loader and random numbers go on as if never stopped.

    A loader that is not seeded by epoch is compared by its first batch: the epoch under way is read again up to where
    the run stopped, or the epoch before where it stopped between two.

    Raises
    ------
    ValueError
        The loader's first batch is another one than it was: other data, or a generator that cannot be restored.
    """
    now = get_rng_state(state.device, state.generators)
    if state.resumed and state.batch == 0 and state.epoch > 0 and not has_seeded_order(loader):
        set_epoch(loader, state.epoch - 1)
        set_rng_state(state.epoch_rng, state.device, state.generators)
        for i, batch in enumerate(loader):
            if i == 0:
                _check_first_batch(batch, state)
        set_rng_state(now, state.device, state.generators)
    set_epoch(loader, state.epoch)
    if state.batch == 0:
        state.epoch_rng = now
    else:
        set_rng_state(state.epoch_rng, state.device, state.generators)  # what draws by them draws again what it drew
    batches = iter(loader)
    for i in range(state.batch):
        batch = next(batches)
        if i == 0 and not has_seeded_order(loader):
            _check_first_batch(batch, state)
    if state.batch:
        set_rng_state(now, state.device, state.generators)
    elif state.folder and not has_seeded_order(loader):
        first = next(batches, None)
        state.first_batch = batch_checksum(first)
        if first is not None:
            yield first
    state.resumed = False
    yield from batches


def _check_first_batch(batch, state):
    if batch_checksum(batch) != state.first_batch:
        raise ValueError(
            "train_loader: going on is not exact, because the epoch's first batch is not the one that the stopped run "
            "saw. Either the data are others, or the loader draws from a generator that the checkpoint could not "
            "restore. Take Dataset.torch_loader(seed=…), keep the generator as an attribute of the data set or give it "
            "to the DataLoader, or start again in another folder"
        )
