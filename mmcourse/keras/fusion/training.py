"""What keeps a fused model from leaning on one modality. See `mmcourse.keras.fusion` for the conventions."""

import keras
from keras import ops

from mmcourse.keras.fusion.sums import register


def sample_modality_mask(present, rate, seed=None):
    """Which modalities stay in training, bool (b, M): each drops out with probability `rate`, by sample, never all."""
    shape = ops.shape(present)
    draws = keras.random.uniform((2, *shape), seed=seed)
    keep = ops.logical_and(present, draws[0] >= rate)
    best = ops.argmax(ops.cast(present, draws.dtype) * draws[1], 1)
    saved = ops.logical_and(ops.one_hot(best, shape[1], dtype="bool"), present)
    return ops.where(ops.any(keep, 1, keepdims=True), keep, saved)


@register
class ModalityDropout(keras.layers.Layer):
    """A learned null token stands where a modality is absent or, in training, dropped (Neverova et al. 2016).

    xs: list of (b, d_m) or (b, t_m, d_m), present: bool (b, M) or None → list as xs. arXiv 1501.00102; their null is 0.
    """

    def __init__(self, dims, rate=0.3, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.dims, self.rate, self.seed = list(dims), rate, seed
        self.draws = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        start = keras.initializers.RandomNormal(stddev=0.1, seed=self.seed)
        self.null = [self.add_weight(shape=(d,), initializer=start, name=f"null_{m}") for m, d in enumerate(self.dims)]

    def call(self, xs, present=None, training=False):
        if present is None:
            present = ops.ones((ops.shape(xs[0])[0], len(xs)), "bool")
        if training:
            present = sample_modality_mask(present, self.rate, self.draws)
        there = [ops.reshape(present[:, m], (-1, *[1] * (len(x.shape) - 1))) for m, x in enumerate(xs)]
        return [ops.where(t, x, null) for t, x, null in zip(there, xs, self.null, strict=True)]

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "dims": self.dims, "rate": self.rate, "seed": self.seed}


def confidence(logits, labels):
    """How sure each modality alone is of the right class: its softmax there, summed. logits (M, b, C) → (M,)."""
    right = ops.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return ops.sum(ops.softmax(logits) * right, (1, 2))


def modulation(scores, alpha=0.5):
    """k_u = 1 − tanh(αρ_u) where ρ_u > 1, else 1; ρ_u = score of u over the mean of the others' (arXiv 2203.15332)."""
    ratio = scores * (scores.shape[0] - 1) / (ops.sum(scores) - scores)
    return ops.where(ratio > 1, 1 - ops.tanh(alpha * ratio), 1.0)


def modulate_gradients(gradients, variables, encoders, coefficients):
    """The gradients (a list, as `variables`), those of each modality's encoder scaled; the head's stay."""
    scale = {id(v): k for e, k in zip(encoders, coefficients, strict=True) for v in e.trainable_variables}
    return [g if g is None else g * scale.get(id(v), 1.0) for g, v in zip(gradients, variables, strict=True)]
