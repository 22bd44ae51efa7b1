"""Fusion by joining, adding, gating and voting. See `mmcourse.torch.fusion` for the conventions."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmcourse.torch.masks import ModalityMask, masked, masked_softmax

Vectors = list[Float[Tensor, "batch _"]]  # one of each modality, in sorted order of their names


def rms_norm(x: Float[Tensor, "*rows d"], epsilon: float = 1e-5) -> Float[Tensor, "*rows d"]:
    """x (…, d) divided by its root mean square."""
    return x * (x.square().mean(-1, keepdim=True) + epsilon).rsqrt()


def apply(layers: Iterable[Callable], xs: Sequence[Float[Tensor, "batch ..."]]) -> list[Float[Tensor, "batch ..."]]:
    """Each layer on its own modality."""
    return [layer(x) for layer, x in zip(layers, xs, strict=True)]


def linears(dims: Sequence[int], width: int, bias: bool = True) -> nn.ModuleList:
    """One linear map per modality."""
    return nn.ModuleList(nn.Linear(d, width, bias) for d in dims)


class Fusion(nn.Module):
    """What all methods share: `dims`, the widths of the modalities, and `width`, that of the result."""

    gives_logits = takes_sequences = False

    def __init__(self, dims: Sequence[int], width: int):
        super().__init__()
        self.dims, self.width = list(dims), width


class Concatenate(Fusion):
    """Early fusion: relu(W[x₁; x₂; …] + b), each x at unit scale (Baltrušaitis et al. 2019, arXiv 1705.09406).

    xs: list of (b, d_m) → (b, width). An absent modality is zeros.
    """

    def __init__(self, dims: Sequence[int], width: int):
        super().__init__(dims, width)
        self.out = nn.Linear(sum(dims), width)

    def forward(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Tensor, "batch {self.width}"]:
        joined = torch.cat([rms_norm(x) for x in masked(xs, modality_mask)], -1)  # (b, Σd_m)
        return self.out(joined).relu()


class SumGate(Fusion):
    """σ(W_g Σₘ fₘ(xₘ) + b_g), fₘ(x) = Wₘx + bₘ. xs: list of (b, d_m) → (b, width). Absent: left out of the sum."""

    def __init__(self, dims: Sequence[int], width: int):
        super().__init__(dims, width)
        self.maps = linears(dims, width)
        self.gate = nn.Linear(width, width)

    def forward(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Tensor, "batch {self.width}"]:
        mapped = masked(apply(self.maps, masked(xs, modality_mask)), modality_mask)
        return self.gate(sum(mapped)).sigmoid()


class WeightedSum(Fusion):
    """Σₘ softmax(α)ₘ Wₘxₘ, the softmax over those present. xs: list of (b, d_m) → (b, width)."""

    def __init__(self, dims: Sequence[int], width: int):
        super().__init__(dims, width)
        self.alpha = nn.Parameter(torch.zeros(len(dims)))
        self.maps = linears(dims, width, bias=False)

    def parts(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Tensor, "batch modalities {self.width}"]:
        """The summands, (b, M, width)."""
        mapped = torch.stack(apply(self.maps, masked(xs, modality_mask)), 1)
        weights = masked_softmax(self.alpha.expand(mapped.shape[:2]), modality_mask)  # (b, M)
        return weights[..., None] * mapped

    def forward(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Tensor, "batch {self.width}"]:
        return self.parts(xs, modality_mask).sum(1)

    def shares(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Tensor, " modalities"]:
        """What each modality contributes, (M,): the mean norm of its summand as a share. α alone says nothing."""
        sizes = self.parts(xs, modality_mask).norm(dim=-1).mean(0)
        return sizes / sizes.sum()


class LateMean(Fusion):
    """log Σₘ wₘpₘ, w = softmax(α) over those present, pₘ = softmax(Wₘxₘ + bₘ) (Kittler et al. 1998).

    xs: list of (b, d_m) → log-probabilities (b, classes). With nothing present: what the heads say to zeros.
    """

    gives_logits = True

    def __init__(self, dims: Sequence[int], width: int):
        super().__init__(dims, width)
        self.alpha = nn.Parameter(torch.zeros(len(dims)))
        self.heads = linears(dims, width)

    def forward(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Tensor, "batch {self.width}"]:
        logs = torch.stack(
            [y.log_softmax(-1) for y in apply(self.heads, masked(xs, modality_mask))], 1
        )  # (b, M, classes)
        alpha = self.alpha.expand(logs.shape[:2])
        alpha = alpha if modality_mask is None else alpha.masked_fill(~modality_mask, -1e30)
        return (logs + alpha.log_softmax(-1)[..., None]).logsumexp(1)


class LateProduct(Fusion):
    """Σₘ log p(y∣xₘ) − (M − 1) log p(y), normalized (Kittler et al. 1998). M counts those present.

    xs: list of (b, d_m) → log-probabilities (b, classes). `prior`: (classes,), None for uniform.
    """

    gives_logits = True

    def __init__(self, dims: Sequence[int], width: int, prior: Any = None):
        super().__init__(dims, width)
        self.heads = linears(dims, width)
        prior = torch.full((width,), 1 / width) if prior is None else torch.as_tensor(prior, dtype=torch.float32)
        self.register_buffer("log_prior", prior.log())

    def forward(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Tensor, "batch {self.width}"]:
        logs = [y.log_softmax(-1) for y in apply(self.heads, masked(xs, modality_mask))]
        count = len(xs) if modality_mask is None else modality_mask.sum(1, keepdim=True)
        return (sum(masked(logs, modality_mask)) - (count - 1) * self.log_prior).log_softmax(-1)


class GatedUnit(Fusion):
    """Gated multimodal unit (Arevalo et al. 2017, arXiv 1702.01992): hₘ = tanh(Wₘxₘ), gates see all modalities.

    Two: z ⊙ h₁ + (1 − z) ⊙ h₂. More: Σₘ zₘ ⊙ hₘ. xs: list of (b, d_m) → (b, width). Absent: zeros, so hₘ = 0.
    """

    def __init__(self, dims: Sequence[int], width: int):
        super().__init__(dims, width)
        gates = 1 if len(dims) == 2 else len(dims)
        self.hidden = linears(dims, width, bias=False)
        self.gates = linears([sum(dims)] * gates, width, bias=False)

    def forward(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Tensor, "batch {self.width}"]:
        xs = masked(xs, modality_mask)
        h = [y.tanh() for y in apply(self.hidden, xs)]
        z = [gate(torch.cat(xs, -1)).sigmoid() for gate in self.gates]
        z = [z[0], 1 - z[0]] if len(xs) == 2 else z
        return sum(z_m * h_m for z_m, h_m in zip(z, h, strict=True))


class FiLM(Fusion):
    """γ(c) ⊙ F + β(c), per channel (Perez et al. 2018, arXiv 1709.07871); F = Wx of modality `target`, c all others.

    xs: list of (b, d_m), the target may be (b, …, d_m) → (b, …, width). Starts at γ = 1, β = 0. Absent: zeros.
    """

    def __init__(self, dims: Sequence[int], width: int, target: int = 0):
        super().__init__(dims, width)
        self.target, rest = target, sum(dims) - dims[target]
        self.feature = nn.Linear(dims[target], width, bias=False)
        self.gamma, self.beta = nn.Linear(rest, width), nn.Linear(rest, width)
        for parameter in (*self.gamma.parameters(), *self.beta.parameters()):
            nn.init.zeros_(parameter)

    def forward(
        self, xs: list[Float[Tensor, "batch ..."]], modality_mask: ModalityMask = None
    ) -> Float[Tensor, "batch *place {self.width}"]:
        xs = masked(xs, modality_mask)
        features = rms_norm(self.feature(xs.pop(self.target)))  # no learned scale: γ is one
        c = torch.cat(xs, -1)
        middle = (len(c), *[1] * (features.ndim - 2), -1)
        return (1 + self.gamma(c)).view(middle) * features + self.beta(c).view(middle)
