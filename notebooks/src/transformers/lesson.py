# %% [markdown]
# # Transformers
# *You will build the block inside every large model, check that it is BERT's own, and cut pictures into words for it.*
#
# {{budget}}
#
# **You will be able to**
# - write an encoder and a decoder block, pre-norm and post-norm, and say what each part is for;
# - check your block against `BertModel` and `ViTModel`, with their weights;
# - cut pictures into patches for a vision transformer, and compare it with a CNN at equal budget;
# - say what the place of the norm does to gradients.
#
# **Before this:** [Attention](attention.ipynb); [Convolutional networks](cnn.ipynb) for the comparison.
#
# **Time to read:** 35 minutes, then 12 for the [exercise](exercises/transformers.ipynb).

# %% [markdown]
# ## 1 · The question
# Attention lets each word collect from the others: its output is a weighted mean of vectors. Stack twenty such layers and all words
# become alike, as the first cells below show for the smallest case. **Predict:** what must stand around attention so that layers can be stacked?

# %%
import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import BertModel, BertTokenizer, ViTConfig, ViTModel

from mmcourse import plot
from mmcourse.datasets import data_dir, load
from mmcourse.evaluate import expect_within
from mmcourse.numpy.transformer import feed_forward, patchify
from mmcourse.parity import compare, parity_cases
from mmcourse.torch.transformer import VisionTransformer

np.set_printoptions(precision=2, suppress=True)

folder = data_dir() / "models" / "tiny-bert"  # comes with the course; the lesson on BERT shows how it was made
tokenizer = BertTokenizer.from_pretrained(folder)

# %% [markdown]
# ## 2 · The idea by hand
# Attention (lesson [attention](attention.ipynb)) lets words look at one another. A **transformer block** puts it to work. Take three words, each a vector of four numbers.

# %%
rng = np.random.default_rng(0)
x = rng.normal(size=(3, 4)).round(1)  # (n, d): "tiny", "red", "disc"
print(x)

# %% [markdown]
# **Step one: mix.** Each word collects from the others. To keep the smallest case small, let every word look at all three equally;
# learned attention only changes these weights.

# %%
look = np.full((3, 3), 1 / 3)  # rows sum to 1
mixed = look @ x  # (3, 4)
print(mixed)

# %% [markdown]
# All rows are now the same: mixing alone forgets who is who. So the block *adds* what was collected to what was there. That is the
# **residual**: `x + f(x)`.

# %%
x1 = x + mixed
print(x1)


# %% [markdown]
# Adding, block after block, makes numbers grow. A **layer norm** brings each word back to mean 0 and variance 1, by itself: no other word
# and no other sample is needed.


# %%
def norm(x, eps=1e-12):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps)


print(norm(x1).mean(-1).round(6) + 0, norm(x1).var(-1).round(6))

# %% [markdown]
# **Step two: think.** A small network, the same for every word, works on each word *alone*: wider, a bend (GELU), narrower again. Then
# residual and norm once more. Mix, think: that is the block.

# %%
up, down = rng.normal(size=(4, 8)), rng.normal(size=(8, 4))
p = {"up.w": up, "up.b": np.zeros(8), "down.w": down, "down.b": np.zeros(4)}
thought, _ = feed_forward(x1[None], p)  # (1, 3, 4)
alone, _ = feed_forward(x1[None, :1], p)  # only the first word
assert np.allclose(thought[:, :1], alone)
print("the feed-forward part never looks at a neighbor")

# %% [markdown]
# ## 3 · The formula
# With $A$ for attention and $F(x) = W_2\,\mathrm{gelu}(W_1x + b_1) + b_2$, the block of Vaswani et al. (2017) and of BERT normalizes *after* adding:
#
# $$x \leftarrow \mathrm{norm}(x + A(x)) \qquad x \leftarrow \mathrm{norm}(x + F(x)) \qquad \text{(post-norm)}$$
#
# GPT-2 and ViT normalize *before*, and once more at the end of the stack:
#
# $$x \leftarrow x + A(\mathrm{norm}(x)) \qquad x \leftarrow x + F(\mathrm{norm}(x)) \qquad \text{(pre-norm)}$$


# %%
def residual(x, f, norm, pre_norm):
    return x + f(norm(x)) if pre_norm else norm(x + f(x))


print("post-norm, variance of each word:", residual(x, np.tanh, norm, False).var(-1))
print("pre-norm,  variance of each word:", residual(x, np.tanh, norm, True).var(-1))

# %% [markdown]
# Post-norm fixes the size of what comes out. Pre-norm leaves a path of plain additions open from the last block to the first. What that
# does to the gradient is measured in section 6 (Xiong et al. 2020, arXiv 2002.04745).
#
# **Encoder or decoder?** In an *encoder* every word sees every other: right for understanding. A *decoder* writes from left to right: its
# self-attention is causal, and a second attention, the *cross-attention*, reads a memory, such as an encoded picture.
#
# | | self-attention | cross-attention | example |
# |---|---|---|---|
# | encoder | both sides | – | BERT, ViT |
# | decoder | past only | to a memory | translation, captions |
# | decoder alone | past only | – | GPT |

# %%
from mmcourse.torch.transformer import Decoder, Encoder

torch.manual_seed(0)
encoder, decoder = Encoder(2, 8, num_heads=2), Decoder(2, 8, num_heads=2, memory_dim=5)
words, memory = torch.randn(1, 6, 8), torch.randn(1, 3, 5)
changed = words.clone()
changed[:, 4] *= -2  # another fifth word
with torch.no_grad():
    seen = [layer(changed, *more) - layer(words, *more) for layer, more in ((encoder, ()), (decoder, (memory,)))]
for name, difference in zip(("encoder", "decoder"), seen, strict=True):
    print(name, "words that noticed:", (difference.abs().amax(-1)[0] > 1e-6).int().tolist())

# %% [markdown]
# The fifth word changed. In the encoder everybody noticed; in the decoder only itself and what follows. If an earlier word noticed, the
# model could copy the answer, and its loss would be too good to be true.

# %% [markdown]
# ## 4 · The same in PyTorch and Keras
# The same block in NumPy, PyTorch and Keras, from the same weights: largest relative difference of outputs, of gradients, and of weights after five
# steps of training. (NumPy has a backward pass of its own.)

# %%
for formula in parity_cases("coder block"):
    for r in compare(formula):
        assert max(r.forward, r.gradient, r.sgd) < 1e-9
        print(f"{r.name:26} {r.pair:12} below 1e-9")

# %% [markdown]
# And the block inside the loaded BERT? Names differ, so a small table translates them. Then its weights go into *your* block.

# %%
from mmcourse.torch.transformer import EncoderBlock

names = {f"attention.{n[0]}_proj": f"attention.self.{n}" for n in ("query", "key", "value")}
names |= {"attention.out_proj": "attention.output.dense", "norm1": "attention.output.LayerNorm"}
names |= {"up": "intermediate.dense", "down": "output.dense", "norm2": "output.LayerNorm"}


def own_block(layer, config):
    block = EncoderBlock(config.hidden_size, config.num_attention_heads, config.intermediate_size, 0.0, False, 1e-12)
    state = layer.state_dict()
    block.load_state_dict({f"{our}.{w}": state[f"{its}.{w}"] for our, its in names.items() for w in ("weight", "bias")})
    return block


# %%

bert = BertModel.from_pretrained(folder, add_pooling_layer=False)
blocks = [own_block(layer, bert.config) for layer in bert.encoder.layer]
batch = tokenizer(["A tiny red disc.", "I loved every minute of the film."], padding=True, return_tensors="pt")
with torch.no_grad():
    hidden = bert(**batch, output_hidden_states=True).hidden_states
    h = hidden[0]  # embeddings: word + position + segment, then a norm
    for block in blocks:
        h = block(h, batch["attention_mask"].bool())
real = batch["attention_mask"].bool()
assert (h - hidden[-1])[real].abs().max() <= 1e-5
print("your two blocks give BERT's own last hidden state, to 1e-5")

# %% [markdown]
# Three conventions made that work: post-norm, $\varepsilon = 10^{-12}$ in the norm (PyTorch's default is $10^{-5}$), and the exact GELU.
# What you wrote is not *like* BERT. It is BERT.
#
# ## 5 · At work
# ### A picture as a sentence
# Nothing in a block says "text". Cut a picture into squares, call each square a word, and the same encoder sees: the **vision
# transformer** (Dosovitskiy et al. 2021).

# %%
scenes = {split: load("scenes", split, n=n) for split, n in (("train", 2000), ("test", 500))}
picture = np.asarray(scenes["test"].column("image")[0])
squares = patchify(picture[None], 16)[0]  # (16, 16·16·3)
fig = plot.images(list(squares.reshape(-1, 16, 16, 3)), title="What are the words of a picture?", columns=4, size=0.9)
plot.show(fig, alt="A picture of colored shapes cut into four by four squares, drawn slightly apart.")

# %% [markdown]
# Each square, flattened, goes through one linear map; a `[CLS]` vector is put in front; a learned vector per place is added; then the
# pre-norm encoder. Linear on squares is the same as a convolution whose stride is its size, and so `ViTModel` stores it.

# %%
torch.manual_seed(0)
own = VisionTransformer(64, 16, 3, num_layers=2, dim=40, num_heads=4, hidden=80, eps=1e-12)
config = ViTConfig(hidden_size=40, num_hidden_layers=2, num_attention_heads=4, intermediate_size=80, image_size=64,
                   patch_size=16)  # fmt: skip
library = ViTModel(config, add_pooling_layer=False).eval()

# %%
names = {f"attention.{n}_proj": f"attention.{n[0]}_proj" for n in ("q", "k", "v", "out")}
names |= {"norm1": "layernorm_before", "norm2": "layernorm_after", "up": "mlp.fc1", "down": "mlp.fc2"}
state = {
    "embeddings.cls_token": own.cls[None, None],
    "embeddings.position_embeddings": own.positions[None],
    "embeddings.patch_embeddings.projection.weight": own.patch.weight.reshape(40, 16, 16, 3).permute(0, 3, 1, 2),
    "embeddings.patch_embeddings.projection.bias": own.patch.bias,
    "layernorm.weight": own.encoder.norm.weight,
    "layernorm.bias": own.encoder.norm.bias,
}
for i, block in enumerate(own.encoder.blocks):
    ours = block.state_dict()
    state |= {f"layers.{i}.{its}.{w}": ours[f"{our}.{w}"] for our, its in names.items() for w in ("weight", "bias")}
library.load_state_dict(state)

# %%
pixels = torch.from_numpy(picture / 127.5 - 1).float().permute(2, 0, 1)[None]  # (1, 3, 64, 64)
with torch.no_grad():
    gap = (own(pixels) - library(pixels).last_hidden_state).abs().max()
assert gap <= 1e-5
print("all 17 vectors equal those of ViTModel, to 1e-5")

# %% [markdown]
# Is it better than a CNN (lesson [cnn](cnn.ipynb))? An honest race needs equal budgets: 2,000 scenes, 160 steps of 64 pictures, and *How many things do you see?*, one
# to four. About 50,000 weights each. **Predict** the order.


# %%
def cnn(channels=(3, 16, 24, 48, 64)):
    layers = []
    for in_channels, out_channels in zip(channels, channels[1:], strict=False):
        layers += [torch.nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1), torch.nn.ReLU()]
    head = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(channels[-1], 4)]
    return torch.nn.Sequential(*layers, *head)


class Vit(torch.nn.Module):
    def __init__(self, patch):
        super().__init__()
        self.vit, self.head = VisionTransformer(64, patch, 3, 2, 40, 4, 80), torch.nn.Linear(40, 4)

    def forward(self, image):
        return self.head(self.vit(image)[:, 0])  # the class token


# %%
def pixels_of(split):
    return torch.from_numpy(np.stack(split.column("image")[:])).permute(0, 3, 1, 2) / 127.5 - 1


def race(model, rate, seed, steps=160):
    """Accuracy on the test scenes, and seconds of training."""
    rng, start = np.random.default_rng(seed), time.process_time()
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(steps):
        some = rng.integers(len(x), size=64)
        loss = cross_entropy(model(x[some]), y[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    seconds = time.process_time() - start
    with torch.no_grad():
        return (model(x_test).argmax(-1) == y_test).float().mean().item(), seconds


# %% tags=["free"]
import time

x, x_test = pixels_of(scenes["train"]), pixels_of(scenes["test"])
y, y_test = (torch.from_numpy(scenes[split].labels) for split in ("train", "test"))
entries = {
    "CNN": (cnn, 5e-3),
    "ViT, 16-pixel words": (lambda: Vit(16), 3e-3),
    "ViT, 8-pixel words": (lambda: Vit(8), 3e-3),
}
raced = {}
for name, (make, rate) in entries.items():
    torch.manual_seed(0)
    raced[name] = race(make(), rate, seed=0)

fig = plot.bar_with_ceiling(
    [f"{name} ({seconds:.0f} s)" for name, (_, seconds) in raced.items()],
    [accuracy for accuracy, _ in raced.values()],
    [None] * 3,
    title="Who counts better after the same lessons?",
    chance=0.25,
)
plot.show(
    fig,
    alt="Accuracy of counting one to four things: the CNN about 0.58, the ViT with 16-pixel words about 0.49, with "
    "8-pixel words about 0.63 at about twice the processor time.",
)

# %%
expect_within("CNN accuracy", raced["CNN"][0], 0.575, 0.05)
expect_within("lead of the CNN over 16-pixel words", raced["CNN"][0] - raced["ViT, 16-pixel words"][0], 0.09, 0.07)

# %% [markdown]
# In this race (one seed, 160 steps, one rate each) the CNN is ahead of the ViT with large words at equal cost. Smaller words, four
# times as many tokens at about twice the time, are ahead of it. An explanation often given for the first: a CNN is built so that
# neighbors belong together and a star is a star anywhere, and a ViT has to learn both. This race does not test it. Dosovitskiy et
# al. report that CNNs lead on small data, ViTs after hundreds of millions of pictures.

# %% [markdown]
# ## 6 · Take it apart
# ### Where the norm stands
# Stack more and more fresh blocks and measure how hard the loss pulls at the weights of the *last* block, before any training. **Predict:**
# for which norm does the pull depend on how many blocks stand below?


# %%
def last_pull(pre_norm, num_layers, seed=0):
    torch.manual_seed(seed)
    stack = Encoder(num_layers, 32, num_heads=4, pre_norm=pre_norm)
    y = stack(torch.randn(8, 10, 32))
    (y * torch.randn(y.shape)).sum().backward()
    return stack.blocks[-1].down.weight.grad.norm().item()


depths, norms = (2, 6, 12, 24), {"pre-norm": True, "post-norm": False}
pull = {name: [[last_pull(pre, d, seed) for d in depths] for seed in range(3)] for name, pre in norms.items()}
fig = plot.curves(pull, x=depths, title="How hard is the last block pulled?", xlabel="blocks", ylabel="gradient norm")
plot.show(fig, alt="Gradient of the last block against depth, three seeds: post-norm stays, pre-norm falls by a third.")
deep = {name: np.mean(values, 0)[-1] / np.mean(values, 0)[0] for name, values in pull.items()}
assert deep["pre-norm"] < 0.75 and 0.9 < deep["post-norm"] < 1.2
print("from 2 to 24 blocks: pre-norm pulls less and less hard, post-norm just as hard")

# %% [markdown]
# Under pre-norm every block adds to one stream, so each has a smaller share in the answer the more there are. Under post-norm the last block is
# pulled at full strength however deep the stack. Xiong et al. (2020) trace its need for warm-up to that. BERT trains, with warm-up.

# %% [markdown]
# ## 7 · At full size
# [BERT](bert.ipynb) loads the same block with 110 million weights; a GPU trains the vision transformer above on all 20,000 scenes. This
# notebook has no cell of its own for that.

# %% [markdown]
# ## 8 · What to remember
# - A block mixes words (attention), then thinks about each (feed-forward); residuals keep what was there, norms keep its size.
# - Post-norm is BERT, pre-norm is GPT and ViT. An encoder sees both sides, a decoder only the past, plus a memory.
# - A picture is a sentence of squares.

# %% [markdown]
# ## 9 · Check yourself
# **1.** Your own block gives almost, but not quite, the library's numbers (1e-3). Where do you look first?
# <details><summary>Answer</summary>
#
# At ε in the layer norm and at the GELU (exact or tanh). A wrong order of norm and residual, or query and key exchanged, gives errors near 1.
# </details>
#
# **2.** A ViT on 64-pixel pictures: patches of 8 in place of 16. What does attention cost now?
# <details><summary>Answer</summary>
#
# Four times as many words, so about sixteen times the entries in each attention table, and four times the feed-forward work.
# </details>

# %% [markdown]
# ## 10 · Exercises
# [One exercise](exercises/transformers.ipynb): write a block with the norm in the right place.
# Then go on with [BERT](bert.ipynb), where such blocks learn to read.

# %% [markdown]
# ## Sources
# - Transformer: Vaswani et al. 2017, arXiv 1706.03762 · norm before or after: Xiong et al. 2020, arXiv 2002.04745
# - Vision transformer: Dosovitskiy et al. 2021, arXiv 2010.11929 (data size: section 4.3)
# - Layer norm: Ba, Kiros and Hinton 2016, arXiv 1607.06450 · GELU: Hendrycks and Gimpel 2016, arXiv 1606.08415
