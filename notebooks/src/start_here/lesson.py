# %% [markdown]
# # Start here
# *In an hour you will have trained a model that looks, listens and reads, and you will know how good it could ever be.*
#
# {{budget}}
#
# **You will be able to**
# - tell what a modality is, and say what the array behind each one means;
# - work out by hand the best accuracy that any model could reach on a small table;
# - train one model on three modalities, in PyTorch and in Keras;
# - judge a result as a share of that best accuracy, modality by modality.
#
# **Before this:** some Python. No machine learning, and no mathematics beyond adding and dividing that is not explained on
# the spot.
#
# **Time to read:** 40 minutes, then 27 for the [exercises](exercises/start_here.ipynb).

# %% [markdown]
# Run a cell with Shift+Enter, from the top. Nothing here needs a network or a GPU, and nothing you do can break it:
# if it looks odd, choose *Kernel → Restart Kernel and Run All Cells*. Change numbers and run again; that is what the
# lesson is for.

# %%
import numpy as np

from mmcourse import plot
from mmcourse.datasets import load, mood

train, validation, test = (load("mood", split) for split in ("train", "validation", "test"))
train, validation, test

# %% [markdown]
# ## 1 · The question
# Somebody sends you a short video message. Here is one of the 1,500 in the test set: first what they wrote.

# %%
facts = test.meta
smirk, kind = facts["face_cue"] == "smirk", facts["words_cue"] == "positive"
flat, negative = facts["voice_cue"] == "neutral", test.labels == 0
chosen = np.flatnonzero(smirk & kind & flat & negative)[0]
message = test[chosen]
message["words"]

# %% [markdown]
# Now how they said a sentence. The sentence is always the same one; only the way of saying it changes.

# %%
plot.audio(message["voice"], test.sample_rate, label="The voice of this message")

# %% [markdown]
# And the face they made.

# %%
fig = plot.images([message["face"]], ["the face of this message"])
plot.show(fig, alt="A small drawn face with one corner of the mouth pulled up: a smirk.")

# %% [markdown]
# **Predict before you go on.** Is the message negative, neutral or positive? Say it aloud. Which of the three (words,
# voice or face) decided it for you?

# %%
test.classes[message["target"]]

# %% [markdown]
# The words are kind, and the message is not. You knew because you did something that no single sense could do: you let the
# face change the *meaning of the words*. By the end of this lesson a model does the same, and you can prove that it does.

# %% [markdown]
# ## 2 · The idea by hand
# A **modality** is one way in which the world reaches you: sight, sound, text. To a computer each one is an array, and the
# arrays have nothing in common, neither size nor unit.

# %%
face, voice, words = message["face"], message["voice"], message["words"]
print("face ", face.shape, face.dtype, "  height, width, colour; 0 to 255")
print("voice", voice.shape, voice.dtype, "    samples of air pressure, 16,000 a second; -1 to 1")
print("words", len(words.split()), "words           ", "each will become a number by a list of known words")

# %% [markdown]
# Before any network, the smallest case that has the whole idea in it. Eight messages; each shows **kind** or **unkind**
# words and a **plain** face or a **smirk**. The last column is what was meant.

# %%
eight = [
    ("kind", "plain", "positive"), ("kind", "plain", "positive"), ("kind", "plain", "positive"),
    ("kind", "smirk", "negative"),
    ("unkind", "plain", "negative"), ("unkind", "plain", "negative"), ("unkind", "plain", "negative"),
    ("unkind", "smirk", "positive"),
]  # fmt: skip
for row in eight:
    print("{:8}{:8}{}".format(*row))

# %% [markdown]
# You may look at one thing only and must always answer. The best you can do is to bet on whatever is most common among
# the messages that look the same to you. Count how often that bet wins.

# %%
from collections import Counter


def best_bet(*looks_at):
    """Share of the eight messages that you get right when you see these columns (0 words, 1 face)."""
    groups = {}
    for row in eight:
        groups.setdefault(tuple(row[i] for i in looks_at), Counter())[row[2]] += 1
    return sum(max(meant.values()) for meant in groups.values()) / len(eight)


print("words alone", best_bet(0))
print("face alone ", best_bet(1))
print("both       ", best_bet(0, 1))
assert (best_bet(0), best_bet(1), best_bet(0, 1)) == (0.75, 0.5, 1.0)

# %% [markdown]
# Look at the face: alone it is worth *nothing*, 0.5 is a coin toss. Together with the words it is worth everything. What a
# pair of modalities knows and neither of them knows alone is called **synergy** (Williams and Beer 2010), and sarcasm is the
# everyday example.

# %% [markdown]
# ## 3 · The formula
# Write $p(y, x)$ for the share of messages with meaning $y$ that look like $x$. For each $x$ you bet on the most common $y$,
# and win that share. Added up, this is the **Bayes accuracy**, the best that any model can reach:
#
# $$A^* = \sum_x \max_y \; p(y, x)$$
#
# Read it from the inside out: $\max_y$ takes the largest value over $y$, $\sum_x$ adds these up over all $x$. (Devroye, Györfi and Lugosi 1996, chapter 2.) No model, however large, gets beyond it, since messages that look the same
# must get the same answer.

# %%
looks = ["kind, plain", "kind, smirk", "unkind, plain", "unkind, smirk"]
p = np.zeros((2, 4))  # (y, x): rows negative and positive, columns what you see
for said, face_shown, meant in eight:
    p[int(meant == "positive"), looks.index(f"{said}, {face_shown}")] += 1 / 8
print(p)
print("best accuracy", p.max(axis=0).sum())  # the formula, read from the inside out

# %% [markdown]
# The data set `mood` was made from such a table, only larger: three meanings, four faces, three voices, three kinds of
# words. These are the **cues**: what the drawing, the voice and the sentence were told to show. The table is written in the
# code, so its ceilings are known *exactly*, something no real data set can offer.

# %%
singles = ["face", "voice", "words"]
ceiling = {m: mood.bayes_accuracy([m]) for m in singles}
ceiling["all three"] = mood.bayes_accuracy(singles)
for name, value in ceiling.items():
    print(f"{name:10} {value:.3f}")

# %% [markdown]
# Do not take it on trust. Take the 6,000 training messages, make the best bet for each combination of cues, and count.
# (No model can do that: it gets pixels and sound, not the cues.) Luck may lift a finite count a little above the ceiling.

# %%
cues = [train.meta[f"{m}_cue"] for m in singles]
patterns, seen = np.unique(np.stack(cues), axis=1, return_inverse=True)
counts = np.zeros((3, patterns.shape[1]))
np.add.at(counts, (train.labels, seen.ravel()), 1)
simulated = counts.max(axis=0).sum() / len(train)
print(f"counted on {len(train)} messages {simulated:.3f}, exact {ceiling['all three']:.3f}")

# %% [markdown]
# From here on every accuracy is shown twice: as it is, and as a **share of the ceiling**. 0.70 can be a triumph for one
# modality and a failure for three.

# %% [markdown]
# ### From arrays to one answer
# Each modality $m$ first gets an **encoder** $f_m$, which turns its odd array $x_m$ into a plain vector $h_m$ of fixed
# width. Vectors of known width can be joined:
#
# $$h_m = f_m(x_m) \qquad h = [h_\text{face};\, h_\text{voice};\, h_\text{words}] \qquad
# \text{logits} = W_2\,\max(0,\, W_1 h + b_1) + b_2$$
#
# $W h + b$ means: multiply by weights that are learned, add up, shift. $\max(0, \cdot)$ turns negative numbers into 0.
# **Logits** are one score a class, any numbers. Joining end to end is *early fusion* or concatenation (Baltrušaitis, Ahuja and Morency 2019). Lesson [fusion](fusion.ipynb) has a dozen
# other ways.

# %% [markdown]
# The **softmax** turns logits into probabilities: $e^x$ makes any number positive, and dividing makes them sum to 1. The
# **loss** is the surprise at the true answer $y$: 0 for who is sure and right, large for who is sure and wrong.
#
# $$p_k = \frac{e^{\text{logit}_k}}{\sum_j e^{\text{logit}_j}} \qquad \text{loss} = -\log p_y$$
#
# A model that knows nothing says 1/3 each time. Its loss is $\log 3$, so that is where training must start.

# %% [markdown]
# ## 4 · The same in PyTorch and Keras
# Models do not see raw files but **batches**: many samples stacked, each modality under its name. Sequences of different
# length are filled up, and `padding_mask` remembers what is real.

# %%
batch = next(train.batches(batch_size=64, seed=0))
inputs = batch["inputs"]
print("face ", inputs["face"].shape, "  batch, height, width, colour")
print("voice", inputs["voice"].shape, "    batch, time, frequency band (lesson audio)")
print("words", inputs["words"].shape, "        batch, position in the sentence")
print("real words of the first sentence:", batch["padding_mask"]["words"][0].sum())

# %% [markdown]
# Here is the whole model in PyTorch. The three encoders are imported; lessons cnn to transformers take them apart. What is new, the
# joining, is written out. `rms_norm` brings the three vectors to one size first, or the loudest would drown the others.

# %%
import torch
from torch import nn
from torch.nn.functional import rms_norm

from mmcourse.torch.encoders import FaceEncoder, VoiceEncoder, WordsEncoder


class Trimodal(nn.Module):
    def __init__(self, encoders, width=32, hidden=128, classes=3):
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        self.hidden = nn.Linear(width * len(encoders), hidden)
        self.logits = nn.Linear(hidden, classes)

    def forward(self, batch):
        h = [encoder(batch["inputs"][m], batch["padding_mask"].get(m)) for m, encoder in self.encoders.items()]
        h = torch.cat([rms_norm(h_m, h_m.shape[-1:], eps=1e-5) for h_m in h], dim=-1)  # 3 × (b, 32) → (b, 96)
        return self.logits(self.hidden(h).relu())  # (b, 96) → (b, 128) → (b, 3)


# %% [markdown]
# The seed decides the random weights that a model starts from. With the same seed you get the same model, here and on
# any other day.


# %%
def encoders(*modalities):
    every = {
        "face": lambda: FaceEncoder(width=32),
        "voice": lambda: VoiceEncoder(bands=40, width=32),
        "words": lambda: WordsEncoder(vocabulary=len(train.vocabulary), width=32),
    }
    return {m: every[m]() for m in modalities}


torch.manual_seed(0)
model = Trimodal(encoders("face", "voice", "words"))
print(f"{sum(p.numel() for p in model.parameters()):,} numbers to learn")

# %% [markdown]
# Before any training it should know nothing, that is, lose about $\log 3 = 1.099$ a message. Much less would mean that it
# is not untrained, or that the loss is wrong; much more, that it is sure of nonsense. `expect_within` prints a number beside
# the range that it should lie in, and fails if it does not.

# %%
from mmcourse.evaluate import expect_within

assert round(np.log(3), 3) == 1.099
first = next(iter(train.torch_loader(batch_size=512, seed=0)))
with torch.no_grad():
    loss = nn.functional.cross_entropy(model(first), first["target"])
expect_within("loss before training", loss, 1.10, 0.15)

# %% [markdown]
# The same model in Keras. The package has both, under the same names; this one joins by `Concatenate`, exactly what you
# have just read.

# %%
import mmcourse.keras.encoders as K
from mmcourse.keras.fusion import Concatenate

keras_model = K.MultimodalClassifier(
    {
        "face": K.FaceEncoder(width=32),
        "voice": K.VoiceEncoder(bands=40, width=32),
        "words": K.WordsEncoder(vocabulary=len(train.vocabulary), width=32),
    },
    fusion=Concatenate(dims=[32, 32, 32], width=128),
    classes=3,
)

# %% [markdown]
# Two frameworks, one formula: give both the same weights and they must give the same logits. PyTorch's version in the
# package takes your model's weights, Keras takes them from there.

# %%
import mmcourse.torch.encoders as T
import mmcourse.torch.fusion as torch_fusion
from mmcourse.parity import copy_weights

packaged = T.MultimodalClassifier(
    encoders("face", "voice", "words"), torch_fusion.Concatenate([32] * 3, 128), classes=3
)
packaged.encoders.load_state_dict(model.encoders.state_dict())
packaged.fusion.out.load_state_dict(model.hidden.state_dict())
packaged.head.load_state_dict(model.logits.state_dict())

keras_batch, _ = next(iter(train.tf_dataset(batch_size=512, seed=0)))  # a batch without its target, and the target
keras_model(keras_batch)  # the first call makes the weights
print(f"{copy_weights(packaged, keras_model):,} numbers copied")

# %%
with torch.no_grad():
    by_hand, by_package = model(first).numpy(), packaged(first).numpy()
by_keras = np.array(keras_model(keras_batch))
assert np.abs(by_hand - by_package).max() < 1e-4 and np.abs(by_hand - by_keras).max() < 1e-4
print("your class, the package and Keras: equal logits to four decimals")

# %% [markdown]
# ## 5 · At work
# One step of training, in slow motion: predict, measure the loss, ask how each number in the model should move
# (`backward`), move it a little (`step`). The loss on the same batch falls.

# %%
optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
before = nn.functional.cross_entropy(model(first), first["target"])
before.backward()
optimiser.step()
with torch.no_grad():
    after = nn.functional.cross_entropy(model(first), first["target"])
assert after < before
print("the loss fell")

# %% [markdown]
# Now that step for each batch of 64, ten times through the training set; once through is an **epoch**. `fit` is this loop
# with a progress bar; lesson [train_pytorch](train_pytorch.ipynb) writes it out. It takes some ten seconds.

# %% tags=["free"]
from mmcourse.training.torch import fit, predict

torch.manual_seed(0)
model = Trimodal(encoders("face", "voice", "words"))
history = fit(model, train.torch_loader(batch_size=64, seed=0), epochs=10)

# %% [markdown]
# The only number that counts is the one on messages that the model has never met: other sentences, other voices, other
# faces.


# %% tags=["target"]
def test_accuracy(model):
    logits = predict(model, test.torch_loader(batch_size=500))
    return float((logits.argmax(axis=1) == test.labels).mean())


reached = {"all three": test_accuracy(model)}
expect_within("test accuracy of the trimodal model", reached["all three"], 0.91, 0.03)

# %% tags=["free"]
share = reached["all three"] / ceiling["all three"]
print(
    f"accuracy {reached['all three']:.3f}, that is {100 * share:.1f} % of the best possible {ceiling['all three']:.3f}"
)

# %% [markdown]
# **Predict:** how did it get there? Smoothly, or in jumps? Look at the curve of accuracy while it trains.

# %% tags=["free"]
curve = [epoch["accuracy"] for epoch in history]
fig = plot.curves(
    {"all three": curve},
    title="When does the model understand sarcasm?",
    ylabel="training accuracy",
    levels={
        "a trained vote": mood.loglinear_accuracy(),
        "the best vote": mood.additive_accuracy(),
        "joint ceiling": ceiling["all three"],
    },
)
plot.show(
    fig,
    alt="Training accuracy by epoch: it rests near 0.79, where a trained vote ends, then climbs past the best vote, "
    "0.86, to about the joint ceiling of 0.93.",
)

# %% [markdown]
# There is a plateau, then a climb. On the plateau each modality casts a vote, and the votes are added up. What a *trained* vote
# reaches, and what the best of all votes could, are known exactly: the two lower lines. Then the model finds out that a smirk
# turns words around. (The curve may end a little *above* the joint ceiling: it can learn luck by heart.)

# %%
expect_within("accuracy of a trained vote", mood.loglinear_accuracy(), 0.791, 0.001)
expect_within("best accuracy of any rule that adds up votes", mood.additive_accuracy(), 0.858, 0.001)
expect_within("gap between adding and the joint ceiling", ceiling["all three"] - mood.additive_accuracy(), 0.067, 0.002)

# %% [markdown]
# ### Each modality alone
# The same class with one encoder. **Predict** the three accuracies before you run the cell; you know the ceilings.

# %% tags=["free"]
alone = {}
for name in singles:
    torch.manual_seed(0)
    alone[name] = Trimodal(encoders(name))
    fit(alone[name], train.torch_loader(batch_size=64, seed=0), epochs=5, progress=False)
    reached[name] = test_accuracy(alone[name])

# %%
for name in singles:
    expect_within(f"share of its ceiling that {name} alone reaches", reached[name] / ceiling[name], 0.965, 0.045)

# %% tags=["free"]
names = [*singles, "all three"]
fig = plot.against_ceiling(
    names,
    [reached[n] for n in names],
    [ceiling[n] for n in names],
    title="How close does each model come to what is possible?",
    chance=float(np.bincount(test.labels).max() / len(test)),
)
plot.show(
    fig,
    alt="Four bars with their ceilings. Face, voice and words alone reach about 0.65 of ceilings near 0.68; all three "
    "together reach about 0.92 of 0.93.",
)

# %% [markdown]
# Each modality alone comes close to *its* ceiling and stays below 0.7. A bigger encoder would not help: the information is not there.
# Only the other modalities have it.
#
# ### In Keras
# Give Keras the weights that PyTorch started from, the same batches in the same order and the same schedule. Then the
# curves should lie on one another. (It takes about twice as long.)

# %% tags=["free"]
import mmcourse.training.keras as keras_train

torch.manual_seed(0)
start = Trimodal(encoders("face", "voice", "words"))
packaged.encoders.load_state_dict(start.encoders.state_dict())
packaged.fusion.out.load_state_dict(start.hidden.state_dict())
packaged.head.load_state_dict(start.logits.state_dict())
copy_weights(packaged, keras_model)
flow = train.tf_dataset(batch_size=64, seed=0, fixed_length=True)
keras_history = keras_train.fit(keras_model, flow, epochs=10)

# %%
keras_logits = keras_train.predict(keras_model, test.tf_dataset(batch_size=500, fixed_length=True))
keras_accuracy = float((keras_logits.argmax(axis=1) == test.labels).mean())
expect_within("test accuracy of the Keras model", keras_accuracy, 0.91, 0.03)

# %% tags=["free"]
both = {"PyTorch": curve, "Keras": [float(epoch["accuracy"]) for epoch in keras_history]}
fig = plot.curves(both, title="Do the two frameworks learn the same thing?", ylabel="training accuracy")
plot.show(fig, alt="Two curves of training accuracy, PyTorch and Keras, that lie nearly on one another.")

# %% [markdown]
# They start as equals and drift apart by rounding: after thousands of additions, sums in another order differ in the last
# digits, and training amplifies that. Lesson [train_keras](train_keras.ipynb) measures it.

# %% [markdown]
# ## 6 · Take it apart
# Back to the message that you began with. What does the model say, and how sure is it?

# %% tags=["free"]
one = next(iter(test.subset([chosen]).torch_loader(batch_size=1)))
with torch.no_grad():
    belief = model(one).softmax(dim=-1)[0].numpy()
for name, p_name in zip(test.classes, belief, strict=True):
    print(f"{name:10} {p_name:.2f}")

# %% [markdown]
# Now turn a knob. The face of *another* message, with a plain smile, goes onto this one; words and voice stay. **Predict**
# what changes.

# %% tags=["free"]
smiling = np.flatnonzero(facts["face_cue"] == "smile")[0]
other = next(iter(test.subset([smiling]).torch_loader(batch_size=1)))
with torch.no_grad():
    swapped = model({**one, "inputs": {**one["inputs"], "face": other["inputs"]["face"]}}).softmax(dim=-1)[0].numpy()
fig = plot.matrix(
    np.stack([belief, swapped]),
    "What does a smile in place of the smirk change?",
    ["with the smirk", "with a smile"],
    list(test.classes),
    limits=(0, 1),
)
plot.show(
    fig,
    alt="Probabilities of negative, neutral and positive: with the smirk nearly all on negative, with a smile nearly "
    "all on positive.",
)

# %%
assert belief.argmax() == 0 and swapped.argmax() == 2
print("with the smirk negative, with a smile positive: the same words, the same voice")

# %% [markdown]
# One lucky example proves nothing. Take all test messages with a smirk and clear words, and compare the trimodal model with the one that only
# reads.

# %% tags=["free"]
smirking = test.subset(smirk & (facts["words_cue"] != "neutral"))
loader = smirking.torch_loader(batch_size=500)
by_reader, by_all = (predict(m, loader).argmax(axis=1) == smirking.labels for m in (alone["words"], model))
print(f"{len(smirking)} smirking messages: reading alone {by_reader.mean():.2f}, all three {by_all.mean():.2f}")

# %%
expect_within("accuracy of reading alone on smirking messages", by_reader.mean(), 0.10, 0.08)
expect_within("accuracy of all three on smirking messages", by_all.mean(), 0.95, 0.05)

# %% [markdown]
# Reading alone is not just unsure there, it is *wrong*, more often than a coin. The face has taught the model when to believe the
# words.
#
# Most of what remains are mistakes that no model can avoid: messages that look alike and mean different things.

# %%
print(f"of 100 messages, {100 * (1 - ceiling['all three']):.0f} are beyond any model")

# %% [markdown]
# ### Real handwriting
# `mood` is drawn and spoken by programs, which is why its ceiling is known. The same code takes other data: `avdigits` has digits
# written by real people (scikit-learn's, made blurred and noisy), spoken by voices that the model never heard, an idea of
# Vielzeuf and others (2018). Three seeds, for one seed may be lucky.

# %%
digits = {split: load("avdigits", split) for split in ("train", "test")}
firsts = [int(np.flatnonzero(digits["test"].labels == digit)[0]) for digit in range(10)]
fig = plot.images(
    [digits["test"][i]["image"] for i in firsts], list("0123456789"), title="Can you read these digits?", columns=5
)
plot.show(fig, alt="Ten handwritten digits, blurred and noisy, each with its true name.")
plot.audio(digits["test"][firsts[0]]["voice"], digits["test"].sample_rate, label="The zero, spoken in noise")


# %% tags=["free"]
def digit_accuracy(modalities, seed, data):
    torch.manual_seed(seed)
    every = {"image": FaceEncoder(width=32, size=28, colours=1), "voice": VoiceEncoder(bands=32, width=32)}
    model = Trimodal({m: every[m] for m in modalities}, classes=10)
    fit(model, data["train"].torch_loader(64, seed=seed), epochs=5, learning_rate=3e-3, progress=False)
    logits = predict(model, data["test"].torch_loader(batch_size=500))
    return float((logits.argmax(axis=1) == data["test"].labels).mean())


trials = {"image": ["image"], "voice": ["voice"], "image + voice": ["image", "voice"]}
heard = {name: [digit_accuracy(m, seed, digits) for seed in range(3)] for name, m in trials.items()}

# %% tags=["free"]
means = [np.mean(values) for values in heard.values()]
title = "Does hearing help to read real handwriting?"
fig = plot.against_ceiling(
    list(heard), means, [None] * 3, np.std(list(heard.values()), axis=1), title=title, chance=0.1
)
plot.show(fig, alt="Mean accuracy on digits over three seeds: image and voice together lie above either alone.")

# %%
expect_within("gain of both over the better one", means[2] - max(means[:2]), 0.11, 0.06)

# %% [markdown]
# Here no ceiling is drawn, because nobody knows it. That is the normal state of the world, and why the course keeps `mood` at hand: to
# learn on data where you can tell a good model from a lucky one.
#
# ## 7 · At full size
# `source="real"` is the same call with 10,000 MNIST digits and 3,000 recordings of six people. It fetches and verifies 16 MB once, with
# `mmcourse data fetch`. Where the files are missing, this cell says so instead of pretending.

# %% tags=["free"]
from mmcourse import runtime
from mmcourse.datasets import sources

missing = [source.name for source in sources() if not source.present()]
if missing:
    print(f"not run: {', '.join(missing)} not fetched yet (mmcourse data fetch)")
else:
    real = {split: load("avdigits", split, source="real") for split in ("train", "test")}
    print(f"real digits, unseen speakers: {digit_accuracy(['image', 'voice'], 0, real):.3f}")

# %% [markdown]
# On a GPU (Colab: *Runtime → Change runtime type*) the profile is `"gpu"`, and this cell trains a wider model there, four times as long. It should not
# get beyond the ceiling either.

# %% tags=["free"]
if runtime.profile() == "gpu":
    torch.manual_seed(0)
    wide = Trimodal(encoders("face", "voice", "words"), hidden=1024).to("cuda")
    fit(wide, train.torch_loader(batch_size=256, seed=0), epochs=40, learning_rate=3e-3)
    print(f"wide model on the GPU: {test_accuracy(wide):.3f} of {ceiling['all three']:.3f}")
else:
    print("not run: no GPU here. It would train a wider model and end near the same ceiling, 0.926.")

# %% [markdown]
# And what are you running on? If something in a later lesson does not work, start here, or type `mmcourse doctor` in a terminal.

# %% tags=["free"]
runtime.machine_report()

# %% [markdown]
# ## 8 · What to remember
# - A modality is a kind of array with its own unit; an encoder turns it into a vector, and vectors can be joined.
# - $A^* = \sum_x \max_y p(y, x)$ is the best accuracy there is; judge every result as a share of it.
# - Modalities can know more together than apart: synergy. Adding up opinions does not find it.
# - Bring the vectors to one size before you join them, and test on sentences, voices and faces never met.
# - The first loss of an ignorant classifier is $\log C$. Check it.

# %% [markdown]
# ## 9 · Check yourself
# **1.** A colleague reports 0.68 from faces alone on `mood` and wants a larger network. What do you say?
# <details><summary>Answer</summary>
#
# The ceiling of the face is 0.689. There is one point left to win; the next gain must come from another modality.
# </details>
#
# **2.** In the eight messages, what would `best_bet(1)` be if every smirk meant "negative"?
# <details><summary>Answer</summary>
#
# Two smirks, both negative: 2 right. Six plain faces, three each way: 3 right. 5/8 = 0.625: the face alone is worth something now.
# </details>
#
# **3.** Your untrained classifier for ten classes starts at a loss of 0.4. What happened?
# <details><summary>Answer</summary>
#
# It should start near $\log 10 = 2.30$. Either it is not untrained (weights left from an earlier run), or the loss is computed
# wrongly.
# </details>

# %%
assert (3 + 2) / 8 == 0.625 and round(np.log(10), 2) == 2.30 and round(ceiling["face"], 3) == 0.689

# %% [markdown]
# ## 10 · Exercises
# [Three short tasks](exercises/start_here.ipynb), about 27 minutes: the ceiling of a table, three opinions made one, and whether a
# gain is worth having. In each you replace `raise NotImplementedError("your turn")`, then run the `check` cell below. It tells you *what* is wrong, not only that it is wrong; try a wrong answer
# first and see.

# %% [markdown]
# ## Sources
# - L. Devroye, L. Györfi, G. Lugosi, *A Probabilistic Theory of Pattern Recognition*, Springer 1996: the Bayes rule is optimal (chapter 2).
# - T. Baltrušaitis, C. Ahuja, L.-P. Morency, *Multimodal Machine Learning: A Survey and Taxonomy*, 2019, arXiv 1705.09406.
# - P. L. Williams, R. D. Beer, *Nonnegative Decomposition of Multivariate Information*, 2010, arXiv 1004.2515: redundancy, unique information, synergy.
# - V. Vielzeuf and others, *CentralNet*, 2018, arXiv 1808.07275: a data set of written and spoken digits.
