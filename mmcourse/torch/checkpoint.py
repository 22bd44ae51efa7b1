"""Checkpoints: one safetensors file, tensors by name and the rest as JSON in its header. Nothing is ever unpickled.

`last.safetensors` is a whole run, to go on from; `best.safetensors` is the weights of its best epoch, to use.
"""

import json
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save


def checksum(tensors, facts):
    """CRC-32 of all bytes: safetensors notices a cut file, but not a flipped bit."""
    total = zlib.crc32(facts.encode())
    for name in sorted(tensors):
        total = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy(), zlib.crc32(name.encode(), total))
    return str(total)


def write(path, tensors, facts):
    """Write `tensors` (by name) and `facts` (JSON) to `path`, whole or not at all: what stood there stays till then.

    Raises
    ------
    OSError
        The disk is full, or the folder cannot be written.
    """
    path, text = Path(path), json.dumps(facts)
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    data = save(tensors, {"facts": text, "checksum": checksum(tensors, text)})
    part = path.with_suffix(".part")
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # on the disk before it takes the old one's name
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        kept = "the one before it is kept" if path.is_file() else "there is none yet"
        raise OSError(
            error.errno,
            f"checkpoint of {len(data) / 1e6:.1f} MB not written ({error.strerror}); {kept}. "
            "Free some space and go on with resume=True",
            str(path),
        ) from error


def read(path):
    """Tensors and facts of a checkpoint.

    Raises
    ------
    FileNotFoundError, ValueError
        There is none, or it is damaged.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"checkpoint: expected the file {path}, which `fit(..., folder=...)` writes")
    try:
        with safe_open(path, "pt") as file:
            header, tensors = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(
            f"{path}: expected a whole checkpoint, but it is cut or damaged ({error}); {_REMEDY}"
        ) from error
    text = header.get("facts", "")
    if header.get("checksum") != checksum(tensors, text):
        raise ValueError(f"{path}: the checkpoint's checksum does not fit its content, so it is damaged; {_REMEDY}")
    return tensors, json.loads(text)


_REMEDY = "restore a copy of it, or start again in another folder"


def part(tensors, name):
    """The tensors below `name/`, without that prefix."""
    return {key.removeprefix(f"{name}/"): tensor for key, tensor in tensors.items() if key.startswith(f"{name}/")}


def named(name, tensors):
    """The reverse of `part`."""
    return {f"{name}/{key}": tensor for key, tensor in tensors.items()}


def same_model(model, weights, path):
    """Raise ValueError with the names that differ, unless `weights` belong to this model: names, shapes, dtypes."""
    mine, saved = (
        {name: f"{str(t.dtype).removeprefix('torch.')} {tuple(t.shape)}" for name, t in tensors.items()}
        for tensors in (model.state_dict(), weights)
    )
    wrong = [
        f"{name}: {saved.get(name, 'nothing')} in the file, {mine.get(name, 'nothing')} in the model"
        for name in sorted(mine.keys() | saved.keys())
        if mine.get(name) != saved.get(name)
    ]
    if wrong:
        shown = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise ValueError(
            f"{path}: the checkpoint is of another model. {shown}. Build the same model, or use another file"
        )


def load_weights(model, path):
    """Give `model` the weights in a checkpoint (`best.safetensors` or `last.safetensors`); returns its facts.

    Raises
    ------
    FileNotFoundError, ValueError
        There is none, it is damaged, or it is of another model: the names that differ are told.
    """
    tensors, facts = read(path)
    same_model(model, part(tensors, "model"), path)
    model.load_state_dict(part(tensors, "model"))
    return facts


def same_settings(mine, saved, path):
    """Raise ValueError with the settings that differ between a checkpoint's run and this one."""
    wrong = [
        f"{k}: {saved.get(k)} there, {mine.get(k)} now" for k in sorted(mine | saved) if mine.get(k) != saved.get(k)
    ]
    if wrong:
        raise ValueError(
            f"{path}: the run was made with other settings ({'; '.join(wrong)}); use the same, or another folder"
        )


def random_state(device):
    """State of PyTorch's generators: the CPU's and, on a CUDA device, that one's."""
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_state(states, device):
    """Put back what `random_state` told."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


def optimiser_tensors(optimiser):
    """Moments and step count of each parameter, by its name."""
    state = optimiser.state_dict()
    names = [name for group in state["param_groups"] for name in group["param_names"]]
    return {f"{names[i]}/{key}": value for i, values in state["state"].items() for key, value in values.items()}


def set_optimiser_tensors(optimiser, tensors):
    """Put back what `optimiser_tensors` told."""
    groups = optimiser.state_dict()["param_groups"]
    number = {name: i for i, name in enumerate(name for group in groups for name in group["param_names"])}
    state = {}
    for name, tensor in tensors.items():
        parameter, _, key = name.rpartition("/")
        state.setdefault(number[parameter], {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": groups})


@dataclass
class Run:
    """Where a training run stands: all that it needs to go on."""

    model: torch.nn.Module
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: torch.optim.swa_utils.AveragedModel | None  # EMA
    settings: dict
    folder: Path | None
    step: int = 0  # updates made
    epoch: int = 0
    batch: int = 0  # batches of this epoch that are done
    seen: int = 0  # samples of this epoch, the sum of their losses, and how many were right
    loss_sum: float = 0.0
    right: int = 0
    best: float | None = None  # lowest validation loss
    waited: int = 0  # epochs since then
    history: list = field(default_factory=list)
    best_weights: dict = field(default_factory=dict)
    epoch_random: dict = field(
        default_factory=dict
    )  # the generators when the epoch began: a loader may shuffle by them

    NUMBERS = ("step", "epoch", "batch", "seen", "loss_sum", "right", "best", "waited", "history")

    @property
    def device(self):
        return next(self.model.parameters()).device

    def saved(self):
        """The checkpoint to go on from."""
        return self.folder / "last.safetensors"

    def numbers(self):
        """Mean loss and accuracy of the epoch so far, measured while training."""
        return {"loss": self.loss_sum / self.seen, "accuracy": self.right / self.seen}

    def open(self, resume, watched):
        """Go on from the folder's checkpoint, or begin in a folder that holds no other run."""
        if self.settings["patience"] is not None and not watched:
            raise ValueError("patience: early stopping watches the validation loss; give validation=loader too")
        if resume and not self.folder:
            raise ValueError("resume: there is no folder to go on from; give folder=… as in the run that was stopped")
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
        if self.folder and self.saved().is_file():
            if not resume:
                raise ValueError(
                    f"folder: {self.folder} holds a run; go on with it (resume=True) or choose another folder"
                )
            self.load()

    def finish(self):
        """The weights to keep: the best epoch's with early stopping, else the averaged ones, else the last."""
        if self.settings["patience"] is not None:
            self.model.load_state_dict(self.best_weights)
        elif self.average:
            self.model.load_state_dict(self.average.module.state_dict())
        self.model.eval()

    def save(self):
        """Write `last.safetensors`, unless the model is spoilt: then the one before it stays."""
        if bad := [name for name, p in self.model.named_parameters() if not p.isfinite().all()]:
            kept = f"the last good one is {self.saved()}" if self.saved().is_file() else "no checkpoint was written"
            raise FloatingPointError(
                f"weights: NaN or infinite after step {self.step} ({', '.join(bad[:3])}), though the loss was finite; "
                f"{kept}. A gradient overflowed: clip=1.0, a lower learning_rate, or no square root or log near 0"
            )
        groups = {
            "model": self.model.state_dict(),
            "optimiser": optimiser_tensors(self.optimiser),
            "average": self.average.state_dict() if self.average else {},
            "best": self.best_weights,
            "random": random_state(self.device),
            "epoch_random": self.epoch_random,
        }
        tensors = {key: value for name, group in groups.items() for key, value in named(name, group).items()}
        facts = {name: getattr(self, name) for name in self.NUMBERS}
        write(self.saved(), tensors, {**facts, "settings": self.settings, "scaler": self.scaler.state_dict()})

    def load(self):
        """Stand where `last.safetensors` was written; the model and the settings must be those of that run."""
        tensors, facts = read(self.saved())
        same_model(self.model, part(tensors, "model"), self.saved())
        same_settings(self.settings, facts["settings"], self.saved())
        self.model.load_state_dict(part(tensors, "model"))
        set_optimiser_tensors(self.optimiser, part(tensors, "optimiser"))
        self.scaler.load_state_dict(facts["scaler"])
        if self.average:
            self.average.load_state_dict(part(tensors, "average"))
        self.best_weights = part(tensors, "best")
        self.epoch_random = part(tensors, "epoch_random")
        set_random_state(part(tensors, "random"), self.device)
        for name in self.NUMBERS:
            setattr(self, name, facts[name])

    def keep_best(self, model, loss):
        """Remember the weights of `model` if no validation loss was lower, in `best.safetensors` too."""
        if self.best is not None and loss >= self.best:
            self.waited += 1
            return
        self.best, self.waited = loss, 0
        self.best_weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        if self.folder:
            facts = {"step": self.step, "epoch": self.epoch, "val_loss": loss, "settings": self.settings}
            write(self.folder / "best.safetensors", named("model", self.best_weights), facts)
