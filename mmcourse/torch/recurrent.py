"""RNN, LSTM and GRU written out. Equal to `nn.RNN`, `nn.LSTM`, `nn.GRU` (one layer, batch_first), which are faster.

PyTorch keeps two biases that are only ever added; here there is one, except in the GRU, where the reset gate stands
between them.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class Recurrent(nn.Module):
    """A cell along time; its subclasses say what the cell is.

    Parameters
    ----------
    input_size, dim : int
        Width of the input and of the state.
    """

    num_gates, num_states, hidden_bias = 1, 1, False

    def __init__(self, input_size, dim):
        super().__init__()
        self.dim = dim
        self.input = nn.Linear(input_size, self.num_gates * dim)
        self.hidden = nn.Linear(dim, self.num_gates * dim, bias=self.hidden_bias)
        bound = 1 / math.sqrt(dim)
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)  # as PyTorch starts them, biases too

    def forward(
        self,
        x: Float[Tensor, "batch time d_in"],
        padding_mask: Bool[Tensor, "batch time"] | None = None,
        state: tuple[Float[Tensor, "batch {self.dim}"], ...] | None = None,
    ) -> tuple[Float[Tensor, "batch time {self.dim}"], tuple[Float[Tensor, "batch {self.dim}"], ...]]:
        """x (b, t, input_size), padding_mask bool (b, t), True = real → y (b, t, dim), last state (tuple of (b, dim)).

        At a padded step the state stays and the output is 0, as with packed sequences.
        """
        if state is None:
            state = tuple(x.new_zeros(len(x), self.dim) for _ in range(self.num_states))
        from_x, y = self.input(x), []  # all steps at once; only the hidden part must wait
        for step in range(x.shape[1]):
            new = self.cell(from_x[:, step], state)
            if padding_mask is not None:
                keep = padding_mask[:, step, None]
                new = tuple(torch.where(keep, n, old) for n, old in zip(new, state, strict=True))
            state = new
            y.append(state[0] if padding_mask is None else state[0] * keep)
        return torch.stack(y, 1), state

    def cell(
        self,
        from_x: Float[Tensor, "batch {self.num_gates}*{self.dim}"],
        state: tuple[Float[Tensor, "batch {self.dim}"], ...],
    ) -> tuple[Float[Tensor, "batch {self.dim}"], ...]:
        """from_x (b, num_gates·dim) = x W + b, state → new state."""
        raise NotImplementedError


class RNN(Recurrent):
    """h' = tanh(x W + b + h U) (Elman 1990)."""

    def cell(
        self,
        from_x: Float[Tensor, "batch {self.num_gates}*{self.dim}"],
        state: tuple[Float[Tensor, "batch {self.dim}"], ...],
    ) -> tuple[Float[Tensor, "batch {self.dim}"], ...]:
        """One step."""
        return (torch.tanh(from_x + self.hidden(state[0])),)


class LSTM(Recurrent):
    """c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c') (Hochreiter & Schmidhuber 1997); gates i, f, g, o."""

    num_gates, num_states = 4, 2

    def cell(
        self,
        from_x: Float[Tensor, "batch {self.num_gates}*{self.dim}"],
        state: tuple[Float[Tensor, "batch {self.dim}"], ...],
    ) -> tuple[Float[Tensor, "batch {self.dim}"], ...]:
        """One step."""
        h, c = state
        i, f, g, o = (from_x + self.hidden(h)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class GRU(Recurrent):
    """h' = (1 − z) ⊙ n + z ⊙ h, n = tanh(x W_n + b_n + r ⊙ (h U_n + c_n)) (arXiv 1406.1078); gates r, z, n."""

    num_gates, hidden_bias = 3, True

    def cell(
        self,
        from_x: Float[Tensor, "batch {self.num_gates}*{self.dim}"],
        state: tuple[Float[Tensor, "batch {self.dim}"], ...],
    ) -> tuple[Float[Tensor, "batch {self.dim}"], ...]:
        """One step."""
        (h,) = state
        (xr, xz, xn), (hr, hz, hn) = from_x.chunk(3, -1), self.hidden(h).chunk(3, -1)
        r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
        n = torch.tanh(xn + r * hn)
        return ((1 - z) * n + z * h,)
