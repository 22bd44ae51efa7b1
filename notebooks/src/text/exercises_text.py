# %% [markdown]
# # Exercises · Text
#
# *Two tasks: weigh words, and judge which of them may go.*
#
# {{budget}}
#
# **Lesson**: [Text](../text.ipynb) · **5 points, about 25 minutes** · Python and NumPy only

# %% [markdown]
# Replace each line `raise NotImplementedError("your turn")` with your code, run the cell, then run the `check` cell below it. Loops are as
# welcome as tricks.

# %%
import numpy as np

from mmcourse.check import check

# %% [markdown]
# ## text.1 · TF-IDF for any table
#
# Difficulty 2 of 3 · 10 minutes · 2 points
#
# `counts[i, v]` says how often word `v` occurs in text `i`. Of `n` texts, $\text{df}_v$ have word `v` at least once.
#
# $$w_{iv} = \text{tf}_{iv}\left(\ln\frac{1 + n}{1 + \text{df}_v} + 1\right), \qquad \text{then each row divided by its length}$$

# %%
counts = np.array([[1, 1, 0], [2, 0, 1]])  # two texts, three words
idf = np.log(3 / (1 + np.array([2, 1, 1]))) + 1
print("idf        ", idf.round(3))
print("first row  ", (counts[0] * idf).round(3), "of length", np.linalg.norm(counts[0] * idf).round(3))

# %% [markdown]
# **Write** `tf_idf(counts)` for any table `(n, v)` of whole numbers. Return numbers of the same shape. A text without any word keeps a row of
# zeros: no NaN.


# %%
def tf_idf(counts):
    """counts (n, v) → weights (n, v), each row of length 1, or 0 if the text is empty."""
    # BEGIN SOLUTION
    df = (counts > 0).sum(axis=0)  # (v,)
    weights = counts * (np.log((1 + len(counts)) / (1 + df)) + 1)
    lengths = np.linalg.norm(weights, axis=1, keepdims=True)  # (n, 1)
    return weights / np.where(lengths == 0, 1, lengths)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# `df` is about texts, not about occurrences: a word that stands twice in one text counts once. `counts > 0` is a good start.
# </details>
#
# <details><summary>Hint 2</summary>
#
# `np.linalg.norm(weights, axis=1, keepdims=True)` gives the lengths as a column. Put 1 where a length is 0, then divide.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
yours = (np.random.default_rng(seed).integers(0, 9, (2, 3)) + np.eye(2, 3, dtype=int),)
print("Counts of your own to weigh by hand:", *yours, sep="\n")

# %%
check("text.1", tf_idf)

# %% [markdown]
# ## text.2 · Which words are dangerous to remove?
#
# Difficulty 3 of 3 · 15 minutes · 3 points
#
# A stop list from a book knows neither your sentences nor your labels. Here is a judgement that you can compute. Removing a word is
# **dangerous** if it makes two sentences that were different, *and have different labels*, the same. No model can tell them apart after that.

# %%
sentences = ["the film was good", "the film was not good", "film was good"]
labels = ["praise", "blame", "praise"]
for word in ("the", "not", "was"):
    print(f"without {word:4}", [[w for w in s.split() if w != word] for s in sentences])

# %% [markdown]
# Without *not*, the first two become one, though one is praise and one is blame: dangerous. Without *the*, first and third become one, but both are praise: harmless. So
# the answer is `["not"]`.
#
# **Write** `dangerous(sentences, labels, stop_words)`. Try each stop word *alone*, the others left in place. Words are what stands between spaces;
# their order counts. Return the dangerous words as a list, sorted by alphabet.


# %%
def dangerous(sentences, labels, stop_words):
    """sentences: list of str; labels: one each; stop_words: list of str. Return a sorted list of words."""
    # BEGIN SOLUTION
    found = []
    for word in stop_words:
        short = [[w for w in sentence.split() if w != word] for sentence in sentences]
        pairs = [(i, j) for i in range(len(short)) for j in range(i) if short[i] == short[j]]
        if any(labels[i] != labels[j] and sentences[i] != sentences[j] for i, j in pairs):
            found.append(word)
    return sorted(found)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# For one stop word: shorten all sentences, then compare each with each. Three things must hold for a pair that does harm.
# </details>
#
# <details><summary>Hint 2</summary>
#
# The shortened lists are equal, the labels differ, and the sentences themselves differed before. If any pair is like that, keep the word.
# </details>

# %% tags=["variant"]
thing = "film"  # of: "film", "song", "book", "play", "meal", "game", "trip", "talk", "team", "house"
word = "never"  # of: "never", "hardly", "not", "barely", "seldom"
yours = [f"the {thing} was {word} good", f"the {thing} was good", f"{thing} was good"], [0, 1, 1], ["the", word, thing]
print("Sentences, labels and stop words of your own:", *yours, sep="\n")

# %%
check("text.2", dangerous)

# %% [markdown]
# ## Done?
#
# Run the whole notebook once more from the top. One way to solve each task is in [the solutions](../solutions/text.ipynb). Then try
# `dangerous` on the sentences of `mood`: `load("mood", "train").column("words")`, each once, with `meta["words_cue"]` as labels. It finds no
# dangerous word among those of scikit-learn's list, not even *not*. Why? (The lesson's section 6 knows.)
