"""Lesson scale's training of the trimodal model, in one process or in several.

``torchrun --nproc-per-node=2 scale_train.py FOLDER`` trains the same few steps in every way that the lesson compares,
in one launch (importing torch is what takes long), and prints one line of JSON. FOLDER/data.npz has the messages; the
weights of each way are left in FOLDER/NAME.safetensors. At the end one worker kills itself; `--max-restarts=1` then
starts all of them again, and they go on from the last checkpoint.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel as DDP

from mmcourse.pretrained import Trimodal, mood_encoders

BATCH = 64  # of all processes together
KILLED_BEFORE = 3  # the step that worker 1 does not live to see, the first time


def new_model():
    """The trimodal model, untrained, in float64: 97,187 numbers."""
    torch.manual_seed(0)
    return Trimodal(mood_encoders("face", "voice", "words")).double()


def save_data(folder, messages):
    """Write a small data set to FOLDER/data.npz, for the workers."""
    (batch,) = messages.torch_loader(batch_size=len(messages))
    arrays = {f"inputs_{k}": v.numpy() for k, v in batch["inputs"].items()}
    arrays |= {f"mask_{k}": v.numpy() for k, v in batch["padding_mask"].items()}
    np.savez(Path(folder) / "data.npz", target=batch["target"].numpy(), **arrays)


def load_data(folder):
    """FOLDER/data.npz as one batch, inputs in float64."""
    with np.load(Path(folder) / "data.npz") as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file.files}
    batch = {"inputs": {}, "padding_mask": {}, "target": arrays.pop("target")}
    for name, value in arrays.items():
        kind, modality = name.split("_")
        key = "inputs" if kind == "inputs" else "padding_mask"
        batch[key][modality] = value.double() if value.is_floating_point() else value
    return batch


def take(batch, rows):
    """Some rows of a batch."""
    return {
        key: {k: v[rows] for k, v in part.items()} if isinstance(part, dict) else part[rows]
        for key, part in batch.items()
    }


def rows_of(step, total, rank=0, world=1, micro=0, micros=1):
    """Rows of this step that belong to this process, and how many the step has in all."""
    rows = torch.arange(step * BATCH, min((step + 1) * BATCH, total))
    mine = rows[rank::world]
    return mine[micro::micros], len(rows)


def loss_of(logits, target, number, world, way="exact"):
    """What a process calls `backward` on; `world` undoes that DDP takes the average."""
    if way == "mean of means":
        return F.cross_entropy(logits, target)  # divided by my own number of samples
    total = F.cross_entropy(logits, target, reduction="sum")
    if way == "sum":
        return total
    return total * world / number  # divided by everybody's number


def train(
    model,
    data,
    way="exact",
    rank=0,
    world=1,
    micros=1,
    after_step=None,
    start=0,
    optimizer=None,
):
    """One epoch: returns the optimizer. `model` is plain, in DDP, or sharded."""
    optimizer = optimizer or torch.optim.AdamW(model.parameters(), lr=3e-3)
    total = len(data["target"])
    for step in range(start, -(-total // BATCH)):
        for micro in range(micros):
            rows, number = rows_of(step, total, rank, world, micro, micros)
            part = take(data, rows)
            last = micro == micros - 1
            with nullcontext() if last or world == 1 else model.no_sync():
                loss_of(model(part), part["target"], number, world, way).backward()
        optimizer.step()
        optimizer.zero_grad()
        if after_step:
            after_step(step, optimizer)
    return optimizer


def weights_of(model):
    """All parameters, by name."""
    return {name: p.detach().clone().contiguous() for name, p in model.named_parameters()}


def largest_difference(a, b):
    """Of two dicts of weights."""
    return max(float((a[name] - b[name]).abs().max()) for name in a)


# ---------------------------------------------------------------- several processes
def train_ddp(folder, data, rank, world):
    """All of data parallel training: the same code runs in every process."""
    model = new_model()  # the same weights everywhere
    parallel = DDP(model)
    optimizer = torch.optim.AdamW(parallel.parameters(), lr=3e-3)
    for rows in torch.arange(len(data["target"])).split(BATCH):
        part = take(data, rows[rank::world])  # my share of this batch
        logits = parallel(part)
        loss = F.cross_entropy(logits, part["target"], reduction="sum")
        (loss * world / len(rows)).backward()  # gradients are exchanged here
        optimizer.step()
        optimizer.zero_grad()
    if rank == 0:  # one writes, the others wait
        save_file(weights_of(model), Path(folder) / "exact.safetensors")
    dist.barrier()


def run_ddp(folder, name, data, rank, world, **options):
    """The same by `train`, in other ways."""
    model = new_model()
    train(DDP(model), data, rank=rank, world=world, **options)
    if rank == 0:
        save_file(weights_of(model), Path(folder) / f"{name}.safetensors")
    dist.barrier()


def shard(model):
    """FSDP2: every weight is cut along its first axis, and each process keeps its own part."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for encoder in model.encoders.values():
        fully_shard(encoder, mesh=mesh)  # gathered when it runs, and let go again
    return fully_shard(model, mesh=mesh)


def run_sharded(folder, data, rank, world, report):
    """FSDP2, the norm of its gradient, and a checkpoint of which every process writes its own part."""
    import torch.distributed.checkpoint as dcp

    model = shard(new_model())
    report["numbers held by rank 0"] = sum(p.to_local().numel() for p in model.parameters())
    part = take(data, torch.arange(rank, BATCH, world))
    loss_of(model(part), part["target"], BATCH, world).backward()
    squares = sum(float(p.grad.to_local().square().sum()) for p in model.parameters())
    whole = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
    report["gradient norm, rank 0's shard"] = squares**0.5
    report["gradient norm, all"] = float(whole.full_tensor())
    model.zero_grad()
    train(model, data, rank=rank, world=world)
    dcp.save({"model": model.state_dict()}, checkpoint_id=str(Path(folder) / "sharded"))
    return {name: p.full_tensor().detach() for name, p in model.named_parameters()}


def run_killed(folder, data, rank, world):
    """A checkpoint after every step; worker 1 dies once, and the next life goes on from there."""
    path, state_path = Path(folder) / "last.safetensors", Path(folder) / "last.json"
    if restarts() == 0:  # a folder that was used before
        if rank == 0:
            state_path.unlink(missing_ok=True)
        dist.barrier()
    model = new_model()
    optimizer, start = torch.optim.AdamW(model.parameters(), lr=3e-3), 0
    names = [name for name, _ in model.named_parameters()]
    if state_path.is_file():
        start = json.loads(state_path.read_text())["step"] + 1
        kept = load_file(path)
        model.load_state_dict({name: kept[name] for name in names})
        moments = {
            i: {key: kept[f"{key} {name}"] for key in ("step", "exp_avg", "exp_avg_sq")} for i, name in enumerate(names)
        }
        optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})

    def after_step(step, optimizer):
        if rank == 0:
            kept = weights_of(model)
            for i, name in enumerate(names):
                kept |= {f"{key} {name}": value.clone() for key, value in optimizer.state_dict()["state"][i].items()}
            save_file(kept, path)
            state_path.write_text(json.dumps({"step": step}))
        dist.barrier()  # nobody goes on before the file is complete
        if restarts() == 0 and rank == 1 and step + 1 == KILLED_BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)

    train(DDP(model), data, rank=rank, world=world, start=start, optimizer=optimizer, after_step=after_step)
    return weights_of(model), start


def restarts():
    """How often torchrun has started the workers again."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def join_group(backend="gloo"):
    """(rank, world size), once all processes have found one another; "nccl" on GPUs.

    `dist.init_process_group("gloo")` alone finds the addresses that workers before a restart left in torchrun's store.
    """
    from torch.distributed.rendezvous import rendezvous

    store, rank, world = next(rendezvous("env://"))
    store = dist.PrefixStore(f"life {restarts()}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world)
    return rank, world


def main(folder):
    """All ways, in one launch."""
    torch.set_num_threads(1)
    rank, world = join_group()
    data, report_path = load_data(folder), Path(folder) / "report.json"
    if restarts() == 0:
        report = {"seconds": {}, "pid of rank 0": os.getpid()}
        begin = time.perf_counter()
        train_ddp(folder, data, rank, world)
        report["seconds"]["exact"] = time.perf_counter() - begin
        for name, options in {
            "mean of means": {"way": "mean of means"},
            "sum": {"way": "sum"},
            "no_sync": {"micros": 3},
        }.items():
            begin = time.perf_counter()
            run_ddp(folder, name, data, rank, world, **options)
            report["seconds"][name] = time.perf_counter() - begin
        begin = time.perf_counter()
        whole = run_sharded(folder, data, rank, world, report)
        report["seconds"]["fsdp"] = time.perf_counter() - begin
        if rank == 0:
            save_file({k: v.contiguous() for k, v in whole.items()}, Path(folder) / "fsdp.safetensors")
            report_path.write_text(json.dumps(report))
        dist.barrier()
    weights, start = run_killed(folder, data, rank, world)
    if rank == 0:  # one voice
        save_file(weights, Path(folder) / "killed.safetensors")
        report = json.loads(report_path.read_text())
        ended = {"restarts": restarts(), "resumed at step": start, "processes": world}
        print(json.dumps(report | ended | {"pid of rank 0, later": os.getpid()}), flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
