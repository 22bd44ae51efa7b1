"""Launches that always end, the lesson's launch with all its ways, and launch files checked without a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import yaml

from mmcourse.datasets import lesson_dir, load
from mmcourse.training.scale import launch

pytestmark = pytest.mark.xdist_group("launches")  # one launch at a time


# ---------------------------------------------------------------- processes
@pytest.mark.parametrize("own_session", [False, True])  # as torchrun starts its workers
def test_a_launch_that_hangs_is_ended_with_its_children(own_session, tmp_path):
    child = f"import time, os; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(100)"
    how = f"[sys.executable, '-c', {child!r}], start_new_session={own_session}"
    code = f"import subprocess, sys; subprocess.run({how})"
    begin = time.monotonic()
    done = launch.run_group([sys.executable, "-c", code], dict(os.environ), timeout=4)
    assert done.code == 124 and time.monotonic() - begin < 30
    with pytest.raises(RuntimeError, match="124"):
        done.result  # noqa: B018
    if (tmp_path / "pid").is_file():
        pid = int((tmp_path / "pid").read_text())
        for _ in range(50):
            gone = not os.path.exists(f"/proc/{pid}") or "Z" in open(f"/proc/{pid}/stat").read().split(")")[1][:3]
            if gone:
                break
            time.sleep(0.1)
        assert gone


def test_the_result_is_the_last_line():
    done = launch.run_group([sys.executable, "-c", "print('x'); print('[1, 2]')"], dict(os.environ), timeout=60)
    assert done.result == [1, 2]


def test_a_failed_worker_is_quoted():
    errors = "noise\n[rank1]: Traceback\n[rank1]: ValueError: no\nW0000 launcher\n"
    assert launch.Done(1, "", errors).reason == "[rank1]: Traceback\n[rank1]: ValueError: no"


def test_torchrun_all_ways_of_the_lesson(tmp_path):
    """One launch: DDP, no_sync, two wrong ways, FSDP2, a distributed checkpoint, and a killed worker."""
    import torch
    import torch.distributed.checkpoint as dcp
    from safetensors.torch import load_file

    sys.path.insert(0, str(lesson_dir("scale")))
    import scale_train

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        scale_train.save_data(tmp_path, load("mood", "train").subset(range(297)))
        data = scale_train.load_data(tmp_path)
        model = scale_train.new_model()
        scale_train.train(model, data)
        one = scale_train.weights_of(model)
    finally:
        torch.set_num_threads(threads)
    report = launch.torchrun(scale_train.__file__, [tmp_path], processes=2, restarts=1, timeout=400).result
    gaps = {
        name: scale_train.largest_difference(one, load_file(tmp_path / f"{name}.safetensors"))
        for name in ("exact", "no_sync", "fsdp", "killed", "mean of means", "sum")
    }
    assert max(gaps[name] for name in ("exact", "no_sync", "fsdp", "killed")) <= 1e-12
    assert 1e-5 < gaps["mean of means"] < gaps["sum"]
    assert report["numbers held by rank 0"] == 48_674 and report["restarts"] == 1 and report["resumed at step"] == 3
    assert report["gradient norm, rank 0's shard"] < 0.9 * report["gradient norm, all"]
    empty = {name: torch.zeros_like(value) for name, value in one.items()}
    dcp.load({"model": empty}, checkpoint_id=str(tmp_path / "sharded"), no_dist=True)
    assert scale_train.largest_difference(one, empty) <= 1e-12
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(tmp_path) not in left, "no worker is left behind"


# ---------------------------------------------------------------- launch files
JOBS = [launch.Job(), launch.Job(nodes=4, processes=2, name="big", restarts=0), launch.Job(nodes=1, processes=1)]


@pytest.mark.parametrize("job", JOBS, ids=lambda job: f"{job.nodes}x{job.processes}")
def test_rendered_files_have_nothing_wrong(job):
    assert launch.check_slurm(launch.render_slurm(job), job) == []
    assert launch.check_kubernetes(launch.render_kubernetes(job), job) == []


def test_slurm_starts_one_torchrun_for_each_node():
    text = launch.render_slurm(launch.Job(nodes=3, processes=4))
    assert "3 x 4 = 12" in text and "--nnodes=3 --nproc-per-node=4" in text
    assert text.count("torchrun --") == 1 and "#SBATCH --ntasks-per-node=1\n" in text


def test_kubernetes_pods_find_one_another():
    service, job = yaml.safe_load_all(launch.render_kubernetes(launch.Job(name="run", nodes=2)))
    assert service["kind"] == "Service" and service["spec"]["clusterIP"] == "None"
    pod = job["spec"]["template"]["spec"]
    assert pod["subdomain"] == service["metadata"]["name"] == "run"
    assert "--rdzv-endpoint=run-0.run:29500" in pod["containers"][0]["command"]


SLURM_FAULTS = {
    "--nodes=2": ("--nodes=1", "SBATCH --nodes"),
    "--gpus-per-node=8": ("--gpus-per-node=4", "gpus-per-node"),
    "--ntasks-per-node=1": ("--ntasks-per-node=8", "ntasks-per-node"),
    "--nproc-per-node=8": ("--nproc-per-node=4", "nproc-per-node"),
    '"$HEAD:29500"': ("127.0.0.1:29500", "own address"),
    ':29500"': (':0"', "port 0"),
    "$(scontrol": ("$((scontrol", "bash"),
    "--rdzv-backend=c10d": ("", "c10d"),
    "scale_train.py": ("train.py", "script"),
    "12:00:00": ("12", "time"),
    "srun": ("run", "srun"),
}


@pytest.mark.parametrize("piece", SLURM_FAULTS)
def test_a_fault_in_a_slurm_file_is_named(piece):
    job = launch.Job()
    other, said = SLURM_FAULTS[piece]
    text = launch.render_slurm(job)
    assert piece in text
    assert any(said in fault for fault in launch.check_slurm(text.replace(piece, other), job))


KUBERNETES_FAULTS = {
    '"clusterIP": "None"': ('"clusterIP": "10.0.0.1"', "headless"),
    '"completionMode": "Indexed"': ('"completionMode": "NonIndexed"', "Indexed"),
    '"parallelism": 2': ('"parallelism": 1', "parallelism"),
    '"subdomain": "course"': ('"subdomain": "other"', "subdomain"),
    '"nvidia.com/gpu": 8': ('"nvidia.com/gpu": 4', "GPUs"),
    "course-0.course:29500": ("course-1.course:29500", "endpoint"),
    '"restartPolicy": "Never"': ('"restartPolicy": "Always"', "restartPolicy"),
    "--nnodes=2": ("--nnodes=3", "nnodes"),
    '"job-name": "course"': ('"job-name": "other"', "selector"),
}


@pytest.mark.parametrize("piece", KUBERNETES_FAULTS)
def test_a_fault_in_a_kubernetes_file_is_named(piece):
    job = launch.Job()
    other, said = KUBERNETES_FAULTS[piece]
    text = launch.render_kubernetes(job)
    assert piece in text
    assert any(said in fault for fault in launch.check_kubernetes(text.replace(piece, other), job))


def test_the_same_arguments_launch_here(tmp_path):
    """Dry run: the cluster's own torchrun arguments, with one node and an address of this machine."""
    from torch.distributed.run import get_args_parser

    for job in JOBS:
        words = job.command("head:29500")[1:]
        known = get_args_parser().parse_args(words)
        assert known.nnodes == str(job.nodes) and known.nproc_per_node == str(job.processes)
        assert known.training_script == job.script and known.training_script_args == list(job.arguments)
    script = tmp_path / "hello.py"
    script.write_text(
        "import json, os\n"
        "if os.environ['RANK'] == '0':\n"
        "    print(json.dumps([os.environ['WORLD_SIZE'], os.environ['MASTER_ADDR']]))\n"
    )
    local = launch.Job(script=str(script), arguments=(), nodes=1, processes=2, restarts=0)
    command = [sys.executable, "-m", "torch.distributed.run", *local.command("127.0.0.1:0")[1:]]
    command.insert(3, "--local-addr=127.0.0.1")
    done = launch.run_group(command, os.environ | {"OMP_NUM_THREADS": "1"}, timeout=200)
    assert done.result[0] == "2"
