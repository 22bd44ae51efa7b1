"""Every fusion method as `nn.Module`. Inputs come in sorted order of the modalities' names.

``Method(dims, width, …)``, `dims` the inputs' widths; ``forward(xs, modality_mask=None)`` takes a list of
(b, d_m). Sequence methods take (b, t_m, d_m) and `padding_masks`, bool (b, t_m), True = real. `modality_mask` is bool
(b, M), True = there. Whatever an absent modality holds never matters, not even NaN; each method says what it does
instead.
"""

from mmcourse.torch.fusion.products import Bilinear, CompactBilinear, LowRankBilinear, LowRankTensorFusion, TensorFusion
from mmcourse.torch.fusion.sequences import (
    BottleneckFusion,
    BottleneckLayer,
    CrossAttention,
    CrossModalTransformer,
)
from mmcourse.torch.fusion.sums import Concatenate, FiLM, GatedUnit, LateMean, LateProduct, SumGate, WeightedSum
from mmcourse.torch.fusion.training import (
    ModalityDropout,
    confidence,
    modulate_gradients,
    ogm_coefficients,
    sample_modality_mask,
)
from mmcourse.torch.masks import masked, masked_mean, real_steps

__all__ = [
    "METHODS",
    "Bilinear",
    "BottleneckFusion",
    "BottleneckLayer",
    "CompactBilinear",
    "Concatenate",
    "CrossAttention",
    "CrossModalTransformer",
    "FiLM",
    "GatedUnit",
    "LateMean",
    "LateProduct",
    "LowRankBilinear",
    "LowRankTensorFusion",
    "ModalityDropout",
    "SumGate",
    "TensorFusion",
    "WeightedSum",
    "confidence",
    "sample_modality_mask",
    "masked",
    "masked_mean",
    "modulate_gradients",
    "ogm_coefficients",
    "real_steps",
]

# By name, for experiments over all of them. The late ones give log-probabilities of as many classes as their width.
METHODS = {
    "concatenate": Concatenate,
    "sum gate": SumGate,
    "weighted sum": WeightedSum,
    "late mean": LateMean,
    "late product": LateProduct,
    "gated unit": GatedUnit,
    "FiLM": FiLM,
    "low-rank bilinear": LowRankBilinear,
    "compact bilinear": CompactBilinear,
    "tensor": TensorFusion,
    "low-rank tensor": LowRankTensorFusion,
    "cross-modal": CrossModalTransformer,
    "bottleneck": BottleneckFusion,
}
