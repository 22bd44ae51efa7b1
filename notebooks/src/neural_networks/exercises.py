"""Neural networks: those of its exercises that are in PyTorch are in exercises_torch.py."""

from mmcourse.exercise import lesson

lesson(
    "neural_networks",
    promise="Write a network as a module, one step of its training, and a training that holds on new data.",
    uses="PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn

from mmcourse.check import check
""",
)
