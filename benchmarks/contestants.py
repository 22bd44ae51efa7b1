"""One training run in one process, timed: `python -m benchmarks.contestants NAME EPOCHS RATE SEED` prints JSON.

All train the same model (`torch_model` or `keras_model`, from the same seed) on the same batches of `mood` in the same
order, with AdamW, warm-up and cosine, in float32 on as many threads. The clock stands still while the test set is
judged.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mmcourse.datasets import load, mood

BATCH, DECAY = 64, 0.3
GOAL = 0.95 * mood.bayes_accuracy(["face", "voice", "words"])


class Settings(NamedTuple):
    """What a contestant is told: how long, how fast, and from which start."""

    epochs: int
    rate: float = 1e-2
    seed: int = 0


class Clock:
    """Seconds of training: of all, of waiting for data, and until the goal was reached first."""

    def __init__(self, judge: Callable[[], float]):
        self.judge, self.accuracy, self.reached, self.epochs_to_goal = judge, 0.0, None, None
        self.ends: list[float] = []  # of each epoch
        self.data = self.paused = self.total = 0.0
        self.start = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self.start - self.paused

    def epoch(self) -> None:
        """Judge the model, off the clock."""
        before, now = time.perf_counter(), self.seconds()
        self.ends.append(now)
        self.accuracy = self.judge()
        self.paused += time.perf_counter() - before
        if self.reached is None and self.accuracy >= GOAL:
            self.reached, self.epochs_to_goal = now, len(self.ends)


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
def torch_model(seed: int = 0):
    """The trimodal model of lesson train_pytorch at laptop size."""
    import torch

    from mmcourse.torch import encoders, fusion

    torch.manual_seed(seed)
    words = len(load("mood", "train").vocabulary)
    parts = {
        "face": encoders.ImageEncoder(width=32),
        "voice": encoders.AudioEncoder(bands=load("mood", "train").features()["voice"].shape[-1], width=32),
        "words": encoders.TextEncoder(words, width=32),
    }
    return encoders.MultimodalClassifier(parts, fusion.Concatenate([32] * 3, 128), classes=3)


def torch_run(train: Callable, settings: Settings) -> Clock:
    import torch

    from mmcourse.training.torch import predict

    model, test = torch_model(settings.seed), load("mood", "test")
    held_out = list(test.torch_loader(batch_size=500))

    def judge() -> float:
        was = model.training
        right = (predict(model, held_out).argmax(1) == test.labels).mean()
        model.train(was)
        return float(right)

    judge()  # first calls choose kernels: off the clock for all
    unused = torch.nn.Parameter(torch.zeros(1))
    unused.grad = torch.zeros(1)
    torch.optim.AdamW([unused], fused=True).step()  # the first step imports torch._dynamo, which Lightning has by now
    loader = load("mood", "train").torch_loader(BATCH, seed=settings.seed)
    next(iter(loader))
    loader.batch_sampler.set_epoch(0)
    clock = Clock(judge)
    train(model, Timed(loader, clock))
    clock.total = clock.seconds()
    return clock


def ours(settings: Settings, **options: Any) -> Clock:
    from mmcourse.training.torch import fit

    options = {"progress": False, "channels_last": True, "seed": settings.seed} | options
    return torch_run(
        lambda model, loader: fit(model, loader, settings.epochs, settings.rate, DECAY, **options), settings
    )


def alone(settings: Settings) -> Clock:
    """Forward and backward on batches that lie ready, and nothing else: no loop of this model can be faster."""
    import torch

    def train(model, loader):
        model.train().to(memory_format=torch.channels_last)
        batches = []
        for batch in loader.loader:
            face = batch["inputs"]["face"].contiguous(memory_format=torch.channels_last)
            batches.append(batch | {"inputs": batch["inputs"] | {"face": face}})
        loader.clock.start = time.perf_counter()  # reading them is off the clock
        for _ in range(settings.epochs):
            for batch in batches:
                model.zero_grad()
                torch.nn.functional.cross_entropy(model(batch), batch["target"]).backward()
            loader.clock.epoch()

    return torch_run(train, settings)


def bare(settings: Settings, fused: bool = False) -> Clock:
    """The loop that everyone writes first; `fused` takes the optimizer kernel that ours takes."""
    import torch

    from mmcourse.training.torch import warmup_cosine

    def train(model, loader):
        optimizer = torch.optim.AdamW(model.parameters(), settings.rate, weight_decay=DECAY, fused=fused)
        total = settings.epochs * len(loader)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, total))
        for _ in range(settings.epochs):
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

    return torch_run(train, settings)


def lightning(settings: Settings, barebones: bool = False) -> Clock:
    """PyTorch Lightning, with the loss and accuracy of each epoch logged; no files, no bars; the same fused AdamW."""
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
            optimizer = torch.optim.AdamW(self.model.parameters(), settings.rate, weight_decay=DECAY, fused=True)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, self.total))
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    quiet |= {"enable_model_summary": False}
    options = {"barebones": True} if barebones else quiet

    def train(model, loader):
        trainer = pl.Trainer(max_epochs=settings.epochs, accelerator="cpu", devices=1, **options)
        loader.ends = False  # Lightning stops at the last batch, without asking whether there is another
        trainer.fit(Module(model, settings.epochs * len(loader), loader.clock), loader)

    return torch_run(train, settings)


# ---------------------------------------------------------------- Keras
def keras_model(seed: int = 0):
    """The same model in Keras, built."""
    import keras

    from mmcourse.keras import encoders, fusion

    keras.utils.set_random_seed(seed)
    data = load("mood", "train")
    parts = {
        "face": encoders.ImageEncoder(width=32),
        "voice": encoders.AudioEncoder(data.features()["voice"].shape[-1], width=32),
        "words": encoders.TextEncoder(len(data.vocabulary), width=32),
    }
    model = encoders.MultimodalClassifier(parts, fusion.Concatenate([32] * 3, 128), classes=3)
    model(next(iter(data.tf_dataset(batch_size=BATCH, fixed_length=True)))[0])
    return model


def keras_run(train: Callable, settings: Settings) -> Clock:
    import keras

    from mmcourse.training.keras import predict

    model, test = keras_model(settings.seed), load("mood", "test")
    held_out = test.tf_dataset(batch_size=500, fixed_length=True)

    def judge() -> float:
        return float((predict(model, held_out).argmax(1) == test.labels).mean())

    judge()
    flow = load("mood", "train").tf_dataset(BATCH, seed=settings.seed, fixed_length=True)
    before = time.perf_counter()
    sum(1 for _ in flow)
    waiting = time.perf_counter() - before
    flow = load("mood", "train").tf_dataset(BATCH, seed=settings.seed, fixed_length=True)
    clock = Clock(judge)
    told = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: clock.epoch())
    clock.start = time.perf_counter()
    train(model, flow, told)
    clock.total, clock.data = clock.seconds(), waiting * settings.epochs
    return clock


def keras_ours(settings: Settings) -> Clock:
    import keras

    from mmcourse.training.keras import fit

    def train(model, flow, told):
        own = keras.Model.fit
        keras.Model.fit = lambda *args, callbacks, **more: own(*args, callbacks=[told, *callbacks], **more)
        fit(model, flow, settings.epochs, settings.rate, DECAY, progress=False, seed=settings.seed)

    return keras_run(train, settings)


def keras_plain(settings: Settings) -> Clock:
    """Keras's own `compile` and `fit`, as its guides write them."""
    import keras

    def train(model, flow, told):
        total = settings.epochs * len(flow)
        up = round(0.3 * total)
        schedule = keras.optimizers.schedules.CosineDecay(0.0, total - up, warmup_target=settings.rate, warmup_steps=up)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.AdamW(schedule, DECAY), loss, metrics=["accuracy"])
        model.fit(flow, epochs=settings.epochs, shuffle=False, verbose=0, callbacks=[told])

    return keras_run(train, settings)


CONTESTANTS: dict[str, Callable[[Settings], Clock]] = {
    "model alone": alone,
    "ours": ours,
    "bare loop, fused": lambda settings: bare(settings, fused=True),
    "bare loop": bare,
    "Lightning": lightning,
    "Lightning, barebones": lambda settings: lightning(settings, barebones=True),
    "ours in Keras": keras_ours,
    "plain Keras fit": keras_plain,
    "ours, compiled": lambda settings: ours(settings, compile=True),  # only by name: it takes minutes to begin
}


def main() -> None:
    name, epochs, rate, seed = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    clock = CONTESTANTS[name](Settings(epochs, rate, seed))
    samples = len(load("mood", "train"))
    figures = {
        "samples_per_second": epochs * samples / clock.total,
        "after_first_epoch": (epochs - 1) * samples / (clock.ends[-1] - clock.ends[0]) if epochs > 1 else None,
        "to_goal_s": clock.reached,
        "epochs_to_goal": clock.epochs_to_goal,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "data_share": clock.data / clock.total,
        "accuracy": clock.accuracy,
    }
    print(json.dumps({key: value if value is None else round(float(value), 4) for key, value in figures.items()}))


if __name__ == "__main__":
    main()
