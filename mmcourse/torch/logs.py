"""What a training run tells while it runs: a progress bar and, where it has a folder, TensorBoard and history.json."""

import json
import os
import sys
import time
from types import ModuleType

from tqdm.auto import tqdm


def tensorboard(folder, step):
    """A TensorBoard writer; what an earlier, killed run logged after `step` is hidden."""
    sys.modules.setdefault(
        "tensorboard.compat.notf", ModuleType("notf")
    )  # its own switch: no TensorFlow to write a file
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(folder / "tensorboard", purge_step=step + 1)


class Diary:
    """Progress bar over all steps, and logs in `folder` (or None). Use it in a `with` block."""

    def __init__(self, folder, total, progress):
        self.folder, self.writer = folder, None
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
        self.since, self.seen = time.perf_counter(), 0
        if self.folder:
            self.writer = tensorboard(self.folder, step)

    def steps(self, first, losses, rate, samples, numbers):
        """Some steps are done: their losses, the last one's rate, and the epoch's numbers so far."""
        self.seen += samples
        speed = self.seen / (time.perf_counter() - self.since)
        shown = {name: f"{value:.3f}" for name, value in numbers.items()}
        self.bar.set_postfix(shown | {"samples/s": f"{speed:.0f}"}, refresh=False)
        self.bar.update(len(losses))
        if self.writer:
            for step, loss in enumerate(losses, first):
                self.writer.add_scalar("step/loss", loss, step)
            self.writer.add_scalar("step/rate", rate, first + len(losses) - 1)
            self.writer.add_scalar("step/samples_per_second", speed, first + len(losses) - 1)

    def epoch(self, step, history):
        """An epoch is over: its numbers are the last of `history`."""
        if self.folder:
            part = self.folder / "history.part"
            part.write_text(json.dumps(history, indent=1), encoding="utf-8")
            os.replace(part, self.folder / "history.json")
            for name, value in history[-1].items():
                self.writer.add_scalar(f"epoch/{name}", value, step)
