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
# **Time to read:** 120 minutes with the five blanks, best in two sittings (the second begins with section 7), then 60 for the [exercises](exercises/evaluate.ipynb).

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
# In the data set `mood`, somebody says a sentence, with a voice and a face, and is negative, neutral or positive. Imagine a help desk that wants to answer the unhappy people first. So the task is: **is this message negative?** We call a negative message a *complaint*.
#
# Each message comes as 520 plain numbers (face, voice, counts of words). Two small networks have learned from 6,000 messages. Each gives three probabilities per message, and we use the first one, for "negative". How A and B were made is in a file that you should *not* open yet.

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

# %% [markdown]
# It works: B has put 1,500 messages in order, the surest complaints first, and these six are from that order. (The sentence is only a third of the evidence; B also has the voice and the face.) Now the first 200 test messages, the same for both models. A message is called a complaint if its probability is above 0.5.

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
# Every lesson of this course reports such numbers, and so does every paper. This lesson is about three questions to ask of each: *what* does it measure, *how sure* is it, and *about whom* does it speak?

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
# The true negatives are in none of the three. So they do not care how many messages nobody would ever have looked at.

# %%
P = tp / (tp + fp)
R = tp / (tp + fn)
print(f"precision {tp}/{tp + fp} = {P:.2f}, recall {tp}/{tp + fn} = {R:.2f}", end=", ")
print(f"F1 = 2 · {P:.2f} · {R:.2f} / {P + R:.2f} = {2 * P * R / (P + R):.3f}")
print("accuracy", (called == truth).mean().round(3))

# %% [markdown]
# ### Accuracy 0.9 that knows nothing
# Now suppose that only one message in ten is a complaint. Keep all test messages that are none, and draw as many complaints as makes 10 %. A **dummy baseline** looks at nothing: here it always gives the commonest answer, "no complaint" (that one is also called the *majority-class baseline*).

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
print(f"the dummy: accuracy {(nothing == rare).mean():.3f}, recall {metrics.recall_score(rare, nothing):.3f}")

# %% tags=["free"]
print("                 accuracy  precision  recall     F1   balanced accuracy")
for name, answers in {"dummy": nothing, "B": called_b[stream]}.items():
    row = [
        metrics.accuracy_score(rare, answers),
        metrics.precision_score(rare, answers, zero_division=0),
        metrics.recall_score(rare, answers),
        metrics.f1_score(rare, answers),
        metrics.balanced_accuracy_score(rare, answers),
    ]
    print(f"{name:14} {row[0]:10.3f} {row[1]:10.3f} {row[2]:7.3f} {row[3]:6.3f} {row[4]:12.3f}")

# %%
accuracy_b = (called_b[stream] == rare).mean()
assert accuracy_b < (nothing == rare).mean(), "B is less accurate than the dummy"
expect_within("accuracy of B among rare complaints", accuracy_b, 0.86, 0.04)
expect_within("recall of B among rare complaints", called_b[stream][rare].mean(), 0.72, 0.10)

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
    row = {k: metrics.f1_score(three, answers, average=k, zero_division=0) for k in ("macro", "weighted", "micro")}
    assert np.isclose(f1.mean(), row["macro"])  # your F1, averaged
    print(f"{name:15} F1 per class {f1}", {k: round(float(v), 2) for k, v in row.items()})

# %% [markdown]
# Equal accuracy (the micro average), but a macro F1 of 0.46 against 0.27. Say which average you report.
#
# scikit-learn gives the same three scores as yours, for every class of B:

# %%
by_library = metrics.precision_recall_fscore_support(y["test"], p_b.argmax(axis=1), zero_division=0)
largest = np.abs(np.array(class_scores(table_b)) - np.array(by_library[:3])).max()
print(f"largest difference from scikit-learn: {largest:.0e}")

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
canvas.text("← called       threshold 0.6       not called →", cut - 165, place.bottom[1] + 34, size=13)
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
print(f"difference from scikit-learn: {abs(auc_by_pairs(p_b[:, 0], complaint) - by_library):.0e}")
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
auc = {"36 %": metrics.roc_auc_score(complaint, p_b[:, 0]), "10 %": metrics.roc_auc_score(rare, p_b[stream, 0])}
ap = {"36 %": metrics.average_precision_score(complaint, p_b[:, 0])}
ap["10 %"] = metrics.average_precision_score(rare, p_b[stream, 0])
expect_within("AUC with 10 % complaints minus AUC with 36 %", auc["10 %"] - auc["36 %"], 0.0, 0.03)
expect_within("average precision with 36 % complaints", ap["36 %"], 0.81, 0.05)
expect_within("average precision with 10 % complaints", ap["10 %"], 0.51, 0.11)
rare_guess.compare("average precision")

# %% [markdown]
# Rates *within* a class do not change when a class becomes rare, so ROC stays. Precision mixes the two classes: with few complaints there are as many false alarms as before, and fewer hits. Where positives are rare and somebody has to look at every alarm, report the precision–recall curve (Davis and Goadrich 2006; Saito and Rehmsmeier 2015). And never compare two AP values from sets with other shares of positives.
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
for name, t in [("one half", 0.5), ("by the formula", 1 / 6), ("cheapest on validation", cheapest)]:
    print(f"{name:23} threshold {t:.2f}, cost on test {cost(p_b[:, 0], complaint, t):.3f}")
print(f"call everything {(~complaint).mean():.3f}, call nothing {5 * complaint.mean():.3f}")

# %%
saved = cost(p_b[:, 0], complaint, 0.5) - cost(p_b[:, 0], complaint, cheapest)
expect_within("euros per message that the cheapest threshold saves", saved, 0.22, 0.12)

# %% [markdown]
# The threshold 0.5 has no special right: it is the best one where both mistakes cost the same and the probabilities can be believed. (Whether they can is the question of section 10.)
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
for ax, guess, name in ((axes[0], predicted, "errors of the model"), (axes[1], np.full(4, measured.mean()), "errors of the mean, 14")):
    ax.plot(days, guess, "_", color=plot.ORANGE, markersize=22, markeredgewidth=3)
    ax.vlines(days, measured, guess, color=plot.ORANGE, linewidth=2)
    ax.plot(days, measured, "o", color=plot.BLUE)
    ax.set(xlabel="day", xticks=days, ylim=(8, 21))
    ax.set_title(name, fontsize=10)
axes[0].set_ylabel("degrees")
plot.show(fig, alt="Four measured temperatures as dots. Left, short bars to the model's predictions; right, longer bars to their mean, 14.")

# %% [markdown]
# The **mean absolute error** (MAE) is in the unit of the data. The **root mean squared error** (RMSE) counts large errors more; it is never below MAE. **R²**, the *coefficient of determination*, compares with a dummy that always gives the mean: 1 is perfect, 0 is no better than that dummy. Despite its name it can be *below 0*. Real data: 442 people with diabetes, ten measurements each, and how far the disease went in a year (Efron et al. 2004). The scores are from five-fold cross-validation (section 6).

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
    found = cross_validate(regressor, patients, progress, cv=folds, scoring=scoring, return_train_score=True)
    r2_of[name] = found["test_r2"].mean()
    print(f"{name:18} MAE {-found['test_mae'].mean():5.1f}", end="   ")
    print(f"R² in training {found['train_r2'].mean():5.2f}, on new people {found['test_r2'].mean():5.2f}")
expect_within("R² of linear regression on new people", r2_of["linear regression"], 0.48, 0.04)
expect_within("R² of the full tree on new people", r2_of["full tree"], -0.15, 0.15)

# %% [markdown]
# The tree knows all training people by heart (R² 1) and is *worse than the mean* on new ones. R² depends on the spread of the data: the same errors among people who differ less give a lower R². So report an error in the unit too.

# %% [markdown]
# ## 5 · How sure? Intervals

# %% [markdown]
# ### A test set is a sample
# B was tested on 200 messages. Cut the 1,500 into seven parts of 200 and test it on each:

# %% tags=["free"]
seven = right_b[:1400].reshape(7, 200).mean(axis=1)
print("B on seven times 200 messages:", seven)
print("A on the same:                ", right_a[:1400].reshape(7, 200).mean(axis=1))
expect_within("B, from the lowest to the highest of the seven", np.ptp(seven), 0.07, 0.05)

# %% [markdown]
# One model, and scores that differ by several points: the messages are a *sample*, and another sample gives another score. (The first 200, by luck, are easier than the rest, for A as well as for B. Keep that in mind for section 7.) How wide is the range? Suppose a model is right with probability 0.85, independently for each message. **Turn the knob**: how many messages does it take until a difference of two points means something?


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
# Four times the messages, half the width. Now turn it round: we measured $\hat p$ on $n$ messages; where may the truth lie? A **confidence interval** is a range computed from the data, by a recipe that contains the truth in, say, 95 of 100 repetitions. That share is its **coverage**. The school formula is
#
# $$\hat p \pm 1.96 \sqrt{\hat p (1 - \hat p) / n}$$

# %%
for right, n in [(170, 200), (19, 20), (20, 20)]:
    p_hat = right / n
    half = 1.96 * np.sqrt(p_hat * (1 - p_hat) / n)
    print(f"{right} of {n}: {p_hat:.3f} ± {half:.3f}, from {p_hat - half:.3f} to {p_hat + half:.3f}")

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
def school(right, n, z=1.96):
    p = right / n
    half = z * np.sqrt(p * (1 - p) / n)
    return p - half, p + half


def coverage(interval, n, truth, repetitions=20_000):
    """How often the interval contains the truth."""
    right = np.random.default_rng(0).binomial(n, truth, repetitions)
    low, high = interval(right, n)
    return np.mean((low <= truth) & (truth <= high))


print("   n   truth   school formula   Wilson")
for n, p in [(20, 0.85), (20, 0.95), (50, 0.95), (200, 0.85), (1500, 0.85)]:
    print(f"{n:5} {p:6.2f} {coverage(school, n, p):13.3f} {coverage(wilson, n, p):11.3f}")
assert coverage(school, 20, 0.95) < 0.70 < 0.91 < coverage(wilson, 20, 0.95)

# %% [markdown]
# With 20 messages and a true 0.95, the school formula contains the truth two times in three, not 19 in 20. Wilson keeps close to its promise everywhere in the table. From a few hundred messages on they agree.
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
low, high = bootstrap(macro_f1, y["test"], p_b.argmax(axis=1))
print(f"macro F1 of B: {macro_f1(y['test'], p_b.argmax(axis=1)):.3f}, from {low:.3f} to {high:.3f}")
low, high = bootstrap(metrics.roc_auc_score, complaint, p_b[:, 0])
print(f"AUC of B:      {metrics.roc_auc_score(complaint, p_b[:, 0]):.3f}, from {low:.3f} to {high:.3f}")

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
canvas.text("measured", 40, -18, size=13, bold=True)
mixed = [["a2", "c1", "a2", "b4"], ["c3", "b1", "a4", "c1"], ["b1", "c4", "b3", "a1"]]
for row, texts in enumerate(mixed):
    canvas.place(draw.tokens(texts, color="gray"), x=215, y=row * 44)
canvas.text("recordings drawn", 255, -18, size=13, bold=True)
for row, which in enumerate((0, 2, 2)):
    part = draw.tokens([f"{'abc'[which]}{i}" for i in range(1, 5)], color=colors[which])
    canvas.place(part, x=430, y=row * 44)
canvas.text("people drawn", 480, -18, size=13, bold=True)
draw.show(
    canvas,
    alt="Three people a, b, c with four recordings each. Drawing recordings mixes all twelve. Drawing people takes a, c and "
    "c again, each with all four recordings.",
)

# %%
people_guess = widgets.guess(
    "12 people × 40 recordings; people differ. How often does the 95 % interval over 480 recordings contain the truth?",
    ["95 %", "about 90 %", "about 80 %", "about two thirds"],
)

# %% [markdown]
# A small world in which the truth is known: each person is understood with a probability of their own, 0.75 in the mean over all people (with a spread of 0.12). Repeat the whole experiment 1,000 times.


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
    drawn = np.take_along_axis(share, who, axis=1).reshape(repetitions, rounds, -1).mean(axis=2)
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
# Recordings as draws: an interval that claims 95 % and keeps 67 to 70 %, and more people do not mend it. With people as draws the promise is nearly kept; with few of them the bootstrap is still too narrow (its draws can only be the people that were there), and **Student's t interval** over the people's scores, which is wider for small numbers, is the best of the three. The last line is the control: if people do *not* differ, all three keep their promise. So it is the differences between people that spoil the first interval, not the number of recordings.
#
# Say what your interval is about: other *recordings* of these people, or other *people*.
#
# ## 6 · About whom? Splits and cross-validation

# %% [markdown]
# ### Folds
# With few data, a separate test set is a waste. **Cross-validation** lets each sample be tested once: split into $k$ **folds**, train on all but one, test on that one, $k$ times. The question is what a fold may share with the rest.

# %% tags=["hide-input"]
voices = list("aaabbbccc")
canvas = draw.Canvas()
for side, (title, fold_of) in enumerate(
    [
        ("folds by recording", [0, 1, 2, 2, 0, 1, 1, 2, 0]),
        ("folds by voice", [0, 0, 0, 1, 1, 1, 2, 2, 2]),
    ]
):
    canvas.text(title, side * 375, -16, size=13, bold=True)
    for fold in range(3):
        tested = [i for i in range(9) if fold_of[i] == fold]
        part = draw.tokens(voices, color="gray", highlight=tested)
        canvas.place(part, x=side * 375, y=fold * 44)
canvas.text("orange: tested; gray: trained on; letters: whose voice", 180, 140, size=13)
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
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

recognizer = make_pipeline(StandardScaler(), SVC(C=10))  # the scaler is inside: it learns from training folds only


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


draws = [np.isin(person, np.random.default_rng(s).permutation(36)[:12]) for s in range(5)]
numbers = np.array([three_numbers(known) for known in draws])  # (5 draws of twelve, 3)

# %% tags=["target"]
expect_within("folds by recording", numbers[:, 0].mean(), 0.97, 0.02)
expect_within("folds by voice", numbers[:, 1].mean(), 0.76, 0.05)
expect_within("24 other voices", numbers[:, 2].mean(), 0.76, 0.05)

# %% tags=["free"]
for name, k in [("by recording", 0), ("by voice", 1)]:
    mean, half = mean_and_interval(numbers[:, k] - numbers[:, 2])
    print(f"folds {name:12} minus the 24 other voices: {mean:+.3f} ± {half:.3f}")
fold_guess.compare("about 0.97")

# %% [markdown]
# (± is a 95 % interval by Student's t over five draws of the twelve. The draws share voices, so it is approximate.) Folds by recording promise about twenty points too many: each voice is on both sides. **Grouped cross-validation** (`StratifiedGroupKFold`, `GroupKFold`) keeps its word. Group by whatever will be new in use: the person, the hospital, the week. Section 13 does it with real people.
#
# ### A search flatters itself
# You try 49 recipes with cross-validation and keep the best. Is its score what you will get? Each score is the truth plus luck, and the largest of 49 is likely to have much luck. Here is the cleanest test: give each message a label *drawn by lot*. Nothing can be learned, and with three classes the truth is 1/3.

# %%
search_guess = widgets.guess(
    "Labels by lot, 90 messages, 49 recipes. The best cross-validation score is about …",
    ["0.33", "0.36", "0.44", "0.60"],
)

# %%
search = stored["nested"]
print(f"stored run: {search['num_configurations']} recipes, {search['num_samples']} messages,", end=" ")
print(f"{len(search['coins']['best'])} repetitions")
optimism = {}
for name, title in [("coins", "labels by lot"), ("mood", "true labels")]:
    rows = {key: np.array(search[name][key]) for key in ("best", "nested", "truth")}
    print(f"\n{title}: the chosen recipe on 1,950 other messages {rows['truth'].mean():.3f}")
    for key, says in [("best", "best of the search"), ("nested", "nested cross-validation")]:
        optimism[name, key] = mean_and_interval(rows[key] - rows["truth"])
        mean, half = optimism[name, key]
        print(f"  {says:24} {rows[key].mean():.3f}, minus the truth {mean:+.3f} ± {half:.3f}")
search_guess.compare("0.44")

# %% [markdown]
# The search reports a score for pure noise. **Nested cross-validation** puts the whole search *inside* each training part: the outer fold that tests the winner had no say in the choice (Varma and Simon 2006; Cawley and Talbot 2010).

# %% tags=["hide-input"]
canvas = draw.Canvas()
canvas.text("outer folds", 0, -16, size=13, bold=True)
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
canvas.text("inner folds of the first outer fold: the search", 250, -22, size=13, bold=True)
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
# In scikit-learn it is two lines, because a search *is* an estimator: `cross_val_score` around `GridSearchCV`. Once, live, on 90 messages with labels by lot:

# %% tags=["free"]
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

g = np.random.default_rng(0)
faces_and_voices = arrays["train"][:, :337]  # without the words, whose counts are mostly 0
some = faces_and_voices[g.permutation(6000)[:90]]
lots = np.repeat([0, 1, 2], 30)  # the messages are in random order, so these say nothing
pipeline = make_pipeline(SelectKBest(k=10), LogisticRegression())
grid = {"selectkbest__k": [5, 10, 20, 40, 80, 160], "logisticregression__C": [0.01, 0.1, 1, 10]}
outer = StratifiedKFold(5, shuffle=True, random_state=0)
inner = StratifiedKFold(5, shuffle=True, random_state=1)
grid_search = GridSearchCV(pipeline, grid, cv=inner)
best = grid_search.fit(some, lots).best_score_
honest = cross_val_score(grid_search, some, lots, cv=outer).mean()
print(f"best of {len(grid_search.cv_results_['params'])} settings {best:.3f}, nested {honest:.3f}, truth 0.333")

# %% [markdown]
# (One draw of 90 rows: your two numbers vary a good deal from draw to draw. The stored run above has the interval.) The nested score belongs to the *whole procedure*, search included: it may choose another recipe in each outer fold. With plenty of data a three-way split does the same: train, choose on *validation*, and look at the *test* set once. [Tuning](tune.ipynb) does that.
#
# A trap in the same family: whatever *learns* from data (a scaler, a choice of columns, a vocabulary) belongs inside the pipeline. Choose the columns first, on all 90 messages with their labels, and cross-validate afterwards:

# %% tags=["free"]
def leak(seed, inside):
    """Cross-validation on labels by lot, columns chosen inside the folds or before."""
    g = np.random.default_rng(seed)
    some = faces_and_voices[g.permutation(6000)[:90]]
    model = LogisticRegression(C=0.1)
    if inside:
        return cross_val_score(make_pipeline(SelectKBest(k=20), model), some, lots, cv=outer).mean()
    chosen = SelectKBest(k=20).fit_transform(some, lots)  # has seen every label
    return cross_val_score(model, chosen, lots, cv=outer).mean()


# %%
before = mean_and_interval([leak(seed, inside=False) for seed in range(20)])
within = mean_and_interval([leak(seed, inside=True) for seed in range(20)])
expect_within("labels by lot, columns chosen before", before[0], 0.49, 0.06)
expect_within("labels by lot, columns chosen inside the folds", within[0], 0.33, 0.04)

# %% [markdown]
# Nearly half right about labels that were drawn by lot, and only because 20 of 337 columns were chosen with a look at the labels that were to be tested (Ambroise and McLachlan 2002 found this in published work on genes).

# %% [markdown]
# ## 7 · Does B beat A? Paired tests

# %% [markdown]
# Both models took the *same* test. So look at each message twice:

# %% tags=["free"]
def four_kinds(first, second):
    """Both right, only the first, only the second, both wrong."""
    return [(first & second).sum(), (first & ~second).sum(), (~first & second).sum(), (~first & ~second).sum()]


for n in (200, 1500):
    kinds = four_kinds(right_a[:n], right_b[:n])
    print(f"{n:5} messages: both right {kinds[0]}, only A {kinds[1]}, only B {kinds[2]}, both wrong {kinds[3]}")

# %% tags=["hide-input"]
canvas = draw.Canvas()
table = draw.matrix(
    [["both right", "only A right"], ["only B right", "both wrong"]],
    rows=["A right", "A wrong"],
    columns=["B right", "B wrong"],
    highlight=[(0, 1), (1, 0)],
)
place = canvas.place(table)
note = draw.box("only these two tell A from B", note="n_A and n_B: like coins, if neither is better", color="orange", width=310)
canvas.place(note, x=place.right[0] + 40, y=36)
draw.show(canvas, alt="Two by two: both right, only A right, only B right, both wrong. Only the two mixed cells tell A from B.")

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
    by_library = evaluate.mcnemar([1] * (n_a + n_b), [1] * n_a + [0] * n_b, [0] * n_a + [1] * n_b)[2]
    print(f"only A {n_a:2}, only B {n_b:2}: p = {coins(n_a, n_b):.3g}; the course's function {by_library:.3g}")

# %% [markdown]
# A p-value says how surprising the data would be *if neither were better*. It is not the probability that neither is better, and it does not say how much better B is. For that, the **paired bootstrap** draws *messages*, each with both answers, and gives an interval for the difference.

# %% tags=["free"]
labels = complaint.astype(int)
for n in (200, 1500):
    answers = labels[:n], called_a[:n].astype(int), called_b[:n].astype(int)
    p_value = evaluate.mcnemar(*answers)[2]
    gain, low, high = evaluate.paired_bootstrap(*answers, seed=0)
    print(f"B minus A on {n:5} messages: {gain:+.3f}, from {low:+.3f} to {high:+.3f}; McNemar p = {p_value:.2f}")

# %%
assert evaluate.mcnemar(labels[:200], called_a[:200].astype(int), called_b[:200].astype(int))[2] > 0.05
expect_within("B minus A on all 1,500", right_b.mean() - right_a.mean(), 0.0, 0.025)
better_guess.compare("200 messages cannot decide it")

# %% [markdown]
# Two points on 200 messages were nothing. Now a third model: C is the same network as A, trained for eight epochs instead of three.

# %% tags=["free"]
network_c = last(train(x["train"], targets["train"], epochs=8, seed=0))
p_c = probabilities(network_c)
called_c = p_c[:, 0] > 0.5
right_c = called_c == complaint
n_a, n_c, p_value = evaluate.mcnemar(labels, called_a.astype(int), called_c.astype(int))
print(f"A {right_a.mean():.3f}, C {right_c.mean():.3f}; only A right {n_a}, only C right {n_c}: p = {p_value:.1g}")

# %% [markdown]
# Pairs see more than two separate intervals do. Here is how wide each view of the same difference is, and a control: the same answers of C, but matched to *other* messages, so that nothing is shared any more.

# %% tags=["free"]
def half_width(first, second):
    """Half of the paired bootstrap interval for the difference of two models."""
    ones = np.ones(len(first), int)
    _, low, high = evaluate.paired_bootstrap(ones, first.astype(int), second.astype(int), seed=0)
    return (high - low) / 2


strangers = np.random.default_rng(0).permutation(right_c)
apart = 1.96 * np.sqrt(right_a.var() / 1500 + right_c.var() / 1500)
print(f"paired ± {half_width(right_a, right_c):.3f}; as two independent tests ± {apart:.3f};", end=" ")
print(f"paired with strangers ± {half_width(right_a, strangers):.3f}")

# %%
expect_within("C minus A", right_c.mean() - right_a.mean(), 0.033, 0.025)
assert half_width(right_a, right_c) < 0.8 * apart < 0.9 * half_width(right_a, strangers)
print("the pairing makes the interval narrower; with strangers the gain is gone")

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
    "Two equal recipes, two seeds each, 'more than two standard errors'. How often does it name a winner?",
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
    print(f"{n:5} {false_alarms(n, 2):14.1%} {false_alarms(n, factor):19.1%}   (t = {factor:.2f})")
seed_guess.compare("30 %")

# %% [markdown]
# With two seeds the rule of two standard errors names a winner among equals in about 30 % of cases: 15 % for the one, 15 % for the other. The reason is that the standard error itself is a guess from two numbers, and often far too small. **Student's t** (1908) replaces the 2 by a number that allows for that: 12.7 for two seeds, 4.3 for three, 2.8 for five. `mean_and_interval`, which this course uses everywhere, does exactly this.

# %%
five = seeds["eight epochs"][:5] - seeds["three epochs"][:5]  # seeds 0 to 4 of each
mean, half = mean_and_interval(five)
print(f"eight epochs minus three, five seeds: {mean:+.3f} ± {half:.3f}", five)
assert mean - half > 0
for name in seeds:
    share = stored["seeds"][name]["McNemar below 0.05"]
    print(f"{name}: McNemar calls {share:.0%} of all pairs of seeds different")

# %% [markdown]
# The gain from eight epochs is real, and five seeds show it. The last two lines are no contradiction to anything: two networks of one recipe *may* differ, and then McNemar is right about these two networks. It just does not speak about the recipe.

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
# Four to five points from nothing. Real networks take the same test, so their luck is partly shared, and they are not quite equal. Take 20 of the 60 stored seeds of *three epochs*, keep the best on the first 200 *validation* messages, and see what it does on the test set:

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
print(f"the best of twenty:    validation {np.mean(promised):.3f}, test {np.mean(kept):.3f}")
rise = [np.mean(promised) - ordinary[0], np.mean(kept) - ordinary[1]]
print(f"it seems better by {rise[0]:.3f}, and is better by {rise[1]:.3f}")
assert rise[0] > 2 * rise[1]

# %% [markdown]
# ### Twenty tests
# Now compare each of twenty models with a baseline, and shout where $p < 0.05$. If all are equal, each test errs in 5 % of cases; *at least one* of twenty independent ones errs in $1 - 0.95^{20} = 64\,\%$. This is the problem of **multiple comparisons**. The simplest cure is Bonferroni's: ask for $p < 0.05 / 20$ everywhere. **Holm's method** (1979) is never worse and often finds more: sort the p-values; ask the smallest for $0.05/m$, the next for $0.05/(m-1)$, and so on; stop at the first that fails.

# %%
p_values = np.array([0.030, 0.004, 0.300, 0.011])
order = np.argsort(p_values)
for place, i in enumerate(order):
    limit = 0.05 / (len(p_values) - place)
    says = "yes" if p_values[i] <= limit else "no: stop here"
    print(f"model {i}: p = {p_values[i]:.3f}, limit 0.05 / {len(p_values) - place} = {limit:.4f}  {says}")
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
plot.show(fig, alt="Four p-values in order. The first two lie below Holm's limits, the third above, so the method stops there.")

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
# Does it keep its promise? Twenty models that are truly equal to the baseline, all on one test set of 1,500 messages, 1,000 times over: how often is at least one of them called different?


# %%
def any_shown(method, models=20, repetitions=1000):
    """Share of repetitions in which at least one of the equal models is called different."""
    g = np.random.default_rng(0)
    alarms = []
    for _ in range(repetitions):
        disagree = g.binomial(1500, 0.10, models)  # messages on which exactly one is right
        only_model = g.binomial(disagree, 0.5)  # equal models: like coins
        p = [evaluate_coins[n, k] for n, k in zip(disagree, only_model)]
        alarms.append(np.any(method(np.array(p))))
    return np.mean(alarms)


class Remembered(dict):
    """coins(k, n − k), computed once for each (n, k)."""

    def __missing__(self, key):
        n, k = (int(number) for number in key)
        self[key] = coins(k, n - k)
        return self[key]


evaluate_coins = Remembered()
plain = any_shown(lambda p: p < 0.05)
careful = any_shown(holm)
print(f"p < 0.05 for each: at least one false alarm in {plain:.0%}; Holm: in {careful:.1%}")
assert plain > 0.5 and careful <= 0.05

# %% [markdown]
# (The exact test errs in a little less than 5 % of cases, because counts are whole numbers; so 64 % is an upper limit here.) The same holds for twenty seeds, twenty metrics, twenty subgroups, or twenty versions of a figure before one looks right. Say how many you tried.
