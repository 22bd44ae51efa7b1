"""RNN, LSTM and GRU written out. Equal to `keras.layers.SimpleRNN`, `LSTM`, `GRU`, which are faster.

Gates stand in PyTorch's order, r, z, n for the GRU: Keras's own has z, r, h. Its LSTM has i, f, c, o, the same.
"""

from typing import Any

import keras
from jaxtyping import Bool, Float
from keras import ops


class Recurrent(keras.layers.Layer):
    """A cell along time; its subclasses say what the cell is.

    Parameters
    ----------
    input_size, dim : int
        Width of the input and of the state.
    """

    num_gates, num_states, hidden_bias = 1, 1, False

    def __init__(self, input_size, dim, **kwargs):
        super().__init__(**kwargs)
        self.input_size, self.dim = input_size, dim
        self.input_ = keras.layers.Dense(self.num_gates * dim, name="input", dtype=self.dtype_policy)
        self.hidden = keras.layers.Dense(
            self.num_gates * dim,
            use_bias=self.hidden_bias,
            kernel_initializer="orthogonal",  # as Keras's own recurrent kernels
            name="hidden",
            dtype=self.dtype_policy,
        )

    def build(self, shape):
        """Make the weights."""
        self.input_.build((None, None, self.input_size))
        self.hidden.build((None, self.dim))

    def call(
        self,
        x: Float[Any, "batch time d_in"],
        padding_mask: Bool[Any, "batch time"] | None = None,
        state: tuple[Float[Any, "batch {self.dim}"], ...] | None = None,
    ) -> tuple[Float[Any, "batch time {self.dim}"], tuple[Float[Any, "batch {self.dim}"], ...]]:
        """x (b, t, input_size), padding_mask bool (b, t), True = real → y (b, t, dim), last state (tuple of (b, dim)).

        At a padded step the state stays and the output is 0. The loop over t is unrolled, so t must be known.
        """
        if x.shape[1] is None:
            raise ValueError("x: the number of steps must be known to unroll them; pad to a fixed length")
        if state is None:
            zeros = ops.zeros((ops.shape(x)[0], self.dim), x.dtype)
            state = (zeros,) * self.num_states
        from_x, y = self.input_(x), []  # all steps at once; only the hidden part must wait
        for step in range(x.shape[1]):
            new = self.cell(from_x[:, step], state)
            if padding_mask is not None:
                keep = ops.expand_dims(padding_mask[:, step], -1)
                new = tuple(ops.where(keep, n, old) for n, old in zip(new, state, strict=True))
            state = new
            y.append(state[0] if padding_mask is None else ops.where(keep, state[0], 0.0))
        return ops.stack(y, 1), tuple(state)

    def cell(
        self, from_x: Float[Any, "batch {self.num_gates}*{self.dim}"], state: tuple[Float[Any, "batch {self.dim}"], ...]
    ) -> tuple[Float[Any, "batch {self.dim}"], ...]:
        """from_x (b, num_gates·dim) = x W + b, state → new state."""
        raise NotImplementedError

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "input_size": self.input_size, "dim": self.dim}


@keras.saving.register_keras_serializable("mmcourse")
class RNN(Recurrent):
    """h' = tanh(x W + b + h U) (Elman 1990)."""

    def cell(
        self, from_x: Float[Any, "batch {self.num_gates}*{self.dim}"], state: tuple[Float[Any, "batch {self.dim}"], ...]
    ) -> tuple[Float[Any, "batch {self.dim}"], ...]:
        """One step."""
        return (ops.tanh(from_x + self.hidden(state[0])),)


@keras.saving.register_keras_serializable("mmcourse")
class LSTM(Recurrent):
    """c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c') (Hochreiter & Schmidhuber 1997); gates i, f, g, o."""

    num_gates, num_states = 4, 2

    def cell(
        self, from_x: Float[Any, "batch {self.num_gates}*{self.dim}"], state: tuple[Float[Any, "batch {self.dim}"], ...]
    ) -> tuple[Float[Any, "batch {self.dim}"], ...]:
        """One step."""
        h, c = state
        i, f, g, o = ops.split(from_x + self.hidden(h), 4, -1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        return ops.sigmoid(o) * ops.tanh(c), c


@keras.saving.register_keras_serializable("mmcourse")
class GRU(Recurrent):
    """h' = (1 − z) ⊙ n + z ⊙ h, n = tanh(x W_n + b_n + r ⊙ (h U_n + c_n)) (arXiv 1406.1078); gates r, z, n."""

    num_gates, hidden_bias = 3, True

    def cell(
        self, from_x: Float[Any, "batch {self.num_gates}*{self.dim}"], state: tuple[Float[Any, "batch {self.dim}"], ...]
    ) -> tuple[Float[Any, "batch {self.dim}"], ...]:
        """One step."""
        (h,) = state
        (xr, xz, xn), (hr, hz, hn) = ops.split(from_x, 3, -1), ops.split(self.hidden(h), 3, -1)
        r, z = ops.sigmoid(xr + hr), ops.sigmoid(xz + hz)
        n = ops.tanh(xn + r * hn)
        return ((1 - z) * n + z * h,)
