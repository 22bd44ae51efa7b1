"""From a picture to tokens of a language model, and the loss of what it answers: formulas of vision–language models."""

from typing import Any

from jaxtyping import Bool, Float, Integer
from keras import ops

from mmcourse.keras.losses import cross_entropy

IGNORED = -100  # a label that does not count, as in PyTorch and transformers


def merge_patches(grid: Float[Any, "batch rows columns d"], size: int) -> Float[Any, "batch n width"]:
    """Each size × size neighboring cells become one token: fewer and wider tokens, and nothing is lost.

    grid: (b, rows, columns, d); size: a divisor of rows and columns. Returns (b, rows/size · columns/size,
    size · size · d), row by row; inside a token row by row, too.
    """
    _, rows, columns, d = grid.shape
    if rows % size or columns % size:
        raise ValueError(f"size: {size} does not divide a grid of {rows} × {columns}; choose a divisor of both")
    blocks = ops.reshape(grid, (-1, rows // size, size, columns // size, size, d))
    blocks = ops.transpose(blocks, (0, 1, 3, 2, 4, 5))  # (b, rows/size, columns/size, size, size, d)
    return ops.reshape(blocks, (-1, (rows // size) * (columns // size), size * size * d))


def insert_visual_tokens(
    embeddings: Float[Any, "batch n d"], is_image: Bool[Any, "batch n"], visual: Float[Any, "batch m d"]
) -> Float[Any, "batch n d"]:
    """The j-th `<image>` placeholder of a text becomes the j-th visual token of its picture (LLaVA, arXiv 2304.08485).

    embeddings: (b, n, d), of all pieces; is_image: bool (b, n), True at the placeholders, m in each row; visual:
    (b, m, d). Returns (b, n, d).
    """
    ordinal = ops.cumsum(ops.cast(is_image, "int32"), axis=1)
    counts = ordinal[:, -1]
    if hasattr(counts, "numpy") and (counts.numpy() != visual.shape[1]).any():  # a graph has no values yet
        raise ValueError(
            f"is_image: expected {visual.shape[1]} placeholders in each text, one for each visual token; "
            f"got {counts.numpy().tolist()}"
        )
    number = ops.maximum(ordinal - 1, 0)  # which placeholder of its row, from 0
    placed = ops.take_along_axis(visual, number[..., None], axis=1)  # (b, n, d)
    return ops.where(is_image[..., None], placed, embeddings)


def answer_labels(
    ids: Integer[Any, "batch n"], prompt_lengths: Integer[Any, " batch"], padding_mask: Bool[Any, "batch n"]
) -> Integer[Any, "batch n"]:
    """What is trained: the answer with its end. Prompt and padding become −100. Not shifted: the loss does that.

    ids: int (b, n), picture, question and answer; prompt_lengths: int (b,), pieces before the answer; padding_mask:
    bool (b, n), True = real. Returns int (b, n).
    """
    position = ops.arange(ids.shape[1], dtype=prompt_lengths.dtype)
    in_answer = position >= prompt_lengths[:, None]  # (b, n)
    return ops.where(ops.logical_and(in_answer, padding_mask), ids, ops.cast(IGNORED, ids.dtype))


def answer_cross_entropy(logits: Float[Any, "batch n vocabulary"], labels: Integer[Any, "batch n"]) -> Float[Any, ""]:
    """Mean of −log p over the labels that are not −100; position t predicts the label at t + 1. 0 without any label.

    logits: (b, n, vocabulary); labels: int (b, n), as `answer_labels` gives them. Returns a scalar.
    """
    predicted = logits[:, :-1]
    following = labels[:, 1:]
    counts = ops.not_equal(following, IGNORED)
    return cross_entropy(predicted, ops.where(counts, following, 0), mask=counts)
