"""RNN, LSTM and GRU: cells, sequences and backpropagation through time.

A cell is ``new_state, cache = cell(x, state, p)`` and ``dx, dstate, dp = cell_backward(dnew_state, cache)``. A state
is a tuple of (b, d) arrays whose first is the output: (h,) or, for the LSTM, (h, c). Parameters p: ``input.w``
(d_in, k·d), ``input.b`` (k·d,), ``hidden.w`` (d, k·d), and for the GRU ``hidden.b``, with k = 1, 4, 3 gates in
PyTorch's order: LSTM i, f, g, o; GRU r, z, n (Keras has z, r, h).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from mmcourse.numpy.layers import linear, linear_backward, sigmoid

State = tuple[Float[ndarray, "batch d"], ...]  # (h,), or (h, c) for the LSTM
Gradients = Sequence[Float[ndarray, "batch d"]]  # one of each array in a state
Weights = dict[str, ndarray]  # by dotted name


def rnn_cell(x: Float[ndarray, "batch d_in"], state: State, p: Weights) -> tuple[State, dict]:
    """h' = tanh(x W + b + h U) (Elman 1990). x (b, d_in), state (h (b, d),)."""
    from_x, cache_x = linear(x, p["input.w"], p["input.b"])
    from_h, cache_h = linear(state[0], p["hidden.w"])
    h = np.tanh(from_x + from_h)
    return (h,), {"x": cache_x, "h": cache_h, "new": h}


def rnn_cell_backward(dstate: Gradients, cache: dict) -> tuple[Float[ndarray, "batch d_in"], State, Weights]:
    """tanh' = 1 − h'²: every step back multiplies by it and by Uᵀ, hence vanishing and exploding gradients."""
    dsum = dstate[0] * (1 - cache["new"] ** 2)
    dx, dw, db = linear_backward(dsum, cache["x"])
    dh, du, _ = linear_backward(dsum, cache["h"])
    return dx, (dh,), {"input.w": dw, "input.b": db, "hidden.w": du}


def lstm_cell(x: Float[ndarray, "batch d_in"], state: State, p: Weights) -> tuple[State, dict]:
    """c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c') with i, f, o = σ(·), g = tanh(·) (Hochreiter & Schmidhuber 1997)."""
    h, c = state
    from_x, cache_x = linear(x, p["input.w"], p["input.b"])
    from_h, cache_h = linear(h, p["hidden.w"])
    i, f, g, o = np.split(from_x + from_h, 4, axis=-1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    new_c = f * c + i * g
    cache = {"x": cache_x, "h": cache_h, "gates": (i, f, g, o), "c": c, "tanh_c": np.tanh(new_c)}
    return (o * cache["tanh_c"], new_c), cache


def lstm_cell_backward(dstate: Gradients, cache: dict) -> tuple[Float[ndarray, "batch d_in"], State, Weights]:
    """The way back through c' is multiplied by f alone: where f ≈ 1, the gradient does not vanish."""
    dh_new, dc_new = dstate
    i, f, g, o = cache["gates"]
    dc = dc_new + dh_new * o * (1 - cache["tanh_c"] ** 2)
    di, df, dg, do = dc * g, dc * cache["c"], dc * i, dh_new * cache["tanh_c"]
    dsum = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)], -1)
    dx, dw, db = linear_backward(dsum, cache["x"])
    dh, du, _ = linear_backward(dsum, cache["h"])
    return dx, (dh, dc * f), {"input.w": dw, "input.b": db, "hidden.w": du}


def gru_cell(x: Float[ndarray, "batch d_in"], state: State, p: Weights) -> tuple[State, dict]:
    """h' = (1 − z) ⊙ n + z ⊙ h with n = tanh(x W_n + b_n + r ⊙ (h U_n + c_n)) (Cho et al. 2014, arXiv 1406.1078).

    The reset gate r acts after the product h U_n, as in PyTorch and in Keras's ``reset_after=True``; the paper has
    (r ⊙ h) U_n.
    """
    h = state[0]
    from_x, cache_x = linear(x, p["input.w"], p["input.b"])
    from_h, cache_h = linear(h, p["hidden.w"], p["hidden.b"])
    (xr, xz, xn), (hr, hz, hn) = np.split(from_x, 3, axis=-1), np.split(from_h, 3, axis=-1)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    n = np.tanh(xn + r * hn)
    return ((1 - z) * n + z * h,), {"x": cache_x, "h": cache_h, "gates": (r, z, n), "hn": hn, "old": h}


def gru_cell_backward(dstate: Gradients, cache: dict) -> tuple[Float[ndarray, "batch d_in"], State, Weights]:
    """Three ways back to h: kept by z, through the gates, and through the candidate n."""
    (dh_new,), (r, z, n) = dstate, cache["gates"]
    dn = dh_new * (1 - z) * (1 - n**2)  # before the tanh
    dz = dh_new * (cache["old"] - n) * z * (1 - z)
    dr = dn * cache["hn"] * r * (1 - r)
    dx, dw, db = linear_backward(np.concatenate([dr, dz, dn], -1), cache["x"])
    dh, du, dc = linear_backward(np.concatenate([dr, dz, dn * r], -1), cache["h"])
    return dx, (dh + dh_new * z,), {"input.w": dw, "input.b": db, "hidden.w": du, "hidden.b": dc}


CELLS = {
    "rnn": (rnn_cell, rnn_cell_backward, 1),
    "lstm": (lstm_cell, lstm_cell_backward, 2),
    "gru": (gru_cell, gru_cell_backward, 1),
}


def recurrent(
    kind: str,
    x: Float[ndarray, "batch time d_in"],
    p: Weights,
    padding_mask: Bool[ndarray, "batch time"] | None = None,
    state: State | None = None,
) -> tuple[Float[ndarray, "batch time d"], dict]:
    """Run a cell along time.

    Parameters
    ----------
    kind : "rnn", "lstm" or "gru"
    x : float (b, t, d_in)
    padding_mask : bool (b, t) or None
        True = real. At a padded step the state stays and the output is 0, as with PyTorch's packed sequences; Keras
        repeats the last output instead (``zero_output_for_mask=False``).
    state : tuple of (b, d) or None for zeros

    Returns
    -------
    y : (b, t, d); cache with ``last``, the state after each sample's last real step
    """
    if kind not in CELLS:
        raise ValueError(f"kind: expected one of {', '.join(CELLS)}, got {kind!r}")
    cell, _, parts = CELLS[kind]
    b, t, _ = x.shape
    if state is None:
        state = tuple(np.zeros((b, p["hidden.w"].shape[0]), x.dtype) for _ in range(parts))
    keep = np.ones((b, t, 1), bool) if padding_mask is None else np.asarray(padding_mask)[..., None]
    y, caches = [], []
    for step in range(t):
        new, cache = cell(x[:, step], state, p)
        state = tuple(np.where(keep[:, step], n, old) for n, old in zip(new, state, strict=True))
        y.append(state[0] * keep[:, step])
        caches.append(cache)
    return np.stack(y, 1), {"kind": kind, "steps": caches, "keep": keep, "last": state}


def recurrent_backward(
    dy: Float[ndarray, "batch time d"],
    cache: dict,
    dlast: Gradients | None = None,
    trace: list | None = None,
) -> tuple[Float[ndarray, "batch time d_in"], State, Weights]:
    """Backpropagation through time.

    Parameters
    ----------
    dy : (b, t, d), gradient of the outputs; dlast : like the state, gradient of ``cache["last"]``
    trace : list or None
        Receives ∂L/∂h_t for t = T, …, 1, to be looked at: does it vanish?

    Returns
    -------
    dx (b, t, d_in), dstate (tuple, of the first state), dp (dict)
    """
    _, cell_backward, parts = CELLS[cache["kind"]]
    dstate = [np.zeros_like(dy[:, 0]) for _ in range(parts)] if dlast is None else list(dlast)
    dx: list[np.ndarray] = []
    total: dict[str, np.ndarray] = {}
    for step in reversed(range(dy.shape[1])):
        keep = cache["keep"][:, step]
        dstate[0] = dstate[0] + dy[:, step] * keep
        if trace is not None:
            trace.append(dstate[0])
        dx_step, dold, dp = cell_backward([d * keep for d in dstate], cache["steps"][step])
        dstate = [old + d * ~keep for old, d in zip(dold, dstate, strict=True)]  # a padded step passes it on untouched
        total = {name: total.get(name, 0) + grad for name, grad in dp.items()}  # one weight, used t times
        dx.append(dx_step)
    return np.stack(dx[::-1], 1), tuple(dstate), total


def rnn(
    x: Float[ndarray, "batch time d_in"],
    p: Weights,
    padding_mask: Bool[ndarray, "batch time"] | None = None,
    state: State | None = None,
) -> tuple[Float[ndarray, "batch time d"], dict]:
    """:func:`recurrent` with the plain cell."""
    return recurrent("rnn", x, p, padding_mask, state)


def lstm(
    x: Float[ndarray, "batch time d_in"],
    p: Weights,
    padding_mask: Bool[ndarray, "batch time"] | None = None,
    state: State | None = None,
) -> tuple[Float[ndarray, "batch time d"], dict]:
    """:func:`recurrent` with the LSTM cell."""
    return recurrent("lstm", x, p, padding_mask, state)


def gru(
    x: Float[ndarray, "batch time d_in"],
    p: Weights,
    padding_mask: Bool[ndarray, "batch time"] | None = None,
    state: State | None = None,
) -> tuple[Float[ndarray, "batch time d"], dict]:
    """:func:`recurrent` with the GRU cell."""
    return recurrent("gru", x, p, padding_mask, state)


def spectral_radius(w: Float[ndarray, "d d"]) -> float:
    """Largest |eigenvalue| of a square matrix: what repeated multiplication grows or shrinks by."""
    return float(np.abs(np.linalg.eigvals(w)).max())
