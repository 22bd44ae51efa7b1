# %% [markdown]
# # Training in Keras, deeper
# *Nine defaults that differ between PyTorch and Keras, each with a line that shows it and a line that handles it; which of them shows in a loss curve, and when; and a run that survives a power cut to the last bit.*
#
# {{budget}}
#
# **You will be able to**
# - carry weights and settings between the frameworks without silent errors;
# - look at two loss curves that part, and say where to search;
# - resume an interrupted run exactly, and export a model for use without Keras.
#
# **Before this:** [train_keras](train_keras.ipynb). **Time to read:** 40 minutes.

# %% tags=["hide-input"]
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import torch
from keras import layers, ops
from torch import nn

import mmcourse.keras.encoders as K
import mmcourse.torch.encoders as T
from mmcourse import plot, widgets
from mmcourse.datasets import load
from mmcourse.evaluate import expect_within
from mmcourse.keras.fusion import Concatenate as KerasConcatenate
from mmcourse.parity import copy_weights
from mmcourse.torch.fusion import Concatenate
from mmcourse.training.keras import AdamW, create_optimizer, fit, warmup_cosine
from mmcourse.training.torch import param_groups_weight_decay
from mmcourse.training.torch import warmup_cosine as factor

np.set_printoptions(precision=3, suppress=True)
tf.get_logger().setLevel("ERROR")
warnings.filterwarnings("ignore", module="keras")
folder = Path(tempfile.mkdtemp())
train = load("mood", "train")
small = train.subset(np.arange(640))  # 20 batches of 32
vocabulary_size = len(train.vocabulary)


def show_gap(name, ours, theirs, limit):
    """Print the largest difference, or that it is below the limit."""
    gap = np.abs(np.asarray(ours) - np.asarray(theirs)).max()
    said = f"below {limit:.0e}" if gap < limit else f"{gap:.2g}"
    print(f"{name}: largest difference {said}")


# %% [markdown]
# ## 1 · Repeated words
# The gradient of an embedding comes as rows, one for each word *in the batch*. Where a word comes three times, Keras's Adam puts the sum
# of the three squares into its running mean $v$. PyTorch adds the rows first, then squares.

# %%
word_guess = widgets.guess(
    "A word comes three times, each time with gradient 1. What goes into v?",
    ["3 in both", "9 in both", "3 in Keras, 9 in PyTorch"],
)

# %%
moments = {}
for name, adam_class in (
    ("Keras's Adam", keras.optimizers.Adam),
    ("the course's AdamW", AdamW),
):
    table = layers.Embedding(2, 1)
    table.build(None)
    with tf.GradientTape() as tape:
        loss = ops.sum(table(np.array([0, 0, 0, 1])))  # word 0 three times
    optimizer = adam_class(0.1)
    gradient = tape.gradient(loss, [table.embeddings.value])
    optimizer.apply(gradient, [table.embeddings])
    moments[name] = optimizer.variables[-1].numpy().ravel() / 0.001  # v / (1 - β₂)

words = nn.Embedding(2, 1)
adam = torch.optim.Adam(words.parameters(), 0.1)
words(torch.tensor([0, 0, 0, 1])).sum().backward()
adam.step()
squares = adam.state[words.weight]["exp_avg_sq"]
moments["PyTorch's Adam"] = squares.numpy().ravel() / 0.001
for name, v in moments.items():
    print(f"{name:19} word 0: {v[0]:.2f}   word 1: {v[1]:.2f}")
assert np.allclose(moments["Keras's Adam"], [3, 1], rtol=1e-3)
for name in ("the course's AdamW", "PyTorch's Adam"):
    assert np.allclose(moments[name], [9, 1], rtol=1e-3)
word_guess.compare("3 in Keras, 9 in PyTorch")

# %% [markdown]
# ## 2 · Weight decay
# Both multiply by $1 - \eta \lambda$ before the step. Loshchilov and Hutter (2019), who proposed AdamW, scale $\lambda$ by the schedule
# alone, not by $\eta$: their 0.003 is 0.3 here, at a rate of 0.01. The defaults differ, and both decay *everything*, biases too. Leave those out.

# %%
matrix, bias = keras.Variable(np.ones((2, 2))), keras.Variable(np.ones(2))
optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.3)
optimizer.exclude_from_weight_decay(var_list=[bias])  # PyTorch: parameter groups
optimizer.apply([np.zeros((2, 2)), np.zeros(2)], [matrix, bias])
print("matrix", matrix.numpy()[0, 0].round(4), " bias", bias.numpy()[0])
in_torch = torch.optim.AdamW([torch.zeros(1)]).defaults["weight_decay"]
print("defaults: PyTorch", in_torch, " Keras", keras.optimizers.AdamW().weight_decay)

# %% [markdown]
# One trap more: the list of weights that do not decay is *not saved* in a `.keras` file. After `load_model`, all of them decay. Compile again after loading.

# %%
net = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.3)
optimizer.exclude_from_weight_decay(var_list=[net.layers[0].bias])
net.compile(optimizer, "mse")
net.save(folder / "net.keras")
loaded = keras.saving.load_model(folder / "net.keras")
for name, model in (("before saving", net), ("after loading", loaded)):
    kept = getattr(model.optimizer, "_exclude_from_weight_decay", None) or []
    print(f"{name}: {len(kept)} weights do not decay")

# %% [markdown]
# ## 3 · Normalization
# The lesson showed batch normalization's momentum. Two more: PyTorch's *running* variance divides by $n - 1$, Keras's by $n$. And ε is a hundred times larger in Keras, for
# layer normalization too.

# %%
data = np.random.default_rng(0).normal(5, 2, (4, 1)).astype("float32")
in_torch, in_keras = (
    nn.BatchNorm1d(1, momentum=1.0),
    layers.BatchNormalization(momentum=0.0),
)
in_torch(torch.tensor(data))
in_keras(data, training=True)
found = in_torch.running_var.item(), in_keras.moving_variance.numpy().item()
print("running variance: PyTorch {:.3f}  Keras {:.3f}".format(*found))
assert np.allclose(found, [data.var(ddof=1), data.var()], rtol=1e-4)
print(
    "batch norm ε: Keras",
    layers.BatchNormalization().epsilon,
    " PyTorch",
    nn.BatchNorm1d(1).eps,
)
print(
    "layer norm ε: Keras",
    layers.LayerNormalization().epsilon,
    " PyTorch",
    nn.LayerNorm(1).eps,
)

# %% [markdown]
# ## 4 · GRU and LSTM
# PyTorch's GRU keeps its gates in the order r, z, n, Keras in the order z, r, h; lesson [rnn](rnn.ipynb) derives them. Both apply the reset gate after
# the matrix product (`reset_after=True`), with two biases. So: transpose, and exchange the first two blocks.

# %%
gru, cells = nn.GRU(3, 4, batch_first=True), layers.GRU(4)
sequence = np.random.default_rng(1).normal(size=(2, 5, 3))  # (b, t, d)
sequence = sequence.astype("float32")
cells(sequence)


def gates(weight):
    """PyTorch (3·4, …) → Keras (…, 3·4)."""
    r, z, n = weight.detach().numpy().reshape(3, 4, -1)
    return np.concatenate([z, r, n]).T.squeeze()


biases = np.stack([gates(gru.bias_ih_l0), gates(gru.bias_hh_l0)])
cells.set_weights([gates(gru.weight_ih_l0), gates(gru.weight_hh_l0), biases])
wanted = gru(torch.tensor(sequence))[1][0].detach().numpy()
show_gap("GRU, gates exchanged", cells(sequence), wanted, 1e-5)
as_they_are = np.stack([gru.bias_ih_l0.detach(), gru.bias_hh_l0.detach()])
kernels = [gru.weight_ih_l0.detach().T, gru.weight_hh_l0.detach().T]
cells.set_weights([*kernels, as_they_are])
assert np.abs(cells(sequence) - wanted).max() > 0.01  # shapes fit, answers do not

# %% [markdown]
# The LSTM has one order, i f g o, in both. But PyTorch has two biases, which only ever act as their sum, and Keras has one, which
# starts with 1 for the forget gate: "remember" at first.

# %%
lstm = layers.LSTM(2)
lstm.build((None, None, 3))
print("Keras  ", lstm.get_weights()[2], " i i f f g g o o")
names = [name for name, _ in nn.LSTM(3, 2).named_parameters() if "bias" in name]
print("PyTorch", names, "to be added up")

# %% [markdown]
# ## 5 · Padding at stride 2
# `padding="same"` in Keras pads only as much as is needed, and on the right and below first. PyTorch's `padding=1` pads all sides. The shapes
# agree, the values do not.

# %%
pad_guess = widgets.guess(
    "4 × 4 pixels, a 3 × 3 kernel of ones, stride 2: whose first output is larger?",
    ["Keras's", "PyTorch's", "both equal"],
)

# %%
picture = np.arange(16.0, dtype="float32").reshape(1, 4, 4, 1)
same = layers.Conv2D(1, 3, strides=2, padding="same", kernel_initializer="ones")
valid = layers.Conv2D(1, 3, strides=2, kernel_initializer="ones")
handled = valid(ops.pad(picture, ((0, 0), (1, 1), (1, 1), (0, 0)))).numpy()
channels_first = torch.tensor(picture).permute(0, 3, 1, 2)
conv = nn.functional.conv2d(channels_first, torch.ones(1, 1, 3, 3), stride=2, padding=1)
print("Keras, 'same'      ", same(picture).numpy().ravel())
print("PyTorch, padding=1 ", conv.numpy().ravel())
print("Keras, padded first", handled.ravel())
assert np.array_equal(handled.ravel(), conv.numpy().ravel())
pad_guess.compare("Keras's")

# %% [markdown]
# ## 6 · Channel order, when you flatten
# Kernels are easy: transpose. But a `Flatten` before a dense layer counts pixels and channels in another order, and the dense layer's
# rows must follow. Nothing warns you: the shapes fit.

# %%
maps = np.arange(8.0).reshape(1, 2, 2, 2)  # (b, h, w, c)
print("Keras  ", maps.reshape(-1))
print("PyTorch", maps.transpose(0, 3, 1, 2).reshape(-1))
order = np.arange(8).reshape(2, 2, 2).transpose(1, 2, 0).ravel()
print("PyTorch's, in Keras's order", maps.transpose(0, 3, 1, 2).reshape(-1)[order])

# %% [markdown]
# ## 7 · GELU
# There are two: exact, and an approximation with tanh (Hendrycks and Gimpel 2016 give both). Which does each name mean, if you say nothing more?

# %%
gelu_guess = widgets.guess(
    "keras.ops.gelu and keras.activations.gelu, by default:",
    [
        "both exact",
        "both tanh",
        "ops tanh, activations exact",
        "ops exact, activations tanh",
    ],
)

# %%
z = np.linspace(-4, 4, 801).astype("float32")
exact = nn.functional.gelu(torch.tensor(z)).numpy()
tanh = nn.functional.gelu(torch.tensor(z), approximate="tanh").numpy()
forms = {}
for name, gelu in (
    ("keras.activations.gelu", keras.activations.gelu),
    ('Dense(activation="gelu")', keras.activations.get("gelu")),
    ("keras.ops.gelu", keras.ops.gelu),
    ("nn.functional.gelu", lambda z: nn.functional.gelu(torch.tensor(z))),
):
    made = np.asarray(gelu(z))
    is_exact = np.abs(made - exact).max() < np.abs(made - tanh).max()
    forms[name] = "exact" if is_exact else "tanh"
    print(f"{name:25} {forms[name]}")
print("exact and tanh differ by at most", np.abs(exact - tanh).max().round(5))
assert forms["keras.ops.gelu"] == "tanh"
assert {form for name, form in forms.items() if name != "keras.ops.gelu"} == {"exact"}
gelu_guess.compare("ops tanh, activations exact")

# %% [markdown]
# Many published models (GPT-2 among them) were trained with the tanh form. So do not assume, look.
#
# ## 8 · Where training starts
# Keras starts dense layers by Glorot's rule, with variance $2 / (n_\text{in} + n_\text{out})$, and biases at 0. PyTorch draws both evenly from $\pm 1/\sqrt{n_\text{in}}$. It calls a function named after Kaiming He for that, but with a setting
# that leaves a sixth of the variance of He's rule, $2/n_\text{in}$: `nn.Linear` does *not* start by He's rule. Embeddings: within ±0.05 in Keras, a normal with spread 1 in PyTorch.

# %%
dense, table = layers.Dense(64), layers.Embedding(500, 16)
dense.build((None, 256))
table.build(None)
torch.manual_seed(0)
torch_dense = nn.Linear(256, 64).weight.std().item()
torch_table = nn.Embedding(500, 16).weight.std().item()
over_he = torch_dense**2 / (2 / 256)
expect_within("dense: PyTorch's variance over He's rule", over_he, 0.167, 0.01)
expect_within(
    "dense: spread of Keras over PyTorch",
    dense.kernel.numpy().std() / torch_dense,
    2.19,
    0.15,
)
expect_within(
    "embedding: PyTorch over Keras",
    torch_table / table.embeddings.numpy().std(),
    34.6,
    2,
)

# %% [markdown]
# For a fair comparison copy weights, or set `kernel_initializer` and `embeddings_initializer`.
#
# ## 9 · Averages of weights
# Two things are easily confused. Polyak and Juditsky (1992) take the plain *mean* of the weights over the steps of the whole run (or its last part). The option `use_ema=True` of Keras's optimizers keeps an *exponential* moving average, which forgets.
# Constant steps show the difference:

# %%
trail = np.arange(1.0, 11.0)  # a weight that grows by 1 per step
moving = trail[0]
for w in trail[1:]:
    moving = 0.9 * moving + 0.1 * w
averaged = keras.Variable([0.0])
optimizer = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.9)
for _ in trail:
    optimizer.apply([np.array([-1.0], "float32")], [averaged])
kept = optimizer._model_variables_moving_average[0].numpy().item()
print(f"last {trail[-1]:.0f}   mean (Polyak and Juditsky) {trail.mean():.2f}")
print(f"exponential by hand: {moving:.3f}   Keras's: {kept:.3f}")
assert np.isclose(kept, moving, rtol=1e-4)

# %% [markdown]
# ## 10 · If one is forgotten
# Which of these shows in a curve, and when? PyTorch plays both parts here, so that *one* thing differs and nothing else: 60 steps of the course's recipe in
# float64, each time with one Keras default left in.

# %%
first_guess = widgets.guess(
    "Which forgotten default shows in the very first loss?",
    ["the place of ε", "biases that decay", "'same' padding", "none of them"],
)

# %% tags=["hide-input"]
EPOCHS, STEPS = 3, 60


def build(encoders, joining, width=16):
    parts = {
        "face": encoders.ImageEncoder(width),
        "voice": encoders.AudioEncoder(40, width),
    }
    parts["words"] = encoders.TextEncoder(vocabulary_size, width)
    return encoders.MultimodalClassifier(parts, joining([width] * 3, 4 * width), classes=3)


def run_torch(model, optimizer):
    losses, loader = [], small.torch_loader(32, seed=0)
    for batch in [batch for _ in range(EPOCHS) for batch in loader]:
        for m in ("face", "voice"):
            batch["inputs"][m] = batch["inputs"][m].double()
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * factor(len(losses), STEPS)
        loss = nn.functional.cross_entropy(model(batch), batch["target"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


class OneForgotten(torch.optim.Optimizer):
    """AdamW by hand. `form`, `eps`: Adam's; `vectors`: biases decay; `scaled`: decay × rate."""

    def __init__(self, model, form="PyTorch", eps=1e-8, vectors=False, scaled=True):
        super().__init__(model.parameters(), {"lr": 0.01})
        self.form, self.eps, self.vectors, self.scaled = form, eps, vectors, scaled

    @torch.no_grad()
    def step(self):
        rate = self.param_groups[0]["lr"]
        for p in self.param_groups[0]["params"]:
            s = self.state[p]
            if not s:
                s.update(t=0, m=torch.zeros_like(p), v=torch.zeros_like(p))
            s["t"] += 1
            s["m"].lerp_(p.grad, 0.1)
            s["v"].lerp_(p.grad**2, 0.001)
            c1, c2 = 1 - 0.9 ** s["t"], 1 - 0.999 ** s["t"]
            eps = self.eps if self.form == "PyTorch" else self.eps / np.sqrt(c2)
            if p.ndim > 1 or self.vectors:
                p.mul_(1 - 0.3 * (rate if self.scaled else 0.01))
            p.sub_(rate * (s["m"] / c1) / ((s["v"] / c2).sqrt() + eps))


def pad_as_keras(model):
    convolutions = model.encoders["face"].convolutions
    for i, conv in enumerate(convolutions):
        conv.padding = (0, 0)
        convolutions[i] = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), conv)
    return model


def fresh(change=lambda model: model):
    torch.manual_seed(0)
    return change(build(T, Concatenate).double())


def forgotten(change=lambda model: model, **options):
    model = fresh(change)
    return run_torch(model, OneForgotten(model, **options))


# %% tags=["free"]
right = forgotten()
variants = {
    "ε in Keras's place": forgotten(form="Keras"),
    "ε = 1e-7": forgotten(eps=1e-7),
    "biases decay": forgotten(vectors=True),
    "decay not times rate": forgotten(scaled=False),
    "'same' padding": forgotten(pad_as_keras),
}
apart = {name: np.abs(losses - right) for name, losses in variants.items()}
shown = {name: np.maximum(gap, 1e-10) for name, gap in apart.items()}
fig = plot.curves(
    shown,
    title="Which forgotten default shows, and when?",
    xlabel="step",
    ylabel="difference",
    log=True,
)
plot.show(
    fig,
    alt="Difference of the loss by step for five defaults: padding at once.",
)

# %% tags=["free"]
for name, gap in apart.items():
    late = np.argmax(gap > 0.001) if (gap > 0.001).any() else "never"
    print(f"{name:22} leaves by 0.001 at step {late:>5}, largest {gap.max():.3f}")

# %% tags=["hide-input"]
model = fresh()
by_torch = run_torch(model, torch.optim.AdamW(param_groups_weight_decay(model, 0.3)))
assert np.abs(right - by_torch).max() < 1e-6  # the optimizer by hand is torch.optim.AdamW
others = [gap[0] for name, gap in apart.items() if name != "'same' padding"]
assert apart["'same' padding"][0] > 1e-4 and max(others) < 1e-12
assert min(gap.max() for gap in apart.values()) > 1e-3
print("padding shows at once, the optimizer's defaults a few steps later")
first_guess.compare("'same' padding")

# %% [markdown]
# That is how to look for it. A gap at step 0 is the model or the batch: weights, padding, an axis. Equal at step 0 and apart at
# step 1 or soon after points to the optimizer, or to the next batch. Slow growth from the last digit is rounding: leave it be.
#
# ### The recipe, in Keras
# And with all of them handled, by `mmcourse.training.keras.create_optimizer`? The same 60 steps in Keras:

# %% tags=["free"]
keras.config.set_floatx("float64")
keras.config.set_dtype_policy("float64")
theirs = build(K, KerasConcatenate)
theirs.build(None)
copy_weights(fresh(), theirs)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
theirs.compile(create_optimizer(theirs, warmup_cosine(0.01, STEPS), 0.3), loss)
batches = small.tf_dataset(32, seed=0)
in_keras = [theirs.train_on_batch(x, y) for _ in range(EPOCHS) for x, y in batches]
keras.config.set_floatx("float32")
keras.config.set_dtype_policy("float32")

# %%
recipe_gap = np.abs(np.array(in_keras, dtype=float) - by_torch)
expect_within("the whole recipe, 50 steps: largest gap", recipe_gap[:50].max(), 0, 1e-6)

# %% [markdown]
# ## 11 · Stop, and go on, exactly
# The lesson cut the power, and `BackupAndRestore` did not bring back the order of the data. `fit` of the course's wrapper with `folder=` and `resume=True` keeps the order, the state of
# dropout, the history and what early stopping knew, in one file that is replaced atomically, and tells the data which epoch it is.


# %%
def reader():
    keras.utils.set_random_seed(0)
    encoders = {"words": K.TextEncoder(vocabulary_size, 16)}
    net = K.MultimodalClassifier(encoders, KerasConcatenate([16], 16), classes=3)
    net.build(None)
    return net


def largest(a, b):
    pairs = zip(a.get_weights(), b.get_weights(), strict=True)
    return max(np.abs(x - y).max() for x, y in pairs)


options = {"epochs": 4, "progress": False}
kept = Path(tempfile.mkdtemp())
never_stopped, stopped = reader(), reader()
fit(never_stopped, small.tf_dataset(32, seed=0), **options)
data = small.tf_dataset(32, seed=0)
set_epoch = data.set_epoch


def power_cut(epoch):
    if epoch == 2:
        raise InterruptedError
    set_epoch(epoch)


data.set_epoch = power_cut
try:
    fit(stopped, data, folder=kept, **options)
except InterruptedError:
    print("power cut in the third epoch")

# %%
again = reader()
data = small.tf_dataset(32, seed=0)
fit(again, data, folder=kept, resume=True, **options)
assert largest(never_stopped, stopped) > 1e-3  # the control: two epochs are not four
assert largest(never_stopped, again) == 0
print("the same weights, to the last bit")

# %% [markdown]
# The tests do this with SIGKILL, in the middle of epochs and of writing the file. What is lost is time: at most the epoch that was under way,
# which is done again.
#
# ## 12 · For use without Keras
# `export` writes a TensorFlow SavedModel: a graph with weights, which a server, a phone or another language can run. It cannot be trained on.

# %%
pairs = small.tf_dataset(32, seed=0)
example = next(iter(pairs))[0]
again.export(folder / "served", input_signature=[pairs.element_spec[0]], verbose=False)
served = tf.saved_model.load(folder / "served")
show_gap("exported model", served.serve(example), again(example), 1e-4)

# %% [markdown]
# ## What to remember
# - Verify a port in float64, from copied weights, on equal batches. Then the rest is rounding.
# - A gap at step 0: the model or the batch. A gap soon after: the optimizer.
# - Shapes that fit prove nothing: gates, flattened channels and 'same' padding all fit.
# - A saved model is not a saved run: order of data, random states, early stopping and exclusions from decay belong to it.
#
# **Back to** [train_keras](train_keras.ipynb). **Where next:** [evaluate](evaluate.ipynb).
#
# ## Sources
# - I. Loshchilov, F. Hutter (2019), *Decoupled weight decay regularization*, arXiv 1711.05101.
# - S. Ioffe, C. Szegedy (2015), *Batch normalization*, arXiv 1502.03167.
# - K. Cho et al. (2014), arXiv 1406.1078: the GRU.
# - D. Hendrycks, K. Gimpel (2016), *Gaussian error linear units*, arXiv 1606.08415.
# - X. Glorot, Y. Bengio (2010), *Understanding the difficulty of training deep feedforward neural networks*.
# - K. He et al. (2015), *Delving deep into rectifiers*, arXiv 1502.01852.
# - B. Polyak, A. Juditsky (1992), *Acceleration of stochastic approximation by averaging*, SIAM Journal on Control and Optimization 30(4).
