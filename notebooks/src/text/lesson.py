# %% [markdown]
# # Text
# *In an hour you will turn raw text into numbers, and measure what each cleaning step costs.*
#
# {{budget}}
#
# **You will be able to**
# - turn bytes into characters, and several spellings of a character into one;
# - cut English and Chinese into tokens, by rule and by a list of words;
# - weigh words by TF-IDF, by hand and with scikit-learn, to the same digits;
# - give words ids, pad a batch, and average without counting the padding;
# - measure what a cleaning step costs before you trust it.
#
# **Before this:** [Start here](start_here.ipynb).
#
# **Time to read:** 35 minutes, then 25 for the [exercises](exercises/text.ipynb).

# %%

import numpy as np

from mmcourse import plot
from mmcourse.datasets import load
from mmcourse.evaluate import expect_within
from mmcourse.preprocess import text

scenes, mood = load("scenes", "train"), load("mood", "train")
captions, chinese = list(scenes.column("words")), list(scenes.meta["caption_zh"])
len(captions), len(set(mood.column("words")))

# %% [markdown]
# ## 1 · The question
# `scenes` holds drawings of colored shapes, each with a caption in English and, in words of its own, one in
# Chinese. Here are three short ones.

# %%
short = sorted(range(300), key=lambda i: len(captions[i]))[:3]
for i in short:
    print(captions[i], "|", chinese[i])

# %% [markdown]
# Take the pictures away. A program sees the captions only, as strings. What can it count?
#
# Many textbooks tell you to throw away **stop words**, the small words that "carry no meaning".

# %%
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer, TfidfVectorizer

for sentence in ("The party was not great at all.", "What a great party that was."):
    print([w for w in sentence.lower().rstrip(".").split() if w not in ENGLISH_STOP_WORDS])

# %% [markdown]
# Two opposite opinions, the same two words. **Predict:** does throwing stop words away help or hurt a program that must
# tell praise from blame? Section 6 measures it, and the answer has a catch.
#
# ## 2 · The idea by hand
# ### From bytes to characters
# A file holds **bytes**, numbers from 0 to 255. An **encoding** says which characters they mean; nearly all text today is
# UTF-8, where a character takes one to four bytes. Nothing in the bytes says which encoding they are in, and a wrong guess gives nonsense. (`text.read` would stop at
# the first bad byte and say where; Python goes on where it is asked for `errors="replace"`, and prints �.)

# %%
for string in ("red", "café", "红色", "🙂"):
    print(f"{len(string)} characters, {len(string.encode()):2} bytes:", string, string.encode().hex(" "))
print("UTF-8 read as Latin-1:", "café".encode().decode("latin-1"))
print("Latin-1 read as UTF-8:", "café".encode("latin-1").decode(errors="replace"))

# %% [markdown]
# Even the right characters can fool you. **Predict** whether these two words are equal.

# %%
one, two = "café", "cafe\u0301"
print(one, two, one == two, len(one), len(two))

# %% [markdown]
# The second spells é as *e* plus a separate accent. Unicode's normal form **NFKC** gives one spelling to many that mean the same (not to all that look alike): it joins accents,
# and narrows the full-width letters and commas of Chinese typing.

# %%
for raw in (two, "Ｒｅｄ", "红色，蓝色", "ﬁne", "  Red\t\u200bsquare "):
    print(ascii(raw), "->", text.normalize(raw))

# %% [markdown]
# `normalize` also removes invisible characters and makes letters small. Each step *forgets* something: "US" and "us" become one word.
# Clean as much as your question allows, and not more.
#
# ### From characters to tokens
# A model counts **tokens**, pieces of text. One pattern goes a long way: a run of letters (an apostrophe may stand inside), or one
# Chinese character, or one punctuation mark.

# %%
print(text.tokenize(text.normalize("I didn't enjoy it!")))
print(text.tokenize(text.normalize(chinese[short[0]])))

# %% [markdown]
# Chinese has no spaces. Single characters are safe but short; 红 and 色 together are one word, *red*. If you have a list of words you can cut the
# longest match each time. If you have none, pieces can be *learned*: the lesson [Word vectors](word_vectors.ipynb).

# %%
from mmcourse.datasets.scenes.captions import chinese_words

print(text.maximum_matching(text.normalize(chinese[short[0]]), chinese_words()))

# %% [markdown]
# ### From tokens to a bag of words
# Three captions of our own. All distinct words, in a fixed order, are the **vocabulary** $V = \{v_1, \dots, v_n\}$. A sentence becomes the vector of
# how often each $v_i$ occurs in it: a **bag of words**.

# %%
three = ["a red star above a red circle", "a blue star", "a red circle above a star"]
V = sorted({word for line in three for word in line.split()})
counts = np.array([[line.split().count(v) for v in V] for line in three])  # (3 sentences, 6 words)
assert ["a star above a red circle".split().count(v) for v in V] == counts[2].tolist()
fig = plot.matrix(counts, "What does a bag of words keep?", three, V)
plot.show(fig, alt="Counts of six words in three captions; a and red stand twice in the first.")

# %% [markdown]
# It keeps how often, and forgets the order: "a star above a red circle" would give the third row again, though it shows another
# picture.
#
# ## 3 · The formula
# ### TF-IDF: what is everywhere says little
# Every caption has an "a"; only one has "blue". Weigh each count (term frequency, *tf*) by how rare its word is among the $N$ texts, of which
# $\text{df}_v$ contain $v$ (Spärck Jones 1972; the form with the ones is scikit-learn's). $\|\cdot\|_2$ is the length of a row, so each row ends with length 1:
#
# $$\text{idf}_v = \ln\frac{1 + N}{1 + \text{df}_v} + 1 \qquad w_{iv} = \frac{\text{tf}_{iv}\,\text{idf}_v}{\big\|\text{tf}_i\,\text{idf}\big\|_2}$$

# %%
df = (counts > 0).sum(axis=0)  # (6,) in how many captions
idf = np.log((1 + len(three)) / (1 + df)) + 1
weights = counts * idf  # (3, 6)
weights /= np.linalg.norm(weights, axis=1, keepdims=True)
fig = plot.matrix(weights, "Which words tell the captions apart?", three, V)
plot.show(fig, alt="TF-IDF weights of the same captions: in the second, blue now weighs most.")

# %% [markdown]
# In the second caption all counts were 1. Now *blue* stands out.
#
# ## 4 · The same with a library
# **scikit-learn** has bag and TF-IDF. By default it drops one-letter words; with another `token_pattern` it agrees with you.

# %%
bag = CountVectorizer(token_pattern=r"\w+").fit(three)
assert bag.get_feature_names_out().tolist() == V and (bag.transform(three).toarray() == counts).all()
tfidf = TfidfVectorizer(token_pattern=r"\w+").fit_transform(three).toarray()
assert np.allclose(tfidf, weights) and np.allclose(text.tf_idf(counts), weights)
print("by hand, mmcourse and scikit-learn: equal")

# %% [markdown]
# **NLTK** brings tokenizers for every taste. There is no right one, only one that fits: look at *didn't*, at *3.5-star* and at the
# smiley.

# %%
from nltk.tokenize import TreebankWordTokenizer, TweetTokenizer, wordpunct_tokenize

tweet = "I didn't enjoy the 3.5-star film :-("
print("wordpunct", wordpunct_tokenize(tweet))
print("Treebank ", TreebankWordTokenizer().tokenize(tweet))
print("Tweet    ", TweetTokenizer().tokenize(tweet))

# %% [markdown]
# **Stemming** cuts endings by rule, so that *loved* and *loves* count as one. Porter's rules know no meaning: **predict** what becomes of
# *wonderful* and of *better*. Below it, a text written by people for people: what scikit-learn says of its handwritten digits.

# %%
from nltk.stem import PorterStemmer

stem = PorterStemmer().stem
for word in ("loved", "loves", "parties", "boring", "wonderful", "wonder", "better", "general", "generous"):
    print(word, "→", stem(word), end="   ")

# %%
from sklearn.datasets import load_digits

written = [word for word in wordpunct_tokenize(load_digits().DESCR.lower()) if word.isalpha()]
print(f"{len(written)} words, {len(set(written))} different, {len({stem(word) for word in written})} stems")
for key in ("digit", "refer"):
    print(key, "←", sorted({word for word in written if stem(word) == key}))

# %% [markdown]
# *Wonderful* meets *wonder*, and *better* never meets *good*; *references* (a list of papers) meets *refers*. All of that is program code. Some of NLTK needs **data** which a clean install
# does not have; you fetch it once, with `nltk.download`. Which?

# %% tags=["free"]
import re

import nltk

calls = {
    "nltk.word_tokenize": lambda: nltk.word_tokenize("One. Two."),
    "nltk.sent_tokenize": lambda: nltk.sent_tokenize("One. Two."),
    "stopwords.words": lambda: nltk.corpus.stopwords.words("english"),
    "WordNetLemmatizer": lambda: nltk.stem.WordNetLemmatizer().lemmatize("geese"),
}
for name, call in calls.items():
    try:
        call()
        print(name, "works here")
    except LookupError as error:
        print(name, "needs", re.search(r"nltk.download\('\w+'\)", str(error))[0])

# %% [markdown]
# ## 5 · At work
# ### Ids, padding and masks
# Models want numbers in rectangles. Each word gets an **id**; 0 is kept for padding, 1 for words never seen. `padding_mask` says which places are real.

# %%
from mmcourse.datasets.scenes.captions import tokens

sentences = [tokens(caption) for caption in captions]  # small letters, no punctuation
vocabulary = text.Vocabulary.build(sentences)
ids, padding_mask = vocabulary.encode([["a", "red", "star"], ["a", "puce", "star", "above", "a", "cross"]])
print(f"{len(vocabulary)} tokens in all", ids, padding_mask, sep="\n")

# %% [markdown]
# *Puce* became 1. Now average the vectors of each caption. Padding has a vector too, row 0 of the table, and it must not vote: **multiply by the
# mask, divide by the number of real words**. (PyTorch's own layers often ask for the opposite mask, True where padded. Read their page.)


# %%
def mean_vector(table, ids, mask):
    return (table[ids] * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)  # (b, l, d) → (b, d)


table = np.random.default_rng(0).normal(size=(len(vocabulary), 2))
longer, longer_mask = np.pad(ids, ((0, 0), (0, 4))), np.pad(padding_mask, ((0, 0), (0, 4)))  # four more pads
print("without mask:", table[ids].mean(axis=1)[0].round(2), "then", table[longer].mean(axis=1)[0].round(2))
print("with mask:   ", mean_vector(table, ids, padding_mask)[0].round(2), "then", end=" ")
print(mean_vector(table, longer, longer_mask)[0].round(2))

# %% [markdown]
# Without a mask, the meaning of a caption depends on how long its neighbors in the batch are. That bug raises no error.
#
# ## 6 · Take it apart
# ### Do stop words matter here?
# The words of `mood` *claim* a feeling: negative, neutral or positive. A logistic regression reads them, as a bag of single words or with **pairs** of neighbors too, with and without stop words.

# %%
from sklearn.linear_model import LogisticRegression

said = {}  # of each split, sentence → what it claims
for part in (mood, load("mood", "test")):
    said[part.split] = dict(zip(part.column("words"), part.meta["words_cue"], strict=True))
cleanings = {
    "all words": set(),
    "no stop words": ENGLISH_STOP_WORDS,
    "no stop words but not": ENGLISH_STOP_WORDS - {"not"},
}


def cut(sentence, removed, pairs):
    words = [w for w in text.tokenize(text.normalize(sentence)) if w.isalpha() and w not in removed]
    return words + [f"{a} {b}" for a, b in zip(words, words[1:], strict=False)] * pairs


new, meant = list(said["test"]), np.array(list(said["test"].values()))  # 506 sentences never seen in training
has_not = np.array([" not " in sentence for sentence in new])


def right(removed, pairs, seed):
    lines = np.random.default_rng(seed).choice(list(said["train"]), len(said["train"]))  # a training set drawn anew
    bag = CountVectorizer(analyzer=lambda line: cut(str(line), removed, pairs))
    model = LogisticRegression(max_iter=1000).fit(bag.fit_transform(lines), [said["train"][line] for line in lines])
    return model.predict(bag.transform(new)) == meant


# %% [markdown]
# **Predict** the order of the six before you run it. Mean of five training sets:

# %%
cases = [(name, pairs) for pairs in (False, True) for name in cleanings]
results = {case: np.stack([right(cleanings[case[0]], case[1], seed) for seed in range(5)]) for case in cases}
names = [f"{'pairs' if pairs else 'single words'}, {name}" for name, pairs in cases]
fig = plot.bar_with_ceiling(
    names,
    [results[case].mean() for case in cases],
    [None] * 6,
    [results[case].mean(axis=1).std(ddof=1) for case in cases],
    title="Do stop words matter?",
    chance=1 / 3,
)
plot.show(
    fig,
    alt="Accuracy: single words about 0.9 whatever the cleaning; pairs reach nearly 1 with all words, 0.87 without stop "
    "words, and 0.96 when only the stop word not is kept.",
)

# %%
level = {case: results[case].mean() for case in cases}
expect_within(
    "single words: what stop words are worth", level["all words", False] - level["no stop words", False], 0.012, 0.02
)
expect_within("pairs: what stop words are worth", level["all words", True] - level["no stop words", True], 0.12, 0.03)
expect_within(
    "pairs: what the one word not is worth",
    level["no stop words but not", True] - level["no stop words", True],
    0.09,
    0.03,
)
behind = level["no stop words", True] - level["all words", False]
expect_within("pairs without stop words, less single words with them", behind, -0.03, 0.025)
expect_within("single words, on sentences with not", results["all words", False][:, has_not].mean(), 0.52, 0.08)
expect_within("pairs, on sentences with not", results["all words", True][:, has_not].mean(), 0.98, 0.03)

# %% [markdown]
# The catch: for *single words* the textbook is right, stop words hardly matter, because a bag cannot use "not" anyway. It adds up votes, and "not" turns a vote around:
# the synergy of lesson [start_here](start_here.ipynb), inside one modality. A model that *can* use it loses its whole lead when all stop words go.
#
# **Predict:** what if only "not" goes, and the other small words stay?

# %%
without_not = np.mean([right({"not"}, True, seed).mean() for seed in range(5)])
expect_within("pairs, all words but not", without_not, 0.99, 0.015)

# %% [markdown]
# Nothing is lost! In these sentences "not" never comes alone: "not great *at all*", "*did* not like it *one bit*". Text is redundant, and our grammar more so than life.
# A word's worth depends on what else you keep. So measure the whole recipe, on your data.
#
# ## 7 · At full size
# The same call with the real thing: NLTK's own stop words, fetched on Colab, or used where you have them already; otherwise this cell says so.

# %% tags=["free"]
from mmcourse.runtime import on_colab

if on_colab():
    nltk.download("stopwords", quiet=True)
try:
    theirs = set(nltk.corpus.stopwords.words("english"))
    print("not in NLTK's list:", "not" in theirs, "accuracy with pairs:", right(theirs, True, 0).mean().round(3))
except LookupError:
    print("not run: NLTK's stop words are not here; their list has 'not' too, so expect a loss like the one above")

# %% [markdown]
# ## 8 · What to remember
# - Bytes need an encoding, characters a normal form; every cleaning step forgets something.
# - A bag keeps counts and forgets order. TF-IDF turns down what is everywhere; fit it on training texts only.
# - Mask before you average. Measure a recipe of cleaning with the model that will use it.
#
# ## 9 · Check yourself
# **1.** A word occurs in all of 1,000 texts. What is its idf here? And in a formula without the last "+ 1"?
# <details><summary>Answer</summary>
#
# $\ln(1001/1001) + 1 = 1$: the smallest, but not zero. Without the "+ 1" it would vanish.
# </details>
#
# **2.** You pad with zeros *and* give `<pad>` the zero vector. Is a plain mean safe then?
# <details><summary>Answer</summary>
#
# No. The sum is right, but it is divided by the padded length: short captions shrink.
# </details>

# %% [markdown]
# ## 10 · Exercises
# [Two tasks](exercises/text.ipynb), about 25 minutes: TF-IDF for any table, and which stop words are dangerous to remove from *your* sentences.
# Then go on with [Word vectors](word_vectors.ipynb), where pieces of words are learned.
#
# ## Sources
# - K. Spärck Jones, *A statistical interpretation of term specificity and its application in retrieval*, 1972: idf.
# - M. F. Porter, *An algorithm for suffix stripping*, 1980.
# - S. Bird, E. Klein, E. Loper, *Natural Language Processing with Python*, O'Reilly 2009: NLTK.
