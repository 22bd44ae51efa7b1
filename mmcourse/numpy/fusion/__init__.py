"""Every fusion method, written to be read. Inputs come in sorted order of the modalities' names.

A method is ``f(xs, p, modality_mask=None)``: `xs` a list of arrays (b, d_m), `p` a dict of weights by dotted name,
each map ``x @ w + b``. Sequence methods take (b, t_m, d_m) and `padding_masks`, bool (b, t_m), True = real.
`modality_mask` is bool (b, M), True = there. Whatever an absent modality holds never matters, not even NaN; each method
says what it does instead. Float64 in, float64 out.
"""

from mmcourse.numpy.fusion.products import (
    bilinear,
    compact_bilinear,
    count_sketch_matrix,
    low_rank_bilinear,
    low_rank_tensor_fusion,
    tensor_fusion,
)
from mmcourse.numpy.fusion.sequences import (
    bottleneck,
    bottleneck_layer,
    cross_attention,
    cross_modal,
)
from mmcourse.numpy.fusion.sums import (
    concatenate,
    film,
    gated_unit,
    late_mean,
    late_product,
    shares,
    sum_gate,
    weighted_sum,
)
from mmcourse.numpy.fusion.training import confidence, modality_dropout, ogm_coefficients, sample_modality_mask
from mmcourse.numpy.masks import masked, masked_mean, real_steps

__all__ = [
    "bilinear",
    "bottleneck",
    "bottleneck_layer",
    "compact_bilinear",
    "concatenate",
    "confidence",
    "cross_attention",
    "cross_modal",
    "sample_modality_mask",
    "count_sketch_matrix",
    "film",
    "gated_unit",
    "late_mean",
    "late_product",
    "low_rank_bilinear",
    "low_rank_tensor_fusion",
    "masked",
    "masked_mean",
    "modality_dropout",
    "ogm_coefficients",
    "real_steps",
    "shares",
    "sum_gate",
    "tensor_fusion",
    "weighted_sum",
]
