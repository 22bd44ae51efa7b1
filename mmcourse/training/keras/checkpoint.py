"""A run that goes on after a stop as if there had been none.

`keras.callbacks.BackupAndRestore` keeps weights, optimizer and epoch. It forgets what random layers drew, the order in
which the data stood, the history and what early stopping remembers; killed between its two files, it repeats an epoch.
Here one file holds all of that and is replaced at once. It is written after each epoch: a stop costs the epoch it was
in. Not kept: Keras's global generator (layers have their own). A dataset whose order cannot be restored is refused.
"""

import math
from pathlib import Path

import keras
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mmcourse.io import atomic_path
from mmcourse.training import files
from mmcourse.training.keras.loader import VARIES
from mmcourse.training.rng import get_state, global_generators, set_state


def variables(trainer):
    """All that a run changes, in a fixed order: weights, running statistics, random states, then the optimizer's."""
    return [*trainer.variables, *trainer.optimizer.variables]


def names(trainer):
    """One for each of `variables`. The optimizer's own names count how many models there were before this one."""
    return [*(v.name for v in trainer.variables), *("optimizer" for _ in trainer.optimizer.variables)]


def write_checkpoint(path, trainer, metadata):
    """Write the run's state and `metadata` (JSON) to `path` atomically.

    Raises
    ------
    OSError
        The disk is full, or the folder cannot be written.
    """
    pairs = zip(names(trainer), variables(trainer), strict=True)
    arrays = {f"{i:04d} {name}": np.asarray(v.numpy(), order="C") for i, (name, v) in enumerate(pairs)}
    files.write_checkpoint_bytes(Path(path), save(arrays, files.make_header(_buffers(arrays), metadata)))


def read_checkpoint(path):
    """Arrays (in the order of `variables`) and metadata of a checkpoint.

    Raises
    ------
    FileNotFoundError, ValueError
        There is none, or it is damaged, or of another program or the first edition.
    """
    path = Path(path)
    files.check_exists(path)
    try:
        with safe_open(path, "np") as file:
            header, arrays = file.metadata(), {name: file.get_tensor(name) for name in sorted(file.keys())}
    except SafetensorError as error:
        raise files.damaged(path, error) from error
    return arrays, files.read_metadata(path, header, _buffers(arrays))


def _buffers(arrays):
    return {name: np.ascontiguousarray(array).reshape(-1).view(np.uint8) for name, array in arrays.items()}


def restore(path, trainer, recorded, epochs):
    """Put the run's state into a compiled model; returns the history so far.

    Raises
    ------
    ValueError
        The file is damaged, of another model, or of a run with other settings or other data.
    """
    trainer.optimizer.build(trainer.trainable_variables)
    arrays, metadata = read_checkpoint(path)
    files.check_form(path, metadata, {"settings": files.json_object(), "history": files.history_of()})
    _check_variables(path, trainer, arrays)
    files.check_same_settings(recorded, metadata["settings"], path)
    history = metadata["history"]
    if not 1 <= len(history) <= epochs:
        raise files.malformed(path, f"a history of {len(history)} epochs, of {epochs} in all")
    for name in ("dataset", "validation"):
        if (recorded[name] or {}).get("checksum") == VARIES:
            raise ValueError(
                f"{path}: going on is not exact, because {name} gives {VARIES} (it shuffles, or draws, by a state that "
                "no checkpoint holds); take Dataset.tf_dataset(seed=…) or a dataset with set_epoch, and another folder"
            )
    try:
        for name, generator in global_generators().items():
            set_state(generator, metadata["rng"][name])
    except (KeyError, TypeError, ValueError) as error:
        raise files.malformed(path, f"a random state that is none ({error})") from error
    for variable, array in zip(variables(trainer), arrays.values(), strict=True):
        variable.assign(array)
    return history


def _check_variables(path, trainer, arrays):
    """Raise ValueError unless the file's arrays have the names, shapes and types of the model's variables."""
    there = [f"{name[5:]} {array.dtype} {array.shape}" for name, array in arrays.items()]
    pairs = zip(names(trainer), variables(trainer), strict=True)
    here = [f"{name} {keras.backend.standardize_dtype(v.dtype)} {tuple(v.shape)}" for name, v in pairs]
    wrong = [f"{a} there, {b} here" for a, b in zip(there, here, strict=False) if a != b][:3]
    if wrong or len(there) != len(here):
        sizes = f"{len(there)} variables there, {len(here)} here"
        raise ValueError(f"{path}: a checkpoint of another model ({'; '.join([sizes, *wrong])}); build the same one")


class TrainingCheckpoint(keras.callbacks.Callback):
    """The order of the data, the averaged weights, the history, and the files `last.safetensors` and `best.keras`.

    It must stand last among the callbacks: validation and all before it see the averaged weights, `last` the others.
    `model_to_save` is the learner's model, which `best.keras` holds; `stopping` is the EarlyStopping beside it, or
    None.
    """

    def __init__(self, model_to_save, datasets, recorded, settings, stopping):
        super().__init__()
        self.model_to_save, self.datasets, self.recorded = model_to_save, datasets, recorded
        self.settings, self.stopping = settings, stopping
        self.history, self.averaged = [], False

    @property
    def folder(self):
        """For files, or None."""
        return self.settings.folder

    def open(self, trainer):
        """Go on from the folder's checkpoint, or begin in a folder that holds no other run."""
        if not self.folder:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if (last := self.folder / "last.safetensors").is_file():
            if not self.settings.resume:
                raise ValueError(f"folder: {self.folder} holds a run; go on with resume=True or choose another folder")
            self.history = restore(last, trainer, self.recorded, self.settings.epochs)

    def finished(self):
        """Whether the checkpoint is of a run that early stopping had ended."""
        return self.stopping is not None and self.num_bad_epochs() >= max(self.stopping.patience, 1)

    def losses(self):
        """Validation loss of each epoch so far; infinite where it was no number."""
        losses = [epoch["val_loss"] for epoch in self.history if "val_loss" in epoch]
        return [loss if math.isfinite(loss) else math.inf for loss in losses]

    def num_bad_epochs(self):
        """Epochs since the lowest validation loss."""
        losses = self.losses()
        return len(losses) - 1 - losses.index(min(losses)) if losses else 0

    def on_train_begin(self, logs=None):
        """Early stopping has just forgotten what it knew: tell it."""
        if self.stopping is None or not self.history:
            return
        best = self.folder / "best.keras"
        now = [v.numpy() for v in variables(self.model)]
        try:
            self.model_to_save.load_weights(best)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"{best}: expected the weights of the best epoch, {error}; {files.REMEDY}") from error
        self.stopping.best_weights = self.model.get_weights()
        for variable, array in zip(variables(self.model), now, strict=True):
            variable.assign(array)
        self.stopping.best, self.stopping.wait = min(self.losses()), self.num_bad_epochs()

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
        optimizer = self.model.optimizer
        for weight, mean in zip(self.model.trainable_variables, optimizer._model_variables_moving_average, strict=True):
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
        order = sorted(logs, key=lambda name: (name.startswith("val_"), name.removeprefix("val_") != "loss"))
        self.history.append({name: float(logs[name]) for name in order})
        if self.folder and self.losses() and self.num_bad_epochs() == 0:
            self.save_best()
        if self.averaged:
            self.swap()
        if self.folder:
            rng = {name: get_state(generator) for name, generator in global_generators().items()}
            metadata = {"settings": self.recorded, "history": self.history, "rng": rng}
            write_checkpoint(self.folder / "last.safetensors", self.model, metadata)

    def save_best(self):
        """Write `best.keras` atomically."""
        path = self.folder / "best.keras"
        try:
            with atomic_path(path) as part:
                self.model_to_save.save(part)
        except OSError as error:
            size = 4 * self.model_to_save.count_params()
            raise files.disk_error(path, size, error) from error
