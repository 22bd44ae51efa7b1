# %% [markdown]
# # Exercises · Fusion
#
# *Build a gate, find the full tensor inside a small one, part people who were mixed up, and choose a method from a table.*
#
# {{budget}}
#
# **Lesson**: [Fusion](../fusion.ipynb) · **8 points, about 40 minutes** · NumPy only
#
# Replace each blank with your code, run the cell, then run the `check` below it. It says what is wrong, not only that it is.

# %%
import numpy as np

from mmcourse.check import check
from mmcourse.datasets import information

np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## fusion.1 · A gated unit by hand
#
# Difficulty 1 of 3 · 8 minutes · 1 point
#
# Two modalities, one gate (Arevalo et al. 2017, arXiv 1702.01992), no biases:
#
# $$h_1 = \tanh(x_1 W_1), \quad h_2 = \tanh(x_2 W_2), \quad z = \sigma([x_1; x_2]\, W_z), \quad h = z \odot h_1 + (1 - z) \odot h_2$$
#
# **Example.** A gate of 0.9 takes nine parts of the first and one part of the second.

# %%
h1, h2, z = 0.5, -0.5, 0.9
print(z * h1 + (1 - z) * h2)

# %% [markdown]
# **Write** `gated_unit(x1, x2, w1, w2, wz)` for `x1` of shape `(b, d1)`, `x2` `(b, d2)`, `w1` `(d1, k)`, `w2` `(d2, k)` and
# `wz` `(d1 + d2, k)`. Return `(b, k)`.


# %%
def gated_unit(x1, x2, w1, w2, wz):
    """Gated multimodal unit of two modalities, (b, k)."""
    # BEGIN SOLUTION
    z = 1 / (1 + np.exp(-np.concatenate([x1, x2], axis=1) @ wz))  # (b, k)
    return z * np.tanh(x1 @ w1) + (1 - z) * np.tanh(x2 @ w2)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# The gate must see both modalities: join `x1` and `x2` along the axis of features before multiplying by `wz`.
# </details>
#
# <details><summary>Hint 2</summary>
#
# `np.concatenate([x1, x2], axis=1)` is `(b, d1 + d2)`. σ is `1 / (1 + np.exp(-s))`, and tanh is not squashed again.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = tuple(g.integers(-20, 21, shape) / 10 for shape in ((1, 1), (1, 1), (1, 1), (1, 1), (2, 1)))
print("Numbers of your own: x1, x2, w1, w2, wz =", *(x.ravel() for x in yours))

# %%
check("fusion.1", gated_unit)

# %% [markdown]
# ## fusion.2 · The full tensor inside the low-rank one
#
# Difficulty 3 of 3 · 14 minutes · 3 points
#
# Low-rank tensor fusion is $\sum_r (\bar x_1 A_r) \odot (\bar x_2 B_r) \odot (\bar x_3 C_r)$, each $\bar x_m = [x_m; 1]$. It is
# tensor fusion with one big weight that is never formed. Form it: find $W$ with
#
# $$\sum_{ijk} \bar x_{1i}\, \bar x_{2j}\, \bar x_{3k}\, W_{ijk,o} = \text{the same numbers, for every input}$$
#
# **Example** with two modalities, rank 1 and one output: the weight is an outer product.

# %%
a, b = np.array([1.0, 2.0]), np.array([3.0, -1.0, 0.5])
print(np.einsum("i,j->ij", a, b))

# %% [markdown]
# **Write** `full_weight(a, b, c)` for factors `(R, n1, k)`, `(R, n2, k)`, `(R, n3, k)`, their rows for the 1 included. Return
# $W$, `(n1, n2, n3, k)`.


# %%
def full_weight(a, b, c):
    """The weight (n1, n2, n3, k) of the full tensor that low-rank factors stand for."""
    # BEGIN SOLUTION
    return np.einsum("rio,rjo,rko->ijko", a, b, c)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Write out the product for one $r$ and one output $o$: which numbers stand beside $\bar x_{1i}\, \bar x_{2j}\, \bar x_{3k}$?
# </details>
#
# <details><summary>Hint 2</summary>
#
# $W_{ijk,o} = \sum_r A_{rio} B_{rjo} C_{rko}$. One `np.einsum` says exactly that: letters that are not in the result are summed,
# `o` stays in all four places.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = tuple(g.integers(-9, 10, (1, 2, 1)) * 1.0 for _ in range(3))
print("Factors of your own, rank 1, one output:", *(x.ravel() for x in yours))

# %%
check("fusion.2", full_weight)

# %% [markdown]
# ## fusion.3 · Who is mixed with whom?
#
# Difficulty 2 of 3 · 8 minutes · 2 points
#
# This layer is after a piece of widely used public code. It should give each sample the product of its own three mapped
# vectors. It runs, trains, and even reaches a fair accuracy.


# %%
def broken(x1, x2, x3, w1, w2, w3):
    """Three-way product: xm is (b, dm), wm is (dm, k)."""
    pairs = (x1 @ w1)[:, None] * (x2 @ w2)[None]
    return pairs * (x3 @ w3)


rng = np.random.default_rng(0)
xs, ws = [rng.normal(size=(4, d)) for d in (3, 2, 5)], [rng.normal(size=(d, 6)) for d in (3, 2, 5)]
print("4 samples, 6 outputs each, but:", broken(*xs, *ws).shape)

# %% [markdown]
# **Write** `interaction(x1, x2, x3, w1, w2, w3)` that returns `(b, k)`: row $i$ depends on row $i$ of the inputs and on
# nobody else's.


# %%
def interaction(x1, x2, x3, w1, w2, w3):
    """Product of the three mapped vectors of each sample, (b, k)."""
    # BEGIN SOLUTION
    return (x1 @ w1) * (x2 @ w2) * (x3 @ w3)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# What do `[:, None]` and `[None]` do to shapes `(4, 6)`? Which entries of the result belong to one sample only?
# </details>
#
# <details><summary>Hint 2</summary>
#
# All three mapped arrays are `(b, k)` already. Multiply them as they are; a sum over the extra axis would hide the fault,
# not mend it.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = *(g.integers(-3, 4, (2, 1)) * 1.0 for _ in range(3)), *(g.integers(1, 4, (1, 1)) * 1.0 for _ in range(3))
print("Two samples of your own: x1, x2, x3, w1, w2, w3 =", *(x.ravel() for x in yours))

# %%
check("fusion.3", interaction)

# %% [markdown]
# ## fusion.4 · Which method would you choose?
#
# Difficulty 2 of 3 · 10 minutes · 2 points
#
# You are given `joint[y, x1, x2]`, the probability of label and two cues. Name the *simplest* family whose ceiling is at most
# 0.01 below the joint ceiling:
#
# - `"single"`: the better of the two cues alone,
# - `"late"`: the best sum of separate scores, `information.additive_accuracy(joint)`,
# - `"interaction"`: anything less will not do.
#
# The other ceilings: `information.bayes_accuracy(table)`, and `information.marginal(joint, [0])` is the table of the first cue.

# %%
xor = np.zeros((2, 2, 2))
xor[[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0]] = 1 / 4
alone = information.bayes_accuracy(information.marginal(xor, [0]))
print("XOR:", alone, information.additive_accuracy(xor), information.bayes_accuracy(xor), "-> interaction")

# %% [markdown]
# **Write** `choose(joint)`, which returns one of the three words.


# %%
def choose(joint):
    """The simplest family within 0.01 of the joint ceiling."""
    # BEGIN SOLUTION
    best = information.bayes_accuracy(joint)
    single = max(information.bayes_accuracy(information.marginal(joint, [m])) for m in (0, 1))
    if single >= best - 0.01:
        return "single"
    return "late" if information.additive_accuracy(joint) >= best - 0.01 else "interaction"
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Three numbers first: the larger single ceiling, the additive one, the joint one. Compare with the joint one, not with 1.
# </details>
#
# <details><summary>Hint 2</summary>
#
# Ask in the order single, late, interaction, and return at the first that is enough. `ceiling >= best - 0.01`.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
yours = (np.random.default_rng(seed).multinomial(40, np.ones(8) / 8).reshape(2, 2, 2) / 40,)
print("A table of your own:", *yours, sep="\n")

# %%
check("fusion.4", choose)

# %% [markdown]
# ## Done?
#
# Run the whole notebook once more from the top. One way to solve each task is in
# [the solutions](../solutions/fusion.ipynb). Another way that passes is just as right.
