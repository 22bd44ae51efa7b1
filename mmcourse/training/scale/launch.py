"""`torchrun` from a notebook that always ends, and launch files for a cluster that a dry run validates.

::

    done = torchrun("scale_train.py", [folder], processes=2, restarts=1, timeout=180)
    done.result  # the JSON in the last line that the script printed

`render_slurm` and `render_kubernetes` write the launch file of the same command for several nodes; `check_slurm` and
`check_kubernetes` return what is wrong with one, without a cluster.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

LOCAL = "127.0.0.1"
PORT = 29500  # where the processes of several nodes meet


@dataclass
class Done:
    """What a launch left behind: the exit code, and all that was printed."""

    code: int
    output: str
    errors: str

    @property
    def result(self) -> Any:
        """The JSON in the last line of the output.

        Raises
        ------
        RuntimeError
            The launch failed; the message has the end of what was printed.
        """
        lines = self.output.strip().splitlines()
        if self.code or not lines:
            raise RuntimeError(f"the launch ended with code {self.code}: {self.reason}")
        return json.loads(lines[-1])

    @property
    def reason(self) -> str:
        """The end of what the workers said on stderr."""
        return _last_traceback(self.errors) or self.output[-2000:]


def _last_traceback(errors: str) -> str:
    """What the workers said last, without the launcher's own lines about it."""
    said = [line for line in errors.splitlines() if line.startswith("[rank")]
    return "\n".join(said[-30:]) or errors[-2000:]


def torchrun_arguments(
    nodes: int = 1, processes: int = 2, restarts: int = 0, endpoint: str = f"{LOCAL}:0", job: str = "course"
) -> list[str]:
    """The arguments of `torchrun` before the script, the same for a laptop and a cluster. Port 0: any free one."""
    return [
        f"--nnodes={nodes}",
        f"--nproc-per-node={processes}",
        f"--max-restarts={restarts}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={endpoint}",
        f"--rdzv-id={job}",
    ]


def torchrun(
    script: str | Path,
    arguments: Sequence[str | Path] = (),
    processes: int = 2,
    restarts: int = 0,
    timeout: float = 180,
    threads: int = 1,
) -> Done:
    """Run a script in several processes on this machine; never leaves one behind, also when a worker dies.

    Everything stays on 127.0.0.1, at a free port. After `timeout` seconds the launcher and all workers are ended.
    """
    options = [*torchrun_arguments(processes=processes, restarts=restarts), f"--local-addr={LOCAL}"]
    command = [sys.executable, "-m", "torch.distributed.run", *options, str(script), *map(str, arguments)]
    loopback = {"linux": "lo", "darwin": "lo0"}.get(sys.platform)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
    environment |= {"GLOO_SOCKET_IFNAME": loopback} if loopback else {}
    return run_group(command, environment, timeout)


def run_group(command: Sequence[str], environment: dict[str, str], timeout: float) -> Done:
    """Run a command as a process group of its own, and end the whole group with it."""
    process = subprocess.Popen(
        list(command),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _end_all(process.pid)
        output, errors = process.communicate()
        return Done(124, output, f"{errors}\nended after {timeout:g} s")
    except BaseException:  # the reader pressed "stop"
        _end_all(process.pid)
        process.wait()
        raise
    _end_group(process.pid)
    return Done(process.returncode, output, errors)


def _end_all(group: int) -> None:
    """End a process group and what its members started elsewhere: torchrun's workers have sessions of their own."""
    started: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):  # it has ended in this moment
        started = psutil.Process(group).children(recursive=True)
    _end_group(group)
    for child in started:
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended with the group
            child.kill()


def _end_group(group: int) -> None:
    """End what is left of a process group; nothing happens where nobody is left."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(group, signal.SIGKILL)
        else:  # Windows has no groups of this kind
            os.kill(group, signal.SIGTERM)
    except (ProcessLookupError, PermissionError, OSError):
        pass


# ---------------------------------------------------------------- several nodes
@dataclass
class Job:
    """A training job on several nodes.

    ranks : nodes × processes, one process for each accelerator
    """

    script: str = "scale_train.py"
    arguments: tuple[str, ...] = ("/shared/run",)
    name: str = "course"
    nodes: int = 2
    processes: int = 8
    restarts: int = 3
    hours: int = 12
    cpus: int = 64
    image: str = "registry.example/mmcourse:0.2.0"
    environment: tuple[tuple[str, str], ...] = (("NCCL_DEBUG", "WARN"), ("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1"))

    @property
    def ranks(self) -> int:
        """How many processes there are in all."""
        return self.nodes * self.processes

    def command(self, endpoint: str) -> list[str]:
        """The torchrun command of each node."""
        options = torchrun_arguments(self.nodes, self.processes, self.restarts, endpoint, self.name)
        return ["torchrun", *options, self.script, *self.arguments]


SLURM = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={processes}
#SBATCH --cpus-per-task={cpus}
#SBATCH --time={hours:02d}:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --output=%x-%j.log

# One launcher for each node; torchrun starts one process for each GPU: {nodes} x {processes} = {ranks}.
set -euo pipefail
export OMP_NUM_THREADS={threads}
{exports}
HEAD=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

srun --kill-on-bad-exit=1 {command}
"""


def render_slurm(job: Job) -> str:
    """A batch file for Slurm: `sbatch FILE` on a cluster with a shared file system."""
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in job.environment)
    words = [shlex.quote(word) for word in job.command("HEAD_NODE")]
    command = " ".join(words).replace("HEAD_NODE", f'"$HEAD:{PORT}"')
    return SLURM.format(
        name=job.name,
        nodes=job.nodes,
        processes=job.processes,
        ranks=job.ranks,
        cpus=job.cpus,
        hours=job.hours,
        threads=max(1, job.cpus // job.processes),
        exports=exports,
        command=command,
    )


def render_kubernetes(job: Job) -> str:
    """A headless Service and an indexed Job for Kubernetes, as YAML: `kubectl apply -f FILE`.

    Each pod is a node. Pod 0 has the stable name `NAME-0.NAME`, where all meet.
    """
    environment = [{"name": key, "value": value} for key, value in job.environment]
    environment.append({"name": "OMP_NUM_THREADS", "value": str(max(1, job.cpus // job.processes))})
    container = {
        "name": "train",
        "image": job.image,
        "command": job.command(f"{job.name}-0.{job.name}:{PORT}"),
        "env": environment,
        "ports": [{"containerPort": PORT}],
        "resources": {
            "limits": {"nvidia.com/gpu": job.processes, "cpu": job.cpus},
            "requests": {"nvidia.com/gpu": job.processes, "cpu": job.cpus},
        },
        "volumeMounts": [{"name": "shared", "mountPath": "/shared"}, {"name": "memory", "mountPath": "/dev/shm"}],
    }
    pod = {
        "restartPolicy": "Never",
        "subdomain": job.name,
        "containers": [container],
        "volumes": [
            {"name": "shared", "persistentVolumeClaim": {"claimName": "shared"}},
            {"name": "memory", "emptyDir": {"medium": "Memory"}},  # or data-loader workers run out of /dev/shm
        ],
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": job.name},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,  # they must find one another before they are ready
            "selector": {"job-name": job.name},
            "ports": [{"port": PORT}],
        },
    }
    batch = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job.name},
        "spec": {
            "completionMode": "Indexed",
            "completions": job.nodes,
            "parallelism": job.nodes,
            "backoffLimit": job.restarts * job.nodes,
            "activeDeadlineSeconds": job.hours * 3600,
            "template": {"metadata": {"labels": {"app": job.name}}, "spec": pod},
        },
    }
    # JSON is YAML, and its strings need no rules of quoting
    return "---\n".join(json.dumps(part, indent=2) + "\n" for part in (service, batch))


def option_of(words: Sequence[str], name: str) -> str:
    """The value of `--name=value` in a command; "" where it is missing."""
    return next((word.split("=", 1)[1] for word in words if word.startswith(f"--{name}=")), "")


def _check_command(words: Sequence[str], job: Job) -> list[str]:
    faults = []
    expected = {"nnodes": job.nodes, "nproc-per-node": job.processes, "max-restarts": job.restarts, "rdzv-id": job.name}
    for name, value in expected.items():
        if option_of(words, name) != str(value):
            faults.append(f"torchrun: expected --{name}={value}, got {option_of(words, name) or 'none'}")
    if option_of(words, "rdzv-backend") != "c10d":
        faults.append("torchrun: expected --rdzv-backend=c10d, which finds the ranks by itself")
    if job.script not in words:
        faults.append(f"torchrun: the script {job.script} is missing")
    endpoint = option_of(words, "rdzv-endpoint")
    if job.nodes > 1 and (LOCAL in endpoint or "localhost" in endpoint):
        faults.append(f"torchrun: {endpoint} is each node's own address; give the first node's")
    if job.nodes > 1 and endpoint.endswith(":0"):
        faults.append("torchrun: port 0 means any free port; several nodes must know which")
    return faults


def check_slurm(text: str, job: Job) -> list[str]:
    """What is wrong with a Slurm file for this job; [] where nothing is. Its bash is parsed, nothing is run."""
    faults = []
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", text, re.M))
    expected = {"nodes": job.nodes, "ntasks-per-node": 1, "gpus-per-node": job.processes}
    for name, value in expected.items():
        if asked.get(name) != str(value):
            faults.append(f"#SBATCH --{name}: expected {value}, got {asked.get(name, 'none')}")
    if not re.fullmatch(r"\d+:\d\d:\d\d", asked.get("time", "")):
        faults.append("#SBATCH --time: expected hours:minutes:seconds")
    try:
        parsed = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, timeout=20)
        if parsed.returncode:
            faults.append(f"bash: {parsed.stderr.strip()}")
    except FileNotFoundError:
        pass  # no bash here (Windows): the rest is checked all the same
    found = re.search(r"^srun .*?\b(torchrun .*)$", text.replace("\\\n", " "), re.M)
    if not found:
        return [*faults, "srun: expected one torchrun for each node"]
    return faults + _check_command(shlex.split(found[1]), job)


def check_kubernetes(text: str, job: Job) -> list[str]:
    """What is wrong with a Kubernetes file for this job; [] where nothing is."""
    import yaml

    parts = {part["kind"]: part for part in yaml.safe_load_all(text) if part}
    faults = [f"expected a {kind}" for kind in ("Service", "Job") if kind not in parts]
    if faults:
        return faults
    service, batch = parts["Service"], parts["Job"]
    if service["spec"].get("clusterIP") != "None":
        faults.append('Service: expected clusterIP "None" (headless), so that each pod has a name of its own')
    name, spec = service["metadata"]["name"], batch["spec"]
    if service["spec"].get("selector") != {"job-name": batch["metadata"]["name"]}:
        faults.append("Service: the selector does not find the pods of the Job")
    pod = spec["template"]["spec"]
    if pod.get("subdomain") != name:
        faults.append(f"Job: expected subdomain {name}, the Service's name: else pods have no addresses")
    if spec.get("completionMode") != "Indexed":
        faults.append("Job: expected completionMode Indexed: else no pod is the first")
    if not spec.get("completions") == spec.get("parallelism") == job.nodes:
        faults.append(f"Job: expected completions and parallelism {job.nodes}: all nodes at the same time")
    if pod.get("restartPolicy") not in ("Never", "OnFailure"):
        faults.append("Job: expected restartPolicy Never or OnFailure")
    container = pod["containers"][0]
    gpus = container["resources"]["limits"].get("nvidia.com/gpu")
    if gpus != job.processes:
        faults.append(f"Job: expected {job.processes} GPUs for each pod, one for each process; got {gpus}")
    endpoint = option_of(container["command"], "rdzv-endpoint")
    if endpoint.split(":")[0] != f"{batch['metadata']['name']}-0.{name}":
        faults.append(f"Job: expected the endpoint {batch['metadata']['name']}-0.{name}, got {endpoint}")
    return faults + _check_command(container["command"], job)
