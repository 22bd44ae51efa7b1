# %% [markdown]
# # Exercises · Evaluation
#
# *Three short tasks: a score that sees every class, promises kept, and a fair comparison.*
#
# {{budget}}
#
# **Lesson**: [Evaluation](../evaluate.ipynb) · **6 points, about 30 minutes** · NumPy only

# %%
import numpy as np

from mmcourse.check import check

# %% [markdown]
# ## evaluate.1 · Macro F1 by hand
#
# Difficulty 1 of 3 · 8 minutes · 1 point
#
# For one class: **precision** $P$ is the share of what was *called* this class that is right, **recall** $R$ the share of what *is* this
# class that was found, and
#
# $$F_1 = \frac{2PR}{P+R}$$
#
# The macro average is the plain mean of $F_1$ over all classes. Where nothing can be divided (a class never called, or never true), $F_1$ is 0,
# and it still counts in the mean.

# %%
labels = np.array([0, 0, 0, 0, 1, 2])
predictions = np.array([0, 0, 1, 1, 1, 2])
print("class 0: precision 2/2, recall 2/4, F1", round(2 * 1 * 0.5 / 1.5, 3))

# %% [markdown]
# Class 1 has $P = 1/3$, $R = 1$, $F_1 = 0.5$, class 2 has $F_1 = 1$. Macro: $(0.667 + 0.5 + 1)/3 = 0.722$.
#
# **Write** `macro_f1(labels, predictions, n_classes)`. Both arrays are int `(n,)` with values from 0 to `n_classes - 1`. Return one number.


# %%
def macro_f1(labels, predictions, n_classes):
    """Mean F1 over all classes; 0 where nothing can be divided."""
    # BEGIN SOLUTION
    f1 = []
    for k in range(n_classes):
        hits = ((labels == k) & (predictions == k)).sum()
        called_or_true = (labels == k).sum() + (predictions == k).sum()
        f1.append(2 * hits / called_or_true if called_or_true else 0.0)
    return np.mean(f1)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Loop over the classes. For class `k` count three things: hits (`labels` and `predictions` are both `k`), how often `k` was called, how
# often it is true.
# </details>
#
# <details><summary>Hint 2</summary>
#
# $F_1 = 2 \cdot \text{hits} / (\text{called} + \text{true})$ is the same number and divides only once. If called + true is 0, append 0.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
yours = *np.random.default_rng(seed).integers(0, 3, (2, 10)), 3
print("Labels and predictions of your own:", *yours[:2], sep="\n")

# %%
check("evaluate.1", macro_f1)

# %% [markdown]
# ## evaluate.2 · Does it keep its promises?
#
# Difficulty 2 of 3 · 10 minutes · 2 points
#
# **Confidence** is the largest probability of a row, and the answer is its class. Cut the range from 0 to 1 into `bins` equal bins (each open on the left, so that 0.75
# belongs to the bin from 0.5 to 0.75 when there are four). In every bin that holds samples, compare the share of right answers with the mean confidence, and
# add up:
#
# $$\text{ECE} = \sum_B \frac{|B|}{n}\,\big|\,\text{accuracy}(B) - \text{confidence}(B)\,\big|$$

# %%
probabilities = np.array([[0.95, 0.05], [0.85, 0.15], [0.70, 0.30], [0.66, 0.34], [0.58, 0.42]])
labels = np.array([0, 1, 0, 0, 1])
print("right:", probabilities.argmax(axis=1) == labels)

# %% [markdown]
# With four bins two of them are filled. From 0.75 to 1: two samples, accuracy 0.5, confidence 0.9, gap 0.4. From 0.5 to 0.75: three samples,
# accuracy 0.667, confidence 0.647, gap 0.02. So the answer is $\frac25 \cdot 0.4 + \frac35 \cdot 0.02 = 0.172$.
#
# **Write** `calibration_error(labels, probabilities, bins)`; labels int `(n,)`, probabilities `(n, classes)`. Return one number.


# %%
def calibration_error(labels, probabilities, bins):
    """Expected calibration error over equal bins of confidence."""
    # BEGIN SOLUTION
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bin_of = np.ceil(confidence * bins)  # 1, 2, …, bins
    error = 0.0
    for k in np.unique(bin_of):
        inside = bin_of == k
        error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return error
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Make three arrays of shape `(n,)` first: confidence, whether it is right, and the number of the bin. Then loop over the bins that occur.
# </details>
#
# <details><summary>Hint 2</summary>
#
# `np.ceil(confidence * bins)` numbers the bins from 1. With `inside = bin_of == k`, the share $|B|/n$ is `inside.mean()`.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
sure = (2 * g.integers(255, 499, 5) + 1) / 1000  # never on the edge of a bin
yours = g.integers(0, 2, 5), np.stack([sure, 1 - sure], axis=1), 4
print("Labels and probabilities of your own, four bins:", *yours[:2], sep="\n")

# %%
check("evaluate.2", calibration_error)

# %% [markdown]
# ## evaluate.3 · Does B beat A?
#
# Difficulty 2 of 3 · 12 minutes · 3 points
#
# Two models took the same test. Let $n_A$ be the number of samples where only A is right, $n_B$ where only B is. If neither were better, these $n = n_A + n_B$
# samples would fall like fair coins. McNemar's exact p-value, two-sided, is
#
# $$p = \min\Big(1,\; 2\sum_{k=0}^{\min(n_A,\, n_B)} \binom{n}{k}\, 2^{-n}\Big)$$
#
# The verdict is the name of the better model if $p < 0.05$, else `"not shown"`. (If $n$ is 0, nothing is shown, and the formula gives $p = 1$.)

# %%
from math import comb

print("n_A = 1, n_B = 3: p =", min(1, 2 * (comb(4, 0) + comb(4, 1)) / 2**4))

# %% [markdown]
# Three to one is nothing: p = 0.625. **Write** `compare(labels, a, b)` with the true classes and both models' predictions, int `(n,)` each. Return four
# values: `n_a`, `n_b`, `p`, and the verdict as text: `"A"`, `"B"` or `"not shown"`.


# %%
def compare(labels, a, b):
    """Return n_a, n_b, p and the verdict."""
    # BEGIN SOLUTION
    a_right, b_right = a == labels, b == labels
    n_a, n_b = int((a_right & ~b_right).sum()), int((b_right & ~a_right).sum())
    n = n_a + n_b
    p = min(1, 2 * sum(comb(n, k) for k in range(min(n_a, n_b) + 1)) / 2**n)
    if p >= 0.05:
        return n_a, n_b, p, "not shown"
    return n_a, n_b, p, "B" if n_b > n_a else "A"
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# `a_right & ~b_right` marks the samples where only A is right. Where both are right or both wrong, the pair tells nothing.
# </details>
#
# <details><summary>Hint 2</summary>
#
# `range(m)` ends at `m - 1`, so the sum needs `range(min(n_a, n_b) + 1)`. Turn the counts into plain `int` before `comb` and `2**n`.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
yours = tuple(np.random.default_rng(seed).integers(0, 2, (3, 12)))
print("Labels and two models' predictions of your own:", *yours, sep="\n")

# %%
check("evaluate.3", compare)

# %% [markdown]
# ## Done?
#
# Run the whole notebook once more from the top (*Run → Restart Kernel and Run All Cells*). One way to solve each task is in
# [the solutions](../solutions/evaluate.ipynb). Another way that passes is just as right.
