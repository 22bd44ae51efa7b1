"""Small encoders, from a modality's features to a vector; forward only. Weights are a dict by dotted name.

Each has two halves: ``*_features`` gives a sequence (b, t, d) and the mask of its real steps, for methods that attend;
the encoder itself makes one vector of it.
"""

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from mmcourse.numpy.fusion.sums import linear
from mmcourse.numpy.layers import conv2d
from mmcourse.numpy.masks import all_real, masked_mean


def text_encoder(
    ids: Integer[ndarray, "batch time"], p: dict[str, ndarray], padding_mask: Bool[ndarray, "batch time"] | None = None
) -> Float[ndarray, "batch width"]:
    """Mean of the real words' vectors, then relu(W·+b), then a linear map.

    Parameters
    ----------
    ids : int (b, t); padding_mask : bool (b, t), True = real
    p : ``embedding.w`` (V, width), ``hidden.w``, ``out.w`` (width, width) and their ``.b``

    Returns
    -------
    float (b, width)
    """
    mask = all_real(ids) if padding_mask is None else padding_mask
    mean = masked_mean(p["embedding.w"][ids], mask)
    return linear(np.maximum(linear(mean, p, "hidden"), 0), p, "out")


def stack_frames(
    x: Float[ndarray, "batch time n"], mask: Bool[ndarray, "batch time"], size: int = 2
) -> tuple[Float[ndarray, "batch steps {size}*n"], Bool[ndarray, "batch steps"]]:
    """Every `size` frames in a row as one step: (b, t, n) → (b, ⌈t/size⌉, size·n), real where its first frame is.

    Padded frames become zeros, so that the amount of padding cannot change a step.
    """
    x = np.where(mask[..., None], x, 0)
    fill = -x.shape[1] % size
    x, mask = np.pad(x, ((0, 0), (0, fill), (0, 0))), np.pad(mask, ((0, 0), (0, fill)))
    return x.reshape(len(x), -1, size * x.shape[-1]), mask[:, ::size]


def audio_features(
    x: Float[ndarray, "batch time bands"],
    p: dict[str, ndarray],
    padding_mask: Bool[ndarray, "batch time"] | None = None,
) -> tuple[Float[ndarray, "batch steps channels"], Bool[ndarray, "batch steps"]]:
    """relu(W[two frames] + b), a convolution with stride = kernel = 2: (b, t, bands) → (b, ⌈t/2⌉, channels), mask."""
    mask = all_real(x) if padding_mask is None else padding_mask
    frames, mask = stack_frames(x, mask)
    return np.maximum(linear(frames, p, "frames"), 0), mask


def statistics_pooling(
    steps: Float[ndarray, "batch time channels"], mask: Bool[ndarray, "batch time"]
) -> Float[ndarray, "batch 2*channels+1"]:
    """Mean and standard deviation over the real steps, and how many there are: (b, t, c) → (b, 2c + 1).

    The number n goes in as (n − 50)/10, about as large as the rest for an utterance of a second or two.
    """
    mean = masked_mean(steps, mask)
    deviation = np.sqrt(masked_mean((steps - mean[:, None]) ** 2, mask) + 1e-5)
    return np.concatenate([mean, deviation, (mask.sum(1, keepdims=True) - 50) / 10], -1)


def audio_encoder(
    x: Float[ndarray, "batch time bands"],
    p: dict[str, ndarray],
    padding_mask: Bool[ndarray, "batch time"] | None = None,
) -> Float[ndarray, "batch width"]:
    """How a voice sounds on average, how much it varies, how long it takes; then relu(W·+b) and a linear map.

    Parameters
    ----------
    x : float (b, t, bands), log-mel; padding_mask : bool (b, t), True = real
    p : ``frames.w`` (2·bands, channels), ``hidden.w`` (2·channels + 1, width), ``out.w`` (width, width); ``.b``

    Returns
    -------
    float (b, width)
    """
    hidden = linear(statistics_pooling(*audio_features(x, p, padding_mask)), p, "hidden")
    return linear(np.maximum(hidden, 0), p, "out")


def image_features(
    x: Float[ndarray, "batch height width colors"], p: dict[str, ndarray]
) -> Float[ndarray, "batch patches channels"]:
    """Two 3×3 convolutions with stride 2 and relu: (b, h, w, colors) → patches (b, h/4·w/4, channels), row by row."""
    x = 4 * (x - 0.5)  # from [0, 1] to about mean 0 and variance 1
    for layer in range(2):
        x = conv2d(x, p[f"convolutions.{layer}.w"], p[f"convolutions.{layer}.b"], stride=2, padding=1)[0]
        x = np.maximum(x, 0)
    return x.reshape(len(x), -1, x.shape[-1])


def image_encoder(
    x: Float[ndarray, "batch height width colors"], p: dict[str, ndarray]
) -> Float[ndarray, "batch features"]:
    """All patches side by side, then a linear map.

    Parameters
    ----------
    x : float (b, h, w, colors) in [0, 1]
    p : ``convolutions.0.w`` (3, 3, colors, c₁), ``convolutions.1.w`` (3, 3, c₁, c₂),
        ``out.w`` (h/4·w/4·c₂, width) and their ``.b``

    Returns
    -------
    float (b, width)
    """
    return linear(image_features(x, p).reshape(len(x), -1), p, "out")
