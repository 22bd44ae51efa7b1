"""Convolution and pooling written out, on images (b, h, w, c). Equal to `keras.layers.Conv2D`, which is faster."""

from typing import Any

import keras
from jaxtyping import Float
from keras import ops

Size = int | tuple[int, int]  # of both axes, or of height and width
Padding = int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]  # …, or of the four sides


def conv2d(
    x: Float[Any, "batch height width in_channels"],
    w: Float[Any, "kh kw in_channels out_channels"],
    b: Float[Any, " out_channels"] | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
) -> Float[Any, "batch out_height out_width out_channels"]:
    """Cross-correlation as a sum of shifted images: Σ x[i·s + m·d, j·s + n·d] · w[m, n].

    Parameters
    ----------
    x : float (b, h, w, in_channels); w : float (kh, kw, in_channels, out_channels); b : float (out_channels,) or None
    stride, dilation : int or (int, int)
    padding : int, (int, int), or ((top, bottom), (left, right)); zeros

    Returns
    -------
    y : float (b, oh, ow, out_channels)
    """
    if len(x.shape) != 4 or x.shape[-1] != w.shape[2]:
        raise ValueError(f"x: expected (b, h, w, {w.shape[2]}) for a kernel {tuple(w.shape)}, got {tuple(x.shape)}")
    kernel, sides = tuple(w.shape[:2]), tuple(map(pair, pair(padding)))
    x = ops.pad(x, ((0, 0), *sides, (0, 0)))
    taps = shifted(x, kernel, pair(stride), pair(dilation))
    y = sum(ops.matmul(tap, w[m, n]) for (m, n), tap in taps.items())
    return y if b is None else y + b


def shifted(
    x: Float[Any, "batch height width channels"],
    kernel: tuple[int, ...],
    stride: tuple[int, ...] = (1, 1),
    dilation: tuple[int, ...] = (1, 1),
) -> dict[tuple[int, int], Float[Any, "batch out_height out_width channels"]]:
    """What each place (m, n) of the kernel sees: dict of (b, oh, ow, c)."""
    (kh, kw), (sh, sw), (dh, dw) = kernel, stride, dilation
    height, width = x.shape[1] - (kh - 1) * dh, x.shape[2] - (kw - 1) * dw
    if height < 1 or width < 1:
        raise ValueError(f"kernel: {kernel} with dilation {dilation} is larger than the padded image {x.shape[1:3]}")
    places = [(m, n) for m in range(kh) for n in range(kw)]
    return {(m, n): x[:, m * dh : m * dh + height : sh, n * dw : n * dw + width : sw] for m, n in places}


def max_pool2d(
    x: Float[Any, "batch height width channels"], size: Size = 2, stride: Size | None = None
) -> Float[Any, "batch out_height out_width channels"]:
    """Largest value under each window of x (b, h, w, c); of equals, the first gets the gradient."""
    taps = ops.stack(list(shifted(x, pair(size), pair(stride or size)).values()), -1)  # (b, oh, ow, c, kh·kw)
    return ops.take_along_axis(taps, ops.expand_dims(ops.argmax(taps, -1), -1), -1)[..., 0]


def avg_pool2d(
    x: Float[Any, "batch height width channels"], size: Size = 2, stride: Size | None = None
) -> Float[Any, "batch out_height out_width channels"]:
    """Mean under each window of x (b, h, w, c)."""
    taps = list(shifted(x, pair(size), pair(stride or size)).values())
    return sum(taps) / len(taps)


@keras.saving.register_keras_serializable("mmcourse")
class Conv2d(keras.layers.Layer):
    """:func:`conv2d` with its weights, started as Keras does: Glorot uniform, bias zero."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.config: dict[str, Any] = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "kernel_size": pair(kernel_size),
        }
        self.config |= {"stride": stride, "padding": padding, "dilation": dilation}

    def build(self, shape):
        """Make kernel (kh, kw, in_channels, out_channels) and bias (out_channels,)."""
        c = self.config
        self.kernel = self.add_weight(shape=(*c["kernel_size"], c["in_channels"], c["out_channels"]), name="kernel")
        self.bias = self.add_weight(shape=(c["out_channels"],), initializer="zeros", name="bias")

    def call(
        self, x: Float[Any, "batch height width in_channels"]
    ) -> Float[Any, "batch out_height out_width out_channels"]:
        """(b, h, w, in_channels) → (b, oh, ow, out_channels)."""
        c = self.config
        return conv2d(x, self.kernel, self.bias, c["stride"], c["padding"], c["dilation"])

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), **self.config}


def pair(value: Any) -> tuple:
    """3 → (3, 3)."""
    return (value, value) if isinstance(value, int) else tuple(value)
