# %% [markdown]
# # Fusion
# *You will take apart fourteen ways to join what a model sees, hears and reads, and know for each what it cannot learn.*
#
# {{budget}}
#
# **You will be able to**
# - write every common fusion method by hand, and recognize the classic bugs;
# - prove that no sum of separate scores understands sarcasm;
# - train thirteen of them on the same vectors, at two budgets, and judge them against exact ceilings;
# - choose a method for a table of your own, and keep it working when a modality is missing.
#
# **Before this:** lessons [start_here](start_here.ipynb) and, for query, key and value, [attention](attention.ipynb).
#
# **Time to read:** 60 minutes, then 40 for the [exercises](exercises/fusion.ipynb).

# %%
import numpy as np

from mmcourse import ceilings, plot
from mmcourse.datasets import load, mood

# %%
np.set_printoptions(precision=3, suppress=True)
train, validation, test = (load("mood", split) for split in ("train", "validation", "test"))
names = list(test.modalities)
names

# %% [markdown]
# ## 1 · The question
# A message again: kind words, an even voice, and this face. Read it, listen, look.

# %%
shown = {"face": "smirk", "voice": "neutral", "words": "positive"}
alike = np.all([test.meta[f"{m}_cue"] == cue for m, cue in shown.items()], axis=0)
message = test[np.flatnonzero(alike & (test.labels == 0))[0]]
print(message["words"])
plot.audio(message["voice"], test.sample_rate, label="An even voice")
plot.show(plot.images([message["face"]], ["the face"]), alt="A drawn face with one corner of the mouth up: a smirk.")

# %% [markdown]
# Three perfect readers each see one modality. The table behind `mood` is known, so their opinions are exact: what share of
# all messages with this cue is negative, neutral, positive?

# %%
joint = mood.JOINT  # (3, 4, 3, 3): p(feeling, face, voice, words)
seen = [mood.CUES[m].index(shown[m]) for m in names]
tables = [ceilings.marginal(joint, [m]) for m in range(3)]  # p(feeling, one cue)
opinions = np.stack([t[:, c] / t[:, c].sum() for t, c in zip(tables, seen, strict=True)])
for m, opinion in zip(names, opinions, strict=True):
    print(f"{m:6}", opinion.round(2))

# %% [markdown]
# **Predict:** if the three opinions are multiplied and the prior (how common each
# feeling is before anyone looks) is counted once, what comes out? And what is
# right, when all three cues are looked up together?

# %%
prior = joint.sum((1, 2, 3))
vote = opinions.prod(0) / prior**2
print("prior   ", prior.round(2))
together = joint[:, *seen]
print("product ", (vote / vote.sum()).round(2))
print("together", (together / together.sum()).round(2))

# %% [markdown]
# The product says *positive*, the truth is *negative*, and no reader did anything wrong. What failed is the way of joining.
# So: **which ways of joining can do it, and what do they cost?**
#
# ### Two recipes that do not work
# Both are found in tutorials. The first joins an image and a text straight away.

# %% tags=["raises-exception"]
import keras

image, text = keras.Input((224, 224, 3)), keras.Input((None,))
keras.layers.Concatenate()([image, text])

# %% [markdown]
# There is nothing to join end to end: a stack of 224 × 224 pixels and a row of word numbers have no common axis. The repair
# is an **encoder** for each, which ends in a vector of known width.

# %%
pixels = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(16, 3, strides=2, activation="relu")(image))
words = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(1000, 16)(text))
h_image, h_text = keras.layers.Dense(32)(pixels), keras.layers.Dense(32)(words)  # (b, 32) each
keras.layers.Concatenate()([h_image, h_text]).shape

# %% [markdown]
# The second hands three vectors to an attention layer, "to fuse them". It runs, and gives a result of the right shape. That
# makes it worse.

# %%
rng = np.random.default_rng(9)
text, audio, image = (rng.normal(size=(3, 4)).astype("float32") for _ in range(3))  # 3 samples, width 4
fused = np.array(keras.layers.Attention()([text, audio, image]))
fused.shape

# %% [markdown]
# Keras reads the list as *query, value, key*. So text asks, image decides where to look, and only audio is ever passed on.
# A few lines of NumPy give the same numbers.


# %%
def softmax(scores, axis=-1):
    e = np.exp(scores - scores.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


weights = softmax(text @ image.T)  # (3, 3): rows are samples, and so are columns
assert np.allclose(fused, weights @ audio, atol=1e-5)
changed = audio.copy()
changed[2] += 10
print(weights)
print("other audio for sample 2 moves sample 0 by", np.abs(weights @ changed - fused)[0].max().round(2))

# %% [markdown]
# Look at the shape: *samples by samples*. Each message's text attends to other messages' images and takes home their audio. In
# a real batch, your answer would depend on what else is in it.
#
# What was meant: for each sample, the three vectors are a sequence of three steps, and the steps attend to one another.

# %%
steps = np.stack([text, audio, image], axis=1)  # (3, 3, 4): sample, modality, width
meant = np.array(keras.layers.Attention()([steps, steps]))  # query and value; the key is the value
assert np.allclose(meant, softmax(steps @ steps.swapaxes(1, 2)) @ steps, atol=1e-5)
meant.mean(axis=1).shape  # one vector per sample, and nobody else's

# %% [markdown]
# ## 2 · The idea by hand
# Why did the product fail? Its logarithm is a *sum*: one score from each reader. Strip the message to two signs: words are kind (+1) or unkind (−1), the face is plain (+1) or a
# smirk (−1). Meant is the product. **Predict:** can any sum of a words score and a face score get all four signs right?

# %%
corners = np.array([(w, f) for w in (-1, 1) for f in (-1, 1)])
sign = corners.prod(axis=1)
scores = rng.normal(size=(100_000, 2, 2))  # a score for each kind of words, and for each face
says = np.sign([scores[:, 0, (w > 0) * 1] + scores[:, 1, (f > 0) * 1] for w, f in corners])
print("best of 100,000 sums: ", (says.T == sign).sum(1).max(), "of 4 right")

# %% [markdown]
# Never, and one line proves it. Call the sums $s_{++}, s_{+-}, s_{-+}, s_{--}$. Both $s_{++} + s_{--}$ and
# $s_{+-} + s_{-+}$ add the same four scores, so they are equal. But the first pair should be positive and the second
# negative. This is the XOR problem (Minsky and Papert 1969).

# %%
grid = np.linspace(-1.6, 1.6, 80)
a, b = np.meshgrid(grid, grid)
fig, axes = plot.plt.subplots(1, 2, figsize=(7, 3.4), sharey=True)
for ax, score, title in zip(axes, (a + b - 0.5, a * b), ("a sum: one straight line", "a product"), strict=True):
    ax.contourf(a, b, score > 0, levels=[-0.5, 0.5, 1.5], colors=["#F3D9C8", "#CFE3F0"])
    for (w, f), s in zip(corners, sign, strict=True):
        ax.text(w, f, "meant\nkindly" if s > 0 else "meant\nunkindly", ha="center", va="center")
    ax.set(title=title, xticks=[-1, 1], xticklabels=["unkind words", "kind words"])
    ax.grid(False)
axes[0].set(yticks=[-1, 1], yticklabels=["smirk", "plain face"])
plot.show(fig, alt="Four corners; a straight line leaves one on its wrong side, a product parts them as a chessboard.")

# %% [markdown]
# How much of this is in `mood`? **Information** is counted in bits. What two modalities say about the feeling splits into
# what both say (redundancy), what one alone says (unique), and what only the pair says (synergy). XOR is pure synergy.

# %%
xor = np.zeros((2, 2, 2))  # p(y, x1, x2)
xor[[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0]] = 1 / 4
print("XOR          ", ceilings.decompose(xor))
for pair in (("face", "words"), ("face", "voice"), ("voice", "words")):
    print(f"{'-'.join(pair):13}", {k: round(v, 2) for k, v in mood.information(pair).items()})

# %% [markdown]
# Face and words have the most synergy. (There are other ways to split; this is Bertschinger et al. 2014.) Accuracy has
# exact ceilings too, also for **additive fusion**, the best sum of one separate score per modality. **Predict:** can face
# and words alone, joined well, beat the best sum of all three?

# %%
ceiling = {" + ".join(k): v for k, v in mood.ceilings().items() if len(k) < 3}
ceiling["all, trained sum"] = mood.loglinear_accuracy()  # the sum of scores that training on the loss finds
ceiling["all, best sum"] = mood.additive_accuracy()  # the best of all sums of scores
ceiling["all, jointly"] = mood.bayes_accuracy(names)
print(f"face + words {ceiling['face + words']:.3f}, best sum of all three {ceiling['all, best sum']:.3f}")
assert ceiling["face + words"] > ceiling["all, best sum"] > ceiling["all, trained sum"]
fig = plot.bar_with_ceiling(
    list(ceiling), list(ceiling.values()), None, title="What can be reached at best?", chance=1 / 3
)
plot.show(fig, alt="Bars of exact ceilings: " + ", ".join(f"{k} {v:.3f}" for k, v in ceiling.items()))

# %% [markdown]
# ## 3 · The formula
# Now every method by hand: two samples, three modalities of widths 3, 2 and 4, results of width 5. The package has each one
# under `mmcourse.numpy.fusion`; `equals` holds your lines against it. In formulas $\sigma$ squashes to 0…1, $\odot$ multiplies
# entry by entry, $\otimes$ takes all products; `einsum` sums over the letters that are missing on the right.

# %%
from mmcourse.numpy import fusion

dims, width = [3, 2, 4], 5


def draw(*shape):
    return rng.normal(size=shape).round(1)


def equals(name, mine, *args, **options):
    assert np.allclose(mine, getattr(fusion, name)(*args, **options), atol=1e-4)
    print(f"the same as fusion.{name}, shape {np.shape(mine)}")


xs = [draw(2, d) for d in dims]  # face, voice, words
maps = {f"maps.{m}.w": draw(d, width) for m, d in enumerate(dims)}  # W of each modality, used throughout

# %% [markdown]
# ### Joining and adding
# **Concatenate**, then one layer: $\max(0, W[x_1; x_2; x_3] + b)$ (Baltrušaitis et al. 2019, arXiv 1705.09406). Each
# $x_m$ is first divided by its root mean square, or the loudest modality drowns the others.

# %%
p = {"out.w": draw(9, width), "out.b": draw(width)}
joined = np.concatenate([x / np.sqrt((x**2).mean(1, keepdims=True)) for x in xs], axis=1)  # (2, 3+2+4)
h = np.maximum(joined @ p["out.w"] + p["out.b"], 0)  # (2, 5)
equals("concatenate", h, xs, p)

# %% [markdown]
# **Sum gate**: $\sigma(W_g \sum_m f_m(x_m) + b_g)$ with $f_m(x) = W_m x + b_m$: one map each, since you cannot add widths 3
# and 2. It is often called a gate; it multiplies nothing.

# %%
p = maps | {f"maps.{m}.b": draw(width) for m in range(3)} | {"gate.w": draw(width, width), "gate.b": draw(width)}
total = sum(x @ p[f"maps.{m}.w"] + p[f"maps.{m}.b"] for m, x in enumerate(xs))
gate = 1 / (1 + np.exp(-(total @ p["gate.w"] + p["gate.b"])))
equals("sum_gate", gate, xs, p)

# %% [markdown]
# **Weighted sum**: $\sum_m \mathrm{softmax}(\alpha)_m W_m x_m$. It is tempting to read the weights as importance.

# %%
p = maps | {"alpha": np.array([2.0, 0.0, 0.0])}
share = softmax(p["alpha"])
h = sum(s * (x @ p[f"maps.{m}.w"]) for m, (s, x) in enumerate(zip(share, xs, strict=True)))
equals("weighted_sum", h, xs, p)
share

# %% [markdown]
# "The face counts 0.79." Does it? Move the weights from $\alpha$ into the $W_m$. The output is the same to the last digit,
# and now "all count 0.33". What a modality *contributes* is the length of its summand, and that did not move.

# %%
q = {f"maps.{m}.w": 3 * share[m] * maps[f"maps.{m}.w"] for m in range(3)} | {"alpha": np.zeros(3)}
assert np.allclose(fusion.weighted_sum(xs, q), h)
print("alpha says", softmax(q["alpha"]), " contributed", fusion.shares(xs, p), "=", fusion.shares(xs, q))

# %% [markdown]
# ### Joining decisions
# **Late fusion** joins finished opinions $p_m$, in any way. Two that add: mean and product. (A third, **stacking**, trains a
# model on the opinions; section 5.) The mean is $\sum_m w_m p_m$ of *probabilities*. Averaging logits and then
# taking softmax is another thing, a geometric mean.

# %%
heads = {f"heads.{m}.w": draw(d, 3) for m, d in enumerate(dims)} | {f"heads.{m}.b": draw(3) for m in range(3)}
logits = np.stack([x @ heads[f"heads.{m}.w"] + heads[f"heads.{m}.b"] for m, x in enumerate(xs)])  # (3, 2, 3)
mean = softmax(logits).mean(0)
equals("late_mean", np.log(mean), xs, heads | {"alpha": np.zeros(3)})
print("mean of probabilities", mean[0], " softmax of mean logits", softmax(logits.mean(0))[0])

# %% [markdown]
# **Product**: if the modalities are independent given $y$, then $p(y \mid x_1 \ldots x_M) \propto \prod_m p(y \mid x_m) /
# p(y)^{M-1}$ (Kittler et al. 1998). Forget the prior, and three readers who know nothing become sure together.

# %%
p = heads | {"log_prior": np.log(prior)}
score = np.log(softmax(logits)).sum(0) - 2 * p["log_prior"]
equals("late_product", np.log(softmax(score)), xs, p)
rare = np.array([0.9, 0.1])  # three heads that only repeat the prior
print("without dividing", rare**3 / (rare**3).sum(), " divided", rare**3 / rare**2 / (rare**3 / rare**2).sum())

# %% [markdown]
# ### Gating
# Weighted sum, mean and product all end in *one score per modality, summed*: by section 2 none of them gets past the best
# sum. Enter interaction.
#
# **Gated unit**: $h_m = \tanh(W_m x_m)$, $z_m = \sigma(W_{z_m}[x_1; x_2; x_3])$, $h = \sum_m z_m \odot h_m$ (Arevalo et al.
# 2017, arXiv 1702.01992). Every gate sees *all* modalities: a smirk may turn the words down. (A gate of 0…1
# cannot turn them around; FiLM below can. Two modalities share one
# gate, $z$ and $1 - z$.)

# %%
p = {f"hidden.{m}.w": maps[f"maps.{m}.w"] for m in range(3)} | {f"gates.{m}.w": draw(9, width) for m in range(3)}
everything = np.concatenate(xs, axis=1)  # (2, 9)
z = [1 / (1 + np.exp(-everything @ p[f"gates.{m}.w"])) for m in range(3)]
h = sum(z[m] * np.tanh(x @ p[f"hidden.{m}.w"]) for m, x in enumerate(xs))
equals("gated_unit", h, xs, p)

# %% [markdown]
# **FiLM**: $\gamma(c) \odot F + \beta(c)$ (Perez et al. 2018, arXiv 1709.07871). One modality gives features $F$; the
# others, $c$, scale and shift them, channel by channel. $\gamma$ starts at 1: start it at 0 and $F$ gets no gradient.

# %%
p = {"feature.w": maps["maps.0.w"], "gamma.w": draw(6, width), "gamma.b": draw(width)}
p |= {"beta.w": draw(6, width), "beta.b": draw(width)}
F, c = xs[0] @ p["feature.w"], np.concatenate(xs[1:], axis=1)  # (2, 5), (2, 6)
F = F / np.sqrt((F**2).mean(1, keepdims=True))
equals("film", (1 + c @ p["gamma.w"] + p["gamma.b"]) * F + c @ p["beta.w"] + p["beta.b"], xs, p)

# %% [markdown]
# ### Multiplying
# **Bilinear**: $z_k = x_1^\top W_k x_2$, a weight for *every pair* of entries. **Low-rank bilinear** saves weights:
# $P^\top(\tanh(U^\top x_1) \odot \tanh(V^\top x_2)) + b$ (Kim et al. 2017, arXiv 1610.04325). It is not the full form.
#
# **Compact bilinear** has no weights (Fukui et al. 2016, arXiv 1606.01847): each vector is scattered over 8 places, at random
# but *once and for all*, and a product of Fourier transforms estimates all pairs in 8 numbers.

# %%
two, W = xs[:2], draw(3, 2, width)
equals("bilinear", np.einsum("bi,ijk,bj->bk", two[0], W, two[1]), two, {"w": W})
U, V, P, bias = draw(3, 4), draw(2, 4), draw(4, width), draw(width)
h = (np.tanh(two[0] @ U) * np.tanh(two[1] @ V)) @ P + bias
equals("low_rank_bilinear", h, two, {"maps.0.w": U, "maps.1.w": V, "out.w": P, "out.b": bias})
sketch = {f"sketch_{m}": fusion.count_sketch_matrix(d, 8, rng) for m, d in enumerate(dims[:2])}
spectra = [np.fft.rfft(x @ sketch[f"sketch_{m}"]) for m, x in enumerate(two)]
z = np.fft.irfft(spectra[0] * spectra[1], n=8)
z = z / np.sqrt((z**2).mean(axis=1, keepdims=True))  # the size of the inputs drops out
z = z / np.sqrt(np.abs(z) + 1e-3)  # signed square root, softened at 0
equals("compact_bilinear", z / np.linalg.norm(z, axis=1, keepdims=True), two, sketch)

# %% [markdown]
# **Tensor fusion**: put a 1 behind each vector, then take *all* products, $\otimes_m [x_m; 1]$ (Zadeh et al. 2017, arXiv
# 1707.07250). Here it is for one sample of two modalities. **Predict:** what would be missing without the 1s?

# %%
face1, voice1 = np.append([2.0, -1.0, 0.5], 1), np.append([3.0, 0.5], 1)
rows, columns = ["face 1", "face 2", "face 3", "1"], ["voice 1", "voice 2", "1"]
fig = plot.matrix(np.outer(face1, voice1), "What do the 1s keep?", rows, columns)
plot.show(
    fig, alt="A 4 by 3 table of products; its last column repeats the face, its last row the voice, the corner is 1."
)

# %% [markdown]
# The last column is the face alone, the last row the voice alone. Without the 1s only the pairs are left, and with three
# modalities only the triples. The price: $\prod_m (d_m + 1)$ numbers.

# %%
ones = [np.hstack([x, np.ones((2, 1))]) for x in xs]
tensor = np.einsum("bi,bj,bk->bijk", *ones).reshape(2, -1)  # (2, 4·3·5)
p = {"out.w": draw(60, width), "out.b": draw(width)}
equals("tensor_fusion", tensor @ p["out.w"] + p["out.b"], xs, p)

# %% [markdown]
# **Low-rank tensor fusion** never forms them: $\sum_r \odot_m W_m^{(r)}[x_m; 1]$ (Liu et al. 2018, arXiv 1806.00064). The sum
# over $r$ comes *last*. Summing first is a popular slip, and another function.

# %%
p = {f"factors.{m}": draw(4, d + 1, width) for m, d in enumerate(dims)}  # rank 4
mapped = [np.einsum("bi,rik->brk", x, p[f"factors.{m}"]) for m, x in enumerate(ones)]  # (2, 4, 5) each
equals("low_rank_tensor_fusion", np.prod(mapped, axis=0).sum(1), xs, p)
assert not np.allclose(np.prod(mapped, axis=0).sum(1), np.prod([x.sum(1) for x in mapped], axis=0))

# %% [markdown]
# ### Attending
# Sequences have more to say than one vector. In **cross-attention** one modality asks and another answers:
# $\mathrm{softmax}(Q_\alpha K_\beta^\top / \sqrt d)\, V_\beta$ (MulT, Tsai et al. 2019, arXiv 1906.00295). Three words ask four
# moments of a face.

# %%
said, moments = 3 * np.eye(3, 4)[None], 3 * np.eye(4)[None, [3, 0, 0, 2]]  # (1, 3, 4), (1, 4, 4)
p = {f"{part}.w": np.eye(4) for part in ("q_proj", "k_proj", "v_proj")}  # as simple as it gets
looks = softmax(said @ moments.swapaxes(1, 2) / np.sqrt(4))  # (1, 3, 4)
equals("cross_attention", looks @ moments, said, moments, p)
fig = plot.matrix(
    looks[0], "Which moment does each word look at?", ["lovely", "party", "really"], ["0 s", "1 s", "2 s", "3 s"]
)
plot.show(
    fig,
    alt="Weights of three words over four moments: the first at 1 s and 2 s, the second anywhere, the third at 3 s.",
)

# %% [markdown]
# The result has the length of whoever *asks* (three), so swapping query and context is easy to see. Padded moments need a
# mask, a causal mask has no place here. And with a *single* step in the context, the softmax of one number is 1: nothing is
# attended to.
#
# **Bottleneck tokens** are stricter: modalities never meet, each attends to its own steps and a few shared tokens $z$, whose
# new value is the mean over modalities (Nagrani et al. 2021, arXiv 2107.00135).

# %%
streams, z = [draw(1, 3, 4), draw(1, 2, 4)], draw(1, 1, 4)  # words, face, one shared token
p = {f"0.{m}.{part}.w": draw(4, 4) for m in range(2) for part in ("q_proj", "k_proj", "v_proj")}
made = []
for m, x in enumerate(streams):
    s = np.concatenate([x, z], axis=1)  # own steps and the token, nothing else
    unit = s / np.sqrt((s**2).mean(-1, keepdims=True))
    Q, K, V = (unit @ p[f"0.{m}.{part}.w"] for part in ("q_proj", "k_proj", "v_proj"))
    made.append((s + softmax(Q @ K.swapaxes(1, 2) / 2) @ V)[:, -1:])
masks = [np.ones(x.shape[:2], bool) for x in streams]
assert np.allclose(np.mean(made, axis=0), fusion.bottleneck_layer(streams, z, masks, p, "0")[1], atol=1e-4)
print("the same as fusion.bottleneck_layer, new token", np.mean(made, axis=0)[0])

# %% [markdown]
# ### Living with gaps
# **Modality dropout** takes whole modalities away in training, drawn *for each sample* and never all at once (after Neverova
# et al. 2016, arXiv 1501.00102). A learned null token stands in, because zero is a value and not "missing".

# %%
modality_mask = fusion.sample_modality_mask(np.ones((2000, 3), bool), 0.4, np.random.default_rng(0))
patterns = np.unique(modality_mask, axis=0)
print("some left in every sample:", modality_mask.any(1).all(), "  different patterns:", len(patterns))
null = {f"null.{m}": draw(d) for m, d in enumerate(dims)}
there = np.array([[True, False, True], [True, True, True]])
assert np.allclose(fusion.modality_dropout(xs, null, there)[1], np.where(there[:, 1:2], xs[1], null["null.1"]))

# %% [markdown]
# ## 4 · The same in PyTorch and Keras
# Low-rank tensor fusion in PyTorch, with a slip that is easy to make. **Predict:** rank 2, widths 10, 5 and 4, one
# result: $2 \cdot (11 + 6 + 5) = 44$ numbers in the factors, and 2 + 1 more. How many does the optimizer get?

# %%
import torch
from torch import nn

from mmcourse.torch import fusion as torch_fusion


class Careless(nn.Module):
    def __init__(self, dims, rank):
        super().__init__()
        self.factors = [nn.Parameter(torch.randn(rank, d + 1, 1)) for d in dims]  # a plain Python list
        self.weight, self.bias = nn.Parameter(torch.randn(rank)), nn.Parameter(torch.zeros(1))


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


careful = torch_fusion.LowRankTensorFusion([10, 5, 4], 1, rank=2)  # its factors are in an nn.ParameterList
print(
    "careless",
    count(Careless([10, 5, 4], rank=2)),
    "of 47,  careful",
    count(careful),
    "of 44: it has no rank weights and no bias",
)

# %% [markdown]
# Three. The factors stay at their random start, training runs all the same, and nothing complains. So *count*, always.
# Keras tracks lists by itself. Here is the gated unit in Keras, from the same formula:

# %%
from mmcourse.keras import fusion as keras_fusion
from mmcourse.parity import compare, copy_weights, parity_cases


class GatedUnit(keras.layers.Layer):
    def __init__(self, dims, width):
        super().__init__()
        self.hidden = [keras.layers.Dense(width, activation="tanh", use_bias=False) for _ in dims]
        self.gates = [keras.layers.Dense(width, activation="sigmoid", use_bias=False) for _ in dims]

    def call(self, xs):
        joined = keras.ops.concatenate(xs, -1)
        return sum(gate(joined) * hidden(x) for gate, hidden, x in zip(self.gates, self.hidden, xs, strict=True))


small, mine = [x.astype("float32") for x in xs], GatedUnit(dims, width)
mine(small)  # the first call makes the weights
ours = torch_fusion.GatedUnit(dims, width)
copy_weights(ours, mine)
packaged = keras_fusion.GatedUnit(dims, width)
packaged(small)
copy_weights(ours, packaged)
assert np.allclose(mine(small), packaged(small), atol=1e-6)
assert np.allclose(mine(small), ours([torch.tensor(x) for x in small]).detach(), atol=1e-5)

# %% [markdown]
# **Parity.** The package has every method in NumPy, PyTorch and Keras. With the same weights, the largest relative difference among NumPy, PyTorch and Keras, of
# outputs and after five steps of gradient descent (`python -m mmcourse.parity` prints all of it, float32 and Adam too):

# %% tags=["free"]
slow = ("absent", "cross-modal", "bottleneck", "entropy", "modulation")  # these take ten seconds more
for formula in parity_cases("fusion"):
    if not any(word in formula.name for word in slow):
        reports = compare(formula)
        assert not any(report.faults() for report in reports)
        print(
            f"{formula.name:28} output {max(r.forward for r in reports):.0e}   steps {reports[1].sgd:.0e}".replace(
                "nan", "no weights"
            )
        )

# %% [markdown]
# ## 5 · At work
# To compare ways of *joining*, everything else must be equal. So train one encoder for each modality, on its own, freeze
# it, and give all methods the same vectors of 16 numbers.

# %%
from mmcourse.evaluate import expect_within
from mmcourse.torch import encoders
from mmcourse.training import torch as training


class Reader(nn.Module):
    def __init__(self, name, encoder, width=16):
        super().__init__()
        self.name, self.encoder, self.logits = name, encoder, nn.Linear(width, 3)
        self.squeeze = nn.Sequential(nn.ReLU(), nn.Dropout(0.2), nn.Linear(encoder.width, width))

    def vector(self, batch):
        return self.squeeze(self.encoder(batch["inputs"][self.name], batch["padding_mask"].get(self.name)))  # (b, 16)

    def forward(self, batch):
        return self.logits(self.vector(batch))


# %% tags=["free"]
torch.manual_seed(0)
kinds = {"face": encoders.ImageEncoder(64), "voice": encoders.AudioEncoder(40, 64)}
kinds["words"] = encoders.TextEncoder(len(train.vocabulary), 64)
readers = [Reader(m, kinds[m]) for m in names]
alone = {}
for reader, epochs in zip(readers, (4, 4, 14), strict=True):
    training.fit(reader, train.torch_loader(64, seed=0), epochs=epochs, learning_rate=2e-3)
    right = training.predict(reader, test.torch_loader(500)).argmax(1) == test.labels
    alone[reader.name] = right.mean()
    print(f"{reader.name:6} alone {right.mean():.3f}, of {mood.bayes_accuracy([reader.name]):.3f} possible")

# %% [markdown]
# Each reader is near its own ceiling. A ceiling of 0.69 means: of ten labels seen in training, three look wrong to a reader of
# one modality. Long training could learn those by heart, so these stop early.

# %%
assert all(0.9 < alone[m] / mood.bayes_accuracy([m]) < 1.04 for m in names)


@torch.no_grad()
def vectors(split):
    batches = list(split.torch_loader(500))
    return [torch.cat([reader.vector(batch) for batch in batches]) for reader in readers]


raw = {split.split: vectors(split) for split in (train, test)}
scale = [(x.mean(0), x.std(0)) for x in raw["train"]]
x_train, x_test = ([(x - m) / s for x, (m, s) in zip(raw[k], scale, strict=True)] for k in raw)
y_train, y_test = torch.tensor(train.labels), torch.tensor(test.labels)
[tuple(x.shape) for x in x_train]

# %% [markdown]
# Now every method of the package, a linear layer behind it, three seeds (one for the two slow ones), no setting tuned (the product gets the prior, compact
# bilinear 1024 places). The sequence
# methods get each vector as a sequence of one step; remember what that does to cross-attention. Twelve epochs each: remember
# that number. **Predict** which methods it favors.

# %%
import time


class Fused(nn.Module):
    def __init__(self, method, dims, width=32, **options):
        super().__init__()
        self.fusion = method(dims, 3 if method.gives_logits else width, **options)
        self.logits = nn.Identity() if method.gives_logits else nn.Linear(width, 3)

    def forward(self, xs, modality_mask=None):
        if not self.fusion.takes_sequences:
            return self.logits(self.fusion(xs, modality_mask))
        masks = [torch.ones(len(x), 1, dtype=torch.bool) for x in xs]
        return self.logits(self.fusion([x[:, None] for x in xs], masks, modality_mask))


def learn(model, xs, seed, epochs=12, batch_size=500):
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3)
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(y_train), generator=order).split(batch_size):
            loss = nn.functional.cross_entropy(model([x[rows] for x in xs]), y_train[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


# %%
def append_one(xs):
    return [torch.cat([x, torch.ones(len(x), 1)], 1) for x in xs]


def trial(name, seed, epochs=12):
    torch.manual_seed(seed)
    method, _, extra = name.partition(" + ")
    options = {"prior": prior} if method == "late product" else {"width": 1024} if "wide" in extra else {}
    model = Fused(torch_fusion.METHODS[method], [17 if extra else 16] * 3, **options)
    train_on, test_on = (append_one(xs) if extra else xs for xs in (x_train, x_test))
    start = time.perf_counter()
    learn(model, train_on, seed, epochs)
    seconds = time.perf_counter() - start
    return (model(test_on).argmax(1) == y_test).float().mean().item(), count(model), seconds, model


# %% tags=["free"]
methods = [*torch_fusion.METHODS, "low-rank bilinear + 1", "compact bilinear + 1, 1024 wide"]
once = ("cross-modal", "bottleneck")  # the slow ones, over single steps: one seed
results = {name: [trial(name, seed) for seed in range(1 if name in once else 3)] for name in methods}
reached = {name: np.array([r[0] for r in runs]) for name, runs in results.items()}
ranked = sorted(methods, key=lambda name: reached[name].mean())
for name in reversed(ranked):
    print(f"{name:31} {reached[name].mean():.3f} {results[name][0][1]:8,} parameters {results[name][0][2]:5.1f} s")


# %% tags=["target"]
def mean_of(*names):
    return np.mean([reached[name].mean() for name in names])


interacting = ("concatenate", "gated unit", "FiLM", "low-rank tensor", "bottleneck", "low-rank bilinear + 1")
expect_within("accuracy of the methods with interaction", mean_of(*interacting), 0.875, 0.025)
for name in ("late product", "weighted sum"):
    expect_within(f"accuracy of the {name}", mean_of(name), 0.80, 0.025)
assert min(mean_of(name) for name in interacting) > mean_of("late product") + 0.03
assert mean_of("late mean", "late product", "weighted sum") < mood.additive_accuracy()
parameters = {name: runs[0][1] for name, runs in results.items()}
assert mean_of("tensor") < mean_of("concatenate") + 0.01 and parameters["tensor"] > 20 * parameters["low-rank tensor"]

# %% tags=["free"]
fig, ax = plot.plt.subplots(figsize=(7.2, 5.4))
fig.suptitle("How far does each way of joining get in twelve epochs?", x=0.01, ha="left", fontweight="bold")
for row, name in enumerate(ranked):
    additive = name in ("weighted sum", "late mean", "late product")
    ax.plot(reached[name], [row] * len(reached[name]), "o", color=plot.ORANGE if additive else plot.BLUE, alpha=0.7)
lines = {"best\nsingle": max(map(mood.bayes_accuracy, names)), "trained\nsum": mood.loglinear_accuracy()}
lines |= {"best\nsum": mood.additive_accuracy(), "joint": mood.bayes_accuracy(names)}
for name, value in lines.items():
    ax.axvline(value, color=plot.GRAY, linestyle=":")
    ax.text(value, len(ranked) - 0.3, f"{name}\n{value:.3f}", ha="center", va="bottom", fontsize=9)
ax.set(yticks=range(len(ranked)), yticklabels=ranked, xlabel="test accuracy by seed (orange: additive methods)")
ax.set(xlim=(0.45, 0.97), ylim=(-0.6, len(ranked) - 0.4))
plot.show(
    fig, alt="Test accuracy of each method by seed, against the exact ceilings; additive methods stay below 0.82."
)

# %% [markdown]
# Additive methods below, interacting ones above, compact bilinear and low-rank bilinear far down. Which of these is about the
# *method*, and which about twelve epochs? **Predict** what forty change. Beside four methods, **stacking**: late
# fusion that is trained, here a network with 32 hidden units that reads nothing but the three readers' nine log-probabilities.


# %%
def stacked(seed, epochs=40):
    """Test accuracy of a small network on the frozen readers' log-probabilities."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(9, 32), nn.ReLU(), nn.Linear(32, 3))
    with torch.no_grad():
        logs = {
            k: torch.cat([r.logits(x).log_softmax(-1) for r, x in zip(readers, raw[k], strict=True)], 1) for k in raw
        }
    model = learn(nn.Sequential(Joined(), network), [logs["train"]], seed, epochs)
    return (model([logs["test"]]).argmax(1) == y_test).float().mean().item()


class Joined(nn.Module):
    def forward(self, xs):
        return torch.cat(xs, 1)


# %% tags=["free"]
longer = {}
for name in ("concatenate", "late product", "low-rank bilinear", "compact bilinear + 1, 1024 wide"):
    longer[name] = [trial(name, seed, epochs=40)[0] for seed in range(3)]
    print(f"{name:31} 12 epochs {reached[name].round(3)}   40 epochs {np.round(longer[name], 3)}")
longer["stacking"] = [stacked(seed) for seed in range(3)]
print(f"{'stacking':31} {'':33}  40 epochs {np.round(longer['stacking'], 3)}")
print(f"best sum of separate scores {mood.additive_accuracy():.3f}")

# %%
assert np.mean(longer["late product"]) < mood.additive_accuracy() < np.mean(longer["concatenate"])

# %% [markdown]
# The product stays where the table says that a trained sum stops, and concatenation stays past the best sum: the gap between adding
# and interacting is one of methods. Look at the other two before you say anything about products: what twelve epochs said about
# them was said about twelve epochs. And look at stacking. It is fusion as *late* as can be and has seen no message, only nine
# numbers, from readers who know nothing of one another. Not *late* is what limits the product, but *adding*.
#
# | method | what it does | mind |
# |---|---|---|
# | weighted sum, mean, product | few weights, nothing to align, easy to explain | stop about where the table says that a trained sum stops |
# | stacking | a small network on finished opinions; readers stay as they are | sees only what the opinions keep |
# | sum gate | bends *after* adding, so it can interact | its order among the others is one of twelve epochs |
# | concatenate | the simplest: the layer behind it interacts | its layer grows with every modality |
# | gated, FiLM | one modality turns another down or around | asymmetric: somebody chooses who turns whom (FiLM) |
# | products without 1s | two modalities that mean nothing apart | "the words alone" is not among their terms |
# | full tensor | every interaction has a weight of its own | most weights by far; no gain here |
# | low-rank tensor | the same at less than a twentieth of the weights | the rank must be chosen |
# | attention | real sequences (not shown here) | over a single step it is an expensive concatenation |
#
# Lesson [train_pytorch](train_pytorch.ipynb) comes closer to the joint ceiling with plain concatenation. There the encoders learn
# together with the joining, and more differs; here they are frozen, so that the ways of joining can be compared.
#
# ### End to end, in both frameworks
# Encoders and gated unit together, from the same weights, on the same 2,000 messages in the same order. One default must be
# made equal: Adam's ε is 1e-7 in Keras and 1e-8 in PyTorch. Expect one line to the eye, not to the last digit: float32 sums
# differ in order, and each step builds on the one before.

# %%
from mmcourse.keras import encoders as keras_encoders


def build(encoders, fusion):
    parts = {"face": encoders.ImageEncoder(16), "voice": encoders.AudioEncoder(40, 16)}
    parts["words"] = encoders.TextEncoder(len(train.vocabulary), 16)
    return encoders.MultimodalClassifier(parts, fusion.GatedUnit([16] * 3, 16), classes=3)


torch.manual_seed(0)
ours, theirs = build(encoders, torch_fusion), build(keras_encoders, keras_fusion)
subset = train.subset(np.arange(2000))
feed = subset.torch_loader(64, seed=0, fixed_length=True)
feed_keras = subset.tf_dataset(64, seed=0, fixed_length=True)
theirs(next(iter(subset.tf_dataset(64, fixed_length=True)))[0])
copy_weights(ours, theirs)

# %% tags=["free"]
adam = torch.optim.Adam(ours.parameters(), lr=3e-3)
theirs.compile(keras.optimizers.Adam(3e-3, epsilon=1e-8), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
torch_losses, keras_losses = [], []
for _ in range(4):
    for batch in feed:
        loss = nn.functional.cross_entropy(ours(batch), batch["target"])
        adam.zero_grad()
        loss.backward()
        adam.step()
        torch_losses.append(loss.item())
    keras_losses += [float(theirs.train_on_batch(x, y)) for x, y in feed_keras]
fig = plot.curves(
    {"PyTorch": torch_losses, "Keras": keras_losses},
    title="Do both learn the same?",
    xlabel="step",
    levels={"knows nothing": np.log(3)},
)
plot.show(fig, alt="Two loss curves that lie on each other and fall from 1.1 to about 0.55.")

# %%
gap = np.abs(np.subtract(torch_losses, keras_losses))
expect_within("largest gap in the first ten steps", gap[:10].max(), 0, 0.002)
expect_within("largest gap in 128 steps", gap.max(), 0, 0.05)
expect_within("loss of the last 32 steps", np.mean(keras_losses[-32:]), 0.57, 0.08)

# %% [markdown]
# ## 6 · Take it apart
# The camera fails while the model is in use. Either nobody notices, and the encoder sees a **black picture**, silence or
# unknown words; or the model is given the mask `modality_mask`. **Predict:** how much of 0.88 is left? The cure
# comes below: dropout with a learned null token for each modality, drawn sample by sample.


# %%
@torch.no_grad()
def blank(batch):
    inputs = batch["inputs"]
    silence = torch.full_like(inputs["voice"], inputs["voice"].min().item())
    unknown = torch.ones_like(inputs["words"])  # id 1 is <unk>
    batch["inputs"] = {"face": torch.zeros_like(inputs["face"]), "voice": silence, "words": unknown}
    return torch.stack([(r.vector(batch) - m) / s for r, (m, s) in zip(readers, scale, strict=True)])


x_blank = torch.cat([blank(batch) for batch in test.torch_loader(500)], dim=1)


def gaps(model, with_mask):
    row = []
    for gone in (None, 0, 1, 2):
        xs = [x_blank[m] if m == gone else x for m, x in enumerate(x_test)]
        there = (torch.arange(3) != (-1 if gone is None else gone)).expand(len(y_test), 3)
        row.append((model(xs, there if with_mask else None).argmax(1) == y_test).float().mean().item())
    return row


# %% tags=["free"]
class Dropping(Fused):
    def __init__(self, method, dims):
        super().__init__(method, dims)
        self.dropout = torch_fusion.ModalityDropout(dims, rate=0.3)

    def forward(self, xs, modality_mask=None):
        return super().forward(self.dropout(xs, modality_mask))


rows = {}
for name in ("concatenate", "gated unit"):
    plain = [run[3] for run in results[name]]
    cured = []
    for seed in range(3):
        torch.manual_seed(seed)
        cured.append(learn(Dropping(torch_fusion.METHODS[name], [16] * 3), x_train, seed))
    rows[f"{name}, no mask"] = np.mean([gaps(model, False) for model in plain], axis=0)
    rows[f"{name}, mask"] = np.mean([gaps(model, True) for model in plain], axis=0)
    rows[f"{name}, dropout"] = np.mean([gaps(model, True) for model in cured], axis=0)
best = [mood.bayes_accuracy([m for m in names if m != gone]) for gone in ["nothing", *names]]
table = [*rows.values(), best]
fig = plot.matrix(
    table, "What is left when one is missing?", [*rows, "joint ceiling"], ["nothing", *names], xlabel="missing"
)
plot.show(
    fig,
    alt="Accuracy by method and missing modality: a black picture costs most; dropout ends near the ceilings without face or words.",
)

# %%
for name in ("concatenate", "gated unit"):
    unnoticed, masked, cured = (rows[f"{name}, {how}"] for how in ("no mask", "mask", "dropout"))
    assert unnoticed[1] < masked[1] - 0.05  # the face: a black picture is worse than no picture
    assert cured[1] > unnoticed[1] + 0.08 and cured[0] > masked[0] - 0.02
assert rows["concatenate, dropout"][1] > rows["concatenate, mask"][1]
expect_within("concatenate with dropout, face missing", rows["concatenate, dropout"][1], 0.73, 0.025)

# %% [markdown]
# A black picture is far worse than none: to the encoder it is *some* face. Without a face the best possible is 0.74, and
# dropout brings concatenation close to it. The gated unit gains next to nothing over the mask alone. The price is up to a point
# or two elsewhere.
#
# ## 7 · At full size
# Real encoders give vectors of 768 numbers. What would each method cost then, for three modalities and a result of 256?
#
# Where there is a GPU, the cell after it trains a whole model, encoders included, at width 256, with attention between
# *real* sequences: patches of the face, sounds, words.

# %%
from mmcourse.runtime import device, profile

wide = [768] * 3
print(f"full tensor      {np.prod([d + 1 for d in wide]) * 256 / 1e9:8.1f} billion weights")
for name in ("concatenate", "gated unit", "low-rank tensor"):
    print(f"{name:16} {count(torch_fusion.METHODS[name](wide, 256)) / 1e6:8.1f} million")

# %% tags=["free"]
if profile() == "gpu":
    parts = {
        "face": encoders.ImageEncoder(256, channels=(64, 128)),
        "voice": encoders.AudioEncoder(40, 256, channels=128),
    }
    parts["words"] = encoders.TextEncoder(len(train.vocabulary), 256)
    large = encoders.MultimodalClassifier(
        parts, torch_fusion.CrossModalTransformer([128, 128, 256], 256), classes=3
    ).to(device())
    training.fit(large, train.torch_loader(128, seed=0), epochs=5, learning_rate=1e-3)
    print("test accuracy", (training.predict(large, test.torch_loader(500)).argmax(1) == test.labels).mean())
else:
    print(
        "No GPU here, so this did not run. It would have shown the test accuracy of cross-modal attention, trained whole."
    )

# %% [markdown]
# ## 8 · What to remember
# - A sum of separate scores, however it is dressed, cannot learn that one modality turns another around.
# - Know the ceilings first: singles, best sum, joint. They say whether fusion can help at all.
# - Two baselines to beat: concatenation with a layer behind it, and stacking on finished opinions.
# - A ranking at one budget is a ranking of budgets. Train longer before you say that a method fails.
# - Count the parameters, and move one sample: the others must not move.
# - Weights of attention or $\alpha$ are not importance. Train with gaps if you will meet gaps.
#
# ## 9 · Check yourself
# <details><summary>Your fusion layer turns inputs (64, 32) into (64, 64, 32). What happened?</summary>
# Every sample met every other: an einsum or a broadcast with two batch letters. It must be one letter, "bd,bd->bd".</details>
# <details><summary>Why divide by the prior when opinions are multiplied?</summary>
# Each opinion contains it. Three opinions hold it three times, and it should count once.</details>
# <details><summary>A trained sum of scores has 0.79, and the table says that it can have 0.79; the joint ceiling is 0.93. Train longer?</summary>
# No. Change the method: the missing points are interaction. A small network on the same opinions is already another method.</details>
# <details><summary>After twelve epochs method A has 0.78 and method B 0.87. Is B better?</summary>
# It learns faster. Give both more epochs, tuned alike, and look again.</details>
# <details><summary>A modality is replaced by zeros at test time. Why is that not "missing"?</summary>
# Zero is a value: for standardized vectors it is the average message. Train with gaps, with a token that says "nobody".</details>

# %% [markdown]
# ## 10 · Exercises
# Four tasks wait in [the exercise notebook](exercises/fusion.ipynb): a gated unit by hand, the full tensor inside a low-rank
# one, a layer that mixes up samples, and the choice of a method from a table alone.
#
# ## Sources
# Baltrušaitis, Ahuja, Morency 2019, *Multimodal machine learning*, arXiv 1705.09406 · Kittler et al. 1998, *On combining
# classifiers* · Arevalo et al. 2017, arXiv 1702.01992 · Kim et al. 2017, arXiv 1610.04325 · Fukui et al. 2016, arXiv
# 1606.01847 · Zadeh et al. 2017, arXiv 1707.07250 · Liu et al. 2018, arXiv 1806.00064 · Perez et al. 2018, arXiv 1709.07871 ·
# Tsai et al. 2019, arXiv 1906.00295 · Nagrani et al. 2021, arXiv 2107.00135 · Neverova et al. 2016, arXiv 1501.00102 ·
# Bertschinger et al. 2014, *Quantifying unique information*, arXiv 1311.2852 · Minsky and Papert 1969, *Perceptrons*.
