"""The bytes of a training run, predicted from shapes and measured from the allocator; recomputation, which saves them.

::

    budget = training_bytes(num_parameters=97_187, activations=saved_bytes(loss_of_batch, model))
    print(budget.table())
    peak_bytes(one_step)  # what the allocator says
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmcourse.quiet import no_stderr

NUMBERS = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}  # bytes of one
STATES = {"sgd": 0, "momentum": 1, "adam": 2}  # numbers that an optimizer keeps for each parameter


@dataclass
class Budget:
    """Bytes by what holds them."""

    parameters: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.parameters + self.gradients + self.optimizer + self.activations

    def table(self) -> str:
        """One line for each, in MB (10⁶ bytes)."""
        rows = {**vars(self), "total": self.total}
        return "\n".join(f"{name:12} {size / 1e6:10.3f} MB" for name, size in rows.items())


def training_bytes(
    num_parameters: int,
    activations: int = 0,
    optimizer: str = "adam",
    weights: str = "float32",
    states: str = "float32",
    master: bool = False,
    shards: int = 1,
) -> Budget:
    """The budget of one process.

    Parameters
    ----------
    num_parameters : int
        How many numbers are trained.
    activations : int
        Bytes that the forward pass keeps for the backward pass, of this process's batch.
    optimizer : "sgd", "momentum" or "adam"
    weights, states : kind of number of weights and gradients, and of the optimizer's states
    master : bool
        Whether the optimizer keeps a float32 copy of 16-bit weights.
    shards : int
        Over how many processes parameters, gradients and states are cut (ZeRO-3, FSDP). What is gathered for a moment
        is not counted.

    Raises
    ------
    ValueError
        An unknown optimizer or kind of number.
    """
    for name, known in ((weights, NUMBERS), (states, NUMBERS), (optimizer, STATES)):
        if name not in known:
            raise ValueError(f"training_bytes: expected one of {', '.join(known)}, got {name!r}")
    held = -(-num_parameters // shards)
    kept = STATES[optimizer] * NUMBERS[states] + (4 if master else 0)
    return Budget(held * NUMBERS[weights], held * NUMBERS[weights], held * kept, activations)


def saved_bytes(run: Callable[[], Tensor], model: nn.Module) -> int:
    """Bytes that a forward pass keeps for the backward pass, without the model's own weights; each storage once."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # a freed storage's address could come again

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(x)
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        run()
    return sum(kept.values())


def peak_bytes(run: Callable[[], Any]) -> int:
    """The most bytes that PyTorch's CPU allocator held at once during `run`, above what it held before.

    On a GPU: `torch.cuda.reset_peak_memory_stats()`, then `torch.cuda.max_memory_allocated()`.
    """
    return max(memory_levels(run)[0])


def memory_levels(run: Callable[[], Any]) -> tuple[list[int], list[tuple[int, str]]]:
    """Bytes held after each allocation and release during `run`, from 0, and where its named parts begin.

    Returns
    -------
    levels : list of int
    marks : pairs of a place in `levels` and a name, of each `with torch.profiler.record_function(name)` within `run`;
        an optimizer's step is named by PyTorch
    """
    from torch.profiler import ProfilerActivity, profile

    with no_stderr(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = sorted(profiler.profiler.kineto_results.events(), key=lambda e: e.start_ns())
    levels, marks = [0], []
    for event in events:
        if event.name() == "[memory]":
            levels.append(levels[-1] + event.nbytes())
        elif event.is_user_annotation():
            marks.append((len(levels) - 1, event.name()))
    return levels, marks


def process_peak_mb() -> float:
    """The most memory that this process ever had, in MB (10⁶ bytes): everything, Python and libraries included."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


# ---------------------------------------------------------------- activation checkpointing
class _Recompute(torch.autograd.Function):
    """Keeps only a block's input; runs the block again when the gradient comes."""

    @staticmethod
    def forward(ctx: Any, block: nn.Module, x: Tensor, *weights: Tensor) -> Tensor:
        ctx.block, ctx.weights = block, weights
        ctx.random = torch.get_rng_state()  # the same dropout the second time
        ctx.save_for_backward(x)
        return block(x)  # no graph is built here

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        now = torch.get_rng_state()
        torch.set_rng_state(ctx.random)
        with torch.enable_grad():
            again = x.detach().requires_grad_(x.requires_grad)
            y = ctx.block(again)
        torch.set_rng_state(now)
        given = (again, *ctx.weights)
        wanted = [t for t in given if t.requires_grad]
        found = iter(torch.autograd.grad(y, wanted, grads, allow_unused=True))
        return None, *(next(found) if t.requires_grad else None for t in given)


def recompute(block: nn.Module, x: Tensor) -> Tensor:
    """`block(x)`, but of all that the block computes only its input is kept; the rest is computed a second time.

    The same as `torch.utils.checkpoint.checkpoint(block, x, use_reentrant=False)`, for one input (Chen et al. 2016,
    arXiv 1604.06174). The state of the random numbers is kept, so that dropout is the same both times.
    """
    return _Recompute.apply(block, x, *block.parameters())


def chain_bytes(layer_bytes: int, num_layers: int, segment: int | None) -> int:
    """Bytes of activations of equal layers in a row, where only each segment's input is kept; None: all are kept."""
    if segment is None:
        return layer_bytes * num_layers
    return layer_bytes * (-(-num_layers // segment) + segment)
