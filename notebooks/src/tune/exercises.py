"""One exercise on tuning: the number that may be reported after a search."""

import numpy as np

from mmcourse.exercise import between, context, edit, example, exercise, lesson, paragraph, part, right, says

lesson(
    "tune",
    promise="One short task: which number may be reported after a search?",
    setup="""
import numpy as np

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def report(validation, test):
    """Return setting, reported, flattered."""
    setting = validation.mean(axis=1).argmax()
    reported = test[setting].mean()
    flattered = validation[setting].mean() - reported
    return setting, reported, flattered


def one_run(validation, test, setting):
    """One run of a setting alone, the one that validation liked best."""
    seed = validation[setting].argmax()
    return setting, test[setting, seed], validation[setting, seed] - test[setting, seed]


def by_medians(validation, test):
    """Medians over seeds throughout."""
    scores, tests = np.median(validation, axis=1), np.median(test, axis=1)
    setting = scores.argmax()
    return setting, tests[setting], scores[setting] - tests[setting]


def draw_search(g, settings, seeds, luck=0.08):
    """Validation and test accuracies; no two settings tie for the best mean."""
    while True:
        level = g.uniform(0.5, 0.8, (settings, 1))
        validation, test = ((level + luck * g.normal(size=(settings, seeds))).round(3) for _ in range(2))
        means = np.sort(validation.mean(axis=1))
        if settings == 1 or means[-1] - means[-2] > 1e-3:
            return validation, test


search = exercise(
    "tune.1",
    report,
    title="Which number may be reported?",
    points=2,
    difficulty=2,
    minutes=10,
    statement=[
        context("A search tried several settings, each with several seeds."),
        says(
            "For every run there is a validation accuracy and a test accuracy, which nobody should have looked at yet.",
            mistake="You chose by the test set",
        ),
        context("The report names one setting and one number. Which?"),
        example("""
validation = np.array([[0.70, 0.72], [0.76, 0.74], [0.60, 0.78], [0.66, 0.70]])  # (settings, seeds)
test = np.array([[0.71, 0.70], [0.70, 0.72], [0.69, 0.73], [0.75, 0.73]])
print("mean validation accuracy of each setting:", validation.mean(axis=1).round(2))
"""),
        context(
            "Some candidates: 0.78, the best run; 0.74, the best setting on the test set; 0.75; 0.71. One of them is an "
            "honest forecast."
        ),
        paragraph(),
        says("**Write** `report(validation, test)`, both `(settings, seeds)`.", mistake="You averaged over settings"),
        context("No two settings tie for the best mean."),
        says(
            "Return three values: the number of the `setting` that a careful person chooses,", mistake="luckiest seed"
        ),
        says("the accuracy `reported` for it", mistake="You report the validation accuracy"),
        says("(a mean over seeds),", mistake="one seed of the right setting"),
        says(
            "and by how much the score that chose it had `flattered` it (validation minus test; negative if it had "
            "not).",
            mistake="the wrong sign",
        ),
    ],
    hints=[
        "What chooses cannot judge. Which of the two tables may choose? And one lucky seed should not decide.",
        "Mean over seeds is `axis=1`, the largest of these means gives the setting. In the example: setting 1, "
        "reported 0.71, flattered by 0.04.",
    ],
    draw=draw_search,
    parts=[
        part(
            "two small searches",
            public_only=True,
            inputs=[
                (
                    np.array([[0.70, 0.72], [0.76, 0.74], [0.60, 0.78], [0.66, 0.70]]),
                    np.array([[0.71, 0.70], [0.70, 0.72], [0.69, 0.73], [0.75, 0.73]]),
                ),
                (
                    np.array([[0.74, 0.74, 0.74], [0.70, 0.91, 0.70]]),
                    np.array([[0.75, 0.74, 0.73], [0.72, 0.71, 0.73]]),
                ),
            ],
        ),
        part("several seeds", weight=2, settings=between(2, 6), seeds=between(3, 6)),
        part("much luck", settings=8, seeds=3, luck=0.3),
        part("one seed", settings=between(3, 6), seeds=1),
        part("one setting", settings=1, seeds=between(2, 4)),
    ],
    own={"settings": 3, "seeds": 2},
    own_says="Validation and test accuracies of your own",
    mistakes={
        "You chose by the test set. What chooses cannot judge: choose by the mean validation accuracy.": (
            "setting = test.mean(axis=1).argmax()"
        ),
        "You report the best test accuracy of all settings. Report that of the one which validation chose.": [
            "reported = test.mean(axis=1).max()",
            lambda v, t: (report(v, t)[0], t.mean(axis=1).max(), report(v, t)[2]),
        ],
        "You chose the setting with the luckiest seed. Take the mean over seeds first, then the best setting.": (
            "setting = validation.max(axis=1).argmax()"
        ),
        "You chose the worst setting. Take the largest mean validation accuracy.": (
            "setting = validation.mean(axis=1).argmin()"
        ),
        "You chose the steadiest setting. Take the one with the largest mean.": (
            "setting = validation.std(axis=1).argmin()"
        ),
        "Your third value takes another validation score. What chose is the mean over seeds of the chosen setting.": [
            edit("validation[setting].mean() - reported", "validation[setting].max() - reported"),
            edit("validation[setting].mean() - reported", "validation.mean() - reported"),
            edit("validation[setting].mean() - reported", "validation.max() - reported"),
        ],
        "You chose by the median over seeds. The mean is asked for.": [
            "setting = np.median(validation, axis=1).argmax()",
            by_medians,
        ],
        "You report one lucky run. Choose by the mean over seeds, and report the mean over seeds.": (
            lambda v, t: one_run(v, t, v.max(axis=1).argmax())
        ),
        "You report one seed of the right setting. The number to report is the mean over seeds.": [
            lambda v, t: one_run(v, t, v.mean(axis=1).argmax()),
            "reported = test[setting, validation[setting].argmax()]",
            "reported = test[setting].max()",
            "reported = test[setting, 0]",
        ],
        "Your settings count from 1. The first row is setting 0, as `argmax` counts.": (
            "return setting + 1, reported, flattered"
        ),
        "You report the validation accuracy. It chose the winner, so it flatters it: report the test accuracy.": [
            "reported = validation[setting].mean()",
            lambda v, t: (report(v, t)[0], v.mean(axis=1).max(), report(v, t)[2]),
            lambda v, t: (report(v, t)[0], v.mean(axis=1).max(), -report(v, t)[2]),
            lambda v, t: (report(v, t)[0], v.max(), v.max() - report(v, t)[1]),
        ],
        "You averaged over settings. Rows are settings, columns are seeds: the mean over seeds is `axis=1`.": (
            "setting = validation.mean(axis=0).argmax()"
        ),
        "Your third value has the wrong sign: validation minus test, positive where validation promised too much.": (
            edit("validation[setting].mean() - reported", "reported - validation[setting].mean()")
        ),
        "You let the test set take part in the choice. What chooses cannot judge: choose by validation alone.": (
            "setting = (validation + test).mean(axis=1).argmax()"
        ),
        "Your third value is never negative. Keep its sign: below 0, validation promised too little.": (
            edit("validation[setting].mean() - reported", "abs(validation[setting].mean() - reported)")
        ),
    },
    praise="Chosen by validation, judged by the test set, once.",
    names=("setting", "reported", "flattered"),
)


@right(search)
def by_sorting(validation, test):
    setting = max(range(len(validation)), key=lambda k: sum(validation[k]))
    gaps = validation[setting] - test[setting]
    return setting, np.mean(test[setting]), gaps.mean()
