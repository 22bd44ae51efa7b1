"""Training in PyTorch: `fit` for any task, exact resumption, and the steps it is made of."""

from mmcourse.training.torch.checkpoint import TrainState, load_weights
from mmcourse.training.torch.loader import device_of, to_device
from mmcourse.training.torch.logger import MetricLogger
from mmcourse.training.torch.optim import autocast_dtype, clip_gradients, param_groups_weight_decay, warmup_cosine
from mmcourse.training.torch.train import classification, evaluate, fit, predict, train_step

__all__ = [
    "MetricLogger",
    "TrainState",
    "autocast_dtype",
    "classification",
    "clip_gradients",
    "device_of",
    "evaluate",
    "fit",
    "load_weights",
    "param_groups_weight_decay",
    "predict",
    "to_device",
    "train_step",
    "warmup_cosine",
]
