"""Graded once for all tests that look at it: a class of attackers among honest students."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

import hostile

from mmcourse.classroom.feedback import write_reports
from mmcourse.classroom.grade import Graded, grade
from mmcourse.classroom.sandbox import Limits

QUICK = Limits(cell=4, call=3, exercise=6, total=40, cpu=30, memory_mb=1500)


class Listener:
    """Something of ours on the loopback; nobody inside a sandbox may reach it."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.visits = 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            try:
                self.server.accept()[0].close()
            except OSError:
                return
            self.visits += 1


def slug(name: str) -> str:
    """An attack's name as a student's."""
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def hand_in(folder: Path, student: str, text: str, name: str = "00_start_here.ipynb") -> Path:
    path = folder / student / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def attacked(folder: Path, jobs: int = 3) -> tuple[Graded, dict[str, hostile.Attack], Listener]:
    """Every attack handed in and graded in one run, with an honest student first and last."""
    out, listener = folder / "results", Listener()
    attacks = hostile.attacks(out, listener.port)
    for student in ("0-honest", "zz-honest"):
        hand_in(folder / "sub", student, hostile.notebook(hostile.HONEST, hostile.RIGHT))
    for name, attack in attacks.items():
        hand_in(folder / "sub", slug(name), hostile.notebook(*attack.cells))
    sites = hostile.lay_second_copies(out)
    sys.path += sites
    try:
        graded = grade(folder / "sub", out, limits=QUICK, jobs=jobs)
    finally:
        sys.path[:] = [path for path in sys.path if path not in sites]
    write_reports(graded, out)
    return graded, attacks, listener


def points(graded: Graded, student: str) -> dict[str, float]:
    """Points by exercise."""
    return {x["id"]: x["points"] for r in graded.records if r["student"] == student for x in r["exercises"]}
