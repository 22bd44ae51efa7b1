# %% [markdown]
# # Neural networks
# *You will build a neural network from nothing but NumPy, see every number of its training, and then write the same
# network in PyTorch and Keras.*
#
# {{budget}}
#
# **You will be able to**
# - fit a line and a classifier by gradient descent, with every step on paper;
# - explain what a hidden layer adds, and draw what it does;
# - compute gradients by backpropagation, and check them against measured slopes;
# - train, validate and regularize a network in NumPy, PyTorch and Keras;
# - break a training on purpose, and recognize the symptom when it happens to you.
#
# **Before this:** lesson [start_here](start_here.ipynb), and a year of Python. From school: a slope, e and the logarithm.
#
# **Time to read:** 90 minutes, then 57 for the [exercises](exercises/neural_networks.ipynb). Words in **bold** are
# the field's own; the [glossary](glossary.md) has the main ones in English and Chinese.

# %% [markdown]
# ## 1 · A network that learns in a second
# Take 400 points, each blue or orange. The two colors form half circles that hook into each other, the two moons.

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits, make_moons
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from torch import nn

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.evaluate import expect_within, mean_and_interval

np.set_printoptions(precision=3, suppress=True)


def scatter(ax, x, y, size=14):
    """Points x (n, 2) in the color of their class y (n,)."""
    for label, color, marker in ((0, plot.BLUE, "o"), (1, plot.ORANGE, "^")):
        rows = x[y == label]
        ax.scatter(rows[:, 0], rows[:, 1], s=size, color=color, marker=marker)
    ax.set(xlabel="first feature", ylabel="second feature")
    ax.grid(False)


def shade(ax, predict, x, margin=0.6):
    """The predicted probability of class 1 as a background, the boundary as a line."""
    low, high = x.min(axis=0) - margin, x.max(axis=0) + margin
    across, up = np.meshgrid(*np.linspace(low, high, 120).T)
    grid = np.column_stack([across.ravel(), up.ravel()])  # (14400, 2)
    p = np.asarray(predict(grid)).reshape(across.shape)
    ax.contourf(across, up, p, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.35)
    if p.min() < 0.5 < p.max():
        ax.contour(across, up, p, levels=[0.5], colors="black", linewidths=1.5)


def boundary(predict, x, y, title, alt):
    """One picture: points, predicted probability, decision boundary."""
    fig, ax = plt.subplots(figsize=(4.8, 3.2))
    shade(ax, predict, x)
    scatter(ax, x, y)
    ax.set_title(title)
    plot.show(fig, alt=alt)


# %%
moons, moon_labels = make_moons(400, noise=0.2, random_state=0)
new_moons, new_moon_labels = make_moons(1000, noise=0.2, random_state=1)  # for tests
print("points", moons.shape, " labels", moon_labels.shape)
print("the first three:", moons[:3].round(2).tolist(), moon_labels[:3])

# %% [markdown]
# The 1,000 points of `new_moons` are kept away from all training: on them, we measure the **accuracy**, the share of
# samples whose class is predicted correctly.
#
# Can a neural network learn the color of each point? Run the cell: it trains a small one, and shows for every place in
# the plane how sure the network is that a point there is orange.

# %%
torch.manual_seed(0)
network = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
inputs = torch.tensor(moons, dtype=torch.float32)
targets = torch.tensor(moon_labels)
for step in range(200):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(network(inputs), targets)
    loss.backward()
    optimizer.step()


def orange_probability(points):
    """(n, 2) → (n,): how sure the network is that each point is orange."""
    with torch.no_grad():
        scores = network(torch.tensor(points, dtype=torch.float32))
    return scores.softmax(dim=1)[:, 1].numpy()


predicted = orange_probability(new_moons) > 0.5  # (1000,)
accuracy = (predicted == new_moon_labels).mean()
expect_within("accuracy on 1,000 new points", accuracy, 0.96, 0.02)
boundary(
    orange_probability,
    moons,
    moon_labels,
    "Learned in 200 steps",
    "Two interleaved half circles of points; a bent line runs between them.",
)

# %% [markdown]
# Nobody told it that the shapes are moons. The black line, where the network is undecided, is its **decision boundary**:
# the places where two classes are equally probable. At the end of this lesson, you will have built each line of that cell
# yourself, `ReLU`, `cross_entropy`, `backward` and `Adam` included.
#
# ## 2 · The question
# Of the three layers of `network`, `nn.ReLU()` is the only one that does more than multiply by weights and add. Suppose you take it out, and
# train the rest with as much patience as you like. Write down what the boundary will look like. You will see
# the answer in section 6.

# %%
without = widgets.guess(
    "Without the ReLU, what will the decision boundary be?",
    [
        "the same curve",
        "a rounder curve",
        "a straight line",
        "several straight pieces",
    ],
)

# %% [markdown]
# ## 3 · A line, and how wrong it is
# We start with the smallest model that can learn. Four pupils wrote down how many hours they studied, and how
# many points they got:

# %%
hours = np.array([0.0, 1.0, 2.0, 3.0])  # (4,)
points = np.array([1.0, 3.0, 4.0, 6.0])  # (4,)

# %% [markdown]
# The model is a line: prediction = *w* · hours + *b*. The numbers *w* and *b* are its **parameters**: the numbers that
# training may change. *w* is called a weight, *b* a bias. Fitting such a line to numbers is **linear regression**.

# %% tags=["hide-input"]
canvas = draw.Canvas()
hours_box = canvas.place(draw.box("hours", color="gray"))
weight_box = canvas.place(draw.box("× w"), right_of=hours_box, gap=45)
bias_box = canvas.place(draw.box("+ b"), right_of=weight_box, gap=45)
prediction_box = canvas.place(draw.box("prediction"), right_of=bias_box, gap=45)
loss_drawn = draw.box("loss", color="orange")
loss_box = canvas.place(loss_drawn, right_of=prediction_box, gap=60)
true_box = canvas.place(draw.box("points", color="gray"), below=prediction_box, gap=35)
for start, end in (
    (hours_box, weight_box),
    (weight_box, bias_box),
    (bias_box, prediction_box),
    (prediction_box, loss_box),
    (true_box, loss_box),
):
    canvas.arrow(start, end)
draw.show(
    canvas,
    alt="Hours times w plus b is the prediction; the loss compares it with points.",
)

# %% [markdown]
# We begin with a bad line, *w* = 0 and *b* = 0, and write out how wrong it is. The **loss** is one number that says how
# wrong a model's predictions are; training makes it small. Here, we take the mean of the squared errors, which is called
# the mean squared error.

# %%
w, b = 0.0, 0.0
predictions = w * hours + b  # (4,)
errors = predictions - points  # (4,)
loss = (errors**2).mean()
print("predictions", predictions)
print("errors     ", errors)
print("squared    ", errors**2)
print("loss       ", loss)

# %% [markdown]
# As a formula, with *n* pupils, hours $x_i$ and points $y_i$:
#
# $$L(w, b) = \frac{1}{n} \sum_{i=1}^{n} (w x_i + b - y_i)^2$$
#
# Each pair (*w*, *b*) has a loss, so the loss is a landscape over the plane of all pairs: the **loss surface**, the loss
# as a function of the parameters. Move the two sliders and try to find the lowest place by hand. Left is your line
# with its errors, right is where you are on the surface.


# %% tags=["hide-input"]
def mean_squared_error(w, b):
    """Loss of the line on the four pupils."""
    return ((w * hours + b - points) ** 2).mean()


grid_w, grid_b = np.meshgrid(np.linspace(-1, 4, 80), np.linspace(-2, 4, 80))
surface = ((grid_w[..., None] * hours + grid_b[..., None] - points) ** 2).mean(axis=-1)


def draw_surface(ax):
    """The loss surface as contour lines; bright is low."""
    levels = np.geomspace(0.06, surface.max(), 14)
    colors = {"cmap": "Blues", "norm": "log", "alpha": 0.8}
    ax.contourf(grid_w, grid_b, surface, levels=levels, **colors)
    ax.set(xlabel="w", ylabel="b", title="loss surface (bright: low)")
    ax.grid(False)


def show_line(w=0.0, b=0.0):
    """The line with its errors, and its place on the surface."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.9))
    line = w * hours + b
    left.vlines(hours, line, points, color=plot.ORANGE)
    left.plot(hours, line, color=plot.BLUE)
    left.scatter(hours, points, color="black", zorder=3)
    left.set(xlabel="hours", ylabel="points", ylim=(-3, 10))
    left.set_title(f"loss {mean_squared_error(w, b):.2f}")
    draw_surface(right)
    right.scatter([w], [b], color=plot.ORANGE, s=60, zorder=3)
    plot.show(
        fig,
        alt=f"Line w = {w:g}, b = {b:g} with its errors, and its place on the surface.",
    )


widgets.slider(show_line, w=(-1.0, 4.0, 0.1), b=(-2.0, 4.0, 0.1))

# %% [markdown]
# ## 4 · Downhill, with every number
# You found the valley with your eyes. A computer feels its way: it asks in which direction the ground rises, and takes a
# step the other way. How fast the loss rises when one parameter grows a little is its derivative. The **gradient** is
# the list of the derivatives with respect to all parameters; it points uphill.
#
# In a formula, ∂L/∂w is the derivative of the loss L with respect to w. Call the error of
# pupil i $e_i = w x_i + b - y_i$. Then, for our loss:
#
# $$\frac{\partial L}{\partial w} = \frac{2}{n} \sum_i e_i \, x_i \qquad \frac{\partial L}{\partial b} = \frac{2}{n} \sum_i e_i$$
#
# **Your turn.** Write the two derivatives.
#
# <details><summary>Hint</summary>
#
# `errors = w * x + b - y` has shape (n,). The mean of `errors * x`, times 2, is the first derivative.
# </details>


# %%
def mse_gradient(w, b, x, y):
    """Derivatives of the mean squared error with respect to w and b: two numbers."""
    # BEGIN SOLUTION
    errors = w * x + b - y  # (n,)
    dw = 2 * (errors * x).mean()
    db = 2 * errors.mean()
    return dw, db
    # END SOLUTION


mse_gradient = check("neural_networks.blank.1", mse_gradient)

# %% [markdown]
# How do you know that a gradient is right? Change one parameter by a tiny amount in both directions, and see how the loss
# changes. This test is the **finite-difference gradient check**: compare a computed derivative with the slope measured
# over a tiny step.

# %%
tiny = 1e-5
change_w = mean_squared_error(w + tiny, b) - mean_squared_error(w - tiny, b)
change_b = mean_squared_error(w, b + tiny) - mean_squared_error(w, b - tiny)
measured_dw = change_w / (2 * tiny)
measured_db = change_b / (2 * tiny)
dw, db = mse_gradient(w, b, hours, points)
print(f"computed  dw {dw:8.4f}   db {db:8.4f}")
print(f"measured  dw {measured_dw:8.4f}   db {measured_db:8.4f}")

# %% [markdown]
# Both derivatives are negative: more *w* and more *b* would lower the loss. Now take steps. **Gradient descent** means to
# subtract the gradient from the parameters again and again, each time multiplied by a small factor. That factor is the
# **learning rate**: it decides how far one step goes.
#
# $$w \leftarrow w - \eta \, \frac{\partial L}{\partial w} \qquad b \leftarrow b - \eta \, \frac{\partial L}{\partial b}$$
#
# η (eta) is the learning rate.

# %%
learning_rate = 0.1
w, b = 0.0, 0.0
print("step      w      b    loss      dw      db")
for step in range(6):
    dw, db = mse_gradient(w, b, hours, points)
    loss = mean_squared_error(w, b)
    print(f"{step:4} {w:6.3f} {b:6.3f} {loss:7.3f} {dw:7.3f} {db:7.3f}")
    w = w - learning_rate * dw
    b = b - learning_rate * db

# %% [markdown]
# Check the second row with a pocket calculator: 0 − 0.1 · (−14.5) = 1.45. The first steps are long, because the ground is
# steep; then the steps shrink by themselves. The best line is known here, since this small problem has a formula. Does
# descent end there?

# %%
for step in range(200):
    dw, db = mse_gradient(w, b, hours, points)
    w = w - learning_rate * dw
    b = b - learning_rate * db
columns = np.column_stack([hours, np.ones(4)])  # (4, 2)
best = np.linalg.lstsq(columns, points, rcond=None)[0]
print(f"gradient descent  w {w:.3f}  b {b:.3f}")
print(f"exact formula     w {best[0]:.3f}  b {best[1]:.3f}")

# %% [markdown]
# Numbers that you set and training does not change are **hyperparameters**. The learning rate is the one that matters most.
# Try 0.01, 0.1, 0.2 and 0.25.


# %% tags=["hide-input"]
def descend(learning_rate, steps):
    """All places (steps + 1, 2) on the way down from w = b = 0, and their losses."""
    w, b, places = 0.0, 0.0, [(0.0, 0.0)]
    for _ in range(steps):
        dw, db = mse_gradient(w, b, hours, points)
        w, b = w - learning_rate * dw, b - learning_rate * db
        places.append((w, b))
    return np.array(places), np.array([mean_squared_error(*place) for place in places])


def show_descent(learning_rate=0.1):
    """The way down the surface, and the loss at each step."""
    places, losses = descend(learning_rate, 30)
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.9))
    draw_surface(left)
    left.plot(*places.T, color=plot.ORANGE, marker="o", markersize=3, linewidth=1)
    left.set(xlim=(-1, 4), ylim=(-2, 4))
    right.plot(losses, color=plot.BLUE)
    right.set(xlabel="step", title="loss", yscale="log", ylim=(0.03, 1e4))
    plot.show(fig, alt=f"The way down at learning rate {learning_rate:g}, and its losses.")


widgets.slider(show_descent, learning_rate=[0.01, 0.03, 0.1, 0.2, 0.23, 0.25])

# %% [markdown]
# At 0.25, each step jumps over the valley and lands higher than it started: the training **diverges**, its loss grows
# instead of falling. Where exactly is the limit? The surface bends most along one direction; call that
# curvature λ (lambda). For a quadratic loss such as this one, theory says that descent diverges for a
# learning rate above 2/λ. A claim like this can be wrong, so we try it just below
# and just above, with 30 steps and again with 300.

# %%
hessian = 2 * columns.T @ columns / len(hours)  # (2, 2): second derivatives of the loss
limit = 2 / np.linalg.eigvalsh(hessian).max()
print(f"2 / λ = {limit:.4f}")
for steps in (30, 300):
    below = descend(0.97 * limit, steps)[1][-1]
    above = descend(1.03 * limit, steps)[1][-1]
    print(f"{steps:3} steps: loss {below:8.3f} just below, {above:.3g} just above")
    assert below < 15.5 < above  # it began at 15.5

# %% [markdown]
# ## 5 · From numbers to classes
# Now the answer is a color, not a number. We let the line give a score, and turn the score into a probability. For two
# classes this is done by the **sigmoid**, σ(s) = 1 / (1 + e⁻ˢ), a curve from 0 to 1. A linear score with a sigmoid is
# **logistic regression**: a linear model that gives a probability.

# %%
scores = np.array([-4.0, -1.0, 0.0, 1.0, 4.0])
print("score        ", scores)
print("probability  ", 1 / (1 + np.exp(-scores)))

# %% [markdown]
# With more classes, each class gets a score of its own. These raw scores are called **logits**: scores before they are
# turned into probabilities. The **softmax** turns logits into probabilities: exponentials, divided by their sum.

# %%
logits = np.array([2.0, 1.0, 0.1])
exponentials = np.exp(logits)
probabilities = exponentials / exponentials.sum()
true_class = 0
print("logits        ", logits)
print("exponentials  ", exponentials, " sum", exponentials.sum().round(3))
print("probabilities ", probabilities)
print("−log p(true)  ", -np.log(probabilities[true_class]).round(3))

# %% tags=["hide-input"]
names = ["cat", "dog", "owl"]
draw.show(
    draw.row(
        draw.matrix(logits[None], title="logits", columns=names, form=".1f"),
        draw.matrix(
            exponentials[None],
            title="exponentials",
            columns=names,
            form=".2f",
        ),
        draw.matrix(
            probabilities[None],
            title="probabilities",
            columns=names,
            form=".2f",
            highlight=[(0, 0)],
            color="green",
        ),
        draw.box("−log 0.66 = 0.42", color="orange", note="the loss, if it is a cat"),
        arrows=True,
    ),
    alt="Logits become exponentials, then probabilities, then the loss −log p.",
)

# %% [markdown]
# The last line is the loss for this sample. Its mean over samples is the **cross-entropy**: the average negative log of
# the probability that the model gave to the right class. A probability of 1 costs nothing, 0.5 costs 0.69,
# 0.01 costs 4.6: being sure and wrong is expensive.
#
# $$p_k = \frac{e^{z_k}}{\sum_j e^{z_j}} \qquad L = -\frac{1}{n}\sum_{i=1}^n \log p_{i,\,y_i}$$
#
# Here $z$ are the logits, and $y_i$ is the right class of sample $i$.
#
# **Your turn.** Write the softmax for a whole table of logits, one row per sample. One trap: e¹⁰⁰⁰ is too large for a
# computer. Subtracting the largest logit of a row from all logits of that row changes no probability, and avoids it.
#
# <details><summary>Hint</summary>
#
# `logits.max(axis=1, keepdims=True)` has shape (n, 1), so it can be subtracted from (n, k). The sum needs the same axis.
# </details>


# %%
def softmax(logits):
    """Logits (n, k) → probabilities (n, k); each row sums to 1."""
    # BEGIN SOLUTION
    shifted = logits - logits.max(axis=1, keepdims=True)  # (n, k), at most 0
    exponentials = np.exp(shifted)
    return exponentials / exponentials.sum(axis=1, keepdims=True)
    # END SOLUTION


softmax = check("neural_networks.blank.2", softmax)


def cross_entropy(probabilities, targets):
    """Mean of −log p of the right class; targets are class numbers (n,)."""
    right = probabilities[np.arange(len(targets)), targets]  # (n,)
    return -np.log(np.maximum(right, 1e-12)).mean()  # no log of 0


# %% [markdown]
# The gradient of this loss with respect to the logits is short: probabilities minus the one-hot target (1 for the right class, 0
# elsewhere), that is, p for each wrong class and p − 1 for the right one. Three lines show it, for one sample of class y:
#
# $$L = -\log \frac{e^{z_y}}{\sum_j e^{z_j}} = -z_y + \log \sum_j e^{z_j}$$
#
# $$\frac{\partial}{\partial z_k} \log \sum_j e^{z_j} = \frac{e^{z_k}}{\sum_j e^{z_j}} = p_k$$
#
# $$\frac{\partial L}{\partial z_k} = p_k - 1 \;\text{ if } k = y, \qquad \frac{\partial L}{\partial z_k} = p_k \;\text{ otherwise}$$
#
# The first line is also why the losses of the frameworks take logits and not probabilities: from logits, the logarithm of the
# sum (*log-sum-exp*, with the largest logit subtracted) is exact even where a probability would round to 0. And with
# two classes, $p_1 = e^{z_1} / (e^{z_0} + e^{z_1}) = \sigma(z_1 - z_0)$: the softmax is the sigmoid of the difference.
#
# Finite differences, which know nothing of the formula, agree:

# %%
table = logits[None]  # (1, 3)
target = np.array([true_class])
formula = softmax(table) - np.eye(3)[target]
measured = np.zeros((1, 3))
for k in range(3):
    change = np.zeros((1, 3))
    change[0, k] = tiny
    up = cross_entropy(softmax(table + change), target)
    down = cross_entropy(softmax(table - change), target)
    measured[0, k] = (up - down) / (2 * tiny)
print("formula ", formula)
print("measured", measured)

# %% [markdown]
# Put together, this is a linear classifier: logits = x W + b, softmax, cross-entropy, gradient descent. On the moons:

# %%
weight = np.zeros((2, 2))  # features, classes
bias = np.zeros(2)
for step in range(500):
    p = softmax(moons @ weight + bias)  # (400, 2)
    dlogits = (p - np.eye(2)[moon_labels]) / len(moons)  # (400, 2)
    weight = weight - 0.5 * moons.T @ dlogits
    bias = bias - 0.5 * dlogits.sum(axis=0)
new_p = softmax(new_moons @ weight + bias)  # (1000, 2)
linear_accuracy = (new_p.argmax(axis=1) == new_moon_labels).mean()
expect_within("linear classifier, accuracy on new points", linear_accuracy, 0.87, 0.02)

# %% tags=["hide-input"]
boundary(
    lambda x: softmax(x @ weight + bias)[:, 1],
    moons,
    moon_labels,
    "Logistic regression",
    "A straight boundary cuts through both moons.",
)

# %% [markdown]
# A straight cut: it is wrong on about one point in eight.
#
# ## 6 · The hidden layer
# The way out is to compute several numbers from each point first, and to classify those. A **hidden layer** lies between
# input and output; no data set says what its values should be. A network of linear layers with a bend between them is a
# **multilayer perceptron** (MLP). The bend is called an **activation function**: a nonlinear function, applied to each
# number of a layer by itself.

# %% tags=["hide-input"]
draw.show(
    draw.neurons([2, 4, 2], names=["input", "hidden layer", "logits"]),
    alt="Two inputs, four hidden units, two logits; all joined to the next layer.",
)
draw.show(
    draw.network(
        ("points", ("n", 2)),
        ("× W₁ + b₁", ("n", 4)),
        ("ReLU", ("n", 4)),
        ("× W₂ + b₂", ("n", 2)),
        ("softmax", ("n", 2)),
    ),
    alt="Points n by 2; linear layer to n by 4; ReLU; linear layer to n by 2; softmax.",
)

# %% [markdown]
# Each circle of the first drawing is a **unit**: it multiplies its inputs with its weights and adds its bias. The second drawing
# shows the same network as it is computed, with the shape of the data on the arrows. Three common activation functions:

# %% tags=["hide-input"]
line = np.linspace(-3, 3, 121)
activations = {
    "ReLU: max(0, x)": np.maximum(line, 0),
    "sigmoid": 1 / (1 + np.exp(-line)),
    "tanh": np.tanh(line),
}
title = "Three activation functions"
fig = plot.curves(activations, x=line, xlabel="x", ylabel="", title=title)
fig.set_size_inches(5.6, 2.9)
plot.show(
    fig,
    alt="ReLU: 0, then x; sigmoid rises from 0 to 1, tanh from −1 to 1.",
)

# %% [markdown]
# First a network small enough for paper: two inputs, two hidden units, one sample.

# %%
x = np.array([[1.0, 2.0]])  # (1, 2)
w1 = np.array([[1.0, -1.0], [0.5, -0.5]])  # (2 inputs, 2 hidden)
b1 = np.array([0.0, 1.0])
w2 = np.array([[1.0, 0.0], [0.0, 2.0]])  # (2 hidden, 2 classes)
b2 = np.array([0.0, 0.5])
before = x @ w1 + b1  # (1, 2)
hidden = np.maximum(before, 0)  # (1, 2)
logits = hidden @ w2 + b2  # (1, 2)
print("before the ReLU", before)
print("hidden         ", hidden)
print("logits         ", logits)
print("probabilities  ", softmax(logits))

# %% [markdown]
# Second hidden unit: 1 · (−1) + 2 · (−0.5) + 1 = −1, and ReLU makes it 0.
#
# **Your turn.** Write the network, for any number of samples and units.
#
# <details><summary>Hint</summary>
#
# These are the three lines of the cell above that compute `before`, `hidden` and `logits`. Return the last two.
# </details>


# %%
def forward(x, w1, b1, w2, b2):
    """x (n, d) → hidden (n, h) and logits (n, k) of an MLP with ReLU."""
    # BEGIN SOLUTION
    before = x @ w1 + b1  # (n, h)
    hidden = np.maximum(before, 0)  # (n, h)
    logits = hidden @ w2 + b2  # (n, k)
    return hidden, logits
    # END SOLUTION


forward = check("neural_networks.blank.3", forward)

# %% [markdown]
# ### The answer to the question
# Take the ReLU out, and multiply the two layers out on paper: (x W₁ + b₁) W₂ + b₂ = x (W₁ W₂) + (b₁ W₂ + b₂). That
# is **one** linear layer. A cell checks it for random weights, and then trains the network of section 1 without its ReLU,
# with 200 steps and with 1,000.

# %%
rng = np.random.default_rng(0)
a1, c1 = rng.normal(size=(2, 32)), rng.normal(size=32)
a2, c2 = rng.normal(size=(32, 2)), rng.normal(size=2)
two_layers = (moons @ a1 + c1) @ a2 + c2
one_layer = moons @ (a1 @ a2) + (c1 @ a2 + c2)
expect_within("largest difference", abs(two_layers - one_layer).max(), 0, 1e-6)

# %%
torch.manual_seed(0)
network = nn.Sequential(nn.Linear(2, 32), nn.Linear(32, 2))  # no ReLU
optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
for step in range(1, 1001):
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(inputs), targets).backward()
    optimizer.step()
    if step in (200, 1000):
        predicted = orange_probability(new_moons) > 0.5  # (1000,)
        accuracy = (predicted == new_moon_labels).mean()
        name = f"no ReLU, accuracy on new points after {step:4} steps"
        expect_within(name, accuracy, 0.87, 0.02)

# %% tags=["hide-input"]
boundary(
    orange_probability,
    moons,
    moon_labels,
    "32 hidden units, no activation function",
    "A straight boundary, as in logistic regression.",
)
without.compare("a straight line")

# %% [markdown]
# ## 7 · Backpropagation
# To train an MLP we need the gradient of the loss for every weight. The derivative of one function inside another is the product of both derivatives: the chain
# rule. **Backpropagation** is the chain rule, applied from
# the loss back to the input, one layer after the other; each layer uses what the layer behind it has computed. First
# with single numbers: one input, one hidden unit, one output, squared error.

# %%
x0, y0 = 2.0, 1.0
u, v = 0.5, 3.0  # the two weights
s = u * x0  # forward
h = max(s, 0.0)
out = v * h
loss = (out - y0) ** 2
d_out = 2 * (out - y0)  # backward: how the loss changes with each value
d_v = d_out * h
d_h = d_out * v
d_s = d_h * (s > 0)
d_u = d_s * x0
print(f"forward   s {s}  h {h}  out {out}  loss {loss}")
print(f"backward  d_out {d_out}  d_v {d_v}  d_h {d_h}  d_s {d_s}  d_u {d_u}")

# %% tags=["hide-input"]
canvas = draw.Canvas()
chain = []
for text, note in (
    ("x", f"{x0:g}"),
    ("× u", f"s = {s:g}"),
    ("ReLU", f"h = {h:g}"),
    ("× v", f"out = {out:g}"),
    ("(out − y)²", f"loss = {loss:g}"),
):
    beside = {"right_of": chain[-1], "gap": 62} if chain else {}
    drawn = draw.box(text, note=note, color="blue" if chain else "gray")
    chain.append(canvas.place(drawn, **beside))
for start, end in zip(chain[:-1], chain[1:]):
    canvas.arrow((start.right[0] + 3, start.y + 14), (end.left[0] - 3, end.y + 14))
gradients = (f"{d_s * u:g}", f"{d_s:g}", f"{d_h:g}", f"{d_out:g}")
for start, end, gradient in zip(chain[:-1], chain[1:], gradients):
    low = start.y + start.height - 14
    canvas.arrow((end.left[0] - 3, low), (start.right[0] + 3, low), color="orange")
    middle = (start.right[0] + end.left[0]) / 2
    canvas.text(gradient, middle, low + 18, size=12, color="orange")
for place, name, gradient in ((chain[1], "u", d_u), (chain[3], "v", d_v)):
    canvas.text(
        f"d{name} = {gradient:g}",
        place.center[0],
        place.y + place.height + 34,
        color="orange",
    )
    canvas.arrow(
        (place.center[0], place.y + place.height + 3),
        (place.center[0], place.y + place.height + 24),
        color="orange",
    )
draw.show(
    canvas,
    alt="Values flow right, from x to the loss; derivatives flow back left.",
)

# %% [markdown]
# Read the drawing from right to left: each box receives the derivative of the loss with respect to its output, and passes back
# the derivative with respect to its input. The ReLU passes a derivative on where its input was above 0, and else 0.
#
# With matrices nothing changes but the shapes. A gradient always has the shape of what it belongs to, and that decides
# where a transpose goes. For n samples, with D = (probabilities − one-hot targets)/n, of shape (n, k):
#
# | gradient of | formula | shape |
# |---|---|---|
# | W₂ | hiddenᵀ D | (h, k) |
# | b₂ | sum of D over samples | (k,) |
# | hidden | D W₂ᵀ | (n, h) |
# | before the ReLU | the line above, where hidden > 0; else 0 | (n, h) |
# | W₁ | xᵀ times the line above | (d, h) |
# | b₁ | sum over samples of the line before that | (h,) |
#
# **Your turn.** Write the table as code.
#
# <details><summary>Hint 1</summary>
#
# Start with `dw2 = hidden.T @ dlogits` and `db2 = dlogits.sum(axis=0)`.
# </details>
# <details><summary>Hint 2</summary>
#
# `dbefore = (dlogits @ w2.T) * (hidden > 0)`; then W₁ and b₁ follow as W₂ and b₂ did, with `x` in the place of `hidden`.
# </details>


# %%
def backward(x, hidden, probabilities, targets, w2):
    """Gradients of the cross-entropy: dw1 (d, h), db1 (h,), dw2 (h, k), db2 (k,)."""
    one_hot = np.eye(probabilities.shape[1])[targets]  # (n, k)
    dlogits = (probabilities - one_hot) / len(x)  # (n, k)
    # BEGIN SOLUTION
    dw2 = hidden.T @ dlogits  # (h, k)
    db2 = dlogits.sum(axis=0)  # (k,)
    dhidden = dlogits @ w2.T  # (n, h)
    dbefore = dhidden * (hidden > 0)  # (n, h)
    dw1 = x.T @ dbefore  # (d, h)
    db1 = dbefore.sum(axis=0)  # (h,)
    return dw1, db1, dw2, db2
    # END SOLUTION


backward = check("neural_networks.blank.4", backward)

# %% [markdown]
# Three judges: finite differences for each single weight, PyTorch's automatic differentiation (autograd) and TensorFlow's.


# %%
def init(sizes, seed):
    """Random weights for sizes [d, h, k]: w1, b1, w2, b2 (why: section 13)."""
    d, h, k = sizes
    rng = np.random.default_rng(seed)
    w1 = rng.normal(0, np.sqrt(2 / d), (d, h))
    w2 = rng.normal(0, np.sqrt(2 / h), (h, k))
    return [w1, np.zeros(h), w2, np.zeros(k)]


def loss_of(parameters, x, targets):
    """Cross-entropy of the MLP."""
    _, logits = forward(x, *parameters)
    return cross_entropy(softmax(logits), targets)


parameters = init([2, 5, 2], seed=1)
few, few_labels = moons[:20], moon_labels[:20]
hidden, logits = forward(few, *parameters)
gradients = backward(few, hidden, softmax(logits), few_labels, parameters[2])
worst = 0.0
for parameter, gradient in zip(parameters, gradients):
    for place in np.ndindex(parameter.shape):
        kept = parameter[place]
        parameter[place] = kept + tiny
        up = loss_of(parameters, few, few_labels)
        parameter[place] = kept - tiny
        down = loss_of(parameters, few, few_labels)
        parameter[place] = kept
        worst = max(worst, abs((up - down) / (2 * tiny) - gradient[place]))
expect_within("largest difference from finite differences", worst, 0, 1e-6)

# %% tags=["hide-input"]
import tensorflow as tf

tensors = [torch.tensor(p, requires_grad=True) for p in parameters]
with torch.enable_grad():
    out = torch.relu(torch.tensor(few) @ tensors[0] + tensors[1])
    out = out @ tensors[2] + tensors[3]
    nn.functional.cross_entropy(out, torch.tensor(few_labels)).backward()
by_torch = max(abs(t.grad.numpy() - g).max() for t, g in zip(tensors, gradients))

variables = [tf.Variable(p) for p in parameters]
with tf.GradientTape() as tape:
    out = tf.nn.relu(few @ variables[0] + variables[1]) @ variables[2] + variables[3]
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(few_labels, out)
    loss = tf.reduce_mean(losses)
found = tape.gradient(loss, variables)
by_tensorflow = max(abs(d.numpy() - g).max() for d, g in zip(found, gradients))
expect_within("largest difference from PyTorch's autograd", by_torch, 0, 1e-9)
expect_within("largest difference from TensorFlow's tape", by_tensorflow, 0, 1e-9)

# %% [markdown]
# ## 8 · Mini-batches and optimizers
# Up to now, each step looked at all samples. With a million samples that is slow. A **mini-batch** is a few
# samples, drawn from the training set, from which one step computes its gradient. The samples are shuffled, cut into
# mini-batches, and used up one after the other. One pass over all training samples is an **epoch**. Descent along
# gradients of random mini-batches is called **stochastic gradient descent** (SGD).

# %% tags=["hide-input"]
order = np.random.default_rng(0).permutation(12)
batches = [draw.tokens(order[k : k + 4], title=f"step {1 + k // 4}", color="orange") for k in (0, 4, 8)]
draw.show(
    draw.column(
        draw.tokens(range(12), title="12 samples"),
        draw.tokens(order, title="shuffled anew in each epoch", color="green"),
        draw.row(*batches),
        arrows=True,
    ),
    alt="Twelve samples are shuffled and cut into three mini-batches of four.",
)

# %% [markdown]
# A gradient of 32 samples points only roughly downhill. Two ideas smooth the way:
#
# - **Momentum** keeps a running sum of past gradients, the velocity, and steps along it: $m \leftarrow \mu m + g$, then
#   $w \leftarrow w - \eta m$. Here $g$ is the gradient, and μ (mu) is the share of
#   the velocity that is kept; with 0.9, a gradient goes on acting for about ten steps.
# - **Adam** keeps running means of the gradient and of its square, and divides one by the root of the other, so
#   that each parameter gets a step length of its own (Kingma and Ba 2015).
#
# Whatever turns gradients into steps is called an **optimizer**: the rule by which parameters change. Here are three. On
# four pupils we need no mini-batches: each step below uses all of them, so `sgd_step` is gradient descent here.


# %%
def sgd_step(w, g, state, learning_rate):
    """Plain gradient step."""
    return w - learning_rate * g


def momentum_step(w, g, state, learning_rate, mu=0.9):
    """Step along the running sum of gradients; `state` keeps it."""
    state["m"] = mu * state.get("m", 0.0) + g
    return w - learning_rate * state["m"]


def adam_step(w, g, state, learning_rate, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Running means of g and g², corrected for their start at 0."""
    state["t"] = state.get("t", 0) + 1
    state["m"] = beta1 * state.get("m", 0.0) + (1 - beta1) * g
    state["v"] = beta2 * state.get("v", 0.0) + (1 - beta2) * g**2
    mean = state["m"] / (1 - beta1 ** state["t"])
    square = state["v"] / (1 - beta2 ** state["t"])
    return w - learning_rate * mean / (np.sqrt(square) + epsilon)


def travel(step_rule, learning_rate, steps):
    """Places (steps + 1, 2) on the surface of section 3, from w = b = 0."""
    place, state, places = np.zeros(2), {}, [np.zeros(2)]
    for _ in range(steps):
        gradient = np.array(mse_gradient(*place, hours, points))
        place = step_rule(place, gradient, state, learning_rate)
        places.append(place)
    return np.array(places)


print("after 3 steps")
for rule, rate in ((sgd_step, 0.02), (momentum_step, 0.02), (adam_step, 0.2)):
    print(f"{rule.__name__:14}", travel(rule, rate, 3)[-1])

# %% tags=["hide-input"]
import keras

fig, ax = plt.subplots(figsize=(4.8, 3.2))
draw_surface(ax)
ways = {
    "gradient descent": (sgd_step, 0.02, torch.optim.SGD, {}, keras.optimizers.SGD, {}),
    "momentum": (
        momentum_step,
        0.02,
        torch.optim.SGD,
        {"momentum": 0.9},
        keras.optimizers.SGD,
        {"momentum": 0.9},
    ),
    "Adam": (
        adam_step,
        0.2,
        torch.optim.Adam,
        {},
        keras.optimizers.Adam,
        {"epsilon": 1e-8},
    ),
}
differences = {}
for (name, way), color in zip(ways.items(), (plot.BLUE, plot.ORANGE, plot.GREEN)):
    rule, rate, torch_rule, torch_options, keras_rule, keras_options = way
    ours = travel(rule, rate, 20)
    ax.plot(*ours.T, color=color, marker="o", markersize=2.5, linewidth=1, label=name)
    place = torch.zeros(2, requires_grad=True)
    theirs = torch_rule([place], lr=rate, **torch_options)
    variable = keras.Variable(np.zeros(2, np.float32))
    keras_optimizer = keras_rule(learning_rate=rate, **keras_options)
    for _ in range(20):
        gradient = mse_gradient(*place.detach().numpy().astype(float), hours, points)
        place.grad = torch.tensor(gradient, dtype=torch.float32)
        theirs.step()
        gradient = mse_gradient(*np.asarray(variable).astype(float), hours, points)
        keras_optimizer.apply([tf.constant(gradient, tf.float32)], [variable])
    differences[name] = (
        abs(place.detach().numpy() - ours[-1]).max(),
        abs(np.asarray(variable) - ours[-1]).max(),
    )
ax.set_title("20 steps of three optimizers")
ax.legend(loc="lower left", frameon=True, facecolor="white", framealpha=1)
plot.show(
    fig,
    alt="Three ways over the loss surface: gradient descent creeps, momentum and Adam swing.",
)
for name, (to_torch, to_keras) in differences.items():
    expect_within(f"{name}: difference from PyTorch after 20 steps", to_torch, 0, 1e-4)
    expect_within(f"{name}: difference from Keras after 20 steps", to_keras, 0, 1e-4)

# %% [markdown]
# ## 9 · Your network
# All parts are there. `train` puts them together: shuffle, cut, forward, backward, step. Read it line by line; you
# know each of them. The two arguments at the end, weight decay and dropout, come in section 11.


# %%
def train(
    x,
    targets,
    hidden_units=32,
    epochs=50,
    batch_size=32,
    learning_rate=0.05,
    seed=0,
    validation=None,
    weight_decay=0.0,
    dropout_rate=0.0,
    start=None,
):
    """Train an MLP by SGD with momentum.

    x (n, d), targets (n,) → parameters, and a history with one row per epoch:
    training loss, validation loss, validation accuracy.
    """
    rng = np.random.default_rng(seed)
    num_classes = int(targets.max()) + 1
    parameters = start or init([x.shape[1], hidden_units, num_classes], seed)
    states = [{} for _ in parameters]
    history = []
    for epoch in range(epochs):
        order = rng.permutation(len(x))
        for first in range(0, len(x), batch_size):
            rows = order[first : first + batch_size]
            w1, b1, w2, b2 = parameters
            hidden, _ = forward(x[rows], *parameters)
            if dropout_rate > 0:  # you will write `dropout` in section 11
                keep = rng.random(hidden.shape) >= dropout_rate
                hidden = dropout(hidden, keep, dropout_rate)
            p = softmax(hidden @ w2 + b2)
            # a unit that was dropped passes no gradient; one that was kept is scaled
            scaled = w2 / (1 - dropout_rate)
            dw1, db1, dw2, db2 = backward(x[rows], hidden, p, targets[rows], scaled)
            dw1, dw2 = dw1 + weight_decay * w1, dw2 + weight_decay * w2
            gradients = [dw1, db1, dw2, db2]
            new = []
            for w, g, state in zip(parameters, gradients, states):
                new.append(momentum_step(w, g, state, learning_rate))
            parameters = new
        if validation is not None:
            valid_loss, valid_accuracy = evaluate(parameters, *validation)
            train_loss = loss_of(parameters, x, targets)
            history.append((train_loss, valid_loss, valid_accuracy))
    return parameters, np.array(history)


def evaluate(parameters, x, targets):
    """Loss and accuracy on some samples; nothing is dropped here."""
    _, logits = forward(x, *parameters)
    accuracy = (logits.argmax(axis=1) == targets).mean()
    return loss_of(parameters, x, targets), accuracy


# %% [markdown]
# Real data: 1,797 handwritten digits, 8 × 8 pixels each, which come with scikit-learn. Three parts, each with its own use:

# %% tags=["hide-input"]
draw.show(
    draw.row(
        draw.box("training set", note="gives the gradients", width=200),
        draw.box("validation set", note="for choices", color="green", width=200),
        draw.box("test set", note="once, at the end", color="orange", width=200),
        gap=4,
    ),
    alt="The data in three parts: training, validation and test set.",
)
# %%
digits, digit_labels = load_digits(return_X_y=True)
digits = digits / 16  # pixels from 0 to 1
rest, x_test, rest_labels, y_test = train_test_split(
    digits, digit_labels, test_size=360, random_state=0, stratify=digit_labels
)
x_train, x_valid, y_train, y_valid = train_test_split(
    rest, rest_labels, test_size=360, random_state=0, stratify=rest_labels
)
print("training", x_train.shape, " validation", x_valid.shape, " test", x_test.shape)

# %% tags=["target"]
digit_parameters, digit_history = train(
    x_train,
    y_train,
    hidden_units=64,
    epochs=25,
    validation=(x_valid, y_valid),
)
_, digit_accuracy = evaluate(digit_parameters, x_test, y_test)
expect_within("digits, accuracy on the test set", digit_accuracy, 0.97, 0.02)

# %% tags=["hide-input"]
fig = plot.curves(
    {"training": digit_history[:, 0], "validation": digit_history[:, 1]},
    title="The loss of your network on digits",
    log=True,
)
fig.set_size_inches(5.6, 2.9)
plot.show(fig, alt="Training and validation loss fall quickly at first, then more slowly.")

# %% [markdown]
# How well a model predicts samples that it was not trained on is called **generalization**. Only the validation and the test set can
# show it.
#
# Now yours. Draw a digit: each `#` is ink. Change the picture, and run the cell again.

# %%
drawing = """
..####..
.##..##.
.....##.
....##..
...##...
..##....
.##.....
.######.
"""
rows = drawing.split()
ink = np.array([[character == "#" for character in row] for row in rows])  # (8, 8)
mine = 0.9 * ink.reshape(1, 64)
mine_probabilities = softmax(forward(mine, *digit_parameters)[1])[0]
print("your network reads a", mine_probabilities.argmax())

# %% tags=["hide-input", "free"]
fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.6))
left.imshow(mine.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
left.set_axis_off()
right.bar(range(10), mine_probabilities, color=plot.BLUE)
right.set(xticks=range(10), xlabel="digit", ylabel="probability", ylim=(0, 1))
plot.show(
    fig,
    alt="The drawn digit, and the probability that the network gives to each class.",
)

# %% [markdown]
# The network was trained on scanned pen strokes, in shades of gray; your picture is black and white. If it fails, make
# yours more like its training data: thicker, slanted, higher.
#
# ## 10 · In PyTorch and in Keras
# You wrote `forward`, `backward` and `train`. In PyTorch, you write only the first: a class with its layers, and `forward`;
# autograd does the rest. A `DataLoader` shuffles and cuts mini-batches.

# %% tags=["free"]
from torch.utils.data import DataLoader, TensorDataset


class MLP(nn.Module):
    """Images (b, 64) → logits (b, 10)."""

    def __init__(self, num_features: int, hidden_units: int, num_classes: int):
        super().__init__()
        self.hidden = nn.Linear(num_features, hidden_units)
        self.output = nn.Linear(hidden_units, num_classes)

    def forward(self, x):
        features = torch.relu(self.hidden(x))  # (b, hidden_units)
        return self.output(features)  # (b, num_classes)


torch.manual_seed(0)
pixels = torch.tensor(x_train, dtype=torch.float32)
train_set = TensorDataset(pixels, torch.tensor(y_train))
loader = DataLoader(train_set, batch_size=32, shuffle=True)
model = MLP(64, 64, 10)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
for epoch in range(1, 16):
    model.train()
    for images, labels in loader:
        optimizer.zero_grad()  # gradients add up otherwise
        loss = nn.functional.cross_entropy(model(images), labels)  # takes logits
        loss.backward()
        optimizer.step()
    if epoch % 5 == 0:
        print(f"epoch {epoch:2}, loss of its last mini-batch {loss.item():.4f}")

# %%
model.eval()
with torch.no_grad():
    logits = model(torch.tensor(x_valid, dtype=torch.float32))  # (360, 10)
torch_accuracy = (logits.argmax(dim=1).numpy() == y_valid).mean()
expect_within("PyTorch, accuracy on the validation set", torch_accuracy, 0.96, 0.02)

# %% [markdown]
# `model.train()` and `model.eval()` switch layers that behave differently in training and in use, such as the dropout of
# section 11; this model has none, but the habit is worth having. The test set is not asked again: we compare on the validation set.
#
# In Keras, you describe the layers, say with `compile` which loss and optimizer to use, and `fit` runs the loop.

# %% tags=["free"]
keras.utils.set_random_seed(0)
keras_model = keras.Sequential(
    [
        keras.Input((64,)),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(10),
    ]
)
keras_model.compile(
    optimizer=keras.optimizers.SGD(0.05, momentum=0.9),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
fitted = keras_model.fit(x_train, y_train, batch_size=32, epochs=15, verbose=0)
for epoch in (5, 10, 15):
    print(f"epoch {epoch:2}, mean loss {fitted.history['loss'][epoch - 1]:.4f}")

# %%
keras_accuracy = keras_model.evaluate(x_valid, y_valid, verbose=0)[1]
expect_within("Keras, accuracy on the validation set", keras_accuracy, 0.96, 0.02)

# %% [markdown]
# Three programs, one network. With the same weights, they give the same logits:

# %%
w1, b1, w2, b2 = (p.numpy() for p in keras_model.weights)
with torch.no_grad():
    model.hidden.weight.copy_(torch.tensor(w1.T))  # PyTorch keeps a weight as (out, in)
    model.hidden.bias.copy_(torch.tensor(b1))
    model.output.weight.copy_(torch.tensor(w2.T))
    model.output.bias.copy_(torch.tensor(b2))
    from_torch = model(torch.tensor(x_valid, dtype=torch.float32)).numpy()
from_keras = keras_model.predict(x_valid, verbose=0)
from_numpy = forward(x_valid, w1, b1, w2, b2)[1]
for name, other in (("Keras", from_keras), ("PyTorch", from_torch)):
    difference = abs(from_numpy - other).max()
    expect_within(f"NumPy and {name}, largest difference", difference, 0, 1e-3)

# %% [markdown]
# ## 11 · Too simple, too complicated
# A model that cannot follow the pattern **underfits**: it is wrong on new samples and on its own training samples too.
# **Overfitting** is the opposite: the model learns accidents of the training samples, so that the training loss falls while the
# loss on new samples rises. We take only 40 points, more noise, and 1,000 new points to validate on. Move both sliders.


# %%
def noisy_moons(seed):
    """40 training points and 1,000 validation points."""
    train_part = make_moons(40, noise=0.35, random_state=seed)
    valid_part = make_moons(1000, noise=0.35, random_state=1000 + seed)
    return train_part, valid_part


(small_x, small_y), noisy_validation = noisy_moons(0)
trained = {}
for units in (1, 3, 100):
    for epochs in (10, 100, 600):
        trained[units, epochs] = train(
            small_x,
            small_y,
            hidden_units=units,
            epochs=epochs,
            batch_size=40,
            learning_rate=0.1,
            validation=noisy_validation,
        )


# %% tags=["hide-input"]
def show_fit(hidden_units=100, epochs=600):
    """The boundary of a trained network, and both losses."""
    parameters, history = trained[hidden_units, epochs]
    title = f"loss: training {history[-1, 0]:.2f}, validation {history[-1, 1]:.2f}"
    boundary(
        lambda x: softmax(forward(x, *parameters)[1])[:, 1],
        small_x,
        small_y,
        title,
        f"40 points; boundary of {hidden_units} hidden units after {epochs} epochs.",
    )


widgets.slider(show_fit, hidden_units=[1, 3, 100], epochs=[10, 100, 600])

# %% tags=["hide-input"]
history = trained[100, 600][1]
fig = plot.curves(
    {"training": history[:, 0], "validation": history[:, 1]},
    title="100 hidden units on 40 points: overfitting",
)
fig.set_size_inches(5.6, 2.9)
plot.show(
    fig,
    alt="The training loss keeps falling; the validation loss falls first, then rises.",
)

# %% [markdown]
# The lowest point of the validation curve is where you would have wished to stop. Doing so is called **early stopping**: keep the
# parameters of the epoch with the lowest validation loss. When is that? Five times, with new points and new weights, at a
# lower learning rate so that the curve is smooth:

# %% tags=["free"]
stops = []
print("seed  best epoch  validation loss        validation accuracy")
for seed in range(5):
    (x, y), validation = noisy_moons(seed)
    _, history = train(x, y, 100, 600, 40, 0.03, seed, validation)
    best_row = history[:, 1].argmin()
    best, end = history[best_row], history[-1]
    stops.append((best_row + 1, best, end))
    print(f"{seed:4} {best_row + 1:11}  {best[1]:.3f}, at the end {end[1]:.3f}", end="")
    print(f"   {best[2]:.3f}, at the end {end[2]:.3f}")

# %%
best_epochs = [epoch for epoch, _, _ in stops]
assert max(best_epochs) > 5 * min(best_epochs) and max(best_epochs) < 500
for _, best, end in stops:
    assert end[0] < best[0]  # the training loss fell further
    assert end[1] > 1.05 * best[1]  # the validation loss rose
accuracy_changes = [end[2] - best[2] for _, best, end in stops]
assert accuracy_changes[3] > 0 > min(accuracy_changes) > -0.06
print("after the best epoch, the training loss fell further, and validation rose")

# %% [markdown]
# The best epoch differs a lot from seed to seed, so it cannot be looked up: you have to watch the validation loss. And look at the
# accuracy beside it. On most seeds it falls too, by about four points at most; on seed 3 it rises, while the loss rises as well. There the
# network makes no more mistakes than before, but it has grown too sure of those that it makes.

# %% [markdown]
# Whatever holds a model back from overfitting is **regularization**. Besides stopping early, two kinds are used everywhere:
#
# - **Weight decay** shrinks every weight a little at each step, which favors small weights; in `train` it adds
#   `weight_decay * w` to the gradient.
# - **Dropout** sets random hidden units to 0 during training, and scales up the rest, so that the network cannot rely on any one unit
#   alone. When the model is used, nothing is dropped.

# %% tags=["hide-input"]
values = np.array([[2.0, 4.0, 1.0, 3.0]])
keep = np.array([[True, False, True, False]])
draw.show(
    draw.row(
        draw.matrix(values, title="hidden", form="g"),
        "×",
        draw.matrix(keep.astype(int), title="keep (random)", color="orange"),
        "÷ 0.5 =",
        draw.matrix([[4, 0, 2, 0]], title="after dropout", color="green"),
        gap=12,
    ),
    alt="Hidden values 2 4 1 3 times keep 1 0 1 0 divided by one half gives 4 0 2 0.",
)

# %% [markdown]
# **Your turn.** Write dropout with a given mask. `rate` is the share of units that are dropped. Dividing by the share that
# is kept leaves the mean as it was.
#
# <details><summary>Hint</summary>
#
# A unit is kept with probability 1 − `rate`. `True` counts as 1 in a product.
# </details>


# %%
def dropout(hidden, keep, rate):
    """hidden (n, h), keep (n, h) of True and False, rate in [0, 1) → (n, h)."""
    # BEGIN SOLUTION
    return hidden * keep / (1 - rate)
    # END SOLUTION


dropout = check("neural_networks.blank.5", dropout)

# %% [markdown]
# Does regularization help here? Five times, with new training points, new validation points and new random weights each
# time. We compare **paired**: for each of the five, the validation loss with regularization minus the loss without it.
# The ± is a 95 % interval by Student's t, which is wide for five numbers, as it should be (lesson
# [evaluate](evaluate.ipynb)). And since a result may hold only for one length of
# training, we train for 150 and for 600 epochs.

# %% tags=["free"]
methods = {
    "nothing": {},
    "weight decay 0.01": {"weight_decay": 0.01},
    "dropout 0.5": {"dropout_rate": 0.5},
}
regularized = {}
for epochs in (150, 600):
    for name, options in methods.items():
        losses = []
        for seed in range(5):
            (x, y), validation = noisy_moons(seed)
            parameters, _ = train(x, y, 100, epochs, 40, 0.1, seed, **options)
            losses.append(evaluate(parameters, *validation)[0])
        regularized[epochs, name] = np.array(losses)
        difference = regularized[epochs, name] - regularized[epochs, "nothing"]
        mean, half = mean_and_interval(difference)
        compared = f"   paired difference {mean:+.2f} ± {half:.2f}" if options else ""
        print(f"{epochs:3} epochs, {name:18} loss {np.mean(losses):.2f}{compared}")

# %%
for epochs in (150, 600):
    losses = regularized[epochs, "weight decay 0.01"]
    mean, half = mean_and_interval(losses - regularized[epochs, "nothing"])
    assert mean + half < 0, (epochs, mean, half)
print("weight decay lowers the validation loss at both lengths (95 %, 5 pairs)")

# %% [markdown]
# Does it always help? The same comparison with 1,000 training points instead of 40:

# %% tags=["free"]
for epochs in (20, 60):
    differences = []  # with weight decay minus without, as above
    for seed in range(5):
        many = make_moons(1000, noise=0.35, random_state=2000 + seed)
        _, validation = noisy_moons(seed)
        found = []
        for weight_decay in (0.0, 0.01):
            settings = {"seed": seed, "weight_decay": weight_decay}
            parameters, _ = train(*many, 100, epochs, 100, 0.1, **settings)
            found.append(evaluate(parameters, *validation)[0])
        differences.append(found[1] - found[0])
    mean, half = mean_and_interval(differences)
    assert mean - half > 0, (epochs, mean, half)
    print(f"{epochs:3} epochs, paired difference {mean:+.3f} ± {half:.3f}")

# %% [markdown]
# Plus: with 1,000 points, the same weight decay makes the loss worse, at both lengths. How much regularization is right
# depends on the data, so it is chosen with the validation set, like the learning rate.
#
# In PyTorch, dropout is a layer, `nn.Dropout(0.5)`, and weight decay an option of the optimizer,
# `torch.optim.SGD(…, weight_decay=0.01)`. In Keras they are `keras.layers.Dropout(0.5)` and the same option, and early stopping is
# a callback for `fit`: `keras.callbacks.EarlyStopping(patience=10, restore_best_weights=True)`, together with `validation_data`.
#
# ## 12 · At work
# A real table: 569 breast tumours, 30 measurements of each, benign or malignant (Wolberg and others 1995). And the digits again. A
# network is worth its trouble only if it beats simple models, so three of them compete: the **majority-class baseline**, which always says the most frequent
# class; logistic regression; and your MLP. Five random splits each, and two lengths of training.


# %%
def prepare(name, seed):
    """Train and test part; the scaling is learned on the training part alone."""
    load = {"digits": load_digits, "tumours": load_breast_cancer}[name]
    x, y = load(return_X_y=True)
    x, new_x, y, new_y = train_test_split(
        x,
        y,
        test_size=0.3,
        random_state=seed,
        stratify=y,
    )
    mean, std = x.mean(axis=0), x.std(axis=0) + 1e-3
    return (x - mean) / std, y, (new_x - mean) / std, new_y


work = {}
for name in ("digits", "tumours"):
    for seed in range(5):
        x, y, new_x, new_y = prepare(name, seed)
        for label, baseline in (
            ("majority class", DummyClassifier()),
            ("logistic regression", LogisticRegression(max_iter=300)),
        ):
            accuracy = baseline.fit(x, y).score(new_x, new_y)
            work.setdefault((name, label), []).append(accuracy)
        for epochs in (10, 40):
            parameters, _ = train(x, y, 32, epochs, 32, 0.02, seed)
            accuracy = evaluate(parameters, new_x, new_y)[1]
            work.setdefault((name, f"your MLP, {epochs} epochs"), []).append(accuracy)

# %% tags=["hide-input"]
labels, summary = [], []
for (name, label), accuracies in work.items():
    labels.append(f"{name}: {label}")
    summary.append(mean_and_interval(accuracies))
fig = plot.bar_with_ceiling(
    labels,
    [mean for mean, _ in summary],
    None,
    [half for _, half in summary],
    title="Mean of 5 splits, 95 % intervals; test samples: digits 540, tumours 171",
)
plot.show(
    fig,
    alt="Accuracies of the majority class, logistic regression and the MLP on both sets.",
)

# %% [markdown]
# Bars with whiskers hide what matters, since all models saw the same splits. So again paired: MLP minus logistic regression.

# %% tags=["free"]
for name in ("digits", "tumours"):
    for epochs in (10, 40):
        mlp = np.array(work[name, f"your MLP, {epochs} epochs"])
        simple = np.array(work[name, "logistic regression"])
        mean, half = mean_and_interval(mlp - simple)
        print(f"{name:8} {epochs:2} epochs: {mean:+.3f} ± {half:.3f}")

# %%
for name, target in (("digits", 0.97), ("tumours", 0.97)):
    value = np.mean(work[name, "your MLP, 40 epochs"])
    expect_within(f"{name}, your MLP", value, target, 0.02)
    linear = np.array(work[name, "logistic regression"])
    for epochs in (10, 40):
        mlp = np.array(work[name, f"your MLP, {epochs} epochs"])
        mean, half = mean_and_interval(mlp - linear)
        assert abs(mean) + half < 0.025, (name, epochs)  # neither is much better
    value = linear.mean()
    expect_within(f"{name}, logistic regression", value, 0.97, 0.02)

# %% [markdown]
# Read the intervals, not the means. An interval that contains 0 does not show that there is no difference: it says how
# large the difference could still be, here at most one or two hundredths in either direction. The hidden layer has not been shown to help on these tables,
# and it cannot help much. Two cautions. The five splits share samples, so the true intervals are somewhat wider than printed (Nadeau
# and Bengio 2003). And scikit-learn's logistic regression has weight decay (L2) by default, while our MLP has none. On new
# moons, the hidden layer raised the accuracy from 0.87 to 0.96. Whether a network is worth its trouble is a question only the data can
# answer: always run the simple model first.
#
# ## 13 · Take it apart
# ### Start badly
# Why random weights? Start once with all weights 0, and once with eight hidden units that are equal copies of one random
# unit. Look at the gradients, and at how far apart the hidden units are after training.

# %%
x, y = x_train[:200], y_train[:200]
w1, b1, w2, b2 = init([64, 8, 10], seed=0)
copied_in = np.repeat(w1[:, :1], 8, axis=1)  # (64, 8), equal columns
copied_out = np.repeat(w2[:1], 8, axis=0)  # (8, 10), equal rows
starts = {
    "all weights 0": [np.zeros((64, 8)), b1, np.zeros((8, 10)), b2],
    "equal copies": [copied_in, b1, copied_out, b2],
    "random": [w1, b1, w2, b2],
}
for name, start in starts.items():
    hidden, logits = forward(x, *start)
    gradients = backward(x, hidden, softmax(logits), y, start[2])
    sizes = [f"{abs(g).max():.3f}" for g in gradients]
    print(f"{name}: largest gradients of w1, b1, w2, b2: {', '.join(sizes)}")
    for epochs in (10, 40):
        learned, _ = train(x, y, 8, epochs, start=start)
        apart = np.ptp(learned[0], axis=1).max()  # between hidden units
        print(f"   {epochs} epochs: hidden units are {apart:.1f} apart")
        assert (apart > 0.5) == (name == "random")

# %% [markdown]
# With 0, nothing but the last bias gets a gradient: every hidden value is 0, and so is the way back. With copies,
# gradients flow, but each copy gets the same one: eight units do the work of one, forever. Random weights break this
# symmetry.
#
# How large should they be? Send random inputs through ten layers, and watch the size of the activations.


# %%
def activation_sizes(scale, width, depth=10):
    """Std of the activations after each layer; weights have std `scale(width)`."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(200, width))
    sizes = []
    for _ in range(depth):
        a = np.maximum(a @ rng.normal(0, scale(width), (width, width)), 0)
        sizes.append(a.std())
    return sizes


scales = {
    "0.02": lambda n: 0.02,
    "√(1/n)": lambda n: np.sqrt(1 / n),
    "√(2/n), He": lambda n: np.sqrt(2 / n),
    "0.3": lambda n: 0.3,
}
last = {}
for width in (100, 200):
    last[width] = {}
    for name, scale in scales.items():
        last[width][name] = activation_sizes(scale, width)[-1]
    print(width, "units:", {name: f"{size:.1e}" for name, size in last[width].items()})
    assert 0.2 < last[width]["√(2/n), He"] < 2 and last[width]["√(1/n)"] < 0.1

# %% tags=["hide-input"]
fig = plot.curves(
    {name: activation_sizes(scale, 100) for name, scale in scales.items()},
    title="Size of activations in ten layers of 100 units",
    xlabel="layer",
    ylabel="standard deviation",
    log=True,
)
fig.set_size_inches(5.6, 2.9)
plot.show(
    fig,
    alt="He initialization keeps the size; smaller weights let it vanish.",
)

# %% [markdown]
# A ReLU sets half of its inputs to 0. The factor 2 in √(2/n), where n is the number of inputs of a unit, makes up for that half (He and others 2015). It
# is the initialization that `init` uses. If the factor were wrong, the sizes would drift, at both widths.
#
# ### Step too far, or with too few samples
# The same network on digits, with one hyperparameter or the data changed each time. Every training takes the same number of steps,
# about 136 and then about 408: with fewer samples, that is more epochs. "Training" and "validation" are the loss and the accuracy on the samples
# that were trained on, and on the validation set.


# %% tags=["free"]
zeros = [np.zeros((64, 32)), np.zeros(32), np.zeros((32, 10)), np.zeros(10)]
changes = {
    "as it was": {},
    "learning rate 0.0005": {"learning_rate": 0.0005},
    "learning rate 5": {"learning_rate": 5},
    "1 hidden unit": {"hidden_units": 1},
    "30 training samples": {"samples": 30},
    "200 training samples": {"samples": 200},
    "all weights 0": {"start": zeros},
}


def train_changed(num_steps, samples=1077, **changed):
    """Training loss and accuracy, validation loss and accuracy after `num_steps`."""
    x, y = x_train[:samples], y_train[:samples]
    steps_per_epoch = int(np.ceil(samples / 32))
    epochs = int(np.ceil(num_steps / steps_per_epoch))
    settings = {"hidden_units": 32, "learning_rate": 0.05} | changed
    with np.errstate(all="ignore"):  # a diverged training overflows: that is the point
        parameters, _ = train(x, y, epochs=epochs, **settings)
        return *evaluate(parameters, x, y), *evaluate(parameters, x_valid, y_valid)


def show_loss(loss):
    """A loss in 6 characters."""
    if not np.isfinite(loss):
        return "   nan"
    return f"{loss:6.3f}" if loss < 100 else "  huge"


found = {}
for num_steps in (136, 408):
    print(f"{num_steps} steps             training           validation")
    for name, changed in changes.items():
        found[name, num_steps] = train_changed(num_steps, **changed)
        loss, accuracy, valid_loss, valid_accuracy = found[name, num_steps]
        print(f"{name:21} {show_loss(loss)} {accuracy:6.2f}", end="   ")
        print(f"{show_loss(valid_loss)} {valid_accuracy:6.2f}")

# %%
start_loss = np.log(10)  # of a network that gives each class probability 0.1
for num_steps in (136, 408):
    result = {name: found[name, num_steps] for name in changes}
    assert result["as it was"][3] > 0.9
    assert not result["learning rate 5"][0] < start_loss  # worse than that, or nan
    assert result["learning rate 0.0005"][0] > 1.5  # fell, but hardly
    assert result["1 hidden unit"][0] > 1.5
    assert result["30 training samples"][1] == 1.0  # all known by heart
    assert result["30 training samples"][3] < 0.8
    assert 0.9 < result["200 training samples"][3] < result["as it was"][3]
    assert abs(result["all weights 0"][0] - start_loss) < 0.01  # nothing moved
print("no accident of the length: the symptoms are there after 136 and 408 steps")

# %% [markdown]
# The loss of a network that knows nothing is −log 0.1 = 2.30 here. With 30 samples, all training samples are right, and the validation loss
# *rises* from 136 to 408 steps: overfitting. What you saw, and what to do:
#
# | symptom | seen above | likely cause | try |
# |---|---|---|---|
# | loss jumps, stays above its start, becomes huge or `nan` | learning rate 5 | learning rate too large | a tenth of it |
# | loss falls, but hardly | learning rate 0.0005 | learning rate too small | ten times as much |
# | training loss stays high | 1 hidden unit | too few units; too little training | more of either |
# | training loss low, validation loss high | 30 training samples | overfitting | more data, weight decay, dropout, stop earlier |
# | nothing moves at all | all weights 0 | zero or dead activations | check the initialization and the scale of inputs |
#
# ## 14 · At full size
# Nothing here needs a GPU. The same network on 28 × 28 pixels is the classic MNIST experiment: 784 inputs, `MLP(784, 512, 10)`, 60,000
# images. That has not been run for this lesson. On a GPU, the model, the images and the labels of section 10
# are sent there with `.to("cuda")`, and results come back with `.cpu()` before `.numpy()`; everything else stays. Lesson [train_pytorch](train_pytorch.ipynb) does this properly.
#
# ## What to remember
# 1. A **loss** says how wrong; its gradient says in which direction; the learning rate says how far.
# 2. Without an **activation function**, any stack of layers is one linear layer.
# 3. **Backpropagation** is the chain rule from the loss backwards; a gradient has the shape of its parameter.
# 4. The training loss says what was learned; only data that the model has not seen say what it is worth.
# 5. Compare with simple models, over several seeds, in pairs, and at two lengths of training.
#
# ## Check yourself
# <details><summary>The loss is 0.1 on the training set and 1.4 on the validation set. What is it, and what would you try first?</summary>
#
# Overfitting. More data if you can get it; else weight decay or dropout, or stop at the lowest validation loss.
# </details>
#
# <details><summary>A layer maps (32, 64) to (32, 10). What shapes do its weight, its bias and their gradients have?</summary>
#
# (64, 10) and (10,); gradients have the same shapes. The 32 samples are summed over. PyTorch stores the weight as (10, 64).
# </details>
#
# <details><summary>1,000 samples, mini-batches of 50, 20 epochs: how many steps does the optimizer take?</summary>
#
# 20 steps in each epoch, 400 in all.
# </details>
#
# <details><summary>A colleague applies a softmax, and then <code>nn.CrossEntropyLoss</code>. What goes wrong?</summary>
#
# That loss takes logits and includes a softmax, so it would be applied twice: training still runs, but
# it makes another loss small than the one that was meant.
# </details>
#
# ## Exercises
# [The exercises](exercises/neural_networks.ipynb): two in NumPy; then a network as an `nn.Module`, a training step, and a training that must be right on
# new points.
#
# ## Where next
# Back: [word_vectors](word_vectors.ipynb) trained a model with one hidden layer without saying so. On:
# [cnn](cnn.ipynb), where a layer knows that its input is a picture; [train_pytorch](train_pytorch.ipynb) and
# [train_keras](train_keras.ipynb), where training is done in earnest; [evaluate](evaluate.ipynb) on intervals and paired comparisons.
#
# ## Sources
# Rumelhart, Hinton and Williams, *Learning representations by back-propagating errors*, 1986. Glorot and Bengio,
# *Understanding the difficulty of training deep feedforward neural networks*, 2010. Srivastava and others, *Dropout*, 2014. Kingma and Ba, *Adam*, 2015
# (arXiv 1412.6980). He and others, *Delving deep into rectifiers*, 2015 (arXiv 1502.01852). Nadeau and Bengio, *Inference for the generalization error*, 2003. Loshchilov and Hutter, *Decoupled weight decay regularization*, 2019 (arXiv 1711.05101). Goodfellow, Bengio and Courville, *Deep
# Learning*, 2016, chapters 6 to 8. Data: Alpaydin and Kaynak, *Optical recognition of handwritten digits*, 1998; Wolberg, Mangasarian, Street and Street,
# *Breast cancer Wisconsin (diagnostic)*, 1995; both come with scikit-learn.
