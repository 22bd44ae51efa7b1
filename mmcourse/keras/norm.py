"""Batch and layer normalization written out. Equal to `keras.layers.BatchNormalization` and `LayerNormalization`."""

from typing import Any

import keras
from jaxtyping import Float
from keras import ops


@keras.saving.register_keras_serializable("mmcourse")
class BatchNorm(keras.layers.Layer):
    """Each channel to mean 0 and variance 1 over the batch and all positions (Ioffe & Szegedy 2015, arXiv 1502.03167).

    Parameters
    ----------
    dim : int
        Channels, on the last axis.
    momentum : float
        Weight of the *new* batch in the running statistics: Keras's own argument is 1 minus this.
    unbiased : bool
        Running variance over n − 1 (PyTorch) or n (Keras). Outputs always use n.
    """

    def __init__(self, dim: int, momentum: float = 0.1, eps: float = 1e-5, unbiased: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.config = {"dim": dim, "momentum": momentum, "eps": eps, "unbiased": unbiased}

    def build(self, shape):
        """Make γ, β and the running statistics."""
        dim = (self.config["dim"],)
        self.gamma = self.add_weight(shape=dim, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=dim, initializer="zeros", name="beta")
        self.mean = self.add_weight(shape=dim, initializer="zeros", trainable=False, name="mean")
        self.var = self.add_weight(shape=dim, initializer="ones", trainable=False, name="var")

    def call(self, x: Float[Any, "*rows channels"], training: bool = False) -> Float[Any, "*rows channels"]:
        """(b, …, c) → the same shape."""
        mean, var = self.mean, self.var
        if training:
            axes = tuple(range(len(x.shape) - 1))
            mean, var = ops.mean(x, axes), ops.var(x, axes)
            self.update(mean, var, ops.cast(ops.size(x) // x.shape[-1], x.dtype))
        return self.gamma * (x - mean) / ops.sqrt(var + self.config["eps"]) + self.beta

    def update(self, mean: Float[Any, " channels"], var: Float[Any, " channels"], n: Any) -> None:
        """Move the running statistics towards those of a batch of n values per channel."""
        if self.config["unbiased"]:
            var = var * n / ops.maximum(n - 1, 1)
        for running, now in ((self.mean, mean), (self.var, var)):
            running.assign(running + self.config["momentum"] * (ops.stop_gradient(now) - running))

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), **self.config}


@keras.saving.register_keras_serializable("mmcourse")
class LayerNorm(keras.layers.Layer):
    """Each vector (…, dim) to mean 0 and variance 1, then · γ + β (Ba et al. 2016, arXiv 1607.06450)."""

    def __init__(self, dim: int, eps: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        self.config = {"dim": dim, "eps": eps}

    def build(self, shape):
        """Make γ and β."""
        self.gamma = self.add_weight(shape=(self.config["dim"],), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(self.config["dim"],), initializer="zeros", name="beta")

    def call(self, x: Float[Any, "*rows dim"]) -> Float[Any, "*rows dim"]:
        """(…, dim) → the same shape."""
        centered = x - ops.mean(x, -1, keepdims=True)
        var = ops.mean(ops.square(centered), -1, keepdims=True)
        return self.gamma * centered / ops.sqrt(var + self.config["eps"]) + self.beta

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), **self.config}
