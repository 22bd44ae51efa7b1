# %% [markdown]
# # Exercises · Recurrent networks
#
# *Three tasks: one step of an LSTM, a GRU carried from PyTorch to Keras, and a gradient through time that you judge.*
#
# {{budget}}
#
# **Lesson**: [Recurrent networks](../rnn.ipynb) · **7 points, about 30 minutes** · NumPy only

# %%
import numpy as np

from mmcourse.check import check

# %% [markdown]
# ## rnn.1 · One step of an LSTM
#
# Difficulty 1 of 3 · 8 minutes · 2 points
#
# $$i, f, g, o = \text{four parts of } xW + hU + b$$
# $$c' = \sigma(f) \odot c + \sigma(i) \odot \tanh(g) \qquad h' = \sigma(o) \odot \tanh(c')$$
#
# **Example.** State 1 wide, all weights 0: every gate is $\sigma(0) = 0.5$, so half of $c = 2$ stays.

# %%
c_new = 0.5 * 2.0 + 0.5 * np.tanh(0.0)
print("c'", c_new, "  h'", (0.5 * np.tanh(c_new)).round(3))

# %% [markdown]
# **Write** `lstm_step(x, h, c, W, U, b)` for `x` (batch, d_in), `h` and `c` (batch, d), `W` (d_in, 4d), `U` (d, 4d), `b` (4d,). Return two
# arrays: the new $h$ and the new $c$, each (batch, d).


# %%
def sigmoid(s):
    return 1 / (1 + np.exp(-s))


def lstm_step(x, h, c, W, U, b):
    """Return the new h and the new c, both (batch, d)."""
    # BEGIN SOLUTION
    i, f, g, o = np.split(x @ W + h @ U + b, 4, axis=1)  # each (batch, d)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Compute `x @ W + h @ U + b` once; `np.split(…, 4, axis=1)` cuts its columns into i, f, g, o, in this order.
# </details>
#
# <details><summary>Hint 2</summary>
#
# Three gates pass through `sigmoid`, the candidate g through `np.tanh`. And h' shows the *new* cell: `np.tanh(c_new)`.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = tuple(g.normal(size=shape).round(1) for shape in ((1, 1), (1, 1), (1, 1), (1, 4), (1, 4), (4,)))
print("Numbers of your own: x, h, c, W, U, b =", *(a.ravel() for a in yours))

# %%
check("rnn.1", lstm_step)

# %% [markdown]
# ## rnn.2 · From PyTorch to Keras
#
# Difficulty 2 of 3 · 10 minutes · 2 points
#
# Somebody trained a GRU in PyTorch; you serve it with Keras. You get the four arrays of `nn.GRU`, whose gates are stacked in the
# order **r, z, n** along the *first* axis:
#
# | PyTorch | shape | | Keras wants | shape |
# |---|---|---|---|---|
# | `weight_ih` | (3d, d_in) | | kernel | (d_in, 3d) |
# | `weight_hh` | (3d, d) | | recurrent kernel | (d, 3d) |
# | `bias_ih`, `bias_hh` | (3d,) each | | bias: input's, then hidden's | (2, 3d) |
#
# Keras's order is **z, r, h** along the *last* axis ($h$ is its name for the candidate $n$).
#
# **Example.** $d = 1$: three numbers, one for each gate.

# %%
r, z, n = 10, 20, 30
print("PyTorch's bias", [r, z, n], "  Keras's bias", [z, r, n])

# %% [markdown]
# **Write** `to_keras(weight_ih, weight_hh, bias_ih, bias_hh)`. Return three arrays: kernel, recurrent kernel, bias.


# %%
def to_keras(weight_ih, weight_hh, bias_ih, bias_hh):
    """Return kernel (d_in, 3d), recurrent kernel (d, 3d) and bias (2, 3d), gates z, r, h."""

    # BEGIN SOLUTION
    def swap(a):
        r, z, n = np.split(a, 3, axis=-1)
        return np.concatenate([z, r, n], axis=-1)

    return swap(weight_ih.T), swap(weight_hh.T), swap(np.stack([bias_ih, bias_hh]))
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# First bring every array into Keras's shape (`.T` for the weights, `np.stack` for the biases). Then all three need the same swap.
# </details>
#
# <details><summary>Hint 2</summary>
#
# Write a small function that splits the last axis in three and joins the parts again as second, first, third.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = tuple(g.integers(1, 100, shape) * 1.0 for shape in ((3, 1), (3, 1), (3,), (3,)))
print("A GRU of your own, one number wide:", *(a.ravel() for a in yours))

# %%
check("rnn.2", to_keras)

# %% [markdown]
# ## rnn.3 · Will it learn that far back?
#
# Difficulty 3 of 3 · 12 minutes · 3 points
#
# A plain RNN, $h_t = \tanh(x_t W + h_{t-1} U + b)$, has read a sequence. You get its matrix `U` (d, d), its states `h` (t, d), the first to
# the last, and `dlast` (d,), the gradient $\partial L/\partial h_t$ at the last one. One step back:
#
# $$\frac{\partial L}{\partial h_{t-1}} = \Big(\frac{\partial L}{\partial h_t} \odot (1 - h_t^2)\Big)\, U^\top$$
#
# **Example.** One number of memory, $u = 0.5$, two states. The slope at the second is $1 - 0.6^2 = 0.64$.

# %%
print("at the second state 1.0, at the first", 1.0 * (1 - 0.6**2) * 0.5)

# %% [markdown]
# **Write** `judge(U, h, dlast)`. Return three things:
#
# - `norms` (t,): the length $\lVert\partial L/\partial h_k\rVert$ from the **last** state back to the **first**;
# - `rate`: the factor a step, on (geometric) average: $(\text{last of norms} / \text{first of norms})^{1/(t-1)}$;
# - `verdict`: what 100 steps at this rate would do. `"vanishes"` if less than 1 % is left, `"explodes"` if it grows more than
#   100-fold, else `"holds"`.


# %%
def judge(U, h, dlast):
    """Return norms (t,), rate and "vanishes", "explodes" or "holds"."""
    # BEGIN SOLUTION
    gradient, norms = dlast, [np.linalg.norm(dlast)]
    for state in h[:0:-1]:  # the last state back to the second
        gradient = (gradient * (1 - state**2)) @ U.T
        norms.append(np.linalg.norm(gradient))
    rate = (norms[-1] / norms[0]) ** (1 / (len(norms) - 1))
    verdict = "vanishes" if rate**100 < 0.01 else "explodes" if rate**100 > 100 else "holds"
    return np.array(norms), rate, verdict
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# There are t states and t − 1 steps between them. The step from state k to state k − 1 uses the slope at state **k**, the later
# one.
# </details>
#
# <details><summary>Hint 2</summary>
#
# `for state in h[:0:-1]:` runs from the last state to the second. In it: `gradient = (gradient * (1 - state**2)) @ U.T`.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = g.uniform(0.3, 1.5, (1, 1)).round(2), g.uniform(-0.9, 0.9, (3, 1)).round(2), np.array([1.0])
print("A matrix, states and a last gradient of your own:", *(a.ravel() for a in yours))

# %%
check("rnn.3", judge)

# %% [markdown]
# ## Done?
#
# Run the whole notebook once more from the top. One way to solve each task is in
# [the solutions](../solutions/rnn.ipynb); another way that passes is just as right.
