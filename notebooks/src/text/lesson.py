# %% [markdown]
# # Text
# *In an hour you will have taught a program that scarlet is a red, from nothing but 6,000 captions.*
#
# {{budget}}
#
# **You will be able to**
# - turn bytes into characters, and several spellings of a character into one;
# - cut English and Chinese into tokens, by rule and by byte-pair encoding;
# - weigh words by TF-IDF, by hand and with scikit-learn, to the same digits;
# - train word vectors by skip-gram with negative sampling, in NumPy and in PyTorch;
# - measure what a cleaning step costs before you trust it.
#
# **Before this:** [Start here](start_here.ipynb).
#
# **Time to read:** 50 minutes, then 30 for the [exercises](exercises/text.ipynb).

# %%
from collections import Counter

import numpy as np

from mmcourse import plot
from mmcourse.datasets import load
from mmcourse.evaluate import band
from mmcourse.preprocess import text

scenes, mood = load("scenes", "train"), load("mood", "train")
captions, chinese = list(scenes.column("words")), list(scenes.meta["caption_zh"])
len(captions), len(set(mood.column("words")))

# %% [markdown]
# ## 1 · The question
# `scenes` holds drawings of coloured shapes, each with a caption in English and, in words of its own, one in
# Chinese. Here are three short ones.

# %%
short = sorted(range(300), key=lambda i: len(captions[i]))[:3]
for i in short:
    print(captions[i], "|", chinese[i])

# %% [markdown]
# Take the pictures away. A program sees the captions only, as strings, and nobody tells it what a colour is.
# **Predict:** can it find out that *scarlet* is to *red* as *azure* is to *blue*? What in the captions could tell it?
#
# A second puzzle. Many textbooks tell you to throw away **stop words**, the small words that "carry no meaning".

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
# the first bad byte and say where; Python, told to go on, prints �.)

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
# longest match each time. If you have none, section 3 *learns* pieces.

# %%
from mmcourse.datasets.scenes_captions import chinese_words

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
# ### Byte-pair encoding: words from pieces
# A list of whole words has no place for "redder" or "starfish". **Byte-pair encoding** (Sennrich et al. 2016) starts from single characters and
# joins the commonest pair of neighbours, again and again.

# %%
words = Counter({"red": 5, "redder": 2, "bed": 3, "reddish": 1})


def pairs_of(spelled):
    """How often two pieces are neighbours, a word counted as often as it occurs."""
    found = Counter()
    for pieces, count in spelled.items():
        for pair in zip(pieces, pieces[1:], strict=False):
            found[pair] += count
    return found


spelled = {tuple(word): count for word, count in words.items()}
pairs_of(spelled).most_common(3)

# %% [markdown]
# *ed* comes 11 times: join it wherever it stands, and count again. `merge` replaces a pair in one word.

# %%
from mmcourse.preprocess import bpe

for _ in range(3):
    ((a, b), times) = pairs_of(spelled).most_common(1)[0]
    spelled = {bpe.merge(pieces, (a, b), a + b): count for pieces, count in spelled.items()}
    print(f"{a} + {b}, {times} times:", [" ".join(pieces) for pieces in spelled])

# %% [markdown]
# After three steps *red* is one piece and *reddish* is *redd i s h*: a new word of known characters is not unknown, only cut finer. The list of joins *is* the
# tokeniser. (After NFKC we merge characters; large models merge bytes, where not even a new emoji is unknown.)
#
# ### Skip-gram: a word is the company it keeps
# In a bag, *red* and *scarlet* are as different as *red* and *the*. Give each word a vector instead and let it *guess its neighbours*. For
# "a tiny red star", within a window of two:

# %%
from mmcourse.preprocess import word2vec

sentence = "a tiny red star".split()
centers, contexts = word2vec.skip_gram_pairs([range(4)], window=2)
print([f"{sentence[c]}→{sentence[o]}" for c, o in zip(centers, contexts, strict=True)])

# %% [markdown]
# Each word has two vectors, $v$ as centre and $u$ as context. For each true pair draw $K$ random words, the **negatives**, and learn to tell
# them apart (Mikolov et al. 2013). $u^\top v$ multiplies the two vectors number by number and adds up; $\sigma(x) = 1/(1 + e^{-x})$
# makes a probability of it; $\partial\ell/\partial v$ is the slope: how the loss moves when $v$ does.
#
# $$\ell = -\log\sigma(u_o^\top v) - \sum_{k=1}^{K}\log\sigma(-u_k^\top v), \qquad k \sim P(w) \propto \text{count}(w)^{3/4}$$
#
# $$\frac{\partial\ell}{\partial v} = (\sigma(u_o^\top v) - 1)\,u_o + \sum_k \sigma(u_k^\top v)\,u_k$$
#
# The slope of each $u$ is its own factor, $\sigma - 1$ for the true word and $\sigma$ for a negative, times $v$.


# %%
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def loss_and_gradients(v, u):
    """v (b, d): centres. u (b, 1 + K, d): the true context, then K negatives. Mean loss, its slopes."""
    true = np.array([1] + [0] * (u.shape[1] - 1))
    guess = sigmoid(np.einsum("bd,bkd->bk", v, u))  # (b, 1 + K)
    loss = -np.log(np.where(true, guess, 1 - guess)).sum(axis=1).mean()
    slope = (guess - true) / len(v)  # (b, 1 + K)
    return loss, np.einsum("bk,bkd->bd", slope, u), slope[..., None] * v[:, None]


# %% [markdown]
# Is it right? Three tests. Move one number a little: the loss must move as the gradient says. The package's function, safe for large
# numbers, must agree. And while all $u$ are zero, each of the $1 + K$ guesses is a coin toss: the loss must be $(1 + K)\ln 2$.

# %%
rng = np.random.default_rng(0)
v, u = rng.normal(size=(4, 8)), rng.normal(size=(4, 6, 8))
loss, dv, du = loss_and_gradients(v, u)
nudge = np.zeros_like(v)
nudge[2, 3] = 1e-6
difference = (loss_and_gradients(v + nudge, u)[0] - loss_and_gradients(v - nudge, u)[0]) / 2e-6
assert abs(difference - dv[2, 3]) < 1e-8
assert all(map(np.allclose, (loss, dv, du), word2vec.loss_and_gradients(v, u)))
print(f"first loss {loss_and_gradients(v, 0 * u)[0]:.3f}, 6 ln 2 = {6 * np.log(2):.3f}")

# %% [markdown]
# ## 4 · The same with a library
# **scikit-learn** has bag and TF-IDF. It would drop one-letter words by itself; told not to, it agrees with you.

# %%
bag = CountVectorizer(token_pattern=r"\w+").fit(three)
assert bag.get_feature_names_out().tolist() == V and (bag.transform(three).toarray() == counts).all()
tfidf = TfidfVectorizer(token_pattern=r"\w+").fit_transform(three).toarray()
assert np.allclose(tfidf, weights) and np.allclose(text.tf_idf(counts), weights)
print("by hand, mmcourse and scikit-learn: equal")

# %% [markdown]
# **tokenizers**, the library behind many language models, learns byte pairs too. Train both on all 6,000 captions. A "▁" marks where a word begins,
# so that pieces can be joined again.

# %%
import json

from tokenizers import Tokenizer, models, trainers

lines = [" ".join(text.tokenize(text.normalize(line))) for line in captions]
ours = bpe.BPETokenizer.train(lines, vocab_size=150)
library = Tokenizer(models.BPE())
every = [word for line in lines for word in bpe.split_words(line)]
library.train_from_iterator(every, trainers.BpeTrainer(vocab_size=150, show_progress=False))
merges = [tuple(pair) for pair in json.loads(library.to_str())["model"]["merges"]]
assert merges == ours.merges
print(f"{len(merges)} merges, all equal; the first five: {merges[:5]}")
print(ours.tokenize("a reddish starfish"))

# %% [markdown]
# **NLTK** brings tokenisers for every taste. There is no right one, only one that fits: look at *didn't*, at *3.5-star* and at the
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
# **PyTorch** finds the gradient by itself. The skip-gram model is two tables and the loss from section 3; same vectors, same slopes.

# %%
import torch
from torch import nn
from torch.nn.functional import logsigmoid


class SkipGram(nn.Module):
    def __init__(self, n_words, dim):
        super().__init__()
        self.center, self.context = nn.Embedding(n_words, dim), nn.Embedding(n_words, dim)
        nn.init.uniform_(self.center.weight, -0.5 / dim, 0.5 / dim)
        nn.init.zeros_(self.context.weight)

    def forward(self, centers, targets):  # (b,), (b, 1 + K)
        score = torch.einsum("bd,bkd->bk", self.center(centers), self.context(targets))
        return -(logsigmoid(score[:, 0]) + logsigmoid(-score[:, 1:]).sum(dim=1)).mean()


# %%
pair = SkipGram(24, 8).double()
pair.center.weight.data[:4] = torch.tensor(v)
pair.context.weight.data[:] = torch.tensor(u).reshape(24, 8)
pair(torch.arange(4), torch.arange(24).reshape(4, 6)).backward()
assert np.allclose(pair.center.weight.grad[:4], dv) and np.allclose(pair.context.weight.grad, du.reshape(24, 8))
print("PyTorch's gradient equals the one by hand")

# %% [markdown]
# ## 5 · At work
# ### Ids, padding and masks
# Models want numbers in rectangles. Each word gets an **id**; 0 is kept for padding, 1 for words never seen. `padding_mask` says which places are real.

# %%
from mmcourse.datasets.scenes_captions import tokens

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


table = rng.normal(size=(len(vocabulary), 2))
longer, longer_mask = np.pad(ids, ((0, 0), (0, 4))), np.pad(padding_mask, ((0, 0), (0, 4)))  # four more pads
print("without mask:", table[ids].mean(axis=1)[0].round(2), "then", table[longer].mean(axis=1)[0].round(2))
print("with mask:   ", mean_vector(table, ids, padding_mask)[0].round(2), "then", end=" ")
print(mean_vector(table, longer, longer_mask)[0].round(2))

# %% [markdown]
# Without a mask, the meaning of a caption depends on how long its neighbours in the batch are. That bug raises no error.
#
# ### Word vectors from captions
# Now train, on all captions. The loop is plain gradient descent with a step that shrinks to zero; a word that occurs in many pairs moves by the sum of their slopes.

# %%
encoded = [[vocabulary.id(word) for word in words] for words in sentences]
centers, contexts = word2vec.skip_gram_pairs(encoded, window=2)
noise = word2vec.noise_distribution(contexts, len(vocabulary))
print(f"{len(centers):,} pairs, {len(vocabulary)} words")

# %% tags=["free"]
from tqdm.auto import tqdm


def train(centers, contexts, noise, rng, dim=32, epochs=8, batch_size=256, lr=0.05, negatives=5):
    V, U = rng.uniform(-0.5 / dim, 0.5 / dim, (len(noise), dim)), np.zeros((len(noise), dim))
    losses = []
    n_batches = max(len(centers) // batch_size, 1)
    for epoch in tqdm(range(epochs)):
        total = 0.0
        for i, batch in enumerate(np.array_split(rng.permutation(len(centers)), n_batches)):
            step = lr * (1 - (epoch + i / n_batches) / epochs) * len(batch)
            others = rng.choice(len(noise), (len(batch), negatives), p=noise)
            targets = np.concatenate([contexts[batch, None], others], axis=1)  # (b, 1 + K)
            loss, dv, du = loss_and_gradients(V[centers[batch]], U[targets])
            np.add.at(V, centers[batch], -step * dv)  # add.at: a word may occur twice in a batch
            np.add.at(U, targets, -step * du)
            total += loss * len(batch)
        losses.append(total / len(centers))
    return V, U, losses


vectors, context_vectors, losses = train(centers, contexts, noise, np.random.default_rng(0))

# %% [markdown]
# The package has this loop as `word2vec.train`. Same seed, same vectors:

# %% tags=["free"]
few = encoded[:300]
c, o = word2vec.skip_gram_pairs(few)
mine = train(c, o, word2vec.noise_distribution(o, len(vocabulary)), np.random.default_rng(1), epochs=1)[0]
packaged = word2vec.train(few, len(vocabulary), np.random.default_rng(1), 32, epochs=1, batch_size=256, lr=0.05)[0]
assert np.allclose(mine, packaged)
print("equal")

# %% [markdown]
# And PyTorch, twice: other seeds, larger batches, and Adam, which adapts the step of each number.


# %% tags=["free"]
def train_torch(seed, epochs=5, batch_size=1024, lr=0.02):
    torch.manual_seed(seed)
    model, history = SkipGram(len(vocabulary), 32), []
    adam = torch.optim.Adam(model.parameters(), lr)
    center, context, chances = torch.tensor(centers), torch.tensor(contexts), torch.tensor(noise)
    for epoch in tqdm(range(epochs)):
        others = torch.multinomial(chances, len(center) * 5, replacement=True).view(-1, 5)
        total, batches = 0.0, torch.randperm(len(center)).split(batch_size)
        for i, batch in enumerate(batches):
            adam.param_groups[0]["lr"] = lr * (1 - (epoch + i / len(batches)) / epochs)
            loss = model(center[batch], torch.cat([context[batch, None], others[batch]], dim=1))
            adam.zero_grad()
            loss.backward()
            adam.step()
            total += loss.item() * len(batch)
        history.append(total / len(center))
    return model.center.weight.detach().double().numpy(), history


runs = [train_torch(seed) for seed in range(2)]

# %%
both = {"NumPy": losses, "PyTorch": [history for _, history in runs]}
fig = plot.curves(both, title="Do both learn the same thing?", levels={"knows nothing": 6 * np.log(2)})
plot.show(fig, alt="Both losses fall from about 2.5 to 2.1; a model that knows nothing has 4.16.")
band("last loss, NumPy", losses[-1], 2.10, 0.03)
band("last loss, PyTorch", np.mean([history[-1] for _, history in runs]), 2.10, 0.03)

# %% [markdown]
# **Neighbours** are the words whose vectors point the same way: the cosine of their angle is near 1 (0 at right angles).


# %% tags=["free"]
def near(word, k=5, table=vectors):
    return [vocabulary.tokens[i] for i, _ in word2vec.most_similar(table, vocabulary.id(word), k)]


for word in ("red", "star", "huge", "above", "striped"):
    print(f"{word:8}", *near(word))

# %% [markdown]
# Nobody said what a colour is. Count it: of the five nearest to each colour, how many are colours?

# %%
synonym = {"red": "scarlet", "orange": "amber", "yellow": "golden", "green": "emerald"}
synonym |= {"blue": "azure", "purple": "violet"}
colours = {*synonym, *synonym.values(), "white", "black"}
pure = [np.mean([w in colours for c in colours for w in near(c, table=t)]) for t in (vectors, *(r[0] for r in runs))]
band("share of colours among the neighbours of colours", np.mean(pure), 0.99, 0.01)
band("the same by chance", (len(colours) - 1) / (len(vocabulary) - 3), 0.14, 0.01)

# %% [markdown]
# See it. The two directions in which 32-dimensional vectors differ most make a flat map.

# %%
import matplotlib.pyplot as plt

kinds = {
    "colours": sorted(colours),
    "shapes": "circle disc square box triangle diamond rhombus star cross".split(),
    "sizes": "small little tiny large big huge".split(),
    "backgrounds": "plain striped checked dotted shaded".split(),
    "above, below, …": "above over below under beneath".split(),
    "left, right": ["left", "right"],
}
unit = np.stack([vectors[vocabulary.id(word)] for group in kinds.values() for word in group])
unit /= np.linalg.norm(unit, axis=1, keepdims=True)
middle = unit.mean(axis=0)
flat = (unit - middle) @ np.linalg.svd(unit - middle)[2][:2].T  # (n, 32) → (n, 2)
fig, ax = plt.subplots(figsize=(7, 4.6))
places = np.split(flat, np.cumsum([len(group) for group in kinds.values()])[:-1])
for kind, place, colour in zip(kinds, places, plot.COLOURS, strict=False):
    ax.scatter(*place.T, color=colour, s=30, alpha=0.8)
    top = (place[:, 0].mean(), place[:, 1].max())
    ax.annotate(kind, top, (0, 8), textcoords="offset points", color=colour, ha="center")
ax.margins(0.12)
ax.set(xlabel="first direction", ylabel="second direction")
fig.suptitle("Which words keep the same company?", x=0.01, ha="left", fontweight="bold")
plot.show(fig, alt="A map of words in which colours, shapes, sizes, backgrounds and places form separate groups.")

# %% [markdown]
# ### Analogies
# *Red is to scarlet as blue is to …?* Walk from red to scarlet, start the same walk at blue, and take the nearest word that is none of these three: $v_\text{scarlet} - v_\text{red} + v_\text{blue}$.


# %%
def analogy(a, b, c, table=vectors):
    return vocabulary.tokens[word2vec.analogy(table, *map(vocabulary.id, (a, b, c)))[0][0]]


for a, b, c in (("red", "scarlet", "blue"), ("blue", "azure", "purple"), ("circle", "disc", "square")):
    print(a, "is to", b, "as", c, "is to", analogy(a, b, c))

# %% [markdown]
# Three good ones prove little. Here are all thirty with colours, for the NumPy vectors and both PyTorch runs. A program that knew only
# "some fancy name" would be right once in five.


# %% tags=["target"]
def share_right(table):
    return np.mean([analogy(a, synonym[a], c, table) == synonym[c] for a in synonym for c in synonym if a != c])


band("analogies right, NumPy", share_right(vectors), 0.94, 0.06)
band("analogies right, PyTorch, mean of two seeds", np.mean([share_right(t) for t, _ in runs]), 0.94, 0.06)

# %% [markdown]
# Are the walks parallel? The sideways axis is their mean direction; upwards is what else tells the plain colours apart most.

# %%
plain, fancy = (np.stack([vectors[vocabulary.id(w)] for w in some]) for some in (synonym, synonym.values()))
walk = (fancy - plain).mean(axis=0)
walk /= np.linalg.norm(walk)
rest = plain - plain.mean(axis=0)
rest -= np.outer(rest @ walk, walk)
axes = np.stack([walk, np.linalg.svd(rest)[2][0]], axis=1)  # (32, 2)
fig, ax = plt.subplots(figsize=(7, 3.6))
for (name, other), start, end in zip(synonym.items(), plain @ axes, fancy @ axes, strict=True):
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": plot.BLUE})
    ax.annotate(name, start, (-5, 0), textcoords="offset points", ha="right", va="center")
    ax.annotate(other, end, (5, 0), textcoords="offset points", va="center")
ax.update_datalim(np.concatenate([plain, fancy]) @ axes)
ax.margins(0.15)
ax.set(xlabel="along the mean walk", ylabel="across it")
fig.suptitle("Is every walk from plain to fancy the same?", x=0.01, ha="left", fontweight="bold")
plot.show(fig, alt="Six arrows from red to scarlet, blue to azure and so on, all pointing to the right.")

# %% [markdown]
# Nearly, so one walk does for all.
#
# *How* can it know that scarlet is red? Count which colour stands directly before which shape. (*Circle*, *square* and *diamond* share
# their counts with *disc*, *box* and *rhombus*.)

# %%
rows = [w for pair in synonym.items() for w in pair]
shapes = ["circle", "square", "triangle", "diamond", "star", "cross"]
met = Counter(pair for words in sentences for pair in zip(words, words[1:], strict=False))
together = np.array([[met[colour, shape] for shape in shapes] for colour in rows])
fig = plot.matrix(together, "Which colour never meets which shape?", rows, shapes)
plot.show(fig, alt="Counts of colours before shapes: red and scarlet never meet star, and so on.")

# %% [markdown]
# This world was made without red stars (so that later lessons can ask for one). So there are no scarlet stars either: red and scarlet
# are shunned by the same company, and that hole is their signature (for orange and amber, having none). The step from plain to fancy name is shared too: only plain names follow *in*, as in "a small star in blue".

# %%
after_in = Counter(b for (a, b), n in met.items() for _ in range(n) if a == "in")
assert all(together[rows.index(w), shapes.index("star")] == 0 for w in ("red", "scarlet"))
assert all(after_in[plain] > 0 == after_in[fancy] for plain, fancy in synonym.items())
print({word: after_in[word] for word in ("red", "scarlet", "blue", "azure")})

# %% [markdown]
# ### What the vectors know
# Levy and Goldberg (2014) showed where this loss leads, given room: $u_o^\top v_c$ becomes the log of how much more often the pair occurs than the noise would make it,
# $\log\frac{p(o \mid c)}{K\,P(o)}$. Check it on all pairs seen 20 times or more.

# %%
n = len(vocabulary)
seen = np.bincount(centers * n + contexts, minlength=n * n).reshape(n, n)
often = seen >= 20
c, o = np.nonzero(often)
theory = np.log(seen[c, o] / seen.sum(axis=1)[c] / (5 * noise[o]))
learnt = (vectors @ context_vectors.T)[c, o]
fig, ax = plt.subplots(figsize=(5.2, 4))
ax.scatter(theory, learnt, s=6, alpha=0.4, color=plot.BLUE)
ax.axline((0, 0), slope=1, color=plot.GREY, linestyle=":")
ax.set(xlabel="counted: log [p(o|c) / (5 P(o))]", ylabel="learnt: u · v")
fig.suptitle("Do the vectors know more than counts?", x=0.01, ha="left", fontweight="bold")
plot.show(fig, alt="A cloud of points close to the diagonal: what skip-gram learns is nearly the logarithm of counts.")
band("correlation of learnt and counted", np.corrcoef(theory, learnt)[0, 1], 0.99, 0.01)

# %% [markdown]
# No: they are counts, squeezed from 97 numbers a word into 32. That is why meaning came out, and why it is only *this* world's meaning.
#
# ## 6 · Take it apart
# ### Do stop words matter here?
# The words of `mood` *claim* a feeling: negative, neutral or positive. A logistic regression reads them, as a bag of single words or with **pairs** of neighbours too, with and without stop words.

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
fig = plot.against_ceiling(
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
band("single words: what stop words are worth", level["all words", False] - level["no stop words", False], 0.012, 0.02)
band("pairs: what stop words are worth", level["all words", True] - level["no stop words", True], 0.12, 0.03)
band(
    "pairs: what the one word not is worth",
    level["no stop words but not", True] - level["no stop words", True],
    0.09,
    0.03,
)
behind = level["no stop words", True] - level["all words", False]
band("pairs without stop words, less single words with them", behind, -0.03, 0.025)
band("single words, on sentences with not", results["all words", False][:, has_not].mean(), 0.52, 0.08)
band("pairs, on sentences with not", results["all words", True][:, has_not].mean(), 0.98, 0.03)

# %% [markdown]
# The catch: for *single words* the textbook is right, stop words hardly matter, because a bag cannot use "not" anyway. It adds up votes, and "not" turns a vote around:
# the synergy of lesson [start_here](start_here.ipynb), inside one modality. A model that *can* use it loses its whole lead when all stop words go.
#
# **Predict:** what if only "not" goes, and the other small words stay?

# %%
without_not = np.mean([right({"not"}, True, seed).mean() for seed in range(5)])
band("pairs, all words but not", without_not, 0.99, 0.015)

# %% [markdown]
# Nothing is lost! In these sentences "not" never comes alone: "not great *at all*", "*did* not like it *one bit*". Text is redundant, and our grammar more so than life.
# A word's worth depends on what else you keep. So measure the whole recipe, on your data.
#
# ### How large should the pieces be?
# One knob of byte pairs: the size of the vocabulary. **Predict** the curve of tokens a caption, in English and Chinese. When do they cross?

# %%
sizes = [70, 90, 120, 160, 220, 300]
texts = {"English": lines[:1000], "Chinese": [text.normalize(line) for line in chinese[:1000]]}
lengths = {
    name: [
        np.mean([len(m.tokenize(line)) for line in some[:200]])
        for m in (bpe.BPETokenizer.train(some, s) for s in sizes)
    ]
    for name, some in texts.items()
}
fig = plot.curves(
    lengths, title="How long is a caption, in tokens?", x=sizes, xlabel="vocabulary size", ylabel="tokens a caption"
)
plot.show(
    fig,
    alt="Tokens a caption fall with vocabulary size: English from about 53 to 20, Chinese from about 32 to 9.",
)
pieces = bpe.BPETokenizer.train(texts["Chinese"], 220)
print(" · ".join(pieces.tokenize(texts["Chinese"][short[0]])))

# %% [markdown]
# They never cross: Chinese starts with some 60 characters, each already a piece of a word. Larger pieces make shorter sequences, but each is seen
# less often and needs a vector of its own.
#
# ## 7 · At full size
# The same calls with the real thing: NLTK's own stop words, and the 30,522 word pieces of BERT with 768 numbers each. Both are fetched on Colab, or used where you have
# them already; otherwise this cell says so.

# %% tags=["free"]
from mmcourse.runtime import on_colab

if on_colab():
    nltk.download("stopwords", quiet=True)
try:
    theirs = set(nltk.corpus.stopwords.words("english"))
    print("not in NLTK's list:", "not" in theirs, "accuracy with pairs:", right(theirs, True, 0).mean().round(3))
except LookupError:
    print("not run: NLTK's stop words are not here; their list has 'not' too, so expect a loss like the one above")

# %% tags=["free"]
from transformers import AutoModel, AutoTokenizer

try:
    local = {"local_files_only": not on_colab()}
    tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased", **local)
    bert = AutoModel.from_pretrained("bert-base-uncased", **local).get_input_embeddings().weight.detach().numpy()
    print(tokenizer.tokenize("a reddish starfish"))
    scarlet = tokenizer.convert_tokens_to_ids("scarlet")
    print(tokenizer.convert_ids_to_tokens([i for i, _ in word2vec.most_similar(bert, scarlet, 5)]))
except OSError:
    print("not run: BERT's files are not here. It would cut 'a reddish starfish' and show scarlet's neighbours")

# %% [markdown]
# ## 8 · What to remember
# - Bytes need an encoding, characters a normal form; every cleaning step forgets something.
# - A bag keeps counts and forgets order. TF-IDF turns down what is everywhere; fit it on training texts only.
# - Byte pairs join what is often together: no word is unknown if its characters are known (bytes always are).
# - Skip-gram vectors are counts of company, squeezed; they know the world of their text and no other.
# - Mask before you average. Measure a recipe of cleaning with the model that will use it.
#
# ## 9 · Check yourself
# **1.** A word occurs in all of 1,000 texts. What is its idf here? And in a formula without the last "+ 1"?
# <details><summary>Answer</summary>
#
# $\ln(1001/1001) + 1 = 1$: the smallest, but not zero. Without the "+ 1" it would vanish.
# </details>
#
# **2.** Your skip-gram with 10 negatives starts at a loss of 2.0. Is that good news?
# <details><summary>Answer</summary>
#
# It should start at $11 \ln 2 \approx 7.62$. Something is wrong: perhaps negatives are missing from the sum.
# </details>
#
# **3.** *White* has no fancy name here, and no hole: it meets every shape. With which colour will it be confused?
# <details><summary>Answer</summary>
#
# Among others with orange, the only other one that meets every shape *and* follows *in*. Company is all that the vectors see.
# </details>
#
# **4.** You pad with zeros *and* give `<pad>` the zero vector. Is a plain mean safe then?
# <details><summary>Answer</summary>
#
# No. The sum is right, but it is divided by the padded length: short captions shrink.
# </details>

# %%
assert round(11 * np.log(2), 2) == 7.62 and "orange" in near("white", 3)
assert all(met["white", shape] and met["orange", shape] for shape in shapes) and after_in["orange"] > 0

# %% [markdown]
# ## 10 · Exercises
# [Three short tasks](exercises/text.ipynb), about 30 minutes: the next byte pair, TF-IDF for any table, and which stop words are dangerous to remove from *your* sentences.
#
# ## Sources
# - K. Spärck Jones, *A statistical interpretation of term specificity and its application in retrieval*, 1972: idf.
# - M. F. Porter, *An algorithm for suffix stripping*, 1980.
# - R. Sennrich, B. Haddow, A. Birch, *Neural Machine Translation of Rare Words with Subword Units*, 2016, arXiv 1508.07909: byte pairs for text.
# - T. Mikolov and others, *Efficient Estimation of Word Representations in Vector Space*, 2013, arXiv 1301.3781: skip-gram and analogies; *Distributed Representations of Words and Phrases and their Compositionality*, 2013, arXiv 1310.4546: negative sampling.
# - O. Levy, Y. Goldberg, *Neural Word Embedding as Implicit Matrix Factorization*, NeurIPS 2014: what skip-gram converges to.
# - S. Bird, E. Klein, E. Loper, *Natural Language Processing with Python*, O'Reilly 2009: NLTK.
