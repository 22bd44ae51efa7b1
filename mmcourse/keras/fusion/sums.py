"""Fusion by joining, adding, gating and voting. See `mmcourse.keras.fusion` for the conventions."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
from jaxtyping import Float
from keras import ops

from mmcourse.keras.masks import ModalityMask, masked, masked_softmax

register = keras.saving.register_keras_serializable("mmcourse")
Vectors = list[Float[Any, "batch _"]]  # one of each modality, in sorted order of their names


def rms_norm(x: Float[Any, "*rows d"], epsilon: float = 1e-5) -> Float[Any, "*rows d"]:
    """x (…, d) divided by its root mean square."""
    return x * ops.rsqrt(ops.mean(ops.square(x), -1, keepdims=True) + epsilon)


def apply(layers: Iterable[Callable], xs: Sequence[Float[Any, "batch ..."]]) -> list[Float[Any, "batch ..."]]:
    """Each layer on its own modality."""
    return [layer(x) for layer, x in zip(layers, xs, strict=True)]


class Fusion(keras.layers.Layer):
    """What all methods share: `dims`, the widths of the modalities, `width`, that of the result, and saving both."""

    gives_logits = takes_sequences = False

    def __init__(self, dims: Sequence[int], width: int, **kwargs):
        super().__init__(**kwargs)
        self.dims, self.width = [int(d) for d in dims], int(width)

    def linear(self, dim: int, width: int, bias: bool = True, start: str = "glorot_uniform") -> Any:
        """A linear map whose weights are made at once, in this layer's precision."""
        dense = keras.layers.Dense(width, use_bias=bias, kernel_initializer=start, dtype=self.dtype_policy)
        dense.build((None, dim))
        return dense

    def linears(self, dims: Sequence[int], width: int, bias: bool = True) -> list:
        """One linear map per modality."""
        return [self.linear(d, width, bias) for d in dims]

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "dims": list(self.dims), "width": self.width}


@register
class Concatenate(Fusion):
    """Early fusion: relu(W[x₁; x₂; …] + b), each x at unit scale (Baltrušaitis et al. 2019, arXiv 1705.09406).

    xs: list of (b, d_m) → (b, width). An absent modality is zeros.
    """

    def build(self, input_shape):
        self.out = self.linear(sum(self.dims), self.width)

    def call(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Any, "batch {self.width}"]:
        joined = ops.concatenate([rms_norm(x) for x in masked(xs, modality_mask)], -1)  # (b, Σd_m)
        return ops.relu(self.out(joined))


@register
class SumGate(Fusion):
    """σ(W_g Σₘ fₘ(xₘ) + b_g), fₘ(x) = Wₘx + bₘ. xs: list of (b, d_m) → (b, width). Absent: left out of the sum."""

    def build(self, input_shape):
        self.maps = self.linears(self.dims, self.width)
        self.gate = self.linear(self.width, self.width)

    def call(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Any, "batch {self.width}"]:
        mapped = masked(apply(self.maps, masked(xs, modality_mask)), modality_mask)
        return ops.sigmoid(self.gate(sum(mapped)))


@register
class WeightedSum(Fusion):
    """Σₘ softmax(α)ₘ Wₘxₘ, the softmax over those present. xs: list of (b, d_m) → (b, width)."""

    def build(self, input_shape):
        self.alpha = self.add_weight(shape=(len(self.dims),), initializer="zeros", name="alpha")
        self.maps = self.linears(self.dims, self.width, bias=False)

    def parts(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Any, "batch modalities {self.width}"]:
        """The summands, (b, M, width)."""
        mapped = ops.stack(apply(self.maps, masked(xs, modality_mask)), 1)
        weights = masked_softmax(ops.broadcast_to(self.alpha, ops.shape(mapped)[:2]), modality_mask)  # (b, M)
        return weights[..., None] * mapped

    def call(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Any, "batch {self.width}"]:
        return ops.sum(self.parts(xs, modality_mask), 1)

    def shares(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Any, " modalities"]:
        """What each modality contributes, (M,): the mean norm of its summand as a share. α alone says nothing."""
        sizes = ops.mean(ops.norm(self.parts(xs, modality_mask), axis=-1), 0)
        return sizes / ops.sum(sizes)


@register
class LateMean(Fusion):
    """log Σₘ wₘpₘ, w = softmax(α) over those present, pₘ = softmax(Wₘxₘ + bₘ) (Kittler et al. 1998).

    xs: list of (b, d_m) → log-probabilities (b, classes). With nothing present: what the heads say to zeros.
    """

    gives_logits = True

    def build(self, input_shape):
        self.alpha = self.add_weight(shape=(len(self.dims),), initializer="zeros", name="alpha")
        self.heads = self.linears(self.dims, self.width)

    def call(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Any, "batch {self.width}"]:
        logs = ops.stack(
            [ops.log_softmax(y) for y in apply(self.heads, masked(xs, modality_mask))], 1
        )  # (b, M, classes)
        alpha = ops.broadcast_to(self.alpha, ops.shape(logs)[:2])
        alpha = alpha if modality_mask is None else ops.where(modality_mask, alpha, -1e30)
        return ops.logsumexp(logs + ops.log_softmax(alpha)[..., None], 1)


@register
class LateProduct(Fusion):
    """Σₘ log p(y∣xₘ) − (M − 1) log p(y), normalized (Kittler et al. 1998). M counts those present.

    xs: list of (b, d_m) → log-probabilities (b, classes). `prior`: (classes,), None for uniform.
    """

    gives_logits = True

    def __init__(self, dims: Sequence[int], width: int, prior: Any = None, **kwargs):
        super().__init__(dims, width, **kwargs)
        self.prior = [1 / self.width] * self.width if prior is None else [float(q) for q in prior]

    def build(self, input_shape):
        self.heads = self.linears(self.dims, self.width)
        start = keras.initializers.Constant(np.log(self.prior))
        self.log_prior = self.add_weight(shape=(self.width,), initializer=start, trainable=False, name="log_prior")

    def call(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Any, "batch {self.width}"]:
        logs = [ops.log_softmax(y) for y in apply(self.heads, masked(xs, modality_mask))]
        count = len(xs) if modality_mask is None else ops.sum(ops.cast(modality_mask, logs[0].dtype), 1, keepdims=True)
        return ops.log_softmax(sum(masked(logs, modality_mask)) - (count - 1) * self.log_prior)

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "prior": self.prior}


@register
class GatedUnit(Fusion):
    """Gated multimodal unit (Arevalo et al. 2017, arXiv 1702.01992): hₘ = tanh(Wₘxₘ), gates see all modalities.

    Two: z ⊙ h₁ + (1 − z) ⊙ h₂. More: Σₘ zₘ ⊙ hₘ. xs: list of (b, d_m) → (b, width). Absent: zeros, so hₘ = 0.
    """

    def build(self, input_shape):
        gates = 1 if len(self.dims) == 2 else len(self.dims)
        self.hidden = self.linears(self.dims, self.width, bias=False)
        self.gates = self.linears([sum(self.dims)] * gates, self.width, bias=False)

    def call(self, xs: Vectors, modality_mask: ModalityMask = None) -> Float[Any, "batch {self.width}"]:
        xs = masked(xs, modality_mask)
        h = [ops.tanh(y) for y in apply(self.hidden, xs)]
        z = [ops.sigmoid(gate(ops.concatenate(xs, -1))) for gate in self.gates]
        z = [z[0], 1 - z[0]] if len(xs) == 2 else z
        return sum(z_m * h_m for z_m, h_m in zip(z, h, strict=True))


@register
class FiLM(Fusion):
    """γ(c) ⊙ F + β(c), per channel (Perez et al. 2018, arXiv 1709.07871); F = Wx of modality `target`, c all others.

    xs: list of (b, d_m), the target may be (b, …, d_m) → (b, …, width). Starts at γ = 1, β = 0. Absent: zeros.
    """

    def __init__(self, dims: Sequence[int], width: int, target: int = 0, **kwargs):
        super().__init__(dims, width, **kwargs)
        self.target = target

    def build(self, input_shape):
        rest = sum(self.dims) - self.dims[self.target]
        self.feature = self.linear(self.dims[self.target], self.width, bias=False)
        self.gamma, self.beta = (self.linear(rest, self.width, start="zeros") for _ in range(2))

    def call(
        self, xs: list[Float[Any, "batch ..."]], modality_mask: ModalityMask = None
    ) -> Float[Any, "batch *place {self.width}"]:
        xs = masked(xs, modality_mask)
        features = rms_norm(self.feature(xs.pop(self.target)))  # no learned scale: γ is one
        c = ops.concatenate(xs, -1)
        middle = (-1, *[1] * (len(features.shape) - 2), self.width)
        return ops.reshape(1 + self.gamma(c), middle) * features + ops.reshape(self.beta(c), middle)

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "target": self.target}
