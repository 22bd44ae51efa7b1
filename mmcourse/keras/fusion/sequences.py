"""Fusion of sequences by attention. See `mmcourse.keras.fusion` for the conventions."""

from typing import Any

from jaxtyping import Bool, Float
from keras import ops

from mmcourse.keras.attention import scaled_dot_product_attention
from mmcourse.keras.fusion.sums import Fusion, apply, register, rms_norm
from mmcourse.keras.masks import ModalityMask, PaddingMasks, Sequences, masked_mean, real_steps


@register
class CrossAttention(Fusion):
    """α ← β: softmax(Q_α K_βᵀ/√d) V_β (MulT: Tsai et al. 2019, arXiv 1906.00295). `dims`: of target α and context β.

    target (b, t_α, d_α), context (b, t_β, d_β), padding_mask (b, t_β) of the context → (b, t_α, width).
    """

    def build(self, input_shape):
        target, context = self.dims
        self.q_proj = self.linear(target, self.width, bias=False)
        self.k_proj, self.v_proj = self.linears([context] * 2, self.width, bias=False)

    def call(
        self,
        target: Float[Any, "batch n d_target"],
        context: Float[Any, "batch m d_context"],
        padding_mask: Bool[Any, "batch m"] | None = None,
    ) -> Float[Any, "batch n {self.width}"]:
        q, k, v = self.q_proj(target), self.k_proj(context), self.v_proj(context)
        return scaled_dot_product_attention(q, k, v, padding_mask)[0]


@register
class CrossModalTransformer(Fusion):
    """Every modality asks every other: relu(W[s₁; …; s_M] + b), sₘ = mean over real steps of Wₘxₘ + Σₙ (m ← n).

    xs: list of (b, t_m, d_m), padding_masks: list of (b, t_m) → (b, width). Absent: answers nothing, its s is 0.
    """

    takes_sequences = True

    def build(self, input_shape):
        count = len(self.dims)
        self.order = [(m, n) for m in range(count) for n in range(count) if m != n]
        self.maps = self.linears(self.dims, self.width)
        dims = [[self.dims[m], self.dims[n]] for m, n in self.order]
        self.pairs = [CrossAttention(d, self.width, dtype=self.dtype_policy) for d in dims]
        self.out = self.linear(count * self.width, self.width)
        for pair in self.pairs:
            pair.build(None)

    def call(
        self, xs: Sequences, padding_masks: PaddingMasks, modality_mask: ModalityMask = None
    ) -> Float[Any, "batch {self.width}"]:
        xs, masks = real_steps(xs, padding_masks, modality_mask)
        steps = apply(self.maps, xs)
        for (m, n), pair in zip(self.order, self.pairs, strict=True):
            steps[m] = steps[m] + pair(xs[m], xs[n], masks[n])
        summaries = [masked_mean(s, k) for s, k in zip(steps, masks, strict=True)]
        return ops.relu(self.out(ops.concatenate(summaries, -1)))


def bottleneck_layer(
    layer: list, streams: Sequences, z: Float[Any, "batch tokens width"], masks: PaddingMasks
) -> tuple[Sequences, Float[Any, "batch tokens width"]]:
    """Each modality attends to itself and to z alone; the new z is the mean of what each present one made of it.

    layer: one CrossAttention per modality; streams: list of (b, t_m, width), z: (b, B, width), masks: list of (b, t_m)
    → new streams, new z.
    """
    after, made = [], []
    for attend, x, mask in zip(layer, streams, masks, strict=True):
        s = ops.concatenate([x, z], 1)  # (b, t_m + B, width)
        keep = ops.concatenate([mask, ops.ones(ops.shape(z)[:2], "bool")], 1)
        s = s + attend(rms_norm(s), rms_norm(s), keep)
        steps = ops.shape(x)[1]
        after.append(s[:, :steps])
        made.append(s[:, steps:])
    there = ops.stack([ops.any(mask, 1) for mask in masks], 1)[:, :, None, None]  # (b, M, 1, 1)
    votes = ops.cast(there, z.dtype)
    mean = ops.sum(ops.stack(made, 1) * votes, 1) / ops.maximum(ops.sum(votes, 1), 1)
    return after, ops.where(ops.any(there, 1), mean, z)


@register
class BottleneckFusion(Fusion):
    """A few shared tokens z are the only way between modalities (Nagrani et al. 2021, arXiv 2107.00135).

    xs: list of (b, t_m, d_m), padding_masks: list of (b, t_m) → relu(W·mean(z) + b), (b, width). One head, no
    feed-forward part. Absent: no say in z.
    """

    takes_sequences = True

    def __init__(self, dims: list[int], width: int, tokens: int = 2, layers: int = 2, **kwargs):
        super().__init__(dims, width, **kwargs)
        self.shape = {"tokens": tokens, "layers": layers}

    def build(self, input_shape):
        w = self.width
        self.tokens = self.add_weight(shape=(self.shape["tokens"], w), initializer="random_normal", name="tokens")
        self.maps = self.linears(self.dims, w)
        self.layers = [
            [CrossAttention([w, w], w, dtype=self.dtype_policy) for _ in self.dims] for _ in range(self.shape["layers"])
        ]
        self.out = self.linear(w, w)
        for attend in sum(self.layers, []):
            attend.build(None)

    def call(
        self, xs: Sequences, padding_masks: PaddingMasks, modality_mask: ModalityMask = None
    ) -> Float[Any, "batch {self.width}"]:
        xs, masks = real_steps(xs, padding_masks, modality_mask)
        streams = apply(self.maps, xs)
        z = ops.broadcast_to(self.tokens, (ops.shape(xs[0])[0], *self.tokens.shape))
        for layer in self.layers:
            streams, z = bottleneck_layer(layer, streams, z, masks)
        return ops.relu(self.out(ops.mean(z, 1)))

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), **self.shape}
