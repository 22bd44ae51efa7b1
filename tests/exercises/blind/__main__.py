"""How well the checks judge answers that their author did not write: ``python -m tests.exercises.blind``.

Each ``hand_*.jsonl`` holds the answers of one hand, who saw the students' notebooks only: for each exercise one right
answer and three wrong ones, each with one mistake, named in `intended`. ``marks.json`` holds what another reading says
of each message to a wrong answer: "names" the mistake, "helps" (true, and points at it), "plain" (true, no more) or
"misleads". ``marks_before.json``, never changed, holds the same of the messages before any was mended because of these
answers: it alone says what an answer meets that nobody has seen before.

The command judges all of them anew and prints rates with 95 % Wilson intervals; ``--write FILE`` also stores every
verdict, for the reading; ``--exercise fusion`` judges one lesson or exercise.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
MARKS, FIRST_MARKS = HERE / "marks.json", HERE / "marks_before.json"
SECONDS = 120  # for one answer, training ones included
RENAMED = {"attention.3": ("who_mattered", "word_contributions")}  # the same question: old and new name of the answer


def answers() -> list[dict]:
    """Every blind answer, with its key "hand_a:17" (file and line)."""
    found = []
    for path in sorted(HERE.glob("hand_*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            answer = json.loads(line)
            found.append({**answer, "key": f"{path.stem}:{number}"})
    return found


def judged(lesson: str) -> list[dict]:
    """Judge one lesson's answers, in this process: {key, status, message}."""
    from mmcourse.check import judge

    given, called = _notebook(lesson)
    results = []
    for answer in answers():
        if answer["exercise"].partition(".")[0] != lesson:
            continue
        namespace: dict = {"__name__": "__main__"}
        start = time.monotonic()
        try:
            with _limit(SECONDS):
                with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                    exec(given, namespace)
                exec(answer["code"], namespace)
                old, new = RENAMED.get(answer["exercise"], ("", ""))
                if old in namespace:
                    namespace[new] = namespace[old]
                verdict = judge(answer["exercise"], eval(called[answer["exercise"]], namespace))
            status, message = verdict.status, verdict.message
        except TimeoutError:
            status, message = "wrong", f"stopped after {SECONDS} s"
        except Exception as error:  # the answer's own cell fails, so there is nothing to hand in
            status, message = "wrong", f"the answer's cell fails: {type(error).__name__}: {error}"
        seconds = round(time.monotonic() - start, 1)
        results.append({"key": answer["key"], "status": status, "message": message, "seconds": seconds})
    return results


class _limit:
    def __init__(self, seconds: int) -> None:
        self.seconds = seconds

    def __enter__(self) -> None:
        def stop(*_: object) -> None:
            raise TimeoutError

        signal.signal(signal.SIGALRM, stop)
        signal.alarm(self.seconds)

    def __exit__(self, *_: object) -> None:
        signal.alarm(0)


def _notebook(lesson: str) -> tuple[str, dict[str, str]]:
    """The code that a lesson's blank exercises give (imports, examples), and what each check is called with."""
    from mmcourse.authoring import lessons

    path = next(found.exercise for found in lessons() if found.slug == lesson)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code" and not cell["metadata"]]
    given, called = [], {}
    for text in code:
        if text.startswith("check("):
            id, _, argument = text.removeprefix("check(").rstrip().removesuffix(")").partition(", ")
            called[id.strip("\"'")] = argument
        elif "your turn" not in text and not re.search(r"= \.\.\.$", text, re.MULTILINE):
            given.append(text)
    return "\n".join(given), called


def wilson(k: int, n: int) -> str:
    """k of n as a percentage with its 95 % Wilson interval."""
    if not n:
        return "–"
    z, p = 1.96, k / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * ((p * (1 - p) + z * z / (4 * n)) / n) ** 0.5 / (1 + z * z / n)
    return f"{k}/{n} = {100 * p:.1f} % [{100 * (middle - half):.1f}, {100 * (middle + half):.1f}]"


def table(results: list[dict]) -> str:
    """Markdown: rates of each hand and of all."""
    known = {answer["key"]: answer for answer in answers()}
    marks = json.loads(MARKS.read_text(encoding="utf-8")) if MARKS.is_file() else {}
    lines = [
        "| hand | right accepted | wrong rejected | message names or helps | message misleads |",
        "|---|---|---|---|---|",
    ]
    hands = sorted({key.partition(":")[0] for key in known})
    for hand in [*hands, "all"]:
        mine = [r for r in results if hand in ("all", r["key"].partition(":")[0])]
        right = [r for r in mine if known[r["key"]]["right"]]
        wrong = [r for r in mine if not known[r["key"]]["right"]]
        read = Counter(marks[r["key"]] for r in wrong if r["key"] in marks and r["status"] == "wrong")
        n = sum(read.values())
        accepted = wilson(sum(r["status"] == "passed" for r in right), len(right))
        rejected = wilson(sum(r["status"] == "wrong" for r in wrong), len(wrong))
        good = wilson(read["names"] + read["helps"], n)
        lines.append(f"| {hand} | {accepted} | {rejected} | {good} | {wilson(read['misleads'], n)} |")
    return "\n".join([*lines, *_first_reading()])


def _first_reading() -> list[str]:
    """What the marks were before messages were mended."""
    if not FIRST_MARKS.is_file():
        return []
    read = Counter(json.loads(FIRST_MARKS.read_text(encoding="utf-8")).values())
    n, good = sum(read.values()), read["names"] + read["helps"]
    return ["", f"Messages as first read: {wilson(good, n)} named or helped, {wilson(read['misleads'], n)} misled."]


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.exercises.blind", description=__doc__.split("\n")[0])
    parser.add_argument("--exercise", default="", help="a lesson or an exercise; all by default")
    parser.add_argument("--write", type=Path, help="file for every verdict, as JSON")
    parser.add_argument("--judge", help=argparse.SUPPRESS)  # in a process of its own: one lesson, as JSON
    options = parser.parse_args()
    if options.judge:
        print(json.dumps(judged(options.judge)))
        return
    known = {answer["key"]: answer for answer in answers()}
    slugs = sorted(
        {a["exercise"].partition(".")[0] for a in known.values() if a["exercise"].startswith(options.exercise)}
    )
    results = []
    for slug in slugs:  # a fresh process for each lesson: its frameworks, and nothing of the one before
        command = [sys.executable, str(Path(__file__)), "--judge", slug]
        done = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.splitlines()[-1])
        results += [r for r in done if known[r["key"]]["exercise"].startswith(options.exercise)]
        print(f"{slug}: {len(done)} judged", file=sys.stderr, flush=True)
    for r in results:
        answer = known[r["key"]]
        if (r["status"] == "passed") != answer["right"]:
            print(
                f"{answer['exercise']} {r['key']} {'right' if answer['right'] else 'wrong'} but {r['status']}: "
                f"{answer['intended']} | {r['message'].splitlines()[0] if r['message'] else ''}"
            )
    print(table(results))
    if options.write:
        options.write.write_text(json.dumps({r["key"]: r for r in results}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
