# %% [markdown]
# # Exercises · Start here
#
# *Three short tasks on what a model can reach, how three opinions become one, and when a gain is worth having.*
#
# {{budget}}
#
# **Lesson**: [Start here](../start_here.ipynb) · **6 points, about 27 minutes** · NumPy only

# %% [markdown]
# ## How an exercise works
#
# 1. Read the task and its small example.
# 2. Replace the line `raise NotImplementedError("your turn")` with your code, and run the cell.
# 3. Run the `check` cell below it. It says what is wrong, not only that it is wrong.
#
# Loops are as welcome as NumPy tricks. Try twice before you open the second hint. Nothing is timed or sent anywhere.

# %%
import numpy as np

from mmcourse.check import check

# %% [markdown]
# ## start_here.1 · The best accuracy there is
#
# Difficulty 1 of 3 · 5 minutes · 1 point
#
# A model sees one cue `x`, say a frown or a smile, and names a mood `y`. The table `joint[y, x]` holds the probability
# of each pair, and all its cells sum to 1. How often can the best possible model be right?
#
# **Example.** Two moods (rows) and two faces (columns).

# %%
small = np.array(
    [
        [0.4, 0.1],  # sad:   frown, smile
        [0.2, 0.3],  # happy: frown, smile
    ]
)
print("p(frown), p(smile) =", small.sum(axis=0))

# %% [markdown]
# At a frown the best answer is "sad", right in 0.4 of all cases. At a smile it is "happy", right in another 0.3.
# Together: 0.7. This number is the **Bayes accuracy**, the ceiling of every model that sees only the face.
#
# **Write** `bayes_accuracy(joint)` for a table with any number of moods and cues. Return one number.


# %%
def bayes_accuracy(joint):
    """Best accuracy from the cue alone; joint is (moods, cues)."""
    # BEGIN SOLUTION
    return joint.max(axis=0).sum()
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# For each cue, which mood do you name? Point at that cell in every column of the example.
# </details>
#
# <details><summary>Hint 2</summary>
#
# Take the largest value of each column (`axis=0` runs down the columns), then add these values up.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
yours = (np.random.default_rng(seed).multinomial(100, np.ones(6) / 6).reshape(2, 3) / 100,)
print("A table of your own to try by hand:", *yours, sep="\n")

# %%
check("start_here.1", bayes_accuracy)

# %% [markdown]
# ## start_here.2 · Late fusion with the prior counted once
#
# Difficulty 2 of 3 · 10 minutes · 2 points
#
# Three models look at the same person: one reads the words, one hears the voice, one sees the face. Each gives
# probabilities of the three moods. If the cues are independent once the mood is known, then
#
# $$p(y \mid x_1, x_2, x_3) \;\propto\; \frac{p(y \mid x_1)\, p(y \mid x_2)\, p(y \mid x_3)}{p(y)^2}$$
#
# Each factor on top contains the **prior** $p(y)$, how common the mood is before anyone looks. It should count once, so
# two of the three are divided out. The sign $\propto$ means: scale afterwards, so that the moods sum to 1.
#
# **Example.** One person, two models (so one prior is divided out), two moods.

# %%
words, face, prior = np.array([0.8, 0.2]), np.array([0.6, 0.4]), np.array([0.5, 0.5])
product = words * face / prior
print("product", product, "-> fused", (product / product.sum()).round(3))

# %% [markdown]
# Two mild opinions that agree make a firmer one: 0.8 and 0.6 became 0.857.
#
# **Write** `late_fusion(p_words, p_voice, p_face, prior)`. The first three are `(b, 3)`: one row for each of `b`
# people. `prior` is `(3,)`. Return probabilities `(b, 3)`, and leave the inputs as they are.


# %%
def late_fusion(p_words, p_voice, p_face, prior):
    """Fuse three posteriors (b, 3), the prior (3,) counted once."""
    # BEGIN SOLUTION
    product = p_words * p_voice * p_face / prior**2  # (b, 3)
    return product / product.sum(axis=1, keepdims=True)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Multiply the three arrays element by element. How many times is the prior inside that product, and how many times
# should it be? NumPy lays `prior` of shape `(3,)` along every row by itself.
# </details>
#
# <details><summary>Hint 2</summary>
#
# Divide by `prior**2`. Then divide each row by its own sum; `keepdims=True` keeps the sums as a column `(b, 1)`.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = *g.dirichlet(np.full(3, 3), (3, 1)).round(2), np.array([0.5, 0.3, 0.2])
print("One person of your own: words, voice, face, prior", *yours, sep="\n")

# %%
check("start_here.2", late_fusion)

# %% [markdown]
# ## start_here.3 · Is the gain worth having?
#
# Difficulty 2 of 3 · 12 minutes · 3 points
#
# "Fusion gives 81 %, words alone 70 %" says little by itself. Three questions make it a claim:
#
# - **gain**: how many percentage points between the mean accuracies? From 0.70 to 0.81 is 11 points.
# - **share**: which part of the gap between the single model and the *ceiling* was closed?
# - **supported**: is the mean gain more than two standard errors above zero?
#
# Both models ran with the same seeds, so run 1 belongs with run 1. Take the difference of each pair. The standard error
# is the standard deviation of these $s$ differences (with $s-1$ in it: `ddof=1`) over $\sqrt{s}$. One seed alone shows no
# spread, so it supports nothing.

# %%
words_only, with_fusion = np.array([0.60, 0.64]), np.array([0.70, 0.72])
difference = with_fusion - words_only
print("differences", difference.round(2))
print("standard error", (difference.std(ddof=1) / np.sqrt(2)).round(3))

# %% [markdown]
# Here the means are 0.62 and 0.71: a gain of 9 points. With a ceiling of 0.92 the gap was 0.30, and 0.09 of it was
# closed: a share of 0.3. And 0.09 is more than two times 0.01, so the claim is supported.
#
# **Write** `worth_it(single, fused, ceiling)`. `single` and `fused` are `(s,)` accuracies between 0 and 1, paired by
# seed. Return three values: `gain` in points, `share`, and `supported` as True or False.


# %%
def worth_it(single, fused, ceiling):
    """Return gain in points, share of the gap closed, supported."""
    # BEGIN SOLUTION
    difference = fused - single  # (s,)
    gain, gap = difference.mean(), ceiling - single.mean()
    if len(single) == 1:
        return 100 * gain, gain / gap, False
    error = difference.std(ddof=1) / np.sqrt(len(single))
    return 100 * gain, gain / gap, gain > 2 * error
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Everything follows from `difference = fused - single`. Its mean is the gain as a fraction. The gap does not end at 1.
# </details>
#
# <details><summary>Hint 2</summary>
#
# `share` is `difference.mean() / (ceiling - single.mean())`. Compare the mean itself, not its absolute value, with two
# standard errors: a sure loss is no gain. Return `False` early when `len(single) == 1`.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = g.uniform(0.6, 0.7, 4).round(2), g.uniform(0.65, 0.8, 4).round(2), 0.92
print("Runs of your own to judge: single, fused, ceiling", *yours, sep="\n")

# %%
check("start_here.3", worth_it)

# %% [markdown]
# ## Done?
#
# Run the whole notebook once more from the top (*Run → Restart Kernel and Run All Cells*): what passes then does not
# depend on the order of your clicks. One way to solve each task is in
# [the solutions](../solutions/start_here.ipynb). Another way that passes is just as right.
