# %% [markdown]
# # Exercises · Tuning
#
# *One short task: which number may be reported after a search?*
#
# {{budget}}
#
# **Lesson**: [Tuning](../tune.ipynb) · **2 points, about 10 minutes** · NumPy only

# %%
import numpy as np

from mmcourse.check import check

# %% [markdown]
# ## tune.1 · Which number may be reported?
#
# Difficulty 2 of 3 · 10 minutes · 2 points
#
# A search tried several settings, each with several seeds. For every run there is a validation accuracy and a test accuracy, which nobody should have looked
# at yet. The report names one setting and one number. Which?

# %%
validation = np.array([[0.70, 0.72], [0.76, 0.74], [0.60, 0.78], [0.66, 0.70]])  # (settings, seeds)
test = np.array([[0.71, 0.70], [0.70, 0.72], [0.69, 0.73], [0.75, 0.73]])
print("mean validation accuracy of each setting:", validation.mean(axis=1).round(2))

# %% [markdown]
# Some candidates: 0.78, the best run; 0.74, the best setting on the test set; 0.75; 0.71. One of them is an honest forecast.
#
# **Write** `report(validation, test)`, both `(settings, seeds)`. Return three values: the number of the `setting` that a careful person
# chooses, the accuracy `reported` for it (a mean over seeds), and by how much the score that chose it had `flattered` it (validation minus
# test; negative if it had not).


# %%
def report(validation, test):
    """Return setting, reported, flattered."""
    # BEGIN SOLUTION
    setting = validation.mean(axis=1).argmax()
    reported = test[setting].mean()
    return setting, reported, validation[setting].mean() - reported
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# What chooses cannot judge. Which of the two tables may choose? And one lucky seed should not decide.
# </details>
#
# <details><summary>Hint 2</summary>
#
# Mean over seeds is `axis=1`, the largest of these means gives the setting. In the example: setting 1, reported 0.71, flattered by 0.04.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
yours = tuple(np.random.default_rng(seed).uniform(0.6, 0.8, (2, 3, 2)).round(3))
print("Validation and test accuracies of your own:", *yours, sep="\n")

# %%
check("tune.1", report)

# %% [markdown]
# ## Done?
#
# Run the whole notebook once more from the top (*Run → Restart Kernel and Run All Cells*). One way to solve each task is in
# [the solutions](../solutions/tune.ipynb). Another way that passes is just as right.
