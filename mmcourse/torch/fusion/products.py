"""Fusion by products: what one modality means depends on another. See `mmcourse.torch.fusion` for conventions."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from mmcourse.torch.fusion.sums import Fusion, Vectors, apply, linears
from mmcourse.torch.masks import ModalityMask, masked


def elementwise_product(factors: Iterable[Shaped[Tensor, "*shape"]]) -> Shaped[Tensor, "*shape"]:
    """The elementwise product of a list of tensors."""
    return torch.stack(list(factors)).prod(0)


def append_one(xs: Vectors) -> Vectors:
    """Each x (b, d_m) with a 1 behind it, (b, d_m + 1)."""
    return [torch.cat([x, torch.ones_like(x[:, :1])], -1) for x in xs]


class Bilinear(Fusion):
    """Full bilinear form z_k = x₁ᵀ W_k x₂, d₁·d₂·width weights. xs: two of (b, d_m) → (b, width). One absent: 0."""

    def __init__(self, dims: Sequence[int], width: int):
        super().__init__(dims, width)
        if len(dims) != 2:
            raise ValueError(f"dims: a bilinear form takes two modalities, got {len(dims)}; use LowRankBilinear")
        self.w = nn.Parameter(torch.randn(*dims, width) / math.sqrt(math.prod(dims)))

    def forward(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Tensor, "batch {self.width}"]:
        x1, x2 = masked(xs, modality_mask)
        return torch.einsum("bi,ijk,bj->bk", x1, self.w, x2)


class LowRankBilinear(Fusion):
    """Pᵀ(tanh(Uᵀx₁) ⊙ tanh(Vᵀx₂)) + b (Kim et al. 2017, arXiv 1610.04325); more modalities, more factors.

    xs: list of (b, d_m) → (b, width). Absent: factor 1.
    """

    def __init__(self, dims: Sequence[int], width: int, rank: int | None = None):
        super().__init__(dims, width)
        self.maps = linears(dims, rank or width, bias=False)
        self.out = nn.Linear(rank or width, width)

    def forward(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Tensor, "batch {self.width}"]:
        factors = [y.tanh() for y in apply(self.maps, masked(xs, modality_mask))]
        return self.out(elementwise_product(masked(factors, modality_mask, fill=1)))


def count_sketch_matrix(dim: int, width: int, rng: np.random.Generator) -> Float[Tensor, "{dim} {width}"]:
    """A count sketch Ψ as a matrix (dim, width): every entry of x goes to one random place with a random sign."""
    sketch = np.zeros((dim, width), np.float32)
    sketch[np.arange(dim), rng.integers(width, size=dim)] = rng.choice([-1.0, 1.0], dim)
    return torch.from_numpy(sketch)


class CompactBilinear(Fusion):
    """IFFT(FFT(Ψx₁) ⊙ FFT(Ψx₂)), signed square root, unit length (Fukui et al. 2016, arXiv 1606.01847).

    xs: list of (b, d_m) → (b, width). Ψ comes from `seed` once and is saved with the weights. Absent: changes nothing.
    """

    def __init__(self, dims: Sequence[int], width: int, seed: int = 0):
        super().__init__(dims, width)
        rng = np.random.default_rng(seed)
        for m, d in enumerate(dims):
            self.register_buffer(f"sketch_{m}", count_sketch_matrix(d, width, rng))
        self.register_buffer("one", torch.eye(1, width)[0], persistent=False)  # neutral under convolution

    def forward(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Tensor, "batch {self.width}"]:
        sketches = [x @ self.get_buffer(f"sketch_{m}") for m, x in enumerate(masked(xs, modality_mask))]
        if modality_mask is not None:
            sketches = [torch.where(modality_mask[:, m, None], s, self.one) for m, s in enumerate(sketches)]
        z = torch.fft.irfft(elementwise_product(map(torch.fft.rfft, sketches)), n=len(self.one))
        # unit scale first, so that the size of the inputs drops out, as in the paper
        z = z / (z.square().mean(-1, keepdim=True) + 1e-16).sqrt()
        z = z / (z.abs() + 1e-3).sqrt()  # sign(z)·√|z|, with a finite slope at 0
        return z / (z.square().sum(-1, keepdim=True) + 1e-6).sqrt()


class TensorFusion(Fusion):
    """W(⊗ₘ [xₘ; 1]) + b (Zadeh et al. 2017, arXiv 1707.07250), Π(dₘ + 1) products: keep the widths small.

    xs: list of (b, d_m) → (b, width). Absent: only the terms without it remain.
    """

    def __init__(self, dims: Sequence[int], width: int):
        super().__init__(dims, width)
        self.out = nn.Linear(math.prod(d + 1 for d in dims), width)

    def forward(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Tensor, "batch {self.width}"]:
        tensor, *rest = append_one(masked(xs, modality_mask))
        for x in rest:
            tensor = torch.einsum("bi,bj->bij", tensor, x).flatten(1)  # (b, …·(d_m + 1))
        return self.out(tensor)


class LowRankTensorFusion(Fusion):
    """Σ_r ⊙ₘ W⁽ʳ⁾ₘ[xₘ; 1] (Liu et al. 2018, arXiv 1806.00064). xs: list of (b, d_m) → (b, width).

    The factors are in a `ParameterList`: a plain list would hide them from the optimizer. Absent: zeros before the 1.
    """

    def __init__(self, dims: Sequence[int], width: int, rank: int = 4):
        super().__init__(dims, width)
        starts = (torch.randn(rank, d + 1, width) / math.sqrt(d + 1) for d in dims)
        self.factors = nn.ParameterList(nn.Parameter(start) for start in starts)

    def forward(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Tensor, "batch {self.width}"]:
        pairs = zip(append_one(masked(xs, modality_mask)), self.factors, strict=True)
        return elementwise_product(torch.einsum("bi,rik->brk", x, w) for x, w in pairs).sum(1)
