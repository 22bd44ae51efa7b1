"""Other places to grade in give the same grades, and a process that is killed loses nothing; 200 take minutes."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest
from class_of import QUICK, hand_in
from dies_once import die_once
from hostile import HONEST, RIGHT, ZERO, notebook

from mmcourse.classroom import executor
from mmcourse.classroom.executor import execute
from mmcourse.classroom.feedback import rows
from mmcourse.classroom.grade import Graded, grade


@pytest.fixture(scope="module")
def handed(sandbox, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cluster") / "sub"
    for k in range(6):
        hand_in(folder, f"s{k}", notebook(HONEST, (RIGHT, ZERO, "1/0")[k % 3]))
    return folder


@pytest.fixture(scope="module")
def alone(handed, tmp_path_factory) -> list:
    return grades(grade(handed, tmp_path_factory.mktemp("alone"), limits=QUICK))


def grades(graded: Graded) -> list:
    """Everything but the seconds."""
    return [row[:4] + row[5:] for row in rows(graded)]


@pytest.fixture(scope="module")
def cluster():
    """An existing Dask cluster of two processes."""
    distributed = pytest.importorskip("dask.distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as made:
        yield made


def test_two_processes_give_the_same_grades(handed, alone, tmp_path):
    assert grades(grade(handed, tmp_path, limits=QUICK, jobs=2)) == alone


def test_a_dask_cluster_gives_the_same_grades(handed, alone, cluster, tmp_path):
    assert grades(grade(handed, tmp_path, limits=QUICK, dask=cluster.scheduler_address)) == alone


def test_a_dask_worker_killed_midway_loses_nothing(handed, alone, cluster, tmp_path):
    killed = []

    def kill_one(done: int, total: int) -> None:
        if done == 2 and not killed:
            killed.append(next(iter(cluster.workers.values())).pid)
            victim = next(iter(cluster.scheduler_info["workers"].values()))
            killed.append(victim["id"])
            os.kill(pid_of(cluster, victim["id"]), signal.SIGKILL)

    graded = grade(handed, tmp_path, limits=QUICK, dask=cluster.scheduler_address, progress=kill_one)
    assert killed and grades(graded) == alone


def pid_of(cluster, worker) -> int:
    return next(nanny.process.pid for key, nanny in cluster.workers.items() if key == worker)


def test_no_cluster_at_the_address_is_one_line(handed, tmp_path, monkeypatch):
    monkeypatch.setattr(executor, "CONNECT_SECONDS", 2)  # all of them are waited
    with pytest.raises(OSError, match="tcp://127.0.0.1:1"):
        grade(handed, tmp_path, limits=QUICK, dask="tcp://127.0.0.1:1")


def test_a_process_killed_midway_is_replaced(tmp_path):
    marks = [str(tmp_path / f"mark{k}") for k in range(3)]
    Path(marks[0]).touch()
    assert sorted(result["done"] for result in execute(die_once, marks, jobs=2)) == marks


def test_two_hundred_take_no_more_than_ten_minutes_on_two_cores(handed, tmp_path):
    """10 minutes · 2 cores / 200 = 6 s of processor time each; measured as such, since test machines are shared."""
    grade(handed, tmp_path / "warm", limits=QUICK)
    before = used()
    graded = grade(handed, tmp_path / "out", limits=QUICK)
    assert (used() - before) / len(graded.records) < 6


def used() -> float:
    """Processor seconds of this process and of all that it waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)
