"""The formulas of decoding in three backends: the step with a cache, the loss of a text, sampling, one beam step."""

import numpy as np

from .case import ParityCase


def attention(past, n=1, padded=False):
    """Queries, keys and values of n new positions, and a cache of `past` ones."""

    def draw(rng):
        inputs = {name: rng.normal(size=(3, 2, n, 4)) for name in ("q", "k", "v")}
        inputs |= {name: rng.normal(size=(3, 2, past, 4)) for name in ("past_k", "past_v")}
        if padded:  # prompts of another length are padded on the left
            inputs["padding_mask"] = np.arange(past + n) >= np.array([[0], [2], [past]])
        return inputs

    return draw


def text(rng):
    """Logits over seven pieces, texts of 5, 3 and 2 pieces."""
    real = np.arange(5) < np.array([[5], [3], [2]])
    return {"logits": rng.normal(size=(3, 5, 7)), "ids": rng.integers(1, 7, (3, 5)) * real, "padding_mask": real}


def beams(rng):
    """Two samples with three beams over six pieces; one beam of each has its end."""
    logits = rng.normal(size=(2, 3, 6))
    return {
        "log_probs": logits - np.log(np.exp(logits).sum(-1, keepdims=True)),
        "scores": -rng.random((2, 3)) - 1,
        "lengths": np.array([[3, 3, 2], [3, 1, 3]]),
        "finished": np.array([[False, False, True], [False, True, False]]),
    }


def token_backward(dy, inputs, p, options):
    """NumPy's own gradient of the loss."""
    from mmcourse.numpy import decoding

    _, cache = decoding.token_cross_entropy(**inputs)
    return {"logits": decoding.token_cross_entropy_backward(dy, cache)}, {}


def step(title, inputs):
    """One decoding step."""
    name = "decoding.cached_attention"
    call = lambda f, inputs, p, options: f(**inputs)  # noqa: E731
    return ParityCase(title, numpy=name, layer=name, inputs=inputs, count=0, numpy_call=call)


def sampling(title, **options):
    """Sampling with one setting."""
    name = "decoding.sampling_probabilities"
    return ParityCase(
        title,
        numpy=name,
        layer=name,
        inputs=lambda rng: {"logits": 2 * rng.normal(size=(3, 9))},
        count=0,
        numpy_call=lambda f, inputs, p, _: f(**inputs, **options),
        torch_call=lambda f, inputs: f(**inputs, **options),
        keras_call=lambda f, inputs: f(**inputs, **options),
    )


def beam(title, alpha):
    """Scores after one beam step; parents and pieces are compared in the tests."""
    name = "decoding.beam_step"
    return ParityCase(
        title,
        numpy=name,
        layer=name,
        inputs=beams,
        count=0,
        numpy_call=lambda f, inputs, p, _: f(**inputs, alpha=alpha)[0],
        torch_call=lambda f, inputs: f(**inputs, alpha=alpha)[0],
        keras_call=lambda f, inputs: f(**inputs, alpha=alpha)[0],
    )


FORMULAS = [
    step("attention with a cache, one step", attention(past=5)),
    step("attention with a cache, two at once", attention(past=4, n=2)),
    step("attention with a cache, padded", attention(past=4, padded=True)),
    ParityCase(
        "token cross-entropy",
        numpy="decoding.token_cross_entropy",
        layer="decoding.token_cross_entropy",
        inputs=text,
        count=0,
        backward=token_backward,
        numpy_call=lambda f, inputs, p, options: f(**inputs)[0],
        tags=frozenset({"mixes"}),
    ),
    sampling("sampling, temperature", temperature=0.5),
    sampling("sampling, top k", top_k=4),
    sampling("sampling, top p", top_p=0.8),
    sampling("sampling, all three", temperature=1.5, top_k=6, top_p=0.7),
    beam("beam step", alpha=0.0),
    beam("beam step, length penalty", alpha=0.7),
]
