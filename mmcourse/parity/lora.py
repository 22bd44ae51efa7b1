"""LoRA in three backends: the layer, and its merged matrix."""

from .case import ParityCase

ALPHA = 6.0  # not the rank: a scale that is forgotten would not be seen


def adapters(rank, with_x=True):
    """A matrix (5, 4) with a correction of some rank, and what goes through it."""

    def draw(rng):
        inputs = {"x": rng.normal(size=(3, 2, 4))} if with_x else {}
        inputs["weight"] = rng.normal(size=(5, 4))
        inputs["lora_a"] = rng.normal(size=(rank, 4))
        inputs["lora_b"] = rng.normal(size=(5, rank))
        return inputs

    return draw


def backward(dy, inputs, p, options):
    """NumPy's own gradients."""
    from mmcourse.numpy import lora

    _, cache = lora.lora_linear(**inputs, alpha=ALPHA)
    return dict(zip(("x", "weight", "lora_a", "lora_b"), lora.lora_linear_backward(dy, cache), strict=True)), {}


def layer(title, rank):
    """The layer with a correction of this rank."""
    return ParityCase(
        title,
        numpy="lora.lora_linear",
        layer="lora.lora_linear",
        inputs=adapters(rank),
        count=0,
        backward=backward,
        numpy_call=lambda f, inputs, p, options: f(**inputs, alpha=ALPHA)[0],
        torch_call=lambda f, inputs: f(**inputs, alpha=ALPHA),
        keras_call=lambda f, inputs: f(**inputs, alpha=ALPHA),
        tags=frozenset({"mixes"}),
    )


FORMULAS = [
    layer("LoRA, rank 1", 1),
    layer("LoRA, rank 3", 3),
    ParityCase(
        "LoRA, merged",
        numpy="lora.merge_lora",
        layer="lora.merge_lora",
        inputs=adapters(2, with_x=False),
        count=0,
        numpy_call=lambda f, inputs, p, options: f(**inputs, alpha=ALPHA),
        torch_call=lambda f, inputs: f(**inputs, alpha=ALPHA),
        keras_call=lambda f, inputs: f(**inputs, alpha=ALPHA),
        tags=frozenset({"mixes"}),
    ),
]
