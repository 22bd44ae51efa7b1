# %% [markdown]
# # Evaluation
# *You learn which numbers may be believed.*
#
# {{budget}}
#
# **You will be able to**
# - compute precision, recall, F1, calibration error and their uncertainty, and say what each is for;
# - split and cross-validate so that the number answers the question that you have;
# - decide whether B beats A, from predictions on one test set;
# - cure over-fitting one remedy at a time, and read a learning curve.
#
# **Before this:** [Multimodal data](multimodal_data.ipynb) for splits, [Fusion](fusion.ipynb) for the ceilings of `mood`.
#
# **Time to read:** 50 minutes, then 30 for the [exercises](exercises/evaluate.ipynb).

# %%
import numpy as np

from mmcourse import evaluate, plot
from mmcourse.datasets import lesson_dir, load, results
from mmcourse.evaluate import expect_within

# %% [markdown]
# ## 1 · The question
# Two models read the same messages and have the same accuracy. One of them finds every complaint, the other none. **Predict:** which
# number, other than accuracy, would tell them apart? And how many messages do you need before any such number can be believed?
#
# ## 2 · The idea by hand
# ### Accuracy hides who pays
# Twelve messages: three negative (0), eight neutral (1), one positive (2). Model A says "neutral" every time. Model B tries.

# %%
truth = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2])
a = np.ones(12, int)
b = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
print(f"accuracy: A {(a == truth).mean():.3f}, B {(b == truth).mean():.3f}")

# %% [markdown]
# Equal. Yet B finds every complaint and A none. Count what was taken for what: rows are the truth, columns the prediction.


# %%
def confusion(labels, predictions, classes):
    table = np.zeros((classes, classes), int)
    np.add.at(table, (labels, predictions), 1)
    return table


table = confusion(truth, b, 3)
fig = plot.confusion(table, ["negative", "neutral", "positive"], title="What does B take for what?")
plot.show(fig, alt="B finds all 3 negatives, 5 of 8 neutrals, and calls the positive one neutral.")

# %% [markdown]
# Two questions about "negative". Of what B *calls* negative, how much is? That is **precision**: down the column. Of what *is*
# negative, how much does B find? That is **recall**: along the row.

# %%
print("precision of negative:", table[0, 0] / table[:, 0].sum())
print("recall of negative:   ", table[0, 0] / table[0].sum())

# %% [markdown]
# ### Sure is not right
# Ten predictions, each made with 90 % confidence; six are right. Accuracy 0.6, promised 0.9: a gap of 0.3. A model whose
# promises are kept is **calibrated**. You need that whenever somebody acts on the probability.
#
# ### A test set is a sample
# A model that is right with probability 0.75 takes many tests. What do tests of 100 messages say, and tests of 1,500?

# %%
tests = {n: np.random.default_rng(0).binomial(n, 0.75, 10_000) / n for n in (100, 1500)}
for n, scores in tests.items():
    low, high = np.quantile(scores, [0.025, 0.975])
    print(f"{n:5} messages: 95 of 100 tests say between {low:.2f} and {high:.2f}")
    assert abs((high - low) / 2 - 1.96 * np.sqrt(0.75 * 0.25 / n)) < 0.01

# %% [markdown]
# With 100 messages a true 0.75 may show as anything from 0.66 to 0.83. Laid around a measured score, such a range is its **confidence interval**; the half-width is about
# $1.96\sqrt{p(1-p)/n}$ for accuracy $p$ on $n$ samples. Four times the data, half the width.
#
# ## 3 · The formula
# ### Precision, recall, F1
# For class $k$, with $\text{TP}$ hits, $\text{FP}$ false alarms and $\text{FN}$ misses:
#
# $$P = \frac{\text{TP}}{\text{TP}+\text{FP}} \qquad R = \frac{\text{TP}}{\text{TP}+\text{FN}} \qquad F_1 = \frac{2PR}{P+R} = \frac{2\,\text{TP}}{2\,\text{TP}+\text{FP}+\text{FN}}$$
#
# If a class is never predicted, $P$ is 0/0. We say 0, and say that we do.


# %%
def scores(table):
    hits, called, true = table.diagonal(), table.sum(axis=0), table.sum(axis=1)
    return hits / np.maximum(called, 1), hits / np.maximum(true, 1), 2 * hits / np.maximum(called + true, 1)


for name, guess in {"A": a, "B": b}.items():
    print(name, "F1 of negative, neutral, positive:", scores(confusion(truth, guess, 3))[2].round(2))

# %% [markdown]
# One number out of three: the **macro** average counts each class alike, the **weighted** one by how common it is, the **micro**
# one pools all counts, which gives accuracy again. A and B differ most in macro F1: choose it when rare classes matter.

# %%
from sklearn import metrics

for name, guess in {"A": a, "B": b}.items():
    precision, recall, f1 = scores(confusion(truth, guess, 3))
    kinds = {k: metrics.f1_score(truth, guess, average=k, zero_division=0) for k in ("macro", "weighted", "micro")}
    assert np.isclose(f1.mean(), kinds["macro"]) and np.isclose((guess == truth).mean(), kinds["micro"])
    assert np.allclose(evaluate.precision_recall_f1(truth, guess), (precision, recall, f1))
    print(name, {k: round(v, 2) for k, v in kinds.items()})

# %% [markdown]
# ### Scores of probabilities
# With $p_{ik}$ the probability of class $k$ for sample $i$ and $y_i$ the truth:
#
# $$\text{log loss} = -\frac1n\sum_i \log p_{i y_i} \qquad \text{Brier} = \frac1n\sum_i\sum_k \big(p_{ik} - [y_i = k]\big)^2$$
#
# $[y_i = k]$ is 1 where it holds, else 0. Both are smallest when you say what you truly believe (Brier 1950). For calibration alone, sort
# samples into bins $B$ (of $|B|$ samples each) by their confidence, the largest probability; the **expected calibration error** is
#
# $$\text{ECE} = \sum_B \frac{|B|}{n}\,\big|\,\text{accuracy}(B) - \text{confidence}(B)\,\big|$$


# %%
def ece(labels, p, bins=10):
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    bin_of = np.ceil(confidence * bins).astype(int)  # 0.81 to 0.90 is bin 9
    gaps = [abs(right[bin_of == k].sum() - confidence[bin_of == k].sum()) for k in range(1, bins + 1)]
    return sum(gaps) / len(labels)


ten = np.tile([0.9, 0.1], (10, 1))
print("the ten predictions:", round(ece(np.array([0] * 6 + [1] * 4), ten), 2))

# %% [markdown]
# The repair is one number. Divide the logits $z$ by a **temperature** $T$ before the softmax, $p = \text{softmax}(z / T)$, and choose
# the $T$ with the least log loss on *validation* data (Guo and others 2017). $T > 1$ means: less sure. The largest logit stays
# the largest, so no prediction changes.
#
# ### Does B beat A?
# Both took the same test, so look at the samples where exactly one is right: $n_A$ and $n_B$ of them. If neither were better, each of these
# would be a fair coin. How often do coins fall at least that unevenly? That is the $p$-value of McNemar's test (1947), in its exact form:
#
# $$p = \min\Big(1,\; 2\sum_{k=0}^{\min(n_A, n_B)} \binom{n_A+n_B}{k}\, 2^{-(n_A+n_B)}\Big)$$

# %%
from math import comb

from scipy.stats import binomtest


def coins(n_a, n_b):
    n = n_a + n_b
    return min(1, 2 * sum(comb(n, k) for k in range(min(n_a, n_b) + 1)) / 2**n)


assert np.isclose(coins(2, 8), binomtest(2, 10).pvalue)
print(f"2 against 8: p = {coins(2, 8):.3f}, 4 against 12: {coins(4, 12):.3f}, 20 against 80: {coins(20, 80):.0e}")

# %%
g = np.random.default_rng(0)
labels, p = g.integers(0, 3, 500), g.dirichlet(np.ones(3), 500)  # (500,), (500, 3)
assert np.isclose(evaluate.log_loss(labels, p), metrics.log_loss(labels, p))
assert np.isclose(evaluate.brier(labels, p), metrics.brier_score_loss(labels, p, scale_by_half=False))
assert np.isclose(evaluate.calibration_error(labels, p), ece(labels, p))
n_a, n_b, p_value = evaluate.mcnemar(labels, p, p[:, ::-1])  # B: A's probabilities, read backwards
assert np.isclose(p_value, coins(n_a, n_b))
print("by hand, in mmcourse.evaluate and in scikit-learn: equal")

# %% [markdown]
# To choose between settings, and then to report the chosen one, takes **three splits**. Training data fit the weights, *validation* data
# choose, and the *test* set is looked at once, when nothing is left to choose. [Tuning](tune.ipynb) measures what happens otherwise.
#
# ## 4 · The same with a library
# ### Cross-validation
# Few data? Let each sample be tested once: split into $k$ **folds**, train on all but one, test on that one, $k$ times. scikit-learn has
# the folds. The question is what a fold may share with the rest. Lesson [multimodal_data](multimodal_data.ipynb) had synthetic
# voices in rooms; here are all 36 of them.
# The model is lesson [multimodal_data](multimodal_data.ipynb)'s black box, a support vector machine (`SVC`).

# %%
from mmcourse.datasets.avdigits import voices as avdigits_voices

clips = avdigits_voices.read_clips("embedded")  # 36 voices, ten digits, four takes
person = np.searchsorted(np.unique(clips.speaker), clips.speaker)  # (1440,) a number for each voice


def in_their_room(wave, person, number):
    """The recording with this voice's echo and noise."""
    g = np.random.default_rng(person)
    echo, color, snr_db = g.normal(size=7) * 0.8 ** np.arange(1, 8), g.normal(size=16), g.uniform(0, 15)
    wave = np.convolve(wave, [1, *echo])[: len(wave)]
    hiss = np.convolve(np.random.default_rng([person, number]).normal(size=len(wave) + 15), color, "valid")
    wave = wave + hiss * np.sqrt((wave**2).mean() / (hiss**2).mean() / 10 ** (snr_db / 10))
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


waves = [in_their_room(w, who, i) for i, (w, who) in enumerate(zip(clips.waves, person, strict=True))]
plot.audio(waves[0], 8000, label=f"One of them says {clips.digit[0]}")

# %%
mels = avdigits_voices.log_mels(waves)
eighths = [[part.mean(axis=0) for part in np.array_split(mel, 8)] for mel in mels]  # averages over time
x, y = np.reshape(eighths, (len(mels), -1)), clips.digit  # (1440, 256), (1440,)
known = np.isin(person, np.random.default_rng(0).permutation(36)[:12])
print(known.sum(), "recordings of 12 voices to work with; 24 other voices wait")

# %% [markdown]
# `StratifiedKFold` keeps the share of each digit equal in all folds and nothing else. `StratifiedGroupKFold` also keeps each *voice* in one
# fold. The 24 other voices stay outside as an independent test set. **Predict:** which of the two numbers foretells theirs?

# %%
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

model = make_pipeline(StandardScaler(), SVC(C=10))


# %%
def three_numbers(known):
    """Accuracy: folds by clip, folds by voice, voices not heard in training."""
    data = x[known], y[known]
    by_clip = cross_val_score(model, *data, cv=StratifiedKFold(6, shuffle=True, random_state=0))
    by_voice = cross_val_score(model, *data, cv=StratifiedGroupKFold(6), groups=person[known])
    return by_clip.mean(), by_voice.mean(), model.fit(*data).score(x[~known], y[~known])


# %% tags=["target"]
twelves = [np.isin(person, np.random.default_rng(s).permutation(36)[:12]) for s in range(5)]
by_clip, by_voice, unheard = (numbers := np.array([three_numbers(k) for k in twelves])).mean(axis=0)
expect_within("cross-validation by clip", by_clip, 0.97, 0.02)
expect_within("cross-validation by voice", by_voice, 0.76, 0.05)
expect_within("accuracy on voices not heard", unheard, 0.76, 0.05)

# %%
names, spread = ["folds by clip", "folds by voice", "24 other voices"], numbers.std(axis=0)
title = "Which cross-validation tells the truth?"
fig = plot.bar_with_ceiling(names, numbers.mean(axis=0), [None] * 3, spread, title=title, chance=0.1)
plot.show(fig, alt="Folds by clip 0.97; folds by voice 0.76 and other voices 0.77, whiskers overlapping.")

# %% [markdown]
# Plain folds promise twenty points too many: every voice is on both sides. Grouped folds keep their word. (The whiskers are
# the spread over five drawings of the twelve.) Note where `StandardScaler` stands: *inside* the pipeline, so that it too
# learns from the training folds only.
#
# The interval has the same trap. 960 recordings are not 960 independent facts if they come from 24 voices. Resample *voices* (drawing anew
# from what was measured, with replacement, is the **bootstrap**):

# %%
right = model.fit(x[known], y[known]).predict(x[~known]) == y[~known]
of = [right[person[~known] == who].mean() for who in np.unique(person[~known])]  # 24 accuracies
g = np.random.default_rng(0)
for name, facts in {"recordings": right, "voices": of}.items():
    low, high = np.quantile(g.choice(facts, (2000, len(facts))).mean(axis=1), [0.025, 0.975])
    print(f"resampling {name}: {low:.2f} to {high:.2f}")

# %% [markdown]
# ## 5 · At work
# Now `mood`, with a network small enough to train in a second or two. Its input is plain statistics: a face of 16 × 16, mean and spread of
# each mel band, counts of words. The code lies in a file, because [Tuning](tune.ipynb) needs it too. Only the training loop is written
# out here: it *yields* the network after each epoch, so that whoever watches can stop.

# %%
import sys

import torch
from torch.nn.functional import cross_entropy

sys.path.insert(0, str(lesson_dir("tune")))
from tune_search import few, last, network, vectors

splits = ("train", "validation", "test")
sets = {s: load("mood", s) for s in splits}
inputs = dict(zip(splits, vectors(*sets.values()), strict=True))  # scaled by what training shows
data = {s: (torch.from_numpy(inputs[s]), torch.from_numpy(sets[s].labels)) for s in splits}
y_valid, y_test = sets["validation"].labels, sets["test"].labels
print({s: tuple(x.shape) for s, x in inputs.items()})


# %%
def train(x, y, learning_rate=3e-3, weight_decay=0.0, dropout=0.0, width=64, epochs=15, seed=0, augment=None):
    torch.manual_seed(seed)
    net = network(x.shape[1], width, dropout)  # 520 → 64 → 64 → 3
    optimizer = torch.optim.AdamW(net.parameters(), learning_rate, weight_decay=weight_decay)
    for _ in range(epochs):
        net.train()
        for rows in torch.randperm(len(x)).split(64):
            batch = x[rows] if augment is None else augment(x[rows])
            loss = cross_entropy(net(batch), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield net.eval()


# %% tags=["free"]
import tune_search

from mmcourse.evaluate import accuracy


@torch.no_grad()
def logits(net, split):
    return net(data[split][0]).numpy()


nets = [last(train(*data["train"], epochs=8, seed=seed)) for seed in range(5)]
small = few(*data["train"], n=600)  # drawn by chance
ours, theirs = (logits(last(f(*small, epochs=3)), "test") for f in (train, tune_search.train))
print("the file holds the same loop:", np.array_equal(ours, theirs))

# %% [markdown]
# ### Two kinds of luck
# Another seed gives another network; another test set gives another score. One recipe, five seeds, and the
# 95 % interval of each kind of luck:

# %% tags=["free"]
found = [accuracy(y_test, logits(net, "test")) for net in nets]
low, high = evaluate.bootstrap_interval(y_test, logits(nets[0], "test"), seed=0)
print(
    "five seeds:",
    np.round(found, 3),
    " mean and half-width: {:.3f} ± {:.3f}".format(*evaluate.mean_and_interval(found)),
)
print(f"seed 0 alone, another test set of 1,500: {low:.3f} to {high:.3f}")

# %% tags=["target"]
expect_within("mean accuracy of the small network", np.mean(found), 0.80, 0.025)

# %%
expect_within("half-width of the interval for 1,500 messages", (high - low) / 2, 0.020, 0.001)

# %% [markdown]
# Say which one your interval is about. The first is about the *recipe*; the second about *this network*. A gain of one point from
# one seed on 1,500 messages is inside both.
#
# ### Paired beats unpaired
# Average the probabilities of the five networks: an **ensemble**. Does it beat network 0?

# %% tags=["free"]
from scipy.special import softmax

together = np.mean([softmax(logits(net, "test"), axis=1) for net in nets], axis=0)  # (1500, 3)
first = logits(nets[0], "test")

# %% tags=["free"]
for name, answer in {"network 0": first, "ensemble": together}.items():
    low, high = evaluate.bootstrap_interval(y_test, answer, seed=0)
    print(f"{name}: {accuracy(y_test, answer):.3f}, interval {low:.3f} to {high:.3f}")
only_first, only_together, p_value = evaluate.mcnemar(y_test, first, together)
print(f"only network 0 right {only_first}, only the ensemble {only_together}: p = {p_value:.1g}")
print("gain {:.3f}, interval {:.3f} to {:.3f}".format(*evaluate.paired_bootstrap(y_test, first, together, seed=0)))

# %%
alone = [logits(net, "test") for net in nets]
gains = [accuracy(y_test, together) - accuracy(y_test, one) for one in alone]
expect_within("gain of the ensemble over one network, mean of five", np.mean(gains), 0.025, 0.015)
assert np.median([evaluate.mcnemar(y_test, one, together)[2] for one in alone]) < 0.05
print("McNemar: p < 0.05 against at least three of the five")

# %% [markdown]
# Each interval alone is four points wide, and here the two may overlap. But most messages are right for both or wrong for both, and that luck they
# *share*. Paired tests look only at the rest. Now the warning: network against network, one recipe, only the seed differs.

# %% tags=["free"]
values = np.array([[evaluate.mcnemar(y_test, one, other)[2] for other in alone] for one in alone])
seeds = [f"seed {seed}" for seed in range(5)]
fig = plot.matrix(values, "Do equal recipes pass for different?", seeds, seeds, form=".3f")
plot.show(fig, alt="p-values of ten pairs of networks that differ in their seed only: some lie below 0.05.")
print("pairs with p < 0.05:", int((values < 0.05).sum() / 2), "of 10")

# %% [markdown]
# McNemar compares two *networks*, and those may really differ. It says nothing on *recipes*: for that, train each recipe with several
# seeds and compare pairs (lesson [start_here](start_here.ipynb)).
#
# ### Calibration
# Train on `small`, 600 messages only, for 40 epochs. **Predict:** when that network says "98 % sure", how often is it right?

# %% tags=["free"]
sure = last(train(*small, epochs=40))
T = evaluate.fit_temperature(y_valid, logits(sure, "validation"))
before, after = softmax(logits(sure, "test"), axis=1), softmax(logits(sure, "test") / T, axis=1)
print(f"temperature {T:.1f}")
for name, p in {"before": before, "after": after}.items():
    print(
        f"{name}: accuracy {accuracy(y_test, p):.3f}, ECE {ece(y_test, p):.3f}, log loss {evaluate.log_loss(y_test, p):.2f}"
    )

# %% tags=["free"]
fig, axes = plot.plt.subplots(1, 2, figsize=(7.4, 3.6), sharey=True)
for ax, p, name in zip(axes, (before, after), ("as trained", f"temperature {T:.1f}"), strict=True):
    bins = np.array(evaluate.reliability(y_test, p))  # (3, 10)
    confidence, share_right, share = bins[:, bins[2] > 0.01]
    ax.plot([0.3, 1], [0.3, 1], ":", color=plot.GRAY)
    ax.plot(confidence, share_right, color=plot.BLUE)
    ax.scatter(confidence, share_right, 20 + 600 * share, color=plot.BLUE)
    ax.set(xlabel="confidence", xlim=(0.3, 1.04), ylim=(0.3, 1.04), title=name)
axes[0].set_ylabel("share right")
axes[0].text(0.76, 0.81, "promise kept", color="#555555", rotation=45, ha="center", va="center")
fig.suptitle("Is 0.9 right nine times in ten?", x=0.01, ha="left", fontsize=12, fontweight="bold")
plot.show(fig, alt="Left: confidence near 1, right 0.7 of the time. Right, after temperature: on the diagonal.")

# %%
assert (before.argmax(axis=1) == after.argmax(axis=1)).all()
expect_within("calibration error as trained", ece(y_test, before), 0.26, 0.05)
expect_within("calibration error after one number", ece(y_test, after), 0.03, 0.025)

# %% [markdown]
# (The larger the dot, the more predictions; bins with 15 or fewer are not drawn.) Nearly sure, it was right about seven times in ten. One number, fitted on
# validation data, made the promises nearly true, and not one answer changed.
#
# ## 6 · Take it apart
# ### Over-fitting, watched
# A network that learns its samples by heart **over-fits**. Back to 600 messages. After every epoch, measure the loss on what was learned from and on validation data. (Dotted: the epoch at which to stop.)


# %%
@torch.no_grad()
def losses(net, *pairs):
    return [cross_entropy(net(x), y).item() for x, y in pairs]


# %% tags=["free"]
curve = [losses(net, small, data["validation"]) for net in train(*small, epochs=30)]
curve = np.array(curve)  # (30, 2)
stop = int(curve[:, 1].argmin())
print(f"least validation loss {curve[stop, 1]:.2f} after epoch {stop + 1}; at the end {curve[-1, 1]:.2f}")

# %% tags=["free"]
lines = dict(zip(("training", "validation"), curve.T, strict=True))
fig = plot.curves(lines, title="When does it stop learning and start memorizing?")
fig.axes[0].axvline(stop + 1, color=plot.GRAY, linestyle=":")
plot.show(fig, alt="Training loss falls to 0; validation loss is least at a dotted line near epoch 2, then rises.")

# %%
assert stop < 10 and curve[-1, 1] > 1.5 * curve[stop, 1] and curve[-1, 0] < 0.05
print("least validation loss before epoch 10; at the end more than half as much again, training loss near 0")

# %% [markdown]
# ### Four cures, one at a time
# **Early stopping** keeps the epoch with the least validation loss. **Weight decay** pulls weights to zero. **Dropout** switches off
# units by chance. **Augmentation** shows variants that mean the same: mirrored faces, a little noise. Order them before you
# look. (Test scores are shown here to teach; none of these looks chooses anything.)


# %%
def augment(x):
    face = x[:, :256].reshape(-1, 16, 16)
    mirrored = torch.where(torch.rand(len(x), 1, 1) < 0.5, face.flip(2), face)  # a mirrored smirk is a smirk
    return torch.cat([mirrored.flatten(1), x[:, 256:]], dim=1) + 0.3 * torch.randn_like(x)


cures = {"nothing": {}, "weight decay 3": {"weight_decay": 3}, "dropout 0.7": {"dropout": 0.7}}
cures["augmentation"] = {"augment": augment}


# %% tags=["free"]
def stopped(part, seed=0, epochs=20, **settings):
    """Test logits after the epoch with the least validation loss, and after the last epoch."""
    ends = []
    for net in train(*part, epochs=epochs, seed=seed, **settings):
        ends.append((losses(net, data["validation"])[0], logits(net, "test")))
    return min(ends, key=lambda end: end[0])[1], ends[-1][1]


# %% tags=["free"]
from tqdm.auto import tqdm

rows = {name: [] for name in ("nothing", "early stopping", *cures)}  # test logits, one array a seed
for seed in tqdm(range(4), leave=False):
    part = few(*data["train"], n=600, seed=seed)
    for name, settings in cures.items():
        best, final = stopped(part, seed, **settings)
        rows[name].append(final)
        if name == "nothing":
            rows["early stopping"].append(best)
both = {n: [(accuracy(y_test, z), evaluate.log_loss(y_test, softmax(z, axis=1))) for z in zs] for n, zs in rows.items()}
measured = {name: np.array(values) for name, values in both.items()}  # (4, 2) each

# %% tags=["free"]
fig, axes = plot.plt.subplots(1, 2, figsize=(7.6, 2.9), sharey=True)
for k, (ax, label) in enumerate(zip(axes, ("test accuracy", "test log loss"), strict=True)):
    for row, values in enumerate(measured.values()):
        ax.scatter(values[:, k], [row] * 4, color=plot.COLORS[row], s=18)
        ax.plot(values[:, k].mean(), row, "|", color=plot.COLORS[row], markersize=22, markeredgewidth=3)
    ax.set(xlabel=label, yticks=range(5), yticklabels=list(measured))
axes[1].axvline(np.log(3), color=plot.GRAY, linestyle=":")
axes[1].text(np.log(3) + 0.03, 1, "knows nothing", color="#555555", va="center", fontsize=9)
axes[0].set_ylim(4.5, -0.5)
fig.suptitle("What does each cure help, alone?", x=0.01, ha="left", fontsize=12, fontweight="bold")
plot.show(fig, alt="Dropout has the best accuracy; log loss falls from 1.75 to 0.75 with early stopping or dropout.")

# %%
mean = {name: values.mean(axis=0) for name, values in measured.items()}
expect_within("log loss without a cure", mean["nothing"][1], 1.75, 0.35)
expect_within("log loss with early stopping", mean["early stopping"][1], 0.75, 0.06)
expect_within("log loss with dropout", mean["dropout 0.7"][1], 0.75, 0.06)
expect_within("accuracy that dropout adds", mean["dropout 0.7"][0] - mean["nothing"][0], 0.030, 0.018)

# %% [markdown]
# At these settings, dropout alone adds about three points, and mends the probabilities as well as early stopping does, which adds
# none but costs nothing. Weight decay and augmentation help the loss; on accuracy four seeds show no gain. Without measuring each
# alone you would not know.
#
# ### And more data?
# Train on part of the data: the small network, stopped early, and the course's trimodal model, whose encoders learn. Three seeds each, stored
# (the bands run from the lowest to the highest).
# **Predict:** is 6,000 enough?

# %%
from mmcourse.datasets import mood

learning = results("tune")["learning"]
sizes, trimodal = learning["n"], np.array(learning["trimodal"])  # (5,), (3, 5)
levels = {"joint ceiling": mood.bayes_accuracy(), "a trained sum": mood.loglinear_accuracy()}
lines = {"small network": learning["small"], "trimodal model": trimodal}
fig = plot.curves(
    lines, title="How much data is enough?", x=sizes, xlabel="training messages", ylabel="test accuracy", levels=levels
)
fig.axes[0].set(xscale="log", xticks=sizes, xticklabels=sizes)
fig.axes[0].minorticks_off()
plot.show(fig, alt="Both rise with training size; at 6,000 the trimodal model is near the ceiling, 0.926.")

# %%
reached = trimodal.mean(axis=0) / mood.bayes_accuracy()
print("trimodal model, share of the ceiling:", dict(zip(sizes, reached.round(2).tolist(), strict=True)))
assert trimodal[:, 2].mean() < mood.loglinear_accuracy() < trimodal[:, 3].min()

# %% [markdown]
# At 6,000 the trimodal model has 99 % of the ceiling: more data would buy one point at most. The small network still climbs. And mind the jump
# between 1,500 and 3,000: before it the model is no better than a sum of separate scores; after it, it is. A curve may look tame just
# before it jumps, so extrapolate with care. (Each size was trained for one number of epochs: 30 up to 1,500 messages, then 20 and 10.
# Whether more epochs would move the jump was not tried.)
#
# ## 7 · At full size
# The same two kinds of folds on real recordings: six people, half of the 3,000 clips of the Free Spoken Digit Dataset, where it has been fetched (`mmcourse data
# fetch`).

# %% tags=["free"]
from sklearn.model_selection import GroupKFold

from mmcourse.datasets import sources

fsdd = next(source for source in sources() if source.name.startswith("fsdd"))
if not fsdd.present():
    print("not run: real digits not fetched yet. By clip it gives about 0.98, by speaker about 0.63.")
else:
    real = avdigits_voices.read_clips("real")
    some = np.random.default_rng(0).permutation(len(real.digit))[:1500]
    mels = avdigits_voices.log_mels([real.waves[i] for i in some])
    x = np.reshape([[part.mean(axis=0) for part in np.array_split(mel, 8)] for mel in mels], (len(mels), -1))
    plainly = cross_val_score(model, x, real.digit[some], cv=StratifiedKFold(6, shuffle=True, random_state=0))
    grouped = cross_val_score(model, x, real.digit[some], cv=GroupKFold(6), groups=real.speaker[some])
    expect_within("real people, folds by clip", plainly.mean(), 0.98, 0.02)
    expect_within("real people, folds by speaker", grouped.mean(), 0.63, 0.06)

# %% [markdown]
# ## 8 · What to remember
# - Accuracy hides classes; precision, recall and F1 show them. Probabilities need log loss and a reliability diagram too.
# - Split by what the world will change, folds and intervals included.
# - Two models, one test set: compare in pairs. Two recipes: compare over seeds.
# - Measure each cure alone.
#
# ## 9 · Check yourself
# **1.** A model has accuracy 0.99 on a disease that one in a hundred has. Good?
# <details><summary>Answer</summary>
#
# Saying "healthy" every time reaches 0.99 with recall 0 for the disease. Ask for precision and recall of that class.
# </details>
#
# **2.** Temperature scaling took ECE from 0.26 to 0.03. What happened to accuracy?
# <details><summary>Answer</summary>
#
# Nothing. Dividing all logits by one positive number leaves the largest the largest.
# </details>
#
# **3.** A wins on 12 messages where B fails, B on 4 where A fails. Is A better?
# <details><summary>Answer</summary>
#
# $p = 0.077$: coins do that about once in thirteen times. Not shown; get more test data.
# </details>
#
# **4.** Cross-validation by clip gives 0.98 and the product will serve people who are not in the data. What do you report?
# <details><summary>Answer</summary>
#
# Not that. Group the folds by person and report it with an interval over people.
# </details>
#
# ## 10 · Exercises
# [Three short tasks](exercises/evaluate.ipynb): macro F1 by hand, the calibration error, and does B beat A.
#
# ## Sources
# - G. W. Brier, *Verification of Forecasts Expressed in Terms of Probability*, 1950. Q. McNemar, *Note on the Sampling Error of the Difference Between Correlated Proportions*, 1947.
# - B. Efron, R. Tibshirani, *An Introduction to the Bootstrap*, 1993.
# - C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, *On Calibration of Modern Neural Networks*, 2017, arXiv 1706.04599.
