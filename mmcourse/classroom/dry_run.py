"""A whole term with thirty made-up students, to be run before the first real one: every step, and what goes wrong.

A bank with two exercises and a challenge is laid out, one of its references false. Notebooks are handed out and come
back late, wrongly named, empty, cut short, as somebody else's, twice, or not at all. They are graded in the sandbox;
the reference is mended, they are graded again and returned; the gradebook is written, and the class is deleted. Names,
times and secret are the same each time, and so is the log.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from mmcourse.classroom.bank import close_bank
from mmcourse.io import atomic_write, private_folder

SLUG = "spread_out"
NAME = f"90_{SLUG}.ipynb"
BANK_TEXT = Path(__file__).with_name("templates") / "dry_run_bank.txt"
FALSE, MENDED = "n", "(n - 1)"
DUE = "2027-03-01T23:59+08:00"
SECRET = "a dry run is no secret: 30 made-up students"
FIRST = "Ada Ben Cleo Dan Eve Finn Gita Hana Ivo Jun Kofi Lena Mei Nils Olga Pia Quinn Rosa Sami Tove Uma Vera Wim"
FIRST += " Xenia Yara Zoe Amir Bo"
LAST = "Adler Berg Chen Duran Eder Fink Gomez Haas Ito Jansen Kaya Lind Mori Nowak Okoro Perez Quist Rossi Sato Toth"
LAST += " Unger Vogel Weber Xu Yilmaz Zeman Acker Bauer"
RIGHT = "    left = x - x.mean()\n    return np.sqrt((left**2).sum() / (len(x) - 1))\n"
BY_N = "    left = x - x.mean()\n    return np.sqrt((left**2).sum() / len(x))\n"
VARIANCE = "    return ((x - x.mean()) ** 2).sum() / (len(x) - 1)\n"
LOOP = """    mean = 0.0
    for value in x:
        mean += float(value) / len(x)
    squares = 0.0
    for value in x:
        difference = float(value) - mean
        squares += difference * difference
    freedom = len(x) - 1
    if freedom < 1:
        raise ValueError("at least two numbers are needed")
    return np.sqrt(squares / freedom)
"""
BROKEN = "    return np.sqrt(x.variance())\n"
CENTERED = "    return x - x.mean()\n"
Run = Callable[[list[str]], str]


def students() -> list[tuple[str, str]]:
    """(student, name) of the class; two names are hard for tables."""
    named = [f"{last}, {first}" for first, last in zip(FIRST.split(), LAST.split(), strict=True)]
    named += ['O’Neil, "Max"', "王小明"]
    return [(f"s{number:02d}", name) for number, name in enumerate(named, 1)]


def dry_run(to: Path, run: Run, say: Callable[[str], None], jobs: int = 2) -> None:
    """Play the term in the new folder `to`; `run` runs a command of `mmcourse`, `say` takes the log line by line.

    Raises
    ------
    ValueError
        The folder is not new, or a command failed.
    """
    if to.exists() and any(to.iterdir()):
        raise ValueError(f"--to {to}: is not empty; choose a new folder")
    root = private_folder(to).resolve()
    with _own_key(root / "key"):
        try:
            _play(root, run, say, jobs)
        finally:
            close_bank()


@contextmanager
def _own_key(folder: Path) -> Iterator[None]:
    """An instructor's key for the dry run alone: nobody's own is used."""
    before = os.environ.get("MMCOURSE_CONFIG")
    os.environ["MMCOURSE_CONFIG"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("MMCOURSE_CONFIG")
        if before is not None:
            os.environ["MMCOURSE_CONFIG"] = before


def _play(root: Path, run: Run, say: Callable[[str], None], jobs: int) -> None:
    hw, out, back, bank = root / "hw1", root / "results", root / "returned", root / "bank"

    def command(title: str, *arguments: str | Path) -> None:
        say(f"\n## {title}")
        shown = " ".join(f"'{x}'" if " " in str(x) else str(x) for x in arguments)
        say(f"$ mmcourse {_tame(shown, root)}")
        for line in _tame(run([str(x) for x in arguments]), root).splitlines():
            say(line.rstrip())

    say("# A term with 30 made-up students")
    _write_bank(bank, FALSE)
    atomic_write(root / "secret.txt", SECRET + "\n", private=True)
    lines = [
        f'{student},"{name.replace(chr(34), chr(34) * 2)}",{student}@school.example' for student, name in students()
    ]
    atomic_write(root / "students.csv", "\n".join(["student,name,email", *lines]) + "\n", private=True)
    atomic_write(root / "late.toml", _policy(), private=True)
    at: tuple[str | Path, ...] = ("--bank", bank)
    secret: tuple[str | Path, ...] = ("--secret", root / "secret.txt")
    command("Hand out", "release", SLUG, "--to", hw, "--roster", root / "students.csv", *secret, *at)
    say("\n## Collect")
    for line in _hand_in(hw):
        say(line)
    grade = [
        "grade",
        hw,
        "--out",
        out,
        "--jobs",
        str(jobs),
        "--hidden-seed",
        "dry run",
        "--due",
        root / "late.toml",
        *at,
    ]
    command("Grade", *grade)
    _write_bank(bank, MENDED)
    say("\n## The reference of spread_out.2 divided by n: mended to n - 1")
    command("Regrade", *grade)
    command("Again: nothing has changed, so nothing is graded", *grade)
    for student, _ in students():
        private_folder(back / student)
    book: list[str | Path] = ["--gradebook", "canvas", "--roster", root / "students.csv"]
    command("Return the pages, write the gradebook", *grade, "--return", back, *book)
    for name in ("grades.csv", "late.csv", "leaderboard.csv", "gradebook_canvas.csv"):
        say(f"\n## {name}")
        for line in (out / name).read_text(encoding="utf-8").splitlines():
            say(re.sub(r"(,\d+),[\d.]+,(?=(?:passed|partial|wrong|stopped|not|unread))", r"\1,…,", line))
    delete: list[str | Path] = ["grade", hw, "--out", out, "--return", back, *at]
    command("A student leaves", *delete, "--delete-personal-data", "s05", "--yes")
    command("The others' table without that student", *grade, *book)
    command("The term is over", *delete, "--delete-personal-data", "all", "--yes")
    say("\n## statistics.csv")
    for line in (out / "statistics.csv").read_text(encoding="utf-8").splitlines():
        say(line)
    say("\n## What is left")
    for folder in (hw, out, back):
        for path in sorted(x for x in folder.rglob("*") if x.is_file()):
            say(path.relative_to(root).as_posix())


def _tame(text: str, root: Path) -> str:
    """Output without what differs from run to run: the folder's place, the progress bar."""
    lines = [line for line in text.splitlines() if not line.startswith("submissions ")]
    return "\n".join(lines).replace(f"{root}{os.sep}", "").replace(str(root), ".")


def _write_bank(bank: Path, divisor: str) -> None:
    text = BANK_TEXT.read_text(encoding="utf-8").replace("DIVISOR", divisor)
    private_folder(bank / SLUG)
    atomic_write(bank / SLUG / "exercises.py", text, private=True)


def _policy() -> str:
    told = [f'due = "{DUE}"', 'time_zone = "Asia/Shanghai"', "late_days = 1", "penalty = 20", "last_day = 7"]
    return "\n".join([*told, "", "[extensions]", "s17 = 3"]) + "\n"


# ---------------------------------------------------------------- what the class hands in
def _hand_in(hw: Path) -> list[str]:
    """Everyone's hand-in, as files and folders that a platform made; returns what was done, for the log."""
    told = []
    for number, (student, _) in enumerate(students(), 1):
        box = hw / "submitted" / student
        blank = hw / "students" / student / NAME
        spread, name, days, what = RIGHT, NAME, 0.0, "right, in time"
        if number == 1:
            spread, what = LOOP, "right, with loops"
        elif number in (15, 16, 17):
            days = {15: 1.0, 16: 2.5, 17: 2.0}[number]
            what = f"right, {days:g} day{'s' * (days != 1)} late" + " (has an extension of 3 days)" * (number == 17)
        elif number == 18:
            name, what = "Copy of homework (1).ipynb", "wrongly named"
        elif number == 19:
            box, what = hw / "submitted" / f"Student {student}_4711_assignsubmission_file_", "in a platform's folder"
        elif number == 24:
            told.append(f"{student}: nothing")
            continue
        elif number == 26:
            spread, what = VARIANCE, "forgot the root"
        elif number == 27:
            spread, what = BROKEN, "raises an error"
        elif number in (28, 29):
            spread, what = BY_N, "divides by n, as the reference did"
        book = json.loads(blank.read_text(encoding="utf-8"))
        if number != 25:
            _fill(book, "centered", CENTERED)
            _fill(book, "spread", spread)
        text = json.dumps(book)
        if number == 20:
            text, what = "", "an empty file"
        elif number == 21:
            text, what = text[: len(text) // 2], "cut short"
        elif number == 22:
            source = json.loads((hw / "students" / "s01" / NAME).read_text(encoding="utf-8"))
            _fill(source, "centered", CENTERED)
            _fill(source, "spread", LOOP)
            text, what = json.dumps(source), "somebody else's notebook (s01's)"
        elif number == 25:
            what = "the blank notebook"
        _lay(box / name, text.encode(), days)
        if number == 23:
            _lay(box / NAME.replace(".ipynb", " (1).ipynb"), blank.read_bytes(), -1)
            what = "two versions, one of them blank"
        if number in CHALLENGE:
            _lay(box / f"{SLUG}.challenge.npz", _signs(hw, number), days)
            what += f"; challenge: {CHALLENGE[number]}"
        told.append(f"{student}: {what}")
    _lay(hw / "submitted" / "guest" / NAME, (hw / "students" / "s02" / NAME).read_bytes(), 0)
    return [*told, "guest: is not on the roster, and hands in the blank notebook of s02"]


CHALLENGE = {
    2: "sum of both",
    3: "sum of both",
    4: "the first number",
    5: "the second number",
    6: "always 1",
    7: "damaged",
}


def _signs(hw: Path, number: int) -> bytes:
    """The file of one student for the challenge."""
    if number == 7:
        return b"PK\x03\x04 no arrays"
    with np.load(hw / "students" / "s01" / f"{SLUG}.challenge_inputs.npz", allow_pickle=False) as file:
        x = file["x"]
    signs = {4: x[:, 0] > 0, 5: x[:, 1] > 0, 6: np.ones(len(x), bool)}.get(number, x.sum(axis=1) > 0)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, signs=signs.astype(np.int64))
    return buffer.getvalue()


def _fill(book: dict, function: str, body: str) -> None:
    """Write a body into the blank of this function."""
    for cell in book["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code" and text.startswith(f"def {function}("):
            cell["source"] = text.split("\n")[0] + "\n" + body


def _lay(path: Path, data: bytes, days: float) -> None:
    """A file that was handed in so many days after the deadline; an hour before it for 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    moment = datetime.fromisoformat(DUE) + timedelta(days=days, hours=-1)
    os.utime(path, (moment.timestamp(),) * 2)
