"""Fusion by products: what one modality means depends on another. See `mmcourse.keras.fusion` for conventions."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from jaxtyping import Float, Shaped
from keras import ops

from mmcourse.keras.fusion.sums import Fusion, Vectors, apply, register
from mmcourse.keras.masks import ModalityMask, masked


def elementwise_product(factors: Iterable[Shaped[Any, "*shape"]]) -> Shaped[Any, "*shape"]:
    """The elementwise product of a list of tensors."""
    return math.prod(factors)


def append_one(xs: Vectors) -> Vectors:
    """Each x (b, d_m) with a 1 behind it, (b, d_m + 1)."""
    return [ops.concatenate([x, ops.ones_like(x[:, :1])], -1) for x in xs]


def normal(*shape: int) -> Any:
    """A start at which a sum over all axes but the last keeps its size."""
    return keras.initializers.RandomNormal(stddev=1 / math.sqrt(math.prod(shape)))


@register
class Bilinear(Fusion):
    """Full bilinear form z_k = x₁ᵀ W_k x₂, d₁·d₂·width weights. xs: two of (b, d_m) → (b, width). One absent: 0."""

    def __init__(self, dims: Sequence[int], width: int, **kwargs):
        super().__init__(dims, width, **kwargs)
        if len(dims) != 2:
            raise ValueError(f"dims: a bilinear form takes two modalities, got {len(dims)}; use LowRankBilinear")

    def build(self, input_shape):
        self.w = self.add_weight(shape=(*self.dims, self.width), initializer=normal(*self.dims), name="w")

    def call(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Any, "batch {self.width}"]:
        x1, x2 = masked(xs, modality_mask)
        return ops.einsum("bi,ijk,bj->bk", x1, self.w, x2)


@register
class LowRankBilinear(Fusion):
    """Pᵀ(tanh(Uᵀx₁) ⊙ tanh(Vᵀx₂)) + b (Kim et al. 2017, arXiv 1610.04325); more modalities, more factors.

    xs: list of (b, d_m) → (b, width). Absent: factor 1.
    """

    def __init__(self, dims: Sequence[int], width: int, rank: int | None = None, **kwargs):
        super().__init__(dims, width, **kwargs)
        self.rank = rank or width

    def build(self, input_shape):
        self.maps = self.linears(self.dims, self.rank, bias=False)
        self.out = self.linear(self.rank, self.width)

    def call(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Any, "batch {self.width}"]:
        factors = [ops.tanh(y) for y in apply(self.maps, masked(xs, modality_mask))]
        return self.out(elementwise_product(masked(factors, modality_mask, fill=1)))

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "rank": self.rank}


def count_sketch_matrix(dim: int, width: int, rng: np.random.Generator) -> Float[np.ndarray, "{dim} {width}"]:
    """A count sketch Ψ as a matrix (dim, width): every entry of x goes to one random place with a random sign."""
    sketch = np.zeros((dim, width), np.float32)
    sketch[np.arange(dim), rng.integers(width, size=dim)] = rng.choice([-1.0, 1.0], dim)
    return sketch


@register
class CompactBilinear(Fusion):
    """IFFT(FFT(Ψx₁) ⊙ FFT(Ψx₂)), signed square root, unit length (Fukui et al. 2016, arXiv 1606.01847).

    xs: list of (b, d_m) → (b, width). Ψ comes from `seed` once and is saved with the weights. Absent: changes nothing.
    """

    def __init__(self, dims: Sequence[int], width: int, seed: int = 0, **kwargs):
        super().__init__(dims, width, **kwargs)
        self.seed = seed

    def build(self, input_shape):
        rng = np.random.default_rng(self.seed)
        for m, d in enumerate(self.dims):
            start = keras.initializers.Constant(count_sketch_matrix(d, self.width, rng))
            sketch = self.add_weight(shape=(d, self.width), initializer=start, trainable=False, name=f"sketch_{m}")
            setattr(self, f"sketch_{m}", sketch)

    def call(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Any, "batch {self.width}"]:
        sketches = [ops.matmul(x, getattr(self, f"sketch_{m}")) for m, x in enumerate(masked(xs, modality_mask))]
        sketches = masked(sketches, modality_mask, fill=ops.eye(1, self.width, dtype=sketches[0].dtype))  # [1, 0, …]
        real, imag = ops.rfft(sketches[0])
        for a, b in map(ops.rfft, sketches[1:]):  # complex product; the backend's own needs one complex tensor
            real, imag = real * a - imag * b, real * b + imag * a
        z = ops.irfft((real, imag), fft_length=self.width)
        # unit scale first, so that the size of the inputs drops out, as in the paper
        z = z / ops.sqrt(ops.mean(ops.square(z), -1, keepdims=True) + 1e-16)
        z = z / ops.sqrt(ops.abs(z) + 1e-3)  # sign(z)·√|z|, with a finite slope at 0
        return z / ops.sqrt(ops.sum(ops.square(z), -1, keepdims=True) + 1e-6)

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "seed": self.seed}


@register
class TensorFusion(Fusion):
    """W(⊗ₘ [xₘ; 1]) + b (Zadeh et al. 2017, arXiv 1707.07250), Π(dₘ + 1) products: keep the widths small.

    xs: list of (b, d_m) → (b, width). Absent: only the terms without it remain.
    """

    def build(self, input_shape):
        self.out = self.linear(math.prod(d + 1 for d in self.dims), self.width)

    def call(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Any, "batch {self.width}"]:
        tensor, *rest = append_one(masked(xs, modality_mask))
        for x in rest:
            pairs = ops.einsum("bi,bj->bij", tensor, x)
            tensor = ops.reshape(pairs, (-1, tensor.shape[1] * x.shape[1]))  # (b, …·(d_m + 1))
        return self.out(tensor)


@register
class LowRankTensorFusion(Fusion):
    """Σ_r ⊙ₘ W⁽ʳ⁾ₘ[xₘ; 1] (Liu et al. 2018, arXiv 1806.00064). xs: list of (b, d_m) → (b, width).

    Absent: zeros before the 1.
    """

    def __init__(self, dims: Sequence[int], width: int, rank: int = 4, **kwargs):
        super().__init__(dims, width, **kwargs)
        self.rank = rank

    def build(self, input_shape):
        shapes = [(self.rank, d + 1, self.width) for d in self.dims]
        self.factors = [
            self.add_weight(shape=shape, initializer=normal(shape[1]), name=f"factor_{m}")
            for m, shape in enumerate(shapes)
        ]

    def call(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Any, "batch {self.width}"]:
        pairs = zip(append_one(masked(xs, modality_mask)), self.factors, strict=True)
        return ops.sum(elementwise_product(ops.einsum("bi,rik->brk", x, w) for x, w in pairs), 1)

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "rank": self.rank}
