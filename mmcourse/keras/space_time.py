"""What works on space and time at once, on videos (b, t, h, w, c): 3-D and (2+1)-D convolution, attention along time.

A 3-D convolution is a sum of 2-D ones: frame t of the output adds up what kernel k sees in frame t + k (Tran et al.
2015, arXiv 1412.0767). `keras.layers.Conv3D` is the fast one. (2+1)D does space and time one after the other (Tran
et al. 2018, arXiv 1711.11248). Attention along time joins the same position of all frames, attention within frames
the positions of each (Bertasius et al. 2021, arXiv 2102.05095).
"""

from typing import Any

import keras
from jaxtyping import Float
from keras import ops

from mmcourse.keras.attention import MultiHeadAttention
from mmcourse.keras.convolution import conv2d

Size3 = int | tuple[int, int, int]  # of all three axes, or of time, height and width


def conv3d(
    x: Float[Any, "batch time height width in_channels"],
    w: Float[Any, "kt kh kw in_channels out_channels"],
    b: Float[Any, " out_channels"] | None = None,
    stride: Size3 = 1,
    padding: Size3 = 0,
) -> Float[Any, "batch out_time out_height out_width out_channels"]:
    """Cross-correlation over time and space, as a sum of 2-D convolutions.

    Parameters
    ----------
    x : float (b, t, h, w, in_channels); w : float (kt, kh, kw, in_channels, out_channels)
    b : float (out_channels,) or None
    stride, padding : int, or (time, height, width); zeros

    Returns
    -------
    y : float (b, ot, oh, ow, out_channels)
    """
    if len(x.shape) != 5 or x.shape[-1] != w.shape[3]:
        raise ValueError(f"x: expected (b, t, h, w, {w.shape[3]}) for a kernel {tuple(w.shape)}, got {tuple(x.shape)}")
    (st, sh, sw), (pt, ph, pw) = triple(stride), triple(padding)
    kt, shape = w.shape[0], tuple(x.shape[2:])
    padded = ops.pad(x, ((0, 0), (pt, pt), (0, 0), (0, 0), (0, 0)))
    ot = (padded.shape[1] - kt) // st + 1
    total: Any = 0.0
    for k in range(kt):
        frames = ops.reshape(padded[:, k : k + (ot - 1) * st + 1 : st], (-1, *shape))  # (b·ot, h, w, c)
        total = total + conv2d(frames, w[k], None, (sh, sw), (ph, pw))
    y = ops.reshape(total, (-1, ot, *total.shape[1:]))
    return y if b is None else y + b


@keras.saving.register_keras_serializable("mmcourse")
class Conv3d(keras.layers.Layer):
    """:func:`conv3d` with its weights, started as Keras does: Glorot uniform, bias zero."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size3,
        stride: Size3 = 1,
        padding: Size3 = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.config: dict[str, Any] = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "kernel_size": triple(kernel_size),
        }
        self.config |= {"stride": stride, "padding": padding}

    def build(self, shape):
        """Make kernel (kt, kh, kw, in_channels, out_channels) and bias (out_channels,)."""
        c = self.config
        self.kernel = self.add_weight(shape=(*c["kernel_size"], c["in_channels"], c["out_channels"]), name="kernel")
        self.bias = self.add_weight(shape=(c["out_channels"],), initializer="zeros", name="bias")

    def call(
        self, x: Float[Any, "batch time height width in_channels"]
    ) -> Float[Any, "batch out_time out_height out_width out_channels"]:
        """(b, t, h, w, in_channels) → (b, ot, oh, ow, out_channels)."""
        return conv3d(x, self.kernel, self.bias, self.config["stride"], self.config["padding"])

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), **self.config}


def mid_channels(in_channels: int, out_channels: int, kernel_size: int = 3) -> int:
    """Channels between space and time for which (2+1)D has at most as many weights as 3-D (biases left out)."""
    k = kernel_size
    return max(1, k**3 * in_channels * out_channels // (k**2 * in_channels + k * out_channels))


@keras.saving.register_keras_serializable("mmcourse")
class Conv2Plus1d(keras.layers.Layer):
    """A convolution within each frame, ReLU, a convolution along time; odd kernels, padded so that sizes stay."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: Size3 = 1,
        mid: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        k, (st, sh, sw) = kernel_size, triple(stride)
        mid = mid_channels(in_channels, out_channels, k) if mid is None else mid
        self.config: dict[str, Any] = {"in_channels": in_channels, "out_channels": out_channels, "kernel_size": k}
        self.config |= {"stride": stride, "mid": mid}
        space = (1, k, k), (1, sh, sw), (0, k // 2, k // 2)
        time = (k, 1, 1), (st, 1, 1), (k // 2, 0, 0)
        self.space = Conv3d(in_channels, mid, *space, dtype=self.dtype_policy)
        self.time = Conv3d(mid, out_channels, *time, dtype=self.dtype_policy)

    def build(self, shape):
        """Make the weights of both."""
        self.space.build(shape)
        self.time.build(None)

    def call(
        self, x: Float[Any, "batch time height width in_channels"]
    ) -> Float[Any, "batch out_time out_height out_width out_channels"]:
        """(b, t, h, w, in_channels) → (b, ot, oh, ow, out_channels)."""
        return self.time(ops.relu(self.space(x)))

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), **self.config}


@keras.saving.register_keras_serializable("mmcourse")
class TemporalAttention(keras.layers.Layer):
    """Each position of a frame attends to the same position in all frames, and to no other."""

    def __init__(self, dim: int, num_heads: int, **kwargs):
        super().__init__(**kwargs)
        self.config = {"dim": dim, "num_heads": num_heads}
        self.attention = MultiHeadAttention(dim, num_heads, dtype=self.dtype_policy)

    def build(self, shape):
        """Make the weights of the attention."""
        self.attention.build((None, shape[1], shape[-1]))

    def call(self, x: Float[Any, "batch time positions dim"]) -> Float[Any, "batch time positions dim"]:
        """(b, t, n, d) → (b, t, n, d)."""
        _, t, n, d = x.shape
        rows = ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, t, d))  # (b·n, t, d)
        y = ops.reshape(self.attention(rows), (-1, n, t, d))
        return ops.transpose(y, (0, 2, 1, 3))

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), **self.config}


class SpatialAttention(keras.layers.Layer):
    """Each position attends to the positions of its own frame, and to no other frame."""

    def __init__(self, dim: int, num_heads: int, **kwargs):
        super().__init__(**kwargs)
        self.config = {"dim": dim, "num_heads": num_heads}
        self.attention = MultiHeadAttention(dim, num_heads, dtype=self.dtype_policy)

    def build(self, shape):
        """Make the weights of the attention."""
        self.attention.build((None, shape[2], shape[-1]))

    def call(self, x: Float[Any, "batch time positions dim"]) -> Float[Any, "batch time positions dim"]:
        """(b, t, n, d) → (b, t, n, d)."""
        _, t, n, d = x.shape
        frames = ops.reshape(x, (-1, n, d))  # (b·t, n, d)
        return ops.reshape(self.attention(frames), (-1, t, n, d))

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), **self.config}


def add_class_token(
    x: Float[Any, "batch time positions dim"], token: Float[Any, " dim"]
) -> Float[Any, "batch tokens dim"]:
    """(b, t, n, d), (d,) → (b, 1 + t·n, d): one class token for the whole film, not one for each of its frames."""
    b, t, n, d = x.shape
    first = ops.broadcast_to(token, (b, 1, d))
    return ops.concatenate([first, ops.reshape(x, (b, t * n, d))], axis=1)


def triple(value: Any) -> tuple:
    """3 → (3, 3, 3)."""
    return (value, value, value) if isinstance(value, int) else tuple(value)
