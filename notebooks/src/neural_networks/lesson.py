# %% [markdown]
# # Neural networks
# *You will build a neural network from nothing but NumPy, see how it trains, and then write the same
# network in PyTorch and Keras.*
#
# {{budget}}
#
# **You will be able to**
# - fit a line and a classifier by gradient descent, and check a step on paper;
# - explain what a hidden layer adds, and draw what it does;
# - compute gradients by backpropagation, and check them against measured slopes;
# - train, validate and regularize a network in NumPy, PyTorch and Keras;
# - break a training on purpose, and recognize the symptom when it happens to you.
#
# **Before this:** lesson [start_here](start_here.ipynb), and a year of Python. From school: derivatives, e, the
# natural logarithm (here log, `np.log`), sums written with Σ; from start_here: the matrix product `@`.
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
# Can a neural network learn the color of each point? A **neural network** is a chain of simple computations, its
# **layers**; most of them contain numbers that training adjusts. `nn.Linear` is a **linear layer**: it computes weighted
# sums of its inputs and adds a bias. You need not understand the next cell yet. Run it: it trains a small network, and
# shows for every place in the plane how sure the network is that a point there is orange.

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
# the places where two classes are equally probable. By the end you will know what each line of that
# cell does, and will have written the gradients yourself.
#
# The ± 0.02 is only the tolerance of the course's own check, not a confidence interval. This holds
# wherever a line says "expected".
#
# ## 2 · The question
# Two of the three layers of `network` have weights; `nn.ReLU()` has none: it sets negative numbers to 0. Suppose you take
# it out, and train the rest as long as you like. Write down what the boundary will look like. You will see
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
# many marks they got:

# %%
hours = np.array([0.0, 1.0, 2.0, 3.0])  # (4,)
marks = np.array([1.0, 3.0, 4.0, 6.0])  # (4,)

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
true_box = canvas.place(draw.box("marks", color="gray"), below=prediction_box, gap=35)
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
    alt="Hours times w plus b is the prediction; the loss compares it with the marks.",
)

# %% [markdown]
# We begin with a bad line, *w* = 0 and *b* = 0, and write out how wrong it is. The **loss** is one number that says how
# wrong a model's predictions are; training makes it small. Here, we take the mean of the squared errors, which is called
# the mean squared error.

# %%
w, b = 0.0, 0.0
predictions = w * hours + b  # (4,)
errors = predictions - marks  # (4,)
loss = (errors**2).mean()
print("predictions", predictions)
print("errors     ", errors)
print("squared    ", errors**2)
print("loss       ", loss)

# %% [markdown]
# As a formula, with *n* pupils, hours $x_i$ and marks $y_i$:
#
# $$L(w, b) = \frac{1}{n} \sum_{i=1}^{n} (w x_i + b - y_i)^2$$
#
# Each pair (*w*, *b*) has a loss, so the loss is a landscape over the plane of all pairs: the **loss surface**, the loss
# as a function of the parameters. Move the two sliders and try to find the lowest place by hand. Left is your line
# with its errors, right is where you are on the surface.


# %% tags=["hide-input"]
def mean_squared_error(w, b):
    """Loss of the line on the four pupils."""
    return ((w * hours + b - marks) ** 2).mean()


grid_w, grid_b = np.meshgrid(np.linspace(-1, 4, 80), np.linspace(-2, 4, 80))
surface = ((grid_w[..., None] * hours + grid_b[..., None] - marks) ** 2).mean(axis=-1)


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
    left.vlines(hours, line, marks, color=plot.ORANGE)
    left.plot(hours, line, color=plot.BLUE)
    left.scatter(hours, marks, color="black", zorder=3)
    left.set(xlabel="hours", ylabel="marks", ylim=(-3, 10))
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
# step the other way. The **derivative** of the loss with respect to a parameter says how fast the loss rises
# when that parameter grows a little; negative means that it falls. The **gradient** is the list of the derivatives with
# respect to all parameters; it points uphill.
#
# In a formula, ∂L/∂w is the derivative of the loss L with respect to w. Call the error of
# pupil i $e_i = w x_i + b - y_i$. If w grows by a tiny t, the error $e_i$ grows by $x_i t$. A square $e^2$ rises 2e times as
# fast as e. Together, $e_i^2$ rises by $2 e_i x_i t$; the loss takes the mean over pupils. For b, write 1 in place of $x_i$:
#
# $$\frac{\partial L}{\partial w} = \frac{2}{n} \sum_i e_i \, x_i \qquad \frac{\partial L}{\partial b} = \frac{2}{n} \sum_i e_i$$
#
# At w = b = 0, the first one is 2 · (−1·0 − 3·1 − 4·2 − 6·3)/4 = −14.5.
#
# **Your turn.** Write the two derivatives.
#
# <details><summary>Hint</summary>
#
# First compute all errors at once, an array of shape (n,). A sum divided by n is a `.mean()`.
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
dw, db = mse_gradient(w, b, hours, marks)
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
    dw, db = mse_gradient(w, b, hours, marks)
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
    dw, db = mse_gradient(w, b, hours, marks)
    w = w - learning_rate * dw
    b = b - learning_rate * db
columns = np.column_stack([hours, np.ones(4)])  # (4, 2)
best = np.linalg.lstsq(columns, marks, rcond=None)[0]
print(f"gradient descent  w {w:.3f}  b {b:.3f}")
print(f"exact formula     w {best[0]:.3f}  b {best[1]:.3f}")

# %% [markdown]
# Numbers that you set and training does not change are **hyperparameters**. The learning rate is often the one that matters
# most (Goodfellow and others 2016, chapter 11).
# Try 0.01, 0.1, 0.2 and 0.25.


# %% tags=["hide-input"]
def descend(learning_rate, steps):
    """All places (steps + 1, 2) on the way down from w = b = 0, and their losses."""
    w, b, places = 0.0, 0.0, [(0.0, 0.0)]
    for _ in range(steps):
        dw, db = mse_gradient(w, b, hours, marks)
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
# instead of falling. Where exactly is the limit? The matrix of second derivatives is
# called the **Hessian**; `eigvalsh` returns how strongly the surface bends along its two main directions. λ (lambda) is the
# larger one. For a quadratic loss such as this one, theory says that descent diverges, from almost every start, for a
# learning rate above 2/λ. A claim like this can be wrong, so we try it just below and just above, with 30 steps and
# again with 300.

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
# 0.01 costs 4.6: being sure and wrong is expensive. log is the natural logarithm, `np.log`.
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
# elsewhere), that is, p for each wrong class and p − 1 for the right one. Three lines show it, for one sample of class y (the derivative of
# eᶻ is eᶻ, that of log u is 1/u; for one inside the other, multiply):
#
# $$L = -\log \frac{e^{z_y}}{\sum_j e^{z_j}} = -z_y + \log \sum_j e^{z_j}$$
#
# $$\frac{\partial}{\partial z_k} \log \sum_j e^{z_j} = \frac{e^{z_k}}{\sum_j e^{z_j}} = p_k$$
#
# $$\frac{\partial L}{\partial z_k} = p_k - 1 \;\text{ if } k = y, \qquad \frac{\partial L}{\partial z_k} = p_k \;\text{ otherwise}$$
#
# The first line is also why the losses of the frameworks take logits and not probabilities: from logits, the logarithm of the
# sum (*log-sum-exp*, with the largest logit subtracted) stays accurate even where a probability would round to 0. (Our
# `cross_entropy` has to cut off there: it never exceeds −log 10⁻¹² = 27.6.) And with
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
# Put together, this is a linear classifier: logits = x W + b, softmax, cross-entropy, gradient descent. W has one column
# of weights for each class: logit k is the sum of features times column k, plus bₖ. As for the line, a weight's gradient
# is error times input: for each feature and class the mean over samples of feature × (p − target).
# `moons.T @ dlogits` computes all of these at once. On the moons:

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
    "The decision boundary of the linear classifier on the moons.",
)

# %% [markdown]
# It is wrong on about one point in eight.
#
# ## 6 · The hidden layer
# The way out is to compute several numbers from each point first, and to classify those. A **hidden layer** lies between
# input and output; no data set says what its values should be. A network of linear layers with an activation function between
# them is a **multilayer perceptron** (MLP). An **activation function** is a nonlinear function, applied to each number of
# a layer by itself.

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
# The circles on the left are the two inputs. Every other circle is a **unit**: it multiplies its inputs by its weights,
# sums, and adds its bias; the hidden units then apply the activation function. The second drawing shows the same network as it is computed, with the shape of the data on the arrows. Three common activation functions:

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
w2 = np.array([[1.0, 0.5], [-1.0, 2.0]])  # (2 hidden, 2 classes)
b2 = np.array([0.0, 0.5])
before = x @ w1 + b1  # (1, 2)
hidden = np.maximum(before, 0)  # (1, 2)
logits = hidden @ w2 + b2  # (1, 2)
print("before the ReLU", before)
print("hidden         ", hidden)
print("logits         ", logits)
print("probabilities  ", softmax(logits))

# %% [markdown]
# Second hidden unit: 1 · (−1) + 2 · (−0.5) + 1 = −1, and ReLU makes it 0. We write h for the number of hidden units.
#
# **Your turn.** Write the network as a function. It must work for any number of samples and units, so nothing in it may
# mention a size.
#
# <details><summary>Hint</summary>
#
# The biases have shapes (h,) and (k,); NumPy adds them to each row. Only the hidden layer has a ReLU.
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
# is **one** linear layer, and where two logits of one linear layer are equal, there is a straight line. A cell checks the
# equation for random weights, and then trains the network of section 1 without its ReLU, with 200 steps and with 1,000.

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
# ### What the hidden layer does
# The smallest problem that no straight line can solve has four points: class 1 is where exactly one of two inputs is 1. It
# is called XOR, exclusive or. Two hidden units are enough, and their weights can be found by hand.

# %%
corners = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])  # (4, 2)
xor_labels = np.array([0, 1, 1, 0])
xor_w1 = np.array([[1.0, 1.0], [1.0, 1.0]])  # both units add the two inputs
xor_b1 = np.array([0.0, -1.0])  # but the second begins only where the sum is above 1
xor_w2 = np.array([[0.0, 2.0], [0.0, -4.0]])  # logit of class 1: 2·h₁ − 4·h₂ − 1
xor_b2 = np.array([0.0, -1.0])
hidden, logits = forward(corners, xor_w1, xor_b1, xor_w2, xor_b2)
print("inputs   h1 h2   logits   class")
for corner, h, z in zip(corners, hidden, logits):
    print(corner, "", h, "", z, "  ", z.argmax())
assert (logits.argmax(axis=1) == xor_labels).all()

# %% tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.3))
left.plot([-0.4, 0.4], [0.4, -0.4], color=plot.GREEN, linestyle="--")
left.plot([-0.3, 1.3], [1.3, -0.3], color=plot.PINK, linestyle="--")
ground = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
for name, at, color in (("h₁ begins", 0.2, plot.GREEN), ("h₂ begins", 0.5, plot.PINK)):
    up = -at if name == "h₁ begins" else 1 - at
    left.text(at, up, name, color=color, fontsize=9, ha="center", bbox=ground)
for shift in (0.5, 1.5):  # class 1 lies between these two lines
    ends = np.array([-0.4, 1.4])
    left.plot(ends, shift - ends, color="black", linewidth=1.5)
scatter(left, corners, xor_labels, size=70)
left.set(xlim=(-0.45, 1.45), ylim=(-0.45, 1.45), title="the inputs")
left.set(xlabel="first input", ylabel="second input")
across = np.array([0.2, 2.4])
right.plot(across, (2 * across - 1) / 4, color="black", linewidth=1.5)
scatter(right, hidden, xor_labels, size=70)
right.annotate("(0, 1) and (1, 0)", (1, 0), (1.0, -0.25), fontsize=10, ha="center")
right.annotate("(0, 0)", (0, 0), (0.0, -0.25), fontsize=10, ha="center")
right.annotate("(1, 1)", (2, 1), (2.0, 1.12), fontsize=10, ha="center")
right.set(xlabel="h₁", ylabel="h₂", title="the hidden layer")
right.set(xlim=(-0.4, 2.6), ylim=(-0.45, 1.45))
plot.show(
    fig,
    alt="Left, four corners: two parallel lines enclose the two triangles. Right, "
    "the same points by h1 and h2: the triangles fall together; one line is enough.",
)

# %% [markdown]
# Left are the four inputs. Each hidden unit is 0 on one side of its dashed line and grows on the other side. Right are the
# same four points, placed by their two hidden values: the layer has moved them, so that **one** straight line (black) is
# enough. Seen from the inputs, that line is two lines, one for each fold. This is what a hidden layer adds: it computes new
# features, and the last layer is a linear classifier of those.
#
# ## 7 · Backpropagation
# To train an MLP we need the gradient of the loss for every weight. The derivative of one function inside another is the product of both derivatives: the chain
# rule. **Backpropagation** is the chain rule, applied from
# the loss back to the input, one layer after the other; each layer uses the derivative that the next layer (closer to the
# loss) passes back. First with single numbers: one input, one hidden unit, one output, squared error.

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
# The 6 (12 · 0.5) is the derivative with respect to x; nothing needs it here. Check du: with u = 0.501 the loss is 4.024, so
# the slope is about 24.
#
# With matrices one thing is new: a hidden value influences every logit, and a weight every sample. The derivatives along
# all these ways are **added**. Take the network on paper of section 6, and two samples, of classes 1 and 0:

# %%
x = np.array([[1.0, 2.0], [-1.0, 1.0]])  # (2, 2)
hidden, logits = forward(x, w1, b1, w2, b2)
d = (softmax(logits) - np.eye(2)[[1, 0]]) / len(x)  # (2, 2): gradient of the logits
print("hidden", hidden.tolist())
print("D     ", d.round(3).tolist())
by_logit_0, by_logit_1 = d[0, 0] * w2[0, 0], d[0, 1] * w2[0, 1]
print(f"first hidden value of sample 0: {by_logit_0:.3f} through logit 0, ", end="")
print(f"{by_logit_1:.3f} through logit 1; together {by_logit_0 + by_logit_1:.3f}")
by_sample_0 = hidden[0, 0] * d[0, 0]
by_sample_1 = hidden[1, 0] * d[1, 0] + 0.0  # + 0.0: no minus sign at 0
print(f"first weight of W2: {by_sample_0:.3f} by sample 0, ", end="")
print(f"{by_sample_1:.3f} by sample 1; together {by_sample_0 + by_sample_1:.3f}")

# %% tags=["hide-input"]
back = d @ w2.T  # (2, 2)
passed = np.where(hidden > 0, back, 0)
draw.show(
    draw.column(
        draw.row(
            draw.matrix(d, title="D", form=".2f", color="orange"),
            "@",
            draw.matrix(w2.T, title="W₂ᵀ", form="g"),
            "=",
            draw.matrix(back, title="gradient of hidden", form=".2f", color="orange"),
            "→",
            draw.matrix(passed, title="before the ReLU", form=".2f", color="orange"),
            gap=12,
        ),
        draw.row(
            draw.matrix(hidden.T, title="hiddenᵀ", form="g"),
            "@",
            draw.matrix(d, title="D", form=".2f", color="orange"),
            "=",
            draw.matrix(
                hidden.T @ d,
                title="gradient of W₂",
                form=".2f",
                color="orange",
            ),
            gap=12,
        ),
    ),
    alt="D times W2 transposed is the gradient of hidden; it passes where hidden was "
    "above 0. Hidden transposed times D is the gradient of W2.",
)

# %% [markdown]
# The sums inside the matrix products do the adding: rows of D times columns of W₂ᵀ add over logits, hiddenᵀ D adds over
# samples. Where a hidden value was 0, nothing passes. A gradient always has the shape of what it belongs to, and that
# decides where a transpose goes. For n samples, with D = (probabilities − one-hot targets)/n, of shape (n, k):
#
# | gradient of | formula | shape |
# |---|---|---|
# | W₂ | hiddenᵀ D | (h, k) |
# | b₂ | sum of D over samples | (k,) |
# | hidden | D W₂ᵀ | (n, h) |
# | before the ReLU, called E | E = D W₂ᵀ where hidden > 0, else 0 | (n, h) |
# | W₁ | xᵀ E | (d, h) |
# | b₁ | sum of E over samples | (h,) |
#
# **Your turn.** Write the table as code.
#
# <details><summary>Hint 1</summary>
#
# The D of the table is `dlogits`, which is already there. A sum over samples is a sum over axis 0.
# </details>
# <details><summary>Hint 2</summary>
#
# `hidden > 0` is an array of True and False; as a factor it counts as 1 and 0. W₁ and b₁ follow from E as W₂ and b₂ do
# from D, with `x` in the place of `hidden`.
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
# Three checks: finite differences for each single weight, PyTorch's automatic differentiation (autograd) and TensorFlow's.
# A check should also reject what is wrong, so the first also gets a `backward` without the ReLU's mask. We report the
# **relative error**: the difference, divided by the size of the gradients.
#
# The losses are computed from logits from here on, with the log-sum-exp of section 5.


# %%
def init(sizes, seed):
    """Random weights for sizes [d, h, k]: w1, b1, w2, b2 (why: section 13)."""
    d, h, k = sizes
    rng = np.random.default_rng(seed)
    w1 = rng.normal(0, np.sqrt(2 / d), (d, h))
    w2 = rng.normal(0, np.sqrt(2 / h), (h, k))
    return [w1, np.zeros(h), w2, np.zeros(k)]


def loss_from_logits(logits, targets):
    """Cross-entropy: the log of the sum of exponentials, minus the right logit."""
    shifted = logits - logits.max(axis=1, keepdims=True)  # (n, k), at most 0
    right = shifted[np.arange(len(targets)), targets]  # (n,)
    return (np.log(np.exp(shifted).sum(axis=1)) - right).mean()


def loss_of(parameters, x, targets):
    """Cross-entropy of the MLP."""
    _, logits = forward(x, *parameters)
    return loss_from_logits(logits, targets)


def measured_gradients(parameters, x, targets):
    """Finite differences, one weight at a time."""
    found = [np.zeros_like(p) for p in parameters]
    for parameter, slopes in zip(parameters, found):
        for place in np.ndindex(parameter.shape):
            kept = parameter[place]
            parameter[place] = kept + tiny
            up = loss_of(parameters, x, targets)
            parameter[place] = kept - tiny
            down = loss_of(parameters, x, targets)
            parameter[place] = kept
            slopes[place] = (up - down) / (2 * tiny)
    return found


def relative_error(found, expected):
    """Largest difference of two lists of gradients, divided by the largest value."""
    difference = max(abs(a - b).max() for a, b in zip(found, expected))
    return difference / max(abs(b).max() for b in expected)


parameters = init([2, 5, 2], seed=1)
few, few_labels = moons[:20], moon_labels[:20]
hidden, logits = forward(few, *parameters)
p = softmax(logits)
gradients = backward(few, hidden, p, few_labels, parameters[2])
measured = measured_gradients(parameters, few, few_labels)
error = relative_error(gradients, measured)
expect_within("finite differences, relative error", error, 0, 1e-6)
no_mask = backward(few, np.abs(hidden) + 1e-9, p, few_labels, parameters[2])
error = relative_error(no_mask[:2], measured[:2])
print(f"without the mask, the relative error is {error:.2f}: refused")
assert error > 0.01

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
# How good is the gradient of a few samples? Twenty times, a mini-batch is drawn from the moons; we measure the angle between
# its gradient and the gradient of all 400 points: for a new network, and for one that has taken 500 full steps.


# %%
def flat_gradient(parameters, x, targets):
    """All gradients of the MLP in one vector."""
    hidden, logits = forward(x, *parameters)
    gradients = backward(x, hidden, softmax(logits), targets, parameters[2])
    return np.concatenate([g.ravel() for g in gradients])


new_network = init([2, 32, 2], seed=0)
later = [p.copy() for p in new_network]
for _ in range(500):
    hidden, logits = forward(moons, *later)
    gradients = backward(moons, hidden, softmax(logits), moon_labels, later[2])
    later = [p - 0.3 * g for p, g in zip(later, gradients)]

angles = {}
rng = np.random.default_rng(0)
for name, parameters in (("new", new_network), ("after 500 steps", later)):
    full = flat_gradient(parameters, moons, moon_labels)
    for batch_size in (8, 32, 128):
        found = []
        for _ in range(20):
            rows = rng.choice(400, batch_size, replace=False)
            g = flat_gradient(parameters, moons[rows], moon_labels[rows])
            cosine = g @ full / np.linalg.norm(g) / np.linalg.norm(full)
            found.append(np.degrees(np.arccos(cosine)))
        angles[name, batch_size] = np.array(found)
for name in ("new", "after 500 steps"):
    means = [angles[name, size].mean() for size in (8, 32, 128)]
    assert means[0] > means[1] > means[2]  # larger mini-batches point better
    print(name, "mean angle with 8, 32, 128 samples:", np.round(means).astype(int))

# %% tags=["hide-input"]
fig, panels = plt.subplots(1, 2, figsize=(7.2, 2.7), sharey=True)
for ax, name in zip(panels, ("new", "after 500 steps")):
    for at, size in enumerate((8, 32, 128)):
        beside = at + np.linspace(-0.15, 0.15, 20)
        ax.scatter(beside, angles[name, size], s=14, color=plot.BLUE)
        ax.hlines(angles[name, size].mean(), at - 0.3, at + 0.3, color=plot.ORANGE)
    ax.axhline(90, color=plot.GRAY, linestyle=":")
    ax.set(xticks=range(3), xticklabels=(8, 32, 128), xlabel="samples", title=name)
    ax.set(ylim=(0, 180), yticks=(0, 45, 90, 135, 180))
panels[0].set_ylabel("angle (degrees)")
panels[1].text(2.45, 94, "across the slope", fontsize=9, color="#555555", ha="right")
plot.show(
    fig,
    alt="Angles between gradients of mini-batches and of all samples, for three sizes "
    "of mini-batch; left for a new network, right for a trained one.",
)

# %% [markdown]
# A step along the gradient of 32 samples goes only roughly downhill. After 500 steps, even
# 128 samples give a direction 74 degrees away, on average. A likely reason: most samples are right by then, and the few wrong
# ones in a mini-batch decide. Above 90 degrees, a small step makes the loss of all samples larger. Two ideas change the
# steps:
#
# - **Momentum** keeps a fading sum of past gradients, the velocity, and steps along it: $m \leftarrow \mu m + g$, then
#   $w \leftarrow w - \eta m$. Here $g$ is the gradient, and μ (mu) is the share of the velocity that is kept; with 0.9, a
#   gradient's share halves about every seven steps, and its steps add up to ten times ηg.
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
        gradient = np.array(mse_gradient(*place, hours, marks))
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
        gradient = mse_gradient(*place.detach().numpy().astype(float), hours, marks)
        place.grad = torch.tensor(gradient, dtype=torch.float32)
        theirs.step()
        gradient = mse_gradient(*np.asarray(variable).astype(float), hours, marks)
        keras_optimizer.apply([tf.constant(gradient, tf.float32)], [variable])
    differences[name] = (
        abs(place.detach().numpy() - ours[-1]).max(),
        abs(np.asarray(variable) - ours[-1]).max(),
    )
ax.set_title("20 steps of each optimizer")
ax.legend(loc="lower left", frameon=True, facecolor="white", framealpha=1)
plot.show(
    fig,
    alt="The ways of gradient descent, momentum and Adam over the loss surface.",
)
for name, (to_torch, to_keras) in differences.items():
    expect_within(f"{name}: difference from PyTorch after 20 steps", to_torch, 0, 1e-4)
    expect_within(f"{name}: difference from Keras after 20 steps", to_keras, 0, 1e-4)

# %% [markdown]
# After three steps, Adam moved both parameters almost equally far: dividing by the root of the squares removes the size of a
# gradient and keeps mainly its sign. And do not read the drawing as a race: the rates were not tuned, and momentum of 0.9
# makes the same rate act up to ten times as strongly. It shows how the ways differ in shape. Here, each
# optimizer gets its best rate from the same grid:

# %%
lowest = mean_squared_error(*best)
race = {}
for rule in (sgd_step, momentum_step, adam_step):
    for rate in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0):
        end = travel(rule, rate, 20)[-1]
        race[rule.__name__, rate] = mean_squared_error(*end) - lowest
    tried = {r: above for (name, r), above in race.items() if name == rule.__name__}
    chosen = min(tried, key=tried.get)
    print(f"{rule.__name__:14} best rate {chosen}: ", end="")
    print(f"{tried[chosen]:.4f} above the minimum")

# %% [markdown]
# On this small bowl, plain descent ends lowest after 20 steps. That is no verdict: only the rate was tuned, the best rate
# of Adam is the largest of the grid, and 20 steps are few for a momentum of 0.9. Which optimizer is best depends on the problem. Adam is a common first choice for large networks, whose gradients
# are noisy and of very different sizes.
#
# ## 9 · Your network
# You wrote `forward` and `backward`; `train` puts the parts together: shuffle, cut, forward, backward, step. Read it line by
# line; the lines with `dropout` and `weight_decay` are explained in section 11.
#
# The linear classifier of section 5 could start at 0: its loss has one valley (it is **convex**) and no hidden units that must
# differ. With a hidden layer the loss is no longer convex, so `init` starts at random; section 13 shows what happens
# otherwise.


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
    return loss_from_logits(logits, targets), accuracy


# %% [markdown]
# ### What hidden units do
# First the moons, with few hidden units, so that we can look at each of them. How many are enough? Five random starts for each
# number; the gray line is the linear classifier of section 5, which has no hidden layer.

# %%
few_units = {}
for units in (1, 2, 3, 4, 8):
    for seed in range(5):
        few_units[units, seed], _ = train(moons, moon_labels, units, 60, 50, 0.1, seed)
moon_accuracy = {}
for key, parameters in few_units.items():
    moon_accuracy[key] = evaluate(parameters, new_moons, new_moon_labels)[1]
gain = [moon_accuracy[8, seed] - linear_accuracy for seed in range(5)]
mean, half = mean_and_interval(gain)
print(f"8 hidden units minus linear classifier: {mean:+.3f} ± {half:.3f} (5 starts)")
assert mean - half > 0.05

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(5.6, 2.7))
for at, units in enumerate((1, 2, 3, 4, 8)):
    accuracies = [moon_accuracy[units, seed] for seed in range(5)]
    ax.scatter(at + np.linspace(-0.16, 0.16, 5), accuracies, s=26, color=plot.BLUE)
ax.axhline(linear_accuracy, color=plot.GRAY, linestyle=":")
ax.set(xticks=range(5), xticklabels=(1, 2, 3, 4, 8), xlabel="hidden units")
ax.set(ylabel="accuracy", title="1,000 new points; five starts each", ylim=(0.45, 1))
plot.show(
    fig,
    alt="Accuracy of five networks for each number of units; a line: linear.",
)

# %% [markdown]
# With one unit, the MLP is no better than the line. With three or four, it depends on the start: some end no better
# than networks of two units, one of which is stuck at guessing. With eight, all five succeed. This ± is a 95 % interval over the five starts. Now open a network of four units that went well.


# %% tags=["hide-input"]
def parts_of(parameters, points):
    """What each hidden unit adds to the score of orange minus blue: (n, h)."""
    hidden, _ = forward(points, *parameters)
    return hidden * (parameters[2][:, 1] - parameters[2][:, 0])


def zero_line(ax, w, b, color):
    """The line on which a unit begins: w · x + b = 0."""
    ends = np.array([-4.0, 4.0])
    along = np.array([-w[1], w[0]]) / np.linalg.norm(w)
    foot = -b * w / (w @ w)  # the point of the line that is closest to (0, 0)
    line = foot + ends[:, None] * along  # (2, 2)
    ax.plot(*line.T, color=color, linestyle="--", linewidth=1.5)


def open_network(hidden_units=4, seed=4):
    """Each unit's share of the score, and their sum with the boundary."""
    parameters = few_units[hidden_units, seed]
    w1, b1, w2, b2 = parameters
    low, high = moons.min(axis=0) - 0.4, moons.max(axis=0) + 0.4
    across, up = np.meshgrid(*np.linspace(low, high, 90).T)
    grid = np.column_stack([across.ravel(), up.ravel()])  # (8100, 2)
    shares = parts_of(parameters, grid)  # (8100, h)
    score = shares.sum(axis=1) + b2[1] - b2[0]
    shown = min(hidden_units, 5)
    rows, columns = (1, 2) if shown == 1 else (2, 3) if shown > 3 else (2, 2)
    size = (2.5 * columns, 2.1 * rows)
    fig, axes = plt.subplots(rows, columns, figsize=size, sharex=True, sharey=True)
    panels = list(axes.flat)
    most = abs(score).max()
    for k, ax in enumerate(panels[:shown]):
        image = shares[:, k].reshape(across.shape)
        ax.pcolormesh(across, up, image, cmap="RdBu_r", vmin=-most, vmax=most)
        zero_line(ax, w1[:, k], b1[k], plot.COLORS[(2, 3, 5, 6, 4)[k]])
        ax.set_title(f"unit {k + 1}", fontsize=11)
    total = panels[shown]
    image = score.reshape(across.shape)
    total.pcolormesh(across, up, image, cmap="RdBu_r", vmin=-most, vmax=most, alpha=0.6)
    for k in range(shown):
        zero_line(total, w1[:, k], b1[k], plot.COLORS[(2, 3, 5, 6, 4)[k]])
    if score.min() < 0 < score.max():
        total.contour(across, up, image, levels=[0], colors="black", linewidths=2)
    for label, color in ((0, plot.BLUE), (1, plot.ORANGE)):
        total.scatter(*moons[moon_labels == label].T, s=2, color=color)
    total.set_title("all together, plus bias", fontsize=11)
    for ax in panels:
        ax.grid(False)
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    for ax in panels[shown + 1 :]:
        ax.set_axis_off()
    plot.show(
        fig,
        alt=f"Network of {hidden_units} hidden units, start {seed}: what each unit adds "
        "to the score over the plane, and the decision boundary of the sum.",
    )


widgets.slider(open_network, hidden_units=[1, 2, 3, 4, 8], seed=[0, 1, 2, 3, 4])

# %% [markdown]
# Red raises the score of orange, blue lowers it. Each unit is 0 (white) on one side of its dashed line, and on the other side it
# rises or falls evenly, like a sheet of paper with one fold. The last picture is their sum, and the black line is where
# the sum is 0: the decision boundary. With ReLU, it consists of straight pieces, and it can bend only where it crosses the
# dashed line of a unit. The black line has two bends: each lies on a dashed line, those of units 3 and 4. Unit 2 adds almost
# nothing: three units do the work. Move the slider to `seed` 0, which ended with a lower accuracy: what are its units doing?
# (With 8 units, the first five are drawn.)
#
# <details><summary>Answer</summary>
#
# Units 1 and 2 are 0 at all 400 points, so only two units are left (section 13 has a name for such units).
# </details>
#
# Are the pieces really straight? In a region where the same units are on, the score should be exactly linear: three numbers must explain all its
# points.

# %%
w1, b1, w2, b2 = few_units[4, 4]
dense = np.random.default_rng(0).uniform((-2, -1.5), (3, 2), size=(20_000, 2))
hidden, logits = forward(dense, w1, b1, w2, b2)
score = logits[:, 1] - logits[:, 0]
pattern = (hidden > 0) @ 2 ** np.arange(4)  # which units are on, as one number
worst = 0.0
for region in np.unique(pattern):
    inside = pattern == region
    three = np.column_stack([dense[inside], np.ones(inside.sum())])  # (m, 3)
    fit = np.linalg.lstsq(three, score[inside], rcond=None)[0]
    worst = max(worst, abs(three @ fit - score[inside]).max())
print(len(np.unique(pattern)), "regions; each is linear:")
expect_within("largest difference from linear within a region", worst, 0, 1e-9)

# %% [markdown]
# ### Handwritten digits
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

# %% [markdown]
# The first choice: the learning rate. Three values, each from three random starts, judged by the validation loss.

# %% tags=["free"]
rates = {}
for rate in (0.005, 0.05, 0.5):
    ends = []
    for seed in range(3):
        validation = (x_valid, y_valid)
        _, history = train(x_train, y_train, 64, 15, 32, rate, seed, validation)
        ends.append(history[-1])
    rates[rate] = np.mean(ends, axis=0)
    print(f"rate {rate:5}: validation loss {rates[rate][1]:.3f}", end="")
    print(f", accuracy from {min(e[2] for e in ends):.3f}", end="")
    print(f" to {max(e[2] for e in ends):.3f}")
best_rate = min(rates, key=lambda rate: rates[rate][1])
print("chosen:", best_rate)
assert best_rate == 0.05

# %% [markdown]
# Only now, with every choice made (64 units and 25 epochs were set, not searched), the test set, once.

# %% tags=["target"]
digit_parameters, digit_history = train(
    x_train,
    y_train,
    hidden_units=64,
    epochs=25,
    learning_rate=best_rate,
    validation=(x_valid, y_valid),
)
_, digit_accuracy = evaluate(digit_parameters, x_test, y_test)
expect_within("digits, accuracy on the test set", digit_accuracy, 0.97, 0.02)
chance = 1.96 * np.sqrt(digit_accuracy * (1 - digit_accuracy) / len(x_test))
print(f"by the luck of the {len(x_test)} test samples alone: ± {chance:.3f}")

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
# show it. What do its mistakes look like? Above, ten training digits; below, validation digits that your network misreads.

# %% tags=["hide-input"]
read = forward(x_valid, *digit_parameters)[1].argmax(axis=1)
misread = np.flatnonzero(read != y_valid)[:10]
fig, axes = plt.subplots(2, 10, figsize=(7.2, 2.0))
for ax in axes.flat:
    ax.set_axis_off()
for k, ax in enumerate(axes[0]):
    ax.imshow(x_train[y_train == k][0].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    ax.set_title(f"{k}", fontsize=10)
for ax, k in zip(axes[1], misread):
    ax.imshow(x_valid[k].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    ax.set_title(f"{y_valid[k]}, read {read[k]}", fontsize=8)
plot.show(
    fig,
    alt="Ten training digits of 8 by 8 pixels; below, validation digits that were "
    "misread, with their class and what the network read.",
)

# %% [markdown]
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
# The network was trained on scanned pen strokes, in shades of gray; your picture is black and white. If it fails,
# try to make yours more like the training digits above.
#
# ## 10 · In PyTorch and in Keras
# You wrote `forward` and `backward`, and read `train`. In PyTorch, you write only the first: a class with its layers, and `forward`;
# autograd does the rest. A `DataLoader` shuffles and cuts mini-batches.

# %% tags=["free"]
import torch
from torch import nn
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
x_valid_torch = torch.tensor(x_valid, dtype=torch.float32)
y_valid_torch = torch.tensor(y_valid)
for epoch in range(1, 26):
    model.train()
    total = 0.0
    for images, labels in loader:
        optimizer.zero_grad()  # gradients add up otherwise
        loss = nn.functional.cross_entropy(model(images), labels)  # takes logits
        loss.backward()
        optimizer.step()
        total += loss.item() * len(images)
    model.eval()
    with torch.no_grad():  # we only ask, we do not train
        valid_loss = nn.functional.cross_entropy(model(x_valid_torch), y_valid_torch)
    if epoch % 5 == 0:
        print(f"epoch {epoch:2}, mean loss {total / len(train_set):.4f}", end="")
        print(f", validation loss {valid_loss.item():.4f}")

# %%
model.eval()
with torch.no_grad():
    logits = model(x_valid_torch)  # (360, 10)
torch_accuracy = (logits.argmax(dim=1).numpy() == y_valid).mean()
expect_within("NumPy, accuracy on the validation set", digit_history[-1, 2], 0.96, 0.02)
expect_within("PyTorch, accuracy on the validation set", torch_accuracy, 0.96, 0.02)

# %% [markdown]
# `model.train()` and `model.eval()` switch layers that behave differently in training and in use, such as the dropout of
# section 11; this model has none, but the habit is worth having. The test set of this split is not asked
# again: we compare on the validation set, after 25 epochs each. (Section 12 makes new splits.)
#
# In Keras, you describe the layers, say with `compile` which loss and optimizer to use, and `fit` runs the loop.

# %% tags=["free"]
import keras

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
fitted = keras_model.fit(
    x_train,
    y_train,
    batch_size=32,
    epochs=25,
    validation_data=(x_valid, y_valid),
    validation_batch_size=360,
    verbose=0,
)
for epoch in (5, 10, 15, 20, 25):
    print(f"epoch {epoch:2}, mean loss {fitted.history['loss'][epoch - 1]:.4f}", end="")
    print(f", validation loss {fitted.history['val_loss'][epoch - 1]:.4f}")

# %%
keras_accuracy = keras_model.evaluate(x_valid, y_valid, verbose=0)[1]
expect_within("Keras, accuracy on the validation set", keras_accuracy, 0.96, 0.02)

# %% [markdown]
# Both print the mean loss over an epoch while the weights still change, so it
# usually lies a little above the training loss at the end of the epoch. Three programs, one network. With the same weights, they give the same logits:

# %%
w1, b1, w2, b2 = (p.numpy() for p in keras_model.weights)
with torch.no_grad():
    model.hidden.weight.copy_(torch.tensor(w1.T))  # PyTorch keeps a weight as (out, in)
    model.hidden.bias.copy_(torch.tensor(b1))
    model.output.weight.copy_(torch.tensor(w2.T))
    model.output.bias.copy_(torch.tensor(b2))
    from_torch = model(x_valid_torch).numpy()
from_keras = keras_model.predict(x_valid, verbose=0)
from_numpy = forward(x_valid, w1, b1, w2, b2)[1]
for name, other in (("Keras", from_keras), ("PyTorch", from_torch)):
    difference = abs(from_numpy - other).max()
    expect_within(f"NumPy and {name}, largest difference", difference, 0, 1e-3)

# %% [markdown]
# ## 11 · Too simple, too complicated
# A model that cannot follow the pattern **underfits**: it is wrong on new samples and on its own training samples too.
# **Overfitting** is the other failure: the model learns accidents of the training samples, so that the training loss falls while the
# loss on new samples rises. We take only 40 points, more noise, and 1,000 new points to validate on (a luxury: where samples
# are few, the validation set is small too, and what it says is less sure). Another 1,000 points are kept for scoring, where
# the validation set has been used for a choice. Move both sliders.


# %%
def noisy_moons(seed):
    """40 training points and 1,000 validation points."""
    train_part = make_moons(40, noise=0.35, random_state=seed)
    valid_part = make_moons(1000, noise=0.35, random_state=1000 + seed)
    return train_part, valid_part


def scoring_moons(seed):
    """1,000 more points, for scores."""
    return make_moons(1000, noise=0.35, random_state=3000 + seed)


(small_x, small_y), noisy_validation = noisy_moons(0)
trained = {}
for units in (1, 3, 100):
    for epochs in (10, 100, 600):
        watch = noisy_validation if epochs == 600 else None
        trained[units, epochs] = train(
            small_x,
            small_y,
            hidden_units=units,
            epochs=epochs,
            batch_size=40,
            learning_rate=0.1,
            validation=watch,
        )


def both_losses(hidden_units, epochs):
    """Training and validation loss of one of the trained networks."""
    parameters, _ = trained[hidden_units, epochs]
    return (
        loss_of(parameters, small_x, small_y),
        loss_of(parameters, *noisy_validation),
    )


# %% tags=["hide-input"]
def show_fit(hidden_units=100, epochs=600):
    """The boundary of a trained network, and both losses."""
    parameters, _ = trained[hidden_units, epochs]
    training, validation = both_losses(hidden_units, epochs)
    title = f"loss: training {training:.2f}, validation {validation:.2f}"
    boundary(
        lambda x: softmax(forward(x, *parameters)[1])[:, 1],
        small_x,
        small_y,
        title,
        f"40 points; boundary of {hidden_units} hidden units after {epochs} epochs.",
    )


widgets.slider(show_fit, hidden_units=[1, 3, 100], epochs=[10, 100, 600])

# %% tags=["hide-input"]
tables = []
for column, title in ((0, "training loss"), (1, "validation loss")):
    values = []
    for units in (1, 3, 100):
        values.append([both_losses(units, epochs)[column] for epochs in (10, 100, 600)])
    tables.append(
        draw.matrix(
            np.array(values),
            title=title,
            rows=["1 unit", "3 units", "100 units"],
            columns=["10 epochs", "100", "600"],
            form=".2f",
            color=("blue", "orange")[column],
        )
    )
draw.show(
    draw.row(*tables, gap=110),
    alt="Training and validation loss of 1, 3 and 100 units after 10, 100, 600 epochs.",
)

# %% [markdown]
# One unit underfits: its training loss is 0.52 after 100 epochs, and still after 600. (Its validation loss is as good as any
# here: for these 40 noisy points, something simple does well.) After 10 epochs, no network is trained long enough: both
# losses are higher than after 100. With 100 units and
# 600 epochs, the training loss is by far the lowest, and the validation loss the highest.

# %% tags=["hide-input"]
ends = {units: both_losses(units, 600) for units in (1, 3, 100)}
assert abs(ends[1][0] - both_losses(1, 100)[0]) < 0.01 and abs(ends[1][0] - 0.52) < 0.01
assert ends[100][0] < 0.5 * min(ends[1][0], ends[3][0])
assert ends[100][1] > 1.2 * max(ends[1][1], ends[3][1])

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
# lower learning rate so that the curve is smooth. To get the network of the best epoch, we train the same one once
# more and stop there. Both networks are scored on points that chose nothing.


# %%
def sure_of_mistakes(parameters, x, targets):
    """Mean probability that the network gives to the classes it names wrongly."""
    p = softmax(forward(x, *parameters)[1])
    wrong = p.argmax(axis=1) != targets
    return p.max(axis=1)[wrong].mean()


def loss_accuracy_sureness(parameters, x, targets):
    return *evaluate(parameters, x, targets), sure_of_mistakes(parameters, x, targets)


stops = []
for seed in range(5):
    (x, y), validation = noisy_moons(seed)
    scoring = scoring_moons(seed)
    last, history = train(x, y, 100, 600, 40, 0.03, seed, validation)
    best_epoch = history[:, 1].argmin() + 1
    stopped, _ = train(x, y, 100, best_epoch, 40, 0.03, seed)
    at_best = loss_accuracy_sureness(stopped, *scoring)
    at_end = loss_accuracy_sureness(last, *scoring)
    stops.append((best_epoch, np.array(at_best), np.array(at_end)))
    assert history[-1, 0] < history[best_epoch - 1, 0]  # the training loss fell further
    assert at_end[0] > at_best[0]  # the loss on other points rose
print("best epoch, seeds 0 to 4:", *[epoch for epoch, _, _ in stops])

# %% tags=["hide-input"]
fig, panels = plt.subplots(1, 3, figsize=(7.4, 2.7), sharey=True)
names = ("loss", "accuracy", "sureness of mistakes")
for k, (ax, name) in enumerate(zip(panels, names)):
    for seed, (_, at_best, at_end) in enumerate(stops):
        ax.plot([at_best[k], at_end[k]], [seed, seed], color=plot.GRAY, linewidth=1)
        ax.scatter(at_best[k], seed, color=plot.BLUE, s=34, zorder=3)
        ax.scatter(at_end[k], seed, color=plot.ORANGE, s=34, marker="s", zorder=3)
    ax.set_title(name, fontsize=11)
    ax.set_yticks(range(5))
panels[0].set_ylabel("seed")
fig.supxlabel("circle: best epoch; square: after 600 epochs", fontsize=10)
plot.show(
    fig,
    alt="Loss, accuracy and sureness at the best epoch and after 600; five seeds.",
)

# %%
loss_change = np.array([at_end[0] - at_best[0] for _, at_best, at_end in stops])
accuracy_change = np.array([at_end[1] - at_best[1] for _, at_best, at_end in stops])
sureness_change = np.array([at_end[2] - at_best[2] for _, at_best, at_end in stops])
print("from the best epoch to the last, on 1,000 other points:")
print("loss      ", loss_change)
print("accuracy  ", accuracy_change)
print("sureness  ", sureness_change)
best_epochs = [epoch for epoch, _, _ in stops]
assert max(best_epochs) > 5 * min(best_epochs) and max(best_epochs) < 500
assert (sureness_change > 0.02).sum() == 4 and sureness_change.min() > -0.01
assert accuracy_change.min() < 0 < accuracy_change.max()
assert abs(accuracy_change).max() < 0.06

# %% [markdown]
# The best epoch differs a lot from seed to seed, so it cannot be looked up: you have to watch the validation loss. From the
# best epoch to the last, the loss rises on all five seeds, while the accuracy changes by 0.05 at most, and not always
# downwards. A loss can rise without more mistakes when the network becomes surer of its wrong answers. The right panel
# shows the mean probability that it gives to a class when that class is wrong: it grew on four seeds, and hardly
# changed on seed 1, where the loss hardly rose either.

# %% [markdown]
# Whatever holds a model back from overfitting is **regularization**. Besides stopping early, two kinds are common:
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
# time. Early stopping competes too: it chooses its epoch on the validation points, and **all** are scored on the other 1,000
# points. We compare **paired**: for each of the five, the loss with regularization minus the loss without it.
# The ± is a 95 % interval by Student's t, which is wide for five numbers, as it should be (lesson
# [evaluate](evaluate.ipynb)). The result may depend on the length of training, so we try 150 and 600
# epochs.

# %% tags=["free"]
methods = {
    "nothing": {},
    "weight decay 0.01": {"weight_decay": 0.01},
    "dropout 0.5": {"dropout_rate": 0.5},
}
regularized = {}  # (epochs, method) → five pairs of loss and accuracy
for seed in range(5):
    (x, y), validation = noisy_moons(seed)
    scoring = scoring_moons(seed)
    for epochs in (600, 150):
        for name, options in methods.items():
            # the first 150 epochs of 600 are the 150, so one history serves both
            watch = validation if (name, epochs) == ("nothing", 600) else None
            settings = {"seed": seed, "validation": watch} | options
            parameters, history = train(x, y, 100, epochs, 40, 0.1, **settings)
            if watch is not None:
                watched = history[:, 1]
            result = evaluate(parameters, *scoring)
            regularized.setdefault((epochs, name), []).append(result)
        best_epoch = watched[:epochs].argmin() + 1
        stopped, _ = train(x, y, 100, best_epoch, 40, 0.1, seed)
        result = evaluate(stopped, *scoring)
        regularized.setdefault((epochs, "early stopping"), []).append(result)


def change_by(epochs, method, column):
    """Loss (0) or accuracy (1) with the method minus without: (5,)."""
    with_it = np.array(regularized[epochs, method])[:, column]
    return with_it - np.array(regularized[epochs, "nothing"])[:, column]


arms = ("early stopping", "weight decay 0.01", "dropout 0.5")
for epochs in (150, 600):
    for method in arms:
        mean, half = mean_and_interval(change_by(epochs, method, 0))
        more, wide = mean_and_interval(change_by(epochs, method, 1))
        print(f"{epochs} epochs, {method:17} loss {mean:+.2f} ± {half:.2f}", end="")
        print(f"   accuracy {more:+.3f} ± {wide:.3f}")

# %% tags=["hide-input"]
fig, panels = plt.subplots(1, 2, figsize=(7.4, 2.9), sharey=True)
for column, (ax, name) in enumerate(zip(panels, ("loss", "accuracy"))):
    for at, (epochs, method) in enumerate((e, m) for e in (150, 600) for m in arms):
        changes_here = change_by(epochs, method, column)
        mean, half = mean_and_interval(changes_here)
        ax.scatter(changes_here, np.full(5, at + 0.2), s=12, color=plot.GRAY)
        ax.errorbar(mean, at, xerr=half, fmt="o", color=plot.BLUE, capsize=3)
    ax.axvline(0, color="black", linewidth=1)
    ax.set_xlabel(f"change of the {name}")
panels[0].set_yticks(range(6), [f"{m}, {e}" for e in (150, 600) for m in arms])
panels[0].invert_yaxis()
plot.show(
    fig,
    alt="Change of loss and accuracy against training without regularization, for "
    "three methods after 150 and 600 epochs, with five seeds and 95 % intervals.",
)

# %%
for method in ("early stopping", "weight decay 0.01"):
    mean, half = mean_and_interval(change_by(600, method, 0))
    assert mean + half < 0, (method, mean, half)
    mean, half = mean_and_interval(change_by(150, method, 0))
    assert mean < 0 < mean + half, (method, mean, half)
for epochs in (150, 600):
    mean, half = mean_and_interval(change_by(epochs, "dropout 0.5", 0))
    assert mean - half < 0 < mean + half, (epochs, mean, half)
print("after 600 epochs, early stopping and weight decay lower the loss (95 %)")

# %% [markdown]
# After 600 epochs, early stopping and weight decay lower the loss. After 150 epochs, their means point the
# same way, but the intervals contain 0. For dropout both intervals contain 0, and so does every interval of the accuracy:
# five pairs do not decide. This does not rank the three: each had one strength, not tuned, and early stopping had 1,000
# more points to choose on.

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
# The sign is now plus: with 1,000 points, the same weight decay makes the loss worse, at both lengths that we tried. How much regularization is right
# depends on the data, so it is chosen with the validation set, like the learning rate.
#
# In PyTorch, dropout is a layer, `nn.Dropout(0.5)`, and weight decay an option of the optimizer, which adds it to the
# gradient as `train` does. Early stopping you write yourself. All three at once, on only 200 digits:

# %% tags=["free"]
import copy

torch.manual_seed(0)
model = nn.Sequential(
    nn.Linear(64, 64),
    nn.ReLU(),
    nn.Dropout(0.5),
    nn.Linear(64, 10),
)
optimizer = torch.optim.SGD(
    model.parameters(),
    lr=0.05,
    momentum=0.9,
    weight_decay=0.001,
)
small_set = TensorDataset(pixels[:200], torch.tensor(y_train[:200]))
loader = DataLoader(small_set, batch_size=32, shuffle=True)
lowest, best_epoch, best_state = float("inf"), 0, None
for epoch in range(1, 101):
    model.train()  # dropout is on
    for images, labels in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    model.eval()  # dropout is off
    with torch.no_grad():
        valid_loss = nn.functional.cross_entropy(model(x_valid_torch), y_valid_torch)
    if valid_loss < lowest:
        lowest, best_epoch = valid_loss.item(), epoch
        best_state = copy.deepcopy(model.state_dict())
    if epoch - best_epoch >= 10:  # patience
        break
model.load_state_dict(best_state)
print(f"stopped after epoch {epoch}; kept epoch {best_epoch}, loss {lowest:.3f}")

# %%
with torch.no_grad():
    kept_loss = nn.functional.cross_entropy(model(x_valid_torch), y_valid_torch).item()
assert abs(kept_loss - lowest) < 1e-6  # the best epoch is what we have now
right = (model(x_valid_torch).argmax(dim=1) == y_valid_torch).float().mean().item()
expect_within("PyTorch, regularized, 200 digits", right, 0.93, 0.03)

# %% [markdown]
# Keras has `keras.layers.Dropout(0.5)`, and early stopping as a callback for `fit`; `patience` says how many
# epochs without a lower validation loss it waits. Keras optimizers take `weight_decay`
# too, but shrink the weights in a step of their own (decoupled, Loshchilov and Hutter 2019), as `torch.optim.AdamW` does;
# both libraries decay biases too by default.

# %% tags=["free"]
keras.utils.set_random_seed(0)
keras_model = keras.Sequential(
    [
        keras.Input((64,)),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(10),
    ]
)
keras_model.compile(
    optimizer=keras.optimizers.SGD(0.05, momentum=0.9, weight_decay=0.001),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
stop = keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)
fitted = keras_model.fit(
    x_train[:200],
    y_train[:200],
    batch_size=32,
    epochs=40,
    validation_data=(x_valid, y_valid),
    validation_batch_size=360,
    callbacks=[stop],
    verbose=0,
)
losses = fitted.history["val_loss"]
print(f"stopped after epoch {len(losses)}; kept epoch {np.argmin(losses) + 1}")

# %%
right = keras_model.evaluate(x_valid, y_valid, verbose=0)[1]
expect_within("Keras, regularized, 200 digits", right, 0.93, 0.03)

# %% [markdown]
# Keras was not stopped: its last epoch was its best, and more might be better. The validation set chose the epoch in both
# runs, so these accuracies are probably a little too good. Both runs show how it is written, not
# whether it helps: for that, look at the paired comparison above.
#
# ## 12 · At work
# A real table: 569 breast tumours, 30 measurements of each, benign or malignant (Wolberg and others 1995). And the digits again. A
# network is worth its trouble only if it beats simple models, so three of them compete: the **majority-class baseline**, which always says the most frequent
# class; logistic regression; and your MLP. Five random splits each, and two lengths of training. For a doctor, a missed
# malignant tumour costs more than a false alarm; accuracy counts both alike.
#
# The measurements have very different sizes. Each is shifted and scaled to mean 0 and standard deviation 1; else one
# learning rate would be too large for some weights and too small for others.
#
# One control: scikit-learn's logistic regression has weight decay (L2) by default, our MLP has none, and nobody tuned
# either. So both compete a second time, **tuned**: on a validation part of the training samples we choose C of the logistic
# regression (a larger C means less weight decay), and units, learning rate and weight decay of the MLP (3 settings against 12); then the
# winner is trained on all training samples.


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
    mean, std = x.mean(axis=0), x.std(axis=0)
    std = np.where(std > 0, std, 1)  # some pixels are 0 in every image
    return (x - mean) / std, y, (new_x - mean) / std, new_y


def tuned(x, y, seed):
    """Logistic regression and MLP, each with the best choice on a validation part."""
    fit_x, valid_x, fit_y, valid_y = train_test_split(
        x,
        y,
        test_size=0.25,
        random_state=seed,
        stratify=y,
    )
    simple = {}
    for c in (0.01, 0.1, 1.0):
        model = LogisticRegression(C=c, max_iter=300).fit(fit_x, fit_y)
        simple[c] = model.score(valid_x, valid_y)
    best_c = max(simple, key=simple.get)
    tried = {}
    for units in (32, 128):
        for rate in (0.02, 0.1):
            for decay in (0.0, 0.001, 0.01):
                settings = {"seed": seed, "weight_decay": decay}
                parameters, _ = train(fit_x, fit_y, units, 15, 32, rate, **settings)
                loss, accuracy = evaluate(parameters, valid_x, valid_y)
                tried[units, rate, decay] = (accuracy, -loss)
    units, rate, decay = max(tried, key=tried.get)
    parameters, _ = train(x, y, units, 15, 32, rate, seed, weight_decay=decay)
    return LogisticRegression(C=best_c, max_iter=300).fit(x, y), parameters


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
        simple, parameters = tuned(x, y, seed)
        accuracy = simple.score(new_x, new_y)
        work.setdefault((name, "logistic regression, tuned"), []).append(accuracy)
        accuracy = evaluate(parameters, new_x, new_y)[1]
        work.setdefault((name, "your MLP, tuned"), []).append(accuracy)

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
# Bars with whiskers hide what matters, since all models saw the same splits. So again paired: MLP minus logistic
# regression. One correction is needed: the five splits share samples, so their results are not independent, and the usual
# interval is too narrow. With 30 % test samples and five splits, Nadeau and Bengio (2003) make it
# √((1/5 + 0.3/0.7) / (1/5)) = 1.77 times as wide.

# %%
wider = np.sqrt((1 / 5 + 0.3 / 0.7) / (1 / 5))
pairs = (
    ("your MLP, 10 epochs", "logistic regression"),
    ("your MLP, 40 epochs", "logistic regression"),
    ("your MLP, tuned", "logistic regression, tuned"),
)
compared = {}
for name in ("digits", "tumours"):
    for network_name, simple_name in pairs:
        difference = np.array(work[name, network_name])
        difference = difference - np.array(work[name, simple_name])
        mean, half = mean_and_interval(difference)
        compared[name, network_name] = mean, wider * half
        print(f"{name:8} {network_name:20} {mean:+.3f} ± {wider * half:.3f}")

# %% tags=["hide-input"]
for name, target in (("digits", 0.97), ("tumours", 0.97)):
    for label in ("your MLP, 40 epochs", "logistic regression"):
        value = np.mean(work[name, label])
        expect_within(f"{name}, {label}", value, target, 0.02)
for mean, half in compared.values():
    assert mean - half < 0 < mean + half and abs(mean) + half < 0.05

# %% [markdown]
# An interval that contains 0 does not show that there is no difference: it says how large the difference could still be.
# Here every interval contains 0, and a difference of about three hundredths is possible. This MLP has not been shown to help on
# these tables, neither untuned nor with 12 settings to choose from against 3 of its rival; another one might. On new
# moons, eight hidden units raised the accuracy by 0.089 ± 0.005. So always run the simple model first.
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
# With 0, nothing but the last bias gets a gradient: every hidden value is 0, so W₂ gets none; W₂ is 0, so
# nothing passes back to W₁ and b₁. A ReLU unit that is 0 on
# every sample is called **dead**: no gradient passes it, so it stays as it is. With copies,
# gradients flow, but each copy gets the same one: eight units go on doing the work of one. Random weights break this
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
# A ReLU sets about half of these inputs to 0. The factor 2 in √(2/n), where n is the number of inputs of a unit, makes up for that half (He and others 2015). It
# is the initialization that `init` uses. With √(1/n) the sizes shrink from layer to layer, at both widths.
#
# ### Six ways to fail
# The same network on digits, with one hyperparameter or the data changed each time, from five random starts (and with five
# choices of samples, where they are few). Every training takes about 408 steps: with fewer samples, that is more epochs.
# Write down which curve you expect for a learning rate of 5, and for 30 samples. Then look.


# %% tags=["free"]
zeros = [np.zeros((64, 32)), np.zeros(32), np.zeros((32, 10)), np.zeros(10)]
changes = {
    "as it was": {},
    "learning rate 0.0005": {"learning_rate": 0.0005},
    "learning rate 5": {"learning_rate": 5},
    "4 hidden units": {"hidden_units": 4},
    "30 training samples": {"samples": 30},
    "200 training samples": {"samples": 200},
    "all weights 0": {"start": zeros},
}


def train_changed(seed, samples=1077, **changed):
    """About 408 steps → steps (e,), history (e, 3), share of dead hidden units."""
    rows = np.random.default_rng(seed).permutation(1077)[:samples]
    x, y = x_train[rows], y_train[rows]
    steps_per_epoch = int(np.ceil(samples / 32))
    epochs = int(np.ceil(408 / steps_per_epoch))
    settings = {"hidden_units": 32, "learning_rate": 0.05, "seed": seed} | changed
    settings["validation"] = (x_valid, y_valid)
    parameters, history = train(x, y, epochs=epochs, **settings)
    hidden, _ = forward(x, *parameters)
    dead = (hidden == 0).all(axis=0).mean()  # 0 on every sample
    return steps_per_epoch * np.arange(1, epochs + 1), history, dead


found = {}
for name, changed in changes.items():
    found[name] = [train_changed(seed, **changed) for seed in range(5)]

# %% tags=["hide-input"]
start_loss = np.log(10)  # of a network that gives each class probability 0.1
fig, axes = plt.subplots(2, 4, figsize=(7.6, 4.2), sharex=True, sharey=True)
for ax, (name, runs) in zip(axes.flat, found.items()):
    for steps, history, _ in runs:
        ax.plot(steps, history[:, 0], color=plot.BLUE, linewidth=1)
        ax.plot(steps, history[:, 1], color=plot.ORANGE, linewidth=1, linestyle="--")
    ax.axhline(start_loss, color=plot.GRAY, linestyle=":")
    ax.set(yscale="log", ylim=(0.002, 20))
    ax.set_title(name, fontsize=9.5)
key = axes.flat[-1]
key.plot([], [], color=plot.BLUE, label="training loss")
key.plot([], [], color=plot.ORANGE, linestyle="--", label="validation loss")
key.plot([], [], color=plot.GRAY, linestyle=":", label="guessing, log 10")
key.legend(loc="center", frameon=False, fontsize=9)
key.set_axis_off()
for ax in (*axes[1, :3], axes[0, 3]):
    ax.set_xlabel("step")
plot.show(
    fig,
    alt="Both losses over 408 steps, five starts each, as it was and changed.",
)

# %% [markdown]
# Shown as numbers: where each of them stood at a third of the way, and at the end, over all five starts.

# %%
for name, runs in found.items():
    end = np.array([history[-1] for _, history, _ in runs])  # (5, 3)
    third = np.array([h[np.searchsorted(steps, 136)] for steps, h, _ in runs])
    dead = np.mean([dead for _, _, dead in runs])
    early, early_valid, _ = third.mean(axis=0)
    late, late_valid, _ = end.mean(axis=0)
    print(f"{name:21} training {early:.2f} → {late:.2f}", end="")
    print(f"   validation {early_valid:.2f} → {late_valid:.2f}", end="")
    print(f"   dead {dead:.0%}")
    for result in (third, end):  # the symptom is there early and late, on all five
        training, validation, accuracy = result.T
        if name == "as it was":
            assert (accuracy > 0.9).all()
        if name == "learning rate 5":
            assert (training > start_loss).all() and dead == 1.0
        if name in ("learning rate 0.0005", "4 hidden units"):
            assert (training > 0.5).all()
        if name == "30 training samples":
            assert (training < 0.05).all() and (validation > 0.7).all()
        if name == "all weights 0":
            assert abs(training - start_loss).max() < 0.01
    if name == "30 training samples":
        assert (end[:, 1] > third[:, 1]).all()  # validation rises on all five

# %% [markdown]
# The loss of a network that knows nothing is −log 0.1 = 2.30 here. With learning rate 5, the loss ends above that: at the end
# all hidden units are dead, and only the last bias can still change. With 30 samples, the training loss goes to almost 0,
# and the validation loss rises: overfitting. With 200, the gap is there too, but smaller.
#
# In two of the pictures the training loss stays high: a rate that is too small, and too few units (of which 45 % are dead
# at the end, too). From such a curve alone you cannot be sure of the cause. Try a remedy, and see.

# %%
remedies = {
    "rate 5 → 0.5": ("learning rate 5", {"learning_rate": 0.5}),
    "rate 0.0005 → 0.005": ("learning rate 0.0005", {"learning_rate": 0.005}),
    "4 units: rate 0.05 → 0.5": (
        "4 hidden units",
        {"hidden_units": 4, "learning_rate": 0.5},
    ),
    "4 units → 16 units": ("4 hidden units", {"hidden_units": 16}),
    "30 samples: weight decay 0.03": (
        "30 training samples",
        {"samples": 30, "weight_decay": 0.03},
    ),
    "30 → 100 samples": ("30 training samples", {"samples": 100}),
}
treated = {}
for name, (before_name, changed) in remedies.items():
    before = np.array([history[-1] for _, history, _ in found[before_name]])
    after = np.array([train_changed(seed, **changed)[1][-1] for seed in range(5)])
    treated[name] = before, after

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.4, 3.3))
for at, (name, (before, after)) in enumerate(treated.items()):
    ax.scatter(before[:, 1], np.full(5, at - 0.12), s=26, color=plot.BLUE)
    ax.scatter(after[:, 1], np.full(5, at + 0.12), s=26, color=plot.ORANGE, marker="s")
ax.set_yticks(range(len(treated)), list(treated))
ax.invert_yaxis()
ax.axvline(start_loss, color=plot.GRAY, linestyle=":")
ax.set(xlabel="validation loss (circle: before, square: after)", xlim=(0, 3.7))
plot.show(
    fig,
    alt="Validation loss of five starts before and after each of six remedies.",
)

# %%
for name in ("rate 5 → 0.5", "rate 0.0005 → 0.005", "4 units → 16 units"):
    before, after = treated[name]
    assert (after[:, 1] < before[:, 1]).all(), name
before, after = treated["4 units: rate 0.05 → 0.5"]
assert (after[:, 1] > before[:, 1]).all()  # the wrong remedy
before, after = treated["30 → 100 samples"]
assert (after[:, 1] < before[:, 1]).all()
before, after = treated["30 samples: weight decay 0.03"]
assert (after[:, 1] < before[:, 1]).sum() == 4
print("weight decay with 30 samples: loss", end=" ")
print(*(f"{b:.2f} → {a:.2f}" for a, b in zip(after[:, 1], before[:, 1])), sep=", ")

# %% [markdown]
# Ten times the rate cures the rate that was too small, and ruins the network of four units; more units cure that one. A tenth of
# 5 helps, but 0.5 is still too large. For the 30 samples, 70 more lower the loss on all five starts, weight decay
# (at this one strength) on four. What you saw, and what to do:
#
# | symptom | seen above | likely cause | try |
# |---|---|---|---|
# | loss ends above its start and stays there; accuracy is that of guessing | learning rate 5 | learning rate too large (here all ReLUs are stuck at 0) | a tenth of it, and again |
# | training loss falls slowly and evenly; ten times the rate helps at once | learning rate 0.0005 | learning rate too small | ten times as much |
# | training loss stays high; a larger rate does not help | 4 hidden units | too few units, or too few alive; too little training | more units, longer training |
# | training loss low, validation loss high | 30 training samples | overfitting | more data, weight decay, dropout, stop earlier |
# | nothing moves at all | all weights 0 | zero or dead activations | check the initialization and the scale of inputs |
#
# ## 14 · At full size
# Nothing here needs a GPU. The same network on 28 × 28 pixels is a classic MNIST experiment: 784 inputs, `MLP(784, 512, 10)`, 60,000
# images. That has not been run for this lesson. On a GPU, the model, the images and the labels of section 10
# are sent there with `.to("cuda")`, and results come back with `.cpu()` before `.numpy()`; everything else stays. Lesson [train_pytorch](train_pytorch.ipynb) does this properly.
#
# ## What to remember
# 1. A **loss** says how wrong; its gradient says in which direction; the learning rate says how far.
# 2. Without an **activation function**, any stack of linear layers is one linear layer.
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
# That loss takes logits and includes a softmax, so it would be applied twice. Training still runs, but it minimizes a
# different loss: with 10 classes it cannot fall below about 1.46, and its gradients are small.
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
