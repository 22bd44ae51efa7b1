# %% [markdown]
# # Exercises · Attention
#
# *Three tasks: attention in four lines, masks that hold in every corner, and which word really mattered.*
#
# {{budget}}
#
# **Lesson**: [Attention](../attention.ipynb) · **6 points, about 30 minutes** · NumPy only

# %%
import numpy as np

from mmcourse.check import check

# %% [markdown]
# ## attention.1 · Attention in four lines
#
# Difficulty 1 of 3 · 8 minutes · 2 points
#
# $$\text{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}}\right) V$$
#
# **Example.** One query, two keys, $d_k = 4$. The scores are 2 and 0; divided by $\sqrt 4$ they are 1 and 0.

# %%
q = np.array([[1.0, 1.0, 0.0, 0.0]])  # (1, 4)
k = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])  # (2, 4)
print("scores", q @ k.T, "  weights", (np.exp([1.0, 0.0]) / np.exp([1.0, 0.0]).sum()).round(3))

# %% [markdown]
# **Write** `attend(q, k, v)` for `q` (n, d_k), `k` (m, d_k) and `v` (m, d_v). Return two arrays: the output (n, d_v) and the
# weights (n, m). Scores may be as large as a thousand, and the answer must stay finite.


# %%
def attend(q, k, v):
    """Return output (n, d_v) and weights (n, m)."""
    # BEGIN SOLUTION
    scores = q @ k.T / np.sqrt(k.shape[1])  # (n, m)
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights = e / e.sum(axis=1, keepdims=True)
    return weights @ v, weights
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Row: who looks. Each query has one unit of attention to spend among the keys: which axis is that?
# </details>
#
# <details><summary>Hint 2</summary>
#
# `np.exp(1000)` is inf. Subtract each row's maximum first (`axis=1, keepdims=True`): the softmax does not change.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = g.integers(0, 4, (1, 4)) * 1.0, g.integers(0, 4, (2, 4)) * 1.0, np.array([[1.0], [0.0]])
print("A query, two keys and two values of your own:", *(x.tolist() for x in yours), sep="\n")

# %%
check("attention.1", attend)

# %% [markdown]
# ## attention.2 · Masks that hold in every corner
#
# Difficulty 2 of 3 · 12 minutes · 2 points
#
# Turn scores (b, n, n) into weights when some places are padding and, if `causal` is True, the future is closed.
# `padding_mask` (b, n) is True where a word is **real**. Word $i$ may look at word $j$ if $j$ is real and, when causal, $j \le i$.
# Each row sums to 1; a row that may look at nothing is all zeros.
#
# **Example.** Equal scores, three places, the last is padding, causal.

# %%
may_look = np.tri(3, dtype=bool) & np.array([True, True, False])
print(may_look.astype(int))
print((may_look / may_look.sum(axis=1, keepdims=True)).round(2))

# %% [markdown]
# **Write** `masked_weights(scores, padding_mask, causal)`. Return weights (b, n, n). Padding may also stand on the *left*: then
# the first word, when causal, has nothing to look at.


# %%
def masked_weights(scores, padding_mask, causal):
    """Weights (b, n, n) among what may be looked at; rows with nothing are zero."""
    # BEGIN SOLUTION
    keep = np.broadcast_to(padding_mask[:, None, :], scores.shape)  # (b, n, n): columns are who is looked at
    if causal:
        keep = keep & np.tri(scores.shape[-1], dtype=bool)
    e = np.where(keep, np.exp(scores - scores.max(axis=-1, keepdims=True)), 0)
    total = e.sum(axis=-1, keepdims=True)
    return e / np.where(total > 0, total, 1)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Make one array `keep` (b, n, n) first. `padding_mask[:, None, :]` lays the mask along columns, `np.tri(n, dtype=bool)` is the
# lower triangle, and `&` joins both.
# </details>
#
# <details><summary>Hint 2</summary>
#
# Put 0 where `keep` is False *before* you divide by the row's sum. Where that sum is 0, divide by 1 instead.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = g.integers(0, 5, (1, 4, 4)) * 1.0, g.permutation([True, True, True, False])[None], bool(g.integers(2))
print("Scores and a mask of your own:", *yours[:2], f"causal: {yours[2]}", sep="\n")

# %%
check("attention.2", masked_weights)

# %% [markdown]
# ## attention.3 · Which word really mattered?
#
# Difficulty 2 of 3 · 10 minutes · 2 points
#
# A classifier reads one attention output $y = \sum_j w_j v_j$ with a vector $u$: its logit is $u \cdot y$. So word $j$
# **contributes** $w_j\,(v_j \cdot u)$, and the contributions add up to the logit.
#
# **Example.** The word with 0.9 of the attention contributes nothing; the other decides, against the class.

# %%
weights = np.array([0.9, 0.1])
values = np.array([[0.0, 2.0], [-5.0, 0.0]])
readout = np.array([1.0, 0.0])
print("contributions", weights * (values @ readout), "  logit", readout @ (weights @ values))

# %% [markdown]
# **Write** `who_mattered(weights, values, readout)` for `weights` (n,), `values` (n, d) and `readout` (d,). Return three things:
# `contributions` (n,); `looked_at`, the index of the largest weight; and `mattered`, the index of the contribution that moves the logit
# most, up **or** down. (In the example: 0 and 1.)


# %%
def who_mattered(weights, values, readout):
    """Return contributions (n,), index of the largest weight, index of the strongest contribution."""
    # BEGIN SOLUTION
    contributions = weights * (values @ readout)  # (n,)
    return contributions, int(weights.argmax()), int(np.abs(contributions).argmax())
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# `values @ readout` is what each word says to this classifier; it does not yet know how much of it is taken.
# </details>
#
# <details><summary>Hint 2</summary>
#
# A contribution of −0.5 moves the logit more than one of 0.1: compare `np.abs`.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = g.permutation([0.6, 0.3, 0.1]), g.normal(0, 3, (3, 2)).round(1), np.array([1.0, 0.5])
print("Weights, values and a readout of your own:", *(x.tolist() for x in yours), sep="\n")

# %%
check("attention.3", who_mattered)

# %% [markdown]
# ## Done?
#
# Run the whole notebook once more from the top. One way to solve each task is in
# [the solutions](../solutions/attention.ipynb); another way that passes is just as right.
