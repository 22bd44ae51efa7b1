# %% [markdown]
# # Exercises · BERT
#
# *Two tasks: hide words by the rule, and judge a report before you believe it.*
#
# {{budget}}
#
# **Lesson**: [BERT](../bert.ipynb) · **4 points, about 18 minutes** · NumPy only

# %%
import numpy as np

from mmcourse.check import check

# %% [markdown]
# ## bert.1 · Hide words by the rule
#
# Difficulty 2 of 3 · 10 minutes · 2 points
#
# The dice are thrown already. `chosen` says which tokens are asked. For each token `fate` is a number in [0, 1): below 0.8 a
# chosen token becomes `mask_id`; from 0.8 up to (not including) 0.9 it becomes the token of `random_ids` at its place; from 0.9 on it stays.
#
# The labels hold the **true** token where it was chosen and -100 elsewhere.

# %%
ids = np.array([2, 11, 12, 13, 14, 3])
chosen = np.array([False, True, False, True, True, False])
fate = np.array([0.1, 0.5, 0.2, 0.85, 0.95, 0.3])
random_ids = np.array([90, 91, 92, 93, 94, 95])
print("inputs: 2, 4, 12, 93, 14, 3; labels: -100, 11, -100, 13, 14, -100  (mask_id is 4)")

# %% [markdown]
# **Write** `hide(ids, chosen, fate, random_ids, mask_id)`. The four arrays have one shape, of one axis or more. Return
# `inputs, labels` and leave the arrays as they are.


# %%
def hide(ids, chosen, fate, random_ids, mask_id):
    """What the model sees, and what it is asked."""
    # BEGIN SOLUTION
    inputs = np.where(chosen & (fate < 0.8), mask_id, ids)
    inputs = np.where(chosen & (fate >= 0.8) & (fate < 0.9), random_ids, inputs)
    return inputs, np.where(chosen, ids, -100)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# `np.where(condition, a, b)` takes from `a` where the condition holds and from `b` elsewhere. Nothing that was not chosen changes.
# </details>
#
# <details><summary>Hint 2</summary>
#
# Two `np.where` for the inputs, with `chosen & (fate < 0.8)` and `chosen & (fate >= 0.8) & (fate < 0.9)`. One for the labels, from `ids`,
# not from `inputs`.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = np.arange(11, 17), g.random(6) < 0.7, g.integers(0, 20, 6) / 20, np.arange(91, 97), 4
print("Tokens, what is chosen, and fates of your own:", *yours[:3], sep="\n")

# %%
check("bert.1", hide)

# %% [markdown]
# ## bert.2 · Judge a report
#
# Difficulty 2 of 3 · 8 minutes · 2 points
#
# Somebody reports a pre-training: the first loss (in nats, before any step), the size of the vocabulary, the masked-token
# accuracy, and the accuracies of several ways of counting. What do you answer?
#
# - `"leak"` if the first loss is more than 0.5 below that of a model that knows nothing. Then no other number counts.
# - else `"counts"` if the model is not better than the best way of counting;
# - else `"reads"`.
#
# **Example.** First loss 6.6 with 668 tokens, accuracy 0.60, counting gives 0.14 and 0.51: `"reads"`, and the gain over counting is 0.09.
#
# **Write** `judge(first_loss, vocab_size, accuracy, counting)`; `counting` is an array `(k,)`. Return the word, and the gain: accuracy
# minus the best of `counting` (whatever the word is).


# %%
def judge(first_loss, vocab_size, accuracy, counting):
    """Return "leak", "counts" or "reads", and the gain over counting."""
    # BEGIN SOLUTION
    gain = accuracy - counting.max()
    if first_loss < np.log(vocab_size) - 0.5:
        return "leak", gain
    return ("reads" if gain > 0 else "counts"), gain
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# A model that knows nothing gives each of V tokens the probability 1/V. What is its loss? A first loss *above* it is clumsy, not dishonest.
# </details>
#
# <details><summary>Hint 2</summary>
#
# Compare with `np.log(vocab_size) - 0.5` first. Then take `counting.max()`: a baseline is the strongest of its kind, not the weakest.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = round(g.uniform(5, 7), 3), 668, round(g.uniform(0.3, 0.7), 3), np.array([0.14, 0.51, 0.34])
print("A report of your own: first loss, vocabulary, accuracy, counting =", *yours)

# %%
check("bert.2", judge)

# %% [markdown]
# ## Done?
#
# Run the whole notebook once more from the top. One way to solve each task is in
# [the solutions](../solutions/bert.ipynb); another way that passes is just as right.
