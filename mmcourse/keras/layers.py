"""Small layers written out. Equal to `keras.layers.Dense`, `Embedding`, `keras.activations.relu`, `gelu`."""

import math
from typing import Any

import keras
from jaxtyping import Float, Integer
from keras import ops

from mmcourse.keras.convolution import Conv2d, avg_pool2d, conv2d, max_pool2d  # noqa: F401 — one place to import from
from mmcourse.keras.norm import BatchNorm, LayerNorm  # noqa: F401


@keras.saving.register_keras_serializable("mmcourse")
class Linear(keras.layers.Layer):
    """y = x W + b. Keras keeps W as (dim, width) and starts it Glorot uniform, b at zero."""

    def __init__(self, dim: int, width: int, **kwargs):
        super().__init__(**kwargs)
        self.config = {"dim": dim, "width": width}

    def build(self, shape):
        """Make the weights."""
        self.kernel = self.add_weight(shape=(self.config["dim"], self.config["width"]), name="kernel")
        self.bias = self.add_weight(shape=(self.config["width"],), initializer="zeros", name="bias")

    def call(self, x: Float[Any, "*rows dim"]) -> Float[Any, "*rows width"]:
        """(…, dim) → (…, width)."""
        return ops.matmul(x, self.kernel) + self.bias

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), **self.config}


@keras.saving.register_keras_serializable("mmcourse")
class Embedding(keras.layers.Layer):
    """A table of one vector per id."""

    def __init__(self, count: int, dim: int, **kwargs):
        super().__init__(**kwargs)
        self.config = {"count": count, "dim": dim}

    def build(self, shape):
        """Make the table, uniform within ±0.05 as Keras does."""
        shape = (self.config["count"], self.config["dim"])
        self.embeddings = self.add_weight(shape=shape, initializer="uniform", name="embeddings")

    def call(self, ids: Integer[Any, "*rows"]) -> Float[Any, "*rows dim"]:
        """int (…) → (…, dim)."""
        return ops.take(self.embeddings, ids, axis=0)

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), **self.config}


def relu(x: Float[Any, "*shape"]) -> Float[Any, "*shape"]:
    """max(x, 0)."""
    return ops.where(x > 0, x, ops.zeros_like(x))


def gelu(x: Float[Any, "*shape"], approximate: bool = False) -> Float[Any, "*shape"]:
    """x·Φ(x), or its tanh approximation (Hendrycks & Gimpel 2016, arXiv 1606.08415)."""
    if approximate:
        return 0.5 * x * (1 + ops.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + ops.erf(x / math.sqrt(2)))
