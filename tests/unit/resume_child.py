"""Training runs that kill themselves, for test_resume: `resume_child.py FOLDER '{"name": [["step", 7], …], …}'`.

Each run is a process of its own, forked from this one to save the imports, and dies by SIGKILL: `["step", n]` in the
forward pass of step n, `["write", n]` when half of its nth checkpoint is on the disk. Then the same again, until the
list is through, and once undisturbed. FOLDER/name/result is what came out. The shims are here, not in the product.
"""

import json
import os
import random
import signal
import stat
import sys
import traceback
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader

from mmcourse import io
from mmcourse.datasets.views import SeededBatchSampler
from mmcourse.torch.encoders import ImageEncoder, MultimodalClassifier, TextEncoder
from mmcourse.torch.fusion import Concatenate, ModalityDropout
from mmcourse.training.torch import checkpoint, fit, logger

STEPS, EPOCHS, SAVE_EVERY = 5, 4, 3  # batches an epoch; 3 does not divide 5, so checkpoints fall inside epochs


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def samples(n, seed):
    random = torch.Generator().manual_seed(seed)
    label = torch.randint(3, (n,), generator=random)
    words = 2 + 3 * torch.randint(4, (n, 5), generator=random) + label[:, None]
    face, there = torch.rand(n, 3, 16, 16, generator=random), torch.tensor(True)
    return [
        {
            "inputs": {"face": face[i], "words": words[i]},
            "padding_mask": {},
            "modality_mask": {"face": there, "words": there},
            "target": label[i],
        }
        for i in range(n)
    ]


def loader(n, batch_size, seed=None):
    return DataLoader(samples(n, 0 if seed else 1), batch_sampler=SeededBatchSampler(n, batch_size, seed, 0))


def model():
    torch.manual_seed(0)
    encoders = {"face": ImageEncoder(8, size=16, channels=(4, 8)), "words": TextEncoder(14, 8)}
    net = MultimodalClassifier(encoders, Concatenate([8, 8], 8), 3, ModalityDropout([8, 8], 0.3))
    net.head = nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(0.3), net.head)
    return net


def run(folder, how=None, number=0):
    random.seed(0)  # a fork draws anew; the checkpoint holds these states too
    np.random.seed(0)
    net, calls, writes = model(), [0], [0]

    def forward(*_):
        calls[0] += net.training
        if how == "step" and calls[0] == number:
            die()

    def fsync(handle):
        if not stat.S_ISREG(os.fstat(handle).st_mode):  # the folder, after the renaming
            return
        writes[0] += 1
        if how == "write" and writes[0] == number:
            os.truncate(handle, os.fstat(handle).st_size // 2)
            die()

    net.register_forward_pre_hook(forward)
    io.os = type("os", (), {**vars(os), "fsync": staticmethod(fsync)})
    fit(
        net, loader(70, 16, seed=1), EPOCHS, progress=False, validation=loader(40, 40), clip=1.0,
        ema=0.9, patience=9, folder=folder, save_every=SAVE_EVERY, resume=True,
    )  # fmt: skip
    tensors, _ = checkpoint.read_checkpoint(folder / "last.safetensors")
    save_file({name: t.contiguous() for name, t in {**net.state_dict(), **tensors}.items()}, folder / "result")


def forked(*arguments):
    """Exit code of `run` in a process of its own; negative: the signal that ended it."""
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        run(*arguments)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    logger.summary_writer(Path(sys.argv[1]), 0)  # imported once, before the forks
    codes = {
        name: [forked(Path(sys.argv[1]) / name, *how) for how in [*kills, []]]
        for name, kills in json.loads(sys.argv[2]).items()
    }
    print(json.dumps(codes))
