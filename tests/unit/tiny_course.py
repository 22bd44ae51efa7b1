"""A course of one small lesson with exercises, for tests of the build."""

from pathlib import Path

LESSON = """\
# %% [markdown]
# # Tiny
#
# A promise.
#
# {{budget}}

# %%
import json
import time

from mmcourse import plot
from mmcourse.evaluate import expect_within

# %% [markdown]
# Two numbers.

# %%
print(1)
print(2)

# %% tags=["free"]
from tqdm.auto import tqdm

for _ in tqdm(range(3)):
    time.sleep(0.01)
print(time.time())

# %% tags=["hide-input"]
expect_within("accuracy", 0.92, 0.93, 0.02)

# %%
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(2, 1))
ax.plot([0, 1])
plot.show(fig, alt="A line that rises from 0 to 1.")

# %% tags=["raises-exception"]
json.loads("{")

# %%
open("left_behind.txt", "w").write("not beside the notebook");
""" + "".join(f"\n# %% [markdown]\n# Step {n}.\n\n# %%\n{n} + 1\n" for n in range(17))

EXERCISES = '''\
from mmcourse.exercise import exercise, lesson, part, says

lesson(
    "tiny",
    promise="Three, twice.",
    setup="""
def check(number, answer):
    try:
        right = answer is not ... and (answer(1) if callable(answer) else answer) == 3
    except NotImplementedError:
        right = None
    print(number, "not attempted yet" if right is None or answer is ... else "passed" if right else "wrong")
""",
)


def three(n):
    """Three times n."""
    secret = 2
    return n * (secret + 1)


def draw(g):
    return (int(g.integers(1, 10_000_000)),)


KIND = {
    "points": 1,
    "difficulty": 1,
    "minutes": 1,
    "hints": ["Count.", "Write it."],
    "statement": [says("Three times `n`.", mistake="n itself")],
    "draw": draw,
    "parts": [part("a number"), part("another number")],
    "own": {},
    "mistakes": {"That is n itself.": lambda n: n},
}
STARTER = """
# BEGIN SOLUTION
# BLANK: answer = ...
secret = 1
answer = secret + 2
# END SOLUTION
"""


def answer(n):
    return 3 * n


exercise("tiny.1", three, title="Three as a function", **KIND)
exercise("tiny.2", answer, title="Three as a number", starter=STARTER, **KIND)
'''

MAP = """\
[[part]]
title = "Start"
lessons = [{ slug = "tiny", teaches = "how a lesson is built" }]
"""


def write(root: Path, lesson: str = LESSON, exercises: str | None = EXERCISES) -> Path:
    """Sources of the small course under ``root``; returns ``root``."""
    folder = root / "notebooks" / "src" / "tiny"
    folder.mkdir(parents=True, exist_ok=True)
    (root / "notebooks" / "map.toml").write_text(MAP, encoding="utf-8")
    (folder / "lesson.py").write_text(lesson, encoding="utf-8")
    if exercises:
        (folder / "exercises.py").write_text(exercises, encoding="utf-8")
    return root
