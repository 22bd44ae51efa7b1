# %% [markdown]
# # Generation: draw me an orange star
# *Noise goes in, and out comes the picture that you asked for. You build the two ways in which this is done, a game between two networks and the removal of
# noise step by step, train both, and measure what such models can draw, what they copy, and whether they combine what they never saw together.*
#
# {{budget}}
#
# **You will be able to**
# - write the losses of a GAN, say what its best discriminator answers, and count what its generator forgets;
# - add noise in one line, and take it away by DDIM or by flow matching;
# - build a U-Net that listens to a caption, train it, and steer it by classifier-free guidance;
# - judge pictures: right or wrong, varied or not, new or copied; and say what a Fréchet distance measures and what it needs;
# - say what a watermark can and cannot do.
#
# **Before this:** [attention](attention.ipynb) (softmax of scores, weighted means), [vision](vision.ipynb) (convolutions, residual connections), [fusion](fusion.ipynb) (FiLM), [clip](clip.ipynb) (`scenes`, pairs never seen).
#
# **Time to read:** 100 minutes with the five blanks, then 110 for the [exercises](exercises/generation.ipynb).

# %%
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
from mmcourse.datasets.scenes import icons
from mmcourse.datasets.scenes.world import COLORS, SHAPES
from mmcourse.evaluate import expect_within, mean_and_interval
from mmcourse.figures.generation import ask, nearest_distance, shares
from mmcourse.numpy import diffusion
from mmcourse.torch import gan
from mmcourse.torch.diffusion import ExponentialAverage, sample_flow, time_embedding
from mmcourse.torch.diffusion import guide as guided
from mmcourse.torch.generation import Painter, from_pictures, to_pictures

stored = results("generation")
card = data_dir() / "models" / "generation" / "figures.json"
shipped = json.loads(card.read_text(encoding="utf-8"))["figures"]
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## 1 · It draws

# %% [markdown]
# The course's painter was trained on small pictures of `scenes`: *one* thing on 16 × 16 pixels. Such a small picture is an **icon** here.

# %% tags=["free"]
painter = Painter.from_pretrained("generation")
wishes = ["an orange star", "a green circle", "a violet cross", "a box that is white"]
fig = plot.images(painter.paint(wishes * 2, seed=1), titles=wishes * 2, columns=4)
plot.show(fig, alt="Eight icons: each wish was drawn twice, on different backgrounds.")

# %% [markdown]
# **Ask for your own.** It knows eight colors, six shapes and some synonyms, and says so if you use another word:

# %% tags=["free"]
my_wish = "an azure rhombus"
fig = plot.images(painter.paint([my_wish] * 4, seed=2), columns=4)
plot.show(fig, alt=f"Four pictures drawn for: {my_wish}")
print("words:", ", ".join(painter.words))

# %% [markdown]
# Every picture began as pure noise. Here is one on its way, from t = 0 to t = 1:

# %% tags=["free"]
way = []
x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(3))
text = painter.encode(["an orange star"])
with torch.no_grad():
    for step in range(20):
        if step % 4 == 0:
            way.append(to_pictures(x)[0])
        t = torch.full((1,), step / 20)
        x = x + painter.velocity(x, t, text) / 20
way.append(to_pictures(x)[0])
names = [f"t = {t:.1f}" for t in np.linspace(0, 1, 6)]
fig = plot.images(way, titles=names, columns=6, size=1.1)
plot.show(fig, alt="Six stages from noise to an orange star, ever clearer.")

# %% [markdown]
# ## 2 · The question

# %% [markdown]
# **Record three guesses** before you go on.

# %%
star_guess = widgets.guess(
    "Training showed red circles and green stars, but never a red star. "
    "Asked for a red star, what does the painter mostly draw?",
    ["a red star", "a star in another color", "a red thing of another shape"],
)

# %%
perfect_guess = widgets.guess(
    "One model has the lowest training loss that is possible. What does it draw?",
    ["new pictures", "copies of its training pictures", "a blur"],
)

# %%
metric_guess = widgets.guess(
    "Which pictures are nearest to real ones, by the field's usual distance?",
    ["the painter's new pictures", "copies of the training pictures", "both alike"],
)

# %% [markdown]
# ## 3 · Why not simply predict it?

# %% [markdown]
# A **generative model** draws new samples like those of its training set. Why is that hard? We have pictures with captions; let a network predict the picture from the caption, with squared error as in [neural_networks](neural_networks.ipynb). What would it predict for "an orange star"? Squared error is smallest at the *mean* of all that is possible:

# %%
train_pictures, train_captions, train_kinds = icons.load(100, 40_001)
star = (SHAPES.index("star"), COLORS.index("orange"))
stars = train_pictures[(train_kinds == star).all(axis=1)]
mean = stars.mean(axis=0)
to_mean = ((stars / 255.0 - mean / 255) ** 2).mean()
to_first = ((stars[1:] / 255.0 - stars[0] / 255.0) ** 2).mean()
print(f"{len(train_pictures)} icons of {len(icons.SEEN_ICONS)} pairs", end="; ")
print(f"orange stars: {len(stars)}")
print(f"squared error of the mean {to_mean:.4f}, of one real star {to_first:.4f}")
assert to_mean < to_first

# %%
shown = [*stars[:3], mean.round().astype(np.uint8)]
fig = plot.images(shown, titles=["real", "real", "real", "the mean of all"], columns=4)
plot.show(fig, alt="Three orange stars, and the mean: a blurred star on even gray.")

# %% [markdown]
# The mean has a *lower* error than any real star, and is no orange star that anybody ever drew: no texture, blurred edges. We want one of the possible pictures, each with its right frequency. So a generative model needs a source of randomness, and a way from randomness to pictures.
#
# **One way, in short.** A **variational autoencoder** (VAE; Kingma and Welling 2014) has two networks. The encoder turns a picture into a mean and a spread; a short vector, the **latent** z, is drawn from them, and the decoder turns z back into a picture. The loss has two terms: how well the picture comes back, and how far the encoder's distribution is from a standard normal one (KL divergence), so that new pictures can be made from standard normal z.

# %% tags=["hide-input"]
canvas = draw.Canvas()
picture = canvas.place(draw.box("picture x"))
encoder = canvas.place(draw.box("encoder"), right_of=picture, gap=30)
latent = canvas.place(draw.box("z = μ + σ · noise", color="orange"), right_of=encoder, gap=30)
decoder = canvas.place(draw.box("decoder"), right_of=latent, gap=30)
back = canvas.place(draw.box("x again"), right_of=decoder, gap=30)
for a, b in ((picture, encoder), (encoder, latent), (latent, decoder), (decoder, back)):
    canvas.arrow(a, b)
canvas.text("near N(0, 1)?  (KL)", latent.center[0], latent.y + latent.height + 18)
canvas.text("same as x?  (squared error)", back.center[0] - 40, back.y + back.height + 40)
draw.show(
    canvas, alt="A variational autoencoder: picture, encoder, latent with noise, decoder, picture again; two losses."
)

# %% [markdown]
# $$\ln p(x) \;\ge\; \underbrace{\mathbb E\,[\ln p(x \mid z)]}_{\text{comes back}} \;-\; \underbrace{\mathrm{KL}\bigl(q(z \mid x)\,\|\,N(0,1)\bigr)}_{=\,\frac12(\mu^2+\sigma^2-1-\ln\sigma^2)\text{ per number}}$$

# %%
for mu, sigma in ((0.0, 1.0), (2.0, 1.0), (2.0, 0.1)):
    kl = (mu**2 + sigma**2 - 1 - math.log(sigma**2)) / 2
    print(f"μ = {mu}, σ = {sigma}: KL = {kl:.3f} nats")

# %% [markdown]
# Under squared error, the decoder answers with the mean of all pictures that z leaves possible: the blur of the last picture. We build no VAE here. Large systems use its two halves to make pictures small, and draw the latents with what this lesson builds (latent diffusion, section 15).

# %% [markdown]
# ## 4 · A game of two

# %% [markdown]
# A **generative adversarial network** (GAN; Goodfellow et al. 2014) replaces the squared error by a second network. The **generator** makes samples from noise. The **discriminator** sees real and generated samples and says how probably each is real. It is trained to be right, the generator to make it wrong.

# %% tags=["hide-input"]
canvas = draw.Canvas()
noise = canvas.place(draw.box("noise z"), x=0, y=90)
make = canvas.place(draw.box("generator G", color="orange"), right_of=noise, gap=30)
fake = canvas.place(draw.box("generated"), right_of=make, gap=30)
real = canvas.place(draw.box("real", color="green"), x=fake.x + 20, y=0)
judge = canvas.place(draw.box("discriminator D"), x=fake.x + 140, y=45)
says = canvas.place(draw.label("how probably\nreal?"), right_of=judge, gap=30)
canvas.arrow(noise, make)
canvas.arrow(make, fake)
canvas.arrow(real, judge)
canvas.arrow(fake, judge)
canvas.arrow(judge, says)
under = judge.y + judge.height + 70
canvas.line((judge.center[0], judge.y + judge.height + 3), (judge.center[0], under), dashed=True, color="orange")
canvas.line((judge.center[0], under), (make.center[0], under), dashed=True, color="orange")
canvas.arrow((make.center[0], under), (make.center[0], make.y + make.height + 3), dashed=True, color="orange")
canvas.text("gradient: how to look more real", (judge.center[0] + make.center[0]) / 2, under + 14)
draw.show(
    canvas,
    alt="A GAN: noise goes through the generator; the discriminator sees generated and real samples; its gradient trains the generator.",
)

# %% [markdown]
# $$\min_G \max_D \;\; \mathbb E_{\text{real}}[\ln D(x)] + \mathbb E_{z}[\ln(1 - D(G(z)))]$$
#
# What is the best D against a given G? By hand: three kinds of samples, how often they are real, and how often G makes them.

# %%
p = np.array([0.5, 0.5, 0.0])  # real
q = np.array([0.1, 0.5, 0.4])  # generated
for a, b in zip(p, q):
    answers = np.linspace(0.01, 0.99, 99)
    value = a * np.log(answers) + b * np.log(1 - answers)
    best = answers[value.argmax()]
    print(f"real {a:.1f}, generated {b:.1f}: best answer D = {best:.2f}")

# %% [markdown]
# **Your turn (blank 1).** Write the formula for the best answer.
# <details><summary>Hint</summary>
#
# Of all samples of this kind that D sees, half real and half generated on the whole, which share is real? Try it on 0.5 and 0.1.
# </details>


# %%
def best_discriminator(p, q):
    """The best D where real samples have density p and generated ones q."""
    # BEGIN SOLUTION
    return p / (p + q)
    # END SOLUTION


best_discriminator = check("generation.blank.1", best_discriminator)
print("D* =", best_discriminator(p, q))
at_best = np.log(np.array([0.5, 0.5])) @ np.ones(2)
print(f"where p = q everywhere: D* = 0.5 and the value is {at_best:.4f} = −2 ln 2")

# %% [markdown]
# With the best D, the value of the game is 2 JS(p, q) − 2 ln 2, where JS is the Jensen–Shannon divergence: 0 only where both are equal. So G is driven towards the data, *if* D is always at its best, and if gradients arrive. Do they? At the start a discriminator is easily sure. The generator's gradient with respect to D's logit:

# %%
for logit in (0.0, -4.0, -8.0):
    slopes = []
    for kind in ("minimax", "non-saturating"):
        z = torch.tensor([logit], requires_grad=True)
        gan.generator_loss(z, kind).backward()
        slopes.append(z.grad.item())
    d = 1 / (1 + math.exp(-logit))
    print(f"D = {d:.4f}: minimax {slopes[0]:8.4f}   non-saturating {slopes[1]:8.4f}")

# %% [markdown]
# Where D is sure that a sample is generated, ln(1 − D) is flat: no gradient, just where it is needed most. So in practice the generator makes −ln D small, the **non-saturating loss**. Now a GAN on the simplest data with several kinds: eight equal groups of points on a ring.


# %%
angles = torch.arange(8) * 2 * math.pi / 8
centers = 2 * torch.stack([angles.cos(), angles.sin()], dim=1)  # (8, 2)


def ring(n):
    """Points (n, 2) of eight narrow bells, and the number of each one's bell."""
    mode = torch.randint(8, (n,))
    return centers[mode] + 0.1 * torch.randn(n, 2), mode


def count_modes(points):
    """Groups that a percent of the points hit (within 3 σ); share that hits any."""
    distance, mode = torch.cdist(points, centers).min(dim=1)
    hit = distance < 0.3
    counts = torch.bincount(mode[hit], minlength=8)
    return int((counts >= 0.01 * len(points)).sum()), hit.float().mean().item()


def train_gan(kind, steps, seed=0):
    """A generator trained on the ring; `kind` names the loss."""
    torch.manual_seed(seed)
    generator = nn.Sequential(
        nn.Linear(8, 64), nn.LeakyReLU(0.2),
        nn.Linear(64, 64), nn.LeakyReLU(0.2),
        nn.Linear(64, 2),
    )  # fmt: skip
    critic = nn.Sequential(
        nn.Linear(2, 64), nn.LeakyReLU(0.2),
        nn.Linear(64, 64), nn.LeakyReLU(0.2),
        nn.Linear(64, 1), nn.Flatten(0),
    )  # fmt: skip
    betas = (0.5, 0.999)
    g_optimizer = torch.optim.Adam(generator.parameters(), 1e-3, betas=betas)
    c_optimizer = torch.optim.Adam(critic.parameters(), 1e-3, betas=betas)
    for _ in range(steps):
        real, _ = ring(64)
        fake = generator(torch.randn(64, 8))
        loss = gan.discriminator_loss(critic(real), critic(fake.detach()), kind)
        c_optimizer.zero_grad()
        loss.backward()
        c_optimizer.step()
        loss = gan.generator_loss(critic(generator(torch.randn(64, 8))), kind)
        g_optimizer.zero_grad()
        loss.backward()
        g_optimizer.step()
    return generator


# %% [markdown]
# The discriminator's output here is a score without a sigmoid; such a network is called a **critic**. `fake.detach()` matters: the critic's step must not train the generator.

# %% tags=["free"]
drawn = {"real": ring(1000)[0]}
for kind, steps in (("non-saturating", 500), ("non-saturating", 2000)):
    generator = train_gan(kind, steps)
    drawn[f"{kind}, {steps}"] = generator(torch.randn(1000, 8)).detach()
for name, points in drawn.items():
    modes, hit = count_modes(points)
    print(f"{name:22} {modes} of 8 groups, {hit:.2f} of the points in a group")

# %% tags=["hide-input", "free"]
fig, axes = plt.subplots(1, 3, figsize=(6.4, 2.3))
for ax, (name, points) in zip(axes, drawn.items()):
    ax.scatter(*points.T.numpy(), s=2, color="#0072B2" if name == "real" else "#D55E00")
    ax.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal")
    ax.set_title(name, fontsize=9)
    ax.grid(False)
plot.show(fig, alt="Three scatter plots: the real ring of eight groups, and what two generators draw.")

# %% [markdown]
# Early, hardly any point is in a group; later all eight groups are found, and many points still lie between them. These are single runs: section 5 has five of each, from another start (biases of 0, for one), and there 500 steps find fewer groups. A generator that leaves groups out suffers from **mode collapse**: nothing in its loss says how *varied* it must be, only that each sample must pass. Section 5 shows it.
#
# ## 5 · What BigGAN added

# %% [markdown]
# BigGAN (Brock et al. 2019) drew the first convincing photographs of a thousand kinds of things. It was no new idea but many tricks together. On our ring, each alone added to the non-saturating GAN:
#
# - **hinge loss**: the critic stops caring once real samples score above 1 and generated ones below −1;
# - **spectral normalization**: each weight matrix of the critic is divided by its largest singular value, so that its score cannot jump;
# - **classes**: generator and critic are told which kind is meant; here four classes of two opposite groups each. In the generator, each class has its own scale and shift for every unit: FiLM, which stands here for BigGAN's class-conditional batch normalization (the scale and shift without the normalization). In the critic, the label is either concatenated to the input, or a class embedding is multiplied with the features: a **projection discriminator** (Miyato and Koyama 2018);
# - a **large batch**; an **orthogonal start** of the weights;
# - an **exponential moving average** (EMA) of the generator's weights: it is what one draws with;
# - the **truncation trick**: noise from a narrower range than in training.
#
# Spectral normalization first, by hand. The largest singular value comes from **power iteration**: multiply a vector by W and Wᵀ in turn, and it turns towards the direction that W stretches most.

# %%
torch.manual_seed(0)
layer = nn.Linear(4, 3, bias=False)
weight = layer.weight.detach().clone()
for rounds in (1, 2, 5, 20):
    print(f"{rounds:2} rounds: {gan.largest_singular_value(weight, rounds):.6f}")
exact = torch.linalg.svdvals(weight)[0]
normed = nn.utils.parametrizations.spectral_norm(layer, n_power_iterations=50).eval()
same = torch.allclose(normed.weight, weight / exact, atol=1e-5)
print(f"SVD: {exact:.6f};  PyTorch's layer is W / σ: {'yes' if same else 'no'}")
assert same and torch.isclose(gan.largest_singular_value(weight, 200), exact, atol=1e-5)

# %% [markdown]
# Five seeds each, at two budgets; of eight groups, and the share of points inside a group. (± is Student's 95 % interval of the mean.)

# %%
trials = stored["gan"]
names = ["minimax", "non-saturating", "hinge", "spectral norm", "orthogonal start"]
names += ["batch of 512", "classes, generator only", "classes, concatenated"]
names += ["classes, projected", "hinge and spectral norm", "all"]
few, many = (str(steps) for steps in trials["budgets"])
print(f"{'':24}{few + ' steps':>22}{many + ' steps':>22}")
for name in names:
    line = f"{name:24}"
    for steps in (few, many):
        modes, half = mean_and_interval(trials[name][steps]["modes"])
        inside = np.mean(trials[name][steps]["inside"])
        line += f"  {modes:4.1f} ± {half:3.1f}, in {inside:.2f}"
    print(line)

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(7.2, 3.2))
for row, name in enumerate(reversed(names)):
    for steps, color, shift in ((few, "#888888", 0.15), (many, "#0072B2", -0.15)):
        values = trials[name][steps]["modes"]
        ax.plot(values, [row + shift] * len(values), "o", color=color, alpha=0.5, ms=5)
        ax.plot([np.mean(values)], [row + shift], "|", color=color, ms=14, mew=2)
ax.set(yticks=range(len(names)), yticklabels=list(reversed(names)), xlim=(-0.3, 8.3))
ax.set_xlabel(f"groups found, of 8 (gray: {few} steps, blue: {many} steps; a dot per seed)")
plot.show(fig, alt="Groups found by each variant of the GAN, five seeds, two budgets.")

# %% [markdown]
# Read the two numbers separately: how many groups are found, and how many points are in one at all.
#
# - At 2000 steps, every variant but two finds all groups or nearly all. What those whose critic knows no classes lack is sharpness: a quarter to two thirds of their points lie between the groups.
# - The three variants whose *critic* is told the **classes** have the largest shares (0.90 to 0.94), but they are also given labels, which the others lack. Classes in the generator alone gain nothing: no loss asks it to mind them. If the label is merely concatenated to the critic's input, groups are lost: 5.8 of eight are left, on average. That *is* mode collapse, and the share of points does not show it. With the projection discriminator nearly all groups stay.
# - A batch of 512 helps sharpness here, too, with eight times as many samples. For minimax, hinge, the orthogonal start and classes in the generator only, the interval of the difference (below) contains 0. So the flat gradient of section 4 was not seen to matter on this ring.
# - Spectral normalization costs sharpness at 2000 steps, most of all with the hinge loss; at 500 no difference is seen. (*all*, which contains both, has 0.91.) It was made for deep and unstable networks; ours is small. Why it hurts here was not tested.
#
# So tricks that were measured on photographs need not help on your data. (One learning rate for all was used here; each variant might do better with its own.) Measure each, with several seeds: the differences paired by seed, at the larger budget:

# %%
plain = trials["non-saturating"][many]
base = {part: np.array(plain[part]) for part in ("inside", "modes")}
for name in names:
    if name != "non-saturating":
        gain, half = mean_and_interval(trials[name][many]["inside"] - base["inside"])
        groups = np.mean(trials[name][many]["modes"] - base["modes"])
        print(f"{name:24} in a group {gain:+.2f} ± {half:.2f}   groups {groups:+.1f}")
lost = trials["classes, concatenated"][many]["modes"]
assert np.mean(lost) < 7 < np.mean(trials["classes, projected"][many]["modes"])
assert np.mean(trials["spectral norm"][many]["inside"]) < base["inside"].mean() - 0.1

# %% [markdown]
# The average of the weights, and the truncation trick, on the plain GAN and on the variant that has everything:

# %%
for name in ("non-saturating", "all"):
    row = trials[name][many]
    gain = np.array(row["inside averaged"]) - np.array(row["inside"])
    mean, half = mean_and_interval(gain)
    print(f"{name}: in a group, averaged − last weights {mean:+.2f} ± {half:.2f}")
    for limit in ("1", "0.5", "0.2"):
        cut = row[f"noise within {limit}"]
        print(f"   noise within ±{limit}: {np.mean(cut['modes']):.1f} groups", end=", ")
        print(f"in {np.mean(cut['inside']):.2f}, spread {np.mean(cut['spread']):.2f}")
cut = {limit: plain[f"noise within {limit}"]["modes"] for limit in ("1", "0.2")}
assert np.mean(cut["0.2"]) < 6 < 7.5 < np.mean(cut["1"])

# %% [markdown]
# A narrower range of noise makes the samples less varied, as promised. It does not make them better here: with a very narrow range, fewer points are in a group, and the plain GAN, which is told no class, loses groups as well. (BigGAN's samples of photographs did get better.) The average of the weights costs the plain GAN a few points in a hundred at this budget; for *all* no difference is seen.
#
# GANs draw in one step, fast. Training is a game without a loss that falls; nothing tells you when to stop but the samples. What follows is a plain regression.

# %% [markdown]
# ## 6 · Noise, in one line

# %% [markdown]
# Take a picture, $x_0$, and mix in standard normal noise ε. How much is left of the picture is $\bar\alpha$, between 1 and 0. A **diffusion model** (Sohl-Dickstein et al. 2015; Ho et al. 2020) learns to go back, a little at a time.
#
# $$x_t = \sqrt{\bar\alpha_t}\; x_0 + \sqrt{1-\bar\alpha_t}\; \varepsilon$$
#
# The square roots keep the variance: pictures scaled to variance 1 stay so. **Your turn (blank 2).**
# <details><summary>Hint</summary>
#
# `np.sqrt(alpha_bar)` times the clean picture, plus `np.sqrt(1 - alpha_bar)` times the noise.
# </details>


# %%
def add_noise(clean, noise, alpha_bar):
    """The noisy picture x_t; all arrays have one shape."""
    # BEGIN SOLUTION
    return np.sqrt(alpha_bar) * clean + np.sqrt(1 - alpha_bar) * noise
    # END SOLUTION


add_noise = check("generation.blank.2", add_noise)
rng = np.random.default_rng(0)
one = stars[0] / 127.5 - 1
one_noise = rng.normal(size=one.shape)
for alpha_bar in (1.0, 0.5, 0.0):
    x = add_noise(one, one_noise, alpha_bar)
    print(f"ᾱ = {alpha_bar}: the first pixel's red is {x[0, 0, 0]:6.3f}", end="")
    print(f"  (clean {one[0, 0, 0]:.3f}, noise {one_noise[0, 0, 0]:.3f})")

# %% [markdown]
# **Move the slider.** When can you no longer say what it is?


# %%
def show_noisy(alpha_bar=0.9):
    """Four icons with this much of the picture left."""
    rng = np.random.default_rng(1)
    clean = train_pictures[[50, 1250, 2300, 3900]] / 127.5 - 1
    noisy = add_noise(clean, rng.normal(size=clean.shape), alpha_bar)
    pictures = np.clip((noisy + 1) / 2, 0, 1)
    fig = plot.images(pictures, columns=4, size=1.6)
    plot.show(fig, alt=f"Four icons with noise; ᾱ is {alpha_bar:.2f}.")


widgets.slider(show_noisy, alpha_bar=(0.0, 1.0, 0.05))

# %% [markdown]
# In training every amount of noise occurs. In sampling one goes through them in order; the **noise schedule** says how fast. Two famous ones, with T = 1,000 steps:

# %%
linear = diffusion.alpha_bars(diffusion.linear_betas(1000))
cosine = diffusion.alpha_bars(diffusion.cosine_betas(1000))
for name, bars in (("linear", linear), ("cosine", cosine)):
    some = ", ".join(f"{bars[t]:.3f}" for t in (0, 249, 499, 749))
    print(f"{name}: ᾱ at steps 1, 250, 500, 750: {some}; last {bars[-1]:.1e}")
assert (linear[499] < cosine[499]) and 0 < cosine[-1] and 0 < linear[-1]

# %% tags=["hide-input"]
straight = np.linspace(1, 0, 1000)[:-1]
fig, ax = plt.subplots(figsize=(6.6, 2.6))
for name, bars, color in (("linear β (DDPM)", linear, "#0072B2"), ("cosine", cosine, "#D55E00")):
    ax.plot(np.arange(len(bars)) / 1000, bars, color=color, label=name)
level = np.linspace(0, 1, 200)
ax.plot(
    level, (1 - level) ** 2 / ((1 - level) ** 2 + level**2), "--", color="#009E73", label="straight line of section 8"
)
ax.set(xlabel="step / T", ylabel="share of signal power")
ax.legend(fontsize=9)
plot.show(fig, alt="Share of signal power against time: the linear schedule falls sooner than the cosine one.")

# %% [markdown]
# The linear schedule has destroyed most of the picture half way, and spends the rest on nearly pure noise (Nichol and Dhariwal 2021 measured it; the cosine schedule is their answer). If the network says ε, $\bar\alpha$ must not be exactly 0: $x_0$ would be divided by 0. That is why both end *near* 0. With the other targets below it may be 0.
#
# **What should the network say?** The noise ε, the clean picture $x_0$, or something between? By hand, with one number:

# %%
clean, eps = 2.0, -1.0
signal, level = 0.6, 0.8  # √ᾱ and √(1 − ᾱ)
x = signal * clean + level * eps
print(f"x = 0.6 · 2 + 0.8 · (−1) = {x:.1f}")
print(f"it says ε = −1:   x₀ = (x − 0.8 ε) / 0.6 = {(x - level * eps) / signal:.1f}")
print(f"it says x₀ = 2:   ε = (x − 0.6 x₀) / 0.8 = {(x - signal * clean) / level:.1f}")
v = signal * eps - level * clean
back = signal * x - level * v
print(f"it says v = 0.6 ε − 0.8 x₀ = {v:.1f}:   x₀ = 0.6 x − 0.8 v = {back:.1f}")

# %% [markdown]
# x and the answer are two linear equations for the two unknowns, so any such target can be turned into any other (except ε into $x_0$ at $\bar\alpha = 0$, and $x_0$ into ε at $\bar\alpha = 1$): the three hold the same information. What differs is how errors are weighted: at high noise, an error in ε becomes an error in $x_0$ that is $\sqrt{1-\bar\alpha}/\sqrt{\bar\alpha}$ times as large.

# %%
arrays = rng.normal(size=(2, 5))
for target in diffusion.TARGETS:
    said = diffusion.training_target(*arrays, 0.6, 0.8, target)
    x = diffusion.add_noise(*arrays, 0.6, 0.8)
    found = diffusion.clean_and_noise(x, said, 0.6, 0.8, target)
    assert np.allclose(found, arrays)
late = (math.sqrt(1 - 0.01) / math.sqrt(0.01), math.sqrt(1 - 0.9) / math.sqrt(0.9))
print(f"an error of 1 in ε is an error in x₀ of {late[0]:.2f} at ᾱ = 0.01", end=", ")
print(f"{late[1]:.2f} at ᾱ = 0.9")

# %% [markdown]
# ## 7 · The perfect denoiser

# %% [markdown]
# A **denoiser** estimates the clean picture from a noisy one. Which estimate has the lowest squared error? The mean of the clean pictures that are possible, each weighted by how probable it is, given what is seen. If the training set is all there is, that can be computed without any training. Three training "pictures" of one number each, by hand:

# %%
data = np.array([-1.0, 0.0, 2.0])
signal, level, x = 0.8, 0.6, 1.0
scores = -((x - signal * data) ** 2) / (2 * level**2)
weights = np.exp(scores) / np.exp(scores).sum()
print("scores ", scores)
print("weights", weights, "  (softmax)")
print(f"mean    {weights @ data:.3f}")

# %% [markdown]
# $$\mathbb E[x_0 \mid x] = \sum_i \underbrace{\mathrm{softmax}_i\!\Bigl(-\tfrac{\lVert x - \sqrt{\bar\alpha}\, x_i\rVert^2}{2\,(1-\bar\alpha)}\Bigr)}_{\text{attention weight}} \; x_i$$
#
# A softmax of scores, then a weighted mean of values: this is an **attention layer** (lesson [attention](attention.ipynb)). The noisy picture is the query; the training pictures are keys and values.

# %% tags=["hide-input"]
shown = draw.attention(weights[None].round(2), ["noisy x = 1.0"], ["x₁ = −1", "x₂ = 0", "x₃ = 2"])
draw.show(shown, alt="The noisy sample attends to three training samples, mostly to the third.")

# %%
points, query = torch.randn(6, 4), torch.randn(3, 4)
keys = 0.8 * points
bias = -keys.square().sum(dim=1) / (2 * 0.36)
attended = F.scaled_dot_product_attention(
    query[None],
    keys[None],
    points[None],
    attn_mask=bias.expand(1, 3, 6),
    scale=1 / 0.36,
)[0]
ours = diffusion.optimal_denoiser(query.numpy(), points.numpy(), 0.8, 0.6)
same = np.allclose(attended, ours, atol=1e-5)
print("equal to PyTorch's attention:", "yes" if same else "no")
assert same

# %% [markdown]
# No network without captions can have a lower training loss than this one. Let it draw: 200 training icons, 12 starts of pure noise, 50 steps (an **Euler step** adds velocity · Δt to x; here t is the share of picture, 1 − t that of noise. Section 8 explains both).

# %%
bank = train_pictures[::21][:200].reshape(200, -1) / 127.5 - 1
x = np.random.default_rng(4).normal(size=(12, 768))
for step in range(50):
    t = step / 50
    clean = diffusion.optimal_denoiser(x, bank, t, 1 - t)
    velocity = (clean - x) / (1 - t)
    x = diffusion.euler_step(x, velocity, t, t + 1 / 50)
levels = np.clip(np.round((x + 1) * 127.5), 0, 255)
copies = levels.astype(np.uint8).reshape(-1, 16, 16, 3)
from_bank = train_pictures[::21][:200]
distance = nearest_distance(copies, from_bank)
fresh, _, _ = icons.load(1, 77)
of_new = nearest_distance(fresh, from_bank)
print(f"distance to the nearest training picture: at most {distance.max():.5f}")
print(f"real icons that are not in it: {of_new.min():.3f} to {of_new.max():.3f}")

# %%
perfect_guess.compare("copies of its training pictures")
assert distance.max() < 0.003 < 0.02 < of_new.min()

# %% [markdown]
# It copies: **memorization** is giving back training samples instead of new ones, and here it is the optimum. The lowest loss belongs to a machine that repeats its training set. And our trained painter? Let both take noise away, both without captions, from pictures of the training set (the shipped painter was trained on these same `train_pictures`) and from new ones. One amount of noise, t = 0.7: seven parts picture, three parts noise.

# %% tags=["free"]
fresh, _, _ = icons.load(2, 79)
t, bank = 0.7, from_pictures(train_pictures).flatten(1).numpy().astype(float)
sets = {"training": train_pictures[::50], "new": fresh}
wrong = {}
for name, pictures in sets.items():
    clean = from_pictures(pictures)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(5))
    x = t * clean + (1 - t) * noise
    flat, truth = x.flatten(1).numpy().astype(float), clean.flatten(1).numpy()
    exact = diffusion.optimal_denoiser(flat, bank, t, 1 - t)
    with torch.no_grad():
        velocity = painter(x, torch.full((len(x),), t), [""] * len(x))
    learned = (x + (1 - t) * velocity).flatten(1).numpy()
    for who, found in (("optimum", exact), ("painter", learned)):
        wrong[who, name] = ((found - truth) ** 2).mean()
for who in ("optimum", "painter"):
    print(f"{who}: error on training pictures {wrong[who, 'training']:.4f}", end=", ")
    print(f"on new ones {wrong[who, 'new']:.4f}")
assert wrong["optimum", "training"] < 0.0001 < wrong["painter", "new"]
assert wrong["painter", "new"] < 0.9 * wrong["optimum", "new"]
assert wrong["painter", "new"] < 1.3 * wrong["painter", "training"]

# %% [markdown]
# The optimum knows its training pictures by heart, and on new ones its error is larger than the painter's. The painter's error on training pictures is *higher*, and it is about as good on new pictures as on old ones. It is not at the optimum, and that leaves room for new pictures. Why it does not copy is an open question: capacity, training time and the number of pictures may all play a part (Kadkhodaie et al. 2024 and Kamb and Ganguli 2024 study it; nothing of this was varied here). So "lower training loss" is no promise of better pictures.

# %% [markdown]
# ## 8 · Flow matching

# %% [markdown]
# Today's large models mostly use the simplest path of all: a straight line from noise (t = 0) to the picture (t = 1). This is **flow matching** (Lipman et al. 2022; Liu et al. 2022).

# %% tags=["hide-input"]
canvas = draw.Canvas()
spots = {"a": (0, 0), "b": (0, 130)}
noise_1 = canvas.place(draw.box("noise"), x=0, y=0)
noise_2 = canvas.place(draw.box("other noise"), x=0, y=130)
clean_1 = canvas.place(draw.box("star", color="green"), x=560, y=0)
clean_2 = canvas.place(draw.box("circle", color="green"), x=560, y=130)
canvas.arrow(noise_1, clean_2)
canvas.arrow(noise_2, clean_1)
canvas.text("t = 0", 40, -24)
canvas.text("t = 1", 590, -24)
canvas.text("here two lines cross: the network\ncan only learn the mean velocity", 330, 20)
draw.show(
    canvas,
    alt="Two straight lines from noise to pictures that cross in the middle, where the mean of the two velocities is learned.",
)

# %% [markdown]
# **Your turn (blank 3).** The point at time t, and the velocity of the line: how far x moves per unit of time.
# <details><summary>Hint 1</summary>
#
# At t = 0 the point is the noise, at t = 1 the clean picture; in between it is `t * clean + (1 - t) * noise`.
# </details>
# <details><summary>Hint 2</summary>
#
# Differentiate that with respect to t. The velocity does not depend on t.
# </details>


# %%
def flow_pair(clean, noise, t):
    """The point x at time t, and dx/dt."""
    # BEGIN SOLUTION
    x = t * clean + (1 - t) * noise
    velocity = clean - noise
    return x, velocity
    # END SOLUTION


flow_pair = check("generation.blank.3", flow_pair)
for t in (0.0, 0.25, 1.0):
    x, velocity = flow_pair(np.array(2.0), np.array(-1.0), t)
    print(f"t = {t}: x = {x:.2f}, velocity {velocity:.0f}")

# %% [markdown]
# The network sees only x and t, not which line it is on. Trained with squared error, it learns the *mean* velocity of all lines through x, and that is enough: following it from t = 0 to 1 takes noise to the distribution of the data (Lipman et al. prove it; section 9 measures it). And the target is one of our family: velocity = $x_0 - \varepsilon$.
#
# In NumPy, PyTorch and Keras the formulas are equal (`python -m mmcourse.parity diffusion`). The network is a **U-Net** (Ronneberger et al. 2015): it shrinks the picture twice, so that a convolution sees all of it, and enlarges it again; what was seen at each size is joined on the way up. Time and caption reach each block by FiLM.

# %% tags=["hide-input"]
canvas = draw.Canvas()
a = canvas.place(draw.box("block", note="16 × 16"), x=0, y=0)
b = canvas.place(draw.box("block", note="8 × 8"), x=110, y=80)
c = canvas.place(draw.box("two blocks", note="4 × 4"), x=230, y=160)
d = canvas.place(draw.box("block", note="8 × 8"), x=370, y=80)
e = canvas.place(draw.box("block", note="16 × 16"), x=480, y=0)
canvas.arrow(a, b)
canvas.arrow(b, c)
canvas.arrow(c, d)
canvas.arrow(d, e)
canvas.arrow(a, e, dashed=True, label="joined")
canvas.arrow(b, d, dashed=True, label="joined")
words = canvas.place(draw.box("“a green star” → words → mean", color="orange"), x=0, y=250)
when = canvas.place(draw.box("t → sines, cosines", color="orange"), x=270, y=250)
canvas.text("both, added, reach every\nblock: (1 + γ) · h + β", 540, 268, size=12)
canvas.arrow(words, c)
canvas.arrow(when, c)
draw.show(
    canvas,
    alt="A U-Net: blocks at 16 by 16, 8 by 8 and 4 by 4 pixels and back up, joined across; caption and time reach all blocks.",
)


# %%
class Block(nn.Module):
    """Two convolutions, a residual connection; a condition scales and shifts."""

    def __init__(self, c_in, c_out, dim):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.norm = nn.GroupNorm(4, c_out, affine=False)
        self.film = nn.Linear(dim, 2 * c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.shortcut = nn.Conv2d(c_in, c_out, 1)
        nn.init.zeros_(self.conv2.weight)  # at first only the shortcut counts

    def forward(self, x, condition):
        gamma, beta = self.film(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.norm(self.conv1(F.silu(x)))
        h = F.silu((1 + gamma) * h + beta)
        return self.shortcut(x) + self.conv2(h)


class SmallPainter(nn.Module):
    """x (b, 3, 16, 16), times (b,), kinds (b, 2) as shape and color → velocity.

    A kind of (6, 8) is "no caption".
    """

    def __init__(self, narrow=16, wide=32, dim=64):
        super().__init__()
        self.shape = nn.Embedding(len(SHAPES) + 1, dim)
        self.color = nn.Embedding(len(COLORS) + 1, dim)
        self.clock = nn.Sequential(nn.Linear(32, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.first = nn.Conv2d(3, narrow, 3, padding=1)
        self.down1 = Block(narrow, narrow, dim)
        self.down2 = Block(narrow, wide, dim)
        self.middle = Block(wide, wide, dim)
        self.up2 = Block(2 * wide, wide, dim)
        self.up1 = Block(wide + narrow, narrow, dim)
        self.last = nn.Conv2d(narrow, 3, 3, padding=1)

    def forward(self, x, t, kinds):
        when = self.clock(time_embedding(t, 32, 100.0))
        condition = F.silu(when + self.shape(kinds[:, 0]) + self.color(kinds[:, 1]))
        fine = self.down1(self.first(x), condition)  # (b, narrow, 16, 16)
        half = self.down2(F.avg_pool2d(fine, 2), condition)  # (b, wide, 8, 8)
        h = self.middle(F.avg_pool2d(half, 2), condition)  # (b, wide, 4, 4)
        h = self.up2(torch.cat([F.interpolate(h, scale_factor=2), half], 1), condition)
        h = self.up1(torch.cat([F.interpolate(h, scale_factor=2), fine], 1), condition)
        return self.last(h)


# %% [markdown]
# The whole training, live. One caption of ten, on average, is dropped as a whole (section 10 says why):

# %% tags=["free"]
torch.manual_seed(0)
model = SmallPainter()
average = ExponentialAverage(model, 0.99)
optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
clean_all, kinds_all = from_pictures(train_pictures), torch.from_numpy(train_kinds)
nothing = torch.tensor([len(SHAPES), len(COLORS)])
losses = []
for step in range(401):
    rows = torch.randint(len(clean_all), (64,))
    clean, kinds = clean_all[rows], kinds_all[rows].clone()
    kinds[torch.rand(64) < 0.1] = nothing
    t = torch.randn(64).sigmoid()  # times in the middle come more often
    noise = torch.randn_like(clean)
    x, velocity = flow_pair(clean, noise, t[:, None, None, None])
    loss = F.mse_loss(model(x, t, kinds), velocity)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    average.update(model)
    losses.append(loss.item())
    if step % 100 == 0:
        print(f"step {step:3}  loss {np.mean(losses[-50:]):.3f}")


# %% tags=["free"]
@torch.no_grad()
def paint_small(network, kinds, weight=2.0, seed=0):
    """20 Euler steps with guidance (section 10)."""
    kinds = torch.as_tensor(kinds)
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(len(kinds), 3, 16, 16, generator=generator)
    free = nothing.expand(len(kinds), 2)

    def velocity(x, t):
        without, given = network(x, t, free), network(x, t, kinds)
        return guided(without, given, weight)

    return to_pictures(sample_flow(velocity, start, 20))


captions, asked = ask(icons.SEEN_ICONS, 42, 1)
mine = paint_small(average.model, asked)
theirs = painter.paint(captions)
live, of_shipped = shares(mine, asked), shares(theirs, asked)
titles = captions[2:26:6]
both = [*mine[2:26:6], *theirs[2:26:6]]
fig = plot.images(both, titles=titles * 2, columns=4, size=1.3)
plot.show(fig, alt="Above: icons by the live network. Below: by the shipped one.")

# %% [markdown]
# Who judges? An exact **parser**: it compares a picture with everything that the renderer can draw (each shape, size and turn), fits background and color by least squares, and takes the best. On real icons it is always right, and if even the best fit leaves more error than with any real icon, the picture counts as wrong:

# %% tags=["free"]
real, _, real_kinds = icons.load(2, 78)
of_real = shares(real, real_kinds)
for name, row in (("real icons", of_real), ("live", live), ("shipped", of_shipped)):
    print(f"{name:11} right {row['right']:.2f}", end=": ")
    print(f"color {row['color_right']:.2f}", end=", ")
    print(f"shape {row['shape_right']:.2f}, clean {row['clean']:.2f}")
assert of_real["right"] == 1.0

# %% tags=["free"]
print("nearest training picture")
for name, pictures in (("live", mine), ("other real icons", real)):
    to_train = nearest_distance(pictures, train_pictures)
    print(f"   {name}: median {np.median(to_train):.3f}, at least {to_train.min():.3f}")

# %% [markdown]
# After some seconds the colors are right, and most shapes (guessing gives a sixth); many pictures are not clean yet. The shipped painter uses the same method, but is wider and had 2,400 steps (222 CPU seconds). The live network's pictures are farther from the training set than new icons are, but unclean pictures would be so anyway; for the shipped painter see section 13.

# %% [markdown]
# ## 9 · Samplers

# %% [markdown]
# Whoever has a denoiser still has to choose how to walk: a **sampler**. **DDPM** removes a little noise and adds new noise at each step (Ho et al. 2020). **DDIM** computes the clean picture and puts *the same* noise back, in a smaller part, so it can take long strides (Song et al. 2020). Euler steps, for a flow, you know from section 7. One DDIM step by hand:

# %%
now, following = 0.36, 0.64  # ᾱ of this step, and of the step that is visited next
x, eps = 0.4, -1.0
clean = (x - math.sqrt(1 - now) * eps) / math.sqrt(now)
new = math.sqrt(following) * clean + math.sqrt(1 - following) * eps
print(f"clean = (0.4 + 0.8) / 0.6 = {clean:.1f}", end=";  ")
print(f"new x = 0.8 · {clean:.1f} − 0.6 = {new:.1f}")
assert math.isclose(new, diffusion.ddim_step(x, eps, now, following))

# %% [markdown]
# The library `diffusers` has these as schedulers. Ours give the same numbers (all of them are in the tests; here one, where the package is installed):

# %% tags=["real", "free"] needs=["diffusers"]
from mmcourse.runtime import is_installed

if is_installed("diffusers"):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(1000, clip_sample=False, timestep_spacing="trailing")
    scheduler.set_timesteps(20)
    x = ours = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    for t in scheduler.timesteps.tolist():
        noise = torch.tanh(x)  # some network
        x = scheduler.step(noise, t, x).prev_sample
        after = linear[t - 50] if t >= 50 else 1.0
        ours = diffusion.ddim_step(ours, torch.tanh(ours), linear[t], after)
    print(f"after 20 steps the two differ by {float((x - ours).abs().max()):.1e}")
else:
    print("not run: diffusers is not installed (pip install 'mmcourse[reference]')")

# %% [markdown]
# How many steps are needed? With *exact* denoisers no training error disturbs the answer. The data: two narrow bells at −1 and 1. The measure: how far sorted samples are from the true quantiles, on average (**Wasserstein distance**), for five draws of noise.


# %%
def exact_noise(x, signal, level, spread=0.1):
    """E[noise | x] for two bells of width `spread` at −1 and 1."""
    total = (signal * spread) ** 2 + level**2
    weights = 1 / (1 + np.exp(np.clip(-2 * x * signal / total, -60, 60)))
    means = 2 * weights - 1  # which bell, on average
    return level * (x - signal * means) / total


def run_sampler(name, steps, seed, n=4000):
    """n samples after so many steps."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    if name == "flow":
        for k in range(steps):
            t = k / steps
            noise = exact_noise(x, t, 1 - t)
            velocity = (x - noise) / t if t > 0 else -x  # the data's mean is 0
            x = diffusion.euler_step(x, velocity, t, (k + 1) / steps)
        return x
    visited = diffusion.spaced_timesteps(1000, steps, "trailing")
    for t, t_next in zip(visited, [*visited[1:], -1]):
        now, after = cosine[t], cosine[t_next] if t_next >= 0 else 1.0
        noise = exact_noise(x, np.sqrt(now), np.sqrt(1 - now))
        eta = 1.0 if name == "DDPM" else 0.0
        x = diffusion.ddim_step(x, noise, now, after, eta, rng.normal(size=n))
    return x


bell = 0.1 * np.random.default_rng(9).normal(size=200_000)
truth = np.sort(np.concatenate([bell - 1, bell + 1]))
quantiles = truth[(np.arange(4000) + 0.5).astype(int) * 100]
errors = {}
print(f"{'steps':8}" + "".join(f"{steps:>9}" for steps in (2, 5, 10, 20, 50, 200)))
for name in ("DDPM", "DDIM", "flow"):
    line = f"{name:8}"
    for steps in (2, 5, 10, 20, 50, 200):
        runs = [np.sort(run_sampler(name, steps, seed)) for seed in range(5)]
        errors[name, steps] = [np.abs(run - quantiles).mean() for run in runs]
        line += f"{np.mean(errors[name, steps]):9.3f}"
    print(line)

# %% [markdown]
# With two steps, no sampler finds the bells. From 5 to 50 steps, the flow has the smallest error of the three here, and DDPM the largest: the noise that it adds at each step must be taken away again. With 200 steps all are close. (Path, schedule and spacing of the steps all differ between them, and with other data or trained networks the order may differ, too.)

# %%
for steps in (5, 10, 20, 50):
    means = [np.mean(errors[name, steps]) for name in ("flow", "DDIM", "DDPM")]
    assert means == sorted(means)

# %% [markdown]
# And with a trained network? The shipped painter, five draws of noise, 42 captions each; how many pictures are right, and how far they are from those that 100 steps make of the same noise:

# %%
by_steps = stored["steps"]
for steps in sorted(by_steps["right"], key=int):
    mean, half = mean_and_interval(by_steps["right"][steps])
    away = np.mean(by_steps["distance"][steps])
    print(f"{steps:>3} steps: right {mean:.2f} ± {half:.2f}", end=", ")
    print(f"distance to 100 steps {away:.3f}")
assert np.mean(by_steps["right"]["1"]) < 0.6 < 0.99 < np.mean(by_steps["right"]["3"])

# %% [markdown]
# In one step, less than half of the pictures are right: the mean velocity at pure noise leads to a mean. Three steps suffice for the *right* thing, twenty for a picture that hardly changes any more. What is cheap here is expensive for a photograph: every step is one pass through the whole network, two with guidance. (So people train models that need one to four steps.)

# %% [markdown]
# ## 10 · Guidance

# %% [markdown]
# So far the caption is one input among others. **Classifier-free guidance** (Ho and Salimans 2022) makes it louder. In training, one caption of ten was replaced by nothing, so the network knows two velocities: with the caption and without. Go from the second to the first, and further:

# %% tags=["hide-input"]
canvas = draw.Canvas()
start = canvas.place(draw.box("x"), x=0, y=90)
free = canvas.place(draw.label("without caption"), x=200, y=150)
given = canvas.place(draw.label("with caption (w = 1)"), x=200, y=80)
beyond = canvas.place(draw.label("w = 2", bold=True), x=200, y=10)
canvas.arrow(start, free, color="gray")
canvas.arrow(start, given, color="blue")
canvas.arrow(start, beyond, color="orange", width=3)
canvas.text("each step asks the network twice", 470, 90, size=12)
draw.show(canvas, alt="From x, three arrows: the velocity without caption, with caption, and beyond it with weight 2.")

# %% [markdown]
# **Your turn (blank 4).** With weight 0 the caption is forgotten, with 1 it is the conditional velocity. (Some papers write w for our w − 1. Look which one a program means.)
# <details><summary>Hint</summary>
#
# Start at `unconditional` and go `weight` times the way to `conditional`.
# </details>


# %%
def guide(unconditional, conditional, weight):
    """The guided velocity."""
    # BEGIN SOLUTION
    return unconditional + weight * (conditional - unconditional)
    # END SOLUTION


guide = check("generation.blank.4", guide)
print(guide(np.array([0.0, 1.0]), np.array([1.0, 1.5]), 3.0))

# %% [markdown]
# **Turn it up.** The same noise, other weights:


# %% tags=["free"]
def show_guidance(weight=2.0):
    """Six wishes with this guidance."""
    wishes = ["an orange star", "a white cross", "a blue diamond"] * 2
    pictures = painter.paint(wishes, guidance=weight, seed=6)
    fig = plot.images(pictures, titles=wishes, columns=6, size=1.2)
    plot.show(fig, alt=f"Six icons drawn with guidance {weight}.")


widgets.slider(show_guidance, weight=[0.0, 0.5, 1.0, 2.0, 4.0, 8.0])

# %% [markdown]
# Agreement with the caption against variety, counted, for 1,000 captions (one training, the shipped one; real icons below):

# %%
print("weight   right   shape right   contrast   spread of backgrounds")
for weight, row in [*shipped["by_guidance"].items(), ("real", shipped["real"])]:
    print(f"{weight:>5}    {row['right']:.3f}   {row['shape_right']:.3f}", end="")
    print(f"         {row['contrast']:.3f}      {row['tone_spread']:.1f}")

# %% [markdown]
# The shipped painter needs no guidance to be right. What guidance does can be seen all the same: contrast rises above that of real icons, backgrounds become more alike, and at 4 some pictures are no longer right although every shape is. Does it help where a network is less well trained? Small painters, each from another seed, after some hundred steps (section 11 says more of them); share of right pictures, pairs of training:

# %%
runs = stored["painters"]["runs"]
small_budgets = [str(steps) for steps in stored["painters"]["budgets"]]
print(f"{len(runs)} seeds")
for steps in small_budgets:
    for weight in ("1", "2", "4"):
        values = [run[steps]["seen"][weight]["right"] for run in runs]
        mean, half = mean_and_interval(values)
        print(f"{steps} steps, guidance {weight}: right {mean:.2f} ± {half:.2f}")
later = [run[small_budgets[1]]["seen"] for run in runs]
at = {w: np.mean([row[w]["right"] for row in later]) for w in "124"}
assert at["4"] < at["1"] < at["2"] + 0.05

# %% [markdown]
# At the larger budget too much guidance clearly costs. And a little? Guidance 2 minus guidance 1, paired by seed:

# %%
gain = [row["2"]["right"] - row["1"]["right"] for row in later]
mean, half = mean_and_interval(gain)
print(f"{small_budgets[1]} steps, right: {mean:+.3f} ± {half:.3f}")
assert mean - half > 0

# %% [markdown]
# At 600 steps guidance 2 helps. At 200 hardly anything is right with any weight, and for the shipped painter nothing is left to gain.

# %% [markdown]
# ### What does guidance sample?
# It is often said that guidance samples $p(x \mid c)^w\, p(x)^{1-w}$, up to a factor. With two bells, all velocities are exact, so it can be checked: with the caption N(1, 1), without it N(0, 2), w = 4.


# %%
def bell_velocity(x, t, mean, variance):
    """The exact velocity of flow matching for data from N(mean, variance)."""
    total = t**2 * variance + (1 - t) ** 2
    clean = mean + t * variance * (x - t * mean) / total
    noise = (1 - t) * (x - t * mean) / total
    return clean - noise


for weight in (1.0, 2.0, 4.0):
    x = np.random.default_rng(0).normal(size=4_000)
    x = (x - x.mean()) / x.std()  # exactly mean 0 and variance 1
    for k in range(2000):
        t = k / 2000
        velocity = guide(bell_velocity(x, t, 0, 2), bell_velocity(x, t, 1, 1), weight)
        x = diffusion.euler_step(x, velocity, t, t + 1 / 2000)
    precision = weight / 1 + (1 - weight) / 2  # of the product of powers
    want = weight / precision, 1 / precision
    print(f"w = {weight:.0f}: mean {x.mean():.2f}, variance {x.var():.3f};", end=" ")
    print(f"p(x|c)^w p(x)^(1−w) has {want[0]:.2f} and {want[1]:.3f}")
assert abs(x.mean() - 2.22) < 0.02 and abs(x.var() - 0.125) < 0.01

# %% [markdown]
# At w = 1 they agree; beyond, they do not: too far out and much too narrow. Guided velocities are not the velocities of that density at the times in between (Bradley and Nakkiran 2024 show it in general). Guidance is a useful *exaggeration*, no sampling from a named distribution.
#
# ### What dropping is for
# On the ring with four classes, five seeds: how often is a point in a group of the class asked for?

# %%
flows = stored["flow"]
short, long = (str(steps) for steps in flows["budgets"])
print(f"{'dropped':9}{'guidance':10}" + f"{short + ' steps':>16}{long + ' steps':>18}")
for dropped in ("0", "0.1", "0.5"):
    for weight in ("1", "2", "4"):
        line = f"{dropped:9}{weight:10}"
        for steps in (short, long):
            row = flows[f"dropped {dropped}"][steps]["averaged"][f"guidance {weight}"]
            mean, half = mean_and_interval(row["right"])
            line += f"   {mean:.3f} ± {half:.3f}"
        print(line)

# %% [markdown]
# If no caption was ever dropped, the unconditional velocity is that of an input which the network has never seen, and guidance goes astray. With dropping, guidance 2 is *more* right than the model as trained; guidance 4 is too much. Half of the captions dropped is not better than a tenth.
#
# And variety? How far points are from the middle of their group, on average (0.125 in the data):

# %%
for weight in ("1", "2"):
    row = flows["dropped 0.1"][long]["averaged"][f"guidance {weight}"]
    mean, half = mean_and_interval(row["distance to the center"])
    print(f"guidance {weight}: {mean:.3f} ± {half:.3f}")
no_drop = flows["dropped 0"][long]["averaged"]["guidance 2"]["right"]
of = flows["dropped 0.1"][long]["averaged"]
right = {w: np.mean(of[f"guidance {w}"]["right"]) for w in "124"}
assert max(no_drop) < 0.1 < 0.9 < right["1"] < right["2"] > right["4"]

# %% [markdown]
# At guidance 2 the groups have shrunk by about a third: more agreement with the class for less variety, as in the theory above. And the average of the weights (EMA), with guidance 1, paired by seed:

# %%
for steps in (short, long):
    last = flows["dropped 0.1"][steps]["last"]["guidance 1"]["right"]
    averaged = flows["dropped 0.1"][steps]["averaged"]["guidance 1"]["right"]
    gain, half = mean_and_interval(np.array(averaged) - np.array(last))
    print(f"{steps} steps: last weights {np.mean(last):.3f}", end=", ")
    print(f"averaged {np.mean(averaged):.3f}", end="; ")
    print(f"difference {gain:+.3f} ± {half:.3f}")

# %% [markdown]
# A flow's loss is noisy, since noise and times are drawn anew at each step, so its last weights jump about from step to step. Their moving average is better on average, at both budgets; with five seeds, the interval of the gain still just contains 0. It costs one more copy of the weights, and nearly everybody samples with it.

# %% [markdown]
# ## 11 · Text → picture, judged

# %% [markdown]
# The caption's words are embedded and averaged, and the result joins the time. For one thing per picture, order does not matter much. (For "a red star left of a blue box" it would: then a text encoder with attention is needed, such as that of lesson [clip](clip.ipynb), and cross-attention instead of FiLM. The end of this section tries two things.)
#
# How often is a picture right, for color–shape pairs of training, and for the six pairs that training never had?

# %%
low, high = shipped["picture_right_interval"]
share = shipped["picture_right"]
print(f"pairs of training: right {share:.3f} ({low:.3f} to {high:.3f})")
low, high = shipped["picture_right_unseen_interval"]
share = shipped["picture_right_unseen"]
print(f"pairs never seen:  right {share:.3f} ({low:.3f} to {high:.3f})")
for weight, row in shipped["unseen_by_guidance"].items():
    print(f"   never seen, guidance {weight}: color {row['color_right']:.2f}", end=", ")
    print(f"shape {row['shape_right']:.2f}, right {row['right']:.2f}")
for name, value in shipped["unseen_by_kind"].items():
    print(f"   {name} {value:.2f}", end="")
drawn, known = (shipped["detector_shape_right" + of] for of in ("", "_on_real"))
print(f"\nthe detector names the shape of {drawn:.3f} of them", end=", ")
print(f"and of {known:.3f} of real icons")
assert abs(drawn - known) < 0.05

# %% [markdown]
# The last line is a second judge: the detector of lesson [detection](detection.ipynb), which looks at each icon inside a larger picture (pairs of training). It is of little use for 16 pixels, since it names the shapes of *real* icons no more often. So the parser decides.

# %% tags=["free"]
wishes = [icons.name_of(kind) for kind in icons.UNSEEN_ICONS]
fig = plot.images(painter.paint(wishes, seed=4), titles=wishes, columns=6, size=1.2)
plot.show(fig, alt="Drawn for the six pairs that training never had.")

# %% tags=["target"]
captions, asked = ask(icons.SEEN_ICONS, 42, 2)
share = shares(painter.paint(captions, seed=8), asked)["right"]
expect_within("right, 42 captions of seen pairs", share, 0.97, 0.05)

# %% [markdown]
# **It draws a red star.** Asked, it combines a color and a shape that it never saw together. Left alone, it does not: among 1,000 pictures without any caption are all 42 pairs of training (no mode collapse), but hardly one clean picture is of the six missing pairs (by color and shape alone it would be one of eight). So the caption's words act separately; the data's joint distribution is learned as well.

# %%
star_guess.compare("a red star")
alone = shipped["unseen_without_caption"]
covered = round(shipped["modes_covered"] * len(icons.SEEN_ICONS))
print(f"without caption, {covered} of 42 pairs of training occur", end="; ")
print(f"{alone:.3f} of the clean pictures are of the six others")
assert covered == 42 and alone < 0.03 and shipped["picture_right_unseen"] > 0.9

# %% [markdown]
# That was one training. And when does it learn to combine? Small painters from several seeds, each with pictures of its own, at two budgets (guidance 2; six shapes, so guessing gives 0.17):

# %%
print(f"{len(runs)} seeds")
for steps in small_budgets:
    for pairs in ("seen", "unseen"):
        line = f"{steps} steps, {pairs:6} pairs:"
        for part in ("color_right", "shape_right", "right"):
            values = [run[steps][pairs]["2"][part] for run in runs]
            mean, half = mean_and_interval(values)
            line += f"  {part.split('_')[0]} {mean:.2f} ± {half:.2f}"
        print(line)
for steps in small_budgets:
    shape = {}
    for pairs in ("seen", "unseen"):
        shape[pairs] = np.array([run[steps][pairs]["2"]["shape_right"] for run in runs])
    gap, half = mean_and_interval(shape["seen"] - shape["unseen"])
    print(f"{steps} steps: shape, seen − unseen {gap:+.2f} ± {half:.2f}")
    assert gap - half > 0

# %% [markdown]
# Colors come first, shapes later, and the shape of a pair never seen last of all. At 200 steps the shapes of unseen pairs are at chance; at 600 about half are right, and the gap to seen pairs is still there. In the one larger, longer training that we shipped no gap was left; which of the two closed it was not tested. Whoever measured only at 200 steps could conclude that such models cannot combine. "It cannot" may be "it cannot *yet*": compare at two budgets. Here, to be fair, everything else is easy: one thing, two words, and all colors and shapes known.

# %% [markdown]
# ### The GAN beside it
# And the game of section 4, on pictures? A small convolutional GAN made of section 5's ingredients (hinge loss, spectral normalization of the critic, shape and color projected on its features, averaged weights; noise and kind reach each block of the generator by FiLM), beside a small painter: the same 4,200 icons, the same CPU seconds, three seeds, 420 pictures each. *Pairs* counts the color–shape pairs, of 42, of which at least one of ten pictures is right; *forms* the different shapes with size and turn among the right pictures; *nearest* is the median distance to the nearest training icon; section 12 explains the last column.

# %%
beside = stored["gan_icons"]
columns = ("color_right", "pairs", "covers", "nearest", "frechet")
print(f"{'':20}{'right':>13}{'color':>7}{'pairs':>7}{'forms':>7}", end="")
print(f"{'nearest':>9}{'Fréchet':>9}")
right_by = {}
for seconds in beside["budgets"]:
    for who in ("GAN", "painter"):
        rows = [run[str(seconds)] for run in beside[who]]
        right_by[who, seconds] = [row["right"] for row in rows]
        mean, half = mean_and_interval(right_by[who, seconds])
        means = [np.mean([row[column] for row in rows]) for column in columns]
        color, pairs, covers, near, apart = means
        name = f"{who}, {seconds} s"
        print(f"{name:20}{mean:6.2f} ± {half:4.2f}{color:7.2f}", end="")
        print(f"{pairs:7.1f}{covers:7.1f}{near:9.3f}{apart:9.3f}")
real = beside["real"]
print(f"{'new real icons':20}{real['right']:6.2f}{'':7}", end="")
print("{:7.2f}{:7.1f}{:7.1f}{:9.3f}{:9.3f}".format(*(real[c] for c in columns)))
longest = beside["budgets"][-1]
assert min(right_by["painter", longest]) > max(right_by["GAN", longest]) + 0.3
assert max(run[str(longest)]["pairs"] for run in beside["GAN"]) < 25

# %% tags=["hide-input"]
import base64

by_both = [beside[who][0]["sheet"] for who in ("GAN", "painter")]
sheet = b"".join(map(base64.b64decode, by_both))
drawn_by = np.frombuffer(sheet, np.uint8).reshape(-1, 16, 16, 3)
names = [icons.name_of(kind)[2:].strip() for kind in icons.SEEN_ICONS[3::5]]
fig = plot.images(drawn_by, titles=names * 2, columns=len(names), size=0.95)
plot.show(fig, alt="Eight icons: above by the GAN, below by the painter.")

# %% [markdown]
# At these budgets it is no match. Both have learned the colors within seconds; the GAN's shapes are ragged (few of its pictures are right, and nearly half of the pairs, or more, never come out right), and its backgrounds vary less. This compares two small recipes, each tuned a little, at thirty seconds; it does not say what a GAN could reach. That the GAN wants more care and more time to become stable is what people report, too (Dhariwal and Nichol 2021 is the paper in which diffusion overtook BigGAN).
#
# ### Two things
# "A red star left of a blue square", on 16 × 32 pixels. Now order matters: the words of that sentence are also those of "a blue star left of a red square". Two ways to encode the caption: the **bag**, the mean of all words as before; and **parts**, where each thing's words have a mean of their own, and each half of the picture learns (a 2 × 2 attention for each of *left of* and *right of*) which of the two it should listen to. Small painters, trained on 4,000 pictures; the parser judges each half.

# %%
two = stored["two_things"]
columns = ("right", "thing_right", "color_right", "shape_right", "sides_right")
print(f"{'':34}{'right':>7}{'a thing':>9}{'color':>7}{'shape':>7}{'sides':>7}")
for run in two["runs"]:
    for steps in two["budgets"]:
        for pairs in ("seen", "unseen"):
            row = run[str(steps)][pairs]
            name = f"{run['encoding']}, seed {run['seed']}, {steps} steps, {pairs}"
            print(f"{name:34}{row['right']:7.2f}", end="")
            print("{:9.2f}{:7.2f}{:7.2f}{:7.2f}".format(*(row[c] for c in columns[1:])))
print(f"best that a bag of words can do: right {two['limit of a bag']:.3f}")
last = str(two["budgets"][-1])
by_way = {}
for run in two["runs"]:
    by_way.setdefault(run["encoding"], []).append(run[last]["seen"])
assert max(row["right"] for row in by_way["bag"]) < two["limit of a bag"] + 0.1
assert min(row["right"] for row in by_way["parts"]) > 0.7
assert min(row["sides_right"] for row in by_way["parts"]) > 0.95

# %% tags=["hide-input"]
import textwrap

shown = {run["encoding"]: run for run in two["runs"] if run["seed"] == 0}
by_both = [shown[way]["sheet"] for way in ("parts", "bag")]
sheet = b"".join(map(base64.b64decode, by_both))
pictures_of_two = np.frombuffer(sheet, np.uint8).reshape(-1, 16, 32, 3)
titles = ["\n".join(textwrap.wrap(c, 18)) for c in shown["parts"]["captions"]]
fig = plot.images(pictures_of_two, titles=titles * 2, columns=4, size=1.9)
plot.show(fig, alt="Four captions of two things: above by parts, below by a bag.")

# %% [markdown]
# A bag of words paints two things, and whose color is whose, and on which side, is a coin toss. By parts the sides are right after 300 steps, the colors, too; the shapes take longer, as with one thing. And what it learned of parts carries over: captions in which one of the things is of a color–shape pair that training never had are nearly as often right.
#
# So what lesson [clip](clip.ipynb) found for *reading*, that a bag of words does not know who has which color, is true of *painting*. What was changed is only who listens to whom, one small table of attention: here the two halves and the word between the things are given. A text-to-picture model at full size has cross-attention from every place of the picture to every word, and must find that by itself. (One seed of the bag, two of the parts; other arrangements, three things or free places were not tried.)

# %% [markdown]
# ## 12 · How good is a set of pictures?

# %% [markdown]
# Our parser is a luxury. For photographs there is none, so the field compares *distributions of features*. Take a network's features of real and of generated pictures, describe each set by its mean and covariance, as if it were normally distributed, and measure the **Fréchet distance** between the two (FID, with features of an Inception network: Heusel et al. 2017). **Your turn (blank 5).** In one dimension it is the squared difference of the means plus that of the standard deviations.
# <details><summary>Hint</summary>
#
# Two squares, added. No square root at the end.
# </details>


# %%
def frechet_of_bells(mean_a, sd_a, mean_b, sd_b):
    """The squared Fréchet distance of two normal distributions."""
    # BEGIN SOLUTION
    return (mean_a - mean_b) ** 2 + (sd_a - sd_b) ** 2
    # END SOLUTION


frechet_of_bells = check("generation.blank.5", frechet_of_bells)
print("N(1, 2²) and N(3, 3²):", frechet_of_bells(1.0, 2.0, 3.0, 3.0))

# %% [markdown]
# With d features, standard deviations become covariance matrices, and their product needs a matrix square root:
#
# $$\lVert\mu_a-\mu_b\rVert^2 + \mathrm{tr}\bigl(\Sigma_a+\Sigma_b-2(\Sigma_a\Sigma_b)^{1/2}\bigr)$$

# %%
from scipy.linalg import sqrtm

a, b = np.random.default_rng(0).normal(size=(2, 300, 4)) @ np.diag([1.0, 2.0, 0.5, 1.0])
b = b * 1.3 + 0.2
ours = diffusion.frechet_distance(a.mean(0), np.cov(a.T), b.mean(0), np.cov(b.T))
root = sqrtm(np.cov(a.T) @ np.cov(b.T)).real
by_scipy = ((a.mean(0) - b.mean(0)) ** 2).sum()
by_scipy += np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)
print(f"ours {ours:.6f}, with SciPy's matrix square root {by_scipy:.6f}")
assert np.isclose(ours, by_scipy)


# %% [markdown]
# **Abuse 1: few samples.** Two samples of the *same* distribution should have distance 0. Here with 64 features:


# %%
def frechet(a, b):
    """Fréchet distance of two sets of features (n, d)."""
    return diffusion.frechet_distance(a.mean(0), np.cov(a.T), b.mean(0), np.cov(b.T))


rng = np.random.default_rng(1)
for n in (100, 300, 1000, 3000, 10_000):
    values = [frechet(*rng.normal(size=(2, n, 64))) for _ in range(5)]
    print(f"n = {n:6}: {np.mean(values):7.3f}   times n: {n * np.mean(values):6.0f}")

# %% [markdown]
# It falls about as 1/n and is never 0: a Fréchet distance from 1,000 pictures may not be compared with one from 10,000. And it depends on the features, on how pictures are resized, and on the library.
#
# **Abuse 2: what it does not see.** Features of lesson [clip](clip.ipynb)'s picture tower, on 1,000 real icons of a test set, beside four other sets:

# %%
print(f"other real icons        {shipped['frechet_of_other_real']:.5f}")
print(f"copies of training      {shipped['frechet_of_training']:.5f}")
for weight, value in shipped["frechet_by_guidance"].items():
    print(f"painter, guidance {weight}     {value:.5f}")

# %%
metric_guess.compare("copies of the training pictures")
best_drawn = min(shipped["frechet_by_guidance"].values())
assert shipped["frechet_of_training"] < 0.2 * best_drawn

# %% [markdown]
# Training pictures *are* real pictures, so it had to be so: copies of them are as near to the test set as other real pictures, more than ten times as near as anything that the painter draws. A machine that has learned nothing and copies wins. (Among the painter's own sets, guidance 2 is nearest, and no caption at all farthest.)

# %% [markdown]
# ## 13 · New, or copied?

# %% [markdown]
# So look for copies separately: the distance of each picture to its nearest training picture, beside that of *real* pictures which are not in the training set. For the shipped painter and 1,000 pictures:

# %%
for name, key in (("painter", ""), ("new real icons", "_of_real")):
    smallest, low, median, _ = shipped["nearest_training" + key]
    print(f"{name:16} smallest {smallest:.3f}, 1st percentile {low:.3f}", end=", ")
    print(f"median {median:.3f}")

# %% [markdown]
# The painter's pictures are as far from the training set as new real icons are, apart from a slightly smaller median. No copies by this pixel distance. (A shifted or mirrored copy would not be found, nor would copied parts.)

# %% [markdown]
# ### People's digits
# Is this only so in a small clean world? The same method on handwriting: 1,797 digits of 8 × 8 pixels, written by 43 people (Alpaydin and Kaynak 1998; they come with scikit-learn). No U-Net is needed for so few pixels. The judge is a logistic regression, trained on the same real digits and tested on others:

# %% tags=["free"]
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

pixels, digits = load_digits(return_X_y=True)
pixels = (pixels / 16).astype("float32")
order = np.random.default_rng(0).permutation(len(pixels))
known, new = order[:1400], order[1400:]
reader = LogisticRegression(C=13, max_iter=500).fit(pixels[known], digits[known])
judge_right = reader.score(pixels[new], digits[new])
print(f"judge, {len(new)} real digits it never saw: right {judge_right:.3f}")

# %% [markdown]
# Flow matching is a regression, so in Keras `fit` is all it takes. A `PyDataset` draws new noise and new times for each mini-batch; one label of ten is dropped, for guidance; the optimizer itself keeps the average of the weights, and `fit` ends with it.

# %% tags=["free"]
import keras
from keras import layers


def as_input(x, t, labels):
    """Points (b, 64), times (b,), labels (b,), where 10 means none → (b, 91)."""
    waves = diffusion.time_embedding(t, 16, 30.0)
    return np.concatenate([x, waves, np.eye(11)[labels]], axis=1).astype("float32")


class Batches(keras.utils.PyDataset):
    """Mini-batches of (x, time, label) → velocity."""

    def __len__(self):
        return 100

    def __getitem__(self, index):
        rows = rng.choice(known, 128)
        labels = np.where(rng.random(128) < 0.1, 10, digits[rows])
        noise, t = rng.normal(size=(128, 64)), rng.random((128, 1))
        x, velocity = flow_pair(2 * pixels[rows] - 1, noise, t)
        return as_input(x, t[:, 0], labels), velocity.astype("float32")


rng = np.random.default_rng(0)
keras.utils.set_random_seed(0)
hidden = [layers.Dense(256, activation="silu") for _ in range(3)]
writer = keras.Sequential([keras.Input((91,)), *hidden, layers.Dense(64)])
adam = keras.optimizers.AdamW(2e-3, use_ema=True, ema_momentum=0.995)
writer.compile(optimizer=adam, loss="mse")
history = writer.fit(Batches(), epochs=7, verbose=0)
print("loss by epoch:", np.round(history.history["loss"], 3))

# %% tags=["free"]
wanted = np.arange(400) % 10


def write_digits(weight):
    """400 digits, 0 to 9 in turn, in 30 Euler steps: (400, 64) from 0 to 1."""
    x = np.random.default_rng(1).normal(size=(400, 64))
    for step in range(30):
        t, t_next = step / 30, (step + 1) / 30
        inputs = [as_input(x, np.full(400, t), of) for of in (wanted * 0 + 10, wanted)]
        free, given = (writer.predict_on_batch(one) for one in inputs)
        x = diffusion.euler_step(x, guide(free, given, weight), t, t_next)
    return (np.clip(x, -1, 1) + 1) / 2


def to_known(rows):
    """Distance of each digit to the nearest training digit, and which that is."""
    squares = ((rows[:, None] - pixels[known][None]) ** 2).mean(axis=2)
    return np.sqrt(squares.min(axis=1)), squares.argmin(axis=1)


def variety(rows, labels):
    """How much digits of one kind differ: mean standard deviation of a pixel."""
    return np.mean([rows[labels == digit].std(axis=0).mean() for digit in range(10)])


written, differ = {}, {}
for weight in (1.0, 2.0):
    written[weight] = write_digits(weight)
    asked_for = (reader.predict(written[weight]) == wanted).mean()
    near, _ = to_known(written[weight])
    print(f"guidance {weight:.0f}: read as asked {asked_for:.3f}", end="; ")
    differ[weight] = variety(written[weight], wanted)
    print(f"nearest training digit {near.min():.3f}", end=", ")
    print(f"median {np.median(near):.3f}; variety {differ[weight]:.3f}")
near_real, _ = to_known(pixels[new])
print(f"real digits, not in training: {near_real.min():.3f}", end=", ")
of_new = variety(pixels[new], digits[new])
print(f"median {np.median(near_real):.3f}; variety {of_new:.3f}")
assert asked_for > judge_right and differ[2.0] < differ[1.0]

# %% tags=["hide-input", "free"]
ten = written[2.0][:10]
_, nearest_row = to_known(ten)
squares = [row.reshape(8, 8) for row in (*ten, *pixels[known][nearest_row])]
fig = plot.images(squares, columns=10, size=0.72)
plot.show(fig, alt="Above: ten digits that were written, 0 to 9. Below each: the nearest training digit.")

# %% [markdown]
# By this distance none of them is a copy: they are not nearer to the training digits than real digits that were held out (mostly by the same writers). That alone is no proof of quality: noise is far from the training set, too. And look at the judge. With guidance 2 it reads the *generated* digits more reliably than real ones. They are not more real than real. They are more *typical*: with guidance, digits of one kind differ less from one another. A judge that is pleased is not enough; that is why variety is counted, too. (One training, live; its digits differ a little from machine to machine.)

# %% [markdown]
# ## 14 · Honest use

# %% [markdown]
# Models like these draw faces of people who do not exist, and of people who do. A **watermark** is a mark that the eye hardly sees and a program finds. The simplest: add a secret pattern of −8 and +8 levels (of 256) to each picture, and later correlate with it.


# %% tags=["free"]
def neighbors(pictures):
    """The mean of the four neighbors of each pixel."""
    sides = ((1, 1), (-1, 1), (1, 2), (-1, 2))
    return np.mean([np.roll(pictures, by, axis=axis) for by, axis in sides], axis=0)


def z_score(pictures, key):
    """Correlation with the secret pattern in standard errors, per picture."""
    pictures = np.asarray(pictures, float)
    rest = pictures - neighbors(pictures)  # the picture itself would only disturb
    rest = rest.reshape(len(rest), -1)
    return rest @ key.ravel() / (rest.std(axis=1) * np.sqrt(key.size))


secret = np.random.default_rng(2024).choice([-1, 1], size=(16, 16, 3))
marked = np.clip(theirs.astype(int) + 8 * secret, 0, 255).astype(np.uint8)
noise = np.random.default_rng(3).normal(0, 20, marked.shape)
attacked = {
    "unmarked": theirs,
    "marked": marked,
    "marked, then noise": np.clip(marked + noise, 0, 255),
    "marked, then mirrored": marked[:, :, ::-1],
    "marked, then blurred": (marked + 1.0 * np.roll(marked, 1, axis=1)) / 2,
}
for name, pictures in attacked.items():
    z = z_score(pictures, secret)
    print(f"{name:22} mean z {z.mean():5.1f}; found (z > 4) in {(z > 4).mean():.2f}")

# %% [markdown]
# The pattern survives noise and blurring. Mirroring hides it: pattern and key no longer lie on each other. (On 16 × 16 pixels it takes ±8 levels, which a sharp eye can see; a photograph has a thousand times as many pixels, and needs far less.) A mark that is found says that somebody who had the pattern put it there: the same pattern is in every picture, so the mean of many marked ones could reveal it, and then anybody could put it on a photograph. (And 42 unmarked pictures say little about how rare false alarms are.) A mark that is missing proves *nothing*: it can be removed, and many tools add none.
#
# In plain words:
# - Do not draw a real person without their consent, and label what is drawn. Being *able* to draw something is no permission.
# - A training set has authors. What a model can copy word for word or pixel for pixel, it may hand out to strangers: test for copies (section 13) before you publish a model.
# - What is rare in the data, the model draws badly or not at all. With six shapes that does little harm; in pictures of people it does.

# %% [markdown]
# ## 15 · At full size

# %% [markdown]
# Stable Diffusion is this lesson at scale: a VAE makes 512 × 512 pixels into 64 × 64 latents, a U-Net removes noise there, a CLIP text tower reads the caption, cross-attention takes the place of our FiLM, guidance stays as it is (latent diffusion: Rombach et al. 2022). Newer ones replace the U-Net by a Transformer (Peebles and Xie 2023) and noise by flow matching (Esser et al. 2024). The next cell draws with such a model, in one step. It needs `diffusers`, a GPU and the weights from the hub, and was never run for this course:

# %% tags=["free"]
import os

wanted = os.environ.get("MMCOURSE_FULL_SIZE") == "1" and torch.cuda.is_available()
if wanted:
    from diffusers import AutoPipelineForText2Image as Pipeline

    pipe = Pipeline.from_pretrained("stabilityai/sd-turbo").to("cuda")
    options = {"num_inference_steps": 1, "guidance_scale": 0.0}
    large = pipe("a red star", **options).images[0]
    fig = plot.images([np.asarray(large)], titles=["a red star"], size=4)
    plot.show(fig, alt="What sd-turbo draws for: a red star.")
else:
    print("not run: set MMCOURSE_FULL_SIZE=1 on a machine with a GPU and the hub")

# %% [markdown]
# What happens with unsuitable input?

# %%
for wrong in (
    lambda: painter.paint(["a red elephant"]),
    lambda: painter.paint("a red star"),
    lambda: icons.parse(np.zeros((16, 16, 3))),
    lambda: diffusion.spaced_timesteps(1000, 20, "linspace"),
):
    try:
        wrong()
    except ValueError as error:
        print("ValueError:", str(error)[:78])

# %% [markdown]
# ## 16 · What to remember

# %% [markdown]
# - Squared error wants the mean; a generative model wants one of the possible samples. GANs get there by a game, diffusion by many small means.
# - A GAN's best discriminator is p / (p + q). Its generator may forget whole groups; BigGAN's tricks are remedies, and each must be measured.
# - Noise, clean sample, v and velocity are four forms of one answer. Flow matching is a regression on straight lines.
# - The lowest possible loss belongs to a copying machine, an attention layer over the training set. A trained network that draws new pictures is *not* at that optimum.
# - Guidance trades variety for agreement with the caption, up to a point (too much costs both), and samples no named density; a Fréchet distance needs many samples and does not see copies.

# %% [markdown]
# ## 17 · Check yourself

# %% [markdown]
# <details><summary>1. At a point, real data are three times as dense as generated ones. What does the best discriminator say?</summary>
#
# 3 / (3 + 1) = 0.75.
# </details>
# <details><summary>2. Why does the generator use −ln D and not ln(1 − D)?</summary>
#
# Where D is near 0, ln(1 − D) is flat; −ln D is steep there.
# </details>
# <details><summary>3. ᾱ = 0.25 and ε was predicted. How do you get the clean picture?</summary>
#
# (x − √0.75 · ε) / 0.5.
# </details>
# <details><summary>4. At t = 0.7 your model's error is 0.0001 on training pictures and 0.014 on held-out ones. Should you be glad?</summary>
#
# No. That gap is memorization: look for copies.
# </details>
# <details><summary>5. A program's guidance_scale of 0 draws what was asked. How can that be?</summary>
#
# Either it counts from the conditional velocity (its 0 is our 1), or, as in `diffusers`, guidance is switched off for values up to 1 and the conditional prediction is used. Look it up.
# </details>
# <details><summary>6. A paper reports FID 9 from 5,000 samples, yours is 8 from 50,000. Who is better?</summary>
#
# Not known: with fewer samples the distance is larger for the same model.
# </details>
# <details><summary>7. Soon after the start of a GAN's training D's loss is 0, and stays there. What now?</summary>
#
# D tells the two apart without effort, and G learns nothing. Look for a leak before you tune anything: real pictures from 0 to 1 and generated ones from −1 to 1; other sizes, other rounding; batch normalization in D, which lets a sample's score depend on the other samples of its batch, so that it also matters whether real and generated ones go in together or apart. If there is none, make D weaker or smoother: a smaller learning rate, spectral normalization.
# </details>
# <details><summary>8. Where does spectral normalization belong: in the generator or in the critic?</summary>
#
# In the critic: it is the critic's score that must not jump. Put into the generator *instead*, it leaves the critic as steep as it was, and limits how far apart two samples can be. (Some put it into both: Zhang et al. 2018.)
# </details>
# <details><summary>9. To train for guidance, a program drops each *word* with probability 0.1. Why is that not the same?</summary>
#
# All of three words are dropped only once in a thousand captions. So the network hardly ever sees “no caption”, and guidance goes astray, as in section 10 with no dropping at all.
# </details>

# %% [markdown]
# ## 18 · Exercises and where next

# %% [markdown]
# [The exercises](exercises/generation.ipynb): a DDIM step, the best denoiser and a guided step by hand; a flow-matching loss and a block that listens to the caption, in PyTorch; and an open challenge: new points from a distribution of which you have 200.
#
# **Where next:** lesson *driving*, where the assistant's parts meet cameras, lidar and radar. · **Back to:** [attention](attention.ipynb), [clip](clip.ipynb), [fusion](fusion.ipynb).
#
# ## Sources
# Goodfellow et al. 2014, arXiv 1406.2661 (GAN) · Kingma and Welling 2014, arXiv 1312.6114 (VAE) · Miyato et al. 2018, arXiv 1802.05957 (spectral normalization) · Miyato and Koyama 2018, arXiv 1802.05637 (projection discriminator) · Zhang et al. 2018, arXiv 1805.08318 (self-attention GAN) · Brock et al. 2019, arXiv 1809.11096 (BigGAN) ·
# Sohl-Dickstein et al. 2015, arXiv 1503.03585, and Ho et al. 2020, arXiv 2006.11239 (diffusion, DDPM) · Song et al. 2020, arXiv 2010.02502 (DDIM) · Nichol and Dhariwal 2021, arXiv 2102.09672 (cosine schedule) · Salimans and Ho 2022, arXiv 2202.00512 (v) · Karras et al. 2022, arXiv 2206.00364 (the optimal denoiser, appendix B.3) ·
# Lipman et al. 2022, arXiv 2210.02747, and Liu et al. 2022, arXiv 2209.03003 (flow matching) · Esser et al. 2024, arXiv 2403.03206 (times from a logit-normal) · Ho and Salimans 2022, arXiv 2207.12598 (guidance) · Bradley and Nakkiran 2024, arXiv 2408.09000 (what guidance does not sample) · Kadkhodaie et al. 2024, arXiv 2310.02557, and Kamb and Ganguli 2024, arXiv 2412.20292 (why networks do not copy) ·
# Ronneberger et al. 2015, arXiv 1505.04597 (U-Net) · Perez et al. 2018, arXiv 1709.07871 (FiLM) · Heusel et al. 2017, arXiv 1706.08500 (FID) · Rombach et al. 2022, arXiv 2112.10752 (latent diffusion) · Peebles and Xie 2023, arXiv 2212.09748 (DiT) · digits: Alpaydin and Kaynak 1998 (UCI Machine Learning Repository).
