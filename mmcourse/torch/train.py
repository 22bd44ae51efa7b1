"""Training as one would use it. Read it from the bottom: `fit`, then an epoch, then one step."""

import math
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mmcourse.torch.checkpoint import Run
from mmcourse.torch.feed import check_classes, evaluate, on, order, predict, remaining, where
from mmcourse.torch.logs import Diary
from mmcourse.torch.losses import cross_entropy
from mmcourse.torch.recipe import clip_gradients, decay_groups, half_precision, warmup_cosine

__all__ = ["cross_entropy", "evaluate", "fit", "on", "predict", "warmup_cosine", "where"]


def update(call, batch, run, half, clip):
    """One step of training. Returns the loss, how many were right (both still on the device), and of how many."""
    with torch.autocast(run.device.type, half, enabled=half is not None):
        logits = call(batch)
    loss = cross_entropy(logits.float() if half else logits, batch["target"])
    run.optimiser.zero_grad()
    run.scaler.scale(loss).backward()
    if clip is not None:
        run.scaler.unscale_(run.optimiser)
        clip_gradients(run.model.parameters(), clip)
    run.scaler.step(run.optimiser)
    run.scaler.update()
    if run.average:
        run.average.update_parameters(run.model)
    return loss.detach(), (logits.argmax(-1) == batch["target"]).sum(), len(logits)


def look(run, pending, rate, diary):
    """Read the losses of the last steps; if they are finite, into the epoch's sums and the diary."""
    losses, right = (torch.stack([step[i] for step in pending]).tolist() for i in (0, 1))
    first, sizes = run.step - len(pending) + 1, [step[2] for step in pending]
    for step, loss in enumerate(losses, first):
        if not math.isfinite(loss):
            saved = run.folder and run.saved().is_file()
            raise FloatingPointError(
                f"loss: {loss} at step {step}, learning rate {rate:.3g}. The model is spoilt; "
                f"{f'the last good one is {run.saved()}' if saved else 'no checkpoint was written (folder=…)'}. "
                "Look for NaN or huge values in the batch; else lower learning_rate, raise warmup, or take clip=1.0"
            )
    run.seen, run.right = run.seen + sum(sizes), run.right + sum(right)
    run.loss_sum += sum(loss * n for loss, n in zip(losses, sizes, strict=True))
    diary.steps(first, losses, rate, sum(sizes), run.numbers())
    pending.clear()


def train_epoch(call, loader, run, diary, *, rates, half, clip, channels_last, save_every):
    """What is left of the run's epoch. `call`: the model, compiled or not; `rates`: step → learning rate."""
    pending, every = [], 1 if run.device.type == "cpu" else 20  # looking at a loss makes a GPU wait
    run.model.train()
    for batch in remaining(loader, run):
        rate = rates(run.step)
        for group in run.optimiser.param_groups:
            group["lr"] = rate
        pending.append(update(call, on(batch, run.device, channels_last), run, half, clip))
        run.step, run.batch = run.step + 1, run.batch + 1
        save = save_every and run.step % save_every == 0
        if save or len(pending) == every:
            look(run, pending, rate, diary)
        if save:
            run.save()
    if pending:
        look(run, pending, rate, diary)


def end_epoch(run, validation, diary):
    """Validate, remember, save, and stand before the next epoch."""
    numbers = run.numbers()
    if validation is not None:
        judged = run.average.module if run.average else run.model
        numbers |= evaluate(judged, validation)
        run.keep_best(judged, numbers["val_loss"])
    run.history.append(numbers)
    run.epoch, run.batch, run.seen, run.right, run.loss_sum = run.epoch + 1, 0, 0, 0, 0.0
    diary.epoch(run.step, run.history)
    if run.folder:
        run.save()


def begin(model, learning_rate, weight_decay, ema, half, settings, folder):
    """A run before its first step: optimiser, loss scaling for float16, averaged weights."""
    device = where(model).type
    fused = device in ("cpu", "cuda")  # one kernel for all parameters
    optimiser = torch.optim.AdamW(decay_groups(model, weight_decay), learning_rate, fused=fused)
    scaler = torch.amp.GradScaler(device, enabled=half is torch.float16)
    average = None if ema is None else AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema))
    return Run(model, optimiser, scaler, average, settings, folder and Path(folder))


def fit(
    model, train_loader, epochs=10, learning_rate=1e-2, weight_decay=0.3, seed=0, progress=True,
    *, validation=None, warmup=0.3, clip=None, ema=None, patience=None,
    amp="auto", compile=False, channels_last=False, folder=None, save_every=None, resume=False,
):  # fmt: skip
    """Train a classifier of batch dicts, where it stands (CPU or GPU), with AdamW, warm-up and cosine.

    `train_loader` shuffles by its own seed and the epoch; `seed` is for what is drawn in training, such as dropout.
    PyTorch's generator is left as it was, the model in evaluation mode. Returns a list of {"loss", "accuracy"}, one an
    epoch, measured while training, with {"val_loss", "val_accuracy"} where there is validation.

    Parameters
    ----------
    validation : a loader, measured after each epoch; warmup : share of the steps in which the rate rises
    clip : largest common norm of all gradients
    ema : momentum of a running mean of the weights, which validation sees and the model has in the end
    patience : stop after so many epochs without a lower validation loss, and take the best epoch's weights
    amp : "auto", "bfloat16", "float16" or False; compile, channels_last : for speed, the result is the same
    folder : for checkpoints (`last`, `best`), TensorBoard and history.json; save_every : steps, beside each epoch's end
    resume : go on from the folder's last checkpoint if there is one; the result is that of a run never stopped

    Raises
    ------
    ValueError
        An empty loader, a class that only validation has, a checkpoint that does not belong here.
    FloatingPointError
        The loss is not finite.
    """
    settings = {"epochs": epochs, "learning_rate": learning_rate, "weight_decay": weight_decay, "warmup": warmup}
    settings |= {"clip": clip, "ema": ema, "patience": patience, "seed": seed, "batches": order(train_loader)}
    half, total = half_precision(amp, where(model)), epochs * len(train_loader)
    model.to(memory_format=torch.channels_last if channels_last else torch.preserve_format)
    run = begin(model, learning_rate, weight_decay, ema, half, settings | {"amp": str(half)}, folder)
    how = {"half": half, "clip": clip, "channels_last": channels_last, "save_every": folder and save_every}
    how["rates"] = lambda step: learning_rate * warmup_cosine(step, total, warmup)
    call = torch.compile(model) if compile else model
    own = [run.device] if run.device.type == "cuda" else []
    with torch.random.fork_rng(own), Diary(run.folder, total, progress) as diary:
        check_classes(train_loader, validation)
        torch.manual_seed(seed)
        run.open(resume, watched=validation is not None)
        diary.start(run.step)
        while run.epoch < epochs and (patience is None or run.waited < patience):
            train_epoch(call, train_loader, run, diary, **how)
            end_epoch(run, validation, diary)
    run.finish()
    return run.history
