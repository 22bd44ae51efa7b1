"""Training as one would use it, for any task. Read it from the bottom: `fit`, then an epoch, then one step.

A task is a function ``loss_fn(model, batch) -> loss, metrics, count``: the mean loss of the batch (a scalar tensor),
a dict with the sum of each metric over it, and the number of samples that loss and metrics are taken over.
"""

import functools
import math

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mmcourse.torch.losses import cross_entropy
from mmcourse.training.rng import find_generators
from mmcourse.training.settings import check_flag, check_settings, plain_number
from mmcourse.training.torch.checkpoint import TrainState
from mmcourse.training.torch.loader import (
    check_classes,
    check_loader,
    check_resumable,
    check_single_sample,
    device_of,
    loader_fingerprint,
    rng_preserved,
    skip_first_batches,
    to_device,
)
from mmcourse.training.torch.logger import MetricLogger
from mmcourse.training.torch.optim import autocast_dtype, clip_gradients, param_groups_weight_decay, warmup_cosine


def classification(model, batch, largest_label=None):
    """Cross-entropy of class numbers `batch["target"]`, and how many predictions are correct.

    The model gives logits (b, classes). This is `fit`'s loss function where none is given.

    Raises
    ------
    ValueError
        The targets are not class numbers of this model.
    """
    logits, target = model(batch), batch["target"]
    check_logits(logits, target, largest_label)
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    loss = cross_entropy(logits, target.long())
    num_correct = (logits.argmax(-1) == target).sum()
    return loss, {"accuracy": num_correct}, target.numel()


def check_logits(logits, target, largest_label=None):
    """Raise ValueError unless `target` (b,) are class numbers that `logits` (b, classes) can have."""
    if target.shape != logits.shape[:-1] or target.is_floating_point():
        raise ValueError(
            f"target: expected class numbers of shape {tuple(logits.shape[:-1])}, one per row of logits "
            f"{tuple(logits.shape)}, got {target.dtype} {tuple(target.shape)}"
        )
    if largest_label is None and target.device.type == "cpu" and target.numel():
        largest_label = target.max().item()
    if largest_label is not None and largest_label >= logits.shape[-1]:
        raise ValueError(
            f"target: class {largest_label} occurs, but the model gives logits for {logits.shape[-1]} classes only "
            f"(0 to {logits.shape[-1] - 1}); make its last layer wider, or correct the labels"
        )


@torch.no_grad()
def predict(model, loader):
    """Logits of every sample in the loader's order, as a NumPy array (n, classes); dropout and the like are off.

    Raises
    ------
    ValueError
        An empty loader.
    """
    model.eval()
    logits = [model(to_device(batch, device_of(model))) for batch in loader]
    if not logits:
        raise ValueError("loader: expected batches, got an empty loader; is the split, or the subset of it, empty?")
    return torch.cat(logits).cpu().numpy()


@torch.no_grad()
def evaluate(model, loader, loss_fn=classification):
    """Mean loss and metrics over a loader: {"val_loss", "val_accuracy"}.

    Raises
    ------
    ValueError
        An empty loader.
    """
    model.eval()
    num_samples = 0
    sums: dict = {}  # by name
    for batch in loader:
        loss, metrics, count = call_loss_fn(loss_fn, model, to_device(batch, device_of(model)))
        num_samples += count
        for name, value in {"loss": loss * count, **metrics}.items():
            sums[name] = sums.get(name, 0) + value.item()
    if not num_samples:
        raise ValueError("loader: expected batches, got an empty loader; is the split, or the subset of it, empty?")
    return {f"val_{name}": total / num_samples for name, total in sums.items()}


def call_loss_fn(loss_fn, model, batch):
    """Loss (a scalar tensor), metrics ({name: tensor}) and count (int) of a batch.

    Raises
    ------
    ValueError
        `loss_fn` returns something else.
    """
    returned = loss_fn(model, batch)
    if not isinstance(returned, tuple) or len(returned) != 3:
        got = f"{len(returned)} values" if isinstance(returned, tuple) else type(returned).__name__
        raise ValueError(f"loss_fn: expected it to return (loss, metrics, count), got {got}")
    loss, metrics, count = returned
    if not isinstance(loss, torch.Tensor) or loss.ndim:
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
        raise ValueError(f"loss_fn: expected the loss as a scalar tensor, the mean over the batch, got {got}")
    count = plain_number(count)
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"loss_fn: expected as count the number of samples, 1 or more, got {count!r}")
    if not isinstance(metrics, dict) or "loss" in metrics:
        raise ValueError(f"loss_fn: expected metrics as a dict without 'loss', got {metrics!r:.60}")
    metrics = {name: torch.as_tensor(value, device=loss.device).detach() for name, value in metrics.items()}
    if wrong := [name for name, value in metrics.items() if value.ndim]:
        raise ValueError(f"loss_fn: expected each metric as one number, its sum over the batch; not so: {wrong}")
    return loss, metrics, count


def train_step(model, batch, state, loss_fn, amp_dtype=None, clip=None):
    """One step of training on one batch: forward, backward, update.

    Returns
    -------
    loss (a scalar tensor), metrics ({name: sum over the batch}), both still on the device, and the number of samples.
    """
    with torch.autocast(state.device.type, amp_dtype, enabled=amp_dtype is not None):
        loss, metrics, count = call_loss_fn(loss_fn, model, batch)
    state.optimizer.zero_grad()
    state.scaler.scale(loss).backward()
    if clip is not None:
        state.scaler.unscale_(state.optimizer)
        clip_gradients(state.model.parameters(), clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if state.ema_model:
        state.ema_model.update_parameters(state.model)
    return loss.detach(), metrics, count


def flush_metrics(state, pending, learning_rate, logger):
    """Read the losses of the last steps; if they are finite, add them to the epoch's sums and log them."""
    losses = torch.stack([loss for loss, _, _ in pending]).tolist()
    counts = [count for _, _, count in pending]
    first = state.step - len(pending) + 1
    for step, loss in enumerate(losses, first):
        if not math.isfinite(loss):
            saved = state.folder and state.checkpoint_path().is_file()
            kept = "no checkpoint was written (folder=…)"
            if saved:
                kept = f"the last good one is {state.checkpoint_path()}"
            raise FloatingPointError(
                f"loss: {loss} at step {step}, learning rate {learning_rate:.3g}. The model is spoilt; {kept}. "
                "Look for NaN or huge values in the batch; else lower learning_rate, raise warmup, or take clip=1.0"
            )
    state.num_samples += sum(counts)
    state.add("loss", sum(loss * count for loss, count in zip(losses, counts, strict=True)))
    for name in pending[0][1]:
        state.add(name, sum(torch.stack([metrics[name] for _, metrics, _ in pending]).tolist()))
    logger.log_step(first, losses, learning_rate, sum(counts), state.metrics())
    pending.clear()


def train_epoch(model, loader, state, logger, *, loss_fn, lr_schedule, amp_dtype, channels_last):
    """What is left of the state's epoch. `model` may be compiled; `lr_schedule`: step → learning rate."""
    settings = state.settings
    flush_every = 1 if state.device.type == "cpu" else 20  # reading a loss makes a GPU wait
    pending = []
    state.model.train()
    for batch in skip_first_batches(loader, state):
        learning_rate = lr_schedule(state.step)
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate
        batch = to_device(batch, state.device, channels_last)
        pending.append(train_step(model, batch, state, loss_fn, amp_dtype, settings.clip))
        state.step += 1
        state.batch += 1
        save = settings.save_every and state.step % settings.save_every == 0
        if save or len(pending) == flush_every:
            flush_metrics(state, pending, learning_rate, logger)
        if save:
            state.save()
    if pending:
        flush_metrics(state, pending, learning_rate, logger)
    if state.batch != state.num_batches:
        raise ValueError(
            f"train_loader: its length is {state.num_batches}, but it gave {state.batch} batches in epoch {state.epoch}"
        )


def on_epoch_end(state, validation, loss_fn, logger):
    """Validate, remember, log, save; the state then stands before the next epoch."""
    metrics = state.metrics()
    if validation is not None:
        evaluated = state.ema_model.module if state.ema_model else state.model
        metrics |= evaluate(evaluated, validation, loss_fn)
        state.keep_best(evaluated, metrics["val_loss"])
    state.history.append(metrics)
    state.epoch += 1
    state.batch = state.num_samples = 0
    state.sums = {}
    logger.log_epoch(state.step, state.history)
    if state.folder:
        state.save()


def create_train_state(model, settings, num_batches, amp_dtype=None, recorded=None, generators=None):
    """A run before its first step: optimizer, loss scaling for float16, averaged weights."""
    device = device_of(model).type
    fused = device in ("cpu", "cuda")  # one kernel for all parameters
    groups = param_groups_weight_decay(model, settings.weight_decay)
    optimizer = torch.optim.AdamW(groups, settings.learning_rate, fused=fused)
    scaler = torch.amp.GradScaler(device, enabled=amp_dtype is torch.float16)
    average = None if settings.ema is None else get_ema_multi_avg_fn(settings.ema)
    ema_model = None if average is None else AveragedModel(model, multi_avg_fn=average)
    recorded = settings.recorded() if recorded is None else recorded
    return TrainState(model, optimizer, scaler, ema_model, settings, recorded, num_batches, generators or {})


def fit(
    model, train_loader, epochs=10, learning_rate=1e-2, weight_decay=0.3, seed=0, progress=True,
    *, loss_fn=classification, validation=None, warmup=0.3, clip=None, ema=None, patience=None,
    amp="auto", compile=False, channels_last=False, folder=None, save_every=None, resume=False,
):  # fmt: skip
    """Train a model on its device (CPU or GPU) with AdamW, warm-up and cosine, for any task.

    `train_loader` shuffles by its own seed and the epoch; `seed` is for what is drawn in training, such as dropout.
    PyTorch's generator is left as it was, the model in evaluation mode.

    Parameters
    ----------
    model : a module that takes a batch, a dict with "inputs" and more (see `mmcourse.datasets.Features.batch`)
    train_loader : a DataLoader, a list of batches: anything with a length that can be read in each epoch
    loss_fn : (model, batch) → mean loss of the batch, {metric: its sum over the batch}, number of samples. By default
        `classification`, the cross-entropy of `batch["target"]`
    validation : a loader, measured after each epoch
    warmup : share of the steps, from 0 to 1, in which the learning rate rises
    clip : largest common norm of all gradients
    ema : momentum of a running mean of the weights, which validation sees and the model has in the end
    patience : stop after so many epochs without a lower validation loss (0 as 1), and take the best epoch's weights
    amp : "auto", "bfloat16", "float16" or False
    compile, channels_last : for speed, the result is the same
    folder : for checkpoints (`last`, `best`), TensorBoard and history.json
    save_every : steps between checkpoints, beside the one at each epoch's end
    resume : go on from the folder's last checkpoint if there is one; the result is that of a run never stopped (on
        as many threads: sums in another order round otherwise)

    Returns
    -------
    A list of {"loss", "accuracy"}, one per epoch, measured while training, with {"val_loss", "val_accuracy"} where
    there is validation; under `loss_fn`'s own names for other metrics.

    Raises
    ------
    ValueError
        A setting out of range; an empty loader; targets that are no classes of this model, or that only validation
        has; a last batch of one sample with batch normalization; a checkpoint that does not belong here, or a loader
        with which going on would not be exact. All before the first step.
    FloatingPointError
        The loss is not finite.
    """
    for name, loader in {"train_loader": train_loader, "validation": validation}.items():
        if loader is not None:
            check_loader(name, loader)
    settings = check_settings(
        num_batches=len(train_loader), has_validation=validation is not None, epochs=epochs,
        learning_rate=learning_rate, weight_decay=weight_decay, seed=seed, warmup=warmup, clip=clip, ema=ema,
        patience=patience, folder=folder, resume=resume, progress=progress, save_every=save_every,
    )  # fmt: skip
    compile, channels_last = check_flag("compile", compile), check_flag("channels_last", channels_last)
    device, amp_dtype = device_of(model), autocast_dtype(amp, device_of(model))
    model.to(memory_format=torch.channels_last if channels_last else torch.preserve_format)

    total = settings.epochs * len(train_loader)
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        MetricLogger(settings.folder, total, settings.progress) as logger,
    ):
        counts = {}
        with rng_preserved(device, [train_loader, validation]):
            if loss_fn is classification:
                counts = check_classes(train_loader, validation)
                loss_fn = functools.partial(classification, largest_label=max(counts["train_loader"]))
            check_single_sample(model, train_loader, loss_fn, device)
            recorded = _recorded(settings, amp_dtype, train_loader, validation, counts) if settings.folder else {}
        generators = {}
        if settings.folder:
            check_resumable(train_loader, "train_loader", settings.resume)
            generators = find_generators(train_loader=train_loader, validation=validation)
        state = create_train_state(model, settings, len(train_loader), amp_dtype, recorded, generators)
        torch.manual_seed(settings.seed)
        state.open()
        logger.start(state.step)
        compiled_model = torch.compile(model) if compile else model
        while not state.is_finished():
            train_epoch(
                compiled_model, train_loader, state, logger, loss_fn=loss_fn, amp_dtype=amp_dtype,
                lr_schedule=lambda step: settings.learning_rate * warmup_cosine(step, total, settings.warmup),
                channels_last=channels_last,
            )  # fmt: skip
            on_epoch_end(state, validation, loss_fn, logger)
    state.finish()
    return state.history


def _recorded(settings, amp_dtype, train_loader, validation, counts):
    """What a resumed run must share with the one that was stopped."""
    return settings.recorded(
        amp=str(amp_dtype),
        train_loader=loader_fingerprint(train_loader, counts.get("train_loader")),
        validation=loader_fingerprint(validation, counts.get("validation")),
    )
