# %% [markdown]
# # Start here
# *In five minutes a trained model judges your own words. By the end you have trained one yourself, and it sees
# through sarcasm.*
#
# {{budget}}
#
# **You will be able to**
# - say what a modality is, and read the shape of the array behind it;
# - put your own sentence, voice or picture through a trained model;
# - work out the best accuracy that any model could reach;
# - read, run and change the training loop of a model of three modalities in PyTorch, and
#   run the same model in Keras;
# - tell a real gain from a lucky one.
#
# **Before this:** a year of Python and school mathematics. No machine learning. Every formula is counted by hand first.
#
# **Time to read:** 60 minutes, then 27 for the [exercises](exercises/start_here.ipynb). (The budget above is what the computer needs.)

# %% [markdown]
# Run a cell with Shift+Enter, from the top. You need no internet connection and no GPU,
# and nothing you do can break anything: if it looks odd, choose *Kernel → Restart Kernel
# and Run All Cells*. Change numbers and run again. That is what the lesson is for. (Cells
# that only draw are folded; click on them if you are curious.)

# %%
import itertools
import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import scipy.stats
import sklearn
import torch
from torch import nn
from torch.nn.functional import rms_norm

from mmcourse import draw, plot, pretrained, widgets
from mmcourse.check import check
from mmcourse.datasets import data_dir, load, mood
from mmcourse.evaluate import expect_within, mean_and_interval
from mmcourse.training.torch import predict

# %% [markdown]
# ## 1 · The data
# `mood` is a set of 9,000 short messages, each with **three parts** (a still face, a
# voice and a sentence) and a **label**, the answer that we want from a model: does the
# sender feel negative, neutral or positive? Faces are drawn by a program and voices are
# spoken by one. That is why the course knows the truth about them.

# %%
train = load("mood", "train")  # to learn from
validation = load("mood", "validation")  # to look at while we develop
test = load("mood", "test")  # for the final verdict
for name, data in {"train": train, "validation": validation, "test": test}.items():
    counts = np.bincount(data.labels)
    how_many = ", ".join(f"{n} {label}" for n, label in zip(counts, data.classes))
    print(f"{name:10} {len(data)} messages: {how_many}")

# %% tags=["hide-input"]
cues = ["frown", "neutral", "smile", "smirk"]
pictures, captions = [], []
for cue in cues:
    rows = np.flatnonzero(train.meta["face_cue"] == cue)
    pictures.append(train[rows[0]]["face"])
    captions.append(f"{cue}\n{len(rows):,} messages")
fig = plot.images(pictures, captions, title="Four kinds of faces (a smirk: one corner of the mouth is up)")
plot.show(fig, alt="Four drawn faces: a frown, a neutral face, a smile, and a smirk with one corner of the mouth up.")
for cue in train.classes:
    rows = np.flatnonzero((train.meta["voice_cue"] == cue) & (train.meta["speaker"] == train.meta["speaker"][0]))
    number = int(np.sum(train.meta["voice_cue"] == cue))
    plot.audio(train[rows[0]]["voice"], train.sample_rate, label=f"A {cue} voice ({number:,} messages)")
for cue in train.classes:
    rows = np.flatnonzero(train.meta["words_cue"] == cue)
    print(f"{cue + ' words':15} {len(rows):,} messages   {train[rows[0]]['words']}")

# %% [markdown]
# Every voice says the same sentence; only the *way* of saying it tells something.
# "Positive" here names how a part looks or sounds. Positive words we call *kind*,
# negative words *unkind*; a neutral voice we call *calm*. What the sender *feels* is
# another matter, as you will see now.
#
# ## 2 · A model answers
# Somebody sends you this message.

# %%
cue = {m: test.meta[f"{m}_cue"] for m in ("face", "voice", "words")}
kind_smirk = (cue["words"] == "positive") & (cue["face"] == "smirk")
kind_smirk = kind_smirk & (cue["voice"] == "neutral")
first = np.flatnonzero(kind_smirk & (test.labels == 0))[0]  # the first of this kind
message = test.subset([first])
print("words:", message[0]["words"])

# %% tags=["hide-input"]
plot.audio(message[0]["voice"], message.sample_rate, label="The voice of this message")
fig = plot.images([message[0]["face"]], ["the face of this message"])
plot.show(fig, alt="A small drawn face; one corner of the mouth is higher.")
feelings = ["negative", "neutral", "positive"]
feeling = widgets.guess("What does the sender feel? Record your guess before you go on.", feelings)

# %% [markdown]
# Now ask a model. It was trained on the 6,000 training messages, and comes with the course.

# %% tags=["free"]
model = pretrained.load_trimodal()
for name, p in pretrained.probabilities(model, message).items():
    print(f"{name:9} {p:6.1%} {'█' * round(40 * p)}")

# %%
feeling.compare(message.classes[message[0]["target"]])

# %% [markdown]
# The words are kind, and the message is not. You may have felt it: the face changed the
# *meaning of the words*. What the sender means can be read from none of the three parts
# alone. At the end of this lesson you will have trained a model that finds this out by
# itself, tested it on exactly this, and you will know how good such a model can possibly
# be.
#
# ## 3 · Your turn: your words, your voice, your picture
# Change `my_words` and run the cell again. Put a picture or a recording beside this
# notebook (drag it into the file browser on the left) and write its name between quotes
# to use it. What you leave at `None` is taken from the message above: its calm voice, its
# smirk. Your files stay on this machine.
#
# Do not take the answer for your mood: the model knows drawn faces only, and how much a
# real face tells about a feeling is disputed (Barrett and others 2019, *Emotional
# Expressions Reconsidered*).

# %%
my_words = "What a lovely evening!"  # any English sentence
my_voice = None  # for example "voice.wav": up to 30 seconds
my_picture = None  # for example "me.jpg"

mine = pretrained.read_message(my_words, my_voice, my_picture, rest=message)

# %% [markdown]
# To see what the face does, change the face and *nothing else*. `with_face` does that. (A picture file has the color last,
# `(32, 32, 3)`. PyTorch wants it first, `(3, 32, 32)`.)


# %%
def only_batch(data):
    """All messages of a small data set, as PyTorch reads them."""
    return next(iter(data.torch_loader(batch_size=len(data))))


def with_face(batch, faces):
    """The same messages with other faces; faces is (messages, 3, 32, 32)."""
    inputs = dict(batch["inputs"])  # a copy, so that the old batch stays as it is
    inputs["face"] = faces
    other = dict(batch)
    other["inputs"] = inputs
    return other


@torch.no_grad()  # we only ask, we do not train
def answers(model, batch):
    """Probabilities of the three feelings, (messages, 3)."""
    return model(batch).softmax(dim=-1).numpy()


def in_words(p):
    return "  ".join(f"{name} {value:.2f}" for name, value in zip(test.classes, p))


# %% tags=["free"]
smiling = test.subset(np.flatnonzero(cue["face"] == "smile")[:1])
smile = only_batch(smiling)["inputs"]["face"]  # (1, 3, 32, 32)
my_batch = only_batch(mine)
print("your message      ", in_words(answers(model, my_batch)[0]))
print("with a smile in it", in_words(answers(model, with_face(my_batch, smile))[0]))
unknown = [w for w in mood.mood_words.tokenize(my_words) if w not in train.vocabulary]
print("words the model has never met:", ", ".join(unknown) or "none")

# %% tags=["hide-input"]
faces = [mine[0]["face"], smiling[0]["face"]]
fig = plot.images(faces, ["your message", "the smiling face"])
plot.show(fig, alt="Two small drawn faces as the model gets them, 32 by 32 pixels.")


def known_words():
    known = sorted(train.vocabulary[2:])  # the first two ids: padding, unknown
    rows = -(-len(known) // 8)
    for row in range(rows):
        print("".join(f"{word:12}" for word in known[row::rows]))


widgets.reveal(known_words, label=f"All {len(train.vocabulary) - 2} words that the model knows")

# %% [markdown]
# Does it understand English, then? Here are three sentences that it reads well, and one that it does not. All their words but *this* are
# known. (Kind words with a smirk should be negative, with a smile positive; for unkind words the other way round.)

# %%
sentences = [
    "I loved every minute of the lesson.",
    "The film was really boring.",
    "What a lovely party that was.",
    "I hate this meeting.",
]
for sentence in sentences:
    batch = only_batch(pretrained.read_message(sentence, rest=message))
    smirked = test.classes[answers(model, batch)[0].argmax()]
    smiled = test.classes[answers(model, with_face(batch, smile))[0].argmax()]
    print(f"{sentence:45} smirk: {smirked:9} smile: {smiled}")

# %% [markdown]
# The last one is read as *kind*. Where did the model learn that? Count the training messages whose words contain *hate*:

# %%
hate = ["hate" in words.lower().split() for words in train.column("words")]
print(Counter(train.meta["words_cue"][hate].tolist()))
print(train[np.flatnonzero(hate)[0]]["words"])

# %% [markdown]
# It has met *hate* only inside "I did not hate … one bit", which is kind. It learned from
# 6,000 messages that were built from twenty sentence patterns. It did not learn English.
# Where the training data show nothing, a model still answers, and that answer is a guess.
# Can you find another sentence that it misreads, made of known words only?
#
# **Is it at least *unsure* about what it does not know?** Give it a photograph of a tower in Beijing's Summer Palace, and then a hundred pictures of pure noise.

# %% tags=["free"]
palace = Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg"
tower = only_batch(pretrained.read_message(picture=palace, rest=message))
tower_answer = answers(model, tower)[0]
print("the tower:", in_words(tower_answer))

noise = torch.rand(100, 3, 32, 32, generator=torch.Generator().manual_seed(0))
noise_answers = []
for picture in noise:
    noise_answers.append(answers(model, with_face(tower, picture[None]))[0])
noise_answers = np.array(noise_answers)  # (100, 3)
surest = noise_answers.max(axis=1)  # the probability of the answer that it gives
print(f"noise: half of the pictures get an answer that is {np.median(surest):.2f} sure")
print("       ", dict(Counter(test.classes[k] for k in noise_answers.argmax(axis=1))))

# %% tags=["hide-input", "free"]
pictures = [faces[0].permute(1, 2, 0).numpy() for faces in (tower["inputs"]["face"], noise[:1])]
captions = [f"what is left of the tower\n{tower_answer.max():.2f} sure"]
captions.append(f"the first noise picture\n{surest[0]:.2f} sure")
plot.show(
    plot.images(pictures, captions),
    alt="A tower under a blue sky, reduced to 32 by 32 pixels; beside it colored noise.",
)
assert tower_answer.max() < 0.6 < 0.8 < np.median(surest)

# %% [markdown]
# Unsure here, sure there: its certainty is no warning. It names a *feeling* of a tower
# and of noise, because three answers are all that it can give. This model cannot tell you
# that you asked the wrong question; nothing in its training asked for that. (The
# photograph comes with scikit-learn; by danielbuechele, flickr 6061409035, CC BY 2.0.)
#
# ## 4 · What is a modality?
# A **modality** is one way in which information reaches you: sight, sound, text. To a computer each one is an array of
# numbers, also called a *tensor*, and its **shape** says how many numbers lie along each axis.

# %%
face, voice, words = message[0]["face"], message[0]["voice"], message[0]["words"]
ids = mood.mood_words.encode(words)
print("face ", face.shape, "  height, width, color; each from 0 to 255")
print("voice", voice.shape, "      air pressure, 16,000 numbers per second")
print("words", ids.shape, "         one number per word: its position in a list")

# %% tags=["hide-input"]
import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 4, figsize=(7.2, 2.3))
axes[0].imshow(face)
axes[0].set_title("the face", fontsize=10)
for k, (name, shade) in enumerate({"red": "Reds_r", "green": "Greens_r", "blue": "Blues_r"}.items()):
    axes[k + 1].imshow(face[:, :, k], cmap=shade, vmin=0, vmax=255)
    axes[k + 1].set_title(f"{name}: face[:, :, {k}]", fontsize=10)
for ax in axes:
    ax.grid(False)
    ax.set(xticks=[0, 31], yticks=[0, 31], xlabel="width 32")
axes[0].set_ylabel("height 32")
plot.show(fig, alt="The face and its three color planes, each 32 by 32 numbers: red, green, blue.")

fig, ax = plt.subplots(figsize=(7.2, 1.9))
ax.plot(np.arange(len(voice)) / 16000, voice, color=plot.ORANGE, linewidth=0.6)
ax.set(xlabel="seconds", ylabel="air pressure", xlim=(0, len(voice) / 16000))
start = int(np.abs(voice).argmax()) - 3
some = "  ".join(f"{value:.2f}" for value in voice[start : start + 7])
ax.set_title(f"the voice: {len(voice):,} numbers; from {start:,} on: {some} …", fontsize=10, fontweight="normal")
plot.show(fig, alt="The voice as a wave over one and a half seconds, and seven of its numbers.")
picture = draw.tokens(words.rstrip(".").split(), ids=ids.tolist(), color="green", title=f"the words: {ids.shape} ids")
draw.show(picture, alt="The words of the message, each with its number in the list below it.")

# %% [markdown]
# Three arrays of different size, unit and meaning. One common way to use them together gives each modality an **encoder**, a small
# network that turns its array into a plain vector, here of 32 numbers. Vectors of one kind *can* be joined.
#
# For the voice there is one step before that. Its 24,222 numbers are cut into 95 short frames, one every 16 ms. For each frame, 40 numbers say how
# loud each range of pitch is. This picture of a sound is called a *spectrogram* (lesson [audio](audio.ipynb)).

# %% tags=["hide-input"]
frames = only_batch(message)["inputs"]["voice"][0].numpy()  # (95, 40)
assert frames.shape == (95, 40) and len(voice) == 24222
fig, ax = plt.subplots(figsize=(7.2, 2.2))
ax.imshow(frames.T, origin="lower", aspect="auto")
ax.grid(False)
ax.set(xlabel="frame (every 16 ms)", ylabel="pitch, low to high")
ax.set_title(f"what the encoder gets of the voice: {frames.shape}", fontsize=10, fontweight="normal")
plot.show(fig, alt="The spectrogram of the voice: 95 frames from left to right, 40 ranges of pitch from low to high.")

canvas = draw.Canvas()
names = {"face": "(32, 32, 3)", "voice": "(95, 40)", "words": f"({len(ids)},)"}
colors = {"face": "blue", "voice": "orange", "words": "green"}
placed = []
for row, (name, shape) in enumerate(names.items()):
    source = canvas.place(draw.box(name, color=colors[name], width=68), y=70 * row)
    encoder = canvas.place(draw.box("encoder", color=colors[name], width=84), right_of=source, gap=72)
    norm = canvas.place(draw.box("n", color=colors[name], width=34), right_of=encoder, gap=40)
    canvas.arrow(source, encoder, label=shape)
    canvas.arrow(encoder, norm, label="(32,)")
    placed.append(norm)
tall = draw.box("join", color="pink", height=178)
joined = canvas.place(tall, right_of=placed, gap=30)
for norm in placed:
    canvas.arrow(norm, (joined.x - 3, norm.right[1]))
hidden = canvas.place(draw.box("Linear\nReLU", color="gray"), right_of=joined, gap=44)
out = canvas.place(draw.box("Linear", color="gray"), right_of=hidden, gap=50)
canvas.arrow(joined, hidden, label="(96,)")
canvas.arrow(hidden, out, label="(128,)")
scores = [
    canvas.place(draw.box(name, color="white", width=90), right_of=out, gap=28, y=44 * k - 44)
    for k, name in enumerate(test.classes)
]
for score in scores:
    canvas.arrow(out, score)
alt = "Face, voice and words each go through an encoder to 32 numbers and through n, which brings them to one size; "
alt += "joined to 96, then a hidden layer of 128 and three scores: negative, neutral, positive."
draw.show(canvas, alt=alt)

# %% [markdown]
# That is the whole model that answered you. Its small parts; the cell below tries each on
# two numbers:
#
# - **n** brings a vector to one size: it divides by the root of the mean square, so $(3, 4)$ becomes $(0.85, 1.13)$.
# - A *linear layer* multiplies every input by a weight, adds up, and adds a constant (the
#   *bias*), once per output.
# - The *ReLU* replaces negative numbers by 0.
# - The three numbers at the end are **logits**: one score per class, any numbers; the largest is the model's answer. The
#   *softmax* makes probabilities of them: $e$ to the power of each, divided by their sum.

# %%
x = np.array([3.0, 4.0])
size = np.sqrt(np.mean(x**2))  # √((9 + 16) / 2) = 3.54
print("n      ", (x / size).round(2))

weights = np.array([[1.0, -1.0], [0.5, 2.0]])  # one row per output
constant = np.array([0.0, 1.0])
y = weights @ x + constant  # 1·3 − 1·4 + 0, and 0.5·3 + 2·4 + 1
print("linear ", y)
print("ReLU   ", np.maximum(0, y))

logits = np.array([2.0, 1.0])
print("softmax", (np.exp(logits) / np.exp(logits).sum()).round(2))

# %% [markdown]
# Lesson [neural_networks](neural_networks.ipynb) takes these apart.
#
# ## 5 · How good is it? Your first blank
# One good answer proves nothing. Let the model answer all 1,500 test messages. First make
# sure that it cannot have seen them. (The sentences are new; their patterns and their
# words are not.)

# %%
shared_words = set(train.column("words")) & set(test.column("words"))
shared_voices = set(train.meta["speaker"]) & set(test.meta["speaker"])
shared_people = set(train.meta["identity"]) & set(test.meta["identity"])
print("shared by training and test:", len(shared_words), "sentences,", end=" ")
print(len(shared_voices), "voices,", len(shared_people), "people")

# %%
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
# What does `predicted == labels` give for two arrays? And what is the mean of `[True, False, True, True]`?
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
# (`expect_within` compares your number with the course's; here ± is the tolerance
# allowed, not a statistical interval.)
#
# Is an accuracy of 0.92 a lot? It depends on what you get for nothing. **Chance** is one
# divided by the number of classes: what random answers reach. The **majority-class
# baseline** is the accuracy of always naming the most frequent class. If accuracy is what
# counts, a model that does not beat it is of no use.
#
# <details><summary>Hint</summary>
#
# `np.bincount(labels)` counts how often each class comes: `np.bincount([0, 2, 2])` is `[1, 0, 2]`. Which of these counts do you need?
# </details>


# %%
def majority_baseline(labels):
    """Accuracy of always naming the most frequent class; labels are (n,)."""
    # BEGIN SOLUTION
    return np.bincount(labels).max() / len(labels)
    # END SOLUTION


majority_baseline = check("start_here.blank.2", majority_baseline)

# %%
majority = majority_baseline(test.labels)
print("chance", round(1 / 3, 3))
print("majority-class baseline", round(float(majority), 3))

# %% [markdown]
# One number hides much. *Which* messages does the model get wrong? A **confusion matrix** counts every true class against every answer.

# %% tags=["free"]
confused = np.zeros((3, 3), dtype=int)
for truth, answer in zip(test.labels, predicted):
    confused[truth, answer] += 1
plot.show(
    plot.confusion(confused, test.classes),
    alt="Confusion matrix: most of each class is right; neutral is most often missed.",
)
for name, row, k in zip(test.classes, confused, range(3)):
    print(f"{name:9} right: {row[k]} of {row.sum()} = {row[k] / row.sum():.2f}")

# %% tags=["hide-input"]
found = confused.diagonal() / confused.sum(axis=1)
assert found.argmin() == 1 and confused[1, 0] > confused[1, 2]

# %% [markdown]
# *Neutral* is the weak row. Now the three messages on which the model was most sure and wrong:

# %% tags=["free"]
p = torch.tensor(logits).softmax(dim=-1).numpy()
surest = p.max(axis=1) * (predicted != test.labels)  # 0 where it was right
for i in np.argsort(-surest)[:3]:
    parts = ", ".join(f"{name}: {cue[name][i]}" for name in ("words", "voice", "face"))
    truth, answer = test.classes[test.labels[i]], test.classes[predicted[i]]
    print(test[i]["words"])
    print(f"   {parts}")
    print(f"   true {truth}, answer {answer} ({surest[i]:.2f})")

# %% [markdown]
# Look at the cues. Would you have known? Some messages nobody can get right, and the next section counts how many.
#
# Your verdicts are kept in your own copy of the course. Type `mmcourse progress` in a terminal, or `!mmcourse progress`
# in a cell, at any time: it shows your points and what comes next. This is the way through the course:

# %% tags=["hide-input"]
stages = {
    "Start": "you are here",
    "Raw data": "images, text, audio",
    "Networks": "from CNN to BERT",
    "Fusion": "and full training",
    "Large models": "from CLIP to chat",
    "In use": "cases, servers",
}
boxes = []
for name, note in stages.items():
    color = "orange" if name == "Start" else "blue"
    boxes.append(draw.box(name, note=note, color=color, width=92, height=84))
alt = "The stages of the course: start (you are here), raw data, networks, fusion, large models, cases and use."
draw.show(draw.row(*boxes, arrows=True, gap=24), alt=alt)

# %% [markdown]
# ## 6 · The best that anyone could do
# Could a better model reach 1.00? No, and here you can prove it. Take ten messages with **kind** or **unkind** words and a
# **plain** face or a **smirk**. The table counts what was meant.

# %%
looks = ["kind, plain", "kind, smirk", "unkind, plain", "unkind, smirk"]
counts = np.array(
    [
        [0, 2, 3, 0],  # meant negative
        [3, 1, 0, 1],  # meant positive
    ]
)

# %% tags=["hide-input"]
table = draw.matrix(counts, rows=["negative", "positive"], columns=looks)
draw.show(table, alt="Ten messages counted by what was meant and how they look.")

# %% [markdown]
# Look at "kind, smirk". Three messages look the same, and one of them means something else. Whatever you answer there, you lose at least one.
#
# Now cover the words: you see only the face, and you must always answer. The best you can do for each kind of face is to name what
# is most frequent there. How many of the ten do you get right?

# %%
question = "How often is the best answer right if you see only the face?"
only_face = widgets.guess(question, [0.3, 0.5, 0.7, 0.9])

# %%
by_face = counts[:, [0, 1]] + counts[:, [2, 3]]  # (2 meanings, 2 faces)
by_words = counts[:, [0, 2]] + counts[:, [1, 3]]  # (2 meanings, 2 kinds of words)
for name, columns in {"face": by_face, "words": by_words, "both": counts}.items():
    best = columns.max(axis=0)  # how many are right in each column
    right = best.sum()
    print(f"{name:6} right per column {best.tolist()}: {right} of 10 = {right / 10}")
only_face.compare(by_face.max(axis=0).sum() / 10)

# %% tags=["hide-input"]
seen_face = draw.matrix(
    by_face,
    rows=["negative", "positive"],
    columns=["plain", "smirk"],
    highlight=[(0, 0), (0, 1)],
    title="face: 5 of 10",
)
seen_words = draw.matrix(
    by_words,
    columns=["kind", "unkind"],
    highlight=[(1, 0), (0, 1)],
    title="words: 7 of 10",
    color="green",
)
seen_both = draw.matrix(
    counts,
    columns=["kind, plain", "kind, smirk", "unk., plain", "unk., smirk"],
    highlight=[(1, 0), (0, 1), (0, 2), (1, 3)],
    title="both: 9 of 10",
    color="pink",
)
picture = draw.row(seen_face, seen_words, seen_both, gap=26)
alt = "The largest count of each column is framed: 5, 7 and 9 of 10 are right."
draw.show(picture, alt=alt)

# %% [markdown]
# Here the face alone is worth *nothing*: 0.5 is a coin toss. Yet beside the words it lifts 0.7 to 0.9. What modalities know together and
# none of them knows alone is called **synergy** (Williams and Beer 2010).
#
# **Can you get there by adding?** Give kind and unkind words a score each, plain faces and smirks a score each, add the two scores of a
# message, and answer "positive" if the sum is above 0. Try all scores from −3 to 3:

# %%
best = 0
for kind, unkind, plain, smirk in itertools.product(range(-3, 4), repeat=4):
    sums = np.array([kind + plain, kind + smirk, unkind + plain, unkind + smirk])
    answer = (sums > 0).astype(int)  # the row of `counts` for each column
    best = max(best, counts[answer, range(4)].sum())
print("best addition:", best, "of 10")

# %% [markdown]
# 8, not 9. A smirk would have to *lower* the sum beside kind words and *raise* it beside unkind ones, and one number cannot do both. Larger
# scores do not help: that argument holds for all numbers.
#
# ### As a formula
# Write $p(y, x)$ for the share of messages that mean $y$ and look like $x$. For each look $x$, take the largest
# share; add these up over all looks (in the table: $0.3 + 0.2 + 0.3 + 0.1 = 0.9$):
#
# $$A^* = \sum_x \max_y \; p(y, x)$$
#
# This is the **Bayes accuracy**, the best accuracy that any model can reach from $x$. We call it the **ceiling** (Devroye, Györfi and Lugosi 1996).
#
# ### The ceilings of mood
# `mood` was made in two steps. First the feeling and three **cues** (the kind of face, of voice, of words) were drawn from a table as
# above, with 3 meanings and 4 · 3 · 3 = 36 looks. Then each cue was rendered: *some* smirking face, *some* calm voice, *some* kind sentence. So once you know the cues, the pixels say nothing
# more about the feeling. A model that sees the pixels cannot beat the best rule that sees the cues, and the ceilings are known exactly. That is true of
# no real data.

# %%
singles = ["face", "voice", "words"]
ceiling = {name: mood.bayes_accuracy([name]) for name in singles}
ceiling["all three"] = mood.bayes_accuracy(singles)
for name, value in ceiling.items():
    print(f"{name:10} {value:.3f}")
print(f"(majority-class baseline {majority:.3f})")

# %% [markdown]
# Here the face alone *is* worth something: 0.689 against 0.401. The table of ten was made to be extreme. The words are the *worst* single modality. Which pair do you
# think comes closest to all three?

# %%
pairs = ["face and voice", "face and words", "voice and words"]
closest = widgets.guess("Which pair has the highest ceiling?", pairs)

# %%
for pair in pairs:
    ceiling_of_pair = mood.bayes_accuracy(pair.split(" and "))
    print(f"{pair:16} {ceiling_of_pair:.3f}")
closest.compare(max(pairs, key=lambda pair: mood.bayes_accuracy(pair.split(" and "))))

# %% [markdown]
# The face and the *worst* one: because each says what the other means. The best pair is not the pair of the best.
#
# Do not take it on trust: count. For each combination of cues in the 6,000 training messages, find the most frequent meaning.


# %%
def cues_of(data, names):
    """One tuple per message, such as ("smirk", "neutral", "positive")."""
    columns = [data.meta[f"{name}_cue"].tolist() for name in names]
    return list(zip(*columns))


def best_rule(names):
    """For each combination of these cues, the most frequent meaning in training."""
    seen = defaultdict(Counter)
    for look, label in zip(cues_of(train, names), train.labels):
        seen[look][label] += 1
    return {look: counter.most_common(1)[0][0] for look, counter in seen.items()}


def rule_accuracy(names, data):
    rule = best_rule(names)
    answers_of_rule = np.array([rule[look] for look in cues_of(data, names)])
    return accuracy(answers_of_rule, data.labels)


print(f"counted {rule_accuracy(singles, train):.3f}, exact {ceiling['all three']:.3f}")

# %% [markdown]
# (Choosing the best answers on the same messages can lift the count a little above the ceiling.) The best *addition* on `mood` is found by the
# same kind of search as above, done exactly. Remember this number, for the training will have to pass it:

# %%
addition = mood.additive_accuracy()
expect_within("best accuracy of any addition", addition, 0.858, 0.001)

# %% [markdown]
# ## 7 · Build it
# Models do not see single messages but a **batch**: several samples, each modality stacked under its name. Sentences and voices differ in length,
# so short ones are filled up with **padding**, zeros that carry no meaning, and a *mask* remembers what is real. (So the 95 frames of our voice can become
# 121 in a batch with a longer one.)

# %%
batch = next(test.batches(batch_size=3))
for name, values in batch["inputs"].items():
    print(f"{name:6}", values.shape)

# %% tags=["hide-input"]
ids, real = batch["inputs"]["words"], batch["padding_mask"]["words"]
said = [mood.mood_words.tokenize(test[i]["words"]) for i in range(3)]
table = []
for i in range(3):
    table.append([*said[i], *[""] * (ids.shape[1] - len(said[i]))])
    table.append(ids[i].tolist())
    table.append(["✓" if x else "·" for x in real[i]])
names = [f"{what} {i}" for i in range(3) for what in ("words", "ids", "mask")]
alt = "Three sentences of one batch: their words, ids and mask, position by position. "
alt += "Where a sentence has ended stand zeros, and the mask says so."
draw.show(draw.matrix(np.array(table, dtype=object), rows=names, color="green"), alt=alt)

# %% [markdown]
# Send these three messages through the encoders of the trained model. Each encoder gives 32 numbers per message.

# %%
three = next(iter(test.torch_loader(batch_size=3)))
h = {}
with torch.no_grad():
    for name, encoder in model.encoders.items():
        mask = three["padding_mask"].get(name)  # None for the face, which has no mask
        h[name] = encoder(three["inputs"][name], mask).numpy()
        start = h[name][0, :3].astype(float).round(1) + 0.0
        print(f"{name:6}", h[name].shape, " first numbers", start.tolist())

# %% [markdown]
# **Join them.** The step that makes the model multimodal is one line: lay the vectors of a message end to end, first face,
# then voice, then words. The field calls joining vectors end to end **concatenation**. Joining the vectors of encoders that are trained together is **intermediate fusion** (some say *early fusion*, which others keep for
# joining the raw inputs). *Late fusion* instead gives each modality a model of its own and combines their answers (Baltrušaitis and others 2019).
#
# <details><summary>Hint</summary>
#
# `np.concatenate([a, b], axis=…)` joins arrays. Axis 0 is the batch, and must stay 3. Which axis grows from 32 to 96?
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
# [transformers](transformers.ipynb) build such things); the joining is yours, as `torch.cat`. `rms_norm` is the box **n** of the drawing. As a formula,
# for the encoders' vectors $h_m$:
#
# $$h = [\,n(h_\text{face});\; n(h_\text{voice});\; n(h_\text{words})\,] \qquad
# \text{logits} = W_2\,\max(0,\, W_1 h + b_1) + b_2$$
#
# $$n(v) = v \,/\, \sqrt{\text{mean of } v^2}$$
#
# $[\,;\,]$ means "end to end". $W_1$ and $W_2$ are the weights of the two linear layers,
# $b_1$ and $b_2$ their constants, and $\max(0, \cdot)$ is the ReLU.
#
# A PyTorch model is a class. `__init__` makes its layers, `forward` says how a batch goes
# through them, and `model(batch)` calls `forward`. `nn.ModuleDict` is a dictionary whose
# layers PyTorch knows about; `state_dict()` holds all weights by name.


# %%
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
            vectors.append(rms_norm(vector, vector.shape[-1:], eps=1e-5))  # n
        joined = torch.cat(vectors, dim=-1)  # (b, 96)
        hidden = self.hidden(joined).relu()  # (b, 128)
        return self.logits(hidden)  # (b, 3)


# %% [markdown]
# Is this really the model that answered you? Give it the shipped weights, and compare.

# %%
copy = Trimodal(pretrained.mood_encoders("face", "voice", "words"))
copy.load_state_dict(model.state_dict())
with torch.no_grad():
    same = torch.allclose(copy(three), model(three))
print(f"{sum(p.numel() for p in copy.parameters()):,} weights; the same logits: {same}")
assert same

# %% [markdown]
# ## 8 · Train it yourself
# Now one of your own. `mood_encoders` makes *untrained* encoders: all their numbers are
# drawn at random.


# %%
def score(model, data):
    """Accuracy of a model on a data set."""
    logits = predict(model, data.torch_loader(batch_size=500))
    return float(accuracy(logits.argmax(axis=1), data.labels))


def new_model():
    torch.manual_seed(0)  # fixes what is drawn by chance
    return Trimodal(pretrained.mood_encoders("face", "voice", "words"))


yours = new_model()
untrained = score(yours, validation)
print(f"before training: {untrained:.3f} on the validation messages")
assert untrained < majority_baseline(validation.labels)

# %% [markdown]
# Worse than always naming one class: it knows nothing. Training repeats one step: answer,
# measure the error, find out which way each weight should go, move it. Four terms; the
# cell below computes a loss and makes one step on small numbers.
#
# - The *loss* is one number for how wrong the model is. Ours, the cross-entropy, is $-\ln$ of the probability that the model gave to the right class.
# - The *gradient* says for each weight how the loss changes when this weight grows.
# - The *optimizer* moves each weight against its gradient. (Ours, AdamW, also adapts the step of each weight.)
# - The *learning rate* is a factor: plain gradient descent moves a weight by learning
#   rate × gradient.

# %%
right_and_sure, right_by_luck = 0.9, 0.1  # probabilities of the right class
losses = -np.log([right_and_sure, right_by_luck])
print("loss of a good and a bad answer:", losses.round(2))

weight, gradient, learning_rate = 0.50, 2.0, 0.1  # the loss grows with this weight
print("one step moves it to", weight - learning_rate * gradient)

# %% [markdown]
# Here is the whole loop. It takes the messages in batches of 64; once through all 6,000
# is an *epoch*. After each epoch we write down the accuracy on 1,500 training messages
# and on the **validation set**, messages kept apart to watch a model while it is
# developed. The test set is not touched: whoever chooses by the test set has no test
# left. In the loop, `train()` and `eval()` switch layers that behave differently in
# training.

# %%
some_train = train.subset(range(1500))
smirks = validation.subset(np.flatnonzero(validation.meta["face_cue"] == "smirk"))
history = defaultdict(list)


def write_down():
    history["training"].append(score(yours, some_train))
    history["validation"].append(score(yours, validation))
    history["smirks"].append(score(yours, smirks))


# %% tags=["free"]
yours = new_model()  # so that running this cell again starts afresh
history.clear()
optimizer = torch.optim.AdamW(yours.parameters(), lr=3e-3)
loader = train.torch_loader(batch_size=64, seed=0)
write_down()
for epoch in range(1, 11):
    yours.train()  # training mode
    for batch in loader:
        logits = yours(batch)  # (64, 3)
        loss = nn.functional.cross_entropy(logits, batch["target"])
        optimizer.zero_grad()  # forget the old gradients
        loss.backward()  # compute the new ones
        optimizer.step()  # move every weight a little
    yours.eval()  # asking mode
    write_down()
    latest = ", ".join(f"{name} {values[-1]:.3f}" for name, values in history.items())
    print(f"epoch {epoch:2}: loss {loss.item():.2f}, {latest}")

# %% tags=["target"]
reached = score(yours, test)
expect_within("test accuracy of your model", reached, 0.90, 0.03)
assert reached > addition

# %% [markdown]
# You have trained a model, and it passes the best addition. One run could be lucky. So
# the same loop ran from five other seeds, and their curves were stored. (A **seed** fixes
# what is drawn at random: the first weights and the order of the messages.)

# %% tags=["hide-input", "free"]
folder = data_dir() / "models" / "start_here"
figures = json.loads((folder / "figures.json").read_text())
stored = {name: np.array(runs) for name, runs in figures["accuracy by epoch with the lesson's loop"].items()}
fig, ax = plt.subplots(figsize=(7.2, 3.9))
epochs = np.arange(11)
for run in stored["training"]:
    ax.plot(epochs, run, color=plot.GRAY, linewidth=0.8, linestyle="--")
for run in stored["validation"]:
    ax.plot(epochs, run, color=plot.SKY, linewidth=1.2)
ax.plot(epochs, history["validation"], color=plot.BLUE, linewidth=2.6)
ax.plot(epochs, history["smirks"], color=plot.ORANGE, linewidth=1.6, linestyle="-.")
for level, name in ((ceiling["all three"], "ceiling 0.926"), (addition, "best addition 0.858")):
    ax.axhline(level, color="#555555", linestyle=":", linewidth=1.3)
    ax.text(0.1, level + 0.004, name, color="#333333", fontsize=9.5)
ends = {
    "training, five seeds": (0.964, "#555555"),
    "your model, smirks only": (0.932, plot.ORANGE),
    "your model, validation": (0.900, plot.BLUE),
    "five seeds, validation": (0.872, "#2E86BF"),
}
for name, (height, color) in ends.items():
    ax.text(10.15, height, name, color=color, va="center", fontsize=10)
ax.set(xlabel="epoch", ylabel="accuracy", xticks=epochs, xlim=(0, 10), ylim=(0.65, 0.98))
fig.suptitle("A plateau, then a climb", x=0.01, ha="left", fontsize=12, fontweight="bold")
alt = "Accuracy by epoch, five stored seeds and yours: from about 0.3 to 0.79 in one epoch, a plateau near 0.8 until "
alt += "epoch 3, then a climb past the best addition, 0.858, to about 0.90 on validation messages. Training accuracy "
alt += "ends near 0.95, above the ceiling of 0.926. On messages with a smirk your model starts lower and climbs most."
plot.show(fig, alt=alt)
plateau, end = stored["validation"][:, 1:4], stored["validation"][:, 5:]
climb = {name: values[-1] - values[2] for name, values in history.items()}
assert climb["smirks"] > climb["validation"] + 0.03
assert plateau.max() < addition < end.min() and stored["training"][:, -1].min() > ceiling["all three"]

# %% [markdown]
# (All curves begin below 0.42, under the edge of the picture.) In all five runs there is
# a plateau near 0.8, then a climb past the best addition: no run is above it after three
# epochs, all are after five. From there on the model does more than add. In your run the
# messages *with a smirk* (the orange curve) are lowest after the first epoch, and gain
# most from there. That is a hint, not a proof; section 9 tests it.
#
# Look at the dashed lines too. On the training messages all runs end *above the ceiling*,
# which no rule can beat on new messages in the long run. They learned the accidents of
# these messages by heart. That is *overfitting*, and the validation set shows it.
#
# (The shipped model has 0.923 where yours has about 0.90: the same model and epochs, but its learning rate rises and then falls. Lesson
# [train_pytorch](train_pytorch.ipynb) explains that recipe.)
#
# You now know the most important words of the field. Look things up by these:
#
# | here | the field's word |
# |---|---|
# | learning from messages with known answers | **supervised learning**: finding a function from inputs to labels by examples |
# | the feeling that we want | **label** (or target): the right answer to a sample, given in training |
# | the numbers that describe a message | **feature**: an input number, measured or made by an encoder |
# | how wrong | *loss*, here the *cross-entropy* |
# | what moves the weights, and how far | *optimizer*, *learning rate*; it follows the *gradient* |
# | asking a trained model | **inference**: computing a model's answers without changing its weights |
# | right on new messages | *generalization*; learning accidents by heart is *overfitting* |
# | messages to watch by, messages to judge by | *validation set*, *test set* |
#
# ## 9 · Take it apart: swap the faces
# Now the promise. Has your model found sarcasm? Predict first. Here are four changes to messages with a calm voice. One of them leaves most answers as they are:

# %%
swaps = {
    "kind words, smirk to smile": ("positive", "smirk", "smile"),
    "unkind words, smirk to smile": ("negative", "smirk", "smile"),
    "kind words, smile to smirk": ("positive", "smile", "smirk"),
    "kind words, smile to frown": ("positive", "smile", "frown"),
}
which = widgets.guess("Which change leaves most answers as they are?", list(swaps))

# %% [markdown]
# Back to the first message. Turn its face, step by step, into a smiling one; words and voice stay. Before you move
# the slider: will the answer change slowly, or all at once?

# %% tags=["hide-input"]
one = only_batch(message)
smirk = one["inputs"]["face"]


def mixed_answer(share_of_smile):
    """The mixed face (1, 3, 32, 32), and what your model then says."""
    face = (1 - share_of_smile) * smirk + share_of_smile * smile
    return face, answers(yours, with_face(one, face))[0]


def blend(share_of_smile=0.5):
    face, p = mixed_answer(share_of_smile)
    fig = plot.images([face[0].permute(1, 2, 0).numpy()], [in_words(p).replace("  ", "\n")])
    plot.show(fig, alt=f"The face with a share of {share_of_smile:g} of the smile: {in_words(p)}")


# %% tags=["free"]
widgets.slider(blend, share_of_smile=(0.0, 1.0, 0.1))

# %% tags=["hide-input", "free"]
shares = np.linspace(0, 1, 21)
curve = np.array([mixed_answer(float(share))[1] for share in shares])  # (21, 3)
fig = plt.figure(figsize=(7.2, 3.6))
grid = fig.add_gridspec(2, 6, height_ratios=(1, 1.7))
for k in range(6):
    ax = fig.add_subplot(grid[0, k])
    ax.imshow(mixed_answer(k / 5)[0][0].permute(1, 2, 0).numpy())
    ax.axis("off")
    ax.set_title(f"{k / 5:g}", fontsize=10, fontweight="normal", loc="center", pad=3)
ax = fig.add_subplot(grid[1, :])
for k, color in ((0, plot.ORANGE), (1, plot.GRAY), (2, plot.BLUE)):
    ax.plot(shares, curve[:, k], color=color)
    ax.text(1.01, curve[-1, k] + 0.06 * (k == 1), test.classes[k], color=color, va="center", fontsize=10)
ax.set(xlabel="share of the smile", ylabel="probability", xlim=(0, 1), ylim=(-0.03, 1.03))
alt = (
    "Six faces from smirk to smile; below, the probabilities: negative near 1, then a sudden fall, and positive near 1."
)
plot.show(fig, alt=alt)
print(f"p(positive) goes from {curve[0, 2]:.2f} to {curve[-1, 2]:.2f}")
assert curve[0, 2] < 0.3 and curve[-1, 2] > 0.7
assert np.abs(np.diff(curve[:, 2])).max() > 0.25

# %% [markdown]
# A cliff: the picture changes evenly, the answer does not. Same words, same voice, opposite answer.
#
# But one example proves nothing, and this one was chosen. And a plain score "smiles are
# good" would do the same! So here is the control: unkind words. Take *all* test messages
# of a kind whose voice does not decide, give each the face of another test message, and
# count the answers "positive" before and after. If the face only added a score of its
# own, for *positive* against *negative*, kind and unkind messages would move the same
# way.


# %%
def swap(model, words, old_face, new_face):
    """Answers (n,) to all calm messages of a kind, and to the same with new faces."""
    kind = (cue["words"] == words) & (cue["face"] == old_face)
    chosen = np.flatnonzero(kind & (cue["voice"] == "neutral"))
    others = np.flatnonzero(cue["face"] == new_face)[: len(chosen)]
    batch = only_batch(test.subset(chosen))
    new = with_face(batch, only_batch(test.subset(others))["inputs"]["face"])
    return answers(model, batch).argmax(axis=1), answers(model, new).argmax(axis=1)


# %% tags=["free"]
changed = {}
for who, asked in {"the shipped model": model, "your model": yours}.items():
    print(f"{who}: how many answers are positive")
    for name, (words, old_face, new_face) in swaps.items():
        before, after = swap(asked, words, old_face, new_face)
        changed[who, name] = (before != after).mean()
        first, then = (before == 2).sum(), (after == 2).sum()
        print(f"  {name:30} {first:2} of {len(before)}, then {then:2}")

# %%
which.compare(min(swaps, key=lambda name: changed["your model", name]))

# %% [markdown]
# A frown is a weak sign of its own: it sways none of the shipped model's 50 answers, and
# only some of yours. A smirk turns all of the shipped model's, and all or nearly all of
# yours.

# %% tags=["hide-input", "free"]
parts = []
for who, asked in {"the shipped model": model, "your model": yours}.items():
    cells = []
    for words in ("positive", "negative"):
        before, after = swap(asked, words, "smirk", "smile")
        cells.append([f"{(x == 2).sum()} of {len(x)}" for x in (before, after)])
    parts.append(
        draw.matrix(
            np.array(cells, dtype=object),
            rows=["kind words", "unkind words"] if not parts else None,
            columns=["smirk", "smile"],
            title=f"{who}: answers positive",
            color="pink" if parts else "blue",
            highlight=[(0, 1), (1, 0)],
        )
    )
alt = "Two tables, words by face: how many answers are positive. With kind words none with a smirk and nearly all "
alt += "with a smile; with unkind words the other way round, for the shipped model and for yours."
draw.show(draw.row(*parts, gap=60), alt=alt)

# %% [markdown]
# The same new faces have *opposite* effects: they lift the kind messages and sink the
# unkind ones. Could one score of a smile, added to the score of the words, do both? Not
# if the kind messages go from negative to positive and the unkind ones from positive to
# negative: what puts *positive* above *negative* in the first cannot do the reverse in
# the second. In section 3 the shipped model did just that with the first two sentences.
# (The counts above show only how many answers are positive.) This is synergy at work, and
# your model found it by itself: nobody told it what a smirk is. And what did the senders
# really feel?

# %%
for words, expected in {"positive": 0.95, "negative": -0.95}.items():
    before, after = swap(yours, words, "smirk", "smile")
    change = (after == 2).mean() - (before == 2).mean()
    kind = "kind" if words == "positive" else "unkind"
    name = f"your model, {kind} words: change of the share positive"
    expect_within(name, change, expected, 0.1)
    smirking = (cue["words"] == words) & (cue["face"] == "smirk")
    labels = test.labels[smirking & (cue["voice"] == "neutral")]
    truth = Counter(test.classes[label] for label in labels)
    print(f"   felt behind {kind} words and a smirk: {dict(truth)}")

# %% [markdown]
# ## 10 · One modality or three?
# How much is each modality worth alone? Models with one modality, and with all three, were trained from five seeds each and stored, with the recipe of the
# shipped model.
#
# What to hold them against? The exact ceiling is for *all* messages that could be drawn. On these 1,500 the best rule of section 6 may do a little better or worse, and so
# may every model. So compare with the best rule on *these* messages.

# %%
runs = {name: np.array(v) for name, v in figures["test accuracy by seed"].items()}
seen_by = {name: [name] for name in singles}
seen_by["all three"] = singles
rule_here = {name: rule_accuracy(names, test) for name, names in seen_by.items()}
for name, values in runs.items():
    mean, half = mean_and_interval(values)
    print(f"{name:10} n = {len(values)}  {mean:.3f} ± {half:.3f}", end="")
    print(f"   best rule here {rule_here[name]:.3f}, ceiling {ceiling[name]:.3f}")

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(7.2, 2.9))
shades = {"face": plot.BLUE, "voice": plot.ORANGE, "words": plot.GREEN, "all three": plot.PINK}
for y, (name, values) in enumerate(reversed(runs.items())):
    mean, half = mean_and_interval(values)
    ax.vlines(rule_here[name], y - 0.34, y + 0.34, color="#222222", linewidth=3)
    ax.vlines(ceiling[name], y - 0.34, y + 0.34, color="#222222", linewidth=1, linestyle=(0, (3, 2)))
    ax.scatter(values, np.full(len(values), y - 0.2), s=16, color=shades[name], alpha=0.7, zorder=3)
    ax.errorbar(mean, y + 0.1, xerr=half, fmt="o", color=shades[name], capsize=4, zorder=4)
    ax.text(mean - 0.03, y + 0.1, f"{mean:.3f}", ha="right", va="center", fontsize=10)
for value, name in ((1 / 3, "chance"), (majority, "majority class")):
    ax.axvline(value, color=plot.GRAY, linestyle=":", linewidth=1.4)
    side = "right" if name == "chance" else "left"
    ax.text(value, 3.62, name, ha=side, va="bottom", fontsize=9, color="#444444")
ax.set(yticks=range(4), yticklabels=list(reversed(runs)), xlim=(0.28, 1), ylim=(-0.55, 3.6))
ax.set_xlabel("test accuracy (thick: best rule on these messages; dashed: exact ceiling)")
ax.grid(axis="x")
ax.grid(axis="y", visible=False)
alt = (
    "Five runs per model as dots with their mean and interval: face 0.685, voice 0.665, words 0.654, all three 0.921. "
)
alt += "Each is near the best rule; chance is at 0.333, the majority class at 0.401."
plot.show(fig, alt=alt)
assert abs(rule_here["voice"] - runs["voice"].mean()) < 0.001 and np.ptp(runs["voice"]) == 0

# %% [markdown]
# *Voice ± 0.000* is no mistake. All five runs score exactly what the best rule scores: as
# far as accuracy can tell, nothing is left to gain from the voice alone. No larger
# network will help there. A second modality does.
#
# The ± is a 95 % **confidence interval** over seeds. If the five trainings were repeated many times, each time with five new seeds, 95 of 100 such intervals would hold the true mean. By hand, for the gain of three
# modalities over the face, which has the highest ceiling of the single ones (fixed before looking):

# %%
gain = runs["all three"] - runs["face"]  # run 1 minus run 1, and so on
mean = gain.mean()
error = gain.std(ddof=1) / np.sqrt(len(gain))  # the standard error of the mean
t = scipy.stats.t.ppf(0.975, len(gain) - 1)  # 2.78 for five runs
print("gains     ", gain.round(4))
print(f"mean {mean:.4f}, standard error {error:.4f}, factor t {t:.2f}")
print(f"interval   {mean - t * error:.3f} to {mean + t * error:.3f}")
assert np.allclose(t * error, mean_and_interval(gain)[1]) and mean - t * error > 0

# %% [markdown]
# The *standard error* says how far a mean of five typically lies from the true mean. The factor $t$ (from Student's $t$ distribution; Student was the pen name of W. Gosset) is large where there are few runs, because
# then their spread is itself uncertain. Many people just take 2. Let both factors judge models that are *equal*, 100,000 times:

# %%
g = np.random.default_rng(0)
for n in (2, 5):
    luck = g.normal(size=(100_000, n))  # n differences with no true gain
    error = luck.std(axis=1, ddof=1) / np.sqrt(n)
    t = scipy.stats.t.ppf(0.975, n - 1)
    twos = np.mean(luck.mean(axis=1) > 2 * error)
    ts = np.mean(luck.mean(axis=1) > t * error)
    print(f"{n} seeds: a gain is claimed in {twos:.1%} with 2", end="")
    print(f", in {ts:.1%} with t = {t:.2f}")

# %% [markdown]
# With two seeds and the factor 2 you find a gain that is not there in 15 of 100 cases;
# with $t$ in 2.5, whatever the number of seeds. (Not 5: a 95 % interval misses in 5 of
# 100 cases, and in half of these the luck is on the losing side.)
#
# These intervals speak about *seeds* only: the test messages stay the same. For other messages, take one model and ask each message: is the model right where the best rule of the face is wrong (+1), the
# other way round (−1), or neither (0)?

# %% tags=["free"]
rule = best_rule(["face"])
face_right = np.array([rule[look] for look in cues_of(test, ["face"])]) == test.labels
yours_right = predict(yours, test.torch_loader(500)).argmax(axis=1) == test.labels
difference = yours_right.astype(float) - face_right  # (1500,): +1, 0 or -1
half = 1.96 * difference.std() / np.sqrt(len(difference))
print(f"yours beats the best rule of the face by {difference.mean():.3f} ± {half:.3f}")
recordings = {wave.tobytes() for wave in test.column("voice")}
sentences = set(test.column("words"))
made_of = f"{len(sentences)} sentences and {len(recordings)} recordings"
print(f"(the {len(test)} messages are made of {made_of})")

# %% [markdown]
# (That takes the messages as independent. They are not quite, because sentences and recordings come back in several messages. Lesson [evaluate](evaluate.ipynb) draws whole groups instead.)
#
# No ceiling is known for real data. That is the normal state of the world, and why the course keeps `mood` at hand: here you can tell a good model
# from a lucky one. Real photographs begin in the next lesson.
#
# ## 11 · The same in Keras
# The course teaches two frameworks. Here is the model in the other one, with the same encoders and plain Keras layers around them. (The last axis of a voice has 40 numbers; `None` is a length that varies.)

# %%
import keras

from mmcourse.keras.encoders import AudioEncoder, ImageEncoder, TextEncoder

inputs = {
    "face": keras.Input((32, 32, 3)),
    "voice": keras.Input((None, 40)),
    "words": keras.Input((None,), dtype="int64"),
}
masks = {
    "voice": keras.Input((None,), dtype="bool"),
    "words": keras.Input((None,), dtype="bool"),
}
keras_encoders = {
    "face": ImageEncoder(width=32),
    "voice": AudioEncoder(bands=40, width=32),
    "words": TextEncoder(vocabulary=len(train.vocabulary), width=32),
}
vectors = []
for name, encoder in keras_encoders.items():
    vector = encoder(inputs[name], masks.get(name))  # (b, 32)
    vectors.append(keras.layers.RMSNormalization(epsilon=1e-5)(vector))  # n
joined = keras.layers.Concatenate()(vectors)  # (b, 96)
hidden_layer = keras.layers.Dense(128, activation="relu")  # Keras says Dense for Linear
last_layer = keras.layers.Dense(3)
keras_logits = last_layer(hidden_layer(joined))  # (b, 3)
keras_model = keras.Model({"inputs": inputs, "padding_mask": masks}, keras_logits)
keras_model.compile(
    optimizer=keras.optimizers.AdamW(learning_rate=3e-3),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)

# %% [markdown]
# Copy *your* weights over. Then both frameworks must give the same answers.

# %% tags=["hide-input"]
from mmcourse.parity import copy_weights

for name, encoder in keras_encoders.items():
    copy_weights(yours.encoders[name], encoder)
for torch_layer, keras_layer in ((yours.hidden, hidden_layer), (yours.logits, last_layer)):
    keras_layer.set_weights([torch_layer.weight.detach().numpy().T, torch_layer.bias.detach().numpy()])


def without_modality_mask(batch, target):
    return {name: batch[name] for name in ("inputs", "padding_mask")}, target


def keras_data(data, **settings):
    """Batches for Keras, with the two entries that this model reads."""
    return data.tf_dataset(**settings).map(without_modality_mask)


# %% tags=["free"]
keras_three, _ = next(iter(keras_data(test, batch_size=3)))
keras_answer = np.array(keras_model(keras_three))  # (3, 3)
with torch.no_grad():
    torch_answer = yours(three).numpy()
gap = np.abs(keras_answer - torch_answer).max()
print(f"largest difference of the logits: {gap:.0e}")
assert gap < 1e-3

# %% [markdown]
# Training in Keras is one call, `fit`. Here it goes over 640 messages once, as a taste; lesson [train_keras](train_keras.ipynb) does it in full.

# %% tags=["free"]
few = keras_data(train.subset(range(640)), batch_size=64, seed=0, fixed_length=True)
past = keras_model.fit(few, epochs=1, shuffle=False, verbose=0).history
print(f"on these 640 messages while training: accuracy {past['accuracy'][0]:.3f}")
print("(your model had met them ten times already: that number is no test)")

# %% [markdown]
# ## 12 · At full size
# Nothing here needs a GPU. Where there is one, model and batches are moved to it (`.to("cuda")`), and lesson [train_pytorch](train_pytorch.ipynb) shows how. `mmcourse doctor` in a terminal says what your
# machine has. Larger data and pretrained models begin with lesson [bert](bert.ipynb).

# %% [markdown]
# ## 13 · What to remember
# - A modality is a kind of array with its own shape and unit; an encoder turns it into a vector, and vectors can be joined.
# - Ask first what you get for nothing (chance, majority-class baseline) and what is possible at all (the ceiling).
# - Modalities can know more together than apart: synergy. The same face can have opposite effects, and no addition of separate scores finds that.
# - A plain classifier answers *any* input, also one that it never should have got, and
#   its certainty is no warning.
# - Judge by messages that the model has not learned from. A gain needs several seeds and an interval that is right for so few.

# %% [markdown]
# ## 14 · Check yourself
# **1.** A colleague reaches 0.68 from faces alone on `mood`, and wants a larger network. What do you say?
# <details><summary>Answer</summary>
#
# The ceiling of the face is 0.689: less than one point is left. The next gain must come from another modality.
# </details>
#
# **2.** A classifier for ten classes has an accuracy of 0.4. Its most frequent class makes up 0.45 of the data. Is it better than chance? Is it useful?
# <details><summary>Answer</summary>
#
# Better than chance (0.1), yet worse than always naming the most frequent class (0.45).
# If accuracy is what counts, it is of no use yet.
# </details>
#
# **3.** A batch has `words` of shape (64, 12). One sentence has 7 words. What do the other 5 positions hold, and how does the model know?
# <details><summary>Answer</summary>
#
# Zeros: padding. The padding mask is False there.
# </details>
#
# **4.** A model has 0.95 on its training messages and 0.90 on validation messages, where the ceiling is 0.926. Has it beaten the ceiling?
# <details><summary>Answer</summary>
#
# No. It knows accidents of the training messages by heart (overfitting). Only new messages count, and there it is below.
# </details>
#
# **5.** Someone swaps smirks for smiles in kind messages only, and all answers turn positive. Does that show synergy?
# <details><summary>Answer</summary>
#
# Not yet: a plain score for smiles does the same. Swap the faces of unkind messages as
# well. Only if those answers go from positive to negative (and the kind ones came from
# negative) can no plain score explain both.
# </details>
#
# **6.** Two seeds, gains of 0.08 and 0.10. Is the gain supported?
# <details><summary>Answer</summary>
#
# No. The mean is 0.09, the standard error 0.01, and $t$ for two runs is 12.71: the interval is 0.09 ± 0.127 and holds 0. Run more seeds.
# </details>

# %% tags=["hide-input"]
assert round(ceiling["face"], 3) == 0.689
assert round(scipy.stats.t.ppf(0.975, 1), 2) == 12.71

# %% [markdown]
# ## 15 · Exercises
# [Three tasks](exercises/start_here.ipynb), about 27 minutes: the ceiling of a table, three opinions made one, and whether a
# gain is worth having. Replace `raise NotImplementedError("your turn")` with your code and run the check below it, wrongly first if you
# like.
#
# ## Where next
# [images](images.ipynb) begins with the first modality: what is in a picture file, and how pixels become what a network can use. If you would rather see
# how networks learn, go to [neural_networks](neural_networks.ipynb); for other ways to join vectors, to [fusion](fusion.ipynb).

# %% [markdown]
# ## Sources
# - L. Devroye, L. Györfi, G. Lugosi, *A Probabilistic Theory of Pattern Recognition*, Springer 1996: the Bayes rule is optimal (chapter 2).
# - T. Baltrušaitis, C. Ahuja, L.-P. Morency, *Multimodal Machine Learning: A Survey and Taxonomy*, 2019, arXiv 1705.09406.
# - P. L. Williams, R. D. Beer, *Nonnegative Decomposition of Multivariate Information*,
#   2010, arXiv 1004.2515: synergy.
# - L. F. Barrett and others, *Emotional Expressions Reconsidered: Challenges to Inferring
#   Emotion From Human Facial Movements*, Psychological Science in the Public Interest,
#   2019: what a face tells about a feeling, and what it does not.
# - Student, *The Probable Error of a Mean*, Biometrika 1908: intervals from few numbers.
