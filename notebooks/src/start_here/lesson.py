# %% [markdown]
# # Start here
# *In the next five minutes a trained model judges your own words; in an hour you train its twin.*
#
# {{budget}}
#
# **You will be able to**
# - say what a modality is, and read the shape of the array behind it;
# - put your own sentence, voice or picture through a trained model;
# - work out the best accuracy that any model could reach;
# - train one model on three modalities in PyTorch, and run the same model in Keras;
# - tell a real gain from a lucky one.
#
# **Before this:** some Python. No machine learning, and no mathematics beyond adding and dividing.
#
# **Time to read:** 45 minutes, then 27 for the [exercises](exercises/start_here.ipynb).

# %% [markdown]
# Run a cell with Shift+Enter, from the top. You need no network and no GPU, and nothing you do can break anything: if
# it looks odd, choose *Kernel → Restart Kernel and Run All Cells*. Change numbers and run again. That is what the
# lesson is for. (Cells of plumbing are folded; click on them if you are curious.)

# %%
import json

import numpy as np
import torch
from torch import nn

from mmcourse import draw, plot, pretrained, widgets
from mmcourse.check import check
from mmcourse.datasets import data_dir, load, mood
from mmcourse.evaluate import expect_within, mean_and_interval

# %% tags=["hide-input"]
train, test = load("mood", "train"), load("mood", "test")
# what each part was made to show
cue = {m: test.meta[f"{m}_cue"] for m in ("face", "voice", "words")}
rule = (cue["words"] == "positive") & (cue["voice"] == "neutral")
rule = rule & (cue["face"] == "smirk")
first = np.flatnonzero(rule & (test.labels == 0))[:1]  # the first of this kind
message = test.subset(first)

# %% [markdown]
# ## 1 · A model answers
# Somebody sends you a short video message. Here is what they said, how it sounded, and the face they made. (The words
# and the voice do not match: in this data set every voice says the same sentence, and only the *way* of saying it
# tells something. Faces are drawn by a program and voices are spoken by one. That is why we know the truth about
# them.)

# %%
print("words:", message[0]["words"])
plot.audio(message[0]["voice"], message.sample_rate, label="The voice of this message")
fig = plot.images([message[0]["face"]], ["the face of this message"])
plot.show(fig, alt="A small drawn face; one corner of the mouth is higher.")

# %% [markdown]
# What does the sender feel? Record your guess before you go on.

# %%
feelings = ["negative", "neutral", "positive"]
feeling = widgets.guess("What does the sender feel?", feelings)

# %% [markdown]
# Now ask a model. It was trained on 6,000 other messages, and comes with the course.

# %% tags=["free"]
model = pretrained.load_trimodal()
for name, p in pretrained.probabilities(model, message).items():
    print(f"{name:9} {p:6.1%} {'█' * round(40 * p)}")

# %%
feeling.compare(message.classes[message[0]["target"]])

# %% [markdown]
# The words are kind, and the message is not. You may have felt it: the face changed the *meaning of the words*. Sarcasm
# is in none of the three parts alone. At the end of this lesson you will have trained a model that finds this out by
# itself, and you will know how good such a model can possibly be.
#
# ## 2 · Your turn: your words, your voice, your picture
# Change `my_words` and run the cell again. Put a picture or a recording beside this notebook (drag it into the file
# browser on the left) and write its name between quotes to use it. What you leave at `None` is taken from the
# message above.

# %%
my_words = "What a lovely evening!"  # any English sentence
my_voice = None  # for example "voice.wav": up to 30 seconds
my_picture = None  # for example "me.jpg"

mine = pretrained.read_message(my_words, my_voice, my_picture, rest=message)

# %% tags=["free"]
smiling = test.subset(np.flatnonzero(cue["face"] == "smile")[:1])
with_smile = pretrained.read_message(my_words, my_voice, my_picture, rest=smiling)
rows = {"your message": mine, "the same words, another message": with_smile}
for title, data in rows.items():
    p = pretrained.probabilities(model, data)
    print(f"{title:36}", "  ".join(f"{name} {value:.2f}" for name, value in p.items()))
unknown = [w for w in mood.mood_words.tokenize(my_words) if w not in train.vocabulary]
print("the model knows", len(train.vocabulary) - 2, "words")  # 2 ids: padding, unknown
print("of yours it never met:", ", ".join(unknown) or "none")

# %% tags=["hide-input"]
faces = [mine[0]["face"], with_smile[0]["face"]]
fig = plot.images(faces, ["your message", "the other message"])
plot.show(fig, alt="Two small drawn faces as the model gets them, 32 by 32 pixels.")

# %% [markdown]
# **Know what it knows.** This model has met a small list of words, drawn faces and computer voices. Anything else is foreign to it. Is it
# at least *unsure* then? Try it on a photograph of a palace.

# %% tags=["free"]
from pathlib import Path

import sklearn

palace = Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg"
foreign = pretrained.read_message(picture=palace, rest=message)
for name, p in pretrained.probabilities(model, foreign).items():
    print(f"{name:9} {p:.2f}")
fig = plot.images([foreign[0]["face"]], ["what is left of the palace"])
plot.show(fig, alt="A palace under a blue sky, reduced to 32 by 32 pixels.")

# %% [markdown]
# It names a *feeling* of a palace, because three answers are all that it can give. Try a selfie: some strange pictures leave it unsure,
# others do not. A model cannot tell you that you asked the wrong question. (The photograph comes with
# scikit-learn; Yue Yin Lau, CC BY 2.0.)
#
# ## 3 · What is a modality?
# A **modality** is one way in which information reaches you: sight, sound, text. To a computer each one is an array of
# numbers, also called a tensor, and its **shape** says how many numbers lie along each axis.

# %%
face, voice, words = message[0]["face"], message[0]["voice"], message[0]["words"]
print("face ", face.shape, face.dtype, "  height, width, color: 0 to 255")
print("voice", voice.shape, voice.dtype, "    air pressure, 16,000 numbers per second")
words_in_it = len(words.split())
print("words", words_in_it, "words           each gets its number from a list")

# %% tags=["hide-input"]
start = words.split()[:4]
ids = mood.mood_words.encode(" ".join(start)).tolist()
modalities = draw.row(
    draw.tensor((32, 32, 3), "face", axes=("height", "width", "color")),
    draw.tensor((len(voice),), "voice", axes=("time",), color="orange"),
    draw.tokens([*start, "…"], ids=[*ids, "…"], color="green", title="words"),
    gap=34,
)
alt = "A face is a block of numbers, a voice a row of numbers, words a row of ids."
draw.show(modalities, alt=alt)

# %% [markdown]
# Three arrays of different size, unit and meaning: you cannot add them, stack them or compare them. So each modality first gets an
# **encoder**, a small network that turns its array into a plain vector, here of 32 numbers. Vectors *can* be joined.

# %% tags=["hide-input"]
canvas = draw.Canvas()
names = {"face": "(32, 32, 3)", "voice": "(time, 40)", "words": "(length,)"}
colors = {"face": "blue", "voice": "orange", "words": "green"}
placed = []
for row, (name, shape) in enumerate(names.items()):
    source = canvas.place(draw.box(name, color=colors[name], width=80), y=70 * row)
    encoder = canvas.place(draw.box("encoder", width=90), right_of=source, gap=90)
    canvas.arrow(source, encoder, label=shape)
    placed.append(encoder)
tall = draw.box("join", color="pink", height=180)
joined = canvas.place(tall, right_of=placed, gap=75)
for encoder in placed:
    canvas.arrow(encoder, (joined.x - 3, encoder.right[1]), label="(32,)")
hidden = canvas.place(draw.box("Linear\nReLU", color="grey"), right_of=joined, gap=58)
out = canvas.place(draw.box("Linear", color="grey"), right_of=hidden, gap=62)
canvas.arrow(joined, hidden, label="(96,)")
canvas.arrow(hidden, out, label="(128,)")
canvas.arrow(out, (out.right[0] + 55, out.right[1]), label="(3,)")
alt = "Face, voice and words each go through an encoder to 32 numbers; joined to 96, "
alt += "then a hidden layer of 128 and three scores."
draw.show(canvas, alt=alt)

# %% [markdown]
# That is the whole model that answered you. The three numbers at its end are **logits**: one score per class, any
# numbers; the largest one is the model's answer. (The *softmax* makes probabilities of them, by making all positive and dividing by
# their sum. Lesson neural_networks takes it apart.)

# %% [markdown]
# ## 4 · How good is it? Your first blank
# One good answer proves nothing. The test set has 1,500 messages, with other sentences, voices and faces than those in
# training. Let the model answer all of them.

# %%
from mmcourse.training.torch import fit, predict

logits = predict(model, test.torch_loader(batch_size=500))  # (1500, 3)
predicted = logits.argmax(axis=1)  # (1500,), the position of the largest score
print(logits.shape, "scores give", predicted.shape, "answers")

# %% [markdown]
# **Accuracy** is the share of right answers. Now you write it. A **blank** is a gap like the `...` below: put your code in its
# place and run the cell. The check tells you *what* is wrong, and if you leave it empty, the lesson goes on with
# its own version, so you cannot get stuck.
#
# <details><summary>Hint</summary>
#
# `predicted == labels` is an array of True and False. Its `.mean()` counts True as 1 and False as 0.
# </details>


# %%
def accuracy(predicted, labels):
    """Share of right answers; both are arrays (n,) of class numbers."""
    # BEGIN SOLUTION
    return (predicted == labels).mean()
    # END SOLUTION


accuracy = check("start_here.blank.1", accuracy)

# %% [markdown]
# What does the check say to a wrong answer? Here is one on purpose: it counts, and forgets to divide.


# %%
def counts_only(predicted, labels):
    return (predicted == labels).sum()


first_blank = "start_here.blank.1"
_ = check(first_blank, counts_only)
# %% tags=["target"]
shipped = accuracy(predicted, test.labels)
expect_within("test accuracy of the shipped model", shipped, 0.92, 0.02)

# %% [markdown]
# Is that a lot? It depends on what you get for nothing. **Chance** is one divided by the number of classes: what random
# answers reach. The **majority-class baseline** is the accuracy of always naming the most frequent class. A model that does not beat
# it is of no use.
#
# <details><summary>Hint</summary>
#
# `np.bincount(labels)` counts how often each class comes: `np.bincount([0, 2, 2])` is `[1, 0, 2]`.
# </details>


# %%
def majority_baseline(labels):
    """Accuracy of always naming the most frequent class; labels are (n,)."""
    # BEGIN SOLUTION
    return np.bincount(labels).max() / len(labels)
    # END SOLUTION


majority_baseline = check("start_here.blank.2", majority_baseline)

# %%
print("chance", round(1 / 3, 3))
print("majority-class baseline", round(float(majority_baseline(test.labels)), 3))

# %% [markdown]
# Your verdicts are kept in your own copy of the course. Type `mmcourse progress` in a terminal, or `!mmcourse progress`
# in a cell, at any time: it shows your points and what comes next. Each lesson goes the same way:

# %% tags=["hide-input"]
steps = [
    draw.box("lesson", note="read and run"),
    draw.box("blanks", note="write the core", color="orange"),
    draw.box("check", note="says what is wrong", color="green"),
    draw.box("exercises", note="own notebook", color="orange"),
    draw.box("mmcourse\nprogress", color="grey"),
]
alt = "Lesson, blanks, check, exercises, progress."
draw.show(draw.row(*steps, arrows=True), alt=alt)

# %% [markdown]
# ## 5 · The best that anyone could do
# Could a better model reach 1.00? No, and here you can prove it. Take eight messages with **kind** or **unkind** words and a
# **plain** face or a **smirk**. The table counts what was meant.

# %%
looks = ["kind\nplain", "kind\nsmirk", "unkind\nplain", "unkind\nsmirk"]
counts = np.array([[0, 1, 3, 0], [3, 0, 0, 1]])  # rows: meant negative, meant positive

# %% tags=["hide-input"]
names = [x.replace("\n", ", ") for x in looks]
table = draw.matrix(counts, rows=["negative", "positive"], columns=names)
draw.show(table, alt="Eight messages counted by what was meant and how they look.")

# %% [markdown]
# Now cover the words: you see only the face, and you must always answer. The best you can do for each kind of face is to name what
# is most frequent there. How many of the eight do you get right?

# %%
question = "How often is the best answer right if you see only the face?"
only_face = widgets.guess(question, [0.5, 0.625, 0.75, 1.0])

# %%
by_face = counts[:, [0, 1]] + counts[:, [2, 3]]  # (2 meanings, 2 faces)
by_words = counts[:, [0, 2]] + counts[:, [1, 3]]  # (2 meanings, 2 kinds of words)
for name, columns in {"face": by_face, "words": by_words, "both": counts}.items():
    best = columns.max(axis=0)  # how many are right in each column
    right = best.sum()
    print(f"{name:6} right per column {best.tolist()}: {right} of 8 = {right / 8}")
only_face.compare(by_face.max(axis=0).sum() / 8)

# %% tags=["hide-input"]
seen_face = draw.matrix(
    by_face,
    rows=["negative", "positive"],
    columns=["plain", "smirk"],
    highlight=[(0, 0), (0, 1)],
    title="face: 4 of 8",
)
seen_words = draw.matrix(
    by_words,
    columns=["kind", "unkind"],
    highlight=[(1, 0), (0, 1)],
    title="words: 6 of 8",
    color="green",
)
seen_both = draw.matrix(
    counts,
    columns=["kind, plain", "kind, smirk", "unk., plain", "unk., smirk"],
    highlight=[(1, 0), (0, 1), (0, 2), (1, 3)],
    title="both: 8 of 8",
    color="pink",
)
picture = draw.row(seen_face, seen_words, seen_both, gap=26)
alt = "The largest count of each column is framed: 4, 6 and 8 of 8 are right."
draw.show(picture, alt=alt)

# %% [markdown]
# Alone the face is worth *nothing*: 0.5 is a coin toss. With the words it is worth everything. What modalities know together and
# none of them knows alone is called **synergy** (Williams and Beer 2010).
#
# Now the same as a formula. Write $p(y, x)$ for the share of messages that mean $y$ and look like $x$. For each look $x$, take the largest
# share; add these up over all looks:
#
# $$A^* = \sum_x \max_y \; p(y, x)$$
#
# This is the **Bayes accuracy**, the best accuracy that any model can reach from $x$. We call it the **ceiling**: messages that
# look the same must get the same answer, however large the model is (Devroye, Györfi and Lugosi 1996).
#
# The data set `mood` was drawn from such a table, with three meanings, four faces, three voices and three kinds of words. So its
# ceilings are known exactly, which is true of no real data.

# %%
singles = ["face", "voice", "words"]
ceiling = {name: mood.bayes_accuracy([name]) for name in singles}
ceiling["all three"] = mood.bayes_accuracy(singles)
for name, value in ceiling.items():
    print(f"{name:10} {value:.3f}")

# %% [markdown]
# Do not take it on trust: count. Here are the 6,000 training messages, with the best answer for each look. (Choosing the best
# answers on the same messages can lift the count a little above the ceiling.)

# %%
columns = np.stack([train.meta[f"{m}_cue"] for m in singles])
patterns, column = np.unique(columns, axis=1, return_inverse=True)
found = np.zeros((3, patterns.shape[1]))
np.add.at(found, (train.labels, column.ravel()), 1)
counted = found.max(axis=0).sum() / len(train)
print(f"counted {counted:.3f}, exact {ceiling['all three']:.3f}")

# %% [markdown]
# ## 6 · Build it
# Models do not see single messages but a **batch**: several samples, each modality stacked under its name. Sentences differ in length,
# so short ones are filled up with **padding**, zeros that carry no meaning, and a *mask* remembers what is real.

# %%
batch = next(test.batches(batch_size=3))
for name, values in batch["inputs"].items():
    print(f"{name:6}", values.shape)

# %% tags=["hide-input"]
ids, real = batch["inputs"]["words"][:, :9], batch["padding_mask"]["words"][:, :9]
left = draw.matrix(ids, title="words (first 9 positions)", color="green")
mark = np.where(real, "✓", "·")
right = draw.matrix(mark, title="padding_mask", color="grey")
alt = "Ids of three sentences in one array; where a sentence has ended stand zeros, "
alt += "and the mask says so."
draw.show(draw.column(left, right, gap=16), alt=alt)

# %% [markdown]
# Send these three messages through the encoders of the trained model. Each encoder gives 32 numbers per message.

# %%
three = next(iter(test.torch_loader(batch_size=3)))
h = {}
with torch.no_grad():
    for name, encoder in model.encoders.items():
        mask = three["padding_mask"].get(name)
        h[name] = encoder(three["inputs"][name], mask).numpy()
        print(f"{name:6}", h[name].shape, " first numbers", h[name][0, :3].round(1))

# %% [markdown]
# **Join them.** The step that makes the model multimodal is one line: lay the vectors of a message end to end, first face,
# then voice, then words. That is called **concatenation**, or *early fusion* (Baltrušaitis and others 2019).
#
# <details><summary>Hint</summary>
#
# `np.concatenate([a, b, c], axis=…)`. Axis 0 is the batch, and must stay 3. Which axis grows from 32 to 96?
# </details>


# %%
def join(face, voice, words):
    """Three arrays (b, 32) → one array (b, 96)."""
    # BEGIN SOLUTION
    return np.concatenate([face, voice, words], axis=1)
    # END SOLUTION


join = check("start_here.blank.3", join)
print("joined:", join(h["face"], h["voice"], h["words"]).shape)

# %% [markdown]
# ### In PyTorch
# Here is the whole model. The three encoders are imported (lessons [cnn](cnn.ipynb) to
# [transformers](transformers.ipynb) build such things); the joining is yours, as `torch.cat`. `rms_norm` first brings the three vectors to one
# size, so that none drowns the others. As a formula, for the encoders' vectors $h_m$:
#
# $$h = [h_\text{face};\, h_\text{voice};\, h_\text{words}] \qquad
# \text{logits} = W_2\,\max(0,\, W_1 h + b_1) + b_2$$
#
# $[\,;\,]$ means "end to end". $W_1, b_1, W_2, b_2$ are the numbers that training finds, and
# $\max(0, \cdot)$ replaces negative numbers by 0 (the *ReLU*).

# %%
from torch.nn.functional import rms_norm


class Trimodal(nn.Module):
    def __init__(self, encoders, num_hidden=128, num_classes=3):
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        self.hidden = nn.Linear(32 * len(encoders), num_hidden)
        self.logits = nn.Linear(num_hidden, num_classes)

    def forward(self, batch):
        vectors = []
        for name, encoder in self.encoders.items():
            mask = batch["padding_mask"].get(name)
            vector = encoder(batch["inputs"][name], mask)  # (b, 32)
            vectors.append(rms_norm(vector, vector.shape[-1:], eps=1e-5))
        joined = torch.cat(vectors, dim=-1)  # (b, 96)
        hidden = self.hidden(joined).relu()  # (b, 128)
        return self.logits(hidden)  # (b, 3)


# %% [markdown]
# Is this really the model that answered you? Give it the shipped weights, and compare.

# %%
twin = Trimodal(pretrained.mood_encoders("face", "voice", "words"))
twin.load_state_dict(model.state_dict())
with torch.no_grad():
    same = torch.allclose(twin(three), model(three))
print(f"{sum(p.numel() for p in twin.parameters()):,} weights; the same logits: {same}")
assert same

# %% [markdown]
# ## 7 · Train it yourself
# Forget those weights. A new model starts with random ones and knows nothing. **Training** goes through the messages in batches of 64; after each
# batch it moves every weight a little, so that the right answers become more probable. Once through all messages is an *epoch*. The
# shipped model had ten; you take three. (`fit` is the loop; lesson
# [train_pytorch](train_pytorch.ipynb) writes it out.)

# %% tags=["free"]
torch.manual_seed(0)
yours = Trimodal(pretrained.mood_encoders("face", "voice", "words"))
loader = train.torch_loader(batch_size=64, seed=0)
history = fit(yours, loader, epochs=3, progress=False)
for number, epoch in enumerate(history, 1):
    print(f"epoch {number}: loss {epoch['loss']:.3f}, accuracy {epoch['accuracy']:.3f}")

# %% tags=["target"]
reached = accuracy(predict(yours, test.torch_loader(500)).argmax(axis=1), test.labels)
expect_within("test accuracy after three epochs", reached, 0.79, 0.05)
assert reached > max(ceiling[name] for name in singles)

# %% [markdown]
# Below the shipped model, and yet far above each ceiling of a single modality. What do more epochs bring? The curve of the shipped
# model was stored when it was trained.

# %% tags=["free"]
folder = data_dir() / "models" / "start_here"
figures = json.loads((folder / "figures.json").read_text())
curves = {
    "yours": [epoch["accuracy"] for epoch in history],
    "shipped": figures["training accuracy by epoch"],
}
levels = {
    "best addition": mood.additive_accuracy(),
    "ceiling": ceiling["all three"],
}
title = "What do more epochs bring?"
fig = plot.curves(curves, title=title, ylabel="training accuracy", levels=levels)
alt = "Training accuracy by epoch: three epochs end near 0.8; "
alt += "ten epochs pause near 0.79, then climb past 0.86 to about 0.94."
plot.show(fig, alt=alt)

# %% [markdown]
# First a plateau, then a climb. The lower dotted line is exact as well: no rule that gives each modality a score of its own and *adds* the
# scores can pass it. So once the curve is above it *on new messages*, the model does more than add: it lets one modality change
# what another means.

# %%
expect_within("best accuracy of any addition", mood.additive_accuracy(), 0.858, 0.001)
assert shipped > mood.additive_accuracy() > reached
print("on the test set the shipped model is above it, yours is below")

# %% [markdown]
# (Training accuracy can even pass the ceiling: the model learns luck by heart. Only new messages count.)
#
# ### In Keras
# The same model in the other framework. The package has both; we copy the trained weights over, so the two must agree.

# %% tags=["hide-input"]
import mmcourse.torch.encoders as torch_encoders
import mmcourse.torch.fusion as torch_fusion
from mmcourse.parity import copy_weights

packaged = torch_encoders.MultimodalClassifier(
    pretrained.mood_encoders("face", "voice", "words"),
    torch_fusion.Concatenate([32] * 3, 128),
    classes=3,
)
packaged.encoders.load_state_dict(model.encoders.state_dict())
packaged.fusion.out.load_state_dict(model.hidden.state_dict())
packaged.head.load_state_dict(model.logits.state_dict())

# %%
import keras

import mmcourse.keras.encoders as K
from mmcourse.keras.fusion import Concatenate

keras_model = K.MultimodalClassifier(
    {
        "face": K.ImageEncoder(width=32),
        "voice": K.AudioEncoder(bands=40, width=32),
        "words": K.TextEncoder(vocabulary=len(train.vocabulary), width=32),
    },
    fusion=Concatenate(dims=[32, 32, 32], width=128),
    classes=3,
)
keras_model.compile(
    optimizer=keras.optimizers.AdamW(learning_rate=1e-3),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)

# %% tags=["free"]
keras_batch, _ = next(iter(test.tf_dataset(batch_size=3)))
keras_model(keras_batch)  # the first call creates the weights
copy_weights(packaged, keras_model)
gap = np.abs(np.array(keras_model(keras_batch)) - model(three).detach().numpy()).max()
assert gap < 1e-3
print(f"largest difference between the two frameworks' logits: {gap:.0e}")
few = train.subset(range(640)).tf_dataset(64, seed=0, fixed_length=True)
more = keras_model.fit(few, epochs=1, shuffle=False, verbose=0)
final = more.history["accuracy"][0]
print(f"one more epoch on 640 messages in Keras: accuracy {final:.3f}")

# %% [markdown]
# ## 8 · At work
# ### One modality or three?
# How much is each modality worth alone? One training may be lucky, so each model was trained five times, from five seeds, ten epochs
# each, and stored with the weights. (A **seed** fixes what is drawn by chance: the first weights and the order of the messages.)

# %%
runs = {k: np.array(v) for k, v in figures["test accuracy by seed"].items()}
for name, values in runs.items():
    mean, half = mean_and_interval(values)
    top = ceiling[name]
    print(f"{name:10} n = {len(values)}  {mean:.3f} ± {half:.3f}  of {top:.3f}")

# %% tags=["hide-input"]
stats = [mean_and_interval(values) for values in runs.values()]
fig = plot.bar_with_ceiling(
    [f"{name} (n = {len(values)})" for name, values in runs.items()],
    [mean for mean, _ in stats],
    [ceiling[name] for name in runs],
    [half for _, half in stats],
    title="How close does each model come to its ceiling?",
    chance=1 / 3,
)
alt = "Face, voice and words alone reach about 0.67 with ceilings near 0.69; "
alt += "all three reach about 0.92 of 0.926. Chance is at 0.33."
plot.show(fig, alt=alt)

# %% [markdown]
# The ± is a 95 % **confidence interval** by Student's $t$: a range that would hold the true mean in 95 of 100 repetitions. With five numbers
# their spread is itself uncertain, and $t$ widens the interval accordingly. It speaks about *seeds* only. The test messages are the same each
# time, and other messages would shift these numbers too:

# %%
for name in ("voice", "all three"):
    p = runs[name].mean()
    by_messages = 1.96 * np.sqrt(p * (1 - p) / len(test))
    print(f"{name:10} another {len(test)} messages: about ± {by_messages:.3f}")

# %% [markdown]
# Is the gain real? Run 1 of one model belongs with run 1 of the other (same seed), so take the five differences and ask whether their
# interval stays away from 0. Which single model to compare with is fixed beforehand: the one with the highest ceiling.

# %%
best_single = max(singles, key=ceiling.get)
gain = runs["all three"] - runs[best_single]
mean, half = mean_and_interval(gain)
print(f"gain over {best_single} alone: {mean:.3f} ± {half:.3f} (n = {len(gain)} pairs)")
assert mean - half > 0

# %% [markdown]
# Beware of two seeds. "More than two standard errors" is a popular rule; let it judge models that are *equal*, 100,000 times, with two and with five
# seeds.

# %%
from scipy.special import stdtrit

g = np.random.default_rng(0)
for n in (2, 5):
    noise = g.normal(size=(100_000, n))  # differences with no true gain
    error = noise.std(axis=1, ddof=1) / np.sqrt(n)
    t = noise.mean(axis=1) / error
    student = stdtrit(n - 1, 0.975)  # what Student takes in the place of 2
    two_errors, interval = np.mean(t > 2), np.mean(t > student)
    print(f"{n} seeds: the rule errs in {two_errors:.1%}, Student in {interval:.1%}")

# %% [markdown]
# With two seeds the rule finds a gain that is not there in 15 of 100 cases. Student's interval does so in 2.5, whatever the number of seeds.
#
# ### Real handwriting
# `mood` is made by programs. The same encoder takes real pictures: 1,797 digits that people wrote, 8 × 8 pixels, from scikit-learn. Here is a training
# loop in plain PyTorch, as you will meet it everywhere.

# %%
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from mmcourse.torch.encoders import ImageEncoder

digits = load_digits()
x = torch.tensor(digits.images[:, None] / 16, dtype=torch.float32)  # (1797, 1, 8, 8)
y = torch.tensor(digits.target)  # (1797,)
num_train = 1200


def train_digits(seed, epochs=20):
    """Test accuracy after training on the first 1,200 digits."""
    torch.manual_seed(seed)
    encoder = ImageEncoder(width=32, size=8, colors=1)  # (b, 1, 8, 8) → (b, 32)
    model = nn.Sequential(encoder, nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    data = TensorDataset(x[:num_train], y[:num_train])
    for _ in range(epochs):
        for images, labels in DataLoader(data, batch_size=64, shuffle=True):
            loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()  # how should each weight move?
            optimizer.step()  # move it a little
    with torch.no_grad():
        predicted = model(x[num_train:]).argmax(dim=1)
    return float(accuracy(predicted.numpy(), y[num_train:].numpy()))


# %% tags=["free"]
real = [train_digits(seed) for seed in range(3)]
mean, half = mean_and_interval(real)
print(f"real digits: {mean:.3f} ± {half:.3f} (n = {len(real)} seeds)")
lazy = majority_baseline(digits.target[num_train:])
print(f"chance {1 / 10:.3f}, majority-class baseline {lazy:.3f}")

# %%
expect_within("accuracy on real digits", np.mean(real), 0.93, 0.04)
fig = plot.images(list(digits.images[num_train : num_train + 5] / 16), columns=5)
plot.show(fig, alt="Five handwritten digits of 8 by 8 pixels, from the test set.")

# %% [markdown]
# No ceiling is printed here, because nobody knows it. That is the normal state of the world, and why the course keeps `mood` at hand: there you can tell a good model
# from a lucky one.
#
# ## 9 · Take it apart
# Back to the message from the beginning. Turn its face, step by step, into a smiling one; words and voice stay.

# %% tags=["hide-input"]
smile = next(iter(smiling.torch_loader(batch_size=1)))["inputs"]["face"]
one = next(iter(message.torch_loader(batch_size=1)))


def blend(share_of_smile=0.0):
    """The message's face mixed with a smiling one, and what the model then says."""
    face = (1 - share_of_smile) * one["inputs"]["face"] + share_of_smile * smile
    with torch.no_grad():
        p = model({**one, "inputs": {**one["inputs"], "face": face}}).softmax(dim=-1)[0]
    picture = face[0].permute(1, 2, 0).numpy()
    lines = [f"{test.classes[k]} {p[k]:.2f}" for k in range(3)]
    caption = "\n".join(lines)
    fig = plot.images([picture], [caption])
    alt = f"The face with a share of {share_of_smile:g} of the smile: "
    plot.show(fig, alt=alt + ", ".join(lines))


# %% tags=["free"]
widgets.slider(blend, share_of_smile=(0.0, 1.0, 0.1))

# %% tags=["hide-input"]
pixels = np.linspace(0, 1, 11)
steps = torch.tensor(pixels, dtype=torch.float32)[:, None, None, None]
mixed = (1 - steps) * one["inputs"]["face"] + steps * smile  # (11, 3, 32, 32)
positive = []
with torch.no_grad():
    for picture in mixed:
        inputs = {**one["inputs"], "face": picture[None]}
        positive.append(float(model({**one, "inputs": inputs}).softmax(dim=-1)[0, 2]))
print(f"p(positive) from {positive[0]:.2f} to {positive[-1]:.2f}")
assert positive[0] < 0.1 and positive[-1] > 0.9

# %% [markdown]
# Same words, same voice, opposite answer. But one example proves nothing, and this one was chosen. So take *all* test messages with kind words, a smirk and a voice that
# does not decide, give each the smiling face, and count.

# %%
chosen = np.flatnonzero(rule)
many = next(iter(test.subset(chosen).torch_loader(batch_size=len(chosen))))
faces = smile.expand_as(many["inputs"]["face"])
with torch.no_grad():
    before = model(many).argmax(dim=1).numpy()
    other = {**many, "inputs": {**many["inputs"], "face": faces}}
    after = model(other).argmax(dim=1).numpy()
print(f"{len(chosen)} messages")
expect_within("answers 'negative' with the smirk", np.mean(before == 0), 0.96, 0.05)
expect_within("answers 'positive' with the smile", np.mean(after == 2), 0.96, 0.05)

# %% [markdown]
# ## 10 · At full size
# Nothing here needs a GPU. With one, the same `fit` trains on it: `yours.to("cuda")` before the call is all. A wider model
# would still end under the ceiling, and `mmcourse doctor` in a terminal says what your machine has. Larger data and
# pretrained models begin with lesson [bert](bert.ipynb).

# %% [markdown]
# ## 11 · What to remember
# - A modality is a kind of array with its own shape and unit; an encoder turns it into a vector, and vectors can be joined.
# - Ask first what you get for nothing (chance, majority-class baseline) and what is possible at all (the ceiling).
# - Modalities can know more together than apart: synergy. No addition of separate scores finds it.
# - A trained model answers *any* input, also one that it never should have got.
# - A gain needs several paired seeds and Student's interval, not two runs.

# %% [markdown]
# ## 12 · Check yourself
# **1.** A colleague reaches 0.68 from faces alone on `mood`, and wants a larger network. What do you say?
# <details><summary>Answer</summary>
#
# The ceiling of the face is 0.689: less than one point is left. The next gain must come from another modality.
# </details>
#
# **2.** A classifier for ten classes has an accuracy of 0.4. Its most frequent class makes up 0.45 of the data. Is it better than chance? Is it useful?
# <details><summary>Answer</summary>
#
# Better than chance (0.1), yet worse than always naming the most frequent class (0.45). It is of no use yet.
# </details>
#
# **3.** A batch has `words` of shape (64, 12). One sentence has 7 words. What stands in the other 5 places, and how does the model know?
# <details><summary>Answer</summary>
#
# Zeros: padding. The padding mask is False there.
# </details>

# %% tags=["hide-input"]
assert round(ceiling["face"], 3) == 0.689

# %% [markdown]
# ## 13 · Exercises
# [Three short tasks](exercises/start_here.ipynb), about 27 minutes: the ceiling of a table, three opinions made one, and whether a
# gain is worth having. Replace `raise NotImplementedError("your turn")` with your code and run the check below it, wrongly first if you
# like.
#
# ## Where next
# [images](images.ipynb) begins with the first modality: what is in a picture file, and how pixels become what a network can use. If you would rather see
# how networks learn, go to lesson neural_networks; for other ways to join vectors, to [fusion](fusion.ipynb).

# %% [markdown]
# ## Sources
# - L. Devroye, L. Györfi, G. Lugosi, *A Probabilistic Theory of Pattern Recognition*, Springer 1996: the Bayes rule is optimal (chapter 2).
# - T. Baltrušaitis, C. Ahuja, L.-P. Morency, *Multimodal Machine Learning: A Survey and Taxonomy*, 2019, arXiv 1705.09406.
# - P. L. Williams, R. D. Beer, *Nonnegative Decomposition of Multivariate Information*, 2010, arXiv 1004.2515: synergy.
# - Student, *The Probable Error of a Mean*, Biometrika 1908: intervals from few numbers.
