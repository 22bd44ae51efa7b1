"""Checkpoints: one safetensors file, tensors by name and the rest as JSON in its header. Nothing is ever unpickled.

`last.safetensors` is a whole run, to go on from; `best.safetensors` is the weights of its best epoch, to use.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from mmcourse.training import files
from mmcourse.training.settings import Settings
from mmcourse.training.torch.loader import get_rng_state, set_rng_state


def write_checkpoint(path, tensors, metadata):
    """Write `tensors` (by name) and `metadata` (JSON) to `path` atomically.

    Raises
    ------
    OSError
        The disk is full, or the folder cannot be written.
    """
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    data = save(tensors, files.make_header(_buffers(tensors), metadata))
    files.write_checkpoint_bytes(Path(path), data)


def read_checkpoint(path):
    """Tensors and metadata of a checkpoint.

    Raises
    ------
    FileNotFoundError, ValueError
        There is none, or it is damaged, or of another program or the first edition.
    """
    path = Path(path)
    files.check_exists(path)
    try:
        with safe_open(path, "pt") as file:
            header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise files.damaged(path, error) from error
    return tensors, files.read_metadata(path, header, _buffers(tensors))


def _buffers(tensors):
    return {name: tensor.reshape(-1).view(torch.uint8).numpy() for name, tensor in tensors.items()}


def add_prefix(prefix, tensors):
    """The tensors as `prefix/name`."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def strip_prefix(tensors, prefix):
    """The tensors below `prefix/`, without it."""
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def check_state_dict(expected, found, path, what="another model"):
    """Raise ValueError with the names that differ, unless `found` has the names, shapes and dtypes of `expected`."""
    mine, saved = (
        {name: f"{str(t.dtype).removeprefix('torch.')} {tuple(t.shape)}" for name, t in tensors.items()}
        for tensors in (expected, found)
    )
    wrong = [
        f"{name}: {saved.get(name, 'nothing')} in the file, {mine.get(name, 'nothing')} in the model"
        for name in sorted(mine.keys() | saved.keys())
        if mine.get(name) != saved.get(name)
    ]
    if wrong:
        shown = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise ValueError(f"{path}: the checkpoint is of {what}. {shown}. Build the same model, or use another file")


def load_weights(model, path):
    """Give `model` the weights in a checkpoint (`best.safetensors` or `last.safetensors`); returns its metadata.

    Raises
    ------
    FileNotFoundError, ValueError
        There is none, it is damaged, or it is of another model: the names that differ are listed.
    """
    tensors, metadata = read_checkpoint(path)
    weights = strip_prefix(tensors, "model")
    check_state_dict(model.state_dict(), weights, path)
    model.load_state_dict(weights)
    return metadata


def get_optimizer_tensors(optimizer):
    """Moments and step count of each parameter, by its name."""
    state = optimizer.state_dict()
    names = [name for group in state["param_groups"] for name in group["param_names"]]
    return {f"{names[i]}/{key}": value for i, values in state["state"].items() for key, value in values.items()}


def set_optimizer_tensors(optimizer, tensors):
    """Restore what `get_optimizer_tensors` returned."""
    groups = optimizer.state_dict()["param_groups"]
    number = {name: i for i, name in enumerate(name for group in groups for name in group["param_names"])}
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        parameter, _, key = name.rpartition("/")
        state.setdefault(number[parameter], {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def expected_optimizer_tensors(optimizer, found):
    """What AdamW keeps of each parameter that `found` has something of."""
    parameters: dict[str, torch.Tensor] = {}
    for group in optimizer.param_groups:
        parameters |= dict(zip(group["param_names"], group["params"], strict=True))
    used = {name.rpartition("/")[0] for name in found} & parameters.keys()
    expected = {}
    for name in used:
        for key in ("exp_avg", "exp_avg_sq"):
            expected[f"{name}/{key}"] = parameters[name].detach()
        expected[f"{name}/step"] = torch.zeros(())
    return expected


@dataclass
class TrainState:
    """Where a training run stands: all that it needs to go on."""

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    ema_model: torch.optim.swa_utils.AveragedModel | None  # exponential moving average of the weights
    settings: Settings
    recorded: dict  # the settings that a resumed run must share
    num_batches: int  # per epoch
    generators: dict = field(default_factory=dict)  # of the learner's own loader, by path
    step: int = 0  # updates made
    epoch: int = 0
    batch: int = 0  # batches of this epoch that are done
    num_samples: int = 0  # of this epoch
    sums: dict = field(default_factory=dict)  # of their losses and metrics
    best_loss: float | None = None  # lowest validation loss
    num_bad_epochs: int = 0  # since then
    history: list = field(default_factory=list)
    best_weights: dict = field(default_factory=dict)
    epoch_rng: dict = field(default_factory=dict)  # the generators when the epoch began: a loader may shuffle by them
    first_batch: int | None = None  # checksum of the epoch's first batch, for a loader that is not seeded by epoch
    resumed: bool = False

    NUMBERS = (
        "step",
        "epoch",
        "batch",
        "num_samples",
        "sums",
        "best_loss",
        "num_bad_epochs",
        "history",
        "first_batch",
    )

    @property
    def device(self):
        """Of the model."""
        return next(self.model.parameters()).device

    @property
    def folder(self):
        """For files, or None."""
        return self.settings.folder

    def checkpoint_path(self):
        """The checkpoint to go on from."""
        return self.folder / "last.safetensors"

    def metrics(self):
        """Mean loss and metrics of the epoch so far, measured while training."""
        return {name: total / self.num_samples for name, total in self.sums.items()}

    def add(self, name, value):
        """To the epoch's sum of a metric."""
        self.sums[name] = self.sums.get(name, 0) + value

    def open(self):
        """Go on from the folder's checkpoint, or begin in a folder that holds no other run."""
        if not self.folder:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.checkpoint_path().is_file():
            if not self.settings.resume:
                raise ValueError(
                    f"folder: {self.folder} holds a run; go on with it (resume=True) or choose another folder"
                )
            self.load()

    def is_finished(self):
        """Whether all epochs are done, or early stopping has ended the run."""
        patience = self.settings.patience
        stopped = patience is not None and self.num_bad_epochs >= max(patience, 1)
        return self.epoch >= self.settings.epochs or stopped

    def finish(self):
        """The weights to keep: the best epoch's with early stopping, else the averaged ones, else the last."""
        if self.settings.patience is not None and self.best_weights:
            self.model.load_state_dict(self.best_weights)
        elif self.ema_model:
            self.model.load_state_dict(self.ema_model.module.state_dict())
        self.model.eval()

    def save(self):
        """Write `last.safetensors`, unless the model is spoilt: then the one before it stays."""
        path = self.checkpoint_path()
        if bad := [name for name, p in self.model.named_parameters() if not p.isfinite().all()]:
            kept = f"the last good one is {path}" if path.is_file() else "no checkpoint was written"
            raise FloatingPointError(
                f"weights: NaN or infinite after step {self.step} ({', '.join(bad[:3])}), though the loss was finite; "
                f"{kept}. A gradient overflowed: clip=1.0, a lower learning_rate, or no square root or log near 0"
            )
        groups = {
            "model": self.model.state_dict(),
            "optimizer": get_optimizer_tensors(self.optimizer),
            "ema": self.ema_model.state_dict() if self.ema_model else {},
            "best": self.best_weights,
            "rng": get_rng_state(self.device, self.generators),
            "epoch_rng": self.epoch_rng,
        }
        tensors = {key: value for prefix, group in groups.items() for key, value in add_prefix(prefix, group).items()}
        metadata = {name: getattr(self, name) for name in self.NUMBERS}
        write_checkpoint(path, tensors, {**metadata, "settings": self.recorded, "scaler": self.scaler.state_dict()})

    def load(self):
        """Stand where `last.safetensors` was written; the model and the settings must be those of that run."""
        path = self.checkpoint_path()
        tensors, metadata = read_checkpoint(path)
        self.check(path, tensors, metadata)
        self.model.load_state_dict(strip_prefix(tensors, "model"))
        set_optimizer_tensors(self.optimizer, strip_prefix(tensors, "optimizer"))
        self.scaler.load_state_dict(metadata["scaler"])
        if self.ema_model:
            self.ema_model.load_state_dict(strip_prefix(tensors, "ema"))
        self.best_weights = strip_prefix(tensors, "best")
        self.epoch_rng = strip_prefix(tensors, "epoch_rng")
        try:
            set_rng_state(strip_prefix(tensors, "rng"), self.device, self.generators)
        except ValueError as error:
            raise files.malformed(path, str(error)) from error
        for name in self.NUMBERS:
            setattr(self, name, metadata[name])
        self.resumed = True

    def check(self, path, tensors, metadata):
        """Raise ValueError unless this is a checkpoint of this run that `save` can have written."""
        files.check_form(path, metadata, {"settings": files.json_object()})
        check_state_dict(self.model.state_dict(), strip_prefix(tensors, "model"), path)
        files.check_same_settings(self.recorded, metadata["settings"], path)
        files.check_form(
            path,
            metadata,
            {
                "epoch": files.whole(0, self.settings.epochs),
                "batch": files.whole(0, self.num_batches),
                "step": files.whole(0),
                "num_samples": files.whole(0),
                "sums": files.numbers_by_name(),
                "best_loss": files.optional_number(),
                "num_bad_epochs": files.whole(0, self.settings.epochs),
                "first_batch": ("a checksum or null", lambda x: x is None or isinstance(x, int)),
                "history": files.history_of(),
                "scaler": ("the loss scaler's numbers", self._is_scaler_state),
            },
        )
        epoch, batch, step = metadata["epoch"], metadata["batch"], metadata["step"]
        if step != epoch * self.num_batches + batch or len(metadata["history"]) != epoch:
            got = f"step {step} with {len(metadata['history'])} epochs of history"
            raise files.malformed(path, f"epoch {epoch} and batch {batch} do not go with {got}")
        if bool(batch) != bool(metadata["num_samples"]):
            raise files.malformed(path, f"{metadata['num_samples']} samples in {batch} batches of the epoch")
        optimizer = strip_prefix(tensors, "optimizer")
        check_state_dict(expected_optimizer_tensors(self.optimizer, optimizer), optimizer, path, "another optimizer")
        ema = self.ema_model.state_dict() if self.ema_model else {}
        check_state_dict(ema, strip_prefix(tensors, "ema"), path, "another moving average")
        if best := strip_prefix(tensors, "best"):
            check_state_dict(self.model.state_dict(), best, path, "another best model")
        known = get_rng_state(self.device, self.generators).keys() - {"cuda"}
        for prefix in ("rng", "epoch_rng"):
            states = strip_prefix(tensors, prefix)
            if missing := sorted(known ^ (states.keys() - {"cuda"})):
                raise ValueError(
                    f"{path}: the loaders draw from other random generators than those of the stopped run "
                    f"({', '.join(missing)}); use the same loaders, or another folder"
                )
            if any(state.dtype != torch.uint8 or state.ndim != 1 for state in states.values()):
                raise files.malformed(path, "a random state that is no row of bytes")

    def _is_scaler_state(self, value):
        mine = self.scaler.state_dict().keys()
        return isinstance(value, dict) and value.keys() == mine and all(map(files.is_number, value.values()))

    def keep_best(self, model, loss):
        """Remember the weights of `model` if no validation loss was lower, in `best.safetensors` too."""
        if not math.isfinite(loss) or (self.best_loss is not None and loss >= self.best_loss):
            self.num_bad_epochs += 1
            return
        self.best_loss, self.num_bad_epochs = loss, 0
        self.best_weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        if self.folder:
            metadata = {"step": self.step, "epoch": self.epoch, "val_loss": loss, "settings": self.recorded}
            write_checkpoint(self.folder / "best.safetensors", add_prefix("model", self.best_weights), metadata)
