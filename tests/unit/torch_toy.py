"""A small network and its data, for the tests of training in PyTorch."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from mmcourse.training.torch import fit


class Net(nn.Module):
    """Four numbers → three classes."""

    def __init__(self, seed=0, width=8, dropout=0.0):
        super().__init__()
        torch.manual_seed(seed)
        self.hidden, self.norm, self.out = nn.Linear(4, width), nn.BatchNorm1d(width), nn.Linear(width, 3)
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch):
        return self.out(self.dropout(self.norm(self.hidden(batch["inputs"]["x"])).relu()))


def batches(n=6, size=16, seed=0, classes=3):
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        label = rng.integers(classes, size=size)
        x = rng.normal(size=(size, 4)).astype(np.float32)
        x[np.arange(size), label] += 1.5
        made.append({"inputs": {"x": torch.from_numpy(x)}, "target": torch.from_numpy(label)})
    return made


TRAIN, VALIDATION = batches(), batches(2, seed=1)


class Samples(Dataset):
    def __init__(self):
        self.x = torch.cat([b["inputs"]["x"] for b in TRAIN])
        self.y = torch.cat([b["target"] for b in TRAIN])

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return {"inputs": {"x": self.x[i]}, "target": self.y[i]}


def run(net=None, loader=TRAIN, epochs=3, **options):
    net = net or Net()
    return net, fit(net, loader, epochs=epochs, progress=False, **options)


def weights(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
