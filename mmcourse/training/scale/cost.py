"""What a training run costs: operations counted exactly, energy measured or estimated with an honest factor.

::

    flops = training_flops(model, lambda: model(x))  # of one step: forward and backward
    with EnergyMeter() as meter:
        train()
    print(meter.report())  # "measured" only where the machine has a counter
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

POWERCAP = Path("/sys/class/powercap")
WATTS_PER_CORE = 15.0  # a laptop's or server's core at work, with its share of the rest
FACTOR = 3.0  # how far off the estimate may be, either way
JOULE_PER_KWH = 3.6e6


# ---------------------------------------------------------------- operations
def layer_flops(module: nn.Module, output: Tensor) -> int:
    """Multiplications and additions of one forward pass of a Linear or Conv2d layer, two for each product; else 0."""
    if isinstance(module, nn.Linear):
        return 2 * output.numel() * module.in_features
    if isinstance(module, nn.Conv2d):
        height, width = module.kernel_size
        return 2 * output.numel() * (module.in_channels // module.groups) * height * width
    return 0


@contextmanager
def count_forward(model: nn.Module) -> Iterator[dict[str, int]]:
    """Within it, each layer's forward operations are added up by name."""
    counts: dict[str, int] = {}
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):

            def add(module: nn.Module, _given: Any, output: Tensor, name: str = name) -> None:
                counts[name] = counts.get(name, 0) + layer_flops(module, output)

            handles.append(module.register_forward_hook(add))
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()


def training_flops(model: nn.Module, forward: Callable[[], Any], first: tuple[str, ...] = ()) -> int:
    """Operations of a forward and a backward pass.

    Backward costs twice the forward: once for the gradient of the weights, once for that of the input. Layers named in
    `first` read the data, whose gradient nobody needs: they cost one forward less.
    """
    with count_forward(model) as counts:
        forward()
    return 3 * sum(counts.values()) - sum(counts[name] for name in first)


def transformer_flops(num_parameters: float, num_tokens: float) -> float:
    """6 · N · D: the usual estimate for a transformer, without embeddings and attention scores (Kaplan et al. 2020)."""
    return 6.0 * num_parameters * num_tokens


# ---------------------------------------------------------------- energy
@dataclass
class Estimate:
    """A number that may be off by a factor, either way."""

    value: float
    factor: float = 1.0
    unit: str = ""

    def __str__(self) -> str:
        told = f"{_rounded(self.value, 2)} {self.unit}".strip()
        if self.factor == 1:
            return told
        return f"{told} ({_rounded(self.value / self.factor, 1)} to {_rounded(self.value * self.factor, 1)})"

    def __mul__(self, other: float | Estimate) -> Estimate:
        if isinstance(other, Estimate):
            return Estimate(self.value * other.value, self.factor * other.factor, other.unit)
        return Estimate(self.value * other, self.factor, self.unit)


def _rounded(value: float, digits: int) -> str:
    """To so many digits, written out where that is shorter to read: 29,000 and not 2.9e+04."""
    short = f"{value:.{digits}g}"
    return f"{float(short):,.0f}" if 10 <= float(short) < 1e7 else short


def energy_counters(folder: Path = POWERCAP) -> dict[str, Path]:
    """Readable counters of whole processors (Intel and AMD on Linux), by name; {} where there are none."""
    found = {}
    for zone in sorted(folder.glob("*:*")) if folder.is_dir() else []:
        counter = zone / "energy_uj"
        if zone.name.count(":") == 1 and os.access(counter, os.R_OK):  # "x:0:1" is a part of "x:0"
            found[zone.name] = counter
    return found


class EnergyMeter:
    """Energy of what runs within it: read from the processor's counters, or estimated from the processor time.

    A counter is of the whole machine, so that whatever else runs is counted as well. Memory, disks, screen and cooling
    are not.
    """

    def __init__(self, folder: Path = POWERCAP, watts_per_core: float = WATTS_PER_CORE) -> None:
        self.counters, self.watts = energy_counters(folder), watts_per_core
        self.seconds = self.core_seconds = 0.0
        self.energy = Estimate(0.0, FACTOR, "kWh")
        self.measured = False

    def __enter__(self) -> EnergyMeter:
        self.begin = time.perf_counter(), time.process_time()
        self.before = {name: int(path.read_text()) for name, path in self.counters.items()}
        return self

    def __exit__(self, *_exc: object) -> None:
        self.seconds = time.perf_counter() - self.begin[0]
        self.core_seconds = time.process_time() - self.begin[1]
        joule = 0.0
        for name, path in self.counters.items():
            difference = int(path.read_text()) - self.before[name]
            if difference < 0:  # the counter began again at 0
                difference += int((path.parent / "max_energy_range_uj").read_text())
            joule += difference / 1e6
        self.measured = bool(self.counters)
        if self.measured:
            self.energy = Estimate(joule / JOULE_PER_KWH, 1.0, "kWh")
        else:
            self.energy = Estimate(self.core_seconds * self.watts / JOULE_PER_KWH, FACTOR, "kWh")

    def report(self) -> str:
        """One line that says where the number comes from."""
        if self.measured:
            return f"{self.energy}, read from {len(self.counters)} counter(s) of this machine's processor"
        return (
            f"{self.energy}, estimate: {self.core_seconds:.2g} s of one core × {self.watts:g} W, "
            f"could be off by a factor of {FACTOR:g}"
        )


def emissions(energy: Estimate, grams_per_kwh: float, grid_factor: float = 1.0) -> Estimate:
    """Grams of CO₂ for this energy, on a grid with so many grams per kWh (Lacoste et al. 2019)."""
    return Estimate(energy.value * grams_per_kwh, energy.factor * grid_factor, "g CO₂")


def torch_flops(run: Callable[[], Any]) -> int:
    """What PyTorch's own counter says, for comparison."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        run()
    return counter.get_total_flops()
