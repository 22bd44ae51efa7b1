# %% [markdown]
# # Exercises · Sentiment
#
# *Share out an accuracy fairly, hold back who is ahead, vote with gaps, and choose the model that is right most often in use.*
#
# {{budget}}
#
# **Lesson**: [Sentiment](../sentiment.ipynb) · **8 points, about 45 minutes** · NumPy only
#
# Replace each blank with your code, run the cell, then run the `check` below it. It says what is wrong, not only that it is.

# %%
from itertools import combinations, permutations

import numpy as np

from mmcourse.check import check

np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## sentiment.1 · What did each modality add?
#
# Difficulty 2 of 3 · 12 minutes · 2 points
#
# Let the modalities come one after the other. Each adds something to the accuracy, and how much depends on who is there already.
# The **Shapley value** of a modality is what it adds, averaged over all orders in which they can come.
#
# **Example** with two: words alone 0.7, face alone 0.4, both 1.0, a guess 0.4. In the order words, face the words add 0.3; in the
# order face, words they add 0.6.

# %%
print("words", (0.3 + 0.6) / 2, " face", (0.3 + 0.0) / 2, " together", 1.0 - 0.4)

# %% [markdown]
# **Write** `shapley(accuracy)`. Its keys are all eight subsets of `("face", "voice", "words")` as sorted tuples, from `()`, the guess, to
# all three; its values are accuracies. Return a dict by modality name.


# %%
def shapley(accuracy):
    """What each modality adds to the accuracy, averaged over the orders in which they come."""
    # BEGIN SOLUTION
    names = ("face", "voice", "words")
    added = dict.fromkeys(names, 0.0)
    for order in permutations(names):
        for place, name in enumerate(order):
            before = tuple(sorted(order[:place]))
            added[name] += (accuracy[tuple(sorted((*before, name)))] - accuracy[before]) / 6
    return added
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# `permutations(names)` gives the six orders. In one order, a modality adds the accuracy with it and all before it, minus the accuracy
# with those before it.
# </details>
#
# <details><summary>Hint 2</summary>
#
# A key must be sorted: `tuple(sorted(order[:place]))`. Before the first one stands `()`. Divide each sum by 6.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
keys = (), ("face",), ("voice",), ("words",), ("face", "voice"), ("face", "words"), ("voice", "words")
keys = *keys, ("face", "voice", "words")
yours = (dict(zip(keys, np.random.default_rng(seed).uniform(0.3, 1, 8).round(2).tolist(), strict=True)),)
print("Accuracies of your own:", *yours)

# %%
check("sentiment.1", shapley)

# %% [markdown]
# ## sentiment.2 · Hold back who is ahead
#
# Difficulty 2 of 3 · 10 minutes · 2 points
#
# Gradient modulation (Peng et al. 2022, arXiv 2203.15332): $s_u$ says how sure modality $u$ alone is of the right class,
# $\alpha$ how hard to brake. With
#
# $$\rho_u = \frac{s_u}{\text{mean of the others' } s} \qquad k_u = 1 - \tanh(\alpha \rho_u) \text{ if } \rho_u > 1, \text{ else } 1$$
#
# the gradient of encoder $u$ is multiplied by $k_u$. (The paper has two modalities; the mean is the course's form for more.)

# %%
print("twice as sure, alpha 0.5:", round(1 - np.tanh(0.5 * 2), 3), "  the other one: 1")

# %% [markdown]
# **Write** `coefficients(sure, alpha)` for `sure` of shape `(M,)`. Return $k$, `(M,)`.


# %%
def coefficients(sure, alpha):
    """What the gradient of each modality's encoder is multiplied by, (M,)."""
    # BEGIN SOLUTION
    others = (sure.sum() - sure) / (len(sure) - 1)
    ratio = sure / others
    return np.where(ratio > 1, 1 - np.tanh(alpha * ratio), 1.0)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# The sum of the others is the sum of all minus itself. There are $M - 1$ of them.
# </details>
#
# <details><summary>Hint 2</summary>
#
# `np.where(ratio > 1, ..., 1.0)` takes the formula where it applies and 1 elsewhere.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
yours = np.random.default_rng(seed).uniform(0.1, 0.9, 3).round(3), 0.5
print("Scores of your own, and alpha:", *yours)

# %%
check("sentiment.2", coefficients)

# %% [markdown]
# ## sentiment.3 · A vote with gaps
#
# Difficulty 2 of 3 · 12 minutes · 2 points
#
# Late fusion multiplies opinions and counts the prior once: $p(y) \propto \prod_{m \text{ there}} p_m(y) \,/\, \text{prior}(y)^{n - 1}$, where
# $n$ is how many are there *for this sample*. With nobody there, $n - 1 = -1$, and the prior is left.

# %%
prior = np.array([0.5, 0.2, 0.3])
print("two who only repeat the prior:", prior * prior / prior, " nobody:", 1 / prior**-1)

# %% [markdown]
# **Write** `vote(p, present, prior)` for opinions `p` `(M, b, C)`, `present` bool `(b, M)` and `prior` `(C,)`. Return `(b, C)`, rows that sum
# to 1. What stands in `p` for an absent modality means nothing.


# %%
def vote(p, present, prior):
    """The product of those opinions that are there, with the prior counted once: (b, C)."""
    # BEGIN SOLUTION
    there = present.T[:, :, None]  # (M, b, 1)
    product = np.where(there, p, 1.0).prod(axis=0)  # (b, C)
    product = product / prior ** (there.sum(axis=0) - 1.0)
    return product / product.sum(axis=1, keepdims=True)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# A factor of 1 changes no product: put it wherever a modality is absent. `present` is `(b, M)`, so turn it to stand before `p`.
# </details>
#
# <details><summary>Hint 2</summary>
#
# `n = present.sum(axis=1, keepdims=True)` is `(b, 1)`, and `prior ** (n - 1.0)` is `(b, C)`. Whole numbers cannot be raised to negative
# powers in NumPy; 1.0 helps.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = g.dirichlet(np.full(3, 3), (3, 1)).round(2), g.random((1, 3)) < 0.6, np.array([0.5, 0.2, 0.3])
print("Three opinions of your own, and who is there:", *yours[0][:, 0], yours[1][0], sep="\n")

# %%
check("sentiment.3", vote)

# %% [markdown]
# ## sentiment.4 · Which model would you ship?
#
# Difficulty 2 of 3 · 11 minutes · 2 points
#
# You know each model's accuracy for all eight subsets (with nothing there it guesses), and how often each modality is there in use.
# Modalities fail independently of one another. Which model is right most often?
#
# **Example** with one modality: there nine times in ten, right 0.8 with it and 0.4 without.

# %%
print("expected accuracy", round(0.9 * 0.8 + 0.1 * 0.4, 2))

# %% [markdown]
# **Write** `choose(models, there)`. `models` maps a name to a dict as in 13.1; `there` maps each modality to the chance that it is
# there, such as `{"face": 0.8, "voice": 0.9, "words": 0.7}`. Return the name of the best model.


# %%
def choose(models, there):
    """The model with the largest expected accuracy."""
    # BEGIN SOLUTION
    names = sorted(there)
    subsets = [s for k in range(4) for s in combinations(names, k)]
    chance = {s: np.prod([there[m] if m in s else 1 - there[m] for m in names]) for s in subsets}
    expected = {name: sum(chance[s] * accuracy[s] for s in subsets) for name, accuracy in models.items()}
    return max(expected, key=expected.get)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Face and words there, voice not: the chance is `there["face"] * (1 - there["voice"]) * there["words"]`. The eight chances sum to 1.
# </details>
#
# <details><summary>Hint 2</summary>
#
# Expected accuracy is the sum over subsets of chance times accuracy. `max(expected, key=expected.get)` gives the name of the largest.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
keys = (), ("face",), ("voice",), ("words",), ("face", "voice"), ("face", "words"), ("voice", "words")
keys = *keys, ("face", "voice", "words")
models = {name: dict(zip(keys, g.uniform(0.3, 1, 8).round(2).tolist(), strict=True)) for name in ("A", "B")}
yours = models, dict(zip(("face", "voice", "words"), g.uniform(0, 1, 3).round(2).tolist(), strict=True))
print("Two models of your own, and how often each modality is there:", *models.items(), yours[1], sep="\n")

# %%
check("sentiment.4", choose)

# %% [markdown]
# ## Done?
#
# Run the whole notebook once more from the top. One way to solve each task is in
# [the solutions](../solutions/sentiment.ipynb). Another way that passes is just as right.
