"""Training speed side by side in one run: `make bench` prints the table and draws the figure.

Each round starts every contestant once, each in a process of its own, in turn; what is compared is the median of the
rounds, and ratios are taken within a round, so that a slow minute of the machine hits all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from tqdm import tqdm

from benchmarks.contestants import CONTESTANTS, GOAL

HERE = Path(__file__).parent
RATIOS = [  # ours, against whom, and what we aim at
    ("ours", "Lightning", 1.3),
    ("ours", "Lightning, barebones", None),
    ("ours", "bare loop", 1.0),
    ("ours in Keras", "plain Keras fit", 1.0),
]


def run(name: str, epochs: int, threads: int) -> dict[str, float | None]:
    """One contestant's figures, from a fresh process."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TF_NUM_INTRAOP_THREADS": str(threads)}
    environment |= {"TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "benchmarks.contestants", name, str(epochs)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=HERE.parent)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def table(rounds: list[dict]) -> str:
    """Markdown: medians over the rounds, with the range of the speed."""
    lines = [
        "| | samples/s (range) | to 95 % of the ceiling | peak memory | waiting for data |",
        "|---|---|---|---|---|",
    ]
    for name in rounds[0]:
        runs = [r[name] for r in rounds]
        speed = [run["samples_per_second"] for run in runs]
        reached = [run["to_goal_s"] for run in runs]
        goal = "not reached" if None in reached else f"{median(reached):.1f} s"
        share = f"{100 * median(run['data_share'] for run in runs):.0f} %"
        memory = f"{median(run['peak_mb'] for run in runs):,.0f} MB"
        lines.append(
            f"| {name} | {median(speed):,.0f} ({min(speed):,.0f} to {max(speed):,.0f}) | {goal} | {memory} | {share} |"
        )
    return "\n".join(lines)


def ratios(rounds: list[dict]) -> list[tuple[str, float, float | None]]:
    """How much faster ours is, median over rounds, with what was aimed at."""
    found = []
    for mine, other, aim in RATIOS:
        if mine in rounds[0] and other in rounds[0]:
            pairs = [r[mine]["samples_per_second"] / r[other]["samples_per_second"] for r in rounds]
            found.append((f"{mine} / {other}", median(pairs), aim))
    return found


def draw(rounds: list[dict], path: Path) -> None:
    import matplotlib.pyplot as plt

    from mmcourse import plot

    names = list(rounds[0])
    speeds = [[r[name]["samples_per_second"] for r in rounds] for name in names]
    fig, ax = plt.subplots(figsize=(7, 0.5 * len(names) + 1))
    ax.set_title("How many samples a second does each loop train?")
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
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    names = [name for name in CONTESTANTS if "Lightning" not in name or find_spec("lightning")]
    if len(names) < len(CONTESTANTS):
        print("Lightning is not installed and left out: pip install -c constraints.txt -e '.[bench]'")
    rounds: list[dict] = []
    with tqdm(total=options.rounds * len(names), unit="run") as bar:
        for number in range(options.rounds):
            rounds.append({})
            for name in names[number % len(names) :] + names[: number % len(names)]:
                bar.set_description(name)
                rounds[-1][name] = run(name, options.epochs, options.threads)
                bar.update()
            rounds[-1] = {name: rounds[-1][name] for name in names}
    text = f"{platform.machine()}, {os.cpu_count()} cores, {options.threads} thread(s), {options.epochs} epochs, "
    text += f"{options.rounds} rounds; goal: test accuracy {GOAL:.3f}\n\n{table(rounds)}\n"
    for name, ratio, aim in ratios(rounds):
        text += f"\n- {name}: {ratio:.2f}" + (f" (aim: at least {aim})" if aim else "")
    print(text)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.json").write_text(json.dumps(rounds, indent=1) + "\n", encoding="utf-8")
    (options.out / "results.md").write_text(text + "\n", encoding="utf-8")
    draw(rounds, options.out / "results.png")


if __name__ == "__main__":
    main()
