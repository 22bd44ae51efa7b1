"""Fusion of sequences by attention. See `mmcourse.torch.fusion` for the conventions."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmcourse.torch.attention import scaled_dot_product_attention
from mmcourse.torch.fusion.sums import Fusion, apply, linears, rms_norm
from mmcourse.torch.masks import ModalityMask, PaddingMasks, Sequences, masked_mean, real_steps


class CrossAttention(Fusion):
    """α ← β: softmax(Q_α K_βᵀ/√d) V_β (MulT: Tsai et al. 2019, arXiv 1906.00295). `dims`: of target α and context β.

    target (b, t_α, d_α), context (b, t_β, d_β), padding_mask (b, t_β) of the context → (b, t_α, width).
    """

    def __init__(self, dims: list[int], width: int):
        super().__init__(dims, width)
        target, context = dims
        self.q_proj = nn.Linear(target, width, bias=False)
        self.k_proj, self.v_proj = linears([context] * 2, width, bias=False)

    def forward(
        self,
        target: Float[Tensor, "batch n d_target"],
        context: Float[Tensor, "batch m d_context"],
        padding_mask: Bool[Tensor, "batch m"] | None = None,
    ) -> Float[Tensor, "batch n {self.width}"]:
        q, k, v = self.q_proj(target), self.k_proj(context), self.v_proj(context)
        return scaled_dot_product_attention(q, k, v, padding_mask)[0]


class CrossModalTransformer(Fusion):
    """Every modality asks every other: relu(W[s₁; …; s_M] + b), sₘ = mean over real steps of Wₘxₘ + Σₙ (m ← n).

    xs: list of (b, t_m, d_m), padding_masks: list of (b, t_m) → (b, width). Absent: answers nothing, its s is 0.
    """

    takes_sequences = True

    def __init__(self, dims: list[int], width: int):
        super().__init__(dims, width)
        self.order = [(m, n) for m in range(len(dims)) for n in range(len(dims)) if m != n]
        self.maps = linears(dims, width)
        self.pairs = nn.ModuleList(CrossAttention([dims[m], dims[n]], width) for m, n in self.order)
        self.out = nn.Linear(len(dims) * width, width)

    def forward(
        self, xs: Sequences, padding_masks: PaddingMasks, modality_mask: ModalityMask = None
    ) -> Float[Tensor, "batch {self.width}"]:
        xs, masks = real_steps(xs, padding_masks, modality_mask)
        steps = apply(self.maps, xs)
        for (m, n), pair in zip(self.order, self.pairs, strict=True):
            steps[m] = steps[m] + pair(xs[m], xs[n], masks[n])
        return self.out(torch.cat([masked_mean(s, k) for s, k in zip(steps, masks, strict=True)], -1)).relu()


class BottleneckLayer(nn.ModuleList):
    """Each modality attends to itself and to z alone; the new z is the mean of what each present one made of it.

    streams: list of (b, t_m, width), z: (b, B, width), masks: list of (b, t_m) → new streams, new z.
    """

    def __init__(self, modalities: int, width: int):
        super().__init__(CrossAttention([width, width], width) for _ in range(modalities))

    def forward(
        self, streams: Sequences, z: Float[Tensor, "batch tokens width"], masks: PaddingMasks
    ) -> tuple[Sequences, Float[Tensor, "batch tokens width"]]:
        after, made = [], []
        for attend, x, mask in zip(self, streams, masks, strict=True):
            s = torch.cat([x, z], 1)  # (b, t_m + B, width)
            keep = torch.cat([mask, mask.new_ones(z.shape[:2])], 1)
            s = s + attend(rms_norm(s), rms_norm(s), keep)
            after.append(s[:, : x.shape[1]])
            made.append(s[:, x.shape[1] :])
        there = torch.stack([mask.any(1) for mask in masks], 1)[:, :, None, None]  # (b, M, 1, 1)
        mean = (torch.stack(made, 1) * there).sum(1) / there.sum(1).clamp(min=1)
        return after, torch.where(there.any(1), mean, z)


class BottleneckFusion(Fusion):
    """A few shared tokens z are the only way between modalities (Nagrani et al. 2021, arXiv 2107.00135).

    xs: list of (b, t_m, d_m), padding_masks: list of (b, t_m) → relu(W·mean(z) + b), (b, width). One head, no
    feed-forward part. Absent: no say in z.
    """

    takes_sequences = True

    def __init__(self, dims: list[int], width: int, tokens: int = 2, layers: int = 2):
        super().__init__(dims, width)
        self.tokens = nn.Parameter(torch.randn(tokens, width))
        self.maps = linears(dims, width)
        self.layers = nn.ModuleList(BottleneckLayer(len(dims), width) for _ in range(layers))
        self.out = nn.Linear(width, width)

    def forward(
        self, xs: Sequences, padding_masks: PaddingMasks, modality_mask: ModalityMask = None
    ) -> Float[Tensor, "batch {self.width}"]:
        xs, masks = real_steps(xs, padding_masks, modality_mask)
        streams, z = apply(self.maps, xs), self.tokens.expand(len(xs[0]), -1, -1)
        for layer in self.layers:
            streams, z = layer(streams, z, masks)
        return self.out(z.mean(1)).relu()
