# %% [markdown]
# # Exercises · Training in Keras
#
# *Translate settings, carry a GRU's weights over, and say when early stopping stops.*
#
# {{budget}}
#
# **Lesson**: [Training in Keras](../train_keras.ipynb) · **7 points, about 30 minutes** · NumPy only
#
# Replace each blank with your code, run the cell, then run the `check` below it. It says what is wrong, not only that it is.

# %%
import numpy as np

from mmcourse.check import check

np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## train_keras.1 · Settings in translation
#
# Difficulty 1 of 3 · 9 minutes · 2 points
#
# A paper's code is in PyTorch, you work in Keras. Three settings need translating:
#
# - batch normalisation's `momentum`: PyTorch's is the share of the *new* batch, Keras's the share of the *old* value;
# - Adam's ε. At step $t$, counted from 1, Keras's own Adam divides by $\sqrt{\hat v} + \varepsilon / \sqrt{1 - \beta_2^t}$, PyTorch's by
#   $\sqrt{\hat v} + \varepsilon$, with $\beta_2 = 0.999$. Which ε makes Keras's step $t$ equal?
# - weight decay, given as in the paper of Loshchilov and Hutter: a weight shrinks by `paper_decay` times itself. Keras's AdamW
#   shrinks it by `rate * weight_decay` times itself.
#
# **Example.** How much of ε is left at step 1?

# %%
print(np.sqrt(1 - 0.999**1))

# %% [markdown]
# **Write** `translate(momentum, eps, step, paper_decay, rate)`. Return Keras's three numbers: momentum, ε, weight decay.


# %%
def translate(momentum, eps, step, paper_decay, rate):
    """Keras's batch-norm momentum, Adam ε for one step, and AdamW weight decay."""
    # BEGIN SOLUTION
    return 1 - momentum, eps * np.sqrt(1 - 0.999**step), paper_decay / rate
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# The two shares of batch normalisation add up to 1. For the others write "what Keras computes = what is wanted" and solve.
# </details>
#
# <details><summary>Hint 2</summary>
#
# ε: `x / np.sqrt(1 - 0.999**step) == eps`, so what is `x`? Decay: `rate * y == paper_decay`, so what is `y`?
# </details>

# %% tags=["variant"]
momentum = 0.1  # of: 0.05, 0.1, 0.2, 0.25, 0.3
step = 10  # of: 1 to 40
yours = momentum, 1e-8, step, 0.003, 0.01
print("Settings of your own: momentum, eps, step, decay, rate =", *yours)

# %%
check("train_keras.1", translate)

# %% [markdown]
# ## train_keras.2 · A GRU moves house
#
# Difficulty 2 of 3 · 12 minutes · 3 points
#
# PyTorch's GRU with $d$ inputs and $h$ units keeps `weight_ih` `(3h, d)`, `weight_hh` `(3h, h)` and two biases `(3h,)`, each with its three
# gates one below the other: r, z, n. Keras keeps a kernel `(d, 3h)`, a recurrent kernel `(h, 3h)` and *one* bias of shape `(2, 3h)`: first the
# input's, then the hidden state's. Its gates stand side by side: z, r, h, where h is PyTorch's n.
#
# **Example** with $h = 1$: three rows, a name each.

# %%
print(np.array(["r", "z", "n"])[[1, 0, 2]])

# %% [markdown]
# **Write** `to_keras(w_input, w_hidden, b_input, b_hidden)`. Return kernel, recurrent kernel and bias, as Keras's `set_weights` takes them.


# %%
def to_keras(w_input, w_hidden, b_input, b_hidden):
    """PyTorch's GRU weights (3h, d), (3h, h), (3h,), (3h,) as Keras keeps them."""

    # BEGIN SOLUTION
    def carry(weight):
        r, z, n = np.split(weight, 3)  # along the first axis
        return np.concatenate([z, r, n]).T

    return carry(w_input), carry(w_hidden), np.stack([carry(b_input), carry(b_hidden)])
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Two things happen to each matrix: blocks of $h$ rows change places, then rows become columns. Biases have blocks too.
# </details>
#
# <details><summary>Hint 2</summary>
#
# `r, z, n = np.split(weight, 3)` cuts along the first axis. Join them in Keras's order with `np.concatenate`, then `.T`. For the biases use
# `np.stack`, which makes a new first axis.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = tuple(g.integers(1, 100, shape) * 1.0 for shape in ((3, 1), (3, 1), (3,), (3,)))
print("A GRU of your own, one number wide:", *(a.ravel() for a in yours))

# %%
check("train_keras.2", to_keras)

# %% [markdown]
# ## train_keras.3 · When does it stop, and with what?
#
# Difficulty 2 of 3 · 9 minutes · 2 points
#
# `EarlyStopping("val_loss", patience=p, restore_best_weights=True)` ends a run at the $p$-th epoch in a row whose loss is not lower than the
# best before it. Then it puts the weights of the best epoch back. You get the losses that the run *would* show if nothing stopped it.
#
# **Example.** With patience 2 the run below ends with the epoch of 0.75, its fourth, and never sees 0.5. The weights are those of epoch 1,
# counted from 0.

# %%
losses = [0.9, 0.7, 0.8, 0.75, 0.6, 0.5]
print("epochs run: 4, best epoch:", int(np.argmin(losses[:4])))

# %% [markdown]
# **Write** `early_stopping(val_losses, patience)`. Return how many epochs run, and the best one's number, counted from 0.


# %%
def early_stopping(val_losses, patience):
    """How many epochs run, and which one's weights remain (counted from 0)."""
    # BEGIN SOLUTION
    best = 0
    for epoch, loss in enumerate(val_losses):
        if loss < val_losses[best]:
            best = epoch
        if epoch - best >= patience:
            return epoch + 1, best
    return len(val_losses), best
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Walk through the epochs and remember the best so far. How many epochs have passed since it?
# </details>
#
# <details><summary>Hint 2</summary>
#
# After epoch `e` it has waited `e - best` epochs. When that reaches `patience`, `e + 1` epochs have run. Equal is not lower.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = g.normal(0.6, 0.1, 8).round(2).tolist(), int(g.integers(1, 4))
print("Losses and a patience of your own:", *yours)

# %%
check("train_keras.3", early_stopping)

# %% [markdown]
# ## Done?
#
# Run the whole notebook once more from the top. One way to solve each task is in
# [the solutions](../solutions/train_keras.ipynb). Another way that passes is just as right.
