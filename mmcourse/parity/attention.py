"""Scaled dot-product and multi-head attention in NumPy, PyTorch and Keras."""

import numpy as np

from mmcourse.numpy import attention

from .case import ParityCase

DIM, CONTEXT, HEADS = 8, 5, 2  # heads of width 4: Keras's own layer rounds 1/√width to float32, and 1/2 is exact
# The second sample has nothing to look at: rows of zeros, not of NaN.
MASK = np.array([[True, True, False, True, False], [False] * 5, [True] * 5])


def _qkv(rng):
    shapes = {"q": (3, 4, 6), "k": (3, 5, 6), "v": (3, 5, 2)}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def _sdpa(name, **extra):
    def backward(dy, inputs, p, options):
        _, cache = attention.scaled_dot_product_attention(**inputs)
        grads = attention.scaled_dot_product_attention_backward(dy, cache)
        return dict(zip("qkv", grads, strict=True)), {}

    return ParityCase(
        f"dot-product attention, {name}",
        numpy="attention.scaled_dot_product_attention",
        layer="attention.scaled_dot_product_attention",
        inputs=lambda rng: {**_qkv(rng), **extra},
        count=0,
        numpy_call=lambda f, inputs, p, options: f(**inputs)[0],
        torch_call=lambda f, inputs: f(**inputs)[0],
        keras_call=lambda f, inputs: f(**inputs)[0],
        backward=backward,
    )


def _self_backward(dy, inputs, p, options):
    _, cache = attention.multi_head_attention(context=None, **inputs, p=p, **options)
    dquery, dcontext, dp = attention.multi_head_attention_backward(dy, cache)
    return {"query": dquery + dcontext}, dp


def _cross_backward(dy, inputs, p, options):
    _, cache = attention.multi_head_attention(**inputs, p=p, **options)
    dquery, dcontext, dp = attention.multi_head_attention_backward(dy, cache)
    return {"query": dquery, "context": dcontext}, dp


def _multi_head(name, inputs, backward, context_dim=DIM):
    def numpy_call(f, inputs, p, options):
        return f(inputs["query"], inputs.get("context"), p, **options, **_flags(inputs))[0]

    return ParityCase(
        f"multi-head attention, {name}",
        numpy="attention.multi_head_attention",
        layer="attention.MultiHeadAttention",
        config={"dim": DIM, "num_heads": HEADS, "context_dim": context_dim},
        options={"num_heads": HEADS},
        inputs=inputs,
        count=2 * (DIM * DIM + DIM) + 2 * (context_dim * DIM + DIM),
        numpy_call=numpy_call,
        backward=backward,
    )


def _flags(inputs):
    return {k: v for k, v in inputs.items() if k in ("padding_mask", "causal")}


def _query(rng, n=5):
    return {"query": rng.normal(size=(3, n, DIM))}


FORMULAS = [
    _sdpa("all to all"),
    _sdpa("padded", padding_mask=MASK),
    _sdpa("causal", causal=True),
    _multi_head("self", _query, _self_backward),
    _multi_head(
        "self, causal, padded", lambda rng: _query(rng) | {"padding_mask": MASK, "causal": True}, _self_backward
    ),
    _multi_head(
        "cross, padded",
        lambda rng: _query(rng, 4) | {"context": rng.normal(size=(3, 5, CONTEXT)), "padding_mask": MASK},
        _cross_backward,
        CONTEXT,
    ),
    _multi_head(
        "cross, equal widths",
        lambda rng: _query(rng) | {"context": rng.normal(size=(3, 5, DIM))},
        _cross_backward,
    ),
]
