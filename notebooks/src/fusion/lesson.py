# %% [markdown]
# # Fusion
# *You will join what a model sees, hears and reads, and find out which ways of joining can learn that one modality turns another around.*
#
# {{budget}}
#
# **You will be able to**
# - say where a model joins its modalities, early, intermediate or late, and whether the joining *adds* or *interacts*;
# - prove in one line that no sum of separate scores understands sarcasm;
# - write gated units, tensor fusion, low-rank fusion and the input of a stacked model by hand, then low-rank fusion in PyTorch and a gated unit in Keras;
# - compare eighteen methods fairly (the rarer ones as rows of a table): by learning curves, tuned alike, against exact ceilings;
# - keep a model working when a modality is missing.
#
# **Before this:** [start_here](start_here.ipynb) and [neural_networks](neural_networks.ipynb) (layers, loss, training); for one section,
# query, key and value from [attention](attention.ipynb). The mathematics: logarithms, probabilities, the matrix product.
#
# **Time to read:** 120 minutes with the five blanks, best in two sittings (the second begins with section 7), then 75 for
# the [exercises](exercises/fusion.ipynb). Words in **bold** are the field's own; the [glossary](glossary.md) has the main ones in
# English and Chinese.

# %% [markdown]
# ## 1 · Kind words and a smirk

# %% tags=["hide-input"]

import keras
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from mmcourse import ceilings, draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import load, mood, results
from mmcourse.evaluate import expect_within, mean_and_interval
from mmcourse.torch import encoders
from mmcourse.torch import fusion as torch_fusion
from mmcourse.training import torch as training

np.set_printoptions(precision=3, suppress=True)
torch.set_num_threads(1)
rng = np.random.default_rng(9)
stored = results("fusion")

# %% [markdown]
# Each message of the data set `mood` has a drawn face, a voice and some words. (Everything is made by programs, so that the truth is known; the voices all speak one and the same sentence, each in
# its own way.) Here are kind words, an even voice, and this face. Read it, listen, look. How does this person feel?

# %%
train, validation, test = (load("mood", s) for s in ("train", "validation", "test"))
names = list(test.modalities)  # face, voice, words
shown = {"face": "smirk", "voice": "neutral", "words": "positive"}
alike = np.all([test.meta[f"{m}_cue"] == cue for m, cue in shown.items()], axis=0)
number = np.flatnonzero(alike & (test.labels == 0))[0]  # the first that is meant so
message = test[number]
print(message["words"])
plot.audio(message["voice"], test.sample_rate, label="An even voice")
plot.show(
    plot.images([message["face"]], ["the face"]),
    alt="A drawn face with one corner of the mouth up: a smirk.",
)

# %% [markdown]
# Let networks answer. An **encoder** turns one modality into a short vector, here 16 numbers, and a linear layer turns the vector into
# an opinion: negative, neutral or positive. We call the two together, a classifier of one modality, a *reader*. Train one for each. It takes ten seconds.


# %%
class Reader(nn.Module):
    """One modality → a vector (b, 16) → logits (b, 3)."""

    def __init__(self, name, encoder, width=16):
        super().__init__()
        self.name, self.encoder = name, encoder
        to_width = nn.Linear(encoder.width, width)
        self.squeeze = nn.Sequential(nn.ReLU(), nn.Dropout(0.2), to_width)
        self.logits = nn.Linear(width, 3)

    def vector(self, batch):
        padding_mask = batch["padding_mask"].get(self.name)
        return self.squeeze(self.encoder(batch["inputs"][self.name], padding_mask))

    def forward(self, batch):
        return self.logits(self.vector(batch))


# %% tags=["free"]
torch.manual_seed(0)
readers = [
    Reader("face", encoders.ImageEncoder(64)),
    Reader("voice", encoders.AudioEncoder(40, 64)),
    Reader("words", encoders.TextEncoder(len(train.vocabulary), 64)),
]
for reader, epochs in zip(readers, (4, 4, 14), strict=True):
    loader = train.torch_loader(64, seed=0)
    training.fit(reader, loader, epochs=epochs, learning_rate=2e-3, progress=False)
    reader.eval()


# %% tags=["hide-input", "free"]
@torch.no_grad()
def read_all(split):
    """Three vectors (n, 16) and three opinions, log-probabilities (3, n, 3)."""
    batches = list(split.torch_loader(500))
    xs = [torch.cat([reader.vector(batch) for batch in batches]) for reader in readers]
    logs = [r.logits(x).log_softmax(dim=1) for r, x in zip(readers, xs, strict=True)]
    return xs, torch.stack(logs)


raw_train, logs_train = read_all(train)
raw_test, logs_test = read_all(test)
scale = [(x.mean(dim=0), x.std(dim=0)) for x in raw_train]
x_train = [(x - m) / s for x, (m, s) in zip(raw_train, scale, strict=True)]
x_test = [(x - m) / s for x, (m, s) in zip(raw_test, scale, strict=True)]
y_train, y_test = torch.tensor(train.labels), torch.tensor(test.labels)
alone = [(log.argmax(dim=1) == y_test).float().mean().item() for log in logs_test]
for name, accuracy in zip(names, alone, strict=True):
    print(f"{name:6} alone: test accuracy {accuracy:.3f}")

# %% [markdown]
# The encoders stay as they are from here on (they are **frozen**). Now put the three vectors end to end, 48 numbers, and train a small network
# on *them*. That takes a second. Then ask everybody about our message.


# %%
class Joined(nn.Module):
    """A network that sees all vectors side by side."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, xs):
        return self.layers(torch.cat(xs, dim=1))


def learn(model, xs, epochs, seed=0, rate=6e-3):
    """Train on vectors of the training messages, 500 at a time."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(y_train), generator=order).split(500):
            logits = model([x[rows] for x in xs])
            loss = nn.functional.cross_entropy(logits, y_train[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


@torch.no_grad()
def accuracy_of(model, xs):
    return (model(xs).argmax(dim=1) == y_test).float().mean().item()


# %% tags=["free"]
torch.manual_seed(0)
joint_model = Joined(nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 3))
learn(joint_model, x_train, epochs=24)
with torch.no_grad():
    said = joint_model([x[number : number + 1] for x in x_test]).softmax(dim=1)[0]
print("               negative neutral positive")
for name, log in zip(names, logs_test[:, number], strict=True):
    print(f"{name + ' alone':14}", *(f"{p:8.2f}" for p in log.exp()))
print(f"{'all together':14}", *(f"{p:8.2f}" for p in said))
plain = np.flatnonzero(test.meta["face_cue"] == "neutral")[0]  # somebody else's face
swapped = [x[number : number + 1] for x in x_test]
swapped[0] = x_test[0][plain : plain + 1]
with torch.no_grad():
    said = joint_model(swapped).softmax(dim=1)[0]
print(f"{'neutral face':14}", *(f"{p:8.2f}" for p in said))

# %% tags=["target"]
joint_accuracy = accuracy_of(joint_model, x_test)
expect_within("test accuracy of all together", joint_accuracy, 0.87, 0.04)
assert joint_accuracy > max(alone) + 0.15

# %% [markdown]
# The words alone lean to *positive*. Together, the network says *negative*; with a neutral face in the place of the smirk, the same words and voice get another answer (last line). It never met this message,
# and on 1,500 new ones it is almost twenty points better than the best single reader (one start; section 8 has five). That is what **fusion**, joining modalities in one model, is for.

# %% [markdown]
# ## 2 · The question
# We put vectors end to end. There is an older and simpler way: let each reader say its opinion, and *combine the opinions*. To see clearly what that can do, take
# perfect readers. The table behind `mood` is known, so their opinions are exact: of all messages with this cue, what share is negative, neutral, positive?

# %%
joint = mood.JOINT  # (3, 4, 3, 3): p(feeling, face, voice, words)
seen = [mood.CUES[m].index(shown[m]) for m in names]
opinions = []
for m in range(3):
    table = ceilings.marginal(joint, [m])[:, seen[m]]  # p(feeling, this cue)
    opinions.append(table / table.sum())
opinions = np.array(opinions)  # (3, 3): reader, feeling
prior = joint.sum(axis=(1, 2, 3))  # how common each feeling is
print("           negative neutral positive")
for name, row in zip([*names, "prior"], [*opinions, prior], strict=True):
    print(f"{name:10}", *(f"{p:8.2f}" for p in row))

# %% [markdown]
# The usual rule multiplies the three opinions, feeling by feeling, and divides by the prior twice, so that it counts once and not three times.

# %%
vote_guess = widgets.guess(
    "What does the product of the three exact opinions say about our message?",
    ["negative", "neutral", "positive"],
)

# %%
vote = opinions.prod(axis=0) / prior**2
vote = vote / vote.sum()
together = joint[:, *seen] / joint[:, *seen].sum()  # all three looked up at once
print("           negative neutral positive")
print("product   ", *(f"{p:8.2f}" for p in vote))
print("together  ", *(f"{p:8.2f}" for p in together))
vote_guess.compare("positive")
assert vote.argmax() == 2 and together.argmax() == 0

# %% [markdown]
# The product says *positive*. The truth is *negative*, and nearly certain. Each opinion is exact; what failed is this **way of joining**. (Another sum could get this one message right, and would pay with others: section 4.) So the
# question of this lesson is: **which ways of joining can get such messages right together with the others, and what do they cost?**

# %% [markdown]
# ## 3 · Where to join
# The field sorts models first by *where* the modalities meet.


# %% tags=["hide-input"]
def where_to_join():
    canvas = draw.Canvas()
    columns = {
        "early": (["pixels", "sound"], None, "join the inputs", "one model"),
        "intermediate": (["pixels", "sound"], "encoder", "join the vectors", "head"),
        "late": (["pixels", "sound"], "model", "join the opinions", None),
    }
    for column, (title, (sources, middle, join, end)) in enumerate(columns.items()):
        left = column * 245
        canvas.text(title, left + 100, -28, bold=True)
        tops = []
        for i, source in enumerate(sources):
            x = left + i * 105
            place = canvas.place(draw.box(source, color="gray", width=92), x=x, y=0)
            if middle:
                color = "blue" if middle == "encoder" else "green"
                box = draw.box(middle, color=color, width=92)
                after = canvas.place(box, x=x, y=66)
                canvas.arrow(place, after)
                place = after
            tops.append(place)
        box = draw.box(join, color="orange", width=150)
        joined = canvas.place(box, x=left + 24, y=148)
        for place in tops:
            canvas.arrow(place, joined)
        last = joined
        if end:
            color = "green" if end == "one model" else "blue"
            box = draw.box(end, color=color, width=110)
            last = canvas.place(box, x=left + 44, y=222)
            canvas.arrow(joined, last)
        box = draw.box("answer", color="gray", width=92)
        answer = canvas.place(box, x=left + 53, y=292)
        canvas.arrow(last, answer)
    return canvas


draw.show(
    where_to_join(),
    alt="Three flow charts. Early: the inputs are joined, then one model. "
    "Intermediate: an encoder for each, the vectors are joined, then a head. Late: a model for each, "
    "and their opinions are joined.",
)

# %% [markdown]
# - **Early fusion** joins the inputs (or simple features of them), and one model reads everything.
# - **Intermediate fusion** joins the vectors of encoders; the network of section 1 does.
# - **Late fusion** (decision-level fusion) joins finished opinions.
#
# (Where early ends and intermediate begins differs from author to author. Baltrušaitis et al. 2019 call joined features early.)
#
# There is a second question: *how*. **Additive fusion** sums, for each class, one score per modality, and answers with the class that has the largest sum. The product above is
# additive: its logarithm is a sum. In **interacting** fusion, what one modality contributes may depend on another.
#
# ### Two recipes that do not work
# Both look right at first. One joins an image and a text straight away.

# %%
image, text = keras.Input((224, 224, 3)), keras.Input((None,))
try:
    keras.layers.Concatenate()([image, text])
except ValueError as error:
    print("ValueError:", error)

# %% [markdown]
# There is nothing to put end to end: a block of 224 × 224 × 3 pixels and a row of word numbers have no axis in common. The repair is an encoder for
# each, which ends in a vector of known width. (Raw inputs of one shape, such as a color and a depth image, *can* be joined early.)

# %%
pixels = keras.layers.Conv2D(16, 3, strides=2, activation="relu")(image)
pixels = keras.layers.GlobalAveragePooling2D()(pixels)  # (b, 16)
words = keras.layers.Embedding(1000, 16)(text)
words = keras.layers.GlobalAveragePooling1D()(words)  # (b, 16)
keras.layers.Concatenate()([pixels, words]).shape

# %% [markdown]
# The other hands three vectors to an attention layer "to fuse them". It runs, and the result has the right shape. That makes it worse.

# %%
text, audio, image = rng.normal(size=(3, 3, 4)).astype("float32")  # 3 samples, width 4
fused = np.array(keras.layers.Attention()([text, audio, image]))
fused.shape

# %% [markdown]
# Keras reads the list as *query, value, key*. So text asks, image is compared with it, and only audio is ever passed on. In NumPy:


# %%
def softmax(scores, axis=-1):
    e = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


weights = softmax(text @ image.T)  # (3, 3): samples by samples!
print("largest difference from Keras:", np.abs(fused - weights @ audio).max().round(6))
other_audio = audio.copy()
other_audio[2] += 10  # only sample 2 hears something else
moved = np.abs(weights @ other_audio - fused)[0].max()
print(f"and the result of sample 0 moves by {moved:.2f}")

# %% [markdown]
# The weights are *samples by samples*: each message's text attends to other messages' images and takes home their audio. In a real batch, your answer would depend on who else is in it.
#
# What was meant: for each sample, the three vectors are a sequence of three **tokens**, and the tokens attend to one another.

# %%
tokens = np.stack([text, audio, image], axis=1)  # (3, 3, 4): sample, modality, width
meant = np.array(keras.layers.Attention()([tokens, tokens]))  # query; value and key
by_hand = softmax(tokens @ tokens.swapaxes(1, 2)) @ tokens
print("largest difference from Keras:", np.abs(meant - by_hand).max().round(6))
tokens[2, 1] += 10  # the same test: only sample 2 hears something else
other = np.array(keras.layers.Attention()([tokens, tokens]))
print(f"and the result of sample 0 moves by {np.abs(other - meant)[0].max():.2f}")
meant.mean(axis=1).shape  # one vector per sample

# %% [markdown]
# ## 4 · The smallest case in which adding cannot work
# Why did the product fail? Strip the message to two signs. Words are kind (+1) or unkind (−1). The face is plain (+1) or a smirk (−1). The meaning is their product: a smirk turns the words around.

# %% tags=["hide-input"]
meaning = draw.matrix(
    [["+", "−"], ["−", "+"]],
    title="what is meant",
    rows=["plain face", "smirk"],
    columns=["kind words", "unkind words"],
    highlight=[(1, 0), (1, 1)],
)
draw.show(
    meaning,
    alt="A table of two faces and two kinds of words: with a plain face kind words are "
    "meant kindly, with a smirk the signs are exchanged.",
)

# %% [markdown]
# With − read as *true*, this is **XOR** (exclusive or): true if exactly one of the two is. Try to get it by adding. Each modality gives a score, the scores are summed, and the sign of the sum is the answer. Turn the
# knobs: `words` is the score of kind words (unkind ones get the opposite), `face` the score of a plain face, `bias` is added to all.

# %%
sum_guess = widgets.guess(
    "How many of the four cells can a sum get right at best?",
    [1, 2, 3, 4],
)


# %% tags=["hide-input"]
def show_sum(words=1.0, face=0.5, bias=0.0):
    sums = np.array([[words + face, -words + face], [words - face, -words - face]])
    sums = sums + bias
    wanted = np.array([[1, -1], [-1, 1]])
    right = int((np.sign(sums) == wanted).sum())
    cells = [tuple(cell) for cell in np.argwhere(np.sign(sums) == wanted)]
    drawing = draw.row(
        meaning,
        draw.matrix(
            np.round(sums, 2) + 0.0,
            title=f"words + face + bias: {right} of 4 right",
            rows=["plain face", "smirk"],
            columns=["kind words", "unkind words"],
            heat=True,
            highlight=cells,
        ),
        gap=50,
    )
    draw.show(
        drawing,
        alt=f"The wanted signs, and the sums: {right} of 4 have the right sign.",
    )


stops = (-2.0, 2.0, 0.5)
widgets.slider(show_sum, words=stops, face=stops, bias=stops)

# %% [markdown]
# Let chance search: 100,000 sums with four free scores each.

# %%
chance = np.random.default_rng(0)
scores = chance.normal(size=(100_000, 2, 2))  # for each face, each kind of words
sums = scores[:, 0, :, None] + scores[:, 1, None, :]  # (100000, face, words)
right = (np.sign(sums) == np.array([[1, -1], [-1, 1]])).sum(axis=(1, 2))
for number_right, how_many in zip(*np.unique(right, return_counts=True), strict=True):
    print(f"{number_right} of 4 right: {how_many:6,} sums")
sum_guess.compare(3)
assert right.max() == 3

# %% [markdown]
# Never four, and one line proves it. Call the four sums $s_{++}, s_{+-}, s_{-+}, s_{--}$. Both $s_{++} + s_{--}$ and $s_{+-} + s_{-+}$ add up the same four scores, so they are equal. But the first pair should
# be positive and the second negative. It does not matter how clever the readers are: *any* function of the face plus *any* function of the words fails (Minsky and Papert 1969). A product $w \cdot f$ does it with no weights at all.
#
# ### How much of this is in `mood`?
# **Information** about the feeling is counted in bits: one bit answers one yes-or-no question that was open. What two modalities say about the feeling splits into **redundancy** (what both say), **unique** information (what only one says) and **synergy** (what only the pair says).
# Three controls first: XOR should be pure synergy, and a copy pure redundancy; and AND (true if both are) is a table whose four cells a sum *can* get right.

# %%
xor = np.zeros((2, 2, 2))  # p(y, x1, x2)
xor[[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0]] = 1 / 4
copy = np.zeros((2, 2, 2))
copy[[0, 1], [0, 1], [0, 1]] = 1 / 2
both = np.zeros((2, 2, 2))  # AND
both[[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 0, 1]] = 1 / 4
print("                redundancy  only first  only second  synergy")
for name, table in {"XOR": xor, "a copy": copy, "AND": both}.items():
    bits = ceilings.decompose(table).values()
    print(f"{name:14}", *(f"{bit:10.2f}" for bit in bits))
for pair in (("face", "words"), ("face", "voice"), ("voice", "words")):
    bits = mood.information(pair).values()
    print(f"{' – '.join(pair):14}", *(f"{bit:10.2f}" for bit in bits))

# %% [markdown]
# Face and words have by far the most synergy. But AND has half a bit, too: synergy says that the pair knows more *together*. Whether a *sum* can say it, only the best sum tells, which comes next. (There are several definitions of this split; this one is by Bertschinger et al. 2014. Liang et al. 2023 bring it to multimodal learning.)
#
# Because the table is known, the best possible accuracy of *every* approach can be computed exactly: of each single modality, of each pair, of all three, and of the best *additive* rule of all three (the last by an exact search, the others by adding up cells).

# %%
pair_guess = widgets.guess(
    "Which can reach more?",
    ["face and words, joined in the best way", "all three, added in the best way"],
)

# %%
ceiling = {" + ".join(k): v for k, v in mood.ceilings().items() if len(k) < 3}
ceiling["all, sum of least loss"] = mood.loglinear_accuracy()
ceiling["all, best sum"] = mood.additive_accuracy()  # the best of all sums
ceiling["all, jointly"] = mood.bayes_accuracy(names)
fig = plot.bar_with_ceiling(
    list(ceiling),
    list(ceiling.values()),
    None,
    title="What can be reached at best?",
    chance=1 / 3,
)
fig.axes[0].patches[list(ceiling).index("all, sum of least loss")].set_color(plot.GRAY)
alt = "Bars of exact ceilings, and in gray one sum that is none: "
alt += ", ".join(f"{k} {v:.3f}" for k, v in ceiling.items())
plot.show(fig, alt=alt)
pair_guess.compare("face and words, joined in the best way")
least_loss = ceiling["all, sum of least loss"]
assert ceiling["face + words"] > ceiling["all, best sum"] > least_loss

# %% [markdown]
# Two modalities joined well can beat three that are only added. The gray bar is no ceiling: it is the sum with the smallest loss, which training looks for. The loss rewards good probabilities, and the sum with the
# best probabilities (0.791) is not the one with the most right answers (0.858). And all of these are numbers for a perfect reader of cues.

# %% [markdown]
# ## 5 · By hand: adding, and what can be done with opinions
# Now the methods one by one: two samples, three modalities of widths 3, 2 and 4, results of width 5. The package has each under `mmcourse.numpy.fusion`, and `compare` holds your lines against it.
# In formulas σ squashes to 0…1, ⊙ multiplies entry by entry, ⊗ takes all products.

# %%
from mmcourse.numpy import fusion

dims, width = [3, 2, 4], 5


def drawn(*shape):
    return rng.normal(size=shape).round(1)


def compare(name, mine, *args, **options):
    """The largest difference from the package's version."""
    theirs = getattr(fusion, name)(*args, **options)
    gap = np.abs(mine - theirs).max()
    assert gap < 1e-4
    print(f"shape {np.shape(mine)}, difference from fusion.{name} below 0.0001")


xs = [drawn(2, d) for d in dims]  # face, voice, words
maps = {f"maps.{m}.w": drawn(d, width) for m, d in enumerate(dims)}  # W of each

# %% [markdown]
# ### Weighted sum
# $h = \sum_m \mathrm{softmax}(\alpha)_m W_m x_m$. The maps $W_m$ bring all modalities to one width: vectors of 3 and of 2 numbers cannot be added. It is tempting to read the weights as importance.

# %%
p = maps | {"alpha": np.array([2.0, 0.0, 0.0])}
share = softmax(p["alpha"])
h = sum(share[m] * (xs[m] @ maps[f"maps.{m}.w"]) for m in range(3))
compare("weighted_sum", h, xs, p)
print("weights", share)

# %% [markdown]
# "The face counts 0.79." Does it? Move the weights out of α into the $W_m$:

# %%
q = {f"maps.{m}.w": 3 * share[m] * maps[f"maps.{m}.w"] for m in range(3)}
q["alpha"] = np.zeros(3)
print(
    "largest change of the output:",
    np.abs(fusion.weighted_sum(xs, q) - h).max().round(9),
)
print("but the weights now say     ", softmax(q["alpha"]))
print(
    "size of each summand, before",
    fusion.shares(xs, p),
    "and after",
    fusion.shares(xs, q),
)

# %% [markdown]
# The same function, and "all count 0.33". A weight alone says nothing. A fairer number is the size of the summand, which did not move; and even that misleads where a summand is large and always the same.
#
# ### Mean and product of opinions
# Late fusion needs nothing but opinions $p_m$. The **mean** is $\sum_m w_m\, p_m$, of *probabilities*. (Averaging logits and then taking softmax gives other numbers: a geometric mean.) The **product** has a reason: if the
# modalities are independent once the feeling is known, then
#
# $$p(y \mid x_1 \ldots x_M) \;\propto\; \frac{\prod_m p(y \mid x_m)}{p(y)^{M-1}}$$
#
# because each opinion contains the prior $p(y)$, so $M$ opinions contain it $M$ times, and it should count once (Kittler et al. 1998). Take logarithms, and it is a sum: a **log-linear** vote.
#
# **Your turn (blank 1).** `log_opinions` is (M, b, classes), one slice per reader, `log_prior` is (classes,). Return log-probabilities (b, classes) that are normalized: their exponentials sum to 1.
# <details><summary>Hint</summary>Sum over the axis of readers and subtract the log prior M − 1 times. To normalize, subtract the logarithm of the sum of exponentials along the classes.</details>


# %%
def log_linear_vote(log_opinions, log_prior):
    """Opinions (M, b, classes) → log-probabilities (b, classes)."""
    # BEGIN SOLUTION
    num_readers = len(log_opinions)
    scores = log_opinions.sum(axis=0) - (num_readers - 1) * log_prior
    total = np.exp(scores).sum(axis=-1, keepdims=True)
    return scores - np.log(total)
    # END SOLUTION


log_linear_vote = check("fusion.blank.1", log_linear_vote)

# %% [markdown]
# Forget the prior, and three readers who know *nothing* become sure together:

# %%
rare = np.log([[[0.9, 0.1]]] * 3)  # three readers that only repeat the prior
print("prior divided out:", np.exp(log_linear_vote(rare, np.log([0.9, 0.1]))))
print("prior forgotten:  ", np.exp(log_linear_vote(rare, np.zeros(2))))

# %%
heads = {f"heads.{m}.w": drawn(d, 3) for m, d in enumerate(dims)}
heads |= {f"heads.{m}.b": drawn(3) for m in range(3)}
logits = np.stack(
    [xs[m] @ heads[f"heads.{m}.w"] + heads[f"heads.{m}.b"] for m in range(3)],
)
log_p = np.log(softmax(logits))  # (3, 2, 3): reader, sample, class
mean = np.log(np.exp(log_p).mean(axis=0))
compare("late_mean", mean, xs, heads | {"alpha": np.zeros(3)})
product = log_linear_vote(log_p, np.log(prior))
compare("late_product", product, xs, heads | {"log_prior": np.log(prior)})

# %% [markdown]
# ### Stacking
# Weighted sum, mean (as a rule for the largest score) and product are all *one score per modality and class, summed*. By section 4 none of them passes the best sum. **Stacking** trains a model on the opinions (Wolpert 1992):

# %% tags=["hide-input"]
canvas = draw.Canvas()
places = []
for i, name in enumerate(names):
    source = canvas.place(draw.box(name, color="gray", width=80), x=0, y=i * 62)
    reader = canvas.place(draw.box("reader (frozen)", width=140), x=125, y=i * 62)
    three = draw.matrix(["neg.", "neu.", "pos."], color="orange")
    opinion = canvas.place(three, x=300, y=i * 62 + 2)
    canvas.arrow(source, reader)
    canvas.arrow(reader, opinion)
    places.append(opinion)
box = draw.box("small network", note="9 → 32 → 3", color="green")
network = canvas.place(box, x=490, y=52)
for place in places:
    canvas.arrow(place, network)
answer = canvas.place(draw.box("answer", color="gray"), right_of=network, gap=44)
canvas.arrow(network, answer)
draw.show(
    canvas,
    alt="Stacking: three frozen readers give three numbers each, the log-probabilities "
    "of negative, neutral and positive; a small network reads all nine.",
)

# %% [markdown]
# **Your turn (blank 2).** Make what the second model sees: from the readers' logits (M, b, classes), the log-probabilities of each sample side by side, (b, M · classes), reader by reader.
# <details><summary>Hint</summary>Log-softmax over the last axis: subtract the log of the sum of exponentials. Then the batch axis must come first: <code>swapaxes(0, 1)</code>, and only then <code>reshape</code>.</details>


# %%
def stacking_features(logits):
    """Logits (M, b, classes) → log-probabilities (b, M * classes)."""
    # BEGIN SOLUTION
    total = np.exp(logits).sum(axis=-1, keepdims=True)
    log_p = logits - np.log(total)  # (M, b, classes)
    return log_p.swapaxes(0, 1).reshape(logits.shape[1], -1)
    # END SOLUTION


stacking_features = check("fusion.blank.2", stacking_features)

# %%
stack_guess = widgets.guess(
    "A network on these nine numbers sees no vector. In section 8, where will it end?",
    ["with the methods that add", "between", "with the methods that interact"],
)

# %% [markdown]
# ## 6 · By hand: interacting

# %% [markdown]
# ### Concatenate
# Put the vectors end to end, then a nonlinear layer: $h = \max(0, W[x_1; x_2; x_3] + b)$. The *layer* makes it interact: each of its units sees all modalities, and the ReLU is not a sum. Without the ReLU it would only add. Each $x_m$ is first
# divided by its root mean square, so that all start with numbers of one size.

# %%
p = {"out.w": drawn(9, width), "out.b": drawn(width)}
scaled = [x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-5) for x in xs]
joined = np.concatenate(scaled, axis=1)  # (2, 3 + 2 + 4)
h = np.maximum(joined @ p["out.w"] + p["out.b"], 0)  # (2, 5)
compare("concatenate", h, xs, p)

# %% [markdown]
# ### Gating
# A **gate** is a number between 0 and 1 (or a vector of such numbers) that says how much gets through, computed from the data (you know gates from the [LSTM](rnn.ipynb)). In the **gated multimodal unit** (Arevalo et al. 2017) each modality has one, and every gate sees *all* modalities:


# %% tags=["hide-input"]
canvas = draw.Canvas()
x1 = canvas.place(draw.box("words x₁", color="gray", width=90), x=0, y=0)
both = canvas.place(draw.box("[x₁; x₂]", color="gray", width=90), x=0, y=75)
x2 = canvas.place(draw.box("face x₂", color="gray", width=90), x=0, y=150)
h1 = canvas.place(draw.box("h₁ = tanh(W₁x₁)", width=160), x=150, y=0)
box = draw.box("z = σ(W[x₁; x₂])", color="orange", width=160)
gate = canvas.place(box, x=150, y=75)
h2 = canvas.place(draw.box("h₂ = tanh(W₂x₂)", width=160), x=150, y=150)
box = draw.box("z ⊙ h₁ + (1 − z) ⊙ h₂", color="green", width=200)
out = canvas.place(box, x=410, y=75)
for start, end in ((x1, both), (x2, both), (x1, h1), (x2, h2), (both, gate)):
    canvas.arrow(start, end)
canvas.arrow(h1, out, label="· z")
canvas.arrow(h2, out, label="· (1 − z)")
canvas.arrow(gate, out)
draw.show(
    canvas,
    alt="A gated unit of two modalities: each has a hidden vector; a gate that sees "
    "both decides how much of each gets through.",
)

# %% tags=["hide-input"]


def show_gate(score=0.0):
    z = 1 / (1 + np.exp(-score))
    words_say, face_says = np.array([0.9, -0.2]), np.array([-0.8, 0.6])
    mixed = z * words_say + (1 - z) * face_says
    drawing = draw.row(
        draw.matrix(words_say, title="h₁, words"),
        draw.matrix([round(z, 2)], title="gate z", color="orange"),
        draw.matrix(face_says, title="h₂, face"),
        "→",
        draw.matrix(mixed.round(2) + 0.0, title="h", color="green"),
        gap=24,
    )
    alt = f"A gate of {z:.2f} mixes {words_say} and {face_says} to {mixed.round(2)}."
    draw.show(drawing, alt=alt)


widgets.slider(show_gate, score=(-4.0, 4.0, 1.0))

# %% [markdown]
# With more than two modalities each gets a gate of its own: $h_m = \tanh(W_m x_m)$, $z_m = \sigma(G_m [x_1; x_2; x_3])$, $h = \sum_m z_m \odot h_m$.
#
# **Your turn (blank 3).** `xs` is a list of (b, d_m), `hidden` the list of the $W_m$ (d_m, k), `gates` the list of the $G_m$ (d_1 + d_2 + …, k). Rows are samples, so products read `x @ W`.
# <details><summary>Hint</summary>Join all of <code>xs</code> along axis 1 once. Then, for each modality, gate times tanh; add them up.</details>


# %%
def gated_unit(xs, hidden, gates):
    """Sum of gated hidden vectors: (b, k)."""
    # BEGIN SOLUTION
    everything = np.concatenate(xs, axis=1)  # (b, sum of widths)
    total = 0
    for x, w, g in zip(xs, hidden, gates, strict=True):
        z = 1 / (1 + np.exp(-everything @ g))  # (b, k)
        total = total + z * np.tanh(x @ w)
    return total
    # END SOLUTION


gated_unit = check("fusion.blank.3", gated_unit)

# %%
hidden = [maps[f"maps.{m}.w"] for m in range(3)]
gates = [drawn(9, width) for _ in range(3)]
p = {f"hidden.{m}.w": hidden[m] for m in range(3)}
p |= {f"gates.{m}.w": gates[m] for m in range(3)}
compare("gated_unit", gated_unit(xs, hidden, gates), xs, p)

# %% [markdown]
# One gated number can be turned down to 0, but not *around*. Several together can: of two hidden numbers with opposite signs, the face opens one and closes the other. With weights chosen by hand, XOR:

# %%
words_sign = np.array([[1.0], [-1.0], [1.0], [-1.0]])
face_sign = np.array([[1.0], [1.0], [-1.0], [-1.0]])  # −1: a smirk
opposite = [np.array([[1.0, -1.0]]), np.zeros((1, 2))]  # h of the words: (w, −w)
by_face = [np.array([[0.0, 0.0], [9.0, -9.0]]), np.zeros((2, 2))]
opened = gated_unit([words_sign, face_sign], opposite, by_face)
print("words", words_sign.ravel(), " face", face_sign.ravel())
print("sum of the two gated numbers", opened.sum(axis=1).round(2))
assert (np.sign(opened.sum(axis=1)) == (words_sign * face_sign).ravel()).all()

# %% [markdown]
# **FiLM** (feature-wise linear modulation, Perez et al. 2018) does it directly: $\gamma(c) \odot F + \beta(c)$. One modality gives features $F$ (here divided by their root mean square); the others, $c$, scale them by γ, which may be
# negative, and shift them by β. In training, the weights of γ start at 0 and its constant at 1. (Below all are drawn, to have something to compare.)

# %%
p = {"feature.w": maps["maps.0.w"], "gamma.w": drawn(6, width), "gamma.b": drawn(width)}
p |= {"beta.w": drawn(6, width), "beta.b": drawn(width)}
F = xs[0] @ p["feature.w"]  # (2, 5)
F = F / np.sqrt((F**2).mean(axis=1, keepdims=True))
c = np.concatenate(xs[1:], axis=1)  # (2, 6)
gamma = 1 + c @ p["gamma.w"] + p["gamma.b"]
h = gamma * F + c @ p["beta.w"] + p["beta.b"]
compare("film", h, xs, p)

# %% [markdown]
# ### Multiplying
# A product solves XOR at once. **Bilinear pooling** takes *all* products of an entry of $x_1$ with an entry of $x_2$, and a weight for each: $z_k = x_1^\top W_k x_2$. **Tensor fusion** (Zadeh et al. 2017) first puts a 1 behind each vector, then takes all products, for any number of modalities: $\otimes_m [x_m; 1]$.
# Here it is for one sample with two modalities. What do the 1s do?

# %% tags=["hide-input"]
face_one, voice_one = np.array([2, -1, 0.5, 1]), np.array([3, 0.5, 1])
outer = np.outer(face_one, voice_one)
drawing = draw.row(
    draw.matrix(face_one[:, None], title="[face; 1]"),
    "⊗",
    draw.matrix(voice_one, title="[voice; 1]"),
    "=",
    draw.matrix(
        outer,
        title="all products",
        color="green",
        highlight=[(i, 2) for i in range(4)] + [(3, j) for j in range(2)],
    ),
    gap=22,
)
draw.show(
    drawing,
    alt="The outer product of a face vector of three numbers and a 1 with a voice "
    "vector of two numbers and a 1: the last column repeats the face, the last row the voice.",
)

# %% [markdown]
# The framed column is the face alone, the framed row the voice alone, the corner a constant. Without the 1s only the pairs are left, and with three modalities only the triples: "the words alone" would not be among the terms. The price is the size: $\prod_m (d_m + 1)$ numbers.
#
# **Your turn (blank 4).** From `xs`, a list of (b, d_m) for *any* number of modalities, make all products with the 1s, flat: (b, Π(d_m + 1)). The last modality varies fastest, as in the drawing read row by row.
# <details><summary>Hint</summary>Append the ones: <code>np.hstack([x, np.ones((len(x), 1))])</code>. Start with the first and take in one modality at a time: <code>tensor[:, :, None] * x[:, None, :]</code> is (b, i, j); then <code>reshape(b, -1)</code>.</details>


# %%
def tensor_with_ones(xs):
    """All products of entries of [x_m; 1]: (b, product of the d_m + 1)."""
    # BEGIN SOLUTION
    b = len(xs[0])
    tensor = np.ones((b, 1))
    for x in xs:
        with_one = np.hstack([x, np.ones((b, 1))])  # (b, d_m + 1)
        pairs = tensor[:, :, None] * with_one[:, None, :]
        tensor = pairs.reshape(b, -1)
    return tensor
    # END SOLUTION


tensor_with_ones = check("fusion.blank.4", tensor_with_ones)

# %%
tensor = tensor_with_ones(xs)  # (2, 4 * 3 * 5)
p = {"out.w": drawn(60, width), "out.b": drawn(width)}
compare("tensor_fusion", tensor @ p["out.w"] + p["out.b"], xs, p)

# %% [markdown]
# ### Low rank
# All products need many weights. But a table may be simpler than it is large. An outer product of two vectors is a table of **rank** 1; a sum of $r$ of them has rank $r$ at most.

# %% tags=["hide-input"]
first = np.outer([1, -1, 2], [2, 1, 0])  # u1, v1
second = np.outer([0, 1, 1], [1, -1, 3])  # u2, v2
drawing = draw.row(
    draw.matrix(first + second, title="a table of rank 2", color="green"),
    "=",
    draw.matrix(first, title="u₁ ⊗ v₁"),
    "+",
    draw.matrix(second, title="u₂ ⊗ v₂", color="orange"),
    gap=22,
)
draw.show(drawing, alt="A 3 by 3 table is the sum of two outer products.")

# %% [markdown]
# How simple is sarcasm? Take the table of `mood` for face and words: probability of negative minus probability of positive. Rebuild it from the best 1, 2 or 3 outer products (by the singular value decomposition: of all rank-$r$ tables the one with the smallest squared error), and beside it from the best *sum*, a number per face plus a number per kind of words.

# %%
rank_guess = widgets.guess(
    "Which table looks more like the truth?",
    ["the best sum (7 numbers)", "one outer product (7 numbers)"],
)

# %% tags=["hide-input"]
pair_table = ceilings.marginal(joint, [0, 2])  # (feeling, face, words)
lean = (pair_table[0] - pair_table[2]) / pair_table.sum(axis=0)  # (4, 3)
left, sizes, right_vectors = np.linalg.svd(lean)
best_sum = lean.mean(axis=1, keepdims=True) + lean.mean(axis=0) - lean.mean()


def tidy(table):
    return table.round(1) + 0.0


def show_rank(rank=1):
    low = (left[:, :rank] * sizes[:rank]) @ right_vectors[:rank]
    gap = np.abs(low - lean).max()
    columns = ["neg.", "neutr.", "pos."]
    faces = list(mood.CUES["face"])
    drawing = draw.row(
        draw.matrix(
            tidy(lean),
            title="the truth",
            rows=faces,
            columns=columns,
            heat=True,
        ),
        draw.matrix(tidy(low), title=f"rank {rank}", columns=columns, heat=True),
        draw.matrix(tidy(best_sum), title="best sum", columns=columns, heat=True),
        gap=30,
    )
    draw.show(drawing, alt=f"Rank {rank} misses the truth by at most {gap:.2f}.")


widgets.slider(show_rank, rank=(1, 3))

# %%
for rank in (1, 2, 3):
    low = (left[:, :rank] * sizes[:rank]) @ right_vectors[:rank]
    print(f"rank {rank}: largest error {np.abs(low - lean).max():.2f}")
print(f"best sum: largest error {np.abs(best_sum - lean).max():.2f}")
turn = np.sign(left[2, 0])  # so that the smile is positive
print("one product, by face: ", end=" ")
per_face = turn * left[:, 0] * sizes[0]
for face, factor in zip(mood.CUES["face"], per_face, strict=True):
    print(f"{face} {factor:+.2f}", end="  ")
print("\n             by words:", (turn * right_vectors[0]).round(2))
rank_guess.compare("one outer product (7 numbers)")

# %% [markdown]
# On a scale from −1 to 1, one product is off by 0.37 at most: a number for each face, times a number for each kind of words. The smirk's number has the other sign: it turns the words around. The sum has as many numbers and misses by more than 1.
#
# **Low-rank tensor fusion** (Liu et al. 2018) uses this. It never forms the products: $h = \sum_{r} \bigodot_m W_m^{(r)} [x_m; 1]$. Map each modality $R$ times, multiply the maps, sum over $r$ *last*.
#
# **Your turn (blank 5).** `xs` is a list of (b, d_m), `factors` a list of (R, d_m + 1, k). Return (b, k).
# <details><summary>Hint</summary><code>np.einsum("bi,rik-&gt;brk", with_one, factor)</code> maps one modality by all R maps (for each sample b, map r and output k it sums over i). Multiply these over the modalities; only then sum over axis 1.</details>


# %%
def low_rank_tensor(xs, factors):
    """Sum over r of the product over modalities of W_m^(r) [x_m; 1]: (b, k)."""
    # BEGIN SOLUTION
    product = 1
    for x, factor in zip(xs, factors, strict=True):
        with_one = np.hstack([x, np.ones((len(x), 1))])
        mapped = np.einsum("bi,rik->brk", with_one, factor)  # (b, R, k)
        product = product * mapped
    return product.sum(axis=1)
    # END SOLUTION


low_rank_tensor = check("fusion.blank.5", low_rank_tensor)

# %%
rng = np.random.default_rng(4)
factors = [drawn(4, d + 1, width) for d in dims]  # rank 4
p = {f"factors.{m}": factor for m, factor in enumerate(factors)}
right_order = low_rank_tensor(xs, factors)
compare("low_rank_tensor_fusion", right_order, xs, p)
summed_first = [factor.sum(axis=0, keepdims=True) for factor in factors]
slip = np.abs(low_rank_tensor(xs, summed_first) - right_order).max()
print(f"summing over r first, a slip, changes the result by up to {slip:.1f}")

# %% [markdown]
# ### Attending
# Where a modality is a *sequence*, one vector may be too little. In **cross-attention** one modality asks and another answers: $\mathrm{softmax}(Q_\alpha K_\beta^\top / \sqrt d)\, V_\beta$ (you know it from [attention](attention.ipynb); Tsai et al. 2019, MulT, build a whole model from it). Three words query four moments of a face.

# %%
said_words, moments = 3 * np.eye(3, 4)[None], 3 * np.eye(4)[None, [3, 0, 0, 2]]
p = {f"{part}.w": np.eye(4) for part in ("q_proj", "k_proj", "v_proj")}  # plain maps
attends = softmax(said_words @ moments.swapaxes(1, 2) / np.sqrt(4))  # (1, 3, 4)
compare("cross_attention", attends @ moments, said_words, moments, p)
print(attends[0])

# %% tags=["hide-input"]
drawing = draw.attention(
    attends[0],
    ["lovely", "party", "really"],
    ["face, 0 s", "face, 1 s", "face, 2 s", "face, 3 s"],
)
draw.show(
    drawing,
    alt="Lines from three words to four moments of a face: the first goes to 1 s and "
    "2 s, the second to all alike, the third to 3 s.",
)

# %% [markdown]
# The result has the length of whoever *asks* (three). Padded moments need a mask. And with a *single* step in the context, the softmax of one number is 1: nothing is weighed.
# Self-attention over one token per modality, the repaired recipe of section 3, is the form in which attention takes part in section 8.
#
# Long sequences make attention between all pairs expensive. **Bottleneck tokens** are a few shared tokens that are the only way between modalities (Nagrani et al. 2021): modalities never attend to one another; each attends to itself and to these tokens, whose new value is the mean of what the modalities made of them.

# %% tags=["hide-input"]
canvas = draw.Canvas()
face_tokens = canvas.place(draw.tokens(["patch", "patch", "patch", "patch"]), x=0, y=10)
box = draw.tokens(["z₁", "z₂"], color="orange")
shared = canvas.place(box, x=318, y=110)
box = draw.tokens(["lovely", "party", "really"], color="green")
word_tokens = canvas.place(box, x=450, y=10)
canvas.arrow(face_tokens, shared, bend=14)
canvas.arrow(shared, face_tokens, bend=14)
canvas.arrow(word_tokens, shared, bend=14)
canvas.arrow(shared, word_tokens, bend=14)
canvas.text("bottleneck tokens: the only way between face and words", 348, 168)
draw.show(
    canvas,
    alt="Patches of a face and words exchange information only through shared tokens.",
)

# %% [markdown]
# The [deeper notebook](fusion_deeper.ipynb) has the remaining members of the family by hand: sum gate, low-rank bilinear, compact bilinear pooling, a bottleneck layer.

# %% [markdown]
# ## 7 · In PyTorch and in Keras
# Low-rank tensor fusion as a PyTorch module, written with a slip that is easy to make.


# %%
class Careless(nn.Module):
    def __init__(self, dims, width, rank):
        super().__init__()
        # one factor for each modality, in a plain Python list
        self.factors = [nn.Parameter(torch.randn(rank, d + 1, width) / 4) for d in dims]
        self.out = nn.Linear(width, 3)

    def forward(self, xs):
        product = 1
        for x, factor in zip(xs, self.factors, strict=True):
            with_one = torch.cat([x, torch.ones(len(x), 1)], dim=1)
            product = product * torch.einsum("bi,rik->brk", with_one, factor)
        return self.out(product.sum(dim=1))


class Careful(Careless):
    def __init__(self, dims, width, rank):
        super().__init__(dims, width, rank)
        self.factors = nn.ParameterList(self.factors)


# %%
count_guess = widgets.guess(
    "How does training the careless one go wrong?",
    ["an error at the first step", "the loss does not move", "it trains, only worse"],
)


# %% tags=["free"]
def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


for kind in (Careless, Careful):
    torch.manual_seed(0)
    model = kind([16] * 3, 16, rank=4)
    reached = accuracy_of(learn(model, x_train, epochs=12), x_test)
    print(f"{kind.__name__:8} {count(model):5} parameters, test accuracy {reached:.3f}")
count_guess.compare("it trains, only worse")

# %% [markdown]
# `model.parameters()` does not know the factors in a plain list, so the optimizer never gets them, and `.to(device)` and `state_dict` leave them behind. Nothing complains: the last layer learns what it can.
# So *count* your parameters. Keras tracks lists by itself. The gated unit in Keras:


# %%
class GatedUnit(keras.layers.Layer):
    def __init__(self, dims, width):
        super().__init__()
        self.hidden = [self.dense(width, "tanh") for _ in dims]
        self.gates = [self.dense(width, "sigmoid") for _ in dims]

    def dense(self, width, activation):
        return keras.layers.Dense(width, activation=activation, use_bias=False)

    def call(self, xs):
        everything = keras.ops.concatenate(xs, axis=-1)
        parts = []
        for x, hidden, gate in zip(xs, self.hidden, self.gates, strict=True):
            parts.append(gate(everything) * hidden(x))
        return sum(parts)


# %%
from mmcourse.parity import compare as compare_backends
from mmcourse.parity import copy_weights, parity_cases

small = [x.astype("float32") for x in xs]
mine, theirs = GatedUnit(dims, width), torch_fusion.GatedUnit(dims, width)
mine(small)  # the first call makes the weights
copy_weights(theirs, mine)
by_torch = theirs([torch.tensor(x) for x in small]).detach().numpy()
gap = np.abs(np.array(mine(small)) - by_torch)
print("Keras and PyTorch differ by at most", gap.max().round(5))
assert gap.max() < 1e-5

# %% [markdown]
# Every method of this lesson exists in the package in NumPy, PyTorch and Keras, and tests hold the three equal, forwards, backwards and after training steps (the deeper notebook prints it). In one line, for what you wrote:

# %% tags=["free"]
for case in parity_cases("fusion"):
    if case.name in ("gated unit of three", "tensor", "low-rank tensor", "FiLM"):
        reports = compare_backends(case)
        worst = max(report.forward for report in reports)
        print(f"{case.name:22} largest relative difference of the three {worst:.0e}")

# %% [markdown]
# ## 8 · At work
# Which method is best? To compare ways of *joining*, everything else must be equal: all methods get the same frozen vectors, and a linear layer behind them.
#
# ### Twelve epochs
# Give every method twelve epochs at one learning rate, and rank them. Here are four; compact bilinear pooling gets a 1 behind each vector, low-rank bilinear pooling does not.


# %%
class Fused(nn.Module):
    """A method of the package, and a linear layer behind it."""

    def __init__(self, method, dims, width=32, **options):
        super().__init__()
        width = 3 if method.gives_logits else width
        self.fusion = method(dims, width, **options)
        self.logits = nn.Identity() if method.gives_logits else nn.Linear(width, 3)

    def forward(self, xs, modality_mask=None):
        return self.logits(self.fusion(xs, modality_mask))


def append_one(xs):
    return [torch.cat([x, torch.ones(len(x), 1)], dim=1) for x in xs]


four = {
    "concatenate": lambda: Fused(torch_fusion.Concatenate, [16] * 3),
    "product of probabilities": lambda: Fused(
        torch_fusion.LateProduct,
        [16] * 3,
        prior=prior,
    ),
    "low-rank bilinear": lambda: Fused(torch_fusion.LowRankBilinear, [16] * 3),
    "compact bilinear": lambda: Fused(
        torch_fusion.CompactBilinear,
        [17] * 3,
        width=1024,
    ),
}


def trial(name, epochs):
    torch.manual_seed(0)
    on, off = x_train, x_test
    if name == "compact bilinear":
        on, off = append_one(x_train), append_one(x_test)
    return accuracy_of(learn(four[name](), on, epochs), off)


# %% tags=["free"]
twelve = {name: trial(name, epochs=12) for name in four}
for name, accuracy in twelve.items():
    print(f"{name:26} {accuracy:.3f} after 12 epochs")

# %% [markdown]
# Low-rank and compact bilinear pooling look poor. (Both multiply all three modalities; the deeper notebook has them by hand.) One is tempted to explain it: products are hard to learn; too few weights. Wait.

# %%
budget_guess = widgets.guess(
    "Three times as many epochs and more, nothing else changed. Who gains most?",
    list(four),
)

# %% tags=["free"]
forty = {name: trial(name, epochs=40) for name in four}
gains = {}
for name, accuracy in forty.items():
    gains[name] = accuracy - twelve[name]
    print(f"{name:26} {accuracy:.3f} after 40 epochs, {gains[name]:+.3f}")
budget_guess.compare(max(gains, key=gains.get))

# %%
assert gains["compact bilinear"] > 0.02

# %% [markdown]
# One of the four was judged by its budget (and, as the next table shows, by its rate). **Do not rank methods at one budget and one rate.** (One start each, here. Next come five.)
#
# ### Learning curves, tuned alike
# A stored run compares eighteen methods as follows. For each, four learning rates (0.001 to 0.03) are tried on one set of encoders, and the best on validation is kept: the same number of tries for all. Then five runs, each with *encoders and starts of its own*, 96 epochs, with
# test accuracy noted along the way. The number that is reported at the end is test accuracy at the epoch that is best on *validation*.
#
# Among them: a linear model on the 48 numbers (which *adds*: why?); stacking with a linear model, with products, and with a network, all on nine log-probabilities (of the readers' own training messages, a shortcut; section 9 does it properly); and a control, a *sum of three networks*, additive with more weights than concatenation has.
# <details><summary>Why does the linear model add?</summary>Its score for a class is a weighted sum of 48 numbers; collect those of each modality, and it is one score per modality, summed.</details>

# %% tags=["hide-input"]
curves = stored["curves"]
methods = curves["methods"]
epochs = curves["epochs"]
mean_of = {name: np.mean(row["chosen"]) for name, row in methods.items()}
adds = [name for name, row in methods.items() if row["kind"] == "adds"]
interacts = [name for name, row in methods.items() if row["kind"] == "interacts"]
fig, axes = plt.subplots(1, 2, figsize=(9.6, 4.6), sharey=True)
bold = {
    "product of probabilities": plot.ORANGE,
    "sum of three networks": "#8A5A00",
    "stacking, linear": plot.PINK,
    "concatenate": plot.GREEN,
    "stacking, network": plot.PINK,
    "low-rank bilinear": "#B07800",
    "low-rank bilinear, with 1s": "#333333",
    "compact bilinear, with 1s": plot.BLUE,
}
for ax, title in zip(axes, ("adds", "interacts"), strict=True):
    group = [name for name, row in methods.items() if row["kind"] == title]
    for name in sorted(group, key=lambda name: name in bold):
        line = np.mean(methods[name]["test"], axis=0)
        label = name if name in bold else None
        ax.plot(epochs, line, color=bold.get(name, "#BBBBBB"), lw=2, label=label)
    for text, value in {
        "best sum": mood.additive_accuracy(),
        "joint ceiling": mood.bayes_accuracy(names),
    }.items():
        ax.axhline(value, color="#555555", ls=":")
        ax.text(1, value + 0.004, text, fontsize=9, color="#555555")
    ax.set(xscale="log", xlabel="epochs", title=title, ylim=(0.5, 0.95))
    ax.set_xticks([1, 4, 12, 48, 96], ["1", "4", "12", "48", "96"])
    ax.minorticks_off()
    ax.legend(loc="lower right", fontsize=9)
axes[0].set_ylabel("test accuracy, mean of five runs")
plot.show(
    fig,
    alt="Learning curves: methods that add level off near 0.8, below the best sum; "
    "those that interact go above it, some of them late.",
)

# %%
seconds = stored["seconds_of"]["curves"]
print(f"stored run of {stored['date']}, {seconds} s, {stored['made_with']}")
print("accuracy ± 95 % interval over five runs (Student's t); ms per step of 500")
columns = ("weights", "ms", "rate", "4 ep.", "12 ep.")
print(f"{'':30}{columns[0]:>8}", *(f"{c:>6}" for c in columns[1:]), "   best epoch")
at = {epoch: epochs.index(epoch) for epoch in (4, 12)}
for kind in ("adds", "interacts"):
    print(kind)
    group = [name for name, row in methods.items() if row["kind"] == kind]
    for name in sorted(group, key=mean_of.get):
        row = methods[name]
        test_curves = np.mean(row["test"], axis=0)
        mean, interval = mean_and_interval(row["chosen"])
        cells = f"{row['size']:8,} {row['ms']:6.1f} {row['rate']:6}"
        cells += "".join(f" {test_curves[at[epoch]]:6.3f}" for epoch in (4, 12))
        print(f"  {name:28}{cells}   {mean:.3f} ± {interval:.3f}")
alone_mean = np.mean(curves["alone"], axis=0)
print(f"baselines: majority class {curves['majority']:.3f};", end=" ")
print(
    "one modality",
    ", ".join(f"{n} {a:.3f}" for n, a in zip(names, alone_mean, strict=True)),
)
untrained = mean_and_interval(curves["product of the frozen readers"])
print(f"product of the readers, untrained: {untrained[0]:.3f} ± {untrained[1]:.3f}")
perfect = [mood.bayes_accuracy([name]) for name in names]
print("perfect readers of cues:", ", ".join(f"{a:.3f}" for a in perfect))
n = len(methods["concatenate"]["seeds right"])
half_width = 1.96 * np.sqrt(0.87 * 0.13 / n)
print(f"one test set of {n:,}: another ± {half_width:.3f} on any accuracy near 0.87")


# %%
def versus(one, other):
    """Paired difference: mean, interval over runs, interval over test messages."""
    a, b = methods[one], methods[other]
    mean, over_runs = mean_and_interval(np.subtract(a["chosen"], b["chosen"]))
    digits = [np.array(list(row["seeds right"]), int) / 5 for row in (a, b)]
    over_messages = 1.96 * (digits[0] - digits[1]).std(ddof=1) / np.sqrt(n)
    intervals = f"± {over_runs:.3f} ± {over_messages:.3f}"
    print(f"{one:28} minus {other:26} {mean:+.3f} {intervals}")
    return mean


print("paired difference ± over five runs ± over test messages")
for one, other in (
    ("sum of three networks", "product of probabilities"),
    ("concatenate", "sum of three networks"),
    ("stacking, network", "stacking, linear"),
    ("stacking, products", "stacking, linear"),
    ("concatenate", "stacking, network"),
    ("low-rank bilinear", "product of probabilities"),
    ("low-rank bilinear, with 1s", "low-rank bilinear"),
    ("compact bilinear, with 1s", "concatenate"),
    ("tensor", "low-rank tensor"),
    ("attention over three tokens", "concatenate"),
):
    versus(one, other)
ones, none = (np.array(methods[f"low-rank bilinear{end}"]["validation by rate"])
              for end in (", with 1s", ""))  # fmt: skip
print("low-rank bilinear, what the 1s add at each rate (validation, one start):")
print(dict(zip(curves["rates"], (ones - none).round(3).tolist(), strict=True)))
assert min(ones - none) > 0.05
stack_guess.compare("with the methods that interact")

# %% tags=["hide-input"]
best_sum, top_of_adds = mood.additive_accuracy(), max(mean_of[name] for name in adds)
assert top_of_adds < best_sum - 0.04
others = [mean_of[name] for name in interacts if name != "low-rank bilinear"]
assert min(others) > top_of_adds + 0.03
assert mean_of["stacking, network"] > best_sum
close = [x for x in interacts if x not in ("low-rank bilinear", "stacking, products")]
assert 0.86 < min(mean_of[x] for x in close) and max(mean_of[x] for x in close) < 0.88
assert methods["tensor"]["size"] > 20 * methods["low-rank tensor"]["size"]

# %% [markdown]
# Read slowly; here is what follows from these numbers, and what does not.
#
# - **Adding against interacting is the gap that holds.** All six that add end near 0.80 or below, well below the best sum (0.858). (Some are above 0.791: that is no limit, but the sum with the smallest loss.) More weights do not help them: the sum of three networks has twice the weights of concatenation, and 0.07 less.
# - **It is not lateness.** Stacking with a linear model adds and has 0.80. The *same nine numbers*, read by a network, give 0.87; with products, 0.85. The paired gain of the network is 0.067, with intervals of 0.006 over runs and 0.013 over messages: that is not luck. (That 0.868 is also above the 0.858 of the best sum is less certain: ± 0.017 over test messages.) Late and additive are not the same word.
# - **The interacting ones are hardly apart.** Leave out low-rank bilinear without 1s and stacking with products, and all lie between 0.865 and 0.876. Do not rank them: a few pairs differ by about as much as their intervals, but that is less than one point, and there are many pairs to pick from. They arrive at different times (column of 4 epochs), but at rates chosen for the end: that says little on how fast each could be.
# - **One that multiplies still does not get there.** Low-rank bilinear without 1s ends at 0.80. With a 1 behind each vector, tuned in the same way (it chose another rate), it has 0.876; at each of the four rates it is ahead by five points or more. So the 1s matter here. (Without them all its terms are products of all three; whether that is why was not tested.)
# - **Size buys nothing here.** The full tensor has more than twenty times the weights of its low-rank form, takes several times as long per step, and is no better. (Its rate, 0.001, is the smallest that was tried; smaller ones may suit it more.)
# - **Nobody reaches the joint ceiling**, 0.926. That one is for perfect readers of cues; ours are one to two and a half points worse, each alone.
#
# Not shown: other data, other widths, other rates (0.03, the largest tried, is chosen for several). And all share one test set.
#
# | method | what it does | mind |
# |---|---|---|
# | weighted sum, mean, product | few weights, nothing to align, easy to explain | adds |
# | stacking with a network | readers stay as they are, or are not yours | sees only what the opinions keep; needs held-out opinions |
# | concatenate + layer | the first thing to try | its layer grows with every modality |
# | gated unit, FiLM | one modality turns another down, or around | for FiLM somebody must choose who turns whom |
# | full tensor | every product has a weight of its own | size |
# | low-rank tensor | the same idea, affordable | choose the rank; keep the 1s |
# | attention | sequences, many modalities, missing ones | over one token each: on a par here, and slower |

# %% [markdown]
# ## 9 · Something real: X-rays with a record
# 1,000 chest X-rays of 682 patients of the NIH Clinical Center (Wang et al. 2017), 64 × 64 pixels here; 500 of them are labeled *pneumonia*, 500 *no finding*. The labels were extracted from the radiologists' reports by a program, and the halves were *chosen*: in a hospital, far fewer have pneumonia.
# Beside each picture is a record of four numbers: age, sex, number of the follow-up visit, and the **view**. PA means that the patient stands with the back to the machine; AP, from the front, is often taken in bed.
#
# We judge by the **AUC**: draw one ill and one healthy picture at random; how often does the ill one get the higher score? 0.5 is chance. (Lesson [evaluate](evaluate.ipynb) has it in full.) Each score comes from a model that has never seen a picture of that *patient*: folds by patient. All models are logistic regressions, the picture's on 60 principal components. So fusion here is:
#
# - **early, additive**: one model on picture components and record side by side (it is linear, so it adds);
# - **late, additive**: mean of the two probabilities, or product with the prior once;
# - **stacking**: a third model on the two opinions, linear (additive), or with their product as well (the only interaction tried). It learns from opinions on patients that the readers had *not* seen.

# %%
record_guess = widgets.guess(
    "The record alone, four numbers that see no lung: which AUC?",
    [0.5, 0.6, 0.7, 0.8],
)

# %% tags=["hide-input"]
xray = stored["xray"]
ways = [
    "view",
    "record without the view",
    "record",
    "picture",
    "late: product, prior once",
    "late: mean of probabilities",
    "early: one model on both",
    "stacking: with the product",
    "stacking: linear",
]
fig, ax = plt.subplots(figsize=(7.4, 3.9))
for row, way in enumerate(ways):
    low, high = xray["interval"][way]
    joined = way.startswith(("late", "early", "stacking"))
    color = plot.BLUE if joined else plot.ORANGE
    ax.plot([low, high], [row, row], color=color, lw=2)
    ax.plot(xray["auc"][way], row, "o", color=color)
    ax.text(high + 0.008, row, f"{xray['auc'][way]:.3f}", va="center", fontsize=9)
ax.axvline(0.5, color="#777777", ls=":")
ax.set(yticks=range(len(ways)), yticklabels=ways, xlim=(0.48, 0.96))
ax.set(xlabel="AUC with 95 % interval over patients (bootstrap); dotted: chance")
plot.show(
    fig,
    alt="AUC with intervals: the view 0.61, the record 0.79, the picture 0.85; all ways "
    "of joining both lie between 0.87 and 0.88 and overlap.",
)

# %%
print(f"{xray['num_pictures']} pictures, {xray['num_patients']} patients,", end=" ")
print(f"{xray['folds']} folds by patient, {xray['repeats']} times")
record_guess.compare(0.8)
print("\ngain over the picture alone, 95 % interval over patients")
for way, (low, high) in xray["gain over the picture"].items():
    gain = xray["auc"][way] - xray["auc"]["picture"]
    print(f"{way:34} {gain:+.3f}  [{low:+.3f}, {high:+.3f}]")
low, high = xray["early minus late product"]
print(f"{'early minus late product':34} {'':6}  [{low:+.3f}, {high:+.3f}]")
low, high = xray["the product in stacking"]
print(f"{'what the product adds to stacking':34} {'':6}  [{low:+.3f}, {high:+.3f}]")

# %% tags=["hide-input"]
gains = xray["gain over the picture"]
assert all(low > 0 for low, high in gains.values())
assert xray["early minus late product"][0] < 0 < xray["early minus late product"][1]
assert xray["the product in stacking"][0] < 0 < xray["the product in stacking"][1]
assert abs(xray["auc"]["record"] - 0.79) < 0.01

# %% [markdown]
# (AUC is the mean of five divisions into folds; the intervals draw patients anew in the first of them.) Both together beat the picture alone, in every way of joining. The interval of early minus late product reaches over 0, and the one interaction we tried, the product of the two opinions, adds nothing that shows. `mood` is built around a reversal; nothing says that your data are. Fit the additive model first,
# and see whether interaction gains anything.
#
# (Stacking on opinions about the *same* pictures that the readers were trained on is the classic leak. With these strongly regularized readers it cost next to nothing: AUC 0.878 against 0.879. With a network that has memorized its training set, the opinions there could be worthless as examples.)
#
# ### What must not be concluded
# Four numbers that see no lung reach 0.79 (0.71 without the view). They know who was X-rayed and how, and nothing of what the lung looks like.

# %%
print("share of ill among", end=" ")
for kind, count_of in zip(("PA", "AP"), xray["pictures by view"], strict=True):
    print(f"{kind} ({count_of} pictures): {xray['ill by view'][kind]:.2f}", end="   ")
seen_at = xray["auc"]["the view, read from the picture"]
print(f"\nthe view can be read from the picture with AUC {seen_at:.2f}\n")
print(f"{'AUC inside one view':26} {'PA':22} {'AP':22} both")
for way in ("record", "picture", "early: one model on both", "stacking: linear"):
    cells = []
    for kind in ("PA", "AP"):
        low, high = xray["interval inside"][kind][way]
        cells.append(f"{xray['auc inside'][kind][way]:.3f} [{low:.3f}, {high:.3f}]")
    print(f"{way:26} {cells[0]:22} {cells[1]:22} {xray['auc'][way]:.3f}")
for kind, (low, high) in xray["gain of stacking inside"].items():
    gain = [xray["auc inside"][kind][way] for way in ("stacking: linear", "picture")]
    print(f"linear stacking over the picture, {kind}:", end=" ")
    print(f"{gain[0] - gain[1]:+.3f} [{low:+.3f}, {high:+.3f}]")
inside_pa, inside_ap = (xray["interval inside"][k]["picture"] for k in ("PA", "AP"))
assert inside_pa[0] > inside_ap[1]

# %% [markdown]
# In this collection the ill are far more common among the PA pictures: 0.64 against 0.40. Sick people are often X-rayed in bed, which would be AP; so this probably says more about how the 1,000 were put together than about the disease. And the view can be predicted from the picture with AUC 0.94. So a model that "sees pneumonia" may partly see *how the patient was X-rayed*: a **shortcut**. Inside one view this shortcut is gone, so compare there: the picture has 0.91 among PA and 0.77 among AP, and only among AP does the record add something that shows.
# So the view is not all that the model uses. Why AP is harder, these data do not say.
#
# So do not conclude that this model finds pneumonia, that age and follow-up numbers *cause* anything, or that 0.88 would hold in another hospital.

# %% [markdown]
# ## 10 · Take it apart: when a modality is missing
# The camera fails while the model is in use. Either nobody notices, and the encoder sees a **black picture**, silence or unknown words. Or the model is *told*, by a `modality_mask`, bool (b, M), True where a modality is there, and counts the missing vector as zeros.
# Or it has been trained for the case: **modality dropout** takes whole modalities away in training, drawn *for each sample* and never all at once (after Neverova et al. 2016), and here puts a learned vector, a null token, in their place.

# %%
all_there = np.ones((2000, 3), bool)
mask = fusion.sample_modality_mask(all_there, 0.3, np.random.default_rng(0))
patterns, how_often = np.unique(mask, axis=0, return_counts=True)
print("face   voice  words   share of samples")
for pattern, number_of in zip(patterns, how_often, strict=True):
    print(
        *(f"{'yes' if there else '–':6}" for there in pattern),
        f"{number_of / 2000:8.2f}",
    )

# %%
gap_guess = widgets.guess(
    "Nobody notices that the camera is black. Which accuracy has concatenation left?",
    [0.85, 0.7, 0.55, 0.45],
)

# %% tags=["hide-input"]
missing = stored["missing"]
rows, values = [], []
for name, ways in missing["methods"].items():
    for way in ("unnoticed", "masked", "dropout"):
        rows.append(f"{name}, {way}")
        values.append(np.mean(ways[way], axis=0))
best = [mood.bayes_accuracy([m for m in names if m != gone]) for gone in ["", *names]]
fig = plot.matrix(
    [*values, best],
    "What is left when one is missing?",
    [*rows, "exact ceiling"],
    ["nothing", *names],
    xlabel="missing",
)
plot.show(
    fig,
    alt="Test accuracy by method, remedy and missing modality, mean of five runs, with "
    "the exact ceilings in the last row.",
)
print(f"{'missing:':28}", *(f"{gone:>8}" for gone in ["nothing", *names]))
for row, cells in zip([*rows, "exact ceiling"], [*values, best], strict=True):
    print(f"{row:28}", *(f"{cell:8.3f}" for cell in cells))


# %%
def difference(name, one, other, gone):
    """Remedy `one` minus `other` where `gone` is missing: mean and interval."""
    column = missing["gaps"].index(gone)
    ways = missing["methods"][name]
    change = np.array(ways[one])[:, column] - np.array(ways[other])[:, column]
    return mean_and_interval(change)


print(f"five runs, {missing['epochs']} epochs, paired; ± is Student's 95 % interval")
for name in missing["methods"]:
    for gone, one, other in (
        ("face", "masked", "unnoticed"),
        ("face", "dropout", "masked"),
        ("words", "dropout", "masked"),
        ("nothing", "dropout", "masked"),
    ):
        mean, interval = difference(name, one, other, gone)
        what = f"{name:16} {gone:8} missing, {one} minus {other:9}"
        print(f"{what} {mean:+.3f} ± {interval:.3f}")
unnoticed_face = np.mean(missing["methods"]["concatenate"]["unnoticed"], axis=0)[1]
for name in missing["methods"]:
    assert difference(name, "masked", "unnoticed", "face")[0] > 0.15
    assert abs(difference(name, "dropout", "masked", "nothing")[0]) < 0.005
    assert difference(name, "dropout", "masked", "face")[0] < 0.03
gap_guess.compare(min([0.85, 0.7, 0.55, 0.45], key=lambda x: abs(x - unnoticed_face)))

# %% [markdown]
# Three things to read.
#
# - **A black picture is not a missing picture.** Nobody told, concatenation falls from 0.88 to 0.44, hardly above the majority class (0.40). (The encoder was never shown a black picture.) Told by a mask, it keeps 0.67.
# - **The mask does most of the work.** The three methods gain 0.20 to 0.25 from it where the face is missing (± 0.14 for the low-rank tensor). (For the words the gain has wide intervals: how badly an unnoticed gap hurts depends on the run.) Modality dropout adds at most 0.02 to that, clearly only for the gated unit; and dropout costs nothing that five runs can show where nothing is missing. (These vectors are standardized, so a zero is the average message. Other vectors were not tried.)
# - **Then the ceiling.** Without the face the best possible is 0.74: no training brings the smirk back.

# %% [markdown]
# ## 11 · At full size
# Pretrained encoders often give vectors of 384 to 1,024 numbers. What would each method cost there, for three modalities and a result of 256?

# %%
from mmcourse.runtime import device, profile

wide = [768] * 3
num_products = np.prod([d + 1 for d in wide])
print(f"full tensor      {num_products * 256 / 1e9:8.1f} billion weights")
for name in ("concatenate", "gated unit", "low-rank tensor"):
    size = count(torch_fusion.METHODS[name](wide, 256))
    print(f"{name:16} {size / 1e6:8.1f} million")

# %% [markdown]
# The full tensor is out of the question; its low-rank form is not. On a GPU, the next cell trains a whole model, encoders included, at width 256, with cross-attention between *real* sequences: patches of the face, sounds, words.

# %% tags=["free"]
if profile() == "gpu":
    parts = {
        "face": encoders.ImageEncoder(256, channels=(64, 128)),
        "voice": encoders.AudioEncoder(40, 256, channels=128),
        "words": encoders.TextEncoder(len(train.vocabulary), 256),
    }
    fuse = torch_fusion.CrossModalTransformer([128, 128, 256], 256)
    large = encoders.MultimodalClassifier(parts, fuse, classes=3).to(device())
    training.fit(large, train.torch_loader(128, seed=0), epochs=5, learning_rate=1e-3)
    predicted = training.predict(large, test.torch_loader(500)).argmax(1)
    print("test accuracy", (predicted == test.labels).mean())
else:
    print("not run: no GPU here. It would train cross-modal attention from end to end.")

# %% [markdown]
# ## 12 · What to remember
# 1. Ask two questions of a model: *where* does it join (early, intermediate, late), and does it *add* or *interact*? They are independent: stacking is late and interacts.
# 2. A sum of separate scores, however it is dressed, cannot learn that one modality turns another around. XOR is the proof; the best sum, against the joint ceiling, says how much it costs.
# 3. Where the table is known, compute ceilings first: single, added, joint. On real data, fit the best single modality, an additive model and one that interacts, with intervals.
# 4. Baselines: the best single modality, a linear model, stacking, concatenation with a layer behind it. Compare by learning curves, tuned alike, with several seeds, at more than one budget.
# 5. Count the parameters, move one sample and see that no other moves, and train with gaps if you will meet gaps. A weight α is not importance.

# %% [markdown]
# ## 13 · Check yourself
# <details><summary>1. You change the audio of one sample, and the answers for others move. What happened?</summary>
#
# The samples of the batch meet one another, as in `Attention()([text, audio, image])` of section 3: its weights are samples by samples. Make the modalities of *one* sample the sequence.
# </details>
# <details><summary>2. Why divide by the prior when opinions are multiplied?</summary>
#
# Each opinion contains it. Three opinions hold it three times, and it should count once.
# </details>
# <details><summary>3. "Late fusion cannot model interactions." True?</summary>
#
# Of additive late fusion (mean, product, a linear model on log-probabilities), yes. Stacking with a network or with products is late fusion and interacts.
# </details>
# <details><summary>4. After twelve epochs method A has 0.78 and method B 0.87. Is B better?</summary>
#
# Perhaps it only learns faster at these rates. Tune both alike, train both until their validation curves are flat, take several seeds, and look again.
# </details>
# <details><summary>5. A modality is replaced by zeros at test time. Why is that not "missing"?</summary>
#
# Zero is a value. A black picture is all zeros, and to its encoder it is some strange face. Tell the model with a mask, and replace the *vector*: by the average (zero, if vectors are standardized) or by a learned one.
# </details>
# <details><summary>6. You stack on opinions about the very samples that the readers were trained on. What goes wrong?</summary>
#
# There a reader is surer than it deserves, and the more it has memorized, the more the second model trusts it. How much that costs depends on how far the readers overfit. Use opinions on samples held out from the readers (section 9).
# </details>

# %% [markdown]
# ## 14 · Exercises and where next
# [The exercises](exercises/fusion.ipynb): a gated unit by hand, the full tensor inside a low-rank one, a layer that mixes up samples, the choice of a method from a table alone; then two modules that work with a missing modality, low-rank fusion in PyTorch and a gated unit in Keras.
#
# The last section of the exercises is **an open challenge**: 1,500 samples, three modalities, some missing, and one that turns another around. Which fusion has the right form?
#
# **Deeper:** [fusion_deeper](fusion_deeper.ipynb) has the rest of the family by hand, parity of all methods in three backends, and the same model trained in PyTorch and Keras side by side.
#
# **Where next:** [train_pytorch](train_pytorch.ipynb) trains encoders and fusion together; [evaluate](evaluate.ipynb) says which differences may be believed; [sentiment](sentiment.ipynb) is the worked case. **Back to:** [attention](attention.ipynb), [multimodal_data](multimodal_data.ipynb).
#
# ## Sources
# - T. Baltrušaitis, C. Ahuja, L.-P. Morency (2019), *Multimodal machine learning: a survey and taxonomy*, arXiv 1705.09406: early, late and hybrid fusion.
# - J. Kittler et al. (1998), *On combining classifiers*, IEEE PAMI 20(3): product and sum rules, and the prior.
# - D. Wolpert (1992), *Stacked generalization*, Neural Networks 5(2): a second model, trained on held-out opinions.
# - M. Minsky, S. Papert (1969), *Perceptrons*: what one layer of weighted sums cannot compute.
# - N. Bertschinger et al. (2014), *Quantifying unique information*, arXiv 1311.2852; P. Williams, R. Beer (2010), arXiv 1004.2515; P. P. Liang et al. (2023), *Quantifying & modeling multimodal interactions*, arXiv 2302.12247.
# - J. Arevalo et al. (2017), *Gated multimodal units*, arXiv 1702.01992 · E. Perez et al. (2018), *FiLM*, arXiv 1709.07871.
# - A. Zadeh et al. (2017), *Tensor fusion network*, arXiv 1707.07250 · Z. Liu et al. (2018), *Efficient low-rank multimodal fusion*, arXiv 1806.00064.
# - J.-H. Kim et al. (2017), *Hadamard product for low-rank bilinear pooling*, arXiv 1610.04325 · A. Fukui et al. (2016), *Multimodal compact bilinear pooling*, arXiv 1606.01847.
# - Y.-H. H. Tsai et al. (2019), *Multimodal transformer (MulT)*, arXiv 1906.00295 · A. Nagrani et al. (2021), *Attention bottlenecks*, arXiv 2107.00135.
# - N. Neverova et al. (2016), *ModDrop*, arXiv 1501.00102.
# - X. Wang et al. (2017), *ChestX-ray8*, arXiv 1705.02315. The X-rays were provided by the NIH Clinical Center.
