"""LoRA: a frozen matrix plus a trained product of two thin ones (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


def lora_linear(
    x: Float[Tensor, "*rows d_in"],
    weight: Float[Tensor, "d_out d_in"],
    lora_a: Float[Tensor, "rank d_in"],
    lora_b: Float[Tensor, "d_out rank"],
    alpha: float,
) -> Float[Tensor, "*rows d_out"]:
    """y = x Wᵀ + (α/r) (x Aᵀ) Bᵀ. The scale α/r keeps the step's size when the rank r changes.

    x: (…, d_in); weight: (d_out, d_in), frozen; lora_a: (r, d_in), random at first; lora_b: (d_out, r), 0 at first.
    Returns (…, d_out).
    """
    scale = alpha / len(lora_a)
    hidden = x @ lora_a.T  # (…, r)
    return x @ weight.T + scale * hidden @ lora_b.T


def merge_lora(
    weight: Float[Tensor, "d_out d_in"],
    lora_a: Float[Tensor, "rank d_in"],
    lora_b: Float[Tensor, "d_out rank"],
    alpha: float,
) -> Float[Tensor, "d_out d_in"]:
    """W + (α/r) B A: one matrix that does the same, at no cost. A new tensor; W stays as it is."""
    return weight + alpha / len(lora_a) * lora_b @ lora_a


class LoRALinear(nn.Module):
    """A linear layer whose weights are frozen, with a trained correction of rank r. At first it changes nothing.

    Parameters
    ----------
    base : nn.Linear
        The layer as it is; its weights are kept, not copied.
    rank : int
    alpha : float
        The correction is multiplied by alpha / rank.
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        if not 1 <= rank <= min(base.weight.shape):
            raise ValueError(f"rank: expected 1 to {min(base.weight.shape)} for this layer, got {rank}")
        self.base, self.alpha = base, alpha
        base.requires_grad_(False)
        self.lora_a = nn.Parameter(base.weight.new_empty(rank, base.in_features))
        self.lora_b = nn.Parameter(base.weight.new_zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))

    @property
    def weight(self) -> Tensor:
        """The frozen weights (d_out, d_in)."""
        return self.base.weight

    def forward(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_out"]:
        """(…, d_in) → (…, d_out)."""
        scale = self.alpha / len(self.lora_a)
        return self.base(x) + scale * F.linear(F.linear(x, self.lora_a), self.lora_b)

    def merged(self) -> nn.Linear:
        """A plain layer that does the same; this one stays as it is."""
        linear = nn.Linear(self.base.in_features, self.base.out_features, bias=self.base.bias is not None)
        linear = linear.to(self.weight)
        with torch.no_grad():
            linear.weight.copy_(merge_lora(self.weight, self.lora_a, self.lora_b, self.alpha))
            if self.base.bias is not None:
                linear.bias.copy_(self.base.bias)
        return linear


def add_lora(
    model: nn.Module, rank: int = 4, alpha: float = 8.0, targets: Sequence[str] = ("q_proj", "v_proj")
) -> list[str]:
    """Freeze a model and put a `LoRALinear` in place of each linear layer that is called one of `targets`.

    Returns
    -------
    names of the layers that were replaced, dotted

    Raises
    ------
    ValueError
        No linear layer has one of these names, or the model has LoRA already.
    """
    if any(isinstance(module, LoRALinear) for module in model.modules()):
        raise ValueError("model: has LoRA layers already; fold_lora(model) merges them first")
    found = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in targets
    ]
    if not found:
        raise ValueError(f"targets: expected names of linear layers, none of this model's is called {list(targets)}")
    model.requires_grad_(False)
    for name in found:
        parent, _, child = name.rpartition(".")
        owner = model.get_submodule(parent)
        setattr(owner, child, LoRALinear(getattr(owner, child), rank, alpha))
    return found


def fold_lora(model: nn.Module) -> list[str]:
    """Put the merged plain layer in place of each `LoRALinear`; returns their names. The model then saves as before."""
    found = [name for name, module in model.named_modules() if isinstance(module, LoRALinear)]
    for name in found:
        parent, _, child = name.rpartition(".")
        owner = model.get_submodule(parent)
        setattr(owner, child, getattr(owner, child).merged())
    return found


def lora_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Only what LoRA trained: a file of it is small. `model.load_state_dict(…, strict=False)` puts it back."""
    return {
        name: value for name, value in model.state_dict().items() if name.rpartition(".")[2] in ("lora_a", "lora_b")
    }
