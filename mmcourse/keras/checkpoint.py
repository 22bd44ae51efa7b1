"""A run that goes on after a stop as if there had been none.

`keras.callbacks.BackupAndRestore` keeps weights, optimiser and epoch. It forgets what random layers drew, the order in
which the data stood, the history and what early stopping remembers; killed between its two files, it repeats an epoch.
Here one file holds all of that and is replaced at once. It is written after each epoch: a stop costs the epoch it was
in. Not kept: the global generator (layers have their own), and the order of a dataset without `set_epoch`.
"""

import json
import os
from pathlib import Path

import keras
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

ORDER = ("loss", "accuracy", "val_loss", "val_accuracy")


def variables(model):
    """All that a run changes, in a fixed order: weights, running statistics, random states, then the optimiser's."""
    return [*model.variables, *model.optimizer.variables]


def names(model):
    """One for each of `variables`. The optimiser's own count how many models there were before this one."""
    return [*(v.name for v in model.variables), *("optimiser" for _ in model.optimizer.variables)]


def write(path, model, notes):
    """The run's state and `notes` (JSON) in one file, which takes the old one's place only when it is whole."""
    pairs = zip(names(model), variables(model), strict=True)
    arrays = {f"{i:04d} {name}": np.asarray(v.numpy()) for i, (name, v) in enumerate(pairs)}
    part = path.with_suffix(".part")
    with open(part, "wb") as file:
        file.write(save(arrays, {"notes": json.dumps(notes)}))
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def read(path, model, settings):
    """Put the run's state into a compiled model; returns the history so far.

    Raises
    ------
    ValueError
        The file is damaged, of another model, or of a run with other settings.
    """
    model.optimizer.build(model.trainable_variables)
    try:
        with safe_open(path, "np") as file:
            notes = json.loads(file.metadata()["notes"])
            arrays = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except SafetensorError as error:
        raise ValueError(
            f"{path}: expected a whole checkpoint, it is cut or damaged ({error}); use another folder"
        ) from error
    there = [f"{name[5:]} {array.shape}" for name, array in arrays.items()]
    here = [f"{name} {tuple(v.shape)}" for name, v in zip(names(model), variables(model), strict=True)]
    wrong = [f"{a} there, {b} here" for a, b in zip(there, here, strict=False) if a != b][:3]
    if wrong or len(there) != len(here):
        sizes = f"{len(there)} variables there, {len(here)} here"
        raise ValueError(f"{path}: a checkpoint of another model ({'; '.join([sizes, *wrong])}); build the same one")
    old = notes["settings"]
    if wrong := [f"{k}: {old.get(k)} there, {settings[k]} now" for k in settings if old.get(k) != settings[k]]:
        raise ValueError(f"{path}: a run with other settings ({'; '.join(wrong)}); use the same, or another folder")
    for variable, array in zip(variables(model), arrays.values(), strict=True):
        variable.assign(array)
    return notes["history"]


class Run(keras.callbacks.Callback):
    """The order of the data, the averaged weights, the history, and the files `last.safetensors` and `best.keras`.

    It must stand last among the callbacks: validation and all before it see the averaged weights, `last` the others.
    `stopping` is the EarlyStopping beside it, or None.
    """

    def __init__(self, datasets, settings, folder, stopping):
        super().__init__()
        self.datasets, self.settings, self.stopping = datasets, settings, stopping
        self.folder, self.history, self.averaged = folder and Path(folder), [], False

    def open(self, model, resume):
        """Go on from the folder's checkpoint, or begin in a folder that holds no other run."""
        if resume and not self.folder:
            raise ValueError("resume: there is no folder to go on from; give folder=… as in the run that was stopped")
        if not self.folder:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if (last := self.folder / "last.safetensors").is_file():
            if not resume:
                raise ValueError(f"folder: {self.folder} holds a run; go on with resume=True or choose another folder")
            self.history = read(last, model, self.settings)

    def finished(self):
        """Whether the checkpoint is of a run that early stopping had ended."""
        return self.stopping is not None and self.waited() >= self.stopping.patience

    def losses(self):
        """Validation loss of each epoch so far."""
        return [epoch["val_loss"] for epoch in self.history if "val_loss" in epoch]

    def waited(self):
        """Epochs since the lowest validation loss."""
        losses = self.losses()
        return len(losses) - 1 - losses.index(min(losses)) if losses else 0

    def on_train_begin(self, logs=None):
        """Early stopping has just forgotten what it knew: tell it."""
        if self.stopping is None or not self.history:
            return
        now = [v.numpy() for v in variables(self.model)]
        self.model.load_weights(self.folder / "best.keras")
        self.stopping.best_weights = self.model.get_weights()
        for variable, array in zip(variables(self.model), now, strict=True):
            variable.assign(array)
        self.stopping.best, self.stopping.wait = min(self.losses()), self.waited()

    def on_epoch_begin(self, epoch, logs=None):
        """The order of an epoch depends on its number, not on how often the data were looked at."""
        for dataset in self.datasets:
            if hasattr(dataset, "set_epoch"):
                dataset.set_epoch(epoch)

    def on_train_batch_end(self, batch, logs=None):
        """A loss that is no number ends the run, in words."""
        if not np.isfinite(logs["loss"]):
            step = int(self.model.optimizer.iterations)
            rate = float(self.model.optimizer._learning_rate(step - 1))  # `learning_rate` is the next step's already
            kept = self.folder and (self.folder / "last.safetensors").is_file()
            raise FloatingPointError(
                f"loss: {logs['loss']} at step {step}, learning rate {rate:.3g}. "
                f"{f'The last good state is in {self.folder}' if kept else 'No checkpoint was written (folder=…)'}. "
                "Look for NaN or huge values in the batch; else lower learning_rate, raise warmup, or take clip=1.0"
            )

    def swap(self):
        """Exchange weights and averages. `SwapEMAWeights` does it by adding and subtracting, which rounds."""
        optimiser = self.model.optimizer
        for weight, mean in zip(self.model.trainable_variables, optimiser._model_variables_moving_average, strict=True):
            old = weight.numpy()
            weight.assign(mean)
            mean.assign(old)
        self.averaged = not self.averaged

    def on_test_begin(self, logs=None):
        """Validation sees the averaged weights."""
        if self.model.optimizer.use_ema:
            self.swap()

    def on_epoch_end(self, epoch, logs=None):
        """Remember, and save: first `best`, so that `last` never speaks of a file that is not there."""
        self.history.append({name: float(logs[name]) for name in ORDER if name in logs})
        if self.folder and self.losses() and self.waited() == 0:
            part = self.folder / "best.part.keras"
            self.model.save(part)
            os.replace(part, self.folder / "best.keras")
        if self.averaged:
            self.swap()
        if self.folder:
            write(self.folder / "last.safetensors", self.model, {"settings": self.settings, "history": self.history})
