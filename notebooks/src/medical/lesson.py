# %% [markdown]
# # Medical: who is seen first?
# *A score reads a chest X-ray and a record of eight numbers, and somebody must decide who is seen first. You go from that decision to a one-page report, and on the way you catch a leak and a shortcut, learn what a gap in a record can mean, and see exactly what fairness can and cannot promise.*
#
# {{budget}}
#
# **You will be able to**
# - judge a rare disease without being fooled by accuracy: ROC, precision and recall, Brier score, net benefit;
# - turn costs into a threshold, and move probabilities to a hospital with another prevalence;
# - train on records with gaps, and know the three reasons for a gap;
# - find a shortcut, a leak between patients, and an unfair error rate, each by its own check;
# - say in plain words what must not be concluded.
#
# **Before this:** [evaluate](evaluate.ipynb) (intervals, calibration), [fusion](fusion.ipynb) (image and record joined), [cnn](cnn.ipynb), [multimodal_data](multimodal_data.ipynb) (missing modalities).
#
# **Time to read:** 90 minutes with the five blanks, then 110 for the [exercises](exercises/medical.ipynb).
#
# *Nobody in `clinic` is real; its hospitals, groups and probabilities are invented. Section 13 has real X-rays. Nothing in this lesson is medical advice.*

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import clinic, load, results
from mmcourse.evaluate import (
    auc,
    average_precision,
    brier_parts,
    brier_score,
    by_group,
    cost_threshold,
    expect_within,
    group_bootstrap,
    mean_and_interval,
    net_benefit,
    roc,
)

stored = results("medical")

# %% [markdown]
# ## 1 · Almost always right
#
# The data set `clinic`: a drawn "X-ray" and eight numbers for each visit to hospital A, and whether the patient was ill.

# %%
train_set = load("clinic", "train")
test_set = load("clinic", "test")
pictures = test_set.column("image")[:]
ill_ones = np.flatnonzero(test_set.labels == 1)[:3]
healthy_ones = np.flatnonzero(test_set.labels == 0)[:3]
shown = [*healthy_ones, *ill_ones]
names = ["healthy"] * 3 + ["ill"] * 3
six = [pictures[i] for i in shown]
fig = plot.images(six, names, title="Six visits to hospital A", columns=3)
plot.show(fig, alt="Six drawn chest X-rays with a letter in the corner; three are ill.")
first = test_set[int(shown[0])]["record"]  # (8,)
print(", ".join(f"{name} {x:.1f}" for name, x in zip(clinic.FIELDS, first)))

# %% [markdown]
# A logistic regression on the eight numbers takes a moment to train. How often is it right?

# %% tags=["free"]
train_x = clinic.encode(train_set.column("record"))
test_x = clinic.encode(test_set.column("record"))
train_y, test_y = train_set.labels, test_set.labels
first_model = LogisticRegression(max_iter=1000).fit(train_x, train_y)
first_p = first_model.predict_proba(test_x)[:, 1]
right = ((first_p > 0.5) == test_y).mean()
print(f"right in {right:.3f} of {len(test_y):,} visits")

# %% [markdown]
# Would you use it? Compare with a model that needs no training at all:

# %% tags=["free"]
print(f"'everybody is healthy' is right in {(test_y == 0).mean():.3f}")
found = ((first_p > 0.5) & (test_y == 1)).sum()
print(f"the trained model finds {found} of {test_y.sum()} ill visits")
assert right - (test_y == 0).mean() < 0.02 and found < test_y.sum() / 2

# %% [markdown]
# Only 6 of 100 are ill, so calling everybody healthy is right in 94 of 100 cases, and finds nobody. With such **class imbalance**, accuracy says next to nothing. Yet the model is far from useless, as you will see: it was only asked the wrong question.
#
# ## 2 · Three questions
#
# **Record three guesses.** You will measure all of them.

# %%
other_hospital = widgets.guess(
    "A network, trained for 6 epochs, reads image and record at hospital A, and ranks "
    "an ill patient above a healthy one in about 95 of 100 pairs. Hospital B has the "
    "same disease, and it "
    "looks the same. How many of 100 pairs there?",
    ["about 95", "about 91", "below 87"],
)

# %%
with_gaps = widgets.guess(
    "Doctors order a blood test when they suspect the disease; about half of the "
    "patients have none. A model sees the record, and whether there was a test. Which "
    "record ranks patients better: this one, or one where everybody was tested?",
    ["with everybody tested", "this one, with gaps", "both alike"],
)

# %%
both_fair = widgets.guess(
    "One group is ill three times as often as another. Can a rule give both groups the "
    "same share of ill among those called, and find the same share of the ill, and "
    "call the same share of the healthy?",
    ["yes, with enough data", "yes, with two thresholds", "no"],
)

# %% [markdown]
# ## 3 · From the decision backwards
#
# **Start from the decision that somebody must take.** Here: an X-ray has been taken. Does a doctor look at it within the hour, or does it wait in the queue? A doctor's quarter of an hour is the price of a false alarm. A missed case is worse, say 19 times as bad; the clinic has to say how much, not you.

# %% tags=["hide-input"]
canvas = draw.Canvas()
image_at = canvas.place(draw.box("X-ray", note="64 × 64", color="blue"), x=0, y=0)
record_box = draw.box("record", note="8 numbers, gaps", color="orange")
record_at = canvas.place(record_box, x=0, y=80)
model_at = canvas.place(draw.box("model"), x=190, y=42)
risk_at = canvas.place(draw.box("risk p", note="0 to 1", color="gray"), x=310, y=36)
now_at = canvas.place(draw.box("within the hour", color="green"), x=490, y=0)
later_at = canvas.place(draw.box("queue", color="gray"), x=490, y=85)
for start, end, label in (
    (image_at, model_at, ""),
    (record_at, model_at, ""),
    (model_at, risk_at, ""),
    (risk_at, now_at, "p ≥ t"),
    (risk_at, later_at, "p < t"),
):
    canvas.arrow(start, end, label=label)
draw.show(
    canvas,
    alt="X-ray and record go into a model, which gives a risk p. From a threshold on, "
    "the patient is seen within the hour; below it, the X-ray waits in the queue.",
)

# %% [markdown]
# Assume that right decisions cost nothing. With risk $p$, calling the patient costs on average $(1-p)\,c_{FP}$, not calling $p\,c_{FN}$. Calling is cheaper if $p\,c_{FN} > (1-p)\,c_{FP}$, that is, if
#
# $$p > t = \frac{c_{FP}}{c_{FP} + c_{FN}}$$
#
# with $c_{FP}$ the cost of a false alarm and $c_{FN}$ of a miss (Elkan 2001). This **cost threshold** is the probability from which calling is cheaper. It is not 0.5, and no data are needed to choose it. It does need one thing: that $p$ is a *probability*.

# %% tags=["free"]
threshold = cost_threshold(false_alarm=1, miss=19)
called = first_p >= threshold
print(f"threshold {threshold:.2f}")
for name, decision in (("p > 0.5", first_p > 0.5), (f"p ≥ {threshold:.2f}", called)):
    hits = int((decision & (test_y == 1)).sum())
    alarms = int((decision & (test_y == 0)).sum())
    missed = int(test_y.sum()) - hits
    cost = (19 * missed + alarms) / len(test_y)
    told = f"found {hits:3}, missed {missed:3}, false alarms {alarms:4}"
    print(f"{name:9} {told}, cost per visit {cost:.3f}")
everybody = (test_y == 0).mean()
print(f"everybody called: cost {everybody:.3f}; nobody: {19 * test_y.mean():.3f}")
assert ((19 * (test_y & ~called) + (called & (test_y == 0))).mean()) < everybody

# %% [markdown]
# The same model, the same probabilities, another threshold: from hardly better than calling everybody to less than half the cost.

# %% [markdown]
# ## 4 · How good is the order?
#
# Before any threshold: are ill people *ranked* above healthy ones? Six patients, by hand:

# %% tags=["hide-input"]
labels = np.array([1, 0, 1, 0, 0, 0])
scores = np.array([0.9, 0.8, 0.6, 0.6, 0.3, 0.1])
words = ["ill" if y else "healthy" for y in labels]
row = draw.tokens(words, ids=[f"{s:.1f}" for s in scores], highlight=[0, 2])
draw.show(
    row,
    alt="Six patients by score: ill 0.9, healthy 0.8, ill 0.6, then three healthy.",
)

# %% [markdown]
# Take each pair of one ill and one healthy patient. The ill one has the higher score: 1 point; the same score: half a point. The share of points is the **AUC** (Hanley and McNeil 1982), which you have met as the area under a curve. 0.5 is chance, whatever the prevalence.
#
# **Your turn (blank 1).** Write it.
# <details><summary>Hint</summary>
#
# `scores[labels == 1][:, None] - scores[labels == 0]` has a row for each ill patient. Where it is above 0: 1; where it is 0: one half. Then the mean.
# </details>


# %%
def auc_by_pairs(labels, scores):
    """Share of pairs in which the ill one is ahead; ties count half."""
    # BEGIN SOLUTION
    ahead = scores[labels == 1][:, None] - scores[labels == 0]
    return ((ahead > 0) + 0.5 * (ahead == 0)).mean()
    # END SOLUTION


auc_by_pairs = check("medical.blank.1", auc_by_pairs)
points = [4, 2.5]  # 0.9 beats all four; 0.6 loses, ties, wins, wins
print(f"by hand {sum(points)} of 8 points: {sum(points) / 8}")
print(f"by pairs {auc_by_pairs(labels, scores)}, under the curve {auc(labels, scores)}")

# %% [markdown]
# The curve itself, **ROC**: lower the threshold step by step and note who is called, as the share of the ill (**true-positive rate**, also *sensitivity* or *recall*) and the share of the healthy (**false-positive rate**, 1 − *specificity*). Patients with the same score are called together.

# %%
fpr, tpr, cut = roc(labels, scores)
for t, false_rate, true_rate in zip(cut, fpr, tpr):
    rates = f"false-positive rate {false_rate:.2f}   true-positive rate {true_rate:.2f}"
    print(f"threshold {t:4.1f}   {rates}")

# %% [markdown]
# **Precision**: of those who are called, how many are ill? Precision against recall is the PR curve, and its summary is **average precision**
#
# $$\mathrm{AP} = \sum_k (R_k - R_{k-1})\, P_k$$
#
# with $P_k$ and $R_k$ the precision and the recall at the $k$-th *different* score, from the highest down. A guess (all scores alike) has the prevalence, not 0.5. And no trapezoids: between two points, precision does not follow a straight line (Davis and Goadrich 2006).
#
# **Your turn (blank 2).** Write AP. Mind the ties.
# <details><summary>Hint</summary>
#
# Loop over `np.unique(scores)[::-1]`. Those called are `scores >= value`; precision is the mean of their labels, recall their sum over the sum of all labels.
# </details>


# %%
def ap_by_hand(labels, scores):
    """Average precision."""
    total, before = 0.0, 0.0
    # BEGIN SOLUTION
    for value in np.unique(scores)[::-1]:
        called = scores >= value
        recall = labels[called].sum() / labels.sum()
        total += (recall - before) * labels[called].mean()
        before = recall
    return total
    # END SOLUTION


ap_by_hand = check("medical.blank.2", ap_by_hand)
print(f"by hand: 0.5 · 1 + 0.5 · 0.5 = {ap_by_hand(labels, scores)}")
print(f"a guess, all scores alike: {ap_by_hand(labels, np.ones(6)):.3f} = 2 of 6")

# %% tags=["free"]
from sklearn.metrics import average_precision_score, roc_auc_score

theirs = roc_auc_score(test_y, first_p), average_precision_score(test_y, first_p)
ours = auc(test_y, first_p), average_precision(test_y, first_p)
patient = test_set.meta["patient"]
low, high = group_bootstrap(auc, patient, test_y, first_p, seed=0, rounds=200)
print(f"AUC {ours[0]:.3f} [{low:.3f}, {high:.3f}]")
print(f"AP  {ours[1]:.3f} (a guess: {test_y.mean():.3f})")
assert max(abs(a - b) for a, b in zip(ours, theirs)) < 1e-12
print("scikit-learn gives the same to 12 digits")

# %% [markdown]
# The interval draws whole *patients* anew, since visits of one patient are not independent. **Move the slider** to another prevalence: the ill and the healthy get other weights, nothing else changes. Which curve notices?


# %% tags=["hide-input", "free"]
def show_curves(prevalence=0.06):
    """ROC and PR of the same scores at another prevalence, by weights."""
    rate = test_y.mean()
    healthy_weight = (1 - prevalence) / (1 - rate)
    weights = np.where(test_y == 1, prevalence / rate, healthy_weight)
    from mmcourse.evaluate import precision_recall

    fpr, tpr, _ = roc(test_y, first_p, weights)
    precision, recall, _ = precision_recall(test_y, first_p, weights)
    fig, axes = plt.subplots(1, 2, figsize=(7.2, 3.1))
    axes[0].plot(fpr, tpr)
    axes[0].plot([0, 1], [0, 1], ":", color="#777777")
    area = auc(test_y, first_p, weights)
    axes[0].set(xlabel="false-positive rate", ylabel="true-positive rate")
    axes[0].set_title(f"ROC, area {area:.2f}", fontsize=10, loc="left")
    axes[1].plot(recall, precision)
    axes[1].axhline(prevalence, color="#777777", ls=":")
    ap = average_precision(test_y, first_p, weights)
    axes[1].set(xlabel="recall", ylabel="precision", ylim=(0, 1.02))
    axes[1].set_title(f"PR, average precision {ap:.2f}", fontsize=10, loc="left")
    told = f"prevalence {prevalence:.2f}: AUC {area:.2f}, average precision {ap:.2f}"
    plot.show(fig, alt=told)


widgets.slider(show_curves, prevalence=[0.005, 0.02, 0.06, 0.2, 0.5])

# %% [markdown]
# The ROC curve does not know how rare the disease is; precision does.
#
# ## 5 · One patient, two parts
#
# What is the best AUC that *any* model can have here, from one visit? In `clinic` the table p(disease, finding, machine, record, group, gaps) is in the code, 768 cells (within a cell, image and numbers say no more of the disease), and `roc`, `auc` and all others take weights. So the table, used as a test set, gives the **exact ceiling**.

# %%
cells = clinic.table("A")  # arrays (768,): disease, each cue, and p
print(f"cells {len(cells['p'])}, sum of p {cells['p'].sum():.3f}")
ways = {
    "age and sex": ("group",),
    "record": clinic.RECORD,
    "finding in the image": ("finding",),
    "image": clinic.IMAGE,
    "finding and record": ("finding", *clinic.RECORD),
    "image and record": (*clinic.IMAGE, *clinic.RECORD),
}
ceiling = {name: clinic.ceiling(auc, see) for name, see in ways.items()}
for name, value in ceiling.items():
    print(f"{name:22} best AUC {value:.3f}")

# %% [markdown]
# **A score clearly above the ceiling uses something that it should not have.** A random forest gets *age and sex* only. (In `clinic` sex says nothing about the disease, and age nothing beyond the two groups: the first line is their ceiling.) The visits are divided into four folds in two ways: by picture, or by patient, so that no patient is on both sides. (Stored, ten seeds.)


# %% tags=["hide-input"]
def visits(title, colors):
    """Boxes of visits of three patients."""
    parts = [draw.label(title)]
    people = ("Ann, 1st", "Ann, 2nd", "Bob", "Cyd, 1st", "Cyd, 2nd")
    for name, color in zip(people, colors):
        parts.append(draw.box(name, color=color))
    return draw.row(*parts, gap=14)


by_picture = visits("by picture", ("blue", "orange", "blue", "orange", "blue"))
by_patient = visits("by patient", ("blue", "blue", "blue", "orange", "orange"))
draw.show(
    draw.column(by_picture, by_patient, gap=16),
    alt="Five visits of three patients, blue: training, orange: test. By picture, "
    "Ann and Cyd are on both sides; by patient, nobody is.",
)

# %%
leak = {"exact age": stored["leak"], **stored["leak controls"]}
print(f"{'AUC, ten seeds':26}{'by picture':>15}{'by patient':>16}")
for name, row in leak.items():
    told = ""
    for way in ("by picture", "by patient"):
        mean, half = mean_and_interval(row[way])
        told += f"{mean:8.3f} ± {half:.3f}"
    print(f"{name:25}{told}")
most = stored["leak"]["ceiling"]
print(f"exact ceiling of age and sex: {most:.3f}")
assert min(leak["exact age"]["by picture"]) > most + 0.1
assert abs(np.mean(leak["exact age"]["by patient"]) - 0.5) < 0.03
anew = leak["age anew at each visit"]
assert max(anew["by picture"]) < min(leak["exact age"]["by picture"]) - 0.15
assert abs(np.mean(anew["by picture"]) - np.mean(anew["by patient"])) < 0.03
assert min(leak["exact age, leaves of 200"]["by patient"]) > 0.58

# %% [markdown]
# With folds by picture, the forest is *above what can be known* from age and sex. Does it find the *same patient* in the other folds? The exact age is nearly a name (section 12 counts it). Second line: each visit gets an age drawn anew from its group, so that the age names nobody, and nothing else is changed. The gain is gone. In whole years, an age names less, and the forest gains less.
#
# With folds by patient, the forest with exact ages is at chance, below the ceiling of two age groups. With leaves of at least 200 visits it has 0.60, so it got lost in single ages. With real data nobody gives you a ceiling, so **split by patient**, always; if the model is to be used elsewhere or later, by hospital and by time as well.
#
# Two more checks that cost one line each: nobody on both sides, and no picture twice.

# %%
import hashlib

sides = [set(part.meta["patient"]) for part in (train_set, test_set)]
print("patients on both sides:", len(sides[0] & sides[1]))
hashes = []
for part in (train_set, test_set):
    images = part.column("image")[:]
    hashes.append({hashlib.sha256(x.tobytes()).hexdigest() for x in images})
print("identical pictures on both sides:", len(hashes[0] & hashes[1]))

# %% [markdown]
# ## 6 · Records with gaps
#
# One of the eight numbers, the blood test CRP (a protein that rises with inflammation), is missing for about half of the visits:

# %%
no_test = np.isnan(train_set.column("record")[:, clinic.FIELDS.index("crp")])
print(f"no CRP: {no_test.mean():.3f} of all visits,", end=" ")
print(f"{no_test[train_y == 0].mean():.3f} of the healthy,", end=" ")
print(f"{no_test[train_y == 1].mean():.3f} of the ill")

# %% [markdown]
# *Why* it is missing decides how much the gap itself can tell (Rubin 1976):
#
# | mechanism | the chance of a gap depends on | here |
# |---|---|---|
# | **MCAR**, missing completely at random | nothing | a coin |
# | **MAR**, missing at random | what *is* in the record | patients with a fever are tested more often |
# | **MNAR**, missing not at random | what is *not* in the record | a doctor who suspects the disease orders the test |

# %% tags=["hide-input"]
rows = []
for kind, cause, color in (
    ("MCAR", "a coin", "gray"),
    ("MAR", "fever (recorded)", "blue"),
    ("MNAR", "suspicion (not recorded)", "orange"),
):
    parts = [draw.box(cause, color=color, width=230), draw.box("test done?", width=130)]
    parts.append(draw.box("12.0 or –", note="CRP in the record", width=160))
    flow = draw.row(*parts, arrows=True, gap=34)
    rows.append(draw.row(draw.label(kind), flow, gap=20))
draw.show(
    draw.column(*rows, gap=12),
    alt="Three causes of a gap: a coin, a recorded fever, an unrecorded suspicion.",
)

# %% [markdown]
# A network needs a number in each place. **Imputation** fills a gap, for example with the mean of the *training* part (of the whole data, it would leak). A **missing indicator**, *flag* for short, says beside it which numbers are real.
#
# **Your turn (blank 3).** `values` (n, f) has NaN in the gaps. Standardize with `mean` and `std`, put 0 (which is the mean) in the gaps, and append one flag per field: 1 where there is a number.
# <details><summary>Hint</summary>
#
# `there = ~np.isnan(values)`; `np.where(there, …, 0.0)`; `np.hstack([numbers, there])`.
# </details>


# %%
def impute_and_flag(values, mean, std):
    """(n, f) with NaN → (n, 2f) without."""
    # BEGIN SOLUTION
    there = ~np.isnan(values)
    numbers = np.where(there, (values - mean) / std, 0.0)
    return np.hstack([numbers, there])
    # END SOLUTION


impute_and_flag = check("medical.blank.3", impute_and_flag)
two = np.array([[39.0, np.nan], [37.0, 120.0]])
print(two, "→")
print(impute_and_flag(two, mean=np.array([37.0, 40.0]), std=np.array([1.0, 40.0])))

# %% [markdown]
# Does the flag matter? On the table this is exact: the logistic regression that unlimited data would give, for each mechanism. Beside it, stored, what ten training sets of 6,000 gave.

# %%
gaps = {kind: stored["gaps"][kind] for kind in clinic.GAPS}
names = {
    "without the test": "test left out",
    "mean": "mean in the gaps",
    "flag": "mean and flag",
}
print(f"{'AUC of the record':20}", *(f"{kind:>16}" for kind in gaps))
for way, told in names.items():
    row = [f"{gaps[k]['exact'][way]:.3f} ({np.mean(gaps[k][way]):.3f})" for k in gaps]
    print(f"{told:20}", *(f"{value:>16}" for value in row))
best = [gaps[k]["exact"]["best of all, with gaps"] for k in gaps]
print(f"{'best of all':20}", *(f"{value:16.3f}" for value in best))
full = [gaps[k]["exact"]["every test done"] for k in gaps]
print(f"{'everybody tested':20}", *(f"{value:16.3f}" for value in full))

# %%
mnar = gaps["MNAR"]["exact"]
lost = {k: gaps[k]["exact"]["flag"] - gaps[k]["exact"]["mean"] for k in gaps}
assert lost["MNAR"] > 0.025 and max(lost["MCAR"], lost["MAR"]) < 0.005
assert mnar["flag"] > mnar["every test done"]
for k in gaps:
    apart, half = mean_and_interval(np.subtract(gaps[k]["flag"], gaps[k]["mean"]))
    print(f"{k:5} flag minus mean alone, ten training sets: {apart:+.4f} ± {half:.4f}")
with_gaps.compare("this one, with gaps")

# %%
all_tested = {**cells, "test": cells["crp"]}  # the habit changes, the patients do not
learned = clinic.risk(clinic.RECORD, at=all_tested)  # with gaps of kind MNAR
then = auc(cells["disease"], learned, cells["p"])
mean_risk = (learned * cells["p"]).sum()
share_ill_at_a = (cells["disease"] * cells["p"]).sum()
print("the best model of the record with gaps, once everybody is tested:")
print(f"AUC {then:.3f}, mean risk {mean_risk:.3f} where {share_ill_at_a:.3f} are ill")
assert then < mnar["best of all, with gaps"] - 0.01 and mean_risk > 1.3 * share_ill_at_a

# %% [markdown]
# (In brackets: the mean of ten training sets.) Under MCAR and MAR the flag gains next to nothing here. Under MNAR it gains three points, and the record with gaps ranks better than the complete one (elsewhere in the table, the complete one is better): that a doctor *ordered* the test tells something that the eight numbers do not. Filling the gaps with the mean alone loses much of it (0.869 instead of 0.901).
#
# And the catch: the flag is a doctor's behavior, not a state of the body. If the hospital starts to test everybody, the flag says nothing any more, and the model ranks worse and says too high risks (last lines, exact). Write such a dependence into the report.

# %% [markdown]
# ## 7 · Image and record
#
# Now both, in PyTorch: a small CNN, a small MLP on record and flags, and a **gate** that decides for each of 32 features how much of it comes from the image (gated fusion, Arevalo et al. 2017; lesson [fusion](fusion.ipynb)).

# %% tags=["hide-input"]
canvas = draw.Canvas()
x_at = canvas.place(draw.box("X-ray", note="(b, 1, 64, 64)", color="blue"), x=0, y=0)
r_box = draw.box("record, flags", note="(b, 16)", color="orange")
r_at = canvas.place(r_box, x=0, y=110)
c_at = canvas.place(draw.box("CNN 16, 32, 32", note="max over all places"), x=165, y=0)
m_at = canvas.place(draw.box("MLP 64", note="(b, 32)"), x=165, y=110)
g_at = canvas.place(draw.box("gate z", note="sigmoid", color="green"), x=350, y=55)
mixed = draw.box("z · image + (1 − z) · record", note="(b, 32)")
f_at = canvas.place(mixed, x=450, y=0)
o_at = canvas.place(draw.box("logit", note="(b,)"), x=600, y=110)
for start, end in (
    (x_at, c_at),
    (r_at, m_at),
    (c_at, g_at),
    (m_at, g_at),
    (g_at, f_at),
    (f_at, o_at),
):
    canvas.arrow(start, end)
draw.show(
    canvas,
    alt="A CNN reads the X-ray, an MLP the record and flags; a gate computed from both "
    "mixes their 32 features; a linear layer gives the logit.",
)


# %%
class Triage(nn.Module):
    """Image (b, 1, 64, 64) and record with flags (b, 16) → the logit of "ill" (b,)."""

    def __init__(self):
        super().__init__()
        self.image = nn.Sequential(
            nn.AvgPool2d(2),
            nn.Conv2d(1, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
            nn.Linear(32, 32),
            nn.Tanh(),
        )
        hidden = nn.Sequential(nn.Linear(16, 64), nn.ReLU())
        self.record = nn.Sequential(hidden, nn.Linear(64, 32), nn.Tanh())
        self.gate = nn.Linear(64, 32)
        self.out = nn.Linear(32, 1)

    def forward(self, image, record):
        seen, told = self.image(image), self.record(record)  # (b, 32) each
        share = self.gate(torch.cat([seen, told], dim=1)).sigmoid()
        return self.out(share * seen + (1 - share) * told)[:, 0]


def tensors(dataset, hide=False):
    """Image, record with flags, label."""
    pixels = dataset.column("image")[:]
    if hide:
        pixels = clinic.hide_marker(pixels)
    image = torch.from_numpy(pixels[:, None].astype(np.float32) / 255)
    record = torch.from_numpy(clinic.encode(dataset.column("record")))
    return image, record, torch.from_numpy(dataset.labels).float()


torch.manual_seed(0)
print(f"{sum(p.numel() for p in Triage().parameters()):,} weights")

# %% [markdown]
# No class weights, no resampling: the plain cross-entropy, so that what comes out is meant as a probability; whether it is one, section 9 checks.


# %%
@torch.no_grad()
def probabilities(model, image, record):
    """p(ill) of each, in evaluation mode."""
    model.eval()
    parts = zip(image.split(500), record.split(500))
    return torch.cat([model(i, r).sigmoid() for i, r in parts]).numpy()


# %% tags=["free", "once"]
data_a = tensors(train_set)
image_a, record_a, label_a = tensors(test_set)
torch.manual_seed(0)
triage = Triage()
optimizer = torch.optim.AdamW(triage.parameters(), lr=3e-3)
epochs, batches = 4, -(-len(train_y) // 64)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, epochs * batches)
for epoch in range(epochs):
    triage.train()
    losses = []
    for rows in torch.randperm(len(train_y)).split(64):
        image, record, label = (part[rows] for part in data_a)
        loss = F.binary_cross_entropy_with_logits(triage(image, record), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    p_a = probabilities(triage, image_a, record_a)
    told = f"loss {np.mean(losses):.3f}   AUC at A {auc(test_y, p_a):.3f}"
    print(f"epoch {epoch + 1}   {told}")

# %% tags=["target"]
expect_within("AUC of image and record at hospital A", auc(test_y, p_a), 0.94, 0.03)

# %% [markdown]
# (The test AUC is printed for you to watch; nothing was chosen by it.) One run says little, so five seeds of 6 epochs and three of 12 stand beside it, stored, with the exact ceilings:

# %% tags=["hide-input"]
runs = {"6 epochs": stored["networks"], "12 epochs": stored["longer"]}
fig, ax = plt.subplots(figsize=(7.2, 3.4))
lines = []
for place, (kind, told, see) in enumerate(
    (
        ("record", "record", "record"),
        ("letter hidden", "both, corner covered", "finding and record"),
        ("both", "image and record", "image and record"),
    )
):
    looks = zip((-0.13, 0.13), runs.items(), ("#56B4E9", "#0072B2"))
    for shift, (budget, table), color in looks:
        values = table[kind]["A"]["auc"]
        mean, half = mean_and_interval(values)
        label = budget if place == 0 else None
        ax.errorbar(mean, place + shift, xerr=half, fmt="o", color=color, label=label)
        lines.append(f"{told}, {budget} {mean:.3f} ± {half:.3f}")
    ax.plot([ceiling[see]] * 2, [place - 0.3, place + 0.3], color="black", lw=2)
    ax.text(ceiling[see] + 0.002, place + 0.26, f"{ceiling[see]:.3f}", fontsize=9)
    lines.append(f"ceiling {ceiling[see]:.3f}")
ax.set_yticks(range(3), ["record", "both,\ncorner covered", "image\nand record"])
ax.set(
    xlim=(0.78, 1.0),
    xlabel="AUC at hospital A, 95 % interval over seeds; black: ceiling",
)
ax.legend(fontsize=9, loc="upper left")
plot.show(fig, alt="; ".join(lines) + ".")

# %% tags=["free"]
no_letter = ("finding", *clinic.RECORD)
without = clinic.risk(no_letter, at=test_set.meta)  # (n,)


def auc_gain(y, p, other):
    """AUC of one score minus that of another."""
    return auc(y, p) - auc(y, other)


def ahead(p, other, rows=slice(None)):
    """The same on the test visits, with an interval over patients."""
    columns = test_y[rows], p[rows], other[rows]
    low, high = group_bootstrap(auc_gain, patient[rows], *columns, seed=0, rounds=200)
    return f"{auc_gain(*columns):+.3f} [{low:+.3f}, {high:+.3f}]"


best_without = auc(test_y, without)
print(f"best possible score without the letter, same visits: {best_without:.3f}")
print("image and record, minus that score:")
print(f"your network         {ahead(p_a, without)}")
for budget in runs:
    row = stored["letter"][budget]
    gain, low, high = row["mean minus best without"]
    told = f"{gain:+.3f} [{low:+.3f}, {high:+.3f}]"
    print(f"{len(row['auc'])} nets, {budget:9}    {told}, AUC", *row["auc"])
    assert low < 0 < high

# %% [markdown]
# What letter? Look at the six X-rays again: there is an F or a P in the corner. The first line is the score of somebody who reads lungs and record perfectly and does not look at the letter: on average over patients, the best of its kind. After 12 epochs, the networks' mean is above it, which looks like a hint that they use the letter. But each interval reaches across 0: these visits do not show it. Section 8 asks more directly. Would it be bad? It helps, after all.

# %% [markdown]
# ## 8 · The other hospital
#
# The same model, the same disease, hospital B:

# %% tags=["free"]
set_b = load("clinic", "test", site="B")
image_b, record_b, _ = tensors(set_b)
y_b = set_b.labels
p_b = probabilities(triage, image_b, record_b)
auc_at = {}
for name, y, p, part in (("A", test_y, p_a, test_set), ("B", y_b, p_b, set_b)):
    patients = part.meta["patient"]
    low, high = group_bootstrap(auc, patients, y, p, seed=0, rounds=200)
    auc_at[name] = f"{auc(y, p):.3f} [{low:.3f}, {high:.3f}]"
    print(f"hospital {name}: AUC {auc_at[name]}, {y.sum()} of {len(y):,} visits ill")

# %% [markdown]
# The finding looks the same at B. But what does the letter mean? At A, those too ill to stand are X-rayed in bed, with the portable machine, which prints a P; the fixed machine prints an F. That letter is a *shortcut* ([images](images.ipynb)): it goes with the disease at A and not at B.

# %%
both = (*clinic.IMAGE, *clinic.RECORD)
print(f"{'best score of A, exact (same patients)':40}{'at A':>16}{'at B':>17}")
sees = {"with the letter": both, "without it": no_letter, "record": clinic.RECORD}
for told, see in sees.items():
    line = f"{told:40}"
    for site, part in (("A", test_set), ("B", set_b)):
        at_large = clinic.ceiling(auc, see, site=site, learned_at="A")
        here = auc(part.labels, clinic.risk(see, at=part.meta))
        line += f"{at_large:8.3f} ({here:.3f})"
    print(line)
for site, part in (("A", test_set), ("B", set_b)):
    alone = auc(part.labels, part.meta["machine"])
    print(f"the machine alone at {site}: AUC {alone:.3f}")
print("\nfive networks of 6 epochs (three of 12), mean ± 95 % interval")
kinds = {"both": "picture as it is", "letter hidden": "corner covered"}
kinds["record"] = "record alone"
for kind, told in kinds.items():
    for site in ("A", "B"):
        mean, half = mean_and_interval(runs["6 epochs"][kind][site]["auc"])
        more, wide = mean_and_interval(runs["12 epochs"][kind][site]["auc"])
        print(f"{told:17} at {site}: {mean:.3f} ± {half:.3f}", end="   ")
        print(f"({more:.3f} ± {wide:.3f})")

# %% tags=["hide-input"]
nets = stored["networks"]
drop = np.subtract(nets["both"]["A"]["auc"], nets["both"]["B"]["auc"])
held = np.subtract(nets["letter hidden"]["A"]["auc"], nets["letter hidden"]["B"]["auc"])
better = np.subtract(nets["both"]["A"]["auc"], nets["letter hidden"]["A"]["auc"])
assert min(drop) > 0.07 and np.mean(drop) > np.mean(held) + 0.05 and min(better) > 0
assert max(nets["both"]["B"]["auc"]) < min(nets["record"]["B"]["auc"])
gained = np.subtract(nets["letter hidden"]["B"]["auc"], nets["both"]["B"]["auc"])
assert np.mean(gained) > 0.03
long = stored["longer"]
gained = np.subtract(long["letter hidden"]["B"]["auc"], long["both"]["B"]["auc"])
assert min(gained) > 0
other_hospital.compare("below 87")

# %% [markdown]
# With the letter, each of the five networks is a little better at A, and much worse at B: there, after six epochs, image and record together are worse than *the record alone*. After twelve that is open: two of three have 0.88 at B (so "below 87" is not true of them), one 0.84; all stay below those with the corner covered. (The 93 ill visits of B are a harder sample than the average: the best possible scores, in brackets above, are lower there as well. The networks fall further than the best score that uses the letter; check 3 below finds a reason.) The *AUC* on a test set of the *same* hospital does not show it: there, the shortcut helps. The checks below can. Zech et al. (2018) and DeGrave et al. (2021) found this in models for chest X-rays.
#
# Three routine checks that need no table, on the network that you trained:
# 1. **the record without the image**: how far does it get?
# 2. **probe it**: can the *circumstances* (machine, site) be read from what the network makes of an image? A **probe** is a simple classifier on its features.
# 3. **take it away, or exchange it**: cover the suspect; judge within one machine; or change the suspect and nothing else.

# %% tags=["free"]
machine = test_set.meta["machine"]
print(f"1  record alone: {auc(test_y, first_p):.3f}, both: {auc(test_y, p_a):.3f}")
triage.eval()
with torch.no_grad():
    features = triage.image(data_a[0][:2000]).numpy()
    test_features = torch.cat([triage.image(i) for i in image_a.split(500)]).numpy()
probe = LogisticRegression(max_iter=2000)
probe.fit(features, train_set.meta["machine"][:2000])
told = auc(machine, probe.decision_function(test_features))
print(f"2  the machine, from the network's 32 image features: AUC {told:.3f}")
letter = stored["letter"]
mean, half = mean_and_interval(letter["untrained probe"])
print(f"   from those of five untrained networks: {mean:.3f} ± {half:.3f}")
assert told > 0.9 and mean - half > 0.9

# %% [markdown]
# An untrained network's features tell the machine just as well! So the probe shows here what *can* be read, not what the network has learned or *uses*. On to check 3, on two X-rays, each with both letters; not one other pixel differs.


# %% tags=["free"]
def risks_of(pixels):
    """The network's risks if the test visits had these pictures."""
    image = torch.from_numpy(pixels[:, None].astype(np.float32) / 255)
    return probabilities(triage, image, record_a).astype(float)


def with_letter(value):
    """All test pictures with the letter of one machine: F (0) or P (1)."""
    changed = np.array(pictures)
    corner = np.s_[3:12, 3:10]  # rows and columns of the letter
    changed[:, *corner] = pictures[machine == value][0][corner]
    return changed


all_f, all_p = with_letter(0), with_letter(1)
p_f, p_p = risks_of(all_f), risks_of(all_p)
shown = [int(healthy_ones[0]), int(ill_ones[0])]
pairs = [part[i] for i in shown for part in (all_f, all_p)]
names = [f"risk {p[i]:.3f}" for i in shown for p in (p_f, p_p)]
fig = plot.images(pairs, names, title="A healthy and an ill patient, with F and with P")
plot.show(fig, alt=f"Two X-rays, each with F and with P: {', '.join(names)}.")
print(f"mean risk of all visits: with F {p_f.mean():.3f}, with P {p_p.mean():.3f}")

# %% tags=["free"]
opposite = np.array(pictures)
opposite[:, :14, -12:] = 110
p_covered = risks_of(clinic.hide_marker(pictures))
for name, p in (
    ("letter's corner covered", p_covered),
    ("other corner covered", risks_of(opposite)),
    ("everybody with F", p_f),
    ("everybody with P", p_p),
):
    print(f"{name:24} AUC {auc(test_y, p):.3f}, change {ahead(p, p_a)}")
print("within one machine, network and its distance to the best without the letter:")
for value, name in enumerate(clinic.CUES["machine"]):
    m = machine == value
    print(f"{name:24} AUC {auc(test_y[m], p_a[m]):.3f}, {ahead(p_a, without, m)}")


def log_odds(p):
    """log p / (1 − p)."""
    return np.log(p / (1 - p))


by_letter = []
for value in (0, 1):
    there = {**test_set.meta, "machine": np.full(len(test_y), value)}
    by_letter.append(log_odds(clinic.risk(both, at=there)))
moved = (log_odds(p_p) - log_odds(p_f)).mean()
by_table = (by_letter[1] - by_letter[0]).mean()
print(f"log odds with P minus with F: network {moved:.2f}, exact {by_table:.2f}")
assert moved > 1.5 and auc(test_y, p_a) - auc(test_y, p_f) > 0.01

# %% tags=["hide-input"]
rows = {
    "log odds, P minus F": "log odds, P minus F",
    "AUC, everybody with F": "auc, all F",
    "AUC, everybody with P": "auc, all P",
}
print(f"{'stored networks':34}{'5 of 6 epochs':>16}{'3 of 12 epochs':>16}")
for name, key in rows.items():
    told = ""
    for budget in runs:
        mean, half = mean_and_interval(letter[budget][key])
        told += f"{mean:8.3f} ± {half:.3f}"
    print(f"{name:34}{told}")
told, less = "", {}
for budget, table in runs.items():
    hidden = table["letter hidden"]["A"]["auc"]
    mean, half = mean_and_interval(hidden)
    told += f"{mean:8.3f} ± {half:.3f}"
    for key in ("auc, all F", "auc, all P"):
        less[budget, key] = mean_and_interval(np.subtract(letter[budget][key], hidden))
print(f"{'AUC, trained with corner covered':34}{told}")
for key in ("auc, all F", "auc, all P"):
    told = "".join(f"{less[b, key][0]:+8.3f} ± {less[b, key][1]:.3f}" for b in runs)
    print(f"{key[5:] + ' minus that, in pairs':34}{told}")
    assert sum(less["6 epochs", key]) < 0 < sum(less["12 epochs", key])
for name in clinic.CUES["machine"]:
    told = ""
    for budget in runs:
        values = [row[0] for row in letter[budget][f"within {name} minus best"]]
        mean, half = mean_and_interval(values)
        told += f"{mean:+8.3f} ± {half:.3f}"
    print(f"{'within ' + name + ', minus best without':34}{told}")
for budget in runs:
    row = letter[budget]
    change = np.subtract(row["auc, other corner covered"], row["auc"])
    assert np.abs(change).max() < 0.002
    assert min(row["log odds, P minus F"]) > 2.4 and max(row["log odds, P minus F"]) < 4

# %% [markdown]
# **The letter alone moves the risk.** One and the same X-ray has a several times higher risk with a P than with an F; in log odds, about as much as the table of A allows it (3.29; the eight stored networks: 2.5 to 3.8). With one letter for all, the network ranks worse. The same gray patch on the other corner costs nothing, so it is not the patch.
#
# There is a second harm. Within one machine, where the letter tells nothing, the network stays well below the best score. And with one letter for all, the networks of six epochs rank worse than those *trained* with the corner covered: they have learned less of all the rest. After 12 epochs, that is open.
#
# %% [markdown]
# ## 9 · Weights destroy probabilities
#
# "The disease is rare, so give it more weight": class weights, or copies of the ill (oversampling), are common advice. In Keras it is one argument. We train a small network on the record, in Keras, both ways. Watch the mean probability; 6 % are ill.

# %% tags=["free"]
import keras


def record_network():
    """16 numbers → p(ill)."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16,))
    hidden = keras.layers.Dense(32, activation="relu")(inputs)
    outputs = keras.layers.Dense(1, activation="sigmoid")(hidden)
    model = keras.Model(inputs, outputs)
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss="binary_crossentropy")
    return model


rate = float(train_y.mean())
balanced = {0: 0.5 / (1 - rate), 1: 0.5 / rate}
p_keras = {}
for name, class_weight in (("plain", None), ("class weights", balanced)):
    model = record_network()
    options = {
        "epochs": 6,
        "batch_size": 128,
        "verbose": 0,
        "class_weight": class_weight,
    }
    model.fit(train_x, train_y, **options)
    p = model.predict(test_x, batch_size=1000, verbose=0)[:, 0]
    p_keras[name] = p.astype(float)
print(f"share of ill: {rate:.3f} in training, {test_y.mean():.3f} in the test")
for name, p in p_keras.items():
    told = f"AUC {auc(test_y, p):.3f}, mean p {p.mean():.3f}"
    print(f"{name:14} {told}, Brier score {brier_score(test_y, p):.4f}")

# %% [markdown]
# About the same order, but with weights the probabilities are several times too large. (The plain mean is not 6 % either.) With weights they are meant for a hospital where *half* of the patients are ill: that is what the weights pretend. **Prior correction** brings them back (Elkan 2001; Saerens et al. 2002). The odds p/(1 − p) are multiplied by the ratio of the *prior odds*, those of ill to healthy in each place:
#
# $$\frac{p'}{1-p'} = \frac{p}{1-p} \cdot \frac{\pi'/(1-\pi')}{\pi/(1-\pi)}$$
#
# $\pi$ is the share of ill in training (or what the weights make of it, 0.5), $\pi'$ where the model is used. It is right if ill people *look* the same in both places, and healthy ones, too.
#
# **Your turn (blank 4).** `p` may be 0 or 1, where the odds would divide by 0: weigh both cases instead.
# <details><summary>Hint</summary>
#
# `ill = p * new / old`, `healthy = (1 - p) * (1 - new) / (1 - old)`; the answer is `ill / (ill + healthy)`.
# </details>


# %%
def correct_prior(p, old, new):
    """Probabilities at a prevalence of `new`, from a model made for `old`."""
    # BEGIN SOLUTION
    ill = p * new / old
    healthy = (1 - p) * (1 - new) / (1 - old)
    return ill / (ill + healthy)
    # END SOLUTION


correct_prior = check("medical.blank.4", correct_prior)
print("0.5 at 50 % becomes", round(float(correct_prior(0.5, 0.5, 0.06)), 3), "at 6 %")

# %% tags=["free"]
p_keras["corrected"] = correct_prior(p_keras["class weights"], 0.5, rate)
for name, p in p_keras.items():
    reliability, resolution, uncertainty = brier_parts(test_y, p, bins=20)
    told = f"AUC {auc(test_y, p):.3f}, mean p {p.mean():.3f}"
    told = f"{told}, Brier {brier_score(test_y, p):.4f}"
    print(f"{name:14} {told}, reliability {reliability:.4f}")

# %% [markdown]
# **Brier score**: the mean of $(p - y)^2$. It has three parts (Murphy 1973), and they add up exactly:
#
# $$\text{Brier} = \underbrace{\sum_k w_k (p_k - \bar y_k)^2}_{\text{reliability}} - \underbrace{\sum_k w_k (\bar y_k - \bar y)^2}_{\text{resolution}} + \underbrace{\bar y (1 - \bar y)}_{\text{uncertainty}}$$
#
# over the different forecasts $p_k$, with $w_k$ their share and $\bar y_k$ the share of them who were ill. *Reliability* is 0 if the forecasts are calibrated; *resolution* is large if they differ where the patients do; *uncertainty* does not depend on the model. (With 20 bins, as above, only nearly.) By hand, four patients with forecast 0.5, four with 0:

# %%
labels_8, forecast_8 = np.array([1, 1, 1, 0, 0, 0, 0, 0]), np.repeat([0.5, 0.0], 4)
parts = brier_parts(labels_8, forecast_8)
print("reliability ½(½ − ¾)² =", parts[0])
print(f"resolution {parts[1]}, uncertainty {parts[2]}")
whole = brier_score(labels_8, forecast_8)
print(f"together {parts[0] - parts[1] + parts[2]}; the Brier score is {whole}")
of_best = brier_parts(cells["disease"], clinic.risk(both), cells["p"])
print("the best model of clinic, exactly: {:.4f} − {:.4f} + {:.4f}".format(*of_best))
assert abs(parts[0] - parts[1] + parts[2] - whole) < 1e-12

# %% [markdown]
# And the network on image and record, on whose probabilities a threshold is to rest?

# %% tags=["free"]
older = test_set.meta["group"] == 1
parts_ = {"all": older | ~older, "under 60": ~older, "60 and over": older}
exact_risk = clinic.risk(both, at=test_set.meta)  # (n,)
for whose, risks in {"network": p_a, "exact": exact_risk}.items():
    for name, rows in parts_.items():
        y, p = test_y[rows], risks[rows]
        reliability = brier_parts(y, p, bins=20)[0]
        told = f"mean p {p.mean():.3f}, ill {y.mean():.3f}"
        told += f", Brier {brier_score(y, p):.4f}, reliability {reliability:.4f}"
        print(f"{whose:8} {name:12} {told}")

# %% [markdown]
# One number hides where. The **reliability diagram** shows it: visits are sorted into bins by their risk, and the share of ill in each bin stands against its mean risk.


# %% tags=["free", "hide-input"]
def mean_of(y):
    """Share of ill."""
    return y.mean()


fig, axes = plt.subplots(1, 2, figsize=(7.2, 3.5), sharey=True)
edges, lines = np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]), []
for ax, name in zip(axes, ("under 60", "60 and over")):
    for whose, risks, color, look in (
        ("exact", exact_risk, "#999999", "D"),
        ("network", p_a, "#0072B2", "o"),
    ):
        which = np.where(parts_[name], np.digitize(risks, edges[1:-1]), -1)
        for k in range(len(edges) - 1):
            rows = which == k
            x, y = risks[rows].mean(), test_y[rows].mean()
            columns = patient[rows], test_y[rows]
            low, high = group_bootstrap(mean_of, *columns, seed=0, rounds=200)
            ax.plot([x, x], [max(low, 3e-4), high], color=color, lw=1.5)
            label = whose if k == 0 else None
            ax.plot(x, y, look, color=color, ms=5, label=label)
            if whose == "network":
                lines.append(f"{name}, mean risk {x:.3f}: {y:.3f} ill")
    ax.plot([3e-4, 1], [3e-4, 1], ":", color="#777777")
    ax.axvline(0.05, color="#D55E00", lw=1)
    ax.set(xscale="log", yscale="log", xlim=(1e-3, 1.2), ylim=(3e-4, 1.2))
    ax.set_xlabel("mean risk in the bin (orange: 0.05)")
    ax.set_title(name, loc="left", fontsize=10)
axes[0].set_ylabel("share of ill")
axes[0].legend(fontsize=9, loc="upper left")
plot.show(fig, alt="; ".join(lines) + ".")

# %% [markdown]
# By group, the mean risk is too high for the younger and too low for the older (one network), and the report must say it. The diagram shows where: above the dotted line, more are ill than the risk says. Gray, the exact risks of the same visits, shows how far chance alone goes (intervals over patients). What it does to the calls at 0.05, see section 11. Is the effect of weights the same with other ways of balancing, and other training sets? Stored: logistic regression, ten training sets, 20,000 new visits.

# %%
ways_ = stored["imbalance"]["ways"]
print(f"{'':32}{'AUC':>14}{'Brier':>9}{'mean p':>8}")
for name, row in ways_.items():
    mean, half = mean_and_interval(row["auc"])
    told = f"{np.mean(row['brier']):9.4f}{np.mean(row['mean p']):8.3f}"
    print(f"{name:32}{mean:7.4f} ± {half:.4f}{told}")
plain_auc = np.array(ways_["as it is"]["auc"])
for name in ("class weights", "oversampled", "undersampled"):
    gain, half = mean_and_interval(np.array(ways_[name]["auc"]) - plain_auc)
    print(f"{name:14} AUC minus that of the plain one: {gain:+.4f} ± {half:.4f}")
    plain_brier = np.mean(ways_["as it is"]["brier"])
    assert abs(gain) < 0.02 and np.mean(ways_[name]["brier"]) > 2 * plain_brier
    assert np.mean(ways_[f"{name}, prior corrected"]["brier"]) < 1.1 * plain_brier

# %% [markdown]
# The order changes little, the Brier score more than doubles, and prior correction repairs most of it (one model, one data set). So train plainly, and put costs into the *threshold*, where they belong. (And whoever copies the ill *before* splitting has the same patient on both sides.)

# %% [markdown]
# ## 10 · Is it worth it? Net benefit
#
# At threshold $t$, one false alarm costs as much as $t/(1-t)$ of a hit: at 0.05, 1/19. **Net benefit** (Vickers and Elkin 2006) counts hits minus false alarms at that price, per patient:
#
# $$\mathrm{NB}(t) = \frac{\text{hits}}{n} - \frac{\text{false alarms}}{n} \cdot \frac{t}{1-t}$$
#
# A model is worth using at $t$ only if it beats both *call nobody* (0) and *call everybody*. Over all $t$, this is the **decision curve**. Move the slider: how much worse is a miss than a false alarm?

# %% tags=["hide-input", "free"]
grid = np.linspace(0.005, 0.5, 100)
curve = {
    "image and record": net_benefit(test_y, p_a, grid),
    "record, plain": net_benefit(test_y, p_keras["plain"], grid),
    "record, class weights": net_benefit(test_y, p_keras["class weights"], grid),
    "record, weights corrected": net_benefit(test_y, p_keras["corrected"], grid),
    "everybody": net_benefit(test_y, np.ones(len(test_y)), grid),
}
best_curve = net_benefit(cells["disease"], clinic.risk(both), grid, cells["p"])


def show_decision(miss=19):
    """The decision curve, and one threshold on it."""
    t = cost_threshold(1, miss)
    fig, ax = plt.subplots(figsize=(7, 3.4))
    ax.plot(grid, best_curve, color="black", lw=1, label="best possible (exact)")
    for (name, values), style in zip(curve.items(), ("-", "-", "--", "-.", ":")):
        ax.plot(grid, values, style, label=name)
    ax.axhline(0, color="#777777", lw=0.8)
    ax.axvline(t, color="#777777", lw=3, alpha=0.5)
    ax.set(ylim=(-0.05, 0.065), ylabel="net benefit")
    ax.set_xlabel("threshold t (gray: yours)")
    ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncol=3)
    values = {name: np.interp(t, grid, v) for name, v in curve.items()}
    told = [f"{name} {value:.3f}" for name, value in values.items()]
    priced = f"a miss costs as much as {miss} × a false alarm, t = {t:.3f}"
    plot.show(fig, alt=f"Decision curves; {priced}: {', '.join(told)}.")
    print(f"{priced}:")
    print("   " + ", ".join(told[:3]) + "\n   " + ", ".join(told[3:]))


assert curve["record, class weights"][grid > 0.2].max() < 0
widgets.slider(show_decision, miss=[1, 4, 9, 19, 49, 99])


# %% tags=["free"]
def benefit_gained(y, p, other):
    """Net benefit at 0.05 of one score minus that of another."""
    return 1000 * (net_benefit(y, p, [0.05]) - net_benefit(y, other, [0.05]))[0]


def benefit_of(p, other, rows=slice(None)):
    """The same per 1,000 visits, with an interval over patients."""
    columns, who = (test_y[rows], p[rows], other[rows]), patient[rows]
    low, high = group_bootstrap(benefit_gained, who, *columns, seed=0, rounds=200)
    return f"{benefit_gained(*columns):+.1f} [{low:+.1f}, {high:+.1f}]"


more = {}
for told, other in (
    ("the record alone", p_keras["plain"]),
    ("calling everybody", np.ones(len(test_y))),
    ("the exact risks", exact_risk),
):
    more[told] = benefit_of(p_a, other)
    print(f"image and record minus {told:18} {more[told]} per 1,000 visits")

# %% [markdown]
# At the clinic's threshold, the image is worth several net hits per 1,000 visits over the record alone, and exact risks a few more: neither is chance. The dashed curve, class weights, falls below *call nobody* at higher thresholds: a model that ranks as well as the plain one and still does harm, since its 0.3 is not 0.3. And hospital B? Only 2 % are ill there. Ask the table: the best model of A that does not see the letter, moved to B with and without prior correction, exactly. (The threshold comes from costs, not from this test set.)

# %%
at_b = clinic.table("B")
risk_at_b = clinic.risk(no_letter, site="A", at=at_b)
moved = correct_prior(risk_at_b, 0.06, 0.02)
t = cost_threshold(1, 19)
for name, p in (("as learned at A", risk_at_b), ("prior corrected", moved)):
    benefit = net_benefit(at_b["disease"], p, [t], at_b["p"])[0]
    reliability = brier_parts(at_b["disease"], p, at_b["p"])[0]
    told = f"reliability {reliability:.5f}, net benefit at t = {t:.2f}: {benefit:.4f}"
    print(f"{name:16} {told}")
own = clinic.risk(no_letter, site="B")
best_b = net_benefit(at_b["disease"], own, [t], at_b["p"])[0]
print(f"best model of B: net benefit {best_b:.4f}")
assert brier_parts(at_b["disease"], moved, at_b["p"])[0] < 1e-5

# %% [markdown]
# ## 11 · Two groups
#
# `clinic` has two groups, under 60 and older. The older ones are ill three times as often, and have a fever about half as often when they are. The best model knows all that, and we have it exactly. Its decisions at $t = 0.05$, by group:

# %%
p_best = clinic.risk(both)
decision = (p_best >= 0.05).astype(float)
groups = np.array(clinic.CUES["group"])[cells["group"]]
rates_of = by_group(cells["disease"], decision, groups, weights=cells["p"])
head = f"{'ill':>7}{'called':>9}{'TPR':>8}{'FPR':>8}{'PPV':>8}{'reliability':>13}"
print(f"{'':12}{head}")
for name, row in rates_of.items():
    at = groups == name
    reliability = brier_parts(cells["disease"][at], p_best[at], cells["p"][at])[0]
    assert reliability < 1e-12
    values = [row[k][0] for k in ("prevalence", "selected", "tpr", "fpr", "ppv")]
    print(f"{name:12}{values[0]:7.3f}{values[1]:9.3f}", end="")
    print(f"{values[2]:8.3f}{values[3]:8.3f}{values[4]:8.3f}{reliability:13.3f}")

# %% [markdown]
# The risk is calibrated in each group (reliability 0), and yet, with one threshold for all, the model finds a larger share of the ill, calls more of the healthy, and has a higher PPV in the older group. Could a rule make all three equal? Definitions first, for one group: prevalence $\pi$; **TPR**, the share of the ill who are called; **FPR**, of the healthy who are called; **PPV** (precision), of the called who are ill.
#
# **Your turn (blank 5).** Write the FPR from the other three. Think of 1,000 people.
# <details><summary>Hint</summary>
#
# Ill and called: π · TPR of all. They are a share PPV of those called, so π · TPR / PPV are called. The healthy among them: that times (1 − PPV). Divide by the healthy, 1 − π.
# </details>


# %%
def fpr_from(prevalence, ppv, tpr):
    """The false-positive rate that follows."""
    # BEGIN SOLUTION
    called = prevalence * tpr / ppv
    return called * (1 - ppv) / (1 - prevalence)
    # END SOLUTION


fpr_from = check("medical.blank.5", fpr_from)
for name, row in rates_of.items():
    follows = fpr_from(row["prevalence"][0], row["ppv"][0], row["tpr"][0])
    print(f"{name:12} follows {follows:.6f}, is {row['fpr'][0]:.6f}")
    assert abs(follows - row["fpr"][0]) < 1e-12

# %% [markdown]
# $$\mathrm{FPR} = \frac{\pi}{1-\pi} \cdot \frac{1-\mathrm{PPV}}{\mathrm{PPV}} \cdot \mathrm{TPR}$$
#
# This identity (Chouldechova 2017) is not about models; it is counting. **If two groups have different prevalences, equal PPV and equal TPR force different FPR**, unless nobody healthy is called. (Kleinberg et al. 2016 have a related result about calibrated scores.) **Equalized odds** (Hardt et al. 2016) are equal TPR and equal FPR: take a point under both groups' ROC curves, with a threshold for each group and a coin where needed. What does that do to the PPV?


# %% tags=["free"]
def show_groups(false_positive_rate=0.05):
    """Both groups' exact ROC curves, and the point that both can reach."""
    fig, ax = plt.subplots(figsize=(5.2, 3.9))
    reach = []
    for name, color in zip(clinic.CUES["group"], ("#0072B2", "#D55E00")):
        at = groups == name
        fpr, tpr, _ = roc(cells["disease"][at], p_best[at], cells["p"][at])
        ax.plot(fpr, tpr, color=color, label=name)
        reach.append(np.interp(false_positive_rate, fpr, tpr))
        row = rates_of[name]
        ax.plot(row["fpr"][0], row["tpr"][0], "o", color=color)
    same_tpr = min(reach)
    point = false_positive_rate, same_tpr
    ax.plot(*point, "*", color="black", ms=12, label="equal error rates")
    ax.set(xlim=(0, 0.4), ylim=(0.4, 1.01))
    ax.set(xlabel="false-positive rate", ylabel="true-positive rate")
    ax.legend(fontsize=9, loc="lower right", title="dots: p ≥ 0.05", title_fontsize=9)
    told = []
    for name in clinic.CUES["group"]:
        rate = rates_of[name]["prevalence"][0]
        called = rate * same_tpr + (1 - rate) * false_positive_rate
        told.append(f"{name}: {rate * same_tpr / called:.3f} of the called are ill")
    line = f"TPR {same_tpr:.3f}, FPR {false_positive_rate:.2f} in both groups; "
    line += "; ".join(told)
    plot.show(fig, alt=line)
    print(line)


widgets.slider(show_groups, false_positive_rate=[0.02, 0.05, 0.1, 0.2])

# %%
both_fair.compare("no")

# %% [markdown]
# With equal error rates at a false-positive rate of 0.05, about a third of the called are ill among the younger, and nearly two thirds among the older: further apart than with one threshold. One threshold on calibrated risks, in turn, keeps the meaning of the *risk*, and equalizes neither PPV nor error rates. **Equal PPV, equal TPR and equal FPR are three promises, and not all can be kept.** Which matter is for those who are affected, not for the person who trains the model. What you owe them is the table, with intervals (whole patients drawn anew):


# %% tags=["free"]
def share_found(y, called):
    """Of the ill, the share who are called."""
    return called[y == 1].mean()


def share_ill(y, called):
    """Of the called, the share who are ill."""
    return y[called].mean()


def with_interval(share, rows, risks):
    """In percent, with a 95 % interval over patients."""
    columns = (patient[rows], test_y[rows], risks[rows] >= 0.05)
    low, high = group_bootstrap(share, *columns, seed=0, rounds=200)
    return f"{share(*columns[1:]):.0%} [{low:.0%} to {high:.0%}]"


def called_wrongly(y, called):
    """Of the healthy, the share who are called."""
    return called[y == 0].mean()


shares_of = {}
for whose, risks in {"network": p_a, "exact": exact_risk}.items():
    for name, rows in parts_.items():
        shares = (share_found, share_ill, called_wrongly)
        row = [with_interval(share, rows, risks) for share in shares]
        shares_of[whose, name] = row
        print(f"{whose:8} {name:12} finds {row[0]} of the ill, calls {row[2]}")
        print(f"{'':21} of the healthy; of the called, {row[1]} are ill")
finds = {name: shares_of["network", name][0] for name in parts_}
are_ill = {name: shares_of["network", name][1] for name in parts_}


def ppv_gap(y, called, called_by_exact):
    """Difference of the shares of ill among the called: network minus exact risk."""
    return y[called].mean() - y[called_by_exact].mean()


print("of the called, share of ill: network minus exact, same visits")
for name in ("under 60", "60 and over"):
    rows = parts_[name]
    by_exact = exact_risk[rows] >= 0.05
    as_many = p_a[rows] >= np.sort(p_a[rows])[-by_exact.sum()]
    for told, called in {"p ≥ 0.05": p_a[rows] >= 0.05, "as many": as_many}.items():
        columns, who = (test_y[rows], called, by_exact), patient[rows]
        low, high = group_bootstrap(ppv_gap, who, *columns, seed=0, rounds=200)
        gap = f"{ppv_gap(*columns):+.3f} [{low:+.3f}, {high:+.3f}]"
        calls = f"{called.sum():3} and {by_exact.sum():3} calls"
        print(f"{name:12} {told:10} {calls}: {gap}")

# %% [markdown]
# With the exact risks and the same threshold, of the called more are ill in both groups, and the groups are less far apart: the prevalence alone does not explain the network's gap. Among the younger, too many are called, since their risks are too high; and even with as many calls as by the exact risk, fewer of the called are ill: the order is worse, too. The first can be mended. On visits of other patients, fit a line to the log odds of each group:

# %% tags=["free"]
others = load("clinic", "validation")
p_others = probabilities(triage, *tensors(others)[:2]).astype(float)
mended, after = np.zeros(len(test_y)), {}
for value, name in enumerate(("under 60", "60 and over")):
    fit, rows = others.meta["group"] == value, parts_[name]
    line = LogisticRegression(C=1e6)
    line.fit(log_odds(p_others[fit])[:, None], others.labels[fit])
    own = log_odds(p_a[rows].astype(float))[:, None]
    mended[rows] = line.predict_proba(own)[:, 1]
    print(f"{name}, fitted on {fit.sum()} visits, {others.labels[fit].sum()} ill:")
    risks = f"mean risk {p_a[rows].mean():.3f} → {mended[rows].mean():.3f}"
    print(f"   {risks} for {test_y[rows].mean():.3f} ill")
    for told, share in (("finds", share_found), ("ill of called", share_ill)):
        before = shares_of["network", name][int(share is share_ill)]
        print(f"   {told:14} {before} → {with_interval(share, rows, mended)}")
    gained = benefit_of(mended, p_a, rows)
    print(f"   net benefit {gained} per 1,000 visits")
    after[name] = [with_interval(s, rows, mended) for s in (share_found, share_ill)]

# %% [markdown]
# The mean risks are right now, and about as many of the called are ill in both groups. But fewer of the younger ill are found, and more of the older: one promise was exchanged for another. In neither group does the net benefit change by more than chance (and 18 ill visits are few to fit a line on).
#
# ## 12 · Privacy: what is in a file, and who was in the training set?
#
# Removing names is not enough. A medical image (DICOM) carries the patient's name, birth date, hospital, device and times in its **tags**; file names and EXIF data repeat them; burned-in letters, like our P, are in the pixels. Without all of these, a person can still be unique. **k-anonymity** asks: how many share the same values? In `clinic`, for the first visits:

# %%
record = test_set.column("record")
first_visit = test_set.meta["visit"] == 0
for told, keys in (
    ("exact age, sex", np.stack([record[:, 0], record[:, 1]], 1)),
    ("age in years, sex", np.stack([np.floor(record[:, 0]), record[:, 1]], 1)),
    ("age in decades, sex", np.stack([record[:, 0] // 10, record[:, 1]], 1)),
):
    _, count = np.unique(keys[first_visit], axis=0, return_counts=True)
    unique = (count == 1).sum() / first_visit.sum()
    print(f"{told:20} unique: {unique:.3f} of the patients, k = {count.min()}")

# %% [markdown]
# With the exact age, everybody is unique; in years, nobody is. So do not call data "anonymous"; say what was removed, and what remains.
#
# A trained model can leak, too. **Membership inference** tells from a trained model whether somebody's data were in its training set (Shokri et al. 2017): is this person's loss so small that they must have been? Yeom et al. (2018) noticed an identity: "whoever is classified right was a member" has an advantage (hits minus false alarms) that *is* the gap between training and test accuracy. So overfitting leaks (and a gap of 0 does not prove that nothing does).
#
# **Differential privacy** guarantees that the result hardly depends on any one person's data, and so limits every attack. In each step, clip each patient's gradient to length 1, add noise with standard deviation σ (Abadi et al. 2016). For $T$ steps, each on all patients, no attack on one person has an AUC above $\Phi(\mu/\sqrt{2})$, with $\mu = \sqrt T/\sigma$ and $\Phi$ the normal distribution function (Dong et al. 2019): at $\mu = 1$, 0.76. Stored: 100 patients in training and 100 others, 100 steps, 20 seeds.

# %% tags=["hide-input"]
privacy = stored["privacy"]["rows"]
fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.2))
names = ["none" if r["sigma"] == 0 else f"{r['sigma']:.0f}" for r in privacy]
place = np.arange(len(privacy))
for i, r in enumerate(privacy):
    mean, half = mean_and_interval(r["attack"])
    axes[0].errorbar(i, mean, yerr=half, fmt="o", color="#0072B2")
    axes[0].plot([i - 0.3, i + 0.3], [r["bound"]] * 2, color="black", lw=2)
    if r["strongest"]:
        axes[0].plot(i, r["strongest"], "x", color="#D55E00", ms=8)
    worth, half = mean_and_interval(r["auc"])
    axes[1].errorbar(i, worth, yerr=half, fmt="o", color="#009E73")
axes[0].axhline(0.5, color="#777777", ls=":")
axes[0].set(ylabel="AUC of the attack", ylim=(0.45, 1.03))
axes[0].set_title("black: bound; x: strongest attack", fontsize=9, loc="left")
axes[1].set(ylabel="AUC of the model", ylim=(0.45, 1.03))
axes[1].set_title("what is left of the model", fontsize=9, loc="left")
for ax in axes:
    ax.set_xticks(place, names)
    ax.set_xlabel("noise σ")
told = []
for n, r in zip(names, privacy):
    told.append(f"σ {n}: attack {np.mean(r['attack']):.2f}, bound {r['bound']:.2f}")
plot.show(fig, alt="; ".join(told) + ".")

# %%
no_noise = privacy[0]
apart = np.abs(np.subtract(no_noise["gap"], no_noise["advantage"])).max()
gap, advantage = np.mean(no_noise["gap"]), np.mean(no_noise["advantage"])
print(f"without noise: accuracy gap {gap:.3f}, advantage {advantage:.3f}", end=" ")
print(f"(largest difference over 20 seeds {apart:.0e})")
for r in privacy[1:]:
    mean, half = mean_and_interval(r["attack"])
    told = f"attack by the loss {mean:.3f} ± {half:.3f}, strongest {r['strongest']:.3f}"
    print(f"σ = {r['sigma']:2.0f}: {told}, bound {r['bound']:.3f}", end=", ")
    print(f"model {np.mean(r['auc']):.3f}")
    assert mean + half < r["bound"] and mean < r["strongest"] < r["bound"] + 0.03
assert np.mean(no_noise["attack"]) > 0.58 and apart < 1e-9

# %% [markdown]
# The simple attack stays below the bound at each σ; an attacker who knows everybody else's data and sees each step does better (x), and reaches the bound within its scatter at the strongest noise (1,000 runs, some 0.02). Privacy costs something here: with strong noise, the model itself is hardly better than chance.

# %% [markdown]
# ## 13 · Real X-rays: you are the auditor
#
# 1,000 chest X-rays of 682 patients of the NIH Clinical Center (Wang et al. 2017), 64 × 64 pixels; half are labeled *pneumonia*, half *no finding*, and each comes with a record: age, sex, view (PA: from the back, standing; AP: from the front, often in bed) and number of the follow-up. Lesson [fusion](fusion.ipynb) joined them. The label was mined from the radiologist's *report* by a program: it is not a diagnosis.

# %% tags=["real", "free"] needs=["nih_chest_1000"]
from sklearn.decomposition import PCA
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmcourse.datasets import chest

if chest.path():
    xrays = chest.read()
    pixels = xrays.image.reshape(1000, -1) / 255
    live = {name: np.zeros(1000) for name in ("record", "image", "both")}
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    for fit, held in folds.split(pixels, xrays.label, xrays.patient):
        pca = PCA(60, svd_solver="randomized", random_state=0).fit(pixels[fit])
        z = pca.transform(pixels)
        inputs = {
            "record": xrays.record,
            "image": z,
            "both": np.hstack([z, xrays.record]),
        }
        for name, x in inputs.items():
            strength = 10.0 if name == "record" else 0.01
            regression = LogisticRegression(C=strength, max_iter=2000)
            model = make_pipeline(StandardScaler(), regression)
            model.fit(x[fit], xrays.label[fit])
            live[name][held] = model.decision_function(x[held])
    for column, name in enumerate(chest.RECORD):
        alone = auc(xrays.label, xrays.record[:, column])
        print(f"{name:17} alone: AUC {max(alone, 1 - alone):.3f}")
    for name, score in live.items():
        columns = (xrays.patient, xrays.label, score)
        low, high = group_bootstrap(auc, *columns, seed=0, rounds=200)
        print(f"{name:7} AUC {auc(xrays.label, score):.3f} [{low:.3f}, {high:.3f}]")
else:
    print("not run here: nih_chest_1000.npz is not on this machine")

# %% [markdown]
# The record *alone*, which sees no lung, gets most of the way! Six checks look for reasons. (Stored: folds by patient, three splits, intervals over patients. Scores of all folds, log-odds, are pooled.) Before you read on, write one sentence: what may this model be looking at?

# %% tags=["hide-input"]
nih = stored["nih"]


def told_auc(name):
    """AUC with interval."""
    low, high = nih["interval"][name]
    return f"{nih['auc'][name]:.3f} [{low:.3f}, {high:.3f}]"


def told_inside(name):
    """AUC within each view."""
    inside = nih["inside"][name].items()
    shown = [f"{view} {v[0]:.3f} [{v[1]:.3f}, {v[2]:.3f}]" for view, v in inside]
    return ", ".join(shown)


def told_follow_up():
    """AUC among first pictures, and among later ones."""
    lines = []
    for part, row in stored["follow-up"].items():
        shown = []
        for name in ("follow-up number alone", "record", "image"):
            mean, low, high = row[name]
            shown.append(f"{name} {mean:.3f} [{low:.3f}, {high:.3f}]")
        lines.append(f"{row['pictures']} {part}: {', '.join(shown)}")
    return "\n".join(lines)


def audit():
    """Six routine checks."""
    ill = nih["share of ill"]
    view_read = told_auc("the view, from the image")
    by_file = told_auc("image, folds by picture")
    answers = {
        "record without image": f"record alone: AUC {told_auc('record')}",
        "one column alone": f"the view alone: AUC {told_auc('view alone')}; "
        f"ill among PA {ill['PA']:.2f}, among AP {ill['AP']:.2f}",
        "probe the image": f"the view, from the image: AUC {view_read}",
        "within one view, image": told_inside("image"),
        "within one view, record": told_inside("record"),
        "first and later pictures": told_follow_up(),
        "folds by picture": f"by picture {by_file}, by patient {told_auc('image')}",
    }
    for check_, answer in answers.items():
        print(f"{check_}\n   " + answer.replace("\n", "\n   "))


audit()

# %% tags=["hide-input"]
rows = ["view alone", "record", "image", "image and record", "the view, from the image"]
fig, ax = plt.subplots(figsize=(7.2, 3.6))
height, names, lines = 0, [], []
for name in rows:
    low, high = nih["interval"][name]
    color = "#D55E00" if "view" in name else "#0072B2"
    ax.plot([low, high], [height] * 2, color=color, lw=2)
    ax.plot(nih["auc"][name], height, "o", color=color)
    ax.text(high + 0.008, height, f"{nih['auc'][name]:.3f}", va="center", fontsize=9)
    names.append(name)
    lines.append(f"{name} {nih['auc'][name]:.3f}")
    height += 1
for view in ("PA", "AP"):
    mean, low, high = nih["inside"]["image"][view]
    ax.plot([low, high], [height] * 2, color="#009E73", lw=2)
    ax.plot(mean, height, "o", color="#009E73")
    ax.text(high + 0.008, height, f"{mean:.3f}", va="center", fontsize=9)
    names.append(f"image, within {view}")
    lines.append(f"image within {view} {mean:.3f}")
    height += 1
ax.axvline(0.5, color="#777777", ls=":")
ax.set_yticks(range(height), names)
ax.invert_yaxis()
ax.set(xlim=(0.48, 1.03), xlabel="AUC, 95 % interval over patients")
plot.show(fig, alt="; ".join(lines) + ".")

# %%
print(f"{nih['pictures']} pictures, {nih['patients']} patients,", end=" ")
print(f"{nih['both classes']} of them with pictures of both classes")
assert nih["auc"]["record"] > 0.75 and nih["auc"]["the view, from the image"] > 0.9
assert nih["interval"]["view alone"][0] > 0.5
assert nih["inside"]["image"]["PA"][1] > nih["inside"]["image"]["AP"][2]
at_first = stored["follow-up"]["first pictures"]
assert at_first["image"][1] > 0.8 and at_first["record"][1] > 0.65

# %% [markdown]
# The **view** is a possible shortcut: PA and AP pictures have different shares of ill *in this collection* (0.64 and 0.40), and the view can be read off the image very well (0.94), so an image model *can* gain by recognizing how the patient was placed. That it can does not show how much it does. Two things speak against "it is all the view": the view alone has 0.617 only, and within one view, where it tells nothing, the image still has 0.91 among PA and 0.77 among AP. The follow-up number alone ranks better (0.681) than the view, but among the 207 first pictures, where it tells nothing, the image still has 0.86 and the record 0.74. Other circumstances (tubes, ward, markers) were not tested. So report 0.85 together with the numbers within each view: it hides that the model is weaker among AP. Only 21 of the 682 patients have pictures of both classes, so knowing the patient would nearly give the label away; yet folds by picture gain little here (0.849 against 0.846 by patient).
#
# **What must not be concluded.** Not that this finds pneumonia: the label is a program's reading of a report. Not that it works in another hospital: there is one hospital. Not that age or follow-up *cause* anything. Not that precision or risks hold in practice: half of these pictures are ill because somebody chose them so (the AUC depends on *which* were chosen, not on that share).

# %% [markdown]
# ## 14 · In the packages, and at full size
#
# `impute_and_flag` and `correct_prior` are in `mmcourse.numpy.records`, `mmcourse.torch.records` and `mmcourse.keras.records`, equal by test. The scores of this lesson are in `mmcourse.evaluate`, equal to scikit-learn's, and `by_group` to fairlearn's `MetricFrame`.

# %% tags=["free"]
from mmcourse.keras import records as in_keras
from mmcourse.numpy import records as in_numpy
from mmcourse.torch import records as in_torch

logits = np.log(np.stack([1 - first_p, first_p], axis=1))
priors = np.array([0.94, 0.06]), np.array([0.98, 0.02])
ours_ = in_numpy.correct_prior(logits, *priors)
in_tensors = [torch.from_numpy(a) for a in (logits, *priors)]
gap_torch = np.abs(ours_ - in_torch.correct_prior(*in_tensors).numpy()).max()
gap_keras = np.abs(ours_ - np.asarray(in_keras.correct_prior(logits, *priors))).max()
blank_gap = np.abs(np.exp(ours_[:, 1]) - correct_prior(first_p, 0.06, 0.02)).max()
print(f"difference to PyTorch {gap_torch:.0e}, Keras {gap_keras:.0e},", end=" ")
print(f"your blank {blank_gap:.0e}")
assert max(gap_torch, gap_keras, blank_gap) < 1e-5

# %% [markdown]
# At full size, `torchxrayvision` (Cohen et al. 2022) has networks trained on several hospitals' X-rays; the same checks apply to their outputs. It was not run for this lesson.

# %% [markdown]
# ## 15 · The report
#
# One page that somebody can act on who has never met you. Each number comes from the cells of this lesson.

# %% tags=["free"]
t, with_habit = cost_threshold(1, 19), mnar["best of all, with gaps"]
benefit = net_benefit(test_y, p_a, [t])[0]
all_called = net_benefit(test_y, np.ones(len(test_y)), [t])[0]
reliability = brier_parts(test_y, p_a, bins=20)[0]
covered_b = mean_and_interval(stored["networks"]["letter hidden"]["B"]["auc"])
patients = len(np.unique(patient))
group_risks = []
for name in ("under 60", "60 and over"):
    rows = parts_[name]
    group_risks.append(f"{p_a[rows].mean():.3f} for {test_y[rows].mean():.3f}")
by_group_told = ", ".join(group_risks)
too_high = p_a - test_y
assert too_high[~older].mean() > 0 > too_high[older].mean()
print(f"""
REPORT: which X-rays are read within the hour (hospital A, drawn data)

DECISION    Read at once if the risk is {t:.2f} or more: a miss counts as 19 false
            alarms. (The clinic chose 19. Another number, another threshold.)
DATA        {len(test_y):,} visits of {patients:,} patients, none of them in training;
            {test_y.mean():.1%} ill. Intervals in [ ]: 95 %, over patients.
RESULT      Finds {finds["all"]} of the ill; of those called,
            {are_ill["all"]} are ill. Net benefit {benefit:.3f} per visit
            (calling everybody {all_called:.3f}, nobody 0). Per 1,000 visits, the
            image adds {more["the record alone"]} to the record alone.
RISKS       mean {p_a.mean():.3f} for {test_y.mean():.3f} ill,
            reliability {reliability:.4f} (0 is best). By group: {by_group_told}.
GROUPS      Found of the ill: under 60 {finds["under 60"]},
            60 and over {finds["60 and over"]}. Of the called, ill are
            {are_ill["under 60"]} and {are_ill["60 and over"]}; with the
            exact risks it would be {shares_of["exact", "under 60"][1]} and
            {shares_of["exact", "60 and over"][1]}: part of the gap is the model's own.
            Recalibrated by group, of the called are ill {after["under 60"][1]}
            and {after["60 and over"][1]}, but found are {after["under 60"][0]}
            and {after["60 and over"][0]}; net benefit hardly changes.
DO NOT USE  at another hospital. The model reads the machine's letter: at B its AUC
            is {auc_at["B"]}. Five others, trained with the letter
            covered (6 epochs): {covered_b[0]:.3f} ± {covered_b[1]:.3f} over the five.
DEPENDS ON  who gets the blood test. If everybody is tested, the best model of
            the record ranks worse (AUC {then:.3f} for {with_habit:.3f}, exact) and
            says {mean_risk:.3f} where {share_ill_at_a:.3f} are ill. Then judge anew.
NOT SHOWN   that any patient fares better. That needs a trial, not a test set.
""")

# %% [markdown]
# ## 16 · What to remember
#
# - With a rare disease, a high accuracy may be that of *call nobody*. Rank by AUC and average precision, decide by costs, judge by net benefit.
# - Class weights do not improve the order here, and they ruin probabilities. Costs belong in the threshold, the prevalence in the prior.
# - Split by patient. A score clearly above what can be known has a leak.
# - A gap can be information; keep the flag, and remember that it is people's behavior.
# - The record without the image, the suspect exchanged and nothing else, another hospital: three checks before anybody believes an image model. A probe tells what can be read, not what is used.
# - Equal PPV, equal TPR and equal FPR cannot all be had when groups differ in prevalence. Say what you chose.

# %% [markdown]
# ## 17 · Check yourself
#
# <details><summary>1. A model has 98 % accuracy at 2 % prevalence. Good?</summary>
#
# Unknown: calling nobody has the same. Ask for AUC, average precision (a guess has 0.02) and net benefit at the threshold of the costs.
# </details>
# <details><summary>2. A miss costs four times as much as a false alarm. Which threshold?</summary>
#
# 1 / (1 + 4) = 0.2, for calibrated probabilities.
# </details>
# <details><summary>3. Trained with balanced class weights, the model says 0.5. What is the risk at 6 %?</summary>
#
# 0.06: at odds of 1, the corrected odds are those of the prior.
# </details>
# <details><summary>4. The image model has AUC 0.95, the record without it 0.93. What do you ask next?</summary>
#
# What the image adds to the record; whether the circumstances (view, machine, ward) can be read from the image; and what it is worth within one view, and at another hospital.
# </details>
# <details><summary>5. A vendor promises equal TPR, equal FPR and equal PPV for two groups with 3 % and 9 %.</summary>
#
# By the identity of section 11, equal PPV and equal TPR give different FPR. Unless nobody healthy is called, that promise cannot be true.
# </details>
# <details><summary>6. A test set has 12 people of one group; their TPR is 0.75, the others' 0.90. Unfair?</summary>
#
# Perhaps only a few of the 12 are ill: then the interval can reach from far below to 0.9 or more. Say so, and collect more.
# </details>

# %% [markdown]
# ## 18 · Exercises and where next
#
# [The exercises](exercises/medical.ipynb): the ROC curve and average precision by hand, deploying elsewhere, finding the shortcut, a record encoder and one step of private training in PyTorch, and an open challenge: risks for another hospital.
#
# **Where next:** [interpret](interpret.ipynb) (what did the model look at?), lesson *assistant*. · **Back to:** [evaluate](evaluate.ipynb), [fusion](fusion.ipynb), [multimodal_data](multimodal_data.ipynb).
#
# ## Sources
# Hanley and McNeil 1982 (AUC) · Davis and Goadrich 2006 (precision and recall) · Murphy 1973 (parts of the Brier score) · Elkan 2001 (costs); Saerens, Latinne and Decaestecker 2002 (priors) · Vickers and Elkin 2006 (net benefit) · Rubin 1976 (missing data) · Arevalo et al. 2017, arXiv 1702.01992 (gated fusion) ·
# Zech et al. 2018, arXiv 1807.00431; DeGrave, Janizek and Lee 2021 (shortcuts in X-rays) · Chouldechova 2017, arXiv 1703.00056; Kleinberg, Mullainathan and Raghavan 2016, arXiv 1609.05807; Hardt, Price and Srebro 2016, arXiv 1610.02413 (fairness) ·
# Shokri et al. 2017, arXiv 1610.05820; Yeom et al. 2018, arXiv 1709.01604 (membership) · Abadi et al. 2016, arXiv 1607.00133; Dong, Roth and Su 2019, arXiv 1905.02383 (privacy) · Wang et al. 2017, arXiv 1705.02315 (the X-rays, provided by the NIH Clinical Center) · Cohen et al. 2022, *TorchXRayVision*.
