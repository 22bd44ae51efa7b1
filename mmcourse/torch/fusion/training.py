"""What keeps a fused model from leaning on one modality. See `mmcourse.torch.fusion` for the conventions."""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn

from mmcourse.torch.masks import ModalityMask


def sample_modality_mask(
    modality_mask: Bool[Tensor, "batch modalities"], rate: float, generator: torch.Generator | None = None
) -> Bool[Tensor, "batch modalities"]:
    """Which modalities stay in training, bool (b, M): each drops out with probability `rate`, by sample, never all."""
    draws = torch.rand(2, *modality_mask.shape, generator=generator, device=modality_mask.device)
    keep = modality_mask & (draws[0] >= rate)
    saved = nn.functional.one_hot((modality_mask * draws[1]).argmax(1), modality_mask.shape[1]).bool()
    return torch.where(keep.any(1, keepdim=True), keep, saved & modality_mask)


class ModalityDropout(nn.Module):
    """A learned null token stands where a modality is absent or, in training, dropped (Neverova et al. 2016).

    xs: list of (b, d_m) or (b, t_m, d_m), modality_mask: bool (b, M) or None → list as xs. arXiv 1501.00102, whose null
    is 0.
    """

    def __init__(self, dims: list[int], rate: float = 0.3):
        super().__init__()
        self.rate = rate
        self.null = nn.ParameterList(nn.Parameter(torch.randn(d) / 10) for d in dims)

    def forward(
        self,
        xs: list[Float[Tensor, "batch ..."]],
        modality_mask: ModalityMask = None,
        generator: torch.Generator | None = None,
    ) -> list[Float[Tensor, "batch ..."]]:
        if modality_mask is None:
            modality_mask = torch.ones(len(xs[0]), len(xs), dtype=torch.bool, device=xs[0].device)
        if self.training:
            modality_mask = sample_modality_mask(modality_mask, self.rate, generator)
        there = [modality_mask[:, m].view(-1, *[1] * (x.ndim - 1)) for m, x in enumerate(xs)]
        return [torch.where(t, x, null) for t, x, null in zip(there, xs, self.null, strict=True)]


def confidence(
    logits: Float[Tensor, "modalities batch classes"], labels: Integer[Tensor, " batch"]
) -> Float[Tensor, " modalities"]:
    """How sure each modality alone is of the right class: its softmax there, summed. logits (M, b, C) → (M,)."""
    return logits.softmax(-1)[:, torch.arange(len(labels)), labels].sum(1)


def ogm_coefficients(scores: Float[Tensor, " modalities"], alpha: float = 0.5) -> Float[Tensor, " modalities"]:
    """k_u = 1 − tanh(αρ_u) where ρ_u > 1, else 1; ρ_u = score of u over the mean of the others' (arXiv 2203.15332)."""
    ratio = scores * (len(scores) - 1) / (scores.sum() - scores)
    return torch.where(ratio > 1, 1 - torch.tanh(alpha * ratio), 1.0)


@torch.no_grad()
def modulate_gradients(encoders: Iterable[nn.Module], coefficients: Iterable) -> None:
    """After `backward`, scale the gradients of each modality's encoder; the head is not among them, and stays."""
    for encoder, k in zip(encoders, coefficients, strict=True):
        for parameter in encoder.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(k)
