"""Batch and layer normalization, forward and backward, over x (b, …, c) with the channels last."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray


def _normalize(x, mean, var, gamma, beta, eps):
    std = np.sqrt(var + eps)
    xhat = (x - mean) / std
    return gamma * xhat + beta, {"xhat": xhat, "std": std, "gamma": gamma}


def _normalize_backward(dy, cache, axes):
    """dx = (g − mean(g) − x̂ · mean(g ⊙ x̂)) / std with g = γ dy: mean and variance depend on x, too."""
    xhat, g = cache["xhat"], dy * cache["gamma"]
    over = tuple(range(dy.ndim - 1))
    dx = (g - g.mean(axes, keepdims=True) - xhat * (g * xhat).mean(axes, keepdims=True)) / cache["std"]
    return dx, (dy * xhat).sum(over), dy.sum(over)


def batch_norm(
    x: Float[ndarray, "*rows channels"],
    gamma: Float[ndarray, " channels"],
    beta: Float[ndarray, " channels"],
    running: tuple[Float[ndarray, " channels"], Float[ndarray, " channels"]],
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    unbiased: bool = True,
) -> tuple[Float[ndarray, "*rows channels"], dict]:
    """Each channel to mean 0 and variance 1 over the batch and all positions (Ioffe & Szegedy 2015, arXiv 1502.03167).

    Parameters
    ----------
    x : float (b, …, c)
    gamma, beta : float (c,)
    running : (mean (c,), var (c,))
        Used when not `training`; while training, the new ones are ``cache["running"]``.
    momentum : float
        Weight of the *new* batch, as in PyTorch; Keras's 0.99 is the weight of the old: momentum = 0.01.
    unbiased : bool
        Running variance over n − 1, as in PyTorch; Keras divides by n. Outputs always use n.

    Returns
    -------
    y : like x; cache
    """
    if not training:
        mean, var = running
        y, cache = _normalize(x, mean, var, gamma, beta, eps)
        return y, cache | {"running": running, "training": False}
    axes = tuple(range(x.ndim - 1))
    mean, var, n = x.mean(axes), x.var(axes), x[..., 0].size
    if n < 2:
        raise ValueError("x: batch norm needs at least 2 values per channel to train on, got 1; enlarge the batch")
    y, cache = _normalize(x, mean, var, gamma, beta, eps)
    batch = mean, var * n / (n - 1) if unbiased else var
    new = tuple((1 - momentum) * old + momentum * now for old, now in zip(running, batch, strict=True))
    return y, cache | {"running": new, "training": True}


def batch_norm_backward(
    dy: Float[ndarray, "*rows channels"], cache: dict
) -> tuple[Float[ndarray, "*rows channels"], Float[ndarray, " channels"], Float[ndarray, " channels"]]:
    """Gradients dx, dgamma, dbeta."""
    dx, dgamma, dbeta = _normalize_backward(dy, cache, tuple(range(dy.ndim - 1)))
    return (dx if cache["training"] else dy * cache["gamma"] / cache["std"]), dgamma, dbeta


def layer_norm(
    x: Float[ndarray, "*rows d"], gamma: Float[ndarray, " d"], beta: Float[ndarray, " d"], eps: float = 1e-5
) -> tuple[Float[ndarray, "*rows d"], dict]:
    """Each vector of x (…, d) to mean 0 and variance 1, then · γ + β (Ba et al. 2016, arXiv 1607.06450).

    PyTorch's ε is 1e-5, Keras's 1e-3, BERT's 1e-12.
    """
    return _normalize(x, x.mean(-1, keepdims=True), x.var(-1, keepdims=True), gamma, beta, eps)


def layer_norm_backward(
    dy: Float[ndarray, "*rows d"], cache: dict
) -> tuple[Float[ndarray, "*rows d"], Float[ndarray, " d"], Float[ndarray, " d"]]:
    """Gradients dx, dgamma, dbeta."""
    return _normalize_backward(dy, cache, -1)
