# %% [markdown]
# # Evaluation
# *You learn which numbers may be believed, and how far.*
#
# {{budget}}
#
# **You will be able to**
# - compute precision, recall, F1, ROC and precision–recall curves by hand, and choose a threshold by what mistakes cost;
# - put an interval around a score, over samples, people or seeds, and test whether the interval keeps its promise;
# - split data so that the score answers *your* question, and measure how much a search flatters itself;
# - decide whether B beats A, and what changes when you compare twenty models;
# - measure calibration and repair it with one number.
#
# **Before this:** [Multimodal data](multimodal_data.ipynb) for splits, [Train in PyTorch](train_pytorch.ipynb) for the training loop, [Fusion](fusion.ipynb) for the data set `mood`.
#
# **Time to read:** 120 minutes with the five blanks, best in two sittings: rest before section 7, then 60 for the [exercises](exercises/evaluate.ipynb).

# %%
import sys

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn import metrics

from mmcourse import draw, evaluate, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import lesson_dir, load, results
from mmcourse.evaluate import expect_within, mean_and_interval

np.set_printoptions(precision=3, suppress=True)
stored = results("evaluate")

# %% [markdown]
# ## 1 · Two models that find complaints

# %% [markdown]
# In each message of the data set `mood`, somebody says a sentence, with a voice and a face, and feels negative, neutral or positive. Imagine a help desk that wants to answer the unhappy people first. So the task is: **is this message negative?** We call a negative message a *complaint*.
#
# Each message comes as 520 plain numbers (face, voice, counts of words). Two small networks have learned from 6,000 messages. Each gives three probabilities per message, and we use the first one, for "negative". Their code for training is that of lesson [tune](tune.ipynb); how A and B differ is in a file that you should *not* open yet.

# %% tags=["hide-input"]
sys.path.insert(0, str(lesson_dir("tune")))
sys.path.insert(0, str(lesson_dir("evaluate")))
from tune_search import few, last, train, vectors
from two_models import model_a, model_b

torch.set_num_threads(1)
SPLITS = ("train", "validation", "test")
sets = {split: load("mood", split) for split in SPLITS}
arrays = dict(zip(SPLITS, vectors(*sets.values())))  # scaled by what training shows
x = {split: torch.from_numpy(array) for split, array in arrays.items()}
y = {split: np.asarray(data.labels) for split, data in sets.items()}
targets = {split: torch.from_numpy(labels) for split, labels in y.items()}


# %%
@torch.no_grad()
def probabilities(network, split="test"):
    """Probability of negative, neutral, positive for each message: (n, 3)."""
    return network(x[split]).softmax(dim=1).numpy()


complaint = y["test"] == 0  # the truth about the 1,500 test messages
p_a = probabilities(model_a(x["train"], targets["train"]))
p_b = probabilities(model_b(x["train"], targets["train"]))
print("probabilities", p_b.shape, "· complaints among 1,500:", complaint.sum())

# %% tags=["free"]
said = sets["test"].column("words")
in_order = np.argsort(-p_b[:, 0])  # the surest complaint first
for place in (0, 50, 300, 600, 900, 1400):
    i = int(in_order[place])
    mark = "complaint" if complaint[i] else "no complaint"
    print(f"place {place:4}: {p_b[i, 0]:.2f}  {mark:12}  “{said[i]}”")
hits = complaint[in_order[:100]].sum()
print(f"complaints among the first 100: {hits};", end=" ")
print(f"in a random order: {100 * complaint.mean():.0f}")

# %% [markdown]
# It works: B has put 1,500 messages in order, the surest complaints first, and whoever reads from the top meets mostly complaints. The six messages are from fixed places in that order. (The sentence is only a third of the evidence. Where praise stands high in the list, as at place 300, it may be sarcasm: the voice and the face say something else.) Now the first 200 test messages, the same for both models. A message is called a complaint if its probability is above 0.5.

# %% tags=["free"]
called_a = p_a[:, 0] > 0.5
called_b = p_b[:, 0] > 0.5
right_a = called_a == complaint  # (1500,) True where A is right
right_b = called_b == complaint
print(f"the first 200: A is right on {right_a[:200].mean():.3f} of them,", end=" ")
print(f"B on {right_b[:200].mean():.3f}")

# %% [markdown]
# The **accuracy**, the share of right answers, is about two points higher for B. Is B better?

# %%
better_guess = widgets.guess(
    "What do these two numbers say about the two models?",
    ["B is better", "A and B are equally good", "200 messages cannot decide it"],
)
range_guess = widgets.guess(
    "A model is right with probability 0.85. On 200 messages, 95 of 100 tests say …",
    ["0.84 to 0.86", "0.83 to 0.87", "0.80 to 0.90", "0.70 to 1.00"],
)

# %% [markdown]
# Every lesson of this course reports such numbers, and so does every paper. This lesson is about three questions to ask of each: *what* does it measure, *how sure* is it, and *about whom* does it speak? (Section 10 asks whether a probability can be believed; section 12 writes the evaluation loop.)

# %% tags=["hide-input"]
canvas = draw.Canvas()
columns = [
    ("what?", "sections 2 to 4", ["which mistakes", "thresholds, curves", "regression"], "blue"),
    ("how sure?", "sections 5, 7 to 9", ["intervals", "paired tests, seeds", "many comparisons"], "orange"),
    ("about whom?", "sections 6, 11, 13", ["which split", "how much data", "people, films"], "green"),
]
for number, (title, where, parts, color) in enumerate(columns):
    head = canvas.place(draw.box(title, note=where, color=color, width=200), x=number * 235, y=0)
    for row, part in enumerate(parts):
        canvas.place(draw.box(part, color="gray", width=200), x=number * 235, y=74 + row * 46)
draw.show(
    canvas,
    alt="Three questions to ask of a score. What: which mistakes, thresholds and curves, regression. How sure: intervals, "
    "paired tests and seeds, many comparisons. About whom: which split, how much data, people and films.",
)

# %% [markdown]
# ## 2 · What kind of mistakes?

# %% [markdown]
# ### Four kinds of answers
# Twelve messages by hand. Four are complaints (1), eight are not (0).

# %%
truth = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0])
called = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0])
tp = int(((called == 1) & (truth == 1)).sum())  # true positives
fp = int(((called == 1) & (truth == 0)).sum())  # false positives
fn = int(((called == 0) & (truth == 1)).sum())  # false negatives
tn = int(((called == 0) & (truth == 0)).sum())  # true negatives
print("TP", tp, " FP", fp, " FN", fn, " TN", tn)

# %% tags=["hide-input"]
canvas = draw.Canvas()
table = draw.matrix(
    [[f"TP {tp}", f"FN {fn}"], [f"FP {fp}", f"TN {tn}"]],
    rows=["complaint", "no complaint"],
    columns=["called", "not called"],
    title="the truth in rows, the answer in columns",
    highlight=[(0, 0), (1, 1)],
)
place = canvas.place(table)
down = draw.box("precision", note="down: TP / (TP + FP)", color="orange", width=190)
along = draw.box("recall", note="along: TP / (TP + FN)", color="green", width=190)
canvas.place(along, x=place.right[0] + 50, y=24)
canvas.place(down, x=place.right[0] + 50, y=86)
draw.show(
    canvas,
    alt="A table of two rows and two columns: 3 true positives and 1 false negative in the row of complaints, 2 false "
    "positives and 6 true negatives below. Precision goes down the column called, recall along the row of complaints.",
)

# %% [markdown]
# This table is the **confusion matrix**: how often each class (row) was taken for each class (column). Two questions about complaints. Of what was *called* a complaint, how much is one? That share is the **precision**. Of what *is* a complaint, how much was found? That share is the **recall**. One without the other is easy: call everything a complaint, and recall is 1. Their harmonic mean, the **F1 score**, is high only if both are.
#
# $$P = \frac{\text{TP}}{\text{TP}+\text{FP}} \qquad R = \frac{\text{TP}}{\text{TP}+\text{FN}} \qquad F_1 = \frac{2PR}{P+R} = \frac{2\,\text{TP}}{2\,\text{TP}+\text{FP}+\text{FN}}$$
#
# The true negatives are in none of the three. So these scores stay the same however many messages are rightly left alone.

# %%
P = tp / (tp + fp)
R = tp / (tp + fn)
print(f"precision {tp}/{tp + fp} = {P:.2f}, recall {tp}/{tp + fn} = {R:.2f}", end=", ")
print(f"F1 = 2 · {P:.2f} · {R:.2f} / {P + R:.2f} = {2 * P * R / (P + R):.3f}")
print("accuracy", (called == truth).mean().round(3))

# %% [markdown]
# ### Accuracy 0.9 that knows nothing
# Now suppose that only one message in ten is a complaint. Keep all test messages that are not complaints, and add just enough complaints to make 10 %. A **dummy baseline** looks at nothing: here it always gives the commonest answer, "no complaint" (that one is also called the *majority-class baseline*).

# %%
from sklearn.dummy import DummyClassifier

g = np.random.default_rng(0)
others = np.flatnonzero(~complaint)
few_complaints = g.choice(np.flatnonzero(complaint), len(others) // 9, replace=False)
stream = np.sort(np.concatenate([others, few_complaints]))  # which test messages
rare = complaint[stream]
print(f"{len(stream):,} messages, {rare.sum()} complaints: {rare.mean():.1%}")
dummy = DummyClassifier(strategy="most_frequent").fit(np.zeros((len(rare), 1)), rare)
nothing = dummy.predict(np.zeros((len(rare), 1)))
recall = metrics.recall_score(rare, nothing)
print(f"the dummy: accuracy {(nothing == rare).mean():.3f}, recall {recall:.3f}")

# %% tags=["free"]
print("                 accuracy  precision     recall         F1   balanced")
for name, answers in {"dummy": nothing, "B": called_b[stream]}.items():
    row = [
        metrics.accuracy_score(rare, answers),
        metrics.precision_score(rare, answers, zero_division=0),
        metrics.recall_score(rare, answers),
        metrics.f1_score(rare, answers),
        metrics.balanced_accuracy_score(rare, answers),
    ]
    print(f"{name:14}", *[f"{value:10.3f}" for value in row])

# %%
accuracy_b = (called_b[stream] == rare).mean()
assert accuracy_b < (nothing == rare).mean(), "B is less accurate than the dummy"
expect_within("accuracy of B among rare complaints", accuracy_b, 0.86, 0.04)
recall_b = called_b[stream][rare].mean()
expect_within("recall of B among rare complaints", recall_b, 0.70, 0.08)

# %% [markdown]
# By accuracy, the dummy beats the network. It also finds not one complaint. So put the dummy into every table, and look at more than accuracy where a class is rare. **Balanced accuracy** is the mean of the recalls of all classes; a dummy gets 1/2 of it with two classes, whatever the shares are.
#
# ### Three classes
# Back to all three answers: negative, neutral, positive. The confusion matrix has three rows now, and each class has its own precision, recall and F1.

# %% tags=["hide-input", "free"]
table_b = evaluate.confusion_matrix(y["test"], p_b.argmax(axis=1))
fig = plot.confusion(table_b, ["negative", "neutral", "positive"], title="What does B take for what?")
plot.show(fig, alt="Most messages lie on the diagonal; neutral is missed most often.")

# %% [markdown]
# **Your turn (blank 1).** Compute precision, recall and F1 of every class from a confusion matrix. Where nothing can be divided (a class that is never predicted has $P = 0/0$), the score is 0.
# <details><summary>Hint 1</summary>
#
# The hits of all classes are on the diagonal, `table.diagonal()`. How often a class is predicted is the sum of its column.
# </details>
# <details><summary>Hint 2</summary>
#
# `np.maximum(count, 1)` as a divisor turns 0/0 into 0/1. And $F_1 = 2\,\text{TP}/(\text{predicted} + \text{true})$.
# </details>


# %%
def class_scores(table):
    """Confusion matrix (k, k), truth in rows → precision, recall, F1, (k,) each."""
    # BEGIN SOLUTION
    # BLANK: precision = ...
    # BLANK: recall = ...
    # BLANK: f1 = ...
    hits = table.diagonal()
    predicted = table.sum(axis=0)
    true = table.sum(axis=1)
    precision = hits / np.maximum(predicted, 1)
    recall = hits / np.maximum(true, 1)
    f1 = 2 * hits / np.maximum(predicted + true, 1)
    # END SOLUTION
    return precision, recall, f1


class_scores = check("evaluate.blank.1", class_scores)

# %% [markdown]
# Three numbers per score; to get one, average. The **macro average** is the plain mean over classes: each class counts alike. The *weighted* average counts a class by how common it is. The **micro average** pools the counts of all classes first; where each message has one class, that gives the accuracy again. Two models on twelve messages show how much this choice matters:

# %%
three = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2])  # mostly neutral
one_answer = np.ones(12, int)  # "neutral", every time
tries = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
for name, answers in {"always neutral": one_answer, "tries": tries}.items():
    f1 = class_scores(evaluate.confusion_matrix(three, answers, 3))[2]
    row = {}
    for average in ("macro", "weighted", "micro"):
        value = metrics.f1_score(three, answers, average=average, zero_division=0)
        row[average] = round(float(value), 2)
    assert abs(f1.mean() - row["macro"]) < 0.006  # your F1, averaged
    print(f"{name:15} F1 per class {f1}", row)

# %% [markdown]
# Equal accuracy (the micro average), but a macro F1 of 0.46 against 0.27. Say which average you report.
#
# scikit-learn gives the same three scores as yours, for every class of B:

# %%
answers_b = p_b.argmax(axis=1)
by_library = metrics.precision_recall_fscore_support(y["test"], answers_b)
largest = np.abs(np.array(class_scores(table_b)) - np.array(by_library[:3])).max()
print("largest difference from scikit-learn:", largest.round(9))

# %% [markdown]
# ## 3 · Thresholds and curves

# %% [markdown]
# ### By hand: eight messages in order
# A model gives a **score**, a number that is higher the more it believes in a complaint. Where to cut is *your* decision. Here are eight messages, ordered by score.

# %%
score_8 = np.array([0.95, 0.90, 0.80, 0.70, 0.55, 0.45, 0.30, 0.10])
truth_8 = np.array([1, 1, 0, 1, 0, 1, 0, 0])

# %% tags=["hide-input"]
canvas = draw.Canvas()
names = ["complaint" if t else "other" for t in truth_8]
cells = draw.tokens(
    [f"{s:.2f}" for s in score_8],
    ids=[int(t) for t in truth_8],
    highlight=[i for i in range(8) if truth_8[i]],
    title="scores in order; below, the truth (1 = complaint)",
)
place = canvas.place(cells)
cut = place.left[0] + (place.right[0] - place.left[0]) * 4 / 8
canvas.line((cut, 22), (cut, place.bottom[1] + 18), color="orange", width=3)
below = place.bottom[1] + 34
canvas.text("← called", cut - 100, below, size=13)
canvas.text("threshold 0.6", cut, below, size=13)
canvas.text("not called →", cut + 100, below, size=13)
draw.show(
    canvas,
    alt="Eight scores in falling order with their truth: 1, 1, 0, 1, 0, 1, 0, 0. A threshold of 0.6 cuts after the fourth.",
)

# %% [markdown]
# Lower the threshold from above the highest score, one message at a time. Each complaint that comes in is a step *up*: the **true positive rate** (recall) rises by 1/4. Each other message is a step to the *right*: the **false positive rate**, the share of all other messages that are called, rises by 1/4.

# %%
tpr = np.concatenate([[0], np.cumsum(truth_8) / truth_8.sum()])
fpr = np.concatenate([[0], np.cumsum(1 - truth_8) / (1 - truth_8).sum()])
print("true positive rate ", tpr)
print("false positive rate", fpr)
precision_8 = np.cumsum(truth_8) / np.arange(1, 9)  # complaints among those called
print("precision          ", precision_8)

# %% [markdown]
# The path of these points is the **ROC curve** (receiver operating characteristic; the name comes from radar). The area under it is **AUC**. It has a meaning that needs no curve: draw one complaint and one other message at random; AUC is the probability that *the complaint has the higher score*. Count all 4 × 4 pairs:

# %%
pairs = score_8[truth_8 == 1][:, None] > score_8[truth_8 == 0][None, :]  # (4, 4)
print(pairs.astype(int))
print("pairs in the right order:", pairs.sum(), "of", pairs.size, "=", pairs.mean())
area = np.sum(np.diff(fpr) * tpr[1:])  # width × height of each step to the right
print("area under the ROC curve:", area)

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(3.7, 3.4))
ax.fill_between(fpr, tpr, step=None, color=plot.BLUE, alpha=0.12)
ax.plot(fpr, tpr, "o-", color=plot.BLUE)
ax.plot([0, 1], [0, 1], ":", color=plot.GRAY)
for i in range(8):
    ax.annotate(f"{score_8[i]:.2f}", (fpr[i + 1], tpr[i + 1]), (5, -11), textcoords="offset points", fontsize=8)
ax.set(xlabel="false positive rate", ylabel="true positive rate (recall)", xlim=(-0.03, 1.1), ylim=(-0.03, 1.06))
ax.set_title("Up for a complaint, right for another", fontsize=11)
plot.show(fig, alt="ROC curve of eight messages as steps from (0, 0) to (1, 1), above the dotted diagonal of chance.")

# %% [markdown]
# Chance is the dotted diagonal, with AUC 1/2. If two scores are *equal*, a coin would decide, so such a pair counts one half.
#
# **Your turn (blank 2).** Compute AUC from scores and truth by comparing all pairs, ties included.
# <details><summary>Hint 1</summary>
#
# Split the scores in two: those of complaints (`truth == 1`) and the others. `a[:, None]` and `b[None, :]` compare each with each.
# </details>
# <details><summary>Hint 2</summary>
#
# The mean of `(higher > lower)` plus half the mean of `(higher == lower)`.
# </details>


# %%
def auc_by_pairs(scores, truth):
    """Probability that a positive has a higher score than a negative; ties count ½."""
    # BEGIN SOLUTION
    positive = scores[truth == 1]
    negative = scores[truth == 0]
    higher = positive[:, None] > negative[None, :]
    equal = positive[:, None] == negative[None, :]
    return higher.mean() + 0.5 * equal.mean()
    # END SOLUTION


auc_by_pairs = check("evaluate.blank.2", auc_by_pairs)

# %%
by_library = metrics.roc_auc_score(complaint, p_b[:, 0])
difference = abs(auc_by_pairs(p_b[:, 0], complaint) - by_library)
assert difference < 1e-9
expect_within("AUC of B on the 1,500 test messages", by_library, 0.89, 0.03)

# %% [markdown]
# ### The other curve
# The **precision–recall curve** has recall to the right and precision upwards. Both curves come from the same threshold. **Turn the knob**, and watch one threshold move a point on both.


# %% tags=["hide-input", "free"]
def two_curves(scores, labels):
    fpr, tpr, _ = metrics.roc_curve(labels, scores)
    precision, recall, _ = metrics.precision_recall_curve(labels, scores)
    return fpr, tpr, precision, recall


def show_threshold(threshold=0.5):
    """Scores of B, cut at a threshold, and the point on both curves."""
    scores = p_b[:, 0]
    fpr, tpr, precision, recall = two_curves(scores, complaint)
    cut = scores > threshold
    hits = (cut & complaint).sum()
    found = hits / complaint.sum()
    alarms = (cut & ~complaint).sum() / (~complaint).sum()
    exact = hits / max(cut.sum(), 1)
    fig, axes = plt.subplots(1, 3, figsize=(7.9, 2.8), width_ratios=(1.2, 1, 1))
    bins = np.linspace(0, 1, 21)
    axes[0].hist([scores[complaint], scores[~complaint]], bins, color=[plot.ORANGE, plot.SKY])
    axes[0].axvline(threshold, color=plot.BLACK)
    axes[0].legend(["threshold", "complaints", "others"], fontsize=8)
    axes[0].set(xlabel="probability of a complaint", ylabel="messages")
    axes[1].plot(fpr, tpr, color=plot.BLUE)
    axes[1].plot([0, 1], [0, 1], ":", color=plot.GRAY)
    axes[1].plot(alarms, found, "o", color=plot.BLACK)
    axes[1].set(xlabel="false positive rate", ylabel="recall", title="ROC")
    axes[2].plot(recall, precision, color=plot.BLUE)
    axes[2].axhline(complaint.mean(), linestyle=":", color=plot.GRAY)
    axes[2].plot(found, exact, "o", color=plot.BLACK)
    axes[2].set(xlabel="recall", ylabel="precision", ylim=(0, 1.03), title="precision–recall")
    for ax in axes[1:]:
        ax.title.set_fontsize(10)
    alt = f"Threshold {threshold:.2f}: recall {found:.2f}, precision {exact:.2f}, false positive rate {alarms:.2f}."
    plot.show(fig, alt=alt)
    print(alt)


widgets.slider(show_threshold, threshold=(0.05, 0.95, 0.05))

# %% [markdown]
# Dotted is what a coin would reach: the diagonal of ROC, and for precision the share of complaints. **Average precision** (AP) sums up the second curve: the mean of the precisions at each complaint found, from the surest down. For the eight messages that is the mean of the precisions in places 1, 2, 4 and 6:

# %%
by_hand = precision_8[truth_8 == 1].mean()
print("precision at each complaint:", precision_8[truth_8 == 1], f"mean {by_hand:.4f}")
print(f"scikit-learn: {metrics.average_precision_score(truth_8, score_8):.4f}")

# %% [markdown]
# What happens to both where complaints are rare? The model stays the same, and so do the scores; only the mix changes. (This is the stream of section 2, with 10 % complaints instead of 36 %.)

# %%
rare_guess = widgets.guess(
    "Complaints become rare. Which falls?",
    ["AUC of ROC", "average precision", "both", "neither"],
)

# %%
auc, ap = {}, {}
for share, labels, scores in [
    ("36 %", complaint, p_b[:, 0]),
    ("10 %", rare, p_b[stream, 0]),
]:
    auc[share] = metrics.roc_auc_score(labels, scores)
    ap[share] = metrics.average_precision_score(labels, scores)
    expect_within(f"AUC with {share} complaints", auc[share], 0.89, 0.03)
expect_within("average precision with 36 % complaints", ap["36 %"], 0.81, 0.05)
expect_within("average precision with 10 % complaints", ap["10 %"], 0.46, 0.08)
rare_guess.compare("average precision")

# %% [markdown]
# Rates *within* a class do not change when a class becomes rare, so ROC stays. Precision mixes the two classes: with few complaints there are as many false alarms as before, and fewer hits. Where positives are rare and somebody has to look at every alarm, report the precision–recall curve (Davis and Goadrich 2006; Saito and Rehmsmeier 2015). And do not compare AP values between sets with different shares of positives.
#
# ### Which threshold? What mistakes cost
# Suppose that a missed complaint costs 5 euros and a false alarm 1. If the probability $p$ can be believed, calling costs $(1 - p) \cdot 1$ on average and not calling costs $p \cdot 5$. So call where
#
# $$p > \frac{c_{\text{FP}}}{c_{\text{FP}} + c_{\text{FN}}} = \frac{1}{1 + 5} = 0.17$$
#
# (Elkan 2001). Or do not believe it, try every threshold on *validation* data, and take the cheapest. The test messages then say what each choice costs.


# %% tags=["free"]
def cost(scores, labels, threshold, miss=5, alarm=1):
    """Mean cost per message."""
    called = scores > threshold
    misses = (~called & labels).mean()
    alarms = (called & ~labels).mean()
    return miss * misses + alarm * alarms


network_b = model_b(x["train"], targets["train"])  # the same network again
p_valid = probabilities(network_b, "validation")[:, 0]
complaint_valid = y["validation"] == 0
candidates = np.linspace(0.01, 0.99, 99)
costs_valid = [cost(p_valid, complaint_valid, t) for t in candidates]
cheapest = candidates[np.argmin(costs_valid)]
choices = {"one half": 0.5, "by the formula": 1 / 6, "cheapest on validation": cheapest}
for name, t in choices.items():
    on_test = cost(p_b[:, 0], complaint, t)
    print(f"{name:23} threshold {t:.2f}, cost on test {on_test:.3f}")
print(f"call everything: {(~complaint).mean():.3f}")
print(f"call nothing: {5 * complaint.mean():.3f}")

# %%
saved = cost(p_b[:, 0], complaint, 0.5) - cost(p_b[:, 0], complaint, cheapest)
expect_within("euros per message that the cheapest threshold saves", saved, 0.22, 0.12)

# %% [markdown]
# There is nothing special about the threshold 0.5: it is the best one where both mistakes cost the same and the probabilities can be believed. (Whether they can is the question of section 10.)
#
# ## 4 · When the answer is a number

# %% [markdown]
# A **regression** model predicts a number: a temperature, a price, an age. Four days, and what a model said:

# %%
measured = np.array([10.0, 12.0, 14.0, 20.0])
predicted = np.array([11.0, 11.0, 15.0, 17.0])
error = predicted - measured
mae = np.abs(error).mean()
rmse = np.sqrt((error**2).mean())
spread = ((measured - measured.mean()) ** 2).mean()  # what the mean alone leaves
r2 = 1 - (error**2).mean() / spread
print("errors", error)
print(f"MAE  = ({' + '.join(f'{e:g}' for e in np.abs(error))}) / 4 = {mae:.2f} degrees")
print(f"RMSE = √(({' + '.join(f'{e:g}' for e in error**2)}) / 4) = {rmse:.2f} degrees")
print(f"R²   = 1 − {np.mean(error**2):.2f} / {spread:.2f} = {r2:.2f}")

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(7.2, 2.7), sharey=True)
days = np.arange(1, 5)
for ax, guess, name in (
    (axes[0], predicted, "errors of the model"),
    (axes[1], np.full(4, measured.mean()), "errors of the mean, 14"),
):
    ax.plot(days, guess, "_", color=plot.ORANGE, markersize=22, markeredgewidth=3)
    ax.vlines(days, measured, guess, color=plot.ORANGE, linewidth=2)
    ax.plot(days, measured, "o", color=plot.BLUE)
    ax.set(xlabel="day", xticks=days, xlim=(0.5, 4.5), ylim=(8, 21))
    ax.set_title(name, fontsize=10)
axes[0].set_ylabel("degrees")
plot.show(
    fig,
    alt="Four measured temperatures as dots. Left, short bars to the model's predictions; right, longer bars to their mean, 14.",
)

# %% [markdown]
# In formulas, with the measured $y_i$, their mean $\bar y$ and the predicted $\hat y_i$:
#
# $$\text{MAE} = \frac1n\sum_i |\hat y_i - y_i| \qquad \text{RMSE} = \sqrt{\frac1n\sum_i (\hat y_i - y_i)^2} \qquad R^2 = 1 - \frac{\sum_i (\hat y_i - y_i)^2}{\sum_i (y_i - \bar y)^2}$$
#
# The **mean absolute error** (MAE) is in the unit of the data. The **root mean squared error** (RMSE) counts large errors more; it is never below MAE. **R²**, the *coefficient of determination*, compares with a dummy that always gives the mean: 1 is perfect, 0 is no better than that dummy. Despite its name it can be *below 0*. Real data: 442 people with diabetes, ten measurements each, and how far the disease had progressed a year later (Efron et al. 2004). The scores are from five-fold cross-validation (section 6).

# %%
from sklearn.datasets import load_diabetes
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_validate
from sklearn.tree import DecisionTreeRegressor

patients, progress = load_diabetes(return_X_y=True)
regressors = {
    "dummy (mean)": DummyRegressor(),
    "linear regression": LinearRegression(),
    "full tree": DecisionTreeRegressor(random_state=0),
}
scoring = {"mae": "neg_mean_absolute_error", "r2": "r2"}
folds = KFold(5, shuffle=True, random_state=0)
r2_of = {}
for name, regressor in regressors.items():
    found = cross_validate(
        regressor,
        patients,
        progress,
        cv=folds,
        scoring=scoring,
        return_train_score=True,
    )
    r2_of[name] = found["test_r2"].mean()
    print(f"{name:18} MAE {-found['test_mae'].mean():5.1f}", end="   ")
    in_training, on_new = found["train_r2"].mean(), found["test_r2"].mean()
    print(f"R² in training {in_training:5.2f}, on new people {on_new:5.2f}")
expect_within("R² of the line on new people", r2_of["linear regression"], 0.48, 0.04)
expect_within("R² of the tree on new people", r2_of["full tree"], -0.15, 0.15)

# %% [markdown]
# The tree knows all training people by heart (R² 1) and is *worse than the mean* on new ones. R² depends on the spread of the data: the same errors among people who differ less give a lower R². So report an error in the unit too.

# %% [markdown]
# ## 5 · How sure? Intervals

# %% [markdown]
# ### A test set is a sample
# B was tested on 200 messages. Cut the first 1,400 of the 1,500 into seven parts of 200 and test it on each:

# %% tags=["free"]
seven = right_b[:1400].reshape(7, 200).mean(axis=1)
print("B on seven times 200 messages:", seven)
print("A on the same:                ", right_a[:1400].reshape(7, 200).mean(axis=1))
expect_within("B, highest minus lowest of the seven", np.ptp(seven), 0.07, 0.05)

# %% [markdown]
# One model, and scores that differ by several points: the messages are a *sample*, and another sample gives another score. (The first 200, by luck, are easier than the rest, for A as well as for B. Keep that in mind for section 7.) How wide is the range? Suppose a model is right with probability 0.85, independently for each message. **Turn the knob**: how many messages does it take until 95 of 100 tests lie within one point of the truth?


# %% tags=["hide-input"]
def show_tests(messages=200):
    """What 20,000 tests of one model say."""
    g = np.random.default_rng(0)
    scores = g.binomial(messages, 0.85, 20_000) / messages
    low, high = np.quantile(scores, [0.025, 0.975])
    fig, ax = plt.subplots(figsize=(6.4, 2.2))
    ax.hist(scores, np.linspace(0.645, 1.005, 73), color=plot.SKY, density=True)
    ax.axvspan(low, high, color=plot.ORANGE, alpha=0.2)
    ax.axvline(0.85, color=plot.BLACK, linewidth=1)
    ax.set(xlabel="accuracy of one test (line: the truth; band: 95 of 100 tests)", yticks=[], xlim=(0.64, 1.01))
    alt = f"With {messages} messages, 95 of 100 tests say between {low:.3f} and {high:.3f}; the truth is 0.85."
    plot.show(fig, alt=alt)
    print(alt)


widgets.slider(show_tests, messages=[20, 50, 100, 200, 500, 1500, 5000])

# %%
range_guess.compare("0.80 to 0.90")

# %% [markdown]
# Four times the messages, half the width. Now turn it round: we measured $\hat p$ on $n$ messages; where may the truth lie? A **confidence interval** is a range computed from the data, by a recipe that contains the truth in, say, 95 of 100 repetitions. How often it really contains the truth is its **coverage**. The simplest one, the **Wald interval**, comes from the normal distribution:
#
# $$\hat p \pm 1.96 \sqrt{\hat p (1 - \hat p) / n}$$

# %%
for right, n in [(170, 200), (19, 20), (20, 20)]:
    p_hat = right / n
    half = 1.96 * np.sqrt(p_hat * (1 - p_hat) / n)
    low, high = p_hat - half, p_hat + half
    print(f"{right} of {n}: {p_hat:.3f} ± {half:.3f}, from {low:.3f} to {high:.3f}")

# %% [markdown]
# The last two lines are absurd: an accuracy above 1, and certainty from 20 messages. The **Wilson interval** (1927) asks instead: *for which true $p$ would $\hat p$ be no surprise?* Solve that for $p$, with $z = 1.96$:
#
# $$\frac{\hat p + \frac{z^2}{2n} \pm z \sqrt{\frac{\hat p (1 - \hat p)}{n} + \frac{z^2}{4n^2}}}{1 + \frac{z^2}{n}}$$
#
# **Your turn (blank 3).** Write it.
# <details><summary>Hint 1</summary>
#
# Three parts: the middle $\hat p + z^2/2n$, the half-width with the root, and the divisor $1 + z^2/n$.
# </details>
# <details><summary>Hint 2</summary>
#
# `half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))`
# </details>


# %%
def wilson(right, n, z=1.96):
    """Interval for the probability of being right, from `right` of `n`: (low, high)."""
    # BEGIN SOLUTION
    p = right / n
    middle = p + z**2 / (2 * n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    divisor = 1 + z**2 / n
    return (middle - half) / divisor, (middle + half) / divisor
    # END SOLUTION


wilson = check("evaluate.blank.3", wilson)

# %%
for right, n in [(170, 200), (19, 20), (20, 20)]:
    low, high = wilson(right, n)
    print(f"{right} of {n}: from {low:.3f} to {high:.3f}")

# %% [markdown]
# Does an interval keep its promise? That can be *tried*, where the truth is known: repeat the experiment, and count how often the interval contains it.


# %%
def wald(right, n, z=1.96):
    p = right / n
    half = z * np.sqrt(p * (1 - p) / n)
    return p - half, p + half


def coverage(interval, n, truth, repetitions=20_000):
    """How often the interval contains the truth."""
    right = np.random.default_rng(0).binomial(n, truth, repetitions)
    low, high = interval(right, n)
    return np.mean((low <= truth) & (truth <= high))


print("   n   truth      Wald     Wilson")
for n, p in [(20, 0.85), (20, 0.95), (50, 0.95), (200, 0.85), (1500, 0.85)]:
    by_wald, by_wilson = coverage(wald, n, p), coverage(wilson, n, p)
    print(f"{n:5} {p:6.2f} {by_wald:10.3f} {by_wilson:10.3f}")
assert coverage(wald, 20, 0.95) < 0.70 < 0.91 < coverage(wilson, 20, 0.95)

# %% [markdown]
# With 20 messages and a true 0.95, the Wald interval contains the truth two times in three, not 19 in 20. Wilson stays within three points of its promise everywhere in the table. With a true 0.85 they agree from 200 messages on.
#
# ### The bootstrap
# F1, AUC or a macro average have no such formula. The **bootstrap** (Efron 1979) needs none. Your test set is the best picture of the world that you have. So draw from *it*, with replacement, as many messages as it has; compute the score; repeat; and take the middle 95 % of the scores.

# %%
g = np.random.default_rng(1)
print("ten messages     ", np.arange(10))
for repetition in range(3):
    print("drawn from them  ", np.sort(g.integers(0, 10, 10)))


# %%
def bootstrap(score, *columns, rounds=500, seed=0):
    """95 % interval of score(*columns) over samples drawn with replacement."""
    g = np.random.default_rng(seed)
    n = len(columns[0])
    found = []
    for _ in range(rounds):
        rows = g.integers(0, n, n)
        found.append(score(*[column[rows] for column in columns]))
    return np.quantile(found, [0.025, 0.975])


def macro_f1(labels, answers):
    return class_scores(evaluate.confusion_matrix(labels, answers, 3))[2].mean()


# %% tags=["free"]
low, high = bootstrap(macro_f1, y["test"], answers_b)
f1_b = macro_f1(y["test"], answers_b)
print(f"macro F1 of B: {f1_b:.3f}, from {low:.3f} to {high:.3f}")
low, high = bootstrap(metrics.roc_auc_score, complaint, p_b[:, 0])
auc_b = metrics.roc_auc_score(complaint, p_b[:, 0])
print(f"AUC of B:      {auc_b:.3f}, from {low:.3f} to {high:.3f}")

# %% [markdown]
# ### What is one draw?
# Both methods take the messages as independent draws. Often they are not: twelve people speak, 40 recordings each. If people differ in how well they are understood, the 40 recordings of one person share their luck. There are 480 recordings, and twelve *people*. So draw people: a **grouped bootstrap** (or *cluster bootstrap*) draws whole groups with replacement, with all that belongs to them.

# %% tags=["hide-input"]
canvas = draw.Canvas()
colors = ("blue", "orange", "green")
people = [draw.tokens([f"{name}{i}" for i in range(1, 5)], color=color) for name, color in zip("abc", colors)]
before = None
for row, part in enumerate(people):
    canvas.place(part, x=0, y=row * 44)
canvas.text("measured", 66, -18, size=13, bold=True)
mixed = [["a2", "c1", "a2", "b4"], ["c3", "b1", "a4", "c1"], ["b1", "c4", "b3", "a1"]]
for row, texts in enumerate(mixed):
    canvas.place(draw.tokens(texts, color="gray"), x=215, y=row * 44)
canvas.text("recordings drawn", 281, -18, size=13, bold=True)
for row, which in enumerate((0, 2, 2)):
    part = draw.tokens([f"{'abc'[which]}{i}" for i in range(1, 5)], color=colors[which])
    canvas.place(part, x=430, y=row * 44)
canvas.text("people drawn", 494, -18, size=13, bold=True)
draw.show(
    canvas,
    alt="Three people a, b, c with four recordings each. Drawing recordings mixes all twelve. Drawing people takes a, c and "
    "c again, each with all four recordings.",
)

# %% [markdown]
# A small world in which the truth is known: each person is understood with a probability of their own, 0.75 in the mean over all people (with a spread of 0.12). Repeat the whole experiment 1,000 times, each time with a 95 % interval over *recordings* and one over *people*. The question is about the first.

# %%
people_guess = widgets.guess(
    "12 people, 480 recordings. How often is the truth in the 95 % interval over them?",
    ["95 %", "about 90 %", "about 80 %", "about two thirds"],
)


# %%
def experiment(num_people, clips=40, people_differ=True, repetitions=1000, rounds=400):
    """Coverage of three 95 % intervals for the mean over all people, 0.75."""
    g = np.random.default_rng(0)
    truth = 0.75
    chance_of = np.full((repetitions, num_people), truth)
    if people_differ:
        chance_of = g.beta(9, 3, (repetitions, num_people))  # mean 0.75
    share = g.binomial(clips, chance_of) / clips  # each person's score
    mean = share.mean(axis=1)
    contains = {}
    # over recordings: n draws with replacement from right and wrong ones
    n = num_people * clips
    drawn = g.binomial(n, mean[:, None], (repetitions, rounds)) / n
    low, high = np.quantile(drawn, [0.025, 0.975], axis=1)
    contains["recordings"] = (low <= truth) & (truth <= high)
    # over people: whole people with replacement
    who = g.integers(0, num_people, (repetitions, rounds * num_people))
    drawn = np.take_along_axis(share, who, axis=1)
    drawn = drawn.reshape(repetitions, rounds, num_people).mean(axis=2)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=1)
    contains["people"] = (low <= truth) & (truth <= high)
    # Student's t over the people's scores
    intervals = [mean_and_interval(row) for row in share]
    contains["student"] = [abs(m - truth) <= half for m, half in intervals]
    return {name: float(np.mean(found)) for name, found in contains.items()}


print("people   recordings drawn   people drawn   Student's t over people")
for num_people in (6, 12, 24):
    found = experiment(num_people)
    print(f"{num_people:6} {found['recordings']:14.3f}", end="")
    print(f"{found['people']:17.3f} {found['student']:19.3f}")
    assert found["recordings"] < 0.75 < 0.83 < found["people"]
alike = experiment(12, people_differ=False)
print("12 people who do not differ:", alike)
people_guess.compare("about two thirds")

# %% [markdown]
# Recordings as draws: an interval that claims 95 % contains the truth about two times in three, and more people do not mend it. With people as draws the bootstrap comes much closer. It is still too narrow, most of all with six people (its draws can only be the people that were there). **Student's t interval** over the people's scores, which is wider for small numbers (section 8 says how much), is the best of the three here. The last line is the control: if people do *not* differ, all three come within two points of their promise. So it is the differences between people that spoil the first interval, not the number of recordings.
#
# Say what your interval is about: other *recordings* of these people, or other *people*.
#
# ## 6 · About whom? Splits and cross-validation

# %% [markdown]
# ### Folds
# With little data, a separate test set takes away samples that training needs. **Cross-validation** lets each sample be tested once: split into $k$ **folds**, train on all but one, test on that one, $k$ times. The question is what a fold may share with the rest.

# %% tags=["hide-input"]
voices = list("aaabbbccc")
canvas = draw.Canvas()
for side, (title, fold_of) in enumerate(
    [
        ("folds by recording", [0, 1, 2, 2, 0, 1, 1, 2, 0]),
        ("folds by voice", [0, 0, 0, 1, 1, 1, 2, 2, 2]),
    ]
):
    canvas.text(title, side * 375 + 135, -16, size=13, bold=True)
    for fold in range(3):
        tested = [i for i in range(9) if fold_of[i] == fold]
        part = draw.tokens(voices, color="gray", highlight=tested)
        canvas.place(part, x=side * 375, y=fold * 44)
canvas.text("orange: tested; gray: trained on; letters: whose voice", 322, 140, size=13)
draw.show(
    canvas,
    alt="Nine recordings of three voices a, b, c, in three folds. By recording, each tested voice is in training too. By "
    "voice, all recordings of a voice are tested together.",
)

# %% [markdown]
# 36 synthetic voices say ten digits, four times each. Give each voice its own room, as in lesson [multimodal_data](multimodal_data.ipynb): an echo and a hiss that go with the voice. Twelve voices are ours to work with; the other 24 stay outside and are the truth.

# %% tags=["hide-input"]
from mmcourse.datasets.avdigits import voices as avdigits_voices

clips = avdigits_voices.read_clips("embedded")
person = np.searchsorted(np.unique(clips.speaker), clips.speaker)  # (1440,) a number for each voice


def in_their_room(wave, person, number):
    """The recording with this voice's echo and noise."""
    g = np.random.default_rng(person)
    echo = g.normal(size=7) * 0.8 ** np.arange(1, 8)
    color = g.normal(size=16)
    snr_db = g.uniform(0, 15)
    wave = np.convolve(wave, [1, *echo])[: len(wave)]
    hiss = np.random.default_rng([person, number]).normal(size=len(wave) + 15)
    hiss = np.convolve(hiss, color, "valid")
    wave = wave + hiss * np.sqrt((wave**2).mean() / (hiss**2).mean() / 10 ** (snr_db / 10))
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


waves = [in_their_room(w, who, i) for i, (w, who) in enumerate(zip(clips.waves, person))]
mels = avdigits_voices.log_mels(waves)
eighths = [[part.mean(axis=0) for part in np.array_split(mel, 8)] for mel in mels]
spoken = np.reshape(eighths, (len(mels), -1))  # (1440, 256)
digit = clips.digit

# %%
plot.audio(waves[0], 8000, label=f"One of the voices says {digit[0]}")
print("features", spoken.shape, "of", len(np.unique(person)), "voices")

# %%
fold_guess = widgets.guess(
    "24 voices nobody trained on: accuracy 0.76. What do folds by recording promise?",
    ["about 0.76", "about 0.85", "about 0.97"],
)

# %%
from sklearn.model_selection import (
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

# the scaler is inside: it learns from the training folds only
recognizer = make_pipeline(StandardScaler(), SVC(C=10))


def three_numbers(known):
    """Accuracy: folds by recording, folds by voice, voices not heard in training."""
    ours = spoken[known], digit[known]
    by_recording = StratifiedKFold(6, shuffle=True, random_state=0)
    by_voice = StratifiedGroupKFold(6)
    return (
        cross_val_score(recognizer, *ours, cv=by_recording).mean(),
        cross_val_score(recognizer, *ours, cv=by_voice, groups=person[known]).mean(),
        recognizer.fit(*ours).score(spoken[~known], digit[~known]),
    )


draws = []
for seed in range(5):
    twelve = np.random.default_rng(seed).permutation(36)[:12]
    draws.append(np.isin(person, twelve))
numbers = np.array([three_numbers(known) for known in draws])  # (5 draws of twelve, 3)

# %%
expect_within("folds by recording", numbers[:, 0].mean(), 0.97, 0.02)
expect_within("folds by voice", numbers[:, 1].mean(), 0.76, 0.05)
expect_within("24 other voices", numbers[:, 2].mean(), 0.76, 0.05)

# %% tags=["free"]
for name, k in [("by recording", 0), ("by voice", 1)]:
    mean, half = mean_and_interval(numbers[:, k] - numbers[:, 2])
    print(f"folds {name:12} minus the 24 other voices: {mean:+.3f} ± {half:.3f}")
fold_guess.compare("about 0.97")

# %% [markdown]
# (± is a 95 % interval by Student's t over five draws of the twelve. The draws share voices, so it is approximate.) Folds by recording promise about twenty points too many: each voice is on both sides. **Grouped cross-validation** (`StratifiedGroupKFold`, `GroupKFold`) keeps each group in one fold; here it shows no such bias, though the interval from five draws is wide (nine points either way). Group by whatever will be new in use: the person, the hospital, the week. Section 13 does it with real people.
#
# ### A search flatters itself
# You try 49 recipes (seven choices of columns, seven classifiers for each) with cross-validation and keep the best. Is its score what you will get? Each score is the truth plus luck, and the largest of 49 is likely to have much luck. Here is the cleanest test: give each message a **random label**. Nothing can be learned, and with three classes the truth is 1/3.

# %%
search_guess = widgets.guess(
    "Random labels, 90 messages, 49 recipes. The best score is about …",
    ["0.33", "0.36", "0.46", "0.60"],
)

# %%
search = stored["nested"]
repetitions = len(search["random"]["best"])
recipes, messages = search["num_configurations"], search["num_samples"]
print(f"stored run: {recipes} recipes, {messages} messages, {repetitions} repetitions")
optimism = {}
for name, title in [("random", "random labels"), ("mood", "true labels")]:
    rows = {key: np.array(search[name][key]) for key in ("best", "nested", "truth")}
    truth = rows["truth"].mean()
    print(f"\n{title}: the chosen recipe on 1,950 other messages {truth:.3f}")
    says_of = {"best": "best of the search", "nested": "nested cross-validation"}
    for key, says in says_of.items():
        optimism[name, key] = mean_and_interval(rows[key] - rows["truth"])
        mean, half = optimism[name, key]
        print(f"  {says:24} {rows[key].mean():.3f}", end="   ")
        print(f"minus the truth {mean:+.3f} ± {half:.3f}")
search_guess.compare("0.46")

# %% [markdown]
# On labels that mean nothing, the search still reports 0.46. **Nested cross-validation** puts the whole search *inside* each training part: the outer fold that tests the winner had no say in the choice (Varma and Simon 2006; Cawley and Talbot 2010). Here no bias of the nested score is seen, for either kind of labels; with eight repetitions the intervals are wide.

# %% tags=["hide-input"]
canvas = draw.Canvas()
canvas.text("outer folds", 75, -20, size=13, bold=True)
for fold in range(3):
    part = draw.tokens(["1", "2", "3", "4", "5"], color="gray", highlight=[fold])
    canvas.place(part, x=0, y=fold * 46)
inner = canvas.place(
    draw.column(
        draw.tokens(["2", "3", "4", "5"], color="blue", highlight=[0]),
        draw.tokens(["2", "3", "4", "5"], color="blue", highlight=[1]),
        draw.label("…", size=13),
        gap=6,
    ),
    x=290,
    y=-4,
)
canvas.text("inner folds: the search", 350, -20, size=13, bold=True)
canvas.arrow((160, 16), (280, 16))
winner = canvas.place(draw.box("best recipe", note="trained on 2 to 5", color="green", width=140), x=530, y=0)
canvas.arrow(inner, winner)
test = canvas.place(draw.box("test on fold 1", note="one honest score", color="orange", width=140), x=530, y=86)
canvas.arrow(winner, test)
draw.show(
    canvas,
    alt="Five outer folds. For the first, folds 2 to 5 are split again into inner folds, in which the search runs. Its "
    "winner is trained on folds 2 to 5 and tested on fold 1. The same for the other outer folds.",
)

# %% [markdown]
# In scikit-learn it is two lines, because a search *is* an estimator: `cross_val_score` around `GridSearchCV`. Once, live, on 90 messages with random labels:

# %% tags=["free"]
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

g = np.random.default_rng(0)
faces_and_voices = arrays["train"][:, :337]  # no words: their counts are mostly 0
some = faces_and_voices[g.permutation(6000)[:90]]
random_labels = np.repeat([0, 1, 2], 30)  # in random order, so these say nothing
pipeline = make_pipeline(SelectKBest(k=10), LogisticRegression())
grid = {
    "selectkbest__k": [5, 10, 20, 40, 80, 160],
    "logisticregression__C": [0.01, 0.1, 1, 10],
}
outer = StratifiedKFold(5, shuffle=True, random_state=0)
inner = StratifiedKFold(5, shuffle=True, random_state=1)
grid_search = GridSearchCV(pipeline, grid, cv=inner)
best = grid_search.fit(some, random_labels).best_score_
honest = cross_val_score(grid_search, some, random_labels, cv=outer).mean()
print(f"best of {len(grid_search.cv_results_['params'])} settings {best:.3f},", end=" ")
print(f"nested {honest:.3f}, truth 0.333")

# %% [markdown]
# This is one draw of 90 messages, and both numbers vary a good deal from draw to draw; the stored run above has the interval. The nested score belongs to the *whole procedure*, search included: it may choose another recipe in each outer fold. With plenty of data a three-way split does the same: train, choose on *validation*, and look at the *test* set once. [Tuning](tune.ipynb) does that.
#
# A trap in the same family: whatever *learns* from data (a scaler, a choice of columns, a vocabulary) belongs inside the pipeline. Choose the columns first, on all 90 messages with their labels, and cross-validate afterwards:


# %% tags=["free"]
def leak(seed, inside):
    """Cross-validation on random labels, columns chosen inside the folds or before."""
    g = np.random.default_rng(seed)
    some = faces_and_voices[g.permutation(6000)[:90]]
    model = LogisticRegression(C=0.1)
    if inside:
        model = make_pipeline(SelectKBest(k=20), model)
        return cross_val_score(model, some, random_labels, cv=outer).mean()
    # has seen every label
    chosen = SelectKBest(k=20).fit_transform(some, random_labels)
    return cross_val_score(model, chosen, random_labels, cv=outer).mean()


# %%
before = mean_and_interval([leak(seed, inside=False) for seed in range(20)])
within = mean_and_interval([leak(seed, inside=True) for seed in range(20)])
expect_within("random labels, columns chosen before", before[0], 0.45, 0.06)
expect_within("random labels, columns chosen inside the folds", within[0], 0.33, 0.04)

# %% [markdown]
# Far above 1/3, on random labels. The second line is the control: what differs is only whether the labels that are tested had a say in the choice of 20 of 337 columns (Ambroise and McLachlan 2002 found this in published work on genes).

# %% [markdown]
# ## 7 · Does B beat A? Paired tests

# %% [markdown]
# Both models took the *same* test. So look at each message twice:


# %% tags=["free"]
def four_kinds(first, second):
    """Both right, only the first, only the second, both wrong."""
    both, neither = first & second, ~first & ~second
    return [both.sum(), (first & ~second).sum(), (~first & second).sum(), neither.sum()]


for n in (200, 1500):
    kinds = four_kinds(right_a[:n], right_b[:n])
    print(f"{n:5} messages: both right {kinds[0]}, both wrong {kinds[3]},", end=" ")
    print(f"only A right {kinds[1]}, only B right {kinds[2]}")

# %% tags=["hide-input"]
canvas = draw.Canvas()
table = draw.matrix(
    [["both right", "only A right"], ["only B right", "both wrong"]],
    rows=["A right", "A wrong"],
    columns=["B right", "B wrong"],
    highlight=[(0, 1), (1, 0)],
)
place = canvas.place(table)
note = draw.box(
    "only these two tell A from B", note="n_A and n_B: like coins, if neither is better", color="orange", width=310
)
canvas.place(note, x=place.right[0] + 40, y=36)
draw.show(
    canvas,
    alt="Two by two: both right, only A right, only B right, both wrong. Only the two mixed cells tell A from B.",
)

# %% [markdown]
# Where both are right, or both wrong, nothing is learned about the difference. If neither is better, each of the other $n_A + n_B$ messages falls to one side like a fair coin. How often do coins fall at least that unevenly? That is the **p-value** of **McNemar's test** (1947), here in its exact form:
#
# $$p = \min\Big(1,\; 2\sum_{k=0}^{\min(n_A, n_B)} \binom{n_A+n_B}{k}\, 2^{-(n_A+n_B)}\Big)$$

# %%
from math import comb


def coins(n_a, n_b):
    n = n_a + n_b
    fewer = min(n_a, n_b)
    tail = sum(comb(n, k) for k in range(fewer + 1)) / 2**n
    return min(1, 2 * tail)


for n_a, n_b in [(0, 4), (2, 8), (4, 12), (20, 80)]:
    truth, a, b = [1] * (n_a + n_b), [1] * n_a + [0] * n_b, [0] * n_a + [1] * n_b
    by_library = evaluate.mcnemar(truth, a, b)[2]
    print(f"only A {n_a:2}, only B {n_b:2}: p = {coins(n_a, n_b):.3g};", end=" ")
    print(f"the course's function {by_library:.3g}")

# %% [markdown]
# A p-value says how surprising the data would be *if neither were better*. It is not the probability that neither is better, and it does not say how much better B is. For that, the **paired bootstrap** draws *messages*, each with both answers, and gives an interval for the difference.

# %% tags=["free"]
labels = complaint.astype(int)
ints_a, ints_b = called_a.astype(int), called_b.astype(int)
for n in (200, 1500):
    columns = labels[:n], ints_a[:n], ints_b[:n]
    p_value = evaluate.mcnemar(*columns)[2]
    gain, low, high = evaluate.paired_bootstrap(*columns, seed=0)
    print(f"B minus A on {n:5} messages: {gain:+.3f},", end=" ")
    print(f"from {low:+.3f} to {high:+.3f}; McNemar p = {p_value:.2f}")

# %%
assert evaluate.mcnemar(labels[:200], ints_a[:200], ints_b[:200])[2] > 0.05
expect_within("B minus A on all 1,500", right_b.mean() - right_a.mean(), 0.0, 0.025)
better_guess.compare("200 messages cannot decide it")

# %% [markdown]
# On all 1,500 messages the two points are gone. Now a third model: C is the same network as A, trained for eight epochs instead of three.

# %% tags=["free"]
network_c = last(train(x["train"], targets["train"], epochs=8, seed=0))
p_c = probabilities(network_c)
called_c = p_c[:, 0] > 0.5
right_c = called_c == complaint
n_a, n_c, p_value = evaluate.mcnemar(labels, called_a.astype(int), called_c.astype(int))
print(f"A {right_a.mean():.3f}, C {right_c.mean():.3f}; only A right {n_a},", end=" ")
print(f"only C right {n_c}: p = {p_value:.1g}")

# %% [markdown]
# Pairs see more than two separate intervals do. Here is how wide each view of the same difference is, and a control: the same answers of C, but matched to *other* messages, so that nothing is shared any more.


# %% tags=["free"]
def half_width(first, second):
    """Half of the paired bootstrap interval for the difference of two models."""
    ones = np.ones(len(first), int)
    first, second = first.astype(int), second.astype(int)
    _, low, high = evaluate.paired_bootstrap(ones, first, second, seed=0)
    return (high - low) / 2


shuffled = np.random.default_rng(0).permutation(right_c)
apart = 1.96 * np.sqrt(right_a.var() / 1500 + right_c.var() / 1500)
print(f"paired: ± {half_width(right_a, right_c):.3f}")
print(f"as two independent tests: ± {apart:.3f}")
print(f"paired with shuffled answers: ± {half_width(right_a, shuffled):.3f}")

# %%
expect_within("C minus A", right_c.mean() - right_a.mean(), 0.033, 0.025)
assert half_width(right_a, right_c) < 0.85 * min(apart, half_width(right_a, shuffled))

# %% [markdown]
# How many messages does it take to *see* two points? That depends on how often the two models disagree. Suppose only B is right on 6 % of the messages and only A on 4 %, so B really is two points better. The share of tests that find it is the **power** of the test.

# %%
g = np.random.default_rng(0)
for n in (200, 500, 1500, 3000, 6000):
    drawn = g.multinomial(n, [0.04, 0.06, 0.90], 2000)  # only A, only B, the rest
    found = np.mean([coins(int(n_a), int(n_b)) < 0.05 for n_a, n_b, _ in drawn])
    print(f"{n:5} messages: McNemar's p < 0.05 in {found:.0%} of tests")

# %% [markdown]
# On 200 messages you would miss this real gain nine times in ten. "Not significant" is not "equal": look at the interval, and ask whether a gain that would matter to you lies inside it.

# %% [markdown]
# ## 8 · Networks and recipes: seeds

# %% [markdown]
# Now open the file `two_models.py`, or run this:

# %%
import inspect

for made in (model_a, model_b):
    print(inspect.getsource(made))

# %% [markdown]
# A and B are **one recipe**, and only the **seed** differs: the number that the random start and the order of the mini-batches come from. Nobody would want to publish "seed 1 beats seed 0". But compare two *different* recipes with one run each, and what you see is the recipes *and* the seeds. McNemar's test and the bootstrap over messages speak about two *networks*. A claim about *recipes* needs several seeds of each. Here are 60 of each, stored:

# %% tags=["hide-input"]
seeds = {name: np.array(stored["seeds"][name]["test"]) for name in ("three epochs", "eight epochs")}
fig, ax = plt.subplots(figsize=(6.6, 2.3))
bins = np.arange(0.79, 0.9, 0.004)
for (name, values), color in zip(seeds.items(), (plot.BLUE, plot.ORANGE)):
    ax.hist(values, bins, color=color, alpha=0.75, label=name)
ax.set(xlabel="test accuracy of one seed", ylabel="seeds")
ax.legend(loc="upper right")
plot.show(fig, alt="Two histograms of sixty seeds: three epochs lie lower, eight epochs higher and wider.")
for name, values in seeds.items():
    print(f"{name}: mean {values.mean():.3f}, spread (standard deviation) {values.std(ddof=1):.4f},", end=" ")
    print(f"from {values.min():.3f} to {values.max():.3f}")

# %% [markdown]
# ### How few seeds are too few?
# The **standard error** of a mean is the spread divided by $\sqrt n$. A common rule: "the difference is more than two standard errors, so it is real". With many seeds that errs in about 5 % of cases. With two?

# %%
seed_guess = widgets.guess(
    "Two equal recipes, two seeds each. How often does this rule name a winner?",
    ["5 %", "10 %", "15 %", "30 %"],
)

# %% [markdown]
# Try it on real seeds: both "recipes" are *three epochs*, so there is nothing to find. Draw $n$ seeds for the one and $n$ others for the other, take the $n$ differences, and ask.

# %%
from scipy.stats import t as student


def false_alarms(n, factor, repetitions=20_000):
    """How often equal recipes differ by more than `factor` standard errors."""
    g = np.random.default_rng(0)
    order = np.argsort(g.random((repetitions, 60)), axis=1)
    values = seeds["three epochs"][order]
    difference = values[:, :n] - values[:, n : 2 * n]  # (repetitions, n)
    mean = difference.mean(axis=1)
    error = difference.std(axis=1, ddof=1) / np.sqrt(n)
    return np.mean(np.abs(mean) > factor * error + 1e-12)


print("seeds   two standard errors   Student's t")
for n in (2, 3, 5, 10, 20):
    factor = student.ppf(0.975, n - 1)
    print(f"{n:5} {false_alarms(n, 2):14.1%}", end=" ")
    print(f"{false_alarms(n, factor):19.1%}   (t = {factor:.2f})")
seed_guess.compare("30 %")

# %% [markdown]
# With two seeds the rule of two standard errors names the one or the other as the winner in about 30 % of cases: 15 % each. The reason is that the standard error itself is a guess from two numbers, and often far too small. **Student's t** (1908) replaces the 2 by a number that allows for that: 12.7 for two seeds, 4.3 for three, 2.8 for five. `mean_and_interval`, which this course uses everywhere, does exactly this.

# %%
five = seeds["eight epochs"][:5] - seeds["three epochs"][:5]  # seeds 0 to 4 of each
mean, half = mean_and_interval(five)
print(f"eight epochs minus three, five seeds: {mean:+.3f} ± {half:.3f}", five)
assert mean - half > 0
for name in seeds:
    share = stored["seeds"][name]["McNemar below 0.05"]
    print(f"{name}: McNemar calls {share:.0%} of all pairs of seeds different")

# %% [markdown]
# With these five seeds of each, the gain from eight epochs is clear of chance, on these 1,500 messages; over all 60 it is 0.035. And the last two lines? If all networks of a recipe were equally good, McNemar's test would call at most about 5 % of the pairs different. So two networks of one recipe often *do* differ, and the test finds that. It says nothing about the recipe.

# %% [markdown]
# ## 9 · The best of twenty

# %% [markdown]
# ### Twenty dice
# Twenty models, all equal: each is right with probability 0.85. Test each on its own 200 messages and report the best. **Turn the knob**: what does the winner claim?


# %% tags=["hide-input"]
def show_best(models=20):
    """Distribution of the best score of several equal models."""
    g = np.random.default_rng(0)
    best = g.binomial(200, 0.85, (5000, models)).max(axis=1) / 200
    fig, ax = plt.subplots(figsize=(6.4, 2.1))
    ax.hist(best, np.arange(0.7525, 0.96, 0.005), color=plot.SKY, density=True)
    ax.axvline(0.85, color=plot.BLACK, linewidth=1)
    ax.axvline(best.mean(), color=plot.ORANGE)
    ax.set(xlabel="accuracy of the best (black: the truth, orange: the mean)", yticks=[], xlim=(0.75, 0.96))
    alt = f"The best of {models} equal models scores {best.mean():.3f} on average; the truth is 0.85."
    plot.show(fig, alt=alt)
    print(alt)


widgets.slider(show_best, models=[1, 2, 5, 10, 20, 50, 100])

# %% [markdown]
# Four to five points, from luck alone. Real networks take the same test, so their luck is partly shared, and they are not quite equal. Take 20 of the 60 stored seeds of *three epochs*, keep the best on the first 200 *validation* messages, and see what it does on the test set:

# %%
few_validation = np.array(stored["seeds"]["three epochs"]["first 200 of validation"])
on_test = seeds["three epochs"]
g = np.random.default_rng(0)
promised, kept, ordinary = [], [], []
for repetition in range(2000):
    twenty = g.permutation(60)[:20]
    winner = twenty[np.argmax(few_validation[twenty])]
    promised.append(few_validation[winner])
    kept.append(on_test[winner])
    ordinary.append([few_validation[twenty].mean(), on_test[twenty].mean()])
ordinary = np.mean(ordinary, axis=0)
print(f"a seed like any other: validation {ordinary[0]:.3f}, test {ordinary[1]:.3f}")
best = np.mean(promised), np.mean(kept)
print(f"the best of twenty:    validation {best[0]:.3f}, test {best[1]:.3f}")
rise = best - ordinary
print(f"it seems better by {rise[0]:.3f}, and is better by {rise[1]:.3f}")
assert rise[0] > 2 * rise[1]

# %% [markdown]
# ### Twenty tests
# Now compare each of twenty models with a baseline, and call it different where $p < 0.05$. If all are equal, each test errs in 5 % of cases; *at least one* of twenty independent ones errs in $1 - 0.95^{20} = 64\,\%$. This is the problem of **multiple comparisons**. The simplest cure is Bonferroni's: ask for $p < 0.05 / 20$ everywhere. **Holm's method** (1979) finds all that Bonferroni's finds, and often more: sort the $m$ p-values; ask the smallest for $0.05/m$, the next for $0.05/(m-1)$, and so on; stop at the first that fails.

# %%
p_values = np.array([0.030, 0.004, 0.300, 0.015])
order = np.argsort(p_values)
for place, i in enumerate(order):
    limit = 0.05 / (len(p_values) - place)
    says = "yes" if p_values[i] <= limit else "no: stop here"
    print(f"model {i}: p = {p_values[i]:.3f},", end=" ")
    print(f"limit 0.05 / {len(p_values) - place} = {limit:.4f}  {says}")
    if p_values[i] > limit:
        break

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(5.6, 2.7))
ranks = np.arange(1, 5)
in_order = p_values[order]
ax.plot(ranks, in_order, "o", color=plot.BLUE, label="p-values in order")
ax.step(ranks, 0.05 / (4 - ranks + 1), where="mid", color=plot.ORANGE, label="Holm: 0.05 / 4, 3, 2, 1")
ax.axhline(0.05 / 4, linestyle=":", color=plot.GRAY, label="Bonferroni: 0.05 / 4")
ax.set(yscale="log", xticks=ranks, xlabel="place", ylabel="p", ylim=(0.002, 1))
ax.legend(fontsize=8, loc="upper left")
plot.show(
    fig,
    alt="Four p-values in order. The first two lie below Holm's limits, the third above, so the method stops there. Bonferroni's limit lets only the first pass.",
)

# %% [markdown]
# **Your turn (blank 4).** Write Holm's method: which of the p-values count as shown?
# <details><summary>Hint 1</summary>
#
# Start with an array that is all False, go through `np.argsort(p_values)`, and leave the loop at the first failure.
# </details>
# <details><summary>Hint 2</summary>
#
# The limit at place 0, 1, 2, … is `alpha / (m - place)`. An index found by `argsort` is where the True goes.
# </details>


# %%
def holm(p_values, alpha=0.05):
    """p-values (m,) → bool (m,): shown at the level alpha, all together."""
    # BEGIN SOLUTION
    m = len(p_values)
    shown = np.zeros(m, dtype=bool)
    for place, i in enumerate(np.argsort(p_values)):
        if p_values[i] > alpha / (m - place):
            break
        shown[i] = True
    return shown
    # END SOLUTION


holm = check("evaluate.blank.4", holm)

# %% [markdown]
# Does it keep its promise? Twenty independent tests of models that are truly equal to their baseline and disagree with it on about 150 of 1,500 messages, 1,000 times over: how often is at least one of them called different?


# %% tags=["hide-input"]
class Remembered(dict):
    """coins(k, n − k), computed once for each (n, k)."""

    def __missing__(self, key):
        n, k = (int(number) for number in key)
        self[key] = coins(k, n - k)
        return self[key]


evaluate_coins = Remembered()


# %%
def any_shown(method, models=20, repetitions=1000):
    """How often at least one of the equal models is called different."""
    g = np.random.default_rng(0)
    alarms = []
    for _ in range(repetitions):
        # on how many messages exactly one of the two is right
        disagree = g.binomial(1500, 0.10, models)
        only_model = g.binomial(disagree, 0.5)  # equal models: like coins
        p = [evaluate_coins[n, k] for n, k in zip(disagree, only_model)]
        alarms.append(np.any(method(np.array(p))))
    return np.mean(alarms)


plain = any_shown(lambda p: p < 0.05)
careful = any_shown(holm)
print(f"at least one false alarm, p < 0.05 for each: {plain:.0%}")
print(f"at least one false alarm, Holm: {careful:.1%}")
assert plain > 0.5 and careful <= 0.05

# %% [markdown]
# (The exact test errs in a little less than 5 % of cases, because counts are whole numbers; so 64 % is an upper limit here. Models on one test set share luck, so their tests are not independent; Holm's promise holds for them too, which is proved but not tried here.) The same holds for twenty seeds, twenty metrics, twenty subgroups, or twenty versions of a figure before one looks right. Say how many you tried.

# %% [markdown]
# ## 10 · Calibration: can the probability be believed?

# %% [markdown]
# Ten answers, each given with a probability of 0.9. Six are right. The accuracy is 0.6, and 0.9 was promised. A model is **calibrated** if, of all answers that it gives with probability 0.9, nine in ten are right, and so for every number. You need that whenever somebody *acts* on the probability, as with the threshold by costs of section 3.
#
# Train the same network on 600 messages only, and for 40 epochs. Its **confidence** is the largest of its three probabilities.

# %% tags=["free"]
small = few(x["train"], targets["train"], n=600)  # drawn by chance
overtrained = last(train(*small, epochs=40))
p_sure = probabilities(overtrained)
confidence = p_sure.max(axis=1)
is_right = p_sure.argmax(axis=1) == y["test"]
print(f"mean confidence {confidence.mean():.3f}")
print(f"above 0.98 on {(confidence > 0.98).mean():.0%} of the test messages")

# %%
sure_guess = widgets.guess(
    "When this network says '98 % sure' or more, how often is it right?",
    ["98 %", "about 90 %", "about 75 %", "about 50 %"],
)

# %%
very_sure = is_right[confidence > 0.98].mean()
expect_within("right when 98 % sure or more", very_sure, 0.75, 0.06)
sure_guess.compare("about 75 %")

# %% [markdown]
# The network knows its 600 messages by heart, and carries that certainty over to new ones. It is **overconfident**.
#
# A **reliability diagram** shows it: sort the answers into bins by confidence, and draw, for each bin, the share of right answers over the mean confidence. A calibrated model lies on the diagonal. The **expected calibration error** (ECE) is the mean distance from it, each bin $B$ weighted by its share of the $n$ samples:
#
# $$\text{ECE} = \sum_B \frac{|B|}{n}\,\big|\,\text{accuracy}(B) - \text{confidence}(B)\,\big|$$


# %%
def ece(labels, p, bins=10):
    """Expected calibration error over equal bins of confidence, empty ones left out."""
    confidence = p.max(axis=1)
    right = p.argmax(axis=1) == labels
    number = np.ceil(confidence * bins).astype(int)  # 0.81 to 0.90 is bin 9 of 10
    total = 0.0
    for k in np.unique(number):
        inside = number == k
        total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


ten = np.tile([0.9, 0.1], (10, 1))
six_right = np.array([0] * 6 + [1] * 4)
print("the ten answers:", ece(six_right, ten).round(3))
assert np.isclose(ece(y["test"], p_sure), evaluate.calibration_error(y["test"], p_sure))
expect_within("ECE of the overtrained network", ece(y["test"], p_sure), 0.26, 0.05)

# %% [markdown]
# **Turn the knob**: the same answers, in more or fewer bins.


# %% tags=["hide-input", "free"]
def draw_reliability(ax, labels, p, bins, color):
    confidence, share_right, share = evaluate.reliability(labels, p, bins)
    there = share > 0
    ax.plot([0.3, 1], [0.3, 1], ":", color=plot.GRAY)
    ax.plot(confidence[there], share_right[there], color=color, linewidth=1)
    ax.scatter(confidence[there], share_right[there], 10 + 500 * share[there], color=color)
    ax.set(xlabel="confidence", xlim=(0.3, 1.05), ylim=(-0.05, 1.05))


def show_bins(bins=10):
    """Reliability diagrams of the overtrained network and of B."""
    fig, axes = plt.subplots(1, 2, figsize=(7, 2.9), sharey=True)
    errors = {}
    for ax, (name, p), color in zip(axes, {"overtrained": p_sure, "B": p_b}.items(), (plot.ORANGE, plot.BLUE)):
        draw_reliability(ax, y["test"], p, bins, color)
        errors[name] = ece(y["test"], p, bins)
        ax.set_title(f"{name}: ECE {errors[name]:.3f}", fontsize=10)
    axes[0].set_ylabel("share right")
    said = ", ".join(f"{name} {value:.3f}" for name, value in errors.items())
    plot.show(fig, alt=f"Reliability diagrams with {bins} bins. ECE: {said}. The larger the dot, the more answers.")


widgets.slider(show_bins, bins=[2, 5, 10, 15, 30, 60, 100])

# %% [markdown]
# With many bins the curves jump about: few answers in a bin, much luck. And luck counts as error, since each distance is taken without its sign. So ECE depends on the number of bins, and **it is not 0 even for a perfectly calibrated model**. Test it: keep the probabilities of B, and draw the *labels* from them. These labels fit the probabilities exactly.


# %% tags=["free"]
def labels_from(p, g):
    """One label per row, drawn with the row's probabilities."""
    return (g.random((len(p), 1)) > p.cumsum(axis=1)[:, :-1]).sum(axis=1)


g = np.random.default_rng(0)
p_of_b = p_b.astype(np.float64)
print("ECE where the model is calibrated by construction (mean of 50 draws of labels)")
for n in (200, 1500):
    row = []
    for bins in (5, 10, 30, 100):
        values = [ece(labels_from(p_of_b[:n], g), p_of_b[:n], bins) for _ in range(50)]
        row.append(np.mean(values))
    print(f"{n:5} messages", end="")
    for bins, value in zip((5, 10, 30, 100), row):
        print(f"   {bins} bins {value:.3f}", end="")
    print()
assert row[0] < row[1] < row[2] < row[3] and row[1] > 0.01

# %% [markdown]
# So always say how many bins and how many samples, and compare ECE only at equal numbers of both. (Nixon and others 2019 and Kumar and others 2019 show more of its traps.)
#
# ### Scores without bins
# With $p_{ik}$ the probability of class $k$ for sample $i$ and $y_i$ the truth:
#
# $$\text{log loss} = -\frac1n\sum_i \log p_{i y_i} \qquad \text{Brier} = \frac1n\sum_i\sum_k \big(p_{ik} - [y_i = k]\big)^2$$
#
# ($[y_i = k]$ is 1 where it holds, else 0.) **Log loss** is the cross-entropy that networks are trained on. The **Brier score** (1950) is a mean squared error of probabilities. Both are **proper scores**: on average they are best when you say what you truly believe. One answer, where the truth is class 0:

# %%
for p in ([0.6, 0.3, 0.1], [0.9, 0.05, 0.05], [0.05, 0.9, 0.05]):
    p = np.array(p)
    squares = (p - [1, 0, 0]) ** 2
    print(f"{p}: log loss {-np.log(p[0]):.3f},", end=" ")
    print(f"Brier: sum of {squares} = {squares.sum():.3f}")

# %% [markdown]
# Being sure and wrong is punished hard, by log loss without limit.
#
# ### Temperature scaling
# The repair is one number: **temperature scaling** divides all logits by a *temperature* $T$ before the softmax. $T > 1$ makes all answers less sure, and the largest stays the largest. Choose the $T$ with the least log loss on **validation** data (Guo and others 2017).

# %% tags=["hide-input"]
flow = draw.row(
    draw.box("logits z", note="(n, 3)", color="gray"),
    draw.box("÷ T", note="one number", color="orange"),
    draw.box("softmax", note="(n, 3)", color="blue"),
    draw.box("probabilities", note="less sure if T > 1", color="green"),
    arrows=True,
)
draw.show(
    flow,
    alt="Logits are divided by one number T, then the softmax makes probabilities; they are less sure if T is above 1.",
)

# %% [markdown]
# **Your turn (blank 5).** Of some candidate temperatures, find the one with the least log loss.
# <details><summary>Hint 1</summary>
#
# For each candidate: `softmax(logits / T, axis=1)`, the probability of the true class in each row, minus the mean of the logarithms.
# </details>
# <details><summary>Hint 2</summary>
#
# `p[np.arange(len(labels)), labels]` picks the probability of the true class. `np.argmin` gives the place of the least loss.
# </details>

# %%
from scipy.special import softmax


def best_temperature(logits, labels, candidates):
    """Logits (n, k), labels (n,), candidates (m,) → candidate of the least log loss."""
    # BEGIN SOLUTION
    losses = []
    for T in candidates:
        p = softmax(logits / T, axis=1)
        of_truth = p[np.arange(len(labels)), labels]
        losses.append(-np.log(of_truth).mean())
    return candidates[np.argmin(losses)]
    # END SOLUTION


best_temperature = check("evaluate.blank.5", best_temperature)


# %% tags=["free"]
@torch.no_grad()
def logits_of(network, split):
    return network(x[split]).numpy().astype(np.float64)


candidates = np.geomspace(0.1, 20, 200)  # each 2.7 % above the one before
logits_test = logits_of(overtrained, "test")
logits_valid = logits_of(overtrained, "validation")
T = best_temperature(logits_valid, y["validation"], candidates)
T_course = evaluate.fit_temperature(y["validation"], logits_valid)
with torch.no_grad():
    logits_small = overtrained(small[0]).numpy().astype(np.float64)
T_wrong = best_temperature(logits_small, small[1].numpy(), candidates)
after = softmax(logits_test / T, axis=1)
print(f"temperature {T:.2f} from validation, {T_wrong:.2f} from training;", end=" ")
print(f"the course's function: {T_course:.2f} from validation")
knows_nothing = np.tile(np.bincount(y["train"]) / 6000, (1500, 1))
print("                          accuracy    ECE  log loss  Brier")
for name, p in {
    "as trained": p_sure,
    f"T = {T:.2f}, from validation": after,
    f"T = {T_wrong:.2f}, from training": softmax(logits_test / T_wrong, axis=1),
    "shares of the classes": knows_nothing,
}.items():
    right = evaluate.accuracy(y["test"], p)
    print(f"{name:25} {right:8.3f} {ece(y['test'], p):7.3f}", end="")
    print(f"{evaluate.log_loss(y['test'], p):9.3f} {evaluate.brier(y['test'], p):7.3f}")

# %% tags=["target"]
assert (after.argmax(axis=1) == p_sure.argmax(axis=1)).all()
assert T > 1.5 > T_wrong
right_small = (logits_small.argmax(axis=1) == small[1].numpy()).mean()
assert right_small == 1.0  # on the 600 messages that it learned from
expect_within("ECE after one number", ece(y["test"], after), 0.035, 0.025)
fall = evaluate.log_loss(y["test"], p_sure) - evaluate.log_loss(y["test"], after)
expect_within("log loss that one number saves", fall, 1.0, 0.5)

# %% [markdown]
# One number, fitted on 1,500 validation messages, made the promises nearly true, and not one answer changed. The third row is the control: fitted on the *training* messages, where the network is always right, the temperature is the smallest on offer: it makes the network even surer, and things get worse. And the last row says what calibration is *not*: a model that knows nothing but the shares of the classes has as small an ECE as the repaired network, and is useless (low accuracy, high log loss). So report a proper score beside ECE.
#
# ## 11 · More data, or a better model?

# %% [markdown]
# A **learning curve** shows a score against the number of training samples. Draw the score on the *training* samples as well: the two curves together hint at what to do next. Three models, whose settings were not tuned alike. A linear one (logistic regression on the 520 numbers) is trained now. Two are stored, three seeds each: the *small network*, on the same numbers, and the *trimodal model* of lesson [train_pytorch](train_pytorch.ipynb). That one has an encoder each for the picture, the spectrogram and the words, so it sees more than 520 numbers.

# %% tags=["free"]
sizes = [190, 375, 750, 1500, 3000, 6000]
linear = {"training": [], "test": []}
for n in sizes:
    model = LogisticRegression(C=0.01, max_iter=500)
    model.fit(arrays["train"][:n], y["train"][:n])
    linear["training"].append(model.score(arrays["train"][:n], y["train"][:n]))
    linear["test"].append(model.score(arrays["test"], y["test"]))
for name, values in linear.items():
    print(f"{name:9}", np.round(values, 3))

# %%
from mmcourse.datasets import mood

mood_ceiling = mood.bayes_accuracy()  # known from how the data are drawn; lesson fusion
print(f"ceiling for three classes: {mood_ceiling:.3f}")
learning = results("tune")["learning"]  # stored: three seeds of two networks
trimodal = np.array(learning["trimodal"])  # (3 seeds, 5 sizes)
small_network = np.array(learning["small"])
lines = {
    "linear, training": linear["training"][1:],
    "linear, test": linear["test"][1:],
    "small network, test": small_network.mean(axis=0),
    "trimodal model, test": trimodal.mean(axis=0),
}

# %% tags=["hide-input", "free"]
fig = plot.curves(
    lines,
    title="More data, or a better model?",
    x=learning["n"],
    xlabel="training messages",
    ylabel="accuracy, three classes",
    levels={"ceiling": mood_ceiling},
)
fig.axes[0].set(xscale="log", xticks=learning["n"], xticklabels=learning["n"])
fig.axes[0].minorticks_off()
plot.show(
    fig,
    alt="Linear: training accuracy falls and test accuracy rises, until they nearly meet, near 0.78. The small network climbs slowly. "
    "The trimodal model jumps between 1,500 and 3,000 messages and ends near the ceiling, 0.926.",
)

# %%
gap = [linear["training"][k] - linear["test"][k] for k in (0, 5)]
expect_within("linear: training minus test accuracy, 190 messages", gap[0], 0.19, 0.05)
expect_within("linear: training minus test accuracy, 6,000", gap[1], 0.026, 0.02)
print("trimodal model, mean of three seeds:", trimodal.mean(axis=0).round(3))
better_model = trimodal[:, 4].mean() - linear["test"][5]
expect_within("trimodal minus linear, 6,000", better_model, 0.155, 0.02)
last_linear = linear["test"][5] - linear["test"][4]
expect_within("linear, the last doubling", last_linear, 0, 0.015)
last_step, half = mean_and_interval(trimodal[:, 4] - trimodal[:, 3])
print(f"what the last doubling gave it: {last_step:+.3f} ± {half:.3f}")
assert trimodal[:, 2].max() < trimodal[:, 3].min()

# %% [markdown]
# Read it like this.
# - **The two curves of the linear model nearly meet, far below the ceiling**, and its last doubling gained nothing. More data promise little to this model; a better one can help. The trimodal one, trained on the same 6,000 messages, is about 16 points above. (A model that fits even its training data badly is said to have *high bias*, or to underfit.)
# - **Training far above test**, as for the linear model with 190 messages (printed, not drawn): it has learned accidents of its few messages (*high variance*, overfitting). More data closed the gap here; stronger regularization is the other remedy (not tried here).
# - **Near the ceiling** there is little left to gain. Here we know the ceiling; with real data, how far people agree is used as an estimate.
#
# And take care when you extrapolate: the trimodal model jumps between 1,500 and 3,000 messages, and nothing before that announces it. But is it the data? The number of epochs changes just there, too: it is 30 up to 1,500 messages, then 20, then 10, so 3,000 messages also mean a third more updates. The two causes were tried apart (a stored control, three seeds, ± by Student's t). 1,500 messages with as many updates as the 3,000 had reach 0.765 ± 0.075, no more than the 0.775 ± 0.084 of 30 epochs; 3,000 messages with half of their updates reach 0.881 ± 0.036, and the worst of these seeds is better than the best of those. So the jump comes from the data.
#
# ## 12 · The evaluation loop in PyTorch and in Keras

# %% [markdown]
# Bugs in an evaluation loop are easy to miss: the number is a little wrong, and there is no error message. Here is a network with dropout, as in [train_pytorch](train_pytorch.ipynb), and the 1,500 test messages in batches of 64, as a `DataLoader` gives them. The last batch has only 28.

# %% tags=["free"]
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

regularized = last(train(x["train"], targets["train"], dropout=0.5, epochs=8))
loader = DataLoader(TensorDataset(x["test"], targets["test"]), batch_size=64)


def evaluate_network(network, loader):
    """Mean cross-entropy and accuracy over all samples of a loader."""
    network.eval()  # dropout off, batch normalization on its stored statistics
    total_loss, num_right, num_samples = 0.0, 0, 0
    with torch.no_grad():  # keep nothing for a backward pass
        for inputs, labels in loader:
            logits = network(inputs)
            # the sum, not the mean, so that a small last batch counts as what it is
            loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
            total_loss += loss.item()
            num_right += (logits.argmax(dim=1) == labels).sum().item()
            num_samples += len(labels)
    return total_loss / num_samples, num_right / num_samples


loss, accuracy = evaluate_network(regularized, loader)
with torch.no_grad():
    logits = regularized(x["test"])
    all_at_once = nn.functional.cross_entropy(logits, targets["test"]).item()
print(f"by the loop {loss:.6f}, all at once {all_at_once:.6f}, accuracy {accuracy:.3f}")
assert abs(loss - all_at_once) < 1e-5

# %% [markdown]
# Three things are easy to forget: `eval()`, `no_grad()`, and that the last batch is smaller. What does each cost? (For the last one, the messages are put into an unfavorable order on purpose: the wrong answers last.)

# %% tags=["free"]
regularized.train()  # as it is after an epoch of training, where nobody called eval()
with torch.no_grad():
    torch.manual_seed(0)
    forgot = []
    for repetition in range(5):
        answers = regularized(x["test"]).argmax(dim=1)
        forgot.append((answers == targets["test"]).float().mean().item())
regularized.eval()
print(f"with eval() {accuracy:.3f}; without, five times:", np.round(forgot, 3))

answers = probabilities(regularized).argmax(axis=1)
wrong_last = np.argsort(answers != y["test"], kind="stable")  # as if data were sorted
means = []
with torch.no_grad():
    for part in torch.from_numpy(wrong_last).split(64):
        logits = regularized(x["test"][part])
        means.append(nn.functional.cross_entropy(logits, targets["test"][part]).item())
print(f"mean over samples {loss:.4f};", end=" ")
print(f"mean of the batch means, wrong answers last {np.mean(means):.4f}")
output = regularized(x["test"][:2])
print("an output made without no_grad holds its graph:", output.requires_grad)

# %%
expect_within("accuracy lost without eval()", accuracy - np.mean(forgot), 0.020, 0.015)
assert np.mean(means) - loss > 0.002
print("the mean of means is off, since the last batch of 28 counts like one of 64")

# %% [markdown]
# Without `eval()`, each of the five calls gave another number, and all were lower. The mean of batch means gives each of the 28 messages in the last batch more than twice the weight of the others; how far it is off depends on what lies there. And metrics that are no means over samples, such as F1 or AUC, cannot be averaged over batches: **collect all predictions first, then compute**. (Without `no_grad()` the number is right; it only keeps what a backward pass would need. And `evaluate_network` leaves dropout off: call `train()` before the next epoch of training.)
#
# In Keras, `compile` takes the metrics and `evaluate` runs the loop: it turns dropout off by itself, and it weighs the last batch correctly. The same network, with the weights copied:

# %% tags=["free"]
import keras

layers = [keras.Input((520,))]
for _ in range(2):
    layers += [keras.layers.Dense(64, activation="relu"), keras.layers.Dropout(0.5)]
twin = keras.Sequential([*layers, keras.layers.Dense(3)])
weights = []
for layer in regularized:
    if isinstance(layer, nn.Linear):
        # PyTorch keeps (out, in), Keras (in, out)
        weights += [layer.weight.detach().numpy().T, layer.bias.detach().numpy()]
twin.set_weights(weights)
cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
twin.compile(loss=cross_entropy, metrics=["accuracy"])
options = {"batch_size": 64, "verbose": 0, "return_dict": True}
found = twin.evaluate(arrays["test"], y["test"], **options)
print(f"Keras:   loss {found['loss']:.4f}, accuracy {found['accuracy']:.4f}")
print(f"PyTorch: loss {loss:.4f}, accuracy {accuracy:.4f}")
assert abs(found["loss"] - loss) < 1e-3 and abs(found["accuracy"] - accuracy) < 1e-3

# %% [markdown]
# One trap: `keras.metrics.AUC` works batch by batch, so it only keeps counts at fixed thresholds, 200 unless you say otherwise. The overtrained network, most of whose probabilities lie close to 0 or 1, needs more:

# %% tags=["free"]
exact = metrics.roc_auc_score(complaint, p_sure[:, 0])
for num_thresholds in (20, 200, 5000):
    approximate = keras.metrics.AUC(num_thresholds=num_thresholds)
    approximate.update_state(complaint, p_sure[:, 0])
    print(f"{num_thresholds:5} thresholds: {float(approximate.result()):.4f};", end=" ")
    print(f"exact {exact:.4f}")

# %% [markdown]
# ## 13 · At work: a report, people, films

# %% [markdown]
# ### A report of accuracy
# Network C on the 1,500 test messages: is this message a complaint? Beside it the majority class, a linear model, and the ceiling, the best that *any* model can do on average. (For `mood` it is known, because the course drew the data from a table of probabilities: wherever the cues are the same, guess the commoner class.)

# %%
joint = mood.JOINT / mood.JOINT.sum()  # (3 labels, 4 face, 3 voice, 3 words cues)
ceiling = np.maximum(joint[0], joint[1:].sum(axis=0)).sum()
print(f"ceiling for complaint or not: {ceiling:.3f}")

# %% tags=["free"]
linear_model = LogisticRegression(C=0.01, max_iter=500)
linear_model.fit(arrays["train"], y["train"] == 0)
right_linear = linear_model.predict(arrays["test"]) == complaint
right_of = {
    "majority class": ~complaint,
    "linear model": right_linear,
    "A (3 epochs)": right_a,
    "C (8 epochs)": right_c,
}
for name, right in right_of.items():
    low, high = wilson(right.sum(), 1500)
    print(f"{name:15} {right.mean():.3f}, Wilson {low:.3f} to {high:.3f}")
comparisons = {}
ones = np.ones(1500, int)  # 1: right
for name in ("linear model", "A (3 epochs)"):
    pair = right_of[name].astype(int), right_c.astype(int)
    gain, low, high = evaluate.paired_bootstrap(ones, *pair, seed=0)
    comparisons[name] = evaluate.mcnemar(ones, *pair)[2]
    print(f"C minus {name}: {gain:+.3f}, from {low:+.3f} to {high:+.3f},", end=" ")
    print(f"p = {comparisons[name]:.1g}")
print("both shown, by Holm:", holm(np.array(list(comparisons.values()))))

# %% tags=["hide-input", "free"]
lows, highs = zip(*[wilson(right.sum(), 1500) for right in right_of.values()])
fig = plot.bar_with_ceiling(
    list(right_of),
    [right.mean() for right in right_of.values()],
    [ceiling] * 4,
    [(high - low) / 2 for low, high in zip(lows, highs)],
    title="Complaint or not: how close to what is possible?",
)
plot.show(
    fig,
    alt="Bars with intervals: majority class 0.64, linear model and A about 0.82, C about 0.85; the ceiling is at 0.96.",
)

# %% [markdown]
# Both comparisons are between *trained models*, on these messages; for the two recipes, A's and C's, section 8 has 60 seeds of each. A help desk would also ask for precision and recall at its own threshold (sections 2 and 3), and for the calibration (section 10). And about whom does the report speak? The 1,500 messages come from 506 sentences, 100 faces and only ten voices, none of them in training. Draw whole groups, as lesson [start_here](start_here.ipynb) announced:


# %% tags=["free"]
def grouped_interval(right, group, rounds=2000, seed=0):
    """95 % bootstrap interval of the mean when whole groups are drawn."""
    _, number = np.unique(group, return_inverse=True)
    hits = np.bincount(number, right)  # right answers per group
    size = np.bincount(number)
    g = np.random.default_rng(seed)
    who = g.integers(0, len(size), (rounds, len(size)))
    scores = hits[who].sum(axis=1) / size[who].sum(axis=1)
    return np.quantile(scores, [0.025, 0.975])


sentence = np.array([said[i] for i in range(1500)])
meta = sets["test"].meta
for name, group in {
    "messages": np.arange(1500),
    "sentences": sentence,
    "faces": meta["identity"],
    "voices": meta["speaker"],
}.items():
    low, high = grouped_interval(right_c, group)
    size, half = len(np.unique(group)), (high - low) / 2
    print(f"{size:5} {name:10} C from {low:.3f} to {high:.3f}, half-width {half:.3f}")

# %% [markdown]
# Here the groups change little: nothing says that some of these voices are much harder than others. You cannot know that before you look. (With ten voices the last line is likely to be a little too narrow, as section 5 showed.)
#
# ### People who act emotions
# EmoDB (Burkhardt and others 2005): ten actors speak ten German sentences with seven emotions, 535 recordings. Features are mean and spread of 13 MFCCs, the classifier is a logistic regression; a stored run, ten folds each time. Folds by *recording* share both the person and the sentence with training; folds by *sentence* still share the person, folds by *person* still the sentence.

# %%
emotion_guess = widgets.guess(
    "Folds by recording give 0.65. Folds by person give about …",
    ["0.65", "0.60", "0.54", "0.30"],
)

# %%
people = stored["people"]
clips_of = np.array(people["clips_per_speaker"])  # (10,)
for name in ("by recording", "by sentence", "by speaker"):
    each = np.array(people[name])  # accuracy on each actor's recordings (10,)
    print(f"folds {name:13} {np.average(each, weights=clips_of):.3f}", end="")
    if name == "by recording":
        print()
        continue
    gain, half = mean_and_interval(each - np.array(people["by recording"]))
    print(f"   minus by recording, actor by actor: {gain:+.3f} ± {half:.3f}")
print(f"majority class {people['majority']:.3f}")
emotion_guess.compare("0.54")

# %% [markdown]
# (± is Student's t over the ten actors.) Folds by person give eleven points less than folds by recording; folds by sentence give three less, with an interval that reaches just to 0. So for these features and this classifier, a new *person* costs more than a new sentence. If the classifier will meet new people, 0.54 is the number to report. How sure is it?

# %%
right_of_actor = np.array(people["right_by_speaker"])
low, high = wilson(right_of_actor.sum(), clips_of.sum())
print(f"over {clips_of.sum()} recordings (Wilson): {low:.3f} to {high:.3f}")
each_clip = [np.arange(n) < r for r, n in zip(right_of_actor, clips_of)]  # r are True
everyone = np.concatenate(each_clip).astype(float)
actor = np.repeat(np.arange(10), clips_of)
low, high = grouped_interval(everyone, actor)
print(f"over 10 actors (bootstrap):      {low:.3f} to {high:.3f}")
mean, half = mean_and_interval(right_of_actor / clips_of)
print(f"over 10 actors (Student's t):    {mean - half:.3f} to {mean + half:.3f}")
known = results("audio")["features"]["log-mel, 8 parts"]
mean, half = mean_and_interval(known["unknown speaker"])
print("spoken digits of six people:")
print(f"  new takes of known people {known['known speakers']:.3f}")
print(f"  an unknown person {mean:.3f} ± {half:.3f}")

# %% [markdown]
# The first interval speaks of other recordings of these ten actors, the other two of other actors; Student's t is the widest. The last lines are from lesson [audio](audio.ipynb) (Free Spoken Digit Dataset): with only six people, the accuracy on an unknown one is uncertain by twenty points either way. Known people differ, too: their new takes (a stored run, 50 for each) are right with 0.84 to 0.98, so over the six people the 0.913 is uncertain by six points either way (Student's t), over its 300 recordings by three (Wilson).
#
# ### Film reviews: two classic models
# 1,089 test sentences from film reviews (Pang and Lee 2005), praise or blame, and two classic models trained on the other sentences: TF-IDF with logistic regression, and naive Bayes on counts (both from lesson [text](text.ipynb)). Stored are the probabilities that they give.

# %%
films = stored["reviews"]
praise = np.array(films["positive"]["test"])
p_films = {name: np.array(p) for name, p in films["p"]["test"].items()}
for name, p in p_films.items():
    right = (p > 0.5) == praise
    low, high = wilson(right.sum(), len(praise))
    auc_films = metrics.roc_auc_score(praise, p)
    print(f"{name:20} accuracy {right.mean():.3f} ({low:.3f} to {high:.3f}),", end=" ")
    print(f"AUC {auc_films:.3f}")
majority = max(praise.mean(), 1 - praise.mean())
first, second = [(p > 0.5).astype(int) for p in p_films.values()]
n_first, n_second, p_value = evaluate.mcnemar(praise, first, second)
print(f"majority class {majority:.3f}")
print(f"only the first right {n_first}, only the second {n_second}: p = {p_value:.2f}")

# %%
honest_guess = widgets.guess(
    "Equally accurate. Whose probabilities can be believed?",
    ["logistic regression", "naive Bayes", "both", "neither"],
)


# %%
def two_columns(p):
    """Probability of the second class (n,) → both (n, 2)."""
    return np.stack([1 - p, p], axis=1)


def logit(p):
    """Log-odds; a probability of 0 or 1 is moved by 0.00005, since they are rounded."""
    p = np.clip(p, 0.00005, 0.99995)
    return np.log(p / (1 - p))


praise_valid = np.array(films["positive"]["validation"])
repaired = {}
print("                        ECE   log loss   temperature   ECE   log loss")
for name, p in p_films.items():
    z_valid = logit(np.array(films["p"]["validation"][name]))
    z_test = logit(p)
    # two logits, 0 and z, have the softmax 1 − p and p
    pair = np.stack([np.zeros_like(z_valid), z_valid], axis=1)
    temperature = best_temperature(pair, praise_valid, candidates)
    repaired[name] = 1 / (1 + np.exp(-z_test / temperature))
    row = []
    for q in (1 / (1 + np.exp(-z_test)), repaired[name]):
        row += [ece(praise, two_columns(q)), evaluate.log_loss(praise, two_columns(q))]
    print(f"{name:20} {row[0]:7.3f} {row[1]:8.3f}", end="")
    print(f"{temperature:13.2f} {row[2]:9.3f} {row[3]:8.3f}")
honest_guess.compare("logistic regression")

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(7, 2.9), sharey=True)
for ax, (name, p), color in zip(axes, p_films.items(), (plot.BLUE, plot.ORANGE)):
    draw_reliability(ax, praise, two_columns(p), 10, color)
    draw_reliability(ax, praise, two_columns(repaired[name]), 10, plot.GRAY)
    ax.set(title=name, xlim=(0.45, 1.05), ylim=(0.4, 1.03))
    ax.title.set_fontsize(10)
axes[0].set_ylabel("share right")
plot.show(
    fig,
    alt="Logistic regression lies near the diagonal. Naive Bayes lies below it for high confidence; after temperature "
    "scaling (gray) both lie near it.",
)

# %% [markdown]
# Their accuracy differs by one sentence in 1,089, and AUC by 0.002. But naive Bayes is too sure on these sentences: its ECE is more than three times as large. (Zadrozny and Elkan 2001 found the same. The usual explanation, not tested here: it multiplies the evidence of the words as if they were independent.) One temperature, fitted on the validation sentences, brings its log loss down to that of logistic regression (gray: after temperature scaling). So either model can put reviews in order; where somebody acts on the probability, check it first, and repair it if need be.
#
# Where the reviews are on this computer (`mmcourse data fetch reviews`, 1.2 MB), train naive Bayes again and compare:

# %% tags=["real", "free"] needs=["rt-polarity"]
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB

from mmcourse.datasets import reviews
from mmcourse.preprocess import text


def words_of(sentence):
    """Words in lower case, without punctuation marks."""
    tokens = text.tokenize(text.normalize(sentence))
    return [token for token in tokens if token[0].isalnum()]


if reviews.available():
    review_train, review_test = reviews.load("train"), reviews.load("test")
    bayes = make_pipeline(CountVectorizer(analyzer=words_of), MultinomialNB())
    bayes.fit(review_train.column("words"), review_train.labels)
    again = bayes.predict_proba(review_test.column("words"))[:, 1]
    apart = np.abs(again - p_films["naive Bayes"]).max()
    print(f"largest difference from the stored probabilities: {apart:.5f}", end=" ")
    print("(they are rounded)")
    for mine in ["a warm and funny film", "not bad at all"]:
        print(f"{bayes.predict_proba([mine])[0, 1]:.2f} praise: {mine}")
else:
    print("not run: fetch the sentences once with `mmcourse data fetch reviews`")

# %% [markdown]
# ## 14 · What to remember

# %% [markdown]
# 1. Accuracy hides which mistakes are made. Show the confusion matrix, a score that suits the task, and a dummy beside it; choose the threshold by what mistakes cost.
# 2. Every score is a sample. Give it an interval, and say over what: messages, people, or seeds. Draw whole groups where samples come in groups.
# 3. Split by what will be new in use. Everything that learns or chooses goes inside the training part: scalers, columns, settings.
# 4. Two models: compare in pairs. Two recipes: several seeds, and Student's t. Twenty of anything: Holm, and say how many.
# 5. A probability is a promise. Check it with a proper score and a reliability diagram; one temperature from validation data repaired most of it in both cases here.

# %% [markdown]
# ## 15 · Check yourself

# %% [markdown]
# <details><summary>1. A model has accuracy 0.99 on a disease that one person in a hundred has. Good?</summary>
#
# Saying "healthy" every time reaches 0.99, with recall 0 for the disease. Ask for precision and recall of that class, or for the precision–recall curve.
# </details>
# <details><summary>2. AUC is 0.8. What is the probability that a random positive scores lower than a random negative?</summary>
#
# 0.2, if no two scores are equal. AUC is the probability of the right order.
# </details>
# <details><summary>3. A false alarm costs 1, a miss costs 9, and the probabilities are calibrated. From which probability on do you call?</summary>
#
# From 1 / (1 + 9) = 0.1.
# </details>
# <details><summary>4. R² is −0.2 on new data. Is that a bug in the metric?</summary>
#
# No. The model is worse than a dummy that always gives the mean.
# </details>
# <details><summary>5. Five speakers, 2,000 recordings, accuracy 0.80 ± 0.02 by the bootstrap over recordings. What do you ask?</summary>
#
# "Over whom?" The interval is about other recordings of these five. For other people, take Student's t over the five speakers' scores; it will be much wider if they differ.
# </details>
# <details><summary>6. A is right where B fails on 12 messages, B where A fails on 4. Is A better?</summary>
#
# $p = 0.077$: coins fall that unevenly about once in 13 times. Not shown. Get more test data.
# </details>
# <details><summary>7. Temperature scaling took ECE from 0.26 to 0.03. What happened to accuracy?</summary>
#
# Nothing. Dividing all logits by one positive number leaves the largest the largest.
# </details>
# <details><summary>8. A colleague tried 30 settings with cross-validation and reports the best score. What do you say?</summary>
#
# The largest of 30 has luck in it. Test the winner on data that had no say in the choice: a test set, or nested cross-validation.
# </details>

# %% [markdown]
# ## 16 · Exercises and where next

# %% [markdown]
# [The exercises](exercises/evaluate.ipynb): macro F1 by hand, the calibration error, does B beat A, an evaluation loop in PyTorch, and **an open challenge**: probabilities from an overconfident model, recorded with several microphones; make them as good as you can, judged by log loss.
#
# **Where next:** [tune](tune.ipynb) searches for good settings and keeps the test set out of it. **Back to:** [multimodal_data](multimodal_data.ipynb) for splits, [start_here](start_here.ipynb) for the first intervals.
#
# ## Sources
# - E. B. Wilson (1927), *Probable inference, the law of succession, and statistical inference*, JASA 22. Student (1908), *The probable error of a mean*, Biometrika 6.
# - Q. McNemar (1947), *Note on the sampling error of the difference between correlated proportions or percentages*, Psychometrika 12. S. Holm (1979), *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 6.
# - B. Efron (1979), *Bootstrap methods: another look at the jackknife*, Annals of Statistics 7; B. Efron, R. Tibshirani (1993), *An Introduction to the Bootstrap*; B. Efron and others (2004), *Least angle regression* (the diabetes data), Annals of Statistics 32.
# - J. Davis, M. Goadrich (2006), *The relationship between precision–recall and ROC curves*, ICML. T. Saito, M. Rehmsmeier (2015), *The precision–recall plot is more informative than the ROC plot when evaluating binary classifiers on imbalanced datasets*, PLOS ONE 10(3). C. Elkan (2001), *The foundations of cost-sensitive learning*, IJCAI.
# - S. Varma, R. Simon (2006), *Bias in error estimation when using cross-validation for model selection*, BMC Bioinformatics 7. G. Cawley, N. Talbot (2010), *On over-fitting in model selection and subsequent selection bias in performance evaluation*, JMLR 11. C. Ambroise, G. McLachlan (2002), *Selection bias in gene extraction on the basis of microarray gene-expression data*, PNAS 99(10).
# - G. W. Brier (1950), *Verification of forecasts expressed in terms of probability*, Monthly Weather Review 78. B. Zadrozny, C. Elkan (2001), *Obtaining calibrated probability estimates from decision trees and naive Bayesian classifiers*, ICML.
# - C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger (2017), *On calibration of modern neural networks*, arXiv 1706.04599. J. Nixon and others (2019), *Measuring calibration in deep learning*, arXiv 1904.01685. A. Kumar, P. Liang, T. Ma (2019), *Verified uncertainty calibration*, arXiv 1909.10155.
# - Recordings of people (figures only): F. Burkhardt and others (2005), *A database of German emotional speech*, Interspeech, CC0; Free Spoken Digit Dataset v1.0.10, Jakobovski and others, CC BY-SA 4.0. Film reviews (figures only): B. Pang, L. Lee (2005), *Seeing stars*, ACL.
# - Synthetic voices: made with espeak-ng by the course, CC BY 4.0.
