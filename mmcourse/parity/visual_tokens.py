"""What a vision–language model adds, in three backends: merged patches, tokens put into a text, the loss of answers."""

import numpy as np

from .case import ParityCase

IGNORED = -100


def grids(rows, columns):
    """Three grids of features."""
    return lambda rng: {"grid": rng.normal(size=(3, rows, columns, 2))}


def texts_with_pictures(rng):
    """Two texts of six pieces, three of which are places for a picture, not at the same positions."""
    is_image = np.array([[False, True, True, True, False, False], [True, False, True, False, False, True]])
    return {"embeddings": rng.normal(size=(2, 6, 4)), "is_image": is_image, "visual": rng.normal(size=(2, 3, 4))}


def answers(rng):
    """Logits over seven pieces; the first text has an answer of two, the second of three, the third none."""
    labels = np.full((3, 6), IGNORED)
    labels[0, 3:5] = 4, 2
    labels[1, 2:5] = 6, 1, 2
    return {"logits": rng.normal(size=(3, 6, 7)), "labels": labels}


def answer_backward(dy, inputs, p, options):
    """NumPy's own gradient of the loss."""
    from mmcourse.numpy import visual_tokens

    _, cache = visual_tokens.answer_cross_entropy(**inputs)
    return {"logits": visual_tokens.answer_cross_entropy_backward(dy, cache)}, {}


def function(title, name, inputs, **options):
    """A formula without weights."""
    path = f"visual_tokens.{name}"
    return ParityCase(
        title,
        numpy=path,
        layer=path,
        inputs=inputs,
        count=0,
        numpy_call=lambda f, inputs, p, _: f(**inputs, **options),
        torch_call=lambda f, inputs: f(**inputs, **options),
        keras_call=lambda f, inputs: f(**inputs, **options),
    )


FORMULAS = [
    function("merged patches", "merge_patches", grids(4, 6), size=2),
    function("merged patches, one by one", "merge_patches", grids(2, 3), size=1),
    function("visual tokens in a text", "insert_visual_tokens", texts_with_pictures),
    ParityCase(
        "answer cross-entropy",
        numpy="visual_tokens.answer_cross_entropy",
        layer="visual_tokens.answer_cross_entropy",
        inputs=answers,
        count=0,
        backward=answer_backward,
        numpy_call=lambda f, inputs, p, options: f(**inputs)[0],
        tags=frozenset({"mixes"}),
    ),
]
