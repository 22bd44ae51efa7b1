# %% [markdown]
# # Recurrent networks, deeper
# *Six places where two frameworks, or a paper and a framework, compute something else without a word; and how to read a text that never ends.*
#
# {{budget}}
#
# **You will be able to**
# - carry LSTM and GRU weights between NumPy, PyTorch and Keras, and prove that nothing was lost;
# - say what two biases, `reset_after`, a mask and `clipnorm` change;
# - compare how the frameworks start their weights;
# - read a sequence in pieces, and say what truncated backpropagation cannot learn.
#
# **Before this:** [rnn](rnn.ipynb). **Time to read:** 30 minutes.

# %%
import keras
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from mmcourse import widgets
from mmcourse.evaluate import mean_and_interval
from mmcourse.numpy import recurrent, weight_conversion

np.set_printoptions(precision=3, suppress=True)
g = np.random.default_rng(0)
x = g.normal(size=(2, 6, 3))  # (b, t, d_in)
x_torch = torch.tensor(x)
shapes = {"input.w": (3, 16), "hidden.w": (4, 16), "input.b": (16,)}
lstm = {name: 0.5 * g.normal(size=shape) for name, shape in shapes.items()}
shapes = {"input.w": (3, 12), "hidden.w": (4, 12), "input.b": (12,), "hidden.b": (12,)}
gru = {name: 0.5 * g.normal(size=shape) for name, shape in shapes.items()}
y_lstm, _ = recurrent.lstm(x, lstm)  # (b, t, d)
y_gru, _ = recurrent.gru(x, gru)

# %% [markdown]
# ## 1 · One bias or two

# %% [markdown]
# Both frameworks stack an LSTM's parts in the order $i, f, g, o$ (Keras calls the candidate $c$). The arrays are transposed, and PyTorch has two biases that it adds.

# %%
torch_lstm = nn.LSTM(3, 4, batch_first=True).double()
torch_lstm.load_state_dict(
    {
        "weight_ih_l0": torch.tensor(lstm["input.w"].T),  # PyTorch keeps (4d, d_in)
        "weight_hh_l0": torch.tensor(lstm["hidden.w"].T),
        "bias_ih_l0": torch.tensor(lstm["input.b"]),
        "bias_hh_l0": torch.zeros(16).double(),
    }
)
keras_lstm = keras.layers.LSTM(4, return_sequences=True, dtype="float64")
keras_lstm.build(x.shape)
keras_lstm.set_weights([lstm["input.w"], lstm["hidden.w"], lstm["input.b"]])
by_torch = torch_lstm(x_torch)[0].detach().numpy()
for name, found in {"PyTorch": by_torch, "Keras": np.array(keras_lstm(x))}.items():
    print(f"{name:8} {found.shape} differs from NumPy by at most", end=" ")
    print(f"{abs(found - y_lstm).max():.10f}")

# %% [markdown]
# The second bias changes no output. Does it change the training?

# %%
bias_guess = widgets.guess(
    "One step of gradient descent: how far does the sum of both biases move?",
    ["as far as one bias", "twice as far", "half as far"],
)


# %%
def moved_by_one_step(kind, frozen):
    """How far the sum of both biases moves; `frozen`: only the first of them learns."""
    torch.manual_seed(0)
    layer = nn.LSTM(3, 4, batch_first=True).double()
    layer.bias_hh_l0.requires_grad_(not frozen)
    before = (layer.bias_ih_l0 + layer.bias_hh_l0).detach().clone()
    optimizer = kind([p for p in layer.parameters() if p.requires_grad], lr=0.1)
    layer(x_torch)[0].sum().backward()
    optimizer.step()
    return (layer.bias_ih_l0 + layer.bias_hh_l0).detach() - before


for kind in (torch.optim.SGD, torch.optim.Adam):
    both = moved_by_one_step(kind, frozen=False)
    one = moved_by_one_step(kind, frozen=True)
    times = both / one
    print(f"{kind.__name__:4}: {times.min():.2f} to {times.max():.2f} times as far")
bias_guess.compare("twice as far")

# %% [markdown]
# Both get the same gradient, and both move. So in PyTorch the bias of a recurrent layer takes steps twice as long, with plain gradient descent and with Adam. To compare trainings, freeze one: `bias_hh_l0.requires_grad_(False)`.
#
# Two biases are how NVIDIA's library cuDNN lays them out, which both frameworks call on a GPU. (Keras uses it only for layers with its default activations, and for a GRU only with `reset_after=True`; with other options the same layer runs, slower.)

# %% [markdown]
# ## 2 · The GRU: order, and where it resets

# %%
torch_gru = nn.GRU(3, 4, batch_first=True).double()
arrays = weight_conversion.torch_recurrent(gru)
torch_gru.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})


def keras_gru(arrays, mask=None, **options):
    layer = keras.layers.GRU(4, return_sequences=True, dtype="float64", **options)
    layer.build(x.shape)
    layer.set_weights(arrays)
    return np.array(layer(x, mask=mask))


converted = weight_conversion.keras_gru(gru)  # kernel, recurrent kernel, biases (2, 3d)
as_they_are = [
    gru["input.w"],
    gru["hidden.w"],
    np.stack([gru["input.b"], gru["hidden.b"]]),
]
one_bias = [*converted[:2], converted[2].sum(axis=0)]
by_torch = torch_gru(x_torch)[0].detach().numpy()
print(f"PyTorch                       off by {abs(by_torch - y_gru).max():.0e}")
ways = {
    "Keras, gates exchanged": keras_gru(converted),
    "Keras, gates as they are": keras_gru(as_they_are),
    "Keras, reset_after=False": keras_gru(one_bias, reset_after=False),
}
for name, found in ways.items():
    gap = abs(found - y_gru).max()
    print(f"{name:29} off by", f"{gap:.0e}" if gap < 1e-9 else f"{gap:.2f}")
assert abs(ways["Keras, gates exchanged"] - y_gru).max() < 1e-10

# %% [markdown]
# In the last row the reset comes *before* the product, $(r \odot h)\,U_n$, as in the paper (Cho et al. 2014). With $r$ inside, a bias on $h U_n$ and one on $x W_n$ can be added up, so one is enough; with $r$ outside, they cannot. That is why a GRU needs both biases and an LSTM does not. Weights trained in one form cannot be used in the other.

# %% [markdown]
# ## 3 · How they start

# %%
start_guess = widgets.guess(
    "Which framework's LSTM remembers longer before training?",
    ["Keras's", "PyTorch's", "no difference"],
)


# %%
def left_after(layer_weights, steps=50, seed=0):
    """Share of the gradient at the cell that is left 49 steps back."""
    g = np.random.default_rng(seed)
    W, U, b = layer_weights
    p = {"input.w": W, "hidden.w": U, "input.b": b}
    _, cache = recurrent.lstm(g.normal(size=(1, steps, 32)), p)
    dstate = [np.zeros((1, 32)), g.normal(size=(1, 32))]
    norms = []
    for step in reversed(cache["steps"]):
        norms.append(np.sqrt(sum((part**2).sum() for part in dstate)))
        _, dstate, _ = recurrent.CELLS["lstm"][1](dstate, step)
    return norms[-1] / norms[0]


found = {"Keras": [], "PyTorch": []}
for seed in range(5):
    keras.utils.set_random_seed(seed)
    layer = keras.layers.LSTM(32)
    layer.build((None, None, 32))
    found["Keras"].append(left_after(layer.get_weights(), seed=seed))
    torch.manual_seed(seed)
    layer = nn.LSTM(32, 32)
    w = {name: p.detach().numpy() for name, p in layer.named_parameters()}
    bias = w["bias_ih_l0"] + w["bias_hh_l0"]
    weights = (w["weight_ih_l0"].T, w["weight_hh_l0"].T, bias)
    found["PyTorch"].append(left_after(weights, seed=seed))
for name, shares in found.items():
    rate = np.exp(np.log(shares) / 49)
    mean, interval = mean_and_interval(rate)
    print(f"{name:8} keeps {mean:.3f} ± {interval:.3f} of the gradient per step")
start_guess.compare("Keras's")
assert min(found["Keras"]) > max(found["PyTorch"])

# %% [markdown]
# Keras starts the forget gate's bias at 1, $U$ orthogonal and $W$ by Glorot's rule. PyTorch draws everything between $-1/\sqrt d$ and $1/\sqrt d$, biases included. (± is a 95 % interval over five seeds.) Whoever compares "an LSTM in Keras" with "an LSTM in PyTorch" compares two starts.

# %% [markdown]
# ## 4 · Masks

# %% [markdown]
# At a padded step the course's version leaves the state alone and gives 0, as PyTorch's packed sequences do. Keras leaves the state alone, too, but repeats the last *output* unless it is told otherwise.

# %%
lengths = np.array([6, 3])
padding_mask = np.arange(6) < lengths[:, None]  # (b, t)
y_masked, _ = recurrent.gru(x, gru, padding_mask)
for i, length in enumerate(lengths):
    alone, _ = recurrent.gru(x[i : i + 1, :length], gru)
    assert np.allclose(y_masked[i, :length], alone[0])
zeroed = keras_gru(converted, padding_mask, zero_output_for_mask=True)
repeated = keras_gru(converted, padding_mask)
gap = abs(zeroed - y_masked).max()
print(f"zero_output_for_mask=True differs from ours by at most {gap:.10f}")
print("outputs of the short sequence at steps 3 to 6, one unit:", repeated[1, 2:, 0])
print("mean of the three real steps    ", y_masked[1, :3].mean(axis=0))
print("mean of all six, Keras's default", repeated[1].mean(axis=0))

# %% [markdown]
# A mean over all steps is then wrong without a word: the last real output counts four times. `keras.layers.GlobalAveragePooling1D` uses the mask if it gets it; a mean that you write yourself does not.

# %% [markdown]
# ## 5 · Clipping: by array or in all

# %%
for option in ({"clipnorm": 1.0}, {"global_clipnorm": 1.0}):
    weights = [keras.Variable([0.0]), keras.Variable([0.0])]
    gradient = [np.float32([3]), np.float32([4])]  # norm 5
    keras.optimizers.SGD(1.0, **option).apply(gradient, weights)
    steps = [round(-float(w.numpy()[0]), 2) for w in weights]
    print(f"{option}: step {steps}, second over first {steps[1] / steps[0]:.2f}")

# %% [markdown]
# `clipnorm` clips each array by itself: both become 1, and the direction is another one (it was 4/3 = 1.33). `global_clipnorm` is what PyTorch's `clip_grad_norm_` does.

# %% [markdown]
# ## 6 · Texts without an end

# %% [markdown]
# A network that is handed the last state of one piece continues as if it had never stopped.

# %%
front, cache_front = recurrent.lstm(x[:, :4], lstm)
back, _ = recurrent.lstm(x[:, 4:], lstm, state=cache_front["last"])
gap = abs(np.concatenate([front, back], axis=1) - y_lstm).max()
print("read in two pieces, the state handed over:", end=" ")
print(f"differs from reading at once by at most {gap:.10f}")

# %% [markdown]
# The gradient usually stops at the border (**truncated backpropagation through time**): otherwise memory would grow with the text. What can then not be learned? The task of the lesson's section 11: name the first of 21 symbols. An LSTM with an open forget gate gets each sequence whole, or in pieces of seven, with the state handed over and detached.

# %%
pieces_guess = widgets.guess(
    "In pieces of 7, with the state handed over, it learns to name the first…",
    ["as well", "more slowly", "not at all"],
)


# %%
def train_memory(piece, forget_bias, seed, steps=250):
    """Accuracy on 1,000 new sequences."""
    torch.manual_seed(seed)
    layer, out = nn.LSTM(8, 32, batch_first=True), nn.Linear(32, 4)
    with torch.no_grad():
        layer.bias_ih_l0[32:64] = forget_bias
    parameters = [*layer.parameters(), *out.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-2)

    def read(num_sequences):
        first = torch.randint(4, (num_sequences,))
        others = torch.randint(4, 8, (num_sequences, 20))
        symbols = torch.cat([first[:, None], others], dim=1)
        inputs = nn.functional.one_hot(symbols, 8).float()
        state = None
        for part in inputs.split(piece, dim=1):
            if state is not None:
                state = tuple(s.detach() for s in state)
            y, state = layer(part, state)
        return out(y[:, -1]), first

    for _ in range(steps):
        logits, first = read(64)
        loss = nn.functional.cross_entropy(logits, first)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    with torch.no_grad():
        logits, first = read(1000)
    return (logits.argmax(dim=1) == first).double().mean().item()


# %% tags=["free"]
print("accuracy by seed (chance 0.25)")
found = {}
for piece in (21, 7):
    found[piece] = [train_memory(piece, 3.0, seed) for seed in range(5)]
    print(f"pieces of {piece:2}  ", *(f"{score:.2f}" for score in found[piece]))
pieces_guess.compare("more slowly")
assert min(found[21]) > 0.95 > np.mean(found[7]) > 0.3

# %% [markdown]
# Whole sequences: all five runs learn it. In pieces, some do and some do not. That any does may surprise you: no gradient ever reaches the piece in which the symbol stood. But the state does reach the last piece. How much of the first symbol is in it before any training? A linear probe on the last state of *untrained* networks tells:


# %%
def probed(forget_bias, seed, distance=20):
    """Accuracy of logistic regression on the last states of an untrained LSTM."""
    torch.manual_seed(seed)
    layer = nn.LSTM(8, 32, batch_first=True)
    first = torch.randint(4, (2000,))
    others = torch.randint(4, 8, (2000, distance))
    symbols = torch.cat([first[:, None], others], dim=1)
    with torch.no_grad():
        layer.bias_ih_l0[32:64] = forget_bias
        states = layer(nn.functional.one_hot(symbols, 8).float())[0][:, -1].numpy()
    states = states / states.std(axis=0)
    model = LogisticRegression(C=10, max_iter=2000).fit(states[:1000], first[:1000])
    return model.score(states[1000:], first[1000:])


for forget_bias in (0.0, 3.0):
    mean, interval = mean_and_interval([probed(forget_bias, seed) for seed in range(5)])
    print(f"forget bias {forget_bias:g}: {mean:.2f} ± {interval:.2f}    chance 0.25")

# %% [markdown]
# With the gate open, an untrained network already holds the symbol over 20 steps, for a linear layer to read. So a run in pieces can succeed with what the random start wrote down; nothing taught it what to write. With a forget bias of 0 nothing is left, and there is nothing to find. **In pieces, a network can only use what happens to be in its state.** (Williams and Peng 1990 let the gradient go back a fixed number of steps at each step, so that no place in the text is a hard border.)

# %% [markdown]
# ## 7 · The proof

# %% [markdown]
# The course has all three cells in NumPy, PyTorch and Keras. Tests hold them equal to one another and to both frameworks' layers; here is what they see. (Largest difference, relative to the largest value: outputs, gradients, and weights after five steps of training.)

# %% tags=["free"]
from mmcourse.parity import compare, parity_cases

for case in parity_cases():
    if any(kind in case.name for kind in ("RNN", "LSTM", "GRU")):
        for r in compare(case):
            numbers = f"output {r.forward:.0e}, gradient {r.gradient:.0e}"
            print(f"{case.name:24}{r.pair:13} {numbers}, 5 steps {r.sgd:.0e}")
            assert not r.faults()

# %% [markdown]
# ## What to remember

# %% [markdown]
# 1. PyTorch's two biases compute the same and learn twice as fast.
# 2. GRU weights need two exchanges ($r$ and $z$, in kernels and biases) and the same place for the reset.
# 3. The frameworks start LSTMs differently; with Keras's start more of the gradient survives.
# 4. A mask protects the state. What it does to the outputs at padded steps differs.
# 5. A state can be handed over any border; gradients are cut there. Nothing teaches the network what to write down for later pieces: it can only use what happens to be in its state.
#
# ## Sources
# - K. Cho et al. (2014), arXiv 1406.1078: the GRU, with the reset before the product.
# - R. Jozefowicz, W. Zaremba, I. Sutskever (2015), *An empirical exploration of recurrent network architectures*: the forget bias.
# - R. Pascanu, T. Mikolov, Y. Bengio (2013), arXiv 1211.5063: clipping by the norm of all gradients.
# - R. Williams, J. Peng (1990), *An efficient gradient-based algorithm for on-line training of recurrent network trajectories*: truncated backpropagation.
# - PyTorch and Keras documentation of `nn.LSTM`, `nn.GRU`, `keras.layers.LSTM`, `keras.layers.GRU`.
