"""The fusion methods and the loss: what goes in, and how many parameters the formula has."""

import math

import numpy as np

from .case import ParityCase

DIMS, WIDTH, BATCH, LENGTHS = [3, 4, 2], 5, 4, [4, 6, 3]
TOTAL = sum(DIMS)
PRIOR = [0.1, 0.3, 0.2, 0.25, 0.15]


def some_absent(rng, modalities):
    """bool (b, M): the first sample has nothing, the second everything, the others lack some."""
    modality_mask = rng.random((BATCH, modalities)) > 0.4
    modality_mask[0], modality_mask[1] = False, True
    return modality_mask


def vectors(dims, absent=False):
    """Inputs (b, d_m)."""

    def draw(rng):
        xs = [rng.normal(size=(BATCH, d)) for d in dims]
        return {"xs": xs, "modality_mask": some_absent(rng, len(dims))} if absent else {"xs": xs}

    return draw


def padding_mask(rng, steps):
    """bool (b, t): at least one real step, real ones first, the second sample full."""
    lengths = rng.integers(1, steps + 1, BATCH)
    lengths[1] = steps
    return np.arange(steps) < lengths[:, None]


def sequences(dims, absent=False):
    """Inputs (b, t_m, d_m) with padding."""

    def draw(rng):
        steps = list(zip(LENGTHS, dims, strict=False))
        inputs = {"xs": [rng.normal(size=(BATCH, t, d)) for t, d in steps]}
        inputs["padding_masks"] = [padding_mask(rng, t) for t, _ in steps]
        return {**inputs, "modality_mask": some_absent(rng, len(dims))} if absent else inputs

    return draw


def pair(dims):
    """A target and a context (b, t, d), the context padded."""

    def draw(rng):
        target, context = (rng.normal(size=(BATCH, t, d)) for t, d in zip(LENGTHS, dims, strict=False))
        return {"target": target, "context": context, "padding_mask": padding_mask(rng, LENGTHS[1])}

    return draw


def method(name, function, layer, count, dims=DIMS, inputs=vectors, **config):
    """A formula, and the same with missing modalities."""
    config = {"dims": dims, "width": WIDTH, **config}
    for end, absent in (("", False), (" · some absent", True)):
        yield ParityCase(name + end, f"fusion.{function}", f"fusion.{layer}", inputs(dims, absent), count, config)


def scores(rng):
    """Confidence of three modalities in the right class."""
    return {"scores": rng.uniform(1, 5, 3), "alpha": 0.4}


def classes(smoothing, masked):
    """Logits, labels and what else the loss takes."""

    def draw(rng):
        inputs = {"logits": 3 * rng.normal(size=(2, 3, 4)), "labels": rng.integers(4, size=(2, 3))}
        return {**inputs, "smoothing": smoothing, **({"mask": rng.random((2, 3)) > 0.4} if masked else {})}

    return draw


def cross_entropy_backward(dy, inputs, p, options):
    """NumPy's own gradient of the loss, for the registry."""
    from mmcourse.numpy import losses

    _, cache = losses.cross_entropy(**inputs)
    return {"logits": losses.cross_entropy_backward(cache, dy)}, {}


def loss(name, smoothing=0.0, masked=False):
    """Cross-entropy with some of its options."""
    return ParityCase(
        name,
        "losses.cross_entropy",
        "losses.cross_entropy",
        classes(smoothing, masked),
        count=0,
        backward=cross_entropy_backward,
        numpy_call=lambda f, inputs, p, options: f(**inputs)[0],
        tags=frozenset({"mixes"}),
    )


FORMULAS = [
    *method("concatenate", "concatenate", "Concatenate", TOTAL * WIDTH + WIDTH),
    *method("sum gate", "sum_gate", "SumGate", TOTAL * WIDTH + 3 * WIDTH + WIDTH**2 + WIDTH),
    *method("weighted sum", "weighted_sum", "WeightedSum", 3 + TOTAL * WIDTH),
    *method("late, mean", "late_mean", "LateMean", 3 + TOTAL * WIDTH + 3 * WIDTH),
    *method("late, product", "late_product", "LateProduct", TOTAL * WIDTH + 3 * WIDTH, prior=PRIOR),
    *method("gated unit of two", "gated_unit", "GatedUnit", 7 * WIDTH + 7 * WIDTH, [3, 4]),
    *method("gated unit of three", "gated_unit", "GatedUnit", TOTAL * WIDTH + 3 * TOTAL * WIDTH),
    *method("FiLM", "film", "FiLM", 3 * WIDTH + 2 * (6 * WIDTH + WIDTH)),
    *method("bilinear", "bilinear", "Bilinear", 3 * 4 * WIDTH, [3, 4]),
    *method("low-rank bilinear", "low_rank_bilinear", "LowRankBilinear", 7 * 6 + 7 * WIDTH, [3, 4], rank=6),
    *method("low-rank bilinear of three", "low_rank_bilinear", "LowRankBilinear", TOTAL * 6 + 7 * WIDTH, rank=6),
    # hashes that leave no place empty: at exactly 0 the softened root bends too sharply for central differences
    *method("compact bilinear", "compact_bilinear", "CompactBilinear", 0, [3, 4], seed=2),
    *method("compact bilinear of three", "compact_bilinear", "CompactBilinear", 0, seed=1),
    *method("tensor", "tensor_fusion", "TensorFusion", math.prod(d + 1 for d in DIMS) * WIDTH + WIDTH),
    *method("low-rank tensor", "low_rank_tensor_fusion", "LowRankTensorFusion", 2 * (TOTAL + 3) * WIDTH, rank=2),
    ParityCase(
        "cross-attention",
        "fusion.cross_attention",
        "fusion.CrossAttention",
        pair([3, 4]),
        count=3 * WIDTH + 2 * 4 * WIDTH,
        config={"dims": [3, 4], "width": WIDTH},
    ),
    *method(
        "cross-modal",
        "cross_modal",
        "CrossModalTransformer",
        # maps; of the 6 ordered pairs each modality is target in two and context in two; out
        (TOTAL + 3) * WIDTH + 2 * (TOTAL + 2 * TOTAL) * WIDTH + 3 * WIDTH**2 + WIDTH,
        inputs=sequences,
    ),
    *method(
        "bottleneck",
        "bottleneck",
        "BottleneckFusion",
        # tokens; maps; 2 layers × 3 modalities × query, key, value; out
        2 * WIDTH + (TOTAL + 3) * WIDTH + 2 * 3 * 3 * WIDTH**2 + WIDTH**2 + WIDTH,
        inputs=sequences,
    ),
    ParityCase(
        "modality dropout",
        "fusion.modality_dropout",
        "fusion.ModalityDropout",
        vectors(DIMS, absent=True),
        count=TOTAL,
        config={"dims": DIMS},
    ),
    ParityCase(
        "gradient modulation",
        "fusion.ogm_coefficients",
        "fusion.ogm_coefficients",
        scores,
        count=0,
        numpy_call=lambda f, inputs, p, options: f(**inputs),
        tags=frozenset({"mixes"}),
    ),
    loss("cross-entropy"),
    loss("cross-entropy, smoothed, masked", 0.1, True),
]
