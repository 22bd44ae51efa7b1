"""From a picture to tokens of a language model, and the loss of what it answers: formulas of vision–language models."""

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from mmcourse.numpy.losses import cross_entropy, cross_entropy_backward

IGNORED = -100  # a label that does not count, as in PyTorch and transformers


def merge_patches(grid: Float[ndarray, "batch rows columns d"], size: int) -> Float[ndarray, "batch n width"]:
    """Each size × size neighboring cells become one token: fewer and wider tokens, and nothing is lost.

    Parameters
    ----------
    grid : float (b, rows, columns, d)
    size : a divisor of rows and columns; 1 only flattens the grid

    Returns
    -------
    tokens : float (b, rows/size · columns/size, size · size · d), row by row; inside a token row by row, too
    """
    b, rows, columns, d = grid.shape
    if rows % size or columns % size:
        raise ValueError(f"size: {size} does not divide a grid of {rows} × {columns}; choose a divisor of both")
    blocks = grid.reshape(b, rows // size, size, columns // size, size, d)
    blocks = blocks.transpose(0, 1, 3, 2, 4, 5)  # (b, rows/size, columns/size, size, size, d)
    return blocks.reshape(b, (rows // size) * (columns // size), size * size * d)


def insert_visual_tokens(
    embeddings: Float[ndarray, "batch n d"], is_image: Bool[ndarray, "batch n"], visual: Float[ndarray, "batch m d"]
) -> Float[ndarray, "batch n d"]:
    """The j-th `<image>` placeholder of a text becomes the j-th visual token of its picture (LLaVA, arXiv 2304.08485).

    Parameters
    ----------
    embeddings : float (b, n, d), of all pieces
    is_image : bool (b, n), True at the placeholders, m in each row
    visual : float (b, m, d)
    """
    counts = is_image.sum(axis=1)
    if (counts != visual.shape[1]).any():
        raise ValueError(
            f"is_image: expected {visual.shape[1]} placeholders in each text, one for each visual token; "
            f"got {counts.tolist()}"
        )
    number = np.maximum(np.cumsum(is_image, axis=1) - 1, 0)  # which placeholder of its row, from 0
    placed = np.take_along_axis(visual, number[..., None], axis=1)  # (b, n, d)
    return np.where(is_image[..., None], placed, embeddings)


def answer_labels(
    ids: Integer[ndarray, "batch n"], prompt_lengths: Integer[ndarray, " batch"], padding_mask: Bool[ndarray, "batch n"]
) -> Integer[ndarray, "batch n"]:
    """What is trained: the answer with its end. Prompt and padding become −100. Not shifted: the loss does that.

    Parameters
    ----------
    ids : int (b, n), picture, question and answer
    prompt_lengths : int (b,), pieces before the answer
    padding_mask : bool (b, n), True = real
    """
    in_answer = np.arange(ids.shape[1]) >= prompt_lengths[:, None]  # (b, n)
    return np.where(in_answer & padding_mask, ids, IGNORED)


def answer_cross_entropy(
    logits: Float[ndarray, "batch n vocabulary"], labels: Integer[ndarray, "batch n"]
) -> tuple[float | np.floating, tuple]:
    """Mean of −log p over the labels that are not −100; position t predicts the label at t + 1. 0 without any label.

    Parameters
    ----------
    logits : float (b, n, vocabulary)
    labels : int (b, n), as `answer_labels` gives them

    Returns
    -------
    loss : float; cache
    """
    predicted = logits[:, :-1]
    following = labels[:, 1:]
    counts = following != IGNORED
    return cross_entropy(predicted, np.where(counts, following, 0), mask=counts)


def answer_cross_entropy_backward(
    dloss: float | np.floating | Float[ndarray, ""], cache: tuple
) -> Float[ndarray, "batch n vocabulary"]:
    """Gradient to the logits; 0 where the next label does not count."""
    dpredicted = cross_entropy_backward(cache, dloss)  # (b, n − 1, vocabulary)
    return np.pad(dpredicted, ((0, 0), (0, 1), (0, 0)))
