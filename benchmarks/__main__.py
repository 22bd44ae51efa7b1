"""Training speed side by side in one run: `make bench` prints the table and draws the figure.

Each round starts every contestant once, each in a process of its own, in turn, all from the round's seed. Ratios are
taken within a round, so that a slow minute of the machine hits all alike; over the rounds they get Student's interval.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, median, stdev

from tqdm import tqdm

from benchmarks.contestants import CONTESTANTS, GOAL

HERE = Path(__file__).parent
PAIRS = [  # ours, against whom, and how many times as fast we aim to be
    ("ours", "Lightning", 1.3),
    ("ours", "Lightning, barebones", None),
    ("ours", "bare loop, fused", 1.0),
    ("ours", "bare loop", None),
    ("ours in Keras", "plain Keras fit", 1.0),
    ("model alone", "ours", None),
    ("model alone", "Lightning", None),
]
# Whose schedule is whose: these train the same weights with the same updates, and differ in time only.
RECIPES = {
    "ours": ("ours", "ours, compiled", "model alone"),
    "bare loop, fused": ("bare loop, fused", "bare loop", "Lightning", "Lightning, barebones"),
    "ours in Keras": ("ours in Keras",),
    "plain Keras fit": ("plain Keras fit",),
}
GRID = [(epochs, rate) for epochs in (4, 6) for rate in (5e-3, 1e-2, 2e-2)]
TUNING_SEEDS = (100, 101, 102)  # rounds have the seeds 0, 1, …


def run(name: str, epochs: int, rate: float, seed: int, threads: int) -> dict[str, float | None]:
    """One contestant's figures, from a fresh process."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TF_NUM_INTRAOP_THREADS": str(threads)}
    environment |= {"TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "benchmarks.contestants", name, str(epochs), str(rate), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=HERE.parent)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


# ---------------------------------------------------------------- schedules, on the same number of trials
def tune(threads: int, path: Path) -> None:
    """Write the number of epochs and the rate with which each recipe reaches the goal after the fewest epochs."""
    found: dict[str, dict] = {}
    with tqdm(total=len(RECIPES) * len(GRID) * len(TUNING_SEEDS), unit="run") as bar:
        for recipe in RECIPES:
            trials = []
            for epochs, rate in GRID:
                needed = []
                for seed in TUNING_SEEDS:
                    needed.append(run(recipe, epochs, rate, seed, threads)["epochs_to_goal"])
                    bar.update()
                trials.append({"epochs": epochs, "rate": rate, "epochs_to_goal": needed})
            found[recipe] = {**min(trials, key=expected_epochs), "trials": trials}
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def expected_epochs(trial: dict) -> tuple[int, float]:
    """How often the goal was missed, then the mean epochs to it: the smaller the better."""
    reached = [needed for needed in trial["epochs_to_goal"] if needed is not None]
    return len(trial["epochs_to_goal"]) - len(reached), mean(reached) if reached else math.inf


def settings_of(name: str, tuned: dict) -> tuple[int, float]:
    """The epochs and the rate that a contestant's recipe was tuned to."""
    (recipe,) = [recipe for recipe, names in RECIPES.items() if name in names]
    return tuned[recipe]["epochs"], tuned[recipe]["rate"]


# ---------------------------------------------------------------- what is told
def interval(values: list[float]) -> tuple[float, float, float]:
    """Geometric mean of some ratios with its 95 % interval (Student's t on the logarithms)."""
    from scipy.stats import t

    logs = [math.log(value) for value in values]
    half = t.ppf(0.975, len(logs) - 1) * stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else math.inf
    return math.exp(mean(logs)), math.exp(mean(logs) - half), math.exp(mean(logs) + half)


def table(rounds: list[dict]) -> str:
    """Markdown: medians over the rounds, with the range of the speed."""
    lines = [
        "| | samples/s (range) | after the first epoch | to the goal, tuned | peak memory | waiting for data |",
        "|---|---|---|---|---|---|",
    ]
    for name in rounds[0]:
        runs = [r[name] for r in rounds]
        speed = [run["samples_per_second"] for run in runs]
        reached = [run["to_goal_s"] for run in runs if run["to_goal_s"] is not None]
        goal = f"{median(reached):.1f} s" if reached else "not reached"
        if name == "model alone":
            goal = "learns nothing"
        elif 0 < len(reached) < len(runs):
            goal += f" ({len(reached)} of {len(runs)} runs)"
        steady = median(run["after_first_epoch"] for run in runs)
        share = f"{100 * median(run['data_share'] for run in runs):.0f} %"
        memory = f"{median(run['peak_mb'] for run in runs):,.0f} MB"
        lines.append(
            f"| {name} | {median(speed):,.0f} ({min(speed):,.0f} to {max(speed):,.0f}) | {steady:,.0f} | {goal} "
            f"| {memory} | {share} |"
        )
    return "\n".join(lines)


def ratios(rounds: list[dict]) -> list[str]:
    """How many times as fast one is as the other, and how many times as long it takes to the goal; lines of text."""
    lines = []
    for one, other, aim in PAIRS:
        if {one, other} <= rounds[0].keys():
            speeds = [r[one]["samples_per_second"] / r[other]["samples_per_second"] for r in rounds]
            wanted = f"; aim: at least {aim}" if aim else ""
            lines.append(f"- speed, {one} / {other}: {in_words(speeds)}{wanted}")
            pairs = [(r[one]["to_goal_s"], r[other]["to_goal_s"]) for r in rounds]
            seconds = [a / b for a, b in pairs if a is not None and b is not None]
            if len(seconds) > 1:
                lines.append(f"- seconds to the goal, {one} / {other}: {in_words(seconds)}; {len(seconds)} rounds")
    return lines


def in_words(values: list[float]) -> str:
    """Mean and interval of ratios."""
    middle, low, high = interval(values)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def unquiet(rounds: list[dict]) -> str:
    """Why these rounds tell nothing about a quiet machine, or ''."""
    for name in rounds[0]:
        speed = [r[name]["after_first_epoch"] for r in rounds]
        if max(speed) > 1.25 * min(speed):
            return f"{name}: its fastest round is {max(speed) / min(speed):.2f} times its slowest"
    return ""


def busy(threads: int) -> str:
    """Why this machine is not quiet now, or ''."""
    if not hasattr(os, "getloadavg"):
        return ""
    load = os.getloadavg()[0]
    return f"{load:.1f} processes were running in the last minute" if load > 0.5 * threads else ""


def draw(rounds: list[dict], path: Path) -> None:
    import matplotlib.pyplot as plt

    from mmcourse import plot

    names = list(rounds[0])
    speeds = [[r[name]["samples_per_second"] for r in rounds] for name in names]
    fig, ax = plt.subplots(figsize=(7, 0.5 * len(names) + 1))
    ax.set_title("How many samples per second does each loop train?")
    for y, values in enumerate(speeds):
        color = plot.BLUE if names[y].startswith("ours") else plot.GRAY
        ax.barh(y, median(values), color=color)
        ax.plot(values, [y] * len(values), "k|", markersize=12)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlabel("samples/s; bar: median, marks: single rounds")
    fig.savefig(path, dpi=120, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--tune", action="store_true", help="only look for each recipe's best schedule (tuned.json)")
    parser.add_argument("--busy", action="store_true", help="measure although the machine does other things")
    parser.add_argument("--only", nargs="*", help="some contestants, by name; nothing is written")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.tune:
        tune(options.threads, options.out / "tuned.json")
        return
    if (why := busy(options.threads)) and not options.busy:
        raise SystemExit(f"The machine is not quiet: {why}. Wait for it, or say --busy (and do not keep the figures).")
    tuned = json.loads((HERE / "tuned.json").read_text(encoding="utf-8"))
    names = [name for name in options.only or CONTESTANTS if "Lightning" not in name or find_spec("lightning")]
    if not options.only:
        names.remove("ours, compiled")
        if not find_spec("lightning"):
            print("Lightning is not installed and left out: pip install -c constraints.txt -e '.[bench]'")
    rounds: list[dict] = []
    with tqdm(total=options.rounds * len(names), unit="run") as bar:
        for number in range(options.rounds):
            done = {}
            for name in names[number % len(names) :] + names[: number % len(names)]:
                bar.set_description(name)
                epochs, rate = settings_of(name, tuned)
                done[name] = run(name, epochs, rate, number, options.threads)
                bar.update()
            rounds.append({name: done[name] for name in names})
    where = f"{platform.machine()}, {os.cpu_count()} cores, {options.threads} thread(s), {options.rounds} rounds"
    goal = f"goal: 95 % of the ceiling, test accuracy {GOAL:.3f}"
    text = "\n".join([f"{where}; {goal}", "", table(rounds), "", *ratios(rounds), ""])
    print(text)
    if (why := unquiet(rounds)) and not options.busy:
        raise SystemExit(f"Not written, the machine was not quiet: {why}. Repeat it, or say --busy.")
    if not options.only:
        (options.out / "results.json").write_text(json.dumps(rounds, indent=1) + "\n", encoding="utf-8")
        (options.out / "results.md").write_text(text, encoding="utf-8")
        draw(rounds, options.out / "results.png")


if __name__ == "__main__":
    main()
