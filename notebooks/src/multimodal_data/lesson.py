# %% [markdown]
# # Multimodal data
# *You build the batches that every later lesson feeds on, and you learn to spot a data set that flatters its model.*
#
# {{budget}}
#
# **You will be able to**
# - put samples of different lengths and missing parts into one batch, with masks that say what is real;
# - say which sound belongs to which picture, exactly, at any pair of rates;
# - measure how far annotators agree beyond chance;
# - split data so that a test score means something, and show what the wrong split hides;
# - find the stage that makes a data pipeline slow.
#
# **Before this:** [Start here](start_here.ipynb), [Audio](audio.ipynb) for log-mel frames.
#
# **Time to read:** 50 minutes, then 35 for the [exercises](exercises/multimodal_data.ipynb).

# %%
import numpy as np

from mmcourse import plot
from mmcourse.datasets import load
from mmcourse.datasets.avdigits import voices as avdigits_voices
from mmcourse.evaluate import expect_within

# %% [markdown]
# ## 1 · The question
# Six synthetic voices say the ten digits, four times each: 240 recordings. (The code does it for six such groups and averages.)
# Each voice sits in a room of its own, at its own microphone. (The voices are this course's, made by a synthesizer; the rooms
# are made below, as loud as we chose. Section 7 has real people.)

# %%
clips = avdigits_voices.read_clips("embedded")  # 36 voices, 1,440 recordings
groups = np.random.default_rng(0).permutation(np.unique(clips.speaker)).reshape(6, 6)  # six groups of six


def room(wave, person, number, microphone=True, noise=True):
    """The recording as heard in this voice's room."""
    g = np.random.default_rng(person)
    echo, color, snr_db = g.normal(size=7) * 0.8 ** np.arange(1, 8), g.normal(size=16), g.uniform(0, 15)
    if microphone:
        wave = np.convolve(wave, [1, *echo])[: len(wave)]
    if noise:
        hiss = np.convolve(np.random.default_rng([person, number]).normal(size=len(wave) + 15), color, "valid")
        wave = wave + hiss * np.sqrt((wave**2).mean() / (hiss**2).mean() / 10 ** (snr_db / 10))
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


# %% [markdown]
# Listen to two of them say "seven".

# %%
person = np.searchsorted(np.unique(clips.speaker), clips.speaker)  # (1440,) a number for each name
sevens = [np.flatnonzero((clips.speaker == who) & (clips.digit == 7))[0] for who in groups[0, :2]]
for i, name in zip(sevens, "AB", strict=True):
    plot.audio(room(clips.waves[i], person[i], i), 8000, label=f"Voice {name} says seven")

# %% [markdown]
# Two colleagues take the same recordings, the same features, the same model. One tests on *takes* that the model has not
# heard, the other on *voices* that it has not heard. Neither has a bug. **Predict** both accuracies and write them down;
# section 5 answers.

# %% [markdown]
# ## 2 · The idea by hand
# ### A sample is a dict
# What belongs together is kept together: one entry per modality, under its name, and what is to be predicted, the *target*. `mood` has three
# modalities. Here they are after preprocessing, as lessons images to audio did it.

# %%
mood = load("mood", "train")


def sample(ds, i):
    """Sample i, model-ready: what a batch of one holds, without the batch axis."""
    one = next(ds.subset([i]).batches(1))
    values = {m: one["inputs"][m][0] if one["modality_mask"][m][0] else None for m in ds.modalities}
    return {**values, "target": int(one["target"][0])}


four = [sample(mood, i) for i in range(4)]
for s in four:
    print({m: value.shape for m, value in s.items() if m != "target"}, "target", s["target"])

# %% [markdown]
# Faces are all of one size. Voices have 89 to 116 frames, sentences 5 to 9 words. A batch is *one* array for each
# modality. Try the obvious thing.

# %% tags=["raises-exception"]
np.stack([s["words"] for s in four])

# %% [markdown]
# ### Padding, and the mask
# Make room for the longest, copy each sequence to the start of its row, leave zeros behind it. The `padding_mask`
# remembers what is real: True is a real element. (0 is the id of `<pad>`.)


# %%
def pad(sequences):
    """Arrays (t_i, ...) → values (b, t, ...) and padding_mask (b, t)."""
    lengths = np.array([len(s) for s in sequences])
    values = np.zeros((len(sequences), lengths.max(), *sequences[0].shape[1:]), sequences[0].dtype)
    for row, s in zip(values, sequences, strict=True):
        row[: len(s)] = s
    return values, np.arange(lengths.max()) < lengths[:, None]


words, mask = pad([s["words"] for s in four])
print(words)  # (4, 9)
print(mask.astype(int))

# %% [markdown]
# A mask works only if somebody reads it. The mean of four temperatures, two of them padding:

# %%
values, real = np.array([20.0, 22.0, 0.0, 0.0]), np.array([True, True, False, False])
print("mean of everything", values.mean(), "  mean of what is real", (values * real).sum() / real.sum())

# %% [markdown]
# Why not recognize padding by its zeros? Because a real value may be zero: 0 °C, a black pixel, a silent frame. The mask is
# data, not a guess.
#
# ### What is missing
# Cameras fail and people write without speaking. A missing modality is zeros as well, and its `modality_mask`, (b,) for b samples, says
# so. A batch keeps all of that by name: the inputs, what is padding in them, which are there at all, and the target.


# %%
def collate(samples):
    """Dicts of samples → one batch dict."""
    inputs, padding_mask, modality_mask = {}, {}, {}
    for m in sorted(set(samples[0]) - {"target"}):
        there = np.array([s[m] is not None for s in samples])  # (b,)
        like = next(s[m] for s in samples if s[m] is not None)
        nothing = np.zeros((1, *like.shape[1:]) if m != "face" else like.shape, like.dtype)
        values, mask = pad([nothing if s[m] is None else s[m] for s in samples])
        inputs[m], modality_mask[m] = values, there
        if m != "face":  # pictures are all of one size
            padding_mask[m] = mask & there[:, None]
    target = np.array([s["target"] for s in samples])
    return {"inputs": inputs, "padding_mask": padding_mask, "modality_mask": modality_mask, "target": target}


# %% [markdown]
# Take the voice from the second sample and the words from the third, as `with_missing` does for whole data sets.

# %%
there = {"voice": np.array([True, False, True, True]), "words": np.array([True, True, False, True])}
gaps = mood.subset(range(4)).with_missing(pattern=there)
batch = collate([sample(gaps, i) for i in range(4)])
print({m: x.shape for m, x in batch["inputs"].items()})
print("real frames per voice:", batch["padding_mask"]["voice"].sum(axis=1))
print(batch["modality_mask"])

# %% [markdown]
# Note the difference: `padding_mask` is about *places in a sequence*, `modality_mask` about *whole modalities*. The package's
# `batches` is the same thing, fast. From here on you use it.


# %%
def flat(batch):
    """A batch's arrays by name, nested ones as "padding_mask/words"."""
    parts = ("inputs", "padding_mask", "modality_mask")
    arrays = {f"{part}/{m}": np.asarray(value) for part in parts for m, value in batch[part].items()}
    return {**arrays, "target": np.asarray(batch["target"])}


def equal(a, b):
    a, b = flat(a), flat(b)
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


assert equal(batch, next(gaps.batches(4)))
print("collate written by hand and Dataset.batches: equal")

# %% [markdown]
# ### What padding costs
# Spoken captions of `scenes` differ more in length. **Predict:** of a batch of 16 padded clips, how much is padding?

# %%
captions = load("scenes", "test", n=320)
frames = captions.features().columns["speech"].lengths
by_chance = np.sort(frames[:16])[::-1]
fig, ax = plot.plt.subplots(figsize=(7, 3))
ax.barh(range(16), by_chance, color=plot.BLUE)
ax.barh(range(16), by_chance.max() - by_chance, left=by_chance, color="#DCE6EE")
ax.text(8, 0, "real", color="white", va="center", fontsize=9)
ax.text(by_chance.max() - 8, 15, "padding", ha="right", va="center", fontsize=9)
ax.set(xlabel="log-mel frames", ylabel="clip of the batch", yticks=[])
fig.suptitle("How much of a padded batch is real?", x=0.01, ha="left", fontsize=12, fontweight="bold")
plot.show(fig, alt="Sixteen bars of different length, padded to the longest; a large part of the rectangle is padding.")


# %%
shuffled = np.random.default_rng(0).permutation(frames)
for name, order in {"shuffled": shuffled, "like lengths together": np.sort(shuffled)}.items():
    batches = order.reshape(-1, 16)
    print(f"{name}: {1 - batches.sum() / (16 * batches.max(axis=1).sum()):.2f} of what is computed is padding")

# %% [markdown]
# Putting clips of like length together (*bucketing*) saves nearly all of it. The price: batches are no longer drawn by
# chance, so shuffle the order of the *batches*, and look twice if length tells the label.
#
# ## 3 · The formula
# ### The masked mean
# With features $h_t$ and mask $m_t \in \{0, 1\}$:
#
# $$\bar h = \frac{\sum_t m_t\, h_t}{\sum_t m_t}$$
#
# If the mask is empty (a missing modality) this is 0/0: use $\max(1, \sum_t m_t)$ below, and let `modality_mask` tell.

# %%
voice, m = batch["inputs"]["voice"], batch["padding_mask"]["voice"][..., None]  # (4, t, 40), (4, t, 1)
mean = (m * voice).sum(axis=1) / np.maximum(1, m.sum(axis=1))  # (4, 40)
assert np.allclose(mean[0], four[0]["voice"].mean(axis=0), atol=1e-5) and not mean[1].any()
print("padded or alone, the same mean; the missing voice gives zeros")

# %% [markdown]
# ### Which sound belongs to which picture?
# A video is a stack of pictures. This one, from `scenes`, arrives as an animated file; frames come out as (t, h, w, c).

# %%
from mmcourse.preprocess import audio, video

film = load("scenes", "test", task="video", n=20)[14]
data = video.to_gif(film["video"], seconds=0.1)
pictures, seconds = video.read(data)  # (12, 64, 64, 3) and how long each stays
print(film["words"], pictures.shape, f"{1 / seconds[0]:.0f} pictures a second")

# %% [markdown]
# When the disc shows up, somebody makes it pop: 1.2 s of sound at 16 kHz, the pop at 0.5 s.

# %%
rate, fps, hop_length = 16_000, 10, 256
t = np.arange(int(1.2 * rate)) / rate
since = np.maximum(t - 0.5, 0)  # seconds since the pop began
pop = 55 * since * np.exp(-25 * since) * np.sin(2 * np.pi * 440 * t)
sound = (pop + 0.002 * np.random.default_rng(0).normal(size=len(t))).astype(np.float32)
plot.audio(sound, rate, label="A pop in the middle of the film")

# %% [markdown]
# 12 pictures at 10 a second, 76 frames of sound at 62.5 a second, both counted from 0. They share the same 1.2 s, so go by
# *time*. Frame $i$ of sound is centered at $i \cdot \text{hop} / f_s$ seconds; picture $j$ stays from $j/r$ to $(j+1)/r$ (hop: samples from frame to frame; $f_s$: samples a second; $r$: pictures a second). Hence
#
# $$j(i) = \left\lfloor \frac{i \cdot \text{hop} \cdot r}{f_s} \right\rfloor$$

# %%
mel = audio.log_mel(sound, rate, hop_length=hop_length)  # (76, 40), one frame every 16 ms
picture_of = np.arange(len(mel)) * hop_length * fps // rate  # whole numbers: no rounding can creep in
picture_of = np.minimum(picture_of, len(pictures) - 1)  # the last frame is centered at the very end
print(len(mel), "frames of sound; to each picture belong", np.bincount(picture_of))

# %% [markdown]
# Seven, six, six, six, seven: 6.25 on average, so no fixed block fits. Check it on the pop: the picture in which most
# is *new* should be the one that the loudest frame falls into.

# %%
change = video.motion(pictures)  # (11,) from each picture to the next
loudest = mel.max(axis=1).argmax()
print("the disc is new in picture", change.argmax() + 1, " the loudest frame belongs to picture", picture_of[loudest])
assert change.argmax() + 1 == picture_of[loudest] == 5

# %%
fig, (top, middle, low) = plot.plt.subplots(3, 1, figsize=(7.2, 4), sharex=True, height_ratios=(1.1, 1, 1.4))
for j, picture in enumerate(pictures):
    top.imshow(picture, extent=(j / fps, (j + 1) / fps, 0, 1), aspect="auto")
top.set(ylim=(0, 1), yticks=[], ylabel="pictures")
middle.step(np.arange(1, 12) / fps, change, where="post", color=plot.ORANGE)
middle.set(ylabel="change")
low.imshow(mel.T, origin="lower", aspect="auto", extent=(-0.008, 1.208, 0, 40), cmap="cividis")
low.vlines(np.arange(13) / fps, 0, 40, color="white", linewidth=0.8)
low.set(xlabel="time in seconds", ylabel="mel band", xlim=(0, 1.2))
for ax in (top, middle, low):
    ax.grid(False)
fig.suptitle("Which sound belongs to which picture?", x=0.01, ha="left", fontsize=12, fontweight="bold")
plot.show(
    fig,
    alt="Twelve pictures on a time axis; a yellow disc appears in the sixth, at 0.5 s, where the change of the "
    "picture peaks and the log-mel spectrogram below lights up.",
)

# %% [markdown]
# (A frame's window of 32 ms reaches 16 ms to each side of its center, so a frame at a border hears both pictures.)
#
# Average the sound over each picture and the two run in step. What if you had used blocks of six, since 62.5 / 10 is
# "about six"? **Predict** the error after one minute.

# %%
in_step = np.stack([mel[picture_of == j].mean(axis=0) for j in range(len(pictures))])
late = (60 * 62.5 - 60 * fps * 6) * hop_length / rate
print("sound in step with pictures", in_step.shape, f"  blocks of six are off by {late:.1f} s after a minute")
print(f"one minute of 640 × 480 pixels at 25 a second: {60 * 25 * 480 * 640 * 3 / 1e9:.2f} GB")
print("so models see a few pictures, the middles of equal pieces; 4 of 12:", video.sample_indices(12, 4))

# %% [markdown]
# ### Agreement beyond chance
# Labels come from people. Two of them mark 20 messages as sarcastic or not. They agree on 18 of 20. Good?

# %%
ann = np.array([1, 1] + [0] * 18)
bob = np.array([1, 0, 1] + [0] * 17)
table = np.array([[np.sum((ann == a) & (bob == b)) for b in (0, 1)] for a in (0, 1)])
print(table)  # rows Ann, columns Bob
print("share of equal answers", (ann == bob).mean())

# %% [markdown]
# Someone who never reads and always says "no" agrees with Ann on 18 of 20 as well. Cohen's $\kappa$ takes off what
# chance gives: $p_o$ is the share of equal answers, $p_e$ the share expected if each kept their own habits but
# answered blindly.
#
# $$\kappa = \frac{p_o - p_e}{1 - p_e} \qquad p_e = \sum_k p_k^\text{Ann}\, p_k^\text{Bob}$$


# %%
def cohen(a, b):
    p_e = sum((a == k).mean() * (b == k).mean() for k in np.union1d(a, b))
    return ((a == b).mean() - p_e) / (1 - p_e)


print(f"Ann and Bob {cohen(ann, bob):.2f}, Ann and the one who always says no {cohen(ann, np.zeros(20, int)):.2f}")

# %% [markdown]
# 90 % agreement both times, but $\kappa$ is 0.44 in the first case and 0 in the second. For several annotators, **Fleiss'** $\kappa$
# counts pairs: with $n_{ik}$ of $n$ annotators choosing class $k$ for sample $i$,
#
# $$p_o = \frac1N \sum_i \frac{\sum_k n_{ik}(n_{ik}-1)}{n(n-1)} \qquad p_e = \sum_k \Big(\frac{1}{Nn}\sum_i n_{ik}\Big)^2$$


# %%
from sklearn.metrics import cohen_kappa_score

from mmcourse.evaluate import cohen_kappa, fleiss_kappa


def fleiss(counts):  # (N, classes): how many chose each class
    n = counts.sum(axis=1)[0]
    p_o = ((counts * (counts - 1)).sum(axis=1) / (n * (n - 1))).mean()
    p_e = ((counts.sum(axis=0) / counts.sum()) ** 2).sum()
    return (p_o - p_e) / (1 - p_e)


g = np.random.default_rng(1)
votes = g.integers(0, 3, (30, 4))  # 30 samples, 4 annotators
counts = np.stack([(votes == k).sum(axis=1) for k in range(3)], axis=1)
a, b = votes[:, 0], votes[:, 1]
assert np.allclose([cohen(a, b), cohen_kappa(a, b)], cohen_kappa_score(a, b))
assert np.isclose(fleiss(counts), fleiss_kappa(counts))
print("by hand, in mmcourse.evaluate and in scikit-learn: equal")

# %% [markdown]
# ## 4 · The same in PyTorch and Keras
# PyTorch's `DataLoader` calls a function that you give it, `collate_fn`, on a list of samples. Without one it tries to stack.

# %% tags=["raises-exception"]
from torch.utils.data import DataLoader

next(iter(DataLoader(four, batch_size=4)))

# %%
import tensorflow as tf
import torch

torch_batch = next(iter(DataLoader(four, batch_size=4, collate_fn=collate)))
assert equal(torch_batch, collate(four))
print("DataLoader with your collate_fn: equal to the batch by hand")

# %% [markdown]
# Keras models eat `tf.data`. Its `padded_batch` pads with zeros by itself, but tells nobody what is real: send the lengths
# along and make the mask from them.

# %%
kinds = {"words": tf.TensorSpec((None,), tf.int64), "length": tf.TensorSpec((), tf.int64)}
rows = ({"words": s["words"], "length": len(s["words"])} for s in four)
tf_batch = next(iter(tf.data.Dataset.from_generator(lambda: rows, output_signature=kinds).padded_batch(4)))
tf_mask = tf.sequence_mask(tf_batch["length"])
assert np.array_equal(tf_batch["words"], words) and np.array_equal(tf_mask, mask)
print("padded_batch and sequence_mask: equal to the batch by hand")

# %% [markdown]
# The package has all of it: one data set, three views, the same samples in the same order. (PyTorch's pictures have
# the colors first; turn them back before comparing. TensorFlow's batches are pairs, since Keras wants the target apart.)

# %%
some = mood.subset(range(500)).with_missing(rate=0.2, seed=0)
views = zip(some.batches(64, seed=3), some.torch_loader(64, seed=3), some.tf_dataset(64, seed=3), strict=True)
for ours, from_torch, (x, target) in views:
    from_torch["inputs"]["face"] = from_torch["inputs"]["face"].permute(0, 2, 3, 1)  # (b, c, h, w) → (b, h, w, c)
    assert equal(ours, from_torch) and equal(ours, {**x, "target": target})
print("8 batches, 3 views, all equal")

# %% [markdown]
# One habit of `tf.data` to know: `shuffle(buffer_size)` draws from a window, not from everything. **Predict:** 6,000 samples sorted
# by label, a buffer of 100. Which labels are in the first batch of 64?

# %%
ordered = tf.data.Dataset.range(6000).shuffle(100, seed=0).batch(64)
first = np.asarray(next(iter(ordered)))
assert first.max() < 100 + 64
print("every sample of the first batch is among the first", 100 + 64, "of 6,000")

# %% [markdown]
# All of one class, then. PyTorch permutes everything; with `tf.data`, shuffle the *indices* first (what the package does) or
# take a buffer as large as the data.
#
# ## 5 · At work
# Back to the six voices. Features: eight averages over time of the 32 log-mel bands. Model, used here as a black box: a support vector machine
# (scikit-learn's). The one thing that changes is who is in the test set.


# %%
def features(waves):
    """(n, 256): eight averages over time for each of 32 mel bands."""
    parts = (np.array_split(mel, 8) for mel in avdigits_voices.log_mels(waves))
    return np.stack([np.concatenate([p.mean(axis=0) for p in eight]) for eight in parts])


recorded = [room(wave, p, i) for i, (wave, p) in enumerate(zip(clips.waves, person, strict=True))]
x, y = features(recorded), clips.digit
x.shape

# %% [markdown]
# Cross-validation: every recording is in the test set once. Fold by `take` and each voice is on both sides; fold by
# `speaker` and none is.

# %%
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC


def cross_validate(x, y, groups):
    """Accuracy over folds, each of which holds out one group."""
    right = np.zeros(len(y), bool)
    for group in np.unique(groups):
        test = groups == group
        model = make_pipeline(StandardScaler(), SVC(C=10)).fit(x[~test], y[~test])
        right[test] = model.predict(x[test]) == y[test]
    return right.mean()


# %% tags=["target"]
def both_ways(x, y=y, sets=groups):
    """Accuracy by clip and by speaker, averaged over sets of voices."""
    rows = [np.isin(clips.speaker, who) for who in sets]
    by_clip = [cross_validate(x[r], y[r], clips.take[r]) for r in rows]
    by_speaker = [cross_validate(x[r], y[r], clips.speaker[r]) for r in rows]
    return np.mean(by_clip), np.mean(by_speaker)


by_clip, by_speaker = both_ways(x)
expect_within("accuracy by clip", by_clip, 0.985, 0.015)
expect_within("accuracy by speaker", by_speaker, 0.67, 0.07)
fig = plot.bar_with_ceiling(
    ["new takes of the same voices", "new voices"],
    [by_clip, by_speaker],
    [None, None],
    title="How good is the same model on the same recordings?",
    chance=0.1,
)
plot.show(fig, alt="Two bars: above 0.98 on new takes of the same voices, about 0.7 on new voices; chance is 0.1.")

# %% [markdown]
# Were those six groups bad luck? Draw the groups anew, three times.

# %%
again = [np.random.default_rng(seed).permutation(np.unique(clips.speaker)).reshape(6, 6) for seed in (1, 2, 3)]
others = np.array([both_ways(x, sets=sets) for sets in again])  # (3, 2)
assert others[:, 0].min() > 0.96 and others[:, 1].max() < 0.8
print("other groups: by clip always above 0.96, by speaker always below 0.8")

# %% [markdown]
# Neither number is *wrong*. They answer different questions. If the product will hear the same six voices, the first. If
# it will hear others, only the second, and the first is a **leak**: the test set shares with training something
# that the world will not share.
#
# What is shared? For each recording, find the nearest of all others and ask *who* that is.

# %%
shared = []
for rows in [np.isin(clips.speaker, who) for who in groups]:
    nearest = NearestNeighbors(n_neighbors=1).fit(x[rows]).kneighbors(return_distance=False)[:, 0]  # never itself
    shared.append((person[rows][nearest] == person[rows]).mean())
expect_within("share of nearest neighbors by the same voice", np.mean(shared), 0.97, 0.03)

# %% [markdown]
# One in six by chance, nearly all in truth. In these features *voice and room* come first and the digit second; a new take
# of a known voice is an easy match.
#
# ### Three annotators, one message each
# Now labels. Three people annotate `mood`. One reads only the words, one hears only the voice, one sees only the face, and
# each gives the best bet (lesson [start_here](start_here.ipynb)). Nobody is careless.

# %%
test = load("mood", "test")


def best_bets(cue):
    """What this annotator answers: the commonest label among training messages with the same cue."""
    bet = {c: np.bincount(mood.labels[mood.meta[cue] == c]).argmax() for c in np.unique(mood.meta[cue])}
    return np.array([bet[c] for c in test.meta[cue]])


annotators = {m: best_bets(f"{m}_cue") for m in test.modalities} | {"truth": test.labels}
kappas = np.array([[cohen_kappa(a, b) for b in annotators.values()] for a in annotators.values()])
fig = plot.matrix(kappas, "Who agrees with whom, beyond chance?", list(annotators), list(annotators), limits=(0, 1))
plot.show(
    fig,
    alt="Kappas between annotators of face, voice and words and the truth: low among the three, about a half to the truth.",
)

# %%
chosen = np.stack(list(annotators.values())[:3])  # (3, 1500)
counts = np.stack([(chosen == k).sum(axis=0) for k in range(3)], axis=1)
print(f"Fleiss' kappa of the three: {fleiss_kappa(counts):.2f}")
majority = counts.argmax(axis=1)
print(f"a model that is always right, scored against their majority vote: {(test.labels == majority).mean():.2f}")

# %% [markdown]
# Low agreement need not mean bad annotators; here each sees another part. Before you blame annotators, ask what they
# were shown. And mind the last line: scored against such labels a *perfect* model looks mediocre. Noisy labels are a
# ceiling.
#
# ## 6 · Take it apart
# ### Where does the gap come from?
# Take the rooms away, piece by piece. **Predict:** which opens the gap, the voices, the microphones or the noise?

# %%
ladder = {}
for name, parts in {
    "voices only": {"microphone": False, "noise": False},
    "voices + microphone": {"microphone": True, "noise": False},
    "voices + noise": {"microphone": False, "noise": True},
}.items():
    waves = [room(w, p, i, **parts) for i, (w, p) in enumerate(zip(clips.waves, person, strict=True))]
    ladder[name] = both_ways(features(waves))
ladder["voices + both"] = by_clip, by_speaker
values = np.array(list(ladder.values()))
fig = plot.matrix(values, "What opens the gap?", list(ladder), ["by clip", "by speaker"], form=".2f", limits=(0.5, 1))
plot.show(
    fig,
    alt="By clip near 1 in all rows; by speaker above 0.9 for voices only, far less with noise, least with the whole room.",
)
expect_within("gap with voices only", values[0, 0] - values[0, 1], 0.08, 0.04)
expect_within("gap with microphone and noise", values[3, 0] - values[3, 1], 0.31, 0.07)

# %% [markdown]
# Voices alone (all of one synthesizer; people may differ more) cost the least. The noise of the room, which nobody
# wrote down, costs most. Hospitals and their scanners, drivers and their cars can do the same to you: **split by whatever
# the world will change**.
#
# ### Do more voices help?
# **Predict:** record two, three, six or twelve voices. What happens on new takes, and what on new voices?

# %%
everyone = groups.reshape(-1)
few = [2, 3, 6, 12]
tests = [np.array_split(everyone, 36 // n) for n in few]
by_number = np.array([both_ways(x, sets=sets) for sets in tests]).T  # (2, 4)
assert by_number[1, -1] > by_number[1, 0] + 0.2
fig = plot.curves(
    {"new takes": by_number[0], "new voices": by_number[1]},
    title="Does it help to know more voices?",
    x=few,
    xlabel="voices recorded",
    ylabel="accuracy",
)
plot.show(
    fig,
    alt="Accuracy on new takes is flat near 1; on new voices it rises from chance with two voices to about 0.8 with twelve.",
)

# %% [markdown]
# More voices help with new voices; for known ones there was nothing left to win. (With two voices the model learns from one
# and meets the other: chance.)

# %% [markdown]
# ### Zero is not missing
# Two models judge `avdigits`, one by image, one by voice; their probabilities are multiplied, so both must agree (lesson [fusion](fusion.ipynb) says when that is right). Now some
# images and voices are missing. A missing image arrives as zeros. **Predict:** what does the image model say of zeros?

# %%
from sklearn.linear_model import LogisticRegression


def small(ds):
    """Image (n, 49) and voice (n, 256, averages over what is real) of each sample."""
    f = ds.features()
    heard = f.columns["voice"]
    means = [
        np.concatenate([p.mean(axis=0) for p in np.array_split(v[:n], 8)])
        for v, n in zip(heard.store, heard.lengths, strict=True)
    ]
    return f["image"][:, ::4, ::4, 0].reshape(len(ds), -1), np.stack(means)[heard.index]


digits = {split: load("avdigits", split) for split in ("train", "test")}
models = [LogisticRegression(max_iter=200).fit(v[:2000], digits["train"].labels[:2000]) for v in small(digits["train"])]
of_nothing = models[0].predict_proba(np.zeros((1, 49)))[0]
assert of_nothing.max() > 0.7
print(f"an image of zeros is a {of_nothing.argmax()}, says the model, and it is more than 70 % sure")

# %% [markdown]
# Black is a picture like any other, and a model must say something. So read `modality_mask`, and leave out what is not there:
#
# $$\log p(y \mid x) = \sum_m \text{mask}_m \log p_m(y \mid x_m) + c$$
#
# ($c$ makes the probabilities sum to 1. How common each digit is, the *prior*, would count too, but all ten are about equal.)

# %%
inputs = small(digits["test"])
rates = [0, 0.25, 0.5, 0.75]
lines = {"zeros as data": [], "mask is read": []}
for rate in rates:
    mask = digits["test"].with_missing(rate=rate, seed=0).modality_mask
    there = [mask["image"], mask["voice"]]  # (1000,) each
    logs = [m.predict_log_proba(v * p[:, None]) for m, v, p in zip(models, inputs, there, strict=True)]
    masked = [log * p[:, None] for log, p in zip(logs, there, strict=True)]
    for name, parts in zip(lines, (logs, masked), strict=True):
        lines[name].append((sum(parts).argmax(axis=1) == digits["test"].labels).mean())
expect_within(
    "gain by reading the mask at a rate of 0.5", lines["mask is read"][2] - lines["zeros as data"][2], 0.10, 0.04
)

# %% tags=["free"]
fig = plot.curves(
    lines,
    title="What does taking zeros for data cost?",
    x=rates,
    xlabel="chance of missing (one always stays)",
    ylabel="accuracy",
)
plot.show(
    fig,
    alt="Two falling curves from one start: with zeros taken as data accuracy falls far, with the mask read much less.",
)

# %% [markdown]
# ### Where does the time go?
# A model that waits for data learns nothing, and the slow stage is seldom where you guess. Measure each: 500 samples of
# `mood`, made anew each time, as a naive pipeline would.

# %% tags=["free"]
from time import perf_counter

from mmcourse.datasets.mood import words as mood_words


def microseconds(function, items):
    start = perf_counter()
    for item in items:
        function(item)
    return 1e6 * (perf_counter() - start) / len(items)


def bars(values, title, xlabel, **axis):
    fig, ax = plot.plt.subplots(figsize=(7, 2.7))
    ax.bar_label(ax.barh(list(values), list(values.values())), [f"{v:,.0f}" for v in values.values()], padding=4)
    ax.set(xlabel=xlabel, **axis)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    fig.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    plot.show(fig, alt=f"{title} " + ", ".join(f"{name} {v:,.0f}" for name, v in values.items()) + f" {xlabel}.")


# %% tags=["free"]
raw, ready = [mood[i] for i in range(500)], [sample(mood, i) for i in range(64)]
stages = {
    "face to floats": microseconds(lambda s: s["face"].astype(np.float32) / 255, raw),
    "words to ids": microseconds(lambda s: mood_words.encode(s["words"]), raw),
    "voice to log-mel": microseconds(lambda s: audio.log_mel(s["voice"], 16_000), raw),
    "collate": microseconds(collate, [ready] * 10) / 64,
}
bars(stages, "Which stage is the bottleneck?", "microseconds a sample", xlim=(0, 1.2 * max(stages.values())))

# %% [markdown]
# If a stage takes the share $s$ of the time and you make it $k$ times faster, all becomes faster by (Amdahl 1967)
#
# $$\frac{1}{(1-s) + s/k}$$
#
# Only the largest $s$ is worth your evening. And here is how to save it: count how many *different* clips there are.

# %%
different = len(np.unique(mood.column("voice").index))
print(f"{len(mood):,} samples but {different} different clips: {len(mood) / different:.0f} uses each in an epoch")

# %% [markdown]
# So the package computes each once and gathers. Below: samples a second from raw data, from each of the three views, and what a
# training step of lesson [start_here](start_here.ipynb)'s model can eat. Whoever is slower sets the pace.

# %% tags=["free"]
from mmcourse.torch import encoders as T
from mmcourse.torch.fusion import Concatenate

towers = {"face": T.ImageEncoder(width=32), "voice": T.AudioEncoder(bands=40, width=32)}
towers["words"] = T.TextEncoder(vocabulary=len(mood.vocabulary), width=32)
model = T.MultimodalClassifier(towers, Concatenate([32] * 3, 128), classes=3)


def step(batch):
    torch.nn.functional.cross_entropy(model(batch), batch["target"]).backward()


part = mood.subset(range(1920))
views = {"batches": part.batches, "torch_loader": part.torch_loader, "tf_dataset": part.tf_dataset}
speed = {"raw data, no store": 1e6 / sum(stages.values())}
speed |= {name: 1e6 / microseconds(list, [view(64)]) * len(part) for name, view in views.items()}
assert speed["raw data, no store"] < min(speed[name] for name in views)
speed["the model's training step"] = 64e6 / microseconds(step, list(part.torch_loader(64))[:10])
limits = (0.2 * min(speed.values()), 6 * max(speed.values()))
bars(speed, "Who waits for whom?", "samples a second, on a logarithmic scale", xscale="log", xlim=limits)


# %% [markdown]
# Keep what is the same each time; compute anew only what must change (augmentation). Several worker processes
# (`num_workers`, `prefetch`) come after that: they hide work and do not remove it.
#
# ## 7 · At full size
# The same two splits on the Free Spoken Digit Dataset: real people, real rooms, 3,000 recordings (`mmcourse data fetch`, 16
# MB). Nothing is simulated here.

# %% tags=["free"]
from mmcourse.datasets.public import FSDD

if not FSDD.present():
    print("not run: FSDD is not fetched. When it was: by clip 0.975; by speaker 0.665, from 0.55 to 0.80 a person")
else:
    real = avdigits_voices.read_clips("real")
    x_real = features(real.waves)
    by_take, by_person = (cross_validate(x_real, real.digit, g) for g in (real.take // 10, real.speaker))
    print(f"real people: by clip {by_take:.3f}, by speaker {by_person:.3f}")

# %% [markdown]
# Real people show the same gap, about 0.31. With six of them each number by speaker hangs on who they are: the
# best and the worst lie 25 points apart. For a surer number, then, look for more people before more takes.
#
# ## 8 · What to remember
# - A sample is a dict by modality; a batch adds `padding_mask` (places) and `modality_mask` (modalities). Somebody must read them.
# - Align by time, in whole numbers: $j(i) = \lfloor i \cdot \text{hop} \cdot r / f_s \rfloor$.
# - Equal answers are not agreement: subtract chance, with $\kappa$. Noisy labels are a ceiling.
# - Split by what the world will change: person, room, hospital. A good score by clip may be a leak.
# - Measure each stage before you speed one up; compute once what is always the same.

# %% [markdown]
# ## 9 · Check yourself
# **1.** Audio frames every 10 ms, video at 25 a second. Which picture does audio frame 130 belong to?
# <details><summary>Answer</summary>
#
# It is centered at 1.3 s; 1.3 · 25 = 32.5, so picture 32.
# </details>
#
# **2.** Two annotators agree on 95 % of samples, and both say "no" for 95 % of them. What is $\kappa$?
# <details><summary>Answer</summary>
#
# $p_e = 0.95^2 + 0.05^2 = 0.905$, so $\kappa = 0.045 / 0.095 = 0.47$: they won about half of what chance had left.
# </details>
#
# **3.** A film data set is split at random by *frame*. Why is the test score too good?
# <details><summary>Answer</summary>
#
# Neighboring frames are nearly equal, and one of them is in training. Split by film.
# </details>
#
# **4.** Log-mels take 90 % of the time. How much faster is the whole if they cost nothing?
# <details><summary>Answer</summary>
#
# $1 / (1 - 0.9) = 10$ times, and never more, whatever else you do to them.
# </details>

# %%
assert 130 * 25 // 100 == 32 and round((0.95 - 0.905) / (1 - 0.905), 2) == 0.47 and round(1 / (1 - 0.9)) == 10
assert round(0.95**2 + 0.05**2, 3) == 0.905

# %% [markdown]
# ## 10 · Exercises
# [Four tasks](exercises/multimodal_data.ipynb), about 35 minutes: pad by hand, put sound and pictures in step, kappa from a table, and a split
# that does not leak.

# %% [markdown]
# ## Sources
# - J. Cohen, *A Coefficient of Agreement for Nominal Scales*, 1960. J. L. Fleiss, *Measuring Nominal Scale Agreement Among Many Raters*, 1971.
# - S. Kapoor, A. Narayanan, *Leakage and the Reproducibility Crisis in ML-based Science*, 2022, arXiv 2207.07048: leaks found in 17 fields.
# - L. Wang and others, *Temporal Segment Networks*, 2016, arXiv 1608.00859: a few frames from equal pieces of a video.
# - G. M. Amdahl, *Validity of the Single Processor Approach*, 1967. Z. Jackson and others, *Free Spoken Digit Dataset*, v1.0.10.
