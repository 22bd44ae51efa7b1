"""From a picture to tokens of a language model, and the loss of what it answers: formulas of vision–language models."""

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from mmcourse.torch.losses import cross_entropy

IGNORED = -100  # a label that does not count, as in PyTorch and transformers


def merge_patches(grid: Float[Tensor, "batch rows columns d"], size: int) -> Float[Tensor, "batch n width"]:
    """Each size × size neighboring cells become one token: fewer and wider tokens, and nothing is lost.

    grid: (b, rows, columns, d); size: a divisor of rows and columns. Returns (b, rows/size · columns/size,
    size · size · d), row by row; inside a token row by row, too.
    """
    b, rows, columns, d = grid.shape
    if rows % size or columns % size:
        raise ValueError(f"size: {size} does not divide a grid of {rows} × {columns}; choose a divisor of both")
    blocks = grid.reshape(b, rows // size, size, columns // size, size, d)
    blocks = blocks.permute(0, 1, 3, 2, 4, 5)  # (b, rows/size, columns/size, size, size, d)
    return blocks.reshape(b, (rows // size) * (columns // size), size * size * d)


def insert_visual_tokens(
    embeddings: Float[Tensor, "batch n d"], is_image: Bool[Tensor, "batch n"], visual: Float[Tensor, "batch m d"]
) -> Float[Tensor, "batch n d"]:
    """The j-th `<image>` placeholder of a text becomes the j-th visual token of its picture (LLaVA, arXiv 2304.08485).

    embeddings: (b, n, d), of all pieces; is_image: bool (b, n), True at the placeholders, m in each row; visual:
    (b, m, d). Returns (b, n, d).
    """
    counts = is_image.sum(dim=1)
    if (counts != visual.shape[1]).any():
        raise ValueError(
            f"is_image: expected {visual.shape[1]} placeholders in each text, one for each visual token; "
            f"got {counts.tolist()}"
        )
    number = (is_image.cumsum(dim=1) - 1).clamp(min=0)  # which placeholder of its row, from 0
    placed = visual.gather(1, number[..., None].expand_as(embeddings))  # (b, n, d)
    return torch.where(is_image[..., None], placed, embeddings)


def answer_labels(
    ids: Integer[Tensor, "batch n"], prompt_lengths: Integer[Tensor, " batch"], padding_mask: Bool[Tensor, "batch n"]
) -> Integer[Tensor, "batch n"]:
    """What is trained: the answer with its end. Prompt and padding become −100. Not shifted: the loss does that.

    ids: int64 (b, n), picture, question and answer; prompt_lengths: int64 (b,), pieces before the answer; padding_mask:
    bool (b, n), True = real. Returns int64 (b, n).
    """
    in_answer = torch.arange(ids.shape[1], device=ids.device) >= prompt_lengths[:, None]  # (b, n)
    return ids.masked_fill(~(in_answer & padding_mask), IGNORED)


def answer_cross_entropy(
    logits: Float[Tensor, "batch n vocabulary"], labels: Integer[Tensor, "batch n"]
) -> Float[Tensor, ""]:
    """Mean of −log p over the labels that are not −100; position t predicts the label at t + 1. 0 without any label.

    logits: (b, n, vocabulary); labels: int64 (b, n), as `answer_labels` gives them. Returns a scalar.
    """
    predicted = logits[:, :-1]
    following = labels[:, 1:]
    counts = following != IGNORED
    return cross_entropy(predicted, following.masked_fill(~counts, 0), mask=counts)
