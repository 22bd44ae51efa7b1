"""What happens in a short film of `scenes`? A 3-D convolutional network, and beside it one that cannot know the order.

::

    from mmcourse.torch.video import EventModel

    model = EventModel.from_pretrained("video")
    model.classify(films)  # ["move left", "grow"]
    model.probabilities(films, order_blind=True)  # of the network that gets its frames as a set

The first is four 3-D convolutions and a mean over what is left of time and space (as in C3D, Tran et al. 2015, arXiv
1412.0767, but small), so that any number of frames fits. The second sees each pixel's mean and spread over the frames,
which are the same in any order, in a 2-D network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmcourse.datasets.scenes.captions import EVENTS
from mmcourse.preprocess.errors import InputError
from mmcourse.torch.model_files import read_model, write_model

SIDE = 32  # pixels, after each 2 × 2 of a scene became their mean
FEWEST, MOST = 2, 64  # frames


def prepare_videos(videos: Any) -> Tensor:
    """uint8 (b, t, h, w, 3), h = w = 32 or 64, or a list of (t, h, w, 3) → float (b, 3, t, 32, 32), −0.5 … 0.5.

    Raises
    ------
    InputError
        Another shape, dtype or number of frames; films of different length in one batch.
    """
    if isinstance(videos, (list, tuple)):
        shapes = {np.shape(video) for video in videos}
        if len(shapes) > 1:
            raise InputError(
                "videos", f"films of different shapes: {sorted(shapes)}", "take frames of one number and size"
            )
        videos = np.stack(videos)
    videos = np.asarray(videos)
    sides = ((SIDE, SIDE), (2 * SIDE, 2 * SIDE))
    if videos.ndim != 5 or videos.shape[-1] != 3 or videos.shape[2:4] not in sides or videos.dtype != np.uint8:
        problem = f"expected uint8 (b, t, {SIDE}, {SIDE}, 3) or twice that side, got {videos.dtype} {videos.shape}"
        raise InputError("videos", problem, "put one film into a list; resize its frames")
    if not FEWEST <= videos.shape[1] <= MOST:
        problem = f"expected {FEWEST} to {MOST} frames, got {videos.shape[1]}"
        raise InputError("videos", problem, "take some of them with mmcourse.preprocess.video.sample_frames")
    x = torch.from_numpy(np.ascontiguousarray(videos)).float()
    if x.shape[2] != SIDE:
        x = x.unflatten(3, (SIDE, 2)).unflatten(2, (SIDE, 2)).mean(dim=(3, 5))
    return x.permute(0, 4, 1, 2, 3) / 255 - 0.5


def moments(x: Tensor) -> Tensor:
    """Each pixel's mean and spread over the frames, the same in any order: (b, 3, t, h, w) → (b, 6, h, w)."""
    spread = x.std(dim=2, correction=0)
    return torch.cat([x.mean(dim=2), 4 * spread], dim=1)


def block3d(in_channels: int, out_channels: int, stride: tuple[int, int, int]) -> nn.Sequential:
    """3-D convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, 3, stride, padding=1, bias=False), nn.BatchNorm3d(out_channels), nn.ReLU()
    )


def block2d(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """2-D convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
    )


class EventModel(nn.Module):
    """Films (b, 3, t, 32, 32) → logits of the eight events, by a 3-D network; `order_blind` is the other network.

    Parameters
    ----------
    widths : channels of the four convolutions of either network
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64, 64)) -> None:
        super().__init__()
        a, b, c, d = widths
        self.config: dict[str, Any] = {"widths": list(widths)}
        self.body = nn.Sequential(
            block3d(3, a, (1, 2, 2)), block3d(a, b, (1, 2, 2)), block3d(b, c, (2, 2, 2)), block3d(c, d, (1, 1, 1))
        )
        self.head = nn.Linear(d, len(EVENTS))
        self.blind_body = nn.Sequential(block2d(6, a, 2), block2d(a, b, 2), block2d(b, c, 2), block2d(c, d, 1))
        self.blind_head = nn.Linear(d, len(EVENTS))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.weight.device

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, t, 32, 32) → (b, 8)."""
        return self.head(self.body(x).mean(dim=(2, 3, 4)))

    def order_blind(self, x: Tensor) -> Tensor:
        """(b, 3, t, 32, 32) → (b, 8), the same for the frames in any order."""
        return self.blind_head(self.blind_body(moments(x)).mean(dim=(2, 3)))

    @torch.no_grad()
    def probabilities(self, videos: Any, order_blind: bool = False, batch_size: int = 64) -> np.ndarray:
        """p of each event: uint8 films as `prepare_videos` takes them → float32 (b, 8)."""
        self.eval()
        use = self.order_blind if order_blind else self.forward
        found = []
        for start in range(0, len(videos), batch_size):
            x = prepare_videos(videos[start : start + batch_size])
            found.append(use(x.to(self.device)).softmax(dim=1).cpu().numpy())
        return np.concatenate(found)

    def classify(self, videos: Any, order_blind: bool = False, batch_size: int = 64) -> list[str]:
        """The most probable event of each film."""
        best = self.probabilities(videos, order_blind, batch_size).argmax(axis=1)
        return [EVENTS[i] for i in best]

    # ------------------------------------------------------------ files
    def save_pretrained(self, folder: str | Path) -> None:
        """Write `model.safetensors` (float16) and `config.json`, each atomically."""
        write_model(self, folder)

    @classmethod
    def from_pretrained(cls, folder: str | Path = "video") -> EventModel:
        """A trained model, in evaluation mode: the name of a shipped one, or a folder that `save_pretrained` wrote.

        Raises
        ------
        FileNotFoundError
            No such folder, or a file in it is missing.
        ValueError
            The weights are damaged, or belong to another architecture.
        """
        return read_model(cls, folder)
