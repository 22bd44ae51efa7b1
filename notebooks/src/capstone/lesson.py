# %% [markdown]
# # Capstone: a project that holds
# *You read two finished projects as a marker would, and decide which one you would use. Then you point the same tools at a project of your own.*
#
# {{budget}}
#
# **You will be able to**
# - plan a project from a decision, a baseline and a ceiling, and write it on one page;
# - find a leak, a broken ceiling and a claim without an interval in somebody's report, and in yours;
# - give intervals that keep their promise when samples come in groups;
# - make model card and data card from code, with limits that a stranger can act on;
# - start a folder with `mmcourse capstone new`, check it, have it re-tested on data that nobody has seen, and defend it.
#
# **Before this:** [evaluate](evaluate.ipynb) (intervals, paired tests), [multimodal_data](multimodal_data.ipynb) (leakage), [tune](tune.ipynb) (the winner's curse). For the briefs: [vlm](vlm.ipynb) and [speech_to_text](speech_to_text.ipynb) (A), [medical](medical.ipynb) (B), your own idea (C).
#
# **Time to read:** 60 minutes with the four blanks, then 110 for the [exercises](exercises/capstone.ipynb). The project itself takes three to four weeks.

# %%
import json
import tempfile
import tomllib
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown
from sklearn.linear_model import LogisticRegression

from mmcourse import draw, plot, widgets
from mmcourse.capstone import hotline
from mmcourse.capstone.briefs import BRIEFS, find_brief
from mmcourse.capstone.check import check as check_project
from mmcourse.capstone.check import faults
from mmcourse.capstone.defense import defense_seed, draw_questions
from mmcourse.capstone.intervals import expected_coverage
from mmcourse.capstone.new import copy_example, form, new_project
from mmcourse.capstone.project import read_project
from mmcourse.capstone.proposal import limits_faults, proposal_faults
from mmcourse.capstone.retest import load_predict, retest
from mmcourse.capstone.rubric import as_text, rubric, total
from mmcourse.check import check
from mmcourse.evaluate import expect_within

# %% [markdown]
# ## 1 · The rubric comes first
#
# A **rubric** is the list of what is marked, with what full, half and no points mean (a marker may give points between the steps). You get it before you start, because it is also the best plan for the weeks to come.

# %%
print(as_text())

# %% [markdown]
# Five of its words come later: the *ceiling* is the best score that any model can have (section 4), a *late vote* joins the outputs of two models (late fusion), a *paired* comparison has both models on the same samples (section 7), an *ablation* takes one part away (section 7), and the *re-test* is new data that only the marker can draw (section 2).
#
# Look at the caps at the end: no row can make up for them. You will see what they guard against.
#
# ## 2 · Two reports
#
# Two teams worked on the same question. Callers leave messages on a *hotline*; from the words and the voice of a call, say whether the case is urgent. Team A calls its project *call back first*, team D *UrgencySense*. Both folders come with the course:


# %% tags=["hide-input"]
def show_page(text):
    """A page of a project, as a quotation: its headings become bold."""
    lines = []
    for line in text.splitlines():
        if line.startswith("<!--"):
            continue
        if line.startswith("#"):
            lines += [f"> **{line.lstrip('# ')}**", ">"]
            continue
        lines += ["> " + line] if line else [">"]
    return Markdown("\n".join(lines))


# %%
home = Path(tempfile.mkdtemp())
projects = {}
for team, which in {"A": "good", "D": "tempting"}.items():
    copy_example(which, home / which)
    projects[team] = read_project(home / which)
for team, project in projects.items():
    test = project.report["test"]
    print(f"team {team}, {project.name}: accuracy {test['value']:.3f}")
show_page(projects["D"].texts["README.md"])

# %% [markdown]
# That reads well. **Record three guesses** before you go on.

# %%
next_month = widgets.guess(
    "Team D reports an accuracy of 0.91 on its own test set. Next month 800 people "
    "call who have never called before. What is the accuracy then?",
    ["about 0.91", "about 0.80", "below 0.70"],
)

# %%
how_often = widgets.guess(
    "A hundred honest teams each report a 95 % interval from 200 callers. Each model "
    "is then tested on 200 new callers. How many of the new scores fall into the "
    "reported interval?",
    ["about 95", "about 83", "about 68"],
)

# %%
too_narrow = widgets.guess(
    "A caller calls up to twelve times, and two of the calls tell about as much as "
    "one independent call. If you compute the "
    "95 % interval as if all calls were independent, how often does it hold the truth?",
    ["about 95 of 100", "about 84 of 100", "fewer than 60 of 100"],
)

# %% [markdown]
# Now call both models with callers that nobody has seen. The data come from a table, so new ones cost nothing: this is the **re-test** that your project will get as well, there with a seed that only the marker knows.

# %% tags=["free"]
for team, project in projects.items():
    found = retest(project, seed=2026, predict=load_predict(project.folder), n=800)
    value, low, high = found.fresh
    told = f"{found.reported[0]:.3f} reported, {value:.3f} [{low:.3f}, {high:.3f}]"
    print(f"team {team}: {told} on {found.n:,} calls of {found.groups} new callers")
    if team == "A":
        assert found.held
    else:
        assert high < 0.75 and low < 0.6 < high
next_month.compare("below 0.70")

# %% tags=["hide-input"]
canvas = draw.Canvas()
secret = canvas.place(draw.box("secret", note="the marker's", color="gray"), x=0, y=0)
seed_box = canvas.place(draw.box("hidden seed", color="gray"), right_of=secret, gap=36)
table_box = draw.box("table", note="known exactly")
table_at = canvas.place(table_box, right_of=seed_box, gap=36)
split_box = draw.box("fresh split", note="new callers", color="orange")
split_at = canvas.place(split_box, right_of=table_at, gap=36)
predict_box = draw.box("predict", note="in the sandbox", color="blue")
predict_at = canvas.place(predict_box, right_of=split_at, gap=36)
held_box = draw.box("inside the reported interval?", color="green")
held_at = canvas.place(held_box, x=440, y=105)
report_box = draw.box("report.json", note="handed in", color="blue")
report_at = canvas.place(report_box, x=60, y=100)
for start, end in (
    (secret, seed_box),
    (seed_box, table_at),
    (table_at, split_at),
    (split_at, predict_at),
    (predict_at, held_at),
    (report_at, held_at),
):
    canvas.arrow(start, end)
draw.show(
    canvas,
    alt="A secret gives a hidden seed; with it the known table gives a fresh split; "
    "predict runs on it in a sandbox, and the score is compared with the interval "
    "of the report that was handed in.",
)

# %% [markdown]
# The report that looked best is far below the other one on new callers: no better than saying “can wait” to everybody, which is right for 0.60 of them. No number is invented, and there is no bug in the model. Three sections find out what happened.
#
# ## 3 · The leak
#
# A caller has a case, urgent or not, and it stays the same in all calls of this caller. Team D split the *calls* into training and test. Team A split the *callers*.

# %% tags=["hide-input"]
canvas = draw.Canvas()


def people(y, title, colors):
    """Three callers with their calls; the color says where a call goes."""
    canvas.place(draw.label(title, bold=True), x=0, y=y)
    number = 0
    for caller, calls in enumerate((3, 2, 3)):
        x = 20 + 235 * caller
        canvas.place(draw.label(f"caller {caller + 1}"), x=x + 60, y=y + 26)
        for call in range(calls):
            color = colors[number]
            word = {"blue": "train", "orange": "test"}[color]
            canvas.place(draw.box(word, color=color), x=x + 72 * call, y=y + 52)
            number += 1


blue, orange = "blue", "orange"
mixed = [blue, orange, blue, blue, orange, blue, blue, orange]
people(0, "Team D: split by call", mixed)
people(130, "Team A: split by caller", [blue] * 5 + [orange] * 3)
draw.show(
    canvas,
    alt="Three callers with three, two and three calls. Split by call, each caller "
    "has calls in training and in the test. Split by caller, the third caller's "
    "calls are all in the test.",
)

# %% [markdown]
# How would a marker see that? The report must list who is where. **Your turn (blank 1).** `train` and `test` hold the caller of each call. How many callers are on both sides?
# <details><summary>Hint</summary>
#
# Which NumPy function gives what two arrays share, each value once? (`np.intersect…`)
# </details>


# %%
def num_shared(train, test):
    """How many callers are in both; arrays with one entry per call."""
    # BEGIN SOLUTION
    return len(np.intersect1d(train, test))
    # END SOLUTION


num_shared = check("capstone.blank.1", num_shared)

# %%
print("by hand:", num_shared(np.array([1, 1, 2, 3]), np.array([3, 4, 4])))
for team, project in projects.items():
    split = project.report["split"]
    shared = num_shared(np.array(split["train"]), np.array(split["test"]))
    told = f"{shared} of {len(split['test'])} test callers are also in training"
    print(f"team {team}: {told}")
    assert (shared == 0) == (team == "A")

# %% [markdown]
# But is that *the reason*? Something in the input must tell who calls, else a shared caller would not help. The voice comes as eight numbers of timbre, which differs from person to person, and eight of loudness. If the leak is the reason, then team D's model must lose its advantage in two ways: when the split is by caller, **or** when it cannot hear the timbre. Four runs of a nearest neighbor (yours, not team D's code), five seeds each:


# %% tags=["free"]
def nearest(known, labels, asked):
    """The label of the nearest known call."""
    distance = (known**2).sum(axis=1) - 2 * asked @ known.T
    return labels[distance.argmin(axis=1)]


everything = hotline.draw(seed=7, callers=300)
both = [everything.inputs["words"], everything.inputs["voice"]]
words_voice = np.concatenate(both, axis=1)
no_timbre = np.delete(words_voice, np.arange(12, 20), axis=1)


def run(x, by, seed):
    """Accuracy on a fifth of the calls, or on the calls of a fifth of the callers."""
    rng = np.random.default_rng(seed)
    who = everything.callers if by == "caller" else np.arange(len(everything))
    drawn = rng.permutation(np.unique(who))
    test = np.isin(who, drawn[: len(drawn) // 5])
    said = nearest(x[~test], everything.labels[~test], x[test])
    return (said == everything.labels[test]).mean()


dealt = {}
for heard, x in {"with timbre": words_voice, "without timbre": no_timbre}.items():
    for by in ("call", "caller"):
        scores = [run(x, by, seed) for seed in range(5)]
        dealt[heard, by] = scores
        spread = f"{min(scores):.3f} to {max(scores):.3f}"
        print(f"{heard:15} split by {by:7} {np.mean(scores):.3f} ({spread})")
best = hotline.ceiling()
print(f"exact ceiling {best:.3f}")
assert min(dealt["with timbre", "call"]) > best
assert max(np.mean(dealt[key]) for key in dealt if key[1] == "caller") < best
left = np.mean(dealt["without timbre", "call"])
assert abs(left - np.mean(dealt["without timbre", "caller"])) < 0.06
by_timbre = np.mean(dealt["with timbre", "call"]) - left
print(f"what the timbre brings where the split is by call: {by_timbre:+.3f}")
assert 0.15 < by_timbre < 0.25
assert max(dealt["with timbre", "call"]) < projects["D"].report["test"]["value"]

# %% [markdown]
# Only one of the four is above the ceiling: timbre *and* shared callers. So the timbre identifies the caller, and that helps only with callers who are known from training. Take either away, and nothing is left of the advantage. (Team D's 0.913 is above all five of these runs; it is the best of twenty splits, so a part of it may be choice: section 6.) This is [data leakage](multimodal_data.ipynb), and its usual cure is a split by person. Kapoor and Narayanan (2023) list 294 published papers, in 17 fields, with leaks.
#
# ## 4 · The ceiling is an alarm
#
# The best accuracy that any model can have from *one call* is known, because the table is: sum the larger of the two joint probabilities over all that can be heard.
#
# $$\text{ceiling} = \sum_{x} \max_y\; p(y, x)$$
#
# $x$ is what is heard (words, voice, kind of telephone; timbre does not depend on the case, so it adds nothing), $y$ the case. By hand for mobile calls; the larger of each pair is marked:

# %% tags=["hide-input"]
joint = hotline.table()[..., 0]  # (case, words, voice) of mobile calls
joint = joint / joint.sum()
heard_words = ("calm", "neutral", "pressing")
pairs = []
for case, case_name in enumerate(hotline.CLASSES):
    larger = np.argwhere(joint.argmax(axis=0) == case)
    marked = [(int(row), int(column)) for row, column in larger]
    made = draw.matrix(
        joint[case],
        title=f"p({case_name}, ·)",
        rows=heard_words,
        columns=("low voice", "raised voice"),
        form=".3f",
        highlight=marked,
    )
    pairs.append(made)
draw.show(
    draw.row(*pairs, gap=90),
    alt="Two tables, can wait and urgent: rows calm, neutral and pressing words, "
    "columns low and raised voice. In each cell the larger probability is marked.",
)

# %%
for voice, voice_name in enumerate(("low", "raised")):
    for word, word_name in enumerate(heard_words):
        wait, urgent = joint[:, word, voice]
        larger = "can wait" if wait > urgent else "urgent"
        told = f"can wait {wait:.3f}, urgent {urgent:.3f}"
        print(f"{word_name:9} words, {voice_name:6} voice: {told} → {larger}")
by_hand = joint.max(axis=0).sum()
print(f"sum of the larger ones: {by_hand:.3f}")
assert abs(by_hand - hotline.ceiling(phone="mobile")) < 1e-12
share, wired = hotline.LANDLINE, hotline.ceiling(phone="landline")
both_phones = (1 - share) * by_hand + share * wired
print(f"with landlines: {1 - share:.1f} · {by_hand:.3f} ", end="")
print(f"+ {share:.1f} · {wired:.3f} = {both_phones:.3f}")
assert abs(both_phones - hotline.ceiling()) < 1e-12

# %% tags=["hide-input"]
names = ["majority", "voice", "words", "words + voice"]
known = [
    hotline.ceiling(()),
    hotline.ceiling(("voice", "phone")),
    hotline.ceiling(("words", "phone")),
    hotline.ceiling(),
]
fig, ax = plt.subplots(figsize=(7, 2.9))
ax.barh(range(4), known, color="#DCE6EE")
for y, value in enumerate(known):
    ax.text(0.41, y, f"{value:.3f}", va="center", fontsize=10)
ax.set(yticks=range(4), yticklabels=names, xlim=(0.4, 1.04), ylim=(-0.9, 3.6))
for team, side, color in (("A", "right", "#0072B2"), ("D", "left", "#D55E00")):
    claim = projects[team].report["test"]["value"]
    ax.axvline(claim, color=color, ls="--")
    shift = -0.006 if side == "right" else 0.006
    ax.text(claim + shift, -0.75, f"team {team}: {claim:.3f}", ha=side, fontsize=9)
ax.set_xlabel("accuracy; bars: exact ceilings of what is heard")
ax.set_title("What can be known from one call, and what was reported", loc="left")
told = ", ".join(f"{name} {value:.3f}" for name, value in zip(names, known))
plot.show(fig, alt=f"Ceilings: {told}. Team A reports 0.803, team D 0.913.")

# %% [markdown]
# Team D wrote this number into its own proposal, as “state of the art”. It is no record to break: **above the exact ceiling of one call there is no skill, only a leak or luck.** The rubric's cap applies when even the low end of the interval is above (without an interval: the score itself). Then the luck of one test set is an unlikely reason: stop, and look for a leak, or for a choice among several test sets. With real data nobody gives you a ceiling. Then ask two people to do the task (their score is a reference, not a bound), and write down before you train which score would make you suspicious.
#
# ## 5 · An interval that keeps its promise
#
# Team D gave no interval. Team A did, and not the usual one. Take team A's answers on its own test calls:

# %%
test_calls = hotline.load("test")
said = load_predict(projects["A"].folder)(test_calls.inputs)
is_right = (said == test_calls.labels).astype(float)  # (n,)
callers = test_calls.callers
print(f"{len(is_right):,} calls of {len(np.unique(callers))} callers")
loud = test_calls.inputs["voice"][:, 8:].mean(axis=1)  # (n,), above 0: raised
for caller in np.unique(callers)[:5]:
    theirs = callers == caller
    case = hotline.CLASSES[test_calls.labels[theirs][0]]
    voice = "raised" if loud[theirs].mean() > 0 else "low"
    row = " ".join(map(str, is_right[theirs].astype(int)))
    print(f"{case:8} case, {voice:6} voice: {row}")

# %% [markdown]
# Ones and zeros of a caller go together: the fourth caller has an urgent case and a low voice, and is misjudged again and again. So 1,275 calls say less than 1,275 independent ones would. What can be drawn anew is *callers*. Add up, for each caller, how far the answers are from the mean:
#
# $$\mathrm{SE} = \frac{1}{n}\sqrt{\frac{K}{K-1}\sum_{k=1}^{K} \Bigl(\sum_{i \in k} (r_i - \bar r)\Bigr)^2}$$
#
# $r_i$ is 1 where call $i$ was judged rightly, $\bar r$ their mean, $n$ the number of calls, $K$ that of callers; the inner sum goes over the calls of caller $k$. This is the **cluster-robust standard error** (Liang and Zeger 1986). With one call per caller it is the usual one.
#
# **Your turn (blank 2).**
# <details><summary>Hint</summary>
#
# `_, which = np.unique(callers, return_inverse=True)`, then `np.bincount(which, deviations)` has the sum of each caller.
# </details>


# %%
def caller_error(is_right, callers):
    """Standard error of the mean of is_right (n,) if new callers are drawn."""
    # BEGIN SOLUTION
    deviations = is_right - is_right.mean()
    _, which = np.unique(callers, return_inverse=True)
    sums = np.bincount(which, deviations)  # (K,)
    number = len(sums)
    return np.sqrt(number / (number - 1) * (sums**2).sum()) / len(is_right)
    # END SOLUTION


caller_error = check("capstone.blank.2", caller_error)

# %%
small = np.array([1.0, 1.0, 0.0, 1.0]), np.array([0, 0, 1, 1])
print("by hand: mean 0.75, deviations 0.25 0.25 | −0.75 0.25, sums 0.5 and −0.5")
print(f"√(2/1 · (0.25 + 0.25)) / 4 = {caller_error(*small):.3f}")
naive_error = is_right.std(ddof=1) / np.sqrt(len(is_right))
robust_error = caller_error(is_right, callers)
effect = (robust_error / naive_error) ** 2
print(f"as if independent: ± {1.96 * naive_error:.4f}")
print(f"by caller:         ± {1.97 * robust_error:.4f}")
print(f"design effect {effect:.2f}: these calls are worth {len(is_right) / effect:.0f}")

# %% [markdown]
# The squared ratio of the two is the **design effect**; divide the number of calls by it, and you have the number of independent calls that would tell as much. (1.97 is Student's $t$ for 200 callers.) And does the promise hold, *95 of 100*? That can be tried, because the true accuracy of a rule is known from the table. An interval's **coverage** is how often it holds the truth ([evaluate](evaluate.ipynb)).
#
# **Your turn (blank 3).** `low` and `high` hold the ends of many intervals, `truth` is one number. The ends count as inside.
# <details><summary>Hint</summary>
#
# Two comparisons, joined by `&`, and the mean of that.
# </details>


# %%
def covered(low, high, truth):
    """Share of the intervals that hold the truth."""
    # BEGIN SOLUTION
    return ((low <= truth) & (truth <= high)).mean()
    # END SOLUTION


covered = check("capstone.blank.3", covered)

# %% tags=["hide-input"]
from scipy.special import ndtr, stdtrit

TABLE = hotline.table()  # (case, words, voice, phone)
RULE = TABLE.argmax(axis=0)  # the best answer to each (words, voice, phone)
TRUTH = hotline.ceiling()  # its exact accuracy


def many_tests(num_callers, rounds, seed):
    """Right answers and calls of each caller, (rounds, callers): the best rule."""
    rng = np.random.default_rng(seed)
    size = (rounds, num_callers)
    case = (rng.random(size) < hotline.URGENT).astype(int)
    phone = (rng.random(size) < hotline.LANDLINE).astype(int)
    raised = (rng.random(size) < hotline.RAISED[phone, case]).astype(int)
    hits = RULE[:, raised, phone] == case  # (words, rounds, callers)
    p = (np.moveaxis(hits, 0, -1) * hotline.WORDS[case]).sum(axis=-1)
    calls = rng.integers(1, hotline.MOST_CALLS + 1, size)
    return rng.binomial(calls, p), calls


def both_intervals(right, calls):
    """Accuracy (rounds,), and half-widths: as if independent, and by caller."""
    n, k = calls.sum(axis=1), calls.shape[1]
    mean = right.sum(axis=1) / n
    naive = 1.96 * np.sqrt(mean * (1 - mean) / n)
    sums = right - mean[:, None] * calls
    error = np.sqrt(k / (k - 1) * (sums**2).sum(axis=1)) / n
    return mean, naive, stdtrit(k - 1, 0.975) * error


# %% [markdown]
# Now a thousand test sets of *the best rule*, whose accuracy is known exactly, each with its interval, computed in both ways. **Move the slider:** do more callers help the interval that takes calls for independent?


# %% tags=["hide-input"]
def show_coverage(num_callers=25):
    """Forty of a thousand intervals, and how many hold the truth."""
    right, calls = many_tests(num_callers, 1000, seed=1)
    mean, naive, by_caller = both_intervals(right, calls)
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.4), sharey=True)
    shares = []
    kinds = {"as if independent": naive, "by caller": by_caller}
    for ax, (name, half) in zip(axes, kinds.items()):
        low, high = mean - half, mean + half
        shares.append(covered(low, high, TRUTH))
        for row in range(40):
            inside = low[row] <= TRUTH <= high[row]
            color = "#0072B2" if inside else "#D55E00"
            ax.plot([row, row], [low[row], high[row]], color=color, lw=2)
        ax.axhline(TRUTH, color="#222222", lw=1)
        ax.set_title(f"{name}: {shares[-1]:.3f}", fontsize=11, loc="left")
        ax.set_xlabel("40 of 1,000 test sets")
    axes[0].set_ylabel("accuracy")
    told = f"as if independent {shares[0]:.3f}, by caller {shares[1]:.3f}"
    plot.show(fig, alt=f"{num_callers} callers per test set. Coverage: {told}.")
    print(f"{num_callers} callers per test set. Coverage: {told} (promised: 0.95)")


widgets.slider(show_coverage, num_callers=[5, 10, 25, 50, 100, 200, 400])

# %%
sizes = (10, 25, 100, 400)
rows = []
for size in sizes:
    mean, naive, by_caller = both_intervals(*many_tests(size, 4000, seed=size))
    halves = (naive, by_caller)
    shares = [covered(mean - half, mean + half, TRUTH) for half in halves]
    rows.append((*shares, naive.mean(), by_caller.mean()))
for size, (first, second, narrow, wide) in zip(sizes, rows):
    print(f"{size:3} callers: as if independent {first:.3f} (± {narrow:.3f}), ", end="")
    print(f"by caller {second:.3f} (± {wide:.3f})")
rows = [row[:2] for row in rows]
assert max(first for first, _ in rows) < 0.92
assert abs(rows[-1][1] - 0.95) < 0.015 and rows[0][1] < 0.93
assert 0.79 < min(first for first, _ in rows)
limit = 2 * ndtr(1.96 / np.sqrt(effect)) - 1
print(f"with team A's design effect of {effect:.2f}, as if independent: {limit:.3f}")
too_narrow.compare("about 84 of 100")

# %% [markdown]
# More data hardly help: both intervals shrink alike, and the coverage of the one that takes calls for independent stays too low. How low depends on the design effect: for large samples it is $2\,\Phi(1.96/\sqrt{\text{design effect}}) - 1$, with $\Phi$ the normal distribution function. Team A's answers go together more than those of the best rule; the last line has its value. The interval by caller comes close to what it promises from about a hundred callers on; with ten callers it is too narrow as well (and with five it may reach beyond 1), since ten people show too little of how people differ.
#
# ## 6 · Two samples, two kinds of luck
#
# So an honest interval holds *the truth* 95 times in 100. Does it hold the score of the *next test set* as often? The next test set has luck of its own.

# %%
mean, _, half = both_intervals(*many_tests(200, 4000, seed=11))
again, _, fresh_half = both_intervals(*many_tests(200, 4000, seed=12))
held_truth = covered(mean - half, mean + half, TRUTH)
held_next = ((mean - half <= again) & (again <= mean + half)).mean()
print(f"hold the truth: {held_truth:.3f}")
print(f"hold the score of another 200 callers: {held_next:.3f}")
predicted = expected_coverage(half.mean(), fresh_half.mean())
print(f"by the formula: {predicted:.3f}")
assert abs(held_next - predicted) < 0.03
how_often.compare("about 83")

# %% [markdown]
# Only five of six (Cumming and Maillardet 2006). Both means scatter around the truth, so their difference has the spread of both, and an interval of half-width $h$ holds the second mean with probability
#
# $$2\,\Phi\!\left(1.96 \cdot \frac{h}{\sqrt{h^2 + f^2}}\right) - 1$$
#
# where $f$ is the half-width that the *fresh* test set would have, as before with $\Phi$. With $f = h$ that is 0.834: the same as a design effect of 2, since here too the variance is twice what the interval knows of.

# %% tags=["hide-input"]
sizes = np.array([0.25, 0.5, 1, 2, 4, 8, 16, 32, 64])
by_size = [expected_coverage(1.0, 1 / np.sqrt(size)) for size in sizes]
fig, ax = plt.subplots(figsize=(7, 3))
ax.semilogx(sizes, by_size, marker="o", color="#0072B2", base=2)
ax.axhline(0.95, color="#888888", ls=":")
ax.set(xlabel="fresh test set, in sizes of the reported one", ylabel="share held")
ax.set_title("How often an honest interval holds a fresh score", loc="left")
ax.set_xticks(sizes, [f"{size:g}" for size in sizes])
plot.show(fig, alt="From 0.62 at a quarter of the size over 0.834 at 1 to 0.95 at 64.")
print(f"at the same size {by_size[2]:.3f}, at 64 times the size {by_size[-1]:.3f}")

# %% [markdown]
# That is why the re-test draws more callers than your test set had (above: 800 against 200), and why it is a *class* that is judged: one interval that misses proves nothing. Try it with 200 teams. Each trains on callers of its own. Half of them report their test score and its interval by caller; the other half does what is tempting: they test on ten test sets, and report the best.


# %% tags=["free"]
def features(calls):
    """Words, and loudness by kind of telephone: (n, 15)."""
    loud = calls.inputs["voice"][:, 8:].mean(axis=1, keepdims=True)
    landline = calls.inputs["phone"][:, None]
    parts = [calls.inputs["words"], loud * (1 - landline), loud * landline, landline]
    return np.concatenate(parts, axis=1)


def reports_of(model, seeds):
    """(mean, half-width) on 100 callers of each seed, the best mean first."""
    found = []
    for seed in seeds:
        calls = hotline.draw(seed, 100)
        flags = (model.predict(features(calls)) == calls.labels).astype(float)
        half = stdtrit(99, 0.975) * caller_error(flags, calls.callers)
        found.append((flags.mean(), half))
    return sorted(found, reverse=True)


fresh_calls = hotline.draw(999_999, 3000)
fresh_x = features(fresh_calls)
outcome = {"one test set": [], "best of ten": []}
for team in range(200):
    train = hotline.draw(10_000 + team, 60)
    model = LogisticRegression(max_iter=300).fit(features(train), train.labels)
    truth = (model.predict(fresh_x) == fresh_calls.labels).mean()
    kind = list(outcome)[team % 2]
    tries = 1 if kind == "one test set" else 10
    seeds = [20_000 + 100 * team + k for k in range(tries)]
    value, half = reports_of(model, seeds)[0]
    outcome[kind].append((value, half, truth))
for kind, rows in outcome.items():
    value, half, truth = np.array(rows).T
    held = ((value - half <= truth) & (truth <= value + half)).sum()
    told = f"{held} of {len(rows)} intervals hold the fresh score"
    print(f"{kind:12}: {told}; too high by {np.mean(value - truth):+.3f}")
honest, tempted = (np.array(outcome[kind]) for kind in outcome)
assert np.mean(tempted[:, 0] - tempted[:, 2]) > 0.02
assert abs(np.mean(honest[:, 0] - honest[:, 2])) < 0.02
missed = [(abs(x[:, 0] - x[:, 2]) > x[:, 1]).sum() for x in (honest, tempted)]
assert missed[1] > missed[0]

# %% [markdown]
# Both halves used the same interval, rightly computed. What breaks the promise is the choice: a model is the same in all its ten tests, so the best of them is luck alone, the [winner's curse](tune.ipynb). About 78 of 100 can be foreseen: one honest interval lies wholly above the truth with probability 0.025, and none of ten does with $0.975^{10} = 0.78$. (This is one simulation, in which all teams share the fresh callers.) No single report shows it. The re-test of a class does.
#
# ## 7 · Is the gain real?
#
# Team A claims that the voice helps. Its table says:

# %%
report = projects["A"].report
for name in ("words alone", "joint"):
    claim = report["baselines"].get(name, report["test"])
    low, high = claim["interval"]
    print(f"{name:12} {claim['value']:.3f} [{low:.3f}, {high:.3f}]")
row = report["comparisons"][0]
low, high = row["interval"]
told = f"{row['difference']:.3f} [{low:.3f}, {high:.3f}]"
print(f"difference, paired over {row['seeds']} training sets: {told}")
words_only = [*range(12), 14]  # of `features`: the words, and whether it is a landline
train_calls = hotline.load("train")
alone = LogisticRegression(C=0.1, max_iter=500)
alone.fit(features(train_calls)[:, words_only], train_calls.labels)
heard_alone = alone.predict(features(test_calls)[:, words_only])
gain = is_right - (heard_alone == test_calls.labels)  # (n,), −1, 0 or 1
half = stdtrit(len(np.unique(callers)) - 1, 0.975) * caller_error(gain, callers)
told = f"{gain.mean():.3f} [{gain.mean() - half:.3f}, {gain.mean() + half:.3f}]"
print(f"difference, paired by test caller, one training set: {told}")
first, second = report["baselines"]["words alone"], report["test"]
assert second["interval"][0] < first["interval"][1] and low > 0

# %% [markdown]
# The two intervals overlap, and yet both intervals of the difference leave out zero: what both models get right or wrong together cancels in it. **Overlapping intervals do not mean “equal”; look at the interval of the difference, paired.** The two differ in what is drawn anew. Team A's table: training sets (a mean over five others), on the same test callers. The last line: test callers, with one training set (blank 2 again, on the differences). The second is wider. (Neither has both kinds of chance in it.) By its own rule, 0.02 above words alone and an interval that leaves out zero, team A may use the voice; whether the gain is at least 0.02 stays open, since the second interval reaches below. The rest of the claim is one change at a time. An **ablation** takes one part away, and nothing else:

# %%
for row in report["ablations"]:
    low, high = row["interval"]
    told = f"{row['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"
    print(f"team A, {row['name']:18} changes {row['changed']}: {told}")
for row in projects["D"].report["ablations"]:
    told = f"{row['difference']:+.3f}, no interval"
    print(f"team D, {row['name']}, changes {row['changed']}: {told}")
print("(each: the changed model minus the one before)")
print("\nteam A, what did not help:", report["negative"])

# %% [markdown]
# Team D changed two things at once, so its table cannot say which of them brought 0.26. In section 3 the model stayed the same, and timbre brought about 0.2. The rest may be the model, or the chosen split; no cell separates these. Team A reports something that did *not* help. A report without a negative result may have left one out.
#
# ## 8 · What the marker says
#
# The machine goes first:

# %%
for team, project in projects.items():
    findings = check_project(project)
    print(f"team {team}: {len(findings)} findings, caps: {', '.join(faults(findings))}")
for finding in check_project(projects["D"])[:6]:
    print(f"   {finding.row}: {finding.says[:74]}")

# %% [markdown]
# Then a person, with words at each place:

# %% tags=["hide-input"]
notes = {}
for team, project in projects.items():
    path = project.folder / "marks.toml"
    notes[team] = tomllib.loads(path.read_text(encoding="utf-8"))
lines = []
for team in ("D", "A"):
    lines += [f"**Team {team}.** *{notes[team]['verdict']}*", ""]
    for mark in notes[team]["mark"]:
        lines.append(f"- `{mark['file']}`, “{mark['at']}”: {mark['says']}")
    lines.append("")
Markdown("\n".join(lines))

# %% [markdown]
# And the points. Rows first, then what faults cost, then the caps. **Your turn (blank 4).** `points` is the sum of the rows, `caps` a list of the caps that apply (it may be empty), `minus` what claims without an interval cost.
# <details><summary>Hint</summary>
#
# Take off first, then `min([points - minus, *caps])`. Nobody has fewer than 0 points.
# </details>


# %%
def final_points(points, caps, minus):
    """What is left after deductions and caps."""
    # BEGIN SOLUTION
    return max(0, min([points - minus, *caps]))
    # END SOLUTION


final_points = check("capstone.blank.4", final_points)

# %%
rows, caps = rubric()
print(f"{'row':30} {'of':>3} {'A':>3} {'D':>3}")
for row in rows:
    points_of = [notes[team]["points"][row.name] for team in "AD"]
    print(f"{row.title:30} {row.points:3} {points_of[0]:3} {points_of[1]:3}")
cap_of = {cap.fault: cap for cap in caps}
for team, project in projects.items():
    points = notes[team]["points"]
    found = faults(check_project(project))
    limits = [cap_of[f].most for f in found if cap_of[f].most is not None]
    minus = sum(cap_of[f].minus for f in found)
    left = final_points(sum(points.values()), limits, minus)
    print(f"team {team}: rows {sum(points.values())}, caps {limits}, −{minus} → {left}")
    assert left == total(points, found)
print("a brilliant page with a leak: rows 92, caps [50] →", final_points(92, [50], 0))
assert sum(notes["D"]["points"].values()) < 50  # there the caps change nothing

# %% [markdown]
# (Team D's rows are below its cap without any help. The last line shows where a cap decides.)
#
# ## 9 · Cards from code, and limits that help
#
# A **model card** says on one page what a model is for, how good it is, for whom it is worse, and where it must not be used (Mitchell et al. 2019); a [data card](sentiment.ipynb) says the same of the data (Gebru et al. 2018). Typed by hand, their numbers are out of date after the next training. So `mmcourse capstone card` writes both from `report.json`, and `check` refuses a card that is not what the report gives:

# %%
show_page(projects["A"].texts["cards/model.md"])

# %% [markdown]
# The limits are written by a person (so are question, decision and risk, which come from the proposal). A limit has four parts: **group, condition, number, consequence**. Without the consequence nobody knows what to do; without the number nobody knows how bad it is. Try sentences of your own:

# %% tags=["hide-input"]
four = [
    draw.box("group", note="landline", color="blue"),
    draw.box("condition", note="any call", color="blue"),
    draw.box("number", note="0.747, n = 359", color="orange"),
    draw.box("consequence", note="a person reads it", color="green"),
]
draw.show(
    draw.row(*four, gap=20),
    alt="The four parts of a limit: group landline; condition any call; number 0.747 "
    "of 359; consequence: a person reads it.",
)

# %%
tries = [
    "- **group**: landline",
    "- **group**: pilots · **condition**: any · **number**: 0.7 · **consequence**: ask",
    "- **group**: landline · **condition**: any call · "
    "**number**: 0.747 [0.678, 0.815] · "
    "**consequence**: a person reads each of these calls",
]
for text in tries:
    print(limits_faults(text, ["mobile", "landline"]) or "nothing is missing")
assert not limits_faults(tries[-1], ["mobile", "landline"])

# %% [markdown]
# `limits_faults` sees that a number is there, not that it is the number of *this* condition. One of team A's three limits fails that test. Which one? (The marker took off a point for it.)
#
# <details><summary>Which one</summary>
#
# The second: its condition is an urgent case told in a calm voice, its number is that of all mobile calls.
# </details>
#
# The right number can be measured. Beside it: what the best rule of section 4 gets there, and the other limit, about landlines:

# %%
mobile, urgent = test_calls.inputs["phone"] == 0, test_calls.labels == 1
calm_voice = mobile & urgent & (loud < 0)
theirs, who = is_right[calm_voice], callers[calm_voice]
half = stdtrit(len(np.unique(who)) - 1, 0.975) * caller_error(theirs, who)
told = f"{theirs.mean():.3f} ± {half:.3f}, {len(theirs)} calls of {len(np.unique(who))}"
print(f"all mobile calls:          {is_right[mobile].mean():.3f}")
print(f"urgent, in a low voice:    {told} callers")
chosen = joint[1, :, 0] * (joint.argmax(axis=0)[:, 0] == 1)
best_there = chosen.sum() / joint[1, :, 0].sum()
print(f"   the best rule of section 4: {best_there:.3f}")
landline_right = is_right[~mobile].mean()
words_right = (heard_alone == test_calls.labels)[~mobile].mean()
print(f"landline: with the voice {landline_right:.3f}, words alone {words_right:.3f}")
assert abs(landline_right - words_right) < 0.03
assert theirs.mean() + half < is_right[mobile].mean() and abs(best_there - 0.6) < 1e-9

# %% [markdown]
# Two of three such calls are misjudged, not one of six (18 callers are few: section 5 says that the interval is rather too narrow). 0.600 is no ceiling: a model that says “urgent” to everybody gets 1.0 on urgent calls, and loses elsewhere.
#
# **Which one would you use: D, A, words alone, or none?** Decide before you open it.
# <details><summary>One answer</summary>
#
# D for nothing: new callers are all that will come, and there it is at the level of “can wait” for everybody. A to *order* the list of mobile callers, by its own rule; no call is taken off, since most urgent callers with a low voice are judged wrongly. On landlines words alone do about as well, so there no voice needs to be kept. And how dear is a missed urgent case against a false alarm? Accuracy counts both the same; before anybody uses A, that price has to be named (lesson [assistant](assistant.ipynb), section 8).
# </details>
#
# ## 10 · Three briefs
#
# Now your own project. Three briefs are ready, each with a data card, a baseline notebook, traps, and what “done” means:

# %%
for letter, brief in BRIEFS.items():
    best = "nobody knows it" if brief.ceiling is None else f"{brief.ceiling():.3f}"
    told = f"{brief.metric}, split by {brief.group}, ceiling: {best}"
    print(f"{letter}  {brief.title:16} {told}")
show_page(find_brief("a").text)

# %% tags=["hide-input"]
canvas = draw.Canvas()
stages = [
    ("proposal", "one page, week 1", "blue"),
    ("baseline", "runs, with interval", "blue"),
    ("method", "one change at a time", "green"),
    ("report", "cards, limits", "green"),
    ("re-test", "hidden seed", "orange"),
    ("defense", "five questions", "orange"),
]
placed = []
for index, (name, note, color) in enumerate(stages):
    made = draw.box(name, note=note, color=color)
    if index == 0:
        placed.append(canvas.place(made, x=0, y=0))
    elif index == 3:
        placed.append(canvas.place(made, below=placed[-1], gap=44))
    else:
        side = "right_of" if index < 3 else "left_of"
        placed.append(canvas.place(made, gap=60, **{side: placed[-1]}))
for start, end in ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5)):
    canvas.arrow(placed[start], placed[end])
draw.show(
    canvas,
    alt="Six stages: proposal, baseline, method; then report, re-test, defense.",
)

# %% [markdown]
# `mmcourse capstone new NAME --brief a` makes the folder. The same from Python, and what `check` says of an empty one:

# %%
mine = Path(tempfile.mkdtemp()) / "my-kiosk"
made = new_project(mine, find_brief("a"))
print("\n".join(made))
print()
for finding in check_project(read_project(mine))[:5]:
    print(f"{finding.row}: {finding.says}")

# %% [markdown]
# Write the proposal first, and show it to somebody before you train anything. Seven headings: question, decision, data, baseline, ceiling, risk, smallest useful result. What does the machine think of team D's, and of team A's?

# %%
for team, project in projects.items():
    found = proposal_faults(project.texts["PROPOSAL.md"])
    print(f"team {team}: {len(found)} things are missing", *found, sep="\n   ")
show_page(projects["A"].texts["PROPOSAL.md"])

# %% [markdown]
# ## 11 · Take a project apart: yours
#
# Which of these mistakes would `check` find, which the re-test, and which only a person? The table is made by making each mistake, in a copy of team A's report; the last column says whether the fresh score of section 2 lies in the reported interval:


# %%
def spoiled(change):
    """Team A's project with one thing changed in its report."""
    facts = json.loads(projects["A"].texts["report.json"])
    change(facts)
    text = json.dumps(facts)
    (spoiled_home / "report.json").write_text(text, encoding="utf-8")
    return read_project(spoiled_home)


def same_callers(facts):
    """Ten callers of the training set are in the test, too."""
    facts["split"]["test"] += facts["split"]["train"][:10]


def no_baselines(facts):
    """Nothing to compare with."""
    facts["baselines"] = {}


def too_good(facts):
    """A score that the table does not allow."""
    facts["test"] |= {"value": 0.9, "interval": [0.88, 0.92]}


def best_seed(facts):
    """One seed, chosen on the test."""
    facts |= {"seeds": [17], "chosen_on": "test"}


def two_knobs(facts):
    """An ablation that changes two things."""
    facts["ablations"][0]["changed"] = ["voice", "model"]


def quiet_luck(facts):
    """The best of ten test sets, reported as if it were the only one."""
    value, half = facts["test"]["value"] + luck, facts["test"]["interval"][1]
    half -= facts["test"]["value"]
    facts["test"] |= {"value": value, "interval": [value - half, value + half]}


luck = 0.025  # of the best of ten: section 6 had 100 callers, team A has 200
assert abs(np.mean(tempted[:, 0] - tempted[:, 2]) / np.sqrt(2) - luck) < 0.01
predict = load_predict(projects["A"].folder)
fresh_score = retest(projects["A"], seed=2026, predict=predict, n=800).fresh[0]
spoiled_home = Path(tempfile.mkdtemp()) / "copy"
copy_example("good", spoiled_home)
changes = (same_callers, no_baselines, too_good, best_seed, two_knobs, quiet_luck)
seen = {}
for change in changes:
    findings = check_project(spoiled(change))
    # the cards are old after any change: that is no news
    findings = [x for x in findings if not x.says.startswith("cards/")]
    seen[change.__name__] = len(findings)
    caps_now = ", ".join(faults(findings)) or "–"
    low, high = read_project(spoiled_home).report["test"]["interval"]
    held = "inside" if low <= fresh_score <= high else "outside"
    told = f"{len(findings)} findings, caps: {caps_now}"
    print(f"{change.__name__:13} {told:30} fresh score {held}")
assert held == "inside"  # the last one, quiet_luck
assert seen["quiet_luck"] == 0 and all(seen[c.__name__] for c in changes[:5])

# %% [markdown]
# The last one passes both: a number that was chosen quietly looks like any other, and one re-test does not see it either; only the re-tests of a class do (section 6), or a person who asks “how many test sets did you try?”. That is what the **peer review** is for (another team reads your project with a form, and runs it), and the oral defense. Its five questions are drawn by a seed from what you handed in, each from another row of the rubric:

# %%
for question in draw_questions(projects["A"], defense_seed(projects["A"])):
    print(f"({question.row}) {question.text}")

# %% tags=["hide-input"]
widgets.reveal(lambda: print(form("peer_review")), "Show the form for peer review")

# %% [markdown]
# ## 12 · In the package, and in your framework
#
# | command | does |
# |---|---|
# | `mmcourse capstone rubric` | prints the rubric |
# | `mmcourse capstone new NAME --brief a` | a folder: brief, proposal, sources, tests, Makefile, baseline notebook |
# | `mmcourse capstone example good --to DIR` | a copy of team A's project; `tempting` is team D's |
# | `mmcourse capstone check DIR` | what is missing or wrong, by rows; exit 1 if anything is |
# | `mmcourse capstone card DIR` | both cards from the report |
# | `mmcourse capstone retest DIR… --secret FILE` | for the marker: fresh data by a hidden seed, `predict` in the sandbox, coverage of the class |
# | `mmcourse capstone defend DIR` | five questions |
#
# `predict(inputs)` takes a dict of NumPy arrays and gives labels or probabilities, whatever framework is behind it. In PyTorch that is `model.eval()`, `torch.no_grad()` and a loop over batches (exercise 4); in Keras `model.predict(inputs, verbose=0)`, which does all three. The course's version of what you wrote in blank 2:

# %%
from mmcourse.capstone.intervals import cluster_interval

value, low, high = cluster_interval(is_right, callers)
half = stdtrit(len(np.unique(callers)) - 1, 0.975) * caller_error(is_right, callers)
print(f"{value:.3f} [{low:.3f}, {high:.3f}], yours: ± {half:.4f}")
assert abs(half - (high - low) / 2) < 1e-12

# %% tags=["target"]
reported = projects["A"].report["test"]
expect_within("team A's accuracy, computed again", value, reported["value"], 0.01)

# %% [markdown]
# ## 13 · At full size
#
# A class of thirty hands in by a deadline. The marker keeps a secret (a line of text in a file), and runs, with the folders of all teams:
#
# ```
# mmcourse capstone retest handed_in/* --secret class.secret
# ```
#
# Each project's code runs in the sandbox of `mmcourse grade`: no network, no other files, a limit on time and memory. The seed comes from the secret and the project's name, so nobody can tune to it, and the same secret gives the same split again if somebody asks. With a fresh split four times as large as the reported one, an honest interval holds its fresh score with probability 0.92, by the formula of section 6. So 25 to 30 of 30 are nothing unusual. Whether 20 are depends on one thing: if each team drew test callers of its own, misses are independent; if all teams report on one shared test set (as `clinic` has one), they share its luck and miss together. Both are computed below. For brief C there is no table: another team records ten new people *after* the deadline. (`make retest` in your folder does the same with a secret of your own.)

# %%
from scipy.special import bdtr

honest_share = expected_coverage(1.0, 1 / np.sqrt(4))  # fresh set: four times as large
print(f"an honest interval holds with probability {honest_share:.3f}")
luck_of_all = np.linspace(-5, 5, 2001)  # of the shared test set, in standard errors
weight = np.exp(-(luck_of_all**2) / 2)
holds = ndtr((1.96 - luck_of_all) * 2) - ndtr((-1.96 - luck_of_all) * 2)


def shared_chance(number):
    """P(at most so many of 30 hold) where all teams share their test callers."""
    return (weight * bdtr(number, 30, holds)).sum() / weight.sum()


for number in (20, 25, 28):
    chance = bdtr(number, 30, honest_share)
    print(f"at most {number} of 30 honest intervals hold: probability ", end="")
    print(f"{chance:.1e}", end="")
    print(f"; with one shared test set {shared_chance(number):.2f}")
assert round(honest_share, 2) == 0.92 and round(30 * honest_share, 1) == 27.6
assert bdtr(28, 30, honest_share) > 0.3 and bdtr(20, 30, honest_share) < 1e-3
assert 0.05 < shared_chance(20) < 0.15
assert abs((weight * holds).sum() / weight.sum() - honest_share) < 1e-3

# %% [markdown]
# ## 14 · What to remember
#
# - Start from the decision: who does what with the answer, and which difference would change it.
# - Split by what comes again: person, patient, voice, caller. Intervals follow the same groups.
# - A score above the ceiling is an alarm; without a ceiling, write down beforehand which score would make you suspicious.
# - Compare paired, change one thing at a time, choose on validation, report what did not help.
# - A limit has a group, a condition, a number and a consequence.

# %% [markdown]
# ## 15 · Check yourself
#
# <details><summary>1. Your test accuracy is 0.84 [0.80, 0.88], the exact ceiling 0.82. What now?</summary>
#
# No alarm yet: the interval reaches well below the ceiling, so luck is enough to explain it. Say so in the report. If the low end were above 0.82, look for the leak before you do anything else.
# </details>
# <details><summary>2. 2,000 pictures of 12 people, split at random. Who is on both sides?</summary>
#
# Probably all twelve. Split by person; with twelve people the interval will be wide, and that is the truth about what you know.
# </details>
# <details><summary>3. A reviewer tests your model on as many new samples as you had, and the score is outside your interval. Were you wrong?</summary>
#
# Not necessarily: that happens to one honest interval in six. Ask for a larger fresh test set.
# </details>
# <details><summary>4. Model A: 0.78 [0.75, 0.81]. Model B: 0.80 [0.77, 0.83]. Equal?</summary>
#
# That cannot be read off. If both were tested on the same samples, compute the interval of the difference, paired.
# </details>
# <details><summary>5. “More data would help.” What is wrong with this limit?</summary>
#
# It names no group, no condition, no number and no consequence. Nobody would do anything differently.
# </details>
# <details><summary>6. Everything in your report is right. Why does the rubric still ask for a negative result?</summary>
#
# Because whoever tried several things and reports only those that helped has chosen by luck, at least in part. A reader needs to know how many tries there were.
# </details>

# %% [markdown]
# ## 16 · Exercises and where next
#
# [The exercises](exercises/capstone.ipynb): five faults of a report, *is the gain real?*, the limits of a card from a table of errors, two in PyTorch (labels for the re-test, one knob at a time), and an open challenge: intervals that are narrow *and* true.
#
# **Where next:** your project. `mmcourse capstone new` is the first command, the proposal the first page. · **Back to:** [evaluate](evaluate.ipynb), [multimodal_data](multimodal_data.ipynb), [deploy](deploy.ipynb), [start_here](start_here.ipynb).
#
# ## Sources
# Kapoor and Narayanan 2023, *Patterns* 4 (leakage and the reproducibility crisis) · Gebru et al. 2018, arXiv 1803.09010 (datasheets) · Mitchell et al. 2019, arXiv 1810.03993 (model cards) · Ribeiro et al. 2020, arXiv 2005.04118 (CheckList) · Breck et al. 2017 (the ML test score) · Lones 2021, arXiv 2108.02497 (pitfalls) ·
# Liang and Zeger 1986, *Biometrika* 73 (clustered data) · Cumming and Maillardet 2006, *Psychological Methods* 11 (where the next mean falls) · Gneiting and Raftery 2007, *JASA* 102 (interval scores, in the challenge). The hotline and everybody who calls it are drawn from a table; nobody in it is real.
