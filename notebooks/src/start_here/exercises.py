"""Blanks and exercises of the first lesson: accuracy, a baseline, joined vectors; a ceiling, late fusion, a gain."""

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.exercise import between, context, edit, example, exercise, in_turn, lesson, paragraph, part, right, says


# ---------------------------------------------------------------- blanks of the lesson
@blank(
    "start_here.blank.1",
    title="Accuracy",
    inputs=[
        (np.array([0, 2, 1, 1, 0]), np.array([0, 2, 2, 0, 1])),
        (np.array([1, 0]), np.array([1, 0])),
        (np.array([2, 2, 0, 1, 0]), np.array([1, 0, 0, 0, 2])),
    ],
    mistakes=[
        (
            lambda predicted, labels: (predicted == labels).sum(),
            "That is how many are right. Divide by how many there are.",
        ),
        (
            lambda predicted, labels: 100 * (predicted == labels).mean(),
            "That is a percentage. Accuracy here is a share between 0 and 1.",
        ),
        (
            lambda predicted, labels: (predicted != labels).mean(),
            "That is the share of wrong answers. Compare with `==`.",
        ),
    ],
)
def accuracy(predicted, labels):
    return (predicted == labels).mean()


@blank(
    "start_here.blank.2",
    title="The majority-class baseline",
    inputs=[
        (np.array([0, 2, 2, 1, 2]),),
        (np.array([1, 1]),),
        (np.array([0, 1, 0, 1, 1, 0, 0]),),
        (np.array([4, 4, 0, 1, 2, 3]),),
    ],
    mistakes=[
        (
            lambda labels: np.bincount(labels).max(),
            "That is how many messages the most frequent class has. Divide by how many there are in all.",
        ),
        (
            lambda labels: 1 / len(np.unique(labels)),
            "That is chance, 1 / number of classes. The baseline always names the most frequent class.",
        ),
        (
            lambda labels: np.bincount(labels).argmax(),
            "`argmax` says which class is the most frequent, not how frequent it is.",
        ),
    ],
)
def majority_baseline(labels):
    return np.bincount(labels).max() / len(labels)


def _three_vectors(b, widths=(2, 2, 2)):
    g = np.random.default_rng(b)
    return tuple(g.integers(-3, 4, (b, width)).astype(float) for width in widths)


@blank(
    "start_here.blank.3",
    title="Joining three vectors end to end",
    inputs=[_three_vectors(1), _three_vectors(4), _three_vectors(2, (3, 1, 2))],
    mistakes=[
        (
            lambda face, voice, words: np.concatenate([face, voice, words], axis=0),
            "You put them below one another. Each message should keep its row: join along axis 1.",
        ),
        (
            lambda face, voice, words: np.concatenate([words, voice, face], axis=1),
            "The order should be face, voice, words.",
        ),
        (
            lambda face, voice, words: face + voice + words,
            "You added them up, which mixes their numbers. Join them end to end.",
        ),
    ],
)
def join(face, voice, words):
    return np.concatenate([face, voice, words], axis=1)


# ---------------------------------------------------------------- exercises
lesson(
    "start_here",
    promise="Three short tasks on what a model can reach, how three opinions become one, and when a gain is worth "
    "having.",
    setup="""
import numpy as np

from mmcourse.check import check

# factor t of a 95 % interval, by the number of runs
T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571}
T95 |= {7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
""",
)

# As in the learner's first cell: Student's t at 0.975 with n - 1 degrees of freedom, which a test compares with SciPy.
T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


# ---------------------------------------------------------------- 1
def bayes_accuracy(joint):
    """Best accuracy from the cue alone; joint is (moods, cues)."""
    best = joint.max(axis=0)  # (cues,)
    return best.sum()


def draw_joint(g, labels, cues):
    return (g.dirichlet(np.ones(labels * cues)).reshape(labels, cues),)


def draw_joint_with_an_unseen_cue(g, labels, cues):
    """One column is all zeros."""
    (joint,) = draw_joint(g, labels, cues)
    joint[:, g.integers(cues)] = 0
    return (joint / joint.sum(),)


def draw_own_joint(g):
    return (g.multinomial(100, np.ones(6) / 6).reshape(2, 3) / 100,)


ceiling = exercise(
    "start_here.1",
    bayes_accuracy,
    title="The best accuracy there is",
    points=1,
    difficulty=1,
    minutes=5,
    statement=[
        context("A model sees one cue `x`, say a frown or a smile, and names a mood `y`."),
        says(
            "The table `joint[y, x]` holds the probability of each pair, and all its cells sum to 1.",
            mistake="as if all cues were equally frequent",
        ),
        says("How often can the best possible model be right?", mistake="naming the commonest label"),
        paragraph(),
        context("**Example.** Two moods (rows) and two faces (columns)."),
        example("""
small = np.array(
    [
        [0.4, 0.1],  # sad:   frown, smile
        [0.2, 0.3],  # happy: frown, smile
    ]
)
print("p(frown), p(smile) =", small.sum(axis=0))
"""),
        context('At a frown the best answer is "sad", right in 0.4 of all cases.'),
        says('At a smile it is "happy", right in another 0.3. Together: 0.7.', mistake="single largest cell"),
        context("This number is the **Bayes accuracy**, the ceiling of every model that sees only the face."),
        paragraph(),
        says(
            "**Write** `bayes_accuracy(joint)` for a table with any number of moods and cues.",
            mistake="as many columns as there are labels",
        ),
        says(
            "A cue that never occurs has a column of zeros, and adds nothing.",
            mistake="A cue that never occurs gives 0/0",
        ),
        says("Return one number.", mistake="The accuracy over all cues is their sum"),
    ],
    hints=[
        "For each cue, which mood do you name? Point at that cell in every column of the example.",
        "You need one number per column, and then one number in all. Which way does `axis=0` run? Does each cue need a "
        "weight, or does the table hold it already?",
    ],
    draw=draw_joint,
    parts=[
        part("more cues than labels", labels=2, cues=between(3, 5)),
        part("more labels than cues", labels=between(5, 7), cues=between(2, 4)),
        part("as many labels as cues", labels=3, cues=3),
        part(
            "a cue that never occurs",
            draw=draw_joint_with_an_unseen_cue,
            labels=between(2, 5),
            cues=between(2, 5),
        ),
        part("a single cue", labels=between(2, 6), cues=1),
        part("a single label", labels=1, cues=between(2, 6)),
    ],
    own=draw_own_joint,
    mistakes={
        "You took the largest value of each row. For one cue x the choice is among labels y: look down each column.": (
            "best = joint.max(axis=1)"
        ),
        "You have p(best label, x) for each cue x. The accuracy over all cues is their sum.": "return best",
        "You divided by the number of cues. The table is joint: each cue already counts by how often it comes.": (
            "return best.mean()"
        ),
        "You compared only two labels. The table may have more rows: take the largest of each whole column.": (
            "best = joint[:2].max(axis=0)"
        ),
        "That is the accuracy of always naming the commonest label. It never looks at the cue x.": (
            "return joint.sum(axis=1).max()"
        ),
        "`argmax` gives positions, not probabilities. Take the largest values themselves.": (
            "best = joint.argmax(axis=0)"
        ),
        "You used only as many columns as there are labels. Every cue x counts, so take one maximum from each column.": [
            "best = joint[:, : len(joint)].max(axis=0)",
            "best = joint[:, :2].max(axis=0)",
        ],
        "You took the smallest of each column: the *best* answer is the largest.": "best = joint.min(axis=0)",
        "That is how often the best model is wrong. How often is it right?": "return 1 - best.sum()",
        "That is the single largest cell. Each cue x has a best label of its own: one maximum per column, then the "
        "sum.": "return joint.max()",
        "You averaged p(y given x) as if all cues were equally frequent. Weigh each by p(x), or keep the joint table.": (
            "return (joint / joint.sum(axis=0)).max(axis=0).mean()"
        ),
        "You summed p(y given x) over cues, which can pass 1. Weigh each by p(x), or keep the joint table.": (
            "return (joint / joint.sum(axis=0)).max(axis=0).sum()"
        ),
        "A cue that never occurs gives 0/0, which is NaN. It adds nothing: the table holds each cue's weight already.": (
            "return (joint.sum(axis=0) * (joint / joint.sum(axis=0)).max(axis=0)).sum()"
        ),
    },
    praise="No model that sees only x beats this number, whatever its size.",
)


@right(ceiling)
def ceiling_by_loops(joint):
    total = 0.0
    for column in joint.T:
        total += max(column)
    return total


@right(ceiling)
def ceiling_by_conditionals(joint):
    p_x = joint.sum(axis=0)
    occurs = p_x > 0
    return (p_x[occurs] * (joint[:, occurs] / p_x[occurs]).max(axis=0)).sum()


# ---------------------------------------------------------------- 2
def late_fusion(p_words, p_voice, p_face, prior):
    """Fuse three posteriors (b, 3), the prior (3,) counted once."""
    product = p_words * p_voice * p_face  # (b, 3)
    fused = product / prior**2
    return fused / fused.sum(axis=1, keepdims=True)


def draw_people(g, b):
    posteriors = [g.dirichlet(np.full(3, 2.0), b) for _ in range(3)]
    return *posteriors, g.dirichlet(np.full(3, 4.0))


def draw_own_person(g):
    return *g.multinomial(100, [0.4, 0.3, 0.3], (3, 1)) / 100, np.array([0.5, 0.3, 0.2])


fusion = exercise(
    "start_here.2",
    late_fusion,
    title="Late fusion with the prior counted once",
    points=2,
    difficulty=2,
    minutes=10,
    statement=[
        context("Twenty people, counted by mood, words and face:"),
        example("""
sad = np.array([[3, 3], [1, 1]])  # rows: unkind, kind words; columns: frown, smile
happy = np.array([[1, 3], [2, 6]])
counts = np.array([sad, happy])  # (mood, words, face)
prior = counts.sum(axis=(1, 2)) / 20
by_words = counts[:, 0].sum(axis=1) / counts[:, 0].sum()
by_face = counts[:, :, 0].sum(axis=1) / counts[:, :, 0].sum()
print("moods of all people, p(y):           ", prior)
print("moods behind unkind words, p(y | x1):", by_words)
print("moods behind a frown, p(y | x2):     ", by_face.round(3))
print("moods behind both, counted:          ", counts[:, 0, 0] / counts[:, 0, 0].sum())
"""),
        context(
            "Read $p(y \\mid x)$ as: of the people with the cue $x$, the share with mood $y$. The last line looks at both "
            "cues at once. Can you get it from the lines above, without the table? Yes, *if* the cues are **independent "
            "once the mood is known**: among sad people those who frown are no more often unkind than the others (3 : 1 "
            "in both columns), and the same among happy ones (1 : 2). Then multiply and divide:"
        ),
        example("""
product = by_words * by_face / prior
print("product", product.round(3), "-> scaled to sum 1", product / product.sum())
"""),
        context("Two mild opinions that agree made a firmer one: 0.6 and 0.57 became 0.75, as counted."),
        paragraph(),
        context(
            "Now three models look at the same person: one reads the words, one hears the voice, one sees the face."
        ),
        says("Each gives probabilities of the three moods.", mistake="average of the posteriors"),
        context(
            "If the cues are independent once the mood is known (with sarcasm they are not, as the lesson shows), then"
        ),
        says(
            r"$$p(y \mid x_1, x_2, x_3) \;\propto\; \frac{p(y \mid x_1)\, p(y \mid x_2)\, p(y \mid x_3)}{p(y)^2}$$",
            mistake="You multiplied by the prior",
        ),
        context("Each factor on top contains the **prior** $p(y)$, how common the mood is before anyone looks."),
        says("It should count once, so two of the three are divided out.", mistake="divided by the prior once"),
        says(
            r"The sign $\propto$ means: scale afterwards, so that the moods sum to 1.",
            mistake="do not sum to 1. Divide",
        ),
        paragraph(),
        says(
            "**Write** `late_fusion(p_words, p_voice, p_face, prior)`. The first three are `(b, 3)`: one row for each "
            "of `b` people. `prior` is `(3,)`.",
            mistake="you normalized over the batch",
        ),
        says(
            "Return probabilities `(b, 3)`,",
            ignored="return (fused / fused.sum(axis=1, keepdims=True)).argmax(axis=1)",
        ),
        says(
            "and leave the inputs as they are.",
            ignored=edit("product = p_words * p_voice", "p_words *= p_voice\n    product = p_words"),
        ),
    ],
    hints=[
        "Multiply the three arrays element by element. How many times is the prior inside that product, and how many "
        "times should it be? NumPy lays `prior` of shape `(3,)` along every row by itself.",
        "Each row must sum to 1 in the end. A sum over `axis=1` has shape `(b,)`; with `keepdims=True` it stays a column "
        "`(b, 1)`, which NumPy lays along the rows.",
    ],
    draw=draw_people,
    parts=[
        part("two people", b=2),
        part("one person", b=1),
        part("three people", b=3),
        part("many people", weight=2, b=between(4, 11)),
    ],
    constant={"prior": "there are three moods, so its size stays; its values vary"},
    own=draw_own_person,
    mistakes={
        "You multiplied the posteriors and forgot the prior. Each of the three contains it, so it was counted three "
        "times.": "fused = product",
        "You divided by the prior once. Three posteriors hold it three times and it should stay once: divide twice.": (
            "fused = product / prior"
        ),
        "You divided by the prior three times, so no prior is left. One of the three must stay: divide twice.": (
            "fused = product / prior**3"
        ),
        "You multiplied by the prior. Posteriors contain it already: divide, by its square.": [
            "fused = product * prior",
            "fused = product * prior**2",
        ],
        "You took a softmax of products. They are no scores: divide each row by its own sum.": (
            "return np.exp(fused) / np.exp(fused).sum(axis=1, keepdims=True)"
        ),
        "You divided each row by its largest. Probabilities sum to 1: divide by the row's sum.": (
            "return fused / fused.max(axis=1, keepdims=True)"
        ),
        "The products are right but do not sum to 1. Divide each row by its own sum.": "return fused",
        "You multiplied the posteriors and stopped there: divide by the prior twice, then each row by its sum.": (
            "return product"
        ),
        "Columns sum to 1, rows do not: you normalized over the batch. A sample's probabilities lie along `axis=1`.": (
            "return fused / fused.sum(axis=0)"
        ),
        "All cells together sum to 1, rows do not. Divide each row by its own sum.": "return fused / fused.sum()",
        "That is the average of the posteriors. It never gets surer than its surest part; independent cues multiply.": (
            "return (p_words + p_voice + p_face) / 3"
        ),
        "These are log-probabilities up to a constant. Take `np.exp`, then divide each row by its sum.": (
            "return np.log(fused)"
        ),
    },
    praise="The prior is counted once, and each row is a probability distribution.",
)


@right(fusion)
def fused_in_logs(p_words, p_voice, p_face, prior):
    scores = np.log(p_words) + np.log(p_voice) + np.log(p_face) - 2 * np.log(prior)
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@right(fusion)
def fused_by_likelihoods(p_words, p_voice, p_face, prior):
    fused = prior * (p_words / prior) * (p_voice / prior) * (p_face / prior)
    return (fused.T / fused.sum(axis=1)).T


# ---------------------------------------------------------------- 3
def worth_it(single, fused, ceiling):
    """Return gain in points, share of the gap closed, supported."""
    difference = fused - single  # (s,)
    gain = difference.mean()
    gap = ceiling - single.mean()
    supported = False
    if len(single) > 1:
        error = difference.std(ddof=1) / np.sqrt(len(single))
        t = T95[len(single)]
        supported = gain > t * error
    return 100 * gain, gain / gap, supported


def draw_runs(g, seeds, lift, luck=0.03, noise=0.02):
    """Runs of two models that share their seeds: each seed lifts or lowers both."""
    together = g.normal(0, luck, seeds)
    single = g.uniform(0.5, 0.7) + together
    fused = single + lift * 0.03 + g.normal(0, noise, seeds)
    return single.round(4), fused.round(4), round(g.uniform(0.85, 0.98), 3)


def draw_gain(g, errors_and_seeds):
    """Runs whose mean gain is so many standard errors above zero, from so many seeds."""
    errors, seeds = errors_and_seeds
    spread = g.normal(0, 0.02, seeds)
    error = spread.std(ddof=1) / np.sqrt(seeds)
    fused = 0.7 + spread - spread.mean() + errors * error
    return np.full(seeds, 0.7), fused.round(6), round(g.uniform(0.85, 0.98), 3)


def draw_equal(g):
    """Two models whose runs are equal: a gain of exactly 0, and no spread."""
    single = g.integers(32, 44, g.integers(3, 6)) / 64
    return single, single.copy(), 0.875


# (standard errors, seeds): t is 2.306 for nine seeds, 4.303 for three, 12.706 for two
CLOSE = [(5, 9), (3.5, 9), (2.7, 9), (2.4, 9), (2.33, 9), (4.8, 3)]  # supported
CLOSE += [(0.8, 9), (1.2, 9), (1.7, 9), (1.98, 9), (2.1, 9), (2.28, 9), (2.2, 9), (3.8, 3), (2.9, 3)]  # not supported

worth = exercise(
    "start_here.3",
    worth_it,
    title="Is the gain worth having?",
    points=3,
    difficulty=2,
    minutes=12,
    statement=[
        context('"Fusion gives 81 %, words alone 70 %" says little by itself. Three questions make it a claim:'),
        paragraph(),
        says("- **gain**: how many percentage points between the mean accuracies?", mistake="compares the best seeds"),
        says("From 0.70 to 0.81 is 11 points.", mistake="Your gain is a fraction"),
        says(
            "\n- **share**: which part of the gap between the single model and the *ceiling* was closed?",
            mistake="divides by the gap to 1",
        ),
        says(
            "\n- **supported**: does the 95 % interval of the mean gain lie above zero, so is the mean *more* than $t$ "
            "standard errors?",
            mistake="No gain and no spread",
        ),
        paragraph(),
        says(
            "Both models ran with the same seeds, so run 1 belongs with run 1. Take the difference of each pair.",
            mistake="treated the runs as unpaired",
        ),
        says(
            "The standard error is the standard deviation of these $s$ differences (with $s-1$ in it: `ddof=1`) over "
            r"$\sqrt{s}$.",
            mistake="Your spread divides by s",
        ),
        says("One seed alone shows no spread, so it supports nothing.", mistake="gain of a single seed"),
        says(
            "$t$ comes from Student's distribution. It depends on the number of runs, and stands in the table `T95` of the "
            "first cell: `T95[5]` is 2.776.",
            mistake="It seems that you take two standard errors",
        ),
        example("""
words_only, with_fusion = np.array([0.60, 0.64]), np.array([0.70, 0.72])
difference = with_fusion - words_only
error = difference.std(ddof=1) / np.sqrt(2)
print("differences", difference.round(2), "mean", difference.mean().round(3))
print("standard error", error.round(3), "times t =", T95[2], "is", (T95[2] * error).round(3))
"""),
        context(
            "Here the means are 0.62 and 0.71: a gain of 9 points. With a ceiling of 0.92 the gap was 0.30, and 0.09 of it "
            "was closed: a share of 0.3. But the interval is 0.09 ± 0.127 and holds 0: *not* supported, although 0.09 is "
            "nine standard errors. Two runs say too little about their own spread. (Whoever always takes 2 in place of $t$ "
            "finds a gain where there is none in 15 of 100 cases with two seeds.)"
        ),
        paragraph(),
        context(
            "**Write** `worth_it(single, fused, ceiling)`. `single` and `fused` are `(s,)` accuracies between 0 and 1, "
            "paired by seed."
        ),
        says(
            "Return three values: `gain` in points, `share`, and `supported` as True or False.",
            ignored="return 100 * gain, gain / gap",
        ),
    ],
    hints=[
        "Everything follows from `difference = fused - single`. Its mean is the gain as a fraction. The gap does not end "
        "at 1.",
        "What happens in your code when there is a single run? And when fusion loses in every run: is a sure loss a gain?",
    ],
    draw=draw_runs,
    names=("gain", "share", "supported"),
    parts=[
        part("clear gain", seeds=between(3, 8), lift=4),
        part("loss", seeds=between(3, 8), lift=-4),
        part("seeds that move both models", seeds=between(4, 6), lift=1, luck=0.09, noise=0.004),
        part("close to t standard errors", weight=2, draw=draw_gain, errors_and_seeds=in_turn(*CLOSE)),
        part("equal models", draw=draw_equal),
        part("two seeds", draw=draw_gain, errors_and_seeds=in_turn((20, 2), (6, 2))),
        part("a single seed", seeds=1, lift=in_turn(4, -4)),
    ],
    own={"seeds": 4, "lift": 1},
    mistakes={
        "You call the gain of a single seed supported. One run shows no spread, so it supports no claim.": edit(
            "supported = False", "supported = len(single) == 1"
        ),
        "Your gain is relative (percent of the single model's accuracy). Points are the plain difference, times 100.": edit(
            "return 100 * gain", "return 100 * (fused.mean() / single.mean() - 1)"
        ),
        "Your gain is a fraction. One percentage point is 0.01: multiply by 100.": edit(
            "return 100 * gain", "return gain"
        ),
        "Your gain compares the best seeds. The luckiest run is no measure: compare the means over seeds.": edit(
            "return 100 * gain", "return 100 * (fused.max() - single.max())"
        ),
        "Your gain is that of the luckiest seed. One pair of runs is no measure: compare the means over seeds.": edit(
            "return 100 * gain", "return 100 * difference.max()"
        ),
        "Your share divides by the gap to 1. Nobody can reach 1 here: the gap that can be closed ends at the ceiling.": edit(
            "gain / gap", "gain / (1 - single.mean())"
        ),
        "Your share divides by the gap from the fused model to the ceiling. The gap is that of the *single* model: fusion "
        "closed a part of it.": edit("gain / gap", "gain / (ceiling - fused.mean())"),
        "Your share has no gain in it: it is the gap that was there, or what is left of it. Divide the gain by the gap.": [
            edit("gain / gap", "gap"),
            edit("gain / gap", "1 - gain / gap"),
        ],
        "One seed alone supports nothing, but its gain and share are there all the same: compute them too.": edit(
            "return 100 * gain, gain / gap, supported",
            "return (100 * gain, gain / gap, supported) if len(single) > 1 else (0.0, 0.0, False)",
        ),
        "Your share is accuracy over ceiling. It should say how much of the gap from single model to ceiling was "
        "closed.": edit("gain / gap", "fused.mean() / ceiling"),
        "You call a loss supported: the size of the difference counts only if its sign says that fusion helps.": edit(
            "gain > t", "abs(gain) > t"
        ),
        "You used the standard deviation. The standard error of a mean over s seeds is smaller by the root of s.": edit(
            " / np.sqrt(len(single))", ""
        ),
        "You treated the runs as unpaired. Both models share each seed: take the differences first, then their "
        "spread.": edit("difference.std(ddof=1)", "np.sqrt(single.var(ddof=1) + fused.var(ddof=1))"),
        "Your spread divides by s. From few seeds that is too small: divide by s - 1, which is `ddof=1`.": edit(
            "(ddof=1)", "()"
        ),
        "You call every positive gain supported. Ask whether it is more than t standard errors above zero.": edit(
            "gain > t * error", "gain > 0"
        ),
        "You call the gain of two seeds unsupported. Two differences do have a spread: only one seed has none.": edit(
            "> 1:", "> 2:"
        ),
        "Your standard error is too small: divide the standard deviation by the root of s, not by s itself.": edit(
            "np.sqrt(len(single))", "len(single)"
        ),
        "You took off 1 twice. It belongs in the standard deviation (`ddof=1`); then divide by the root of s.": edit(
            "len(single))", "(len(single) - 1))"
        ),
        "No gain and no spread: equal models support nothing. The mean must be more than t standard errors: use `>`.": edit(
            "gain > t", "gain >= t"
        ),
        "You look up t for one run too many: `T95` is by the number of runs.": edit(
            "T95[len(single)]", "T95[len(single) + 1]"
        ),
        "It seems that you take two standard errors. For few runs that is too little: take t from `T95`.": edit(
            "t * error", "2 * error"
        ),
    }
    | {
        f"You compare the mean gain with {k:g} standard error{'s' * (k > 1)}, it seems. Take t from `T95`.": edit(
            "t * error", f"{k} * error"
        )
        for k in (1, 1.5, 1.96, 2.5, 3)
    },
    praise="Points, a share of what was possible, and a claim that the seeds can carry.",
)


@right(worth)
def worth_by_loops(single, fused, ceiling):
    n = len(single)
    differences = [after - before for before, after in zip(single, fused, strict=True)]
    mean = sum(differences) / n
    share = mean / (ceiling - sum(single) / n)
    if n < 2:
        return 100 * mean, share, False
    variance = sum((d - mean) ** 2 for d in differences) / (n - 1)
    return 100 * mean, share, mean > T95[n] * (variance / n) ** 0.5


@right(worth)
def worth_by_t(single, fused, ceiling):
    difference = np.asarray(fused) - single
    gain = np.mean(difference)
    if difference.size == 1:
        return [gain * 100, gain / (ceiling - np.mean(single)), False]
    noise = np.sqrt(difference.var(ddof=1) / difference.size)
    return [gain * 100, gain / (ceiling - np.mean(single)), gain / T95[difference.size] > noise]
