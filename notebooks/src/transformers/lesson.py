# %% [markdown]
# # Transformers
# *Build the block that language models and vision models are stacked from, prove that it is the
# libraries' own, cut pictures into tokens for it, and race it against a CNN.*
#
# {{budget}}
#
# **You will be able to**
# - write an encoder block and a decoder block, pre-norm and post-norm, with the shape on every arrow;
# - compute a layer normalization by hand, and say what it does that batch normalization does not;
# - check your block against PyTorch, Keras and a BERT, with copied weights;
# - build a vision transformer (ViT) from patches and train it in PyTorch and in Keras;
# - compare it with a CNN at equal budget, and test *why* one is ahead instead of guessing.
#
# **Before this:** [attention](attention.ipynb) (multi-head attention, positions, masks), [vision](vision.ipynb) (residual connections,
# batch normalization), [cnn](cnn.ipynb).
#
# **Time to read:** 90 minutes with the five blanks, then 75 for the [exercises](exercises/transformers.ipynb).

# %%
import time

import keras
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import data_dir, load, results
from mmcourse.evaluate import expect_within, mean_and_interval
from mmcourse.torch.attention import MultiHeadAttention
from mmcourse.torch.transformer import VisionTransformer

np.set_printoptions(precision=2, suppress=True)
stored = results("transformers")


# %% [markdown]
# ## 1 · A picture as a sentence

# %% [markdown]
# A transformer reads a *sequence*. A picture becomes one if you cut it up. The next cell cuts handwritten digits of 8 × 8 pixels into 16 pieces of 2 × 2,
# and trains a small transformer on 1,200 of them (the other 597 are for the test). It has no convolution, and nobody tells it which pieces are neighbors.
# The cell is folded; by section 8 you will have written every part of the model yourself (attention in the lesson before). (One more token, the *class token*, goes in front of the pieces; the answer is read from it. Section 8 explains it.)

# %% tags=["hide-input", "free"]
digits = load_digits()  # in the order of the file: others wrote the last ones
pictures = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1  # (1797, 1, 8, 8)
labels = torch.tensor(digits.target)
train_x, train_y, test_x, test_y = (
    pictures[:1200],
    labels[:1200],
    pictures[1200:],
    labels[1200:],
)


class DigitReader(nn.Module):
    """Digits (b, 1, 8, 8) → logits (b, 10): 16 pieces and a class token through 2 blocks."""

    def __init__(self, positions=True):
        super().__init__()
        self.vit = VisionTransformer(8, 2, 1, num_layers=2, dim=32, num_heads=4)
        if not positions:
            self.vit.positions = nn.Parameter(torch.zeros(17, 32), requires_grad=False)
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.vit(x)[:, 0])  # reads the class token


def train(model, x, y, steps, rate=3e-3, seed=0, print_every=0):
    """AdamW with a short warm-up, then a cosine to 0; batches of 64."""
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    losses = []
    for step in range(1, steps + 1):
        rows = torch.randint(len(x), (64,))
        loss = F.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if print_every and step % print_every == 0:
            print(f"step {step:4}  loss {np.mean(losses[-print_every:]):.3f}")
    return model.eval()


@torch.no_grad()
def predict(model, x):
    """Classes, (n,)."""
    return torch.cat([model(part).argmax(dim=1) for part in x.split(500)])


torch.manual_seed(0)
digit_reader = train(DigitReader(), train_x, train_y, 400, print_every=80)

# %% [markdown]
# How does it do on digits that it has not seen? Here are six of them, cut as the model sees them.


# %% tags=["hide-input"]
def cut_apart(picture, zoom=6):
    """(8, 8) → enlarged, with a gray line after every second pixel."""
    sheet = np.kron(picture, np.ones((zoom, zoom)))
    lines = np.arange(1, 4) * 2 * zoom
    sheet[lines] = sheet[:, lines] = 0.6
    return sheet


six = [0, 1, 2, 3, 4, 5]
shown = [cut_apart(1 - (test_x[i, 0].numpy() + 1) / 2) for i in six]
answers = predict(digit_reader, test_x)
fig = plot.images(shown, [f"answer {answers[i]}" for i in six], columns=6, size=1.1)
plot.show(
    fig,
    alt="Six handwritten digits, each cut into four by four pieces by gray lines, with the model's answers above.",
)

# %%
right = (answers == test_y).float().mean().item()
expect_within("accuracy on 597 new digits", right, 0.86, 0.05)
linear = stored["apart"]["logistic regression"]
print(f"logistic regression on the 64 pixels, same digits: {linear:.3f}")

# %% [markdown]
# So this small transformer is not the best tool for these digits. It is the one that we take apart.

# %% [markdown]
# ## 2 · The question

# %% [markdown]
# Each piece was given a **positional encoding** (lesson [attention](attention.ipynb), section 8): one trained vector per place, added to the piece. Take it away, and train again. Then **shuffle the 16 pieces** of every test digit, and ask the model again.
#
# Record three guesses. The answers come in sections 7 and 9.

# %%
shuffle_guess = widgets.guess(
    "No positional encoding, pieces shuffled. How many of the 597 answers change?",
    ["none", "about a quarter", "about half", "nearly all"],
)

# %%
bag_guess = widgets.guess(
    "No positional encoding, pieces not shuffled. Its accuracy (chance: 0.10) is ...",
    ["below 0.2", "about 0.4", "about 0.7", "as good as with positions"],
)

# %%
race_guess = widgets.guess(
    "A ViT and a CNN of one size learn to count things, 360 steps. Ahead is ...",
    [
        "the ViT, by 10 points",
        "neither",
        "the CNN, by 10 points",
        "the CNN, by 20 or more",
    ],
)

# %% [markdown]
# ## 3 · The block by hand

# %% [markdown]
# ### Why attention alone is not enough
# Attention replaces each token by a weighted average of all tokens. What happens if you average averages? Take eight random tokens through a
# stack of untrained attention layers, and measure how alike they have become: the mean cosine between two of them (1: all point the
# same way).
#
# Four stacks: attention alone; the same layers with *no mixing*, as a control, where each token goes through the same matrices alone; attention *added* to what was there; and the full block of this lesson. (The matrices for values and output start as rotations without bias, so that they bring no two tokens nearer to each other by themselves.) Move the slider.


# %% tags=["hide-input"]
@torch.no_grad()
def likeness(kind, depth, seed):
    """Mean cosine between tokens after each of `depth` layers, [0] before the first."""
    torch.manual_seed(seed)
    x, d = torch.randn(1, 8, 32), 32
    found = []
    for layer in range(depth + 1):
        if layer:
            attention, norm1, norm2 = MultiHeadAttention(d, 4), nn.LayerNorm(d), nn.LayerNorm(d)
            for linear in (attention.v_proj, attention.out_proj):
                nn.init.orthogonal_(linear.weight)  # changes no length and no angle
                nn.init.zeros_(linear.bias)
            mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
            if kind == "attention alone":
                x = attention(x)
            elif kind == "no mixing":  # the same two linear layers, each token alone
                x = attention.out_proj(attention.v_proj(x))
            elif kind == "x + attention":
                x = x + attention(x)
            else:
                x = x + attention(norm1(x))
                x = x + mlp(norm2(x))
        unit = F.normalize(x[0], dim=1)
        found.append((((unit @ unit.T).sum() - 8) / 56).item())
    return found


kinds = ["attention alone", "no mixing", "x + attention", "the full block"]
alike = {kind: np.array([likeness(kind, 12, seed) for seed in range(5)]) for kind in kinds}


def show_depth(layers=3):
    for kind in kinds:
        values = alike[kind][:, layers]
        print(f"{kind:16} after {layers:2} layers: {values.mean():.2f}", end=" ")
        print(f"({values.min():.2f} to {values.max():.2f}, five seeds)")
    fig = plot.curves(
        alike,
        x=range(13),
        title="How alike are the tokens?",
        xlabel="layers",
        ylabel="mean cosine",
    )
    fig.axes[0].axvline(layers, color="#999999", linestyle=":")
    alt = "Mean cosine between tokens by number of layers. Attention alone reaches 1 after two layers; "
    plot.show(
        fig,
        alt=f"{alt}without mixing it stays near 0; with what was there added it rises more slowly. Marked: {layers} layers.",
    )


widgets.slider(show_depth, layers=(0, 12))

# %%
alone = alike["attention alone"][:, 3]
expect_within("attention alone, after 3 layers", alone.mean(), 1.0, 0.02)
for kind, after, band in (("x + attention", 3, 0.4), ("the full block", 12, 0.86)):
    mean = alike[kind][:, after].mean()
    expect_within(f"{kind}, after {after} layers", mean, band, 0.1)
still = alike["no mixing"]
assert abs(still - still[:, :1]).max() < 1e-3

# %% [markdown]
# After two or three layers of attention alone every token is practically the same vector: the tokens can no longer be told apart. Without mixing nothing happens at all, so it is the averaging that does it. (Dong et
# al. 2021 prove that stacks of pure self-attention lose the difference between tokens at a doubly exponential rate, and that residual connections and MLPs slow it down.) Adding what was there slows it down (0.4 after three layers), but twelve untrained layers of it end near 1 as well. With norms and MLPs three layers look the same; after twelve, the mean is 0.86. So a **transformer block** puts three things around attention: a residual connection, a normalization, and a small
# network. One after the other.
#
# ### One: add, do not replace
# Take three tokens of four features, and let each attend to all three equally; learned attention only changes the shares.

# %%
first, second, third = [2, 0, 1, -3], [0, 4, 0, 0], [1, -1, 2, 3]
X = np.array([first, second, third], dtype=float)  # (n = 3, d = 4)
shares = np.full((3, 3), 1 / 3)  # attention weights: rows sum to 1
mixed = shares @ X  # (3, 3) @ (3, 4) → (3, 4)
added = X + mixed

# %% tags=["hide-input"]
flow = draw.row(
    draw.matrix(X, title="x", form=".0f"),
    "+",
    draw.matrix(mixed.round(6) + 0, title="attention(x)", form=".0f", color="orange"),
    "=",
    draw.matrix(added.round(6) + 0, title="x + attention(x)", form=".0f", color="green"),
    gap=14,
)
draw.show(
    flow,
    alt="Three tokens of four features, plus three equal rows 1, 1, 1, 0, give three rows that still differ.",
)

# %% [markdown]
# All rows of the middle table are equal. In the sum the tokens still differ. You know this as a **residual connection** from [vision](vision.ipynb). In a transformer,
# every block *reads* from the same $n \times d$ table and *adds* to it, from the first block to the last. That table of running sums is
# the **residual stream**.

# %% tags=["hide-input"]
canvas = draw.Canvas()
previous = canvas.place(draw.box("tokens", color="gray"), x=0, y=70)
names = [
    ("attention", "orange"),
    ("MLP", "green"),
    ("attention", "orange"),
    ("MLP", "green"),
]
x = 128
canvas.line((previous.right[0], 88), (722, 88), width=5)
for name, color in names:
    part = canvas.place(draw.box(name, color=color, width=96), x=x, y=0)
    canvas.arrow((x + 18, 85), (x + 18, part.bottom[1] + 2), label="")
    canvas.arrow((x + 78, part.bottom[1] + 2), (x + 78, 80))
    canvas.text("+", x + 91, 70, bold=True)
    x += 150
canvas.text("residual stream, always (n, d)", 420, 112)
draw.show(
    canvas,
    alt="A thick line from left to right, the residual stream. Four boxes above it, attention, MLP, attention, MLP: each "
    "reads from the line and adds its result to it.",
)

# %% [markdown]
# ### Two: normalize each token by itself
# Sums grow. **Layer normalization** brings each token back to mean 0 and variance 1, from its *own* $d$ numbers (Ba et al. 2016). By hand, for the
# first row:

# %%
row = added[0]  # (4,)
mean = row.mean()
centered = row - mean
variance = (centered**2).mean()
normalized = centered / np.sqrt(variance + 1e-5)
print("row       ", row)
print(f"mean       {mean:.3f}")
print("centered  ", centered)
print(f"variance   {variance:.3f}")
print("normalized", normalized)

# %% [markdown]
# Batch normalization ([vision](vision.ipynb)) took mean and variance of a *column*: one feature, over all samples of the batch (and, in a CNN, all
# positions). Layer normalization takes them of a *row*. So no token depends on another one, or on the rest of the batch, and there is nothing to switch
# between training and use.

# %% tags=["hide-input"]
table = np.array([["·"] * 5] * 4)
by_column = draw.matrix(
    table, title="batch normalization", columns=[f"f{j}" for j in range(5)], rows=[f"sample {i}" for i in range(4)],
    highlight=[(i, 1) for i in range(4)],
)  # fmt: skip
by_row = draw.matrix(
    table, title="layer normalization", columns=[f"f{j}" for j in range(5)], rows=[f"token {i}" for i in range(4)],
    highlight=[(1, j) for j in range(5)], color="green",
)  # fmt: skip
draw.show(
    draw.row(by_column, by_row, gap=110),
    alt="Two tables of samples by features. Batch normalization frames one column, layer normalization frames one row.",
)

# %% [markdown]
# As a formula, for a token $x$ of width $d$:
#
# $$\mathrm{LN}(x) = \gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta,\qquad
# \mu = \frac1d\sum_j x_j,\quad \sigma^2 = \frac1d\sum_j (x_j - \mu)^2$$
#
# where $\gamma$ and $\beta$ (both of shape $(d,)$) are learned and start at 1 and 0, and a small $\varepsilon$ keeps the root away from 0.
#
# **Your turn (blank 1).** Write it for tokens of shape (n, d).
# <details><summary>Hint 1</summary>
#
# Which axis are the features on? The mean must keep its shape, so that it can be subtracted from every row.
# </details>
# <details><summary>Hint 2</summary>
#
# `x.mean(axis=-1, keepdims=True)`, and ε goes *under* the root.
# </details>


# %%
def layer_norm(x, gamma, beta, eps=1e-5):
    """Each row of x (n, d) to mean 0 and variance 1, then scaled and shifted."""
    # BEGIN SOLUTION
    mean = x.mean(axis=-1, keepdims=True)  # (n, 1)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)  # (n, 1)
    normalized = (x - mean) / np.sqrt(variance + eps)
    return gamma * normalized + beta
    # END SOLUTION


layer_norm = check("transformers.blank.1", layer_norm)

# %%
gamma, beta = np.ones(4), np.zeros(4)
by_hand = layer_norm(added, gamma, beta)
by_torch = F.layer_norm(torch.tensor(added), (4,)).numpy()
# the default of epsilon is 1e-3 in Keras
keras_norm = keras.layers.LayerNormalization(epsilon=1e-5, dtype="float64")
by_keras = np.asarray(keras_norm(added))
print(by_hand)
print(f"PyTorch differs by {abs(by_hand - by_torch).max():.0e}", end=", ")
print(f"Keras by {abs(by_hand - by_keras).max():.0e}")
big = layer_norm(100 * added, gamma, beta)
print(f"a token 100 times as large: differs by {abs(big - by_hand).max():.0e}")

# %% [markdown]
# The last line shows the point: *how large* a token is makes no difference behind the norm (up to ε), only its direction once the mean is taken away. Many of today's language models leave out the mean and
# divide by the root of the mean square alone. That is **RMSNorm** (Zhang and Sennrich 2019); you write it in the exercises.
#
# ### Three: an MLP, each token alone
# Attention moves information *between* tokens. The second half of the block works *within* each: a **feed-forward network**, an MLP with one hidden layer, usually four times as wide
# as the token, with the same weights at every position. Does it really never look at a neighbor? Change one token and see which outputs move.

# %%
torch.manual_seed(0)
mlp = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 4))
attention = MultiHeadAttention(4, 2)
tokens = torch.tensor(added, dtype=torch.float32)[None]  # (1, 3, 4)
changed = tokens.clone()
changed[0, 1] += 1  # another second token
with torch.no_grad():
    for name, layer in (("MLP", mlp), ("attention", attention)):
        moved = (layer(changed) - layer(tokens)).abs().amax(dim=-1)[0]  # (3,)
        print(f"{name:9} each token's output moves by {moved.numpy()}")

# %% [markdown]
# **GELU** is the activation function of BERT, GPT-2 and ViT, a smooth ReLU (Hendrycks and Gimpel 2016). The zeros in the first line are what the MLP promises: each row is computed from that row alone.

# %% [markdown]
# ## 4 · The block

# %% [markdown]
# Now put the parts together. Attention and MLP are the block's two *sublayers*. Two orders are in use. **Post-norm** normalizes *after* adding (Vaswani et al. 2017, and BERT):
#
# $$x \leftarrow \mathrm{LN}(x + \mathrm{Attention}(x)),\qquad x \leftarrow \mathrm{LN}(x + \mathrm{MLP}(x))$$
#
# **Pre-norm** normalizes what a sublayer *reads*, and leaves the residual stream alone (GPT-2, ViT, most models of today); one more norm then follows the last block:
#
# $$x \leftarrow x + \mathrm{Attention}(\mathrm{LN}(x)),\qquad x \leftarrow x + \mathrm{MLP}(\mathrm{LN}(x))$$

# %% tags=["hide-input"]
shape = "(n, d)"
pre = draw.network(
    ("x", shape), ("LayerNorm", shape), ("Attention", shape), ("LayerNorm", shape), ("MLP", shape),
    skip=[(0, 1), (2, 3)], direction="down", colors={"Attention": "orange", "MLP": "green"},
)  # fmt: skip
post = draw.network(
    ("x", shape), ("Attention", shape), ("LayerNorm", shape), ("MLP", shape), ("LayerNorm", shape),
    skip=[(0, 0), (2, 2)], direction="down", colors={"Attention": "orange", "MLP": "green"},
)  # fmt: skip
canvas = draw.Canvas()
left = canvas.place(pre, x=0, y=30)
right_part = canvas.place(post, x=320, y=30)
canvas.text("pre-norm", left.center[0] + 14, 4, bold=True, size=15)
canvas.text("post-norm", right_part.center[0] + 14, 4, bold=True, size=15)
draw.show(
    canvas,
    alt="Two columns of boxes with shapes (n, d) on every arrow. Pre-norm: LayerNorm, Attention, plus; LayerNorm, MLP, plus. "
    "Post-norm: Attention, plus, LayerNorm; MLP, plus, LayerNorm. The residual connections go around each half.",
)

# %% [markdown]
# Every arrow carries $(n, d)$: what comes out has the shape of what went in. That is why blocks can be stacked.
#
# **Your turn (blank 2).** Write `forward` for both orders. `attention` is the multi-head attention of the lesson before.
# <details><summary>Hint 1</summary>
#
# Write pre-norm first: two lines, each of the form `x = x + something(norm(x))`.
# </details>
# <details><summary>Hint 2</summary>
#
# Post-norm: `x = self.norm1(x + self.attention(x))`. And the second half? Follow the right column of the drawing.
# </details>


# %%
class EncoderBlock(nn.Module):
    """Tokens (b, n, d_model) → the same shape."""

    def __init__(self, d_model, num_heads, pre_norm=True, hidden=None):
        super().__init__()
        self.pre_norm = pre_norm
        self.attention = MultiHeadAttention(d_model, num_heads)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        hidden = hidden or 4 * d_model
        up, down = nn.Linear(d_model, hidden), nn.Linear(hidden, d_model)
        self.mlp = nn.Sequential(up, nn.GELU(), down)

    def forward(self, x):
        # BEGIN SOLUTION
        if self.pre_norm:
            x = x + self.attention(self.norm1(x))
            return x + self.mlp(self.norm2(x))
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.mlp(x))
        # END SOLUTION


EncoderBlock = check("transformers.blank.2", EncoderBlock)

# %% [markdown]
# ### Is it the libraries' block?
# PyTorch has this block ready: `nn.TransformerEncoderLayer`, where `norm_first=True` means pre-norm (its default is post-norm, with ReLU). Copy your weights into it; the folded cell knows the names.


# %% tags=["hide-input"]
def torch_twin(block, num_heads):
    """PyTorch's own layer with the weights of `block`."""
    d = block.norm1.weight.numel()
    layer = nn.TransformerEncoderLayer(
        d,
        num_heads,
        4 * d,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=block.pre_norm,
    )
    own = block.state_dict()
    state = {}
    for kind in ("weight", "bias"):
        three = [own[f"attention.{name}_proj.{kind}"] for name in "qkv"]
        state[f"self_attn.in_proj_{kind}"] = torch.cat(three)  # PyTorch stacks q, k and v
        state[f"self_attn.out_proj.{kind}"] = own[f"attention.out_proj.{kind}"]
        state[f"linear1.{kind}"] = own[f"mlp.0.{kind}"]
        state[f"linear2.{kind}"] = own[f"mlp.2.{kind}"]
        for norm in ("norm1", "norm2"):
            state[f"{norm}.{kind}"] = own[f"{norm}.{kind}"]
    layer.load_state_dict(state)
    return layer


# %%
torch.manual_seed(0)
x = torch.randn(2, 5, 16)  # (b, n, d)
for pre_norm in (True, False):
    block = EncoderBlock(16, 4, pre_norm)
    gap = (block(x) - torch_twin(block, 4)(x)).abs().max().item()
    name = "pre-norm" if pre_norm else "post-norm"
    expect_within(f"{name}, largest difference from PyTorch", gap, 0, 1e-5)

# %% [markdown]
# Keras has no layer for the whole block; people write it from layers, in the functional style, like this:


# %%
def keras_block(x, num_heads, pre_norm=True):
    """A Keras tensor (b, n, d) → the same shape."""
    d = x.shape[-1]
    attention = keras.layers.MultiHeadAttention(num_heads, key_dim=d // num_heads)
    norm1 = keras.layers.LayerNormalization(epsilon=1e-5)
    norm2 = keras.layers.LayerNormalization(epsilon=1e-5)
    wide = keras.layers.Dense(4 * d, activation="gelu")  # the exact GELU
    narrow = keras.layers.Dense(d)
    if pre_norm:
        h = norm1(x)
        x = x + attention(h, h)
        return x + narrow(wide(norm2(x)))
    x = norm1(x + attention(x, x))
    return norm2(x + narrow(wide(x)))


# %% tags=["hide-input"]
def copy_to_keras(block, model, num_heads):
    """Weights of a PyTorch block into the layers of a Keras model with one block."""
    own = {name: value.numpy() for name, value in block.state_dict().items()}
    d = len(own["norm1.weight"])
    heads = (num_heads, d // num_heads)
    weights = []
    for name in "qkv":
        weights += [own[f"attention.{name}_proj.weight"].T.reshape(d, *heads)]
        weights += [own[f"attention.{name}_proj.bias"].reshape(heads)]
    weights += [
        own["attention.out_proj.weight"].T.reshape(*heads, d),
        own["attention.out_proj.bias"],
    ]
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.LayerNormalization)]
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    for layer in model.layers:
        if isinstance(layer, keras.layers.MultiHeadAttention):
            layer.set_weights(weights)
    for layer, name in zip(norms, ("norm1", "norm2")):
        layer.set_weights([own[f"{name}.weight"], own[f"{name}.bias"]])
    for layer, name in zip(dense, ("mlp.0", "mlp.2")):
        layer.set_weights([own[f"{name}.weight"].T, own[f"{name}.bias"]])


# %%
for pre_norm in (True, False):
    block = EncoderBlock(16, 4, pre_norm)
    tokens_in = keras.Input((5, 16))
    model = keras.Model(tokens_in, keras_block(tokens_in, 4, pre_norm))
    copy_to_keras(block, model, 4)
    gap = abs(np.asarray(model(x.numpy())) - block(x).detach().numpy()).max()
    name = "pre-norm" if pre_norm else "post-norm"
    expect_within(f"{name}, largest difference from Keras", float(gap), 0, 1e-5)

# %% [markdown]
# (Two traps that such a comparison finds: Keras' layer normalization has $\varepsilon = 10^{-3}$ by default, PyTorch $10^{-5}$ and BERT $10^{-12}$; and `keras.ops.gelu` is the tanh
# approximation by default, while `activation="gelu"` is exact.)
#
# ### And BERT's?
# A small BERT comes with the course (lesson [bert](bert.ipynb) trains it). Its blocks are post-norm, with $\varepsilon = 10^{-12}$. Give its weights to **your** class:

# %%
from transformers import BertModel, BertTokenizer

folder = data_dir() / "models" / "tiny-bert"
tokenizer = BertTokenizer.from_pretrained(folder)
bert = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()


def from_bert(layer, config):
    """One layer of a BERT as an `EncoderBlock`; the names differ, the numbers stay."""
    d, num_heads = config.hidden_size, config.num_attention_heads
    block = EncoderBlock(d, num_heads, pre_norm=False, hidden=config.intermediate_size)
    names = ("query", "key", "value")
    pairs = {f"attention.{n[0]}_proj": f"attention.self.{n}" for n in names}
    pairs |= {"attention.out_proj": "attention.output.dense"}
    pairs |= {"norm1": "attention.output.LayerNorm", "norm2": "output.LayerNorm"}
    pairs |= {"mlp.0": "intermediate.dense", "mlp.2": "output.dense"}
    theirs = layer.state_dict()
    kinds = ("weight", "bias")
    own = {f"{a}.{k}": theirs[f"{b}.{k}"] for a, b in pairs.items() for k in kinds}
    block.load_state_dict(own)
    block.norm1.eps = block.norm2.eps = config.layer_norm_eps
    return block


sentence = tokenizer("I loved every minute of the film.", return_tensors="pt")
with torch.no_grad():
    hidden = bert(**sentence, output_hidden_states=True).hidden_states
    h = hidden[0]  # embeddings of words and positions: (1, n, d)
    for layer in bert.encoder.layer:
        h = from_bert(layer, bert.config)(h)
gap = (h - hidden[-1]).abs().max().item()
print(
    f"{bert.config.num_hidden_layers} blocks of width {bert.config.hidden_size},",
    end=" ",
)
print(f"the sentence as {tuple(h.shape)}")
expect_within("largest difference from BERT's own last hidden state", gap, 0, 1e-4)

# %% [markdown]
# With BERT's weights, this class *is* BERT's encoder, as it is used: without dropout (which BERT has in training), and on a sentence without padding. BERT-base and BERT-large differ from it only in size: 12 blocks of width 768, and 24 of 1,024.
#
# ### What it costs
# Count the parameters. The attention has four matrices of $d \times d$ and four biases; the MLP $d \times 4d$ and $4d \times d$ with $4d + d$ biases; each norm has $2d$:
#
# $$\underbrace{4d^2 + 4d}_{\text{attention}} + \underbrace{8d^2 + 5d}_{\text{MLP}} + \underbrace{4d}_{\text{norms}} = 12d^2 + 13d$$
#
# So a block has about $12 d^2$ parameters, **two thirds of them in the MLP**, and their number does not depend on the number of tokens $n$ or of heads. The *work* does depend on $n$. Multiplications and additions in the matrix products (the counter leaves out norms, softmax and GELU):

# %%
from torch.utils.flop_counter import FlopCounterMode

d = 64
block = EncoderBlock(d, 4)
counted = sum(p.numel() for p in block.parameters())
print(f"parameters at d = {d}: {counted:,}; the formula says {12 * d**2 + 13 * d:,}")
assert counted == 12 * d**2 + 13 * d
print("   n       counted   24nd² + 4n²d   share of the n² part")
for n in (16, 64, 384, 1024):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        block(torch.randn(1, n, d))
    formula = 24 * n * d**2 + 4 * n**2 * d
    total, share = counter.get_total_flops(), 4 * n**2 * d / formula
    print(f"{n:4} {total:13,} {formula:14,} {share:22.0%}")
    assert total == formula

# %% [markdown]
# At $n = 6d$ both parts are equal (here 384). For a BERT of width 768 that would be 4,608 tokens: on short sentences nearly all the work is in the matrices, and the famous $n^2$ hardly counts. On a long
# document, or on a picture cut very finely, it does.

# %% [markdown]
# ## 5 · Encoder and decoder

# %% [markdown]
# In an **encoder** each token attends to all others, before and after it. That is right for *understanding* something that is there as a whole.
#
# A **decoder** *writes*, from left to right. Its block has three parts: self-attention with a **causal mask** (no token sees a later one), **cross-attention** to a *memory*, which is what an encoder made of the input, and the MLP.

# %% tags=["hide-input"]
canvas = draw.Canvas()
source = canvas.place(draw.box("source tokens", note="(m, d)", color="gray", width=150), x=0, y=236)
enc = canvas.place(draw.box("encoder blocks", note="all see all", width=150), x=0, y=150)
memory = canvas.place(draw.box("memory", note="(m, d)", color="gray", width=150), x=0, y=64)
canvas.arrow(source, enc)
canvas.arrow(enc, memory)
target = canvas.place(
    draw.box("tokens written so far", note="(n, d)", color="gray", width=190),
    x=340,
    y=322,
)
self_att = canvas.place(
    draw.box("self-attention", note="reads LN(x), causal mask", color="orange", width=190),
    x=340,
    y=226,
)
cross = canvas.place(
    draw.box("cross-attention", note="queries from LN(x)", color="orange", width=190),
    x=340,
    y=130,
)
feed = canvas.place(draw.box("MLP", note="reads LN(x)", color="green", width=190), x=340, y=40)
canvas.arrow(target, self_att)
canvas.arrow(self_att, cross, label="+, (n, d)")
canvas.arrow(cross, feed, label="+, (n, d)")
canvas.arrow(memory.right, cross.left, label="keys, values")
canvas.arrow(feed.top, (feed.top[0], -6), label="+, (n, d)")
draw.show(
    canvas,
    alt="Left, source tokens go through encoder blocks and become the memory (m, d). Right, a decoder block: tokens "
    "written so far, causal self-attention, cross-attention whose keys and values come from the memory, MLP.",
)

# %% [markdown]
# | model | self-attention | cross-attention | examples |
# |---|---|---|---|
# | encoder only | both sides | none | BERT, ViT |
# | encoder and decoder | both sides; causal | to the encoder's output | the original Transformer (translation) |
# | decoder only | causal | none | GPT |
#
# **Your turn (blank 3).** Write the `forward` of a pre-norm decoder block. The memory is already normalized; `self.self_attention(h, causal=True)` masks the future, and
# `self.cross_attention(h, memory)` takes queries from `h`.
# <details><summary>Hint 1</summary>
#
# Three lines, all of the form `x = x + something(norm(x))`, one norm each.
# </details>
# <details><summary>Hint 2</summary>
#
# The order is self-attention, cross-attention, MLP; the norms are numbered in that order.
# </details>


# %%
class DecoderBlock(nn.Module):
    """x (b, n, d_model) and memory (b, m, d_model) → (b, n, d_model), pre-norm."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model, num_heads)
        self.cross_attention = MultiHeadAttention(d_model, num_heads)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.norm3 = nn.LayerNorm(d_model)
        hidden = 4 * d_model
        up, down = nn.Linear(d_model, hidden), nn.Linear(hidden, d_model)
        self.mlp = nn.Sequential(up, nn.GELU(), down)

    def forward(self, x, memory):
        # BEGIN SOLUTION
        x = x + self.self_attention(self.norm1(x), causal=True)
        x = x + self.cross_attention(self.norm2(x), memory)
        return x + self.mlp(self.norm3(x))
        # END SOLUTION


DecoderBlock = check("transformers.blank.3", DecoderBlock)

# %% [markdown]
# Which outputs depend on what? Change the fourth of six tokens, then one vector of the memory:

# %%
torch.manual_seed(0)
encoder, decoder = EncoderBlock(8, 2), DecoderBlock(8, 2)
x, memory = torch.randn(1, 6, 8), torch.randn(1, 3, 8)
other_x, other_memory = x.clone(), memory.clone()
other_x[0, 3] = torch.randn(8)
other_memory[0, 0] = torch.randn(8)


def noticed(before, after):
    return ((before - after).abs().amax(dim=-1)[0] > 1e-7).int().tolist()


with torch.no_grad():
    print("encoder, other 4th token ", noticed(encoder(x), encoder(other_x)))
    before = decoder(x, memory)
    print("decoder, other 4th token ", noticed(before, decoder(other_x, memory)))
    print("decoder, other memory    ", noticed(before, decoder(x, other_memory)))

# %% [markdown]
# (Adding the same number to all features of the token would be a bad test: the layer normalization takes it away again. Try `other_x[0, 3] = x[0, 3] + 1`.)
#
# In the encoder every token notices. In the decoder only the token itself and those after it do; the memory reaches all of them. You will train a decoder in [captioning](captioning.ipynb), where the memory is a picture, and a
# decoder without cross-attention in *language_model*.

# %% [markdown]
# ## 6 · Cutting pictures

# %% [markdown]
# Nothing in a block says "word". The **vision transformer** (ViT; Dosovitskiy et al. 2021) cuts a picture into squares, calls each a **patch**, flattens it, and multiplies it with one matrix: the **patch embedding**. By hand, on a picture of 4 × 4 pixels and patches of 2 × 2:

# %%
picture = np.arange(16).reshape(4, 4)

# %% tags=["hide-input"]
patches = picture.reshape(2, 2, 2, 2).transpose(0, 2, 1, 3).reshape(4, 4)
colors = ["blue", "orange", "green", "gray"]
canvas = draw.Canvas()
for k, color in enumerate(colors):
    i, j = divmod(k, 2)
    part = draw.matrix(picture[2 * i : 2 * i + 2, 2 * j : 2 * j + 2], color=color, form="g")
    canvas.place(part, x=j * (part.width + 3), y=i * (part.height + 3))
    flat = draw.matrix(patches[k], color=color, form="g")
    canvas.place(flat, x=230, y=k * (flat.height + 9) - 12)
canvas.arrow((140, 62), (222, 62), label="patchify")
canvas.text("4 patches of 4 numbers", 296, 160)
canvas.arrow((370, 62), (452, 62), label="× W + b")
embedded = canvas.place(draw.tensor((4, 6), "tokens", color="green"), x=470, y=0)
canvas.text("the picture (4, 4)", 62, 160)
draw.show(
    canvas,
    alt="A picture of 16 numbers in four colored squares. Each square becomes a row of four numbers: 0 1 4 5, 2 3 6 7, "
    "8 9 12 13, 10 11 14 15. A matrix turns the rows into tokens.",
)

# %% [markdown]
# **Your turn (blank 4).** Write `patchify` for a picture with channels, (h, w, c): patches row by row, within each the pixels row by row, the channels of a pixel together.
# <details><summary>Hint 1</summary>
#
# `reshape` the height into (rows, size) and the width into (columns, size). Five axes: which two must come first?
# </details>
# <details><summary>Hint 2</summary>
#
# `picture.reshape(h // size, size, w // size, size, c)`, then swap axes 1 and 2, then flatten.
# </details>


# %%
def patchify(picture, size):
    """(h, w, c) → (h / size · w / size patches, size · size · c numbers)."""
    h, w, c = picture.shape
    # BEGIN SOLUTION
    grid = picture.reshape(h // size, size, w // size, size, c)
    grid = grid.swapaxes(1, 2)  # (rows, columns, size, size, c)
    return grid.reshape(-1, size * size * c)
    # END SOLUTION


patchify = check("transformers.blank.4", patchify)

# %%
print(patchify(picture[:, :, None], 2))

# %% [markdown]
# ### A linear layer on patches is a convolution
# The same matrix on every patch: that is a convolution whose kernel is as large as the patch and whose **stride** is just as large, so that the windows do not overlap. Code for ViTs is nearly always written so. Check:

# %%
torch.manual_seed(0)
conv = nn.Conv2d(3, 6, kernel_size=4, stride=4)
image = torch.randn(1, 3, 8, 8)
by_conv = conv(image).flatten(2).transpose(1, 2)[0]  # (1, 6, 2, 2) → (4 patches, 6)
# rows in the order of patchify
W = conv.weight.permute(2, 3, 1, 0).reshape(4 * 4 * 3, 6)
rows = torch.tensor(patchify(image[0].permute(1, 2, 0).numpy(), 4))  # (4, 48)
gap = (rows @ W + conv.bias - by_conv).abs().max().item()
print("patches", tuple(rows.shape), " W", tuple(W.shape), end="  ")
print("tokens", tuple(by_conv.shape))
expect_within("largest difference", gap, 0, 1e-5)

# %% [markdown]
# ## 7 · Order

# %% [markdown]
# A block has no idea where a token stands. Shuffle the tokens, and the outputs are the same, shuffled: the block is **permutation equivariant**. See it in numbers, three tokens of two features, in the order 0, 1, 2 and in the order 2, 0, 1:

# %%
torch.manual_seed(0)
block = EncoderBlock(2, 1)
x = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]]])  # (1, 3, 2)
order = [2, 0, 1]
with torch.no_grad():
    print("in order")
    print(block(x)[0].numpy())
    print("shuffled")
    print(block(x[:, order])[0].numpy())
    gap = (block(x[:, order]) - block(x)[:, order]).abs().max().item()
expect_within("shuffled outputs minus outputs of the shuffled, largest", gap, 0, 1e-6)

# %% [markdown]
# The same three rows, in the new order. If you then take their mean, or read a class token, you get the *same* answer for every order: the picture is a bag of pieces. Now for your first two guesses.


# %% tags=["free"]
def shuffled(x, seed=0):
    """Each digit's 16 pieces in an order of its own."""
    g = np.random.default_rng(seed)
    out = x.clone()
    for k in range(len(x)):
        pieces = patchify(x[k].permute(1, 2, 0).numpy(), 2)  # (16, 4)
        pieces = pieces[g.permutation(16)]
        sheet = pieces.reshape(4, 4, 2, 2).swapaxes(1, 2).reshape(8, 8)
        out[k, 0] = torch.tensor(sheet)
    return out


mixed_x = shuffled(test_x)
torch.manual_seed(0)
bag_reader = train(DigitReader(positions=False), train_x, train_y, 400)
changes = {}
for name, model in (("with positions", digit_reader), ("without", bag_reader)):
    plain, mixed_up = predict(model, test_x), predict(model, mixed_x)
    changes[name] = (plain != mixed_up).sum().item()
    print(f"{name:14}: {changes[name]:3} of 597 answers change,", end=" ")
    print(f"accuracy {(plain == test_y).float().mean():.3f} in order,", end=" ")
    print(f"{(mixed_up == test_y).float().mean():.3f} shuffled")

# %%
assert changes["without"] <= 2 and changes["with positions"] > 300
bag = (predict(bag_reader, test_x) == test_y).float().mean().item()
expect_within("accuracy without positions", bag, 0.68, 0.06)
shuffle_guess.compare("none")
bag_guess.compare("about 0.7")

# %% tags=["hide-input"]
pair = [(test_x[i, 0].numpy() + 1) / 2 for i in (0, 3)]
mixed_pair = [(mixed_x[i, 0].numpy() + 1) / 2 for i in (0, 3)]
fig = plot.images(
    [cut_apart(1 - p) for p in (pair[0], mixed_pair[0], pair[1], mixed_pair[1])],
    ["a digit", "its pieces", "a digit", "its pieces"], columns=4, size=1.2,
)  # fmt: skip
plot.show(
    fig,
    alt="Two digits, and the pieces of each in another order, in which you can no longer read them.",
)

# %% [markdown]
# Without positions no answer changes (rounding could turn one or two that hang in the balance): to this model both columns are the same picture. And yet it is right far more often than chance: *which* pieces occur (corners, strokes, blanks) says a lot about a digit. With positions,
# order counts: on shuffled digits the model falls from 0.854 to 0.255, still above chance.

# %% [markdown]
# ## 8 · Your own vision transformer

# %% [markdown]
# Now all parts are there. One more token goes in front, the **class token**: a trained vector, the same for every picture, that belongs to no patch. It collects, block by block, what the answer needs, and the last layer reads only it. (Taking the mean of all patches is common, too; BERT calls its class token `[CLS]`.)

# %% tags=["hide-input"]
flow = draw.network(
    ("picture", (3, 32, 32)),
    ("patch embedding", (64, 32)),
    ("class token in front", (65, 32)),
    ("+ positions", (65, 32)),
    ("2 blocks", (65, 32)),
    ("LayerNorm, class token", (32,)),
    ("Linear", (4,)),
    direction="down",
    colors={"2 blocks": "orange"},
)
draw.show(
    flow,
    alt="A picture of 3, 32, 32 becomes 64 patches of width 32; with the class token 65 tokens; positions are added; two "
    "blocks; the class token is normalized and goes through a linear layer to four logits.",
)

# %% [markdown]
# **Your turn (blank 5).** Write `tokens`: from pictures to what the first block reads.
# <details><summary>Hint 1</summary>
#
# `self.patch_embedding(pictures)` gives maps (b, d, rows, columns). You want (b, n, d): `flatten(2)`, then `transpose(1, 2)`.
# </details>
# <details><summary>Hint 2</summary>
#
# `self.class_token.expand(len(x), -1, -1)` repeats the class token for every picture; `torch.cat([…, …], dim=1)` puts it in front; then add the positions.
# </details>


# %%
class ViT(nn.Module):
    """Pictures (b, channels, side, side) → logits (b, num_classes)."""

    def __init__(
        self,
        side,
        patch_size,
        channels,
        num_classes,
        d_model=32,
        num_heads=4,
        num_layers=2,
    ):
        super().__init__()
        self.patch_embedding = nn.Conv2d(channels, d_model, patch_size, patch_size)
        n = (side // patch_size) ** 2
        self.class_token = nn.Parameter(torch.zeros(1, 1, d_model))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + n, d_model))
        blocks = [EncoderBlock(d_model, num_heads) for _ in range(num_layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, num_classes)

    def tokens(self, pictures):
        """(b, channels, side, side) → (b, 1 + n, d_model)."""
        # BEGIN SOLUTION
        x = self.patch_embedding(pictures).flatten(2).transpose(1, 2)  # (b, n, d)
        class_token = self.class_token.expand(len(x), -1, -1)  # (b, 1, d)
        return torch.cat([class_token, x], dim=1) + self.positions
        # END SOLUTION

    def forward(self, pictures):
        x = self.tokens(pictures)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


ViT = check("transformers.blank.5", ViT)

# %% [markdown]
# Train it on the course's scenes: *how many things do you see*, one to four? They have textured backgrounds, and things overlap. 6,000 pictures to learn from, halved to 32 × 32 pixels, patches of 4 × 4.


# %%
def load_scenes(split, n=None):
    """Pictures (n, 3, 32, 32) from -1 to 1, and the number of things minus 1."""
    scenes = load("scenes", split, n=n)
    full = np.stack(scenes.column("image")[:])  # uint8 (n, 64, 64, 3)
    small = full.reshape(len(full), 32, 2, 32, 2, 3).mean(axis=(2, 4)) / 127.5 - 1
    x = torch.tensor(small, dtype=torch.float32).permute(0, 3, 1, 2).contiguous()
    return x, torch.tensor(scenes.labels)


scene_x, scene_y = load_scenes("train")
new_x, new_y = load_scenes("test")
print(tuple(scene_x.shape), "new", tuple(new_x.shape))

# %% tags=["hide-input"]
examples = [int(np.flatnonzero(new_y.numpy() == k)[0]) for k in range(4)]
fig = plot.images(
    [(new_x[i].permute(1, 2, 0).numpy() + 1) / 2 for i in examples],
    ["1", "2", "3", "4"],
    columns=4,
    size=1.4,
)
plot.show(
    fig,
    alt="Four small scenes with one, two, three and four colored shapes on textured backgrounds.",
)

# %% tags=["free"]
torch.manual_seed(0)
counter = ViT(32, 4, 3, 4)
num_parameters = sum(p.numel() for p in counter.parameters())
start = time.perf_counter()
train(counter, scene_x, scene_y, 300, print_every=60)
print(f"{num_parameters:,} parameters, {time.perf_counter() - start:.0f} s of training")

# %%
counted = (predict(counter, new_x) == new_y).float().mean().item()
expect_within("accuracy on 1,000 new scenes (chance 0.25)", counted, 0.63, 0.06)

# %% [markdown]
# ### The same in Keras
# With `keras_block` from section 4, the functional style, `compile` and `fit`. Keras has its pictures channels-last, and a `Conv2D` with strides is the patch embedding. Here the mean of all tokens is read in place of a class token, which saves a custom layer. (Two epochs are 188 steps, against 300 above: do not compare the two accuracies.)


# %%
class AddPositions(keras.layers.Layer):
    """Adds one trained vector per position to tokens (b, n, d)."""

    def build(self, shape):
        start = keras.initializers.RandomNormal(stddev=0.02)
        self.positions = self.add_weight(shape=(1, *shape[1:]), initializer=start)

    def call(self, x):
        return x + self.positions


# %% tags=["free"]
keras.utils.set_random_seed(0)
pictures_in = keras.Input((32, 32, 3))
x = keras.layers.Conv2D(32, kernel_size=4, strides=4)(pictures_in)  # (b, 8, 8, 32)
x = keras.layers.Reshape((64, 32))(x)
x = AddPositions()(x)
for _ in range(2):
    x = keras_block(x, num_heads=4)
x = keras.layers.LayerNormalization(epsilon=1e-5)(x)
x = keras.layers.GlobalAveragePooling1D()(x)
keras_vit = keras.Model(pictures_in, keras.layers.Dense(4)(x))
print(f"{keras_vit.count_params():,} parameters")

channels_last = scene_x.permute(0, 2, 3, 1).numpy()
warm_up = {"warmup_target": 3e-3, "warmup_steps": 18}
rate = keras.optimizers.schedules.CosineDecay(0.0, decay_steps=170, **warm_up)
keras_vit.compile(
    optimizer=keras.optimizers.AdamW(rate, weight_decay=0.05),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
settings = {"batch_size": 64, "epochs": 2, "verbose": 0}
history = keras_vit.fit(channels_last, scene_y.numpy(), **settings)
print("loss by epoch", np.round(history.history["loss"], 3))
new_last = new_x.permute(0, 2, 3, 1).numpy()
_, in_keras = keras_vit.evaluate(new_last, new_y.numpy(), verbose=0)

# %%
expect_within("in Keras, two epochs, accuracy on new scenes", in_keras, 0.54, 0.08)

# %% [markdown]
# ### What does it attend to?
# The digit reader from section 1 again. For a digit and a block: how much of the class token's attention goes to each of the 16 pieces (mean of four heads)?


# %% tags=["hide-input", "free"]
@torch.no_grad()
def class_attention(model, picture):
    """Weights of the class token on the pieces, one (4, 4) table per block."""
    vit = model.vit
    pieces = torch.tensor(patchify(picture.permute(1, 2, 0).numpy(), 2))[None]
    x = torch.cat([vit.cls.expand(1, 1, -1), vit.patch(pieces)], dim=1) + vit.positions
    tables = []
    for block in vit.encoder.blocks:
        _, weights = block.attention(block.norm1(x), return_weights=True)  # (1, heads, 17, 17)
        tables.append(weights.mean(dim=1)[0, 0, 1:].reshape(4, 4).numpy())
        x = block(x)
    return tables


def show_attention(digit=0, block=1):
    at = int(np.flatnonzero(test_y.numpy() == digit)[0])
    table = class_attention(digit_reader, test_x[at])[block - 1]
    fig, axes = plt.subplots(1, 2, figsize=(5.2, 2.6))
    axes[0].imshow(-test_x[at, 0], cmap="gray")
    axes[0].set_title(f"a {digit}", fontsize=10)
    axes[1].imshow(table, cmap="cividis", vmin=0)
    axes[1].set_title(f"class token in block {block}", fontsize=10)
    for i in range(4):
        for j in range(4):
            color = "white" if table[i, j] < 0.6 * table.max() else "black"
            number = f"{table[i, j]:.2f}"
            axes[1].text(j, i, number, ha="center", va="center", fontsize=7, color=color)
    for ax in axes:
        ax.axis("off")
    plot.show(
        fig,
        alt=f"A handwritten {digit}, and a four by four table of the class token's attention in block {block}.",
    )


widgets.slider(show_attention, digit=(0, 9), block=(1, 2))

# %% [markdown]
# The maps differ between digits and blocks. Remember from [attention](attention.ipynb), section 10, what they are: shares in which values were mixed, and no proof of what the answer depends on.

# %% [markdown]
# ## 9 · A ViT and a CNN at equal budget

# %% [markdown]
# An honest comparison gives both the same: the same pictures, the same number of steps and pictures per step, as many parameters, the same optimizer and schedule, and the same effort of tuning. Three learning rates were tried for each, 0.001, 0.003 and 0.01, on 1,000 validation pictures, with a seed that is used for nothing else, anew for each budget. The highest was chosen each time; a higher one was not tried.
# The CNN is three times convolution, batch normalization, ReLU, pooling, then the mean over all positions. A stored run, five seeds each, at two budgets:

# %%
race = stored["race"]
print(f"{race['num_train']:,} pictures to learn from, {race['num_test']:,} new ones")
print(f"majority class {race['majority']:.3f}, logistic regression on pixels", end=" ")
print(f"{race['logistic regression']:.3f}\n")
print(f"{'':5} parameters  steps   rate  seconds   new pictures")
for name in ("ViT", "CNN"):
    for steps in ("120", "360"):
        row = race[name][steps]
        mean, interval = mean_and_interval(row["test"])
        size, seconds = race[name]["parameters"], row["seconds"]
        print(f"{name:5} {size:10,} {steps:>6} {row['rate']:6}", end=" ")
        print(f"{seconds:8.1f}   {mean:.3f} ± {interval:.3f}")
leads = {}
for steps in ("120", "360"):
    difference = np.subtract(race["CNN"][steps]["test"], race["ViT"][steps]["test"])
    leads[steps], interval = mean_and_interval(difference)
    print(f"lead of the CNN after {steps} steps: {leads[steps]:+.3f} ± {interval:.3f}")
race_guess.compare("the CNN, by 20 or more")

# %%
assert min(race["CNN"]["120"]["test"]) > max(race["ViT"]["360"]["test"])
assert race["CNN"]["360"]["seconds"] < race["ViT"]["360"]["seconds"]

# %% [markdown]
# Every CNN, after a third of the steps, is ahead of every ViT. It also took less time per step. So with these settings, on 6,000 small pictures, the CNN is far ahead. (The rates stand at the edge of what was tried, and depth, patch size and warm-up, the slow rise of the rate at the start, were not tuned for either.)
#
# ### Is it because of ...?
# The usual explanation is **inductive bias**: what a model assumes before it has seen any data. A CNN assumes that neighbors belong together and that a star is a star anywhere; a ViT assumes this only inside a patch, and has to learn it between patches. It sounds right. Which experiment could refute it?
#
# Give the ViT a bit of convolution, and change nothing else: in place of the patch embedding, a **stem** of two small convolutions whose windows *overlap* (3 × 3, stride 2). It ends with the same 64 tokens. If locality is what the ViT lacks, that should help. But the stem also brings a ReLU and a batch normalization, which could help by themselves. So there is a
# control: a stem with the same two steps whose windows do *not* overlap (2 × 2, stride 2). The blocks behind are the same in all three. Both stems take the learning rate that was chosen for the plain ViT.

# %% tags=["hide-input"]
canvas = draw.Canvas()
kinds_of_stem = [
    ("plain", "one 4 × 4 window, stride 4", "blue"),
    ("control", "2 × 2, stride 2, twice,\nBN and ReLU between", "gray"),
    ("overlapping", "3 × 3, stride 2, twice,\nBN and ReLU between", "green"),
]
blocks_box = canvas.place(
    draw.box("the same 2 blocks,\nthe same head", color="orange", height=120),
    x=500,
    y=30,
)
for k, (name, text, color) in enumerate(kinds_of_stem):
    part = canvas.place(draw.box(text, color=color, width=280, height=56), x=110, y=k * 70)
    canvas.text(name, 48, part.center[1], bold=True)
    canvas.arrow(part.right, (498, 60 + 30 * k), label="(64, 32)" if k == 0 else "")
draw.show(
    canvas,
    alt="Three ways into the same two blocks: one 4 by 4 window; two steps of 2 by 2 windows without overlap, with batch "
    "normalization and ReLU between; two steps of 3 by 3 windows that overlap, with the same between.",
)

# %%
print(f"360 steps, five seeds{'':12} parameters   training pictures   new pictures")
names = ("ViT", "ViT, stem without overlap", "ViT, overlapping stem", "CNN")
for name in names:
    row = race[name]["360"]
    mean, interval = mean_and_interval(row["test"])
    fitted, _ = mean_and_interval(row["train"])
    print(f"{name:32} {race[name]['parameters']:11,} {fitted:19.3f}", end="   ")
    print(f"{mean:.3f} ± {interval:.3f}")
for worse, better in zip(names, names[1:]):
    difference = np.subtract(race[better]["360"]["test"], race[worse]["360"]["test"])
    gain, interval = mean_and_interval(difference)
    print(f"{better} minus {worse}: {gain:+.3f} ± {interval:.3f}")

# %%
runs = {name: race[name]["360"]["test"] for name in names}
for worse, better in zip(names, names[1:]):
    # every run of one is below every run of the next
    assert max(runs[worse]) < min(runs[better])
fitted = np.mean(race["ViT"]["360"]["train"]) - np.mean(runs["ViT"])
expect_within("plain ViT, training minus new pictures", fitted, 0.01, 0.02)
step_one = np.mean(runs[names[1]]) - np.mean(runs[names[0]])
step_two = np.mean(runs[names[2]]) - np.mean(runs[names[1]])
expect_within("gain by a second layer", step_one, 0.09, 0.01)
expect_within("further gain by overlap", step_two, 0.10, 0.01)

# %% [markdown]
# Both stems help. The control gains about nine points although its windows do not overlap: that part must come from something else in the stem, such as the second layer, its norm and ReLU, or a learning rate that suits it better. Overlap is worth about ten points more (± 4), and above the control in every run. So the explanation survives the test, *in part*: of what the convolutional
# stem brings, about half comes with the overlap. Without the control you would have credited all of it. (Even that half is not overlap alone: 3 × 3 windows hold more numbers than 2 × 2, 2,800 parameters in all. And what still separates it from the CNN, this experiment does not say.) Xiao et al. (2021) found at large size that such stems make ViTs easier to train.
#
# Look at the training pictures, too: there the plain ViT is hardly better than on new ones. It does not overfit; it *underfits*. More steps helped up to 360; whether still more would, we have not tried.
#
# ### With more pictures?
# Dosovitskiy et al. report that on ImageNet alone their ViTs were behind ResNets, and ahead after pre-training on hundreds of millions of pictures. We cannot go so far; we can go from 1,000 to 24,000 (360 steps each time).

# %%
more = stored["data"]
print("pictures     ViT: training, new            CNN: training, new")
for size in ("1000", "6000", "24000"):
    cells = []
    for name in ("ViT", "CNN"):
        row = race[name]["360"] if size == "6000" else more[name][size]
        mean, interval = mean_and_interval(row["test"])
        fitted, _ = mean_and_interval(row["train"])
        cells.append(f"{fitted:.3f}   {mean:.3f} ± {interval:.3f}")
    print(f"{int(size):8,}     {cells[0]}        {cells[1]}")

# %%
few = more["ViT"]["1000"]
fitted = np.mean(few["train"]) - np.mean(few["test"])
expect_within("ViT, 1,000 pictures, training minus new", fitted, 0.27, 0.05)
assert np.mean(more["CNN"]["1000"]["train"]) > 0.98
for size in ("1000", "24000"):
    lead = np.mean(more["CNN"][size]["test"]) - np.mean(more["ViT"][size]["test"])
    expect_within(f"lead of the CNN, {int(size):,} pictures", lead, 0.255, 0.03)

# %% [markdown]
# The training column is the accuracy on the first 1,000 training pictures. With 1,000 pictures both overfit: the CNN knows practically all of them by heart, and each is five or six points worse on new ones than with 6,000. From 6,000 to 24,000 neither changes much: 360 steps draw 23,040 pictures, with repeats, so that more than a third of 24,000 are never seen. The lead of the CNN is
# about the same in all three rows. So this table says nothing about hundreds of millions of pictures: for that, the steps would have to grow along with them.
#
# ### At something real
# Scenes are drawn by a program. MNIST's test part was written by people: 10,000 digits of 28 × 28 pixels, here 5,000 to learn from at most, 4,000 new ones. Patches of 4 × 4, 120 steps, five draws of the labels (at 5,000, each draw holds all of them, so logistic regression has no spread there); rates chosen with 1,000 labels on 1,000 others. A stored run:

# %%
real = stored["mnist"]
print(f"{'labels':>6} {'logistic regression':>22} {'ViT':>16} {'CNN':>16}")
for count in ("100", "1000", "5000"):
    cells = []
    for name in ("logistic regression", "ViT", "CNN"):
        mean, interval = mean_and_interval(real[name][count])
        same = max(real[name][count]) == min(real[name][count])
        cells.append(f"{mean:.3f}" if same else f"{mean:.3f} ± {interval:.3f}")
    print(f"{int(count):6,} {cells[0]:>22} {cells[1]:>16} {cells[2]:>16}")

# %%
for count in ("100", "1000", "5000"):
    linear = real["logistic regression"][count]
    assert max(real["ViT"][count]) < min(linear)
    assert max(linear) < min(real["CNN"][count])
behind = np.mean(real["logistic regression"]["5000"]) - np.mean(real["ViT"]["5000"])
expect_within("ViT behind logistic regression, 5,000 labels", behind, 0.37, 0.05)

# %% [markdown]
# The CNN is ahead of logistic regression at all three numbers of labels. The ViT is behind *both*. From 1,000 to 5,000 labels it gains nothing that we can see: at 120 steps, labels are not what it lacks. (Its rate was chosen with one seed, at 1,000 labels, and used for all three.) Is it steps? Test it: three times as many.

# %%
steps = stored["mnist_long"]
print(f"{steps['steps']} steps")
print(f"{'labels':>6} {'ViT':>16} {'CNN':>16} {'ViT, gain over 120 steps':>26}")
for count in ("100", "1000", "5000"):
    cells = []
    gained = np.subtract(steps["ViT"][count], real["ViT"][count])
    for runs in (steps["ViT"][count], steps["CNN"][count], gained):
        mean, interval = mean_and_interval(runs)
        cells.append(f"{mean:.3f} ± {interval:.3f}")
    print(f"{int(count):6,} {cells[0]:>16} {cells[1]:>16} {cells[2]:>26}")
    assert max(steps["ViT"][count]) < min(real["logistic regression"][count])
assert np.mean(steps["ViT"]["5000"]) - np.mean(steps["ViT"]["1000"]) > 0.04

# %% [markdown]
# From 1,000 labels on, it was steps: the ViT gains about 25 points with 1,000 and about 30 with 5,000, and now the 5,000 serve it better. With 100 labels, steps change little. It is still behind logistic regression at all three; without that baseline you might take 0.84 for a good result. Always run a simple baseline.

# %% [markdown]
# ## 10 · Take it apart

# %% [markdown]
# ### One part at a time
# Which parts does the block need? Take away one at a time, in a ViT of four blocks on the digits of section 1, and train it at two learning rates (a stored run, five seeds each). Without attention no token hears of another, so there the mean of all tokens is read. *Norm* includes the one behind the last block.

# %%
apart_guess = widgets.guess(
    "Which one does most harm when it is taken away, at the higher rate?",
    ["position", "residual", "norm", "MLP", "attention"],
)

# %%
apart = stored["apart"]
print(f"{apart['num_layers']} blocks, {apart['steps']} steps,", end=" ")
print(f"{apart['num_test']} new digits; chance 0.10")
print(f"{'without':10} {'rate 0.001':>16} {'rate 0.003':>16}")
reached = {}
for name in ("nothing", "MLP", "attention", "position", "norm", "residual"):
    cells = []
    for rate in ("0.001", "0.003"):
        mean, interval = mean_and_interval(apart[name][rate])
        cells.append(f"{mean:.3f} ± {interval:.3f}")
    reached[name] = mean  # at the higher rate
    print(f"{name:10} {cells[0]:>16} {cells[1]:>16}")
apart_guess.compare(min(reached, key=reached.get))

# %%
at_rate = apart["residual"]
assert max(at_rate["0.001"] + at_rate["0.003"]) < min(apart["nothing"]["0.001"])
assert max(apart["norm"]["0.003"]) < min(apart["nothing"]["0.003"])
assert max(apart["position"]["0.003"]) < min(apart["nothing"]["0.003"])
assert reached["MLP"] > reached["nothing"] - 0.01

# %% [markdown]
# At the higher rate the model without residual connections is the worst: three of five runs stay at chance. At the lower rate it cannot be told from the one without norms. Positions are worth about fourteen points at the higher rate. Without the MLP, though it holds two thirds of a block's parameters, we see no difference beyond the spread of the seeds. Without attention it is four to six points fewer; but
# the seeds overlap at both rates, and the answer is read in another way, so this row says little. And 150 steps are few (logistic regression has 0.92 on these digits): the table is mostly about the *start*.
#
# So train three times as long, at the higher rate:

# %%
longer = stored["apart_long"]
print(f"{longer['steps']} steps, rate 0.003; lowest and highest of five seeds")
for name in reached:
    mean, _ = mean_and_interval(longer[name])
    print(f"{name:10} {mean:.3f} ({min(longer[name]):.3f} to {max(longer[name]):.3f})")
assert max(longer["position"]) < min(longer["norm"])
ahead, interval = mean_and_interval(np.subtract(longer["attention"], longer["nothing"]))
print(f"without attention minus the complete block: {ahead:+.3f} ± {interval:.3f}")
assert ahead > interval

# %% [markdown]
# Now the picture is another one. Without the norm, 17 points behind have become four: most of the damage was slowness. Without residual connections some runs learn and others do not. Without positions it is the other way round: the distance from the complete model grows from 14 points to 21, as you would expect when it is information that is missing, not time. And without *attention* the model is ahead of the complete one, in the mean by three points! (It reads the mean in place of the class token, and that may be part of it.) There, each piece goes through the MLPs with its
# position, and the mean adds up what the pieces say by themselves, much as logistic regression does (0.92). To read these digits, tokens need not hear of one another. What a part is worth depends on the task, and a short run may say something else than a longer one.
#
# ### Where the norm stands
# Post-norm has the norm *on* the stream, pre-norm beside it. Before any training, put a loss behind a stack of fresh blocks, and measure the gradient at each block's last matrix. The matrices start by Glorot's rule (`xavier_uniform_`, as `nn.Transformer` does), five seeds. **Predict:** for which of
# the two does the gradient at the *last* block depend on how many blocks lie below it?


# %% tags=["hide-input"]
def gradients(pre_norm, seed, depth, d=32):
    """Gradient norm at the last matrix of each block, (depth,)."""
    torch.manual_seed(seed)
    blocks = [EncoderBlock(d, 4, pre_norm) for _ in range(depth)]
    for block in blocks:
        for parameter in block.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
    final = nn.LayerNorm(d) if pre_norm else nn.Identity()
    head = nn.Linear(d, 10)
    x, y = torch.randn(64, 16, d), torch.randint(10, (64,))
    for block in blocks:
        x = block(x)
    F.cross_entropy(head(final(x).mean(dim=1)), y).backward()
    return [block.mlp[2].weight.grad.norm().item() for block in blocks]


orders = {"pre-norm": True, "post-norm": False}
depths = (6, 12, 24)
pull = {
    name: {depth: np.array([gradients(pre, seed, depth) for seed in range(5)]) for depth in depths}
    for name, pre in orders.items()
}
in_twelve = {name: pull[name][12] for name in orders}
fig = plot.curves(
    in_twelve,
    title="Twelve blocks: the gradient at each",
    xlabel="block",
    ylabel="gradient norm",
)
plot.show(
    fig,
    alt="Gradient norm by block in a stack of twelve, five seeds: pre-norm falls from the first block to the last; "
    "post-norm lies higher and has no clear trend.",
)

# %%
print("gradient at the last block, mean of five seeds")
print("blocks    " + "".join(f"{depth:8}" for depth in depths))
last = {name: [pull[name][depth][:, -1].mean() for depth in depths] for name in orders}
for name, values in last.items():
    print(f"{name:10}" + "".join(f"{value:8.3f}" for value in values))
shrinks = last["pre-norm"][2] / last["pre-norm"][0]
stays = last["post-norm"][2] / last["post-norm"][0]
expect_within("pre-norm, 24 blocks against 6; 1/√4 would be", shrinks, 0.5, 0.12)
expect_within("post-norm, 24 blocks against 6", stays, 1.0, 0.3)

# %% [markdown]
# Under pre-norm, the more blocks add to the stream, the smaller each one's share: from 6 to 24 blocks the gradient at the last one about halves, as $1/\sqrt{L}$ for $L$ blocks predicts. Under post-norm every sum is brought back to size, and the gradient at the last block does not depend on the depth. This is what Xiong et al. (2020) derive. From it they conclude that a large learning
# rate at the start is dangerous for post-norm.
#
# Does it matter in training? **Warm-up** means that the learning rate starts near 0 and rises over the first steps. The usual claim is that post-norm needs it and pre-norm does not (Xiong et al. 2020). A stored run on the digits: eight blocks, 120 steps, two peak rates, warm-up over 30 % of the steps or none, five seeds.

# %%
norms = stored["norms"]
print(f"{norms['num_layers']} blocks, {norms['steps']} steps;", end=" ")
print("lowest and highest of five seeds in brackets")
for rate in ("0.001", "0.004"):
    for name in ("pre-norm", "post-norm"):
        print(f"peak rate {rate}, {name:9}", end="")
        for label in ("with warm-up", "without"):
            values = norms[name][label][rate]
            mean, _ = mean_and_interval(values)
            print(
                f"   {label} {mean:.3f} ({min(values):.3f} to {max(values):.3f})",
                end="",
            )
        print()

# %%
failed = norms["post-norm"]["without"]["0.004"]
assert max(failed) < 0.11  # chance, in each of five seeds
assert min(norms["post-norm"]["with warm-up"]["0.004"]) > 0.3
assert min(norms["post-norm"]["without"]["0.001"]) > 0.25
assert min(norms["pre-norm"]["without"]["0.004"]) > 0.2
for rate in ("0.001", "0.004"):
    warm, cold = norms["pre-norm"]["with warm-up"], norms["pre-norm"]["without"]
    gain, interval = mean_and_interval(np.subtract(warm[rate], cold[rate]))
    print(f"pre-norm, rate {rate}: warm-up brings {gain:+.3f} ± {interval:.3f}")

# %% [markdown]
# At the high rate, post-norm without warm-up stays at chance in each of the five seeds. Warm-up cures it, and so does the lower rate without warm-up: it is the *large rate at the start* that does the damage, as Xiong et al. say. (Both schedules have the same mean rate, half of the peak; they differ in when it is high.) Pre-norm is above chance in all four cases. Still,
# warm-up is of use to it: at the lower rate it is clearly better with it; at the higher one the interval contains 0. At the lower rate without warm-up the two orders cannot be told apart. (Batches of 32; 120 steps are few for eight blocks, so the table is about who starts at all, not about who ends where.)

# %% [markdown]
# ## 11 · At full size

# %% [markdown]
# The formula of section 4 tells how large the famous ones are. ViT-Base: 12 blocks of width 768, pictures of 224 × 224 pixels in patches of 16 × 16.

# %%
d, depth, patch, side = 768, 12, 16, 224
n = (side // patch) ** 2
in_blocks = depth * (12 * d**2 + 13 * d)
embedding = patch * patch * 3 * d + d
rest = d + (n + 1) * d + 2 * d  # class token, positions, last norm
print(f"{n} patches, {in_blocks / 1e6:.1f} million parameters in the blocks,", end=" ")
print(f"{(in_blocks + embedding + rest) / 1e6:.1f} million in all, without the head")
work = depth * (24 * (n + 1) * d**2 + 4 * (n + 1) ** 2 * d)
print(f"{work / 1e9:.0f} billion multiplications and additions per picture;", end=" ")
print(f"the n² part is {4 * (n + 1) ** 2 * d * depth / work:.0%} of it")
expect_within(
    "millions of parameters; Dosovitskiy et al. say 86",
    (in_blocks + embedding + rest) / 1e6,
    86,
    0.5,
)

# %% [markdown]
# (No GPU was at hand when this lesson was made, so there is no training at this size here.) At work you take a pretrained one: `timm.create_model("vit_base_patch16_224", pretrained=True)`, `ViTModel.from_pretrained` in *transformers*, or KerasHub. Lesson [vision](vision.ipynb) shows how to reuse such a backbone with few labels, and [clip](clip.ipynb)
# what becomes possible when one is trained with sentences.

# %% [markdown]
# ## 12 · What to remember

# %% [markdown]
# - A block: attention mixes tokens, an MLP works on each alone, both *add* to the residual stream, and layer normalization brings each token to mean 0 and variance 1. Shapes stay $(n, d)$.
# - Pre-norm normalizes what a sublayer reads, post-norm the sum. An encoder sees both sides; a decoder only the past, and a memory through cross-attention.
# - $12d^2$ parameters per block, $24nd^2 + 4n^2d$ operations: the $n^2$ part leads only beyond $n = 6d$.
# - Without positional encoding a picture is a bag of patches. A patch embedding is a convolution with stride.
# - At our equal budgets, from 1,000 to 24,000 pictures, the CNN is ahead. Ask *why* with an experiment that could refute your answer, and with a control: about half of what the convolutional stem brought came with the overlap.

# %% [markdown]
# ## 13 · Check yourself

# %% [markdown]
# <details><summary>1. Your block gives nearly, but not quite, the library's numbers (differences of 1e-3). Where do you look first?</summary>
#
# At ε in the layer normalization and at the GELU (exact or tanh). A wrong order of norm and residual, or query and key exchanged, makes differences near 1.
# </details>
# <details><summary>2. A ViT on 64-pixel pictures: patches of 8 in place of 16. What happens to parameters and work?</summary>
#
# Four times as many tokens: four times the work in the matrices, sixteen times the entries of each attention table. The blocks keep their parameters; there are more positions, and a smaller patch embedding.
# </details>
# <details><summary>3. A batch holds one sentence. Which of the two normalizations still works in training, and why?</summary>
#
# Layer normalization: it uses the features of one token only. Batch normalization would take mean and variance from this one sentence.
# </details>
# <details><summary>4. You average the output tokens of an encoder without positions. What happens to the answer if the input is reversed?</summary>
#
# Nothing: the block is permutation equivariant, and the mean does not depend on order.
# </details>
# <details><summary>5. A decoder's training loss is far too good. Which test?</summary>
#
# Change a later token and see whether an earlier output moves. If it does, the causal mask is missing.
# </details>
# <details><summary>6. Somebody reports: our ViT beats the CNN, because attention sees the whole picture. What do you ask?</summary>
#
# Were parameters, pictures, steps and tuning equal? How many seeds? And which experiment would have come out differently if the reason were another one, for instance a CNN with global pooling, or attention restricted to neighbors?
# </details>

# %% [markdown]
# ## 14 · Exercises and where next

# %% [markdown]
# [The exercises](exercises/transformers.ipynb): a post-norm block by hand, RMSNorm and what it does not do, counting the parameters of any ViT, putting patches back together, and in PyTorch a block whose attention and MLP work side by side.
#
# The last one is **an open challenge**: how often does the first symbol of a noisy picture come again? A linear model on pixels can only guess; comparing patches helps.
#
# **Where next:** [bert](bert.ipynb) teaches such blocks to read; [captioning](captioning.ipynb) trains a decoder; [clip](clip.ipynb) joins pictures and sentences. **Back to:** [attention](attention.ipynb), [vision](vision.ipynb).
#
# ## Sources
# - A. Vaswani et al. (2017), *Attention is all you need*, arXiv 1706.03762.
# - J. Ba, J. Kiros, G. Hinton (2016), *Layer normalization*, arXiv 1607.06450 · B. Zhang, R. Sennrich (2019), *Root mean square layer normalization*, arXiv 1910.07467.
# - R. Xiong et al. (2020), *On layer normalization in the transformer architecture*, arXiv 2002.04745: pre-norm, post-norm, warm-up.
# - Y. Dong, J.-B. Cordonnier, A. Loukas (2021), *Attention is not all you need: pure attention loses rank doubly exponentially with depth*, arXiv 2103.03404.
# - A. Dosovitskiy et al. (2021), *An image is worth 16×16 words*, arXiv 2010.11929: ViT; data size in section 4.3.
# - T. Xiao et al. (2021), *Early convolutions help transformers see better*, arXiv 2106.14881: stems of convolutions.
# - D. Hendrycks, K. Gimpel (2016), *Gaussian error linear units*, arXiv 1606.08415 · J. Devlin et al. (2019), *BERT*, arXiv 1810.04805.
# - Handwriting: E. Alpaydin, C. Kaynak (1998), *Optical recognition of handwritten digits*, UCI; Y. LeCun, C. Cortes, C. Burges, *MNIST*.
