"""What a training run reports: a progress bar and, where it has a folder, TensorBoard and history.json."""

import importlib
import json
import sys
import time
from types import ModuleType
from typing import Any

from tqdm.auto import tqdm

from mmcourse.io import atomic_write


def summary_writer(folder, step):
    """A TensorBoard writer; what an earlier, killed run logged after `step` is hidden."""
    if "torch.utils.tensorboard" not in sys.modules:
        _import_tensorboard_without_tensorflow()
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(folder / "tensorboard", purge_step=step + 1)


def _import_tensorboard_without_tensorflow():
    """Writing a log takes no TensorFlow; TensorBoard has a switch for that, which must not stay on for Keras."""
    if "tensorflow" in sys.modules:
        return  # it is loaded anyway
    sys.modules["tensorboard.compat.notf"] = ModuleType("notf")
    import tensorboard.compat
    import torch.utils.tensorboard  # noqa: F401

    _ = tensorboard.compat.tf.__version__  # now its writer is bound to the small stand-in
    del sys.modules["tensorboard.compat.notf"]
    importlib.reload(tensorboard.compat)  # whoever asks later gets TensorFlow


class MetricLogger:
    """Progress bar over all steps, and logs in `folder` (or None). Use it in a `with` block."""

    def __init__(self, folder, total, progress):
        self.folder = folder
        self.writer: Any = None  # a SummaryWriter, from `start` on where there is a folder
        self.bar = tqdm(total=total, disable=not progress)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.bar.close()
        if self.writer:
            self.writer.close()

    def start(self, step):
        """The run begins, or goes on, at this step."""
        self.bar.update(step)
        self.start_time, self.num_samples = time.perf_counter(), 0
        if self.folder:
            self.writer = summary_writer(self.folder, step)

    def log_step(self, first, losses, learning_rate, num_samples, metrics):
        """Some steps are done: their losses, the last one's learning rate, and the epoch's metrics so far."""
        self.num_samples += num_samples
        speed = self.num_samples / (time.perf_counter() - self.start_time)
        shown = {name: f"{value:.3f}" for name, value in metrics.items()}
        self.bar.set_postfix(shown | {"samples/s": f"{speed:.0f}"}, refresh=False)
        self.bar.update(len(losses))
        if self.writer:
            for step, loss in enumerate(losses, first):
                self.writer.add_scalar("step/loss", loss, step)
            self.writer.add_scalar("step/learning_rate", learning_rate, first + len(losses) - 1)
            self.writer.add_scalar("step/samples_per_second", speed, first + len(losses) - 1)

    def log_epoch(self, step, history):
        """An epoch is over: its metrics are the last of `history`."""
        if self.folder:
            atomic_write(self.folder / "history.json", json.dumps(history, indent=1))
            for name, value in history[-1].items():
                self.writer.add_scalar(f"epoch/{name}", value, step)
