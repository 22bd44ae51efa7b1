# %% [markdown]
# # Exercises · Transformers
#
# *One task: put the norm in the right place.*
#
# {{budget}}
#
# **Lesson**: [Transformers](../transformers.ipynb) · **2 points, about 12 minutes** · NumPy only

# %%
import numpy as np

from mmcourse.check import check

# %% [markdown]
# ## transformers.1 · A post-norm block
#
# Difficulty 2 of 3 · 12 minutes · 2 points
#
# Write the encoder block of BERT for one sentence, with two things made simpler: the attention table `look` is given, and
# the bend is ReLU, $\max(0, \cdot)$. There are no biases.
#
# $$h = \mathrm{norm}(x + \text{look} \cdot x) \qquad y = \mathrm{norm}(h + \max(0, h W_1) W_2)$$
#
# The norm takes from each word its own mean and divides by its own standard deviation (variance plus $10^{-12}$ under the root):


# %%
def norm(x):
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-12)


words = np.array([[1.0, 2.0, 6.0], [0.0, 4.0, 2.0]])  # two words of width 3
print(norm(words).round(3))

# %% [markdown]
# **Write** `block(x, look, w1, w2)`. `x` is `(n, d)`, `look` is `(n, n)` with rows that sum to 1, `w1` is `(d, hidden)`,
# `w2` is `(hidden, d)`. Return `(n, d)`. You may use `norm`.


# %%
def block(x, look, w1, w2):
    """One post-norm encoder block: mix, then think."""
    # BEGIN SOLUTION
    h = norm(x + look @ x)  # (n, d)
    return norm(h + np.maximum(0, h @ w1) @ w2)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Two lines, one for each half. In both, the thing that goes in is added to what comes out, and the norm is the last to act.
# </details>
#
# <details><summary>Hint 2</summary>
#
# `h = norm(x + look @ x)`. In the second line every `x` has become `h`: `norm(h + np.maximum(0, h @ w1) @ w2)`.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = g.integers(0, 20, (2, 3)) * 1.0, np.array([[0.5, 0.5], [0.0, 1.0]]), np.eye(3), -np.eye(3)
print("Two words of your own, and where they look:", *(x.tolist() for x in yours[:2]), sep="\n")

# %%
check("transformers.1", block)

# %% [markdown]
# ## Done?
#
# Run the whole notebook once more from the top. One way to solve each task is in
# [the solutions](../solutions/transformers.ipynb); another way that passes is just as right.
