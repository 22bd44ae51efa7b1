# %% [markdown]
# # Exercises · Multimodal data
#
# *Four short tasks: a batch with its mask, sound in step with pictures, agreement beyond chance, and a split that does not
# leak.*
#
# {{budget}}
#
# **Lesson**: [Multimodal data](../multimodal_data.ipynb) · **8 points, about 35 minutes** · NumPy only

# %%
import numpy as np

from mmcourse.check import check

# %% [markdown]
# ## multimodal_data.1 · Padding, and the mask
#
# Difficulty 1 of 3 · 7 minutes · 1 point
#
# `sequences` is a list of arrays of shape `(t_i, d)`: the same width `d`, different lengths.
#
# **Write** `pad_batch(sequences)`. Return two arrays: `values` of shape `(b, t, d)`, zeros *behind* each sequence, and
# `padding_mask` of shape `(b, t)`, True where an element is real. A real element may well be zero.


# %%
def pad_batch(sequences):
    """List of (t_i, d) → values (b, t, d), padding_mask (b, t)."""
    # BEGIN SOLUTION
    lengths = np.array([len(s) for s in sequences])
    values = np.zeros((len(sequences), lengths.max(), sequences[0].shape[1]))
    for row, s in zip(values, sequences, strict=True):
        row[: len(s)] = s
    return values, np.arange(lengths.max()) < lengths[:, None]
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Collect the lengths first. `values` starts as `np.zeros((b, longest, d))`; copy each sequence into the start of its row.
# </details>
#
# <details><summary>Hint 2</summary>
#
# The mask needs only the lengths: `np.arange(longest) < lengths[:, None]` compares each position with each length.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = ([g.integers(1, 9, (t, 1)) * 1.0 for t in g.permutation([1, 2, 4])],)
print("Sequences of your own:", *(s.tolist() for s in yours[0]), sep="\n")

# %%
check("multimodal_data.1", pad_batch)

# %% [markdown]
# ## multimodal_data.2 · Which picture does this sound belong to?
#
# Difficulty 2 of 3 · 8 minutes · 2 points
#
# `n` frames of sound; frame `i` is centred at sample `i * hop` of `sample_rate` samples a second. A film of `pictures`
# pictures runs beside it, `fps` a second; picture `j` stays from `j / fps` until the next one comes.
#
# **Example.** At 16,000 samples a second, `hop` 400 and 12 pictures a second, frame 5 is centred at

# %%
seconds = 5 * 400 / 16_000
print(seconds, "s, and", seconds * 12, "pictures have passed: it belongs to picture 1")

# %% [markdown]
# **Write** `pictures_of(n, hop, sample_rate, fps, pictures)`: whole numbers of shape `(n,)`, the picture of each frame. Sound
# that goes on after the film belongs to the last picture.


# %%
def pictures_of(n, hop, sample_rate, fps, pictures):
    """Number of the picture that each frame of sound belongs to, (n,)."""
    # BEGIN SOLUTION
    j = np.arange(n) * hop * fps // sample_rate
    return np.minimum(j, pictures - 1)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Do not look for a fixed number of frames in a picture. Write down the time of frame `i`, then how many pictures have
# passed by then.
# </details>
#
# <details><summary>Hint 2</summary>
#
# `i * hop * fps // sample_rate` stays in whole numbers, so nothing is rounded wrongly. Then `np.minimum` with the last.
# </details>

# %% tags=["variant"]
fps = 12  # of: 9 to 31
pictures = 3  # of: 2 to 8
yours = 12, 400, 16_000, fps, pictures
print("A film of your own: n, hop, sample_rate, fps, pictures =", *yours)

# %%
check("multimodal_data.2", pictures_of)

# %% [markdown]
# ## multimodal_data.3 · Agreement beyond chance
#
# Difficulty 2 of 3 · 8 minutes · 2 points
#
# `table[i, j]` counts the samples to which the first annotator gave class `i` and the second class `j`.
#
# **Example.** 50 samples, two classes.

# %%
table = np.array([[20, 5], [10, 15]])
print("equal answers:", (20 + 15) / 50)
print("the first says class 0 in", (20 + 5) / 50, "of all, the second in", (20 + 10) / 50)

# %% [markdown]
# By chance both say 0 in 0.5 · 0.6 and both say 1 in 0.5 · 0.4 of all samples: $p_e = 0.5$. So $\kappa = (0.7 - 0.5) / (1 - 0.5) = 0.4$.
#
# **Write** `kappa(table)` for any number of classes. Return one number.


# %%
def kappa(table):
    """Cohen's kappa of a table of counts (classes, classes)."""
    # BEGIN SOLUTION
    share = table / table.sum()
    p_o = np.trace(share)
    p_e = share.sum(axis=1) @ share.sum(axis=0)
    return (p_o - p_e) / (1 - p_e)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Divide the table by its sum first. Equal answers stand on the diagonal. Sums over rows and over columns are the habits of the two.
# </details>
#
# <details><summary>Hint 2</summary>
#
# `p_e` adds, class by class, one's share times the other's: `share.sum(axis=1) @ share.sum(axis=0)`.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
yours = (np.random.default_rng(seed).integers(1, 50, (2, 2)) + 10 * np.eye(2, dtype=int),)
print("A table of your own:", *yours, sep="\n")

# %%
check("multimodal_data.3", kappa)

# %% [markdown]
# ## multimodal_data.4 · A split that does not leak
#
# Difficulty 3 of 3 · 12 minutes · 3 points
#
# `groups` is an array `(n,)` of names, who made each sample: `np.array(["ada", "ada", "ben", …])`, in any order, some people
# with many samples and some with few. Your product will serve people that it has not met.
#
# **Write** `split_by_group(groups, share, seed)`. Return True/False of shape `(n,)`, True for the test set, such that
#
# - nobody is on both sides;
# - the test set has `share` of the *people*, rounded, and at least one;
# - chance decides who, with `seed`: the same seed gives the same split, and nothing outside your function changes.
#
# When it passes, ask yourself: what if one person made half of all samples?


# %%
def split_by_group(groups, share, seed):
    """bool (n,), True for the test set: whole people, by chance."""
    # BEGIN SOLUTION
    names = np.unique(groups)
    count = max(1, round(share * len(names)))
    chosen = np.random.default_rng(seed).choice(names, count, replace=False)
    return np.isin(groups, chosen)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Forget the samples for a moment. List the different people with `np.unique` and draw some of them.
# </details>
#
# <details><summary>Hint 2</summary>
#
# `np.random.default_rng(seed).choice(names, count, replace=False)` draws. `np.isin(groups, chosen)` goes back to samples.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
yours = np.random.default_rng(seed).permutation(["ada", "ada", "ada", "ben", "cleo", "cleo", "dan", "eve"]), 0.4, seed
print("Groups of your own, share and seed:", *yours)

# %%
check("multimodal_data.4", split_by_group)

# %% [markdown]
# ## Done?
#
# Run the whole notebook once more from the top (*Run → Restart Kernel and Run All Cells*). One way to solve each task is
# in [the solutions](../solutions/multimodal_data.ipynb). Another way that passes is just as right.
