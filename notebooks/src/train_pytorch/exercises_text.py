# %% [markdown]
# # Exercises · Training in PyTorch
#
# *Compute the rate of a step, shorten gradients without turning them, and read what is wrong with a run from its log.*
#
# {{budget}}
#
# **Lesson**: [Training in PyTorch](../train_pytorch.ipynb) · **6 points, about 30 minutes** · NumPy only
#
# Replace each blank with your code, run the cell, then run the `check` below it. It says what is wrong, not only that it is.

# %%
import math

import numpy as np

from mmcourse.check import check

np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## train_pytorch.1 · The rate of a step
#
# Difficulty 1 of 3 · 8 minutes · 1 point
#
# Steps are counted from 0. In the first `warmup` steps the rate climbs from 0 in a straight line, so that step `warmup` would
# have the `peak`. From there it falls along half a cosine, so that step `total`, which never comes, would have 0:
#
# $$\text{peak}\cdot\frac{s}{w} \qquad\text{then}\qquad \text{peak}\cdot\Big(\tfrac12 + \tfrac12\cos\big(\pi\,\tfrac{s-w}{S-w}\big)\Big)$$
#
# with $s$ the `step`, $w$ the number of `warmup` steps and $S$ the `total`.
#
# **Example.** Ten steps, four of them to warm up, peak 0.5. Step 7 is halfway between 4 and 10:

# %%
print(0.5 * (0.5 + 0.5 * math.cos(math.pi * 3 / 6)))

# %% [markdown]
# **Write** `learning_rate(step, total, warmup, peak)`. With `warmup` 0 there is no climb.


# %%
def learning_rate(step, total, warmup, peak):
    """Rate of a step, a number."""
    # BEGIN SOLUTION
    if step < warmup:
        return peak * step / warmup
    return peak * (0.5 + 0.5 * math.cos(math.pi * (step - warmup) / (total - warmup)))
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Two cases: `if step < warmup`. The second one starts counting where the first one ended.
# </details>
#
# <details><summary>Hint 2</summary>
#
# The cosine goes from 1 to -1 while its argument goes from 0 to π; halved and lifted by a half it goes from 1 to 0.
# </details>

# %% tags=["variant"]
step = 7  # of: 0 to 19
warmup = 4  # of: 0 to 8
yours = step, 20, warmup, 0.1
print("A step of your own: step, total, warmup, peak =", *yours)

# %%
check("train_pytorch.1", learning_rate)

# %% [markdown]
# ## train_pytorch.2 · One factor for all
#
# Difficulty 2 of 3 · 10 minutes · 2 points
#
# A model's gradients are a list of arrays of different shapes. Their common length is that of all their numbers in one long
# vector. If it exceeds `largest`, shorten *all* of them by one factor, so that it is exactly `largest`. Else leave them.
#
# **Example.** Two gradients, (3, 0) and (4), have the common length 5:

# %%
print(np.sqrt(np.sum(np.array([3.0, 0.0]) ** 2) + np.sum(np.array([4.0]) ** 2)))

# %% [markdown]
# **Write** `clip(gradients, largest)`, which returns a list of arrays of the same shapes. Do not change the arrays you were
# given.


# %%
def clip(gradients, largest):
    """Gradients whose common length is at most `largest`, a list."""
    # BEGIN SOLUTION
    length = np.sqrt(sum((g**2).sum() for g in gradients))
    return [g * largest / max(length, largest) for g in gradients]
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Sum the squares over every array first, then take one root.
# </details>
#
# <details><summary>Hint 2</summary>
#
# The factor is `largest / length` where the length is too large, else 1. Both in one: `largest / max(length, largest)`.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = [g.integers(-9, 10, 2) * 1.0, g.integers(-9, 10, (2, 2)) * 1.0], 3.0
print("Gradients of your own, and the limit:", *yours[0], yours[1], sep="\n")

# %%
check("train_pytorch.2", clip)

# %% [markdown]
# ## train_pytorch.3 · What is wrong with this run?
#
# Difficulty 2 of 3 · 12 minutes · 3 points
#
# You get the log of a run: `loss` and `val_loss`, lists with one number an epoch, and the number of `classes`. Answer with the
# **first** line that fits:
#
# - `"diverged"`: some number, in either list, is NaN or infinite;
# - `"bad start"`: the first training loss is more than 0.5 away from that of an ignorant model;
# - `"learned nothing"`: the last training loss is above 0.95 of an ignorant model's;
# - `"overfits"`: the last validation loss is more than 1.1 times the lowest one;
# - `"healthy"`: none of these.
#
# **Example.** An ignorant model of ten classes loses:

# %%
print(f"{math.log(10):.3f}, so a first loss of 7.5 is a bad start")

# %% [markdown]
# **Write** `diagnose(loss, val_loss, classes)`, which returns one of the five.


# %%
def diagnose(loss, val_loss, classes):
    """The first rule that fits the log, a text."""
    # BEGIN SOLUTION
    ignorant = math.log(classes)
    if not np.isfinite(loss + val_loss).all():
        return "diverged"
    if abs(loss[0] - ignorant) > 0.5:
        return "bad start"
    if loss[-1] > 0.95 * ignorant:
        return "learned nothing"
    return "overfits" if val_loss[-1] > 1.1 * min(val_loss) else "healthy"
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# `np.isfinite` of both lists together, first: with NaN every later comparison is False.
# </details>
#
# <details><summary>Hint 2</summary>
#
# An ignorant model loses `math.log(classes)`. A first loss far *below* it is as suspicious as one far above: use `abs`.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = np.sort(g.uniform(0.1, 1.3, 4).round(3))[::-1].tolist(), g.uniform(0.5, 1, 4).round(3).tolist(), 3
print("A run of your own: loss, val_loss, classes", *yours, sep="\n")

# %%
check("train_pytorch.3", diagnose)

# %% [markdown]
# ## Done?
#
# Run the whole notebook once more from the top. One way to solve each task is in
# [the solutions](../solutions/train_pytorch.ipynb). Another way that passes is just as right.
