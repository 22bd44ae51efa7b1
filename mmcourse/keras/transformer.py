"""Transformer blocks, encoder, decoder and ViT (Vaswani et al. 2017, arXiv 1706.03762; ViT: arXiv 2010.11929).

Post-norm, as in the paper and BERT: x ← norm(x + f(x)). Pre-norm, as in GPT-2 and ViT: x ← x + f(norm(x)), with one
more norm at the end of the stack.
"""

from collections.abc import Callable
from typing import Any

import keras
from jaxtyping import Bool, Float
from keras import ops

from mmcourse.keras.attention import MultiHeadAttention
from mmcourse.keras.layers import gelu


class Configured(keras.layers.Layer):
    """A layer whose `config` dict holds its constructor's arguments."""

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), **self.config}


class Block(Configured):
    """What encoder and decoder blocks share: feed-forward, residuals, norms.

    Parameters
    ----------
    dim, num_heads : int
        Width, and heads that divide it.
    hidden : int or None
        Width inside the feed-forward part; None for 4·dim.
    dropout : float
    pre_norm : bool
    eps : float
        Of the layer norms: 1e-3 in Keras, 1e-12 in BERT and ViT.
    """

    def __init__(self, dim, num_heads, hidden=None, dropout=0.0, pre_norm=True, eps=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.config = {"dim": dim, "num_heads": num_heads, "hidden": hidden or 4 * dim}
        self.config |= {"dropout": dropout, "pre_norm": pre_norm, "eps": eps}
        policy = self.dtype_policy
        self.pre_norm = pre_norm
        self.attention = MultiHeadAttention(dim, num_heads, dropout=dropout, dtype=policy, name="attention")
        self.up = keras.layers.Dense(hidden or 4 * dim, dtype=policy, name="up")
        self.down = keras.layers.Dense(dim, dtype=policy, name="down")
        self.norm1 = keras.layers.LayerNormalization(epsilon=eps, dtype=policy, name="norm1")
        self.norm2 = keras.layers.LayerNormalization(epsilon=eps, dtype=policy, name="norm2")
        self.drop = keras.layers.Dropout(dropout, dtype=policy)

    def build(self, x_shape):
        """Make the weights."""
        for layer in (self.attention, self.up, self.norm1, self.norm2):
            layer.build(x_shape)
        self.down.build((*x_shape[:-1], self.config["hidden"]))

    def residual(
        self, x: Float[Any, "batch n d"], f: Callable, norm: Callable, training: bool | None = None
    ) -> Float[Any, "batch n d"]:
        """x + f(norm(x)), or post-norm norm(x + f(x))."""
        if self.pre_norm:
            return x + self.drop(f(norm(x)), training=training)
        return norm(x + self.drop(f(x), training=training))

    def feed_forward(self, x: Float[Any, "batch n d"]) -> Float[Any, "batch n d"]:
        """up → GELU (exact) → down, at each position alone."""
        return self.down(gelu(self.up(x)))  # TensorFlow's own rounds √2 to float32, in float64 too


@keras.saving.register_keras_serializable("mmcourse")
class EncoderBlock(Block):
    """Self-attention, then feed-forward."""

    def call(
        self,
        x: Float[Any, "batch n d"],
        padding_mask: Bool[Any, "batch n"] | None = None,
        causal: bool = False,
        training: bool | None = None,
    ) -> Float[Any, "batch n d"]:
        """x (b, n, d), padding_mask bool (b, n), True = real → (b, n, d)."""

        def attend(h):
            return self.attention(h, padding_mask=padding_mask, causal=causal, training=training)

        x = self.residual(x, attend, self.norm1, training)
        return self.residual(x, self.feed_forward, self.norm2, training)


@keras.saving.register_keras_serializable("mmcourse")
class DecoderBlock(Block):
    """Causal self-attention, attention over a memory of width `memory_dim`, feed-forward."""

    def __init__(self, dim, num_heads, hidden=None, dropout=0.0, pre_norm=True, eps=1e-5, memory_dim=None, **kwargs):
        super().__init__(dim, num_heads, hidden, dropout, pre_norm, eps, **kwargs)
        self.config["memory_dim"] = memory_dim
        policy = self.dtype_policy
        self.cross = MultiHeadAttention(dim, num_heads, memory_dim, dropout, dtype=policy, name="cross")
        self.norm3 = keras.layers.LayerNormalization(epsilon=eps, dtype=policy, name="norm3")

    def build(self, x_shape, memory_shape):  # type: ignore[override] # Keras passes the shape of every input
        """Make the weights."""
        super().build(x_shape)
        self.cross.build(x_shape, memory_shape)
        self.norm3.build(x_shape)

    def call(
        self,
        x: Float[Any, "batch n d"],
        memory: Float[Any, "batch m d_memory"],
        padding_mask: Bool[Any, "batch n"] | None = None,
        memory_mask: Bool[Any, "batch m"] | None = None,
        training: bool | None = None,
    ) -> Float[Any, "batch n d"]:
        """x (b, n, d), memory (b, m, d_m), masks bool (b, n), (b, m), True = real → (b, n, d)."""

        def attend(h):
            return self.attention(h, padding_mask=padding_mask, causal=True, training=training)

        def cross(h):
            return self.cross(h, memory, padding_mask=memory_mask, training=training)

        x = self.residual(x, attend, self.norm1, training)
        x = self.residual(x, cross, self.norm2, training)
        return self.residual(x, self.feed_forward, self.norm3, training)


class Stack(Configured):
    """`num_layers` blocks, each called with the same further arguments; pre-norm ends with a norm."""

    block: type[Block]

    def __init__(
        self, num_layers, dim, num_heads, hidden=None, dropout=0.0, pre_norm=True, eps=1e-5, memory_dim=None, **kwargs
    ):
        super().__init__(**kwargs)
        block = {"dim": dim, "num_heads": num_heads, "hidden": hidden, "dropout": dropout}
        block |= {"pre_norm": pre_norm, "eps": eps}
        block |= {"memory_dim": memory_dim} if memory_dim else {}
        self.config = {"num_layers": num_layers, **block}
        policy = self.dtype_policy
        self.blocks = [self.block(**block, dtype=policy, name=f"block{i}") for i in range(num_layers)]
        norm = keras.layers.LayerNormalization(epsilon=eps, dtype=policy, name="norm")
        self.norm = norm if pre_norm else None

    def build(self, x_shape, *memory_shape):
        """Make the weights."""
        for block in self.blocks:
            block.build(x_shape, *memory_shape)
        if self.norm is not None:
            self.norm.build(x_shape)


@keras.saving.register_keras_serializable("mmcourse")
class Encoder(Stack):
    """A stack of :class:`EncoderBlock`; with ``causal=True`` it is the body of GPT."""

    block = EncoderBlock

    def build(self, x_shape):
        """Make the weights."""
        super().build(x_shape)

    def call(
        self,
        x: Float[Any, "batch n d"],
        padding_mask: Bool[Any, "batch n"] | None = None,
        causal: bool = False,
        training: bool | None = None,
    ) -> Float[Any, "batch n d"]:
        """As the blocks."""
        for block in self.blocks:
            x = block(x, padding_mask=padding_mask, causal=causal, training=training)
        return x if self.norm is None else self.norm(x)


@keras.saving.register_keras_serializable("mmcourse")
class Decoder(Stack):
    """A stack of :class:`DecoderBlock` over one memory."""

    block = DecoderBlock

    def build(self, x_shape, memory_shape):
        """Make the weights."""
        super().build(x_shape, memory_shape)

    def call(
        self,
        x: Float[Any, "batch n d"],
        memory: Float[Any, "batch m d_memory"],
        padding_mask: Bool[Any, "batch n"] | None = None,
        memory_mask: Bool[Any, "batch m"] | None = None,
        training: bool | None = None,
    ) -> Float[Any, "batch n d"]:
        """As the blocks."""
        for block in self.blocks:
            x = block(x, memory, padding_mask=padding_mask, memory_mask=memory_mask, training=training)
        return x if self.norm is None else self.norm(x)


def patchify(
    image: Float[Any, "batch height width channels"], size: int
) -> Float[Any, "batch n {size}*{size}*channels"]:
    """Cut (b, h, w, c) into squares, row by row: (b, h/size · w/size, size·size·c)."""
    _, h, w, c = image.shape
    if h % size or w % size:
        raise ValueError(f"image: {h}×{w} cannot be cut into {size}×{size} patches; resize or pad it first")
    grid = ops.swapaxes(ops.reshape(image, (-1, h // size, size, w // size, size, c)), 2, 3)
    return ops.reshape(grid, (-1, (h // size) * (w // size), size * size * c))


@keras.saving.register_keras_serializable("mmcourse")
class VisionTransformer(Configured):
    """ViT: patches → linear → [cls] in front, positions added → pre-norm encoder.

    Parameters
    ----------
    image_size, patch_size, channels : int
        Square images; the patch divides the image.
    num_layers, dim, num_heads, hidden, dropout, eps
        Of the encoder.
    """

    def __init__(
        self, image_size, patch_size, channels, num_layers, dim, num_heads, hidden=None, dropout=0.0, eps=1e-6, **kwargs
    ):
        super().__init__(**kwargs)
        self.config = {
            "image_size": image_size,
            "patch_size": patch_size,
            "channels": channels,
            "num_layers": num_layers,
        }
        self.config |= {"dim": dim, "num_heads": num_heads, "hidden": hidden, "dropout": dropout, "eps": eps}
        policy = self.dtype_policy
        self.patch = keras.layers.Dense(dim, dtype=policy, name="patch")
        self.encoder = Encoder(num_layers, dim, num_heads, hidden, dropout, eps=eps, dtype=policy, name="encoder")

    def build(self, shape):
        """Make the weights."""
        c = self.config
        n, dim = (c["image_size"] // c["patch_size"]) ** 2, c["dim"]
        self.patch.build((None, n, c["patch_size"] ** 2 * c["channels"]))
        self.cls = self.add_weight(shape=(dim,), initializer="zeros", name="cls")
        normal = keras.initializers.RandomNormal(stddev=0.02)
        self.positions = self.add_weight(shape=(1 + n, dim), initializer=normal, name="positions")
        self.encoder.build((None, 1 + n, dim))

    def call(
        self, image: Float[Any, "batch height width channels"], training: bool | None = None
    ) -> Float[Any, "batch tokens d"]:
        """(b, h, w, c) → (b, 1 + n, dim), the class token first."""
        x = self.patch(patchify(image, self.config["patch_size"]))  # (b, n, dim)
        cls = ops.broadcast_to(self.cls, (ops.shape(x)[0], 1, self.config["dim"]))
        return self.encoder(ops.concatenate([cls, x], 1) + self.positions, training=training)
