"""What keeps a fused model from leaning on one modality. See `mmcourse.keras.fusion` for the conventions."""

from collections.abc import Iterable
from typing import Any

import keras
from jaxtyping import Bool, Float, Integer
from keras import ops

from mmcourse.keras.fusion.sums import register
from mmcourse.keras.masks import ModalityMask


def sample_modality_mask(
    modality_mask: Bool[Any, "batch modalities"], rate: float, seed: Any = None
) -> Bool[Any, "batch modalities"]:
    """Which modalities stay in training, bool (b, M): each drops out with probability `rate`, by sample, never all."""
    shape = ops.shape(modality_mask)
    draws = keras.random.uniform((2, *shape), seed=seed)
    keep = ops.logical_and(modality_mask, draws[0] >= rate)
    best = ops.argmax(ops.cast(modality_mask, draws.dtype) * draws[1], 1)
    saved = ops.logical_and(ops.one_hot(best, shape[1], dtype="bool"), modality_mask)
    return ops.where(ops.any(keep, 1, keepdims=True), keep, saved)


@register
class ModalityDropout(keras.layers.Layer):
    """A learned null token stands where a modality is absent or, in training, dropped (Neverova et al. 2016).

    xs: list of (b, d_m) or (b, t_m, d_m), modality_mask: bool (b, M) or None → list as xs. arXiv 1501.00102, whose null
    is 0.
    """

    def __init__(self, dims: list[int], rate: float = 0.3, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.dims, self.rate, self.seed = list(dims), rate, seed
        self.draws = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        start = keras.initializers.RandomNormal(stddev=0.1, seed=self.seed)
        self.null = [self.add_weight(shape=(d,), initializer=start, name=f"null_{m}") for m, d in enumerate(self.dims)]

    def call(
        self, xs: list[Float[Any, "batch ..."]], modality_mask: ModalityMask = None, training: bool = False
    ) -> list[Float[Any, "batch ..."]]:
        if modality_mask is None:
            modality_mask = ops.ones((ops.shape(xs[0])[0], len(xs)), "bool")
        if training:
            modality_mask = sample_modality_mask(modality_mask, self.rate, self.draws)
        there = [ops.reshape(modality_mask[:, m], (-1, *[1] * (len(x.shape) - 1))) for m, x in enumerate(xs)]
        return [ops.where(t, x, null) for t, x, null in zip(there, xs, self.null, strict=True)]

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "dims": self.dims, "rate": self.rate, "seed": self.seed}


def confidence(
    logits: Float[Any, "modalities batch classes"], labels: Integer[Any, " batch"]
) -> Float[Any, " modalities"]:
    """How sure each modality alone is of the right class: its softmax there, summed. logits (M, b, C) → (M,)."""
    right = ops.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return ops.sum(ops.softmax(logits) * right, (1, 2))


def ogm_coefficients(scores: Float[Any, " modalities"], alpha: float = 0.5) -> Float[Any, " modalities"]:
    """k_u = 1 − tanh(αρ_u) where ρ_u > 1, else 1; ρ_u = score of u over the mean of the others' (arXiv 2203.15332)."""
    ratio = scores * (scores.shape[0] - 1) / (ops.sum(scores) - scores)
    return ops.where(ratio > 1, 1 - ops.tanh(alpha * ratio), 1.0)


def modulate_gradients(gradients: list, variables: list, encoders: Iterable, coefficients: Iterable) -> list:
    """The gradients (a list, as `variables`), those of each modality's encoder scaled; the head's stay."""
    scale = {id(v): k for e, k in zip(encoders, coefficients, strict=True) for v in e.trainable_variables}
    return [g if g is None else g * scale.get(id(v), 1.0) for g, v in zip(gradients, variables, strict=True)]
