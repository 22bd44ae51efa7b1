"""The contrastive losses of CLIP and SigLIP in three backends."""

import numpy as np

from .case import ParityCase


def pairs(hard=0, bias=False, batch=5):
    """Vectors of pictures and texts, the temperature and what else a loss takes."""

    def draw(rng):
        inputs = {"image": rng.normal(size=(batch, 4)), "text": 3 * rng.normal(size=(batch, 4))}
        inputs["log_scale"] = np.array(rng.normal())
        if hard:
            inputs["hard_text"] = rng.normal(size=(hard, 4))
        if bias:
            inputs["bias"] = np.array(rng.normal())
        return inputs

    return draw


def backward(name):
    """NumPy's own gradients of a loss."""

    def run(dy, inputs, p, options):
        from mmcourse.numpy import contrastive

        _, cache = getattr(contrastive, name)(**inputs)
        gradients = getattr(contrastive, f"{name}_backward")(dy, cache)
        names = ("image", "text", "log_scale", "bias" if name == "sigmoid_loss" else "hard_text")
        return {key: slope for key, slope in zip(names, gradients, strict=True) if key in inputs}, {}

    return run


def loss(title, name, inputs):
    """One loss with its inputs."""
    return ParityCase(
        title,
        numpy=f"contrastive.{name}",
        layer=f"contrastive.{name}",
        inputs=inputs,
        count=0,
        backward=backward(name),
        numpy_call=lambda f, inputs, p, options: f(**inputs)[0],
        tags=frozenset({"mixes"}),
    )


FORMULAS = [
    loss("contrastive loss", "contrastive_loss", pairs()),
    loss("contrastive loss, hard negatives", "contrastive_loss", pairs(hard=3)),
    loss("sigmoid loss of pairs", "sigmoid_loss", pairs(bias=True)),
]
