# %% [markdown]
# # Tuning
# *You learn to look for better settings without fooling yourself, and to report the winner honestly.*
#
# {{budget}}
#
# **You will be able to**
# - write a search space, on a log scale where one is needed;
# - build random search, Bayesian optimization and successive halving by hand, and use Optuna and KerasTuner;
# - compare searches at equal budget, with random search as the baseline;
# - kill a search and resume it, and let two processes share one;
# - say how much the best of many gains by luck alone, and which number may be reported.
#
# **Before this:** [Evaluation](evaluate.ipynb) for intervals, [Train in PyTorch](train_pytorch.ipynb) and [Train in Keras](train_keras.ipynb) for the training loops.
#
# **Time to read:** 100 minutes with the five blanks, best in two sittings: rest before section 7. Then 60 for the [exercises](exercises/tune.ipynb).

# %%
import sys
import time

import matplotlib.pyplot as plt
import numpy as np
import torch

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import lesson_dir, load, results
from mmcourse.evaluate import expect_within, mean_and_interval
from mmcourse.runtime import is_installed

np.set_printoptions(precision=3, suppress=True)
torch.set_num_threads(1)
stored = results("tune")

# %% [markdown]
# ## 1 · Twenty tries

# %% [markdown]
# The data set `mood` again: somebody says a sentence, with a voice and a face, and feels negative, neutral or positive. Each message is 520 plain numbers, as in lesson [evaluate](evaluate.ipynb). We have only 600 messages to learn from, and a small network with two hidden layers. First, train it with the values that come with PyTorch's AdamW: a learning rate of 0.001 and a weight decay of 0.01; no dropout. (The code of the network is in a file, because several processes will need it.)

# %% tags=["hide-input"]
sys.path.insert(0, str(lesson_dir("tune")))
import tune_search
from tune_search import few, last, right, train, vectors

SPLITS = ("train", "validation", "test")
sets = {split: load("mood", split) for split in SPLITS}
arrays = dict(zip(SPLITS, vectors(*sets.values())))  # scaled by what training shows
data = {}
for split in SPLITS:
    data[split] = torch.from_numpy(arrays[split]), torch.from_numpy(sets[split].labels)
small = few(*data["train"], n=600)  # drawn by chance


# %% tags=["free"]
def validation_accuracy(setting, seed=0):
    """Train 16 epochs on 600 messages, score on 1,500 validation messages."""
    network = last(train(*small, **setting, epochs=16, seed=seed))
    return float(right(network, *data["validation"]).mean())


default = {"learning_rate": 0.001, "weight_decay": 0.01, "dropout": 0.0, "width": 32}
default_score = validation_accuracy(default)
print(f"with PyTorch's default values: {default_score:.3f}")

# %% tags=["free"]
g = np.random.default_rng(0)
tried = []
for trial in range(20):
    setting = {
        "learning_rate": 10 ** g.uniform(-5, -1),  # why so: section 2
        "weight_decay": 10 ** g.uniform(-2, 1),
        "dropout": g.uniform(0, 0.8),
        "width": int(2 ** g.uniform(3, 7)),
    }
    tried.append((validation_accuracy(setting, seed=trial), setting))
scores = np.array([score for score, _ in tried])
best_score, best_setting = max(tried, key=lambda pair: pair[0])
shown = {name: float(f"{value:.2g}") for name, value in best_setting.items()}
print(f"best of 20: {best_score:.3f}", shown)
print("all 20:", np.sort(scores)[::-1])

# %%
expect_within("best of 20 minus default", best_score - default_score, 0.03, 0.03)
expect_within("best minus worst of the 20", np.ptp(scores), 0.50, 0.06)

# %% [markdown]
# Ten lines and a few seconds, and the validation accuracy is higher. (The comparison flatters: one run of the default against the best of 20. Section 9 says by how much such a winner is overrated.) The sorted scores show how much hangs on it: between the best and the worst of the 20 lie about fifty points, and apart from the seed nothing differs but four numbers that we chose *before* training.
#
# Such a number is called a **hyperparameter**: it is chosen before training and not learned by it (the learned numbers are the parameters, or weights). A **setting** (or *configuration*) gives a value to each. Training one setting and scoring it is a **trial**, and a **hyperparameter search** runs many trials to find a good setting.

# %% tags=["hide-input"]
canvas = draw.Canvas()
sampler = canvas.place(draw.box("search", note="random? Bayesian?", color="orange", width=150), x=0, y=40)
trial_box = canvas.place(draw.box("train", note="training set", width=150), x=270, y=40)
score_box = canvas.place(draw.box("score", note="validation set", color="green", width=150), x=540, y=40)
canvas.arrow(sampler, trial_box, label="a setting")
canvas.arrow(trial_box, score_box, label="a network")
canvas.arrow(score_box.bottom, sampler.bottom, label="a number, back to the search", bend=60)
canvas.place(draw.box("test set", note="one look, at the very end", color="gray", width=230), x=500, y=190)
draw.show(
    canvas,
    alt="The search hands a setting to training, training hands a network to scoring on the validation set, and the number "
    "goes back to the search. The test set is not connected: it gets one look, at the very end.",
)

# %% [markdown]
# Three questions. Which search is best? When can a hopeless trial be stopped early? And what is the winner really worth? Predict two of the answers before anything gives them away.

# %%
method_guess = widgets.guess(
    "24 trials each: on the test set, how far is a Bayesian winner above a random one?",
    ["less than 1 point", "1 to 3 points", "more than 3 points"],
)
winner_guess = widgets.guess(
    "100 settings, scored on the same 150 messages. The winner got 0.73. On new ones?",
    ["0.73 or more", "about 0.71", "about 0.65", "about 0.55"],
)

# %% [markdown]
# ## 2 · What to search: the space and its scale

# %% [markdown]
# ### By hand: two ways to draw a learning rate
# The learning rate may lie anywhere from 0.00001 to 0.1. Draw it uniformly, and look where eight draws fall.

# %%
g = np.random.default_rng(1)
u = g.random(8)  # eight numbers between 0 and 1
uniform = 1e-5 + u * (1e-1 - 1e-5)
print("uniform:", [f"{value:.5f}" for value in np.sort(uniform)])
below = (0.01 - 1e-5) / (1e-1 - 1e-5)
far_below = (0.001 - 1e-5) / (1e-1 - 1e-5)
print(f"share of draws below 0.01: {below:.2f}; below 0.001: {far_below:.2f}")

# %% [markdown]
# Nine draws in ten fall above 0.01, and three of the four decades share the rest. But for a learning rate it is usually the *factor* that counts: 0.0002 is to 0.0001 what 0.02 is to 0.01. So draw the **logarithm** uniformly: search on a **log scale**. Learning rates, weight decays, widths and regularization strengths are searched like this; a dropout, which may be 0, is not. (What the log scale is worth here, the end of this section measures.)

# %% tags=["hide-input"]
canvas = draw.Canvas()
left, width = 110, 560
for row, name in enumerate(("uniform", "log scale")):
    y = row * 84
    canvas.text(name, 40, y, size=13, bold=True)
    canvas.line((left, y), (left + width, y), color="gray")
    for value in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1):
        place = (value - 1e-5) / (1e-1 - 1e-5) if row == 0 else (np.log10(value) + 5) / 4
        at = left + width * place
        canvas.line((at, y - 5), (at, y + 5), color="gray")
        if row == 1 or value >= 1e-2:
            canvas.text("0.00001" if value == 1e-5 else f"{value:g}", at, y + 20, size=12)
    for value in u:
        at = left + width * value
        canvas.line((at, y - 22), (at, y - 8), color="orange", width=4)
canvas.text("0.00001 to 0.001", left + 6, 34, size=11)
draw.show(
    canvas,
    alt="Two number lines from 0.00001 to 0.1 with the same eight draws. On the uniform line everything up to 0.001 is "
    "squeezed into the left end. On the log scale each decade has the same width.",
)

# %% [markdown]
# If $u$ is uniform between 0 and 1, then this is uniform on a log scale between $a$ and $b$:
#
# $$x = a \cdot (b / a)^{u}$$
#
# At $u = 0$ it is $a$, at $u = 1$ it is $b$, and at $u = \tfrac12$ it is the *geometric* mean $\sqrt{ab}$.
#
# **Your turn (blank 1).** Write it.
# <details><summary>Hint</summary>
#
# `b / a` is how many times larger the upper end is. Raise it to the power `u` with `**`.
# </details>


# %%
def log_uniform(u, low, high):
    """Numbers u between 0 and 1 → numbers between low and high, on a log scale."""
    # BEGIN SOLUTION
    return low * (high / low) ** u
    # END SOLUTION


log_uniform = check("tune.blank.1", log_uniform)

# %%
print([f"{value:.5f}" for value in np.sort(log_uniform(u, 1e-5, 1e-1))])
print("middle of 0.00001 and 0.1:", f"{log_uniform(0.5, 1e-5, 1e-1):.4f}")

# %% [markdown]
# ### A table of real trainings
# All values that a search may choose are its **search space**. Ours has four hyperparameters. To compare searches, each must be repeated many times: 100 searches of 24 trials are 2,400 trainings, for each method. So the trainings were made once: every combination of 17 learning rates, 4 weight decays, 3 dropouts and 3 widths, from three seeds, with the accuracy after each of 16 epochs. A search that asks for a setting gets the nearest one of the table, trained from one of its three seeds. This is called a **tabular benchmark**, and with it a search of 24 trials takes milliseconds.

# %%
table = tune_search.Table.read(stored["table"])
last_epoch = table.validation[:, :, -1]  # (612 settings, 3 seeds)
mean_score = last_epoch.mean(axis=1)  # (612,)
test_score = table.test.mean(axis=(1, 2))  # (612,) mean of three seeds, 1,500 messages
print("validation", table.validation.shape, "settings, seeds, epochs")
GRID = tune_search.GRID
print("learning rates", [f"{value:.0e}" for value in GRID["learning_rate"][::4]], "…")
for name in ("weight_decay", "dropout", "width"):
    print(name, GRID[name])
print("quartiles of the 612 means:", np.quantile(mean_score, [0, 0.25, 0.5, 0.75, 1]))

# %% tags=["hide-input"]
rates = tune_search.GRID["learning_rate"]
by_rate = mean_score.reshape(17, 4, 3, 3)
fig, ax = plt.subplots(figsize=(6.4, 3.2))
g = np.random.default_rng(0)
for k, (dropout, color) in enumerate(zip(tune_search.GRID["dropout"], (plot.BLUE, plot.GREEN, plot.ORANGE))):
    values = by_rate[:, :, k].reshape(17, -1)
    jitter = 10 ** g.uniform(-0.06, 0.06, values.shape) * 10 ** (0.0 * k)
    ax.scatter(rates[:, None] * jitter, values, s=9, color=color, label=f"dropout {dropout:g}")
ax.set(xscale="log", xlabel="learning rate", ylabel="validation accuracy")
ax.legend(fontsize=9, loc="upper left")
fig.suptitle("612 settings", x=0.01, ha="left", fontsize=12, fontweight="bold")
plot.show(
    fig,
    alt="Accuracy of 612 settings against the learning rate. Below 0.0001 all are under 0.6; between 0.0005 and 0.01 the best "
    "reach 0.73; above that they fall. High dropout needs a higher learning rate.",
)

# %% [markdown]
# The learning rate decides most. But not alone: at each learning rate, the points spread widely, and with a dropout of 0.8 (orange) small rates do worse than with none. Section 10 measures such shares.
#
# With the table, the log scale can be tested. Random search, 24 trials, 100 times: once as above, and once with the learning rate drawn uniformly. Everything else is the same draw.


# %%
def random_settings(repeat, n, log=True):
    """n random settings as rows of the table, and a seed for each."""
    g = np.random.default_rng(repeat)
    rows = []
    for a, b, c, d in g.random((n, 4)):
        setting = {
            "learning_rate": log_uniform(a, 1e-5, 1e-1) if log else 1e-5 + a * 0.09999,
            "weight_decay": log_uniform(b, 1e-2, 10),
            "dropout": 0.8 * c,
            "width": log_uniform(d, 8, 128),
        }
        rows.append(tune_search.row_of(setting))
    return np.array(rows), g.integers(0, 3, n)


winner_test = np.empty((2, 100))
for repeat in range(100):
    for k, log in enumerate((False, True)):
        rows, seeds = random_settings(repeat, 24, log)
        winner_test[k, repeat] = test_score[rows[last_epoch[rows, seeds].argmax()]]
for name, values in zip(("uniform", "log scale"), winner_test):
    print(f"{name:9} test accuracy of the winner {values.mean():.3f}")
worth, half = mean_and_interval(winner_test[1] - winner_test[0])
print(f"log scale minus uniform: {worth:+.4f} ± {half:.4f}")
assert worth - half > 0.005

# %% [markdown]
# The log scale is worth about a point here. On the uniform scale, nine rates in ten are above 0.01; most of the good settings (the chart above) are below.

# %% [markdown]
# ## 3 · Grid or random?

# %% [markdown]
# **Grid search** tries all combinations of a few values for each hyperparameter. **Random search** draws each one, independently, for every trial. Nine trials for two hyperparameters:

# %% tags=["hide-input"]
canvas = draw.Canvas()
g = np.random.default_rng(5)
cells = (np.arange(3) + 0.5) / 3
grid_points = [(a, b) for a in cells for b in cells]
random_points = [tuple(point) for point in g.random((9, 2))]
size = 210
for side, (title, points) in enumerate([("grid", grid_points), ("random", random_points)]):
    x0 = side * 370
    canvas.text(title, x0 + size / 2, -56, size=14, bold=True)
    canvas.line((x0, 0), (x0 + size, 0), color="gray")
    canvas.line((x0, 0), (x0, size), color="gray")
    canvas.line((x0 + size, 0), (x0 + size, size), color="gray")
    canvas.line((x0, size), (x0 + size, size), color="gray")
    good = (x0 + 0.58 * size, x0 + 0.69 * size)
    for at in good:
        canvas.line((at, 0), (at, size), color="green", width=2)
    canvas.text("good", sum(good) / 2, -34, size=12, color="green")
    for a, b in points:
        px, py = x0 + a * size, b * size
        canvas.line((px - 4, py), (px + 4, py), color="orange", width=8)
        canvas.line((px, -18), (px, -6), color="orange", width=3)
    canvas.text("the hyperparameter that matters →", x0 + size / 2, size + 20, size=12)
draw.show(
    canvas,
    alt="Nine trials for two hyperparameters, of which only the horizontal one matters. Projected on its axis, the grid of three "
    "times three tries three values and none lies in the narrow good stripe; nine random points try nine values, and one lies in it.",
)

# %% [markdown]
# Look at the marks on the upper edge, the projections: the grid tries only **three** different values of the hyperparameter that matters, random search tries **nine** (Bergstra and Bengio 2012). The picture shows one lucky draw. So measure: a good stripe of a tenth of the square lies at a random place. How often does one of nine trials hit it?

# %%
stripe_guess = widgets.guess(
    "And if both matter (the good tenth is a square): who hits it more often?",
    ["random", "grid", "equally often"],
)


# %%
def hit_rate(points, zone_width, zone_height, repeats=20_000):
    """How often one of the points (k, 2) lies in a zone at a random place.

    What leaves the unit square on one side comes in on the other.
    """
    g = np.random.default_rng(0)
    corner = g.random((repeats, 1, 2))
    if callable(points):
        points = points(g, repeats)  # new points each time: (repeats, k, 2)
    inside = (points - corner) % 1 < np.array([zone_width, zone_height])
    return inside.all(axis=2).any(axis=1).mean()


def nine_random(g, repeats):
    return g.random((repeats, 9, 2))


grid = np.array(grid_points)
for name, zone in [("one matters", (0.1, 1.0)), ("both matter", (0.1**0.5, 0.1**0.5))]:
    by_grid, by_random = hit_rate(grid, *zone), hit_rate(nine_random, *zone)
    print(f"{name}: grid {by_grid:.3f}, random {by_random:.3f}")
print(f"formulas: 3 · 0.1 = {3 * 0.1:.3f}, 1 − 0.9⁹ = {1 - 0.9**9:.3f},", end=" ")
print(f"(3 · √0.1)² = {9 * 0.1:.3f}")
stripe_guess.compare("grid")

# %%
side = 0.1**0.5
expect_within("grid, one matters", hit_rate(grid, 0.1, 1.0), 0.300, 0.012)
expect_within("random, one matters", hit_rate(nine_random, 0.1, 1.0), 0.613, 0.012)
expect_within("grid, both matter", hit_rate(grid, side, side), 0.900, 0.012)
expect_within("random, both matter", hit_rate(nine_random, side, side), 0.613, 0.012)

# %% [markdown]
# If one hyperparameter matters, random search hits twice as often. If both matter alike, the grid is better: its points are spread evenly, and it misses one zone in ten where random search misses four. Random search does not care about the shape: it has the same chance for every zone of this size. **Turn the knob** from a square to a stripe (the area stays a tenth) and find where the two change places.


# %% tags=["hide-input"]
def show_zone(height=0.5):
    """A good zone of this height and a tenth of the area."""
    width = 0.1 / height
    by_grid, by_random = hit_rate(grid, width, height), hit_rate(nine_random, width, height)
    fig, (left, middle) = plt.subplots(1, 2, figsize=(6.4, 2.6), width_ratios=[1, 1.5])
    left.scatter(*grid.T, color=plot.ORANGE, s=30)
    left.add_patch(plt.Rectangle((0.9 - width, 0.0), width, height, color=plot.GREEN, alpha=0.3))
    left.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[], aspect="equal")
    middle.barh(["random", "grid"], [by_random, by_grid], color=[plot.BLUE, plot.ORANGE])
    middle.set(xlim=(0, 1), xlabel="share of repeats with a hit")
    alt = f"Zone {width:.2f} wide, {height:.2f} high: the grid hits in {by_grid:.2f} of the repeats, random search in {by_random:.2f}."
    plot.show(fig, alt=alt)
    print(alt)


widgets.slider(show_zone, height=[0.32, 0.4, 0.5, 0.6, 0.8, 1.0])

# %% [markdown]
# Which case is yours? You rarely know beforehand, and with more hyperparameters a grid gets coarser still: 24 trials for four of them are $4 \times 3 \times 2 \times 1$ values. Section 6 compares that grid on real trainings.

# %% [markdown]
# ## 4 · Bayesian optimization by hand

# %% [markdown]
# Random search forgets: trial 20 ignores what trials 1 to 19 found. **Bayesian optimization** fits a cheap model to the trials so far, the **surrogate model**, asks it where a new trial promises most, and tries that.

# %% tags=["hide-input"]
canvas = draw.Canvas()
names = [
    ("trials so far", "settings and scores", "gray"),
    ("surrogate model", "mean and deviation\nfor every setting", "blue"),
    ("acquisition", "how promising\nis each setting?", "orange"),
    ("one real training", "at the most\npromising setting", "green"),
]
places = []
for k, (name, note, color) in enumerate(names):
    places.append(canvas.place(draw.box(name, note=note, color=color, width=145), x=k * 190, y=0))
for before, after in zip(places, places[1:]):
    canvas.arrow(before, after)
canvas.arrow(places[-1].bottom, places[0].bottom, label="one more trial", bend=50)
draw.show(
    canvas,
    alt="A loop of four: the trials so far, a surrogate model that gives a mean and a deviation for every setting, an acquisition "
    "function that says how promising each setting is, and one real training at the most promising one, which joins the trials.",
)

# %% [markdown]
# One hyperparameter, by hand: the learning rate, with the others fixed (a weight decay of 0.1, no dropout, width 32). The table has the truth for 17 rates (a mean over three seeds). The search does not see it: it knows only what it has tried, at first $10^{-5}$ and $10^{-1}$.

# %%
x_all = np.log10(tune_search.GRID["learning_rate"])  # (17,) from -5 to -1
truth = by_rate[:, 1, 0, 1]  # weight decay 0.1, dropout 0, width 32
tried = [0, 16]
for k in tried:
    print(f"learning rate 10^{x_all[k]:.0f}: accuracy {truth[k]:.3f}")

# %% [markdown]
# What do two trials say about $10^{-2}$? Suppose that before any trial we expect $0.5 \pm 0.2$ everywhere, and that close rates have similar scores: their correlation is
#
# $$k(x, x') = \exp\Big(-\frac{(x - x')^2}{2 \ell^2}\Big)$$
#
# with a length $\ell$ of 0.7 decades. Suppose further that the scores of several rates are jointly normal. These assumptions together are a **Gaussian process**. Here are all its numbers for $10^{-2}$.


# %%
def kernel(a, b, length=0.7):
    """Correlation of the scores at a (m,) and b (n,): (m, n)."""
    distance = a[:, None] - b[None, :]
    return np.exp(-(distance**2) / (2 * length**2))


K = kernel(x_all[tried], x_all[tried])
K = K + 0.001 * np.eye(2)  # scores are a little noisy
k_new = kernel(np.array([-2.0]), x_all[tried])
y = (truth[tried] - 0.5) / 0.2  # in units of the deviation expected before
weights = np.linalg.solve(K, k_new.T)  # (2, 1)
mean_by_hand = y @ weights[:, 0]
variance_by_hand = 1 - k_new[0] @ weights[:, 0]
print("K, tried with tried", K.shape)
print(K)
print("k, 10^-2 with tried", k_new.shape, k_new)
print("weights", weights[:, 0], " scores tried", y)
mean_score_there = 0.5 + 0.2 * mean_by_hand
print(f"at 10^-2 expect {mean_score_there:.3f} ± {0.2 * variance_by_hand**0.5:.3f}")

# %% [markdown]
# The trial at $10^{-1}$ is one decade away, so it counts a little ($k = 0.36$), and the expectation moves from 0.5 towards its score. The other one is too far away to count. For all rates at once, with $K$ for the tried points (0.001 added to its diagonal, for noise), $k$ for new with tried, and $y = (\text{score} - 0.5) / 0.2$:
#
# $$\mu = k\,K^{-1} y \qquad \sigma^2 = 1 - \operatorname{diag}(k\,K^{-1} k^\top)$$
#
# $\mu$ and $\sigma$ are the mean and the standard deviation of the **posterior**: what is believed after the trials. Back in units of accuracy, $\mu$ becomes $0.5 + 0.2\,\mu$, and $\sigma$ becomes $0.2\,\sigma$.
#
# **Your turn (blank 2).** Write it for many new points at once.
# <details><summary>Hint 1</summary>
#
# `weights = np.linalg.solve(K, k.T)` has shape (tried, new). The mean is `y @ weights`.
# </details>
# <details><summary>Hint 2</summary>
#
# The diagonal of `k @ weights` without the rest: `(k * weights.T).sum(axis=1)`. A variance just below 0 is rounding: `np.maximum(…, 0)`.
# </details>


# %%
def posterior(K, k, y):
    """K (n, n), k (m, n), scores y (n,) → mean (m,) and deviation (m,)."""
    # BEGIN SOLUTION
    # BLANK: mean = ...
    # BLANK: deviation = ...
    weights = np.linalg.solve(K, k.T)  # (n, m)
    mean = y @ weights
    variance = 1 - (k * weights.T).sum(axis=1)
    deviation = np.sqrt(np.maximum(variance, 0))
    # END SOLUTION
    return mean, deviation


posterior = check("tune.blank.2", posterior)

# %% [markdown]
# ### Where next?
# The highest mean? That tends not to look where nothing is known. The widest deviation? It ignores the scores ($\sigma$ has no $y$ in it). Weigh both: the **expected improvement** is the amount by which a trial exceeds the best so far, $b$, on average (a score below $b$ improves by 0). If the score is normal with mean $\mu$ and deviation $\sigma$:
#
# $$\text{EI} = \mathbb E\big[\max(0, \text{score} - b)\big] = (\mu - b)\,\Phi(z) + \sigma\,\varphi(z), \qquad z = \frac{\mu - b}{\sigma}$$
#
# $\Phi$ is the distribution function of the standard normal distribution (`norm.cdf`), $\varphi$ its density (`norm.pdf`). A function that says how promising a point is, such as this one, is called an **acquisition function**.
#
# **Your turn (blank 3).** Write it, for arrays of means and (positive) deviations.
# <details><summary>Hint</summary>
#
# `z = (mean - best) / deviation`, then the two products of the formula.
# </details>

# %%
from scipy.stats import norm


def expected_improvement(mean, deviation, best):
    """By how much a normal score exceeds `best`, on average."""
    # BEGIN SOLUTION
    z = (mean - best) / deviation
    return (mean - best) * norm.cdf(z) + deviation * norm.pdf(z)
    # END SOLUTION


expected_improvement = check("tune.blank.3", expected_improvement)

# %%
means = np.array([0.70, 0.66, 0.70, 0.50])
deviations = np.array([0.01, 0.06, 0.06, 0.20])
draws = np.random.default_rng(0).normal(size=(200_000, 1)) * deviations + means
by_draws = np.maximum(0, draws - 0.70).mean(axis=0)
by_formula = expected_improvement(means, deviations, best=0.70)
for k in range(4):
    print(f"{means[k]:.2f} ± {deviations[k]:.2f}:", end=" ")
    print(f"formula {by_formula[k]:.4f}, 200,000 draws {by_draws[k]:.4f}")
assert np.abs(by_formula - by_draws).max() < 0.0005

# %% [markdown]
# All four against a best of 0.70. A point that equals the best and is well known (first row) promises little; a worse one that is less known promises more (second row). And the last row: expected to be bad, but nothing is known there.
#
# Now the whole loop. **Turn the knob** from 2 trials on, and say each time where it will look next.


# %% tags=["hide-input"]
def search_rates(truth, start, trials):
    """Bayesian optimization over 17 learning rates: what it tried, and its beliefs before the next trial."""
    tried = list(start)
    while True:
        K = kernel(x_all[tried], x_all[tried]) + 0.001 * np.eye(len(tried))
        mean, deviation = posterior(K, kernel(x_all, x_all[tried]), (truth[tried] - 0.5) / 0.2)
        mean, deviation = 0.5 + 0.2 * mean, 0.2 * np.maximum(deviation, 1e-6)
        promise = expected_improvement(mean, deviation, truth[tried].max())
        promise[tried] = -1  # once is enough
        if len(tried) >= trials:
            return tried, mean, deviation, promise
        tried.append(int(promise.argmax()))


def show_search(trials=2):
    tried, mean, deviation, promise = search_rates(truth, [0, 16], trials)
    fig, (top, bottom) = plt.subplots(2, 1, figsize=(6.4, 3.9), height_ratios=[3, 1.2], sharex=True)
    promise = np.maximum(promise, 0)
    top.fill_between(x_all, mean - 2 * deviation, mean + 2 * deviation, color=plot.SKY, alpha=0.35)
    top.plot(x_all, mean, color=plot.BLUE, label="surrogate: mean ± 2 deviations")
    top.plot(x_all, truth, ":", color=plot.GRAY, label="truth (hidden)")
    top.scatter(x_all[tried], truth[tried], color=plot.ORANGE, zorder=3, label="trials")
    top.set(ylabel="accuracy", ylim=(0.2, 1.0))
    top.legend(fontsize=8, ncols=3, loc="upper center")
    bottom.plot(x_all, promise, color=plot.GREEN)
    bottom.axvline(x_all[promise.argmax()], color=plot.GREEN, linestyle="--")
    bottom.set(xlabel="log10 of the learning rate", ylabel="EI", ylim=(0, None))
    where = x_all[promise.argmax()]
    alt = f"{trials} trials, best {truth[tried].max():.3f}; expected improvement is largest at 10^{where:.2f}: {promise.max():.4f}."
    plot.show(fig, alt=alt)
    print(alt)


widgets.slider(show_search, trials=(2, 9))

# %%
for trials in (2, 4, 6, 8):
    tried, mean, deviation, promise = search_rates(truth, [0, 16], trials)
    print(f"{trials} trials: best {truth[tried].max():.3f};", end=" ")
    print("tried", [f"{x_all[k]:.2f}" for k in tried[2:]])
print(f"best of all 17: {truth.max():.3f}")

# %% [markdown]
# Is that better than looking at random? The same on every one of the 36 combinations of the other hyperparameters, from 8 random pairs of first trials: how many trials until the search is within one point of the best of the 17?

# %%
random_trials, bayes_trials, shuffled_trials = np.empty((3, 36, 8))
g = np.random.default_rng(0)
for c, column in enumerate(by_rate.reshape(17, -1).T):  # 36 curves of 17 scores
    for repeat in range(8):
        order = g.permutation(17)
        good = column >= column.max() - 0.01
        random_trials[c, repeat] = np.flatnonzero(good[order])[0] + 1
        tried, *_ = search_rates(column, order[:2].tolist(), 17)
        bayes_trials[c, repeat] = np.flatnonzero(good[tried])[0] + 1
        shuffled = column[g.permutation(17)]  # the control: neighbors say nothing
        good = shuffled >= shuffled.max() - 0.01
        tried, *_ = search_rates(shuffled, order[:2].tolist(), 17)
        shuffled_trials[c, repeat] = np.flatnonzero(good[tried])[0] + 1
for name, counts in [("random", random_trials), ("Bayesian", bayes_trials)]:
    nine_of_ten = np.quantile(counts, 0.9)
    print(f"{name:9} {np.mean(counts):.1f} trials on average,", end=" ")
    print(f"9 of 10 within {nine_of_ten:.0f}")
print(f"Bayesian, scores shuffled among the rates: {np.mean(shuffled_trials):.1f}")

# %%
expect_within("random, trials to be within a point", np.mean(random_trials), 5.9, 0.8)
expect_within("Bayesian, trials to be within a point", np.mean(bayes_trials), 4.3, 0.6)
fewer, half = mean_and_interval((random_trials - bayes_trials).mean(axis=1))
print(f"random minus Bayesian: {fewer:.1f} ± {half:.1f} trials, over 36 curves")
assert fewer - half > 0.5 and np.mean(shuffled_trials) > np.mean(bayes_trials) + 0.8
no_gain, half = mean_and_interval((random_trials - shuffled_trials).mean(axis=1))
print(f"the same with shuffled scores: {no_gain:.1f} ± {half:.1f}")

# %% [markdown]
# About four trials instead of six, and the unlucky cases get much shorter. The control: where the scores are shuffled among the rates, no search that tries each rate once can be better than random on average, and what is printed there is luck (its interval contains 0). So what helps the Bayesian search is that close rates score alike. This surrogate has nothing else to go by.

# %% [markdown]
# ## 5 · Optuna

# %% [markdown]
# In **Optuna** you write a function, the *objective*, that gets a `trial`, asks it for values, and returns the score. `log=True` is the log scale. A `study` keeps all trials; its `sampler` is the search. Here with real trainings:


# %% tags=["free"]
def objective(trial):
    setting = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-2, 10, log=True),
        "dropout": trial.suggest_float("dropout", 0, 0.8),
        "width": trial.suggest_int("width", 8, 128, log=True),
    }
    return validation_accuracy(setting, seed=trial.number)


if is_installed("optuna"):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=24)
    shown = {k: float(f"{v:.2g}") for k, v in study.best_params.items()}
    print(f"best validation accuracy {study.best_value:.3f} with {shown}")

# %% [markdown]
# Optuna's standard sampler is no Gaussian process. The **tree-structured Parzen estimator (TPE)** (Bergstra and others 2011) cuts the trials so far into a few good ones and the rest, estimates from each group how often a value occurs in it, and takes values that are common among the good and rare among the rest. It starts with ten random trials. (The drawing has one hyperparameter; since version 5 Optuna's TPE looks at all together by default.)

# %% tags=["hide-input"]
canvas = draw.Canvas()
rates_tried = np.array([-4.6, -4.1, -3.8, -3.1, -2.8, -2.5, -2.2, -1.7, -1.3, -1.1])
is_good = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0, 0], bool)
for row, (name, group, color) in enumerate([("the good trials", is_good, "green"), ("the rest", ~is_good, "gray")]):
    y = row * 78
    canvas.text(name, 60, y, size=13, bold=True)
    canvas.line((150, y + 22), (560, y + 22), color="gray")
    xs = np.linspace(-5, -1, 80)
    heights = np.exp(-((xs[:, None] - rates_tried[group]) ** 2) / (2 * 0.3**2)).mean(axis=1)
    points = [(150 + 102.5 * (x + 5), y + 22 - 46 * h) for x, h in zip(xs, heights)]
    for before, after in zip(points, points[1:]):
        canvas.line(before, after, color=color, width=2)
    for value in rates_tried[group]:
        at = 150 + 102.5 * (value + 5)
        canvas.line((at, y + 24), (at, y + 34), color=color, width=4)
peak = 150 + 102.5 * (-2.8 + 5)
canvas.arrow((peak, 168), (peak, 118), color="orange")
canvas.text("next: common above, rare below", peak, 184, size=13)
draw.show(
    canvas,
    alt="Ten trials of a learning rate in two groups, three good ones close together and seven others at both sides. Over each "
    "group lies a density. The next trial is taken where the density of the good ones is high and that of the rest low.",
)

# %% tags=["free", "hide-input"]
if is_installed("optuna"):
    fig, ax = plt.subplots(figsize=(6.4, 3.0))
    dots = ax.scatter(
        [t.params["learning_rate"] for t in study.trials],
        [t.value for t in study.trials],
        c=range(24),
        s=40,
        cmap="cividis",
    )
    ax.set(xscale="log", xlabel="learning rate", ylabel="validation accuracy")
    fig.colorbar(dots, label="trial", pad=0.01)
    fig.suptitle("Where does TPE look?", x=0.01, ha="left", fontsize=12, fontweight="bold")
    plot.show(
        fig, alt="24 trials of TPE: the later ones (yellow) gather at the learning rates where the accuracy is high."
    )

# %% [markdown]
# Other samplers have the same interface: `RandomSampler`, `GridSampler`, `GPSampler` (a Gaussian process with expected improvement, as in section 4, for all hyperparameters together and with lengths fitted to the trials).

# %% [markdown]
# ## 6 · At equal budget

# %% [markdown]
# One search is one throw of dice. So here are many of each, in the table, with 24 trials: random search, a grid of 24, TPE and two Gaussian processes (Optuna's, and KerasTuner's `BayesianOptimization`). In one repeat, the $k$-th trial of every method is trained from the same seed. Stored are the settings that each tried. The test score is a ruler for *methods* here: no search sees it, and no setting is chosen by it.

# %%
found_by = stored["search"] | stored["search, Gaussian process in Optuna"]
found_by |= stored["search, Gaussian process in KerasTuner"]
METHODS = ["random", "grid", "TPE"]
METHODS += ["Gaussian process, Optuna", "Gaussian process, KerasTuner"]
searches = {}
for name in METHODS:
    searches[name] = np.array([line.split() for line in found_by[name]["rows"]], int)
    print(f"{name:29} {searches[name].shape} repeats, trials")


def scores_seen(rows):
    """What a search saw: validation accuracy (repeats, trials)."""
    found = np.empty(rows.shape)
    for repeat, tried in enumerate(rows):
        seeds = np.random.default_rng(repeat).integers(0, 3, len(tried))
        found[repeat] = last_epoch[tried, seeds]
    return found


def winners(rows):
    """The setting with the best score in each repeat: a row of the table."""
    return rows[np.arange(len(rows)), scores_seen(rows).argmax(axis=1)]


# %% tags=["hide-input"]
best_so_far = {name: np.maximum.accumulate(scores_seen(rows), axis=1) for name, rows in searches.items()}
short = {"Gaussian process, Optuna": "GP (Optuna)", "Gaussian process, KerasTuner": "GP (KerasTuner)"}
lines = {short.get(name, name): values.mean(axis=0)[2:] for name, values in best_so_far.items()}
fig = plot.curves(
    lines,
    title="Which search wins at equal budget?",
    x=np.arange(3, 25),
    xlabel="trials",
    ylabel="best validation accuracy so far",
)
fig.axes[0].set_xticks(range(3, 25, 3))
plot.show(
    fig,
    alt="Best so far against trials. The grid leads at first; from the twelfth trial on all curves lie within one point of one another. "
    "TPE ends highest.",
)

# %%
print(f"{'':29}  validation       test of the winner  minus random, same repeats")
test_of, differences = {}, {}
for name, rows in searches.items():
    test_of[name] = test_score[winners(rows)]
    paired = test_of[name] - test_of["random"][: len(rows)]
    differences[name] = mean_and_interval(paired, level=1 - 0.05 / 4)
    line = f"{name:29}"
    for values in (scores_seen(rows).max(axis=1), test_of[name]):
        mean, half = mean_and_interval(values)
        line += f"  {mean:.4f} ± {half:.4f}"
    if name != "random":
        line += "  {:+.4f} ± {:.4f}".format(*differences[name])
    print(line)
default_row = tune_search.row_of(default)
chosen = int(mean_score.argmax())
for name, row in [("the default setting", default_row), ("best of all 612", chosen)]:
    print(f"{name}: validation {mean_score[row]:.4f}, test {test_score[row]:.4f}")

# %%
for name in searches:
    mean, half = differences[name]
    assert abs(mean) <= half and mean + half < 0.0105
by_tpe, by_random = scores_seen(searches["TPE"]), scores_seen(searches["random"])
mean, half = mean_and_interval(by_tpe.max(axis=1) - by_random.max(axis=1))
print(f"TPE minus random, best validation accuracy: {mean:+.4f} ± {half:.4f}")
assert mean - half > 0.002
gained = test_of["random"].mean() - test_score[default_row]
expect_within("random search minus default, test", gained, 0.0115, 0.004)
method_guess.compare("less than 1 point")

# %% [markdown]
# On the test set no method is shown to differ from random search, the coarse grid of section 3 included. (A difference is taken over the repeats that both have: 100, 48 or 24. Four comparisons, so each interval is one of 98.75 %: Bonferroni, lesson [evaluate](evaluate.ipynb). The last one just contains 0. None reaches beyond about one point.) What did gain is searching at all: about a point over the default. (TPE's first ten trials *are* random ones, hence the common start. That the grid starts well may be because its values keep away from the ends of each range; somebody chose them.)
#
# Look at TPE's validation accuracy: half a point above random search, and that interval does not contain 0. On the test set, 0.1 ± 0.3 points of it are left. One reason may be luck: TPE tries the good region again and again, each time from some seed, and the best of many noisy scores flatters (section 9). To see whether that is the reason, repeat the comparison with less luck: each score is now the mean over the three seeds. As a control, shuffle these means among the 612 settings, so that nothing can be learned at all.

# %% tags=["free"]
if is_installed("optuna"):

    def best_scores(make_sampler, scores, repeats=40):
        """Best of 24 trials where each setting has one score: (repeats,)."""

        def objective(trial):
            return scores[tune_search.row_of(tune_search.suggest(trial))]

        found = []
        for seed in range(repeats):
            sampler = make_sampler(seed=seed)
            study = optuna.create_study(direction="maximize", sampler=sampler)
            study.optimize(objective, n_trials=24)
            found.append(study.best_value)
        return np.array(found)

    shuffled = np.random.default_rng(0).permutation(mean_score)
    for name, scores in [("as trained", mean_score), ("shuffled", shuffled)]:
        by_tpe = best_scores(optuna.samplers.TPESampler, scores)
        by_random = best_scores(optuna.samplers.RandomSampler, scores)
        gain, half = mean_and_interval(by_tpe - by_random)
        print(f"{name:10} TPE minus random, 40 repeats: {gain:+.4f} ± {half:.4f}")
        assert abs(gain) < half and gain + half < 0.005

# %% [markdown]
# With less luck, no gain of TPE over random search is shown, any more than in the shuffled table; if there is one, it is below half a point. Whether more trials, more hyperparameters or a narrower optimum would change that was not tried: measure on your problem.
#
# ### More trials, or a better method?
# Two searches of 24 random trials are one of 48. What does doubling bring, compared with the choice of the method? And how much time does the search itself take?

# %%
rows = searches["random"]
seen = scores_seen(rows)
half_of = len(rows) // 2
first, second = seen[:half_of].max(axis=1), seen[half_of:].max(axis=1)
gain, half = mean_and_interval(np.maximum(first, second) - first)
print(f"random, 48 trials instead of 24: validation {gain:+.4f} ± {half:.4f}")
twice = np.where(first >= second, winners(rows)[:half_of], winners(rows)[half_of:])
gain, half = mean_and_interval(test_score[twice] - test_score[winners(rows)[:half_of]])
print(f"test accuracy of the winner: {gain:+.4f} ± {half:.4f}")
seconds = stored["table"]["seconds by width"]
training = 0.25 * seconds["8"] + 0.5 * seconds["32"] + 0.25 * seconds["128"]
print(f"a training takes {training:.2f} s on average; in the time of 24:")
for name in searches:
    sampler_time = found_by[name]["seconds a trial"]
    trials = 24 * training / (training + sampler_time)
    print(f"  {name:29} {sampler_time:.4f} s for the sampler, {trials:4.1f} trials")
own = [found_by[name]["seconds a trial"] for name in METHODS]
assert own[2] < 0.002 and 0.04 < own[3] < 0.06 and own[4] > max(seconds.values())

# %% [markdown]
# Doubling the trials of random search brought half a point on validation, as much as TPE brought without more trials, and 0.4 ± 0.3 points on the test set. And count in seconds, not in trials alone: TPE needs about a millisecond for a proposal, a Gaussian process 0.05 seconds in Optuna and 0.3 in KerasTuner, longer than any of our trainings. If a trial takes an hour, that is nothing. Here, at equal *seconds*, those two would get 16 and 6 trials instead of 24.

# %% [markdown]
# ## 7 · Stop early: successive halving

# %% [markdown]
# Half of the 612 settings end below an accuracy of 0.47. Must each of them be trained to its end? **Successive halving** (Jamieson and Talwalkar 2016) trains many settings a little, keeps the best part, trains those further, and so on. The trainings go on from where they were.

# %% tags=["hide-input"]
canvas = draw.Canvas()
alive = {"to epoch 1": "abcdefgh", "to epoch 4": "cdef", "to epoch 16": "cd"}
for stage, (name, kept) in enumerate(alive.items()):
    x0 = stage * 165
    canvas.text(name, x0 + 60, -24, size=13, bold=True)
    canvas.text(f"{len(kept)} settings", x0 + 60, 364, size=12)
    for setting, letter in enumerate("abcdefgh"):
        y = setting * 44
        if letter in kept:
            canvas.place(draw.box(letter, color="green", width=34), x=x0 + 42, y=y)
        else:
            canvas.line((x0 + 52, y + 16), (x0 + 66, y + 16), color="gray")
draw.show(
    canvas,
    alt="Eight settings are trained to epoch 1; the better four, c to f, go on to epoch 4, and the better two of them, c and d, to "
    "epoch 16.",
)

# %% [markdown]
# These eight settings are from the table, drawn by chance, from seed 0. Their validation accuracy after 1, 4 and 16 epochs:

# %%
eight = np.random.default_rng(2).choice(612, 8, replace=False)
curves = table.validation[eight, 0]  # (8 settings, 16 epochs)
print("setting   1 epoch   4 epochs   16 epochs")
LETTERS = "abcdefgh"
for letter, (after_1, after_4, after_16) in zip(LETTERS, curves[:, [0, 3, 15]]):
    print(f"{letter:>7} {after_1:9.3f} {after_4:10.3f} {after_16:11.3f}")

# %% [markdown]
# **Your turn (blank 4).** One cut: keep the best `len(scores) // factor` settings, at least one. Return their numbers, the best first; of equal scores, the one that comes first.
# <details><summary>Hint 1</summary>
#
# `np.argsort(-scores, kind="stable")` gives the numbers in falling order of their scores, and leaves equals in order.
# </details>
# <details><summary>Hint 2</summary>
#
# How many: `max(1, len(scores) // factor)`.
# </details>


# %%
def survivors(scores, factor):
    """Scores (n,) → numbers of the best n // factor, the best first."""
    # BEGIN SOLUTION
    keep = max(1, len(scores) // factor)
    return np.argsort(-scores, kind="stable")[:keep]
    # END SOLUTION


survivors = check("tune.blank.4", survivors)


# %%
def successive_halving(curves, epochs=(1, 4, 16), factor=4):
    """Learning curves (n, 16) → number of the winner, epochs spent, who was left."""
    left = np.arange(len(curves))
    spent, before, history = 0, 0, []
    for stage, epoch in enumerate(epochs):
        spent += len(left) * (epoch - before)  # trainings go on from where they were
        before = epoch
        history.append(left.tolist())
        if stage < len(epochs) - 1:
            left = left[survivors(curves[left, epoch - 1], factor)]
    return left[curves[left, epochs[-1] - 1].argmax()], spent, history


winner, spent, history = successive_halving(curves, factor=2)
for epoch, left in zip((1, 4, 16), history):
    print(f"trained to epoch {epoch:2}:", " ".join(LETTERS[k] for k in left))
print(f"winner {LETTERS[winner]}, {spent} epochs: {curves[winner, -1]:.3f};", end=" ")
print(f"all eight to the end: {8 * 16} epochs, best {curves[:, -1].max():.3f}")
named = ["".join(sorted(LETTERS[k] for k in left)) for left in history]
assert named == list(alive.values())  # as drawn

# %% [markdown]
# Setting f, the best in the end, survived the cut after epoch 1 and was lost after epoch 4.
#
# ### When early ranks mislead
# A cut believes that who is ahead early is ahead at the end. Is that so? For all 612 settings, compare the ranks after each epoch with the ranks at the end. The **rank correlation** (Spearman's) is 1 if the order is the same, 0 if the two orders have nothing to do with each other, and negative if it is reversed. Then the same among the *best* settings only. To keep luck out, the 150 best are chosen by seed 0, early ranks come from seed 1 and final ranks from seed 2.

# %%
early_guess = widgets.guess(
    "Among the 150 best: how do ranks after 2 epochs agree with the final ones?",
    ["correlation about +0.7", "about +0.3", "about 0", "below −0.2"],
)

# %%
from scipy.stats import spearmanr

best_150 = np.argsort(-last_epoch[:, 0])[:150]
print("epoch   all 612   best 150")
agreement = {}
for epoch in (1, 2, 4, 8, 12, 16):
    early, late = table.validation[:, 1, epoch - 1], last_epoch[:, 2]
    everyone = spearmanr(early, late).statistic
    among_best = spearmanr(early[best_150], late[best_150]).statistic
    agreement[epoch] = everyone, among_best
    print(f"{epoch:5} {everyone:9.2f} {among_best:10.2f}")
early_guess.compare("below −0.2")


# %% tags=["hide-input"]
def show_early(epoch=1):
    """Early against final accuracy of all settings; the 150 best are marked."""
    early, late = table.validation[:, 1, epoch - 1], last_epoch[:, 2]
    fig, ax = plt.subplots(figsize=(6.0, 3.2))
    ax.scatter(early, late, s=7, color=plot.GRAY, label="all")
    ax.scatter(early[best_150], late[best_150], s=9, color=plot.ORANGE, label="the 150 best (by another seed)")
    cut = np.quantile(early, 0.75)
    ax.axvline(cut, color=plot.BLUE, linestyle="--", label="cut: the best quarter goes on")
    ax.set(xlabel=f"accuracy after epoch {epoch}", ylabel="after 16 epochs", xlim=(0.2, 0.78))
    ax.legend(fontsize=8, loc="lower right")
    kept = (early[best_150] >= cut).mean()
    alt = f"A cut to the best quarter after epoch {epoch} keeps {kept:.2f} of the 150 best settings."
    plot.show(fig, alt=alt)
    print(alt)


widgets.slider(show_early, epoch=[1, 2, 4, 8, 12, 16])

# %%
after_2 = table.validation[best_150, 1, 1]
slow = best_150[after_2 < np.median(after_2)]
fast = best_150[after_2 >= np.median(after_2)]
for name, group in [("behind after 2 epochs", slow), ("ahead after 2 epochs", fast)]:
    rate = 10 ** np.mean([np.log10(table.settings[k]["learning_rate"]) for k in group])
    dropout = np.mean([table.settings[k]["dropout"] for k in group])
    print(f"{name}: learning rate {rate:.4f} (geometric mean),", end=" ")
    print(f"dropout {dropout:.2f}, final accuracy {last_epoch[group, 2].mean():.4f}")
expect_within("rank correlation after 2 epochs, all", agreement[2][0], 0.49, 0.05)
expect_within("rank correlation after 2 epochs, the best", agreement[2][1], -0.42, 0.08)
behind = last_epoch[slow, 2].mean() - last_epoch[fast, 2].mean()
expect_within("behind minus ahead, at the end", behind, 0.012, 0.005)
spread = sum(last_epoch[group, 2].var(ddof=1) / len(group) for group in (slow, fast))
print(f"95 % half-width of that difference: {1.96 * spread**0.5:.4f}")
assert behind > 1.96 * spread**0.5

# %% [markdown]
# Among all settings, early ranks say a lot, and more with each epoch. (Even after 16 epochs the correlation is only about 0.8: early and final scores are from different seeds.) Among the *best* ones, early ranks are reversed: those that are behind after 2 epochs end about a point **higher**. They have smaller learning rates and more dropout, which fits slow learning (not tested by itself here). **Move the knob** above to see how many of the 150 best a cut would keep.
#
# ### Hyperband
# So when should the first cut be? **Hyperband** (Li and others 2018) does not decide: it runs successive halving several times, each with another first cut, from "many settings, cut early" to "few settings, never cut". Each such run is called a **bracket**, and all get about the same number of epochs. (From here on, a cut keeps the best quarter: factor 4.)

# %%
BRACKETS = {51: (1, 4, 16), 18: (4, 16), 8: (16,)}  # settings at the start: when to cut


def hyperband(rows, seeds):
    """Rows of the table and their seeds, 77 each → the winner's row, epochs spent."""
    best, spent, start = (-1.0, -1), 0, 0
    for size, epochs in BRACKETS.items():
        mine = slice(start, start + size)
        start += size
        curves = table.validation[rows[mine], seeds[mine]]
        winner, used, _ = successive_halving(curves, epochs)
        spent += used
        best = max(best, (curves[winner, -1], rows[mine][winner]))
    return int(best[1]), spent


for size, epochs in BRACKETS.items():
    *_, history = successive_halving(table.validation[:size, 0], epochs)
    sizes = [len(left) for left in history]
    print(f"{size} settings, cuts after epochs {epochs[:-1]}: {sizes}")

# %% [markdown]
# **Pruning** is the general name for stopping trials early. Optuna leaves it to a *pruner*, which is asked after each epoch. The **median pruner** stops a trial that is below the median of the earlier trials at the same epoch. (Ours waits: it starts after 5 trials, and leaves each trial 2 epochs.) All get a budget of 384 epochs (those by hand use 360 to 384 of them), as many as 24 full trainings, with random settings.
#
# Two more lines are a control. They *cheat*: successive halving from epoch 1, but both cuts go by the ranks after epoch 4, or after epoch 12, at no extra cost. They try as many settings as the honest one, and train as few to the end.


# %%
drawn = [random_settings(repeat, 144) for repeat in range(200)]


def halved(size, epochs, cheat=None):
    """The winner of each of 200 runs of successive halving, and the epochs of one."""
    winners = []
    for rows, seeds in drawn:
        curves = table.validation[rows[:size], seeds[:size]]  # a copy
        if cheat:
            curves[:, [0, 3]] = curves[:, [cheat - 1]]
        winner, spent, _ = successive_halving(curves, epochs)
        winners.append(rows[winner])
    return np.array(winners), spent


by_hand = {
    "random, no pruning": halved(24, (16,)),
    "successive halving from epoch 1": halved(144, (1, 4, 16)),
    "successive halving from epoch 4": halved(54, (4, 16)),
    "from epoch 1, with ranks of 4": halved(144, (1, 4, 16), cheat=4),
    "from epoch 1, with ranks of 12": halved(144, (1, 4, 16), cheat=12),
}
banded = [hyperband(rows, seeds) for rows, seeds in drawn]
by_hand["Hyperband by hand"] = np.array([row for row, _ in banded]), banded[0][1]
a_quarter = {
    "random, no pruning": halved(6, (16,)),
    "successive halving from epoch 1": halved(36, (1, 4, 16)),
    "successive halving from epoch 4": halved(13, (4, 16)),
}

# %%
pruned = {}
for name, found in stored["pruning"].items():
    pruned[name] = {key: np.array(line.split(), int) for key, line in found.items()}
libraries = {
    "median pruner (Optuna)": "median",
    "Hyperband (Optuna)": "Hyperband, Optuna",
    "Hyperband (KerasTuner)": "Hyperband, KerasTuner",
}
lines_of = dict(by_hand)
for name, key in libraries.items():
    lines_of[name] = pruned[key]["row"], pruned[key]["epochs"].mean()
print(f"{'':33} repeats  epochs   test of the winner")
at_equal_epochs = {}
for name, (rows, spent) in lines_of.items():
    mean, half = mean_and_interval(test_score[rows])
    at_equal_epochs[name] = mean
    print(f"{name:33} {len(rows):5} {spent:8.0f} {mean:10.4f} ± {half:.4f}")
print("a quarter of the budget:")
for name, (rows, spent) in a_quarter.items():
    mean, half = mean_and_interval(test_score[rows])
    print(f"{name:33} {len(rows):5} {spent:8.0f} {mean:10.4f} ± {half:.4f}")

# %%
versus = {}
print("minus random, with 99.3 % intervals (seven comparisons)")
for budget, found in [("384 epochs", by_hand), ("96 epochs", a_quarter)]:
    baseline = test_score[found["random, no pruning"][0]]
    for name, (rows, _) in list(found.items())[1:]:
        gain, half = mean_and_interval(test_score[rows] - baseline, 1 - 0.05 / 7)
        print(f"  {budget:10} {name:33} {gain:+.4f} ± {half:.4f}")
        versus[budget, name] = gain, half
early = versus["384 epochs", "from epoch 1, with ranks of 4"]
late = versus["384 epochs", "from epoch 1, with ranks of 12"]
assert early[0] + early[1] < 0 < late[0] - late[1]
gain, half = versus["384 epochs", "successive halving from epoch 1"]
assert gain + half < 0 and abs(gain - early[0]) < 0.003
gain, half = versus["96 epochs", "successive halving from epoch 4"]
assert gain - half > 0
spread = [mean for name, mean in at_equal_epochs.items() if name[0] in "mHr"]
assert np.ptp(spread) < 0.006

# %% [markdown]
# With 384 epochs, successive halving from epoch 1 tries six times as many settings as random search, and its winner is half a point *worse*. Because only nine of its settings are trained to the end, or because its cuts go by wrong ranks? The two cheats answer. With the ranks of epoch 12 the same halving *gains* about a third of a point; with those of epoch 4 it loses as much as before. So it is the ranks (among the best settings: −0.34 after epoch 4, 0.46 after 12). First cut after epoch 4, the loss is only 0.2 ± 0.2 points.
#
# With a quarter of the budget, where random search has only six trials, halving from epoch 4 gains 0.8 ± 0.7 points, and from epoch 1 nothing is shown. Hyperband by hand loses 0.3 points with 384 epochs; with 96 it was not run. This is one table with two budgets. On your problem, ask the same two questions: how many full trainings can you afford, and from when on can ranks be believed? (The last three rows of the first table come from the libraries, with their own draws; they lie within 0.6 points of random search. Which of them is best, this table cannot say.)

# %% [markdown]
# ## 8 · Is the best better than the second?

# %% [markdown]
# A score is one seed's luck, too. The eight settings with the best mean over three seeds in the table were trained again, from 20 new seeds each. If the ranking means something, the new scores repeat it.

# %%
again = stored["finalists"]
rows = np.array(again["rows"])
new_validation = np.array(again["validation"]) / 1500  # (8 settings, 20 new seeds)
new_test = np.array(again["test"]) / 1500
print("place   promised   20 new seeds       rate    decay  dropout  width")
for place, row in enumerate(rows):
    mean, half = mean_and_interval(new_validation[place])
    rate, decay, dropout, width = table.settings[row].values()
    print(f"{place + 1:5} {mean_score[row]:10.4f}   {mean:.4f} ± {half:.4f}", end="")
    print(f"{rate:10.4f} {decay:8.2f} {dropout:8.1f} {width:6}")

# %%
gap, half = mean_and_interval(new_validation[0] - new_validation[1])
print(f"first minus second, new seeds: {gap:+.4f} ± {half:.4f}")
assert abs(gap) < 0.001 < half < 0.006 and new_validation.mean(axis=1).argmax() == 6
fall = mean_score[rows].mean() - new_validation.mean()
fall_half = mean_and_interval(mean_score[rows] - new_validation.mean(axis=1))[1]
print(f"all eight fell by {fall:.4f} ± {fall_half:.4f} from what had chosen them")
correlation = spearmanr(mean_score[rows], new_validation.mean(axis=1)).statistic
print(f"rank correlation, promised with new: {correlation:.2f}")
assert 0.002 < fall < 0.006 and fall > fall_half
family = [
    table.settings[row]["width"] == 128
    and table.settings[row]["dropout"] == 0.8
    and 0.0015 < table.settings[row]["learning_rate"] < 0.0035
    for row in rows
]
print(f"settings in the family: {sum(family)}")
assert sum(family) == 6
best_100 = np.argsort(-mean_score)[:100]
noise = last_epoch[best_100].std(axis=1, ddof=1).mean()
print(f"standard deviation between seeds of one setting, best 100: {noise:.4f}")

# %% [markdown]
# The best is not shown to be better than the second: the difference is 0.0 ± 0.45 points. The seventh has the highest mean now. And the eight fell, by nearly half a point (a third of that by the sixth alone): they had been chosen for scores that were partly luck. Six of the eight are one family (width 128, a dropout of 0.8, a learning rate of 0.002 to 0.003), with a weight decay from 0.01 to 1: that is a result worth reporting, "setting 1 is best" is not.
#
# And look at the edges. All eight have the largest width that we allowed, and seven the largest dropout. Winners on an edge are the sign of a space that is too small. So widen it: place 4 again, with more width and more dropout, from the same 20 new seeds (stored).

# %%
edge = {}
for name, counts in stored["edge"]["validation"].items():
    edge[name] = np.array(counts) / 1500
print("width, dropout   validation         minus place 4")
for name, values in edge.items():
    mean, half = mean_and_interval(values)
    more, more_half = mean_and_interval(values - new_validation[3], 1 - 0.05 / 5)
    line = f"{name:14}   {mean:.4f} ± {half:.4f}"
    print(line if name == "128 0.8" else f"{line}   {more:+.4f} ± {more_half:.4f}")
assert sum(table.settings[row]["width"] == 128 for row in rows) == 8
assert sum(table.settings[row]["dropout"] == 0.8 for row in rows) == 7

# %% [markdown]
# For the width the space *was* too small: 256 brings 0.75 ± 0.6 points more. For the dropout it was not: 0.9 loses at every width. (Bonferroni for five comparisons; the learning rate stayed where it was, so a wide network at its own best rate may do better still.)

# %% [markdown]
# ## 9 · What is the winner worth?

# %% [markdown]
# ### The best of many equals
# $N$ models, all equally good: each is right with probability $q$ on each of $n$ samples, independently of the others. The *best* score has the expectation
#
# $$E[\max] = \frac1n \sum_{k=0}^{n-1} \big(1 - F(k)^N\big)$$
#
# with $F(k)$ the probability that one model gets at most $k$ right. (The mean of a count is the sum of $P(\text{count} > k)$ over all $k$; and the best exceeds $k$ unless all $N$ stay at or below it.)
#
# **Your turn (blank 5).** Write it. `binom.cdf(k, n, q)` is $F(k)$, also for an array of all $k$.
# <details><summary>Hint</summary>
#
# `k = np.arange(n)` has all values from 0 to n − 1. Then a sum, or a mean, of `1 - F**N`.
# </details>

# %%
from scipy.stats import binom


def best_of(num_models, q, n):
    """Expected best accuracy of equally good models on n samples."""
    # BEGIN SOLUTION
    k = np.arange(n)
    return np.mean(1 - binom.cdf(k, n, q) ** num_models)
    # END SOLUTION


best_of = check("tune.blank.5", best_of)

# %%
for num_models in (1, 10, 100):
    expected = best_of(num_models, 0.72, 150)
    print(f"best of {num_models:3}, each worth 0.72, on 150 samples: {expected:.3f}")
luck = best_of(100, 0.72, 150) - 0.72
expect_within("what 100 equal models gain by luck alone", luck, 0.089, 0.001)
counts = np.random.default_rng(0).binomial(150, 0.72, (20_000, 100))
by_draws = counts.max(axis=1).mean() / 150
print(f"the same, drawn 20,000 times: {by_draws:.3f}")
assert abs(by_draws - best_of(100, 0.72, 150)) < 0.001

# %% [markdown]
# Nearly nine points, and none of the models is better than any other. Choosing by a score spoils the score. This is the **winner's curse**: the winner was good *and* lucky, and luck does not repeat.
#
# ### The answer to section 1
# The 100 settings were a random search, scored on the first 150 of the test messages. The other 1,350 are untouched: same kind, drawn the same way. (The rule: 100 rows of the table, drawn by generator 0, the run from seed 0 of each.)

# %%
g = np.random.default_rng(0)
hundred = g.choice(612, 100, replace=False)
on_first = table.test[hundred, 0, 0]  # the first 150 messages
on_others = table.test[hundred, 0, 1:].mean(axis=1)  # the other 1,350
best = int(on_first.argmax())
print(f"promised {on_first[best]:.3f}, on the others {on_others[best]:.3f}")
winner_guess.compare("about 0.71")

# %% [markdown]
# One story proves nothing. So 2,000 times: draw $N$ runs of the table, choose by one tenth of the test messages, look at the other nine tenths. Beside it the remedy: choose by the *validation* messages, and report one look at the same test tenth.

# %%
g = np.random.default_rng(0)
sizes = [1, 2, 5, 10, 20, 50, 100]
good_runs = table.test.reshape(-1, 10)  # (1836 runs, 10 tenths)
valid_runs = last_epoch.reshape(-1)
promised, kept, honest, others = np.zeros((4, len(sizes)))
ROUNDS = 2000
for i, size in enumerate(sizes):
    for _ in range(ROUNDS):
        runs, tenth = g.integers(0, len(good_runs), size), g.integers(0, 10)
        chosen_run = runs[good_runs[runs, tenth].argmax()]
        promised[i] += good_runs[chosen_run, tenth] / ROUNDS
        kept[i] += np.delete(good_runs[chosen_run], tenth).mean() / ROUNDS
        by_validation = runs[valid_runs[runs].argmax()]
        honest[i] += good_runs[by_validation, tenth] / ROUNDS
        others[i] += np.delete(good_runs[by_validation], tenth).mean() / ROUNDS
gap = promised - kept
print("N           ", *[f"{size:6}" for size in sizes])
for name, values in [("promised", promised), ("kept", kept), ("promised − kept", gap)]:
    print(f"{name:15}", *[f"{value:6.3f}" for value in values])
print("chosen by validation: one look  ", honest.round(3))
print("   and the other nine tenths    ", others.round(3))

# %% tags=["hide-input"]
fig = plot.curves(
    {"promised": promised, "kept": kept},
    title="What is the best of N worth?",
    x=sizes,
    xlabel="settings tried (N)",
    ylabel="accuracy of the winner",
)
fig.axes[0].set(xscale="log", xticks=sizes, xticklabels=sizes)
fig.axes[0].minorticks_off()
plot.show(
    fig,
    alt="With more settings tried both curves rise at first; what is promised goes on rising, what is kept flattens below it.",
)

# %%
assert np.abs(honest - others).max() < 0.006
assert abs(gap[0]) < 0.005 and (np.diff(gap) > -0.004).all()
expect_within("flattered by, best of 10", gap[3], 0.014, 0.004)
expect_within("flattered by, best of 100", gap[-1], 0.034, 0.006)
expect_within("kept, 100 tried instead of 10", kept[-1] - kept[3], 0.010, 0.004)

# %% [markdown]
# A hundred settings instead of ten: the promise rises by three points, what is kept by one. So trying more did find better settings; the promise went on growing after that. The curse is milder than the nine points of blank 5, where the models were equal and independent: these settings are neither. The remedy costs no test messages, only a validation set. Where *validation* chose, one look at the test messages says what the others say, whatever $N$ is (the last two rows). The winner is better, too: 0.712 where 1,500 messages chose, 0.701 where 150 did (the row *kept*; validation messages would be no better at it). If you have too little data for a separate validation set, the nested cross-validation of lesson [evaluate](evaluate.ipynb) does the same by folds.

# %% [markdown]
# ## 10 · Which hyperparameter matters?

# %% [markdown]
# The table is complete, so this can be computed exactly. Average over all other hyperparameters; how much of the variance of the 612 scores do these averages explain? (The ends of a scale count half, as a search draws them half as often.) This is a **functional ANOVA** (analysis of variance). What no hyperparameter explains alone is due to combinations, the *interactions*.

# %%
scores = mean_score.reshape(17, 4, 3, 3)
names = list(tune_search.GRID)


def explained(scores):
    """Share of the variance that each hyperparameter explains alone."""
    # a search draws an end of a scale half as often as a value in between
    shares = [np.r_[0.5, np.ones(n - 2), 0.5] / (n - 1) for n in scores.shape]
    weight = np.einsum("a,b,c,d->abcd", *shares)  # how often each setting is drawn
    mean = (weight * scores).sum()
    variance = (weight * (scores - mean) ** 2).sum()
    found = {}
    for axis, name in enumerate(names):
        others = tuple(k for k in range(4) if k != axis)
        average = (weight * scores).sum(axis=others) / shares[axis]
        found[name] = (shares[axis] * (average - mean) ** 2).sum() / variance
    return found


exact = explained(scores)
for name, share in exact.items():
    print(f"{name:24} {share:.3f}")
print(f"{'interactions':24} {1 - sum(exact.values()):.3f}")

# %% [markdown]
# Without a complete table, Optuna estimates the shares from the trials of a study, with a random forest as the surrogate: `optuna.importance.get_param_importances(study)`, called **fANOVA** (Hutter, Hoos and Leyton-Brown 2014). Is the estimate right? Two controls: the exact shares, and a fifth hyperparameter that was drawn in each trial and that *nothing used*: how much coffee there was. Stored are 20 studies of 24 random trials, and 20 of 100.

# %%
print(f"{'':14} {'24 trials':>18} {'100 trials':>19}   exact, without interactions")
main_effects = sum(exact.values())
for name in [*names, "coffee"]:
    line = f"{name:14}"
    for trials in ("24", "100"):
        mean, half = mean_and_interval(stored["importance"][trials][name])
        line += f"    {mean:.3f} ± {half:.3f} "
    share = exact[name] / main_effects if name in exact else 0
    print(f"{line}      {share:.3f}")
small_studies = stored["importance"]["24"]
coffee = np.array(small_studies["coffee"])
others = [small_studies[name] for name in ("weight_decay", "dropout", "width")]
beaten = (coffee > np.array(others)).sum(axis=0)  # of three, in each of 20 studies
num_beaten = (beaten > 0).sum()
print(f"24 trials: coffee beats at least one of the three in {num_beaten} of 20")
for trials, first, second in [
    ("24", "dropout", "learning_rate"),
    ("24", "coffee", "width"),
    ("100", "learning_rate", "dropout"),
    ("100", "coffee", "width"),
]:
    shares = stored["importance"][trials]
    ahead, half = mean_and_interval(np.subtract(shares[first], shares[second]))
    print(f"{trials:>3} trials: {first} minus {second}: {ahead:+.3f} ± {half:.3f}")

# %% tags=["hide-input"]
share_of = {}
for trials in ("24", "100"):
    for name in (*names, "coffee"):
        share_of[trials, name] = np.mean(stored["importance"][trials][name])
assert num_beaten > 15 and share_of["100", "dropout"] > 2 * exact["dropout"] / main_effects
assert share_of["100", "learning_rate"] > share_of["100", "dropout"] > 0.2
assert abs(share_of["100", "coffee"] - share_of["100", "width"]) < 0.01

# %% [markdown]
# And an importance belongs to its *space*. Keep only the learning rates between 0.001 and 0.01:

# %%
narrow = explained(scores[8:13])
for name in names:
    print(f"{name:14} wide space {exact[name]:.3f}, narrow space {narrow[name]:.3f}")
combined = [1 - sum(shares.values()) for shares in (exact, narrow)]
print("interactions   wide space {:.3f}, narrow space {:.3f}".format(*combined))
expect_within("learning rate, wide space", exact["learning_rate"], 0.58, 0.02)
expect_within("learning rate, narrow space", narrow["learning_rate"], 0.02, 0.03)

# %% [markdown]
# From 24 trials, the order cannot be trusted: the coffee beats at least one of three real hyperparameters in 18 of 20 studies, and neither dropout and learning rate nor coffee and width are told apart. From 100 trials the learning rate has the largest mean, as it should, but the dropout gets twice its exact share. And the coffee gets as much as the width, which does matter. So put a dummy hyperparameter into your study. What is not above it is not shown to matter. What is above it matters, but the size of its share may be wrong by a factor of two.
#
# In the narrow space the learning rate *alone* explains next to nothing. But 0.38 is now in combinations, and the rate may be in many of them. An importance is a statement about a space.

# %% [markdown]
# ## 11 · In PyTorch and in Keras

# %% [markdown]
# ### PyTorch: report, and stop when told
# With pruning, the objective reports after every epoch and asks whether to stop. Everything random starts from the trial's number, so that each trial can be repeated.

# %% tags=["free"]
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class SmallNetwork(nn.Module):
    """Two hidden layers with dropout: (b, 520) → logits (b, 3)."""

    def __init__(self, width, dropout):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(520, width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width, 3),
        )

    def forward(self, x):
        return self.layers(x)


def train_and_report(setting, seed, report, epochs=16):
    """Validation accuracy; `report(accuracy, epoch)` returns True to stop."""
    torch.manual_seed(seed)
    network = SmallNetwork(setting["width"], setting["dropout"])
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=setting["learning_rate"],
        weight_decay=setting["weight_decay"],
    )
    loader = DataLoader(TensorDataset(*small), batch_size=64, shuffle=True)
    x_valid, y_valid = data["validation"]
    for epoch in range(1, epochs + 1):
        network.train()
        for inputs, labels in loader:
            loss = nn.functional.cross_entropy(network(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            answers = network(x_valid).argmax(dim=1)
        accuracy = (answers == y_valid).float().mean().item()
        if report(accuracy, epoch):
            break
    return accuracy


# %% tags=["free"]
def pruned_objective(trial):
    def report(accuracy, epoch):
        trial.report(accuracy, epoch)
        return trial.should_prune()

    accuracy = train_and_report(tune_search.suggest(trial), trial.number, report)
    if trial.should_prune():
        raise optuna.TrialPruned()
    return accuracy


if is_installed("optuna"):
    pruned_study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2),
    )
    pruned_study.optimize(pruned_objective, n_trials=16)
    for state in ("COMPLETE", "PRUNED"):
        trials = [t for t in pruned_study.trials if t.state.name == state]
        epochs = [len(t.intermediate_values) for t in trials]
        print(f"{state:8} {len(trials):2} trials, epochs: {epochs}")
    print(f"best complete trial: {pruned_study.best_value:.3f}", end="; ")
    best_trial = pruned_study.best_trial
    again = train_and_report(best_trial.params, best_trial.number, lambda *_: False)
    print(f"run again from its number: {again:.3f}")
    assert abs(again - pruned_study.best_value) < 1e-9

# %% [markdown]
# Three mistakes that people make here: they score with dropout on (no `eval()`); they `return` the last score of a pruned trial as if it were complete, instead of raising `TrialPruned`; and they build the network outside the objective, so that each trial goes on training the last one's weights.
#
# ### Keras: a function that builds
# For KerasTuner you write a function that builds and compiles a model from `hp` (hyperparameters); `search` takes what `fit` takes, callbacks too. Two trials show the form.

# %% tags=["free"]
import tempfile
from pathlib import Path

import keras


def build(hp):
    width = hp.Int("width", 8, 128, sampling="log")
    dropout = hp.Float("dropout", 0.0, 0.8)
    layers = [keras.Input((520,))]
    for _ in range(2):
        layers.append(keras.layers.Dense(width, activation="relu"))
        layers.append(keras.layers.Dropout(dropout))
    network = keras.Sequential([*layers, keras.layers.Dense(3)])
    optimizer = keras.optimizers.AdamW(
        hp.Float("learning_rate", 1e-5, 1e-1, sampling="log"),
        weight_decay=hp.Float("weight_decay", 1e-2, 10, sampling="log"),
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(optimizer, loss, metrics=["accuracy"])
    return network


folder = Path(tempfile.mkdtemp())
x_small, y_small = (tensor.numpy() for tensor in small)
valid = arrays["validation"], sets["validation"].labels
fit_options = {"batch_size": 64, "validation_data": valid, "verbose": 0}
if is_installed("keras_tuner"):
    import keras_tuner

    tuner = keras_tuner.RandomSearch(
        build,
        "val_accuracy",
        max_trials=2,
        seed=1,
        directory=folder,
    )
    tuner.search(x_small, y_small, epochs=8, **fit_options)
    values = tuner.get_best_hyperparameters()[0].values
    print("the better of two:", {k: float(f"{v:.2g}") for k, v in values.items()})

# %% [markdown]
# `keras_tuner.BayesianOptimization(build, "val_accuracy", max_trials=24)` and `keras_tuner.Hyperband(build, "val_accuracy", max_epochs=16, factor=4)` take the place of `RandomSearch`. Without `build`, KerasTuner can search anything: write a subclass with your own `run_trial`, which is how the searches of section 6 were made. Parity: the Keras network with the PyTorch network's weights gives the same logits.

# %% tags=["free"]
torch_network = SmallNetwork(32, 0.4).eval()
keras_layers = [keras.Input((520,))]
for _ in range(2):
    keras_layers.append(keras.layers.Dense(32, activation="relu"))
    keras_layers.append(keras.layers.Dropout(0.4))
twin = keras.Sequential([*keras_layers, keras.layers.Dense(3)])
weights = []
for layer in torch_network.layers:
    if isinstance(layer, nn.Linear):
        weights += [layer.weight.detach().numpy().T, layer.bias.detach().numpy()]
twin.set_weights(weights)
ten = arrays["test"][:10]
logits = torch_network(torch.from_numpy(ten)).detach().numpy()
apart = np.abs(twin(ten).numpy() - logits).max()
print(f"largest difference of ten messages' logits: {apart:.1e}")
assert apart < 1e-4
of_torch = torch.optim.AdamW(torch_network.parameters()).defaults
of_keras = keras.optimizers.AdamW()
print("default weight decay:", of_torch["weight_decay"], of_keras.weight_decay)
print("default ε:", of_torch["eps"], of_keras.epsilon)

# %% [markdown]
# One trap: the two AdamW have different defaults, as the last line shows (PyTorch, then Keras). So a default is a default *of a framework*: report the values, not the word.

# %% [markdown]
# ## 12 · Killed, resumed, shared

# %% [markdown]
# ### Killed
# A search may take days. Keep it in a file or a database, not in memory. Optuna's journal gets a line for each thing that happens. Start a search in another process, wait for three finished trials, and kill it without warning.

# %% tags=["free"]
import subprocess

labels = {f"{split}_labels": sets[split].labels for split in SPLITS}
np.savez(folder / "mood.npz", **arrays, **labels)


def worker(trials, seed):
    """Another process that works on the study until so many trials are finished."""
    script = tune_search.__file__
    command = [sys.executable, script, str(folder), str(trials), str(seed)]
    return subprocess.Popen(command)


def finished():
    """Trials in the journal that are complete."""
    storage = tune_search.storage(folder)
    if not storage.get_all_studies():
        return []
    study = optuna.load_study(study_name="mood", storage=storage)
    return [t for t in study.trials if t.state.name == "COMPLETE"]


# %% tags=["free"]
if is_installed("optuna"):
    process = worker(trials=100, seed=0)
    while len(finished()) < 3 and process.poll() is None:
        time.sleep(0.1)
    process.kill()
    process.wait()
    survived = len(finished())
    print("killed; in the journal are", survived, "finished trials")

# %% [markdown]
# The trial that was cut off stays in the journal as "running". Optuna goes on without it: the budget counts complete trials.
#
# ### Resumed, by two
# Resume by loading the study and going on; better still, let **two** processes go on at once. They share nothing but the journal, and each sees what the other has found. With a database in its place, the same works across machines.

# %% tags=["free"]
if is_installed("optuna"):
    start = len(finished())
    pair = [worker(trials=start + 6, seed=seed) for seed in (1, 2)]
    codes = [process.wait() for process in pair]
    owners = [t.user_attrs["process"] for t in finished()]
    shares = [owners.count(p.pid) for p in (process, *pair)]
    print("finished by the killed one, and by the two:", shares)

# %%
if is_installed("optuna"):
    assert codes == [0, 0]
    assert start + 6 <= len(owners) <= start + 7  # the last two may end together
    assert all(p.pid in owners for p in pair)
    print("both worked, and they stopped at the budget of six more, or one above it")

# %% [markdown]
# ### Resumed exactly?
# The trials come back from the storage. The *sampler* does not: its random numbers live in the process that died. Here is a search of 12 trials in the table, stored in a database (SQLite, one file), stopped after 6, and resumed in the obvious way, with the same seed.

# %%
if is_installed("optuna"):

    def objective_in_table(trial):
        return mean_score[tune_search.row_of(tune_search.suggest(trial))]

    def rates_of(study):
        return [f"{t.params['learning_rate']:.5f}" for t in study.trials]

    def run(name, sampler, n_trials):
        """Go on with the study of this name, or begin it."""
        study = optuna.create_study(
            study_name=name,
            storage=f"sqlite:///{folder}/studies.db",
            sampler=sampler,
            direction="maximize",
            load_if_exists=True,
        )
        study.optimize(objective_in_table, n_trials=n_trials)
        return study

    whole = run("whole", optuna.samplers.RandomSampler(seed=3), 12)
    run("same seed", optuna.samplers.RandomSampler(seed=3), 6)
    same_seed = run("same seed", optuna.samplers.RandomSampler(seed=3), 6)
    sampler = optuna.samplers.RandomSampler(seed=3)
    run("same sampler", sampler, 6)
    same_sampler = run("same sampler", sampler, 6)
    print("never stopped           ", rates_of(whole)[4:9])
    print("resumed, the seed again ", rates_of(same_seed)[4:9])
    print("resumed, the sampler    ", rates_of(same_sampler)[4:9])
    repeated = len(set(rates_of(same_seed)))
    print(f"with the seed again: 12 trials, but only {repeated} different settings")
    assert repeated == 6 and rates_of(same_sampler) == rates_of(whole)

# %% [markdown]
# With the same seed the resumed search tries the same six settings again. (TPE would learn from the stored trials, but its random draws would start again too. That was not run.) So give a resumed search **another seed**; that is what the two processes above did. For a search that goes on *exactly* as if it had never stopped, the sampler itself must be saved: Optuna's manual pickles it beside the study. (Never unpickle a file that came from somebody else.)
#
# ### Eight at a time
# Eight processes ask for a setting at the same moment. Seven trials are still running, and the sampler does not know their scores, so it may propose the same place again and again. A **constant liar** tells it a lie about the running trials: that they scored badly. (Since version 5, Optuna's TPE does that by default.) Stored are 60 searches of 40 trials in the table.

# %%
parallel = {}
for name, lines in stored["parallel"].items():
    parallel[name] = np.array([line.split() for line in lines], int)  # (60, 40)
print(f"{'':20} same setting twice in a batch   best score")
for name, rows in parallel.items():
    batches = rows.reshape(len(rows), 5, 8)[:, 2:]  # the first two batches are random
    twice = [np.mean([8 - len(set(batch)) for batch in run]) for run in batches]
    seen = scores_seen(rows).max(axis=1)
    mean, half = mean_and_interval(seen)
    often, often_half = mean_and_interval(twice)
    print(f"{name:20} {often:11.2f} ± {often_half:.2f} of 8 {mean:14.4f} ± {half:.4f}")
    parallel[name] = np.mean(twice), mean, half
assert parallel["with a liar"][0] < 0.5 * parallel["eight at a time"][0]
best_scores = [mean for _, mean, _ in parallel.values()]
assert np.ptp(best_scores) < min(half for *_, half in parallel.values()) + 0.001

# %% [markdown]
# Without the liar, more than one of eight trials repeats a setting of its own batch; with it, less than half as many. The best score after 40 trials is the same in all three, within the intervals: in this table the liar saves repeated trainings, and nothing more is shown. (A setting repeated from another seed is not all waste; section 8 paid for it.)

# %% [markdown]
# ## 13 · Something real: film reviews

# %% [markdown]
# Sentences of film reviews, praise or blame (Pang and Lee 2005): 3,000 to learn from, 500 for validation, 5,000 for the test. The pipeline is that of lesson [text](text.ipynb): TF-IDF, then a classifier. This space has branches: logistic regression has a strength `C`, naive Bayes has a smoothing `alpha`, and each exists only if its classifier was chosen. That is a **conditional search space**. In Optuna it is an `if`:


# %%
def text_setting(trial):
    setting = {
        "words": trial.suggest_int("words", 1, 2),  # single words, or pairs too
        "min_df": trial.suggest_categorical("min_df", [1, 2, 4]),
        "sublinear": trial.suggest_categorical("sublinear", [False, True]),
    }
    kind = trial.suggest_categorical("kind", ["logistic regression", "naive Bayes"])
    if kind == "logistic regression":
        setting["C"] = trial.suggest_float("C", 0.01, 100, log=True)
    else:
        setting["alpha"] = trial.suggest_float("alpha", 0.001, 30, log=True)
    return setting


if is_installed("optuna"):
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(sampler=sampler)
    for _ in range(3):
        shown = text_setting(study.ask())
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in shown.items()})

# %% tags=["hide-input"]
canvas = draw.Canvas()
root = canvas.place(draw.box("TF-IDF", note="words, min_df, sublinear", width=200), x=250, y=0)
choice = canvas.place(draw.box("kind", color="orange", width=110), x=295, y=100)
a = canvas.place(draw.box("logistic regression", note="C, from 0.01 to 100", color="green", width=200), x=60, y=190)
b = canvas.place(draw.box("naive Bayes", note="alpha, from 0.001 to 30", color="green", width=200), x=440, y=190)
canvas.arrow(root, choice)
canvas.arrow(choice, a)
canvas.arrow(choice, b)
draw.show(
    canvas,
    alt="A conditional space: after the settings of TF-IDF comes the kind of classifier. C exists only below logistic regression, "
    "alpha only below naive Bayes.",
)

# %%
film_guess = widgets.guess(
    "Logistic regression with its default values against the best of 24 random trials:",
    ["tuning gains more than 3 points", "1 to 3 points", "less than 1 point"],
)

# %% [markdown]
# Stored is the whole table: 216 settings, on ten different draws of sentences. So the search can be repeated as often as we like: 200 times on each draw.

# %%
films = stored["text"]
film_validation = np.array([line.split() for line in films["validation"]], float) / 500
film_test = np.array([line.split() for line in films["test"]], float) / 5000
print("validation", film_validation.shape, "draws of sentences, settings")
g = np.random.default_rng(0)
tuned, promised_films = np.zeros(10), np.zeros(10)
for draw_number in range(10):
    for _ in range(200):
        rows = g.choice(216, 24, replace=False)
        winner = rows[film_validation[draw_number, rows].argmax()]
        tuned[draw_number] += film_test[draw_number, winner] / 200
        promised_films[draw_number] += film_validation[draw_number, winner] / 200
default_films = film_test[:, films["default"]]
best_by_validation = film_test[np.arange(10), film_validation.argmax(axis=1)]
two = [films["default"], films["settings"].index("1 1 False naive Bayes 1.0")]
bayes_default = film_test[:, two[1]]
better = np.array(two)[film_validation[:, two].argmax(axis=1)]
better_default = film_test[np.arange(10), better]
for name, values in {
    "one random setting": film_test.mean(axis=1),
    "default, logistic regression": default_films,
    "default, naive Bayes": bayes_default,
    "the better default, by validation": better_default,
    "winner of 24": tuned,
    "winner of all 216": best_by_validation,
    "best of 216 by the test (cheating)": film_test.max(axis=1),
    "what validation promised for the 24": promised_films,
}.items():
    mean, half = mean_and_interval(values)
    print(f"{name:36} {mean:.4f} ± {half:.4f}")
gain, half = mean_and_interval(tuned - default_films)
print(f"winner of 24 minus default, logistic regression: {gain:+.4f} ± {half:.4f}")
other, other_half = mean_and_interval(tuned - bayes_default)
print(f"winner of 24 minus default, naive Bayes: {other:+.4f} ± {other_half:.4f}")
curse, curse_half = mean_and_interval(promised_films - tuned)
film_guess.compare("1 to 3 points")
assert 0.01 < gain - half + 0.003 and gain + half < 0.02
assert other + other_half < 0 and curse - curse_half > 0.015
print(f"validation promised too much: {curse:+.4f} ± {curse_half:.4f}")

# %% [markdown]
# Tuning gained one point over logistic regression with its default values. And the winner is *worse* than naive Bayes with its own ($\alpha = 1$), which is one of the 216, so it is among 24 tries only one time in nine. The best of all 216, by the same validation sentences, comes close to it. So most of the loss is the small budget, and noise is the rest: 0.731 from 24 tries, 0.737 from 216, 0.745 if the test itself chose. (The ten draws share most of their sentences, so all these intervals are somewhat too narrow.) What validation promised for the winner of 24 was more than two points too high. So the baseline of a search is the default of *every* model that you could have taken. (Which default is the better one, we know from the test. Had validation chosen between the two, 0.733 would be left.)

# %% [markdown]
# ## 14 · At full size, and what to report

# %% [markdown]
# On a GPU, the same Optuna objective trains the trimodal model itself: replace the body by the `fit` of lesson [train_pytorch](train_pytorch.ipynb), keep the journal, and start one worker for each GPU. (That was not run here.) What a report of a search needs:
#
# - the space, with its scales, and who narrowed it after looking at results;
# - the method, the budget in trials *and* in epochs or seconds, and **how many settings were tried** in all, failed attempts included;
# - the baseline: the default setting, and random search at the same budget;
# - what chose (validation), what judged (test, one look), with an interval over seeds and over samples;
# - the winner from several new seeds, and the settings that are not worse than it.

# %% [markdown]
# ## 15 · What to remember

# %% [markdown]
# 1. The search space matters as much as the method: a log scale for what acts by factors (here worth about a point), and more room when the winners sit on its edge.
# 2. Random search is a baseline that costs one line. Beat it at equal budget, over many repeats, or do not claim to.
# 3. Stopping early buys many more settings, and may cost the slow starters. Ask when ranks become believable.
# 4. The score that chose the winner flatters it. Validation chooses, the test set gets one look, and new seeds say what the winner is worth.
# 5. Keep the search in a file, resume it with another seed, and report how many settings were tried.

# %% [markdown]
# ## 16 · Check yourself

# %% [markdown]
# <details><summary>1. A hundred equal models, each right with probability 0.72, take a test of 150 samples. How much does the best gain by luck?</summary>
#
# About nine points: section 9.
# </details>
# <details><summary>2. u = 0.25, between 0.0001 and 1 on a log scale. Which number?</summary>
#
# $0.0001 \cdot 10000^{0.25} = 0.001$.
# </details>
# <details><summary>3. Sixteen trials for four hyperparameters as a grid. How many values of each?</summary>
#
# Two: $2^4 = 16$. Random search tries 16 of each.
# </details>
# <details><summary>4. Two points have the same mean, equal to the best so far. One has twice the deviation. Expected improvement?</summary>
#
# At $\mu = b$, $z = 0$ and EI $= \sigma\,\varphi(0) = 0.4\,\sigma$: twice as much for the wider one.
# </details>
# <details><summary>5. 64 settings, a factor of 4, cuts after 1 and 4 epochs, 16 epochs at the end. How many epochs in all?</summary>
#
# $64 \cdot 1 + 16 \cdot 3 + 4 \cdot 12 = 160$, the price of ten full trainings.
# </details>
# <details><summary>6. With a learning-rate schedule that ends at epoch 16, is the score after 4 epochs that of a 4-epoch training?</summary>
#
# No. A 4-epoch training would have lowered its rate by then. In this lesson the rate is constant (`train` in `tune_search.py`), so it is the same. With a schedule, early ranks compare unfinished trainings.
# </details>
# <details><summary>7. You resume a search with the seed it started from. What may happen?</summary>
#
# It tries the same settings again. Take another seed, or save the sampler.
# </details>

# %% [markdown]
# ## 17 · Exercises and where next

# %% [markdown]
# [The exercises](exercises/tune.ipynb): which number may be reported, expected improvement for a loss, successive halving with ties and odd numbers, a trial in PyTorch that reports and stops, and **an open challenge**: two hundred noisy searches; choose one setting of each, judged by its true quality.
#
# **Where next:** [sentiment](sentiment.ipynb) puts text, voice and face together. **Back to:** [evaluate](evaluate.ipynb) for nested cross-validation, [neural_networks](neural_networks.ipynb) for what the hyperparameters do.
#
# ## Sources
# - J. Bergstra, Y. Bengio (2012), *Random search for hyper-parameter optimization*, JMLR 13: grid and random, and the projections of section 3. J. Bergstra, R. Bardenet, Y. Bengio, B. Kégl (2011), *Algorithms for hyper-parameter optimization*, NeurIPS: TPE.
# - D. R. Jones, M. Schonlau, W. J. Welch (1998), *Efficient global optimization of expensive black-box functions*, Journal of Global Optimization 13: expected improvement. J. Snoek, H. Larochelle, R. P. Adams (2012), *Practical Bayesian optimization of machine learning algorithms*, arXiv 1206.2944. C. E. Rasmussen, C. K. I. Williams (2006), *Gaussian Processes for Machine Learning*.
# - K. Jamieson, A. Talwalkar (2016), *Non-stochastic best arm identification and hyperparameter optimization*, arXiv 1502.07943: successive halving. L. Li and others (2018), *Hyperband*, JMLR 18, arXiv 1603.06560.
# - F. Hutter, H. Hoos, K. Leyton-Brown (2014), *An efficient approach for assessing hyperparameter importance*, ICML: fANOVA.
# - D. Ginsbourger, R. Le Riche, L. Carraro (2010), *Kriging is well-suited to parallelize optimization*: the constant liar.
# - T. Akiba and others (2019), *Optuna*, arXiv 1907.10902. T. O'Malley and others (2019), *KerasTuner*.
# - G. C. Cawley, N. L. C. Talbot (2010), *On over-fitting in model selection and subsequent selection bias in performance evaluation*, JMLR 11.
# - A. Klein, F. Hutter (2019), *Tabular benchmarks for joint architecture and hyperparameter optimization*, arXiv 1905.04970: tables of trainings.
# - Film reviews (figures only): B. Pang, L. Lee (2005), *Seeing stars*, ACL.
