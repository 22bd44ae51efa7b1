"""One training run in one process, timed: `python -m benchmarks.contestants NAME EPOCHS` prints its figures as JSON.

All train the same model (`model` of this file, from seed 0) on the same batches of `mood` in the same order, with
AdamW, warm-up and cosine, in float32 on as many threads. The clock stands still while the test set is judged.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from mmcourse.datasets import load, mood

BATCH, RATE, DECAY = 64, 1e-2, 0.3
GOAL = 0.95 * mood.bayes_accuracy(["face", "voice", "words"])


class Clock:
    """Seconds of training: of all, of waiting for data, and until the goal was reached first."""

    def __init__(self, judge: Callable[[], float]):
        self.judge, self.accuracy, self.reached = judge, 0.0, None
        self.data = self.paused = self.total = 0.0
        self.start = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self.start - self.paused

    def epoch(self) -> None:
        """Judge the model, off the clock."""
        before, now = time.perf_counter(), self.seconds()
        self.accuracy = self.judge()
        self.paused += time.perf_counter() - before
        if self.reached is None and self.accuracy >= GOAL:
            self.reached = now


class Timed:
    """A loader that tells the clock how long each batch was waited for, and (`ends`) when an epoch is over."""

    def __init__(self, loader: Any, clock: Clock):
        self.loader, self.clock, self.ends = loader, clock, True

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self.loader)
        while True:
            before = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                break
            finally:
                self.clock.data += time.perf_counter() - before
            yield batch
        if self.ends:
            self.clock.epoch()


# ---------------------------------------------------------------- PyTorch
def torch_model():
    """The trimodal model of lesson train_pytorch at laptop size."""
    import torch

    from mmcourse.torch import encoders, fusion

    torch.manual_seed(0)
    words = len(load("mood", "train").vocabulary)
    parts = {
        "face": encoders.ImageEncoder(width=32),
        "voice": encoders.AudioEncoder(bands=load("mood", "train").features()["voice"].shape[-1], width=32),
        "words": encoders.TextEncoder(words, width=32),
    }
    return encoders.MultimodalClassifier(parts, fusion.Concatenate([32] * 3, 128), classes=3)


def torch_run(train: Callable) -> Clock:
    from mmcourse.training.torch import predict

    model, test = torch_model(), load("mood", "test")
    held_out = list(test.torch_loader(batch_size=500))

    def judge() -> float:
        was = model.training
        right = (predict(model, held_out).argmax(1) == test.labels).mean()
        model.train(was)
        return float(right)

    judge()  # first calls choose kernels: off the clock for all
    loader = load("mood", "train").torch_loader(BATCH, seed=0)
    next(iter(loader))
    loader.batch_sampler.set_epoch(0)
    clock = Clock(judge)
    train(model, Timed(loader, clock))
    clock.total = clock.seconds()
    return clock


def ours(epochs: int) -> Clock:
    from mmcourse.training.torch import fit

    options = {"progress": False, "channels_last": True}
    return torch_run(lambda model, loader: fit(model, loader, epochs, RATE, DECAY, **options))


def bare(epochs: int) -> Clock:
    """The loop that everyone writes first."""
    import torch

    from mmcourse.training.torch import warmup_cosine

    def train(model, loader):
        optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
        total = epochs * len(loader)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, total))
        for _ in range(epochs):
            model.train()
            loss_sum = right = 0.0
            for batch in loader:
                logits = model(batch)
                loss = torch.nn.functional.cross_entropy(logits, batch["target"])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                loss_sum += loss.item()
                right += (logits.argmax(1) == batch["target"]).sum().item()

    return torch_run(train)


def lightning(epochs: int, barebones: bool = False) -> Clock:
    """PyTorch Lightning, with the loss and accuracy of each epoch logged; no files, no bars."""
    import logging
    import warnings

    import torch
    from lightning import pytorch as pl

    from mmcourse.training.torch import warmup_cosine

    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(pl.LightningModule):
        def __init__(self, model, total, clock):
            super().__init__()
            self.model, self.total, self.clock = model, total, clock

        def training_step(self, batch, _):
            logits = self.model(batch)
            loss = torch.nn.functional.cross_entropy(logits, batch["target"])
            if not barebones:
                right = (logits.argmax(1) == batch["target"]).float().mean()
                self.log_dict({"loss": loss, "accuracy": right}, on_epoch=True, on_step=False, batch_size=len(logits))
            return loss

        def on_train_epoch_end(self):
            self.clock.epoch()

        def configure_optimizers(self):
            optimizer = torch.optim.AdamW(self.model.parameters(), RATE, weight_decay=DECAY)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, self.total))
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    quiet |= {"enable_model_summary": False}
    options = {"barebones": True} if barebones else quiet

    def train(model, loader):
        trainer = pl.Trainer(max_epochs=epochs, accelerator="cpu", devices=1, **options)
        loader.ends = False  # Lightning stops at the last batch, without asking whether there is another
        trainer.fit(Module(model, epochs * len(loader), loader.clock), loader)

    return torch_run(train)


# ---------------------------------------------------------------- Keras
def keras_model():
    """The same model in Keras, built."""
    import keras

    from mmcourse.keras import encoders, fusion

    keras.utils.set_random_seed(0)
    data = load("mood", "train")
    parts = {
        "face": encoders.ImageEncoder(width=32),
        "voice": encoders.AudioEncoder(data.features()["voice"].shape[-1], width=32),
        "words": encoders.TextEncoder(len(data.vocabulary), width=32),
    }
    model = encoders.MultimodalClassifier(parts, fusion.Concatenate([32] * 3, 128), classes=3)
    model(next(iter(data.tf_dataset(batch_size=BATCH, fixed_length=True)))[0])
    return model


def keras_run(train: Callable) -> Clock:
    import keras

    from mmcourse.training.keras import predict

    model, test = keras_model(), load("mood", "test")
    held_out = test.tf_dataset(batch_size=500, fixed_length=True)

    def judge() -> float:
        return float((predict(model, held_out).argmax(1) == test.labels).mean())

    judge()
    flow = load("mood", "train").tf_dataset(BATCH, seed=0, fixed_length=True)
    before = time.perf_counter()
    sum(1 for _ in flow)
    waiting = time.perf_counter() - before
    flow = load("mood", "train").tf_dataset(BATCH, seed=0, fixed_length=True)
    clock = Clock(judge)
    told = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: clock.epoch())
    epochs = train(model, flow, told)
    clock.total, clock.data = clock.seconds(), waiting * epochs
    return clock


def keras_ours(epochs: int) -> Clock:
    import keras

    from mmcourse.training.keras import fit

    def train(model, flow, told):
        own = keras.Model.fit
        keras.Model.fit = lambda *args, callbacks, **more: own(*args, callbacks=[told, *callbacks], **more)
        fit(model, flow, epochs, RATE, DECAY, progress=False)
        return epochs

    return keras_run(train)


def keras_plain(epochs: int) -> Clock:
    """Keras's own `compile` and `fit`, as its guides write them."""
    import keras

    def train(model, flow, told):
        total = epochs * len(flow)
        up = round(0.3 * total)
        schedule = keras.optimizers.schedules.CosineDecay(0.0, total - up, warmup_target=RATE, warmup_steps=up)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.AdamW(schedule, DECAY), loss, metrics=["accuracy"])
        model.fit(flow, epochs=epochs, shuffle=False, verbose=0, callbacks=[told])
        return epochs

    return keras_run(train)


CONTESTANTS: dict[str, Callable[[int], Clock]] = {
    "ours": ours,
    "bare loop": bare,
    "Lightning": lightning,
    "Lightning, barebones": lambda epochs: lightning(epochs, barebones=True),
    "ours in Keras": keras_ours,
    "plain Keras fit": keras_plain,
}


def main() -> None:
    name, epochs = sys.argv[1], int(sys.argv[2])
    clock = CONTESTANTS[name](epochs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    samples = epochs * len(load("mood", "train"))
    figures = {
        "samples_per_second": samples / clock.total,
        "to_goal_s": clock.reached,
        "peak_mb": peak,
        "data_share": clock.data / clock.total,
        "accuracy": clock.accuracy,
    }
    print(json.dumps({key: value if value is None else round(float(value), 4) for key, value in figures.items()}))


if __name__ == "__main__":
    main()
