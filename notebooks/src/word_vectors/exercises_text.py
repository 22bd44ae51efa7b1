# %% [markdown]
# # Exercises · Word vectors
#
# *One short task: learn the pieces of words, one pair at a time.*
#
# {{budget}}
#
# **Lesson**: [Word vectors](../word_vectors.ipynb) · **1 point, about 7 minutes** · Python and NumPy only

# %% [markdown]
# Replace each line `raise NotImplementedError("your turn")` with your code, run the cell, then run the `check` cell below it. Loops are as
# welcome as tricks.

# %%
import numpy as np

from mmcourse.check import check

# %% [markdown]
# ## word_vectors.1 · The next byte pair
#
# Difficulty 1 of 3 · 7 minutes · 1 point
#
# Byte-pair encoding joins the commonest pair of neighbouring pieces. `words` says how each word is cut so far, and how often the word
# occurs.

# %%
words = {("r", "e", "d"): 5, ("r", "e", "d", "d", "e", "r"): 2, ("b", "e", "d"): 3}
for pieces, count in words.items():
    print(f"{' '.join(pieces):12}", count, "times, pairs:", list(zip(pieces, pieces[1:], strict=False)))

# %% [markdown]
# *e d* stands once in each of the three words, so it comes 5 + 2 + 3 = 10 times; *r e* only 7 times. The answer is `("e", "d")`. Every
# place counts, overlapping ones too: in *a a a* the pair *a a* stands twice.
#
# **Write** `next_pair(words)`. Return the pair as `(first, second)`. If several come equally often, take the first by alphabet (Python's own
# order of tuples), so that everyone learns the same merges.


# %%
def next_pair(words):
    """words: {tuple of pieces: how often the word occurs}. Return the commonest pair of neighbours."""
    # BEGIN SOLUTION
    found = {}
    for pieces, count in words.items():
        for pair in zip(pieces, pieces[1:], strict=False):
            found[pair] = found.get(pair, 0) + count
    return min(found, key=lambda pair: (-found[pair], pair))
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Keep a dict from pair to count. Go through the words, and through the neighbours in each; what do you add each time?
# </details>
#
# <details><summary>Hint 2</summary>
#
# Add the word's count, not 1. At the end `min(found, key=lambda pair: (-found[pair], pair))` takes the largest count first and then the
# alphabet.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = ({word: int(g.integers(1, 30)) for word in (("s", "e", "e"), ("s", "e", "e", "n"), ("s", "o"), ("n", "o"))},)
print("Words of your own to join by hand:", *yours)

# %%
check("word_vectors.1", next_pair)

# %% [markdown]
# ## Done?
#
# Run the whole notebook once more from the top. One way to solve each task is in [the solutions](../solutions/word_vectors.ipynb).
