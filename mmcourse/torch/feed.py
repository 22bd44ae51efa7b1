"""What a loader feeds: batches on the device, from where a run stopped, with every class in them; and measuring."""

import numpy as np
import torch

from mmcourse.torch.checkpoint import random_state, set_random_state
from mmcourse.torch.losses import cross_entropy


def on(batch, device, channels_last=False):
    """A batch dict, nested or not, with its tensors on that device; images in memory as the device likes them."""
    if isinstance(batch, dict):
        return {key: on(value, device, channels_last) for key, value in batch.items()}
    batch = batch.to(device)
    return batch.contiguous(memory_format=torch.channels_last) if channels_last and batch.ndim == 4 else batch


def where(model):
    """The device of a model's parameters."""
    return next(model.parameters()).device


def counts(loader, name):
    """How often each label stands in a loader, {label: times}; an empty loader is an error."""
    rows = getattr(getattr(loader, "dataset", None), "features", None)  # ours: no need to read all the data
    ours = rows and [torch.from_numpy(rows.target(np.arange(len(rows))))]
    labels = ours or [batch["target"].cpu() for batch in loader]
    if not len(loader) or not sum(map(len, labels)):
        raise ValueError(f"{name}: expected batches, got an empty loader; is the split, or the subset of it, empty?")
    return dict(zip(*(x.tolist() for x in torch.cat(labels).unique(return_counts=True)), strict=True))


def check_classes(train_loader, validation):
    """Raise ValueError where validation asks for what training never shows."""
    known = counts(train_loader, "train_loader")
    asked = counts(validation, "validation") if validation is not None else {}
    if missing := [f"{label} ({times} times)" for label, times in asked.items() if label not in known]:
        raise ValueError(
            f"train_loader: no sample of class {', '.join(missing)}, which validation has, only {sorted(known)}. "
            "Split by class (stratified), or leave the class out of both"
        )


def order(loader):
    """What fixes the order of a loader's batches, for a checkpoint to compare."""
    sampler = getattr(loader, "batch_sampler", None)
    return [len(loader)] + [getattr(sampler, name, None) for name in ("n", "batch_size", "seed")]


def remaining(loader, run):
    """The batches of the run's epoch that are still to do; loader and random numbers go on as if never stopped."""
    if hasattr(sampler := getattr(loader, "batch_sampler", None), "set_epoch"):
        sampler.set_epoch(run.epoch)
    now = random_state(run.device)
    if run.batch == 0:
        run.epoch_random = now
    set_random_state(run.epoch_random, run.device)  # a loader that shuffles by them draws what it drew then
    batches = iter(loader)
    for _ in range(run.batch):
        next(batches)
    if run.batch:
        set_random_state(now, run.device)
    yield from batches


@torch.no_grad()
def predict(model, loader):
    """Logits of every sample in the loader's order, as a NumPy array (n, classes); dropout and the like are off."""
    model.eval()
    return torch.cat([model(on(batch, where(model))) for batch in loader]).cpu().numpy()


@torch.no_grad()
def evaluate(model, loader):
    """Mean loss and accuracy over a loader: {"val_loss", "val_accuracy"}."""
    model.eval()
    seen = loss = right = 0
    for batch in loader:
        batch = on(batch, where(model))
        logits, labels = model(batch), batch["target"]
        loss += cross_entropy(logits, labels).item() * len(labels)
        right += (logits.argmax(-1) == labels).sum().item()
        seen += len(labels)
    return {"val_loss": loss / seen, "val_accuracy": right / seen}
